/**
 * What June would look like under another rule: the posted entries of a book, up to a position, are led through a rule, folded into a
 * scratch set of as-of totals, and held against the live totals, per account and currency. Hides the scratch set and the reading.
 * Guarantees that neither the log nor a live set is touched, that what the rule returns is checked as the book would check it (accounts,
 * dates, amounts, balance), and that the entry is named whose outcome is wrong.
 */
import type { Pool } from 'pg';
import {
  addDays,
  amountCeiling,
  type BookState,
  bookReducer,
  type CalendarDate,
  fromMinor,
  isDate,
  isPlainDecimal,
  type JournalEntryPosted,
  LedgerError,
  type PostedLine,
  toMinor,
} from '#domain';
import type { EventStore, RecordedFact } from '#event-store';
import { accountCodes, bookStreamId } from './catalogue';
import { beginCursors, foldedSet, foldInto, readBatches, Stuck } from './fold';
import { type Database, databaseOf, foldedUpTo } from './projection';
import { changingSets, dropSet, makeSet, type ProjectionSet } from './projection-sets';
import { addLine, asOf, rowsEndBefore, sorted, type Totals, totalsInRanges } from './projections/as-of';
import { accountsFrom, afterCode, chart } from './projections/chart';

/** A posted entry as a rule sees it: what its event says, frozen; `account` is the account's code when it was posted. */
export interface RuleEntry extends Omit<JournalEntryPosted, 'lines'> {
  readonly id: string;
  readonly position: number;
  readonly lines: readonly (Omit<PostedLine, 'accountId' | 'code'> & { readonly account: string })[];
}

/** An entry as it would have been: these members count, others are ignored. */
export interface RuledEntry {
  readonly effectiveDate: CalendarDate;
  readonly lines: readonly {
    /** Any code that the account ever had. */
    readonly account: string;
    readonly side: 'debit' | 'credit';
    readonly amount: string;
    readonly currency: string;
    readonly baseAmount?: string | undefined;
  }[];
}

/** Pure: the same entry always gives the same outcome. Nothing (undefined, null, an empty array) leaves the entry out. */
export type Rule = (entry: RuleEntry) => RuledEntry | readonly RuledEntry[] | null | undefined;

export interface RuleReplayOptions {
  readonly bookId: string;
  readonly rule: Rule;
  /** First and last date of the report. */
  readonly from: CalendarDate;
  readonly to: CalendarDate;
  /** Entries up to this position count; the head when absent. */
  readonly knownAt?: number | undefined;
  /** The scratch set is kept, and named in the outcome. */
  readonly keep?: boolean;
  readonly onProgress?: (progress: { readonly done: number; readonly total: number; readonly seconds: number }) => void;
  readonly signal?: AbortSignal;
}

/** Of one account in one currency: amounts with the currency's decimals; opening and closing are debits − credits. */
export interface RuleReplayAmounts {
  readonly opening: string;
  readonly debits: string;
  readonly credits: string;
  readonly closing: string;
}

export interface RuleReplayRow {
  readonly account: string;
  readonly name: string;
  readonly currency: string;
  readonly asItIs: RuleReplayAmounts;
  readonly underTheRule: RuleReplayAmounts;
  /** Under the rule − as it is. */
  readonly difference: RuleReplayAmounts;
  readonly differs: boolean;
}

export interface RuleReplay {
  readonly bookId: string;
  readonly position: number;
  readonly from: CalendarDate;
  readonly to: CalendarDate;
  /** Posted entries that the rule saw, and what became of them. */
  readonly entries: number;
  readonly unchanged: number;
  readonly changed: number;
  readonly leftOut: number;
  /** By account code, then currency: every account with a line on either side. */
  readonly rows: readonly RuleReplayRow[];
  /** Number of the scratch set, when it was kept. */
  readonly kept?: number;
}

/** What a rule returned is no entry of the book; the message names the entry that it was given, and what was expected. */
class RuleError extends Error {
  override readonly name = 'RuleError';
}

const eventsPerFold = 6_000;
const accountsPerRead = 1_000;

/**
 * @throws RuleError; LedgerError book_unknown, date_invalid for a position that has not come; Error when the live totals are not folded
 */
export async function replayUnderRule(pool: Pool, store: EventStore, options: RuleReplayOptions): Promise<RuleReplay> {
  const { bookId, from, to } = options;
  const book = (await store.load(bookId, bookStreamId(bookId), bookReducer))?.state;
  if (book === undefined) throw new LedgerError('book_unknown', `there is no book ${bookId}`, { book: bookId });
  if (!isDate(from) || !isDate(to) || from > to)
    throw new LedgerError('date_invalid', `from ${from} to ${to} is no range of dates YYYY-MM-DD`, { member: 'from' });
  const head = (await store.head(bookId)).position;
  const position = options.knownAt ?? head;
  if (position > head)
    throw new LedgerError('date_invalid', `position ${position} has not come yet: the book's last position is ${head}`, {
      member: 'knownAt',
    });
  const folded = await foldedUpTo(pool, bookId, [asOf, chart]);
  if (folded < position)
    throw new LedgerError(
      'projection_behind',
      `the projections of book ${bookId} are ${position - folded} events behind position ${position}; repeat when they are folded`,
      {
        lag: position - folded,
        retryAfter: 1,
      },
    );
  const accounts = await accountsByCode(pool, bookId);
  const ruled = new Ruling(book, accounts, options.rule);
  const scratch = await changingSets(pool, (client) => makeSet(client, asOf, { state: 'scratch', madeBy: 'command', indexed: true }));
  try {
    await foldUnderRule(pool, store, scratch, ruled, position, options);
    const rows = await reportRows(pool, store, scratch, options, position);
    const { entries, unchanged, changed, leftOut } = ruled;
    const kept = options.keep === true ? { kept: scratch.build } : {};
    return { bookId, position, from, to, entries, unchanged, changed, leftOut, rows, ...kept };
  } finally {
    if (options.keep !== true) await dropSet(pool, scratch.build);
  }
}

async function foldUnderRule(
  pool: Pool,
  store: EventStore,
  scratch: ProjectionSet,
  ruled: Ruling,
  position: number,
  { bookId, onProgress, signal }: RuleReplayOptions,
): Promise<void> {
  const set = foldedSet(asOf, scratch.build);
  const began = performance.now();
  await beginCursors(pool, bookId, [set]);
  const last = await store.batchEndBefore(bookId, position);
  for (let at = 0; at < position; ) {
    signal?.throwIfAborted();
    // The batch in which the position lies counts up to there.
    const read =
      at < last
        ? await readBatches(store, [set], bookId, { from: at, until: last, eventsMax: eventsPerFold })
        : { to: position, batches: [{ last: position, events: await store.readFacts(bookId, at, position) }] };
    if (read instanceof Stuck) throw read.cause;
    if (read === undefined) throw new Error(`no batch of book ${bookId} ends after position ${at}`);
    const batches = read.batches.map((batch) => ({ last: batch.last, events: batch.events.flatMap((event) => ruled.under(event)) }));
    if (!(await foldInto(pool, [set], bookId, { from: at, to: read.to, batches: batches.length, folded: [asOf.fold(batches)] })))
      throw new Error(`scratch set ${scratch.build} was changed by somebody else`);
    at = read.to;
    onProgress?.({ done: at, total: position, seconds: (performance.now() - began) / 1_000 });
  }
}

/** Every code that an account of the book ever had. */
async function accountsByCode(pool: Pool, bookId: string): Promise<Map<string, string>> {
  const { rows } = await pool.query<{ name: string; stream_id: string }>({
    name: 'account-codes',
    text: 'SELECT name, stream_id FROM log.stream_names WHERE book_id = $1 AND category = $2',
    values: [bookId, accountCodes],
  });
  return new Map(rows.map(({ name, stream_id }) => [name, stream_id]));
}

// --- The rule, and what it may return ---

class Ruling {
  entries = 0;
  unchanged = 0;
  changed = 0;
  leftOut = 0;

  constructor(
    private readonly book: BookState,
    private readonly accounts: ReadonlyMap<string, string>,
    private readonly rule: Rule,
  ) {}

  /** The entries that an event would have been under the rule; other events are none. */
  under(event: RecordedFact): RecordedFact[] {
    if (event.eventType !== 'JournalEntryPosted') return [];
    this.entries++;
    const posted = event.current as unknown as JournalEntryPosted;
    const entry = frozen<RuleEntry>({
      ...posted,
      id: event.streamId,
      position: event.position,
      lines: posted.lines.map(({ accountId: _id, code, ...line }) => ({ ...line, account: code })),
    });
    const name = `entry ${posted.journalCode}/${posted.fiscalYear}/${posted.number} (position ${event.position})`;
    let returned: unknown;
    try {
      returned = this.rule(entry);
    } catch (error) {
      throw new RuleError(`the rule failed at ${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
    // As it was given: nothing to check, and no wonder about the accounts of long ago.
    if (returned === entry) {
      this.unchanged++;
      return [event];
    }
    const outcomes = returned === undefined || returned === null ? [] : Array.isArray(returned) ? (returned as unknown[]) : [returned];
    if (outcomes.length === 0) this.leftOut++;
    else this.changed++;
    return outcomes.map((outcome, index) => {
      const wrong = (message: string): RuleError =>
        new RuleError(
          `the rule returned ${outcomes.length > 1 ? `as outcome ${index + 1} ` : ''}for ${name} what the book would not take: ${message}`,
        );
      return outcome === entry ? event : { ...event, current: this.checked(outcome, wrong) as unknown as RecordedFact['current'] };
    });
  }

  private checked(outcome: unknown, wrong: (message: string) => RuleError): Pick<JournalEntryPosted, 'effectiveDate' | 'lines'> {
    if (typeof outcome !== 'object' || outcome === null || outcome instanceof Promise)
      throw wrong(
        `${outcome instanceof Promise ? 'a promise' : JSON.stringify(outcome)}, expected an entry {effectiveDate, lines}, several in an array, or nothing`,
      );
    const { effectiveDate, lines } = outcome as { effectiveDate?: unknown; lines?: unknown };
    if (!isDate(effectiveDate)) throw wrong(`effectiveDate ${JSON.stringify(effectiveDate)} is no date YYYY-MM-DD from 1900 to 2199`);
    if (!Array.isArray(lines) || lines.length < 2)
      throw wrong(`it has ${Array.isArray(lines) ? lines.length : 'no'} lines, an entry has two or more; return nothing to leave it out`);
    const sums = new Map<string, { scale: number; debit: bigint; credit: bigint }>();
    const base = { debit: 0n, credit: 0n };
    const checked = (lines as unknown[]).map((line, index) => this.checkedLine(line, index + 1, { sums, base, wrong }));
    const show = (unit: string, scale: number, debit: bigint, credit: bigint): string =>
      `debits ${fromMinor(debit, scale)}, credits ${fromMinor(credit, scale)}, difference ${fromMinor(debit - credit, scale)} ${unit}`;
    for (const [currency, { scale, debit, credit }] of sums) if (debit !== credit) throw wrong(show(currency, scale, debit, credit));
    if (this.book.fx === 'tracked' && base.debit !== base.credit)
      throw wrong(
        `base amounts: ${show(this.book.baseCurrency, this.book.currencies[this.book.baseCurrency] ?? 0, base.debit, base.credit)}`,
      );
    return { effectiveDate, lines: checked };
  }

  private checkedLine(given: unknown, line: number, { sums, base, wrong }: LineSums): PostedLine {
    if (typeof given !== 'object' || given === null)
      throw wrong(`line ${line} is ${JSON.stringify(given)}, expected {account, side, amount, currency}`);
    const { account, side, amount, currency, baseAmount } = given as Record<string, unknown>;
    const accountId = typeof account === 'string' ? this.accounts.get(account) : undefined;
    if (accountId === undefined) throw wrong(`line ${line}: there is no account ${JSON.stringify(account)}`);
    if (side !== 'debit' && side !== 'credit') throw wrong(`line ${line}: side is ${JSON.stringify(side)}, expected debit or credit`);
    const { currencies, baseCurrency } = this.book;
    if (typeof currency !== 'string' || !Object.hasOwn(currencies, currency))
      throw wrong(`line ${line}: currency ${JSON.stringify(currency)} is none that the book uses (${Object.keys(currencies).join(', ')})`);
    const scale = currencies[currency] as number;
    const minor = readAmount(amount, scale, (problem) => wrong(`line ${line}: amount ${problem} of ${currency}`));
    const sum = sums.get(currency) ?? { scale, debit: 0n, credit: 0n };
    sum[side] += minor;
    sums.set(currency, sum);
    const own = { line, accountId, code: account as string, side, amount: fromMinor(minor, scale), currency } as PostedLine;
    const baseScale = currencies[baseCurrency] ?? 0;
    if (baseAmount === undefined) {
      if (this.book.fx === 'tracked' && currency !== baseCurrency)
        throw wrong(`line ${line}: the book tracks exchange rates, so a line in ${currency} needs its baseAmount`);
      if (currency === baseCurrency) base[side] += minor;
      return own;
    }
    const baseMinor = readAmount(baseAmount, baseScale, (problem) => wrong(`line ${line}: baseAmount ${problem} of ${baseCurrency}`));
    base[side] += baseMinor;
    return { ...own, baseAmount: fromMinor(baseMinor, baseScale) };
  }
}

interface LineSums {
  readonly sums: Map<string, { scale: number; debit: bigint; credit: bigint }>;
  readonly base: { debit: bigint; credit: bigint };
  readonly wrong: (message: string) => RuleError;
}

function readAmount(text: unknown, scale: number, wrong: (problem: string) => RuleError): bigint {
  const minor = typeof text === 'string' && isPlainDecimal(text) ? toMinor(text, scale) : undefined;
  if (minor === undefined || minor < 0n || minor >= amountCeiling)
    throw wrong(`${JSON.stringify(text)} is no text like "1234.50" with at most ${scale} decimals, from 0 to below 10^30 minor units`);
  return minor;
}

/** Frozen all the way down, so that a rule that changes what it is given fails instead of changing what comes after. */
function frozen<T extends object>(value: T): T {
  for (const member of Object.values(value))
    if (typeof member === 'object' && member !== null && !Object.isFrozen(member)) frozen(member as object);
  return Object.freeze(value);
}

// --- The report ---

async function reportRows(
  pool: Pool,
  store: EventStore,
  scratch: ProjectionSet,
  { bookId, from, to }: RuleReplayOptions,
  position: number,
): Promise<RuleReplayRow[]> {
  const boundaries = [addDays(from, -1), to];
  const base = rowsEndBefore(position, await store.batchEndBefore(bookId, position));
  const late = await linesBetween(store, bookId, base, position);
  const other: Database = databaseOf(pool, asOf, scratch.build);
  const rows: RuleReplayRow[] = [];
  for (let code = ''; ; ) {
    const accounts = await accountsFrom(pool, bookId, position, code, accountsPerRead);
    const ids = accounts.map(({ id }) => id);
    const live = await totalsInRanges(pool, bookId, ids, base, boundaries);
    const ruled = await totalsInRanges(other, bookId, ids, position, boundaries);
    for (const { id, code: account, name } of accounts) {
      const asItIs = boundaries.map((end, range) =>
        withLines(
          live.get(id)?.[range] ?? [],
          (late.get(id) ?? []).filter(({ date }) => date <= end && (range === 0 || date >= from)),
        ),
      );
      const underTheRule = ruled.get(id) ?? boundaries.map(() => []);
      const currencies = new Map([...asItIs, ...underTheRule].flat().map(({ currency, scale }) => [currency, scale]));
      for (const [currency, scale] of [...currencies].sort(([a], [b]) => (a < b ? -1 : 1))) {
        const one = amountsOf(asItIs, currency);
        const two = amountsOf(underTheRule, currency);
        const difference = { opening: two.opening - one.opening, debits: two.debits - one.debits, credits: two.credits - one.credits };
        rows.push({
          ...{ account, name, currency, asItIs: shown(one, scale), underTheRule: shown(two, scale), difference: shown(difference, scale) },
          differs: difference.opening !== 0n || difference.debits !== 0n || difference.credits !== 0n,
        });
      }
    }
    if (accounts.length < accountsPerRead) return rows;
    code = afterCode(accounts.at(-1)?.code ?? '');
  }
}

interface DatedLine {
  readonly date: CalendarDate;
  readonly line: PostedLine;
}

/** Lines of the entries in (from, to], by account: what the live rows at `from` do not count yet. */
async function linesBetween(store: EventStore, bookId: string, from: number, to: number): Promise<Map<string, DatedLine[]>> {
  const found = new Map<string, DatedLine[]>();
  for (const { eventType, current } of from === to ? [] : await store.readFacts(bookId, from, to)) {
    if (eventType !== 'JournalEntryPosted') continue;
    const { effectiveDate, lines } = current as unknown as JournalEntryPosted;
    for (const line of lines) {
      const known = found.get(line.accountId);
      if (known === undefined) found.set(line.accountId, [{ date: effectiveDate, line }]);
      else known.push({ date: effectiveDate, line });
    }
  }
  return found;
}

function withLines(totals: readonly Totals[], lines: readonly DatedLine[]): Totals[] {
  const sum = new Map(totals.map((total) => [total.currency, total]));
  for (const { line } of lines) addLine(sum, line);
  return sorted(sum.values());
}

interface Amounts {
  readonly opening: bigint;
  readonly debits: bigint;
  readonly credits: bigint;
}

/** @param ranges totals up to the day before the report, and in it */
function amountsOf(ranges: readonly (readonly Totals[])[], currency: string): Amounts {
  const [before, within] = ranges.map((totals) => totals.find((total) => total.currency === currency));
  return { opening: (before?.debit ?? 0n) - (before?.credit ?? 0n), debits: within?.debit ?? 0n, credits: within?.credit ?? 0n };
}

const shown = ({ opening, debits, credits }: Amounts, scale: number): RuleReplayAmounts => ({
  opening: fromMinor(opening, scale),
  debits: fromMinor(debits, scale),
  credits: fromMinor(credits, scale),
  closing: fromMinor(opening + debits - credits, scale),
});
