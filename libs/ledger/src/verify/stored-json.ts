/**
 * JSON as PostgreSQL stores and prints it, and its canonical form for hashing, made anew from what the database returns. A second
 * implementation beside the one that wrote: for the few shapes that make up almost all of a log the members are put in order by
 * hand, everything else goes through the general RFC 8785 function. Guarantees that text which differs from what was hashed is
 * told, also where JSON.parse would hide it (1.0 for 1).
 */
import { canonicalJson } from '#event-store';

/** A number behind a separator that JSON.parse may round or print in another way: with a point, or of 16 digits and more. */
const doubtfulNumber = /[[ ]-?(?:\d+\.|\d{16})/;

/**
 * Whether every number in it is printed as RFC 8785 prints it; a cheap look decides nearly always.
 * @param text JSON as PostgreSQL prints a jsonb value
 */
export function hasPlainNumbers(text: string): boolean {
  if (!doubtfulNumber.test(text)) return true;
  const bare = text.replace(/"(?:[^"\\]|\\.)*"/g, '""');
  for (const [number] of bare.matchAll(/-?\d[\d.eE+-]*/g)) {
    const value = Number(number);
    if (String(value) !== number && !(Number.isInteger(value) && !number.includes('.') && BigInt(value).toString() === number))
      return false;
  }
  return true;
}

type Json = Readonly<Record<string, unknown>>;

/** Canonical text of a JournalEntryPosted's data, undefined when it holds anything that is not on the short list. */
export function canonicalEntry(data: Json): string | undefined {
  const { description, effectiveDate, entryMethod, entryType, fiscalYear, journalCode, lines, number, period, reference, requestedDate } =
    data;
  let known = 9;
  if (reference !== undefined) known++;
  if (requestedDate !== undefined) known++;
  for (const _ in data) known--;
  if (known !== 0 || !Array.isArray(lines)) return undefined;
  const ordered = new Array<Json>(lines.length);
  for (let index = 0; index < lines.length; index++) {
    const line = canonicalLine(lines[index] as Json);
    if (line === undefined) return undefined;
    ordered[index] = line;
  }
  return JSON.stringify({
    description,
    effectiveDate,
    entryMethod,
    entryType,
    fiscalYear,
    journalCode,
    lines: ordered,
    number,
    period,
    reference,
    requestedDate,
  });
}

function canonicalLine(given: Json): Json | undefined {
  const { accountId, amount, baseAmount, code, currency, description, line, reference, side } = given;
  let known = 6;
  if (baseAmount !== undefined) known++;
  if (description !== undefined) known++;
  if (reference !== undefined) known++;
  for (const _ in given) known--;
  return known === 0 ? { accountId, amount, baseAmount, code, currency, description, line, reference, side } : undefined;
}

/** Canonical text of an event's metadata without userId. */
export function canonicalMetadata(metadata: Json): string {
  const { commandHash, commandKey, contextHash, correlationId, onBehalfOf, reason, release, source } = metadata;
  // Five that are always there, userId with them.
  let known = 5;
  if (contextHash !== undefined) known++;
  if (correlationId !== undefined) known++;
  if (onBehalfOf !== undefined) known++;
  if (reason !== undefined) known++;
  for (const _ in metadata) known--;
  if (known === 0) return JSON.stringify({ commandHash, commandKey, contextHash, correlationId, onBehalfOf, reason, release, source });
  const { userId: _user, ...rest } = metadata;
  return canonicalJson(rest);
}

/** A value as PostgreSQL prints it once it is jsonb: members by length, then bytes; a blank after colon and comma. */
export function jsonbText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(jsonbText).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  if (members.length > 1) members.sort(([a], [b]) => byLengthThenBytes(a, b));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}: ${jsonbText(member)}`).join(', ')}}`;
}

function byLengthThenBytes(a: string, b: string): number {
  const [first, second] = [Buffer.from(a), Buffer.from(b)];
  return first.length - second.length || first.compare(second);
}
