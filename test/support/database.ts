/**
 * Databases for spec files: a clone of the run's migrated template each, and, for fault suites, a durable server of their
 * own that may be killed.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { migrateLedger } from '#ledger';
import { connect, type EmbeddedPostgres, startEmbeddedPostgres } from '#postgres';
import { createServiceLogin, makeServerDirectory, RUN_VARIABLE, removeServer, type TestRun, templateName, urlOf } from './server';

/** One spec file's database. */
export interface TestDatabase {
  /** As superuser. */
  adminUrl: string;
  /** As a login that is a member of role book_keeper_app only, which is what the service may do. */
  appUrl: string;
  name: string;
  /** Removes the database, ending sessions that are still open. */
  drop(): Promise<void>;
}

/** A server that loses nothing when it is killed. */
export interface DurableServer {
  /** The embedded server as it was started last. */
  readonly server: EmbeddedPostgres;
  /** A migrated database of the server, as superuser and as the service's login. They stay right after a restart. */
  readonly adminUrl: string;
  readonly appUrl: string;
  /** Starts the server again, on the same port, whether it was killed, stopped or still runs. */
  restart(): Promise<void>;
  /** Stops the server and removes its files. */
  destroy(): Promise<void>;
}

/** Clones the run's migrated database (20–120 ms). Call in `beforeAll`, and `drop()` in `afterAll`. */
export async function testDatabase(): Promise<TestDatabase> {
  const run = currentRun();
  const name = `${run.name}_${randomBytes(4).toString('hex')}`;
  await cloneTemplate(run, name);
  return {
    adminUrl: urlOf(run.adminUrl, name),
    appUrl: urlOf(run.adminUrl, name, run),
    name,
    drop: () => administer(run.adminUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

/** An empty database, for specs about the migrations themselves. */
export async function emptyDatabase(): Promise<Omit<TestDatabase, 'appUrl'>> {
  const run = currentRun();
  const name = `${run.name}_${randomBytes(4).toString('hex')}`;
  await administer(run.adminUrl, `CREATE DATABASE ${name}`);
  return {
    adminUrl: urlOf(run.adminUrl, name),
    name,
    drop: () => administer(run.adminUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

/**
 * Starts an embedded server with fsync on, with a migrated database in it (about a second), whatever server the run uses.
 *
 * @param settings server settings, e.g. `{ max_connections: 50 }`
 */
export async function durableServer(settings: Record<string, string | number> = {}): Promise<DurableServer> {
  const dir = makeServerDirectory();
  const start = () => startEmbeddedPostgres({ dir, durable: true, settings });
  let server = await start();
  const login = { name: 'bk_test_service', password: randomBytes(16).toString('hex') };
  await migrateLedger(server.url);
  await createServiceLogin(server.url, login);
  return {
    get server() {
      return server;
    },
    adminUrl: server.url,
    appUrl: urlOf(server.url, 'postgres', login),
    async restart() {
      await server.stop();
      server = await start();
    },
    destroy: () => removeServer(dir, server),
  };
}

function currentRun(): TestRun {
  const text = process.env[RUN_VARIABLE];
  if (!text) throw new Error(`${RUN_VARIABLE} is not set: run the specs by Jest with this repository's jest.config.js`);
  return JSON.parse(text) as TestRun;
}

/** 55006: "source database is being accessed by other users", which another clone in progress can look like. */
async function cloneTemplate(run: TestRun, name: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await administer(run.adminUrl, `CREATE DATABASE ${name} TEMPLATE ${templateName(run)}`);
    } catch (error) {
      if ((error as { code?: string }).code !== '55006' || attempt === 50) throw error;
      await sleep(20 + Math.random() * 80);
    }
  }
}

async function administer(url: string, statement: string): Promise<void> {
  const admin = await connect(url);
  try {
    await admin.query(statement);
  } finally {
    await admin.end();
  }
}
