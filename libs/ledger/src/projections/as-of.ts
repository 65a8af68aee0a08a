/**
 * As-of: what was posted to an account with an effective date up to D, as far as it was recorded up to position P. Hides
 * running totals per year, month and day; guarantees that a balance costs a few dozen index seeks whatever the length of the
 * history, that a back-dated line changes no row, and that a balance includes every entry acknowledged before it was asked
 * for, however far the fold is behind (I14): what is not folded yet is read from the account's own stream.
 *
 * Why totals as of a position: the row of a bucket holds what the bucket contained up to and with the row's position, so
 * "bucket as known at P" is its last row with a position of at most P, one seek. A date D is the years before its year, the
 * months before its month and the days up to D, or from the nearer end: its month less the days after D, its year less the months
 * after that. Batches are cut (`cutEvery`), so that what lies between the last row and P is little.
 *
 * Measured at 10,000,000 lines of one account (p50, AMD EPYC, 2 cores, PostgreSQL 18.4, 3 GB of shared_buffers, bench/results/2026-11-27T00-32-35.json): any day 0.74
 * ms, as known at any position 0.76, both 1.03; that is 1.26, 1.05 and 1.35 times what they take at 100,000. A seek of running_totals takes 12 µs, of which more than half
 * goes to the rows beside it in its index page: an index scan checks them all, and columns after a text have no fixed place.
 */
import type { QueryConfig } from 'pg';
import {
  type AccountPosted,
  type AccountState,
  accountReducer,
  addDays,
  type CalendarDate,
  daysInMonth,
  decimalsOf,
  type EntryLine,
  firstDate,
  fromMinor,
  isDate,
  type JournalEntryPosted,
  lastDate,
  partsOf,
  toMinor,
} from '#domain';
import { type EventStore, upcast } from '#event-store';
import { CopyRows, dateArray, fieldOf, int2Array, int4Array, textArray, uuidArray } from '#postgres';
import { type Batch, type CopyFold, cursorsOf, type Database, type Projection } from '../projection';
import { type AccountView, accountPatch, chart } from './chart';

/** Totals of one account in one currency, minor units. */
export interface Totals {
  readonly currency: string;
  /** Decimals of the currency. */
  readonly scale: number;
  readonly debit: bigint;
  readonly credit: bigint;
  /**
   * What the lines with a base amount add up to in the book's base currency, and its decimals; all absent when there is no such
   * line. `balanceAtHead` leaves them out, since the account's head does not know them, and `balanceAt` unless it is asked for them.
   */
  readonly baseScale?: number | undefined;
  readonly baseDebit?: bigint | undefined;
  readonly baseCredit?: bigint | undefined;
}

// --- The fold ---

/**
 * A batch is cut behind every position that this divides: a row counts up to the first cut or batch end at or after the
 * positions of its entries. What a read has to add by itself is then less than so many events, however long batches are.
 * 1,000,000 lines on 1,096 days in batches of 2,800 events: 256,000 rows without cuts, 369,000 with one every 512 events, 420,000
 * every 256, 473,000 every 128, 535,000 every 64. With 64 events to add on average a read takes 0.14 (both) to 0.2 ms (known) longer than with
 * none. Two hot accounts fold 4 to 20 % slower with 128, about a third with 64 (busy machine); ten thousand have 3 % more rows.
 * Every row depends on this number: another one means that books are folded anew (migration 0008 shows how).
 */
export const cutEvery = 128;

/** The last position at or before another one up to which rows hold whole entries; the batch end is the last one before it. */
export const rowsEndBefore = (position: number, batchEnd: number): number => Math.max(position - (position % cutEvery), batchEnd);

/** What a year, month or day has received in the batches that are folded together. */
interface Bucket {
  readonly kind: Kind;
  /** First day, in days since 1970-01-01. */
  readonly start: number;
  debit: bigint;
  credit: bigint;
  /** Position of the row at hand. */
  end: number;
  /** Of the rows before it, with blanks in between. */
  positions: string;
  debits: string;
  credits: string;
  /** Of the lines that carry a base amount; undefined and '' as long as there is none. A row before the first of them is `-`. */
  base: Sides | undefined;
  baseDebits: string;
  baseCredits: string;
}

interface Sides {
  debit: bigint;
  credit: bigint;
}

type Kind = 'Y' | 'M' | 'D';

/** One account in one currency while batches are folded. */
interface Register {
  readonly account: string;
  readonly currency: string;
  readonly scale: number;
  /** By kind and first day. */
  readonly buckets: Map<number, Bucket>;
  /** Touched since the last cut or batch end. */
  readonly touched: Bucket[];
  /** The lines at hand that have the same date: added to its buckets at once. */
  date: CalendarDate | undefined;
  debit: bigint;
  credit: bigint;
  base: Sides | undefined;
}

/** First days of the year, the month and the day of a date, in days since 1970-01-01. */
interface Starts {
  readonly Y: number;
  readonly M: number;
  readonly D: number;
}

/** One row per (account, currency, bucket) and part of a commit batch, at the cut or batch end behind it: the log alone decides (I7). */
export const asOf: Projection = {
  name: 'as-of',
  version: 1,
  tables: [
    {
      // What was posted to (account, currency) with an effective date inside a bucket, counted up to and with position. bucket: Y year,
      // M month, D day; start is the bucket's first day. base_debit and base_credit are NULL until a line in the bucket carries a base
      // amount. There is no bucket for all dates: it is the sum of the years, a seek each, and would be a quarter of all rows.
      name: 'running_totals',
      columns: {
        position: 'bigint',
        account_id: 'uuid',
        start: 'date',
        bucket: '"char"',
        book_id: 'text',
        currency: 'text',
        debit: 'numeric',
        credit: 'numeric',
        base_debit: 'numeric null',
        base_credit: 'numeric null',
      },
      primaryKey: ['book_id', 'account_id', 'currency', 'bucket', 'start', 'position'],
      // A seek ends in the index.
      include: ['debit', 'credit', 'base_debit', 'base_credit'],
      checks: {
        bucket: "bucket IN ('Y', 'M', 'D')",
        base: '(base_debit IS NULL) = (base_credit IS NULL)',
      },
    },
  ],
  // The rows count from the first of these batches on; the statement adds what the bucket held before. That is looked up once for
  // all rows of a bucket: a look-up per row cost a third of the fold of two hot accounts. LATERAL with LIMIT stays a seek however
  // the tables looked when the plan was made, and OFFSET 0 keeps it before the rows.
  inserts: [
    `INSERT INTO projections.running_totals (position, account_id, start, bucket, book_id, currency, debit, credit, base_debit, base_credit)
     SELECT r.position, b.account_id, b.start, b.bucket, $book, b.currency, r.debit + b.debit, r.credit + b.credit,
            CASE WHEN r.base_debit IS NULL THEN b.base_debit ELSE r.base_debit + coalesce(b.base_debit, 0) END,
            CASE WHEN r.base_credit IS NULL THEN b.base_credit ELSE r.base_credit + coalesce(b.base_credit, 0) END
       FROM (SELECT n.*, coalesce(before.debit, 0) AS debit, coalesce(before.credit, 0) AS credit, before.base_debit, before.base_credit
               FROM (SELECT u.account_id, date '1970-01-01' + u.start AS start, u.bucket::"char" AS bucket, u.currency, u.positions, u.debits,
                            u.credits, u.base_debits, u.base_credits
                       FROM unnest($1::uuid[], $2::int4[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
                            AS u (account_id, start, bucket, currency, positions, debits, credits, base_debits, base_credits)) AS n
               LEFT JOIN LATERAL (SELECT t.debit, t.credit, t.base_debit, t.base_credit FROM projections.running_totals t
                                   WHERE t.book_id = $book AND t.account_id = n.account_id AND t.currency = n.currency
                                     AND t.bucket = n.bucket AND t.start = n.start
                                   ORDER BY t.position DESC LIMIT 1) AS before ON true
              OFFSET 0) AS b,
            unnest(string_to_array(b.positions, ' ')::int8[], string_to_array(b.debits, ' ')::numeric[], string_to_array(b.credits, ' ')::numeric[],
                   string_to_array(b.base_debits, ' ', '-')::numeric[], string_to_array(b.base_credits, ' ', '-')::numeric[])
              AS r (position, debit, credit, base_debit, base_credit)
      WHERE $won`,
  ],
  copy: (bookId) => new TotalsCopy(bookId),
  fold(batches) {
    const rows = rowsAsText(batches);
    return [
      [
        uuidArray(rows.accounts),
        int4Array(rows.starts),
        textArray(rows.kinds),
        textArray(rows.currencies),
        textArray(rows.positions),
        textArray(rows.debits),
        textArray(rows.credits),
        textArray(rows.baseDebits),
        textArray(rows.baseCredits),
      ],
    ];
  },
};

/** One element for each bucket; its positions, debits and credits are those of its rows, with blanks in between. */
interface BucketRows {
  readonly accounts: string[];
  readonly starts: number[];
  readonly kinds: Kind[];
  readonly currencies: string[];
  readonly positions: string[];
  readonly debits: string[];
  readonly credits: string[];
  /** undefined where no line of the bucket carries a base amount. */
  readonly baseDebits: (string | undefined)[];
  readonly baseCredits: (string | undefined)[];
}

/** A row of a bucket, which holds what the row says. */
type Row = (register: Register, bucket: Bucket, end: number) => void;

/** Rows counted from the first of these batches on. */
function rowsAsText(batches: readonly Batch[]): BucketRows {
  const totals = new TotalsFold(({ scale }, bucket, end) => {
    const [debit, credit] = [fromMinor(bucket.debit, scale), fromMinor(bucket.credit, scale)];
    const first = bucket.positions === '';
    bucket.positions = first ? String(end) : `${bucket.positions} ${end}`;
    bucket.debits = first ? debit : `${bucket.debits} ${debit}`;
    bucket.credits = first ? credit : `${bucket.credits} ${credit}`;
    if (bucket.base === undefined) return;
    const none = bucket.baseDebits === '' ? '- '.repeat(bucket.positions.split(' ').length - 1) : ' ';
    bucket.baseDebits += none + fromMinor(bucket.base.debit, totals.baseScale);
    bucket.baseCredits += none + fromMinor(bucket.base.credit, totals.baseScale);
  });
  totals.fold(batches);
  const rows: BucketRows = {
    ...{ accounts: [], starts: [], kinds: [], currencies: [], positions: [], debits: [], credits: [], baseDebits: [], baseCredits: [] },
  };
  const byAccount = [...totals.accounts].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const { account, currency, buckets } of byAccount.flatMap(([, currencies]) => [...currencies.values()])) {
    for (const { kind, start, positions, debits, credits, base, baseDebits, baseCredits } of buckets.values()) {
      rows.accounts.push(account);
      rows.starts.push(start);
      rows.kinds.push(kind);
      rows.currencies.push(currency);
      rows.positions.push(positions);
      rows.debits.push(debits);
      rows.credits.push(credits);
      rows.baseDebits.push(base === undefined ? undefined : baseDebits);
      rows.baseCredits.push(base === undefined ? undefined : baseCredits);
    }
  }
  return rows;
}

/** Rows counted from the first event of the book on, because every bucket is remembered. */
class TotalsCopy implements CopyFold {
  private readonly out = new CopyRows();
  private readonly totals: TotalsFold;
  private readonly book: Buffer;
  /** The fields of a register's rows that are always the same: its account; its book and currency. */
  private readonly fields = new WeakMap<Register, { readonly account: Buffer; readonly tail: Buffer }>();

  constructor(private readonly bookId: string) {
    this.book = fieldOf('text', bookId);
    const { out } = this;
    this.totals = new TotalsFold((register, { kind, start, debit, credit, base }, end) => {
      const { account, tail } = this.fieldsOf(register);
      out.row(10);
      out.int8(end);
      out.bytes(account);
      out.date(start);
      out.char(kind);
      out.bytes(tail);
      out.numeric(debit, register.scale);
      out.numeric(credit, register.scale);
      if (base === undefined) {
        out.null();
        out.null();
      } else {
        out.numeric(base.debit, this.totals.baseScale);
        out.numeric(base.credit, this.totals.baseScale);
      }
    });
  }

  get remembered(): number {
    return this.totals.buckets;
  }

  rows(batches: readonly Batch[]): readonly Buffer[] {
    this.totals.fold(batches);
    return [this.out.take()];
  }

  async resume(database: Database, most: number): Promise<boolean> {
    // Without an index, and so in one pass over the table.
    const { rows } = await database.query<{
      account: string;
      currency: string;
      kind: Kind;
      start: number;
      debit: string;
      credit: string;
      base_debit: string | null;
      base_credit: string | null;
    }>({
      text: `SELECT DISTINCT ON (account_id, currency, bucket, start) account_id AS account, currency, bucket AS kind, start - date '1970-01-01' AS start,
                    debit, credit, base_debit, base_credit
               FROM projections.running_totals t WHERE book_id = $1 ORDER BY account_id, currency, bucket, start, position DESC LIMIT $2`,
      values: [this.bookId, most + 1],
      query_timeout: 2 ** 31 - 1,
    } as QueryConfig);
    if (rows.length > most) return false;
    for (const { base_debit: baseDebit, base_credit: baseCredit, ...row } of rows) {
      this.totals.take(row, baseDebit === null || baseCredit === null ? undefined : { debit: baseDebit, credit: baseCredit });
    }
    return true;
  }

  private fieldsOf(register: Register): { readonly account: Buffer; readonly tail: Buffer } {
    let fields = this.fields.get(register);
    if (fields === undefined) {
      fields = { account: fieldOf('uuid', register.account), tail: Buffer.concat([this.book, fieldOf('text', register.currency)]) };
      this.fields.set(register, fields);
    }
    return fields;
  }
}

class TotalsFold {
  readonly accounts = new Map<string, Map<string, Register>>();
  /** How many buckets there are. */
  buckets = 0;
  /** Decimals of the base currency, from the first base amount. */
  baseScale = 0;
  private baseKnown = false;
  private readonly starts = new Map<CalendarDate, Starts>();
  /** Since the last cut or batch end. */
  private readonly touched = new Set<Register>();

  constructor(private readonly row: Row) {}

  fold(batches: readonly Batch[]): void {
    for (const { last, events } of batches) {
      let end = 0;
      for (const { position, eventType, current } of events) {
        if (eventType !== 'JournalEntryPosted') continue;
        if (position > end) {
          this.closePart(end);
          end = Math.min(Math.ceil(position / cutEvery) * cutEvery, last);
        }
        const { effectiveDate, lines } = current as unknown as JournalEntryPosted;
        for (const { accountId, currency, side, amount, baseAmount } of lines) {
          const register = this.registerOf(accountId, currency, amount);
          if (register.date !== effectiveDate) {
            this.closeDate(register, end);
            register.date = effectiveDate;
          }
          register[side] += minorOf(amount, register.scale);
          if (baseAmount !== undefined) {
            this.knowBase(baseAmount);
            register.base ??= { debit: 0n, credit: 0n };
            register.base[side] += minorOf(baseAmount, this.baseScale);
          }
          this.touched.add(register);
        }
      }
      this.closePart(end);
    }
  }

  /** A bucket as its last row says it. */
  take(
    {
      account,
      currency,
      kind,
      start,
      debit,
      credit,
    }: Pick<Register, 'account' | 'currency'> & Pick<Bucket, 'kind' | 'start'> & { debit: string; credit: string },
    base?: { readonly debit: string; readonly credit: string },
  ): void {
    const register = this.registerOf(account, currency, debit);
    const bucket = this.bucketOf(register, kind, start);
    bucket.debit = minorOf(debit, register.scale);
    bucket.credit = minorOf(credit, register.scale);
    if (base === undefined) return;
    this.knowBase(base.debit);
    bucket.base = { debit: minorOf(base.debit, this.baseScale), credit: minorOf(base.credit, this.baseScale) };
  }

  private knowBase(amount: string): void {
    if (this.baseKnown) return;
    this.baseKnown = true;
    this.baseScale = decimalsOf(amount);
  }

  private registerOf(account: string, currency: string, amount: string): Register {
    let currencies = this.accounts.get(account);
    if (currencies === undefined) {
      currencies = new Map();
      this.accounts.set(account, currencies);
    }
    let register = currencies.get(currency);
    if (register === undefined) {
      const scale = decimalsOf(amount);
      register = { account, currency, scale, buckets: new Map(), touched: [], date: undefined, debit: 0n, credit: 0n, base: undefined };
      currencies.set(currency, register);
    }
    return register;
  }

  private closeDate(register: Register, end: number): void {
    if (register.date === undefined) return;
    const starts = this.startsOf(register.date);
    this.add(register, 'Y', starts.Y, end);
    this.add(register, 'M', starts.M, end);
    this.add(register, 'D', starts.D, end);
    register.date = undefined;
    register.debit = 0n;
    register.credit = 0n;
    register.base = undefined;
  }

  private add(register: Register, kind: Kind, start: number, end: number): void {
    const bucket = this.bucketOf(register, kind, start);
    bucket.debit += register.debit;
    bucket.credit += register.credit;
    if (register.base !== undefined) {
      bucket.base ??= { debit: 0n, credit: 0n };
      bucket.base.debit += register.base.debit;
      bucket.base.credit += register.base.credit;
    }
    if (bucket.end === end) return;
    bucket.end = end;
    register.touched.push(bucket);
  }

  private bucketOf(register: Register, kind: Kind, start: number): Bucket {
    const key = start * 4 + (kind === 'Y' ? 0 : kind === 'M' ? 1 : 2);
    let bucket = register.buckets.get(key);
    if (bucket === undefined) {
      // A plain literal: objects put together by spread took five times as long in everything that is done with them.
      bucket = {
        kind,
        start,
        debit: 0n,
        credit: 0n,
        end: 0,
        positions: '',
        debits: '',
        credits: '',
        base: undefined,
        baseDebits: '',
        baseCredits: '',
      };
      register.buckets.set(key, bucket);
      this.buckets++;
    }
    return bucket;
  }

  /** Adds one row to each bucket that was touched since the last cut or batch end. */
  private closePart(end: number): void {
    for (const register of this.touched) {
      this.closeDate(register, end);
      for (const bucket of register.touched) this.row(register, bucket, end);
      register.touched.length = 0;
    }
    this.touched.clear();
  }

  private startsOf(date: CalendarDate): Starts {
    let starts = this.starts.get(date);
    if (starts === undefined) {
      if (!isDate(date)) throw new Error(`effective date "${date}" is no date`);
      const { year, month, day } = partsOf(date);
      starts = { Y: dayNumber(year, 1, 1), M: dayNumber(year, month, 1), D: dayNumber(year, month, day) };
      this.starts.set(date, starts);
    }
    return starts;
  }
}

const dayNumber = (year: number, month: number, day: number): number => Date.UTC(year, month - 1, day) / 86_400_000;

/** @throws Error where the amount has more decimals than its currency had so far */
export function minorOf(amount: string, scale: number): bigint {
  const minor = toMinor(amount, scale);
  if (minor === undefined) throw new Error(`amount ${amount} has more than the ${scale} decimals that its currency had so far`);
  return minor;
}

// --- Reading ---

/** Buckets of one kind whose first days lie between two dates, both included; they belong to one of the ranges that are asked for. */
interface Window {
  readonly range: number;
  readonly kind: Kind;
  readonly low: CalendarDate;
  readonly high: CalendarDate;
}

/** First day of the month, or of the year, that begins on or after a date. */
const monthFrom = (date: CalendarDate): CalendarDate =>
  date.endsWith('-01') ? date : `${addDays(`${date.slice(0, 7)}-28`, 4).slice(0, 7)}-01`;
const yearFrom = (date: CalendarDate): CalendarDate =>
  date.endsWith('-01-01') ? date : `${String(Number(date.slice(0, 4)) + 1).padStart(4, '0')}-01-01`;

/**
 * The fewest buckets that make up the days from `from` to `to`, as at most five windows: days to the first whole month, months to
 * the first whole year, years, months, days. A whole month or year is its own bucket, so the dates that accountants ask for most
 * cost the fewest seeks.
 */
function windowsOf(range: number, from: CalendarDate, to: CalendarDate): Window[] {
  const windows: Window[] = [];
  // Up to, and without, the day after the last.
  const take = (kind: Kind, low: CalendarDate, next: CalendarDate): void => {
    if (low < next) windows.push({ range, kind, low, high: addDays(next, -1) });
  };
  const end = addDays(to, 1);
  const [firstMonth, lastMonth] = [monthFrom(from), `${end.slice(0, 7)}-01`];
  if (firstMonth > lastMonth) {
    take('D', from, end);
    return windows;
  }
  take('D', from, firstMonth);
  const [firstYear, lastYear] = [yearFrom(firstMonth), `${end.slice(0, 4)}-01-01`];
  if (firstYear > lastYear) take('M', firstMonth, lastMonth);
  else {
    take('M', firstMonth, firstYear);
    take('Y', firstYear, lastYear);
    take('M', lastYear, lastMonth);
  }
  take('D', lastMonth, end);
  return windows;
}

/**
 * Version of AccountDebited and AccountCredited whose members the balance statement reads itself. Once there is a newer one it
 * sums none, and every leg goes through the upcaster, until the statement has learnt the new members.
 */
const legVersion = 1;
/** The same of JournalEntryPosted. */
const entryVersion = 1;

/**
 * Totals of the accounts $2 at the position $3, which must not lie above the cursor and be a cut or a batch end; $4 to $7 are the
 * windows. Currencies and bucket starts are found by loose index scan: each step seeks the next existing one, and none is made
 * beyond a window's first bucket. A step lands on the bucket's newest row; only when that is younger than $3 a second seek finds
 * the row that was the newest then.
 */
const totalsText = `WITH RECURSIVE
  wanted (account_id) AS (SELECT unnest($2::uuid[])),
  currencies (account_id, currency) AS (
    SELECT w.account_id, f.currency
      FROM wanted w, LATERAL (SELECT t.currency FROM projections.running_totals t
                               WHERE t.book_id = $1 AND t.account_id = w.account_id ORDER BY t.currency LIMIT 1) AS f
    UNION ALL
    SELECT c.account_id, n.currency
      FROM currencies c, LATERAL (SELECT t.currency FROM projections.running_totals t
                                   WHERE t.book_id = $1 AND t.account_id = c.account_id AND t.currency > c.currency ORDER BY t.currency LIMIT 1) AS n
  ),
  buckets (account_id, currency, range, bucket, low, start, position, debit, credit, base_debit, base_credit) AS (
    SELECT c.account_id, c.currency, w.range, w.bucket, w.low, f.start, f.position, f.debit, f.credit, f.base_debit, f.base_credit
      FROM currencies c, unnest($4::int4[], $5::text[]::"char"[], $6::date[], $7::date[]) AS w (range, bucket, low, high),
           LATERAL (SELECT t.start, t.position, t.debit, t.credit, t.base_debit, t.base_credit FROM projections.running_totals t
                     WHERE t.book_id = $1 AND t.account_id = c.account_id AND t.currency = c.currency AND t.bucket = w.bucket
                       AND t.start >= w.low AND t.start <= w.high
                     ORDER BY t.start DESC, t.position DESC LIMIT 1) AS f
    UNION ALL
    SELECT b.account_id, b.currency, b.range, b.bucket, b.low, n.start, n.position, n.debit, n.credit, n.base_debit, n.base_credit
      FROM buckets b,
           LATERAL (SELECT t.start, t.position, t.debit, t.credit, t.base_debit, t.base_credit FROM projections.running_totals t
                     WHERE b.start > b.low AND t.book_id = $1 AND t.account_id = b.account_id AND t.currency = b.currency AND t.bucket = b.bucket
                       AND t.start >= b.low AND t.start < b.start
                     ORDER BY t.start DESC, t.position DESC LIMIT 1) AS n
  )
SELECT b.account_id, b.currency, b.range, sum(v.debit) AS debit, sum(v.credit) AS credit, sum(v.base_debit) AS base_debit, sum(v.base_credit) AS base_credit
  FROM buckets b,
       LATERAL (SELECT b.debit, b.credit, b.base_debit, b.base_credit WHERE b.position <= $3
                UNION ALL
                (SELECT t.debit, t.credit, t.base_debit, t.base_credit FROM projections.running_totals t
                  WHERE b.position > $3 AND t.book_id = $1 AND t.account_id = b.account_id AND t.currency = b.currency
                    AND t.bucket = b.bucket AND t.start = b.start AND t.position <= $3
                  ORDER BY t.position DESC LIMIT 1)) AS v (debit, credit, base_debit, base_credit)
 GROUP BY b.account_id, b.currency, b.range`;

/** What makes up "up to and with D" for one account, see balanceText: years up to one, and months and days by a seek each. */
interface Parts {
  /** First day of the last whole year that counts. */
  readonly year: CalendarDate;
  readonly kinds: Kind[];
  readonly starts: CalendarDate[];
  /** 1 for what is added, −1 for what is taken off again. */
  readonly signs: number[];
}

/**
 * @param nearer comes to D from the nearer end: the days after it are taken off its month, or the months after that off its year,
 *   where these are fewer. Then totals of zero no longer tell whether there is a line.
 */
function partsUpTo(asOfDate: CalendarDate, nearer: boolean): Parts {
  const { year, month, day } = partsOf(asOfDate);
  const [kinds, starts, signs]: [Kind[], CalendarDate[], number[]] = [[], [], []];
  const take = (kind: Kind, from: number, upTo: number, startOf: (n: number) => CalendarDate, sign: number): void => {
    for (let n = from; n <= upTo; n++) {
      kinds.push(kind);
      starts.push(startOf(n));
      signs.push(sign);
    }
  };
  // How many of `all` count, `whole` of them: either these, or all less the others.
  const upTo = (kind: Kind, counted: number, all: number, startOf: (n: number) => CalendarDate): boolean => {
    const whole = counted === all || (nearer && all - counted < counted);
    if (whole) take(kind, counted + 1, all, startOf, -1);
    else take(kind, 1, counted, startOf, 1);
    return whole;
  };
  const two = (n: number): string => String(n).padStart(2, '0');
  const wholeMonth = upTo('D', day, daysInMonth(year, month), (n) => `${year}-${two(month)}-${two(n)}`);
  const wholeYear = upTo('M', wholeMonth ? month : month - 1, 12, (n) => `${year}-${two(n)}-01`);
  return { year: `${wholeYear ? year : year - 1}-01-01`, kinds, starts, signs };
}

/**
 * One account's balance, in one statement and so in one snapshot: the head H, the cursor C, the totals at `base`, and what was
 * posted between base and P. P defaults to H.
 *
 * P folded: base is the last cut or batch end up to P, and the entries in between, less than `cutEvery` events, are read by
 * their positions (`cut`). P not folded: base is C, and the account's own events after it (`tail`) are found in its stream,
 * whose versions are consecutive (I5) and whose positions grow with them, from the end backwards in doubling steps; a version
 * that is cold counts as old, as nothing moves to cold storage that is not folded. The tail may be long, and belongs to all accounts.
 * What of all this is cold is not in the table: the statement says up to where there is cold storage (`cold`), and the caller reads it there.
 *
 * Totals: the account's first and last row tell its first currency and day, its last currency and year; further currencies,
 * of which there are seldom any, are found by loose index scan. Every year in between, and the months and days that the
 * parameters name, is then one seek.
 *
 * Entries and legs of versions $8 and $9 are summed here; all others, and what changes the account itself, are handed out to be
 * read as they must be.
 * @param inBase whether base amounts are summed too: a text of its own, so that books without them do not pay for it
 */
const balanceText = (inBase: boolean): string => `WITH RECURSIVE
  wanted (account_id, id) AS (
    SELECT n.stream_id, n.stream_id::text FROM log.stream_names n WHERE n.book_id = $1 AND n.category = 'account' AND n.name = $2
  ),
  bounds AS MATERIALIZED (
    SELECT p.head, p.known, p.known > p.folded AS unfolded, least(p.known, p.folded) AS shown,
           CASE WHEN p.known >= p.folded THEN p.folded
                ELSE greatest(p.known - p.known % ${cutEvery},
                              (SELECT b.last_position FROM log.batches b
                                WHERE b.book_id = $1 AND b.last_position <= p.known ORDER BY b.last_position DESC LIMIT 1)) END AS base
      FROM (SELECT h.position AS head, coalesce($3::int8, h.position) AS known,
                   coalesce((SELECT min(c.position) FROM projections.cursors c
                              WHERE c.book_id = $1 AND ${cursorsOf([asOf, chart])} HAVING count(*) = 2), 0) AS folded
              FROM log.book_heads h WHERE h.book_id = $1 OFFSET 0) AS p
  ),
  search (account_id, base, low, high, step) AS (
    SELECT w.account_id, b.base, CASE WHEN e.position <= b.base THEN e.version ELSE 0 END, e.version + 1, 1::int8
      FROM bounds b, wanted w, LATERAL (SELECT e.version, e.position FROM log.events e
                                         WHERE b.unfolded AND e.book_id = $1 AND e.stream_id = w.account_id ORDER BY e.version DESC LIMIT 1) AS e
    UNION ALL
    SELECT m.account_id, m.base, CASE WHEN m.old THEN m.middle ELSE m.low END, CASE WHEN m.old THEN m.high ELSE m.middle END, m.step * 2
      FROM (SELECT s.*, coalesce((SELECT e.position FROM log.events e
                                   WHERE e.book_id = $1 AND e.stream_id = s.account_id AND e.version = s.middle), 0) <= s.base AS old
              FROM (SELECT s.*, greatest((s.low + s.high) / 2, s.high - s.step) AS middle FROM search s WHERE s.high - s.low > 1) AS s OFFSET 0) AS m
  ),
  late (plain, currency, debit, amount, event) AS (
    SELECT l.plain, CASE WHEN l.plain THEN l.line ->> 'currency' END, l.line ->> 'side' = 'debit', (l.line ->> 'amount')::numeric,
           CASE WHEN NOT l.plain THEN json_build_object('position', l.position, 'eventType', l.event_type, 'eventVersion', l.event_version, 'data', l.line) END
      FROM bounds b, wanted w,
           LATERAL (SELECT e.position, e.event_type, e.event_version, e.event_version = $9::int2 AS plain,
                           jsonb_array_elements(CASE WHEN e.event_version <> $9 THEN jsonb_build_array(e.data)
                                                     WHEN $7::text IS NULL OR (e.data ->> 'effectiveDate') COLLATE "C" <= $7 THEN e.data -> 'lines'
                                                     ELSE '[]' END) AS line
                      FROM (SELECT e.position, e.event_type, e.event_version, e.data FROM log.events e
                             WHERE NOT b.unfolded AND b.known > b.base AND e.book_id = $1 AND e.position > b.base AND e.position <= b.known OFFSET 0) AS e
                     WHERE e.event_type = 'JournalEntryPosted') AS l
     WHERE NOT l.plain OR l.line ->> 'accountId' = w.id
    UNION ALL
    SELECT e.plain, CASE WHEN e.plain THEN e.data ->> 'currency' END, e.event_type = 'AccountDebited', CASE WHEN e.plain THEN (e.data ->> 'amount')::numeric END,
           CASE WHEN NOT e.plain THEN json_build_object('position', e.position, 'eventType', e.event_type, 'eventVersion', e.event_version, 'data', e.data) END
      FROM bounds b, search s,
           LATERAL (SELECT e.position, e.event_type, e.event_version, e.data,
                           e.event_version = $8::int2 AND e.event_type IN ('AccountDebited', 'AccountCredited') AS plain
                      FROM log.events e
                     WHERE e.book_id = $1 AND e.stream_id = s.account_id AND e.version >= s.high OFFSET 0) AS e
     WHERE s.high - s.low = 1
       AND (NOT e.plain OR ((e.data ->> 'entryPosition')::int8 <= b.known AND ($7::text IS NULL OR (e.data ->> 'effectiveDate') COLLATE "C" <= $7)))
  ),
  registers (currency, first, last_currency, last_year) AS (
    SELECT f.currency, f.start, l.currency, l.start
      FROM wanted w,
           LATERAL (SELECT t.currency, t.start FROM projections.running_totals t
                     WHERE t.book_id = $1 AND t.account_id = w.account_id ORDER BY t.currency, t.bucket, t.start LIMIT 1) AS f,
           LATERAL (SELECT t.currency, t.start FROM projections.running_totals t
                     WHERE t.book_id = $1 AND t.account_id = w.account_id ORDER BY t.currency DESC, t.bucket DESC, t.start DESC LIMIT 1) AS l
    UNION ALL
    SELECT n.currency, n.start, r.last_currency, r.last_year
      FROM registers r, wanted w,
           LATERAL (SELECT t.currency, t.start FROM projections.running_totals t
                     WHERE t.book_id = $1 AND t.account_id = w.account_id AND t.currency > r.currency
                     ORDER BY t.currency, t.bucket, t.start LIMIT 1) AS n
     WHERE r.currency < r.last_currency
  ),
  totals AS (
    SELECT r.currency, sum(p.sign * t.debit) AS debit, sum(p.sign * t.credit) AS credit${
      inBase ? ', sum(p.sign * t.base_debit) AS base_debit, sum(p.sign * t.base_credit) AS base_credit' : ''
    }
      FROM bounds b, wanted w, registers r,
           LATERAL (SELECT u.bucket, u.start, u.sign FROM unnest($5::text[]::"char"[], $6::date[], $10::int2[]) AS u (bucket, start, sign)
                    UNION ALL
                    SELECT 'Y'::"char", make_date(y.year, 1, 1), 1::int2
                      FROM generate_series(
                             extract(year FROM r.first)::int4,
                             extract(year FROM least($4::date, CASE WHEN r.currency = r.last_currency THEN r.last_year ELSE
                               (SELECT t.start FROM projections.running_totals t
                                 WHERE t.book_id = $1 AND t.account_id = w.account_id AND t.currency = r.currency
                                 ORDER BY t.bucket DESC, t.start DESC LIMIT 1) END))::int4) AS y (year)) AS p,
           LATERAL (SELECT t.debit, t.credit${inBase ? ', t.base_debit, t.base_credit' : ''} FROM projections.running_totals t
                     WHERE t.book_id = $1 AND t.account_id = w.account_id AND t.currency = r.currency
                       AND t.bucket = p.bucket AND t.start = p.start AND t.position <= b.base
                     ORDER BY t.position DESC LIMIT 1) AS t
     WHERE r.first <= $7::date OR $7 IS NULL
     GROUP BY r.currency
  )
SELECT b.head, b.known AS position, w.id, b.base, b.unfolded,
       CASE WHEN b.known > b.base
            THEN (SELECT r.to_position FROM log.archived_ranges r WHERE r.book_id = $1 ORDER BY r.from_position DESC LIMIT 1) END AS cold,
       (SELECT v.state FROM projections.account_versions v
         WHERE v.book_id = $1 AND v.account_id = w.account_id AND v.position <= b.shown ORDER BY v.position DESC LIMIT 1) AS state,
       (SELECT json_agg(json_build_array(t.currency, t.debit::text, t.credit::text${inBase ? ', t.base_debit::text, t.base_credit::text' : ''}))
          FROM totals t) AS totals,
       (SELECT json_agg(json_build_array(l.currency, l.debit::text, l.credit::text, l.events))
          FROM (SELECT l.currency, sum(l.amount) FILTER (WHERE l.debit) AS debit, sum(l.amount) FILTER (WHERE NOT l.debit) AS credit,
                       json_agg(l.event) FILTER (WHERE NOT l.plain) AS events
                  FROM late l GROUP BY l.currency) AS l) AS late
  FROM bounds b LEFT JOIN wanted w ON true`;

const balanceTexts = { own: balanceText(false), inBase: balanceText(true) };

/** What there is to say about one account's balance; `account` is undefined when no such code leads to an account then. */
export interface AccountBalance {
  /** The book's last position when it was read. */
  readonly head: number;
  /** The position that the answer holds for; above the head when such a position was asked for. */
  readonly position: number;
  readonly account?: Pick<AccountView, 'code' | 'normalSide'>;
  /** Currencies with at least one line, sorted by code. */
  readonly totals: readonly Totals[];
}

/** Events that no projection has folded any more are cold, so that they are not among an account's own: to be asked again once they are folded. */
export class FoldedTooLittle extends Error {
  /** @param upTo the position that must be folded */
  constructor(readonly upTo: number) {
    super(`what is cold, up to position ${upTo}, is not folded`);
  }
}

interface BalanceQuestion {
  readonly bookId: string;
  readonly code: string;
  readonly asOf?: CalendarDate | undefined;
  readonly knownAt?: number | undefined;
  /** The base currency, of a book that tracks it: base amounts are then in the totals too. */
  readonly inBase?: string | undefined;
}

/** An event that the statement did not read itself. */
interface OtherEvent {
  readonly position: number;
  readonly eventType: string;
  readonly eventVersion: number;
  readonly data: Readonly<Record<string, unknown>>;
}

/**
 * The account's totals over lines with effective date ≤ asOf (all when absent) and position ≤ knownAt (the head when
 * absent), including everything acknowledged before the call, without waiting for the fold.
 * @param knownAt a position from 0 on; compare it with the head that comes back
 * @returns undefined when the book has no head
 * @throws FoldedTooLittle; ArchiveUnreadable
 */
export async function balanceAt(database: Database, store: EventStore, question: BalanceQuestion): Promise<AccountBalance | undefined> {
  const answer = await readBalance(database, store, question, true);
  return answer?.doubtful === true ? readBalance(database, store, question, false) : answer;
}

/** @returns `doubtful`: the totals of a currency are zero, and whether that currency belongs into the answer is not known */
async function readBalance(
  database: Database,
  store: EventStore,
  { bookId, code, asOf, knownAt, inBase }: BalanceQuestion,
  nearer: boolean,
): Promise<(AccountBalance & { readonly doubtful: boolean }) | undefined> {
  const { year, kinds, starts, signs } = asOf === undefined ? allYears : partsUpTo(asOf, nearer);
  const { catalogue } = store;
  // What an event of a tracked book is in base currency its reader knows, not the statement.
  const plain = inBase === undefined;
  const legs = plain && [catalogue.AccountDebited, catalogue.AccountCredited].every((leg) => leg?.version === legVersion);
  const entries = plain && catalogue.JournalEntryPosted?.version === entryVersion;
  const { rows } = await database.query<{
    head: number;
    position: number;
    id: string | null;
    base: number;
    unfolded: boolean;
    cold: number | null;
    state: AccountView | null;
    totals: [currency: string, debit: string, credit: string, baseDebit?: string | null, baseCredit?: string | null][] | null;
    late: [currency: string | null, debit: string | null, credit: string | null, events: OtherEvent[] | null][] | null;
  }>({
    name: plain ? 'balance' : 'balance-in-base',
    text: plain ? balanceTexts.own : balanceTexts.inBase,
    values: [
      ...[bookId, code, knownAt ?? null, year, textArray(kinds), dateArray(starts), asOf ?? null],
      ...[legs ? legVersion : 0, entries ? entryVersion : 0, int2Array(signs)],
    ],
  });
  const row = rows[0];
  if (row === undefined) return undefined;
  const { head, position, id } = row;
  if (row.unfolded && (row.cold ?? 0) > row.base) throw new FoldedTooLittle(row.cold ?? 0);
  const totals = new Map((row.totals ?? []).map((read) => [read[0], totalsOf(...read)]));
  const maybe = signs.includes(-1) ? [...totals.values()].filter(({ debit, credit }) => debit === 0n && credit === 0n) : [];
  const added = new Set<string>();
  const add = ({ currency, side, amount, baseAmount }: AddedLine): void => {
    added.add(currency);
    addLine(totals, { currency, side, amount, baseAmount: plain ? undefined : baseAmount });
  };
  // In base currency an amount is its own base amount, which lines of older entries do not repeat.
  const addEntry = ({ effectiveDate, lines }: JournalEntryPosted): void => {
    if (asOf !== undefined && effectiveDate > asOf) return;
    for (const line of lines)
      if (line.accountId === id) add({ ...line, baseAmount: line.baseAmount ?? (line.currency === inBase ? line.amount : undefined) });
  };
  for (const [currency, debit, credit] of row.late ?? []) {
    if (currency === null) continue;
    if (debit !== null) add({ currency, side: 'debit', amount: debit });
    if (credit !== null) add({ currency, side: 'credit', amount: credit });
  }
  let account: Partial<AccountView> | undefined = row.state ?? undefined;
  const others = (row.late ?? []).flatMap(([, , , events]) => events ?? []);
  for (const event of others.sort((a, b) => a.position - b.position)) {
    const current = upcast(catalogue, { ...event, bookId });
    if (event.eventType === 'JournalEntryPosted') {
      addEntry(current as unknown as JournalEntryPosted);
    } else if (event.eventType === 'AccountDebited' || event.eventType === 'AccountCredited') {
      const { effectiveDate, currency, amount, entryPosition, ...leg } = current as unknown as AccountPosted;
      const side = event.eventType === 'AccountDebited' ? 'debit' : 'credit';
      // In base currency an amount is its own base amount, which older legs do not repeat.
      const baseAmount = leg.baseAmount ?? (currency === inBase ? amount : undefined);
      if (entryPosition <= position && (asOf === undefined || effectiveDate <= asOf)) add({ currency, side, amount, baseAmount });
    } else if (event.position <= position) {
      account = { ...account, ...accountPatch({ ...event, streamId: id ?? '', current }) };
    }
  }
  // Between a cut and P, and cuts are ends of tiles or lie within them: all of it is cold, or nothing.
  const between = !row.unfolded && position <= (row.cold ?? 0) ? await store.readFacts(bookId, row.base, position) : [];
  for (const { eventType, current } of between) {
    if (eventType !== 'JournalEntryPosted') continue;
    addEntry(current as unknown as JournalEntryPosted);
  }
  return {
    ...{ head, position, account: account as AccountView | undefined, totals: sorted(totals.values()) },
    doubtful: maybe.some(({ currency }) => !added.has(currency)),
  };
}

/** All dates. */
const allYears: Parts = { year: `${lastDate.slice(0, 4)}-01-01`, kinds: [], starts: [], signs: [] };

/**
 * The account's balance over all dates at the head, from the account's own head row: one statement, two seeks.
 * @returns undefined when the head row is missing or of another reducer version (ask balanceAt then) or there is no such account
 */
export async function balanceAtHead(database: Database, bookId: string, code: string): Promise<AccountBalance | undefined> {
  const { rows } = await database.query<{ position: number; stream_id: string; version: number; state: unknown }>({
    name: 'balance-at-head',
    text: `SELECT h.position, n.stream_id, s.version, s.state
             FROM log.book_heads h,
                  LATERAL (SELECT n.stream_id FROM log.stream_names n WHERE n.book_id = $1 AND n.category = 'account' AND n.name = $2 OFFSET 0) AS n,
                  LATERAL (SELECT s.version, s.state FROM log.heads s WHERE s.book_id = $1 AND s.stream_id = n.stream_id AND s.reducer_version = $3 OFFSET 0) AS s
            WHERE h.book_id = $1`,
    values: [bookId, code, accountReducer.version],
  });
  const row = rows[0];
  if (row === undefined) return undefined;
  const account: AccountState = accountReducer.fromSnapshot(row.state, row.stream_id, row.version);
  return { head: row.position, position: row.position, account, totals: sorted(account.totals) };
}

/** Accounts whose totals one statement reads. */
const accountsPerStatement = 1_000;

/**
 * Totals of many accounts between dates, as far as they were recorded up to a position: for boundaries d0 < d1 < d2 … those of
 * (−∞, d0], (d0, d1], (d1, d2] …, in one pass over the buckets. An opening at the end of a year and its twelve months are one seek
 * for each year before, and one for each month.
 * @param base a position that is folded and a cut or a batch end (see rowsEndBefore); lines after it are the caller's to add
 * @returns by account, for each range its totals sorted by currency; an account without a line in any range is missing
 * @throws Error when there is no boundary, or one that does not lie after the one before it
 */
export async function totalsInRanges(
  database: Database,
  bookId: string,
  accountIds: readonly string[],
  base: number,
  boundaries: readonly CalendarDate[],
): Promise<Map<string, Totals[][]>> {
  if (boundaries.length === 0) throw new Error('ranges need at least one boundary, the last date of the first range');
  const windows = boundaries.flatMap((to, range) => {
    const before = boundaries[range - 1];
    if (before !== undefined && before >= to) throw new Error(`the boundaries of ranges must ascend: ${before} stands before ${to}`);
    return windowsOf(range, before === undefined ? firstDate : addDays(before, 1), to);
  });
  const found = new Map<string, Totals[][]>();
  for (let first = 0; first < accountIds.length; first += accountsPerStatement) {
    const { rows } = await database.query<{
      account_id: string;
      currency: string;
      range: number;
      debit: string;
      credit: string;
      base_debit: string | null;
      base_credit: string | null;
    }>({
      name: 'totals-in-ranges',
      text: totalsText,
      values: [
        ...[bookId, uuidArray(accountIds.slice(first, first + accountsPerStatement)), base],
        int4Array(windows.map(({ range }) => range)),
        textArray(windows.map(({ kind }) => kind)),
        dateArray(windows.map(({ low }) => low)),
        dateArray(windows.map(({ high }) => high)),
      ],
    });
    for (const row of rows) {
      let ranges = found.get(row.account_id);
      if (ranges === undefined) {
        ranges = boundaries.map(() => []);
        found.set(row.account_id, ranges);
      }
      (ranges[row.range] as Totals[]).push(totalsOf(row.currency, row.debit, row.credit, row.base_debit, row.base_credit));
    }
  }
  for (const ranges of found.values()) for (const totals of ranges) totals.sort(byCurrency);
  return found;
}

/**
 * Totals of many accounts up to and with a date (all dates when absent): the first range of totalsInRanges.
 * @returns by account, sorted by currency; an account without lines is missing
 */
export async function totalsOfAccounts(
  database: Database,
  bookId: string,
  accountIds: readonly string[],
  base: number,
  asOf: CalendarDate = lastDate,
): Promise<Map<string, Totals[]>> {
  const found = await totalsInRanges(database, bookId, accountIds, base, [asOf]);
  return new Map([...found].map(([id, [totals]]) => [id, totals as Totals[]]));
}

/** Totals from amounts as the database prints them, each with the decimals of its currency. */
export function totalsOf(currency: string, debit: string, credit: string, baseDebit?: string | null, baseCredit?: string | null): Totals {
  const scale = decimalsOf(debit);
  const totals = { currency, scale, debit: minorOf(debit, scale), credit: minorOf(credit, scale) };
  if (typeof baseDebit !== 'string' || typeof baseCredit !== 'string') return totals;
  const baseScale = decimalsOf(baseDebit);
  return { ...totals, baseScale, baseDebit: minorOf(baseDebit, baseScale), baseCredit: minorOf(baseCredit, baseScale) };
}

/** What adding to totals needs of a line; the base amount is added where the line carries one. */
export type AddedLine = Pick<EntryLine, 'currency' | 'side' | 'amount' | 'baseAmount'>;

/** Adds a line to totals by currency. */
export function addLine(totals: Map<string, Totals>, { currency, side, amount, baseAmount }: AddedLine): void {
  const known = totals.get(currency) ?? { currency, scale: decimalsOf(amount), debit: 0n, credit: 0n };
  const sum = { ...known, [side]: known[side] + minorOf(amount, known.scale) };
  if (baseAmount !== undefined) {
    const { baseScale = decimalsOf(baseAmount), baseDebit = 0n, baseCredit = 0n } = known;
    const baseMinor = minorOf(baseAmount, baseScale);
    const base = side === 'debit' ? { baseDebit: baseDebit + baseMinor, baseCredit } : { baseDebit, baseCredit: baseCredit + baseMinor };
    Object.assign(sum, { baseScale, ...base });
  }
  totals.set(currency, sum);
}

/** Totals in the order of their currencies' code units. */
export const sorted = (totals: Iterable<Totals>): Totals[] => [...totals].sort(byCurrency);
const byCurrency = (a: Totals, b: Totals): number => (a.currency < b.currency ? -1 : 1);
