/**
 * The sets of tables that projections have: made, built beside the live one, exchanged with it, dropped. Hides names, rights and
 * locks. Guarantees that there is one live set per projection, that every change of sets is one SQL transaction (a process that
 * is killed leaves either the sets before or those after), and that whoever reads or folds finds tables and cursors of one set.
 *
 * All of it is done as book_keeper_projector, who owns schema projections; the service's login is a member.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool, PoolClient } from 'pg';
import { LedgerError } from '#domain';
import type { EventStore } from '#event-store';
import { type FoldedSet, foldedSet, foldInto, readChunk, Stuck } from './fold';
import { createIndexes, createTable, cursorIn, type Database, type Projection, patiently, type SetNumber, tableIn } from './projection';

/** A set as projections.builds holds it. */
export interface ProjectionSet {
  readonly projection: string;
  /** Its number, among the sets of all projections. */
  readonly build: number;
  readonly version: number;
  /** retired: was live; scratch: folded by other rules, never to be live. */
  readonly state: 'live' | 'building' | 'retired' | 'scratch';
  /** Plain names of its tables. */
  readonly tables: readonly string[];
  readonly madeBy: 'service' | 'command';
  /** False while rows are copied into tables without indexes. */
  readonly indexed: boolean;
  readonly begunAt: string;
}

/** All sets, by projection and number. */
export async function projectionSets(database: Database): Promise<ProjectionSet[]> {
  const { rows } = await database.query<Omit<ProjectionSet, 'tables'> & { tables: string }>({
    name: 'projection-sets',
    text: `SELECT projection, build, version, state, made_by AS "madeBy", indexed, begun_at AS "begunAt", tables
             FROM projections.builds ORDER BY projection, build`,
  });
  return rows.map((row) => ({ ...row, tables: row.tables.split(' ') }));
}

/** What a set's tables and cursors are called by: nothing for the live one. */
export const numberOf = ({ state, build }: Pick<ProjectionSet, 'state' | 'build'>): SetNumber => (state === 'live' ? undefined : build);

/**
 * Makes the live sets that are missing, empty, so that the projector begins with them. Cheap when there is nothing to do; several
 * processes may call it at once.
 * @param pool of a login that is a member of book_keeper_projector, or an administrator
 * @returns names of the projections whose tables were made
 */
export async function prepareProjections(pool: Pool, wanted: readonly Projection[]): Promise<string[]> {
  const missing = (sets: readonly ProjectionSet[]): Projection[] =>
    wanted.filter(({ name }) => !sets.some((set) => set.projection === name && set.state === 'live'));
  if (missing(await projectionSets(pool)).length === 0) return [];
  return changingSets(pool, async (client) => {
    const made = missing(await projectionSets(client));
    for (const projection of made) await makeSet(client, projection, { state: 'live', madeBy: 'service', indexed: true });
    return made.map(({ name }) => name);
  });
}

/**
 * Runs changes of sets as one SQL transaction, one at a time.
 * @param lockTimeoutMs how long to wait for a lock on tables; whoever comes after us waits as long
 * @throws what the driver throws, 55P03 when a lock could not be had in time
 */
export async function changingSets<T>(pool: Pool, change: (client: PoolClient) => Promise<T>, lockTimeoutMs = 5_000): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query(
      `BEGIN; SET LOCAL ROLE book_keeper_projector; SET LOCAL lock_timeout = ${lockTimeoutMs}; LOCK TABLE projections.builds IN SHARE ROW EXCLUSIVE MODE`,
    );
    const result = await change(client);
    await client.query('COMMIT');
    client.release();
    return result;
  } catch (error) {
    client.release(true);
    throw error;
  }
}

/** Makes the tables and the row of a set, inside changingSets. */
export async function makeSet(
  client: PoolClient,
  { name, version, tables }: Projection,
  { state, madeBy, indexed }: Pick<ProjectionSet, 'state' | 'madeBy' | 'indexed'>,
): Promise<ProjectionSet> {
  const build = Math.max(0, ...(await projectionSets(client)).map((known) => known.build)) + 1;
  const set = numberOf({ state, build });
  for (const table of tables) {
    await client.query(createTable(table, set));
    if (indexed) for (const statement of createIndexes(table, set)) await client.query(statement);
    await client.query(`GRANT SELECT ON projections.${tableIn(table.name, set)} TO book_keeper_auditor`);
  }
  const names = tables.map((table) => table.name);
  await client.query(
    'INSERT INTO projections.builds (begun_at, build, version, indexed, projection, state, made_by, tables) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)',
    [new Date().toISOString(), build, version, indexed, name, state, madeBy, names.join(' ')],
  );
  return (await projectionSets(client)).find((known) => known.build === build) as ProjectionSet;
}

/**
 * Begins a set of this version beside the live one, empty. When another process has just begun one of this version in the same
 * way, it is that one.
 * @throws Error when another set of the projection is being built
 */
export async function beginBuild(
  pool: Pool,
  projection: Projection,
  how: Pick<ProjectionSet, 'madeBy' | 'indexed'>,
): Promise<ProjectionSet> {
  return changingSets(pool, async (client) => {
    const own = (await projectionSets(client)).filter((set) => set.projection === projection.name);
    const building = own.find(({ state }) => state === 'building');
    if (building !== undefined) {
      if (building.version === projection.version && building.madeBy === how.madeBy) return building;
      throw new Error(
        `set ${building.build} of projection ${projection.name} (version ${building.version}) is being built by a ${building.madeBy}: finish it, or drop it (book-keeper projections drop ${building.build})`,
      );
    }
    return makeSet(client, projection, { ...how, state: 'building' });
  });
}

/**
 * Removes a set that is not live: its tables, its cursors and its row.
 * @returns what was removed
 * @throws LedgerError projection_unknown when there is none with this number; Error when it is live
 */
export async function dropSet(pool: Pool, build: number): Promise<ProjectionSet> {
  return retrying(() =>
    changingSets(
      pool,
      async (client) => {
        const set = (await projectionSets(client)).find((known) => known.build === build);
        if (set === undefined)
          throw new LedgerError('projection_unknown', `there is no set ${build}; book-keeper projections list shows those that there are`);
        if (set.state === 'live')
          throw new Error(`set ${build} of projection ${set.projection} is the live one: it answers queries and cannot be dropped`);
        for (const table of set.tables) await client.query(`DROP TABLE projections.${tableIn(table, build)}`);
        await client.query('DELETE FROM projections.cursors WHERE projection = $1', [cursorIn(set.projection, build)]);
        await client.query('DELETE FROM projections.builds WHERE build = $1', [build]);
        return set;
      },
      lockTimeoutMs,
    ),
  );
}

/** How long a change of sets may make others wait behind it before it gives way and tries again. */
const lockTimeoutMs = 200;
/** lock_not_available, deadlock_detected */
const inTheWay = ['55P03', '40P01'];

/**
 * Tries until locks can be had, for as long as `continues` says; a report of minutes is waited for, in pieces.
 * @throws the last error when it may not go on
 */
async function retrying<T>(attempt: () => Promise<T>, continues: () => boolean = () => true): Promise<T> {
  const deadline = performance.now() + 600_000;
  for (let pauseMs = 50; ; pauseMs = Math.min(1_000, pauseMs * 1.5)) {
    try {
      return await attempt();
    } catch (error) {
      if (!inTheWay.includes((error as { code?: string }).code ?? '') || !continues() || performance.now() > deadline) throw error;
      await sleep(pauseMs * (0.5 + Math.random()));
    }
  }
}

// --- Exchange ---

/** Events that the new set may lack when it takes over; they are folded while everybody waits. */
const restMax = 10_000;

/**
 * Puts a set in the place of the live one, in one SQL transaction: what the live one has folded meanwhile is folded into the new one,
 * names of tables and cursors are exchanged. Nobody reads or folds for those milliseconds; whoever holds the tables for longer, as a
 * report may, is waited for in pieces of 200 ms, so that others do not queue up behind us. The old set is kept, as retired.
 * @returns 'behind' when the new set lacks too much to make others wait
 * @throws Error when there is no such set, or it cannot be exchanged; what the driver throws
 */
export async function swapSets(
  pool: Pool,
  store: EventStore,
  projection: Projection,
  build: number,
  { continues }: { readonly continues?: () => boolean } = {},
): Promise<'swapped' | 'behind'> {
  const { name } = projection;
  const swap = async (client: PoolClient): Promise<'swapped' | 'behind'> => {
    const sets = await projectionSets(client);
    const from = sets.find((set) => set.projection === name && set.state === 'live');
    const to = sets.find((set) => set.build === build);
    if (to === undefined || from === undefined || to.projection !== name)
      throw new Error(`projection ${name} has no set ${build} to be made live`);
    if (to.state === 'live') return 'swapped'; // by another process, a moment ago
    if (to.state !== 'building' || !to.indexed || to.version !== projection.version)
      throw new Error(
        `set ${build} of projection ${name} is ${to.state}, version ${to.version}: only a built set of version ${projection.version} can be made live`,
      );
    // Cursors first: nobody begins to fold, or a book, until we are done, and then it is with the new set.
    const tables = [...from.tables, ...to.tables.map((table) => tableIn(table, build))].map((table) => `projections.${table}`);
    await client.query(
      `LOCK TABLE projections.cursors IN SHARE ROW EXCLUSIVE MODE; LOCK TABLE ${tables.join(', ')} IN ACCESS EXCLUSIVE MODE`,
    );
    if (!(await foldRest(client, store, projection, build))) return 'behind';
    for (const table of from.tables) await rename(client, table, tableIn(table, from.build));
    for (const table of to.tables) await rename(client, tableIn(table, build), table);
    await client.query('UPDATE projections.cursors SET projection = $2 WHERE projection = $1', [name, cursorIn(name, from.build)]);
    await client.query('UPDATE projections.cursors SET projection = $2 WHERE projection = $1', [cursorIn(name, build), name]);
    await client.query(`UPDATE projections.builds SET state = 'retired' WHERE build = $1`, [from.build]);
    await client.query(`UPDATE projections.builds SET state = 'live' WHERE build = $1`, [build]);
    return 'swapped';
  };
  return retrying(() => changingSets(pool, swap, lockTimeoutMs), continues);
}

/**
 * Replaces a book's rows in the live tables by those of a set, in one SQL transaction, with what the live set has folded meanwhile.
 * @throws Error when the set is not of the live version, or lacks more than restMax events
 */
export async function replaceBook(pool: Pool, store: EventStore, projection: Projection, build: number, bookId: string): Promise<void> {
  const set = foldedSet(projection, build);
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    // Until the end, who folds this book waits for this row.
    const { rows } = await client.query<{ until: number; from: number }>(
      `SELECT c.position AS until, (SELECT n.position FROM projections.cursors n WHERE n.book_id = $1 AND n.projection = $4) AS from
         FROM projections.cursors c WHERE c.book_id = $1 AND c.projection = $2 AND c.version = $3 FOR UPDATE`,
      [bookId, projection.name, projection.version, set.name],
    );
    const [cursor] = rows;
    if (cursor === undefined)
      throw new Error(`projection ${projection.name} has no rows of book ${bookId} in version ${projection.version} to be replaced`);
    const { from, until } = cursor;
    if (until - from > restMax) throw new Error(`set ${build} is ${until - from} events behind the live one: rebuild again`);
    if (from < until) await foldUpTo(client, store, projection, set, { bookId, from, until });
    for (const { name, columns } of projection.tables) {
      const names = Object.keys(columns).join(', ');
      await client.query(patiently(`DELETE FROM projections.${name} WHERE book_id = $1`, [bookId]));
      await client.query(
        patiently(
          `INSERT INTO projections.${name} (${names}) SELECT ${names} FROM projections.${tableIn(name, build)} WHERE book_id = $1`,
          [bookId],
        ),
      );
    }
    await client.query('UPDATE projections.cursors SET position = $3 WHERE book_id = $1 AND projection = $2', [
      ...[bookId, projection.name, Math.max(from, until)],
    ]);
    await client.query('COMMIT');
    client.release();
  } catch (error) {
    client.release(true);
    throw error;
  }
}

/** Removes a book's rows from the derived tables of the live set; whoever makes such rows is waited for, or finds none. */
export async function forgetDerived(pool: Pool, { name, tables }: Projection, bookId: string): Promise<void> {
  const derived = tables.filter((table) => table.derived === true);
  if (derived.length === 0) return;
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    await client.query('SELECT 1 FROM projections.cursors WHERE book_id = $1 AND projection = $2 FOR UPDATE', [bookId, name]);
    for (const table of derived) await client.query(patiently(`DELETE FROM projections.${table.name} WHERE book_id = $1`, [bookId]));
    await client.query('COMMIT');
    client.release();
  } catch (error) {
    client.release(true);
    throw error;
  }
}

/** Folds into a set what the live one has more; the tables of both are ours alone. @returns false when it is too much */
async function foldRest(client: PoolClient, store: EventStore, projection: Projection, build: number): Promise<boolean> {
  const set = foldedSet(projection, build);
  const { rows } = await client.query<{ book_id: string; from: number; until: number; known: boolean }>(
    `SELECT o.book_id, coalesce(n.position, 0) AS from, o.position AS until, n.position IS NOT NULL AS known
       FROM projections.cursors o LEFT JOIN projections.cursors n ON n.book_id = o.book_id AND n.projection = $2
      WHERE o.projection = $1 AND (n.position IS NULL OR n.position < o.position)`,
    [projection.name, set.name],
  );
  if (rows.reduce((sum, { from, until }) => sum + until - from, 0) > restMax) return false;
  for (const { book_id, from, until, known } of rows) {
    if (!known)
      await client.query('INSERT INTO projections.cursors (position, version, book_id, projection) VALUES (0, $1, $2, $3)', [
        ...[set.version, book_id, set.name],
      ]);
    await foldUpTo(client, store, projection, set, { bookId: book_id, from, until });
  }
  return true;
}

async function foldUpTo(
  client: PoolClient,
  store: EventStore,
  projection: Projection,
  set: FoldedSet,
  { bookId, from, until }: { bookId: string; from: number; until: number },
): Promise<void> {
  for (let at = from; at < until; ) {
    const chunk = await readChunk(store, [set], bookId, { from: at, until, eventsMax: restMax });
    if (chunk instanceof Stuck) throw chunk.cause;
    if (chunk === undefined || !(await foldInto(client, [set], bookId, chunk)))
      throw new Error(`${set.name} was folded by somebody else while projection ${projection.name} was locked`);
    at = chunk.to;
  }
}

/** Gives a table another name, and its indexes with it. */
async function rename(client: PoolClient, from: string, to: string): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT i.relname AS name FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = ('projections.' || $1)::regclass`,
    [from],
  );
  await client.query(`ALTER TABLE projections.${from} RENAME TO ${to}`);
  for (const { name } of rows)
    if (name.startsWith(`${from}_`)) await client.query(`ALTER INDEX projections.${name} RENAME TO ${to}${name.slice(from.length)}`);
}

// --- Comparison ---

export interface SetComparison {
  readonly equal: boolean;
  readonly books: number;
  /** By table, over all books: rows of the left set up to the common position, and how many differ, or are in one set only. */
  readonly tables: readonly {
    readonly table: string;
    readonly columns: readonly string[];
    readonly rows: number;
    readonly different: number;
  }[];
  /** The first of them. */
  readonly differences: readonly RowDifference[];
}

export interface RowDifference {
  readonly bookId: string;
  readonly table: string;
  /** Values of the primary key without the book. */
  readonly key: Readonly<Record<string, unknown>>;
  /** The row's other columns; undefined where the set lacks the row. */
  readonly left?: Readonly<Record<string, unknown>> | undefined;
  readonly right?: Readonly<Record<string, unknown>> | undefined;
}

export interface CompareOptions {
  readonly left: ProjectionSet;
  readonly right: ProjectionSet;
  /** Ids of books; all of them when absent. */
  readonly books?: readonly string[] | undefined;
  /** How many differences to name. Default 10. */
  readonly first?: number;
  /** Asked before each book and table. */
  readonly continues?: () => boolean;
  readonly onTable?: (bookId: string, table: string) => void;
}

/**
 * Compares two sets row by row, in the tables and columns that both have, in one snapshot: for each book up to the position that
 * both have folded, since a row is never changed once it was written.
 * @returns undefined when it may not go on
 * @throws Error when a set was exchanged or dropped in the moment before
 */
export async function compareSets(
  pool: Pool,
  projection: Projection,
  { left, right, books, first = 10, continues = () => true, onTable }: CompareOptions,
): Promise<SetComparison | undefined> {
  const sides = [left, right].map((set) => ({ set, name: (table: string) => tableIn(table, numberOf(set)) }));
  const [one, other] = sides as [(typeof sides)[0], (typeof sides)[0]];
  const tables = projection.tables.filter(({ name, derived }) => derived !== true && sides.every(({ set }) => set.tables.includes(name)));
  const client = await pool.connect();
  try {
    const locked = tables.flatMap(({ name }) => sides.map((side) => `projections.${side.name(name)}`));
    // A lock takes no snapshot: the one that the first SELECT takes shows the sets as they are while these locks are held.
    await client.query(
      `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL work_mem = '64MB'; LOCK TABLE projections.builds, ${locked.join(', ')} IN ACCESS SHARE MODE`,
    );
    const now = await projectionSets(client);
    for (const { set } of sides)
      if (now.find(({ build }) => build === set.build)?.state !== set.state)
        throw new Error(`set ${set.build} of projection ${set.projection} is not ${set.state} any more: compare again`);
    const { rows: common } = await client.query<{ book_id: string; position: number }>(
      `SELECT l.book_id, least(l.position, r.position) AS position
         FROM projections.cursors l JOIN projections.cursors r ON r.book_id = l.book_id AND r.projection = $2
        WHERE l.projection = $1 AND ($3::text[] IS NULL OR l.book_id = ANY ($3::text[])) ORDER BY l.book_id`,
      [...sides.map(({ set }) => cursorIn(set.projection, numberOf(set))), books ?? null],
    );
    const counts = new Map<string, { columns: string[]; rows: number; different: number }>();
    const differences: RowDifference[] = [];
    for (const { name, primaryKey } of tables) {
      const columns = await commonColumns(client, one.name(name), other.name(name));
      const count = { columns: columns.map((column) => column.name), rows: 0, different: 0 };
      counts.set(name, count);
      const pair = pairs(one.name(name), other.name(name), primaryKey, columns);
      for (const { book_id, position } of common) {
        if (!continues()) {
          await client.query('ROLLBACK');
          client.release();
          return undefined;
        }
        onTable?.(book_id, name);
        const { rows } = await client.query<{ rows: number; different: number }>(
          patiently(
            `SELECT count(*) FILTER (WHERE l.book_id IS NOT NULL) AS rows, count(*) FILTER (WHERE ${pair.differ}) AS different FROM ${pair.from}`,
            [...[book_id, position]],
          ),
        );
        count.rows += rows[0]?.rows ?? 0;
        const different = rows[0]?.different ?? 0;
        count.different += different;
        if (different === 0 || differences.length >= first) continue;
        const found = await client.query<{
          key: Record<string, unknown>;
          left: Record<string, unknown> | null;
          right: Record<string, unknown> | null;
        }>(
          patiently(
            `SELECT ${pair.key} AS key, ${pair.row('l')} AS left, ${pair.row('r')} AS right FROM ${pair.from} WHERE ${pair.differ} ORDER BY coalesce(l.position, r.position) LIMIT $3`,
            [book_id, position, first - differences.length],
          ),
        );
        for (const row of found.rows)
          differences.push({ bookId: book_id, table: name, key: row.key, left: row.left ?? undefined, right: row.right ?? undefined });
      }
    }
    await client.query('COMMIT');
    client.release();
    const summary = [...counts].map(([table, count]) => ({ table, ...count }));
    return { equal: summary.every(({ different }) => different === 0), books: common.length, tables: summary, differences };
  } catch (error) {
    client.release(true);
    throw error;
  }
}

async function commonColumns(client: PoolClient, left: string, right: string): Promise<{ name: string; type: string }[]> {
  const { rows } = await client.query<{ name: string; type: string }>(
    `SELECT l.attname AS name, format_type(l.atttypid, l.atttypmod) AS type
       FROM pg_attribute l JOIN pg_attribute r ON r.attname = l.attname AND r.atttypid = l.atttypid
      WHERE l.attrelid = ('projections.' || $1)::regclass AND r.attrelid = ('projections.' || $2)::regclass AND l.attnum > 0 AND r.attnum > 0
        AND NOT l.attisdropped AND NOT r.attisdropped ORDER BY l.attnum`,
    [left, right],
  );
  return rows;
}

interface Pairs {
  readonly from: string;
  readonly differ: string;
  readonly key: string;
  row(side: 'l' | 'r'): string;
}

/** Rows of two tables beside one another, by their primary key; $1 is the book, $2 the position up to which they are compared. */
function pairs(left: string, right: string, primaryKey: readonly string[], columns: readonly { name: string; type: string }[]): Pairs {
  const values = columns.filter(({ name }) => !primaryKey.includes(name));
  const keys = primaryKey.filter((column) => column !== 'book_id');
  const names = columns.map(({ name }) => name).join(', ');
  const side = (table: string): string => `(SELECT ${names} FROM projections.${table} WHERE book_id = $1 AND position <= $2)`;
  // 1.0 = 1.00, and they are not the same row.
  const differing = values.flatMap(({ name, type }) => [
    `l.${name} IS DISTINCT FROM r.${name}`,
    ...(type === 'numeric' ? [`scale(l.${name}) IS DISTINCT FROM scale(r.${name})`] : []),
  ]);
  const object = (of: (column: string) => string, shown: readonly string[]): string =>
    `json_build_object(${shown.map((column) => `'${column}', ${of(column)}`).join(', ')})`;
  return {
    from: `${side(left)} AS l FULL JOIN ${side(right)} AS r ON ${primaryKey.map((column) => `l.${column} = r.${column}`).join(' AND ')}`,
    differ: `(l.book_id IS NULL OR r.book_id IS NULL${differing.map((condition) => ` OR ${condition}`).join('')})`,
    key: object((column) => `coalesce(l.${column}, r.${column})`, keys),
    row: (alias) =>
      `CASE WHEN ${alias}.book_id IS NOT NULL THEN ${object(
        (column) => (columns.find(({ name }) => name === column)?.type === 'numeric' ? `${alias}.${column}::text` : `${alias}.${column}`),
        values.map(({ name }) => name),
      )} END`,
  };
}
