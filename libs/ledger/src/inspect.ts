/**
 * Inspect: looks into the log, for engineers who want to know what happened. Hides pages, windows and where an event's author
 * stands; guarantees that events come in the order of the log, each once, none left out, with memory that does not grow with
 * the log, also while following it and across a restart of the database; and that a state is folded from the events by the
 * very reducers that decisions use, never taken from what is stored, with which it is compared.
 *
 * Events are shown as they are stored, because that is what is hashed; only folding reads them in the newest version.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import {
  type AccountState,
  accountReducer,
  type BookState,
  balanceOf,
  bookIdForm,
  bookReducer,
  type CalendarDate,
  fromMinor,
  isDate,
  type JournalEntryPosted,
  type JournalState,
  journalReducer,
  LedgerError,
  type PartyState,
  pairKey,
  partyReducer,
  type RatePair,
  type RatesState,
  ratesReducer,
} from '#domain';
import {
  canonicalJson,
  type EventStore,
  emptyHead,
  envelopeOf,
  type Head,
  instantMicros,
  instantText,
  type RecordedEvent,
  type Reducer,
  type StoredEvent,
  storedOf,
  versionsOf,
} from '#event-store';
import { int8Array, isTransient, textArray, uuidArray } from '#postgres';
import { accountCodes, bookStreamId, draftsStreamId, numbersStreamId, ratesStreamId } from './catalogue';
import { foldedUpTo } from './projection';
import { findEntries, register } from './projections/register';
import type { EventAnswer } from './queries';
import { copyOf, countersSnapshot, countPosted, emptyCounters, type YearCounters, yearCountersVersion } from './year-counters';
import {
  changeDrafts,
  copyOfDrafts,
  draftEventOf,
  draftEvents,
  draftsSnapshot,
  emptyDrafts,
  type YearDrafts,
  yearDraftsVersion,
} from './year-drafts';

/** Rows of one answer of the database. */
const pageRows = 1_000;
/** Positions or versions that one statement looks at, so that a filter that finds nothing still moves on. */
const windowMax = 50_000;
const pollMs = 250;
const restMaxMs = 5_000;
/** Facts of entries and accounts kept for the events that come next. */
const rememberedMax = 20_000;

// --- What is asked, and what is told ---

/** Which events; members that are absent ask for nothing. */
export interface EventFilter {
  /** One stream: see `Inspector.stream`. */
  readonly stream?: string;
  /** Any of these. */
  readonly types?: readonly string[];
  /** Code: the account's own events, and the entries with a line on it. */
  readonly account?: string;
  /** Who caused it: id as events name it. Lines have the author of their entry. */
  readonly userId?: string;
  /** Effective date of entries and their lines; other events have none and are left out. */
  readonly from?: CalendarDate;
  readonly to?: CalendarDate;
  /** When it was recorded: a date (a whole day in UTC) or an RFC 3339 instant; both ends included. */
  readonly recordedFrom?: string;
  readonly recordedTo?: string;
  /** Only events after this position. */
  readonly after?: number;
  /** At most so many, then the end. */
  readonly limit?: number;
  /** Of what is there only so many, the newest. */
  readonly last?: number;
}

export interface FollowOptions {
  /** Goes on with new events until `signal`. */
  readonly follow?: boolean;
  readonly signal?: AbortSignal;
  /** The database does not answer; following goes on when it does. */
  readonly waiting?: (reason: string) => void;
}

/** The entry that an event belongs to. */
export interface EntryOfEvent {
  /** Such as GENERAL/2026/17. */
  readonly number: string;
  readonly userId?: string;
  /** REST, CLI, … */
  readonly source?: string;
}

/** An event as it is stored, with what its bytes do not say. */
export interface InspectedEvent {
  readonly event: EventAnswer;
  /** Of an account's event: the account's code now. */
  readonly account?: string;
  /** Of a line or a change of an entry. */
  readonly entry?: EntryOfEvent;
}

/** One stream, found by what people call it. */
export interface StreamRef {
  readonly aggregateType: string;
  readonly aggregateId: string;
  /** Code, number or id. */
  readonly name: string;
  /** Of the heads that hold the last numbers and the open drafts of a fiscal year: they have no events of their own. */
  readonly fiscalYear?: string;
}

/** A member of a state: absent before when it is new, after when it is gone. */
export interface StateChange {
  /** Such as totals[EUR].debit. */
  readonly path: string;
  readonly before?: string;
  readonly after?: string;
}

/** What the stored head (snapshot) says of the state that was folded. */
export type HeadComparison =
  | { readonly kind: 'agrees'; readonly version: number }
  /** `before` of each change is what is stored, `after` what the events say. */
  | { readonly kind: 'differs'; readonly version: number; readonly changes: readonly StateChange[] }
  /** A snapshot at an earlier version, from where the rest is folded; or of another version of the reducer: it is not used. */
  | { readonly kind: 'older'; readonly version: number; readonly reducerVersion: number }
  | { readonly kind: 'missing' };

export interface StateAnswer {
  readonly book: string;
  readonly stream: StreamRef;
  readonly version: number;
  /** Versions of the stream: 1 to this. */
  readonly versions: number;
  /** The event that led to this version. */
  readonly event: InspectedEvent;
  /** Absent at version 1. */
  readonly before?: unknown;
  readonly state: unknown;
  readonly changes: readonly StateChange[];
  /** At the newest version only. */
  readonly head?: HeadComparison;
}

const columns = `book_id AS "bookId", position, stream_id AS "streamId", version, event_type AS "eventType", event_version AS "eventVersion",
  event_id AS "eventId", recorded_at AS "recordedAt", data, metadata, leaf_hash AS "leafHash"`;

/** A filter with what it names looked up. */
interface Search extends Omit<EventFilter, 'stream' | 'account'> {
  readonly bookId: string;
  readonly streamId?: string;
  readonly accountId?: string;
  /** Microseconds since 1970. */
  readonly until?: number;
  /** The last position recorded by then, where later ones have been recorded since. */
  readonly upTo?: number;
}

/** Events in one order: by position, or by version of a stream; `end` is the last there is. */
interface Source {
  readonly start: number;
  end(): Promise<number>;
  /** Events in (after, upTo], and where they end: at `upTo`, or before it when there are more. */
  page(after: number, upTo: number): Promise<{ events: StoredEvent[]; reached: number }>;
}

export class Inspector {
  constructor(
    private readonly store: EventStore,
    private readonly pool: Pool,
  ) {}

  // --- Events ---

  /**
   * Events of a book in the order of the log, some at a time.
   * @param follow goes on with new ones until the signal or the limit; what the database cannot answer is asked again
   * @throws LedgerError book_unknown | stream_unknown | account_unknown (not_found) | date_invalid | malformed | database_unavailable
   */
  async *events(bookId: string, filter: EventFilter = {}, options: FollowOptions = {}): AsyncGenerator<readonly InspectedEvent[]> {
    const { follow = false, signal } = options;
    const search = await this.search(bookId, filter);
    const source = this.source(search);
    const names = new Names(this.store, this.pool, bookId);
    let left = search.limit ?? Number.MAX_SAFE_INTEGER;
    let end = await source.end();
    let at = source.start;
    if (search.last !== undefined) {
      const found = (await this.newest(source, search, names, search.last, end)).slice(0, left);
      left -= found.length;
      at = end;
      if (found.length > 0) yield found;
    }
    for (let failures = 0; left > 0 && !signal?.aborted; ) {
      try {
        while (at < end && left > 0 && !signal?.aborted) {
          const { events, reached } = await source.page(at, Math.min(end, at + windowMax));
          const matching = (await this.matching(events, search, names)).slice(0, left);
          const inspected = await names.inspect(matching);
          const past =
            search.until !== undefined && events.some(({ recordedAt }) => (instantMicros(recordedAt) ?? 0) > (search.until ?? 0));
          at = reached;
          left -= inspected.length;
          failures = 0;
          if (inspected.length > 0) yield inspected;
          if (past) return;
        }
        if (!follow || left === 0 || search.upTo !== undefined) return;
        await sleep(pollMs, undefined, { signal }).catch(() => {}); // told to stop
        if (signal?.aborted) return;
        end = await source.end();
        if (end < at) {
          throw new Error(
            `the log of book ${bookId} has become shorter: it ends at ${end}, after ${at} was shown; an older backup was put back`,
          );
        }
      } catch (error) {
        if (!follow || !isTransient(error)) throw error;
        options.waiting?.((error as Error).message);
        await sleep(Math.min(pollMs * 2 ** failures++, restMaxMs), undefined, { signal }).catch(() => {}); // told to stop
      }
    }
  }

  private async search(bookId: string, { stream, account, ...filter }: EventFilter): Promise<Search> {
    for (const member of ['from', 'to'] as const) {
      const date = filter[member];
      if (date !== undefined && !isDate(date))
        throw new LedgerError('date_invalid', `${member} "${date}" is not a date YYYY-MM-DD that exists`, { member });
    }
    for (const member of ['after', 'limit', 'last'] as const) {
      const value = filter[member];
      if (value !== undefined && (!Number.isSafeInteger(value) || value < (member === 'limit' ? 1 : 0))) {
        throw new LedgerError('malformed', `${member} "${value}" is not a whole number from ${member === 'limit' ? 1 : 0} on`, { member });
      }
    }
    const unknown = filter.types?.find((type) => !Object.hasOwn(this.store.catalogue, type));
    if (unknown !== undefined) {
      const known = Object.keys(this.store.catalogue).join(', ');
      throw new LedgerError('malformed', `there is no event type ${unknown}; there are ${known}`, { member: 'types' });
    }
    const head = await this.head(bookId);
    const accountId = account === undefined ? undefined : await this.accountId(bookId, account);
    const ref = stream === undefined ? undefined : await this.stream(bookId, stream);
    if (ref?.fiscalYear !== undefined) {
      throw new LedgerError(
        'stream_unknown',
        ref.aggregateType === 'Drafts'
          ? `${stream} has no events of its own: it lists what drafts do (--type JournalCreated, JournalRevised, …)`
          : `${stream} has no events of its own: its numbers are given by entries (--type JournalEntryPosted)`,
      );
    }
    const since = filter.recordedFrom === undefined ? undefined : microsOfBound('recordedFrom', filter.recordedFrom, 'T00:00:00Z');
    const until = filter.recordedTo === undefined ? undefined : microsOfBound('recordedTo', filter.recordedTo, 'T23:59:59.999999Z');
    const before = since === undefined ? 0 : await this.positionBefore(bookId, since);
    const ended = until === undefined || head.recordedAt <= until ? undefined : await this.positionBefore(bookId, until + 1);
    return { ...filter, bookId, streamId: ref?.aggregateId, accountId, until, upTo: ended, after: Math.max(filter.after ?? 0, before) };
  }

  private source({
    bookId,
    streamId,
    accountId,
    types,
    userId,
    from,
    to,
    after = 0,
    upTo: most = Number.MAX_SAFE_INTEGER,
  }: Search): Source {
    if (streamId === undefined && accountId === undefined) {
      return {
        start: after,
        end: async () => Math.min((await this.store.head(bookId)).position, most),
        page: async (begin, upTo) => {
          // `matching` filters what comes from cold storage.
          const cold = async (): Promise<{ events: StoredEvent[]; reached: number } | undefined> => {
            const line = Math.min(upTo, begin + pageRows, await this.store.cold.line(bookId));
            return begin < line ? { events: await this.store.cold.stored(bookId, begin, line), reached: line } : undefined;
          };
          const before = await cold();
          if (before !== undefined) return before;
          const { rows } = await this.pool.query<StoredEvent>({
            name: 'inspect-log',
            text: `SELECT ${columns} FROM log.events t
                    WHERE book_id = $1 AND position > $2 AND position <= $3 AND ($4::text[] IS NULL OR event_type = ANY ($4::text[]))
                      AND ($5::text IS NULL OR data ->> 'effectiveDate' >= $5 COLLATE "C") AND ($6::text IS NULL OR data ->> 'effectiveDate' <= $6 COLLATE "C")
                      AND ($8::text IS NULL OR metadata ->> 'userId' = $8 OR (event_type IN ('AccountDebited', 'AccountCredited')
                           AND coalesce((SELECT e.metadata ->> 'userId' FROM log.events e WHERE e.book_id = $1 AND e.position = (t.data ->> 'entryPosition')::int8), $8) = $8))
                    ORDER BY position LIMIT $7`,
            values: [
              bookId,
              begin,
              upTo,
              types === undefined ? null : textArray(types),
              from ?? null,
              to ?? null,
              pageRows,
              userId ?? null,
            ],
          });
          // Asked again after the rows: what has become cold before these were read is seen by it.
          const meanwhile = await cold();
          if (meanwhile !== undefined) return meanwhile;
          return { events: rows, reached: rows.length < pageRows ? upTo : (rows.at(-1)?.position ?? upTo) };
        },
      };
    }
    const id = streamId ?? accountId ?? '';
    return {
      start: 0,
      end: () => this.versions(bookId, id),
      page: async (begin, upTo) => {
        const { rows } = await this.pool.query<StoredEvent>({
          name: 'inspect-stream',
          text: `SELECT ${columns} FROM log.events WHERE book_id = $1 AND stream_id = $2 AND version > $3 AND version <= $4 AND position > $5
                  AND position <= $6 ORDER BY version LIMIT $7`,
          values: [bookId, id, begin, upTo, after, most, pageRows],
        });
        const cold =
          rows[0]?.version === begin + 1 ? [] : await this.store.cold.ofStream(bookId, id, begin, Math.min(upTo - begin, pageRows));
        const coldUpTo = cold.at(-1)?.version;
        const found = coldUpTo === undefined ? rows : cold.filter(({ position }) => position > after && position <= most);
        const reached = coldUpTo ?? (rows.length < pageRows ? upTo : (rows.at(-1)?.version ?? upTo));
        if (streamId !== undefined) return { events: found, reached };
        // An entry is shown before its first line on this account, which its own list of lines tells, wherever a page begins.
        const positions = found.map(entryPositionOf).filter((position) => position !== undefined && position > after);
        const entries = new Map((await this.at(bookId, positions as number[])).map((entry) => [entry.position, entry]));
        const events = found.flatMap((row) => {
          const entry = entries.get(entryPositionOf(row) ?? 0);
          return entry !== undefined && row.data.line === firstLineOn(entry.data, id) ? [entry, row] : [row];
        });
        return { events, reached };
      },
    };
  }

  private async matching(events: readonly StoredEvent[], search: Search, names: Names): Promise<StoredEvent[]> {
    const { types, from, to, userId, until, accountId, streamId } = search;
    const found = events.filter(({ eventType, streamId: id, data, recordedAt }) => {
      const date = data.effectiveDate as string | undefined;
      if (types !== undefined && !types.includes(eventType)) return false;
      if (from !== undefined && (date === undefined || date < from)) return false;
      if (to !== undefined && (date === undefined || date > to)) return false;
      if (until !== undefined && (instantMicros(recordedAt) ?? 0) > until) return false;
      return accountId === undefined || streamId === undefined || id === accountId || touches(data, accountId);
    });
    if (userId === undefined) return found;
    const entries = await names.entries(found);
    return found.filter((event) => (event.metadata.userId ?? entries.get(event)?.userId) === userId);
  }

  /** The newest that match: windows are read from the end on, larger ones as long as too few match. */
  private async newest(source: Source, search: Search, names: Names, count: number, end: number): Promise<InspectedEvent[]> {
    let found: StoredEvent[] = [];
    for (
      let high = end, size = Math.max(count, 100);
      high > source.start && found.length < count && count > 0;
      size = Math.min(size * 2, windowMax)
    ) {
      const low = Math.max(source.start, high - size);
      const window: StoredEvent[] = [];
      for (let at = low; at < high; ) {
        const { events, reached } = await source.page(at, high);
        window.push(...(await this.matching(events, search, names)));
        if (window.length > count) window.splice(0, window.length - count);
        at = reached;
      }
      found = [...window, ...found];
      high = low;
    }
    return names.inspect(found.slice(-count));
  }

  // --- Streams ---

  /**
   * The stream that a text names: `book`, `account:CODE`, `journal:ID` or `journal:GENERAL/2026/17`, `numbers:2026`, `drafts:2026`, `rates:USD/EUR/spot`, an id;
   * also a code or a number of an entry alone.
   * @throws LedgerError book_unknown | stream_unknown
   */
  async stream(bookId: string, text: string): Promise<StreamRef> {
    await this.head(bookId);
    const [, kind, rest = ''] = /^(account|journal|entry|numbers|drafts|rates|party):(.*)$/s.exec(text) ?? [];
    const id = (kind === undefined ? text : kind === 'journal' || kind === 'entry' || kind === 'party' ? rest : '').toLowerCase();
    const unknown = (what: string): LedgerError => new LedgerError('stream_unknown', `there is no ${what} in book ${bookId}`);
    if (kind === 'account') return { aggregateType: 'Account', aggregateId: await this.accountId(bookId, rest), name: rest };
    if (kind === 'rates') {
      const aggregateId = ratesStreamId(bookId, rest);
      const [first] = await this.store.readStream(bookId, aggregateId, { limit: 1 });
      if (first === undefined) throw unknown(`exchange rate ${rest} (FROM/TO/TYPE, like USD/EUR/spot)`);
      return { aggregateType: 'ExchangeRates', aggregateId, name: rest };
    }
    if (kind === 'numbers' || kind === 'drafts') {
      const years = await this.fiscalYears(bookId);
      if (years.includes(rest)) {
        const [aggregateType, idOf] = kind === 'numbers' ? (['Numbers', numbersStreamId] as const) : (['Drafts', draftsStreamId] as const);
        return { aggregateType, aggregateId: idOf(bookId, rest), name: rest, fiscalYear: rest };
      }
      throw unknown(`fiscal year ${rest}; there are ${years.join(', ')}: no such year`);
    }
    if (text === 'book') return { aggregateType: 'Book', aggregateId: bookStreamId(bookId), name: bookId };
    if (uuidForm.test(id)) {
      const [first] = await this.store.readStream(bookId, id, { limit: 1 });
      if (first !== undefined) {
        const { aggregateType } = this.envelope(first);
        if (kind === undefined || aggregateType === (kind === 'party' ? 'Party' : 'Journal'))
          return { aggregateType, aggregateId: id, name: await this.nameOf(bookId, first) };
      }
      for (const year of kind === undefined ? await this.fiscalYears(bookId) : []) {
        if (numbersStreamId(bookId, year) === id) return this.stream(bookId, `numbers:${year}`);
        if (draftsStreamId(bookId, year) === id) return this.stream(bookId, `drafts:${year}`);
      }
      throw unknown(kind === undefined ? `stream ${id}` : kind === 'party' ? `party ${id}` : `entry ${id}`);
    }
    const [, journalCode, fiscalYear, number] = /^([^/]+)\/(.+)\/([1-9]\d{0,14})$/.exec(kind === undefined ? text : rest) ?? [];
    if (journalCode !== undefined && fiscalYear !== undefined) {
      const found = await this.entryByNumber(bookId, journalCode, fiscalYear, Number(number));
      if (found !== undefined) return { aggregateType: 'Journal', aggregateId: found, name: `${journalCode}/${fiscalYear}/${number}` };
    }
    if (kind !== undefined) throw unknown(`entry ${rest}`);
    const account = (await this.store.streamsByName(bookId, accountCodes, [text])).get(text);
    if (account !== undefined) return { aggregateType: 'Account', aggregateId: account, name: text };
    throw unknown(
      `stream "${text}": name it as book, account:CODE, journal:ID, journal:GENERAL/2026/17, numbers:2026, drafts:2026, rates:USD/EUR/spot, or by its id; no such stream`,
    );
  }

  private async nameOf(bookId: string, first: RecordedEvent): Promise<string> {
    if (first.eventType === 'JournalEntryPosted') return numberOf(first.data) ?? first.streamId;
    if (first.eventType === 'JournalCreated') {
      const [posted] = await postedOf(this.pool, this.store, bookId, [first.streamId]);
      return (posted === undefined ? undefined : numberOf(posted.data)) ?? first.streamId;
    }
    if (first.eventType === 'ExchangeRateRecorded') return pairKey(first.data as unknown as RatePair);
    if (first.eventType !== 'AccountOpened') return first.eventType === 'BookOpened' ? bookId : first.streamId;
    const head = (await this.store.heads(bookId, [first.streamId], () => accountReducer.version)).get(first.streamId);
    return (head?.state as { code?: string } | undefined)?.code ?? String(first.data.code);
  }

  /** By the projection, checked against the event; else by the log, which the projection may lag behind. */
  private async entryByNumber(bookId: string, journalCode: string, fiscalYear: string, number: number): Promise<string | undefined> {
    const search = { journalCodes: [journalCode], fiscalYear, number };
    const [row] = await findEntries(this.pool, bookId, search, { sort: 'position', position: Number.MAX_SAFE_INTEGER, limit: 1 });
    const isIt = (event: StoredEvent | undefined): boolean =>
      event !== undefined && numberOf(event.data) === `${journalCode}/${fiscalYear}/${number}`;
    const known = row === undefined ? undefined : (await postedOf(this.pool, this.store, bookId, [row.entryId]))[0];
    if (isIt(known)) return known?.streamId;
    const folded = row === undefined ? await foldedUpTo(this.pool, bookId, [register]) : 0;
    for await (const event of this.postedIn(bookId, fiscalYear, folded)) if (isIt(event)) return event.streamId;
    return undefined;
  }

  /** The entries of a fiscal year after a position, in order: what gave its numbers. */
  private async *postedIn(bookId: string, fiscalYear: string, after: number, last?: number): AsyncGenerator<StoredEvent> {
    const head = last ?? (await this.head(bookId)).position;
    for (let at = after; at < head; ) {
      const upTo = Math.min(head, at + windowMax);
      const { rows } = await this.pool.query<StoredEvent>({
        name: 'inspect-posted',
        text: `SELECT ${columns} FROM log.events WHERE book_id = $1 AND position > $2 AND position <= $3
                  AND event_type = 'JournalEntryPosted' AND data ->> 'fiscalYear' = $4 ORDER BY position LIMIT $5`,
        values: [bookId, at, upTo, fiscalYear, pageRows],
      });
      const cold = Math.min(upTo, await this.store.cold.line(bookId));
      if (at < cold) {
        for await (const events of this.store.cold.between(bookId, at, cold, (type) => type === 'JournalEntryPosted'))
          for (const event of events) {
            const stored = storedOf(bookId, event);
            if (stored.data.fiscalYear === fiscalYear) yield stored;
          }
        at = cold;
        continue;
      }
      yield* rows;
      at = rows.length < pageRows ? upTo : (rows.at(-1)?.position ?? upTo);
    }
  }

  // --- States ---

  /**
   * The state of an aggregate at a version, as the domain's reducer folds it from the events, with the event that led to it
   * and what that event changed. At the newest version the stored head is compared with it.
   * @param at the newest version when absent
   * @throws LedgerError book_unknown | stream_unknown (also for a version that does not exist) | malformed
   */
  async state(bookId: string, text: string, at?: number): Promise<StateAnswer> {
    if (at !== undefined && (!Number.isSafeInteger(at) || at < 1))
      throw new LedgerError('malformed', `version "${at}" is not a whole number from 1 on; a stream begins with version 1`, {
        member: 'at',
      });
    const stream = await this.stream(bookId, text);
    const folded =
      stream.fiscalYear === undefined
        ? await this.fold(bookId, stream, at)
        : stream.aggregateType === 'Drafts'
          ? await this.foldDrafts(bookId, stream.aggregateId, stream.fiscalYear, at)
          : await this.foldNumbers(bookId, stream.aggregateId, stream.fiscalYear, at);
    const { versions, before, state, event, head } = folded;
    if (state === undefined || event === undefined) {
      throw new LedgerError('stream_unknown', `${stream.name} has versions 1 to ${versions}; there is no version ${at}`);
    }
    const [inspected] = await new Names(this.store, this.pool, bookId).inspect([event]);
    return {
      book: bookId,
      stream,
      version: at ?? versions,
      versions,
      event: inspected as InspectedEvent,
      ...(before === undefined ? {} : { before }),
      state,
      changes: differences(before, state),
      ...(head === undefined ? {} : { head }),
    };
  }

  private async fold(bookId: string, { aggregateType, aggregateId, name }: StreamRef, wanted: number | undefined): Promise<Folded> {
    const how = Object.hasOwn(aggregates, aggregateType) ? aggregates[aggregateType] : undefined;
    if (how === undefined) throw new LedgerError('stream_unknown', `${name} is a ${aggregateType}, which this release cannot fold`);
    const { reducer, show } = how;
    // Both in one statement: between two an event could be appended.
    const { rows } = await this.pool.query<{ versions: number | null } & StoredHead>({
      name: 'inspect-head',
      text: `SELECT ${versionsOf} AS versions,
                    h.version, h.reducer_version AS "reducerVersion", h.state
               FROM (VALUES (1)) AS one (n) LEFT JOIN log.heads h ON h.book_id = $1 AND h.stream_id = $2`,
      values: [bookId, aggregateId],
    });
    const stored = rows[0];
    const versions = stored?.versions ?? 0;
    const at = wanted ?? versions;
    if (versions === 0) throw new LedgerError('stream_unknown', `${name} has no events in book ${bookId}`);
    if (at > versions) return { versions };
    let before: unknown;
    let state: unknown;
    let event: RecordedEvent | undefined;
    for (let version = 0; version < at; ) {
      const events = await this.store.readStream(bookId, aggregateId, { after: version, limit: Math.min(5_000, at - version) });
      if (events.length === 0) throw gap(name, version + 1);
      for (const next of events) {
        if (next.version !== version + 1) throw gap(name, version + 1);
        version = next.version;
        before = state;
        event = next;
        try {
          state = reducer.evolve(state, { type: next.eventType as never, data: next.current as never }, aggregateId);
        } catch (error) {
          throw new Error(
            `${name} cannot be folded beyond version ${version - 1}: event ${bookId}/${next.position} ${next.eventType}: ${(error as Error).message}`,
            { cause: error },
          );
        }
      }
    }
    const head = at === versions ? compareHead(stored, versions, how, reducer.toSnapshot(state)) : undefined;
    return { versions, before: before === undefined ? undefined : show(before), state: show(state), event, head };
  }

  /** The last numbers of a fiscal year: version 1 is its definition, and each entry of the year one more. */
  private async foldNumbers(bookId: string, streamId: string, fiscalYear: string, wanted: number | undefined): Promise<Folded> {
    const stored = await this.storedAt(bookId, streamId);
    const show = ({ last, periods }: YearCounters): unknown => ({
      fiscalYear,
      last: [...last].sort().map(([journalCode, number]) => ({ journalCode, number })),
      periods: [...periods]
        .sort(([a], [b]) => a - b)
        .map(([period, { entries, sums }]) => ({
          period,
          entries,
          totals: sums.map(({ currency, scale, debit }) => ({ currency, debit: fromMinor(debit, scale) })),
        })),
    });
    const definition = await this.definitionOf(bookId, fiscalYear);
    const [opened] = await this.store.readStream(bookId, bookStreamId(bookId), { limit: 1 });
    const tracked = opened?.data.fx === 'tracked';
    let versions = 1;
    let before = emptyCounters();
    const at = emptyCounters();
    let event: StoredEvent | undefined = definition;
    for await (const posted of this.postedIn(bookId, fiscalYear, 0, stored?.position)) {
      versions++;
      if (wanted !== undefined && versions > wanted) continue;
      before = copyOf(at);
      countPosted(at, posted.data as unknown as JournalEntryPosted, tracked);
      event = posted;
    }
    if (wanted !== undefined && wanted > versions) return { versions };
    const head =
      (wanted ?? versions) === versions ? compareHead(stored, versions, numbersHead, countersSnapshot(fiscalYear, at)) : undefined;
    return { versions, before: (wanted ?? versions) === 1 ? undefined : show(before), state: show(at), event, head };
  }

  /** The open drafts of a fiscal year: version 1 is its definition, and each event that changes the list one more. */
  private async foldDrafts(bookId: string, streamId: string, fiscalYear: string, wanted: number | undefined): Promise<Folded> {
    const stored = await this.storedAt(bookId, streamId);
    const show = ({ open }: YearDrafts): unknown => ({ fiscalYear, drafts: [...open].map(([id, draft]) => ({ id, ...draft })) });
    const drafts = emptyDrafts();
    let before = emptyDrafts();
    let at = emptyDrafts();
    let position: number | undefined;
    for await (const events of draftEvents(this.store, bookId, stored?.position ?? 0)) {
      for (const event of events) {
        const { version } = drafts;
        changeDrafts(drafts, fiscalYear, draftEventOf(event));
        if (drafts.version === version || (wanted !== undefined && drafts.version > wanted)) continue;
        [before, at] = [at, copyOfDrafts(drafts)];
        ({ position } = event);
      }
    }
    const versions = drafts.version;
    if (wanted !== undefined && wanted > versions) return { versions };
    const event = position === undefined ? await this.definitionOf(bookId, fiscalYear) : (await this.at(bookId, [position]))[0];
    const head = at.version === versions ? compareHead(stored, versions, draftsHead, draftsSnapshot(fiscalYear, at)) : undefined;
    return { versions, before: at.version === 1 ? undefined : show(before), state: show(at), event, head };
  }

  /** A head, and the position of the book that it belongs to: in one statement, since what is compared must end where it was stored. */
  private async storedAt(bookId: string, streamId: string): Promise<(StoredHead & { readonly position: number }) | undefined> {
    const { rows } = await this.pool.query<StoredHead & { position: number }>({
      name: 'inspect-stored',
      text: `SELECT b.position, h.version, h.reducer_version AS "reducerVersion", h.state
               FROM log.book_heads b LEFT JOIN log.heads h ON h.book_id = b.book_id AND h.stream_id = $2 WHERE b.book_id = $1`,
      values: [bookId, streamId],
    });
    return rows[0];
  }

  private async definitionOf(bookId: string, fiscalYear: string): Promise<StoredEvent | undefined> {
    const all = await this.store.readStream(bookId, bookStreamId(bookId));
    return all.find(({ eventType, data }) => eventType === 'FiscalYearDefined' && data.label === fiscalYear);
  }

  // --- Small questions ---

  /** @throws LedgerError book_unknown */
  private async head(bookId: string): Promise<Head> {
    const head = bookIdForm.test(bookId) ? await this.store.head(bookId) : emptyHead;
    if (head.position === 0) throw new LedgerError('book_unknown', `there is no book ${bookId}`, { book: bookId });
    return head;
  }

  private async accountId(bookId: string, code: string): Promise<string> {
    const id = (await this.store.streamsByName(bookId, accountCodes, [code.normalize('NFC')])).get(code.normalize('NFC'));
    if (id === undefined)
      throw new LedgerError('account_unknown', `there is no account ${code} in book ${bookId}`, { account: code }, 'not_found');
    return id;
  }

  /** Also of years that were replaced: their heads are there. */
  private async fiscalYears(bookId: string): Promise<string[]> {
    const book = await this.store.load(bookId, bookStreamId(bookId), bookReducer);
    return [...(book?.state.fiscalYears ?? []).map(({ label }) => label), ...(book?.state.replaced ?? [])];
  }

  private async versions(bookId: string, streamId: string): Promise<number> {
    const { rows } = await this.pool.query<{ versions: number | null }>({
      name: 'inspect-versions',
      text: `SELECT ${versionsOf} AS versions`,
      values: [bookId, streamId],
    });
    return rows[0]?.versions ?? 0;
  }

  /** The last position recorded before an instant. Unlike a question "as known at" it makes nothing final, so it asks nothing of writers. */
  private async positionBefore(bookId: string, micros: number): Promise<number> {
    const { rows } = await this.pool.query<{ last_position: number }>({
      name: 'inspect-position-before',
      text: `SELECT last_position FROM log.batches WHERE book_id = $1 AND recorded_at < $2::timestamptz ORDER BY recorded_at DESC LIMIT 1`,
      values: [bookId, instantText(micros)],
    });
    return rows[0]?.last_position ?? 0;
  }

  private at(bookId: string, positions: readonly number[]): Promise<StoredEvent[]> {
    return eventsAt(this.pool, this.store, bookId, positions);
  }

  private envelope(event: StoredEvent): EventAnswer {
    return answerOf(this.store, event);
  }
}

interface StoredHead {
  readonly version: number | null;
  readonly reducerVersion: number;
  readonly state: unknown;
}

interface Folded {
  readonly versions: number;
  readonly before?: unknown;
  readonly state?: unknown;
  readonly event?: StoredEvent;
  readonly head?: HeadComparison;
}

const uuidForm = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const gap = (name: string, version: number): Error => new Error(`${name} lacks version ${version}: versions of a stream have no gap (I5)`);

function microsOfBound(member: string, text: string, time: string): number {
  const micros = instantMicros(isDate(text) ? `${text}${time}` : text);
  if (micros === undefined || !Number.isSafeInteger(micros)) {
    throw new LedgerError('date_invalid', `${member} "${text}" is neither a date YYYY-MM-DD nor an instant like 2026-01-31T18:00:00Z`, {
      member,
    });
  }
  return micros;
}

function entryPositionOf({ eventType, data }: StoredEvent): number | undefined {
  return eventType === 'AccountDebited' || eventType === 'AccountCredited' ? (data.entryPosition as number | undefined) : undefined;
}

function touches(data: StoredEvent['data'], accountId: string): boolean {
  return Array.isArray(data.lines) && data.lines.some((line: { accountId?: unknown } | null) => line?.accountId === accountId);
}

function firstLineOn(data: StoredEvent['data'], accountId: string): unknown {
  const lines = (Array.isArray(data.lines) ? data.lines : []) as ({ line?: unknown; accountId?: unknown } | null)[];
  return lines.find((line) => line?.accountId === accountId)?.line;
}

function numberOf({ journalCode, fiscalYear, number }: StoredEvent['data']): string | undefined {
  return number === undefined ? undefined : `${journalCode}/${fiscalYear}/${number}`;
}

/** Where entries were posted: the first event of most, a later one of those that began as drafts. */
async function postedOf(pool: Pool, store: EventStore, bookId: string, ids: readonly string[]): Promise<StoredEvent[]> {
  if (ids.length === 0) return [];
  const { rows } = await pool.query<StoredEvent>({
    name: 'inspect-posting',
    text: `SELECT ${columns} FROM unnest($2::uuid[]) AS wanted (id),
             LATERAL (SELECT * FROM log.events t WHERE t.book_id = $1 AND t.stream_id = wanted.id AND t.event_type = 'JournalEntryPosted'
                      ORDER BY t.version LIMIT 1) AS e`,
    values: [bookId, uuidArray(ids)],
  });
  const hot = new Set(rows.map(({ streamId }) => streamId));
  const missing = ids.filter((id) => !hot.has(id));
  if (missing.length > 0)
    for (const events of (await store.cold.ofStreams(bookId, missing)).values()) {
      const posted = events.find(({ eventType }) => eventType === 'JournalEntryPosted');
      if (posted !== undefined) rows.push(storedOf(bookId, posted));
    }
  return rows;
}

async function eventsAt(pool: Pool, store: EventStore, bookId: string, positions: readonly number[]): Promise<StoredEvent[]> {
  if (positions.length === 0) return [];
  const wanted = [...new Set(positions)];
  const { rows } = await pool.query<StoredEvent>({
    name: 'inspect-at',
    text: `SELECT ${columns} FROM unnest($2::int8[]) AS wanted (at),
             LATERAL (SELECT * FROM log.events t WHERE t.book_id = $1 AND t.position = wanted.at OFFSET 0) AS e`,
    values: [bookId, int8Array(wanted)],
  });
  if (rows.length === wanted.length) return rows;
  const hot = new Set(rows.map(({ position }) => position));
  return [
    ...(await store.cold.at(
      bookId,
      wanted.filter((position) => !hot.has(position)),
    )),
    ...rows,
  ];
}

/** The same object that the REST API answers; an event of a type that this release does not know is shown all the same. */
function answerOf({ catalogue }: EventStore, event: StoredEvent): EventAnswer {
  const known = Object.hasOwn(catalogue, event.eventType)
    ? catalogue
    : { [event.eventType]: { aggregateType: 'unknown', version: event.eventVersion } };
  return { ...envelopeOf(known, event), leafHash: event.leafHash.toString('hex') };
}

/** What events do not say themselves: the code of an account, number and author of a line's entry. Asked for a page at a time. */
class Names {
  private readonly codes = new Map<string, string>();
  private readonly entriesAt = new Map<number, EntryOfEvent>();
  private readonly entriesById = new Map<string, EntryOfEvent>();

  constructor(
    private readonly store: EventStore,
    private readonly pool: Pool,
    private readonly bookId: string,
  ) {}

  async inspect(events: readonly StoredEvent[]): Promise<InspectedEvent[]> {
    const entries = await this.entries(events);
    const codes = await this.accountCodes(events);
    return events.map((event) => {
      const account = codes.get(event.streamId);
      const entry = entries.get(event);
      return {
        event: answerOf(this.store, event),
        ...(account === undefined ? {} : { account }),
        ...(entry === undefined ? {} : { entry }),
      };
    });
  }

  /** The entries of lines and of changes of an entry. */
  async entries(events: readonly StoredEvent[]): Promise<Map<StoredEvent, EntryOfEvent>> {
    this.forget();
    for (const event of events) if (event.eventType === 'JournalEntryPosted') this.learn(event);
    const missing = events.map(entryPositionOf).filter((position) => position !== undefined && !this.entriesAt.has(position));
    for (const entry of await eventsAt(this.pool, this.store, this.bookId, missing as number[])) this.learn(entry);
    const changed = events.filter(
      (event) => this.isJournal(event) && event.eventType !== 'JournalEntryPosted' && !this.entriesById.has(event.streamId),
    );
    const posted = await postedOf(this.pool, this.store, this.bookId, [...new Set(changed.map(({ streamId }) => streamId))]);
    for (const entry of posted) this.learn(entry);
    const found = new Map<StoredEvent, EntryOfEvent>();
    for (const event of events) {
      const position = entryPositionOf(event);
      const entry =
        position !== undefined ? this.entriesAt.get(position) : this.isJournal(event) ? this.entriesById.get(event.streamId) : undefined;
      if (entry !== undefined) found.set(event, entry);
    }
    return found;
  }

  private isJournal({ eventType }: StoredEvent): boolean {
    const { catalogue } = this.store;
    return Object.hasOwn(catalogue, eventType) && catalogue[eventType]?.aggregateType === 'Journal';
  }

  private learn({ position, streamId, data, metadata }: StoredEvent): void {
    const number = numberOf(data);
    if (number === undefined) return;
    const { userId, source } = metadata as { userId?: string; source?: string };
    const entry = { number, ...(userId === undefined ? {} : { userId }), ...(source === undefined ? {} : { source }) };
    this.entriesAt.set(position, entry);
    this.entriesById.set(streamId, entry);
  }

  private async accountCodes(events: readonly StoredEvent[]): Promise<ReadonlyMap<string, string>> {
    const { catalogue } = this.store;
    const ids = events
      .filter(({ eventType }) => Object.hasOwn(catalogue, eventType) && catalogue[eventType]?.aggregateType === 'Account')
      .map(({ streamId }) => streamId);
    const missing = [...new Set(ids)].filter((id) => !this.codes.has(id));
    for (const [id, { state }] of missing.length === 0 ? [] : await this.store.heads(this.bookId, missing, () => accountReducer.version)) {
      this.codes.set(id, (state as { code: string }).code);
    }
    // What another event of this page says is newer than what is remembered, or all that is known where no head is stored.
    for (const { streamId, eventType, data } of events) {
      if (eventType === 'AccountCodeChanged' || (eventType === 'AccountOpened' && !this.codes.has(streamId)))
        this.codes.set(streamId, String(data.code));
    }
    return this.codes;
  }

  private forget(): void {
    for (const known of [this.codes, this.entriesAt, this.entriesById]) if (known.size > rememberedMax) known.clear();
  }
}

// --- Aggregates, as states are shown ---

interface Aggregate {
  readonly reducer: Pick<Reducer<unknown>, 'version' | 'evolve' | 'toSnapshot'>;
  /** Whether its head is stored with every append, and then read without looking for later events. */
  readonly headAlways: boolean;
  /** A state as JSON, for people: every member, amounts as decimals. */
  show(state: unknown): unknown;
}

const aggregates: Readonly<Record<string, Aggregate>> = {
  Book: { reducer: bookReducer as unknown as Aggregate['reducer'], headAlways: true, show: (state) => withoutVersion(state as BookState) },
  Account: {
    reducer: accountReducer as unknown as Aggregate['reducer'],
    headAlways: true,
    show: (state) => showAccount(state as AccountState),
  },
  Journal: {
    reducer: journalReducer as unknown as Aggregate['reducer'],
    headAlways: false,
    show: (state) => withoutVersion(state as JournalState),
  },
  ExchangeRates: {
    reducer: ratesReducer as unknown as Aggregate['reducer'],
    headAlways: false,
    show: (state) => withoutVersion(state as RatesState),
  },
  Party: {
    reducer: partyReducer as unknown as Aggregate['reducer'],
    headAlways: true,
    show: (state) => withoutVersion(state as PartyState),
  },
};

function withoutVersion<T extends { readonly version: number }>({ version: _version, ...state }: T): unknown {
  return JSON.parse(JSON.stringify(state));
}

function showAccount({ id: _id, totals, ...state }: AccountState): unknown {
  const account = { ...state, id: _id, totals };
  return {
    ...(withoutVersion(state) as object),
    totals: totals.map((total) => ({
      currency: total.currency,
      debit: fromMinor(total.debit, total.scale),
      credit: fromMinor(total.credit, total.scale),
      balance: fromMinor(balanceOf(account, total), total.scale),
    })),
  };
}

/** How the head of a fiscal year's numbers is kept; the writer has no reducer for it. */
const numbersHead = { reducer: { version: yearCountersVersion }, headAlways: true };
const draftsHead = { reducer: { version: yearDraftsVersion }, headAlways: true };

function compareHead(
  stored: StoredHead | undefined,
  versions: number,
  { reducer, headAlways }: { readonly reducer: Pick<Aggregate['reducer'], 'version'>; readonly headAlways: boolean },
  snapshot: unknown,
): HeadComparison {
  if (stored === undefined || stored.version === null) return { kind: 'missing' };
  const { version, reducerVersion } = stored;
  if (reducerVersion !== reducer.version || (version < versions && !headAlways)) return { kind: 'older', version, reducerVersion };
  if (version === versions && canonicalJson(stored.state) === canonicalJson(snapshot)) return { kind: 'agrees', version };
  const place = version === versions ? [] : [{ path: 'version', before: String(version), after: String(versions) }];
  return { kind: 'differs', version, changes: [...place, ...differences(stored.state, JSON.parse(canonicalJson(snapshot)))] };
}

/** Members by which the elements of a list are told apart, in this order. */
const elementNames = ['currency', 'label', 'journalCode', 'line', 'no', 'key', 'scheme', 'id'] as const;
/** Elements named so are shown as one member each: most never change, and an open draft is a row of a list. */
const fixedElements: ReadonlySet<string> = new Set(['line', 'no', 'id']);

/** The members of a state as a list of paths and values, such as `totals[EUR].debit` and `100.00`. */
export function membersOf(value: unknown, path = ''): [path: string, value: string][] {
  if (Array.isArray(value)) {
    const name = elementName(value);
    return value.flatMap((element, index): [string, string][] => {
      if (name === undefined) return membersOf(element, `${path}[${index}]`);
      const { [name]: own, ...rest } = element as Record<string, unknown>;
      const place = `${path}[${own}]`;
      if (!fixedElements.has(name)) return membersOf(rest, place);
      const members = membersOf(rest).sort(([one], [other]) => (one < other ? -1 : 1));
      return [[place, members.map(([key, member]) => `${key}=${member}`).join('  ')]];
    });
  }
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([key, member]) => membersOf(member, path === '' ? key : `${path}.${key}`));
  }
  return value === undefined ? [] : [[path, typeof value === 'string' ? value : JSON.stringify(value)]];
}

/** The member that every element has and no two have alike. */
function elementName(elements: readonly unknown[]): string | undefined {
  return elementNames.find((name) => {
    const names = elements.map((element) =>
      typeof element === 'object' ? (element as Record<string, unknown> | null)?.[name] : undefined,
    );
    return !names.includes(undefined) && new Set(names).size === elements.length;
  });
}

function differences(before: unknown, after: unknown): StateChange[] {
  const old = new Map(membersOf(before));
  const now = new Map(membersOf(after));
  const changes: StateChange[] = [];
  for (const path of new Set([...old.keys(), ...now.keys()])) {
    const [was, is] = [old.get(path), now.get(path)];
    if (was !== is) changes.push({ path, ...(was === undefined ? {} : { before: was }), ...(is === undefined ? {} : { after: is }) });
  }
  return changes;
}
