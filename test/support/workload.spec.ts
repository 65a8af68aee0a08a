/** The judge of the fault suites is judged: what it must find is done to a book, and it finds it. */
import type { Client } from 'pg';
import { EventStore } from '#event-store';
import { catalogue, Projector } from '#ledger';
import { connect, openPool } from '#postgres';
import { type TestDatabase, testDatabase } from './database';
import { run, startLedger, type TestLedger } from './ledgers';
import { audit, checkProjections, commandOf, openWorkload, Witness } from './workload';

let database: TestDatabase;
let admin: Client;
let ledger: TestLedger;
beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
  ledger = startLedger(database.appUrl);
});
afterAll(async () => {
  await ledger.close();
  await admin.end();
  await database.drop();
});

/** A book after sixty commands, with what their callers were told. */
async function worked(bookId: string): Promise<Witness> {
  await openWorkload(database.appUrl, [bookId]);
  const witness = new Witness(bookId);
  for (let number = 0; number < 60; number++) {
    const key = `w-${number}`;
    witness.tell(key, await run(ledger.ledger, bookId, commandOf(key), key));
  }
  return witness;
}

const postedKey = (witness: Witness): string =>
  [...witness.answers].find(([key, { status }]) => status === 201 && commandOf(key).type === 'PostEntry')?.[0] ?? '';

test('a book to which nothing happened is well, and holds single entries, batches and refusals', async () => {
  const witness = await worked('well');
  const judged = await audit(admin, witness);
  expect(judged).toMatchObject({ acknowledged: 60, lost: [], doubled: [], contradictions: [] });
  expect(judged.refused).toBeGreaterThan(5);
  expect([...witness.answers.keys()].some((key) => commandOf(key).type === 'PostEntries')).toBe(true);
});

test('an acknowledged command that is not there is lost', async () => {
  const witness = await worked('loses');
  // Acknowledged, and never sent.
  const never = Array.from({ length: 100 }, (_, n) => `never-${n}`).find((key) => commandOf(key).type === 'PostEntry') ?? '';
  witness.tell(never, { status: 201, body: '{}', replayed: false });
  const { lost, doubled } = await audit(admin, witness);
  expect(lost).toEqual([`${never}: 201 without a receipt`, `${never}: 1 entries were acknowledged, 0 are there`]);
  expect(doubled).toEqual([]);
});

test('another answer than the receipt says is lost, and a second answer to one key a contradiction', async () => {
  const witness = await worked('tells');
  const key = postedKey(witness);
  witness.tell(key, { status: 201, body: '{"id":"another"}', replayed: true });
  const { lost, contradictions } = await audit(admin, witness);
  expect(lost).toEqual([expect.stringContaining(`${key}: was told 201 {"id":"another"}, the receipt says`)]);
  expect(contradictions).toHaveLength(1);
});

test('an entry that nobody was told of is doubled', async () => {
  const witness = await worked('doubles');
  const key = postedKey(witness);
  witness.answers.delete(key);
  expect((await audit(admin, witness)).doubled).toEqual([`${key}: 1 entries that nobody was told of`]);
});

test('a gap in the log is an error', async () => {
  const witness = await worked('broken');
  await admin.query('ALTER TABLE log.events DISABLE TRIGGER events_append_only');
  try {
    await admin.query(
      "UPDATE log.events SET position = position + 1 WHERE book_id = 'broken' AND position = (SELECT max(position) FROM log.events WHERE book_id = 'broken')",
    );
    await expect(audit(admin, witness)).rejects.toThrow(/^I4/);
  } finally {
    await admin.query('ALTER TABLE log.events ENABLE TRIGGER events_append_only');
  }
});

test.each([
  [
    'a row that is missing',
    'DELETE FROM projections.account_lines WHERE book_id = $1 AND position = (SELECT max(position) FROM projections.account_lines WHERE book_id = $1)',
    /skipped/,
  ],
  ['a total that is wrong', "UPDATE projections.running_totals SET debit = debit + 1 WHERE book_id = $1 AND bucket = 'D'", /verify|I7/],
])('%s in a projection is an error', async (what, spoil, message) => {
  const bookId = what.replaceAll(' ', '-');
  await worked(bookId);
  const pool = openPool(database.appUrl, { max: 2 });
  const projector = new Projector(new EventStore(pool, catalogue), pool);
  while ((await projector.fold(bookId)) !== 'done');
  await pool.end();
  await admin.query(spoil, [bookId]);
  await expect(checkProjections(admin, database.appUrl, bookId)).rejects.toThrow(message);
});
