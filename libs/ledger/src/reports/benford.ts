/**
 * Benford's law of first digits: how often amounts begin with each of the digit pairs 10 to 99, and how far that is from what the
 * law expects. Pure. Guarantees that digits are read from decimal text, and that statistics, which are binary floats, are rounded to
 * fixed decimals before anybody compares or shows them, so that the same counts give the same bytes.
 *
 * Source of the figures: M. Nigrini, Benford's Law (Wiley 2012), chapters 5 and 7: first-two digits test, z-statistic with continuity
 * correction, mean absolute deviation and its bands of conformity.
 */

/** The digit pairs that a number can begin with. */
export const firstPair = 10;
export const lastPair = 99;
const pairs = Array.from({ length: lastPair - firstPair + 1 }, (_, index) => firstPair + index);

/**
 * The first two significant digits of a plain decimal without sign: 12 of `0.00123`, 50 of `5`.
 * @returns undefined when the number is zero
 */
export function firstTwoDigits(amount: string): number | undefined {
  const first = amount.search(/[1-9]/);
  if (first < 0) return undefined;
  const second = amount.charAt(first + 1) === '.' ? amount.charAt(first + 2) : amount.charAt(first + 1);
  return Number(amount.charAt(first)) * 10 + Number(second);
}

/** The share of numbers that begin with a digit pair by Benford's law: log10(1 + 1/pair). */
export const expectedShare = (pair: number): number => Math.log10(1 + 1 / pair);

/** Mean absolute deviation of the first two digits up to which a set conforms (Nigrini 2012, table 7.1). */
const bands = [
  ['close', 0.0012],
  ['acceptable', 0.0018],
  ['marginal', 0.0022],
] as const;
export type Conformity = (typeof bands)[number][0] | 'nonconformity';

export const conformityOf = (mad: string): Conformity => bands.find(([, upTo]) => Number(mad) <= upTo)?.[0] ?? 'nonconformity';

/** One digit pair. Shares have six decimals, z has four. */
export interface PairFrequency {
  readonly digits: number;
  /** How many numbers begin with it. */
  readonly count: number;
  readonly observed: string;
  readonly expected: string;
  readonly z: string;
}

export interface DigitStatistics {
  /** Mean absolute deviation of the 90 shares, six decimals. */
  readonly mad: string;
  readonly conformity: Conformity;
  /** Sum of (observed − expected)² / expected of the counts, four decimals. */
  readonly chiSquare: string;
  readonly degreesOfFreedom: number;
  /** All 90, in the order of their digits. */
  readonly pairs: readonly PairFrequency[];
}

/** How many numbers begin with each digit pair. */
export class DigitCounts {
  private readonly counts = new Array<number>(lastPair + 1).fill(0);
  /** Of all pairs. */
  total = 0;

  /** @param pair see firstTwoDigits */
  add(pair: number, times = 1): void {
    this.counts[pair] = this.of(pair) + times;
    this.total += times;
  }

  of(pair: number): number {
    return this.counts[pair] ?? 0;
  }

  /** The statistics of at least one number. */
  statistics(): DigitStatistics {
    const { total } = this;
    let [deviations, chiSquare] = [0, 0];
    const found = pairs.map((digits): PairFrequency => {
      const count = this.of(digits);
      const [observed, expected] = [count / total, expectedShare(digits)];
      const deviation = Math.abs(observed - expected);
      deviations += deviation;
      chiSquare += (count - total * expected) ** 2 / (total * expected);
      return { digits, count, observed: observed.toFixed(6), expected: expected.toFixed(6), z: zOf(deviation, expected, total).toFixed(4) };
    });
    const mad = (deviations / pairs.length).toFixed(6);
    return { mad, conformity: conformityOf(mad), chiSquare: chiSquare.toFixed(4), degreesOfFreedom: pairs.length - 1, pairs: found };
  }
}

/** The correction for counting in whole numbers, 1/(2n), is made only where it is smaller than the deviation (Nigrini, formula 7.2). */
function zOf(deviation: number, expected: number, total: number): number {
  const correction = 1 / (2 * total);
  const corrected = correction < deviation ? deviation - correction : deviation;
  return corrected / Math.sqrt((expected * (1 - expected)) / total);
}
