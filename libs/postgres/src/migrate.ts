/**
 * The migration runner: brings a database to the schema that this release was written for, or says why not.
 *
 * A migration is a file `NNNN_name.sql`, numbered from 0001 without gaps, forward only. Each runs in one SQL transaction
 * together with its row in `public.book_keeper_migrations`, so it is either wholly there or not at all. Two runners at
 * once take turns: the row table is locked for each migration and read again under the lock (a table lock and not an
 * advisory one, since those do not work behind every pooler and on Citus). A file named `NNNN_name.plain.sql` is for plain
 * PostgreSQL only; where the citus extension is installed it is recorded as skipped.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientBase } from 'pg';
import { connect } from './connect';

/** How to migrate. */
export interface MigrateOptions {
  /** The directory of the numbered files. Default: {@link migrationsDirectory}. */
  directory?: string;
  /** Told of each migration as it is done. */
  onStep?: (step: { number: number; name: string; skipped: boolean; ms: number }) => void;
}

/** A database that this release must not touch, or a directory of migrations that contradicts itself. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError';

  constructor(
    readonly code: 'schema_newer' | 'migration_edited' | 'migration_out_of_order' | 'migration_failed' | 'migrations_malformed',
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** What a database's schema is to this release. */
export interface SchemaState {
  /** `empty`: never migrated; `behind`: migrations are missing; `newer`, `edited`: {@link migrate} would refuse. */
  state: 'empty' | 'behind' | 'current' | 'newer' | 'edited';
  /** The highest number recorded in the database; 0 when it is empty. */
  current: number;
  /** The highest number that this release knows. */
  known: number;
}

interface Migration {
  number: number;
  name: string;
  file: string;
  sql: string;
  sha256: string;
  plainOnly: boolean;
}

interface AppliedRow {
  number: number;
  name: string;
  sha256: string;
}

/**
 * Applies every migration that the database does not have yet.
 *
 * @param url of a login that may create schemas and roles (`MIGRATION_DATABASE_URL`)
 * @returns the numbers applied by this call (skipped ones included), and the highest number now in the database
 * @throws MigrationError; the message says what to do
 */
export async function migrate(url: string, options: MigrateOptions = {}): Promise<{ applied: number[]; current: number }> {
  const migrations = readMigrations(options.directory ?? migrationsDirectory());
  const client = await connect(url);
  const applied: number[] = [];
  try {
    await client.query(`SELECT set_config('search_path', 'public', false), set_config('client_min_messages', 'warning', false)`);
    await createTable(client);
    for (;;) {
      const started = performance.now();
      const step = await applyNext(client, migrations);
      if (!step) return { applied, current: migrations.length };
      applied.push(step.number);
      options.onStep?.({ ...step, ms: performance.now() - started });
    }
  } finally {
    await client.end();
  }
}

/**
 * Compares a database with this release, changing nothing. Any login may ask.
 *
 * @param directory as for {@link migrate}
 */
export async function schemaState(client: ClientBase, directory: string = migrationsDirectory()): Promise<SchemaState> {
  const migrations = readMigrations(directory);
  const known = migrations.length;
  const recorded = (await isMigrated(client)) ? await readApplied(client) : [];
  const current = recorded.at(-1)?.number ?? 0;
  if (recorded.length === 0) return { state: 'empty', current, known };
  if (current > known) return { state: 'newer', current, known };
  if (recorded.some((row) => row.sha256 !== migrations[row.number - 1]?.sha256)) return { state: 'edited', current, known };
  return { state: recorded.length < known ? 'behind' : 'current', current, known };
}

/** The `migrations` directory beside the package.json of this release, whether we run from sources or from dist. */
export function migrationsDirectory(): string {
  for (let at = __dirname; ; at = dirname(at)) {
    if (existsSync(join(at, 'package.json'))) return join(at, 'migrations');
    if (at === dirname(at))
      throw new MigrationError('migrations_malformed', `no package.json above ${__dirname}: the release is incomplete`);
  }
}

/** Numbered files only, 1, 2, 3 … without gap or double, so that "the highest number" says all there is to say. */
function readMigrations(directory: string): Migration[] {
  const files = existsSync(directory) ? readdirSync(directory).filter((file) => file.endsWith('.sql')) : [];
  return files.sort().map((file, index) => {
    const parts = /^(\d{4})_([a-z0-9_]+)(\.plain)?\.sql$/.exec(file);
    if (!parts || Number(parts[1]) !== index + 1) {
      throw new MigrationError(
        'migrations_malformed',
        `${join(directory, file)}: expected ${String(index + 1).padStart(4, '0')}_name.sql; migrations are numbered without gap or double`,
      );
    }
    // A checkout with CRLF line ends is the same migration.
    const sql = readFileSync(join(directory, file), 'utf8').replaceAll('\r\n', '\n');
    const sha256 = createHash('sha256').update(sql).digest('hex');
    return { number: index + 1, name: parts[2] as string, file, sql, sha256, plainOnly: parts[3] !== undefined };
  });
}

async function isMigrated(client: ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ present: boolean }>(`SELECT to_regclass('public.book_keeper_migrations') IS NOT NULL AS present`);
  return rows[0]?.present ?? false;
}

async function createTable(client: ClientBase): Promise<void> {
  await retrying(async () => {
    if (await isMigrated(client)) return;
    await client.query(`
      CREATE TABLE IF NOT EXISTS public.book_keeper_migrations (
        number     integer NOT NULL PRIMARY KEY,
        name       text NOT NULL,
        sha256     text NOT NULL,
        applied_at timestamptz NOT NULL,
        skipped    boolean NOT NULL
      );
      GRANT SELECT ON public.book_keeper_migrations TO PUBLIC`);
  });
}

/** @returns undefined when nothing was left to do */
function applyNext(
  client: ClientBase,
  migrations: readonly Migration[],
): Promise<{ number: number; name: string; skipped: boolean } | undefined> {
  return retrying(async () => {
    await client.query('BEGIN');
    try {
      // Held until commit; readers such as schemaState go on.
      await client.query('LOCK TABLE public.book_keeper_migrations IN EXCLUSIVE MODE');
      const next = nextMigration(migrations, await readApplied(client));
      if (!next) {
        await client.query('ROLLBACK');
        return undefined;
      }
      const skipped = next.plainOnly && (await hasCitus(client));
      if (!skipped) await run(client, next);
      await client.query('INSERT INTO public.book_keeper_migrations VALUES ($1, $2, $3, now(), $4)', [
        next.number,
        next.name,
        next.sha256,
        skipped,
      ]);
      await client.query('COMMIT');
      return { number: next.number, name: next.name, skipped };
    } catch (error) {
      await client.query('ROLLBACK').catch(() => {});
      throw error;
    }
  });
}

function nextMigration(migrations: readonly Migration[], applied: readonly AppliedRow[]): Migration | undefined {
  const last = applied.at(-1);
  if (last && last.number > migrations.length) {
    throw new MigrationError(
      'schema_newer',
      `the database has migration ${last.number} (${last.name}), this release knows ${migrations.length}: run the release that made it, or a newer one`,
    );
  }
  for (const [index, row] of applied.entries()) {
    const file = migrations[row.number - 1] as Migration;
    if (row.number !== index + 1) {
      throw new MigrationError(
        'migration_out_of_order',
        `the database has migration ${row.number} but not ${index + 1}: its record was changed by hand; restore the missing row or a backup`,
      );
    }
    if (row.sha256 !== file.sha256) {
      throw new MigrationError(
        'migration_edited',
        `${file.file} was edited after it was applied to this database: restore the file, and put the change into a new migration`,
      );
    }
  }
  return migrations[applied.length];
}

async function run(client: ClientBase, migration: Migration): Promise<void> {
  const before = await transactionId(client);
  try {
    await client.query(migration.sql);
  } catch (error) {
    throw new MigrationError('migration_failed', `${migration.file}${place(migration.sql, error)}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  // A migration may take on a role; the record is ours.
  await client.query('RESET ROLE');
  if ((await transactionId(client)) !== before) {
    throw new MigrationError('migration_failed', `${migration.file} ends the SQL transaction; remove COMMIT and ROLLBACK from it`);
  }
}

async function transactionId(client: ClientBase): Promise<string | undefined> {
  const { rows } = await client.query<{ id: string }>('SELECT pg_current_xact_id()::text AS id');
  return rows[0]?.id;
}

/** The line of the failing statement, from the character position in PostgreSQL's error. */
function place(sql: string, error: unknown): string {
  const position = Number((error as { position?: string }).position);
  return position > 0 ? `, line ${sql.slice(0, position).split('\n').length}` : '';
}

async function readApplied(client: ClientBase): Promise<AppliedRow[]> {
  const { rows } = await client.query<AppliedRow>('SELECT number, name, sha256 FROM public.book_keeper_migrations ORDER BY number');
  return rows;
}

async function hasCitus(client: ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ citus: boolean }>(`SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') AS citus`);
  return rows[0]?.citus ?? false;
}

const ATTEMPTS = 6;

/** Repeats what lost a race for a row of the catalogue; each attempt is a whole SQL transaction. */
async function retrying<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt === ATTEMPTS || !isCatalogueRace(error)) throw error;
      await sleep(20 * attempt + Math.random() * 50);
    }
  }
}

/**
 * IF NOT EXISTS looks before it inserts, so two sessions that create or grant the same thing at once collide in the
 * system catalogue. Roles collide even between databases, since the whole server shares them. Codes: duplicate table,
 * object, schema; unique violation of a catalogue's index; "tuple concurrently updated"; deadlock.
 */
function isCatalogueRace(error: unknown): boolean {
  const raised: unknown = error instanceof MigrationError ? error.cause : error;
  const { code, schema, message } = (raised ?? {}) as Partial<Record<'code' | 'schema' | 'message', string>>;
  if (code === '23505') return schema === 'pg_catalog';
  if (code === 'XX000') return /^tuple concurrently (updated|deleted)/.test(message ?? '');
  return code === '42P07' || code === '42710' || code === '42P06' || code === '40P01';
}
