/** Who may call, what is open to all, and when the service says that it is not ready. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiKeys, readConfig } from '#ledger';
import { connect, openPool } from '#postgres';
import { type Api, bootstrapSecret, created, entry, openBook, type Reply, startApi } from './api';

let api: Api;
let book: string;
const dir = mkdtempSync(join(tmpdir(), 'book-keeper-access-'));

beforeAll(async () => {
  api = await startApi();
  book = await openBook(api, 'access');
});
afterAll(async () => {
  await api.close();
  rmSync(dir, { recursive: true });
});

describe('API keys', () => {
  it('tell users apart in events', async () => {
    const shop = await api.keys.create('shop');
    const audit = await api.keys.create('audit.tool@example');
    expect(shop.secret).toMatch(/^bk_[A-Za-z0-9_-]{43}$/);
    for (const { id, secret } of [shop, audit]) {
      const { body } = await created(api.post(`${book}/journal-entries`, entry(), { secret }));
      expect((await api.get(`${book}/journal-entries/${body.id}`, { secret })).body.userId).toBe(id);
    }
    const { position } = (await created(api.post(`${book}/journal-entries`, entry()))).body;
    const [posted] = (await api.get(`${book}/events?after=${position - 1}`)).body.events;
    expect(posted.userId).toBe(api.service.bootstrapKey.id);
    expect(JSON.stringify(posted)).not.toContain('bootstrap');
  });

  it('stop working when they are revoked, within seconds where another process revoked them', async () => {
    const { secret, id } = await api.keys.create('short-lived');
    expect((await api.get('/v1/books', { secret })).status).toBe(200);
    const pool = openPool(api.database.appUrl, { max: 1 });
    const elsewhere = new ApiKeys(pool);
    expect(await elsewhere.revoke('short-lived')).toBe(true);
    expect(await elsewhere.revoke('short-lived')).toBe(false);
    expect(await elsewhere.verify(secret)).toBeUndefined();
    const started = Date.now();
    while ((await api.get('/v1/books', { secret })).status !== 401) await sleep(100);
    expect(Date.now() - started).toBeLessThan(5_000);
    await pool.end();

    const again = await api.keys.create('short-lived');
    expect(again.id).not.toBe(id);
    expect(await api.keys.revoke(again.id)).toBe(true);
    expect((await api.get('/v1/books', { secret: again.secret })).status).toBe(401);
    const listed = (await api.keys.list()).filter(({ name }) => name === 'short-lived');
    expect(listed).toEqual(
      [id, again.id].map((known) => ({
        id: known,
        name: 'short-lived',
        scopes: [],
        createdAt: expect.any(String),
        revokedAt: expect.any(String),
      })),
    );
  });

  it('close periods with the scope controller only, and only as long as they are valid: who was a controller may not finish', async () => {
    const clerk = await api.keys.create('clerk');
    const [ann, bob] = [await api.keys.create('ann', ['controller']), await api.keys.create('bob', ['controller'])];
    const step = (path: string, secret: string): Promise<Reply> =>
      api.post(`${book}/periods/2026/${path}`, path.endsWith('close') ? { level: 'soft' } : { reason: 'late' }, { secret });
    expect([(await step('1/close', clerk.secret)).body.code, (await step('1/close', ann.secret)).status]).toEqual(['forbidden', 200]);
    const may = entry('1.00', { effectiveDate: '2026-01-31' });
    const post = (secret: string) => api.post(`${book}/journal-entries`, may, { secret });
    expect([(await post(clerk.secret)).status, (await post(bob.secret)).status]).toEqual([422, 201]);
    expect((await step('1/reopening', ann.secret)).status).toBe(200);
    await api.keys.revoke('bob');
    expect([(await step('1/reopening/approve', bob.secret)).status, (await post(bob.secret)).status]).toEqual([401, 401]);
    // Another key of that name is another user, without the scope unless it was given too; what the first one did stays.
    const other = await api.keys.create('bob');
    expect((await step('1/reopening/approve', other.secret)).body).toMatchObject({ status: 403, code: 'forbidden' });
    expect((await step('1/reopening/approve', bootstrapSecret)).status).toBe(200);
    expect((await api.keys.list()).filter(({ name }) => name === 'bob').map(({ scopes }) => scopes)).toEqual([['controller'], []]);
  });

  it('have names that fit and that no valid key has', async () => {
    await api.keys.create('unique');
    for (const name of ['unique', '', ' x', 'a/b', 'x'.repeat(65), 'bootstrap']) {
      await expect(api.keys.create(name)).rejects.toMatchObject({ code: 'malformed', details: { member: 'name' } });
    }
  });

  it('are never stored: the table holds hashes', async () => {
    const { secret } = await api.keys.create('hashed');
    const admin = await connect(api.database.adminUrl);
    const { rows } = await admin.query('SELECT k::text AS row FROM access.api_keys AS k');
    await admin.end();
    expect(JSON.stringify(rows)).not.toContain(secret.slice(3));
    expect(JSON.stringify(rows)).not.toContain(bootstrapSecret);
  });

  it.each(['Basic abc', 'Bearer', 'Bearer ', `Bearer ${bootstrapSecret} x`, bootstrapSecret, 'Bearer bk_wrong'])(
    'are not taken from "%s"',
    async (authorization) => {
      const reply = await api.get('/v1/books', { secret: null, headers: { authorization } });
      expect([reply.status, reply.body.code, reply.headers['www-authenticate']]).toEqual([401, 'unauthenticated', 'Bearer']);
    },
  );

  it('are taken whatever the case of the scheme', async () => {
    expect((await api.get('/v1/books', { secret: null, headers: { authorization: `bearer ${bootstrapSecret}` } })).status).toBe(200);
  });
});

describe('the bootstrap key', () => {
  const keysAt = () => {
    const pool = openPool(api.database.appUrl, { max: 2 });
    return { pool, keys: new ApiKeys(pool) };
  };
  const configOf = (more: Record<string, string>) => readConfig({ DATA_DIR: dir, ...more });

  it('is generated once, kept in a file of mode 0600, the same for two that start at once', async () => {
    const services = [keysAt(), keysAt(), keysAt()];
    const ensured = await Promise.all(services.map(({ keys }) => keys.ensureBootstrap(configOf({}))));
    const file = join(dir, 'bootstrap-api-key');
    const secret = readFileSync(file, 'utf8').trim();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(ensured.filter((key) => key.secret !== undefined)).toEqual([
      { id: ensured[0]?.id, name: 'bootstrap', scopes: ['controller', 'personal'], file, secret },
    ]);
    for (const { keys, pool } of services) {
      expect(await keys.verify(secret)).toEqual({ id: ensured[0]?.id, name: 'bootstrap', scopes: ['controller', 'personal'] });
      expect(await keys.verify(`${secret}x`)).toBeUndefined();
      await pool.end();
    }
    expect(existsSync(file)).toBe(true);
  });

  it('keeps its id when its secret changes, and the old secret ends', async () => {
    const { keys, pool } = keysAt();
    const before = await keys.ensureBootstrap(configOf({ BOOTSTRAP_API_KEY: 'first' }));
    expect(await keys.verify('first')).toBeDefined();
    const after = await keys.ensureBootstrap(configOf({ BOOTSTRAP_API_KEY: 'second' }));
    expect([after.id, after.file, after.secret]).toEqual([before.id, undefined, undefined]);
    expect(await keys.verify('first')).toBeUndefined();
    expect(await keys.verify('second')).toEqual({ id: before.id, name: 'bootstrap', scopes: ['controller', 'personal'] });
    await pool.end();
  });

  it('stays revoked', async () => {
    const second = await startApi();
    try {
      const { secret } = await second.keys.create('administrator');
      expect(await second.keys.revoke('bootstrap')).toBe(true);
      await second.keys.ensureBootstrap(configOf({ BOOTSTRAP_API_KEY: bootstrapSecret }));
      expect((await second.get('/v1/books')).status).toBe(401);
      expect((await second.get('/v1/books', { secret })).status).toBe(200);
    } finally {
      await second.close();
    }
  });
});

describe('open to all', () => {
  it.each(['/health/live', '/health/ready', '/openapi.json', '/docs'])('%s', async (path) => {
    expect((await api.get(path, { secret: null })).status).toBe(200);
  });

  it('and nothing else', async () => {
    for (const path of ['/metrics', '/v1/books', '/healthy', '/openapi.jsonx', '/health']) {
      expect((await api.get(path, { secret: null })).status).toBe(401);
    }
  });

  it('the document that is served is the one in the repository', async () => {
    const committed = readFileSync(join(__dirname, '..', '..', 'docs', 'reference', 'openapi.json'), 'utf8');
    expect((await api.get('/openapi.json', { secret: null })).body).toEqual(JSON.parse(committed));
  });
});

describe('metrics', () => {
  it('count what became of commands', async () => {
    const counted = await startApi();
    try {
      const path = await openBook(counted, 'counted');
      await counted.post(`${path}/journal-entries`, entry(), { key: 'one' });
      await counted.post(`${path}/journal-entries`, entry(), { key: 'one' });
      await counted.post(`${path}/journal-entries`, entry('1', {}, ['nobody', 'nobody']));
      const { text } = await counted.get('/metrics');
      for (const outcome of ['appended', 'replayed', 'refused'])
        expect(text).toContain(`book_keeper_commands_total{command="PostEntry",outcome="${outcome}"} 1`);
      expect(text).toMatch(/^book_keeper_queue_length 0$/m);
      expect(text).toMatch(/^book_keeper_projection_lag_events\{projection="as-of"\} \d+$/m);
      expect(text).toMatch(/^book_keeper_projection_lag_seconds\{projection="chart"\} [\d.]+$/m);
      expect(text).toContain('process_cpu_seconds_total');
    } finally {
      await counted.close();
    }
  });
});

describe('settings of the edge', () => {
  const contexts = async ({ database }: Api): Promise<unknown[]> => {
    const admin = await connect(database.adminUrl);
    const { rows } = await admin.query('SELECT ip FROM log.command_contexts ORDER BY ip');
    await admin.end();
    return rows.map(({ ip }) => ip);
  };
  const from = (address: string) => ({ headers: { 'x-forwarded-for': address } });

  it('METRICS_ACCESS=open: whoever reaches the port may scrape, and nothing more', async () => {
    const open = await startApi({ METRICS_ACCESS: 'open' });
    try {
      expect((await open.get('/metrics', { secret: null })).text).toContain('process_cpu_seconds_total');
      for (const path of ['/metricsx', '/metrics/x', '/v1/books']) expect((await open.get(path, { secret: null })).status).toBe(401);
    } finally {
      await open.close();
    }
  });

  it('X-Forwarded-For is believed of nobody, unless TRUST_PROXY says of whom', async () => {
    for (const [setting, kept] of [
      ['off', ['127.0.0.1']],
      ['1', ['198.51.100.7', 'x'.repeat(64)]],
      ['loopback', ['198.51.100.7', 'x'.repeat(64)]],
      ['10.0.0.0/8,192.0.2.1', ['127.0.0.1']],
    ] as const) {
      const trusting = await startApi({ TRUST_PROXY: setting });
      try {
        const opening = { id: 'behind', name: 'behind', baseCurrency: 'EUR', fiscalYearStart: '01-01' };
        await created(trusting.post('/v1/books', opening, from('203.0.113.9, 198.51.100.7')));
        await trusting.post('/v1/books/behind/journals', { journalCode: 'A', name: 'a' }, from('x'.repeat(500)));
        expect([setting, [...new Set(await contexts(trusting))]]).toEqual([setting, kept]);
      } finally {
        await trusting.close();
      }
    }
  });

  it('are refused when they mean nothing, and TRUST_PROXY also when it would trust everybody', () => {
    for (const text of ['true', 'on', '', '0', '17', '-1', '*', '10.0.0.0/33', '::1/129', '10.0.0.1,', 'proxy.example'])
      expect(() => readConfig({ TRUST_PROXY: text })).toThrow('TRUST_PROXY');
    for (const text of ['off', '1', '16', '10.0.0.1', '10.0.0.0/8, ::1', 'fd00::/8', 'loopback,uniquelocal'])
      expect(readConfig({ TRUST_PROXY: text }).TRUST_PROXY).toBe(text);
    expect(() => readConfig({ METRICS_ACCESS: 'public' })).toThrow('METRICS_ACCESS=public: one of key, open');
  });
});

describe('readiness', () => {
  const readinessOf = async (url: string) => {
    const { get, close } = await startApi({ DATABASE_URL: url }, api.database);
    const { status, body } = await get('/health/ready', { secret: null });
    await close();
    return { status, body, privileges: body.checks.find(({ name }: { name: string }) => name === 'privileges')?.message };
  };
  const asAdmin = async (...statements: string[]) => {
    const admin = await connect(api.database.adminUrl);
    try {
      for (const statement of statements) await admin.query(statement);
    } finally {
      await admin.end();
    }
  };
  const role = `bk_spec_${process.pid}`;
  const urlAs = (login: string) => Object.assign(new URL(api.database.adminUrl), { username: login, password: 'spec' }).href;

  it('holds for the login of the service', async () => {
    expect(await readinessOf(api.database.appUrl)).toMatchObject({
      status: 200,
      body: {
        ready: true,
        checks: ['database', 'schema', 'privileges', 'projector', 'actions', 'sealer'].map((name) => ({ name, ok: true })),
      },
    });
  });

  it('does not hold for a superuser, and says what to make instead', async () => {
    const { status, privileges } = await readinessOf(api.database.adminUrl);
    expect(status).toBe(503);
    expect(privileges).toContain('is a superuser, so it could change recorded events');
    expect(privileges).toContain('IN ROLE book_keeper_app');
  });

  it.each([
    ['is a member of book_keeper_owner', 'GRANT book_keeper_owner TO'],
    ['may create and grant roles', 'ALTER ROLE', 'CREATEROLE'],
    ['may INSERT, UPDATE, DELETE or TRUNCATE log.events', 'GRANT UPDATE (data) ON log.events TO'],
    ['may INSERT, UPDATE, DELETE or TRUNCATE log.events', 'GRANT TRUNCATE ON log.events TO'],
  ])('does not hold for a login that %s', async (why, before, after = '') => {
    await asAdmin(`CREATE ROLE ${role} LOGIN PASSWORD 'spec' IN ROLE book_keeper_app`, `${before} ${role} ${after}`);
    try {
      const { status, privileges } = await readinessOf(urlAs(role));
      expect([status, privileges]).toEqual([503, expect.stringContaining(why)]);
    } finally {
      await asAdmin(`DROP OWNED BY ${role}`, `DROP ROLE ${role}`);
    }
  });

  it('is not even asked for when the login lacks rights: the service does not start, and says what to grant', async () => {
    await asAdmin(`CREATE ROLE ${role} LOGIN PASSWORD 'spec'`);
    try {
      await expect(readinessOf(urlAs(role))).rejects.toThrow(`GRANT book_keeper_app TO ${role}`);
    } finally {
      await asAdmin(`DROP ROLE ${role}`);
    }
  });

  it('does not hold when the schema is not that of this release', async () => {
    await asAdmin("INSERT INTO public.book_keeper_migrations VALUES (9999, 'future', '', now(), false)");
    try {
      expect((await api.get('/health/ready')).body).toMatchObject({
        ready: false,
        checks: [
          { name: 'database', ok: true },
          { name: 'schema', ok: false, message: expect.stringContaining('newer') },
        ],
      });
    } finally {
      await asAdmin('DELETE FROM public.book_keeper_migrations WHERE number = 9999');
    }
    expect((await api.get('/health/ready')).status).toBe(200);
  });
});
