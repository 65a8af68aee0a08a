/**
 * The files of a pack, whether it is the archive or a folder that somebody unpacked it to. Hides which of the two it is.
 * Guarantees: a file that was read to its end has had its bytes counted and hashed on the way, so that what is judged and what
 * is hashed are the same bytes; large files are read piece by piece.
 */

import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PackError, readDirectory, readEntry } from './zip.mjs';

/** The pack cannot be checked at all: there is none, or it is of a kind that this program does not know. */
export class CannotCheck extends Error {}

/** A file, or a line of it, that is no text or too long to be held. */
export class TextError extends SyntaxError {
  /** @param {string} file @param {string} message */
  constructor(file, message) {
    super(message);
    this.file = file;
  }
}

/** Files that are held whole, and single lines, may not be larger. */
const HELD_MAX = 64 * 1024 * 1024;
const LF = 0x0a;

export class Pack {
  /** @type {Map<string, { bytes: number, sha256: string }>} */
  #digests = new Map();
  /** @type {Map<string, PackError>} */
  #broken = new Map();
  #open;

  /**
   * @param {string[]} names in the order of the archive
   * @param {boolean} ordered whether that order means anything; in a folder it does not
   * @param {string[]} complaints about the archive itself
   * @param {(name: string) => AsyncIterable<Buffer>} open
   * @param {() => Promise<void>} close
   */
  constructor(names, ordered, complaints, open, close) {
    this.names = names;
    this.ordered = ordered;
    this.complaints = complaints;
    this.#open = open;
    this.close = close;
  }

  /** @param {string} name @returns {AsyncGenerator<Buffer>} @throws {PackError} */
  async *read(name) {
    if (!this.names.includes(name)) throw new PackError(`there is no file ${name}`);
    const hash = createHash('sha256');
    let bytes = 0;
    try {
      for await (const chunk of this.#open(name)) {
        hash.update(chunk);
        bytes += chunk.length;
        yield chunk;
      }
    } catch (error) {
      if (error instanceof PackError) this.#broken.set(name, error);
      throw error;
    }
    this.#digests.set(name, { bytes, sha256: hash.digest('hex') });
  }

  /** Size and SHA-256 of a file; reads it unless it was read to its end before. @param {string} name @throws {PackError} */
  async digest(name) {
    const broken = this.#broken.get(name);
    if (broken) throw broken;
    if (!this.#digests.has(name)) for await (const _ of this.read(name));
    return /** @type {{ bytes: number, sha256: string }} */ (this.#digests.get(name));
  }

  /**
   * A small file as text.
   *
   * @param {string} name
   * @returns {Promise<string>}
   * @throws {PackError}
   * @throws {TextError} if it is no text, or not small
   */
  async text(name) {
    const chunks = [];
    let bytes = 0;
    for await (const chunk of this.read(name)) {
      bytes += chunk.length;
      if (bytes > HELD_MAX) throw new TextError(name, `it has more than ${HELD_MAX} bytes`);
      chunks.push(chunk);
    }
    const whole = Buffer.concat(chunks);
    if (!isUtf8(whole)) throw new TextError(name, 'its bytes are no UTF-8');
    return whole.toString('utf8');
  }

  /**
   * The lines of a file, without their line feeds; the last one may lack it.
   *
   * @param {string} name
   * @returns {AsyncGenerator<Buffer>}
   * @throws {PackError}
   * @throws {TextError} at a line that is too long to be held
   */
  async *lines(name) {
    /** @type {Buffer[]} */
    let begun = [];
    let held = 0;
    for await (const chunk of this.read(name)) {
      let from = 0;
      for (let to = chunk.indexOf(LF); to >= 0; to = chunk.indexOf(LF, from)) {
        const rest = chunk.subarray(from, to);
        yield begun.length === 0 ? rest : Buffer.concat([...begun, rest]);
        if (begun.length > 0) begun = [];
        held = 0;
        from = to + 1;
      }
      if (from < chunk.length) begun.push(chunk.subarray(from));
      held += chunk.length - from;
      if (held > HELD_MAX) throw new TextError(name, `it has a line of more than ${HELD_MAX} bytes`);
    }
    if (begun.length > 0) yield Buffer.concat(begun);
  }
}

/**
 * Opens an archive or a folder.
 *
 * @param {string} path
 * @returns {Promise<Pack>}
 * @throws {CannotCheck} if there is none, or it cannot be read
 * @throws {PackError} if it is a ZIP archive that is broken
 */
export async function openPack(path) {
  const unreadable = (/** @type {NodeJS.ErrnoException} */ error) => {
    throw new CannotCheck(error.code === 'ENOENT' ? `there is no file or folder ${path}` : error.message);
  };
  const status = await stat(path).catch(unreadable);
  if (status.isDirectory()) {
    return new Pack(
      await filesBelow(path),
      false,
      [],
      (name) => createReadStream(join(path, name), { highWaterMark: 256 * 1024 }),
      async () => {},
    );
  }
  const file = await open(path).catch(unreadable);
  try {
    const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0);
    if (buffer.toString('latin1') !== 'PK\x03\x04') throw new CannotCheck(`${path} is no ZIP archive`);
    const { entries, complaints } = await readDirectory(file);
    const byName = new Map(entries.map((entry) => [entry.name, entry]));
    return new Pack(
      [...byName.keys()],
      true,
      complaints,
      (name) => readEntry(file, /** @type {import('./zip.mjs').ZipEntry} */ (byName.get(name))),
      () => file.close(),
    );
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Names with / between folders.
 *
 * @param {string} folder
 * @param {string} [prefix]
 * @returns {Promise<string[]>}
 * @throws {PackError} at a link
 */
async function filesBelow(folder, prefix = '') {
  const names = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const name = prefix + entry.name;
    if (entry.isDirectory()) names.push(...(await filesBelow(join(folder, entry.name), `${name}/`)));
    else if (entry.isFile()) names.push(name);
    else throw new PackError(`${name} is neither a file nor a folder`);
  }
  return names;
}
