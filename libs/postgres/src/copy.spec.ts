/** What COPY in binary form writes is what was meant: random values of every type, read back as text. */
import * as fc from 'fast-check';
import type { Client } from 'pg';
import { type TestDatabase, testDatabase } from '../../../test/support/database';
import { connect, openPool } from './connect';
import { CopyRows, copyIn, fieldOf } from './copy';

let database: TestDatabase;
let client: Client;
beforeAll(async () => {
  database = await testDatabase();
  client = await connect(database.adminUrl);
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

const decimal = (minor: bigint, scale: number): string => {
  const digits = String(minor).padStart(scale + 1, '0');
  return scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
};

test('rows are read back as they were given', async () => {
  const aRow = fc.record({
    position: fc.oneof(fc.nat(), fc.maxSafeNat()),
    id: fc.uuid(),
    day: fc.integer({ min: -25_567, max: 84_005 }),
    kind: fc.constantFrom('Y', 'M', 'D'),
    text: fc.string({ unit: 'grapheme', maxLength: 40 }).filter((text) => text.isWellFormed() && !text.includes('\0')),
    scale: fc.nat(18),
    minor: fc.oneof(
      fc.bigInt(0n, 100n),
      fc.bigInt(0n, 10n ** 13n),
      fc.bigInt(0n, 10n ** 38n),
      fc.constantFrom(0n, 10_000n, 9_999n, 9_000_000_000_001n),
    ),
    known: fc.boolean(),
  });
  await client.query('CREATE TEMPORARY TABLE copied (n bigint, id uuid, day date, kind "char", text text, amount numeric, other numeric)');
  await fc.assert(
    fc.asyncProperty(fc.array(aRow, { minLength: 1, maxLength: 60 }), async (given) => {
      const rows = new CopyRows();
      for (const { position, id, day, kind, text, scale, minor, known } of given) {
        rows.row(7);
        rows.int8(position);
        rows.bytes(fieldOf('uuid', id));
        rows.date(day);
        rows.char(kind);
        rows.bytes(fieldOf('text', text));
        rows.numeric(minor, scale);
        if (known) rows.numeric(minor, scale);
        else rows.null();
      }
      expect(rows.count).toBe(given.length);
      await client.query('TRUNCATE copied');
      await copyIn(client, 'COPY copied FROM STDIN (FORMAT binary)', rows.take());
      const { rows: read } = await client.query(
        "SELECT n, id, day - date '1970-01-01' AS day, kind, text, amount::text, other::text FROM copied",
      );
      expect(read).toEqual(
        given.map(({ position, id, day, kind, text, scale, minor, known }) => ({
          ...{ n: position, id, day, kind, text, amount: decimal(minor, scale) },
          other: known ? decimal(minor, scale) : null,
        })),
      );
    }),
    { numRuns: 60 },
  );
});

test('a copy that has ended leaves no timer of the pool behind, which would keep the process from its end', async () => {
  const pool = openPool(database.adminUrl, { max: 1, queryTimeoutMs: 54_321 });
  const set = jest.spyOn(global, 'setTimeout');
  const cleared = jest.spyOn(global, 'clearTimeout');
  try {
    const own = await pool.connect();
    await own.query('CREATE TEMPORARY TABLE timed (n bigint)');
    for (const table of ['timed', 'nowhere']) {
      const rows = new CopyRows();
      rows.row(1);
      rows.int8(7);
      await copyIn(own, `COPY ${table} FROM STDIN (FORMAT binary)`, rows.take()).catch(() => {});
    }
    await own.query('SELECT 1');
    own.release();
    const timers = set.mock.results.filter((_, index) => (set.mock.calls[index]?.[1] ?? 0) >= 54_321).map(({ value }) => value);
    const ended = cleared.mock.calls.map(([timer]) => timer);
    expect(timers.length).toBeGreaterThanOrEqual(4);
    expect(timers.filter((timer) => !ended.includes(timer)).length).toBe(0);
  } finally {
    set.mockRestore();
    cleared.mockRestore();
    await pool.end();
  }
});

test('a row that the table does not take is refused, and the connection goes on', async () => {
  await client.query('CREATE TEMPORARY TABLE refusing (n bigint CHECK (n < 5))');
  const rows = new CopyRows();
  rows.row(1);
  rows.int8(7);
  await expect(copyIn(client, 'COPY refusing FROM STDIN (FORMAT binary)', rows.take())).rejects.toMatchObject({ code: '23514' });
  await expect(copyIn(client, 'COPY nowhere FROM STDIN (FORMAT binary)', rows.take())).rejects.toMatchObject({ code: '42P01' });
  expect((await client.query('SELECT count(*) FROM refusing')).rows).toEqual([{ count: 0 }]);
});
