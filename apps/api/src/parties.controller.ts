/** Parties: customers, suppliers, employees; what is personal of them, and their end. */
import { Readable } from 'node:stream';
import { Controller, Get, HttpCode, HttpStatus, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { LedgerError, retentionRules } from '#domain';
import { Service } from '#ledger';
import { type CommandRoute, Commands } from './commands';
import { isUuid } from './members';
import { CommandOperation, QueryOperation } from './operation';
import {
  AccessReportShown,
  ChangePartyBody,
  ClosePartyBody,
  changeParty,
  closeParty,
  defineRetention,
  EraseBody,
  ErasurePreviewShown,
  erasePerson,
  HoldBody,
  OpenPartyBody,
  openParty,
  PartiesPage,
  PartiesQuery,
  PartyRecorded,
  PartyReportQuery,
  PartyShown,
  PersonErasedShown,
  placeHold,
  RetentionBody,
  RetentionRecorded,
  RetentionRulesShown,
  releaseHold,
} from './parties.dto';
import { checkOpening } from './personal';
import { whole } from './queries.dto';

const location: CommandRoute<object>['location'] = ({ book, id }) => `/v1/books/${book}/parties/${id}`;
const opening: CommandRoute<OpenPartyBody> = { body: OpenPartyBody, command: openParty, location };
const changing: CommandRoute<ChangePartyBody> = { body: ChangePartyBody, command: changeParty };
const closing: CommandRoute<ClosePartyBody> = { body: ClosePartyBody, command: closeParty };
const scope = 'personal' as const;
const holding: CommandRoute<HoldBody> = { body: HoldBody, command: placeHold, scope };
const releasing: CommandRoute<HoldBody> = { body: HoldBody, command: releaseHold, scope };
const erasing: CommandRoute<EraseBody> = { body: EraseBody, command: erasePerson, scope };
const retaining: CommandRoute<RetentionBody> = { body: RetentionBody, command: defineRetention, scope };

@ApiTags('parties')
@Controller('v1/books/:book')
export class PartiesController {
  constructor(
    private readonly commands: Commands,
    private readonly service: Service,
  ) {}

  @Post('parties')
  @CommandOperation({
    summary: 'Open a party',
    description:
      'A customer, supplier, employee or other person whom lines refer to by an id that says nothing. What is personal is kept encrypted, under keys of this person alone.',
    body: OpenPartyBody,
    answer: PartyRecorded,
    creates: true,
    refusals: ['book_unknown', 'party_exists', 'person_erased', 'keys_unavailable'],
  })
  open(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(opening, request, reply);
  }

  @Get('parties')
  @QueryOperation({
    summary: 'List parties',
    description: 'In the order in which they were opened.',
    answer: PartiesPage,
    refusals: ['forbidden', 'book_unknown', 'projection_behind', 'keys_unavailable'],
  })
  list(@Param('book') book: string, @Query() { limit, ...query }: PartiesQuery): Promise<PartiesPage> {
    return this.service.persons.list(book, { ...query, limit: whole(limit) });
  }

  @Get('parties/:party')
  @QueryOperation({
    summary: 'Read a party',
    answer: PartyShown,
    refusals: ['forbidden', 'book_unknown', 'keys_unavailable'],
    addressesParty: true,
  })
  read(@Param('book') book: string, @Param('party') party: string): Promise<PartyShown> {
    return this.service.persons.party(book, idOf(party));
  }

  @Post('parties/:party/change')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Change a party',
    description: 'Members that are left out stay as they are.',
    body: ChangePartyBody,
    answer: PartyRecorded,
    refusals: ['book_unknown', 'party_closed', 'person_erased', 'keys_unavailable'],
    addressesParty: true,
  })
  change(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(changing, request, reply);
  }

  @Post('parties/:party/close')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Close a party',
    description: 'No further line on a control account names it. What is known of it stays.',
    body: ClosePartyBody,
    answer: PartyRecorded,
    refusals: ['book_unknown', 'party_closed'],
    addressesParty: true,
  })
  close(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(closing, request, reply);
  }

  @Post('parties/:party/holds')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Place a legal hold',
    description: 'Nothing of the party is erased while one stands. For keys with the scope `personal`.',
    body: HoldBody,
    answer: PartyRecorded,
    refusals: ['forbidden', 'book_unknown', 'hold_state'],
    addressesParty: true,
  })
  hold(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(holding, request, reply);
  }

  @Post('parties/:party/holds/release')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Release a legal hold',
    description: 'For keys with the scope `personal`.',
    body: HoldBody,
    answer: PartyRecorded,
    refusals: ['forbidden', 'book_unknown', 'hold_state'],
    addressesParty: true,
  })
  release(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(releasing, request, reply);
  }

  @Get('parties/:party/erasure')
  @QueryOperation({
    summary: 'What an erasure would destroy today',
    description: 'And what stays, by which rule and until when. Nothing is changed.',
    answer: ErasurePreviewShown,
    refusals: ['book_unknown', 'projection_behind', 'keys_unavailable'],
    addressesParty: true,
  })
  preview(@Param('book') book: string, @Param('party') party: string): Promise<ErasurePreviewShown> {
    return this.service.persons.preview(book, idOf(party));
  }

  @Post('parties/:party/erase')
  @HttpCode(HttpStatus.OK)
  @CommandOperation({
    summary: 'Erase a person',
    description:
      'Destroys the keys of what no retention duty covers: it cannot be read any more, by nobody, in the log as elsewhere, and every proof stays valid. What a duty covers is named, and destroyed by itself when the duty ends. For keys with the scope `personal`.',
    body: EraseBody,
    answer: PersonErasedShown,
    refusals: ['forbidden', 'book_unknown', 'legal_hold', 'nothing_to_erase', 'projection_behind', 'books_moving', 'keys_unavailable'],
    addressesParty: true,
  })
  erase(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(erasing, request, reply);
  }

  @Get('parties/:party/report')
  @QueryOperation({
    summary: 'Everything about a person',
    description:
      'Every place at which the books speak of the person, texts opened, and what became of the party itself: what Art. 15 GDPR gives a right to. For keys with the scope `personal`, and recorded as a user action.',
    answer: AccessReportShown,
    csv: true,
    refusals: ['forbidden', 'book_unknown', 'projection_behind', 'keys_unavailable'],
    addressesParty: true,
  })
  async report(
    @Param('book') book: string,
    @Param('party') party: string,
    @Query() { format = 'json' }: PartyReportQuery,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    checkOpening(request, this.service);
    const report = await this.service.persons.accessReport(book, idOf(party), format === 'csv' ? 'csv' : 'json');
    // It opens texts by itself, whatever the header says.
    request.presentation = 'open';
    request.opened = report.opened;
    request.acted = { position: report.position };
    reply
      .header('Content-Type', report.contentType)
      .header('Content-Disposition', `attachment; filename="${report.fileName}"`)
      .header('Cache-Control', 'no-store')
      .send(Readable.from(report.body));
  }

  @Post('retention-rules')
  @CommandOperation({
    summary: 'State how long something must be kept',
    description:
      'Where the period of a country or kind of document is another one than the built-in one; counts for what is recorded already too. For keys with the scope `personal`, and also `controller` where it is shorter than the built-in one: what it no longer covers is erased.',
    body: RetentionBody,
    answer: RetentionRecorded,
    creates: true,
    refusals: ['forbidden', 'book_unknown'],
  })
  retain(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(retaining, request, reply);
  }

  @Get('retention-rules')
  @QueryOperation({ summary: 'List retention rules', answer: RetentionRulesShown, refusals: ['book_unknown'] })
  async rules(@Param('book') book: string): Promise<RetentionRulesShown> {
    return { own: await this.service.persons.rules(book), builtIn: retentionRules };
  }
}

/** @throws LedgerError party_unknown: what cannot be an id is the id of nobody */
function idOf(party: string): string {
  if (isUuid(party)) return party.toLowerCase();
  throw new LedgerError('party_unknown', `there is no party ${party}`, { party }, 'not_found');
}
