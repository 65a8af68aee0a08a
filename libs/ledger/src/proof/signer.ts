/**
 * Who signs checkpoints: an Ed25519 key in a file (made at first start), or a program that keeps the key elsewhere. And which keys have
 * signed this installation's logs: the database keeps them in order, each named by the one before it. Guarantees that a key that the
 * database does not have last signs nothing, and that several processes that start at once end with one key.
 */
import { spawn } from 'node:child_process';
import * as crypto from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  instantText,
  isOf,
  keyText,
  keyTypes,
  type NoteKey,
  type NoteSignature,
  noteKey,
  noteText,
  type Origin,
  parseNote,
  publicBytes,
  type SignedNote,
  type SigningKey,
  signedBy,
  type TreeStore,
  verifySignature,
} from '#event-store';
import { keptSecret } from '#privacy';
import type { Config } from '../config';

export interface Signer {
  /** 32 bytes. */
  readonly publicKey: Buffer;
  /** @returns the Ed25519 signature, 64 bytes */
  sign(message: Buffer): Promise<Buffer>;
}

type SignerConfig = Pick<Config, 'DATA_DIR' | 'SIGNING_KEY_FILE' | 'SIGNING_COMMAND' | 'LOG_NAME'>;

/** Names of installations: they begin the origin of every log, and stand in paths. */
export const logNameForm = /^[A-Za-z0-9][A-Za-z0-9.-]*(\/[A-Za-z0-9][A-Za-z0-9._-]*)*$/;

const commandTimeoutMs = 10_000;

const keyFileOf = ({ SIGNING_KEY_FILE, DATA_DIR }: SignerConfig): string => SIGNING_KEY_FILE || join(DATA_DIR, 'signing-key.pem');
/** A key that was made to follow, until it stands in the database. */
const nextFileOf = (config: SignerConfig): string => `${keyFileOf(config)}.next`;

/** The keys of an installation, as one thing to sign with. */
export class LogKeys {
  private constructor(
    private readonly trees: TreeStore,
    readonly signer: Signer,
    /** The key in use; its name begins the origin of every log. */
    readonly current: NoteKey,
  ) {}

  /**
   * Opens the key that signs, and makes one at the first start.
   * @throws Error with what to do, when the key at hand is not the one that the database has last
   */
  static async open(trees: TreeStore, config: SignerConfig): Promise<LogKeys> {
    let known = (await trees.signingKeys()).at(-1);
    if (known === undefined) {
      const signer = await signerOf(config, true);
      const name = keptLogName(config) || `book-keeper/${crypto.randomBytes(6).toString('hex')}`;
      const first = { number: 1, name, publicKey: signer.publicKey, activatedAt: now() };
      const text = keyStatement(first, undefined, {});
      const statement = noteText({ text, signatures: [await signature(signer, keyOf(first), text)] });
      await trees.recordSigningKey({ ...first, statement });
      known = (await trees.signingKeys()).at(-1) as SigningKey;
    }
    if (config.LOG_NAME !== '' && config.LOG_NAME !== known.name)
      throw new Error(
        `the logs of this database are signed under the name ${known.name}, which cannot be changed to LOG_NAME=${config.LOG_NAME}: leave LOG_NAME away`,
      );
    finishRotation(config, known);
    keepLogName(config, known.name);
    const signer = await signerOf(config, false);
    if (!signer.publicKey.equals(known.publicKey)) {
      const [theirs, ours] = [keyText(keyOf(known)), keyText(noteKey(known.name, keyTypes.ed25519, signer.publicKey))];
      throw new Error(
        `the checkpoints of this database are signed with the key ${theirs}, and the key at hand is ${ours}: give this process the right one (SIGNING_KEY_FILE, SIGNING_COMMAND), switch sealing off here (SEAL=off), or, if the key is lost, begin a new one: book-keeper log rotate-key --lost --reason '…'`,
      );
    }
    return new LogKeys(trees, signer, keyOf(known));
  }

  /** Whether the key in use is still the last one; another process may have rotated it. */
  async isCurrent(): Promise<boolean> {
    const known = (await this.trees.signingKeys()).at(-1);
    return known?.publicKey.equals(this.current.publicKey) === true;
  }

  /** @throws Error when what signs does not sign with its own key */
  sign(text: string): Promise<NoteSignature> {
    return signature(this.signer, this.current, text);
  }
}

/**
 * Lets a new key follow the one in use. The old one, where it is at hand, signs that it is followed.
 * @param options.file of the new key (PEM); made anew when absent, and then kept where the old one was
 * @param options.lost true when the old key is not at hand any more: nothing then tells outsiders that the new one is ours. Where the
 *   process has been given the new key already, it is that one.
 * @throws Error with what to do
 */
export async function rotateKey(
  trees: TreeStore,
  config: SignerConfig,
  { file, lost, ...who }: { readonly file?: string; readonly lost: boolean; readonly userId: string; readonly reason: string },
): Promise<{ readonly from: NoteKey; readonly to: NoteKey }> {
  const known = (await trees.signingKeys()).at(-1);
  if (known === undefined) throw new Error('nothing was signed yet, so there is no key that another one could follow');
  const from = keyOf(known);
  const atHand = config.SIGNING_COMMAND !== '' || existsSync(keyFileOf(config)) ? await signerOf(config, false) : undefined;
  const old = atHand?.publicKey.equals(from.publicKey) ? atHand : undefined;
  if (old === undefined && !lost)
    throw new Error(`the key at hand is not ${keyText(from)}, which is in use: give it, or say that it is lost (--lost)`);
  if (old !== undefined && lost)
    throw new Error(`the key ${keyText(from)} is not lost, it is at hand: leave --lost away, so that it signs that it is followed`);
  const { publicKey, signer } = nextKey(config, file, old === undefined ? atHand : undefined);
  const to = noteKey(from.name, keyTypes.ed25519, publicKey);
  if (to.publicKey.equals(from.publicKey)) throw new Error('the new key is the one that is in use already');
  const next = { number: known.number + 1, name: from.name, publicKey, activatedAt: now() };
  const text = keyStatement(next, known, who);
  const signatures = [
    ...(old === undefined ? [] : [await signature(old, from, text)]),
    ...(signer === undefined ? [] : [await signature(signer, to, text)]),
  ];
  if (signatures.length === 0)
    throw new Error(
      'neither the old key nor the new one is at hand to sign that one follows the other: give the new one with its private half',
    );
  if (!(await trees.recordSigningKey({ ...next, statement: noteText({ text, signatures }) })))
    throw new Error('another process has rotated the key in this moment; look at book-keeper log keys');
  finishRotation(config, (await trees.signingKeys()).at(-1) as SigningKey);
  return { from, to };
}

/** The key that follows; its signer where its private half is here. */
function nextKey(
  config: SignerConfig,
  file: string | undefined,
  given: Signer | undefined,
): { readonly publicKey: Buffer; readonly signer?: Signer } {
  if (file !== undefined) {
    const text = readFileSync(file, 'utf8');
    return text.includes('PRIVATE KEY')
      ? { publicKey: publicKeyIn(file), signer: fileSigner(file, text) }
      : { publicKey: publicKeyIn(file) };
  }
  if (given !== undefined) return { publicKey: given.publicKey, signer: given };
  if (config.SIGNING_COMMAND !== '')
    throw new Error('SIGNING_COMMAND signs with a key that is kept elsewhere: make the new one there, and give its public half (--file)');
  const next = nextFileOf(config);
  const signer = fileSigner(next, keptSecret(next, newKey).secret);
  return { publicKey: signer.publicKey, signer };
}

// --- Statements: what is recorded beside the log, signed like the log ---

interface Who {
  readonly userId?: string;
  readonly reason?: string;
}

const keyStatement = (key: Omit<SigningKey, 'statement'>, before: SigningKey | undefined, who: Who): string =>
  [
    'book-keeper signing key/v1',
    `key ${key.number} ${keyText(keyOf(key))}`,
    `since ${key.activatedAt}`,
    `after ${before === undefined ? '-' : keyText(keyOf(before))}`,
    ...whoLines(who),
    '',
  ].join('\n');

const originStatement = (bookId: string, { number, origin, size, recordedAt }: Origin, before: Origin, who: Who, lost: string): string =>
  [
    'book-keeper log name/v1',
    `name ${number} of ${bookId} ${origin}`,
    `since ${recordedAt}, from ${size} events on`,
    `after ${before.origin}`,
    ...whoLines(who),
    `lost ${JSON.stringify(lost)}`,
    '',
  ].join('\n');

const whoLines = ({ userId, reason }: Who): string[] => [`by ${userId ?? '-'}`, `reason ${JSON.stringify(reason ?? '')}`];

/** The next name of a book's log with its statement, signed. */
export async function signedOrigin(
  keys: LogKeys,
  bookId: string,
  before: Origin,
  { size, lost, ...who }: Who & { readonly size: number; readonly lost: string },
): Promise<Origin> {
  const number = before.number + 1;
  const origin = { number, origin: `${before.origin.replace(/~\d+$/, '')}~${number}`, size, recordedAt: now() };
  const text = originStatement(bookId, origin, before, who, lost);
  return { ...origin, statement: noteText({ text, signatures: [await signature(keys.signer, keys.current, text)] }) };
}

/** Whether a key is named by the one before it, in its statement. */
export function isEndorsed(key: SigningKey, before: SigningKey): boolean {
  const note = parseNote(key.statement);
  return note !== undefined && signedBy(note, keyOf(before));
}

/** What is wrong with what stands beside a key; undefined when its statement says it all, and is signed. */
export function keyStatementProblem(key: SigningKey, before: SigningKey | undefined): string | undefined {
  const note = parseNote(key.statement);
  if (note === undefined) return 'statement is no signed note';
  const [by, reason] = saidIn(note.text);
  if (note.text !== keyStatement(key, before, { userId: by === '-' ? undefined : by, reason }))
    return `statement says something else than the row: ${JSON.stringify(note.text)}`;
  return allSigned(note, before === undefined ? [key] : [key, before])
    ? undefined
    : 'statement is not signed by this key or the one before';
}

/** The same of a name of a log. */
export function originStatementProblem(
  bookId: string,
  known: Origin,
  before: Origin | undefined,
  keys: readonly SigningKey[],
): string | undefined {
  if (before === undefined)
    return known.statement === undefined && known.size === 0
      ? undefined
      : 'the first name of a log has no statement, and begins at 0 events';
  const note = known.statement === undefined ? undefined : parseNote(known.statement);
  if (note === undefined) return 'statement is no signed note';
  const [userId, reason, lost] = saidIn(note.text);
  if (note.text !== originStatement(bookId, known, before, { userId, reason }, lost))
    return `statement says something else than the row: ${JSON.stringify(note.text)}`;
  return allSigned(note, keys) ? undefined : 'statement is not signed by a key of this installation';
}

/** What a statement says of who, why, and what was lost. */
function saidIn(text: string): [by: string, reason: string, lost: string] {
  const json = (line: string): string => {
    const found = new RegExp(`^${line} ("(?:.*)")$`, 'm').exec(text)?.[1];
    try {
      return found === undefined ? '' : String(JSON.parse(found));
    } catch {
      return '';
    }
  };
  return [/^by (.*)$/m.exec(text)?.[1] ?? '-', json('reason'), json('lost')];
}

/** Whether there is a signature, and every one is valid for one of the keys. */
const allSigned = ({ text, signatures }: SignedNote, keys: readonly SigningKey[]): boolean =>
  signatures.length > 0 && signatures.every((line) => keys.map(keyOf).some((key) => isOf(line, key) && verifySignature(text, line, key)));

export const keyOf = ({ name, publicKey }: Pick<SigningKey, 'name' | 'publicKey'>): NoteKey => noteKey(name, keyTypes.ed25519, publicKey);

const now = (): string => instantText(Date.now() * 1_000);

/** Puts a key in place that was recorded before a crash. */
function finishRotation(config: SignerConfig, { publicKey }: SigningKey): void {
  const [file, next] = [keyFileOf(config), nextFileOf(config)];
  if (config.SIGNING_COMMAND !== '' || !existsSync(next) || !publicKeyIn(next).equals(publicKey)) return;
  // The old one is kept beside it: whether and when it is destroyed is the operator's to say. Another process may have done so already.
  if (existsSync(file) && publicKeyIn(file).equals(publicKey)) return;
  if (existsSync(file)) renameSync(file, `${file}.${publicKeyIn(file).toString('hex').slice(0, 8)}.old`);
  renameSync(next, file);
}

/** @throws Error when what signs does not sign with its own key */
async function signature(signer: Signer, key: NoteKey, text: string): Promise<NoteSignature> {
  const bytes = await signer.sign(Buffer.from(text));
  if (!verifySignature(text, { bytes }, key)) throw new Error(`what signs gave a signature that is not valid for ${keyText(key)}`);
  return { name: key.name, keyId: key.id, bytes };
}

async function signerOf(config: SignerConfig, first: boolean): Promise<Signer> {
  if (config.SIGNING_COMMAND !== '') return CommandSigner.open(config.SIGNING_COMMAND);
  const file = keyFileOf(config);
  if (!first && !existsSync(file))
    throw new Error(
      `the key that signs checkpoints is not in ${file}: put it back there, name another file (SIGNING_KEY_FILE), switch sealing off here (SEAL=off), or, if the key is lost, begin a new one: book-keeper log rotate-key --lost --reason '…'`,
    );
  return fileSigner(file, first ? keptSecret(file, newKey).secret : readFileSync(file, 'utf8'));
}

function fileSigner(file: string, text: string): Signer {
  const key = privateKeyIn(file, text);
  return { publicKey: publicBytes(key), sign: async (message) => crypto.sign(null, message, key) };
}

const newKey = (): string => crypto.generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString().trim();

function privateKeyIn(file: string, text: string): crypto.KeyObject {
  let key: crypto.KeyObject;
  try {
    key = crypto.createPrivateKey(text);
  } catch {
    throw new Error(`${file} holds no private key in PEM (PKCS #8)`);
  }
  if (key.asymmetricKeyType !== 'ed25519')
    throw new Error(`${file} holds a key of type ${key.asymmetricKeyType}; checkpoints are signed with ed25519`);
  return key;
}

/** Of a private or a public key. */
function publicKeyIn(file: string): Buffer {
  let key: crypto.KeyObject;
  try {
    // Takes a private key too, and gives its public half.
    key = crypto.createPublicKey(readFileSync(file));
  } catch (error) {
    throw new Error(`${file} holds no key in PEM: ${(error as Error).message}`);
  }
  if (key.asymmetricKeyType !== 'ed25519')
    throw new Error(`${file} holds a key of type ${key.asymmetricKeyType}; checkpoints are signed with ed25519`);
  return publicBytes(key);
}

/** A program that signs: `COMMAND public-key` prints the key, `COMMAND sign` takes a message and prints its signature; both as base64. */
class CommandSigner implements Signer {
  private constructor(
    private readonly command: string,
    readonly publicKey: Buffer,
  ) {}

  static async open(command: string): Promise<CommandSigner> {
    const publicKey = await ask(command, 'public-key');
    if (publicKey.length !== 32)
      throw new Error(`SIGNING_COMMAND ${command} public-key printed ${publicKey.length} bytes; an Ed25519 key has 32, as base64`);
    return new CommandSigner(command, publicKey);
  }

  sign(message: Buffer): Promise<Buffer> {
    return ask(this.command, 'sign', message);
  }
}

function ask(command: string, verb: string, input?: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [verb], { stdio: ['pipe', 'pipe', 'pipe'], timeout: commandTimeoutMs });
    const failed = (why: string): void => reject(new Error(`SIGNING_COMMAND ${command} ${verb} failed: ${why}`));
    let [output, problem] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (some: string) => {
      output += some;
    });
    child.stderr.setEncoding('utf8').on('data', (some: string) => {
      problem += some;
    });
    child.on('error', (error) => failed(error.message));
    child.on('close', (code, signal) =>
      code === 0
        ? resolve(Buffer.from(output.trim(), 'base64'))
        : failed(problem.trim() || `it ended with ${signal ?? `exit code ${code}`}`),
    );
    child.stdin.on('error', () => {}); // it ended before it had read all; its exit code says why
    child.stdin.end(input ?? '');
  });
}

// --- The name, beside the key: a database that lost its own must not begin as another installation ---

const logNameFile = ({ DATA_DIR }: SignerConfig): string => join(DATA_DIR, 'log-name');

/** The name that was set, or that this data directory has had before; empty when there is none. */
export function keptLogName(config: SignerConfig): string {
  if (config.LOG_NAME !== '') return config.LOG_NAME;
  const file = logNameFile(config);
  const kept = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
  return logNameForm.test(kept) ? kept : '';
}

function keepLogName(config: SignerConfig, name: string): void {
  if (existsSync(logNameFile(config))) return;
  mkdirSync(config.DATA_DIR, { recursive: true });
  writeFileSync(logNameFile(config), `${name}\n`);
}
