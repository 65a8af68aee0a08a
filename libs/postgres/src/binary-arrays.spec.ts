/** Every encoder against a real server: what goes in comes out as the same SQL value. */
import fc from 'fast-check';
import type { Client } from 'pg';
import { type TestDatabase, testDatabase } from '../../../test/support/database';
import {
  boolArray,
  byteaArray,
  dateArray,
  int2Array,
  int4Array,
  int8Array,
  jsonArray,
  jsonbArray,
  numericArray,
  textArray,
  timestamptzArray,
  uuidArray,
} from './binary-arrays';
import { connect } from './connect';

describe('binary array parameters', () => {
  let database: TestDatabase;
  let client: Client;

  beforeAll(async () => {
    database = await testDatabase();
    client = await connect(database.appUrl);
  });
  afterAll(async () => {
    await client.end();
    await database.drop();
  });

  /** The elements as the server prints them, with their own output functions. */
  const printed = async (type: string, encoded: Buffer): Promise<(string | null)[]> => {
    const { rows } = await client.query<{ value: string | null }>(
      `SELECT element::text AS value FROM unnest($1::${type}[]) WITH ORDINALITY AS element(element, n) ORDER BY n`,
      [encoded],
    );
    return rows.map(({ value }) => value);
  };

  const check = async <T>(
    type: string,
    element: fc.Arbitrary<T>,
    encode: (values: (T | undefined)[]) => Buffer,
    print: (value: T) => string,
  ) => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.option(element, { nil: undefined, freq: 6 }), { maxLength: 40 }), async (values) => {
        expect(await printed(type, encode(values))).toEqual(values.map((value) => (value === undefined ? null : print(value))));
      }),
      { numRuns: 100 },
    );
  };

  const hex = fc.integer({ min: 0, max: 0xffff_ffff }).map((n) => n.toString(16).padStart(8, '0'));
  const uuid = fc.tuple(hex, hex, hex, hex, fc.boolean()).map(([a, b, c, d, upper]) => {
    const text = `${a}-${b.slice(0, 4)}-${b.slice(4)}-${c.slice(0, 4)}-${c.slice(4)}${d}`;
    return upper ? text.toUpperCase() : text;
  });
  /** Any text that PostgreSQL can hold: no U+0000, no lone surrogates. */
  const text = fc.string({ unit: 'binary', maxLength: 60 }).map((value) => value.replaceAll('\0', ''));
  /** 0001-01-01 … 9999-12-31, as days since 1970-01-01. */
  const isoDate = fc.integer({ min: -719_162, max: 2_932_896 }).map((days) => new Date(days * 86_400_000).toISOString().slice(0, 10));
  const micros = fc.integer({ min: Date.UTC(1900, 0, 1) * 1000, max: Date.UTC(2250, 0, 1) * 1000 });
  /** As PostgreSQL prints it: no zeros at the end of the fraction. */
  const printedInstant = (value: number) => {
    const seconds = Math.floor(value / 1_000_000);
    const fraction = String(value - seconds * 1_000_000)
      .padStart(6, '0')
      .replace(/0+$/, '');
    const whole = new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ');
    return `${whole}${fraction === '' ? '' : `.${fraction}`}+00`;
  };

  it('int2', () => check('int2', fc.integer({ min: -32_768, max: 32_767 }), int2Array, String));
  it('int4', () => check('int4', fc.integer(), int4Array, String));
  it('int8 from numbers', () => check('int8', fc.maxSafeInteger(), int8Array, String));
  it('int8 from bigints', () => check('int8', fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), int8Array, String));
  it('numeric from numbers', () => check('numeric', fc.maxSafeInteger(), numericArray, String));
  it('numeric from bigints', () => check('numeric', fc.bigInt({ min: -(10n ** 38n), max: 10n ** 38n }), numericArray, String));
  it('numeric from powers of ten, with every count of digits', () =>
    check(
      'numeric',
      fc.integer({ min: 0, max: 300 }).map((n) => 10n ** BigInt(n)),
      numericArray,
      String,
    ));
  it('bool', () => check('bool', fc.boolean(), boolArray, String));
  it('uuid', () => check('uuid', uuid, uuidArray, (value) => value.toLowerCase()));
  it('text', () => check('text', text, textArray, (value) => value));
  it('json', () =>
    check(
      'json',
      text.map((value) => JSON.stringify(value)),
      jsonArray,
      (value) => value,
    ));
  it('bytea', () => check('bytea', fc.uint8Array({ maxLength: 50 }), byteaArray, (value) => `\\x${Buffer.from(value).toString('hex')}`));
  it('date', () => check('date', isoDate, dateArray, (value) => value));
  it('timestamptz', () => check('timestamptz', micros, timestamptzArray, printedInstant));

  it('jsonb', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.jsonValue().filter((value) => !JSON.stringify(value).includes('\\u0000')),
          { maxLength: 10 },
        ),
        async (values) => {
          const { rows } = await client.query<{ same: boolean }>(
            `SELECT coalesce(bool_and(a.value = b.value), true) AS same
           FROM unnest($1::jsonb[]) WITH ORDINALITY AS a(value, n) FULL JOIN unnest($2::text[]::jsonb[]) WITH ORDINALITY AS b(value, n) USING (n)`,
            [jsonbArray(values.map((value) => JSON.stringify(value))), values.map((value) => JSON.stringify(value))],
          );
          expect(rows).toEqual([{ same: true }]);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('known instants, before and after both epochs', async () => {
    const values = [
      '1900-01-01T00:00:00.000001Z',
      '1969-12-31T23:59:59.999999Z',
      '1999-12-31T23:59:59.999999Z',
      '2026-01-15T10:20:30.123456Z',
    ];
    const encoded = timestamptzArray(values.map((value) => Date.parse(`${value.slice(0, 19)}Z`) * 1000 + Number(value.slice(20, 26))));
    const { rows } = await client.query<{ at: string }>('SELECT unnest($1::timestamptz[]) AS at', [encoded]);
    expect(rows.map(({ at }) => at)).toEqual(values);
  });

  it('empty, all NULL, and one of 100,000 elements', async () => {
    await expect(printed('int8', int8Array([]))).resolves.toEqual([]);
    await expect(printed('text', textArray([undefined, null]))).resolves.toEqual([null, null]);
    const many = Array.from({ length: 100_000 }, (_, n) => `${n} ${'x'.repeat(n % 300)}`);
    await expect(printed('text', textArray(many))).resolves.toEqual(many);
  });

  it('buffers that were made one after the other keep their own bytes', async () => {
    const first = int8Array([1, 2, 3]);
    const second = int8Array([4, 5, 6]);
    await expect(printed('int8', first)).resolves.toEqual(['1', '2', '3']);
    await expect(printed('int8', second)).resolves.toEqual(['4', '5', '6']);
  });

  it.each<[string, () => Buffer]>([
    ['int2 out of range', () => int2Array([32_768])],
    ['int4 out of range', () => int4Array([2 ** 31])],
    ['int4 with a fraction', () => int4Array([1.5])],
    ['int8 above 2^53', () => int8Array([2 ** 53])],
    ['int8 bigint out of range', () => int8Array([2n ** 63n])],
    ['numeric with a fraction', () => numericArray([1.5])],
    ['timestamptz with a fraction', () => timestamptzArray([0.5])],
    ['NaN', () => int8Array([Number.NaN])],
    ['uuid too short', () => uuidArray(['0190'])],
    ['uuid without hyphens in place', () => uuidArray(['0190-0000000000000000000000000000000'])],
    ['uuid with another letter', () => uuidArray(['0190000g-0000-7000-8000-000000000000'])],
    ['uuid beyond ASCII', () => uuidArray(['0190000é-0000-7000-8000-000000000000'])],
    ['a day that the month has not', () => dateArray(['2025-02-29'])],
    ['the year 0', () => dateArray(['0000-01-01'])],
    ['month 13', () => dateArray(['2026-13-01'])],
    ['a date with a time', () => dateArray(['2026-01-01T00:00'])],
  ])('refuses %s, and encodes the next array right', async (_, encode) => {
    expect(encode).toThrow(/not a|out of range|UUID|date|not whole|not an/i);
    await expect(printed('int4', int4Array([7]))).resolves.toEqual(['7']);
  });
});
