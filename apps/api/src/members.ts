/**
 * What a member of a body or query may be. Each kind of value (amount, date, code, text …) is declared once: its check, which
 * knows the error code of everything that can be wrong with it, and its schema for OpenAPI. The decorators below tie a kind
 * to a member for class-validator and for the OpenAPI document together, so that the two cannot differ; the same checks serve
 * as formats of the compiled schema of the batch path.
 */
import { applyDecorators } from '@nestjs/common';
import { ApiProperty } from '@nestjs/swagger';
import { getMetadataStorage, ValidateBy, ValidateNested, type ValidationError, validateSync } from 'class-validator';
import {
  accountTypes,
  bookIdForm,
  codeProblem,
  controls,
  currencyForm,
  type ErrorCode,
  isDate,
  isMonthDay,
  isPlainDecimal,
  journalCodeForm,
  lengthOf,
  Refusals,
  sealedPrefix,
  textProblem,
} from '#domain';
import { closeNamed, instantMicros } from '#ledger';
import { join } from './strict-json';

/** Something wrong with a value: a code of the error table, and what to say after the member's path. */
export interface Finding {
  readonly code: ErrorCode;
  readonly text: string;
  /** Path below the member, when the fault lies inside it. */
  readonly at?: string;
  readonly limit?: number;
}

/** A kind of value. */
export interface Kind {
  readonly name: string;
  /** What is wrong with a value that is not undefined. */
  check(value: unknown): Finding | undefined;
  /** OpenAPI 3.0 schema. */
  readonly schema: Readonly<Record<string, unknown>>;
}

// --- Kinds ---

const wrong = (text: string): Finding => ({ code: 'malformed', text });

function shownValue(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 60 ? text : `${text.slice(0, 60)}…`;
}

/** A text that is checked further once it is one. */
function textual(name: string, schema: Kind['schema'], check: (text: string) => Finding | undefined): Kind {
  return {
    name,
    schema: { type: 'string', ...schema },
    check: (value) => (typeof value === 'string' ? check(value) : wrong(`must be a text, not ${shownValue(value)}`)),
  };
}

const codeOf = { long: 'too_large', blank: 'malformed', unfit: 'text_invalid' } as const;

function checkText(text: string, max: number, use: 'name' | 'prose'): Finding | undefined {
  const problem = textProblem(text, max, use);
  if (problem === undefined) return undefined;
  return { code: codeOf[problem.kind], text: problem.says, ...(problem.kind === 'long' ? { limit: max } : {}) };
}

function textOf(name: string, use: 'name' | 'prose'): { readonly form: Kind; readonly upTo: (max: number) => Kind } {
  return {
    form: textual(name, {}, (value) => checkText(value, Number.MAX_SAFE_INTEGER, use)),
    upTo: (max) => textual(`${name}${max}`, { minLength: 1, maxLength: max, format: name }, (value) => checkText(value, max, use)),
  };
}

const text = textOf('text', 'name');
const prose = textOf('prose', 'prose');

/** A text with a form of its own, such as a code. */
function formed(name: string, form: RegExp, says: string): Kind {
  return textual(name, { pattern: form.source, format: name }, (value) =>
    form.test(value) ? undefined : { code: 'text_invalid', text: `must be ${says}, not ${shownValue(value)}` },
  );
}

const codeLength = 120;
const accountCode = textual('account-code', { minLength: 1, maxLength: codeLength, format: 'account-code' }, (given) => {
  const code = given.normalize('NFC');
  const length = lengthOf(code, codeLength);
  if (length > codeLength)
    return { code: 'too_large', text: `has ${length} characters; an account code has ${codeLength} at most`, limit: codeLength };
  if (code === '') return wrong('must not be empty');
  if (controls.test(code)) return { code: 'text_invalid', text: 'holds a control character' };
  const problem = codeProblem(code);
  return problem === undefined ? undefined : { code: 'text_invalid', text: problem };
});

function decimal(name: string, isDecimal: (text: string) => boolean, says: string, pattern: string): Kind {
  return {
    name,
    schema: { type: 'string', format: name, pattern },
    check(value) {
      if (typeof value === 'string')
        return isDecimal(value) ? undefined : { code: 'amount_format', text: `must be ${says}, not ${shownValue(value)}` };
      if (typeof value === 'number') return { code: 'amount_not_string', text: `must be a text like "${value}": JSON numbers lose digits` };
      return wrong(`must be a text like "100.00", not ${shownValue(value)}`);
    },
  };
}

const plain = '(0|[1-9][0-9]*)(\\.[0-9]+)?';
const amount = decimal('amount', isPlainDecimal, 'a plain decimal like 1234.50', `^${plain}$`);
const signedAmount = decimal(
  'signed-amount',
  (value) => isPlainDecimal(value.startsWith('-') ? value.slice(1) : value),
  'a plain decimal like 1234.50 or -1234.50',
  `^-?${plain}$`,
);

const effectiveDate = textual('calendar-date', { format: 'calendar-date', pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' }, (value) =>
  isDate(value)
    ? undefined
    : { code: 'date_invalid', text: `must be a date YYYY-MM-DD that exists, from 1900-01-01 to 2199-12-31, not ${shownValue(value)}` },
);
const instant = textual('instant', { format: 'instant' }, (value) =>
  instantMicros(value) === undefined
    ? { code: 'date_invalid', text: `must be an instant like 2026-07-02T12:00:00Z (RFC 3339), not ${shownValue(value)}` }
    : undefined,
);
const knownAt = textual('known-at', {}, (value) =>
  /^(0|[1-9]\d{0,15})$/.test(value) || instantMicros(value) !== undefined || closeNamed(value) !== undefined
    ? undefined
    : {
        code: 'date_invalid',
        text: `must be a position, an instant like 2026-07-02T12:00:00Z (RFC 3339) or the close of a period like close:2026-06, not ${shownValue(value)}`,
      },
);
const monthDay = textual('month-day', { format: 'month-day', pattern: '^[0-9]{2}-[0-9]{2}$' }, (value) =>
  isMonthDay(value) ? undefined : wrong(`must be a month and day that every year has, like 01-01, not ${shownValue(value)}`),
);
const timeZoneForm = /^[A-Za-z0-9_+/-]{1,64}$/;
const timeZone = textual('time-zone', { pattern: timeZoneForm.source, format: 'time-zone' }, (value) =>
  timeZoneForm.test(value)
    ? undefined
    : wrong(`must be a name of the IANA time zone database, like Europe/Berlin, not ${shownValue(value)}`),
);

const currency = formed('currency', currencyForm, '1 to 24 of A-Z a-z 0-9 . _ -, beginning with a letter or digit');
const bookId = formed('book-id', bookIdForm, '1 to 40 of a-z 0-9 -, beginning with a letter or digit');
const journalCode = formed('journal-code', journalCodeForm, '1 to 24 of A-Z 0-9 _ -, beginning with a letter or digit');
const yearLabel = formed(
  'fiscal-year',
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,19}$/,
  '1 to 20 of A-Z a-z 0-9 . _ -, beginning with a letter or digit',
);
const country = formed('country', /^[A-Z]{2}$/, 'two letters A-Z (ISO 3166-1 alpha-2)');
const token = formed('token', /^[a-z][a-z0-9_]{0,39}$/, '1 to 40 of a-z 0-9 _, beginning with a letter');
const sha256 = formed('sha256', /^[0-9a-f]{64}$/, '64 hexadecimal digits in lower case');
const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const uuid = formed('uuid', uuidForm, 'a UUID');

/** Whether text is a UUID in any case; ids are compared and stored in lower case. */
export const isUuid = (value: string): boolean => uuidForm.test(value);

function oneOf(values: readonly string[]): Kind {
  return textual(`one of ${values.join(' ')}`, { enum: values }, (value) =>
    values.includes(value) ? undefined : wrong(`must be one of ${values.join(', ')}, not ${shownValue(value)}`),
  );
}

function integer(min: number, max: number): Kind {
  return {
    name: `integer ${min} ${max}`,
    schema: { type: 'integer', minimum: min, maximum: max },
    check: (value) =>
      typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
        ? undefined
        : wrong(`must be a whole number from ${min} to ${max}, not ${shownValue(value)}`),
  };
}

/** The same in a query, where everything is text. */
function integerText(min: number, max: number): Kind {
  const { schema, check } = integer(min, max);
  return {
    name: `integer text ${min} ${max}`,
    schema,
    check: (value) => check(typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value),
  };
}

const flag: Kind = {
  name: 'boolean',
  schema: { type: 'boolean' },
  check: (value) => (typeof value === 'boolean' ? undefined : wrong(`must be true or false, not ${shownValue(value)}`)),
};
const flagText: Kind = {
  name: 'boolean text',
  schema: { type: 'boolean' },
  check: (value) => flag.check(value === 'true' ? true : value === 'false' ? false : value),
};

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Prose, or prose about a person: `{subject, value}` with the id of a party, which is kept encrypted. */
function personalProse(max: number): Kind {
  const plain = prose.upTo(max);
  return {
    name: `personal prose${max}`,
    schema: {
      oneOf: [
        { type: 'string', ...plain.schema },
        {
          type: 'object',
          additionalProperties: false,
          required: ['subject', 'value'],
          properties: { subject: uuid.schema, value: plain.schema },
        },
      ],
    },
    check(value) {
      if (!isObject(value)) return plain.check(value);
      const { subject, value: said, ...more } = value;
      const [unknown] = Object.keys(more);
      if (unknown !== undefined) return { code: 'unknown_member', text: 'is none of subject and value', at: unknown };
      const wrongSubject = subject === undefined ? wrong('is missing: the id of the party') : uuid.check(subject);
      if (wrongSubject !== undefined) return { ...wrongSubject, at: 'subject' };
      const wrongText = said === undefined ? wrong('is missing: the text') : plain.check(said);
      return wrongText === undefined ? undefined : { ...wrongText, at: 'value' };
    },
  };
}

/** An object whose members are checked by its own class. */
const object: Kind = {
  name: 'object',
  schema: {},
  check: (value) => (isObject(value) ? undefined : wrong(`must be an object, not ${shownValue(value)}`)),
};

/** A list; `each` says what is wrong with an element. */
function list(name: string, max: number, each: (element: unknown) => Finding | undefined, items: Kind['schema']): Kind {
  return {
    name,
    schema: { type: 'array', items, ...(max === Number.MAX_SAFE_INTEGER ? {} : { maxItems: max }) },
    check(value) {
      if (!Array.isArray(value)) return wrong(`must be a list, not ${shownValue(value)}`);
      for (const [index, element] of value.entries()) {
        const found = each(element);
        if (found !== undefined) return { ...found, at: found.at === undefined ? String(index) : `${index}.${found.at}` };
      }
      return value.length > max ? { code: 'too_large', text: `has ${value.length} elements; ${max} are allowed`, limit: max } : undefined;
    },
  };
}

/** A member of a query that may be given several times: one is a text, several are a list. */
function repeatable(name: string, max: number, each: Kind): Kind {
  const many = list(name, max, each.check, each.schema);
  return { ...many, check: (value) => (Array.isArray(value) ? many.check(value) : each.check(value)) };
}

const dimensionFilter = repeatable(
  'dimension-filters',
  10,
  textual('dimension-filter', {}, (value) =>
    /^[^:]+:.+$/s.test(value) && lengthOf(value, 300) <= 300
      ? undefined
      : wrong(`must be a dimension key:value like costCenter:4711, not ${shownValue(value)}`),
  ),
);

/** One name of an export format or several: which there are is the service's to say. */
const formatNames: Kind = (() => {
  const each = textual('format-name', {}, (value) =>
    /^[a-z0-9-]{1,40}$/.test(value) ? undefined : wrong(`must be the name of an export format like hledger, not ${shownValue(value)}`),
  );
  const many = list('format-names', 20, each.check, each.schema);
  return { ...many, check: (value) => (Array.isArray(value) ? many.check(value) : each.check(value)) };
})();

/** Bounds of a caller's own data (DESIGN section 4). */
const metadataLimits = { depth: 8, bytes: 8192 };

type Speaks = 'of nobody' | 'of persons';

/** Strings, booleans, arrays, objects, safe integers: what every JSON reader reads alike. */
function metadataThat(speaks: Speaks): Kind {
  return {
    name: `metadata ${speaks}`,
    schema: {
      type: 'object',
      additionalProperties: true,
      'x-limits': speaks === 'of persons' ? { ...metadataLimits, persons: true } : metadataLimits,
    },
    check(value) {
      if (!isObject(value)) return wrong(`must be an object, not ${shownValue(value)}`);
      const found = checkMetadata(value, '', 1, speaks);
      if (found?.code === 'malformed') return found;
      const bytes = Buffer.byteLength(JSON.stringify(value));
      if (bytes > metadataLimits.bytes)
        return { code: 'too_large', text: `has ${bytes} bytes; ${metadataLimits.bytes} are allowed`, limit: metadataLimits.bytes };
      return found;
    },
  };
}

export const metadata = metadataThat('of nobody');
/** Of entries: a text about a person may stand in it in place of a text, and is kept sealed. */
export const personalMetadata = metadataThat('of persons');

function checkMetadata(value: unknown, at: string, depth: number, speaks: Speaks): Finding | undefined {
  if (typeof value === 'boolean') return undefined;
  if (typeof value === 'string')
    return value.includes(sealedPrefix) ? { code: 'text_invalid', text: `holds ${sealedPrefix}, which marks sealed texts`, at } : undefined;
  if (typeof value === 'number')
    return Number.isSafeInteger(value)
      ? undefined
      : { ...wrong(`must not be ${value}: numbers are whole and below 2^53, others are given as texts`), at };
  if (value === null) return { ...wrong('must not be null: leave it out'), at };
  if (isObject(value) && value.subject !== undefined && value.value !== undefined) {
    const found = checkMark(value, speaks, at);
    if (found !== undefined) return found;
  }
  let first: Finding | undefined =
    depth > metadataLimits.depth
      ? { code: 'too_large', text: `nests more than ${metadataLimits.depth} levels deep`, at, limit: metadataLimits.depth }
      : undefined;
  for (const [key, member] of Object.entries(value as object)) {
    const found = checkMetadata(member, join(at, key), depth + 1, speaks);
    if (found?.code === 'malformed') return found;
    first ??= found;
  }
  return first;
}

/** What is nearly a text about a person is refused: taken for something else it would be kept as it stands, for ever. */
function checkMark({ subject, value, ...more }: Record<string, unknown>, speaks: Speaks, at: string): Finding | undefined {
  const says = 'an object with subject and value is a text about a person';
  if (speaks === 'of nobody')
    return { ...wrong(`must not speak of persons (${says}): only the metadata of entries is sealed; open a party for it`), at };
  const [unknown] = Object.keys(more);
  if (unknown !== undefined) return { ...wrong(`must not stand here: ${says}, and has no other members`), at: join(at, unknown) };
  const found = uuid.check(subject);
  if (found !== undefined) return { ...wrong(`${found.text}: ${says}, and subject is the id of a party`), at: join(at, 'subject') };
  return typeof value === 'string' ? undefined : { ...wrong(`must be a text, not ${shownValue(value)}: ${says}`), at: join(at, 'value') };
}

/** Kinds that the compiled schema of the batch path knows by name. */
export const formats: readonly Kind[] = [
  text.form,
  prose.form,
  accountCode,
  amount,
  signedAmount,
  effectiveDate,
  instant,
  monthDay,
  timeZone,
  currency,
  bookId,
  journalCode,
  yearLabel,
  country,
  token,
  sha256,
  uuid,
];

// --- Decorators ---

export interface MemberOptions {
  readonly description: string;
  readonly example?: unknown;
  /** May be left out. A member is never null. */
  readonly optional?: true;
  readonly default?: unknown;
}

type MemberDecorator<A extends unknown[] = []> = (...options: [...A, MemberOptions]) => PropertyDecorator;

function check(kind: Kind, optional: boolean): PropertyDecorator {
  const validate = optional
    ? (value: unknown) => value === undefined || kind.check(value) === undefined
    : (value: unknown) => value !== undefined && kind.check(value) === undefined;
  // Without a message class-validator would drop the context.
  return ValidateBy({ name: kind.name, validator: { validate, defaultMessage: () => kind.name } }, { context: { kind } });
}

function documented({ optional, ...options }: MemberOptions, schema: object): PropertyDecorator {
  return ApiProperty({ ...options, required: optional !== true, ...schema });
}

function member(kind: Kind, options: MemberOptions): PropertyDecorator {
  return applyDecorators(check(kind, options.optional === true), documented(options, kind.schema));
}

const of =
  (kind: Kind): MemberDecorator =>
  (options) =>
    member(kind, options);

/** One line of text, 1 to `max` characters, nothing in it that is not seen, no blank at its ends. */
export const Text: MemberDecorator<[max: number]> = (max, options) => member(text.upTo(max), options);
/** Text with line ends, 1 to `max` characters, not blank. */
export const Prose: MemberDecorator<[max: number]> = (max, options) => member(prose.upTo(max), options);
/** The same, or as `{subject, value}` about a person. */
export const PersonalProse: MemberDecorator<[max: number]> = (max, options) => member(personalProse(max), options);
/** Account code: NFC, 1 to 120 characters, nothing in it that is not seen, no blank at its ends. */
export const Code = of(accountCode);
/** Plain decimal as a string, not negative. */
export const Amount = of(amount);
export const SignedAmount = of(signedAmount);
/** Calendar date without zone. */
export const EffectiveDate = of(effectiveDate);
/** RFC 3339 instant. */
export const Instant = of(instant);
/** Position or instant on the recorded axis. */
export const KnownAt = of(knownAt);
export const MonthDay = of(monthDay);
export const TimeZone = of(timeZone);
export const Currency = of(currency);
export const BookId = of(bookId);
export const Country = of(country);
export const JournalCode = of(journalCode);
export const YearLabel = of(yearLabel);
/** Dimensions that lines must have, of a query. */
export const DimensionFilter = of(dimensionFilter);
export const FormatNames = of(formatNames);
/** One line of text, of a query that may hold it up to `max` times. */
export const TextOrTexts: MemberDecorator<[max: number, each: number]> = (max, each, options) =>
  member(repeatable(`text or texts ${max}`, max, text.upTo(each)), options);
/** A word of a closed or agreed vocabulary, like a sub-type. */
export const Token = of(token);
export const Sha256 = of(sha256);
export const Uuid = of(uuid);
export const Flag = of(flag);
export const FlagText = of(flagText);
export const Metadata = of(metadata);
export const PersonalMetadata = of(personalMetadata);
export const OneOf: MemberDecorator<[values: readonly string[]]> = (values, options) => member(oneOf(values), options);
export const Whole: MemberDecorator<[min: number, max: number]> = (min, max, options) => member(integer(min, max), options);
export const WholeText: MemberDecorator<[min: number, max: number]> = (min, max, options) => member(integerText(min, max), options);
/** `revenue` is another word for income. */
export const AccountTypeName: MemberDecorator = (options) => member(oneOf([...accountTypes, 'revenue']), options);
export const Codes: MemberDecorator = (options) => member(list('codes', 1000, accountCode.check, accountCode.schema), options);
export const Currencies: MemberDecorator = (options) => member(list('currencies', 100, currency.check, currency.schema), options);
export const Texts: MemberDecorator<[max: number, each: number]> = (max, each, options) => {
  const kind = text.upTo(each);
  return member(list(`texts${max}`, max, kind.check, kind.schema), options);
};

type Class = new () => object;

/** Classes of members that are objects or lists of objects, by the prototype that declares them. */
const declaredClasses = new Map<object, Map<string, () => Class>>();

function declareClass(type: () => Class): PropertyDecorator {
  return (prototype, name) => {
    const known = declaredClasses.get(prototype) ?? new Map<string, () => Class>();
    declaredClasses.set(prototype, known.set(String(name), type));
  };
}

/** Swagger knows a class that is named later by the very name of the function. */
const lazily = (later: () => Class): { type: () => Class } => ({ type: () => later() });

/** An object with a class of its own. */
export function Nested(type: () => Class, options: MemberOptions): PropertyDecorator {
  return applyDecorators(check(object, options.optional === true), ValidateNested(), declareClass(type), documented(options, lazily(type)));
}

/** A list of objects of one class. @param max 0: bounded by configuration, see limits.ts */
export function Listed(type: () => Class, max: number, options: MemberOptions): PropertyDecorator {
  const kind = list('objects', max === 0 ? Number.MAX_SAFE_INTEGER : max, object.check, {});
  return applyDecorators(
    check(kind, options.optional === true),
    ValidateNested(),
    declareClass(type),
    documented(options, { ...lazily(type), isArray: true, ...(max === 0 ? {} : { maxItems: max }) }),
  );
}

// --- Validation ---

/** Every fault of a body or query, noted for the order of precedence to choose from. */
export function validate(type: Class, value: object, refusals: Refusals): void {
  const errors = validateSync(instanceOf(type, value), { whitelist: true, forbidNonWhitelisted: true, validationError: { target: false } });
  noteErrors(errors, '', refusals);
}

const namesByClass = new Map<Class, ReadonlySet<string>>();

/** Members that a class declares, inherited ones too. */
function namesOf(type: Class): ReadonlySet<string> {
  let names = namesByClass.get(type);
  if (names === undefined) {
    names = new Set(
      getMetadataStorage()
        .getTargetValidationMetadatas(type, '', false, false)
        .map(({ propertyName }) => propertyName),
    );
    namesByClass.set(type, names);
  }
  return names;
}

const membersByClass = new Map<Class, ReadonlyMap<string, Class>>();

/** Members of a class, inherited ones too, that have a class of their own. */
function membersOf(type: Class): ReadonlyMap<string, Class> {
  let members = membersByClass.get(type);
  if (members === undefined) {
    const found = new Map<string, Class>();
    for (let prototype = type.prototype as object; prototype !== Object.prototype; prototype = Object.getPrototypeOf(prototype) as object) {
      for (const [name, later] of declaredClasses.get(prototype) ?? []) if (!found.has(name)) found.set(name, later());
    }
    members = found;
    membersByClass.set(type, members);
  }
  return members;
}

/**
 * The value as class-validator wants it: objects are of the class that knows what they must be. The caller's own data is
 * left as it is; class-transformer would look into it (and stumble over a member called constructor), at three times the cost.
 */
function instanceOf(type: Class, value: object): object {
  const instance = new type() as Record<string, unknown>;
  const known = namesOf(type);
  const given = value as Readonly<Record<string, unknown>>;
  for (const name of known) if (Object.hasOwn(given, name)) instance[name] = given[name];
  // One member that is not known is enough to be refused by; a million of them would be seconds of work.
  for (const name in given) {
    if (known.has(name)) continue;
    instance[name] = given[name];
    break;
  }
  // No body has such a member, and class-validator finds its rules by it.
  if (Object.hasOwn(instance, 'constructor')) Reflect.deleteProperty(instance, 'constructor');
  for (const [name, nested] of membersOf(type)) {
    const members = instance as Record<string, unknown>;
    const member = members[name];
    if (Array.isArray(member)) members[name] = member.map((element) => (isObject(element) ? instanceOf(nested, element) : element));
    else if (isObject(member)) members[name] = instanceOf(nested, member);
  }
  return instance;
}

function noteErrors(errors: readonly ValidationError[], path: string, refusals: Refusals): void {
  for (const { property, value, constraints, contexts, children } of errors) {
    // An object where none may be, such as in a list in a list; the member around it has its finding.
    if (property === undefined) continue;
    const at = join(path, property);
    if (constraints?.whitelistValidation !== undefined) refusals.note('unknown_member', () => `there is no member ${at}`, { member: at });
    for (const { kind } of Object.values(contexts ?? {}) as { kind: Kind }[]) {
      const found = value === undefined ? wrong('is missing') : kind.check(value);
      if (found !== undefined) noteFinding(refusals, found, at);
    }
    if (children !== undefined) noteErrors(children, at, refusals);
  }
}

/** Notes a finding about the member at `path`. */
function noteFinding(refusals: Refusals, { code, text: says, at, limit }: Finding, path: string): void {
  const place = at === undefined || at === '' ? path : `${path}.${at}`;
  refusals.note(code, () => `${place} ${says}`, { member: place, ...(limit === undefined ? {} : { limit }) });
}
