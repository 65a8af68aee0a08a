/** The log of user actions: who did what and who looked at what. Asked by controllers only, and asking is an action too. */
import { Readable } from 'node:stream';
import { Controller, Get, Param, Query, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type ErrorCode, LedgerError } from '#domain';
import { type ActionKind, type ActionOutcome, Service } from '#ledger';
import { ActionsQuery, ActionsShown } from './actions.dto';
import { QueryOperation } from './operation';
import { whole } from './queries.dto';

const answer = { answer: ActionsShown, csv: true as const };
const refusals: readonly ErrorCode[] = ['forbidden', 'date_invalid'];

@ApiTags('user actions')
@Controller('v1')
export class ActionsController {
  constructor(private readonly service: Service) {}

  @Get('books/:book/actions')
  @QueryOperation({
    summary: 'User actions on a book',
    description:
      'Every command, also those that were refused, and every report, statement, list and export that was read: who, on whose behalf, what, how it ended, from where and when. For keys with the scope `controller`. As a workbook (`format=xlsx`) it has a sheet per fiscal year.',
    ...answer,
    refusals: [...refusals, 'book_unknown'],
  })
  ofBook(
    @Param('book') book: string,
    @Query() query: ActionsQuery,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    return this.send(book, query, request, reply);
  }

  @Get('actions')
  @QueryOperation({
    summary: 'User actions that concern no book',
    description:
      'Logins that failed, books that were opened, and requests about books that there are not. For keys with the scope `controller`.',
    ...answer,
    refusals,
  })
  ofInstallation(@Query() query: ActionsQuery, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.send(undefined, query, request, reply);
  }

  private async send(
    book: string | undefined,
    { format = 'json', cursor, limit, ...asked }: ActionsQuery,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<void> {
    if (!request.caller.scopes.includes('controller'))
      throw new LedgerError('forbidden', `the API key ${request.caller.name} may not read user actions: it lacks the scope controller`);
    const { actionLog } = this.service;
    const question = { ...asked, kind: asked.kind as ActionKind | undefined, outcome: asked.outcome as ActionOutcome | undefined };
    if (format === 'json') {
      const page = await actionLog.list(book, { ...question, cursor, limit: whole(limit) });
      reply.header('Content-Type', 'application/json; charset=utf-8');
      request.acted = { rows: page.actions.length };
      reply.send(JSON.stringify(page));
      return;
    }
    const name = `${book ?? 'installation'}.actions.${format}`;
    reply.header('Content-Disposition', `attachment; filename="${name}"`);
    if (format === 'csv') {
      const { content, rows } = await actionLog.csv(book, question);
      request.acted = { rows };
      reply.header('Content-Type', 'text/csv; charset=utf-8; header=present').send(Readable.from(content));
      return;
    }
    if (book === undefined)
      throw new LedgerError('malformed', 'format is xlsx, which has a sheet per fiscal year of a book; take csv', { member: 'format' });
    const { content, rows } = await actionLog.workbook(book, question);
    request.acted = { rows };
    reply.header('Content-Type', 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet').send(Readable.from(content));
  }
}
