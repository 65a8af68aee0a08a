/** Callers that hang up at the wrong moment take no room for bodies with them: the budget is whole again afterwards. */
import { connect as connectSocket, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { connect } from '#postgres';
import { type Api, bootstrapSecret, entry, openBook, startApi } from './api';

let api: Api;
let admin: Client;
let path: string;
let port: number;

beforeAll(async () => {
  api = await startApi({ BODIES_MB: '1' });
  admin = await connect(api.database.adminUrl);
  path = `${await openBook(api, 'hang-ups')}/journal-entries`;
  await api.app.listen(0, '127.0.0.1');
  port = (api.app.getHttpServer().address() as { port: number }).port;
});
afterAll(async () => {
  await admin.end();
  await api.close();
});

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${condition}`);
    await sleep(5);
  }
}

const connections = (): Promise<number> =>
  new Promise((resolve, reject) => {
    api.app.getHttpServer().getConnections((error: Error | null, count: number) => (error === null ? resolve(count) : reject(error)));
  });

const call = async (text: string): Promise<Socket> => {
  const socket = connectSocket(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(text);
  await until(async () => (await connections()) === 1);
  return socket;
};

async function hangUp(socket: Socket): Promise<void> {
  socket.destroy();
  await until(async () => (await connections()) === 0);
}

let keys = 0;
const request = (body: string, length = body.length, secret = bootstrapSecret): string =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${secret}\r\nIdempotency-Key: hang-up-${++keys}\r\n` +
  `Content-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${body}`;

/** More than half of the budget: what is left of it is not enough when anything is lost. */
const large = (): string => JSON.stringify(entry('1.00')).padEnd(900_000, ' ');

/** Runs while nobody else can use a table. */
async function locked<T>(table: string, work: () => Promise<T>): Promise<T> {
  await admin.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
  try {
    return await work();
  } finally {
    await admin.query('ROLLBACK');
  }
}

const isWaitedFor = async (): Promise<boolean> => {
  const { rows } = await admin.query(
    'SELECT count(*) AS waiting FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())',
  );
  return rows[0].waiting > 0;
};

async function expectRoomForAll(): Promise<void> {
  // What is still on its way into the log keeps its room until then.
  await until(async () => api.service.ledger.queueLength === 0);
  // Twice: the first may come before a hung-up request asks for room.
  for (let time = 0; time < 2; time++) {
    const { status } = await api.post(path, large());
    expect(status).toBe(201);
    for (let turn = 0; turn < 20; turn++) await sleep(1);
  }
}

it('while its key is looked up', async () => {
  const { secret } = await api.keys.create('patient');
  await locked('access.api_keys', async () => {
    const socket = await call(request('', 900_000, secret));
    await until(isWaitedFor);
    await hangUp(socket);
  });
  await until(async () => !(await isWaitedFor()));
  await expectRoomForAll();
});

it('while its body is on the way', async () => {
  await hangUp(await call(request('{', 900_000)));
  await expectRoomForAll();
});

it('while its command waits', async () => {
  await locked('log.book_heads', async () => {
    const socket = await call(request(large()));
    await until(isWaitedFor);
    await hangUp(socket);
    expect((await api.post(path, large())).status).toBe(429);
  });
  await expectRoomForAll();
});

it('while a second request stands behind one that waits on the same connection', async () => {
  await locked('log.book_heads', async () => {
    const socket = await call(request(JSON.stringify(entry('1.00'))) + request(large()));
    await until(() => api.service.ledger.queueLength === 2);
    await hangUp(socket);
  });
  await expectRoomForAll();
});

it('while a second request is on the way behind one that waits on the same connection', async () => {
  await locked('log.book_heads', async () => {
    const socket = await call(request(JSON.stringify(entry('1.00'))) + request('{', 900_000));
    await until(() => api.service.ledger.queueLength === 1);
    await hangUp(socket);
  });
  await expectRoomForAll();
});
