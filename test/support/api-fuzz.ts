/**
 * Requests made from an OpenAPI document: for each operation a right one from the document's examples, and everything that
 * can be put in the place of one of its parts. Hides schemas and references; knows no endpoint and no member by name, so that
 * what is added to the API is fuzzed without a change here. Values are JSON texts and not JavaScript's, since half of what
 * goes wrong (a name given twice, half a surrogate pair, 1e400) cannot be said in JavaScript's.
 */
import type { OpenAPIObject } from '@nestjs/swagger';
import type { Random } from './histories';

interface Schema {
  readonly $ref?: string;
  readonly allOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly type?: string;
  readonly format?: string;
  readonly enum?: readonly unknown[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly minimum?: number;
  readonly example?: unknown;
  readonly default?: unknown;
}

interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required?: boolean;
  readonly example?: unknown;
  readonly schema: Schema;
}

interface DocumentedOperation {
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: Readonly<Record<string, unknown>>;
  readonly security?: readonly unknown[];
}

/** A place in a JSON value. */
export type Path = readonly (string | number)[];

export interface Operation {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  /** Names in braces of the path. */
  readonly inPath: readonly string[];
  /** Those of them that the document does not describe. */
  readonly undescribed: readonly string[];
  readonly parameters: readonly Parameter[];
  /** Statuses that the document tells of. */
  readonly statuses: ReadonlySet<number>;
  /** Needs no API key. */
  readonly open: boolean;
  /** A body with its required members only, and one with all; undefined where the operation takes none. */
  readonly bodies?: readonly [least: unknown, full: unknown];
}

/** The operations of a document, those that change something first: what they make is there for the others to find. */
export function operationsOf(document: OpenAPIObject): Operation[] {
  const schemas = (document.components?.schemas ?? {}) as Record<string, Schema>;
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods as unknown as Record<string, DocumentedOperation>).map(([method, described]): Operation => {
      const parameters = described.parameters ?? [];
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name as string);
      const schema = described.requestBody?.content['application/json']?.schema;
      return {
        name: `${method.toUpperCase()} ${path}`,
        method: method.toUpperCase(),
        path,
        inPath,
        undescribed: inPath.filter((name) => !parameters.some((known) => known.in === 'path' && known.name === name)),
        parameters,
        statuses: new Set(Object.keys(described.responses).map(Number)),
        open: described.security?.length === 0,
        ...(schema === undefined ? {} : { bodies: [sample(schema, schemas, false), sample(schema, schemas, true)] as const }),
      };
    }),
  );
  return [...operations.filter(({ bodies }) => bodies !== undefined), ...operations.filter(({ bodies }) => bodies === undefined)];
}

/** Where an object may have any members. */
const anyObject = { note: 'a text', count: 1, inside: { list: [true] } };

/** Whether a place lies in an object that may have any members. */
export function isFree(value: unknown, path: Path): boolean {
  return path.some((_, length) => JSON.stringify(valueAt(value, path.slice(0, length))) === JSON.stringify(anyObject));
}

/** For texts without an example. */
const byFormat: Readonly<Record<string, string>> = {
  'calendar-date': '2026-01-15',
  instant: '2026-01-15T09:30:00Z',
  amount: '100.00',
  'signed-amount': '-100.00',
  uuid: '0198c0de-0000-7000-8000-000000000002',
};

/**
 * A value as a schema describes it.
 * @param turn the place in a list: elements take one value of an enumeration after the other, as two lines do that balance
 */
function sample(schema: Schema, schemas: Readonly<Record<string, Schema>>, all: boolean, turn = 0): unknown {
  const { $ref, allOf, oneOf, enum: values, example, default: usual, type, items, properties, required, format, minimum } = schema;
  if ($ref !== undefined) return sample(schemas[$ref.replace('#/components/schemas/', '')] as Schema, schemas, all, turn);
  if (allOf?.[0] !== undefined) return sample(allOf[0], schemas, all, turn);
  if (oneOf?.[0] !== undefined && example === undefined) return sample(oneOf[0], schemas, all, turn);
  if (values !== undefined) return values[(Math.max(0, values.indexOf(example ?? usual)) + turn) % values.length];
  if (example !== undefined) return example;
  if (usual !== undefined) return usual;
  if (type === 'array') return items === undefined ? [] : [sample(items, schemas, all, 0), sample(items, schemas, all, 1)];
  if (properties !== undefined) {
    const names = Object.keys(properties).filter((name) => all || required?.includes(name));
    return Object.fromEntries(names.map((name) => [name, sample(properties[name] as Schema, schemas, all, turn)]));
  }
  if (type === 'object') return anyObject;
  if (type === 'integer') return minimum ?? 1;
  if (type === 'boolean') return true;
  return byFormat[format ?? ''] ?? 'x';
}

/** The value that an operation's parameter may have. */
export const sampleOf = ({ example, schema }: Parameter): unknown => example ?? sample(schema, {}, true);

/** Every place in a value, of lists the first element; the whole itself is not among them. */
export function placesIn(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [];
  const members: [string | number, unknown][] = Array.isArray(value) ? value.slice(0, 1).map((first) => [0, first]) : Object.entries(value);
  return members.flatMap(([name, member]) => [[...path, name], ...placesIn(member, [...path, name])]);
}

export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((part, name) => (part as Record<string | number, unknown>)[name], value);
}

const marker = '@here@';

/** The JSON text of a value in which another text stands at a place. */
export function replaced(value: unknown, path: Path, text: string): string {
  const copy = structuredClone(value);
  const parent = valueAt(copy, path.slice(0, -1)) as Record<string | number, unknown>;
  parent[path.at(-1) as string] = marker;
  return JSON.stringify(copy).replace(JSON.stringify(marker), () => text);
}

/** The JSON text of a value without a member (of a list, without its elements). */
export function without(value: unknown, path: Path): string {
  const copy = structuredClone(value);
  const parent = valueAt(copy, path.slice(0, -1));
  if (Array.isArray(parent)) parent.length = 0;
  else delete (parent as Record<string, unknown>)[path.at(-1) as string];
  return JSON.stringify(copy);
}

/** What may be put in the place of any value. */
export const oddTexts: readonly string[] = [
  // amounts and numbers
  ...[
    '"0"',
    '"0.00"',
    '"-1"',
    '"+1"',
    '"1e3"',
    '" 1"',
    '"1 "',
    '"٣"',
    '"１"',
    '"1,5"',
    '"1."',
    '".5"',
    '"01"',
    '"0x10"',
    '"NaN"',
    '"1.005"',
  ],
  ...[`"${'9'.repeat(30)}"`, `"${'9'.repeat(31)}"`, `"${'9'.repeat(38)}"`, `"${'9'.repeat(38)}.99"`, `"${'9'.repeat(100)}"`],
  ...[`"0.${'0'.repeat(17)}1"`, `"0.${'0'.repeat(40)}1"`, '"1.0000000000000000000"'],
  ...[
    '0',
    '-0',
    '-1',
    '1.5',
    '1e3',
    '1e400',
    '-1e400',
    '1e-400',
    '9007199254740993',
    '9007199254740990.6',
    '123456789012345678901234567890',
  ],
  // dates and instants
  ...['"2026-02-29"', '"2026-02-30"', '"2026-13-01"', '"2026-00-10"', '"2026-1-1"', '"0000-00-00"', '"1899-12-31"', '"1900-01-01"'],
  ...['"2199-12-31"', '"2200-01-01"', '"9999-12-31"', '"99999-01-01"', '"2026-01-01T00:00:00Z"', '"2026-06-31T25:61:61Z"', '"today"'],
  // texts
  ...[
    '""',
    '" "',
    '"\\t"',
    '"\\n"',
    '"\\u0000"',
    '"a\\u0000b"',
    '"\\ud800"',
    '"a\\udc00"',
    '"\\ufeffx"',
    '"\\u200b"',
    '"a\\u202eb"',
    '"\\u007f"',
  ],
  ...['"\\uffff"', '"e\\u0301"', '"😀"', '"..%2F"', '"%00"', '"\'; DROP TABLE log.events; --"', '"$1"', '"{}"', '"null"', '"__proto__"'],
  ...['"constructor"', `"${'x'.repeat(5_000)}"`, `"${'\\u0300'.repeat(200)}"`, '"XXX"', '"ZZZ"', '"JPY"', '"eur"'],
  // of another kind
  ...['null', 'true', 'false', '[]', '{}', '[[]]', '[null]', '[{}]', '{"a":1}', '["x"]', '[1]', '{"__proto__":{}}', '{"":0}', '{"a":null}'],
  `${'['.repeat(31)}${']'.repeat(31)}`,
  `${'{"a":'.repeat(31)}1${'}'.repeat(31)}`,
];

/** What may be sent as a body, whatever the operation takes. */
export const oddBodies: readonly (readonly [what: string, body: string | Buffer])[] = [
  ['a blank', ' '],
  ['null', 'null'],
  ['a list', '[]'],
  ['a list of objects', '[{}]'],
  ['a text', '"x"'],
  ['a number', '1'],
  ['true', 'true'],
  ['half an object', '{"a":'],
  ['two objects', '{}{}'],
  ['a comma too many', '{"a":1,}'],
  ['single quotes', "{'a':1}"],
  ['a comment', '{/* */}'],
  ['NaN', '{"a":NaN}'],
  ['a byte order mark', '\ufeff{}'],
  ['invalid UTF-8', Buffer.from('{"a":"\xff\xfe"}', 'latin1')],
  ['half a surrogate pair in UTF-8', Buffer.from('{"a":"\xed\xa0\x80"}', 'latin1')],
  ['an overlong NUL', Buffer.from('{"a":"\xc0\x80"}', 'latin1')],
  ['UTF-16', Buffer.from('{"a":1}', 'utf16le')],
  ['NUL bytes', Buffer.alloc(100)],
  ['a bare NUL in a text', '{"a":"\0"}'],
  ['a name twice', '{"a":1,"a":2}'],
  ['a name twice in other letters', '{"a":1,"\\u0061":2}'],
  ['a name of half a surrogate pair', '{"\\ud800":1}'],
  ['__proto__', '{"__proto__":{"admin":true}}'],
  ['constructor', '{"constructor":{"prototype":{"admin":true}}}'],
  ['an empty name', '{"":1}'],
  ['10 MB of text', `{"a":"${'x'.repeat(10_000_000)}"}`],
  ['10 MB of blanks', `{${' '.repeat(10_000_000)}}`],
  ['10 MB of zeros', `{"a":[${'0,'.repeat(5_000_000)}0]}`],
  ['10 MB of members', `{${Array.from({ length: 800_000 }, (_, index) => `"m${index}":0`).join()}}`],
  ['100,000 lists in each other', `${'['.repeat(100_000)}${']'.repeat(100_000)}`],
  ['100,000 objects in each other', `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`],
  ['100,000 open lists', '['.repeat(100_000)],
  ['a number of 100,000 digits', `{"a":${'9'.repeat(100_000)}}`],
  ['100,000 backslashes', `{"a":"${'\\\\'.repeat(50_000)}"}`],
];

/** What may stand in a path or query, encoded already. */
export const oddSegments: readonly string[] = [
  ...[
    '%20',
    '%00',
    'a%00b',
    '%ff',
    '%c0%80',
    '%ed%a0%80',
    '%',
    '%zz',
    '%2F',
    '..',
    '%2e%2e',
    '%2e%2e%2f%2e%2e%2fetc%2fpasswd',
    '.',
    '~system',
  ],
  ...[
    'a;b',
    'a+b',
    '%E2%80%AE',
    '%EF%BB%BF',
    'e%CC%81',
    '%F0%9F%98%80',
    "'%20OR%201=1",
    '{}',
    '[]',
    'null',
    'undefined',
    '-1',
    '0',
    '1e3',
    '1.5',
  ],
  ...[
    '99999999999999999999',
    '9007199254740993',
    '2026-02-30',
    '2199-12-31',
    '9999-12-31T00:00:00Z',
    '1970-01-01T00:00:00Z',
    'constructor',
    '__proto__',
  ],
  ...['x'.repeat(1_500), '%C3%A9'.repeat(240), '0198c0de-0000-7000-8000-000000000002', 'XXXXXXXX-0000-7000-8000-000000000002'],
];

/** `count` of a list, each once; all of them in their order when there are no more. */
export function someOf<T>(list: readonly T[], count: number, chance: Random): readonly T[] {
  if (list.length <= count) return list;
  const left = [...list];
  return Array.from({ length: count }, () => left.splice(chance.below(left.length), 1)[0] as T);
}
