import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { type AccountType, accountTypes } from '#domain';
import { bookOf, code, currency, entriesUpTo, idOf, pair, sumOf } from '../../../../test/support/exported-books';
import {
  askBeancount,
  beancountCode,
  beancountCurrency,
  beancountPrograms,
  checkBeancount,
  withPrograms,
} from '../../../../test/support/other-programs';
import { shown } from '../../../../test/support/postings';
import { accountName, beancount, currencyName } from './beancount';
import type { ExportedBook } from './exported-book';

async function written(book: ExportedBook): Promise<string> {
  let text = '';
  for await (const some of beancount.write(book)) text += some;
  return text;
}

// --- What is written ---

describe('a book as a ledger of Beancount', () => {
  it('has everything that its entries and lines say', async () => {
    const rent = {
      date: '2026-02-01',
      description: 'Rent "new"\nof \\ it',
      lines: [
        { account: '1000', side: 'debit', amount: '400.00', currency: 'EUR', description: 'for February', baseAmount: '400.00' },
        { account: 'Office supplies', side: 'credit', amount: '400.00', currency: 'EUR', dimensions: [{ key: 'cost', value: 'a' }] },
        { account: '1000', side: 'credit', amount: '0', currency: 'kWh', dueDate: '2026-03-01' },
      ],
      more: {
        reference: 'INV 7',
        entryType: 'reversal',
        document: { type: 'invoice', number: '7', date: '2026-01-31' },
        links: [
          { rel: 'settles', entryId: idOf(7) },
          { rel: 'settles', entryId: idOf(8) },
        ],
      },
    } as const;
    expect(
      await written(bookOf([rent], { currencies: { kWh: 0, EUR: 2 }, typeOf: (index) => accountTypes[index * 4] as AccountType })),
    ).toBe(
      [
        '; Book acme, as known at position 42, exported by book-keeper.',
        '; Positive amounts are debits. Names: -xHHHH- is the character with the code point HHHH (hexadecimal), -- a space, X- and Z- nothing;',
        "; the metadata code has every name as it was. In currencies that begin with X' letters are small; ' changes between small and capital.",
        'option "title" "Acme; Ltd"',
        'option "inferred_tolerance_multiplier" "0"',
        'option "operating_currency" "EUR"',
        '',
        '2020-01-01 commodity EUR',
        '  code: "EUR"',
        '  precision: 2',
        "2020-01-01 commodity X'K'W'H",
        '  code: "kWh"',
        '  precision: 0',
        '',
        '2020-01-01 open Assets:1000',
        '  code: "1000"',
        '  name: "Name of 1000"',
        '  type: "asset"',
        '2020-01-01 open Expenses:X-Office--supplies',
        '  code: "Office supplies"',
        '  name: "Name of Office supplies"',
        '  type: "expense"',
        '',
        '2026-02-01 * "Rent \\"new\\"\\nof \\\\ it"',
        '  entryId: "0198c0de-0000-7000-8000-000000000001"',
        '  position: 10',
        '  recordedAt: "2026-03-01T09:00:00.000000Z"',
        '  number: "GENERAL/2026/1"',
        '  entryType: "reversal"',
        '  entryMethod: "manual"',
        '  reference: "INV 7"',
        '  documentType: "invoice"',
        '  documentNumber: "7"',
        '  documentDate: 2026-01-31',
        '  settles: "0198c0de-0000-7000-8000-000000000007 0198c0de-0000-7000-8000-000000000008"',
        '  Assets:1000  400.00 EUR',
        '    line: 1',
        '    description: "for February"',
        '    baseAmount: 400.00 EUR',
        '  Expenses:X-Office--supplies  -400.00 EUR',
        '    line: 2',
        '    dimensions: "[{\\"key\\":\\"cost\\",\\"value\\":\\"a\\"}]"',
        "  Assets:1000  0 X'K'W'H",
        '    line: 3',
        '    dueDate: 2026-03-01',
        '',
        '2026-02-02 balance Assets:1000 400.00 EUR',
        "2026-02-02 balance Assets:1000 0 X'K'W'H",
        '2026-02-02 balance Expenses:X-Office--supplies -400.00 EUR',
        '',
        '; end of the ledger: 1 entries',
        '',
      ].join('\n'),
    );
  });

  it('of a range begins with what the accounts had before, and nothing where they had nothing', async () => {
    const all = [
      { date: '2026-01-01', description: 'before', lines: pair('1000', '2000', '5.00') },
      { date: '2026-01-31', description: 'last day before', lines: pair('2000', '3000', '5.00') },
      { date: '2026-02-28', description: 'within', lines: pair('1000', '3000', '1.00') },
      { date: '2026-03-01', description: 'after', lines: pair('1000', '3000', '9.00') },
    ];
    const text = await written(bookOf(all, { range: { from: '2026-02-01', to: '2026-02-28' } }));
    expect(text).toContain(
      [
        '',
        '2026-02-01 * "Opening balances" #opening-balances',
        '  openingBalances: 2026-02-01',
        '  Assets:1000  5.00 EUR',
        '  Assets:3000  -5.00 EUR',
        '',
        '2026-02-28 * "within"',
      ].join('\n'),
    );
    expect(text).not.toMatch(/"before"|"last day before"|"after"/);
    expect(await written(bookOf(all, { range: { from: '2025-01-01', to: '2026-02-28' } }))).not.toContain('Opening balances');
  });

  it('is refused where Beancount would round', async () => {
    const of = (amount: string) => beancount.problems(bookOf([{ date: '2026-01-01', description: '', lines: pair('1', '2', amount) }]));
    expect(await of('49999999999999999999999999.99')).toEqual([]);
    expect(await of('50000000000000000000000000.00')).toEqual([
      'debits and credits in EUR sum to 100000000000000000000000000.00, and Beancount counts with 28 digits',
    ]);
  });
});

// --- Names ---

describe('names of accounts and currencies', () => {
  it.each([
    ['Assets:Cash', 'asset', 'Assets:Cash'],
    ['Assets:Büro:Kasse-2', 'asset', 'Assets:Büro:Kasse-2'],
    ['1010', 'liability', 'Liabilities:1010'],
    ['1010:Bank', 'asset', 'Assets:1010:Bank'],
    ['Assets:1010', 'asset', 'Assets:Assets:1010'],
    ['Assets:Assets:1010', 'asset', 'Assets:Assets:Assets:1010'],
    ['Cash', 'asset', 'Assets:X-Cash'],
    ['Assets:X-Cash', 'asset', 'Assets:Z-X-Cash'],
    ['Assets', 'asset', 'Assets:X-Assets'],
    ['Assets:Cash', 'expense', 'Expenses:X-Assets:Cash'],
    ['assets:cash', 'asset', 'Assets:X-assets:Z-cash'],
    ['Income:Sales & more', 'income', 'Income:Sales---x0026---more'],
    ['Expenses::a', 'expense', 'Expenses:Z-:Z-a'],
    ['Shares', 'memorandum', 'Equity:Z-Memorandum:X-Shares'],
    ['Equity:Memorandum:1', 'equity', 'Equity:Memorandum:1'],
    ['银行', 'asset', 'Assets:X--x94F6--x884C-'],
  ] as const)('the account %s of type %s is %s', (original, type, name) => {
    expect([accountName(original, { type }), beancountCode(name)]).toEqual([name, original]);
  });

  it.each([
    ['EUR', 'EUR'],
    ['VT-2', 'VT-2'],
    ['kWh', "X'K'W'H"],
    ['usd', "X'USD"],
    ['X', "X''X"],
    ['1e3', "X'1E3"],
    ['A.', "X''A.'0"],
    ['TRUE', "X''TRUE"],
  ])('the currency %s is %s', (original, name) => {
    expect([currencyName(original), beancountCurrency(name)]).toEqual([name, original]);
  });

  it('a currency whose letters have no room is shortened, and told by its directive', async () => {
    const long = 'aBcDeFgHiJkLmNoPqRsTuVwX';
    expect(currencyName(long)).toMatch(/^Y'ABCDEFGHIJK'[0-9A-F]{10}$/);
    expect(await written(bookOf([], { currencies: { [long]: 2 } }))).toContain(`commodity ${currencyName(long)}\n  code: "${long}"\n`);
  });

  it('are read back as they were, so that no two are alike', () => {
    const type = fc.constantFrom(...accountTypes);
    fc.assert(
      fc.property(code, type, (original, of) => beancountCode(accountName(original, { type: of })) === original),
      { numRuns: 2_000 },
    );
    const short = currency.filter((original) => !currencyName(original).startsWith("Y'"));
    fc.assert(fc.property(short, (original) => beancountCurrency(currencyName(original)) === original));
    const form = /^[A-Z][A-Z0-9'._-]{0,22}[A-Z0-9]$/;
    fc.assert(fc.property(currency, (original) => form.test(currencyName(original))));
  });
});

// --- What Beancount reads ---

withPrograms(
  'whatever codes, currencies and texts a book has, Beancount',
  () => {
    let directory: string;
    beforeAll(() => {
      directory = mkdtempSync(join(tmpdir(), 'book-keeper-beancount-'));
    });
    afterAll(() => rmSync(directory, { recursive: true, force: true }));

    it('finds nothing wrong and has the same balances, also from a day on', () =>
      fc.assert(
        fc.asyncProperty(entriesUpTo(10n ** 26n), fc.boolean(), fc.nat(5), async ({ entries, currencies }, whole, turn) => {
          const range = whole ? {} : { range: { from: '2026-01-15', to: '2026-01-25' } };
          const typeOf = (index: number): AccountType => accountTypes[(index + turn) % accountTypes.length] as AccountType;
          const file = join(directory, 'export.beancount');
          writeFileSync(file, await written(bookOf(entries, { currencies, typeOf, ...range })));
          expect(await checkBeancount(file)).toBe('');
          for (const asOf of ['2026-01-15', '2026-01-19', '2026-01-25'])
            expect({ asOf, ...shown(await askBeancount(file, asOf)) }).toEqual({ asOf, ...shown(sumOf(entries, asOf)) });
        }),
        { numRuns: 25, interruptAfterTimeLimit: 40_000 },
      ));

    it('forgives no difference, not of the last digit', async () => {
      const file = join(directory, 'wrong.beancount');
      const text = await written(bookOf([{ date: '2026-01-01', description: '', lines: pair('1', '2', '0.01') }]));
      writeFileSync(file, text.replace('Assets:1  0.01 EUR', 'Assets:1  0.011 EUR'));
      expect(await checkBeancount(file)).toMatch(/Balance failed for 'Assets:1'[\s\S]*Transaction does not balance: \(0\.001 EUR\)/);
    });
  },
  beancountPrograms,
);
