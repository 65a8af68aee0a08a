/**
 * The plain form of the write path, for tests only (DESIGN section 5, rule 8): lock the head, look up the receipt, load
 * states, decide, append, commit, as separate statements of one SQL transaction, as an administrator. It holds nothing in
 * memory between calls, knows no queue, no speculation and no append function, and folds every state from the first event
 * on; what it writes is what the service's ledger must write for the same commands in the same batches.
 */
import { createHash } from 'node:crypto';
import type { Client, Pool } from 'pg';
import {
  type AccountState,
  accountReducer,
  approveDraft,
  type BookState,
  type BookView,
  bookReducer,
  changeAccount,
  closePeriod,
  correctEntry,
  createDraft,
  Decision,
  defineFiscalYear,
  defineJournal,
  designateAccount,
  discardDraft,
  emptyTally,
  enableCurrency,
  type JournalEntryPosted,
  type JournalState,
  journalReducer,
  LedgerError,
  type OpenDraft,
  type OpenDrafts,
  openAccount,
  openBook,
  type PartyState,
  type PeriodTally,
  pairKey,
  partyReducer,
  postEntry,
  type RatePair,
  type RatesState,
  ratesReducer,
  recordRates,
  rejectDraft,
  reopenPeriod,
  reverseEntry,
  reviseDraft,
  submitDraft,
  todayIn,
} from '#domain';
import { canonicalJson, EventStore, instantMicros, instantText, leafHashOf, type Receipt, uuidV7 } from '#event-store';
import {
  type Answer,
  accountCodes,
  addTally,
  bookStreamId,
  type Command,
  type CommandContext,
  catalogue,
  checkKey,
  countPosted,
  draftsStreamId,
  emptyCounters,
  isRemembered,
  memberFingerprints,
  normalise,
  numbersStreamId,
  problemBody,
  ratesStreamId,
  type YearCounters,
} from '#ledger';
import { connect } from '#postgres';

export interface ReferenceOptions {
  /** Microseconds since 1970; the system's clock when absent. */
  readonly now?: () => number;
  /** A new UUIDv7 for accounts, entries and events. */
  readonly newId?: () => string;
  readonly release?: string;
}

/** One command with its circumstances; `item` numbers the entries of a batch call, 0 is a command of its own. */
export interface Commanded {
  readonly command: Command;
  readonly context: CommandContext;
  readonly item?: number;
}

interface BookHead {
  readonly position: number;
  readonly recorded_at: string;
  readonly recorded_floor: string;
}

/** The aggregates of one book as the commands of one batch see them, each on what the ones before it left. */
class Loaded implements BookView {
  state: BookState | undefined;
  readonly accounts = new Map<string, AccountState>();
  readonly codes = new Map<string, string>();
  readonly entries = new Map<string, JournalState>();
  readonly numbers = new Map<string, number>();
  /** Counters by fiscal year. */
  readonly years = new Map<string, YearCounters>();
  readonly rateStates = new Map<string, RatesState>();
  readonly parties = new Map<string, PartyState>();
  /** Positions at which entries of this batch named parties. */
  private readonly referred = new Map<string, number>();

  constructor(
    readonly bookId: string,
    public position: number,
  ) {
    this.began = position;
  }
  private readonly began: number;

  get bookStreamId(): string {
    return bookStreamId(this.bookId);
  }
  book(): BookState | undefined {
    return this.state;
  }
  account(id: string): AccountState | undefined {
    return this.accounts.get(id);
  }
  accountIdByCode(code: string): string | undefined {
    return this.codes.get(code);
  }
  entry(id: string): JournalState | undefined {
    return this.entries.get(id);
  }
  lastNumber(fiscalYear: string, journalCode: string): number {
    return this.numbers.get(`${fiscalYear}/${journalCode}`) ?? 0;
  }
  lastNumbers(fiscalYear: string): ReadonlyMap<string, number> {
    const own = [...this.numbers].filter(([key]) => key.slice(0, key.lastIndexOf('/')) === fiscalYear);
    return new Map(own.map(([key, last]) => [key.slice(key.lastIndexOf('/') + 1), last]));
  }
  tally(fiscalYear: string, period: number): PeriodTally {
    return this.years.get(fiscalYear)?.periods.get(period) ?? emptyTally;
  }
  drafts(fiscalYear: string): OpenDrafts {
    return new Map(
      [...this.entries].flatMap(([id, { draft }]): [string, OpenDraft][] => {
        if (draft?.fiscalYear !== fiscalYear || (draft.status !== 'draft' && draft.status !== 'submitted')) return [];
        const { period, status, content } = draft;
        return [[id, { period, effectiveDate: content.effectiveDate, status, lines: content.lines.length }]];
      }),
    );
  }
  rates(pair: RatePair): RatesState | undefined {
    return this.rateStates.get(pairKey(pair));
  }
  ratesStreamId(pair: RatePair): string {
    return ratesStreamId(this.bookId, pairKey(pair));
  }
  party(id: string): PartyState | undefined {
    return this.parties.get(id);
  }
  mayReferSince(partyId: string, position: number): boolean {
    return position < this.began || (this.referred.get(partyId) ?? 0) > position;
  }

  accept(decision: Decision): void {
    this.position = decision.position;
    for (const [id, party] of decision.parties) this.parties.set(id, party);
    for (const { type, data } of decision.uncommitted)
      if (type === 'JournalEntryPosted')
        for (const { party } of (data as JournalEntryPosted).lines) if (party !== undefined) this.referred.set(party.id, this.position);
    this.state = decision.findBook();
    for (const [id, account] of decision.accounts) this.accounts.set(id, account);
    for (const [id, entry] of decision.entries) this.entries.set(id, entry);
    for (const [code, id] of decision.newCodes) this.codes.set(code, id);
    for (const { fiscalYear, journalCode, last } of decision.numbers) this.numbers.set(`${fiscalYear}/${journalCode}`, last);
    for (const { fiscalYear, period, tally } of decision.tallies) {
      const counters = this.years.get(fiscalYear) ?? emptyCounters();
      addTally(counters, period, tally);
      this.years.set(fiscalYear, counters);
    }
    for (const rates of decision.changedRates) this.rateStates.set(pairKey(rates), rates);
  }
}

export class ReferenceLedger {
  private readonly store: EventStore;

  private constructor(
    private readonly client: Client,
    private readonly options: ReferenceOptions,
  ) {
    // The store only ever queries; on the one connection it sees what this SQL transaction has written.
    this.store = new EventStore(client as unknown as Pool, catalogue);
  }

  /** @param adminUrl a login that may write to schema log */
  static async open(adminUrl: string, options: ReferenceOptions = {}): Promise<ReferenceLedger> {
    return new ReferenceLedger(await connect(adminUrl), options);
  }

  async close(): Promise<void> {
    await this.client.end();
  }

  /** As Ledger.execute: one command, one SQL transaction. */
  async execute(bookId: string, command: Command, context: CommandContext): Promise<Answer> {
    checkKey(context.key);
    const normal = normalise(command);
    if (normal.type === 'OpenBook') {
      await this.claim('~system', normal, context);
      await this.client.query('SELECT log.register_book($1, $2::timestamptz)', [bookId, instantText(this.now())]);
      return this.one(bookId, { command: normal, context, item: -1 });
    }
    if (normal.type !== 'PostEntries' || normal.atomic) return this.one(bookId, { command: normal, context });
    await this.claim(bookId, normal, context);
    const answers: Answer[] = [];
    for (const [index, entry] of normal.entries.entries()) {
      answers.push(await this.one(bookId, { command: { ...entry, type: 'PostEntry' }, context, item: index + 1 }));
    }
    const results = answers.map(({ status, body }) => (status < 400 ? body : `{"problem":${body}}`));
    return { status: 200, body: `{"results":[${results.join(',')}]}`, replayed: answers.every(({ replayed }) => replayed) };
  }

  /**
   * Several commands in one batch: one SQL transaction, one recordedAt, each decided on what the ones before it left.
   * @returns an answer or what was thrown, one per command
   */
  async executeBatch(bookId: string, commands: readonly Commanded[]): Promise<(Answer | LedgerError)[]> {
    await this.client.query('BEGIN');
    try {
      const answers = await this.batch(bookId, commands);
      await this.client.query('COMMIT');
      return answers;
    } catch (error) {
      await this.client.query('ROLLBACK');
      throw error;
    }
  }

  private async one(bookId: string, commanded: Commanded): Promise<Answer> {
    const [answer] = await this.executeBatch(bookId, [commanded]);
    if (answer === undefined || answer instanceof LedgerError) throw answer ?? new Error('no answer');
    return answer;
  }

  /** Settles what a key stands for before the commands that make up its effect. */
  private async claim(bookId: string, command: Command, context: CommandContext): Promise<void> {
    await this.client.query('BEGIN');
    const head = await this.lock(bookId, true);
    const known = await this.known(bookId, { command, context });
    if (known === undefined) {
      const recordedAt = this.nextInstant(head);
      await this.moveHead(bookId, head.position, recordedAt);
      await this.remember(bookId, { command, context }, { status: 200, body: '' }, undefined, recordedAt);
    }
    await this.client.query('COMMIT');
    if (known instanceof LedgerError) throw known;
  }

  private async batch(bookId: string, commands: readonly Commanded[]): Promise<(Answer | LedgerError)[]> {
    const head = await this.lock(
      bookId,
      commands.some(({ command }) => command.type === 'OpenBook'),
    );
    const recordedAt = this.nextInstant(head);
    const loaded = new Loaded(bookId, head.position);
    const answers: (Answer | LedgerError)[] = [];
    let wrote = false;
    for (const given of commands) {
      const commanded = { ...given, command: normalise(given.command) };
      const known = await this.known(bookId, commanded);
      if (known !== undefined) {
        answers.push(known);
        continue;
      }
      await this.load(loaded, commanded.command);
      const decision = new Decision(loaded, { userId: commanded.context.userId, isController: commanded.context.isController ?? false });
      let outcome: { status: number; body: string };
      try {
        outcome = this.decide(decision, commanded.command, recordedAt);
      } catch (error) {
        if (!(error instanceof LedgerError)) throw error;
        if (!isRemembered(error)) {
          answers.push(error);
          continue;
        }
        await this.remember(bookId, commanded, { status: statusOf(error), body: problemBody(error) }, undefined, recordedAt, true);
        wrote = true;
        answers.push({ status: statusOf(error), body: problemBody(error), replayed: false });
        continue;
      }
      const first = loaded.position + 1;
      await this.append(decision, first, recordedAt, commanded);
      await this.remember(bookId, commanded, outcome, first, recordedAt);
      loaded.accept(decision);
      wrote = true;
      answers.push({ ...outcome, replayed: false });
    }
    if (wrote) await this.moveHead(bookId, loaded.position, recordedAt);
    if (loaded.position > head.position) {
      await this.client.query('INSERT INTO log.batches (book_id, last_position, recorded_at) VALUES ($1, $2, $3::timestamptz)', [
        bookId,
        loaded.position,
        instantText(recordedAt),
      ]);
    }
    return answers;
  }

  // --- Head and clock ---

  private async lock(bookId: string, mayBegin: boolean): Promise<BookHead> {
    if (mayBegin) {
      await this.client.query(
        `INSERT INTO log.book_heads (book_id, position, tail, recorded_at, recorded_floor)
         VALUES ($1, 0, '00000000-0000-0000-0000-000000000000', 'epoch', 'epoch') ON CONFLICT (book_id) DO NOTHING`,
        [bookId],
      );
    }
    const { rows } = await this.client.query<BookHead>(
      'SELECT position, recorded_at, recorded_floor FROM log.book_heads WHERE book_id = $1 FOR UPDATE',
      [bookId],
    );
    if (rows[0] === undefined) throw new LedgerError('book_unknown', `there is no book ${bookId}`, { book: bookId });
    return rows[0];
  }

  private async moveHead(bookId: string, position: number, recordedAt: number): Promise<void> {
    await this.client.query(
      'UPDATE log.book_heads SET position = $2, tail = gen_random_uuid(), recorded_at = $3::timestamptz WHERE book_id = $1',
      [bookId, position, instantText(recordedAt)],
    );
  }

  private now(): number {
    return this.options.now?.() ?? Date.now() * 1_000;
  }

  /** I10: later than everything recorded, and than every instant that a question was answered for. */
  private nextInstant({ recorded_at, recorded_floor }: BookHead): number {
    return Math.max(this.now(), (instantMicros(recorded_at) ?? 0) + 1, (instantMicros(recorded_floor) ?? 0) + 1);
  }

  private newId(): string {
    return this.options.newId?.() ?? uuidV7();
  }

  // --- Receipts (I6) ---

  private async known(bookId: string, { command, context, item = 0 }: Commanded): Promise<Answer | LedgerError | undefined> {
    const [receipt] = await this.store.receipts(bookId, [{ key: context.key, item }]);
    if (receipt === undefined) return undefined;
    if (receipt.fingerprint === fingerprintOf(command)) return { status: receipt.status, body: receipt.answer, replayed: true };
    return new LedgerError('idempotency_key_reused', `the key "${context.key}" was used for another ${receipt.command}`, {
      members: differing(memberFingerprints(command), receipt),
    });
  }

  private async remember(
    bookId: string,
    { command, context, item = 0 }: Commanded,
    { status, body }: { readonly status: number; readonly body: string },
    position: number | undefined,
    recordedAt: number,
    refused = false,
  ): Promise<void> {
    await this.client.query(
      `INSERT INTO log.receipts (recorded_at, position, item, status, book_id, key, command, fingerprint, answer, members)
       VALUES ($1::timestamptz, $2, $3, $4, $5, $6, $7, decode($8, 'hex'), $9, $10::jsonb)`,
      [
        instantText(recordedAt),
        position ?? null,
        item,
        status,
        bookId,
        context.key,
        command.type,
        fingerprintOf(command),
        body,
        refused ? canonicalJson(memberFingerprints(command)) : null,
      ],
    );
  }

  // --- States ---

  private async load(loaded: Loaded, command: Command): Promise<void> {
    const { bookId } = loaded;
    const fold = { snapshots: false };
    loaded.state ??= (await this.store.load(bookId, loaded.bookStreamId, bookReducer, fold))?.state;
    const ids = new Set<string>();
    const entryId = 'entryId' in command ? command.entryId : undefined;
    if (entryId !== undefined && loaded.entry(entryId) === undefined) {
      const entry = (await this.store.load(bookId, entryId, journalReducer, fold))?.state;
      if (entry !== undefined) loaded.entries.set(entryId, entry);
    }
    for (const id of partiesIn(command)) {
      if (loaded.party(id) !== undefined) continue;
      const party = (await this.store.load(bookId, id, partyReducer, fold))?.state;
      if (party !== undefined) loaded.parties.set(id, party);
    }
    await this.loadDrafts(loaded);
    const { posted, draft } = loaded.entry(entryId ?? '') ?? {};
    for (const { accountId } of posted?.lines ?? []) ids.add(accountId);
    const written = draft?.content.lines ?? [];
    const codes = [...codesIn(command), ...written.map(({ account }) => account)];
    for (const [code, id] of await this.store.streamsByName(bookId, accountCodes, codes)) loaded.codes.set(code, id);
    for (const code of codes) ids.add(loaded.accountIdByCode(code) ?? '');
    ids.delete('');
    for (const id of Object.values(loaded.state?.designated ?? {})) ids.add(id);
    const base = loaded.state?.baseCurrency ?? '';
    for (const pair of [...pairsIn(command, base), ...spotPairs(written, base)]) {
      if (loaded.rates(pair) !== undefined) continue;
      const rates = (await this.store.load(bookId, loaded.ratesStreamId(pair), ratesReducer, fold))?.state;
      if (rates !== undefined) loaded.rateStates.set(pairKey(pair), rates);
    }
    for (const id of ids) {
      if (loaded.account(id) !== undefined) continue;
      const account = (await this.store.load(bookId, id, accountReducer, fold))?.state;
      if (account !== undefined) loaded.accounts.set(id, account);
    }
    await this.loadNumbers(loaded);
  }

  /** Every entry that began as a draft, open or not. */
  private async loadDrafts(loaded: Loaded): Promise<void> {
    const { rows } = await this.client.query<{ id: string }>(
      "SELECT stream_id AS id FROM log.events WHERE book_id = $1 AND event_type = 'JournalCreated' ORDER BY position",
      [loaded.bookId],
    );
    for (const { id } of rows) {
      if (loaded.entries.has(id)) continue;
      const entry = (await this.store.load(loaded.bookId, id, journalReducer, { snapshots: false }))?.state;
      if (entry !== undefined) loaded.entries.set(id, entry);
    }
  }

  /** The last number of each day book and year, as the log itself tells it. */
  private async loadNumbers(loaded: Loaded): Promise<void> {
    if (loaded.numbers.size > 0) return;
    const { rows } = await this.client.query<{ key: string; last: string }>(
      `SELECT (data ->> 'fiscalYear') || '/' || (data ->> 'journalCode') AS key, max((data ->> 'number')::int8)::text AS last
         FROM log.events WHERE book_id = $1 AND event_type = 'JournalEntryPosted' GROUP BY 1`,
      [loaded.bookId],
    );
    for (const { key, last } of rows) loaded.numbers.set(key, Number(last));
    const posted = await this.client.query<{ data: JournalEntryPosted }>(
      "SELECT data FROM log.events WHERE book_id = $1 AND event_type = 'JournalEntryPosted' ORDER BY position",
      [loaded.bookId],
    );
    for (const { data } of posted.rows) {
      const counters = loaded.years.get(data.fiscalYear) ?? emptyCounters();
      countPosted(counters, data, loaded.state?.fx === 'tracked');
      loaded.years.set(data.fiscalYear, counters);
    }
  }

  // --- Deciding ---

  private decide(decision: Decision, command: Command, recordedAt: number): { status: number; body: string } {
    const at = instantText(recordedAt);
    const position = decision.position + 1;
    const id = (): string => this.newId();
    const created = (members: object, status = 201) => ({ status, body: JSON.stringify({ ...members, position, recordedAt: at }) });
    switch (command.type) {
      case 'PostEntry':
        return { status: 201, body: JSON.stringify({ ...postEntry(decision, command, id()), recordedAt: at }) };
      case 'PostEntries': {
        const results = command.entries.map((entry) => {
          decision.reason = entry.reason;
          return { ...postEntry(decision, entry, id()), recordedAt: at };
        });
        return { status: 200, body: JSON.stringify({ results }) };
      }
      case 'ReverseEntry': {
        const reversal = reverseEntry(decision, command, todayIn(decision.book(), recordedAt), id());
        return { status: 201, body: JSON.stringify({ ...reversal, recordedAt: at }) };
      }
      case 'CorrectEntry': {
        const ids = { reversal: id(), replacement: id() };
        const { reversal, replacement } = correctEntry(decision, command, todayIn(decision.book(), recordedAt), ids);
        return { status: 201, body: JSON.stringify({ ...replacement, recordedAt: at, reversal: { ...reversal, recordedAt: at } }) };
      }
      case 'OpenBook': {
        openBook(decision, command, recordedAt);
        const { name, baseCurrency, fiscalYearStart, timeZone, fx, rounding } = decision.book();
        return created({ id: decision.bookId, name, baseCurrency, fiscalYearStart, timeZone, fx, rounding });
      }
      case 'DefineFiscalYear': {
        const { given: _given, ...year } = defineFiscalYear(decision, command);
        return created(year);
      }
      case 'DefineJournal':
        defineJournal(decision, command);
        return created(decision.book().journals.find(({ journalCode }) => journalCode === command.journalCode) ?? {});
      case 'EnableCurrency':
        enableCurrency(decision, command);
        return created({ code: command.code, scale: command.scale });
      case 'DesignateAccount':
        return created({ role: command.role, account: designateAccount(decision, command).code }, 200);
      case 'RecordRates':
        recordRates(decision, command);
        return created({ recorded: command.rates.length });
      case 'ClosePeriod': {
        const closed = closePeriod(decision, command);
        const { fiscalYear, period } = command;
        return created({ fiscalYear, period, status: command.level === 'soft' ? 'soft_closed' : 'hard_closed', closed }, 200);
      }
      case 'RequestReopening':
      case 'ApproveReopening':
      case 'DeclineReopening': {
        reopenPeriod(decision, command);
        const { fiscalYear, period } = command;
        const status = command.type === 'ApproveReopening' ? 'open' : 'soft_closed';
        const reopening = command.type === 'RequestReopening' ? { requestedBy: decision.actor.userId } : undefined;
        return created({ fiscalYear, period, status, reopening }, 200);
      }
      case 'CloseFiscalYear':
      case 'Revalue':
        throw new Error(`${command.type} is computed from projections, which this ledger has not`);
      case 'CreateDraft': {
        const entryId = id();
        createDraft(decision, command, entryId);
        return created({ id: entryId, status: 'draft' });
      }
      case 'ReviseDraft':
        reviseDraft(decision, command);
        return created({ id: command.entryId, status: 'draft' }, 200);
      case 'SubmitDraft':
        submitDraft(decision, command.entryId);
        return created({ id: command.entryId, status: 'submitted' }, 200);
      case 'ApproveDraft':
        return { status: 201, body: JSON.stringify({ ...approveDraft(decision, command.entryId), recordedAt: at }) };
      case 'RejectDraft':
        rejectDraft(decision, command.entryId);
        return created({ id: command.entryId, status: 'draft' }, 200);
      case 'DiscardDraft':
        discardDraft(decision, command.entryId);
        return created({ id: command.entryId, status: 'discarded' }, 200);
      case 'OpenAccount': {
        const accountId = id();
        openAccount(decision, command, accountId);
        const { code, type, normalSide, postable, status } = decision.account(accountId) as AccountState;
        return created({ id: accountId, code, name: command.name, type, normalSide, postable, status });
      }
      case 'DefineRetention':
      case 'OpenParty':
      case 'ChangeParty':
      case 'CloseParty':
      case 'PlaceHold':
      case 'ReleaseHold':
      case 'ErasePerson':
      case 'EndRetention':
        throw new Error(`${command.type} needs keys of persons, which this ledger has not`);
      default: {
        changeAccount(decision, command);
        const { id: accountId, code, status } = decision.account(decision.accountIdByCode(command.account) ?? '') as AccountState;
        return created({ id: accountId, code, status }, 200);
      }
    }
  }

  // --- Writing, one statement per row ---

  private async append(decision: Decision, first: number, recordedAt: number, { command, context }: Commanded): Promise<void> {
    const { bookId } = decision;
    const at = instantText(recordedAt);
    const metadata = {
      commandHash: fingerprintOf(command),
      commandKey: context.key,
      correlationId: context.correlationId,
      onBehalfOf: context.onBehalfOf,
      reason: 'reason' in command ? command.reason : undefined,
      release: this.options.release ?? 'reference',
      source: context.source,
      userId: context.userId,
    };
    const ids: string[] = [];
    for (const [index, { streamId, version, type, data, causedBy, reason }] of decision.uncommitted.entries()) {
      const event = {
        bookId,
        position: first + index,
        streamId,
        version,
        eventType: type,
        eventVersion: catalogue[type]?.version ?? 1,
        eventId: this.newId(),
        recordedAt: at,
        data: plain(data),
        metadata: plain(
          causedBy !== undefined ? { causationId: ids[causedBy] } : reason === undefined ? metadata : { ...metadata, reason },
        ),
      };
      ids.push(event.eventId);
      await this.client.query(
        `INSERT INTO log.events (book_id, position, stream_id, version, event_type, event_version, event_id, recorded_at, data, metadata, leaf_hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8::timestamptz, $9::jsonb, $10::jsonb, $11)`,
        [
          bookId,
          event.position,
          streamId,
          version,
          type,
          event.eventVersion,
          event.eventId,
          at,
          JSON.stringify(event.data),
          JSON.stringify(event.metadata),
          leafHashOf(catalogue, event),
        ],
      );
    }
    if (decision.changedBook !== undefined) {
      await this.writeHead(
        bookId,
        decision.bookStreamId,
        decision.changedBook.version,
        bookReducer.version,
        bookReducer.toSnapshot(decision.changedBook),
      );
    }
    for (const account of decision.accounts.values()) {
      await this.writeHead(bookId, account.id, account.version, accountReducer.version, accountReducer.toSnapshot(account));
    }
    for (const [name, streamId] of decision.newCodes) {
      await this.client.query('INSERT INTO log.stream_names (stream_id, book_id, category, name) VALUES ($1, $2, $3, $4)', [
        streamId,
        bookId,
        accountCodes,
        name,
      ]);
    }
    // A head that is missing is folded from events: so the service may go on with this book, numbers included.
    for (const fiscalYear of new Set([...decision.numbers.values()].map((counter) => counter.fiscalYear))) {
      await this.client.query('DELETE FROM log.heads WHERE book_id = $1 AND stream_id = $2', [bookId, numbersStreamId(bookId, fiscalYear)]);
    }
    if (decision.drafted !== undefined)
      for (const { label } of decision.book().fiscalYears)
        await this.client.query('DELETE FROM log.heads WHERE book_id = $1 AND stream_id = $2', [bookId, draftsStreamId(bookId, label)]);
  }

  private async writeHead(bookId: string, streamId: string, version: number, reducerVersion: number, state: unknown): Promise<void> {
    await this.client.query(
      `INSERT INTO log.heads (version, stream_id, reducer_version, book_id, state) VALUES ($1, $2, $3, $4, $5::jsonb)
       ON CONFLICT (book_id, stream_id) DO UPDATE SET version = excluded.version, reducer_version = excluded.reducer_version, state = excluded.state`,
      [version, streamId, reducerVersion, bookId, canonicalJson(state)],
    );
  }
}

const statuses = { rejected: 422, conflict: 409, not_found: 404 } as const;
const statusOf = ({ kind }: LedgerError): number => statuses[kind as keyof typeof statuses];

/** Members without a value are left out, as in every event. */
const plain = (value: object): Record<string, unknown> => JSON.parse(JSON.stringify(value)) as Record<string, unknown>;

const fingerprintOf = (command: Command): string => createHash('sha256').update(canonicalJson(command), 'utf8').digest('hex');

function differing(members: Record<string, string>, { members: known }: Receipt): string[] {
  if (known === undefined) return ['body'];
  return [...new Set([...Object.keys(members), ...Object.keys(known)])].filter((member) => members[member] !== known[member]).sort();
}

/** Every account code that a command mentions. */
/** Parties that the lines of a command name, known or not. */
function partiesIn(command: Command): string[] {
  const lines = command.type === 'PostEntries' ? command.entries.flatMap((entry) => entry.lines) : 'lines' in command ? command.lines : [];
  return [...new Set(lines.flatMap(({ party }) => (party !== undefined && /^[0-9a-f-]{36}$/.test(party.id) ? [party.id] : [])))];
}

function codesIn(command: Command): string[] {
  switch (command.type) {
    case 'PostEntry':
    case 'CorrectEntry':
      return command.lines.map(({ account }) => account);
    case 'PostEntries':
      return command.entries.flatMap(({ lines }) => lines.map(({ account }) => account));
    case 'OpenAccount':
      return command.parent === undefined ? [command.code] : [command.code, command.parent];
    case 'ChangeAccountCode':
      return [command.account, command.code];
    case 'RenameAccount':
    case 'FreezeAccount':
    case 'UnfreezeAccount':
    case 'CloseAccount':
    case 'DesignateAccount':
      return [command.account];
    default:
      return [];
  }
}

/** Every pair whose rate the command could ask for. */
function pairsIn(command: Command, base: string): RatePair[] {
  if (command.type === 'RecordRates') return [...command.rates];
  const lines = 'lines' in command ? command.lines : command.type === 'PostEntries' ? command.entries.flatMap((entry) => entry.lines) : [];
  return spotPairs(lines, base);
}

const spotPairs = (lines: readonly { readonly currency: string }[], base: string): RatePair[] =>
  [...new Set(lines.map(({ currency }) => currency))].map((from) => ({ from, to: base, rateType: 'spot' }));
