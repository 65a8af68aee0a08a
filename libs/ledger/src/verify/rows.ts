/**
 * Rows of a long answer. Hides SQL cursors, COPY and node-pg's row objects. Through a cursor a statement selects one text per row,
 * and a chunk of them comes as an array of strings while the server makes the next one: so several answers are read side by
 * side. Through COPY one answer comes as bytes, row by row. All share one connection and its snapshot, so that what they
 * show belongs together. Nothing here is ever larger than two chunks, and a chunk is some megabytes however large its rows are.
 */
import type { ClientBase, Connection, DatabaseError, QueryResult, QueryResultRow, Submittable } from 'pg';
import type { ColdStore } from '#event-store';

/** Node-pg's messages, as far as a fetch looks at them. */
interface DataRow {
  readonly fields: readonly (string | null)[];
}

/**
 * A statement by the simple protocol, which leaves out objects, types and parsers: a row of text costs a third of a query's row.
 * `done` settles when the connection is free again.
 */
abstract class Statement<T> implements Submittable {
  readonly done: Promise<T>;
  /** Longer than any sort of a big table; the pool's own patience is for queries of the service. */
  readonly query_timeout = 2 ** 31 - 1;
  /** The pool's client wraps it to stop its own timer; it hears of the end there. */
  callback: (error?: Error) => void = () => {};
  private resolve: (result: T) => void = () => {};
  private reject: (error: unknown) => void = () => {};
  private refused = false;

  constructor(private readonly text: string) {
    this.done = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.done.catch(() => {}); // whoever awaits it hears of it; a fetch that nobody needs any more may fail silently
  }

  submit(connection: Connection): void {
    connection.query(this.text);
  }

  handleCommandComplete(): void {}

  handleError(error: DatabaseError): void {
    this.refused = true;
    this.callback(error);
    this.reject(error);
  }

  handleReadyForQuery(): void {
    if (this.refused) return;
    this.callback();
    try {
      this.resolve(this.result());
    } catch (error) {
      this.reject(error);
    }
  }

  /** What has come, once all of it is here. @throws what `done` shall fail with */
  protected abstract result(): T;
}

class Fetch extends Statement<string[]> {
  private readonly rows: string[] = [];

  handleRowDescription(): void {}
  handleDataRow({ fields }: DataRow): void {
    this.rows.push(fields[0] ?? '');
  }

  protected result(): string[] {
    return this.rows;
  }
}

/** COPY … TO STDOUT; the server sends one message per row (PostgreSQL manual, "COPY Operations"). */
class CopyOut extends Statement<void> {
  private failure: { readonly error: unknown } | undefined;

  constructor(
    select: string,
    private readonly use: (row: Buffer) => void,
  ) {
    super(`COPY (${select}) TO STDOUT`);
  }

  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    if (this.failure !== undefined) return;
    try {
      this.use(chunk);
    } catch (error) {
      // Thrown from here it would reach nobody who waits; and the other rows have to come before the connection is free again.
      this.failure = { error };
    }
  }

  protected result(): void {
    if (this.failure !== undefined) throw this.failure.error;
  }
}

const rowsMax = 3_000;
/** Entries may have a megabyte each: the first chunks are small, until it is known how large the rows are. */
const rowsAtFirst = 50;
const charactersMax = 2 * 1024 * 1024;

/** One connection inside an SQL transaction: queries go down one after the other, however they are asked for. */
export class Snapshot {
  private underWay = 0;
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly client: ClientBase,
    /** Where events are that the table no longer has. */
    readonly cold: ColdStore,
  ) {}

  query<T extends QueryResultRow>(text: string, values?: readonly unknown[]): Promise<QueryResult<T>> {
    return this.inTurn(() => this.client.query<T>(text, values as unknown[]));
  }

  /** The rows of a SELECT of one text column, without parameters. */
  async rows(select: string): Promise<RowCursor> {
    const name = `verify_${++cursors}`;
    await this.query(`DECLARE ${name} NO SCROLL CURSOR FOR ${select}`);
    return new RowCursor((size) => this.inTurn(() => this.client.query(new Fetch(`FETCH ${size} FROM ${name}`)).done));
  }

  async eachRow(select: string, use: (row: string) => void): Promise<void> {
    const cursor = await this.rows(select);
    for (let rows = await cursor.chunk(); rows.length > 0; rows = await cursor.chunk()) for (const row of rows) use(row);
  }

  /**
   * The rows of a SELECT in the text format of COPY (copy-text.ts), as they come; nothing is read ahead of `use`.
   * @param use told the bytes of each row with the newline at its end, which are another row's once it returns
   * @throws what `use` throws, which ends the reading; what the driver throws
   */
  copy(select: string, use: (row: Buffer) => void): Promise<void> {
    return this.inTurn(() => this.client.query(new CopyOut(select, use)).done);
  }

  literal(text: string): string {
    return this.client.escapeLiteral(text);
  }

  /** Sends at once when nothing is under way, so that the server works while Node does. */
  private inTurn<T>(send: () => Promise<T>): Promise<T> {
    const answer = this.underWay === 0 ? send() : this.last.then(send);
    this.underWay++;
    const ended = (): void => {
      this.underWay--;
    };
    this.last = answer.then(ended, ended);
    answer.catch(() => {}); // a fetch ahead that nobody asks for any more may fail silently; who awaits it hears of it
    return answer;
  }
}

let cursors = 0;

export class RowCursor {
  private size = rowsAtFirst;
  private next: Promise<string[]> | undefined;
  private given: string[] = [];

  constructor(private readonly fetch: (size: number) => Promise<string[]>) {
    this.next = fetch(this.size);
  }

  /** The next rows, in order, an empty array at the end. The array is the cursor's own and empty once the next one is asked for. */
  async chunk(): Promise<readonly string[]> {
    // Rows that nobody needs any more stayed reachable from what the old generation had not collected yet (neither node-pg's timer nor
    // the promises of Snapshot are what holds them), so that the young one copied all of them twice: 35 of the 62 MB that 220,000
    // rows of the register take, and 4 since.
    this.given.length = 0;
    if (this.next === undefined) return [];
    const rows = await this.next;
    this.given = rows;
    const last = rows.length < this.size;
    let characters = 0;
    for (const row of rows) characters += row.length;
    // At most eight times as many as now, since the next rows may be larger than these.
    this.size = Math.max(1, Math.min(rowsMax, 8 * this.size, Math.floor((charactersMax * this.size) / Math.max(1, characters))));
    this.next = last ? undefined : this.fetch(this.size);
    return rows;
  }
}
