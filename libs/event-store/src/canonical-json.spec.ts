/** Canonical JSON: RFC 8785 by its own examples, and against the implementation that the RFC names for JavaScript. */
import canonicalize from 'canonicalize';
import * as fc from 'fast-check';
import { canonicalJson } from './canonical-json';

/** Keys that objects order by number, keys that sort differently as UTF-16 than as code points, keys of Object.prototype. */
const aKey = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 6 }),
  fc.nat(120).map(String),
  fc.constantFrom('', '__proto__', 'constructor', 'toString', 'toJSON', '\u{1F600}', '\uFB33', '\u20AC', '"', '\\', '\u2028', '\u0000'),
);
/** What is escaped in JSON, or might be thought to be. */
const special = [...'"\\/\u2028\u2029', ...Array.from({ length: 0xa0 }, (_, code) => String.fromCharCode(code))];
const aText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.array(fc.constantFrom(...special), { maxLength: 8 }).map((all) => all.join('')),
);
const anInteger = fc.oneof(fc.maxSafeInteger(), fc.constantFrom(0, -0, 1e21, 1e-7, 2 ** 53));
/** JSON values whose objects have their members in the order in which they were put in. */
const { value: anyJson } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    aText,
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    anInteger,
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.array(fc.tuple(aKey, tie('value')), { maxLength: 6 }).map((members) => {
      // By way of text, so that __proto__ becomes a member and not a prototype, as JSON.parse has it.
      const last = new Map(members);
      return JSON.parse(`{${[...last].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`) as unknown;
    }),
  ),
}));

describe('canonical JSON', () => {
  it('is what the reference implementation prints, for any JSON', () => {
    fc.assert(
      fc.property(anyJson, (value) => {
        expect(canonicalJson(value)).toBe(canonicalize(value));
      }),
      { numRuns: 1_500 },
    );
  });

  it('is the same whatever order the members came in, and means the same as what it was made from', () => {
    const shuffled = (value: unknown, turn: number): unknown => {
      if (Array.isArray(value)) return value.map((item) => shuffled(item, turn));
      if (typeof value !== 'object' || value === null) return value;
      const members = Object.entries(value).map(([key, member]) => [key, shuffled(member, turn)] as const);
      const turned = [...members.slice(turn % (members.length + 1)), ...members.slice(0, turn % (members.length + 1))].reverse();
      return JSON.parse(`{${turned.map(([key, member]) => `${JSON.stringify(key)}:${JSON.stringify(member)}`).join(',')}}`);
    };
    fc.assert(
      fc.property(anyJson, fc.nat(5), (value, turn) => {
        const text = canonicalJson(value);
        expect(canonicalJson(shuffled(value, turn))).toBe(text);
        expect(canonicalJson(JSON.parse(text))).toBe(text);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
      { numRuns: 500 },
    );
  });

  it('prints the example of RFC 8785 section 3.2.2', () => {
    const value = JSON.parse(
      String.raw`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
        "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`,
    );
    expect(canonicalJson(value)).toBe(
      String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    );
  });

  it('sorts members by UTF-16 code units (RFC 8785 section 3.2.3)', () => {
    const value = {
      '\u20ac': 'Euro Sign',
      '\r': 'Carriage Return',
      '\ufb33': 'Hebrew Letter Dalet With Dagesh',
      '1': 'One',
      '\ud83d\ude00': 'Emoji: Grinning Face',
      '\u0080': 'Control',
      '\u00f6': 'Latin Small Letter O With Diaeresis',
    };
    expect(Object.values(JSON.parse(canonicalJson(Object.entries(value))) as [string, string][])).toHaveLength(7);
    const order = [...canonicalJson(value).matchAll(/:"([^"]+)"/g)].map(([, text]) => text);
    expect(order).toEqual([
      'Carriage Return',
      'One',
      'Control',
      'Latin Small Letter O With Diaeresis',
      'Euro Sign',
      'Emoji: Grinning Face',
      'Hebrew Letter Dalet With Dagesh',
    ]);
  });

  it('sorts keys that look like integers as text', () => {
    expect(canonicalJson({ 2: 'b', 10: 'a', 1: 'c' })).toBe('{"1":"c","10":"a","2":"b"}');
  });

  // RFC 8785 appendix B: IEEE 754 bits and how they are printed
  it.each([
    ['0000000000000000', '0'],
    ['8000000000000000', '0'],
    ['0000000000000001', '5e-324'],
    ['8000000000000001', '-5e-324'],
    ['7fefffffffffffff', '1.7976931348623157e+308'],
    ['ffefffffffffffff', '-1.7976931348623157e+308'],
    ['4340000000000000', '9007199254740992'],
    ['c340000000000000', '-9007199254740992'],
    ['4430000000000000', '295147905179352830000'],
    ['44b52d02c7e14af5', '9.999999999999997e+22'],
    ['44b52d02c7e14af6', '1e+23'],
    ['44b52d02c7e14af7', '1.0000000000000001e+23'],
    ['444b1ae4d6e2ef4e', '999999999999999700000'],
    ['444b1ae4d6e2ef4f', '999999999999999900000'],
    ['444b1ae4d6e2ef50', '1e+21'],
    ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
    ['3eb0c6f7a0b5ed8d', '0.000001'],
    ['41b3de4355555553', '333333333.3333332'],
    ['41b3de4355555554', '333333333.33333325'],
    ['41b3de4355555555', '333333333.3333333'],
    ['41b3de4355555556', '333333333.3333334'],
    ['41b3de4355555557', '333333333.33333343'],
    ['becbf647612f3696', '-0.0000033333333333333333'],
    ['43143ff3c1cb0959', '1424953923781206.2'],
  ])('prints the number %s as %s', (bits, text) => {
    const value = Buffer.from(bits, 'hex').readDoubleBE();
    expect(canonicalJson(value)).toBe(text);
    expect(canonicalJson([{ b: 1, a: value }])).toBe(`[{"a":${text},"b":1}]`);
  });

  it('leaves out members that are undefined', () => {
    expect(canonicalJson({ a: undefined, b: 1, c: undefined })).toBe('{"b":1}');
    expect(canonicalJson({ c: undefined, b: { z: undefined }, a: 1 })).toBe('{"a":1,"b":{}}');
  });
});

describe('what JSON cannot hold has no canonical form', () => {
  /** Inside objects whose members are in order, and in those that have to be sorted: two ways through the code. */
  const everywhere = (value: unknown) => [value, [value], { a: value }, { b: 1, a: value }, { b: 1, a: [{ d: 1, c: value }] }];

  it.each<[string, unknown]>([
    ['NaN', Number.NaN],
    ['an infinity', Number.POSITIVE_INFINITY],
    ['a bigint', 1n],
    ['a function', () => 1],
    ['a symbol', Symbol('x')],
    ['a lone high surrogate', '\ud800'],
    ['a lone low surrogate', 'a\udfffb'],
    ['surrogates in the wrong order', '\udc00\ud800'],
    ['undefined in an array', [undefined]],
    // biome-ignore lint/suspicious/noSparseArray: that is what is refused
    ['a hole in an array', [1, , 2]],
  ])('%s', (_, value) => {
    for (const place of everywhere(value)) expect(() => canonicalJson(place)).toThrow(TypeError);
  });

  it('a key with a lone surrogate', () => {
    for (const place of everywhere({ 'x\ud83d': 1 })) expect(() => canonicalJson(place)).toThrow(TypeError);
  });

  it('an object that would print itself as something else', () => {
    for (const place of everywhere({ toJSON: () => 1 })) expect(() => canonicalJson(place)).toThrow(TypeError);
  });
});
