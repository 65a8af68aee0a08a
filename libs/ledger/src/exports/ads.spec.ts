import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { between, entryIdOf, oddTexts, type PlainBook, plainBook, textOf } from '../../../../test/support/audited-books';
import { ads } from './ads';
import type { ExportedBook } from './exported-book';

type Row = Readonly<Record<string, string>>;

/** Files by name, each as the rows that a program reads. */
async function filesOf(book: PlainBook, exported: ExportedBook = plainBook(book)): Promise<Map<string, Row[]>> {
  expect(await ads.problems?.(exported)).toEqual([]);
  const files = new Map<string, Row[]>();
  if (!('files' in ads)) throw new Error('one file');
  for await (const { name, content } of ads.files(exported))
    files.set(name, parse(await textOf(content), { columns: true, delimiter: '|', record_delimiter: '\r\n' }));
  return files;
}

const filled = (row: Row | undefined): Row => Object.fromEntries(Object.entries(row ?? {}).filter(([, value]) => value !== ''));

describe('a book as files of the Audit Data Standards', () => {
  const book: PlainBook = {
    state: { fx: 'tracked', designated: { retained_earnings: '3200' } },
    accounts: {
      '3200': { type: 'equity' },
      '4000': { type: 'income', subtype: 'sales', parent: '4' },
      '4': { type: 'income', postable: false },
    },
    entries: [
      { date: '2025-03-01', lines: between('1000', '4000', '5.00', { baseAmount: '5.00' }) },
      {
        date: '2026-02-01',
        description: 'Sale',
        lines: [
          {
            ...{ account: '1000', side: 'debit', amount: '10.00', currency: 'USD', baseAmount: '9.00', description: 'cash' },
            dimensions: [
              { key: 'project', value: 'p|1' },
              { key: 'costCentre', value: '47' },
            ],
          },
          { account: '4000', side: 'credit', amount: '9.00', baseAmount: '9.00' },
        ],
        more: { reversedBy: entryIdOf(3) },
      },
      {
        date: '2026-03-01',
        lines: between('4000', '1000', '9.00', { baseAmount: '9.00' }),
        more: { links: [{ rel: 'reverses', entryId: entryIdOf(2) }], entryType: 'reversal' },
      },
      {
        date: '2026-04-01',
        lines: between('4000', '1000', '5.00', { baseAmount: '5.00' }),
        more: { links: [{ rel: 'reverses', entryId: entryIdOf(1) }] },
      },
    ],
  };

  it('has the names and the fields of the standard', async () => {
    const files = await filesOf(book);
    expect([...files.keys()]).toEqual([
      'GL_Detail_20260101_20261231.csv',
      'Trial_Balance_20260101_20261231.csv',
      'Chart_Of_Accounts.csv',
      'Source_Listing.csv',
      'Business_Unit_Listing.csv',
      'User_Listing.csv',
    ]);
    expect(Object.keys(files.get('GL_Detail_20260101_20261231.csv')?.[0] ?? {})).toHaveLength(31);
  });

  it('has a row for each line: the functional amount and the local one, when and by whom it was entered, dimensions as segments', async () => {
    const [first, second] = (await filesOf(book)).get('GL_Detail_20260101_20261231.csv') ?? [];
    expect(filled(first)).toEqual({
      ...{ Journal_ID: 'GENERAL/2026/2', Journal_ID_Line_Number: '1', JE_Header_Description: 'Sale', JE_Line_Description: 'cash' },
      ...{ Source: 'GENERAL', Business_Unit_Code: 'acme', Effective_Date: '2026-02-01', Fiscal_Year: '2026', Period: '1' },
      ...{ GL_Account_Number: '1000', Amount: '9.00', Amount_Credit_Debit_Indicator: 'D', Amount_Currency: 'EUR' },
      ...{ Entered_By: 'u-1', Entered_Date: '2026-03-01', Entered_Time: '09:00:00.123456Z' },
      ...{ Local_Amount: '10.00', Local_Amount_Currency: 'USD', Reversal_Indicator: '2', Reversal_Journal_ID: 'GENERAL/2026/3' },
      ...{ Segment01: 'costCentre:47', Segment02: 'project:p|1' },
    });
    expect(filled(second)).toMatchObject({ Amount: '9.00', Amount_Credit_Debit_Indicator: 'C' });
    expect(filled(second)).not.toHaveProperty('Local_Amount');
  });

  it('says of a reversal what it reverses, by its id in the book where that is not in the range', async () => {
    const rows = (await filesOf(book)).get('GL_Detail_20260101_20261231.csv') ?? [];
    expect(rows.filter((row) => row.Reversal_Indicator === '1').map((row) => [row.Journal_ID, row.Reversal_Journal_ID])).toEqual([
      ['GENERAL/2026/3', 'GENERAL/2026/2'],
      ['GENERAL/2026/3', 'GENERAL/2026/2'],
      ['GENERAL/2026/4', entryIdOf(1)],
      ['GENERAL/2026/4', entryIdOf(1)],
    ]);
  });

  it('looks up by the page what its entries reverse or are reversed by, and nothing that stands on the page itself', async () => {
    const whole = plainBook(book);
    const paged = async (size: number): Promise<{ readonly asked: string[][]; readonly rows: Row[] | undefined }> => {
      const asked: string[][] = [];
      const exported: ExportedBook = {
        ...whole,
        async *entries() {
          for await (const entries of whole.entries())
            for (let from = 0; from < entries.length; from += size) yield entries.slice(from, from + size);
        },
        entriesById: (ids) => {
          asked.push([...ids]);
          return whole.entriesById(ids);
        },
      };
      return { asked, rows: (await filesOf(book, exported)).get('GL_Detail_20260101_20261231.csv') };
    };
    const alone = await paged(1);
    expect(alone.asked).toEqual([[entryIdOf(3)], [entryIdOf(2)], [entryIdOf(1)]]);
    const inPairs = await paged(2);
    expect(inPairs.asked).toEqual([[entryIdOf(1)]]);
    expect(inPairs.rows).toEqual(alone.rows);
    expect(alone.rows).toEqual((await filesOf(book)).get('GL_Detail_20260101_20261231.csv'));
  });

  it('has balances that roll forward with the entries, signed, and accounts with their parents', async () => {
    const files = await filesOf(book);
    expect(files.get('Trial_Balance_20260101_20261231.csv')?.map(filled)).toEqual(
      [
        ['1000', '5.00', '0.00'],
        ['3200', '-5.00', '-5.00'],
        ['4000', '0.00', '5.00'],
      ].map(([account, beginning, ending]) => ({
        ...{ GL_Account_Number: account, Business_Unit_Code: 'acme', Fiscal_Year: '2026', Period: '13', Balance_As_Of_Date: '2026-12-31' },
        ...{ Amount_Beginning: beginning, Amount_Ending: ending, Amount_Currency: 'EUR' },
      })),
    );
    expect(
      files.get('Chart_Of_Accounts.csv')?.map((row) => [row.GL_Account_Number, row.Account_Type, row.Parent_GL_Account_Number]),
    ).toEqual([
      ['1000', 'Assets', ''],
      ['3200', 'Equity', ''],
      ['4', 'Revenue', ''],
      ['4000', 'Revenue', '4'],
    ]);
    expect(files.get('User_Listing.csv')?.map(filled)).toEqual([{ User_ID: 'u-1' }]);
    expect(files.get('Business_Unit_Listing.csv')?.map((row) => row.Business_Unit_Code)).toEqual(['acme']);
  });

  it('of a whole book opens at 0, and is of all its fiscal years', async () => {
    const files = await filesOf({ ...book, range: 'all' });
    expect(files.get('GL_Detail_20250101_20271231.csv')).toHaveLength(8);
    const balances = files.get('Trial_Balance_20250101_20271231.csv') ?? [];
    expect(balances.map((row) => row.Amount_Beginning)).toEqual(['0.00', '0.00']);
  });

  it.each<[string, PlainBook, string]>([
    [
      'six dimensions',
      {
        entries: [
          { date: '2026-01-01', lines: between('1', '2', '1.00', { dimensions: [...'abcdef'].map((key) => ({ key, value: 'v' })) }) },
        ],
      },
      'lines have 6 dimensions (a, b, c, d, e, f), and there are 5 segments',
    ],
    [
      'currencies apart',
      { entries: [{ date: '2026-01-01', lines: between('1', '2', '1.00', { currency: 'USD' }) }] },
      'lines in USD have no amount in EUR',
    ],
    ['a range before the book', { entries: [], range: { from: '2020-01-01', to: '2020-12-31' } }, 'lies outside of the book'],
  ])('of %s is refused and named', async (_what, given, problem) => {
    expect((await ads.problems?.(plainBook(given)))?.join('\n')).toContain(problem);
  });

  it('reads back as it was, whatever its texts and amounts', () => {
    const entry = fc.record({
      description: oddTexts,
      account: oddTexts.filter((text) => text !== ''),
      value: oddTexts,
      amount: fc.bigInt(0n, 10n ** 25n),
    });
    return fc.assert(
      fc.asyncProperty(fc.array(entry, { minLength: 1, maxLength: 10 }), async (given) => {
        const files = await filesOf({
          entries: given.map(({ description, account, value, amount }) => {
            const digits = String(amount).padStart(3, '0');
            const more = { dimensions: [{ key: 'k', value }] };
            return { date: '2026-01-05', description, lines: between(account, 'z', `${digits.slice(0, -2)}.${digits.slice(-2)}`, more) };
          }),
        });
        const debits = (files.get('GL_Detail_20260101_20261231.csv') ?? []).filter((row) => row.Amount_Credit_Debit_Indicator === 'D');
        expect(
          debits.map((row) => ({
            description: row.JE_Header_Description,
            account: row.GL_Account_Number,
            value: row.Segment01?.slice(2),
            amount: BigInt(row.Amount?.replace('.', '') ?? ''),
          })),
        ).toEqual(given);
      }),
    );
  });
});
