/**
 * Register: every posted line under its account in statement order, and every entry under its date, number and reference.
 * Hides the two tables and the choice of the index that a search walks; guarantees that a page costs what it shows, and that
 * rows never change: what an answer at a position showed, it shows for ever.
 */
import type { CalendarDate, JournalEntryPosted } from '#domain';
import { dateArray, int4Array, int8Array, textArray, uuidArray } from '#postgres';
import type { Database, Projection, ProjectionTable } from '../projection';
import { monthEnds } from './month-ends';

const lines: ProjectionTable = {
  // Every posted line under its account, in statement order.
  name: 'account_lines',
  columns: {
    position: 'bigint',
    account_id: 'uuid',
    effective_date: 'date',
    line: 'integer',
    side: '"char"',
    book_id: 'text',
    currency: 'text',
    amount: 'numeric',
    base_amount: 'numeric null',
  },
  primaryKey: ['book_id', 'account_id', 'effective_date', 'position', 'line'],
  checks: { side: "side IN ('D', 'C')" },
};

const entries: ProjectionTable = {
  // The journal index: one row per posted entry; the entry itself is the event at this position.
  name: 'entries',
  columns: {
    position: 'bigint',
    number: 'bigint',
    entry_id: 'uuid',
    effective_date: 'date',
    period: 'integer',
    book_id: 'text',
    journal_code: 'text',
    fiscal_year: 'text',
    entry_type: 'text',
    reference: 'text null',
  },
  primaryKey: ['book_id', 'position'],
  indexes: {
    number: { columns: ['book_id', 'journal_code', 'fiscal_year', 'number'], unique: true },
    effective_date: { columns: ['book_id', 'effective_date', 'position'] },
    reference: { columns: ['book_id', 'reference', 'position'], where: 'reference IS NOT NULL' },
    // Openings, adjustments, closings, reversals: seldom, and asked for by type.
    entry_type: { columns: ['book_id', 'entry_type', 'effective_date', 'position'], where: "entry_type <> 'normal'" },
  },
};

const rowsOfLines: Pick<Projection, 'inserts' | 'fold'> = {
  inserts: [
    `INSERT INTO projections.account_lines (position, account_id, effective_date, line, side, book_id, currency, amount, base_amount)
     SELECT n.position, n.account_id, n.effective_date, n.line, n.side::"char", $book, n.currency, n.amount::numeric, n.base_amount::numeric
       FROM unnest($1::int8[], $2::uuid[], $3::date[], $4::int4[], $5::text[], $6::text[], $7::text[], $8::text[])
            AS n (position, account_id, effective_date, line, side, currency, amount, base_amount)
      WHERE $won`,
    `INSERT INTO projections.entries (position, number, entry_id, effective_date, period, book_id, journal_code, fiscal_year, entry_type, reference)
     SELECT n.position, n.number, n.entry_id, n.effective_date, n.period, $book, n.journal_code, n.fiscal_year, n.entry_type, n.reference
       FROM unnest($1::int8[], $2::int8[], $3::uuid[], $4::date[], $5::int4[], $6::text[], $7::text[], $8::text[], $9::text[])
            AS n (position, number, entry_id, effective_date, period, journal_code, fiscal_year, entry_type, reference)
      WHERE $won`,
  ],
  fold(batches) {
    const entries = {
      positions: [] as number[],
      ids: [] as string[],
      dates: [] as string[],
      journalCodes: [] as string[],
      fiscalYears: [] as string[],
      numbers: [] as number[],
      periods: [] as number[],
      types: [] as string[],
      references: [] as (string | undefined)[],
    };
    const lines = {
      positions: [] as number[],
      accounts: [] as string[],
      dates: [] as string[],
      numbers: [] as number[],
      sides: [] as string[],
      currencies: [] as string[],
      amounts: [] as string[],
      baseAmounts: [] as (string | undefined)[],
    };
    for (const { events } of batches) {
      for (const { eventType, position, streamId, current } of events) {
        if (eventType !== 'JournalEntryPosted') continue;
        const posted = current as unknown as JournalEntryPosted;
        entries.positions.push(position);
        entries.ids.push(streamId);
        entries.dates.push(posted.effectiveDate);
        entries.journalCodes.push(posted.journalCode);
        entries.fiscalYears.push(posted.fiscalYear);
        entries.numbers.push(posted.number);
        entries.periods.push(posted.period);
        entries.types.push(posted.entryType);
        entries.references.push(posted.reference);
        for (const { line, accountId, side, currency, amount, baseAmount } of posted.lines) {
          lines.positions.push(position);
          lines.accounts.push(accountId);
          lines.dates.push(posted.effectiveDate);
          lines.numbers.push(line);
          lines.sides.push(side === 'debit' ? 'D' : 'C');
          lines.currencies.push(currency);
          lines.amounts.push(amount);
          lines.baseAmounts.push(baseAmount);
        }
      }
    }
    return [
      [
        int8Array(lines.positions),
        uuidArray(lines.accounts),
        dateArray(lines.dates),
        int4Array(lines.numbers),
        textArray(lines.sides),
        textArray(lines.currencies),
        textArray(lines.amounts),
        textArray(lines.baseAmounts),
      ],
      [
        int8Array(entries.positions),
        int8Array(entries.numbers),
        uuidArray(entries.ids),
        dateArray(entries.dates),
        int4Array(entries.periods),
        textArray(entries.journalCodes),
        textArray(entries.fiscalYears),
        textArray(entries.types),
        textArray(entries.references),
      ],
    ];
  },
};

/** One row per line and one per entry, at the position of the JournalEntryPosted; and the month ends that are made of them. */
export const register: Projection = {
  name: 'register',
  version: 2,
  // By position: what was posted between two of them (month-ends.ts).
  tables: [{ ...lines, indexes: { position: { columns: ['book_id', 'position'] } } }, entries, monthEnds],
  ...rowsOfLines,
  previous: { name: 'register', version: 1, tables: [lines, entries], ...rowsOfLines },
};

// --- Statements ---

/** Place of a line in an account's statement. */
export interface LineKey {
  readonly date: CalendarDate;
  readonly position: number;
  readonly line: number;
}

export interface RegisterLine extends LineKey {
  readonly entryId: string;
  readonly side: 'debit' | 'credit';
  readonly currency: string;
  /** Plain decimal with the currency's decimals. */
  readonly amount: string;
  /** The same in base currency, where the line states it. */
  readonly baseAmount?: string;
}

/**
 * Lines of an account in statement order (effective date, position, line), from after `after` up to and with `upTo`,
 * recorded at or before `position`.
 */
export async function linesOf(
  database: Database,
  {
    bookId,
    accountId,
    after,
    upTo,
    position,
    currency,
    limit,
  }: {
    readonly bookId: string;
    readonly accountId: string;
    readonly after: LineKey;
    readonly upTo: LineKey;
    readonly position: number;
    readonly currency?: string;
    readonly limit: number;
  },
): Promise<RegisterLine[]> {
  const { rows } = await database.query<{
    date: CalendarDate;
    position: number;
    line: number;
    side: 'D' | 'C';
    currency: string;
    amount: string;
    base_amount: string | null;
    entry_id: string;
  }>({
    name: 'lines-of',
    text: `SELECT l.effective_date AS date, l.position, l.line, l.side, l.currency, l.amount, l.base_amount, e.entry_id
             FROM projections.account_lines l,
                  LATERAL (SELECT t.entry_id FROM projections.entries t WHERE t.book_id = $1 AND t.position = l.position OFFSET 0) AS e
            WHERE l.book_id = $1 AND l.account_id = $2 AND l.position <= $3 AND ($4::text IS NULL OR l.currency = $4)
              AND (l.effective_date, l.position, l.line) > ($5::date, $6::int8, $7::int4)
              AND (l.effective_date, l.position, l.line) <= ($8::date, $9::int8, $10::int4)
            ORDER BY l.effective_date, l.position, l.line LIMIT $11`,
    values: [
      bookId,
      accountId,
      position,
      currency ?? null,
      after.date,
      after.position,
      after.line,
      upTo.date,
      upTo.position,
      upTo.line,
      limit,
    ],
  });
  return rows.map(({ side, entry_id, base_amount, ...row }) => ({
    ...row,
    side: side === 'D' ? 'debit' : 'credit',
    baseAmount: base_amount ?? undefined,
    entryId: entry_id,
  }));
}

// --- Searching entries ---

export const entrySorts = ['position', 'effectiveDate'] as const;
export type EntrySort = (typeof entrySorts)[number];

/** What an entry must have; members that are absent ask for nothing. */
export interface EntrySearch {
  readonly from?: CalendarDate;
  readonly to?: CalendarDate;
  /** With at least one line on this account. */
  readonly accountId?: string;
  /** How many events the account has: tells a busy account from a quiet one. */
  readonly accountEvents?: number;
  /** Any of these day books. */
  readonly journalCodes?: readonly string[];
  readonly entryType?: string;
  readonly reference?: string;
  /** Asks for fiscalYear and journalCodes too. */
  readonly number?: number;
  readonly fiscalYear?: string;
}

/** Place of an entry in a list. */
export interface EntryKey {
  readonly date: CalendarDate;
  readonly position: number;
}

/** An account with fewer events than this is searched line by line, and the lines sorted; else entries are walked in order. */
const quietAccountEvents = 20_000;

/**
 * Entries in the order asked for, after `after`, recorded at or before `position`.
 * The text names the index to walk by its shape, because a plan made while tables were empty would stay.
 */
export async function findEntries(
  database: Database,
  bookId: string,
  search: EntrySearch,
  {
    sort,
    position,
    after,
    limit,
    walk = false,
  }: {
    readonly sort: EntrySort;
    readonly position: number;
    readonly after?: EntryKey;
    readonly limit: number;
    /**
     * All of a range will be read, page after page in the order of positions: each page is then found by going on from the last one.
     * Else the days are looked up and all of them sorted, which is fast for a page of a short range, and quadratic for all of a long one.
     */
    readonly walk?: boolean;
  },
): Promise<(EntryKey & { readonly entryId: string })[]> {
  const values: unknown[] = [bookId, position, limit];
  const bind = (value: unknown, type: string): string => `$${values.push(value)}::${type}`;
  const where = [
    search.entryType && `e.entry_type = ${bind(search.entryType, 'text')}`,
    search.reference && `e.reference = ${bind(search.reference, 'text')}`,
    search.fiscalYear && `e.fiscal_year = ${bind(search.fiscalYear, 'text')}`,
    search.journalCodes && search.number === undefined && `e.journal_code = ANY (${bind(textArray(search.journalCodes), 'text[]')})`,
  ];
  // No index is on the sum.
  const day = (row: string): string => (walk ? `(${row}.effective_date + 0)` : `${row}.effective_date`);
  /** Conditions that either table can check. */
  const place = (row: string): (string | undefined | false)[] => [
    `${row}.position <= $2`,
    search.from && `${day(row)} >= ${bind(search.from, 'date')}`,
    search.to && `${day(row)} <= ${bind(search.to, 'date')}`,
    after && sort === 'position' && `${row}.position > ${bind(after.position, 'int8')}`,
    after &&
      sort === 'effectiveDate' &&
      `(${row}.effective_date, ${row}.position) > (${bind(after.date, 'date')}, ${bind(after.position, 'int8')})`,
  ];
  const all = (...conditions: (string | undefined | false)[]): string => conditions.filter(Boolean).join(' AND ');
  const order = (row: string): string => (sort === 'position' ? `${row}.position` : `${row}.effective_date, ${row}.position`);
  const columns = 'e.position, e.entry_id, e.effective_date';

  let text: string;
  if (search.number !== undefined) {
    const codes = bind(textArray(search.journalCodes ?? []), 'text[]');
    const number = bind(search.number, 'int8');
    const year = bind(search.fiscalYear, 'text');
    text = `SELECT ${columns} FROM unnest(${codes}) AS j (code),
              LATERAL (SELECT * FROM projections.entries t
                        WHERE t.book_id = $1 AND t.journal_code = j.code AND t.fiscal_year = ${year} AND t.number = ${number} OFFSET 0) AS e
             WHERE ${all(...place('e'), ...where, search.accountId && hasLine(bind(search.accountId, 'uuid')))} ORDER BY ${order('e')} LIMIT $3`;
  } else if (
    search.accountId !== undefined &&
    (sort === 'effectiveDate' || (search.accountEvents ?? Number.MAX_SAFE_INTEGER) < quietAccountEvents)
  ) {
    const account = bind(search.accountId, 'uuid');
    text = `SELECT ${columns}
              FROM (SELECT DISTINCT l.effective_date, l.position FROM projections.account_lines l
                     WHERE l.book_id = $1 AND l.account_id = ${account} AND ${all(...place('l'))} ORDER BY ${order('l')}) AS l,
                   LATERAL (SELECT * FROM projections.entries t WHERE t.book_id = $1 AND t.position = l.position OFFSET 0) AS e
             ${where.some(Boolean) ? `WHERE ${all(...where)}` : ''} ORDER BY ${order('l')} LIMIT $3`;
  } else {
    text = `SELECT ${columns} FROM projections.entries e
             WHERE e.book_id = $1 AND ${all(...place('e'), ...where, search.accountId && hasLine(bind(search.accountId, 'uuid')))}
             ORDER BY ${order('e')} LIMIT $3`;
  }
  const { rows } = await database.query<{ position: number; entry_id: string; effective_date: CalendarDate }>(text, values);
  return rows.map((row) => ({ position: row.position, entryId: row.entry_id, date: row.effective_date }));
}

/**
 * Entries of one day book and fiscal year in the order of their numbers, after a number, with an effective date in a range,
 * recorded at or before `position`. Walks the numbers of the year: a short range of a long year reads past the others.
 */
export async function entriesByNumber(
  database: Database,
  bookId: string,
  { journalCode, fiscalYear }: { readonly journalCode: string; readonly fiscalYear: string },
  {
    from,
    to,
    after,
    position,
    limit,
  }: { readonly from: CalendarDate; readonly to: CalendarDate; readonly after: number; readonly position: number; readonly limit: number },
): Promise<{ readonly entryId: string; readonly number: number }[]> {
  const { rows } = await database.query<{ entry_id: string; number: number }>({
    name: 'entries-by-number',
    text: `SELECT e.entry_id, e.number FROM projections.entries e
            WHERE e.book_id = $1 AND e.journal_code = $2 AND e.fiscal_year = $3 AND e.number > $4
              AND e.effective_date BETWEEN $5 AND $6 AND e.position <= $7
            ORDER BY e.number LIMIT $8`,
    values: [bookId, journalCode, fiscalYear, after, from, to, position, limit],
  });
  return rows.map(({ entry_id, number }) => ({ entryId: entry_id, number }));
}

/** Entries of one day book and fiscal year. */
export interface EntryCount {
  readonly journalCode: string;
  readonly fiscalYear: string;
  readonly entries: number;
  readonly firstNumber: number;
  readonly lastNumber: number;
}

/**
 * How many entries there are by day book and fiscal year, and their first and last number, recorded at or before `position`.
 * @param range of effective dates, both included; all when absent
 */
export async function countEntries(
  database: Database,
  bookId: string,
  range: { readonly from: CalendarDate; readonly to: CalendarDate } | undefined,
  position: number,
): Promise<EntryCount[]> {
  const { rows } = await database.query<EntryCount>({
    name: range === undefined ? 'count-entries' : 'count-entries-of-range',
    text: `SELECT journal_code AS "journalCode", fiscal_year AS "fiscalYear", count(*) AS entries, min(number) AS "firstNumber", max(number) AS "lastNumber"
             FROM projections.entries WHERE book_id = $1 AND position <= $2${range === undefined ? '' : ' AND effective_date BETWEEN $3 AND $4'}
            GROUP BY journal_code, fiscal_year ORDER BY journal_code, fiscal_year`,
    values: [bookId, position, ...(range === undefined ? [] : [range.from, range.to])],
  });
  return rows;
}

/** OFFSET keeps this a seek per entry; as a join it could become a scan of the account's lines per entry. */
const hasLine = (account: string): string =>
  `EXISTS (SELECT FROM projections.account_lines l
            WHERE l.book_id = $1 AND l.account_id = ${account} AND l.effective_date = e.effective_date AND l.position = e.position OFFSET 0)`;

// --- Lines that are there twice, numbers that are not there ---

/** Which lines are compared. */
export interface RepeatSearch {
  readonly bookId: string;
  readonly position: number;
  readonly from: CalendarDate;
  readonly to: CalendarDate;
  readonly currency?: string;
  /** Plain decimal; lines of amount 0 are never compared. */
  readonly minimum: string;
  /** Dates that are so many days apart are near. */
  readonly days: number;
  /** Positions of entries whose lines do not count. */
  readonly without: readonly number[];
}

/**
 * Lines of one entry with the same account, side, currency and amount are one row here; the row is repeated when there is another
 * one with a near date, which is then its neighbour in the order of date and position: each row is compared with two.
 */
const repeats = `WITH own AS (
    SELECT l.account_id, l.side, l.currency, l.amount, l.effective_date, l.position, min(l.line) AS line
      FROM projections.account_lines l
     WHERE l.book_id = $1 AND l.position <= $2 AND l.effective_date BETWEEN $3 AND $4 AND ($5::text IS NULL OR l.currency = $5)
       AND l.amount > 0 AND l.amount >= $6::numeric AND l.position NOT IN (SELECT unnest($8::int8[]))
     GROUP BY l.account_id, l.side, l.currency, l.amount, l.effective_date, l.position),
  side_by_side AS (
    SELECT o.*, lag(o.position) OVER w AS before, o.effective_date - lag(o.effective_date) OVER w AS since,
           lead(o.position) OVER w AS behind, lead(o.effective_date) OVER w - o.effective_date AS until
      FROM own o WINDOW w AS (PARTITION BY o.account_id, o.side, o.currency, o.amount ORDER BY o.effective_date, o.position))`;
const isRepeated = '(since <= $7::int4 OR until <= $7::int4)';

const repeatValues = ({ bookId, position, from, to, currency, minimum, days, without }: RepeatSearch): unknown[] => [
  ...[bookId, position, from, to, currency ?? null, minimum, days, int8Array(without)],
];

/** How many rows are compared, and how many of them are repeated. */
export async function countRepeats(
  database: Database,
  search: RepeatSearch,
): Promise<{ readonly compared: number; readonly repeated: number }> {
  await roomToSort(database);
  const { rows } = await database.query<{ compared: number; repeated: number }>({
    name: 'count-repeats',
    text: `${repeats} SELECT count(*) AS compared, count(*) FILTER (WHERE ${isRepeated}) AS repeated FROM side_by_side`,
    values: repeatValues(search),
  });
  return rows[0] as { compared: number; repeated: number };
}

/** An entry as another one refers to it. */
export interface NumberedEntry {
  readonly position: number;
  readonly entryId: string;
  readonly date: CalendarDate;
  readonly journalCode: string;
  readonly fiscalYear: string;
  readonly number: number;
}

export interface RepeatedLine extends EntryKey {
  readonly line: number;
  /** The nearest rows with a near date, the earlier one first: one or two. */
  readonly others: readonly NumberedEntry[];
}

/** Repeated lines by date, position and line, behind an entry; `limit` of them, and those that the last entry has beyond it. */
export async function repeatedLines(
  database: Database,
  search: RepeatSearch,
  after: EntryKey | undefined,
  limit: number,
): Promise<RepeatedLine[]> {
  await roomToSort(database);
  const { rows } = await database.query<EntryKey & { line: number; before: number | null; behind: number | null }>({
    name: 'repeated-lines',
    text: `${repeats}
           SELECT effective_date AS date, position, line, CASE WHEN since <= $7::int4 THEN before END AS before,
                  CASE WHEN until <= $7::int4 THEN behind END AS behind
             FROM side_by_side WHERE ${isRepeated} AND (effective_date, position) > ($9::date, $10::int8)
            ORDER BY effective_date, position FETCH FIRST $11 ROWS WITH TIES`,
    values: [...repeatValues(search), after?.date ?? search.from, after?.position ?? 0, limit],
  });
  const near = new Set(rows.flatMap(({ before, behind }) => [before, behind].filter((position) => position !== null)));
  const entries = new Map((await entriesAt(database, search.bookId, [...near])).map((entry) => [entry.position, entry]));
  return rows
    .map(({ before, behind, ...row }) => ({
      ...row,
      others: [before, behind].flatMap((other) => (other === null ? [] : (entries.get(other) ?? []))),
    }))
    .sort((a, b) => (a.date !== b.date ? (a.date < b.date ? -1 : 1) : a.position - b.position || a.line - b.line));
}

/** A sort of a million lines is done in memory or on disk: 64 MB are a third of the time. */
const roomToSort = (database: Database): Promise<unknown> => database.query("SET LOCAL work_mem = '64MB'");

/** Entries by their positions, in the order of these. */
export async function entriesAt(database: Database, bookId: string, positions: readonly number[]): Promise<NumberedEntry[]> {
  if (positions.length === 0) return [];
  const { rows } = await database.query<NumberedEntry>({
    name: 'entries-at',
    text: `SELECT e.position, e.entry_id AS "entryId", e.effective_date AS date, e.journal_code AS "journalCode", e.fiscal_year AS "fiscalYear", e.number
             FROM unnest($2::int8[]) WITH ORDINALITY AS wanted (position, n),
                  LATERAL (SELECT * FROM projections.entries t WHERE t.book_id = $1 AND t.position = wanted.position OFFSET 0) AS e ORDER BY n`,
    values: [bookId, int8Array(positions)],
  });
  return rows;
}

/** Numbers of one day book and fiscal year that no entry has. */
export interface NumberGap {
  readonly journalCode: string;
  readonly fiscalYear: string;
  readonly from: number;
  readonly to: number;
  /** The entry that has the number behind them. */
  readonly entryId: string;
}

/** Gaps in the numbers of fiscal years, recorded at or before `position`, by day book, year and number; the first `limit`. */
export async function numberGaps(
  database: Database,
  bookId: string,
  fiscalYears: readonly string[],
  position: number,
  limit: number,
): Promise<NumberGap[]> {
  const { rows } = await database.query<NumberGap>({
    name: 'number-gaps',
    text: `SELECT journal_code AS "journalCode", fiscal_year AS "fiscalYear", before + 1 AS "from", number - 1 AS "to", entry_id AS "entryId"
             FROM (SELECT e.journal_code, e.fiscal_year, e.number, e.entry_id,
                          coalesce(lag(e.number) OVER (PARTITION BY e.journal_code, e.fiscal_year ORDER BY e.number), 0) AS before
                     FROM projections.entries e WHERE e.book_id = $1 AND e.fiscal_year = ANY ($2::text[]) AND e.position <= $3) AS n
            WHERE number > before + 1 ORDER BY journal_code, fiscal_year, number LIMIT $4`,
    values: [bookId, textArray(fiscalYears), position, limit],
  });
  return rows;
}
