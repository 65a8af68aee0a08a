/**
 * Drafts: what happens to an entry before it is posted. It is written and rewritten, submitted, and approved by somebody else,
 * which posts it in the same append; or it is rejected, or discarded. Hides what is decided when: what is written must have the
 * right form and a day that its author could post to, a submitted one must add up, and everything else (open accounts, limits,
 * rates) is decided when it is posted, by the same checks as an entry that is posted directly. Guarantees that every draft that
 * is neither posted nor discarded is listed under its period, so that no period closes over it.
 */
import type { CalendarDate } from './calendar-date';
import type { Decision } from './decision';
import { type ErrorCode, errorTable, LedgerError, Refusals } from './errors';
import {
  anybody,
  checkUnposted,
  type DraftContent,
  type DraftEvent,
  definePeriod,
  type EntryContent,
  type JournalDraft,
  type JournalWritten,
  type PostedEntry,
  postUnless,
} from './journal';

// --- Which drafts are open ---

/** A draft that is neither posted nor discarded, as its period and lists know it. */
export interface OpenDraft {
  readonly period: number;
  /** As its author has it; where it may move, the period may be that of a later day. */
  readonly effectiveDate: CalendarDate;
  readonly status: 'draft' | 'submitted';
  /** How many. */
  readonly lines: number;
}

/** Of one fiscal year, by entry id. */
export type OpenDrafts = ReadonlyMap<string, OpenDraft>;

/** What an event makes of a draft in the list of a fiscal year: undefined when it leaves it, `same` when the event is none of its business. */
export function openDraftAfter(drafts: OpenDrafts, fiscalYear: string, id: string, event: DraftEvent): OpenDraft | undefined | 'same' {
  const known = drafts.get(id);
  switch (event.type) {
    case 'JournalCreated':
    case 'JournalRevised': {
      const { fiscalYear: year, period, effectiveDate, lines } = event.data;
      if (year === fiscalYear) return { period, effectiveDate, status: 'draft', lines: lines.length };
      return known === undefined ? 'same' : undefined;
    }
    case 'JournalSubmitted':
      return known === undefined ? 'same' : { ...known, status: 'submitted' };
    case 'JournalRejected':
      return known === undefined ? 'same' : { ...known, status: 'draft' };
    case 'JournalApproved':
    case 'JournalDiscarded':
      return known === undefined ? 'same' : undefined;
  }
}

/** The list of a fiscal year after some events. */
export function draftsAfter(
  drafts: OpenDrafts,
  fiscalYear: string,
  events: readonly { readonly id: string; readonly event: DraftEvent }[],
): OpenDrafts {
  const after = new Map(drafts);
  for (const { id, event } of events) {
    const draft = openDraftAfter(after, fiscalYear, id, event);
    if (draft === undefined) after.delete(id);
    else if (draft !== 'same') after.set(id, draft);
  }
  return after;
}

/** Open drafts of a fiscal year: all of them stand in one head, which is written with each change of one. */
export const openDraftsMax = 5_000;

// --- Commands ---

export interface CreateDraft extends EntryContent {
  readonly type: 'CreateDraft';
}

/** A whole new content for a draft. */
export interface ReviseDraft extends EntryContent {
  readonly type: 'ReviseDraft';
  readonly entryId: string;
}

export type MoveDraft =
  | { readonly type: 'SubmitDraft' | 'ApproveDraft' | 'DiscardDraft'; readonly entryId: string; readonly reason?: string }
  | { readonly type: 'RejectDraft'; readonly entryId: string; readonly reason: string };

// --- Decisions ---

/**
 * Saves an entry that is not posted. Accounts, day book and currencies may be unknown yet, and it need not balance.
 * @param id the entry's id (UUIDv7), which names its stream and stays when it is posted
 * @throws LedgerError malformed | amount_format | date_invalid | no_fiscal_year | before_book_start | period_closed | too_many_drafts
 */
export function createDraft(decision: Decision, { type: _type, reason: _reason, ...content }: CreateDraft, id: string): void {
  const written = write(decision, content, new Refusals(matterWhenWritten));
  decision.recordDraft(id, { type: 'JournalCreated', data: { ...written, createdBy: decision.actor.userId } });
}

/** @throws LedgerError entry_unknown | draft_state | as createDraft */
export function reviseDraft(decision: Decision, { type: _type, entryId, reason: _reason, ...content }: ReviseDraft): void {
  const refusals = new Refusals(matterWhenWritten);
  decision.book();
  const draft = decision.entry(entryId)?.draft;
  // What is wrong with the command itself comes before that there is no such draft.
  if (draft === undefined) refusals.note('entry_unknown', () => unknownDraft(decision, entryId).message, { entry: entryId });
  else checkState(entryId, draft, ['draft'], refusals);
  const written = write(decision, content, refusals, draft);
  decision.recordDraft(entryId, { type: 'JournalRevised', data: { ...written, revisedBy: decision.actor.userId } });
}

/** @throws LedgerError entry_unknown | draft_state | what can never be posted: account_unknown … unbalanced, account_not_postable */
export function submitDraft(decision: Decision, entryId: string): void {
  const refusals = new Refusals(matterWhenSubmitted);
  const draft = knownDraft(decision, entryId);
  checkState(entryId, draft, ['draft'], refusals);
  checkUnposted(decision, draft.content, refusals);
  refusals.throwFirst();
  decision.recordDraft(entryId, { type: 'JournalSubmitted', data: { submittedBy: decision.actor.userId } });
}

/**
 * Posts a submitted draft, as it would be posted now.
 * @throws LedgerError entry_unknown | draft_state | second_user_required | as postEntry
 */
export function approveDraft(decision: Decision, entryId: string): PostedEntry {
  const refusals = new Refusals();
  const draft = knownDraft(decision, entryId);
  const { userId } = decision.actor;
  checkState(entryId, draft, ['submitted'], refusals);
  if (draft.submittedBy === userId)
    refusals.note('second_user_required', () => `you submitted draft ${entryId}; another person has to approve it`, { entry: entryId });
  decision.recordDraft(entryId, { type: 'JournalApproved', data: { approvedBy: userId } });
  return postUnless(refusals, decision, draft.content, entryId, anybody(decision));
}

/** Gives a submitted draft back to its author; whoever submitted it may take it back in this way. @throws LedgerError entry_unknown | draft_state */
export function rejectDraft(decision: Decision, entryId: string): void {
  const refusals = new Refusals();
  checkState(entryId, knownDraft(decision, entryId), ['submitted'], refusals);
  refusals.throwFirst();
  decision.recordDraft(entryId, { type: 'JournalRejected', data: { rejectedBy: decision.actor.userId } });
}

/** Ends a draft that will not be posted; what it said stays in the log. @throws LedgerError entry_unknown | draft_state */
export function discardDraft(decision: Decision, entryId: string): void {
  const refusals = new Refusals();
  checkState(entryId, knownDraft(decision, entryId), ['draft', 'submitted'], refusals);
  refusals.throwFirst();
  decision.recordDraft(entryId, { type: 'JournalDiscarded', data: { discardedBy: decision.actor.userId } });
}

/** Whatever is invalid in itself, and days that the author could not post to: else it could never be posted. */
const alsoWhenWritten = new Set<ErrorCode>(['entry_unknown', 'draft_state', 'no_fiscal_year', 'before_book_start', 'period_closed']);
const matterWhenWritten = (code: ErrorCode): boolean => errorTable[code].kind === 'invalid' || alsoWhenWritten.has(code);

/** Everything but what may have changed by the time it is posted. */
const decidedWhenPosted = new Set<ErrorCode>([
  'base_amount_required',
  'account_not_designated',
  'no_fiscal_year',
  'before_book_start',
  'period_closed',
  'account_frozen',
  'account_closed',
]);
const matterWhenSubmitted = (code: ErrorCode): boolean => !decidedWhenPosted.has(code);

/** What is recorded of a content, with the fiscal years that it needs. @param before what it replaces */
function write(decision: Decision, content: DraftContent, refusals: Refusals, before?: JournalDraft): JournalWritten {
  const day = checkUnposted(decision, content, refusals);
  refusals.throwFirst();
  const { fiscalYear, period } = definePeriod(decision, day);
  if (before?.fiscalYear !== fiscalYear && decision.drafts(fiscalYear).size >= openDraftsMax) {
    throw new LedgerError(
      'too_many_drafts',
      `fiscal year ${fiscalYear} has ${openDraftsMax} open drafts, which is the limit; post or discard some first`,
      { fiscalYear, limit: openDraftsMax },
    );
  }
  return { ...content, fiscalYear, period };
}

/** @throws LedgerError entry_unknown */
function knownDraft(decision: Decision, id: string): JournalDraft {
  decision.book();
  const draft = decision.entry(id)?.draft;
  if (draft === undefined) throw unknownDraft(decision, id);
  return draft;
}

function unknownDraft(decision: Decision, id: string): LedgerError {
  const posted = decision.entry(id) === undefined ? '' : '; the entry with this id was posted directly';
  return new LedgerError('entry_unknown', `there is no draft ${id} in book ${decision.bookId}${posted}`, { entry: id });
}

const advice: Readonly<Record<JournalDraft['status'], string>> = {
  draft: 'submit it first (POST …/submit)',
  submitted: 'approve it, or reject it to have it revised (POST …/approve, …/reject)',
  approved: 'it is posted',
  posted: 'reverse or correct the entry (POST …/journal-entries/ID/reverse, …/correct)',
  discarded: 'create another one',
};

function checkState(id: string, { status }: JournalDraft, needed: readonly JournalDraft['status'][], refusals: Refusals): void {
  if (needed.includes(status)) return;
  const is = status === 'draft' ? 'is in draft' : `is ${status}`;
  refusals.note('draft_state', () => `draft ${id} ${is}; ${advice[status]}`, { entry: id, draftStatus: status });
}
