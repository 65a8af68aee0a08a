/**
 * Persons: what is known of a party, everything that the books say of it (GDPR Art. 15), and its end (Art. 17). Hides where the log
 * speaks of whom, which duties cover what, and keys. Guarantees that an erasure is an event before a key is destroyed, so that a crash
 * in between is finished by whoever starts next, that nothing under a duty or a legal hold is destroyed, and that a key which a backup
 * brought back is destroyed again.
 */
import type { Pool } from 'pg';
import {
  type BookState,
  bookReducer,
  type CalendarDate,
  type EndRetention,
  type ErasePerson,
  type ErasurePlan,
  LedgerError,
  type PartyEvent,
  type PartyOpened,
  type PartyState,
  type PersonErased,
  partyReducer,
  type RetainedScope,
  type RetentionRule,
  retainedUntil,
  ruleFor,
  ruleText,
  statusOfPeriod,
  todayIn,
} from '#domain';
import type { EventStore, RecordedEvent } from '#event-store';
import { KeysUnavailable, type SubjectKeys } from '#privacy';
import type { Answer } from './answer';
import { filterHash, limitOf, type Page, readCursor, writeCursor } from './asking';
import { bookStreamId } from './catalogue';
import type { CommandContext } from './commands';
import type { Ledger } from './ledger';
import type { Opened, Personal, Presentation } from './personal';
import { foldedUpTo } from './projection';
import {
  type Duty,
  destroyedKeys,
  dutiesOf,
  keptScopes,
  listParties,
  type Mention,
  mentionsOf,
  parties,
  sealedScopes,
} from './projections/parties';
import type { Queries } from './queries';
import { csvRow } from './reports/csv';

/** A party as it is shown; personal members are sealed texts until they are revealed. */
export interface PartyAnswer extends PartyOpened {
  readonly id: string;
  readonly status: PartyState['status'];
  /** Where names are not shown; absent once what identifies the party is erased. */
  readonly pseudonym?: string;
  readonly holds: readonly string[];
  /** Present once the person asked to be forgotten. */
  readonly erasure?: PartyState['erasure'];
  readonly position: number;
}

/** What an erasure would do today. */
export interface ErasurePreview {
  readonly id: string;
  /** Scopes whose keys would be destroyed. */
  readonly erased: readonly string[];
  readonly retained: readonly RetainedScope[];
  readonly holds: readonly string[];
  readonly position: number;
}

/** A place at which the books speak of a person. */
export interface PersonalPlace {
  readonly position: number;
  readonly recordedAt: string;
  readonly eventType: string;
  readonly aggregateId: string;
  readonly path: string;
  readonly effectiveDate?: string;
  /** Of a posted entry, `GENERAL/2026/17`. */
  readonly number?: string;
  /** What is said. */
  readonly text?: string;
  /** Where a line names the person: what it moves. */
  readonly line?: { readonly account: string; readonly side: string; readonly amount: string; readonly currency: string };
  /** Until when a duty covers it, and which. */
  readonly keptUntil?: string;
  readonly rule?: string;
}

/** Everything about a person, in pieces. */
export interface AccessReport {
  readonly contentType: string;
  readonly fileName: string;
  readonly position: number;
  readonly body: AsyncIterable<string>;
  /** What is opened while it is read. */
  readonly opened: Opened;
}

const againMs = 30_000;
const attemptsMax = 5;
const placesPerRead = 250;

export interface PersonsOptions {
  readonly store: EventStore;
  readonly pool: Pool;
  readonly queries: Queries;
  readonly ledger: Ledger;
  readonly keys: SubjectKeys;
  readonly personal: Personal;
  /** Milliseconds between looks for duties that have ended; none when absent. */
  readonly everyMs?: number;
  /** Whether keys are destroyed when duties end. */
  readonly endsRetention: boolean;
  readonly report: (problem: { readonly bookId?: string; readonly error: unknown }) => void;
  /** Milliseconds since 1970; Date.now unless a test turns the clock. */
  readonly clock?: () => number;
}

export class Persons {
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  private stopped = false;

  constructor(private readonly options: PersonsOptions) {}

  // --- Looking ---

  /** @throws LedgerError book_unknown | party_unknown (not_found) */
  async party(bookId: string, id: string): Promise<PartyAnswer> {
    await this.options.queries.pin(bookId, undefined);
    const [party] = await this.partiesOf(bookId, [id]);
    if (party === undefined) throw unknownParty(id);
    return party;
  }

  /**
   * Parties in the order in which they were opened.
   * @param page.reference only those that have it in the caller's system
   * @throws LedgerError book_unknown | malformed | projection_behind
   */
  async list(
    bookId: string,
    page: Page & { readonly reference?: string } = {},
  ): Promise<{ readonly position: number; readonly parties: readonly PartyAnswer[]; readonly nextCursor?: string }> {
    const { reference } = page;
    const limit = limitOf(page);
    const filter = filterHash('parties', { bookId, reference });
    const cursor = readCursor(page, filter, ['whole']);
    const position = await this.options.queries.pin(bookId, undefined, cursor);
    const after = (cursor?.key[0] as number | undefined) ?? 0;
    const found = await this.options.queries.folded(bookId, position, [parties], (database) =>
      listParties(database, bookId, { after, position, limit: limit + 1, ...(reference === undefined ? {} : { reference }) }),
    );
    const shown = found.slice(0, limit);
    const nextCursor = found.length > limit ? writeCursor(filter, position, [shown.at(-1)?.position ?? 0]) : undefined;
    return {
      position,
      parties: await this.partiesOf(
        bookId,
        shown.map(({ id }) => id),
      ),
      ...(nextCursor === undefined ? {} : { nextCursor }),
    };
  }

  private async partiesOf(bookId: string, ids: readonly string[]): Promise<PartyAnswer[]> {
    const { store, personal } = this.options;
    const [events, pseudonyms] = await Promise.all([store.readStreams(bookId, ids), personal.pseudonyms(bookId, ids)]);
    return ids.flatMap((id) => {
      const own = events.filter(({ streamId, eventType }) => streamId === id && isPartyEvent(eventType));
      if (own[0]?.eventType !== 'PartyOpened') return [];
      let state: PartyState | undefined;
      let said = {} as PartyOpened;
      for (const { eventType, current } of own) {
        state = partyReducer.evolve(state, { type: eventType, data: current } as unknown as PartyEvent);
        if (eventType === 'PartyOpened' || eventType === 'PartyChanged') said = { ...said, ...current };
      }
      const { status, holds, erasure } = state as PartyState;
      const pseudonym = pseudonyms.get(id);
      return [
        {
          id,
          ...said,
          status,
          ...(pseudonym === undefined ? {} : { pseudonym }),
          holds,
          ...(erasure === undefined ? {} : { erasure }),
          position: own.at(-1)?.position ?? 0,
        },
      ];
    });
  }

  /**
   * What an erasure would destroy today, and what stays by which duty.
   * @throws LedgerError book_unknown | party_unknown (not_found) | projection_behind | keys_unavailable
   */
  async preview(bookId: string, id: string): Promise<ErasurePreview> {
    const { holds } = await this.party(bookId, id);
    const { keys, retained, position } = await this.plan(bookId, id);
    const stays = new Set(retained.map(({ scope }) => scope));
    return { id, erased: keys.map(({ scope }) => scope).filter((scope) => !stays.has(scope)), retained, holds, position };
  }

  /**
   * Everything that the books say of a person, texts opened: what Art. 15 GDPR has a right to. Streamed, place by place.
   * @throws LedgerError book_unknown | party_unknown (not_found) | projection_behind | keys_unavailable
   */
  async accessReport(bookId: string, id: string, format: 'json' | 'csv'): Promise<AccessReport> {
    const party = await this.party(bookId, id);
    const position = await this.options.queries.pin(bookId, undefined);
    const duties = await this.duties(bookId, id, position);
    const opened: Opened = { texts: 0, subjects: new Set() };
    const reveal = <T>(value: T): Promise<T> => this.options.personal.reveal(bookId, value, 'open', opened);
    const places = this.places(bookId, id, position, duties.until, party.pseudonym);
    const body = format === 'json' ? jsonReport(await reveal(party), position, places, reveal) : csvReport(places, reveal);
    return {
      contentType: format === 'json' ? 'application/json' : 'text/csv; charset=utf-8',
      fileName: `${bookId}-party-${id}-${position}.${format}`,
      position,
      body,
      opened,
    };
  }

  /** Rules that the book has stated. @throws LedgerError book_unknown */
  async rules(bookId: string): Promise<readonly RetentionRule[]> {
    return (await this.book(bookId)).retention ?? [];
  }

  private async *places(
    bookId: string,
    id: string,
    position: number,
    until: ReadonlyMap<string, RetainedScope>,
    pseudonym: string | undefined,
  ): AsyncGenerator<PersonalPlace[]> {
    const { queries, store } = this.options;
    yield ownPlaces(
      (await store.readStreams(bookId, [id])).filter((event) => event.position <= position),
      pseudonym,
    );
    for (let after: readonly [number, number] = [0, -1]; ; ) {
      const mentions = await queries.folded(bookId, position, [parties], (database) =>
        mentionsOf(database, bookId, id, { after, position, limit: placesPerRead }),
      );
      const events = new Map<number, RecordedEvent>();
      for (const event of await store.readStreams(bookId, [...new Set(mentions.map(({ streamId }) => streamId))]))
        events.set(event.position, event);
      yield mentions.flatMap((mention) => {
        const event = events.get(mention.position);
        return event === undefined ? [] : [placeOf(mention, event, until)];
      });
      const last = mentions.at(-1);
      if (last === undefined || mentions.length < placesPerRead) return;
      after = [last.position, last.ordinal];
    }
  }

  // --- Duties ---

  private async plan(bookId: string, id: string, only?: (scope: string) => boolean): Promise<ErasurePlan> {
    const { queries, keys } = this.options;
    const position = await queries.pin(bookId, undefined);
    const { until, today } = await this.duties(bookId, id, position);
    const known = (await reach(() => keys.list(bookId, id))).filter(({ scope }) => only?.(scope) ?? true);
    return {
      // Members in canonical order, in which `verify` finds them: the answer repeats what the event says.
      keys: known.map(({ scope, fingerprint }) => ({ fingerprint, scope })),
      retained: known.flatMap(({ scope }) => {
        const duty = until.get(scope);
        return duty === undefined || duty.until < today ? [] : [duty];
      }),
      position,
    };
  }

  /** By scope, the duty that ends last. */
  private async duties(
    bookId: string,
    id: string,
    position: number,
  ): Promise<{ readonly until: ReadonlyMap<string, RetainedScope>; readonly today: CalendarDate }> {
    const book = await this.book(bookId);
    const found = await this.options.queries.folded(bookId, position, [parties], (database) =>
      dutiesOf(database, bookId, { partyIds: [id] }),
    );
    return { until: untilByScope(book, found), today: this.todayIn(book) };
  }

  private todayIn(book: BookState): CalendarDate {
    return todayIn(book, (this.options.clock ?? Date.now)() * 1_000);
  }

  private async book(bookId: string): Promise<BookState> {
    const book = (await this.options.store.load(bookId, bookStreamId(bookId), bookReducer))?.state;
    if (book === undefined) throw new LedgerError('book_unknown', `there is no book ${bookId}`, { book: bookId });
    return book;
  }

  // --- Erasing ---

  /**
   * Erases a person, as far as duties allow it today: the event is recorded, then the keys are destroyed, then it is answered.
   * @throws LedgerError as Ledger.execute, projection_behind, keys_unavailable (the erasure is recorded; repeat with the same key)
   */
  async execute(bookId: string, command: ErasePerson | EndRetention, context: CommandContext): Promise<Answer> {
    const answer =
      (await this.options.ledger.remembered(bookId, command, context)) ?? (await this.decide(bookId, command, context, undefined));
    if (answer.status < 400) await this.destroy(bookId, command.party, answer);
    return answer;
  }

  private async decide(
    bookId: string,
    command: ErasePerson | EndRetention,
    context: CommandContext,
    only: ((scope: string) => boolean) | undefined,
  ): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      try {
        const computed = await this.plan(bookId, command.party, only);
        return await this.options.ledger.execute(bookId, { ...command, computed }, context);
      } catch (error) {
        if (!(error instanceof LedgerError) || error.code !== 'books_moving' || attempt === attemptsMax) throw error;
      }
    }
  }

  private async destroy(bookId: string, party: string, { body }: Answer, finishes = true): Promise<void> {
    const { erased } = JSON.parse(body) as { readonly erased: readonly { readonly scope: string }[] };
    if (erased.length === 0) return;
    await reach(() =>
      this.options.keys.destroy(
        bookId,
        party,
        erased.map(({ scope }) => scope),
        finishes,
      ),
    );
  }

  // --- On schedule ---

  start(): void {
    const { everyMs } = this.options;
    if (everyMs === undefined) return;
    const next = (ms: number): void => {
      this.timer = setTimeout(() => {
        const look = this.lookAtAll(false, this.options.report).then((whole) => {
          this.looking = undefined;
          // What could not be looked at, such as a book whose projections are behind, is not left for an hour.
          if (!this.stopped) next(whole ? everyMs : Math.min(everyMs, againMs));
        });
        this.looking = look;
      }, ms);
      this.timer.unref();
    };
    next(0);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.looking;
  }

  /**
   * Destroys again what events say is destroyed, and what duties no longer cover; tells what fails, and goes on with the next book. Waits
   * for projections, as every question does.
   */
  async look(report: PersonsOptions['report'] = this.options.report): Promise<void> {
    await this.lookAtAll(true, report);
  }

  /** @returns whether every book was looked at */
  private async lookAtAll(waits: boolean, report: PersonsOptions['report']): Promise<boolean> {
    const { store, keys } = this.options;
    let whole = true;
    try {
      for (let after = ''; !this.stopped; ) {
        const books = await store.books(after, 1_000);
        for (const bookId of books) {
          if (this.stopped) return false;
          try {
            if (await this.lookAt(bookId, waits)) await this.tellMissing(bookId, report);
            else whole = false;
          } catch (error) {
            whole = false;
            report({ bookId, error });
          }
        }
        if (books.length < 1_000) break;
        after = books.at(-1) ?? after;
      }
      return (await keys.finish()) && whole;
    } catch (error) {
      report({ error });
      return false;
    }
  }

  /** Names keys that are lost: whatever they seal can be read by nobody, and no erasure says so. */
  private async tellMissing(bookId: string, report: PersonsOptions['report']): Promise<void> {
    const { queries, keys } = this.options;
    const { position } = await this.options.store.head(bookId);
    if (position === 0) return;
    const missing = await keys.missing(
      bookId,
      await queries.folded(bookId, position, [parties], (database) => sealedScopes(database, bookId)),
    );
    if (missing.length === 0) return;
    const some = missing.slice(0, 10).map(({ subjectId, scope }) => `${scope} of ${subjectId}`);
    const more = missing.length > some.length ? ` and ${missing.length - some.length} more` : '';
    const message = `${missing.length} keys of persons are missing, and nobody has destroyed them (${some.join(', ')}${more}): restore the backup of the keys (schema privacy)`;
    report({ bookId, error: new Error(message) });
  }

  /** @returns false where projections are behind, and nobody waits for them */
  private async lookAt(bookId: string, waits: boolean): Promise<boolean> {
    const { queries, keys, pool } = this.options;
    const { position } = await this.options.store.head(bookId);
    // A book that is registered and not opened has none.
    if (position === 0) return true;
    if (!waits && (await foldedUpTo(pool, bookId, [parties])) < position) return false;
    await keys.reconcile(bookId, await queries.folded(bookId, position, [parties], (database) => destroyedKeys(database, bookId)));
    if (!this.options.endsRetention) return true;
    const book = await this.book(bookId);
    const today = this.todayIn(book);
    const context = (party: string): CommandContext => ({ key: `retention ${party} ${today}`, userId: 'retention', source: 'job' });
    const reason = 'the duty to keep it has ended';
    for (const party of await this.forgottenDue(bookId, book, position, today))
      await this.scheduled(
        bookId,
        { type: 'ErasePerson', party, legalBasis: 'GDPR Art. 5(1)(e)', reason, scheduled: true },
        context(party),
      );
    const duties = await queries.folded(bookId, position, [parties], (database) => dutiesOf(database, bookId, { scopes: 'entries-' }));
    for (const [party, found] of byParty(duties)) {
      const ended = [...untilByScope(book, found)].filter(
        ([scope, { until }]) => scope !== 'identity' && until < today && !mayBeSpokenOf(book, scope, today),
      );
      const scopes = new Set(ended.map(([scope]) => scope));
      // Of most the texts of old years are gone, and their keys alone tell.
      if (scopes.size > 0 && (await keys.list(bookId, party)).some(({ scope }) => scopes.has(scope)))
        await this.scheduled(bookId, { type: 'EndRetention', party, reason }, context(`${party} texts`), (scope) => scopes.has(scope));
    }
    return true;
  }

  /**
   * Persons who asked to be forgotten, and of whom something stayed that no duty covers by the rules of today: those may be other ones than
   * on the day on which they asked.
   */
  private async forgottenDue(bookId: string, book: BookState, position: number, today: CalendarDate): Promise<string[]> {
    const { queries } = this.options;
    const kept = byParty(await queries.folded(bookId, position, [parties], (database) => keptScopes(database, bookId)));
    if (kept.size === 0) return [];
    const duties = byParty(
      await queries.folded(bookId, position, [parties], (database) => dutiesOf(database, bookId, { partyIds: [...kept.keys()] })),
    );
    return [...kept].flatMap(([party, scopes]) => {
      const until = untilByScope(book, duties.get(party) ?? []);
      return scopes.some(({ scope }) => (until.get(scope)?.until ?? '') < today) ? [party] : [];
    });
  }

  /** Asks for nothing that would be refused: each refusal would be remembered, and it would be one a day. */
  private async scheduled(
    bookId: string,
    command: ErasePerson | EndRetention,
    context: CommandContext,
    only?: (scope: string) => boolean,
  ): Promise<void> {
    const { keys, retained } = await this.plan(bookId, command.party, only);
    if (keys.length === retained.length) return;
    const party = (await this.options.store.load(bookId, command.party, partyReducer as never))?.state as PartyState | undefined;
    if (party === undefined || party.holds.length > 0) return;
    const answer = await this.decide(bookId, command, context, only);
    // Whoever looks at all books writes the table of keys anew once, when all of them are destroyed.
    if (answer.status < 400) await this.destroy(bookId, command.party, answer, false);
  }
}

function byParty<T extends { readonly partyId: string }>(rows: readonly T[]): Map<string, T[]> {
  const parties = new Map<string, T[]>();
  for (const row of rows) {
    const known = parties.get(row.partyId);
    if (known === undefined) parties.set(row.partyId, [row]);
    else known.push(row);
  }
  return parties;
}

/** Of the duties over one party, by scope the one that ends last. */
function untilByScope(book: BookState, duties: readonly Duty[]): Map<string, RetainedScope> {
  const until = new Map<string, RetainedScope>();
  for (const duty of duties) {
    const ends = endOf(book, duty);
    // What identifies a person is kept as long as anything that names or speaks of them.
    for (const scope of duty.scope === '' ? ['identity'] : [duty.scope, 'identity'])
      if ((until.get(scope)?.until ?? '') < ends.until) until.set(scope, { rule: ends.rule, scope, until: ends.until });
  }
  return until;
}

const isPartyEvent = (type: string): boolean =>
  ['PartyOpened', 'PartyChanged', 'PartyClosed', 'LegalHoldPlaced', 'LegalHoldReleased', 'PersonErased', 'RetentionEnded'].includes(type);

const unknownParty = (id: string): LedgerError => new LedgerError('party_unknown', `there is no party ${id}`, { party: id }, 'not_found');

/**
 * Whether entries of the year of a scope may still come as they do: a period of it is open, and the next year is not over. Their texts would
 * have no key any more. Where nobody closes periods nothing is kept longer than that.
 */
function mayBeSpokenOf(book: BookState, scope: string, today: CalendarDate): boolean {
  const year = scope.slice('entries-'.length);
  const isOpen = book.fiscalYears.some(({ label, periods }) =>
    periods.some(({ no, from, to }) => from.slice(0, 4) <= year && year <= to.slice(0, 4) && statusOfPeriod(book, label, no) === 'open'),
  );
  return isOpen && Number(today.slice(0, 4)) <= Number(year) + 1;
}

/** When a duty over a posted place ends, and which it is. */
function endOf(book: BookState, { fiscalYear, documentType }: Duty): { readonly until: CalendarDate; readonly rule: string } {
  const rule = ruleFor(book.retention ?? [], book.entity?.country, documentType);
  // A year that was replaced while it was empty has no end of its own any more: the last one is not too early.
  const year = book.fiscalYears.find(({ label }) => label === fiscalYear) ?? book.fiscalYears.at(-1);
  return { until: year === undefined ? '2199-12-31' : retainedUntil(year, rule), rule: ruleText(rule) };
}

async function reach<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof KeysUnavailable)) throw error;
    throw new LedgerError('keys_unavailable', `keys of persons cannot be used now: ${error.message}`, { retryAfter: 1 }, undefined, {
      cause: error,
    });
  }
}

/** What the party's own events say of it beside its sealed members, which are places like others: what it was, and what became of it. */
function ownPlaces(events: readonly RecordedEvent[], pseudonym: string | undefined): PersonalPlace[] {
  return events.flatMap(({ position, recordedAt, eventType, streamId, current }) => {
    const place = (path: string, text: string | undefined): PersonalPlace[] =>
      text === undefined ? [] : [{ position, recordedAt, eventType, aggregateId: streamId, path, text }];
    const {
      kind,
      country,
      reference,
      hold,
      legalBasis,
      keys = [],
      retained = [],
    } = current as Partial<PartyOpened & PersonErased> & {
      readonly hold?: string;
    };
    const stays = retained.map(({ scope, until, rule }) => `${scope} until ${until} (${rule})`);
    const gone = keys.map(({ scope }) => scope);
    switch (eventType) {
      case 'PartyOpened':
        return [
          ...place('kind', kind),
          ...place('country', country),
          ...place('reference', reference),
          ...place('status', 'open'),
          ...place('pseudonym', pseudonym),
        ];
      case 'PartyChanged':
        return [...place('country', country), ...place('reference', reference)];
      case 'PartyClosed':
        return place('status', 'closed');
      case 'LegalHoldPlaced':
      case 'LegalHoldReleased':
        return place('hold', hold);
      case 'PersonErased':
      case 'RetentionEnded':
        return [...place('legalBasis', legalBasis), ...place('erased', gone.join(', ')), ...place('retained', stays.join('; '))].filter(
          ({ text }) => text !== '',
        );
      default:
        return [];
    }
  });
}

function placeOf(mention: Mention, event: RecordedEvent, until: ReadonlyMap<string, RetainedScope>): PersonalPlace {
  const { journalCode, fiscalYear, number, lines } = event.current as {
    readonly journalCode?: string;
    readonly fiscalYear?: string;
    readonly number?: number;
    readonly lines?: readonly Record<string, string>[];
  };
  const duty = until.get(mention.scope === '' ? 'identity' : mention.scope);
  const line = mention.scope === '' ? lines?.[Number(/^lines\.(\d+)\.party$/.exec(mention.path)?.[1])] : undefined;
  const text = mention.scope === '' ? undefined : valueAt(event.current, mention.path);
  return {
    position: mention.position,
    recordedAt: event.recordedAt,
    eventType: mention.eventType,
    aggregateId: mention.streamId,
    path: mention.path,
    ...(mention.effectiveDate === undefined ? {} : { effectiveDate: mention.effectiveDate }),
    ...(number === undefined ? {} : { number: `${journalCode}/${fiscalYear}/${number}` }),
    ...(text === undefined ? {} : { text }),
    ...(line === undefined
      ? {}
      : {
          line: {
            account: line.code ?? line.account ?? '',
            side: line.side ?? '',
            amount: line.amount ?? '',
            currency: line.currency ?? '',
          },
        }),
    ...(duty === undefined ? {} : { keptUntil: duty.until, rule: duty.rule }),
  };
}

/** The text at a path such as `metadata.contact.name`; keys may hold points themselves. */
function valueAt(value: unknown, path: string): string | undefined {
  const whole = path.replace(/#\d+$/, '');
  if (typeof value === 'string') return whole === '' ? value : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [key, member] of Object.entries(value)) {
    if (whole !== key && !whole.startsWith(`${key}.`)) continue;
    const found = valueAt(member, whole.slice(key.length + 1));
    if (found !== undefined) return found;
  }
  return undefined;
}

type Reveal = <T>(value: T) => Promise<T>;

async function* jsonReport(
  party: PartyAnswer,
  position: number,
  places: AsyncGenerator<PersonalPlace[]>,
  reveal: Reveal,
): AsyncGenerator<string> {
  yield `${JSON.stringify({ position, party }).slice(0, -1)},"places":[`;
  let isFirst = true;
  for await (const some of places) {
    const shown = (await reveal(some)).map((place) => JSON.stringify(place)).join(',');
    if (shown === '') continue;
    yield isFirst ? shown : `,${shown}`;
    isFirst = false;
  }
  yield ']}';
}

const placeColumns = [
  ...['position', 'recordedAt', 'event', 'aggregateId', 'member', 'effectiveDate', 'number', 'text'],
  ...['account', 'side', 'amount', 'currency', 'keptUntil', 'rule'],
];

async function* csvReport(places: AsyncGenerator<PersonalPlace[]>, reveal: Reveal): AsyncGenerator<string> {
  yield csvRow(placeColumns);
  for await (const some of places)
    yield (await reveal(some))
      .map(({ line, ...place }) =>
        csvRow([
          ...[
            place.position,
            place.recordedAt,
            place.eventType,
            place.aggregateId,
            place.path,
            place.effectiveDate,
            place.number,
            place.text,
          ],
          ...[line?.account, line?.side, line?.amount, line?.currency, place.keptUntil, place.rule],
        ]),
      )
      .join('');
}

/** How a caller is answered who asked for nothing: by pseudonyms. */
export const presentationOf = (asked: string | undefined): Presentation | undefined => {
  if (asked === undefined) return 'masked';
  return asked === 'open' || asked === 'sealed' || asked === 'masked' ? asked : undefined;
};
