/**
 * The format `ledger`: the journal of hledger.ts in ledger's (3.3) own words, which hledger does not take. Guarantees what that one
 * guarantees, that `--pedantic` finds nothing (every account, commodity and tag is declared), and that tags can be counted with:
 * positions and lines are numbers, base amounts are amounts in the sign of their posting, so that `--amount 'tag("baseAmount")'`
 * is the book in base currency. The names of accounts are their notes.
 */
import { linkRelations } from '#domain';
import type { ExportFormat } from '../exports';
import type { ExportedBook } from './exported-book';
import { comment, commodityName, type Dialect, hledger, writeJournal } from './hledger';

const tags = [
  ...['entryId', 'position', 'recordedAt', 'entryType', 'reference', 'more', ...linkRelations],
  ...['line', 'description', 'baseAmount', 'openingBalances'],
];
const noteBytesMax = 3_000;

const own: Dialect = {
  directives: tags.map((name) => `tag ${name}\n`).join(''),
  about({ name }) {
    const note = comment(name);
    return Buffer.byteLength(note) > noteBytesMax ? '' : `    note ${note}\n`;
  },
  number: (name, value) => `${name}:: ${value}`,
  // In braces an amount is read as one; without, a commodity in quotes would be a text.
  baseAmount: (amount, currency) => `baseAmount:: {${amount} ${commodityName(currency)}}`,
  signedBase: true,
};

export const ledger: ExportFormat = {
  title: 'a journal for ledger, whose tags it can count with',
  extension: 'ledger',
  mediaType: 'text/plain; charset=utf-8',
  names: hledger.names,
  write: writeLedger,
};

/** The journal, some text at a time. */
export function writeLedger(book: ExportedBook): AsyncGenerator<string> {
  return writeJournal(book, own);
}
