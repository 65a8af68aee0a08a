/**
 * The book `demo`: a small company over two years, created when the embedded database is new so that there is something to
 * look at. Every command has a fixed idempotency key, so a start that was cut short goes on where it stopped.
 */
import type { AccountType, EntryLine } from '#domain';
import type { EventStore } from '#event-store';
import type { Command } from './commands';
import type { Ledger } from './ledger';

const bookId = 'demo';

const line = (side: EntryLine['side']) => (account: string, amount: string) => ({ account, side, amount, currency: 'EUR' }) as const;
const debit = line('debit');
const credit = line('credit');

const accounts: readonly (readonly [code: string, name: string, type: AccountType])[] = [
  ['Assets:Bank', 'Bank account', 'asset'],
  ['Assets:Receivable', 'Trade receivables', 'asset'],
  ['Assets:Equipment', 'Equipment', 'asset'],
  ['Liabilities:Payable', 'Trade payables', 'liability'],
  ['Equity:Capital', 'Share capital', 'equity'],
  ['Income:Sales', 'Sales', 'income'],
  ['Expenses:Rent', 'Rent', 'expense'],
  ['Expenses:Salaries', 'Salaries', 'expense'],
];

const entries: readonly (readonly [effectiveDate: string, description: string, ...lines: EntryLine[]])[] = [
  ['2025-01-02', 'Capital paid in', debit('Assets:Bank', '25000.00'), credit('Equity:Capital', '25000.00')],
  ['2025-01-15', 'Workbenches, invoice 7781', debit('Assets:Equipment', '4800.00'), credit('Liabilities:Payable', '4800.00')],
  ['2025-02-01', 'Rent of February', debit('Expenses:Rent', '1200.00'), credit('Assets:Bank', '1200.00')],
  ['2025-02-14', 'Payment of invoice 7781', debit('Liabilities:Payable', '4800.00'), credit('Assets:Bank', '4800.00')],
  ['2025-06-30', 'Consulting, invoice 2025-001', debit('Assets:Receivable', '9500.00'), credit('Income:Sales', '9500.00')],
  ['2025-07-21', 'Invoice 2025-001 paid', debit('Assets:Bank', '9500.00'), credit('Assets:Receivable', '9500.00')],
  ['2025-12-20', 'Salaries of 2025', debit('Expenses:Salaries', '6000.00'), credit('Assets:Bank', '6000.00')],
  ['2026-02-27', 'Consulting, invoice 2026-001', debit('Assets:Receivable', '7250.50'), credit('Income:Sales', '7250.50')],
  ['2026-03-16', 'Invoice 2026-001 paid', debit('Assets:Bank', '7250.50'), credit('Assets:Receivable', '7250.50')],
  // Recorded last, effective long before: balances of 2025 as known before this position do not have it, those known now do.
  ['2025-03-01', 'Rent of March 2025, found late', debit('Expenses:Rent', '1200.00'), credit('Assets:Bank', '1200.00')],
];

const commands: readonly Command[] = [
  { type: 'OpenBook', id: bookId, name: 'Demo Workshop', baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2025-01-01' },
  ...accounts.map(([code, name, accountType]): Command => ({ type: 'OpenAccount', code, name, accountType })),
  ...entries.map(([effectiveDate, description, ...lines]): Command => ({ type: 'PostEntry', effectiveDate, description, lines })),
];

const keyOf = (index: number): string => `demo-${index + 1}`;

/** Does nothing when the demo book is complete, or when the database has books of its own. */
export async function openDemoBook(store: EventStore, ledger: Ledger): Promise<void> {
  const [receipt] = await store.receipts(bookId, [{ key: keyOf(commands.length - 1), item: 0 }]);
  if (receipt !== undefined) return;
  const books = await store.books('', 2);
  if (books.some((id) => id !== bookId)) return;
  for (const [index, command] of commands.entries()) {
    const { status, body } = await ledger.execute(bookId, command, { key: keyOf(index), userId: 'demo', source: 'job' });
    if (status >= 400) throw new Error(`the demo book was refused: ${body}`);
  }
}
