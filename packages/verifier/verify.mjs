#!/usr/bin/env node
/**
 * Verifies an audit pack of book-keeper: the format is docs/AUDIT-PACK.md of its repository, the use is in README.md here. Hides
 * the order of the checks and how results are told. Guarantees: "everything holds" is said only when every check was made to its
 * end and found nothing; what was not checked is named.
 */
import { realpathSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Books, EVENTS } from './books.mjs';
import { CsvError } from './csv.mjs';
import { CHECKS, Findings } from './findings.mjs';
import { canonical, lacks, parseJson } from './json.mjs';
import { checkLog, readKept } from './log.mjs';
import { KEY_FORM, keyLines, NoteError, parseKey, readNote } from './note.mjs';
import { CannotCheck, openPack, TextError } from './pack.mjs';
import { accountsByCode, checkChanges, checkTotals, checkYear, columnsOf, REPORTS } from './reports.mjs';
import { followKeys, readNames } from './trust.mjs';
import { PackError } from './zip.mjs';

const FORMAT = 'book-keeper audit pack/v1';
/** Files that every pack lists. */
const FILES = [
  'README.txt',
  'log/keys.json',
  'log/names.json',
  'log/events.jsonl',
  'log/checkpoints.jsonl',
  'log/consistency.json',
  ...REPORTS.map(([file]) => file),
];
const CHANGES = 'reports/changes-since.csv';
/** What may stand behind them, in this order. */
const FURTHER = [/^reports\/changes-since\.csv$/, /^exports\/[a-z0-9-]+\/[^/]+$/, /^personal\/texts\.jsonl$/];
/** @type {Parameters<typeof lacks>[1]} */
// biome-ignore format: a table
const MANIFEST = {
  format: 'text', book: 'object', origin: 'text', position: 'whole number', recordedAt: 'text', from: 'date YYYY-MM-DD',
  to: 'date YYYY-MM-DD', 'yearFrom?': 'date YYYY-MM-DD', 'since?': 'whole number', release: 'text', checkpoint: 'object',
  totals: 'object', files: 'list',
};
/** @type {Parameters<typeof lacks>[1]} */
const LISTED = { name: 'text', bytes: 'whole number', sha256: 'SHA-256 in hexadecimal' };

/** @typedef {import('./pack.mjs').Pack} Pack */
/** As `readManifest` has found it sound. @typedef {any} Manifest */
/** What each finished check has to say, if it found nothing. @typedef {Map<typeof CHECKS[number], string>} Said */

/**
 * @typedef {object} Result
 * @property {boolean} ok
 * @property {string} pack
 * @property {Manifest | undefined} manifest undefined if it cannot be read
 * @property {{ name: typeof CHECKS[number], state: 'holds' | 'wrong' | 'not done', said: string }[]} checks
 * @property {import('./findings.mjs').Finding} [first] the first thing that is wrong
 * @property {import('./findings.mjs').Finding[]} findings the first one first; of many of a kind only some
 * @property {number} count of findings, also of those that are not listed
 * @property {string[]} warnings what is not wrong but must be known
 * @property {string[]} byHashOnly files whose contents were not judged
 */

/**
 * Checks a pack.
 *
 * @param {string} path of the archive or of a folder with its files
 * @param {object} options
 * @param {string[]} options.keys as NAME+ID+KEY
 * @param {{ file: string, text: string }[]} [options.checkpoints] that somebody kept
 * @param {(progress: { events: number, of: number }) => void} [options.onProgress]
 * @returns {Promise<Result>}
 * @throws {CannotCheck}
 */
export async function verifyPack(path, { keys, checkpoints = [], onProgress }) {
  const given = [...new Set(keys)].map((key) => orCannotCheck(() => parseKey(key)));
  if (!given.some((key) => !key.witness))
    throw new CannotCheck('no key of a log is given (one with the type 1); without one no signature can be trusted');
  const findings = new Findings();
  /** @type {Result} */
  const result = {
    ok: false,
    pack: path,
    manifest: undefined,
    checks: [],
    findings: [],
    count: 0,
    warnings: findings.warnings,
    byHashOnly: [],
  };
  /** @type {Said} */
  const said = new Map();
  let pack;
  try {
    pack = await openPack(path);
  } catch (error) {
    if (!(error instanceof PackError)) throw error;
    findings.add('files', { file: path }, error.message);
    return conclude(result, findings, said);
  }
  try {
    for (const complaint of pack.complaints) findings.add('files', { file: path }, complaint);
    result.manifest = await readManifest(pack, findings);
    if (result.manifest) {
      await checkContents({ pack, manifest: result.manifest, given, checkpoints, findings, said, ...(onProgress && { onProgress }) });
      result.byHashOnly = await checkFiles(pack, result.manifest, findings, said);
    }
  } finally {
    await pack.close();
  }
  return conclude(result, findings, said);
}

/** @param {Result} result @param {Findings} findings @param {Said} said @returns {Result} */
function conclude(result, findings, said) {
  const list = findings.list();
  const checks = CHECKS.map((name) => {
    const wrong = list.some((finding) => finding.check === name);
    /** @type {Result['checks'][number]['state']} */
    const state = wrong ? 'wrong' : said.has(name) ? 'holds' : 'not done';
    return { name, state, said: said.get(name) ?? '' };
  });
  const ok = checks.every(({ state }) => state === 'holds');
  return { ...result, ok, checks, findings: list, count: findings.count, ...(list[0] && { first: list[0] }) };
}

/** @template T @param {() => T} read @returns {T} @throws {CannotCheck} */
function orCannotCheck(read) {
  try {
    return read();
  } catch (error) {
    throw new CannotCheck(/** @type {Error} */ (error).message);
  }
}

/** @param {Pack} pack @param {Findings} findings @returns {Promise<Manifest | undefined>} */
async function readManifest(pack, findings) {
  const file = 'manifest.json';
  if (!pack.names.some((name) => name === file || name === 'log/events.jsonl'))
    throw new CannotCheck('it is no audit pack: it has no manifest.json');
  /** @type {any} */
  let manifest;
  try {
    const text = await pack.text(file);
    manifest = parseJson(text);
    if (canonical(manifest) !== text) findings.add('files', { file }, 'it is not in RFC 8785 form');
  } catch (error) {
    if (!(error instanceof PackError || error instanceof SyntaxError)) throw error;
    findings.add('files', { file }, error.message);
    return undefined;
  }
  const { format } = manifest ?? {};
  if (typeof format === 'string' && format !== FORMAT)
    throw new CannotCheck(`the pack has the format ${harmless(format)}; this program knows ${FORMAT}`);
  const lack =
    lacks(manifest, MANIFEST) ??
    lacks(manifest.book, { id: 'text', name: 'text', baseCurrency: 'text', fx: 'text', timeZone: 'text', 'entity?': 'object' }) ??
    lacks(manifest.checkpoint, { size: 'whole number', root: 'text' }) ??
    lacks(manifest.totals, {
      events: 'whole number',
      entries: 'whole number',
      lines: 'whole number',
      currencies: 'list',
      numbers: 'list',
    }) ??
    lacks(manifest.files.find((/** @type {unknown} */ each) => lacks(each, LISTED)) ?? manifest.files[0], LISTED);
  if (lack) findings.add('files', { file }, ...lack);
  if (lack) return undefined;
  const { from, to, yearFrom = from, position, since = 0 } = manifest;
  /** @type {[boolean, string, string, unknown][]} */
  const impossible = [
    [from > to, 'the range ends before it begins', `${from} or later`, to],
    [yearFrom > from, 'the fiscal year of the range begins after it', `yearFrom of ${from} or earlier`, yearFrom],
    // No fiscal year is longer than two years; one that began before would take income and expense of others into the openings.
    [
      yearFrom <= `${`${Number(from.slice(0, 4)) - 2}`.padStart(4, '0')}${from.slice(4)}`,
      'the fiscal year of the range begins two years before it or more',
      `yearFrom less than two years before ${from}`,
      yearFrom,
    ],
    [since > position, 'the earlier pack that changes are told since is later than this one', `since of ${position} or less`, since],
  ];
  const first = impossible.find(([is]) => is);
  if (first) findings.add('files', { file }, .../** @type {[string, string, unknown]} */ (first.slice(1)));
  return first ? undefined : manifest;
}

/**
 * Whether what a pack says has caused an error: not where this computer could not read on, or has no room for more.
 *
 * @param {unknown} error
 */
const isOfPack = (error) =>
  error instanceof Error &&
  !(error instanceof CannotCheck) &&
  !('code' in error) &&
  !(error instanceof RangeError && /maximum size|allocation|string length/i.test(error.message));

/**
 * Everything but the hashes of the files. What is no JSON, CSV or note, or no whole file, ends the checks that need it.
 *
 * @param {{ pack: Pack, manifest: Manifest, given: import('./note.mjs').Key[], checkpoints: { file: string, text: string }[], findings:
 * Findings,
 *   said: Said, onProgress?: (progress: { events: number, of: number }) => void }} contents
 */
async function checkContents({ pack, manifest, given, checkpoints, findings, said, onProgress }) {
  /**
   * @template T
   * @param {string} file
   * @param {typeof CHECKS[number]} check
   * @param {() => Promise<T>} read
   * @returns {Promise<T | undefined>}
   */
  const attempt = async (file, check, read) => {
    try {
      return await read();
    } catch (error) {
      // A broken file is told by the check of the files, which reads them all.
      if (error instanceof PackError) return undefined;
      if (error instanceof CsvError) findings.add(check, { file, line: error.line }, error.message);
      else if (error instanceof TextError) findings.add(error.file === EVENTS ? 'events' : check, { file: error.file }, error.message);
      else if (error instanceof SyntaxError || error instanceof NoteError) findings.add(check, { file }, error.message);
      else if (!isOfPack(error)) throw error;
      else findings.add(check, { file }, `what it says cannot be read: ${/** @type {Error} */ (error).message}`);
      return undefined;
    }
  };
  const keys = await attempt('log/keys.json', 'signatures', () => followKeys(pack, given, findings));
  const trusted = keys?.trusted ?? given;
  const logNames = keys && (await attempt('log/names.json', 'signatures', () => readNames(pack, manifest.book.id, keys, findings)));
  await attempt('manifest.note', 'files', () => checkNote(pack, manifest, trusted));
  const trust = { trusted, logNames };
  const kept = readKept(checkpoints, trust, findings);
  const columns = await columnsOf(pack);
  const books = new Books(manifest, findings, columns);
  const walk = { pack, manifest, trust, kept, books, findings, ...(onProgress && { onProgress }) };
  const log = await attempt('log/consistency.json', 'tree', () => checkLog(walk));
  if (!log) return;
  said.set('events', `${count(log.events)} events: their form, positions, versions and times`);
  const of = `the last one, of ${count(manifest.checkpoint.size)} events, contains this pack's`;
  said.set('tree', `${count(log.compared)} of ${count(log.checkpoints)} checkpoints have the root of the events before them; ${of}`);
  const witnesses = given.some((key) => key.witness) ? `, with ${count(log.cosigned)} signatures of witnesses` : '';
  for (const { text } of given.filter((key) => key.witness && !log.witnesses.includes(key.text)))
    findings.warnings.push(`The last checkpoint is not signed by the witness ${text}, whose key was given.`);
  const trustedBy = `keys given: ${count(given.length)}, trusted by their statements: ${count(keys?.followed ?? 0)}`;
  if (keys && logNames) said.set('signatures', `${count(log.checkpoints)} checkpoints${witnesses}; ${trustedBy}`);
  said.set(
    'kept checkpoints',
    checkpoints.length === 0 ? 'none were given' : `${count(log.kept)} of ${count(kept.length)} could be compared`,
  );
  const { entries, lines, bases } = books.counts;
  const inBase = bases > 0 ? `, ${count(bases)} of them in base amounts too` : '';
  const agree = `their account events, running totals and numbers agree; ${count(books.accounts.size)} accounts`;
  said.set('books', `${count(entries)} entries with ${count(lines)} lines balance${inBase}; ${agree}`);

  const byCode = accountsByCode(books, findings);
  if (!byCode) return;
  const context = { pack, manifest, books, findings, byCode, columns };
  checkYear(context);
  const totals = await attempt('manifest.json', 'reports', async () => checkTotals(context));
  if (totals === undefined) return;
  const rows = [];
  /** @type {typeof REPORTS} */
  const reports = [...REPORTS, ...(manifest.since === undefined ? [] : /** @type {typeof REPORTS} */ ([[CHANGES, checkChanges]]))];
  for (const [file, check] of reports) {
    const read = await attempt(file, 'reports', () => check(context, file));
    if (read !== undefined) rows.push(`${file.replace(/^.*\/|\.csv$/g, '')} ${count(read)}`);
  }
  if (rows.length === reports.length) said.set('reports', `computed again and compared, in rows: ${rows.join(', ')}; control totals`);
}

/**
 * The signed note over the manifest.
 *
 * @param {Pack} pack
 * @param {Manifest} manifest
 * @param {import('./note.mjs').Key[]} trusted
 * @throws {NoteError}
 */
async function checkNote(pack, manifest, trusted) {
  const { text, signers, unknown } = readNote(await pack.text('manifest.note'), trusted);
  const { sha256 } = await pack.digest('manifest.json');
  const expected = [FORMAT, manifest.origin, manifest.position, Buffer.from(sha256, 'hex').toString('base64'), ''].join('\n');
  if (text !== expected) throw new NoteError(`it says ${JSON.stringify(text)}; by the manifest it should say ${JSON.stringify(expected)}`);
  if (signers.length === 0) throw new NoteError(`it is not signed by a key that you trust, but by ${unknown.join(', ') || 'nobody'}`);
}

/**
 * Every file is there, once, with its bytes.
 *
 * @param {Pack} pack
 * @param {Manifest} manifest
 * @param {Findings} findings
 * @param {Said} said
 * @returns {Promise<string[]>} files that were only hashed
 */
async function checkFiles(pack, manifest, findings, said) {
  /** @type {string[]} */
  const listed = manifest.files.map((/** @type {{ name: string }} */ file) => file.name);
  const archive = [...listed, 'manifest.json', 'manifest.note'];
  /** @param {string} what @param {unknown} [expected] @param {unknown} [found] */
  const wrong = (what, expected, found) => findings.add('files', { file: 'manifest.json' }, what, expected, found);
  for (const file of FILES) if (!listed.includes(file)) wrong(`it does not list ${file}`);
  if ((manifest.since !== undefined) !== listed.includes(CHANGES)) wrong(`${CHANGES} is there if and only if "since" is`);
  if (new Set(listed).size !== listed.length) wrong('it lists a file twice');
  for (const file of pack.names) if (!archive.includes(file)) findings.add('files', { file }, 'the manifest does not list this file');
  // Where the format knows a name nobody can pass off another file as a report.
  for (const file of listed) if (placeOf(file) < 0) findings.add('files', { file }, 'the format knows no such file');
  /** @type {Map<string, string>} */
  const alike = new Map();
  for (const file of new Set([...archive, ...pack.names])) {
    const key = file
      .normalize('NFC')
      .toLowerCase()
      .split('/')
      .map((part) => part.replace(/[. ]+$/, ''))
      .join('/');
    const other = alike.get(key);
    if (other !== undefined) findings.add('files', { file }, `some computers take it for the same file as ${other}`);
    else alike.set(key, file);
  }
  const inOrder = listed.toSorted((a, b) => placeOf(a) - placeOf(b));
  const misplaced = listed.findIndex((file, at) => file !== inOrder[at]);
  if (misplaced >= 0) wrong('it lists the files in another order than the format', inOrder[misplaced], listed[misplaced]);
  const [there, due] = [pack.names.filter((file) => archive.includes(file)), archive.filter((file) => pack.names.includes(file))];
  const swapped = pack.ordered ? there.findIndex((file, at) => file !== due[at]) : -1;
  if (swapped >= 0) wrong('the archive has its files in another order', due[swapped], there[swapped]);
  /** @type {Set<string>} */
  const read = new Set();
  let total = 0;
  const hashed = [...manifest.files, { name: 'manifest.json' }, { name: 'manifest.note' }];
  for (const { name, bytes, sha256 } of hashed) {
    try {
      const digest = await pack.digest(name);
      total += digest.bytes;
      read.add(name);
      if (bytes !== undefined && digest.bytes !== bytes)
        findings.add('files', { file: name }, 'its size is not that of the manifest', bytes, digest.bytes);
      if (sha256 !== undefined && digest.sha256 !== sha256)
        findings.add('files', { file: name }, 'its SHA-256 is not that of the manifest', sha256, digest.sha256);
    } catch (error) {
      if (!(error instanceof PackError)) throw error;
      findings.add('files', { file: name }, error.message);
    }
  }
  said.set(
    'files',
    `${count(hashed.length)} files with ${count(total)} bytes: each is there once, with the SHA-256 of the signed manifest`,
  );
  return listed.filter((name) => read.has(name) && (name === 'README.txt' || !(FILES.includes(name) || name === CHANGES)));
}

/** Where the format has a file, among all; below 0 where it knows none of that name. @param {string} name */
function placeOf(name) {
  const further = FURTHER.findIndex((form) => form.test(name));
  return further < 0 ? FILES.indexOf(name) : FILES.length + further;
}

/** A number with spaces between thousands. @param {number} value */
const count = (value) => `${value}`.replace(/\B(?=(\d{3})+$)/g, ' ');

// --- the command ----------------------------------------------------------------------------------------------------

const USAGE = `Usage: book-keeper-verify PACK --key KEY [--key KEY…] [--checkpoint FILE…] [--json] [--quiet]

  PACK               an audit pack: the ZIP archive, or a folder with its files
  --key KEY          a public key that you trust, NAME+ID+KEY, or a file with one in each line
  --checkpoint FILE  checkpoints that you kept, to be compared with the pack
  --json             the result as JSON
  --quiet            nothing unless something is wrong or must be known

Exit status: 0 everything holds, 1 something is wrong, 2 it could not be checked.`;

const OPTIONS = /** @type {const} */ ({
  key: { type: 'string', multiple: true },
  checkpoint: { type: 'string', multiple: true },
  json: { type: 'boolean' },
  quiet: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
});

/** What a pack says may not steer the terminal that it is shown on, nor turn its words round. @param {string} text */
const harmless = (text) =>
  text.replace(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** @param {Result} result @param {boolean} quiet @returns {string} */
function inWords({ ok, pack, manifest, checks, first, findings, count: all, warnings, byHashOnly }, quiet) {
  const lines = warnings.map((warning) => `NOTE   ${warning}`);
  if (!quiet || !ok) {
    if (manifest) {
      const { book, position, recordedAt, from, to } = manifest;
      lines.unshift(
        `Audit pack ${pack} of the book ${book.id} (${book.name}): events 1 to ${count(position)}, recorded until ${recordedAt}; range ${from} to ${to}.`,
        '',
      );
    }
    const words = { holds: 'holds', wrong: 'WRONG', 'not done': 'NOT DONE' };
    for (const { name, state, said } of checks)
      lines.push(`${words[state].padEnd(9)} ${name.padEnd(17)} ${state === 'holds' ? said : ''}`.trimEnd());
  }
  if (!quiet && byHashOnly.length > 0) lines.push('', `Checked by their hash only, not by what they say: ${byHashOnly.join(', ')}.`);
  if (first) {
    lines.push('', 'The first thing that is wrong:', ...findingInWords(first));
    const why = first.check === 'files' ? ' (it may only stem from that: nobody vouches for what these files say)' : '';
    if (findings.length > 1) lines.push('', `Further${why}:`, ...findings.slice(1).flatMap(findingInWords));
    if (all > findings.length) lines.push(`  … and ${count(all - findings.length)} more of these kinds.`);
  }
  if (!quiet || !ok) lines.push('', ok ? 'Everything holds.' : 'Something is wrong with this pack.');
  return lines.map((line) => `${harmless(line)}\n`).join('');
}

/** @param {import('./findings.mjs').Finding} finding @returns {string[]} */
function findingInWords({ check, file, line, position, account, what, expected, found }) {
  const where = [file];
  if (line !== undefined) where.push(`line ${line}`);
  if (position !== undefined) where.push(`event position ${position}`);
  if (account !== undefined) where.push(`account ${account}`);
  const lines = [`  ${where.join(', ')} (${check}): ${what}`];
  if (expected !== undefined) lines.push(`    expected: ${expected}`);
  if (found !== undefined) lines.push(`    found:    ${found}`);
  return lines;
}

/** @param {string} file */
const readText = (file) =>
  readFile(file, 'utf8').catch((error) => {
    throw new CannotCheck(error.message);
  });

/** @param {string[]} args @returns {Promise<number>} exit status */
async function main(args) {
  try {
    const { values, positionals } = orCannotCheck(() => parseArgs({ args, allowPositionals: true, options: OPTIONS }));
    const [path, ...more] = positionals;
    if (values.help) {
      process.stdout.write(`${USAGE}\n`);
      return 0;
    }
    if (path === undefined || more.length > 0 || !values.key) throw new CannotCheck(`one pack and at least one key are needed\n\n${USAGE}`);
    const keys = [];
    for (const key of values.key) keys.push(...(KEY_FORM.test(key) ? [key] : keyLines(await readText(key))));
    const checkpoints = [];
    for (const file of values.checkpoint ?? []) checkpoints.push({ file, text: await readText(file) });
    const quiet = values.quiet ?? false;
    const shown = process.stderr.isTTY && !quiet;
    const result = await verifyPack(path, {
      keys,
      checkpoints,
      ...(shown && { onProgress: ({ events, of }) => process.stderr.write(`\r${count(events)} of ${count(of)} events `) }),
    });
    if (shown) process.stderr.write('\r\x1b[K');
    process.stdout.write(values.json ? `${JSON.stringify(result, undefined, 2)}\n` : inWords(result, quiet));
    return result.ok ? 0 : 1;
  } catch (error) {
    process.stderr.write(`It could not be checked: ${error instanceof CannotCheck ? error.message : /** @type {Error} */ (error).stack}\n`);
    return 2;
  }
}

// A command installed by npm is a link to this file.
if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  main(process.argv.slice(2)).then((status) => {
    process.exitCode = status;
  });
}
