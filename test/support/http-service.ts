/** The HTTP service as a process of its own, as `npm start` runs it, asked over a socket: for fault suites that cut and kill. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runScript } from './processes';

export interface HttpReply {
  readonly status: number;
  /** The bytes of the body as text. */
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: specs look into answers of every shape
  readonly body: any;
  readonly headers: Headers;
}

export interface HttpService {
  readonly url: string;
  /** Ends it like a power cut. */
  kill(): Promise<void>;
  /** Ends it as Ctrl-C does. */
  stop(): Promise<number | string>;
}

const secret = 'the-first-administrators-key';

/** @param settings environment beyond DATABASE_URL */
export async function startHttpService(databaseUrl: string, settings: Readonly<Record<string, string>> = {}): Promise<HttpService> {
  const directory = mkdtempSync(join(tmpdir(), 'book-keeper-spec-'));
  const script = runScript('apps/api/src/main.ts', [], {
    PORT: '0',
    DATABASE_URL: databaseUrl,
    MIGRATION_DATABASE_URL: '',
    BOOTSTRAP_API_KEY: secret,
    DATA_DIR: directory,
    LOG_LEVEL: 'fatal',
    ...settings,
  });
  let line = '';
  while (!line.includes('API  ')) line = await script.nextLine();
  const end = async (signal: NodeJS.Signals): Promise<number | string> => {
    script.process.kill(signal);
    const status = await script.ended;
    rmSync(directory, { recursive: true, force: true });
    return status;
  };
  return {
    url: /http:\/\/[^/]+/.exec(line)?.[0] ?? '',
    kill: async () => {
      await end('SIGKILL');
    },
    stop: () => end('SIGTERM'),
  };
}

/**
 * Sends a command.
 * @param url of the service, or of a proxy in front of it
 * @throws what fetch throws when the connection is cut before the answer
 */
export async function post(url: string, path: string, body: object | string, key: string, apiKey = secret): Promise<HttpReply> {
  const answer = await fetch(url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'idempotency-key': key, 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return replyOf(answer);
}

export async function get(url: string, path: string): Promise<HttpReply> {
  return replyOf(await fetch(url + path, { headers: { authorization: `Bearer ${secret}` } }));
}

async function replyOf(answer: Response): Promise<HttpReply> {
  const text = await answer.text();
  const json = answer.headers.get('content-type')?.includes('json') === true;
  return { status: answer.status, text, body: json ? JSON.parse(text) : undefined, headers: answer.headers };
}
