/**
 * The file that a range of events is moved to: one Apache Parquet file per range of whole tiles, columns as in log.events. Hides the
 * physical types and the libraries; guarantees that what is read is what was written, byte for byte: data and metadata stand as the JSON text
 * that PostgreSQL printed, instants as whole microseconds, leaf hashes beside them, so that every hash of the log can be made again from
 * the file alone. Anything that reads Parquet reads it (DuckDB, Spark, pandas).
 *
 * Row groups are few tiles, so that one event costs some milliseconds; each column chunk is GZIP, which every reader has and Node brings
 * along: 117 bytes per event against 164 of SNAPPY (65,536 events of entries with two lines, 513 bytes each in the database), written at
 * 85,000 and read at 600,000 events per second. Brotli makes 111 of them, and fewer programs read it.
 */
import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { parquetMetadata, parquetRead } from 'hyparquet';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import { hashesIn, tileWidth, treeHash } from './merkle';

/** An event as it stands in the table, nothing parsed. */
export interface ArchivedEvent {
  readonly position: number;
  readonly version: number;
  /** Microseconds since 1970, UTC. */
  readonly recordedAt: number;
  readonly streamId: string;
  readonly eventId: string;
  readonly eventVersion: number;
  readonly eventType: string;
  /** As PostgreSQL prints jsonb. */
  readonly data: string;
  readonly metadata: string;
  readonly leafHash: Buffer;
}

type SchemaElement = ConstructorParameters<typeof ParquetWriter>[0]['schema'][number];

const text: Partial<SchemaElement> = { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } };
const whole: Partial<SchemaElement> = { type: 'INT64' };
const uuid: Partial<SchemaElement> = { type: 'FIXED_LEN_BYTE_ARRAY', type_length: 16, logical_type: { type: 'UUID' } };

interface Column {
  readonly name: string;
  readonly element: Partial<SchemaElement>;
  readonly of: (event: ArchivedEvent, bookId: string) => unknown;
  /** Hashes do not get smaller. */
  readonly plain?: true;
}

const columns: readonly Column[] = [
  { name: 'book_id', element: text, of: (_, bookId) => bookId },
  { name: 'position', element: whole, of: ({ position }) => BigInt(position) },
  { name: 'version', element: whole, of: ({ version }) => BigInt(version) },
  {
    name: 'recorded_at',
    element: {
      type: 'INT64',
      converted_type: 'TIMESTAMP_MICROS',
      logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MICROS' },
    },
    of: ({ recordedAt }) => BigInt(recordedAt),
  },
  { name: 'stream_id', element: uuid, of: ({ streamId }) => uuidBytes(streamId) },
  { name: 'event_id', element: uuid, of: ({ eventId }) => uuidBytes(eventId) },
  { name: 'event_version', element: { type: 'INT32' }, of: ({ eventVersion }) => eventVersion },
  { name: 'event_type', element: text, of: ({ eventType }) => eventType },
  { name: 'data', element: text, of: ({ data }) => data },
  { name: 'metadata', element: text, of: ({ metadata }) => metadata },
  { name: 'leaf_hash', element: { type: 'FIXED_LEN_BYTE_ARRAY', type_length: 32 }, of: ({ leafHash }) => leafHash, plain: true },
];

/** Events of a row group; four tiles. */
const groupEvents = 4 * tileWidth;
/** Characters of a row group: entries may have a megabyte each, and one of them is read by decoding its whole group. */
const groupCharacters = 4 * 1024 * 1024;

/** The file of consecutive events, whole tiles of them. */
export async function encodeArchive(bookId: string, events: readonly ArchivedEvent[]): Promise<Buffer> {
  const writer = new ByteWriter();
  const parquet = new ParquetWriter({
    writer,
    schema: [
      { name: 'root', num_children: columns.length },
      ...columns.map(({ name, element }): SchemaElement => ({ name, repetition_type: 'REQUIRED', ...element })),
    ],
    codec: 'GZIP',
    compressors: { GZIP: (bytes) => gzipSync(bytes) },
    statistics: false,
    kvMetadata: [
      { key: 'format', value: 'book-keeper archive 1' },
      { key: 'book', value: bookId },
    ],
    createdBy: 'book-keeper',
  });
  for (const group of groupsOf(events)) {
    const columnData = columns.map(({ name, of, plain }) => ({
      name,
      data: group.map((event) => of(event, bookId)) as never[],
      offsetIndex: false,
      ...(plain === true ? { codec: 'UNCOMPRESSED' as const } : {}),
    }));
    await parquet.write({ columnData, rowGroupSize: group.length });
  }
  await parquet.finish();
  return Buffer.from(writer.getBytes());
}

function* groupsOf(events: readonly ArchivedEvent[]): Generator<readonly ArchivedEvent[]> {
  let from = 0;
  let characters = 0;
  for (let at = 0; at < events.length; at++) {
    const { data, metadata } = events[at] as ArchivedEvent;
    characters += data.length + metadata.length;
    const next = at + 1;
    if (next < events.length && next - from < groupEvents && (characters < groupCharacters || next % tileWidth !== 0)) continue;
    yield events.slice(from, next);
    from = next;
    characters = 0;
  }
}

/** One row group, decoded: by column. */
type Group = Readonly<Record<string, readonly unknown[]>>;

/**
 * Row groups that were decoded, of several files, so many bytes of them (as they were before compression; decoded they take about three times as
 * many); the one that was used longest ago goes first. Who reads on reads where others read a moment ago, and events of one entry stand
 * side by side; two who read at different places do not drive each other out.
 */
export class DecodedGroups {
  private readonly kept = new Map<string, { readonly group: Promise<Group>; readonly bytes: number }>();
  private bytes = 0;
  private files = 0;

  constructor(private readonly bytesMax: number) {}

  /** The name of a file among those whose groups are kept. */
  nextFile(): number {
    return ++this.files;
  }

  get(file: number, index: number, bytes: number, decode: () => Promise<Group>): Promise<Group> {
    const key = `${file}/${index}`;
    const known = this.kept.get(key);
    // To the end: a Map keeps the order in which keys came.
    this.drop(key);
    const group = known?.group ?? decode();
    this.kept.set(key, { group, bytes });
    this.bytes += bytes;
    if (known === undefined) group.catch(() => this.drop(key));
    for (const other of this.kept.keys()) {
      if (this.bytes <= this.bytesMax || other === key) break;
      this.drop(other);
    }
    return group;
  }

  private drop(key: string): void {
    this.bytes -= this.kept.get(key)?.bytes ?? 0;
    this.kept.delete(key);
  }
}

/** A file that was read whole. */
export class ArchiveFile {
  /** Row groups, in order: the place of their first event and how many there are. */
  private readonly groups: { readonly start: number; readonly count: number }[] = [];
  private readonly metadata: ReturnType<typeof parquetMetadata>;
  private readonly buffer: ArrayBuffer;
  private readonly name: number;

  /**
   * @param decoded what keeps row groups for those who come later; undefined: nothing does
   * @throws Error when it is no such file
   */
  constructor(
    bytes: Buffer,
    private readonly decoded?: DecodedGroups,
  ) {
    this.name = decoded?.nextFile() ?? 0;
    this.buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
    this.metadata = parquetMetadata(this.buffer);
    let start = 0;
    for (const { num_rows } of this.metadata.row_groups) {
      this.groups.push({ start, count: Number(num_rows) });
      start += Number(num_rows);
    }
  }

  get count(): number {
    return Number(this.metadata.num_rows);
  }

  get bytes(): number {
    return this.buffer.byteLength;
  }

  /**
   * Events at places from `from` (0 is the first) up to, not with, `to`, row group by row group.
   * @param wanted which types; those of others are left out without a look at what they say
   */
  async *events(from: number, to: number, wanted?: (eventType: string) => boolean): AsyncGenerator<ArchivedEvent[]> {
    for (const [index, { start, count }] of this.groups.entries()) {
      if (start + count <= from || start >= to) continue;
      const group = await this.group(index);
      const found: ArchivedEvent[] = [];
      for (let place = Math.max(start, from); place < Math.min(start + count, to); place++) {
        if (wanted === undefined || wanted(group.event_type?.[place - start] as string)) found.push(eventAt(group, place - start));
      }
      yield found;
    }
  }

  /** Events at places that ascend. */
  async at(places: readonly number[]): Promise<ArchivedEvent[]> {
    const found: ArchivedEvent[] = [];
    let next = 0;
    let here: { readonly start: number; readonly group: Group } | undefined;
    for (const place of places) {
      for (let start = this.groups[next]?.start; start !== undefined && start <= place; start = this.groups[next]?.start) {
        next++;
        here = undefined;
      }
      here ??= { start: (this.groups[next - 1] as { start: number }).start, group: await this.group(next - 1) };
      found.push(eventAt(here.group, place - here.start));
    }
    return found;
  }

  private group(index: number): Promise<Group> {
    const bytes = Number(this.metadata.row_groups[index]?.total_byte_size ?? 0);
    return this.decoded?.get(this.name, index, bytes, () => this.decode(index)) ?? this.decode(index);
  }

  private async decode(index: number): Promise<Group> {
    const { start, count } = this.groups[index] as { start: number; count: number };
    const pieces = new Map<string, { readonly rowStart: number; readonly values: ArrayLike<unknown> }[]>();
    await parquetRead({
      file: { byteLength: this.buffer.byteLength, slice: (from, to) => this.buffer.slice(from, to) },
      metadata: this.metadata,
      columns: columns.map(({ name }) => name).filter((name) => name !== 'book_id'),
      rowStart: start,
      rowEnd: start + count,
      compressors: { GZIP: (bytes) => gunzipSync(bytes) },
      parsers: { uuidFromBytes: uuidText, timestampFromMicroseconds: (micros) => micros },
      onChunk: ({ columnName, columnData, rowStart }) => {
        const known = pieces.get(columnName) ?? [];
        known.push({ rowStart, values: columnData });
        pieces.set(columnName, known);
      },
    });
    const decoded: Record<string, unknown[]> = {};
    for (const [name, some] of pieces) {
      // A column of large texts comes page by page.
      some.sort((a, b) => a.rowStart - b.rowStart);
      decoded[name] = some.flatMap(({ values }) => Array.from(values));
    }
    for (const { name } of columns)
      if (name !== 'book_id' && decoded[name]?.length !== count)
        throw new Error(`column ${name} has not the ${count} values of row group ${index}`);
    return decoded;
  }
}

function eventAt(of: Group, at: number): ArchivedEvent {
  return {
    position: Number(of.position?.[at]),
    version: Number(of.version?.[at]),
    recordedAt: Number(of.recorded_at?.[at]),
    streamId: of.stream_id?.[at] as string,
    eventId: of.event_id?.[at] as string,
    eventVersion: of.event_version?.[at] as number,
    eventType: of.event_type?.[at] as string,
    data: of.data?.[at] as string,
    metadata: of.metadata?.[at] as string,
    leafHash: Buffer.from(of.leaf_hash?.[at] as Uint8Array),
  };
}

// --- What a range is known by ---

/** Root of the tree over the leaf hashes of the events (RFC 9162): of a file that fills a tile of level 1, the hash of that tile. */
export const subtreeRoot = (events: readonly ArchivedEvent[]): Buffer =>
  treeHash(hashesIn(Buffer.concat(events.map(({ leafHash }) => leafHash))));

/**
 * SHA-256 over the SHA-256 of every row, all columns of it: what `log.archive_range` makes of the rows in the table, so that nothing is taken
 * out of it that does not stand in the file, byte for byte.
 */
export class ContentHash {
  private readonly all = createHash('sha256');

  /** The next event. */
  add({ position, version, recordedAt, streamId, eventId, eventVersion, eventType, data, metadata, leafHash }: ArchivedEvent): void {
    const row = [position, version, recordedAt, streamId, eventId, eventVersion, eventType, leafHash.toString('hex'), data, metadata];
    this.all.update(createHash('sha256').update(row.join('\t'), 'utf8').digest());
  }

  /** Of what was added; nothing can be added afterwards. */
  digest(): Buffer {
    return this.all.digest();
  }
}

function uuidBytes(id: string): Buffer {
  return Buffer.from(id.replaceAll('-', ''), 'hex');
}

function uuidText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
