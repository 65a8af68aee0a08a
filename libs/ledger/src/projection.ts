/**
 * What a projection is: one object in one file that says its name, version, tables, how it folds events, and beside it the typed
 * queries. Hides how the declared tables become DDL and how statements that are written for the plain table names are led to the
 * tables of another set. Guarantees that all tables keep the storage rules (DESIGN section 7): book_id first in every key, texts in
 * byte order, no default, no sequence.
 *
 * A set is the tables of one projection as one version folds them. The live set has the plain names (`projections.entries`) and is
 * the one that queries read; every other set has a number, its tables are `entries__3`, its cursors those of `register~3`.
 */
import type { ClientBase, QueryConfig, QueryResult, QueryResultRow } from 'pg';
import type { RecordedFact } from '#event-store';
import { textArray } from '#postgres';

/** A pool, or one connection of it inside an SQL transaction. */
export type Database = Pick<ClientBase, 'query'>;

/** The events of one commit batch that folds look at. */
export interface Batch {
  /** Position at which the batch ends. */
  readonly last: number;
  readonly events: readonly RecordedFact[];
}

type Kind = 'bigint' | 'integer' | 'uuid' | 'date' | '"char"' | 'text' | 'numeric' | 'jsonb' | 'date[]' | 'numeric[]';
export type ColumnType = Kind | `${Kind} null`;

/** A table of a projection. Every one belongs to books (class tenant), so each has `book_id` and `position`. */
export interface ProjectionTable {
  /** In schema projections. */
  readonly name: string;
  /** In the order in which they are stored: those of a fixed width first, wide ones before narrow ones. NOT NULL unless they say null. */
  readonly columns: Readonly<Record<string, ColumnType>>;
  /** Tells the row; begins with book_id. */
  readonly primaryKey: readonly string[];
  /** Columns that stand in the primary key's index too, so that a look-up ends there. */
  readonly include?: readonly string[];
  /** By the name of each without that of the table; each begins with book_id. */
  readonly indexes?: Readonly<Record<string, { readonly columns: readonly string[]; readonly where?: string; readonly unique?: true }>>;
  /** Conditions by the name of each without that of the table. */
  readonly checks?: Readonly<Record<string, string>>;
  /** Not folded: made of the rows of the other tables afterwards, by the projection's file. It may lack rows, so two sets differ in it. */
  readonly derived?: true;
}

/** What is kept of the events of a book, and how. */
export interface Projection {
  readonly name: string;
  /** Counts up with every change of what the rows are; a set of another version is never written or read by this one. */
  readonly version: number;
  /** Tables that it alone writes; a row is never changed once it was written. */
  readonly tables: readonly ProjectionTable[];
  /**
   * INSERT … SELECT statements, set-based and bound to the book, which see the rows of all earlier batches. `$book` is the
   * book, `$won` a condition that every row must hang on in WHERE, `$1`, `$2` … the values that fold gives.
   */
  readonly inserts: readonly string[];
  /** The values for each insert: pure, and the same rows come out however the batches are grouped into calls. */
  fold(batches: readonly Batch[]): readonly (readonly unknown[])[];
  /**
   * The same rows in another way, for building into tables that nobody reads and that have no index yet: by COPY. Only where it is
   * worth it; they must not differ from those of fold and inserts in anything.
   */
  readonly copy?: (bookId: string) => CopyFold;
  /**
   * The version before, kept for one release: where it is the live one, it goes on being folded and read until the new version has
   * been built beside it. The queries in the file must then answer from the tables of either.
   */
  readonly previous?: Projection;
}

/** Makes the rows of one book, batch by batch, and remembers what later rows depend on. */
export interface CopyFold {
  /** How many things it remembers; beyond a bound the build goes on by the inserts, which look them up. */
  readonly remembered: number;
  /** Rows of the next batches for each table of the projection, with the columns in the order in which they are declared. */
  rows(batches: readonly Batch[]): readonly Buffer[];
  /**
   * Takes up what the rows of an interrupted build say.
   * @param database leads to the tables of the set
   * @param most how many things to remember
   * @returns false when there are more of them
   */
  resume(database: Database, most: number): Promise<boolean>;
}

/** For statements that read whole books: the pool's limit on the time of a query is for questions. */
export const patiently = (text: string, values: unknown[]): QueryConfig => ({ text, values, query_timeout: 2 ** 31 - 1 }) as QueryConfig;

// --- Sets ---

/** Number of a set; undefined is the live one. */
export type SetNumber = number | undefined;

/** A table's name in schema projections; the live set has the plain names. */
export const tableIn = (table: string, set: SetNumber): string => (set === undefined ? table : `${table}__${set}`);

/** What the set's rows in projections.cursors are called. */
export const cursorIn = (projection: string, set: SetNumber): string => (set === undefined ? projection : `${projection}~${set}`);

/** A statement that is written for the plain tables of a projection, for those of a set. */
export function textIn(text: string, { tables }: Pick<Projection, 'tables'>, set: SetNumber): string {
  if (set === undefined) return text;
  return tables.reduce(
    (changed, { name }) => changed.replace(new RegExp(`projections\\.${name}\\b`, 'g'), `projections.${tableIn(name, set)}`),
    text,
  );
}

/** The typed queries of a projection, asked of another set than the live one: hand them this instead of the connection. */
export function databaseOf(database: Database, projection: Pick<Projection, 'tables'>, set: SetNumber): Database {
  const query = <R extends QueryResultRow>(config: QueryConfig, values?: unknown[]): Promise<QueryResult<R>> =>
    database.query<R>(
      {
        ...config,
        ...(config.name === undefined ? {} : { name: `${config.name}~${set}` }),
        text: textIn(config.text, projection, set),
      },
      values,
    );
  return { query } as Database;
}

// --- DDL ---

const quoted = (type: ColumnType): string => {
  const kind = type.replace(/ null$/, '');
  return `${kind}${kind === 'text' ? ' COLLATE "C"' : ''}${type.endsWith(' null') ? '' : ' NOT NULL'}`;
};

/** CREATE TABLE of a table in a set, without any index. */
export function createTable({ name, columns, checks = {} }: ProjectionTable, set: SetNumber): string {
  const table = tableIn(name, set);
  const parts = [
    ...Object.entries(columns).map(([column, type]) => `${column} ${quoted(type)}`),
    ...Object.entries(checks).map(([check, condition]) => `CONSTRAINT ${name}_${check} CHECK (${condition})`),
  ];
  return `CREATE TABLE projections.${table} (${parts.join(', ')})`;
}

/** Statements that give a table in a set its primary key and its further indexes. */
export function createIndexes({ name, primaryKey, include = [], indexes = {} }: ProjectionTable, set: SetNumber): string[] {
  const table = tableIn(name, set);
  const included = include.length === 0 ? '' : ` INCLUDE (${include.join(', ')})`;
  return [
    `ALTER TABLE projections.${table} ADD CONSTRAINT ${table}_pkey PRIMARY KEY (${primaryKey.join(', ')})${included}`,
    ...Object.entries(indexes).map(
      ([index, { columns, where, unique }]) =>
        `CREATE ${unique ? 'UNIQUE ' : ''}INDEX ${table}_${index} ON projections.${table} (${columns.join(', ')})${where === undefined ? '' : ` WHERE ${where}`}`,
    ),
  ];
}

// --- Cursors ---

/** The versions of a projection that its queries answer from. */
const readVersions = ({ version, previous }: Projection): number[] => [version, ...(previous === undefined ? [] : [previous.version])];

/** Condition on `c`, a row of projections.cursors: it is one of these projections', in a version that this release reads. */
export const cursorsOf = (wanted: readonly Projection[]): string =>
  `(${wanted.map((projection) => `c.projection = '${projection.name}' AND c.version IN (${readVersions(projection).join(', ')})`).join(' OR ')})`;

/** The position up to which all of these projections have folded a book, in a version that this release reads. */
export async function foldedUpTo(database: Database, bookId: string, wanted: readonly Projection[]): Promise<number> {
  const { rows } = await database.query<{ projection: string; version: number; position: number }>({
    name: 'folded-up-to',
    text: 'SELECT projection, version, position FROM projections.cursors WHERE book_id = $1 AND projection = ANY ($2::text[])',
    values: [bookId, textArray(wanted.map(({ name }) => name))],
  });
  return Math.min(
    ...wanted.map((projection) => {
      const cursor = rows.find((row) => row.projection === projection.name);
      return cursor !== undefined && readVersions(projection).includes(cursor.version) ? cursor.position : 0;
    }),
  );
}
