/**
 * What verify reads and adds up in a short way is what the long way makes of it; and whatever a short way is not made for it
 * leaves to the long way, which names what is wrong (test/integration/verify.int.spec.ts).
 */
import * as fc from 'fast-check';
import { fromMinor } from '#domain';
import { canonicalJson } from '#event-store';
import { Digests, drawKeys } from './digests';
import { minorText, minus, plus, readAmount, smallest } from './minor-units';
import { jsonbText, readPlainEntry } from './stored-json';

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
/** Whatever PostgreSQL stores in a text: no U+0000, no lone surrogate. */
const text = fc.oneof(
  { weight: 12, arbitrary: fc.string({ unit: 'grapheme', maxLength: 12 }).map((given) => given.replace(/["\\]/g, '}')) },
  fc.constantFrom('', '}, {', '"', '\\', ', "reference": "', 'a\tb', ']}', '1.0'),
);
const amount = fc.tuple(fc.nat(), fc.nat({ max: 99 })).map(([whole, cents]) => `${whole}.${String(cents).padStart(2, '0')}`);
const line = fc.record({
  line: fc.nat(),
  accountId: fc.uuid(),
  code: text,
  side: fc.constantFrom('debit', 'credit'),
  amount,
  currency: fc.constantFrom('EUR', 'x-1._a'),
  baseAmount: maybe(amount),
  description: maybe(text),
  reference: maybe(text),
});
const entry = fc.record({
  journalCode: fc.constantFrom('GENERAL', 'CASH-1_A'),
  fiscalYear: text,
  period: fc.nat(),
  number: fc.maxSafeNat(),
  entryType: text,
  entryMethod: text,
  effectiveDate: fc.constantFrom('2024-02-29', '1900-01-01'),
  description: text,
  lines: fc.array(line, { minLength: 1, maxLength: 4 }),
  requestedDate: maybe(fc.constant('2024-03-01')),
  reference: maybe(text),
});

describe('a plain entry', () => {
  it('is read as JSON.parse reads it, and its canonical text is the one of RFC 8785', () => {
    let read = 0;
    fc.assert(
      fc.property(entry, (given) => {
        const stored = jsonbText(given);
        const plain = readPlainEntry(stored);
        expect(plain === undefined).toBe(stored.includes('\\'));
        if (plain === undefined) return;
        read++;
        expect(plain.data).toEqual(JSON.parse(stored));
        expect(plain.canonical).toBe(canonicalJson(JSON.parse(stored)));
      }),
      { numRuns: 500 },
    );
    expect(read).toBeGreaterThan(50);
  });

  it('is not read when one character is changed, left out or added, unless JSON.parse agrees', () => {
    const change = fc.tuple(fc.nat(), fc.constantFrom('', '"', '{', '}', ',', ' ', '0', '.', '-', 'x', ': ', '\\', 'e1'), fc.boolean());
    fc.assert(
      fc.property(entry, change, (given, [place, instead, added]) => {
        const stored = [...jsonbText(given)];
        const at = place % (stored.length + 1);
        const altered = [...stored.slice(0, at), instead, ...stored.slice(added ? at : at + 1)].join('');
        const plain = readPlainEntry(altered);
        if (plain === undefined) return;
        // Whatever is read is all that the text says, and the text is printed as PostgreSQL prints it.
        expect(plain.data).toEqual(JSON.parse(altered));
        expect(jsonbText(JSON.parse(altered))).toBe(altered);
        expect(plain.canonical).toBe(canonicalJson(JSON.parse(altered)));
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ['a member that entries seldom have', { links: [] }],
    ['a member of another kind', { number: '7' }],
    ['a number with a point', { number: 7.5 }],
    ['a number that is not exact', { number: 1e20 }],
    ['lines of another kind', { lines: ['a'] }],
    ['no lines', { lines: [] }],
    ['a line with a member that lines seldom have', { lines: [{ ...fc.sample(line, 1)[0], dueDate: '2024-01-01' }] }],
  ])('is left to the long way with %s', (_, more) => {
    const plain = { ...fc.sample(entry, { numRuns: 1, seed: 1 })[0], description: 'plain', fiscalYear: '2024', reference: undefined };
    expect(readPlainEntry(jsonbText({ ...plain, entryType: 'normal', entryMethod: 'manual', ...more }))).toBeUndefined();
  });

  it('ends its reading whatever the text is', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('{"lines": [', '{"code": "', '"', ',', '}, {', ' ', 'x', '}], "number": ')), (pieces) => {
        expect(readPlainEntry(pieces.join(''))).toBeUndefined();
      }),
    );
  });
});

describe('amounts in minor units', () => {
  const minor = fc.oneof(fc.bigInt({ min: -(10n ** 38n), max: 10n ** 38n }), fc.maxSafeInteger().map(BigInt), fc.integer().map(BigInt));

  it('are added, subtracted and written as bigint does it, and equal ones are the same value', () => {
    fc.assert(
      fc.property(minor, minor, fc.nat({ max: 18 }), (a, b, scale) => {
        const [one, other] = [smallest(a), smallest(b)];
        expect(BigInt(plus(one, other))).toBe(a + b);
        expect(plus(one, other)).toBe(smallest(a + b));
        expect(minus(one, other)).toBe(smallest(a - b));
        expect(minus(plus(one, other), other)).toBe(one);
        expect(minorText(one, scale)).toBe(fromMinor(a, scale));
      }),
      { numRuns: 2_000 },
    );
  });

  it('are read from exactly the text that is written', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 30n - 1n }), fc.nat({ max: 18 }), fc.nat({ max: 18 }), (value, scale, other) => {
        const written = fromMinor(value, scale);
        expect(readAmount(written, scale)).toBe(smallest(value));
        if (other !== scale) expect(readAmount(written, other)).toBeUndefined();
      }),
    );
  });

  it.each(['', '.5', '1.', '01.00', '-1.00', '+1.00', '1e3', '1,00', ' 1.00', '1.0 ', '1.000'])(
    '%j is no amount with two decimals',
    (given) => expect(readAmount(given, 2)).toBeUndefined(),
  );
});

describe('digests', () => {
  const keys = drawKeys();
  const bucket = fc.constantFrom('\tY\t2024-01-01', '\tM\t2024-02-01', '\tD\t2024-02-29');
  const row = fc.record({ position: fc.nat({ max: 30_000 }), text: fc.string({ unit: 'grapheme', maxLength: 40 }), bucket });
  const rows = fc.array(row, { minLength: 1, maxLength: 40 });

  const addBytes = (digests: Digests, position: number, text: string, bucket: string): void => {
    const bytes = Buffer.from(text + bucket);
    digests.addBytes(position, bytes, bytes.length - bucket.length, bytes.length);
  };

  it('are equal for the same rows in any order, told as texts in two parts or as bytes', () => {
    fc.assert(
      fc.property(rows, (given) => {
        const [parts, whole] = [new Digests(keys, 30_000), new Digests(keys, 30_000)];
        for (const { position, text, bucket } of given) parts.add(position, text, bucket);
        for (const { position, text, bucket } of [...given].reverse()) addBytes(whole, position, text, bucket);
        expect(parts.differing(whole)).toEqual([]);
      }),
    );
  });

  it('differ in the range of a row of which one byte was changed, in its text as in its bucket', () => {
    fc.assert(
      fc.property(rows, fc.nat(), fc.nat(), (given, which, place) => {
        const [expected, actual] = [new Digests(keys, 30_000), new Digests(keys, 30_000)];
        const at = which % given.length;
        given.forEach(({ position, text, bucket }, index) => {
          expected.add(position, text, bucket);
          const stored = Buffer.from(text + bucket);
          const changed = place % stored.length;
          if (index === at) stored[changed] = stored[changed] === 55 ? 56 : 55;
          actual.addBytes(position, stored, stored.length - bucket.length, stored.length);
        });
        expect(expected.differing(actual)).toEqual([Math.floor((given[at]?.position ?? 0) / 8_192)]);
      }),
    );
  });

  /** Whether one row is told from another, by keys of this run. */
  const told = (text: string, other: Uint8Array | string): boolean => {
    const fresh = drawKeys();
    const [expected, actual] = [new Digests(fresh, 0), new Digests(fresh, 0)];
    expected.add(0, text, '');
    const bytes = Buffer.from(other);
    actual.addBytes(0, bytes, bytes.length, bytes.length);
    return expected.differing(actual).length > 0;
  };
  const unit = fc
    .integer({ min: 1, max: 0xffff })
    .filter((code) => code < 0xd800 || code > 0xdfff)
    .map((code) => String.fromCharCode(code));
  const units = fc.array(unit, { minLength: 2, maxLength: 40 }).map((codes) => codes.join(''));

  it.each([0x80, 0x40, 0x01, 0xff])('two bytes changed by the same bits (%i) are seen, wherever they stand', (bits) => {
    fc.assert(
      fc.property(units, fc.nat(), fc.nat(), (text, one, two) => {
        const bytes = Buffer.from(text);
        const [first, second] = [one % bytes.length, two % bytes.length];
        fc.pre(first !== second);
        for (const at of [first, second]) bytes[at] = (bytes[at] as number) ^ bits;
        expect(told(text, bytes)).toBe(true);
      }),
    );
  });

  it('a character more is seen, and a text that goes on over a block of keys', () => {
    fc.assert(
      fc.property(units, unit, fc.constantFrom(1, 40, 300), (text, more, times) => {
        const long = text.repeat(times);
        expect(told(long, long + more)).toBe(true);
        expect(told(long, more + long)).toBe(true);
        expect(told(`a${long}`, `b${long}`)).toBe(true);
      }),
    );
  });

  it('two rows that trade what they have in one place are seen', () => {
    const [expected, actual] = [new Digests(keys, 0), new Digests(keys, 0)];
    for (const text of ['1\t100.00', '2\t700.00']) expected.add(0, text, '');
    for (const text of ['1\t700.00', '2\t100.00']) actual.add(0, text, '');
    expect(expected.differing(actual)).toEqual([0]);
  });
});
