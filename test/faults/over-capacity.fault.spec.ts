/**
 * More work than the service can do: it says so at once (429 with Retry-After), keeps what it took, stays small, and serves
 * the books that are not flooded. The service is a process of its own with a heap that a queue without bounds would burst.
 * What would hold up the writer in life (a slow disk) is a lock on the head of the book here, so that nothing depends on speed.
 */
import { connect as connectSocket, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { connect } from '#postgres';
import { entry, openBook as openBookBy } from '../e2e/api';
import { type DurableServer, durableServer } from '../support/database';
import { get, type HttpReply, type HttpService, post, startHttpService } from '../support/http-service';
import { balanceIn, checkBook } from '../support/ledgers';

const soak = process.env.SOAK === '1';
/** Of the tests that do more of the same in the long form. */
const longMs = soak ? 600_000 : 60_000;

let server: DurableServer;
let admin: Client;
let service: HttpService;
const mebibyte = 1 << 20;
const settings = {
  QUEUE_PER_BOOK: '50',
  QUEUE_TOTAL: '250',
  QUEUE_MB: '16',
  BODIES_MB: '16',
  HTTP_CONNECTIONS: '600',
  // One book's batches are all that another one waits for.
  WRITER_CONNECTIONS: '1',
};
/** Room for twenty times what is allowed to wait, and for a tenth of what is offered. */
const heapMegabytes = 192;

beforeAll(async () => {
  server = await durableServer();
  admin = await connect(server.adminUrl);
  service = await startHttpService(server.appUrl, { ...settings, NODE_OPTIONS: `--max-old-space-size=${heapMegabytes}` });
}, 60_000);

afterAll(async () => {
  await service.stop();
  await admin.end();
  await server.destroy();
});

let keys = 0;
const newKey = (): string => `over-${++keys}`;

async function openBook(id: string): Promise<string> {
  return openBookBy({ post: (path: string, body: object) => post(service.url, path, body, newKey()) } as never, id);
}

/** Stops the writing of a book while the work goes on. */
async function held<T>(book: string, work: () => Promise<T>): Promise<T> {
  const holder = await connect(server.adminUrl);
  try {
    await holder.query('BEGIN');
    await holder.query('SELECT 1 FROM log.book_heads WHERE book_id = $1 FOR UPDATE', [book]);
    return await work();
  } finally {
    await holder.end();
  }
}

/** What was sent, and what has been answered so far. */
class Offers {
  readonly replies: (HttpReply | undefined)[] = [];
  private readonly sent: Promise<void>[] = [];

  send(path: string, body: object | string, key: string): void {
    const index = this.sent.length;
    this.replies.push(undefined);
    this.sent.push(
      post(service.url, path, body, key).then((reply) => {
        this.replies[index] = reply;
      }),
    );
  }

  get refused(): HttpReply[] {
    return this.replies.filter((reply): reply is HttpReply => reply?.status === 429);
  }

  get waiting(): number {
    return this.replies.filter((reply) => reply === undefined).length;
  }

  all(): Promise<unknown> {
    return Promise.all(this.sent);
  }
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await sleep(5);
  }
}

function expectClearRefusals(refused: readonly HttpReply[]): void {
  const said = new Set(refused.map(({ status, body, headers }) => `${status} ${body.code} ${headers.get('retry-after')}`));
  expect([...said]).toEqual(['429 queue_full 1']);
}

/** Sends until it is taken, as a caller who obeys Retry-After, but without the wait. */
async function insist(path: string, body: object | string, key: string): Promise<HttpReply> {
  for (;;) {
    const reply = await post(service.url, path, body, key);
    if (reply.status !== 429) return reply;
    await sleep(10);
  }
}

async function metric(name: string): Promise<number> {
  const { text } = await get(service.url, '/metrics');
  return Number(new RegExp(`^${name} (\\S+)`, 'm').exec(text)?.[1]);
}

/** An entry of nearly a mebibyte. */
const large = (): object =>
  entry('1.00', {
    lines: Array.from({ length: 900 }, (_, index) => ({
      account: index % 2 === 0 ? 'Assets:Cash' : 'Income:Sales',
      side: index % 2 === 0 ? 'debit' : 'credit',
      amount: '1.00',
      currency: 'EUR',
      description: `${index} `.padEnd(1_000, 'x'),
    })),
  });

test('ten times what a book may queue: the rest is refused at once, what was taken is carried out, and keys may be repeated', async () => {
  const path = `${await openBook('flood')}/journal-entries`;
  const offered = 10 * Number(settings.QUEUE_PER_BOOK);
  const offers = new Offers();
  await held('flood', async () => {
    for (let nth = 0; nth < offered; nth++) offers.send(path, entry('1.00'), `flood-${nth}`);
    await until('all but those that wait are answered', async () => {
      return (await metric('book_keeper_queue_length')) === offers.waiting && offers.waiting < offered;
    });
    expect(offers.replies.filter((reply) => reply !== undefined && reply.status !== 429)).toEqual([]);
    expect(offers.refused.length).toBeGreaterThanOrEqual(offered - Number(settings.QUEUE_TOTAL));
    expectClearRefusals(offers.refused);
  });
  await offers.all();
  expect(offers.replies.filter((reply) => reply?.status !== 429 && reply?.status !== 201)).toEqual([]);
  const answers = await inTurns(
    offers.replies.map((reply, nth) => async () => {
      const again = await insist(path, entry('1.00'), `flood-${nth}`);
      return reply?.status === 201 && reply.text !== again.text ? reply.text : again.status;
    }),
  );
  expect(new Set(answers)).toEqual(new Set([201]));
  const { accounts } = await checkBook(admin, 'flood');
  expect(balanceIn(accounts, 'Assets:Cash')).toBe(BigInt(offered * 100));
}, 60_000);

/** At most 40 at a time. */
async function inTurns<T>(work: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const turn = async (): Promise<void> => {
    for (let index = next++; index < work.length; index = next++) results[index] = await (work[index] as () => Promise<T>)();
  };
  await Promise.all(Array.from({ length: 40 }, turn));
  return results;
}

test('a batch that finds no room says so entry by entry, and its repeat posts what is missing, once', async () => {
  const path = `${await openBook('batches')}/journal-entries`;
  const body = { atomic: false, entries: Array.from({ length: 40 }, () => entry('1.00')) };
  const first = await (async () => {
    const offers = new Offers();
    await held('batches', async () => {
      for (let nth = 0; nth < 45; nth++) offers.send(path, entry('1.00'), newKey());
      await until('they wait', async () => (await metric('book_keeper_queue_length')) === 45);
      // Its claim waits with them, and its entries come when the queue is full again.
      offers.send(`${path}/batch`, body, 'late-batch');
      await until('it waits too', async () => (await metric('book_keeper_queue_length')) === 46);
    });
    await offers.all();
    return offers.replies.at(-1) as HttpReply;
  })();
  expect(first.status).toBe(200);
  const again = await insist(`${path}/batch`, body, 'late-batch');
  expect(again.body.results.filter(({ id }: { id?: string }) => id === undefined)).toEqual([]);
  const { accounts } = await checkBook(admin, 'batches');
  expect(balanceIn(accounts, 'Assets:Cash')).toBe(8_500n);
});

test(
  'entries of a mebibyte: their bytes are counted, before they are read',
  async () => {
    const path = `${await openBook('heavy')}/journal-entries`;
    const body = JSON.stringify(large());
    expect(body.length).toBeGreaterThan(0.9 * mebibyte);
    const offered = soak ? 500 : 120;
    const offers = new Offers();
    await openBook('light');
    await held('heavy', async () => {
      for (let nth = 0; nth < offered; nth++) offers.send(path, body, `heavy-${nth}`);
      await until('the others are refused', async () => {
        return offers.waiting < offered && (await metric('book_keeper_queue_length')) === offers.waiting;
      });
      // Half of what may wait is left for others; the last one may pass the middle.
      expect(offers.waiting * body.length).toBeLessThan((Number(settings.BODIES_MB) / 2 + 1) * mebibyte);
      expect(offers.waiting).toBeGreaterThan(0);
      expectClearRefusals(offers.refused);
    });
    await offers.all();
    expect(offers.replies.filter((reply) => reply?.status !== 429 && reply?.status !== 201)).toEqual([]);
    expect((await insist(path, body, `heavy-${offered - 1}`)).status).toBe(201);
    const posted = new Set([...offers.replies.flatMap((reply, nth) => (reply?.status === 201 ? [nth] : [])), offered - 1]);
    const { events } = await checkBook(admin, 'heavy');
    expect(events.filter(({ eventType }) => eventType === 'JournalEntryPosted')).toHaveLength(posted.size);
  },
  longMs,
);

test('a book whose writing is held up, flooded with commands and bytes, leaves room for the others', async () => {
  const path = `${await openBook('stuck')}/journal-entries`;
  const free = `${await openBook('free')}/journal-entries`;
  const body = JSON.stringify(large());
  // A second writer connection: the one that waits for the lock is not to be given back.
  const other = await startHttpService(server.appUrl, {
    ...settings,
    WRITER_CONNECTIONS: '2',
    NODE_OPTIONS: `--max-old-space-size=${heapMegabytes}`,
  });
  try {
    await held('stuck', async () => {
      const flood: Promise<HttpReply>[] = [];
      for (let nth = 0; nth < 120; nth++) flood.push(post(other.url, path, nth % 4 === 0 ? body : entry('1.00'), newKey()));
      let refused = 0;
      for (const reply of flood)
        void reply.then(
          ({ status }) => (refused += status === 429 ? 1 : 0),
          () => {},
        );
      await until('the flood is refused', () => refused > 30);
      for (let nth = 0; nth < 20; nth++) {
        const reply = await post(other.url, free, nth % 10 === 0 ? body : entry('1.00'), newKey());
        expect([nth, reply.status, reply.body.code]).toEqual([nth, 201, undefined]);
      }
    });
  } finally {
    await other.stop();
  }
  await checkBook(admin, 'free');
}, 60_000);

test(
  'a flooded book that is written as fast as it can be: a caller of a quiet one waits for a few of its appends, not for its queue',
  async () => {
    const busy = `${await openBook('busy')}/journal-entries`;
    const quiet = `${await openBook('quiet')}/journal-entries`;
    let served = false;
    let posted = 0;
    const send = async (path: string): Promise<void> => {
      const reply = await post(service.url, path, entry('1.00'), newKey());
      expect([reply.status, reply.body.code]).toEqual([201, undefined]);
    };
    const flood = 32;
    const callers = Array.from({ length: flood }, async () => {
      while (!served) {
        await send(busy);
        posted++;
      }
    });
    await until('the flood is on', () => posted > 10 * flood);
    // Counted and not timed: how many of the busy book's commands are answered while the quiet one waits for its own.
    const overtaken: number[] = [];
    for (let nth = 0; nth < (soak ? 1_000 : 60); nth++) {
      const before = posted;
      await send(quiet);
      overtaken.push(posted - before);
    }
    served = true;
    await Promise.all(callers);
    overtaken.sort((one, other) => one - other);
    const most = overtaken[Math.floor(overtaken.length * 0.9)] ?? 0;
    process.stdout.write(`over-capacity: 90 of 100 quiet commands waited for at most ${most} commands of ${flood} busy callers\n`);
    expect(most).toBeLessThanOrEqual(4 * flood);
  },
  longMs,
);

test('bodies that are announced and never sent keep room only as long as their connections', async () => {
  const path = `${await openBook('loris')}/journal-entries`;
  const body = JSON.stringify(large());
  const { hostname, port } = new URL(service.url);
  const announce = (key: string): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = connectSocket(Number(port), hostname, () => {
        socket.write(
          `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer the-first-administrators-key\r\nIdempotency-Key: ${key}\r\n` +
            `Content-Type: application/json\r\nContent-Length: ${mebibyte}\r\n\r\n{`,
        );
        resolve(socket);
      });
      socket.on('error', reject);
    });
  const sockets: Socket[] = [];
  // One more each time: the body that asks may have had the room for which the last of them was refused.
  await until('nothing more is taken', async () => {
    sockets.push(await announce(`loris-${sockets.length}`));
    return (await post(service.url, path, body, 'behind-loris')).status === 429;
  });
  for (const socket of sockets) socket.destroy();
  expect((await insist(path, body, 'behind-loris')).status).toBe(201);
});

test('connections beyond the limit are closed, and those that are there are served', async () => {
  const { hostname, port } = new URL(service.url);
  const path = `${await openBook('crowd')}/journal-entries`;
  const more = 100;
  let closed = 0;
  const sockets = await Promise.all(
    Array.from(
      { length: Number(settings.HTTP_CONNECTIONS) + more },
      () =>
        new Promise<Socket>((resolve) => {
          const socket = connectSocket(Number(port), hostname, () => resolve(socket));
          socket.on('error', () => {}).on('close', () => closed++);
        }),
    ),
  );
  await until('what is too much is closed', () => closed >= more);
  expect(closed).toBeLessThan(sockets.length);
  for (const socket of sockets) socket.destroy();
  expect((await insist(path, entry('1.00'), newKey())).status).toBe(201);
});

test('after all of this the process is the same and small', async () => {
  await until('nothing waits', async () => (await metric('book_keeper_queue_length')) === 0);
  expect((await get(service.url, '/health/ready')).status).toBe(200);
  expect(await metric('nodejs_heap_size_used_bytes')).toBeLessThan(heapMegabytes * mebibyte);
});
