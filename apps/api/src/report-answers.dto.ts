/** What reports answer: the shapes that Reports writes, told to OpenAPI. */
import { ApiProperty, OmitType } from '@nestjs/swagger';
import { accountTypes } from '#domain';
import { entryTests } from '#ledger';
import { LineInBase } from './queries.dto';

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

class TypeValue {
  @ApiProperty({ enum: accountTypes })
  type!: string;

  @ApiProperty({ example: '90.5' })
  value!: string;
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

  @ApiProperty({ type: () => [TypeValue], description: 'Exact sums of the values of each type.' })
  totals!: readonly TypeValue[];

  @ApiProperty({ description: 'Exact sum of all values: 0 in whole books, since entries balance.', example: '0' })
  total!: string;

  @ApiProperty({ description: 'The same with the decimals of the currency.', example: '90.50' })
  rounded!: string;
}

class CashFlowRow extends TreeRow {
  @ApiProperty({ enum: accountTypes })
  type!: string;

  @ApiProperty({ ...amounts, description: 'By column; receipts less payments.' })
  amounts!: readonly string[];

  @ApiProperty({ ...amounts, description: 'Of the entries in which the account brought cash.' })
  receipts!: readonly string[];

  @ApiProperty({ ...amounts, description: 'Of the entries in which it cost cash.' })
  payments!: readonly string[];
}

class CashFlowSection {
  @ApiProperty({ enum: ['operating', 'investing', 'financing', 'exchangeRates'] })
  activity!: string;

  @ApiProperty({ type: () => [CashFlowRow] })
  rows!: readonly CashFlowRow[];

  @ApiProperty(amounts)
  total!: readonly string[];
}

class CashHeld {
  @ApiProperty({ example: 'Assets:Bank' })
  account!: string;

  @ApiProperty({ example: 'Bank' })
  name!: string;

  @ApiProperty(amounts)
  opening!: readonly string[];

  @ApiProperty(amounts)
  closing!: readonly string[];

  @ApiProperty({ ...statements, required: true })
  statements!: readonly string[];
}

export class CashFlowShown extends InOneCurrency {
  @ApiProperty({ type: () => [RangeColumn] })
  columns!: readonly RangeColumn[];

  @ApiProperty({ type: () => [CashHeld], description: 'Accounts with subtype `cash`.' })
  cash!: readonly CashHeld[];

  @ApiProperty(amounts)
  opening!: readonly string[];

  @ApiProperty({ type: () => [CashFlowSection] })
  sections!: readonly CashFlowSection[];

  @ApiProperty({ ...amounts, required: false, description: 'What rounding each account leaves over, of a conversion.' })
  rounding?: readonly string[];

  @ApiProperty({ ...amounts, description: 'closing less opening: the sum of the sections.' })
  change!: readonly string[];

  @ApiProperty(amounts)
  closing!: readonly string[];
}

class LinesReport extends ReportHead {
  @ApiProperty({ required: false, description: 'As asked for.', example: 'EUR' })
  currencyFilter?: string;

  @ApiProperty({ required: false, type: [String], description: 'As asked for, sorted.', example: ['costCenter:4711'] })
  dimensions?: readonly string[];

  @ApiProperty({ example: '2026-01-01' })
  from!: string;

  @ApiProperty({ example: '2026-12-31' })
  to!: string;

  @ApiProperty({ required: false, description: 'Cursor of the next page; absent at the end.' })
  nextCursor?: string;
}

class LedgerBalance {
  @ApiProperty({ example: 'EUR' })
  currency!: string;

  @ApiProperty({ description: 'debit − credit', example: '100.00' })
  balance!: string;

  @ApiProperty({ required: false, description: 'The same in base currency, of a book with fx=tracked.', example: '92.00' })
  baseBalance?: string;
}

const entryUrl = {
  description: 'Where the entry is found.',
  example: '/v1/books/acme/journal-entries/0198c0de-0000-7000-8000-000000000003?knownAt=42',
};
const eventsUrl = {
  description: 'Where its events are found.',
  example: '/v1/books/acme/streams/Journal/0198c0de-0000-7000-8000-000000000003',
};
const entryId = { example: '0198c0de-0000-7000-8000-000000000003' };

class LedgerLine extends LineInBase {
  @ApiProperty({ description: 'Effective date.', example: '2026-01-15' })
  date!: string;

  @ApiProperty(entryId)
  entryId!: string;

  @ApiProperty({ example: 1 })
  line!: number;

  @ApiProperty({ description: 'Of the entry.', example: 42 })
  position!: number;

  @ApiProperty({ example: 'GENERAL/2026/17' })
  number!: string;

  @ApiProperty({ example: 'normal' })
  entryType!: string;

  @ApiProperty({ description: "The line's own text, else the entry's." })
  description!: string;

  @ApiProperty({ required: false })
  reference?: string;

  @ApiProperty({ example: 'EUR' })
  currency!: string;

  @ApiProperty({ required: false, example: '100.00' })
  debit?: string;

  @ApiProperty({ required: false, example: '100.00' })
  credit?: string;

  @ApiProperty({ description: 'debit − credit of the account in the currency after this line.', example: '220.00' })
  runningBalance!: string;

  @ApiProperty(entryUrl)
  entry!: string;

  @ApiProperty(eventsUrl)
  events!: string;
}

class LedgerAccount {
  @ApiProperty({ example: 'Assets:Cash' })
  account!: string;

  @ApiProperty({ example: 'Cash' })
  name!: string;

  @ApiProperty({ enum: accountTypes })
  type!: string;

  @ApiProperty({ type: () => [LedgerBalance], description: 'Before `from`; of the whole range on every page, as is `closing`.' })
  opening!: readonly LedgerBalance[];

  @ApiProperty({ type: () => [LedgerLine], description: 'By effective date, then position, then line.' })
  lines!: readonly LedgerLine[];

  @ApiProperty({ type: () => [LedgerBalance], description: 'At the end of `to`.' })
  closing!: readonly LedgerBalance[];

  @ApiProperty({ description: 'Where the lines are found.' })
  statement!: string;
}

export class GeneralLedgerShown extends LinesReport {
  @ApiProperty({ enum: ['fiscalYear', 'none'] })
  carry!: string;

  @ApiProperty({ enum: ['include', 'exclude'] })
  closing!: string;

  @ApiProperty({ required: false, description: 'First day of the fiscal year that income and expense count from.', example: '2026-01-01' })
  yearFrom?: string;

  @ApiProperty({ type: () => [LedgerAccount], description: 'By account code; one whose lines do not fit goes on on the next page.' })
  accounts!: readonly LedgerAccount[];

  @ApiProperty({
    required: false,
    type: () => [LedgerBalance],
    description: 'On the last page: what income and expense had in the years before, computed.',
  })
  retainedEarnings?: readonly LedgerBalance[];
}

class DocumentShown {
  @ApiProperty({ example: 'invoice' })
  type!: string;

  @ApiProperty({ example: 'INV-42' })
  number!: string;

  @ApiProperty({ example: '2026-01-15' })
  date!: string;
}

class JournalLineShown {
  @ApiProperty({ example: 1 })
  line!: number;

  @ApiProperty({ description: 'Code of the account at the position asked for.', example: 'Assets:Cash' })
  account!: string;

  @ApiProperty({ required: false, example: '100.00' })
  debit?: string;

  @ApiProperty({ required: false, example: '100.00' })
  credit?: string;

  @ApiProperty({ example: 'EUR' })
  currency!: string;

  @ApiProperty({ required: false, example: '100.00' })
  baseAmount?: string;

  @ApiProperty({ required: false })
  description?: string;
}

class JournalItem {
  @ApiProperty({ example: 'GENERAL' })
  journalCode!: string;

  @ApiProperty({ example: '2026' })
  fiscalYear!: string;

  @ApiProperty({ example: 17 })
  number!: number;

  @ApiProperty(entryId)
  id!: string;

  @ApiProperty({ example: 42 })
  position!: number;

  @ApiProperty({ example: '2026-07-02T12:00:00.000001Z' })
  recordedAt!: string;

  @ApiProperty({ description: 'Effective date.', example: '2026-01-15' })
  date!: string;

  @ApiProperty({ example: 'normal' })
  entryType!: string;

  @ApiProperty()
  description!: string;

  @ApiProperty({ required: false })
  reference?: string;

  @ApiProperty({ required: false, type: () => DocumentShown })
  document?: DocumentShown;

  @ApiProperty({ required: false, description: 'Opaque id of the caller.' })
  userId?: string;

  @ApiProperty({ required: false })
  onBehalfOf?: string;

  @ApiProperty({ required: false, description: 'Id of the entry that reversed this one.' })
  reversedBy?: string;

  @ApiProperty({ type: () => [JournalLineShown] })
  lines!: readonly JournalLineShown[];

  @ApiProperty(entryUrl)
  entry!: string;

  @ApiProperty(eventsUrl)
  events!: string;
}

export class JournalReportShown extends LinesReport {
  @ApiProperty({ required: false, description: 'As asked for.', example: 'GENERAL' })
  journalCode?: string;

  @ApiProperty({ type: () => [JournalItem], description: 'By day book, fiscal year and number.' })
  entries!: readonly JournalItem[];
}

class AccountChange {
  @ApiProperty({ example: 'Assets:Cash' })
  account!: string;

  @ApiProperty({ example: 'EUR' })
  currency!: string;

  @ApiProperty({ description: 'debit − credit of the range, as it was known.', example: '100.00' })
  before!: string;

  @ApiProperty({ example: '-20.00' })
  change!: string;

  @ApiProperty({ example: '80.00' })
  after!: string;

  @ApiProperty({ required: false, description: 'before in base currency, of a book with fx=tracked.', example: '92.00' })
  baseBefore?: string;

  @ApiProperty({ required: false, example: '-18.40' })
  baseChange?: string;

  @ApiProperty({ required: false, example: '73.60' })
  baseAfter?: string;
}

class EntryLinkShown {
  @ApiProperty({ example: 'reverses' })
  rel!: string;

  @ApiProperty(entryId)
  entryId!: string;

  @ApiProperty(entryUrl)
  entry!: string;
}

class ChangeItem {
  @ApiProperty(entryId)
  id!: string;

  @ApiProperty({ example: 42 })
  position!: number;

  @ApiProperty({ description: 'When it was recorded.', example: '2026-07-02T12:00:00.000001Z' })
  recordedAt!: string;

  @ApiProperty({ example: 'GENERAL/2026/17' })
  number!: string;

  @ApiProperty({ description: 'Effective date.', example: '2026-01-15' })
  date!: string;

  @ApiProperty({ example: 'normal' })
  entryType!: string;

  @ApiProperty()
  description!: string;

  @ApiProperty({ required: false, description: 'Opaque id of the caller.' })
  userId?: string;

  @ApiProperty({ required: false })
  onBehalfOf?: string;

  @ApiProperty({ required: false, description: 'Why.' })
  reason?: string;

  @ApiProperty({ required: false, type: () => [EntryLinkShown], description: 'What it reverses, corrects or belongs to.' })
  links?: readonly EntryLinkShown[];

  @ApiProperty({ required: false, description: 'Id of the entry that reversed this one.' })
  reversedBy?: string;

  @ApiProperty({ type: () => [AccountChange], description: 'What it did to the figures of its accounts.' })
  accounts!: readonly AccountChange[];

  @ApiProperty(entryUrl)
  entry!: string;

  @ApiProperty(eventsUrl)
  events!: string;
}

class Since {
  @ApiProperty({ example: 17 })
  position!: number;

  @ApiProperty({ required: false, description: 'Absent at position 0.', example: '2026-07-02T12:00:00.000001Z' })
  recordedAt?: string;
}

export class ChangesSinceShown extends LinesReport {
  @ApiProperty({ enum: ['include', 'exclude'] })
  closing!: string;

  @ApiProperty({ type: () => Since, description: 'What was known before the changes.' })
  since!: Since;

  @ApiProperty({ type: () => [AccountChange], description: 'By account code; all changes together, on every page.' })
  accounts!: readonly AccountChange[];

  @ApiProperty({ type: () => [ChangeItem], description: 'By position.' })
  entries!: readonly ChangeItem[];
}

class NumberGapShown {
  @ApiProperty({ example: 'GENERAL' })
  journalCode!: string;

  @ApiProperty({ example: '2026' })
  fiscalYear!: string;

  @ApiProperty({ description: 'First number that is missing.', example: 17 })
  from!: number;

  @ApiProperty({ description: 'Last number that is missing.', example: 17 })
  to!: number;

  @ApiProperty({
    enum: ['no-entry', 'not-in-log'],
    description: 'no-entry: no entry has the numbers. not-in-log: the index has an entry with the number, the log has none.',
  })
  reason!: string;

  @ApiProperty({ ...entryId, description: 'The entry with the next number, or the one that is not in the log.' })
  entryId!: string;

  @ApiProperty(entryUrl)
  entry!: string;
}

class DigitsShown {
  @ApiProperty({ description: 'The first two digits.', example: 50 })
  digits!: number;

  @ApiProperty({ description: 'Lines whose amounts begin with them.', example: 131 })
  count!: number;

  @ApiProperty({ description: 'Share of the lines.', example: '0.013100' })
  observed!: string;

  @ApiProperty({ description: "Share by Benford's law.", example: '0.008600' })
  expected!: string;

  @ApiProperty({ description: 'z-statistic with continuity correction.', example: '4.8195' })
  z!: string;

  @ApiProperty({ description: 'Whether z is above the threshold.' })
  hit!: boolean;

  @ApiProperty({ description: 'Where the entries are found.' })
  entries!: string;
}

class BenfordShown {
  @ApiProperty({ example: 'EUR' })
  currency!: string;

  @ApiProperty({ description: 'Lines that count.', example: 10_000 })
  lines!: number;

  @ApiProperty({ description: 'false below benfordLines: the members below are then absent.' })
  applicable!: boolean;

  @ApiProperty({ required: false, description: 'Mean absolute deviation of the shares.', example: '0.001100' })
  mad?: string;

  @ApiProperty({ required: false, enum: ['close', 'acceptable', 'marginal', 'nonconformity'] })
  conformity?: string;

  @ApiProperty({ required: false, example: '101.2345' })
  chiSquare?: string;

  @ApiProperty({ required: false, example: 89 })
  degreesOfFreedom?: number;

  @ApiProperty({ required: false, type: () => [DigitsShown], description: '10 to 99.' })
  digits?: readonly DigitsShown[];
}

class EntryTestResultShown {
  @ApiProperty({ enum: entryTests })
  test!: string;

  @ApiProperty({
    type: 'object',
    additionalProperties: true,
    description: 'Thresholds that it ran with.',
    example: { zeros: 3, minimum: '0' },
  })
  parameters!: object;

  @ApiProperty({ enum: ['numbers', 'lines', 'entries', 'pairs of accounts', 'digit pairs'], description: 'What is counted.' })
  of!: string;

  @ApiProperty({ description: 'How many were looked at.', example: 1_000 })
  population!: number;

  @ApiProperty({ description: 'Hits; an entry has one for each reason.', example: 3 })
  hits!: number;

  @ApiProperty({ required: false, description: 'Different users, accounts or pairs of accounts.', example: 12 })
  distinct?: number;

  @ApiProperty({ required: false, description: 'Those of them that are rare.', example: 2 })
  rare?: number;

  @ApiProperty({ required: false, description: 'Entries with more than 1,000 pairs of accounts, whose pairs are not counted.', example: 0 })
  entriesLeftOut?: number;

  @ApiProperty({ required: false, type: () => [NumberGapShown], description: 'The first 1,000.' })
  gaps?: readonly NumberGapShown[];

  @ApiProperty({ required: false, type: () => [BenfordShown], description: 'By currency.' })
  currencies?: readonly BenfordShown[];

  @ApiProperty({
    required: false,
    description: 'Lines that begin with the digits asked for; they are listed, whatever z is.',
    example: 131,
  })
  linesListed?: number;
}

class OtherEntryShown {
  @ApiProperty(entryId)
  entryId!: string;

  @ApiProperty({ example: 'GENERAL/2026/17' })
  number!: string;

  @ApiProperty({ description: 'Effective date.', example: '2026-01-15' })
  date!: string;

  @ApiProperty(entryUrl)
  entry!: string;
}

class EntryTestHitShown {
  @ApiProperty({ enum: entryTests })
  test!: string;

  @ApiProperty({ description: 'Which of the reasons of the test.', example: 'recorded' })
  reason!: string;

  @ApiProperty({ description: 'The figure that made it a hit.', example: 'Saturday 2026-03-14' })
  figure!: string;

  @ApiProperty({ required: false, description: 'Of a hit that is about a line.', example: 1 })
  line?: number;

  @ApiProperty({ required: false, example: 'Assets:Cash' })
  account?: string;

  @ApiProperty({ required: false, example: '5000.00' })
  debit?: string;

  @ApiProperty({ required: false, example: '5000.00' })
  credit?: string;

  @ApiProperty({ required: false, example: 'EUR' })
  currency?: string;

  @ApiProperty({ required: false, description: 'Of a rare pair of accounts.', example: 'Expenses:Rent' })
  debitAccount?: string;

  @ApiProperty({ required: false, example: 'Assets:Cash' })
  creditAccount?: string;

  @ApiProperty({ required: false, type: () => [OtherEntryShown], description: 'Of a duplicate: the entries with the nearest dates.' })
  others?: readonly OtherEntryShown[];
}

class TestedEntryShown extends OmitType(JournalItem, ['journalCode', 'fiscalYear', 'number', 'lines']) {
  @ApiProperty({ description: "recordedAt in the book's time zone, to the minute.", example: '2026-07-02 14:00' })
  recordedLocally!: string;

  @ApiProperty({ example: 'GENERAL/2026/17' })
  number!: string;

  @ApiProperty({ example: 'manual' })
  entryMethod!: string;

  @ApiProperty({ type: () => [EntryTestHitShown], description: 'In the order of tests, then of lines.' })
  hits!: readonly EntryTestHitShown[];
}

export class JournalEntryTestsShown extends ReportHead {
  @ApiProperty({ required: false, description: 'As asked for.', example: 'EUR' })
  currencyFilter?: string;

  @ApiProperty({ example: '2026-01-01' })
  from!: string;

  @ApiProperty({ example: '2026-12-31' })
  to!: string;

  @ApiProperty({ description: 'Time zone of the book, in which nights and weekends are told.', example: 'Europe/Berlin' })
  timeZone!: string;

  @ApiProperty({ description: 'Entries of the range; with a currency those that have a line in it.', example: 400 })
  entriesTested!: number;

  @ApiProperty({ example: 1_000 })
  linesTested!: number;

  @ApiProperty({ type: () => [EntryTestResultShown], description: 'The summary, on every page.' })
  tests!: readonly EntryTestResultShown[];

  @ApiProperty({ type: () => [TestedEntryShown], description: 'Entries with a hit, by effective date, then position.' })
  entries!: readonly TestedEntryShown[];

  @ApiProperty({ required: false, description: 'Cursor of the next page; absent at the end.' })
  nextCursor?: string;
}
