/**
 * A writer: the ledger in one process with callers on it, in a closed loop or at a fixed rate. Runs in the bench's own process
 * or as a role in another one (`startRole('writer', …)`), by the same methods. Counts what was acknowledged, so that the books
 * can be held against it; entries are seeded, so that every run posts the same.
 */
import type { Pool } from 'pg';
import { addDays, type EntryLine, type PostEntry } from '#domain';
import { EventStore } from '#event-store';
import { type CommandContext, catalogue, Ledger, Projector, readConfig } from '#ledger';
import { connect, openPool } from '#postgres';
import { generator, zipf } from './statistics';

export interface WriterOptions {
  /** As the login of the service. */
  readonly url: string;
  readonly stateCacheMb?: number;
  /** Folds projections in this process too, as the api does by default. */
  readonly project?: boolean;
}

export interface Load {
  /** Callers take them in turn. */
  readonly books: readonly string[];
  /** Accounts of each book that entries draw from. */
  readonly accounts: number;
  /** uniform and zipf draw from all accounts, hot uses two; one: all lines but the last on the first account. */
  readonly pick: 'uniform' | 'zipf' | 'hot' | 'one';
  /** Lines of an entry, even unless pick is one. */
  readonly lines: number;
  /** In a closed loop how many there are; at a fixed rate how many entries may be under way. */
  readonly callers: number;
  /** Entries per second; absent: as fast as answers come. */
  readonly rate?: number;
  /** Ends by itself after so many entries. */
  readonly entries?: number;
  /** Days from 2024-01-01 on that effective dates are drawn from; absent: all on one day. */
  readonly days?: number;
  /** In every idempotency key; no two loads of a book may share one. */
  readonly tag: string;
}

/** What was acknowledged between mark and read. */
export interface Window {
  readonly entries: number;
  readonly seconds: number;
  /** Processor time of the process. */
  readonly micros: number;
  /** Milliseconds. */
  readonly latencies: readonly number[];
}

/** What was acknowledged from start to stop. */
export interface Acknowledged {
  readonly entries: number;
  /** Sum of all debits, minor units. */
  readonly minor: number;
}

const context = (key: string): CommandContext => ({ key, userId: '01930000-0000-7000-8000-000000000001', source: 'job' });
export const codeOf = (index: number): string => `Assets:${String(index).padStart(7, '0')}`;
export const firstDay = '2024-01-01';
/** Every account has one, so that every line is held against it; none is ever reached. */
export const limits = [{ currency: 'EUR', min: '-99999999999999.00' }] as const;

export class Writer {
  private readonly pool: Pool;
  private readonly ledger: Ledger;
  private readonly projector: Projector;
  private callers: Promise<void>[] = [];
  private stopped = false;
  private held: Promise<void> | undefined;
  private release: () => void = () => {};
  private acknowledged = { entries: 0, minor: 0 };
  private marked = { at: 0, entries: 0, cpu: process.cpuUsage() };
  private latencies: number[] | undefined;

  constructor({ url, stateCacheMb = 256, project = false }: WriterOptions) {
    this.pool = openPool(url, { max: 6 });
    const store = new EventStore(this.pool, catalogue);
    this.projector = new Projector(store, this.pool);
    const config = readConfig({ STATE_CACHE_MB: String(stateCacheMb), COMMAND_DEADLINE_MS: '60000' });
    this.ledger = new Ledger(store, {
      connect: () => connect(url, { pipeline: true }),
      config,
      release: 'bench',
      onAppended: (bookId) => this.projector.wake(bookId),
    });
    if (project) this.projector.start();
  }

  /** Opens a book with accounts and posts to each year of 2024 to 2026, so that later nothing but entries is written. */
  async openBook(bookId: string, accounts: number): Promise<void> {
    const answer = await this.ledger.execute(
      bookId,
      { type: 'OpenBook', id: bookId, name: 'Bench', baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: firstDay },
      context(`open ${bookId}`),
    );
    if (answer.status !== 201) throw new Error(answer.body);
    for (let from = 0; from < accounts; from += 1_000) {
      const codes = Array.from({ length: Math.min(1_000, accounts - from) }, (_, index) => codeOf(from + index));
      await this.all(
        bookId,
        codes.map((code) => ({ type: 'OpenAccount' as const, code, name: code, accountType: 'asset' as const, limits })),
        'account',
      );
    }
    await this.all(
      bookId,
      ['2024-01-15', '2025-01-15', '2026-01-15'].map((day) => entryOf(day, [pair(0, 1, 100)])),
      'first entry',
    );
  }

  private async all(bookId: string, commands: Parameters<Ledger['execute']>[1][], tag: string): Promise<void> {
    const keyOf = (command: (typeof commands)[number], index: number): string => `${tag} ${'code' in command ? command.code : index}`;
    const answers = await Promise.all(
      commands.map((command, index) => this.ledger.execute(bookId, command, context(keyOf(command, index)))),
    );
    const refused = answers.find(({ status }) => status >= 400);
    if (refused !== undefined) throw new Error(refused.body);
  }

  async start(load: Load): Promise<void> {
    this.stopped = false;
    this.acknowledged = { entries: 0, minor: 0 };
    const next = commands(load);
    this.callers =
      load.rate === undefined ? Array.from({ length: load.callers }, () => this.call(load, next)) : [this.pace(load, load.rate, next)];
    // Whoever stops hears of an error; until then it must not end the process.
    for (const caller of this.callers) caller.catch(() => {});
  }

  /** One caller: an entry at a time. */
  private async call(load: Load, next: () => Posting): Promise<void> {
    while (!this.stopped) {
      if (this.held !== undefined) await this.held;
      const posting = next();
      if (load.entries !== undefined && posting.serial > load.entries) return;
      await this.post(posting, performance.now());
    }
  }

  /** At a fixed rate, whatever the answers do; an entry that cannot be sent in time is sent later, and its delay counts. */
  private async pace(load: Load, rate: number, next: () => Posting): Promise<void> {
    const start = performance.now();
    const underWay = new Set<Promise<void>>();
    let failure: unknown;
    for (let sent = 0; !this.stopped && failure === undefined; ) {
      const due = Math.floor(((performance.now() - start) / 1_000) * rate);
      for (; sent < due && underWay.size < load.callers; sent++) {
        const posted: Promise<void> = this.post(next(), start + (sent / rate) * 1_000)
          .catch((error) => {
            failure = error;
          })
          .finally(() => underWay.delete(posted));
        underWay.add(posted);
      }
      await sleep(2);
    }
    await Promise.all(underWay);
    if (failure !== undefined) throw failure;
  }

  /** @param intended when it should have been sent */
  private async post({ bookId, command, minor, key }: Posting, intended: number): Promise<void> {
    const answer = await this.ledger.execute(bookId, command, context(key));
    if (answer.status !== 201 || answer.replayed) throw new Error(`${key}: ${answer.body}`);
    this.acknowledged.entries++;
    this.acknowledged.minor += minor;
    this.latencies?.push(performance.now() - intended);
  }

  /** Callers of a closed loop wait before their next entry until it is called with false. */
  async hold(hold: boolean): Promise<void> {
    if (hold && this.held === undefined) {
      this.held = new Promise((release) => {
        this.release = release;
      });
    } else if (!hold) {
      this.held = undefined;
      this.release();
    }
  }

  /** Begins a measuring window. */
  async mark(): Promise<void> {
    this.latencies = [];
    this.marked = { at: performance.now(), entries: this.acknowledged.entries, cpu: process.cpuUsage() };
  }

  /** Ends it. */
  async read(): Promise<Window> {
    const { at, entries, cpu } = this.marked;
    const seconds = (performance.now() - at) / 1_000;
    const used = process.cpuUsage(cpu);
    const latencies = this.latencies ?? [];
    this.latencies = undefined;
    return { entries: this.acknowledged.entries - entries, seconds, micros: used.user + used.system, latencies };
  }

  /** Waits for the entries under way, or (a load with a number of entries) for all of them. */
  async stop(wait: 'under way' | 'all' = 'under way'): Promise<Acknowledged> {
    this.stopped = wait === 'under way';
    await this.hold(false);
    await Promise.all(this.callers);
    this.callers = [];
    return this.acknowledged;
  }

  async close(): Promise<void> {
    await this.ledger.close();
    await this.projector.stop();
    await this.pool.end();
  }
}

/** One entry to post. */
interface Posting {
  /** From 1. */
  readonly serial: number;
  readonly bookId: string;
  readonly command: PostEntry;
  readonly minor: number;
  readonly key: string;
}

function commands({ books, accounts, pick, lines, days, tag }: Load): () => Posting {
  const random = generator(42);
  const draw = pick === 'zipf' ? zipf(accounts, random) : () => Math.floor(random() * accounts);
  const dates = Array.from({ length: days ?? 0 }, (_, day) => addDays(firstDay, day));
  const twoOf = (): [number, number] => {
    if (pick === 'hot') return random() < 0.5 ? [0, 1] : [1, 0];
    const debit = draw();
    let credit = draw();
    while (credit === debit) credit = draw();
    return [debit, credit];
  };
  let serial = 0;
  return () => {
    serial++;
    const entry: Pair[] = [];
    for (let part = 0; part < (pick === 'one' ? lines - 1 : lines / 2); part++) {
      const [debit, credit] = pick === 'one' ? [0, 1] : twoOf();
      entry.push(pair(debit, credit, 1 + Math.floor(random() * 9_999_999)));
    }
    const minor = entry.reduce((sum, part) => sum + part.minor, 0);
    const command = entryOf(dates[Math.floor(random() * dates.length)] ?? '2026-01-15', entry, pick === 'one');
    return { serial, bookId: books[serial % books.length] as string, command, minor, key: `order-${tag}-${serial}` };
  };
}

interface Pair {
  readonly debit: number;
  readonly credit: number;
  readonly minor: number;
}

const pair = (debit: number, credit: number, minor: number): Pair => ({ debit, credit, minor });
const decimal = (minor: number): string => `${Math.floor(minor / 100)}.${String(minor % 100).padStart(2, '0')}`;

/** @param oneCredit the credits as one line */
function entryOf(effectiveDate: string, pairs: readonly Pair[], oneCredit = false): PostEntry {
  const line = (account: number, side: EntryLine['side'], minor: number): EntryLine => ({
    ...{ account: codeOf(account), side, amount: decimal(minor), currency: 'EUR' },
  });
  const total = pairs.reduce((sum, { minor }) => sum + minor, 0);
  return {
    type: 'PostEntry',
    effectiveDate,
    description: 'Invoice 2026-000123 paid by bank transfer',
    lines: oneCredit
      ? [...pairs.map(({ debit, minor }) => line(debit, 'debit', minor)), line(pairs[0]?.credit ?? 1, 'credit', total)]
      : pairs.flatMap(({ debit, credit, minor }) => [line(debit, 'debit', minor), line(credit, 'credit', minor)]),
  };
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
