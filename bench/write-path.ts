/**
 * The write path in-process: cases as a list, each on a fresh database, against a real server. After every case positions,
 * events, receipts, totals, numbers, write-ahead log and (where there are any) projections are held against what the callers
 * were answered, so that a broken variant cannot look fast.
 */
import type { Client } from 'pg';
import { copyFloor, copyRows } from './floors';
import { fillAccounts } from './million';
import { type Remote, startProgram, startRole } from './processes';
import { type BenchDatabase, type BenchServer, schemaBytes, serverMicros, walPosition } from './server';
import { percentile } from './statistics';
import { type Acknowledged, type Load, sleep, type Window, Writer, type WriterOptions } from './writer';

export interface WriteCase {
  readonly name: string;
  readonly pick: Load['pick'];
  readonly callers: number;
  /** 2 when absent. */
  readonly lines?: number;
  /** 1 when absent. */
  readonly books?: 1 | 2;
  /** Processes that write the same books; 1 when absent. */
  readonly processes?: 1 | 2;
  /** inline: in the writer's process; worker: in one of its own; pause: a worker that starts after the writing. Off when absent. */
  readonly projector?: 'inline' | 'worker' | 'pause';
  /** A million accounts with room for 5 % of them, instead of ten thousand with room for all. */
  readonly million?: true;
  /** Begins when no account is in memory; where it is absent they all are, as in a service that has run for a minute. */
  readonly cold?: true;
  /** Measures the COPY of the very rows beside it. */
  readonly floor?: true;
  /** Part of `bench quick`. */
  readonly quick?: true;
}

export const writeCases: readonly WriteCase[] = [
  { name: 'uniform-1', pick: 'uniform', callers: 1, quick: true },
  { name: 'uniform-1-cold', pick: 'uniform', callers: 1, cold: true },
  { name: 'uniform-64', pick: 'uniform', callers: 64 },
  { name: 'uniform-1024', pick: 'uniform', callers: 1_024, floor: true, quick: true },
  { name: 'zipf-1', pick: 'zipf', callers: 1 },
  { name: 'zipf-64', pick: 'zipf', callers: 64 },
  { name: 'zipf-1024', pick: 'zipf', callers: 1_024 },
  { name: 'hot-1', pick: 'hot', callers: 1 },
  { name: 'hot-64', pick: 'hot', callers: 64 },
  { name: 'hot-1024', pick: 'hot', callers: 1_024, floor: true, quick: true },
  { name: 'uniform-two-books', pick: 'uniform', callers: 1_024, books: 2 },
  { name: 'hot-two-books', pick: 'hot', callers: 1_024, books: 2 },
  { name: 'uniform-two-processes', pick: 'uniform', callers: 1_024, processes: 2 },
  { name: 'hot-two-processes', pick: 'hot', callers: 1_024, processes: 2 },
  { name: 'uniform-10-lines', pick: 'uniform', callers: 256, lines: 10 },
  { name: 'uniform-100-lines', pick: 'uniform', callers: 64, lines: 100 },
  { name: 'uniform-projected-inline', pick: 'uniform', callers: 1_024, projector: 'inline', floor: true },
  { name: 'hot-projected-inline', pick: 'hot', callers: 1_024, projector: 'inline', floor: true },
  { name: 'uniform-projected-worker', pick: 'uniform', callers: 1_024, projector: 'worker', floor: true, quick: true },
  { name: 'hot-projected-worker', pick: 'hot', callers: 1_024, projector: 'worker', floor: true, quick: true },
  { name: 'uniform-after-pause', pick: 'uniform', callers: 1_024, projector: 'pause' },
  { name: 'uniform-million', pick: 'uniform', callers: 1_024, million: true },
];

/** Events that projections may be behind before callers have to wait: five folds, and reached before a window begins. */
export const lagMax = 15_000;
const accountsUsual = 10_000;
const accountsMany = 1_000_000;
/** Room for 5 % of a million accounts, as BookMemory counts an account with one currency and a code of 14 characters (700 bytes). */
const stateCacheMany = Math.round((0.05 * accountsMany * 700) / 1_048_576);
export const bookIds = ['bench-1', 'bench-2'] as const;
const warmUpMs = 1_000;
/** Per book; after so many entries of two lines 98 of 100 accounts drawn uniformly from ten thousand have been used. */
const warmUpEntries = 20_000;
/** A fold is 3,000 events: a window must hold many of them. */
const projectedTimes = 2;

/** Figures of a case by name, with their units in the name: what the JSON holds. */
export type Figures = Readonly<Record<string, number>>;

/** A book of a million accounts; filled where it is used, because a copy of it takes longer than a case. */
async function millionDatabase(server: BenchServer): Promise<BenchDatabase> {
  const database = await server.empty('bench_million');
  await fillAccounts(database.url, bookIds[0], accountsMany);
  await database.admin.query('VACUUM ANALYZE');
  await database.admin.query('CHECKPOINT');
  return database;
}

/** A fresh database with two books of ten thousand accounts each. */
export function booksDatabase(server: BenchServer): Promise<BenchDatabase> {
  return server.database('accounts', async ({ url, admin }) => {
    // Folded too: a case that measures keeping up must not begin with twenty thousand accounts to fold.
    const writer = new Writer({ url, project: true });
    for (const bookId of bookIds) await writer.openBook(bookId, accountsUsual);
    await new LagWatch(admin, bookIds).caughtUp();
    await writer.close();
  });
}

/** Posts for a while and forgets it, so that the first case does not pay for the compiler. */
export async function warmUpWriting(server: BenchServer): Promise<void> {
  await runWriteCase(server, { name: 'warm-up', pick: 'uniform', callers: 1_024 }, 1);
}

/** @param seconds of the measuring window, after warming up; twice that where projections keep up */
export async function runWriteCase(server: BenchServer, wanted: WriteCase, seconds: number): Promise<Figures> {
  const { pick, callers, lines = 2, books = 1, processes = 1, projector, million = false, cold = false, floor } = wanted;
  const database = million ? await millionDatabase(server) : await booksDatabase(server);
  const { admin, url } = database;
  const used = bookIds.slice(0, books);
  const writers: OpenWriter[] = [];
  let worker: Worker | undefined;
  const watch = new LagWatch(admin, used);
  try {
    const options: WriterOptions = { url, project: projector === 'inline', ...(million ? { stateCacheMb: stateCacheMany } : {}) };
    for (let n = 0; n < processes; n++) writers.push(await openWriter(options, n > 0));
    if (!million && !cold && pick !== 'hot')
      await useAccounts(writers, { books: used, accounts: accountsUsual, pick, lines: 2, callers: 256 });
    if (projector === 'inline' || projector === 'worker') {
      if (projector === 'worker') worker = await startWorker(server, database);
      await watch.caughtUp();
    }
    const before = await Promise.all(used.map((bookId) => counted(admin, bookId, 0)));
    const [diskBefore, walBefore] = [await schemaBytes(admin, 'log'), await walPosition(admin)];
    const accounts = million ? accountsMany : accountsUsual;
    const load = { books: used, accounts, pick, lines, callers: callers / processes };
    if (projector === 'inline' || projector === 'worker') watch.bound(writers, lagMax);
    for (const [index, { its }] of writers.entries()) await its.start({ ...load, tag: `${wanted.name}-${index}` });
    await sleep(warmUpMs);

    const [wal, micros, folded] = [await walPosition(admin), await serverMicros(admin), await watch.folded()];
    for (const { its } of writers) await its.mark();
    const start = performance.now();
    await sleep((projector === 'inline' || projector === 'worker' ? projectedTimes : 1) * seconds * 1_000);
    const windows = await Promise.all(writers.map(({ its }) => its.read()));
    const measured = (performance.now() - start) / 1_000;
    const [walUsed, microsUsed, foldedNow] = [(await walPosition(admin)) - wal, (await serverMicros(admin)) - micros, await watch.folded()];
    const lag = watch.stop();
    const acknowledged = await Promise.all(writers.map(({ its }) => its.stop()));

    const total = acknowledged.reduce((sum, { entries }) => sum + entries, 0);
    const entries = windows.reduce((sum, window) => sum + window.entries, 0);
    const written = windows.reduce((sum, window) => sum + window.entries / window.seconds, 0);
    // While projections keep up, what they folded is what was sustained, should they have fallen behind within their bound.
    const sustained = lag === undefined ? written : Math.min(written, (foldedNow - folded) / measured / (lines + 1));
    const disk = (await schemaBytes(admin, 'log')) - diskBefore;
    const walAll = (await walPosition(admin)) - walBefore;
    const rowBytes = await check(admin, used, before, acknowledged, lines);
    if (walAll < rowBytes) throw new Error(`${wanted.name}: ${walAll} bytes of WAL for rows of ${rowBytes} bytes`);
    const figures: Record<string, number> = {
      entriesPerSecond: sustained,
      eventsPerSecond: sustained * (lines + 1),
      ...latenciesOf(windows),
      nodeMicrosPerEntry: windows.reduce((sum, window) => sum + window.micros, 0) / entries,
      serverMicrosPerEntry: microsUsed / entries,
      walBytesPerEntry: walUsed / entries,
      diskBytesPerEntry: disk / total,
    };
    if (lag !== undefined) {
      await watch.caughtUp();
      await checkProjections(admin, used);
      Object.assign(figures, { lagEventsMax: lag.max, lagEventsMedian: lag.median, writtenEntriesPerSecond: written });
      figures.projectionBytesPerEntry = (await schemaBytes(admin, 'projections')) / total;
    }
    if (projector === 'pause') {
      Object.assign(figures, await afterPause(server, database, writers[0]?.its as Remote<Writer>, load, written, watch));
      await checkProjections(admin, used);
    }
    if (floor) Object.assign(figures, await floorOf(admin, before[0]?.position ?? 0, figures, lines));
    return figures;
  } finally {
    watch.stop();
    await worker?.end();
    for (const writer of writers) await writer.end();
    await database.drop();
  }
}

/** Posts until the writers have nearly all accounts in memory, one writer after the other. */
async function useAccounts(writers: readonly OpenWriter[], load: Omit<Load, 'tag' | 'entries'>): Promise<void> {
  for (const [index, { its }] of writers.entries()) {
    await its.start({ ...load, entries: warmUpEntries * load.books.length, tag: `used-${index}` });
    await its.stop('all');
  }
}

const latenciesOf = (windows: readonly Window[]): Figures => {
  const latencies = windows.flatMap((window) => window.latencies);
  return { p50Ms: percentile(latencies, 0.5), p99Ms: percentile(latencies, 0.99) };
};

/** The COPY of the events that the case has just written, 1,000 rows a block. */
async function floorOf(admin: Client, after: number, figures: Figures, lines: number): Promise<Figures> {
  const rows = await copyRows(
    admin,
    'log.events',
    `WHERE book_id = '${bookIds[0]}' AND position > ${after} AND position <= ${after + 150_000} ORDER BY position`,
  );
  const copied = await copyFloor(admin, rows);
  const { nodeMicrosPerEntry = Number.NaN, serverMicrosPerEntry = Number.NaN, eventsPerSecond = Number.NaN } = figures;
  return {
    copyEventsPerSecond: copied.rowsPerSecond,
    ofCopy: eventsPerSecond / copied.rowsPerSecond,
    cpuOverCopy: (nodeMicrosPerEntry + serverMicrosPerEntry) / (lines + 1) / copied.serverMicros,
  };
}

/** Projections that stood still while `seconds` of writing went on: how long until they are there again, with writers at 30 %. */
async function afterPause(
  server: BenchServer,
  database: BenchDatabase,
  writer: Remote<Writer>,
  load: Omit<Load, 'tag'>,
  rate: number,
  watch: LagWatch,
): Promise<Figures> {
  const behind = await watch.lag();
  await writer.start({ ...load, rate: 0.3 * rate, tag: 'after-pause' });
  const start = performance.now();
  const worker = await startWorker(server, database);
  try {
    const folded = await watch.folded();
    const began = performance.now();
    while ((await watch.lag()) > 3_000) {
      if (performance.now() - start > 120_000)
        throw new Error('the projector did not catch up with a third of the load within two minutes');
      await sleep(20);
    }
    const seconds = (performance.now() - began) / 1_000;
    const foldedPerSecond = ((await watch.folded()) - folded) / seconds;
    const meanwhile = await writer.stop();
    await watch.caughtUp();
    return {
      pausedEvents: behind,
      catchUpSeconds: seconds,
      foldedEventsPerSecond: foldedPerSecond,
      meanwhileEntriesPerSecond: meanwhile.entries / ((performance.now() - start) / 1_000),
    };
  } finally {
    await worker.end();
  }
}

// --- Who writes and who folds ---

export interface OpenWriter {
  readonly its: Remote<Writer>;
  end(): Promise<void>;
}

/** In this process, so that a profiler sees it, or in another one. */
export async function openWriter(options: WriterOptions, elsewhere: boolean): Promise<OpenWriter> {
  if (elsewhere) {
    const { its, end } = await startRole<Writer>('writer', options);
    return { its, end };
  }
  const writer = new Writer(options);
  return { its: writer as unknown as Remote<Writer>, end: () => writer.close() };
}

export interface Worker {
  end(): Promise<void>;
}

/** The worker of this repository as a process of its own. */
export async function startWorker(server: BenchServer, { url }: BenchDatabase): Promise<Worker> {
  const worker = startProgram('worker', {
    DATABASE_URL: url,
    DATA_DIR: server.directory,
    CHECKPOINT_DIR: 'off', // of clones, which have one name
    BOOTSTRAP_API_KEY: 'the-key-of-the-bench-itself',
  });
  await worker.nextLine();
  return worker;
}

/** How far projections are behind, and callers that wait while that is too far. */
export class LagWatch {
  private readonly seen: number[] = [];
  private running: Promise<void> | undefined;
  private stopped = false;

  constructor(
    private readonly admin: Client,
    private readonly books: readonly string[],
  ) {}

  /** Events that the furthest behind projection of these books has not folded. */
  async lag(): Promise<number> {
    const { rows } = await this.admin.query<{ lag: number }>({
      name: 'bench-lag',
      text: `SELECT coalesce(sum(h.position - coalesce((SELECT min(c.position) FROM projections.cursors c WHERE c.book_id = h.book_id), 0)), 0)::int8 AS lag
               FROM log.book_heads h WHERE h.book_id = ANY ($1::text[])`,
      values: [`{${this.books.join(',')}}`],
    });
    return rows[0]?.lag ?? 0;
  }

  /** Events that all projections have folded. */
  async folded(): Promise<number> {
    const { rows } = await this.admin.query<{ folded: number }>({
      name: 'bench-folded',
      text: `SELECT coalesce(sum((SELECT min(c.position) FROM projections.cursors c WHERE c.book_id = h.book_id)), 0)::int8 AS folded
               FROM log.book_heads h WHERE h.book_id = ANY ($1::text[])`,
      values: [`{${this.books.join(',')}}`],
    });
    return rows[0]?.folded ?? 0;
  }

  /** Looks at the lag until stop, and holds the writers' callers while it is above `most`. */
  bound(writers: readonly OpenWriter[], most: number): void {
    const run = async (): Promise<void> => {
      while (!this.stopped) {
        const lag = await this.lag();
        this.seen.push(lag);
        for (const { its } of writers) await its.hold(lag > most);
        await sleep(20);
      }
      for (const { its } of writers) await its.hold(false);
    };
    this.running = run();
    this.running.catch(() => {});
  }

  /** @returns what was seen, undefined when nobody looked */
  stop(): { readonly max: number; readonly median: number } | undefined {
    this.stopped = true;
    return this.running === undefined ? undefined : { max: Math.max(...this.seen), median: percentile(this.seen, 0.5) };
  }

  async caughtUp(timeoutMs = 120_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while ((await this.lag()) > 0) {
      if (performance.now() > deadline) throw new Error(`the projector did not catch up within ${timeoutMs / 1_000} s`);
      await sleep(20);
    }
  }
}

// --- What the books must hold ---

interface Counted {
  readonly position: number;
  readonly events: number;
  readonly entries: number;
  readonly legs: number;
  readonly receipts: number;
  readonly numbered: number;
  readonly debit: number;
  readonly credit: number;
  readonly rowBytes: number;
}

/** @param after counts events behind this position only */
async function counted(admin: Client, bookId: string, after: number): Promise<Counted> {
  const { rows } = await admin.query<Counted>(
    `SELECT (SELECT position FROM log.book_heads WHERE book_id = $1) AS position, e.*,
            (SELECT count(*) FROM log.receipts WHERE book_id = $1) AS receipts,
            (SELECT coalesce(sum((n ->> 1)::int8), 0)::int8 FROM log.heads h, jsonb_array_elements(h.state::jsonb -> 'last') n WHERE h.book_id = $1) AS numbered,
            t.*
       FROM (SELECT count(*) AS events, count(*) FILTER (WHERE event_type = 'JournalEntryPosted') AS entries,
                    count(*) FILTER (WHERE event_type IN ('AccountDebited', 'AccountCredited')) AS legs,
                    coalesce(sum(pg_column_size(data) + pg_column_size(metadata) + 32), 0)::int8 AS "rowBytes"
               FROM log.events WHERE book_id = $1 AND position > $2) AS e,
            (SELECT (coalesce(sum((t ->> 1)::numeric), 0) * 100)::int8 AS debit, (coalesce(sum((t ->> 2)::numeric), 0) * 100)::int8 AS credit
               FROM log.heads h, jsonb_array_elements(h.state::jsonb -> 'totals') t WHERE h.book_id = $1) AS t`,
    [bookId, after],
  );
  return rows[0] as Counted;
}

/**
 * Holds books against what callers were answered: every entry is there once, with its legs and its number, nothing else is.
 * @returns bytes of the rows that were written
 */
async function check(
  admin: Client,
  books: readonly string[],
  before: readonly Counted[],
  acknowledged: readonly Acknowledged[],
  lines: number,
): Promise<number> {
  const after = await Promise.all(books.map((bookId, index) => counted(admin, bookId, before[index]?.position ?? 0)));
  const gained = (member: keyof Counted): number =>
    after.reduce((sum, now, index) => sum + Number(now[member]) - Number(before[index]?.[member] ?? 0), 0);
  const found = (member: keyof Counted): number => after.reduce((sum, now) => sum + Number(now[member]), 0);
  const entries = acknowledged.reduce((sum, one) => sum + one.entries, 0);
  const minor = acknowledged.reduce((sum, one) => sum + one.minor, 0);
  const expected: readonly (readonly [string, number, number])[] = [
    ['entries', entries, found('entries')],
    ['legs', entries * lines, found('legs')],
    ['events', entries * (lines + 1), found('events')],
    ['positions', entries * (lines + 1), gained('position')],
    ['receipts', entries, gained('receipts')],
    ['numbers', entries, gained('numbered')],
    ['debits, minor units', minor, gained('debit')],
    ['credits, minor units', minor, gained('credit')],
  ];
  const wrong = expected.filter(([, should, is]) => should !== is).map(([what, should, is]) => `${what}: ${is} instead of ${should}`);
  if (wrong.length > 0) throw new Error(`the books do not hold what was acknowledged: ${wrong.join('; ')}`);
  return found('rowBytes');
}

/** Holds registers and running totals of books that are folded against their heads. */
async function checkProjections(admin: Client, books: readonly string[]): Promise<void> {
  for (const bookId of books) {
    const { rows } = await admin.query<{ entries: number; shown: number; debit: string; lines: string; totals: string }>(
      `SELECT (SELECT count(*) FROM log.events WHERE book_id = $1 AND event_type = 'JournalEntryPosted') AS entries,
              (SELECT count(*) FROM projections.entries WHERE book_id = $1) AS shown,
              (SELECT sum((t ->> 1)::numeric)::text FROM log.heads h, jsonb_array_elements(h.state::jsonb -> 'totals') t WHERE h.book_id = $1) AS debit,
              (SELECT sum(amount)::text FROM projections.account_lines WHERE book_id = $1 AND side = 'D') AS lines,
              (SELECT sum(debit)::text FROM (SELECT DISTINCT ON (account_id, currency, start) debit FROM projections.running_totals
                 WHERE book_id = $1 AND bucket = 'Y' ORDER BY account_id, currency, start, position DESC) AS newest) AS totals`,
      [bookId],
    );
    const { entries, shown, debit, lines, totals } = rows[0] ?? { entries: 0, shown: -1, debit: '', lines: '', totals: '' };
    if (entries !== shown || debit !== lines || debit !== totals)
      throw new Error(`projections of ${bookId}: ${shown} of ${entries} entries, debits ${lines} and ${totals} instead of ${debit}`);
  }
}
