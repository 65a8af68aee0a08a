/**
 * Month ends: what every account of a book had at the end of each month, as known at positions that lie far apart. The second way to
 * the totals of a whole chart: hides which position is near enough and how the lines after it are added; guarantees the same totals
 * as the buckets of as-of (as-of.ts), whichever way is taken.
 *
 * Why a second way: buckets are one index seek for each account, year and month, which is what a balance wants and what ten thousand
 * accounts make expensive. A row here holds all months of an account, added up along the dates, so that any month end is one element of
 * it, and the rows of a position lie beside one another. What was posted since is read in the order of the log, and days inside a
 * month from the buckets of days.
 *
 * Rows are derived from the register after the fact, beside the fold and not in it: they may be missing (a book that is young, a set
 * that was just built), and nothing but time is lost by that. They are never changed once they were written.
 */
import type { Pool } from 'pg';
import { addDays, type CalendarDate, lastDate } from '#domain';
import { dateArray, int4Array } from '#postgres';
import { cursorsOf, type Database, type Projection, type ProjectionTable, patiently } from '../projection';
import { cutEvery, type Totals, totalsOf } from './as-of';

/** Kept by projection register, whose lines they are made of; the two are exchanged and forgotten together. */
export const monthEnds: ProjectionTable = {
  // debit and credit: by month, of the lines dated up to its end. The base amounts are NULL as long as no line has one.
  name: 'month_ends',
  columns: {
    position: 'bigint',
    account_id: 'uuid',
    book_id: 'text',
    currency: 'text',
    months: 'date[]',
    debit: 'numeric[]',
    credit: 'numeric[]',
    base_debit: 'numeric[] null',
    base_credit: 'numeric[] null',
  },
  primaryKey: ['book_id', 'position', 'account_id', 'currency'],
  checks: { base: '(base_debit IS NULL) = (base_credit IS NULL)' },
  derived: true,
};

/**
 * Rows are made at multiples of this position, which is a multiple of cutEvery (as-of.ts), so that buckets of days end there too.
 * Measured at 10,000 accounts with three years each (AMD EPYC, 2 cores, PostgreSQL 18.4): 11 MB and 1.8 to 1.9 s for each position; 0.1 to 0.3 s for
 * the lines behind it that a report adds.
 */
export const monthEndsEvery = 2 ** 18;
/** So many events lie between two positions for each row that the first of them has: rows are few in comparison, however many accounts there are. */
const eventsPerRow = 8;

/** Where rows are due next. @param last where there are some, or could have been if there had been a line */
const duePosition = (last: number, rows: number, every: number): number =>
  Math.ceil((last + Math.max(1, eventsPerRow * rows)) / every) * every;

/**
 * Makes the rows that are due, one position after the other. Several processes may: they make the same ones.
 * @param of the projection whose lines are read: the register in the version of this release
 * @returns the positions whose rows were made
 */
export async function keepMonthEnds(
  pool: Pool,
  bookId: string,
  of: Projection,
  { every = monthEndsEvery, continues = () => true }: { readonly every?: number | undefined; readonly continues?: () => boolean } = {},
): Promise<number[]> {
  if (every % cutEvery !== 0) throw new Error(`month ends every ${every} positions: buckets end at multiples of ${cutEvery} only`);
  const made: number[] = [];
  let passed = 0;
  while (continues()) {
    const client = await pool.connect();
    try {
      // Whoever forgets the lines of a book takes this row first, FOR UPDATE; a fold does not mind. What is there is asked for by the next
      // statement: one that waited for the row would see it as it is now, and everything else as it was before.
      await client.query('BEGIN');
      const cursor = await client.query<{ folded: number }>({
        name: 'month-ends-cursor',
        text: `SELECT c.position AS folded FROM projections.cursors c WHERE c.book_id = $1 AND ${cursorsOf([{ ...of, previous: undefined } as Projection])} FOR KEY SHARE`,
        values: [bookId],
      });
      const folded = cursor.rows[0]?.folded ?? 0;
      const { rows } = await client.query<{ last: number; rows: number }>({
        name: 'month-ends-last',
        text: `SELECT m.position AS last, count(*) AS rows FROM projections.month_ends m
                WHERE m.book_id = $1 AND m.position = (${lastText}) GROUP BY m.position`,
        values: [bookId, Number.MAX_SAFE_INTEGER],
      });
      const { last = 0, rows: held = 0 } = rows[0] ?? {};
      const due = duePosition(Math.max(last, passed), held, every);
      passed = due;
      if (due <= folded) {
        await client.query(`SET LOCAL work_mem = '64MB'; SET LOCAL statement_timeout = 0`);
        const { rowCount } = await client.query(patiently(keepText, [bookId, last, due]));
        if (rowCount !== 0) made.push(due);
      }
      await client.query('COMMIT');
      client.release();
      if (due > folded) break;
    } catch (error) {
      client.release(true);
      throw error;
    }
  }
  return made;
}

/** Whether a fold passed a position at which rows may be due. */
export const passesMonthEnds = ({ from, to }: { readonly from: number; readonly to: number }, every: number = monthEndsEvery): boolean =>
  Math.floor(from / every) < Math.floor(to / every);

const lastText =
  'SELECT m.position FROM projections.month_ends m WHERE m.book_id = $1 AND m.position <= $2 ORDER BY m.position DESC LIMIT 1';

const sides = ['debit', 'credit', 'base_debit', 'base_credit'] as const;
type Side = (typeof sides)[number];
const each = (text: (column: Side) => string): string => sides.map(text).join(', ');

/** What a line adds to each of them. Where it is on the other side, 0 with the decimals of its currency: amount − amount is 0.00. */
const amountOf: Readonly<Record<Side, string>> = {
  debit: "CASE l.side WHEN 'D' THEN l.amount ELSE l.amount - l.amount END",
  credit: "CASE l.side WHEN 'C' THEN l.amount ELSE l.amount - l.amount END",
  base_debit: "CASE l.side WHEN 'D' THEN l.base_amount ELSE l.base_amount - l.base_amount END",
  base_credit: "CASE l.side WHEN 'C' THEN l.base_amount ELSE l.base_amount - l.base_amount END",
};

/** The rows at $3 from those at $2 and the lines between. */
const keepText = `
  INSERT INTO projections.month_ends (position, account_id, book_id, currency, months, debit, credit, base_debit, base_credit)
  SELECT $3, s.account_id, $1, s.currency, array_agg(s.month ORDER BY s.month), array_agg(s.debit ORDER BY s.month), array_agg(s.credit ORDER BY s.month),
         CASE WHEN count(s.base_debit) > 0 THEN array_agg(s.base_debit ORDER BY s.month) END,
         CASE WHEN count(s.base_credit) > 0 THEN array_agg(s.base_credit ORDER BY s.month) END
    FROM (SELECT n.account_id, n.currency, n.month, ${each((column) => `sum(sum(n.${column})) OVER upto AS ${column}`)}
            FROM (SELECT m.account_id, m.currency, u.month, ${each((column) => `u.${column} - coalesce(m.${column}[u.n - 1], 0) AS ${column}`)}
                    FROM projections.month_ends m,
                         unnest(m.months, ${each((column) => `m.${column}`)}) WITH ORDINALITY AS u (month, ${each((column) => column)}, n)
                   WHERE m.book_id = $1 AND m.position = $2
                  UNION ALL
                  SELECT l.account_id, l.currency, l.effective_date - extract(day FROM l.effective_date)::int4 + 1, ${each((column) => amountOf[column])}
                    FROM projections.account_lines l
                   WHERE l.book_id = $1 AND l.position > $2 AND l.position <= $3) AS n
           GROUP BY n.account_id, n.currency, n.month
          WINDOW upto AS (PARTITION BY n.account_id, n.currency ORDER BY n.month)) AS s
   GROUP BY s.account_id, s.currency
  ON CONFLICT DO NOTHING`;

// --- Reading ---

/**
 * The last position up to another one at which there are rows; 0 when there is none, and all lines are to be added.
 * @returns undefined where the live register is of the version before, which keeps none
 */
export async function monthEndsBefore(database: Database, bookId: string, position: number): Promise<number | undefined> {
  const table = await database.query<{ there: boolean }>({
    name: 'month-ends-there',
    text: "SELECT to_regclass('projections.month_ends') IS NOT NULL AS there",
  });
  if (table.rows[0]?.there !== true) return undefined;
  const { rows } = await database.query<{ position: number }>({
    name: 'month-ends-before',
    text: lastText,
    values: [bookId, position],
  });
  return rows[0]?.position ?? 0;
}

/** Takes totals of an account in a range of dates; told several times of the same one, whose totals are then the sum. */
export type AddTotals = (accountId: string, range: number, totals: Totals) => void;

/**
 * Totals of all accounts between dates, as far as they were recorded up to a position: in sum what totalsInRanges (as-of.ts) has for
 * them. A currency without amounts in a range may be missing there; an account without a line up to the last boundary is.
 * @param near what monthEndsBefore says; as-of and register are folded up to `position`
 * @param boundaries the last dates of the ranges, ascending
 */
export async function addTotalsOfChart(
  database: Database,
  bookId: string,
  { near, position }: { readonly near: number; readonly position: number },
  boundaries: readonly CalendarDate[],
  add: AddTotals,
): Promise<void> {
  if (near > 0) {
    await addMonths(database, bookId, near, boundaries, add);
    await addDaysOfMonths(database, bookId, near, boundaries, add);
  }
  await addLines(database, bookId, near, position, boundaries, add);
}

interface SumRow {
  readonly account_id: string;
  readonly currency: string;
  readonly debit: string;
  readonly credit: string;
  readonly base_debit: string | null;
  readonly base_credit: string | null;
}

const totalsIn = ({ currency, debit, credit, base_debit, base_credit }: SumRow): Totals =>
  totalsOf(currency, debit, credit, base_debit, base_credit);

/** What `later` has more than `earlier`. */
function less({ currency, scale, debit, credit, baseScale, baseDebit = 0n, baseCredit = 0n }: Totals, earlier: Totals): Totals {
  return {
    currency,
    scale,
    debit: debit - earlier.debit,
    credit: credit - earlier.credit,
    baseScale,
    baseDebit: baseDebit - (earlier.baseDebit ?? 0n),
    baseCredit: baseCredit - (earlier.baseCredit ?? 0n),
  };
}

const nothingIn = ({ currency, scale, baseScale }: Totals): Totals => ({ currency, scale, debit: 0n, credit: 0n, baseScale });

/** First day of the last month that ends up to and with a date. */
const lastMonthIn = (date: CalendarDate): CalendarDate =>
  isMonthEnd(date) ? `${date.slice(0, 7)}-01` : `${addDays(`${date.slice(0, 7)}-01`, -1).slice(0, 7)}-01`;
const isMonthEnd = (date: CalendarDate): boolean => date === lastDate || addDays(date, 1).endsWith('-01');

/** What each account had at the month ends up to each boundary, less what it had at those up to the one before. */
async function addMonths(
  database: Database,
  bookId: string,
  near: number,
  boundaries: readonly CalendarDate[],
  add: AddTotals,
): Promise<void> {
  const { rows } = await database.query<SumRow>({
    name: 'month-ends-at',
    // width_bucket finds the last month up to the one that is wanted; element 0 is NULL.
    text: `SELECT m.account_id, m.currency, ${each(
      (column) =>
        `CASE WHEN m.${column} IS NOT NULL THEN array_to_string(ARRAY(SELECT m.${column}[width_bucket(w.month, m.months)] FROM unnest($3::date[]) AS w (month)), ' ', '-') END AS ${column}`,
    )}
             FROM projections.month_ends m WHERE m.book_id = $1 AND m.position = $2`,
    values: [bookId, near, dateArray(boundaries.map(lastMonthIn))],
  });
  for (const { account_id, currency, ...sums } of rows) {
    const [debits = [], credits = [], baseDebits = [], baseCredits = []] = sides.map((side) => sums[side]?.split(' ') ?? []);
    let before: Totals | undefined;
    for (let range = 0; range < boundaries.length; range++) {
      const [debit, credit, baseDebit, baseCredit] = [debits[range], credits[range], baseDebits[range], baseCredits[range]];
      // No line is dated up to then.
      if (debit === undefined || credit === undefined || debit === '-') continue;
      const last = range - 1;
      if (debit === debits[last] && credit === credits[last] && baseDebit === baseDebits[last] && baseCredit === baseCredits[last])
        continue;
      const upTo = totalsOf(currency, debit, credit, baseDebit === '-' ? null : baseDebit, baseCredit === '-' ? null : baseCredit);
      add(account_id, range, before === undefined ? upTo : less(upTo, before));
      before = upTo;
    }
  }
}

/** The days between the last month end and each boundary inside a month. */
async function addDaysOfMonths(
  database: Database,
  bookId: string,
  near: number,
  boundaries: readonly CalendarDate[],
  add: AddTotals,
): Promise<void> {
  const inside = boundaries.flatMap((date, range) => (isMonthEnd(date) ? [] : [{ date, range }]));
  if (inside.length === 0) return;
  const { rows } = await database.query<SumRow & { range: number }>({
    name: 'days-of-months',
    // Buckets of days that lie beside one another are read in one go: fewer than the lines of those days.
    text: `SELECT m.account_id, m.currency, w.range, ${each((column) => `sum(d.${column}) AS ${column}`)}
             FROM projections.month_ends m, unnest($3::int4[], $4::date[], $5::date[]) AS w (range, low, high),
                  LATERAL (SELECT DISTINCT ON (t.start) ${each((column) => `t.${column}`)} FROM projections.running_totals t
                            WHERE t.book_id = $1 AND t.account_id = m.account_id AND t.currency = m.currency AND t.bucket = 'D'
                              AND t.start BETWEEN w.low AND w.high AND t.position <= $2
                            ORDER BY t.start DESC, t.position DESC) AS d
            WHERE m.book_id = $1 AND m.position = $2
            GROUP BY m.account_id, m.currency, w.range`,
    values: [
      bookId,
      near,
      int4Array(inside.map(({ range }) => range)),
      dateArray(inside.map(({ date }) => `${date.slice(0, 7)}-01`)),
      dateArray(inside.map(({ date }) => date)),
    ],
  });
  for (const row of rows) {
    const totals = totalsIn(row);
    add(row.account_id, row.range, totals);
    // The next range begins behind the same month end.
    if (row.range + 1 < boundaries.length) add(row.account_id, row.range + 1, less(nothingIn(totals), totals));
  }
}

/** What was posted behind the position of the rows. */
async function addLines(
  database: Database,
  bookId: string,
  near: number,
  position: number,
  boundaries: readonly CalendarDate[],
  add: AddTotals,
): Promise<void> {
  const { rows } = await database.query<SumRow & { range: number }>({
    name: 'lines-behind-month-ends',
    text: `SELECT l.account_id, l.currency, width_bucket(l.effective_date - 1, $4::date[]) AS range,
                  ${each((column) => `sum(${amountOf[column]}) AS ${column}`)}
             FROM projections.account_lines l
            WHERE l.book_id = $1 AND l.position > $2 AND l.position <= $3 AND l.effective_date <= $5
            GROUP BY l.account_id, l.currency, range`,
    values: [bookId, near, position, dateArray(boundaries), boundaries.at(-1)],
  });
  for (const row of rows) add(row.account_id, row.range, totalsIn(row));
}
