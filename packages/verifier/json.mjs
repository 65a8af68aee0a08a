/**
 * JSON as the pack writes it. Hides the canonical form (RFC 8785) and what JSON.parse passes over in silence. Guarantees: a text
 * that is taken says one thing only (no member twice, no half surrogates), and whoever reads a member through `lacks` knows its
 * kind.
 */

/** Nothing that a pack says nests deeper; what does would exhaust the stack of whoever reads it. */
const DEPTH_MAX = 100;
const tooDeep = () => new SyntaxError(`it nests deeper than ${DEPTH_MAX} levels`);

/**
 * Reads JSON that need not be canonical.
 *
 * @param {string} text
 * @returns {any}
 * @throws {SyntaxError} where it is no JSON, nests too deep, or an object has a member twice
 */
export function parseJson(text) {
  const value = JSON.parse(text);
  // JSON.parse keeps the last of two members with the same name; then fewer are left than were written.
  if (membersWritten(text) !== countMembers(value, 0)) throw new SyntaxError('an object has a member twice');
  return value;
}

/** Texts with a colon behind them. In valid JSON quotes stand nowhere but around texts. @param {string} json */
function membersWritten(json) {
  let members = 0;
  for (let at = json.indexOf('"'); at >= 0; at = json.indexOf('"', at)) {
    at++;
    while (json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
    at++;
    while (/[ \t\r\n]/.test(json[at] ?? '')) at++;
    if (json[at] === ':') members++;
  }
  return members;
}

/** @param {unknown} value @param {number} depth @returns {number} @throws {SyntaxError} */
function countMembers(value, depth) {
  if (value === null || typeof value !== 'object') return 0;
  if (depth >= DEPTH_MAX) throw tooDeep();
  const inner = Object.values(value).reduce((sum, each) => sum + countMembers(each, depth + 1), 0);
  return Array.isArray(value) ? inner : inner + Object.keys(value).length;
}

/**
 * The RFC 8785 form of a value that JSON.parse has read: members sorted by UTF-16 units (3.2.3), numbers and texts as ECMAScript
 * writes them (3.2.2). A line that equals the canonical form of what it says has no member twice, since the second would be lost.
 *
 * @param {unknown} value
 * @param {number} [depth] of what it stands in
 * @returns {string}
 * @throws {SyntaxError} at half of a surrogate pair, which no UTF-8 can hold, and where it nests too deep
 */
export function canonical(value, depth = 0) {
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new SyntaxError('a text has half of a surrogate pair');
    return JSON.stringify(value);
  }
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (depth >= DEPTH_MAX) throw tooDeep();
  let written = '';
  if (Array.isArray(value)) {
    for (const each of value) written += `${written === '' ? '' : ','}${canonical(each, depth + 1)}`;
    return `[${written}]`;
  }
  const object = /** @type {Record<string, unknown>} */ (value);
  for (const name of Object.keys(object).sort())
    written += `${written === '' ? '' : ','}${canonical(name)}:${canonical(object[name], depth + 1)}`;
  return `{${written}}`;
}

/** @param {unknown} value @returns {value is Record<string, any>} */
const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);
/** @param {RegExp} form @returns {(value: unknown) => boolean} */
const formed = (form) => (value) => typeof value === 'string' && form.test(value);
/** @param {unknown} value */
const isWhole = (value) => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

const DATE = /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/;
/** A day that the calendar has. @param {unknown} value */
const isDate = (value) => {
  if (typeof value !== 'string' || !DATE.test(value)) return false;
  if (value.slice(8) <= '28') return true;
  const [year, month] = [Number(value.slice(0, 4)), Number(value.slice(5, 7))];
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return Number(value.slice(8)) <= (month === 2 ? (leap ? 29 : 28) : [4, 6, 9, 11].includes(month) ? 30 : 31);
};
const TIME = /^T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z$/;

/** The kinds of members that are known, by the name that a finding gives them. */
const KINDS = {
  text: formed(/^/),
  'whole number': isWhole,
  'text or whole number': (/** @type {unknown} */ value) => typeof value === 'string' || isWhole(value),
  'true or false': (/** @type {unknown} */ value) => typeof value === 'boolean',
  list: Array.isArray,
  object: isObject,
  'date YYYY-MM-DD': isDate,
  'time in UTC with six decimals': (/** @type {unknown} */ value) =>
    typeof value === 'string' && isDate(value.slice(0, 10)) && TIME.test(value.slice(10)),
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
