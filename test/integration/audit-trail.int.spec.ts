/**
 * The audit trail of ordinary tables (migration 0013): at every instant its answer is what others saw of the table then, whatever statements
 * changed it; it says who did it; and nobody but its own triggers writes it.
 *
 * AUDIT_SEED chooses the statements; each failure names its seed.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as fc from 'fast-check';
import type { Client } from 'pg';
import { connect } from '#postgres';
import { blocks, makeNest, makeTrial, refusals, Sessions, steps } from '../support/audited-steps';
import { emptyDatabase, type TestDatabase, testDatabase } from '../support/database';

const seed = Number(process.env.AUDIT_SEED ?? Date.now() % 1_000_000);

let database: TestDatabase;
let admin: Client;
/** Owns the schema shop and the tables in it, and has no other rights. */
let app: Client;
let appLogin: string;
beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
  app = await connect(database.appUrl);
  appLogin = new URL(database.appUrl).username;
  await admin.query(`CREATE SCHEMA shop AUTHORIZATION ${appLogin}; CREATE SCHEMA nest AUTHORIZATION ${appLogin}`);
});
afterAll(async () => {
  await app.end();
  await admin.end();
  await database.drop();
});

/** Rows of a query as arrays. */
async function ask(text: string, client = admin): Promise<unknown[][]> {
  return (await client.query<unknown[]>({ text, rowMode: 'array' })).rows;
}

/** What PostgreSQL says to statements that it must refuse: SQLSTATE, message and hint. */
async function refusal(client: Client, text: string): Promise<string> {
  try {
    await client.query(text);
  } catch (error) {
    const { code, message, hint } = error as { code?: string; message: string; hint?: string };
    await client.query('ROLLBACK');
    return [code, message, hint].filter(Boolean).join(' | ');
  }
  return `done: ${text}`;
}

/** How much is recorded. */
const recorded = (): Promise<unknown[][]> =>
  ask(`SELECT (SELECT count(*) FROM audit.changes), (SELECT count(*) FROM audit.transactions), (SELECT count(*) FROM audit.commits),
              (SELECT count(*) FROM audit.tables WHERE is_attached)`);
const changesOf = (table: string): Promise<unknown[][]> =>
  ask(`SELECT operation, row_key, old, new FROM audit.trail WHERE relation = '${table}'::regclass AND operation NOT IN ('ATTACH', 'SNAPSHOT')
        ORDER BY place, seq`);
const differences = (table: string): Promise<unknown[][]> => ask(`SELECT row_key FROM audit.differences('${table}') ORDER BY 1`);
const instant = async (): Promise<string> => (await ask('SELECT clock_timestamp()::text'))[0]?.[0] as string;
const rowsAt = async (table: string, at: string): Promise<unknown[]> =>
  (await ask(`SELECT "row" FROM audit.rows_as_of('${table}', '${at}') ORDER BY row_key`)).map(([row]) => row);

let tables = 0;
/** A new table of the app's, audited: id and what is given. */
async function shopTable(columns: string, settings = ''): Promise<string> {
  const name = `shop.t${++tables}`;
  await app.query(`CREATE TABLE ${name} (id int PRIMARY KEY, ${columns}); SELECT audit.attach('${name}'${settings && `, ${settings}`})`);
  return name;
}

describe('at every instant', () => {
  let sessions: Sessions;
  beforeAll(async () => {
    sessions = await Sessions.connect(database.adminUrl, 3);
  });
  afterAll(() => sessions.end());

  it.each([
    ['alone', false],
    ['with triggers of the application that change the row again', true],
  ])('the trail has the rows that others saw then: statements of three sessions, %s', async (_name, triggers) => {
    await fc.assert(
      fc.asyncProperty(steps, async (run) => {
        await makeTrial(admin, triggers);
        const seen = [];
        for (const step of run) seen.push(await sessions.run(step));
        await sessions.settle();
        const { rows } = await admin.query(
          `SELECT s ->> 'at' AS at,
                  (SELECT coalesce(jsonb_agg(r."row" ORDER BY r."row" ->> 'region', (r."row" -> 'id')::int), '[]')
                     FROM audit.rows_as_of('trial.items', (s ->> 'at')::timestamptz) r) AS items,
                  (SELECT coalesce(jsonb_agg(r."row" ORDER BY r."row" ->> 'region', (r."row" -> 'id')::int, (r."row" -> 'n')::int), '[]')
                     FROM audit.rows_as_of('trial.lines', (s ->> 'at')::timestamptz) r) AS lines
             FROM jsonb_array_elements($1) WITH ORDINALITY AS s (s, n) ORDER BY s.n`,
          [JSON.stringify(seen.map(({ at }) => ({ at })))],
        );
        expect(rows).toEqual(seen);
        const { rows: wrong } = await admin.query(
          `SELECT s ->> 'at' AS at, k.key FROM jsonb_array_elements($1) s,
                  (SELECT jsonb_build_object('region', r, 'id', i) AS key FROM unnest('{a,b,c}'::text[]) r, generate_series(1, 3) i) k
            WHERE (s ->> 'n')::int % 7 = 0 AND audit.row_as_of('trial.items', k.key, (s ->> 'at')::timestamptz) IS DISTINCT FROM
                  (SELECT i FROM jsonb_array_elements(s -> 'items') i WHERE i @> k.key)`,
          [JSON.stringify(seen.map((one, n) => ({ ...one, n })))],
        );
        expect(wrong).toEqual([]);
        for (const table of ['trial.items', 'trial.lines']) {
          expect((await admin.query('SELECT * FROM audit.differences($1)', [table])).rows).toEqual([]);
          const { rows: unlike } = await admin.query(`
            SELECT * FROM (TABLE ${table} EXCEPT ALL SELECT p.* FROM audit.rows_as_of('${table}', 'infinity') r, jsonb_populate_record(NULL::${table}, r."row") p) x
            UNION ALL
            SELECT * FROM (SELECT p.* FROM audit.rows_as_of('${table}', 'infinity') r, jsonb_populate_record(NULL::${table}, r."row") p EXCEPT ALL TABLE ${table}) x`);
          expect(unlike).toEqual([]);
        }
      }),
      { seed, numRuns: 15, endOnFailure: true },
    );
    // Refused for what was meant: locks, keys that are taken, keys that are not there, rows that MERGE meets changed by others.
    expect([...refusals].filter((code) => !['55P03', '23505', '23503', '23514', '21000', '40P01', '40001'].includes(code))).toEqual([]);
  });
});

describe('in one message of the client with several statements', () => {
  it('the order of the changes of each row is that in which they happened, whatever triggers and functions change the row meanwhile', async () => {
    await fc.assert(
      fc.asyncProperty(blocks, async ({ triggers, messages }) => {
        await makeNest(app, triggers);
        for (const message of messages) {
          await app.query(message);
          expect(await differences('nest.rows')).toEqual([]);
        }
        const rows = new Map<number, object | null>();
        for (const [operation, key, old, now] of await changesOf('nest.rows')) {
          const { id } = key as { id: number };
          const row = rows.get(id) ?? null;
          if (operation === 'INSERT') expect(row).toBeNull();
          else expect(row).toMatchObject(old as object);
          rows.set(id, operation === 'DELETE' ? null : { ...row, ...(now as object) });
        }
      }),
      { seed, numRuns: 60, endOnFailure: true },
    );
  });
});

describe('who changed it', () => {
  it('is who was said in that SQL transaction, and in the next one nobody', async () => {
    const table = await shopTable('n int');
    await app.query(`BEGIN; SELECT audit.act_as('u-1', 'a reason', '192.0.2.7', 'browser'); INSERT INTO ${table} VALUES (1, 1); COMMIT`);
    await app.query(`UPDATE ${table} SET n = 2`);
    await app.query(`BEGIN; SELECT audit.act_as(NULL); UPDATE ${table} SET n = 3; COMMIT`);
    const [[address, program] = []] = await ask(`SELECT host(inet_client_addr()), current_setting('application_name')`, app);
    expect(await ask(`SELECT operation, actor, reason, ip, agent, login FROM audit.history('${table}', '1')`)).toEqual([
      ['INSERT', 'u-1', 'a reason', '192.0.2.7', 'browser', appLogin],
      ['UPDATE', null, null, address, program, appLogin],
      ['UPDATE', null, null, address, program, appLogin],
    ]);
    expect(await ask(`SELECT old, new, actor FROM audit.who_changed('${table}', '{"id": 1}', 'n')`)).toEqual([
      [null, 1, 'u-1'],
      [1, 2, null],
      [2, 3, null],
    ]);
  });

  it('may be two in one SQL transaction; what a savepoint takes back, it takes back of this too', async () => {
    const table = await shopTable('n int');
    await app.query(`BEGIN; SELECT audit.act_as('first'); INSERT INTO ${table} VALUES (1, 1);
      SAVEPOINT s; SELECT audit.act_as('second'); INSERT INTO ${table} VALUES (2, 1); UPDATE ${table} SET n = 2 WHERE id = 1; RELEASE s;
      SAVEPOINT s; SELECT audit.act_as('third'); DELETE FROM ${table}; ROLLBACK TO s; INSERT INTO ${table} VALUES (3, 1); COMMIT`);
    expect(
      await ask(
        `SELECT operation, row_key -> 'id', actor FROM audit.trail WHERE relation = '${table}'::regclass AND row_key IS NOT NULL ORDER BY seq`,
      ),
    ).toEqual([
      ['INSERT', 1, 'first'],
      ['INSERT', 2, 'second'],
      ['UPDATE', 1, 'second'],
      ['INSERT', 3, 'second'],
    ]);
    expect(await ask(`SELECT count(*) FROM audit.transactions WHERE actor = 'third'`)).toEqual([[0]]);
  });

  it('is nobody where nothing came of it: a rollback leaves no row in audit', async () => {
    const table = await shopTable('n int');
    const before = await recorded();
    await app.query(`BEGIN; SELECT audit.act_as('u'); INSERT INTO ${table} VALUES (1, 1); UPDATE ${table} SET n = 2; ROLLBACK`);
    await app.query(`BEGIN; SAVEPOINT s; INSERT INTO ${table} VALUES (1, 1); ROLLBACK TO s; COMMIT`);
    await app.query(`UPDATE ${table} SET n = 1; DELETE FROM ${table}`);
    expect(await recorded()).toEqual(before);
  });

  it.each([
    [`'{actor}'`, `audit.act_as(NULL, 'why')`, `audit.act_as('u')`, 'actor'],
    [`'{reason}'`, `audit.act_as('u')`, `audit.act_as(NULL, 'why')`, 'reason'],
    [`'{actor,reason}'`, `audit.act_as('u')`, `audit.act_as('u', 'why')`, 'actor and reason'],
  ])('must be said where it is demanded: %s', async (demanded, wrong, right, missing) => {
    const table = await shopTable('n int', `demanded => ${demanded}`);
    const before = await recorded();
    for (const text of [
      `INSERT INTO ${table} VALUES (1, 1)`,
      `TRUNCATE ${table}`,
      `BEGIN; SELECT ${wrong}; INSERT INTO ${table} VALUES (1, 1)`,
    ])
      expect(await refusal(app, text)).toBe(
        `BK011 | ${table} is changed only by those who say ${missing} | SELECT audit.act_as(actor, reason) in the same SQL transaction first`,
      );
    expect(await recorded()).toEqual(before);
    expect(await ask(`SELECT count(*) FROM ${table}`)).toEqual([[0]]);
    await app.query(`BEGIN; SELECT ${right}; INSERT INTO ${table} VALUES (1, 1); COMMIT`);
    expect(await ask(`SELECT count(*) FROM ${table}`)).toEqual([[1]]);
  });

  it('is the login that connected, also behind SET ROLE and in functions that run as somebody else', async () => {
    const table = await shopTable('n int');
    await admin.query(`SET ROLE ${appLogin}; INSERT INTO ${table} VALUES (1, 1); RESET ROLE`);
    await admin.query(`CREATE FUNCTION shop.as_admin() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'INSERT INTO ${table} VALUES (2, 1)'`);
    await app.query('SELECT shop.as_admin()');
    expect(
      await ask(
        `SELECT row_key -> 'id', login FROM audit.trail WHERE relation = '${table}'::regclass AND operation = 'INSERT' ORDER BY seq`,
      ),
    ).toEqual([
      [1, (await ask('SELECT session_user::text'))[0]?.[0]],
      [2, appLogin],
    ]);
  });

  it('committed when it did, although SET CONSTRAINTS ALL IMMEDIATE runs deferred triggers before', async () => {
    const table = await shopTable('n int');
    await app.query('BEGIN');
    await app.query(`INSERT INTO ${table} VALUES (1, 1)`);
    await app.query('SET CONSTRAINTS ALL IMMEDIATE');
    await app.query('SELECT $1::int', [1]);
    await app.query('SET CONSTRAINTS ALL IMMEDIATE');
    await app.query(`INSERT INTO ${table} VALUES (2, 1)`);
    const before = await instant();
    await app.query('COMMIT');
    expect(await rowsAt(table, before)).toEqual([]);
    expect(await rowsAt(table, await instant())).toHaveLength(2);
    expect(
      await ask('SELECT number FROM audit.transactions t WHERE NOT EXISTS (SELECT FROM audit.commits c WHERE c.number = t.number)'),
    ).toEqual([]);
  });
});

describe('the moment of a commit', () => {
  it('is one, also where two acted in the transaction', async () => {
    const table = await shopTable('n int');
    await app.query(
      `BEGIN; SELECT audit.act_as('first'); INSERT INTO ${table} VALUES (1, 1); SELECT audit.act_as('second'); INSERT INTO ${table} VALUES (2, 1); COMMIT`,
    );
    const moments = await ask(
      `SELECT count(DISTINCT committed_at), count(DISTINCT actor) FROM audit.trail WHERE relation = '${table}'::regclass AND row_key IS NOT NULL`,
    );
    expect(moments).toEqual([[1, 2]]);
  });

  it.each([
    [
      'in a block',
      'DO $$ BEGIN SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL IMMEDIATE; EXECUTE $q$SET CONSTRAINTS ALL IMMEDIATE -- COMMIT\n$q$; END $$',
    ],
    ['in functions', 'SELECT shop.no_later(), shop.no_later(), shop.no_later()'],
    ['in one message', 'SET CONSTRAINTS ALL IMMEDIATE; set /* */ constraints ALL IMMEDIATE; SET CONSTRAINTS ALL IMMEDIATE'],
  ])('is not before it, however often SET CONSTRAINTS ALL IMMEDIATE was said %s', async (_name, text) => {
    const table = await shopTable('n int');
    await app.query(`CREATE OR REPLACE FUNCTION shop.no_later() RETURNS void LANGUAGE sql AS 'SET CONSTRAINTS ALL IMMEDIATE'`);
    await app.query('BEGIN');
    await app.query(`INSERT INTO ${table} VALUES (1, 1)`);
    await app.query(text);
    const before = await instant();
    await app.query('COMMIT');
    expect(await rowsAt(table, before)).toEqual([]);
    expect(await rowsAt(table, await instant())).toHaveLength(1);
    // As one message, where nothing comes between.
    await app.query(`BEGIN; INSERT INTO ${table} VALUES (2, 1); ${text}; SELECT pg_sleep(0.2); COMMIT`);
    expect(
      await ask(
        `SELECT committed_at - changed_at > '0.2 s' FROM audit.trail WHERE relation = '${table}'::regclass AND row_key = '{"id": 2}'`,
      ),
    ).toEqual([[true]]);
  });

  it('is told of transactions that procedures commit', async () => {
    const table = await shopTable('n int');
    await app.query(`CREATE PROCEDURE shop.commits() LANGUAGE plpgsql AS $$
      BEGIN INSERT INTO ${table} VALUES (1, 1); COMMIT; INSERT INTO ${table} VALUES (2, 1); END $$`);
    await app.query('CALL shop.commits()');
    expect(await rowsAt(table, await instant())).toHaveLength(2);
    expect(await ask('SELECT FROM audit.transactions t WHERE NOT EXISTS (SELECT FROM audit.commits c WHERE c.number = t.number)')).toEqual(
      [],
    );
  });
});

describe('what is recorded', () => {
  it('is the columns that changed; of an UPDATE that changes nothing none', async () => {
    const table = await shopTable('n int, t text');
    await app.query(`INSERT INTO ${table} VALUES (1, 1, 'a'); UPDATE ${table} SET n = n; UPDATE ${table} SET n = 2`);
    await app.query(`UPDATE ${table} SET id = 7; DELETE FROM ${table}`);
    expect(await changesOf(table)).toEqual([
      ['INSERT', { id: 1 }, null, { id: 1, n: 1, t: 'a' }],
      ['UPDATE', { id: 1 }, {}, {}],
      ['UPDATE', { id: 1 }, { n: 1 }, { n: 2 }],
      ['DELETE', { id: 1 }, { id: 1, n: 2, t: 'a' }, null],
      ['INSERT', { id: 7 }, null, { id: 7, n: 2, t: 'a' }],
      ['DELETE', { id: 7 }, { id: 7, n: 2, t: 'a' }, null],
    ]);
  });

  it('has no trace of excluded columns, and of masked ones only that they changed', async () => {
    await app.query(`CREATE TABLE shop.secrets (id int PRIMARY KEY, pin text, cost int, free int);
      INSERT INTO shop.secrets VALUES (1, 'hush-0', 9876540, 1);
      SELECT audit.attach('shop.secrets', masked => '{cost,pin,cost}', excluded => '{pin,pin}')`);
    for (const text of [
      `INSERT INTO shop.secrets VALUES (2, 'hush-1', NULL, 1)`,
      `UPDATE shop.secrets SET pin = 'hush-2'`,
      'UPDATE shop.secrets SET cost = 9876541 WHERE id = 1',
      'UPDATE shop.secrets SET cost = 9876542, pin = NULL WHERE id = 2',
      'UPDATE shop.secrets SET id = 3 WHERE id = 2',
      'DELETE FROM shop.secrets WHERE id = 3',
      'TRUNCATE shop.secrets',
    ])
      await app.query(text);
    const masked = '[masked]';
    expect(await changesOf('shop.secrets')).toEqual([
      ['INSERT', { id: 2 }, null, { id: 2, cost: masked, free: 1 }],
      ['UPDATE', { id: 1 }, {}, {}],
      ['UPDATE', { id: 2 }, {}, {}],
      ['UPDATE', { id: 1 }, { cost: masked }, { cost: masked }],
      ['UPDATE', { id: 2 }, { cost: masked }, { cost: masked }],
      ['DELETE', { id: 2 }, { id: 2, cost: masked, free: 1 }, null],
      ['INSERT', { id: 3 }, null, { id: 3, cost: masked, free: 1 }],
      ['DELETE', { id: 3 }, { id: 3, cost: masked, free: 1 }, null],
      ['TRUNCATE', { id: 1 }, { id: 1, cost: masked, free: 1 }, null],
      ['TRUNCATE', null, null, { relation: 'shop.secrets', rows: 1 }],
    ]);
    expect(
      await ask(
        `SELECT c FROM audit.changes c WHERE concat(c.old, c.new) ~ 'hush|987654[0-2]' OR (table_id = (SELECT max(id) FROM audit.tables) AND row_key IS NOT NULL AND c::text ~ 'pin')`,
      ),
    ).toEqual([]);
    expect(await differences('shop.secrets')).toEqual([]);
  });

  it('does not depend on settings of the session', async () => {
    const table = await shopTable('a timestamptz, b date, c bytea, d interval, e float8, f money, g regclass');
    const values = String.raw`'2026-01-02 03:04:05+00', '2026-01-02', '\x00ff', '1 day 2:03:04', 0.1::float8 + 0.2, 1234.5::numeric::money, 'shop.t1'`;
    await app.query(`INSERT INTO ${table} VALUES (1, ${values})`);
    const odd = await connect(database.appUrl);
    await odd.query(`SET TimeZone = 'Asia/Kolkata'; SET DateStyle = 'SQL, DMY'; SET bytea_output = 'escape'; SET IntervalStyle = 'iso_8601';
      SET extra_float_digits = -5; SET search_path = shop`);
    await odd.query(`INSERT INTO ${table} SELECT 2, a, b, c, d, e, f, g FROM ${table}`);
    await odd.query(`UPDATE ${table} SET a = a`);
    await odd.end();
    await admin.query(`SET TimeZone = 'Asia/Kolkata'; SET IntervalStyle = 'iso_8601'`);
    expect(await differences(table)).toEqual([]);
    await admin.query('RESET TimeZone; RESET IntervalStyle');
    const [first, second] = (await rowsAt(table, 'infinity')) as object[];
    expect(second).toEqual({ ...first, id: 2 });
    const texts = {
      a: '2026-01-02T03:04:05+00:00',
      b: '2026-01-02',
      c: String.raw`\x00ff`,
      d: '1 day 02:03:04',
      e: 0.30000000000000004,
      g: 'shop.t1',
    };
    expect(second).toMatchObject(texts);
    expect((await changesOf(table)).slice(2).map(([, , old]) => old)).toEqual([{}, {}]);
  });

  it('has odd names and types: quotes, percent signs, names that the triggers use, enums, arrays of domains, composites', async () => {
    const [name, column] = ['"My Schema"."T%able ""x"" s"', `"it's ""100%s"" z"`];
    await admin.query(`CREATE SCHEMA "My Schema" AUTHORIZATION ${appLogin}`);
    await app.query(`CREATE TYPE shop.mood AS ENUM ('a', 'b'); CREATE TYPE shop.pair AS (x int, y text); CREATE DOMAIN shop.pos AS int CHECK (value > 0);
      CREATE TABLE ${name} ("key" int PRIMARY KEY, "row" text, n int, o int, r int, u int, new_rows int, old_rows int, ${column} text,
        m shop.mood, ms shop.mood[], p shop.pair, ds shop.pos[], g int GENERATED ALWAYS AS (n * 2) STORED, i int GENERATED BY DEFAULT AS IDENTITY)`);
    await app.query(`SELECT audit.attach('${name}', masked => ARRAY['it''s "100%s" z'])`);
    await app.query(
      `INSERT INTO ${name} (key, n, ${column}, m, ms, p, ds) VALUES (1, 1, '%s', 'a', '{a,b}', '(1,)', '{1,2}'), (2, NULL, NULL, NULL, NULL, '(,)', NULL)`,
    );
    await app.query(`UPDATE ${name} SET n = 5, o = 1, new_rows = 2, m = 'b', ms = '{b}', ${column} = 'x' WHERE key = 1`);
    expect(await ask(`SELECT old, new FROM audit.history('${name}', '1') WHERE operation = 'UPDATE'`)).toEqual([
      [
        { n: 1, o: null, g: 2, m: 'a', ms: '{a,b}', new_rows: null, 'it\'s "100%s" z': '[masked]' },
        { n: 5, o: 1, g: 10, m: 'b', ms: '{b}', new_rows: 2, 'it\'s "100%s" z': '[masked]' },
      ],
    ]);
    expect(await differences(name)).toEqual([]);
    const { rows } = await admin.query(`
      SELECT * FROM (SELECT p.* FROM audit.rows_as_of('${name}', 'infinity') r, jsonb_populate_record(NULL::${name}, r."row") p) a
        FULL JOIN ${name} b USING (key, n, o, new_rows, m, ms, p, ds, g, i) WHERE a IS NULL OR b IS NULL`);
    expect(rows).toMatchObject([{ key: 2 }, { key: 2 }]); // whose NULLs do not join
    await app.query(`TRUNCATE ${name}`);
    expect(await rowsAt(name, 'infinity')).toEqual([]);
  });

  it('goes on where columns come and go and the table is renamed; attached again, its rows are recorded anew', async () => {
    const table = await shopTable('n int, gone text');
    await app.query(`INSERT INTO ${table} VALUES (1, 1, 'x'), (2, 2, 'y')`);
    await app.query(`ALTER TABLE ${table} ADD later int; ALTER TABLE ${table} DROP gone; UPDATE ${table} SET later = 5 WHERE id = 1`);
    expect(await differences(table)).toEqual([]);
    const before = await instant();
    await app.query(`ALTER TABLE ${table} RENAME n TO m; ALTER TABLE ${table} ADD given int DEFAULT 3;
      ALTER TABLE ${table} ALTER later TYPE text; ALTER TABLE ${table} RENAME TO moved`);
    expect(await differences('shop.moved')).toEqual([[{ id: 1 }], [{ id: 2 }]]);
    expect(await ask(`SELECT audit.attach('shop.moved'), audit.attach('shop.moved')`, app)).toEqual([[2, 0]]);
    expect(await differences('shop.moved')).toEqual([]);
    expect(await rowsAt('shop.moved', 'infinity')).toEqual([
      { id: 1, m: 1, later: '5', given: 3 },
      { id: 2, m: 2, later: null, given: 3 },
    ]);
    expect(await rowsAt('shop.moved', before)).toMatchObject([
      { id: 1, n: 1, later: 5 },
      { id: 2, n: 2 },
    ]);
  });

  it('is refused, with the change, where a column that it depends on was renamed: what is excluded is not told by another name', async () => {
    const table = await shopTable('pin text', `excluded => '{pin}'`);
    await app.query(`ALTER TABLE ${table} RENAME pin TO code`);
    expect(await refusal(app, `INSERT INTO ${table} VALUES (1, 'hush')`)).toMatch(
      /^BK010 .* has no longer all of the columns that its audit trail depends on: id, pin \| attach it again/,
    );
    await app.query(
      `SELECT audit.attach('${table}', excluded => '{code}'); INSERT INTO ${table} VALUES (1, 'hush'); ALTER TABLE ${table} RENAME id TO ident`,
    );
    expect(await refusal(app, `TRUNCATE ${table}`)).toMatch(/^BK010/);
    await app.query(
      `SELECT audit.detach('${table}'), audit.attach('${table}', excluded => '{code}'); INSERT INTO ${table} VALUES (2, 'hush')`,
    );
    expect(await rowsAt(table, 'infinity')).toEqual([{ ident: 1 }, { ident: 2 }]);
    expect(await differences(table)).toEqual([]);
  });

  it('is refused where another column took over the name of one that it depends on, masked or of the key', async () => {
    const masked = await shopTable('pin text', `masked => '{pin}'`);
    await app.query(
      `INSERT INTO ${masked} VALUES (1, 'hush-a'); ALTER TABLE ${masked} RENAME pin TO pin_old; ALTER TABLE ${masked} ADD pin text`,
    );
    expect(await refusal(app, `UPDATE ${masked} SET pin = 'h', pin_old = 'hush-b'`)).toMatch(/^BK010 .* no longer all of the columns/);
    await app.query(`SELECT audit.attach('${masked}', masked => '{pin,pin_old}'); UPDATE ${masked} SET pin = 'h', pin_old = 'hush-b'`);
    expect(await ask(`SELECT c FROM audit.changes c WHERE c::text ~ 'hush-[ab]'`)).toEqual([]);
    const keyed = await shopTable('n int');
    await app.query(`ALTER TABLE ${keyed} DROP CONSTRAINT ${keyed.slice(5)}_pkey`);
    expect(await ask(`SELECT "trigger", wrong FROM audit.coverage() WHERE NOT fires AND relation = '${keyed}'::regclass`)).toEqual([
      [null, 'has no valid unique index any more that keeps its rows apart by (id)'],
    ]);
    await app.query(`ALTER TABLE ${keyed} RENAME id TO old_id; ALTER TABLE ${keyed} ADD id int NOT NULL UNIQUE`);
    expect(await refusal(app, `INSERT INTO ${keyed} VALUES (1, 1, 1)`)).toMatch(/^BK010 .* no longer all of the columns/);
  });

  it('never tells what is masked since a transaction began to look at older settings', async () => {
    const table = await shopTable('pin text');
    await app.query(`INSERT INTO ${table} VALUES (1, 'x')`);
    const other = await connect(database.appUrl);
    for (const settings of [`masked => '{pin}'`, `masked => '{pin}', demanded => '{reason}'`]) {
      await other.query(`BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM ${table}`);
      await app.query(`SELECT audit.attach('${table}', ${settings})`);
      expect(await refusal(other, `UPDATE ${table} SET pin = 'hush-c'`)).toMatch(
        /^40001 .* with other settings .* try the transaction again/,
      );
    }
    await other.query(`CREATE TABLE shop.late (id int PRIMARY KEY)`);
    await other.query(`BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM shop.late`);
    await app.query(`SELECT audit.attach('shop.late')`);
    expect(await refusal(other, `INSERT INTO shop.late VALUES (1)`)).toMatch(/^40001 .* \| try the transaction again$/);
    await other.end();
    expect(await ask(`SELECT c FROM audit.changes c WHERE c::text ~ 'hush-c'`)).toEqual([]);
  });

  it('is in the order in which a row changed, also where triggers of the application change it again', async () => {
    const table = await shopTable('n int, t text');
    await app.query(`CREATE FUNCTION shop.again() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF TG_OP = 'DELETE' THEN INSERT INTO ${table} VALUES (OLD.id, 0, 'back');
          ELSIF NEW.t = 'no' THEN DELETE FROM ${table} WHERE id = NEW.id;
          ELSE UPDATE ${table} SET n = NEW.n + 1, t = 'again' WHERE id = NEW.id; END IF;
          RETURN NULL;
        END $$;
      CREATE TRIGGER again AFTER INSERT OR UPDATE OR DELETE ON ${table} FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION shop.again();
      CREATE FUNCTION shop.replace() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM ${table} WHERE id = NEW.id; RETURN NEW; END $$;
      CREATE TRIGGER replace BEFORE INSERT ON ${table} FOR EACH ROW WHEN (NEW.t = 'replace') EXECUTE FUNCTION shop.replace();`);
    await app.query(`INSERT INTO ${table} VALUES (1, 1, 'a'), (2, 1, 'no')`);
    await app.query(`UPDATE ${table} SET n = 7, t = 'b' WHERE id = 1`);
    await app.query(`DELETE FROM ${table} WHERE id = 1`);
    await app.query(`INSERT INTO ${table} VALUES (1, 5, 'replace')`);
    const ofFirst = (await changesOf(table)).filter(([, key]) => (key as { id: number }).id === 1);
    expect(ofFirst.map(([operation, , old, now]) => [operation, old, now])).toEqual([
      ['INSERT', null, { id: 1, n: 1, t: 'a' }],
      ['UPDATE', { n: 1, t: 'a' }, { n: 2, t: 'again' }],
      ['UPDATE', { n: 2, t: 'again' }, { n: 7, t: 'b' }],
      ['UPDATE', { n: 7, t: 'b' }, { n: 8, t: 'again' }],
      ['DELETE', { id: 1, n: 8, t: 'again' }, null],
      ['INSERT', null, { id: 1, n: 0, t: 'back' }],
      ['DELETE', { id: 1, n: 0, t: 'back' }, null],
      ['INSERT', null, { id: 1, n: 5, t: 'replace' }],
      ['UPDATE', { n: 5, t: 'replace' }, { n: 6, t: 'again' }],
    ]);
    expect(await differences(table)).toEqual([]);
    expect(await ask(`SELECT new FROM audit.who_changed('${table}', '1', 'n')`)).toEqual(
      [1, 2, 7, 8, null, 0, null, 5, 6].map((value) => [value]),
    );
  });

  it('is each change once where foreign keys change a row twice, or parts of a statement end in another order', async () => {
    await app.query('CREATE TABLE shop.parents (id int PRIMARY KEY)');
    const table = await shopTable('a int REFERENCES shop.parents ON DELETE SET NULL, b int REFERENCES shop.parents ON DELETE SET NULL');
    await app.query(`INSERT INTO shop.parents VALUES (1); INSERT INTO ${table} VALUES (1, 1, 1); DELETE FROM shop.parents`);
    await app.query(`WITH gone AS (DELETE FROM ${table} RETURNING *) INSERT INTO ${table} SELECT id, a, b FROM gone LIMIT 1`);
    expect((await changesOf(table)).map(([operation, , old]) => [operation, old])).toEqual([
      ['INSERT', null],
      ['UPDATE', { a: 1 }],
      ['UPDATE', { b: 1 }],
      ['DELETE', { id: 1, a: null, b: null }],
      ['INSERT', null],
    ]);
    expect(await differences(table)).toEqual([]);
  });

  it('comes through views, rules and INSTEAD OF triggers, from writers without any right on audit', async () => {
    const table = await shopTable('n int');
    await app.query(`CREATE VIEW shop.v AS SELECT * FROM ${table}; CREATE VIEW shop.w AS SELECT id + 0 AS id FROM ${table};
      CREATE FUNCTION shop.instead() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM ${table} WHERE id = OLD.id; RETURN OLD; END $$;
      CREATE TRIGGER instead INSTEAD OF DELETE ON shop.w FOR EACH ROW EXECUTE FUNCTION shop.instead();
      CREATE RULE twice AS ON UPDATE TO shop.w DO INSTEAD UPDATE ${table} SET n = 2 * n WHERE id = OLD.id`);
    await app.query('INSERT INTO shop.v VALUES (1, 1), (2, 2)');
    await app.query('UPDATE shop.w SET id = 0 WHERE id = 2; DELETE FROM shop.w WHERE id = 1');
    expect((await changesOf(table)).map(([operation, key]) => [operation, key])).toEqual([
      ['INSERT', { id: 1 }],
      ['INSERT', { id: 2 }],
      ['UPDATE', { id: 2 }],
      ['DELETE', { id: 1 }],
    ]);
    expect(await differences(table)).toEqual([]);
  });

  it('comes also where session_replication_role is replica, with the moment of its commit', async () => {
    const table = await shopTable('n int');
    const replica = await connect(database.adminUrl);
    await replica.query(`BEGIN; SET LOCAL session_replication_role = replica; INSERT INTO ${table} VALUES (1, 1)`);
    const before = await instant();
    await replica.query('COMMIT');
    await replica.end();
    expect(await rowsAt(table, before)).toEqual([]);
    expect(await rowsAt(table, 'infinity')).toHaveLength(1);
  });

  it('costs in proportion to the rows: 100,000 less than twenty times 10,000', async () => {
    const table = await shopTable('n int, t text');
    await app.query(`INSERT INTO ${table} SELECT i, 0, 'a text' FROM generate_series(1, 100000) i`);
    const took = async (rows: number): Promise<number> => {
      const started = performance.now();
      await app.query(`UPDATE ${table} SET n = n + 1 WHERE id <= ${rows}`);
      return performance.now() - started;
    };
    await took(10_000);
    const few = await took(10_000);
    expect((await took(100_000)) / few).toBeLessThan(20);
    const counts = 'count(*), count(DISTINCT row_key)';
    expect(await ask(`SELECT ${counts} FROM audit.trail WHERE relation = '${table}'::regclass AND operation = 'UPDATE'`)).toEqual([
      [120_000, 100_000],
    ]);
  });

  it('is without virtual generated columns, which triggers do not see, and with stored ones', async () => {
    const virtual = Number((await ask('SHOW server_version_num'))[0]?.[0]) >= 180_000 ? 'VIRTUAL' : 'STORED';
    const table = await shopTable(`n int, v int GENERATED ALWAYS AS (n * 2) ${virtual}, s int GENERATED ALWAYS AS (n * 3) STORED`);
    await app.query(`INSERT INTO ${table} VALUES (1, 1); UPDATE ${table} SET n = 2`);
    expect(await rowsAt(table, 'infinity')).toEqual([{ id: 1, n: 2, s: 6, ...(virtual === 'STORED' && { v: 4 }) }]);
    expect(await differences(table)).toEqual([]);
  });

  it('comes of rows on their way to another partition also where a trigger refuses some of them, which are gone', async () => {
    await app.query(`CREATE TABLE shop.places (p int, id int, n int, PRIMARY KEY (p, id)) PARTITION BY LIST (p);
      CREATE TABLE shop.p1 PARTITION OF shop.places FOR VALUES IN (1); CREATE TABLE shop.p2 PARTITION OF shop.places FOR VALUES IN (2);
      CREATE FUNCTION shop.no_threes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = 3 THEN RETURN NULL; END IF; RETURN NEW; END $$;
      CREATE TRIGGER no_threes BEFORE INSERT ON shop.p2 FOR EACH ROW EXECUTE FUNCTION shop.no_threes();
      SELECT audit.attach('shop.places'); INSERT INTO shop.places SELECT 1, i, i FROM generate_series(1, 5) i`);
    await app.query('UPDATE shop.places SET p = 2 WHERE id > 1');
    expect(await ask('SELECT p, id FROM shop.places ORDER BY id')).toEqual([
      [1, 1],
      [2, 2],
      [2, 4],
      [2, 5],
    ]);
    expect(await differences('shop.places')).toEqual([]);
  });

  it('is right where MERGE inserts by way of a partitioned table and updates in the same statement', async () => {
    await app.query(`CREATE TABLE shop.merged (p int, id int, n int, g int GENERATED ALWAYS AS (n * 2) STORED, PRIMARY KEY (p, id)) PARTITION BY LIST (p);
      CREATE TABLE shop.merged_1 PARTITION OF shop.merged FOR VALUES IN (1);
      SELECT audit.attach('shop.merged'); INSERT INTO shop.merged VALUES (1, 2, 0), (1, 3, 0)`);
    await app.query(`MERGE INTO shop.merged t USING generate_series(1, 3) s ON t.p = 1 AND t.id = s
      WHEN MATCHED THEN UPDATE SET n = 5 WHEN NOT MATCHED THEN INSERT (p, id, n) VALUES (1, s, 9)`);
    expect(
      (await changesOf('shop.merged')).slice(2).map(([operation, key, , now]) => [operation, (key as { id: number }).id, now]),
    ).toEqual([
      ['UPDATE', 2, { n: 5, g: 10 }],
      ['UPDATE', 3, { n: 5, g: 10 }],
      ['INSERT', 1, { p: 1, id: 1, n: 9, g: 18 }],
    ]);
    expect(await differences('shop.merged')).toEqual([]);
  });

  it('is in order in one message of the client with many statements, where no order is to be found out', async () => {
    const table = await shopTable('n int, t text');
    await app.query(`DO $$ BEGIN
        FOR i IN 1..3 LOOP
          INSERT INTO ${table} VALUES (1, i, 'a'); UPDATE ${table} SET n = 7; UPDATE ${table} SET n = i; UPDATE ${table} SET n = 7; DELETE FROM ${table};
        END LOOP;
        INSERT INTO ${table} VALUES (1, 0, 'last');
      END $$`);
    expect(
      await ask(`SELECT count(*) FROM audit.changes WHERE place IS NOT NULL AND table_id = (SELECT max(id) FROM audit.tables)`),
    ).toEqual([[0]]);
    expect((await changesOf(table)).map(([operation]) => (operation as string)[0]).join('')).toBe('IUUUDIUUUDIUUUDI');
    expect(await differences(table)).toEqual([]);
  });

  it('may be very wide', async () => {
    const table = await shopTable(Array.from({ length: 400 }, (_, i) => `c${i} text`).join(', '));
    await app.query(`INSERT INTO ${table} (id, c1, c399) VALUES (1, repeat('é', 3000000), 'x'); UPDATE ${table} SET c399 = 'y'`);
    expect((await changesOf(table))[1]).toEqual(['UPDATE', { id: 1 }, { c399: 'x' }, { c399: 'y' }]);
    expect(await differences(table)).toEqual([]);
  });
});

describe('TRUNCATE', () => {
  it('is recorded with every row that it takes away, with those of tables that it cascades to', async () => {
    const parent = await shopTable('n int');
    const child = await shopTable(`p int REFERENCES ${parent}`);
    await app.query(`INSERT INTO ${parent} VALUES (1, 1), (2, 2); INSERT INTO ${child} VALUES (1, 1)`);
    await app.query(`TRUNCATE ${parent} CASCADE`);
    expect((await changesOf(parent)).slice(2)).toEqual([
      ['TRUNCATE', { id: 1 }, { id: 1, n: 1 }, null],
      ['TRUNCATE', { id: 2 }, { id: 2, n: 2 }, null],
      ['TRUNCATE', null, null, { relation: parent, rows: 2 }],
    ]);
    expect((await changesOf(child)).slice(1)).toEqual([
      ['TRUNCATE', { id: 1 }, { id: 1, p: 1 }, null],
      ['TRUNCATE', null, null, { relation: child, rows: 1 }],
    ]);
    expect([...(await differences(parent)), ...(await rowsAt(child, 'infinity'))]).toEqual([]);
  });

  it('is refused where the transaction may not see all rows, and then nothing happened', async () => {
    const table = await shopTable('n int');
    await app.query(`INSERT INTO ${table} VALUES (1, 1)`);
    for (const level of ['REPEATABLE READ', 'SERIALIZABLE'])
      expect(await refusal(app, `BEGIN ISOLATION LEVEL ${level}; TRUNCATE ${table}`)).toMatch(
        /^BK012 .* \| do it in READ COMMITTED, or DELETE$/,
      );
    expect(await rowsAt(table, 'infinity')).toHaveLength(1);
    await app.query(`BEGIN ISOLATION LEVEL READ UNCOMMITTED; TRUNCATE ${table}; COMMIT`);
    expect(await rowsAt(table, 'infinity')).toEqual([]);
  });

  it('is refused where the rows may not be read any more, and says what to do', async () => {
    const table = await shopTable('n int');
    await admin.query(`CREATE SCHEMA secluded AUTHORIZATION ${appLogin}`);
    await app.query(`ALTER TABLE ${table} SET SCHEMA secluded`);
    const moved = table.replace('shop', 'secluded');
    expect(await refusal(app, `TRUNCATE ${moved}`)).toMatch(
      /^42501 \| TRUNCATE of .* audit_trail_owner may not read the rows .* attach .* again/,
    );
    await app.query(`SELECT audit.attach('${moved}'); TRUNCATE ${moved}`);
  });

  it('of a partitioned table and of one partition tells of the rows of each', async () => {
    await app.query(`CREATE TABLE shop.months (m int, id int, PRIMARY KEY (m, id)) PARTITION BY LIST (m);
      CREATE TABLE shop.m1 PARTITION OF shop.months FOR VALUES IN (1); CREATE TABLE shop.m2 PARTITION OF shop.months FOR VALUES IN (2);
      SELECT audit.attach('shop.months'); INSERT INTO shop.months VALUES (1, 1), (2, 1), (2, 2)`);
    await app.query('TRUNCATE shop.m1');
    expect(await rowsAt('shop.months', 'infinity')).toEqual([
      { m: 2, id: 1 },
      { m: 2, id: 2 },
    ]);
    await app.query('TRUNCATE shop.months');
    expect((await changesOf('shop.months')).slice(3).map(([, key, , now]) => key ?? now)).toEqual(
      expect.arrayContaining([
        { m: 1, id: 1 },
        { relation: 'shop.m1', rows: 1 },
        { m: 2, id: 1 },
        { m: 2, id: 2 },
        { relation: 'shop.m2', rows: 2 },
      ]),
    );
    expect(await differences('shop.months')).toEqual([]);
  });
});

describe('partitions that come and go', () => {
  /** A table with a partition for each of the numbers, audited. */
  async function partitioned(name: string, numbers: number[]): Promise<string> {
    await app.query(`CREATE TABLE shop.${name} (p int, id int, n int, PRIMARY KEY (p, id)) PARTITION BY LIST (p)`);
    for (const number of numbers)
      await app.query(`CREATE TABLE shop.${name}_${number} PARTITION OF shop.${name} FOR VALUES IN (${number})`);
    await app.query(`SELECT audit.attach('shop.${name}')`);
    return `shop.${name}`;
  }

  it('with rows are recorded when the table is attached again, and rows that left with one are gone', async () => {
    const table = await partitioned('coming', [1]);
    await app.query(`INSERT INTO ${table} VALUES (1, 1, 1)`);
    await app.query(`CREATE TABLE ${table}_2 (LIKE ${table} INCLUDING ALL); INSERT INTO ${table}_2 VALUES (2, 1, 1), (2, 2, 2);
      ALTER TABLE ${table} ATTACH PARTITION ${table}_2 FOR VALUES IN (2)`);
    expect(await ask(`SELECT audit.attach('${table}'), audit.attach('${table}')`, app)).toEqual([[2, 0]]);
    await app.query(`UPDATE ${table} SET n = 5 WHERE id = 1`);
    expect(await ask(`SELECT audit.row_as_of('${table}', '{"p": 2, "id": 1}', 'infinity')`)).toEqual([[{ p: 2, id: 1, n: 5 }]]);
    const before = await instant();
    await app.query(`ALTER TABLE ${table} DETACH PARTITION ${table}_2; SELECT audit.attach('${table}')`);
    expect(await rowsAt(table, 'infinity')).toEqual([{ p: 1, id: 1, n: 5 }]);
    expect(await rowsAt(table, before)).toHaveLength(3);
    expect(
      await ask(
        `SELECT operation, row_key, old, new FROM audit.trail WHERE operation = 'DETACH' AND relation = '${table}'::regclass ORDER BY row_key`,
      ),
    ).toEqual([
      ['DETACH', { p: 2, id: 1 }, { p: 2, id: 1, n: 5 }, null],
      ['DETACH', { p: 2, id: 2 }, { p: 2, id: 2, n: 2 }, null],
    ]);
    expect(await differences(table)).toEqual([]);
  });

  it('are truncated by way of their root with a record of their rows, also before it is attached again', async () => {
    const table = await partitioned('emptied', [1]);
    await app.query(`CREATE TABLE ${table}_2 PARTITION OF ${table} FOR VALUES IN (2); INSERT INTO ${table} VALUES (1, 1), (2, 1), (2, 2)`);
    await app.query(`TRUNCATE ${table}`);
    expect(await rowsAt(table, 'infinity')).toEqual([]);
    expect(await ask(`SELECT count(*) FROM audit.changes c WHERE operation = 'TRUNCATE' AND row_key -> 'p' = '2'`)).toEqual([[2]]);
  });

  it('coverage tells of a table that became a partition of one that is not audited, and of one that others inherit from', async () => {
    const part = await shopTable('n int');
    await app.query(
      `CREATE TABLE shop.whole (id int PRIMARY KEY, n int) PARTITION BY RANGE (id); ALTER TABLE shop.whole ATTACH PARTITION ${part} DEFAULT`,
    );
    const parent = await shopTable('n int');
    await app.query(`CREATE TABLE shop.heir () INHERITS (${parent})`);
    const wrong = (table: string): Promise<unknown[][]> =>
      ask(`SELECT wrong FROM audit.coverage() WHERE NOT fires AND "trigger" IS NULL AND relation = '${table}'::regclass`);
    expect(await wrong(part)).toEqual([['is a partition of shop.whole, which is not audited']]);
    expect(await wrong(parent)).toEqual([['is inherited by shop.heir, whose rows are not recorded']]);
    await app.query(`SELECT audit.attach('shop.whole'); DROP TABLE shop.heir`);
    expect([...(await wrong(part)), ...(await wrong(parent))]).toEqual([]);
  });
});

describe('a table that was dropped', () => {
  it('is told by coverage until it is detached, and its history is read on by its number', async () => {
    const table = await shopTable('n int');
    await app.query(`INSERT INTO ${table} VALUES (1, 1)`);
    const [[number] = []] = await ask(`SELECT '${table}'::regclass::oid`);
    await app.query(`DROP TABLE ${table}; CREATE TABLE ${table} (id int PRIMARY KEY, n int)`);
    expect(await ask(`SELECT relation::oid, "trigger", wrong FROM audit.coverage() WHERE NOT fires AND relation::oid = ${number}`)).toEqual(
      [[number, null, `${table} was dropped`]],
    );
    expect(await ask(`SELECT operation, new FROM audit.history('${number}', '1')`)).toEqual([['INSERT', { id: 1, n: 1 }]]);
    expect(await rowsAt(String(number), 'infinity')).toEqual([{ id: 1, n: 1 }]);
    expect(await refusal(admin, `SELECT * FROM audit.differences('${number}')`)).toMatch(
      new RegExp(`^BK010 \\| ${table} is not audited now, so that there is nothing to compare`),
    );
    expect(await refusal(app, `SELECT audit.detach('${number}')`)).toMatch(/^42501/);
    await admin.query(`SELECT audit.detach('${number}')`);
    expect(await ask(`SELECT FROM audit.coverage() WHERE relation::oid = ${number}`)).toEqual([]);
    expect(await refusal(admin, `SELECT * FROM audit.history('${table}', '1')`)).toMatch(/^BK013 .* was never audited/);
  });
});

describe('questions', () => {
  it('take a key in any form that its columns read, and refuse one that is none', async () => {
    await app.query(`CREATE TABLE shop.coded (code char(5), ref uuid, day date, PRIMARY KEY (code, ref, day)); SELECT audit.attach('shop.coded');
      INSERT INTO shop.coded VALUES ('ab', 'aaaaaaaa-0000-4000-8000-000000000001', '2026-01-02')`);
    const asked = { code: 'ab', ref: 'AAAAAAAA-0000-4000-8000-000000000001', day: '2026-1-2' };
    expect(await ask(`SELECT "operation" FROM audit.history('shop.coded', '${JSON.stringify(asked)}')`)).toEqual([['INSERT']]);
    const row = { ...asked, code: 'ab   ', ref: asked.ref.toLowerCase(), day: '2026-01-02' };
    expect(await ask(`SELECT audit.row_as_of('shop.coded', '${JSON.stringify(asked)}', 'infinity')`)).toEqual([[row]]);
    const table = await shopTable('n int');
    await app.query(`INSERT INTO ${table} VALUES (1, 1)`);
    expect(await ask(`SELECT audit.row_as_of('${table}', '"1"', 'infinity'), audit.row_as_of('${table}', '2', 'infinity')`)).toEqual([
      [{ id: 1, n: 1 }, null],
    ]);
    for (const key of ['{"ID": 1}', '{"id": 1, "n": 1}', '{}'])
      expect(await refusal(admin, `SELECT audit.row_as_of('${table}', '${key}', 'infinity')`)).toMatch(
        /^BK010 \| the key of .* is \(id\), not/,
      );
  });

  it('about what is not recorded say so', async () => {
    await app.query(
      `CREATE TABLE shop.never (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE shop.never_1 PARTITION OF shop.never DEFAULT`,
    );
    for (const question of [`history('$', '1')`, `differences('$')`, `rows_as_of('$', now())`, `who_changed('$', '1', 'id')`])
      expect(await refusal(admin, `SELECT * FROM audit.${question.replace('$', 'shop.never_1')}`)).toMatch(
        /^BK013 \| shop.never_1 was never audited \| ask for its root shop.never$/,
      );
    const table = await shopTable('n int, x int', `excluded => '{x}'`);
    await app.query(`INSERT INTO ${table} VALUES (1, 1, 1)`);
    for (const column of ['m', 'x'])
      expect(await refusal(admin, `SELECT * FROM audit.who_changed('${table}', '1', '${column}')`)).toMatch(
        new RegExp(`^BK010 \\| nothing is recorded of a column ${column} of `),
      );
  });
});

describe('nobody but its triggers writes it', () => {
  const tablesOfAudit = ['changes', 'transactions', 'commits', 'commits_delayed', 'tables'];

  it('not the login that owns the audited tables', async () => {
    const table = await shopTable('n int');
    await app.query(`INSERT INTO ${table} VALUES (1, 1)`);
    const before = await recorded();
    for (const name of tablesOfAudit) {
      for (const text of [
        `INSERT INTO audit.${name} OVERRIDING SYSTEM VALUE SELECT * FROM audit.${name}`,
        `DELETE FROM audit.${name}`,
        `TRUNCATE audit.${name}`,
      ])
        expect([text, (await refusal(app, text)).slice(0, 5)]).toEqual([text, '42501']);
      const column = { tables: 'masked', changes: 'table_id', transactions: 'login' }[name] ?? 'number';
      expect((await refusal(app, `UPDATE audit.${name} SET ${column} = ${column}`)).slice(0, 5)).toBe('42501');
    }
    for (const text of [
      `SELECT audit.enter('${table}', '{}')`,
      'ALTER TABLE audit.changes DISABLE TRIGGER ALL',
      'DROP TRIGGER transactions_commit ON audit.transactions',
      'SET ROLE audit_trail_owner',
      'CREATE TABLE audit.mine ()',
      'CREATE TRIGGER mine AFTER INSERT ON audit.changes FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change()',
    ])
      expect([text, (await refusal(app, text)).slice(0, 5)]).toEqual([text, '42501']);
    expect(await recorded()).toEqual(before);
  });

  it('not by triggers on tables that are not audited, nor by tables that are somebody else’s', async () => {
    await admin.query(
      'CREATE TABLE public.theirs (id int PRIMARY KEY); INSERT INTO public.theirs VALUES (1); GRANT ALL ON public.theirs TO PUBLIC',
    );
    await admin.query(`SELECT audit.attach('public.theirs')`);
    const before = await recorded();
    await app.query(`CREATE TABLE shop.mine (id int PRIMARY KEY);
      CREATE TRIGGER audit_insert AFTER INSERT ON shop.mine REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION audit.record_change();
      CREATE TRIGGER audit_truncate BEFORE TRUNCATE ON shop.mine FOR EACH STATEMENT EXECUTE FUNCTION audit.record_truncate()`);
    for (const text of ['INSERT INTO shop.mine VALUES (1)', 'TRUNCATE shop.mine'])
      expect(await refusal(app, text)).toMatch(
        /^BK010 \| shop.mine has triggers of the audit trail and is not audited \| SELECT audit.attach\('shop.mine'\)/,
      );
    await app.query(`SELECT audit.detach('shop.mine'); INSERT INTO shop.mine VALUES (1)`);
    for (const text of [
      `SELECT audit.watch('public.theirs', '{id}', '{}', '{}', '{}', false, false)`,
      `SELECT audit.watch('public.theirs', '{id}', '{}', '{}', '{}', true, true)`,
      `SELECT audit.attach('public.theirs')`,
      `SELECT audit.detach('public.theirs')`,
    ])
      expect([text, (await refusal(app, text)).slice(0, 5)]).toEqual([text, '42501']);
    // Likewise where a superuser's session lent itself to the app.
    expect(
      (await refusal(admin, `SET ROLE ${appLogin}; SELECT audit.watch('public.theirs', '{id}', '{}', '{}', '{}', false, false)`)).slice(
        0,
        5,
      ),
    ).toBe('42501');
    await admin.query('RESET ROLE');
    expect(await recorded()).toEqual(before);
  });

  it('and it lends its rights to nobody: views, policies and casts of the app’s are not run', async () => {
    await app.query(`CREATE TABLE shop.stolen (by_whom text); GRANT ALL ON shop.stolen TO PUBLIC; GRANT USAGE ON SCHEMA shop TO PUBLIC;
      CREATE FUNCTION shop.steal() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO shop.stolen VALUES (current_user); RETURN true; END $$;
      CREATE VIEW shop.bait AS SELECT 1 AS id WHERE shop.steal();
      CREATE TYPE shop.bug AS ENUM ('x');
      CREATE FUNCTION shop.told(shop.bug) RETURNS json LANGUAGE plpgsql AS $$ BEGIN PERFORM shop.steal(); RETURN '"x"'; END $$;
      CREATE CAST (shop.bug AS json) WITH FUNCTION shop.told(shop.bug)`);
    const table = await shopTable('b shop.bug, bs shop.bug[]');
    await app.query(`INSERT INTO ${table} VALUES (1, 'x', '{x}')`);
    await app.query(`UPDATE ${table} SET bs = '{x,x}'; SELECT audit.detach('${table}'), audit.attach('${table}')`);
    expect(await refusal(app, `SELECT audit.watch('shop.bait', '{id}', '{}', '{}', '{}', true, true)`)).toMatch(/^BK010/);
    expect(await differences(table)).toEqual([]);
    await app.query(`CREATE POLICY p ON ${table} USING (shop.steal()); ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`);
    expect(await refusal(app, `TRUNCATE ${table}`)).toMatch(/^42501/);
    expect(await refusal(app, `SELECT audit.attach('${table}')`)).toMatch(
      /^BK010 .* as a superuser: ALTER ROLE audit_trail_owner BYPASSRLS/,
    );
    await app.query(`DELETE FROM ${table}`);
    // Triggers of its own on tables that are its own and audited, with views in place of the transition tables.
    const own = await shopTable('n int');
    await app.query(`CREATE TEMP VIEW new_rows AS SELECT 7 AS id WHERE shop.steal(); GRANT SELECT ON new_rows TO PUBLIC;
      CREATE OR REPLACE TRIGGER audit_insert AFTER INSERT ON ${own} FOR EACH STATEMENT EXECUTE FUNCTION audit.record_change();
      CREATE TRIGGER more AFTER UPDATE ON ${own} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION audit.record_change();
      ALTER TABLE ${own} DISABLE TRIGGER audit_update`);
    for (const [text, trigger] of [
      [`INSERT INTO ${own} VALUES (1, 1)`, 'audit_insert'],
      [`UPDATE ${own} SET n = 2`, 'more'],
    ] as const)
      expect(await refusal(app, text)).toBe(
        `BK010 | trigger ${trigger} of ${own} is none that audit.attach makes | DROP TRIGGER ${trigger} ON ${own}`,
      );
    await app.query(`DROP VIEW new_rows; CREATE OR REPLACE TRIGGER audit_truncate BEFORE TRUNCATE ON ${own} FOR EACH STATEMENT WHEN (false)
      EXECUTE FUNCTION audit.record_truncate(); ALTER TABLE ${own} ENABLE ALWAYS TRIGGER audit_truncate`);
    const missing = `SELECT "trigger" FROM audit.coverage() WHERE NOT fires AND relation = '${own}'::regclass ORDER BY 1`;
    expect(await ask(missing)).toEqual([['audit_insert'], ['audit_truncate'], ['audit_update']]);
    await app.query(`DROP TRIGGER more ON ${own}; SELECT audit.attach('${own}'); INSERT INTO ${own} VALUES (1, 1); TRUNCATE ${own}`);
    expect([...(await ask(missing)), ...(await differences(own))]).toEqual([]);
    expect(await ask('SELECT * FROM shop.stolen')).toEqual([]);
    expect(await ask('SELECT * FROM shop.stolen')).toEqual([]);
    expect(await rowsAt(table, 'infinity')).toEqual([]);
  });

  it('not by triggers that call its functions for something else', async () => {
    const table = await shopTable('n int');
    await app.query(`INSERT INTO ${table} VALUES (1, 1), (2, 2);
      CREATE TRIGGER forge BEFORE INSERT ON ${table} FOR EACH STATEMENT EXECUTE FUNCTION audit.record_truncate()`);
    expect(await refusal(app, `INSERT INTO ${table} SELECT 3, 3 WHERE false`)).toBe(
      `BK010 | trigger forge of ${table} is none that audit.attach makes | DROP TRIGGER forge ON ${table}`,
    );
    await app.query(`DROP TRIGGER forge ON ${table};
      CREATE OR REPLACE TRIGGER audit_insert AFTER UPDATE ON ${table} REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION audit.record_change();
      ALTER TABLE ${table} ENABLE ALWAYS TRIGGER audit_insert; ALTER TABLE ${table} DISABLE TRIGGER audit_begin`);
    expect(
      await ask(`SELECT "trigger", wrong FROM audit.coverage() WHERE NOT fires AND relation = '${table}'::regclass ORDER BY 1`),
    ).toEqual([
      ['audit_begin', 'is switched off'],
      ['audit_insert', 'is not as audit.attach makes it'],
    ]);
    expect(await refusal(app, `DELETE FROM ${table}`)).toMatch(/^BK010 \| a statement on .* ends that was not seen to begin/);
    await app.query(`SELECT audit.attach('${table}'); DELETE FROM ${table}`);
    expect(await rowsAt(table, 'infinity')).toEqual([]);
  });

  it('and how tables are watched is changed by attach and detach only', async () => {
    for (const text of [
      `UPDATE audit.tables SET excluded = '{n}'`,
      'UPDATE audit.tables SET is_attached = false',
      'DELETE FROM audit.tables',
      'TRUNCATE audit.tables',
    ])
      expect(await refusal(admin, text)).toMatch(/^BK003 .* how a table is watched is changed by audit.attach and audit.detach$/);
  });

  it('a superuser meets its triggers, also one that says to be a replica', async () => {
    const before = await recorded();
    for (const mode of ['origin', 'replica']) {
      await admin.query(`SET session_replication_role = ${mode}`);
      for (const name of tablesOfAudit.slice(0, 3)) {
        const column = { changes: 'table_id', transactions: 'login' }[name] ?? 'number';
        for (const text of [
          `UPDATE audit.${name} SET ${column} = ${column}`,
          `DELETE FROM audit.${name}`,
          `TRUNCATE audit.${name} CASCADE`,
        ])
          expect([text, await refusal(admin, text)]).toEqual([
            text,
            expect.stringMatching(/^BK003 .* is refused: what is recorded is never changed$/),
          ]);
      }
    }
    await admin.query('RESET session_replication_role');
    expect(await recorded()).toEqual(before);
  });
});

describe('attach', () => {
  it.each([
    [
      'a table without a primary key',
      'CREATE TABLE $ (id int)',
      '',
      /has no primary key .* \| SELECT audit.attach\('.*', key => '\{column, …\}'\)/,
    ],
    ['a deferrable key', 'CREATE TABLE $ (id int PRIMARY KEY DEFERRABLE)', '', /has no primary key \(or one that is deferrable\)/],
    [
      'a key that nothing keeps apart',
      'CREATE TABLE $ (id int NOT NULL)',
      `, key => '{id}'`,
      /a unique index over columns that are NOT NULL is needed/,
    ],
    [
      'a key that may be NULL',
      'CREATE TABLE $ (id int UNIQUE)',
      `, key => '{id}'`,
      /a unique index over columns that are NOT NULL is needed/,
    ],
    [
      'a column that is not there',
      'CREATE TABLE $ (id int PRIMARY KEY)',
      `, masked => '{nope}', excluded => '{"no%s"}'`,
      /has no column no%s, nope/,
    ],
    ['a key that says a column twice', 'CREATE TABLE $ (id int PRIMARY KEY)', `, key => '{id,id}'`, /id is more than once in the key/],
    ['a key that is masked', 'CREATE TABLE $ (id int PRIMARY KEY)', `, masked => '{id}'`, /can be neither excluded nor masked/],
    ['a key that is excluded', 'CREATE TABLE $ (id int PRIMARY KEY)', `, excluded => '{id}'`, /can be neither excluded nor masked/],
    [
      'something else that is demanded',
      'CREATE TABLE $ (id int PRIMARY KEY)',
      `, demanded => '{login}'`,
      /login cannot be demanded, only actor and reason/,
    ],
    ['a view', 'CREATE VIEW $ AS SELECT 1 AS id', '', /no ordinary or partitioned table of yours/],
    [
      'a parent by inheritance',
      'CREATE TABLE $ (id int PRIMARY KEY); CREATE TABLE $c () INHERITS ($)',
      '',
      /inherited from or by another table; use partitions/,
    ],
    [
      'a child by inheritance',
      'CREATE TABLE $p (id int); CREATE TABLE $ (PRIMARY KEY (id)) INHERITS ($p)',
      '',
      /inherited from or by another table/,
    ],
    [
      'a partition',
      'CREATE TABLE $p (id int PRIMARY KEY) PARTITION BY LIST (id); CREATE TABLE $ PARTITION OF $p DEFAULT',
      '',
      /is a partition; attach its root/,
    ],
  ])('refuses %s, says what to do, and leaves nothing behind', async (_name, ddl, settings, message) => {
    const table = `shop.t${++tables}`;
    await app.query(ddl.replaceAll('$', table));
    const before = await recorded();
    expect(await refusal(app, `SELECT audit.attach('${table}'${settings})`)).toMatch(new RegExp(`^BK010 .*${message.source}`));
    expect(await recorded()).toEqual(before);
    expect(await ask(`SELECT tgname FROM pg_trigger WHERE tgrelid = '${table}'::regclass AND tgname LIKE 'audit%'`)).toEqual([]);
    expect(await ask(`SELECT has_table_privilege('audit_trail_owner', '${table}', 'SELECT')`)).toEqual([[false]]);
  });

  it('refuses temporary tables, tables of the log, and transactions that may not see all rows', async () => {
    await admin.query('CREATE TEMP TABLE passing (id int PRIMARY KEY)');
    for (const table of ['passing', 'log.books', 'audit.changes', 'pg_catalog.pg_class'])
      expect(await refusal(admin, `SELECT audit.attach('${table}')`)).toMatch(/^BK010 .* no ordinary or partitioned table of yours$/);
    await app.query('CREATE TABLE shop.stale (id int PRIMARY KEY)');
    expect(await refusal(app, `BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT audit.attach('shop.stale')`)).toMatch(/^BK012/);
  });

  it('takes effect for changes that are made while it waits', async () => {
    await app.query('CREATE TABLE shop.busy (id int PRIMARY KEY, n int)');
    await app.query('BEGIN; INSERT INTO shop.busy VALUES (1, 1)');
    const other = await connect(database.adminUrl);
    const attached = other.query(`SELECT audit.attach('shop.busy') AS rows`);
    while ((await ask(`SELECT FROM pg_locks WHERE relation = 'shop.busy'::regclass AND NOT granted`)).length === 0);
    await app.query('COMMIT');
    expect((await attached).rows).toEqual([{ rows: 1 }]);
    await other.end();
    expect(await differences('shop.busy')).toEqual([]);
  });

  it('again has other settings, and records rows anew only where something else is told of them', async () => {
    const table = await shopTable('a text, b text', `excluded => '{b}'`);
    await app.query(`INSERT INTO ${table} VALUES (1, 'a', 'b')`);
    expect(await ask(`SELECT audit.attach('${table}', excluded => '{b}', demanded => '{actor}')`, app)).toEqual([[0]]);
    expect(await refusal(app, `DELETE FROM ${table}`)).toMatch(/^BK011/);
    expect(await ask(`SELECT audit.attach('${table}', masked => '{a}')`, app)).toEqual([[1]]);
    expect(await rowsAt(table, 'infinity')).toEqual([{ id: 1, a: '[masked]', b: 'b' }]);
    expect(await differences(table)).toEqual([]);
    await app.query(`ALTER TABLE ${table} ADD UNIQUE (a), ALTER a SET NOT NULL`);
    expect(await refusal(app, `SELECT audit.attach('${table}', key => '{a}')`)).toMatch(
      /^BK010 .* is audited by \(id\) already; detach it before you choose another key$/,
    );
  });

  it('again covers new partitions; coverage tells of what is missing or disabled until then', async () => {
    await app.query(`CREATE TABLE shop.years (y int, id int, PRIMARY KEY (y, id)) PARTITION BY LIST (y);
      CREATE TABLE shop.y1 PARTITION OF shop.years FOR VALUES IN (1); SELECT audit.attach('shop.years')`);
    const missing = (): Promise<unknown[][]> =>
      ask(`SELECT relation::text, "trigger" FROM audit.coverage() WHERE NOT fires AND relation::text ~ 'shop.y' ORDER BY 1, 2`);
    expect(await missing()).toEqual([]);
    await app.query('CREATE TABLE shop.y2 PARTITION OF shop.years FOR VALUES IN (2); ALTER TABLE shop.y1 DISABLE TRIGGER audit_update');
    expect(await missing()).toEqual([
      ['shop.y1', 'audit_update'],
      ...['begin', 'delete', 'insert', 'truncate', 'update'].map((event) => ['shop.y2', `audit_${event}`]),
    ]);
    await app.query('INSERT INTO shop.y2 VALUES (2, 1)');
    expect(await differences('shop.years')).toEqual([[{ y: 2, id: 1 }]]);
    await app.query(`DELETE FROM shop.y2; SELECT audit.attach('shop.years'); INSERT INTO shop.y2 VALUES (2, 2)`);
    expect(await missing()).toEqual([]);
    expect(await rowsAt('shop.years', 'infinity')).toEqual([{ y: 2, id: 2 }]);
    await app.query('ALTER TABLE shop.years DETACH PARTITION shop.y2');
    expect(await refusal(app, 'DELETE FROM shop.y2')).toMatch(/^BK010 .* or audit.detach\('shop.y2'\), which removes them$/);
    await app.query(`SELECT audit.detach('shop.y2'); DELETE FROM shop.y2; SELECT audit.detach('shop.years')`);
    expect(
      await ask(`SELECT tgname FROM pg_trigger WHERE tgrelid IN ('shop.years'::regclass, 'shop.y1'::regclass, 'shop.y2'::regclass)`),
    ).toEqual([]);
  });

  it('after detach begins anew: the time between is refused, and rows that vanished in it are not shown', async () => {
    const table = await shopTable('n int');
    await app.query(`INSERT INTO ${table} VALUES (1, 1), (2, 2)`);
    const first = await instant();
    await app.query(`SELECT audit.detach('${table}')`);
    const between = await instant();
    await app.query(`DELETE FROM ${table} WHERE id = 1; UPDATE ${table} SET n = 3`);
    expect(await refusal(admin, `SELECT * FROM audit.rows_as_of('${table}', 'infinity')`)).toMatch(/^BK013/);
    await app.query(`SELECT audit.attach('${table}')`);
    for (const text of [
      `SELECT * FROM audit.rows_as_of('${table}', '${between}')`,
      `SELECT audit.row_as_of('${table}', '2', '${between}')`,
    ])
      expect(await refusal(admin, text)).toMatch(new RegExp(`^BK013 \\| ${table} was not audited at `));
    expect(await refusal(admin, `SELECT audit.row_as_of('${table}', '2', '2020-01-01')`)).toMatch(/^BK013/);
    expect(await rowsAt(table, 'infinity')).toEqual([{ id: 2, n: 3 }]);
    expect(await ask(`SELECT audit.row_as_of('${table}', '1', 'infinity'), audit.row_as_of('${table}', '1', '${first}')`)).toEqual([
      [null, { id: 1, n: 1 }],
    ]);
    expect(await differences(table)).toEqual([]);
    expect(await refusal(app, `SELECT audit.detach('shop.nothing')`)).toMatch(/^42P01/);
    await app.query(`SELECT audit.detach('${table}')`);
    expect(await ask(`SELECT has_table_privilege('audit_trail_owner', '${table}', 'SELECT')`)).toEqual([[false]]);
  });
});

describe('differences', () => {
  it('are the rows that were changed, inserted and deleted past the triggers', async () => {
    const table = await shopTable('n int');
    await app.query(`INSERT INTO ${table} VALUES (1, 1), (2, 2), (3, 3)`);
    await admin.query(`ALTER TABLE ${table} DISABLE TRIGGER USER; UPDATE ${table} SET n = 9 WHERE id = 1; DELETE FROM ${table} WHERE id = 2;
      INSERT INTO ${table} VALUES (4, NULL)`);
    expect(await ask(`SELECT * FROM audit.differences('${table}') ORDER BY 1`)).toEqual([
      [{ id: 1 }, { id: 1, n: 1 }, { id: 1, n: 9 }],
      [{ id: 2 }, { id: 2, n: 2 }, null],
      [{ id: 4 }, null, { id: 4, n: null }],
    ]);
    expect(await ask(`SELECT DISTINCT "trigger" FROM audit.coverage() WHERE NOT fires AND relation = '${table}'::regclass`)).toHaveLength(
      5,
    );
  });
});

describe('differences within a value', () => {
  it('are found too: a null that went from a document, and not a column that was added', async () => {
    const table = await shopTable('doc jsonb');
    await app.query(`INSERT INTO ${table} VALUES (1, '{"a": 1, "blocked": null}'); ALTER TABLE ${table} ADD later int`);
    expect(await differences(table)).toEqual([]);
    await admin.query(`ALTER TABLE ${table} DISABLE TRIGGER USER; UPDATE ${table} SET doc = doc - 'blocked'`);
    expect(await differences(table)).toEqual([[{ id: 1 }]]);
  });
});

/** pg_dump refuses servers newer than itself, so that it must be the machine's own server. */
function dumpable(): boolean {
  const [url, major] = [process.env.TEST_DATABASE_URL, (text: string): number => Number(/\d+/.exec(text)?.[0])];
  try {
    return url !== undefined && major(said('pg_dump', '--version')) >= major(said('psql', '-Atc', 'SHOW server_version', url));
  } catch {
    return false;
  }
}
const said = (program: string, ...args: string[]): string => execFileSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 28 });

(dumpable() ? describe : describe.skip)('dumped and restored [needs: TEST_DATABASE_URL, and pg_dump as new as that server]', () => {
  it('its history is read on, and new changes are told apart', async () => {
    const [first, second] = [await testDatabase(), await emptyDatabase()];
    try {
      const from = await connect(first.adminUrl);
      await from.query(`CREATE TABLE public.kept (y int, id int, n int, PRIMARY KEY (y, id)) PARTITION BY LIST (y);
        CREATE TABLE public.kept_1 PARTITION OF public.kept DEFAULT; SELECT audit.attach('public.kept')`);
      await from.query(`BEGIN; SELECT audit.act_as('before'); INSERT INTO public.kept VALUES (1, 1, 1); COMMIT`);
      const at = (await ask('SELECT clock_timestamp()::text', from))[0]?.[0];
      await from.end();
      const dump = join(mkdtempSync(join(tmpdir(), 'book-keeper-test-dump-')), 'dump.sql');
      said('pg_dump', '--dbname', first.adminUrl, '--file', dump);
      said('psql', '--quiet', '--set', 'ON_ERROR_STOP=1', '--file', dump, '--output', '/dev/null', second.adminUrl);
      rmSync(dirname(dump), { recursive: true });
      const to = await connect(second.adminUrl);
      await to.query(`BEGIN; SELECT audit.act_as('after'); UPDATE public.kept SET n = 2; COMMIT`);
      expect(await ask(`SELECT operation, actor FROM audit.history('public.kept', '{"y": 1, "id": 1}')`, to)).toEqual([
        ['INSERT', 'before'],
        ['UPDATE', 'after'],
      ]);
      expect(await ask(`SELECT "row" -> 'n' FROM audit.rows_as_of('public.kept', '${at}')`, to)).toEqual([[1]]);
      expect(await ask(`SELECT * FROM audit.differences('public.kept')`, to)).toEqual([]);
      expect(await ask('SELECT * FROM audit.coverage() WHERE NOT fires', to)).toEqual([]);
      expect(await refusal(to, 'DELETE FROM audit.changes')).toMatch(/^BK003/);
      await to.end();
    } finally {
      await first.drop();
      await second.drop();
    }
  });
});
