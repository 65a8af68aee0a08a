/**
 * A database that is ill while commands and queries come in: stopped and started again, full of other people's sessions,
 * cancelling statements, read-only, cut off, silent, out of disk. Each time: callers get 503 with a code and Retry-After and
 * nothing else, readiness turns red and green again, the same process goes on by itself once the trouble is over, everything
 * acknowledged is there once, nothing is half done, and every key may be repeated. SOAK=1 goes through all of it ten times.
 */
import { chownSync, cpSync, existsSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { connect } from '#postgres';
import { type Api, entry, openBook, type Reply, startApi } from '../e2e/api';
import { type DurableServer, durableServer } from '../support/database';
import { balanceIn, checkBook } from '../support/ledgers';
import { canMount, type SmallDisk, smallDisk } from '../support/small-disk';
import { type TcpProxy, tcpProxy } from '../support/tcp-proxy';

const rounds = process.env.SOAK === '1' ? 10 : 1;
const mountable = canMount();

let server: DurableServer;
let admin: Client;
let proxy: TcpProxy;
let api: Api;
/** Where the write-ahead log is. */
let logDisk: SmallDisk | undefined;
let books = 0;

beforeAll(async () => {
  server = await durableServer({ max_connections: 24, min_wal_size: '32MB', max_wal_size: '64MB' });
  if (mountable) await moveLog();
  admin = await connect(server.adminUrl);
  proxy = await tcpProxy(server.appUrl);
  const database = { adminUrl: server.adminUrl, appUrl: proxy.url, name: 'postgres', drop: async () => {} };
  api = await startApi({ COMMAND_DEADLINE_MS: '700', WRITER_CONNECTIONS: '2', READER_CONNECTIONS: '4', READ_WAIT_MS: '200' }, database);
}, 60_000);

afterAll(async () => {
  await api?.close();
  await proxy?.close();
  await admin?.end().catch(() => {});
  await server?.destroy();
  logDisk?.unmount();
});

/** Moves pg_wal to a disk of its own. */
async function moveLog(): Promise<void> {
  const data = server.server.dataDirectory;
  const { uid, gid } = statSync(data);
  await server.server.stop();
  logDisk = smallDisk(160, { uid, gid });
  const wal = join(data, 'pg_wal');
  const moved = join(logDisk.path, 'pg_wal');
  cpSync(wal, moved, { recursive: true });
  for (const path of filesBelow(moved)) chownSync(path, uid, gid);
  rmSync(wal, { recursive: true });
  symlinkSync(moved, wal);
  await server.restart();
}

function* filesBelow(path: string): Generator<string> {
  yield path;
  if (!statSync(path).isDirectory()) return;
  for (const name of readdirSync(path)) yield* filesBelow(join(path, name));
}

// --- Load ---

/** Writers that repeat each command until it is answered, and readers; what they were told. */
class Load {
  readonly acknowledged = new Map<string, string>();
  /** Answers by status and code. */
  readonly told = new Map<string, number>();
  readonly faults: string[] = [];
  private running = true;
  private readonly work: Promise<void>[];

  constructor(
    readonly book: string,
    writers = 8,
  ) {
    const path = `/v1/books/${book}`;
    const reads = ['/accounts/Assets%3ACash/balance', '/balances', '/journal-entries?limit=5', '/accounts'];
    this.work = [
      ...Array.from({ length: writers }, (_, writer) => this.write(`${path}/journal-entries`, writer)),
      ...reads.map((read) => this.read(path + read)),
    ];
  }

  count(what: string): number {
    return this.told.get(what) ?? 0;
  }

  /** No new commands; waits until those that were sent are answered. */
  async stop(): Promise<void> {
    this.running = false;
    await Promise.all(this.work);
  }

  private async write(path: string, writer: number): Promise<void> {
    for (let nth = 1; this.running; nth++) {
      const key = `${writer}-${nth}`;
      for (;;) {
        const reply = await api.post(path, entry('1.00'), { key });
        if (reply.status === 201) {
          this.acknowledged.set(key, reply.text);
          break;
        }
        if (!this.isTemporary(reply)) return;
        await sleep(20);
      }
    }
  }

  private async read(path: string): Promise<void> {
    while (this.running) {
      const reply = await api.get(path);
      if (reply.status !== 200 && !this.isTemporary(reply)) return;
      await sleep(20);
    }
  }

  private isTemporary(reply: Reply): boolean {
    const what = `${reply.status} ${reply.body?.code}`;
    this.told.set(what, this.count(what) + 1);
    const right = reply.status === 503 && Number(reply.headers['retry-after']) >= 1;
    if (!right) this.faults.push(`${what}: ${reply.text} ${reply.headers['retry-after']}`);
    return right;
  }
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 40_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await sleep(10);
  }
}

const isReady = async (): Promise<boolean> => (await api.get('/health/ready', { secret: null })).status === 200;

// --- Troubles ---

interface Trouble {
  readonly name: string;
  make(book: string): Promise<void>;
  heal(): Promise<void>;
}

async function fastShutdown(): Promise<void> {
  await admin.end().catch(() => {});
  const lock = join(server.server.dataDirectory, 'postmaster.pid');
  process.kill(server.server.pid, 'SIGINT');
  await until('the server is down', () => !existsSync(lock));
}

async function startAgain(): Promise<void> {
  await server.restart();
  admin = await connect(server.adminUrl);
}

async function set(setting: string, value: string | undefined): Promise<void> {
  await admin.query(value === undefined ? `ALTER SYSTEM RESET ${setting}` : `ALTER SYSTEM SET ${setting} = ${value}`);
  await admin.query('SELECT pg_reload_conf()');
}

let hogs: Client[] = [];
let holder: Client | undefined;
let disk: SmallDisk | undefined;
let cutting: NodeJS.Timeout | undefined;

/** Other people's sessions take the place of the service's, until it has none. */
async function takeAllConnections(): Promise<void> {
  const url = new URL(server.appUrl);
  url.searchParams.set('application_name', 'hog');
  const ours = `SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE usename = $1 AND application_name <> 'hog' AND backend_type = 'client backend'`;
  for (;;) {
    const taken = await Promise.allSettled(Array.from({ length: 30 }, () => connect(url.href)));
    hogs.push(...taken.flatMap((attempt) => (attempt.status === 'fulfilled' ? [attempt.value] : [])));
    if ((await admin.query(ours, [url.username])).rows.length === 0) return;
  }
}

const troubles: readonly Trouble[] = [
  { name: 'the server is stopped and started again (57P01, 57P03)', make: fastShutdown, heal: startAgain },
  {
    name: 'other sessions take all connections (53300)',
    make: takeAllConnections,
    async heal() {
      await Promise.all(hogs.map((hog) => hog.end()));
      hogs = [];
    },
  },
  {
    name: 'appends wait for a lock and are cancelled (57014)',
    async make() {
      await set('statement_timeout', "'100ms'");
      holder = await connect(server.adminUrl);
      await holder.query('SET statement_timeout = 0');
      await holder.query('BEGIN');
      await holder.query('LOCK TABLE log.events IN EXCLUSIVE MODE');
    },
    async heal() {
      await set('statement_timeout', undefined);
      await holder?.end();
    },
  },
  {
    name: 'the server becomes read-only (25006)',
    make: () => set('default_transaction_read_only', 'on'),
    async heal() {
      await admin.query('SET default_transaction_read_only = off');
      await set('default_transaction_read_only', undefined);
    },
  },
  {
    name: 'connections are reset again and again',
    async make() {
      cutting = setInterval(() => proxy.cut(), 5);
    },
    async heal() {
      clearInterval(cutting);
    },
  },
  {
    name: 'the server falls silent',
    async make() {
      proxy.swallowAnswers();
    },
    async heal() {
      proxy.cut();
    },
  },
];

const fullDisks: readonly Trouble[] = [
  {
    name: 'the disk that holds the events is full (53100)',
    async make() {
      disk?.fill();
    },
    async heal() {
      disk?.clear();
    },
  },
  {
    name: 'the disk that holds the projections is full (53100)',
    async make() {
      disk?.fill();
    },
    async heal() {
      disk?.clear();
    },
  },
  {
    name: 'the disk that holds the write-ahead log is full (PANIC)',
    async make() {
      await set('wal_keep_size', "'1GB'"); // or old segments would be used again for ever
      logDisk?.fill();
      // What is left is used up at once; the server falls over one of these, or under the load.
      for (let left = 60; left > 0; left--) {
        const moved = admin.query("SELECT pg_logical_emit_message(true, 'fill', 'x')").then(() => admin.query('SELECT pg_switch_wal()'));
        if ((await moved.catch(() => undefined)) === undefined) return;
      }
    },
    async heal() {
      logDisk?.clear();
      await startAgain();
      await set('wal_keep_size', undefined);
    },
  },
];

/** Puts tables with their indexes on a disk of their own, for as long as the work takes. */
async function onSmallDisk(tables: readonly string[], work: () => Promise<void>): Promise<void> {
  const { uid, gid } = statSync(server.server.dataDirectory);
  const { rows: sizes } = await admin.query<{ megabytes: number }>(
    'SELECT ceil(sum(pg_total_relation_size(name::regclass)) / 1048576)::int AS megabytes FROM unnest($1::text[]) AS name',
    [tables],
  );
  disk = smallDisk(24 + (sizes[0]?.megabytes ?? 0), { uid, gid });
  const move = async (space: string): Promise<void> => {
    for (const table of tables) {
      const { rows } = await admin.query<{ name: string }>(
        'SELECT indexrelid::regclass::text AS name FROM pg_index WHERE indrelid = $1::regclass',
        [table],
      );
      await admin.query(`ALTER TABLE ${table} SET TABLESPACE ${space}`);
      for (const { name } of rows) await admin.query(`ALTER INDEX ${name} SET TABLESPACE ${space}`);
    }
  };
  await admin.query(`CREATE TABLESPACE small LOCATION '${disk.path}'`);
  try {
    await move('small');
    await work();
  } finally {
    disk.clear();
    await move('pg_default');
    await admin.query('DROP TABLESPACE small');
    disk.unmount();
    disk = undefined;
  }
}

async function goThrough({ make, heal }: Trouble, { writes }: { readonly writes: boolean }): Promise<void> {
  const book = `sick-${++books}`;
  await openBook(api, book);
  const load = new Load(book);
  try {
    await until('the load runs', () => load.acknowledged.size >= 20);
    await make(book);
    try {
      if (writes) await until('callers are told', () => load.count('503 database_unavailable') >= 8);
      await until('readiness is red', async () => !(await isReady()));
    } finally {
      await heal();
    }
    const before = load.acknowledged.size;
    await until('commands are carried out again', () => load.faults.length > 0 || load.acknowledged.size >= before + 20);
    await until('readiness is green', isReady);
  } finally {
    await load.stop();
  }
  expect(load.faults).toEqual([]);

  // Everything acknowledged is there once, as it was told; nothing else is.
  const { events, accounts } = await checkBook(admin, book);
  const posted = events.filter(({ eventType }) => eventType === 'JournalEntryPosted');
  expect(posted).toHaveLength(load.acknowledged.size);
  expect(balanceIn(accounts, 'Assets:Cash')).toBe(BigInt(load.acknowledged.size * 100));
  const receipts = await admin.query<{ key: string; answer: string }>(
    'SELECT key, answer FROM log.receipts WHERE book_id = $1 AND command = $2',
    [book, 'PostEntry'],
  );
  expect(new Map(receipts.rows.map(({ key, answer }) => [key, answer]))).toEqual(load.acknowledged);
  const position = events.length;
  await api.service.projector.caughtUp(book, position);
  const { body } = await api.get(`/v1/books/${book}/balances`);
  expect(body.balances.map(({ account, net }: { account: string; net: string }) => [account, net])).toEqual([
    ['Assets:Cash', `${load.acknowledged.size}.00`],
    ['Income:Sales', `-${load.acknowledged.size}.00`],
  ]);
  const keys = [...load.acknowledged.keys()];
  for (const key of [...keys.slice(0, 10), ...keys.slice(-10)]) {
    const again = await api.post(`/v1/books/${book}/journal-entries`, entry('1.00'), { key });
    expect([again.status, again.text, again.headers['idempotency-replayed']]).toEqual([201, load.acknowledged.get(key), 'true']);
  }
  expect((await checkBook(admin, book)).events).toHaveLength(position);
}

describe.each(Array.from({ length: rounds }, (_, round) => round + 1))('round %i', () => {
  test.each(troubles)('$name', (trouble) => goThrough(trouble, { writes: true }));

  const [given, needs] = mountable ? [test, ''] : [test.skip, ' [needs: a mountable tmpfs]'];
  const [events, projections, log] = fullDisks as [Trouble, Trouble, Trouble];
  given(events.name + needs, () => onSmallDisk(['log.events'], () => goThrough(events, { writes: true })));
  given(projections.name + needs, () =>
    onSmallDisk(['projections.running_totals', 'projections.account_lines', 'projections.entries'], () =>
      goThrough(projections, { writes: false }),
    ),
  );
  given(log.name + needs, () => goThrough(log, { writes: true }));
});
