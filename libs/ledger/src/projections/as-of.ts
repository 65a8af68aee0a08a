/**
 * As-of: what was posted to an account with an effective date up to D, as far as it was recorded up to position P. Hides
 * running totals in four sizes of bucket; guarantees that a balance costs a few dozen index seeks whatever the length of the
 * history, that a back-dated line changes no row, and that a balance includes every entry acknowledged before it was asked
 * for, however far the fold is behind (I14): what is not folded yet is read from the account's own stream.
 *
 * Why totals as of a position: the row of a bucket holds what the bucket contained up to and with the row's position, so
 * "bucket as known at P" is its last row with a position of at most P, one seek. A date D is the years before its year, the
 * months before its month and the days up to D. Measured in PERFORMANCE section 4: 0.3 ms at 1 and at 20 million lines of
 * one account, where summing them took 70 and 750 ms.
 */
import {
  type AccountPosted,
  type AccountState,
  accountReducer,
  addDays,
  type CalendarDate,
  fromMinor,
  type JournalEntryPosted,
  toMinor,
} from '#domain';
import { type EventCatalogue, upcast } from '#event-store';
import { dateArray, int8Array, textArray, uuidArray } from '#postgres';
import type { Batch, Database, Projection } from '../projector';
import { type AccountView, accountPatch } from './chart';

/** Totals of one account in one currency, minor units. */
export interface Totals {
  readonly currency: string;
  /** Decimals of the currency. */
  readonly scale: number;
  readonly debit: bigint;
  readonly credit: bigint;
}

// --- The fold ---

/** What one bucket has received in the batches that are folded together. */
interface Bucket {
  debit: bigint;
  credit: bigint;
  /** Last position of the batch that touched it last. */
  batch: number;
}

/** One account in one currency while batches are folded. */
interface Register {
  readonly account: string;
  readonly currency: string;
  readonly scale: number;
  readonly buckets: {
    readonly A: Map<string, Bucket>;
    readonly Y: Map<string, Bucket>;
    readonly M: Map<string, Bucket>;
    readonly D: Map<string, Bucket>;
  };
  /** The batch at hand: what each day received. */
  readonly days: Map<CalendarDate, { debit: bigint; credit: bigint }>;
}

/** First day of the bucket that holds all dates. */
const always = '0001-01-01';

/** Columns of the rows to be written, by name. */
class Rows {
  readonly positions: number[] = [];
  readonly accounts: string[] = [];
  readonly starts: CalendarDate[] = [];
  readonly buckets: string[] = [];
  readonly currencies: string[] = [];
  readonly debits: string[] = [];
  readonly credits: string[] = [];

  add(batch: number, { account, currency, scale }: Register, bucket: string, start: CalendarDate, total: Bucket): void {
    this.positions.push(batch);
    this.accounts.push(account);
    this.starts.push(start);
    this.buckets.push(bucket);
    this.currencies.push(currency);
    this.debits.push(fromMinor(total.debit, scale));
    this.credits.push(fromMinor(total.credit, scale));
  }
}

/** One row per (account, currency, bucket) and commit batch (I7), at the batch's last position. */
export const asOf: Projection = {
  name: 'as-of',
  tables: ['running_totals'],
  fold(bookId, batches) {
    const rows = foldTotals(batches);
    if (rows.positions.length === 0) return [];
    // The rows count from the first of these batches on; the statement adds what the bucket held before. LATERAL with LIMIT
    // stays a seek per row however the tables looked when the plan was made.
    return [
      {
        name: 'fold-as-of',
        text: `INSERT INTO projections.running_totals (position, account_id, start, bucket, book_id, currency, debit, credit)
          SELECT n.position, n.account_id, n.start, n.bucket::"char", $1, n.currency,
                 n.debit::numeric + coalesce(before.debit, 0), n.credit::numeric + coalesce(before.credit, 0)
            FROM unnest($2::int8[], $3::uuid[], $4::date[], $5::text[], $6::text[], $7::text[], $8::text[])
                 AS n (position, account_id, start, bucket, currency, debit, credit)
            LEFT JOIN LATERAL (SELECT t.debit, t.credit FROM projections.running_totals t
                                WHERE t.book_id = $1 AND t.account_id = n.account_id AND t.currency = n.currency
                                  AND t.bucket = n.bucket::"char" AND t.start = n.start
                                ORDER BY t.position DESC LIMIT 1) AS before ON true`,
        values: [
          bookId,
          int8Array(rows.positions),
          uuidArray(rows.accounts),
          dateArray(rows.starts),
          textArray(rows.buckets),
          textArray(rows.currencies),
          textArray(rows.debits),
          textArray(rows.credits),
        ],
      },
    ];
  },
};

function foldTotals(batches: readonly Batch[]): Rows {
  const accounts = new Map<string, Map<string, Register>>();
  const rows = new Rows();
  for (const { last, events } of batches) {
    const touched = new Set<Register>();
    for (const { eventType, current } of events) {
      if (eventType !== 'JournalEntryPosted') continue;
      const { effectiveDate, lines } = current as unknown as JournalEntryPosted;
      for (const { accountId, currency, side, amount } of lines) {
        const register = registerOf(accounts, accountId, currency, amount);
        touched.add(register);
        let day = register.days.get(effectiveDate);
        if (day === undefined) {
          day = { debit: 0n, credit: 0n };
          register.days.set(effectiveDate, day);
        }
        day[side] += minorOf(amount, register.scale);
      }
    }
    for (const register of touched) closeBatch(register, last, rows);
  }
  return rows;
}

function registerOf(accounts: Map<string, Map<string, Register>>, account: string, currency: string, amount: string): Register {
  let currencies = accounts.get(account);
  if (currencies === undefined) {
    currencies = new Map();
    accounts.set(account, currencies);
  }
  let register = currencies.get(currency);
  if (register === undefined) {
    const buckets = { A: new Map(), Y: new Map(), M: new Map(), D: new Map() };
    register = { account, currency, scale: decimalsOf(amount), buckets, days: new Map() };
    currencies.set(currency, register);
  }
  return register;
}

/** Adds the days of one batch to every bucket that they lie in, and emits one row for each of these. */
function closeBatch(register: Register, batch: number, rows: Rows): void {
  const { buckets, days } = register;
  const touched: ['A' | 'Y' | 'M' | 'D', CalendarDate, Bucket][] = [];
  const add = (kind: 'A' | 'Y' | 'M' | 'D', start: CalendarDate, debit: bigint, credit: bigint): void => {
    let bucket = buckets[kind].get(start);
    if (bucket === undefined) {
      bucket = { debit: 0n, credit: 0n, batch: 0 };
      buckets[kind].set(start, bucket);
    }
    bucket.debit += debit;
    bucket.credit += credit;
    if (bucket.batch === batch) return;
    bucket.batch = batch;
    touched.push([kind, start, bucket]);
  };
  for (const [date, { debit, credit }] of days) {
    add('A', always, debit, credit);
    add('Y', `${date.slice(0, 4)}-01-01`, debit, credit);
    add('M', `${date.slice(0, 7)}-01`, debit, credit);
    add('D', date, debit, credit);
  }
  for (const [kind, start, bucket] of touched) rows.add(batch, register, kind, start, bucket);
  days.clear();
}

function decimalsOf(amount: string): number {
  const point = amount.indexOf('.');
  return point < 0 ? 0 : amount.length - point - 1;
}

function minorOf(amount: string, scale: number): bigint {
  const minor = toMinor(amount, scale);
  if (minor === undefined) throw new Error(`amount ${amount} has more than the ${scale} decimals that its currency had so far`);
  return minor;
}

// --- Reading ---

/**
 * The buckets that make up "up to and with D", as columns: bucket, first and last start. A whole month or year ends in its
 * own bucket, so the dates that accountants ask for most cost the fewest seeks.
 */
function windowsOf(asOfDate: CalendarDate | undefined): { kinds: string[]; lows: CalendarDate[]; highs: CalendarDate[] } {
  if (asOfDate === undefined) return { kinds: ['A'], lows: [always], highs: [always] };
  const year = `${asOfDate.slice(0, 4)}-01-01`;
  const month = `${asOfDate.slice(0, 7)}-01`;
  const next = addDays(asOfDate, 1);
  if (next.endsWith('-01-01')) return { kinds: ['Y'], lows: [always], highs: [year] };
  const beforeYear = addDays(year, -1);
  if (next.endsWith('-01')) return { kinds: ['Y', 'M'], lows: [always, year], highs: [beforeYear, month] };
  return { kinds: ['Y', 'M', 'D'], lows: [always, year, month], highs: [beforeYear, addDays(month, -1), asOfDate] };
}

/**
 * Common table expressions for the totals of the accounts in `wanted (account_id)` at the position `base`, which must not
 * lie above the cursor nor inside a batch. `$1` is the book, `kinds`, `lows` and `highs` are parameters with the windows.
 * Currencies and bucket starts are found by loose index scan: each step seeks the next existing one. A step lands on the
 * bucket's newest row; only when that is younger than `base` a second seek finds the row that was the newest then.
 */
const totalsAt = (base: string, kinds: string, lows: string, highs: string): string => `
  currencies (account_id, currency) AS (
    SELECT w.account_id, f.currency
      FROM wanted w, LATERAL (SELECT t.currency FROM projections.running_totals t
                               WHERE t.book_id = $1 AND t.account_id = w.account_id ORDER BY t.currency LIMIT 1) AS f
    UNION ALL
    SELECT c.account_id, n.currency
      FROM currencies c, LATERAL (SELECT t.currency FROM projections.running_totals t
                                   WHERE t.book_id = $1 AND t.account_id = c.account_id AND t.currency > c.currency ORDER BY t.currency LIMIT 1) AS n
  ),
  buckets (account_id, currency, bucket, low, start, position, debit, credit) AS (
    SELECT c.account_id, c.currency, w.bucket, w.low, f.start, f.position, f.debit, f.credit
      FROM currencies c, unnest(${kinds}::text[]::"char"[], ${lows}::date[], ${highs}::date[]) AS w (bucket, low, high),
           LATERAL (SELECT t.start, t.position, t.debit, t.credit FROM projections.running_totals t
                     WHERE t.book_id = $1 AND t.account_id = c.account_id AND t.currency = c.currency AND t.bucket = w.bucket
                       AND t.start >= w.low AND t.start <= w.high
                     ORDER BY t.start DESC, t.position DESC LIMIT 1) AS f
    UNION ALL
    SELECT b.account_id, b.currency, b.bucket, b.low, n.start, n.position, n.debit, n.credit
      FROM buckets b,
           LATERAL (SELECT t.start, t.position, t.debit, t.credit FROM projections.running_totals t
                     WHERE t.book_id = $1 AND t.account_id = b.account_id AND t.currency = b.currency AND t.bucket = b.bucket
                       AND t.start >= b.low AND t.start < b.start
                     ORDER BY t.start DESC, t.position DESC LIMIT 1) AS n
  ),
  totals (account_id, currency, debit, credit) AS (
    SELECT b.account_id, b.currency, sum(v.debit), sum(v.credit)
      FROM buckets b, ${base} AS at (base),
           LATERAL (SELECT b.debit, b.credit WHERE b.position <= at.base
                    UNION ALL
                    (SELECT t.debit, t.credit FROM projections.running_totals t
                      WHERE b.position > at.base AND t.book_id = $1 AND t.account_id = b.account_id AND t.currency = b.currency
                        AND t.bucket = b.bucket AND t.start = b.start AND t.position <= at.base
                      ORDER BY t.position DESC LIMIT 1)) AS v (debit, credit)
     GROUP BY b.account_id, b.currency
  )`;

/**
 * One account's balance, in one statement and so in one snapshot: the head H, the cursor C, the totals at the last batch end
 * that is folded and not above P, and the account's events after that end. Where these begin is found in the account's
 * stream, whose versions are consecutive (I5) and whose positions grow with them: backwards from the end in doubling steps
 * when P is not folded yet, by halving when P lies inside an old batch. `position` decides; a version that has been archived
 * counts as old.
 */
const balanceText = `WITH RECURSIVE
  wanted (account_id) AS (SELECT n.stream_id FROM log.stream_names n WHERE n.book_id = $1 AND n.category = 'account' AND n.name = $2),
  pinned AS (
    SELECT h.position AS head, coalesce($3::int8, h.position) AS known,
           coalesce((SELECT min(c.position) FROM projections.cursors c
                      WHERE c.book_id = $1 AND c.projection IN ('as-of', 'chart') HAVING count(*) = 2), 0) AS folded
      FROM log.book_heads h WHERE h.book_id = $1
  ),
  bounds AS (
    SELECT p.known, p.known >= p.folded AS unfolded,
           CASE WHEN p.known >= p.folded THEN p.folded
                ELSE coalesce((SELECT b.last_position FROM log.batches b
                                WHERE b.book_id = $1 AND b.last_position <= p.known ORDER BY b.last_position DESC LIMIT 1), 0) END AS base,
           CASE WHEN p.known >= p.folded THEN p.head
                ELSE (SELECT b.last_position FROM log.batches b
                       WHERE b.book_id = $1 AND b.last_position >= p.known ORDER BY b.last_position LIMIT 1) END AS until
      FROM pinned p
  ),
  newest AS (
    SELECT w.account_id, e.version, e.position
      FROM wanted w, LATERAL (SELECT e.version, e.position FROM log.events e
                               WHERE e.book_id = $1 AND e.stream_id = w.account_id ORDER BY e.version DESC LIMIT 1) AS e
  ),
  search (target, low, high, step) AS (
    SELECT t.target, CASE WHEN n.position <= t.target THEN n.version ELSE 0 END, n.version + 1,
           CASE WHEN b.unfolded THEN 1 ELSE n.version END
      FROM bounds b, newest n, LATERAL (VALUES (b.base), (b.until)) AS t (target)
     WHERE b.known > b.base
    UNION ALL
    SELECT s.target, CASE WHEN found.old THEN m.middle ELSE s.low END, CASE WHEN found.old THEN s.high ELSE m.middle END, s.step * 2
      FROM search s, newest n, LATERAL (SELECT greatest((s.low + s.high) / 2, s.high - s.step)) AS m (middle),
           LATERAL (SELECT coalesce((SELECT e.position FROM log.events e
                                      WHERE e.book_id = $1 AND e.stream_id = n.account_id AND e.version = m.middle), 0) <= s.target) AS found (old)
     WHERE s.high - s.low > 1
  ),
  range AS (
    SELECT min(s.high) FILTER (WHERE s.target = b.base) AS first, min(s.high) FILTER (WHERE s.target = b.until) AS past
      FROM search s, bounds b WHERE s.high - s.low = 1
  ),
  tail AS (
    SELECT e.position, e.event_type, e.event_version, e.data
      FROM newest n, range r,
           LATERAL (SELECT * FROM log.events e
                     WHERE e.book_id = $1 AND e.stream_id = n.account_id AND e.version >= r.first AND e.version < r.past OFFSET 0) AS e
  ),
  ${totalsAt('(SELECT base FROM bounds)', '$4', '$5', '$6')}
SELECT b.known AS position, w.account_id AS id,
       (SELECT v.state FROM projections.account_versions v
         WHERE v.book_id = $1 AND v.account_id = w.account_id AND v.position <= b.base ORDER BY v.position DESC LIMIT 1) AS state,
       (SELECT json_agg(json_build_array(t.currency, t.debit::text, t.credit::text)) FROM totals t) AS totals,
       (SELECT json_agg(json_build_object('position', e.position, 'eventType', e.event_type, 'eventVersion', e.event_version, 'data', e.data)
                        ORDER BY e.position) FROM tail e) AS tail
  FROM bounds b LEFT JOIN wanted w ON true`;

/** What there is to say about one account's balance; `account` is undefined when no such code leads to an account then. */
export interface AccountBalance {
  /** The position that the answer holds for. */
  readonly position: number;
  readonly account?: Pick<AccountView, 'code' | 'normalSide'>;
  /** Currencies with at least one line, sorted by code. */
  readonly totals: readonly Totals[];
}

interface TailEvent {
  readonly position: number;
  readonly eventType: string;
  readonly eventVersion: number;
  readonly data: Readonly<Record<string, unknown>>;
}

/**
 * The account's totals over lines with effective date ≤ asOf (all when absent) and position ≤ knownAt (the head when
 * absent), including everything acknowledged before the call, without waiting for the fold.
 * @param knownAt a position of the book, 0 to its head
 * @returns undefined when the book has no head
 */
export async function balanceAt(
  database: Database,
  catalogue: EventCatalogue,
  {
    bookId,
    code,
    asOf,
    knownAt,
  }: { readonly bookId: string; readonly code: string; readonly asOf?: CalendarDate; readonly knownAt?: number },
): Promise<AccountBalance | undefined> {
  const { rows } = await database.query<{
    position: number;
    id: string | null;
    state: AccountView | null;
    totals: [currency: string, debit: string, credit: string][] | null;
    tail: TailEvent[] | null;
  }>(balanceStatement({ bookId, code, asOf, knownAt }));
  const row = rows[0];
  if (row === undefined) return undefined;
  let account: Partial<AccountView> | undefined = row.state ?? undefined;
  const totals = new Map((row.totals ?? []).map((read) => [read[0], totalsOf(...read)]));
  for (const event of row.tail ?? []) {
    const current = upcast(catalogue, { ...event, bookId });
    if (event.eventType === 'AccountDebited' || event.eventType === 'AccountCredited') {
      const { entryPosition, effectiveDate, currency, amount } = current as unknown as AccountPosted;
      if (entryPosition > row.position || (asOf !== undefined && effectiveDate > asOf)) continue;
      addLine(totals, currency, event.eventType === 'AccountDebited' ? 'debit' : 'credit', amount);
    } else if (event.position <= row.position) {
      account = { ...account, ...accountPatch({ ...event, streamId: row.id ?? '', current }) };
    }
  }
  return { position: row.position, account: account as AccountView | undefined, totals: sorted(totals.values()) };
}

/** The statement behind balanceAt; exported for the test that looks at its plan. */
export function balanceStatement({
  bookId,
  code,
  asOf,
  knownAt,
}: {
  readonly bookId: string;
  readonly code: string;
  readonly asOf?: CalendarDate;
  readonly knownAt?: number;
}): { name: string; text: string; values: unknown[] } {
  const { kinds, lows, highs } = windowsOf(asOf);
  return {
    name: 'balance',
    text: balanceText,
    values: [bookId, code, knownAt ?? null, textArray(kinds), dateArray(lows), dateArray(highs)],
  };
}

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
  return { position: row.position, account, totals: sorted(account.totals) };
}

/**
 * Totals of many accounts at a position that is folded and does not lie inside a batch.
 * @returns by account, sorted by currency; an account without lines is missing
 */
export async function totalsOfAccounts(
  database: Database,
  bookId: string,
  accountIds: readonly string[],
  base: number,
  asOf?: CalendarDate,
): Promise<Map<string, Totals[]>> {
  const { kinds, lows, highs } = windowsOf(asOf);
  const { rows } = await database.query<{ account_id: string; currency: string; debit: string; credit: string }>({
    name: 'totals-of-accounts',
    text: `WITH RECURSIVE wanted (account_id) AS (SELECT unnest($2::uuid[])), ${totalsAt('(SELECT $3::int8)', '$4', '$5', '$6')}
           SELECT account_id, currency, debit, credit FROM totals`,
    values: [bookId, uuidArray(accountIds), base, textArray(kinds), dateArray(lows), dateArray(highs)],
  });
  const found = new Map<string, Totals[]>();
  for (const { account_id, currency, debit, credit } of rows) {
    const totals = found.get(account_id) ?? [];
    totals.push(totalsOf(currency, debit, credit));
    found.set(account_id, totals);
  }
  for (const totals of found.values()) totals.sort(byCurrency);
  return found;
}

function totalsOf(currency: string, debit: string, credit: string): Totals {
  const scale = decimalsOf(debit);
  return { currency, scale, debit: minorOf(debit, scale), credit: minorOf(credit, scale) };
}

/** Adds a line to totals by currency. */
export function addLine(totals: Map<string, Totals>, currency: string, side: 'debit' | 'credit', amount: string): void {
  const known = totals.get(currency) ?? { currency, scale: decimalsOf(amount), debit: 0n, credit: 0n };
  totals.set(currency, { ...known, [side]: known[side] + minorOf(amount, known.scale) });
}

/** Totals in the order of their currencies' code units. */
export const sorted = (totals: Iterable<Totals>): Totals[] => [...totals].sort(byCurrency);
const byCurrency = (a: Totals, b: Totals): number => (a.currency < b.currency ? -1 : 1);
