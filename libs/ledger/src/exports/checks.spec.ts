import type { BookState } from '#domain';
import { bookOf, type Entry, pair } from '../../../../test/support/exported-books';
import type { EntryCount } from '../projections/register';
import type { EntryAnswer } from '../queries';
import { checkedPass, checkNumbers, type ExportFacts } from './checks';
import type { AccountMovement } from './exported-book';

// --- The grammar of the specs below ---

interface Told {
  entries: EntryAnswer[];
  rows: AccountMovement[];
  counts: EntryCount[];
  position: number;
  state: BookState;
}

const range = { from: '2026-01-01', to: '2026-12-31' };

/** Three entries of a year, one of the year before; dollars with base amounts in euros. */
const told: readonly Entry[] = [
  { date: '2025-12-31', description: 'before', lines: inDollars('Cash', 'Equity', '7.00', '6.50') },
  { date: '2026-01-01', description: 'first', lines: inDollars('Cash', 'Sales', '10.00', '9.00') },
  { date: '2026-06-30', description: 'second', lines: inDollars('Costs', 'Cash', '4.00', '3.60') },
  { date: '2026-12-31', description: 'third', lines: pair('Cash', 'Sales', '1.00').map((line) => ({ ...line, baseAmount: '1.00' })) },
];

function inDollars(debit: string, credit: string, amount: string, baseAmount: string): Entry['lines'] {
  return pair(debit, credit, amount, 'USD').map((line) => ({ ...line, baseAmount }));
}

/**
 * Reads a pass over the entries of 2026 to its end, after something was changed in what the pass reads or in what it is held against.
 * @param came gets the positions of the entries that came through
 * @returns how many those are
 */
async function pass(change: (told: Told) => void, order: 'positions' | 'numbers' = 'positions', came: number[] = []): Promise<number> {
  const book = bookOf(told, { currencies: { EUR: 2, USD: 2 }, fx: 'tracked', range });
  const entries: EntryAnswer[] = [];
  for await (const page of book.entries()) entries.push(...page);
  const all: Told = structuredClone({
    entries,
    rows: [...(await book.balances('none')).rows],
    counts: [{ journalCode: 'GENERAL', fiscalYear: '2026', entries: 3, firstNumber: 2, lastNumber: 4 }],
    position: book.position,
    state: book.state as BookState,
  });
  change(all);
  const facts: ExportFacts = {
    position: all.position,
    state: all.state,
    days: range,
    balances: async () => ({ rows: all.rows, broughtForward: [] }),
    counts: async () => all.counts,
  };
  const pages = (async function* () {
    for (const entry of all.entries) yield [entry];
  })();
  for await (const page of checkedPass(facts, pages, (some) => some, order)) came.push(...page.map(({ position }) => position));
  return came.length;
}

/** Something of what was told, to be changed. */
type Writable<T> = { -readonly [K in keyof T]: T[K] extends string | number | bigint ? T[K] : Writable<T[K]> };
const entry = ({ entries }: Told, index: number): Writable<EntryAnswer> => entries[index] as Writable<EntryAnswer>;
const row = ({ rows }: Told, account: string, currency = 'USD'): Writable<AccountMovement> =>
  rows.find((each) => each.account.code === account && each.currency === currency) as Writable<AccountMovement>;

/** Line of an entry. */
const line = (all: Told, index: number, place: number): Writable<EntryAnswer['lines'][number]> =>
  entry(all, index).lines[place] as Writable<EntryAnswer['lines'][number]>;

// --- Specs ---

describe('a pass over the entries of an export', () => {
  it.each(['positions', 'numbers'] as const)('comes to its end in the order of %s when everything agrees', async (order) => {
    expect(await pass(() => {}, order)).toBe(3);
  });

  const refused: readonly (readonly [string, (all: Told) => void, RegExp])[] = [
    [
      'an entry that does not balance in a currency',
      (all) => (line(all, 0, 0).amount = '10.01'),
      /entry GENERAL\/2026\/2 at position 11 does not balance: debits − credits are 0\.01 USD/,
    ],
    [
      'an entry that balances only over both currencies together',
      (all) => (line(all, 0, 0).currency = 'EUR'),
      /does not balance: debits − credits are 10\.00 EUR/,
    ],
    [
      'an entry that does not balance in base currency',
      (all) => (line(all, 1, 1).baseAmount = '3.61'),
      /position 12 does not balance in base currency: debits − credits are -0\.01/,
    ],
    [
      'amounts of one currency with different decimals',
      (all) => (line(all, 0, 1).amount = '10.000'),
      /amounts of USD with 2 and with 3 decimals/,
    ],
    [
      'entries in another order than that of their positions',
      (all) => all.entries.reverse(),
      /position 12 comes after one that it should come before/,
    ],
    ['an entry that comes twice', (all) => all.entries.splice(1, 0, all.entries[0] as EntryAnswer), /position 11 comes after/],
    ['an entry that was recorded later', (all) => (all.position = 12), /position 13 was recorded after position 12/],
    ['an entry before the range', (all) => (entry(all, 0).effectiveDate = '2025-12-31'), /is dated 2025-12-31, outside the range/],
    ['an entry after the range', (all) => (entry(all, 2).effectiveDate = '2027-01-01'), /is dated 2027-01-01, outside the range/],
    ['fewer entries than there are', (all) => all.entries.pop(), /2 entries of GENERAL\/2026 were read, where there are 3/],
    ['more entries than there are', (all) => Object.assign(all.counts[0] as EntryCount, { entries: 2 }), /3 entries .* where there are 2/],
    ['entries of a day book that has none', (all) => all.counts.pop(), /entries of GENERAL\/2026 were read that are not counted/],
    [
      'a year that has entries, and none was read',
      (all) => all.counts.push({ journalCode: 'SALES', fiscalYear: '2026', entries: 1, firstNumber: 1, lastNumber: 1 }),
      /0 entries of SALES\/2026 were read, where there are 1/,
    ],
    [
      'an opening balance that the lines do not lead on from',
      (all) => (row(all, 'Cash').opening.debit += 1n),
      /account Cash in USD: opening \(7\.01 debit, 0\.00 credit\) and the lines that were read \(10\.00 debit, 4\.00 credit\) do not make closing \(17\.00 debit, 4\.00 credit\)/,
    ],
    [
      'debit and credit that differ by the same',
      (all) => Object.assign(row(all, 'Sales').closing, { debit: 1n, credit: 1_001n }),
      /account Sales in USD: .* do not make closing \(0\.01 debit, 10\.01 credit\)/,
    ],
    [
      'base amounts that the lines do not lead to, where the amounts are right',
      (all) => (row(all, 'Costs').baseClosing.debit -= 1n),
      /account Costs in USD \(base amounts\): .* do not make closing \(3\.59 debit, 0\.00 credit\)/,
    ],
    [
      'lines on another account than the one that moved',
      (all) => (line(all, 1, 0).accountId = line(all, 0, 1).accountId),
      /account Sales in USD: opening .* do not make closing/,
    ],
    [
      'a line on an account that has no balance in its currency',
      (all) => all.rows.splice(all.rows.indexOf(row(all, 'Sales', 'EUR') as AccountMovement), 1),
      /account \S+ in EUR has lines, and no balance/,
    ],
    [
      'a balance that no line is left of',
      (all) => (row(all, 'Cash').account.id = 'another'),
      /account Cash in EUR: opening .* the lines that were read \(0\.00 debit, 0\.00 credit\)/,
    ],
  ];

  it.each(refused)('refuses %s', async (_, change, says) => {
    await expect(pass((all) => void change(all))).rejects.toMatchObject({
      code: 'export_inconsistent',
      message: expect.stringMatching(says),
    });
  });

  it('refuses numbers of a day book that do not grow, where positions need not', async () => {
    const other = (all: Told): void => {
      entry(all, 0).position = 13;
      entry(all, 2).position = 11;
    };
    expect(await pass(other, 'numbers')).toBe(3);
    await expect(pass(other)).rejects.toMatchObject({ code: 'export_inconsistent' });
    const twice = (all: Told): void => {
      entry(all, 1).number = 2;
    };
    await expect(pass(twice, 'numbers')).rejects.toMatchObject({
      code: 'export_inconsistent',
      message: expect.stringMatching(/GENERAL\/2026\/2 at position 12 comes after one that it should come before/),
    });
  });

  it('hands on what was right before what is wrong', async () => {
    const came: number[] = [];
    const wrong = (all: Told): void => {
      line(all, 2, 0).amount = '2.00';
    };
    await expect(pass(wrong, 'positions', came)).rejects.toMatchObject({ code: 'export_inconsistent' });
    expect(came).toEqual([11, 12]);
  });

  it('holds no base amounts against a book that does not track them', async () => {
    const untracked = (all: Told): void => {
      Object.assign(all.state, { fx: 'untracked' });
      line(all, 1, 1).baseAmount = '3.61';
    };
    expect(await pass(untracked)).toBe(3);
  });
});

describe('numbers of a day book', () => {
  const count = { journalCode: 'GENERAL', fiscalYear: '2026', entries: 3, firstNumber: 1, lastNumber: 3 };

  it('are 1 to n', () => {
    expect(() => checkNumbers([count, { ...count, fiscalYear: '2027' }])).not.toThrow();
  });

  it.each([
    [{ firstNumber: 2, lastNumber: 4 }, 'numbers from 2 to 4'],
    [{ lastNumber: 4 }, 'numbers from 1 to 4'],
    [{ entries: 4 }, 'numbers from 1 to 3'],
  ])('with a gap (%j) are refused', (wrong, says) => {
    expect(() => checkNumbers([count, { ...count, fiscalYear: '2027', ...wrong }])).toThrow(
      expect.objectContaining({ code: 'export_inconsistent', message: expect.stringContaining(says) }),
    );
  });
});
