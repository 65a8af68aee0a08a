/**
 * Commands as they enter the ledger: plain objects, one type per aggregate decision, with the circumstances in a context of
 * their own. Guarantees one fingerprint for everything that means the same (I6): amounts in their shortest form, members in
 * canonical order, server defaults not yet filled in.
 */
import * as crypto from 'node:crypto';
import {
  type AccountLimit,
  type ChangeAccount,
  type ChangeParty,
  type CloseFiscalYear,
  type ClosePeriod,
  type CorrectEntry,
  type CreateDraft,
  canonicalDecimal,
  type DefineFiscalYear,
  type DefineJournal,
  type DefineRetention,
  type DesignateAccount,
  type EnableCurrency,
  type EndRetention,
  type ErasePerson,
  LedgerError,
  type MoveDraft,
  type MoveParty,
  normaliseLines,
  type OpenAccount,
  type OpenBook,
  type OpenParty,
  type PostEntry,
  type RecordRates,
  type ReopenPeriod,
  type Revalue,
  type ReverseEntry,
  type ReviseDraft,
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
  | DesignateAccount
  | RecordRates
  | ClosePeriod
  | CloseFiscalYear
  | Revalue
  | ReopenPeriod
  | OpenAccount
  | ChangeAccount
  | PostEntry
  | PostEntries
  | ReverseEntry
  | CorrectEntry
  | CreateDraft
  | ReviseDraft
  | MoveDraft
  | DefineRetention
  | OpenParty
  | ChangeParty
  | MoveParty
  | ErasePerson
  | EndRetention;

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
  /** May close periods and post into softly closed ones; no part of what the key stands for. */
  readonly isController?: boolean;
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
    case 'CreateDraft':
    case 'ReviseDraft':
      return normaliseLines(command) as C;
    case 'PostEntries':
      return { ...command, entries: command.entries.map(normaliseLines) };
    case 'OpenAccount':
      return { ...command, limits: command.limits?.map(shortestLimit) };
    case 'RecordRates':
      return { ...command, rates: command.rates.map((rate) => ({ ...rate, value: canonicalDecimal(rate.value) })) };
    default:
      return command;
  }
}

function shortestLimit(limit: AccountLimit): AccountLimit {
  const shortest = (bound?: string): string | undefined =>
    bound?.startsWith('-') ? `-${canonicalDecimal(bound.slice(1))}` : bound && canonicalDecimal(bound);
  return { ...limit, min: shortest(limit.min), max: shortest(limit.max) };
}

/** Wishes that leave no trace in the event. */
export const wishes = ['adjustmentPeriod', 'onClosedPeriod', 'onImbalance'] as const;

/**
 * Whether the event of a posted entry tells all that its command said. Not so where a wish leaves no trace in it, or where it cannot be
 * told whether an amount in base currency was stated or computed.
 */
export function isToldByEvent({ adjustmentPeriod, onClosedPeriod, onImbalance, lines }: PostEntry): boolean {
  if ((adjustmentPeriod ?? onClosedPeriod ?? onImbalance) !== undefined) return false;
  return lines.every(({ baseAmount, rate }) => baseAmount === undefined && rate === undefined);
}

/** Members that callers know by another name. */
const namedByCallers: Readonly<Record<string, string>> = { accountType: 'type', journalType: 'type' };
/** Lists whose elements have fingerprints of their own, as long as the list has at most as many. */
const listed = new Set(['entries', 'lines', 'rates']);
const listedMax = 1_000;

/**
 * A short fingerprint per member, to name what differs when a key is used again and no event tells what the command said.
 * Entries of a batch and lines of an entry have one each (`entries.3`, `lines.0`); members have the names that callers use. Entries of an
 * atomic batch, which have no receipts of their own, have one for each wish too (`entries.3.onImbalance`).
 */
export function memberFingerprints(command: Command): Record<string, string> {
  const fingerprints: Record<string, string> = {};
  for (const [member, value] of Object.entries(command) as [string, unknown][]) {
    // Whoever compares members has compared types of command before; what was computed is no part of what was said.
    if (value === undefined || member === 'type' || member === 'computed') continue;
    if (listed.has(member) && Array.isArray(value) && value.length <= listedMax)
      for (const [index, element] of value.entries()) fingerprints[`${member}.${index}`] = shortHash(element);
    else fingerprints[namedByCallers[member] ?? member] = shortHash(value);
  }
  if (command.type === 'PostEntries' && command.atomic && command.entries.length <= listedMax)
    for (const [index, entry] of command.entries.entries())
      for (const wish of wishes) if (entry[wish] !== undefined) fingerprints[`entries.${index}.${wish}`] = shortHash(entry[wish]);
  return fingerprints;
}

const shortHash = (value: unknown): string => crypto.hash('sha256', canonicalJson(value), 'hex').slice(0, 16);
