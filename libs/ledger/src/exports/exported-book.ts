/**
 * What exports are written from: a book as it was known at one position, whole or in a range of effective dates. Hides pages,
 * projections and what an opening balance is made of. Guarantees that the same position and range give the same rows in the same
 * order for ever, that no more than a page of entries is held, and that every pass over the entries is held against what the
 * projections and the counts of the book say (checks.ts): whoever reads a pass to its end has read all of it, and nothing that
 * contradicts itself.
 */
import { type BookState, type CalendarDate, firstDate, fromMinor, lastDate, type Side } from '#domain';
import type { EventStore } from '#event-store';
import { checkRange } from '../asking';
import type { Opened, Personal, Presentation } from '../personal';
import { countEntries, type EntryCount, entriesByNumber, register } from '../projections/register';
import type { AccountAnswer, EntryAnswer, KnownAt, Queries } from '../queries';
import { baseScaleOf, byCurrency, type Column, type CurrencyPart, isNominal, net, type Sum, sortedByKey, zero } from '../reports/figures';
import { Inputs } from '../reports/inputs';
import { yearOf } from '../reports/question';
import { checkedPass, checkNumbers } from './checks';

export interface ExportRange {
  readonly from: CalendarDate;
  readonly to: CalendarDate;
}

/** What an account has in one currency, in minor units; base amounts in those of the base currency, of use with fx=tracked only. */
export interface AccountMovement {
  readonly account: AccountAnswer;
  readonly currency: string;
  /** Decimals of the currency. */
  readonly scale: number;
  /** Before the range, within it, and at its end: opening + movement = closing, side by side. */
  readonly opening: Sum;
  readonly movement: Sum;
  readonly closing: Sum;
  readonly baseOpening: Sum;
  readonly baseMovement: Sum;
  readonly baseClosing: Sum;
}

/** Debit − credit of income and expense of the years before, which a new year does not open with, in minor units. */
export interface BroughtForward {
  readonly currency: string;
  readonly scale: number;
  readonly net: bigint;
  readonly baseNet: bigint;
}

export interface Balances {
  /** In the order of account codes, then currencies; accounts that never had a line up to the range's end are left out. */
  readonly rows: readonly AccountMovement[];
  /** By currency; empty with carry `none`, and where every year before was closed in the books. */
  readonly broughtForward: readonly BroughtForward[];
}

/** Entries of one day book, a page at a time. */
export interface JournalPage {
  readonly journalCode: string;
  readonly entries: readonly EntryAnswer[];
}

export interface ExportedBook {
  readonly id: string;
  readonly position: number;
  /** When that position was recorded: the only instant that an export knows. Absent at position 0. */
  readonly recordedAt?: string;
  /** Absent at position 0, before the book was opened. */
  readonly state?: BookState;
  /** Absent: everything. Both days are included. */
  readonly range?: ExportRange;
  /** All of them, in the order of codes. */
  accounts(): AsyncGenerator<readonly AccountAnswer[]>;
  /** Entries of the range in the order of positions. @throws LedgerError export_inconsistent at the end of the pass or before */
  entries(): AsyncGenerator<readonly EntryAnswer[]>;
  /** The same entries in the order of journal codes, fiscal years and numbers. */
  entriesByJournal(): AsyncGenerator<JournalPage>;
  /** Entries by their ids, also outside of the range; those that the position does not know are left out. For a page of ids. */
  entriesById(ids: readonly string[]): Promise<readonly EntryAnswer[]>;
  /**
   * What accounts had before the range, moved in it and had at its end.
   * @param carry fiscalYear: income and expense open at what they moved since the fiscal year of the range's first day began (I13);
   *   none: everything since inception
   * @throws LedgerError no_fiscal_year with carry fiscalYear
   */
  balances(carry: 'fiscalYear' | 'none'): Promise<Balances>;
  /** How many entries of the range there are, by day book and fiscal year. */
  counts(): Promise<readonly EntryCount[]>;
}

const entriesPerRead = 250;

/**
 * Opens a book for one export: balances and counts are asked of the database once, and kept with what is returned.
 * @throws LedgerError book_unknown | date_invalid | malformed | projection_behind | export_inconsistent when numbers have gaps
 */
export async function exportedBook(
  { queries, store, personal }: { readonly queries: Queries; readonly store: EventStore; readonly personal: Pick<Personal, 'reveal'> },
  bookId: string,
  {
    knownAt,
    from,
    to,
    personal: presentation = 'sealed',
    opened,
  }: {
    readonly knownAt?: KnownAt;
    readonly from?: CalendarDate;
    readonly to?: CalendarDate;
    /** How texts about persons are given; as they are stored when absent. */
    readonly personal?: Presentation;
    readonly opened?: Opened;
  } = {},
): Promise<ExportedBook> {
  checkRange(from ?? firstDate, to ?? lastDate);
  const known = await queries.knownBook(bookId, { knownAt });
  const { position, state } = known;
  const range = from === undefined && to === undefined ? undefined : { from: from ?? firstDate, to: to ?? lastDate };
  const days = range ?? { from: firstDate, to: lastDate };
  const inputs = new Inputs(store, queries);
  const place = state === undefined ? undefined : await inputs.placeAt(bookId, position);

  const balancesWith = async (carry: 'fiscalYear' | 'none'): Promise<Balances> => {
    if (place === undefined) return { rows: [], broughtForward: [] };
    const column: Column = { ...days, yearFrom: carry === 'none' ? undefined : yearOf(place.book, days.from).from };
    const asked = { carry, closing: 'include', dimensions: [], includeZero: true } as const;
    const { chart, parts } = await inputs.collect(place, [column], asked);
    const codes = new Map(chart.map(({ id, code }) => [id, code]));
    const rows = chart.flatMap(({ parentId, ...account }) => {
      const answer: AccountAnswer = { ...account, ...(parentId === undefined ? {} : { parent: codes.get(parentId) }) };
      return (parts.get(account.id) ?? []).map((part) => movementOf(answer, part));
    });
    return { rows, broughtForward: broughtForward(chart, parts) };
  };
  const balancesOf = { fiscalYear: once(() => balancesWith('fiscalYear')), none: once(() => balancesWith('none')) };
  const balances = (carry: 'fiscalYear' | 'none'): Promise<Balances> => balancesOf[carry]();
  const countsIn = async (asked: ExportRange | undefined): Promise<readonly EntryCount[]> =>
    place === undefined ? [] : queries.folded(bookId, position, [register], (database) => countEntries(database, bookId, asked, position));
  const allCounts = once(() => countsIn(undefined));
  const counts = range === undefined ? allCounts : once(() => countsIn(range));
  const labels = place?.book.fiscalYears.filter((year) => year.from <= days.to && year.to >= days.from).map(({ label }) => label) ?? [];
  const codes = place?.book.journals.map(({ journalCode }) => journalCode).sort() ?? [];

  async function* byJournal(): AsyncGenerator<JournalPage> {
    const counted = await counts();
    for (const journalCode of codes)
      for (const fiscalYear of labels) {
        const own = counted.find((each) => each.journalCode === journalCode && each.fiscalYear === fiscalYear);
        if (own === undefined) continue;
        // A short range of a long year begins at its own first number, and not behind all that come before.
        for (let after = own.firstNumber - 1; ; ) {
          const found = await queries.folded(bookId, position, [register], (database) =>
            entriesByNumber(database, bookId, { journalCode, fiscalYear }, { ...days, after, position, limit: entriesPerRead }),
          );
          const ids = found.map(({ entryId }) => entryId);
          if (ids.length > 0) yield { journalCode, entries: await queries.entriesAt(bookId, ids, position) };
          if (found.length < entriesPerRead) break;
          after = found.at(-1)?.number ?? after;
        }
      }
  }

  const shown = <T>(page: T): Promise<T> => personal.reveal(bookId, page, presentation, opened);
  async function* each<T>(pages: AsyncGenerator<T>): AsyncGenerator<T> {
    for await (const page of pages) yield await shown(page);
  }

  const facts = { position, state, days, balances, counts };
  checkNumbers(await allCounts());
  return {
    id: bookId,
    position,
    ...(place === undefined ? {} : { recordedAt: place.recordedAt }),
    ...(state === undefined ? {} : { state }),
    ...(range === undefined ? {} : { range }),
    accounts: known.accounts,
    entries: () => each(checkedPass(facts, known.entries(range), (page) => page, 'positions')),
    entriesByJournal: () => each(checkedPass(facts, byJournal(), ({ entries }) => entries, 'numbers')),
    entriesById: async (ids) => shown(await queries.entriesAt(bookId, ids, position)),
    balances,
    counts,
  };
}

/** Asks the database once for whoever asks: at one position the answer is always the same. A failed answer fails the export. */
function once<T>(ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined;
  return () => (answer ??= ask());
}

function movementOf(account: AccountAnswer, { currency, scale, own, base }: CurrencyPart): AccountMovement {
  const [sums, baseSums] = [own[0], base[0]];
  if (sums === undefined || baseSums === undefined) throw new Error('a part without its column');
  const from = isNominal(account.type) ? { own: sums.yearBefore, base: baseSums.yearBefore } : { own: zero, base: zero };
  return {
    account,
    currency,
    scale,
    opening: less(sums.before, from.own),
    movement: less(sums.upTo, sums.before),
    closing: less(sums.upTo, from.own),
    baseOpening: less(baseSums.before, from.base),
    baseMovement: less(baseSums.upTo, baseSums.before),
    baseClosing: less(baseSums.upTo, from.base),
  };
}

/** Codes of the book's currencies with their decimals, in the order of the codes. */
export const currenciesOf = ({ state }: Pick<ExportedBook, 'state'>): (readonly [string, number])[] =>
  sortedByKey(Object.entries(state?.currencies ?? {}));

/** An amount in the sign of debit − credit. */
export const signedBy = (side: Side, amount: string): string => (side === 'credit' && /[1-9]/.test(amount) ? `-${amount}` : amount);

/** What an account has in one currency before the range, debit − credit; the base amount in a book with fx=tracked. */
export interface Opening {
  readonly account: AccountAnswer;
  readonly currency: string;
  readonly amount: string;
  readonly baseAmount?: string;
}

/** Balances before the range that are not zero, since inception (carry none), so that they sum to zero; none without a range. */
export async function openingsOf({ range, state, balances }: ExportedBook): Promise<Opening[]> {
  if (range === undefined || state === undefined) return [];
  const baseScale = baseScaleOf(state);
  return (await balances('none')).rows.flatMap(({ account, currency, scale, opening, baseOpening }) => {
    const [own, base] = [net(opening), baseScale === undefined ? 0n : net(baseOpening)];
    if (own === 0n && base === 0n) return [];
    const more = baseScale === undefined ? {} : { baseAmount: fromMinor(base, baseScale) };
    return { account, currency, amount: fromMinor(own, scale), ...more };
  });
}

const less = (whole: Sum, part: Sum): Sum => ({ debit: whole.debit - part.debit, credit: whole.credit - part.credit });

function broughtForward(
  chart: readonly { readonly id: string; readonly type: AccountAnswer['type'] }[],
  parts: ReadonlyMap<string, readonly CurrencyPart[]>,
): BroughtForward[] {
  const sums = new Map<string, BroughtForward>();
  for (const { id, type } of chart) {
    if (!isNominal(type)) continue;
    for (const { currency, scale, own, base } of parts.get(id) ?? []) {
      const before = sums.get(currency);
      sums.set(currency, {
        currency,
        scale,
        net: (before?.net ?? 0n) + (own[0] === undefined ? 0n : net(own[0].yearBefore)),
        baseNet: (before?.baseNet ?? 0n) + (base[0] === undefined ? 0n : net(base[0].yearBefore)),
      });
    }
  }
  return [...sums.values()].filter((sum) => sum.net !== 0n || sum.baseNet !== 0n).sort(byCurrency);
}
