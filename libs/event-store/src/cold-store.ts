/**
 * Cold storage: the events of a book that have moved to files. Hides files, ranges, the index of streams and what is kept in memory; whoever
 * reads the log asks the event store, which asks here for what the table no longer has. Guarantees that a file is read only when its bytes
 * have the SHA-256 that the range has on record, each time that it is fetched, and that one which is missing, altered or out of reach is
 * named and never skipped.
 *
 * What is cold is the beginning of a log (migration 0017): positions have no gap, so a reader that misses the first event it asked for
 * knows that it is cold. Nobody asks in advance, and there is no moment at which an event is neither here nor there: it leaves the table
 * and enters the index in one SQL transaction.
 */
import { createHash } from 'node:crypto';
import type { Pool } from 'pg';
import { uuidArray } from '#postgres';
import { type ArchivedEvent, ArchiveFile, DecodedGroups } from './archive-file';
import type { ArchivePlace } from './archive-place';
import { canonicalJson } from './canonical-json';
import { instantText, type StoredEvent } from './envelope';

/** A range of events and the file in which they stand. */
export interface ArchivedRange {
  readonly from: number;
  readonly to: number;
  /** Of a signed checkpoint that covers them. */
  readonly checkpointSize: number;
  readonly file: string;
  readonly bytes: number;
  readonly sha256: Buffer;
  readonly subtreeRoot: Buffer;
  readonly content: Buffer;
}

/** A file of cold storage is missing, was altered, or cannot be reached. The message names it and says what to do. */
export class ArchiveUnreadable extends Error {
  constructor(
    readonly file: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

type Database = { query<R extends object>(text: string, values: unknown[]): Promise<{ rows: R[] }> };

/** Bytes of files that are kept in memory, the one that was used longest ago goes first. */
const keptBytesMax = 128 * 1024 * 1024;
/** Of row groups that are kept decoded, as their bytes were before compression: a group of events of 500 bytes has half a megabyte, and 1.5 of heap. */
const decodedBytesMax = 8 * 1024 * 1024;
/** A failure that took less is asked for again at once: somebody may have put the file back. */
const slowFailureMs = 1_000;

/** An event as the index has it. */
type KeptEvent = Omit<ArchivedEvent, 'leafHash'> & { readonly leafHash: string };

/** Of a stream in one range: a file has no more events (256 tiles). */
const placesMax = 2 ** 28;

const rangeColumns = `from_position AS "from", to_position AS "to", checkpoint_size AS "checkpointSize", file, bytes, sha256, subtree_root AS "subtreeRoot", content`;

/** The newest version of a stream, cold or not, as an expression; NULL when it has none. $1: the book, $2: the stream. */
export const versionsOf = `coalesce((SELECT max(e.version) FROM log.events e WHERE e.book_id = $1 AND e.stream_id = $2),
  (SELECT a.first_version + octet_length(a.places) / 4 - 1 FROM log.archived_streams a
    WHERE a.book_id = $1 AND a.stream_id = $2 ORDER BY a.from_position DESC LIMIT 1))`;

export class ColdStore {
  private readonly kept = new Map<string, { readonly opened: Promise<ArchiveFile>; readonly bytes: number }>();
  private readonly decoded = new DecodedGroups(decodedBytesMax);
  /** What took long to fail, and until when it is told again unasked: so many who wait for it wait once. */
  private readonly failed = new Map<string, { readonly error: unknown; readonly until: number }>();

  constructor(
    private readonly pool: Pool,
    /** Where the files are; undefined where ARCHIVE_URL says nothing. */
    readonly place: ArchivePlace | undefined,
  ) {}

  /** The last position that is cold; 0 when none is. */
  async line(bookId: string): Promise<number> {
    const { rows } = await this.pool.query<{ to_position: number }>({
      name: 'archived-up-to',
      text: 'SELECT to_position FROM log.archived_ranges WHERE book_id = $1 ORDER BY from_position DESC LIMIT 1',
      values: [bookId],
    });
    return rows[0]?.to_position ?? 0;
  }

  /**
   * Ranges that hold positions after `after` up to `upTo`, in order.
   * @param database a snapshot of the caller's
   */
  async ranges(
    bookId: string,
    after = 0,
    upTo: number = Number.MAX_SAFE_INTEGER,
    database: Database = this.pool as unknown as Database,
  ): Promise<ArchivedRange[]> {
    const { rows } = await database.query<ArchivedRange>(
      `SELECT ${rangeColumns} FROM log.archived_ranges WHERE book_id = $1 AND to_position > $2::int8 AND from_position <= $3::int8 ORDER BY from_position`,
      [bookId, after, upTo],
    );
    return rows.map((row) => ({
      ...row,
      from: Number(row.from),
      to: Number(row.to),
      checkpointSize: Number(row.checkpointSize),
      bytes: Number(row.bytes),
    }));
  }

  /**
   * Cold events after a position, up to another one, in order, some at a time; those of one array come from one row group.
   * @param wanted which types
   */
  async *between(bookId: string, after: number, upTo: number, wanted?: (eventType: string) => boolean): AsyncGenerator<ArchivedEvent[]> {
    for (const range of await this.ranges(bookId, after, upTo)) {
      const file = await this.open(bookId, range);
      yield* file.events(Math.max(0, after + 1 - range.from), Math.min(upTo, range.to) - range.from + 1, wanted);
    }
  }

  /** The same, parsed. */
  async stored(bookId: string, after: number, upTo: number): Promise<StoredEvent[]> {
    const found: StoredEvent[] = [];
    for await (const events of this.between(bookId, after, upTo)) for (const event of events) found.push(storedOf(bookId, event));
    return found;
  }

  /** Cold events at positions; those that are not cold are left out. */
  async at(bookId: string, positions: readonly number[]): Promise<StoredEvent[]> {
    const sorted = [...positions].sort((a, b) => a - b);
    const found: StoredEvent[] = [];
    const [first, last] = [sorted[0], sorted.at(-1)];
    if (first === undefined || last === undefined) return found;
    for (const range of await this.ranges(bookId, first - 1, last)) {
      const places = sorted.filter((position) => position >= range.from && position <= range.to).map((position) => position - range.from);
      if (places.length === 0) continue;
      for (const event of await (await this.open(bookId, range)).at(places)) found.push(storedOf(bookId, event));
    }
    return found;
  }

  /** Cold events of a stream after a version, in order, at most `limit`. */
  async ofStream(bookId: string, streamId: string, after: number, limit: number): Promise<StoredEvent[]> {
    const found = await this.ofStreams(bookId, [streamId], { after, limit });
    return (found.get(streamId) ?? []).map((event) => storedOf(bookId, event));
  }

  /**
   * Cold events of several streams by stream, in version order, of each at most `limit`; streams without any are missing. Those of the book's
   * own stream stand in the index, and no file is read for them.
   * @param database where the index is read: a snapshot of the caller's
   * @param skipped where what cannot be read goes, and its events are left out; undefined: it is thrown
   * @throws ArchiveUnreadable
   */
  async ofStreams(
    bookId: string,
    streamIds: readonly string[],
    { after = 0, limit = Number.MAX_SAFE_INTEGER }: { readonly after?: number; readonly limit?: number } = {},
    database: Database = this.pool as unknown as Database,
    skipped?: (error: unknown) => void,
  ): Promise<Map<string, ArchivedEvent[]>> {
    // Versions have no gap: a limit is a bound of versions, and of the places only those in between are fetched.
    const { rows } = await database.query<{
      stream_id: string;
      from: number | string;
      places: Buffer;
      events: readonly KeptEvent[] | null;
    }>(
      `SELECT a.stream_id, a.from_position AS "from", substr(a.places, 4 * a.before + 1, 4 * $4::int4) AS places, a.events
         FROM unnest($2::uuid[]) AS wanted (id),
       LATERAL (SELECT t.*, greatest(0, $3::int8 + 1 - t.first_version)::int4 AS before FROM log.archived_streams t
                 WHERE t.book_id = $1 AND t.stream_id = wanted.id
                   AND t.first_version <= $3::int8 + $4::int4 AND t.first_version + octet_length(t.places) / 4 > $3::int8 + 1 OFFSET 0) AS a
        ORDER BY a.stream_id, a.from_position`,
      [bookId, uuidArray(streamIds), after, Math.min(limit, placesMax)],
    );
    // File by file, the places in order: each row group is decoded once, however many streams have events in it.
    const ofFile = new Map<number, { readonly place: number; readonly streamId: string }[]>();
    const answer = new Map<string, ArchivedEvent[]>();
    const add = (streamId: string, event: ArchivedEvent): void => {
      const known = answer.get(streamId);
      if (known === undefined) answer.set(streamId, [event]);
      else known.push(event);
    };
    const attempt = async (read: () => Promise<void> | void): Promise<void> => {
      try {
        await read();
      } catch (error) {
        if (skipped === undefined) throw error;
        skipped(error);
      }
    };
    for (const { stream_id: streamId, from, places, events } of rows) {
      if (events !== null) {
        await attempt(() => {
          for (const { leafHash, ...event } of events)
            if (event.version > after && event.version <= after + limit)
              add(streamId, { ...event, leafHash: Buffer.from(leafHash, 'hex') });
        });
        continue;
      }
      const wanted = ofFile.get(Number(from)) ?? [];
      for (let at = 0; at < places.length; at += 4) wanted.push({ place: places.readInt32BE(at), streamId });
      ofFile.set(Number(from), wanted);
    }
    for (const [from, wanted] of [...ofFile].sort(([a], [b]) => a - b))
      await attempt(async () => {
        const [range] = await this.ranges(bookId, from - 1, from, database);
        if (range === undefined)
          throw new Error(`log.archived_streams of book ${bookId} names a range from ${from} on, which log.archived_ranges has not`);
        wanted.sort((a, b) => a.place - b.place);
        const found = await (await this.open(bookId, range)).at(wanted.map(({ place }) => place));
        for (const [index, event] of found.entries()) add((wanted[index] as { streamId: string }).streamId, event);
      });
    return answer;
  }

  /**
   * The file of a range, from memory where it was read before. A failure that took long (a bucket that takes requests and says nothing) is
   * told again for as long as it took, without asking.
   * @throws ArchiveUnreadable
   */
  async open(bookId: string, range: ArchivedRange): Promise<ArchiveFile> {
    const known = this.kept.get(range.file);
    if (known !== undefined) {
      // To the end: a Map keeps the order in which keys came.
      this.kept.delete(range.file);
      this.kept.set(range.file, known);
      return known.opened;
    }
    const failed = this.failed.get(range.file);
    this.failed.delete(range.file);
    const started = performance.now();
    if (failed !== undefined && failed.until > started) {
      this.failed.set(range.file, failed);
      throw failed.error;
    }
    const opened = this.fetch(bookId, range, this.decoded);
    this.kept.set(range.file, { opened, bytes: range.bytes });
    opened.catch((error: unknown) => {
      this.kept.delete(range.file);
      const now = performance.now();
      if (now - started >= slowFailureMs) this.failed.set(range.file, { error, until: now + (now - started) });
    });
    let bytes = [...this.kept.values()].reduce((sum, file) => sum + file.bytes, 0);
    for (const [file, { bytes: size }] of this.kept) {
      if (bytes <= keptBytesMax || file === range.file) break;
      this.kept.delete(file);
      bytes -= size;
    }
    return opened;
  }

  /** The file as it stands there now, past memory. @throws ArchiveUnreadable */
  async fetch(bookId: string, { from, to, file, bytes, sha256 }: ArchivedRange, decoded?: DecodedGroups): Promise<ArchiveFile> {
    const events = `events ${from} to ${to} of book ${bookId} stand in ${file}`;
    if (this.place === undefined)
      throw new ArchiveUnreadable(file, `${events} of cold storage, but ARCHIVE_URL is not set: set it to where the files are`);
    const { name } = this.place;
    let found: Buffer | undefined;
    try {
      found = await this.place.get(file);
    } catch (error) {
      throw new ArchiveUnreadable(file, `${events}, which cannot be read in ${name}: ${(error as Error).message}`, { cause: error });
    }
    if (found === undefined)
      throw new ArchiveUnreadable(
        file,
        `${events}, which is missing in ${name}: put a copy of it there (SHA-256 ${sha256.toString('hex')})`,
      );
    const hash = createHash('sha256').update(found).digest();
    if (!hash.equals(sha256))
      throw new ArchiveUnreadable(
        file,
        `${events}, which was altered in ${name}: it has ${found.length} bytes with SHA-256 ${hash.toString('hex')}, on record are ${bytes} with ${sha256.toString('hex')}; put a copy of the right one there`,
      );
    return new ArchiveFile(found, decoded);
  }
}

/** The name of the file of a range; part of the hash stands in it, so that no name ever stands for other bytes. */
export const archiveFileName = (bookId: string, from: number, to: number, sha256: Buffer): string =>
  `${bookId}/${String(from).padStart(12, '0')}-${String(to).padStart(12, '0')}.${sha256.toString('hex', 0, 8)}.parquet`;

/** What stands beside a file, so that it can be checked without a database: canonical JSON in `FILE.json`. */
export const archiveManifest = (bookId: string, range: ArchivedRange, checkpoint: string): Buffer =>
  Buffer.from(
    `${canonicalJson({
      format: 'book-keeper archive 1',
      book: bookId,
      from: range.from,
      to: range.to,
      file: range.file,
      bytes: range.bytes,
      sha256: range.sha256.toString('hex'),
      subtreeRoot: range.subtreeRoot.toString('hex'),
      content: range.content.toString('hex'),
      checkpoint,
    })}\n`,
  );

/** An event of a file as a row of the table would come, its members in the same order. */
export function storedOf(bookId: string, event: ArchivedEvent): StoredEvent {
  return {
    bookId,
    position: event.position,
    streamId: event.streamId,
    version: event.version,
    eventType: event.eventType,
    eventVersion: event.eventVersion,
    eventId: event.eventId,
    recordedAt: instantText(event.recordedAt),
    data: JSON.parse(event.data) as StoredEvent['data'],
    metadata: JSON.parse(event.metadata) as StoredEvent['metadata'],
    leafHash: event.leafHash,
  };
}

/** Rows of the table in the form in which they go into a file, in order. For whoever moves them. */
export async function hotEvents(pool: Pool, bookId: string, after: number, upTo: number): Promise<ArchivedEvent[]> {
  const { rows } = await pool.query<ArchivedEvent>({
    name: 'hot-events',
    text: `SELECT position, version, (extract(epoch FROM recorded_at) * 1000000)::int8 AS "recordedAt", stream_id AS "streamId", event_id AS "eventId",
                  event_version AS "eventVersion", event_type AS "eventType", data::text AS data, metadata::text AS metadata, leaf_hash AS "leafHash"
             FROM log.events WHERE book_id = $1 AND position > $2 AND position <= $3 ORDER BY position`,
    values: [bookId, after, upTo],
  });
  return rows;
}
