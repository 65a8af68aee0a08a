import * as fc from 'fast-check';
import { LedgerError } from '#domain';
import { depthMax, emptyBody, firstDuplicate, type JsonBody, outline, readJson } from './strict-json';

const read = (text: string): JsonBody => readJson(Buffer.from(text, 'utf8'));

function refusal(work: () => JsonBody): LedgerError {
  try {
    const { finding } = work();
    if (finding !== undefined) return finding;
  } catch (error) {
    if (error instanceof LedgerError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

/** JSON text of a value in which any object may hold a name twice: members are pairs. */
type Node =
  | string
  | number
  | boolean
  | null
  | { readonly list: readonly Node[] }
  | { readonly pairs: readonly (readonly [string, Node])[] };

function textOf(node: Node): string {
  if (typeof node !== 'object' || node === null) return JSON.stringify(node);
  if ('list' in node) return `[${node.list.map(textOf).join(' , ')}]`;
  return `{${node.pairs.map(([name, value]) => `${JSON.stringify(name)} : ${textOf(value)}`).join(',')}}`;
}

/** Paths of names that stand twice, by looking at each object; the slow and obvious way. */
function duplicates(node: Node, path: readonly string[]): string[] {
  if (typeof node !== 'object' || node === null) return [];
  if ('list' in node) return node.list.flatMap((element, index) => duplicates(element, [...path, String(index)]));
  const own = node.pairs
    .filter(([name], index) => node.pairs.findIndex(([other]) => other === name) < index)
    .map(([name]) => [...path, name].join('.'));
  return [...own, ...node.pairs.flatMap(([name, value]) => duplicates(value, [...path, name]))];
}

const name = fc.oneof(
  fc.constantFrom('a', 'b', '"', ':', '{', '\\', 'ä'),
  fc.string({ maxLength: 3 }).filter((text) => text !== '__proto__' && !text.includes('\0')),
);
const { node } = fc.letrec<{ node: Node }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null)),
    fc.record({ list: fc.array(tie('node'), { maxLength: 4 }) }),
    fc.record({ pairs: fc.array(fc.tuple(name, tie('node')), { maxLength: 5 }) }),
  ),
}));
const body = fc.record({ pairs: fc.array(fc.tuple(name, node), { maxLength: 5 }) });

describe('numbers', () => {
  it.each([
    ['9007199254740990.6', true],
    ['1.00000000000000000001', true],
    ['1e400', true],
    ['-1e400', true],
    ['9007199254740993', true],
    ['2251799813685248.5', false], // stays a fraction, which every check refuses
    ['4503599627370497.5', true],
    ['123456789012345678901234567890', true],
    ['0.1', false],
    ['1e-400', true],
    ['9007199254740991', false],
    ['-9007199254740991', false],
    ['1.0', false],
    ['10e-1', false],
    ['1e3', false],
    ['0', false],
    ['-0', false],
    ['0e999999999', false],
    ['1e99999999999999999999', true],
    [`1${'0'.repeat(100)}e-100`, false],
  ])('%s is rounded by JSON.parse: %s', (token, rounded) => {
    const text = `{"a": 1, "list": [true, {"x\\"": "9e999", "b" : ${token} }], "z": 2}`;
    const { finding } = read(text);
    expect([finding?.code, finding?.details.member]).toEqual(rounded ? ['malformed', 'list.1.b'] : [undefined, undefined]);
    if (rounded) expect(finding?.message).toContain(token.slice(0, 40));
  });
});

describe('a number of a million digits', () => {
  it.each([
    ['zeros inside', `1${'0'.repeat(1_000_000)}1`],
    ['decimals', `0.${'0'.repeat(1_000_000)}1`],
    ['zeros before the last decimal', `1.${'0'.repeat(1_000_000)}1`],
    ['an exponent', `1e${'9'.repeat(1_000_000)}`],
  ])('is refused as soon as it is read: %s', (_what, token) => {
    expect(refusal(() => read(`{"a":${token}}`)).details.member).toBe('a');
  });
});

describe('strict JSON', () => {
  it('finds a name that stands twice exactly where a naive search finds one', () => {
    fc.assert(
      fc.property(body, (given) => {
        const text = textOf(given);
        fc.pre(outline(text).depth <= depthMax);
        const expected = duplicates(given, []);
        const found = firstDuplicate(text);
        if (expected.length === 0) {
          expect(found).toBeUndefined();
          expect(read(text).value).toEqual(JSON.parse(text));
          return;
        }
        expect(expected).toContain(found);
        expect(refusal(() => read(text))).toMatchObject({ code: 'malformed', details: { member: found } });
      }),
      { numRuns: 2_000 },
    );
  });

  it('counts members and levels outside of texts only', () => {
    expect(outline('{"a:{[":"\\\\\\":[{","b":[[1],{"c":{}}]}')).toEqual({ members: 3, depth: 4 });
  });

  it.each<[string, string | Buffer, object]>([
    ['text that is no JSON', '{"a":', { code: 'malformed' }],
    ['a comment', '{"a":1} // one', { code: 'malformed' }],
    ['a byte order mark', '\ufeff{}', { code: 'malformed' }],
    [
      'bytes that are not UTF-8',
      Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
      { code: 'malformed', message: 'the body is not UTF-8' },
    ],
    ['a surrogate encoded as UTF-8', Buffer.from([0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x3a, 0x31, 0x7d]), { code: 'malformed' }],
    ['a list', '[]', { code: 'malformed', message: 'the body is not a JSON object' }],
    ['null', 'null', { code: 'malformed' }],
    [
      'a name that stands twice',
      '{"lines":[{"amount":"1"},{"amount":"1","amount":"2"}]}',
      { code: 'malformed', details: { member: 'lines.1.amount' } },
    ],
    ['a name twice, once escaped', '{"amount":1,"\\u0061mount":2}', { code: 'malformed', details: { member: 'amount' } }],
    ['__proto__', '{"metadata":{"__proto__":{"a":1}}}', { code: 'malformed', details: { member: 'metadata.__proto__' } }],
    ['__proto__, escaped', '{"\\u005f_proto__":1}', { code: 'malformed', details: { member: '__proto__' } }],
    ['constructor', '{"a":[{"constructor":1}]}', { code: 'unknown_member', details: { member: 'a.0.constructor' } }],
    ['hasOwnProperty', '{"hasOwnProperty":1}', { code: 'unknown_member', details: { member: 'hasOwnProperty' } }],
    ['U+0000', '{"a":{"b":"x\\u0000"}}', { code: 'text_invalid', details: { member: 'a.b' } }],
    ['U+0000 in a name', '{"a":{"b\\u0000":1}}', { code: 'text_invalid', details: { member: 'a.b␀' } }],
    ['half a pair', '{"a":["x","\\ud83d"]}', { code: 'text_invalid', details: { member: 'a.1' } }],
    ['the other half', '{"a":"\\ude00\\ud83d"}', { code: 'text_invalid', details: { member: 'a' } }],
    ['too many levels', `{"a":${'['.repeat(depthMax)}${']'.repeat(depthMax)}}`, { code: 'too_large', details: { limit: depthMax } }],
    ['a million levels', `{"a":${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}}`, { code: 'too_large' }],
    ['a million levels that do not end', '['.repeat(1_000_000), { code: 'malformed' }],
  ])('refuses %s', (_what, text, expected) => {
    expect(refusal(() => readJson(Buffer.from(text)))).toMatchObject(expected);
  });

  it('takes what is whole: pairs of surrogates, escapes, names of one object again in another, inherited names in metadata', () => {
    const text = '{"a":"\\ud83d\\ude00 \\u00e4","b":{"a":1},"metadata":{"constructor":1,"toString":{"valueOf":2}}}';
    expect(read(text)).toEqual({ value: JSON.parse(text), bytes: Buffer.byteLength(text) });
    expect(readJson(Buffer.alloc(0))).toBe(emptyBody);
  });

  it('cuts long names of the caller in what it tells', () => {
    const { details } = refusal(() => read(`{"${'x'.repeat(5_000)}":1,"${'x'.repeat(5_000)}":2}`));
    expect(String(details.member).length).toBeLessThan(110);
  });
});
