/** The write path on a real server: the rules 1 to 10 of DESIGN section 5, each the way in which it once went wrong. */
import type { Client } from 'pg';
import type { PostEntry } from '#domain';
import { LedgerError } from '#domain';
import { connect } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';
import { balanceIn, checkBook, contextOf, openBookWith, run, startLedger, type TestLedger, testConfig, transfer } from '../support/ledgers';
import { tcpProxy } from '../support/tcp-proxy';

let database: TestDatabase;
let admin: Client;
const started: TestLedger[] = [];

function start(...args: [url?: string, options?: Parameters<typeof startLedger>[1]]): TestLedger {
  const ledger = startLedger(args[0] ?? database.appUrl, args[1]);
  started.push(ledger);
  return ledger;
}

beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
});

afterEach(async () => {
  await Promise.all(started.splice(0).map((ledger) => ledger.close()));
});

afterAll(async () => {
  await admin.end();
  await database.drop();
});

const until = async (condition: () => boolean | Promise<boolean>): Promise<void> => {
  for (let tries = 0; !(await condition()); tries++) {
    if (tries > 2_000) throw new Error(`waited in vain for ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

/** Whether an append waits for a lock in this test's database, and has for so long. */
const appendWaits = async (howLong = '0 ms'): Promise<boolean> => {
  const { rows } = await admin.query(
    `SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock' AND query LIKE '%log.append%'
       AND clock_timestamp() - query_start >= $2::interval`,
    [database.name, howLong],
  );
  return rows.length > 0;
};

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
};

/** Holds the head row of a book, as a slow writer would, until `release` or COMMIT. */
async function holdHead(bookId: string): Promise<Client> {
  const holder = await connect(database.adminUrl);
  await holder.query('BEGIN');
  await holder.query('SELECT 1 FROM log.book_heads WHERE book_id = $1 FOR UPDATE', [bookId]);
  return holder;
}

const idOf = ({ body }: { body: string }): string => JSON.parse(body).id;

describe('rule 1: the guard compares position and tail', () => {
  test('another process moves the head by the same number of events: the batch decided on the state that never was is refused', async () => {
    const a = start();
    await openBookWith(a.ledger, 'tail', ['bank', { code: 'cash', limits: [{ currency: 'EUR', min: '0' }] }]);
    await run(a.ledger, 'tail', transfer('cash', 'bank', '100'));
    const holder = await holdHead('tail');
    const first = run(a.ledger, 'tail', transfer('bank', 'cash', '60'));
    await until(() => appendWaits());
    const second = run(a.ledger, 'tail', transfer('bank', 'cash', '40'));
    await turns(20); // decided on the 40 that the first would leave, and sent behind it
    // A clock far behind: only the tail can tell this head from the one that the second batch expects.
    const b = start(database.adminUrl, { connect: () => Promise.resolve(holder), clock: () => 0 });
    const other = await run(b.ledger, 'tail', transfer('bank', 'cash', '50'));
    await holder.query('COMMIT');
    expect(other.status).toBe(201);
    expect(JSON.parse((await first).body)).toMatchObject({ code: 'limit_exceeded', balance: '-10.00' });
    expect((await second).status).toBe(201);
    const { accounts } = await checkBook(admin, 'tail');
    expect(balanceIn(accounts, 'cash')).toBe(1_000n);
  });

  test('a refusal of another process moves the tail alone: nothing is lost and nothing doubled', async () => {
    const a = start();
    const b = start();
    await openBookWith(a.ledger, 'refusals', ['bank', 'cash']);
    await run(b.ledger, 'refusals', transfer('cash', 'bank', '1'));
    for (let round = 0; round < 5; round++) {
      expect((await run(a.ledger, 'refusals', transfer('cash', 'nowhere', '1'))).status).toBe(422);
      expect((await run(b.ledger, 'refusals', transfer('cash', 'bank', '1'))).status).toBe(201);
    }
    const { accounts } = await checkBook(admin, 'refusals');
    expect(balanceIn(accounts, 'cash')).toBe(600n);
  });
});

describe('rule 2: both batches of a book go down one connection', () => {
  test('the second batch waits behind the first and is not refused', async () => {
    const { ledger } = start();
    await openBookWith(ledger, 'pipeline', ['bank', 'cash']);
    await admin.query("SELECT set_config('track_functions', 'all', false)");
    const backends = async (): Promise<number> => {
      const { rows } = await admin.query(
        "SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND query LIKE '%log.append%' AND pid <> pg_backend_pid()",
        [database.name],
      );
      return rows.length;
    };
    const holder = await holdHead('pipeline');
    const first = run(ledger, 'pipeline', transfer('cash', 'bank', '1'));
    await until(() => appendWaits());
    const second = run(ledger, 'pipeline', transfer('cash', 'bank', '2'));
    await turns(20);
    expect(await backends()).toBe(1);
    await holder.query('ROLLBACK');
    await holder.end();
    const positions = [await first, await second].map(({ body }) => JSON.parse(body).position);
    expect(positions[1]).toBe(positions[0] + 3);
    const { events } = await checkBook(admin, 'pipeline');
    const [one, two] = events.filter(({ eventType }) => eventType === 'JournalEntryPosted').slice(-2);
    expect(one?.recordedAt).not.toBe(two?.recordedAt);
  });
});

describe('rule 3: an outcome that must be expected costs nobody anything', () => {
  test('a poison command is found by halving and takes none of its 499 neighbours with it', async () => {
    const { ledger } = start();
    await openBookWith(ledger, 'poison', ['bank', 'cash']);
    await admin.query(
      "ALTER TABLE log.events ADD CONSTRAINT poison CHECK (book_id <> 'poison' OR data ->> 'description' IS DISTINCT FROM 'poison') NOT VALID",
    );
    try {
      const commands = Array.from({ length: 500 }, (_, index) =>
        transfer('cash', 'bank', '1', { description: index === 311 ? 'poison' : `number ${index}` }),
      );
      const outcomes = await Promise.allSettled(commands.map((command) => run(ledger, 'poison', command)));
      const failed = outcomes.flatMap((outcome, index) => (outcome.status === 'rejected' ? [{ index, reason: outcome.reason }] : []));
      expect(failed.map(({ index }) => index)).toEqual([311]);
      expect(failed[0]?.reason).toBeInstanceOf(LedgerError);
      expect(failed[0]?.reason.code).toBe('internal');
      const { accounts } = await checkBook(admin, 'poison');
      expect(balanceIn(accounts, 'cash')).toBe(49_900n);
    } finally {
      await admin.query('ALTER TABLE log.events DROP CONSTRAINT poison');
    }
  });

  test('known keys in the middle of new ones: each gets its own answer', async () => {
    const a = start();
    await openBookWith(a.ledger, 'known', ['bank', 'cash']);
    const firsts = await Promise.all(
      Array.from({ length: 50 }, (_, index) => run(a.ledger, 'known', transfer('cash', 'bank', '1'), `known-${index}`)),
    );
    const b = start(); // a process that has not seen these acknowledged
    const again = await Promise.all(
      Array.from({ length: 100 }, (_, index) => run(b.ledger, 'known', transfer('cash', 'bank', '1'), `known-${index}`)),
    );
    expect(again.slice(0, 50)).toEqual(firsts.map(({ status, body }) => ({ status, body, replayed: true })));
    expect(again.slice(50).every(({ status, replayed }) => status === 201 && !replayed)).toBe(true);
    const { accounts } = await checkBook(admin, 'known');
    expect(balanceIn(accounts, 'cash')).toBe(10_000n);
  });
});

describe('rule 4: a lost connection leaves the outcome unknown, and the key tells it', () => {
  test('cut after COMMIT and before the answer: one effect, the first answer', async () => {
    const proxy = await tcpProxy(database.appUrl);
    const a = start(database.appUrl, { connect: () => connect(proxy.url, { pipeline: true }) });
    await openBookWith(a.ledger, 'cut', ['bank', 'cash']);
    const committed = async (): Promise<boolean> =>
      (await admin.query("SELECT 1 FROM log.receipts WHERE book_id = 'cut' AND key = 'after-commit-2'")).rows.length > 0;
    proxy.swallowAnswers();
    const one = run(a.ledger, 'cut', transfer('cash', 'bank', '7'), 'after-commit-1');
    await turns(20);
    const two = run(a.ledger, 'cut', transfer('cash', 'bank', '5'), 'after-commit-2');
    await until(committed);
    proxy.cut();
    const answers = [await one, await two];
    expect(answers.map(({ status, replayed }) => ({ status, replayed }))).toEqual([
      { status: 201, replayed: false },
      { status: 201, replayed: false },
    ]);
    const { accounts, events } = await checkBook(admin, 'cut');
    expect(balanceIn(accounts, 'cash')).toBe(1_200n);
    expect(events.map(({ streamId }) => streamId)).toContain(idOf(answers[0] as { body: string }));
    await proxy.close();
  });

  test('the backend is terminated before COMMIT: decided again, once', async () => {
    const { ledger } = start();
    await openBookWith(ledger, 'killed', ['bank', 'cash']);
    const holder = await holdHead('killed');
    const answers = Promise.all([1, 2, 3].map((amount) => run(ledger, 'killed', transfer('cash', 'bank', String(amount)))));
    await until(() => appendWaits());
    await admin.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock' AND query LIKE '%log.append%'",
      [database.name],
    );
    await holder.query('ROLLBACK');
    await holder.end();
    expect((await answers).map(({ status }) => status)).toEqual([201, 201, 201]);
    const { accounts } = await checkBook(admin, 'killed');
    expect(balanceIn(accounts, 'cash')).toBe(600n);
  });

  test('a database that stays away: a clear 503 after the deadline, and the queue lives on', async () => {
    const proxy = await tcpProxy(database.appUrl);
    const a = start(database.appUrl, {
      connect: () => connect(proxy.url, { pipeline: true }),
      config: { COMMAND_DEADLINE_MS: 300 } as never,
    });
    await openBookWith(a.ledger, 'away', ['bank', 'cash']);
    proxy.swallowAnswers();
    const lost = run(a.ledger, 'away', transfer('cash', 'bank', '1'), 'away-1');
    const outcome = lost.then(
      () => 'answered',
      (error: LedgerError) => error.code,
    );
    await turns(20);
    const gone = setInterval(() => {
      proxy.cut();
      proxy.swallowAnswers();
    }, 20);
    expect(await outcome).toBe('database_unavailable');
    clearInterval(gone);
    proxy.cut();
    expect((await run(a.ledger, 'away', transfer('cash', 'bank', '1'), 'away-1')).status).toBe(201);
    const { accounts } = await checkBook(admin, 'away');
    expect(balanceIn(accounts, 'cash')).toBe(100n);
    await proxy.close();
  });
});

test('a server that never answers: 503 after the deadline, and the next command goes on', async () => {
  const proxy = await tcpProxy(database.appUrl);
  const a = start(database.appUrl, {
    connect: () => connect(proxy.url, { pipeline: true }),
    config: { COMMAND_DEADLINE_MS: 300 } as never,
  });
  await openBookWith(a.ledger, 'silent', ['bank', 'cash']);
  proxy.swallowAnswers();
  await expect(run(a.ledger, 'silent', transfer('cash', 'bank', '1'), 'silent-1')).rejects.toMatchObject({
    code: 'database_unavailable',
    details: { retryAfter: expect.any(Number) },
  });
  proxy.cut();
  expect(await run(a.ledger, 'silent', transfer('cash', 'bank', '1'), 'silent-1')).toMatchObject({ status: 201, replayed: true });
  const { accounts } = await checkBook(admin, 'silent');
  expect(balanceIn(accounts, 'cash')).toBe(100n);
  await proxy.close();
});

describe('rule 5: recordedAt grows with position whatever the clocks do', () => {
  const hour = 3_600_000;

  test.each([
    ['an hour ahead', hour],
    ['an hour behind', -hour],
  ])('a process whose clock is %s blocks nobody', async (_, offset) => {
    const bookId = offset > 0 ? 'ahead' : 'behind';
    const right = start();
    await openBookWith(right.ledger, bookId, ['bank', 'cash']);
    const wrong = start(database.appUrl, { clock: () => Date.now() + offset });
    for (let round = 0; round < 3; round++) {
      expect((await run(wrong.ledger, bookId, transfer('cash', 'bank', '1'))).status).toBe(201);
      expect((await run(right.ledger, bookId, transfer('cash', 'bank', '1'))).status).toBe(201);
    }
    const { events } = await checkBook(admin, bookId);
    const last = Date.parse(events.at(-1)?.recordedAt ?? '');
    expect(Math.abs(last - Date.now())).toBeLessThan(10_000);
  });

  test('a clock that is put right again after the database had corrected it', async () => {
    let offset = hour;
    const { ledger } = start(database.appUrl, { clock: () => Date.now() + offset });
    await openBookWith(ledger, 'mended', ['bank', 'cash']);
    offset = 0;
    await run(ledger, 'mended', transfer('cash', 'bank', '1'));
    await run(ledger, 'mended', transfer('cash', 'bank', '1'));
    const { events } = await checkBook(admin, 'mended');
    expect(Math.abs(Date.parse(events.at(-1)?.recordedAt ?? '') - Date.now())).toBeLessThan(10_000);
  });

  test('a clock that steps back while the process runs', async () => {
    let offset = 0;
    const { ledger } = start(database.appUrl, { clock: () => Date.now() + offset });
    await openBookWith(ledger, 'steps', ['bank', 'cash']);
    for (const step of [0, -hour, 1_500, -2 * hour, 0]) {
      offset = step;
      await run(ledger, 'steps', transfer('cash', 'bank', '1'));
    }
    await checkBook(admin, 'steps');
  });

  test('what was known at an instant is final once it was asked for', async () => {
    const { ledger, store } = start();
    await openBookWith(ledger, 'floor', ['bank', 'cash']);
    const asked = Date.now() * 1_000;
    await new Promise((resolve) => setTimeout(resolve, 2));
    const position = await store.positionAt('floor', asked + 1_000);
    const slow = start(database.appUrl, { clock: () => Date.now() - hour });
    await run(slow.ledger, 'floor', transfer('cash', 'bank', '1'));
    expect(await store.positionAt('floor', asked + 1_000)).toBe(position);
    expect(await store.positionAt('floor', Date.now() * 1_000 + 60_000_000)).toBeUndefined();
  });

  test('a clock that lags by less than two seconds is put right as soon as a question about a moment ago refuses an append', async () => {
    const { ledger, store } = start(database.appUrl, { clock: () => Date.now() - 1_500 });
    await openBookWith(ledger, 'lagging', ['bank', 'cash']);
    await store.positionAt('lagging', Date.now() * 1_000 - 500_000);
    const before = Date.now();
    const { recordedAt } = JSON.parse((await run(ledger, 'lagging', transfer('cash', 'bank', '1'))).body);
    expect(Date.parse(recordedAt)).toBeGreaterThanOrEqual(before);
  });
});

describe('rule 6: heads are the snapshots, and a missing one is folded from events', () => {
  test('a process that finds no head of an account, of the numbers or of the book goes on where the events end', async () => {
    const a = start();
    await openBookWith(a.ledger, 'heads', ['bank', 'cash']);
    await Promise.all(Array.from({ length: 20 }, () => run(a.ledger, 'heads', transfer('cash', 'bank', '1'))));
    await admin.query("DELETE FROM log.heads WHERE book_id = 'heads'");
    const b = start();
    const next = await run(b.ledger, 'heads', transfer('cash', 'bank', '1'));
    expect(JSON.parse(next.body).number).toBe(21);
    const { accounts } = await checkBook(admin, 'heads');
    expect(balanceIn(accounts, 'cash')).toBe(2_100n);
    const heads = await admin.query("SELECT count(*) FROM log.heads WHERE book_id = 'heads'");
    expect(heads.rows[0].count).toBeGreaterThanOrEqual(3);
  });

  test('a head of another reducer version is ignored', async () => {
    const a = start();
    await openBookWith(a.ledger, 'reducer', ['bank', 'cash']);
    await run(a.ledger, 'reducer', transfer('cash', 'bank', '5'));
    await admin.query("UPDATE log.heads SET reducer_version = 99, state = '{}' WHERE book_id = 'reducer'");
    const b = start();
    await run(b.ledger, 'reducer', transfer('cash', 'bank', '5'));
    const { accounts } = await checkBook(admin, 'reducer');
    expect(balanceIn(accounts, 'cash')).toBe(1_000n);
  });
});

describe('rule 7: memory and queues are bounded, books share connections', () => {
  test('more accounts than memory has room for: the same books', async () => {
    const { ledger } = start(database.appUrl, { config: { STATE_CACHE_MB: 0.05 } as never });
    const codes = Array.from({ length: 400 }, (_, index) => `a${index}`);
    await openBookWith(ledger, 'small', []);
    await Promise.all(codes.map((code) => run(ledger, 'small', { type: 'OpenAccount', code, name: code, accountType: 'asset' })));
    const posts = Array.from({ length: 1_500 }, (_, index) =>
      transfer(codes[(index * 7) % 400] as string, codes[(index * 13 + 1) % 400] as string, '1'),
    );
    const answers = await Promise.all(posts.map((post) => run(ledger, 'small', post)));
    expect(answers.filter(({ status }) => status !== 201)).toEqual([]);
    await checkBook(admin, 'small');
  });

  test('one connection for three books: all are served, in the order in which they became ready', async () => {
    const { ledger } = start(database.appUrl, { config: { WRITER_CONNECTIONS: 1 } as never });
    const books = ['one', 'two', 'three'];
    for (const bookId of books) await openBookWith(ledger, bookId, ['bank', 'cash']);
    const done: string[] = [];
    await Promise.all(
      Array.from({ length: 1_200 }, (_, index) => books[index < 1_000 ? 0 : 1 + (index % 2)] as string).map(async (bookId) => {
        await run(ledger, bookId, transfer('cash', 'bank', '1'));
        done.push(bookId);
      }),
    );
    expect(done.lastIndexOf('two')).toBeLessThan(done.lastIndexOf('one'));
    for (const bookId of books) await checkBook(admin, bookId);
  });

  test('one connection for a book that is never idle and another one: the busy one does not take it back at once', async () => {
    const { ledger } = start(database.appUrl, { config: { WRITER_CONNECTIONS: 1 } as never });
    for (const bookId of ['busy', 'quiet']) await openBookWith(ledger, bookId, ['bank', 'cash']);
    let served = false;
    let posted = 0;
    const callers = Array.from({ length: 100 }, async () => {
      while (!served && posted < 20_000) {
        await run(ledger, 'busy', transfer('cash', 'bank', '1'));
        posted++;
      }
    });
    await until(() => posted > 200);
    for (let round = 0; round < 3; round++) await run(ledger, 'quiet', transfer('cash', 'bank', '1'));
    served = true;
    await Promise.all(callers);
    expect(posted).toBeLessThan(20_000);
  }, 30_000);

  test('a command that comes at the very moment at which the queue of its book goes to sleep is not forgotten', async () => {
    const { ledger } = start();
    await openBookWith(ledger, 'asleep', ['bank', 'cash']);
    for (let ticks = 0; ticks < 8; ticks++) {
      try {
        await run(ledger, 'asleep', transfer('cash', 'bank', '1', { effectiveDate: '2026-13-01' }));
        throw new Error('not refused');
      } catch (error) {
        expect(error).toMatchObject({ code: 'date_invalid' });
      }
      // The queue needs a few microtasks to end after its last refusal: the next command comes after each number of them.
      for (let tick = 0; tick < ticks; tick++) await undefined;
      expect((await run(ledger, 'asleep', transfer('cash', 'bank', '1'))).status).toBe(201);
    }
  });

  test('a full queue says so, and takes what comes later', async () => {
    const { ledger } = start(database.appUrl, { config: { QUEUE_PER_BOOK: 10 } as never });
    await openBookWith(ledger, 'full', ['bank', 'cash']);
    const outcomes = await Promise.allSettled(Array.from({ length: 50 }, () => run(ledger, 'full', transfer('cash', 'bank', '1'))));
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(refused.length).toBe(40);
    expect(refused.every(({ reason }) => reason.code === 'queue_full' && reason.details.retryAfter > 0)).toBe(true);
    expect((await run(ledger, 'full', transfer('cash', 'bank', '1'))).status).toBe(201);
    const { accounts } = await checkBook(admin, 'full');
    expect(balanceIn(accounts, 'cash')).toBe(1_100n);
  });

  test('are bounded in bytes: a book may take as much as it leaves free, so that another one is still served', async () => {
    const { ledger } = start(undefined, { config: { ...testConfig, QUEUE_MB: 1 } });
    await openBookWith(ledger, 'flooded', ['bank', 'cash']);
    await openBookWith(ledger, 'beside', ['bank', 'cash']);
    const large = (): PostEntry => transfer('cash', 'bank', '1', { description: 'x'.repeat(100_000) });
    const holder = await holdHead('flooded');
    const flood = Array.from({ length: 20 }, () => run(ledger, 'flooded', large()));
    const settled = Promise.allSettled(flood);
    await turns(3);
    expect((await run(ledger, 'beside', large())).status).toBe(201);
    await holder.query('ROLLBACK');
    await holder.end();
    const refused = (await settled).filter((outcome) => outcome.status === 'rejected');
    expect(refused.length).toBe(15); // 5 × 100 kB is the most that is not more than the rest of 1 MiB
    expect(refused.every(({ reason }) => reason.code === 'queue_full' && reason.details.retryAfter > 0)).toBe(true);
    expect((await run(ledger, 'flooded', large())).status).toBe(201);
    // Larger than the bound, but alone.
    expect((await run(ledger, 'beside', transfer('cash', 'bank', '1', { description: 'x'.repeat(1_100_000) }))).status).toBe(201);
  });

  test('take a batch that is larger than they are when nothing is in its way', async () => {
    const { ledger } = start(undefined, { config: { ...testConfig, QUEUE_PER_BOOK: 10, QUEUE_TOTAL: 10 } });
    await openBookWith(ledger, 'alone', ['bank', 'cash']);
    const entries = Array.from({ length: 30 }, () => transfer('cash', 'bank', '1'));
    const { results } = JSON.parse((await run(ledger, 'alone', { type: 'PostEntries', atomic: false, entries })).body);
    expect(results.map(({ number }: { number: number }) => number)).toEqual(entries.map((_, index) => index + 1));
  });

  test('say of a batch as a whole that none of its entries could be looked at, and take it later', async () => {
    let whenAppended: (() => void) | undefined;
    const { ledger } = start(undefined, { config: { ...testConfig, QUEUE_PER_BOOK: 10 }, onAppended: () => whenAppended?.() });
    await openBookWith(ledger, 'crowded', ['bank', 'cash']);
    const single = () => run(ledger, 'crowded', transfer('cash', 'bank', '1'));
    const batch = { type: 'PostEntries', atomic: false, entries: Array.from({ length: 8 }, () => transfer('cash', 'bank', '1')) } as const;
    const crowd: Promise<unknown>[] = [];
    // Half of those who wait go into the first append: one entry and the claim of the batch, whose entries then find others there.
    whenAppended = () => {
      whenAppended = undefined;
      crowd.push(...Array.from({ length: 8 }, single));
    };
    crowd.push(single());
    const refused = expect(run(ledger, 'crowded', batch, 'crowded')).rejects.toMatchObject({
      code: 'queue_full',
      details: { retryAfter: 1 },
    });
    crowd.push(single(), single());
    await refused;
    await Promise.all(crowd);
    const { results } = JSON.parse((await run(ledger, 'crowded', batch, 'crowded')).body);
    expect(results.map(({ number }: { number: number }) => number)).toEqual([12, 13, 14, 15, 16, 17, 18, 19]);
  });

  test('tell callers in time that no connection becomes free, when books that have one get no answer', async () => {
    const { ledger } = start(undefined, { config: { ...testConfig, WRITER_CONNECTIONS: 1, COMMAND_DEADLINE_MS: 1_000 } });
    const books = ['stuck', 'next-in-line', 'last-in-line'];
    for (const book of books) await openBookWith(ledger, book, ['bank', 'cash']);
    // All of them: whoever is given up may leave its connection to the last one in the moment in which that one is given up too.
    const holders = [await holdHead('stuck'), await holdHead('next-in-line'), await holdHead('last-in-line')];
    const post = (book: string) => run(ledger, book, transfer('cash', 'bank', '1'), book);
    const outcomes = [post('stuck')];
    // The next in line takes over the one connection while the last still waits, however slowly the first one's end is noticed.
    await until(() => appendWaits('200 ms'));
    outcomes.push(post('next-in-line'), post('last-in-line'));
    const settled = await Promise.allSettled(outcomes);
    for (const holder of holders) {
      await holder.query('ROLLBACK');
      await holder.end();
    }
    for (const outcome of settled) expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'database_unavailable' } });
    for (const book of books.reverse()) expect((await post(book)).status).toBe(201);
  });

  test('of books at rest are let go, the longest idle first, and come back as they were', async () => {
    const { ledger } = start(undefined, { idleBooksMax: 3 });
    const books = Array.from({ length: 8 }, (_, index) => `resting-${index}`);
    for (const book of books) await openBookWith(ledger, book, ['bank', 'cash']);
    expect((ledger as unknown as { queue: { books: Map<string, unknown> } }).queue.books.size).toBe(3);
    await Promise.all(books.flatMap((book) => [1, 2, 3].map(() => run(ledger, book, transfer('cash', 'bank', '1')))));
    for (const book of books) {
      const { accounts } = await checkBook(admin, book);
      expect(balanceIn(accounts, 'cash')).toBe(300n);
    }
  });

  test('wait by a clock that nobody turns: one that steps back while the database is away keeps no caller for an hour', async () => {
    const { ledger } = start('postgres://nobody@127.0.0.1:1/none', { config: { ...testConfig, COMMAND_DEADLINE_MS: 300 } });
    const waiting = run(ledger, 'turned', transfer('cash', 'bank', '1'));
    waiting.catch(() => {});
    const real = Date.now;
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => real() - 3_600_000);
    try {
      await expect(waiting).rejects.toMatchObject({ code: 'database_unavailable' });
    } finally {
      clock.mockRestore();
    }
  }, 10_000);
});

describe('rule 9: batches of entries', () => {
  const entries = (count: number): Omit<PostEntry, 'type'>[] =>
    Array.from({ length: count }, (_, index) => transfer('cash', 'bank', String(index + 1), { description: `entry ${index}` }));

  test('each on its own: a refused entry stands beside the posted ones, and the repeat is the same answer', async () => {
    const { ledger } = start();
    await openBookWith(ledger, 'each', ['bank', 'cash']);
    const command = { type: 'PostEntries', atomic: false, entries: [...entries(3), transfer('cash', 'nowhere', '1')] } as const;
    const first = await run(ledger, 'each', command, 'each');
    const { results } = JSON.parse(first.body);
    expect(results.map((result: { number?: number; problem?: { code: string } }) => result.number ?? result.problem?.code)).toEqual([
      1,
      2,
      3,
      'account_unknown',
    ]);
    const again = start();
    expect(await run(again.ledger, 'each', command, 'each')).toEqual({ ...first, replayed: true });
    const other = { ...command, entries: entries(4) };
    await expect(run(again.ledger, 'each', other, 'each')).rejects.toMatchObject({
      code: 'idempotency_key_reused',
      // It was refused, so there is a fingerprint per member.
      details: { members: ['entries.3.description', 'entries.3.lines.0', 'entries.3.lines.1'] },
    });
    const { accounts } = await checkBook(admin, 'each');
    expect(balanceIn(accounts, 'cash')).toBe(600n);
  });

  test.each([true, false])(
    'a key used for another batch (atomic: %s) is refused with the member of the entry that differs',
    async (atomic) => {
      const { ledger } = start();
      const book = `differs-${atomic}`;
      await openBookWith(ledger, book, ['bank', 'cash', 'till']);
      const batch = (...list: Omit<PostEntry, 'type'>[]) => ({ type: 'PostEntries', atomic, entries: list }) as const;
      const [first, second, third] = entries(3) as [PostEntry, PostEntry, PostEntry];
      await run(ledger, book, batch(first, second, third), 'key');
      const other = batch(first, { ...second, reference: 'R1' }, { ...third, lines: transfer('till', 'bank', '3').lines });
      for (const by of [ledger, start().ledger]) {
        await expect(run(by, book, other, 'key')).rejects.toMatchObject({
          code: 'idempotency_key_reused',
          message: expect.stringContaining('which was carried out; it differs in entries.1.reference, entries.2.lines.0.account'),
          details: { members: ['entries.1.reference', 'entries.2.lines.0.account'] },
        });
      }
    },
  );

  test('a repeat resumes what is missing', async () => {
    const { ledger } = start();
    await openBookWith(ledger, 'resume', ['bank', 'cash']);
    await admin.query(
      "ALTER TABLE log.events ADD CONSTRAINT poison CHECK (book_id <> 'resume' OR data ->> 'description' IS DISTINCT FROM 'entry 2') NOT VALID",
    );
    const command = { type: 'PostEntries', atomic: false, entries: entries(5) } as const;
    const first = JSON.parse((await run(ledger, 'resume', command, 'resume')).body).results;
    await admin.query('ALTER TABLE log.events DROP CONSTRAINT poison');
    expect(first[2].problem.code).toBe('internal');
    const second = JSON.parse((await run(ledger, 'resume', command, 'resume')).body).results;
    expect(second.filter((_: unknown, index: number) => index !== 2)).toEqual(first.filter((_: unknown, index: number) => index !== 2));
    expect(second[2].number).toBe(5);
    const { accounts } = await checkBook(admin, 'resume');
    expect(balanceIn(accounts, 'cash')).toBe(1_500n);
  });

  test('atomic: each entry keeps the reason that was given for it (I12)', async () => {
    const { ledger, store } = start();
    await openBookWith(ledger, 'reasons', ['bank', 'cash']);
    const list = ['first', undefined, 'third'].map((reason) => transfer('cash', 'bank', '1', { reason }));
    await run(ledger, 'reasons', { type: 'PostEntries', atomic: true, entries: list });
    const events = await store.readAll('reasons', 0, 100);
    const posted = events.filter(({ eventType }) => eventType === 'JournalEntryPosted');
    expect(posted.map(({ metadata }) => metadata.reason)).toEqual(['first', undefined, 'third']);
  });

  test('atomic: all or none, also in memory', async () => {
    const { ledger } = start();
    await openBookWith(ledger, 'atomic', ['bank', { code: 'cash', limits: [{ currency: 'EUR', max: '10' }] }]);
    const refused = await run(ledger, 'atomic', { type: 'PostEntries', atomic: true, entries: entries(5) }, 'atomic-5');
    expect(refused.status).toBe(422);
    expect(JSON.parse(refused.body)).toMatchObject({ code: 'limit_exceeded', member: 'entries.4' });
    const posted = await run(ledger, 'atomic', { type: 'PostEntries', atomic: true, entries: entries(4) }, 'atomic-4');
    expect(JSON.parse(posted.body).results).toHaveLength(4);
    expect(JSON.parse(posted.body).results[0].number).toBe(1);
    const { accounts } = await checkBook(admin, 'atomic');
    expect(balanceIn(accounts, 'cash')).toBe(1_000n);
  });

  test('a unit bigger than a batch goes alone', async () => {
    const { ledger } = start();
    await openBookWith(ledger, 'big', ['bank', 'cash']);
    const small = Array.from({ length: 20 }, () => run(ledger, 'big', transfer('cash', 'bank', '1')));
    const big = run(ledger, 'big', { type: 'PostEntries', atomic: true, entries: entries(1_000).concat(entries(200)) });
    await Promise.all(small);
    expect((await big).status).toBe(200);
    await checkBook(admin, 'big');
  });
});

describe('rule 10: a remembered answer is durable before it is given again', () => {
  test('a process that has not seen the commit acknowledged touches the receipt first; one that has does not', async () => {
    const a = start();
    await openBookWith(a.ledger, 'touch', ['bank', 'cash']);
    const replays = async (): Promise<number> =>
      (await admin.query("SELECT replays FROM log.receipts WHERE book_id = 'touch' AND key = 'touched'")).rows[0].replays;
    const first = await run(a.ledger, 'touch', transfer('cash', 'bank', '1'), 'touched');
    expect(await run(a.ledger, 'touch', transfer('cash', 'bank', '1.00'), 'touched')).toEqual({ ...first, replayed: true });
    expect(await replays()).toBe(0);
    const b = start();
    expect(await run(b.ledger, 'touch', transfer('cash', 'bank', '1.0'), 'touched')).toEqual({ ...first, replayed: true });
    expect(await replays()).toBe(1);
    const holder = await connect(database.adminUrl);
    await holder.query('BEGIN');
    await holder.query("SELECT 1 FROM log.receipts WHERE book_id = 'touch' AND key = 'touched' FOR UPDATE");
    const c = start();
    let answered = false;
    const third = run(c.ledger, 'touch', transfer('cash', 'bank', '1'), 'touched').then((answer) => {
      answered = true;
      return answer;
    });
    await until(
      async () =>
        (
          await admin.query(
            "SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock' AND query LIKE '%touch_receipt%'",
            [database.name],
          )
        ).rows.length > 0,
    );
    expect(answered).toBe(false);
    await holder.query('COMMIT');
    await holder.end();
    expect(await third).toEqual({ ...first, replayed: true });
  });
});

describe('I6: one key, one effect', () => {
  test('50 at once in one process, and in two', async () => {
    const a = start();
    const b = start();
    await openBookWith(a.ledger, 'fifty', ['bank', 'cash']);
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => run(index % 2 ? a.ledger : b.ledger, 'fifty', transfer('cash', 'bank', '3'), 'fifty')),
    );
    expect(new Set(answers.map(({ body }) => body)).size).toBe(1);
    expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
    const { accounts } = await checkBook(admin, 'fifty');
    expect(balanceIn(accounts, 'cash')).toBe(300n);
  });

  test.each<[string, Partial<PostEntry>, string[]]>([
    ['effectiveDate', { effectiveDate: '2026-03-02' }, ['effectiveDate']],
    ['description', { description: 'another' }, ['description']],
    ['reference', { reference: 'R-2' }, ['reference']],
    ['an amount', transfer('cash', 'bank', '2'), ['lines.0.amount', 'lines.1.amount']],
    ['an account', transfer('cash', 'till', '1'), ['lines.1.account']],
    ['metadata', { metadata: { a: 1 } }, ['metadata']],
    ['reason', { reason: 'because' }, ['reason']],
    ['default that is stated', { journalCode: 'GENERAL' }, ['journalCode']],
  ])('the same key with another %s is refused and named, in memory and from the database', async (_, change, members) => {
    const a = start();
    await openBookWith(a.ledger, `reuse-${members.length}-${members[0]?.toLowerCase().replaceAll('.', '-')}`.slice(0, 40), [
      'bank',
      'cash',
      'till',
    ]).catch(() => {});
    const bookId = `reuse-${members.length}-${members[0]?.toLowerCase().replaceAll('.', '-')}`.slice(0, 40);
    await run(a.ledger, bookId, transfer('cash', 'bank', '1'), 'reused');
    for (const { ledger } of [a, start()]) {
      await expect(run(ledger, bookId, { ...transfer('cash', 'bank', '1'), ...change }, 'reused')).rejects.toMatchObject({
        code: 'idempotency_key_reused',
        details: { members },
      });
    }
    await checkBook(admin, bookId);
  });

  test('the same key in two books whose ids and items read alike: each book has its own outcome', async () => {
    const { ledger } = start();
    for (const bookId of ['acme', 'acme1']) await openBookWith(ledger, bookId, ['bank', 'cash']);
    const { type: _type, ...entry } = transfer('cash', 'bank', '5');
    // Item 10 of book acme, item 0 of book acme1: "acme" + "10/K" and "acme1" + "0/K".
    await run(ledger, 'acme', { type: 'PostEntries', atomic: false, entries: Array.from({ length: 10 }, () => entry) }, 'K');
    expect(await run(ledger, 'acme1', transfer('cash', 'bank', '5'), 'K')).toMatchObject({ status: 201, replayed: false });
    const { accounts } = await checkBook(admin, 'acme1');
    expect(balanceIn(accounts, 'cash')).toBe(500n);
  });

  test('another code of the same account is told, and does not hide what else differs', async () => {
    const { ledger } = start();
    await openBookWith(ledger, 'recoded', ['bank', 'cash']);
    await run(ledger, 'recoded', { type: 'ChangeAccountCode', account: 'cash', code: 'money' });
    await run(ledger, 'recoded', transfer('cash', 'bank', '1'), 'recoded');
    const again = (post: PostEntry) => run(start().ledger, 'recoded', post, 'recoded');
    expect((await again(transfer('cash', 'bank', '1'))).replayed).toBe(true);
    await expect(again(transfer('money', 'bank', '1'))).rejects.toMatchObject({
      details: { members: expect.arrayContaining(['lines.0.account']) },
    });
    await expect(again(transfer('cash', 'bank', '1', { reference: 'z' }))).rejects.toMatchObject({ details: { members: ['reference'] } });
  });

  test('limits that mean the same are the same command', async () => {
    const { ledger } = start();
    await openBookWith(ledger, 'same-limits', []);
    const open = (min: string) =>
      run(
        ledger,
        'same-limits',
        { type: 'OpenAccount', code: 'a', name: 'a', accountType: 'asset', limits: [{ currency: 'EUR', min }] },
        'limits',
      );
    const first = await open('-0.50');
    expect(await open('-0.5')).toEqual({ ...first, replayed: true });
  });

  test('a command that contradicts itself is told that its key stands for another one, whichever process hears it', async () => {
    const a = start();
    await openBookWith(a.ledger, 'contradicts', []);
    const limit = { currency: 'EUR', min: '0' };
    const opening = { type: 'OpenAccount', code: 'till', name: 'Till', accountType: 'asset', limits: [limit] } as const;
    const twice = { ...opening, limits: [limit, limit] };
    expect((await run(a.ledger, 'contradicts', opening, 'open-till')).status).toBe(201);
    const reused = { code: 'idempotency_key_reused', details: { members: ['limits'] } };
    await expect(run(a.ledger, 'contradicts', twice, 'open-till')).rejects.toMatchObject(reused);
    // This one has never seen the key.
    const b = start();
    await expect(run(b.ledger, 'contradicts', twice, 'open-till')).rejects.toMatchObject(reused);
    await expect(run(b.ledger, 'contradicts', twice, 'another')).rejects.toMatchObject({ code: 'malformed' });
    expect((await run(b.ledger, 'contradicts', { ...opening, code: 'till-2' }, 'another')).status).toBe(201);
  });

  test('refusals are remembered: the account that is opened later changes nothing for the old key', async () => {
    const a = start();
    await openBookWith(a.ledger, 'refused', ['bank']);
    const refused = await run(a.ledger, 'refused', transfer('cash', 'bank', '1'), 'refused');
    expect(refused.status).toBe(422);
    await run(a.ledger, 'refused', { type: 'OpenAccount', code: 'cash', name: 'Cash', accountType: 'asset' });
    expect(await run(a.ledger, 'refused', transfer('cash', 'bank', '1'), 'refused')).toEqual({ ...refused, replayed: true });
    expect(await run(start().ledger, 'refused', transfer('cash', 'bank', '1'), 'refused')).toEqual({ ...refused, replayed: true });
    await expect(run(start().ledger, 'refused', transfer('cash', 'bank', '2'), 'refused')).rejects.toMatchObject({
      details: { members: ['lines.0', 'lines.1'] },
    });
    expect((await run(a.ledger, 'refused', transfer('cash', 'bank', '1'), 'new key')).status).toBe(201);
  });

  test('a book is opened once; its key stands for that book', async () => {
    const { ledger } = start();
    const open = (id: string) => ({ type: 'OpenBook', id, name: id, baseCurrency: 'EUR', fiscalYearStart: '01-01' }) as const;
    await expect(run(ledger, 'opened', { ...open('opened'), timeZone: 'Mars' }, 'open-key')).rejects.toMatchObject({ code: 'malformed' });
    const first = await run(ledger, 'opened', open('opened'), 'open-key');
    expect(first.status).toBe(201);
    const other = start();
    expect(await run(other.ledger, 'opened', open('opened'), 'open-key')).toEqual({ ...first, replayed: true });
    await expect(run(other.ledger, 'opened-2', open('opened-2'), 'open-key')).rejects.toMatchObject({ code: 'idempotency_key_reused' });
    const taken = await run(other.ledger, 'opened', open('opened'), 'another key');
    expect({ ...JSON.parse(taken.body), status: taken.status }).toMatchObject({ code: 'book_exists', status: 409 });
    expect((await run(ledger, 'opened', { type: 'OpenAccount', code: 'x', name: 'x', accountType: 'asset' }, 'open-key')).status).toBe(201);
    await expect(run(ledger, 'unopened', transfer('a', 'b', '1'))).rejects.toMatchObject({ code: 'book_unknown' });
    const heads = await admin.query("SELECT 1 FROM log.book_heads WHERE book_id = 'unopened'");
    expect(heads.rows).toEqual([]);
  });
});

describe('two processes on one book with hot accounts and limits', () => {
  test('no overdraft, no lost update, no number twice', async () => {
    const a = start();
    const b = start();
    await openBookWith(a.ledger, 'hot', ['bank', { code: 'cash', limits: [{ currency: 'EUR', min: '0' }] }]);
    await run(a.ledger, 'hot', transfer('cash', 'bank', '100'));
    const answers = await Promise.all(
      Array.from({ length: 400 }, (_, index) => run(index % 2 ? a.ledger : b.ledger, 'hot', transfer('bank', 'cash', '1'))),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(100);
    expect(answers.filter(({ body }) => body.includes('limit_exceeded'))).toHaveLength(300);
    const { accounts } = await checkBook(admin, 'hot');
    expect(balanceIn(accounts, 'cash')).toBe(0n);
  });

  test('reversals race: one wins, the other is told', async () => {
    const a = start();
    const b = start();
    await openBookWith(a.ledger, 'reversals', ['bank', 'cash']);
    const entry = idOf(await run(a.ledger, 'reversals', transfer('cash', 'bank', '5')));
    const answers = await Promise.all(
      [a, b, a, b].map(({ ledger }) => run(ledger, 'reversals', { type: 'ReverseEntry', entryId: entry, reason: 'twice' })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 422, 422, 422]);
    const corrected = idOf(await run(a.ledger, 'reversals', transfer('cash', 'bank', '8')));
    const correction = await run(b.ledger, 'reversals', {
      type: 'CorrectEntry',
      entryId: corrected,
      reason: 'typo',
      lines: transfer('cash', 'bank', '9').lines,
    });
    expect(JSON.parse(correction.body)).toMatchObject({ number: 5, reversal: { number: 4 } });
    const { accounts } = await checkBook(admin, 'reversals');
    expect(balanceIn(accounts, 'cash')).toBe(900n);
  });
});

describe('a log that has become shorter', () => {
  test('a backup is put back under a running process: it decides on what is there', async () => {
    const { ledger } = start();
    await openBookWith(ledger, 'restored', ['bank', { code: 'cash', limits: [{ currency: 'EUR', min: '0' }] }]);
    const kept = JSON.parse((await run(ledger, 'restored', transfer('cash', 'bank', '100'))).body).position + 2;
    await run(ledger, 'restored', transfer('cash', 'bank', '100'));
    await admin.query('BEGIN');
    const guarded = ['events', 'batches', 'receipts', 'heads', 'book_heads'];
    for (const table of guarded) await admin.query(`ALTER TABLE log.${table} DISABLE TRIGGER USER`);
    await admin.query("DELETE FROM log.events WHERE book_id = 'restored' AND position > $1", [kept]);
    await admin.query("DELETE FROM log.batches WHERE book_id = 'restored' AND last_position > $1", [kept]);
    await admin.query("DELETE FROM log.receipts WHERE book_id = 'restored' AND position > $1", [kept]);
    await admin.query("DELETE FROM log.heads WHERE book_id = 'restored'");
    await admin.query("UPDATE log.book_heads SET position = $1, tail = gen_random_uuid() WHERE book_id = 'restored'", [kept]);
    for (const table of guarded) await admin.query(`ALTER TABLE log.${table} ENABLE TRIGGER USER`);
    await admin.query('COMMIT');
    expect(JSON.parse((await run(ledger, 'restored', transfer('bank', 'cash', '150'))).body)).toMatchObject({ code: 'limit_exceeded' });
    expect(JSON.parse((await run(ledger, 'restored', transfer('bank', 'cash', '60'))).body)).toMatchObject({ number: 2 });
    const { accounts } = await checkBook(admin, 'restored');
    expect(balanceIn(accounts, 'cash')).toBe(4_000n);
  });
});

describe('a server that is silent while states are read', () => {
  test('503 after the deadline, and the book goes on when it speaks again', async () => {
    const first = start();
    await openBookWith(first.ledger, 'unread', ['bank', 'cash']);
    const proxy = await tcpProxy(database.appUrl);
    const cold = start(proxy.url, { config: { COMMAND_DEADLINE_MS: 400 } as never });
    await run(cold.ledger, 'unread', { type: 'OpenAccount', code: 'till', name: 'Till', accountType: 'asset' });
    proxy.swallowAnswers();
    await expect(run(cold.ledger, 'unread', transfer('cash', 'bank', '1'), 'unread-1')).rejects.toMatchObject({
      code: 'database_unavailable',
    });
    proxy.cut();
    expect((await run(cold.ledger, 'unread', transfer('cash', 'bank', '1'), 'unread-1')).status).toBe(201);
    const { accounts } = await checkBook(admin, 'unread');
    expect(balanceIn(accounts, 'cash')).toBe(100n);
    await proxy.close();
  });
});

describe('a busy process and a quiet one on one book', () => {
  test('the quiet one gets its turn', async () => {
    const busy = start();
    const quiet = start();
    await openBookWith(busy.ledger, 'turns', ['bank', 'cash']);
    let served = false;
    const callers = Array.from({ length: 200 }, async () => {
      // Without turns the quiet one would wait for as long as this goes on.
      for (let posts = 0; !served && posts < 2_000; posts++) await run(busy.ledger, 'turns', transfer('cash', 'bank', '1'));
    });
    for (let posts = 0; posts < 5; posts++) expect((await run(quiet.ledger, 'turns', transfer('bank', 'cash', '1'))).status).toBe(201);
    const stillBusy = callers.length > 0 && busy.ledger.queueLength > 0;
    served = true;
    await Promise.all(callers);
    expect(stillBusy).toBe(true);
    await checkBook(admin, 'turns');
  });
});

describe('who, why, from where (I12)', () => {
  test('events tell user, key, reason and release; the place stands apart as a salted hash', async () => {
    const { ledger } = start();
    await openBookWith(ledger, 'who', ['bank', 'cash']);
    const context = contextOf('who-key', {
      onBehalfOf: 'someone',
      ip: '192.0.2.7',
      userAgent: 'curl/8',
      correlationId: 'request-1',
      source: 'REST',
    });
    await ledger.execute('who', transfer('cash', 'bank', '1', { reason: 'quarterly' }), context);
    const { events } = await checkBook(admin, 'who');
    const [posted, debited, credited] = events.slice(-3);
    expect(posted?.metadata).toMatchObject({
      commandKey: 'who-key',
      userId: context.userId,
      onBehalfOf: 'someone',
      reason: 'quarterly',
      release: 'test',
      source: 'REST',
      correlationId: 'request-1',
    });
    expect([debited?.metadata, credited?.metadata]).toEqual([{ causationId: posted?.eventId }, { causationId: posted?.eventId }]);
    expect(JSON.stringify(events)).not.toContain('192.0.2.7');
    const { rows } = await admin.query("SELECT encode(context_hash, 'hex') AS hash, ip FROM log.command_contexts WHERE book_id = 'who'");
    expect(rows).toEqual([{ hash: posted?.metadata.contextHash, ip: '192.0.2.7' }]);
  });
});
