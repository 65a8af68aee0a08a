/**
 * Exports: a book as files of other programs, as it was known at any position, whole or in a range of effective dates. Hides pages,
 * formats and archives; guarantees that the same position and range give the same bytes for ever (but for what was said of persons who
 * were erased since), that memory does not grow with the
 * entries, that what a format cannot hold is refused and named before the first byte, and that the checks of checks.ts ran: an export
 * that contradicts itself never comes to its end.
 *
 * A new format is one file in `exports` and its line in the table below; REST, CLI and the references take it from there.
 */
import { type CalendarDate, LedgerError } from '#domain';
import type { EventStore } from '#event-store';
import { ads } from './exports/ads';
import { type ArchiveFile, type Content, zipped } from './exports/archive';
import { beancount } from './exports/beancount';
import { csv } from './exports/csv';
import { type ExportedBook, exportedBook } from './exports/exported-book';
import { fec } from './exports/fec';
import { hledger } from './exports/hledger';
import { jsonl } from './exports/jsonl';
import { ledger } from './exports/ledger';
import { parquet } from './exports/parquet';
import { saftNo } from './exports/saf-t-no';
import { xlsx } from './exports/xlsx';
import type { Opened, Personal, Presentation } from './personal';
import type { AccountAnswer, KnownAt, Queries } from './queries';
import { csvRow } from './reports/csv';

export { type ExportedBook, exportedBook } from './exports/exported-book';

/** A format that is one file. */
interface FileFormat {
  /** Of a file's name, without the dot. */
  readonly extension: string;
  readonly mediaType: string;
  /** Where the receiver prescribes a name; made of nothing but what the book says. */
  fileName?(book: ExportedBook): string;
  /** The book from its beginning to its end, some at a time; made of nothing but what the book says. */
  write(book: ExportedBook): Content;
}

/** A format that is several files; alone it is handed out as a ZIP archive of them. */
interface FilesFormat {
  files(book: ExportedBook): AsyncIterable<ArchiveFile>;
}

export type ExportFormat = (FileFormat | FilesFormat) & {
  /** For references: what reads it, and what is special about it. */
  readonly title: string;
  /**
   * @returns everything that the format cannot hold, each thing named; nothing is written where there is any. May read the book once.
   */
  problems?(book: ExportedBook): Promise<readonly string[]>;
  /** How the format names accounts and currencies where it cannot hold them as they are; never two alike. */
  readonly names?: {
    account?(code: string, account: AccountAnswer): string;
    currency?(code: string): string;
    /** All else that may stand otherwise in the files than in the book, some at a time. May read the book once. */
    others?(book: ExportedBook): AsyncIterable<readonly Renamed[]>;
  };
};

/** What something is called in the files, and in the book. */
export interface Renamed {
  readonly kind: string;
  readonly exported: string;
  readonly original: string;
}

const archiveType = 'application/zip';

/** Formats by the name that REST and CLI know them by. */
const formats: Readonly<Record<string, ExportFormat>> = {
  hledger,
  'saf-t-no': saftNo,
  fec,
  ads,
  ledger,
  beancount,
  csv,
  jsonl,
  xlsx,
  parquet,
};

/** Names of the formats. */
export const exportFormats: readonly string[] = Object.keys(formats);
/** What each is, by name. */
export const exportTitles: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(formats).map(([name, { title }]) => [name, title]),
);

/** What they are as answers over HTTP, without parameters. */
export const exportMediaTypes: readonly string[] = [
  ...new Set(Object.values(formats).map((format) => ('write' in format ? (format.mediaType.split(';')[0] ?? '') : archiveType))),
].sort();

/** Which part of a book is exported; everything known at its head when nothing is said. Both days are included. */
export interface ExportQuestion {
  readonly knownAt?: KnownAt;
  readonly from?: CalendarDate;
  readonly to?: CalendarDate;
  /** How texts about persons are written; masked when absent. */
  readonly personal?: Presentation;
  /** Counts what is opened. */
  readonly opened?: Opened;
}

export interface BookExport {
  /** The position that the export holds for. */
  readonly position: number;
  readonly mediaType: string;
  /** A name that says what is in the file. */
  readonly fileName: string;
  /** To be read to its end, or returned. */
  readonly content: AsyncGenerator<string | Uint8Array>;
  /** Entries that were written until now. */
  readonly rows: () => number;
}

interface Source {
  readonly queries: Queries;
  readonly store: EventStore;
  readonly personal: Pick<Personal, 'reveal'>;
}

/**
 * Begins to export a book.
 * @throws LedgerError format_unknown | book_unknown | date_invalid | malformed | no_fiscal_year | export_unfit | export_inconsistent |
 *   projection_behind
 */
export async function exportBook(source: Source, bookId: string, formatName: string, question: ExportQuestion = {}): Promise<BookExport> {
  const format = formatOf(formatName);
  const whole = await exportedBook(source, bookId, { personal: 'masked', ...question });
  await checkFit(formatName, format, whole);
  const { book, rows } = counting(whole);
  const { position, range } = book;
  const days = range === undefined ? '' : `-${range.from}-${range.to}`;
  const name = `${bookId}-${position}${days}`;
  if ('write' in format) {
    const content = await begun(format.write(book));
    const fileName = format.fileName?.(book) ?? `${name}.${format.extension}`;
    return { position, mediaType: format.mediaType, fileName, content, rows };
  }
  const content = await begun(zipped(format.files(book), book.recordedAt));
  return { position, mediaType: archiveType, fileName: `${name}-${formatName}.zip`, content, rows };
}

/** Counts the entries that are read; formats that read them several times write each of them once. */
function counting(whole: ExportedBook): { readonly book: ExportedBook; readonly rows: () => number } {
  let most = 0;
  async function* counted<T>(pages: AsyncGenerator<T>, of: (page: T) => number): AsyncGenerator<T> {
    let count = 0;
    for await (const page of pages) {
      count += of(page);
      most = Math.max(most, count);
      yield page;
    }
  }
  const book: ExportedBook = {
    ...whole,
    entries: () => counted(whole.entries(), (page) => page.length),
    entriesByJournal: () => counted(whole.entriesByJournal(), ({ entries }) => entries.length),
  };
  return { book, rows: () => most };
}

/** What of a book is exported in formats can hold. @throws LedgerError format_unknown | export_unfit */
export async function checkFormats(book: ExportedBook, formatNames: readonly string[]): Promise<void> {
  for (const name of formatNames) await checkFit(name, formatOf(name), book);
}

/**
 * The same as files, for an archive that holds more than this export: with the map of names where the format has its own. Whether the
 * format can hold the book is not asked here.
 * @throws LedgerError format_unknown
 */
export async function* exportFiles(book: ExportedBook, formatName: string): AsyncGenerator<ArchiveFile> {
  const format = formatOf(formatName);
  if ('write' in format) yield { name: format.fileName?.(book) ?? `${book.id}.${format.extension}`, content: format.write(book) };
  else yield* format.files(book);
  if (format.names !== undefined) yield { name: 'names.csv', content: namesOf(book, format.names) };
}

function formatOf(name: string): ExportFormat {
  const format = Object.hasOwn(formats, name) ? formats[name] : undefined;
  if (format !== undefined) return format;
  throw new LedgerError('format_unknown', `there is no export format ${name}, only ${exportFormats.join(', ')}`, { format: name });
}

async function checkFit(name: string, { problems }: ExportFormat, book: ExportedBook): Promise<void> {
  const found = (await problems?.(book)) ?? [];
  if (found.length === 0) return;
  const more = found.length > shownProblems ? `; and ${found.length - shownProblems} more` : '';
  throw new LedgerError(
    'export_unfit',
    `the format ${name} cannot hold this book as it is: ${found.slice(0, shownProblems).join('; ')}${more}`,
    {
      problems: found.length,
    },
  );
}

const shownProblems = 20;

/** The map of names, both ways: what an account or a currency is called in the files, and what it is called in the book. */
async function* namesOf(book: ExportedBook, { account, currency, others }: NonNullable<ExportFormat['names']>): AsyncGenerator<string> {
  yield csvRow(['kind', 'exported', 'original']);
  for await (const some of others?.(book) ?? []) {
    const rows = some
      .filter(({ exported, original }) => exported !== original)
      .map(({ kind, exported, original }) => csvRow([kind, exported, original]));
    // The lines of an entry share its text.
    yield [...new Set(rows)].join('');
  }
  for (const code of currency === undefined ? [] : Object.keys(book.state?.currencies ?? {}).sort())
    if (currency?.(code) !== code) yield csvRow(['currency', currency?.(code) ?? '', code]);
  if (account === undefined) return;
  for await (const accounts of book.accounts())
    for (const each of accounts) if (account(each.code, each) !== each.code) yield csvRow(['account', account(each.code, each), each.code]);
}

/** Reads the first of the content before anybody is promised the rest; it ends with what is returned, also when nobody reads that. */
async function begun(content: Content): Promise<AsyncGenerator<string | Uint8Array>> {
  const iterator = content[Symbol.asyncIterator]();
  const whole = (async function* () {
    try {
      let next = await iterator.next();
      // A generator that nobody has read from does not run its `finally`: this piece, for nobody, is read here.
      yield '';
      for (; next.done !== true; next = await iterator.next()) yield next.value;
    } finally {
      await iterator.return?.();
    }
  })();
  await whole.next();
  return whole;
}
