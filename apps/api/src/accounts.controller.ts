/** Accounts: the chart, and what becomes of a single one. */
import { Controller, Get, HttpCode, HttpStatus, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { OpenAccount } from '#domain';
import { Service } from '#ledger';
import {
  AccountChanged,
  AccountCreated,
  AccountStatusBody,
  ChangeAccountCodeBody,
  changeAccountCode,
  OpenAccountBody,
  openAccount,
  RenameAccountBody,
  renameAccount,
  setAccountStatus,
} from './accounts.dto';
import { type CommandRoute, Commands } from './commands';
import { CommandOperation, QueryOperation } from './operation';
import {
  AccountShown,
  AccountsPage,
  BalanceQuery,
  BalanceShown,
  KnownPageQuery,
  KnownQuery,
  StatementPage,
  StatementQuery,
  whole,
} from './queries.dto';
import { formatOf, sendReport } from './reports.controller';
import { questionOf } from './reports.dto';

const opening: CommandRoute<OpenAccountBody> = {
  body: OpenAccountBody,
  command: openAccount,
  location: ({ book, command }) => `/v1/books/${book}/accounts/${encodeURIComponent((command as OpenAccount).code)}`,
};
const renaming: CommandRoute<RenameAccountBody> = { body: RenameAccountBody, command: renameAccount };
const recoding: CommandRoute<ChangeAccountCodeBody> = { body: ChangeAccountCodeBody, command: changeAccountCode };
const freezing: CommandRoute<AccountStatusBody> = { body: AccountStatusBody, command: setAccountStatus('FreezeAccount') };
const unfreezing: CommandRoute<AccountStatusBody> = { body: AccountStatusBody, command: setAccountStatus('UnfreezeAccount') };
const closing: CommandRoute<AccountStatusBody> = { body: AccountStatusBody, command: setAccountStatus('CloseAccount') };

@ApiTags('accounts')
@Controller('v1/books/:book/accounts')
export class AccountsController {
  constructor(
    private readonly commands: Commands,
    private readonly service: Service,
  ) {}

  @Post()
  @CommandOperation({
    summary: 'Open an account',
    body: OpenAccountBody,
    answer: AccountCreated,
    creates: true,
    refusals: [
      'amount_not_string',
      'amount_format',
      'book_unknown',
      'account_exists',
      'parent_invalid',
      'currency_unknown',
      'scale_exceeded',
    ],
  })
  open(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(opening, request, reply);
  }

  @Get()
  @QueryOperation({
    summary: 'List accounts',
    description: 'By code.',
    answer: AccountsPage,
    refusals: ['date_invalid', 'book_unknown', 'projection_behind'],
  })
  list(@Param('book') book: string, @Query() { limit, ...query }: KnownPageQuery): Promise<AccountsPage> {
    return this.service.queries.accounts(book, { ...query, limit: whole(limit) });
  }

  @Get(':code')
  @QueryOperation({
    summary: 'Read an account',
    description: 'Any code that it ever had leads to it.',
    answer: AccountShown,
    refusals: ['date_invalid', 'book_unknown', 'projection_behind'],
    addressesAccount: true,
  })
  read(@Param('book') book: string, @Param('code') code: string, @Query() query: KnownQuery): Promise<AccountShown> {
    return this.service.queries.account(book, code, query);
  }

  @Get(':code/balance')
  @QueryOperation({
    summary: 'Balance of an account',
    description:
      'Over all lines with an effective date up to `asOf` that were recorded up to `knownAt`; every entry acknowledged before the question is in it.',
    answer: BalanceShown,
    refusals: ['date_invalid', 'book_unknown'],
    addressesAccount: true,
  })
  balance(@Param('book') book: string, @Param('code') code: string, @Query() query: BalanceQuery): Promise<BalanceShown> {
    return this.service.queries.balance(book, code, query);
  }

  @Get(':code/statement')
  @QueryOperation({
    summary: 'Statement of an account',
    description:
      'Opening balance, lines with running balance, closing balance: what the general ledger shows of the account, in the sign of its normal side.',
    answer: StatementPage,
    csv: true,
    refusals: ['date_invalid', 'book_unknown', 'currency_unknown', 'no_fiscal_year', 'projection_behind'],
    addressesAccount: true,
  })
  statement(
    @Param('book') book: string,
    @Param('code') code: string,
    @Query() query: StatementQuery,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    return this.service.reports
      .statement(book, code, questionOf(query), formatOf(query, request))
      .then((answer) => sendReport(reply, answer));
  }

  @Post(':code/rename')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Rename an account',
    body: RenameAccountBody,
    answer: AccountChanged,
    refusals: ['book_unknown', 'account_closed'],
    addressesAccount: true,
  })
  rename(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(renaming, request, reply);
  }

  @Post(':code/change-code')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Give an account another code',
    description: 'Lines posted before keep the code that they were posted with; the old code still leads here.',
    body: ChangeAccountCodeBody,
    answer: AccountChanged,
    refusals: ['book_unknown', 'account_exists', 'account_closed'],
    addressesAccount: true,
  })
  changeCode(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(recoding, request, reply);
  }

  @Post(':code/freeze')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Freeze an account',
    description: 'It takes no lines until it is unfrozen.',
    body: AccountStatusBody,
    answer: AccountChanged,
    refusals: ['book_unknown', 'account_frozen', 'account_closed'],
    addressesAccount: true,
  })
  freeze(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(freezing, request, reply);
  }

  @Post(':code/unfreeze')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Unfreeze an account',
    body: AccountStatusBody,
    answer: AccountChanged,
    refusals: ['book_unknown', 'account_not_frozen', 'account_closed'],
    addressesAccount: true,
  })
  unfreeze(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(unfreezing, request, reply);
  }

  @Post(':code/close')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Close an account',
    description: 'For ever, and only without a balance.',
    body: AccountStatusBody,
    answer: AccountChanged,
    refusals: ['book_unknown', 'account_closed', 'account_not_empty'],
    addressesAccount: true,
  })
  close(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(closing, request, reply);
  }
}
