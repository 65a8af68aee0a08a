/** The judge of the fault suites is judged: what it must find is done to a book, and it finds it. */
import type { Client } from 'pg';
import { EventStore } from '#event-store';
import { catalogue, Projector } from '#ledger';
import { connect, openPool } from '#postgres';
import { type TestDatabase, testDatabase } from './database';
import { contextOf, startLedger, type TestLedger } from './ledgers';
import { actorOf, audit, checkProjections, openWorkload, Witness } from './workload';

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

/** Carries out what a key stands for, and tells it. */
async function send(witness: Witness, key: string): Promise<{ readonly type: string; readonly status: number }> {
  const command = witness.commandOf(key);
  const answer = await ledger.ledger.execute(witness.bookId, command, contextOf(key, actorOf(key, command)));
  witness.tell(key, answer);
  return { type: command.type, status: answer.status };
}

/** A book after some commands of one caller, one of them a batch at least, with what it was told. */
async function worked(bookId: string): Promise<Witness> {
  await openWorkload(database.appUrl, [bookId]);
  const witness = new Witness(bookId);
  let batches = 0;
  for (let number = 0; number < 60 || (batches === 0 && number < 2_000); number++)
    if ((await send(witness, `w-${number}`)).type === 'PostEntries') batches++;
  return witness;
}

const postedKey = (witness: Witness): string =>
  [...witness.answers].find(([key, { status }]) => status === 201 && witness.commandOf(key).type === 'PostEntry')?.[0] ?? '';

test('a book to which nothing happened is well, and holds single entries, batches and refusals', async () => {
  const witness = await worked('well');
  const judged = await audit(admin, witness);
  expect(judged).toMatchObject({ acknowledged: witness.answers.size, lost: [], doubled: [], contradictions: [] });
  expect(judged.acknowledged).toBeGreaterThanOrEqual(60);
  expect(judged.refused).toBeGreaterThan(5);
  expect([...witness.answers.keys()].some((key) => witness.commandOf(key).type === 'PostEntries')).toBe(true);
});

test('sooner or later everything is done, and refused: closes and reopenings, drafts, rates, late entries', async () => {
  await openWorkload(database.appUrl, ['long']);
  const witness = new Witness('long');
  const both = ['PostEntry', 'RecordRates', 'ClosePeriod', 'RequestReopening', 'ApproveReopening', 'DeclineReopening', 'ApproveDraft'];
  const missing = new Set(both.flatMap((type) => [`${type} done`, `${type} refused`]));
  for (const type of ['CreateDraft', 'SubmitDraft', 'RejectDraft', 'DiscardDraft', 'PostEntries']) missing.add(`${type} done`);
  // What some entry was: entered into the closed month, moved out of it, in a foreign currency.
  const kindsOfEntries = async (): Promise<boolean[]> => {
    const { rows } = await admin.query<{ moved: number; late: number; foreign: number }>(
      `SELECT count(*) FILTER (WHERE data ? 'requestedDate')::int AS moved, count(*) FILTER (WHERE data ->> 'effectiveDate' < '2026-03-01')::int AS late,
              count(*) FILTER (WHERE data -> 'lines' -> 0 ->> 'currency' = 'USD')::int AS foreign
         FROM log.events WHERE book_id = 'long' AND event_type = 'JournalEntryPosted'`,
    );
    return Object.values(rows[0] ?? {}).map((count) => count > 0);
  };
  let kinds: boolean[] = [];
  for (let number = 0; (missing.size > 0 || kinds.includes(false)) && number < 20_000; number++) {
    const { type, status } = await send(witness, `l-${number}`);
    missing.delete(`${type} ${status < 400 ? 'done' : 'refused'}`);
    if (missing.size === 0) kinds = await kindsOfEntries();
  }
  expect([...missing]).toEqual([]);
  expect(kinds).toEqual([true, true, true]);
  expect(await audit(admin, witness)).toMatchObject({ lost: [], doubled: [], contradictions: [] });
});

test.each([
  ['PeriodClosed', 'ClosePeriod'],
  ['ExchangeRateRecorded', 'RecordRates'],
  ['JournalSubmitted', 'SubmitDraft'],
])('%s that is not there, of an acknowledged command, is lost, and one that nobody was told of doubled', async (event, type) => {
  const bookId = `of-${type.toLowerCase()}`;
  await openWorkload(database.appUrl, [bookId]);
  const witness = new Witness(bookId);
  let key = '';
  for (let number = 0; key === '' && number < 20_000; number++) {
    const sent = await send(witness, `s-${number}`);
    if (sent.type === type && sent.status < 400) key = `s-${number}`;
  }
  const answer = witness.answers.get(key) ?? { status: 0, body: '' };
  witness.answers.delete(key);
  expect((await audit(admin, witness)).doubled).toEqual([expect.stringMatching(`^${key}: nobody was told of ${event}`)]);
  witness.answers.set(key, answer);
  await admin.query('ALTER TABLE log.events DISABLE TRIGGER events_append_only');
  try {
    // As if it had been written by somebody else.
    await admin.query('UPDATE log.events SET metadata = metadata || \'{"commandKey":"other"}\' WHERE book_id = $1 AND event_type = $2', [
      bookId,
      event,
    ]);
  } finally {
    await admin.query('ALTER TABLE log.events ENABLE TRIGGER events_append_only');
  }
  const { lost, doubled } = await audit(admin, witness);
  expect(lost).toContainEqual(expect.stringMatching(`^${key}: acknowledged were ${event}.*, there are none$`));
  expect(doubled).toEqual([expect.stringMatching(`^other: nobody was told of ${event}`)]);
});

test('an acknowledged command that is not there is lost', async () => {
  const witness = await worked('loses');
  // Acknowledged, and never sent.
  const never = Array.from({ length: 100 }, (_, n) => `never-${n}`).find((key) => witness.commandOf(key).type === 'PostEntry') ?? '';
  witness.tell(never, { status: 201, body: '{}', replayed: false });
  const { lost, doubled } = await audit(admin, witness);
  expect(lost).toEqual([`${never}: 201 without a receipt`, `${never}: acknowledged were JournalEntryPosted, there are none`]);
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
  expect((await audit(admin, witness)).doubled).toEqual([`${key}: nobody was told of JournalEntryPosted`]);
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
