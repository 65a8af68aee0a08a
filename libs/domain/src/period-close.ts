/**
 * Closing periods: open, softly closed (only a controller may post), hard-closed (nobody, for ever), and reopening by two
 * people. Hides in which order periods close and what a close puts on record. Guarantees that normal periods close in order
 * without a gap, that no draft is left behind in one, that what a close says was posted is what was posted up to its position (the totals are kept by the postings
 * themselves, so nothing can slip in between counting and closing), and that nobody reopens a period alone.
 */
import type { BookState } from './book';
import type { Decision } from './decision';
import { LedgerError } from './errors';
import { type FiscalYear, type Period, periodKey, statusOfPeriod } from './fiscal-calendar';
import { fromMinor } from './money';

export type CloseLevel = 'soft' | 'hard';

export interface PeriodClosed {
  readonly fiscalYear: string;
  readonly period: number;
  readonly level: CloseLevel;
  /** The last position before this event: what the totals count. */
  readonly position: number;
  /** Entries posted into the period. */
  readonly entries: number;
  /** Debits, which equal credits, per currency; by code. */
  readonly totals: readonly { readonly currency: string; readonly debit: string; readonly credit: string }[];
  /** The same in base currency, where the book tracks exchange rates. */
  readonly baseTotal?: string;
  /** The last number of each day book in the fiscal year; by code. */
  readonly numbers: readonly { readonly journalCode: string; readonly last: number }[];
}

/** What was posted into one period; minor units. Never changed: a posting makes another one. */
export interface PeriodTally {
  readonly entries: number;
  /** Debits per currency, in the order of first use. */
  readonly sums: readonly CurrencySum[];
  /** Debits in base currency, where the book tracks exchange rates. */
  readonly base: bigint;
}

export interface CurrencySum {
  readonly currency: string;
  readonly scale: number;
  readonly debit: bigint;
}

export const emptyTally: PeriodTally = { entries: 0, sums: [], base: 0n };

/** A tally with what an entry adds. */
export function addToTally(tally: PeriodTally, { entries, sums, base }: PeriodTally): PeriodTally {
  const [only] = sums;
  const [first] = tally.sums;
  // Nearly every entry is in one currency, and it is the one that the period was begun in.
  if (sums.length === 1 && tally.sums.length === 1 && only !== undefined && first?.currency === only.currency)
    return { entries: tally.entries + entries, sums: [{ ...first, debit: first.debit + only.debit }], base: tally.base + base };
  const added = [...tally.sums];
  for (const sum of sums) {
    const index = added.findIndex(({ currency }) => currency === sum.currency);
    if (index < 0) added.push(sum);
    else added[index] = { ...sum, debit: (added[index] as CurrencySum).debit + sum.debit };
  }
  return { entries: tally.entries + entries, sums: added, base: tally.base + base };
}

// --- Commands ---

export interface ClosePeriod {
  readonly type: 'ClosePeriod';
  readonly fiscalYear: string;
  readonly period: number;
  readonly level: CloseLevel;
  /** Closes the earlier ones that are still in the way, too. */
  readonly includeEarlier?: boolean;
  readonly reason?: string;
}

export type ReopenPeriod =
  | { readonly type: 'RequestReopening'; readonly fiscalYear: string; readonly period: number; readonly reason: string }
  | {
      readonly type: 'ApproveReopening' | 'DeclineReopening';
      readonly fiscalYear: string;
      readonly period: number;
      readonly reason?: string;
    };

/**
 * Closes a period. Softly: from now on only a controller may post into it. Hard: nobody ever again; it has to be softly closed
 * before, and nobody may ask for it to be reopened. Normal periods close in their order, across fiscal years; an adjustment period closes apart, once the
 * normal ones of its year are closed. Only for ever nothing of a later year closes while one of an earlier year may still take entries: they
 * would move what the later one opened with.
 * @returns the keys of the periods that were closed, `2026/6`
 * @throws LedgerError forbidden | period_unknown (not_found) | period_state | period_order | period_has_drafts
 */
export function closePeriod(decision: Decision, command: ClosePeriod): string[] {
  requireController(decision, 'close a period');
  const book = decision.book();
  const wanted = findPeriod(book, command);
  const { level } = command;
  const status = statusOf(book, wanted);
  if (level === 'soft' && status !== 'open') throw wrongState(wanted, `is ${words[status]} already`, status);
  if (level === 'hard' && status === 'hard_closed') throw wrongState(wanted, 'is closed for ever already', status);
  if (level === 'hard' && status === 'open')
    throw wrongState(wanted, 'is open; close it softly first, look at its figures, and then for ever', status);
  checkNobodyAsks(book, wanted);
  const earlier = before(book, wanted, level).filter((period) => !isClosed(book, period, level));
  const open = level === 'hard' ? earlier.find((period) => statusOf(book, period) === 'open') : undefined;
  if (open !== undefined)
    throw wrongState(
      open,
      `is open, and comes before ${periodKey(wanted)}; close it softly first, look at its figures, and then for ever`,
      'open',
    );
  const [first] = earlier;
  if (first !== undefined && !command.includeEarlier) {
    throw new LedgerError(
      'period_order',
      `${periodKey(first)} (${first.from} … ${first.to}) is ${words[statusOf(book, first)]}; periods close in order: close it first, or close all up to ${periodKey(wanted)} at once (includeEarlier)`,
      { fiscalYear: first.fiscalYear, period: first.period },
    );
  }
  for (const period of earlier) checkNobodyAsks(book, period);
  const closed = [...earlier, wanted];
  checkDrafts(decision, closed);
  for (const period of closed) recordClose(decision, period, level);
  return closed.map(periodKey);
}

/**
 * Asks for a softly closed period to be opened again, agrees to that as another person, or declines it. Periods open again
 * from the last closed one backwards.
 * @throws LedgerError forbidden | period_unknown (not_found) | period_state | period_order | second_user_required
 */
export function reopenPeriod(decision: Decision, command: ReopenPeriod): void {
  requireController(decision, 'reopen a period');
  const book = decision.book();
  const period = findPeriod(book, command);
  const { fiscalYear, period: no } = period;
  const status = statusOf(book, period);
  const reopening = book.periods[periodKey(period)]?.reopening;
  if (status === 'open') throw wrongState(period, 'is open', status);
  if (status === 'hard_closed') throw wrongState(period, 'is closed for ever; correct what is wrong in an open period', status);
  if (command.type === 'RequestReopening') {
    if (reopening !== undefined) throw wrongState(period, `is asked to be reopened already, by ${reopening.requestedBy}`, status);
    checkLast(book, period);
    const data = { fiscalYear, period: no, requestedBy: decision.actor.userId };
    decision.recordBook({ type: 'PeriodReopeningRequested', data });
    return;
  }
  if (reopening === undefined)
    throw wrongState(period, 'is not asked to be reopened; ask first, giving the reason (POST …/reopening)', status);
  if (command.type === 'DeclineReopening') {
    decision.recordBook({ type: 'PeriodReopeningDeclined', data: { fiscalYear, period: no } });
    return;
  }
  checkLast(book, period);
  if (reopening.requestedBy === decision.actor.userId) {
    throw new LedgerError('second_user_required', `you asked for ${periodKey(period)} to be reopened; another controller has to agree`, {
      fiscalYear,
      period: no,
    });
  }
  decision.recordBook({ type: 'PeriodReopened', data: { fiscalYear, period: no, requestedBy: reopening.requestedBy } });
}

/** @throws LedgerError forbidden */
function requireController({ actor }: Decision, what: string): void {
  if (!actor.isController)
    throw new LedgerError(
      'forbidden',
      `only an API key with the scope controller may ${what} (book-keeper keys create NAME --scope controller)`,
    );
}

// --- Periods in order ---

interface PlacedPeriod {
  readonly fiscalYear: string;
  readonly period: number;
  readonly from: string;
  readonly to: string;
  readonly kind: Period['kind'];
}

const words = { open: 'open', soft_closed: 'softly closed', hard_closed: 'closed for ever' } as const;

const placed = ({ label }: FiscalYear, { no, from, to, kind }: Period): PlacedPeriod => ({ fiscalYear: label, period: no, from, to, kind });
const statusOf = (book: BookState, { fiscalYear, period }: PlacedPeriod) => statusOfPeriod(book, fiscalYear, period);

function isClosed(book: BookState, period: PlacedPeriod, level: CloseLevel): boolean {
  const status = statusOf(book, period);
  return status === 'hard_closed' || (level === 'soft' && status === 'soft_closed');
}

/** @throws LedgerError period_unknown */
function findPeriod(book: BookState, { fiscalYear, period: no }: { readonly fiscalYear: string; readonly period: number }): PlacedPeriod {
  const year = book.fiscalYears.find(({ label }) => label === fiscalYear);
  const period = year?.periods.find((candidate) => candidate.no === no);
  if (year === undefined || period === undefined) {
    const years = book.fiscalYears.map(({ label, periods }) => `${label}/1 … ${label}/${periods.length}`).join(', ');
    throw new LedgerError('period_unknown', `there is no period ${fiscalYear}/${no}; defined are ${years}`, { fiscalYear, period: no });
  }
  return placed(year, period);
}

/** Periods that have to be closed before this one in this way, in order. */
function before(book: BookState, wanted: PlacedPeriod, level: CloseLevel): PlacedPeriod[] {
  const own = book.fiscalYears.find(({ label }) => label === wanted.fiscalYear);
  const comesFirst = (year: FiscalYear, { kind, to }: Period): boolean => {
    if (kind !== 'normal') return level === 'hard' && own !== undefined && year.to < own.from;
    return wanted.kind === 'normal' ? to < wanted.from : own !== undefined && to <= own.to;
  };
  return book.fiscalYears.flatMap((year) =>
    year.periods.filter((period) => comesFirst(year, period)).map((period) => placed(year, period)),
  );
}

/** @throws LedgerError period_order when something that comes after it is closed */
function checkLast(book: BookState, period: PlacedPeriod): void {
  const all = book.fiscalYears.flatMap((year) => year.periods.map((other) => placed(year, other)));
  const later = all.findLast((other) => {
    const status = statusOf(book, other);
    const level = status === 'hard_closed' ? 'hard' : 'soft';
    return status !== 'open' && before(book, other, level).some((earlier) => periodKey(earlier) === periodKey(period));
  });
  if (later === undefined) return;
  throw new LedgerError(
    'period_order',
    `${periodKey(later)} is ${words[statusOf(book, later)]}; periods open again from the last closed one backwards`,
    {
      fiscalYear: later.fiscalYear,
      period: later.period,
    },
  );
}

/**
 * A softly closed period that is closed for ever while somebody asks for it would drop the request without a word.
 * @throws LedgerError period_state
 */
function checkNobodyAsks(book: BookState, period: PlacedPeriod): void {
  const asked = book.periods[periodKey(period)]?.reopening;
  if (asked === undefined) return;
  throw wrongState(
    period,
    `is asked to be reopened, by ${asked.requestedBy}; decline that (POST …/reopening/decline), or agree to it and close it anew`,
    statusOf(book, period),
  );
}

/** Entries that a message names. */
const namedMax = 20;

/** @throws LedgerError period_has_drafts, which names the first period that has some and the drafts of all that would be closed */
function checkDrafts(decision: Decision, periods: readonly PlacedPeriod[]): void {
  const found = periods.flatMap((period) => {
    const own = [...decision.drafts(period.fiscalYear)].filter(([, draft]) => draft.period === period.period);
    own.sort(([a, one], [b, other]) =>
      one.effectiveDate === other.effectiveDate ? (a < b ? -1 : 1) : one.effectiveDate < other.effectiveDate ? -1 : 1,
    );
    return own.map(([id, { status }]) => ({ id, period, status }));
  });
  const [first] = found;
  if (first === undefined) return;
  const { period } = first;
  const last = found.at(-1)?.period ?? period;
  const submitted = found.filter(({ status }) => status === 'submitted').length;
  const where = last === period ? `period ${periodKey(period)}` : `periods ${periodKey(period)} … ${periodKey(last)}`;
  const are = `${found.length} ${found.length === 1 ? 'entry that is' : 'entries that are'} not posted (${found.length - submitted} in draft, ${submitted} submitted)`;
  const entries = found.slice(0, namedMax).map(({ id }) => id);
  const more = found.length > namedMax ? ` and ${found.length - namedMax} more` : '';
  throw new LedgerError(
    'period_has_drafts',
    `${where} would close over ${are}: approve, redate or discard ${entries.join(', ')}${more} first (…/journal-drafts)`,
    { fiscalYear: period.fiscalYear, period: period.period, entries },
  );
}

function wrongState(period: PlacedPeriod, what: string, status: string): LedgerError {
  const details = { fiscalYear: period.fiscalYear, period: period.period, periodStatus: status };
  return new LedgerError('period_state', `period ${periodKey(period)} (${period.from} … ${period.to}) ${what}`, details);
}

function recordClose(decision: Decision, { fiscalYear, period }: PlacedPeriod, level: CloseLevel): void {
  const book = decision.book();
  const { entries, sums, base } = decision.tally(fiscalYear, period);
  const numbers = [...decision.lastNumbers(fiscalYear)].map(([journalCode, last]) => ({ journalCode, last }));
  const totals = sums.map(({ currency, scale, debit }) => ({ currency, debit: fromMinor(debit, scale), credit: fromMinor(debit, scale) }));
  decision.recordBook({
    type: 'PeriodClosed',
    data: {
      fiscalYear,
      period,
      level,
      position: decision.position,
      entries,
      totals: totals.sort((a, b) => (a.currency < b.currency ? -1 : 1)),
      baseTotal: book.fx === 'tracked' ? fromMinor(base, book.currencies[book.baseCurrency] ?? 0) : undefined,
      numbers: numbers.sort((a, b) => (a.journalCode < b.journalCode ? -1 : 1)),
    },
  });
}
