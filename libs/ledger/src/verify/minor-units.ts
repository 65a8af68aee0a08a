/**
 * Amounts in minor units as verify adds them up: numbers as long as they are exact, bigint from there on. Hides which of the two
 * an amount is; guarantees that equal amounts are `===` and that no sum is ever rounded. Nearly every amount and total is below
 * 2^53, and a bigint costs an object for each sum. Verify's own, beside Money and bigint in the code that writes.
 */
import { fromMinor, isPlainDecimal } from '#domain';

/** A number where it is a safe integer, else a bigint; never -0. */
export type Minor = number | bigint;

export function plus(a: Minor, b: Minor): Minor {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b;
    if (Number.isSafeInteger(sum)) return sum;
  }
  return smallest(BigInt(a) + BigInt(b));
}

export function minus(a: Minor, b: Minor): Minor {
  if (typeof a === 'number' && typeof b === 'number') {
    const difference = a - b;
    if (Number.isSafeInteger(difference)) return difference;
  }
  return smallest(BigInt(a) - BigInt(b));
}

export function smallest(minor: bigint): Minor {
  const near = Number(minor);
  return Number.isSafeInteger(near) ? near : minor;
}

/** With exactly `scale` decimals, `-` in front when negative. */
export function minorText(minor: Minor, scale: number): string {
  if (typeof minor === 'bigint' || minor < 0) return fromMinor(BigInt(minor), scale);
  const digits = String(minor);
  if (scale === 0) return digits;
  const whole = digits.length - scale;
  if (whole <= 0) return `0.${digits.padStart(scale, '0')}`;
  return `${digits.slice(0, whole)}.${digits.slice(whole)}`;
}

const ceiling = 10n ** 30n;

/** Minor units of an amount as it is stored: exactly `scale` decimals, below 10^30 minor units; else undefined (I2). */
export function readAmount(text: unknown, scale: number): Minor | undefined {
  if (typeof text !== 'string') return undefined;
  if (text.length <= 15) return readShortAmount(text, scale);
  if (!isPlainDecimal(text)) return undefined;
  const point = text.indexOf('.');
  if ((point < 0 ? 0 : text.length - point - 1) !== scale) return undefined;
  const minor = BigInt(point < 0 ? text : text.slice(0, point) + text.slice(point + 1));
  return text.length <= 30 || minor < ceiling ? smallest(minor) : undefined;
}

/** The same for 15 characters at most, whose digits a number holds: nearly every amount, in a third of the time. */
function readShortAmount(text: string, scale: number): number | undefined {
  const { length } = text;
  const point = scale === 0 ? length : length - scale - 1;
  if (point < 1 || (point > 1 && text.charCodeAt(0) === 48)) return undefined;
  let minor = 0;
  for (let index = 0; index < length; index++) {
    const unit = text.charCodeAt(index);
    if (index === point) {
      if (unit !== 46) return undefined;
      continue;
    }
    if (unit < 48 || unit > 57) return undefined;
    minor = minor * 10 + (unit - 48);
  }
  return minor;
}
