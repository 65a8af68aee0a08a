/**
 * Strict JSON (RFC 8259, and I-JSON, RFC 7493, where it forbids what machines read differently): the only reader of request
 * bodies. Guarantees that what it returns is what every other JSON reader would see: one meaning per member, whole Unicode
 * text, and no name that JavaScript takes for something else. JSON.parse does the work; what it lets pass is looked for in
 * one scan of the text and one walk of the result (about 1.5 µs for an entry of two lines).
 */
import { isUtf8 } from 'node:buffer';
import { LedgerError } from '#domain';

/** A body that was read. */
export interface JsonBody {
  readonly value: Readonly<Record<string, unknown>>;
  readonly bytes: number;
  /** What is wrong with its texts or names and may still give way to an earlier code of the error table. */
  readonly finding?: LedgerError;
}

/** Levels of objects and arrays in each other; the deepest body the service knows, a batch with metadata, needs 12. */
export const depthMax = 32;

/** The body of a request that has none. */
export const emptyBody: JsonBody = { value: {}, bytes: 0 };

/**
 * @param bytes the body as it came; none is read as `{}`
 * @throws LedgerError malformed | too_large
 */
export function readJson(bytes: Buffer): JsonBody {
  if (bytes.length === 0) return emptyBody;
  if (!isUtf8(bytes)) throw new LedgerError('malformed', 'the body is not UTF-8');
  const text = bytes.toString('utf8');
  const value = parse(text);
  const { members, depth, rounded } = outline(text);
  if (depth > depthMax)
    throw new LedgerError('too_large', `the body nests ${depth} levels deep; ${depthMax} are allowed`, { limit: depthMax });
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new LedgerError('malformed', 'the body is not a JSON object');
  const seen: Survey = { members: 0, inherited: false };
  survey(value, seen);
  if (seen.members !== members) {
    const member = firstDuplicate(text) ?? '';
    throw new LedgerError('malformed', `member ${member} is given twice`, { member });
  }
  // Valid UTF-8 holds no lone surrogate and JSON no bare control character, so only an escape can have made one.
  const finding =
    roundedNumber(text, rounded) ??
    (seen.inherited ? findName(value) : undefined) ??
    (text.includes('\\u') ? findText(value, '') : undefined);
  return { value: value as Record<string, unknown>, bytes: bytes.length, ...(finding === undefined ? {} : { finding }) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new LedgerError('malformed', `the body is not JSON: ${(error as Error).message}`);
  }
}

/** Members and deepest level of a text that is known to be JSON, and the place of the first number that JSON.parse rounds. */
export function outline(text: string): { readonly members: number; readonly depth: number; readonly rounded?: number } {
  let members = 0;
  let rounded: number | undefined;
  let depth = 0;
  let deepest = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 34: // "
        at = endOfString(text, at) - 1;
        break;
      case 58: // :
        members++;
        break;
      case 91: // [
      case 123: // {
        depth++;
        if (depth > deepest) deepest = depth;
        break;
      case 93: // ]
      case 125: // }
        depth--;
        break;
      case 45: // -
      case 48:
      case 49:
      case 50:
      case 51:
      case 52:
      case 53:
      case 54:
      case 55:
      case 56:
      case 57: {
        // Up to 15 digits and nothing else, which is nearly always so, is exact.
        const start = at;
        for (let next = text.charCodeAt(at + 1); next >= 48 && next <= 57; next = text.charCodeAt(at + 1)) at++;
        if (at - start < 15 && !mayGoOn(text.charCodeAt(at + 1))) break;
        at = endOfNumber(text, start) - 1;
        if (rounded === undefined && isRounded(text.slice(start, at + 1))) rounded = start;
        break;
      }
    }
  }
  return { members, depth: deepest, ...(rounded === undefined ? {} : { rounded }) };
}

/** Whether a character behind digits belongs to their number: point, e, E. */
const mayGoOn = (code: number): boolean => code === 46 || code === 101 || code === 69;

/** The place behind the number that begins at `start`. */
function endOfNumber(text: string, start: number): number {
  let end = start + 1;
  // Digits, point, signs, e and E; what is JSON has a comma, a bracket or a blank behind a number.
  for (
    let code = text.charCodeAt(end);
    (code >= 43 && code <= 57 && code !== 44) || code === 101 || code === 69;
    code = text.charCodeAt(++end)
  );
  return end;
}

/**
 * Whether a number becomes a whole one, or none, that it is not: 9007199254740990.6, 1e400. Fractions that stay fractions
 * (0.1) are refused by every check there is, and a whole number beyond 2^53 is no safe integer any more.
 */
function isRounded(token: string): boolean {
  const value = Number(token);
  if (Number.isSafeInteger(value) && token.length < 16 && !/[.eE]/.test(token)) return false;
  if (!Number.isFinite(value)) return true;
  if (!Number.isInteger(value)) return false;
  const [, digits = '', decimals = '', exponent = '0'] = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(token) ?? [];
  // Whole when all that stands behind the shifted point is zero; the digits before it must be those of the value.
  const all = (digits + decimals).replace(/^0+/, '');
  const shift = Number(exponent) - decimals.length;
  if (all === '') return false;
  // By hand: /0+$/ would look at a million zeros a million times.
  let end = all.length;
  while (all.charCodeAt(end - 1) === 48) end--;
  const zeros = shift + all.length - end;
  // A finite number has 309 digits at most before its point.
  if (zeros < 0 || end + zeros > 400) return true;
  return BigInt(all.slice(0, end) + '0'.repeat(zeros)) !== BigInt(Math.abs(value));
}

/** The finding about the number at a place. */
function roundedNumber(text: string, place: number | undefined): LedgerError | undefined {
  if (place === undefined) return undefined;
  const token = text.slice(place, endOfNumber(text, place));
  const member = pathAt(text, place);
  return new LedgerError(
    'malformed',
    `${member} must not be ${token.length <= 40 ? token : `${token.slice(0, 40)}…`}: numbers are whole and below 2^53, others are given as texts`,
    { member },
  );
}

/** The place behind the string that begins at `start`. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let backslash = end;
    while (text.charCodeAt(backslash - 1) === 92) backslash--;
    if ((end - backslash) % 2 === 0) return end + 1;
  }
}

interface Survey {
  /** Fewer than in the text when a name stood twice in one object. */
  members: number;
  /** Whether a name is one of `inheritedNames`. */
  inherited: boolean;
}

function survey(value: object, seen: Survey): void {
  if (Array.isArray(value)) {
    for (const element of value) if (typeof element === 'object' && element !== null) survey(element, seen);
    return;
  }
  for (const key of Object.keys(value)) {
    seen.members++;
    if (inheritedNames.has(key)) seen.inherited = true;
    const member = (value as Record<string, unknown>)[key];
    if (typeof member === 'object' && member !== null) survey(member, seen);
  }
}

/**
 * The path of the member that stands twice, of the first such object to end.
 * @param text JSON
 */
export function firstDuplicate(text: string): string | undefined {
  return walk(text, Number.POSITIVE_INFINITY).duplicate;
}

/** The path of the value that begins at a place; the whole has the empty path. */
const pathAt = (text: string, place: number): string => walk(text, place).path;

/** Goes through a JSON text up to a place, or to the first member that stands twice. */
function walk(text: string, place: number): { readonly path: string; readonly duplicate?: string } {
  const levels: { readonly names: Set<string> | undefined; name: string; index: number }[] = [];
  const path = (): string => levels.map(({ names, name, index }) => (names === undefined ? String(index) : shown(name))).join('.');
  let key: string | undefined;
  for (let at = 0; at < text.length && at < place; at++) {
    const level = levels.at(-1);
    switch (text.charCodeAt(at)) {
      case 34: {
        const end = endOfString(text, at);
        key = JSON.parse(text.slice(at, end)) as string;
        at = end - 1;
        break;
      }
      case 58:
        if (level !== undefined && key !== undefined) {
          level.name = key;
          if (level.names?.has(key) && place === Number.POSITIVE_INFINITY) return { path: '', duplicate: path() };
          level.names?.add(key);
        }
        break;
      case 44: // ,
        if (level !== undefined) level.index++;
        break;
      case 91:
        levels.push({ names: undefined, name: '', index: 0 });
        break;
      case 123:
        levels.push({ names: new Set(), name: '', index: 0 });
        break;
      case 93:
      case 125:
        levels.pop();
        break;
    }
  }
  return { path: path() };
}

/** What every JavaScript object has; class-transformer and class-validator take such members for their own or for known. */
const inheritedNames = new Set(Object.getOwnPropertyNames(Object.prototype));

/**
 * A name that no operation knows and that would slip through validation. The caller's metadata may use any but __proto__.
 * @throws LedgerError malformed for __proto__
 */
export function findName(value: object, path = '', free = false): LedgerError | undefined {
  let found: LedgerError | undefined;
  for (const key of Object.keys(value)) {
    if (inheritedNames.has(key)) {
      if (key === '__proto__')
        throw new LedgerError('malformed', `member ${join(path, key)}: no member may be called __proto__`, { member: join(path, key) });
      if (!free) found ??= new LedgerError('unknown_member', `there is no member ${join(path, key)}`, { member: join(path, key) });
    }
    const member = (value as Record<string, unknown>)[key];
    if (typeof member === 'object' && member !== null) {
      const inside = findName(member, join(path, key), free || key === 'metadata');
      found ??= inside;
    }
  }
  return found;
}

/** The first text, or name of a member, that PostgreSQL or a reader of UTF-8 could not hold (I2). */
export function findText(value: unknown, path: string): LedgerError | undefined {
  if (typeof value === 'string') return textProblem(value, path);
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [key, member] of Object.entries(value)) {
    const found = textProblem(key, join(path, key)) ?? findText(member, join(path, key));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What is wrong with a text whatever it is for: U+0000 or half a surrogate pair (I2). */
export function textProblem(text: string, member: string): LedgerError | undefined {
  const what = text.includes('\0') ? 'U+0000' : text.isWellFormed() ? undefined : 'half of a surrogate pair';
  return what === undefined ? undefined : new LedgerError('text_invalid', `${member} holds ${what}`, { member });
}

/** The path of a member; a caller's own names are shown in part and without what a log could not hold. */
export function join(path: string, name: string): string {
  return path === '' ? shown(name) : `${path}.${shown(name)}`;
}

const shown = (name: string): string => {
  const text = name.replaceAll('\0', '␀').toWellFormed();
  return text.length <= 100 ? text : `${text.slice(0, 100)}…`;
};
