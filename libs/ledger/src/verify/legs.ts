/**
 * What a leg must be: the text of its data as PostgreSQL prints it, and its leaf hash, put together from what its line says. Two thirds of
 * a log are legs; compared and hashed so, none of them is parsed. Guarantees that a leg with this text and this hash says what its
 * line says (I15) and nothing else.
 */
import * as crypto from 'node:crypto';
import { definitionOf } from '#event-store';
import { catalogue } from '../catalogue';
import type { ReadEvent } from './replay';

/** Of a line, what its leg repeats. */
export interface LegLine {
  readonly line: number;
  readonly amount: string;
  readonly currency: string;
  /** Base amount as the line states it. */
  readonly statedBase: string | undefined;
}

/** What the legs of one entry have in common, as PostgreSQL prints it and in the text that is hashed, in as few pieces as can be. */
export interface LegFrame {
  readonly entry: string;
  readonly place: string;
  readonly cause: string;
  readonly leafBook: string;
  readonly leafPlace: string;
  readonly leafCause: string;
  readonly leafRecorded: string;
}

const { aggregateType } = definitionOf(catalogue, 'AccountDebited');

/** @param event the entry's JournalEntryPosted, with its data */
export function legFrame(bookId: string, event: ReadEvent, data: Readonly<Record<string, unknown>>): LegFrame {
  const { streamId, eventId, position, recordedAt } = event;
  const date = String(data.effectiveDate);
  return {
    entry: flat(`", "entryId": "${streamId}", "currency": "`),
    place: flat(`", "effectiveDate": "${date}", "entryPosition": ${position}}`),
    cause: flat(`{"causationId": "${eventId}"}`),
    leafBook: flat(`","aggregateType":"${aggregateType}","bookId":"${bookId}","data":{"amount":"`),
    leafPlace: flat(`","effectiveDate":"${date}","entryId":"${streamId}","entryPosition":${position},"line":`),
    leafCause: flat(`","eventVersion":1,"metadata":{"causationId":"${eventId}"},"position":`),
    leafRecorded: flat(`,"recordedAt":"${recordedAt}","version":`),
  };
}

/**
 * The same text as one piece. V8 keeps a text that was put together as a tree of its pieces until somebody looks into it, and
 * whatever is made of it walks that tree again: 0.83 µs for the text of a leg in forty pieces, 0.33 in seventeen.
 */
function flat(text: string): string {
  text.charCodeAt(0);
  return text;
}

/** What the data of a leg must be, as PostgreSQL prints it. */
export function legText({ line, amount, currency, statedBase }: LegLine, totalDebit: string, totalCredit: string, frame: LegFrame): string {
  const base = statedBase === undefined ? '", "totalDebit": "' : `", "baseAmount": "${statedBase}", "totalDebit": "`;
  return `{"line": ${line}, "amount": "${amount}${frame.entry}${currency}${base}${totalDebit}", "totalCredit": "${totalCredit}${frame.place}`;
}

/** Leaf hash of a leg that says what it must say: leafHash with the text that is expected instead of the one that is stored. */
export function legHash(
  { streamId, eventId, eventType, position, version }: ReadEvent,
  { line, amount, currency, statedBase }: LegLine,
  totalDebit: string,
  totalCredit: string,
  { leafBook, leafPlace, leafCause, leafRecorded }: LegFrame,
): string {
  const base = statedBase === undefined ? '","currency":"' : `","baseAmount":"${statedBase}","currency":"`;
  return crypto.hash(
    'sha256',
    `\0{"aggregateId":"${streamId}${leafBook}${amount}${base}${currency}${leafPlace}${line},"totalCredit":"${totalCredit}","totalDebit":"${totalDebit}"},"eventId":"${eventId}","eventType":"${eventType}${leafCause}${position}${leafRecorded}${version}}`,
    'hex',
  );
}
