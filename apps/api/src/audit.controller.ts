/** What concerns a whole book: all balances, the audit trail itself, and exports. */
import { Readable } from 'node:stream';
import { Controller, Get, Param, Query, Res } from '@nestjs/common';
import { ApiParam, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { exportBook, exportFormats, Service } from '#ledger';
import { QueryOperation } from './operation';
import { BalancesPage, BalancesQuery, EventsQuery, EventsShown, KnownQuery, StreamShown, whole } from './queries.dto';

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

  @Get('exports/:format')
  @ApiTags('exports')
  @ApiParam({ name: 'format', enum: exportFormats })
  @QueryOperation({
    summary: 'Export a book as a file of another program',
    description:
      'Everything known at a position, which the same request answers with the same bytes for ever. Streamed: an answer that breaks off in the middle is not the whole file.',
    answer: { 'text/plain': { schema: { type: 'string' } } },
    headers: { 'Known-At-Position': 'The position that the export holds for.', 'Content-Disposition': 'A name for the file.' },
    refusals: ['date_invalid', 'book_unknown', 'format_unknown', 'projection_behind'],
  })
  async export(
    @Param('book') book: string,
    @Param('format') format: string,
    @Query() { knownAt }: KnownQuery,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const { position, mediaType, fileName, text } = await exportBook(this.service, book, format, { knownAt });
    reply
      .header('Content-Type', mediaType)
      .header('Content-Disposition', `attachment; filename="${fileName}"`)
      .header('Known-At-Position', String(position))
      .send(Readable.from(text));
  }
}
