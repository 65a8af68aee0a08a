/**
 * Open drafts of a fiscal year: the entries dated in it that are neither posted nor discarded. Hides how they are kept as a head
 * of the log that has no events of its own, and how they are found where that head is missing. Guarantees that folding the events
 * of drafts gives the same head as the writer keeps, so that a close never misses one.
 */
import { type DraftEvent, type OpenDraft, openDraftAfter } from '#domain';
import type { EventStore, RecordedFact } from '#event-store';
import { catalogue } from './catalogue';

/** Version of the head; another meaning of its state needs another one. */
export const yearDraftsVersion = 1;

export interface YearDrafts {
  /** 1 when the year is defined, and one more with every change of a draft in it. */
  version: number;
  /** By entry id, in the order in which they came into the year. */
  readonly open: Map<string, OpenDraft>;
}

export const emptyDrafts = (): YearDrafts => ({ version: 1, open: new Map() });

export const copyOfDrafts = ({ version, open }: YearDrafts): YearDrafts => ({ version, open: new Map(open) });

/**
 * Takes over what an event does to a draft.
 * @param toChange called when it changes something in this year; what it returns is changed
 */
export function changeDrafts(
  drafts: YearDrafts,
  fiscalYear: string,
  { id, event }: { readonly id: string; readonly event: DraftEvent },
  toChange: () => YearDrafts = () => drafts,
): void {
  const after = openDraftAfter(drafts.open, fiscalYear, id, event);
  if (after === 'same') return;
  const changed = toChange();
  changed.version++;
  if (after === undefined) changed.open.delete(id);
  else changed.open.set(id, after);
}

interface DraftsSnapshot {
  readonly fiscalYear: string;
  readonly open: readonly (readonly [entryId: string, period: number, effectiveDate: string, status: OpenDraft['status'], lines: number])[];
}

export function draftsSnapshot(fiscalYear: string, { open }: YearDrafts): DraftsSnapshot {
  const rows = [...open].map(([id, { period, effectiveDate, status, lines }]) => [id, period, effectiveDate, status, lines] as const);
  return { fiscalYear, open: rows };
}

export function readDrafts(snapshot: unknown, version: number): YearDrafts {
  const { open } = snapshot as DraftsSnapshot;
  return {
    version,
    open: new Map(open.map(([id, period, effectiveDate, status, lines]) => [id, { period, effectiveDate, status, lines }])),
  };
}

const draftTypes = new Set<string>([
  'JournalCreated',
  'JournalRevised',
  'JournalSubmitted',
  'JournalApproved',
  'JournalRejected',
  'JournalDiscarded',
] satisfies DraftEvent['type'][]);
const otherTypes = Object.keys(catalogue).filter((type) => !draftTypes.has(type));
/** Positions that one statement looks at: nearly all of them are of other types. */
const windowMax = 50_000;

/** Events of drafts up to a position, in order, some at a time. */
export async function* draftEvents(store: EventStore, bookId: string, upTo: number): AsyncGenerator<readonly RecordedFact[]> {
  for (let after = 0; after < upTo; after += windowMax)
    yield await store.readFacts(bookId, after, Math.min(upTo, after + windowMax), otherTypes);
}

export const draftEventOf = ({ streamId, eventType, current }: RecordedFact): { readonly id: string; readonly event: DraftEvent } => ({
  id: streamId,
  event: { type: eventType, data: current } as unknown as DraftEvent,
});

/** Years whose heads are missing, from the events up to a position. */
export async function foldDrafts(
  store: EventStore,
  bookId: string,
  fiscalYears: readonly string[],
  upTo: number,
): Promise<Map<string, YearDrafts>> {
  const folded = new Map(fiscalYears.map((label) => [label, emptyDrafts()]));
  for await (const events of draftEvents(store, bookId, upTo))
    for (const event of events) for (const [label, drafts] of folded) changeDrafts(drafts, label, draftEventOf(event));
  return folded;
}
