/**
 * The PostgreSQL of a bench run: an embedded server of its own, durable as in production, or the throw-away server that
 * BENCH_DATABASE_URL names (as superuser). Hides templates: a database is filled once and every case gets a fresh clone of it,
 * so that no case pays for the rows of another. Guarantees that a server which would forget what it acknowledged is refused,
 * and that the ledger comes in by a login with the rights of the service, not as superuser.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from 'pg';
import { migrateLedger } from '#ledger';
import { connect, type EmbeddedPostgres, startEmbeddedPostgres } from '#postgres';

// As `npm start` has it, but that checkpoints come between cases only.
const embeddedSettings = { min_wal_size: '4GB', max_wal_size: '4GB', checkpoint_timeout: '30min' };
/** Write-ahead log that a case uses at most before the next checkpoint gives its segments back. */
const walAheadMb = 1_280;
/** What a result depends on and a reader cannot see from outside. */
const settingsShown = [
  'fsync',
  'full_page_writes',
  'synchronous_commit',
  'shared_buffers',
  'min_wal_size',
  'max_wal_size',
  'checkpoint_timeout',
  'wal_level',
  'wal_compression',
  'jit',
];
const durable = ['fsync', 'full_page_writes', 'synchronous_commit'];
/** Not named as our roles are, and of one run alone: one that was killed leaves a login that nobody knows the password of. */
const login = `bench_${randomBytes(6).toString('hex')}`;
const password = randomBytes(16).toString('hex');

/** A database that one case has for itself. */
export interface BenchDatabase {
  readonly name: string;
  /** As the login of the service. */
  readonly url: string;
  /** A superuser's connection, for counting and for floors. */
  readonly admin: Client;
  drop(): Promise<void>;
}

export class BenchServer {
  private readonly templates = new Set<string>();
  private readonly open = new Set<BenchDatabase>();
  /** Names of databases that were made or begun, and not dropped. */
  private readonly made = new Set<string>();
  private clones = 0;
  private stopping: Promise<void> | undefined;

  private constructor(
    private readonly url: string,
    /** On the database `postgres`. */
    readonly admin: Client,
    private readonly embedded: EmbeddedPostgres | undefined,
    /** Empty, for files of the run; removed at the end. */
    readonly directory: string,
  ) {}

  /** As `SELECT version()` says. */
  version = '';
  settings: Readonly<Record<string, string>> = {};

  /** @throws Error when the server does not keep what it acknowledges */
  static async start(): Promise<BenchServer> {
    const directory = mkdtempSync(join(tmpdir(), 'book-keeper-bench-'));
    const given = process.env.BENCH_DATABASE_URL;
    let embedded: EmbeddedPostgres | undefined;
    let server: BenchServer;
    try {
      if (given === undefined)
        embedded = await startEmbeddedPostgres({ dir: join(directory, 'server'), durable: true, settings: embeddedSettings });
      const url = given ?? embedded?.url ?? '';
      server = new BenchServer(url, await connect(url), embedded, directory);
    } catch (error) {
      await embedded?.stop();
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
    // A server of ours must not outlive a run that was broken off; a second signal ends at once.
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void server.stop().finally(() => process.exit(130)));
    try {
      await server.prepare();
    } catch (error) {
      await server.stop().catch(() => {}); // what came first is what is wrong
      throw error;
    }
    return server;
  }

  private async prepare(): Promise<void> {
    const { admin } = this;
    this.version = (await admin.query<{ version: string }>('SELECT version()')).rows[0]?.version ?? '';
    const { rows } = await admin.query<{ name: string; value: string }>(
      'SELECT name, current_setting(name) AS value FROM pg_settings WHERE name = ANY ($1::text[])',
      [`{${settingsShown.join(',')}}`],
    );
    this.settings = Object.fromEntries(rows.map(({ name, value }) => [name, value]));
    const off = durable.filter((name) => this.settings[name] !== 'on');
    if (off.length > 0) throw new Error(`a bench on a server with ${off.join(', ')} off tells nothing; turn it on`);
    await admin.query(`CREATE ROLE ${login} LOGIN PASSWORD '${password}'`);
    if (this.embedded !== undefined) await settle(admin);
  }

  /** Ends what is still open, drops every database and the login of the run and stops the embedded server. */
  stop(): Promise<void> {
    this.stopping ??= this.end();
    return this.stopping;
  }

  /** Goes on after what fails, and fails with the first of it. */
  private async end(): Promise<void> {
    const problems: unknown[] = [];
    const attempt = async (step: () => Promise<unknown> | undefined): Promise<void> => {
      try {
        await step();
      } catch (error) {
        problems.push(error);
      }
    };
    for (const database of this.open) await attempt(() => database.drop());
    if (this.embedded === undefined) {
      for (const name of this.made) await attempt(() => this.admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
      await attempt(() => this.admin.query(`DROP ROLE IF EXISTS ${login}`));
    }
    await attempt(() => this.admin.end());
    await attempt(() => this.embedded?.stop());
    rmSync(this.directory, { recursive: true, force: true });
    if (problems.length > 0) throw problems[0];
  }

  /** @throws Error when the run was ended; nothing is made then that the end has not dropped or will not drop */
  private async create(name: string, like = ''): Promise<void> {
    const begin = (): void => {
      if (this.stopping !== undefined) throw new Error('the run was ended');
      this.made.add(name);
    };
    begin();
    await this.admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    // The end sends its own DROP behind what is under way, on the same connection.
    begin();
    await this.admin.query(`CREATE DATABASE ${name} ${like}`);
  }

  /**
   * A fresh database like the template of this name, which is made and filled when it is asked for the first time.
   * @param fill told the empty, migrated database; must leave no connection open
   */
  async database(template: string, fill: (database: BenchDatabase) => Promise<void>): Promise<BenchDatabase> {
    const source = `bench_${template.replaceAll('-', '_')}`;
    if (!this.templates.has(source)) {
      const empty = await this.empty(source);
      this.templates.add(source);
      await fill(empty);
      await empty.admin.query('VACUUM ANALYZE');
      await empty.admin.end();
      this.open.delete(empty);
    }
    const name = `${source}_${++this.clones}`;
    await this.create(name, `TEMPLATE ${source}`);
    const clone = await this.opened(name);
    await clone.admin.query('CHECKPOINT');
    return clone;
  }

  /** A migrated database without a book. */
  async empty(name: string): Promise<BenchDatabase> {
    await this.create(name);
    await migrateLedger(this.urlOf(name));
    await this.admin.query(`GRANT book_keeper_app TO ${login}`);
    return this.opened(name);
  }

  private async opened(name: string): Promise<BenchDatabase> {
    const url = new URL(this.urlOf(name));
    const database = {
      name,
      url: Object.assign(url, { username: login, password }).href,
      admin: await connect(this.urlOf(name)),
      drop: async (): Promise<void> => {
        if (!this.open.delete(database)) return;
        await database.admin.end();
        await this.admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
        this.made.delete(name);
      },
    };
    this.open.add(database);
    return database;
  }

  private urlOf(name: string): string {
    return Object.assign(new URL(this.url), { pathname: `/${name}` }).href;
  }
}

/**
 * A server that has run for a while writes its log into segments that were used before; a new one makes each of them, filled
 * with zeros by whoever comes first to its end (PostgreSQL manual, wal_init_zero, wal_recycle). So they are made before the first case.
 */
async function settle(admin: Client): Promise<void> {
  await admin.query("SELECT pg_logical_emit_message(false, 'bench', repeat('x', 1048576)) FROM generate_series(1, $1::int4)", [walAheadMb]);
  await admin.query('CHECKPOINT');
}

/** Bytes of write-ahead log since the server was made. */
export async function walPosition(admin: Client): Promise<number> {
  const { rows } = await admin.query<{ bytes: string }>("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::text AS bytes");
  return Number(rows[0]?.bytes);
}

/** Bytes of the tables of a schema with indexes and TOAST. */
export async function schemaBytes(admin: Client, schema: 'log' | 'projections'): Promise<number> {
  const { rows } = await admin.query<{ bytes: string }>(
    `SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::text AS bytes FROM pg_class c
      WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r'`,
    [schema],
  );
  return Number(rows[0]?.bytes);
}

/**
 * Processor time that the other sessions of this database have used so far, microseconds; NaN where the server is on another
 * machine. The difference of two answers is right while no session ends in between.
 */
export async function serverMicros(admin: Client): Promise<number> {
  const { rows } = await admin.query<{ pid: number }>(
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
  );
  return rows.reduce((sum, { pid }) => sum + processMicros(pid), 0);
}

/** User and system time of a process of this machine so far, microseconds in steps of ten milliseconds; NaN when there is none. */
export function processMicros(pid: number): number {
  if (!existsSync(`/proc/${pid}/stat`)) return Number.NaN;
  // proc(5): fields 14 and 15, in hundredths of a second; the name in parentheses may hold spaces.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}
