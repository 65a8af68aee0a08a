/**
 * JSON as the pack writes it. Hides the canonical form (RFC 8785) and what JSON.parse passes over in silence. Guarantees: a text
 * that is taken says one thing only (no member twice, no half surrogates), and whoever reads a member through `lacks` knows its
 * kind.
 */

/** A text between quotes, and the colon behind it if it names a member. In valid JSON quotes stand nowhere else. */
const STRINGS = /"[^"\\]*(?:\\.[^"\\]*)*"\s*(:?)/g;

/**
 * Reads JSON that need not be canonical.
 *
 * @param {string} text
 * @returns {any}
 * @throws {SyntaxError} where it is no JSON, or an object has a member twice
 */
export function parseJson(text) {
  const value = JSON.parse(text);
  let written = 0;
  for (const [, colon] of text.matchAll(STRINGS)) if (colon) written++;
  // JSON.parse keeps the last of two members with the same name; then fewer are left than were written.
  if (written !== countMembers(value)) throw new SyntaxError('an object has a member twice');
  return value;
}

/** @param {unknown} value @returns {number} */
function countMembers(value) {
  if (value === null || typeof value !== 'object') return 0;
  const inner = Object.values(value).reduce((sum, each) => sum + countMembers(each), 0);
  return Array.isArray(value) ? inner : inner + Object.keys(value).length;
}

/**
 * The RFC 8785 form of a value that JSON.parse has read: members sorted by UTF-16 units (3.2.3), numbers and texts as ECMAScript
 * writes them (3.2.2). A line that equals the canonical form of what it says has no member twice, since the second would be lost.
 *
 * @param {unknown} value
 * @returns {string}
 * @throws {SyntaxError} at half of a surrogate pair, which no UTF-8 can hold
 */
export function canonical(value) {
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new SyntaxError('a text has half of a surrogate pair');
    return JSON.stringify(value);
  }
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const object = /** @type {Record<string, unknown>} */ (value);
  const members = Object.keys(object).sort();
  return `{${members.map((name) => `${canonical(name)}:${canonical(object[name])}`).join(',')}}`;
}

/** @param {unknown} value @returns {value is Record<string, any>} */
const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);
/** @param {RegExp} form @returns {(value: unknown) => boolean} */
const formed = (form) => (value) => typeof value === 'string' && form.test(value);
/** @param {unknown} value */
const isWhole = (value) => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

/** The kinds of members that are known, by the name that a finding gives them. */
const KINDS = {
  text: formed(/^/),
  'whole number': isWhole,
  'text or whole number': (/** @type {unknown} */ value) => typeof value === 'string' || isWhole(value),
  'true or false': (/** @type {unknown} */ value) => typeof value === 'boolean',
  list: Array.isArray,
  object: isObject,
  'date YYYY-MM-DD': formed(/^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/),
  'time in UTC with six decimals': formed(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
  'amount in plain decimals': formed(/^(0|[1-9]\d*)(\.\d+)?$/),
  'SHA-256 in hexadecimal': formed(/^[0-9a-f]{64}$/),
};

/**
 * Says which member an object lacks, or has of another kind.
 *
 * @param {unknown} value
 * @param {Record<string, keyof typeof KINDS>} members a name with ? behind it may be left out
 * @returns {[what: string, expected: string, found: unknown] | undefined} undefined if it has all
 */
export function lacks(value, members) {
  if (!isObject(value)) return ['it is no object', 'an object', value];
  for (const [member, kind] of Object.entries(members)) {
    const name = member.replace('?', '');
    const found = value[name];
    if (found === undefined && member.endsWith('?')) continue;
    if (!KINDS[kind](found)) return [`member "${name}" is not as the format says`, kind, found];
  }
  return undefined;
}
