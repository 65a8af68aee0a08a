/**
 * What the database alone can do, measured in the same run as our write path: a commit of one row, and a binary COPY of the
 * very event rows that our write path wrote, with the same columns and indexes. Every rate of ours is told as a ratio to
 * these, because machines differ and a busy one halves everything.
 */
import type { Client } from 'pg';

/** A COPY that is fed from one buffer: pg's own COPY stream machinery would be measured otherwise. */
class CopyIn {
  readonly done: Promise<void>;
  private resolve: () => void = () => {};
  private reject: (error: Error) => void = () => {};
  private failed = false;

  constructor(
    private readonly sql: string,
    private readonly data: Buffer,
  ) {
    this.done = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  submit(connection: { query(sql: string): void }): void {
    connection.query(this.sql);
  }

  handleCopyInResponse(connection: { sendCopyFromChunk(data: Buffer): void; endCopyFrom(): void }): void {
    connection.sendCopyFromChunk(this.data);
    connection.endCopyFrom();
  }

  handleError(error: Error): void {
    this.failed = true;
    this.reject(error);
  }

  handleReadyForQuery(): void {
    if (!this.failed) this.resolve();
  }

  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleCopyData(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
  handleCommandComplete(): void {}
}

function copyIn(client: Client, sql: string, data: Buffer): Promise<void> {
  const copy = new CopyIn(sql, data);
  client.query(copy as never);
  return copy.done;
}

const columns = 'position, version, recorded_at, stream_id, event_id, event_version, book_id, event_type, data, metadata, leaf_hash';
const signature = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const trailer = Buffer.from([0xff, 0xff]);

/** Binary COPY data of events of one book, cut into blocks of `rows` rows: as the server itself writes them. */
export async function copyBlocks(client: Client, bookId: string, rows: number, limit: number): Promise<Buffer[]> {
  const field = (expression: string): string => `int4send(octet_length(${expression})) || ${expression}`;
  const answer = await client.query<{ bytes: Buffer }>(
    `SELECT int2send(11::int2)
            || ${['int8send(position)', 'int8send(version)', 'timestamptz_send(recorded_at)', 'uuid_send(stream_id)', 'uuid_send(event_id)', 'int2send(event_version)', 'textsend(book_id)', 'textsend(event_type)', 'jsonb_send(data)', 'jsonb_send(metadata)', 'byteasend(leaf_hash)'].map(field).join(' || ')} AS bytes
       FROM log.events WHERE book_id = $1 AND position <= $2 ORDER BY position`,
    [bookId, limit],
  );
  const blocks: Buffer[] = [];
  for (let from = 0; from < answer.rows.length; from += rows) {
    blocks.push(Buffer.concat([signature, ...answer.rows.slice(from, from + rows).map(({ bytes }) => bytes), trailer]));
  }
  return blocks;
}

/** Events per second of COPY through one connection into an empty table of the same shape, one SQL transaction per block. */
export async function copyFloor(client: Client, blocks: readonly Buffer[], rowsInAll: number): Promise<number> {
  await client.query('DROP TABLE IF EXISTS bench_events; CREATE TABLE bench_events (LIKE log.events INCLUDING ALL)');
  await client.query('CHECKPOINT');
  const start = performance.now();
  for (const block of blocks) await copyIn(client, `COPY bench_events (${columns}) FROM STDIN (FORMAT binary)`, block);
  const seconds = (performance.now() - start) / 1_000;
  const { rows } = await client.query<{ count: number }>('SELECT count(*) FROM bench_events');
  if (rows[0]?.count !== rowsInAll) throw new Error(`COPY wrote ${rows[0]?.count} rows instead of ${rowsInAll}`);
  await client.query('DROP TABLE bench_events');
  return rowsInAll / seconds;
}

/** Milliseconds (median) to commit one row through a prepared statement: what a single caller can never get below. */
export async function commitFloor(client: Client, times = 1_000): Promise<number> {
  await client.query('DROP TABLE IF EXISTS bench_commit; CREATE TABLE bench_commit (id bigint PRIMARY KEY, note text)');
  const durations: number[] = [];
  for (let id = 1; id <= times; id++) {
    const start = performance.now();
    await client.query({ name: 'bench-commit', text: "INSERT INTO bench_commit VALUES ($1, 'one row')", values: [id] });
    durations.push(performance.now() - start);
  }
  await client.query('DROP TABLE bench_commit');
  return median(durations);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
