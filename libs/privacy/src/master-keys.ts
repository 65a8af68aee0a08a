/**
 * Master keys: what wraps the keys of persons. Hides where they are: in the environment, in a file, or behind a program that asks a
 * KMS. Guarantees that a wrong master key is told before anything is wrapped with it, and that a key that was wrapped for one person
 * opens for no other.
 *
 * A wrapped key is iv (12 bytes), ciphertext (32) and tag (16) of AES-256-GCM; associated data is `BOOK:SUBJECT:SCOPE:NUMBER`.
 */
import { spawn } from 'node:child_process';
import { createCipheriv, createDecipheriv, hash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Pool } from 'pg';
import { keptSecret } from './kept-secret';

export interface MasterKeySettings {
  readonly MASTER_KEY: string;
  readonly MASTER_KEY_FILE: string;
  readonly MASTER_KEY_COMMAND: string;
  readonly DATA_DIR: string;
}

/** Keys cannot be wrapped or unwrapped now; says why, and what to do. */
export class KeysUnavailable extends Error {}

/** A key on its way under a master key, with what it is bound to. */
export interface Wrapping {
  readonly context: string;
  readonly bytes: Buffer;
}

const keyLine = /^([1-9]\d{0,8}):([A-Za-z0-9+/]{43}=)$/;
const commandTimeoutMs = 10_000;

export class MasterKeys {
  private known: ReadonlyMap<number, Buffer> | undefined;
  private readonly program: string;

  constructor(
    private readonly pool: Pool,
    private readonly settings: MasterKeySettings,
  ) {
    this.program = settings.MASTER_KEY_COMMAND;
  }

  /** Wraps keys under the newest master key. @throws KeysUnavailable */
  async wrap(keys: readonly Wrapping[]): Promise<{ readonly number: number; readonly wrapped: readonly Buffer[] }> {
    if (this.program !== '') {
      const { number, keys: wrapped } = await this.ask('wrap', keys, undefined);
      // What it could not unwrap would be lost with the first restart.
      const again = await this.ask(
        'unwrap',
        keys.map(({ context }, index) => ({ context, bytes: wrapped[index] as Buffer })),
        number,
      );
      if (!keys.every(({ bytes }, index) => again.keys[index]?.equals(bytes)))
        throw new KeysUnavailable('MASTER_KEY_COMMAND does not unwrap to what it has wrapped');
      // One that turns the order round does so twice; alone a key is what it is.
      const [first, last] = [keys[0], keys.at(-1)];
      if (first !== undefined && first !== last) {
        const alone = await this.ask('unwrap', [{ context: first.context, bytes: wrapped[0] as Buffer }], number);
        if (alone.keys[0]?.equals(first.bytes) !== true)
          throw new KeysUnavailable('MASTER_KEY_COMMAND wrap answers in another order than it is asked in');
      }
      return { number, wrapped };
    }
    const all = await this.keys();
    const number = Math.max(...all.keys());
    return { number, wrapped: keys.map(({ context, bytes }) => wrapped(all.get(number) as Buffer, `${context}:${number}`, bytes)) };
  }

  /** @param number of the master key that they are under @throws KeysUnavailable */
  async unwrap(number: number, keys: readonly Wrapping[]): Promise<readonly Buffer[]> {
    if (this.program !== '') return (await this.ask('unwrap', keys, number)).keys;
    let key = (await this.keys()).get(number);
    if (key === undefined) {
      // Another process may have added it since the file was read.
      this.known = undefined;
      key = (await this.keys()).get(number);
    }
    if (key === undefined)
      throw new KeysUnavailable(`master key ${number} is not here, and keys of persons are wrapped with it: add it to ${this.place()}`);
    return keys.map(({ context, bytes }) => unwrapped(key, `${context}:${number}`, bytes));
  }

  /** Number of the master key that new keys are wrapped with. @throws KeysUnavailable */
  async newest(): Promise<number> {
    if (this.program === '') return Math.max(...(await this.keys()).keys());
    return (await this.ask('wrap', [], undefined)).number;
  }

  /**
   * Makes a master key that takes the place of the newest one, in the file.
   * @returns its number
   * @throws Error where master keys are not kept in a file
   */
  async addKey(): Promise<number> {
    if (this.program !== '' || this.settings.MASTER_KEY !== '')
      throw new Error(
        `master keys are kept in ${this.place()}: add one there, with a higher number, and start again; then run this once more`,
      );
    const file = this.file();
    const lock = `${file}.lock`;
    try {
      writeFileSync(lock, `${process.pid}\n`, { mode: 0o600, flag: 'wx' });
    } catch (error) {
      if ((error as { code?: string }).code !== 'EEXIST') throw error;
      throw new Error(`${lock} is there: another process is adding a master key; remove the file if that one has ended`);
    }
    try {
      this.known = undefined;
      const keys = await this.keys();
      const number = Math.max(...keys.keys()) + 1;
      const lines = [...keys, [number, randomBytes(32)] as const].map(([known, key]) => `${known}:${key.toString('base64')}\n`);
      writeFileSync(`${file}.new`, lines.join(''), { mode: 0o600 });
      renameSync(`${file}.new`, file);
      return number;
    } finally {
      this.known = undefined;
      rmSync(lock, { force: true });
    }
  }

  private file(): string {
    return this.settings.MASTER_KEY_FILE || join(this.settings.DATA_DIR, 'master-key');
  }

  private place(): string {
    if (this.program !== '') return 'MASTER_KEY_COMMAND';
    return this.settings.MASTER_KEY === '' ? this.file() : 'MASTER_KEY';
  }

  private async keys(): Promise<ReadonlyMap<number, Buffer>> {
    this.known ??= await this.checked(this.read());
    return this.known;
  }

  private read(): Map<number, Buffer> {
    const { MASTER_KEY, MASTER_KEY_FILE } = this.settings;
    const file = this.file();
    let lines: string[];
    if (MASTER_KEY !== '') lines = MASTER_KEY.split(',');
    else if (MASTER_KEY_FILE === '') lines = keptSecret(file, () => `1:${randomBytes(32).toString('base64')}`).secret.split('\n');
    else if (existsSync(file)) lines = readFileSync(file, 'utf8').split('\n');
    else throw new KeysUnavailable(`MASTER_KEY_FILE=${file}: there is no such file`);
    const keys = new Map<number, Buffer>();
    for (const line of lines.map((text) => text.trim()).filter((text) => text !== '')) {
      const [, number, key] = keyLine.exec(line) ?? [];
      if (number === undefined || key === undefined || keys.has(Number(number)))
        throw new KeysUnavailable(`${this.place()} holds what is no master key: each is NUMBER:BASE64 of 32 bytes, each number once`);
      keys.set(Number(number), Buffer.from(key, 'base64'));
    }
    if (keys.size === 0) throw new KeysUnavailable(`${this.place()} holds no master key`);
    return keys;
  }

  /** Against the fingerprints of those that were used before: whoever brings another key under a known number would lock persons out. */
  private async checked(keys: Map<number, Buffer>): Promise<Map<number, Buffer>> {
    const { rows } = await this.pool.query<{ number: number; fingerprint: Buffer }>('SELECT number, fingerprint FROM privacy.master_keys');
    for (const [number, key] of keys) {
      const known = rows.find((row) => row.number === number);
      const own = fingerprintOf(key);
      if (known !== undefined && !known.fingerprint.equals(own))
        throw new KeysUnavailable(
          `master key ${number} in ${this.place()} is not the one that keys of persons were wrapped with: bring that one back, or give this one another number`,
        );
      if (known !== undefined) continue;
      await this.pool.query(
        'INSERT INTO privacy.master_keys (number, fingerprint, first_seen_at) VALUES ($1, $2, $3) ON CONFLICT (number) DO NOTHING',
        [number, own, new Date().toISOString()],
      );
      // Of two processes that begin with different keys at the same moment one must be told.
      const { rows: now } = await this.pool.query<{ fingerprint: Buffer }>(
        'SELECT fingerprint FROM privacy.master_keys WHERE number = $1',
        [number],
      );
      if (now[0]?.fingerprint.equals(own) !== true)
        throw new KeysUnavailable(
          `another process has brought another master key ${number} at the same moment: give all processes the same`,
        );
    }
    return keys;
  }

  private async ask(
    what: 'wrap' | 'unwrap',
    keys: readonly Wrapping[],
    number: number | undefined,
  ): Promise<{ readonly number: number; readonly keys: readonly Buffer[] }> {
    const question = {
      ...(number === undefined ? {} : { number }),
      keys: keys.map(({ bytes }) => bytes.toString('base64')),
      context: keys.map(({ context }) => context),
    };
    const answer = await run(this.program, what, `${JSON.stringify(question)}\n`);
    let given: { readonly number?: unknown; readonly keys?: unknown };
    try {
      given = JSON.parse(answer) as typeof given;
    } catch {
      throw new KeysUnavailable(`MASTER_KEY_COMMAND ${what} answered what is no JSON`);
    }
    const texts = Array.isArray(given.keys) ? (given.keys as unknown[]) : [];
    const answered = number ?? given.number;
    if (typeof answered !== 'number' || !Number.isSafeInteger(answered) || texts.length !== keys.length)
      throw new KeysUnavailable(`MASTER_KEY_COMMAND ${what} answered ${texts.length} keys for ${keys.length}, or no number`);
    return { number: answered, keys: texts.map((text) => Buffer.from(String(text), 'base64')) };
  }
}

/** Tells a master key; 256 random bits cannot be found by their SHA-256. */
const fingerprintOf = (key: Buffer): Buffer => hash('sha256', Buffer.concat([Buffer.from('book-keeper master key '), key]), 'buffer');

function wrapped(key: Buffer, context: string, bytes: Buffer): Buffer {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(context, 'utf8'));
  return Buffer.concat([iv, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
}

function unwrapped(key: Buffer, context: string, box: Buffer): Buffer {
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, box.subarray(0, 12), { authTagLength: 16 })
      .setAAD(Buffer.from(context, 'utf8'))
      .setAuthTag(box.subarray(box.length - 16));
    return Buffer.concat([decipher.update(box.subarray(12, box.length - 16)), decipher.final()]);
  } catch {
    throw new KeysUnavailable(`the key of ${context} does not open under its master key: it was changed, or belongs elsewhere`);
  }
}

/** @throws KeysUnavailable with what the program said when it fails or takes too long */
function run(command: string, what: string, input: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(`${command} ${what}`, { shell: true, stdio: ['pipe', 'pipe', 'pipe'] });
    let [out, errors] = ['', ''];
    // The shell may be gone and a program of it hold the pipes open.
    const late = setTimeout(() => {
      reject(new KeysUnavailable(`MASTER_KEY_COMMAND ${what} did not answer within ${commandTimeoutMs} ms`));
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
      child.kill('SIGKILL');
    }, commandTimeoutMs);
    child.stdout.on('data', (data: Buffer) => {
      out += data.toString();
    });
    child.stderr.on('data', (data: Buffer) => {
      errors += data.toString().slice(0, 1_000);
    });
    child.on('error', (error) => {
      clearTimeout(late);
      reject(new KeysUnavailable(`MASTER_KEY_COMMAND cannot be run: ${error.message}`));
    });
    child.on('close', (code, signal) => {
      clearTimeout(late);
      if (code === 0) resolve(out);
      else reject(new KeysUnavailable(`MASTER_KEY_COMMAND ${what} ended with ${signal ?? `status ${code}`}: ${errors.trim()}`));
    });
    // A program that ends without reading closes the pipe: its status tells more than that.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}
