/**
 * BookMemory: the aggregates of one book as decisions see them, valid at a head that the append function checks. Hides where
 * states come from (heads, or events when a head is missing), how the changes of a batch that is not acknowledged yet are
 * taken back, and how events that another process wrote are caught up with. Guarantees that after `rollBack` of every
 * unacknowledged batch it is exactly the state at the last acknowledged head, and that no state that such a batch touched is
 * dropped from memory meanwhile.
 */
import {
  type AccountEvent,
  type AccountState,
  accountReducer,
  type BookEvent,
  type BookState,
  type BookView,
  bookReducer,
  type Decision,
  emptyTally,
  type JournalEntryPosted,
  type JournalState,
  journalReducer,
  type OpenDrafts,
  type PartyEvent,
  type PartyState,
  type PeriodTally,
  type PostEntry,
  pairKey,
  partyKinds,
  partyReducer,
  type RateEvent,
  type RatePair,
  type RatesState,
  ratesReducer,
} from '#domain';
import { type EventStore, emptyHead, type Head, type RecordedEvent, type StreamExpectation, snapshotDue } from '#event-store';
import { eachSubject } from '#privacy';
import { BriefMap } from './brief-map';
import { accountCodes, bookStreamId, draftsStreamId, numbersStreamId, ratesStreamId } from './catalogue';
import {
  addTally,
  copyOf,
  countersSnapshot,
  countPosted,
  emptyCounters,
  loadCounters,
  versionOfCounters,
  type YearCounters,
  yearCountersVersion,
} from './year-counters';
import {
  changeDrafts,
  copyOfDrafts,
  draftsSnapshot,
  emptyDrafts,
  foldDrafts,
  readDrafts,
  type YearDrafts,
  yearDraftsVersion,
} from './year-drafts';

/** What a command needs to find in memory before it can be decided. */
export interface Needs {
  readonly codes: readonly string[];
  readonly entries: readonly string[];
  /** Exchange rates; `to` absent: to the base currency, where the book tracks exchange rates. */
  readonly rates?: readonly { readonly from: string; readonly to?: string; readonly rateType: RatePair['rateType'] }[];
  /** Whether lines may be added on accounts that are designated for that. */
  readonly designated?: boolean;
  readonly parties?: readonly string[];
  /** The open drafts of every fiscal year; of `entries` that are drafts also what their lines need. */
  readonly drafts?: boolean;
}

/** Ids of parties that lines name; what has not the form of one is another system's, and no party of the book. */
function partiesOf(lines: PostEntry['lines']): string[] | undefined {
  let ids: string[] | undefined;
  for (const { party } of lines) {
    if (party === undefined || !partyIdForm.test(party.id)) continue;
    ids ??= [];
    ids.push(party.id);
  }
  return ids;
}

const partyIdForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Lines without an amount in base currency may need a rate, and what is computed may need a line for what rounding leaves. */
export function needsOfLines(lines: PostEntry['lines']): Omit<Needs, 'entries'> {
  const codes = lines.map(({ account }) => account);
  const parties = partiesOf(lines);
  const [first] = lines;
  const isPlain = ({ currency, baseAmount, rate }: PostEntry['lines'][number]): boolean =>
    currency === first?.currency && baseAmount === undefined && rate === undefined;
  if (first !== undefined && lines.every(isPlain)) return { codes, parties, rates: spotOf(first.currency), designated: true };
  const currencies = new Set(lines.flatMap(({ currency, baseAmount, rate }) => ((baseAmount ?? rate) === undefined ? [currency] : [])));
  return { codes, parties, rates: [...currencies].flatMap(spotOf), designated: true };
}

/** The rate that postings in a currency may need. Kept: there are thousands of commands at a time, and few currencies. */
function spotOf(from: string): NonNullable<Needs['rates']> {
  let spot = spots.get(from);
  if (spot === undefined) {
    spot = [{ from, rateType: 'spot' }];
    if (spots.size >= 1_000) spots.clear();
    spots.set(from, spot);
  }
  return spot;
}

const spots = new Map<string, NonNullable<Needs['rates']>>();

interface CachedAccount {
  state: AccountState;
  /** Codes that lead here, as far as they were asked for. */
  readonly codes: string[];
  /** Undecided and unacknowledged batches that refer to it. */
  pins: number;
  /** What the budget was told when it came: the same is given back, however it has grown meanwhile. */
  readonly bytes: number;
}

interface CachedEntry {
  state: JournalState;
  pins: number;
}

/** State undefined: there is no such party. */
interface CachedParty {
  state: PartyState | undefined;
  pins: number;
}

/** An id that a line gives may be that of any stream, whose head is none of a party. */
const partyIn = (head: unknown): PartyState | undefined =>
  partyKinds.includes((head as Partial<PartyState>).kind as PartyState['kind']) ? partyReducer.fromSnapshot(head) : undefined;

/** Parties of a book that stay in memory while nothing refers to them; some 300 bytes each. */
const partiesMax = 10_000;
/** Parties that entries since a position have named, at most; then that position moves. */
const referredMax = 50_000;

/** Events that name persons or speak of them, beside their own. */
const speaking: ReadonlySet<string> = new Set(['JournalEntryPosted', 'JournalCreated', 'JournalRevised']);

interface Spoken extends Pick<PostEntry, 'description' | 'reference' | 'metadata'> {
  readonly lines: readonly Pick<PostEntry['lines'][number], 'party' | 'description'>[];
}

interface AccountHead {
  readonly version: number;
  readonly state: unknown;
}

/** Rates of one pair and type; undefined: none is recorded. */
interface CachedRates {
  readonly pair: RatePair;
  state: RatesState | undefined;
}

/** What one batch has changed: enough to undo it, and to tell the store which versions it started from. */
export class BatchChanges {
  readonly accounts = new Map<string, AccountState | undefined>();
  readonly entries = new Map<string, JournalState | undefined>();
  /** Counters by fiscal year. */
  readonly numbers = new Map<string, YearCounters | undefined>();
  /** Open drafts by fiscal year. */
  readonly drafts = new Map<string, YearDrafts | undefined>();
  readonly rates = new Map<string, RatesState | undefined>();
  readonly parties = new Map<string, PartyState | undefined>();
  readonly newCodes = new Map<string, string>();
  book: { readonly before: BookState | undefined } | undefined;

  constructor(readonly headBefore: Head) {}
}

/** Room that all books of a process share for account states. */
export class StateBudget {
  private readonly memories = new Set<BookMemory>();
  private bytes = 0;

  constructor(private readonly bytesMax: number) {}

  join(memory: BookMemory): void {
    this.memories.add(memory);
  }

  leave(memory: BookMemory): void {
    this.memories.delete(memory);
  }

  /** Counts bytes that a memory took (or gave back, when negative) and makes room, least recently used books first. */
  count(bytes: number, user: BookMemory): void {
    this.bytes += bytes;
    if (bytes <= 0 || this.bytes <= this.bytesMax) return;
    this.memories.delete(user);
    this.memories.add(user);
    // A twentieth at a time: walking to the oldest account costs more than dropping it.
    const target = this.bytesMax * 0.95;
    for (const memory of this.memories) {
      if (this.bytes <= target) return;
      memory.shrink(this.bytes - target);
    }
  }
}

/** A rough figure per account: V8 objects, two map entries, the text of the code, and one currency at least, since it will be posted to. */
const bytesOf = ({ code, totals }: AccountState): number => 480 + 4 * code.length + 160 * Math.max(1, totals.length);

export class BookMemory implements BookView {
  readonly bookStreamId: string;
  /** The head that the next batch builds on: the last acknowledged one, or the one that a batch under way will leave. */
  head: Head = emptyHead;
  /** Nothing may be recorded at or before this (microseconds). */
  floor = 0;
  private taken = false;
  private bookState: BookState | undefined;
  private readonly accounts = new Map<string, CachedAccount>();
  private readonly idsByCode = new Map<string, string>();
  /** Entries that a batch under way has posted or that the batch about to be decided refers to. */
  private readonly entries = new BriefMap<CachedEntry>();
  private readonly numbers = new Map<string, YearCounters>();
  /** Of every fiscal year or of none but those that were just defined: read when a command needs them, which few do. */
  private readonly draftsByYear = new Map<string, YearDrafts>();
  /** By stream; kept as long as the book, since pairs are few. */
  private readonly ratesByStream = new Map<string, CachedRates>();
  private readonly parties = new Map<string, CachedParty>();
  /** Parties that entries behind `referredFrom` have named or spoken of, with the last position or a later one; what was taken back stays in it. */
  private readonly referred = new Map<string, number>();
  private referredFrom = Number.MAX_SAFE_INTEGER;

  constructor(
    readonly bookId: string,
    private readonly store: EventStore,
    private readonly budget: StateBudget,
  ) {
    this.bookStreamId = bookStreamId(bookId);
    budget.join(this);
  }

  // --- What decisions see ---

  get position(): number {
    return this.head.position;
  }

  book(): BookState | undefined {
    return this.bookState;
  }

  account(id: string): AccountState | undefined {
    return this.accounts.get(id)?.state;
  }

  accountIdByCode(code: string): string | undefined {
    return this.idsByCode.get(code);
  }

  entry(id: string): JournalState | undefined {
    return this.entries.get(id)?.state;
  }

  lastNumber(fiscalYear: string, journalCode: string): number {
    return this.numbers.get(fiscalYear)?.last.get(journalCode) ?? 0;
  }

  lastNumbers(fiscalYear: string): ReadonlyMap<string, number> {
    return this.numbers.get(fiscalYear)?.last ?? new Map();
  }

  tally(fiscalYear: string, period: number): PeriodTally {
    return this.numbers.get(fiscalYear)?.periods.get(period) ?? emptyTally;
  }

  drafts(fiscalYear: string): OpenDrafts {
    const known = this.draftsByYear.get(fiscalYear);
    if (known === undefined && this.bookState?.fiscalYears.some(({ label }) => label === fiscalYear))
      throw new Error(`the open drafts of ${fiscalYear} are asked for and were not read`);
    return known?.open ?? new Map();
  }

  rates(pair: RatePair): RatesState | undefined {
    return this.ratesByStream.get(ratesStreamId(this.bookId, pairKey(pair)))?.state;
  }

  ratesStreamId(pair: RatePair): string {
    return ratesStreamId(this.bookId, pairKey(pair));
  }

  party(id: string): PartyState | undefined {
    return this.parties.get(id)?.state;
  }

  mayReferSince(partyId: string, position: number): boolean {
    return position < this.referredFrom || (this.referred.get(partyId) ?? 0) > position;
  }

  /**
   * Whoever a line names, and whoever a sealed text is about in whatever member: of what is posted a duty covers both, and the key of what
   * a draft says may be newer than an erasure knows.
   */
  private refer({ lines, description, reference, metadata }: Spoken, position: number): void {
    const note = (partyId: string): void => {
      this.referred.set(partyId, position);
    };
    eachSubject(description, note);
    eachSubject(reference, note);
    if (metadata !== undefined) eachSubject(metadata, note);
    for (const { party, description: text } of lines) {
      if (party !== undefined) note(party.id);
      if (text !== undefined) eachSubject(text, note);
    }
    if (this.referred.size <= referredMax) return;
    this.referred.clear();
    this.referredFrom = position;
  }

  // --- Loading ---

  /** Forgets everything; the next takeUp reads the book anew. */
  drop(): void {
    let bytes = 0;
    for (const account of this.accounts.values()) bytes += account.bytes;
    this.budget.count(-bytes, this);
    this.accounts.clear();
    this.idsByCode.clear();
    this.entries.clear();
    this.numbers.clear();
    this.draftsByYear.clear();
    this.ratesByStream.clear();
    this.parties.clear();
    this.referred.clear();
    this.referredFrom = Number.MAX_SAFE_INTEGER;
    this.bookState = undefined;
    this.head = emptyHead;
    this.taken = false;
  }

  /** Reads head, Book and numbers, unless they are here already. What is newer than the head is found out by the guard. */
  async takeUp(): Promise<void> {
    if (this.taken) return;
    this.head = await this.store.head(this.bookId);
    this.bookState = (await this.store.load(this.bookId, this.bookStreamId, bookReducer as never))?.state as BookState | undefined;
    await this.loadNumbers(this.labels());
    this.referredFrom = this.head.position;
    this.taken = true;
  }

  /** Of all years that have heads: those that were replaced keep theirs, and a year defined anew under the same label goes on there. */
  private labels(): string[] {
    const { fiscalYears = [], replaced = [] } = this.bookState ?? {};
    return [...fiscalYears.map(({ label }) => label), ...replaced];
  }

  private async loadNumbers(fiscalYears: readonly string[]): Promise<void> {
    for (const [label, numbers] of await loadCounters(this.store, this.bookId, fiscalYears, this.head.position))
      this.numbers.set(label, numbers);
  }

  /** Whether everything that these commands need is here, so that they can be decided without waiting. */
  has(needs: readonly Needs[]): boolean {
    const designated = this.designatedIds();
    for (const need of needs) {
      for (const code of need.codes) if (!this.idsByCode.has(code)) return false;
      if (need.entries.length > 0) return false;
      if (need.rates !== undefined)
        for (const pair of this.pairsOf(need)) if (!this.ratesByStream.has(this.ratesStreamId(pair))) return false;
      if (need.designated) for (const id of designated) if (!this.accounts.has(id)) return false;
      if (need.drafts && this.yearsWithoutDrafts().length > 0) return false;
      if (need.parties !== undefined) for (const id of need.parties) if (!this.parties.has(id)) return false;
    }
    return true;
  }

  private yearsWithoutDrafts(): string[] {
    return this.labels().filter((label) => !this.draftsByYear.has(label));
  }

  private async loadDrafts(): Promise<void> {
    const ids = new Map(this.yearsWithoutDrafts().map((label) => [draftsStreamId(this.bookId, label), label]));
    if (ids.size === 0) return;
    const heads = await this.store.heads(this.bookId, [...ids.keys()], () => yearDraftsVersion);
    const found = new Map<string, YearDrafts>();
    for (const [id, { state, version }] of heads) found.set(ids.get(id) as string, readDrafts(state, version));
    // One that is missing was lost, or its year is older than drafts are: folded, never taken as new.
    const missing = [...ids.values()].filter((label) => !found.has(label));
    if (missing.length > 0)
      for (const [label, drafts] of await foldDrafts(this.store, this.bookId, missing, this.head.position)) found.set(label, drafts);
    for (const [label, drafts] of found) this.draftsByYear.set(label, drafts);
  }

  private pairsOf({ rates = [] }: Needs): readonly RatePair[] {
    const book = this.bookState;
    const pairs: RatePair[] = [];
    for (const { from, to, rateType } of rates) {
      if (to !== undefined) pairs.push({ from, to, rateType });
      else if (book?.fx === 'tracked' && from !== book.baseCurrency) pairs.push({ from, to: book.baseCurrency, rateType });
    }
    return pairs;
  }

  private designatedIds(): string[] {
    return Object.values(this.bookState?.designated ?? {});
  }

  /**
   * Brings what these commands need into memory; what then is still missing does not exist.
   * @returns a function that lets go of it again, to be called once the commands are decided
   */
  async load(asked: readonly Needs[]): Promise<() => void> {
    const pinned: (CachedAccount | CachedEntry | CachedParty)[] = [];
    const pin = <T extends CachedAccount | CachedEntry | CachedParty>(cached: T | undefined): T | undefined => {
      if (cached === undefined) return undefined;
      cached.pins++;
      pinned.push(cached);
      return cached;
    };
    const entryIds = new Set(asked.flatMap(({ entries }) => entries));
    const letGo = (): void => {
      for (const cached of pinned) cached.pins--;
      for (const id of entryIds) if (this.entries.get(id)?.pins === 0) this.entries.delete(id);
    };
    try {
      const lineAccounts = new Set<string>();
      const needs = [...asked];
      if (asked.some(({ drafts }) => drafts)) await this.loadDrafts();
      for (const id of entryIds) {
        const { posted, draft } = (pin(this.entries.get(id)) ?? pin(await this.readEntry(id)))?.state ?? {};
        for (const { accountId } of posted?.lines ?? []) lineAccounts.add(accountId);
        if (posted === undefined && draft !== undefined) needs.push({ ...needsOfLines(draft.content.lines), entries: [] });
      }
      const unknownCodes = new Set<string>();
      for (const { codes } of needs) {
        for (const code of codes) {
          const id = this.idsByCode.get(code);
          if (id === undefined) unknownCodes.add(code);
          else pin(this.accounts.get(id));
        }
      }
      if (needs.some(({ designated }) => designated)) for (const id of this.designatedIds()) lineAccounts.add(id);
      for (const pair of needs.flatMap((need) => this.pairsOf(need))) await this.loadRates(pair);
      const partyIds = [...new Set(needs.flatMap(({ parties = [] }) => parties))];
      await this.loadParties(partyIds.filter((id) => pin(this.parties.get(id)) === undefined));
      for (const id of partyIds) if (this.parties.get(id)?.pins === 0) pin(this.parties.get(id));
      const named = await this.store.headsByName(this.bookId, accountCodes, [...unknownCodes], accountReducer.version);
      const missing = new Map<string, AccountHead | undefined>();
      for (const { streamId, head } of named.values()) if (pin(this.accounts.get(streamId)) === undefined) missing.set(streamId, head);
      for (const id of lineAccounts) if (!missing.has(id) && pin(this.accounts.get(id)) === undefined) missing.set(id, undefined);
      for (const [id, state] of await this.readAccounts(missing)) {
        // A batch that was decided while we read may have opened it: what it left is newer.
        const account = this.accounts.get(id);
        if (account === undefined) pinned.push(this.remember(id, state));
        else pin(account);
      }
      for (const [code, { streamId }] of named) this.learnCode(code, streamId);
    } catch (error) {
      // An entry that stays pinned stays in memory, where nobody would tell it what other processes do.
      letGo();
      throw error;
    }
    return letGo;
  }

  private async loadRates(pair: RatePair): Promise<void> {
    const id = this.ratesStreamId(pair);
    if (this.ratesByStream.has(id)) return;
    const read = await this.store.load(this.bookId, id, ratesReducer as never);
    // A batch that was decided while we read may have recorded some: what it left is newer.
    if (!this.ratesByStream.has(id)) this.ratesByStream.set(id, { pair, state: read?.state as RatesState | undefined });
  }

  private async loadParties(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    const heads = await this.store.heads(this.bookId, ids, () => partyReducer.version);
    for (const id of ids) {
      const head = heads.get(id);
      // A head that is missing was lost, or there is no such party: the events tell.
      const state =
        head === undefined
          ? ((await this.store.load(this.bookId, id, partyReducer as never, { snapshots: false }))?.state as PartyState | undefined)
          : partyIn(head.state);
      // A batch that was decided while we read may have changed it: what it left is newer.
      if (!this.parties.has(id)) this.parties.set(id, { state, pins: 0 });
    }
  }

  private async readEntry(id: string): Promise<CachedEntry | undefined> {
    const read = await this.store.load(this.bookId, id, journalReducer as never);
    if (read === undefined) return undefined;
    const entry = this.entries.get(id) ?? { state: read.state as JournalState, pins: 0 };
    this.entries.set(id, entry);
    return entry;
  }

  /** @param found heads that are read already, by account */
  private async readAccounts(found: ReadonlyMap<string, AccountHead | undefined>): Promise<Map<string, AccountState>> {
    const headless = [...found].filter(([, head]) => head === undefined).map(([id]) => id);
    const heads = headless.length === 0 ? undefined : await this.store.heads(this.bookId, headless, () => accountReducer.version);
    const states = new Map<string, AccountState>();
    for (const [id, known] of found) {
      const head = known ?? heads?.get(id);
      const state =
        head === undefined
          ? ((await this.store.load(this.bookId, id, accountReducer as never, { snapshots: false }))?.state as AccountState | undefined)
          : accountReducer.fromSnapshot(head.state, id, head.version);
      if (state !== undefined) states.set(id, state);
    }
    return states;
  }

  /** Pinned once by whoever brought it, or making room could drop it again at once. */
  private remember(id: string, state: AccountState): CachedAccount {
    const account: CachedAccount = { state, codes: [], pins: 1, bytes: bytesOf(state) };
    this.accounts.set(id, account);
    this.budget.count(account.bytes, this);
    return account;
  }

  private learnCode(code: string, id: string): void {
    const account = this.accounts.get(id);
    if (account === undefined) return;
    if (!account.codes.includes(code)) account.codes.push(code);
    this.idsByCode.set(code, id);
  }

  /** Drops accounts that nobody refers to, least recently acknowledged first, until about `bytes` are free. */
  shrink(bytes: number): void {
    let free = 0;
    for (const [id, account] of this.accounts) {
      if (free >= bytes) break;
      if (account.pins > 0) continue;
      free += account.bytes;
      this.accounts.delete(id);
      // A code whose change was taken back may belong to another one by now.
      for (const code of account.codes) if (this.idsByCode.get(code) === id) this.idsByCode.delete(code);
    }
    this.budget.count(-free, this);
  }

  // --- Batches ---

  /** Takes over what a decision has changed, remembering in `changes` how it was before the batch. */
  apply(decision: Decision, changes: BatchChanges): void {
    if (decision.changedBook !== undefined) {
      changes.book ??= { before: this.bookState };
      this.bookState = decision.changedBook;
      for (const { label } of decision.changedBook.fiscalYears) {
        if (this.numbers.has(label)) continue;
        this.numbersOf(label, changes);
        this.draftsOf(label, changes);
      }
    }
    for (const [id, state] of decision.accounts) {
      let account = this.accounts.get(id);
      if (!changes.accounts.has(id)) {
        changes.accounts.set(id, account?.state);
        if (account === undefined) account = this.remember(id, state);
        else account.pins++;
      }
      if (account !== undefined) account.state = state;
    }
    for (const [code, id] of decision.newCodes) {
      this.learnCode(code, id);
      changes.newCodes.set(code, id);
    }
    for (const [id, entry] of decision.entries) {
      const known = this.entries.get(id);
      if (!changes.entries.has(id)) {
        changes.entries.set(id, known?.state);
        if (known !== undefined) known.pins++;
      }
      if (known === undefined) this.entries.set(id, { state: entry, pins: 1 });
      else known.state = entry;
    }
    for (const { fiscalYear, journalCode, last } of decision.numbers) {
      this.numbersOf(fiscalYear, changes).last.set(journalCode, last);
    }
    for (const { fiscalYear, period, tally } of decision.tallies) addTally(this.numbersOf(fiscalYear, changes), period, tally);
    if (decision.drafted !== undefined)
      for (const drafted of decision.drafted)
        for (const [label, drafts] of this.draftsByYear) changeDrafts(drafts, label, drafted, () => this.draftsOf(label, changes));
    for (const [id, state] of decision.parties) {
      const known = this.parties.get(id);
      if (!changes.parties.has(id)) {
        changes.parties.set(id, known?.state);
        if (known !== undefined) known.pins++;
      }
      if (known === undefined) this.parties.set(id, { state, pins: 1 });
      else known.state = state;
    }
    if (decision.numbers.length > 0 || decision.drafted !== undefined)
      for (const { type, data } of decision.uncommitted) if (speaking.has(type)) this.refer(data as Spoken, decision.position);
    for (const state of decision.changedRates) {
      const id = this.ratesStreamId(state);
      const known = this.ratesByStream.get(id);
      if (!changes.rates.has(id)) changes.rates.set(id, known?.state);
      if (known === undefined) this.ratesByStream.set(id, { pair: state, state });
      else known.state = state;
    }
  }

  /** The counters of a year, ready to be changed: how they were before the batch is kept aside first. */
  private numbersOf(fiscalYear: string, changes: BatchChanges): YearCounters {
    const known = this.numbers.get(fiscalYear);
    if (!changes.numbers.has(fiscalYear)) changes.numbers.set(fiscalYear, known && copyOf(known));
    const numbers = known ?? emptyCounters();
    this.numbers.set(fiscalYear, numbers);
    return numbers;
  }

  /** The open drafts of a year, ready to be changed. */
  private draftsOf(fiscalYear: string, changes: BatchChanges): YearDrafts {
    const known = this.draftsByYear.get(fiscalYear);
    if (!changes.drafts.has(fiscalYear)) changes.drafts.set(fiscalYear, known && copyOfDrafts(known));
    const drafts = known ?? emptyDrafts();
    this.draftsByYear.set(fiscalYear, drafts);
    return drafts;
  }

  /** What the store must find before the batch, and the heads that the batch leaves. */
  expectations(changes: BatchChanges): StreamExpectation[] {
    const streams: StreamExpectation[] = [];
    if (changes.book !== undefined && this.bookState !== undefined) {
      const { version } = this.bookState;
      const head = { kind: 'every', version, reducerVersion: bookReducer.version, state: bookReducer.toSnapshot(this.bookState) } as const;
      streams.push({ streamId: this.bookStreamId, expected: changes.book.before?.version ?? 'new', head });
    }
    for (const [id, before] of changes.accounts) {
      const state = this.accounts.get(id)?.state;
      if (state === undefined) throw new Error(`account ${id} left memory before its batch was sent`);
      const head = {
        kind: 'every',
        version: state.version,
        reducerVersion: accountReducer.version,
        state: accountReducer.toSnapshot(state),
      } as const;
      streams.push({ streamId: id, expected: before?.version ?? 'new', head });
    }
    for (const [id, before] of changes.entries) {
      const state = this.entries.get(id)?.state;
      const head =
        state !== undefined && snapshotDue(before?.version ?? 0, state.version)
          ? ({
              kind: 'policy',
              version: state.version,
              reducerVersion: journalReducer.version,
              state: journalReducer.toSnapshot(state),
            } as const)
          : undefined;
      streams.push({ streamId: id, expected: before?.version ?? 'new', head });
    }
    for (const [fiscalYear, before] of changes.numbers) {
      const counters = this.numbers.get(fiscalYear) ?? emptyCounters();
      const head = {
        kind: 'every',
        version: versionOfCounters(counters),
        reducerVersion: yearCountersVersion,
        state: countersSnapshot(fiscalYear, counters),
      } as const;
      streams.push({
        streamId: numbersStreamId(this.bookId, fiscalYear),
        expected: before === undefined ? 'new' : versionOfCounters(before),
        head,
      });
    }
    for (const [fiscalYear, before] of changes.drafts) {
      const drafts = this.draftsByYear.get(fiscalYear) ?? emptyDrafts();
      const { version } = drafts;
      const head = { kind: 'every', version, reducerVersion: yearDraftsVersion, state: draftsSnapshot(fiscalYear, drafts) } as const;
      streams.push({ streamId: draftsStreamId(this.bookId, fiscalYear), expected: before?.version ?? 'new', head });
    }
    for (const [id, before] of changes.parties) {
      const state = this.parties.get(id)?.state;
      if (state === undefined) throw new Error(`party ${id} left memory before its batch was sent`);
      const { version } = state;
      const head = { kind: 'every', version, reducerVersion: partyReducer.version, state: partyReducer.toSnapshot(state) } as const;
      streams.push({ streamId: id, expected: before?.version ?? 'new', head });
    }
    for (const [id, before] of changes.rates) {
      const state = this.ratesByStream.get(id)?.state;
      if (state === undefined) throw new Error(`exchange rates ${id} left memory before their batch was sent`);
      const head = snapshotDue(before?.version ?? 0, state.version)
        ? ({ kind: 'policy', version: state.version, reducerVersion: ratesReducer.version, state: ratesReducer.toSnapshot(state) } as const)
        : undefined;
      streams.push({ streamId: id, expected: before?.version ?? 'new', head });
    }
    return streams;
  }

  /** The batch is committed: its states may be dropped again, and count as used just now. */
  acknowledge(changes: BatchChanges): void {
    for (const id of changes.accounts.keys()) {
      const account = this.accounts.get(id);
      if (account === undefined) continue;
      account.pins--;
      this.accounts.delete(id);
      this.accounts.set(id, account);
    }
    for (const id of changes.entries.keys()) this.unpinEntry(id);
    for (const id of changes.parties.keys()) this.unpinParty(id);
    this.dropParties();
  }

  private unpinParty(id: string): void {
    const party = this.parties.get(id);
    if (party !== undefined) party.pins--;
  }

  /** Drops parties that nobody refers to, the ones that came first first. */
  private dropParties(): void {
    if (this.parties.size <= partiesMax) return;
    for (const [id, { pins }] of this.parties) {
      if (this.parties.size <= partiesMax * 0.95) return;
      if (pins === 0) this.parties.delete(id);
    }
  }

  private unpinEntry(id: string): void {
    const entry = this.entries.get(id);
    if (entry !== undefined && --entry.pins <= 0) this.entries.delete(id);
  }

  /** Takes back a batch that was not committed; of several the newest first. */
  rollBack(changes: BatchChanges): void {
    this.head = changes.headBefore;
    if (changes.book !== undefined) this.bookState = changes.book.before;
    for (const code of changes.newCodes.keys()) this.idsByCode.delete(code);
    for (const [id, before] of changes.accounts) {
      const account = this.accounts.get(id);
      if (account === undefined) continue;
      account.pins--;
      if (before !== undefined) account.state = before;
      else {
        this.accounts.delete(id);
        this.budget.count(-account.bytes, this);
      }
    }
    for (const [id, before] of changes.entries) {
      const entry = this.entries.get(id);
      if (entry !== undefined && before !== undefined) entry.state = before;
      this.unpinEntry(id);
    }
    for (const [id, before] of changes.parties) {
      const party = this.parties.get(id);
      if (party !== undefined) party.state = before;
      this.unpinParty(id);
    }
    for (const [fiscalYear, before] of changes.numbers) {
      if (before === undefined) this.numbers.delete(fiscalYear);
      else this.numbers.set(fiscalYear, before);
    }
    for (const [fiscalYear, before] of changes.drafts) {
      if (before === undefined) this.draftsByYear.delete(fiscalYear);
      else this.draftsByYear.set(fiscalYear, before);
    }
    for (const [id, before] of changes.rates) {
      const known = this.ratesByStream.get(id);
      if (known !== undefined) known.state = before;
    }
  }

  /**
   * Folds what another process has appended since the last acknowledged head. States that were read a moment too early or
   * too late are told by their versions: an event that is in them already is skipped, a gap means that we know too little.
   */
  async catchUp(head: Head): Promise<void> {
    // A log that has become shorter (a backup was put back, a standby that lacked the end took over) is another log.
    if (head.position < this.head.position || head.position - this.head.position > 50_000) return this.drop();
    // Read again when they are needed: a list does not tell by a version of its own which events are in it already.
    this.draftsByYear.clear();
    for (let after = this.head.position; after < head.position; ) {
      const events = await this.store.readAll(this.bookId, after, 5_000);
      for (const event of events) {
        if (event.position <= head.position && !this.fold(event)) return this.drop();
      }
      after = events.at(-1)?.position ?? head.position;
    }
    this.head = head;
  }

  private fold(event: RecordedEvent): boolean {
    const { streamId, version, eventType, current } = event;
    if (streamId === this.bookStreamId) {
      const known = this.bookState?.version ?? 0;
      if (version === known + 1) {
        this.bookState = bookReducer.evolve(this.bookState, { type: eventType, data: current } as unknown as BookEvent);
        for (const { label } of this.bookState.fiscalYears) if (!this.numbers.has(label)) this.numbers.set(label, emptyCounters());
      }
      return version <= known + 1;
    }
    if (speaking.has(eventType)) this.refer(current as unknown as Spoken, event.position);
    if (eventType === 'JournalEntryPosted') {
      const posted = current as unknown as JournalEntryPosted;
      const counters = this.numbers.get(posted.fiscalYear) ?? emptyCounters();
      const known = counters.last.get(posted.journalCode) ?? 0;
      if (posted.number === known + 1) {
        countPosted(counters, posted, this.bookState?.fx === 'tracked');
        this.numbers.set(posted.fiscalYear, counters);
      }
      return posted.number <= known + 1;
    }
    const rates = this.ratesByStream.get(streamId);
    if (rates !== undefined) {
      const known = rates.state?.version ?? 0;
      if (version === known + 1) rates.state = ratesReducer.evolve(rates.state, { type: eventType, data: current } as unknown as RateEvent);
      return version <= known + 1;
    }
    const party = this.parties.get(streamId);
    if (party !== undefined) {
      const known = party.state?.version ?? 0;
      if (version === known + 1)
        party.state = partyReducer.evolve(party.state, { type: eventType, data: current } as unknown as PartyEvent);
      return version <= known + 1;
    }
    const account = this.accounts.get(streamId);
    if (account === undefined) return true;
    if (version === account.state.version + 1) {
      account.state = accountReducer.evolve(account.state, { type: eventType, data: current } as unknown as AccountEvent, streamId);
      if (eventType === 'AccountCodeChanged') this.learnCode(account.state.code, streamId);
    }
    return version <= account.state.version;
  }
}
