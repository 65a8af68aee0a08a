/**
 * Ticking off: whether a report has exactly the lines that the events have, whatever order it puts them in. Hides how that is
 * done without holding lines.
 *
 * For each line that must be in a report, a mark of 64 bits is kept in the place of its account event's position (the entry's
 * position and the line's number: account events stand right behind their entry, one per line). A row of the report that has the
 * same facts takes its mark away. A row with other facts finds no such mark, a row that stands twice finds none the second time,
 * and a line that the report lacks leaves its mark. So rows and lines are the same set when every row took one mark and none is
 * left.
 *
 * The mark is the beginning of SHA-256 over a random key of this run and the facts. Nobody who wrote the pack can know the key,
 * so the chance that other facts have the same mark is 2^-63 for each row, whatever they are. It takes 8 bytes per position.
 */
import { createHash, randomBytes } from 'node:crypto';

/** Columns that both reports must have of a line, and those that they may have, all of which follow from its event. */
export const FACTS = {
  ledger: {
    must: 'account,date,number,entryId,entryPosition,line,entryType,description,debit,credit,currency'.split(','),
    may: 'reference,baseDebit,baseCredit'.split(','),
  },
  journal: {
    must: 'journalCode,fiscalYear,number,date,recordedAt,entryId,entryPosition,entryType,description,line,account,debit,credit,currency'.split(
      ',',
    ),
    may: 'reference,documentType,documentNumber,documentDate,userId,onBehalfOf,baseAmount,lineDescription'.split(','),
  },
};
/** Columns of a row that tells what an entry changed. */
export const CHANGE_FACTS =
  'entryPosition,recordedAt,entryId,number,date,entryType,description,userId,onBehalfOf,reason,reverses,corrects,account,currency,before,change,after,baseBefore,baseChange,baseAfter'.split(
    ',',
  );
/** The columns of this pack's reports that are compared. @typedef {{ ledger: string[], journal: string[] }} Columns */

/** @param {unknown} value */
const text = (value) => (typeof value === 'string' ? value : '');

/**
 * What both reports must say of a line, by column.
 *
 * @param {import('./books.mjs').Event} event a JournalEntryPosted
 * @param {any} posted a line of it
 * @param {boolean} tracked whether the book tracks base amounts
 * @returns {{ ledger: Record<string, string>, journal: Record<string, string> }}
 */
export function factsOf({ aggregateId: entryId, position, recordedAt, userId = '', metadata, data }, posted, tracked) {
  const { journalCode, entryType, effectiveDate: date, document } = data;
  const { accountId: account, currency } = posted;
  const [entryPosition, line, number, fiscalYear] = [`${position}`, `${posted.line}`, `${data.number}`, `${data.fiscalYear}`];
  const isDebit = posted.side === 'debit';
  const [debit, credit] = isDebit ? [posted.amount, ''] : ['', posted.amount];
  const baseAmount = text(posted.baseAmount);
  // Written out, without one object in another: this is done for every line.
  return {
    ledger: {
      account,
      date,
      number: `${journalCode}/${fiscalYear}/${number}`,
      entryId,
      entryPosition,
      line,
      entryType,
      description: posted.description ?? data.description,
      reference: text(posted.reference ?? data.reference),
      currency,
      debit,
      credit,
      baseDebit: tracked && isDebit ? baseAmount : '',
      baseCredit: tracked && !isDebit ? baseAmount : '',
    },
    journal: {
      journalCode,
      fiscalYear,
      number,
      date,
      recordedAt,
      entryId,
      entryPosition,
      entryType,
      description: data.description,
      reference: text(data.reference),
      documentType: text(document?.type),
      documentNumber: text(document?.number),
      documentDate: text(document?.date),
      userId,
      onBehalfOf: text(metadata.onBehalfOf),
      line,
      account,
      debit,
      credit,
      currency,
      baseAmount,
      lineDescription: text(posted.description),
    },
  };
}

/**
 * What a row must say of what an entry did to one currency of one account, in the order of the columns up to `currency`.
 *
 * @param {import('./books.mjs').Event} event a JournalEntryPosted
 * @param {string} account its id
 * @param {string} currency
 * @returns {string[]}
 */
export function changeOf({ aggregateId, position, recordedAt, userId = '', metadata, data }, account, currency) {
  const { journalCode, fiscalYear, number, effectiveDate, entryType, description, links } = data;
  const linked = (/** @type {string} */ rel) => text((Array.isArray(links) ? links : []).find((link) => link?.rel === rel)?.entryId);
  const [behalf, reason] = [text(metadata.onBehalfOf), text(metadata.reason)];
  const entry = [`${position}`, recordedAt, aggregateId, `${journalCode}/${fiscalYear}/${number}`, effectiveDate, entryType, description];
  return [...entry, userId, behalf, reason, linked('reverses'), linked('corrects'), account, currency];
}

const BLOCK = 65_536;

export class Ticks {
  #key = randomBytes(32);
  /** @type {Map<number, BigUint64Array>} */
  #blocks = new Map();
  /** Rows that were not ticked off. */
  wrong = 0;

  /** @param {string[]} facts */
  #mark(facts) {
    const digest = createHash('sha256').update(this.#key).update(JSON.stringify(facts)).digest();
    // Never 0, which is the place of a line that is not expected.
    return digest.readBigUInt64LE(0) | 1n;
  }

  /** @param {number} position of the account event @param {string[]} facts */
  expect(position, facts) {
    const number = Math.floor(position / BLOCK);
    const block = this.#blocks.get(number) ?? new BigUint64Array(BLOCK);
    this.#blocks.set(number, block);
    block[position % BLOCK] = this.#mark(facts);
  }

  /** Whether these facts were expected and not ticked off yet; ticks them off. @param {number} position @param {string[]} facts */
  tick(position, facts) {
    const block = this.#blocks.get(Math.floor(position / BLOCK));
    if (!block || block[position % BLOCK] !== this.#mark(facts)) return false;
    block[position % BLOCK] = 0n;
    return true;
  }

  /** Takes the mark away, whatever the facts: for a row that was found wrong. @param {number} position */
  drop(position) {
    const block = this.#blocks.get(Math.floor(position / BLOCK));
    if (block) block[position % BLOCK] = 0n;
  }

  /** Positions of account events whose lines no row had, the lowest first. @returns {Generator<number>} */
  *left() {
    for (const [number, block] of [...this.#blocks].sort(([a], [b]) => a - b)) {
      for (let at = 0; at < BLOCK; at++) if (block[at] !== 0n) yield number * BLOCK + at;
    }
  }
}
