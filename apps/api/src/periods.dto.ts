/** Bodies of commands that close and reopen periods, and what they answer. */
import { ApiProperty } from '@nestjs/swagger';
import { type CloseFiscalYear, type ClosePeriod, type RateType, type ReopenPeriod, type Revalue, rateTypes } from '#domain';
import { Recorded } from './books.dto';
import { EntryPosted } from './journal-entries.dto';
import { Amount, Codes, Currency, EffectiveDate, Flag, JournalCode, OneOf, Prose, Whole } from './members';

/** The period that a path leads to: `2026/6`. */
function periodAt(target: string): { readonly fiscalYear: string; readonly period: number } {
  // What stands for the year may hold anything, a slash too; it is then the label of none.
  const at = target.lastIndexOf('/');
  return { fiscalYear: target.slice(0, at), period: Number(target.slice(at + 1)) };
}

export class ClosePeriodBody {
  @OneOf(['soft', 'hard'], {
    description: 'soft: from now on only a controller may post into it, and it may be reopened. hard: nobody ever again.',
    example: 'soft',
  })
  level!: 'soft' | 'hard';

  @Flag({ optional: true, description: 'Closes the earlier periods that are still in the way, too.', example: false })
  includeEarlier?: boolean;

  @Prose(500, { optional: true, description: 'Why: stands in every event of the command.' })
  reason?: string;
}

export class RequestReopeningBody {
  @Prose(500, { description: 'Why it has to be reopened.', example: 'Invoice 42 of June is missing' })
  reason!: string;
}

export class DecideReopeningBody {
  @Prose(500, { optional: true, description: 'Why: stands in the event.' })
  reason?: string;
}

const optional = true;

export class ClosingEntryBody {
  @JournalCode({ optional, description: 'Day book.', example: 'GENERAL', default: 'GENERAL' })
  journalCode?: string;

  @Whole(1, 400, {
    optional,
    description: 'Adjustment period of the year to post it into; else the normal one of its last day.',
    example: 13,
  })
  adjustmentPeriod?: number;

  @Prose(1000, { optional, description: 'Text of the entry.' })
  description?: string;

  @Prose(500, { optional, description: 'Why: stands in every event of the command.' })
  reason?: string;
}

export class RevaluationBody {
  @EffectiveDate({ description: 'The day of the balances and of the rates.', example: '2026-06-30' })
  date!: string;

  @OneOf(rateTypes, { optional, description: 'Rates to use.', default: 'closing' })
  rateType?: RateType;

  @Codes({
    optional,
    description: 'Accounts to revalue; all monetary assets and liabilities when left out (IAS 21.16).',
    example: ['Assets:Bank:USD'],
  })
  accounts?: readonly string[];

  @JournalCode({ optional, description: 'Day book.', example: 'GENERAL', default: 'GENERAL' })
  journalCode?: string;

  @Prose(1000, { optional, description: 'Text of the entry.' })
  description?: string;

  @Prose(500, { optional, description: 'Why: stands in every event of the command.' })
  reason?: string;
}

export const closeFiscalYear = (body: ClosingEntryBody, fiscalYear: string): CloseFiscalYear => ({
  ...body,
  fiscalYear,
  type: 'CloseFiscalYear',
});
export const revalue = ({ accounts, ...body }: RevaluationBody): Revalue => ({
  ...body,
  ...(accounts === undefined ? {} : { accounts: accounts.map((code) => code.normalize('NFC')) }),
  type: 'Revalue',
});

export const closePeriod = (body: ClosePeriodBody, target: string): ClosePeriod => ({ ...body, ...periodAt(target), type: 'ClosePeriod' });
export const requestReopening = (body: RequestReopeningBody, target: string): ReopenPeriod => ({
  ...body,
  ...periodAt(target),
  type: 'RequestReopening',
});
export const approveReopening = (body: DecideReopeningBody, target: string): ReopenPeriod => ({
  ...body,
  ...periodAt(target),
  type: 'ApproveReopening',
});
export const declineReopening = (body: DecideReopeningBody, target: string): ReopenPeriod => ({
  ...body,
  ...periodAt(target),
  type: 'DeclineReopening',
});

export class ReopeningShown {
  @ApiProperty({ description: 'Opaque id of who asks for it; somebody else has to agree.' })
  requestedBy!: string;
}

export class PeriodChanged extends Recorded {
  @ApiProperty({ example: '2026' })
  fiscalYear!: string;

  @ApiProperty({ example: 6 })
  period!: number;

  @ApiProperty({ enum: ['open', 'soft_closed', 'hard_closed'] })
  status!: string;

  @ApiProperty({ required: false, type: () => ReopeningShown })
  reopening?: ReopeningShown;
}

export class PeriodsClosed extends PeriodChanged {
  @ApiProperty({ description: 'All that were closed, in order.', example: ['2026/5', '2026/6'] })
  closed!: readonly string[];
}

export class ComputedPosted {
  @ApiProperty({ type: () => [EntryPosted], description: 'What was posted; nothing when balances are as they should be already.' })
  entries!: readonly EntryPosted[];

  @ApiProperty({ example: '2026-07-02T12:00:00.000001Z' })
  recordedAt!: string;
}

export class SettlementQuery {
  @Currency({ description: 'Currency that is settled.', example: 'USD' })
  currency!: string;

  @Amount({ description: 'How much of it: above 0, at most the balance.', example: '100.00' })
  amount!: string;

  @EffectiveDate({
    optional,
    description: 'Balance at the end of this day, and day of the spot rate; all dates, and the rate of today, when left out.',
    example: '2026-06-30',
  })
  asOf?: string;

  @Amount({
    optional,
    description: 'What it is settled for in base currency; at the spot rate (see asOf) when left out.',
    example: '92.00',
  })
  proceeds?: string;
}

class SettlementRate {
  @ApiProperty({ example: '0.92' })
  value!: string;

  @ApiProperty({ example: '2026-06-30' })
  date!: string;

  @ApiProperty({ example: 'ECB' })
  source!: string;
}

class SettlementLine {
  @ApiProperty({ example: 'Assets:Receivables' })
  account!: string;

  @ApiProperty({ enum: ['debit', 'credit'] })
  side!: string;

  @ApiProperty({ example: '100.00' })
  amount!: string;

  @ApiProperty({ example: 'USD' })
  currency!: string;

  @ApiProperty({ required: false, example: '90.00' })
  baseAmount?: string;
}

export class SettlementShown {
  @ApiProperty({ example: 'Assets:Receivables' })
  account!: string;

  @ApiProperty({ example: 'USD' })
  currency!: string;

  @ApiProperty({ example: '2026-06-30' })
  asOf!: string;

  @ApiProperty({ example: 42 })
  position!: number;

  @ApiProperty({ description: 'Balance, debit − credit.', example: '250.00' })
  quantity!: string;

  @ApiProperty({
    description: 'What the books carry it at in base currency, without what a revaluation has added that goes back after `asOf`.',
    example: '225.00',
  })
  carrying!: string;

  @ApiProperty({ example: 'EUR' })
  baseCurrency!: string;

  @ApiProperty({ example: '100.00' })
  amount!: string;

  @ApiProperty({ description: 'Carrying amount of what is settled: weighted average.', example: '90.00' })
  carryingSettled!: string;

  @ApiProperty({ example: '92.00' })
  proceeds!: string;

  @ApiProperty({ required: false, type: () => SettlementRate })
  rate?: SettlementRate;

  @ApiProperty({ description: 'Above 0: a gain (IAS 21.28).', example: '2.00' })
  realised!: string;

  @ApiProperty({ type: () => [SettlementLine], description: 'Lines to post beside the one that receives or pays.' })
  lines!: readonly SettlementLine[];
}
