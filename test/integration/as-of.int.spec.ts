/**
 * As-of answers on both axes against a naive fold of the events of random histories: at every position, and for every date
 * and instant one step before, at, and one step after. And the projector: whole batches (I7), competing workers, a worker
 * that dies between write and commit, an event that cannot be folded, plans on tables that were never analysed.
 *
 * AS_OF_SEED chooses the histories; each failure names its seed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, Pool } from 'pg';
import { addDays, type CalendarDate, fromMinor } from '#domain';
import { EventStore, instantMicros, instantText } from '#event-store';
import { type CurrencyBalance, catalogue, type ProjectionFailure, Projector, projections, Queries, verifyBooks } from '#ledger';
import { connect, openPool } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';
import { HistoryBuilder, NaiveBook, type NaiveTotal, random } from '../support/histories';
import { ReferenceLedger } from '../support/reference-ledger';

const seed = Number(process.env.AS_OF_SEED ?? Date.now() % 1_000_000);

/** Projected rows without the order in which they lie; cursors are no rows of a projection. */
const tables = projections.flatMap((projection) => projection.tables.map(({ name }) => name));
const names = projections.map(({ name }) => name).sort();

/** Rows of running totals end where this divides a position, too. */
const cutEvery = 128;

let database: TestDatabase;
let admin: Client;
let pool: Pool;
let store: EventStore;
let queries: Queries;

beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
  pool = openPool(database.appUrl, { max: 8 });
  store = new EventStore(pool, catalogue);
  queries = new Queries(store, pool, { readWaitMs: 0 });
});
afterAll(async () => {
  await pool.end();
  await admin.end();
  await database.drop();
});

/** A random book with its ledger; its clock is the builder's. */
async function history(bookId: string, own: number, batches: number): Promise<{ builder: HistoryBuilder; ledger: ReferenceLedger }> {
  const clock: { now: () => number } = { now: () => 0 };
  const ledger = await ReferenceLedger.open(database.adminUrl, { now: () => clock.now() });
  const builder = new HistoryBuilder(ledger, bookId, random(own));
  clock.now = builder.now;
  await builder.open();
  for (let batch = 0; batch < batches; batch++) await builder.batch();
  return { builder, ledger };
}

/** Folds one chunk after the other by hand, to the head or until a cursor would pass `upTo`. */
async function fold(bookId: string, options: { eventsPerFold?: number; upTo?: number } = {}): Promise<number> {
  const { eventsPerFold = 6_000, upTo = Number.MAX_SAFE_INTEGER } = options;
  const projector = new Projector(store, pool, { eventsPerFold, report: (problem) => raise(problem) });
  for (;;) {
    const { rows } = await pool.query<{ position: number }>(
      'SELECT coalesce(min(position), 0) AS position FROM projections.cursors WHERE book_id = $1',
      [bookId],
    );
    const cursor = rows[0]?.position ?? 0;
    const [end] = await store.batchEnds(bookId, cursor, 1);
    if (end === undefined || end > upTo) return cursor;
    const turn = await projector.fold(bookId);
    if (turn === 'lost') throw new Error('nobody else folds here');
  }
}

function raise(problem: ProjectionFailure | { error: unknown }): never {
  throw 'error' in problem ? problem.error : new Error(`${problem.projection} stops before ${problem.position}: ${problem.message}`);
}

async function rowsOf(bookId: string): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {};
  for (const table of tables) {
    const { rows } = await admin.query<{ row: string }>(`SELECT t::text AS row FROM projections.${table} t WHERE book_id = $1 ORDER BY 1`, [
      bookId,
    ]);
    found[table] = rows.map(({ row }) => row);
  }
  return found;
}

function expected(totals: readonly NaiveTotal[], normalSide: 'debit' | 'credit'): CurrencyBalance[] {
  return totals.map(({ currency, scale, debit, credit }) => ({
    currency,
    debit: fromMinor(debit, scale),
    credit: fromMinor(credit, scale),
    net: fromMinor(debit - credit, scale),
    balance: fromMinor(normalSide === 'debit' ? debit - credit : credit - debit, scale),
  }));
}

/** Runs checks a few at a time: what takes the time is the database. */
async function each<T>(items: readonly T[], check: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) await check(items[next++] as T);
  };
  await Promise.all(Array.from({ length: 4 }, worker));
}

/** The balance of every account at (date, position), against the naive sum. */
async function checkBalance(
  bookId: string,
  naive: NaiveBook,
  date: CalendarDate | undefined,
  knownAt: number | string | undefined,
  position: number,
) {
  for (const account of naive.accounts) {
    const current = naive.codeAt(account, naive.head) as string;
    const code = naive.codeAt(account, position);
    const asked = queries.balance(bookId, current, { asOf: date, knownAt });
    const where = `seed ${seed}, ${bookId}, ${current}, asOf ${date}, knownAt ${knownAt}`;
    if (code === undefined) {
      await expect(asked).rejects.toMatchObject({ code: 'account_unknown', kind: 'not_found' });
      continue;
    }
    const answer = {
      account: code,
      asOf: date,
      knownAt,
      position,
      balances: expected(naive.totals(account.id, date, position), account.normalSide),
    };
    expect({ where, ...(await asked) }).toEqual({ where, ...answer });
  }
}

/** balances at (date, position) against the naive sums, and debits = credits (I8). */
async function checkBalances(bookId: string, naive: NaiveBook, date: CalendarDate | undefined, position: number) {
  const where = `seed ${seed}, ${bookId}, balances, asOf ${date}, knownAt ${position}`;
  const rows = naive.accounts.flatMap((account) => {
    const code = naive.codeAt(account, position);
    const balances = code === undefined ? [] : expected(naive.totals(account.id, date, position), account.normalSide);
    return balances.map((balance) => ({ account: code as string, ...balance }));
  });
  rows.sort((a, b) => Buffer.compare(Buffer.from(a.account), Buffer.from(b.account)) || (a.currency < b.currency ? -1 : 1));
  const all = await queries.balances(bookId, { asOf: date, knownAt: position, includeZero: true, limit: 1_000 });
  expect({ where, balances: all.balances }).toEqual({ where, balances: rows });
  const some = await queries.balances(bookId, { asOf: date, knownAt: position, limit: 1_000 });
  expect(some.balances).toEqual(rows.filter(({ debit, credit }) => debit !== credit));
  for (const currency of new Set(all.balances.map((row) => row.currency))) {
    const own = all.balances.filter((row) => row.currency === currency);
    const sum = (member: 'debit' | 'credit'): bigint => own.reduce((total, row) => total + BigInt(row[member].replace('.', '')), 0n);
    expect({ where, currency, debit: sum('debit') }).toEqual({ where, currency, debit: sum('credit') });
  }
}

describe(`as-of against a naive fold (AS_OF_SEED=${seed})`, () => {
  it('every position and every date one step before, at and after, with the fold at the middle of the log', async () => {
    const bookId = 'middle';
    const { ledger } = await history(bookId, seed, 7);
    await ledger.close();
    const naive = await NaiveBook.read(admin, bookId);
    const cursor = await fold(bookId, { eventsPerFold: 1, upTo: Math.floor(naive.head * 0.6) });
    expect(cursor).toBeGreaterThan(0);
    expect(cursor).toBeLessThan(naive.head);
    const dates = new Set(naive.dates().flatMap((date) => [addDays(date, -1), date, addDays(date, 1)]));
    const positions = Array.from({ length: naive.head + 1 }, (_, position) => position);
    const pairs = positions.flatMap((position) => [undefined, ...dates].map((date) => ({ date, position })));
    await each(pairs, ({ date, position }) => checkBalance(bookId, naive, date, position, position));
    await each([...dates], (date) => checkBalance(bookId, naive, date, undefined, naive.head));
    await checkBalance(bookId, naive, undefined, undefined, naive.head);
  }, 300_000);

  it('every recordedAt one microsecond before, at and after', async () => {
    const bookId = 'instants';
    const { ledger } = await history(bookId, seed + 1, 10);
    await ledger.close();
    const naive = await NaiveBook.read(admin, bookId);
    await fold(bookId, { upTo: Math.floor(naive.head / 2) });
    const instants = [...new Set(naive.instants.map(({ recordedAt }) => instantMicros(recordedAt) as number))];
    const asked = new Set(instants.flatMap((micros) => [micros - 1, micros, micros + 1]));
    const { chance, dates } = { chance: random(seed), dates: naive.dates() };
    await each([...asked], async (micros) => {
      const known = instantText(micros);
      const position = naive.instants.findLast(({ recordedAt }) => recordedAt <= known)?.position ?? 0;
      await checkBalance(bookId, naive, undefined, known, position);
      await checkBalance(bookId, naive, chance.pick(dates), known, position);
    });
  }, 120_000);

  it('any state of the fold, and balances = the balance of each account', async () => {
    const bookId = 'growing';
    const { builder, ledger } = await history(bookId, seed + 2, 0);
    const chance = random(seed + 2);
    for (let round = 0; round < 10; round++) {
      for (let batches = chance.below(4); batches >= 0; batches--) await builder.batch();
      const naive = await NaiveBook.read(admin, bookId);
      await fold(bookId, { eventsPerFold: 1 + chance.below(40), upTo: chance.below(naive.head + 1) });
      const dates = naive.dates().flatMap((date) => [addDays(date, -1), date, addDays(date, 1)]);
      const pairs = Array.from({ length: 60 }, () => ({
        date: chance.pick([undefined, ...dates]),
        position: chance.below(naive.head + 1),
      }));
      await each(pairs, ({ date, position }) => checkBalance(bookId, naive, date, position, position));
      await checkBalance(bookId, naive, undefined, undefined, naive.head);
    }
    await ledger.close();
    await fold(bookId);
    const naive = await NaiveBook.read(admin, bookId);
    const dates = naive.dates().flatMap((date) => [addDays(date, -1), date, addDays(date, 1)]);
    const positions = Array.from({ length: naive.head + 1 }, (_, position) => position);
    await each(positions, (position) => checkBalances(bookId, naive, chance.pick([undefined, ...dates]), position));
    await each(dates, (date) => checkBalances(bookId, naive, date, chance.pick([naive.head, chance.below(naive.head + 1)])));
  }, 300_000);

  it('every position inside long batches, whose rows are cut several times, folded and not', async () => {
    const bookId = 'long-batches';
    const { builder, ledger } = await history(bookId, seed + 6, 0);
    for (let batch = 0; batch < 4; batch++) await builder.batch(120);
    await ledger.close();
    const naive = await NaiveBook.read(admin, bookId);
    expect(naive.head).toBeGreaterThan(2 * cutEvery);
    const chance = random(seed + 6);
    const dates = naive.dates().flatMap((date) => [addDays(date, -1), date, addDays(date, 1)]);
    const positions = Array.from({ length: naive.head + 1 }, (_, position) => position);
    for (const upTo of [Math.floor(naive.head / 2), naive.head]) {
      await fold(bookId, { upTo });
      await each(positions, (position) => checkBalance(bookId, naive, chance.pick([undefined, ...dates]), position, position));
    }
    const around = positions.filter((position) => (position + 1) % cutEvery <= 2);
    await each(around, (position) => checkBalances(bookId, naive, chance.pick([undefined, ...dates]), position));
    for (const date of dates) await checkBalance(bookId, naive, date, undefined, naive.head);
    // There are rows that end inside a batch, and verify makes the same ones with code of its own.
    const { rows } = await admin.query<{ cut: number }>(
      `SELECT count(DISTINCT position) AS cut FROM projections.running_totals t
        WHERE book_id = $1 AND position % ${cutEvery} = 0 AND NOT EXISTS (SELECT 1 FROM log.batches b WHERE b.book_id = $1 AND b.last_position = t.position)`,
      [bookId],
    );
    expect(rows[0]?.cut).toBeGreaterThanOrEqual(1);
    const { books } = await verifyBooks(pool, { books: [bookId] });
    expect(books.flatMap(({ findings }) => findings).filter(({ check }) => check === 'as-of')).toEqual([]);
  }, 300_000);

  it('the head rows missing, or of another reducer version', async () => {
    const bookId = 'headless';
    const { ledger } = await history(bookId, seed + 3, 8);
    await ledger.close();
    const naive = await NaiveBook.read(admin, bookId);
    await admin.query('UPDATE log.heads SET reducer_version = 99 WHERE book_id = $1', [bookId]);
    await checkBalance(bookId, naive, undefined, undefined, naive.head);
    await admin.query('DELETE FROM log.heads WHERE book_id = $1', [bookId]);
    await checkBalance(bookId, naive, undefined, undefined, naive.head);
    await fold(bookId);
    await checkBalance(bookId, naive, undefined, undefined, naive.head);
    expect(await queries.book(bookId)).toMatchObject({ id: bookId, baseCurrency: 'EUR', position: naive.head });
  });
});

describe('legs of an older version', () => {
  it('are read through the upcaster, as long as no projection has folded their entries', async () => {
    const bookId = 'upcast';
    const { ledger } = await history(bookId, seed + 12, 5);
    await ledger.close();
    const naive = await NaiveBook.read(admin, bookId);
    const newer = { aggregateType: 'Account', version: 2, upcasters: [(data: object) => ({ ...data, currency: 'XTS', amount: '1.00' })] };
    const newStore = new EventStore(pool, { ...catalogue, AccountDebited: newer, AccountCredited: newer });
    const upcasting = new Queries(newStore, pool, { readWaitMs: 0 });
    for (const account of naive.accounts) {
      const code = naive.codeAt(account, naive.head) as string;
      const lines = naive.lines.filter(({ accountId }) => accountId === account.id);
      const sum = (side: string): string => `${lines.filter((line) => line.side === side).length}.00`;
      const { balances } = await upcasting.balance(bookId, code, { knownAt: naive.head });
      expect(balances).toMatchObject(lines.length === 0 ? [] : [{ currency: 'XTS', debit: sum('debit'), credit: sum('credit') }]);
    }
  });
});

describe('the projector', () => {
  it('gives the same rows however much is read at once, live and rebuilt (I7)', async () => {
    const bookId = 'rebuilt';
    const { builder, ledger } = await history(bookId, seed + 4, 0);
    const chance = random(seed + 4);
    for (let round = 0; round < 12; round++) {
      await builder.batch();
      if (chance.below(2) === 0) await fold(bookId, { eventsPerFold: 1 + chance.below(30) });
    }
    await ledger.close();
    await fold(bookId);
    const live = await rowsOf(bookId);
    expect(live.running_totals?.length).toBeGreaterThan(50);
    const projector = new Projector(store, pool);
    for (const eventsPerFold of [1, 7, 50, 100_000]) {
      await projector.refold(bookId);
      expect((await rowsOf(bookId)).running_totals).toEqual([]);
      await fold(bookId, { eventsPerFold });
      expect(await rowsOf(bookId)).toEqual(live);
    }
    // One of them alone: it catches up with the others, which stay where they are.
    await projector.refold(bookId, ['register']);
    await expect(queries.entries(bookId)).rejects.toMatchObject({ code: 'projection_behind' });
    await expect(queries.balances(bookId)).resolves.toMatchObject({ position: (await store.head(bookId)).position });
    await fold(bookId, { eventsPerFold: 20 });
    expect(await rowsOf(bookId)).toEqual(live);
  });

  it('keeps up with writers, two of them at once, each event once', async () => {
    const other = openPool(database.appUrl, { max: 4 });
    const problems: unknown[] = [];
    const options = { sweepMs: 10, eventsPerFold: 5, report: (problem: unknown) => problems.push(problem) };
    const projectors = [new Projector(store, pool, options), new Projector(new EventStore(other, catalogue), other, options)];
    for (const projector of projectors) projector.start();
    const books = ['two-a', 'two-b', 'two-c'];
    await Promise.all(
      books.map(async (bookId, index) => {
        const { builder, ledger } = await history(bookId, seed + 5 + index, 0);
        for (let batch = 0; batch < 15; batch++) {
          await builder.batch();
          for (const projector of projectors) projector.wake(bookId);
          await sleep(batch % 5 === 0 ? 20 : 0);
        }
        await ledger.close();
        const head = await store.head(bookId);
        await projectors[index % 2]?.caughtUp(bookId, head.position);
      }),
    );
    expect((await projectors[0]?.lag())?.map(({ projection }) => projection)).toEqual(names);
    await Promise.all(projectors.map((projector) => projector.stop()));
    await other.end();
    expect(problems).toEqual([]);
    for (const bookId of books) {
      const live = await rowsOf(bookId);
      await new Projector(store, pool).refold(bookId);
      await fold(bookId);
      expect(await rowsOf(bookId)).toEqual(live);
    }
  });

  it('looks again at a book that moved on while it was folded, without a hint and before the next sweep', async () => {
    const bookId = 'moving';
    const { builder, ledger } = await history(bookId, seed + 21, 5);
    await fold(bookId);
    await builder.batch();
    const holder = await connect(database.adminUrl);
    await holder.query('BEGIN');
    await holder.query('SELECT FROM projections.cursors WHERE book_id = $1 FOR UPDATE', [bookId]);
    const projector = new Projector(store, pool, { sweepMs: 3_600_000 });
    projector.start();
    await until(async () => {
      const { rows } = await admin.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%projections.cursors%'`,
      );
      return rows.length > 0;
    });
    // The fold that waits has read the log already: this comes behind what it will write.
    await builder.batch();
    await ledger.close();
    await holder.query('COMMIT');
    await holder.end();
    const { position } = await store.head(bookId);
    try {
      await until(async () => Math.min(...(await cursorsOf(bookId))) === position);
    } finally {
      await projector.stop();
    }
  });

  it('looks at a book that it has folded four times more, and then leaves it to hints and sweeps', async () => {
    const bookId = 'looked-at';
    const { ledger } = await history(bookId, seed + 22, 3);
    await ledger.close();
    const projector = new Projector(store, pool, { sweepMs: 3_600_000 });
    const looks = jest.spyOn(projector, 'fold');
    const ofBook = (): number => looks.mock.calls.filter(([looked]) => looked === bookId).length;
    projector.start();
    try {
      await until(async () => ofBook() >= 5);
      // Longer than the pause after the last of them, if they went on doubling.
      await sleep(500);
      expect(ofBook()).toBe(5);
    } finally {
      await projector.stop();
    }
  });

  it('finds books by itself, tells its lag, and stops without leaving a fold half done', async () => {
    const bookId = 'swept';
    const { builder, ledger } = await history(bookId, seed + 9, 10);
    const projector = new Projector(store, pool, { sweepMs: 5, eventsPerFold: 1 });
    expect((await projector.lag()).map(({ projection, events }) => [projection, events > 0])).toEqual(names.map((name) => [name, true]));
    projector.start();
    await projector.caughtUp(bookId, (await store.head(bookId)).position);
    for (let batch = 0; batch < 10; batch++) await builder.batch();
    await ledger.close();
    await projector.stop();
    const { rows } = await pool.query<{ position: number }>('SELECT DISTINCT position FROM projections.cursors WHERE book_id = $1', [
      bookId,
    ]);
    expect(rows).toHaveLength(1);
    const stood = rows[0]?.position as number;
    expect(await store.batchEndBefore(bookId, stood)).toBe(stood);
    await sleep(50);
    expect((await pool.query('SELECT DISTINCT position FROM projections.cursors WHERE book_id = $1', [bookId])).rows).toEqual([
      { position: stood },
    ]);
  });

  it('loses nothing and folds nothing twice when its connection dies between write and commit', async () => {
    const bookId = 'killed';
    const { ledger } = await history(bookId, seed + 10, 6);
    await ledger.close();
    // Deferred triggers run inside COMMIT: the rows are written by then.
    await admin.query(
      `CREATE FUNCTION projections.linger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END'`,
    );
    await admin.query(`CREATE CONSTRAINT TRIGGER linger AFTER INSERT ON projections.entries DEFERRABLE INITIALLY DEFERRED
                       FOR EACH ROW WHEN (NEW.book_id = '${bookId}') EXECUTE FUNCTION projections.linger()`);
    const folding = new Projector(store, pool).fold(bookId);
    const ended = folding.then(
      (turn) => turn,
      (error: { code?: string }) => error.code,
    );
    await until(async () => {
      const { rows } = await admin.query<{ done: boolean }>(
        `SELECT pg_terminate_backend(pid) AS done FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`,
      );
      return rows.some(({ done }) => done);
    });
    expect(await ended).toBe('57P01');
    await admin.query('DROP FUNCTION projections.linger() CASCADE');
    expect((await rowsOf(bookId)).running_totals).toEqual([]);
    expect(Math.max(...(await cursorsOf(bookId)))).toBe(0);
    await fold(bookId);
    const live = await rowsOf(bookId);
    await new Projector(store, pool).refold(bookId);
    await fold(bookId, { eventsPerFold: 3 });
    expect(await rowsOf(bookId)).toEqual(live);
  });

  it('stops before an event that it cannot fold, names it, serves everything else, and goes on once it can', async () => {
    const bookId = 'spoilt';
    const { builder, ledger } = await history(bookId, seed + 11, 6);
    const good = (await store.head(bookId)).position;
    for (let batch = 0; batch < 4; batch++) await builder.batch();
    const head = (await store.head(bookId)).position;
    const { rows } = await admin.query<{ position: number; data: object }>(
      `SELECT position, data FROM log.events WHERE book_id = $1 AND event_type = 'JournalEntryPosted' AND position > $2 ORDER BY position LIMIT 1`,
      [bookId, good],
    );
    const { position, data } = rows[0] as { position: number; data: { lines: { dimensions?: object[] }[] } };
    const rewrite = async (to: object, version = 1): Promise<void> => {
      await admin.query('ALTER TABLE log.events DISABLE TRIGGER events_append_only');
      await admin.query('UPDATE log.events SET data = $3, event_version = $4 WHERE book_id = $1 AND position = $2', [
        bookId,
        position,
        to,
        version,
      ]);
      await admin.query('ALTER TABLE log.events ENABLE TRIGGER events_append_only');
    };
    const spoilt = { ...data, lines: [{ ...data.lines[0], amount: 'a lot' }, ...data.lines.slice(1)] };
    const batchBefore = await store.batchEndBefore(bookId, position - 1);

    // Dimensions have rows of those lines only that have some.
    const also = (lines: typeof data.lines): string[] => (lines.some(({ dimensions = [] }) => dimensions.length > 0) ? ['dimensions'] : []);
    for (const [bad, version, stopped] of [
      [spoilt, 1, ['as-of', ...also(data.lines.slice(0, 1)), 'register']],
      [{ ...data, effectiveDate: '2024-02-31' }, 1, ['as-of', ...also(data.lines), 'register']],
      [data, 99, ['as-of', 'chart', 'dimensions', 'parties', 'register']],
    ] as const) {
      await new Projector(store, pool).refold(bookId);
      await rewrite(bad, version);
      const reported: unknown[] = [];
      const projector = new Projector(store, pool, { sweepMs: 10, retryMs: 20, report: (problem) => reported.push(problem) });
      projector.start();
      await until(() => projector.failures().length === stopped.length);
      const failures = projector.failures();
      expect(failures.map(({ projection }) => projection).sort()).toEqual(stopped);
      for (const failure of failures) expect(failure).toMatchObject({ bookId, position, message: expect.any(String) });
      await expect(projector.caughtUp(bookId, head)).rejects.toThrow(`${bookId}/${position}`);
      expect(await foldedBy(bookId, 'as-of')).toBe(batchBefore);
      await expect(queries.entries(bookId)).rejects.toMatchObject({
        code: 'projection_behind',
        kind: 'unavailable',
        details: { lag: head - batchBefore, retryAfter: 1 },
      });
      await expect(queries.entries(bookId, { knownAt: batchBefore })).resolves.toMatchObject({ position: batchBefore });
      if (!stopped.includes('chart' as never)) {
        await until(async () => (await foldedBy(bookId, 'chart')) === head);
        await expect(queries.accounts(bookId)).resolves.toMatchObject({ position: head });
      }
      // It is tried again, and slower each time.
      await until(() => (projector.failures()[0]?.attempts ?? 0) >= 3);
      expect(reported.length).toBeGreaterThanOrEqual(3);

      await rewrite(data);
      await until(async () => projector.failures().length === 0 && (await foldedBy(bookId, 'register')) === head);
      await projector.caughtUp(bookId, head);
      await projector.stop();
      const naive = await NaiveBook.read(admin, bookId);
      await checkBalances(bookId, naive, undefined, head);
    }
    await ledger.close();
  });
});

async function until(holds: () => boolean | Promise<boolean>, timeoutMs = 20_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`this did not come true within ${timeoutMs} ms: ${holds}`);
    await sleep(5);
  }
}

async function cursorsOf(bookId: string): Promise<number[]> {
  const { rows } = await admin.query<{ position: number }>('SELECT position FROM projections.cursors WHERE book_id = $1', [bookId]);
  return rows.map(({ position }) => position);
}

async function foldedBy(bookId: string, projection: string): Promise<number | undefined> {
  const { rows } = await admin.query<{ position: number }>(
    'SELECT position FROM projections.cursors WHERE book_id = $1 AND projection = $2',
    [bookId, projection],
  );
  return rows[0]?.position;
}
