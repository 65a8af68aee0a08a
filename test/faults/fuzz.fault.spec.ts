/**
 * Every endpoint of the OpenAPI document, asked everything that it does not expect. Whatever comes in, the service answers
 * without a fault of its own, says what is wrong by a code of the error table under the status of its kind, and writes nothing
 * for what it refused but the remembered refusal. Endpoints are found in the document, so a new one is asked too.
 * SEED=… repeats a run; SOAK=1 asks ten times as much.
 */
import { connect as connectTo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { OpenAPIObject } from '@nestjs/swagger';
import type { Client } from 'pg';
import { type ErrorCode, errorTable } from '#domain';
import { statusOf } from '#ledger';
import { connect } from '#postgres';
import { type Api, bootstrapSecret, created, type Reply, startApi } from '../e2e/api';
import {
  isFree,
  type Operation,
  oddBodies,
  oddSegments,
  oddTexts,
  operationsOf,
  type Path,
  placesIn,
  replaced,
  sampleOf,
  someOf,
  valueAt,
  without,
} from '../support/api-fuzz';
import { type DurableServer, durableServer } from '../support/database';
import { random } from '../support/histories';

const soak = process.env.SOAK === '1';
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const chance = random(seed);
/** Odd values per place of a body or query. */
const perPlace = soak ? 40 : 4;
jest.setTimeout(soak ? 1_800_000 : 120_000);

let server: DurableServer;
let api: Api;
let admin: Client;
let operations: Operation[];
let countRows: string;
let requests = 0;
const seen = new Map<string, number>();

beforeAll(async () => {
  server = await durableServer();
  api = await startApi(
    { READ_WAIT_MS: '30000', SEAL: 'off' },
    { adminUrl: server.adminUrl, appUrl: server.appUrl, name: 'postgres', drop: () => Promise.resolve() },
  );
  admin = await connect(server.adminUrl);
  operations = operationsOf((await api.get('/openapi.json')).body as OpenAPIObject);
  const { rows } = await admin.query<{ name: string }>(
    `SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p') AND n.nspname IN ('log', 'access') ORDER BY 1`,
  );
  // Every request is recorded in the logs of user actions, which is counted apart.
  const { rows: ofBooks } = await admin.query<{ name: string }>(
    `SELECT attrelid::regclass::text AS name FROM pg_attribute WHERE attname = 'book_id' AND attnum > 0`,
  );
  const hasBooks = new Set(ofBooks.map(({ name }) => name));
  const counts = rows.map(({ name }) =>
    hasBooks.has(name) && name !== 'log.receipts'
      ? `'${name}', (SELECT count(*) FROM ${name} WHERE strpos(book_id, '~') = 0)`
      : `'${name}', (SELECT count(*) FROM ${name})`,
  );
  const heads = `(SELECT md5(string_agg(book_id || position || tail, ',' ORDER BY book_id)) FROM log.book_heads WHERE strpos(book_id, '~') = 0)`;
  const actions = `(SELECT count(*) FROM log.events WHERE event_type = 'UserActed')`;
  countRows = `SELECT jsonb_build_object(${counts.join()}, 'heads', ${heads}, 'actions', ${actions}) AS rows`;
});
afterAll(async () => {
  process.stdout.write(
    `fuzz SEED=${seed}: ${requests} requests, ${[...seen]
      .sort()
      .map(([what, count]) => `${what} ${count}`)
      .join(', ')}\n`,
  );
  await admin?.end();
  await api?.close();
  await server?.destroy();
});

// --- What every answer must be ---

type Rows = Readonly<Record<string, number | string>>;

let before: Rows | undefined;
const rowsNow = async (): Promise<Rows> => (await admin.query<{ rows: Rows }>({ name: 'rows', text: countRows })).rows[0]?.rows ?? {};

/** Codes that a refusal is remembered under: outcomes of deciding (I6). A key that is reused is told from its receipt. */
const remembered = (code: ErrorCode): boolean =>
  ['rejected', 'conflict', 'not_found'].includes(errorTable[code].kind) && code !== 'idempotency_key_reused';

/** Sends a request and judges the answer. @returns the answer */
async function ask(
  what: string,
  method: string,
  url: string,
  body?: string | Buffer,
  sending: Parameters<Api['send']>[3] = {},
  operation?: Operation,
): Promise<Reply> {
  before ??= await rowsNow();
  requests++;
  const reply = await api.send(method, url, body, sending);
  const after = await rowsNow();
  const shown = (): string =>
    `${what}\n${method} ${url.slice(0, 300)}\n${String(body ?? '').slice(0, 600)}\n→ ${reply.status} ${reply.text.slice(0, 600)}\n(SEED=${seed})`;
  const faults = faultsOf(reply, before, after, method, url, operation);
  if (faults.length > 0) throw new Error(`${faults.join('; ')}\n${shown()}`);
  const code = reply.status >= 400 && method !== 'HEAD' ? (reply.body?.code ?? reply.status) : reply.status;
  seen.set(String(code), (seen.get(String(code)) ?? 0) + 1);
  before = after;
  return reply;
}

/** What a pack may write: it seals the book, and is remembered. */
const sealed = ['trees', 'tiles', 'checkpoints', 'checkpoint_signatures', 'origins', 'signing_keys', 'audit_packs'].map(
  (table) => `log.${table}`,
);

function faultsOf(reply: Reply, earlier: Rows, later: Rows, method: string, url: string, operation: Operation | undefined): string[] {
  const { status, body, headers } = reply;
  const faults: string[] = [];
  const sealing = url.includes('/audit-pack') ? sealed : [];
  const changed = Object.keys(later).filter((name) => name !== 'actions' && earlier[name] !== later[name] && !sealing.includes(name));
  if (operation !== undefined && method === 'POST' && status !== 401 && earlier.actions === later.actions)
    faults.push('the action was not recorded');
  // Nobody seals here but audit packs, so that what is written is the request's own.
  if (status >= 500 && body?.code !== 'not_sealed') faults.push(`a fault of the service: ${status}`);
  if (operation !== undefined && !operation.statuses.has(status)) faults.push(`the document does not tell of status ${status}`);
  if (status < 400) {
    if (method !== 'POST' && changed.length > 0) faults.push(`a question has written: ${changed.join()}`);
    return faults;
  }
  if (method === 'HEAD') return changed.length > 0 ? [...faults, `a refused question has written: ${changed.join()}`] : faults;
  faults.push(...problemFaults(reply));
  if (!String(headers['content-type']).startsWith('application/problem+json')) faults.push(`content type ${headers['content-type']}`);
  const code = body?.code as ErrorCode;
  if (!Object.hasOwn(errorTable, code)) return faults;
  // A refusal that was decided leaves its receipt, and so a new tail; opening a book leaves two: in ~system, and in the book's log.
  const mayChange = remembered(code) && method === 'POST' ? ['log.receipts', 'log.command_contexts', 'heads'] : [];
  const written = changed.filter((name) => !mayChange.includes(name));
  if (written.length > 0) faults.push(`a refused request has written: ${written.join()}`);
  if (Number(later['log.receipts']) - Number(earlier['log.receipts']) > 2) faults.push('a refusal has left more than two receipts');
  return faults;
}

/** What a problem document lacks. */
function problemFaults({ status, body }: Pick<Reply, 'status' | 'body'>): string[] {
  const faults: string[] = [];
  const code = body?.code as ErrorCode;
  if (!Object.hasOwn(errorTable, code)) return [`no code of the error table: ${code}`];
  const { kind, members = [] } = errorTable[code] as { kind: (typeof errorTable)[ErrorCode]['kind']; members?: readonly string[] };
  const statuses = code === 'account_unknown' || code === 'party_unknown' ? [404, 422] : [statusOf(kind)];
  if (!statuses.includes(status)) faults.push(`status ${status} for ${code}`);
  if (body.status !== status) faults.push(`the body says status ${body.status}`);
  if (typeof body.detail !== 'string' || body.detail.length < 10) faults.push('no detail');
  if (body.type !== `urn:book-keeper:error:${code}`) faults.push(`type ${body.type}`);
  const known = ['type', 'title', 'status', 'detail', 'code', 'member', ...members];
  const unknown = Object.keys(body).filter((member) => !known.includes(member));
  if (unknown.length > 0) faults.push(`members that the error table does not know: ${unknown.join()}`);
  return faults;
}

// --- Books to ask about ---

let serial = 0;

/** A book in which the examples of the document are right, and the values of path parameters that exist in it. */
async function bookFor(): Promise<Readonly<Record<string, string>>> {
  const id = `fuzz-${++serial}`;
  const opening = { id, name: id, baseCurrency: 'USD', fiscalYearStart: '01-01', startsOn: '2025-01-01' };
  await created(api.post('/v1/books', opening));
  for (const code of ['Assets', 'Assets:Cash']) await created(api.post(`/v1/books/${id}/accounts`, { code, name: code, type: 'asset' }));
  const lines = ['debit', 'credit'].map((side) => ({ account: 'Assets:Cash', side, amount: '1.00', currency: 'EUR' }));
  const entry = { effectiveDate: '2026-01-15', description: 'first', lines };
  const { body } = await created(api.post(`/v1/books/${id}/journal-entries`, entry));
  await created(api.post(`/v1/books/${id}/journals`, { journalCode: 'CASH', name: 'Cash' }));
  before = undefined;
  return { book: id, code: 'Assets:Cash', id: body.id, aggregateType: 'Journal', aggregateId: body.id };
}

function urlOf(
  { path, parameters }: Operation,
  values: Readonly<Record<string, string>>,
  segments: Readonly<Record<string, string>> = {},
): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const described = parameters.find((known) => known.in === 'path' && known.name === name);
    return segments[name] ?? encodeURIComponent(values[name] ?? String(described === undefined ? 'x' : sampleOf(described)));
  });
}

const perOperation =
  (which: (operation: Operation) => boolean, test: (operation: Operation) => Promise<void>) => async (): Promise<void> => {
    const asked = operations.filter(which);
    expect(asked.length).toBeGreaterThan(0);
    for (const operation of asked) await test(operation);
  };

const any = (): boolean => true;
const hasBody = ({ bodies }: Operation): boolean => bodies !== undefined;
const text = (path: Path): string => path.join('.');
/** Of a list, the list is at fault as well as its elements; where two members contradict each other, the other may be named. */
const concerns = ({ member, detail }: { member: string; detail: string }, path: Path, odd: string): boolean => {
  const at = text(path);
  return member === at || member.startsWith(`${at}.`) || at.startsWith(`${member}.`) || detail.includes(odd.replace(/^\[?"|"\]?$/g, ''));
};

describe('the document', () => {
  it(
    'describes every part of every path, and what each operation answers',
    perOperation(any, async ({ name, undescribed, statuses }) => {
      expect([name, undescribed]).toEqual([name, []]);
      expect([name, Math.min(...statuses)]).toEqual([name, expect.any(Number)]);
    }),
  );

  it(
    'gives examples that are valid, with all members and with the required ones only',
    perOperation(hasBody, async (operation) => {
      const url = urlOf(operation, await bookFor());
      for (const body of operation.bodies ?? []) {
        const reply = await ask('example', operation.method, url, JSON.stringify(body), {}, operation);
        if (reply.status === 400) throw new Error(`${operation.name}: its example is refused: ${reply.text}\n${JSON.stringify(body)}`);
      }
    }),
  );
});

describe('bodies', () => {
  it(
    'odd values in every place are refused by name, or taken',
    perOperation(hasBody, async (operation) => {
      const url = urlOf(operation, await bookFor());
      // The full body has every place that the least one has.
      for (const body of operation.bodies?.slice(soak ? 0 : 1) ?? []) {
        for (const path of placesIn(body)) {
          for (const odd of someOf(oddTexts, perPlace, chance)) {
            const reply = await ask(`${odd} for ${text(path)}`, operation.method, url, replaced(body, path, odd), {}, operation);
            // The whole body is at fault when it nests too deep.
            if (reply.body.code === 'too_large' && /nests \d+ levels/.test(reply.body.detail)) continue;
            if (reply.status === 400) expect([odd, path, typeof reply.body.member, reply.text]).toEqual([odd, path, 'string', reply.text]);
            if (reply.status === 400 && reply.body.member !== undefined && !concerns(reply.body, path, odd))
              misnamed.push(`${operation.name}: ${odd} for ${text(path)}: ${reply.text}`);
          }
        }
      }
    }),
  );
  const misnamed: string[] = [];
  it('names the member that was at fault', () => expect(misnamed).toEqual([]));

  it(
    'missing, unknown and doubled members are refused by name',
    perOperation(hasBody, async (operation) => {
      const url = urlOf(operation, await bookFor());
      const [least, full] = operation.bodies as [unknown, unknown];
      for (const path of placesIn(least)) await ask(`without ${text(path)}`, operation.method, url, without(least, path), {}, operation);
      for (const path of placesIn(full)) {
        await ask(`without ${text(path)}`, operation.method, url, without(full, path), {}, operation);
        const list = valueAt(full, path);
        if (Array.isArray(list)) {
          const single = replaced(full, path, JSON.stringify(list.slice(0, 1)));
          await ask(`one of ${text(path)}`, operation.method, url, single, {}, operation);
        }
        const name = path.at(-1);
        if (typeof name !== 'string') continue;
        const twice = replaced(full, path, `1,${JSON.stringify(name)}:1`);
        const doubled = await ask(`${text(path)} twice`, operation.method, url, twice, {}, operation);
        expect([doubled.body.code, doubled.body.member]).toEqual(['malformed', text(path)]);
        if (isFree(full, path)) continue;
        const more = replaced(full, path, `1,"zzz":1`);
        const unknown = await ask(`zzz beside ${text(path)}`, operation.method, url, more, {}, operation);
        expect(['malformed', 'unknown_member', 'amount_not_string']).toContain(unknown.body.code);
      }
    }),
  );

  it(
    'what is no body at all is refused, however big or deep',
    perOperation(hasBody, async (operation) => {
      const url = urlOf(operation, await bookFor());
      const bodies = soak
        ? oddBodies
        : [
            ...someOf(
              oddBodies.filter(([, body]) => body.length < 1_000_000),
              12,
              chance,
            ),
            ...someOf(
              oddBodies.filter(([, body]) => body.length >= 1_000_000),
              1,
              chance,
            ),
          ];
      for (const [what, body] of bodies) {
        const reply = await ask(what, operation.method, url, body, {}, operation);
        expect([what, reply.status, operation.name]).toEqual([what, 400, operation.name]);
      }
    }),
  );

  it(
    'another content type is refused',
    perOperation(hasBody, async (operation) => {
      const url = urlOf(operation, await bookFor());
      const body = JSON.stringify(operation.bodies?.[0]);
      for (const type of [
        'text/plain',
        'application/xml',
        'application/x-www-form-urlencoded',
        'multipart/form-data; boundary=x',
        'application/jsonx',
        'json',
        '*/*',
        'application/json-patch+json',
        '\u00e4',
      ]) {
        const reply = await ask(type, operation.method, url, body, { headers: { 'content-type': type } }, operation);
        expect([type, reply.body.code, reply.body.member]).toEqual([type, 'malformed', 'Content-Type']);
      }
      await ask('compressed, it says', operation.method, url, body, { headers: { 'content-encoding': 'gzip' } }, operation);
    }),
  );
});

describe('headers', () => {
  const long = 'x'.repeat(256);

  it(
    'nobody is let in without a key of ours',
    perOperation(any, async (operation) => {
      const url = urlOf(operation, await bookFor());
      for (const authorization of [
        undefined,
        '',
        'Bearer',
        'Bearer ',
        'Bearer wrong',
        `Bearer ${bootstrapSecret} x`,
        `Basic ${bootstrapSecret}`,
        bootstrapSecret,
        `Bearer ${long.repeat(20)}`,
        'Bearer \u00e4\u00ff',
        'Bearer a\tb',
      ]) {
        const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
        const reply = await ask(
          `Authorization: ${authorization}`,
          operation.method,
          url,
          operation.bodies && '{',
          { secret: null, headers },
          operation,
        );
        expect([operation.name, authorization, reply.status === 401]).toEqual([operation.name, authorization, !operation.open]);
      }
    }),
  );

  it(
    'those of a command are printable ASCII of 1 to 255 characters',
    perOperation(hasBody, async (operation) => {
      const url = urlOf(operation, await bookFor());
      const body = JSON.stringify(operation.bodies?.[0]);
      for (const odd of ['', '\u00e4', 'a\tb', 'a\u0000b', '\u007f', long, long.repeat(30)]) {
        const key = await ask(`key ${odd}`, operation.method, url, body, { key: odd }, operation);
        expect(key.body.code).toBe('key_missing');
        for (const name of ['On-Behalf-Of', 'X-Correlation-Id']) {
          const other = await ask(`${name} ${odd}`, operation.method, url, body, { headers: { [name]: odd } }, operation);
          expect([name, odd, other.body.code, other.body.member]).toEqual([name, odd, 'text_invalid', name]);
        }
      }
      expect((await ask('no key', operation.method, url, body, { key: null }, operation)).body.code).toBe('key_missing');
    }),
  );
});

describe('paths and queries', () => {
  it(
    'odd segments lead nowhere',
    perOperation(
      ({ inPath }) => inPath.length > 0,
      async (operation) => {
        const values = await bookFor();
        const body = operation.bodies && JSON.stringify(operation.bodies[0]);
        for (const name of operation.inPath) {
          for (const segment of someOf(oddSegments, perPlace, chance)) {
            const url = urlOf(operation, values, { [name]: segment });
            await ask(`${name} = ${segment}`, operation.method, url, body);
          }
        }
      },
    ),
  );

  it(
    'odd values of query parameters are refused by name, or taken',
    perOperation(
      ({ method }) => method === 'GET',
      async (operation) => {
        const values = await bookFor();
        const url = urlOf(operation, values);
        const names = operation.parameters.filter((known) => known.in === 'query').map(({ name }) => name);
        for (const name of names) {
          for (const odd of ['', ...someOf([...oddSegments, ...oddTexts.map((json) => encodeURIComponent(json))], 2 * perPlace, chance)]) {
            await ask(`${name} = ${odd}`, 'GET', `${url}?${name}=${odd}`, undefined, {}, operation);
          }
          for (const query of [`${name}=1&${name}=2`, `${name}[]=1`, `${name}[a]=1`, `${name}`, `=${name}`]) {
            await ask(query, 'GET', `${url}?${query}`, undefined, {}, operation);
          }
        }
        for (const name of ['zzz', 'constructor', '__proto__', 'toString', '%00', '%ff', '%ed%a0%80']) {
          const reply = await ask(`an unknown parameter ${name}`, 'GET', `${url}?${name}=1`, undefined, {}, operation);
          if (names.length > 0) expect([operation.name, name, reply.status]).toEqual([operation.name, name, 400]);
        }
      },
    ),
  );

  it(
    'a cursor that was altered is refused, or is one of an honest page',
    perOperation(
      ({ parameters }) => parameters.some(({ name }) => name === 'cursor'),
      async (operation) => {
        const url = urlOf(operation, await bookFor());
        await bookFor();
        const first = await ask('a page', 'GET', `${url}?limit=1`);
        const cursor = first.body.nextCursor as string | undefined;
        if (cursor === undefined) return;
        const parts = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as unknown[];
        for (const [index] of parts.entries()) {
          for (const odd of [
            ...oddTexts.slice(0, soak ? undefined : 40),
            '"2026-02-30"',
            '"2026-01-01\'"',
            '-1',
            '9007199254740991',
            '"\\u0000"',
            '"\\ud800"',
            '1e300',
            '2147483648',
          ]) {
            const forged = Buffer.from(replaced(parts, [index], odd)).toString('base64url');
            await ask(`cursor with ${odd} at ${index}`, 'GET', `${url}?limit=1&cursor=${forged}`, undefined, {}, operation);
          }
        }
      },
    ),
  );

  it(
    'other methods are unknown',
    perOperation(any, async (operation) => {
      const url = urlOf(operation, await bookFor());
      const known = new Set(operations.filter(({ path }) => path === operation.path).map(({ method }) => method));
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD']) {
        if (known.has(method) || (method === 'HEAD' && known.has('GET'))) continue;
        const reply = await ask(`${method} instead`, method, url, method === 'GET' || method === 'HEAD' ? undefined : '{}');
        expect([method, url, reply.status]).toEqual([method, url, 404]);
      }
    }),
  );
});

describe('bytes that are hardly HTTP', () => {
  let port: number;
  beforeAll(async () => {
    await api.app.listen(0, '127.0.0.1');
    port = (api.app.getHttpServer().address() as { port: number }).port;
  });

  const authorization = `Authorization: Bearer ${bootstrapSecret}`;
  const request = (line: string, ...headers: string[]): string =>
    [line, 'Host: x', authorization, 'Connection: close', ...headers, '', ''].join('\r\n');
  const cases: (readonly [what: string, bytes: string | Buffer])[] = [
    ['no request line', '\r\n\r\n'],
    ['nonsense', 'hello\r\n\r\n'],
    ['TLS', Buffer.from('16030100c2010000be0303', 'hex')],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['HTTP/0.9', 'GET /\r\n\r\n'],
    ['an unknown method', request('BREW /v1/books HTTP/1.1')],
    ['a method in lower case', request('get /v1/books HTTP/1.1')],
    ['TRACE', request('TRACE /v1/books HTTP/1.1')],
    ['CONNECT', request('CONNECT example.org:443 HTTP/1.1')],
    ['an upgrade', request('GET /v1/books HTTP/1.1', 'Connection: Upgrade', 'Upgrade: websocket')],
    ['no host', `GET /v1/books HTTP/1.1\r\n${authorization}\r\nConnection: close\r\n\r\n`],
    ['two hosts', request('GET /v1/books HTTP/1.1', 'Host: y')],
    ['a whole URL', request('GET http://evil.example/v1/books HTTP/1.1')],
    ['a path of 100 KB', request(`GET /${'a'.repeat(100_000)} HTTP/1.1`)],
    ['a header of 100 KB', request('GET /v1/books HTTP/1.1', `X: ${'a'.repeat(100_000)}`)],
    ['3,000 headers', request('GET /v1/books HTTP/1.1', ...Array.from({ length: 3_000 }, (_, index) => `X-${index}: 1`))],
    ['NUL in a header', request('GET /v1/books HTTP/1.1', 'X: a\0b')],
    ['a folded header', request('GET /v1/books HTTP/1.1', 'X: a', ' b')],
    ['a blank before the colon', request('GET /v1/books HTTP/1.1', 'X : a')],
    ['a path with a blank', request('GET /v1/ books HTTP/1.1')],
    ['NUL in a path', request('GET /v1/\0books HTTP/1.1')],
    ['bytes above ASCII in a path', Buffer.from(request('GET /v1/books/\xff\xfe HTTP/1.1'), 'latin1')],
    ['a backslash path', request('GET \\v1\\books HTTP/1.1')],
    ['no path', request('GET HTTP/1.1')],
    ['double slashes', request('GET //v1//books HTTP/1.1')],
    ['dots', request('GET /v1/../../etc/passwd HTTP/1.1')],
    ['encoded dots', request('GET /docs/%2e%2e/%2e%2e/package.json HTTP/1.1')],
    ['encoded slashes', request('GET /docs/..%2f..%2fpackage.json HTTP/1.1')],
    ['a percent sign', request('GET /v1/books/% HTTP/1.1')],
    ['two lengths', `${request('POST /v1/books HTTP/1.1', 'Content-Type: application/json', 'Content-Length: 2', 'Content-Length: 3')}{}`],
    ['a length below 0', request('POST /v1/books HTTP/1.1', 'Content-Type: application/json', 'Content-Length: -1')],
    ['a length beyond numbers', request('POST /v1/books HTTP/1.1', 'Content-Type: application/json', `Content-Length: ${'9'.repeat(30)}`)],
    ['a length of 10 GB', `${request('POST /v1/books HTTP/1.1', 'Content-Type: application/json', 'Content-Length: 10000000000')}{}`],
    [
      'length and chunks',
      `${request('POST /v1/books HTTP/1.1', 'Content-Type: application/json', 'Content-Length: 2', 'Transfer-Encoding: chunked')}0\r\n\r\n`,
    ],
    ['an unknown coding', `${request('POST /v1/books HTTP/1.1', 'Content-Type: application/json', 'Transfer-Encoding: zip')}{}`],
    [
      'a chunk without a size',
      `${request('POST /v1/books HTTP/1.1', 'Content-Type: application/json', 'Transfer-Encoding: chunked')}zz\r\n{}\r\n0\r\n\r\n`,
    ],
    [
      'a chunk of 2^64',
      `${request('POST /v1/books HTTP/1.1', 'Content-Type: application/json', 'Transfer-Encoding: chunked')}ffffffffffffffff\r\n{}`,
    ],
    ['a body of a GET', `${request('GET /v1/books HTTP/1.1', 'Content-Type: application/json', 'Content-Length: 1')}{`],
    [
      '100 requests at once',
      request('GET /health/live HTTP/1.1').replace('Connection: close\r\n', '').repeat(99) + request('GET /health/live HTTP/1.1'),
    ],
  ];

  it.each(cases)('answers %s, and goes on', async (_what, bytes) => {
    before ??= await rowsNow();
    const answer = await exchange(port, bytes);
    for (const [head, body] of answersIn(answer)) {
      if (head === '') continue;
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]);
      expect([head.split('\r\n')[0], status < 500]).toEqual([head.split('\r\n')[0], true]);
      // Node.js itself answers a request without a host, with no body.
      if (status < 400 || ['', '0\r\n\r\n'].includes(body)) continue;
      expect(head.toLowerCase()).toContain('content-type: application/problem+json');
      expect(problemFaults({ status, body: JSON.parse(body) })).toEqual([]);
    }
    expect({ ...(await rowsNow()), actions: before?.actions }).toEqual(before);
    expect((await api.get('/health/live')).status).toBe(200);
  });
});

/** Sends bytes and reads until the other side ends, or says no more for half a second. */
function exchange(port: number, bytes: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTo(port, '127.0.0.1');
    let answer = '';
    const end = (): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(500, end);
    socket.on('data', (data) => {
      answer += data.toString('latin1');
    });
    socket.on('end', end);
    socket.on('close', end);
    socket.on('error', (error: Error & { code?: string }) =>
      error.code === 'ECONNRESET' || error.code === 'EPIPE' ? end() : reject(error),
    );
    socket.write(bytes);
  });
}

function answersIn(text: string): [head: string, body: string][] {
  return text.split(/(?=HTTP\/1\.1 \d{3} )/).map((answer) => {
    const at = answer.indexOf('\r\n\r\n');
    return at < 0 ? [answer, ''] : [answer.slice(0, at), answer.slice(at + 4)];
  });
}

describe('afterwards', () => {
  it('the service works as before, and holds no memory of it', async () => {
    const collect = collector();
    collect();
    const idle = process.memoryUsage();
    const url = urlOf(operations.find(({ path }) => path.endsWith('/batch')) as Operation, await bookFor());
    for (let round = 0; round < (soak ? 10 : 1); round++) {
      for (const [what, body] of oddBodies.filter(([, body]) => body.length >= 1_000_000)) await ask(what, 'POST', url, body);
    }
    collect();
    const now = process.memoryUsage();
    expect(now.heapUsed + now.external - idle.heapUsed - idle.external).toBeLessThan(32 * 1024 * 1024);
    await bookFor();
    expect((await api.get('/health/ready')).status).toBe(200);
  });
});

function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
