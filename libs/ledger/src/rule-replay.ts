/**
 * What June would look like under another rule: the posted entries of a book, up to a position, are led through a rule, folded into a
 * scratch set of as-of totals, and held against the live totals, per account and currency, asked for and computed as in a trial
 * balance (carry, closing entries, moment of knowledge). Hides the scratch set and the reading. Guarantees that neither the log nor a live set is touched, that what the rule returns is checked as the book would check it (accounts,
 * dates, amounts, balance), and that the entry is named whose outcome is wrong.
 */
import type { Pool } from 'pg';
import {
  type AccountType,
  amountCeiling,
  type BookState,
  type CalendarDate,
  fromMinor,
  isDate,
  isPlainDecimal,
  type JournalEntryPosted,
  type PostedLine,
  toMinor,
} from '#domain';
import type { EventStore, RecordedFact } from '#event-store';
import { accountCodes } from './catalogue';
import { beginCursors, foldedSet, foldInto, readBatches, Stuck } from './fold';
import { type Database, databaseOf } from './projection';
import { changingSets, dropSet, makeSet, type ProjectionSet } from './projection-sets';
import { asOf, totalsInRanges } from './projections/as-of';
import type { KnownAt, Queries } from './queries';
import {
  baseScaleOf,
  type Carry,
  type Closing,
  type Column,
  isNominal,
  type Presentation,
  type ReportInput,
  type Shown,
  show,
  total,
} from './reports/figures';
import { boundariesIn, Inputs, LineTotals, partsOf } from './reports/inputs';
import { askedOf, columnsOf, eveOf } from './reports/question';
import { broughtForward, movementOf } from './reports/trial-balance';

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
  /** Entries recorded up to then count; the head when absent. */
  readonly knownAt?: KnownAt;
  /** fiscalYear when absent (I13). */
  readonly carry?: Carry;
  /** Whether closing entries of the range count, and what the rule makes of them; include when absent. */
  readonly closing?: Closing;
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

export interface RuleReplayFigures {
  readonly currency: string;
  /** Lines: amounts of lines in the currency. Base, in a book with fx=tracked: base amounts of lines in all currencies, beside these. */
  readonly basis: 'lines' | 'base';
  readonly asItIs: RuleReplayAmounts;
  readonly underTheRule: RuleReplayAmounts;
  /** Under the rule − as it is. */
  readonly difference: RuleReplayAmounts;
  readonly differs: boolean;
}

export interface RuleReplayRow extends RuleReplayFigures {
  readonly account: string;
  readonly name: string;
}

export interface RuleReplay {
  readonly bookId: string;
  readonly position: number;
  readonly from: CalendarDate;
  readonly to: CalendarDate;
  /** What was asked for, or went without saying. */
  readonly carry: Carry;
  readonly closing: Closing;
  /** Posted entries that the rule saw, and what became of them. */
  readonly entries: number;
  readonly unchanged: number;
  readonly changed: number;
  readonly leftOut: number;
  /** By account code, then currency, base amounts last: every account with a line on either side. */
  readonly rows: readonly RuleReplayRow[];
  /** Of income and expense in the fiscal years before that of the first date, by currency; empty with carry=none. */
  readonly retainedEarnings: readonly RuleReplayFigures[];
  /** Number of the scratch set, when it was kept. */
  readonly kept?: number;
}

/** What a rule returned is no entry of the book; the message names the entry that it was given, and what was expected. */
class RuleError extends Error {
  override readonly name = 'RuleError';
}

const eventsPerFold = 6_000;

/**
 * @throws RuleError; LedgerError as a trial balance has it (book_unknown, malformed, date_invalid, no_fiscal_year, projection_behind)
 */
export async function replayUnderRule(pool: Pool, store: EventStore, queries: Queries, options: RuleReplayOptions): Promise<RuleReplay> {
  const { bookId, from, to, rule } = options;
  const asked = askedOf(options, 'include');
  const inputs = new Inputs(store, queries);
  const place = await inputs.placeAt(bookId, await queries.pin(bookId, options.knownAt));
  const { position } = place;
  const columns = columnsOf(place.book, { from, to }, 'range', asked.carry);
  const asItIs = await inputs.collect(place, columns, asked);
  const ruled = new Ruling(place.book, await accountsByCode(pool, asItIs), rule, columns[0] as Column, asItIs.leftOut);
  const scratch = await changingSets(pool, (client) => makeSet(client, asOf, { state: 'scratch', madeBy: 'command', indexed: true }));
  try {
    await foldUnderRule(pool, store, scratch, ruled, position, options);
    const underTheRule = { ...asItIs, parts: await partsUnderRule(databaseOf(pool, asOf, scratch.build), asItIs, ruled.left) };
    const { entries, unchanged, changed, leftOut } = ruled;
    const { carry, closing } = asked;
    return {
      ...{ bookId, position, from, to, carry, closing, entries, unchanged, changed, leftOut },
      rows: rowsOf(asItIs, underTheRule),
      retainedEarnings: carry === 'fiscalYear' ? retainedEarningsOf(asItIs, underTheRule) : [],
      ...(options.keep === true && { kept: scratch.build }),
    };
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

/** Every code that an account of the chart ever had. */
async function accountsByCode(pool: Pool, { bookId, chart }: ReportInput): Promise<Map<string, string>> {
  const ids = new Set(chart.map(({ id }) => id));
  const { rows } = await pool.query<{ name: string; stream_id: string }>({
    name: 'account-codes',
    text: 'SELECT name, stream_id FROM log.stream_names WHERE book_id = $1 AND category = $2',
    values: [bookId, accountCodes],
  });
  return new Map(rows.flatMap(({ name, stream_id }) => (ids.has(stream_id) ? [[name, stream_id]] : [])));
}

// --- The rule, and what it may return ---

class Ruling {
  entries = 0;
  unchanged = 0;
  changed = 0;
  leftOut = 0;
  /** What the outcomes of closing entries move in the column, which the report leaves out. */
  readonly left: LineTotals;

  /** @param closing ids of closing entries and of their reversals that are left out of the column */
  constructor(
    private readonly book: BookState,
    private readonly accounts: ReadonlyMap<string, string>,
    private readonly rule: Rule,
    { from, to }: Column,
    private readonly closing: ReadonlySet<string>,
  ) {
    this.left = new LineTotals([eveOf(from), to], book, () => true);
  }

  /** The entries that an event would have been under the rule; other events are none. */
  under(event: RecordedFact): RecordedFact[] {
    if (event.eventType !== 'JournalEntryPosted') return [];
    const outcomes = this.outcomesOf(event);
    if (this.closing.has(event.streamId)) for (const { current } of outcomes) this.left.addEntry(current as unknown as JournalEntryPosted);
    return outcomes;
  }

  private outcomesOf(event: RecordedFact): RecordedFact[] {
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
    const made = outcomes.map((outcome, index) => {
      const wrong = (message: string): RuleError =>
        new RuleError(
          `the rule returned ${outcomes.length > 1 ? `as outcome ${index + 1} ` : ''}for ${name} what the book would not take: ${message}`,
        );
      return outcome === entry ? event : { ...event, current: this.checked(outcome, wrong) as unknown as RecordedFact['current'] };
    });
    const [only] = made;
    if (only === undefined) this.leftOut++;
    else if (made.length === 1 && contentOf(only.current as unknown as JournalEntryPosted) === contentOf(posted)) this.unchanged++;
    else this.changed++;
    return made;
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
      if (this.book.fx !== 'tracked') return own;
      base[side] += minor;
      return { ...own, baseAmount: own.amount };
    }
    const baseMinor = readAmount(baseAmount, baseScale, (problem) => wrong(`line ${line}: baseAmount ${problem} of ${baseCurrency}`));
    base[side] += baseMinor;
    return { ...own, baseAmount: fromMinor(baseMinor, baseScale) };
  }
}

/** What counts of an entry, as one text. */
const contentOf = ({ effectiveDate, lines }: Pick<JournalEntryPosted, 'effectiveDate' | 'lines'>): string =>
  JSON.stringify([effectiveDate, lines.map((line) => [line.accountId, line.side, line.amount, line.currency, line.baseAmount])]);

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

/** What the chart shows under the rule. @param left what closing entries move in the column, where they do not count */
async function partsUnderRule(
  scratch: Database,
  { bookId, position, book, chart, columns }: ReportInput,
  left: LineTotals,
): Promise<ReportInput['parts']> {
  const boundaries = boundariesIn(columns);
  const totals = new LineTotals(boundaries, book, () => true);
  const ids = chart.map(({ id }) => id);
  for (const [id, ranges] of await totalsInRanges(scratch, bookId, ids, position, boundaries))
    for (const [range, each] of ranges.entries()) totals.add(id, range, each);
  return partsOf(chart, totals, columns, { left: [left] });
}

/** Every account and currency with a line on either side. */
function rowsOf(asItIs: ReportInput, underTheRule: ReportInput): RuleReplayRow[] {
  return asItIs.chart.flatMap(({ id, code: account, name, type }) =>
    presentationsOf(asItIs, type).flatMap((presentation) => {
      const shown = ({ parts }: ReportInput): readonly Shown[] => show(parts.get(id), presentation, movementOf(type));
      return compared(shown(asItIs), shown(underTheRule), presentation).map((row) => ({ account, name, ...row }));
    }),
  );
}

/** Each currency for itself; and in a book that tracks rates what the lines are worth in base currency. Statistical units are worth nothing. */
function presentationsOf({ book }: ReportInput, type?: AccountType): (Presentation & { readonly kind: 'each' | 'base' })[] {
  const scale = type === 'memorandum' ? undefined : baseScaleOf(book);
  return [{ kind: 'each' }, ...(scale === undefined ? [] : [{ kind: 'base' as const, currency: book.baseCurrency, scale }])];
}

function retainedEarningsOf(asItIs: ReportInput, underTheRule: ReportInput): RuleReplayFigures[] {
  return presentationsOf(asItIs).flatMap((presentation) => {
    const brought = ({ chart, parts }: ReportInput): Shown[] => [
      ...total(
        chart.filter(({ type }) => isNominal(type)).flatMap(({ id }) => show(parts.get(id), presentation, broughtForward)),
        presentation,
      ).values(),
    ];
    return compared(brought(asItIs), brought(underTheRule), presentation).filter(
      ({ differs, asItIs: { opening } }) => differs || !/^0(\.0+)?$/.test(opening),
    );
  });
}

/** Both sides by currency, sorted; amounts are opening, debits, credits. */
function compared(
  asItIs: readonly Shown[],
  underTheRule: readonly Shown[],
  { kind }: { readonly kind: 'each' | 'base' },
): RuleReplayFigures[] {
  const scales = new Map([...asItIs, ...underTheRule].map(({ currency, scale }) => [currency, scale]));
  const of = (side: readonly Shown[], currency: string): readonly bigint[] =>
    side.find((shown) => shown.currency === currency)?.amounts ?? [0n, 0n, 0n];
  return [...scales]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([currency, scale]) => {
      const [one, two] = [of(asItIs, currency), of(underTheRule, currency)];
      const difference = two.map((amount, index) => amount - (one[index] ?? 0n));
      return {
        ...{
          currency,
          basis: kind === 'base' ? ('base' as const) : ('lines' as const),
          asItIs: shown(one, scale),
          underTheRule: shown(two, scale),
          difference: shown(difference, scale),
        },
        differs: difference.some((amount) => amount !== 0n),
      };
    });
}

function shown([opening = 0n, debits = 0n, credits = 0n]: readonly bigint[], scale: number): RuleReplayAmounts {
  return {
    opening: fromMinor(opening, scale),
    debits: fromMinor(debits, scale),
    credits: fromMinor(credits, scale),
    closing: fromMinor(opening + debits - credits, scale),
  };
}
