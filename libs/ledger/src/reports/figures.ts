/**
 * Figures: what all reports count with. Hides how totals of accounts become amounts of a report: which currency they are shown
 * in, where they are rounded, and how accounts add up along the tree of the chart. Pure; guarantees that sums are made of the
 * amounts that are shown, so that every column adds up, and that what rounding leaves over is known.
 */
import {
  type AccountType,
  type BookState,
  type CalendarDate,
  canonicalDecimal,
  decimalsOf,
  fiscalYearOf,
  fromMinor,
  type JournalEntryPosted,
  LedgerError,
  type Rounding,
  rateAgeMax,
  rescale,
  scaleOf,
  toMinor,
  unknownCurrency,
} from '#domain';
import type { AccountView } from '../projections/chart';

// --- What a report is made of ---

/** Totals of lines, minor units. */
export interface Sum {
  readonly debit: bigint;
  readonly credit: bigint;
}

/** One column of a report: a range of effective dates, both included. */
export interface Column {
  /** First day of the range; of a report as of a date the first day that its result of the year counts from. */
  readonly from: CalendarDate;
  readonly to: CalendarDate;
  /** First day of the fiscal year in which income and expense start at 0 (I13); absent with carry=none. */
  readonly yearFrom?: CalendarDate;
}

/** What was posted up to the eve of the column's fiscal year (nothing with carry=none), up to the eve of its range, up to its end. */
export interface ColumnSums {
  readonly yearBefore: Sum;
  readonly before: Sum;
  readonly upTo: Sum;
}

/** One account in one currency. */
export interface CurrencyPart {
  readonly currency: string;
  /** Decimals of the currency. */
  readonly scale: number;
  /** By column. */
  readonly own: readonly ColumnSums[];
  /** The same of base amounts, in minor units of the base currency; of use in a book with fx=tracked only. */
  readonly base: readonly ColumnSums[];
}

export type Carry = 'fiscalYear' | 'none';
export type Closing = 'include' | 'exclude';

/** How a report was asked for, as far as its answer depends on it and its columns do not say so. */
export interface Asked {
  readonly carry: Carry;
  readonly closing: Closing;
  /** Only lines in this currency. */
  readonly currency?: string;
  /** `key:value`; only lines that have all of them. */
  readonly dimensions: readonly string[];
  /** Levels of the chart that are shown. */
  readonly depth?: number;
  readonly includeZero: boolean;
}

/** Everything that a report depends on, at one position. */
export interface ReportInput {
  readonly bookId: string;
  readonly position: number;
  /** Of the position. */
  readonly recordedAt: string;
  readonly book: BookState;
  /** Accounts at the position, in the order of their codes. */
  readonly chart: readonly AccountView[];
  readonly columns: readonly Column[];
  readonly asked: Asked;
  /** By account id; accounts without lines are missing. */
  readonly parts: ReadonlyMap<string, readonly CurrencyPart[]>;
  /** Ids of the entries that closing=exclude leaves out: all closing entries and their reversals; none with include. */
  readonly leftOut: ReadonlySet<string>;
}

export const zero: Sum = { debit: 0n, credit: 0n };
export const zeroColumn: ColumnSums = { yearBefore: zero, before: zero, upTo: zero };
/** Debit − credit. */
export const net = ({ debit, credit }: Sum): bigint => debit - credit;

/** The order of currencies in every report and export: that of code units, which no locale changes. */
export const byCurrency = (one: { readonly currency: string }, other: { readonly currency: string }): number =>
  one.currency < other.currency ? -1 : 1;

/** Members of a map in the same order of their keys. */
export const sortedByKey = <T>(members: Iterable<readonly [string, T]>): (readonly [string, T])[] =>
  [...members].sort(([one], [other]) => (one < other ? -1 : 1));

/** Decimals of the base currency in a book that tracks it; undefined in others, whose lines need no base amounts. */
export const baseScaleOf = (book: BookState): number | undefined =>
  book.fx === 'tracked' ? (scaleOf(book, book.baseCurrency) ?? 0) : undefined;

/** Accounts whose balance the result of the year is made of. */
export const isNominal = (type: AccountType): boolean => type === 'income' || type === 'expense';

/** 1 where debit is what the type's accounts grow by; a contra account then comes out negative, and subtracts. */
export const signOf = (type: AccountType): bigint => (type === 'liability' || type === 'equity' || type === 'income' ? -1n : 1n);

// --- In which currency ---

/** How much of one currency another one is worth. */
export interface Rate {
  /** Units of `to` for one unit of `from`: a plain decimal. */
  readonly value: string;
  /** The day that the rate is of. */
  readonly date: CalendarDate;
  readonly source: string;
  /** The currency over which it was computed, when there is no rate between the two. */
  readonly via?: string;
}

/** The rates that a conversion uses: of one type, at or before one day, as known at one position. */
export interface Rates {
  readonly type: string;
  readonly date: CalendarDate;
  rateOf(from: string, to: string): Rate | undefined;
}

/** How amounts are shown. */
export type Presentation =
  /** Each currency for itself. */
  | { readonly kind: 'each' }
  /** The lines of one currency. */
  | { readonly kind: 'lines'; readonly currency: string; readonly scale: number }
  /** The base amounts that the lines carry. */
  | { readonly kind: 'base'; readonly currency: string; readonly scale: number }
  /** Converted at stated rates: computed exactly with `exactScale` decimals, rounded once per account. */
  | {
      readonly kind: 'converted';
      readonly currency: string;
      readonly scale: number;
      readonly rounding: Rounding;
      readonly exactScale: number;
      /** By column; the rates used, by currency. */
      readonly rates: readonly { readonly type: string; readonly date: CalendarDate; readonly of: ReadonlyMap<string, Rate> }[];
    };

/** A presentation in one currency. */
export type OneCurrency = Exclude<Presentation, { readonly kind: 'each' }>;

/** Currencies of lines on accounts of the balance sheet and of the result, sorted; memorandum accounts count in units of their own. */
export function currenciesIn({ chart, parts }: Pick<ReportInput, 'chart' | 'parts'>): string[] {
  const found = new Set<string>();
  for (const { id, type } of chart) if (type !== 'memorandum') for (const { currency } of parts.get(id) ?? []) found.add(currency);
  return [...found].sort();
}

/** What may be said about the one currency of a statement. */
export interface CurrencyChoice {
  /** Presentation currency asked for. */
  readonly in?: string;
  /** By column, when a conversion was asked for. */
  readonly rates?: readonly Rates[];
}

/**
 * The presentation of a statement: `in` converts; else the currency asked for, the only one there is, or the base amounts of a
 * book with fx=tracked.
 * @throws LedgerError report_currency_needed when several currencies are left, or a rate is missing
 */
export function oneCurrency(input: ReportInput, choice: CurrencyChoice): OneCurrency {
  const { book, asked } = input;
  const currencies = currenciesIn(input);
  const inScale = (currency: string): { currency: string; scale: number } => ({ currency, scale: scaleOf(book, currency) ?? 0 });
  if (choice.in !== undefined) return converted(input, choice.in, currencies, choice.rates);
  if (asked.currency !== undefined) return { kind: 'lines', ...inScale(asked.currency) };
  if (book.fx === 'tracked') return { kind: 'base', ...inScale(book.baseCurrency) };
  if (currencies.length <= 1) return { kind: 'lines', ...inScale(currencies[0] ?? book.baseCurrency) };
  throw new LedgerError(
    'report_currency_needed',
    `the book has lines in ${currencies.join(', ')} and does not track a base currency (fx=untracked), so it cannot be stated in one currency as it is; ask for the part in one of them (currency=${currencies[0]}) or for a conversion at stated rates (in=${book.baseCurrency})`,
    { currencies },
  );
}

/**
 * Amounts converted to a currency; in a book with fx=tracked the base currency without `rates` means the base amounts that its
 * lines carry, which no rate of today changes.
 * @throws LedgerError report_currency_needed when a rate is missing
 */
export function converted(
  { book, columns }: ReportInput,
  currency: string,
  currencies: readonly string[],
  rates: readonly Rates[] | undefined,
): OneCurrency {
  const scale = scaleOf(book, currency);
  if (scale === undefined) {
    throw new LedgerError('currency_unknown', `in=${currency}: ${unknownCurrency(currency)}`, { currency });
  }
  if (rates === undefined) return { kind: 'base', currency, scale };
  const used = columns.map((_, index) => {
    const { type, date, rateOf } = rates[index] as Rates;
    const missing = currencies.filter((from) => from !== currency && rateOf(from, currency) === undefined);
    if (missing.length > 0) {
      throw new LedgerError(
        'report_currency_needed',
        `there is no ${type} rate of ${date} or up to ${rateAgeMax} days before from ${missing.join(', ')} to ${currency}; record it, name another day or type (rateDate, rateType), or ask for the lines of one currency (currency=…)`,
        { currencies: missing },
      );
    }
    const of = new Map(currencies.flatMap((from) => (from === currency ? [] : [[from, rateOf(from, currency) as Rate]])));
    return { type, date, of };
  });
  const decimals = Math.max(0, ...used.flatMap(({ of }) => [...of.values()].map(({ value }) => decimalsOf(value))));
  const exactScale = decimals + Math.max(scale, ...currencies.map((from) => scaleOf(book, from) ?? 0));
  return { kind: 'converted', currency, scale, rounding: book.rounding, exactScale, rates: used };
}

/** An amount of one currency, exactly, in the presentation's units of 10^-exactScale. @param column its rates */
export function exactly(
  { currency: to, exactScale, rates }: Extract<Presentation, { kind: 'converted' }>,
  minor: bigint,
  { currency, scale }: { readonly currency: string; readonly scale: number },
  column: number,
): bigint {
  if (currency === to) return minor * 10n ** BigInt(exactScale - scale);
  const rate = rates[column]?.of.get(currency);
  if (rate === undefined) throw new Error(`no rate from ${currency} to ${to} was looked up`);
  const decimals = decimalsOf(rate.value);
  return minor * (toMinor(rate.value, decimals) as bigint) * 10n ** BigInt(exactScale - scale - decimals);
}

/** Amounts of one account in one currency of the report: for each column as many as were asked for. */
export interface Shown {
  readonly currency: string;
  readonly scale: number;
  /** Minor units. */
  readonly amounts: readonly bigint[];
  /** Of a conversion: the same before rounding, in units of 10^-exactScale. */
  readonly exact?: readonly bigint[];
}

/**
 * What an account shows.
 * @param pick the amounts of one column, minor units
 * @returns one per currency; one at most where the presentation is in one currency
 */
export function show(
  parts: readonly CurrencyPart[] | undefined,
  presentation: Presentation,
  pick: (sums: ColumnSums) => readonly bigint[],
): readonly Shown[] {
  if (parts === undefined || parts.length === 0) return [];
  switch (presentation.kind) {
    case 'each':
      return parts.map(({ currency, scale, own }) => ({ currency, scale, amounts: own.flatMap(pick) }));
    case 'lines':
      return parts
        .filter(({ currency }) => currency === presentation.currency)
        .map(({ currency, scale, own }) => ({ currency, scale, amounts: own.flatMap(pick) }));
    case 'base': {
      const { currency, scale } = presentation;
      return [{ currency, scale, amounts: plus(parts.map(({ base }) => base.flatMap(pick))) }];
    }
    case 'converted': {
      const { currency, scale, rounding, exactScale } = presentation;
      const exact = plus(
        parts.map((part) => part.own.flatMap((sums, column) => pick(sums).map((minor) => exactly(presentation, minor, part, column)))),
      );
      return [{ currency, scale, amounts: exact.map((units) => rescale(units, exactScale, scale, rounding)), exact }];
    }
  }
}

/** The sum of lists of equal length, element by element. */
export function plus(lists: readonly (readonly bigint[])[]): bigint[] {
  const sum = [...(lists[0] ?? [])];
  for (const list of lists.slice(1)) for (let index = 0; index < sum.length; index++) sum[index] = (sum[index] ?? 0n) + (list[index] ?? 0n);
  return sum;
}

/**
 * The sum of what accounts show, by currency; of a conversion `rounded` is the exact sum rounded once, which may differ from the
 * sum of the amounts that are shown.
 */
export function total(shown: Iterable<Shown>, presentation: Presentation): Map<string, Shown & { readonly rounded: readonly bigint[] }> {
  const byCurrency = new Map<string, Shown[]>();
  for (const one of shown) {
    const known = byCurrency.get(one.currency);
    if (known === undefined) byCurrency.set(one.currency, [one]);
    else known.push(one);
  }
  const totals = new Map<string, Shown & { readonly rounded: readonly bigint[] }>();
  for (const currency of [...byCurrency.keys()].sort()) {
    const all = byCurrency.get(currency) as Shown[];
    const amounts = plus(all.map((one) => one.amounts));
    const { scale } = all[0] as Shown;
    if (presentation.kind !== 'converted') totals.set(currency, { currency, scale, amounts, rounded: amounts });
    else {
      const exact = plus(all.map((one) => one.exact as readonly bigint[]));
      const rounded = exact.map((units) => rescale(units, presentation.exactScale, scale, presentation.rounding));
      totals.set(currency, { currency, scale, amounts, exact, rounded });
    }
  }
  return totals;
}

// --- Along the tree ---

/** An account as a row of a report. */
export interface TreeRow {
  readonly account: AccountView;
  /** 1 for accounts without parent. */
  readonly level: number;
  /** By currency: of the account and of everything below it. */
  readonly sums: ReadonlyMap<string, Shown>;
  /** By currency: of the account alone, where something below it counts too. */
  readonly own?: ReadonlyMap<string, Shown>;
}

/**
 * Rows of accounts in the order of the tree, siblings by code. An account sums what is below it, also what lies below `depth`.
 * @param chart accounts in the order of their codes; one whose parent is not among them stands at the top
 * @param ofAccount what each account shows by itself
 */
export function rollUp(
  chart: readonly AccountView[],
  ofAccount: (account: AccountView) => readonly Shown[],
  depth: number = Number.MAX_SAFE_INTEGER,
): TreeRow[] {
  const known = new Set(chart.map(({ id }) => id));
  const children = new Map<string | undefined, AccountView[]>();
  for (const account of chart) {
    const parent = account.parentId !== undefined && known.has(account.parentId) ? account.parentId : undefined;
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [account]);
    else siblings.push(account);
  }
  const walk = (account: AccountView, level: number): { rows: TreeRow[]; sums: Map<string, Shown> } => {
    const below = (children.get(account.id) ?? []).map((child) => walk(child, level + 1));
    const own = new Map(ofAccount(account).map((shown) => [shown.currency, shown]));
    const sums = below.reduce((sum, branch) => merged(sum, branch.sums), own);
    if (level > depth) return { rows: [], sums };
    const parent = below.some((branch) => branch.sums.size > 0);
    const row = { account, level, sums, ...(parent ? { own: withZeros(own, sums) } : {}) };
    return { rows: [row, ...below.flatMap(({ rows }) => rows)], sums };
  };
  return (children.get(undefined) ?? []).flatMap((account) => walk(account, 1).rows);
}

/** Zero in the currencies that only something below has: whoever adds up what accounts have alone leaves out none. */
function withZeros(own: ReadonlyMap<string, Shown>, sums: ReadonlyMap<string, Shown>): Map<string, Shown> {
  const all = new Map(own);
  for (const [currency, shown] of sums) if (!all.has(currency)) all.set(currency, { ...shown, amounts: shown.amounts.map(() => 0n) });
  return all;
}

function merged(one: ReadonlyMap<string, Shown>, other: ReadonlyMap<string, Shown>): Map<string, Shown> {
  const sum = new Map(one);
  for (const [currency, shown] of other) {
    const known = sum.get(currency);
    sum.set(currency, known === undefined ? shown : { ...shown, amounts: plus([known.amounts, shown.amounts]) });
  }
  return sum;
}

export const isZero = (amounts: readonly bigint[]): boolean => amounts.every((amount) => amount === 0n);

/** A list cut into pieces of `size`: the amounts of each column. */
export function byColumn<T>(list: readonly T[], size: number): T[][] {
  return Array.from({ length: list.length / size }, (_, column) => list.slice(column * size, (column + 1) * size));
}

/** Why a report does not balance; the first cause that there is. */
export function causeOfImbalance({ asked, chart, parts }: ReportInput, presentation: Presentation): string {
  if (asked.dimensions.length > 0)
    return `only lines with ${asked.dimensions.join(' and ')} are counted, and other lines of the same entries are not`;
  if (chart.some(({ id, type }) => type === 'memorandum' && parts.has(id)))
    return 'entries have lines both on memorandum accounts, which are off balance, and on accounts of the balance sheet; memorandum shows the other part';
  if (presentation.kind === 'base') return 'lines were recorded without a base amount, and have no part in it';
  return 'the lines of the book do not balance (I8), which no command can have done: run book-keeper verify';
}

// --- What every answer says ---

/** The beginning of every report, in this order. */
export interface ReportHead {
  readonly report: string;
  readonly reportVersion: number;
  readonly book: string;
  /** The position that the report holds for; asked with it and reportVersion again, the answer has the same bytes for ever. */
  readonly position: number;
  /** When the position was recorded. */
  readonly recordedAt: string;
}

export function headOf(
  report: string,
  reportVersion: number,
  { bookId, position, recordedAt }: Pick<ReportInput, 'bookId' | 'position' | 'recordedAt'>,
): ReportHead {
  return { report, reportVersion, book: bookId, position, recordedAt };
}

/** Rates that a report used, for whoever wants to compute it again. */
export interface RateShown extends Rate {
  readonly column: number;
  readonly from: string;
  readonly to: string;
  readonly type: string;
}

export interface CurrencyBasis {
  readonly currency: string;
  /** `lines`: amounts of lines; `base`: their base amounts; `converted`: amounts of lines at the rates below. */
  readonly basis: OneCurrency['kind'];
  readonly rates?: readonly RateShown[];
}

export function basisOf(presentation: OneCurrency): CurrencyBasis {
  const { kind, currency } = presentation;
  if (kind !== 'converted') return { currency, basis: kind };
  const rates = presentation.rates.flatMap(({ type, of }, column) =>
    [...of].map(([from, { value, date, source, via }]) => ({ column, from, to: currency, type, value, date, source, via })),
  );
  return { currency, basis: kind, rates };
}

/** An amount as a report prints it: plain, with the decimals of its currency. */
export const printed = (amounts: readonly bigint[], scale: number): string[] => amounts.map((amount) => fromMinor(amount, scale));

/** An exact value without the zeros at its end. */
export const printedExactly = (units: bigint, scale: number): string => {
  const text = fromMinor(units, scale);
  return text.startsWith('-') ? `-${canonicalDecimal(text.slice(1))}` : canonicalDecimal(text);
};

/** An entry's number as people read it: `GENERAL/2026/17`. */
export const entryNumber = ({
  journalCode,
  fiscalYear,
  number,
}: Pick<JournalEntryPosted, 'journalCode' | 'fiscalYear' | 'number'>): string => `${journalCode}/${fiscalYear}/${number}`;

// --- Links: report → account → entry → event ---

/** The link of one account; `currency` is that of the row, the filter of the report when absent. */
export type StatementLink = (account: Pick<AccountView, 'code' | 'type'>, currency?: string) => string;

/**
 * Where the lines of accounts in a range of dates are found, as known at the report's position: statements of the same lines. What the
 * report leaves out or carries is said where the statement by itself would not do so.
 */
export function statementLinks(
  { bookId, position, book, asked }: Pick<ReportInput, 'bookId' | 'position' | 'book' | 'asked'>,
  { from, to }: { readonly from?: CalendarDate; readonly to: CalendarDate },
): StatementLink {
  const start = `/v1/books/${bookId}/accounts/`;
  const range = `/statement?${from === undefined ? '' : `from=${from}&`}to=${to}`;
  // Of a range that lies in no fiscal year there is a statement only since inception.
  const sinceInception = from !== undefined && (asked.carry === 'none' || fiscalYearOf(book, from) === undefined) ? '&carry=none' : '';
  const rest = [
    ...(asked.closing === 'exclude' ? ['closing=exclude'] : []),
    ...asked.dimensions.map((dimension) => `dimension=${encodeURIComponent(dimension)}`),
    `knownAt=${position}`,
  ].join('&');
  return ({ code, type }, currency = asked.currency) => {
    const only = currency === undefined ? '' : `&currency=${encodeURIComponent(currency)}`;
    return `${start}${encodeURIComponent(code)}${range}${only}${isNominal(type) ? sinceInception : ''}&${rest}`;
  };
}

export const entryLink = (bookId: string, entryId: string, position: number): string =>
  `/v1/books/${bookId}/journal-entries/${entryId}?knownAt=${position}`;

/** The events of an entry, which are its history. */
export const streamLink = (bookId: string, entryId: string): string => `/v1/books/${bookId}/streams/Journal/${entryId}`;
