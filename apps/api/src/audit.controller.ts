/** What concerns a whole book: all balances, and the audit trail itself. */
import { Controller, Get, Param, Query } from '@nestjs/common';
import { ApiParam, ApiTags } from '@nestjs/swagger';
import { Service } from '#ledger';
import { QueryOperation } from './operation';
import { BalancesPage, BalancesQuery, EventsQuery, EventsShown, StreamShown, whole } from './queries.dto';

@Controller('v1/books/:book')
export class AuditController {
  constructor(private readonly service: Service) {}

  @Get('balances')
  @ApiTags('accounts')
  @QueryOperation({
    summary: 'Balances of all accounts',
    description: 'By account code, then currency; zero balances are left out unless asked for. Nothing is rolled up into header accounts.',
    answer: BalancesPage,
    refusals: ['date_invalid', 'book_unknown', 'projection_behind'],
  })
  balances(@Param('book') book: string, @Query() { limit, includeZero, ...query }: BalancesQuery): Promise<BalancesPage> {
    return this.service.queries.balances(book, { ...query, includeZero: includeZero === 'true', limit: whole(limit) });
  }

  @Get('events')
  @ApiTags('audit trail')
  @QueryOperation({
    summary: 'Read the log',
    description: 'Go on with the position of the last event.',
    answer: EventsShown,
    refusals: ['book_unknown'],
  })
  events(@Param('book') book: string, @Query() { after, limit }: EventsQuery): Promise<EventsShown> {
    return this.service.queries.events(book, { after: whole(after), limit: whole(limit) });
  }

  @Get('streams/:aggregateType/:aggregateId')
  @ApiTags('audit trail')
  @ApiParam({ name: 'aggregateType', enum: ['Book', 'Account', 'Journal'] })
  @ApiParam({ name: 'aggregateId', example: '0198c0de-0000-7000-8000-000000000003' })
  @QueryOperation({
    summary: 'Read the stream of one aggregate',
    description: 'Go on with the version of the last event.',
    answer: StreamShown,
    refusals: ['book_unknown', 'stream_unknown'],
  })
  stream(
    @Param('book') book: string,
    @Param('aggregateType') aggregateType: string,
    @Param('aggregateId') aggregateId: string,
    @Query() { after, limit }: EventsQuery,
  ): Promise<StreamShown> {
    return this.service.queries.stream(book, aggregateType, aggregateId, { after: whole(after), limit: whole(limit) });
  }
}
