/**
 * What the journal-entry tests can be asked: which tests, and their thresholds. Hides how they are written in a query and what they
 * are when nobody says; guarantees that a test runs with complete parameters that its answer states, and that a threshold of a test
 * that was not asked for is refused and not passed over.
 */
import { isPlainDecimal } from '#domain';
import { malformed } from '../asking';
import { firstPair, lastPair } from './benford';

/** In the order in which they are answered. */
export const entryTests = [
  'number-gaps',
  'duplicates',
  'round-amounts',
  'weekend',
  'night',
  'rare-users',
  'rare-accounts',
  'rare-account-pairs',
  'no-description',
  'posted-after-close',
  'document-date-after-entry-date',
  'benford',
] as const;
export type EntryTest = (typeof entryTests)[number];

/** Thresholds as they are asked for; what is absent has its default. Amounts are plain decimals in the currency of the line. */
export interface EntryTestsAsked {
  /** Names of tests, separated by commas; all when absent. */
  readonly tests?: string;
  readonly duplicateDays?: number;
  readonly duplicateMinimum?: string;
  readonly roundZeros?: number;
  readonly roundMinimum?: string;
  /** ISO numbers of days, separated by commas: 6,7. */
  readonly weekendDays?: string;
  /** `20:00-06:00`: from the first minute on, up to but without the second. */
  readonly nightHours?: string;
  readonly rareUserEntries?: number;
  readonly rareUserPercent?: string;
  readonly rareAccountLines?: number;
  readonly rarePairEntries?: number;
  readonly placeholders?: readonly string[];
  readonly descriptionLength?: number;
  readonly lateDays?: number;
  readonly benfordLines?: number;
  readonly benfordMinimum?: string;
  readonly benfordZ?: string;
  readonly digits?: number;
}

/** What each test runs with. */
export interface EntryTestParameters {
  readonly 'number-gaps': Readonly<Record<string, never>>;
  /** The same line in entries whose dates are at most `days` apart; amounts from `minimum` on. */
  readonly duplicates: { readonly days: number; readonly minimum: string };
  /** Whole amounts from `minimum` on that end in at least so many zeros. */
  readonly 'round-amounts': { readonly zeros: number; readonly minimum: string };
  /** ISO 8601: 1 Monday … 7 Sunday. */
  readonly weekend: { readonly days: readonly number[] };
  /** Times of day in the book's time zone; `to` is outside. */
  readonly night: { readonly from: string; readonly to: string };
  /** Users with fewer entries than this, or with less than this percentage of all. */
  readonly 'rare-users': { readonly fewerThan: number; readonly belowPercent: string };
  readonly 'rare-accounts': { readonly fewerThan: number };
  readonly 'rare-account-pairs': { readonly atMost: number };
  readonly 'no-description': { readonly placeholders: readonly string[]; readonly shorterThan: number };
  readonly 'posted-after-close': { readonly daysAfterYearEnd: number };
  readonly 'document-date-after-entry-date': Readonly<Record<string, never>>;
  /** Currencies with at least `lines` amounts from `minimum` on; digit pairs above `z`. `digits`: entries with these are listed. */
  readonly benford: { readonly lines: number; readonly minimum: string; readonly z: string; readonly digits?: number };
}

export interface EntryTestsWanted {
  /** In the order of entryTests. */
  readonly tests: readonly EntryTest[];
  readonly parameters: EntryTestParameters;
}

/** Bounds of whole numbers; the same for whoever asks over HTTP or by code. */
export const entryTestBounds = {
  duplicateDays: [0, 366],
  roundZeros: [1, 30],
  rareUserEntries: [0, 1_000_000],
  rareAccountLines: [0, 1_000_000],
  rarePairEntries: [0, 1_000_000],
  descriptionLength: [1, 1_000],
  lateDays: [0, 3_660],
  benfordLines: [1, 1_000_000_000],
  digits: [firstPair, lastPair],
} as const satisfies Readonly<Partial<Record<keyof EntryTestsAsked, readonly [number, number]>>>;

/** The test that each threshold belongs to; a threshold of a query is one that stands here. */
export const entryTestOwners: Readonly<Record<Exclude<keyof EntryTestsAsked, 'tests'>, EntryTest>> = {
  duplicateDays: 'duplicates',
  duplicateMinimum: 'duplicates',
  roundZeros: 'round-amounts',
  roundMinimum: 'round-amounts',
  weekendDays: 'weekend',
  nightHours: 'night',
  rareUserEntries: 'rare-users',
  rareUserPercent: 'rare-users',
  rareAccountLines: 'rare-accounts',
  rarePairEntries: 'rare-account-pairs',
  placeholders: 'no-description',
  descriptionLength: 'no-description',
  lateDays: 'posted-after-close',
  benfordLines: 'benford',
  benfordMinimum: 'benford',
  benfordZ: 'benford',
  digits: 'benford',
};

export const entryTestDefaults = {
  duplicateDays: 0,
  duplicateMinimum: '0',
  roundZeros: 3,
  roundMinimum: '0',
  weekendDays: '6,7',
  nightHours: '20:00-06:00',
  rareUserEntries: 10,
  rareUserPercent: '0',
  rareAccountLines: 5,
  rarePairEntries: 1,
  // What the import stores where a source has no description.
  placeholders: ['(no description)'],
  descriptionLength: 3,
  lateDays: 90,
  benfordLines: 5_000,
  benfordMinimum: '10',
  // Two-sided, at a level of 5 %.
  benfordZ: '1.96',
} as const satisfies EntryTestsAsked;

/** @throws LedgerError malformed */
export function entryTestsWanted(asked: EntryTestsAsked = {}): EntryTestsWanted {
  const tests = testsNamed(asked.tests);
  for (const [member, test] of Object.entries(entryTestOwners))
    if (asked[member as keyof EntryTestsAsked] !== undefined && !tests.includes(test))
      throw malformed(member, `${member} belongs to the test ${test}, which tests leaves out; name it there, or leave ${member} out`);
  for (const [member, [min, max]] of Object.entries(entryTestBounds)) {
    const value = asked[member as keyof typeof entryTestBounds];
    if (value !== undefined && (!Number.isInteger(value) || value < min || value > max))
      throw malformed(member, `${member} "${value}" is not a whole number from ${min} to ${max}`);
  }
  const given = Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined)) as EntryTestsAsked;
  const all = { ...entryTestDefaults, ...given };
  for (const member of ['duplicateMinimum', 'roundMinimum', 'rareUserPercent', 'benfordMinimum', 'benfordZ'] as const)
    if (!isPlainDecimal(all[member])) throw malformed(member, `${member} "${all[member]}" is not a plain decimal like 1234.50`);
  if (!/^0*(\d{1,2}(\.\d+)?|100(\.0+)?)$/.test(all.rareUserPercent))
    throw malformed('rareUserPercent', `rareUserPercent "${all.rareUserPercent}" is above 100; nobody has more than all entries`);
  if (!/[1-9]/.test(all.benfordMinimum)) throw malformed('benfordMinimum', 'benfordMinimum must be above 0: 0 has no first digits');
  return {
    tests,
    parameters: {
      'number-gaps': {},
      duplicates: { days: all.duplicateDays, minimum: all.duplicateMinimum },
      'round-amounts': { zeros: all.roundZeros, minimum: all.roundMinimum },
      weekend: { days: weekdaysIn(all.weekendDays) },
      night: hoursIn(all.nightHours),
      'rare-users': { fewerThan: all.rareUserEntries, belowPercent: all.rareUserPercent },
      'rare-accounts': { fewerThan: all.rareAccountLines },
      'rare-account-pairs': { atMost: all.rarePairEntries },
      'no-description': { placeholders: [...new Set(all.placeholders)].sort(), shorterThan: all.descriptionLength },
      'posted-after-close': { daysAfterYearEnd: all.lateDays },
      'document-date-after-entry-date': {},
      benford: { lines: all.benfordLines, minimum: all.benfordMinimum, z: all.benfordZ, digits: all.digits },
    },
  };
}

function testsNamed(text: string | undefined): EntryTest[] {
  if (text === undefined) return [...entryTests];
  const names = text.split(',');
  const unknown = names.find((name) => !entryTests.includes(name as EntryTest));
  if (unknown !== undefined)
    throw malformed('tests', `tests: "${unknown}" is no test; write one or more of ${entryTests.join(', ')}, separated by commas`);
  return entryTests.filter((test) => names.includes(test));
}

function weekdaysIn(text: string): number[] {
  if (!/^[1-7](,[1-7])*$/.test(text))
    throw malformed(
      'weekendDays',
      `weekendDays "${text}" are no days of the week; write their numbers, 1 (Monday) to 7 (Sunday), like 6,7`,
    );
  return [...new Set(text.split(',').map(Number))].sort();
}

function hoursIn(text: string): EntryTestParameters['night'] {
  const [, from, to] = /^((?:[01]\d|2[0-3]):[0-5]\d)-((?:[01]\d|2[0-3]):[0-5]\d)$/.exec(text) ?? [];
  if (from === undefined || to === undefined || from === to)
    throw malformed('nightHours', `nightHours "${text}" is no window of two different times of day, 00:00 to 23:59, like 20:00-06:00`);
  return { from, to };
}
