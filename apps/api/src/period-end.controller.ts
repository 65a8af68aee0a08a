/** What the service computes and posts at the end of a period: the closing entry of a year, and revaluation. */
import { Controller, Get, HttpCode, HttpStatus, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiParam, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ErrorCode } from '#domain';
import { Service } from '#ledger';
import { type CommandRoute, Commands } from './commands';
import { CommandOperation, QueryOperation } from './operation';
import {
  ClosingEntryBody,
  ComputedPosted,
  closeFiscalYear,
  RevaluationBody,
  revalue,
  SettlementQuery,
  SettlementShown,
} from './periods.dto';

const closing: CommandRoute<ClosingEntryBody> = { body: ClosingEntryBody, command: closeFiscalYear };
const revaluing: CommandRoute<RevaluationBody> = { body: RevaluationBody, command: revalue };

const refusals: readonly ErrorCode[] = [
  'book_unknown',
  'journal_unknown',
  'account_not_designated',
  'period_closed',
  'account_frozen',
  'account_closed',
  'books_moving',
  'projection_behind',
];

@ApiTags('periods')
@Controller('v1/books/:book')
export class PeriodEndController {
  constructor(
    private readonly commands: Commands,
    private readonly service: Service,
  ) {}

  @Post('fiscal-years/:label/closing-entry')
  @HttpCode(HttpStatus.OK)
  @ApiParam({ name: 'label', description: 'Label of the fiscal year.', example: '2026' })
  @CommandOperation({
    summary: 'Post the closing entry of a fiscal year',
    description:
      'Brings income and expense to zero against retained earnings, on the last day of the year. Not needed for reports, which compute it. Asked again, it posts only what has been posted to the year since.',
    body: ClosingEntryBody,
    answer: ComputedPosted,
    refusals: ['malformed', 'period_unknown', ...refusals],
  })
  close(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(closing, request, reply);
  }

  @Post('revaluations')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Revalue accounts in foreign currencies',
    description:
      'Posts what monetary accounts have gained or lost in base currency up to the end of a day at the rates of that day, and reverses it on the next day (IAS 21.23, 21.28). Asked again for the same day and rates, it posts only what has been posted since.',
    body: RevaluationBody,
    answer: ComputedPosted,
    refusals: ['date_invalid', 'account_unknown', 'fx_untracked', 'rate_unknown', ...refusals],
  })
  revalue(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(revaluing, request, reply);
  }

  @Get('accounts/:code/settlement')
  @QueryOperation({
    summary: 'What settling an amount gains or loses',
    description:
      'The carrying amount of what is settled (weighted average), the gain or loss against what is received or paid, and the lines to post.',
    answer: SettlementShown,
    refusals: [
      'amount_format',
      'date_invalid',
      'book_unknown',
      'account_not_designated',
      'fx_untracked',
      'rate_unknown',
      'projection_behind',
    ],
    addressesAccount: true,
  })
  settlement(@Param('book') book: string, @Param('code') code: string, @Query() query: SettlementQuery): Promise<SettlementShown> {
    return this.service.periodEnd.settlement(book, code.normalize('NFC'), query);
  }
}
