/**
 * The format `jsonl`: a book as lines of JSON, each an object with one member that says what it is: `book` first, every `account`,
 * every `entry` as REST shows it, every `balance`, the `total` of each currency, and `end`, which counts them. Guarantees that an
 * interrupted file has no `end`, and that amounts are text.
 */
import { fromMinor } from '#domain';
import type { ExportFormat } from '../exports';
import { sortedByKey } from '../reports/figures';
import { currenciesOf, type ExportedBook } from './exported-book';
import { balanceColumns, balanceRows } from './tables';

export const jsonl = {
  title: 'JSON, an object per line: accounts, entries, balances and totals',
  extension: 'jsonl',
  mediaType: 'application/jsonl; charset=utf-8',
  write,
} satisfies ExportFormat;

const line = (kind: string, what: object): string => `${JSON.stringify({ [kind]: what })}\n`;

async function* write(book: ExportedBook): AsyncGenerator<string> {
  const { id, position, recordedAt, range, state } = book;
  const counted = { accounts: 0, entries: 0, lines: 0 };
  yield line('book', {
    ...{ id, name: state?.name, position, recordedAt, range, baseCurrency: state?.baseCurrency, fx: state?.fx },
    currencies: currenciesOf(book).map(([code, scale]) => ({ code, scale })),
  });
  for await (const accounts of book.accounts()) {
    yield accounts.map((account) => line('account', account)).join('');
    counted.accounts += accounts.length;
  }
  for await (const entries of book.entries()) {
    yield entries.map((entry) => line('entry', entry)).join('');
    counted.entries += entries.length;
    for (const { lines } of entries) counted.lines += lines.length;
  }
  const totals = new Map<string, { readonly scale: number; debit: bigint; credit: bigint }>();
  for await (const rows of balanceRows(book)) {
    yield rows.map((row) => line('balance', Object.fromEntries(balanceColumns.map(({ name, of }) => [name, of(row)])))).join('');
    for (const { currency, scale, movement } of rows) {
      const total = totals.get(currency) ?? { scale, debit: 0n, credit: 0n };
      total.debit += movement.debit;
      total.credit += movement.credit;
      totals.set(currency, total);
    }
  }
  for (const [currency, { scale, debit, credit }] of sortedByKey(totals))
    yield line('total', { currency, debit: fromMinor(debit, scale), credit: fromMinor(credit, scale) });
  yield line('end', counted);
}
