/** Whatever becomes of commands, the write queue has nothing on its books once all are answered: numbers, bytes, keys, pins. */
import type { Client } from 'pg';
import { connect } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';
import { openBookWith, run, startLedger, type TestLedger, transfer } from '../support/ledgers';

interface Inside {
  readonly waiting: number;
  readonly waitingBytes: number;
  readonly connections: { readonly open: number; readonly free: readonly unknown[]; readonly queue: readonly unknown[] };
  readonly books: ReadonlyMap<
    string,
    {
      readonly bytes: number;
      readonly length: number;
      readonly byKey: ReadonlyMap<string, unknown>;
      readonly isIdle: boolean;
      readonly memory: {
        readonly accounts: ReadonlyMap<string, { readonly pins: number; readonly bytes: number }>;
        readonly entries: ReadonlyMap<string, unknown>;
      };
    }
  >;
  readonly budget: { readonly bytes: number; readonly memories: ReadonlySet<unknown> };
}

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

const insideOf = ({ ledger }: TestLedger): Inside => (ledger as unknown as { queue: Inside }).queue;

async function expectNothingHeld(started: TestLedger): Promise<void> {
  const { books, budget, connections, waiting, waitingBytes } = insideOf(started);
  // The last answer is given a turn before its book comes to rest.
  for (let turn = 0; turn < 1_000 && [...books.values()].some(({ isIdle }) => !isIdle); turn++)
    await new Promise((resolve) => setTimeout(resolve, 5));
  expect({ waiting, waitingBytes, queue: connections.queue.length }).toEqual({ waiting: 0, waitingBytes: 0, queue: 0 });
  expect(connections.open).toBe(connections.free.length);
  let bytes = 0;
  for (const { bytes: own, length, byKey, memory } of books.values()) {
    expect([own, length, byKey.size, memory.entries.size]).toEqual([0, 0, 0, 0]);
    for (const account of memory.accounts.values()) {
      expect(account.pins).toBe(0);
      bytes += account.bytes;
    }
  }
  expect(budget.bytes).toBe(bytes);
  expect(budget.memories.size).toBe(books.size);
}

/** Commands of every fate: new, repeated at once, refused, reused keys, for no book, in batches; answered or failed, all of them. */
async function mixture({ ledger }: TestLedger, round: string): Promise<void> {
  const sent: Promise<unknown>[] = [];
  for (let nth = 0; nth < 40; nth++) {
    for (const book of ['one', 'two', 'nowhere']) {
      const key = `${round}-${nth % 20}`;
      sent.push(run(ledger, book, transfer('cash', nth % 7 === 0 ? 'unknown' : 'bank', `${1 + (nth % 3)}`), key));
      if (nth % 10 === 0) {
        const { type: _, ...entry } = transfer('cash', 'bank', '1');
        sent.push(run(ledger, book, { type: 'PostEntries', atomic: nth % 20 === 0, entries: [entry, entry, entry] }, `${key}-batch`));
      }
    }
  }
  await Promise.allSettled(sent);
}

test('after commands of every fate, in two processes, with sessions ended and heads locked under way', async () => {
  const settings = { config: { COMMAND_DEADLINE_MS: 1_000, WRITER_CONNECTIONS: 1 } as never };
  const [a, b] = [startLedger(database.appUrl, settings), startLedger(database.appUrl, settings)];
  try {
    for (const book of ['one', 'two']) await openBookWith(a.ledger, book, ['bank', 'cash']);
    for (let round = 0; round < 3; round++) await Promise.all([mixture(a, `${round}`), mixture(b, `${round}`)]);
    await expectNothingHeld(a);
    await expectNothingHeld(b);
    const work = Promise.all([mixture(a, 'cut'), mixture(b, 'cut')]);
    await admin.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%log.append%'`,
    );
    await work;
    await expectNothingHeld(a);
    await expectNothingHeld(b);
    await admin.query('BEGIN; LOCK TABLE log.book_heads IN ACCESS EXCLUSIVE MODE');
    await Promise.all([mixture(a, 'locked'), mixture(b, 'locked')]); // until their deadlines
    await admin.query('ROLLBACK');
    await expectNothingHeld(a);
    await expectNothingHeld(b);
    await mixture(a, 'locked');
    await expectNothingHeld(a);
  } finally {
    await Promise.all([a.close(), b.close()]);
  }
}, 60_000);
