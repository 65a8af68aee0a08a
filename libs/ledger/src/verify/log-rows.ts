/**
 * The rows of a log in the order of positions, wherever they stand: first those in cold storage, then those of the table. Hides files;
 * guarantees that each file is fetched anew and held against what is on record for it (bytes, subtree root, content, index of streams,
 * manifest), and that one which cannot be read is a finding that names it, after which the reading goes on behind it.
 */
import {
  type ArchivedEvent,
  type ArchivedRange,
  archiveManifest,
  contentHash,
  instantText,
  parseCheckpoint,
  parseNote,
  subtreeRoot,
} from '#event-store';
import type { Findings } from './findings';
import { eventText } from './replay';
import type { RowCursor, Snapshot } from './rows';

/** What of a log is asked for. */
interface Part {
  /** Positions after it, up to with `upTo`. */
  readonly after: number;
  readonly upTo: number;
  /** Which types. */
  readonly wanted: (eventType: string) => boolean;
  /** The same as a condition on log.events. */
  readonly condition: string;
}

/** All rows of a log. What is wrong with cold storage goes to the findings. */
export async function logRows(snapshot: Snapshot, bookId: string, findings: Findings): Promise<Pick<RowCursor, 'chunk'>> {
  const ranges = await snapshot.cold.ranges(bookId, 0, Number.MAX_SAFE_INTEGER, snapshot);
  const hot = await snapshot.rows(`SELECT ${eventText} FROM log.events WHERE book_id = ${snapshot.literal(bookId)} ORDER BY position`);
  if (ranges.length === 0) return hot;
  const cold = coldRows(snapshot, bookId, ranges, findings);
  return {
    async chunk() {
      const { value, done } = await cold.next();
      return done === true ? hot.chunk() : value;
    },
  };
}

/** Rows of a part of a log. What cannot be read was told by whoever read all of it, and is left out. */
export async function partRows(
  snapshot: Snapshot,
  bookId: string,
  { after, upTo, wanted, condition }: Part,
  use: (row: string) => void,
): Promise<void> {
  for (const range of await snapshot.cold.ranges(bookId, after, upTo, snapshot)) {
    try {
      const file = await snapshot.cold.open(bookId, range);
      for await (const events of file.events(Math.max(0, after + 1 - range.from), Math.min(upTo, range.to) - range.from + 1, wanted))
        for (const event of events) use(rowOf(event));
    } catch {
      // told already
    }
  }
  const select = `SELECT ${eventText} FROM log.events WHERE book_id = ${snapshot.literal(bookId)} AND position > ${after} AND position <= ${upTo} AND ${condition} ORDER BY position`;
  await snapshot.eachRow(select, use);
}

/** As `eventText` prints it. */
const rowOf = ({
  position,
  version,
  recordedAt,
  streamId,
  eventId,
  eventVersion,
  leafHash,
  data,
  metadata,
  eventType,
}: ArchivedEvent): string =>
  `${position}\t${version}\t${instantText(recordedAt).replace('T', ' ').replace('Z', '+00')}\t${streamId}\t${eventId}\t${eventVersion}\t${leafHash.toString('hex')}\t${data}\t${metadata}\t${eventType}`;

async function* coldRows(
  snapshot: Snapshot,
  bookId: string,
  ranges: readonly ArchivedRange[],
  findings: Findings,
): AsyncGenerator<readonly string[], undefined> {
  let next = 1;
  /** The greatest UUIDv7 among the streams so far; undefined once a file could not be read. */
  let newest: string | undefined = noStream;
  for (const range of ranges) {
    const row = `log.archived_ranges ${bookId} ${range.from}`;
    const wrong = (message: string): void => findings.add('archive', `${row}: ${message}`, { position: range.from, row });
    if (range.from !== next) wrong(`begins at position ${range.from}, the range before it ends at ${next - 1}`);
    next = range.to + 1;
    const events: ArchivedEvent[] = [];
    try {
      const file = await snapshot.cold.fetch(bookId, range);
      for await (const some of file.events(0, file.count)) {
        for (const event of some) events.push(event);
        yield some.map(rowOf);
      }
    } catch (error) {
      // Events that cannot be read: of all that is found in consequence this is the first.
      findings.add('archive', (error as Error).message, { position: range.from });
      newest = undefined;
      continue;
    }
    if (events.length !== range.to - range.from + 1) wrong(`${range.file} has ${events.length} events, not ${range.to - range.from + 1}`);
    const root = subtreeRoot(events).toString('hex');
    if (root !== range.subtreeRoot.toString('hex'))
      wrong(`subtree_root is ${range.subtreeRoot.toString('hex')}, that of ${range.file} is ${root}`);
    const content = contentHash(events).toString('hex');
    if (content !== range.content.toString('hex'))
      wrong(`content is ${range.content.toString('hex')}, that of ${range.file} is ${content}`);
    for (const { streamId } of events) if (newest !== undefined && streamId > newest && streamId[14] === '7') newest = streamId;
    await checkKept(snapshot, bookId, range, { first: range.from === 1 ? events[0] : undefined, newest }, wrong);
    await checkManifest(snapshot, bookId, range, wrong);
    await checkStreams(snapshot, bookId, range, events, findings);
  }
}

const noStream = '00000000-0000-0000-0000-000000000000';

/** What of the events stays at hand: the first one of the log, and the newest stream, which appends ask for. */
async function checkKept(
  snapshot: Snapshot,
  bookId: string,
  { from }: ArchivedRange,
  { first, newest }: { readonly first: ArchivedEvent | undefined; readonly newest: string | undefined },
  wrong: (message: string) => void,
): Promise<void> {
  const { rows } = await snapshot.query<{ same: boolean; newest_stream: string }>(
    `SELECT newest_stream, first_event IS NOT DISTINCT FROM
            CASE WHEN $3::text IS NOT NULL THEN jsonb_build_object('eventType', $3::text, 'eventVersion', $4::int2, 'data', $5::jsonb) END AS same
       FROM log.archived_ranges WHERE book_id = $1 AND from_position = $2`,
    [bookId, from, first?.eventType ?? null, first?.eventVersion ?? null, first?.data ?? null],
  );
  const kept = rows[0];
  if (kept?.same !== true) wrong('first_event is not what the file makes it');
  if (newest !== undefined && kept?.newest_stream !== newest) wrong(`newest_stream is ${kept?.newest_stream}, the files make it ${newest}`);
}

/** The file beside it, which names the same. Its checkpoint was the covering one when it was written: signatures may have come since. */
async function checkManifest(snapshot: Snapshot, bookId: string, range: ArchivedRange, wrong: (message: string) => void): Promise<void> {
  const name = `${range.file}.json`;
  const found = await snapshot.cold.place?.get(name).catch(() => undefined); // the file itself was read a moment ago
  if (found === undefined) return wrong(`${name}, the manifest beside the file, is missing`);
  let checkpoint: unknown;
  try {
    ({ checkpoint } = JSON.parse(found.toString('utf8')) as { readonly checkpoint?: unknown });
  } catch {
    return wrong(`${name}, the manifest beside the file, is no JSON`);
  }
  const note = typeof checkpoint === 'string' ? parseNote(checkpoint) : undefined;
  const size = note && parseCheckpoint(note.text)?.size;
  if (size !== range.checkpointSize) wrong(`checkpoint_size is ${range.checkpointSize}, the checkpoint in ${name} is of ${size} events`);
  if (!archiveManifest(bookId, range, String(checkpoint)).equals(found))
    wrong(`${name}, the manifest beside the file, says something else than what is on record`);
}

/** The index of streams, row by row. */
async function checkStreams(
  snapshot: Snapshot,
  bookId: string,
  range: ArchivedRange,
  events: readonly ArchivedEvent[],
  findings: Findings,
): Promise<void> {
  const expected = new Map<string, { readonly first: number; readonly places: number[] }>();
  for (const { streamId, version, position } of events) {
    const known = expected.get(streamId);
    if (known === undefined) expected.set(streamId, { first: version, places: [position - range.from] });
    else known.places.push(position - range.from);
  }
  const wrong = (streamId: string, message: string): void => {
    const row = `log.archived_streams ${bookId}/${streamId}/${range.from}`;
    findings.add('archive', `${row}: ${message}`, { position: range.from, stream: streamId, row });
  };
  await snapshot.eachRow(
    `SELECT concat_ws(E'\\t', stream_id, first_version, encode(places, 'hex')) FROM log.archived_streams
      WHERE book_id = ${snapshot.literal(bookId)} AND from_position = ${range.from}`,
    (text) => {
      const [streamId = '', first, places] = text.split('\t');
      const made = expected.get(streamId);
      expected.delete(streamId);
      if (made === undefined) return wrong(streamId, `no event of ${range.file} is of this stream`);
      if (Number(first) !== made.first) wrong(streamId, `first_version is ${first}, the file makes it ${made.first}`);
      const hex = made.places.map((place) => place.toString(16).padStart(8, '0')).join('');
      if (places !== hex) wrong(streamId, `places is ${places}, the file makes it ${hex}`);
    },
  );
  for (const [streamId] of expected) wrong(streamId, 'is missing');
}
