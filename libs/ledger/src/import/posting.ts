/**
 * Sending what an import has to say, and seeing to it that each command takes effect once: keys that never collide, a full
 * queue and an unreachable database waited for, many entries under way so that the write queue can commit them in groups, and
 * what an earlier import has posted or was refused told apart from what is new.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ErrorCode, LedgerError } from '#domain';
import { canonicalJson, type Receipt } from '#event-store';
import type { Answer } from '../answer';
import { type Command, normalise } from '../commands';
import type { ImportObserver, ImportOptions, ImportSummary } from '../import';
import { ledgerErrorOf, type Service } from '../service';
import type { Draft, ImportRefusal, Reading } from './entries';

/** Commands under way; more would only wait in the write queue, whose batches hold 500. Half a queue at most, lest it be full. */
const underWayMax = 2_000;
/** Entries whose receipts are looked up in one go. */
const chunkMax = 500;
/** Rests after the database did not answer, doubling. */
const restMs = { first: 100, most: 5_000 } as const;
const defaultPatienceMs = 120_000;
/** Times that one entry was refused under its key, mended in the book, and imported again. */
const attemptsMax = 1_000;

// --- Sending commands ---

/** A command's outcome, and whether this very import brought it about. */
interface Sent {
  readonly answer: Answer;
  readonly fresh: boolean;
}

/** Sends commands until they have an outcome: a full queue and an unreachable database are waited for, with the same key. */
export class Sender {
  private answeredAt = performance.now();
  private failures = 0;
  private pause: Promise<void> | undefined;

  constructor(
    private readonly service: Pick<Service, 'ledger' | 'store'>,
    private readonly options: ImportOptions,
    private readonly observer: ImportObserver,
  ) {}

  /** @throws LedgerError what is no outcome; as `patiently` */
  send(key: string, command: Command): Promise<Sent> {
    const { book, userId } = this.options;
    return this.patiently(async (attempt) => {
      const answer = await this.service.ledger.execute(book, command, { key, userId, source: 'CLI' });
      // The first sending may have been carried out although its answer was lost.
      return { answer, fresh: !answer.replayed || attempt > 1 };
    });
  }

  /** The stored outcomes of commands, by key. */
  async receipts(keys: readonly string[]): Promise<Map<string, Receipt>> {
    const wanted = keys.map((key) => ({ key, item: 0 }));
    const found = await this.patiently(() => this.service.store.receipts(this.options.book, wanted));
    return new Map(found.map((receipt) => [receipt.key, receipt]));
  }

  /** Makes durable what has been read: see `missing`. */
  touch(key: string): Promise<void> {
    return this.patiently(() => this.service.store.touchReceipt(this.options.book, key, 0));
  }

  /** @throws LedgerError unavailable or limited, when patience is at its end or the import was told to stop */
  private async patiently<T>(work: (attempt: number) => Promise<T>): Promise<T> {
    const { signal, patienceMs = defaultPatienceMs } = this.options;
    for (let attempt = 1; ; attempt++) {
      try {
        while (this.pause !== undefined) await this.pause;
        const answer = await work(attempt);
        this.answeredAt = performance.now();
        this.failures = 0;
        return answer;
      } catch (error) {
        const known = ledgerErrorOf(error);
        if (known.kind !== 'unavailable' && known.kind !== 'limited') throw error;
        if (signal?.aborted || performance.now() - this.answeredAt > patienceMs) throw known;
        this.observer.waiting?.(known.message);
        this.rest();
      }
    }
  }

  /** One rest for all commands, after which they go on in the order in which they came. */
  private rest(): void {
    if (this.pause !== undefined) return;
    const ms = Math.min(restMs.first * 2 ** this.failures++, restMs.most);
    this.pause = sleep(ms, undefined, { signal: this.options.signal })
      .catch(() => {}) // told to stop: the next failure ends it
      .then(() => {
        this.pause = undefined;
      });
  }

  /**
   * Sends a command that must be carried out.
   * @param done the refusal that says that it was
   */
  async carryOut(key: string, command: Command, done: ErrorCode): Promise<void> {
    const { answer } = await this.send(key, command);
    if (answer.status < 400) return;
    const { code, detail } = JSON.parse(answer.body) as { code: ErrorCode; detail: string };
    if (code !== done) throw new LedgerError(code, detail);
  }
}

/**
 * The idempotency key of an entry: printable ASCII whatever the names are, never the same for two pairs of names, at most 255
 * characters.
 * @param attempt from 2 on when the book had refused the entry under its keys before; refusals are remembered for ever (I6)
 */
export function importKey(kind: 'entry' | 'account' | 'currency' | 'journal' | 'book', source: string, id: string, attempt = 1): string {
  const prefix = kind === 'entry' ? 'import' : `import-${kind}`;
  const suffix = attempt === 1 ? '' : `#${attempt}`;
  // What encodeURIComponent leaves is ASCII without ':' and '#', so the parts cannot be mistaken for each other.
  const key = `${prefix}:${encodeURIComponent(source)}:${encodeURIComponent(id)}${suffix}`;
  if (key.length <= 255) return key;
  return `${prefix}-sha256:${sha256(JSON.stringify([source, id]))}${suffix}`;
}

export const sha256 = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

// --- Entries ---

/** Posts the entries of the file in its order, many under way at a time, so that the write queue can commit them in groups. */
export class Poster {
  posted = 0;
  alreadyThere = 0;
  ended: ImportSummary['ended'];
  private done = 0;
  private underWay = 0;
  private looking = true;
  private wake: (() => void) | undefined;
  private readonly started = performance.now();

  constructor(
    private readonly service: Pick<Service, 'config'>,
    private readonly sender: Sender,
    private readonly options: ImportOptions,
    private readonly total: number,
    private readonly observer: ImportObserver,
    private readonly refuse: (refusal: ImportRefusal) => void,
  ) {}

  async run(batches: AsyncIterable<readonly { readonly reading: Reading }[]>): Promise<void> {
    try {
      await this.takeAll(batches);
    } catch (error) {
      // The file became unreadable, or the database does not answer; entries under way have their outcome all the same.
      if (!(error instanceof LedgerError)) throw error;
      this.ended ??= this.options.signal?.aborted ? 'signal' : error;
    } finally {
      await this.until(0);
    }
  }

  private async takeAll(batches: AsyncIterable<readonly { readonly reading: Reading }[]>): Promise<void> {
    const { signal, file } = this.options;
    let read = 0;
    let chunk: Draft[] = [];
    for await (const batch of batches) {
      // A faulty one: the survey has refused it and said so.
      for (const { reading } of batch) if ('draft' in reading) chunk.push(reading.draft);
      if (chunk.length < chunkMax) continue;
      read += chunk.length;
      await this.take(chunk);
      chunk = [];
      if (signal?.aborted) this.ended ??= 'signal';
      if (this.ended !== undefined) return;
    }
    read += chunk.length;
    await this.take(chunk);
    if (read !== this.total && this.ended === undefined) {
      this.ended = new LedgerError(
        'malformed',
        `${file} changed while it was imported: it had ${this.total} entries at first, then ${read}; import it again`,
      );
    }
  }

  private async take(drafts: readonly Draft[]): Promise<void> {
    const { signal } = this.options;
    const { QUEUE_PER_BOOK, QUEUE_TOTAL } = this.service.config;
    const most = Math.max(1, Math.min(underWayMax, Math.floor(Math.min(QUEUE_PER_BOOK, QUEUE_TOTAL) / 2)));
    for (const draft of await this.missing(drafts)) {
      await this.until(most - 1);
      if (signal?.aborted) this.ended ??= 'signal';
      if (this.ended !== undefined) return;
      this.begin(draft);
    }
  }

  /**
   * Those that an earlier import has not posted, as far as a look at their receipts tells: sent one by one, each would cost a
   * commit. One touched receipt for all of them makes what was seen durable, for commits become durable in their order (the
   * replay hole, SCALE section 4). Once none was found, the import is past what was posted, and looks no more.
   */
  private async missing(drafts: readonly Draft[]): Promise<readonly Draft[]> {
    if (!this.looking || drafts.length === 0) return drafts;
    const keys = drafts.map(({ txn }) => importKey('entry', this.options.source, txn));
    const receipts = await this.sender.receipts(keys);
    // What is refused, and what differs, is for the ledger to say.
    const there = drafts.map(({ command }, index) => {
      const receipt = receipts.get(keys[index] as string);
      return receipt !== undefined && receipt.status < 400 && receipt.fingerprint === sha256(canonicalJson(normalise(command)));
    });
    const found = keys.find((_, index) => there[index]);
    this.looking = found !== undefined;
    if (found === undefined) return drafts;
    await this.sender.touch(found);
    const missing = drafts.filter((_, index) => !there[index]);
    this.alreadyThere += drafts.length - missing.length;
    this.done += drafts.length - missing.length;
    this.tellProgress();
    return missing;
  }

  get seconds(): number {
    return (performance.now() - this.started) / 1_000;
  }

  private begin(draft: Draft): void {
    this.underWay++;
    this.post(draft)
      .catch((error: unknown) => {
        this.ended ??= new LedgerError('internal', `entry ${draft.txn}: ${(error as Error).message}`, {}, 'internal', { cause: error });
      })
      .finally(() => {
        this.underWay--;
        this.done++;
        this.tellProgress();
        this.wake?.();
      });
  }

  private tellProgress(): void {
    this.observer.progress?.({ done: this.done, total: this.total, seconds: this.seconds });
  }

  /** Waits until at most `most` entries are under way. */
  private async until(most: number): Promise<void> {
    while (this.underWay > most) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  private async post(draft: Draft): Promise<void> {
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const key = importKey('entry', this.options.source, draft.txn, attempt);
      try {
        const { answer, fresh } = await this.sender.send(key, draft.command);
        if (answer.status < 400) {
          if (fresh) this.posted++;
          else this.alreadyThere++;
          return;
        }
        // Refused by an earlier import, for reasons that may have been mended in the book since: the next key decides anew.
        if (!fresh) continue;
        const { code, detail, line } = JSON.parse(answer.body) as { code: ErrorCode; detail: string; line?: number };
        return this.leaveOut(draft, code, detail, line);
      } catch (error) {
        if (!(error instanceof LedgerError)) throw error;
        if (error.kind === 'unavailable' || error.kind === 'limited') {
          this.ended ??= this.options.signal?.aborted ? 'signal' : error;
          return;
        }
        if (error.code !== 'idempotency_key_reused') return this.leaveOut(draft, error.code, error.message);
        const receipt = (await this.sender.receipts([key])).get(key);
        if (receipt === undefined || receipt.status < 400) return this.leaveOutChanged(draft, error);
        // The file was mended after the book had refused the entry: nothing was posted under this key, nor ever will be.
      }
    }
    this.leaveOut(draft, 'internal', `refused under ${attemptsMax} keys`);
  }

  /** @param line of the entry, where the reason lies in one */
  private leaveOut({ txn, file, at, lineAt }: Draft, code: ErrorCode, reason: string, line?: number): void {
    const { onError } = this.options;
    this.refuse({ file, line: (line === undefined ? undefined : lineAt[line - 1]) ?? at, txn, code, reason });
    if (onError === 'stop') this.ended ??= 'refusal';
  }

  private leaveOutChanged(draft: Draft, { details }: LedgerError): void {
    const members = (details.members ?? []) as readonly string[];
    const index = members.map((member) => /^lines\.(\d+)\./.exec(member)?.[1]).find((found) => found !== undefined);
    this.leaveOut(
      draft,
      'idempotency_key_reused',
      `entry ${draft.txn} of source ${this.options.source} was imported with other content; what differs: ${members.join(', ')}. ` +
        'Posted entries are not edited: correct or reverse it in the book; or, if this is another entry, import the file under another source name',
      index === undefined ? undefined : Number(index) + 1,
    );
  }
}
