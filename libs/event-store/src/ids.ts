/**
 * Identifiers (RFC 9562). uuidV7 sorts by time of creation, so that ids made together lie together in an index; its random
 * bits come from a pool, because one call to the system's generator per id costs more than deciding an entry. uuidV5 names
 * streams that a book has exactly one of, without a table to look them up in.
 */
import { createHash, randomFillSync } from 'node:crypto';

const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
const pool = Buffer.alloc(10 * 1024);
let used = pool.length;

/** A new time-ordered id: 48 bits of milliseconds, 74 random bits (RFC 9562 section 5.7). */
export function uuidV7(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const time = Date.now().toString(16).padStart(12, '0');
  const at = used;
  used += 10;
  const byte = (offset: number): string => hex[pool[at + offset] as number] as string;
  const versioned = hex[((pool[at] as number) & 0x0f) | 0x70] as string;
  const variant = hex[((pool[at + 2] as number) & 0x3f) | 0x80] as string;
  return `${time.slice(0, 8)}-${time.slice(8)}-${versioned}${byte(1)}-${variant}${byte(3)}-${byte(4)}${byte(5)}${byte(6)}${byte(7)}${byte(8)}${byte(9)}`;
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
