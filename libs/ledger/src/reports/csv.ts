/**
 * Reports as CSV (RFC 4180: header row, CRLF, quotes where needed; UTF-8 without a byte order mark). Pure. Guarantees that amounts
 * are exact plain decimals, and that every row ends with the position and the version of the report, so that a file that was saved
 * says by itself what it is. The first cell of a row says what kind of row it is: only rows of kind `account` are accounts.
 *
 * Several columns stand beside each other, each heading followed by its dates. Texts are given as they are: a spreadsheet that
 * takes `=` at the beginning of a description for a formula must be told to import text.
 */
import type { CashFlow } from './cash-flow';
import type { Column, RateShown } from './figures';
import type { BalanceSheet, IncomeStatement, StatementRow } from './statements';
import type { TrialBalance, TrialBalanceFigures, TrialBalanceRow } from './trial-balance';
import type { Valuation } from './valuation';

export type Cell = string | number | undefined;

/** A report as a table. */
export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

const needsQuotes = { ',': /[",\r\n]/, '|': /["|\r\n]/ } as const;
type Delimiter = keyof typeof needsQuotes;

/** One cell, in quotes where it needs them. */
export const csvCell = (cell: Cell, delimiter: Delimiter): string => {
  const text = cell === undefined ? '' : String(cell);
  return needsQuotes[delimiter].test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** One row with its line end. */
export const csvRow = (cells: readonly Cell[], delimiter: Delimiter = ','): string =>
  `${cells.map((cell) => csvCell(cell, delimiter)).join(delimiter)}\r\n`;

/** What stands behind the cells of every row. */
export const stateColumns = ['position', 'reportVersion'] as const;

/** A whole report that is small enough to be kept. Rows may leave out cells at their end. */
export function csvText({ columns, rows }: Table, { position, reportVersion }: { position: number; reportVersion: number }): string {
  const wide = rows.map((row) => {
    if (row.length > columns.length) throw new Error(`a row of ${row.length} cells under ${columns.length} columns: ${row.join()}`);
    return [...row, ...Array<Cell>(columns.length - row.length).fill(undefined), position, reportVersion];
  });
  return [[...columns, ...stateColumns], ...wide].map((row) => csvRow(row)).join('');
}

/** Headings of what each column has, with its dates where there are several. */
function headings(names: readonly string[], columns: readonly (Pick<Column, 'to'> & Partial<Column>)[]): string[] {
  if (columns.length === 1) return [...names];
  return columns.flatMap(({ from, to }) => names.map((name) => `${name} ${from === undefined ? to : `${from}..${to}`}`));
}

const figureNames = ['opening', 'debit', 'credit', 'net', 'closing'] as const;

export function trialBalanceTable(report: TrialBalance): Table {
  const cells = (figures: readonly TrialBalanceFigures[]): string[] => figures.flatMap((each) => figureNames.map((name) => each[name]));
  const rows = (kind: string, all: readonly TrialBalanceRow[]): Cell[][] =>
    all.map(({ account, name, type, level, currency, figures }) => [kind, account, name, type, level, currency, ...cells(figures)]);
  const sums = (kind: string, name: string, all: readonly { currency: string; figures: readonly TrialBalanceFigures[] }[] = []): Cell[][] =>
    all.map(({ currency, figures }) => [kind, undefined, name, undefined, undefined, currency, ...cells(figures)]);
  return {
    columns: ['row', 'account', 'name', 'type', 'level', 'currency', ...headings(figureNames, report.columns)],
    rows: [
      ...rows('account', report.rows),
      ...sums('retainedEarnings', 'Retained earnings brought forward', report.retainedEarnings),
      ...sums('rounding', 'Rounding difference', report.rounding),
      ...sums('total', 'Total', report.totals),
      ...rows('memorandum', report.memorandum.rows),
      ...sums('memorandumTotal', 'Memorandum total', report.memorandum.totals),
      ...rateRows(report.rates, report.columns),
    ],
  };
}

/** The rates of a conversion, in place of names: a file says by itself how it was computed. @param before cells up to the name */
const rateRows = (
  rates: readonly RateShown[] = [],
  columns: readonly { readonly to: string }[],
  before: readonly Cell[] = [undefined],
): Cell[][] =>
  rates.map(({ column, from, to, type, value, date, source, via }) => [
    'rate',
    ...before,
    `${columns.length > 1 ? `${columns[column]?.to}: ` : ''}1 ${from} = ${value} ${to} (${type}, ${date}, ${source}${via === undefined ? '' : `, via ${via}`})`,
  ]);

function sectionRows({ sections, currency }: Pick<BalanceSheet | IncomeStatement, 'sections' | 'currency'>): Cell[][] {
  const account = (type: string, { account: code, name, level, amounts }: StatementRow): Cell[] => [
    'account',
    code,
    name,
    type,
    level,
    currency,
    ...amounts,
  ];
  return sections.flatMap(({ type, rows, computed = [], total }) => [
    ...rows.map((row) => account(type, row)),
    ...computed.map(({ row, name, amounts }): Cell[] => [row, undefined, name, type, undefined, currency, ...amounts]),
    ['total', undefined, `Total ${type}`, type, undefined, currency, ...total],
  ]);
}

const treeColumns = ['row', 'account', 'name', 'type', 'level', 'currency'] as const;

export function balanceSheetTable(report: BalanceSheet): Table {
  const { currency } = report;
  const sum = (row: string, name: string, amounts: readonly string[]): Cell[] => [
    row,
    undefined,
    name,
    undefined,
    undefined,
    currency,
    ...amounts,
  ];
  return {
    columns: [
      ...treeColumns,
      ...headings(
        ['amount'],
        report.columns.map(({ asOf: to }) => ({ to })),
      ),
    ],
    rows: [
      ...sectionRows(report),
      sum('liabilitiesAndEquity', 'Liabilities and equity', report.liabilitiesAndEquity),
      sum('difference', report.unbalanced ?? 'Assets less liabilities and equity', report.difference),
      ...report.memorandum.map(({ account, name, level, currency: unit, amounts }) => [
        'memorandum',
        account,
        name,
        'memorandum',
        level,
        unit,
        ...amounts,
      ]),
      ...rateRows(
        report.rates,
        report.columns.map(({ asOf: to }) => ({ to })),
      ),
    ],
  };
}

export function incomeStatementTable(report: IncomeStatement): Table {
  const sum = (row: string, name: string, amounts: readonly string[]): Cell[] => [
    row,
    undefined,
    name,
    undefined,
    undefined,
    report.currency,
    ...amounts,
  ];
  return {
    columns: [...treeColumns, ...headings(['amount'], report.columns)],
    rows: [
      ...sectionRows(report),
      ...(report.rounding === undefined ? [] : [sum('rounding', 'Rounding difference', report.rounding)]),
      sum('result', 'Income less expenses', report.result),
      ...rateRows(report.rates, report.columns),
    ],
  };
}

export function valuationTable({ rows, totals, total, currency }: Valuation): Table {
  return {
    columns: [
      'row',
      'account',
      'name',
      'type',
      'currency',
      'quantity',
      'rate',
      'rateDate',
      'rateSource',
      'rateVia',
      'valueCurrency',
      'value',
    ],
    rows: [
      ...rows.map(({ account, name, type, currency: unit, quantity, rate, value }): Cell[] => [
        'account',
        account,
        name,
        type,
        unit,
        quantity,
        rate.value,
        rate.date,
        rate.source,
        rate.via,
        currency,
        value,
      ]),
      ...totals.map(({ type, value }): Cell[] => ['total', undefined, undefined, type, ...Array<Cell>(6).fill(undefined), currency, value]),
      ['total', ...Array<Cell>(9).fill(undefined), currency, total],
    ],
  };
}

export function cashFlowTable(report: CashFlow): Table {
  const { currency } = report;
  const names = ['amount', 'receipts', 'payments'] as const;
  const cells = (amounts: readonly string[], receipts?: readonly string[], payments?: readonly string[]): Cell[] =>
    amounts.flatMap((amount, column) => [amount, receipts?.[column], payments?.[column]]);
  const sum = (row: string, name: string, amounts: readonly string[]): Cell[] => [
    ...[row, undefined, undefined, name, undefined, undefined, currency],
    ...cells(amounts),
  ];
  return {
    columns: ['row', 'activity', 'account', 'name', 'type', 'level', 'currency', ...headings(names, report.columns)],
    rows: [
      sum('opening', 'Cash at the beginning', report.opening),
      ...report.sections.flatMap(({ activity, rows, total }) => [
        ...rows.map(({ account, name, type, level, amounts, receipts, payments }): Cell[] => [
          ...['account', activity, account, name, type, level, currency],
          ...cells(amounts, receipts, payments),
        ]),
        ['total', activity, undefined, `Total ${activity}`, undefined, undefined, currency, ...cells(total)],
      ]),
      ...(report.rounding === undefined ? [] : [sum('rounding', 'Rounding difference', report.rounding)]),
      sum('change', 'Change of cash', report.change),
      sum('closing', 'Cash at the end', report.closing),
      ...rateRows(report.rates, report.columns, [undefined, undefined]),
    ],
  };
}
