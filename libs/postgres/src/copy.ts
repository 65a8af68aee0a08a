/**
 * Rows into a table by COPY in its binary format, and the fields of such rows. Hides the protocol (node-pg has no COPY) and the layout:
 * PostgreSQL manual, COPY, "Binary Format"; each type as its receive function reads it. Nothing here is checked by the compiler against
 * the table: fields come in the order of the columns that the statement names.
 */
import type { ClientBase } from 'pg';

const signature = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const trailer = Buffer.from([0xff, 0xff]);

interface CopyConnection {
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

/** One COPY … FROM STDIN as node-pg's client runs a query. */
class CopyIn {
  /** Rows of minutes may be on their way; the pool's limit is for questions. */
  readonly query_timeout = 2 ** 31 - 1;
  /** The client's, which ends its timer with it. */
  callback: (error?: Error) => void = () => {};
  readonly done: Promise<void>;
  private resolve: () => void = () => {};
  private reject: (error: Error) => void = () => {};
  private failure: Error | undefined;

  constructor(
    private readonly text: string,
    private readonly rows: Buffer,
  ) {
    this.done = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  submit(connection: CopyConnection): void {
    connection.query(this.text);
  }

  handleCopyInResponse(connection: CopyConnection): void {
    connection.sendCopyFromChunk(signature);
    connection.sendCopyFromChunk(this.rows);
    connection.sendCopyFromChunk(trailer);
    connection.endCopyFrom();
  }

  handleError(error: Error): void {
    this.failure = error;
    this.callback(error);
    this.reject(error);
  }

  handleReadyForQuery(): void {
    if (this.failure !== undefined) return;
    this.callback();
    this.resolve();
  }

  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
  handleCommandComplete(): void {}
}

/**
 * Runs `COPY … FROM STDIN (FORMAT binary)`.
 * @param rows as CopyRows makes them
 * @throws what the driver throws; nothing was written then
 */
export function copyIn(client: ClientBase, text: string, rows: Buffer): Promise<void> {
  const query = new CopyIn(text, rows);
  client.query(query as never);
  return query.done;
}

const bytesAtFirst = 1 << 20;
/** Days from 1970-01-01 to PostgreSQL's 2000-01-01. */
const epochDays = 10_957;
const ten = (exponent: number): bigint => 10n ** BigInt(exponent);
/** Minor units up to here are exact as numbers, also times 1,000. */
const smallMax = 9_000_000_000_000n;

/** Rows that are written one after the other into one buffer. Every row begins with `row`, then come its fields in order. */
export class CopyRows {
  private buffer = Buffer.allocUnsafeSlow(bytesAtFirst);
  private view = new DataView(this.buffer.buffer);
  private at = 0;
  /** Rows since the last `take`. */
  count = 0;

  /** Begins a row. */
  row(fields: number): void {
    this.reserve(2);
    this.view.setInt16(this.at, fields);
    this.at += 2;
    this.count++;
  }

  null(): void {
    this.reserve(4);
    this.view.setInt32(this.at, -1);
    this.at += 4;
  }

  int8(value: number): void {
    this.reserve(12);
    this.view.setInt32(this.at, 8);
    this.view.setInt32(this.at + 4, Math.floor(value / 4_294_967_296));
    this.view.setUint32(this.at + 8, value >>> 0);
    this.at += 12;
  }

  /** @param days since 1970-01-01 */
  date(days: number): void {
    this.reserve(8);
    this.view.setInt32(this.at, 4);
    this.view.setInt32(this.at + 4, days - epochDays);
    this.at += 8;
  }

  /** A value of type "char". */
  char(letter: string): void {
    this.reserve(5);
    this.view.setInt32(this.at, 1);
    this.view.setUint8(this.at + 4, letter.charCodeAt(0));
    this.at += 5;
  }

  /** A field, or several, as fieldOf makes them. */
  bytes(field: Buffer): void {
    this.reserve(field.length);
    field.copy(this.buffer, this.at);
    this.at += field.length;
  }

  /** A numeric with exactly `scale` decimals. @param minor its value times 10^scale, not negative */
  numeric(minor: bigint, scale: number): void {
    // Groups of four decimal digits; those after the point are filled up to a whole group.
    const groups = Math.ceil(scale / 4);
    const digits: number[] = [];
    if (minor <= smallMax) {
      for (let rest = Number(minor) * 10 ** (4 * groups - scale); rest > 0; rest = Math.floor(rest / 10_000)) digits.push(rest % 10_000);
    } else {
      for (let rest = minor * ten(4 * groups - scale); rest > 0n; rest /= 10_000n) digits.push(Number(rest % 10_000n));
    }
    const weight = digits.length - groups - 1;
    let last = 0;
    while (last < digits.length && digits[last] === 0) last++;
    const kept = digits.length - last;
    this.reserve(12 + 2 * kept);
    const { view } = this;
    view.setInt32(this.at, 8 + 2 * kept);
    view.setInt16(this.at + 4, kept);
    view.setInt16(this.at + 6, kept === 0 ? 0 : weight);
    view.setInt16(this.at + 8, 0);
    view.setInt16(this.at + 10, scale);
    this.at += 12;
    for (let index = digits.length - 1; index >= last; index--) {
      view.setInt16(this.at, digits[index] as number);
      this.at += 2;
    }
  }

  /** The rows so far, in a buffer of their own; the next ones begin anew. */
  take(): Buffer {
    const rows = Buffer.from(this.buffer.subarray(0, this.at));
    this.at = 0;
    this.count = 0;
    return rows;
  }

  private reserve(bytes: number): void {
    if (this.at + bytes <= this.buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.buffer.length * 2, this.at + bytes));
    this.buffer.copy(grown, 0, 0, this.at);
    this.buffer = grown;
    this.view = new DataView(grown.buffer);
  }
}

/** A text or uuid as a field of a row, to be written again and again. */
export function fieldOf(type: 'text' | 'uuid', value: string): Buffer {
  const bytes = type === 'uuid' ? Buffer.from(value.replaceAll('-', ''), 'hex') : Buffer.from(value, 'utf8');
  const field = Buffer.allocUnsafeSlow(4 + bytes.length);
  field.writeInt32BE(bytes.length);
  bytes.copy(field, 4);
  return field;
}
