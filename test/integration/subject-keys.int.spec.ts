/**
 * Keys of persons: made once whoever asks first, wrapped by a master key that is not in the database, destroyed for ever and with their
 * bytes, and brought back by no backup.
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client, Pool } from 'pg';
import { sealedPrefix } from '#domain';
import { connect, openPool } from '#postgres';
import { KeyDestroyed, KeysUnavailable, keyName, looksSealed, type MasterKeySettings, MasterKeys, SubjectKeys } from '#privacy';
import { type TestDatabase, testDatabase } from '../support/database';

let database: TestDatabase;
let pool: Pool;
let admin: Client;
const directory = mkdtempSync(join(tmpdir(), 'book-keeper-keys-'));
const settings = (more: Partial<MasterKeySettings> = {}): MasterKeySettings => ({
  MASTER_KEY: '',
  MASTER_KEY_FILE: '',
  MASTER_KEY_COMMAND: '',
  DATA_DIR: directory,
  ...more,
});
const keysWith = (more: Partial<MasterKeySettings> = {}): SubjectKeys => new SubjectKeys(pool, new MasterKeys(pool, settings(more)));

beforeAll(async () => {
  database = await testDatabase();
  pool = openPool(database.appUrl, { max: 8 });
  admin = await connect(database.adminUrl);
});
afterAll(async () => {
  await pool?.end();
  await admin?.end();
  await database?.drop();
  rmSync(directory, { recursive: true, force: true });
});

let serial = 0;
const subject = (): string => `00000000-0000-5000-8000-${String(++serial).padStart(12, '0')}`;
const one = (subjectId: string, scope = 'identity') => [{ subjectId, scope }];
const fingerprint = async (keys: SubjectKeys, subjectId: string, scope = 'identity') =>
  (await keys.find('acme', one(subjectId, scope))).get(keyName(subjectId, scope))?.fingerprint;

it('a key is made once, whoever asks first; each person and scope has its own', async () => {
  const id = subject();
  const many = await Promise.all(Array.from({ length: 12 }, () => keysWith().obtain('acme', one(id))));
  expect(new Set(many.map((keys) => keys.get(keyName(id, 'identity'))?.fingerprint)).size).toBe(1);
  const keys = keysWith();
  await keys.obtain('acme', [...one(id, 'contact'), ...one(subject())]);
  await keys.obtain('other', one(id));
  const { rows } = await admin.query('SELECT DISTINCT fingerprint FROM privacy.subject_keys');
  expect(rows).toHaveLength(4);
  expect((await keys.list('acme', id)).map(({ scope }) => scope)).toEqual(['contact', 'identity']);
  expect(await keys.find('acme', one(subject()))).toEqual(new Map());
});

describe('a key that is destroyed', () => {
  it('is gone for every process at once, and is never made again', async () => {
    const [here, there, id] = [keysWith(), keysWith(), subject()];
    await here.obtain('acme', [...one(id), ...one(id, 'contact')]);
    await there.find('acme', one(id));
    await here.destroy('acme', id, ['identity']);
    expect((await there.find('acme', [...one(id), ...one(id, 'contact')])).size).toBe(1);
    await expect(there.obtain('acme', one(id))).rejects.toThrow(KeyDestroyed);
    await here.destroy('acme', id, ['identity', 'never-made']);
    expect(await here.destroyed('acme', id)).toEqual(['identity', 'never-made']);
    await expect(here.obtain('acme', one(id, 'never-made'))).rejects.toThrow(KeyDestroyed);
  });

  it('leaves no byte in the file of the table', async () => {
    const [keys, id] = [keysWith(), subject()];
    await keys.obtain('acme', one(id));
    const { rows } = await admin.query<{ wrapped: Buffer }>('SELECT wrapped FROM privacy.subject_keys WHERE subject_id = $1', [id]);
    const wrapped = rows[0]?.wrapped as Buffer;
    const stands = async (): Promise<boolean> => {
      await admin.query('CHECKPOINT');
      const file = await admin.query<{ path: string }>(
        "SELECT current_setting('data_directory') || '/' || pg_relation_filepath('privacy.subject_keys') AS path",
      );
      return readFileSync(file.rows[0]?.path ?? '').includes(wrapped);
    };
    expect(await stands()).toBe(true);
    await keys.destroy('acme', id, ['identity']);
    expect(await stands()).toBe(false);
    expect((await keys.usage()).unfinished).toBe(0);
  });

  it('is finished later where somebody holds the table', async () => {
    const [keys, id] = [keysWith(), subject()];
    await keys.obtain('acme', one(id));
    await admin.query('BEGIN');
    await admin.query('SELECT * FROM privacy.subject_keys LIMIT 1');
    try {
      await keys.destroy('acme', id, ['identity']);
      expect(await fingerprint(keys, id)).toBeUndefined();
      expect((await keys.usage()).unfinished).toBe(1);
    } finally {
      await admin.query('COMMIT');
    }
    expect(await keys.finish()).toBe(true);
    expect((await keys.usage()).unfinished).toBe(0);
  });

  it('is destroyed again where a backup of the keys brought it back, with its place in the list or without', async () => {
    const [keys, id, other] = [keysWith(), subject(), subject()];
    await keys.obtain('acme', [...one(id), ...one(other)]);
    const { rows } = await admin.query('SELECT * FROM privacy.subject_keys WHERE subject_id = $1', [id]);
    await keys.destroy('acme', id, ['identity']);
    const row = rows[0] as Record<string, unknown>;
    const columns = Object.keys(row);
    const restored = `INSERT INTO privacy.subject_keys (${columns.join(', ')}) VALUES (${columns.map((_, index) => `$${index + 1}`).join(', ')})`;
    await admin.query(restored, Object.values(row));
    await admin.query('DELETE FROM privacy.destroyed_keys WHERE subject_id = $1', [id]);
    expect(await fingerprint(keys, id)).toBeDefined();
    expect(await keys.reconcile('acme', one(id))).toBe(1);
    expect(await keys.reconcile('acme', one(id))).toBe(0);
    expect(await fingerprint(keys, id)).toBeUndefined();
    expect(await fingerprint(keys, other)).toBeDefined();
  });
});

it('a key that is made in the moment in which it is destroyed is none, and goes with the next look', async () => {
  const [keys, id] = [keysWith(), subject()];
  const { rows } = await admin.query('SELECT * FROM privacy.subject_keys LIMIT 1');
  const row: Record<string, unknown> = { ...(rows[0] as object), subject_id: id };
  const making = await connect(database.adminUrl);
  try {
    await making.query('BEGIN');
    await making.query(
      `INSERT INTO privacy.subject_keys (${Object.keys(row).join(', ')}) VALUES (${Object.keys(row)
        .map((_, index) => `$${index + 1}`)
        .join(', ')})`,
      Object.values(row),
    );
    await pool.query('SELECT privacy.destroy_keys($1, $2, $3, now())', [row.book_id, id, [row.scope]]);
    await making.query('COMMIT');
  } finally {
    await making.end();
  }
  expect(await keys.find(String(row.book_id), one(id, String(row.scope)))).toEqual(new Map());
  await expect(keys.obtain(String(row.book_id), one(id, String(row.scope)))).rejects.toThrow(KeyDestroyed);
  expect(await keys.finish()).toBe(true);
  expect((await admin.query('SELECT FROM privacy.subject_keys WHERE subject_id = $1', [id])).rowCount).toBe(0);
});

describe('the master key', () => {
  it('takes the place of another without any key being changed, while others make and read keys', async () => {
    const masters = new MasterKeys(pool, settings());
    const [keys, ids] = [new SubjectKeys(pool, masters), Array.from({ length: 30 }, subject)];
    for (const id of ids) await keys.obtain('rotated', one(id));
    const find = async (with_: SubjectKeys) =>
      (await with_.find(
        'rotated',
        ids.map((subjectId) => ({ subjectId, scope: 'identity' })),
      )) as ReadonlyMap<string, { fingerprint: string }>;
    const before = [...(await find(keys))].map(([name, { fingerprint }]) => [name, fingerprint]).sort();
    const running = keysWith();
    await find(running);
    const number = await masters.addKey();
    const writing = Promise.all(Array.from({ length: 10 }, () => keysWith().obtain('rotated', one(subject()))));
    expect(await keys.rewrap()).toBeGreaterThanOrEqual(30);
    await writing;
    expect(await keys.rewrap()).toBeLessThanOrEqual(10);
    expect((await keys.usage()).masters.map((master) => master.number)).toEqual([number]);
    expect([...(await find(keysWith()))].map(([name, { fingerprint }]) => [name, fingerprint]).sort()).toEqual(before);
    // A service that has begun before the rotation.
    expect((await find(running)).size).toBe(30);
    expect((await new SubjectKeys(pool, new MasterKeys(pool, settings())).obtain('rotated', one(subject()))).size).toBe(1);
    // Without the former one.
    const file = join(directory, 'master-key');
    const whole = readFileSync(file, 'utf8');
    writeFileSync(file, `${whole.trim().split('\n').at(-1)}\n`);
    expect((await find(keysWith())).size).toBe(30);
    writeFileSync(file, whole);
  });

  it('that is another one under a known number, or is missing, is told before anything is wrapped', async () => {
    const another = `1:${Buffer.alloc(32, 7).toString('base64')}`;
    await expect(keysWith({ MASTER_KEY: another }).obtain('acme', one(subject()))).rejects.toThrow(
      /master key 1 in MASTER_KEY is not the one/,
    );
    const later = `99:${Buffer.alloc(32, 7).toString('base64')}`;
    const id = subject();
    await keysWith().obtain('acme', one(id));
    await expect(keysWith({ MASTER_KEY: later }).find('acme', one(id))).rejects.toThrow(/master key \d+ is not here/);
    for (const wrong of ['x', '1:abc', `0:${Buffer.alloc(32).toString('base64')}`, `${later},${later}`])
      await expect(keysWith({ MASTER_KEY: wrong }).obtain('acme', one(subject()))).rejects.toThrow(/NUMBER:BASE64/);
    await expect(keysWith({ MASTER_KEY_FILE: join(directory, 'none') }).obtain('acme', one(subject()))).rejects.toThrow(KeysUnavailable);
  });

  it('may be behind a program that asks a KMS', async () => {
    const program = join(directory, 'kms.mjs');
    writeFileSync(
      program,
      `import { readFileSync } from 'node:fs';
       const { keys, context, number } = JSON.parse(readFileSync(0, 'utf8'));
       const mask = (text, of) => Buffer.from(text, 'base64').map((byte, index) => byte ^ (of.charCodeAt(index % of.length) & 255));
       if (process.argv[2] === 'unwrap' && number !== 700) { console.error('no such key'); process.exit(3); }
       console.log(JSON.stringify({ number: 700, keys: keys.map((key, index) => Buffer.from(mask(key, context[index])).toString('base64')) }));`,
    );
    chmodSync(program, 0o755);
    const by = { MASTER_KEY_COMMAND: `${process.execPath} ${program}` };
    const id = subject();
    const made = (await keysWith(by).obtain('kms', one(id))).get(keyName(id, 'identity'))?.fingerprint;
    expect((await keysWith(by).find('kms', one(id))).get(keyName(id, 'identity'))?.fingerprint).toBe(made);
    const own = subject();
    await keysWith().obtain('acme', one(own));
    await expect(keysWith(by).find('acme', one(own))).rejects.toThrow(/MASTER_KEY_COMMAND unwrap ended with status 3: no such key/);
    await expect(keysWith({ MASTER_KEY_COMMAND: '/no/such/program' }).obtain('kms', one(subject()))).rejects.toThrow(KeysUnavailable);
    await expect(keysWith({ MASTER_KEY_COMMAND: 'echo' }).obtain('kms', one(subject()))).rejects.toThrow(/no JSON/);
  });
});

describe('wrapping keys anew', () => {
  /** A program for a KMS whose `unwrap` does to its answer what is asked of it; 700 wraps, then 701. */
  const program = (name: string, unwraps: string): Partial<MasterKeySettings> => {
    const file = join(directory, `${name}.mjs`);
    writeFileSync(
      file,
      `import { existsSync, readFileSync } from 'node:fs';
       const { keys, context, number } = JSON.parse(readFileSync(0, 'utf8'));
       const mask = (text, of) => Buffer.from(Buffer.from(text, 'base64').map((byte, index) => byte ^ (of.charCodeAt(index % of.length) & 255))).toString('base64');
       const newest = existsSync('${file}.next') ? 701 : 700;
       const answer = keys.map((key, index) => mask(key, context[index]));
       const change = (answer) => ${unwraps};
       console.log(JSON.stringify({ number: number ?? newest, keys: process.argv[2] === 'unwrap' && existsSync('${file}.wrong') ? change(answer) : answer }));`,
    );
    return { MASTER_KEY_COMMAND: `${process.execPath} ${file}` };
  };
  const only = async (): Promise<void> => {
    await admin.query('DELETE FROM privacy.subject_keys');
  };
  const wrongNow = (name: string): void => writeFileSync(join(directory, `${name}.mjs.wrong`), '');
  const nextNow = (name: string): void => writeFileSync(join(directory, `${name}.mjs.next`), '');

  it('stops before it changes anything where what it is told is not the key that was wrapped, and names it', async () => {
    for (const [name, unwraps] of [
      ['turned', '[...answer].reverse()'],
      ['shortened', 'answer.map((key) => Buffer.from(key, "base64").subarray(1).toString("base64"))'],
    ] as const) {
      await only();
      const by = program(name, unwraps);
      const ids = [subject(), subject()];
      for (const id of ids) await keysWith(by).obtain('wrapped', one(id));
      nextNow(name);
      wrongNow(name);
      await expect(keysWith(by).rewrap()).rejects.toThrow(/the key identity of [0-9a-f-]{36} in book wrapped was unwrapped to another one/);
      expect((await keysWith().usage()).masters).toEqual([{ number: 700, keys: 2 }]);
    }
    await only();
  });

  it('ends where a newer master key appears meanwhile, and leaves nothing under an older one', async () => {
    await only();
    const masters = new MasterKeys(pool, settings());
    const keys = new SubjectKeys(pool, masters);
    await keys.obtain('wrapped', one(subject()));
    await masters.newest();
    // Another process makes one, and wraps a key with it, while this one still knows the former as the newest.
    const number = await new MasterKeys(pool, settings()).addKey();
    await keysWith().obtain('wrapped', one(subject()));
    expect(await keys.rewrap()).toBe(1);
    expect((await keys.usage()).masters).toEqual([{ number, keys: 2 }]);
  });

  it('and destroying keys of many persons writes the table anew once', async () => {
    const said: string[] = [];
    const counted = {
      query: (...asked: Parameters<Pool['query']>) => {
        said.push(JSON.stringify(asked[0]));
        return pool.query(...asked);
      },
    } as unknown as Pool;
    const keys = new SubjectKeys(counted, new MasterKeys(pool, settings()));
    const ids = [subject(), subject(), subject()];
    for (const id of ids) await keys.obtain('many', one(id));
    expect(
      await keys.reconcile(
        'many',
        ids.map((subjectId) => ({ subjectId, scope: 'identity' })),
      ),
    ).toBe(3);
    expect(said.filter((statement) => statement.includes('rewrite_keys'))).toHaveLength(1);
    expect((await keys.usage()).unfinished).toBe(0);
  });
});

it('the service may make and read keys, and take none away but through the door', async () => {
  for (const statement of [
    'DELETE FROM privacy.subject_keys',
    "UPDATE privacy.subject_keys SET scope = 'x'",
    'DELETE FROM privacy.destroyed_keys',
    "INSERT INTO privacy.destroyed_keys SELECT now(), now(), gen_random_uuid(), 'b', 's'",
    'TRUNCATE privacy.subject_keys',
  ])
    await expect(pool.query(statement)).rejects.toMatchObject({ code: '42501' });
});

it('sealed texts begin as the rules for what callers may say know them', () => {
  expect(looksSealed(sealedPrefix)).toBe(true);
  expect(looksSealed(sealedPrefix.slice(0, -1))).toBe(false);
});
