/**
 * What cold storage costs: moving a log to Parquet files, and reading it there, over a sequential read of the same events in the table by the
 * same connection; each step in a process of its own (role `meter`). Files are in a directory; each is read back and checked on its way, and
 * what came of it is verified.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { type BenchMeter, startMeter } from './rates';
import type { BenchServer } from './server';
import { booksDatabase, type Figures } from './write-path';
import { Writer } from './writer';

const bookId = 'bench-1';

/** @param entries of two lines to post: three events each */
export async function runColdStorage(server: BenchServer, entries: number): Promise<[string, Figures][]> {
  const database = await booksDatabase(server);
  const { admin } = database;
  const login = `bench_mover_${randomBytes(6).toString('hex')}`;
  const password = randomBytes(16).toString('hex');
  await admin.query(`CREATE ROLE ${login} LOGIN PASSWORD '${password}' IN ROLE book_keeper_archiver`);
  try {
    const writer = new Writer({ url: database.url });
    await writer.start({ books: [bookId], accounts: 10_000, pick: 'uniform', lines: 2, callers: 1_024, entries, tag: 'cold' });
    await writer.stop('all');
    await writer.close();
    const settings = {
      ARCHIVE_URL: mkdtempSync(join(server.directory, 'archive-')),
      ARCHIVER_DATABASE_URL: Object.assign(new URL(database.url), { username: login, password }).href,
    };
    const found: [string, Figures][] = [];
    const meter = async (name: string, measure: (its: BenchMeter) => Promise<Figures>): Promise<Figures> => {
      const started = await startMeter(server, database, settings);
      try {
        const figures = await measure(started.its);
        found.push([name, figures]);
        return figures;
      } finally {
        await started.end();
      }
    };
    await meter('fold-for-cold', (its) => its.closeAndFold(3 * entries));
    await meter('seal-for-cold', (its) => its.seal());
    await admin.query('VACUUM ANALYZE');
    const sizeOf = async (table: string): Promise<number> => {
      const { rows } = await admin.query<{ size: string }>(`SELECT pg_total_relation_size('${table}') AS size`);
      return Number(rows[0]?.size);
    };
    const hotBytes = await sizeOf('log.events');
    const { eventsPerSecond: read = Number.NaN } = await meter('read-hot', (its) => its.read());
    await meter('entries-hot', (its) => its.entriesRead(300));
    const moved = await meter('archive', (its) => its.archive());
    Object.assign(moved, {
      tableBytesPerEvent: hotBytes / (moved.events ?? 0),
      indexBytesPerEvent: (await sizeOf('log.archived_streams')) / (moved.events ?? 0),
    });
    await meter('read-cold', (its) => its.read());
    await meter('entries-cold', (its) => its.entriesRead(300));
    await meter('verify-hashes-cold', (its) => its.hashes());
    await meter('rebuild-cold', (its) => its.rebuild());
    // Over the read of the same run.
    for (const [, figures] of found) {
      const { eventsPerSecond } = figures;
      if (eventsPerSecond !== undefined) Object.assign(figures, { ofRead: eventsPerSecond / read });
    }
    return found.filter(([name]) => !name.endsWith('-for-cold'));
  } finally {
    await admin.query(`DROP ROLE ${login}`);
    await database.drop();
  }
}
