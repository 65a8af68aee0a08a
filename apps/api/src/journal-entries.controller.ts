/** Journal entries: posting, reversing, correcting, reading. */
import { Controller, Get, HttpCode, HttpStatus, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type EntryFilters, Service } from '#ledger';
import { type CommandRoute, Commands } from './commands';
import {
  BatchBody,
  BatchPosted,
  CorrectBody,
  correctEntry,
  EntryBody,
  EntryCorrected,
  EntryPosted,
  entryRefusals,
  limitBatch,
  limitEntry,
  postEntries,
  postEntry,
  ReverseBody,
  reverseEntry,
} from './journal-entries.dto';
import { CommandOperation, QueryOperation } from './operation';
import { EntriesPage, EntriesQuery, EntryShown, KnownQuery, whole } from './queries.dto';

const location: CommandRoute<object>['location'] = ({ book, id }) => `/v1/books/${book}/journal-entries/${id}`;
const posting: CommandRoute<EntryBody> = {
  body: EntryBody,
  command: postEntry,
  limit: (body, limits, refusals) => limitEntry(body, limits, refusals),
  location,
};
const postingMany: CommandRoute<BatchBody> = { body: BatchBody, command: postEntries, limit: limitBatch };
const reversing: CommandRoute<ReverseBody> = { body: ReverseBody, command: reverseEntry, location };
const correcting: CommandRoute<CorrectBody> = {
  body: CorrectBody,
  command: correctEntry,
  limit: (body, limits, refusals) => limitEntry(body, limits, refusals),
  location,
};

@ApiTags('journal entries')
@Controller('v1/books/:book/journal-entries')
export class JournalEntriesController {
  constructor(
    private readonly commands: Commands,
    private readonly service: Service,
  ) {}

  @Post()
  @CommandOperation({ summary: 'Post an entry', body: EntryBody, answer: EntryPosted, creates: true, refusals: entryRefusals })
  post(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(posting, request, reply);
  }

  @Post('batch')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Post many entries',
    description:
      'One result per entry, in order: its receipt, or `{problem}`. With `atomic` all entries are posted or none, and the refusal names the first that is wrong. ' +
      'A body that is not valid as a whole is refused as a whole. Repeated with the same key, entries that are posted are not posted again and missing ones are.',
    body: BatchBody,
    answer: BatchPosted,
    refusals: entryRefusals,
  })
  postMany(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(postingMany, request, reply);
  }

  @Get()
  @QueryOperation({
    summary: 'Search entries',
    description: 'Every page shows the entries as they were at the position that the first page was answered at.',
    answer: EntriesPage,
    refusals: ['date_invalid', 'book_unknown', 'account_unknown', 'projection_behind'],
  })
  list(@Param('book') book: string, @Query() { limit, number, sort, account, ...query }: EntriesQuery): Promise<EntriesPage> {
    return this.service.queries.entries(book, {
      ...query,
      limit: whole(limit),
      number: whole(number),
      sort: sort as EntryFilters['sort'],
      account: account?.normalize('NFC'),
    });
  }

  @Get(':id')
  @QueryOperation({
    summary: 'Read an entry',
    answer: EntryShown,
    refusals: ['date_invalid', 'book_unknown', 'entry_unknown', 'projection_behind'],
  })
  read(@Param('book') book: string, @Param('id') id: string, @Query() query: KnownQuery): Promise<EntryShown> {
    return this.service.queries.entry(book, id, query);
  }

  @Post(':id/reverse')
  @CommandOperation({
    summary: 'Reverse an entry',
    description: 'Posts its mirrored lines under the same day book, with a number of their own.',
    body: ReverseBody,
    answer: EntryPosted,
    creates: true,
    refusals: [
      'date_invalid',
      'book_unknown',
      'entry_unknown',
      'no_fiscal_year',
      'before_book_start',
      'period_closed',
      'account_frozen',
      'account_closed',
      'limit_exceeded',
      'already_reversed',
      'reversal_of_reversal',
    ],
  })
  reverse(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(reversing, request, reply);
  }

  @Post(':id/correct')
  @CommandOperation({
    summary: 'Correct an entry',
    description:
      'Reverses it and posts its replacement on the same date, both or neither. Members that are left out are those of the original.',
    body: CorrectBody,
    answer: EntryCorrected,
    creates: true,
    refusals: [...entryRefusals, 'entry_unknown', 'already_reversed', 'reversal_of_reversal'],
  })
  correct(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(correcting, request, reply);
  }
}
