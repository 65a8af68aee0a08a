/** What stays in memory after a command is answered, or refused, is bounded: not by the number of things alone, but by their size. */
import type { Client } from 'pg';
import { type Command, type PostEntries } from '#ledger';
import { connect } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';
import { openBookWith, run, startLedger, type TestLedger, testConfig, transfer } from '../support/ledgers';

let database: TestDatabase;
let admin: Client;
let started: TestLedger;

beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
  started = startLedger(database.appUrl);
});

afterAll(async () => {
  await started.close();
  await admin.end();
  await database.drop();
});

/** How often an outcome was read from the database, because memory did not have it. */
async function readsOf(key: string): Promise<number> {
  const { rows } = await admin.query('SELECT replays FROM log.receipts WHERE key = $1 AND item = 0', [key]);
  return rows[0].replays;
}

const entries = (count: number): PostEntries['entries'] =>
  Array.from({ length: count }, () => {
    const { type: _, ...entry } = transfer('cash', 'bank', '1');
    return entry;
  });

test('outcomes are kept for repeats unless they are large: fingerprints of a thousand entries are 150 KiB', async () => {
  const { ledger } = started;
  await openBookWith(ledger, 'outcomes', ['bank', 'cash']);
  const twice = async (key: string, command: Command): Promise<number> => {
    const first = await run(ledger, 'outcomes', command, key);
    expect(await run(ledger, 'outcomes', command, key)).toEqual({ ...first, replayed: true });
    return readsOf(key);
  };
  expect(await twice('small', transfer('cash', 'bank', '1'))).toBe(0);
  expect(await twice('refused', transfer('cash', 'nowhere', '1'))).toBe(0);
  expect(await twice('large-answer', { type: 'PostEntries', atomic: true, entries: entries(100) })).toBe(1);
  const batch: Command = { type: 'PostEntries', atomic: false, entries: entries(9) };
  expect(await twice('small-claim', batch)).toBe(0);
  const lines = Array.from({ length: 1_000 }, () => ({ account: 'nowhere', side: 'debit' as const, amount: '1', currency: 'EUR' }));
  expect(await twice('large-refusal', { ...transfer('cash', 'bank', '1'), lines })).toBe(1);
  expect(await twice('large-claim', { ...batch, entries: entries(1_000) })).toBe(1);
});

test('a book whose first command finds the queue full leaves nothing behind', async () => {
  const { ledger, close } = startLedger(database.appUrl, { config: { ...testConfig, QUEUE_TOTAL: 5 } });
  const { books } = (ledger as unknown as { queue: { books: Map<string, unknown> } }).queue;
  await admin.query('BEGIN');
  await admin.query("SELECT 1 FROM log.book_heads WHERE book_id = 'outcomes' FOR UPDATE");
  const waiting = Array.from({ length: 5 }, () => run(ledger, 'outcomes', transfer('cash', 'bank', '1')));
  try {
    for (let nth = 0; nth < 20; nth++)
      await expect(run(ledger, `refused-${nth}`, transfer('cash', 'bank', '1'))).rejects.toMatchObject({ code: 'queue_full' });
    expect([...books.keys()]).toEqual(['outcomes']);
  } finally {
    await admin.query('ROLLBACK');
    await Promise.all(waiting);
    await close();
  }
});
