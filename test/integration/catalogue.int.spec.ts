/**
 * The storage rules (DESIGN section 7), held on the catalogue of a migrated database and on the sources: what makes the same
 * schema and statements run on one PostgreSQL and distributed, and what keeps rights where they belong.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from 'pg';
import { projections } from '#ledger';
import { connect, migrationsDirectory } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';

const root = join(__dirname, '..', '..');
const declared = JSON.parse(readFileSync(join(migrationsDirectory(), 'table-classes.json'), 'utf8')) as Record<
  string,
  { class: string; why: string }
>;
/** Tables of projections are declared in the projections' files, and are all folded from one book. */
const projected = projections.flatMap(({ tables }) => tables.map(({ name }) => `projections.${name}`));
const classes: typeof declared = {
  ...declared,
  ...Object.fromEntries(projected.map((table) => [table, { class: 'tenant', why: 'Folded from one book.' }])),
};
const ofClass = (wanted: string) => Object.keys(classes).filter((table) => classes[table]?.class === wanted);
const ours = `('log', 'projections', 'access', 'privacy', 'public')`;

let database: TestDatabase;
let admin: Client;
beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
});
afterAll(async () => {
  await admin.end();
  await database.drop();
});

async function all<T = Record<string, never>>(text: string, values: unknown[] = []): Promise<T[]> {
  return (await admin.query(text, values)).rows as T[];
}
/** The first column of every row. */
async function list(text: string, values: unknown[] = []): Promise<string[]> {
  return (await all<Record<string, unknown>>(text, values)).map((row) => String(Object.values(row)[0]));
}

describe('tables', () => {
  it('have a declared class each, with a reason, in one file', async () => {
    const tables = await list(`SELECT format('%s.%s', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p', 'f', 'm', 'v') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1`);
    expect(tables).toEqual(Object.keys(classes).sort());
    for (const { class: declared, why } of Object.values(classes)) {
      expect(['tenant', 'reference', 'local']).toContain(declared);
      expect(why.length).toBeGreaterThan(10);
    }
  });

  it('of tenants have book_id: text in byte order, never null', async () => {
    for (const table of ofClass('tenant')) {
      const columns = await all(
        `SELECT a.attnotnull AS "notNull", format_type(a.atttypid, a.atttypmod) AS type, c.collname AS collation
           FROM pg_attribute a LEFT JOIN pg_collation c ON c.oid = a.attcollation WHERE a.attrelid = $1::regclass AND a.attname = 'book_id'`,
        [table],
      );
      expect([table, columns]).toEqual([table, [{ notNull: true, type: 'text', collation: 'C' }]]);
    }
  });

  it('of tenants have book_id first in every primary key, unique constraint, foreign key and index', async () => {
    const keys = await all<{ table: string; what: string; first: string }>(
      `SELECT format('%s.%s', n.nspname, t.relname) AS table, i.relname AS what, a.attname AS first
         FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
         JOIN pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = x.indkey[0]
        WHERE n.nspname IN ${ours}
       UNION ALL
       SELECT format('%s.%s', n.nspname, t.relname), k.conname, a.attname
         FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
         JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.conkey[1]
        WHERE n.nspname IN ${ours} AND k.contype IN ('p', 'u', 'f')`,
    );
    const tenants = ofClass('tenant');
    expect(keys.filter(({ table, first }) => tenants.includes(table) && first !== 'book_id')).toEqual([]);
    const withKey = new Set(keys.map(({ table }) => table));
    expect(tenants.filter((table) => !withKey.has(table))).toEqual([]);
  });

  it('refer from tenant tables to no local one', async () => {
    const references = await all<{ source: string; target: string }>(
      `SELECT format('%s.%s', n.nspname, t.relname) AS source, k.confrelid::regclass::text AS target
         FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace WHERE k.contype = 'f'`,
    );
    const wrong = references.filter(({ source, target }) => classes[source]?.class === 'tenant' && classes[target]?.class === 'local');
    expect(wrong).toEqual([]);
  });

  it('give no value by themselves: no sequence, no identity, no default but a constant', async () => {
    expect(
      await list(
        `SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S' AND n.nspname IN ${ours}`,
      ),
    ).toEqual([]);
    const columns = await all<{ table: string; name: string; identity: string; default: string }>(
      `SELECT a.attrelid::regclass AS table, a.attname AS name, a.attidentity AS identity, coalesce(pg_get_expr(d.adbin, d.adrelid), '') AS default
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE n.nspname IN ${ours} AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND (a.attidentity <> '' OR d.oid IS NOT NULL)`,
    );
    expect(columns).toEqual([{ table: 'log.receipts', name: 'replays', identity: '', default: '0' }]);
  });

  it('keep instants with their zone and money without binary fractions (I2)', async () => {
    const types = await list(
      `SELECT DISTINCT format_type(a.atttypid, NULL) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ${ours} AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1`,
    );
    const allowed = [
      '"char"',
      'bigint',
      'boolean',
      'bytea',
      'date',
      'date[]',
      'integer',
      'json',
      'jsonb',
      'numeric',
      'numeric[]',
      'smallint',
      'text',
      'timestamp with time zone',
      'uuid',
    ];
    expect(types.filter((type) => !allowed.includes(type))).toEqual([]);
  });

  it('compare texts that are keys byte by byte', async () => {
    const keys = await list(
      `SELECT format('%s.%s', x.indrelid::regclass, a.attname)
         FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
         CROSS JOIN unnest(x.indkey) AS k (attnum) JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum
        WHERE n.nspname IN ('log', 'projections') AND a.atttypid = 'text'::regtype AND a.attcollation <> '"C"'::regcollation`,
    );
    expect(keys).toEqual([]);
  });
});

describe('triggers', () => {
  it('refuse changes and do nothing else; none runs for a row that is inserted', async () => {
    const triggers = await all<{ name: string; function: string; onInsert: boolean }>(
      `SELECT t.tgname AS name, t.tgfoid::regproc AS function, (t.tgtype & 4) > 0 AS "onInsert"
         FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE NOT t.tgisinternal AND n.nspname IN ${ours} AND t.tgfoid::regproc::text NOT LIKE 'audit.%'`,
    );
    expect(triggers.length).toBeGreaterThan(0);
    expect(triggers.filter(({ function: name, onInsert }) => onInsert || !['log.refuse_change', 'log.refuse_loss'].includes(name))).toEqual(
      [],
    );
  });

  it('of the audit trail stand on what is changed in place: the table of API keys', async () => {
    expect(
      await list(
        `SELECT DISTINCT t.tgrelid::regclass FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE NOT t.tgisinternal AND n.nspname IN ${ours} AND t.tgfoid::regproc::text LIKE 'audit.%'`,
      ),
    ).toEqual(['access.api_keys']);
  });

  it('stand in a migration of their own, for plain PostgreSQL only', () => {
    const files = readdirSync(migrationsDirectory()).filter((file) => file.endsWith('.sql'));
    const making = files.filter((file) => /\bTRIGGER\b/.test(withoutComments(readFileSync(join(migrationsDirectory(), file), 'utf8'))));
    expect(making).toEqual([
      '0004_append_only.plain.sql',
      '0012_merkle_log_append_only.plain.sql',
      '0013_audit_trail.plain.sql',
      '0015_audit_chain.plain.sql',
      '0018_cold_storage_append_only.plain.sql',
    ]);
    const others = files.filter((file) => file.includes('.plain.') && !making.includes(file));
    expect(others).toEqual(['0014_audited_access.plain.sql']);
  });

  it('are enabled', async () => {
    expect(await list(`SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled NOT IN ('O', 'A')`)).toEqual([]);
  });
});

describe('functions', () => {
  interface Declared {
    name: string;
    definer: boolean;
    config: string[] | null;
    owner: string;
    executors: string[];
    source: string;
  }
  const functions = () =>
    all<Declared>(
      `SELECT p.oid::regproc AS name, p.prosecdef AS definer, p.proconfig AS config, p.proowner::regrole::text AS owner, p.prosrc AS source,
              ARRAY(SELECT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END
                      FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS g ORDER BY 1) AS executors
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ${ours} ORDER BY p.proname`,
    );

  it('have a fixed search_path with pg_temp at its end, and an owner who cannot log in', async () => {
    for (const { name, config, owner } of await functions()) {
      expect([name, owner]).toEqual([name, 'book_keeper_owner']);
      expect([name, config]).toEqual([name, expect.arrayContaining([`search_path=pg_catalog, ${name.split('.')[0]}, pg_temp`])]);
    }
  });

  it('are executed by the service, one of them by role archiver, and by nobody else: the doors of the log', async () => {
    const found = await functions();
    const doors = found.filter(({ definer }) => definer);
    expect(doors.map(({ name }) => name).sort()).toEqual([
      'log.append',
      'log.archive_range',
      'log.hold_head',
      'log.raise_floor',
      'log.record_audit_pack',
      'log.record_origin',
      'log.record_signature',
      'log.record_signing_key',
      'log.register_book',
      'log.seal',
      'log.touch_receipt',
      'privacy.destroy_keys',
      'privacy.rewrap_key',
      'privacy.rewrite_keys',
    ]);
    for (const { name, executors } of doors) {
      const role = name === 'log.archive_range' ? 'book_keeper_archiver' : 'book_keeper_app';
      expect([name, executors]).toEqual([name, [role, 'book_keeper_owner']]);
    }
    const others = found.filter(({ definer }) => !definer);
    expect(others.map(({ name, executors }) => [name, executors])).toEqual([
      ['log.archived_version', ['book_keeper_owner']],
      ['log.refuse_change', ['book_keeper_owner']],
      ['log.refuse_loss', ['book_keeper_owner']],
    ]);
  });

  it('do nothing that a distributed or standby database could not follow', async () => {
    for (const { name, source } of await functions()) expect([name, forbiddenIn(source)]).toEqual([name, []]);
  });

  it('bind book_id wherever they touch a tenant table', async () => {
    for (const { name, source } of await functions()) expect([name, unboundIn(source)]).toEqual([name, []]);
  });
});

describe('roles', () => {
  const roles = ['book_keeper_app', 'book_keeper_archiver', 'book_keeper_auditor', 'book_keeper_owner', 'book_keeper_projector'];

  it('are five, none with a right of the server, none that logs in', async () => {
    const found = await all(
      `SELECT rolname AS name, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls OR rolcanlogin AS powerful
         FROM pg_roles WHERE rolname LIKE 'book\\_keeper\\_%' ORDER BY 1`,
    );
    expect(found).toEqual(roles.map((name) => ({ name, powerful: false })));
  });

  it('are members of one another in one case only: what the service is may fold projections', async () => {
    const members = await list(
      `SELECT format('%s in %s', m.member::regrole, m.roleid::regrole) FROM pg_auth_members m
        WHERE m.roleid::regrole::text LIKE 'book\\_keeper\\_%' AND m.member::regrole::text LIKE 'book\\_keeper\\_%'`,
    );
    expect(members).toEqual(['book_keeper_app in book_keeper_projector']);
  });

  it('leave the service’s login a member of book_keeper_app and nothing else', async () => {
    const login = decodeURIComponent(new URL(database.appUrl).username);
    expect(await list('SELECT m.roleid::regrole FROM pg_auth_members m WHERE m.member = $1::regrole', [login])).toEqual([
      'book_keeper_app',
    ]);
    expect(await list(`SELECT pg_has_role($1, 'book_keeper_owner', 'MEMBER')`, [login])).toEqual(['false']);
    expect(await list(`SELECT has_database_privilege($1, current_database(), 'CREATE')`, [login])).toEqual(['false']);
  });

  it('own what is theirs', async () => {
    const owners = await all<{ schema: string; owner: string }>(
      `SELECT DISTINCT n.nspname AS schema, c.relowner::regrole::text AS owner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('log', 'projections', 'access', 'privacy') UNION SELECT nspname, nspowner::regrole::text FROM pg_namespace
        WHERE nspname IN ('log', 'projections', 'access', 'privacy') ORDER BY 1`,
    );
    expect(owners).toEqual([
      { schema: 'access', owner: 'book_keeper_owner' },
      { schema: 'log', owner: 'book_keeper_owner' },
      { schema: 'privacy', owner: 'book_keeper_owner' },
      { schema: 'projections', owner: 'book_keeper_projector' },
    ]);
  });

  it('have the rights that their work needs, and no others', async () => {
    const rights = await list(
      `SELECT format('%s: %s%s on %s', CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END, g.privilege_type,
                     CASE WHEN g.is_grantable THEN ' grantable' ELSE '' END, o.what)
         FROM (SELECT format('%s.%s', n.nspname, c.relname) AS what, c.relacl AS acl, c.relowner AS owner
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ${ours} AND c.relkind IN ('r', 'p')
               UNION ALL
               SELECT format('%s (%s)', a.attrelid::regclass, a.attname), a.attacl, c.relowner
                 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname IN ${ours} AND a.attacl IS NOT NULL
               UNION ALL
               SELECT format('schema %s', n.nspname), n.nspacl, n.nspowner FROM pg_namespace n WHERE n.nspname IN ('log', 'projections', 'access', 'privacy')
               UNION ALL
               SELECT 'what is made later', d.defaclacl, d.defaclrole FROM pg_default_acl d) AS o
         CROSS JOIN aclexplode(o.acl) AS g WHERE g.grantee <> o.owner`,
    );
    const log = Object.keys(classes).filter((table) => table.startsWith('log.'));
    const projections = Object.keys(classes).filter((table) => table.startsWith('projections.'));
    const expected = [
      ...['app', 'auditor'].flatMap((role) => log.map((table) => `book_keeper_${role}: SELECT on ${table}`)),
      ...['projector', 'archiver'].flatMap((role) =>
        log.filter((table) => table !== 'log.command_contexts').map((table) => `book_keeper_${role}: SELECT on ${table}`),
      ),
      ...projections.map((table) => `book_keeper_auditor: SELECT on ${table}`),
      'book_keeper_app: SELECT on access.api_keys',
      'audit_trail_owner: SELECT on access.api_keys',
      'audit_trail_owner: USAGE on schema access',
      'book_keeper_app: INSERT on access.api_keys',
      'book_keeper_app: UPDATE on access.api_keys (revoked_at)',
      'PUBLIC: SELECT on public.book_keeper_migrations',
      ...['app', 'projector', 'auditor', 'archiver'].map((role) => `book_keeper_${role}: USAGE on schema log`),
      'book_keeper_app: USAGE on schema access',
      'book_keeper_app: USAGE on schema privacy',
      ...['subject_keys', 'destroyed_keys', 'master_keys'].map((table) => `book_keeper_app: SELECT on privacy.${table}`),
      ...['subject_keys', 'master_keys'].map((table) => `book_keeper_app: INSERT on privacy.${table}`),
      'book_keeper_auditor: USAGE on schema projections',
    ];
    expect([...rights].sort()).toEqual([...expected].sort());
  });
});

describe('our sources', () => {
  const sources = ['apps', 'libs'].flatMap((top) =>
    readdirSync(join(root, top), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts'))
      .map((file) => [join(top, file), withoutComments(readFileSync(join(root, top, file), 'utf8'))] as const),
  );
  const migrations = readdirSync(migrationsDirectory())
    .filter((file) => file.endsWith('.sql'))
    .map((file) => [join('migrations', file), withoutComments(readFileSync(join(migrationsDirectory(), file), 'utf8'))] as const);

  it('use no advisory lock, no LISTEN or NOTIFY, no sequence, no SERIALIZABLE, no name of a constraint', () => {
    expect(sources.length).toBeGreaterThan(20);
    // The launcher of the embedded server counts the processes that use it by a lock: it guards a server, never data.
    const launcher = join('libs', 'postgres', 'src', 'embedded.ts');
    // The audit trail of ordinary tables is no part of the log, and of one database: there a sequence orders the changes of a row.
    const trail = join('migrations', '0013_audit_trail.plain.sql');
    const held = [...sources, ...migrations].filter(([file]) => file !== launcher && file !== trail);
    expect(held.flatMap(([file, text]) => forbiddenIn(text).map((found) => `${file}: ${found}`))).toEqual([]);
  });

  it('bind book_id wherever they touch a tenant table', () => {
    // A set of a projection is exchanged and dropped with the cursors of all its books.
    const allowed = [
      'libs/ledger/src/projection-sets.ts: UPDATE projections.cursors',
      'libs/ledger/src/projection-sets.ts: FROM projections.cursors',
    ];
    const found = sources.flatMap(([file, text]) => unboundIn(text).map((place) => `${file}: ${place}`));
    expect(found.filter((place) => !allowed.includes(place))).toEqual([]);
  });

  it('write to the log nowhere but in its functions', () => {
    const writing = /(?<!\bor )\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|TRUNCATE|MERGE\s+INTO|COPY)\s+log\.\w+/gi;
    expect(sources.flatMap(([file, text]) => (text.match(writing) ?? []).map((found) => `${file}: ${found}`))).toEqual([]);
  });
});

/** What the storage rules forbid, by what it looks like in SQL or in the handling of its errors. */
function forbiddenIn(text: string): string[] {
  const forbidden = [
    /pg_(?:try_)?advisory\w*/gi,
    /\bpg_notify\b/gi,
    /\b(?:LISTEN|NOTIFY|UNLISTEN)\s+["a-z_$]/g,
    /\b(?:nextval|setval|currval|lastval)\b/gi,
    /\b(?:BIG|SMALL)?SERIAL\b/g,
    /\bGENERATED\s+(?:ALWAYS|BY\s+DEFAULT)\s+AS\s+IDENTITY\b/gi,
    /\bSERIALIZABLE\b/gi,
    /\bCONSTRAINT_NAME\b/g,
    /\bON\s+CONFLICT\s+ON\s+CONSTRAINT\b/gi,
    /\.constraint\b/g,
    /\bgen_random_uuid\b/gi,
  ];
  return forbidden.flatMap((pattern) => text.match(pattern) ?? []);
}

/** References to tenant tables that no book_id follows: "every statement on a tenant table binds book_id". */
function unboundIn(text: string): string[] {
  const references = /\b(?:FROM|JOIN|UPDATE|INTO|USING)\s+((?:log|projections)\.\w+)/gi;
  const tenants = ofClass('tenant');
  return [...text.matchAll(references)]
    .filter(([, table = '']) => tenants.includes(table))
    .filter(({ index, 0: found }) => !/\bbook_id\b/.test(text.slice(index, index + found.length + 400)))
    .map(([found]) => found);
}

function withoutComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, ' ')
    .replace(/(^|\s)\/\/.*$/gm, ' ')
    .replace(/(^|\s)--.*$/gm, ' ');
}
