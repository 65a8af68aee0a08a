/**
 * Signed notes (C2SP signed-note), checkpoints (C2SP tlog-checkpoint) and co-signatures of witnesses (C2SP tlog-cosignature): the text
 * forms in which the head of a log is signed and handed out. Pure, but for Ed25519. Guarantees that what is written is what these
 * specifications say, byte for byte, and that nothing else is read.
 *
 *     origin            <- which log
 *     size              <- number of leaves, decimal
 *     root              <- base64
 *                       <- an empty line
 *     — name signature  <- base64 of 4 bytes that name the key, and the signature
 */
import * as crypto from 'node:crypto';
import { hashBytes } from './merkle';

/** What a checkpoint says. */
export interface CheckpointBody {
  readonly origin: string;
  readonly size: number;
  readonly root: Buffer;
}

/** Types of keys (C2SP signed-note, "Signature types"): ed25519 for logs, the timestamped one for witnesses. */
export const keyTypes = { ed25519: 0x01, cosignature: 0x04 } as const;

/** A public key with its name, as auditors and witnesses are given it. */
export interface NoteKey {
  readonly name: string;
  readonly type: number;
  /** 4 bytes of a hash over name, type and key. */
  readonly id: Buffer;
  /** 32 bytes. */
  readonly publicKey: Buffer;
}

export interface NoteSignature {
  readonly name: string;
  readonly keyId: Buffer;
  /** Behind the key's id. */
  readonly bytes: Buffer;
}

export interface SignedNote {
  /** With the line end of its last line. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** Names of keys: no blank, no plus (C2SP signed-note, "Format"). */
const keyNameForm = /^[^\s+]+$/u;

/** @throws Error for a name or a key that no key can have */
export function noteKey(name: string, type: number, publicKey: Buffer): NoteKey {
  if (!keyNameForm.test(name)) throw new Error(`"${name}" is no name of a key: it must not be empty or have blanks or a plus`);
  if (publicKey.length !== 32) throw new Error(`an Ed25519 key has 32 bytes, not ${publicKey.length}`);
  const id = crypto.createHash('sha256').update(`${name}\n`).update(Buffer.of(type)).update(publicKey).digest().subarray(0, 4);
  return { name, type, id, publicKey };
}

/** `name+hash+key`, the form in which verifiers take a key. */
export const keyText = ({ name, type, id, publicKey }: NoteKey): string =>
  `${name}+${id.toString('hex')}+${Buffer.concat([Buffer.of(type), publicKey]).toString('base64')}`;

/** @returns undefined when the text is no key, or one whose hash is not its own */
export function parseKey(text: string): NoteKey | undefined {
  const match = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})$/u.exec(text);
  if (match === null) return undefined;
  const [, name = '', id = '', encoded = ''] = match;
  const bytes = base64(encoded);
  if (bytes?.length !== 33) return undefined;
  const key = noteKey(name, bytes[0] as number, bytes.subarray(1));
  return key.id.toString('hex') === id ? key : undefined;
}

/** The text that is signed (C2SP tlog-checkpoint, "Note text"). */
export function checkpointText({ origin, size, root }: CheckpointBody): string {
  return `${origin}\n${size}\n${root.toString('base64')}\n`;
}

/** @returns undefined when the text is no checkpoint; lines after the third are extensions, which we write none of and do not mind */
export function parseCheckpoint(text: string): CheckpointBody | undefined {
  const match = /^([^\n]+)\n(0|[1-9]\d{0,15})\n([A-Za-z0-9+/]{43}=)\n(?:[^\n]+\n)*$/.exec(text);
  if (match === null) return undefined;
  const [, origin = '', digits = '', encoded = ''] = match;
  const [size, root] = [Number(digits), base64(encoded)];
  return Number.isSafeInteger(size) && root?.length === hashBytes ? { origin, size, root } : undefined;
}

/** A signature as the line that stands under a note. */
const signatureLine = ({ name, keyId, bytes }: NoteSignature): string => `— ${name} ${Buffer.concat([keyId, bytes]).toString('base64')}\n`;

export const noteText = ({ text, signatures }: SignedNote): string => `${text}\n${signatures.map(signatureLine).join('')}`;

/** @returns undefined when it is no signed note */
export function parseNote(note: string): SignedNote | undefined {
  const split = note.lastIndexOf('\n\n');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a note has none but line ends
  if (split < 0 || !note.endsWith('\n') || /[\u0000-\u0009\u000b-\u001f]/.test(note) || !note.isWellFormed()) return undefined;
  const signatures: NoteSignature[] = [];
  for (const line of note.slice(split + 2, -1).split('\n')) {
    const signature = parseSignature(line);
    if (signature === undefined) return undefined;
    signatures.push(signature);
  }
  return { text: note.slice(0, split + 1), signatures };
}

/** One signature line, without its line end. */
export function parseSignature(line: string): NoteSignature | undefined {
  const match = /^— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})$/u.exec(line);
  const bytes = base64(match?.[2] ?? '');
  if (match === null || bytes === undefined || bytes.length < 5) return undefined;
  return { name: match[1] as string, keyId: bytes.subarray(0, 4), bytes: bytes.subarray(4) };
}

/** Whether one of the note's signatures is by the key and valid. */
export function signedBy({ text, signatures }: SignedNote, key: NoteKey): boolean {
  return signatures.some((signature) => isOf(signature, key) && verifySignature(text, signature, key));
}

export const isOf = ({ name, keyId }: NoteSignature, key: NoteKey): boolean => name === key.name && keyId.equals(key.id);

/** Whether a signature over a note's text is valid; a witness's is over the time of its signing too. */
export function verifySignature(text: string, { bytes }: Pick<NoteSignature, 'bytes'>, { type, publicKey }: NoteKey): boolean {
  if (type === keyTypes.ed25519) return verifyEd25519(publicKey, Buffer.from(text), bytes);
  if (type !== keyTypes.cosignature || bytes.length !== 8 + 64) return false;
  return verifyEd25519(publicKey, cosignedMessage(text, Number(bytes.readBigUInt64BE())), bytes.subarray(8));
}

/** What a witness signs (C2SP tlog-cosignature). @param seconds since 1970 */
export const cosignedMessage = (text: string, seconds: number): Buffer => Buffer.from(`cosignature/v1\ntime ${seconds}\n${text}`);

// --- Ed25519 (RFC 8032) with keys as 32 bytes, which Node takes in DER only (RFC 8410) ---

const publicPrefix = Buffer.from('302a300506032b6570032100', 'hex');

const publicKeyOf = (bytes: Buffer): crypto.KeyObject =>
  crypto.createPublicKey({ key: Buffer.concat([publicPrefix, bytes]), format: 'der', type: 'spki' });

/** The 32 bytes of an Ed25519 key, of which a private one has a public half. */
export const publicBytes = (key: crypto.KeyObject): Buffer =>
  (key.type === 'private' ? crypto.createPublicKey(key) : key).export({ format: 'der', type: 'spki' }).subarray(-32);

function verifyEd25519(publicKey: Buffer, message: Buffer, signature: Buffer): boolean {
  return signature.length === 64 && crypto.verify(null, message, publicKeyOf(publicKey), signature);
}

/** Strict: what Buffer would skip or make up is refused. */
function base64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}
