/**
 * Every event type that a log of ours holds, and the ids of the streams that a book has exactly one of. Hides nothing but
 * the names behind those ids; guarantees that they are the same in every process and for ever.
 */
import { accountEvents, bookEvents, journalEvents, partyEvents, rateEvents } from '#domain';
import { type EventCatalogue, uuidV5 } from '#event-store';
import { actionEvents } from './action-log';
import { sealEvents } from './audit-seals';
import { entryText, legText } from './canonical-text';

export const catalogue: EventCatalogue = {
  ...bookEvents,
  ...accountEvents,
  ...journalEvents,
  ...rateEvents,
  ...partyEvents,
  ...actionEvents,
  ...sealEvents,
  AccountDebited: { ...accountEvents.AccountDebited, canonicalText: legText },
  AccountCredited: { ...accountEvents.AccountCredited, canonicalText: legText },
  JournalEntryPosted: { ...journalEvents.JournalEntryPosted, canonicalText: entryText },
};

/** The stream of the Book aggregate. */
export function bookStreamId(bookId: string): string {
  return uuidV5(`book:${bookId}`);
}

/** The head that holds the counters of one fiscal year (year-counters.ts); it has no events of its own. */
export function numbersStreamId(bookId: string, fiscalYear: string): string {
  return uuidV5(`numbers:${bookId}:${fiscalYear}`);
}

/** The head that lists the open drafts of one fiscal year (year-drafts.ts); it has no events of its own. */
export function draftsStreamId(bookId: string, fiscalYear: string): string {
  return uuidV5(`drafts:${bookId}:${fiscalYear}`);
}

/** The exchange rates of one pair and type, `USD/EUR/spot`. */
export function ratesStreamId(bookId: string, pair: string): string {
  return uuidV5(`rates:${bookId}:${pair}`);
}

/**
 * The stream of a party that a command opens. Made of the command's key: whoever repeats the command means the same person, and what it
 * says of that person is compared under the same keys.
 */
export function partyStreamId(bookId: string, key: string): string {
  return uuidV5(`party:${bookId}:${key}`);
}

/** Category under which account codes are reserved in the log's names. */
export const accountCodes = 'account';
