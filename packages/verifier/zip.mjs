/**
 * A ZIP archive, read from a file (PKWARE APPNOTE 6.3.10; its sections are cited). Hides the directory, ZIP64, data descriptors
 * and inflating. Guarantees: nothing is held but the directory; every byte of a file that is given out has been counted into its
 * CRC-32, and the end of the file is reached only if size and CRC-32 are right; both headers of a file say the same; no two
 * programs can see different files in the archive, because its parts must lie one behind the other without a gap, and no part has
 * room for another: no comment, no extra field but the numbers of ZIP64, no second end, no second disk.
 */
import { pipeline } from 'node:stream';
import { crc32, createInflateRaw } from 'node:zlib';

/** What is wrong with an archive or a folder, or with one of its files. */
export class PackError extends Error {}

/**
 * @typedef {{ name: string, flags: number, method: number, crc: number, packed: number, bytes: number, offset: number, dataOffset: number
 * }} ZipEntry
 */

const CHUNK = 256 * 1024;
const DIRECTORY_MAX = 64 * 1024 * 1024;
const ENCRYPTED = 0x2041; // 4.4.4: bits 0, 6 and 13
const WITH_DESCRIPTOR = 0x0008; // bit 3
/** Bits that a pack needs: how hard was compressed (1, 2), a descriptor (3), names in UTF-8 (11). */
const FLAGS = 0x080e;
const UTF8 = 0x0800;
const MAX16 = 0xffff;
const MAX32 = 0xffffffff;

/**
 * Reads the directory and looks at every header.
 *
 * @param {import('node:fs/promises').FileHandle} file
 * @returns {Promise<{ entries: ZipEntry[], complaints: string[] }>} entries in the order of the archive; complaints about bytes that
 * belong to no file
 * @throws {PackError} if it cannot be read as one archive with one meaning
 */
export async function readDirectory(file) {
  const { size } = await file.stat();
  /** @type {string[]} */
  const complaints = [];
  const end = await findEnd(file, size, complaints);
  if (end.bytes > DIRECTORY_MAX) throw new PackError(`the archive's directory has ${end.bytes} bytes, which no pack needs`);
  const directory = await readAt(file, end.offset, end.bytes);
  /** @type {ZipEntry[]} */
  const entries = [];
  const names = new Set();
  let at = 0;
  while (at < directory.length) {
    const { entry, next } = directoryEntry(directory, at, complaints);
    if (names.has(entry.name)) throw new PackError(`the archive has two files with the name ${entry.name}`);
    names.add(entry.name);
    entries.push(entry);
    at = next;
  }
  if (entries.length !== end.entries) throw new PackError(`the archive's directory has ${entries.length} files and says ${end.entries}`);
  entries.sort((a, b) => a.offset - b.offset);
  for (const entry of entries) await readLocalHeader(file, entry, complaints);

  let reached = 0;
  for (const [index, entry] of entries.entries()) {
    if (entry.offset !== reached) complaints.push(gap(reached, entry.offset, `before ${entry.name}`));
    reached = await endOf(file, entry, entries[index + 1]?.offset ?? end.offset);
  }
  if (reached !== end.offset) complaints.push(gap(reached, end.offset, 'before the directory'));
  return { entries, complaints };
}

/** @param {number} from @param {number} to @param {string} where */
const gap = (from, to, where) =>
  to > from ? `${to - from} bytes at ${from} belong to no file (${where})` : `parts overlap at ${to} (${where})`;

/**
 * The end of central directory record (4.3.16), with its ZIP64 form (4.3.14, 4.3.15) where a number asks for it.
 *
 * @param {import('node:fs/promises').FileHandle} file @param {number} size @param {string[]} complaints
 */
async function findEnd(file, size, complaints) {
  const tailAt = Math.max(0, size - 22 - MAX16);
  const tail = await readAt(file, tailAt, size - tailAt);
  const found = tail.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  if (found < 0 || found + 22 > tail.length)
    throw new PackError('the archive has no end: it was cut off, or something long stands behind it');
  const record = tail.subarray(found);
  const recordAt = tailAt + found;
  const comment = record.readUInt16LE(20);
  if (comment > 0) complaints.push(`the archive has a comment of ${comment} bytes`);
  if (recordAt + 22 + comment !== size) complaints.push(`${size - recordAt - 22 - comment} bytes behind the end of the archive`);
  let end = { entries: record.readUInt16LE(10), bytes: record.readUInt32LE(12), offset: record.readUInt32LE(16) };
  let directoryEnd = recordAt;
  const oneDisk = (/** @type {boolean} */ is) => {
    if (!is) complaints.push('the end of the archive speaks of several disks');
  };
  oneDisk(record.readUInt16LE(4) === 0 && record.readUInt16LE(6) === 0 && record.readUInt16LE(8) === end.entries);
  const locator = await readAt(file, Math.max(0, recordAt - 20), 20);
  const isLocated = locator.readUInt32LE(0) === 0x07064b50;
  if (end.entries === MAX16 || end.bytes === MAX32 || end.offset === MAX32) {
    const largeAt = Number(locator.readBigUInt64LE(8));
    const large = await readAt(file, largeAt, 56);
    if (!isLocated || large.readUInt32LE(0) !== 0x06064b50) throw new PackError('the ZIP64 end is not there');
    oneDisk(locator.readUInt32LE(4) === 0 && locator.readUInt32LE(16) === 1 && large.readUInt32LE(16) === 0);
    oneDisk(large.readUInt32LE(20) === 0 && large.readBigUInt64LE(24) === large.readBigUInt64LE(32));
    if (large.readBigUInt64LE(4) !== 44n) complaints.push('the ZIP64 end has more than its numbers');
    end = {
      entries: Number(large.readBigUInt64LE(24)),
      bytes: Number(large.readBigUInt64LE(40)),
      offset: Number(large.readBigUInt64LE(48)),
    };
    if (largeAt + 12 + Number(large.readBigUInt64LE(4)) !== recordAt - 20)
      complaints.push('something stands between the parts of the ZIP64 end');
    directoryEnd = largeAt;
  } else if (isLocated) {
    // Programs differ in whether they follow it, and so in which directory they read.
    complaints.push('a ZIP64 end stands there although no number asks for it');
  }
  if (end.offset + end.bytes !== directoryEnd) complaints.push(gap(end.offset + end.bytes, directoryEnd, 'behind the directory'));
  return end;
}

/**
 * A central directory header (4.3.12).
 *
 * @param {Buffer} directory @param {number} at @param {string[]} complaints @returns {{ entry: ZipEntry, next: number }}
 */
function directoryEntry(directory, at, complaints) {
  const nameAt = at + 46;
  if (nameAt > directory.length || directory.readUInt32LE(at) !== 0x02014b50) throw new PackError('the archive’s directory is damaged');
  const extraAt = nameAt + directory.readUInt16LE(at + 28);
  const extraEnd = extraAt + directory.readUInt16LE(at + 30);
  const next = extraEnd + directory.readUInt16LE(at + 32);
  if (next > directory.length) throw new PackError('the archive’s directory is cut off');
  const name = directory.subarray(nameAt, extraAt).toString('utf8');
  refuseName(name);
  const complain = (/** @type {string} */ what) => complaints.push(`${name}: ${what}`);
  if (next > extraEnd) complain(`the directory has a comment of ${next - extraEnd} bytes on it`);
  if (directory.readUInt16LE(at + 34) !== 0) complain('the directory says that it lies on another disk');
  // Whatever system the header names: what unpacks it may take these bits for a link (4.4.15).
  const [attributes, type] = [directory.readUInt8(at + 38), directory.readUInt8(at + 41) >> 4];
  if ((type !== 0 && type !== 8) || attributes & 0x18) complain('by its attributes it is no plain file but a link, a folder or a device');
  const [bytes = 0, packed = 0, offset = 0] = enlarge(
    [directory.readUInt32LE(at + 24), directory.readUInt32LE(at + 20), directory.readUInt32LE(at + 42)],
    directory.subarray(extraAt, extraEnd),
    complain,
  );
  const [flags, method] = [directory.readUInt16LE(at + 8), directory.readUInt16LE(at + 10)];
  if (flags & ENCRYPTED) throw new PackError(`${name} is encrypted`);
  if (flags & ~FLAGS) complain(`its header has flags that no pack needs (${(flags & ~FLAGS).toString(16)})`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII
  if (!(flags & UTF8) && /[^\x00-\x7f]/.test(name)) complain('its name is not marked as UTF-8');
  if (method !== 0 && method !== 8)
    throw new PackError(`${name} has compression method ${method}; only 0 (stored) and 8 (deflated) are known`);
  return { entry: { name, flags, method, crc: directory.readUInt32LE(at + 16), packed, bytes, offset, dataOffset: 0 }, next };
}

/** A name that could lead out of the folder that somebody unpacks to, or that is shown as another. @param {string} name */
function refuseName(name) {
  const parts = name.split('/');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  if (/[\x00-\x1f\x7f\\:\ufffd]/.test(name) || parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new PackError(`the archive has a file with the name ${JSON.stringify(name)}, which is refused`);
  }
}

/**
 * Numbers of 32 bits, with those that are too large for them from the ZIP64 extra field (4.5.3), which is the only one that may be there.
 *
 * @param {number[]} numbers in the order of that field
 * @param {Buffer} extra
 * @param {(what: string) => void} complain
 * @returns {number[]}
 */
function enlarge(numbers, extra, complain) {
  const large = numbers.filter((number) => number === MAX32).length;
  const length = large === 0 ? 0 : 4 + 8 * large;
  const isZip64 = large > 0 && extra.length >= length && extra.readUInt16LE(0) === 1;
  if (large > 0 && !isZip64) throw new PackError('a ZIP64 number is not there');
  // Other fields give a file another name, a time or rights in programs that know them, or hide bytes in those that do not.
  if (extra.length !== length || (isZip64 && extra.readUInt16LE(2) !== length - 4))
    complain('a header has an extra field other than the numbers of ZIP64 that it needs');
  let at = 4;
  return numbers.map((number) => {
    if (number !== MAX32) return number;
    at += 8;
    return Number(extra.readBigUInt64LE(at - 8));
  });
}

/**
 * The header before the data (4.3.7) says what the directory says.
 *
 * @param {import('node:fs/promises').FileHandle} file
 * @param {ZipEntry} entry
 * @param {string[]} complaints
 */
async function readLocalHeader(file, entry, complaints) {
  const differs = (/** @type {string} */ what) => new PackError(`${entry.name}: its own header and the directory differ (${what})`);
  const header = await readAt(file, entry.offset, 30);
  if (header.readUInt32LE(0) !== 0x04034b50) throw differs('there is none');
  const nameBytes = Buffer.from(entry.name, 'utf8');
  const rest = await readAt(file, entry.offset + 30, header.readUInt16LE(26) + header.readUInt16LE(28));
  entry.dataOffset = entry.offset + 30 + rest.length;
  if (!rest.subarray(0, header.readUInt16LE(26)).equals(nameBytes)) throw differs('name');
  if (header.readUInt16LE(6) !== entry.flags) throw differs('flags');
  if (header.readUInt16LE(8) !== entry.method) throw differs('method');
  const [bytes, packed] = enlarge([header.readUInt32LE(22), header.readUInt32LE(18)], rest.subarray(nameBytes.length), (what) =>
    complaints.push(`${entry.name}: ${what}`),
  );
  const stated = [header.readUInt32LE(14), packed, bytes];
  const known = [entry.crc, entry.packed, entry.bytes];
  // With a descriptor the numbers were not known when the header was written, and stand as 0 (4.4.4, bit 3).
  const may = (/** @type {number} */ index) => stated[index] === known[index] || (entry.flags & WITH_DESCRIPTOR && stated[index] === 0);
  if (!may(0) || !may(1) || !may(2)) throw differs('CRC-32 or sizes');
}

/**
 * Where an entry ends: behind its data, and behind the descriptor (4.3.9) if it has one.
 *
 * @param {import('node:fs/promises').FileHandle} file @param {ZipEntry} entry @param {number} next @returns {Promise<number>}
 */
async function endOf(file, entry, next) {
  const dataEnd = entry.dataOffset + entry.packed;
  if (!(entry.flags & WITH_DESCRIPTOR)) return dataEnd;
  const found = await readAt(file, dataEnd, Math.min(24, Math.max(0, next - dataEnd)));
  for (const signature of [[0x08074b50], []]) {
    for (const wide of [false, true]) {
      const descriptor = Buffer.alloc(4 * signature.length + (wide ? 20 : 12));
      let at = 0;
      for (const number of [...signature, entry.crc]) at = descriptor.writeUInt32LE(number, at);
      for (const number of [entry.packed, entry.bytes]) {
        at = wide ? descriptor.writeBigUInt64LE(BigInt(number), at) : descriptor.writeUInt32LE(number % 2 ** 32, at);
      }
      if (found.equals(descriptor)) return dataEnd + descriptor.length;
    }
  }
  throw new PackError(`${entry.name}: the descriptor behind its data is not what the directory says`);
}

/** @param {import('node:fs/promises').FileHandle} file @param {number} position @param {number} length @returns {Promise<Buffer>} */
async function readAt(file, position, length) {
  const buffer = Buffer.alloc(length);
  if (!Number.isSafeInteger(position) || position < 0) throw new PackError('the archive refers to a place that it does not have');
  const { bytesRead } = await file.read(buffer, 0, length, position);
  if (bytesRead !== length) throw new PackError('the archive is cut off');
  return buffer;
}

/**
 * The bytes of one file of the archive.
 *
 * @param {import('node:fs/promises').FileHandle} file
 * @param {ZipEntry} entry
 * @returns {AsyncGenerator<Buffer>}
 * @throws {PackError} at the first byte too many, or at the end if size or CRC-32 is another
 */
export async function* readEntry(file, entry) {
  let crc = 0;
  let bytes = 0;
  for await (const chunk of entry.method === 8 ? inflated(file, entry) : packed(file, entry)) {
    crc = crc32(chunk, crc);
    bytes += chunk.length;
    if (bytes > entry.bytes) break;
    yield chunk;
  }
  if (bytes !== entry.bytes) throw new PackError(`${entry.name} has ${bytes > entry.bytes ? 'more' : 'less'} than ${entry.bytes} bytes`);
  if (crc !== entry.crc) throw new PackError(`${entry.name}: its bytes have another CRC-32 than the archive says`);
}

/** @param {import('node:fs/promises').FileHandle} file @param {ZipEntry} entry @returns {AsyncGenerator<Buffer>} */
async function* packed(file, { dataOffset, packed }) {
  for (let done = 0; done < packed; done += CHUNK) yield await readAt(file, dataOffset + done, Math.min(CHUNK, packed - done));
}

/** @param {import('node:fs/promises').FileHandle} file @param {ZipEntry} entry @returns {AsyncGenerator<Buffer>} */
async function* inflated(file, entry) {
  const inflate = createInflateRaw({ chunkSize: CHUNK });
  // What goes wrong in the source destroys the inflater too, so the loop below throws it.
  pipeline(packed(file, entry), inflate, () => {});
  try {
    yield* inflate;
  } catch (error) {
    if (error instanceof PackError) throw error;
    throw new PackError(`${entry.name} cannot be inflated: ${/** @type {Error} */ (error).message}`);
  }
  if (inflate.bytesWritten !== entry.packed) throw new PackError(`${entry.name} has bytes behind the end of its compressed form`);
}
