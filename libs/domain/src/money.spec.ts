/** Money: exact at every scale, split without losing a cent, rounded only where a mode is named (I2). */
import * as fc from 'fast-check';
import { LedgerError } from './errors';
import {
  amountCeiling,
  canonicalDecimal,
  fromMinor,
  isPlainDecimal,
  Money,
  rescale,
  scaleMax,
  toMinor,
  totalCeiling,
  totalFits,
} from './money';

const scales = Array.from({ length: scaleMax + 1 }, (_, scale) => scale);
const aScale = fc.integer({ min: 0, max: scaleMax });
const anAmount = fc.bigInt({ min: -(amountCeiling - 1n), max: amountCeiling - 1n });
const digits = (min: number, max: number) => fc.stringMatching(new RegExp(`^[0-9]{${min},${max}}$`));
/** Digits without a leading zero, then perhaps a point and decimals, trailing zeros among them. */
const plainDecimal = fc
  .tuple(
    fc.bigInt({ min: 0n, max: 10n ** 20n }),
    fc.option(
      fc.oneof(
        digits(1, 12),
        digits(1, 4).map((text) => `${text}000`),
      ),
    ),
  )
  .map(([whole, decimals]) => (decimals === null ? `${whole}` : `${whole}.${decimals}`));

/** A plain decimal as a fraction, without any code of ours. */
const fraction = (text: string): { over: bigint; under: bigint } => {
  const [whole = '', decimals = ''] = text.split('.');
  return { over: BigInt(whole + decimals), under: 10n ** BigInt(decimals.length) };
};
const equal = (a: string, b: string): boolean => fraction(a).over * fraction(b).under === fraction(b).over * fraction(a).under;

const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return error instanceof LedgerError ? error.code : (error as Error).name;
  }
  return 'accepted';
};

describe('an amount', () => {
  it.each(scales)('is printed and read again without change at scale %i', (scale) => {
    fc.assert(
      fc.property(anAmount, (minor) => {
        const text = fromMinor(minor, scale);
        expect(Money.parse(text, 'XYZ', scale).minor).toBe(minor);
        expect(new Money(minor, 'XYZ', scale).toString()).toBe(text);
        if (scale > 0) expect(text.split('.')[1]).toHaveLength(scale);
        else expect(text).not.toContain('.');
      }),
      { numRuns: 50 },
    );
  });

  it.each([
    [0n, 0, '0'],
    [0n, 2, '0.00'],
    [5n, 2, '0.05'],
    [-5n, 2, '-0.05'],
    [100n, 2, '1.00'],
    [1n, 18, '0.000000000000000001'],
    [amountCeiling - 1n, 0, '999999999999999999999999999999'],
    [-(amountCeiling - 1n), 18, '-999999999999.999999999999999999'],
  ])('of %d minor units at scale %i is %s', (minor, scale, text) => {
    expect(fromMinor(minor, scale)).toBe(text);
    expect(Money.parse(text, 'XYZ', scale).minor).toBe(minor);
  });

  it('may be written with fewer or more zeros than the currency has decimals, and means the same', () => {
    for (const text of ['1', '1.0', '1.00', '1.0000000000000000000000']) expect(toMinor(text, 2)).toBe(100n);
    expect(toMinor('0.000', 0)).toBe(0n);
    expect(toMinor('12.50', 1)).toBe(125n);
  });

  it('has no more significant decimals than its currency', () => {
    expect(toMinor('1.001', 2)).toBeUndefined();
    expect(toMinor('1.0010', 2)).toBeUndefined();
    expect(toMinor('0.5', 0)).toBeUndefined();
    fc.assert(
      fc.property(plainDecimal, aScale, (text, scale) => {
        const minor = toMinor(text, scale);
        const { over, under } = fraction(text);
        const exact = over * 10n ** BigInt(scale);
        if (exact % under === 0n) expect(minor).toBe(exact / under);
        else expect(minor).toBeUndefined();
      }),
    );
  });

  it.each([
    [' 1', 'blank in front'],
    ['1 ', 'blank behind'],
    ['1e3', 'exponent'],
    ['1E3', 'exponent'],
    ['+1', 'plus sign'],
    ['-1', 'minus sign'],
    ['٣', 'Arabic-Indic digit'],
    ['１', 'full-width digit'],
    ['01', 'leading zero'],
    ['00', 'leading zero'],
    ['.5', 'no digit before the point'],
    ['5.', 'no digit behind the point'],
    ['.', 'no digit'],
    ['', 'nothing'],
    ['1,5', 'comma'],
    ['1_000', 'separator'],
    ['1.5.0', 'two points'],
    ['0x10', 'hexadecimal'],
    ['NaN', 'no number'],
    ['Infinity', 'no number'],
    ['1\n', 'line end'],
    ['1\u0000', 'U+0000'],
    [`0.${'0'.repeat(79)}`, 'more than 80 characters'],
  ])('is never written %j (%s)', (text) => {
    expect(isPlainDecimal(text)).toBe(false);
    expect(codeOf(() => Money.parse(text === '-1' ? '--1' : text, 'EUR', 2))).toBe('amount_format');
  });

  it.each([1, 1n, null, undefined, true, ['1'], { toString: () => '1' }])('is never anything but text: %p', (value) => {
    expect(isPlainDecimal(value)).toBe(false);
  });

  it('may be negative where it is read as Money, and only there', () => {
    expect(Money.parse('-1.50', 'EUR', 2).minor).toBe(-150n);
    expect(Money.parse('-0', 'EUR', 2).toString()).toBe('0.00');
    for (const text of ['--1', '-', '-01', '- 1', '-.5', '-+1', '1-']) {
      expect(codeOf(() => Money.parse(text, 'EUR', 2))).toBe('amount_format');
    }
  });

  it('stays below 10^30 minor units, at every scale (I2)', () => {
    for (const scale of scales) {
      expect(Money.parse(fromMinor(amountCeiling - 1n, scale), 'XYZ', scale).minor).toBe(amountCeiling - 1n);
      for (const minor of [amountCeiling, amountCeiling + 1n, 10n ** 37n, 10n ** 38n]) {
        expect(codeOf(() => Money.parse(fromMinor(minor, scale), 'XYZ', scale))).toBe('amount_range');
        expect(codeOf(() => Money.parse(fromMinor(-minor, scale), 'XYZ', scale))).toBe('amount_range');
      }
    }
  });

  it('has a currency of 0 to 18 decimals', () => {
    for (const scale of [-1, 19, 1.5, Number.NaN]) expect(codeOf(() => new Money(1n, 'XYZ', scale))).toBe('RangeError');
  });
});

describe('a total', () => {
  it('stays below 10^38 minor units on either side of zero (I2)', () => {
    expect(totalFits(totalCeiling - 1n)).toBe(true);
    expect(totalFits(totalCeiling)).toBe(false);
    expect(totalFits(1n - totalCeiling)).toBe(true);
    expect(totalFits(-totalCeiling)).toBe(false);
  });
});

describe('the shortest form of an amount (I6)', () => {
  it.each([
    ['1.00', '1'],
    ['1.0', '1'],
    ['1', '1'],
    ['10', '10'],
    ['100.10', '100.1'],
    ['0.00', '0'],
    ['0.010', '0.01'],
  ])('of %s is %s', (text, short) => {
    expect(canonicalDecimal(text)).toBe(short);
  });

  it('is the same for equal amounts and for no others, and is its own shortest form', () => {
    fc.assert(
      fc.property(plainDecimal, plainDecimal, fc.nat(4), (a, b, more) => {
        expect(equal(a, canonicalDecimal(a))).toBe(true);
        expect(canonicalDecimal(canonicalDecimal(a))).toBe(canonicalDecimal(a));
        expect(canonicalDecimal((a.includes('.') ? a : `${a}.`) + '0'.repeat(more + 1))).toBe(canonicalDecimal(a));
        expect(canonicalDecimal(a) === canonicalDecimal(b)).toBe(equal(a, b));
        expect(isPlainDecimal(canonicalDecimal(a))).toBe(true);
      }),
    );
  });

  it('makes nothing a plain decimal that is none, so that the domain still refuses it', () => {
    for (const text of ['5.', '1.0.0', '1.0.', '.0', '.', '0.', '1..0', '01.0', '1e3.0', '-1.0', ' 1.0', '', `1.${'0'.repeat(90)}`]) {
      expect([text, isPlainDecimal(canonicalDecimal(text))]).toEqual([text, false]);
    }
    fc.assert(
      fc.property(fc.stringMatching(/^[-0-9. e]{0,8}$/), (text) => {
        expect(isPlainDecimal(canonicalDecimal(text))).toBe(isPlainDecimal(text));
      }),
    );
  });
});

describe('sums and differences', () => {
  const euro = (text: string) => Money.parse(text, 'EUR', 2);

  it('are exact where binary fractions are not', () => {
    expect(euro('0.10').plus(euro('0.20')).toString()).toBe('0.30');
    expect(euro('0.30').minus(euro('0.10')).minus(euro('0.20')).toString()).toBe('0.00');
    expect(euro('1.10').negated().toString()).toBe('-1.10');
    expect([euro('1').compare(euro('1.00')), euro('1').compare(euro('2')), euro('2').compare(euro('1'))]).toEqual([0, -1, 1]);
  });

  it('are refused between currencies, and between scales of one currency', () => {
    expect(() => euro('1').plus(Money.parse('1', 'USD', 2))).toThrow(RangeError);
    expect(() => euro('1').minus(Money.parse('1', 'EUR', 4))).toThrow(RangeError);
    expect(() => euro('1').compare(Money.parse('1', 'USD', 2))).toThrow(RangeError);
  });
});

describe('an amount times a factor', () => {
  /** The same by fractions: quotient and remainder, then the rounding rule written out. */
  const expected = (minor: bigint, factor: string, mode: 'half_even' | 'half_away_from_zero'): bigint => {
    const { over, under } = fraction(factor.replace('-', ''));
    const negative = minor < 0n !== factor.startsWith('-');
    const product = (minor < 0n ? -minor : minor) * over;
    const whole = product / under;
    const twice = (product % under) * 2n;
    const up = twice > under || (twice === under && (mode === 'half_away_from_zero' || whole % 2n === 1n));
    const size = up ? whole + 1n : whole;
    return negative ? -size : size;
  };
  const aFactor = fc.tuple(fc.boolean(), plainDecimal).map(([negative, text]) => (negative ? `-${text}` : text));
  /** Factors that land on the half of a minor unit. */
  const aHalf = fc.tuple(fc.boolean(), fc.nat(1_000)).map(([negative, whole]) => `${negative ? '-' : ''}${whole}.5`);

  it.each(['half_even', 'half_away_from_zero'] as const)('is exact and rounded once, %s', (mode) => {
    fc.assert(
      fc.property(fc.oneof(anAmount, fc.bigInt({ min: -99n, max: 99n })), fc.oneof(aFactor, aHalf), aScale, (minor, factor, scale) => {
        expect(new Money(minor, 'XYZ', scale).times(factor, mode).minor).toBe(expected(minor, factor, mode));
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ['0.05', '0.5', '0.02', '0.03'],
    ['0.15', '0.5', '0.08', '0.08'],
    ['-0.05', '0.5', '-0.02', '-0.03'],
    ['100.00', '0.19', '19.00', '19.00'],
    ['0.01', '0.4999', '0.00', '0.00'],
    ['1.00', '-1', '-1.00', '-1.00'],
  ])('%s × %s is %s half to even and %s half away from zero', (amount, factor, even, away) => {
    const money = Money.parse(amount, 'EUR', 2);
    expect(money.times(factor, 'half_even').toString()).toBe(even);
    expect(money.times(factor, 'half_away_from_zero').toString()).toBe(away);
  });

  it('takes no factor that is not a plain decimal', () => {
    for (const factor of ['1e3', '0x10', 'NaN', 'Infinity', '', ' 1', '+1', '.5', '--1', '1/3'])
      expect(() => Money.parse('1', 'EUR', 2).times(factor, 'half_even')).toThrow(RangeError);
  });
});

describe('an amount that is split', () => {
  const weights = fc
    .array(fc.oneof(fc.nat(1_000).map(String), plainDecimal, fc.constant('0')), { minLength: 1, maxLength: 12 })
    .filter((all) => all.some((weight) => fraction(weight).over > 0n));

  it('loses and invents nothing, gives each part its fair share to within one minor unit, and depends on nothing but its arguments', () => {
    fc.assert(
      fc.property(anAmount, weights, aScale, (minor, all, scale) => {
        const parts = new Money(minor, 'XYZ', scale).allocate(all);
        expect(parts).toHaveLength(all.length);
        expect(parts.reduce((sum, part) => sum + part.minor, 0n)).toBe(minor);
        const under = all.map(fraction).reduce((most, part) => (part.under > most ? part.under : most), 1n);
        const shares = all.map((weight) => fraction(weight).over * (under / fraction(weight).under));
        const whole = shares.reduce((sum, share) => sum + share, 0n);
        parts.forEach((part, index) => {
          const distance = part.minor * whole - minor * (shares[index] as bigint);
          expect((distance < 0n ? -distance : distance) < whole).toBe(true);
          if (shares[index] === 0n) expect(part.minor).toBe(0n);
        });
        expect(new Money(minor, 'XYZ', scale).allocate(all)).toEqual(parts);
        expect(new Money(-minor, 'XYZ', scale).allocate(all).map((part) => -part.minor)).toEqual(parts.map((part) => part.minor));
      }),
    );
  });

  it('gives what is left over to the largest remainders, of equal ones to the first', () => {
    const split = (amount: string, ...all: string[]) => Money.parse(amount, 'EUR', 2).allocate(all).map(String);
    expect(split('100.00', '1', '1', '1')).toEqual(['33.34', '33.33', '33.33']);
    expect(split('0.02', '1', '1', '1')).toEqual(['0.01', '0.01', '0.00']);
    expect(split('-0.02', '1', '1', '1')).toEqual(['-0.01', '-0.01', '0.00']);
    expect(split('10.00', '0.5', '0.25', '0.25')).toEqual(['5.00', '2.50', '2.50']);
    expect(split('0.05', '1', '2')).toEqual(['0.02', '0.03']);
    expect(split('7.00', '0', '1', '0')).toEqual(['0.00', '7.00', '0.00']);
  });

  it('takes equal weights in whatever form they are written', () => {
    fc.assert(
      fc.property(anAmount, fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 6 }), fc.nat(70), (minor, all, zeros) => {
        const plain = new Money(minor, 'XYZ', 2).allocate(all.map(String));
        expect(
          new Money(minor, 'XYZ', 2).allocate(all.map((weight, index) => (index === 0 ? `${weight}.0${'0'.repeat(zeros)}` : `${weight}`))),
        ).toEqual(plain);
      }),
    );
  });

  it('keeps apart weights that differ in their 75th decimal', () => {
    const tiny = `0.${'0'.repeat(74)}1`;
    expect(new Money(100n, 'XYZ', 0).allocate(['1', tiny]).map((part) => part.minor)).toEqual([100n, 0n]);
    expect(new Money(10n ** 29n, 'XYZ', 0).allocate([tiny, tiny]).map((part) => part.minor)).toEqual([5n * 10n ** 28n, 5n * 10n ** 28n]);
  });

  it('needs a weight above zero, and plain decimals', () => {
    for (const all of [[], ['0'], ['0', '0.00'], ['-1', '2'], ['1e3'], ['']])
      expect(() => Money.parse('1', 'EUR', 2).allocate(all)).toThrow(RangeError);
  });
});

describe('minor units at another scale', () => {
  it.each([
    [125n, 2, 1, 'half_even', 12n],
    [135n, 2, 1, 'half_even', 14n],
    [125n, 2, 1, 'half_away_from_zero', 13n],
    [-125n, 2, 1, 'half_even', -12n],
    [-125n, 2, 1, 'half_away_from_zero', -13n],
    [1251n, 3, 1, 'half_even', 13n],
    [-4n, 1, 0, 'half_even', 0n],
    [7n, 0, 3, 'half_even', 7000n],
  ] as const)('%s with %i decimals are, with %i, %s: %s', (minor, from, to, rounding, expected) => {
    expect(rescale(minor, from, to, rounding)).toBe(expected);
  });

  it('never differ by more than half a unit, and not at all where no decimal is lost', () => {
    fc.assert(
      fc.property(anAmount, aScale, aScale, fc.constantFrom('half_even', 'half_away_from_zero'), (minor, from, to, rounding) => {
        const rounded = rescale(minor, from, to, rounding);
        const scale = Math.max(from, to);
        const [before, after] = [minor * 10n ** BigInt(scale - from), rounded * 10n ** BigInt(scale - to)];
        const difference = before > after ? before - after : after - before;
        expect(difference * 2n <= 10n ** BigInt(scale - to)).toBe(true);
        if (to >= from) expect(difference).toBe(0n);
        expect(rescale(-minor, from, to, rounding)).toBe(-rounded);
      }),
    );
  });
});
