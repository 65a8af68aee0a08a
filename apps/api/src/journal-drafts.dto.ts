/** Bodies of commands on drafts of journal entries, and what they answer. */
import { ApiProperty } from '@nestjs/swagger';
import type { CreateDraft, DraftStatus, MoveDraft, ReviseDraft } from '#domain';
import { Recorded } from './books.dto';
import { content, type EntryBody, WrittenEntry } from './journal-entries.dto';
import { Prose } from './members';

export class DraftReasonBody {
  @Prose(500, { optional: true, description: 'Why: stands in every event of the command.' })
  reason?: string;
}

export class RejectDraftBody {
  @Prose(500, { description: 'What is wrong with it.', example: 'Which invoice is it for?' })
  reason!: string;
}

export const createDraft = (body: EntryBody): CreateDraft => ({ ...content(body), type: 'CreateDraft' });
export const reviseDraft = (body: EntryBody, entryId: string): ReviseDraft => ({ ...content(body), type: 'ReviseDraft', entryId });
export const submitDraft = (body: DraftReasonBody, entryId: string): MoveDraft => ({ ...body, type: 'SubmitDraft', entryId });
export const approveDraft = (body: DraftReasonBody, entryId: string): MoveDraft => ({ ...body, type: 'ApproveDraft', entryId });
export const rejectDraft = (body: RejectDraftBody, entryId: string): MoveDraft => ({ ...body, type: 'RejectDraft', entryId });
export const discardDraft = (body: DraftReasonBody, entryId: string): MoveDraft => ({ ...body, type: 'DiscardDraft', entryId });

const statuses = ['draft', 'submitted', 'approved', 'posted', 'discarded'] as const satisfies readonly DraftStatus[];

export class DraftChanged extends Recorded {
  @ApiProperty({ description: 'The entry will keep it when it is posted.', example: '0198c0de-0000-7000-8000-000000000003' })
  id!: string;

  @ApiProperty({ enum: statuses, example: 'draft' })
  status!: DraftStatus;
}

/** The entry as its author has it: amounts in their shortest form, codes as they were given. */
export class DraftShown extends WrittenEntry {
  @ApiProperty({ example: '0198c0de-0000-7000-8000-000000000003' })
  id!: string;

  @ApiProperty({ enum: statuses, example: 'submitted' })
  status!: DraftStatus;

  @ApiProperty({ description: 'Where it counts: this period does not close over it.', example: '2026' })
  fiscalYear!: string;

  @ApiProperty({ example: 1 })
  period!: number;

  @ApiProperty({ description: 'Opaque id of its author.' })
  createdBy!: string;

  @ApiProperty({ required: false, description: 'Who revised it last.' })
  revisedBy?: string;

  @ApiProperty({ required: false, description: 'Who submitted it; somebody else has to approve it.' })
  submittedBy?: string;

  @ApiProperty({ required: false })
  approvedBy?: string;

  @ApiProperty({ description: 'Of its newest event.', example: 42 })
  position!: number;

  @ApiProperty({ description: 'Of its newest event.', example: '2026-07-02T12:00:00.000001Z' })
  recordedAt!: string;
}

export class DraftsPage {
  @ApiProperty({ description: 'The position that this page holds for.', example: 42 })
  position!: number;

  @ApiProperty({ type: () => [DraftShown], description: 'By effective date.' })
  drafts!: readonly DraftShown[];

  @ApiProperty({ required: false, description: 'Cursor of the next page; absent at the end.' })
  nextCursor?: string;
}
