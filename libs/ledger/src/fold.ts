/**
 * One fold: whole commit batches of a book become rows of one or several sets. Hides where batches end, the one statement that
 * moves cursors and writes rows, and which event it is that cannot be folded. Guarantees that rows and cursor move together or not
 * at all, by compare-and-set on position and version: a worker that is slower, or of a release that folds another version, writes
 * nothing.
 */
import type { Pool } from 'pg';
import type { EventStore, RecordedFact } from '#event-store';
import { int4Array, isTransient, textArray } from '#postgres';
import { type Batch, cursorIn, type Database, type Projection, type SetNumber, textIn } from './projection';

/** A set of a projection, ready to be folded: its statements lead to its own tables and cursors. */
export interface FoldedSet {
  /** What its cursors are called. */
  readonly name: string;
  readonly projection: Projection;
  readonly version: number;
  /** undefined for the live set. */
  readonly set: SetNumber;
  readonly inserts: readonly string[];
}

/** @param set undefined for the live set */
export const foldedSet = (projection: Projection, set?: SetNumber): FoldedSet => ({
  name: cursorIn(projection.name, set),
  projection,
  version: projection.version,
  set,
  inserts: projection.inserts.map((insert) => textIn(insert, projection, set)),
});

/** Legs repeat what JournalEntryPosted says (I15), and two thirds of a log are legs. */
const unreadTypes = ['AccountDebited', 'AccountCredited'];

const batchesPerFold = 1_000;

/** Whole batches that are read and folded, and not written yet. */
export interface Chunk {
  readonly from: number;
  readonly to: number;
  readonly batches: number;
  /** By set, in the order of the group. */
  readonly folded: readonly (readonly (readonly unknown[])[])[];
}

/** Sets that cannot fold or write batches in (from, to]. */
export class Stuck {
  constructor(
    readonly sets: readonly FoldedSet[],
    readonly from: number,
    readonly to: number,
    /** How many there are. */
    readonly batches: number,
    readonly cause: unknown,
  ) {}
}

/** Whole batches with their events. */
export interface ReadBatches {
  readonly to: number;
  readonly batches: readonly Batch[];
}

/**
 * Reads the next batches in (from, until]: at least one, and as many more as `eventsMax` allows.
 * @param batchesMax at most so many
 * @returns undefined when no batch ends there; Stuck when an event cannot be read
 */
export async function readBatches(
  store: EventStore,
  group: readonly FoldedSet[],
  bookId: string,
  { from, until, eventsMax, batchesMax = batchesPerFold }: { from: number; until: number; eventsMax: number; batchesMax?: number },
): Promise<ReadBatches | Stuck | undefined> {
  const ends = (await store.batchEnds(bookId, from, batchesMax)).filter((end) => end <= until);
  const to = ends.findLast((end) => end <= from + eventsMax) ?? ends[0];
  if (to === undefined) return undefined;
  const taken = ends.filter((end) => end <= to);
  let events: RecordedFact[];
  try {
    events = await store.readFacts(bookId, from, to, unreadTypes);
  } catch (error) {
    if (isTransient(error)) throw error;
    return new Stuck(group, from, to, taken.length, error);
  }
  let next = 0;
  const batches = taken.map((last) => {
    const first = next;
    while (next < events.length && (events[next] as RecordedFact).position <= last) next++;
    return { last, events: events.slice(first, next) };
  });
  return { to, batches };
}

/** Reads the next batches as readBatches does, and folds them for each set of the group. */
export async function readChunk(
  store: EventStore,
  group: readonly FoldedSet[],
  bookId: string,
  range: { from: number; until: number; eventsMax: number; batchesMax?: number },
): Promise<Chunk | Stuck | undefined> {
  const read = await readBatches(store, group, bookId, range);
  if (read === undefined || read instanceof Stuck) return read;
  const { from } = range;
  const { to, batches } = read;
  const folded: (readonly (readonly unknown[])[])[] = [];
  for (const set of group) {
    try {
      folded.push(set.projection.fold(batches));
    } catch (error) {
      return new Stuck([set], from, to, batches.length, error);
    }
  }
  return { from, to, batches: batches.length, folded };
}

/**
 * Makes the cursors that are missing, at 0. A set that is not there any more gets none.
 * @param database outside any SQL transaction that has a snapshot: which sets there are must be seen as it is now
 */
export async function beginCursors(database: Database, bookId: string, fresh: readonly FoldedSet[]): Promise<void> {
  if (fresh.length === 0) return;
  await database.query({
    name: 'begin-cursors',
    text: `INSERT INTO projections.cursors (position, version, book_id, projection)
           SELECT 0, n.version, $1, n.name FROM unnest($2::text[], $3::int4[], $4::text[], $5::int4[]) AS n (name, version, projection, build)
            WHERE EXISTS (SELECT FROM projections.builds b
                           WHERE b.projection = n.projection AND b.version = n.version AND (b.build = n.build OR n.build IS NULL AND b.state = 'live'))
           ON CONFLICT (book_id, projection) DO NOTHING`,
    values: [
      bookId,
      textArray(fresh.map(({ name }) => name)),
      int4Array(fresh.map(({ version }) => version)),
      textArray(fresh.map(({ projection }) => projection.name)),
      int4Array(fresh.map(({ set }) => set)),
    ],
  });
}

/**
 * Writes rows and cursors of one chunk in one SQL transaction, which is one statement: the server never waits for Node.
 * @returns 'lost' when another worker was faster or the live set is of another version now; Stuck when a set cannot be written
 * @throws what the driver throws when the database did not answer: the outcome is unknown, the cursor will tell
 */
export async function writeChunk(
  pool: Pool,
  group: readonly FoldedSet[],
  bookId: string,
  chunk: Chunk,
): Promise<'lost' | Stuck | undefined> {
  try {
    return (await foldInto(pool, group, bookId, chunk)) ? undefined : 'lost';
  } catch (error) {
    if (isTransient(error)) throw error;
    const { code } = error as { code?: string };
    if (code === movedInPart || (code === undefinedTable && group.some(({ set }) => set !== undefined))) return 'lost';
    const { from, to, batches, folded } = chunk;
    const guilty: FoldedSet[] = [];
    for (const [index, set] of group.entries()) {
      if ((await tryOut(pool, set, bookId, folded[index] ?? [])) !== undefined) guilty.push(set);
    }
    return new Stuck(guilty.length > 0 ? guilty : group, from, to, batches, error);
  }
}

/**
 * The statement of writeChunk by itself, for an SQL transaction that does more.
 * @returns whether the cursors stood at `from`, and so whether anything was written
 */
export async function foldInto(
  database: Database,
  group: readonly FoldedSet[],
  bookId: string,
  { from, to, folded }: Chunk,
): Promise<boolean> {
  const { rows } = await database.query<{ won: boolean }>({
    ...foldStatement(group),
    values: [bookId, from, to, group.length, ...folded.flat(2)],
  });
  return rows[0]?.won === true;
}

/** division_by_zero, see foldStatement. */
const movedInPart = '22012';
/** A set beside the live one was dropped. */
const undefinedTable = '42P01';

/**
 * Compare-and-set of the group's cursors and all inserts as one statement. The inserts hang on the outcome of the UPDATE, so
 * that comes first: until the end its row locks keep every other worker waiting, to find then that the cursor has moved.
 * When only a part of the cursors could be moved, because another worker folds another group, nothing of it may stay: an
 * error takes it back.
 */
function foldStatement(group: readonly FoldedSet[]): { name: string; text: string } {
  const name = `fold-${group.map((set) => `${set.name}@${set.version}`).join('-')}`;
  const known = foldStatements.get(name);
  // Two lists of projections in one process (specs) may fold the same names by other statements.
  if (known !== undefined && group.every(({ projection }, index) => known.projections[index] === projection)) return known;
  let used = 4;
  const inserts = group
    .flatMap((set) => set.inserts)
    .map((insert, index) => {
      const part = `w${index} AS (${withParameters(insert, used, '(SELECT won FROM cursor)')})`;
      used += new Set(insert.match(/\$\d+/g)).size;
      return part;
    });
  const cursors = group.map((set) => `projection = '${set.name}' AND version = ${set.version}`);
  const text = `WITH moved AS (
      UPDATE projections.cursors SET position = $3 WHERE book_id = $1 AND position = $2 AND (${cursors.join(' OR ')}) RETURNING 1
    ), cursor AS (
      SELECT CASE count(*) WHEN $4::int THEN true WHEN 0 THEN false ELSE 1 / (count(*) * 0) = 0 END AS won FROM moved
    ), ${inserts.join(', ')} SELECT won FROM cursor`;
  const made = { name: known === undefined ? name : `${name}#${++serial}`, text, projections: group.map(({ projection }) => projection) };
  foldStatements.set(name, made);
  return made;
}

const foldStatements = new Map<string, { name: string; text: string; projections: readonly Projection[] }>();
let serial = 0;

/** An insert's own `$1` becomes the parameter after `used`; the book is parameter 1. */
const withParameters = (insert: string, used: number, won: string): string =>
  insert.replaceAll('$won', won).replace(/\$(\d+|book)/g, (_, own: string) => (own === 'book' ? '$1' : `$${used + Number(own)}`));

/**
 * The first event of a batch that cannot be read, folded or written by itself.
 * @returns undefined when each of them can
 */
export async function badEvent(
  store: EventStore,
  pool: Pool,
  set: FoldedSet,
  bookId: string,
  { from, to }: Stuck,
): Promise<{ position: number; message: string } | undefined> {
  for (let position = from + 1; position <= to; position++) {
    let problem: unknown;
    try {
      const events = await store.readFacts(bookId, position - 1, position, unreadTypes);
      problem = events.length === 0 ? undefined : await tryOut(pool, set, bookId, set.projection.fold([{ last: position, events }]));
    } catch (error) {
      if (isTransient(error)) throw error;
      problem = error;
    }
    if (problem !== undefined) return { position, message: messageOf(problem) };
  }
  return undefined;
}

/**
 * Runs a set's inserts and takes back what they did.
 * @returns the database's objection, undefined when there is none
 */
async function tryOut(pool: Pool, { inserts }: FoldedSet, bookId: string, values: readonly (readonly unknown[])[]): Promise<unknown> {
  const client = await pool.connect();
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

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
