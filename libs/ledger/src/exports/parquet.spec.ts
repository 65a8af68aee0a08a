import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import { bookOf, entriesUpTo, filesIn, idOf, pair, richBook, sumOf } from '../../../../test/support/exported-books';
import { add, type Balances, shown, units } from '../../../../test/support/postings';
import type { ExportedBook } from './exported-book';
import { filesOf } from './parquet';

let directory: string;
let duckdb: DuckDBConnection;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'book-keeper-parquet-'));
  duckdb = await (await DuckDBInstance.create(':memory:')).connect();
  // Its cache tells a file by name and time, and took one that was written twice within a tick of the clock for the first.
  await duckdb.run('SET enable_external_file_cache = false');
});
afterAll(() => {
  duckdb.closeSync();
  rmSync(directory, { recursive: true, force: true });
});

/** Answers as texts, because JavaScript has no type for some of them. */
async function ask(question: string): Promise<(string | null)[][]> {
  const reader = await duckdb.runAndReadAll(question.replace(/\b(\w+\.parquet)/g, (_, name: string) => `'${join(directory, name)}'`));
  return reader.getRowsJson().map((row) => row.map((value) => (value === null ? null : String(value))));
}

async function write(book: ExportedBook, groupRows?: number): Promise<void> {
  for (const [name, bytes] of await filesIn(filesOf(book, groupRows))) writeFileSync(join(directory, name), bytes);
}

describe('a book as Parquet, read by DuckDB', () => {
  it('has amounts, dates and instants with their types', async () => {
    await write(richBook());
    const columns = ['position', 'recordedAt', 'effectiveDate', 'account', 'debit', 'debitMinor', 'decimals', 'dimensions'];
    expect(
      await ask(`SELECT name, column_type FROM (DESCRIBE SELECT ${columns.join()} FROM lines.parquet) AS d(name, column_type, n, k, d, e)`),
    ).toEqual([
      ['position', 'BIGINT'],
      ['recordedAt', 'TIMESTAMP WITH TIME ZONE'],
      ['effectiveDate', 'DATE'],
      ['account', 'VARCHAR'],
      ['debit', 'VARCHAR'],
      ['debitMinor', 'DECIMAL(38,0)'],
      ['decimals', 'BIGINT'],
      ['dimensions', 'VARCHAR'],
    ]);
    expect(
      await ask(
        `SELECT epoch_us(recordedAt), effectiveDate, entryId, account, debit, debitMinor, decimals, baseDecimals FROM lines.parquet LIMIT 1`,
      ),
    ).toEqual([
      [String(Date.parse('2026-03-01T09:00:00Z') * 1_000), '2026-02-01', idOf(2), '0010', '1234567890123.45', '123456789012345', '2', '2'],
    ]);
    expect(await ask("SELECT dimensions::JSON->0->>'value', tax::JSON->0->>'amount' FROM lines.parquet LIMIT 2")).toEqual([
      ['a', '0.19'],
      [null, null],
    ]);
    expect(
      await ask('SELECT account, currency, openingMinor, closingMinor FROM balances.parquet WHERE closingMinor < -1000000000'),
    ).toEqual([['0010', 'EUR', '500', '-1234567766666667776167']]);
    expect(await ask('SELECT account, name, parent FROM accounts.parquet')).toEqual([
      ['0010', 'Name of 0010', null],
      ['=1+1', 'Name of =1+1', null],
    ]);
    expect(await ask('SELECT decode(key), decode(value) FROM parquet_kv_metadata(lines.parquet) ORDER BY 1')).toEqual([
      ['book', 'acme'],
      ['from', '2026-01-01'],
      ['position', '42'],
      ['recordedAt', '2026-03-01T09:00:00.000000Z'],
      ['to', '2026-12-31'],
    ]);
  });

  it('is written a row group at a time', async () => {
    const entry = { date: '2026-01-01', description: 'x', lines: pair('a', 'b') };
    await write(bookOf(Array(25).fill(entry)), 20);
    expect(
      await ask('SELECT row_group_id, any_value(row_group_num_rows) FROM parquet_metadata(lines.parquet) GROUP BY 1 ORDER BY 1'),
    ).toEqual([
      ['0', '20'],
      ['1', '20'],
      ['2', '10'],
    ]);
    expect(await ask('SELECT count(*), sum(debitMinor), sum(position) FROM lines.parquet')).toEqual([
      ['50', '2500', String(2 * (25 * 10 + 300))],
    ]);
  });

  it('may be empty', async () => {
    await write(bookOf([]));
    expect(await ask('SELECT count(*) FROM lines.parquet')).toEqual([['0']]);
  });

  it('has the balances, whatever codes, currencies and texts there are', () =>
    fc.assert(
      fc.asyncProperty(entriesUpTo(10n ** 29n), fc.constantFrom(3, 20_000), async ({ entries, currencies }, groupRows) => {
        await write(bookOf(entries, { currencies }), groupRows);
        for (const asOf of ['2026-01-19', '2026-01-31']) {
          const sum = 'sum(coalesce(debitMinor, 0) - coalesce(creditMinor, 0))';
          const rows = await ask(
            `SELECT account, currency, ${sum}, any_value(decimals) FROM lines.parquet WHERE effectiveDate <= '${asOf}' GROUP BY account, currency`,
          );
          const balances: Balances = new Map();
          for (const [account, currency, minor, decimals] of rows)
            add(balances, String(account), String(currency), BigInt(String(minor)) * 10n ** BigInt(18 - Number(decimals)));
          expect({ asOf, ...shown(balances) }).toEqual({ asOf, ...shown(sumOf(entries, asOf)) });
        }
        const texts = await ask('SELECT description, coalesce(debit, credit) FROM lines.parquet ORDER BY position, line');
        expect(texts).toEqual(entries.flatMap(({ description, lines }) => lines.map(({ amount }) => [description, amount])));
        expect(units(String(texts[0]?.[1]))).toBe(units(String(entries[0]?.lines[0]?.amount)));
      }),
      { numRuns: 30 },
    ));
});
