/** Journal-entry tests on single amounts and counts: what decimal text says, and where rare begins. */
import * as fc from 'fast-check';
import type { PostedLine } from '#domain';
import { entryTestsWanted } from './entry-test-parameters';
import { Frequencies, reaches, zerosAtEnd } from './entry-tests';
import type { RecordedEntry } from './inputs';

describe('zeros at the end of an amount', () => {
  it.each([
    ['1000', 3],
    ['1000.00', 3],
    ['1000.01', 0],
    ['1010.00', 1],
    ['1234', 0],
    ['0', 0],
    ['0.00', 0],
    ['100000000000000000000000000', 26],
    ['100000000000000000000000001', 0],
  ])('%s: %i', (amount, zeros) => {
    expect(zerosAtEnd(amount)).toBe(zeros);
  });

  it('are the powers of ten that divide it', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: 10n ** 30n }), (amount) => {
        const zeros = zerosAtEnd(String(amount));
        expect([amount % 10n ** BigInt(zeros), amount % 10n ** BigInt(zeros + 1) === 0n]).toEqual([0n, false]);
      }),
    );
  });
});

it.each([
  ['10', '10.00', true],
  ['9.99', '10', false],
  ['10', '10.0000000000000000001', false],
  ['9007199254740993', '9007199254740992.5', true],
  ['0.00', '0', true],
])('%s reaches %s: %s', (amount, minimum, expected) => {
  expect(reaches(amount, minimum)).toBe(expected);
});

const entryOf = (userId: string | undefined): RecordedEntry => ({ userId }) as RecordedEntry;
const lineOf = (side: PostedLine['side'], accountId: string): PostedLine => ({ side, accountId }) as PostedLine;

describe('what is rare', () => {
  it('is known when all entries are counted: users, accounts and pairs with as many hits as will be listed', () => {
    const frequencies = new Frequencies(entryTestsWanted({ rareUserEntries: 2, rareAccountLines: 3, rarePairEntries: 1 }));
    const often = [lineOf('debit', 'a'), lineOf('credit', 'b')];
    const seldom = [lineOf('debit', 'a'), lineOf('debit', 'c'), lineOf('credit', 'b')];
    for (let n = 0; n < 5; n++) frequencies.add(entryOf('ann'), often);
    frequencies.add(entryOf(undefined), seldom);
    expect(Object.fromEntries(frequencies.figures())).toEqual({
      'rare-users': { population: 6, hits: 1, distinct: 2, rare: 1 },
      'rare-accounts': { population: 13, hits: 1, distinct: 3, rare: 1 },
      'rare-account-pairs': { population: 7, hits: 1, distinct: 2, rare: 1 },
    });
    const tests = frequencies.tests();
    const hits = (userId: string | undefined, lines: readonly PostedLine[]) =>
      [...tests].flatMap(([test, { hits: find }]) =>
        find(entryOf(userId), lines).map(({ reason, figure }) => `${test} ${reason} ${figure}`),
      );
    expect(hits('ann', often)).toEqual([]);
    expect(hits(undefined, seldom)).toEqual([
      'rare-users user 1 of 6 entries',
      'rare-accounts account 1 line',
      'rare-account-pairs pair 1 entry',
    ]);
  });

  it('is refused and not guessed at where a million different ones are not enough', () => {
    const frequencies = new Frequencies(entryTestsWanted({ tests: 'rare-users' }));
    for (let n = 0; n < 1_000_000; n++) frequencies.add(entryOf(String(n)), []);
    expect(() => frequencies.add(entryOf('0'), [])).not.toThrow();
    expect(() => frequencies.add(entryOf('one more'), [])).toThrow(
      /rare-users: the range has more than 1000000 different ones.*shorter range, or without rare-users/,
    );
  });
});
