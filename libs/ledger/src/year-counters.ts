/**
 * Counters of a fiscal year: the last number of each day book, and what was posted into each period. Hides how they are kept as
 * a head of the log that has no events of its own; guarantees that folding the year's entries gives the same head as the
 * writer keeps, so that a close can say what was posted without asking a projection.
 */
import {
  addToTally,
  type CurrencySum,
  decimalsOf,
  emptyTally,
  fromMinor,
  type JournalEntryPosted,
  type PeriodTally,
  toMinor,
} from '#domain';
import type { EventStore } from '#event-store';
import { numbersStreamId } from './catalogue';

/** Version of the head; another meaning of its state needs another one. */
export const yearCountersVersion = 2;

export interface YearCounters {
  readonly last: Map<string, number>;
  readonly periods: Map<number, PeriodTally>;
}

export const emptyCounters = (): YearCounters => ({ last: new Map(), periods: new Map() });

/** Tallies never change, so the maps are all there is to copy. */
export const copyOf = ({ last, periods }: YearCounters): YearCounters => ({ last: new Map(last), periods: new Map(periods) });

/** Counts what an entry, or several in one period, add. */
export function addTally({ periods }: YearCounters, period: number, tally: PeriodTally): void {
  periods.set(period, addToTally(periods.get(period) ?? emptyTally, tally));
}

/**
 * Counts an entry that is in the log.
 * @param tracked whether the book tracks exchange rates: else lines may state base amounts, and nothing says that they balance
 */
export function countPosted(
  counters: YearCounters,
  posted: Pick<JournalEntryPosted, 'journalCode' | 'number' | 'period' | 'lines'>,
  tracked: boolean,
): void {
  counters.last.set(posted.journalCode, posted.number);
  addTally(counters, posted.period, tallyOf(posted, tracked));
}

function tallyOf({ lines }: Pick<JournalEntryPosted, 'lines'>, tracked: boolean): PeriodTally {
  const sums: CurrencySum[] = [];
  let base = 0n;
  for (const { currency, side, amount, baseAmount } of lines) {
    const scale = decimalsOf(amount);
    const debit = side === 'debit' ? (toMinor(amount, scale) ?? 0n) : 0n;
    const index = sums.findIndex((sum) => sum.currency === currency);
    if (index < 0) sums.push({ currency, scale, debit });
    else sums[index] = { currency, scale, debit: (sums[index] as CurrencySum).debit + debit };
    if (tracked && side === 'debit' && baseAmount !== undefined) base += toMinor(baseAmount, decimalsOf(baseAmount)) ?? 0n;
  }
  return { entries: 1, sums, base };
}

/** One more than the entries posted in the year, so that it grows with each and starts at 1 with the definition of the year. */
export function versionOfCounters({ last }: Pick<YearCounters, 'last'>): number {
  let version = 1;
  for (const number of last.values()) version += number;
  return version;
}

/** As the head holds them: numbers and periods in the order of first use, amounts with the decimals of their currency, base in minor units. */
interface CountersSnapshot {
  readonly fiscalYear: string;
  readonly last: readonly (readonly [journalCode: string, number: number])[];
  readonly periods: readonly (readonly [
    period: number,
    entries: number,
    sums: readonly (readonly [currency: string, debit: string])[],
    base?: string,
  ])[];
}

export function countersSnapshot(fiscalYear: string, { last, periods }: YearCounters): CountersSnapshot {
  return {
    fiscalYear,
    last: [...last],
    periods: [...periods].map(([period, { entries, sums, base }]) => {
      const amounts = sums.map(({ currency, scale, debit }) => [currency, fromMinor(debit, scale)] as const);
      return base === 0n ? ([period, entries, amounts] as const) : ([period, entries, amounts, base.toString()] as const);
    }),
  };
}

function readCounters(snapshot: unknown): YearCounters {
  const { last, periods } = snapshot as CountersSnapshot;
  const tallies = periods.map(([period, entries, amounts, base]): [number, PeriodTally] => {
    const sums = amounts.map(([currency, debit]): CurrencySum => {
      const scale = decimalsOf(debit);
      return { currency, scale, debit: toMinor(debit, scale) ?? 0n };
    });
    return [period, { entries, sums, base: BigInt(base ?? 0) }];
  });
  return { last: new Map(last), periods: new Map(tallies) };
}

/**
 * The counters of fiscal years as their heads hold them. A year that is defined has a head since its definition: one that is
 * missing, or that an older release has written, is folded from the entries up to a position, never taken as new.
 */
export async function loadCounters(
  store: EventStore,
  bookId: string,
  fiscalYears: readonly string[],
  upTo: number,
): Promise<Map<string, YearCounters>> {
  const ids = new Map(fiscalYears.map((label) => [label, numbersStreamId(bookId, label)]));
  const heads = await store.heads(bookId, [...ids.values()], () => yearCountersVersion);
  const loaded = new Map<string, YearCounters>();
  const folded = new Map<string, YearCounters>();
  for (const [label, id] of ids) {
    const head = heads.get(id);
    const counters = head === undefined ? emptyCounters() : readCounters(head.state);
    loaded.set(label, counters);
    if (head === undefined) folded.set(label, counters);
  }
  let tracked = false;
  for (let after = 0; folded.size > 0 && after < upTo; ) {
    const events = await store.readAll(bookId, after, 5_000);
    for (const { position, eventType, current } of events) {
      if (eventType === 'BookOpened') tracked = current.fx === 'tracked';
      if (position > upTo || eventType !== 'JournalEntryPosted') continue;
      const posted = current as unknown as JournalEntryPosted;
      const counters = folded.get(posted.fiscalYear);
      if (counters !== undefined) countPosted(counters, posted, tracked);
    }
    after = events.at(-1)?.position ?? upTo;
  }
  return loaded;
}
