/** A writer that takes the head by its lock, because others were always faster, waits for that lock no longer than for an append. */
import type { Client } from 'pg';
import { connect } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';
import { checkBook, openBookWith, run, startLedger, transfer } from '../support/ledgers';

let database: TestDatabase;
let admin: Client;

beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
});

afterAll(async () => {
  await admin.end();
  await database.drop();
});

test('somebody holds the head and does not let go: the caller is told in time, and the book goes on afterwards', async () => {
  const { ledger, close } = startLedger(database.appUrl, { config: { COMMAND_DEADLINE_MS: 300 } as never });
  try {
    await openBookWith(ledger, 'stuck', ['bank', 'cash']);
    // As after three appends that came behind another process's.
    const { books } = (ledger as unknown as { queue: { books: Map<string, { lostRaces: number }> } }).queue;
    (books.get('stuck') as { lostRaces: number }).lostRaces = 3;
    await admin.query('BEGIN');
    await admin.query("SELECT 1 FROM log.book_heads WHERE book_id = 'stuck' FOR UPDATE");
    try {
      await expect(run(ledger, 'stuck', transfer('cash', 'bank', '1'), 'held')).rejects.toMatchObject({ code: 'database_unavailable' });
    } finally {
      await admin.query('ROLLBACK');
    }
    expect((await run(ledger, 'stuck', transfer('cash', 'bank', '1'), 'held')).status).toBe(201);
    await checkBook(admin, 'stuck');
  } finally {
    await close();
  }
}, 15_000);
