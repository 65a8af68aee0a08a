/**
 * CSV files with a header (RFC 4180: commas, quotes, LF or CRLF, UTF-8 with or without a byte order mark), read as a stream, and
 * their relatives with other separators and character sets. Hides columns in any order and spelling, quoting and encoding;
 * guarantees that every row carries the line of the file where it begins, that text is exactly the file's (bytes that are no
 * text are refused, never replaced), and that a file without the wanted columns is refused before its first row is looked at.
 */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline, Transform } from 'node:stream';
import { CsvError, type Options, parse } from 'csv-parse';
import { LedgerError } from '#domain';

/** One row below the header. */
export interface CsvRow {
  /** Line of the file where it begins, from 1; a quoted cell may go on over several. */
  readonly at: number;
  /** Cells in the order in which the columns were asked for; '' for an optional column that the file does not have. */
  readonly cells: readonly string[];
  /** Columns that were not asked for, where they are kept; without those that are empty. */
  readonly extra?: readonly { readonly key: string; readonly value: string }[];
  /** Set when the row has more or fewer cells than the header. */
  readonly problem?: string;
}

export interface CsvColumns {
  readonly required: readonly string[];
  readonly optional?: readonly string[];
  /** The name that a cell of the header stands for, where a standard is spelt in several ways. */
  readonly nameOf?: (cell: string) => string;
  /** What is wrong with a header, said after "the header"; for columns of which there have to be some. */
  readonly faultOf?: (has: (name: string) => boolean) => string | undefined;
  /** Other columns are kept with each row; without it they are refused. */
  readonly keepExtra?: true;
}

export type Encoding = 'utf-8' | 'iso-8859-15' | 'windows-1252';

/** How a file that is no plain CSV is written. */
export interface CsvDialect {
  /** Separators that it may have; the one that stands most often in the header counts. */
  readonly separators: readonly string[];
  /** Quotes mean nothing unless the header has them; without it they are those of RFC 4180. */
  readonly quotesAsHeader?: true;
  /** Found out from its bytes when `detect`: UTF-8 if that is possible, else one of the others (see `encodingOf`). */
  readonly encoding: Encoding | 'detect';
}

/** One row is held in memory, so a quote that is never closed must not hold the rest of the file. */
const rowBytesMax = 1 << 20;
const plain = { bom: true, relax_column_count: true, record_delimiter: ['\r\n', '\n'], max_record_size: rowBytesMax };
const chunkBytes = 1 << 16;
const rowsPerBatch = 200;

/**
 * Rows of a file, some at a time; empty lines are passed over. Constant memory, 4 µs per row of eight cells.
 * @throws LedgerError malformed with FILE:LINE when there is no such file, its header is another, or it is not CSV;
 *   text_invalid when its bytes are no text in its encoding
 */
export async function* readCsv(file: string, columns: CsvColumns, dialect?: CsvDialect): AsyncGenerator<readonly CsvRow[]> {
  let options: Options = plain;
  let next = 1;
  let header: Header | undefined;
  let batch: CsvRow[] = [];
  try {
    if (dialect !== undefined) options = await optionsOf(file, dialect);
    const encoding = dialect?.encoding === 'detect' ? await encodingOf(file) : dialect?.encoding;
    const parser = parse(options);
    // A failure of any part reaches the loop below through the parser.
    pipeline(createReadStream(file, { highWaterMark: chunkBytes }), asUtf8(file, encoding), parser, () => {});
    for await (const record of parser as AsyncIterable<string[]>) {
      const at = next;
      next += 1 + lineEndsIn(record);
      if (record.length === 1 && record[0]?.trim() === '') continue;
      if (header === undefined) {
        header = readHeader(`${file}:${at}`, record, columns, dialect);
        continue;
      }
      batch.push(header.read(at, record));
      if (batch.length >= rowsPerBatch) {
        yield batch;
        batch = [];
      }
    }
  } catch (error) {
    if (error instanceof CsvError) throw notCsv(`${file}:${await lineOfBreak(file, options)}`, error);
    if (error instanceof LedgerError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new LedgerError('malformed', `there is no file ${file}`);
    throw new LedgerError('malformed', `${file} cannot be read: ${message}`, {}, 'invalid', { cause: error });
  }
  if (header === undefined) throw new LedgerError('malformed', `${file}:1: the file is empty; it begins with ${wanted(columns)}`);
  if (batch.length > 0) yield batch;
}

// --- Dialects ---

/** Separator and quotes as the header has them. */
async function optionsOf(file: string, { separators, quotesAsHeader }: CsvDialect): Promise<Options> {
  const handle = await open(file);
  const bytes = Buffer.alloc(chunkBytes);
  // Separators and quotes are ASCII in every encoding.
  const length = await handle.read(bytes, 0, chunkBytes, 0).finally(() => handle.close());
  const text = bytes.toString('latin1', 0, length.bytesRead).replace(/^\xef\xbb\xbf/, '');
  const header = text.split(/[\r\n]+/).find((line) => line.trim() !== '') ?? '';
  const counts = separators.map((separator) => header.split(separator).length);
  const delimiter = separators[counts.indexOf(Math.max(...counts))] ?? ',';
  const quoted = !quotesAsHeader || header.trimStart().startsWith('"');
  return {
    ...plain,
    delimiter,
    quote: quoted ? '"' : null,
    // Inside of cells that have none around them quotes are text, where a separator is rare enough that nobody quotes for it.
    relax_quotes: delimiter !== ',',
    record_delimiter: quoted ? plain.record_delimiter : [...plain.record_delimiter, '\r'],
  };
}

interface Header {
  read(at: number, record: readonly string[]): CsvRow;
}

function readHeader(place: string, cells: readonly string[], columns: CsvColumns, dialect?: CsvDialect): Header {
  const { required, optional = [], nameOf = (cell: string) => cell, faultOf, keepExtra } = columns;
  const all = [...required, ...optional];
  const names = cells.map(nameOf);
  // Files of other programs often have a separator at the end of each line.
  while (keepExtra && names.at(-1)?.trim() === '') names.pop();
  const missing = required.filter((name) => !names.includes(name));
  const unknown = names.filter((name) => !all.includes(name));
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  const fault = missing.length > 0 ? undefined : faultOf?.((name) => names.includes(name));
  const faults = [
    ...(missing.length > 0 ? [`lacks ${missing.join(', ')}`] : []),
    ...(unknown.length > 0 && !keepExtra
      ? [`names ${unknown.map((name) => JSON.stringify(name)).join(', ')}, which ${unknown.length === 1 ? 'means' : 'mean'} nothing here`]
      : []),
    ...(twice !== undefined ? [`names ${twice} twice`] : []),
    ...(fault !== undefined ? [fault] : []),
  ];
  if (faults.length > 0) {
    const allowed = (dialect?.separators ?? [',']).map((separator) => separatorNames[separator] ?? separator).join(' or ');
    const separator = names.length === 1 && /[;,\t|]/.test(names[0] ?? '') ? `; cells are separated by ${allowed}` : '';
    throw new LedgerError('malformed', `${place}: the header ${faults.join(' and ')}; the file begins with ${wanted(columns)}${separator}`);
  }
  const places = all.map((name) => names.indexOf(name));
  const extra = names.flatMap((name, index) => (all.includes(name) || name.trim() === '' ? [] : [{ key: name, index }]));
  return {
    read(at, record) {
      const texts = places.map((index) => record[index] ?? '');
      let { length } = record;
      while (keepExtra && length > names.length && record[length - 1]?.trim() === '') length--;
      if (length !== names.length)
        return { at, cells: texts, problem: `the row has ${length} ${length === 1 ? 'cell' : 'cells'}, the header ${names.length}` };
      if (extra.length === 0) return { at, cells: texts };
      const kept = extra.map(({ key, index }) => ({ key, value: (record[index] ?? '').trim() }));
      return { at, cells: texts, extra: kept.filter(({ value }) => value !== '') };
    },
  };
}

const separatorNames: Readonly<Record<string, string>> = { ',': 'commas', '\t': 'tabs', '|': '|', ';': 'semicolons' };

const wanted = ({ required, optional = [], keepExtra }: CsvColumns): string =>
  `a header that names the columns ${required.join(', ')}${optional.length > 0 && !keepExtra ? ` and, if there are any, ${optional.join(', ')}` : ''}`;

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
async function lineOfBreak(file: string, options: Options): Promise<number> {
  let next = 1;
  const count = (record: string[]): null => {
    next += 1 + lineEndsIn(record);
    return null;
  };
  await new Promise<void>((resolve) => {
    const parser = parse({ ...options, on_record: count });
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

// --- Encodings ---

/**
 * The encoding of a file: UTF-8 if all of it is; else Windows-1252 if it has bytes that are controls in ISO 8859-15, as € and œ of
 * Windows are; else ISO 8859-15, where € and œ are others. What has letters in UTF-8 is never read as another: it is broken.
 */
async function encodingOf(file: string): Promise<Encoding> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let utf8 = true;
  let windows = false;
  let letters = false;
  let before = 0;
  for await (const chunk of createReadStream(file, { highWaterMark: chunkBytes }) as AsyncIterable<Buffer>) {
    utf8 &&= isText(decoder, chunk, true);
    for (const byte of chunk) {
      windows ||= byte >= 0x80 && byte < 0xa0;
      // À to ÿ; in the others an Ã with a sign behind it, which no language has.
      letters ||= before === 0xc3 && byte >= 0x80 && byte < 0xc0;
      before = byte;
    }
  }
  if (letters || (utf8 && isText(decoder, Buffer.alloc(0), false))) return 'utf-8';
  return windows ? 'windows-1252' : 'iso-8859-15';
}

function isText(decoder: InstanceType<typeof TextDecoder>, chunk: Buffer, stream: boolean): boolean {
  try {
    decoder.decode(chunk, { stream });
    return true;
  } catch {
    return false; // the only reason for which a fatal decoder throws
  }
}

/** What Windows-1252 has where ISO 8859-1 has controls, from 0x80 on (the Encoding Standard's index); TextDecoder of Node 20 forgets it. */
const windowsOnly = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ';

/** Bytes of the file as UTF-8, which is what the parser reads. */
function asUtf8(file: string, encoding: Encoding = 'utf-8'): Transform {
  if (encoding === 'utf-8') return onlyUtf8(file);
  const latin9 = new TextDecoder('iso-8859-15');
  const decode = (chunk: Buffer): string => {
    if (encoding === 'iso-8859-15') return latin9.decode(chunk);
    return chunk.toString('latin1').replace(/[\u0080-\u009f]/g, (text) => windowsOnly[text.charCodeAt(0) - 0x80] ?? text);
  };
  return new Transform({ transform: (chunk: Buffer, _encoding, done) => done(null, decode(chunk)) });
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
