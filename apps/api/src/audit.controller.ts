/** What concerns a whole book: all balances, the audit trail itself, and exports. */
import { Readable } from 'node:stream';
import { Controller, Get, Param, Query, Req, Res } from '@nestjs/common';
import { ApiParam, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { exportBook, exportFormats, exportMediaTypes, exportTitles, Service } from '#ledger';
import { QueryOperation } from './operation';
import { personalOf } from './personal';
import { AuditPackQuery, BalancesPage, BalancesQuery, EventsQuery, EventsShown, ExportQuery, StreamShown, whole } from './queries.dto';

const formatList = exportFormats.map((name) => `\`${name}\`: ${exportTitles[name]}.`).join(' ');

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
    description: `What was known at a position, whole or in a range of effective dates; the same request at that position is answered with the same bytes for ever. Streamed: an answer that breaks off in the middle is not the whole file. ${formatList}`,
    answer: Object.fromEntries(exportMediaTypes.map((type) => [type, { schema: { type: 'string' } }])),
    headers: { 'Known-At-Position': 'The position that the export holds for.', 'Content-Disposition': 'A name for the file.' },
    refusals: [
      'date_invalid',
      'book_unknown',
      'export_unfit',
      'export_inconsistent',
      'format_unknown',
      'no_fiscal_year',
      'projection_behind',
    ],
  })
  async export(
    @Param('book') book: string,
    @Param('format') format: string,
    @Query() question: ExportQuery,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const { position, mediaType, fileName, content, rows } = await exportBook(this.service, book, format, {
      ...question,
      ...personalOf(request),
    });
    request.acted = { position, rows };
    reply
      .header('Content-Type', mediaType)
      .header('Content-Disposition', `attachment; filename="${fileName}"`)
      .header('Known-At-Position', String(position))
      .send(Readable.from(content));
  }

  @Get('audit-pack')
  @ApiTags('exports')
  @QueryOperation({
    summary: 'Pack what an auditor needs to check a book elsewhere',
    description:
      'A ZIP archive (docs/AUDIT-PACK.md): all events up to a position, signed checkpoints with proofs, the chart of accounts, trial balance, general ledger and journal of a range of dates, closes of periods, changes since the last pack, the export formats that are asked for, and a signed manifest. Texts about persons stay sealed; with Personal-Data: open or masked a file tells what each says, or whom it is about. The same question at the same position is answered with the same bytes. Streamed: an answer that breaks off in the middle is not the whole archive.',
    answer: { 'application/zip': { schema: { type: 'string' } } },
    headers: { 'Known-At-Position': 'The position that the pack holds for.', 'Content-Disposition': 'A name for the file.' },
    refusals: [
      'date_invalid',
      'book_unknown',
      'export_unfit',
      'export_inconsistent',
      'format_unknown',
      'no_fiscal_year',
      'not_sealed',
      'projection_behind',
    ],
  })
  async auditPack(
    @Param('book') book: string,
    @Query() { format, ...question }: AuditPackQuery,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const formats = format === undefined ? [] : [format].flat();
    const { position, fileName, content } = await this.service.auditPack(book, { ...question, formats, ...personalOf(request) });
    // All events up to there are in it.
    request.acted = { position, rows: () => position };
    reply
      .header('Content-Type', 'application/zip')
      .header('Content-Disposition', `attachment; filename="${fileName}"`)
      .header('Known-At-Position', String(position))
      .send(Readable.from(content));
  }
}
