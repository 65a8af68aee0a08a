/**
 * kill -9 of everything, at random moments, under load: what was acknowledged is there, once, with the bytes that were
 * acknowledged; nothing is there that nobody asked for; the books are whole and the projections catch up. The load comes from
 * service processes of their own (test/support/load.ts), one of which is killed while the other goes on with the same book.
 *
 * SEED chooses the moments and the victims. A killed process loses nothing that the operating system has; the loss of a
 * machine's power is not tested here.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { ApiKeys, type Command } from '#ledger';
import { connect, openPool } from '#postgres';
import { type DurableServer, durableServer } from '../support/database';
import { LoadProcess, type Writer, writers } from '../support/load-process';
import { runScript, type Script } from '../support/processes';
import {
  actorOf,
  actors,
  audit,
  chance,
  checkProjections,
  folded,
  isFinal,
  openWorkload,
  report,
  rounds,
  seed,
  soak,
  Witness,
} from '../support/workload';

const kills = rounds(1, 40);
const writersEach = 12;

let server: DurableServer;
let directory: string;
let environment: Record<string, string>;
beforeAll(async () => {
  server = await durableServer({ max_connections: 60 });
  directory = mkdtempSync(join(tmpdir(), 'book-keeper-faults-'));
  environment = {
    DATABASE_URL: server.appUrl,
    DATA_DIR: directory,
    BOOTSTRAP_API_KEY: 'bk_specs_only_0123456789abcdef',
    LOG_LEVEL: 'silent',
    // A frozen backend is given up after this long.
    COMMAND_DEADLINE_MS: '1500',
  };
});
const running = new Set<LoadProcess>();
afterEach(async () => {
  for (const load of running) await load.kill();
  running.clear();
});
afterAll(async () => {
  await server?.destroy();
  rmSync(directory, { recursive: true, force: true });
});

interface Scene {
  readonly witness: Witness;
  /** The process that is killed, and the one that goes on. */
  victim: LoadProcess;
  readonly other: LoadProcess;
  readonly victimWriters: Writer[];
  readonly random: (below: number) => number;
}

async function start(witness: Witness, own: Writer[]): Promise<LoadProcess> {
  const load = await LoadProcess.start(environment, [witness], own);
  running.add(load);
  return load;
}

async function asAdmin<T>(work: (admin: Client) => Promise<T>): Promise<T> {
  const admin = await connect(server.adminUrl);
  try {
    return await work(admin);
  } finally {
    await admin.end();
  }
}

/** A session of the service that is at work, preferably one that appends. */
async function backend({ random }: Scene): Promise<number> {
  return asAdmin(async (admin) => {
    for (;;) {
      const { rows } = await admin.query<{ pid: number }>(
        `SELECT pid FROM pg_stat_activity WHERE usename = $1 AND state <> 'idle' ORDER BY query LIKE '%log.append%' DESC, pid`,
        [new URL(server.appUrl).username],
      );
      const chosen = rows[random(Math.min(3, rows.length))]?.pid;
      if (chosen !== undefined) return chosen;
    }
  });
}

/** Moments between two instructions are hit by chance only. */
const aMoment = ({ random }: Scene) => sleep(random(25));

async function killService(scene: Scene): Promise<void> {
  const next = await start(scene.witness, scene.victimWriters);
  await aMoment(scene);
  await scene.victim.kill();
  running.delete(scene.victim);
  scene.victim = next;
  next.go();
}

async function killPostmaster(scene: Scene): Promise<void> {
  await aMoment(scene);
  process.kill(server.server.pid, 'SIGKILL');
  await server.restart();
}

const faults: Record<string, (scene: Scene) => Promise<void>> = {
  'kill -9 of the service': killService,
  'kill -9 of a PostgreSQL backend': async (scene) => {
    const pid = await backend(scene);
    await aMoment(scene);
    process.kill(pid, 'SIGKILL');
  },
  'kill -9 of the postmaster, which is then started again': killPostmaster,
  'kill -9 of service and postmaster at once': async (scene) => {
    const next = await start(scene.witness, scene.victimWriters);
    await aMoment(scene);
    process.kill(server.server.pid, 'SIGKILL');
    await scene.victim.kill();
    running.delete(scene.victim);
    await server.restart();
    scene.victim = next;
    next.go();
  },
  pg_terminate_backend: async (scene) => {
    const pid = await backend(scene);
    await aMoment(scene);
    await asAdmin((admin) => admin.query('SELECT pg_terminate_backend($1)', [pid]));
  },
  'a backend that is stopped for longer than a command may take, and goes on': async (scene) => {
    const pid = await backend(scene);
    process.kill(pid, 'SIGSTOP');
    try {
      await sleep(2_000);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  },
};

test.each(Object.keys(faults))(
  `%s (SEED=${seed})`,
  async (fault) => {
    const number = Object.keys(faults).indexOf(fault);
    const bookId = `kills-${number}`;
    const witness = new Witness(bookId);
    const random = chance(seed + number);
    await openWorkload(server.appUrl, [bookId]);
    const victimWriters = writers('a', writersEach);
    const [victim, other] = await Promise.all([start(witness, victimWriters), start(witness, writers('b', writersEach))]);
    const scene: Scene = { witness, victim, other, victimWriters, random };
    victim.go();
    other.go();
    for (let round = 0; round < kills; round++) {
      await Promise.all([scene.victim.answers(10 + random(150)), other.answers(10)]);
      await faults[fault]?.(scene);
    }
    await Promise.all([scene.victim.answers(50), other.answers(50)]);
    await Promise.all([scene.victim.rest(), other.rest()]);
    await asAdmin((admin) => folded(admin, bookId));
    const told = scene.victim.repetitions + other.repetitions;
    await Promise.all([scene.victim.stop(), other.stop()]);
    running.clear();

    const judged = await asAdmin((admin) => audit(admin, witness));
    const rows = await asAdmin((admin) => checkProjections(admin, server.appUrl, bookId));
    const { acknowledged, refused, events, lost, doubled, contradictions } = judged;
    report('kills', {
      fault,
      kills,
      acknowledged,
      refused,
      replayed: witness.replayed,
      told,
      events,
      rows,
      lost: lost.length,
      doubled: doubled.length,
    });
    expect({ lost, doubled, contradictions }).toEqual({ lost: [], doubled: [], contradictions: [] });
    expect(acknowledged).toBeGreaterThan(20 * kills);
    expect(refused).toBeGreaterThan(acknowledged / 10);
  },
  soak ? 3_600_000 : 120_000,
);

/** How a command is sent to the API: where to, and what is left of it for the body. */
function requestOf(command: Command): { readonly path: string; readonly body: object } {
  switch (command.type) {
    case 'PostEntry':
    case 'PostEntries':
    case 'CreateDraft':
    case 'RecordRates': {
      const { type, ...body } = command;
      const paths = {
        PostEntry: 'journal-entries',
        PostEntries: 'journal-entries/batch',
        CreateDraft: 'journal-drafts',
        RecordRates: 'rates',
      };
      return { path: paths[type], body };
    }
    case 'SubmitDraft':
    case 'ApproveDraft':
    case 'RejectDraft':
    case 'DiscardDraft': {
      const { type, entryId, ...body } = command;
      return { path: `journal-drafts/${entryId}/${type.replace('Draft', '').toLowerCase()}`, body };
    }
    case 'ClosePeriod':
    case 'RequestReopening':
    case 'ApproveReopening':
    case 'DeclineReopening': {
      const { type, fiscalYear, period, ...body } = command;
      const verbs = {
        ClosePeriod: 'close',
        RequestReopening: 'reopening',
        ApproveReopening: 'reopening/approve',
        DeclineReopening: 'reopening/decline',
      };
      return { path: `periods/${fiscalYear}/${period}/${verbs[type]}`, body };
    }
    default:
      throw new Error(`no key stands for ${command.type}`);
  }
}

/** A key of its own for everybody who sends commands. @returns secrets by the users that commands name */
async function keysOfActors(): Promise<Map<string, string>> {
  const pool = openPool(server.appUrl, { max: 1 });
  try {
    const keys = new ApiKeys(pool);
    const secrets = new Map<string, string>();
    for (const [index, { userId, isController }] of actors.entries())
      secrets.set(userId, (await keys.create(`actor ${index}`, isController ? ['controller'] : [])).secret);
    return secrets;
  } finally {
    await pool.end();
  }
}

/** A free port: the service comes back where its callers look for it. */
function freePort(): Promise<number> {
  return new Promise((found) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => found(port));
    });
  });
}

test(
  `kill -9 of the HTTP service, whose callers repeat their requests until they are answered (SEED=${seed})`,
  async () => {
    const bookId = 'kills-http';
    const witness = new Witness(bookId);
    const random = chance(seed + 99);
    await openWorkload(server.appUrl, [bookId]);
    const secrets = await keysOfActors();
    const port = await freePort();
    const url = `http://127.0.0.1:${port}/v1/books/${bookId}`;
    const spawned: Script[] = [];
    const serve = async (): Promise<Script> => {
      const script = runScript('apps/api/src/main.ts', [], { ...environment, MIGRATION_DATABASE_URL: '', PORT: String(port) });
      spawned.push(script);
      while (!(await script.nextLine()).includes('curl'));
      return script;
    };
    let stopping = false;
    let repeated = 0;
    const faulty: string[] = [];
    const send = async (key: string): Promise<void> => {
      const command = witness.commandOf(key);
      const { path, body } = requestOf(command);
      const headers = {
        authorization: `Bearer ${secrets.get(actorOf(key, command).userId)}`,
        'idempotency-key': key,
        'content-type': 'application/json',
      };
      for (;;) {
        const reply = await fetch(`${url}/${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
          .then(async (sent) => ({ sent, text: await sent.text() }))
          .catch(() => undefined); // refused or cut off: whether it was carried out is not known
        if (reply !== undefined && reply.sent.status !== 503 && isFinal({ body: reply.text })) {
          const replayed = reply.sent.headers.get('idempotency-replayed') === 'true';
          if (![200, 201, 409, 422].includes(reply.sent.status)) faulty.push(`${key}: ${reply.sent.status} ${reply.text}`);
          witness.tell(key, { status: reply.sent.status, body: reply.text, replayed });
          return;
        }
        repeated++;
        await sleep(20 + Math.random() * 40);
      }
    };
    const caller = async (name: number): Promise<void> => {
      for (let number = 0; !stopping; number++) await send(`h${name}-${number}`);
    };
    const answered = async (more: number): Promise<void> => {
      const wanted = witness.answers.size + more;
      while (witness.answers.size < wanted && faulty.length === 0) await sleep(2);
    };
    try {
      let service = await serve();
      const callers = Array.from({ length: 16 }, (_, name) => caller(name));
      for (let round = 0; round < kills; round++) {
        await answered(20 + random(150));
        await sleep(random(25));
        service.process.kill('SIGKILL');
        await service.ended;
        service = await serve();
      }
      await answered(50);
      stopping = true;
      await Promise.all(callers);
      await asAdmin((admin) => folded(admin, bookId));
      // What was acknowledged is answered again, with the same bytes, by a process that knows it from its receipt only.
      service.process.kill('SIGKILL');
      await service.ended;
      service = await serve();
      for (const key of [...witness.answers.keys()].filter((_, index) => index % 10 === 0)) await send(key);
      service.process.kill('SIGTERM');
      expect(await service.ended).toBe(0);
    } finally {
      stopping = true;
      for (const { process: child } of spawned) child.kill('SIGKILL');
    }
    const { acknowledged, refused, events, lost, doubled, contradictions } = await asAdmin((admin) => audit(admin, witness));
    const rows = await asAdmin((admin) => checkProjections(admin, server.appUrl, bookId));
    report('kills', {
      ...{
        fault: 'kill -9 of the HTTP service',
        kills: kills + 1,
        acknowledged,
        refused,
        replayed: witness.replayed,
        told: repeated,
        events,
        rows,
      },
      ...{ lost: lost.length, doubled: doubled.length },
    });
    expect({ lost, doubled, contradictions, faulty }).toEqual({ lost: [], doubled: [], contradictions: [], faulty: [] });
    expect(witness.replayed).toBeGreaterThan(acknowledged / 12);
  },
  soak ? 3_600_000 : 120_000,
);
