/** Benford's law against figures that others have published or that a pocket calculator gives. */
import * as fc from 'fast-check';
import { conformityOf, DigitCounts, expectedShare, firstTwoDigits } from './benford';

describe('the first two digits of an amount', () => {
  it.each([
    ['10', 10],
    ['99.99', 99],
    ['5', 50],
    ['5.00', 50],
    ['5.67', 56],
    ['0.00123', 12],
    ['0.5', 50],
    ['0.05', 50],
    ['1234567.89', 12],
    ['1000000000000000000.55', 10],
    // As a float this is 1.0e21, and prints as such.
    ['999999999999999999999.99', 99],
    ['0.00', undefined],
    ['0', undefined],
  ])('%s: %p', (amount, digits) => {
    expect(firstTwoDigits(amount)).toBe(digits);
  });

  it('do not change when the point moves', () => {
    const digits = fc
      .tuple(fc.integer({ min: 1, max: 9 }), fc.bigInt({ min: 0n, max: 10n ** 28n }))
      .map(([first, rest]) => `${first}${rest}`);
    fc.assert(
      fc.property(digits, fc.nat(40), (text, places) => {
        const padded = text.padStart(places + 1, '0');
        const moved = places === 0 ? text : `${padded.slice(0, -places)}.${padded.slice(-places)}`;
        expect(firstTwoDigits(moved)).toBe(Number(text.slice(0, 2)));
      }),
    );
  });
});

describe("what Benford's law expects", () => {
  // Nigrini 2012, table 1.2: proportions of the first two digits.
  it.each([
    [10, 0.04139],
    [11, 0.03779],
    [12, 0.03476],
    [20, 0.02119],
    [31, 0.01379],
    [50, 0.0086],
    [77, 0.0056],
    [99, 0.00436],
  ])('%i begins %f of the numbers', (digits, share) => {
    expect(Number(expectedShare(digits).toFixed(5))).toBe(share);
  });

  it('sums up to 1, and over the second digit to the law of the first', () => {
    const sum = (from: number, to: number): number =>
      Array.from({ length: to - from + 1 }, (_, n) => expectedShare(from + n)).reduce((a, b) => a + b);
    expect(sum(10, 99)).toBeCloseTo(1, 12);
    expect(sum(10, 19)).toBeCloseTo(0.30103, 5);
    expect(sum(90, 99)).toBeCloseTo(0.04576, 5);
  });
});

describe('statistics', () => {
  it('of 10,000 numbers that all begin with 10 are what the formulas give by hand', () => {
    const counts = new DigitCounts();
    counts.add(10, 10_000);
    const { mad, conformity, chiSquare, degreesOfFreedom, pairs } = counts.statistics();
    const [ten, eleven] = pairs;
    // z = (1 − 0.0413927 − 0.00005) / √(0.0413927 × 0.9586073 / 10000) = 0.9585573 / 0.00199197
    expect(ten).toEqual({ digits: 10, count: 10_000, observed: '1.000000', expected: '0.041393', z: '481.2114' });
    // z = (0.0377886 − 0.00005) / √(0.0377886 × 0.9622114 / 10000) = 0.0377386 / 0.001906845
    expect(eleven?.z).toBe('19.7911');
    // (0.9586073 + 0.9586073) / 90
    expect(mad).toBe('0.021302');
    expect(conformity).toBe('nonconformity');
    // 10000 × (1 / 0.0413927 − 1)
    expect(Number(chiSquare)).toBeCloseTo(10_000 * (1 / Math.log10(1.1) - 1), 3);
    expect(degreesOfFreedom).toBe(89);
    expect(pairs.map(({ digits }) => digits)).toEqual(Array.from({ length: 90 }, (_, index) => 10 + index));
  });

  it('leave the correction out where it is larger than the deviation', () => {
    const counts = new DigitCounts();
    // 0.04 against 0.0413927: the deviation 0.0013927 is below 1/(2 × 100) = 0.005.
    counts.add(10, 4);
    counts.add(50, 96);
    // 0.0013927 / √(0.0413927 × 0.9586073 / 100) = 0.0013927 / 0.01991971
    expect(counts.statistics().pairs[0]?.z).toBe('0.0699');
  });

  it('find a set that follows the law close to it', () => {
    const counts = new DigitCounts();
    for (let pair = 10; pair <= 99; pair++) counts.add(pair, Math.round(expectedShare(pair) * 1_000_000));
    const { mad, conformity, chiSquare, pairs } = counts.statistics();
    expect(Number(mad)).toBeLessThan(0.000001);
    expect(conformity).toBe('close');
    expect(Number(chiSquare)).toBeLessThan(0.01);
    expect(pairs.filter(({ z }) => Number(z) > 0.1)).toEqual([]);
  });

  it.each([
    ['0.000000', 'close'],
    ['0.001200', 'close'],
    ['0.001201', 'acceptable'],
    ['0.001800', 'acceptable'],
    ['0.001801', 'marginal'],
    ['0.002200', 'marginal'],
    ['0.002201', 'nonconformity'],
  ])('a mean absolute deviation of %s: %s', (mad, conformity) => {
    expect(conformityOf(mad)).toBe(conformity);
  });
});
