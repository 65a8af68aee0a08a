/** Bodies of commands on a book and its calendar, day books and currencies, and what they answer. */
import { ApiProperty, IntersectionType } from '@nestjs/swagger';
import { type DefineFiscalYear, type DefineJournal, type EnableCurrency, journalTypes, type OpenBook, scaleMax } from '#domain';
import {
  BookId,
  Country,
  Currency,
  EffectiveDate,
  JournalCode,
  Listed,
  Metadata,
  MonthDay,
  Nested,
  OneOf,
  Prose,
  Text,
  Texts,
  TimeZone,
  Token,
  Whole,
  YearLabel,
} from './members';

const reason = { optional: true, description: 'Why: stands in every event of the command.' } as const;
const caller = {
  optional: true,
  description: "The caller's own data: strings, booleans, arrays, objects and safe integers, at most 8 levels and 8 KiB.",
} as const;

export class LegalEntity {
  @Text(200, { description: 'Name of the legal entity as registered.', example: 'Example GmbH' })
  legalName!: string;

  @Text(100, { optional: true, description: 'Number in the commercial register.', example: 'HRB 12345' })
  registrationNumber?: string;

  @Texts(20, 100, { optional: true, description: 'Tax numbers, VAT id among them.', example: ['DE123456789'] })
  taxNumbers?: readonly string[];

  @Country({ description: 'Country, ISO 3166-1 alpha-2.', example: 'DE' })
  country!: string;

  @Prose(500, { optional: true, description: 'Postal address.', example: 'Musterstrasse 1\n10115 Berlin' })
  address?: string;
}

export class OpenBookBody {
  @BookId({ description: 'Chosen once, never renamed or reused.', example: 'acme' })
  id!: string;

  @Text(200, { description: 'Name of the book.', example: 'Acme GmbH' })
  name!: string;

  @Nested(() => LegalEntity, { optional: true, description: 'The legal entity whose books these are.' })
  entity?: LegalEntity;

  @Token({ optional: true, description: 'Accounting framework.', example: 'hgb' })
  framework?: string;

  @Currency({ description: 'Currency of reports: ISO 4217, or one of your own with `baseCurrencyScale`.', example: 'EUR' })
  baseCurrency!: string;

  @Whole(0, scaleMax, {
    optional: true,
    description: 'Decimals of the base currency: needed for a currency of your own, allowed for more than ISO 4217 has. Final.',
    example: 2,
  })
  baseCurrencyScale?: number;

  @OneOf(['untracked', 'tracked'], {
    optional: true,
    description: 'tracked: lines in other currencies carry their amount in base currency, which balances too (I1).',
    default: 'untracked',
  })
  fx?: 'untracked' | 'tracked';

  @OneOf(['half_even', 'half_away_from_zero'], { optional: true, description: 'How computed amounts are rounded.', default: 'half_even' })
  rounding?: OpenBook['rounding'];

  @TimeZone({ optional: true, description: 'IANA time zone: decides which date is today.', example: 'Europe/Berlin', default: 'UTC' })
  timeZone?: string;

  @EffectiveDate({ optional: true, description: 'No entry may have an earlier effective date.', example: '2026-01-01' })
  startsOn?: string;

  @MonthDay({ description: 'First day of the fiscal year.', example: '01-01' })
  fiscalYearStart!: string;

  @Prose(500, reason)
  reason?: string;

  @Metadata(caller)
  metadata?: Record<string, unknown>;
}

export const openBook = (body: OpenBookBody): OpenBook => ({ ...body, type: 'OpenBook' });

export class EnableCurrencyBody {
  @Currency({ description: 'A code of your own, or an ISO 4217 code that needs more decimals than the standard has.', example: 'BTC' })
  code!: string;

  @Whole(0, scaleMax, { description: 'Decimals. Final once enabled or used.', example: 8 })
  scale!: number;

  @Prose(500, reason)
  reason?: string;
}

export const enableCurrency = (body: EnableCurrencyBody): EnableCurrency => ({ ...body, type: 'EnableCurrency' });

export class DefineJournalBody {
  @JournalCode({ description: 'Code of the day book.', example: 'SALES' })
  journalCode!: string;

  @Text(200, { description: 'Name of the day book.', example: 'Sales journal' })
  name!: string;

  @OneOf(journalTypes, { optional: true, description: 'What is recorded in it.', example: 'sales', default: 'other' })
  type?: DefineJournal['journalType'];

  @Prose(500, reason)
  reason?: string;
}

export const defineJournal = ({ type, ...body }: DefineJournalBody): DefineJournal => ({
  ...body,
  type: 'DefineJournal',
  ...(type === undefined ? {} : { journalType: type }),
});

export class Period {
  @Whole(1, 400, { description: 'Consecutive number within the year, from 1.', example: 1 })
  no!: number;

  @EffectiveDate({ description: 'First day.', example: '2026-01-01' })
  from!: string;

  @EffectiveDate({ description: 'Last day.', example: '2026-01-31' })
  to!: string;

  @OneOf(['normal', 'adjustment'], {
    description: 'Normal periods adjoin and cover the year; adjustment periods lie inside it.',
    example: 'normal',
  })
  kind!: 'normal' | 'adjustment';
}

export class DefineFiscalYearBody {
  @YearLabel({ description: 'Stands in entry numbers: GENERAL/2026/17.', example: '2026' })
  label!: string;

  @EffectiveDate({ description: 'First day; adjoins the years defined before.', example: '2026-01-01' })
  from!: string;

  @EffectiveDate({ description: 'Last day.', example: '2026-12-31' })
  to!: string;

  @Listed(() => Period, 400, { optional: true, description: 'Calendar months when left out.' })
  periods?: readonly Period[];

  @Prose(500, reason)
  reason?: string;
}

export const defineFiscalYear = (body: DefineFiscalYearBody): DefineFiscalYear => ({ ...body, type: 'DefineFiscalYear' });

// --- Answers ---

/** What every command's answer ends with. */
export class Recorded {
  @ApiProperty({
    description: "Position in the book's log: of an entry its JournalEntryPosted, of anything else the command's first event.",
    example: 4,
  })
  position!: number;

  @ApiProperty({ description: 'When it was recorded: UTC, six decimals.', example: '2026-07-02T12:00:00.000001Z' })
  recordedAt!: string;
}

export class BookCreated extends Recorded {
  @ApiProperty({ example: 'acme' })
  id!: string;

  @ApiProperty({ example: 'Acme GmbH' })
  name!: string;

  @ApiProperty({ example: 'EUR' })
  baseCurrency!: string;

  @ApiProperty({ example: '01-01' })
  fiscalYearStart!: string;

  @ApiProperty({ example: 'Europe/Berlin' })
  timeZone!: string;

  @ApiProperty({ enum: ['untracked', 'tracked'] })
  fx!: string;

  @ApiProperty({ enum: ['half_even', 'half_away_from_zero'] })
  rounding!: string;
}

export class CurrencyEnabled extends Recorded {
  @ApiProperty({ example: 'BTC' })
  code!: string;

  @ApiProperty({ example: 8 })
  scale!: number;
}

export class JournalShown {
  @ApiProperty({ example: 'SALES' })
  journalCode!: string;

  @ApiProperty({ example: 'Sales journal' })
  name!: string;

  @ApiProperty({ enum: journalTypes })
  type!: string;
}

export class JournalDefined extends IntersectionType(JournalShown, Recorded) {}

export class FiscalYearShown {
  @ApiProperty({ example: '2026' })
  label!: string;

  @ApiProperty({ example: '2026-01-01' })
  from!: string;

  @ApiProperty({ example: '2026-12-31' })
  to!: string;

  @ApiProperty({ type: () => [Period] })
  periods!: readonly Period[];
}

export class FiscalYearDefined extends IntersectionType(FiscalYearShown, Recorded) {
  @ApiProperty({
    required: false,
    type: [String],
    example: ['2026'],
    description:
      'Generated years without entries, drafts and closes that it has taken the place of: they are no part of the calendar any more.',
  })
  replaces?: readonly string[];
}
