/**
 * The replay hole (SCALE.md section 4): a commit that waits for its standby is on the primary's own disk already. When the
 * primary dies and comes back before the standby has it, a repeat of the key finds the receipt; answered from that alone, a
 * caller would be told "done" of something that the next failover loses. Therefore a remembered answer is given only after a
 * commit of its own (`log.touch_receipt`), which waits for the standby as every commit does.
 *
 * On a real synchronous standby on loopback. Where none can run, rule 10 in write-path.int.spec.ts tests the mechanism.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { type Answer, ledgerErrorOf } from '#ledger';
import { connect } from '#postgres';
import { type DurableServer, durableServer } from '../support/database';
import { openBookWith, run, startLedger, type TestLedger, transfer } from '../support/ledgers';
import { LoadProcess, writers } from '../support/load-process';
import { type Standby, standbyRuns, synchronousStandby } from '../support/standby';
import { audit, chance, checkProjections, folded, openWorkload, report, rounds, seed, Witness } from '../support/workload';

const onStandby = standbyRuns ? describe : describe.skip;

onStandby('a synchronous standby [needs: Linux, for /proc]', () => {
  let primary: DurableServer;
  let standby: Standby;
  let ledgers: TestLedger[];
  beforeEach(async () => {
    ledgers = [];
    primary = await durableServer({ max_connections: 60 });
    standby = await synchronousStandby(primary);
  });
  afterEach(async () => {
    await standby?.rejoin().catch(() => {}); // sessions that wait for it could not be closed
    await Promise.all(ledgers.map(({ close }) => close()));
    await standby?.destroy();
    await primary?.destroy();
  });

  const start = (url = primary.appUrl): TestLedger => {
    const ledger = startLedger(url);
    ledgers.push(ledger);
    return ledger;
  };

  async function on<T>(url: string, work: (admin: Client) => Promise<T>): Promise<T> {
    const admin = await connect(url, { primary: false });
    try {
      return await work(admin);
    } finally {
      await admin.end();
    }
  }

  const has = (url: string, key: string): Promise<boolean> =>
    on(url, async (admin) => (await admin.query("SELECT FROM log.receipts WHERE book_id = 'hole' AND key = $1", [key])).rows.length === 1);

  /** Sessions that wait for the standby to confirm their commit, or for one that does. */
  async function waiting(statement: string, count: number): Promise<number[]> {
    return on(primary.adminUrl, async (admin) => {
      for (let tries = 0; tries < 2_000; tries++) {
        const { rows } = await admin.query<{ pid: number }>(
          "SELECT pid FROM pg_stat_activity WHERE (wait_event = 'SyncRep' OR wait_event_type = 'Lock') AND query LIKE '%' || $1 || '%'",
          [statement],
        );
        if (rows.length >= count) return rows.map(({ pid }) => pid);
        await sleep(5);
      }
      throw new Error(`no ${count} sessions with ${statement} wait for the standby`);
    });
  }

  /** A caller who repeats until there is an answer. */
  function persistent(ledger: TestLedger, key: string): { answer: Promise<Answer>; answered: () => boolean } {
    let known = false;
    const ask = async (): Promise<Answer> => {
      for (;;) {
        try {
          const answer = await run(ledger.ledger, 'hole', transfer('cash', 'bank', '1.00'), key);
          known = true;
          return answer;
        } catch (error) {
          if (ledgerErrorOf(error).kind !== 'unavailable') throw error;
          await sleep(20);
        }
      }
    };
    return { answer: ask(), answered: () => known };
  }

  /** Sends a command whose commit the standby does not confirm, and makes it visible by ending the session that waits. */
  async function hangingCommit(ledger: TestLedger, key: string): Promise<ReturnType<typeof persistent>> {
    standby.cutOff();
    const sent = persistent(ledger, key);
    const [pid] = await waiting('log.append', 1);
    expect(await has(primary.adminUrl, key)).toBe(false);
    await on(primary.adminUrl, (admin) => admin.query('SELECT pg_terminate_backend($1)', [pid]));
    while (!(await has(primary.adminUrl, key))) await sleep(5);
    return sent;
  }

  test('what it has not confirmed is told to nobody: not to who sent it, not to who repeats it, not after a restart of the primary', async () => {
    const [a, b] = [start(), start()];
    await openBookWith(a.ledger, 'hole', ['bank', 'cash']);
    const first = await persistent(a, 'confirmed').answer;
    expect(await has(standby.adminUrl, 'confirmed')).toBe(true);

    const sent = await hangingCommit(a, 'hanging');
    const repeated = persistent(b, 'hanging');
    // Both have found the receipt, and wait for the commit of their touch.
    await waiting('touch_receipt', 2);
    process.kill(primary.server.pid, 'SIGKILL');
    await primary.restart();
    const c = start();
    const afterRestart = persistent(c, 'hanging');
    await waiting('touch_receipt', 1);
    expect(await has(primary.adminUrl, 'hanging')).toBe(true);
    expect(await has(standby.adminUrl, 'hanging')).toBe(false);
    expect([sent, repeated, afterRestart].map(({ answered }) => answered())).toEqual([false, false, false]);

    await standby.rejoin();
    const answers = await Promise.all([sent.answer, repeated.answer, afterRestart.answer]);
    expect(await has(standby.adminUrl, 'hanging')).toBe(true);
    const [one] = answers;
    for (const answer of answers) expect(answer).toEqual({ ...one, replayed: answer.replayed });

    // The primary is lost for good: what was acknowledged is on the other one.
    process.kill(primary.server.pid, 'SIGKILL');
    await standby.promote();
    const d = start(standby.appUrl);
    expect(await persistent(d, 'confirmed').answer).toEqual({ ...first, replayed: true });
    expect(await persistent(d, 'hanging').answer).toEqual({ ...one, replayed: true });
  }, 60_000);

  test('without the touch the hole is there: this suite can tell', async () => {
    const [a, b] = [start(), start()];
    await openBookWith(a.ledger, 'hole', ['bank', 'cash']);
    await on(primary.adminUrl, (admin) =>
      admin.query(
        "CREATE OR REPLACE FUNCTION log.touch_receipt(p_book text, p_key text, p_item integer) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
      ),
    );
    await hangingCommit(a, 'hanging');
    const { status } = await persistent(b, 'hanging').answer;
    expect(status).toBe(201);
    expect(await has(standby.adminUrl, 'hanging')).toBe(false);
  }, 60_000);

  test.each(Array.from({ length: rounds(1, 20) }, (_, round) => round))(
    `the primary is killed under load and the standby promoted: what was acknowledged is there, and the service goes on by itself (SEED=${seed}, round %i)`,
    async (round) => {
      const witness = new Witness('failover');
      const directory = mkdtempSync(join(tmpdir(), 'book-keeper-faults-'));
      await openWorkload(primary.appUrl, ['failover']);
      const both = primary.appUrl.replace(/@([^/]+)\//, `@$1,127.0.0.1:${new URL(standby.appUrl).port}/`);
      const environment = {
        ...{ DATABASE_URL: both, DATA_DIR: directory, BOOTSTRAP_API_KEY: 'bk_specs_only_0123456789abcdef' },
        ...{ LOG_LEVEL: 'silent', COMMAND_DEADLINE_MS: '3000' },
      };
      const load = await LoadProcess.start(environment, [witness], writers('f', 16));
      try {
        load.go();
        const random = chance(seed + round);
        await load.answers(100 + random(200));
        await sleep(random(25));
        process.kill(primary.server.pid, 'SIGKILL');
        const before = witness.answers.size;
        await standby.promote();
        await load.answers(100);
        await load.rest();
        await on(standby.adminUrl, (admin) => folded(admin, 'failover'));
        const told = load.repetitions;
        await load.stop();
        const { acknowledged, refused, events, lost, doubled, contradictions } = await on(standby.adminUrl, (admin) =>
          audit(admin, witness),
        );
        await on(standby.adminUrl, (admin) => checkProjections(admin, standby.appUrl, 'failover'));
        report('replay-hole', {
          ...{ fault: 'failover', round, before, acknowledged, refused, replayed: witness.replayed, told, events },
          ...{ lost: lost.length, doubled: doubled.length },
        });
        expect({ lost, doubled, contradictions }).toEqual({ lost: [], doubled: [], contradictions: [] });
      } finally {
        await load.kill();
        rmSync(directory, { recursive: true, force: true });
      }
    },
    120_000,
  );
});
