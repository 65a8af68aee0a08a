/**
 * The bench: floors and the write path, interleaved in one run against one server, medians over the rounds. Without
 * BENCH_DATABASE_URL (a superuser of a throw-away PostgreSQL) it starts an embedded server of its own in a temporary
 * directory, durable as in production. Prints a table and writes JSON to bench/results.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventStore } from '#event-store';
import { catalogue, Ledger } from '#ledger';
import { connect, migrate, openPool, startEmbeddedPostgres } from '#postgres';
import { commitFloor, copyBlocks, copyFloor, median } from './floors';
import { accountsUniform, type Case, type Figures, prepareBook, runCase } from './write-path';

const quick = process.argv.includes('quick');
const rounds = Number(process.env.BENCH_ROUNDS ?? (quick ? 1 : 3));
const seconds = Number(process.env.BENCH_SECONDS ?? (quick ? 2 : 4));
const serverSettings = { shared_buffers: '512MB', max_wal_size: '4GB', checkpoint_timeout: '30min' };

async function main(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'book-keeper-bench-'));
  const own =
    process.env.BENCH_DATABASE_URL === undefined
      ? await startEmbeddedPostgres({ dir: directory, durable: true, settings: serverSettings })
      : undefined;
  const url = process.env.BENCH_DATABASE_URL ?? own?.url ?? '';
  try {
    await measure(url);
  } finally {
    await own?.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function measure(url: string): Promise<void> {
  await migrate(url);
  const admin = await connect(url);
  const pool = openPool(url, { max: 4 });
  const store = new EventStore(pool, catalogue);
  const config = { STATE_CACHE_MB: 256, WRITER_CONNECTIONS: 4, QUEUE_PER_BOOK: 10_000, QUEUE_TOTAL: 50_000, COMMAND_DEADLINE_MS: 30_000 };
  const ledger = new Ledger(store, { connect: () => connect(url, { pipeline: true }), config, release: 'bench' });
  const { rows } = await admin.query<{ version: string }>('SELECT version()');
  // `npm run bench -- quick uniform-1024` runs one case, for profiling.
  const only = process.argv.slice(2).filter((word) => word.includes('-'));
  const all: Case[] = [1, 64, 1_024].flatMap((callers) =>
    (['uniform', 'hot'] as const).map((workload) => ({ workload, callers, seconds })),
  );
  const cases = all.filter(({ workload, callers }) => only.length === 0 || only.includes(`${workload}-${callers}`));
  const results: Figures[] = [];
  const copyRates = new Map<string, number[]>([
    ['uniform', []],
    ['hot', []],
  ]);
  const commits: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    commits.push(await commitFloor(admin));
    for (const wanted of cases) {
      const bookId = `${wanted.workload}-${wanted.callers}-${round}`;
      await prepareBook(ledger, bookId, accountsUniform);
      await admin.query('VACUUM ANALYZE log.heads');
      await admin.query('CHECKPOINT');
      const figures = await runCase(ledger, admin, bookId, wanted);
      results.push(figures);
      console.error(`round ${round}: ${wanted.workload}, ${wanted.callers} callers: ${figures.entriesPerSecond.toFixed(0)} entries/s`);
      if (wanted.callers === 1_024) {
        const limit = Math.min(figures.events, 150_000);
        const blocks = await copyBlocks(admin, bookId, 1_000, limit);
        copyRates.get(wanted.workload)?.push(await copyFloor(admin, blocks, limit));
      }
    }
  }
  await ledger.close();
  await pool.end();
  await admin.end();
  report(rows[0]?.version ?? '', cases, results, copyRates, median(commits));
}

function report(
  server: string,
  cases: readonly Case[],
  results: readonly Figures[],
  copyRates: ReadonlyMap<string, number[]>,
  commitMs: number,
): void {
  const table = cases.map(({ workload, callers }) => {
    const of = (member: keyof Figures): number =>
      median(
        results.filter((figures) => figures.workload === workload && figures.callers === callers).map((figures) => Number(figures[member])),
      );
    const floor = median(copyRates.get(workload) ?? []);
    return {
      workload,
      callers,
      'entries/s': Math.round(of('entriesPerSecond')),
      'events/s': Math.round(of('eventsPerSecond')),
      'COPY floor events/s': Math.round(floor),
      'of the floor': Number((of('eventsPerSecond') / floor).toFixed(2)),
      'p50 ms': Number(of('p50').toFixed(2)),
      'p99 ms': Number(of('p99').toFixed(2)),
      'p50 / commit': Number((of('p50') / commitMs).toFixed(1)),
      'Node µs/entry': Number(of('nodeMicros').toFixed(1)),
      'PG µs/entry': Number(of('serverMicros').toFixed(1)),
      'WAL B/entry': Math.round(of('walBytesPerEntry')),
    };
  });
  console.log(
    `${server}\n${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}, ${rounds} rounds of ${seconds} s; one row committed: ${commitMs.toFixed(2)} ms`,
  );
  console.table(table);
  mkdirSync('bench/results', { recursive: true });
  const file = `bench/results/${new Date().toISOString().replaceAll(':', '-').slice(0, 19)}.json`;
  writeFileSync(
    file,
    `${JSON.stringify({ server, node: process.version, cpus: cpus().length, model: cpus()[0]?.model, rounds, seconds, commitMs, table }, null, 2)}\n`,
  );
  console.log(file);
}

void main();
