/**
 * Readers and projectors while the log grows: two service processes write, appends are made and taken back under the head's
 * lock, sessions are ended in the middle, and the worker processes that fold are killed anywhere. No reader skips an event or
 * sees one twice, and no projection folds one twice or leaves one out.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { EventStore, type NewEvent, uuidV7 } from '#event-store';
import { catalogue } from '#ledger';
import { connect, isConnectionLost, openPool } from '#postgres';
import type { DurableServer } from '../support/database';
import { type FaultServer, faultServer } from '../support/fault-server';
import { LoadProcess, writers } from '../support/load-process';
import { runScript, type Script } from '../support/processes';
import { audit, chance, checkProjections, folded, openWorkload, report, rounds, seed, soak, Witness } from '../support/workload';

const kills = rounds(4, 100);
const bookIds = ['followed', 'followed-too'];

let its: FaultServer;
let server: DurableServer;
let environment: Readonly<Record<string, string>>;
const loads: LoadProcess[] = [];
beforeAll(async () => {
  its = await faultServer();
  ({ server, environment } = its);
});
afterAll(() => its?.end());

async function startWorker(): Promise<Script> {
  const worker = runScript('apps/worker/src/main.ts', [], environment);
  its.running.push({ kill: () => worker.process.kill('SIGKILL') });
  expect(await worker.nextLine()).toContain('folds projections');
  return worker;
}

/** Follows the log of a book as a subscriber does, a random number of events at a time, and notes what it saw. */
class Reader {
  readonly seen: string[] = [];
  private after = 0;

  constructor(
    private readonly store: EventStore,
    readonly bookId: string,
    private readonly random: (below: number) => number,
  ) {}

  async read(): Promise<number> {
    const events = await this.store.readAll(this.bookId, this.after, 1 + this.random(300));
    for (const { position, eventId } of events) this.seen.push(`${position} ${eventId}`);
    this.after = events.at(-1)?.position ?? this.after;
    return events.length;
  }
}

/** Appends an event under the head's lock, as a writer that lost several races does, and takes it back. */
async function appendAndRollBack(store: EventStore, client: Client, bookId: string): Promise<boolean> {
  await client.query('BEGIN');
  const head = await store.holdHead(client, bookId);
  const streamId = uuidV7();
  const event: NewEvent = { streamId, version: 1, eventType: 'AccountRenamed', eventId: uuidV7(), data: { name: 'never' }, metadata: '{}' };
  const outcome = await store.append(client, {
    ...{ bookId, head, newTail: '00000000-0000-4000-8000-000000000001', recordedAt: head.recordedAt + 1 },
    ...{ events: [event], streams: [{ streamId, expected: 'new' }] },
  });
  await client.query('ROLLBACK');
  return outcome.kind === 'appended';
}

test(
  `no event is skipped and none is seen or folded twice (SEED=${seed})`,
  async () => {
    const random = chance(seed);
    const witnesses = bookIds.map((bookId) => new Witness(bookId));
    await openWorkload(server.appUrl, bookIds);
    loads.push(
      ...(await Promise.all([
        LoadProcess.start(environment, witnesses, writers('x', 12)),
        LoadProcess.start(environment, [...witnesses].reverse(), writers('y', 12)),
      ])),
    );
    its.running.push(...loads);
    const pool = openPool(server.appUrl, { max: 6 });
    const store = new EventStore(pool, catalogue);
    const admin = await connect(server.adminUrl);
    let working = true;

    // Each on a connection of its own: the sessions of the pool may be the ones that are ended.
    const readers = bookIds.flatMap((bookId, index) => [0, 1].map((n) => new Reader(store, bookId, chance(seed + 2 * index + n))));
    const reading = readers.map(async (reader, index) => {
      while (working) {
        const found = await reader.read().catch((error) => {
          if (!isConnectionLost(error)) throw error;
          return 0;
        });
        // One that is always at the end of the log, and one that lags behind.
        if (found === 0 || index % 2 === 1) await sleep(found === 0 ? 2 : 20);
      }
    });
    let takenBack = 0;
    const rollingBack = (async () => {
      const own = new URL(server.appUrl);
      own.searchParams.set('application_name', 'rollback');
      const client = await connect(own.href);
      while (working) {
        if (await appendAndRollBack(store, client, bookIds[takenBack % bookIds.length] as string)) takenBack++;
        await sleep(5);
      }
      await client.end();
    })();
    const pair = await Promise.all([startWorker(), startWorker()]);
    for (const load of loads) load.go();

    let sessionsEnded = 0;
    for (let kill = 0; kill < kills; kill++) {
      await Promise.all(loads.map((load) => load.answers(20 + random(60))));
      await sleep(random(50));
      const victim = random(2);
      if (kill % 2 === 0) {
        const next = await startWorker();
        pair[victim]?.process.kill('SIGKILL');
        await pair[victim]?.ended;
        pair[victim] = next;
      } else {
        // In the middle of a fold or an append, where one is under way.
        const { rowCount } = await admin.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE usename = $1 AND state = 'active' AND application_name <> 'rollback' AND (query LIKE '%projections.%' OR query LIKE '%log.append%')
            ORDER BY query LIKE '%UPDATE projections.cursors%' DESC LIMIT 2`,
          [new URL(server.appUrl).username],
        );
        sessionsEnded += rowCount ?? 0;
      }
    }
    await Promise.all(loads.map((load) => load.answers(20)));
    for (const load of loads) await load.rest();
    working = false;
    await Promise.all([...reading, rollingBack]);
    for (const load of loads.splice(0)) await load.stop();

    for (const bookId of bookIds) await folded(admin, bookId);
    for (const worker of pair) {
      worker.process.kill('SIGTERM');
      expect(await worker.ended).toBe(0);
    }
    let events = 0;
    for (const reader of readers) {
      while ((await reader.read()) > 0);
      const { rows } = await admin.query<{ seen: string }>(
        `SELECT position || ' ' || event_id AS seen FROM log.events WHERE book_id = $1 ORDER BY position`,
        [reader.bookId],
      );
      expect(reader.seen).toEqual(rows.map(({ seen }) => seen));
      events += rows.length;
    }
    let acknowledged = 0;
    let rows = 0;
    for (const witness of witnesses) {
      const judged = await audit(admin, witness);
      const { lost, doubled, contradictions } = judged;
      expect({ lost, doubled, contradictions }).toEqual({ lost: [], doubled: [], contradictions: [] });
      rows += await checkProjections(admin, server.appUrl, witness.bookId);
      acknowledged += judged.acknowledged;
    }
    report('projector', {
      ...{ workersKilled: Math.ceil(kills / 2), sessionsEnded, takenBack, acknowledged, eventsRead: events, rows },
      ...{ skipped: 0, doubled: 0 },
    });
    expect(takenBack).toBeGreaterThan(10);
    await pool.end();
    await admin.end();
  },
  soak ? 3_600_000 : 120_000,
);
