/**
 * Fiscal calendar of a book: years cut into periods, which of them are closed, and which period a day lies in. Hides how a
 * calendar is generated and where it ends; guarantees that fiscal years adjoin, that a day lies in one normal period at most,
 * and that nobody gets behind a closed period by a date before the calendar.
 */
import type { BookState } from './book';
import { addDays, addMonths, type CalendarDate, firstDate, isDate, lastDate, partsOf } from './calendar-date';
import type { Actor, Decision } from './decision';
import { LedgerError, type Refusals } from './errors';

export interface Period {
  readonly no: number;
  readonly from: CalendarDate;
  readonly to: CalendarDate;
  readonly kind: 'normal' | 'adjustment';
}

export interface FiscalYear {
  readonly label: string;
  readonly from: CalendarDate;
  readonly to: CalendarDate;
  readonly periods: readonly Period[];
}

/** A year as it is defined: `given` by hand, else generated. */
export interface FiscalYearDefined extends FiscalYear {
  readonly given?: true;
  /** Labels of generated years, empty so far, that are no part of the calendar any more, in the order of their days. */
  readonly replaces?: readonly string[];
}

export type PeriodStatus = 'open' | 'soft_closed' | 'hard_closed';

/** What becomes of a period. */
export interface PeriodState {
  readonly status: PeriodStatus;
  /** Somebody asks for it to be opened again; somebody else has to agree. */
  readonly reopening?: { readonly requestedBy: string };
}

/** Under which a period's state is found. */
export const periodKey = ({ fiscalYear, period }: { readonly fiscalYear: string; readonly period: number }): string =>
  `${fiscalYear}/${period}`;

export function statusOfPeriod(book: Pick<BookState, 'periods'>, fiscalYear: string, period: number): PeriodStatus {
  const key = periodKey({ fiscalYear, period });
  return (Object.hasOwn(book.periods, key) ? book.periods[key]?.status : undefined) ?? 'open';
}

// --- Which period a day lies in ---

export interface PeriodRef {
  readonly fiscalYear: string;
  readonly period: number;
  readonly from: CalendarDate;
  readonly to: CalendarDate;
  readonly status: PeriodStatus;
}

/** A state never changes, so what was found in it stays true; entries of one import share few dates. */
const found = new WeakMap<BookState, Map<CalendarDate, PeriodRef | undefined>>();

/** The normal period that a day lies in, or undefined when no defined fiscal year covers it. */
export function periodOf(book: BookState, date: CalendarDate): PeriodRef | undefined {
  let known = found.get(book);
  if (known === undefined) {
    known = new Map();
    found.set(book, known);
  }
  if (known.has(date)) return known.get(date);
  const year = book.fiscalYears.find(({ from, to }) => from <= date && date <= to);
  const period = year?.periods.find(({ from, to, kind }) => kind === 'normal' && from <= date && date <= to);
  const ref = year && period ? refOf(book, year, period) : undefined;
  known.set(date, ref);
  return ref;
}

const refOf = (book: BookState, { label }: FiscalYear, { no, from, to }: Period): PeriodRef => ({
  fiscalYear: label,
  period: no,
  from,
  to,
  status: statusOfPeriod(book, label, no),
});

/** The adjustment period of that number in the fiscal year of a day, if the day lies in it. */
export function adjustmentPeriodOf(book: BookState, date: CalendarDate, no: number): PeriodRef | undefined {
  const year = book.fiscalYears.find(({ from, to }) => from <= date && date <= to);
  const period = year?.periods.find(
    (period) => period.no === no && period.kind === 'adjustment' && period.from <= date && date <= period.to,
  );
  return year && period && refOf(book, year, period);
}

/**
 * The period whose state speaks for a day: the one that it lies in; for a day before the calendar the first one of it, and for one
 * in a year that a controller has opened before closed periods the next of these, since whoever could post before a closed
 * period would change what it opened with. Undefined where nothing is closed.
 */
function periodInTheWay(book: BookState, date: CalendarDate): PeriodRef | undefined {
  const period = periodOf(book, date);
  if (period !== undefined && period.status !== 'open') return period;
  const closed = closedPeriods(book).find(({ fiscalYear, from }) => date < from && fiscalYear !== period?.fiscalYear);
  if (closed !== undefined) return closed;
  const [first] = book.fiscalYears;
  return period ?? (first !== undefined && date < first.from ? periodOf(book, first.from) : undefined);
}

const closedOf = new WeakMap<BookState, readonly PeriodRef[]>();

/** The normal periods that are closed, softly or for ever, in the order of their days. */
function closedPeriods(book: BookState): readonly PeriodRef[] {
  const known = closedOf.get(book);
  if (known !== undefined) return known;
  const normal = book.fiscalYears.flatMap((year) =>
    year.periods.filter(({ kind }) => kind === 'normal').map((period) => refOf(book, year, period)),
  );
  const closed = normal.filter(({ status }) => status !== 'open');
  closedOf.set(book, closed);
  return closed;
}

/** The first day from `date` on that no closed period covers, softly closed ones included. */
export function firstOpenDay(book: BookState, date: CalendarDate): CalendarDate {
  let day = date;
  for (let period = periodInTheWay(book, day); period !== undefined && period.status !== 'open'; period = periodInTheWay(book, day))
    day = addDays(period.to, 1);
  return day;
}

/** The fiscal year that a day lies in; of a generated calendar also one that is not defined yet. Undefined: a calendar defined by hand does not reach it. */
export function fiscalYearOf(
  book: Pick<BookState, 'fiscalYears' | 'calendar' | 'fiscalYearStart'>,
  date: CalendarDate,
): FiscalYear | undefined {
  const defined = book.fiscalYears.find(({ from, to }) => from <= date && date <= to);
  if (defined !== undefined || book.calendar === 'given') return defined;
  return generatedYearOf(book.fiscalYearStart, date);
}

// --- A generated calendar ---

/** The calendar year, or the 12 months from `start` on, cut into months; named after the year in which it ends. */
function yearStarting(start: CalendarDate): FiscalYear {
  const to = addDays(addMonths(start, 12), -1);
  const periods = Array.from(
    { length: 12 },
    (_, index): Period => ({
      no: index + 1,
      from: addMonths(start, index),
      to: addDays(addMonths(start, index + 1), -1),
      kind: 'normal',
    }),
  );
  return { label: to.slice(0, 4), from: start, to, periods };
}

export function generatedYearOf(fiscalYearStart: string, date: CalendarDate): FiscalYear {
  const { year } = partsOf(date);
  const start = `${String(year).padStart(4, '0')}-${fiscalYearStart}`;
  return yearStarting(start <= date ? start : `${String(year - 1).padStart(4, '0')}-${fiscalYearStart}`);
}

/** A generated calendar grows by at most so many years at a time: a mistyped 2062 or 2199 is no reason to define all between. */
const yearsAheadMax = 20;

/** The last day that a generated calendar may be extended to by an entry. */
const reachOf = (last: FiscalYear): CalendarDate => addDays(addMonths(addDays(last.to, 1), 12 * yearsAheadMax), -1);

/**
 * The fiscal years that must be defined so that a generated calendar covers `date` without a gap; empty when it is covered,
 * undefined when the book's calendar is defined by hand and does not cover it, or ends more than `yearsAheadMax` years before.
 * Backward there is no bound but 1900: histories are imported, and `startsOn` guards a book that wants to be guarded.
 */
export function missingYears(book: BookState, date: CalendarDate): FiscalYear[] | undefined {
  if (periodOf(book, date) !== undefined) return [];
  if (book.calendar === 'given') return undefined;
  const first = book.fiscalYears[0];
  const last = book.fiscalYears.at(-1);
  if (first === undefined || last === undefined) return [generatedYearOf(book.fiscalYearStart, date)];
  if (date > reachOf(last)) return undefined;
  const years: FiscalYear[] = [];
  for (let from = addDays(last.to, 1); from <= date; from = addDays(years.at(-1)?.to ?? lastDate, 1)) years.push(yearStarting(from));
  for (let from = first.from; date < from; from = years.at(-1)?.from ?? firstDate) years.push(yearStarting(addMonths(from, -12)));
  return years;
}

// --- A calendar defined by hand ---

export interface DefineFiscalYear {
  readonly type: 'DefineFiscalYear';
  readonly label: string;
  readonly from: CalendarDate;
  readonly to: CalendarDate;
  /** Months of the year when absent. */
  readonly periods?: readonly Period[];
  readonly reason?: string;
}

/**
 * Defines a fiscal year by hand; from then on the calendar is extended by hand only. It takes the place of generated years that it
 * overlaps, and of those behind them that would no longer adjoin, as long as nothing has come into them.
 * @returns the year, with what it replaces
 * @throws LedgerError fiscal_year_invalid
 */
export function defineFiscalYear(decision: Decision, command: DefineFiscalYear): FiscalYearDefined {
  const book = decision.book();
  const { label, from, to, periods = monthsOf(from, to) } = command;
  const invalid = (message: string): LedgerError => new LedgerError('fiscal_year_invalid', message);
  if (to < from) throw invalid(`fiscal year ${label} ends on ${to}, before it begins on ${from}`);
  const { kept, replaced } = placeInCalendar(book.fiscalYears, command);
  const taken = replaced.map((year) => whatIsIn(decision, year)).find((what) => what !== undefined);
  if (taken !== undefined) throw invalid(`fiscal year ${spanOf(command)} cannot take the place of ${taken}`);
  if (kept.some((year) => year.label === label)) throw invalid(`fiscal year ${label} is defined already`);
  const [first] = kept;
  const last = kept.at(-1);
  if (first !== undefined && last !== undefined && replaced.length === 0 && addDays(last.to, 1) !== from && addDays(to, 1) !== first.from) {
    throw invalid(
      `fiscal year ${spanOf(command)} adjoins neither end of the calendar ${first.from} … ${last.to}; fiscal years leave no gap: define those in between first`,
    );
  }
  const [period] = first?.periods ?? [];
  if (first !== undefined && period !== undefined && to < first.from && statusOfPeriod(book, first.label, period.no) !== 'open')
    throw invalid(
      `fiscal year ${label} lies before period ${periodKey({ fiscalYear: first.label, period: period.no })}, which is closed; reopen that first`,
    );
  const problem = periodsProblem(periods, from, to);
  if (problem !== undefined) throw invalid(`fiscal year ${label}: ${problem}`);
  const labels = replaced.map((year) => year.label);
  const year: FiscalYearDefined = { label, from, to, periods, given: true, replaces: labels.length === 0 ? undefined : labels };
  decision.recordBook({ type: 'FiscalYearDefined', data: year });
  return year;
}

const spanOf = ({ label, from, to }: Pick<FiscalYear, 'label' | 'from' | 'to'>): string => `${label} (${from} … ${to})`;

/** Which years give way to one: those that it overlaps, and those on either side that it would leave a gap to. */
function placeInCalendar(
  years: readonly FiscalYear[],
  { from, to }: Pick<FiscalYear, 'from' | 'to'>,
): { readonly kept: readonly FiscalYear[]; readonly replaced: readonly FiscalYear[] } {
  const earlier = years.filter((year) => year.to < from);
  const later = years.filter((year) => year.from > to);
  // One that overlaps nothing is put at an end of the calendar, or refused: a mistyped date is no reason to drop the calendar.
  if (earlier.length + later.length === years.length) return { kept: years, replaced: [] };
  const before = earlier.at(-1);
  const [behind] = later;
  const kept = [
    ...(before !== undefined && addDays(before.to, 1) === from ? earlier : []),
    ...(behind !== undefined && addDays(to, 1) === behind.from ? later : []),
  ];
  return { kept, replaced: years.filter((year) => !kept.includes(year)) };
}

/** Why a year stays in the calendar, and what to do about it; undefined when nothing has come into it. */
function whatIsIn(decision: Decision, year: FiscalYear): string | undefined {
  const { label } = year;
  const name = `fiscal year ${spanOf(year)}`;
  if (decision.lastNumbers(label).size > 0)
    return `${name}: entries are posted in it; define a year that adjoins it, which begins on ${addDays(year.to, 1)} or ends on ${addDays(year.from, -1)}`;
  const drafts = [...decision.drafts(label).keys()];
  if (drafts.length > 0) {
    const more = drafts.length > namedMax ? ` and ${drafts.length - namedMax} more` : '';
    return `${name}: drafts are dated in it; post, redate or discard ${drafts.slice(0, namedMax).join(', ')}${more} first (…/journal-drafts)`;
  }
  if (decision.book().replaceable.includes(label)) return undefined;
  return `${name}: it was defined by hand, or a period of it has been closed; define a year that adjoins it`;
}

/** Drafts that a message names. */
const namedMax = 20;

/** Enough for a year of days. A book's state holds every period of every year, so there must be some limit. */
const periodsMax = 400;

function monthsOf(from: CalendarDate, to: CalendarDate): Period[] {
  const periods: Period[] = [];
  for (let start = from; start <= to; start = addMonths(from, periods.length)) {
    const end = addDays(addMonths(from, periods.length + 1), -1);
    periods.push({ no: periods.length + 1, from: start, to: end < to ? end : to, kind: 'normal' });
  }
  return periods;
}

function periodsProblem(periods: readonly Period[], from: CalendarDate, to: CalendarDate): string | undefined {
  const normal = periods.filter(({ kind }) => kind === 'normal');
  if (normal.length === 0) return 'it needs at least one normal period';
  if (periods.length > periodsMax) return `it has ${periods.length} periods; at most ${periodsMax} are allowed`;
  if (periods.some(({ no }, index) => no !== index + 1)) return 'periods are numbered 1, 2, 3 … in order';
  if (periods.some((period) => !isDate(period.from) || !isDate(period.to) || period.to < period.from))
    return 'a period ends before it begins';
  if (normal[0]?.from !== from || normal.at(-1)?.to !== to) return `normal periods must cover ${from} … ${to}`;
  if (normal.some((period, index) => index > 0 && addDays(normal[index - 1]?.to ?? from, 1) !== period.from))
    return 'normal periods must adjoin';
  if (periods.some((period) => period.kind === 'adjustment' && (period.from < from || period.to > to)))
    return 'an adjustment period must lie inside the year';
  return undefined;
}

// --- Whether a day may be posted to ---

/** Where an entry is posted. */
export interface PostingDay {
  readonly date: CalendarDate;
  /** Number of the adjustment period that the entry asks for. */
  readonly adjustmentPeriod?: number;
  /** An entry on a closed day goes to the first open one. */
  readonly moves?: boolean;
}

/**
 * The day that an entry is posted on: the one asked for, or the first open one after it where it is closed to this caller and
 * the entry may move; one before the start of the book does not, and is refused.
 */
export function postingDate(book: BookState, { date, moves = false }: PostingDay, actor: Actor): CalendarDate {
  if (!moves || !isDate(date) || (book.startsOn !== undefined && date < book.startsOn)) return date;
  const period = periodInTheWay(book, date);
  return period !== undefined && isClosedTo(period, actor) ? firstOpenDay(book, date) : date;
}

/** Into a softly closed period a controller may still post, into a hard-closed one nobody. */
const isClosedTo = ({ status }: PeriodRef, { isController }: Actor): boolean =>
  status === 'hard_closed' || (status === 'soft_closed' && !isController);

/** Notes what speaks against posting on a day: no_fiscal_year, adjustment_period_unknown, before_book_start, period_closed. */
export function checkDate(book: BookState, { date, adjustmentPeriod }: PostingDay, actor: Actor, refusals: Refusals): void {
  if (book.startsOn !== undefined && date < book.startsOn) {
    refusals.note('before_book_start', () => `${date} lies before the book starts on ${book.startsOn}`, {
      effectiveDate: date,
      startsOn: book.startsOn,
    });
  }
  const adjustment = adjustmentPeriod === undefined ? undefined : adjustmentPeriodOf(book, date, adjustmentPeriod);
  if (adjustmentPeriod !== undefined && adjustment === undefined) {
    refusals.note(
      'adjustment_period_unknown',
      () =>
        `the fiscal year of ${date} has no adjustment period ${adjustmentPeriod} that the day lies in; leave adjustmentPeriod out to post into the normal period`,
      { effectiveDate: date, period: adjustmentPeriod, member: 'adjustmentPeriod' },
    );
  }
  const period = adjustment ?? periodInTheWay(book, date);
  if (period !== undefined && isClosedTo(period, actor)) noteClosed(book, date, period, refusals);
  if (periodOf(book, date) === undefined && missingYears(book, date) === undefined) {
    refusals.note(
      'no_fiscal_year',
      () => {
        const last = book.fiscalYears.at(-1);
        const defined = `${date} lies in no fiscal year; defined are ${book.fiscalYears[0]?.from} … ${last?.to}`;
        if (book.calendar === 'given' || last === undefined) return defined;
        return `${defined}, and an entry extends them by ${yearsAheadMax} years at most, to ${reachOf(last)}; if the date is meant, define the years first (POST …/fiscal-years)`;
      },
      { effectiveDate: date },
    );
  }
}

function noteClosed(book: BookState, date: CalendarDate, { fiscalYear, period, from, status }: PeriodRef, refusals: Refusals): void {
  refusals.note(
    'period_closed',
    () => {
      const where = date < from ? `lies before period ${fiscalYear}/${period}` : `lies in period ${fiscalYear}/${period}`;
      const how = status === 'soft_closed' ? 'softly closed: only a controller may post there' : 'closed for ever';
      return `${date} ${where}, which is ${how}; the first open day is ${firstOpenDay(book, date)} (onClosedPeriod: first_open_day moves an entry there)`;
    },
    { effectiveDate: date, fiscalYear, period, periodStatus: status },
  );
}
