import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { between, oddTexts, type PlainBook, plainBook, writtenAs } from '../../../../test/support/audited-books';
import { askXmllint, withSaftSchema } from '../../../../test/support/other-programs';
import { all, at, readXml, type Xml } from '../../../../test/support/saft';
import { unescaped } from './escapes';
import { saftNo } from './saf-t-no';

const written = (book: PlainBook): Promise<string> => writtenAs(saftNo, plainBook(book));
const problemsOf = async (book: PlainBook): Promise<readonly string[]> => (await saftNo.problems?.(plainBook(book))) ?? [];

const tracked = { fx: 'tracked' } as const;
const grouped = { mappings: [{ scheme: 'saf-t-no', category: 'RF-1167', code: '1920' }] };

/** Everything that an entry may carry, in a foreign currency. */
const rich: PlainBook = {
  state: { ...tracked, journals: [{ journalCode: 'SALES', name: 'Sales & more', type: 'sales' }] },
  entity: { address: 'Storgata 1\n2. etasje\n0155 Oslo', taxNumbers: ['NO732829320MVA'] },
  entries: [
    {
      date: '2026-02-01',
      description: 'Invoice <7> & more',
      lines: [
        {
          ...{ account: '1500', side: 'debit', amount: '125.00', currency: 'USD', baseAmount: '1250.00' },
          ...{ party: { id: 'C-1', kind: 'customer' }, dueDate: '2026-03-01', valueDate: '2026-02-02', reference: 'L-1' },
          rate: { value: '10.0', date: '2026-02-01', source: 'spec' },
        },
        {
          ...{ account: '3000', side: 'credit', amount: '100.00', currency: 'USD', baseAmount: '1000.00', description: 'the line' },
          ...{ dimensions: [{ key: 'costCentre', value: '4711' }], quantity: { value: '2.50', unit: 'kg' } },
          rate: { value: '10', date: '2026-02-01', source: 'spec' },
          tax: [{ code: '3', base: '100.00', amount: '25.00' }],
        },
        {
          ...{ account: '2700', side: 'credit', amount: '25.00', currency: 'USD', baseAmount: '250.00' },
          party: { id: 'E-9', kind: 'employee' },
        },
      ],
      more: {
        journalCode: 'SALES',
        document: { type: 'invoice', number: 'INV-7', date: '2026-01-31' },
        entryType: 'adjusting',
        period: 13,
      },
    },
  ],
};

describe('a book as SAF-T', () => {
  let file: Xml;
  beforeAll(async () => {
    file = readXml(await written(rich));
  });

  it('says whose it is, of which days, and what it was made from; no clock is asked', () => {
    const header = all(file, 'Header')[0] as Xml;
    expect(header.children.map(({ name, text, children }) => [name, children.length > 0 ? undefined : text])).toEqual([
      ['AuditFileVersion', '1.30'],
      ['AuditFileCountry', 'NO'],
      ['AuditFileDateCreated', '2027-04-05'],
      ['SoftwareCompanyName', 'book-keeper'],
      ['SoftwareID', 'book-keeper saf-t-no'],
      ['SoftwareVersion', '1'],
      ['Company', undefined],
      ['DefaultCurrencyCode', 'EUR'],
      ['SelectionCriteria', undefined],
      ['HeaderComment', 'Book acme, as known at position 42, recorded at 2027-04-05T06:07:08.123456Z'],
      ['TaxAccountingBasis', 'A'],
    ]);
    expect(at(header, 'SelectionCriteria/SelectionStartDate')).toBe('2026-01-01');
    expect(at(header, 'SelectionCriteria/SelectionEndDate')).toBe('2026-12-31');
    const company = all(header, 'Company')[0] as Xml;
    expect(at(company, 'RegistrationNumber')).toBe('732829320');
    expect(all(company, 'Address')[0]?.children.map(({ name, text }) => [name, text])).toEqual([
      ['StreetName', 'Storgata 1'],
      ['AdditionalAddressDetail', '2. etasje'],
      ['City', 'Oslo'],
      ['PostalCode', '0155'],
      ['Country', 'NO'],
    ]);
    expect(at(company, 'Contact/ContactPerson/LastName')).toBe('Acme AS');
    expect(at(company, 'TaxRegistration/TaxRegistrationNumber')).toBe('NO732829320MVA');
  });

  it('has what entries refer to before them: accounts, parties, tax codes, analyses with their whole names', () => {
    const names = (path: string): (string | undefined)[] => all(file, `MasterFiles/${path}`).map(({ text }) => text);
    expect(names('GeneralLedgerAccounts/Account/AccountID')).toEqual(['1500', '2700', '3000']);
    expect(names('GeneralLedgerAccounts/Account/GroupingCategory')).toEqual(['RF-1167', 'RF-1167', 'RF-1167']);
    expect(names('Customers/Customer/CustomerID')).toEqual(['C-1']);
    expect(names('Suppliers')).toEqual([]);
    expect(names('TaxTable/TaxTableEntry/TaxCodeDetails/StandardTaxCode')).toEqual(['3']);
    expect(names('AnalysisTypeTable/AnalysisTypeTableEntry/AnalysisTypeDescription')).toEqual(['costCentre', 'employee']);
    expect(names('AnalysisTypeTable/AnalysisTypeTableEntry/AnalysisID')).toEqual(['4711', 'E-9']);
    // The name has a character too many for the type's code.
    expect(names('AnalysisTypeTable/AnalysisTypeTableEntry/AnalysisType')).toEqual([expect.stringMatching(/^co-[0-9a-f]{6}$/), 'employee']);
  });

  it('has each line with both its amounts, and its tax by the rate of the line', () => {
    const [entry] = all(file, 'GeneralLedgerEntries/Journal/Transaction') as [Xml];
    expect(at(file, 'GeneralLedgerEntries/Journal/Type')).toBe('AR');
    expect(at(entry, 'TransactionID')).toBe('SALES/2026/1');
    expect([at(entry, 'Period'), at(entry, 'PeriodYear'), at(entry, 'VoucherType')]).toEqual(['13', '2026', 'adjusting']);
    expect(at(entry, 'Description')).toBe('Invoice <7> & more');
    const [receivable, sale, other] = all(entry, 'Line') as [Xml, Xml, Xml];
    expect(all(receivable, 'DebitAmount')[0]?.children.map(({ name, text }) => [name, text])).toEqual([
      ['Amount', '1250.00'],
      ['CurrencyCode', 'USD'],
      ['CurrencyAmount', '125.00'],
      ['ExchangeRate', '10'],
    ]);
    expect([at(receivable, 'CustomerID'), at(receivable, 'DueDate'), at(receivable, 'ReferenceNumber')]).toEqual([
      'C-1',
      '2026-03-01',
      'L-1',
    ]);
    expect([at(receivable, 'SourceDocumentID'), at(receivable, 'Description')]).toEqual(['INV-7', 'Invoice <7> & more']);
    expect([at(sale, 'Description'), at(sale, 'Quantity'), at(sale, 'SystemEntryTime')]).toEqual([
      'the line',
      '2.5',
      '2026-03-01T09:00:00.123456Z',
    ]);
    expect([at(sale, 'TaxInformation/TaxBase'), at(sale, 'TaxInformation/CreditTaxAmount/Amount')]).toEqual(['1000.00', '250.00']);
    expect([at(other, 'CustomerID'), at(other, 'SupplierID'), at(other, 'Analysis/AnalysisID')]).toEqual([undefined, undefined, 'E-9']);
  });

  it('opens income and expense at 0 and carries their result of earlier years to the account designated for it', async () => {
    const accounts = { '2050': { type: 'equity', ...grouped }, '3000': { type: 'income', ...grouped } } as const;
    const entries = [
      { date: '2025-05-01', lines: between('1920', '3000', '100.00') },
      { date: '2026-05-01', lines: between('1920', '3000', '7.00') },
    ];
    const state = { designated: { retained_earnings: '2050' } };
    const balances = all(readXml(await written({ accounts, entries, state })), 'MasterFiles/GeneralLedgerAccounts/Account').map(
      (account) => [at(account, 'AccountID'), ...account.children.slice(-2).map(({ name, text }) => `${name} ${text}`)],
    );
    expect(balances).toEqual([
      ['1920', 'OpeningDebitBalance 100.00', 'ClosingDebitBalance 107.00'],
      ['2050', 'OpeningCreditBalance 100.00', 'ClosingCreditBalance 100.00'],
      ['3000', 'OpeningDebitBalance 0.00', 'ClosingCreditBalance 7.00'],
    ]);
    expect(await problemsOf({ accounts, entries })).toEqual([expect.stringContaining('designate one for retained_earnings')]);
  });
});

describe('what the schema cannot hold', () => {
  const long = (length: number): string => 'x'.repeat(length);
  const entries = [{ date: '2026-02-01', lines: between('1920', '3000', '1.00') }];

  it.each<[string, PlainBook, string]>([
    ['no range', { entries, range: 'all' }, 'ask for one fiscal year or a part of it (2025 is from=2025-01-01 to=2025-12-31'],
    ['a range of two years', { entries, range: { from: '2026-06-01', to: '2027-05-31' } }, 'does not lie within one fiscal year'],
    ['no registration number', { entries, entity: { registrationNumber: undefined } }, 'Acme AS has no registration number'],
    ['no entity', { entries, state: { entity: undefined } }, 'the book says nothing of its legal entity'],
    ['a long legal name', { entries, entity: { legalName: long(71) } }, 'has 71 characters, and LastName of the contact takes 70'],
    ['a currency of its own', { entries, state: { baseCurrency: 'POINTS' } }, 'the base currency POINTS has no code of three letters'],
    ['an account without grouping', { entries, accounts: { '1920': { mappings: [] } } }, 'account 1920 has no mapping of scheme saf-t-no'],
    ['a long code', { entries: [{ date: '2026-01-01', lines: between(long(71), '3000', '1.00') }] }, 'AccountID takes 70'],
    ['a long name', { entries, accounts: { '1920': { name: long(257) } } }, 'the name of account 1920 has 257 characters'],
    ['a long text', { entries: [{ ...entries[0], description: long(257) }] as never }, 'the description of entry GENERAL/2026/1 has 257'],
    [
      'a long journal code',
      { entries: [{ ...entries[0], more: { journalCode: 'J'.repeat(19) } }] as never },
      'has 19 characters, and JournalID takes 18',
    ],
    [
      'a long party',
      { entries: [{ date: '2026-01-01', lines: between('1', '2', '1.00', { party: { id: long(36), kind: 'supplier' } }) }] },
      'the party of line 1 of entry GENERAL/2026/1 has 36 characters',
    ],
    [
      'three decimals',
      { entries: [{ date: '2026-01-01', lines: between('1', '2', '1.005', { currency: 'BHD', baseAmount: '2.50' }) }], state: tracked },
      'line 1 of entry GENERAL/2026/1 in BHD is 1.005, and amounts have at most 2 decimals and 18 digits',
    ],
    [
      'too many digits',
      { entries: [{ date: '2026-01-01', lines: between('1', '2', '10000000000000000.00') }] },
      'line 2 of entry GENERAL/2026/1 in EUR is 10000000000000000.00',
    ],
    [
      'currencies apart',
      { entries: [{ date: '2026-01-01', lines: between('1', '2', '1.00', { currency: 'USD' }) }] },
      'lines in USD have no amount in EUR, since the book was opened with fx=untracked',
    ],
    [
      'a tax without rate',
      {
        entries: [
          {
            date: '2026-01-01',
            lines: between('1', '2', '1.00', { currency: 'USD', baseAmount: '2.00', tax: [{ code: 'T', base: '3.00', amount: '1.00' }] }),
          },
        ],
        state: tracked,
      },
      'the tax T of line 1 of entry GENERAL/2026/1 is in USD, and the line says no rate to EUR',
    ],
  ])('%s is refused and named', async (_what, book, problem) => {
    expect((await problemsOf(book)).join('\n')).toContain(problem);
  });

  it('is all named, and not the first thing only', async () => {
    const many = Array.from({ length: 30 }, (_, index) => ({
      date: '2026-01-01',
      description: long(300),
      lines: between(`${index}`, 'c', '1.00'),
    }));
    const problems = await problemsOf({ entries: many, entity: { registrationNumber: undefined } });
    expect(problems).toHaveLength(31);
  });

  it('is nothing where decimals beyond the second are zeros', async () => {
    const lines = between('1', '2', '1.50000000', { currency: 'BTC', baseAmount: '2.50' });
    const file = readXml(await written({ entries: [{ date: '2026-01-01', lines }], state: tracked }));
    expect(all(file, 'GeneralLedgerEntries/Journal/Transaction/Line/DebitAmount/CurrencyAmount')[0]?.text).toBe('1.50');
  });
});

// --- Whatever a book has ---

const name = oddTexts.filter((text) => text !== '');
const anyEntries = fc.array(
  fc.record({
    description: oddTexts,
    amount: fc.bigInt(0n, 10n ** 12n),
    key: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter((text) => !text.includes('\0')),
    value: name.map((text) => text.repeat(3)),
    party: name.map((text) => [...text].slice(0, 4).join('')),
    kind: fc.constantFrom('customer', 'supplier', 'employee'),
  }),
  { minLength: 1, maxLength: 8 },
);
type Any = typeof anyEntries extends fc.Arbitrary<infer T> ? T : never;

const bookOf = (given: Any): PlainBook => ({
  entries: given.map(({ description, amount, key, value, party, kind }) => {
    const digits = String(amount).padStart(3, '0');
    const more = { dimensions: [{ key, value }], party: { id: party, kind } };
    return { date: '2026-03-04', description, lines: between('1500', '3000', `${digits.slice(0, -2)}.${digits.slice(-2)}`, more) };
  }),
});

describe('whatever texts, names and amounts a book has', () => {
  it('an XML parser reads them as they were', () =>
    fc.assert(
      fc.asyncProperty(anyEntries, async (given) => {
        const file = readXml(await written(bookOf(given)));
        const originals = (path: string, short: string, long: string): Map<string, string> =>
          new Map(all(file, `MasterFiles/${path}`).map((entry) => [at(entry, short) ?? '', unescaped(at(entry, long) ?? '')]));
        const [types, values] = ['Type', 'ID'].map((of) =>
          originals('AnalysisTypeTable/AnalysisTypeTableEntry', `Analysis${of}`, `Analysis${of}Description`),
        ) as [Map<string, string>, Map<string, string>];
        const entries = all(file, 'GeneralLedgerEntries/Journal/Transaction');
        expect(
          entries.map((entry) => {
            const [line] = all(entry, 'Line') as [Xml];
            const [analysis, other] = all(line, 'Analysis') as [Xml, Xml?];
            const party = at(line, 'CustomerID') ?? at(line, 'SupplierID') ?? (other && values.get(at(other, 'AnalysisID') ?? ''));
            return {
              description: unescaped(at(entry, 'Description') ?? ''),
              amount: BigInt((at(line, 'DebitAmount/Amount') ?? '').replace('.', '')),
              key: types.get(at(analysis, 'AnalysisType') ?? ''),
              value: values.get(at(analysis, 'AnalysisID') ?? ''),
              party: unescaped(party ?? ''),
              kind: at(line, 'CustomerID') !== undefined ? 'customer' : at(line, 'SupplierID') !== undefined ? 'supplier' : 'employee',
            };
          }),
        ).toEqual(given);
        const sum = given.reduce((total, { amount }) => total + amount, 0n);
        expect(BigInt((at(file, 'GeneralLedgerEntries/TotalDebit') ?? '').replace('.', ''))).toBe(sum);
      }),
    ));

  withSaftSchema('the schema', () => {
    let directory: string;
    beforeAll(() => {
      directory = mkdtempSync(join(tmpdir(), 'book-keeper-saft-'));
    });
    afterAll(() => rmSync(directory, { recursive: true, force: true }));
    const validate = async (text: string): Promise<void> => {
      const file = join(directory, 'export.xml');
      writeFileSync(file, text);
      expect(await askXmllint(file)).toBe(`${file} validates\n`);
    };

    it('takes the file', () =>
      fc.assert(
        fc.asyncProperty(anyEntries, async (given) => validate(await written(bookOf(given)))),
        { numRuns: 15 },
      ));

    it('takes everything that an entry may carry, and a year without entries', async () => {
      await validate(await written(rich));
      await validate(await written({ entries: [] }));
    });
  });
});
