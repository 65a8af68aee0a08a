/**
 * The rows of a log in the order of positions, wherever they stand: first those in cold storage, then those of the table. Hides files;
 * guarantees that each file is fetched anew and held against what is on record for it (bytes, subtree root, content, index of streams,
 * manifest), and that one which cannot be read is a finding that names it, after which the reading goes on behind it.
 */
import {
  type ArchivedEvent,
  type ArchivedRange,
  archiveManifest,
  ContentHash,
  canonicalJson,
  instantText,
  parseCheckpoint,
  parseNote,
  subtreeRoot,
} from '#event-store';
import { bookStreamId } from '../catalogue';
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
  await checkStrays(snapshot, bookId, ranges, findings);
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
    const hash = new ContentHash();
    try {
      const file = await snapshot.cold.fetch(bookId, range);
      for await (const some of file.events(0, file.count)) {
        for (const event of some) {
          events.push(event);
          hash.add(event);
        }
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
    const content = hash.digest().toString('hex');
    if (content !== range.content.toString('hex'))
      wrong(`content is ${range.content.toString('hex')}, that of ${range.file} is ${content}`);
    for (const { streamId } of events) if (newest !== undefined && streamId > newest && streamId[14] === '7') newest = streamId;
    await checkKept(snapshot, bookId, range, newest, wrong);
    await checkManifest(snapshot, bookId, range, wrong);
    await checkStreams(snapshot, bookId, range, events, findings);
  }
}

const noStream = '00000000-0000-0000-0000-000000000000';

/** Rows of the index that belong to no range: appends and readers would believe them. */
async function checkStrays(snapshot: Snapshot, bookId: string, ranges: readonly ArchivedRange[], findings: Findings): Promise<void> {
  const { rows } = await snapshot.query<{ stream_id: string; from_position: string }>(
    'SELECT stream_id, from_position::text FROM log.archived_streams WHERE book_id = $1 AND from_position <> ALL ($2::int8[]) ORDER BY from_position, stream_id',
    [bookId, ranges.map(({ from }) => from)],
  );
  for (const { stream_id: stream, from_position } of rows) {
    const row = `log.archived_streams ${bookId}/${stream}/${from_position}`;
    findings.add('archive', `${row}: no range begins at this position`, { position: Number(from_position), stream, row });
  }
}

/** What of the streams stays at hand: the newest one, which appends ask for, and which one is the book's own. */
async function checkKept(
  snapshot: Snapshot,
  bookId: string,
  { from }: ArchivedRange,
  newest: string | undefined,
  wrong: (message: string) => void,
): Promise<void> {
  const { rows } = await snapshot.query<{ own_stream: string; newest_stream: string }>(
    'SELECT newest_stream, own_stream FROM log.archived_ranges WHERE book_id = $1 AND from_position = $2',
    [bookId, from],
  );
  const [kept] = rows;
  const own = bookStreamId(bookId);
  if (kept?.own_stream !== own) wrong(`own_stream is ${kept?.own_stream}, the stream of the book is ${own}`);
  if (newest !== undefined && kept?.newest_stream !== newest) wrong(`newest_stream is ${kept?.newest_stream}, the files make it ${newest}`);
}

/** The file beside it, which names the same. Its checkpoint was the covering one when it was written: signatures may have come since. */
async function checkManifest(snapshot: Snapshot, bookId: string, range: ArchivedRange, wrong: (message: string) => void): Promise<void> {
  const name = `${range.file}.json`;
  let found: Buffer | undefined;
  try {
    found = await snapshot.cold.place?.get(name);
  } catch (error) {
    return wrong(`${name}, the manifest beside the file, cannot be read: ${(error as Error).message}`);
  }
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
  const ofBook: object[] = [];
  const own = bookStreamId(bookId);
  for (const event of events) {
    const { streamId, version, position } = event;
    const known = expected.get(streamId);
    if (known === undefined) expected.set(streamId, { first: version, places: [position - range.from] });
    else known.places.push(position - range.from);
    if (streamId === own) ofBook.push({ ...event, leafHash: event.leafHash.toString('hex') });
  }
  const wrong = (streamId: string, message: string): void => {
    const row = `log.archived_streams ${bookId}/${streamId}/${range.from}`;
    findings.add('archive', `${row}: ${message}`, { position: range.from, stream: streamId, row });
  };
  await snapshot.eachRow(
    `SELECT concat_ws(E'\\t', stream_id, first_version, encode(places, 'hex'), coalesce(events::text, 'null')) FROM log.archived_streams
      WHERE book_id = ${snapshot.literal(bookId)} AND from_position = ${range.from}`,
    (text) => {
      const [streamId = '', first, places, kept = ''] = text.split('\t');
      const made = expected.get(streamId);
      expected.delete(streamId);
      if (made === undefined) return wrong(streamId, `no event of ${range.file} is of this stream`);
      if (Number(first) !== made.first) wrong(streamId, `first_version is ${first}, the file makes it ${made.first}`);
      const hex = made.places.map((place) => place.toString(16).padStart(8, '0')).join('');
      if (places !== hex) wrong(streamId, `places is ${places}, the file makes it ${hex}`);
      if (canonicalJson(JSON.parse(kept)) !== canonicalJson(streamId === own ? ofBook : null))
        wrong(
          streamId,
          streamId === own ? 'events is not what the file makes it' : 'events has something, and only that of the book itself may',
        );
    },
  );
  for (const [streamId] of expected) wrong(streamId, 'is missing');
}
