/** The programs as people run them: start, several at once, signals, what they print and what they log. */
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type TestDatabase, testDatabase } from '../support/database';
import { runScript, type Script } from '../support/processes';
import { entry } from './api';

interface Running {
  readonly script: Script;
  readonly url: string;
  /** Everything on stdout. */
  readonly printed: string;
  /** Everything on stderr so far. */
  logged(): string;
  get(path: string, secret: string): Promise<Response>;
}

const secretOf = (dataDir: string) => readFileSync(join(dataDir, 'bootstrap-api-key'), 'utf8').trim();

const scripts: Script[] = [];

function run(file: string, env: Record<string, string>): Script {
  const script = runScript(file, [], { DATABASE_URL: '', MIGRATION_DATABASE_URL: '', BOOTSTRAP_API_KEY: '', ...env });
  scripts.push(script);
  return script;
}

// What a failed test has left would keep Jest from ending.
afterEach(() => {
  for (const { process } of scripts.splice(0)) process.kill('SIGKILL');
});

async function serve(env: Record<string, string>): Promise<Running> {
  const script = runScript('apps/api/src/main.ts', [], {
    PORT: '0',
    DATABASE_URL: '',
    MIGRATION_DATABASE_URL: '',
    BOOTSTRAP_API_KEY: '',
    ...env,
  });
  let logged = '';
  script.process.stderr?.on('data', (chunk: Buffer) => {
    logged += chunk.toString();
  });
  const lines: string[] = [];
  do lines.push(await script.nextLine());
  while (!lines.at(-1)?.includes('curl'));
  const printed = lines.join('\n');
  const url = /http:\/\/[^/]+/.exec(printed)?.[0] ?? '';
  return {
    script,
    url,
    printed,
    logged: () => logged,
    get: (path, secret) => fetch(url + path, { headers: { authorization: `Bearer ${secret}` } }),
  };
}

async function end({ script }: Pick<Running, 'script'>, signal: NodeJS.Signals = 'SIGTERM'): Promise<number | string> {
  script.process.kill(signal);
  return script.ended;
}

describe('on an embedded database', () => {
  const parent = mkdtempSync(join(tmpdir(), 'book-keeper-process-'));
  const DATA_DIR = join(parent, 'data');
  // The server runs as another user where we are root.
  chmodSync(parent, 0o755);
  afterAll(() => rmSync(parent, { recursive: true, force: true }));

  it('two that start at once share server, key and demo book; the last one out ends the server', async () => {
    const [one, two] = await Promise.all([serve({ DATA_DIR }), serve({ DATA_DIR })]);
    const secret = secretOf(DATA_DIR);
    // The key that signs is made with the first checkpoint, and then the name of the log; both are handed out some seconds later.
    for (const file of ['signing-key.pem', 'log-name']) while (!existsSync(join(DATA_DIR, file))) await sleep(20);
    const secrets = ['bootstrap-api-key', 'postgres-archiver-password', 'postgres-password', 'signing-key.pem'];
    for (const file of secrets) expect(statSync(join(DATA_DIR, file)).mode & 0o777).toBe(0o600);
    const kept = readdirSync(DATA_DIR).filter((name) => name !== 'checkpoints');
    expect(kept.sort()).toEqual([...secrets, 'log-name', 'postgres'].sort());
    const shown = [one, two].filter(({ printed }) => printed.includes(secret));
    expect(shown).toHaveLength(1);
    for (const running of [one, two]) {
      expect(running.printed).toContain(`curl -H "Authorization: Bearer $(cat ${DATA_DIR}/bootstrap-api-key)" ${running.url}/v1/books`);
      expect(running.printed).not.toContain('NOT READY');
      expect((await fetch(`${running.url}/health/ready`)).status).toBe(200);
      expect(await (await running.get('/v1/books', secret)).json()).toMatchObject({ books: [{ id: 'demo' }] });
    }
    expect(await end(one, 'SIGINT')).toBe(0);
    const { entries } = (await (await two.get('/v1/books/demo/journal-entries', secret)).json()) as {
      entries: { effectiveDate: string }[];
    };
    expect(entries).toHaveLength(10);
    expect(entries.at(-1)?.effectiveDate).toBe('2025-03-01');
    expect(await end(two)).toBe(0);
    expect(readdirSync(join(DATA_DIR, 'postgres', 'cluster', 'data'))).not.toContain('postmaster.pid');
  });

  it('starts again after it was killed, with the same key and nothing twice', async () => {
    const first = await serve({ DATA_DIR });
    expect(first.printed).not.toContain(secretOf(DATA_DIR));
    first.script.process.kill('SIGKILL');
    await first.script.ended;
    const started = Date.now();
    const second = await serve({ DATA_DIR });
    expect(Date.now() - started).toBeLessThan(10_000);
    const { position } = (await (await second.get('/v1/books/demo', secretOf(DATA_DIR))).json()) as { position: number };
    expect(position).toBe(43);
    expect(await end(second)).toBe(0);
  });
});

describe('on a given database', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await testDatabase();
  });
  afterAll(() => database.drop());

  const secret = 'the-first-administrators-key';
  const settings = () => ({ DATABASE_URL: database.appUrl, BOOTSTRAP_API_KEY: secret });

  async function post(url: string, path: string, key: string, body: object): Promise<{ status: number; text: string }> {
    const headers = { authorization: `Bearer ${secret}`, 'idempotency-key': key, 'content-type': 'application/json' };
    const reply = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) });
    return { status: reply.status, text: await reply.text() };
  }

  async function openBook(url: string, id: string): Promise<void> {
    await post(url, '/v1/books', `open-${id}`, { id, name: id, baseCurrency: 'EUR', fiscalYearStart: '01-01' });
    for (const [code, type] of [
      ['Assets:Cash', 'asset'],
      ['Income:Sales', 'income'],
    ])
      await post(url, `/v1/books/${id}/accounts`, `${id}-${code}`, { code, name: code, type });
  }

  it('answers what it has taken when it is asked to end, and forgets nothing that it answered', async () => {
    const running = await serve(settings());
    expect(running.printed).not.toContain('demo');
    await openBook(running.url, 'ending');
    const answers = new Map<string, string>();
    const statuses = new Set<number>();
    let stop = false;
    const caller = async (name: number) => {
      for (let index = 0; !stop; index++) {
        const key = `${name}-${index}`;
        try {
          const { status, text } = await post(running.url, '/v1/books/ending/journal-entries', key, entry());
          statuses.add(status);
          answers.set(key, text);
        } catch {
          return; // the connection was refused or closed: it was not taken
        }
      }
    };
    const callers = Array.from({ length: 8 }, (_, name) => caller(name));
    while (answers.size < 50) await sleep(20);
    const asked = Date.now();
    expect(await end(running)).toBe(0);
    expect(Date.now() - asked).toBeLessThan(5_000);
    stop = true;
    await Promise.all(callers);
    expect([...statuses]).toEqual([201]);

    const again = await serve(settings());
    for (const [key, text] of answers)
      expect(await post(again.url, '/v1/books/ending/journal-entries', key, entry())).toEqual({ status: 201, text });
    const { position } = (await (await again.get('/v1/books/ending', secret)).json()) as { position: number };
    // Three events opened the book, two its accounts; each entry is three, and what was never answered may be there too.
    expect(position).toBeGreaterThanOrEqual(5 + 3 * answers.size);
    await end(again);
  });

  describe('with a caller who never sends the rest of a request', () => {
    const stalled = async ({ url }: Running): Promise<Socket> => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1');
      socket.on('error', () => {});
      await once(socket, 'connect');
      socket.write(
        `POST /v1/books HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${secret}\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n`,
      );
      // 100 Continue: the server waits for the body.
      await once(socket, 'data');
      return socket;
    };

    it('ends all the same', async () => {
      const running = await serve(settings());
      const socket = await stalled(running);
      expect(await end(running)).toBe(0);
      socket.destroy();
    });

    it('ends at once when it is asked twice', async () => {
      const running = await serve(settings());
      const socket = await stalled(running);
      running.script.process.kill('SIGINT');
      // Within half a second it counts as one: npm passes on what the terminal has sent already.
      await sleep(700);
      expect(await end(running, 'SIGINT')).toBe(130);
      socket.destroy();
    });
  });

  it('logs a line per request that holds neither keys nor bodies nor what was looked for', async () => {
    const running = await serve({ ...settings(), LOG_LEVEL: 'trace' });
    await openBook(running.url, 'logged');
    await post(running.url, '/v1/books/logged/journal-entries', 'secret-text', entry('1', { description: 'a confidential text' }));
    await post(running.url, '/v1/books/logged/journal-entries', 'secret-text-2', { description: 'a confidential text' });
    await running.get('/v1/books', 'bk_a-wrong-key');
    await running.get('/v1/books/logged/parties?reference=confidential-name', secret);
    await end(running);
    const logged = running.logged();
    const lines = logged
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toContainEqual(
      expect.objectContaining({
        level: 'info',
        msg: 'request',
        method: 'POST',
        url: '/v1/books/logged/journal-entries',
        status: 201,
        ms: expect.any(Number),
      }),
    );
    for (const text of [secret, 'bk_a-wrong-key', 'confidential', 'Bearer']) expect(logged).not.toContain(text);
  });

  it('says on stdout when its login could change events', async () => {
    const running = await serve({ ...settings(), DATABASE_URL: database.adminUrl });
    expect(running.printed).toContain('NOT READY (privileges)');
    expect((await fetch(`${running.url}/health/ready`)).status).toBe(503);
    expect((await fetch(`${running.url}/health/live`)).status).toBe(200);
    await end(running);
  });

  it('folds in the worker when the api is told not to', async () => {
    const api = await serve({ ...settings(), PROJECT: 'off', READ_WAIT_MS: '0' });
    await openBook(api.url, 'worked');
    await post(api.url, '/v1/books/worked/journal-entries', 'one', entry('5.00'));
    expect((await api.get('/v1/books/worked/balances', secret)).status).toBe(503);
    const script = run('apps/worker/src/main.ts', { ...settings(), PROJECT: 'off' });
    expect(await script.nextLine()).toContain('folds projections');
    let reply = await api.get('/v1/books/worked/balances', secret);
    for (let tries = 0; reply.status === 503 && tries < 100; tries++) {
      expect(reply.headers.get('retry-after')).toBe('1');
      await sleep(50);
      reply = await api.get('/v1/books/worked/balances', secret);
    }
    expect(await reply.json()).toMatchObject({ balances: [{ account: 'Assets:Cash', balance: '5.00' }, { account: 'Income:Sales' }] });
    expect(await end({ script })).toBe(0);
    await end(api);
  });

  it('does not start with a wrong setting or without a database, and says why', async () => {
    await expect(serve({ PORT: 'http', LOG_LEVEL: 'loud' })).rejects.toThrow(/PORT=http: a whole number from 0 to 65535\n.*LOG_LEVEL=loud/);
    await expect(serve({ DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' })).rejects.toThrow(/ECONNREFUSED/);
  });
});
