/**
 * Clocks that are wrong and clocks that are turned, under load: recordedAt grows with position, no writer is blocked, and what
 * was known at an instant never changes once it was answered. The database's clock is right; those of two service processes
 * are an hour apart and step an hour forward and back while they write one book.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EventStore } from '#event-store';
import { catalogue, Projector, Queries } from '#ledger';
import { connect, openPool } from '#postgres';
import { type DurableServer, durableServer } from '../support/database';
import { run, startLedger, testConfig, transfer } from '../support/ledgers';
import { LoadProcess, writers } from '../support/load-process';
import { audit, chance, checkProjections, folded, openWorkload, report, rounds, seed, soak, Witness } from '../support/workload';

const hour = 3_600_000;
const bookId = 'clocks';
const accounts = ['bank', 'cash:0', 'cash:1'];

let server: DurableServer;
let directory: string;
const running: LoadProcess[] = [];
beforeAll(async () => {
  server = await durableServer({ max_connections: 60 });
  directory = mkdtempSync(join(tmpdir(), 'book-keeper-faults-'));
});
afterAll(async () => {
  for (const load of running) await load.kill();
  await server?.destroy();
  rmSync(directory, { recursive: true, force: true });
});

test(
  `steps of an hour, two processes an hour apart: recordedAt grows, nobody is blocked, known-at answers stay (SEED=${seed})`,
  async () => {
    const random = chance(seed);
    const witness = new Witness(bookId);
    await openWorkload(server.appUrl, [bookId]);
    const environment = {
      ...{ DATABASE_URL: server.appUrl, DATA_DIR: directory, BOOTSTRAP_API_KEY: 'bk_specs_only_0123456789abcdef' },
      ...{ LOG_LEVEL: 'silent', COMMAND_DEADLINE_MS: '30000' },
    };
    const start = async (name: string, clock: number): Promise<LoadProcess> => {
      const load = await LoadProcess.start(environment, [witness], writers(name, 8), clock);
      running.push(load);
      load.go();
      return load;
    };
    const loads = await Promise.all([start('behind', -hour), start('ahead', hour)]);
    const admin = await connect(server.adminUrl);
    const pool = openPool(server.appUrl, { max: 4 });
    const queries = new Queries(new EventStore(pool, catalogue), pool, { readWaitMs: 30_000 });

    /** Every answer that was given, by its question. */
    const given = new Map<string, string>();
    let asked = 0;
    const ask = async (knownAt: string): Promise<void> => {
      for (const account of accounts) {
        const question = `${account} ${knownAt}`;
        const answer = await queries.balance(bookId, account, { knownAt }).then(JSON.stringify, ({ code, message }) => {
          // Known long enough ago, the account was not there yet, which may not change either.
          expect(code).toBe('account_unknown');
          return message;
        });
        asked++;
        expect({ question, answer }).toEqual({ question, answer: given.get(question) ?? answer });
        given.set(question, answer);
      }
    };
    const instants = async (): Promise<{ now: string; last: string; some: string; later: string }> => {
      const { rows } = await admin.query(
        `SELECT clock_timestamp() AS now, clock_timestamp() + interval '30 minutes' AS later, max(recorded_at) AS last,
                (array_agg(recorded_at))[1 + (random() * (count(*) - 1))::int] AS some FROM log.batches WHERE book_id = $1`,
        [bookId],
      );
      return rows[0];
    };

    const steps = rounds(6, 300);
    try {
      for (let step = 0; step < steps; step++) {
        // Nobody is kept from writing by his own clock nor by the other's.
        await Promise.all(loads.map((load) => load.answers(25)));
        const { now, last, some, later } = await instants();
        for (const knownAt of [now, last, some]) await ask(knownAt);
        // What has not come yet has no answer that could change, however late the process believes it is.
        await expect(queries.balance(bookId, 'bank', { knownAt: later })).rejects.toMatchObject({ kind: 'invalid' });
        const { rows } = await admin.query<{ ahead: boolean }>(
          "SELECT max(recorded_at) > clock_timestamp() + interval '2 seconds' AS ahead FROM log.batches WHERE book_id = $1",
          [bookId],
        );
        expect(rows[0]?.ahead).toBe(false);
        const turned = loads[random(2)] as LoadProcess;
        turned.turnClock((random(5) - 2) * hour);
        const asks = [...given.keys()];
        await ask((asks[random(asks.length)] as string).split(' ')[1] as string);
      }
      await Promise.all(loads.map((load) => load.answers(25)));
      await Promise.all(loads.map((load) => load.rest()));
      await folded(admin, bookId);
      for (const question of [...given.keys()]) await ask(question.split(' ')[1] as string);
      const told = loads.reduce((sum, { repetitions }) => sum + repetitions, 0);
      await Promise.all(loads.map((load) => load.stop()));
      const { acknowledged, refused, events, lost, doubled, contradictions } = await audit(admin, witness);
      await checkProjections(admin, server.appUrl, bookId);
      for (const question of [...given.keys()]) await ask(question.split(' ')[1] as string);
      report('clocks', {
        steps,
        acknowledged,
        refused,
        told,
        events,
        knownAtAnswers: given.size,
        asked,
        lost: lost.length,
        doubled: doubled.length,
      });
      expect({ lost, doubled, contradictions }).toEqual({ lost: [], doubled: [], contradictions: [] });
      expect(told).toBe(0);
    } finally {
      await pool.end();
      await admin.end();
    }
  },
  soak ? 3_600_000 : 120_000,
);

test('a projection that stands before a bad event is tried again also when the clock was turned back meanwhile', async () => {
  const book = 'turned-back';
  await openWorkload(server.appUrl, [book]);
  const { ledger, close } = startLedger(server.appUrl);
  await run(ledger, book, transfer('cash:0', 'bank', '1.00'));
  await close();
  const admin = await connect(server.adminUrl);
  const pool = openPool(server.appUrl, { max: 4 });
  const projector = new Projector(new EventStore(pool, catalogue), pool, { sweepMs: 10, retryMs: 50 });
  const setVersion = async (version: number): Promise<void> => {
    await admin.query('ALTER TABLE log.events DISABLE TRIGGER events_append_only');
    await admin.query("UPDATE log.events SET event_version = $2 WHERE book_id = $1 AND event_type = 'JournalEntryPosted'", [book, version]);
    await admin.query('ALTER TABLE log.events ENABLE TRIGGER events_append_only');
  };
  await setVersion(99);
  const machine = Date.now;
  projector.start();
  let clock: jest.SpyInstance | undefined;
  try {
    while (projector.failures().length === 0) await sleep(5);
    clock = jest.spyOn(Date, 'now').mockImplementation(() => machine() - hour);
    await setVersion(1);
    await folded(admin, book, 20_000);
    expect(projector.failures()).toEqual([]);
  } finally {
    clock?.mockRestore();
    await projector.stop();
    await pool.end();
    await admin.end();
  }
});

test('a caller is told in time that the database cannot be reached, also when the clock was turned back meanwhile', async () => {
  const { ledger, close } = startLedger('postgres://nobody@127.0.0.1:1/none', {
    config: { ...testConfig, COMMAND_DEADLINE_MS: 300 },
  });
  const waiting = run(ledger, 'unreachable', transfer('cash', 'bank', '1.00'));
  waiting.catch(() => {});
  const machine = Date.now;
  const clock = jest.spyOn(Date, 'now').mockImplementation(() => machine() - hour);
  try {
    await expect(waiting).rejects.toMatchObject({ code: 'database_unavailable' });
  } finally {
    clock.mockRestore();
    await close();
  }
}, 20_000);
