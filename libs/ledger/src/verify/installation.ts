/**
 * What keeps the log append-only (I3), looked up in the catalogue: grants, the triggers that refuse changes and the functions
 * that are the only doors. A superuser can switch any of it off; here that is found, also when nothing was changed meanwhile.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { migrationsDirectory } from '#postgres';
import type { Findings } from './findings';
import type { Snapshot } from './rows';

/** As migration 0004 makes them; pg_get_triggerdef writes them the same way in PostgreSQL 15 to 18. */
const changes = ['events', 'batches', 'stream_names', 'books'].map(
  (table) =>
    `CREATE TRIGGER ${table}_append_only BEFORE DELETE OR UPDATE ON log.${table} FOR EACH ROW EXECUTE FUNCTION log.refuse_change()`,
);
const truncations = ['events', 'batches', 'stream_names', 'books', 'receipts'].map(
  (table) =>
    `CREATE TRIGGER ${table}_not_truncated BEFORE TRUNCATE ON log.${table} FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change()`,
);
const receiptColumns = 'recorded_at, "position", item, status, book_id, key, command, fingerprint, answer, members';
const triggers = [
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
];

export async function checkInstallation(snapshot: Snapshot, findings: Findings): Promise<void> {
  const wrong = (message: string, row?: string): void => findings.add('append-only', `${message} (I3)`, { row });
  // Distributed tables take no triggers; there the grants alone hold (migration 0004).
  const citus = await snapshot.query("SELECT FROM pg_extension WHERE extname = 'citus'");
  if (citus.rows.length === 0) {
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

  const directory = migrationsDirectory();
  const migrations = readdirSync(directory)
    .filter((name) => name.endsWith('.sql'))
    .map((name) => readFileSync(join(directory, name), 'utf8'))
    .join('\n');
  const functions = await snapshot.query<{ name: string; body: string; definer: boolean; owner: string; anyone: boolean }>(
    `SELECT p.proname AS name, p.prosrc AS body, p.prosecdef AS definer, r.rolname AS owner,
            EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0) AS anyone
       FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner WHERE p.pronamespace = 'log'::regnamespace`,
  );
  for (const name of ['append', 'touch_receipt', 'raise_floor', 'hold_head', 'register_book', 'refuse_change']) {
    const found = functions.rows.find((known) => known.name === name);
    if (found === undefined && (name !== 'refuse_change' || citus.rows.length === 0))
      wrong(`function log.${name} is missing`, `log.${name}`);
  }
  for (const { name, body, definer, owner, anyone } of functions.rows) {
    if (!migrations.includes(body)) wrong(`function log.${name} is not the one that a migration made`, `log.${name}`);
    if (definer && owner !== 'book_keeper_owner') wrong(`function log.${name} runs with the rights of ${owner}`, `log.${name}`);
    if (anyone) wrong(`function log.${name} may be executed by PUBLIC`, `log.${name}`);
  }

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
}
