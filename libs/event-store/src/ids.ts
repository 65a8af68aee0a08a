/**
 * Identifiers (RFC 9562). uuidV7 sorts by time of creation, so that ids made together lie together in an index; its random
 * bits come from a pool, because one call to the system's generator per id costs more than deciding an entry. uuidV5 names
 * streams that a book has exactly one of, without a table to look them up in.
 */
import { createHash, randomFillSync } from 'node:crypto';

const hexDigits = Buffer.from('0123456789abcdef', 'latin1');
const pool = Buffer.alloc(10 * 1024);
let used = pool.length;
/** The id being made. Digits are written as bytes and read as one string, which nobody has to flatten later. */
const made = Buffer.from('00000000-0000-7000-8000-000000000000', 'latin1');
let madeAt = -1;

function writeHex(byte: number, at: number): void {
  made[at] = hexDigits[byte >> 4] as number;
  made[at + 1] = hexDigits[byte & 0x0f] as number;
}

/** A new time-ordered id: 48 bits of milliseconds, 74 random bits (RFC 9562 section 5.7). */
export function uuidV7(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const now = Date.now();
  if (now !== madeAt) {
    const time = now.toString(16).padStart(12, '0');
    made.write(`${time.slice(0, 8)}-${time.slice(8)}`, 0, 'latin1');
    madeAt = now;
  }
  const at = used;
  used += 10;
  writeHex(((pool[at] as number) & 0x0f) | 0x70, 14);
  writeHex(pool[at + 1] as number, 16);
  writeHex(((pool[at + 2] as number) & 0x3f) | 0x80, 19);
  writeHex(pool[at + 3] as number, 21);
  for (let byte = 4; byte < 10; byte++) writeHex(pool[at + byte] as number, 16 + 2 * byte);
  return made.toString('latin1');
}

/** book-keeper's own namespace for uuidV5. */
const namespace = Buffer.from('6f0b4a5e2d3c4e8b9a1755c0de1ed9e7', 'hex');

/** The id that belongs to a name, always the same (RFC 9562 section 5.5). */
export function uuidV5(name: string): string {
  const hash = createHash('sha1').update(namespace).update(name, 'utf8').digest();
  hash[6] = ((hash[6] as number) & 0x0f) | 0x50;
  hash[8] = ((hash[8] as number) & 0x3f) | 0x80;
  const text = hash.toString('hex', 0, 16);
  return `${text.slice(0, 8)}-${text.slice(8, 12)}-${text.slice(12, 16)}-${text.slice(16, 20)}-${text.slice(20)}`;
}
