/**
 * Dimensions: the posted lines that carry a cost centre, a project or the like, under each of their key=value pairs. Hides the
 * table and how further pairs are looked up; guarantees that all lines of a pair up to a date are one range of the index, and that
 * rows never change: what an answer at a position showed, it shows for ever.
 */
import { type CalendarDate, firstDate, type JournalEntryPosted, lastDate } from '#domain';
import { dateArray, int4Array, int8Array, textArray, uuidArray } from '#postgres';
import type { Database, Projection } from '../projection';
import { type Totals, totalsOf } from './as-of';

/** A dimension and the value that a line has in it. */
export interface DimensionValue {
  readonly key: string;
  readonly value: string;
}

/** One row per line and pair, at the position of the JournalEntryPosted. A pair that a line says twice is one row. */
export const dimensions: Projection = {
  name: 'dimensions',
  version: 1,
  tables: [
    {
      name: 'dimension_lines',
      columns: {
        position: 'bigint',
        account_id: 'uuid',
        effective_date: 'date',
        line: 'integer',
        side: '"char"',
        book_id: 'text',
        key: 'text',
        value: 'text',
        currency: 'text',
        amount: 'numeric',
        base_amount: 'numeric null',
      },
      primaryKey: ['book_id', 'key', 'value', 'effective_date', 'position', 'line'],
      // Totals of a pair read its range of the index and nothing else.
      include: ['account_id', 'side', 'currency', 'amount', 'base_amount'],
      checks: { side: "side IN ('D', 'C')" },
    },
  ],
  inserts: [
    `INSERT INTO projections.dimension_lines (position, account_id, effective_date, line, side, book_id, key, value, currency, amount, base_amount)
     SELECT n.position, n.account_id, n.effective_date, n.line, n.side::"char", $book, n.key, n.value, n.currency, n.amount::numeric, n.base_amount::numeric
       FROM unnest($1::int8[], $2::uuid[], $3::date[], $4::int4[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
            AS n (position, account_id, effective_date, line, side, key, value, currency, amount, base_amount)
      WHERE $won`,
  ],
  fold(batches) {
    const rows = {
      positions: [] as number[],
      accounts: [] as string[],
      dates: [] as string[],
      lines: [] as number[],
      sides: [] as string[],
      keys: [] as string[],
      values: [] as string[],
      currencies: [] as string[],
      amounts: [] as string[],
      baseAmounts: [] as (string | undefined)[],
    };
    for (const { events } of batches) {
      for (const { eventType, position, current } of events) {
        if (eventType !== 'JournalEntryPosted') continue;
        const { effectiveDate, lines } = current as unknown as JournalEntryPosted;
        for (const { line, accountId, side, currency, amount, baseAmount, dimensions: pairs } of lines) {
          if (pairs === undefined) continue;
          for (const { key, value } of distinct(pairs)) {
            rows.positions.push(position);
            rows.accounts.push(accountId);
            rows.dates.push(effectiveDate);
            rows.lines.push(line);
            rows.sides.push(side === 'debit' ? 'D' : 'C');
            rows.keys.push(key);
            rows.values.push(value);
            rows.currencies.push(currency);
            rows.amounts.push(amount);
            rows.baseAmounts.push(baseAmount);
          }
        }
      }
    }
    return [
      [
        int8Array(rows.positions),
        uuidArray(rows.accounts),
        dateArray(rows.dates),
        int4Array(rows.lines),
        textArray(rows.sides),
        textArray(rows.keys),
        textArray(rows.values),
        textArray(rows.currencies),
        textArray(rows.amounts),
        textArray(rows.baseAmounts),
      ],
    ];
  },
};

const distinct = (pairs: readonly DimensionValue[]): DimensionValue[] =>
  pairs.filter(({ key, value }, index) => pairs.findIndex((other) => other.key === key && other.value === value) === index);

// --- Reading ---

export interface DimensionQuestion {
  readonly bookId: string;
  readonly pair: DimensionValue;
  /** Further pairs that a line must have too. */
  readonly also?: readonly DimensionValue[];
  /** First date; 1900-01-01 when absent. */
  readonly from?: CalendarDate;
  /** Last date; 2199-12-31 when absent. */
  readonly to?: CalendarDate;
  /** Lines recorded at or before this position count; it must be folded. */
  readonly position: number;
}

/**
 * Totals per account and currency over the lines that have a pair, and all further ones.
 * @returns by account, sorted by currency; an account without such a line is missing
 */
export async function totalsOfDimension(
  database: Database,
  { bookId, pair, also = [], from = firstDate, to = lastDate, position }: DimensionQuestion,
): Promise<Map<string, Totals[]>> {
  const { rows } = await database.query<{
    account_id: string;
    currency: string;
    debit: string;
    credit: string;
    base_debit: string | null;
    base_credit: string | null;
  }>({
    name: 'totals-of-dimension',
    // A line has all further pairs when none of them is missing; each is a look-up of the whole key. x - x is zero with x's decimals.
    text: `SELECT l.account_id, l.currency,
                  sum(CASE l.side WHEN 'D' THEN l.amount ELSE l.amount - l.amount END) AS debit,
                  sum(CASE l.side WHEN 'C' THEN l.amount ELSE l.amount - l.amount END) AS credit,
                  sum(CASE l.side WHEN 'D' THEN l.base_amount ELSE l.base_amount - l.base_amount END) AS base_debit,
                  sum(CASE l.side WHEN 'C' THEN l.base_amount ELSE l.base_amount - l.base_amount END) AS base_credit
             FROM projections.dimension_lines l
            WHERE l.book_id = $1 AND l.key = $2 AND l.value = $3 AND l.effective_date >= $4 AND l.effective_date <= $5 AND l.position <= $6
              AND NOT EXISTS (SELECT FROM unnest($7::text[], $8::text[]) AS a (key, value)
                               WHERE NOT EXISTS (SELECT FROM projections.dimension_lines d
                                                  WHERE d.book_id = $1 AND d.key = a.key AND d.value = a.value AND d.effective_date = l.effective_date
                                                    AND d.position = l.position AND d.line = l.line OFFSET 0))
            GROUP BY l.account_id, l.currency ORDER BY l.account_id, l.currency`,
    values: [
      ...[bookId, pair.key, pair.value, from, to, position],
      textArray(also.map(({ key }) => key)),
      textArray(also.map(({ value }) => value)),
    ],
  });
  const found = new Map<string, Totals[]>();
  for (const { account_id, currency, debit, credit, base_debit, base_credit } of rows) {
    const totals = totalsOf(currency, debit, credit, base_debit, base_credit);
    const known = found.get(account_id);
    if (known === undefined) found.set(account_id, [totals]);
    else known.push(totals);
  }
  return found;
}
