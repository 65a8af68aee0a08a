/**
 * Rebuilds that are killed: `book-keeper projections rebuild` is killed anywhere (while it folds, compares, or exchanges) and its
 * sessions are ended, while services write, fold and are asked. The next rebuild goes on where the last one was; afterwards every row is
 * there once, nothing was ever answered from a set that is half made, and all sets and their names are in order.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EventStore } from '#event-store';
import { catalogue, projectionSets, projections, Queries } from '#ledger';
import { connect, isTransient, openPool } from '#postgres';
import { startCommand } from '../support/cli';
import type { DurableServer } from '../support/database';
import { type FaultServer, faultServer } from '../support/fault-server';
import { LoadProcess, writers } from '../support/load-process';
import { runScript } from '../support/processes';
import { audit, chance, checkProjections, folded, openWorkload, report, rounds, seed, soak, Witness } from '../support/workload';

const kills = rounds(8, 120);
const bookIds = ['rebuilt', 'rebuilt-too'];

let its: FaultServer;
let server: DurableServer;
let environment: Readonly<Record<string, string>>;
beforeAll(async () => {
  its = await faultServer();
  ({ server, environment } = its);
});
afterAll(() => its?.end());

test(
  `a rebuild that is killed anywhere loses nothing, doubles nothing and goes on (SEED=${seed})`,
  async () => {
    const random = chance(seed);
    const witnesses = bookIds.map((bookId) => new Witness(bookId));
    await openWorkload(server.appUrl, bookIds);
    const load = await LoadProcess.start(environment, witnesses, writers('r', 12));
    const worker = runScript('apps/worker/src/main.ts', [], environment);
    its.running.push(load, { kill: () => worker.process.kill('SIGKILL') });
    await worker.nextLine();
    const admin = await connect(server.adminUrl);
    const pool = openPool(server.appUrl, { max: 4 });
    load.go();
    await load.answers(600);

    let asking = true;
    let asked = 0;
    const queries = new Queries(new EventStore(pool, catalogue), pool, { readWaitMs: 60_000 });
    const questions = (async () => {
      while (asking) {
        try {
          const { position, balances } = await queries.balances(bookIds[asked % 2] as string, { limit: 1_000 });
          const sum = (side: 'debit' | 'credit'): bigint => balances.reduce((total, row) => total + BigInt(row[side].replace('.', '')), 0n);
          // I8: a set that is half folded would not balance, nor would one that is read with another's cursor.
          if (sum('debit') !== sum('credit')) throw new Error(`I8 does not hold at position ${position}`);
          asked++;
        } catch (error) {
          if (!isTransient(error)) throw error;
        }
      }
    })();

    const ended = { killed: 0, sessions: 0, exchanged: 0, resumed: 0 };
    const names = projections.map(({ name }) => name);
    /** A set of the projection is being folded by a command. */
    const workOf = async (name: string): Promise<void> => {
      for (;;) {
        const { rows: active } = await admin.query(
          `SELECT FROM pg_stat_activity, projections.builds b WHERE b.projection = $1 AND b.state = 'building' AND strpos(query, '__' || b.build) > 0`,
          [name],
        );
        if (active.length > 0) return;
        await sleep(3);
      }
    };
    for (let kill = 0; kill < kills; kill++) {
      const name = names[kill % 2] as string;
      const command = startCommand(['projections', 'rebuild', name], environment);
      // The process needs a second or two to start; what is killed is the work.
      await Promise.race([command.ended, workOf(name)]);
      await sleep(random(kill % 4 < 2 ? 120 : 600));
      if (kill % 2 === 0) command.process.kill('SIGKILL');
      else {
        const { rowCount } = await admin.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE usename = $1 AND (query LIKE '%projections.%\\_\\_%' OR query LIKE 'ALTER TABLE projections.%' OR query LIKE 'UPDATE projections.%')`,
          [new URL(server.appUrl).username],
        );
        ended.sessions += rowCount ?? 0;
      }
      const { code, stdout } = await command.ended;
      if (code === 0) ended.exchanged++;
      else if (code === 'SIGKILL') ended.killed++;
      if (stdout.includes('which was begun before')) ended.resumed++;
      const sets = await projectionSets(pool);
      // Whatever happened, one set of each projection is live, and its tables answer to the plain names.
      expect(sets.filter(({ state }) => state === 'live').map(({ projection }) => projection)).toEqual([...names].sort());
    }
    for (const name of names.slice(0, 2)) {
      const { code, stdout, stderr } = await startCommand(['projections', 'rebuild', name], environment).ended;
      expect({ name, code, stderr }).toEqual({ name, code: 0, stderr: expect.not.stringContaining('rror') });
      if (stdout.includes('which was begun before')) ended.resumed++;
      ended.exchanged++;
    }
    await load.answers(20);
    await load.rest();
    asking = false;
    await questions;
    await load.stop();
    for (const bookId of bookIds) await folded(admin, bookId);
    worker.process.kill('SIGTERM');
    expect(await worker.ended).toBe(0);

    let rows = 0;
    for (const witness of witnesses) {
      const { lost, doubled, contradictions } = await audit(admin, witness);
      expect({ lost, doubled, contradictions }).toEqual({ lost: [], doubled: [], contradictions: [] });
      rows += await checkProjections(admin, server.appUrl, witness.bookId);
    }
    for (const { build, state } of await projectionSets(pool)) {
      if (state === 'live') continue;
      const { code } = await startCommand(['projections', 'drop', String(build)], environment).ended;
      expect(code).toBe(0);
    }
    const { rows: left } = await admin.query<{ name: string }>(
      `SELECT relname AS name FROM pg_class WHERE relnamespace = 'projections'::regnamespace AND relkind IN ('r', 'i') AND relname ~ '__[0-9]'
       UNION ALL SELECT projection FROM projections.cursors WHERE projection LIKE '%~%'`,
    );
    expect(left).toEqual([]);
    report('rebuild', { ...ended, asked, rows });
    expect(ended.exchanged).toBeGreaterThanOrEqual(2);
    expect(asked).toBeGreaterThan(5);
    await pool.end();
    await admin.end();
  },
  soak ? 3_600_000 : 240_000,
);
