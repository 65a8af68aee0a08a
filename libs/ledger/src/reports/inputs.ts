/**
 * Inputs: everything that a report depends on, read at one position: the book and its calendar, the chart, the totals of every
 * account in every column. Hides from where totals come (running totals of the projection, the lines of a batch that is cut in
 * two, or the entries themselves where a question needs what no total holds). Guarantees that nothing recorded after the position
 * has a part in it, and that every entry acknowledged before the question has (I14).
 */
import {
  addDays,
  type BookEvent,
  type BookState,
  bookReducer,
  type CalendarDate,
  decimalsOf,
  type JournalEntryPosted,
  LedgerError,
  type PeriodClosed,
  type PostedLine,
  scaleOf,
  toMinor,
} from '#domain';
import type { EventStore, RecordedEvent, RecordedFact } from '#event-store';
import { bookStreamId } from '../catalogue';
import type { Database } from '../projection';
import { asOf, rowsEndBefore, type Totals, totalsInRanges } from '../projections/as-of';
import { type AccountView, accountsAt, accountsFrom, afterCode, chart } from '../projections/chart';
import { type DimensionValue, dimensions, totalsOfDimension } from '../projections/dimensions';
import { addTotalsOfChart, monthEndsBefore } from '../projections/month-ends';
import { type EntryKey, findEntries, register } from '../projections/register';
import type { Queries } from '../queries';
import type { PeriodChange } from './entry-tests';
import {
  type Asked,
  byCurrency,
  type Column,
  type ColumnSums,
  type CurrencyPart,
  type ReportInput,
  type Sum,
  zero,
  zeroColumn,
} from './figures';
import { eveOf } from './question';

/** Totals of one range of dates; the base amounts in minor units of the base currency. */
export interface RangeSum {
  readonly debit: bigint;
  readonly credit: bigint;
  readonly baseDebit: bigint;
  readonly baseCredit: bigint;
}

/** Totals of one account in one currency in (−∞, d0], (d0, d1], …; minor units. */
export interface RangeTotals {
  readonly currency: string;
  readonly scale: number;
  readonly ranges: readonly RangeSum[];
}

const noSum: RangeSum = { debit: 0n, credit: 0n, baseDebit: 0n, baseCredit: 0n };

/** Accounts whose totals are read by one statement. */
const accountsPerRead = 250;
const entriesPerRead = 500;
/**
 * Lines that are added up in the time in which a bucket is looked up, which tells the shorter way to the totals. At 10,000 accounts a
 * bucket took 16 µs (eleven for each account in 1.77 s), a line 1 (213,000 in 0.21 s).
 */
const linesPerSeekMeasured = 16;

/** A book at a position. */
export type Place = Pick<ReportInput, 'bookId' | 'position' | 'book' | 'recordedAt'>;

/** Accounts in the order of their codes. */
export interface AccountSpan {
  readonly from?: string;
  readonly limit?: number;
}

const wholeChart: AccountSpan = {};

export class Inputs {
  /** @param linesPerSeek for specs: 0 leads to the totals by buckets, Infinity by month ends, which are the same */
  constructor(
    private readonly store: EventStore,
    private readonly queries: Queries,
    private readonly linesPerSeek: number = linesPerSeekMeasured,
  ) {}

  /**
   * The book as its events up to a position tell it, and when that position was recorded.
   * @throws LedgerError date_invalid when the book was not opened yet
   */
  async placeAt(bookId: string, position: number): Promise<Place> {
    const recordedAt = position === 0 ? undefined : await this.store.recordedAt(bookId, position);
    let book: BookState | undefined;
    for (const { position: at, eventType, current } of recordedAt === undefined
      ? []
      : await this.store.readStream(bookId, bookStreamId(bookId))) {
      if (at <= position) book = bookReducer.evolve(book, { type: eventType, data: current } as unknown as BookEvent);
    }
    if (recordedAt === undefined || book === undefined)
      throw new LedgerError('date_invalid', `as known at position ${position} the book was not opened yet; there is nothing to report`, {
        member: 'knownAt',
      });
    return { bookId, position, book, recordedAt };
  }

  /**
   * What a report with these columns is made of.
   * @param wanted only so many accounts, from a code on; all when absent
   * @throws LedgerError projection_behind
   */
  async collect(
    { bookId, position, book, recordedAt }: Place,
    columns: readonly Column[],
    asked: Asked,
    wanted: AccountSpan = wholeChart,
  ): Promise<ReportInput> {
    const boundaries = boundariesIn(columns);
    const counts = lineFilter(asked);
    const totals = new LineTotals(boundaries, book, counts);
    const pairs = asked.dimensions.map(dimensionOf);
    // Lines with dimensions are read by their positions; of running totals, the lines of a batch that is cut in two are added here.
    const cut = pairs.length > 0 ? position : rowsEndBefore(position, await this.store.batchEndBefore(bookId, position));
    let base = cut;
    const accounts: AccountView[] = [];
    const closing: string[] = [];
    await this.queries.folded(bookId, position, [asOf, register, chart, dimensions], async (database) => {
      accounts.length = 0;
      closing.length = 0;
      totals.clear();
      accounts.push(...(await accountsIn(database, bookId, position, wanted)));
      if (pairs.length > 0) await addDimension(database, bookId, position, pairs, boundaries, totals);
      else {
        const near = wanted === wholeChart ? await monthEndsBefore(database, bookId, position) : undefined;
        const byMonthEnds = near !== undefined && position - near <= accounts.length * (boundaries.length + 2) * this.linesPerSeek;
        base = byMonthEnds ? position : cut;
        if (byMonthEnds)
          await addTotalsOfChart(database, bookId, { near, position }, boundaries, (id, range, each) => totals.add(id, range, [each]));
        else {
          const ids = accounts.map(({ id }) => id);
          for (const [id, ranges] of await totalsInRanges(database, bookId, ids, base, boundaries))
            for (const [range, each] of ranges.entries()) totals.add(id, range, each);
        }
      }
      if (asked.closing === 'exclude') closing.push(...(await entriesOfType(database, bookId, 'closing', position)));
    });
    for (const fact of base === position ? [] : await this.store.readFacts(bookId, base, position)) {
      const posted = postedIn(fact);
      if (posted !== undefined) totals.addEntry(posted);
    }
    const closed = await this.withReversals(bookId, closing, position);
    const parts = partsOf(accounts, totals, columns, { left: closingTotals(closed, columns, book, counts), currency: asked.currency });
    const leftOut = new Set(closed.map(({ id }) => id));
    return { bookId, position, recordedAt, book, chart: accounts, columns, asked, parts, leftOut };
  }

  /** Entries by their ids as their events up to a position tell them, in the order of the ids; events of others are left out. */
  async entries(bookId: string, ids: readonly string[], position: number): Promise<RecordedEntry[]> {
    return ids.length === 0 ? [] : entriesIn(await this.store.readStreams(bookId, ids), ids, position);
  }

  /** Codes of the accounts of entries, as known at the position. */
  async codesOf(bookId: string, position: number, entries: readonly RecordedEntry[]): Promise<Map<string, string>> {
    const ids = [...new Set(entries.flatMap(({ posted }) => posted.lines.map(({ accountId }) => accountId)))];
    const accounts = await this.queries.folded(bookId, position, [chart], (database) => accountsAt(database, bookId, ids, position));
    return new Map([...accounts].map(([id, { code }]) => [id, code]));
  }

  /** What became of periods up to the position, in the order of positions. */
  async periodChanges({ bookId, position }: Pick<Place, 'bookId' | 'position'>): Promise<PeriodChange[]> {
    const events = await this.store.readStream(bookId, bookStreamId(bookId));
    return events.flatMap(({ eventType, current, position: at, recordedAt }): PeriodChange[] => {
      const kind = eventType === 'PeriodClosed' ? 'closed' : eventType === 'PeriodReopened' ? 'reopened' : undefined;
      if (kind === undefined || at > position) return [];
      const { fiscalYear, period } = current as unknown as PeriodClosed;
      return [{ fiscalYear, period, position: at, recordedAt, kind }];
    });
  }

  /** What `collect` leaves out, of whoever collects nothing at this position. */
  async leftOut({ bookId, position }: Pick<Place, 'bookId' | 'position'>, { closing }: Pick<Asked, 'closing'>): Promise<Set<string>> {
    if (closing === 'include') return new Set();
    const ids = await this.queries.folded(bookId, position, [register], (database) => entriesOfType(database, bookId, 'closing', position));
    return new Set((await this.withReversals(bookId, ids, position)).map(({ id }) => id));
  }

  /** All revaluations and their reversals. */
  async revaluationEntries(bookId: string, position: number): Promise<RecordedEntry[]> {
    return this.withReversals(bookId, [...(await this.revaluations(bookId, position))], position);
  }

  /** Ids of all revaluations; their reversals name them. */
  async revaluations(bookId: string, position: number): Promise<Set<string>> {
    return new Set(
      await this.queries.folded(bookId, position, [register], (database) => entriesOfType(database, bookId, 'revaluation', position)),
    );
  }

  /**
   * A closing entry that was reversed closed nothing: only both together may be left out. The event on its stream that names the reversal
   * is the last of their batch, so a position inside it knows the reversal already and that event not yet.
   */
  private async withReversals(bookId: string, ids: readonly string[], position: number): Promise<RecordedEntry[]> {
    if (ids.length === 0) return [];
    const events = await this.store.readStreams(bookId, ids);
    const reversals = events.flatMap(({ eventType, current }) => (eventType === 'JournalEntryReversed' ? [current.by as string] : []));
    return [...entriesIn(events, ids, position), ...(await this.entries(bookId, reversals, position))];
  }
}

/** By column, what closing entries that are dated in it and their reversals moved. */
function closingTotals(entries: readonly RecordedEntry[], columns: readonly Column[], book: BookState, counts: LineFilter): LineTotals[] {
  if (entries.length === 0) return [];
  return columns.map(({ from, to }) => {
    const totals = new LineTotals([eveOf(from), to], book, counts);
    for (const { posted } of entries) totals.addEntry(posted);
    return totals;
  });
}

/** An entry with what its envelope says. */
export interface RecordedEntry {
  readonly id: string;
  readonly position: number;
  readonly recordedAt: string;
  readonly userId?: string;
  readonly onBehalfOf?: string;
  readonly reason?: string;
  readonly posted: JournalEntryPosted;
  /** Id of the entry that reversed this one. */
  readonly reversedBy?: string;
}

function entriesIn(events: readonly RecordedEvent[], ids: readonly string[], position: number): RecordedEntry[] {
  const found = new Map<string, RecordedEntry>();
  for (const { streamId, eventType, current, position: at, recordedAt, metadata } of events) {
    if (at > position) continue;
    const known = found.get(streamId);
    if (eventType === 'JournalEntryReversed' && known !== undefined) found.set(streamId, { ...known, reversedBy: current.by as string });
    if (eventType !== 'JournalEntryPosted') continue;
    const text = (member: string): string | undefined => (typeof metadata[member] === 'string' ? (metadata[member] as string) : undefined);
    found.set(streamId, {
      id: streamId,
      position: at,
      recordedAt,
      userId: text('userId'),
      onBehalfOf: text('onBehalfOf'),
      reason: text('reason'),
      posted: current as unknown as JournalEntryPosted,
    });
  }
  return ids.flatMap((id) => found.get(id) ?? []);
}

const postedIn = ({ eventType, current }: Pick<RecordedFact, 'eventType' | 'current'>): JournalEntryPosted | undefined =>
  eventType === 'JournalEntryPosted' ? (current as unknown as JournalEntryPosted) : undefined;

/** Whether a line counts. */
export type LineFilter = (line: PostedLine) => boolean;

export function lineFilter({ currency, dimensions: asked }: Pick<Asked, 'currency' | 'dimensions'>): LineFilter {
  const pairs = asked.map(dimensionOf);
  return (line) =>
    (currency === undefined || line.currency === currency) &&
    pairs.every((pair) => line.dimensions?.some(({ key, value }) => key === pair.key && value === pair.value) === true);
}

/** `key:value`; a value may hold colons, a key that holds one cannot be asked for. */
function dimensionOf(text: string): DimensionValue {
  const colon = text.indexOf(':');
  return { key: text.slice(0, colon), value: text.slice(colon + 1) };
}

async function accountsIn(
  database: Database,
  bookId: string,
  position: number,
  { from = '', limit = Number.MAX_SAFE_INTEGER }: AccountSpan,
): Promise<AccountView[]> {
  const accounts: AccountView[] = [];
  for (let code = from; accounts.length < limit; code = afterCode(accounts.at(-1)?.code ?? '')) {
    const some = await accountsFrom(database, bookId, position, code, Math.min(accountsPerRead, limit - accounts.length));
    accounts.push(...some);
    if (some.length < accountsPerRead) break;
  }
  return accounts;
}

/** Adds the lines that have all dimensions, range by range. */
async function addDimension(
  database: Database,
  bookId: string,
  position: number,
  [pair, ...also]: readonly DimensionValue[],
  boundaries: readonly CalendarDate[],
  totals: LineTotals,
): Promise<void> {
  for (const [range, to] of boundaries.entries()) {
    const before = boundaries[range - 1];
    const from = before === undefined ? undefined : addDays(before, 1);
    const found = await totalsOfDimension(database, { bookId, pair: pair as DimensionValue, also, from, to, position });
    for (const [id, each] of found) totals.add(id, range, each);
  }
}

/** Ids of the entries of a type that is posted a few times a year, as known at a position, whatever their date. */
async function entriesOfType(
  database: Database,
  bookId: string,
  entryType: 'closing' | 'revaluation',
  position: number,
): Promise<string[]> {
  const ids: string[] = [];
  let after: EntryKey | undefined;
  for (;;) {
    const found = await findEntries(database, bookId, { entryType }, { sort: 'position', position, after, limit: entriesPerRead });
    ids.push(...found.map(({ entryId }) => entryId));
    if (found.length < entriesPerRead) return ids;
    after = found.at(-1);
  }
}

/** Last days of the ranges whose totals the columns are made of, sorted. */
export const boundariesIn = (columns: readonly Column[]): CalendarDate[] => [...new Set(columns.flatMap(boundariesOf))].sort();

/**
 * What accounts show in the columns; those without lines are missing.
 * @param totals in the ranges of boundariesIn
 * @param options left: by column, what is left out of it, in ranges that end before the column and with it; currency: only this one
 */
export function partsOf(
  accounts: readonly Pick<AccountView, 'id'>[],
  totals: LineTotals,
  columns: readonly Column[],
  { left, currency }: { readonly left: readonly LineTotals[]; readonly currency?: string | undefined },
): Map<string, readonly CurrencyPart[]> {
  const boundaries = boundariesIn(columns);
  const places = columns.map(({ from, to, yearFrom }) => ({
    yearBefore: yearFrom === undefined ? undefined : boundaries.indexOf(eveOf(yearFrom)),
    before: boundaries.indexOf(eveOf(from)),
    upTo: boundaries.indexOf(to),
  }));
  const parts = new Map<string, readonly CurrencyPart[]>();
  for (const { id } of accounts) {
    const found = totals.of(id).filter((part) => currency === undefined || part.currency === currency);
    if (found.length > 0)
      parts.set(
        id,
        found.map((part) => partOf(id, part, places, left)),
      );
  }
  return parts;
}

/** Days at whose ends totals are needed for a column. */
function boundariesOf({ from, to, yearFrom }: Column): CalendarDate[] {
  return [eveOf(from), to, ...(yearFrom === undefined ? [] : [eveOf(yearFrom)])];
}

/** @param places by column, the boundaries at which its sums end */
function partOf(
  accountId: string,
  { currency, scale, ranges }: RangeTotals,
  places: readonly { readonly yearBefore: number | undefined; readonly before: number; readonly upTo: number }[],
  left: readonly LineTotals[],
): CurrencyPart {
  let sum = noSum;
  const upTo = ranges.map((range) => {
    if (range !== noSum) sum = added(sum, range, 1n);
    return sum;
  });
  const closings = left.map((totals) => totals.of(accountId).find((total) => total.currency === currency)?.ranges[1] ?? noSum);
  const each = (pick: (sum: RangeSum) => Sum): ColumnSums[] => {
    // One object for each sum, in however many columns it stands.
    const sums = upTo.map((range, index) => (range === noSum ? zero : range === upTo[index - 1] ? undefined : pick(range)));
    for (let index = 1; index < sums.length; index++) sums[index] ??= sums[index - 1];
    return places.map(({ yearBefore, before, upTo: last }, column) => {
      const closing = closings[column] ?? noSum;
      return {
        yearBefore: yearBefore === undefined ? zero : (sums[yearBefore] as Sum),
        before: sums[before] as Sum,
        upTo: closing === noSum ? (sums[last] as Sum) : pick(added(upTo[last] as RangeSum, closing, -1n)),
      };
    });
  };
  const own = ({ debit, credit }: RangeSum): Sum => ({ debit, credit });
  const base = ({ baseDebit, baseCredit }: RangeSum): Sum => ({ debit: baseDebit, credit: baseCredit });
  const hasBase = [...ranges, ...closings].some(({ baseDebit, baseCredit }) => baseDebit !== 0n || baseCredit !== 0n);
  return { currency, scale, own: each(own), base: hasBase ? each(base) : nothingIn(places.length) };
}

/** Of no line at all, in so many columns: most accounts have no base amounts, and share it. */
function nothingIn(columns: number): readonly ColumnSums[] {
  if (nothing.length !== columns) nothing = Array.from({ length: columns }, () => zeroColumn);
  return nothing;
}
let nothing: readonly ColumnSums[] = [];

const added = (one: RangeSum, other: RangeSum, sign: bigint): RangeSum => ({
  debit: one.debit + sign * other.debit,
  credit: one.credit + sign * other.credit,
  baseDebit: one.baseDebit + sign * other.baseDebit,
  baseCredit: one.baseCredit + sign * other.baseCredit,
});

/** Totals in ranges of dates that lines are added to one by one. */
export class LineTotals {
  private readonly accounts = new Map<string, Map<string, { currency: string; scale: number; ranges: RangeSum[] }>>();
  private readonly baseScale: number;

  /** @param boundaries last days of the ranges, sorted */
  constructor(
    private readonly boundaries: readonly CalendarDate[],
    book: BookState,
    private readonly counts: LineFilter,
  ) {
    this.baseScale = scaleOf(book, book.baseCurrency) ?? 0;
  }

  clear(): void {
    this.accounts.clear();
  }

  addEntry({ effectiveDate, lines }: JournalEntryPosted): void {
    const range = this.boundaries.findIndex((last) => effectiveDate <= last);
    if (range < 0) return;
    for (const line of lines) if (this.counts(line)) this.addLine(line, range);
  }

  private addLine({ accountId, currency, side, amount, baseAmount = '0' }: PostedLine, range: number): void {
    const scale = decimalsOf(amount);
    const minor = toMinor(amount, scale) ?? 0n;
    const base = toMinor(baseAmount, this.baseScale) ?? 0n;
    const sum = side === 'debit' ? { ...noSum, debit: minor, baseDebit: base } : { ...noSum, credit: minor, baseCredit: base };
    this.addSum(accountId, currency, scale, range, sum);
  }

  /** Adds totals of an account in one range. */
  add(accountId: string, range: number, totals: readonly Totals[]): void {
    for (const { currency, scale, debit, credit, baseDebit = 0n, baseCredit = 0n } of totals)
      this.addSum(accountId, currency, scale, range, { debit, credit, baseDebit, baseCredit });
  }

  private addSum(accountId: string, currency: string, scale: number, range: number, sum: RangeSum): void {
    const { ranges } = this.entry(accountId, currency, scale);
    const before = ranges[range] ?? noSum;
    ranges[range] = before === noSum ? sum : added(before, sum, 1n);
  }

  /** By currency, sorted. */
  of(accountId: string): RangeTotals[] {
    return [...(this.accounts.get(accountId)?.values() ?? [])].sort(byCurrency);
  }

  private entry(accountId: string, currency: string, scale: number): { currency: string; scale: number; ranges: RangeSum[] } {
    let currencies = this.accounts.get(accountId);
    if (currencies === undefined) {
      currencies = new Map();
      this.accounts.set(accountId, currencies);
    }
    let totals = currencies.get(currency);
    if (totals === undefined) {
      totals = { currency, scale, ranges: this.boundaries.map(() => noSum) };
      currencies.set(currency, totals);
    }
    return totals;
  }
}
