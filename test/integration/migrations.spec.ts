/** The migration runner on real databases: order, transactions, refusals, two runners at once. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, MigrationError, migrate, migrationsDirectory, schemaState } from '#postgres';
import { emptyDatabase, type TestDatabase, testDatabase } from '../support/database';

describe('migrate', () => {
  let database: Omit<TestDatabase, 'appUrl'>;
  let directory: string;

  beforeEach(async () => {
    database = await emptyDatabase();
    directory = mkdtempSync(join(tmpdir(), 'migrations-'));
  });
  afterEach(async () => {
    await database.drop();
    rmSync(directory, { recursive: true });
  });

  const file = (name: string, sql: string) => writeFileSync(join(directory, name), sql);
  const run = () => migrate(database.adminUrl, { directory });
  const query = async <T extends object>(sql: string): Promise<T[]> => {
    const client = await connect(database.adminUrl);
    try {
      return (await client.query<T>(sql)).rows;
    } finally {
      await client.end();
    }
  };
  const state = async () => {
    const client = await connect(database.adminUrl);
    try {
      return await schemaState(client, directory);
    } finally {
      await client.end();
    }
  };

  it('applies in order, once, and records name and hash', async () => {
    file('0001_first.sql', 'CREATE TABLE public.a (n int);');
    file('0002_second.sql', 'INSERT INTO public.a VALUES (2); INSERT INTO public.a VALUES (3);');
    const steps: string[] = [];
    await expect(
      migrate(database.adminUrl, { directory, onStep: (step) => steps.push(`${step.number} ${step.name} ${step.skipped}`) }),
    ).resolves.toEqual({ applied: [1, 2], current: 2 });
    expect(steps).toEqual(['1 first false', '2 second false']);
    await expect(run()).resolves.toEqual({ applied: [], current: 2 });
    await expect(query('SELECT n FROM public.a ORDER BY n')).resolves.toEqual([{ n: 2 }, { n: 3 }]);
    await expect(
      query(`SELECT number, name, length(sha256) AS hash, skipped FROM public.book_keeper_migrations ORDER BY 1`),
    ).resolves.toEqual([
      { number: 1, name: 'first', hash: 64, skipped: false },
      { number: 2, name: 'second', hash: 64, skipped: false },
    ]);
  });

  it('lets runners that start at once take turns', async () => {
    for (let n = 1; n <= 5; n++) file(`000${n}_step.sql`, `CREATE TABLE public.t${n} (n int); SELECT pg_sleep(0.02);`);
    const results = await Promise.all(Array.from({ length: 4 }, run));
    expect(results.flatMap((result) => result.applied).sort()).toEqual([1, 2, 3, 4, 5]);
    expect(results.every((result) => result.current === 5)).toBe(true);
  });

  it('keeps what came before a migration that fails, and says in which line it fails', async () => {
    file('0001_good.sql', 'CREATE TABLE public.a (n int);');
    file('0002_bad.sql', 'CREATE TABLE public.b (n int);\n\nSELECT * FROM public.nowhere;');
    await expect(run()).rejects.toMatchObject({
      code: 'migration_failed',
      message: expect.stringMatching(/^0002_bad\.sql, line 3: relation "public.nowhere"/),
    });
    await expect(query(`SELECT to_regclass('public.a') IS NOT NULL AS a, to_regclass('public.b') IS NOT NULL AS b`)).resolves.toEqual([
      { a: true, b: false },
    ]);
    await expect(state()).resolves.toEqual({ state: 'behind', current: 1, known: 2 });
  });

  it('refuses a migration that ends the SQL transaction', async () => {
    file('0001_commits.sql', 'CREATE TABLE public.a (n int); COMMIT;');
    await expect(run()).rejects.toMatchObject({ code: 'migration_failed', message: expect.stringContaining('ends the SQL transaction') });
    await expect(state()).resolves.toMatchObject({ state: 'empty' });
  });

  it('gives the record back to itself after a migration that took on a role', async () => {
    file('0001_role.sql', 'SET LOCAL ROLE pg_monitor; SELECT 1;');
    await expect(run()).resolves.toEqual({ applied: [1], current: 1 });
  });

  it('refuses a newer schema and an edited migration, naming what to do', async () => {
    file('0001_first.sql', 'CREATE TABLE public.a (n int);');
    file('0002_second.sql', 'CREATE TABLE public.b (n int);');
    await run();
    file('0002_second.sql', 'CREATE TABLE public.b (n bigint);');
    await expect(state()).resolves.toMatchObject({ state: 'edited' });
    await expect(run()).rejects.toMatchObject({ code: 'migration_edited', message: expect.stringContaining('restore the file') });
    rmSync(join(directory, '0002_second.sql'));
    await expect(state()).resolves.toEqual({ state: 'newer', current: 2, known: 1 });
    await expect(run()).rejects.toMatchObject({ code: 'schema_newer', message: expect.stringContaining('run the release that made it') });
  });

  it('takes CRLF line ends for the same migration', async () => {
    file('0001_first.sql', 'CREATE TABLE public.a (n int);\n');
    await run();
    file('0001_first.sql', 'CREATE TABLE public.a (n int);\r\n');
    await expect(run()).resolves.toEqual({ applied: [], current: 1 });
  });

  it('refuses a gap in the numbers', async () => {
    file('0001_first.sql', 'SELECT 1;');
    file('0003_third.sql', 'SELECT 1;');
    await expect(run()).rejects.toBeInstanceOf(MigrationError);
    await expect(run()).rejects.toMatchObject({ code: 'migrations_malformed', message: expect.stringContaining('0002_name.sql') });
  });

  it('applies a .plain.sql file on plain PostgreSQL', async () => {
    file('0001_triggers.plain.sql', 'CREATE TABLE public.a (n int);');
    await run();
    await expect(query('SELECT name, skipped FROM public.book_keeper_migrations')).resolves.toEqual([{ name: 'triggers', skipped: false }]);
    await expect(query('SELECT count(*)::int AS n FROM public.a')).resolves.toEqual([{ n: 0 }]);
  });

  it('skips a .plain.sql file, with a record, where the citus extension is installed', async () => {
    // Citus itself is not to be had here; the runner looks at nothing but the extension's name.
    await query(`INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
                 VALUES (987654, 'citus', 10, 'pg_catalog'::regnamespace, false, '13.0')`);
    file('0001_triggers.plain.sql', 'CREATE TABLE public.a (n int);');
    file('0002_more.sql', 'CREATE TABLE public.b (n int);');
    await expect(run()).resolves.toEqual({ applied: [1, 2], current: 2 });
    await expect(query('SELECT number, skipped FROM public.book_keeper_migrations ORDER BY number')).resolves.toEqual([
      { number: 1, skipped: true },
      { number: 2, skipped: false },
    ]);
    await expect(query(`SELECT to_regclass('public.a') AS a`)).resolves.toEqual([{ a: null }]);
  });
});

describe('the migrations of this release', () => {
  it('migrate several new databases of one server at once', async () => {
    const databases = await Promise.all(Array.from({ length: 3 }, emptyDatabase));
    try {
      const results = await Promise.all(databases.map(({ adminUrl }) => migrate(adminUrl)));
      expect(new Set(results.map(({ current }) => current)).size).toBe(1);
    } finally {
      await Promise.all(databases.map(({ drop }) => drop()));
    }
  });

  it('are current in a cloned database, and the service may see that', async () => {
    const database = await testDatabase();
    const client = await connect(database.appUrl);
    try {
      await expect(schemaState(client)).resolves.toMatchObject({ state: 'current' });
      expect(migrationsDirectory()).toMatch(/migrations$/);
      const { rows } = await client.query<{ roles: string[] }>(
        `SELECT array_agg(rolname::text) AS roles FROM pg_roles
         WHERE rolname LIKE 'book\\_keeper\\_%' AND pg_has_role(current_user, oid, 'MEMBER')`,
      );
      expect(rows[0]?.roles).toEqual(expect.arrayContaining(['book_keeper_app']));
      expect(rows[0]?.roles).not.toContain('book_keeper_owner');
    } finally {
      await client.end();
      await database.drop();
    }
  });
});
