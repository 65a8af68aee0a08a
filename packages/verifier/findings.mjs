/**
 * What is wrong with a pack. Hides how findings are ordered and how many are kept. Guarantees: what is wrong with the files
 * themselves comes first, since what they say is vouched for by nobody then; then that of the lowest position, then of the
 * earliest check; memory stays small however many there are.
 */

/** The checks, in the order of the section "What to check" of the format. */
export const CHECKS = /** @type {const} */ (['files', 'events', 'tree', 'signatures', 'kept checkpoints', 'books', 'reports']);

/** @typedef {typeof CHECKS[number]} Check */
/**
 * Where it is: in which file, in which line of it (from 1 on), at which event, on which account (its code).
 * @typedef {{ file: string, line?: number, position?: number, account?: string }} Place
 */
/** @typedef {Place & { check: Check, what: string, expected?: string, found?: string }} Finding */

/** So many of one check in one file are kept; the others are counted. */
const KEPT = 5;

export class Findings {
  /** By check and file. @type {Map<string, Finding[]>} */
  #kept = new Map();
  /** How many there were in all, also those that were not kept. */
  count = 0;
  /** What is not wrong but must be known. @type {string[]} */
  warnings = [];

  /** @param {Check} check @param {Place} place @param {string} what @param {unknown} [expected] @param {unknown} [found] */
  add(check, place, what, expected, found) {
    this.count++;
    const { position, ...elsewhere } = place;
    // A position that a report states may be no number; one that is none is no place.
    const finding = { check, ...(Number.isSafeInteger(position) ? place : elsewhere), what };
    if (expected !== undefined) Object.assign(finding, { expected: shorten(expected) });
    if (expected !== undefined || found !== undefined) Object.assign(finding, { found: shorten(found) });
    const key = JSON.stringify([check, place.file]);
    const same = this.#kept.get(key) ?? [];
    // Rows of a report are not in the order of positions: what is kept are the lowest.
    this.#kept.set(key, [...same, finding].sort(compare).slice(0, KEPT));
  }

  /** @returns {Finding[]} the first one first */
  list() {
    return [...this.#kept.values()].flat().sort(compare);
  }
}

/** @param {Finding} a @param {Finding} b */
function compare(a, b) {
  const files = Number(b.check === 'files') - Number(a.check === 'files');
  if (files !== 0) return files;
  const [first, second] = [a.position ?? Infinity, b.position ?? Infinity];
  return first === second ? CHECKS.indexOf(a.check) - CHECKS.indexOf(b.check) : first - second;
}

/** A value for a message, not longer than a line. @param {unknown} value @returns {string} */
function shorten(value) {
  const text = value === undefined ? 'nothing' : typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}
