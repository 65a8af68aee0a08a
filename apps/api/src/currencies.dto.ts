/** Bodies of commands on exchange rates and designated accounts, and what they answer. */
import { ApiProperty } from '@nestjs/swagger';
import { type AccountRole, accountRoles, type DesignateAccount, type RateType, type RecordRates, rateTypes } from '#domain';
import { Recorded } from './books.dto';
import { Amount, Code, Currency, EffectiveDate, KnownAt, Listed, OneOf, Prose, Text } from './members';

const roles = Object.keys(accountRoles);

export class RateBody {
  @Currency({ description: 'The currency that is priced.', example: 'USD' })
  from!: string;

  @Currency({ description: 'The currency that it is priced in.', example: 'EUR' })
  to!: string;

  @EffectiveDate({ description: 'Day of the rate.', example: '2026-06-30' })
  date!: string;

  @Amount({ description: 'Units of `to` for one unit of `from`.', example: '0.9192' })
  value!: string;

  @OneOf(rateTypes, {
    description: 'spot: of the day, for postings. closing: for revaluation and reports. average: of a period. budget: planned.',
    example: 'spot',
  })
  rateType!: RateType;

  @Text(100, { description: 'Who published it.', example: 'ECB' })
  source!: string;
}

export class RatesBody {
  @Listed(() => RateBody, 1000, { description: 'All or none are recorded. A rate of a day that has one already corrects it.' })
  rates!: readonly RateBody[];

  @Prose(500, { optional: true, description: 'Why: stands in every event of the command.' })
  reason?: string;
}

export class DesignateAccountBody {
  @OneOf(roles, {
    description:
      'What the account takes: retained_earnings (equity) the result of closed years; currency_conversion (equity) what an entry across currencies is missing per currency; rounding (expense or income) what rounding of base amounts leaves; fx_… (income or expense) differences of exchange.',
    example: 'rounding',
  })
  role!: AccountRole;

  @Code({ description: 'Code of the account.', example: 'Expenses:Rounding' })
  account!: string;

  @Prose(500, { optional: true, description: 'Why: stands in the event.' })
  reason?: string;
}

export const recordRates = (body: RatesBody): RecordRates => ({ ...body, type: 'RecordRates' });
export const designateAccount = (body: DesignateAccountBody): DesignateAccount => ({
  ...body,
  account: body.account.normalize('NFC'),
  type: 'DesignateAccount',
});

export class RatesRecorded extends Recorded {
  @ApiProperty({ description: 'How many.', example: 1 })
  recorded!: number;
}

export class AccountDesignated extends Recorded {
  @ApiProperty({ enum: roles })
  role!: string;

  @ApiProperty({ description: 'Code of the account.', example: 'Expenses:Rounding' })
  account!: string;
}

class DesignatedAccount {
  @ApiProperty({ enum: roles })
  role!: string;

  @ApiProperty({ description: 'Its code now.', example: 'Expenses:Rounding' })
  account!: string;
}

export class DesignatedAccountsShown {
  @ApiProperty({ example: 42 })
  position!: number;

  @ApiProperty({ type: () => [DesignatedAccount] })
  designated!: readonly DesignatedAccount[];
}

export class RatesQuery {
  @Currency({ description: 'The currency that is priced.', example: 'USD' })
  from!: string;

  @Currency({ description: 'The currency that it is priced in.', example: 'EUR' })
  to!: string;

  @OneOf(rateTypes, { optional: true, description: 'Type of rate.', default: 'spot' })
  rateType?: RateType;

  @KnownAt({ optional: true, description: 'A position, an instant or the close of a period: as known then. The head when left out.' })
  knownAt?: string;
}

class RateShown {
  @ApiProperty({ example: '2026-06-30' })
  date!: string;

  @ApiProperty({ example: '0.9192' })
  value!: string;

  @ApiProperty({ example: 'ECB' })
  source!: string;
}

export class RatesShown {
  @ApiProperty({ example: 'USD' })
  from!: string;

  @ApiProperty({ example: 'EUR' })
  to!: string;

  @ApiProperty({ enum: rateTypes })
  rateType!: string;

  @ApiProperty({ example: 42 })
  position!: number;

  @ApiProperty({ type: () => [RateShown], description: 'By date; of a day that was corrected the last one.' })
  rates!: readonly RateShown[];
}
