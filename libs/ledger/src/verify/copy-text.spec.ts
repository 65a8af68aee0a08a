/** Rows that verify compares are read through COPY: what COPY makes of a value is what copyText says, on a real server. */
import * as fc from 'fast-check';
import { escapeLiteral, type Pool } from 'pg';
import { ColdStore } from '#event-store';
import { openPool } from '#postgres';
import { type TestDatabase, testDatabase } from '../../../../test/support/database';
import { copyText, copyValue } from './copy-text';
import { Snapshot } from './rows';

let database: TestDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await testDatabase();
  pool = openPool(database.appUrl, { max: 1 });
});
afterAll(async () => {
  await pool?.end();
  await database?.drop();
});

async function copied(select: string, use: (row: Buffer) => void): Promise<void> {
  const client = await pool.connect();
  try {
    await new Snapshot(client, new ColdStore(pool, undefined)).copy(select, use);
  } finally {
    client.release();
  }
}

/** No U+0000, which PostgreSQL does not store. */
const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 20 }).map((given) => given.replaceAll('\0', '')),
  fc.string({
    unit: fc.constantFrom('\b', '\f', '\n', '\r', '\t', '\v', '\\', '\u0001', '\u007f', 'N', 't', '.', 'é', '😀'),
    maxLength: 8,
  }),
  fc.constantFrom('\\N', '\\.', ''),
);

it('a row is the texts of its values between tabs, and each value is read back from its text', async () => {
  const values = fc.sample(fc.tuple(fc.option(text, { nil: undefined }), text), 400);
  const literal = (value: string | undefined): string => (value === undefined ? 'NULL' : escapeLiteral(value));
  const rows: string[] = [];
  const list = values.map(([a, b], n) => `(${n}, ${literal(a)}, ${literal(b)})`).join(', ');
  await copied(`SELECT a::text, b::text FROM (VALUES ${list}) AS v (n, a, b) ORDER BY n`, (row) => rows.push(row.toString('utf8')));
  expect(rows).toEqual(values.map(([a, b]) => `${copyText(a)}\t${copyText(b)}\n`));
  for (const [index, row] of rows.entries()) expect(row.slice(0, -1).split('\t').map(copyValue)).toEqual(values[index]);
  expect(new Set(values.map((pair) => JSON.stringify(pair.map((value) => value ?? null)))).size).toBe(new Set(rows).size);
});

it('what fails while rows come is the error, and the connection serves the next', async () => {
  let seen = 0;
  const stop = (): void => {
    if (++seen === 3) throw new Error('enough');
  };
  await expect(copied('SELECT n FROM generate_series(1, 50000) AS n', stop)).rejects.toThrow('enough');
  expect(seen).toBe(3);
  await expect(copied('SELECT 1 / (3 - n) FROM generate_series(1, 5) AS n', () => {})).rejects.toThrow('division by zero');
  await expect(copied('SELECT nothing', () => {})).rejects.toMatchObject({ code: '42703' });
  const rows: string[] = [];
  await copied('SELECT 7', (row) => rows.push(row.toString()));
  expect(rows).toEqual(['7\n']);
});
