/** The HTTP application of a spec file: on a database of its own, asked through Fastify without a socket. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { type ApiKeys, type Config, createLogger, openService, readConfig, type Service } from '#ledger';
import { createApp } from '../../apps/api/src/app.module';
import { type TestDatabase, testDatabase } from '../support/database';

export interface Reply {
  readonly status: number;
  /** The bytes of the body as text. */
  readonly text: string;
  readonly bytes: Buffer;
  /** The body, when it is JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: specs look into answers of every shape
  readonly body: any;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

export interface Sending {
  /** Idempotency key; one of its own when absent, none when null. */
  readonly key?: string | null;
  /** API key; the bootstrap key when absent, none when null. */
  readonly secret?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Api {
  readonly database: TestDatabase;
  readonly service: Service;
  readonly app: NestFastifyApplication;
  readonly keys: ApiKeys;
  get(path: string, sending?: Sending): Promise<Reply>;
  /** @param body an object, or the very bytes */
  post(path: string, body?: object | string | Buffer, sending?: Sending): Promise<Reply>;
  send(method: string, path: string, body: object | string | Buffer | undefined, sending: Sending): Promise<Reply>;
  close(): Promise<void>;
}

export const bootstrapSecret = 'the-first-administrators-key';

let keys = 0;

/** @param settings beyond the defaults of tests */
export async function startApi(settings: Partial<Record<keyof Config, string>> = {}, given?: TestDatabase): Promise<Api> {
  const database = given ?? (await testDatabase());
  const directory = mkdtempSync(join(tmpdir(), 'book-keeper-api-'));
  const base = { DATABASE_URL: database.appUrl, DATA_DIR: directory, BOOTSTRAP_API_KEY: bootstrapSecret, LOG_LEVEL: 'silent' };
  const config = readConfig({ ...base, ...settings });
  const log = createLogger(config);
  const service = await openService(config, { log });
  const app = await createApp(service, log);
  const fastify = app.getHttpAdapter().getInstance();

  const send: Api['send'] = async (method, path, body, { key, secret, headers }) => {
    const answer = await fastify.inject({
      method: method as 'GET',
      url: path,
      headers: {
        ...(secret === null ? {} : { authorization: `Bearer ${secret ?? bootstrapSecret}` }),
        ...(key === null || method === 'GET' ? {} : { 'idempotency-key': key ?? `spec-${++keys}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { payload: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body) }),
    });
    const type = String(answer.headers['content-type'] ?? '');
    return {
      status: answer.statusCode,
      text: answer.body,
      bytes: answer.rawPayload,
      body: /^application\/(?:[a-z]+\+)?json\b/.test(type) && answer.body !== '' ? JSON.parse(answer.body) : undefined,
      headers: answer.headers as Record<string, string | undefined>,
    };
  };
  return {
    database,
    service,
    app,
    keys: service.keys,
    get: (path, sending = {}) => send('GET', path, undefined, sending),
    post: (path, body, sending = {}) => send('POST', path, body, sending),
    send,
    async close() {
      await app.close();
      await service.close();
      rmSync(directory, { recursive: true, force: true });
      if (given === undefined) await database.drop();
    },
  };
}

/** A book of 2026 in EUR with a few accounts; throws what refused it. */
export async function openBook(api: Api, id: string, more: object = {}): Promise<string> {
  const path = `/v1/books/${id}`;
  await created(api.post('/v1/books', { id, name: id, baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2026-01-01', ...more }));
  for (const [code, type] of [
    ['Assets:Cash', 'asset'],
    ['Assets:Bank', 'asset'],
    ['Income:Sales', 'revenue'],
    ['Expenses:Rent', 'expense'],
  ]) {
    await created(api.post(`${path}/accounts`, { code, name: code, type }));
  }
  return path;
}

export async function created(sent: Promise<Reply>): Promise<Reply> {
  const reply = await sent;
  if (reply.status !== 201) throw new Error(`${reply.status}: ${reply.text}`);
  return reply;
}

/** The body of an entry that moves an amount. */
export function entry(
  amount = '100.00',
  more: object = {},
  accounts: readonly [debit: string, credit: string] = ['Assets:Cash', 'Income:Sales'],
): object {
  return {
    effectiveDate: '2026-03-01',
    description: 'sale',
    lines: [
      { account: accounts[0], side: 'debit', amount, currency: 'EUR' },
      { account: accounts[1], side: 'credit', amount, currency: 'EUR' },
    ],
    ...more,
  };
}
