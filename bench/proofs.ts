/**
 * What an auditor costs: sealing a log, hashing it again, proofs, exports and audit packs, each in a process of its own (role `meter`), over a
 * sequential read of the same events by the same connection. The history is written through the ledger's own doors and folded by the real
 * projector; what is sealed is verified before anything is measured, and every export runs its checks to its end.
 */
import { exportFormats } from '#ledger';
import { type BenchMeter, startMeter } from './rates';
import type { BenchServer } from './server';
import { booksDatabase, type Figures } from './write-path';
import { Writer } from './writer';

const bookId = 'bench-1';
/** Those that any book can be written in. */
const formats = exportFormats.filter((name) => !['saf-t-no', 'fec'].includes(name));

/** @param entries of two lines to post: three events each */
export async function runProofs(server: BenchServer, entries: number): Promise<[string, Figures][]> {
  const database = await booksDatabase(server);
  try {
    const writer = new Writer({ url: database.url });
    await writer.start({ books: [bookId], accounts: 10_000, pick: 'uniform', lines: 2, callers: 1_024, entries, tag: 'proofs' });
    await writer.stop('all');
    await writer.close();
    await database.admin.query('VACUUM ANALYZE');
    const found: [string, Figures][] = [];
    const meter = async (name: string, measure: (its: BenchMeter) => Promise<Figures>): Promise<Figures> => {
      const started = await startMeter(server, database);
      try {
        const figures = await measure(started.its);
        found.push([name, figures]);
        return figures;
      } finally {
        await started.end();
      }
    };
    await meter('fold-for-proofs', (its) => its.fold(3 * entries));
    const { eventsPerSecond: read = Number.NaN } = await meter('read', (its) => its.read());
    await meter('seal', (its) => its.seal());
    await meter('verify-hashes', (its) => its.hashes());
    await meter('proof', (its) => its.proofs(300));
    for (const format of formats) await meter(`export-${format}`, (its) => its.export(format));
    await meter('audit-pack', (its) => its.pack());
    // Over the read of the same run.
    for (const [, figures] of found) {
      const { eventsPerSecond } = figures;
      if (eventsPerSecond !== undefined) Object.assign(figures, { ofRead: eventsPerSecond / read });
    }
    return found;
  } finally {
    await database.drop();
  }
}
