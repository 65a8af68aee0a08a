import type { OpenAPIObject } from '@nestjs/swagger';
import * as fc from 'fast-check';
import { Refusals } from '#domain';
import { OpenAccountBody, openAccount } from './accounts.dto';
import { previewDocument } from './app.module';
import { DefineFiscalYearBody, defineFiscalYear, OpenBookBody, openBook } from './books.dto';
import { CompiledBodies } from './compiled-bodies';
import { BatchBody, CorrectBody, correctEntry, EntryBody, postEntries, postEntry, ReverseBody, reverseEntry } from './journal-entries.dto';
import { validate } from './members';

interface Schema {
  readonly $ref?: string;
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly type?: string;
  readonly format?: string;
  readonly enum?: readonly string[];
  readonly items?: Schema;
  readonly properties?: Record<string, Schema>;
  readonly required?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly example?: unknown;
}

let document: OpenAPIObject;
let bodies: CompiledBodies;

beforeAll(async () => {
  document = await previewDocument();
  bodies = new CompiledBodies();
  bodies.load(document);
});

function schemaOf($ref: string): Schema {
  const schemas = document.components?.schemas as Record<string, Schema>;
  return schemas[$ref.replace('#/components/schemas/', '')] as Schema;
}

/** Values that are wrong somewhere, and some that only look so. */
const odd = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    0,
    1,
    -1,
    1.5,
    2 ** 53,
    '',
    ' ',
    'a',
    '0',
    '-0',
    '1.',
    '.5',
    '1e3',
    '00.1',
    '2026-02-29',
    '2026-2-1',
    '\u0001',
    '\t',
    'a\nb',
    'é',
    'e\u0301',
  ),
  fc.constantFrom<unknown>(
    [],
    [[]],
    [null],
    {},
    { a: 1 },
    true,
    false,
    'x'.repeat(121),
    '😀'.repeat(120),
    '\u0958'.repeat(100),
    ' x',
    'x ',
    '9'.repeat(90),
  ),
  fc.string({ unit: 'binary', maxLength: 5 }).filter((text) => text.isWellFormed()),
  fc.jsonValue({ maxDepth: 3 }),
);

const byFormat: Record<string, fc.Arbitrary<string>> = {
  amount: fc.constantFrom('0', '1', '100.00', '0.001', '12345678901234567890.5'),
  'signed-amount': fc.constantFrom('0', '-1.5', '-0', '10'),
  'calendar-date': fc.constantFrom('2026-01-31', '1900-01-01', '2199-12-31', '2024-02-29'),
  instant: fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-01T00:00:00.123456+01:00'),
  'time-zone': fc.constantFrom('UTC', 'Europe/Berlin'),
  'month-day': fc.constantFrom('01-01', '12-31'),
  'account-code': fc.constantFrom('Assets:Cash', '1010', 'Ä/ß', 'e\u0301', '漢'),
  currency: fc.constantFrom('EUR', 'X.1-2_3'),
  'book-id': fc.constantFrom('a', 'b-2'),
  'journal-code': fc.constantFrom('GENERAL', 'A_1'),
  'fiscal-year': fc.constantFrom('2026', '2025-26'),
  country: fc.constantFrom('DE', 'CH'),
  token: fc.constantFrom('cash', 'a_1'),
  sha256: fc.constant('0f'.repeat(32)),
  uuid: fc.constantFrom('0198c0de-0000-7000-8000-000000000001', '0198C0DE-0000-7000-8000-00000000000A'),
};

/** Mostly right values of a schema. @param noise of a hundred, how many are odd */
function bodyOf(schema: Schema, noise: number): fc.Arbitrary<unknown> {
  const right = rightBodyOf(schema, noise);
  return noise === 0 ? right : fc.oneof({ weight: 100 - noise, arbitrary: right }, { weight: noise, arbitrary: odd });
}

function rightBodyOf(schema: Schema, noise: number): fc.Arbitrary<unknown> {
  if (schema.$ref !== undefined) return bodyOf(schemaOf(schema.$ref), noise);
  if (schema.allOf !== undefined) return bodyOf(schema.allOf[0] as Schema, noise);
  if (schema.oneOf !== undefined) return fc.oneof(...schema.oneOf.map((one) => bodyOf(one, noise)));
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (schema.type === 'boolean') return fc.boolean();
  if (schema.type === 'integer') return fc.integer({ min: schema.minimum ?? 0, max: Math.min(schema.maximum ?? 100, 1_000) });
  if (schema.type === 'array') return fc.array(bodyOf(schema.items as Schema, noise), { maxLength: 3 });
  if (schema.type === 'string')
    return (
      byFormat[schema.format ?? ''] ??
      fc.constantFrom('a text', 'Übergröße', 'x', ...(typeof schema.example === 'string' ? [schema.example] : []))
    );
  if (schema.properties === undefined)
    return fc.dictionary(fc.string({ maxLength: 3 }), fc.oneof(fc.string({ maxLength: 3 }), fc.boolean(), fc.integer()), { maxKeys: 3 });
  const members = Object.fromEntries(Object.entries(schema.properties).map(([name, member]) => [name, bodyOf(member, noise)]));
  const requiredKeys = noise === 0 ? (schema.required ?? []) : (schema.required ?? []).filter((name) => name.length % 2 === 0);
  const known = fc.record(members, { requiredKeys: requiredKeys as never[] });
  if (noise === 0) return known;
  const extra = fc.oneof(
    { weight: 30, arbitrary: fc.constant({}) },
    { weight: 1, arbitrary: fc.dictionary(fc.constantFrom('x', 'validate', 'type', 'length'), odd, { maxKeys: 1 }) },
  );
  return fc.tuple(known, extra).map(([body, more]) => ({ ...body, ...more }));
}

function refusalOf(type: new () => object, body: object): string | undefined {
  const refusals = new Refusals();
  validate(type, body, refusals);
  try {
    refusals.throwFirst();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) for (const member of Object.values(Object.freeze(value))) frozen(member);
  return value;
}

type BodyClass = new () => object;
const commands: readonly [BodyClass, (body: never) => object][] = [
  [EntryBody, postEntry],
  [BatchBody, postEntries],
  [CorrectBody, (body: CorrectBody) => correctEntry(body, 'id')],
  [ReverseBody, (body: ReverseBody) => reverseEntry(body, 'id')],
  [OpenBookBody, openBook],
  [OpenAccountBody, openAccount],
  [DefineFiscalYearBody, defineFiscalYear],
];

describe.each(commands.map(([type, command]) => ({ name: type.name, type, command })))('$name', ({ type, command }) => {
  it('passes the compiled schema only where class-validator has nothing against it, and is the same command either way', () => {
    let passed = 0;
    fc.assert(
      fc.property(fc.oneof(...[0, 1, 3, 15].map((noise) => bodyOf(schemaOf(type.name), noise))), (given) => {
        fc.pre(typeof given === 'object' && given !== null && !Array.isArray(given));
        // As it would have come: no undefined members, no shared objects.
        const body = frozen(JSON.parse(JSON.stringify(given)) as object);
        if (!bodies.pass(type, body)) return;
        passed++;
        const before = JSON.stringify(command(body as never));
        expect(refusalOf(type, body)).toBeUndefined();
        expect(JSON.stringify(command(body as never))).toBe(before);
      }),
      { numRuns: 500 },
    );
    expect(passed).toBeGreaterThan(60);
  });

  it('passes it whenever it is right and in no unusual form', () => {
    fc.assert(
      fc.property(bodyOf(schemaOf(type.name), 0), (given) => {
        const body = JSON.parse(JSON.stringify(given)) as object;
        expect([refusalOf(type, body), bodies.pass(type, body)]).toEqual([undefined, true]);
      }),
      { numRuns: 150 },
    );
  });
});

it('knows every format and keyword of every body', () => {
  const names = Object.values(document.paths).flatMap(
    ({ post }) => /"#\/components\/schemas\/([^"]+)"/.exec(JSON.stringify(post?.requestBody) ?? '')?.[1] ?? [],
  );
  expect(names.length).toBeGreaterThan(12);
  for (const name of names) expect(bodies.pass({ name } as never, 5)).toBe(false);
});

it('costs a small part of class-validator', () => {
  const line = (account: string, side: string) => ({ account, side, amount: '100.00', currency: 'EUR' });
  const entry = {
    effectiveDate: '2026-03-01',
    description: 'Sale of goods, invoice 42',
    lines: [line('Assets:Cash', 'debit'), line('Income:Sales', 'credit')],
  };
  const figures = [
    ['an entry of 2 lines', EntryBody, entry, 500],
    ['an entry of 100 lines', EntryBody, { ...entry, lines: Array.from({ length: 50 }, () => entry.lines).flat() }, 20],
    ['a batch of 100 entries', BatchBody, { atomic: false, entries: Array(100).fill(entry) }, 10],
  ] as const;
  for (const [what, type, body, runs] of figures) {
    const microseconds = (work: () => unknown): number => {
      const rounds = Array.from({ length: 5 }, () => {
        const started = process.cpuUsage();
        for (let run = 0; run < runs; run++) work();
        const { user } = process.cpuUsage(started);
        return user / runs;
      });
      return rounds.sort((a, b) => a - b)[2] as number;
    };
    const validator = microseconds(() => validate(type, body, new Refusals()));
    const compiled = microseconds(() => bodies.pass(type, body));
    process.stdout.write(`${what}: class-validator ${validator.toFixed(1)} µs, compiled ${compiled.toFixed(1)} µs\n`);
    expect(compiled * 3).toBeLessThan(validator);
  }
});
