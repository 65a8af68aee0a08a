/**
 * Totals of many accounts between dates, and of dimensions, against naive sums over the lines of random histories, at any batch end,
 * base amounts included; and how many look-ups they cost, which is what their speed is made of.
 *
 * TOTALS_SEED chooses the histories; each failure names its seed.
 */
import type { Client, Pool } from 'pg';
import { addDays, type CalendarDate, lastDate } from '#domain';
import { EventStore } from '#event-store';
import { connect, openPool } from '#postgres';
import { type TestDatabase, testDatabase } from '../../../../test/support/database';
import { HistoryBuilder, NaiveBook, type NaiveLine, random } from '../../../../test/support/histories';
import { ReferenceLedger } from '../../../../test/support/reference-ledger';
import { catalogue } from '../catalogue';
import { Projector } from '../projector';
import { cutEvery, type Totals, totalsInRanges, totalsOfAccounts } from './as-of';
import { totalsOfDimension } from './dimensions';
import { addTotalsOfChart, keepMonthEnds, monthEndsBefore } from './month-ends';
import { register } from './register';

const seed = Number(process.env.TOTALS_SEED ?? Date.now() % 1_000_000);
const bookId = 'totals';

let database: TestDatabase;
let admin: Client;
let pool: Pool;
let naive: NaiveBook;
let ends: number[];

beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
  pool = openPool(database.appUrl, { max: 4 });
  const clock: { now: () => number } = { now: () => 0 };
  const ledger = await ReferenceLedger.open(database.adminUrl, { now: () => clock.now() });
  const builder = new HistoryBuilder(ledger, bookId, random(seed));
  clock.now = builder.now;
  await builder.open();
  for (let batch = 0; batch < 25; batch++) await builder.batch(12);
  await ledger.close();
  const store = new EventStore(pool, catalogue);
  const projector = new Projector(store, pool);
  while ((await projector.fold(bookId)) !== 'done');
  naive = await NaiveBook.read(admin, bookId);
  ends = await store.batchEnds(bookId, 0, 1_000);
}, 60_000);
afterAll(async () => {
  await pool.end();
  await admin.end();
  await database.drop();
});

/** As the queries tell them, with base amounts where a line has one. */
function expected(counts: (line: NaiveLine) => boolean): Totals[] {
  return naive.totalsOf(counts).map((total) => {
    const based = naive.lines.filter((line) => counts(line) && line.currency === total.currency && line.base !== undefined);
    if (based.length === 0) return total;
    const sum = (side: string): bigint => based.reduce((base, line) => base + (line.side === side ? (line.base ?? 0n) : 0n), 0n);
    return { ...total, baseScale: 2, baseDebit: sum('debit'), baseCredit: sum('credit') };
  });
}

const expectedRanges = (id: string, boundaries: readonly CalendarDate[], position: number): Totals[][] =>
  boundaries.map((to, range) =>
    expected(
      (line) =>
        line.accountId === id && line.position <= position && line.date <= to && (range === 0 || line.date > (boundaries[range - 1] ?? '')),
    ),
  );

/** What month ends have, added up; by account, for each range. */
async function chartTotals(book: string, at: { near: number; position: number }, boundaries: readonly CalendarDate[]) {
  const found = new Map<string, Totals[][]>();
  await addTotalsOfChart(pool, book, at, boundaries, (id, range, { baseScale: _, baseDebit = 0n, baseCredit = 0n, ...own }) => {
    const ranges = found.get(id) ?? boundaries.map((): Totals[] => []);
    found.set(id, ranges);
    const others = (ranges[range] ?? []).filter(({ currency }) => currency !== own.currency);
    const known: Pick<Totals, 'debit' | 'credit' | 'baseDebit' | 'baseCredit'> = ranges[range]?.find(
      ({ currency }) => currency === own.currency,
    ) ?? { debit: 0n, credit: 0n };
    const base = { baseDebit: baseDebit + (known.baseDebit ?? 0n), baseCredit: baseCredit + (known.baseCredit ?? 0n) };
    ranges[range] = [...others, { ...own, debit: own.debit + known.debit, credit: own.credit + known.credit, ...base }];
    ranges[range]?.sort((a, b) => (a.currency < b.currency ? -1 : 1));
  });
  return found;
}

describe(`totals between dates (TOTALS_SEED=${seed})`, () => {
  it('are those of the lines in each range, for any boundaries, at any batch end', async () => {
    const chance = random(seed);
    const ids = naive.accounts.map(({ id }) => id);
    const dates = naive.dates().flatMap((date) => [addDays(date, -1), date, addDays(date, 1)]);
    const interesting: CalendarDate[] = ['1900-01-01', '2023-12-31', '2024-01-01', '2024-02-29', '2024-12-31', '2199-12-31'];
    for (let round = 0; round < 120; round++) {
      const wanted = Array.from({ length: 1 + chance.below(6) }, () => chance.pick([...dates, ...interesting]));
      const boundaries = [...new Set(wanted)].sort();
      const base = chance.pick([...ends, naive.head]);
      const found = await totalsInRanges(pool, bookId, ids, base, boundaries);
      const where = `seed ${seed}, ${boundaries.join(' ')} at ${base}`;
      for (const id of ids) {
        const ranges = expectedRanges(id, boundaries, base);
        const some = ranges.some((totals) => totals.length > 0);
        expect({ where, id, ranges: found.get(id) }).toEqual({ where, id, ranges: some ? ranges : undefined });
      }
    }
  });

  it('are the same by month ends, which are kept beside the fold, at any position', async () => {
    const every = cutEvery;
    expect(naive.head).toBeGreaterThan(3 * every);
    const chance = random(seed + 1);
    const ids = naive.accounts.map(({ id }) => id);
    const dates = naive.dates().flatMap((date) => [addDays(date, -1), date, addDays(date, 1)]);
    const interesting: CalendarDate[] = ['1900-01-01', '2023-12-31', '2024-01-01', '2024-02-29', '2024-12-31', '2199-12-31', lastDate];
    const made = await Promise.all([1, 2].map(() => keepMonthEnds(pool, bookId, register, { every })));
    const positions = [...new Set(made.flat())].sort((a, b) => a - b);
    expect(positions.length).toBeGreaterThan(1);
    expect(positions.filter((position) => position % every !== 0 || position > naive.head)).toEqual([]);
    expect(await keepMonthEnds(pool, bookId, register, { every })).toEqual([]);
    for (let round = 0; round < 120; round++) {
      const wanted = Array.from({ length: 1 + chance.below(6) }, () => chance.pick([...dates, ...interesting]));
      const boundaries = [...new Set(wanted)].sort();
      const position = 1 + chance.below(naive.head);
      const near = (await monthEndsBefore(pool, bookId, position)) ?? -1;
      expect(near).toBe(Math.max(0, ...positions.filter((known) => known <= position)));
      const found = await chartTotals(bookId, { near, position }, boundaries);
      const where = `seed ${seed}, ${boundaries.join(' ')} at ${position} from ${near}`;
      for (const id of ids) {
        const ranges = expectedRanges(id, boundaries, position);
        const some = ranges.some((totals) => totals.length > 0);
        // A range without amounts may be missing, and a base of 0 may stand where no line of the range has one.
        const shown = (all: Totals[][] | undefined) =>
          all?.map((totals) =>
            totals
              .map(({ baseDebit = 0n, baseCredit = 0n, baseScale: _, ...own }) => ({ ...own, baseDebit, baseCredit }))
              .filter((one) => one.debit !== 0n || one.credit !== 0n || one.baseDebit !== 0n || one.baseCredit !== 0n),
          );
        expect({ where, id, ranges: shown(found.get(id)) }).toEqual({ where, id, ranges: some ? shown(ranges) : undefined });
      }
    }
  });

  it('by month ends need no line where rows are due: a chart may be longer than that before its first entry', async () => {
    const ledger = await ReferenceLedger.open(database.adminUrl, { now: () => Date.now() });
    const execute = async (command: Parameters<ReferenceLedger['execute']>[1]): Promise<void> => {
      const answer = await ledger.execute('charted', command, { key: `charted-${++keys}`, userId, source: 'job' });
      if (answer.status >= 400) throw new Error(answer.body);
    };
    let keys = 0;
    const userId = '01930000-0000-7000-8000-000000000001';
    const opening = { id: 'charted', name: 'charted', baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2026-01-01' } as const;
    await execute({ type: 'OpenBook', ...opening });
    for (let n = 0; n < 3 * cutEvery; n++) await execute({ type: 'OpenAccount', code: `a${n}`, name: 'a', accountType: 'asset' });
    const line = (account: string, side: 'debit' | 'credit') => ({ account, side, amount: '1', currency: 'EUR' });
    for (let n = 0; n < cutEvery; n++)
      await execute({
        type: 'PostEntry',
        effectiveDate: '2026-02-03',
        description: 'x',
        lines: [line('a1', 'debit'), line('a2', 'credit')],
      });
    await ledger.close();
    const store = new EventStore(pool, catalogue);
    const projector = new Projector(store, pool, { monthEndsEvery: cutEvery });
    while ((await projector.fold('charted')) !== 'done');
    const made = await projector.keepMonthEnds('charted');
    expect(made[0]).toBe(4 * cutEvery);
    const { position } = await store.head('charted');
    const near = (await monthEndsBefore(pool, 'charted', position)) ?? -1;
    expect(near).toBe(made.at(-1));
    const found = await chartTotals('charted', { near, position }, ['2026-02-02', '2026-02-28']);
    expect([...found.values()].map(([, totals]) => totals?.[0]?.debit).sort()).toEqual([0n, 100n * BigInt(cutEvery)]);
  });

  it('up to a date are the first range', async () => {
    const ids = naive.accounts.map(({ id }) => id);
    for (const date of [undefined, ...naive.dates()]) {
      const found = await totalsOfAccounts(pool, bookId, ids, naive.head, date);
      for (const id of ids) {
        const totals = expected((line) => line.accountId === id && (date === undefined || line.date <= date));
        expect(found.get(id) ?? []).toEqual(totals);
      }
    }
  });

  it('need boundaries that ascend', async () => {
    await expect(totalsInRanges(pool, bookId, [], 1, [])).rejects.toThrow('at least one boundary');
    await expect(totalsInRanges(pool, bookId, [], 1, ['2024-02-01', '2024-02-01'])).rejects.toThrow('must ascend');
  });
});

describe('the look-ups of a year by months', () => {
  const account = '01930000-0000-7000-8000-0000000000aa';

  beforeAll(async () => {
    // One line a month in 2023 and 2024, and the buckets that they fall into.
    await admin.query(
      `INSERT INTO projections.running_totals (position, account_id, start, bucket, book_id, currency, debit, credit)
       SELECT row_number() OVER (), $1, b.start, b.bucket, 'months', 'EUR', 10, 0
         FROM generate_series(timestamp '2023-01-15', '2024-12-15', '1 month') AS d (day),
              LATERAL (VALUES (date_trunc('year', d.day)::date, 'Y'::"char"), (date_trunc('month', d.day)::date, 'M'), (d.day::date, 'D')) AS b (start, bucket)
       ON CONFLICT DO NOTHING`,
      [account],
    );
  });

  /** Scans of the index of running totals, which the session counts. */
  async function scansOf(boundaries: readonly CalendarDate[]): Promise<number> {
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      const scans = async (): Promise<number> => {
        const { rows } = await client.query<{ scans: number }>(
          `SELECT pg_stat_get_xact_numscans('projections.running_totals_pkey'::regclass) AS scans`,
        );
        return Number(rows[0]?.scans);
      };
      const before = await scans();
      await totalsInRanges(client, 'months', [account], Number.MAX_SAFE_INTEGER, boundaries);
      const after = await scans();
      await client.query('ROLLBACK');
      return after - before;
    } finally {
      client.release();
    }
  }

  it('are two for the currency, one for each year before and one for each month', async () => {
    const months = Array.from({ length: 12 }, (_, month) =>
      addDays(month === 11 ? '2025-01-01' : `2024-${String(month + 2).padStart(2, '0')}-01`, -1),
    );
    // The window of years has no first bucket at 1900-01-01: one look-up more finds that out.
    expect(await scansOf(['2023-12-31', ...months])).toBe(2 + 2 + 12);
    expect(await scansOf(['2023-12-31', '2024-12-31'])).toBe(2 + 2 + 1);
  });
});

describe('totals of a dimension', () => {
  it('are those of the lines that have the pair and all further ones, between dates, at any position', async () => {
    const chance = random(seed + 1);
    const pairs = ['cost=a', 'cost=b', 'cost=ü\tx', 'project=a', 'project=b', 'project=ü\tx', 'project=none'];
    const question = (pair: string) => ({ key: pair.slice(0, pair.indexOf('=')), value: pair.slice(pair.indexOf('=') + 1) });
    const dates = naive.dates();
    let found = 0;
    for (let round = 0; round < 100; round++) {
      const [pair, ...also] = Array.from({ length: 1 + chance.below(3) }, () => chance.pick(pairs)) as [string, ...string[]];
      const [from, to] = [chance.pick([undefined, ...dates]), chance.pick([undefined, ...dates])];
      const position = chance.below(naive.head + 1);
      const totals = await totalsOfDimension(pool, { bookId, pair: question(pair), also: also.map(question), from, to, position });
      for (const { id } of naive.accounts) {
        const own = expected(
          (line) =>
            line.accountId === id &&
            line.position <= position &&
            line.date >= (from ?? '') &&
            line.date <= (to ?? '9') &&
            [pair, ...also].every((wanted) => line.pairs.has(wanted)),
        );
        expect({ seed, round, totals: totals.get(id) ?? [] }).toEqual({ seed, round, totals: own });
        found += own.length;
      }
    }
    expect(found).toBeGreaterThan(20);
  });
});
