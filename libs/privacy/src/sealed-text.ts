/**
 * Sealed texts: what is said of a person, encrypted under a key of that person alone, in the form in which it stands in events,
 * projections and snapshots. Hides the cipher; guarantees that a sealed text opens only with its key and only as what it says it is: in
 * its book, about its subject, for the event and the member that it was written for.
 *
 * The form, for whoever wants to read one with a key in hand: `sealed:v1:SUBJECT:SCOPE:EVENT:PATH:BOX.` with the point at its end. SUBJECT and EVENT are UUIDs in
 * lower case, PATH is the member of the event percent-encoded (encodeURIComponent), BOX is base64url without padding of iv (12 bytes),
 * ciphertext and tag (16 bytes) of AES-256-GCM (NIST SP 800-38D); associated data is `BOOK:SUBJECT:SCOPE:EVENT:PATH` in UTF-8.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';

/** How every sealed text begins. */
const prefix = 'sealed:v1:';
const uuid = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const form = `sealed:v1:(${uuid}):([a-z0-9-]{1,40}):(${uuid}):([A-Za-z0-9%._~!*'()-]+):([A-Za-z0-9_-]{38,})\\.`;
const whole = new RegExp(`^${form}$`);
const within = new RegExp(form, 'g');
const [ivBytes, tagBytes] = [12, 16];

/** Where a text stands, which it is bound to. */
export interface SealedPlace {
  readonly bookId: string;
  readonly subjectId: string;
  readonly scope: string;
  readonly eventId: string;
  /** The member of the event, such as `lines.0.description`. */
  readonly path: string;
}

/** A sealed text in its parts. */
export interface SealedText extends Omit<SealedPlace, 'bookId'> {
  readonly box: Buffer;
}

/** What is derived from the 32 bytes of a subject's key (HKDF with SHA-256, RFC 5869, one label for each use). */
export interface SubjectKey {
  /** Tells the key without leading back to it, hex. */
  readonly fingerprint: string;
  readonly encryption: Buffer;
  readonly marking: Buffer;
  readonly pseudonym: string;
}

const derived = (key: Buffer, label: string): Buffer => Buffer.from(hkdfSync('sha256', key, '', `book-keeper ${label}`, 32));

/** @param key 32 bytes */
export function subjectKey(key: Buffer): SubjectKey {
  return {
    fingerprint: derived(key, 'fingerprint').toString('hex'),
    encryption: derived(key, 'encryption'),
    marking: derived(key, 'marking'),
    pseudonym: `P-${base32(derived(key, 'pseudonym')).slice(0, 12)}`,
  };
}

/** Crockford's alphabet: no letter that is taken for a digit, none that makes words. */
const letters = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const base32 = (bytes: Buffer): string => [...bytes].map((byte) => letters[byte % 32]).join('');

/** Whether a text begins like a sealed one, or holds one: quick, to pass over what does not. */
export const looksSealed = (text: string): boolean => text.includes(prefix);

/** Whether a whole text is a sealed one. */
export const isSealed = (text: string): boolean => text.startsWith(prefix) && parseSealed(text) !== undefined;

/** @returns undefined when the text is not a sealed one as a whole */
export function parseSealed(text: string): SealedText | undefined {
  const match = whole.exec(text);
  if (match === null) return undefined;
  const [, subjectId = '', scope = '', eventId = '', path = '', box = ''] = match;
  try {
    const sealed = { subjectId, scope, eventId, path: decodeURIComponent(path), box: Buffer.from(box, 'base64url') };
    // One text has one form: no other percent-encoding of its path, no other last digit of its box.
    return textOf(sealed) === text ? sealed : undefined;
  } catch {
    return undefined; // a percent sign without its digits: there is no other way to ask
  }
}

const textOf = ({ subjectId, scope, eventId, path, box }: SealedText): string =>
  `${prefix}${subjectId}:${scope}:${eventId}:${encodeURIComponent(path)}:${box.toString('base64url')}.`;

/** The text with every sealed text in it replaced. */
export const replaceSealed = (text: string, replace: (sealed: string) => string): string =>
  text.replace(within, (sealed) => replace(sealed));

/** Whom the sealed texts are about that stand anywhere in a value: a text, a list, an object. */
export function eachSubject(value: unknown, visit: (subjectId: string) => void): void {
  if (typeof value === 'string') {
    if (looksSealed(value)) for (const [, subjectId] of value.matchAll(within)) visit(subjectId as string);
  } else if (typeof value === 'object' && value !== null) for (const member of Object.values(value)) eachSubject(member, visit);
}

const boundTo = (bookId: string, { subjectId, scope, eventId, path }: Omit<SealedPlace, 'bookId'>): Buffer =>
  Buffer.from(`${bookId}:${subjectId}:${scope}:${eventId}:${encodeURIComponent(path)}`, 'utf8');

/** Seals a text for a place; twice the same text never looks the same. */
export function sealText(key: SubjectKey, { bookId, ...place }: SealedPlace, value: string): string {
  const iv = randomBytes(ivBytes);
  const cipher = createCipheriv('aes-256-gcm', key.encryption, iv).setAAD(boundTo(bookId, place));
  const box = Buffer.concat([iv, cipher.update(value, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return textOf({ ...place, box });
}

/** @returns undefined when the key is another one, or anything was changed */
export function openText(key: SubjectKey, bookId: string, sealed: SealedText): string | undefined {
  const { box } = sealed;
  try {
    const decipher = createDecipheriv('aes-256-gcm', key.encryption, box.subarray(0, ivBytes), { authTagLength: tagBytes })
      .setAAD(boundTo(bookId, sealed))
      .setAuthTag(box.subarray(box.length - tagBytes));
    return Buffer.concat([decipher.update(box.subarray(ivBytes, box.length - tagBytes)), decipher.final()]).toString('utf8');
  } catch {
    return undefined; // Node throws where the tag does not fit, and for nothing else here
  }
}

/** The same for the same text under the same key, and for nobody else to be guessed: what stands in a fingerprint in place of the text. */
export const markOf = (key: SubjectKey, value: string): string => createHmac('sha256', key.marking).update(value, 'utf8').digest('hex');

/** What a subject is called where names are not shown: stable as long as the key is. */
export const pseudonymOf = (key: SubjectKey): string => key.pseudonym;
