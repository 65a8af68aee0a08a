/**
 * Signed notes (C2SP signed-note), keys, checkpoints (C2SP tlog-checkpoint) and the signatures of witnesses (C2SP
 * tlog-cosignature/v1). Hides their text forms and Ed25519 (RFC 8032). Guarantees: a key is taken only with the id that belongs
 * to it; a note is given out only if every signature on it that names a key at hand is right.
 */
import { createPublicKey, verify } from 'node:crypto';
import { sha256 } from './merkle.mjs';

/** A text that is not what it should be, or a signature that is wrong. */
export class NoteError extends Error {}

/** @typedef {{ text: string, name: string, id: string, witness: boolean, publicKey: import('node:crypto').KeyObject }} Key */
/**
 * @typedef {{ text: string, signers: Key[], witnesses: { key: Key, at: Date }[], unknown: string[] }} Note signers and witnesses are
 * those whose key was at hand
 */
/** @typedef {{ origin: string, size: number, root: Buffer }} Checkpoint */

const LOG_KEY = 0x01;
const WITNESS_KEY = 0x04;
export const KEY_FORM = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/;

/**
 * Base64 of RFC 4648 section 4, in the one form that these bytes have.
 *
 * @param {string} text
 * @param {number} [length]
 * @returns {Buffer}
 * @throws {NoteError}
 */
export function fromBase64(text, length) {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw new NoteError(`${JSON.stringify(text)} is no base64`);
  if (length !== undefined && bytes.length !== length)
    throw new NoteError(`${JSON.stringify(text)} has ${bytes.length} bytes, not ${length}`);
  return bytes;
}

/** Reads `NAME+ID+KEY`. @param {string} text @returns {Key} @throws {NoteError} */
export function parseKey(text) {
  const [, name, id, base64] = KEY_FORM.exec(text) ?? [];
  if (name === undefined || id === undefined || base64 === undefined)
    throw new NoteError(`${JSON.stringify(text)} is no key of the form NAME+ID+KEY`);
  const bytes = fromBase64(base64, 33);
  const type = bytes[0];
  if (type !== LOG_KEY && type !== WITNESS_KEY)
    throw new NoteError(`the key ${text} is of the type ${type}; known are 1 (Ed25519) and 4 (a witness)`);
  const expected = sha256(Buffer.from(`${name}\n`), bytes).toString('hex', 0, 4);
  if (expected !== id) throw new NoteError(`the key ${text} should have the id ${expected}; it was copied wrongly`);
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: bytes.toString('base64url', 1) }, format: 'jwk' });
  return { text, name, id, witness: type === WITNESS_KEY, publicKey };
}

/** Lines with keys; those that are empty or begin with # say nothing. @param {string} text @returns {string[]} */
export const keyLines = (text) =>
  text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));

/**
 * Reads a note and checks the signatures of the keys at hand. Those of other keys say nothing, good or bad.
 *
 * @param {string} note
 * @param {Key[]} keys
 * @returns {Note}
 * @throws {NoteError} if it is no note, or a signature is wrong
 */
export function readNote(note, keys) {
  const cut = note.lastIndexOf('\n\n');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: signed-note forbids them
  if (cut < 0 || !note.endsWith('\n') || /[\x00-\x09\x0b-\x1f]/.test(note)) throw new NoteError('it is no signed note');
  const text = note.slice(0, cut + 1);
  /** @type {Note} */
  const read = { text, signers: [], witnesses: [], unknown: [] };
  for (const line of note.slice(cut + 2, -1).split('\n')) {
    const [, name, base64] = /^\u2014 ([^+\s]+) (\S+)$/.exec(line) ?? [];
    if (name === undefined || base64 === undefined) throw new NoteError(`${JSON.stringify(line)} is no signature line`);
    const bytes = fromBase64(base64);
    const [id, signature] = [bytes.toString('hex', 0, 4), bytes.subarray(4)];
    const key = keys.find((each) => each.name === name && each.id === id);
    if (!key) {
      read.unknown.push(`${name}+${id}`);
    } else if (!key.witness) {
      if (!isSigned(text, key, signature)) throw new NoteError(`the signature of ${name}+${id} does not belong to this text`);
      read.signers.push(key);
    } else {
      const seconds = signature.length === 72 ? signature.readBigUInt64BE(0) : 0n;
      const signed = `cosignature/v1\ntime ${seconds}\n${text}`;
      if (!isSigned(signed, key, signature.subarray(8)))
        throw new NoteError(`the signature of the witness ${name}+${id} does not belong to this text`);
      read.witnesses.push({ key, at: new Date(Number(seconds) * 1000) });
    }
  }
  return read;
}

/** @param {string} text @param {Key} key @param {Buffer} signature */
const isSigned = (text, key, signature) => signature.length === 64 && verify(null, Buffer.from(text, 'utf8'), key.publicKey, signature);

/** @param {string} text of a note @returns {Checkpoint} @throws {NoteError} */
export function parseCheckpoint(text) {
  const [origin, size, root, rest, ...more] = text.split('\n');
  if (!origin || size === undefined || root === undefined || rest !== '' || more.length > 0)
    throw new NoteError('it is no checkpoint of three lines');
  if (!/^(0|[1-9]\d{0,15})$/.test(size) || !Number.isSafeInteger(Number(size))) throw new NoteError(`${JSON.stringify(size)} is no size`);
  return { origin, size: Number(size), root: fromBase64(root, 32) };
}

/**
 * Cuts a text with notes one after the other into single ones: a note ends with its last signature line.
 *
 * @param {string} text
 * @returns {{ note: string, line: number }[]} with the line that each begins at
 */
export function splitNotes(text) {
  /** @type {{ note: string, line: number }[]} */
  const notes = [];
  /** @type {string[]} */
  let open = [];
  const lines = text.replaceAll('\r\n', '\n').split('\n');
  for (const [index, line] of lines.entries()) {
    const signature = line.startsWith('\u2014 ');
    if (open.length === 0 && line === '') continue;
    open.push(line);
    if (signature && !lines[index + 1]?.startsWith('\u2014 ')) {
      notes.push({ note: `${open.join('\n')}\n`, line: index + 2 - open.length });
      open = [];
    }
  }
  if (open.length > 0) notes.push({ note: `${open.join('\n')}\n`, line: lines.length + 1 - open.length });
  return notes;
}
