/** Periods: closing them, and opening them again by two people. */
import { Controller, HttpCode, HttpStatus, Post, Req, Res } from '@nestjs/common';
import { ApiParam, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ErrorCode } from '#domain';
import { type CommandRoute, Commands } from './commands';
import { CommandOperation } from './operation';
import {
  approveReopening,
  ClosePeriodBody,
  closePeriod,
  DecideReopeningBody,
  declineReopening,
  PeriodChanged,
  PeriodsClosed,
  RequestReopeningBody,
  requestReopening,
} from './periods.dto';

const closing: CommandRoute<ClosePeriodBody> = { body: ClosePeriodBody, command: closePeriod };
const requesting: CommandRoute<RequestReopeningBody> = { body: RequestReopeningBody, command: requestReopening };
const approving: CommandRoute<DecideReopeningBody> = { body: DecideReopeningBody, command: approveReopening };
const declining: CommandRoute<DecideReopeningBody> = { body: DecideReopeningBody, command: declineReopening };

const refusals: readonly ErrorCode[] = ['forbidden', 'book_unknown', 'period_unknown', 'period_state', 'period_order'];

@ApiTags('periods')
@Controller('v1/books/:book/periods/:year/:period')
@ApiParam({ name: 'year', description: 'Label of the fiscal year.', example: '2026' })
@ApiParam({ name: 'period', description: 'Number of the period.', example: '6' })
export class PeriodsController {
  constructor(private readonly commands: Commands) {}

  @Post('close')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Close a period',
    description:
      'Needs the scope controller. Periods close in order, and not over drafts that are neither posted nor discarded; a period that somebody asks to be reopened is not closed for ever until that is declined. The event keeps the position, the count of entries, the debits and credits per currency and the last number of each day book; ' +
      '`knownAt=close:2026-06` names this moment in every question.',
    body: ClosePeriodBody,
    answer: PeriodsClosed,
    refusals: [...refusals, 'period_has_drafts'],
  })
  close(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(closing, request, reply);
  }

  @Post('reopening')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Ask for a period to be reopened',
    description:
      'Needs the scope controller. Only a softly closed period can be reopened, the last one first, and somebody else has to agree.',
    body: RequestReopeningBody,
    answer: PeriodChanged,
    refusals,
  })
  request(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(requesting, request, reply);
  }

  @Post('reopening/approve')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Reopen a period that somebody else has asked for',
    body: DecideReopeningBody,
    answer: PeriodChanged,
    refusals: [...refusals, 'second_user_required'],
  })
  approve(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(approving, request, reply);
  }

  @Post('reopening/decline')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Decline to reopen a period, or take the request back',
    body: DecideReopeningBody,
    answer: PeriodChanged,
    refusals,
  })
  decline(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(declining, request, reply);
  }
}
