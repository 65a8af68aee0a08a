/** Bodies of commands on an account, and what they answer. */
import { ApiProperty } from '@nestjs/swagger';
import { type AccountType, accountTypes, type ChangeAccount, type ControlKind, controlKinds, type OpenAccount } from '#domain';
import { Recorded } from './books.dto';
import { AccountTypeName, Code, Currencies, Currency, Flag, Listed, Metadata, OneOf, Prose, SignedAmount, Text, Token } from './members';

const reason = { optional: true, description: 'Why: stands in every event of the command.' } as const;

export class AccountLimit {
  @Currency({ description: 'The currency that the limit is in.', example: 'EUR' })
  currency!: string;

  @SignedAmount({ optional: true, description: "Smallest balance allowed, in the sign of the account's normal side.", example: '0' })
  min?: string;

  @SignedAmount({ optional: true, description: "Largest balance allowed, in the sign of the account's normal side.", example: '5000.00' })
  max?: string;
}

export class Mapping {
  @Text(60, { description: 'Name of the other chart of accounts.', example: 'SKR04' })
  scheme!: string;

  @Text(120, { description: 'Code of the account there.', example: '1800' })
  code!: string;

  @Text(120, { optional: true, description: 'Category or line of a report there.' })
  category?: string;
}

export class OpenAccountBody {
  @Code({ description: 'Unique in the book for ever; NFC, 1 to 120 characters.', example: 'Assets:Cash' })
  code!: string;

  @Text(200, { description: 'Name of the account.', example: 'Cash' })
  name!: string;

  @AccountTypeName({ description: '`revenue` is accepted for income.', example: 'asset' })
  type!: AccountType | 'revenue';

  @Token({
    optional: true,
    description: 'Finer type, like cash, receivable, payable, retained_earnings, sales, cost_of_sales, tax.',
    example: 'cash',
  })
  subtype?: string;

  @Code({ optional: true, description: 'Code of the parent, which has the same type.', example: 'Assets' })
  parent?: string;

  @Flag({ optional: true, description: 'false: a header account, which takes no lines.', default: true })
  postable?: boolean;

  @Flag({ optional: true, description: 'true: the normal side is the other one, as for accumulated depreciation.', default: false })
  contra?: boolean;

  @Currencies({ optional: true, description: 'The only currencies that lines on it may have; any when left out.', example: ['EUR'] })
  currencies?: readonly string[];

  @Token({ optional: true, description: 'Kind of the subsidiary ledger whose total this account is.', example: 'receivables' })
  subledger?: string;

  @OneOf(controlKinds, {
    optional: true,
    description: 'Makes it a control account: every line on it names a party of this kind (any: of whatever kind).',
    example: 'customer',
  })
  control?: ControlKind;

  @Listed(() => AccountLimit, 100, {
    optional: true,
    description: 'Balances that it may not leave, one limit per currency, over all dates.',
    example: [{ currency: 'EUR', min: '0', max: '5000.00' }],
  })
  limits?: readonly AccountLimit[];

  @Token({ optional: true, description: 'Part of the cash flow statement that it belongs to.', example: 'operating' })
  cashFlow?: string;

  @Listed(() => Mapping, 100, { optional: true, description: 'Where it stands in other charts of accounts.' })
  mappings?: readonly Mapping[];

  @Prose(500, reason)
  reason?: string;

  @Metadata({
    optional: true,
    description: "The caller's own data: strings, booleans, arrays, objects and safe integers, at most 8 levels and 8 KiB.",
  })
  metadata?: Record<string, unknown>;
}

export function openAccount({ type, ...body }: OpenAccountBody): OpenAccount {
  const { code, parent } = body;
  return {
    ...body,
    type: 'OpenAccount',
    accountType: type === 'revenue' ? 'income' : type,
    code: code.normalize('NFC'),
    ...(parent === undefined ? {} : { parent: parent.normalize('NFC') }),
  };
}

export class RenameAccountBody {
  @Text(200, { description: 'The new name.', example: 'Petty cash' })
  name!: string;

  @Prose(500, reason)
  reason?: string;
}

export class ChangeAccountCodeBody {
  @Code({
    description: 'The new code. The old one still leads to this account, and is never given to another.',
    example: 'Assets:PettyCash',
  })
  code!: string;

  @Prose(500, reason)
  reason?: string;
}

/** Of freeze, unfreeze and close. */
export class AccountStatusBody {
  @Prose(500, reason)
  reason?: string;
}

export const renameAccount = (body: RenameAccountBody, account: string): ChangeAccount => ({ ...body, type: 'RenameAccount', account });
export const changeAccountCode = (body: ChangeAccountCodeBody, account: string): ChangeAccount => ({
  ...body,
  type: 'ChangeAccountCode',
  account,
  code: body.code.normalize('NFC'),
});
export const setAccountStatus =
  (type: 'FreezeAccount' | 'UnfreezeAccount' | 'CloseAccount') =>
  (body: AccountStatusBody, account: string): ChangeAccount => ({ ...body, type, account });

// --- Answers ---

export class AccountCreated extends Recorded {
  @ApiProperty({ description: 'Names the stream of its events; lines store it.', example: '0198c0de-0000-7000-8000-000000000001' })
  id!: string;

  @ApiProperty({ example: 'Assets:Cash' })
  code!: string;

  @ApiProperty({ example: 'Cash' })
  name!: string;

  @ApiProperty({ enum: accountTypes })
  type!: string;

  @ApiProperty({ enum: ['debit', 'credit'] })
  normalSide!: string;

  @ApiProperty({ example: true })
  postable!: boolean;

  @ApiProperty({ enum: ['open', 'frozen', 'closed'] })
  status!: string;
}

export class AccountChanged extends Recorded {
  @ApiProperty({ example: '0198c0de-0000-7000-8000-000000000001' })
  id!: string;

  @ApiProperty({ example: 'Assets:PettyCash' })
  code!: string;

  @ApiProperty({ enum: ['open', 'frozen', 'closed'] })
  status!: string;
}
