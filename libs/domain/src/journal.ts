/**
 * Journal: the aggregate behind one entry. Decides whether an entry may be posted, reversed or corrected, and what is then
 * recorded: one JournalEntryPosted and one account event per line. Guarantees I1 (balanced per currency, and in base where
 * fx is tracked), I2, I9 and I15, and numbers without gap per day book and fiscal year. Every check of one command is made,
 * and the declared order of codes decides which refusal is told. What happens to an entry before it is posted is decided in
 * journal-draft.ts; it is the same stream, and folded here.
 */
import { type CurrencyTotal, checkPostable, type Side } from './account';
import { type BookState, scaleOf } from './book';
import { type CalendarDate, isDate } from './calendar-date';
import type { Actor, Decision } from './decision';
import { addLines, checkBalance, isOwnOrigin, type ResolvedLine, resolveLines, storedLine } from './entry-lines';
import { LedgerError, Refusals } from './errors';
import {
  adjustmentPeriodOf,
  checkDate,
  firstOpenDay,
  missingYears,
  type PeriodRef,
  type PostingDay,
  periodOf,
  postingDate,
} from './fiscal-calendar';
import { canonicalDecimal, fromMinor, toMinor } from './money';
import type { PeriodTally } from './period-close';

export const entryTypes = ['normal', 'opening', 'adjusting', 'closing', 'reversal', 'revaluation', 'accrual', 'conversion'] as const;
export type EntryType = (typeof entryTypes)[number];
export const entryMethods = ['manual', 'interface', 'import', 'recurring', 'system'] as const;
export type EntryMethod = (typeof entryMethods)[number];
/** first_open_day moves a late entry there, and requestedDate keeps the date that was asked for. */
export const onClosedPeriods = ['refuse', 'first_open_day'] as const;
export type OnClosedPeriod = (typeof onClosedPeriods)[number];
/** currency_conversion: what is missing per currency is added on the account designated for it, as marked lines. */
export const onImbalances = ['refuse', 'currency_conversion'] as const;
export type OnImbalance = (typeof onImbalances)[number];
export const linkRelations = ['reverses', 'corrects', 'accrual_of', 'settles', 'intercompany'] as const;

/** What a line may carry beside account, side, amount and currency; stored as given, checked for form at the edge. */
export interface LineExtras {
  readonly rate?: { readonly value: string; readonly date: CalendarDate; readonly source: string };
  readonly description?: string;
  readonly party?: { readonly id: string; readonly kind: string };
  readonly dimensions?: readonly { readonly key: string; readonly value: string }[];
  readonly tax?: readonly { readonly code: string; readonly base: string; readonly amount: string }[];
  readonly quantity?: { readonly value: string; readonly unit: string };
  readonly dueDate?: CalendarDate;
  readonly valueDate?: CalendarDate;
  readonly reference?: string;
  readonly origin?: string;
}

/** A line as it is stored. `line` is 1..n for ever; (entryId, line) is an address. */
export interface PostedLine extends LineExtras {
  readonly line: number;
  readonly accountId: string;
  /** The account's code when the line was posted. */
  readonly code: string;
  readonly side: Side;
  readonly amount: string;
  readonly currency: string;
  readonly baseAmount?: string;
}

/** What an entry may carry beside date, text and lines; stored as given, checked for form at the edge. */
export interface EntryExtras {
  readonly requestedDate?: CalendarDate;
  readonly reference?: string;
  readonly document?: {
    readonly type: string;
    readonly number: string;
    readonly date: CalendarDate;
    readonly uri?: string;
    readonly sha256?: string;
  };
  readonly source?: {
    readonly system: string;
    readonly id: string;
    readonly original?: {
      readonly journal?: string;
      readonly number?: string;
      readonly enteredBy?: string;
      readonly enteredAt?: string;
      readonly approvedBy?: string;
      readonly approvedAt?: string;
    };
  };
  readonly links?: readonly { readonly rel: (typeof linkRelations)[number]; readonly entryId: string }[];
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export interface JournalEntryPosted extends EntryExtras {
  readonly journalCode: string;
  readonly fiscalYear: string;
  readonly period: number;
  readonly number: number;
  readonly entryType: EntryType;
  readonly entryMethod: EntryMethod;
  readonly effectiveDate: CalendarDate;
  readonly description: string;
  readonly lines: readonly PostedLine[];
}

/** An entry as its author has it before it is posted, with the period that it belongs to. */
export interface JournalWritten extends DraftContent {
  readonly fiscalYear: string;
  readonly period: number;
}

/** What happens to a Journal before it is posted. */
export type DraftEvent =
  | { readonly type: 'JournalCreated'; readonly data: JournalWritten & { readonly createdBy: string } }
  /** A whole new content. */
  | { readonly type: 'JournalRevised'; readonly data: JournalWritten & { readonly revisedBy: string } }
  | { readonly type: 'JournalSubmitted'; readonly data: { readonly submittedBy: string } }
  /** Its JournalEntryPosted follows in the same append. */
  | { readonly type: 'JournalApproved'; readonly data: { readonly approvedBy: string } }
  /** Back to its author; why stands in the metadata. */
  | { readonly type: 'JournalRejected'; readonly data: { readonly rejectedBy: string } }
  | { readonly type: 'JournalDiscarded'; readonly data: { readonly discardedBy: string } };

export type JournalEvent =
  | DraftEvent
  | { readonly type: 'JournalEntryPosted'; readonly data: JournalEntryPosted }
  | { readonly type: 'JournalEntryReversed'; readonly data: { readonly by: string } };

export type DraftStatus = 'draft' | 'submitted' | 'approved' | 'posted' | 'discarded';

/** The life of an entry before it was posted. */
export interface JournalDraft {
  readonly status: DraftStatus;
  /** As its author has it: codes and amounts as they were given. */
  readonly content: DraftContent;
  /** Where it would be posted when it was written. */
  readonly fiscalYear: string;
  readonly period: number;
  readonly createdBy: string;
  readonly revisedBy?: string;
  /** Since it was last submitted. */
  readonly submittedBy?: string;
  readonly approvedBy?: string;
}

export interface JournalState {
  readonly version: number;
  /** Absent as long as it is not posted. */
  readonly posted?: JournalEntryPosted;
  /** Absent of an entry that was posted directly. */
  readonly draft?: JournalDraft;
  /** Id of the entry that reversed this one. */
  readonly reversedBy?: string;
}

/**
 * In a book with fx: tracked every line has its amount in base currency. Before rates were recorded a line that was in base currency did
 * not repeat it; whoever folds base amounts must not count it as nothing.
 */
function statedInBase({ fx, baseCurrency }: Readonly<Record<string, unknown>>) {
  if (fx !== 'tracked') return undefined;
  const isSilent = ({ currency, baseAmount }: PostedLine): boolean => baseAmount === undefined && currency === baseCurrency;
  return (data: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => {
    const lines = data.lines as readonly PostedLine[];
    if (!lines.some(isSilent)) return data;
    return { ...data, lines: lines.map((line) => (isSilent(line) ? { ...line, baseAmount: line.amount } : line)) };
  };
}

export const journalEvents = {
  JournalEntryPosted: { aggregateType: 'Journal', version: 1, completion: statedInBase },
  JournalEntryReversed: { aggregateType: 'Journal', version: 1 },
  JournalCreated: { aggregateType: 'Journal', version: 1 },
  JournalRevised: { aggregateType: 'Journal', version: 1 },
  JournalSubmitted: { aggregateType: 'Journal', version: 1 },
  JournalApproved: { aggregateType: 'Journal', version: 1 },
  JournalRejected: { aggregateType: 'Journal', version: 1 },
  JournalDiscarded: { aggregateType: 'Journal', version: 1 },
} as const;

function evolve(state: JournalState | undefined, event: JournalEvent): JournalState {
  if (event.type === 'JournalEntryPosted') {
    if (state?.draft === undefined) return { version: 1, posted: event.data };
    return { version: state.version + 1, posted: event.data, draft: { ...state.draft, status: 'posted' } };
  }
  if (event.type === 'JournalCreated') {
    const { createdBy, fiscalYear, period, ...content } = event.data;
    return { version: 1, draft: { status: 'draft', content, fiscalYear, period, createdBy } };
  }
  if (event.type === 'JournalEntryReversed') {
    if (state === undefined) throw new Error(`${event.type} before JournalEntryPosted`);
    return { ...state, version: state.version + 1, reversedBy: event.data.by };
  }
  if (state?.draft === undefined) throw new Error(`${event.type} before JournalCreated`);
  return { ...state, version: state.version + 1, draft: draftAfter(state.draft, event) };
}

function draftAfter(draft: JournalDraft, event: Exclude<DraftEvent, { readonly type: 'JournalCreated' }>): JournalDraft {
  switch (event.type) {
    case 'JournalRevised': {
      const { revisedBy, fiscalYear, period, ...content } = event.data;
      return { ...draft, content, fiscalYear, period, revisedBy };
    }
    case 'JournalSubmitted':
      return { ...draft, status: 'submitted', submittedBy: event.data.submittedBy };
    case 'JournalApproved':
      return { ...draft, status: 'approved', approvedBy: event.data.approvedBy };
    case 'JournalRejected': {
      const { submittedBy: _submittedBy, ...rest } = draft;
      return { ...rest, status: 'draft' };
    }
    case 'JournalDiscarded':
      return { ...draft, status: 'discarded' };
  }
}

/** Folds a Journal stream. */
export const journalReducer = {
  aggregateType: 'Journal',
  version: 1,
  evolve,
  toSnapshot: (state: JournalState): unknown => state,
  fromSnapshot: (snapshot: unknown): JournalState => snapshot as JournalState,
};

// --- Commands ---

/** A line as a caller gives it. Amounts are plain decimals; `account` is a code. */
export interface EntryLine extends LineExtras {
  readonly account: string;
  readonly side: Side;
  readonly amount: string;
  readonly currency: string;
  readonly baseAmount?: string;
}

export interface EntryContent extends EntryExtras {
  readonly effectiveDate: CalendarDate;
  readonly description: string;
  /** Day book; GENERAL when absent. */
  readonly journalCode?: string;
  readonly entryType?: EntryType;
  readonly entryMethod?: EntryMethod;
  /** Number of an adjustment period that the date lies in; else the entry goes to the normal one. */
  readonly adjustmentPeriod?: number;
  /** What becomes of an entry whose date lies in a period that is closed to its caller; refused when absent. */
  readonly onClosedPeriod?: OnClosedPeriod;
  /** What becomes of an entry that does not balance per currency; refused when absent. */
  readonly onImbalance?: OnImbalance;
  readonly reason?: string;
  readonly lines: readonly EntryLine[];
}

/** An entry that is not posted yet, as its author has it. */
export type DraftContent = Omit<EntryContent, 'reason'>;

export interface PostEntry extends EntryContent {
  readonly type: 'PostEntry';
}

export interface ReverseEntry {
  readonly type: 'ReverseEntry';
  readonly entryId: string;
  readonly effectiveDate?: CalendarDate;
  /** What becomes of it where its date lies in a period that is closed to its caller; refused when absent. */
  readonly onClosedPeriod?: OnClosedPeriod;
  /** Number of an adjustment period that the date lies in; of the original's date where none is stated. */
  readonly adjustmentPeriod?: number;
  readonly reason: string;
  readonly description?: string;
}

/**
 * Reversal and replacement in one append. journalCode, entryType, description, reference and document are those of the
 * original where they are left out.
 */
export interface CorrectEntry extends Omit<EntryContent, 'effectiveDate' | 'description' | 'reason'> {
  readonly type: 'CorrectEntry';
  readonly entryId: string;
  readonly effectiveDate?: CalendarDate;
  readonly description?: string;
  readonly reason: string;
}

export const defaultJournalCode = 'GENERAL';

/**
 * The same command with every amount in its shortest form, so that `1.0` and `1.00` have one fingerprint (I6), and ids of parties in lower
 * case, by which alone a party is found: by duties over what it says, and by a person who asks.
 */
export function normaliseLines<T extends { readonly lines: readonly EntryLine[] }>(command: T): T {
  return { ...command, lines: command.lines.map(normaliseLine) };
}

/** A UUID with a capital in it; ids of other systems stay what they are. */
const upperUuid = /^(?=.*[A-F])[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/;

function normaliseLine(line: EntryLine): EntryLine {
  const amount = canonicalDecimal(line.amount);
  if (line.party !== undefined && upperUuid.test(line.party.id))
    return normaliseLine({ ...line, party: { ...line.party, id: line.party.id.toLowerCase() } });
  if (line.baseAmount === undefined && line.quantity === undefined && line.tax === undefined && line.rate === undefined) {
    return amount === line.amount ? line : { ...line, amount };
  }
  return {
    ...line,
    amount,
    baseAmount: line.baseAmount === undefined ? undefined : canonicalDecimal(line.baseAmount),
    quantity: line.quantity && { ...line.quantity, value: canonicalDecimal(line.quantity.value) },
    rate: line.rate && { ...line.rate, value: canonicalDecimal(line.rate.value) },
    tax: line.tax?.map((tax) => ({ ...tax, base: canonicalDecimal(tax.base), amount: canonicalDecimal(tax.amount) })),
  };
}

// --- Decisions ---

/** What became of a posted entry: the members of its receipt that the position of the batch does not give. */
export interface PostedEntry {
  readonly id: string;
  readonly number: number;
  /** Position of JournalEntryPosted. */
  readonly position: number;
}

/**
 * Posts an entry.
 * @param id the new entry's id (UUIDv7), which names its stream
 * @throws LedgerError the first applicable code, from account_unknown to limit_exceeded in the order of errorTable
 */
export function postEntry(decision: Decision, command: EntryContent, id: string): PostedEntry {
  return postUnless(new Refusals(), decision, command, id);
}

/** Posts what the service has computed of accounts as a whole: its lines name no party, on control accounts neither. @throws LedgerError as postEntry */
export function postComputed(decision: Decision, command: EntryContent, id: string): PostedEntry {
  return postUnless(new Refusals(), decision, { ...command, entryMethod: 'system' }, id, decision.actor, 'service');
}

/**
 * Posts an entry unless something speaks against it, which may be noted already.
 * @param movesFor who must be able to post on a day for it to be none that the entry moves from
 * @throws LedgerError as postEntry, or what was noted before when that is declared first
 */
export function postUnless(
  refusals: Refusals,
  decision: Decision,
  command: EntryContent,
  id: string,
  movesFor: Actor = decision.actor,
  madeBy: 'caller' | 'service' = 'caller',
): PostedEntry {
  const book = decision.book();
  const journalCode = command.journalCode ?? defaultJournalCode;
  checkClaims(command, refusals);
  const lines = resolveLines(decision, book, command, command.effectiveDate, refusals, madeBy);
  const day = postingDay(decision, command, command.effectiveDate, movesFor);
  const tally = checkEntry(decision, book, day, journalCode, lines, refusals);
  const totals = addLines(lines, refusals);
  refusals.throwFirst();
  const requestedDate = day.date === command.effectiveDate ? command.requestedDate : command.effectiveDate;
  return record(decision, { ...command, effectiveDate: day.date, requestedDate }, day, journalCode, lines, totals, tally, id);
}

/**
 * Notes what would speak against posting an entry now, except limits of accounts; which codes count is for the caller to say.
 * @returns where it would be posted
 */
export function checkUnposted(decision: Decision, content: DraftContent, refusals: Refusals): PostingDay {
  const book = decision.book();
  checkClaims(content, refusals);
  const lines = resolveLines(decision, book, content, content.effectiveDate, refusals);
  const day = postingDay(decision, content, content.effectiveDate, anybody(decision));
  checkEntry(decision, book, day, content.journalCode ?? defaultJournalCode, lines, refusals);
  return day;
}

/** Where an entry is posted: on its own day, or on the first open one where it may move. */
function postingDay(
  decision: Decision,
  { adjustmentPeriod, onClosedPeriod }: Partial<EntryContent>,
  date: CalendarDate,
  movesFor: Actor = decision.actor,
): PostingDay {
  const moves = onClosedPeriod === 'first_open_day';
  return { date: postingDate(decision.book(), { date, moves }, movesFor), adjustmentPeriod };
}

/** Whoever writes, submits or approves a draft that may move, it stands in the same period: what a controller may do has no part in that. */
export const anybody = ({ actor }: Decision): Actor => ({ ...actor, isController: false });

/** Relations that only the commands that reverse and correct can make true: they also mark the entry that they point to. */
const ownRelations = new Set<string>(['reverses', 'corrects']);

/** Notes malformed for an entry that claims what only the service can make true; one taken over from other books may say so. */
function checkClaims(entry: Partial<EntryContent>, refusals: Refusals): void {
  const { entryType, entryMethod, links, lines, onClosedPeriod, requestedDate } = entry;
  if (onClosedPeriod === 'first_open_day' && requestedDate !== undefined) {
    const message = 'requestedDate is given by onClosedPeriod: first_open_day where an entry moves; state one of them';
    refusals.note('malformed', () => message, { member: 'requestedDate' });
  }
  checkMove(entry, refusals);
  const marked = lines?.findIndex(({ origin }) => isOwnOrigin(origin)) ?? -1;
  if (marked >= 0) {
    const message = `lines.${marked}.origin: book-keeper:… marks lines that the service has added`;
    refusals.note('malformed', () => message, { member: `lines.${marked}.origin` });
  }
  if (entryMethod === 'import') return;
  if (entryType === 'reversal') {
    const message = 'entryType reversal is given by reversing an entry (POST …/reverse); only an import may state it';
    refusals.note('malformed', () => message, { member: 'entryType' });
  }
  const index = links?.findIndex(({ rel }) => ownRelations.has(rel)) ?? -1;
  if (index < 0) return;
  const message = `links.${index}: ${links?.[index]?.rel} is given by reversing or correcting an entry; only an import may state it`;
  refusals.note('malformed', () => message, { member: `links.${index}.rel` });
}

/** Notes malformed for what is to stay in an adjustment period and to move. */
function checkMove({ onClosedPeriod, adjustmentPeriod }: Partial<EntryContent>, refusals: Refusals): void {
  if (onClosedPeriod !== 'first_open_day' || adjustmentPeriod === undefined) return;
  const message = 'onClosedPeriod: an entry of an adjustment period cannot move to another day';
  refusals.note('malformed', () => message, { member: 'onClosedPeriod' });
}

/**
 * Reverses an entry: the mirrored lines under the same day book, with a number of their own, on `effectiveDate` (moved where that is
 * closed and it may move) or else on the later of the original date and today, moved to the first open day.
 * @param today the date in the book's time zone
 * @throws LedgerError entry_unknown | already_reversed | reversal_of_reversal | as postEntry
 */
export function reverseEntry(decision: Decision, command: ReverseEntry, today: CalendarDate, id: string): PostedEntry {
  const day = reversalDay(decision, command, today);
  const refusals = new Refusals();
  checkMove(command, refusals);
  const mirrored = mirror(decision, command.entryId, day, refusals);
  const totals = addLines(mirrored.lines, refusals);
  refusals.throwFirst();
  return recordReversal(decision, command.entryId, day, mirrored, totals, id, command.description);
}

/**
 * Corrects an entry: reverses it and posts its replacement on the same date, both or neither. Whatever speaks against either
 * is weighed in one order, and limits look at what both leave: a deposit that was spent may still get another text.
 * @param ids of the reversal and of the replacement
 * @throws LedgerError as reverseEntry and postEntry
 */
export function correctEntry(
  decision: Decision,
  command: CorrectEntry,
  today: CalendarDate,
  ids: { readonly reversal: string; readonly replacement: string },
): { readonly reversal: PostedEntry; readonly replacement: PostedEntry } {
  const { entryId } = command;
  const reversalOn = reversalDay(decision, command, today);
  const { date, asked, requestedDate } = reversalOn;
  const original = knownEntry(decision, entryId).posted;
  const refusals = new Refusals();
  const mirrored = mirror(decision, entryId, reversalOn, refusals);
  const book = decision.book();
  const journalCode = command.journalCode ?? original.journalCode;
  checkClaims(command, refusals);
  const lines = resolveLines(decision, book, command, asked, refusals);
  const day: PostingDay = { date, adjustmentPeriod: command.adjustmentPeriod };
  const tally = checkEntry(decision, book, day, journalCode, lines, refusals);
  const totals = addLines([...mirrored.lines, ...lines], refusals);
  refusals.throwFirst();
  const reversed = mirrored.lines.length;
  const reversal = recordReversal(decision, entryId, reversalOn, mirrored, totals.slice(0, reversed), ids.reversal);
  const header: EntryHeader = {
    ...command,
    entryType: command.entryType ?? original.entryType,
    entryMethod: command.entryMethod ?? original.entryMethod,
    description: command.description ?? original.description,
    reference: command.reference ?? original.reference,
    document: command.document ?? original.document,
    source: command.source ?? original.source,
    requestedDate: requestedDate ?? command.requestedDate ?? original.requestedDate,
    metadata: command.metadata ?? original.metadata,
    effectiveDate: date,
    links: [...(command.links ?? original.links?.filter(({ rel }) => !ownRelations.has(rel)) ?? []), { rel: 'corrects', entryId }],
  };
  return { reversal, replacement: record(decision, header, day, journalCode, lines, totals.slice(reversed), tally, ids.replacement) };
}

type PostedState = JournalState & { readonly posted: JournalEntryPosted };
const isPosted = (state: JournalState): state is PostedState => state.posted !== undefined;

function knownEntry(decision: Decision, id: string): PostedState {
  decision.book();
  const entry = decision.entry(id);
  if (entry !== undefined && isPosted(entry)) return entry;
  const draft = entry === undefined ? '' : '; a draft has this id, and it is not posted';
  throw new LedgerError('entry_unknown', `there is no journal entry ${id} in book ${decision.bookId}${draft}`, { entry: id });
}

/** Where a reversal, and the replacement that goes with it, are posted. */
interface ReversalDay extends PostingDay {
  /** The day that was asked for, where they moved from it. */
  readonly requestedDate?: CalendarDate;
}

/** @returns also the day that was asked for, or the default where none was */
function reversalDay(
  decision: Decision,
  command: Pick<ReverseEntry, 'entryId' | 'effectiveDate' | 'onClosedPeriod' | 'adjustmentPeriod'>,
  today: CalendarDate,
): ReversalDay & { readonly asked: CalendarDate } {
  const { effectiveDate: asked, adjustmentPeriod } = command;
  if (asked === undefined) {
    const { effectiveDate } = knownEntry(decision, command.entryId).posted;
    if (adjustmentPeriod !== undefined) return { date: effectiveDate, asked: effectiveDate, adjustmentPeriod };
    const date = firstOpenDay(decision.book(), effectiveDate > today ? effectiveDate : today);
    return { date, asked: date };
  }
  if (!isDate(asked)) throw invalidDate(asked);
  const { date } = postingDay(decision, command, asked);
  return { date, asked, adjustmentPeriod, requestedDate: date === asked ? undefined : asked };
}

interface Mirrored {
  readonly journalCode: string;
  readonly lines: readonly ResolvedLine[];
  readonly tally: PeriodTally;
}

/** The lines of an entry with their sides exchanged; notes what speaks against posting them on that day. */
function mirror(decision: Decision, entryId: string, day: PostingDay, refusals: Refusals): Mirrored {
  const { posted, reversedBy } = knownEntry(decision, entryId);
  const book = decision.book();
  if (reversedBy !== undefined) {
    refusals.note('already_reversed', () => `entry ${entryId} was reversed by ${reversedBy}`, { entry: entryId, by: reversedBy });
  }
  if (posted.entryType === 'reversal') {
    refusals.note('reversal_of_reversal', () => `entry ${entryId} is a reversal; post the entry anew instead`, { entry: entryId });
  }
  const baseScale = scaleOf(book, book.baseCurrency) ?? 0;
  const lines = posted.lines.map((line): ResolvedLine => {
    const account = decision.account(line.accountId);
    if (account === undefined) throw new Error(`entry ${entryId} refers to account ${line.accountId}, which has no stream`);
    checkPostable(account, line.currency, line.line, refusals);
    const scale = scaleOf(book, line.currency) ?? 0;
    const side = line.side === 'debit' ? 'credit' : 'debit';
    const { amount, currency, baseAmount } = line;
    const stored = storedLine(line.line, account, side, amount, currency, baseAmount, line);
    const minor = toMinor(amount, scale) ?? 0n;
    const baseMinor = baseAmount !== undefined ? toMinor(baseAmount, baseScale) : currency === book.baseCurrency ? minor : undefined;
    return { account, minor, scale, line: line.line, side, currency, baseMinor, stored };
  });
  const tally = checkEntry(decision, book, day, posted.journalCode, lines, refusals);
  return { journalCode: posted.journalCode, lines, tally };
}

function recordReversal(
  decision: Decision,
  entryId: string,
  { date, adjustmentPeriod, requestedDate }: ReversalDay,
  { journalCode, lines, tally }: Mirrored,
  totals: readonly CurrencyTotal[],
  id: string,
  description?: string,
): PostedEntry {
  const { posted } = knownEntry(decision, entryId);
  const header: EntryHeader = {
    effectiveDate: date,
    requestedDate,
    description: description ?? `Reversal of ${posted.journalCode}/${posted.fiscalYear}/${posted.number}: ${posted.description}`,
    entryType: 'reversal',
    entryMethod: 'manual',
    reference: posted.reference,
    document: posted.document,
    links: [{ rel: 'reverses', entryId }],
  };
  const reversal = record(decision, header, { date, adjustmentPeriod }, journalCode, lines, totals, tally, id);
  decision.recordEntry(entryId, { type: 'JournalEntryReversed', data: { by: id } });
  return reversal;
}

/** What `record` needs of an entry beside its day book and lines. */
type EntryHeader = Omit<EntryContent, 'lines' | 'journalCode' | 'reason'>;

const invalidDateText = (date: string): string => `effectiveDate "${date}" is no date YYYY-MM-DD from 1900 to 2199`;
const invalidDate = (date: string): LedgerError => new LedgerError('date_invalid', invalidDateText(date), { member: 'effectiveDate' });

/** Notes what lines, date and day book say together. @returns what the entry adds to its period */
function checkEntry(
  decision: Decision,
  book: BookState,
  day: PostingDay,
  journalCode: string,
  lines: readonly ResolvedLine[],
  refusals: Refusals,
): PeriodTally {
  if (!book.journals.some((journal) => journal.journalCode === journalCode)) {
    refusals.note(
      'journal_unknown',
      () => `there is no journal ${journalCode}; known are ${book.journals.map(({ journalCode }) => journalCode).join(', ')}`,
      { journalCode },
    );
  }
  if (!isDate(day.date)) refusals.note('date_invalid', () => invalidDateText(day.date), { member: 'effectiveDate' });
  else checkDate(book, day, decision.actor, refusals);
  return checkBalance(book, lines, refusals);
}

/** Records what was found right, with what it needs first: nothing can fail any more. */
function record(
  decision: Decision,
  entry: EntryHeader,
  day: PostingDay,
  journalCode: string,
  lines: readonly ResolvedLine[],
  totals: readonly CurrencyTotal[],
  tally: PeriodTally,
  id: string,
): PostedEntry {
  const { effectiveDate } = entry;
  const book = decision.book();
  const period = definePeriod(decision, day);
  for (const { currency, scale, baseMinor } of lines) {
    enableOnFirstUse(decision, currency, scale);
    // A base amount is a use of the base currency: its scale is final from then on.
    if (baseMinor !== undefined) enableOnFirstUse(decision, book.baseCurrency, scaleOf(book, book.baseCurrency) ?? 0);
  }
  const number = decision.lastNumber(period.fiscalYear, journalCode) + 1;
  const position = decision.position + 1;
  const posted = {
    type: 'JournalEntryPosted' as const,
    // In canonical order (RFC 8785), as are lines and legs below: what is in order is hashed without being sorted first.
    data: {
      description: entry.description,
      document: entry.document,
      effectiveDate,
      entryMethod: entry.entryMethod ?? 'interface',
      entryType: entry.entryType ?? 'normal',
      fiscalYear: period.fiscalYear,
      journalCode,
      lines: lines.map(({ stored }) => stored),
      links: entry.links,
      metadata: entry.metadata,
      number,
      period: period.period,
      reference: entry.reference,
      requestedDate: entry.requestedDate,
      source: entry.source,
    },
  };
  const causedBy = decision.recordEntry(id, posted, tally);
  for (let index = 0; index < lines.length; index++) {
    const { line, account, side, scale, currency, stored } = lines[index] as ResolvedLine;
    const total = totals[index] as CurrencyTotal;
    decision.recordAccount(
      account.id,
      {
        type: side === 'debit' ? 'AccountDebited' : 'AccountCredited',
        data: {
          amount: stored.amount,
          baseAmount: stored.baseAmount,
          currency,
          effectiveDate,
          entryId: id,
          entryPosition: position,
          line,
          totalCredit: fromMinor(total.credit, scale),
          totalDebit: fromMinor(total.debit, scale),
        },
      },
      causedBy,
    );
  }
  return { id, number, position };
}

/** The period of a day that was found right, with the fiscal years that a generated calendar lacks up to it. */
export function definePeriod(decision: Decision, { date, adjustmentPeriod }: PostingDay): PeriodRef {
  for (const year of missingYears(decision.book(), date) ?? []) decision.recordBook({ type: 'FiscalYearDefined', data: year });
  const adjustment = adjustmentPeriod === undefined ? undefined : adjustmentPeriodOf(decision.book(), date, adjustmentPeriod);
  const period = adjustment ?? periodOf(decision.book(), date);
  if (period === undefined) throw new Error(`no period covers ${date} although its fiscal year was defined`);
  return period;
}

function enableOnFirstUse(decision: Decision, code: string, scale: number): void {
  if (!Object.hasOwn(decision.book().currencies, code)) decision.recordBook({ type: 'CurrencyEnabled', data: { code, scale } });
}
