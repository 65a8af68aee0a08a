/**
 * What keeps the log append-only (I3) can be taken away by a superuser without touching a row. Each way is tried on a database
 * of its own, and verify must name it; a database as the migrations made it, it must leave alone.
 */
import { type Verification, verifyBooks } from '#ledger';
import { connect, openPool } from '#postgres';
import { durableServer, type TestDatabase, testDatabase } from '../support/database';

async function saidOf(url: string): Promise<{ found: string[]; notChecked: readonly string[] }> {
  const pool = openPool(url, { max: 1 });
  const { installation, notChecked }: Verification = await verifyBooks(pool, { books: [] });
  await pool.end();
  return { found: installation.map(({ message }) => message), notChecked };
}

const superseded = `CREATE OR REPLACE FUNCTION log.raise_floor(p_book text, p_instant timestamptz)
  RETURNS TABLE ("position" bigint, recorded_at timestamptz, clock timestamptz)
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, log, pg_temp AS ''`;

describe('as superuser, without touching a row', () => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await testDatabase();
  });
  afterEach(() => database.drop());

  it.each([
    [
      'a trigger that changes what is written',
      "CREATE FUNCTION public.other() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER aside BEFORE INSERT ON log.events FOR EACH ROW EXECUTE FUNCTION public.other()",
      'trigger aside was made by no migration',
    ],
    ['a rule', 'CREATE RULE nowhere AS ON DELETE TO log.heads DO INSTEAD NOTHING', 'log.heads has the rule nowhere'],
    [
      'row level security',
      'ALTER TABLE log.events ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON log.events FOR SELECT USING (position < 5)',
      'log.events has row level security',
    ],
    ['a table that inherits', 'CREATE TABLE public.more () INHERITS (log.events)', 'log.events is inherited by more'],
    [
      'a search path of a function',
      'ALTER FUNCTION log.touch_receipt SET search_path = public, log',
      'function log.touch_receipt has the settings "search_path=public, log"',
    ],
    ['whose rights a function has', 'ALTER FUNCTION log.touch_receipt SECURITY INVOKER', 'function log.touch_receipt is SECURITY INVOKER'],
    [
      'a body that is a part of another one',
      superseded.replace("AS ''", "AS 'SELECT NULL::bigint, NULL::timestamptz, NULL::timestamptz'"),
      'function log.raise_floor is not the one',
    ],
    [
      'a body that is empty',
      "DROP FUNCTION log.touch_receipt; SET ROLE book_keeper_owner; CREATE FUNCTION log.touch_receipt(p_book text, p_key text, p_item integer) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, log, pg_temp AS ''; REVOKE ALL ON FUNCTION log.touch_receipt FROM PUBLIC; RESET ROLE",
      'function log.touch_receipt is not the one',
    ],
    [
      'a door for somebody else',
      'GRANT EXECUTE ON FUNCTION log.append TO book_keeper_auditor',
      'log.append may be executed by book_keeper_auditor',
    ],
    [
      'a door of the owner elsewhere',
      "CREATE FUNCTION public.aside() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM log.heads'; ALTER FUNCTION public.aside OWNER TO book_keeper_owner",
      'function public.aside is not the one',
    ],
    ['a schema for others to write in', 'GRANT CREATE ON SCHEMA log TO book_keeper_app', 'book_keeper_app may CREATE in schema log'],
    [
      'an audit trail that records nothing',
      "CREATE OR REPLACE FUNCTION audit.record_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NULL; END'",
      'function audit.record_change is not the one',
    ],
    [
      'an audit trail whose chain may be changed',
      'ALTER TABLE audit.chain DISABLE TRIGGER chain_append_only',
      'trigger chain_append_only of audit.chain is disabled',
    ],
    ['an audit trail that never seals', 'DROP TRIGGER transactions_commit ON audit.transactions', 'trigger transactions_commit is missing'],
    [
      'a door to the keys of persons',
      'GRANT EXECUTE ON FUNCTION privacy.destroy_keys TO book_keeper_auditor',
      'privacy.destroy_keys may be executed by book_keeper_auditor',
    ],
    ['a schema of somebody else', 'ALTER SCHEMA log OWNER TO book_keeper_app', 'schema log belongs to book_keeper_app'],
  ])('%s is found', async (_, statement, message) => {
    expect((await saidOf(database.adminUrl)).found).toEqual([]);
    const admin = await connect(database.adminUrl);
    await admin.query(statement);
    await admin.end();
    expect((await saidOf(database.adminUrl)).found.join('\n')).toContain(message);
  });
});

// Roles belong to the whole server, and other specs run on the server of the tests.
describe('as superuser, on a server of its own', () => {
  it('a role of the migrations that may act as the owner is found; another member is named as not checked', async () => {
    const server = await durableServer();
    try {
      const admin = await connect(server.adminUrl);
      await admin.query('CREATE ROLE operator LOGIN; GRANT book_keeper_owner TO operator');
      const { found, notChecked } = await saidOf(server.adminUrl);
      expect(found).toEqual([]);
      expect(notChecked.join('\n')).toContain('what members of book_keeper_owner may do: operator');
      await admin.query('GRANT book_keeper_owner TO book_keeper_auditor');
      expect((await saidOf(server.adminUrl)).found.join('\n')).toContain('book_keeper_auditor is a member of book_keeper_owner');
      await admin.end();
    } finally {
      await server.destroy();
    }
  });
});
