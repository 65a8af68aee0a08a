/** What can be asked in a query string, and what is answered: the shapes that Queries returns, told to OpenAPI. */

import { ApiProperty } from '@nestjs/swagger';
import { accountTypes, controlKinds, type EntryMethod, type EntryType, entryMethods, entryTypes } from '#domain';
import { AccountLimit, Mapping } from './accounts.dto';
import { FiscalYearShown, JournalShown, LegalEntity, Period } from './books.dto';
import { EntryMembers, LineBody } from './journal-entries.dto';
import {
  Code,
  Currency,
  DimensionFilter,
  EffectiveDate,
  FlagText,
  FormatNames,
  JournalCode,
  KnownAt,
  OneOf,
  Text,
  WholeText,
  YearLabel,
} from './members';
import { ReopeningShown } from './periods.dto';

const optional = true;
const knownAt = {
  optional,
  description:
    'A position, an RFC 3339 instant, or the close of a period (close:2026-06, hard-close:2026-06): as known then. The head when left out.',
  example: '2026-07-02T12:00:00Z',
} as const;
const asOf = { optional, description: 'Lines up to the end of this date. Without limit when left out.', example: '2026-06-30' } as const;

// --- Questions ---

/** What income and expense start from, of reports that have a first day. */
export const carryChoice = OneOf(['fiscalYear', 'none'], {
  optional,
  description: 'fiscalYear: income and expense start at 0 in the fiscal year of the first day. none: amounts since inception.',
  default: 'fiscalYear',
});
export const closingChoice = (byDefault: 'include' | 'exclude') =>
  OneOf(['include', 'exclude'], {
    optional,
    description: 'Whether closing entries dated in a column (and their reversals) count.',
    default: byDefault,
  });
export const dimensionFilter = {
  optional,
  description: 'Only lines with this dimension, `key:value`; given several times, with all of them.',
} as const;

/** Of every list. */
export class PageQuery {
  @Text(2000, { optional, description: '`nextCursor` of the page before; goes with the same filters only.' })
  cursor?: string;

  @WholeText(1, 1000, { optional, description: 'Rows of a page.', default: 100, example: 100 })
  limit?: string;
}

export class KnownQuery {
  @KnownAt(knownAt)
  knownAt?: string;
}

export class ExportQuery extends KnownQuery {
  @EffectiveDate({
    optional,
    description: 'Only entries effective on or after this day; balances before it are openings.',
    example: '2026-01-01',
  })
  from?: string;

  @EffectiveDate({ optional, description: 'Only entries effective on or before this day.', example: '2026-12-31' })
  to?: string;
}

export class AuditPackQuery extends KnownQuery {
  @EffectiveDate({ optional, description: 'First effective date of the reports.', example: '2026-01-01' })
  from?: string;

  @EffectiveDate({ optional, description: 'Last effective date of the reports.', example: '2026-12-31' })
  to?: string;

  @Text(41, { optional, description: 'Instead of both: a fiscal year or one of its periods.', example: '2026' })
  period?: string;

  @KnownAt({ optional, description: 'Since when changes are told; the pack that was built last when left out.', example: '40' })
  since?: string;

  @FormatNames({ optional, description: 'Export formats to pack too; may be given several times.' })
  format?: string | string[];
}

export class KnownPageQuery extends PageQuery {
  @KnownAt(knownAt)
  knownAt?: string;
}

export class BalanceQuery extends KnownQuery {
  @EffectiveDate(asOf)
  asOf?: string;
}

export class BalancesQuery extends KnownPageQuery {
  @EffectiveDate(asOf)
  asOf?: string;

  @FlagText({ optional, description: 'Also accounts whose balance is zero.', default: false })
  includeZero?: string;
}

export class StatementQuery extends KnownPageQuery {
  @EffectiveDate({ optional, description: 'First day of the statement.', example: '2026-01-01' })
  from?: string;

  @EffectiveDate({ optional, description: 'Last day of the statement.', example: '2026-06-30' })
  to?: string;

  @Currency({ optional, description: 'Only this currency.', example: 'EUR' })
  currency?: string;

  @carryChoice
  carry?: string;

  @closingChoice('include')
  closing?: string;

  @DimensionFilter(dimensionFilter)
  dimension?: string | string[];

  @OneOf(['json', 'csv'], { optional, description: 'Also by `Accept: text/csv`. CSV comes whole, JSON in pages.', default: 'json' })
  format?: string;

  @WholeText(1, 1000, { optional, description: 'Version of the statement; the newest when left out.', example: 1 })
  reportVersion?: string;
}

export class EntriesQuery extends KnownPageQuery {
  @EffectiveDate({ optional, description: 'Effective on or after.', example: '2026-01-01' })
  from?: string;

  @EffectiveDate({ optional, description: 'Effective on or before.', example: '2026-06-30' })
  to?: string;

  @Code({ optional, description: 'With a line on this account.', example: 'Assets:Cash' })
  account?: string;

  @JournalCode({ optional, description: 'In this day book.', example: 'GENERAL' })
  journalCode?: string;

  @OneOf(entryTypes, { optional, description: 'Of this kind.' })
  entryType?: string;

  @Text(200, { optional, description: 'With exactly this reference.', example: 'INV-42' })
  reference?: string;

  @WholeText(1, Number.MAX_SAFE_INTEGER, { optional, description: 'With this number; needs fiscalYear.', example: 17 })
  number?: string;

  @YearLabel({ optional, description: 'In this fiscal year.', example: '2026' })
  fiscalYear?: string;

  @OneOf(['position', 'effectiveDate'], { optional, description: 'Order of the list.', default: 'position' })
  sort?: string;
}

export class EventsQuery {
  @WholeText(0, Number.MAX_SAFE_INTEGER, {
    optional,
    description: 'Events behind this position (of a stream: behind this version).',
    default: 0,
  })
  after?: string;

  @WholeText(1, 1000, { optional, description: 'At most so many.', default: 100 })
  limit?: string;
}

/** A number of a query, which is text that was checked. */
export const whole = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text));

// --- Answers ---

const position = { description: 'The position that the answer holds for; at this position it never changes.', example: 42 };
const metadata = { selfRequired: false, type: 'object' as const, additionalProperties: true, description: "The caller's own data." };
const nextCursor = { required: false, description: 'Cursor of the next page; absent at the end.' };

export class BookShown {
  @ApiProperty({ example: 'acme' })
  id!: string;

  @ApiProperty({ example: 'Acme GmbH' })
  name!: string;

  @ApiProperty({ required: false, type: () => LegalEntity })
  entity?: LegalEntity;

  @ApiProperty({ required: false, example: 'hgb' })
  framework?: string;

  @ApiProperty({ example: 'EUR' })
  baseCurrency!: string;

  @ApiProperty({ enum: ['untracked', 'tracked'] })
  fx!: string;

  @ApiProperty({ enum: ['half_even', 'half_away_from_zero'] })
  rounding!: string;

  @ApiProperty({ example: 'Europe/Berlin' })
  timeZone!: string;

  @ApiProperty({ required: false, example: '2026-01-01' })
  startsOn?: string;

  @ApiProperty({ example: '01-01' })
  fiscalYearStart!: string;

  @ApiProperty(metadata)
  metadata?: Record<string, unknown>;

  @ApiProperty({ type: () => [FiscalYearShown], required: false, description: 'Left out of the list of books.' })
  fiscalYears?: readonly FiscalYearShown[];

  @ApiProperty(position)
  position!: number;
}

export class BooksPage {
  @ApiProperty({ type: () => [BookShown] })
  books!: readonly BookShown[];

  @ApiProperty(nextCursor)
  nextCursor?: string;
}

class CurrencyShown {
  @ApiProperty({ example: 'BTC' })
  code!: string;

  @ApiProperty({ example: 8 })
  scale!: number;
}

export class CurrenciesShown {
  @ApiProperty(position)
  position!: number;

  @ApiProperty({ type: () => [CurrencyShown] })
  currencies!: readonly CurrencyShown[];
}

export class JournalsShown {
  @ApiProperty(position)
  position!: number;

  @ApiProperty({ type: () => [JournalShown] })
  journals!: readonly JournalShown[];
}

class PeriodStatus extends Period {
  @ApiProperty({ enum: ['open', 'soft_closed', 'hard_closed'] })
  status!: string;

  @ApiProperty({ required: false, type: () => ReopeningShown, description: 'Somebody asks for it to be reopened.' })
  reopening?: ReopeningShown;
}

class FiscalYearStatus {
  @ApiProperty({ example: '2026' })
  label!: string;

  @ApiProperty({ example: '2026-01-01' })
  from!: string;

  @ApiProperty({ example: '2026-12-31' })
  to!: string;

  @ApiProperty({ type: () => [PeriodStatus] })
  periods!: readonly PeriodStatus[];
}

export class FiscalYearsShown {
  @ApiProperty(position)
  position!: number;

  @ApiProperty({ type: () => [FiscalYearStatus] })
  fiscalYears!: readonly FiscalYearStatus[];
}

class AccountMembers {
  @ApiProperty({ example: '0198c0de-0000-7000-8000-000000000001' })
  id!: string;

  @ApiProperty({ description: 'The code valid at the position.', example: 'Assets:Cash' })
  code!: string;

  @ApiProperty({ example: 'Cash' })
  name!: string;

  @ApiProperty({ enum: accountTypes })
  type!: string;

  @ApiProperty({ required: false, example: 'cash' })
  subtype?: string;

  @ApiProperty({ enum: ['debit', 'credit'] })
  normalSide!: string;

  @ApiProperty({ description: 'false: a header account, which takes no lines.' })
  postable!: boolean;

  @ApiProperty({ enum: ['open', 'frozen', 'closed'] })
  status!: string;

  @ApiProperty({ required: false, description: 'Code of the parent.', example: 'Assets' })
  parent?: string;

  @ApiProperty({ required: false, type: [String] })
  currencies?: readonly string[];

  @ApiProperty({ required: false })
  subledger?: string;

  @ApiProperty({ required: false, enum: controlKinds, description: 'Of a control account: the kind of party that its lines name.' })
  control?: string;

  @ApiProperty({ required: false, type: () => [AccountLimit] })
  limits?: readonly AccountLimit[];

  @ApiProperty({ required: false })
  cashFlow?: string;

  @ApiProperty({ required: false, type: () => [Mapping] })
  mappings?: readonly Mapping[];

  @ApiProperty(metadata)
  metadata?: Record<string, unknown>;
}

export class AccountShown extends AccountMembers {
  @ApiProperty({ required: false, type: String, description: 'As asked for.' })
  knownAt?: string | number;

  @ApiProperty(position)
  position!: number;
}

export class AccountsPage {
  @ApiProperty({ required: false, type: String, description: 'As asked for.' })
  knownAt?: string | number;

  @ApiProperty(position)
  position!: number;

  @ApiProperty({ type: () => [AccountMembers] })
  accounts!: readonly AccountMembers[];

  @ApiProperty(nextCursor)
  nextCursor?: string;
}

class CurrencyBalance {
  @ApiProperty({ example: 'EUR' })
  currency!: string;

  @ApiProperty({ example: '120.00' })
  debit!: string;

  @ApiProperty({ example: '20.00' })
  credit!: string;

  @ApiProperty({ description: 'debit − credit', example: '100.00' })
  net!: string;

  @ApiProperty({ description: "net in the sign of the account's normal side", example: '100.00' })
  balance!: string;

  @ApiProperty({ required: false, description: 'In base currency, as the lines state it; of a book with fx=tracked.', example: '110.40' })
  baseDebit?: string;

  @ApiProperty({ required: false, example: '18.40' })
  baseCredit?: string;

  @ApiProperty({ required: false, description: 'baseDebit − baseCredit', example: '92.00' })
  baseNet?: string;

  @ApiProperty({ required: false, description: "baseNet in the sign of the account's normal side", example: '92.00' })
  baseBalance?: string;
}

/** Of a line with running balance. */
export class LineInBase {
  @ApiProperty({ required: false, description: 'In base currency, of a debit line in a book with fx=tracked.', example: '92.00' })
  baseDebit?: string;

  @ApiProperty({ required: false, description: 'The same of a credit line.', example: '92.00' })
  baseCredit?: string;

  @ApiProperty({
    required: false,
    description: "In base currency, of the account's lines in this line's currency, in the sign of runningBalance.",
    example: '202.40',
  })
  runningBaseBalance?: string;
}

class AsKnown {
  @ApiProperty({ required: false, description: 'As asked for.', example: '2026-06-30' })
  asOf?: string;

  @ApiProperty({ required: false, type: String, description: 'As asked for.' })
  knownAt?: string | number;

  @ApiProperty(position)
  position!: number;
}

export class BalanceShown extends AsKnown {
  @ApiProperty({ example: 'Assets:Cash' })
  account!: string;

  @ApiProperty({ type: () => [CurrencyBalance], description: 'One per currency that a line was in.' })
  balances!: readonly CurrencyBalance[];
}

class AccountBalance extends CurrencyBalance {
  @ApiProperty({ example: 'Assets:Cash' })
  account!: string;
}

export class BalancesPage extends AsKnown {
  @ApiProperty({ type: () => [AccountBalance], description: 'By account code, then currency.' })
  balances!: readonly AccountBalance[];

  @ApiProperty(nextCursor)
  nextCursor?: string;
}

class StatementLine extends LineInBase {
  @ApiProperty({ description: 'Effective date.', example: '2026-01-15' })
  date!: string;

  @ApiProperty({ example: 42 })
  position!: number;

  @ApiProperty({ example: '0198c0de-0000-7000-8000-000000000003' })
  entryId!: string;

  @ApiProperty({ example: 1 })
  line!: number;

  @ApiProperty({ example: 'GENERAL' })
  journalCode!: string;

  @ApiProperty({ example: '2026' })
  fiscalYear!: string;

  @ApiProperty({ example: 17 })
  number!: number;

  @ApiProperty({ description: "The line's own text, else the entry's." })
  description!: string;

  @ApiProperty({ required: false })
  reference?: string;

  @ApiProperty({ enum: ['debit', 'credit'] })
  side!: string;

  @ApiProperty({ example: '100.00' })
  amount!: string;

  @ApiProperty({ example: 'EUR' })
  currency!: string;

  @ApiProperty({ description: "Balance of the currency after this line, in the sign of the account's normal side.", example: '220.00' })
  runningBalance!: string;

  @ApiProperty({
    description: 'Where the entry is found.',
    example: '/v1/books/acme/journal-entries/0198c0de-0000-7000-8000-000000000003?knownAt=42',
  })
  entry!: string;

  @ApiProperty({
    description: 'Where its events are found.',
    example: '/v1/books/acme/streams/Journal/0198c0de-0000-7000-8000-000000000003',
  })
  events!: string;
}

export class StatementPage {
  @ApiProperty({ example: 'Assets:Cash' })
  account!: string;

  @ApiProperty({ example: '2026-01-01' })
  from!: string;

  @ApiProperty({ example: '2026-06-30' })
  to!: string;

  @ApiProperty({ enum: ['fiscalYear', 'none'] })
  carry!: string;

  @ApiProperty({
    required: false,
    description: 'First day of the fiscal year that an income or expense account counts from.',
    example: '2026-01-01',
  })
  yearFrom?: string;

  @ApiProperty({ enum: ['include', 'exclude'], description: 'Whether closing entries dated in the range count.' })
  closingEntries!: string;

  @ApiProperty({ required: false, description: 'As asked for.', example: 'EUR' })
  currencyFilter?: string;

  @ApiProperty({ required: false, type: [String], description: 'As asked for, sorted.', example: ['costCenter:4711'] })
  dimensions?: readonly string[];

  @ApiProperty(position)
  position!: number;

  @ApiProperty({
    type: () => [CurrencyBalance],
    description: 'Before `from`: of all lines, of an income or expense account of those since `yearFrom`.',
  })
  opening!: readonly CurrencyBalance[];

  @ApiProperty({ type: () => [StatementLine], description: 'By effective date, then position, then line.' })
  lines!: readonly StatementLine[];

  @ApiProperty({ type: () => [CurrencyBalance], description: 'At the end of `to`; of the whole statement on every page.' })
  closing!: readonly CurrencyBalance[];

  @ApiProperty(nextCursor)
  nextCursor?: string;

  @ApiProperty({ description: 'With the position this names the bytes of the answer.', example: 1 })
  reportVersion!: number;
}

class PostedLine extends LineBody {
  @ApiProperty({ description: '1..n for ever: (entryId, line) is an address.', example: 1 })
  line!: number;

  @ApiProperty({ example: '0198c0de-0000-7000-8000-000000000001' })
  accountId!: string;

  @ApiProperty({ description: 'Code of the account at the position asked for.', example: 'Assets:Cash' })
  override account!: string;

  @ApiProperty({ description: 'Code of the account when the line was posted.', example: 'Assets:Cash' })
  code!: string;
}

export class EntryShown extends EntryMembers {
  @ApiProperty({ example: '0198c0de-0000-7000-8000-000000000003' })
  id!: string;

  @ApiProperty({ example: 42 })
  position!: number;

  @ApiProperty({ example: '2026-07-02T12:00:00.000001Z' })
  recordedAt!: string;

  @ApiProperty({ required: false, description: 'Opaque id of the caller.' })
  userId?: string;

  @ApiProperty({ example: 'GENERAL' })
  override journalCode!: string;

  @ApiProperty({ example: '2026' })
  fiscalYear!: string;

  @ApiProperty({ example: 1 })
  period!: number;

  @ApiProperty({ example: 17 })
  number!: number;

  @ApiProperty({ enum: entryTypes })
  override entryType!: EntryType;

  @ApiProperty({ enum: entryMethods })
  override entryMethod!: EntryMethod;

  @ApiProperty({ example: '2026-01-15' })
  effectiveDate!: string;

  @ApiProperty({ example: 'Sale of goods, invoice 42' })
  description!: string;

  @ApiProperty({ type: () => [PostedLine] })
  override lines!: readonly PostedLine[];

  @ApiProperty({ required: false, description: 'Id of the entry that reversed this one.' })
  reversedBy?: string;
}

export class EntriesPage {
  @ApiProperty({ required: false, type: String, description: 'As asked for.' })
  knownAt?: string | number;

  @ApiProperty(position)
  position!: number;

  @ApiProperty({ type: () => [EntryShown] })
  entries!: readonly EntryShown[];

  @ApiProperty(nextCursor)
  nextCursor?: string;
}

class EventShown {
  @ApiProperty({ example: '0198c0de-0000-7000-8000-000000000009' })
  eventId!: string;

  @ApiProperty({ example: 'JournalEntryPosted' })
  eventType!: string;

  @ApiProperty({ example: 1 })
  eventVersion!: number;

  @ApiProperty({ example: 'acme' })
  bookId!: string;

  @ApiProperty({ example: 'Journal' })
  aggregateType!: string;

  @ApiProperty({ example: '0198c0de-0000-7000-8000-000000000003' })
  aggregateId!: string;

  @ApiProperty({ example: 1 })
  version!: number;

  @ApiProperty({ example: 42 })
  position!: number;

  @ApiProperty({ example: '2026-07-02T12:00:00.000001Z' })
  recordedAt!: string;

  @ApiProperty({ required: false, description: 'Opaque id of the caller.' })
  userId?: string;

  @ApiProperty({ type: 'object', additionalProperties: true, description: 'Of this version of the event type, as stored.' })
  data!: Record<string, unknown>;

  @ApiProperty({ type: 'object', additionalProperties: true })
  metadata!: Record<string, unknown>;

  @ApiProperty({ description: 'SHA-256(0x00 ‖ RFC 8785 form of the envelope without leafHash), hexadecimal.' })
  leafHash!: string;
}

export class StreamShown {
  @ApiProperty({ example: 'Journal' })
  aggregateType!: string;

  @ApiProperty({ example: '0198c0de-0000-7000-8000-000000000003' })
  aggregateId!: string;

  @ApiProperty({ type: () => [EventShown], description: 'By version.' })
  events!: readonly EventShown[];
}

export class EventsShown {
  @ApiProperty({ description: 'Position of the head of the log.', example: 42 })
  position!: number;

  @ApiProperty({ type: () => [EventShown] })
  events!: readonly EventShown[];
}
