/**
 * Period end: the entries that are computed from balances and posted by the service: the closing entry of a fiscal year, and the
 * revaluation of monetary accounts with its reversal. What they consist of is computed outside, from reports (a decision reads no
 * projection); this file decides whether it may be posted. Guarantees that nothing was posted into the days that were computed
 * from since they were looked at, and that posting them again posts only what is new (both bring balances to a target, so where
 * that is reached there is nothing to post).
 */
import type { CalendarDate } from './calendar-date';
import { addDays } from './calendar-date';
import type { Decision } from './decision';
import { LedgerError } from './errors';
import type { RateType } from './exchange-rates';
import { periodKey, postingDate } from './fiscal-calendar';
import { type EntryContent, type EntryLine, type PostedEntry, postComputed, reverseEntry } from './journal';

/** What was computed for a command, and from what. No part of what the command's key stands for. */
export interface Computed {
  /** Lines to post; empty when there is nothing to do. */
  readonly lines: readonly EntryLine[];
  /** How many entries the periods had, by `fiscalYear/period`, before balances were looked at; a period that is missing had none. */
  readonly entries: Readonly<Record<string, number>>;
  /** What the entry stands for in the books, of a revaluation its day and rates. */
  readonly name?: string;
  /** Why nothing could be computed. */
  readonly refusal?: LedgerError;
}

/** Brings income and expense of a fiscal year to zero, against retained earnings. Reports compute the same without it. */
export interface CloseFiscalYear {
  readonly type: 'CloseFiscalYear';
  readonly fiscalYear: string;
  readonly journalCode?: string;
  /** Posts it into this period of the year instead of the normal one of its last day. */
  readonly adjustmentPeriod?: number;
  readonly description?: string;
  readonly reason?: string;
  readonly computed?: Computed;
}

/** Brings monetary accounts in foreign currencies to their value at the rates of a day (IAS 21.23 a), and back the day after. */
export interface Revalue {
  readonly type: 'Revalue';
  readonly date: CalendarDate;
  /** closing when absent. */
  readonly rateType?: RateType;
  /** Codes; all monetary accounts when absent. */
  readonly accounts?: readonly string[];
  readonly journalCode?: string;
  readonly description?: string;
  readonly reason?: string;
  readonly computed?: Computed;
}

/**
 * Posts the closing entry on the last day of the year; of a year that was closed before, what has been posted since.
 * @returns the entry; none when income and expense are at zero
 * @throws LedgerError books_moving | malformed for a year that is not defined | as postEntry
 */
export function closeFiscalYear(decision: Decision, command: CloseFiscalYear, id: string): PostedEntry[] {
  const year = decision.book().fiscalYears.find(({ label }) => label === command.fiscalYear);
  const { lines } = computedFor(decision, command, (period) => period.fiscalYear === command.fiscalYear);
  if (year === undefined || lines.length === 0) return [];
  const { journalCode, adjustmentPeriod, description = `Closing entry of fiscal year ${year.label}` } = command;
  const entry = { effectiveDate: year.to, description, journalCode, adjustmentPeriod, lines };
  return [postComputed(decision, { ...entry, entryType: 'closing' }, id)];
}

/**
 * Posts what monetary accounts gained or lost in base currency up to a day, and reverses it on the next day, or where that is closed
 * to this caller on the first open one after it.
 * @returns both entries; none when every account is at its value
 * @throws LedgerError books_moving | as postEntry
 */
export function revalue(
  decision: Decision,
  command: Revalue,
  { ids, today }: { readonly ids: readonly [string, string]; readonly today: CalendarDate },
): PostedEntry[] {
  const { date, journalCode, description = `Revaluation at the rates of ${date}` } = command;
  const { lines, name = '' } = computedFor(decision, command, (period) => period.from <= date);
  if (lines.length === 0) return [];
  const content = { effectiveDate: date, description, journalCode, lines, source: { system: 'book-keeper', id: name } };
  const posted = postRevaluation(decision, content, ids[0]);
  const effectiveDate = postingDate(decision.book(), { date: addDays(date, 1), moves: true }, decision.actor);
  const reason = command.reason ?? 'a revaluation holds for its day only';
  return [posted, reverseEntry(decision, { type: 'ReverseEntry', entryId: posted.id, effectiveDate, reason }, today, ids[1])];
}

/** @throws LedgerError as postEntry; where that is about an account, with how to do without it */
function postRevaluation(decision: Decision, content: EntryContent, id: string): PostedEntry {
  try {
    return postComputed(decision, { ...content, entryType: 'revaluation' }, id);
  } catch (error) {
    if (!(error instanceof LedgerError) || (error.code !== 'account_closed' && error.code !== 'account_frozen')) throw error;
    const { code, message, details } = error;
    const advice = `it would have to be revalued to ${content.effectiveDate}; name the accounts to be revalued without it (accounts)`;
    throw new LedgerError(code, `${message}; ${advice}`, details);
  }
}

/** @throws LedgerError books_moving | what the computation was refused with */
function computedFor(
  decision: Decision,
  { computed }: { readonly computed?: Computed },
  counts: (period: { readonly fiscalYear: string; readonly from: CalendarDate }) => boolean,
): Computed {
  if (computed === undefined) throw new Error('the command came without what was computed for it');
  if (computed.refusal !== undefined) throw computed.refusal;
  for (const { label, periods } of decision.book().fiscalYears) {
    for (const { no, from } of periods) {
      if (!counts({ fiscalYear: label, from })) continue;
      const key = periodKey({ fiscalYear: label, period: no });
      const known = Object.hasOwn(computed.entries, key) ? computed.entries[key] : 0;
      if (decision.tally(label, no).entries !== known) {
        throw new LedgerError(
          'books_moving',
          `entries were posted into period ${key} while its balances were looked at; close it softly first, or repeat with the same key`,
          { retryAfter: 1 },
        );
      }
    }
  }
  return computed;
}
