import fc from 'fast-check';
import { between, entryIdOf, oddTexts, type PlainBook, plainBook, writtenAs } from '../../../../test/support/audited-books';
import { unescaped } from './escapes';
import { fec } from './fec';

const written = (book: PlainBook): Promise<string> => writtenAs(fec, plainBook(book));
const problemsOf = async (book: PlainBook): Promise<readonly string[]> => (await fec.problems?.(plainBook(book))) ?? [];

type Row = Readonly<Record<string, string>>;

/** The file as the article says how to read it: records by line ends, zones by tabs, names in the first record. */
function rowsOf(text: string): Row[] {
  const [head = '', ...lines] = text.split('\r\n');
  expect(lines.pop()).toBe('');
  const names = head.split('\t');
  return lines.map((line) => {
    const zones = line.split('\t');
    expect(zones).toHaveLength(18);
    return Object.fromEntries(zones.map((zone, index) => [names[index], zone]));
  });
}

const shown = (rows: readonly Row[], ...names: string[]): string[] => rows.map((row) => names.map((name) => row[name]).join(' '));

const accounts = {
  '101000': { type: 'equity' },
  '120000': { type: 'equity' },
  '607000': { type: 'expense' },
  '706000': { type: 'income' },
} as const;
const tracked = { fx: 'tracked', designated: { retained_earnings: '120000' } } as const;

describe('a book as FEC', () => {
  it('has the 18 columns of the article, tabs between them, dates without hyphens, decimal commas', async () => {
    const text = await written({
      accounts,
      entries: [
        {
          date: '2026-02-01',
          description: 'Vente',
          lines: [
            { account: '411000', side: 'debit', amount: '120.00', party: { id: 'C-1', kind: 'customer' } },
            { account: '706000', side: 'credit', amount: '120.00', description: 'Prestation' },
          ],
          more: { document: { type: 'invoice', number: 'F-7', date: '2026-01-31' } },
        },
      ],
    });
    expect(text).toBe(
      [
        'JournalCode\tJournalLib\tEcritureNum\tEcritureDate\tCompteNum\tCompteLib\tCompAuxNum\tCompAuxLib\tPieceRef\tPieceDate\tEcritureLib\tDebit\tCredit\tEcritureLet\tDateLet\tValidDate\tMontantdevise\tIdevise',
        'GENERAL\tGeneral journal\t1\t20260201\t411000\tName of 411000\tC-1\tC-1\tF-7\t20260131\tVente\t120,00\t0,00\t\t\t20260301\t\t',
        'GENERAL\tGeneral journal\t1\t20260201\t706000\tName of 706000\t\t\tF-7\t20260131\tPrestation\t0,00\t120,00\t\t\t20260301\t\t',
        '',
      ].join('\r\n'),
    );
  });

  it.each([
    ['732 829 320', '732829320FEC20261231.txt'],
    ['RCS Paris 73282932000074', '732829320FEC20261231.txt'],
  ])('of the company %s is called %s', (registrationNumber, name) => {
    const book = plainBook({ entries: [], entity: { registrationNumber } });
    expect('write' in fec && fec.fileName?.(book)).toBe(name);
  });

  it('begins with what the accounts of the balance sheet open with, in a journal of its own', async () => {
    const usd = { currency: 'USD', baseAmount: '90.00' };
    const rows = rowsOf(
      await written({
        accounts,
        state: { ...tracked, journals: [{ journalCode: 'AN', name: 'Annonces', type: 'sales' }] },
        entries: [
          { date: '2025-05-01', lines: between('512000', '101000', '500.00', { baseAmount: '500.00' }) },
          { date: '2025-06-01', lines: between('512000', '706000', '100.00', usd) },
          { date: '2026-06-01', lines: between('607000', '512000', '7.00', { baseAmount: '7.00' }) },
        ],
      }),
    );
    expect(shown(rows, 'JournalCode', 'EcritureNum', 'EcritureDate', 'CompteNum', 'Debit', 'Credit', 'Montantdevise', 'Idevise')).toEqual([
      'RAN 1 20260101 101000 0,00 500,00  ',
      'RAN 1 20260101 120000 0,00 90,00  ',
      'RAN 1 20260101 512000 500,00 0,00  ',
      'RAN 1 20260101 512000 90,00 0,00 100,00 USD',
      'GENERAL 3 20260601 607000 7,00 0,00  ',
      'GENERAL 3 20260601 512000 0,00 7,00  ',
    ]);
  });

  it('leaves out what closes income and expense, and its reversal in the same year only', async () => {
    const reversing = (id: string) => ({ entryType: 'reversal' as const, links: [{ rel: 'reverses' as const, entryId: id }] });
    const rows = rowsOf(
      await written({
        accounts,
        entries: [
          { date: '2026-01-05', lines: between('512000', '706000', '9.00') },
          { date: '2026-12-31', lines: between('706000', '120000', '9.00'), more: { entryType: 'closing' } },
          { date: '2026-12-31', lines: between('120000', '706000', '9.00'), more: reversing(entryIdOf(2)) },
          { date: '2026-12-31', lines: between('706000', '512000', '9.00'), more: reversing(entryIdOf(1)) },
        ],
      }),
    );
    expect([...new Set(shown(rows, 'EcritureNum'))]).toEqual(['1', '4']);
  });

  it('has the number that an account is mapped to', async () => {
    const mapped = { 'Assets:Bank': { mappings: [{ scheme: 'pcg', code: '512100' }] } };
    const rows = rowsOf(
      await written({
        accounts: { ...accounts, ...mapped },
        entries: [{ date: '2026-01-05', lines: between('Assets:Bank', '706000', '1.00') }],
      }),
    );
    expect(shown(rows, 'CompteNum')).toEqual(['512100', '706000']);
  });

  const entries = [{ date: '2026-01-05', lines: between('512000', '706000', '1.00') }];
  const mapping = { mappings: [{ scheme: 'pcg', code: '706000' }] };
  it.each<[string, PlainBook, string]>([
    ['no range', { entries, range: 'all' }, 'ask for one fiscal year'],
    ['a part of a year', { entries, range: { from: '2026-01-01', to: '2026-06-30' } }, 'ask for 2026, from=2026-01-01 to=2026-12-31'],
    [
      'a company without number',
      { entries, entity: { registrationNumber: undefined } },
      "the registration number of the book's entity is missing",
    ],
    ['another number', { entries, entity: { registrationNumber: 'HRB 1234' } }, 'is HRB 1234, not 9 digits (SIREN)'],
    ['another currency', { entries, state: { baseCurrency: 'NOK' } }, 'its amounts are in EUR, and the base currency of the book is NOK'],
    [
      'a code that is no number',
      { entries: [{ date: '2026-01-05', lines: between('Bank', '706000', '1.00') }] },
      'account Bank has the number Bank',
    ],
    ['two accounts of one number', { entries, accounts: { '512000': mapping } }, 'accounts 512000 and 706000 both have the number 706000'],
    [
      'currencies apart',
      { entries: [{ date: '2026-01-05', lines: between('512000', '706000', '1.00', { currency: 'USD' }) }] },
      'lines in USD have no amount in EUR',
    ],
    [
      'an earlier year that is not closed, and no account for its result',
      { accounts, entries: [{ date: '2025-01-05', lines: between('512000', '706000', '1.00') }] },
      'designate one for retained_earnings',
    ],
  ])('of %s is refused and named', async (_what, book, problem) => {
    expect((await problemsOf(book)).join('\n')).toContain(problem);
  });

  it('reads back as it was, whatever its texts and amounts, and balances', () => {
    const entry = fc.record({ description: oddTexts, account: oddTexts.filter((text) => text !== ''), amount: fc.bigInt(1n, 10n ** 20n) });
    return fc.assert(
      fc.asyncProperty(fc.array(entry, { minLength: 1, maxLength: 10 }), async (given) => {
        const rows = rowsOf(
          await written({
            accounts: { ...accounts, '512000': { name: given[0]?.account } },
            entries: given.map(({ description, amount }) => {
              const digits = String(amount).padStart(3, '0');
              return { date: '2026-01-05', description, lines: between('512000', '706000', `${digits.slice(0, -2)}.${digits.slice(-2)}`) };
            }),
          }),
        );
        const minor = (text = ''): bigint => BigInt(text.replace(',', ''));
        const debits = rows.filter(({ Debit }) => minor(Debit) > 0n);
        expect(
          debits.map(({ EcritureLib, CompteLib, Debit }) => ({
            description: unescaped(EcritureLib ?? ''),
            account: unescaped(CompteLib ?? ''),
            amount: minor(Debit),
          })),
        ).toEqual(
          given.map(({ description, amount }, index) => ({
            description: description === '' ? `GENERAL/2026/${index + 1}` : description,
            account: given[0]?.account,
            amount,
          })),
        );
        expect(rows.reduce((sum, { Debit, Credit }) => sum + minor(Debit) - minor(Credit), 0n)).toBe(0n);
      }),
    );
  });
});
