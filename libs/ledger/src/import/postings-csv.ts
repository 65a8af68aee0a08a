/**
 * The format `postings-csv`: one row per line of an entry, rows with the same `txn` are one entry, a positive quantity is a
 * debit, a negative one a credit. Columns txn, date, description, line, account, commodity, quantity and, if there is one,
 * kind: anything but `posting` is kept as the line's origin.
 */
import { quoted } from './cells';
import { readCsv } from './csv';
import type { SourceRow } from './entries';

const columns = {
  required: ['txn', 'date', 'description', 'line', 'account', 'commodity', 'quantity'],
  optional: ['kind'],
} as const;

/** @throws LedgerError malformed | text_invalid, with FILE:LINE, when the file as a whole cannot be read */
export async function* readPostingsCsv(file: string): AsyncGenerator<readonly SourceRow[]> {
  for await (const rows of readCsv(file, columns)) {
    yield rows.map(({ at, cells, problem }): SourceRow => {
      const [txn = '', date = '', description = '', line = '', account = '', currency = '', quantity = '', kind = ''] = cells;
      if (problem !== undefined) return { at, txn, problem };
      if (!/^[1-9]\d{0,8}$/.test(line)) return { at, txn, problem: `line is ${quoted(line)}, not a whole number from 1 on` };
      const origin = kind === '' || kind === 'posting' ? undefined : kind;
      return { at, txn, date, description, line: Number(line), account, currency, quantity, origin };
    });
  }
}
