/**
 * What keeps the log append-only (I3), looked up in the catalogue: grants and memberships, the triggers that refuse changes, the
 * functions that are the only doors, and that nothing else stands between a statement and the rows (rules, row level security,
 * further triggers, tables that inherit). A superuser can change any of it; here that is found, also when no row was changed.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { migrationsDirectory } from '#postgres';
import type { Findings } from './findings';
import type { Snapshot } from './rows';

/** What the Merkle log said to others (migration 0012). */
const merkleLog = ['tiles', 'checkpoints', 'checkpoint_signatures', 'origins', 'signing_keys', 'audit_packs'];
/** Which events are cold (migration 0018). */
const coldStorage = ['archived_ranges', 'archived_streams'];
/** As migrations 0004, 0012 and 0018 make them; pg_get_triggerdef writes them the same way in PostgreSQL 15 to 18. */
const changes = ['batches', 'stream_names', 'books', ...merkleLog, ...coldStorage].map(
  (table) =>
    `CREATE TRIGGER ${table}_append_only BEFORE DELETE OR UPDATE ON log.${table} FOR EACH ROW EXECUTE FUNCTION log.refuse_change()`,
);
const truncations = ['events', 'batches', 'stream_names', 'books', 'receipts', ...merkleLog, ...coldStorage].map(
  (table) =>
    `CREATE TRIGGER ${table}_not_truncated BEFORE TRUNCATE ON log.${table} FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change()`,
);
const receiptColumns = 'recorded_at, "position", item, status, book_id, key, command, fingerprint, answer, members';
const triggers = [
  'CREATE TRIGGER events_append_only BEFORE UPDATE ON log.events FOR EACH ROW EXECUTE FUNCTION log.refuse_change()',
  'CREATE TRIGGER events_archived_first AFTER DELETE ON log.events REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_loss()',
  ...changes,
  ...truncations,
  `CREATE TRIGGER receipts_append_only BEFORE DELETE OR UPDATE OF ${receiptColumns} ON log.receipts FOR EACH ROW EXECUTE FUNCTION log.refuse_change()`,
];

/** Uniqueness and form that the replay takes for granted, because it would have to remember every id to ask again. */
const constraints = [
  'events_pkey',
  'events_stream_version',
  'batches_pkey',
  'batches_recorded_at',
  'book_heads_pkey',
  'books_pkey',
  'heads_pkey',
  'stream_names_pkey',
  'receipts_pkey',
  'command_contexts_pkey',
  'trees_pkey',
  'tiles_pkey',
  'checkpoints_pkey',
  'checkpoint_signatures_pkey',
  'origins_pkey',
  'signing_keys_pkey',
  'audit_packs_pkey',
  'audit_packs_question',
  'archived_ranges_pkey',
  'archived_streams_pkey',
];

/** A function as the migrations leave it. */
interface Door {
  readonly body: string;
  readonly definer: boolean;
  /** Its settings, as `proconfig` holds them. */
  readonly settings: string;
}

/** Roles of the migrations that must never be able to act as the owner of the log. */
const bound = ['book_keeper_app', 'book_keeper_projector', 'book_keeper_auditor', 'book_keeper_archiver'];

/** @returns what was seen and is nobody's fault, but weakens what verify says */
export async function checkInstallation(snapshot: Snapshot, findings: Findings): Promise<string[]> {
  const wrong = (message: string, row?: string): void => findings.add('append-only', `${message} (I3)`, { row });
  // Distributed tables take no triggers; there the grants alone hold (migration 0004).
  const citus = await snapshot.query("SELECT FROM pg_extension WHERE extname = 'citus'");
  const plain = citus.rows.length === 0;
  if (plain) {
    const { rows } = await snapshot.query<{ name: string; enabled: string; definition: string }>(
      `SELECT tgname AS name, tgenabled AS enabled, pg_get_triggerdef(t.oid) AS definition
         FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'log'::regnamespace AND NOT t.tgisinternal`,
    );
    for (const expected of triggers) {
      const name = expected.split(' ')[2] as string;
      const found = rows.find((trigger) => trigger.name === name);
      if (found === undefined) wrong(`trigger ${name} is missing: what is recorded could be changed`, `trigger ${name}`);
      else if (found.enabled !== 'O' && found.enabled !== 'A')
        wrong(`trigger ${name} is disabled: what is recorded could be changed`, `trigger ${name}`);
      else if (found.definition !== expected) wrong(`trigger ${name} is "${found.definition}", expected "${expected}"`, `trigger ${name}`);
    }
    const names = triggers.map((trigger) => trigger.split(' ')[2]);
    for (const { name, definition } of rows)
      if (!names.includes(name)) wrong(`trigger ${name} was made by no migration: "${definition}"`, `trigger ${name}`);
    await checkBetween(snapshot, wrong);
  }

  const grants = await snapshot.query<{ table: string; grantee: string; privileges: string }>(
    `SELECT c.relname AS table, coalesce(r.rolname, 'PUBLIC') AS grantee, string_agg(DISTINCT a.privilege_type, ', ') AS privileges
       FROM pg_class c
       LEFT JOIN pg_attribute col ON col.attrelid = c.oid AND col.attnum > 0 AND col.attacl IS NOT NULL
       CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner)) || coalesce(col.attacl, '{}')) AS a
       LEFT JOIN pg_roles r ON r.oid = a.grantee
      WHERE c.relnamespace = 'log'::regnamespace AND c.relkind IN ('r', 'p') AND a.grantee <> c.relowner
        AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
      GROUP BY 1, 2 ORDER BY 1, 2`,
  );
  for (const { table, grantee, privileges } of grants.rows) wrong(`${grantee} may ${privileges} on log.${table}`, `log.${table}`);

  const owners = await snapshot.query<{ table: string; owner: string }>(
    `SELECT c.relname AS table, r.rolname AS owner FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
      WHERE c.relnamespace = 'log'::regnamespace AND c.relkind IN ('r', 'p') AND r.rolname <> 'book_keeper_owner'`,
  );
  for (const { table, owner } of owners.rows) wrong(`log.${table} belongs to ${owner}, not to book_keeper_owner`, `log.${table}`);

  await checkFunctions(snapshot, wrong, plain);
  if (plain) await checkAuditTrail(snapshot, wrong);

  const schema = await snapshot.query<{ owner: string; grantee: string; creates: boolean }>(
    `SELECT n.nspowner::regrole::text AS owner, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee,
            a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner AS creates
       FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a WHERE n.nspname = 'log'`,
  );
  const schemaOwner = schema.rows[0]?.owner;
  if (schemaOwner !== 'book_keeper_owner') wrong(`schema log belongs to ${schemaOwner}, not to book_keeper_owner`, 'schema log');
  for (const { grantee, creates } of schema.rows) if (creates) wrong(`${grantee} may CREATE in schema log`, 'schema log');

  const valid = await snapshot.query<{ name: string }>(
    `SELECT x.conname AS name FROM pg_constraint x JOIN pg_index i ON i.indexrelid = x.conindid
      WHERE x.connamespace = 'log'::regnamespace AND x.contype IN ('p', 'u') AND i.indisvalid AND i.indisunique`,
  );
  for (const name of constraints)
    if (!valid.rows.some((known) => known.name === name)) wrong(`constraint ${name} is missing or not valid`, `constraint ${name}`);

  const replica = await snapshot.query<{ setting: string }>(
    "SELECT s AS setting FROM pg_db_role_setting, unnest(setconfig) AS s WHERE s LIKE 'session_replication_role=%' AND s NOT LIKE '%=origin'",
  );
  for (const { setting } of replica.rows) wrong(`a database or role has the setting ${setting}, which switches triggers off`);

  // An administrator who is no superuser and runs the migrations is a member too, and has to be.
  const members = await snapshot.query<{ member: string }>(
    `SELECT r.rolname AS member FROM pg_roles r
      WHERE NOT r.rolsuper AND r.rolname <> 'book_keeper_owner' AND pg_has_role(r.oid, 'book_keeper_owner', 'MEMBER') ORDER BY 1`,
  );
  const names = members.rows.map(({ member }) => member);
  for (const name of names.filter((member) => bound.includes(member)))
    wrong(`${name} is a member of book_keeper_owner and could switch triggers off`, `role ${name}`);
  const others = names.filter((member) => !bound.includes(member));
  return others.length === 0 ? [] : [`what members of book_keeper_owner may do: ${others.join(', ')}`];
}

type Wrong = (message: string, row?: string) => void;

/** What could show a reader other rows than those that are stored, or keep a writer's row from being stored as it was given. */
async function checkBetween(snapshot: Snapshot, wrong: Wrong): Promise<void> {
  const { rows } = await snapshot.query<{ table: string; what: string }>(
    `SELECT c.relname AS table, found.what
       FROM pg_class c,
            LATERAL (SELECT 'has the rule ' || w.rulename FROM pg_rewrite w WHERE w.ev_class = c.oid
                     UNION ALL SELECT 'has row level security' WHERE c.relrowsecurity
                     UNION ALL SELECT 'is inherited by ' || i.inhrelid::regclass FROM pg_inherits i WHERE i.inhparent = c.oid) AS found (what)
      WHERE c.relnamespace = 'log'::regnamespace AND c.relkind = 'r' ORDER BY 1, 2`,
  );
  for (const { table, what } of rows) wrong(`log.${table} ${what}, which no migration made`, `log.${table}`);
}

async function checkFunctions(snapshot: Snapshot, wrong: Wrong, plain: boolean): Promise<void> {
  const doors = readDoors();
  if (!plain) for (const name of ['refuse_change', 'refuse_loss']) doors.delete(name);
  const { rows } = await snapshot.query<{
    schema: string;
    name: string;
    body: string;
    definer: boolean;
    settings: string;
    owner: string;
    executors: string[];
  }>(
    `SELECT n.nspname AS schema, p.proname AS name, p.prosrc AS body, p.prosecdef AS definer, p.proowner::regrole::text AS owner,
            array_to_string(ARRAY(SELECT s FROM unnest(p.proconfig) AS s ORDER BY s), '; ') AS settings,
            ARRAY(SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
                    FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a ORDER BY 1) AS executors
       FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
      WHERE n.nspname IN ('log', 'privacy') OR (p.prosecdef AND p.proowner = 'book_keeper_owner'::regrole) ORDER BY 1, 2`,
  );
  const seen = new Set<string>();
  for (const { schema, name, body, definer, settings, owner, executors } of rows) {
    const row = `${schema}.${name}`;
    const door = seen.has(row) ? undefined : doors.get(row);
    if (schema === 'log' || schema === 'privacy') seen.add(row);
    if (door === undefined || door.body !== body) wrong(`function ${row} is not the one that a migration made`, row);
    else {
      if (door.definer !== definer) wrong(`function ${row} is SECURITY ${definer ? 'DEFINER' : 'INVOKER'}, unlike the migration's`, row);
      if (door.settings !== settings) wrong(`function ${row} has the settings "${settings}", the migration made "${door.settings}"`, row);
    }
    if (owner !== 'book_keeper_owner') wrong(`function ${row} runs with the rights of ${owner}`, row);
    for (const executor of executors)
      if (executor !== owner && executor !== (name === 'archive_range' ? 'book_keeper_archiver' : 'book_keeper_app'))
        wrong(`function ${row} may be executed by ${executor}`, row);
  }
  for (const name of doors.keys()) if (!seen.has(name)) wrong(`function ${name} is missing`, name);
}

/** Triggers of schema audit, as migrations 0013 and 0015 make them. */
const auditTriggers = [
  'transactions_commit',
  'commits_delayed_commit',
  ...['transactions', 'commits', 'commits_delayed', 'changes', 'chain'].flatMap((table) => [
    `${table}_append_only`,
    `${table}_not_truncated`,
  ]),
  'tables_by_attach',
];
/** Functions of schema audit that PUBLIC may not execute, and who may. */
const auditDoors: Record<string, readonly string[]> = {
  enter: [],
  note_commit: [],
  end_statement: [],
  refuse_change: [],
  refuse_settings: [],
  seal: ['book_keeper_app'],
};

/** The audit trail of ordinary tables is made of functions and triggers: whoever changes them records what he likes. */
async function checkAuditTrail(snapshot: Snapshot, wrong: Wrong): Promise<void> {
  const made = readDoors('audit');
  const functions = await snapshot.query<{
    name: string;
    body: string;
    definer: boolean;
    owner: string;
    settings: string;
    executors: string[];
  }>(
    `SELECT p.proname AS name, p.prosrc AS body, p.prosecdef AS definer, p.proowner::regrole::text AS owner,
            array_to_string(ARRAY(SELECT lower(split_part(s, '=', 1)) || substr(s, strpos(s, '=')) FROM unnest(p.proconfig) AS s ORDER BY 1), '; ') AS settings,
            ARRAY(SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
                    FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a WHERE a.grantee <> p.proowner ORDER BY 1) AS executors
       FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'audit' AND p.prokind = 'f' ORDER BY 1`,
  );
  // A database that was brought up to date on Citus and is plain now has none.
  if (functions.rows.length === 0) return;
  const seen = new Set<string>();
  for (const { name, body, definer, owner, settings, executors } of functions.rows) {
    const row = `audit.${name}`;
    const known = seen.has(row) ? undefined : made.get(row);
    seen.add(row);
    if (known?.body !== body || known.definer !== definer) wrong(`function ${row} is not the one that a migration made`, row);
    else if (known.settings !== settings)
      wrong(`function ${row} has the settings "${settings}", the migration made "${known.settings}"`, row);
    if (owner !== 'audit_trail_owner') wrong(`function ${row} runs with the rights of ${owner}`, row);
    const allowed = auditDoors[name];
    for (const executor of executors)
      if (allowed !== undefined && !allowed.includes(executor)) wrong(`function ${row} may be executed by ${executor}`, row);
  }
  for (const name of made.keys()) if (!seen.has(name)) wrong(`function ${name} is missing`, name);
  const triggers = await snapshot.query<{ name: string; table: string; enabled: string }>(
    `SELECT tgname AS name, c.relname AS table, tgenabled AS enabled
       FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = 'audit' AND NOT t.tgisinternal`,
  );
  for (const { name, table, enabled } of triggers.rows)
    if (!auditTriggers.includes(name)) wrong(`trigger ${name} of audit.${table} was made by no migration`, `trigger ${name}`);
    else if (enabled !== 'O' && enabled !== 'A') wrong(`trigger ${name} of audit.${table} is disabled`, `trigger ${name}`);
  for (const name of auditTriggers)
    if (!triggers.rows.some((trigger) => trigger.name === name)) wrong(`trigger ${name} is missing`, `trigger ${name}`);
  const rights = await snapshot.query<{ object: string; grantee: string; privileges: string }>(
    `SELECT c.relname AS object, coalesce(r.rolname, 'PUBLIC') AS grantee, string_agg(DISTINCT a.privilege_type, ', ') AS privileges
       FROM pg_class c
       LEFT JOIN pg_attribute col ON col.attrelid = c.oid AND col.attnum > 0 AND col.attacl IS NOT NULL
       CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)) || coalesce(col.attacl, '{}')) AS a
       LEFT JOIN pg_roles r ON r.oid = a.grantee
      WHERE c.relnamespace = 'audit'::regnamespace AND c.relkind IN ('r', 'S') AND a.grantee <> c.relowner AND a.privilege_type <> 'SELECT'
      GROUP BY 1, 2
     UNION ALL
     SELECT 'the schema', CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, a.privilege_type
       FROM pg_namespace n, aclexplode(n.nspacl) AS a WHERE n.nspname = 'audit' AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
      ORDER BY 1, 2`,
  );
  for (const { object, grantee, privileges } of rights.rows) wrong(`${grantee} may ${privileges} on audit.${object}`, `audit.${object}`);
  const owners = await snapshot.query<{ table: string; owner: string }>(
    `SELECT c.relname AS table, c.relowner::regrole::text AS owner FROM pg_class c
      WHERE c.relnamespace = 'audit'::regnamespace AND c.relkind IN ('r', 'v') AND c.relowner <> 'audit_trail_owner'::regrole`,
  );
  for (const { table, owner } of owners.rows) wrong(`audit.${table} belongs to ${owner}, not to audit_trail_owner`, `audit.${table}`);
}

/** The functions of a schema, or of log and privacy, in the migrations, each as it was made last. */
function readDoors(schema = '(?:log|privacy)'): Map<string, Door> {
  const directory = migrationsDirectory();
  const doors = new Map<string, Door>();
  for (const file of readdirSync(directory)
    .filter((name) => name.endsWith('.sql'))
    .sort()) {
    const text = readFileSync(join(directory, file), 'utf8');
    const form = new RegExp(`^CREATE (?:OR REPLACE )?FUNCTION (${schema}\\.\\w+)([^$]*)AS \\$\\$([\\s\\S]*?)\\$\\$;`, 'gm');
    for (const [, name = '', head = '', body = ''] of text.matchAll(form)) {
      const settings = [...head.matchAll(/\bSET (\w+) = ('[^']*'|[\w, ]+?)(?= SET |\s*$)/gm)].map(
        ([, setting, value]) => `${setting}=${value?.replace(/^'(.*)'$/, '$1')}`,
      );
      doors.set(name, { body, definer: head.includes('SECURITY DEFINER'), settings: settings.sort().join('; ') });
    }
  }
  return doors;
}
