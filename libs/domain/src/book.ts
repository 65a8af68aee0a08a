/**
 * Book: one set of books of one legal entity. Holds what every posting needs to know before it looks at an account: fiscal
 * years and periods, day books (journals), currencies with their final scale. Guarantees that fiscal years adjoin, that a
 * day lies in one normal period at most, and that a currency's scale never changes once it was used.
 */
import { addDays, addMonths, type CalendarDate, dateInZone, firstDate, isDate, isMonthDay, lastDate, partsOf } from './calendar-date';
import type { Decision } from './decision';
import { LedgerError, type Refusals } from './errors';
import { isoScale } from './iso-4217';
import { type Rounding, scaleMax } from './money';

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

export interface LegalEntity {
  readonly legalName: string;
  readonly registrationNumber?: string;
  readonly taxNumbers?: readonly string[];
  readonly country: string;
  readonly address?: string;
}

export interface BookOpened {
  readonly name: string;
  readonly entity?: LegalEntity;
  readonly framework?: string;
  readonly baseCurrency: string;
  readonly fx: 'untracked' | 'tracked';
  readonly rounding: Rounding;
  readonly timeZone: string;
  readonly startsOn?: CalendarDate;
  readonly fiscalYearStart: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export const journalTypes = ['general', 'sales', 'purchases', 'cash', 'bank', 'payroll', 'other'] as const;
export type JournalType = (typeof journalTypes)[number];

/** The events of the Book stream. */
export type BookEvent =
  | { readonly type: 'BookOpened'; readonly data: BookOpened }
  | { readonly type: 'FiscalYearDefined'; readonly data: FiscalYear & { readonly given?: true } }
  | { readonly type: 'JournalDefined'; readonly data: { readonly journalCode: string; readonly name: string; readonly type: JournalType } }
  | { readonly type: 'CurrencyEnabled'; readonly data: { readonly code: string; readonly scale: number } }
  /** Understood already, so that posting respects it; the command that closes a period comes with period close. */
  | { readonly type: 'PeriodClosed'; readonly data: { readonly fiscalYear: string; readonly period: number } };

export interface BookState extends BookOpened {
  readonly version: number;
  /** Sorted by date, adjoining. */
  readonly fiscalYears: readonly FiscalYear[];
  /** A calendar that a person has defined is extended by a person only. */
  readonly calendar: 'generated' | 'given';
  /** `fiscalYear/period` of every closed period. */
  readonly closedPeriods: readonly string[];
  readonly journals: readonly { readonly journalCode: string; readonly name: string; readonly type: JournalType }[];
  readonly currencies: Readonly<Record<string, number>>;
}

export const bookEvents = {
  BookOpened: { aggregateType: 'Book', version: 1 },
  FiscalYearDefined: { aggregateType: 'Book', version: 1 },
  JournalDefined: { aggregateType: 'Book', version: 1 },
  CurrencyEnabled: { aggregateType: 'Book', version: 1 },
  PeriodClosed: { aggregateType: 'Book', version: 1 },
} as const;

function evolve(state: BookState | undefined, event: BookEvent): BookState {
  if (event.type === 'BookOpened') {
    return { ...event.data, version: 1, fiscalYears: [], calendar: 'generated', closedPeriods: [], journals: [], currencies: {} };
  }
  if (state === undefined) throw new Error(`${event.type} before BookOpened`);
  const version = state.version + 1;
  switch (event.type) {
    case 'FiscalYearDefined': {
      const { given, ...year } = event.data;
      const fiscalYears = [...state.fiscalYears, year].sort((a, b) => (a.from < b.from ? -1 : 1));
      return { ...state, version, fiscalYears, calendar: given ? 'given' : state.calendar };
    }
    case 'JournalDefined':
      return { ...state, version, journals: [...state.journals, event.data] };
    case 'CurrencyEnabled':
      return { ...state, version, currencies: { ...state.currencies, [event.data.code]: event.data.scale } };
    case 'PeriodClosed':
      return { ...state, version, closedPeriods: [...state.closedPeriods, `${event.data.fiscalYear}/${event.data.period}`] };
  }
}

/** Folds a Book stream. Raise `version` when the folded state changes its meaning: older snapshots are then ignored. */
export const bookReducer = {
  aggregateType: 'Book',
  version: 1,
  evolve,
  toSnapshot: (state: BookState): unknown => state,
  fromSnapshot: (snapshot: unknown): BookState => snapshot as BookState,
};

// --- Calendar ---

export interface PeriodRef {
  readonly fiscalYear: string;
  readonly period: number;
  readonly to: CalendarDate;
  readonly closed: boolean;
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
  const ref =
    year && period
      ? { fiscalYear: year.label, period: period.no, to: period.to, closed: book.closedPeriods.includes(`${year.label}/${period.no}`) }
      : undefined;
  known.set(date, ref);
  return ref;
}

/** The first day from `date` on that no closed period covers. */
export function firstOpenDay(book: BookState, date: CalendarDate): CalendarDate {
  let day = date;
  for (let period = periodOf(book, day); period?.closed; period = periodOf(book, day)) day = addDays(period.to, 1);
  return day;
}

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

function generatedYearOf(fiscalYearStart: string, date: CalendarDate): FiscalYear {
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

/** Today in the book's time zone; `micros` is the instant in microseconds since 1970 (UTC). */
export function todayIn(book: Pick<BookOpened, 'timeZone'>, micros: number): CalendarDate {
  return dateInZone(micros, book.timeZone);
}

/** Decimals of a currency in this book: as enabled, else as ISO 4217 says; undefined when it must be declared first. */
export function scaleOf(book: BookState, currency: string): number | undefined {
  return Object.hasOwn(book.currencies, currency) ? book.currencies[currency] : isoScale(currency);
}

/** Codes of currencies and other commodities: 1 to 24 of A-Z a-z 0-9 . _ - and starting with a letter or digit. */
export const currencyForm = /^[A-Za-z0-9][A-Za-z0-9._-]{0,23}$/;
export const bookIdForm = /^[a-z0-9][a-z0-9-]{0,39}$/;
export const journalCodeForm = /^[A-Z0-9][A-Z0-9_-]{0,23}$/;

// --- Decisions ---

export interface OpenBook {
  readonly type: 'OpenBook';
  readonly id: string;
  readonly name: string;
  readonly entity?: LegalEntity;
  readonly framework?: string;
  readonly baseCurrency: string;
  /** Decimals of the base currency: makes a currency of one's own possible, or a finer scale than ISO 4217 has. */
  readonly baseCurrencyScale?: number;
  readonly fx?: 'untracked' | 'tracked';
  readonly rounding?: Rounding;
  readonly timeZone?: string;
  readonly startsOn?: CalendarDate;
  readonly fiscalYearStart: string;
  readonly reason?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export interface DefineFiscalYear {
  readonly type: 'DefineFiscalYear';
  readonly label: string;
  readonly from: CalendarDate;
  readonly to: CalendarDate;
  /** Months of the year when absent. */
  readonly periods?: readonly Period[];
  readonly reason?: string;
}

export interface DefineJournal {
  readonly type: 'DefineJournal';
  readonly journalCode: string;
  readonly name: string;
  readonly journalType?: JournalType;
  readonly reason?: string;
}

export interface EnableCurrency {
  readonly type: 'EnableCurrency';
  readonly code: string;
  readonly scale: number;
  readonly reason?: string;
}

/**
 * Opens a book with the fiscal year of its start (or of today) and the day book GENERAL, and with its base currency enabled
 * where its scale is given.
 * @param now microseconds since 1970 (UTC), to know today
 * @throws LedgerError book_exists | malformed
 */
export function openBook(decision: Decision, command: OpenBook, now: number): void {
  checkOpening(command);
  if (decision.findBook() !== undefined)
    throw new LedgerError('book_exists', `book ${command.id} exists; choose another id`, { book: command.id });
  const { type: _type, id: _id, reason: _reason, baseCurrencyScale, ...given } = command;
  const opened: BookOpened = {
    ...given,
    fx: command.fx ?? 'untracked',
    rounding: command.rounding ?? 'half_even',
    timeZone: command.timeZone ?? 'UTC',
  };
  decision.recordBook({ type: 'BookOpened', data: opened });
  decision.recordBook({
    type: 'FiscalYearDefined',
    data: generatedYearOf(opened.fiscalYearStart, opened.startsOn ?? todayIn(opened, now)),
  });
  decision.recordBook({ type: 'JournalDefined', data: { journalCode: 'GENERAL', name: 'General journal', type: 'general' } });
  if (baseCurrencyScale !== undefined)
    decision.recordBook({ type: 'CurrencyEnabled', data: { code: command.baseCurrency, scale: baseCurrencyScale } });
}

/** What can be told of an opening without looking at any book. @throws LedgerError malformed */
export function checkOpening(command: OpenBook): void {
  const { baseCurrency, baseCurrencyScale } = command;
  if (baseCurrencyScale !== undefined) checkScale(baseCurrency, baseCurrencyScale, 'baseCurrencyScale');
  else if (isoScale(baseCurrency) === undefined) {
    throw new LedgerError(
      'malformed',
      `baseCurrency "${baseCurrency}" is not an ISO 4217 currency with minor units; for a currency of your own give its decimals too (baseCurrencyScale)`,
      { member: 'baseCurrency' },
    );
  }
  if (!isTimeZone(command.timeZone ?? 'UTC')) {
    throw new LedgerError('malformed', `timeZone "${command.timeZone}" is not a name of the IANA time zone database, like Europe/Berlin`, {
      member: 'timeZone',
    });
  }
  if (!isMonthDay(command.fiscalYearStart)) {
    throw new LedgerError(
      'malformed',
      `fiscalYearStart "${command.fiscalYearStart}" is not a month and day that every year has, like 01-01`,
      { member: 'fiscalYearStart' },
    );
  }
}

/**
 * Defines a fiscal year by hand; from then on the calendar is extended by hand only.
 * A generated year that nothing was posted into is no obstacle to opening a book with a calendar of one's own: define the
 * years that adjoin it.
 * @throws LedgerError fiscal_year_invalid
 */
export function defineFiscalYear(decision: Decision, command: DefineFiscalYear): void {
  const book = decision.book();
  const invalid = (message: string): LedgerError => new LedgerError('fiscal_year_invalid', message);
  if (command.to < command.from) throw invalid(`fiscal year ${command.label} ends on ${command.to}, before it begins on ${command.from}`);
  if (book.fiscalYears.some(({ label }) => label === command.label)) throw invalid(`fiscal year ${command.label} is defined already`);
  const first = book.fiscalYears[0];
  const last = book.fiscalYears.at(-1);
  const adjoins =
    first === undefined || last === undefined || addDays(last.to, 1) === command.from || addDays(command.to, 1) === first.from;
  if (!adjoins) {
    throw invalid(
      `fiscal year ${command.label} (${command.from} … ${command.to}) adjoins neither end of the calendar ${first?.from} … ${last?.to}; fiscal years leave no gap and do not overlap`,
    );
  }
  const periods = command.periods ?? monthsOf(command.from, command.to);
  const problem = periodsProblem(periods, command.from, command.to);
  if (problem !== undefined) throw invalid(`fiscal year ${command.label}: ${problem}`);
  decision.recordBook({
    type: 'FiscalYearDefined',
    data: { label: command.label, from: command.from, to: command.to, periods, given: true },
  });
}

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

/** @throws LedgerError journal_exists */
export function defineJournal(decision: Decision, command: DefineJournal): void {
  if (decision.book().journals.some(({ journalCode }) => journalCode === command.journalCode)) {
    throw new LedgerError('journal_exists', `journal ${command.journalCode} exists`, { journalCode: command.journalCode });
  }
  decision.recordBook({
    type: 'JournalDefined',
    data: { journalCode: command.journalCode, name: command.name, type: command.journalType ?? 'other' },
  });
}

/**
 * Declares a custom currency, or a finer scale for an ISO 4217 code, before its first use.
 * @throws LedgerError currency_exists | malformed
 */
export function enableCurrency(decision: Decision, command: EnableCurrency): void {
  const { code, scale } = command;
  checkScale(code, scale, 'scale');
  const enabled = decision.book().currencies;
  if (Object.hasOwn(enabled, code)) {
    throw new LedgerError(
      'currency_exists',
      `${code} is enabled with ${enabled[code]} decimals; a scale is final once it is enabled or used`,
      { currency: code },
    );
  }
  decision.recordBook({ type: 'CurrencyEnabled', data: { code, scale } });
}

/** @throws LedgerError malformed when a currency cannot have so many decimals */
function checkScale(code: string, scale: number, member: string): void {
  if (!Number.isInteger(scale) || scale < 0 || scale > scaleMax)
    throw new LedgerError('malformed', `${member} ${scale} is not a whole number from 0 to ${scaleMax}`, { member });
  const standard = isoScale(code);
  if (standard !== undefined && scale < standard)
    throw new LedgerError('malformed', `${code} has ${standard} decimals in ISO 4217; a book may use more, not ${scale}`, { member });
}

/** Notes what speaks against posting on `date`: no_fiscal_year, before_book_start, period_closed. */
export function checkDate(book: BookState, date: CalendarDate, refusals: Refusals): void {
  if (book.startsOn !== undefined && date < book.startsOn) {
    refusals.note('before_book_start', () => `${date} lies before the book starts on ${book.startsOn}`, {
      effectiveDate: date,
      startsOn: book.startsOn,
    });
  }
  const period = periodOf(book, date);
  if (period?.closed) {
    refusals.note(
      'period_closed',
      () =>
        `${date} lies in period ${period.fiscalYear}/${period.period}, which is closed; the first open day is ${firstOpenDay(book, date)}`,
      {
        effectiveDate: date,
        fiscalYear: period.fiscalYear,
        period: period.period,
      },
    );
  }
  if (period === undefined && missingYears(book, date) === undefined) {
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

/** Newer releases of Node.js take offsets like +01:00 too, which an older one that replays the book would not know. */
function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone.length > 0;
  } catch {
    return false; // Intl throws for a name that it does not know: there is no other way to ask
  }
}
