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
  }: { readonly sort: EntrySort; readonly position: number; readonly after?: EntryKey; readonly limit: number },
): Promise<(EntryKey & { readonly entryId: string })[]> {
  const values: unknown[] = [bookId, position, limit];
  const bind = (value: unknown, type: string): string => `$${values.push(value)}::${type}`;
  const where = [
    search.entryType && `e.entry_type = ${bind(search.entryType, 'text')}`,
    search.reference && `e.reference = ${bind(search.reference, 'text')}`,
    search.fiscalYear && `e.fiscal_year = ${bind(search.fiscalYear, 'text')}`,
    search.journalCodes && search.number === undefined && `e.journal_code = ANY (${bind(textArray(search.journalCodes), 'text[]')})`,
  ];
  /** Conditions that either table can check. */
  const place = (row: string): (string | undefined | false)[] => [
    `${row}.position <= $2`,
    search.from && `${row}.effective_date >= ${bind(search.from, 'date')}`,
    search.to && `${row}.effective_date <= ${bind(search.to, 'date')}`,
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

/** OFFSET keeps this a seek per entry; as a join it could become a scan of the account's lines per entry. */
const hasLine = (account: string): string =>
  `EXISTS (SELECT FROM projections.account_lines l
            WHERE l.book_id = $1 AND l.account_id = ${account} AND l.effective_date = e.effective_date AND l.position = e.position OFFSET 0)`;
