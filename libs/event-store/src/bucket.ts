/**
 * An S3-compatible bucket: objects under a prefix, read, written and listed. Hides signatures (AWS Signature Version 4), endpoints and pages.
 * Credentials come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. Guarantees that an object that is there is whole: S3
 * shows none before all of it was taken, and what is sent carries its SHA-256.
 */
import { createHash } from 'node:crypto';
import { AwsClient } from 'aws4fetch';

const expected = 'expected s3://BUCKET/PREFIX?endpoint=https://…&region=…';

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
   * @throws Error naming the setting
   */
  constructor(
    setting: string,
    url: string,
    private readonly timeoutMs: number,
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
    const answer = await this.client.fetch(`${this.base}/${key}`, { signal: AbortSignal.timeout(this.timeoutMs) });
    const body = Buffer.from(await answer.arrayBuffer());
    if (answer.status === 404) return undefined;
    if (!answer.ok) throw new Error(`${this.name} answered ${answer.status} to GET ${key}: ${body.toString('utf8', 0, 200)}`);
    return body;
  }

  async put(key: string, body: string | Buffer, headers: Readonly<Record<string, string>>): Promise<void> {
    const answer = await this.client.fetch(`${this.base}/${key}`, {
      method: 'PUT',
      body,
      // Locked objects want a checksum (S3 User Guide, "Object Lock").
      headers: { 'x-amz-checksum-sha256': createHash('sha256').update(body).digest('base64'), ...headers },
      signal: AbortSignal.timeout(this.timeoutMs),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${this.name} answered ${answer.status} to PUT ${key}: ${text.slice(0, 200)}`);
  }

  /** A list in pages of 1,000, as XML (S3 API Reference, ListObjectsV2). */
  async *pages(query: Readonly<Record<string, string>>): AsyncGenerator<string> {
    for (let token: string | undefined; ; ) {
      const asked = new URLSearchParams({ 'list-type': '2', ...query, ...(token === undefined ? {} : { 'continuation-token': token }) });
      const answer = await this.client.fetch(`${this.base}?${asked}`, { signal: AbortSignal.timeout(this.timeoutMs) });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${this.name} answered ${answer.status} to a list: ${text.slice(0, 200)}`);
      yield text;
      token = /<NextContinuationToken>([^<]+)</.exec(text)?.[1];
      if (token === undefined) return;
    }
  }
}
