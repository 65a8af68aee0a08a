/** What can be asked of reports, and what they answer: the shapes that Reports writes, told to OpenAPI. */
import { ApiProperty } from '@nestjs/swagger';
import { accountTypes } from '#domain';
import type { ReportQuestion } from '#ledger';
import { Currency, DimensionFilter, EffectiveDate, FlagText, KnownAt, OneOf, Text, Token, WholeText } from './members';
import { whole } from './queries.dto';

const optional = true;
const period = {
  optional,
  description: 'A fiscal year (`2026`) or one of its periods (`2026/6`), instead of dates.',
  example: '2026/6',
} as const;

// --- Questions ---

/** Of every report. */
export class ReportQuery {
  @KnownAt({
    optional,
    description: 'A position, or an RFC 3339 instant: as known then. The head when left out.',
    example: '2026-07-02T12:00:00Z',
  })
  knownAt?: string;

  @WholeText(1, 1000, {
    optional,
    description: 'Version of the report; the newest when left out. The bytes of a version never change.',
    example: 1,
  })
  reportVersion?: string;

  @OneOf(['json', 'csv'], { optional, description: 'Also by `Accept: text/csv`.', default: 'json' })
  format?: string;

  @Currency({ optional, description: 'Only lines in this currency.', example: 'EUR' })
  currency?: string;

  @DimensionFilter({ optional, description: 'Only lines with this dimension, `key:value`; given several times, with all of them.' })
  dimension?: string | string[];

  @FlagText({ optional, description: 'Also rows in which everything is zero.', default: false })
  includeZero?: string;
}

/** Of reports whose rows are the chart of accounts. */
class TreeQuery extends ReportQuery {
  @WholeText(1, 1000, { optional, description: 'Levels of the chart that are shown; what lies below is summed into them.', example: 2 })
  depth?: string;

  @Text(1000, {
    optional,
    description:
      'More columns, up to 11, separated by commas: fiscal years, periods, ranges `2025-01-01..2025-12-31`, or dates where the report is as of a date.',
    example: '2025,2024',
  })
  compare?: string;

  @Currency({
    optional,
    description:
      'Presentation currency: amounts are converted at recorded rates. The base currency of a book with fx=tracked is what its lines state, unless rateDate or rateType is given.',
    example: 'EUR',
  })
  in?: string;

  @EffectiveDate({ optional, description: 'Day of the rates; the last day of each column when left out.', example: '2026-12-31' })
  rateDate?: string;

  @Token({ optional, description: 'Type of the rates.', default: 'closing' })
  rateType?: string;
}

const closing = (byDefault: 'include' | 'exclude') =>
  OneOf(['include', 'exclude'], {
    optional,
    description: 'Whether closing entries dated in a column (and their reversals) count.',
    default: byDefault,
  });
const carry = OneOf(['fiscalYear', 'none'], {
  optional,
  description: 'fiscalYear: income and expense start at 0 in the fiscal year of the first day. none: amounts since inception.',
  default: 'fiscalYear',
});
const from = EffectiveDate({ optional, description: 'First day; needs `to`, or give `period`.', example: '2026-01-01' });
const to = EffectiveDate({ optional, description: 'Last day.', example: '2026-12-31' });
const asOf = EffectiveDate({ optional, description: 'Lines up to the end of this day; or give `period`.', example: '2026-12-31' });

export class TrialBalanceQuery extends TreeQuery {
  @from
  from?: string;

  @to
  to?: string;

  @Text(41, period)
  period?: string;

  @carry
  carry?: string;

  @closing('include')
  closing?: string;
}

export class IncomeStatementQuery extends TreeQuery {
  @from
  from?: string;

  @to
  to?: string;

  @Text(41, period)
  period?: string;

  @closing('exclude')
  closing?: string;
}

export class BalanceSheetQuery extends TreeQuery {
  @asOf
  asOf?: string;

  @Text(41, period)
  period?: string;

  @carry
  carry?: string;

  @closing('include')
  closing?: string;
}

export class ValuationQuery extends ReportQuery {
  @asOf
  asOf?: string;

  @Text(41, period)
  period?: string;

  @Currency({ optional, description: 'Currency of the values; the base currency when left out.', example: 'EUR' })
  in?: string;

  @EffectiveDate({ optional, description: 'Day of the rates; `asOf` when left out.', example: '2026-12-31' })
  rateDate?: string;

  @Token({ optional, description: 'Type of the rates.', default: 'closing' })
  rateType?: string;
}

/** A question as Reports takes it: numbers and flags of a query are text that was checked. */
export function questionOf(query: object): ReportQuestion {
  const { format: _format, dimension, depth, limit, reportVersion, includeZero, ...others } = query as Record<string, string | string[]>;
  const number = (text: string | string[] | undefined): number | undefined => whole(text as string | undefined);
  return {
    ...(others as ReportQuestion),
    dimensions: dimension === undefined ? undefined : [dimension].flat(),
    depth: number(depth),
    limit: number(limit),
    reportVersion: number(reportVersion),
    includeZero: includeZero === undefined ? undefined : includeZero === 'true',
  };
}

// --- Answers ---

class ReportHead {
  @ApiProperty({ example: 'trial-balance' })
  report!: string;

  @ApiProperty({ description: 'With the position this names the bytes of the answer for ever.', example: 1 })
  reportVersion!: number;

  @ApiProperty({ example: 'acme' })
  book!: string;

  @ApiProperty({ description: 'The position that the report holds for; ask again with knownAt=position.', example: 42 })
  position!: number;

  @ApiProperty({ description: 'When the position was recorded.', example: '2026-07-02T12:00:00.000001Z' })
  recordedAt!: string;
}

class Filtered extends ReportHead {
  @ApiProperty({ required: false, description: 'As asked for.', example: 'EUR' })
  currencyFilter?: string;

  @ApiProperty({ required: false, type: [String], description: 'As asked for, sorted.', example: ['costCenter:4711'] })
  dimensions?: readonly string[];

  @ApiProperty({ required: false, description: 'As asked for.', example: 2 })
  depth?: number;
}

class RateShown {
  @ApiProperty({ description: 'Column that it was used in, from 0 on.', example: 0 })
  column!: number;

  @ApiProperty({ example: 'USD' })
  from!: string;

  @ApiProperty({ example: 'EUR' })
  to!: string;

  @ApiProperty({ example: 'closing' })
  type!: string;

  @ApiProperty({ description: 'Units of `to` for one unit of `from`.', example: '0.9050' })
  value!: string;

  @ApiProperty({ description: 'The day that the rate is of.', example: '2026-12-31' })
  date!: string;

  @ApiProperty({ example: 'ECB' })
  source!: string;

  @ApiProperty({ required: false, description: 'The currency over which it was computed.' })
  via?: string;
}

class InOneCurrency extends Filtered {
  @ApiProperty({ example: 'EUR' })
  currency!: string;

  @ApiProperty({
    enum: ['lines', 'base', 'converted'],
    description: 'lines: amounts of lines. base: the base amounts that they carry. converted: amounts of lines at the rates below.',
  })
  basis!: string;

  @ApiProperty({ required: false, type: () => [RateShown] })
  rates?: readonly RateShown[];
}

class RangeColumn {
  @ApiProperty({ example: '2026-01-01' })
  from!: string;

  @ApiProperty({ example: '2026-12-31' })
  to!: string;
}

class CarriedColumn extends RangeColumn {
  @ApiProperty({ required: false, description: 'First day of the fiscal year that income and expense count from.', example: '2026-01-01' })
  yearFrom?: string;
}

class DateColumn {
  @ApiProperty({ example: '2026-12-31' })
  asOf!: string;

  @ApiProperty({ required: false, description: 'First day of the fiscal year that the result counts from.', example: '2026-01-01' })
  yearFrom?: string;
}

class Figures {
  @ApiProperty({ description: 'debit − credit before `from`.', example: '100.00' })
  opening!: string;

  @ApiProperty({ example: '20.00' })
  debit!: string;

  @ApiProperty({ example: '50.00' })
  credit!: string;

  @ApiProperty({ description: 'debit − credit', example: '-30.00' })
  net!: string;

  @ApiProperty({ description: 'debit − credit at the end of `to`.', example: '70.00' })
  closing!: string;
}

class CurrencyFigures {
  @ApiProperty({ example: 'EUR' })
  currency!: string;

  @ApiProperty({ type: () => [Figures], description: 'By column.' })
  figures!: readonly Figures[];
}

const statements = {
  required: false,
  type: [String] as [typeof String],
  description: 'By column: where the lines are found.',
  example: ['/v1/books/acme/accounts/Assets%3ACash/statement?from=2026-01-01&to=2026-12-31&knownAt=42'],
};

class TreeRow {
  @ApiProperty({ example: 'Assets:Cash' })
  account!: string;

  @ApiProperty({ example: 'Cash' })
  name!: string;

  @ApiProperty({ description: '1 for accounts without parent.', example: 1 })
  level!: number;

  @ApiProperty(statements)
  statements?: readonly string[];
}

class TrialBalanceRow extends TreeRow {
  @ApiProperty({ enum: accountTypes })
  type!: string;

  @ApiProperty({ example: 'EUR' })
  currency!: string;

  @ApiProperty({ type: () => [Figures], description: 'By column; of the account and everything below it.' })
  figures!: readonly Figures[];

  @ApiProperty({ type: () => [Figures], required: false, description: 'Of the account alone, where something below it counts too.' })
  own?: readonly Figures[];
}

class MemorandumFigures {
  @ApiProperty({ type: () => [TrialBalanceRow] })
  rows!: readonly TrialBalanceRow[];

  @ApiProperty({ type: () => [CurrencyFigures] })
  totals!: readonly CurrencyFigures[];
}

export class TrialBalanceShown extends Filtered {
  @ApiProperty({ enum: ['fiscalYear', 'none'] })
  carry!: string;

  @ApiProperty({ enum: ['include', 'exclude'] })
  closing!: string;

  @ApiProperty({ required: false, description: 'Of a trial balance in one currency.', example: 'EUR' })
  currency?: string;

  @ApiProperty({ required: false, enum: ['base', 'converted'] })
  basis?: string;

  @ApiProperty({ required: false, type: () => [RateShown] })
  rates?: readonly RateShown[];

  @ApiProperty({ type: () => [CarriedColumn] })
  columns!: readonly CarriedColumn[];

  @ApiProperty({ type: () => [TrialBalanceRow], description: 'In the order of the chart, then by currency.' })
  rows!: readonly TrialBalanceRow[];

  @ApiProperty({
    type: () => [CurrencyFigures],
    required: false,
    description: 'What income and expense had in the years before; computed, so that the opening balances.',
  })
  retainedEarnings?: readonly CurrencyFigures[];

  @ApiProperty({ type: () => [CurrencyFigures], required: false, description: 'What rounding each account leaves over, of a conversion.' })
  rounding?: readonly CurrencyFigures[];

  @ApiProperty({ type: () => [CurrencyFigures] })
  totals!: readonly CurrencyFigures[];

  @ApiProperty({ type: () => MemorandumFigures, description: 'Off balance: in no total above.' })
  memorandum!: MemorandumFigures;

  @ApiProperty({ description: 'Whether debits equal credits in every column.' })
  balanced!: boolean;

  @ApiProperty({ required: false, description: 'Why not.' })
  unbalanced?: string;
}

class StatementRow extends TreeRow {
  @ApiProperty({ type: [String], description: 'By column; of the account and everything below it.', example: ['70.00'] })
  amounts!: readonly string[];

  @ApiProperty({ type: [String], required: false, description: 'Of the account alone, where something below it counts too.' })
  own?: readonly string[];
}

class ComputedRow {
  @ApiProperty({ enum: ['retainedEarnings', 'result', 'rounding'] })
  row!: string;

  @ApiProperty({ example: 'Result of the year' })
  name!: string;

  @ApiProperty({ type: [String], example: ['70.00'] })
  amounts!: readonly string[];
}

class StatementSection {
  @ApiProperty({ enum: accountTypes })
  type!: string;

  @ApiProperty({ type: () => [StatementRow] })
  rows!: readonly StatementRow[];

  @ApiProperty({ type: () => [ComputedRow], required: false, description: 'Rows that no account stands behind.' })
  computed?: readonly ComputedRow[];

  @ApiProperty({ type: [String], example: ['70.00'] })
  total!: readonly string[];
}

class MemorandumRow extends StatementRow {
  @ApiProperty({ example: 'HOURS' })
  currency!: string;
}

const amounts = { type: [String] as [typeof String], description: 'By column.', example: ['70.00'] };

export class BalanceSheetShown extends InOneCurrency {
  @ApiProperty({ enum: ['fiscalYear', 'none'] })
  carry!: string;

  @ApiProperty({ enum: ['include', 'exclude'] })
  closing!: string;

  @ApiProperty({ type: () => [DateColumn] })
  columns!: readonly DateColumn[];

  @ApiProperty({ type: () => [StatementSection], description: 'asset, liability, equity; each in the sign of its type.' })
  sections!: readonly StatementSection[];

  @ApiProperty(amounts)
  assets!: readonly string[];

  @ApiProperty(amounts)
  liabilitiesAndEquity!: readonly string[];

  @ApiProperty({ ...amounts, example: ['0.00'] })
  difference!: readonly string[];

  @ApiProperty({ description: 'Whether the difference is zero in every column.' })
  balanced!: boolean;

  @ApiProperty({ required: false, description: 'Why not.' })
  unbalanced?: string;

  @ApiProperty({ type: () => [MemorandumRow], description: 'Off balance: in no total above.' })
  memorandum!: readonly MemorandumRow[];
}

export class IncomeStatementShown extends InOneCurrency {
  @ApiProperty({ enum: ['include', 'exclude'] })
  closing!: string;

  @ApiProperty({ type: () => [RangeColumn] })
  columns!: readonly RangeColumn[];

  @ApiProperty({ type: () => [StatementSection], description: 'income, expense; each in the sign of its type.' })
  sections!: readonly StatementSection[];

  @ApiProperty({ ...amounts, required: false, description: 'What rounding each account leaves over, of a conversion.' })
  rounding?: readonly string[];

  @ApiProperty({ ...amounts, description: 'Income less expenses.' })
  result!: readonly string[];
}

class RateUsed {
  @ApiProperty({ example: '0.9050' })
  value!: string;

  @ApiProperty({ example: '2026-12-31' })
  date!: string;

  @ApiProperty({ example: 'ECB' })
  source!: string;

  @ApiProperty({ required: false })
  via?: string;
}

class ValuationRow {
  @ApiProperty({ example: 'Assets:Bank' })
  account!: string;

  @ApiProperty({ example: 'Bank' })
  name!: string;

  @ApiProperty({ enum: accountTypes })
  type!: string;

  @ApiProperty({ example: 'USD' })
  currency!: string;

  @ApiProperty({ description: 'debit − credit', example: '100.00' })
  quantity!: string;

  @ApiProperty({ type: () => RateUsed })
  rate!: RateUsed;

  @ApiProperty({ description: 'quantity × rate, exactly.', example: '90.5' })
  value!: string;

  @ApiProperty({ description: 'Where the lines are found.' })
  statement!: string;
}

export class ValuationShown extends Filtered {
  @ApiProperty({ example: '2026-12-31' })
  asOf!: string;

  @ApiProperty({ example: 'EUR' })
  currency!: string;

  @ApiProperty({ example: 'closing' })
  rateType!: string;

  @ApiProperty({ example: '2026-12-31' })
  rateDate!: string;

  @ApiProperty({ type: () => [ValuationRow] })
  rows!: readonly ValuationRow[];

  @ApiProperty({ description: 'Exact sum of the values.', example: '90.5' })
  total!: string;

  @ApiProperty({ description: 'The same with the decimals of the currency.', example: '90.50' })
  rounded!: string;
}
