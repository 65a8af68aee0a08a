/**
 * Bodies of commands on journal entries, and what they answer. A body that has passed is the command but for the names that
 * have several spellings: account codes become NFC, ids lower case.
 */
import { ApiExtraModels, ApiProperty, getSchemaPath } from '@nestjs/swagger';
import {
  type CorrectEntry,
  type EntryContent,
  type EntryMethod,
  type EntryType,
  type ErrorCode,
  entryMethods,
  entryTypes,
  linkRelations,
  type OnClosedPeriod,
  type OnImbalance,
  onClosedPeriods,
  onImbalances,
  type PostEntry,
  type Refusals,
  type linkRelations as Relations,
  type ReverseEntry,
  type Side,
} from '#domain';
import type { Config, PostEntries } from '#ledger';
import { Recorded } from './books.dto';
import {
  Amount,
  Code,
  Currency,
  EffectiveDate,
  Flag,
  Instant,
  JournalCode,
  Listed,
  Nested,
  OneOf,
  PersonalMetadata,
  PersonalProse,
  Prose,
  Sha256,
  Text,
  Token,
  Uuid,
  Whole,
} from './members';
import { Problem } from './operation';
import type { JsonBody } from './strict-json';

/** How a text may be about a person; the command says so until what it says is sealed (Personal.protect). */
const aboutPersons = '; what is about a person as {subject: id of the party, value: text}, which is kept encrypted.';

class LineRateBody {
  @Amount({ description: 'Units of base currency for one unit of the line’s currency.', example: '1.0875' })
  value!: string;

  @EffectiveDate({ description: 'Day of the rate.', example: '2026-01-15' })
  date!: string;

  @Text(100, { description: 'Who published it.', example: 'ECB' })
  source!: string;
}

class PartyBody {
  @Text(100, {
    description: 'Id of the party; on accounts that are no control accounts also an opaque id of another system. Never a name.',
    example: 'C-1042',
  })
  id!: string;

  @Token({ description: 'What the party is.', example: 'customer' })
  kind!: string;
}

class DimensionBody {
  @Text(60, { description: 'Name of the dimension.', example: 'costCentre' })
  key!: string;

  @Text(200, { description: 'Value of the dimension.', example: '4711' })
  value!: string;
}

class TaxBody {
  @Text(60, { description: 'Tax code.', example: 'DE-19' })
  code!: string;

  @Amount({ description: 'Amount that the tax is computed on.', example: '100.00' })
  base!: string;

  @Amount({ description: 'The tax.', example: '19.00' })
  amount!: string;
}

class QuantityBody {
  @Amount({ description: 'How many.', example: '12.5' })
  value!: string;

  @Text(30, { description: 'Of what unit.', example: 'kg' })
  unit!: string;
}

export class LineBody {
  @Code({ description: 'Code of the account.', example: 'Assets:Cash' })
  account!: string;

  @OneOf(['debit', 'credit'], { description: 'The side of the account that the amount goes to.', example: 'debit' })
  side!: Side;

  @Amount({
    description: 'Plain decimal above 0 with at most the decimals of the currency (0 is allowed beside a base amount, tax or a quantity).',
    example: '100.00',
  })
  amount!: string;

  @Currency({ description: 'ISO 4217, or declared in the book.', example: 'EUR' })
  currency!: string;

  @Amount({
    optional: true,
    description:
      'The amount in base currency. Where the book has fx=tracked a line in another currency is converted at its `rate` when this is left out, or at the spot rate that the book has.',
    example: '108.75',
  })
  baseAmount?: string;

  @Nested(() => LineRateBody, { optional: true, description: 'The exchange rate behind the base amount.' })
  rate?: LineRateBody;

  @PersonalProse(1000, { optional: true, description: `Text of the line${aboutPersons}`, example: 'Invoice 42' })
  description?: string;

  @Nested(() => PartyBody, { optional: true, description: 'Customer, supplier or other party.' })
  party?: PartyBody;

  @Listed(() => DimensionBody, 50, { optional: true, description: 'Cost centre, project and the like.' })
  dimensions?: readonly DimensionBody[];

  @Listed(() => TaxBody, 20, { optional: true, description: 'Taxes that the line is about.' })
  tax?: readonly TaxBody[];

  @Nested(() => QuantityBody, { optional: true, description: 'How many of what.' })
  quantity?: QuantityBody;

  @EffectiveDate({ optional: true, description: 'When it is due.', example: '2026-02-14' })
  dueDate?: string;

  @EffectiveDate({ optional: true, description: 'When the bank counts it.', example: '2026-01-16' })
  valueDate?: string;

  @Text(200, { optional: true, description: 'Reference of the line.', example: 'INV-42' })
  reference?: string;

  @Text(200, { optional: true, description: 'Where the line comes from, when it was computed.', example: 'allocation-7' })
  origin?: string;
}

class DocumentBody {
  @Text(60, { description: 'Kind of document.', example: 'invoice' })
  type!: string;

  @Text(100, { description: 'Its number.', example: 'INV-42' })
  number!: string;

  @EffectiveDate({ description: 'The date on it.', example: '2026-01-14' })
  date!: string;

  @Text(1000, { optional: true, description: 'Where it is kept.', example: 'https://example.org/invoices/42.pdf' })
  uri?: string;

  @Sha256({ optional: true, description: 'Its SHA-256.', example: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' })
  sha256?: string;
}

class OriginalBody {
  @Text(100, { optional: true, description: 'Its journal in the other system.' })
  journal?: string;

  @Text(100, { optional: true, description: 'Its number in the other system.' })
  number?: string;

  @Text(100, { optional: true, description: 'Opaque id of who entered it.' })
  enteredBy?: string;

  @Instant({ optional: true, description: 'When it was entered.', example: '2026-01-15T09:30:00Z' })
  enteredAt?: string;

  @Text(100, { optional: true, description: 'Opaque id of who approved it.' })
  approvedBy?: string;

  @Instant({ optional: true, description: 'When it was approved.', example: '2026-01-15T10:00:00Z' })
  approvedAt?: string;
}

class SourceBody {
  @Text(100, { description: 'The system that the entry comes from.', example: 'shop' })
  system!: string;

  @Text(200, { description: 'Its id there.', example: 'order-1042' })
  id!: string;

  @Nested(() => OriginalBody, { optional: true, description: 'What the other system recorded about it.' })
  original?: OriginalBody;
}

class LinkBody {
  @OneOf(linkRelations, { description: 'What this entry is to the other.', example: 'settles' })
  rel!: (typeof Relations)[number];

  @Uuid({ description: 'Id of the other entry.', example: '0198c0de-0000-7000-8000-000000000002' })
  entryId!: string;
}

const optional = true;

/** What an entry has beside date and text; the same in every command that posts one. */
export class EntryMembers {
  @JournalCode({ optional, description: 'Day book.', example: 'GENERAL', default: 'GENERAL' })
  journalCode?: string;

  @Text(200, { optional, description: 'Reference of the entry.', example: 'INV-42' })
  reference?: string;

  @Nested(() => DocumentBody, { optional, description: 'The source document.' })
  document?: DocumentBody;

  @OneOf(entryTypes, { optional, description: 'What kind of entry it is.', default: 'normal' })
  entryType?: EntryType;

  @OneOf(entryMethods, { optional, description: 'How it came to be.', default: 'interface' })
  entryMethod?: EntryMethod;

  @Nested(() => SourceBody, { optional, description: 'The system that it comes from.' })
  source?: SourceBody;

  @EffectiveDate({ optional, description: 'The date that was asked for, when effectiveDate had to be another.' })
  requestedDate?: string;

  @Whole(1, 400, {
    optional,
    description: 'Number of an adjustment period that the date lies in, such as a 13th one; else the entry goes to the normal period.',
    example: 13,
  })
  adjustmentPeriod?: number;

  @OneOf(onImbalances, {
    optional,
    description:
      'currency_conversion: what debits and credits differ by in each currency is added, as marked lines, on the account designated for it.',
    default: 'refuse',
  })
  onImbalance?: OnImbalance;

  @Listed(() => LinkBody, 100, { optional, description: 'Other entries that it has to do with.' })
  links?: readonly LinkBody[];

  @Listed(() => LineBody, 0, { description: 'Two or more; debits and credits are equal per currency (I1).' })
  lines!: readonly LineBody[];

  @PersonalMetadata({
    optional,
    description:
      "The caller's own data: strings, booleans, arrays, objects and safe integers, at most 8 levels and 8 KiB. An object of nothing but `subject` (id of a party) and `value` is a text about that person, and kept encrypted; one that has both and is no such text is refused.",
  })
  metadata?: Record<string, unknown>;
}

/** What the author of an entry says, but for why. */
export class WrittenEntry extends EntryMembers {
  @EffectiveDate({
    description: 'Posting date, chosen by the caller; earlier ones are welcome as long as their period is open.',
    example: '2026-01-15',
  })
  effectiveDate!: string;

  @PersonalProse(1000, { description: `Text of the entry${aboutPersons}`, example: 'Sale of goods, invoice 42' })
  description!: string;
}

export class EntryBody extends WrittenEntry {
  @Prose(500, { optional, description: 'Why: stands in every event of the command.' })
  reason?: string;

  @OneOf(onClosedPeriods, {
    optional,
    description:
      'first_open_day: an entry whose date lies in a closed period is posted on the first open day, and `requestedDate` keeps the date.',
    default: 'refuse',
  })
  onClosedPeriod?: OnClosedPeriod;
}

export class BatchBody {
  @Flag({ description: 'true: all entries or none. false: each on its own.', example: false })
  atomic!: boolean;

  @Listed(() => EntryBody, 0, { description: 'The entries, in the order in which they are to be posted.' })
  entries!: readonly EntryBody[];
}

export class ReverseBody {
  @EffectiveDate({
    optional,
    description:
      'Date of the reversal; else the later of the original date and today, moved to the first open day, and with `adjustmentPeriod` the original date.',
  })
  effectiveDate?: string;

  @OneOf(onClosedPeriods, {
    optional,
    description:
      'first_open_day: where `effectiveDate` lies in a closed period, the reversal is posted on the first open day, and its `requestedDate` keeps the date.',
    default: 'refuse',
  })
  onClosedPeriod?: OnClosedPeriod;

  @Whole(1, 400, {
    optional,
    description:
      'Number of an adjustment period, such as a 13th one, that the date lies in: where an entry of that period is taken back in it. Without `effectiveDate` on the date of the original.',
    example: 13,
  })
  adjustmentPeriod?: number;

  @Prose(500, { description: 'Why it is reversed.', example: 'Entered twice' })
  reason!: string;

  @PersonalProse(1000, { optional, description: `Text of the reversal${aboutPersons} Else it names the original.` })
  description?: string;
}

export class CorrectBody extends EntryMembers {
  @EffectiveDate({
    optional,
    description:
      'Date of reversal and replacement; else the later of the original date and today, moved to the first open day, and with `adjustmentPeriod`, which counts for both, the original date.',
  })
  effectiveDate?: string;

  @OneOf(onClosedPeriods, {
    optional,
    description:
      'first_open_day: where `effectiveDate` lies in a closed period, reversal and replacement are posted on the first open day, and their `requestedDate` keeps the date.',
    default: 'refuse',
  })
  onClosedPeriod?: OnClosedPeriod;

  @PersonalProse(1000, { optional, description: `Text of the replacement${aboutPersons} Else that of the original.` })
  description?: string;

  @Prose(500, { description: 'Why it is corrected.', example: 'Wrong account' })
  reason!: string;
}

// --- From bodies to commands ---

export function content<T extends EntryMembers>(body: T): T {
  const lines = body.lines.map((line) => {
    const account = line.account.normalize('NFC');
    return account === line.account ? line : { ...line, account };
  });
  const links = body.links?.map(({ rel, entryId }) => ({ rel, entryId: entryId.toLowerCase() }));
  return links === undefined ? { ...body, lines } : { ...body, lines, links };
}

export const postEntry = (body: EntryBody): PostEntry => ({ ...content(body), type: 'PostEntry' });
export const postEntries = ({ atomic, entries }: BatchBody): PostEntries => ({
  type: 'PostEntries',
  atomic,
  entries: entries.map((entry): EntryContent => content(entry)),
});
export const reverseEntry = (body: ReverseBody, entryId: string): ReverseEntry => ({ ...body, type: 'ReverseEntry', entryId });
export const correctEntry = (body: CorrectBody, entryId: string): CorrectEntry => ({ ...content(body), type: 'CorrectEntry', entryId });

// --- What may be said to them ---

/** What the rules of a book may say to an entry. */
export const entryRefusals: readonly ErrorCode[] = [
  'amount_not_string',
  'amount_format',
  'date_invalid',
  'book_unknown',
  'account_unknown',
  'journal_unknown',
  'currency_unknown',
  'currency_not_allowed',
  'scale_exceeded',
  'amount_range',
  'base_amount_required',
  'account_not_designated',
  'party_unknown',
  'party_required',
  'party_kind',
  'party_closed',
  'person_erased',
  'too_few_lines',
  'unbalanced',
  'no_fiscal_year',
  'before_book_start',
  'period_closed',
  'account_not_postable',
  'account_frozen',
  'account_closed',
  'limit_exceeded',
  'keys_unavailable',
];

// --- Limits that configuration sets ---

type Limits = Pick<Config, 'LINES_PER_ENTRY' | 'ENTRIES_PER_BATCH' | 'ENTRY_BYTES'>;

export function limitEntry({ lines }: EntryMembers, limits: Limits, refusals: Refusals, at = ''): void {
  if (lines.length > limits.LINES_PER_ENTRY) tooLarge(refusals, `${at}lines`, `${lines.length} lines`, limits.LINES_PER_ENTRY);
}

export function limitBatch({ entries }: BatchBody, limits: Limits, refusals: Refusals, { bytes }: JsonBody): void {
  if (entries.length > limits.ENTRIES_PER_BATCH) tooLarge(refusals, 'entries', `${entries.length} entries`, limits.ENTRIES_PER_BATCH);
  for (const [index, entry] of entries.entries()) {
    limitEntry(entry, limits, refusals, `entries.${index}.`);
    // Only a body of more bytes than one entry may have can hold such an entry.
    const size = bytes > limits.ENTRY_BYTES ? Buffer.byteLength(JSON.stringify(entry)) : 0;
    if (size > limits.ENTRY_BYTES) tooLarge(refusals, `entries.${index}`, `${size} bytes`, limits.ENTRY_BYTES);
  }
}

function tooLarge(refusals: Refusals, member: string, what: string, limit: number): void {
  refusals.note('too_large', () => `${member} has ${what}; ${limit} are allowed`, { member, limit });
}

// --- Answers ---

export class EntryPosted extends Recorded {
  @ApiProperty({ description: 'Names the stream of the entry.', example: '0198c0de-0000-7000-8000-000000000003' })
  id!: string;

  @ApiProperty({ description: 'Gap-free per day book and fiscal year.', example: 17 })
  number!: number;
}

export class EntryCorrected extends EntryPosted {
  @ApiProperty({ type: () => EntryPosted, description: 'The reversal of the original; the answer itself is about the replacement.' })
  reversal!: EntryPosted;
}

class Refused {
  @ApiProperty({ type: () => Problem, description: 'Why this entry was not posted.' })
  problem!: Problem;
}

@ApiExtraModels(EntryPosted, Refused)
export class BatchPosted {
  @ApiProperty({
    type: 'array',
    items: { oneOf: [{ $ref: getSchemaPath(EntryPosted) }, { $ref: getSchemaPath(Refused) }] },
    description: 'One per entry, in order.',
  })
  results!: (EntryPosted | Refused)[];
}
