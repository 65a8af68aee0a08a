/**
 * The log: its events, its tree and what was signed of it, in one walk over `log/events.jsonl`. Hides that the checkpoints are
 * read beside the events, so that neither must be held. Guarantees: every line was hashed as it stands; every root that can be
 * computed from this pack was compared with the one that was signed.
 */
import { isUtf8 } from 'node:buffer';
import { EVENTS } from './books.mjs';
import { canonical, lacks, parseJson } from './json.mjs';
import { isConsistent, leafHash, Tree } from './merkle.mjs';
import { fromBase64, NoteError, parseCheckpoint, readNote, splitNotes } from './note.mjs';
import { misnamed } from './trust.mjs';

/** cosigners: given keys of witnesses. @typedef {import('./note.mjs').Checkpoint & { line: number, cosigners?: string[] }} Signed */
/**
 * @typedef {{ trusted: import('./note.mjs').Key[], logNames: import('./trust.mjs').LogName[] | undefined }} Trust logNames: undefined if
 * they cannot be read
 */
/** @typedef {Signed & { file: string }} Kept */

const CHECKPOINTS = 'log/checkpoints.jsonl';
const PROOF = 'log/consistency.json';

/** @type {Parameters<typeof lacks>[1]} */
// biome-ignore format: a table
const ENVELOPE = {
  aggregateId: 'text', aggregateType: 'text', bookId: 'text', data: 'object', eventId: 'text', eventType: 'text',
  eventVersion: 'whole number', metadata: 'object', position: 'whole number', recordedAt: 'time in UTC with six decimals',
  'userId?': 'text', version: 'whole number',
};
const MEMBERS = new Set(Object.keys(ENVELOPE).map((name) => name.replace('?', '')));

/**
 * @typedef {object} Walk
 * @property {import('./pack.mjs').Pack} pack
 * @property {Record<string, any>} manifest
 * @property {Trust} trust
 * @property {Kept[]} kept the smallest first
 * @property {import('./books.mjs').Books} books
 * @property {import('./findings.mjs').Findings} findings
 * @property {(progress: { events: number, of: number }) => void} [onProgress]
 */

/**
 * Walks over the log and reports what it finds.
 *
 * @param {Walk} walk
 * @returns {Promise<{ events: number, checkpoints: number, compared: number, cosigned: number, kept: number, witnesses: string[] }>} how
 * many there were; kept: of which the root was compared; witnesses: given keys that signed the last checkpoint
 */
export async function checkLog(walk) {
  const { pack, manifest, books, findings, onProgress } = walk;
  const tree = new Tree();
  const envelopes = new Envelopes(manifest.book.id, findings);
  const counts = { events: 0, checkpoints: 0, compared: 0, cosigned: 0, kept: 0, witnesses: /** @type {string[]} */ ([]) };
  const signed = readCheckpoints(walk, counts);
  let next = await signed.next();
  let kept = 0;
  /** Up to where a signed root was found right. */
  let sound = 0;
  /** @type {Signed | undefined} */
  let last;
  /** @type {Buffer | undefined} */
  let atPosition;
  /** @type {import('./books.mjs').Event | undefined} */
  let event;

  /** @param {Signed} checkpoint @param {'tree' | 'kept checkpoints'} check @param {string} file */
  const compare = (checkpoint, check, file) => {
    const root = tree.root();
    if (root.equals(checkpoint.root)) {
      if (check === 'tree') sound = Math.max(sound, checkpoint.size);
      return;
    }
    const what = `the first ${checkpoint.size} events have another root than was signed; the first ${sound} are right, so look behind them`;
    const place = { file, line: checkpoint.line, position: checkpoint.size };
    findings.add(check, place, what, checkpoint.root.toString('base64'), root.toString('base64'));
  };
  const compareAll = async () => {
    for (; !next.done && next.value.size <= tree.size; next = await signed.next()) {
      last = next.value;
      if (last.size !== tree.size) continue; // The wrong order was told when it was read.
      counts.compared++;
      compare(last, 'tree', CHECKPOINTS);
    }
    for (let mine = walk.kept[kept]; mine && mine.size <= tree.size; mine = walk.kept[++kept]) {
      counts.kept++;
      compare(mine, 'kept checkpoints', mine.file);
    }
    if (tree.size === manifest.position) atPosition = tree.root();
  };

  await compareAll();
  for await (const bytes of pack.lines(EVENTS)) {
    tree.append(leafHash(bytes));
    const read = envelopes.read(bytes, tree.size);
    if (read) {
      event = read;
      books.take(event);
    }
    if ((!next.done && next.value.size <= tree.size) || (walk.kept[kept]?.size ?? Infinity) <= tree.size || tree.size === manifest.position)
      await compareAll();
    if (tree.size % 100_000 === 0) onProgress?.({ events: tree.size, of: manifest.position });
  }
  onProgress?.({ events: tree.size, of: manifest.position });
  counts.events = tree.size;
  if (tree.size !== manifest.position) {
    findings.add(
      'events',
      { file: EVENTS, line: tree.size },
      'there are not as many events as the manifest says',
      manifest.position,
      tree.size,
    );
  }
  if (event && event.recordedAt !== manifest.recordedAt) {
    findings.add('events', { file: 'manifest.json' }, 'recordedAt is not that of the last event', event.recordedAt, manifest.recordedAt);
  }
  const beyond = walk.kept.slice(kept);
  /** Checkpoints behind the events that are as large as one that was kept. @type {Map<number, Signed>} */
  const asLarge = new Map();
  /** Sizes of those between the events and the last one. @type {{ count: number, first?: number, last?: number }} */
  const between = { count: 0 };
  for (; !next.done; next = await signed.next()) {
    if (last && last.size > manifest.position && next.value.size > last.size) {
      between.count++;
      between.first ??= last.size;
      between.last = last.size;
    }
    last = next.value;
    if (beyond.some(({ size }) => size === last?.size)) asLarge.set(last.size, last);
  }
  if (between.count > 0) {
    const which = `${between.count} checkpoints of the pack, of ${between.first} to ${between.last} events`;
    findings.warnings.push(`${which}, could not be computed again: the pack has not all of their events.`);
  }
  await checkEnd(walk, atPosition, last);
  counts.kept += compareBeyond(walk, beyond, asLarge, last);
  counts.witnesses = last?.cosigners ?? [];
  return counts;
}

/**
 * The last checkpoint, and the proof that leads to it.
 *
 * @param {Walk} walk
 * @param {Buffer | undefined} atPosition root of `position` events
 * @param {Signed | undefined} last
 */
async function checkEnd({ pack, manifest, findings }, atPosition, last) {
  const { position, checkpoint, origin } = manifest;
  /** @param {string} file @param {string} what @param {unknown} [expected] @param {unknown} [found] */
  const wrong = (file, what, expected, found) => findings.add('tree', { file }, what, expected, found);
  if (!last) return wrong(CHECKPOINTS, 'there is no checkpoint: nothing is signed');
  const root = last.root.toString('base64');
  if (last.size < position)
    wrong(CHECKPOINTS, 'the last checkpoint has fewer events than the pack: the rest is not signed', position, last.size);
  if (checkpoint.size !== last.size)
    wrong('manifest.json', 'checkpoint.size is not that of the last checkpoint', last.size, checkpoint.size);
  if (checkpoint.root !== root) wrong('manifest.json', 'checkpoint.root is not that of the last checkpoint', root, checkpoint.root);
  if (origin !== last.origin) wrong('manifest.json', 'origin is not that of the last checkpoint', last.origin, origin);
  const proof = parseJson(await pack.text(PROOF));
  const lack = lacks(proof, { from: 'whole number', to: 'whole number', hashes: 'list' });
  if (lack) return wrong(PROOF, ...lack);
  if (proof.from !== position) wrong(PROOF, 'from is not the position of the manifest', position, proof.from);
  if (proof.to !== last.size) wrong(PROOF, 'to is not the size of the last checkpoint', last.size, proof.to);
  const odd = proof.hashes.findIndex((/** @type {unknown} */ hash) => typeof hash !== 'string');
  if (odd >= 0) return wrong(PROOF, `hash ${odd + 1} is no text`, 'text', proof.hashes[odd]);
  const hashes = proof.hashes.map((/** @type {string} */ hash) => fromBase64(hash, 32));
  // Without a root there is nothing to lead from; that events are missing was told.
  if (!atPosition || isConsistent({ size: position, root: atPosition }, last, hashes)) return;
  wrong(
    PROOF,
    `the proof does not lead from the ${position} events of the pack to the last checkpoint`,
    `${last.size} events with the root ${root}`,
  );
}

/**
 * Kept checkpoints beyond the events of the pack.
 *
 * @param {Walk} walk
 * @param {Kept[]} kept
 * @param {Map<number, Signed>} asLarge checkpoints of the pack by their sizes
 * @param {Signed | undefined} last
 * @returns {number} how many could be compared
 */
function compareBeyond({ findings }, kept, asLarge, last) {
  let compared = 0;
  /** @type {Kept | undefined} */
  let before;
  for (const mine of kept) {
    const { file, line, size, root } = mine;
    const place = { file, line, position: size };
    const theirs = asLarge.get(size);
    if (theirs) {
      compared++;
      const what = `the ${theirs === last ? 'last ' : ''}checkpoint of the pack of ${size} events has another root`;
      if (!root.equals(theirs.root)) findings.add('kept checkpoints', place, what, root.toString('base64'), theirs.root.toString('base64'));
    } else if (last && size < last.size) {
      const why = 'the pack has not all of its events; ask for one up to there';
      findings.warnings.push(`The kept checkpoint of ${size} events (${file}, line ${line}) could not be compared: ${why}.`);
    } else {
      findings.add(
        'kept checkpoints',
        place,
        'the log had more events when this was signed than the whole pack knows of: its end was cut off, or the pack is older than the checkpoint (then keep it for a later pack)',
        `a last checkpoint of ${size} events or more`,
        last ? `one of ${last.size}` : 'none',
      );
    }
    if (before?.size === size && !before.root.equals(root)) {
      const [first, second] = [before.root, root].map((each) => each.toString('base64'));
      findings.add(
        'kept checkpoints',
        place,
        `two kept checkpoints of ${size} events have different roots: the log was forked`,
        first,
        second,
      );
    }
    before = mine;
  }
  return compared;
}

/** What holds of each event by itself and of its place among the others. */
class Envelopes {
  #book;
  #findings;
  /** The newest version, by aggregateId. @type {Map<string, number>} */
  #versions = new Map();
  #recordedAt = '';

  /** @param {string} book @param {import('./findings.mjs').Findings} findings */
  constructor(book, findings) {
    this.#book = book;
    this.#findings = findings;
  }

  /**
   * Reads a line and says what is wrong with it.
   *
   * @param {Buffer} bytes
   * @param {number} line where it stands, which is the position that it must have
   * @returns {import('./books.mjs').Event | undefined} undefined if nothing can be made of it
   */
  read(bytes, line) {
    /** @param {string} what @param {unknown} [expected] @param {unknown} [found] */
    const wrong = (what, expected, found) => this.#findings.add('events', { file: EVENTS, line, position: line }, what, expected, found);
    const text = bytes.toString('utf8');
    let event;
    try {
      if (!isUtf8(bytes)) throw new SyntaxError('its bytes are no UTF-8');
      event = JSON.parse(text);
      const form = canonical(event);
      if (form !== text) wrong('the line is not in RFC 8785 form', form, text);
    } catch (error) {
      wrong(`the line is no JSON: ${/** @type {Error} */ (error).message}`, undefined, text);
      return undefined;
    }
    const lack = lacks(event, ENVELOPE);
    if (lack) {
      wrong(...lack);
      return undefined;
    }
    const further = Object.keys(event).filter((name) => !MEMBERS.has(name));
    if (further.length > 0) wrong('the event has members that the format does not know', [...MEMBERS].join(', '), further.join(', '));
    const { position, bookId, aggregateId, version, recordedAt } = event;
    if (position !== line) wrong('positions are 1, 2, 3 … without a gap', line, position);
    if (bookId !== this.#book) wrong('the event belongs to another book', this.#book, bookId);
    const due = (this.#versions.get(aggregateId) ?? 0) + 1;
    if (version !== due) wrong(`versions of ${aggregateId} are 1, 2, 3 … without a gap`, due, version);
    this.#versions.set(aggregateId, version);
    if (recordedAt < this.#recordedAt) wrong('recordedAt falls', `${this.#recordedAt} or later`, recordedAt);
    this.#recordedAt = recordedAt;
    // What follows counts positions by the lines, so that one that is missing is told once.
    return { ...event, position: line };
  }
}

/**
 * Reads a signed checkpoint and tells what is wrong with it.
 *
 * @param {string} note
 * @param {Trust} trust
 * @param {import('./findings.mjs').Place} place gets the checkpoint's position
 * @param {(what: string, expected?: string, found?: string) => void} wrong tells what is wrong at that place
 * @returns {{ checkpoint?: import('./note.mjs').Checkpoint, cosigners: string[] }} the checkpoint, if it can be read, also where its
 * signature is wrong; and the keys of witnesses that signed it
 */
function readCheckpoint(note, { trusted, logNames }, place, wrong) {
  let checkpoint;
  try {
    // Read before the signatures are checked: its root is compared even where they are wrong, to say as much as can be said.
    checkpoint = parseCheckpoint(note.slice(0, note.lastIndexOf('\n\n') + 1));
    place.position = checkpoint.size;
    const misnomer = logNames && misnamed(logNames, checkpoint);
    if (misnomer) wrong(...misnomer);
    const { signers, witnesses, unknown } = readNote(note, trusted);
    const keys = trusted.filter((key) => !key.witness).map((key) => `${key.name}+${key.id}`);
    if (signers.length === 0)
      wrong('the checkpoint is not signed by a key that you trust', keys.join(' or '), unknown.join(', ') || 'none');
    return { checkpoint, cosigners: witnesses.map(({ key }) => key.text) };
  } catch (error) {
    if (!(error instanceof NoteError)) throw error;
    wrong(error.message);
    return { ...(checkpoint && { checkpoint }), cosigners: [] };
  }
}

/** Reads a line with a signed note. @param {string} text @returns {{ note: string, size: number }} @throws {NoteError} */
function noteOfLine(text) {
  try {
    const value = parseJson(text);
    const lack = lacks(value, { note: 'text', size: 'whole number' });
    if (lack) throw new NoteError(lack[0]);
    return value;
  } catch (error) {
    throw new NoteError(`it is no line with a note: ${/** @type {Error} */ (error).message}`);
  }
}

/**
 * The pack's checkpoints, one by one.
 *
 * @param {Walk} walk
 * @param {{ checkpoints: number, cosigned: number }} counts
 * @returns {AsyncGenerator<Signed, undefined>}
 */
async function* readCheckpoints({ pack, findings, trust }, counts) {
  let line = 0;
  /** @type {import('./note.mjs').Checkpoint | undefined} */
  let before;
  for await (const bytes of pack.lines(CHECKPOINTS)) {
    const place = { file: CHECKPOINTS, line: ++line };
    /** @param {string} what @param {unknown} [expected] @param {unknown} [found] */
    const wrong = (what, expected, found) => findings.add('signatures', place, what, expected, found);
    try {
      const { note, size } = noteOfLine(bytes.toString('utf8'));
      const { checkpoint, cosigners } = readCheckpoint(note, trust, place, wrong);
      if (!checkpoint) continue;
      if (checkpoint.size !== size) wrong('the line and its note have different sizes', checkpoint.size, size);
      if (before && checkpoint.size < before.size)
        wrong('checkpoints stand with the smallest first', `${before.size} or more`, checkpoint.size);
      if (before?.size === checkpoint.size && !before.root.equals(checkpoint.root)) {
        const [first, second] = [before.root, checkpoint.root].map((root) => root.toString('base64'));
        wrong(`two checkpoints of ${checkpoint.size} events have different roots: the log was forked`, first, second);
      }
      before = checkpoint;
      counts.checkpoints++;
      counts.cosigned += cosigners.length;
      yield { ...checkpoint, line, cosigners };
    } catch (error) {
      if (!(error instanceof NoteError)) throw error;
      wrong(error.message);
    }
  }
}

/**
 * Reads checkpoints that somebody kept: notes one after the other, or lines of a `log/checkpoints.jsonl`.
 *
 * @param {{ file: string, text: string }[]} files
 * @param {Trust} trust
 * @param {import('./findings.mjs').Findings} findings
 * @returns {Kept[]} those that can be read, the smallest first
 */
export function readKept(files, trust, findings) {
  /** @type {Kept[]} */
  const kept = [];
  for (const { file, text: whole } of files) {
    // Some editors put a byte order mark before what they save.
    const text = whole.replace(/^\ufeff/, '');
    const inJson = text.trimStart().startsWith('{');
    const notes = inJson ? text.split('\n').map((note, index) => ({ note, line: index + 1 })) : splitNotes(text);
    const said = notes.filter(({ note }) => note.trim() !== '');
    if (said.length === 0) findings.add('kept checkpoints', { file }, 'there is no checkpoint in this file');
    for (const { note, line } of said) {
      const place = { file, line };
      /** @param {string} what @param {unknown} [expected] @param {unknown} [found] */
      const wrong = (what, expected, found) => findings.add('kept checkpoints', place, what, expected, found);
      try {
        const { checkpoint } = readCheckpoint(inJson ? noteOfLine(note).note : note, trust, place, wrong);
        if (checkpoint) kept.push({ ...checkpoint, file, line });
      } catch (error) {
        if (!(error instanceof NoteError)) throw error;
        wrong(error.message);
      }
    }
  }
  return kept.sort((a, b) => a.size - b.size);
}
