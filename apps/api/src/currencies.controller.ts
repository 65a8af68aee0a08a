/** What a book with several currencies needs: exchange rates, and accounts that take what the service adds. */
import { Controller, Get, HttpCode, HttpStatus, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Service } from '#ledger';
import { type CommandRoute, Commands } from './commands';
import {
  AccountDesignated,
  DesignateAccountBody,
  DesignatedAccountsShown,
  designateAccount,
  RatesBody,
  RatesQuery,
  RatesRecorded,
  RatesShown,
  recordRates,
} from './currencies.dto';
import { CommandOperation, QueryOperation } from './operation';

const recording: CommandRoute<RatesBody> = {
  body: RatesBody,
  command: recordRates,
  location: ({ book }) => `/v1/books/${book}/rates`,
};
const designating: CommandRoute<DesignateAccountBody> = { body: DesignateAccountBody, command: designateAccount };

@ApiTags('currencies')
@Controller('v1/books/:book')
export class CurrenciesController {
  constructor(
    private readonly commands: Commands,
    private readonly service: Service,
  ) {}

  @Post('rates')
  @CommandOperation({
    summary: 'Record exchange rates',
    description: 'A corrected rate is another event: what was known before is still answered with the former.',
    body: RatesBody,
    answer: RatesRecorded,
    creates: true,
    refusals: ['amount_not_string', 'amount_format', 'date_invalid', 'book_unknown', 'currency_unknown', 'rate_exists'],
  })
  record(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(recording, request, reply);
  }

  @Get('rates')
  @QueryOperation({
    summary: 'List exchange rates',
    description: 'Of one pair and type, as known at a position.',
    answer: RatesShown,
    refusals: ['date_invalid', 'book_unknown'],
  })
  rates(@Param('book') book: string, @Query() query: RatesQuery): Promise<RatesShown> {
    return this.service.queries.rates(book, query);
  }

  @Post('designated-accounts')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Say which account takes what the service computes',
    description: 'The last one designated counts; what was posted stays where it is.',
    body: DesignateAccountBody,
    answer: AccountDesignated,
    refusals: ['book_unknown', 'account_unknown', 'role_invalid'],
  })
  designate(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(designating, request, reply);
  }

  @Get('designated-accounts')
  @QueryOperation({ summary: 'List designated accounts', answer: DesignatedAccountsShown, refusals: ['book_unknown'] })
  designated(@Param('book') book: string): Promise<DesignatedAccountsShown> {
    return this.service.queries.designatedAccounts(book);
  }
}
