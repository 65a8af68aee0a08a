/**
 * Money: an exact amount of one currency, held as an integer of minor units. Hides parsing, printing and rounding;
 * guarantees that no binary float is ever involved (I2) and that splitting an amount loses and invents nothing.
 * The hot path uses the bare functions on bigint; Money is the same arithmetic for everyone else.
 */
import { Decimal } from 'decimal.js';
import { LedgerError } from './errors';

/** Minor units of an amount must stay below this (I2). */
export const amountCeiling = 10n ** 30n;
/** Minor units of a total must stay below this (I2). */
export const totalCeiling = 10n ** 38n;
/** The finest scale that a custom currency may have. */
export const scaleMax = 18;

export type Rounding = 'half_even' | 'half_away_from_zero';

const plainDecimal = /^(?:0|[1-9]\d*)(?:\.\d+)?$/;
const digitsMax = 80;

/** Whether text is a plain non-negative decimal: digits, at most one point; no sign, exponent, blank, leading zero. */
export function isPlainDecimal(text: unknown): text is string {
  return typeof text === 'string' && text.length <= digitsMax && plainDecimal.test(text);
}

/**
 * The shortest way to write a plain decimal: `1.00` and `1.0` become `1`. Equal amounts become equal text (I6).
 * Text that is no plain decimal (`5.`, `1.0.0`) stays as it is, or cutting zeros could turn it into one before it is refused.
 */
export function canonicalDecimal(text: string): string {
  const point = text.indexOf('.');
  if (point < 0 || point === text.length - 1 || text.length > digitsMax || text.indexOf('.', point + 1) > 0) return text;
  let end = text.length;
  while (text.charCodeAt(end - 1) === 48) end--;
  return text.slice(0, text.charCodeAt(end - 1) === 46 ? end - 1 : end);
}

/** How many decimals a plain decimal is written with: 2 of `1.50`, 0 of `7`. */
export function decimalsOf(text: string): number {
  const point = text.indexOf('.');
  return point < 0 ? 0 : text.length - point - 1;
}

/**
 * Reads a plain decimal as minor units.
 * @returns undefined when the text has more significant decimals than `scale`
 */
export function toMinor(text: string, scale: number): bigint | undefined {
  const point = text.indexOf('.');
  if (point < 0) return scale === 0 ? BigInt(text) : BigInt(text + zeros(scale));
  const decimals = text.length - point - 1;
  if (decimals <= scale) return BigInt(text.slice(0, point) + text.slice(point + 1) + zeros(scale - decimals));
  const short = canonicalDecimal(text);
  return short.length < text.length ? toMinor(short, scale) : undefined;
}

/** Writes minor units with exactly `scale` decimals, `-` in front when negative. */
export function fromMinor(minor: bigint, scale: number): string {
  if (scale === 0) return minor.toString();
  const negative = minor < 0n;
  const digits = (negative ? -minor : minor).toString().padStart(scale + 1, '0');
  const text = `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
  return negative ? `-${text}` : text;
}

/**
 * Minor units at another scale: exact where that has as many decimals or more, else rounded in the named mode.
 * @param minor may be negative, which rounds like its opposite
 * @param from decimals that `minor` has; @param to decimals that are wanted
 */
export function rescale(minor: bigint, from: number, to: number, rounding: Rounding): bigint {
  return to >= from ? minor * 10n ** BigInt(to - from) : quotient(minor, 10n ** BigInt(from - to), rounding);
}

/**
 * A whole quotient, rounded in the named mode.
 * @param dividend may be negative, which rounds like its opposite; @param divisor above 0
 */
export function quotient(dividend: bigint, divisor: bigint, rounding: Rounding): bigint {
  const size = dividend < 0n ? -dividend : dividend;
  const [whole, rest] = [size / divisor, size % divisor];
  const up = rest * 2n > divisor || (rest * 2n === divisor && (rounding === 'half_away_from_zero' || whole % 2n === 1n));
  const rounded = up ? whole + 1n : whole;
  return dividend < 0n ? -rounded : rounded;
}

const zeroRun = '0'.repeat(digitsMax);
const zeros = (count: number): string => zeroRun.slice(0, count);

export class Money {
  /** @param minor minor units, may be negative; @param scale decimals of the currency, 0..18 */
  constructor(
    readonly minor: bigint,
    readonly currency: string,
    readonly scale: number,
  ) {
    if (!Number.isInteger(scale) || scale < 0 || scale > scaleMax)
      throw new RangeError(`scale ${scale} of ${currency} is not within 0..${scaleMax}`);
  }

  /**
   * @param text plain decimal, a leading `-` is allowed
   * @throws LedgerError amount_format | scale_exceeded | amount_range
   */
  static parse(text: string, currency: string, scale: number): Money {
    const negative = text.startsWith('-');
    const unsigned = negative ? text.slice(1) : text;
    if (!isPlainDecimal(unsigned)) throw new LedgerError('amount_format', `"${text}" is not a plain decimal like 1234.50`);
    const minor = toMinor(unsigned, scale);
    if (minor === undefined)
      throw new LedgerError('scale_exceeded', `${text} ${currency} has more than ${scale} decimals`, { currency, scale });
    if (minor >= amountCeiling) throw new LedgerError('amount_range', `${text} ${currency} is 10^30 minor units or more`);
    return new Money(negative ? -minor : minor, currency, scale);
  }

  plus(other: Money): Money {
    return new Money(this.minor + this.same(other).minor, this.currency, this.scale);
  }

  minus(other: Money): Money {
    return new Money(this.minor - this.same(other).minor, this.currency, this.scale);
  }

  negated(): Money {
    return new Money(-this.minor, this.currency, this.scale);
  }

  /** -1, 0 or 1 as this is less than, equal to or greater than other. */
  compare(other: Money): number {
    const difference = this.minor - this.same(other).minor;
    return difference < 0n ? -1 : difference > 0n ? 1 : 0;
  }

  /**
   * The amount times a decimal factor (a rate, a percentage), rounded to this currency's scale in the named mode.
   * @param factor plain decimal, a leading `-` is allowed; computed exactly before rounding
   * @throws RangeError when the factor is not a plain decimal
   */
  times(factor: string, rounding: Rounding): Money {
    if (!isPlainDecimal(factor.startsWith('-') ? factor.slice(1) : factor))
      throw new RangeError(`factor "${factor}" is not a plain decimal`);
    const product = new Exact(this.minor.toString()).times(new Exact(factor));
    const rounded = product.toDecimalPlaces(0, rounding === 'half_even' ? Decimal.ROUND_HALF_EVEN : Decimal.ROUND_HALF_UP);
    return new Money(BigInt(rounded.toFixed(0)), this.currency, this.scale);
  }

  /**
   * Splits the amount in the given proportions. The parts add up to the amount exactly: each part is cut towards zero and
   * the minor units left over go one each to the parts with the largest remainders, earlier ones first (largest remainder
   * method), so the result depends on nothing but its arguments.
   * @param weights non-negative plain decimals, at least one above zero
   * @throws RangeError when there is no weight above zero or one is not a plain decimal
   */
  allocate(weights: readonly string[]): Money[] {
    const decimals = Math.max(
      0,
      ...weights.map((weight) => weight.length - weight.indexOf('.') - 1).filter((_, index) => weights[index]?.includes('.')),
    );
    const parts = weights.map((weight) => {
      const scaled = isPlainDecimal(weight) ? toMinor(weight, decimals) : undefined;
      if (scaled === undefined) throw new RangeError(`weight "${weight}" is not a plain non-negative decimal`);
      return scaled;
    });
    const sum = parts.reduce((total, part) => total + part, 0n);
    if (sum === 0n) throw new RangeError('at least one weight must be above zero');
    const size = this.minor < 0n ? -this.minor : this.minor;
    const shares = parts.map((part, index) => ({ index, share: (size * part) / sum, rest: (size * part) % sum }));
    const left = Number(size - shares.reduce((total, { share }) => total + share, 0n));
    const byRest = [...shares].sort((a, b) => (a.rest === b.rest ? a.index - b.index : a.rest > b.rest ? -1 : 1));
    for (const winner of byRest.slice(0, left)) winner.share += 1n;
    return shares.map(({ share }) => new Money(this.minor < 0n ? -share : share, this.currency, this.scale));
  }

  /** `1234.50`, always with the currency's decimals. */
  toString(): string {
    return fromMinor(this.minor, this.scale);
  }

  private same(other: Money): Money {
    if (other.currency !== this.currency || other.scale !== this.scale)
      throw new RangeError(`${this.currency} and ${other.currency} cannot be added or compared`);
    return other;
  }
}

/** decimal.js with room for every product of two allowed numbers, so that only the named rounding ever rounds. */
export const Exact = Decimal.clone({ precision: 200, toExpNeg: -200, toExpPos: 200 });

/** Whether `minor` has fewer than 10^38 minor units, in either direction. */
export function totalFits(minor: bigint): boolean {
  return minor < totalCeiling && minor > -totalCeiling;
}
