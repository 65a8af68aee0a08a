/**
 * The format `csv`: lines, accounts and balances of a book as three files of RFC 4180 (header row, CRLF, quotes where needed; UTF-8
 * without a byte order mark). Guarantees exact plain decimals and that every fact of an entry stands in the rows of its lines: whoever
 * adds the lines has the balances. Texts are given as they are, so a spreadsheet must be told to import text; `xlsx` is for those.
 */
import type { ExportFormat } from '../exports';
import { csvRow } from '../reports/csv';
import type { ArchiveFile } from './archive';
import type { ExportedBook } from './exported-book';
import { accountColumns, balanceColumns, balanceRows, cellsOf, lineColumns, lineRows, type TableColumn } from './tables';

export const csv = {
  title: 'lines, accounts and balances as three CSV files in a ZIP archive',
  files,
} satisfies ExportFormat;

async function* files(book: ExportedBook): AsyncGenerator<ArchiveFile> {
  yield { name: 'lines.csv', content: rowsOf(lineColumns, lineRows(book)) };
  yield { name: 'accounts.csv', content: rowsOf(accountColumns, book.accounts()) };
  yield { name: 'balances.csv', content: rowsOf(balanceColumns, balanceRows(book)) };
}

async function* rowsOf<Row>(columns: readonly TableColumn<Row>[], pages: AsyncIterable<readonly Row[]>): AsyncGenerator<string> {
  yield csvRow(columns.map(({ name }) => name));
  for await (const rows of pages) yield rows.map((row) => csvRow(cellsOf(columns, row))).join('');
}
