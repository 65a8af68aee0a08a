/**
 * Exports: a book as a file of another program, as it was known at any position. Hides pages and formats; guarantees that the
 * same position gives the same bytes for ever, that memory does not grow with the book, and that what cannot be exported is
 * refused before the first byte.
 *
 * A new format is one file in `exports` and its line in the table below; REST, CLI and the references take it from there.
 */
import { LedgerError } from '#domain';
import { writeHledger } from './exports/hledger';
import type { KnownAt, KnownBook } from './queries';
import type { Service } from './service';

interface ExportFormat {
  readonly mediaType: string;
  /** Of a file's name, without the dot. */
  readonly extension: string;
  /** The book from its beginning to its end, some text at a time; made of nothing but what the book says. */
  write(book: KnownBook): AsyncGenerator<string>;
}

/** Formats by the name that REST and CLI know them by. */
const formats: Readonly<Record<string, ExportFormat>> = {
  hledger: { mediaType: 'text/plain; charset=utf-8', extension: 'journal', write: writeHledger },
};

/** Names of the formats. */
export const exportFormats: readonly string[] = Object.keys(formats);

export interface BookExport {
  /** The position that the export holds for. */
  readonly position: number;
  readonly mediaType: string;
  /** A name that says what is in the file. */
  readonly fileName: string;
  /** To be read to its end, or returned. */
  readonly text: AsyncGenerator<string>;
}

/**
 * Begins to export a book.
 * @throws LedgerError format_unknown | book_unknown | date_invalid | malformed | projection_behind
 */
export async function exportBook(
  { queries }: Pick<Service, 'queries'>,
  bookId: string,
  formatName: string,
  { knownAt }: { readonly knownAt?: KnownAt } = {},
): Promise<BookExport> {
  const format = Object.hasOwn(formats, formatName) ? formats[formatName] : undefined;
  if (format === undefined) {
    throw new LedgerError('format_unknown', `there is no export format ${formatName}, only ${exportFormats.join(', ')}`, {
      format: formatName,
    });
  }
  const book = await queries.knownBook(bookId, { knownAt });
  const { mediaType, extension } = format;
  const text = await begun(format.write(book));
  return { position: book.position, mediaType, fileName: `${bookId}-${book.position}.${extension}`, text };
}

/** Reads the first of the text before anybody is promised the rest. */
async function begun(text: AsyncGenerator<string>): Promise<AsyncGenerator<string>> {
  const first = await text.next();
  return (async function* () {
    try {
      if (first.done !== true) yield first.value;
      yield* text;
    } finally {
      await text.return(undefined);
    }
  })();
}
