/**
 * Projector: keeps the projections of every book up to its log. Hides cursors, batch boundaries, workers that compete and
 * events that cannot be folded. Guarantees that an event is folded exactly once, in position order, by whole commit batches
 * (I7: rows depend on the log alone, never on how much was read at once), that rows and cursor move in one SQL transaction,
 * and that a bad event stops its projection, and only that one, until it can be folded: it is never skipped.
 *
 * Several processes may run one: the cursor is moved by compare-and-set, so one of them wins and the others back off.
 *
 * Measured on 2 cores shared with PostgreSQL 15 (fsync on), entries of 2 lines in batches of 500, all projections, while COPY
 * of the same events ran at 115,000 events/s: two hot accounts 132,000–142,000 events/s, 10,000 accounts 38,000–44,000.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientBase, Pool } from 'pg';
import type { EventStore, RecordedFact } from '#event-store';
import { isTransient, textArray } from '#postgres';
import { asOf } from './projections/as-of';
import { chart } from './projections/chart';
import { register } from './projections/register';

/** A pool, or one connection of it inside an SQL transaction. */
export type Database = Pick<ClientBase, 'query'>;

/** The events of one commit batch that folds look at. */
export interface Batch {
  /** Position at which the batch ends. */
  readonly last: number;
  readonly events: readonly RecordedFact[];
}

/** What is kept of the events of a book, and how. */
export interface Projection {
  readonly name: string;
  /** Tables of schema projections that it alone writes; emptied for a book when that is folded again. */
  readonly tables: readonly string[];
  /**
   * INSERT … SELECT statements, set-based and bound to the book, which see the rows of all earlier batches. `$book` is the
   * book, `$won` a condition that every row must hang on in WHERE, `$1`, `$2` … the values that fold gives.
   */
  readonly inserts: readonly string[];
  /** The values for each insert: pure, and the same rows come out however the batches are grouped into calls. */
  fold(batches: readonly Batch[]): readonly (readonly unknown[])[];
}

/** Every projection there is. A new one starts at the beginning of each log by itself. */
const projections: readonly Projection[] = [asOf, register, chart];

/** Legs repeat what JournalEntryPosted says (I15), and two thirds of a log are legs. */
const unreadTypes = ['AccountDebited', 'AccountCredited'];

/** A projection that stands before an event that it cannot fold. */
export interface ProjectionFailure {
  readonly bookId: string;
  readonly projection: string;
  /** The event; the batch that it belongs to is the first one that is not folded. */
  readonly position: number;
  readonly message: string;
  /** Milliseconds since 1970 of the first attempt. */
  readonly since: number;
  readonly attempts: number;
}

export interface ProjectorOptions {
  /** Milliseconds between looks at which books have moved on. Default 250. */
  readonly sweepMs?: number;
  /** Events to fold in one SQL transaction; a bigger batch is folded whole. Default 3,000: larger gains nothing. */
  readonly eventsPerFold?: number;
  /** Milliseconds before a bad event is tried again; doubles up to 32 times that. Default 5,000. */
  readonly retryMs?: number;
  /** Told of each failed attempt at an event, and (with `error`) of each time the database did not answer. */
  readonly report?: (problem: ProjectionFailure | { readonly bookId?: string; readonly error: unknown }) => void;
}

/** Books that are folded at the same time. */
const lanesMax = 2;
/** Milliseconds of a book's turn while other books wait for theirs. */
const turnMs = 100;
/** Milliseconds that a book rests once it is folded: under a steady load this makes fewer and fuller folds. */
const restMs = 20;
/** 20, 40, 80 and 160 ms: under load a book commits once in 50. */
const looksMax = 4;
const batchesPerFold = 1_000;
/** More than a deadlock or a connection that was lost. */
const brokenTurnsMin = 2;

/** Whole batches that are read and folded, and not written yet. */
interface Chunk {
  readonly from: number;
  readonly to: number;
  readonly batches: number;
  /** By projection, in the order of the group. */
  readonly folded: readonly (readonly (readonly unknown[])[])[];
}

/** done: there was nothing · caughtUp: what was there when the turn began is folded · more: there is more · lost: another worker was faster. */
type Turn = 'done' | 'caughtUp' | 'more' | 'lost';

export class Projector {
  /** Books that wait for a lane, first come first served. */
  private readonly ready = new Set<string>();
  private readonly active = new Map<string, Promise<void>>();
  private readonly resting = new Map<string, NodeJS.Timeout>();
  /** Books that were woken while they were active or resting. */
  private readonly again = new Set<string>();
  /** How often books that moved were looked at since. */
  private readonly looks = new Map<string, number>();
  /** Turns in a row in which a book could not be folded because of the database, and what that said last. */
  private readonly broken = new Map<string, { readonly turns: number; readonly message: string }>();
  /** By book and projection; retryAt by the clock that nobody turns. */
  private readonly stopped = new Map<string, ProjectionFailure & { readonly retryAt: number }>();
  /** By book and projection: up to where batches are folded one by one, because one of them cannot be folded. */
  private readonly suspects = new Map<string, number>();
  /** Books in which the projections that are ahead are folded in the next turn. */
  private readonly leadersNext = new Set<string>();
  private sweeping: Promise<void> | undefined;
  private sweepTimer: NodeJS.Timeout | undefined;
  private running = false;

  constructor(
    private readonly store: EventStore,
    private readonly pool: Pool,
    private readonly options: ProjectorOptions = {},
  ) {}

  /** Begins to fold, and goes on until stop. */
  start(): void {
    if (this.running) return;
    this.running = true;
    this.sweepLater(0);
  }

  /** Finishes the folds that are under way and begins no more. */
  async stop(): Promise<void> {
    this.running = false;
    clearTimeout(this.sweepTimer);
    for (const timer of this.resting.values()) clearTimeout(timer);
    this.resting.clear();
    this.ready.clear();
    await this.sweeping;
    await Promise.all(this.active.values());
  }

  /** A hint that a book has moved on; cheap, and nothing depends on it. */
  wake(bookId: string): void {
    if (!this.running) return;
    if (this.active.has(bookId) || this.resting.has(bookId)) {
      this.again.add(bookId);
    } else {
      this.ready.add(bookId);
      this.fill();
    }
  }

  /** Projections that stand before an event that they cannot fold. */
  failures(): ProjectionFailure[] {
    return [...this.stopped.values()].map(({ retryAt: _retryAt, ...failure }) => failure);
  }

  /** Books that could not be folded several times in a row because of the database, as when its disk is full. */
  unwritable(): { readonly bookId: string; readonly message: string }[] {
    return [...this.broken].flatMap(([bookId, { turns, message }]) => (turns >= brokenTurnsMin ? [{ bookId, message }] : []));
  }

  /** How far projections are behind the log: in how many books, and by how many events in the one that is furthest behind. */
  async lag(): Promise<{ readonly books: number; readonly events: number }> {
    const { rows } = await this.pool.query<{ books: number; events: number }>({
      name: 'projection-lag',
      text: `SELECT count(*) AS books, coalesce(max(behind), 0) AS events FROM (${behind}) AS b`,
      values: [textArray(projections.map(({ name }) => name)), projections.length],
    });
    return rows[0] ?? { books: 0, events: 0 };
  }

  /**
   * Waits until every projection has folded a book up to a position.
   * @throws Error when one stands before a bad event, or after `timeoutMs`
   */
  async caughtUp(bookId: string, position: number, timeoutMs = 30_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const folded = await foldedUpTo(this.pool, bookId, projections);
      if (folded >= position) return;
      const failure = this.failures().find((known) => known.bookId === bookId && known.position <= position);
      if (failure !== undefined) throw new Error(`${failure.projection} stands before ${bookId}/${failure.position}: ${failure.message}`);
      if (performance.now() > deadline) throw new Error(`${bookId} is folded up to ${folded} only, not ${position}, after ${timeoutMs} ms`);
      this.wake(bookId);
      await sleep(5);
    }
  }

  /**
   * Forgets what was folded of a book, in one SQL transaction; it is then folded again from the first event on. Queries
   * that need the projection wait meanwhile.
   */
  async rebuild(bookId: string, names: readonly string[] = projections.map(({ name }) => name)): Promise<void> {
    const client = await this.pool.connect();
    try {
      await client.query('BEGIN');
      // First the cursors: a worker that folds this book at the moment is waited for, or finds its cursor moved.
      await client.query('UPDATE projections.cursors SET position = 0 WHERE book_id = $1 AND projection = ANY ($2::text[])', [
        bookId,
        textArray(names),
      ]);
      for (const { name, tables } of projections) {
        if (!names.includes(name)) continue;
        for (const table of tables) await client.query(`DELETE FROM projections.${table} WHERE book_id = $1`, [bookId]);
      }
      await client.query('COMMIT');
      client.release();
    } catch (error) {
      client.release(true);
      throw error;
    }
    for (const name of names) this.stopped.delete(`${bookId}/${name}`);
    this.wake(bookId);
  }

  // --- Whose turn it is ---

  private sweepLater(ms: number): void {
    this.sweepTimer = setTimeout(() => {
      this.sweeping = this.sweep();
    }, ms);
  }

  /** Finds books that moved on without a hint: written by another process, or before this one started. */
  private async sweep(): Promise<void> {
    const started = performance.now();
    try {
      const { rows } = await this.pool.query<{ book_id: string }>({
        name: 'changed-heads',
        text: behind,
        values: [textArray(projections.map(({ name }) => name)), projections.length],
      });
      for (const { book_id } of rows) this.wake(book_id);
    } catch (error) {
      this.options.report?.({ error });
    }
    // However many books there are, looking at them takes a twentieth of the time at most.
    if (this.running) this.sweepLater(Math.max(this.options.sweepMs ?? 250, 20 * (performance.now() - started)));
  }

  private fill(): void {
    for (const bookId of this.ready) {
      if (this.active.size >= lanesMax) return;
      this.ready.delete(bookId);
      this.active.set(bookId, this.serve(bookId));
    }
  }

  private async serve(bookId: string): Promise<void> {
    this.again.delete(bookId);
    let turn: Turn | 'broken';
    let message = '';
    try {
      turn = await this.fold(bookId);
    } catch (error) {
      this.options.report?.({ bookId, error });
      turn = 'broken';
      message = messageOf(error);
    }
    this.active.delete(bookId);
    if (!this.running) return;
    const failed = turn === 'broken' ? (this.broken.get(bookId)?.turns ?? 0) + 1 : 0;
    if (failed > 0) this.broken.set(bookId, { turns: failed, message });
    else this.broken.delete(bookId);
    if (turn === 'more') this.ready.add(bookId);
    else if (turn === 'done' || turn === 'caughtUp') this.lookAgain(bookId, turn);
    else this.rest(bookId, (turn === 'lost' ? 100 : Math.min(5_000, 50 * 2 ** failed)) * (1 + Math.random()), true);
    this.fill();
  }

  /**
   * A book that has just moved is likely to move again, and a worker of its own hears of that by no hint. It is looked at after
   * pauses that double, several batches long together, before it is left to a sweep, which may be seconds away where the
   * database is slow to answer.
   */
  private lookAgain(bookId: string, turn: 'done' | 'caughtUp'): void {
    const looks = turn === 'caughtUp' ? 0 : (this.looks.get(bookId) ?? looksMax);
    if (looks < looksMax) this.looks.set(bookId, looks + 1);
    else this.looks.delete(bookId);
    this.rest(bookId, looks < looksMax ? restMs * 2 ** looks : restMs, looks < looksMax);
  }

  private rest(bookId: string, ms: number, always: boolean): void {
    const timer = setTimeout(() => {
      this.resting.delete(bookId);
      if (always || this.again.has(bookId)) this.wake(bookId);
    }, ms);
    this.resting.set(bookId, timer);
  }

  // --- One turn of one book ---

  /**
   * Folds a book for one turn. start() calls it for every book that moved on; tests call it by hand.
   * @returns 'done' when there was nothing that can be folded now
   * @throws what the driver throws when the database does not answer; nothing is lost or folded twice by that
   */
  async fold(bookId: string): Promise<Turn> {
    const started = performance.now();
    const { head, cursors } = await this.positions(bookId);
    const cursorOf = ({ name }: Projection): number => cursors[name] ?? 0;
    const now = performance.now();
    const able = projections.filter((projection) => (this.stopped.get(`${bookId}/${projection.name}`)?.retryAt ?? 0) <= now);
    const from = this.whichFirst(bookId, able.map(cursorOf), head);
    if (from === undefined) return 'done';
    // Those at the same position go together, up to where the next ones stand; from there on with these.
    const group = able.filter((projection) => cursorOf(projection) === from);
    const until = Math.min(head, ...able.map(cursorOf).filter((position) => position > from));
    const careful = group.some(({ name }) => this.suspects.has(`${bookId}/${name}`) || this.stopped.has(`${bookId}/${name}`));
    await this.beginCursors(
      bookId,
      group.filter(({ name }) => cursors[name] === undefined),
    );
    let next = this.prepare(bookId, group, from, until, careful);
    for (;;) {
      const chunk: Chunk | Stuck | undefined = await next;
      if (chunk === undefined) return until < head ? 'more' : 'done';
      if (chunk instanceof Stuck) return await this.fail(bookId, chunk);
      const { to } = chunk;
      // While these rows are written the next ones are made; what was committed never changes, so nothing can go stale.
      const more = to < until && !careful && this.running && (this.ready.size === 0 || performance.now() - started < turnMs);
      if (more) next = this.prepare(bookId, group, to, until, false);
      next.catch(() => {});
      const written = await this.write(bookId, group, chunk);
      if (written === 'lost') return 'lost';
      if (written instanceof Stuck) return await this.fail(bookId, written);
      this.succeeded(bookId, group, to);
      if (!more) return to < head ? 'more' : 'caughtUp';
    }
  }

  /**
   * From which position to fold in this turn: where those that are furthest behind stand, and every other time where those
   * stand that are ahead, so that a projection that is folded anew does not keep the others from what is new.
   */
  private whichFirst(bookId: string, cursors: readonly number[], head: number): number | undefined {
    const behind = cursors.filter((position) => position < head);
    if (behind.length === 0) return undefined;
    const [last, first] = [Math.min(...behind), Math.max(...behind)];
    if (last === first || this.leadersNext.delete(bookId)) return first;
    this.leadersNext.add(bookId);
    return last;
  }

  private async positions(bookId: string): Promise<{ head: number; cursors: Partial<Record<string, number>> }> {
    const { rows } = await this.pool.query<{ head: number; cursors: Record<string, number> | null }>({
      name: 'fold-positions',
      text: `SELECT h.position AS head, (SELECT json_object_agg(c.projection, c.position) FROM projections.cursors c WHERE c.book_id = $1) AS cursors
               FROM log.book_heads h WHERE h.book_id = $1`,
      values: [bookId],
    });
    return { head: rows[0]?.head ?? 0, cursors: rows[0]?.cursors ?? {} };
  }

  private async beginCursors(bookId: string, fresh: readonly Projection[]): Promise<void> {
    if (fresh.length === 0) return;
    await this.pool.query({
      name: 'begin-cursors',
      text: `INSERT INTO projections.cursors (position, book_id, projection) SELECT 0, $1, n FROM unnest($2::text[]) AS n
             ON CONFLICT (book_id, projection) DO NOTHING`,
      values: [bookId, textArray(fresh.map(({ name }) => name))],
    });
  }

  /** Reads and folds the next batches in (from, until]: at least one, and as many more as fit. */
  private async prepare(
    bookId: string,
    group: readonly Projection[],
    from: number,
    until: number,
    careful: boolean,
  ): Promise<Chunk | Stuck | undefined> {
    const ends = (await this.store.batchEnds(bookId, from, careful ? 1 : batchesPerFold)).filter((end) => end <= until);
    const most = from + (this.options.eventsPerFold ?? 3_000);
    const to = ends.findLast((end) => end <= most) ?? ends[0];
    if (to === undefined) return undefined;
    const taken = ends.filter((end) => end <= to);
    let batches: Batch[];
    try {
      const events = await this.store.readFacts(bookId, from, to, unreadTypes);
      let next = 0;
      batches = taken.map((last) => {
        const first = next;
        while (next < events.length && (events[next] as RecordedFact).position <= last) next++;
        return { last, events: events.slice(first, next) };
      });
    } catch (error) {
      if (isTransient(error)) throw error;
      return new Stuck(group, from, to, taken.length, error);
    }
    const folded: (readonly (readonly unknown[])[])[] = [];
    for (const projection of group) {
      try {
        folded.push(projection.fold(batches));
      } catch (error) {
        return new Stuck([projection], from, to, taken.length, error);
      }
    }
    return { from, to, batches: taken.length, folded };
  }

  /**
   * Writes rows and cursors of one chunk in one SQL transaction, which is one statement: the server never waits for Node.
   * @returns 'lost' when another worker was faster, Stuck when a projection cannot be written
   * @throws what the driver throws when the database did not answer: the outcome is unknown, the cursor will tell
   */
  private async write(bookId: string, group: readonly Projection[], chunk: Chunk): Promise<'lost' | Stuck | undefined> {
    const { from, to, folded, batches } = chunk;
    try {
      const { rows } = await this.pool.query<{ won: boolean }>({
        ...foldStatement(group),
        values: [bookId, textArray(group.map(({ name }) => name)), from, to, group.length, ...folded.flat(2)],
      });
      return rows[0]?.won === true ? undefined : 'lost';
    } catch (error) {
      if (isTransient(error)) throw error;
      if ((error as { code?: string }).code === movedInPart) return 'lost';
      const guilty: Projection[] = [];
      for (const [index, projection] of group.entries()) {
        if ((await this.tryOut(bookId, projection, folded[index] ?? [])) !== undefined) guilty.push(projection);
      }
      return new Stuck(guilty.length > 0 ? guilty : group, from, to, batches, error);
    }
  }

  // --- Events that cannot be folded ---

  private succeeded(bookId: string, group: readonly Projection[], to: number): void {
    if (this.suspects.size === 0 && this.stopped.size === 0) return;
    for (const { name } of group) {
      const key = `${bookId}/${name}`;
      this.stopped.delete(key);
      if ((this.suspects.get(key) ?? Number.MAX_SAFE_INTEGER) <= to) this.suspects.delete(key);
    }
  }

  /** Several batches: they are tried again one by one, so that all before the bad one are folded. One: its projections stop. */
  private async fail(bookId: string, stuck: Stuck): Promise<Turn> {
    for (const projection of stuck.projections) {
      const key = `${bookId}/${projection.name}`;
      if (stuck.batches > 1) {
        this.suspects.set(key, stuck.to);
        continue;
      }
      const before = this.stopped.get(key);
      const known = before !== undefined && before.position > stuck.from && before.position <= stuck.to ? before : undefined;
      const bad = known ??
        (await this.badEvent(bookId, projection, stuck)) ?? { position: stuck.from + 1, message: messageOf(stuck.cause) };
      const { position, message } = bad;
      const attempts = (known?.attempts ?? 0) + 1;
      const failure = { bookId, projection: projection.name, position, message, since: known?.since ?? Date.now(), attempts };
      this.stopped.set(key, { ...failure, retryAt: performance.now() + (this.options.retryMs ?? 5_000) * 2 ** Math.min(5, attempts - 1) });
      this.options.report?.(failure);
    }
    return 'more';
  }

  /** The first event of a batch that cannot be read or folded by itself; undefined when each of them can. */
  private async badEvent(
    bookId: string,
    projection: Projection,
    { from, to }: Stuck,
  ): Promise<{ position: number; message: string } | undefined> {
    for (let position = from + 1; position <= to; position++) {
      let problem: unknown;
      try {
        const events = await this.store.readFacts(bookId, position - 1, position, unreadTypes);
        problem = events.length === 0 ? undefined : await this.tryOut(bookId, projection, projection.fold([{ last: position, events }]));
      } catch (error) {
        if (isTransient(error)) throw error;
        problem = error;
      }
      if (problem !== undefined) return { position, message: messageOf(problem) };
    }
    return undefined;
  }

  /**
   * Runs a projection's inserts and takes back what they did.
   * @returns the database's objection, undefined when there is none
   */
  private async tryOut(bookId: string, { inserts }: Projection, values: readonly (readonly unknown[])[]): Promise<unknown> {
    const client = await this.pool.connect();
    try {
      await client.query('BEGIN');
      for (const [index, insert] of inserts.entries()) {
        const own = values[index] ?? [];
        await client.query(withParameters(insert, 1, 'true'), [bookId, ...own]);
      }
      return undefined;
    } catch (error) {
      if (isTransient(error)) throw error;
      return error;
    } finally {
      // Closing the connection ends the SQL transaction whatever state it is in.
      client.release(true);
    }
  }
}

/** Projections that cannot fold or write batches in (from, to]. */
class Stuck {
  constructor(
    readonly projections: readonly Projection[],
    readonly from: number,
    readonly to: number,
    /** How many there are. */
    readonly batches: number,
    readonly cause: unknown,
  ) {}
}

/** division_by_zero, see foldStatement. */
const movedInPart = '22012';

/**
 * Compare-and-set of the group's cursors and all inserts as one statement. The inserts hang on the outcome of the UPDATE, so
 * that comes first: until the end its row locks keep every other worker waiting, to find then that the cursor has moved.
 * When only a part of the cursors could be moved, because another worker folds another group, nothing of it may stay: an
 * error takes it back.
 */
function foldStatement(group: readonly Projection[]): { name: string; text: string } {
  const name = `fold-${group.map((projection) => projection.name).join('-')}`;
  let text = foldStatements.get(name);
  if (text === undefined) {
    let used = 5;
    const inserts = group
      .flatMap((projection) => projection.inserts)
      .map((insert, index) => {
        const part = `w${index} AS (${withParameters(insert, used, '(SELECT won FROM cursor)')})`;
        used += new Set(insert.match(/\$\d+/g)).size;
        return part;
      });
    text = `WITH moved AS (
        UPDATE projections.cursors SET position = $4 WHERE book_id = $1 AND projection = ANY ($2::text[]) AND position = $3 RETURNING 1
      ), cursor AS (
        SELECT CASE count(*) WHEN $5::int THEN true WHEN 0 THEN false ELSE 1 / (count(*) * 0) = 0 END AS won FROM moved
      ), ${inserts.join(', ')} SELECT won FROM cursor`;
    foldStatements.set(name, text);
  }
  return { name, text };
}

const foldStatements = new Map<string, string>();

/** An insert's own `$1` becomes the parameter after `used`; the book is parameter 1. */
const withParameters = (insert: string, used: number, won: string): string =>
  insert.replaceAll('$won', won).replace(/\$(\d+|book)/g, (_, own: string) => (own === 'book' ? '$1' : `$${used + Number(own)}`));

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Books with events that some projection has not folded ($1 names, $2 how many); one of the few statements over all books. */
const behind = `
  SELECT h.book_id, h.position - coalesce(CASE WHEN c.known = $2 THEN c.position END, 0) AS behind
    FROM log.book_heads h,
         LATERAL (SELECT count(*) AS known, min(t.position) AS position FROM projections.cursors t
                   WHERE t.book_id = h.book_id AND t.projection = ANY ($1::text[])) AS c
   WHERE h.position > 0 AND strpos(h.book_id, '~') = 0 AND (c.known < $2 OR c.position < h.position)`;

/** The position up to which all of these projections have folded a book. */
export async function foldedUpTo(database: Database, bookId: string, wanted: readonly Pick<Projection, 'name'>[]): Promise<number> {
  const { rows } = await database.query<{ known: number; position: number | null }>({
    name: 'folded-up-to',
    text: 'SELECT count(*) AS known, min(position) AS position FROM projections.cursors WHERE book_id = $1 AND projection = ANY ($2::text[])',
    values: [bookId, textArray(wanted.map(({ name }) => name))],
  });
  return rows[0]?.known === wanted.length ? (rows[0].position ?? 0) : 0;
}
