/**
 * The question that a report answers. Hides how ranges, periods and columns are written; guarantees that a report is made of
 * given dates only (there is no hidden "today": the same question has the same answer for ever), and that what contradicts itself
 * is refused and not guessed at.
 */
import {
  addDays,
  type BookState,
  type CalendarDate,
  type FiscalYear,
  firstDate,
  fiscalYearOf,
  isDate,
  LedgerError,
  type RateType,
} from '#domain';
import { checkDate, checkRange, malformed, type Page } from '../asking';
import type { KnownAt } from '../queries';
import type { EntryTestsAsked } from './entry-test-parameters';
import type { Asked, Carry, Closing, Column } from './figures';

/** What can be asked; each report takes the members that mean something to it. Dates are YYYY-MM-DD. */
export interface ReportQuestion extends Page {
  /** First and last day, of a report over a range. */
  readonly from?: CalendarDate;
  readonly to?: CalendarDate;
  /** The day, of a report as of a date: lines up to its end. */
  readonly asOf?: CalendarDate;
  /** A fiscal year (`2026`) or one of its periods (`2026/6`), instead of the dates. */
  readonly period?: string;
  readonly knownAt?: KnownAt;
  /** Of changes: what was known before them. */
  readonly since?: KnownAt;
  readonly reportVersion?: number;
  /** fiscalYear when absent (I13). */
  readonly carry?: Carry;
  /** Whether closing entries of the columns count. */
  readonly closing?: Closing;
  readonly currency?: string;
  /** Presentation currency. */
  readonly in?: string;
  /** Day of the rates; the last day of each column when absent. */
  readonly rateDate?: CalendarDate;
  /** `closing` when absent. */
  readonly rateType?: RateType;
  /** `key:value`, all of which a line must have. */
  readonly dimensions?: readonly string[];
  readonly depth?: number;
  /** More columns, separated by commas. */
  readonly compare?: string;
  readonly includeZero?: boolean;
  /** Of the journal: only this day book. */
  readonly journalCode?: string;
  /** Of journal-entry tests: which, and their thresholds. */
  readonly entryTests?: EntryTestsAsked;
}

/** Columns beyond the first: twelve months beside each other are enough. */
const compareMax = 11;

export function askedOf(question: ReportQuestion, closing: Closing): Asked {
  const { depth, dimensions = [] } = question;
  if (depth !== undefined && (!Number.isInteger(depth) || depth < 1))
    throw malformed('depth', `depth "${depth}" is not a whole number from 1 on`);
  for (const dimension of dimensions) {
    if (!/^[^:]+:./s.test(dimension))
      throw malformed('dimension', `dimension "${dimension}" is not written key:value, like costCenter:4711`);
  }
  return {
    carry: question.carry ?? 'fiscalYear',
    closing: question.closing ?? closing,
    currency: question.currency,
    // Sorted: what is asked in another order is the same question.
    dimensions: [...new Set(dimensions)].sort(),
    depth,
    includeZero: question.includeZero ?? false,
  };
}

/**
 * The columns asked for, the main one first.
 * @param kind what a column is: a range of dates, or all up to a date
 * @param carry 'none' also for reports that carry nothing: no calendar is needed then
 * @throws LedgerError malformed | date_invalid | too_large | no_fiscal_year
 */
export function columnsOf(book: BookState, question: ReportQuestion, kind: 'range' | 'date', carry: Carry): Column[] {
  const main = mainDates(book, question, kind);
  const others = (question.compare?.split(',') ?? []).map((text) => compared(book, text, kind));
  if (others.length > compareMax) {
    throw new LedgerError('too_large', `compare names ${others.length} columns; ${compareMax} beside the first are allowed`, {
      member: 'compare',
      limit: compareMax,
    });
  }
  return [main, ...others].map(({ from, to }) => {
    const yearFrom = carry === 'none' ? undefined : yearOf(book, from ?? to).from;
    return { from: from ?? yearFrom ?? firstDate, to, yearFrom };
  });
}

interface Dates {
  readonly from?: CalendarDate;
  readonly to: CalendarDate;
}

function mainDates(book: BookState, { from, to, asOf, period }: ReportQuestion, kind: 'range' | 'date'): Dates {
  const dates = kind === 'range' ? { from, to } : { asOf };
  for (const [member, date] of Object.entries(dates)) checkDate(date, member);
  const given = Object.values(dates).filter((date) => date !== undefined).length;
  const names = Object.keys(dates).join(' and ');
  if (period !== undefined) {
    if (given > 0) throw malformed('period', `period stands for ${names}; give either`);
    return withKind(periodDates(book, period, 'period'), kind);
  }
  if (kind === 'date') {
    if (asOf === undefined) throw malformed('asOf', 'asOf is missing: the date of the report, or a period (2026, 2026/6)');
    return { to: asOf };
  }
  if (from === undefined || to === undefined) {
    const member = from === undefined ? 'from' : 'to';
    throw malformed(member, `${member} is missing: give from and to, or a period (2026, 2026/6)`);
  }
  checkRange(from, to);
  return { from, to };
}

const withKind = ({ from, to }: { from: CalendarDate; to: CalendarDate }, kind: 'range' | 'date'): Dates =>
  kind === 'range' ? { from, to } : { to };

function compared(book: BookState, text: string, kind: 'range' | 'date'): Dates {
  if (kind === 'date') {
    if (isDate(text)) return { to: text };
  } else if (text.includes('..')) {
    const [from = '', to = '', ...more] = text.split('..');
    if (more.length > 0 || !isDate(from) || !isDate(to) || to < from)
      throw malformed('compare', `compare: "${text}" is no range of two dates like 2025-01-01..2025-12-31`);
    return { from, to };
  }
  return withKind(periodDates(book, text, 'compare'), kind);
}

/** The days of a fiscal year or period. */
function periodDates(book: BookState, text: string, member: string): { from: CalendarDate; to: CalendarDate } {
  const [label = '', no, ...more] = text.split('/');
  const year = more.length > 0 ? undefined : yearLabelled(book, label);
  const form = `${member}: "${text}" is ${kindOf(text)}`;
  if (year === undefined) {
    const defined = book.fiscalYears.map((known) => known.label).join(', ');
    throw malformed(member, `${form}; write a fiscal year (${defined}) or a period of one (${book.fiscalYears[0]?.label ?? '2026'}/1)`);
  }
  if (no === undefined) return { from: year.from, to: year.to };
  const period = year.periods.find((known) => String(known.no) === no);
  if (period === undefined) throw malformed(member, `${form}; fiscal year ${label} has periods 1 to ${year.periods.length}`);
  if (period.kind === 'adjustment') {
    // Its days are those of a normal period too, and a report counts by days.
    throw malformed(
      member,
      `${member}: "${text}" is an adjustment period, whose days lie in a normal period too; ask for the year, or for the days`,
    );
  }
  return { from: period.from, to: period.to };
}

const kindOf = (text: string): string => (text.includes('/') ? 'no period of this book' : 'no fiscal year of this book');

function yearLabelled(book: BookState, label: string): FiscalYear | undefined {
  const defined = book.fiscalYears.find((year) => year.label === label);
  if (defined !== undefined || book.calendar === 'given' || !/^(19|20|21)\d\d$/.test(label)) return defined;
  // A generated year is named after the calendar year in which it ends, and so covers the first day of that.
  const generated = fiscalYearOf(book, `${label}-01-01`);
  return generated?.label === label ? generated : undefined;
}

/** The fiscal year of a day, in which income and expense start at 0. @throws LedgerError no_fiscal_year */
export function yearOf(book: BookState, date: CalendarDate): FiscalYear {
  const year = fiscalYearOf(book, date);
  if (year !== undefined) return year;
  const [first, last] = [book.fiscalYears[0], book.fiscalYears.at(-1)];
  throw new LedgerError(
    'no_fiscal_year',
    `${date} lies in no fiscal year, so that it cannot be told when income and expense start at 0; defined are ${first?.from} … ${last?.to}. Ask with carry=none for amounts since inception, or define the year (POST …/fiscal-years)`,
    { effectiveDate: date },
  );
}

/** The day before. It may lie outside the dates that an entry can have. */
export const eveOf = (date: CalendarDate): CalendarDate => addDays(date, -1);
