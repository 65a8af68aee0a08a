/**
 * CSV files with a header (RFC 4180: commas, quotes, LF or CRLF, UTF-8 with or without a byte order mark), read as a stream.
 * Hides columns in any order, quoting and encoding; guarantees that every row carries the line of the file where it begins,
 * that text is exactly the file's (bytes that are not UTF-8 are refused, never replaced), and that a file without the wanted
 * columns is refused before its first row is looked at.
 */
import { createReadStream } from 'node:fs';
import { pipeline, Transform } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { LedgerError } from '#domain';

/** One row below the header. */
export interface CsvRow {
  /** Line of the file where it begins, from 1; a quoted cell may go on over several. */
  readonly at: number;
  /** Cells in the order in which the columns were asked for; '' for an optional column that the file does not have. */
  readonly cells: readonly string[];
  /** Set when the row has more or fewer cells than the header. */
  readonly problem?: string;
}

export interface CsvColumns {
  readonly required: readonly string[];
  readonly optional?: readonly string[];
}

/** One row is held in memory, so a quote that is never closed must not hold the rest of the file. */
const rowBytesMax = 1 << 20;
const dialect = { bom: true, relax_column_count: true, record_delimiter: ['\r\n', '\n'], max_record_size: rowBytesMax };
const chunkBytes = 1 << 16;
const rowsPerBatch = 200;

/**
 * Rows of a file, some at a time; empty lines are passed over. Constant memory, 4 µs per row of eight cells.
 * @throws LedgerError malformed with FILE:LINE when there is no such file, its header is another, or it is not CSV;
 *   text_invalid when it is not UTF-8
 */
export async function* readCsv(file: string, columns: CsvColumns): AsyncGenerator<readonly CsvRow[]> {
  const parser = parse(dialect);
  // A failure of any part reaches the loop below through the parser.
  pipeline(createReadStream(file, { highWaterMark: chunkBytes }), onlyUtf8(file), parser, () => {});
  let next = 1;
  let header: Header | undefined;
  let batch: CsvRow[] = [];
  try {
    for await (const record of parser as AsyncIterable<string[]>) {
      const at = next;
      next += 1 + lineEndsIn(record);
      if (record.length === 1 && record[0]?.trim() === '') continue;
      if (header === undefined) {
        header = readHeader(`${file}:${at}`, record, columns);
        continue;
      }
      batch.push(header.read(at, record));
      if (batch.length >= rowsPerBatch) {
        yield batch;
        batch = [];
      }
    }
  } catch (error) {
    if (error instanceof CsvError) throw notCsv(`${file}:${await lineOfBreak(file)}`, error);
    if (error instanceof LedgerError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new LedgerError('malformed', `there is no file ${file}`);
    throw new LedgerError('malformed', `${file} cannot be read: ${message}`, {}, 'invalid', { cause: error });
  }
  if (header === undefined) throw new LedgerError('malformed', `${file}:1: the file is empty; it begins with ${wanted(columns)}`);
  if (batch.length > 0) yield batch;
}

interface Header {
  read(at: number, record: readonly string[]): CsvRow;
}

function readHeader(place: string, names: readonly string[], columns: CsvColumns): Header {
  const { required, optional = [] } = columns;
  const all = [...required, ...optional];
  const missing = required.filter((name) => !names.includes(name));
  const unknown = names.filter((name) => !all.includes(name));
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  const faults = [
    ...(missing.length > 0 ? [`lacks ${missing.join(', ')}`] : []),
    ...(unknown.length > 0
      ? [`names ${unknown.map((name) => JSON.stringify(name)).join(', ')}, which ${unknown.length === 1 ? 'means' : 'mean'} nothing here`]
      : []),
    ...(twice !== undefined ? [`names ${twice} twice`] : []),
  ];
  if (faults.length > 0) {
    const separator = names.length === 1 && /[;\t|]/.test(names[0] ?? '') ? '; cells are separated by commas' : '';
    throw new LedgerError('malformed', `${place}: the header ${faults.join(' and ')}; the file begins with ${wanted(columns)}${separator}`);
  }
  const places = all.map((name) => names.indexOf(name));
  return {
    read(at, record) {
      const cells = places.map((index) => record[index] ?? '');
      if (record.length === names.length) return { at, cells };
      return { at, cells, problem: `the row has ${record.length} ${record.length === 1 ? 'cell' : 'cells'}, the header ${names.length}` };
    },
  };
}

const wanted = ({ required, optional = [] }: CsvColumns): string =>
  `a header that names the columns ${required.join(', ')}${optional.length > 0 ? ` and, if there are any, ${optional.join(', ')}` : ''}`;

/** Counted here, because asking the parser for it with every row doubles the time per row. */
function lineEndsIn(record: readonly string[]): number {
  let count = 0;
  for (const cell of record) for (let at = cell.indexOf('\n'); at >= 0; at = cell.indexOf('\n', at + 1)) count++;
  return count;
}

/**
 * The line where the row begins that is no CSV. Rows before it may have been lost together with the parser, and its own count
 * is wrong for line ends inside quotes, so the file is read again and rows are counted in the moment when each is complete.
 */
async function lineOfBreak(file: string): Promise<number> {
  let next = 1;
  const count = (record: string[]): null => {
    next += 1 + lineEndsIn(record);
    return null;
  };
  await new Promise<void>((resolve) => {
    const parser = parse({ ...dialect, on_record: count });
    parser.resume();
    pipeline(createReadStream(file), parser, () => resolve());
  });
  return next;
}

function notCsv(place: string, { code }: CsvError): LedgerError {
  const reasons: Readonly<Record<string, string>> = {
    CSV_QUOTE_NOT_CLOSED: 'a quote is not closed in the row that begins here',
    CSV_MAX_RECORD_SIZE: `the row that begins here has more than ${rowBytesMax} bytes; is a quote not closed?`,
    INVALID_OPENING_QUOTE: 'a quote stands inside a cell that does not begin with one; quote the whole cell and double the quotes in it',
    CSV_INVALID_CLOSING_QUOTE: 'a quoted cell goes on after its closing quote; double the quotes in it',
  };
  return new LedgerError('malformed', `${place}: ${reasons[code] ?? code}`);
}

/** Passes bytes on as long as they are UTF-8; the parser would put U+FFFD for what is not. */
function onlyUtf8(file: string): Transform {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let line = 1;
  const check = (chunk: Buffer, last: boolean): LedgerError | undefined => {
    try {
      decoder.decode(chunk, { stream: !last });
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) line++;
      return undefined;
    } catch {
      // Decoding fails for one reason only; which bytes they are, it does not say.
      return new LedgerError(
        'text_invalid',
        `${file}:${lineOfFault(chunk, line)}: bytes that are not UTF-8; convert the file first, as with iconv`,
      );
    }
  };
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const fault = check(chunk, false);
      if (fault === undefined) done(null, chunk);
      else done(fault);
    },
    flush(done) {
      done(check(Buffer.alloc(0), true) ?? null);
    },
  });
}

/** The first line of the chunk whose bytes are wrong; a character cut by the chunk's beginning counts for its first line. */
function lineOfFault(chunk: Buffer, first: number): number {
  let line = first;
  for (let from = 0; ; line++) {
    const end = chunk.indexOf(10, from);
    if (end < 0 || chunk.subarray(from, end).toString('utf8').includes('\ufffd')) return line;
    from = end + 1;
  }
}
