import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bookOf, type Entry } from '../../../../test/support/exported-books';
import { tellLedger, withPrograms } from '../../../../test/support/other-programs';
import { writeLedger } from './ledger';

/** Dollars in a book of euros; the rate changes between the two. What other balances are is held against hledger.spec.ts. */
const entries: readonly Entry[] = [
  {
    date: '2026-02-01',
    description: 'Sale',
    lines: [
      { account: 'Bank', side: 'debit', amount: '10.00', currency: 'USD', baseAmount: '9.00' },
      { account: 'Sales;', side: 'credit', amount: '10.00', currency: 'USD', baseAmount: '9.00' },
    ],
  },
  {
    date: '2026-02-02',
    description: 'Refund',
    lines: [
      { account: 'Sales;', side: 'debit', amount: '4.00', currency: 'USD', baseAmount: '3.20' },
      { account: 'Bank', side: 'credit', amount: '4.00', currency: 'USD', baseAmount: '3.20' },
    ],
    more: { reference: 'INV 7' },
  },
];
const book = bookOf(entries, { currencies: { EUR: 2, USD: 2 } });

async function written(): Promise<string> {
  let text = '';
  for await (const some of writeLedger(book)) text += some;
  return text;
}

describe('a book as a journal for ledger', () => {
  it('declares tags, has names as notes, and numbers and base amounts with types', async () => {
    const text = await written();
    expect(text).toContain('\ntag entryId\ntag position\n');
    expect(text).toContain('\naccount Sales_x003B_\n    note Name of Sales;\n');
    expect(text).toContain(
      [
        '2026-02-02 (GENERAL/2026/2) Refund',
        '    ; entryId: 0198c0de-0000-7000-8000-000000000002',
        '    ; position:: 11',
        '    ; recordedAt: 2026-03-01T09:00:00.000000Z',
        '    ; reference: INV 7',
        '    Sales_x003B_  4.00 USD  ; line:: 1',
        '    ; baseAmount:: {3.20 EUR}',
        '    Bank  -4.00 USD  ; line:: 2',
        '    ; baseAmount:: {-3.20 EUR}',
        '',
      ].join('\n'),
    );
  });

  withPrograms('read by ledger', () => {
    let directory: string;
    let file: string;
    beforeAll(async () => {
      directory = mkdtempSync(join(tmpdir(), 'book-keeper-ledger-'));
      file = join(directory, 'a.ledger');
      writeFileSync(file, await written());
    });
    afterAll(() => rmSync(directory, { recursive: true, force: true }));
    const ledger = (...args: string[]): Promise<string[]> => tellLedger(file, '--pedantic', ...args);

    it('adds base amounts', async () => {
      const format = '%(account) %(account.note) %(scrub(display_total))\\n';
      expect(await ledger('bal', '--flat', '--no-total', '--amount', 'tag("baseAmount")', '--format', format)).toEqual([
        'Bank Name of Bank 5.80 EUR',
        'Sales_x003B_ Name of Sales; -5.80 EUR',
      ]);
    });

    it('compares positions as numbers, and finds a reference', async () => {
      const format = '%(code) %(account) %(quantity(amount))\\n';
      const second = ['GENERAL/2026/2 Sales_x003B_ 4', 'GENERAL/2026/2 Bank -4'];
      expect(await ledger('reg', '--limit', 'tag("position") > 9 + 1', '--format', format)).toEqual(second);
      expect(await ledger('reg', '--limit', 'tag("reference") =~ /^INV 7$/', '--format', format)).toEqual(second);
    });
  });
});
