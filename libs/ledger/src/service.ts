/**
 * The service as one thing to open and close: database (given, or embedded in DATA_DIR), schema, connections, ledger,
 * projector, queries, API keys, demo book. Used by the HTTP server, the worker and the CLI. Guarantees that what it opened is
 * closed in the order that loses nothing, and that it says what is wrong with the rights of its own login (DESIGN section 7).
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, Pool } from 'pg';
import { LedgerError } from '#domain';
import { ArchiveUnreadable, archivePlace, EventStore, TreeStore } from '#event-store';
import {
  connect,
  type EmbeddedPostgres,
  isTransient,
  type MigrateOptions,
  migrate,
  migrationsDirectory,
  openPool,
  type SchemaState,
  schemaState,
  startEmbeddedPostgres,
} from '#postgres';
import { keptSecret, MasterKeys, SubjectKeys } from '#privacy';
import { ActionLog } from './action-log';
import { UserActions } from './actions';
import { type Answer, unreadable } from './answer';
import { ApiKeys, type BootstrapKey } from './api-keys';
import { Archiver } from './archiver';
import { type AuditPack, type AuditPackProgress, type AuditPackQuestion, auditPack } from './audit-pack';
import { AuditSeals } from './audit-seals';
import { catalogue } from './catalogue';
import type { Command, CommandContext } from './commands';
import type { Config } from './config';
import { openDemoBook } from './demo-book';
import { Inspector } from './inspect';
import { Ledger } from './ledger';
import type { Log } from './log';
import { PeriodEnd } from './period-end';
import { Personal } from './personal';
import { Persons } from './persons';
import { prepareProjections, projectionSets } from './projection-sets';
import { Projector, projections } from './projector';
import { keptLogName } from './proof/signer';
import { checkpointTargets, handedOut } from './proof/targets';
import { readWitnesses } from './proof/witnesses';
import { Proofs } from './proofs';
import { Queries } from './queries';
import { Projections } from './rebuild';
import { Reports } from './reports/reports';
import { type RuleReplay, type RuleReplayOptions, replayUnderRule } from './rule-replay';
import { Sealer } from './sealer';
import { type Verification, type VerifyOptions, verifyBooks } from './verify';
import { WatchedStore } from './watched-store';

export interface ServiceOptions {
  readonly log: Log;
  /** False: no projector and no sealer in this process, whatever PROJECT and SEAL say. */
  readonly project?: boolean;
  /** False: opened although the database was restored from an old backup, to find a way out of that. */
  readonly compare?: boolean;
  /** False: the schema must be this release's already. */
  readonly migrate?: boolean;
}

/** One thing that must hold before the service may be given work. */
export interface ReadinessCheck {
  readonly name: 'database' | 'schema' | 'privileges' | 'projector' | 'actions' | 'sealer';
  readonly ok: boolean;
  /** What is wrong, and what to do. */
  readonly message?: string;
}

export interface Readiness {
  readonly ready: boolean;
  readonly checks: readonly ReadinessCheck[];
}

/** Login of the service on the embedded server. */
const embeddedLogin = 'book_keeper_service';
const embeddedDatabase = 'book_keeper';
/** Login that takes events out of the embedded server once they are in cold storage. */
const embeddedArchiver = 'book_keeper_mover';
const archiveEveryMs = 3_600_000;
const readinessTimeoutMs = 2_000;

export class Service {
  /** Use openService. */
  constructor(
    readonly config: Config,
    readonly release: string,
    /** Where the data is, without credentials. */
    readonly database: string,
    readonly bootstrapKey: BootstrapKey,
    readonly store: WatchedStore,
    readonly ledger: Ledger,
    /** Who did what; see action-log.ts. */
    readonly actions: ActionLog,
    /** The same, asked. */
    readonly actionLog: UserActions,
    readonly queries: Queries,
    readonly reports: Reports,
    readonly periodEnd: PeriodEnd,
    /** Personal texts in what is shown. */
    readonly personal: Personal,
    readonly persons: Persons,
    /** Keys of persons and what wraps them, for operators. */
    readonly subjectKeys: SubjectKeys,
    readonly masterKeys: MasterKeys,
    readonly inspector: Inspector,
    readonly keys: ApiKeys,
    readonly projector: Projector,
    readonly sealer: Sealer,
    /** Moves old events to cold storage. */
    readonly archiver: Archiver,
    /** Of the audit trail of ordinary tables. */
    readonly auditSeals: AuditSeals,
    readonly proofs: Proofs,
    /** For operators: sets of projections. */
    readonly projections: Projections,
    private readonly pool: Pool,
    private readonly server: EmbeddedPostgres | undefined,
  ) {}

  /** Carries out a command, also one for which something has to be computed first. @throws LedgerError as Ledger.execute */
  execute(bookId: string, command: Command, context: CommandContext): Promise<Answer> {
    if (command.type === 'CloseFiscalYear' || command.type === 'Revalue') return this.periodEnd.execute(bookId, command, context);
    if (command.type === 'ErasePerson' || command.type === 'EndRetention') return this.persons.execute(bookId, command, context);
    return this.ledger.execute(bookId, command, context);
  }

  /** Derives again what can be derived from the events, and tells what differs; see verify.ts. */
  verify(options?: VerifyOptions): Promise<Verification> {
    return verifyHandedOut(this.config, this.pool, this.store, options);
  }

  /** Everything that an auditor needs to check a book elsewhere; see audit-pack.ts. */
  auditPack(bookId: string, question: AuditPackQuestion, onProgress?: (progress: AuditPackProgress) => void): Promise<AuditPack> {
    return auditPack(this, bookId, question, onProgress);
  }

  /** What a book would look like under another rule; see rule-replay.ts. */
  replay(options: RuleReplayOptions): Promise<RuleReplay> {
    return replayUnderRule(this.pool, this.store, this.queries, options);
  }

  /** Whether the service may be given work, and if not, what to do about it. */
  async readiness(): Promise<Readiness> {
    const late = sleep(readinessTimeoutMs, undefined, { ref: false }).then((): ReadinessCheck[] => [
      { name: 'database', ok: false, message: `the database did not answer within ${readinessTimeoutMs} ms` },
    ]);
    const checks = await Promise.race([this.check(), late]);
    return { ready: checks.every(({ ok }) => ok), checks };
  }

  private async check(): Promise<ReadinessCheck[]> {
    try {
      const client = await this.pool.connect();
      try {
        const schema = await schemaState(client);
        if (schema.state !== 'current') {
          return [
            { name: 'database', ok: true },
            { name: 'schema', ok: false, message: schemaProblem(schema) },
          ];
        }
        const { lacks, exceeds } = await privilegeProblems(client);
        const message = exceeds ?? lacks;
        const stopped = this.projectorProblems();
        const [unsealed] = this.sealer.problems();
        const unrecorded = this.actions.problem();
        return [
          writable(await readOnly(client), this.store.appendProblem()),
          { name: 'schema', ok: true },
          { name: 'privileges', ok: message === undefined, ...(message === undefined ? {} : { message }) },
          { name: 'projector', ok: stopped === '', ...(stopped === '' ? {} : { message: stopped }) },
          {
            name: 'actions',
            ok: unrecorded === undefined,
            ...(unrecorded === undefined ? {} : { message: `user actions cannot be recorded: ${unrecorded}` }),
          },
          // Nothing is lost while checkpoints wait, so this alone makes nobody unready; it is told all the same.
          { name: 'sealer', ok: true, ...(unsealed === undefined ? {} : { message: unsealed }) },
        ];
      } finally {
        client.release();
      }
    } catch (error) {
      return [{ name: 'database', ok: false, message: `the database does not answer: ${(error as Error).message}` }];
    }
  }

  private projectorProblems(): string {
    const stopped = this.projector
      .failures()
      .map(({ bookId, projection, position, message }) => `${projection} stands before event ${bookId}/${position}: ${message}`);
    stopped.push(...this.projector.problems());
    const [first, ...others] = this.projector.unwritable();
    if (first !== undefined)
      stopped.push(`book ${first.bookId}${others.length > 0 ? ` and ${others.length} more` : ''} cannot be folded now: ${first.message}`);
    return stopped.join('; ');
  }

  /**
   * Ends the service: commands that were taken get their outcome, then the projector stops where it is, connections close,
   * and the embedded server ends unless another process uses it.
   */
  async close(): Promise<void> {
    await this.persons.stop();
    await this.ledger.close();
    await this.archiver.stop();
    await this.auditSeals.stop();
    await this.actions.close();
    await this.sealer.stop();
    await this.projector.stop();
    await this.pool.end();
    await this.server?.stop();
  }
}

/** What only looks at the books. */
export interface Look {
  readonly inspector: Inspector;
  /** Sets of projections: to be listed and compared. */
  readonly projections: Pick<Projections, 'list' | 'compare'>;
  /** Names of API keys by id, revoked ones too; undefined when the login may not read them. */
  keyNames(): Promise<Map<string, string> | undefined>;
  /** Derives again what can be derived from the events, and tells what differs; see verify.ts. */
  verify(options?: VerifyOptions): Promise<Verification>;
  close(): Promise<void>;
}

/**
 * Opens the books to look at them: whoever looks must not change what is looked at. Nothing is migrated or written, a standby
 * will do, and so will any login that may read. (The embedded server is ours, and is made ready as for the service.)
 * @throws Error with what to do when the database cannot be used, also when its schema is not this release's
 */
export async function openLook(config: Config, log: Log): Promise<Look> {
  const server = await embeddedServer(config);
  let pool: Pool | undefined;
  const close = async (): Promise<void> => {
    await pool?.end();
    await server?.stop();
  };
  try {
    if (server !== undefined) await prepareEmbedded(server, config, log);
    pool = openPool(server === undefined ? config.DATABASE_URL : embeddedUrl(server, config), {
      max: config.READER_CONNECTIONS,
      queryTimeoutMs: config.COMMAND_DEADLINE_MS,
      primary: false,
      onIdleError: (error) => log.warn({ err: error }, 'an idle connection was lost'),
    });
    await bringSchema(pool, undefined, log);
    await checkProjections(pool);
    const opened = pool;
    const store = new EventStore(opened, catalogue, archivePlace(config.ARCHIVE_URL));
    return {
      inspector: new Inspector(store, opened),
      projections: new Projections(opened, store, projections),
      keyNames: () => keyNames(new ApiKeys(opened)),
      verify: (options) => verifyHandedOut(config, opened, store, options),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The books, and what was handed out of them: checkpoints outside must be beginnings of their logs. */
async function verifyHandedOut(config: Config, pool: Pool, store: EventStore, options: VerifyOptions = {}): Promise<Verification> {
  const trees = new TreeStore(pool);
  const origins: string[] = [];
  const name = (await trees.signingKeys()).at(-1)?.name ?? keptLogName(config);
  for (const bookId of options.books ?? (await everyLog(store))) {
    const known = (await trees.origins(bookId)).map(({ origin }) => origin);
    // A book whose names were taken away had this one.
    origins.push(...(known.length > 0 || name === '' ? known : [`${name}/${bookId}`]));
  }
  // Where all books are looked at, so are logs of books that the database does not have.
  const everything = options.books === undefined && name !== '' ? name : undefined;
  const { notes, unread } = await handedOut(checkpointTargets(config), origins, everything);
  const verification = await verifyBooks(pool, {
    ...options,
    cold: store.cold,
    notes: [...(options.notes ?? []), ...notes],
    witnesses: readWitnesses(config.WITNESSES).map(({ key }) => key),
  });
  return {
    ...verification,
    notChecked: [...verification.notChecked, ...unread.map((what) => `checkpoints that were handed out to ${what}`)],
  };
}

async function everyLog(store: EventStore): Promise<string[]> {
  const all: string[] = [];
  for (;;) {
    const some = await store.logs(all.at(-1));
    all.push(...some);
    if (some.length < 1_000) return all;
  }
}

async function keyNames(keys: ApiKeys): Promise<Map<string, string> | undefined> {
  try {
    return new Map((await keys.list()).map(({ id, name }) => [id, name]));
  } catch (error) {
    // 42501: insufficient privilege. Auditors may read everything but keys.
    if ((error as { code?: string }).code === '42501') return undefined;
    throw error;
  }
}

/**
 * Opens the service.
 * @throws Error with what to do when the database cannot be used
 */
export async function openService(config: Config, options: ServiceOptions): Promise<Service> {
  const { log } = options;
  const release = releaseVersion();
  const server = await embeddedServer(config);
  const closing: (() => Promise<unknown>)[] = [];
  if (server !== undefined) closing.push(() => server.stop());
  try {
    if (server !== undefined && options.migrate !== false) await prepareEmbedded(server, config, log);
    const url = server === undefined ? config.DATABASE_URL : embeddedUrl(server, config);
    const pool = openPool(url, {
      max: config.READER_CONNECTIONS,
      // Longer than anything a query may take; a server that is silent must not hold up a book for ever.
      queryTimeoutMs: config.COMMAND_DEADLINE_MS,
      onIdleError: (error) => log.warn({ err: error }, 'an idle connection was lost'),
    });
    closing.push(() => pool.end());
    await bringSchema(pool, options.migrate === false ? undefined : config.MIGRATION_DATABASE_URL || url, log);
    const { lacks } = await privilegeProblems(pool);
    if (lacks !== undefined) throw new Error(lacks);
    // A projection that this release brings needs no migration.
    await prepareProjections(pool, projections);

    const store = new WatchedStore(pool, catalogue, archivePlace(config.ARCHIVE_URL));
    const projector = new Projector(store, pool, {
      report: (problem) =>
        'error' in problem
          ? log.warn({ err: problem.error, book: problem.bookId }, 'a fold failed; it is tried again')
          : log.error(problem, 'an event cannot be folded'),
      replaced: ({ from, to, comparison: { tables, differences } }) =>
        log.info({ from, to, tables, differences }, 'a new version of a projection took the place of the old one'),
    });
    const keys = new ApiKeys(pool);
    const bootstrapKey = await keys.ensureBootstrap(config);
    const masterKeys = new MasterKeys(pool, config);
    const subjectKeys = new SubjectKeys(pool, masterKeys);
    const personal = new Personal(subjectKeys, store);
    const ledger = new Ledger(store, {
      connect: () => store.watch(connect(url, { pipeline: true })),
      config,
      release,
      personal,
      onAppended: (bookId) => projector.wake(bookId),
    });
    const actions = new ActionLog(store, {
      connect: () => store.watch(connect(url, { pipeline: true })),
      release,
      deadlineMs: config.ACTIONS_DEADLINE_MS,
    });
    const queries = new Queries(store, pool, { readWaitMs: config.READ_WAIT_MS });
    const persons = new Persons({
      ...{ store, pool, queries, ledger, personal },
      keys: subjectKeys,
      everyMs: config.RETENTION_MS,
      endsRetention: config.RETENTION === 'auto',
      report: ({ bookId, error }) => log.warn({ err: error, book: bookId }, 'ended duties could not be looked after; it is tried again'),
    });
    const sealer = new Sealer(store, pool, {
      config,
      report: ({ bookId, error }) =>
        log.warn({ err: error, book: bookId }, 'a checkpoint could not be made or handed out; it is tried again'),
    });
    if (options.compare !== false) await refuseConflicts(sealer);
    const auditSeals = new AuditSeals(pool, actions, {
      everyMs: config.CHECKPOINT_MS,
      report: (error) => log.warn({ err: error }, 'the audit trail could not be sealed; it is tried again'),
    });
    const archiver = new Archiver(store, pool, {
      connect: () => connectArchiver(config, server, pool),
      afterDays: config.ARCHIVE_AFTER_DAYS,
      fileTiles: config.ARCHIVE_FILE_TILES,
      everyMs: archiveEveryMs,
      report: ({ bookId, error }) => log.warn({ err: error, book: bookId }, 'events could not be moved to cold storage; it is tried again'),
      moved: ({ bookId, events, file }) => log.info({ book: bookId, events, file }, 'events were moved to cold storage'),
    });
    if (options.project !== false && config.ARCHIVE === 'inline') archiver.start();
    closing.push(() => archiver.stop());
    if (options.project !== false && config.SEAL === 'inline') {
      sealer.start();
      auditSeals.start();
    }
    closing.push(() => auditSeals.stop());
    closing.push(() => sealer.stop());
    if (options.project !== false && config.PROJECT === 'inline') projector.start();
    closing.push(() => projector.stop());
    closing.push(() => actions.close());
    closing.push(() => ledger.close());
    if (options.project !== false && config.PROJECT === 'inline') persons.start();
    closing.push(() => persons.stop());
    if (server !== undefined && config.DEMO_BOOK === 'auto' && options.migrate !== false) await openDemoBook(store, ledger);
    const service = new Service(
      config,
      release,
      shownDatabase(url, server),
      bootstrapKey,
      store,
      ledger,
      actions,
      new UserActions(store, pool, queries),
      queries,
      new Reports(store, queries),
      new PeriodEnd(store, queries, ledger),
      personal,
      persons,
      subjectKeys,
      masterKeys,
      new Inspector(store, pool),
      keys,
      projector,
      sealer,
      archiver,
      auditSeals,
      new Proofs(store, new TreeStore(pool), queries),
      new Projections(pool, store, projections),
      pool,
      server,
    );
    if (config.BOOTSTRAP_API_KEY !== '' && config.BOOTSTRAP_API_KEY.length < 20)
      log.warn({}, 'BOOTSTRAP_API_KEY is short enough to be guessed');
    return service;
  } catch (error) {
    for (const close of closing.reverse()) await close().catch(() => {}); // the first error is the one to tell
    throw error;
  }
}

/**
 * Before anything is written: a database that lacks what was signed would give the same positions to other events.
 * @throws Error naming the books and the way out
 */
async function refuseConflicts(sealer: Sealer): Promise<void> {
  const conflicts = await sealer.conflicts();
  const [first, ...others] = conflicts;
  if (first === undefined) return;
  const more =
    others.length === 0
      ? ''
      : `; the same is true of ${others
          .map(({ bookId }) => bookId)
          .slice(0, 20)
          .join(', ')}`;
  throw new Error(`${first.message}${more}`);
}

type OnStep = NonNullable<MigrateOptions['onStep']>;

/**
 * Brings a database to the schema of this release: the migrations, then the tables of the projections, which are declared in their
 * files and not in migrations.
 * @param url of a login that may create schemas and roles
 */
export async function migrateLedger(url: string, options: MigrateOptions = {}): ReturnType<typeof migrate> {
  const migrated = await migrate(url, options);
  const pool = openPool(url, { max: 1 });
  try {
    await prepareProjections(pool, projections);
  } finally {
    await pool.end();
  }
  return migrated;
}

/** For whoever only looks: the tables of projections must be there. */
async function checkProjections(pool: Pool): Promise<void> {
  const sets = await projectionSets(pool);
  const missing = projections.find(({ name }) => !sets.some((set) => set.projection === name && set.state === 'live'));
  if (missing !== undefined) throw new Error(`the tables of projection ${missing.name} are not in the database: run book-keeper migrate`);
}

/**
 * Brings the database to the schema of this release and opens nothing.
 * @returns the numbers applied now, the highest in the database, and which database it is
 */
export async function migrateDatabase(
  config: Config,
  log: Log,
  onStep?: OnStep,
): Promise<{ applied: number[]; current: number; database: string }> {
  const server = await embeddedServer(config);
  try {
    const url = config.MIGRATION_DATABASE_URL || config.DATABASE_URL;
    const migrated =
      server === undefined
        ? await migrateLedger(url, { onStep: onStep ?? logged(log) })
        : await prepareEmbedded(server, config, log, onStep);
    return { ...migrated, database: shownDatabase(url, server) };
  } finally {
    await server?.stop();
  }
}

/**
 * Waits for Ctrl-C or SIGTERM; call it before anything is opened, so that a signal during the start is heard after it. A
 * second signal ends the process at once.
 */
export function untilSignal(): Promise<void> {
  return new Promise((asked) => {
    let firstAt: number | undefined;
    const heard = (): void => {
      const now = performance.now();
      firstAt ??= now;
      // Under `npm start` one Ctrl-C arrives twice: from the terminal, and passed on by npm.
      if (now - firstAt > 500) process.exit(130);
      asked();
    };
    process.on('SIGINT', heard);
    process.on('SIGTERM', heard);
  });
}

/** The version in package.json: what events name as their release. */
export function releaseVersion(): string {
  const { version } = JSON.parse(readFileSync(join(migrationsDirectory(), '..', 'package.json'), 'utf8')) as { version: string };
  return version;
}

/** What an error means to whoever sent the request: one of ours as it is; `internal` when nobody expected it. */
export function ledgerErrorOf(error: unknown): LedgerError {
  if (error instanceof LedgerError) return error;
  if (error instanceof ArchiveUnreadable) return unreadable(error);
  if (isTransient(error)) {
    return new LedgerError(
      'database_unavailable',
      'the database does not answer; repeat the request, a command with the same key',
      { retryAfter: 1 },
      'unavailable',
      { cause: error },
    );
  }
  return new LedgerError('internal', 'the request could not be answered because of a fault of ours', {}, 'internal', { cause: error });
}

// --- Database ---

const logged =
  (log: Log): OnStep =>
  ({ number, name, skipped, ms }) =>
    log.info({ number, name, skipped, ms: Math.round(ms) }, 'migration');

/**
 * Migrates where that is needed only, so that a login that may not migrate can still serve.
 * @param migrationUrl undefined: the schema must be this release's
 */
async function bringSchema(pool: Pool, migrationUrl: string | undefined, log: Log): Promise<void> {
  const client = await pool.connect();
  const schema = await schemaState(client).finally(() => client.release());
  if (schema.state === 'current') return;
  if (migrationUrl === undefined) throw new Error(schemaProblem(schema));
  try {
    await migrateLedger(migrationUrl, { onStep: logged(log) });
  } catch (error) {
    // 42501: insufficient privilege
    if ((error as { code?: string }).code !== '42501') throw error;
    throw new Error(`${schemaProblem(schema)}, or set MIGRATION_DATABASE_URL to a login that may migrate`, { cause: error });
  }
}

const schemaProblem = ({ state, current, known }: SchemaState): string =>
  `the schema of the database is ${state} (migration ${current}; this release knows ${known}): run book-keeper migrate`;

async function embeddedServer({ DATABASE_URL, DATA_DIR }: Config): Promise<EmbeddedPostgres | undefined> {
  return DATABASE_URL === '' ? startEmbeddedPostgres({ dir: join(resolve(DATA_DIR), 'postgres'), durable: true }) : undefined;
}

/** The service's own database on the embedded server; the server's URL marks connections as ours, so it is kept. */
function embeddedUrl(server: EmbeddedPostgres, config: Config, login?: 'administrator'): string {
  const url = new URL(server.url);
  url.pathname = `/${embeddedDatabase}`;
  return login === undefined ? Object.assign(url, { username: embeddedLogin, password: embeddedPassword(config) }).href : url.href;
}

const embeddedPassword = ({ DATA_DIR }: Config, of = 'postgres-password'): string =>
  keptSecret(join(DATA_DIR, of), () => randomBytes(24).toString('base64url')).secret;

/**
 * A connection that may take events out which are in cold storage, and nothing else: the service's own login may not.
 * @param pool the database that the events are read from: a copy of it would lose what was never put into its files
 * @throws Error with what to do
 */
async function connectArchiver(config: Config, server: EmbeddedPostgres | undefined, pool: Pool): Promise<Client> {
  const grant = "CREATE ROLE book_keeper_mover LOGIN PASSWORD '…' IN ROLE book_keeper_archiver, and set ARCHIVER_DATABASE_URL to it";
  if (config.ARCHIVER_DATABASE_URL === '' && server === undefined)
    throw new Error(`events are taken out of the database by a login of its own, which the service must not be: ${grant}`);
  const url =
    server === undefined
      ? config.ARCHIVER_DATABASE_URL
      : Object.assign(new URL(embeddedUrl(server, config)), {
          username: embeddedArchiver,
          password: embeddedPassword(config, archiverPassword),
        }).href;
  const client = await connect(url);
  try {
    const { rows } = await client.query<{ may: boolean; login: string }>(
      "SELECT pg_has_role(session_user, 'book_keeper_archiver', 'USAGE') AS may, session_user::text AS login",
    );
    if (rows[0]?.may !== true) throw new Error(`the login ${rows[0]?.login} of ARCHIVER_DATABASE_URL may not take events out: ${grant}`);
    const here = await serverOf(client);
    const own = await serverOf(pool);
    if (here !== own)
      throw new Error(
        `ARCHIVER_DATABASE_URL leads to another database (${here}) than DATABASE_URL (${own}): events would leave one and be in the files of the other; set it to the same server and database`,
      );
    return client;
  } catch (error) {
    await client.end();
    throw error;
  }
}

/** What tells a database from a restored copy of it: copies have the same names and the same system identifier, but run on their own. */
async function serverOf(database: Pick<Client, 'query'> | Pool): Promise<string> {
  const { rows } = await (database as Pick<Client, 'query'>).query<{ name: string }>(
    `SELECT format('%s with id %s, on a server that runs since %s', current_database(), d.oid, pg_postmaster_start_time()) AS name
       FROM pg_database d WHERE d.datname = current_database()`,
  );
  return rows[0]?.name ?? '';
}

const archiverPassword = 'postgres-archiver-password';

/**
 * Makes database, schema and login of the service on the embedded server, as they are missing. The login's password is set
 * each time, because the file that holds it may have been lost.
 */
async function prepareEmbedded(
  server: EmbeddedPostgres,
  config: Config,
  log: Log,
  onStep: OnStep = logged(log),
): ReturnType<typeof migrate> {
  await asAdministrator(server.url, `CREATE DATABASE ${embeddedDatabase}`, '42P04');
  const migrated = await migrateLedger(embeddedUrl(server, config, 'administrator'), { onStep });
  await asAdministrator(server.url, `CREATE ROLE ${embeddedLogin} LOGIN IN ROLE book_keeper_app`, '42710');
  await asAdministrator(server.url, `ALTER ROLE ${embeddedLogin} LOGIN PASSWORD '${embeddedPassword(config)}'`);
  await asAdministrator(server.url, `CREATE ROLE ${embeddedArchiver} LOGIN IN ROLE book_keeper_archiver`, '42710');
  await asAdministrator(server.url, `ALTER ROLE ${embeddedArchiver} LOGIN PASSWORD '${embeddedPassword(config, archiverPassword)}'`);
  return migrated;
}

/**
 * Runs a statement that another process may be running in the same moment.
 * @param done SQLSTATE that says that it was done before: 42P04 duplicate database, 42710 duplicate role
 */
async function asAdministrator(url: string, statement: string, done?: string): Promise<void> {
  const client = await connect(url);
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        await client.query(statement);
        return;
      } catch (error) {
        const { code, message } = error as { code?: string; message: string };
        if (code === done) return;
        // 23505, XX000: the other process was between looking and writing; 55006: the template database is being copied.
        const race = code === '23505' || code === '55006' || (code === 'XX000' && message.includes('concurrently'));
        if (!race || attempt === 20) throw error;
        await sleep(50);
      }
    }
  } finally {
    await client.end();
  }
}

function shownDatabase(url: string, server: EmbeddedPostgres | undefined): string {
  if (server !== undefined) return `embedded PostgreSQL in ${server.dataDirectory}`;
  // Several hosts are no URL by the standard; user and password end at the last @ before the path.
  return url.replace(/\/\/[^/]*@/, '//').replace(/\?.*$/, '');
}

/** Whether the server takes writes from this session: a standby, or one that an operator made read-only, answers queries only. */
async function readOnly(client: { query: Pool['query'] }): Promise<boolean> {
  const { rows } = await client.query<{ read_only: boolean }>(
    "SELECT current_setting('transaction_read_only') = 'on' OR pg_is_in_recovery() AS read_only",
  );
  return rows[0]?.read_only === true;
}

function writable(isReadOnly: boolean, appendProblem: string | undefined): ReadinessCheck {
  if (isReadOnly) return { name: 'database', ok: false, message: 'the database accepts no writes: it is a standby, or was made read-only' };
  if (appendProblem !== undefined)
    return { name: 'database', ok: false, message: `the database answers, but carries out no command: ${appendProblem}` };
  return { name: 'database', ok: true };
}

interface Privileges {
  readonly login: string;
  readonly superuser: boolean;
  readonly creates_roles: boolean;
  readonly owner: boolean;
  readonly archives: boolean;
  readonly writes: boolean;
  readonly reads: boolean;
  readonly appends: boolean;
  readonly projects: boolean;
}

/**
 * Whether the login cannot do the work of the service (`lacks`), or could change recorded events (`exceeds`): they are safe
 * (I3) only from those who have no right to change them. Each says what is wrong and what to grant.
 */
async function privilegeProblems(client: { query: Pool['query'] }): Promise<{ lacks?: string; exceeds?: string }> {
  const { rows } = await client.query<Privileges>(`
    SELECT session_user::text AS login, r.rolsuper AS superuser, r.rolcreaterole AS creates_roles,
           pg_has_role(session_user, 'book_keeper_owner', 'MEMBER') AS owner,
           pg_has_role(session_user, 'book_keeper_archiver', 'MEMBER') AS archives,
           has_table_privilege(session_user, events.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
             OR has_any_column_privilege(session_user, events.oid, 'INSERT, UPDATE') AS writes,
           has_schema_privilege(session_user, 'log', 'USAGE') AND has_table_privilege(session_user, events.oid, 'SELECT') AS reads,
           pg_has_role(session_user, 'book_keeper_app', 'USAGE') AS appends,
           pg_has_role(session_user, 'book_keeper_projector', 'USAGE') AS projects
      FROM pg_catalog.pg_roles r,
           -- by catalogue: a name would need the right to look into the schema
           (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'log' AND c.relname = 'events') AS events
     WHERE r.rolname = session_user`);
  const { login, superuser, creates_roles, owner, archives, writes, reads, appends, projects } = rows[0] as Privileges;
  const why = superuser
    ? 'is a superuser'
    : creates_roles
      ? 'may create and grant roles'
      : owner
        ? 'is a member of book_keeper_owner'
        : archives
          ? 'is a member of book_keeper_archiver'
          : writes
            ? 'may INSERT, UPDATE, DELETE or TRUNCATE log.events'
            : undefined;
  if (why !== undefined) {
    const exceeds =
      `the login ${login} of DATABASE_URL ${why}, so it could change recorded events. Make a login of its own for the service: ` +
      `CREATE ROLE ${embeddedLogin} LOGIN PASSWORD '…' IN ROLE book_keeper_app; set DATABASE_URL to it, and MIGRATION_DATABASE_URL to ${login}`;
    return { exceeds };
  }
  if (reads && appends && projects) return {};
  return {
    lacks: `the login ${login} of DATABASE_URL lacks rights that the service needs; as an administrator: GRANT book_keeper_app TO ${login}`,
  };
}
