/**
 * The rows of month_ends, told again from the rows at the position before them and the lines in between, which are held against the
 * events elsewhere. A month is compared by what it adds to the month before it, both sides and the base amounts, as the text of the
 * arrays shows them; so a row that is right stands on one that is.
 */
import type { Findings } from './findings';
import type { Snapshot } from './rows';

/** Month ends lie at multiples of it: buckets of days end there too. */
const positionsEvery = 128;

const columns = ['debit', 'credit', 'base_debit', 'base_credit'] as const;
const all = (text: (column: string) => string): string => columns.map(text).join(', ');

/** What the rows at a position say in each month alone. */
const monthly = (position: string): string => `
  SELECT m.account_id, m.currency, u.month, ${all((column) => `u.${column} - coalesce(lag(u.${column}) OVER months, 0) AS ${column}`)}
    FROM projections.month_ends m, unnest(m.months, ${all((column) => `m.${column}`)}) AS u (month, ${all((column) => column)})
   WHERE m.book_id = $1 AND m.position = ${position}
  WINDOW months AS (PARTITION BY m.account_id, m.currency ORDER BY u.month)`;

const amountOn = (side: string, column: string): string =>
  `coalesce(sum(l.${column}) FILTER (WHERE l.side = '${side}'), 0 * max(l.${column}))`;

/** By account and currency, the arrays that the rows at $3 must hold. */
const expected = `
  SELECT account_id, currency, array_agg(month ORDER BY month) AS months, ${all((column) => `CASE WHEN bool_or(${column} IS NOT NULL) THEN array_agg(${column} ORDER BY month) END AS ${column}`)}
    FROM (SELECT account_id, currency, month, ${all((column) => `sum(${column}) OVER months AS ${column}`)}
            FROM (SELECT account_id, currency, month, ${all((column) => `sum(${column}) AS ${column}`)}
                    FROM (${monthly('$2')}
                          UNION ALL
                          SELECT l.account_id, l.currency, make_date(extract(year FROM l.effective_date)::int4, extract(month FROM l.effective_date)::int4, 1),
                                 ${amountOn('D', 'amount')}, ${amountOn('C', 'amount')}, ${amountOn('D', 'base_amount')}, ${amountOn('C', 'base_amount')}
                            FROM projections.account_lines l WHERE l.book_id = $1 AND l.position > $2 AND l.position <= $3 GROUP BY 1, 2, 3) AS each_month
                   GROUP BY account_id, currency, month) AS month_sums
          WINDOW months AS (PARTITION BY account_id, currency ORDER BY month)) AS cumulated
   GROUP BY account_id, currency`;

const shown = (alias: string): string => `concat_ws(' ', ${alias}.months, ${all((column) => `coalesce(${alias}.${column}::text, '-')`)})`;

const differences = `
  SELECT account_id::text, currency, CASE WHEN m.book_id IS NOT NULL THEN ${shown('m')} END AS actual, CASE WHEN e.months IS NOT NULL THEN ${shown('e')} END AS expected
    FROM (SELECT * FROM projections.month_ends WHERE book_id = $1 AND position = $3) AS m FULL JOIN (${expected}) AS e USING (account_id, currency)
   WHERE m.book_id IS NULL OR e.months IS NULL OR ${shown('m')} <> ${shown('e')}
   ORDER BY account_id, currency LIMIT 50`;

/**
 * @param cursor up to where the register has folded
 * @returns how many rows there are
 */
export async function checkMonthEnds(snapshot: Snapshot, bookId: string, cursor: number, findings: Findings): Promise<number> {
  const { rows } = await snapshot.query<{ position: string; rows: string }>(
    'SELECT position::text, count(*)::text AS rows FROM projections.month_ends WHERE book_id = $1 GROUP BY position ORDER BY month_ends.position',
    [bookId],
  );
  let before = 0;
  for (const position of rows.map((row) => Number(row.position))) {
    const table = `projections.month_ends ${position}`;
    if (position > cursor || position < 1 || position % positionsEvery !== 0) {
      findings.add('register', `${table}: there are no rows at this position; the cursor stands at ${cursor}`, { position, row: table });
      continue;
    }
    const found = await snapshot.query<{ account_id: string; currency: string; actual: string | null; expected: string | null }>(
      differences,
      [...[bookId, before, position]],
    );
    for (const { account_id, currency, actual, expected: wanted } of found.rows) {
      const row = `${table}/${account_id}/${currency}`;
      const message =
        actual === null
          ? `is missing; the lines make it ${wanted}`
          : wanted === null
            ? `no line makes this row (${actual})`
            : `says ${actual}, the lines make it ${wanted}`;
      findings.add('register', `${row}: ${message}`, { position, row });
    }
    before = position;
  }
  return rows.reduce((sum, row) => sum + Number(row.rows), 0);
}
