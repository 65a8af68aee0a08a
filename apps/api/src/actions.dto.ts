/** What the log of user actions is asked for, and what it answers. */
import { ApiProperty } from '@nestjs/swagger';
import { actionKinds, actionOutcomes } from '#ledger';
import { OneOf, Text } from './members';
import { PageQuery } from './queries.dto';

const optional = true;

export class ActionsQuery extends PageQuery {
  @Text(100, { optional, description: 'Only those of this user: id of an API key, as events name it.' })
  userId?: string;

  @Text(255, { optional, description: 'Only those for this person or system (header On-Behalf-Of).' })
  onBehalfOf?: string;

  @OneOf(actionKinds, { optional, description: 'Only those of this kind.', example: 'read' })
  kind?: string;

  @Text(200, { optional, description: 'Only this type of command or name of a read.', example: 'trial-balance' })
  action?: string;

  @OneOf(actionOutcomes, { optional, description: 'Only those that ended so.', example: 'denied' })
  outcome?: string;

  @Text(1000, { optional, description: 'Only those about this account, entry or whatever the path or query named.', example: '1000' })
  about?: string;

  @Text(40, {
    optional,
    description: "Recorded on or after: a date by the book's clock, or an RFC 3339 instant.",
    example: '2026-01-01',
  })
  from?: string;

  @Text(40, { optional, description: 'Recorded on or before: a date (its whole day) or an instant.', example: '2026-12-31' })
  to?: string;

  @OneOf(['json', 'csv', 'xlsx'], {
    optional,
    description:
      'json: a page, the newest first. csv: all of them, the oldest first. xlsx: the same as a workbook with a sheet per fiscal year; not of the installation.',
    default: 'json',
  })
  format?: string;
}

class ActionMemberShown {
  @ApiProperty({ example: 'period' })
  key!: string;

  @ApiProperty({ required: false, example: '2026' })
  value?: string;

  @ApiProperty({
    required: false,
    description: 'Instead of a value that somebody typed: SHA-256 of the salt of the place where it came from and the text.',
  })
  digest?: string;
}

class OpenedShown {
  @ApiProperty({ description: 'How many texts.', example: 2 })
  texts!: number;

  @ApiProperty({ type: [String], description: 'Ids of the persons, a hundred at most.' })
  parties!: readonly string[];

  @ApiProperty({ description: 'How many persons.', example: 1 })
  of!: number;
}

export class ActionShown {
  @ApiProperty({ description: 'In the log of actions.', example: 7 })
  position!: number;

  @ApiProperty()
  eventId!: string;

  @ApiProperty({ example: '2026-07-02T12:00:00.000001Z' })
  recordedAt!: string;

  @ApiProperty({ required: false, description: 'Id of the API key; absent of logins that failed.' })
  userId?: string;

  @ApiProperty({ required: false })
  onBehalfOf?: string;

  @ApiProperty({ example: 'REST' })
  source!: string;

  @ApiProperty({ enum: actionKinds })
  kind!: string;

  @ApiProperty({ description: 'Type of the command, or what was read.', example: 'trial-balance' })
  action!: string;

  @ApiProperty({
    enum: actionOutcomes,
    description:
      'partly: of several entries some were refused. begun: the answer is streamed, and a further action tells how it ended. refused: by the rules of the books or as malformed. denied: the caller may not do it.',
  })
  outcome!: string;

  @ApiProperty({ required: false, example: 200 })
  status?: number;

  @ApiProperty({ required: false, description: 'Of a refusal; see docs/reference/errors.md.', example: 'unbalanced' })
  code?: string;

  @ApiProperty({ required: false, type: () => [ActionMemberShown], description: 'Members of path and query.' })
  filter?: readonly ActionMemberShown[];

  @ApiProperty({
    required: false,
    description: "In the log of the book: the command's first event, or what the read holds for.",
    example: 42,
  })
  bookPosition?: number;

  @ApiProperty({ required: false, description: 'Rows, lines or entries that were given, or posted.', example: 12 })
  rows?: number;

  @ApiProperty({ required: false, description: 'Entries of a batch or an import that were refused; code is that of the first.' })
  refused?: number;

  @ApiProperty({ required: false, description: 'Of a streamed answer.' })
  bytes?: number;

  @ApiProperty({ required: false, description: 'The first answer was given again.' })
  replayed?: true;

  @ApiProperty({ required: false, description: 'So many of the same kind at about the same time, of which this is the first.' })
  times?: number;

  @ApiProperty({ required: false, description: 'The action that began what this one ends.' })
  begunAs?: string;

  @ApiProperty({ required: false, type: () => OpenedShown, description: 'Personal data that was shown.' })
  opened?: OpenedShown;

  @ApiProperty({ required: false, description: 'Idempotency key.' })
  commandKey?: string;

  @ApiProperty({ required: false })
  correlationId?: string;

  @ApiProperty({ required: false })
  reason?: string;

  @ApiProperty({ required: false, description: 'Absent where nobody knew, or where it was erased.' })
  ip?: string;

  @ApiProperty({ required: false })
  userAgent?: string;
}

export class ActionsShown {
  @ApiProperty({ description: 'Of the log of actions: the list holds for it.', example: 42 })
  position!: number;

  @ApiProperty({ type: () => [ActionShown] })
  actions!: readonly ActionShown[];

  @ApiProperty({ required: false })
  nextCursor?: string;
}
