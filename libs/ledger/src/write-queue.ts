/**
 * The write queue: group commit per book, without a timer. While one batch is on its way to the database the next one
 * collects; a second is decided on the state that the first will leave and follows it down the same connection. Hides
 * batching, speculation, connections, retries and the search for a command that the database refuses. Guarantees that a
 * caller is answered only after the SQL transaction with its own outcome has committed, that commands of one book take
 * effect one after the other, that no command takes effect twice, and that one that cannot be carried out takes no
 * neighbour with it. Numbers in comments are the rules of DESIGN section 5.
 */
import { randomUUID } from 'node:crypto';
import type { Client } from 'pg';
import { type Actor, Decision, LedgerError } from '#domain';
import {
  type AppendOutcome,
  ArchiveUnreadable,
  type CommandContext as ContextRow,
  type EventStore,
  type Head,
  type NewEvent,
  type Receipt,
  uuidV7,
  VersionConflict,
} from '#event-store';
import { endAtOnce, isConnectionLost, isTransient } from '#postgres';
import { isRemembered, problemBody, statusOf } from './answer';
import { BatchChanges, BookMemory, type Needs, StateBudget } from './book-memory';
import { BriefMap } from './brief-map';
import { accountCodes } from './catalogue';

/** What a decided command answers when it is carried out. */
export interface Success {
  readonly status: number;
  readonly body: string;
}

/** One command on its way through the queue, or one atomic batch. */
export interface Unit {
  readonly key: string;
  readonly item: number;
  /** Book, item and key as one text: what makes two units the same command. */
  readonly name: string;
  /** Type of the command. */
  readonly command: string;
  /** SHA-256 of the normalised command, hex. */
  readonly fingerprint: string;
  readonly needs: Needs;
  /** Estimates, to cut batches: events it will write, bytes it holds. */
  readonly events: number;
  readonly bytes: number;
  /** Whether it may run although the book does not exist. */
  readonly opensBook: boolean;
  /** Canonical JSON of the metadata of its events, without userId and causationId. */
  readonly metadata: string;
  /** The same for events that have a reason of their own. */
  metadataBecause(reason: string): string;
  readonly userId: string;
  readonly actor: Actor;
  readonly context: ContextRow | undefined;
  /** Milliseconds by performance.now, which nobody turns, after which it is given up while the database cannot be reached. */
  readonly deadline: number;
  /** @param recordedAt microseconds since 1970 */
  decide(decision: Decision, recordedAt: number): Success;
  /** Fingerprints per member for the receipt; undefined where the events alone tell what the command said. */
  members(refused: boolean): Readonly<Record<string, string>> | undefined;
  // How the unit ends: one of these is called, once, after its outcome is durable.
  /** @param fresh false for a unit that arrived while another with its key was under way */
  done(outcome: Receipt, fresh: boolean): void;
  /**
   * The key has an outcome already; the caller compares fingerprints and touches the receipt (rule 10).
   * @param own whether this very command may have left it, by an append whose answer was lost
   */
  known(receipt: Receipt, own: boolean): void;
  /** @param sent whether an append with it has an unknown outcome: what is found under its key may be its own */
  failed(error: unknown, sent?: boolean): void;
}

/** A unit with what the queue has learnt about it. */
interface Queued {
  readonly unit: Unit;
  /** Units with the same key that arrived while this one was under way. */
  followers: Unit[];
  /** Sent at least once with unknown outcome: an outcome found in the receipts is its own first answer. */
  sent: boolean;
  /** Whether its states did not fit the log once: they were read anew, so it may try again. */
  conflicted: boolean;
  /** After an error of unknown cause: the largest batch that it may be part of (rule 3). */
  limit: number;
}

interface Batch {
  readonly queued: readonly Queued[];
  readonly receipts: readonly Receipt[];
  readonly changes: BatchChanges;
  readonly contexts: readonly ContextRow[];
  readonly headAfter: Head;
  settled: boolean;
}

type Failure =
  | { readonly batch: Batch; readonly outcome: Exclude<AppendOutcome, { kind: 'appended' }> }
  | { readonly batch: Batch; readonly error: unknown };

const unitsMax = 500;
const eventsMax = 3_000;
const bytesMax = 2 * 1024 * 1024;
/** Canonical text of a command becomes about three times as many bytes of events, heads and receipts. */
const bytesPerCommandByte = 3;
/** After another process was faster, speculation is pointless for a while. */
const calmAppends = 20;
/** After this many lost races in a row a writer takes the head by its lock: a busy process would be faster for ever. */
const racesMax = 3;
/** How far behind the database's clock recordedAt may lag before the process takes over the database's time. */
const clockSlackMicros = 2_000_000;
/** A book at rest takes some ten kilobytes beside its accounts. */
const idleBooksMax = 1_000;
const backoffMsMin = 50;
const backoffMsMax = 500;

export interface WriteQueueOptions {
  /** Opens a pipelining connection for appends. */
  readonly connect: () => Promise<Client>;
  readonly stateCacheBytes: number;
  readonly writerConnections: number;
  readonly queuePerBook: number;
  readonly queueTotal: number;
  /** Bytes of commands that may wait in all; a book may have as many as are left free. */
  readonly queueBytes: number;
  /** Milliseconds after which an append without an answer is given up, with its connection. */
  readonly appendTimeoutMs: number;
  readonly onAppended?: (bookId: string, position: number) => void;
  /** Milliseconds since 1970; Date.now unless a test turns the clock. */
  readonly clock?: () => number;
  /** Books without commands that stay in memory. */
  readonly idleBooksMax?: number;
}

/** All books of a process: one queue each, a few connections for all. */
export class WriteQueue {
  private readonly books = new Map<string, BookWriter>();
  private readonly budget: StateBudget;
  private readonly connections: Connections;
  private waiting = 0;
  private waitingBytes = 0;
  private closing = false;
  /** What must be added to the process clock to come near the database's, in microseconds (rule 5). */
  private clockOffset = 0;

  constructor(
    readonly store: EventStore,
    readonly options: WriteQueueOptions,
  ) {
    this.budget = new StateBudget(options.stateCacheBytes);
    this.connections = new Connections(options.connect, options.writerConnections, options.appendTimeoutMs);
  }

  /** Commands that wait or are under way. */
  get length(): number {
    return this.waiting;
  }

  /** @throws LedgerError queue_full | database_unavailable (shutting down) */
  push(bookId: string, units: readonly Unit[]): void {
    if (this.closing)
      throw new LedgerError('database_unavailable', 'the service is shutting down; repeat with the same key', { retryAfter: 1 });
    const known = this.books.get(bookId);
    const book = known ?? { length: 0, bytes: 0 };
    const { queuePerBook, queueTotal, queueBytes } = this.options;
    const bytes = units.reduce((sum, unit) => sum + unit.bytes, 0);
    // What finds nothing in its way may be of any size. Of bytes a book takes as much as it leaves free, so that one book never
    // takes what others need.
    const free = queueBytes - this.waitingBytes;
    const tooMany =
      (book.length > 0 && book.length + units.length > queuePerBook) ||
      (this.waiting > 0 && this.waiting + units.length > queueTotal) ||
      (book.bytes > 0 && book.bytes + bytes > free) ||
      (this.waitingBytes > 0 && bytes > free);
    if (tooMany) {
      throw new LedgerError(
        'queue_full',
        `${book.length} commands (${book.bytes} bytes) wait for book ${bookId}, ${this.waiting} (${this.waitingBytes} bytes) in all; repeat with the same key`,
        { retryAfter: 1 },
      );
    }
    this.waiting += units.length;
    this.waitingBytes += bytes;
    (known ?? this.newBook(bookId)).push(units);
  }

  /** Only for commands that are taken: a book that never had work would never come to rest, and would stay for ever. */
  private newBook(bookId: string): BookWriter {
    const book = new BookWriter(this, bookId, new BookMemory(bookId, this.store, this.budget), this.connections);
    this.books.set(bookId, book);
    return book;
  }

  /** Waits until every command has its outcome, then closes the connections. */
  async close(): Promise<void> {
    this.closing = true;
    await Promise.all([...this.books.values()].map((book) => book.idle()));
    await this.connections.close();
  }

  settled(unit: Unit): void {
    this.waiting--;
    this.waitingBytes -= unit.bytes;
  }

  /** Called by a book that has nothing to do. Books that were idle the longest make room, and so does one that does not exist. */
  rest(book: BookWriter): void {
    this.books.delete(book.bookId);
    if (book.memory.book() === undefined) this.forget(book);
    else this.books.set(book.bookId, book);
    if (this.books.size <= (this.options.idleBooksMax ?? idleBooksMax)) return;
    for (const oldest of this.books.values()) {
      if (!oldest.isIdle) continue;
      this.books.delete(oldest.bookId);
      this.forget(oldest);
      break;
    }
  }

  private forget(book: BookWriter): void {
    book.memory.drop();
    this.budget.leave(book.memory);
  }

  /** Microseconds since 1970 by the process clock, corrected by what the database has said of its own. */
  now(): number {
    return Math.floor((this.options.clock ?? Date.now)() * 1_000) + this.clockOffset;
  }

  correctClock(databaseMicros: number): void {
    this.clockOffset += databaseMicros - this.now();
  }
}

/** Connections for appends: one book at a time each, books that are ready wait first in first out (rule 7). */
class Connections {
  private readonly free: Client[] = [];
  /** Each is given a connection, or undefined: the right to open one. */
  private readonly queue: ((client: Client | undefined) => void)[] = [];
  private open = 0;

  constructor(
    private readonly connect: () => Promise<Client>,
    private readonly max: number,
    private readonly patienceMs: number,
  ) {}

  /** Books that are ready and have no connection. */
  get wanted(): number {
    return this.queue.length;
  }

  /** @throws Error like the server's own for too many connections (SQLSTATE 53300) when none became free in time */
  async take(): Promise<Client> {
    let client = this.free.pop();
    if (client === undefined && this.open >= this.max) client = await this.wait();
    else if (client === undefined) this.open++;
    if (client !== undefined) return client;
    try {
      return await this.connect();
    } catch (error) {
      this.vacate();
      throw error;
    }
  }

  /** With a server that is silent, books whose turn never comes must still tell their callers so. */
  private wait(): Promise<Client | undefined> {
    return new Promise((resolve, reject) => {
      const given = (client: Client | undefined): void => {
        clearTimeout(patience);
        resolve(client);
      };
      const patience = setTimeout(() => {
        this.queue.splice(this.queue.indexOf(given), 1);
        reject(Object.assign(new Error(`none of ${this.max} connections for appends became free`), { code: '53300' }));
      }, this.patienceMs);
      this.queue.push(given);
    });
  }

  /**
   * Hands the connection to whoever waits longest, never back to the free ones while somebody waits: a book that gives its
   * connection back and asks again in the same breath would always be faster than one that has to be woken.
   * @param usable false after any failure: such a connection is never used again
   */
  giveBack(client: Client, usable: boolean): void {
    if (!usable) {
      client.end().catch(() => {}); // it is broken already; there is nobody to tell
      this.vacate();
      return;
    }
    const next = this.queue.shift();
    if (next === undefined) this.free.push(client);
    else next(client);
  }

  /** One connection less: its place goes to whoever waits longest. */
  private vacate(): void {
    const next = this.queue.shift();
    if (next === undefined) this.open--;
    else next(undefined);
  }

  async close(): Promise<void> {
    await Promise.all(this.free.splice(0).map((client) => client.end()));
  }
}

/** The queue of one book. One loop decides, sends and recovers; outcomes of batches under way only set flags for it. */
class BookWriter {
  private readonly waiting: Queued[] = [];
  private readonly byKey = new BriefMap<Queued>();
  private readonly underWay: Batch[] = [];
  private failure: Failure | undefined;
  private running: Promise<void> | undefined;
  private wakeUp: (() => void) | undefined;
  private client: Client | undefined;
  private calm = calmAppends;
  /** Appends in a row that came after another process's. */
  private lostRaces = 0;
  /** Whether an SQL transaction on `client` holds the lock of the head. */
  private holding = false;
  private backoffMs = 0;
  /** Whether the last batch had to wait for states to be read: the next one is likely to. */
  private cold = false;
  /** Of all commands that have no outcome yet. */
  bytes = 0;

  constructor(
    private readonly owner: WriteQueue,
    readonly bookId: string,
    readonly memory: BookMemory,
    private readonly connections: Connections,
  ) {}

  get length(): number {
    return this.waiting.length;
  }

  get isIdle(): boolean {
    return this.running === undefined;
  }

  push(units: readonly Unit[]): void {
    for (const unit of units) {
      this.bytes += unit.bytes;
      const leader = this.byKey.get(unit.name);
      if (leader !== undefined) {
        leader.followers.push(unit);
        continue;
      }
      const queued: Queued = { unit, followers: [], sent: false, conflicted: false, limit: unitsMax };
      this.byKey.set(unit.name, queued);
      this.waiting.push(queued);
    }
    this.signal();
    this.running ??= this.drive();
  }

  async idle(): Promise<void> {
    while (this.running !== undefined) await this.running;
  }

  private signal(): void {
    this.wakeUp?.();
    this.wakeUp = undefined;
  }

  private changed(): Promise<void> {
    return new Promise((resolve) => {
      this.wakeUp = resolve;
    });
  }

  private async drive(): Promise<void> {
    await turn(); // callers of the same moment share the first batch
    while (this.waiting.length > 0 || this.underWay.length > 0 || this.failure !== undefined) {
      try {
        await this.step();
      } catch (error) {
        // States could not be read. What is under way has its own connection and its own outcome, which comes first.
        while (this.underWay.some(({ settled }) => !settled)) await this.changed();
        if (this.failure === undefined) await this.recoverFrom(error);
      }
    }
    this.release(true);
    // In the same breath as the last look at `waiting`: a command that comes a moment later starts a loop of its own.
    this.running = undefined;
    this.owner.rest(this);
  }

  /** One turn of the loop: recover, wait, or send one more batch. */
  private async step(): Promise<void> {
    if (this.failure !== undefined) {
      // Batches share one connection, so the one behind a failed one is refused too, and its refusal comes after.
      while (this.underWay.some(({ settled }) => !settled)) await this.changed();
      return this.recover(this.failure);
    }
    const othersWait = this.connections.wanted > 0;
    if (othersWait && this.underWay.length === 0 && this.client !== undefined) this.release(true);
    const suspect = this.waiting[0] !== undefined && this.waiting[0].limit < unitsMax;
    const depth = othersWait || suspect || this.calm < calmAppends ? 1 : 2;
    if (this.waiting.length === 0 || this.underWay.length >= depth) {
      if (this.cold && this.waiting.length > 0 && (await this.readAhead())) return;
      await this.changed();
      return turn();
    }
    this.client ??= await this.connections.take();
    await this.memory.takeUp();
    if (this.lostRaces >= racesMax && this.underWay.length === 0) await this.holdHead(this.client);
    const taken = this.take(depth);
    const needs = taken.map(({ unit }) => unit.needs);
    let letGo: (() => void) | undefined;
    this.cold = !this.memory.has(needs);
    if (this.cold) {
      try {
        letGo = await this.memory.load(needs);
      } catch (error) {
        if (!(error instanceof ArchiveUnreadable)) {
          this.waiting.unshift(...taken);
          throw error;
        }
        this.setApart(taken, error);
        return;
      }
    }
    if (this.failure !== undefined) {
      // What was under way failed while we read: the states are to be rolled back before anything is decided on them.
      letGo?.();
      this.waiting.unshift(...taken);
      return;
    }
    const decided = this.decide(taken);
    letGo?.();
    if (decided !== undefined) this.send(decided.batch, decided.events);
    else if (this.holding) {
      const { client } = this;
      await this.inTime(client, () => this.letGoOfHead(client, 'ROLLBACK'));
    }
  }

  /** One of these needs an event that cannot be read; its neighbours do not. Halved until it is alone, like a batch that broke. */
  private setApart(taken: readonly Queued[], error: ArchiveUnreadable): void {
    const [culprit] = taken;
    if (taken.length === 1 && culprit !== undefined) this.fail(culprit, error);
    else {
      for (const queued of taken) queued.limit = Math.min(queued.limit, Math.ceil(taken.length / 2));
      this.waiting.unshift(...taken);
    }
  }

  /**
   * Reads what those who wait will need while others are under way, so that the next batch need not wait for it as well. It may
   * be dropped again before it is used, and is then read like anything else.
   * @returns whether there was anything to read
   */
  private async readAhead(): Promise<boolean> {
    const needs = this.waiting.slice(0, unitsMax).map(({ unit }) => unit.needs);
    // Entries that are to be reversed are always read, at the moment when they are needed.
    const codes = [{ codes: needs.flatMap(({ codes }) => codes), entries: [] }];
    this.cold = !this.memory.has(codes);
    if (!this.cold) return false;
    (await this.memory.load(codes))();
    this.cold = false;
    return true;
  }

  /** Waits for the head's lock like any other writer; what others appended meanwhile is folded while nobody can append more. */
  private async holdHead(client: Client): Promise<void> {
    const head = await this.inTime(client, async () => {
      await client.query('BEGIN');
      this.holding = true;
      return this.owner.store.holdHead(client, this.bookId);
    });
    await this.memory.catchUp(head);
    await this.memory.takeUp();
  }

  private async letGoOfHead(client: Client, how: 'COMMIT' | 'ROLLBACK'): Promise<void> {
    await client.query(how);
    this.holding = false;
  }

  /** A server that is stopped, locked or cut off without a word never answers: its connection is ended, the outcome is unknown. */
  private inTime<T>(client: Client, work: () => Promise<T>): Promise<T> {
    const patience = setTimeout(() => endAtOnce(client), this.owner.options.appendTimeoutMs);
    return work().finally(() => clearTimeout(patience));
  }

  /** At most half of those waiting, so that the next batch has something to overlap with; all of them when nothing may overlap. */
  private take(depth: number): Queued[] {
    const share = depth === 1 ? this.waiting.length : Math.ceil(this.waiting.length / 2);
    let count = 0;
    let events = 0;
    let bytes = 0;
    let limit = Math.min(unitsMax, share);
    while (count < this.waiting.length) {
      const { unit, limit: own } = this.waiting[count] as Queued;
      limit = Math.min(limit, own);
      if (count >= limit) break;
      events += unit.events;
      bytes += unit.bytes * bytesPerCommandByte;
      if (count > 0 && (events > eventsMax || bytes > bytesMax)) break;
      count++;
    }
    return this.waiting.splice(0, Math.max(1, count));
  }

  /** Decides units in memory, one after the other; refused ones leave a receipt only. */
  private decide(taken: readonly Queued[]): { readonly batch: Batch; readonly events: readonly NewEvent[] } | undefined {
    const changes = new BatchChanges(this.memory.head);
    const { head, floor } = this.memory;
    const recordedAt = Math.max(this.owner.now(), head.recordedAt + 1, floor + 1);
    const events: NewEvent[] = [];
    const receipts: Receipt[] = [];
    const decided: Queued[] = [];
    const contexts = new Map<string, ContextRow>();
    for (const queued of taken) {
      const { unit } = queued;
      if (this.memory.book() === undefined && !unit.opensBook) {
        this.fail(queued, new LedgerError('book_unknown', `there is no book ${this.bookId}`, { book: this.bookId }));
        continue;
      }
      const decision = new Decision(this.memory, unit.actor);
      let receipt: Receipt;
      try {
        const { status, body } = unit.decide(decision, recordedAt);
        const position = decision.uncommitted.length > 0 ? this.memory.head.position + 1 : undefined;
        receipt = receiptOf(unit, status, body, position, unit.members(false));
        this.memory.apply(decision, changes);
        collect(decision, unit, events);
        this.memory.head = { ...this.memory.head, position: head.position + events.length };
      } catch (error) {
        if (!isRemembered(error)) {
          this.fail(queued, error);
          continue;
        }
        receipt = receiptOf(unit, statusOf(error.kind), problemBody(error), undefined, unit.members(true));
      }
      receipts.push(receipt);
      decided.push(queued);
      if (unit.context !== undefined) contexts.set(unit.context.hash.toString('latin1'), unit.context);
    }
    if (decided.length === 0) {
      this.memory.head = head;
      // That there is no book is told from memory, with no append that would check it: looked up anew for those who come next.
      if (this.memory.book() === undefined && this.underWay.length === 0) this.memory.drop();
      return undefined;
    }
    const headAfter: Head = { position: head.position + events.length, tail: randomUUID(), recordedAt };
    this.memory.head = headAfter;
    // Without its events: once they are encoded nobody needs them, and what lives on costs the garbage collector.
    return { batch: { queued: decided, receipts, changes, contexts: [...contexts.values()], headAfter, settled: false }, events };
  }

  private send(batch: Batch, events: readonly NewEvent[]): void {
    const { changes, headAfter, receipts, contexts } = batch;
    this.underWay.push(batch);
    const { client } = this;
    if (client === undefined) throw new Error('a batch is sent without a connection');
    let sent: Promise<AppendOutcome>;
    try {
      const streams = this.memory.expectations(changes);
      sent = this.owner.store.append(client, {
        bookId: this.bookId,
        head: changes.headBefore,
        newTail: headAfter.tail,
        recordedAt: headAfter.recordedAt,
        events,
        streams,
        receipts,
        contexts,
        names: namesOf(changes),
      });
      // Under the lock the append is durable only with the COMMIT, which is therefore part of it.
      if (this.holding) {
        sent = sent.then(
          (outcome) => this.letGoOfHead(client, 'COMMIT').then(() => outcome),
          (error) => this.letGoOfHead(client, 'ROLLBACK').then(() => Promise.reject(error)),
        );
      }
    } catch (error) {
      sent = Promise.reject(error);
    }
    this.inTime(client, () => sent).then(
      (outcome) => this.arrived(batch, outcome),
      (error) => this.broke(batch, error),
    );
  }

  private arrived(batch: Batch, outcome: AppendOutcome): void {
    batch.settled = true;
    if (outcome.kind !== 'appended') {
      this.failure ??= { batch, outcome };
      this.signal();
      return;
    }
    this.underWay.splice(this.underWay.indexOf(batch), 1);
    this.memory.acknowledge(batch.changes);
    this.backoffMs = 0;
    this.lostRaces = 0;
    // A clock that was turned back, or put right again after the database had corrected it.
    if (outcome.clock - batch.headAfter.recordedAt > clockSlackMicros) this.owner.correctClock(outcome.clock);
    if (this.calm < calmAppends) this.calm++;
    batch.queued.forEach((queued, index) => {
      this.finish(queued, batch.receipts[index] as Receipt);
    });
    if (batch.headAfter.position > batch.changes.headBefore.position)
      this.owner.options.onAppended?.(this.bookId, batch.headAfter.position);
    this.signal();
  }

  private broke(batch: Batch, error: unknown): void {
    batch.settled = true;
    this.failure ??= { batch, error };
    this.signal();
  }

  private settled(unit: Unit): void {
    this.bytes -= unit.bytes;
    this.owner.settled(unit);
  }

  private finish(queued: Queued, receipt: Receipt): void {
    this.byKey.delete(queued.unit.name);
    this.settled(queued.unit);
    queued.unit.done(receipt, true);
    for (const follower of queued.followers) {
      this.settled(follower);
      follower.done(receipt, false);
    }
  }

  private fail(queued: Queued, error: unknown): void {
    this.byKey.delete(queued.unit.name);
    this.settled(queued.unit);
    queued.unit.failed(error, queued.sent);
    // Those behind it are commands in their own right: they try for themselves.
    const [next, ...rest] = queued.followers;
    if (next === undefined) return;
    const heir: Queued = { unit: next, followers: rest, sent: false, conflicted: false, limit: queued.limit };
    this.byKey.set(next.name, heir);
    this.waiting.push(heir);
  }

  /** Takes back everything under way, in memory, and puts its units in front of the queue again, in order (rule 3). */
  private requeue(): readonly Queued[] {
    const batches = this.underWay.splice(0);
    for (const batch of [...batches].reverse()) this.memory.rollBack(batch.changes);
    const units = batches.flatMap(({ queued }) => queued);
    this.waiting.unshift(...units);
    return units;
  }

  private async recover(failure: Failure): Promise<void> {
    const requeued = this.requeue();
    this.failure = undefined;
    if (!('outcome' in failure)) return this.recoverFrom(failure.error, failure.batch, requeued);
    const { outcome } = failure;
    switch (outcome.kind) {
      case 'head_moved':
        this.calm = 0;
        this.lostRaces++;
        return this.memory.catchUp(outcome.head);
      case 'clock_refused':
        this.memory.floor = Math.max(this.memory.floor, outcome.above);
        // Also one that lags: every query that asks about a moment ago would refuse the next append again.
        this.owner.correctClock(outcome.clock);
        return;
      case 'keys_known':
        for (const receipt of outcome.receipts) this.answerKnown(receipt);
    }
  }

  private answerKnown(receipt: Receipt): void {
    const name = nameOf(this.bookId, receipt);
    const queued = this.byKey.get(name);
    if (queued === undefined) return;
    const index = this.waiting.indexOf(queued);
    if (index >= 0) this.waiting.splice(index, 1);
    this.byKey.delete(name);
    this.settled(queued.unit);
    queued.unit.known(receipt, queued.sent);
    for (const follower of queued.followers) {
      this.settled(follower);
      follower.known(receipt, false);
    }
  }

  /** An error that no outcome stands for: a lost connection, a busy server, or something about one command. */
  private async recoverFrom(error: unknown, batch?: Batch, requeued: readonly Queued[] = []): Promise<void> {
    this.memory.drop();
    if (isConnectionLost(error) || isTransient(error)) {
      for (const queued of requeued) queued.sent = true;
      this.release(false);
      return this.backOff(error);
    }
    if (batch === undefined) {
      // Not about a batch: reading states failed in a way that will not pass. Whoever waits is told.
      for (const queued of this.waiting.splice(0)) this.fail(queued, error);
      return;
    }
    if (batch.queued.length === 1) {
      const [culprit] = batch.queued as [Queued];
      if (error instanceof VersionConflict && !culprit.conflicted) {
        culprit.conflicted = true;
        return;
      }
      this.waiting.splice(this.waiting.indexOf(culprit), 1);
      return this.fail(culprit, error);
    }
    const half = Math.ceil(batch.queued.length / 2);
    for (const queued of batch.queued) queued.limit = Math.min(queued.limit, half);
  }

  private async backOff(error: unknown): Promise<void> {
    const now = performance.now();
    for (const queued of this.waiting.splice(0)) {
      if (queued.unit.deadline > now) this.waiting.push(queued);
      else
        this.fail(
          queued,
          new LedgerError(
            'database_unavailable',
            `the database cannot be reached (${messageOf(error)}); the outcome is unknown, repeat with the same key`,
            { retryAfter: 1 },
          ),
        );
    }
    this.backoffMs = Math.min(backoffMsMax, Math.max(backoffMsMin, this.backoffMs * 2));
    await new Promise((resolve) => setTimeout(resolve, this.backoffMs * (0.5 + Math.random() / 2)));
  }

  private release(usable: boolean): void {
    // A connection inside an SQL transaction is no use to anybody else; ending it gives back the lock.
    if (this.client !== undefined) this.connections.giveBack(this.client, usable && !this.holding);
    this.client = undefined;
    this.holding = false;
  }
}

/** Book, item and key as one text; no book id holds a slash, so book1 with item 0 is not book with item 10. */
export const nameOf = (bookId: string, { key, item }: { readonly key: string; readonly item: number }): string =>
  `${bookId}/${item}/${key}`;

function receiptOf(
  { key, item, command, fingerprint }: Unit,
  status: number,
  answer: string,
  position?: number,
  members?: Receipt['members'],
): Receipt {
  return { key, item, command, fingerprint, status, answer, position, members };
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function namesOf(changes: BatchChanges): { category: string; name: string; streamId: string }[] {
  return [...changes.newCodes].map(([name, streamId]) => ({ category: accountCodes, name, streamId }));
}

/** The decision's events with ids and metadata; a leg names the event that caused it and inherits the rest (I12). */
function collect(decision: Decision, unit: Unit, events: NewEvent[]): void {
  const first = events.length;
  let causedBy = -1;
  let inherited = '';
  for (const event of decision.uncommitted) {
    const { streamId, version, type, data } = event;
    if (event.causedBy === undefined) {
      const metadata = event.reason === undefined ? unit.metadata : unit.metadataBecause(event.reason);
      events.push({ streamId, version, eventType: type, eventId: event.eventId ?? uuidV7(), data, metadata, userId: unit.userId });
      continue;
    }
    if (event.causedBy !== causedBy) {
      causedBy = event.causedBy;
      inherited = `{"causationId":"${events[first + causedBy]?.eventId}"}`;
    }
    events.push({ streamId, version, eventType: type, eventId: uuidV7(), data, metadata: inherited, userId: undefined });
  }
}
