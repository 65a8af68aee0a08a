/**
 * A trial balance over ten thousand accounts with a long history: a month, the year to date, and twelve months beside each other,
 * as known now and as known at a position inside the log. Answers are held against sums over the lines, so that a fast wrong
 * answer is no answer, and against the other way to the same totals, which must give the same bytes. The history is written through the ledger's own doors, and folded by the real projector.
 */
import { EventStore } from '#event-store';
import { catalogue, Queries, type ReportQuestion, Reports, type TrialBalance } from '#ledger';
import { openPool } from '#postgres';
import type { BenchServer } from './server';
import { generator, percentile } from './statistics';
import { booksDatabase, type Figures, LagWatch } from './write-path';
import { Writer } from './writer';

const bookId = 'bench-1';
const linesPerEntry = 100;
const days = 1_096;
const times = 10;
/** Of the other way, which is the baseline. */
const timesByBuckets = 3;

const months = Array.from({ length: 12 }, (_, index) => `2025/${index + 1}`);
const questions: readonly (readonly [name: string, question: ReportQuestion])[] = [
  ['month', { period: '2026/6' }],
  ['year-to-date', { from: '2026-01-01', to: '2026-09-17' }],
  ['twelve-months', { period: months[0] as string, compare: months.slice(1).join(',') }],
];

/** @param lines how many there are on the accounts of the book */
export async function runTrialBalance(server: BenchServer, lines: number): Promise<[string, Figures][]> {
  const database = await booksDatabase(server);
  const watch = new LagWatch(database.admin, [bookId]);
  const writer = new Writer({ url: database.url, project: true });
  const entries = Math.ceil(lines / linesPerEntry);
  const started = performance.now();
  await writer.start({
    books: [bookId],
    accounts: 10_000,
    pick: 'uniform',
    lines: linesPerEntry,
    days,
    callers: 256,
    entries,
    tag: 'history',
  });
  await writer.stop('all');
  await watch.caughtUp(3_600_000);
  const fillAndFoldSeconds = (performance.now() - started) / 1_000;
  await writer.close();
  await database.admin.query('VACUUM ANALYZE');
  const pool = openPool(database.url, { max: 4 });
  const store = new EventStore(pool, catalogue);
  const queries = new Queries(store, pool, { readWaitMs: 2_000 });
  const [reports, byBuckets] = [new Reports(store, queries), new Reports(store, queries, 0)];
  try {
    const { position: head } = await store.head(bookId);
    const found: [string, Figures][] = [[`trial-balance-history-${lines}`, { events: head, fillAndFoldSeconds }]];
    for (const [name, question] of questions) {
      const random = generator(lines + name.length);
      for (const known of ['now', 'known-at'] as const) {
        const durations: number[] = [];
        const ofBuckets: number[] = [];
        for (let n = 0; n < times; n++) {
          const knownAt = known === 'now' ? undefined : Math.ceil((0.2 + 0.8 * random()) * head);
          const ask = async (by: Reports, taken: number[]): Promise<string> => {
            const start = performance.now();
            const { body } = await by.answer('trial-balance', bookId, { ...question, knownAt }, 'json');
            taken.push(performance.now() - start);
            return body as string;
          };
          const body = await ask(reports, durations);
          if (n === 0) await check(database.admin, JSON.parse(body) as TrialBalance);
          if (n < timesByBuckets && (await ask(byBuckets, ofBuckets)) !== body)
            throw new Error(`trial balance ${name} at ${knownAt ?? head}: the two ways to its totals differ`);
        }
        const [p50Ms, p99Ms] = [percentile(durations, 0.5), percentile(durations, 0.99)];
        found.push([`trial-balance-${name}-${known}-${lines}`, { p50Ms, p99Ms, byBucketsP50Ms: percentile(ofBuckets, 0.5) }]);
      }
    }
    return found;
  } finally {
    await pool.end();
    await database.drop();
  }
}

/** Every account's debits and credits in the first column against a sum over its lines. */
async function check(admin: { query: import('pg').Client['query'] }, { rows, position, columns }: TrialBalance): Promise<void> {
  const { from, to } = columns[0] as (typeof columns)[number];
  const sums = await admin.query<{ code: string; debit: string; credit: string }>(
    `SELECT n.name AS code, coalesce(sum(l.amount) FILTER (WHERE l.side = 'D'), 0)::text AS debit, coalesce(sum(l.amount) FILTER (WHERE l.side = 'C'), 0)::text AS credit
       FROM projections.account_lines l JOIN log.stream_names n ON n.book_id = l.book_id AND n.stream_id = l.account_id AND n.category = 'account'
      WHERE l.book_id = $1 AND l.effective_date BETWEEN $2 AND $3 AND l.position <= $4 GROUP BY 1`,
    [bookId, from, to, position],
  );
  const ours = new Map(rows.map(({ account, figures }) => [account, figures[0]]));
  for (const { code, debit, credit } of sums.rows) {
    const one = ours.get(code);
    if (Number(one?.debit) !== Number(debit) || Number(one?.credit) !== Number(credit))
      throw new Error(
        `trial balance ${from} … ${to} at ${position}: ${code} ${one?.debit}/${one?.credit}, its lines sum up to ${debit}/${credit}`,
      );
  }
}
