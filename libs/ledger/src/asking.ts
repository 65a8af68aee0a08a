/**
 * What questions have in common: pages with their cursors, dates, and what is said of those that cannot be asked. Hides the form
 * of a cursor; guarantees that a cursor goes with the filters that it was given for and no others.
 */
import { createHash } from 'node:crypto';
import { firstDate, isDate, LedgerError, lastDate } from '#domain';
import { canonicalJson } from '#event-store';

/** What every list takes. */
export interface Page {
  /** Where the page before ended; goes with the same filters only. */
  readonly cursor?: string;
  /** Rows of a page, 1 to 1,000; 100 when absent. */
  readonly limit?: number;
}

const limitDefault = 100;
export const limitMax = 1_000;
const cursorVersion = 1;

export const malformed = (member: string, message: string): LedgerError => new LedgerError('malformed', message, { member });
export const dateInvalid = (member: string, message: string): LedgerError => new LedgerError('date_invalid', message, { member });

export function checkDate(date: unknown, member: string): void {
  if (date !== undefined && !isDate(date))
    throw dateInvalid(member, `${member} "${date}" is no date YYYY-MM-DD from ${firstDate} to ${lastDate}`);
}

export function checkRange(from: unknown, to: unknown): void {
  checkDate(from, 'from');
  checkDate(to, 'to');
  if (String(to) < String(from)) throw dateInvalid('to', `to ${to} lies before from ${from}`);
}

export function limitOf({ limit = limitDefault }: Page): number {
  if (!Number.isInteger(limit) || limit < 1 || limit > limitMax)
    throw malformed('limit', `limit "${limit}" is not a whole number from 1 to ${limitMax}`);
  return limit;
}

// --- Cursors: version, filter hash, pinned position, last sort key; opaque to callers, and worth nothing to a forger ---

export const filterHash = (list: string, filters: object): string =>
  createHash('sha256').update(list).update(canonicalJson(filters)).digest('base64url').slice(0, 12);

export const writeCursor = (filter: string, position: number, key: readonly (string | number)[]): string =>
  Buffer.from(JSON.stringify([cursorVersion, filter, position, ...key])).toString('base64url');

/** What the parts of a sort key are; each is something that a statement may be given. */
const keyParts = {
  text: (part: unknown) => typeof part === 'string' && part.isWellFormed() && !part.includes('\0'),
  date: isDate,
  whole: (part: unknown) => Number.isSafeInteger(part) && (part as number) >= 0,
  line: (part: unknown) => Number.isInteger(part) && (part as number) >= 0 && (part as number) < 2 ** 31,
} as const;
type KeyPart = keyof typeof keyParts;
type KeyOf<T extends readonly KeyPart[]> = { [I in keyof T]: T[I] extends 'text' | 'date' ? string : number };

/**
 * @param form what the sort key's parts are
 * @returns undefined when the page has no cursor
 * @throws LedgerError malformed when it is none, or one of another list or other filters
 */
export function readCursor<const T extends readonly KeyPart[]>(
  { cursor }: Page,
  filter: string,
  form: T,
): { readonly position: number; readonly key: KeyOf<T> } | undefined {
  if (cursor === undefined) return undefined;
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(cursor, 'base64url').toString());
  } catch {
    parts = undefined;
  }
  const [version, hash, position, ...key] = Array.isArray(parts) ? (parts as unknown[]) : [];
  const fits = key.length === form.length && form.every((part, index) => keyParts[part](key[index]));
  if (version !== cursorVersion || !fits || !Number.isSafeInteger(position) || (position as number) < 0) {
    throw malformed('cursor', 'the cursor is not one that this list gave');
  }
  if (hash !== filter)
    throw malformed('cursor', 'the cursor belongs to other filters; repeat those of the first page, or begin without a cursor');
  return { position: position as number, key: key as KeyOf<T> };
}
