/**
 * As-of reads through the in-process query API: one account with a long history, asked for a day, for a position, and for
 * both; and the balances of ten thousand accounts. At rest, and while writes go on at 80 % of what the machine can sustain with
 * its projections. Answers are held against a SUM over the same lines, so that a fast wrong answer is no answer.
 *
 * The history is written through the ledger's own doors: entries of ten lines, nine of them on the account, effective dates
 * drawn from three years, folded by the real projector. So there are as many rows of running totals as such a load makes.
 */
import { addDays } from '#domain';
import { EventStore } from '#event-store';
import { catalogue, Queries, Reports, type StatementAnswer } from '#ledger';
import { openPool } from '#postgres';
import type { BenchDatabase, BenchServer } from './server';
import { generator, percentile } from './statistics';
import { booksDatabase, type Figures, LagWatch, lagMax, openWriter, startWorker } from './write-path';
import { codeOf, firstDay, type Load, sleep, Writer } from './writer';

const bookId = 'bench-1';
const linesPerEntry = 10;
const days = 1_096;
/** Of the rate that is sustained with projections. */
const shareOfCapacity = 0.8;
const readWaitMs = 2_000;
/** Asked first and not counted, so that Node's code for it is compiled, as in a service that has run for a minute. */
const questionsBefore = 500;

const kinds = ['effective', 'known', 'both'] as const;
type Kind = (typeof kinds)[number];

interface History {
  readonly lines: number;
  readonly database: BenchDatabase;
  readonly queries: Queries;
  readonly reports: Reports;
  readonly head: number;
  close(): Promise<void>;
}

/** @param linesMax 1e5, 1e6 or 1e7: histories of each size up to it, asked in turn */
export async function runAsOf(server: BenchServer, linesMax: number, rounds: number): Promise<[string, Figures][]> {
  const sizes = [1e5, 1e6, 1e7].filter((lines) => lines <= Math.max(1e5, linesMax));
  const histories: History[] = [];
  const found: [string, Figures][] = [];
  try {
    for (const lines of sizes) {
      const { history, figures } = await openHistory(server, lines);
      histories.push(history);
      found.push([`history-${lines}`, figures]);
    }
    const measured = new Map<string, Figures[]>();
    for (let round = 0; round < rounds; round++) {
      for (const kind of kinds) {
        for (const history of histories) {
          const name = `as-of-${kind}-${history.lines}`;
          measured.set(name, [...(measured.get(name) ?? []), await ask(history, kind, round === 0)]);
        }
      }
    }
    for (const [name, figures] of measured) found.push([name, medians(figures)]);
    for (const history of histories) found.push([`statement-page-${history.lines}`, await askStatements(history)]);
    const longest = histories.at(-1) as History;
    const load: Load = { books: [bookId], accounts: 2, pick: 'one', lines: linesPerEntry, days, callers: 256, tag: 'under-writes' };
    const { written, results } = await underWrites(server, longest.database, load, async () => {
      const busy: [string, Figures][] = [];
      for (const kind of kinds) busy.push([`as-of-${kind}-${longest.lines}-writing`, await ask(longest, kind, false)]);
      return busy;
    });
    for (const [name, figures] of results) found.push([name, { ...figures, ...written }]);
    return found;
  } finally {
    for (const { close } of histories) await close();
  }
}

async function openHistory(server: BenchServer, lines: number): Promise<{ history: History; figures: Figures }> {
  const database = await server.empty(`bench_history_${lines}`);
  const writer = new Writer({ url: database.url, project: true });
  await writer.openBook(bookId, 2);
  const entries = Math.ceil(lines / (linesPerEntry - 1));
  const start = performance.now();
  const watch = new LagWatch(database.admin, [bookId]);
  await writer.start({ books: [bookId], accounts: 2, pick: 'one', lines: linesPerEntry, days, callers: 512, entries, tag: 'history' });
  await writer.stop('all');
  await watch.caughtUp(1_800_000);
  const seconds = (performance.now() - start) / 1_000;
  await writer.close();
  await database.admin.query('VACUUM ANALYZE');
  const { rows } = await database.admin.query<{ head: number; totals: number }>(
    `SELECT (SELECT position FROM log.book_heads WHERE book_id = $1) AS head,
            (SELECT count(*) FROM projections.running_totals WHERE book_id = $1) AS totals`,
    [bookId],
  );
  const { head, totals } = rows[0] ?? { head: 0, totals: 0 };
  const { queries, reports, end } = openQueries(database);
  const close = async (): Promise<void> => {
    await end();
    await database.drop();
  };
  return {
    history: { lines, database, queries, reports, head, close },
    figures: { events: head, runningTotals: totals, fillAndFoldSeconds: seconds },
  };
}

function openQueries({ url }: BenchDatabase): { queries: Queries; reports: Reports; end(): Promise<void> } {
  const pool = openPool(url, { max: 4 });
  const store = new EventStore(pool, catalogue);
  const queries = new Queries(store, pool, { readWaitMs });
  return { queries, reports: new Reports(store, queries), end: () => pool.end() };
}

/** The first page, a hundred lines, of the account's statement of a month, as known at a position. */
async function askStatements({ reports, database, head, lines }: History): Promise<Figures> {
  const random = generator(head);
  const durations: number[] = [];
  for (let n = -questionsBefore / 10; n < 200; n++) {
    const from = addDays(firstDay, Math.floor(random() * days));
    const knownAt = Math.max(1_000, Math.ceil(random() * head));
    const start = performance.now();
    const { body } = await reports.statement(bookId, codeOf(0), { from, to: addDays(from, 30), knownAt, limit: 100 }, 'json');
    if (n >= 0) durations.push(performance.now() - start);
    if (n % 50 !== 0) continue;
    const { opening } = JSON.parse(body as string) as StatementAnswer;
    const { rows } = await database.admin.query<{ net: string }>(
      `SELECT coalesce(sum(CASE side WHEN 'D' THEN amount ELSE -amount END), 0)::text AS net FROM projections.account_lines
        WHERE book_id = $1 AND account_id = (SELECT stream_id FROM log.stream_names WHERE book_id = $1 AND category = 'account' AND name = $2)
          AND effective_date < $3 AND position <= $4`,
      [bookId, codeOf(0), from, knownAt],
    );
    if (Number(opening[0]?.net ?? 0) !== Number(rows[0]?.net))
      throw new Error(`statement at ${lines} lines: opens with ${opening[0]?.net} instead of ${rows[0]?.net} (${from}, ${knownAt})`);
  }
  return { p50Ms: percentile(durations, 0.5), p99Ms: percentile(durations, 0.99) };
}

/** One question after another. @param checked holds some answers against a SUM, and times that */
async function ask({ queries, database, head, lines }: History, kind: Kind, checked: boolean): Promise<Figures> {
  const random = generator(head + kind.length);
  const question = (): { asOf?: string; knownAt?: number } => ({
    ...(kind === 'known' ? {} : { asOf: addDays(firstDay, Math.floor(random() * days)) }),
    ...(kind === 'effective' ? {} : { knownAt: Math.max(1_000, Math.ceil(random() * head)) }),
  });
  const durations: number[] = [];
  for (let n = -questionsBefore; n < 200; n++) {
    const asked = question();
    const start = performance.now();
    await queries.balance(bookId, codeOf(0), asked);
    if (n >= 0) durations.push(performance.now() - start);
  }
  const figures = { p50Ms: percentile(durations, 0.5), p99Ms: percentile(durations, 0.99) };
  if (!checked) return figures;
  const sums: number[] = [];
  for (let n = 0; n < 5; n++) {
    const { asOf, knownAt } = question();
    const answer = await queries.balance(bookId, codeOf(0), { asOf, knownAt });
    const start = performance.now();
    const { rows } = await database.admin.query<{ debit: string; credit: string }>(
      `SELECT coalesce(sum(amount) FILTER (WHERE side = 'D'), 0)::text AS debit, coalesce(sum(amount) FILTER (WHERE side = 'C'), 0)::text AS credit
         FROM projections.account_lines
        WHERE book_id = $1 AND account_id = (SELECT stream_id FROM log.stream_names WHERE book_id = $1 AND category = 'account' AND name = $2)
          AND effective_date <= $3 AND position <= $4`,
      [bookId, codeOf(0), asOf ?? '2199-12-31', knownAt ?? answer.position],
    );
    sums.push(performance.now() - start);
    const { debit = '0', credit = '0' } = answer.balances[0] ?? {};
    const sum = rows[0] ?? { debit: '', credit: '' };
    if (Number(debit) !== Number(sum.debit) || Number(credit) !== Number(sum.credit))
      throw new Error(
        `as-of ${kind} at ${lines} lines: ${debit}/${credit} instead of ${sum.debit}/${sum.credit} (${JSON.stringify({ asOf, knownAt })})`,
      );
  }
  return { ...figures, sumP50Ms: percentile(sums, 0.5) };
}

// --- Ten thousand accounts ---

/** All pages of the balances of ten thousand accounts with a hundred thousand lines. */
export async function runBalances(server: BenchServer, times: number): Promise<[string, Figures][]> {
  const database = await booksDatabase(server);
  const { queries, end } = openQueries(database);
  try {
    const watch = new LagWatch(database.admin, [bookId]);
    const writer = new Writer({ url: database.url, project: true });
    const load: Load = {
      books: [bookId],
      accounts: 10_000,
      pick: 'uniform',
      lines: 10,
      days,
      callers: 256,
      entries: 10_000,
      tag: 'balances',
    };
    await writer.start(load);
    await writer.stop('all');
    await watch.caughtUp();
    await writer.close();
    await database.admin.query('VACUUM ANALYZE');
    const atRest = await askBalances(queries, times);
    const { entries: _some, ...endless } = load;
    const { written, results } = await underWrites(server, database, { ...endless, tag: 'under-writes' }, () =>
      askBalances(queries, times),
    );
    return [
      ['balances-10000', atRest],
      ['balances-10000-writing', { ...results, ...written }],
    ];
  } finally {
    await end();
    await database.drop();
  }
}

async function askBalances(queries: Queries, times: number): Promise<Figures> {
  const durations: number[] = [];
  const random = generator(times);
  let refused = 0;
  for (let n = 0; n < times; n++) {
    const asOf = addDays(firstDay, 365 + Math.floor(random() * (days - 365)));
    const start = performance.now();
    try {
      let cursor: string | undefined;
      let accounts = 0;
      let net = 0;
      do {
        const page = await queries.balances(bookId, { asOf, limit: 1_000, cursor, includeZero: true });
        accounts += page.balances.length;
        net += page.balances.reduce((sum, balance) => sum + Math.round(Number(balance.net) * 100), 0);
        cursor = page.nextCursor;
      } while (cursor !== undefined);
      if (accounts < 9_000 || net !== 0) throw new Error(`balances as of ${asOf}: ${accounts} accounts, sum ${net}`);
      durations.push(performance.now() - start);
    } catch (error) {
      // What a list may say while its projection is behind for longer than it waits.
      if ((error as { code?: string }).code !== 'projection_behind') throw error;
      refused++;
    }
  }
  return { p50Ms: percentile(durations, 0.5), p99Ms: percentile(durations, 0.99), refused };
}

// --- While writes go on ---

/** Finds what a writer and the worker, each in a process of its own, sustain; then asks while they are at 80 % of it. */
async function underWrites<T>(
  server: BenchServer,
  database: BenchDatabase,
  load: Load,
  measure: () => Promise<T>,
): Promise<{ results: T; written: Figures }> {
  const writer = await openWriter({ url: database.url }, true);
  const worker = await startWorker(server, database);
  const watch = new LagWatch(database.admin, load.books);
  try {
    watch.bound([writer], lagMax);
    await writer.its.start({ ...load, tag: `${load.tag}-capacity` });
    await sleep(1_000);
    await writer.its.mark();
    await sleep(2_000);
    const { entries, seconds } = await writer.its.read();
    watch.stop();
    await writer.its.stop();
    await watch.caughtUp();
    const rate = (shareOfCapacity * entries) / seconds;
    await writer.its.start({ ...load, rate });
    await sleep(500);
    await writer.its.mark();
    const lags = new LagWatch(database.admin, load.books);
    lags.bound([], Number.POSITIVE_INFINITY);
    const results = await measure();
    const lag = lags.stop();
    const window = await writer.its.read();
    await writer.its.stop();
    return {
      results,
      written: {
        meanwhileEntriesPerSecond: window.entries / window.seconds,
        wantedPerSecond: rate,
        lagEventsMedian: lag?.median ?? Number.NaN,
      },
    };
  } finally {
    watch.stop();
    await worker.end();
    await writer.end();
  }
}

function medians(all: readonly Figures[]): Figures {
  const members = [...new Set(all.flatMap((figures) => Object.keys(figures)))];
  return Object.fromEntries(
    members.map((member) => [
      member,
      percentile(
        all.flatMap((figures) => figures[member] ?? []),
        0.5,
      ),
    ]),
  );
}
