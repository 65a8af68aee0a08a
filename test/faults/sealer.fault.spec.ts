/**
 * Sealers while the log grows: two service processes write, two workers seal and are killed anywhere, sessions are ended in the middle of a
 * seal. The tree is the one over the leaves of the log, each tile is there once, every head that was signed is a beginning of every later
 * one (I11), and no size was signed twice with two roots.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkpointText, EventStore, parseCheckpoint, parseNote, signedBy, TreeEdge, TreeStore } from '#event-store';
import { catalogue, Proofs, Queries, readConfig, Sealer, verifyBooks } from '#ledger';
import { connect, openPool } from '#postgres';
import { parseKeyOf } from '../support/checkpoints';
import type { DurableServer } from '../support/database';
import { type FaultServer, faultServer } from '../support/fault-server';
import { LoadProcess, writers } from '../support/load-process';
import { runScript, type Script } from '../support/processes';
import { chance, openWorkload, report, rounds, seed, soak, Witness } from '../support/workload';

const kills = rounds(6, 120);
const bookIds = ['sealed', 'sealed-too'];

let its: FaultServer;
let server: DurableServer;
let environment: Readonly<Record<string, string>>;
let directory: string;
const loads: LoadProcess[] = [];
beforeAll(async () => {
  its = await faultServer({ SEAL: 'off' });
  ({ server, environment, directory } = its);
});
afterAll(() => its?.end());

async function startWorker(): Promise<Script> {
  const worker = runScript('apps/worker/src/main.ts', [], {
    ...environment,
    SEAL: 'inline',
    CHECKPOINT_MS: '10',
    CHECKPOINT_PUBLISH_MS: '20',
  });
  its.running.push({ kill: () => worker.process.kill('SIGKILL') });
  await worker.nextLine();
  return worker;
}

test(
  `sealers that are killed anywhere leave one tree and one line of signed heads (SEED=${seed})`,
  async () => {
    const random = chance(seed);
    await openWorkload(server.appUrl, bookIds);
    const witnesses = bookIds.map((bookId) => new Witness(bookId));
    loads.push(
      ...(await Promise.all([
        LoadProcess.start(environment, witnesses, writers('x', 12)),
        LoadProcess.start(environment, [...witnesses].reverse(), writers('y', 12)),
      ])),
    );
    its.running.push(...loads);
    const pool = openPool(server.appUrl, { max: 4 });
    const admin = await connect(server.adminUrl);
    const pair = await Promise.all([startWorker(), startWorker()]);
    for (const load of loads) load.go();

    let sessionsEnded = 0;
    for (let kill = 0; kill < kills; kill++) {
      await Promise.all(loads.map((load) => load.answers(20 + random(80))));
      await sleep(random(60));
      if (kill % 2 === 0) {
        const victim = random(2);
        pair[victim]?.process.kill('SIGKILL');
        await pair[victim]?.ended;
        pair[victim] = await startWorker();
      } else {
        const { rowCount } = await admin.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE usename = $1 AND state = 'active' AND (query LIKE '%log.seal%' OR query LIKE '%log.record_signature%' OR query LIKE '%leaf_hash%')`,
          [new URL(server.appUrl).username],
        );
        sessionsEnded += rowCount ?? 0;
      }
    }
    await Promise.all(loads.map((load) => load.answers(20)));
    for (const load of loads) await load.rest();
    for (const load of loads.splice(0)) await load.stop();
    for (const worker of pair) {
      worker.process.kill('SIGTERM');
      expect(await worker.ended).toBe(0);
    }

    const store = new EventStore(pool, catalogue);
    const trees = new TreeStore(pool);
    const sealer = new Sealer(store, pool, { config: readConfig({ ...environment }) });
    const keys = await new Proofs(store, trees, new Queries(store, pool, { readWaitMs: 0 })).keys();
    const key = parseKeyOf(keys);
    let heads = 0;
    let events = 0;
    for (const bookId of bookIds) {
      await sealer.seal(bookId);
      const { rows } = await admin.query<{ leaf_hash: Buffer }>('SELECT leaf_hash FROM log.events WHERE book_id = $1 ORDER BY position', [
        bookId,
      ]);
      const roots = new Map<number, string>();
      const tiles: string[] = [];
      const edge = new TreeEdge();
      for (const { leaf_hash } of rows) {
        edge.add(leaf_hash, ({ level, index, root }) => tiles.push(`${level}/${index} ${root.toString('hex')}`));
        roots.set(edge.size, edge.root().toString('base64'));
      }
      const stored = await admin.query<{ tile: string }>(
        `SELECT level || '/' || tile || ' ' || encode(root, 'hex') AS tile FROM log.tiles WHERE book_id = $1`,
        [bookId],
      );
      expect(stored.rows.map(({ tile }) => tile).sort()).toEqual(tiles.sort());
      const checkpoints = await trees.checkpoints(bookId, 0, rows.length, 100_000);
      for (const checkpoint of checkpoints) {
        expect([checkpoint.size, checkpoint.root.toString('base64')]).toEqual([checkpoint.size, roots.get(checkpoint.size)]);
        // One that was recorded and overtaken before it was signed stays without a signature.
        if (checkpoint.signatures.length > 0)
          expect(signedBy({ text: checkpointText(checkpoint), signatures: checkpoint.signatures }, key)).toBe(true);
      }
      expect(checkpoints.at(-1)).toMatchObject({ size: rows.length, signatures: [expect.anything()] });
      for (const handedOut of notesIn(join(directory, 'checkpoints'), `/${bookId}/`)) {
        const said = parseCheckpoint(parseNote(handedOut)?.text ?? '');
        expect([said?.size, said?.root.toString('base64')]).toEqual([said?.size, roots.get(said?.size as number)]);
      }
      heads += checkpoints.length;
      events += rows.length;
    }
    const verification = await verifyBooks(pool, { books: bookIds });
    expect(
      [...verification.installation, ...verification.books.flatMap(({ findings }) => findings)].filter(
        ({ check }) => check === 'tree' || check === 'checkpoint',
      ),
    ).toEqual([]);
    report('sealer', { workersKilled: Math.ceil(kills / 2), sessionsEnded, events, heads, doubled: 0, contradicting: 0 });
    expect(heads).toBeGreaterThan(10);
    await pool.end();
    await admin.end();
  },
  soak ? 3_600_000 : 120_000,
);

/** Every note that was handed out. */
function notesIn(folder: string, of: string): string[] {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.includes(of) && name.endsWith('.checkpoints'),
  );
  // Each is followed by an empty line, and has one within.
  return files.flatMap((name) => readFileSync(join(folder, name), 'utf8').match(/.+\n\d+\n.+\n\n(?:— .+\n)+/g) ?? []);
}
