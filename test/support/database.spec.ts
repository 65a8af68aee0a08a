/** The databases that other specs stand on. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, isConnectionLost } from '#postgres';
import { type DurableServer, durableServer, testDatabase } from './database';

const query = async (url: string, sql: string): Promise<unknown[]> => {
  const client = await connect(url);
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
};

describe('testDatabase', () => {
  it('clones the template several times at once, each database its own', async () => {
    const databases = await Promise.all(Array.from({ length: 6 }, testDatabase));
    expect(new Set(databases.map(({ name }) => name)).size).toBe(6);
    await query(databases[0]?.adminUrl ?? '', 'CREATE TABLE public.mine (n int)');
    await expect(query(databases[1]?.adminUrl ?? '', `SELECT to_regclass('public.mine') AS found`)).resolves.toEqual([{ found: null }]);
    await Promise.all(databases.map(({ drop }) => drop()));
    await expect(connect(databases[0]?.adminUrl ?? '')).rejects.toMatchObject({ code: '3D000' });
  });

  it('drops a database that still has sessions, twice if asked', async () => {
    const database = await testDatabase();
    const open = await connect(database.appUrl);
    await database.drop();
    await database.drop();
    await expect(open.query('SELECT 1')).rejects.toThrow();
  });
});

describe('durableServer', () => {
  let durable: DurableServer;
  beforeAll(async () => {
    durable = await durableServer({ max_connections: 30 });
  });
  afterAll(() => durable.destroy());

  it('keeps what was committed when it is killed, under the same URLs', async () => {
    await query(durable.adminUrl, 'CREATE TABLE public.kept AS SELECT 42 AS n; GRANT SELECT ON public.kept TO PUBLIC');
    const open = await connect(durable.appUrl);
    process.kill(durable.server.pid, 'SIGKILL');
    const failure: unknown = await open.query('SELECT pg_sleep(5)').catch((error: unknown) => error);
    expect(isConnectionLost(failure)).toBe(true);
    while (
      await connect(durable.adminUrl)
        .then((client) => client.end().then(() => true))
        .catch(() => false)
    )
      await sleep(10);
    await durable.restart();
    await expect(query(durable.appUrl, `SELECT n, current_setting('max_connections') AS max FROM public.kept`)).resolves.toEqual([
      { n: 42, max: '30' },
    ]);
  });
});
