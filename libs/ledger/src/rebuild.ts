/**
 * What an operator does with projections: look at their sets, build one again while the old one answers, compare, exchange, drop.
 * Hides the order of a rebuild (fold, index, catch up, compare, exchange) and how it is taken up again. Guarantees that queries are
 * answered all the time, that only rows that are equal take over unless it is asked for otherwise, and that a rebuild that is killed
 * anywhere goes on where it was: what is folded, and how far, stands in one SQL transaction.
 */
import type { Pool, PoolClient } from 'pg';
import { bookIdForm, LedgerError } from '#domain';
import type { EventStore } from '#event-store';
import { copyIn, textArray } from '#postgres';
import {
  beginCursors,
  type Chunk,
  type FoldedSet,
  foldedSet,
  messageOf,
  type ReadBatches,
  readBatches,
  readChunk,
  Stuck,
  writeChunk,
} from './fold';
import { type CopyFold, createIndexes, cursorIn, databaseOf, type Projection, patiently, tableIn } from './projection';
import {
  beginBuild,
  type CompareOptions,
  changingSets,
  compareSets,
  dropSet,
  forgetDerived,
  numberOf,
  type ProjectionSet,
  projectionSets,
  replaceBook,
  type SetComparison,
  swapSets,
} from './projection-sets';
import { keepMonthEnds, monthEnds } from './projections/month-ends';

/** A set with what it holds. */
export interface SetDescription extends ProjectionSet {
  /** Books that it has begun to fold. */
  readonly books: number;
  /** Books with events that it has not folded, and how many of these there are in all; absent of a set that is not folded any more. */
  readonly booksBehind?: number;
  readonly eventsBehind?: number;
  /** Estimated by the database's statistics. */
  readonly rows: number;
  /** With indexes. */
  readonly bytes: number;
}

export interface RebuildProgress {
  readonly phase: 'folding' | 'indexing' | 'comparing' | 'exchanging';
  /** The book, or the table, at hand. */
  readonly at: string;
  /** Events folded by this process, and those that there were to fold when it began or came since. */
  readonly done: number;
  readonly total: number;
  /** Since folding began. */
  readonly seconds: number;
}

export interface RebuildOptions {
  /** Ids of books to fold again; all of them when absent. */
  readonly books?: readonly string[] | undefined;
  /** Exchange although rows differ. */
  readonly acceptDifferences?: boolean;
  /** How many differences to name. Default 10. */
  readonly first?: number;
  readonly eventsPerFold?: number;
  /** See rememberedMax. */
  readonly rememberedMax?: number;
  readonly onProgress?: (progress: RebuildProgress) => void;
  /** Ends the work early with the signal's reason; the same rebuild goes on there when it is asked for again. */
  readonly signal?: AbortSignal;
}

export interface RebuildOutcome {
  readonly set: ProjectionSet;
  /** Whether an earlier rebuild was taken up. */
  readonly resumed: boolean;
  /** Events folded by this process, and in how many seconds. */
  readonly events: number;
  readonly seconds: number;
  /** Of these: folding, with the indexing that it had to stop for, and indexing. */
  readonly foldingSeconds: number;
  readonly indexingSeconds: number;
  readonly comparison: SetComparison;
  /**
   * exchanged: the new set answers, the old one is kept · replaced: the rows of the given books were replaced · equal: of the given books
   * nothing had to be replaced · different: rows differ, nothing was exchanged, the new set is kept.
   */
  readonly became: 'exchanged' | 'replaced' | 'equal' | 'different';
}

/**
 * Things (buckets of running totals) of one book that a rebuild keeps in memory while it copies rows without an index, 250 bytes each; with more
 * of them the indexes are made first, and the rest is folded by statements that look them up.
 */
const rememberedMax = 2_000_000;

/** What the new set may lack before rows are compared; the rest is folded with the exchange. */
const nearEnough = 5_000;

export class Projections {
  /** @param all what there is, for specs that bring their own */
  constructor(
    private readonly pool: Pool,
    private readonly store: EventStore,
    private readonly all: readonly Projection[],
  ) {}

  /** All sets, those of a projection together, the oldest first. */
  async list(): Promise<SetDescription[]> {
    const described: SetDescription[] = [];
    for (const set of await projectionSets(this.pool)) {
      const tables = set.tables.map((table) => tableIn(table, numberOf(set)));
      const { rows } = await this.pool.query<Required<Omit<SetDescription, keyof ProjectionSet>>>({
        name: 'describe-set',
        text: `SELECT count(c.position) AS books, count(*) FILTER (WHERE h.position > coalesce(c.position, 0)) AS "booksBehind",
                      coalesce(sum(greatest(h.position - coalesce(c.position, 0), 0)), 0)::int8 AS "eventsBehind",
                      (SELECT coalesce(sum(greatest(t.reltuples, 0)), 0)::int8 FROM pg_class t WHERE t.relnamespace = 'projections'::regnamespace AND t.relname = ANY ($2::text[])) AS rows,
                      (SELECT coalesce(sum(pg_total_relation_size(t.oid)), 0)::int8 FROM pg_class t WHERE t.relnamespace = 'projections'::regnamespace AND t.relname = ANY ($2::text[])) AS bytes
                 FROM log.book_heads h LEFT JOIN projections.cursors c ON c.book_id = h.book_id AND c.projection = $1
                WHERE h.position > 0 AND strpos(h.book_id, '~') = 0`,
        values: [cursorIn(set.projection, numberOf(set)), textArray(tables)],
      });
      const { booksBehind, eventsBehind, ...held } = rows[0] as (typeof rows)[number];
      const isFolded = set.state === 'live' || set.state === 'building';
      described.push({ ...set, ...held, ...(isFolded ? { booksBehind, eventsBehind } : {}) });
    }
    return described;
  }

  /**
   * Compares a set with another one of its projection.
   * @param build the set; when absent the one that is being built, or else the one that was replaced last
   * @param against the live one when absent
   * @throws LedgerError projection_unknown | book_unknown; Error when there is nothing to compare
   */
  async compare(
    name: string,
    { build, against, ...options }: { readonly build?: number; readonly against?: number } & Omit<CompareOptions, 'left' | 'right'> = {},
  ): Promise<{ readonly left: ProjectionSet; readonly right: ProjectionSet; readonly comparison: SetComparison }> {
    const projection = this.named(name);
    await this.checkBooks(options.books);
    const own = (await projectionSets(this.pool)).filter((set) => set.projection === name);
    const numbered = (number: number): ProjectionSet => {
      const found = own.find((set) => set.build === number);
      if (found === undefined)
        throw new LedgerError(
          'projection_unknown',
          `projection ${name} has no set ${number}; it has ${own.map((set) => `${set.build} (${set.state})`).join(', ')}`,
        );
      return found;
    };
    const left = against === undefined ? own.find(({ state }) => state === 'live') : numbered(against);
    const right =
      build === undefined
        ? (own.find(({ state }) => state === 'building') ?? own.findLast(({ state }) => state === 'retired'))
        : numbered(build);
    if (left === undefined) throw new Error(`projection ${name} has no live set: run book-keeper migrate`);
    if (right === undefined)
      throw new Error(
        `projection ${name} has no set beside the live one to compare it with: book-keeper projections rebuild ${name} makes one`,
      );
    const comparison = await compareSets(this.pool, projection, { ...options, left, right });
    if (comparison === undefined) throw new Error('the comparison was stopped before its end');
    return { left, right, comparison };
  }

  /**
   * Drops a set that is not live.
   * @throws LedgerError projection_unknown when there is none; Error when it is live
   */
  drop(build: number): Promise<ProjectionSet> {
    return dropSet(this.pool, build);
  }

  /**
   * Folds a projection from the first event on into tables of its own, beside the live ones, and puts these in the place of the
   * live ones when their rows are equal. Whoever asks or posts meanwhile is kept waiting for the milliseconds of the exchange only.
   * With `books`, only these are folded, and where they differ and that is accepted their rows are replaced in the live tables.
   * @throws LedgerError projection_unknown | book_unknown; Error when it is of another version than the live set, or an event cannot be folded
   */
  async rebuild(name: string, options: RebuildOptions = {}): Promise<RebuildOutcome> {
    const projection = this.named(name);
    await this.checkBooks(options.books);
    const { live, set, resumed } = await this.beginOrResume(projection);
    const work = new Work(this.pool, this.store, projection, set, options);
    await work.fold(nearEnough);
    if (!work.indexed) {
      await work.index();
      await work.fold(nearEnough);
    }
    await work.vacuum();
    const comparison = await work.compare(live);
    const { foldingSeconds, indexingSeconds } = work;
    const outcome = { set, resumed, events: work.done, seconds: work.seconds, foldingSeconds, indexingSeconds, comparison };
    if (!comparison.equal && options.acceptDifferences !== true) return { ...outcome, became: 'different' };
    if (options.books !== undefined) {
      for (const bookId of options.books) await this.renewBook(projection, set.build, bookId, comparison.equal);
      await dropSet(this.pool, set.build);
      return { ...outcome, became: comparison.equal ? 'equal' : 'replaced' };
    }
    await work.exchange();
    return { ...outcome, became: 'exchanged' };
  }

  /**
   * The book's rows are those of the set, and what is derived from them is made again in any case: sets are not compared in that. A
   * service does so for all books when another set becomes live, not when a book gets other rows.
   */
  private async renewBook(projection: Projection, build: number, bookId: string, equal: boolean): Promise<void> {
    if (equal) await forgetDerived(this.pool, projection, bookId);
    else await replaceBook(this.pool, this.store, projection, build, bookId);
    if (projection.tables.includes(monthEnds)) await keepMonthEnds(this.pool, bookId, projection);
  }

  private async beginOrResume(projection: Projection): Promise<{ live: ProjectionSet; set: ProjectionSet; resumed: boolean }> {
    const { name, version } = projection;
    const own = (await projectionSets(this.pool)).filter((set) => set.projection === name);
    const live = own.find(({ state }) => state === 'live');
    if (live === undefined) throw new Error(`the tables of projection ${name} are not there: run book-keeper migrate`);
    if (live.version !== version)
      throw new Error(
        `projection ${name} is live in version ${live.version}, this release folds version ${version}: ${
          live.version < version ? 'a service of this release builds it by itself' : 'rebuild it with the release that made it'
        }`,
      );
    const known = own.find(({ state, madeBy }) => state === 'building' && madeBy === 'command' && version === projection.version);
    const set =
      known?.version === version
        ? known
        : await beginBuild(this.pool, projection, { madeBy: 'command', indexed: projection.copy === undefined });
    return { live, set, resumed: known !== undefined };
  }

  /** Before anything is begun: a book that there is not has no rows that differ, and would seem to be rebuilt. */
  private async checkBooks(books: readonly string[] = []): Promise<void> {
    for (const book of books) {
      const head = bookIdForm.test(book) ? await this.store.head(book) : undefined;
      if (head === undefined || head.position === 0) throw new LedgerError('book_unknown', `there is no book ${book}`, { book });
    }
  }

  private named(name: string): Projection {
    const found = this.all.find((projection) => projection.name === name);
    if (found === undefined)
      throw new LedgerError(
        'projection_unknown',
        `there is no projection ${name}; there are ${this.all.map((projection) => projection.name).join(', ')}`,
      );
    return found;
  }
}

/** One rebuild. */
class Work {
  done = 0;
  foldingSeconds = 0;
  indexingSeconds = 0;
  indexed: boolean;
  private readonly folded: FoldedSet;
  private readonly began = performance.now();
  private total = 0;

  constructor(
    private readonly pool: Pool,
    private readonly store: EventStore,
    private readonly projection: Projection,
    private readonly set: ProjectionSet,
    private readonly options: RebuildOptions,
  ) {
    this.folded = foldedSet(projection, set.build);
    this.indexed = set.indexed;
  }

  /** Since it began. */
  get seconds(): number {
    return (performance.now() - this.began) / 1_000;
  }

  /** Folds all books until no more than so many events are left in all. */
  async fold(left: number): Promise<void> {
    const began = performance.now();
    await this.foldUntil(left);
    this.foldingSeconds += (performance.now() - began) / 1_000;
  }

  private async foldUntil(left: number): Promise<void> {
    for (;;) {
      const now = (await projectionSets(this.pool)).find(({ build }) => build === this.set.build);
      if (now?.state !== 'building')
        throw new Error(
          `set ${this.set.build} of projection ${this.projection.name} was ${now === undefined ? 'dropped' : 'made live'} by somebody else`,
        );
      const behind = await this.behind();
      const events = behind.reduce((sum, { head, position }) => sum + head - position, 0);
      this.total = this.done + events;
      if (events <= left && (left > 0 ? behind.every(({ known }) => known) : events === 0)) return;
      for (const book of behind) {
        if (this.indexed || this.projection.copy === undefined) await this.foldBook(book);
        else if ((await this.copyBook(book, this.projection.copy(book.bookId))) === 'too much') await this.index();
      }
    }
  }

  private async behind(): Promise<{ bookId: string; head: number; position: number; known: boolean }[]> {
    const { rows } = await this.pool.query<{ bookId: string; head: number; position: number; known: boolean }>({
      name: 'books-behind',
      text: `SELECT h.book_id AS "bookId", h.position AS head, coalesce(c.position, 0) AS position, c.position IS NOT NULL AS known
               FROM log.book_heads h LEFT JOIN projections.cursors c ON c.book_id = h.book_id AND c.projection = $1
              WHERE strpos(h.book_id, '~') = 0 AND h.position > coalesce(c.position, 0) AND ($2::text[] IS NULL OR h.book_id = ANY ($2::text[]))
              ORDER BY h.book_id`,
      values: [this.folded.name, this.options.books === undefined ? null : textArray(this.options.books)],
    });
    return rows;
  }

  private async foldBook({
    bookId,
    head,
    position,
    known,
  }: {
    bookId: string;
    head: number;
    position: number;
    known: boolean;
  }): Promise<void> {
    if (!known) await beginCursors(this.pool, bookId, [this.folded]);
    const read = (from: number): Promise<Chunk | Stuck | undefined> =>
      readChunk(this.store, [this.folded], bookId, { from, until: head, eventsMax: this.options.eventsPerFold ?? 6_000 });
    let next = read(position);
    for (;;) {
      this.options.signal?.throwIfAborted();
      const chunk = await next;
      if (chunk === undefined) return;
      if (chunk instanceof Stuck) throw this.stuck(bookId, chunk);
      // While the server writes these rows Node makes the next ones.
      next = read(chunk.to);
      next.catch(() => {});
      const written = await writeChunk(this.pool, [this.folded], bookId, chunk);
      if (written instanceof Stuck) throw this.stuck(bookId, written);
      // Another rebuild of the same set was faster; the next look tells how far it is.
      if (written === 'lost') return;
      this.done += chunk.to - chunk.from;
      this.tell('folding', bookId);
    }
  }

  /**
   * As foldBook, into tables without indexes: rows go down one connection by COPY, in one SQL transaction with the cursor. What later
   * rows depend on is remembered, which a look-up could not find without an index.
   * @returns 'too much' when there is more to remember than memory is given; what is folded by then is written
   */
  private async copyBook(
    { bookId, head, position, known }: { bookId: string; head: number; position: number; known: boolean },
    copied: CopyFold,
  ): Promise<'done' | 'too much'> {
    if (!known) await beginCursors(this.pool, bookId, [this.folded]);
    const most = this.options.rememberedMax ?? rememberedMax;
    const own = databaseOf(this.pool, this.projection, this.set.build);
    if (position > 0 && !(await copied.resume(own, most))) return 'too much';
    const client = await this.pool.connect();
    let broken = true;
    try {
      const read = (from: number): Promise<ReadBatches | Stuck | undefined> =>
        readBatches(this.store, [this.folded], bookId, { from, until: head, eventsMax: this.options.eventsPerFold ?? 12_000 });
      let next = read(position);
      let writing: Promise<boolean> | undefined;
      for (let at = position; ; ) {
        this.options.signal?.throwIfAborted();
        const batches = await next;
        if (batches === undefined || copied.remembered > most) {
          broken = writing !== undefined && !(await writing);
          return copied.remembered > most ? 'too much' : 'done';
        }
        if (batches instanceof Stuck) {
          await writing;
          throw this.stuck(bookId, batches);
        }
        const { to } = batches;
        // While Node makes these rows the server reads the next events, and writes the rows before.
        next = read(to);
        next.catch(() => {});
        let rows: readonly Buffer[];
        try {
          rows = copied.rows(batches.batches);
        } catch (error) {
          await writing;
          throw this.stuck(bookId, new Stuck([this.folded], at, to, batches.batches.length, error));
        }
        // Another rebuild of the same set was faster: what is remembered here is not what stands there.
        if (writing !== undefined && !(await writing)) return 'done';
        writing = this.copyChunk(client, bookId, at, to, rows);
        writing.catch(() => {});
        this.done += to - at;
        this.tell('folding', bookId);
        at = to;
      }
    } finally {
      client.release(broken);
    }
  }

  /** @returns false when the cursor was not where it was thought to be, and nothing was written */
  private async copyChunk(client: PoolClient, bookId: string, from: number, to: number, rows: readonly Buffer[]): Promise<boolean> {
    await client.query('BEGIN');
    const { rowCount } = await client.query({
      name: 'move-cursor',
      text: 'UPDATE projections.cursors SET position = $5 WHERE book_id = $1 AND projection = $2 AND version = $3 AND position = $4',
      values: [bookId, this.folded.name, this.folded.version, from, to],
    });
    if (rowCount !== 1) {
      await client.query('ROLLBACK');
      return false;
    }
    for (const [index, { name, columns }] of this.projection.tables.entries()) {
      const table = `projections.${tableIn(name, this.set.build)} (${Object.keys(columns).join(', ')})`;
      await copyIn(client, `COPY ${table} FROM STDIN (FORMAT binary)`, rows[index] as Buffer);
    }
    await client.query('COMMIT');
    return true;
  }

  private stuck(bookId: string, { from, to, cause }: Stuck): Error {
    return new Error(
      `${this.folded.name} cannot fold book ${bookId} between positions ${from + 1} and ${to}: ${messageOf(cause)}. The set is kept; run the rebuild again when that is mended`,
      { cause },
    );
  }

  /** Primary key and indexes, in one SQL transaction with the word that they are there. */
  async index(): Promise<void> {
    const began = performance.now();
    await changingSets(this.pool, async (client) => {
      await client.query(`SET LOCAL maintenance_work_mem = '256MB'`);
      for (const table of this.projection.tables) {
        this.options.signal?.throwIfAborted();
        this.tell('indexing', table.name);
        for (const statement of createIndexes(table, this.set.build)) await client.query(patiently(statement, []));
      }
      await client.query('UPDATE projections.builds SET indexed = true WHERE build = $1', [this.set.build]);
    });
    this.indexed = true;
    this.indexingSeconds += (performance.now() - began) / 1_000;
  }

  /** Statistics for plans, and the visibility map for look-ups that end in the index. */
  async vacuum(): Promise<void> {
    const client = await this.pool.connect();
    try {
      await client.query('SET ROLE book_keeper_projector');
      for (const { name } of this.projection.tables) {
        this.options.signal?.throwIfAborted();
        this.tell('indexing', name);
        await client.query(patiently(`VACUUM (ANALYZE) projections.${tableIn(name, this.set.build)}`, []));
      }
    } finally {
      client.release(true);
    }
  }

  async compare(live: ProjectionSet): Promise<SetComparison> {
    const { books, first, signal } = this.options;
    const comparison = await compareSets(this.pool, this.projection, {
      ...{ left: live, right: this.set, books },
      ...(first === undefined ? {} : { first }),
      continues: () => signal?.aborted !== true,
      onTable: (bookId, table) => this.tell('comparing', `${bookId}, ${table}`),
    });
    signal?.throwIfAborted();
    return comparison as SetComparison;
  }

  async exchange(): Promise<void> {
    for (;;) {
      this.tell('exchanging', this.projection.name);
      const outcome = await swapSets(this.pool, this.store, this.projection, this.set.build, {
        continues: () => this.options.signal?.aborted !== true,
      });
      if (outcome === 'swapped') return;
      this.options.signal?.throwIfAborted();
      await this.fold(nearEnough);
    }
  }

  private tell(phase: RebuildProgress['phase'], at: string): void {
    this.options.onProgress?.({ phase, at, done: this.done, total: this.total, seconds: this.seconds });
  }
}
