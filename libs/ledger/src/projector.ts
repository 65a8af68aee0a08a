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
import type { Pool } from 'pg';
import type { EventStore } from '#event-store';
import { textArray } from '#postgres';
import { badEvent, beginCursors, type Chunk, type FoldedSet, foldedSet, messageOf, readChunk, Stuck, writeChunk } from './fold';
import { foldedUpTo, type Projection } from './projection';
import { beginBuild, compareSets, dropSet, type ProjectionSet, projectionSets, type SetComparison, swapSets } from './projection-sets';
import { asOf } from './projections/as-of';
import { chart } from './projections/chart';
import { dimensions } from './projections/dimensions';
import { keepMonthEnds, monthEndsEvery, passesMonthEnds } from './projections/month-ends';
import { parties } from './projections/parties';
import { register } from './projections/register';

/** Every projection there is. A new one starts at the beginning of each log by itself. */
export const projections: readonly Projection[] = [asOf, register, chart, dimensions, parties];

/** A projection that stands before an event that it cannot fold. */
export interface ProjectionFailure {
  readonly bookId: string;
  /** Its name; with the set's number behind it when it is not the live set. */
  readonly projection: string;
  /** The event; the batch that it belongs to is the first one that is not folded. */
  readonly position: number;
  readonly message: string;
  /** Milliseconds since 1970 of the first attempt. */
  readonly since: number;
  readonly attempts: number;
}

/** How far a projection is behind the log. */
export interface ProjectionLag {
  readonly projection: string;
  /** Books with events that it has not folded. */
  readonly books: number;
  /** Events in the book that is furthest behind. */
  readonly events: number;
  /** Age of the oldest event that it has not folded, by the database's clock; 0 when there is none. */
  readonly seconds: number;
}

export interface ProjectorOptions {
  /** What to fold instead of all that there are. */
  readonly projections?: readonly Projection[];
  /** Milliseconds between looks at which books have moved on. Default 250. */
  readonly sweepMs?: number;
  /** Events to fold in one SQL transaction; a bigger batch is folded whole. Default 3,000: larger gains nothing. */
  readonly eventsPerFold?: number;
  /** Milliseconds before a bad event is tried again; doubles up to 32 times that. Default 5,000. */
  readonly retryMs?: number;
  /** Positions between rows of month ends; what month-ends.ts says when absent. */
  readonly monthEndsEvery?: number;
  /** Told of each failed attempt at an event, and (with `error`) of each time the database did not answer. */
  readonly report?: (problem: ProjectionFailure | { readonly bookId?: string; readonly error: unknown }) => void;
  /** Told of a new version that took the place of the old one, and how their rows compared in the columns that both have. */
  readonly replaced?: (what: { readonly from: ProjectionSet; readonly to: ProjectionSet; readonly comparison: SetComparison }) => void;
}

/** Books that are folded at the same time. */
const lanesMax = 2;
/** Milliseconds of a book's turn while other books wait for theirs. */
const turnMs = 100;
/** Milliseconds that a book rests once it is folded: under a steady load this makes fewer and fuller folds. */
const restMs = 20;
/** 20, 40, 80 and 160 ms: under load a book commits once in 50. */
const looksMax = 4;
/** More than a deadlock or a connection that was lost. */
const brokenTurnsMin = 2;

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
  private readonly projections: readonly Projection[];
  /** Events that this process has folded since it began, by projection. */
  readonly folded = new Map<string, number>();
  /** What this process folds; undefined until the sets were looked at. */
  private sets: readonly FoldedSet[] | undefined;
  /** Sets that it builds beside a live one of an older version. */
  private builds: readonly { readonly projection: Projection; readonly from: ProjectionSet; readonly to: ProjectionSet }[] = [];
  /** Why projections are not folded: their tables are not there, or another release's. */
  private unfit: readonly string[] = [];
  private finishing: Promise<void> | undefined;
  /** Books whose month ends may be due. */
  private readonly monthEndsDue = new Set<string>();
  /** Number of the live set of the register, and that of which all books were looked at for month ends. */
  private registerBuild: number | undefined;
  private monthEndsOf: number | undefined;
  private keeping: Promise<void> | undefined;
  /** By book, by the clock that nobody turns: one whose month ends cannot be made is not tried at every sweep. */
  private readonly monthEndsRetryAt = new Map<string, number>();
  private sweeping: Promise<void> | undefined;
  private sweepTimer: NodeJS.Timeout | undefined;
  private running = false;

  constructor(
    private readonly store: EventStore,
    private readonly pool: Pool,
    private readonly options: ProjectorOptions = {},
  ) {
    this.projections = options.projections ?? projections;
  }

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
    await this.finishing;
    await this.keeping;
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

  /** Why projections are not folded by this process at all: their tables are not there, or those of another release. */
  problems(): readonly string[] {
    return this.unfit;
  }

  /** How far each projection is behind the log. */
  async lag(): Promise<ProjectionLag[]> {
    const { rows } = await this.pool.query<ProjectionLag>({
      name: 'projection-lag',
      text: `SELECT n.name AS projection, count(b.behind) AS books, coalesce(max(b.behind), 0) AS events,
                    coalesce(extract(epoch FROM clock_timestamp() - min(b.oldest))::float8, 0) AS seconds
               FROM unnest($1::text[]) AS n (name)
               LEFT JOIN LATERAL (
                 SELECT h.position - coalesce(c.position, 0) AS behind,
                        (SELECT t.recorded_at FROM log.batches t WHERE t.book_id = h.book_id AND t.last_position > coalesce(c.position, 0)
                          ORDER BY t.last_position LIMIT 1) AS oldest
                   FROM log.book_heads h
                   LEFT JOIN projections.cursors c ON c.book_id = h.book_id AND c.projection = n.name
                  WHERE strpos(h.book_id, '~') = 0 AND h.position > coalesce(c.position, 0)) AS b ON true
              GROUP BY n.name ORDER BY n.name`,
      values: [textArray(this.projections.map(({ name }) => name))],
    });
    return rows.map((row) => ({ ...row, seconds: Math.max(0, row.seconds) }));
  }

  /**
   * Waits until every projection has folded a book up to a position.
   * @throws Error when one stands before a bad event, or after `timeoutMs`
   */
  async caughtUp(bookId: string, position: number, timeoutMs = 30_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const folded = await foldedUpTo(this.pool, bookId, this.projections);
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
  async refold(bookId: string, names: readonly string[] = this.projections.map(({ name }) => name)): Promise<void> {
    const client = await this.pool.connect();
    try {
      await client.query('BEGIN');
      // First the cursors: a worker that folds this book at the moment is waited for, or finds its cursor moved; so is one that derives rows.
      await client.query('SELECT 1 FROM projections.cursors WHERE book_id = $1 ORDER BY projection FOR UPDATE', [bookId]);
      await client.query('UPDATE projections.cursors SET position = 0 WHERE book_id = $1 AND projection = ANY ($2::text[])', [
        bookId,
        textArray(names),
      ]);
      for (const { name, tables } of this.projections) {
        if (!names.includes(name)) continue;
        for (const table of tables) await client.query(`DELETE FROM projections.${table.name} WHERE book_id = $1`, [bookId]);
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
      const sets = await this.lookAtSets();
      const { rows } = await this.pool.query<{ book_id: string }>({
        name: 'changed-heads',
        text: behind,
        values: [textArray(sets.map(({ name }) => name)), sets.length],
      });
      for (const { book_id } of rows) this.wake(book_id);
      await this.lookForMonthEnds();
      if (this.monthEndsDue.size > 0 && this.running) this.keeping ??= this.keepDueMonthEnds().finally(() => (this.keeping = undefined));
      if (this.builds.length > 0 && this.running) this.finishing ??= this.finishBuilds().finally(() => (this.finishing = undefined));
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

  // --- Which sets ---

  /** What there is to fold for this release, as the database stands now; begins to build what has an older version. */
  private async lookAtSets(): Promise<readonly FoldedSet[]> {
    const known = await projectionSets(this.pool);
    const sets: FoldedSet[] = [];
    const builds: { projection: Projection; from: ProjectionSet; to: ProjectionSet }[] = [];
    const unfit: string[] = [];
    for (const projection of this.projections) {
      const { name, version, previous } = projection;
      const own = known.filter((set) => set.projection === name);
      const live = own.find(({ state }) => state === 'live');
      if (name === register.name) this.registerBuild = live?.version === version ? live.build : undefined;
      if (live === undefined) {
        unfit.push(`the tables of projection ${name} are not there: run book-keeper migrate`);
      } else if (live.version === version) {
        sets.push(foldedSet(projection));
      } else if (live.version > version) {
        unfit.push(
          `projection ${name} is live in version ${live.version}, this release folds version ${version}: run the release that made it`,
        );
      } else {
        if (previous?.version === live.version) sets.push(foldedSet(previous));
        const building = own.find(({ state }) => state === 'building');
        const to = await this.buildOf(projection, building);
        if (to === undefined) {
          unfit.push(
            `projection ${name} is live in version ${live.version}, and version ${version} cannot be built because set ${building?.build} is being built: finish or drop that`,
          );
          continue;
        }
        sets.push(foldedSet(projection, to.build));
        builds.push({ projection, from: live, to });
      }
    }
    this.unfit = unfit;
    this.builds = builds;
    this.sets = sets;
    return sets;
  }

  /** The set in which a newer version is built: the one that there is, or a new one. @returns undefined when another one is in the way */
  private async buildOf(projection: Projection, building: ProjectionSet | undefined): Promise<ProjectionSet | undefined> {
    if (building?.madeBy === 'command' || (building !== undefined && building.version > projection.version)) return undefined;
    if (building?.version === projection.version) return building;
    // Begun by a release between the live version's and this one.
    if (building !== undefined) await dropSet(this.pool, building.build);
    return beginBuild(this.pool, projection, { madeBy: 'service', indexed: true });
  }

  /** Puts new versions that have caught up in the place of the old ones. */
  private async finishBuilds(): Promise<void> {
    for (const { projection, from, to } of this.builds) {
      try {
        const { rows } = await this.pool.query<{ behind: boolean }>({
          name: 'build-behind',
          text: `SELECT EXISTS (SELECT FROM log.book_heads h LEFT JOIN projections.cursors c ON c.book_id = h.book_id AND c.projection = $1
                                 WHERE strpos(h.book_id, '~') = 0 AND h.position - coalesce(c.position, 0) > $2) AS behind`,
          values: [foldedSet(projection, to.build).name, this.eventsPerFold],
        });
        if (rows[0]?.behind !== false) continue;
        const comparison = await compareSets(this.pool, projection, { left: from, right: to, continues: () => this.running });
        if (comparison === undefined || !this.running) return;
        if ((await swapSets(this.pool, this.store, projection, to.build, { continues: () => this.running })) !== 'swapped') continue;
        this.options.replaced?.({ from, to, comparison });
        await this.lookAtSets();
      } catch (error) {
        this.options.report?.({ error });
      }
    }
  }

  /** After a start, and after another set of the register became live, they may be due in any book: also in one that is at rest. */
  private async lookForMonthEnds(): Promise<void> {
    const build = this.registerBuild;
    if (build === undefined || build === this.monthEndsOf) return;
    const { rows } = await this.pool.query<{ book_id: string }>({
      name: 'books-with-month-ends',
      text: `SELECT h.book_id FROM log.book_heads h JOIN projections.cursors c ON c.book_id = h.book_id AND c.projection = $1 WHERE c.position >= $2`,
      values: [register.name, this.options.monthEndsEvery ?? monthEndsEvery],
    });
    for (const { book_id } of rows) this.monthEndsDue.add(book_id);
    this.monthEndsOf = build;
  }

  /** Beside the folds, which they would hold up, because nobody needs them to be there. */
  private async keepDueMonthEnds(): Promise<void> {
    if (this.registerBuild === undefined) return; // the live set is of another version
    for (const bookId of this.monthEndsDue) {
      if ((this.monthEndsRetryAt.get(bookId) ?? 0) > performance.now()) continue;
      // Before, since a fold may pass the next position meanwhile.
      this.monthEndsDue.delete(bookId);
      try {
        await this.keepMonthEnds(bookId, () => this.running);
        this.monthEndsRetryAt.delete(bookId);
      } catch (error) {
        this.monthEndsRetryAt.set(bookId, performance.now() + 20 * (this.options.retryMs ?? 5_000));
        this.monthEndsDue.add(bookId);
        this.options.report?.({ bookId, error });
      }
    }
  }

  /**
   * Makes the month ends of a book that are due. start() does so when a fold passes a position where they may be; tests call it by hand.
   * @returns the positions whose rows were made
   */
  keepMonthEnds(bookId: string, continues: () => boolean = () => true): Promise<number[]> {
    return keepMonthEnds(this.pool, bookId, register, { every: this.options.monthEndsEvery, continues });
  }

  private get eventsPerFold(): number {
    return this.options.eventsPerFold ?? 3_000;
  }

  // --- One turn of one book ---

  /**
   * Folds a book for one turn. start() calls it for every book that moved on; tests call it by hand.
   * @returns 'done' when there was nothing that can be folded now
   * @throws what the driver throws when the database does not answer; nothing is lost or folded twice by that
   */
  async fold(bookId: string): Promise<Turn> {
    const started = performance.now();
    const sets = this.sets ?? (await this.lookAtSets());
    const { head, cursors } = await this.positions(bookId);
    // The live set was replaced by another version a moment ago.
    const moved = sets.some(({ name, version }) => (cursors[name]?.version ?? version) !== version);
    if (moved) {
      await this.lookAtSets();
      return 'lost';
    }
    const cursorOf = ({ name }: FoldedSet): number => cursors[name]?.position ?? 0;
    const now = performance.now();
    const able = sets.filter(({ name }) => (this.stopped.get(`${bookId}/${name}`)?.retryAt ?? 0) <= now);
    const from = this.whichFirst(bookId, able.map(cursorOf), head);
    if (from === undefined) return 'done';
    // Those at the same position go together, up to where the next ones stand; from there on with these.
    const group = able.filter((set) => cursorOf(set) === from);
    const until = Math.min(head, ...able.map(cursorOf).filter((position) => position > from));
    const careful = group.some(({ name }) => this.suspects.has(`${bookId}/${name}`) || this.stopped.has(`${bookId}/${name}`));
    await beginCursors(
      this.pool,
      bookId,
      group.filter(({ name }) => cursors[name] === undefined),
    );
    const prepare = (after: number): Promise<Chunk | Stuck | undefined> =>
      readChunk(this.store, group, bookId, {
        ...{ from: after, until, eventsMax: this.eventsPerFold },
        ...(careful ? { batchesMax: 1 } : {}),
      });
    let next = prepare(from);
    for (;;) {
      const chunk: Chunk | Stuck | undefined = await next;
      if (chunk === undefined) return until < head ? 'more' : 'done';
      if (chunk instanceof Stuck) return await this.fail(bookId, chunk);
      const { to } = chunk;
      // While these rows are written the next ones are made; what was committed never changes, so nothing can go stale.
      const more = to < until && !careful && this.running && (this.ready.size === 0 || performance.now() - started < turnMs);
      if (more) next = prepare(to);
      next.catch(() => {});
      const written = await writeChunk(this.pool, group, bookId, chunk);
      if (written === 'lost') {
        await this.lookAtSets();
        return 'lost';
      }
      if (written instanceof Stuck) return await this.fail(bookId, written);
      for (const { name } of group) this.folded.set(name, (this.folded.get(name) ?? 0) + to - chunk.from);
      this.succeeded(bookId, group, to);
      if (passesMonthEnds(chunk, this.options.monthEndsEvery) && group.some(({ name }) => name === register.name))
        this.monthEndsDue.add(bookId);
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

  private async positions(
    bookId: string,
  ): Promise<{ head: number; cursors: Partial<Record<string, { readonly position: number; readonly version: number }>> }> {
    const { rows } = await this.pool.query<{ head: number; cursors: Record<string, { position: number; version: number }> | null }>({
      name: 'fold-positions',
      text: `SELECT h.position AS head,
                    (SELECT json_object_agg(c.projection, json_build_object('position', c.position, 'version', c.version))
                       FROM projections.cursors c WHERE c.book_id = $1) AS cursors
               FROM log.book_heads h WHERE h.book_id = $1`,
      values: [bookId],
    });
    return { head: rows[0]?.head ?? 0, cursors: rows[0]?.cursors ?? {} };
  }

  // --- Events that cannot be folded ---

  private succeeded(bookId: string, group: readonly FoldedSet[], to: number): void {
    if (this.suspects.size === 0 && this.stopped.size === 0) return;
    for (const { name } of group) {
      const key = `${bookId}/${name}`;
      this.stopped.delete(key);
      if ((this.suspects.get(key) ?? Number.MAX_SAFE_INTEGER) <= to) this.suspects.delete(key);
    }
  }

  /** Several batches: they are tried again one by one, so that all before the bad one are folded. One: its projections stop. */
  private async fail(bookId: string, stuck: Stuck): Promise<Turn> {
    for (const set of stuck.sets) {
      const key = `${bookId}/${set.name}`;
      if (stuck.batches > 1) {
        this.suspects.set(key, stuck.to);
        continue;
      }
      const before = this.stopped.get(key);
      const known = before !== undefined && before.position > stuck.from && before.position <= stuck.to ? before : undefined;
      const bad = known ??
        (await badEvent(this.store, this.pool, set, bookId, stuck)) ?? { position: stuck.from + 1, message: messageOf(stuck.cause) };
      const { position, message } = bad;
      const attempts = (known?.attempts ?? 0) + 1;
      const failure = { bookId, projection: set.name, position, message, since: known?.since ?? Date.now(), attempts };
      this.stopped.set(key, { ...failure, retryAt: performance.now() + (this.options.retryMs ?? 5_000) * 2 ** Math.min(5, attempts - 1) });
      this.options.report?.(failure);
    }
    return 'more';
  }
}

/** Books with events that some projection has not folded ($1 names, $2 how many); one of the few statements over all books. */
const behind = `
  SELECT h.book_id, h.position - coalesce(CASE WHEN c.known = $2 THEN c.position END, 0) AS behind
    FROM log.book_heads h,
         LATERAL (SELECT count(*) AS known, min(t.position) AS position FROM projections.cursors t
                   WHERE t.book_id = h.book_id AND t.projection = ANY ($1::text[])) AS c
   WHERE h.position > 0 AND strpos(h.book_id, '~') = 0 AND (c.known < $2 OR c.position < h.position)`;
