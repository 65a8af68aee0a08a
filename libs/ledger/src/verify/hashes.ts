/**
 * Hashes alone: the leaf hash of every event made again from its stored columns, in the order of positions, and nothing of what the event
 * says. Three to four times as fast as the replay, which makes the same hashes on its way. Two thirds of a log are account events, whose
 * few members are put in order without being parsed; entries are read as the replay reads them.
 */
import * as crypto from 'node:crypto';
import { canonicalJson } from '#event-store';
import { catalogue } from '../catalogue';
import type { Findings } from './findings';
import { logRows } from './log-rows';
import { leafHash, type ReadEvent, readEvent } from './replay';
import type { Snapshot } from './rows';
import { hasPlainNumbers, readPlainEntry } from './stored-json';

/** Data of an account event as PostgreSQL prints it, when it has no escapes: members by length of their names, then bytes. */
const legForm =
  /^\{"line": (\d{1,6}), "amount": "([\d.]+)", "entryId": "([0-9a-f-]{36})", "currency": "([\w.-]+)", (?:"baseAmount": "([\d.]+)", )?"totalDebit": "([\d.]+)", "totalCredit": "([\d.]+)", "effectiveDate": "([\d-]{10})", "entryPosition": (\d{1,15})\}$/;
const causeForm = /^\{"causationId": "([0-9a-f-]{36})"\}$/;

interface Told {
  /** Told of each event in order. */
  take(position: number, leafHash: string): void;
}

/** @param each told of each event too @returns how many events there were, and the last position */
export async function checkHashes(
  snapshot: Snapshot,
  bookId: string,
  findings: Findings,
  tree: Told & { feed(upTo: number): Promise<void>; compare(): Promise<void> },
  report: (done: number) => void,
  each: (event: ReadEvent) => void = () => {},
): Promise<{ readonly events: number; readonly lastPosition: number }> {
  const rows = await logRows(snapshot, bookId, findings);
  let events = 0;
  let next = 1;
  for (let some = await rows.chunk(); some.length > 0; some = await rows.chunk()) {
    await tree.feed(Number(some[some.length - 1]?.split('\t', 1)[0]));
    for (const row of some) {
      const event = readEvent(row);
      events++;
      if (event.position !== next) {
        const missing = event.position > next ? `position ${next} is missing before it` : `it comes after position ${next - 1}`;
        findings.add('positions', `event ${event.position} (${event.eventType}): ${missing}`, { position: Math.min(next, event.position) });
      }
      next = event.position + 1;
      const problem = hashProblem(bookId, event);
      if (problem !== undefined)
        findings.add('leaf hash', `event ${event.position} (${event.eventType}, stream ${event.streamId}): ${problem}`, {
          position: event.position,
          stream: event.streamId,
        });
      tree.take(event.position, event.leafHash);
      each(event);
    }
    await tree.compare();
    report(events);
  }
  return { events, lastPosition: next - 1 };
}

/** What is wrong with the leaf hash of an event; undefined when its columns make it. */
export function hashProblem(bookId: string, event: ReadEvent): string | undefined {
  const definition = Object.hasOwn(catalogue, event.eventType) ? catalogue[event.eventType] : undefined;
  if (definition === undefined) return `its event_type is not known to this release, so its hash cannot be made (I3)`;
  let found: string;
  try {
    found = legHashOf(bookId, event, definition.aggregateType) ?? generalHash(bookId, event, definition);
  } catch (error) {
    return `it has no canonical form: ${(error as Error).message} (I3)`;
  }
  if (found === event.leafHash) return undefined;
  return `leaf_hash is ${event.leafHash}, its columns give ${found}: one of position, version, recorded_at, stream_id, event_id, event_version, event_type, data, metadata or leaf_hash was changed (I3)`;
}

/** The hash of an account event in its usual form; undefined for any other text. */
function legHashOf(bookId: string, event: ReadEvent, aggregateType: string): string | undefined {
  if (aggregateType !== 'Account') return undefined;
  const leg = legForm.exec(event.data);
  const cause = leg === null ? null : causeForm.exec(event.metadata);
  if (leg === null || cause === null) return undefined;
  const base = leg[5] === undefined ? '' : `"baseAmount":"${leg[5]}",`;
  return crypto.hash(
    'sha256',
    `\0{"aggregateId":"${event.streamId}","aggregateType":"${aggregateType}","bookId":"${bookId}","data":{"amount":"${leg[2]}",${base}"currency":"${leg[4]}","effectiveDate":"${leg[8]}","entryId":"${leg[3]}","entryPosition":${leg[9]},"line":${leg[1]},"totalCredit":"${leg[7]}","totalDebit":"${leg[6]}"},"eventId":"${event.eventId}","eventType":"${event.eventType}","eventVersion":${event.eventVersion},"metadata":{"causationId":"${cause[1]}"},"position":${event.position},"recordedAt":"${event.recordedAt}","version":${event.version}}`,
    'hex',
  );
}

function generalHash(bookId: string, event: ReadEvent, definition: { readonly aggregateType: string; readonly version: number }): string {
  const plain = event.eventType === 'JournalEntryPosted' ? readPlainEntry(event.data)?.canonical : undefined;
  if ((plain === undefined && !hasPlainNumbers(event.data)) || !hasPlainNumbers(event.metadata))
    throw new Error('it holds a number that is not printed as it was hashed, like 1.0 for 1');
  const { userId, ...metadata } = JSON.parse(event.metadata) as Readonly<Record<string, unknown>>;
  const user = userId === undefined ? '' : `"userId":${JSON.stringify(userId)},`;
  return leafHash(bookId, event, definition, plain ?? canonicalJson(JSON.parse(event.data)), canonicalJson(metadata), user);
}
