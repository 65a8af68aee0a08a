/**
 * An S3-compatible bucket: objects under a prefix, read, written and listed. Hides signatures (AWS Signature Version 4), endpoints and pages.
 * Credentials come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. Guarantees that an object that is there is whole: S3
 * shows none before all of it was taken, and what is sent carries its SHA-256.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { AwsClient } from 'aws4fetch';

const expected = 'expected s3://BUCKET/PREFIX?endpoint=https://…&region=…';

/** How often a request is sent that found no way to the server, or whose answer broke off; each wait is twice as long as the one before. */
const attempts = 3;
const firstWaitMs = 200;

export class Bucket {
  /** For messages; without credentials. */
  readonly name: string;
  private readonly client: AwsClient;
  private readonly base: string;
  private readonly prefix: string;

  /**
   * @param setting name of the setting that the URL is from, for messages
   * @param url s3://BUCKET/PREFIX?endpoint=https://…&region=…; without endpoint Amazon's
   * @param timeoutMs for one request
   * @param answerMs for the beginning of its answer: a server that takes a request and says nothing is given up sooner
   * @throws Error naming the setting
   */
  constructor(
    setting: string,
    url: string,
    private readonly timeoutMs: number,
    private readonly answerMs: number = timeoutMs,
  ) {
    if (!URL.canParse(url)) throw new Error(`${setting}=${url}: ${expected}`);
    const { protocol, hostname: bucket, pathname, searchParams } = new URL(url);
    const region = searchParams.get('region') ?? process.env.AWS_REGION ?? 'us-east-1';
    const endpoint = searchParams.get('endpoint') ?? `https://s3.${region}.amazonaws.com`;
    if (protocol !== 's3:' || bucket === '') throw new Error(`${setting}=${url}: ${expected}`);
    const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_SESSION_TOKEN: sessionToken } = process.env;
    if (accessKeyId === undefined || secretAccessKey === undefined)
      throw new Error(`${setting} needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY`);
    this.client = new AwsClient({
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
      region,
      service: 's3',
      retries: 3,
    });
    this.base = `${endpoint.replace(/\/$/, '')}/${bucket}`;
    this.prefix = pathname.replace(/^\/|\/$/g, '');
    this.name = `bucket ${bucket}`;
  }

  /** The key of an object below the prefix. */
  key(...parts: readonly string[]): string {
    return [this.prefix, ...parts].filter((part) => part !== '').join('/');
  }

  /** @returns undefined when there is no such object @throws Error when it cannot be told */
  async get(key: string): Promise<Buffer | undefined> {
    const { status, ok, body } = await this.ask(`GET ${key}`, `/${key}`, { answerMs: this.answerMs });
    // A bucket that is not there is a wrong setting, not a lost object.
    if (status === 404 && !body.includes('NoSuchBucket')) return undefined;
    if (!ok) throw this.refused(`GET ${key}`, status, body);
    return body;
  }

  async put(key: string, content: string | Buffer, headers: Readonly<Record<string, string>>): Promise<void> {
    const { status, ok, body } = await this.ask(`PUT ${key}`, `/${key}`, {
      method: 'PUT',
      body: content,
      // Locked objects want a checksum (S3 User Guide, "Object Lock").
      headers: { 'x-amz-checksum-sha256': createHash('sha256').update(content).digest('base64'), ...headers },
    });
    if (!ok) throw this.refused(`PUT ${key}`, status, body);
  }

  /** A list in pages of 1,000, as XML (S3 API Reference, ListObjectsV2). */
  async *pages(query: Readonly<Record<string, string>>): AsyncGenerator<string> {
    for (let token: string | undefined; ; ) {
      const asked = new URLSearchParams({ 'list-type': '2', ...query, ...(token === undefined ? {} : { 'continuation-token': token }) });
      const { status, ok, body } = await this.ask('a list', `?${asked}`);
      if (!ok) throw this.refused('a list', status, body);
      const text = body.toString('utf8');
      yield text;
      token = /<NextContinuationToken>([^<]+)</.exec(text)?.[1];
      if (token === undefined) return;
    }
  }

  private refused(what: string, status: number, body: Buffer): Error {
    return new Error(`${this.name} answered ${status} to ${what}: ${body.toString('utf8', 0, 200)}`);
  }

  /** Sends a request; all of ours may be sent twice. @throws Error saying why no answer came */
  private async ask(
    what: string,
    path: string,
    {
      answerMs = this.timeoutMs,
      ...init
    }: { method?: string; body?: string | Buffer; headers?: Record<string, string>; answerMs?: number } = {},
  ): Promise<{ readonly status: number; readonly ok: boolean; readonly body: Buffer }> {
    for (let attempt = 1; ; attempt++) {
      const given = new AbortController();
      let timer: NodeJS.Timeout | undefined;
      // A signal alone is not enough: of a request that nobody holds it may be collected as garbage (seen with Node 20.20).
      const within = <T>(ms: number, work: Promise<T>): Promise<T> => {
        const late = new Promise<never>((_, refuse) => {
          timer = setTimeout(() => {
            const error = new Error(`no answer within ${ms / 1_000} s`);
            refuse(error);
            given.abort(error);
          }, ms);
        });
        return Promise.race([work, late]).finally(() => clearTimeout(timer));
      };
      try {
        const answer = await within(answerMs, this.client.fetch(`${this.base}${path}`, { ...init, signal: given.signal }));
        return { status: answer.status, ok: answer.ok, body: Buffer.from(await within(this.timeoutMs, answer.arrayBuffer())) };
      } catch (error) {
        if (given.signal.aborted || attempt === attempts)
          throw new Error(`${this.name} did not answer ${what}: ${reasonOf(given.signal.aborted ? given.signal.reason : error)}`, {
            cause: error,
          });
      }
      await sleep(firstWaitMs * 2 ** (attempt - 1));
    }
  }
}

/** fetch says "fetch failed" of everything, and why one level deeper; of several addresses two levels. */
function reasonOf(error: unknown): string {
  const { message, cause, errors } = error as { message?: string; cause?: unknown; errors?: readonly unknown[] };
  const deeper = errors?.[0] ?? cause;
  return deeper === undefined ? (message ?? String(error)) : reasonOf(deeper);
}
