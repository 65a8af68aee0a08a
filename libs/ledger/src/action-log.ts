/**
 * User actions: who did what and who looked at what, as events of a book's companion log (`BOOK~actions`; `~system` for what concerns
 * no book). Hides how actions of many callers share an append. Guarantees that an action is durable before whoever did it hears of it,
 * that each is recorded once whatever connections and processes do, and that it holds no personal data: who it was is an opaque id,
 * where it came from and what was searched for are salted hashes (contexts.ts).
 *
 * A companion log is a log like that of a book, with positions and a Merkle tree of its own; all of its events are of one stream.
 */
import * as crypto from 'node:crypto';
import type { Client } from 'pg';
import { bookIdForm, LedgerError } from '#domain';
import {
  type AppendOutcome,
  type CommandContext as ContextRow,
  canonicalJson,
  type EventCatalogue,
  type EventStore,
  type Head,
  type NewEvent,
  uuidV5,
  uuidV7,
} from '#event-store';
import { endAtOnce } from '#postgres';
import { Contexts } from './contexts';

export const actionEvents = { UserActed: { aggregateType: 'Actions', version: 1 } } as const satisfies EventCatalogue;

/** What concerns no book, or none that exists. */
export const systemLog = '~system';
export const actionLogOf = (bookId: string): string => `${bookId}~actions`;
/** Whether a log is a companion: no books are kept in it. */
export const isCompanion = (logId: string): boolean => logId.includes('~');
export const actionStreamId = (logId: string): string => uuidV5(`actions:${logId}`);

/** command: asks for a change; read: looks at the books; login: came with a key that is none. */
export const actionKinds = ['command', 'read', 'login'] as const;
export type ActionKind = (typeof actionKinds)[number];

/**
 * done: as asked; partly: of several entries some were refused; begun: the answer is streamed, and what became of it follows; broken_off: it
 * did not end; refused: by the rules of the books or as malformed; denied: the caller may not do it; failed: for a reason of ours.
 */
export const actionOutcomes = ['done', 'partly', 'begun', 'broken_off', 'refused', 'denied', 'failed'] as const;
export type ActionOutcome = (typeof actionOutcomes)[number];

/** Data of UserActed. */
export interface UserActed {
  readonly kind: ActionKind;
  /** Type of the command (PostEntry), or what was read (trial-balance, export, …). */
  readonly action: string;
  readonly outcome: ActionOutcome;
  /** As it was answered: status of HTTP. */
  readonly status?: number;
  /** Of a refusal, of several the first. */
  readonly code?: string;
  /** Entries of a batch or an import that were refused. */
  readonly refused?: number;
  /** What it was about and what was asked for: members of the path and of the query. Texts that somebody typed are digests: SHA-256 of the context's salt and the text. */
  readonly filter?: readonly ActionMember[];
  /** Of the book's log: first event of a command, or what a read holds for. */
  readonly position?: number;
  /** Rows, lines or entries that were given, or posted. */
  readonly rows?: number;
  /** Bytes of an answer that was streamed. */
  readonly bytes?: number;
  /** The answer of the first time was given again. */
  readonly replayed?: true;
  /** So many of the same kind at about the same time, of which this is the first. */
  readonly times?: number;
  /** The action that began what this one ends. */
  readonly begunAs?: string;
  /** Personal texts that were shown, and the ids of the persons, a hundred at most. */
  readonly opened?: { readonly texts: number; readonly parties: readonly string[]; readonly of: number };
}

export interface ActionMember {
  readonly key: string;
  readonly value?: string;
  readonly digest?: string;
}

/** An action with who did it. */
export interface Action {
  /** As it is named in the path; absent where there is none. */
  readonly bookId?: string;
  /** Absent of logins that failed. */
  readonly userId?: string;
  readonly onBehalfOf?: string;
  readonly source: 'REST' | 'GraphQL' | 'CLI' | 'job';
  readonly correlationId?: string;
  readonly commandKey?: string;
  readonly reason?: string;
  readonly ip?: string;
  readonly userAgent?: string;
  readonly said: Omit<UserActed, 'filter'>;
  /** typed: text that somebody typed, of which only a digest is kept. */
  readonly filter?: readonly { readonly key: string; readonly value: string; readonly typed?: boolean }[];
}

export interface ActionLogOptions {
  readonly connect: () => Promise<Client>;
  readonly release: string;
  /** Milliseconds that an action waits for its log before it counts as not recorded. */
  readonly deadlineMs: number;
  /** Milliseconds since 1970; Date.now unless a test turns the clock. */
  readonly clock?: () => number;
}

/** Actions of one append, and their characters: what takes longer than an action may wait would be given up for ever. */
const batchMax = 500;
const batchCharacters = 1024 * 1024;
/** Actions that wait in the process, and their characters; more are refused at once. */
const waitingMax = 50_000;
const waitingCharactersMax = 64 * 1024 * 1024;
/** Members of a filter that are kept, and characters of one that is kept in plain: whoever asks must not be able to fill the log with questions. */
const membersMax = 32;
const plainMax = 200;
/** Logs that append at the same time. */
const connectionsMax = 2;
/** After so many appends that others were faster with, the head is locked first. */
const racesMax = 3;
const backoffMs = { min: 20, max: 1_000 } as const;
/** Logs that are kept in memory. */
const idleMax = 1_000;
/** How often it is looked who has waited too long. */
const lateMs = 250;
/** How long it is believed that a log cannot be written which nobody has tried to write since. */
const staleMs = 10_000;
/** A clock of ours that is further behind the database's is put right. */
const clockSlackMicros = 1_000_000;

interface Waiting {
  readonly event: Omit<NewEvent, 'version'>;
  readonly characters: number;
  readonly context: ContextRow | undefined;
  readonly deadline: number;
  resolve(eventId: string): void;
  reject(error: unknown): void;
}

export class ActionLog {
  private readonly logs = new Map<string, CompanionLog>();
  private readonly contexts = new Contexts();
  private readonly free: Client[] = [];
  private readonly turns: (() => void)[] = [];
  private busy = 0;
  private clockOffset = 0;
  waiting = 0;
  private waitingCharacters = 0;
  private closed = false;

  constructor(
    readonly store: EventStore,
    readonly options: ActionLogOptions,
  ) {}

  /**
   * Records an action.
   * @returns its event id, once it is committed
   * @throws LedgerError actions_unavailable when it could not be recorded in time; it may have been all the same
   */
  async record(action: Action): Promise<string> {
    const context = this.contexts.of(action);
    return this.append(
      () => this.logOf(action.bookId),
      (logId) => eventOf(action, logId, context, this.options.release),
      context,
    );
  }

  /** Records what happened by itself in the log of the installation. @throws LedgerError actions_unavailable as record */
  note(eventType: string, data: object): Promise<string> {
    const metadata = canonicalJson({ release: this.options.release, source: 'job' });
    return this.append(
      async () => systemLog,
      () => ({ streamId: '', eventType, eventId: uuidV7(), data, metadata }),
    );
  }

  private async append(
    logOf: () => Promise<string>,
    eventFor: (logId: string) => Omit<NewEvent, 'version'>,
    context?: ContextRow,
  ): Promise<string> {
    if (this.closed) throw unavailable('the service is stopping');
    if (this.waiting >= waitingMax || this.waitingCharacters >= waitingCharactersMax)
      throw unavailable('too many actions wait to be recorded');
    this.waiting++;
    const deadline = performance.now() + this.options.deadlineMs;
    let characters = 0;
    try {
      const logId = await logOf();
      if (this.closed) throw unavailable('the service is stopping');
      const event = eventFor(logId);
      characters = JSON.stringify(event.data).length + event.metadata.length;
      this.waitingCharacters += characters;
      return await new Promise<string>((resolve, reject) => {
        let log = this.logs.get(logId);
        if (log === undefined) {
          log = new CompanionLog(logId, this);
          this.logs.set(logId, log);
        }
        log.push({ event: { ...event, streamId: log.streamId }, characters, context, deadline, resolve, reject });
      });
    } catch (error) {
      throw error instanceof LedgerError ? error : unavailable((error as Error).message, error);
    } finally {
      this.waiting--;
      this.waitingCharacters -= characters;
    }
  }

  /** Why actions are not recorded at the moment; undefined while they are. */
  problem(): string | undefined {
    const since = performance.now() - staleMs;
    // What failed a while ago and nobody has tried since may be well: whoever asks would never send what tells.
    for (const { failure, isTrying } of this.logs.values())
      if (failure !== undefined && (isTrying || failure.at > since)) return failure.error.message;
    return undefined;
  }

  /** The companion of a book that exists; that of the installation for one that does not, whose id anybody may make up. */
  private async logOf(bookId: string | undefined): Promise<string> {
    const isBook = bookId !== undefined && bookIdForm.test(bookId) && (await this.store.opening(bookId)) !== undefined;
    return isBook ? actionLogOf(bookId) : systemLog;
  }

  /** Waits until what was taken is recorded; takes no more. */
  async close(): Promise<void> {
    this.closed = true;
    await Promise.all([...this.logs.values()].map((log) => log.running));
    await Promise.all(this.free.splice(0).map((client) => client.end()));
  }

  // --- For its logs ---

  now(): number {
    return Math.floor((this.options.clock ?? Date.now)() * 1_000) + this.clockOffset;
  }

  correctClock(databaseMicros: number): void {
    this.clockOffset += databaseMicros - this.now();
  }

  /** Of logs that have nothing to do some are kept, with their heads. */
  rest(logId: string): void {
    if (this.logs.size > idleMax) this.logs.delete(logId);
  }

  /** Runs work on a connection for appends; one that failed is never used again, one that is silent is ended after a while. */
  async withClient<T>(work: (client: Client) => Promise<T>): Promise<T> {
    if (this.busy >= connectionsMax) await new Promise<void>((resolve) => this.turns.push(resolve));
    else this.busy++;
    let client: Client | undefined;
    let patience: NodeJS.Timeout | undefined;
    try {
      client = this.free.pop() ?? (await this.options.connect());
      const used = client;
      patience = setTimeout(() => endAtOnce(used), this.options.deadlineMs);
      const result = await work(client);
      this.free.push(client);
      return result;
    } catch (error) {
      client?.end().catch(() => {}); // it is broken already; there is nobody to tell
      throw error;
    } finally {
      clearTimeout(patience);
      const next = this.turns.shift();
      if (next === undefined) this.busy--;
      else next();
    }
  }
}

/** One log: what waits goes in one append, and while that is under way the next one collects. */
class CompanionLog {
  readonly streamId: string;
  private readonly queue: Waiting[] = [];
  running: Promise<void> | undefined;
  private head: Head | undefined;
  private floor = 0;
  private races = 0;
  private backoff = 0;
  /** Why nothing could be recorded the last time, and when; undefined once something was. */
  failure: { readonly error: Error; readonly at: number } | undefined;
  /** Appends that were never answered, all from the same head: at which position the first event of each stands if it was committed. */
  private doubts: { readonly position: number; readonly batch: readonly Waiting[] }[] = [];

  constructor(
    private readonly logId: string,
    private readonly owner: ActionLog,
  ) {
    this.streamId = actionStreamId(logId);
  }

  push(waiting: Waiting): void {
    this.queue.push(waiting);
    this.running ??= this.run();
  }

  private async run(): Promise<void> {
    // Those who come in the same turn of the loop go along.
    await new Promise((resolve) => setImmediate(resolve));
    // However long the database is silent, nobody waits longer than was promised.
    const late = setInterval(() => this.giveUpLate(this.failure?.error ?? new Error('it did not answer in time')), lateMs);
    while (this.queue.length > 0) {
      try {
        await this.owner.withClient((client) => this.appendSome(client));
        this.backoff = 0;
      } catch (error) {
        this.head = undefined;
        this.fail(error as Error);
        this.giveUpLate(error as Error);
        this.backoff = Math.min(backoffMs.max, Math.max(backoffMs.min, 2 * this.backoff));
        if (this.queue.length > 0) await new Promise((resolve) => setTimeout(resolve, this.backoff));
      }
    }
    clearInterval(late);
    this.running = undefined;
    this.owner.rest(this.logId);
  }

  get isTrying(): boolean {
    return this.running !== undefined;
  }

  private fail(error: Error): void {
    this.failure = { error, at: performance.now() };
  }

  /** Whoever has waited too long is told so; what is in doubt may still turn out to be recorded. */
  private giveUpLate(error: Error): void {
    const now = performance.now();
    for (const waiting of this.queue.splice(0)) {
      if (waiting.deadline > now) {
        this.queue.push(waiting);
        continue;
      }
      this.fail(error);
      waiting.reject(unavailable(error.message, error));
    }
  }

  private async appendSome(client: Client): Promise<void> {
    const { store } = this.owner;
    const holds = this.races >= racesMax;
    if (holds) {
      await client.query('BEGIN');
      this.head = await store.holdHead(client, this.logId);
    }
    this.head ??= await store.head(this.logId);
    if (this.head.position === 0) await store.registerBook(this.logId, this.owner.now());
    await this.settleDoubts();
    const batch = this.next();
    if (batch.length === 0) {
      if (holds) await client.query('ROLLBACK');
      return;
    }
    const { head } = this;
    const recordedAt = Math.max(this.owner.now(), head.recordedAt + 1, this.floor + 1);
    const contexts = new Map(batch.flatMap(({ context }) => (context === undefined ? [] : [[context.hash.toString('latin1'), context]])));
    this.doubts.push({ position: head.position + 1, batch });
    const outcome = await store.append(client, {
      bookId: this.logId,
      head,
      newTail: crypto.randomUUID(),
      recordedAt,
      events: batch.map(({ event }, index) => ({ ...event, version: head.position + index + 1 })),
      streams: [{ streamId: this.streamId, expected: head.position === 0 ? 'new' : head.position }],
      contexts: [...contexts.values()],
    });
    if (holds) await client.query('COMMIT');
    this.took(outcome, batch, recordedAt);
  }

  /** Those who have waited longest: so many, or so much. */
  private next(): readonly Waiting[] {
    const batch: Waiting[] = [];
    let characters = 0;
    for (const waiting of this.queue) {
      characters += waiting.characters;
      if (batch.length === batchMax || (batch.length > 0 && characters > batchCharacters)) break;
      batch.push(waiting);
    }
    return batch;
  }

  private took(outcome: AppendOutcome, batch: readonly Waiting[], recordedAt: number): void {
    switch (outcome.kind) {
      case 'appended':
        this.head = outcome.head;
        this.races = 0;
        if (outcome.clock - recordedAt > clockSlackMicros) this.owner.correctClock(outcome.clock);
        this.recorded(batch);
        return;
      case 'head_moved':
        // This one wrote nothing; one before it, which was never answered, may have been what moved the head.
        this.doubts.pop();
        this.head = outcome.head;
        this.races++;
        return;
      case 'clock_refused':
        this.doubts.pop();
        this.floor = Math.max(this.floor, outcome.above);
        this.owner.correctClock(outcome.clock);
        return;
      default:
        throw new Error(`a companion log has no keys, and ${outcome.kind} was answered`);
    }
  }

  /** An append whose answer was lost was committed, or it never will be: then another event stands in its place. */
  private async settleDoubts(): Promise<void> {
    const position = this.doubts[0]?.position;
    if (position === undefined) return;
    const longest = Math.max(...this.doubts.map(({ batch }) => batch.length));
    const there = await this.owner.store.readStored(this.logId, position - 1, position - 1 + longest, longest);
    // Nothing yet: the same events are sent again from the same head, and of all these appends one can be committed.
    if (there.length === 0) return;
    // One that was sent again may have had more behind it: that which stands there as a whole, and of those the longest.
    const stands = ({ batch }: (typeof this.doubts)[number]): boolean =>
      batch.every(({ event }, index) => there[index]?.eventId === event.eventId);
    const [committed] = this.doubts.filter(stands).sort((one, other) => other.batch.length - one.batch.length);
    this.doubts = [];
    if (committed === undefined) return;
    this.head = await this.owner.store.head(this.logId);
    this.recorded(committed.batch);
  }

  private recorded(batch: readonly Waiting[]): void {
    const done = new Set(batch);
    const left = this.queue.filter((waiting) => !done.has(waiting));
    this.queue.splice(0, this.queue.length, ...left);
    this.doubts = [];
    this.failure = undefined;
    for (const { event, resolve } of batch) resolve(event.eventId);
  }
}

function eventOf(action: Action, logId: string, context: ContextRow | undefined, release: string): Omit<NewEvent, 'version'> {
  const { bookId, userId, onBehalfOf, source, correlationId, commandKey, reason, filter = [], said } = action;
  const metadata = { commandKey, contextHash: context?.hash.toString('hex'), correlationId, onBehalfOf, reason, release, source };
  // A book that there is not: nobody else says which it was.
  const all = bookId !== undefined && logId === systemLog ? [{ key: 'book', value: bookId, typed: true }, ...filter] : filter;
  const members = all.slice(0, membersMax).map((member) => shown(member, context));
  if (all.length > membersMax) members.push({ key: '(more)', value: String(all.length - membersMax) });
  const data: UserActed = { ...said, filter: members.length === 0 ? undefined : members };
  return { streamId: '', eventType: 'UserActed', eventId: uuidV7(), data, metadata: canonicalJson(metadata), userId };
}

function shown({ key, value, typed }: NonNullable<Action['filter']>[number], context: ContextRow | undefined): ActionMember {
  if (typed !== true && value.length <= plainMax) return { key, value };
  const salt = context?.salt ?? crypto.randomBytes(16);
  return { key, digest: crypto.createHash('sha256').update(salt).update(value, 'utf8').digest('hex') };
}

function unavailable(why: string, cause?: unknown): LedgerError {
  return new LedgerError(
    'actions_unavailable',
    `the log of user actions cannot be written (${why}), and nothing is answered that is not recorded there; repeat after a second`,
    { retryAfter: 1 },
    undefined,
    { cause },
  );
}
