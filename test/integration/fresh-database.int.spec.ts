/**
 * Plans made on empty tables can be quadratic (DESIGN section 7): a look-up per key that was planned when there was nothing to
 * look up reads the whole table per key for ever. So a fresh database is filled through one session whose plans were made
 * when it was empty, and what counts is rows read, not time.
 */
import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import { EventStore, type NewEvent } from '#event-store';
import { openPool } from '#postgres';
import { newId, note, notes, origin, receiptOf, requestOf, type TestLog, testLog } from '../support/test-log';

let log: TestLog;
/** One session for everything, as if the service had just started on an empty database. */
let pool: Pool;
let store: EventStore;
beforeAll(async () => {
  log = await testLog();
  pool = openPool(log.database.appUrl, { max: 1 });
  store = new EventStore(pool, notes);
});
afterAll(async () => {
  await pool.end();
  await log.close();
});

const tables = ['batches', 'book_heads', 'events', 'heads', 'receipts', 'stream_names'];

/** Rows read so far by scans of whole tables, and by index, per table. */
async function rowsRead(): Promise<Record<string, { scanned: number; sought: number }>> {
  await pool.query('SELECT pg_stat_force_next_flush()');
  await pool.query('SELECT 1');
  const { rows } = await log.admin.query<{ relname: string; scanned: number; sought: number }>(
    `SELECT relname, seq_tup_read AS scanned, coalesce(idx_tup_fetch, 0) AS sought FROM pg_stat_user_tables WHERE schemaname = 'log' AND relname = ANY ($1)`,
    [tables],
  );
  return Object.fromEntries(rows.map(({ relname, scanned, sought }) => [relname, { scanned, sought }]));
}

it('20 batches of 500 commands read as many rows at the end as at the beginning', async () => {
  const accounts = Array.from({ length: 200 }, newId);
  const versions = new Map<string, number>();
  const sessions = await pool.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  // Asked for while there is nothing, often enough that PostgreSQL settles for one plan.
  const lookUp = async (keys: string[], names: string[]) => {
    await store.receipts(
      'fresh',
      keys.map((key) => ({ key, item: 0 })),
    );
    await store.heads('fresh', accounts, () => 1);
    await store.streamsByName('fresh', 'account', names);
    await store.readStreams('fresh', accounts.slice(0, 1));
    await store.readStream('fresh', accounts[0] as string, { after: (versions.get(accounts[0] as string) ?? 0) - 1 });
    await store.batchEnds('fresh', 0, 1);
    await store.positionAt('fresh', 1);
  };
  for (let round = 0; round < 10; round++) await lookUp(['x'], ['y']);

  let head = origin;
  let reversed: string[] = [];
  const perBatch: { scanned: number; sought: number }[] = [];
  let before = await rowsRead();
  for (let batch = 0; batch < 20; batch++) {
    const events: NewEvent[] = [];
    const keys = Array.from({ length: 500 }, (_, index) => `key ${batch}/${index}`);
    const starts = new Map(accounts.map((id) => [id, versions.get(id) ?? 0]));
    const entries = keys.map(() => newId());
    for (const [index, entry] of entries.entries()) {
      events.push(note(entry, 1));
      for (const account of [accounts[index % 200], accounts[(index * 7 + 1) % 200]] as string[]) {
        const version = (versions.get(account) ?? 0) + 1;
        versions.set(account, version);
        events.push(note(account, version));
      }
    }
    const used = accounts.filter((id) => versions.get(id) !== starts.get(id));
    const names = entries.slice(0, 50).map((streamId, index) => ({ category: 'account', name: `name ${batch}/${index}`, streamId }));
    const outcome = await store.append(
      pool,
      requestOf('fresh', head, {
        ...{
          newTail: randomUUID(),
          events,
          names,
          receipts: keys.map((key, index) => receiptOf(key, { position: head.position + 3 * index + 1 })),
        },
        streams: [
          ...entries.map((streamId) => ({ streamId, expected: 'new' as const })),
          ...used.map((streamId) => {
            const version = versions.get(streamId) as number;
            const expected = starts.get(streamId) || ('new' as const);
            return { streamId, expected, head: { kind: 'every' as const, version, reducerVersion: 1, state: { version } } };
          }),
          // As reversals do: streams without a head whose version is looked up.
          ...(batch === 0 ? [] : reversed.map((streamId) => ({ streamId, expected: 1 }))),
        ],
      }),
    );
    if (outcome.kind !== 'appended') throw new Error(`batch ${batch}: ${JSON.stringify(outcome)}`);
    head = outcome.head;
    reversed = entries.slice(0, 100);
    await lookUp(
      keys,
      names.map(({ name }) => name),
    );
    const now = await rowsRead();
    const sum = (what: 'scanned' | 'sought') =>
      tables.reduce((total, table) => total + (now[table]?.[what] ?? 0) - (before[table]?.[what] ?? 0), 0);
    perBatch.push({ scanned: sum('scanned'), sought: sum('sought') });
    before = now;
  }
  const again = await pool.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  expect(again.rows).toEqual(sessions.rows);
  expect(head.position).toBe(20 * 1_500);
  // Whole tables are read for nothing but the one row of the book's head, if that.
  expect(perBatch.filter(({ scanned }) => scanned > 50)).toEqual([]);
  // Rows found by index: one look-up of 500 receipts, 200 heads twice, and so on; readStreams of one account grows by 5 a batch.
  const [, second, third] = perBatch.map(({ sought }) => sought);
  for (const { sought } of perBatch.slice(3)) expect(sought).toBeLessThan(1.3 * Math.max(second ?? 0, third ?? 0) + 200);
}, 60_000);
