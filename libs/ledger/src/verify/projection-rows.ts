/**
 * The rows that the projections must hold, told again from the events by code that shares nothing with the folds that wrote
 * them, and digests to compare many rows in any order. A row of running_totals is compared by what it adds to the row before it
 * in its bucket, so that no bucket has to be remembered.
 */
import { fromMinor } from '#domain';

export type ProjectedTable = 'entries' | 'account_lines' | 'running_totals' | 'account_versions';

/** Each projection table, the projection that writes it, and its rows as texts that begin with the position. */
export const projectedTables: Readonly<
  Record<ProjectedTable, { readonly projection: string; readonly columns: string; readonly from: string }>
> = {
  entries: {
    projection: 'register',
    columns: 'position, entry_id, number, effective_date, journal_code, fiscal_year, entry_type, reference',
    from: 'projections.entries WHERE book_id = $book',
  },
  account_lines: {
    projection: 'register',
    columns: 'position, line, account_id, effective_date, side, currency, amount',
    from: 'projections.account_lines WHERE book_id = $book',
  },
  running_totals: {
    projection: 'as-of',
    columns: 'position, account_id, currency, bucket, start, scale(debit), scale(credit), debit - debit_before, credit - credit_before',
    from: `(SELECT *, lag(debit, 1, 0::numeric) OVER bucket AS debit_before, lag(credit, 1, 0::numeric) OVER bucket AS credit_before
              FROM projections.running_totals WHERE book_id = $book
            WINDOW bucket AS (PARTITION BY account_id, currency, bucket, start ORDER BY position)) AS t WHERE true`,
  },
  account_versions: {
    projection: 'chart',
    columns: 'position, account_id, code, state',
    from: 'projections.account_versions WHERE book_id = $book',
  },
};

/** Told of each row. `key` is the row's own key within its table, a prefix of the text. */
export type Emit = (table: ProjectedTable, position: number, text: string) => void;

/** A line as an entry holds it; `minor` and `scale` are its amount. */
export interface ProjectedLine {
  readonly line: number;
  readonly accountId: string;
  readonly side: string;
  readonly currency: string;
  readonly amount: string;
  readonly minor: bigint;
  readonly scale: number;
  /** The account itself where it is at hand: found again without reading its id. */
  readonly account?: object | undefined;
}

/** What one account has received in one currency on one date, in the batch at hand. */
interface Sum {
  readonly accountId: string;
  readonly currency: string;
  readonly date: string;
  readonly scale: number;
  debit: bigint;
  credit: bigint;
  /** Of the same account on other dates or in other currencies; seldom any. */
  others: Sum[] | undefined;
}

/** Rows of running_totals end where this divides a position, and where a batch ends. */
const totalsEvery = 128;

export class ProjectionRows {
  /** Of the part of a batch at hand, by account. */
  private readonly sums = new Map<object | string, Sum>();
  /** Where that part ends, unless its batch ends before. */
  private partEnd = 0;

  constructor(private readonly emit: Emit) {}

  /** A JournalEntryPosted whose amounts could be read. */
  entry(position: number, entryId: string, posted: Readonly<Record<string, unknown>>, lines: readonly ProjectedLine[]): void {
    this.reached(position);
    this.partEnd = position + ((totalsEvery - (position % totalsEvery)) % totalsEvery);
    const { number, effectiveDate, journalCode, fiscalYear, entryType, reference } = posted;
    const date = String(effectiveDate);
    const row = `${position}\t${entryId}\t${number}\t${date}\t${journalCode}\t${fiscalYear}\t${entryType}`;
    this.emit('entries', position, reference === undefined ? row : `${row}\t${reference}`);
    for (const { line, accountId, side, currency, amount, minor, scale, account = accountId } of lines) {
      const debit = side === 'debit';
      this.emit('account_lines', position, `${position}\t${line}\t${accountId}\t${date}\t${debit ? 'D' : 'C'}\t${currency}\t${amount}`);
      let sum = this.sums.get(account);
      if (sum === undefined) {
        sum = { accountId, currency, date, scale, debit: 0n, credit: 0n, others: undefined };
        this.sums.set(account, sum);
      } else if (sum.date !== date || sum.currency !== currency) {
        sum.others ??= [];
        let other = sum.others.find((known) => known.date === date && known.currency === currency);
        if (other === undefined) {
          other = { accountId, currency, date, scale, debit: 0n, credit: 0n, others: undefined };
          sum.others.push(other);
        }
        sum = other;
      }
      if (debit) sum.debit += minor;
      else sum.credit += minor;
    }
  }

  /** An account after a change that is not a line. @param state as jsonb text */
  account(position: number, accountId: string, code: string, state: string): void {
    this.emit('account_versions', position, `${position}\t${accountId}\t${code}\t${state}`);
  }

  /** No entry before `position` is to come: what ends before it ends where it must, because its batch goes on. */
  reached(position: number): void {
    if (position > this.partEnd) this.endPart(this.partEnd);
  }

  /** The batch that ends at `last`. */
  batchEnd(last: number): void {
    this.endPart(Math.min(this.partEnd, last));
  }

  /** One row per account, currency and year, month and day that was touched since the part before it. */
  private endPart(last: number): void {
    if (this.sums.size === 0) return;
    for (const sum of this.sums.values()) {
      const row = `${last}\t${sum.accountId}\t`;
      if (sum.others === undefined) {
        const { date } = sum;
        const [start, end] = [`${row}${sum.currency}\t`, amounts(sum)];
        this.emit('running_totals', last, `${start}Y\t${date.slice(0, 4)}-01-01${end}`);
        this.emit('running_totals', last, `${start}M\t${date.slice(0, 7)}-01${end}`);
        this.emit('running_totals', last, `${start}D\t${date}${end}`);
        continue;
      }
      for (const [length, rest, bucket] of buckets) {
        const starts = new Map<string, Pick<Sum, 'scale' | 'debit' | 'credit'>>();
        for (const { currency, date, scale, debit, credit } of [sum, ...sum.others]) {
          const start = `${currency}\t${bucket}\t${date.slice(0, length)}`;
          const known = starts.get(start);
          starts.set(start, { scale, debit: debit + (known?.debit ?? 0n), credit: credit + (known?.credit ?? 0n) });
        }
        for (const [start, total] of starts) this.emit('running_totals', last, `${row}${start}${rest}${amounts(total)}`);
      }
    }
    this.sums.clear();
  }
}

const amounts = ({ scale, debit, credit }: Pick<Sum, 'scale' | 'debit' | 'credit'>): string =>
  `\t${scale}\t${scale}\t${fromMinor(debit, scale)}\t${fromMinor(credit, scale)}`;

/** How much of a date is left of it in its year, month and day, what makes it a date again, and the bucket's name. */
const buckets = [
  [4, '-01-01', 'Y'],
  [7, '-01', 'M'],
  [10, '', 'D'],
] as const;

/** Positions whose rows share one digest. */
export const rangeSize = 8_192;
const rangeOf = (position: number): number => Math.floor(position / rangeSize);

/**
 * Sums of keyed hashes, one per range of positions: equal sets of rows have equal digests in whatever order they came; one row
 * that differs always shows, several by chance not once in 2^64 times.
 */
export class Digests {
  private readonly first: Int32Array;
  private readonly second: Int32Array;
  rows = 0;

  /**
   * @param seed two random integers, the same for both sides of a comparison
   * @param head no position should be higher; those that are share the last range
   */
  constructor(
    private readonly seed: readonly [number, number],
    head: number,
  ) {
    this.first = new Int32Array(rangeOf(head) + 2);
    this.second = new Int32Array(this.first.length);
  }

  add(position: number, text: string): void {
    const range = position >= 0 ? Math.min(rangeOf(position), this.first.length - 1) : 0;
    let [one, two] = this.seed as [number, number];
    const even = text.length & ~1;
    for (let index = 0; index < even; index += 2) {
      const units = text.charCodeAt(index) | (text.charCodeAt(index + 1) << 16);
      one = Math.imul(one ^ units, 0x9e3779b1);
      two = Math.imul(two ^ units, 0x85ebca6b);
    }
    if (even < text.length) {
      const unit = text.charCodeAt(even) | 0x10000;
      one = Math.imul(one ^ unit, 0x9e3779b1);
      two = Math.imul(two ^ unit, 0x85ebca6b);
    }
    one = Math.imul(one ^ (two >>> 15), 0xc2b2ae35);
    two = Math.imul(two ^ (one >>> 13), 0x27d4eb2f);
    this.first[range] = ((this.first[range] as number) + one) | 0;
    this.second[range] = ((this.second[range] as number) + two) | 0;
    this.rows++;
  }

  /** The ranges in which the two sets of rows differ. */
  differing(other: Digests): number[] {
    const ranges: number[] = [];
    for (let range = 0; range < this.first.length; range++) {
      if (this.first[range] !== other.first[range] || this.second[range] !== other.second[range]) ranges.push(range);
    }
    return ranges;
  }
}
