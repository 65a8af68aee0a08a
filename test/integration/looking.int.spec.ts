/**
 * Whoever looks must not change what is looked at: `verify`, `events` and `state` write nothing, not even a schema that is
 * missing, and so they can be used by an auditor, whose login may only read, and on a server that takes no writes.
 */
import { readdirSync } from 'node:fs';
import { connect } from '#postgres';
import { type Ended, startCommand } from '../support/cli';
import { emptyDatabase, type TestDatabase, testDatabase } from '../support/database';
import { openTestService, type TestService } from '../support/services';

const role = `bk_look_${process.pid}`;
let database: TestDatabase;
let opened: TestService;

beforeAll(async () => {
  database = await testDatabase();
  opened = await openTestService(database.appUrl, { SEAL: 'off' }); // what it seals by itself would change beside the looking
  const context = { key: 'look-1', userId: opened.service.bootstrapKey.id, source: 'REST' as const };
  const answer = await opened.service.ledger.execute(
    'seen',
    { type: 'OpenBook', id: 'seen', name: 'Seen', baseCurrency: 'EUR', fiscalYearStart: '01-01' },
    context,
  );
  expect(answer.status).toBe(201);
  await opened.service.sealer.seal('seen');
});
afterAll(async () => {
  await opened?.close();
  await database?.drop();
});

async function asAdmin(url: string, ...statements: string[]): Promise<readonly unknown[]> {
  const admin = await connect(url, { primary: false });
  try {
    let rows: readonly unknown[] = [];
    for (const statement of statements) ({ rows } = await admin.query(statement));
    return rows;
  } finally {
    await admin.end();
  }
}

/** Each command in a process of its own. */
function look(url: string, more: NodeJS.ProcessEnv = {}): Promise<Ended[]> {
  const environment = { ...opened.environment, DATABASE_URL: url, BOOTSTRAP_API_KEY: 'bk_another_key_0123456789abcdef', ...more };
  return Promise.all(
    [['verify'], ['events', 'seen', '--last', '1'], ['state', 'seen', 'book']].map((args) => startCommand(args, environment).ended),
  );
}

it('an auditor, who may read everything but keys, can look; users are shown by id', async () => {
  await asAdmin(database.adminUrl, `CREATE ROLE ${role} LOGIN PASSWORD 'spec' IN ROLE book_keeper_auditor`);
  try {
    const [verified, events, state] = await look(Object.assign(new URL(database.adminUrl), { username: role, password: 'spec' }).href);
    expect(verified).toMatchObject({ code: 0, stdout: expect.stringContaining('Nothing wrong in 3 events') });
    expect(events).toMatchObject({ code: 0, stderr: expect.stringContaining('may not read the names of API keys') });
    expect(events?.stdout).toContain(`by ${opened.service.bootstrapKey.id} via REST`);
    expect(state).toMatchObject({ code: 0, stdout: expect.stringContaining('Book seen, version 3 of 3') });
  } finally {
    await asAdmin(database.adminUrl, `DROP ROLE ${role}`);
  }
});

it('a server that takes no writes, as a standby, can be looked at', async () => {
  await asAdmin(database.adminUrl, `ALTER DATABASE ${database.name} SET default_transaction_read_only = on`);
  try {
    expect((await look(database.appUrl)).map(({ code, stderr }) => [code, stderr])).toEqual([
      [0, ''],
      [0, ''],
      [0, ''],
    ]);
  } finally {
    await asAdmin(
      database.adminUrl,
      'SET default_transaction_read_only = off',
      `ALTER DATABASE ${database.name} RESET default_transaction_read_only`,
    );
  }
});

it('nothing is written: no key, no file', async () => {
  const before = await asAdmin(database.adminUrl, 'SELECT * FROM access.api_keys');
  const files = readdirSync(opened.environment.DATA_DIR as string);
  expect((await look(database.appUrl)).map(({ code }) => code)).toEqual([0, 0, 0]);
  expect(await asAdmin(database.adminUrl, 'SELECT * FROM access.api_keys')).toEqual(before);
  expect(readdirSync(opened.environment.DATA_DIR as string)).toEqual(files);
});

it('a database without the schema is not given one, and is not said to be right', async () => {
  const empty = await emptyDatabase();
  try {
    const ended = await look(empty.adminUrl);
    expect(ended.map(({ code }) => code)).toEqual([2, 1, 1]);
    for (const { stderr } of ended) expect(stderr).toContain('the schema of the database is empty');
    expect(await asAdmin(empty.adminUrl, "SELECT nspname FROM pg_namespace WHERE nspname IN ('log', 'projections', 'access')")).toEqual([]);
  } finally {
    await empty.drop();
  }
});
