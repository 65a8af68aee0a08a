/**
 * What can be changed about the body of a request, made from its schema in the OpenAPI document: bodies that mean the same in
 * other bytes, and bodies that differ in one place each (every leaf, every optional member left out, every element of a list
 * removed, added or moved). Guarantees that a variant is well-formed as far as the schema tells, so that what refuses it is
 * not its form.
 */

export interface Schema {
  readonly $ref?: string;
  readonly allOf?: readonly Schema[];
  /** A text, or an object in its place. */
  readonly oneOf?: readonly Schema[];
  readonly type?: string;
  readonly format?: string;
  readonly enum?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly additionalProperties?: unknown;
  readonly maximum?: number;
}

export interface ApiDocument {
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
  readonly paths: Readonly<
    Record<string, { readonly post?: { readonly requestBody?: { readonly content: Record<string, { schema: Schema }> } } }>
  >;
}

/** A body that differs in one place. */
export interface Variant {
  /** What was done, for the name of a failing test. */
  readonly what: string;
  /** Path of the place: `lines.0.amount`. */
  readonly path: string;
  readonly body: Json;
}

export type Json = string | number | boolean | readonly Json[] | { readonly [member: string]: Json };
type JsonObject = { readonly [member: string]: Json };

const isObject = (value: Json | undefined): value is JsonObject => typeof value === 'object' && !Array.isArray(value);
const join = (path: string, member: string | number): string => (path === '' ? String(member) : `${path}.${member}`);

export class BodyVariants {
  constructor(private readonly document: ApiDocument) {}

  /** Schema of the body that is posted to a path of the document; undefined where it takes none. */
  schemaOf(path: string): Schema | undefined {
    return this.document.paths[path]?.post?.requestBody?.content['application/json']?.schema;
  }

  /** Members that the schema knows and the body leaves out, by path: a body that is to show every member must have none. */
  missing(given: Schema, value: Json, path = ''): string[] {
    const schema = this.resolve(given, value);
    if (Array.isArray(value)) {
      const lists = value.map((element, index) => this.missing(schema.items ?? {}, element, join(path, index)));
      // One element that shows a member is enough.
      return (lists[0] ?? []).filter((place) => lists.every((list) => list.some((other) => last(other) === last(place))));
    }
    if (!isObject(value)) return [];
    return Object.entries(schema.properties ?? {}).flatMap(([member, inner]) =>
      value[member] === undefined ? [join(path, member)] : this.missing(inner, value[member], join(path, member)),
    );
  }

  /** Each body differs from `value` in one place. */
  *changed(given: Schema, value: Json, path = ''): Generator<Variant> {
    const schema = this.resolve(given, value);
    if (Array.isArray(value)) yield* this.changedList(schema, value, path);
    else if (isObject(value)) yield* this.changedObject(schema, value, path);
    else yield { what: `${path} changed`, path, body: otherLeaf(schema, value as string | number | boolean) };
  }

  private *changedList(schema: Schema, value: readonly Json[], path: string): Generator<Variant> {
    for (const [index, element] of value.entries()) {
      for (const { body, ...variant } of this.changed(schema.items ?? {}, element, join(path, index)))
        yield { ...variant, body: value.with(index, body) };
    }
    const end = value.length;
    yield { what: `${path}: last one removed`, path: join(path, end - 1), body: value.slice(0, -1) };
    yield { what: `${path}: one more`, path: join(path, end), body: [...value, value[0] as Json] };
    if (end > 1 && JSON.stringify(value[0]) !== JSON.stringify(value.at(-1)))
      yield { what: `${path}: in another order`, path, body: [...value].reverse() };
  }

  private *changedObject(schema: Schema, value: JsonObject, path: string): Generator<Variant> {
    const { properties } = schema;
    for (const [member, inner] of Object.entries(value)) {
      const at = join(path, member);
      for (const { body, ...variant } of this.changed(properties?.[member] ?? {}, inner, at))
        yield { ...variant, body: { ...value, [member]: body } };
      if (properties !== undefined && schema.required?.includes(member)) continue;
      const { [member]: _left, ...rest } = value;
      yield { what: `${at} left out`, path: at, body: rest };
    }
    // The caller's own data may have any member.
    if (properties === undefined) yield { what: `${path}: one member more`, path: join(path, 'more'), body: { ...value, more: 'x' } };
  }

  /** Other bytes that mean the same: members in another order at every level, amounts and names in every other spelling. */
  *same(given: Schema, value: JsonObject): Generator<{ readonly what: string; readonly text: string }> {
    yield { what: 'same bytes', text: JSON.stringify(value) };
    yield { what: 'members in another order', text: JSON.stringify(reordered(value)) };
    yield { what: 'with blanks and escapes', text: JSON.stringify(value, undefined, 2).replaceAll('/', '\\/') };
    for (const longer of [true, false]) {
      const text = JSON.stringify(this.respelt(given, value, longer));
      if (text !== JSON.stringify(value)) yield { what: longer ? 'amounts with more zeros' : 'amounts with fewer zeros', text };
    }
  }

  private respelt(given: Schema, value: Json, longer: boolean): Json {
    const schema = this.resolve(given, value);
    if (Array.isArray(value)) return value.map((element) => this.respelt(schema.items ?? {}, element, longer));
    if (isObject(value)) {
      return Object.fromEntries(
        Object.entries(value).map(([member, inner]) => [member, this.respelt(schema.properties?.[member] ?? {}, inner, longer)]),
      );
    }
    if (typeof value !== 'string') return value;
    switch (schema.format) {
      case 'amount':
      case 'signed-amount':
        if (!longer) return value.replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '');
        return value.includes('.') ? `${value}0` : `${value}.0`;
      case 'account-code':
        return value.normalize('NFD');
      case 'uuid':
        return value.toUpperCase();
      default:
        return value === 'revenue' && schema.enum?.includes('income') ? 'income' : value;
    }
  }

  private resolve(schema: Schema, value?: Json): Schema {
    if (schema.oneOf !== undefined) return schema.oneOf.find(({ type }) => type === (isObject(value) ? 'object' : 'string')) ?? schema;
    const referred = schema.$ref ?? schema.allOf?.[0]?.$ref;
    return referred === undefined ? schema : this.resolve(this.document.components.schemas[referred.split('/').at(-1) ?? ''] ?? {});
  }
}

const last = (path: string): string => path.slice(path.lastIndexOf('.') + 1);

function reordered(value: Json): Json {
  if (Array.isArray(value)) return value.map(reordered);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([member, inner]) => [member, reordered(inner)]),
  );
}

/** Words that an entry may not say of itself, or that mean the same as others. */
const special = new Set(['reversal', 'reverses', 'corrects', 'income', 'revenue', 'import']);

const otherTexts: Readonly<Record<string, (value: string) => string>> = {
  amount: (value) => `2${value}`,
  'signed-amount': (value) => value.replace(/^-?/, '$&2'),
  'calendar-date': (value) => value.replace(/^\d{4}/, (year) => String(Number(year) + 1)),
  instant: (value) => value.replace(/^\d{4}/, '1999'),
  'month-day': (value) => (value === '02-01' ? '03-01' : '02-01'),
  'time-zone': (value) => (value === 'Europe/Paris' ? 'UTC' : 'Europe/Paris'),
  currency: (value) => (value === 'USD' ? 'GBP' : 'USD'),
  country: (value) => (value === 'FR' ? 'GB' : 'FR'),
  'journal-code': (value) => `${value}X`,
  sha256: (value) => value.replace(/^./, (digit) => (digit === '0' ? '1' : '0')),
  uuid: (value) => value.replace(/.$/, (digit) => (digit === '0' ? '1' : '0')),
};

function otherLeaf(schema: Schema, value: string | number | boolean): Json {
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'number') return value === schema.maximum ? value - 1 : value + 1;
  if (schema.enum !== undefined) return schema.enum.find((word) => word !== value && !special.has(word)) ?? value;
  // In a text 1.0 and 1.00 are two things.
  return (otherTexts[schema.format ?? ''] ?? ((text: string) => `${text}${/^\d+\.\d+$/.test(text) ? '0' : 'x'}`))(value);
}
