/**
 * Commands as they enter the ledger: plain objects, one type per aggregate decision, with the circumstances in a context of
 * their own. Guarantees one fingerprint for everything that means the same (I6): amounts in their shortest form, members in
 * canonical order, server defaults not yet filled in.
 */
import { createHash } from 'node:crypto';
import {
  type AccountLimit,
  type ChangeAccount,
  type CorrectEntry,
  canonicalDecimal,
  type DefineFiscalYear,
  type DefineJournal,
  type EnableCurrency,
  LedgerError,
  normaliseLines,
  type OpenAccount,
  type OpenBook,
  type PostEntry,
  type ReverseEntry,
} from '#domain';
import { canonicalJson } from '#event-store';

/** Several entries in one call: all or none when atomic, else each on its own. */
export interface PostEntries {
  readonly type: 'PostEntries';
  readonly atomic: boolean;
  readonly entries: readonly Omit<PostEntry, 'type'>[];
}

export type Command =
  | OpenBook
  | DefineFiscalYear
  | DefineJournal
  | EnableCurrency
  | OpenAccount
  | ChangeAccount
  | PostEntry
  | PostEntries
  | ReverseEntry
  | CorrectEntry;

/** Who sends a command, under which key, from where (I12). */
export interface CommandContext {
  /** Idempotency key: 1 to 255 printable ASCII characters. */
  readonly key: string;
  /** Opaque id of the caller, never a name. */
  readonly userId: string;
  readonly onBehalfOf?: string;
  readonly source: 'REST' | 'GraphQL' | 'CLI' | 'job';
  readonly correlationId?: string;
  /** Kept apart from the events, which hold a salted hash only. */
  readonly ip?: string;
  readonly userAgent?: string;
}

const printableAscii = /^[\x20-\x7e]{1,255}$/;

/** @throws LedgerError key_missing */
export function checkKey(key: string | undefined): string {
  if (key === undefined || !printableAscii.test(key)) {
    throw new LedgerError(
      'key_missing',
      'a command needs an idempotency key of 1 to 255 printable ASCII characters (header Idempotency-Key)',
    );
  }
  return key;
}

/** The command with every amount in its shortest form. */
export function normalise<C extends Command>(command: C): C {
  switch (command.type) {
    case 'PostEntry':
    case 'CorrectEntry':
      return normaliseLines(command) as C;
    case 'PostEntries':
      return { ...command, entries: command.entries.map(normaliseLines) };
    case 'OpenAccount':
      return { ...command, limits: command.limits?.map(shortestLimit) };
    default:
      return command;
  }
}

function shortestLimit(limit: AccountLimit): AccountLimit {
  const shortest = (bound?: string): string | undefined =>
    bound?.startsWith('-') ? `-${canonicalDecimal(bound.slice(1))}` : bound && canonicalDecimal(bound);
  return { ...limit, min: shortest(limit.min), max: shortest(limit.max) };
}

/** A short fingerprint per member, to name what differs when a refused command's key is used again. */
export function memberFingerprints(command: Command): Record<string, string> {
  const members = Object.entries(command).filter(([, value]) => value !== undefined);
  return Object.fromEntries(members.map(([member, value]) => [member, sha256(canonicalJson(value)).toString('hex', 0, 8)]));
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text, 'utf8').digest();
