/**
 * As-of: what was posted to an account with an effective date up to D, as far as it was recorded up to position P. Hides
 * running totals per year, month and day; guarantees that a balance costs a few dozen index seeks whatever the length of the
 * history, that a back-dated line changes no row, and that a balance includes every entry acknowledged before it was asked
 * for, however far the fold is behind (I14): what is not folded yet is read from the account's own stream.
 *
 * Why totals as of a position: the row of a bucket holds what the bucket contained up to and with the row's position, so
 * "bucket as known at P" is its last row with a position of at most P, one seek. A date D is the years before its year, the
 * months before its month and the days up to D. Measured with 1,000,000 lines of one account in batches of 500 entries (round
 * trip, where SELECT 1 takes 0.12 ms): end of a year 0.5 ms, of a month 0.6, any day 0.7–0.9, as known at a batch 0.5, at a
 * position inside one 0.75–0.95; at 100,000 lines the same.
 */
import {
  type AccountPosted,
  type AccountState,
  accountReducer,
  addDays,
  type CalendarDate,
  firstDate,
  fromMinor,
  isDate,
  type JournalEntryPosted,
  lastDate,
  partsOf,
  toMinor,
} from '#domain';
import { type EventCatalogue, upcast } from '#event-store';
import { dateArray, int4Array, int8Array, textArray, uuidArray } from '#postgres';
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

/** What a year, month or day has received in the batches that are folded together. */
interface Bucket {
  readonly kind: Kind;
  /** First day, in days since 1970-01-01. */
  readonly start: number;
  debit: bigint;
  credit: bigint;
  /** Last position of the batch that touched it last. */
  batch: number;
}

type Kind = 'Y' | 'M' | 'D';

/** One account in one currency while batches are folded. */
interface Register {
  readonly account: string;
  readonly currency: string;
  readonly scale: number;
  /** By kind and first day. */
  readonly buckets: Map<number, Bucket>;
  /** Touched by the batch at hand. */
  touched: Bucket[];
  /** The lines at hand that have the same date: added to its buckets at once. */
  date: CalendarDate | undefined;
  debit: bigint;
  credit: bigint;
}

/** First days of the year, the month and the day of a date, in days since 1970-01-01. */
interface Starts {
  readonly Y: number;
  readonly M: number;
  readonly D: number;
}

/** One row per (account, currency, bucket) and commit batch (I7), at the batch's last position. */
export const asOf: Projection = {
  name: 'as-of',
  tables: ['running_totals'],
  // The rows count from the first of these batches on; the statement adds what the bucket held before. LATERAL with LIMIT stays
  // a seek per row however the tables looked when the plan was made.
  inserts: [
    `INSERT INTO projections.running_totals (position, account_id, start, bucket, book_id, currency, debit, credit)
     SELECT n.position, n.account_id, n.start, n.bucket, $book, n.currency,
            n.debit + coalesce(before.debit, 0), n.credit + coalesce(before.credit, 0)
       FROM (SELECT u.position, u.account_id, date '1970-01-01' + u.start AS start, u.bucket::"char" AS bucket, u.currency,
                    u.debit::numeric AS debit, u.credit::numeric AS credit
               FROM unnest($1::int8[], $2::uuid[], $3::int4[], $4::text[], $5::text[], $6::text[], $7::text[])
                    AS u (position, account_id, start, bucket, currency, debit, credit)) AS n
       LEFT JOIN LATERAL (SELECT t.debit, t.credit FROM projections.running_totals t
                           WHERE t.book_id = $book AND t.account_id = n.account_id AND t.currency = n.currency
                             AND t.bucket = n.bucket AND t.start = n.start
                           ORDER BY t.position DESC LIMIT 1) AS before ON true
      WHERE $won`,
  ],
  fold(batches) {
    const { positions, accounts, starts, kinds, currencies, debits, credits } = new TotalsFold().fold(batches);
    return [
      [
        int8Array(positions),
        uuidArray(accounts),
        int4Array(starts),
        textArray(kinds),
        textArray(currencies),
        textArray(debits),
        textArray(credits),
      ],
    ];
  },
};

class TotalsFold {
  private readonly accounts = new Map<string, Map<string, Register>>();
  private readonly starts = new Map<CalendarDate, Starts>();
  private readonly rows = {
    positions: [] as number[],
    accounts: [] as string[],
    starts: [] as number[],
    kinds: [] as Kind[],
    currencies: [] as string[],
    debits: [] as string[],
    credits: [] as string[],
  };

  fold(batches: readonly Batch[]): TotalsFold['rows'] {
    for (const { last, events } of batches) {
      const touched = new Set<Register>();
      for (const { eventType, current } of events) {
        if (eventType !== 'JournalEntryPosted') continue;
        const { effectiveDate, lines } = current as unknown as JournalEntryPosted;
        for (const { accountId, currency, side, amount } of lines) {
          const register = this.registerOf(accountId, currency, amount);
          if (register.date !== effectiveDate) {
            this.closeDate(register, last);
            register.date = effectiveDate;
          }
          register[side] += minorOf(amount, register.scale);
          touched.add(register);
        }
      }
      for (const register of [...touched].sort((a, b) => (a.account < b.account ? -1 : 1))) this.closeBatch(register, last);
    }
    return this.rows;
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
      register = { account, currency, scale, buckets: new Map(), touched: [], date: undefined, debit: 0n, credit: 0n };
      currencies.set(currency, register);
    }
    return register;
  }

  private closeDate(register: Register, batch: number): void {
    if (register.date === undefined) return;
    const starts = this.startsOf(register.date);
    this.add(register, 'Y', starts.Y, batch);
    this.add(register, 'M', starts.M, batch);
    this.add(register, 'D', starts.D, batch);
    register.date = undefined;
    register.debit = 0n;
    register.credit = 0n;
  }

  private add(register: Register, kind: Kind, start: number, batch: number): void {
    const key = start * 4 + (kind === 'Y' ? 0 : kind === 'M' ? 1 : 2);
    let bucket = register.buckets.get(key);
    if (bucket === undefined) {
      bucket = { kind, start, debit: 0n, credit: 0n, batch: 0 };
      register.buckets.set(key, bucket);
    }
    bucket.debit += register.debit;
    bucket.credit += register.credit;
    if (bucket.batch === batch) return;
    bucket.batch = batch;
    register.touched.push(bucket);
  }

  /** Emits one row for each bucket that the batch touched. */
  private closeBatch(register: Register, batch: number): void {
    this.closeDate(register, batch);
    const { rows } = this;
    for (const { kind, start, debit, credit } of register.touched) {
      rows.positions.push(batch);
      rows.accounts.push(register.account);
      rows.starts.push(start);
      rows.kinds.push(kind);
      rows.currencies.push(register.currency);
      rows.debits.push(fromMinor(debit, register.scale));
      rows.credits.push(fromMinor(credit, register.scale));
    }
    register.touched = [];
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
 * The buckets that make up "up to and with D", as columns: kind, first and last start; without D all years. A whole month or
 * year ends in its own bucket, so the dates that accountants ask for most cost the fewest seeks.
 */
function windowsOf(asOfDate: CalendarDate = lastDate): { kinds: Kind[]; lows: CalendarDate[]; highs: CalendarDate[] } {
  const year = `${asOfDate.slice(0, 4)}-01-01`;
  const month = `${asOfDate.slice(0, 7)}-01`;
  const next = addDays(asOfDate, 1);
  if (next.endsWith('-01-01')) return { kinds: ['Y'], lows: [firstDate], highs: [year] };
  const beforeYear = addDays(year, -1);
  if (next.endsWith('-01')) return { kinds: ['Y', 'M'], lows: [firstDate, year], highs: [beforeYear, month] };
  return { kinds: ['Y', 'M', 'D'], lows: [firstDate, year, month], highs: [beforeYear, addDays(month, -1), asOfDate] };
}

/**
 * Version of AccountDebited and AccountCredited whose members the balance statement reads itself. Once there is a newer one it
 * sums none, and every leg goes through the upcaster, until the statement has learnt the new members.
 */
const legVersion = 1;

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
 * that is folded and not above P, and the account's events in between. Where these lie is found in the account's stream,
 * whose versions are consecutive (I5) and whose positions grow with them: from the end backwards in doubling steps when P is
 * not folded yet, by halving when P lies inside an old batch; a version that was archived counts as old. A leg stands a few
 * positions after its entry, so legs right after P may belong to an entry at or before it (`late`).
 *
 * Legs of version $8 are summed here, which for a busy account is the difference between 1 and 6 ms; all others, and what
 * changes the account itself, are handed out to be read as they must be.
 */
const balanceText = `WITH RECURSIVE
  wanted (account_id) AS (SELECT n.stream_id FROM log.stream_names n WHERE n.book_id = $1 AND n.category = 'account' AND n.name = $2),
  pinned AS MATERIALIZED (
    SELECT h.position AS head, coalesce($3::int8, h.position) AS known,
           coalesce((SELECT min(c.position) FROM projections.cursors c
                      WHERE c.book_id = $1 AND c.projection IN ('as-of', 'chart') HAVING count(*) = 2), 0) AS folded
      FROM log.book_heads h WHERE h.book_id = $1
  ),
  bounds AS (
    SELECT p.head, p.known, p.known >= p.folded AS unfolded,
           CASE WHEN p.known >= p.folded THEN p.folded
                ELSE coalesce((SELECT b.last_position FROM log.batches b
                                WHERE b.book_id = $1 AND b.last_position <= p.known ORDER BY b.last_position DESC LIMIT 1), 0) END AS base
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
      FROM bounds b, newest n, LATERAL (VALUES (b.base), (b.known)) AS t (target)
     WHERE b.known > b.base
    UNION ALL
    SELECT s.target, CASE WHEN found.old THEN m.middle ELSE s.low END, CASE WHEN found.old THEN s.high ELSE m.middle END, s.step * 2
      FROM search s, newest n, LATERAL (SELECT greatest((s.low + s.high) / 2, s.high - s.step)) AS m (middle),
           LATERAL (SELECT coalesce((SELECT e.position FROM log.events e
                                      WHERE e.book_id = $1 AND e.stream_id = n.account_id AND e.version = m.middle), 0) <= s.target OFFSET 0) AS found (old)
     WHERE s.high - s.low > 1
  ),
  range AS (
    SELECT min(s.high) FILTER (WHERE s.target = b.base) AS first, min(s.high) FILTER (WHERE s.target = b.known) AS past
      FROM search s, bounds b WHERE s.high - s.low = 1
  ),
  late (version) AS (
    SELECT r.past - 1 FROM range r
    UNION ALL
    SELECT e.version
      FROM late l, bounds b, newest n,
           LATERAL (SELECT e.version, e.data FROM log.events e
                     WHERE e.book_id = $1 AND e.stream_id = n.account_id AND e.version = l.version + 1 OFFSET 0) AS e
     WHERE (e.data ->> 'entryPosition')::int8 <= b.known
  ),
  tail AS (
    SELECT e.plain, e.event_type = 'AccountDebited' AS debit,
           CASE WHEN e.plain THEN e.data ->> 'currency' END AS currency, CASE WHEN e.plain THEN (e.data ->> 'amount')::numeric END AS amount,
           CASE WHEN NOT e.plain THEN json_build_object('position', e.position, 'eventType', e.event_type, 'eventVersion', e.event_version, 'data', e.data) END AS event
      FROM newest n, range r, (SELECT max(l.version) AS last FROM late l) AS l,
           LATERAL (SELECT e.position, e.event_type, e.event_version, e.data,
                           e.event_version = $8::int2 AND e.event_type IN ('AccountDebited', 'AccountCredited') AS plain
                      FROM log.events e
                     WHERE e.book_id = $1 AND e.stream_id = n.account_id AND e.version >= r.first AND e.version <= l.last OFFSET 0) AS e
     WHERE $7::text IS NULL OR NOT e.plain OR (e.data ->> 'effectiveDate') COLLATE "C" <= $7
  ),
  ${totalsAt('(SELECT base FROM bounds)', '$4', '$5', '$6')},
  unfolded AS (SELECT t.currency, t.debit, sum(t.amount) AS amount FROM tail t WHERE t.plain GROUP BY 1, 2)
SELECT b.head, b.known AS position, w.account_id AS id,
       (SELECT v.state FROM projections.account_versions v
         WHERE v.book_id = $1 AND v.account_id = w.account_id AND v.position <= b.base ORDER BY v.position DESC LIMIT 1) AS state,
       (SELECT json_agg(json_build_array(t.currency, t.debit::text, t.credit::text)) FROM totals t) AS totals,
       (SELECT json_agg(json_build_array(u.currency, u.debit, u.amount::text)) FROM unfolded u) AS unfolded,
       (SELECT json_agg(t.event ORDER BY (t.event ->> 'position')::int8) FROM tail t WHERE NOT t.plain) AS tail
  FROM bounds b LEFT JOIN wanted w ON true`;

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

interface TailEvent {
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
  const { kinds, lows, highs } = windowsOf(asOf);
  const readable = [catalogue.AccountDebited, catalogue.AccountCredited].every((leg) => leg?.version === legVersion);
  const { rows } = await database.query<{
    head: number;
    position: number;
    id: string | null;
    state: AccountView | null;
    totals: [currency: string, debit: string, credit: string][] | null;
    unfolded: [currency: string, debit: boolean, amount: string][] | null;
    tail: TailEvent[] | null;
  }>({
    name: 'balance',
    text: balanceText,
    values: [bookId, code, knownAt ?? null, textArray(kinds), dateArray(lows), dateArray(highs), asOf ?? null, readable ? legVersion : 0],
  });
  const row = rows[0];
  if (row === undefined) return undefined;
  let account: Partial<AccountView> | undefined = row.state ?? undefined;
  const totals = new Map((row.totals ?? []).map((read) => [read[0], totalsOf(...read)]));
  for (const [currency, debit, amount] of row.unfolded ?? []) addLine(totals, currency, debit ? 'debit' : 'credit', amount);
  for (const event of row.tail ?? []) {
    const current = upcast(catalogue, { ...event, bookId });
    const patch = accountPatch({ ...event, streamId: row.id ?? '', current });
    if (patch !== undefined) {
      account = { ...account, ...patch };
      continue;
    }
    const { effectiveDate, currency, amount } = current as unknown as AccountPosted;
    if (asOf !== undefined && effectiveDate > asOf) continue;
    addLine(totals, currency, event.eventType === 'AccountDebited' ? 'debit' : 'credit', amount);
  }
  return { head: row.head, position: row.position, account: account as AccountView | undefined, totals: sorted(totals.values()) };
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
  return { head: row.position, position: row.position, account, totals: sorted(account.totals) };
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
