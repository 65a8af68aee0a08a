/**
 * I3: events are never updated, deleted or truncated. As the service's own login nothing in the log can be written but through
 * its functions; as the owner of the tables a trigger refuses; and the functions lend their rights to nobody.
 */
import type { Client } from 'pg';
import { connect } from '#postgres';
import { newId, note, receiptOf, type TestLog, testLog } from '../support/test-log';

let log: TestLog;
let service: Client;
let tables: string[];
beforeAll(async () => {
  log = await testLog();
  service = await connect(log.database.appUrl);
  const { rows } = await log.admin.query<{ relname: string }>(
    "SELECT relname FROM pg_class WHERE relnamespace = 'log'::regnamespace AND relkind IN ('r', 'p') ORDER BY relname",
  );
  tables = rows.map(({ relname }) => relname);
  await log.store.registerBook('acme', Date.now() * 1_000);
  const stream = newId();
  await log.appended('acme', {
    events: [note(stream, 1)],
    streams: [{ streamId: stream, expected: 'new', head: { kind: 'every', version: 1, reducerVersion: 1, state: {} } }],
    receipts: [receiptOf('k', { position: 1 })],
    names: [{ category: 'account', name: '1000', streamId: stream }],
    contexts: [{ hash: Buffer.alloc(32), salt: Buffer.alloc(16), ip: '127.0.0.1' }],
  });
});
afterAll(async () => {
  await service.end();
  await log.close();
});

/** SQLSTATE of a statement that must fail. */
async function stateOf(client: Client, text: string): Promise<string | undefined> {
  try {
    await client.query(text);
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code;
  }
}
const rowsOf = async () => {
  const found: Record<string, unknown> = {};
  for (const table of tables) found[table] = (await log.admin.query(`SELECT to_jsonb(t) AS row FROM log.${table} t ORDER BY 1`)).rows;
  return found;
};

describe('the login of the service', () => {
  it('may not INSERT, UPDATE, DELETE or TRUNCATE any table of the log (42501, insufficient privilege)', async () => {
    expect(tables).toEqual([
      ...['archived_ranges', 'archived_streams'],
      ...['audit_packs', 'batches', 'book_heads', 'books', 'checkpoint_signatures', 'checkpoints', 'command_contexts', 'events', 'heads'],
      ...['origins', 'receipts', 'signing_keys', 'stream_names', 'tiles', 'trees'],
    ]);
    const before = await rowsOf();
    const refused: Record<string, (string | undefined)[]> = {};
    for (const table of tables) {
      refused[table] = [
        await stateOf(service, `INSERT INTO log.${table} SELECT * FROM log.${table}`),
        await stateOf(service, `UPDATE log.${table} SET ${table === 'signing_keys' ? 'name = name' : 'book_id = book_id'}`),
        await stateOf(service, `DELETE FROM log.${table}`),
        await stateOf(service, `TRUNCATE log.${table}`),
        await stateOf(service, `COPY log.${table} FROM STDIN`),
        await stateOf(service, `SELECT * FROM log.${table} FOR UPDATE`),
        await stateOf(service, `DO $$ BEGIN LOCK TABLE log.${table} IN EXCLUSIVE MODE; END $$`),
      ];
    }
    expect(refused).toEqual(Object.fromEntries(tables.map((table) => [table, Array(7).fill('42501')])));
    expect(await rowsOf()).toEqual(before);
  });

  it('may not change what guards the log, nor make itself its owner', async () => {
    for (const text of [
      'ALTER TABLE log.events DISABLE TRIGGER ALL',
      'DROP TRIGGER events_append_only ON log.events',
      'ALTER TABLE log.events ADD COLUMN x int',
      'DROP TABLE log.events',
      'CREATE TABLE log.x ()',
      'CREATE FUNCTION log.x() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
      "CREATE OR REPLACE FUNCTION log.touch_receipt(p_book text, p_key text, p_item integer) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
      'CREATE RULE x AS ON INSERT TO log.events DO INSTEAD NOTHING',
      'SET ROLE book_keeper_owner',
      'SET session_replication_role = replica',
      'GRANT book_keeper_owner TO CURRENT_USER',
      'CREATE SCHEMA x',
    ]) {
      expect([text, await stateOf(service, text)]).toEqual([text, '42501']);
    }
  });

  it('cannot borrow the owner’s rights by way of the functions: types of its own are not found from within', async () => {
    // A temporary domain named like a type that the functions use, whose check runs code of the caller's.
    const thief = await connect(log.database.appUrl);
    try {
      await thief.query('CREATE TEMP TABLE stolen (by_whom text)');
      await thief.query('GRANT ALL ON pg_temp.stolen TO PUBLIC');
      await thief.query(`CREATE FUNCTION pg_temp.steal() RETURNS boolean LANGUAGE plpgsql AS $$
        BEGIN
          INSERT INTO pg_temp.stolen VALUES (current_user);
          RETURN true;
        END $$`);
      for (const type of ['jsonb', 'timestamptz', 'uuid', 'text', 'int8', 'bool'])
        await thief.query(`CREATE DOMAIN pg_temp.${type} AS pg_catalog.${type} CHECK (pg_temp.steal())`);
      await thief.query('CREATE TEMP TABLE events (LIKE log.events)');
      await thief.query(`SELECT * FROM log.raise_floor('acme', '2020-01-01'::pg_catalog.timestamptz)`);
      await thief.query(`SELECT log.touch_receipt('acme', 'k', 0)`);
      await thief.query(`SELECT log.register_book('acme', '2020-01-01'::pg_catalog.timestamptz)`);
      const head = await log.store.head('acme');
      const outcome = await log.store.append(thief, {
        ...{ bookId: 'acme', head, newTail: newId(), recordedAt: Math.max(Date.now() * 1_000, head.recordedAt + 1) },
        ...{ events: [], streams: [], receipts: [receiptOf('thief')] },
      });
      expect(outcome.kind).toBe('appended');
      const { rows } = await thief.query<{ by_whom: string }>('SELECT DISTINCT by_whom FROM pg_temp.stolen');
      expect(rows.map(({ by_whom }) => by_whom)).not.toContain('book_keeper_owner');
    } finally {
      await thief.end();
    }
  });

  it('writes through the functions', async () => {
    const head = await log.appended('acme', { events: [note(newId(), 1)] });
    expect(await log.store.head('acme')).toEqual(head);
  });
});

describe('the owner of the tables', () => {
  let owner: Client;
  beforeAll(async () => {
    owner = await connect(log.database.adminUrl);
    await owner.query('SET ROLE book_keeper_owner');
  });
  afterAll(() => owner.end());

  it.each(['events', 'batches', 'stream_names', 'books', 'receipts'])(
    'is refused UPDATE, DELETE and TRUNCATE of log.%s by its triggers',
    async (table) => {
      const before = await rowsOf();
      expect(await stateOf(owner, `UPDATE log.${table} SET book_id = book_id`)).toBe('BK003');
      expect(await stateOf(owner, `DELETE FROM log.${table}`)).toBe('BK003');
      expect(await stateOf(owner, `TRUNCATE log.${table}`)).toBe('BK003');
      expect(await stateOf(owner, `TRUNCATE log.${table} CASCADE`)).toBe('BK003');
      expect(await rowsOf()).toEqual(before);
    },
  );

  it('is refused a change of any column of what is recorded, but for the count of replays', async () => {
    for (const table of ['events', 'batches', 'stream_names', 'books', 'receipts']) {
      const { rows } = await log.admin.query<{ attname: string }>(
        'SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped',
        [`log.${table}`],
      );
      const open: string[] = [];
      for (const { attname } of rows) {
        if ((await stateOf(owner, `UPDATE log.${table} SET ${attname} = ${attname}`)) !== 'BK003') open.push(attname);
      }
      expect([table, open]).toEqual([table, table === 'receipts' ? ['replays'] : []]);
    }
  });

  it('also when it writes through MERGE, upsert or a join', async () => {
    for (const text of [
      'MERGE INTO log.events e USING log.batches b ON e.position = b.last_position WHEN MATCHED THEN DELETE',
      "INSERT INTO log.books VALUES ('acme', now()) ON CONFLICT (book_id) DO UPDATE SET registered_at = now()",
      'WITH gone AS (DELETE FROM log.events RETURNING *) SELECT count(*) FROM gone',
      'UPDATE log.receipts r SET answer = r.answer FROM log.events e WHERE e.book_id = r.book_id',
    ])
      expect([text, await stateOf(owner, text)]).toEqual([text, 'BK003']);
  });
});
