/**
 * given(events).when(command).thenEvents(events) or .thenRefused(code): the grammar of the domain's specs.
 *
 * The events are folded by the aggregates' own reducers into a book in memory that is as naive as it can be (no heads, no
 * cache, no speculation), the command is decided by the very functions that the service calls, and what is compared are the
 * uncommitted events. On top of that every decision is held against the invariants that each must keep (I1, I2, I4, I5, I9,
 * I12, I15), computed here a second time and differently; states are frozen, so a decision that changes one fails.
 */
import {
  type AccountEvent,
  type AccountPosted,
  type AccountState,
  type Actor,
  accountEvents,
  accountReducer,
  approveDraft,
  type BookEvent,
  type BookState,
  type BookView,
  bookEvents,
  bookReducer,
  type ChangeAccount,
  type ChangeParty,
  type ClosePeriod,
  type CorrectEntry,
  type CreateDraft,
  changeAccount,
  changeParty,
  closePeriod,
  correctEntry,
  createDraft,
  Decision,
  type DefineFiscalYear,
  type DefineJournal,
  type DefineRetention,
  type DesignateAccount,
  type DomainEvent,
  defineFiscalYear,
  defineJournal,
  defineRetention,
  designateAccount,
  discardDraft,
  type EnableCurrency,
  type EndRetention,
  type ErasePerson,
  type ErrorCode,
  type ErrorDetails,
  enableCurrency,
  endRetention,
  erasePerson,
  errorTable,
  type JournalEntryPosted,
  type JournalEvent,
  type JournalState,
  journalReducer,
  LedgerError,
  type MoveDraft,
  type MoveParty,
  moveParty,
  type OpenAccount,
  type OpenBook,
  type OpenDraft,
  type OpenDrafts,
  type OpenParty,
  openAccount,
  openBook,
  openParty,
  type PartyEvent,
  type PartyState,
  type PeriodTally,
  type PostEntry,
  pairKey,
  partyEvents,
  partyReducer,
  postEntry,
  type RateEvent,
  type RatePair,
  type RatesState,
  type RecordRates,
  type ReopenPeriod,
  type ReverseEntry,
  type ReviseDraft,
  ratesReducer,
  recordRates,
  rejectDraft,
  reopenPeriod,
  reverseEntry,
  reviseDraft,
  submitDraft,
  type UncommittedEvent,
} from '#domain';

/** An event of the past, or one that is expected. `data` members that are undefined count as absent. */
export interface GivenEvent {
  readonly streamId: string;
  readonly type: DomainEvent['type'];
  readonly data: object;
}

export type DomainCommand =
  | OpenBook
  | DefineFiscalYear
  | DefineJournal
  | EnableCurrency
  | DesignateAccount
  | RecordRates
  | ClosePeriod
  | ReopenPeriod
  | OpenAccount
  | ChangeAccount
  | PostEntry
  | ReverseEntry
  | CorrectEntry
  | CreateDraft
  | ReviseDraft
  | MoveDraft
  | DefineRetention
  | OpenParty
  | ChangeParty
  | MoveParty
  | ErasePerson
  | EndRetention;

/** What the world adds to a command: the clock, and ids. */
export interface Circumstances {
  /** The date in the book's time zone; 2026-07-05 when absent. */
  readonly today?: string;
  /** Microseconds since 1970; noon (UTC) of today when absent. */
  readonly now?: number;
  /** Id of what is opened or posted; `new` when absent. A correction's replacement gets `ID-replacement`. */
  readonly id?: string;
  /** `somebody`, who is no controller, when absent. */
  readonly actor?: Actor;
}

export const somebody: Actor = { userId: 'somebody', isController: false };
export const controller = (userId: string): Actor => ({ userId, isController: true });

/** The stream of the Book in these specs. */
const bookStream = 'book';

/** A book folded from events in memory. */
export class NaiveBook implements BookView {
  readonly bookId = 'acme';
  readonly bookStreamId = bookStream;
  readonly events: GivenEvent[] = [];
  private accounts = new Map<string, AccountState>();
  private entries = new Map<string, JournalState>();
  private rateStates = new Map<string, RatesState>();
  private partyStates = new Map<string, PartyState>();
  private bookState: BookState | undefined;

  constructor(events: readonly GivenEvent[] = []) {
    for (const event of events) this.fold(event);
  }

  get position(): number {
    return this.events.length;
  }

  book(): BookState | undefined {
    return this.bookState;
  }

  account(id: string): AccountState | undefined {
    return this.accounts.get(id);
  }

  entry(id: string): JournalState | undefined {
    return this.entries.get(id);
  }

  /** The first account that ever had this code. */
  accountIdByCode(code: string): string | undefined {
    return this.events.find(({ type, data }) => givesCode(type) && (data as { code: string }).code === code)?.streamId;
  }

  lastNumber(fiscalYear: string, journalCode: string): number {
    return this.posted().filter((entry) => entry.fiscalYear === fiscalYear && entry.journalCode === journalCode).length;
  }

  lastNumbers(fiscalYear: string): ReadonlyMap<string, number> {
    const years = this.posted().filter((entry) => entry.fiscalYear === fiscalYear);
    return new Map(years.map(({ journalCode, number }) => [journalCode, number]));
  }

  /** By summing what stands in the lines, in units of 10^-18, and no counter. */
  tally(fiscalYear: string, period: number): PeriodTally {
    const entries = this.posted().filter((entry) => entry.fiscalYear === fiscalYear && entry.period === period);
    const debits = entries.flatMap(({ lines }) => lines).filter(({ side }) => side === 'debit');
    const sums = [...new Set(entries.flatMap(({ lines }) => lines.map(({ currency }) => currency)))].map((currency) => {
      const scale = this.bookState?.currencies[currency] ?? 0;
      const sum = debits.filter((line) => line.currency === currency).reduce((total, { amount }) => total + atoms(amount), 0n);
      return { currency, scale, debit: sum / 10n ** BigInt(18 - scale) };
    });
    const baseScale = this.bookState?.currencies[this.bookState.baseCurrency] ?? 0;
    const base = debits.reduce((total, { baseAmount = '0' }) => total + atoms(baseAmount), 0n) / 10n ** BigInt(18 - baseScale);
    return { entries: entries.length, sums, base: this.bookState?.fx === 'tracked' ? base : 0n };
  }

  /** By looking at every entry, and no list. */
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
    return this.rateStates.get(this.ratesStreamId(pair));
  }

  ratesStreamId(pair: RatePair): string {
    return pairKey(pair);
  }

  party(id: string): PartyState | undefined {
    return this.partyStates.get(id);
  }

  mayReferSince(partyId: string, position: number): boolean {
    return this.posted().some((entry) => entry.position > position && entry.lines.some(({ party }) => party?.id === partyId));
  }

  /** Every entry, in the order of posting. */
  posted(): (JournalEntryPosted & { readonly id: string; readonly position: number })[] {
    return this.events.flatMap(({ type, data, streamId }, index) =>
      type === 'JournalEntryPosted' ? [{ ...(data as JournalEntryPosted), id: streamId, position: index + 1 }] : [],
    );
  }

  allAccounts(): AccountState[] {
    return [...this.accounts.values()];
  }

  /** Carries a command out and takes its events over. @throws LedgerError */
  execute(command: DomainCommand, circumstances: Circumstances = {}): readonly UncommittedEvent[] {
    const events = decideOn(this, command, circumstances);
    for (const event of events) this.fold(event);
    return events;
  }

  /** A book of its own with these events behind what is here. */
  extendedBy(events: readonly GivenEvent[]): NaiveBook {
    const copy = new NaiveBook();
    copy.events.push(...this.events);
    copy.accounts = new Map(this.accounts);
    copy.entries = new Map(this.entries);
    copy.rateStates = new Map(this.rateStates);
    copy.partyStates = new Map(this.partyStates);
    copy.bookState = this.bookState;
    for (const event of events) copy.fold(event);
    return copy;
  }

  private fold({ streamId, type, data }: GivenEvent): void {
    const event = freeze({ type, data: withoutUndefined(data) });
    if (Object.hasOwn(bookEvents, type)) this.bookState = freeze(bookReducer.evolve(this.bookState, event as unknown as BookEvent));
    else if (Object.hasOwn(accountEvents, type)) {
      this.accounts.set(streamId, freeze(accountReducer.evolve(this.accounts.get(streamId), event as unknown as AccountEvent, streamId)));
    } else if (type === 'ExchangeRateRecorded') {
      this.rateStates.set(streamId, freeze(ratesReducer.evolve(this.rateStates.get(streamId), event as unknown as RateEvent)));
    } else if (Object.hasOwn(partyEvents, type)) {
      this.partyStates.set(streamId, freeze(partyReducer.evolve(this.partyStates.get(streamId), event as unknown as PartyEvent)));
    } else this.entries.set(streamId, freeze(journalReducer.evolve(this.entries.get(streamId), event as unknown as JournalEvent)));
    this.events.push({ streamId, type, data: event.data });
  }

  versionOf(streamId: string): number {
    return this.events.filter((event) => event.streamId === streamId).length;
  }
}

/** What became of a command. */
export interface Outcome {
  /** The command is carried out, with exactly these events in this order. */
  thenEvents(...events: readonly GivenEvent[]): readonly UncommittedEvent[];
  /** The command is carried out; what happened is for the caller to look at. */
  thenAccepted(): readonly UncommittedEvent[];
  /** The command is refused with this code, and exactly these details where they are given. */
  thenRefused(code: ErrorCode, details?: ErrorDetails): LedgerError;
}

export function given(...events: readonly (GivenEvent | readonly GivenEvent[])[]): {
  when(command: DomainCommand, circumstances?: Circumstances): Outcome;
} {
  const book = new NaiveBook(events.flat());
  return {
    when(command, circumstances = {}) {
      let events: readonly UncommittedEvent[] = [];
      let refusal: unknown;
      try {
        events = decideOn(book, command, circumstances);
      } catch (error) {
        refusal = error;
      }
      return {
        thenAccepted() {
          if (refusal !== undefined) throw refusal;
          return events;
        },
        thenEvents(...expected) {
          if (refusal !== undefined) throw refusal;
          expect(events.map(({ streamId, type, data }) => withoutUndefined({ streamId, type, data }))).toEqual(
            expected.map(({ streamId, type, data }) => withoutUndefined({ streamId, type, data })),
          );
          return events;
        },
        thenRefused(code, details) {
          if (refusal === undefined) throw new Error(`expected ${code}, but the command was carried out`);
          if (!(refusal instanceof LedgerError)) throw refusal;
          expect({ code: refusal.code, detail: refusal.message }).toEqual({ code, detail: expect.any(String) });
          if (details !== undefined) expect(withoutUndefined(refusal.details)).toEqual(details);
          // A problem document has the members that the error table declares, and no others.
          const { members = [] } = errorTable[code] as { readonly members?: readonly string[] };
          expect(members).toEqual(expect.arrayContaining(Object.keys(refusal.details)));
          return refusal;
        },
      };
    },
  };
}

function decideOn(book: NaiveBook, command: DomainCommand, circumstances: Circumstances): readonly UncommittedEvent[] {
  const { today = '2026-07-05', id = 'new' } = circumstances;
  const now = circumstances.now ?? Date.parse(`${today}T12:00:00Z`) * 1_000;
  const decision = new Decision(book, circumstances.actor ?? somebody);
  switch (command.type) {
    case 'OpenBook':
      openBook(decision, command, now);
      break;
    case 'DefineFiscalYear':
      defineFiscalYear(decision, command);
      break;
    case 'DefineJournal':
      defineJournal(decision, command);
      break;
    case 'EnableCurrency':
      enableCurrency(decision, command);
      break;
    case 'DesignateAccount':
      designateAccount(decision, command);
      break;
    case 'RecordRates':
      recordRates(decision, command);
      break;
    case 'ClosePeriod':
      closePeriod(decision, command);
      break;
    case 'RequestReopening':
    case 'ApproveReopening':
    case 'DeclineReopening':
      reopenPeriod(decision, command);
      break;
    case 'OpenAccount':
      openAccount(decision, command, id);
      break;
    case 'PostEntry':
      postEntry(decision, command, id);
      break;
    case 'ReverseEntry':
      reverseEntry(decision, command, today, id);
      break;
    case 'CorrectEntry':
      correctEntry(decision, command, today, { reversal: id, replacement: `${id}-replacement` });
      break;
    case 'CreateDraft':
      createDraft(decision, command, id);
      break;
    case 'ReviseDraft':
      reviseDraft(decision, command);
      break;
    case 'SubmitDraft':
      submitDraft(decision, command.entryId);
      break;
    case 'ApproveDraft':
      approveDraft(decision, command.entryId);
      break;
    case 'RejectDraft':
      rejectDraft(decision, command.entryId);
      break;
    case 'DiscardDraft':
      discardDraft(decision, command.entryId);
      break;
    case 'DefineRetention':
      defineRetention(decision, command);
      break;
    case 'OpenParty':
      openParty(decision, command, id);
      break;
    case 'ChangeParty':
      changeParty(decision, command);
      break;
    case 'CloseParty':
    case 'PlaceHold':
    case 'ReleaseHold':
      moveParty(decision, command);
      break;
    case 'ErasePerson':
      erasePerson(decision, command);
      break;
    case 'EndRetention':
      endRetention(decision, command);
      break;
    default:
      changeAccount(decision, command);
  }
  holdInvariants(book, decision);
  holdCodes(book, decision);
  holdDrafts(book, decision);
  return decision.uncommitted;
}

// --- The invariants of every decision, a second time ---

function holdInvariants(before: NaiveBook, { uncommitted: events, actor }: Decision): void {
  const versions = new Map<string, number>();
  for (const { streamId, version } of events) {
    const expected = (versions.get(streamId) ?? before.versionOf(streamId)) + 1;
    if (version !== expected) broken('I5', `stream ${streamId} goes on with version ${version}, not ${expected}`);
    versions.set(streamId, version);
  }
  const after = before.extendedBy(events);
  events.forEach((event, index) => {
    if (event.type === 'JournalEntryPosted') {
      holdEntry(before, after, event.data as JournalEntryPosted, actor);
      holdLegs(before, events, index);
      const { fiscalYear, journalCode, number } = event.data as JournalEntryPosted;
      const last = after.posted().filter((entry) => entry.fiscalYear === fiscalYear && entry.journalCode === journalCode);
      last.forEach((entry, at) => {
        if (entry.number !== at + 1) broken('numbers', `${journalCode}/${fiscalYear}/${number} leaves a gap`);
      });
    } else if (event.causedBy !== undefined && events[event.causedBy]?.type !== 'JournalEntryPosted') {
      broken('I12', `${event.type} is caused by ${events[event.causedBy]?.type}`);
    }
  });
}

/** Codes are reserved when they are given for the first time, each to its account, and never again. */
function holdCodes(before: NaiveBook, { uncommitted, newCodes }: Decision): void {
  const given = uncommitted.filter(({ type }) => givesCode(type)).map(({ streamId, data }) => [(data as { code: string }).code, streamId]);
  const expected = given.filter(([code = '']) => before.accountIdByCode(code) === undefined);
  expect([...newCodes]).toEqual(expected);
}

/** The list of open drafts that a decision leaves is what looking at every entry gives; nothing closes over one of them. */
function holdDrafts(before: NaiveBook, decision: Decision): void {
  const after = before.extendedBy(decision.uncommitted);
  for (const { label } of after.book()?.fiscalYears ?? []) {
    const drafts = after.drafts(label);
    expect(new Map(decision.drafts(label))).toEqual(drafts);
    for (const { type, data } of decision.uncommitted) {
      const { fiscalYear, period } = data as { fiscalYear?: string; period?: number };
      if (type === 'PeriodClosed' && fiscalYear === label && [...drafts.values()].some((draft) => draft.period === period))
        broken('drafts', `${label}/${period} is closed over drafts`);
    }
  }
  for (const [index, { type, streamId }] of decision.uncommitted.entries()) {
    const posted = decision.uncommitted.slice(index).some((event) => event.type === 'JournalEntryPosted' && event.streamId === streamId);
    if (type === 'JournalApproved' && !posted) broken('drafts', `${streamId} is approved and not posted`);
  }
}

/** I1 and I2 by summing fractions of whole units: no scale, no minor units. */
function holdEntry(before: NaiveBook, after: NaiveBook, entry: JournalEntryPosted, actor: Actor): void {
  const book = after.book() as BookState;
  if (entry.lines.length < 2) broken('I1', 'fewer than two lines');
  const sums = new Map<string, bigint>();
  const add = (what: string, side: 'debit' | 'credit', amount: string) =>
    sums.set(what, (sums.get(what) ?? 0n) + (side === 'debit' ? atoms(amount) : -atoms(amount)));
  for (const { side, amount, currency, baseAmount, tax, quantity, line, accountId } of entry.lines) {
    const scale = book.currencies[currency];
    if (scale === undefined) broken('CurrencyEnabled', `${currency} has no scale after its first use`);
    if ((amount.split('.')[1]?.length ?? 0) !== scale) broken('I2', `${amount} ${currency} is not stored with ${scale} decimals`);
    if (atoms(amount) === 0n && baseAmount === undefined && !tax?.length && quantity === undefined) broken('I2', `line ${line} is 0`);
    if (atoms(amount) < 0n || amount.replace('.', '').replace(/^0+/, '').length > 30) broken('I2', `line ${line}: ${amount}`);
    add(currency, side, amount);
    if (book.fx === 'tracked') add('base', side, baseAmount ?? (currency === book.baseCurrency ? amount : 'none'));
    const account = after.account(accountId);
    if (account?.status !== 'open' || !account.postable) broken('I9', `line ${line} is on an account that takes none`);
  }
  for (const [what, sum] of sums) if (sum !== 0n) broken('I1', `${what} does not balance`);
  const year = book.fiscalYears.find(({ label }) => label === entry.fiscalYear);
  const period = year?.periods.find(({ no }) => no === entry.period);
  const { effectiveDate } = entry;
  if (period === undefined || effectiveDate < period.from || effectiveDate > period.to)
    broken('I9', `${effectiveDate} is not in period ${entry.fiscalYear}/${entry.period}`);
  const closed = before.events.filter(
    ({ type, data }) =>
      (type === 'PeriodClosed' || type === 'PeriodReopened') &&
      (data as JournalEntryPosted).fiscalYear === entry.fiscalYear &&
      (data as JournalEntryPosted).period === entry.period,
  );
  const last = closed.at(-1);
  const level = last?.type === 'PeriodClosed' ? (last.data as { level: string }).level : 'none';
  if (level === 'hard' || (level === 'soft' && !actor.isController)) broken('I9', `period of ${effectiveDate} is closed`);
}

/** I15: exactly one account event per line, in line order, right behind its entry; totals add up from the account's events. */
function holdLegs(before: NaiveBook, events: readonly UncommittedEvent[], at: number): void {
  const posted = events[at] as UncommittedEvent;
  const { lines, effectiveDate } = posted.data as JournalEntryPosted;
  const legs = events.slice(at + 1, at + 1 + lines.length);
  lines.forEach((line, index) => {
    const leg = legs[index];
    const data = leg?.data as AccountPosted;
    const position = before.position + at + 1;
    const same =
      leg?.type === (line.side === 'debit' ? 'AccountDebited' : 'AccountCredited') &&
      leg.streamId === line.accountId &&
      leg.causedBy === at &&
      data.entryId === posted.streamId &&
      data.entryPosition === position &&
      data.line === line.line &&
      line.line === index + 1 &&
      data.effectiveDate === effectiveDate &&
      data.amount === line.amount &&
      data.currency === line.currency &&
      data.baseAmount === line.baseAmount;
    if (!same) broken('I15', `leg ${index + 1} differs from its line: ${JSON.stringify([line, leg])}`);
    const history = [...before.events, ...events.slice(0, at + 2 + index)].filter(({ streamId, data: past }) => {
      return streamId === line.accountId && (past as Partial<AccountPosted>).currency === line.currency;
    });
    const total = (type: string) =>
      history.filter((past) => past.type === type).reduce((sum, past) => sum + atoms((past.data as AccountPosted).amount), 0n);
    if (total('AccountDebited') !== atoms(data.totalDebit) || total('AccountCredited') !== atoms(data.totalCredit))
      broken('I15', `totals of line ${index + 1} do not add up`);
  });
  if (events.filter(({ causedBy }) => causedBy === at).length !== lines.length) broken('I15', 'more or fewer legs than lines');
}

function broken(invariant: string, what: string): never {
  throw new Error(`${invariant} is broken: ${what}`);
}

/** A plain decimal in units of 10^-18, the finest that a currency may have. */
export function atoms(amount: string): bigint {
  const match = /^(\d+)(?:\.(\d{1,18}))?$/.exec(amount);
  if (match === null) throw new Error(`"${amount}" is not stored as a plain decimal`);
  return BigInt(match[1] as string) * 10n ** 18n + BigInt((match[2] ?? '').padEnd(18, '0'));
}

const givesCode = (type: string): boolean => type === 'AccountOpened' || type === 'AccountCodeChanged';

/** As JSON has it, which is how an event is stored. */
function withoutUndefined<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const member of Object.values(value)) freeze(member);
  }
  return value;
}

// --- A book to begin with ---

export const opened = (data: Partial<Extract<BookEvent, { type: 'BookOpened' }>['data']> = {}): GivenEvent => ({
  streamId: bookStream,
  type: 'BookOpened',
  data: {
    name: 'Acme',
    baseCurrency: 'EUR',
    fx: 'untracked',
    rounding: 'half_even',
    timeZone: 'UTC',
    fiscalYearStart: '01-01',
    ...data,
  },
});

export const onBook = <T extends BookEvent['type']>(type: T, data: Extract<BookEvent, { type: T }>['data']): GivenEvent => ({
  streamId: bookStream,
  type,
  data,
});

/** A period that was closed, with whatever was in it. */
export const closed = (fiscalYear: string, period: number, level: 'soft' | 'hard' = 'hard'): GivenEvent =>
  onBook('PeriodClosed', { fiscalYear, period, level, position: 1, entries: 0, totals: [], numbers: [] });

/** The fiscal year and calendar year, in twelve months. */
export function calendarYear(year: number): GivenEvent {
  const month = (no: number) => `${year}-${String(no).padStart(2, '0')}`;
  const periods = Array.from({ length: 12 }, (_, index) => ({
    no: index + 1,
    from: `${month(index + 1)}-01`,
    to: `${month(index + 1)}-${new Date(Date.UTC(year, index + 1, 0)).getUTCDate()}`,
    kind: 'normal' as const,
  }));
  return onBook('FiscalYearDefined', { label: String(year), from: `${year}-01-01`, to: `${year}-12-31`, periods });
}

export const generalJournal = onBook('JournalDefined', { journalCode: 'GENERAL', name: 'General journal', type: 'general' });

/** A book in euro with the year 2026 and the day book GENERAL. */
export const aBook = (data: Parameters<typeof opened>[0] = {}): GivenEvent[] => [opened(data), calendarYear(2026), generalJournal];

/** An open asset account whose stream id is its code in lower case. */
export function account(code: string, data: object = {}): GivenEvent {
  return {
    streamId: code.toLowerCase(),
    type: 'AccountOpened',
    data: { code, name: code, type: 'asset', normalSide: 'debit', postable: true, ...data },
  };
}

/** What has happened to the account whose stream is `streamId`. */
export const onAccount = (streamId: string, type: AccountEvent['type'], data: object = {}): GivenEvent => ({ streamId, type, data });

/** A line of a command. */
const line = (side: 'debit' | 'credit', accountCode: string, amount: string, currency = 'EUR', extras: object = {}) => ({
  account: accountCode,
  side,
  amount,
  currency,
  ...extras,
});
export const debit = (accountCode: string, amount: string, currency?: string, extras?: object) =>
  line('debit', accountCode, amount, currency, extras);
export const credit = (accountCode: string, amount: string, currency?: string, extras?: object) =>
  line('credit', accountCode, amount, currency, extras);

/** The command to post lines on 2026-03-01. */
export const post = (lines: PostEntry['lines'], content: Partial<PostEntry> = {}): PostEntry => ({
  type: 'PostEntry',
  effectiveDate: '2026-03-01',
  description: 'Sale',
  lines,
  ...content,
});

/** The events of a history in which commands were carried out one after the other, for `given`. */
export function history(
  start: readonly GivenEvent[],
  ...commands: readonly (DomainCommand | [DomainCommand, Circumstances])[]
): GivenEvent[] {
  const book = new NaiveBook(start);
  for (const item of commands) {
    if (Array.isArray(item)) book.execute(...item);
    else book.execute(item);
  }
  return [...book.events];
}
