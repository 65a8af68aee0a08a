/**
 * The format `parquet`: lines, accounts and balances of a book as three Apache Parquet files, for DuckDB, Spark, pandas and their
 * kind. Hides the columns' physical types; guarantees constant memory (a row group is written when it is full), the same bytes for the
 * same book, and exact amounts: each stands as decimal text, and as whole minor units (`debitMinor`, DECIMAL(38, 0), which holds every
 * total that a book can have) beside the `decimals` of its currency. Dates are DATE, instants TIMESTAMP in microseconds of UTC.
 *
 * hyparquet-writer is 1 MB of JavaScript and writes row group by row group; DuckDB's own library, which would write the same files,
 * is 70 MB for each platform, and reads them in our specs instead.
 */
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import { daysBetween, decimalsOf, scaleOf } from '#domain';
import { instantMicros } from '#event-store';
import type { ExportFormat } from '../exports';
import type { ArchiveFile } from './archive';
import type { ExportedBook } from './exported-book';
import { accountColumns, balanceColumns, balanceRows, type Kind, type LineRow, lineColumns, lineRows, type TableColumn } from './tables';

export const parquet: ExportFormat = {
  title: 'lines, accounts and balances as three Parquet files in a ZIP archive, for DuckDB and the like',
  files: (book) => filesOf(book),
};

/** Lines that are held before they are written. */
const rowsPerGroup = 20_000;

/** @param groupRows rows of a row group */
export async function* filesOf(book: ExportedBook, groupRows = rowsPerGroup): AsyncGenerator<ArchiveFile> {
  const { state } = book;
  const baseDecimals = state === undefined ? undefined : scaleOf(state, state.baseCurrency);
  const ofLines: TableColumn<LineRow>[] = [
    ...lineColumns,
    { name: 'decimals', kind: 'number', of: ({ line }) => decimalsOf(line.amount) },
    { name: 'baseDecimals', kind: 'number', of: ({ line }) => (line.baseAmount === undefined ? undefined : baseDecimals) },
  ];
  const ofBalances: typeof balanceColumns = [...balanceColumns, { name: 'decimals', kind: 'number', of: ({ scale }) => scale }];
  yield { name: 'lines.parquet', content: bytesOf(ofLines, lineRows(book), book, groupRows) };
  yield { name: 'accounts.parquet', content: bytesOf(accountColumns, book.accounts(), book, groupRows) };
  yield { name: 'balances.parquet', content: bytesOf(ofBalances, balanceRows(book), book, groupRows) };
}

// --- Columns ---

type SchemaElement = ConstructorParameters<typeof ParquetWriter>[0]['schema'][number];
type Value = string | bigint | number | undefined;

/** A column as it is stored. */
interface Stored<Row> {
  readonly element: SchemaElement;
  of(row: Row): Value;
}

const textual: Partial<SchemaElement> = { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } };
const elements: Readonly<Record<Kind | 'minor', Partial<SchemaElement>>> = {
  text: textual,
  json: textual,
  amount: textual,
  number: { type: 'INT64' },
  date: { type: 'INT32', converted_type: 'DATE', logical_type: { type: 'DATE' } },
  instant: {
    type: 'INT64',
    converted_type: 'TIMESTAMP_MICROS',
    logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MICROS' },
  },
  minor: {
    type: 'FIXED_LEN_BYTE_ARRAY',
    type_length: 16,
    converted_type: 'DECIMAL',
    logical_type: { type: 'DECIMAL', precision: 38, scale: 0 },
    precision: 38,
    scale: 0,
  },
};

const element = (name: string, kind: Kind | 'minor'): SchemaElement => ({ name, repetition_type: 'OPTIONAL', ...elements[kind] });

function stored<Row>({ name, kind, of }: TableColumn<Row>): Stored<Row>[] {
  const own = { element: element(name, kind), of: (row: Row) => physical(kind, of(row)) };
  if (kind !== 'amount') return [own];
  const minor = (row: Row): Value => {
    const amount = of(row);
    // An amount has all decimals of its currency: without the point it is in minor units.
    return amount === undefined ? undefined : BigInt(String(amount).replace('.', ''));
  };
  return [own, { element: element(`${name}Minor`, 'minor'), of: minor }];
}

function physical(kind: Kind, value: string | number | undefined): Value {
  if (value === undefined) return undefined;
  if (kind === 'number') return BigInt(value);
  if (kind === 'date') return daysBetween('1970-01-01', String(value));
  if (kind === 'instant') return BigInt(instantMicros(String(value)) ?? 0);
  return value;
}

// --- Files ---

async function* bytesOf<Row>(
  columns: readonly TableColumn<Row>[],
  pages: AsyncIterable<readonly Row[]>,
  { id, position, range, recordedAt }: ExportedBook,
  groupRows: number,
): AsyncGenerator<Uint8Array> {
  const all = columns.flatMap(stored);
  const writer = new ByteWriter();
  const about = { book: id, position: String(position), recordedAt, from: range?.from, to: range?.to };
  const parquetWriter = new ParquetWriter({
    writer,
    schema: [{ name: 'root', num_children: all.length }, ...all.map((column) => column.element)],
    kvMetadata: Object.entries(about).flatMap(([key, value]) => (value === undefined ? [] : [{ key, value }])),
    createdBy: 'book-keeper',
  });
  // The writer knows where it stands in the file by itself; what is taken from it need not stay.
  const taken = (): Uint8Array => {
    const bytes = writer.getBytes().slice();
    writer.index = 0;
    return bytes;
  };
  const group = async (rows: readonly Row[]): Promise<Uint8Array> => {
    const columnData = all.map((column) => ({ name: column.element.name, data: rows.map(column.of) }));
    await parquetWriter.write({ columnData, rowGroupSize: rows.length });
    return taken();
  };
  let held: Row[] = [];
  for await (const rows of pages)
    for (const row of rows) {
      held.push(row);
      if (held.length < groupRows) continue;
      yield await group(held);
      held = [];
    }
  if (held.length > 0) yield await group(held);
  await parquetWriter.finish();
  yield taken();
}
