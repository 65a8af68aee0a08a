/**
 * Which keys and which names a pack may use: `log/keys.json` and `log/names.json`. Hides how trust goes from one key to the
 * next. Guarantees: a key counts only if it was given, or if a key that counts has signed its statement; a name counts only as
 * far as its successor lets it, and a pack with more than one is told of.
 */
import { lacks, parseJson } from './json.mjs';
import { NoteError, parseCheckpoint, parseKey, readNote } from './note.mjs';

/** @typedef {import('./note.mjs').Key} Key */
/** @typedef {{ origin: string, size: number }} LogName */

const KEYS = 'log/keys.json';
const NAMES = 'log/names.json';

/**
 * The rows of a list that are as the format says, with a function that tells what is wrong with each.
 *
 * @param {import('./pack.mjs').Pack} pack
 * @param {string} file
 * @param {Parameters<typeof lacks>[1]} members
 * @param {import('./findings.mjs').Findings} findings
 * @returns {Promise<{ row: any, index: number, wrong: (what: string, expected?: unknown, found?: unknown) => void }[]>}
 */
async function rowsOf(pack, file, members, findings) {
  const rows = parseJson(await pack.text(file));
  if (!Array.isArray(rows)) throw new SyntaxError('it is no list');
  return rows.flatMap((row, index) => {
    /** @param {string} what @param {unknown} [expected] @param {unknown} [found] */
    const wrong = (what, expected, found) => findings.add('signatures', { file }, `number ${index + 1}: ${what}`, expected, found);
    const lack = lacks(row, members);
    if (lack) wrong(...lack);
    else if (row.number !== index + 1) wrong('numbers are 1, 2, 3 …', index + 1, row.number);
    return lack ? [] : [{ row, index, wrong }];
  });
}

/**
 * Follows the statements from the given keys on.
 *
 * @param {import('./pack.mjs').Pack} pack
 * @param {Key[]} given
 * @param {import('./findings.mjs').Findings} findings
 * @returns {Promise<{ trusted: Key[], names: Set<string>, followed: number }>} the keys to check signatures with (witnesses too), the
 * names of
 * all keys of the file, and how many are trusted by their statements
 */
export async function followKeys(pack, given, findings) {
  const trusted = new Map(given.map((key) => [key.text, key]));
  /** @type {Set<string>} */
  const names = new Set();
  /** @type {Key | undefined} */
  let before;
  const members = /** @type {const} */ ({ number: 'whole number', key: 'text', activatedAt: 'text', statement: 'text' });
  for (const { row, wrong } of await rowsOf(pack, KEYS, members, findings)) {
    try {
      const key = parseKey(row.key);
      names.add(key.name);
      const note = readNote(row.statement, before ? [before, key] : [key]);
      const known = [`key ${row.number} ${key.text}`, `since ${row.activatedAt}`, `after ${before?.text ?? '-'}`];
      requireStatement(note.text, ['book-keeper signing key/v1', ...known], ['reason']);
      if (note.signers.length === 0) throw new NoteError('its statement is signed neither by it nor by the key before it');
      if (before && trusted.has(before.text) && !trusted.has(key.text)) {
        if (note.signers.includes(before)) trusted.set(key.text, key);
        else
          findings.warnings.push(
            `Key ${row.number}, ${key.text}, is not signed by the one before it: trust ends there. Give it too if you trust it.`,
          );
      }
      before = key;
    } catch (error) {
      if (!(error instanceof NoteError)) throw error;
      wrong(error.message);
      before = undefined;
    }
  }
  return { trusted: [...trusted.values()], names, followed: trusted.size - given.length };
}

/**
 * Reads the names of the log.
 *
 * @param {import('./pack.mjs').Pack} pack
 * @param {string} book its id
 * @param {{ trusted: Key[], names: Set<string> }} keys
 * @param {import('./findings.mjs').Findings} findings
 * @returns {Promise<LogName[]>}
 */
export async function readNames(pack, book, keys, findings) {
  /** @type {LogName[]} */
  const names = [];
  const members = /** @type {const} */ ({
    number: 'whole number',
    origin: 'text',
    size: 'whole number',
    recordedAt: 'text',
    'statement?': 'text',
  });
  for (const { row, index, wrong } of await rowsOf(pack, NAMES, members, findings)) {
    const { number, origin, size, recordedAt, statement = '' } = row;
    const possible = [...keys.names].map((name) => `${name}/${book}${index === 0 ? '' : `~${index + 1}`}`);
    if (!possible.includes(origin)) wrong('a name is NAME OF THE KEY/BOOK, with ~n behind it for the n-th', possible.join(' or '), origin);
    const before = names.at(-1);
    names.push({ origin, size });
    if (!before) continue;
    try {
      const note = readNote(statement, keys.trusted);
      const known = [`name ${number} of ${book} ${origin}`, `since ${recordedAt}, from ${size} events on`, `after ${before.origin}`];
      const said = requireStatement(note.text, ['book-keeper log name/v1', ...known], ['reason', 'lost']);
      if (note.signers.length === 0) throw new NoteError('its statement is not signed by a key that you trust');
      const given = readNote(said.lost ?? '', keys.trusted);
      const lost = parseCheckpoint(given.text);
      if (given.signers.length === 0) throw new NoteError('what was given up is not signed by a key that you trust');
      // Where a backup is from before an earlier loss, what was given up may have a later name; it never is of another book.
      if (![...keys.names].some((name) => isNameOf(lost.origin, name, book)))
        throw new NoteError(`what was given up belongs to another log, ${lost.origin}`);
      findings.warnings.push(
        `SIGNED EVENTS WERE GIVEN UP. Since ${recordedAt}, from ${size} events on, this log has the name ${origin}. What had been signed as ` +
          `${lost.origin} up to event ${lost.size} was given up ${said.by}, for this reason: ${said.reason}`,
      );
    } catch (error) {
      if (!(error instanceof NoteError)) throw error;
      wrong(error.message);
    }
  }
  return names;
}

/** @param {string} origin @param {string} name of a key @param {string} book */
const isNameOf = (origin, name, book) =>
  origin.startsWith(`${name}/${book}`) && /^(~[1-9]\d*)?$/.test(origin.slice(`${name}/${book}`.length));

/**
 * A statement is some lines that are known, a line `by USER`, and lines with JSON strings.
 *
 * @param {string} text
 * @param {string[]} known
 * @param {string[]} strings the first words of the lines with JSON strings
 * @returns {Record<string, string>} what stands behind each first word that was not known; `by` with that word
 * @throws {NoteError} if it says something else
 */
function requireStatement(text, known, strings) {
  const lines = text.split('\n');
  for (const [index, expected] of known.entries()) {
    if (lines[index] !== expected)
      throw new NoteError(`its statement says ${JSON.stringify(lines[index])}, not ${JSON.stringify(expected)}`);
  }
  /** @type {Record<string, string>} */
  const said = { by: lines[known.length] ?? '' };
  for (const [index, word] of strings.entries()) {
    const line = lines[known.length + 1 + index] ?? '';
    try {
      said[word] = line.startsWith(`${word} `) ? JSON.parse(line.slice(word.length + 1)) : undefined;
    } catch {
      // What is no JSON is no string, which is told below.
    }
    if (typeof said[word] !== 'string') throw new NoteError(`its statement says ${JSON.stringify(line)}, not "${word}" and a JSON string`);
  }
  const length = known.length + 1 + strings.length;
  if (!said.by?.startsWith('by ') || lines.length !== length + 1 || lines[length] !== '')
    throw new NoteError('its statement has other lines than the format says');
  return said;
}

/**
 * What is wrong with the name of a checkpoint: a name may sign sizes up to the one that its successor begins at.
 *
 * @param {LogName[]} names
 * @param {{ origin: string, size: number }} checkpoint
 * @returns {[what: string, expected: string, found: string] | undefined}
 */
export function misnamed(names, { origin, size }) {
  const index = names.findIndex((name) => name.origin === origin);
  if (index < 0) return ['the checkpoint belongs to another log', names.map((name) => name.origin).join(' or '), origin];
  const next = names[index + 1];
  if (!next || size <= next.size) return undefined;
  return [
    `events that were signed were given up: after ${next.size} the log goes on as ${next.origin}`,
    `at most ${next.size} events as ${origin}`,
    `${size}`,
  ];
}
