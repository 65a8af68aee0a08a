/**
 * Companion logs: those of user actions (`BOOK~actions`, `~system`). Their events follow no rules of bookkeeping, so that all there is to
 * verify is the log itself: hashes, positions and versions, batches, instants, the tree, where actions came from, and that nothing
 * stands beside them that belongs to books.
 */
import { actionEvents, actionStreamId } from '../action-log';
import { type AuditTrailSealed, sealEvents } from '../audit-seals';
import type { Findings } from './findings';
import { checkHashes } from './hashes';
import type { TreeCheck } from './merkle';
import { Receipts, receiptText } from './receipts';
import { instantOf, type ReadEvent, uuidV7Form } from './replay';
import type { Snapshot } from './rows';
import { checkBookHead, checkContexts } from './tables';

/** A link with the position of the event that tells of it. */
export interface SealOfTrail extends AuditTrailSealed {
  readonly position: number;
  /** When the event was recorded. */
  readonly recordedAt: string;
}

export interface CompanionVerification {
  readonly events: number;
  /** Contexts that events refer to and that are not there any more. */
  readonly erased: number;
  /** Links of the audit trail that the log holds. */
  readonly seals: readonly SealOfTrail[];
  /** Receipts that tell of no event: commands that open books claim their keys here. */
  readonly claims: number;
}

export async function checkCompanion(
  snapshot: Snapshot,
  logId: string,
  findings: Findings,
  tree: TreeCheck,
  report: (done: number) => void,
): Promise<CompanionVerification> {
  const streamId = actionStreamId(logId);
  const contexts = new Set<string>();
  const ends = new Map<number, string>();
  const seals: SealOfTrail[] = [];
  let last: ReadEvent | undefined;
  const wrong = (check: 'versions' | 'event' | 'batches' | 'metadata', event: ReadEvent, message: string): void =>
    findings.add(check, `event ${event.position} (${event.eventType}): ${message}`, { position: event.position, stream: event.streamId });
  const { events, lastPosition } = await checkHashes(snapshot, logId, findings, tree, report, (event) => {
    if (event.eventType === 'AuditTrailSealed')
      seals.push({ ...(JSON.parse(event.data) as AuditTrailSealed), position: event.position, recordedAt: event.recordedAt });
    if (!Object.hasOwn({ ...actionEvents, ...sealEvents }, event.eventType)) wrong('event', event, 'is no event of a companion log');
    if (event.streamId !== streamId)
      wrong('event', event, `is of the stream ${event.streamId}, where the log has the one stream ${streamId}`);
    if (event.version !== event.position) wrong('versions', event, `has version ${event.version}, expected ${event.position} (I5)`);
    if (!uuidV7Form.test(event.eventId)) wrong('event', event, `event_id ${event.eventId} is no UUIDv7`);
    if (last !== undefined && event.recordedAt < last.recordedAt)
      wrong('event', event, `was recorded at ${event.recordedAt}, before the one before it, ${last.recordedAt} (I10)`);
    if (last !== undefined && event.recordedAt !== last.recordedAt) ends.set(last.position, last.recordedAt);
    last = event;
    const { contextHash } = JSON.parse(event.metadata) as { readonly contextHash?: unknown };
    if (typeof contextHash === 'string') contexts.add(contextHash);
  });
  if (last !== undefined) ends.set(last.position, last.recordedAt);
  await tree.finish(lastPosition);
  await checkBatches(snapshot, logId, ends, findings);
  const receipts = new Receipts(logId, findings);
  await snapshot.eachRow(
    `SELECT ${receiptText} FROM log.receipts WHERE book_id = ${snapshot.literal(logId)} ORDER BY position NULLS LAST`,
    (row) => receipts.feed([row]),
  );
  receipts.rest(lastPosition + 1);
  // Receipts move the head as well.
  const ofEvents = last?.recordedAt ?? '';
  const recordedAt = receipts.lastRecordedAt > ofEvents ? receipts.lastRecordedAt : ofEvents;
  await checkBookHead(snapshot, logId, findings, { position: lastPosition, recordedAt });
  const erased = await checkContexts(snapshot, { bookId: logId, contexts }, findings);
  for (const table of ['heads', 'stream_names'])
    for (const { row } of (
      await snapshot.query<{ row: string }>(`SELECT stream_id::text AS row FROM log.${table} WHERE book_id = $1 LIMIT 50`, [logId])
    ).rows)
      findings.add('directory', `log.${table} ${row}: a companion log has none`, { row: `log.${table} ${row}` });
  return { events, erased, seals, claims: receipts.withoutEvents };
}

async function checkBatches(snapshot: Snapshot, logId: string, ends: ReadonlyMap<number, string>, findings: Findings): Promise<void> {
  const left = new Map(ends);
  await snapshot.eachRow(
    `SELECT concat_ws(E'\\t', last_position, recorded_at) FROM log.batches WHERE book_id = ${snapshot.literal(logId)} ORDER BY last_position`,
    (text) => {
      const [end = '', at = ''] = text.split('\t');
      const position = Number(end);
      const row = `log.batches ${position}`;
      const expected = left.get(position);
      if (expected === undefined) findings.add('batches', `${row}: no batch ends there`, { row, position });
      else if (expected !== instantOf(at))
        findings.add('batches', `${row}: recorded_at is ${instantOf(at)}, that of its events ${expected}`, { row, position });
      left.delete(position);
    },
  );
  for (const position of left.keys())
    findings.add('batches', `log.batches ${position}: is missing, where a batch ends`, { row: `log.batches ${position}`, position });
}
