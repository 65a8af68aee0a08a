/** Drafts: entries before they are posted. Written and rewritten, submitted, approved by somebody else or rejected, discarded. */
import { Controller, Get, HttpCode, HttpStatus, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ErrorCode } from '#domain';
import { Service } from '#ledger';
import { type CommandRoute, Commands } from './commands';
import {
  approveDraft,
  createDraft,
  DraftChanged,
  DraftReasonBody,
  DraftShown,
  DraftsPage,
  discardDraft,
  RejectDraftBody,
  rejectDraft,
  reviseDraft,
  submitDraft,
} from './journal-drafts.dto';
import { EntryBody, EntryPosted, entryRefusals, limitEntry } from './journal-entries.dto';
import { CommandOperation, QueryOperation } from './operation';
import { PageQuery, whole } from './queries.dto';

const limit: CommandRoute<EntryBody>['limit'] = (body, limits, refusals) => limitEntry(body, limits, refusals);
const creating: CommandRoute<EntryBody> = {
  body: EntryBody,
  command: createDraft,
  limit,
  location: ({ book, id }) => `/v1/books/${book}/journal-drafts/${id}`,
};
const revising: CommandRoute<EntryBody> = { body: EntryBody, command: reviseDraft, limit };
const submitting: CommandRoute<DraftReasonBody> = { body: DraftReasonBody, command: submitDraft };
const approving: CommandRoute<DraftReasonBody> = {
  body: DraftReasonBody,
  command: approveDraft,
  location: ({ book, id }) => `/v1/books/${book}/journal-entries/${id}`,
};
const rejecting: CommandRoute<RejectDraftBody> = { body: RejectDraftBody, command: rejectDraft };
const discarding: CommandRoute<DraftReasonBody> = { body: DraftReasonBody, command: discardDraft };

const existing: readonly ErrorCode[] = ['book_unknown', 'entry_unknown', 'draft_state'];
const written: readonly ErrorCode[] = [
  'amount_not_string',
  'amount_format',
  'date_invalid',
  'book_unknown',
  'no_fiscal_year',
  'before_book_start',
  'period_closed',
  'too_many_drafts',
];

@ApiTags('journal drafts')
@Controller('v1/books/:book/journal-drafts')
export class JournalDraftsController {
  constructor(
    private readonly commands: Commands,
    private readonly service: Service,
  ) {}

  @Post()
  @CommandOperation({
    summary: 'Save an entry that is not posted',
    description:
      'It need not balance, and accounts, day book and currencies may be unknown yet; its date must be one that its author could post to. ' +
      'Its period does not close before it is posted, discarded, or dated elsewhere.',
    body: EntryBody,
    answer: DraftChanged,
    creates: true,
    refusals: written,
  })
  create(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(creating, request, reply);
  }

  @Get()
  @QueryOperation({
    summary: 'List drafts that are neither posted nor discarded',
    description: 'By effective date. Always current: a page shows what is open when it is asked for.',
    answer: DraftsPage,
    refusals: ['book_unknown'],
  })
  list(@Param('book') book: string, @Query() { limit, cursor }: PageQuery): Promise<DraftsPage> {
    return this.service.queries.drafts(book, { cursor, limit: whole(limit) });
  }

  @Get(':id')
  @QueryOperation({
    summary: 'Read a draft',
    description: 'Also when it is posted (the entry has the same id) or discarded.',
    answer: DraftShown,
    refusals: ['book_unknown', 'entry_unknown'],
  })
  read(@Param('book') book: string, @Param('id') id: string): Promise<DraftShown> {
    return this.service.queries.draft(book, id);
  }

  @Post(':id/revise')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Rewrite a draft',
    description: 'The body is its whole new content. A submitted draft has to be rejected first.',
    body: EntryBody,
    answer: DraftChanged,
    refusals: [...written, ...existing],
  })
  revise(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(revising, request, reply);
  }

  @Post(':id/submit')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Submit a draft for approval',
    description:
      'It must add up, on accounts that exist. What may change until it is posted, such as limits and closed accounts, is asked then.',
    body: DraftReasonBody,
    answer: DraftChanged,
    refusals: [
      ...existing,
      'account_unknown',
      'journal_unknown',
      'currency_unknown',
      'currency_not_allowed',
      'scale_exceeded',
      'amount_range',
      'too_few_lines',
      'unbalanced',
      'account_not_postable',
    ],
  })
  submit(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(submitting, request, reply);
  }

  @Post(':id/approve')
  @CommandOperation({
    summary: 'Approve a draft, which posts it',
    description:
      'By another user than the one who submitted it. Everything that is asked of an entry that is posted directly is asked now; the entry keeps the id of its draft.',
    body: DraftReasonBody,
    answer: EntryPosted,
    creates: true,
    refusals: [...existing, ...entryRefusals, 'second_user_required'],
  })
  approve(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(approving, request, reply);
  }

  @Post(':id/reject')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Give a submitted draft back to its author, or take it back',
    body: RejectDraftBody,
    answer: DraftChanged,
    refusals: existing,
  })
  reject(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(rejecting, request, reply);
  }

  @Post(':id/discard')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Discard a draft',
    description: 'For ever; what it said stays in the log.',
    body: DraftReasonBody,
    answer: DraftChanged,
    refusals: existing,
  })
  discard(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(discarding, request, reply);
  }
}
