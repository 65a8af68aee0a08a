/**
 * Journal-entry tests (ISA 240.33(a), AU-C 240.32(a)): what an auditor looks for in the entries of a range, entry by entry. Pure.
 * Guarantees that an entry is judged by itself, by what is rare in the range, and by the closes recorded before it, never by a clock;
 * and that every hit says which figure made it one.
 */
import {
  addDays,
  type BookState,
  type CalendarDate,
  canonicalDecimal,
  clockIn,
  daysBetween,
  decimalsOf,
  LedgerError,
  type PostedLine,
  periodKey,
  toMinor,
  weekdayOf,
} from '#domain';
import { instantMicros } from '#event-store';
import { firstTwoDigits } from './benford';
import type { EntryTest, EntryTestParameters, EntryTestsWanted } from './entry-test-parameters';
import type { RecordedEntry } from './inputs';

/** Why an entry is listed; accounts are ids. */
export interface FoundHit {
  readonly reason: string;
  /** The figure that made it a hit, as people read it. */
  readonly figure: string;
  /** The line that it is about; absent when it is about the entry. */
  readonly line?: PostedLine;
  readonly debitAccountId?: string;
  readonly creditAccountId?: string;
}

/** A test on one entry at a time, of which only the lines that count are given. */
export interface TestOfEntry {
  /** How many things of the entry are looked at: itself, lines, pairs of accounts. */
  looksAt(entry: RecordedEntry, lines: readonly PostedLine[]): number;
  hits(entry: RecordedEntry, lines: readonly PostedLine[]): readonly FoundHit[];
}

/** A period that was closed or opened again. */
export interface PeriodChange {
  readonly fiscalYear: string;
  readonly period: number;
  readonly position: number;
  readonly recordedAt: string;
  readonly kind: 'closed' | 'reopened';
}

const once = (): number => 1;

/**
 * The tests that need nothing but the entry, the calendar and what was closed when.
 * @param changes of periods, in the order of positions
 */
export function testsOfEntries(
  book: BookState,
  { tests, parameters }: EntryTestsWanted,
  changes: readonly PeriodChange[],
): ReadonlyMap<EntryTest, TestOfEntry> {
  const localTime = localTimes(book.timeZone);
  const all: Partial<Record<EntryTest, TestOfEntry>> = {
    'round-amounts': roundAmounts(parameters['round-amounts']),
    weekend: { looksAt: once, hits: onWeekend(parameters.weekend, localTime) },
    night: { looksAt: once, hits: atNight(parameters.night, localTime) },
    'no-description': { looksAt: once, hits: withoutDescription(parameters['no-description']) },
    'posted-after-close': { looksAt: once, hits: afterClose(parameters['posted-after-close'], { book, changes, localTime }) },
    'document-date-after-entry-date': {
      looksAt: ({ posted }) => (posted.document === undefined ? 0 : 1),
      hits: withLaterDocument(localTime),
    },
    benford: withDigits(parameters.benford),
  };
  return new Map(tests.flatMap((test) => (all[test] === undefined ? [] : [[test, all[test]]])));
}

type LocalTime = (recordedAt: string) => { readonly date: CalendarDate; readonly time: string };

/** What clocks showed when something was recorded. Neighbours in the log share the minute, and formatting is dear. */
function localTimes(timeZone: string): LocalTime {
  const clock = clockIn(timeZone);
  let minute = '';
  let shown = { date: '', time: '' };
  return (recordedAt) => {
    // An offset changes with a minute, never inside one.
    const own = recordedAt.slice(0, 16);
    if (own !== minute) {
      shown = clock(instantMicros(recordedAt) as number);
      minute = own;
    }
    return shown;
  };
}

const weekdays = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'] as const;
const counted = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;

/** Whether a plain decimal reaches another one, exactly. */
export function reaches(amount: string, minimum: string): boolean {
  const scale = Math.max(decimalsOf(amount), decimalsOf(minimum));
  return (toMinor(amount, scale) as bigint) >= (toMinor(minimum, scale) as bigint);
}

/** Zeros at the end of a whole amount; 0 of one that has decimals, or is zero. */
export function zerosAtEnd(amount: string): number {
  const text = canonicalDecimal(amount);
  return text.includes('.') || text === '0' ? 0 : text.length - text.replace(/0+$/, '').length;
}

function roundAmounts({ zeros, minimum }: EntryTestParameters['round-amounts']): TestOfEntry {
  const looksAt = ({ amount }: PostedLine): boolean => /[1-9]/.test(amount) && reaches(amount, minimum);
  return {
    looksAt: (_, lines) => lines.filter(looksAt).length,
    hits: (_, lines) =>
      lines.flatMap((line) => {
        const found = zerosAtEnd(line.amount);
        return found >= zeros && looksAt(line) ? [{ reason: 'round', figure: counted(found, 'zero'), line }] : [];
      }),
  };
}

const onWeekend =
  ({ days }: EntryTestParameters['weekend'], localTime: LocalTime): TestOfEntry['hits'] =>
  ({ recordedAt, posted }) => {
    const dates = { recorded: localTime(recordedAt).date, 'effective-date': posted.effectiveDate };
    return Object.entries(dates).flatMap(([reason, date]) => {
      const day = weekdayOf(date);
      return days.includes(day) ? [{ reason, figure: `${weekdays[day - 1]} ${date}` }] : [];
    });
  };

const atNight =
  ({ from, to }: EntryTestParameters['night'], localTime: LocalTime): TestOfEntry['hits'] =>
  ({ recordedAt }) => {
    const { date, time } = localTime(recordedAt);
    const isInside = from < to ? from <= time && time < to : from <= time || time < to;
    return isInside ? [{ reason: 'recorded', figure: `${time} on ${date}` }] : [];
  };

function withoutDescription({ placeholders, shorterThan }: EntryTestParameters['no-description']): TestOfEntry['hits'] {
  const same = (text: string): string => text.trim().toLowerCase();
  const known = new Set(placeholders.map(same));
  return ({ posted: { description } }) => {
    const text = same(description);
    if (known.has(text)) return [{ reason: 'placeholder', figure: description }];
    const length = [...text].length;
    return length < shorterThan ? [{ reason: 'short', figure: counted(length, 'character') }] : [];
  };
}

function afterClose(
  { daysAfterYearEnd }: EntryTestParameters['posted-after-close'],
  { book, changes, localTime }: { readonly book: BookState; readonly changes: readonly PeriodChange[]; readonly localTime: LocalTime },
): TestOfEntry['hits'] {
  const byPeriod = new Map<string, PeriodChange[]>();
  for (const change of changes) byPeriod.set(periodKey(change), [...(byPeriod.get(periodKey(change)) ?? []), change]);
  const yearEnds = new Map(book.fiscalYears.map(({ label, to }) => [label, to]));
  return ({ position, recordedAt, posted }) => {
    const hits: FoundHit[] = [];
    const key = periodKey(posted);
    const before = (byPeriod.get(key) ?? []).filter((change) => change.position < position);
    const close = before.findLast(({ kind }) => kind === 'closed');
    if (close !== undefined) {
      const reason = before.at(-1)?.kind === 'reopened' ? 'after-reopening' : 'after-close';
      hits.push({ reason, figure: `period ${key} was closed ${close.recordedAt} (position ${close.position})` });
    }
    const end = yearEnds.get(posted.fiscalYear);
    const recorded = localTime(recordedAt).date;
    if (end !== undefined && recorded > addDays(end, daysAfterYearEnd))
      hits.push({
        reason: 'after-year-end',
        figure: `${daysBetween(end, recorded)} days after ${end}, the end of fiscal year ${posted.fiscalYear}`,
      });
    return hits;
  };
}

const withLaterDocument =
  (localTime: LocalTime): TestOfEntry['hits'] =>
  ({ recordedAt, posted: { document, effectiveDate } }) => {
    if (document === undefined) return [];
    const dates = { 'after-effective-date': effectiveDate, 'after-recorded-date': localTime(recordedAt).date };
    return Object.entries(dates).flatMap(([reason, date]) => {
      const days = daysBetween(date, document.date);
      return days > 0 ? [{ reason, figure: `${document.date}, ${counted(days, 'day')} after ${date}` }] : [];
    });
  };

/** The digit pair of a line that counts for Benford's law; undefined of one that does not. */
export const countedDigits = ({ amount }: PostedLine, { minimum }: EntryTestParameters['benford']): number | undefined =>
  reaches(amount, minimum) ? firstTwoDigits(amount) : undefined;

function withDigits(parameters: EntryTestParameters['benford']): TestOfEntry {
  const { digits } = parameters;
  return {
    looksAt: (_, lines) => lines.filter((line) => countedDigits(line, parameters) !== undefined).length,
    hits: (_, lines) =>
      digits === undefined
        ? []
        : lines
            .filter((line) => countedDigits(line, parameters) === digits)
            .map((line) => ({ reason: 'digits', figure: String(digits), line })),
  };
}

// --- What is rare in the range ---

/** Pairs of accounts of one entry; one with more (30 debit and 40 credit accounts) says nothing about which goes with which. */
const pairsPerEntryMax = 1_000;
/** Users or pairs that are held in memory at once, some 100 bytes each. */
const distinctMax = 1_000_000;

export type RareTest = 'rare-users' | 'rare-accounts' | 'rare-account-pairs';

export interface RareFigures {
  /** Entries, lines, or pairs of entries that were looked at. */
  readonly population: number;
  readonly hits: number;
  /** Different users, accounts, pairs. */
  readonly distinct: number;
  readonly rare: number;
}

/** How often users, accounts and pairs of accounts occur; those that are not wanted are not counted. */
export class Frequencies {
  private readonly users = new Map<string, number>();
  private readonly accounts = new Map<number, number>();
  private readonly pairs = new Map<number, number>();
  /** Accounts by number: a pair is then one number too, and a million of them fit into memory. */
  private readonly numbers = new Map<string, number>();
  private entries = 0;
  /** Entries with too many pairs of accounts. */
  entriesLeftOut = 0;

  constructor(private readonly wanted: EntryTestsWanted) {}

  add({ userId = '' }: RecordedEntry, lines: readonly PostedLine[]): void {
    const { tests } = this.wanted;
    this.entries++;
    if (tests.includes('rare-users')) this.count(this.users, userId, 'rare-users');
    if (tests.includes('rare-accounts'))
      for (const { accountId } of lines) this.count(this.accounts, this.numberOf(accountId), 'rare-accounts');
    if (!tests.includes('rare-account-pairs')) return;
    const pairs = pairsOf(lines);
    if (pairs === undefined) this.entriesLeftOut++;
    else for (const pair of pairs) this.count(this.pairs, this.pairKey(pair), 'rare-account-pairs');
  }

  private count<K>(counts: Map<K, number>, key: K, test: RareTest): void {
    const known = counts.get(key);
    if (known === undefined && counts.size >= distinctMax)
      throw new LedgerError(
        'too_large',
        `${test}: the range has more than ${distinctMax} different ones, which are not counted in memory; ask for a shorter range, or without ${test} (tests=…)`,
        { member: 'tests', limit: distinctMax },
      );
    counts.set(key, (known ?? 0) + 1);
  }

  private numberOf(accountId: string): number {
    let number = this.numbers.get(accountId);
    if (number === undefined) {
      number = this.numbers.size;
      this.numbers.set(accountId, number);
    }
    return number;
  }

  private pairKey([debit, credit]: AccountPair): number {
    return this.numberOf(debit) * 2 ** 26 + this.numberOf(credit);
  }

  /** Population and hits of the wanted tests. What is not rare is forgotten with this: nothing can be added any more. */
  figures(): ReadonlyMap<RareTest, RareFigures> {
    const { tests, parameters } = this.wanted;
    const figures: Readonly<Record<RareTest, () => RareFigures>> = {
      'rare-users': () => kept(this.users, (count) => this.isRareUser(count)),
      'rare-accounts': () => kept(this.accounts, (count) => count < parameters['rare-accounts'].fewerThan),
      'rare-account-pairs': () => kept(this.pairs, (count) => count <= parameters['rare-account-pairs'].atMost),
    };
    const names = Object.keys(figures) as RareTest[];
    return new Map(names.filter((test) => tests.includes(test)).map((test) => [test, figures[test]()]));
  }

  private isRareUser(count: number): boolean {
    const { fewerThan, belowPercent } = this.wanted.parameters['rare-users'];
    const scale = decimalsOf(belowPercent);
    const share = (toMinor(belowPercent, scale) as bigint) * BigInt(this.entries);
    return count < fewerThan || BigInt(count) * 100n * 10n ** BigInt(scale) < share;
  }

  /** How many rare ones are kept. */
  get size(): number {
    return this.users.size + this.numbers.size + this.pairs.size;
  }

  /** The tests, once all entries are counted; see figures. */
  tests(): ReadonlyMap<EntryTest, Pick<TestOfEntry, 'hits'>> {
    const all: Readonly<Record<RareTest, TestOfEntry['hits']>> = {
      'rare-users': ({ userId = '' }) => {
        const count = this.users.get(userId);
        return count === undefined ? [] : [{ reason: 'user', figure: `${count} of ${counted(this.entries, 'entry', 'entries')}` }];
      },
      'rare-accounts': (_, lines) =>
        lines.flatMap((line) => {
          const count = this.accounts.get(this.numbers.get(line.accountId) ?? -1);
          return count === undefined ? [] : [{ reason: 'account', figure: counted(count, 'line'), line }];
        }),
      'rare-account-pairs': (_, lines) =>
        (pairsOf(lines) ?? []).flatMap((pair) => {
          const count = this.pairs.get(this.pairKey(pair));
          if (count === undefined) return [];
          const [debitAccountId, creditAccountId] = pair;
          return [{ reason: 'pair', figure: counted(count, 'entry', 'entries'), debitAccountId, creditAccountId }];
        }),
    };
    const names = Object.keys(all) as RareTest[];
    return new Map(names.filter((test) => this.wanted.tests.includes(test)).map((test) => [test, { hits: all[test] }]));
  }
}

/** Keeps of the counts those that are rare. */
function kept<K>(counts: Map<K, number>, isRare: (count: number) => boolean): RareFigures {
  const distinct = counts.size;
  let [population, hits] = [0, 0];
  for (const [key, count] of counts) {
    population += count;
    if (isRare(count)) hits += count;
    else counts.delete(key);
  }
  return { population, hits, distinct, rare: counts.size };
}

type AccountPair = readonly [debit: string, credit: string];

/** Every debit account of an entry with every credit account of it, in the order of lines; undefined when there are too many. */
function pairsOf(lines: readonly PostedLine[]): AccountPair[] | undefined {
  const on = (side: PostedLine['side']): string[] => [...new Set(lines.flatMap((line) => (line.side === side ? [line.accountId] : [])))];
  const [debits, credits] = [on('debit'), on('credit')];
  if (debits.length * credits.length > pairsPerEntryMax) return undefined;
  return debits.flatMap((debit) => credits.map((credit): AccountPair => [debit, credit]));
}
