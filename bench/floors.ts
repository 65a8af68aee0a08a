/**
 * What the database alone can do, measured in the same run as our own figures: a commit of one row, and a binary COPY of the
 * very rows that our code wrote, with the same columns, indexes and constraints, through one connection. Every rate of ours is
 * told as a ratio to these, because machines differ and a busy one halves everything.
 */
import type { Client } from 'pg';
import { processMicros } from './server';
import { median } from './statistics';

/** A COPY through node-pg's own connection: a stream library's machinery would be measured otherwise. */
class Copy {
  readonly done: Promise<Buffer>;
  private readonly received: Buffer[] = [];
  private resolve: (received: Buffer) => void = () => {};
  private reject: (error: Error) => void = () => {};
  private failed = false;

  /** @param data what to send, for COPY … FROM STDIN */
  constructor(
    private readonly sql: string,
    private readonly data?: Buffer,
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
    if (this.data !== undefined) connection.sendCopyFromChunk(this.data);
    connection.endCopyFrom();
  }

  handleCopyData({ chunk }: { chunk: Buffer }): void {
    this.received.push(Buffer.from(chunk));
  }

  handleError(error: Error): void {
    this.failed = true;
    this.reject(error);
  }

  handleReadyForQuery(): void {
    if (!this.failed) this.resolve(Buffer.concat(this.received));
  }

  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
  handleCommandComplete(): void {}
}

function copy(client: Client, sql: string, data?: Buffer): Promise<Buffer> {
  const query = new Copy(sql, data);
  client.query(query as never);
  return query.done;
}

const signature = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const trailer = Buffer.from([0xff, 0xff]);

/** Rows of one table as binary COPY data. */
export interface CopyRows {
  readonly table: string;
  readonly columns: string;
  readonly blocks: readonly Buffer[];
  readonly rows: number;
  readonly bytes: number;
}

/**
 * Rows of a table, cut into blocks as the floor writes them.
 * @param which SQL after FROM table: WHERE … ORDER BY …
 */
export async function copyRows(client: Client, table: string, which: string, rowsPerBlock = 1_000): Promise<CopyRows> {
  const { rows } = await client.query<{ columns: string }>(
    "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) AS columns FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
    [table],
  );
  const columns = rows[0]?.columns ?? '';
  const data = await copy(client, `COPY (SELECT ${columns} FROM ${table} ${which}) TO STDOUT (FORMAT binary)`);
  const blocks: Buffer[] = [];
  let count = 0;
  let start = signature.length;
  let at = start;
  const cut = (): void => {
    if (at > start) blocks.push(Buffer.concat([signature, data.subarray(start, at), trailer]));
    start = at;
  };
  for (let fields = data.readInt16BE(at); fields >= 0; fields = data.readInt16BE(at)) {
    at += 2;
    for (let field = 0; field < fields; field++) at += 4 + Math.max(0, data.readInt32BE(at));
    if (++count % rowsPerBlock === 0) cut();
  }
  cut();
  return { table, columns, blocks, rows: count, bytes: data.length };
}

export interface CopyFigures {
  readonly rowsPerSecond: number;
  readonly seconds: number;
  /** Processor time of the server's session per row, microseconds; NaN where the server is on another machine. */
  readonly serverMicros: number;
}

/** COPY through one connection into an empty table of the same shape, one SQL transaction per block. */
export async function copyFloor(client: Client, { table, columns, blocks, rows }: CopyRows): Promise<CopyFigures> {
  await client.query(`DROP TABLE IF EXISTS bench_copy; CREATE TABLE bench_copy (LIKE ${table} INCLUDING ALL)`);
  await client.query('CHECKPOINT');
  const pid = (await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid ?? 0;
  const used = processMicros(pid);
  const start = performance.now();
  for (const block of blocks) await copy(client, `COPY bench_copy (${columns}) FROM STDIN (FORMAT binary)`, block);
  const seconds = (performance.now() - start) / 1_000;
  const serverMicros = (processMicros(pid) - used) / rows;
  const written = await client.query<{ count: number }>('SELECT count(*) FROM bench_copy');
  if (written.rows[0]?.count !== rows) throw new Error(`COPY wrote ${written.rows[0]?.count} rows instead of ${rows}`);
  await client.query('DROP TABLE bench_copy');
  return { rowsPerSecond: rows / seconds, seconds, serverMicros };
}

/** Milliseconds (median) to commit one row through a prepared statement: what a single caller can never get below. */
export async function commitFloor(client: Client, times = 500): Promise<number> {
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
