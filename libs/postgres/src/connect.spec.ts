/** What comes back from PostgreSQL as which JavaScript value, several hosts, pipelining, and what errors mean. */
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import type { Client } from 'pg';
import { type TestDatabase, testDatabase } from '../../../test/support/database';
import { connect, isConnectionLost, isOutcomeUnknown, isTransient, openPool } from './connect';

describe('connections', () => {
  let database: TestDatabase;
  let client: Client;

  beforeAll(async () => {
    database = await testDatabase();
    client = await connect(database.appUrl);
  });
  afterAll(async () => {
    await client.end();
    await database.drop();
  });

  it.each([
    ['9007199254740991::int8', 9007199254740991],
    ['(-9007199254740991)::int8', -9007199254740991],
    ['ARRAY[1, NULL, 3]::int8[]', [1, null, 3]],
    [`'2026-02-28'::date`, '2026-02-28'],
    [`ARRAY['2026-02-28', '0001-01-01']::date[]`, ['2026-02-28', '0001-01-01']],
    [`'2026-02-28 23:59:59.123456+00'::timestamptz`, '2026-02-28T23:59:59.123456Z'],
    [`'2026-02-28 23:59:59.12+02'::timestamptz`, '2026-02-28T21:59:59.120000Z'],
    [`'2026-02-28 00:00:00+00'::timestamptz`, '2026-02-28T00:00:00.000000Z'],
    [`ARRAY['2026-02-28 00:00:00+00']::timestamptz[]`, ['2026-02-28T00:00:00.000000Z']],
    [`'2026-02-28 01:02:03.4'::timestamp`, '2026-02-28 01:02:03.4'],
    ['99999999999999999999999999999999999999.12::numeric', '99999999999999999999999999999999999999.12'],
    ['ARRAY[1.10, NULL]::numeric[]', ['1.10', null]],
    [`'{"a": [1]}'::jsonb`, { a: [1] }],
    [`'\\x00ff'::bytea`, Buffer.from([0, 255])],
  ])('reads %s exactly', async (sql, expected) => {
    const { rows } = await client.query(`SELECT ${sql} AS value`);
    expect(rows).toEqual([{ value: expected }]);
  });

  it.each(['9007199254740992::int8', `'infinity'::timestamptz`, `'0044-03-15 BC'::timestamptz`])(
    'refuses %s, which has no exact value, and goes on',
    async (sql) => {
      await expect(client.query(`SELECT ${sql} AS value`)).rejects.toThrow();
      await expect(client.query('SELECT 1::int8 AS value')).resolves.toMatchObject({ rows: [{ value: 1 }] });
    },
  );

  it('reads dates and instants alike whatever the server and the database have as their time zone', async () => {
    const admin = await connect(database.adminUrl);
    await admin.query(`ALTER DATABASE ${database.name} SET TimeZone = 'Pacific/Auckland'`);
    await admin.query(`ALTER DATABASE ${database.name} SET DateStyle = 'German'`);
    await admin.end();
    const other = await connect(database.appUrl);
    const { rows } = await other.query(`SELECT '2026-03-04T05:06:07Z'::timestamptz AS at, '2026-03-04'::date AS on`);
    expect(rows).toEqual([{ at: '2026-03-04T05:06:07.000000Z', on: '2026-03-04' }]);
    await other.end();
  });

  it('calls itself book-keeper unless the URL says otherwise', async () => {
    const name = async (url: string) => {
      const named = await connect(url);
      const { rows } = await named.query<{ name: string }>(`SELECT current_setting('application_name') AS name`);
      await named.end();
      return rows[0]?.name;
    };
    const plain = new URL(database.appUrl);
    plain.searchParams.delete('application_name');
    await expect(name(plain.href)).resolves.toBe('book-keeper');
    await expect(name(`${plain.href}?application_name=other`)).resolves.toBe('other');
  });

  it('sends pipelined queries at once, each its own SQL transaction', async () => {
    const writer = await connect(database.appUrl, { pipeline: true });
    await writer.query('CREATE TEMP TABLE n (n int PRIMARY KEY)');
    const started = performance.now();
    const results = await Promise.allSettled([
      writer.query('INSERT INTO n VALUES ($1)', [1]),
      writer.query('INSERT INTO n VALUES ($1)', [1]),
      writer.query('INSERT INTO n SELECT $1::int FROM pg_sleep(0.05)', [2]),
      writer.query('SELECT n FROM n ORDER BY n'),
    ]);
    expect(performance.now() - started).toBeGreaterThan(50);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
    expect((results[3] as PromiseFulfilledResult<{ rows: unknown[] }>).value.rows).toEqual([{ n: 1 }, { n: 2 }]);
    await writer.end();
  });

  /** Pages that a session has taken anew since it began (proc(5), stat, minflt). */
  const pagesTaken = async (session: Client): Promise<number> => {
    const { rows } = await session.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    return Number(readFileSync(`/proc/${rows[0]?.pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[7]);
  };
  const linux = process.platform === 'linux' ? it : it.skip;

  linux('keeps the memory of a large statement for the next one on a pipelined connection [needs: Linux]', async () => {
    const sent = Array.from({ length: 6_000 }, (_, n) => JSON.stringify({ n, text: 'x'.repeat(400) }));
    const taken = async (pipeline: boolean): Promise<number> => {
      const session = await connect(database.appUrl, { pipeline });
      const append = async (): Promise<void> => {
        const { rows } = await session.query('SELECT count(*) AS n FROM unnest($1::jsonb[]) AS t', [sent]);
        expect(rows).toEqual([{ n: 6_000 }]);
      };
      for (let n = 0; n < 5; n++) await append();
      const before = await pagesTaken(session);
      for (let n = 0; n < 5; n++) await append();
      const pages = (await pagesTaken(session)) - before;
      await session.end();
      return pages / 5;
    };
    const [usual, writers] = [await taken(false), await taken(true)];
    expect(writers).toBeLessThan(usual / 2);
  });

  describe('with several hosts', () => {
    let silent: Server;
    const hosts = (...all: (string | undefined)[]) => {
      const url = new URL(database.appUrl);
      return `postgres://${url.username}:${url.password}@${all.map((host) => host ?? url.host).join(',')}${url.pathname}`;
    };

    beforeAll(async () => {
      // Accepts and never answers, as a machine does whose disk hangs.
      silent = await new Promise((done) => {
        const server = createServer().listen(0, '127.0.0.1', () => done(server));
      });
    });
    afterAll(() => silent.close());
    const silentHost = () => `127.0.0.1:${(silent.address() as { port: number }).port}`;

    it('passes over one that refuses and one that never answers', async () => {
      const started = performance.now();
      const reached = await connect(hosts('127.0.0.1:1', silentHost(), undefined), { connectTimeoutMs: 300 });
      expect(performance.now() - started).toBeLessThan(3_000);
      await reached.end();
    });

    it('passes over a server that takes no writes, unless any will do', async () => {
      const admin = await connect(database.adminUrl);
      await admin.query(`ALTER DATABASE ${database.name} SET default_transaction_read_only = on`);
      try {
        await expect(connect(database.appUrl)).rejects.toMatchObject({ code: '25006' });
        const reader = await connect(database.appUrl, { primary: false });
        await reader.end();
        await expect(openPool(database.appUrl, { max: 1 }).query('SELECT 1')).rejects.toMatchObject({ code: '25006' });
      } finally {
        await admin.query(`SET default_transaction_read_only = off`);
        await admin.query(`ALTER DATABASE ${database.name} RESET default_transaction_read_only`);
        await admin.end();
      }
    });

    it('fails with the last error when no host will do', async () => {
      await expect(connect(hosts('127.0.0.1:1', '127.0.0.1:2'))).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    });

    it('serves a pool from the host that answers', async () => {
      const pool = openPool(hosts('127.0.0.1:1', undefined), { max: 3 });
      const answers = await Promise.all(Array.from({ length: 9 }, (_, n) => pool.query<{ n: number }>('SELECT $1::int8 AS n', [n])));
      expect(answers.map(({ rows }) => rows[0]?.n)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
      expect(pool.totalCount).toBeLessThanOrEqual(3);
      await pool.end();
    });
  });

  it('drops a pooled connection that was cut while idle, says so, and serves the next query', async () => {
    const lost: string[] = [];
    const pool = openPool(database.appUrl, { max: 1, onIdleError: (error) => lost.push(error.message) });
    const { rows } = await pool.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const admin = await connect(database.adminUrl);
    await admin.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
    await admin.end();
    while (lost.length === 0) await new Promise((done) => setTimeout(done, 5));
    await expect(pool.query('SELECT 1 AS one')).resolves.toMatchObject({ rows: [{ one: 1 }] });
    await pool.end();
  });

  it('a pooled connection that is lost while it is lent out costs its next query and not the process', async () => {
    const pool = openPool(database.appUrl, { max: 1 });
    const lent = await pool.connect();
    const { rows } = await lent.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const lost = new Promise((done) => lent.once('end', done));
    const admin = await connect(database.adminUrl);
    await admin.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
    await admin.end();
    await lost;
    await expect(lent.query('SELECT 1')).rejects.toThrow('not queryable');
    lent.release(true);
    await expect(pool.query('SELECT 1 AS one')).resolves.toMatchObject({ rows: [{ one: 1 }] });
    await pool.end();
  });

  describe('errors, from the server itself', () => {
    const failure = (work: Promise<unknown>) =>
      work.then(
        () => {
          throw new Error('it did not fail');
        },
        (error: unknown) => error,
      );

    it('a session that is ended in the middle of a query is lost, with unknown outcome', async () => {
      const victim = await connect(database.appUrl);
      const { rows } = await victim.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      const running = failure(victim.query('SELECT pg_sleep(10)'));
      const queued = failure(victim.query('SELECT 1'));
      const admin = await connect(database.adminUrl);
      await admin.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
      await admin.end();
      for (const error of [await running, await queued, await failure(victim.query('SELECT 1'))]) {
        expect([isConnectionLost(error), isTransient(error), isOutcomeUnknown(error)]).toEqual([true, true, true]);
      }
    });

    it('a refused connection is lost, and certainly did nothing', async () => {
      const error = await failure(connect('postgres://nobody@127.0.0.1:1/nowhere'));
      expect([isConnectionLost(error), isTransient(error), isOutcomeUnknown(error)]).toEqual([true, true, false]);
    });

    it('a cancelled statement and a lock that was not to be had may be tried again on the same connection', async () => {
      const impatient = await connect(database.appUrl, { statementTimeoutMs: 20 });
      const error = await failure(impatient.query('SELECT pg_sleep(1)'));
      expect([isConnectionLost(error), isTransient(error), isOutcomeUnknown(error)]).toEqual([false, true, false]);
      await expect(impatient.query('SELECT 1')).resolves.toBeDefined();
      await impatient.end();
    });

    it('a wrong statement is wrong for good', async () => {
      const error = await failure(client.query('SELECT 1/0'));
      expect([isConnectionLost(error), isTransient(error), isOutcomeUnknown(error)]).toEqual([false, false, false]);
    });
  });

  describe('errors, by the table', () => {
    // code or message · connection lost · worth a retry · outcome unknown
    it.each([
      ['08006', true, true, true],
      ['08001', true, true, true],
      ['57P01', true, true, true],
      ['57P02', true, true, true],
      ['57P03', true, true, false],
      ['57P05', true, true, true],
      ['25006', true, true, false],
      ['25P03', true, true, true],
      ['ECONNRESET', true, true, true],
      ['EPIPE', true, true, true],
      ['ETIMEDOUT', true, true, true],
      ['ECONNREFUSED', true, true, false],
      ['40001', false, true, false],
      ['40P01', false, true, false],
      ['55P03', false, true, false],
      ['53300', false, true, false],
      ['53100', false, true, false],
      ['58030', false, true, false],
      ['22003', false, false, false],
      ['23505', false, false, false],
      ['23514', false, false, false],
      ['42501', false, false, false],
      ['BK003', false, false, false],
    ])('%s', (code, lost, transient, unknown) => {
      const error = Object.assign(new Error('text'), { code });
      expect([isConnectionLost(error), isTransient(error), isOutcomeUnknown(error)]).toEqual([lost, transient, unknown]);
    });

    it.each([
      ['Connection terminated unexpectedly', true, true, true],
      ['Connection terminated', true, true, true],
      ['Query read timeout', true, true, true],
      ['Client has encountered a connection error and is not queryable', true, true, true],
      ['Client was closed and is not queryable', true, true, true],
      ['timeout expired', true, true, true],
      ['Cannot read properties of undefined', false, false, false],
    ])('without a code: %s', (message, lost, transient, unknown) => {
      const error = new Error(message);
      expect([isConnectionLost(error), isTransient(error), isOutcomeUnknown(error)]).toEqual([lost, transient, unknown]);
    });

    it.each([
      ['could not commit transaction for shard 102008 on at least one worker node', true, true],
      ['could not find valid entry for shard 102008', true, false],
      ['cache lookup failed for relation 1', false, false],
    ])('XX000 %s', (message, transient, unknown) => {
      const error = Object.assign(new Error(message), { code: 'XX000' });
      expect([isConnectionLost(error), isTransient(error), isOutcomeUnknown(error)]).toEqual([false, transient, unknown]);
    });

    it.each([[undefined], [null], ['text'], [42], [{}]])('what is no error at all: %s', (value) => {
      expect([isConnectionLost(value), isTransient(value), isOutcomeUnknown(value)]).toEqual([false, false, false]);
    });
  });

  it('refuses what is no URL of a database', async () => {
    await expect(connect('localhost:5432')).rejects.toThrow('postgres://');
  });
});
