/**
 * Moves old events to cold storage. Decides what may go, and moves it range by range: file, read back and checked, manifest, and then one SQL
 * transaction that takes the rows out (log.archive_range). Hides the order of these steps; guarantees that whatever is killed at whatever
 * moment, each event stands in the table or in a file that was read back, and counts once: the transaction is the only step that others
 * see, and a file without a range on record is a file that nobody reads.
 *
 * What may go is the beginning of a log up to a whole tile, when all of it is older than asked for, sealed and under a signed checkpoint,
 * folded by every live projection, and every entry of it lies in a period that is closed for ever. Companion logs have no periods and stay.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import type { Client, Pool } from 'pg';
import { type BookState, bookReducer, LedgerError, periodKey } from '#domain';
import {
  type ArchivedEvent,
  type ArchivedRange,
  ArchiveFile,
  archiveFileName,
  archiveManifest,
  ContentHash,
  type EventStore,
  encodeArchive,
  hotEvents,
  instantText,
  noteText,
  subtreeRoot,
  TreeStore,
  tileWidth,
} from '#event-store';
import { textArray } from '#postgres';
import { bookStreamId } from './catalogue';
import { foldedUpTo } from './projection';
import { projections } from './projector';
import { noteOf } from './sealer';
import { hashProblem } from './verify/hashes';

/** Characters of a file; entries may have a megabyte each. Cut at the tile that goes beyond. */
const rangeCharacters = 32 * 1024 * 1024;
/** Fewer events than these wait for others when nobody asked: each range is a file of its own. */
const eventsWorthAFile = 16 * tileWidth;

export interface ArchiverOptions {
  /** A connection of a login that is a member of book_keeper_archiver. */
  readonly connect: () => Promise<Client>;
  /** Days after which events may go. */
  readonly afterDays: number;
  /** Tiles of a file at most; with 256 the subtree root of a full one is a hash of the log's own tree. */
  readonly fileTiles: number;
  /** Between looks at all books. */
  readonly everyMs: number;
  readonly report: (problem: { readonly bookId: string; readonly error: unknown }) => void;
  readonly moved: (range: { readonly bookId: string; readonly events: number; readonly file: string }) => void;
}

/** What may go, and what stands in the way of more. */
export interface ArchivePlan {
  /** Positions up to this one are cold already. */
  readonly cold: number;
  /** Positions after `cold` up to this one may go: whole tiles. */
  readonly upTo: number;
  readonly head: number;
  /** Why no more; in words. */
  readonly because: string;
}

export interface ArchiveProgress {
  readonly bookId: string;
  readonly step: 'read' | 'written' | 'checked' | 'moved';
  /** Events that are cold now, of those that will be. */
  readonly done: number;
  readonly total: number;
  readonly file?: string;
  readonly seconds: number;
}

export interface ArchiveOutcome extends ArchivePlan {
  readonly bookId: string;
  readonly ranges: readonly MovedRange[];
  readonly events: number;
  /** Of the files. */
  readonly fileBytes: number;
  /** Of the rows, without indexes. */
  readonly rowBytes: number;
  readonly seconds: number;
}

interface MovedRange {
  readonly from: number;
  readonly to: number;
  readonly file: string;
  readonly fileBytes: number;
  readonly rowBytes: number;
}

export interface ArchiveQuestion {
  readonly olderThanDays?: number;
  /** Makes the files in memory and says how large they are; nothing is written. */
  readonly dryRun?: boolean;
  /** Only when there are so many events that may go. */
  readonly atLeast?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ArchiveProgress) => void;
}

export class Archiver {
  private readonly trees: TreeStore;
  private running: Promise<void> | undefined;
  private readonly stopping = new AbortController();

  constructor(
    private readonly store: EventStore,
    private readonly pool: Pool,
    private readonly options: ArchiverOptions,
  ) {
    this.trees = new TreeStore(pool);
  }

  /** Looks at all books now and then, and moves what may go. */
  start(): void {
    this.running ??= this.run();
  }

  /** Ends after the range that is being moved. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      let after = '';
      for (;;) {
        const books = await this.store.books(after).catch(() => []); // the next look may find them
        for (const bookId of books) {
          if (signal.aborted) return;
          try {
            await this.archive(bookId, { atLeast: eventsWorthAFile, signal });
          } catch (error) {
            if (!signal.aborted) this.options.report({ bookId, error });
          }
        }
        if (books.length < 1_000) break;
        after = books.at(-1) as string;
      }
      await sleep(this.options.everyMs, undefined, { signal, ref: false }).catch(() => {}); // stopped
    }
  }

  /**
   * Moves what may go.
   * @throws LedgerError book_unknown; ArchiveUnreadable; Error with what to do when there is no place for files or no right to move
   */
  async archive(bookId: string, question: ArchiveQuestion = {}): Promise<ArchiveOutcome> {
    const started = performance.now();
    const seconds = (): number => (performance.now() - started) / 1_000;
    const { dryRun = false, atLeast = 1, signal, onProgress } = question;
    const plan = await this.plan(bookId, question.olderThanDays);
    const ranges: MovedRange[] = [];
    const total = plan.upTo - plan.cold;
    if (total >= atLeast && total > 0) {
      if (!dryRun && this.store.cold.place === undefined)
        throw new Error(
          'there is no place for cold storage: set ARCHIVE_URL to a directory or to s3://BUCKET/PREFIX?endpoint=https://…&region=…',
        );
      const client = dryRun ? undefined : await this.options.connect();
      try {
        for (let at = plan.cold; at < plan.upTo; ) {
          signal?.throwIfAborted();
          const tell = (step: ArchiveProgress['step'], file?: string): void =>
            onProgress?.({ bookId, step, done: at - plan.cold, total, seconds: seconds(), ...(file === undefined ? {} : { file }) });
          const range = await this.moveRange(bookId, at, plan.upTo, client, tell);
          if (range === undefined) break;
          ranges.push(range);
          at = range.to;
          tell('moved', range.file);
          if (!dryRun) this.options.moved({ bookId, events: range.to - range.from + 1, file: range.file });
        }
      } finally {
        await client?.end();
      }
    }
    const sum = (of: (range: MovedRange) => number): number => ranges.reduce((all, range) => all + of(range), 0);
    return {
      ...{ bookId, ...plan, ranges, seconds: seconds() },
      events: sum(({ from, to }) => to - from + 1),
      fileBytes: sum(({ fileBytes }) => fileBytes),
      rowBytes: sum(({ rowBytes }) => rowBytes),
    };
  }

  /** What may go now. @throws LedgerError book_unknown */
  async plan(bookId: string, olderThanDays: number = this.options.afterDays): Promise<ArchivePlan> {
    const book = (await this.store.load(bookId, bookStreamId(bookId), bookReducer as never))?.state as BookState | undefined;
    if (book === undefined) throw new LedgerError('book_unknown', `there is no book ${bookId}`, { book: bookId });
    const [{ position: head }, cold, tree, folded, aged] = await Promise.all([
      this.store.head(bookId),
      this.store.cold.line(bookId),
      this.trees.tree(bookId),
      foldedUpTo(this.pool, bookId, projections),
      this.lastBefore(bookId, olderThanDays),
    ]);
    const signed = tree?.signedSize ?? 0;
    const limits: { readonly upTo: number; readonly because: string }[] = [
      { upTo: head, because: 'all of it is cold, but for a tile that is not full' },
      { upTo: aged, because: `events after position ${aged} are not older than ${olderThanDays} days` },
      { upTo: signed, because: `events after position ${signed} are not under a signed checkpoint yet` },
      { upTo: folded, because: `events after position ${folded} are not folded by every projection yet` },
    ];
    let nearest = limits.reduce((least, limit) => (limit.upTo < least.upTo ? limit : least));
    if (nearest.upTo - cold >= tileWidth) {
      const open = await this.firstOpenEntry(bookId, book, cold, nearest.upTo);
      if (open !== undefined)
        nearest = {
          upTo: open.position - 1,
          because: `the entry at position ${open.position} lies in period ${open.period}, which is not closed for ever`,
        };
    }
    const upTo = Math.max(cold, nearest.upTo - (nearest.upTo % tileWidth));
    return { cold, upTo, head, because: nearest.because };
  }

  /** The last position that was recorded so many days ago. */
  private async lastBefore(bookId: string, days: number): Promise<number> {
    const { rows } = await this.pool.query<{ last_position: number }>(
      `SELECT last_position FROM log.batches WHERE book_id = $1 AND recorded_at < clock_timestamp() - make_interval(days => $2::int4)
        ORDER BY recorded_at DESC LIMIT 1`,
      [bookId, days],
    );
    return rows[0]?.last_position ?? 0;
  }

  /** The first entry after a position that somebody could still post beside. */
  private async firstOpenEntry(
    bookId: string,
    book: BookState,
    after: number,
    upTo: number,
  ): Promise<{ readonly position: number; readonly period: string } | undefined> {
    const closed = book.fiscalYears.flatMap(({ label, periods }) =>
      periods.map(({ no }) => periodKey({ fiscalYear: label, period: no })).filter((key) => book.periods[key]?.status === 'hard_closed'),
    );
    const { rows } = await this.pool.query<{ position: number; period: string }>(
      `SELECT e.position, concat(e.data ->> 'fiscalYear', '/', e.data ->> 'period') AS period FROM log.events e
        WHERE e.book_id = $1 AND e.position > $2 AND e.position <= $3 AND e.event_type = 'JournalEntryPosted'
          AND concat(e.data ->> 'fiscalYear', '/', e.data ->> 'period') <> ALL ($4::text[])
        ORDER BY e.position LIMIT 1`,
      [bookId, after, upTo, textArray(closed)],
    );
    return rows[0];
  }

  /**
   * One range: file, read back, checked, manifest, taken out.
   * @param client undefined: nothing is written
   * @returns undefined when another archiver was faster
   */
  private async moveRange(
    bookId: string,
    after: number,
    upTo: number,
    client: Client | undefined,
    tell: (step: ArchiveProgress['step'], file?: string) => void,
  ): Promise<MovedRange | undefined> {
    const fileEvents = this.options.fileTiles * tileWidth;
    const events = await this.readRange(bookId, after, Math.min(upTo, after - (after % fileEvents) + fileEvents));
    const from = after + 1;
    const to = after + events.length;
    if (events.length === 0) return undefined;
    tell('read');
    const bytes = await encodeArchive(bookId, events);
    const sha256 = createHash('sha256').update(bytes).digest();
    const file = archiveFileName(bookId, from, to, sha256);
    const moved = { from, to, file, fileBytes: bytes.length, rowBytes: await this.rowBytes(bookId, after, to) };
    if (client === undefined) return moved;
    const { cold } = this.store;
    await cold.place?.put(file, bytes);
    tell('written', file);

    const checkpoint = await this.trees.firstCheckpointFrom(bookId, to);
    if (checkpoint === undefined) throw new Error(`no signed checkpoint covers position ${to} of book ${bookId}`);
    const back = { from, to, checkpointSize: checkpoint.size, file, bytes: bytes.length, sha256 };
    const range: ArchivedRange = { ...back, ...(await this.readBack(bookId, await cold.fetch(bookId, { ...back, ...noHashes }), back)) };
    tell('checked', file);
    await cold.place?.put(`${file}.json`, archiveManifest(bookId, range, noteText(noteOf(checkpoint))));

    const { rows } = await client.query<{ moved: boolean }>(
      'SELECT log.archive_range($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::timestamptz) AS moved',
      [bookId, from, to, file, range.bytes, sha256, range.subtreeRoot, range.content, checkpoint.size, instantText(Date.now() * 1_000)],
    );
    return rows[0]?.moved === true ? moved : undefined;
  }

  /** Whole tiles after a position, so many that one file of them is of a good size. */
  private async readRange(bookId: string, after: number, upTo: number): Promise<ArchivedEvent[]> {
    const events: ArchivedEvent[] = [];
    let characters = 0;
    for (let at = after; at < upTo && characters < rangeCharacters; ) {
      // Few of them until it is known how large they are.
      const to = Math.min(upTo, at + (at === after || characters > rangeCharacters / 2 ? tileWidth : 4 * tileWidth));
      const some = await hotEvents(this.pool, bookId, at, to);
      if (some.length !== to - at || some.some(({ position }, index) => position !== at + index + 1)) {
        // Another archiver took them away meanwhile, and the rest is its own.
        if ((await this.store.cold.line(bookId)) > after) return [];
        throw new Error(`of the events ${at + 1} to ${to} of book ${bookId} only ${some.length} are there; run book-keeper verify`);
      }
      for (const event of some) {
        characters += event.data.length + event.metadata.length;
        events.push(event);
      }
      at = to;
    }
    return events;
  }

  /** What the file says, read from where it was put: every leaf hash is made again from what stands there, as verify makes it. */
  private async readBack(
    bookId: string,
    file: ArchiveFile,
    { from, to, file: name }: Pick<ArchivedRange, 'from' | 'to' | 'file'>,
  ): Promise<Pick<ArchivedRange, 'subtreeRoot' | 'content'>> {
    const events: ArchivedEvent[] = [];
    const content = new ContentHash();
    for await (const some of file.events(0, file.count)) {
      // A file has tens of thousands of events: the service answers others in between.
      await turn();
      for (const event of some) {
        content.add(event);
        if (event.position !== from + events.length)
          throw new Error(`${name} has position ${event.position} where ${from + events.length} was written`);
        const problem = hashProblem(bookId, {
          ...event,
          recordedAt: instantText(event.recordedAt),
          leafHash: event.leafHash.toString('hex'),
        });
        if (problem !== undefined) throw new Error(`event ${event.position} of book ${bookId}: ${problem}; run book-keeper verify`);
        events.push(event);
      }
    }
    if (events.length !== to - from + 1) throw new Error(`${name} has ${events.length} events, not ${to - from + 1}`);
    return { subtreeRoot: subtreeRoot(events), content: content.digest() };
  }

  private async rowBytes(bookId: string, after: number, upTo: number): Promise<number> {
    const { rows } = await this.pool.query<{ bytes: number }>(
      'SELECT coalesce(sum(pg_column_size(e.*)), 0)::int8 AS bytes FROM log.events e WHERE book_id = $1 AND position > $2 AND position <= $3',
      [bookId, after, upTo],
    );
    return rows[0]?.bytes ?? 0;
  }
}

const noHashes = { subtreeRoot: Buffer.alloc(0), content: Buffer.alloc(0) };
