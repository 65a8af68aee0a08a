/**
 * Over HTTP: the service as a real process, a load generator in another one, and beside it, in a third, what the framework
 * alone costs: a Nest-on-Fastify POST without a handler's work, sent the same bodies. Closed loops for rates and processor time
 * per request; an open loop for latency, where every request has its moment and is measured from that moment on, however late
 * it could be sent (coordinated omission does not hide a stall).
 */
import { Controller, HttpCode, Module, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Client } from 'pg';
import { Pool } from 'undici';
import { type Program, type RemoteProcess, startProgram, startRole } from './processes';
import { type BenchDatabase, type BenchServer, processMicros, serverMicros, walPosition } from './server';
import { generator, percentile } from './statistics';
import { booksDatabase, type Figures } from './write-path';
import { codeOf, sleep } from './writer';

export interface HttpCase {
  readonly name: string;
  readonly connections: number;
  /** Entries of one request; 1 when absent. */
  readonly batch?: number;
  /**
   * service: projections and the log of user actions off; projected: folded by the service itself; recorded: every command in the log of
   * user actions before it is answered; empty: the framework alone. `service` when absent.
   */
  readonly target?: 'service' | 'projected' | 'recorded' | 'empty';
  /** Open loop at this share of the best rate of single entries in the same round. */
  readonly ofCapacity?: number;
  readonly quick?: true;
}

export const httpCases: readonly HttpCase[] = [
  { name: 'http-empty', connections: 64, target: 'empty', quick: true },
  { name: 'http-1', connections: 1 },
  { name: 'http-64', connections: 64, quick: true },
  { name: 'http-256', connections: 256 },
  { name: 'http-batch-100', connections: 16, batch: 100, quick: true },
  { name: 'http-batch-1000', connections: 4, batch: 1_000 },
  { name: 'http-recorded-1', connections: 1, target: 'recorded' },
  { name: 'http-recorded-64', connections: 64, target: 'recorded', quick: true },
  { name: 'http-recorded-256', connections: 256, target: 'recorded' },
  { name: 'http-projected-64', connections: 64, target: 'projected' },
  { name: 'http-open-50', connections: 256, ofCapacity: 0.5 },
  { name: 'http-open-80', connections: 256, ofCapacity: 0.8, quick: true },
];

const bookId = 'bench-1';
const accounts = 10_000;
const apiKey = 'the-key-of-the-bench-itself';
const warmUpMs = 500;
/**
 * Of a server that has just started: so many requests, after which its code is compiled and it has 98 of 100 accounts in memory, or
 * so long on a machine that is busy with something else.
 */
const warmUpRequests = 20_000;
const warmUpMostMs = 8_000;

/** A server that requests are sent to. */
interface Target {
  readonly url: string;
  readonly program: Program | RemoteProcess<EmptyServer>;
  /** Its own, so that one service never folds what another wrote. */
  readonly database?: BenchDatabase;
}

/** The servers that the cases of one round share, started as they are needed. */
export class HttpTargets {
  private readonly targets = new Map<string, Target>();
  private generator: RemoteProcess<LoadGenerator> | undefined;
  /** Best rate of single entries so far, requests per second. */
  private capacity = 0;

  constructor(private readonly server: BenchServer) {}

  async close(): Promise<void> {
    await this.generator?.end();
    for (const { program, database } of this.targets.values()) {
      await program.end();
      await database?.drop();
    }
  }

  /** @param seconds of the measuring window, after warming up */
  async run(wanted: HttpCase, seconds: number): Promise<Figures> {
    const { name, connections, batch = 1, target = 'service', ofCapacity } = wanted;
    if (ofCapacity !== undefined && this.capacity === 0) await this.run({ name: `${name}-capacity`, connections: 64 }, 1);
    const { url, program, database } = await this.target(target);
    this.generator ??= await startRole<LoadGenerator>('load-generator');
    const { its } = this.generator;
    const before = database && (await counted(database.admin));
    const rate = ofCapacity === undefined ? undefined : ofCapacity * this.capacity;
    await its.start({ origin: url, connections, batch, tag: `${name}-${before?.position}`, rate });
    await sleep(warmUpMs);
    const [micros, written] = [processMicros(program.pid), database && (await serverWork(database.admin))];
    await its.mark();
    // Twice as long for the open loop: one request in a thousand must be some.
    await sleep((rate === undefined ? 1 : 2) * seconds * 1_000);
    const { requests, seconds: measured, latencies } = await its.read();
    const used = processMicros(program.pid) - micros;
    const now = database && (await serverWork(database.admin));
    const answered = await its.stop();

    if (database !== undefined && before !== undefined) await check(database.admin, before, answered, batch);
    const requestsPerSecond = requests / measured;
    if (target === 'service' && batch === 1 && rate === undefined) this.capacity = Math.max(this.capacity, requestsPerSecond);
    return {
      requestsPerSecond,
      p50Ms: percentile(latencies, 0.5),
      p99Ms: percentile(latencies, 0.99),
      ...(rate === undefined ? {} : { p999Ms: percentile(latencies, 0.999), wantedPerSecond: rate }),
      cpuMicrosPerRequest: used / requests,
      ...(written === undefined || now === undefined
        ? {}
        : {
            entriesPerSecond: requestsPerSecond * batch,
            serverMicrosPerEntry: (now.micros - written.micros) / requests / batch,
            walBytesPerEntry: (now.wal - written.wal) / requests / batch,
          }),
    };
  }

  private async target(target: NonNullable<HttpCase['target']>): Promise<Target> {
    const known = this.targets.get(target);
    if (known !== undefined) return known;
    const started = target === 'empty' ? await this.startEmpty() : await this.startService(target);
    this.targets.set(target, started);
    await this.warmUp(target, started.url);
    return started;
  }

  /** A server that has just started compiles what it runs; its processor time per request is several times what it will be. */
  private async warmUp(target: string, origin: string): Promise<void> {
    this.generator ??= await startRole<LoadGenerator>('load-generator');
    const { its } = this.generator;
    await its.start({ origin, connections: 64, batch: 1, tag: `warm-${target}` });
    const start = performance.now();
    while (performance.now() - start < warmUpMostMs && (await its.soFar()) < warmUpRequests) await sleep(50);
    await its.stop();
  }

  private async startEmpty(): Promise<Target> {
    const program = await startRole<EmptyServer>('empty-server');
    return { url: await program.its.url(), program };
  }

  private async startService(target: NonNullable<HttpCase['target']>): Promise<Target> {
    const database = await booksDatabase(this.server);
    const program = startProgram('api', {
      DATABASE_URL: database.url,
      DATA_DIR: this.server.directory,
      CHECKPOINT_DIR: 'off', // of clones, which have one name
      BOOTSTRAP_API_KEY: apiKey,
      PORT: '0',
      HOST: '127.0.0.1',
      PROJECT: target === 'projected' ? 'inline' : 'off',
      ACTIONS: target === 'recorded' ? 'reports' : 'off',
    });
    let url: string | undefined;
    while (url === undefined) url = /API +(http:\/\/[^/]+)\//.exec(await program.nextLine())?.[1];
    return { url, program, database };
  }
}

/** What the server has done for a database so far. */
async function serverWork(admin: Client): Promise<{ readonly micros: number; readonly wal: number }> {
  return { micros: await serverMicros(admin), wal: await walPosition(admin) };
}

interface Counted {
  readonly position: number;
  readonly receipts: number;
  readonly entries: number;
}

async function counted(admin: Client): Promise<Counted> {
  const { rows } = await admin.query<Counted>(
    `SELECT (SELECT position FROM log.book_heads WHERE book_id = $1) AS position, (SELECT count(*) FROM log.receipts WHERE book_id = $1) AS receipts,
            (SELECT count(*) FROM log.events WHERE book_id = $1 AND event_type = 'JournalEntryPosted') AS entries`,
    [bookId],
  );
  return rows[0] as Counted;
}

/** A batch that is not atomic leaves a receipt per entry and one that claims its key. */
async function check(admin: Client, before: Counted, answered: number, batch: number): Promise<void> {
  const after = await counted(admin);
  const entries = answered * batch;
  const receipts = entries + (batch > 1 ? answered : 0);
  const gained = {
    position: after.position - before.position,
    receipts: after.receipts - before.receipts,
    entries: after.entries - before.entries,
  };
  if (gained.entries !== entries || gained.receipts !== receipts || gained.position !== 3 * entries)
    throw new Error(`${answered} requests of ${batch} entries were answered, the book gained ${JSON.stringify(gained)}`);
}

// --- The load generator: a role of its own ---

interface HttpLoad {
  readonly origin: string;
  readonly connections: number;
  readonly batch: number;
  readonly tag: string;
  /** Requests per second, at their moments whatever the answers do; absent: a closed loop per connection. */
  readonly rate?: number;
}

/** Different entries that are sent in turn; each request has a key of its own. */
const bodiesMade = 997;

export class LoadGenerator {
  private pool: Pool | undefined;
  private running: Promise<void>[] = [];
  private stopped = false;
  private answered = 0;
  private marked = { at: 0, answered: 0 };
  private latencies: number[] | undefined;

  async start({ origin, connections, batch, tag, rate }: HttpLoad): Promise<void> {
    this.pool = new Pool(origin, { connections, pipelining: 1 });
    this.stopped = false;
    this.answered = 0;
    const bodies = Array.from({ length: batch > 1 ? Math.ceil(bodiesMade / batch) : bodiesMade }, bodyMaker(batch));
    const path = `/v1/books/${bookId}/journal-entries${batch > 1 ? '/batch' : ''}`;
    let serial = 0;
    const send = (intended: number): Promise<void> => {
      serial++;
      return this.send(path, bodies[serial % bodies.length] as Buffer, `${tag}-${serial}`, batch > 1 ? 200 : 201, intended);
    };
    const loop = async (): Promise<void> => {
      while (!this.stopped) await send(performance.now());
    };
    this.running = rate === undefined ? Array.from({ length: connections }, loop) : [this.openLoop(rate, send)];
    for (const run of this.running) run.catch(() => {});
  }

  /** Requests are due in steps of a millisecond, Poisson on the average, and measured from the step on. */
  private async openLoop(rate: number, send: (intended: number) => Promise<void>): Promise<void> {
    const random = generator(7);
    const start = performance.now();
    const underWay = new Set<Promise<void>>();
    let failure: unknown;
    let due = 0;
    while (!this.stopped && failure === undefined) {
      const now = performance.now() - start;
      while (due <= now) {
        const sent: Promise<void> = send(start + Math.floor(due))
          .catch((error) => {
            failure = error;
          })
          .finally(() => underWay.delete(sent));
        underWay.add(sent);
        due += (-Math.log(1 - random()) * 1_000) / rate;
      }
      await sleep(1);
    }
    await Promise.all(underWay);
    if (failure !== undefined) throw failure;
  }

  private async send(path: string, body: Buffer, key: string, expected: number, intended: number): Promise<void> {
    const { statusCode, body: answer } = await (this.pool as Pool).request({
      method: 'POST',
      path,
      body,
      headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKey}`, 'idempotency-key': key },
    });
    if (statusCode !== expected && statusCode !== 201) throw new Error(`${statusCode} ${await answer.text()}`);
    // Whether every entry of a batch was posted, the check of the book tells.
    await answer.dump();
    this.answered++;
    this.latencies?.push(performance.now() - intended);
  }

  async mark(): Promise<void> {
    this.latencies = [];
    this.marked = { at: performance.now(), answered: this.answered };
  }

  async read(): Promise<{ readonly requests: number; readonly seconds: number; readonly latencies: readonly number[] }> {
    const { at, answered } = this.marked;
    const latencies = this.latencies ?? [];
    this.latencies = undefined;
    return { requests: this.answered - answered, seconds: (performance.now() - at) / 1_000, latencies };
  }

  /** Requests answered since start. */
  async soFar(): Promise<number> {
    return this.answered;
  }

  /** Waits for what is under way. @returns requests answered since start */
  async stop(): Promise<number> {
    this.stopped = true;
    await Promise.all(this.running);
    await this.pool?.close();
    return this.answered;
  }
}

function bodyMaker(batch: number): () => Buffer {
  const random = generator(42);
  const entry = (): object => {
    const debit = Math.floor(random() * accounts);
    const credit = (debit + 1 + Math.floor(random() * (accounts - 1))) % accounts;
    const amount = (1 + Math.floor(random() * 9_999_999)) / 100;
    const line = (account: number, side: string): object => ({
      account: codeOf(account),
      side,
      amount: amount.toFixed(2),
      currency: 'EUR',
    });
    return {
      effectiveDate: '2026-01-15',
      description: 'Invoice 2026-000123 paid by bank transfer',
      lines: [line(debit, 'debit'), line(credit, 'credit')],
    };
  };
  return () => Buffer.from(JSON.stringify(batch > 1 ? { atomic: false, entries: Array.from({ length: batch }, entry) } : entry()));
}

// --- The framework alone: a role of its own ---

@Controller('v1/books/:book/journal-entries')
class EmptyController {
  @Post()
  @HttpCode(201)
  nothing(): void {}
}

@Module({ controllers: [EmptyController] })
class EmptyModule {}

export class EmptyServer {
  private constructor(private readonly address: string) {}

  static async start(): Promise<EmptyServer> {
    const app = await NestFactory.create<NestFastifyApplication>(EmptyModule, new FastifyAdapter(), { logger: false });
    await app.listen(0, '127.0.0.1');
    return new EmptyServer(await app.getUrl());
  }

  async url(): Promise<string> {
    return this.address;
  }
}
