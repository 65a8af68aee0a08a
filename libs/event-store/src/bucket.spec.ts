/** A bucket that is out of reach, slow, or not there says so in words that tell these apart; what a moment's fault broke is asked for again. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Bucket } from './bucket';

const before = { ...process.env };
beforeAll(() => Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret' }));
afterAll(() => {
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) {
    if (before[name] === undefined) delete process.env[name];
    else process.env[name] = before[name];
  }
});

/** A bucket on a server that answers like this; `asked` counts the requests. */
async function bucketThat(
  answer: (request: IncomingMessage, response: ServerResponse, asked: number) => void,
): Promise<{ readonly bucket: Bucket; asked(): number; close(): Promise<void> }> {
  let asked = 0;
  const server: Server = createServer((request, response) => {
    request.resume();
    request.on('end', () => answer(request, response, ++asked));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    bucket: new Bucket('ARCHIVE_URL', `s3://cold/books?endpoint=http://127.0.0.1:${port}`, 2_000, 300),
    asked: () => asked,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

describe('a bucket', () => {
  it('that breaks off is asked again', async () => {
    const { bucket, asked, close } = await bucketThat((_, response, number) => {
      if (number === 1) response.destroy();
      else if (number === 2) {
        response.writeHead(200, { 'content-length': 100 });
        response.write('half');
        response.destroy();
      } else response.end('whole');
    });
    try {
      expect(String(await bucket.get('file'))).toBe('whole');
      expect(asked()).toBe(3);
      await bucket.put('file', Buffer.from('x'), {});
    } finally {
      await close();
    }
  });

  it('that always breaks off is given up, with the reason', async () => {
    const { bucket, asked, close } = await bucketThat((_, response) => response.destroy());
    try {
      await expect(bucket.get('a/file')).rejects.toThrow(
        /^bucket cold did not answer GET a\/file: .*(other side closed|socket hang up|ECONNRESET)/,
      );
      expect(asked()).toBe(3);
      await expect(bucket.put('a/file', 'x', {})).rejects.toThrow(/^bucket cold did not answer PUT a\/file: /);
    } finally {
      await close();
    }
  });

  it('that says nothing is given up after its time, and not asked again', async () => {
    const { bucket, asked, close } = await bucketThat(() => {});
    try {
      await expect(bucket.get('file')).rejects.toThrow('bucket cold did not answer GET file: no answer within 0.3 s');
      expect(asked()).toBe(1);
    } finally {
      await close();
    }
  });

  it('whose server is not there is told with the reason of the system', async () => {
    const { bucket, close } = await bucketThat(() => {});
    await close();
    await expect(bucket.get('file')).rejects.toThrow(/^bucket cold did not answer GET file: connect ECONNREFUSED 127\.0\.0\.1:\d+$/);
  });

  it.each([
    [404, '<Error><Code>NoSuchKey</Code></Error>', undefined],
    [404, '', undefined],
    [404, '<Error><Code>NoSuchBucket</Code></Error>', /^bucket cold answered 404 to GET file: .*NoSuchBucket/],
    [403, '<Error><Code>AccessDenied</Code></Error>', /^bucket cold answered 403 to GET file: .*AccessDenied/],
  ])('that answers %d %s', async (status, body, problem) => {
    const { bucket, close } = await bucketThat((_, response) => response.writeHead(status).end(body));
    try {
      if (problem === undefined) expect(await bucket.get('file')).toBeUndefined();
      else await expect(bucket.get('file')).rejects.toThrow(problem);
    } finally {
      await close();
    }
  });
});
