/**
 * Drafts as the replay of a book sees them: what happened to entries before they were posted, which of them are open in which
 * period, and whether what was posted is what was written. Hides the states that a draft goes through; asks every rule again that
 * held when its events were decided, without the code that decides. Keeps the content of open drafts only: of others a version.
 */
import {
  adjustmentPeriodOf,
  type BookState,
  canonicalDecimal,
  type DraftEvent,
  isDate,
  type JournalState,
  journalReducer,
  periodOf,
  statusOfPeriod,
} from '#domain';
import { canonicalJson, snapshotDue } from '#event-store';
import type { ReadEvent } from './replay';
import { shapeProblem } from './shapes';

type Json = Readonly<Record<string, unknown>>;

/** A Journal that began as a draft. */
interface ReplayedJournal {
  version: number;
  /** Undefined once it is posted or discarded and its batch is over. */
  state: JournalState | undefined;
  status: string;
  batch: number;
  versionBefore: number;
  /** The state that was last due to be kept as a snapshot. */
  snapshot?: { readonly version: number; readonly state: unknown };
}

/** The open drafts of one fiscal year. */
export interface ReplayedDrafts {
  /** Rows of the head: id, period, date, status and number of lines, by id. */
  readonly open: Map<string, readonly [id: string, period: number, date: string, status: string, lines: number]>;
  /** 1 with the definition of the year, and one more with every change. */
  version: number;
  batch: number;
  versionBefore: number;
}

/** From which states an event may come, the state that it leads to, and the member that says who caused it. */
const moves: Readonly<Record<string, { readonly from: readonly string[]; readonly to: string; readonly who: string }>> = {
  JournalCreated: { from: ['none'], to: 'draft', who: 'createdBy' },
  JournalRevised: { from: ['draft'], to: 'draft', who: 'revisedBy' },
  JournalSubmitted: { from: ['draft'], to: 'submitted', who: 'submittedBy' },
  JournalApproved: { from: ['submitted'], to: 'approved', who: 'approvedBy' },
  JournalRejected: { from: ['submitted'], to: 'draft', who: 'rejectedBy' },
  JournalDiscarded: { from: ['draft', 'submitted'], to: 'discarded', who: 'discardedBy' },
};

export class Drafts {
  readonly journals = new Map<string, ReplayedJournal>();
  readonly years = new Map<string, ReplayedDrafts>();
  /** Journals of the batch at hand. */
  private touched: ReplayedJournal[] = [];

  /** A fiscal year was defined in a batch. */
  define(fiscalYear: string, batch: number): void {
    if (!this.years.has(fiscalYear)) this.years.set(fiscalYear, { open: new Map(), version: 1, batch, versionBefore: 0 });
  }

  /** The version that an event of this stream must follow. */
  versionOf(id: string): number {
    return this.journals.get(id)?.version ?? 0;
  }

  /**
   * Folds an event of a draft.
   * @param user who caused it
   * @returns what is wrong with it, in words that follow "event 7 (…): "
   */
  take(event: ReadEvent, data: Json, user: unknown, { book, batch }: { readonly book: BookState; readonly batch: number }): string[] {
    const { streamId: id, eventType, version } = event;
    const { from, to, who } = moves[eventType] as (typeof moves)[string];
    const journal = this.journals.get(id);
    const unreadable = shapeProblem(eventType, data) ?? linesProblem(data);
    const problem = unreadable ?? dayProblem(eventType, data, book);
    const wrong = problem === undefined ? [] : [problem];
    const status = journal?.status ?? 'none';
    if (!from.includes(status))
      wrong.push(status === 'none' ? 'comes before JournalCreated of its draft' : `happens to a draft that is ${status}`);
    if (data[who] !== user) wrong.push(`its ${who} is ${JSON.stringify(data[who])}, its metadata says ${JSON.stringify(user)} (I12)`);
    const submittedBy = journal?.state?.draft?.submittedBy;
    if (eventType === 'JournalApproved' && submittedBy === data[who]) wrong.push(`is by ${String(data[who])}, who submitted it`);
    if ((journal?.state === undefined) !== (eventType === 'JournalCreated') || unreadable !== undefined) {
      // Cannot be folded: the stream goes on behind it.
      if (journal !== undefined) journal.version = version;
      return wrong;
    }
    const state = journalReducer.evolve(journal?.state, { type: eventType, data } as unknown as DraftEvent);
    const changed = journal ?? { version: 0, state: undefined, status: '', batch: 0, versionBefore: 0 };
    this.touch(changed, batch);
    Object.assign(changed, { version, state, status: to });
    this.journals.set(id, changed);
    this.list(id, batch, to === 'draft' || to === 'submitted' ? state : undefined);
    return wrong;
  }

  /**
   * A JournalEntryPosted that is not the first event of its stream.
   * @param accountOf the account that a code leads to
   * @returns what is wrong with it
   */
  post(event: ReadEvent, posted: Json, accountOf: (code: string) => string | undefined, batch: number): string[] {
    const journal = this.journals.get(event.streamId);
    const draft = journal?.state?.draft;
    if (journal === undefined || draft === undefined)
      return ['is not the first event of its stream, which has no draft that could be posted'];
    const wrong = journal.status === 'approved' ? [] : [`posts a draft that is ${journal.status}`];
    const problem = postedProblem(draft.content as unknown as Json, posted, accountOf);
    if (problem !== undefined) wrong.push(problem);
    this.touch(journal, batch);
    const state = { ...journal.state, version: event.version, posted, draft: { ...draft, status: 'posted' } } as unknown as JournalState;
    Object.assign(journal, { version: event.version, state, status: 'posted' });
    return wrong;
  }

  /** JournalEntryReversed of an entry that began as a draft. */
  reverse({ streamId, version }: ReadEvent): void {
    const journal = this.journals.get(streamId);
    if (journal !== undefined) journal.version = version;
  }

  /** Ids of drafts that are open in a period. */
  openIn(fiscalYear: string, period: number): string[] {
    return [...(this.years.get(fiscalYear)?.open.values() ?? [])].flatMap(([id, of]) => (of === period ? [id] : []));
  }

  /** A batch is over: snapshots are taken of what its last event left, and ended drafts need no content any more. */
  closeBatch(): void {
    if (this.touched.length === 0) return;
    for (const journal of this.touched) {
      const { version, versionBefore, state, status } = journal;
      if (snapshotDue(versionBefore, version) && state !== undefined)
        journal.snapshot = { version, state: journalReducer.toSnapshot(state) };
      if (status === 'posted' || status === 'discarded') journal.state = undefined;
    }
    this.touched = [];
  }

  private touch(journal: ReplayedJournal, batch: number): void {
    if (journal.batch === batch) return;
    Object.assign(journal, { batch, versionBefore: journal.version });
    this.touched.push(journal);
  }

  private list(id: string, batch: number, open: JournalState | undefined): void {
    for (const [label, year] of this.years) {
      const known = year.open.get(id);
      const draft = open?.draft?.fiscalYear === label ? open.draft : undefined;
      if (known === undefined && draft === undefined) continue;
      if (year.batch !== batch) Object.assign(year, { batch, versionBefore: year.version });
      year.version++;
      if (draft === undefined) year.open.delete(id);
      else {
        const { period, status, content } = draft;
        year.open.set(id, [id, period, content.effectiveDate, status, content.lines.length]);
      }
    }
  }
}

const linesProblem = ({ lines = [] }: Json): string | undefined =>
  (lines as readonly unknown[]).some((line) => typeof line !== 'object' || line === null) ? 'one of its lines is no object' : undefined;

/** What a content says of its day, asked otherwise than where it is decided. */
function dayProblem(eventType: string, data: Json, book: BookState): string | undefined {
  if (eventType !== 'JournalCreated' && eventType !== 'JournalRevised') return undefined;
  const {
    effectiveDate: date,
    fiscalYear,
    period: no,
    onClosedPeriod,
    adjustmentPeriod,
  } = data as {
    effectiveDate: string;
    fiscalYear: string;
    period: number;
    onClosedPeriod?: string;
    adjustmentPeriod?: number;
  };
  if (!isDate(date)) return `its effective date ${date} is no date from 1900 to 2199`;
  if (book.startsOn !== undefined && date < book.startsOn)
    return `its effective date ${date} lies before the book starts on ${book.startsOn}`;
  const period = book.fiscalYears.find(({ label }) => label === fiscalYear)?.periods.find((known) => known.no === no);
  if (period === undefined) return `says period ${fiscalYear}/${no}, which does not exist`;
  const own = adjustmentPeriod === undefined ? periodOf(book, date) : adjustmentPeriodOf(book, date, adjustmentPeriod);
  const isOwn = own?.fiscalYear === fiscalYear && own.period === no;
  if (!isOwn && !(onClosedPeriod === 'first_open_day' && period.from > date))
    return `says period ${fiscalYear}/${no}, its effective date ${date} lies in ${own?.fiscalYear}/${own?.period}`;
  return statusOfPeriod(book, fiscalYear, no) === 'hard_closed' ? `says period ${fiscalYear}/${no}, which is closed (I9)` : undefined;
}

/** Members that an entry has as its draft says them, and what they are where it does not. */
const carried: readonly (readonly [member: string, otherwise?: string])[] = [
  ['description'],
  ['reference'],
  ['document'],
  ['source'],
  ['links'],
  ['metadata'],
  ['journalCode', 'GENERAL'],
  ['entryType', 'normal'],
  ['entryMethod', 'interface'],
];

/** In what an entry differs from the draft that it was posted from. */
function postedProblem(content: Json, posted: Json, accountOf: (code: string) => string | undefined): string | undefined {
  const differ = (member: string, is: unknown, should: unknown): string | undefined =>
    canonicalJson(is ?? 'nothing') === canonicalJson(should ?? 'nothing')
      ? undefined
      : `its ${member} is ${JSON.stringify(is)}, its draft says ${JSON.stringify(should)}`;
  for (const [member, otherwise] of carried) {
    const problem = differ(member, posted[member], content[member] ?? otherwise);
    if (problem !== undefined) return problem;
  }
  const moved = content.onClosedPeriod === 'first_open_day' && posted.requestedDate !== undefined;
  const problem = moved
    ? differ('requestedDate', posted.requestedDate, content.effectiveDate)
    : (differ('effectiveDate', posted.effectiveDate, content.effectiveDate) ??
      differ('requestedDate', posted.requestedDate, content.requestedDate));
  if (problem !== undefined) return problem;
  const [written, lines] = [content.lines as readonly Json[], posted.lines as readonly Json[]];
  if (lines.length < written.length) return `has ${lines.length} lines, its draft ${written.length}`;
  for (const [index, line] of lines.entries()) {
    const given = written[index];
    if (given === undefined) {
      if (!String(line.origin).startsWith('book-keeper:')) return `has line ${index + 1}, which its draft has not`;
      continue;
    }
    const { account, amount, baseAmount, rate, ...rest } = given as Json & { account: string; amount: string };
    const { line: _line, accountId, code: _code, amount: is, baseAmount: base, rate: at, ...other } = line as Json & { amount: string };
    const same =
      accountOf(account) === accountId &&
      shortest(amount) === shortest(is) &&
      (baseAmount === undefined || shortest(baseAmount) === shortest(base)) &&
      (rate === undefined || canonicalJson(rate) === canonicalJson(at ?? 'nothing')) &&
      canonicalJson(rest) === canonicalJson(other);
    if (!same) return `its line ${index + 1} is ${JSON.stringify(line)}, its draft says ${JSON.stringify(given)}`;
  }
  return undefined;
}

const shortest = (amount: unknown): string => canonicalDecimal(String(amount));
