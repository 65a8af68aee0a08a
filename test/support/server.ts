/**
 * Which PostgreSQL the tests run on, and how a run leaves nothing behind.
 *
 * Order: TEST_DATABASE_URL; a container where a Docker engine answers; the embedded server in a directory of its own, so
 * that two runs at once never share a server that one of them stops. Everything that a run makes carries the run's name,
 * which begins with the time, so that what a killed run left on a lasting server can be found and removed a day later.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { connect, type EmbeddedPostgres, startEmbeddedPostgres } from '../../libs/postgres/src/index';

/** What global-setup hands to the spec files, by way of the environment. */
export interface TestRun {
  /** How the server was found, for the log. */
  source: 'TEST_DATABASE_URL' | 'testcontainers' | 'embedded';
  /** The superuser's URL of some database of the server. */
  adminUrl: string;
  /** The run's name: prefix of its databases, and the name of its login. */
  name: string;
  /** Password of the run's login, which is a member of book_keeper_app and nothing else. */
  password: string;
}

/** The environment variable that holds the {@link TestRun} as JSON. */
export const RUN_VARIABLE = 'BOOK_KEEPER_TEST_RUN';
const RUN_NAME = /^bk_test_([0-9a-z]+)_[0-9a-f]{8}/;
const ABANDONED_AFTER_MS = 24 * 3_600_000;
const EMBEDDED_DIRECTORY = /^book-keeper-test-(\d+)-/;

/**
 * Starts or finds the server, and makes the run's migrated template database and its login.
 *
 * @returns the run, and how to remove every trace of it
 */
export async function startRun(): Promise<{ run: TestRun; finish: () => Promise<void> }> {
  const { source, adminUrl, stop } = await findServer();
  const run: TestRun = {
    source,
    adminUrl,
    name: `bk_test_${Date.now().toString(36)}_${randomBytes(4).toString('hex')}`,
    password: randomBytes(16).toString('hex'),
  };
  const finish = async () => {
    try {
      // A throw-away server takes its databases with it.
      if (source === 'TEST_DATABASE_URL') await removeRuns(adminUrl, (name) => name === run.name);
    } finally {
      await stop();
    }
  };
  try {
    if (source === 'TEST_DATABASE_URL') await removeRuns(adminUrl, isAbandoned);
    await makeTemplate(run);
  } catch (error) {
    await finish();
    throw error;
  }
  return { run, finish };
}

/** The name of a run's migrated database, which nobody may connect to. */
export function templateName(run: TestRun): string {
  return `${run.name}_template`;
}

/** The same server, another database, and another login where one is given. */
export function urlOf(adminUrl: string, database: string, login?: { name: string; password: string }): string {
  const url = new URL(adminUrl);
  url.pathname = `/${database}`;
  if (login) Object.assign(url, { username: login.name, password: login.password });
  return url.href;
}

/** Makes a login that can do what the service can and nothing more. Roles belong to the server, so its name is the run's. */
export async function createServiceLogin(adminUrl: string, login: { name: string; password: string }): Promise<void> {
  const admin = await connect(adminUrl);
  try {
    await admin.query(`CREATE ROLE ${login.name} LOGIN PASSWORD '${login.password}' IN ROLE book_keeper_app`);
  } finally {
    await admin.end();
  }
}

/** @returns a new directory whose name says which process made it */
export function makeServerDirectory(): string {
  return fs.mkdtempSync(join(tmpdir(), `book-keeper-test-${process.pid}-`));
}

/** Stops a throw-away server, whoever still has a session there, and removes its files. */
export async function removeServer(dir: string, server: Pick<EmbeddedPostgres, 'stop' | 'pid' | 'dataDirectory'>): Promise<void> {
  if ((await server.stop()) === 'still in use') {
    process.kill(server.pid, 'SIGQUIT'); // immediate shutdown
    while (fs.existsSync(join(server.dataDirectory, 'postmaster.pid'))) await sleep(10);
  }
  fs.rmSync(server.dataDirectory, { recursive: true, force: true });
  fs.rmSync(dir, { recursive: true, force: true });
}

async function findServer(): Promise<Pick<TestRun, 'source' | 'adminUrl'> & { stop: () => Promise<void> }> {
  const given = process.env.TEST_DATABASE_URL;
  if (given) return { source: 'TEST_DATABASE_URL', adminUrl: given, stop: async () => {} };
  if (await dockerAnswers()) {
    // Loading the library takes 0.4 s, so only where there is an engine to talk to.
    const { PostgreSqlContainer } = require('@testcontainers/postgresql') as typeof import('@testcontainers/postgresql');
    const settings = Object.entries(FAST).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const container = await new PostgreSqlContainer('postgres:18-alpine').withCommand(['postgres', ...settings]).start();
    return {
      source: 'testcontainers',
      adminUrl: container.getConnectionUri(),
      stop: async () => {
        await container.stop();
      },
    };
  }
  await removeAbandonedServers();
  const dir = makeServerDirectory();
  const server = await startEmbeddedPostgres({ dir, durable: false, settings: { max_connections: FAST.max_connections } });
  return { source: 'embedded', adminUrl: server.url, stop: () => removeServer(dir, server) };
}

const FAST = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: 200 };

/**
 * Whether a Docker engine answers where its clients look for one (DOCKER_HOST, else the usual socket).
 *
 * @param host a DOCKER_HOST value, `unix://…` or `tcp://…`
 */
export function dockerAnswers(host = process.env.DOCKER_HOST ?? 'unix:///var/run/docker.sock', timeoutMs = 500): Promise<boolean> {
  const url = URL.canParse(host) ? new URL(host) : undefined;
  if (url?.protocol !== 'unix:' && url?.protocol !== 'tcp:') return Promise.resolve(false);
  const target = url.protocol === 'unix:' ? { socketPath: url.pathname } : { host: url.hostname, port: url.port };
  return new Promise((done) => {
    const probe = request({ ...target, path: '/_ping', timeout: timeoutMs }, (response) => {
      response.resume();
      done(response.statusCode === 200);
    });
    probe.once('error', () => done(false));
    probe.once('timeout', () => probe.destroy());
    probe.end();
  });
}

async function makeTemplate(run: TestRun): Promise<void> {
  const template = templateName(run);
  await withAdmin(run.adminUrl, (admin) => admin.query(`CREATE DATABASE ${template}`));
  await migrateElsewhere(urlOf(run.adminUrl, template));
  await createServiceLogin(run.adminUrl, run);
  // Nobody connects to it from now on, so it can be copied at any time.
  await withAdmin(run.adminUrl, (admin) => admin.query(`ALTER DATABASE ${template} ALLOW_CONNECTIONS false`));
}

/** In a process of its own: Jest's global setup resolves no imports of our libraries. */
async function migrateElsewhere(url: string): Promise<void> {
  const hook = join(__dirname, 'typescript.cjs');
  await promisify(execFile)(process.execPath, ['--conditions=source', '--require', hook, join(__dirname, 'migrate.ts'), url]);
}

async function removeRuns(adminUrl: string, wanted: (name: string) => boolean): Promise<void> {
  await withAdmin(adminUrl, async (admin) => {
    const runOf = (name: string) => RUN_NAME.exec(name)?.[0];
    const databases = await admin.query<{ name: string }>(`SELECT datname AS name FROM pg_database WHERE datname LIKE 'bk\\_test\\_%'`);
    for (const { name } of databases.rows) {
      const run = runOf(name);
      if (run && wanted(run)) await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    }
    const logins = await admin.query<{ name: string }>(`SELECT rolname AS name FROM pg_roles WHERE rolname LIKE 'bk\\_test\\_%'`);
    for (const { name } of logins.rows) {
      const run = runOf(name);
      if (run && wanted(run)) await admin.query(`DROP ROLE IF EXISTS ${name}`);
    }
  });
}

function isAbandoned(run: string): boolean {
  return Date.now() - Number.parseInt(RUN_NAME.exec(run)?.[1] ?? '', 36) > ABANDONED_AFTER_MS;
}

/** Servers whose run was killed (kill −9, or a closed terminal) before it could stop them. */
async function removeAbandonedServers(): Promise<void> {
  for (const entry of fs.readdirSync(tmpdir())) {
    const pid = Number(EMBEDDED_DIRECTORY.exec(entry)?.[1]);
    if (!(pid > 0) || isAlive(pid)) continue;
    const dir = join(tmpdir(), entry);
    try {
      if (fs.existsSync(join(dir, 'cluster', 'data', 'postmaster.pid'))) {
        await removeServer(dir, await startEmbeddedPostgres({ dir, durable: false }));
      } else {
        fs.rmSync(dir, { recursive: true, force: true });
      }
    } catch {
      // another user's, or half gone: not worth failing this run
    }
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

async function withAdmin<T>(url: string, work: (admin: Awaited<ReturnType<typeof connect>>) => Promise<T>): Promise<T> {
  const admin = await connect(url);
  try {
    return await work(admin);
  } finally {
    await admin.end();
  }
}
