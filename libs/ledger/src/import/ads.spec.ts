import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { accountTypes, fromMinor } from '#domain';
import { plainBook, textOf } from '../../../../test/support/audited-books';
import { readFileOf } from '../../../../test/support/read-files';
import { ads } from '../exports/ads';
import { adsFormat } from './ads';
import { type PostingRow, readAccountTypes, type SourceRow } from './entries';

const { directory, ...onDisk } = readFileOf('gl.txt');

const line: Readonly<Record<string, string>> = {
  Journal_ID: 'J-1',
  Journal_ID_Line_Number: '2',
  Effective_Date: '2025-01-15',
  GL_Account_Number: '1200',
  Amount: '100.00',
  Amount_Currency: 'USD',
};

/** A file of one row that has the columns named. */
const fileOf = (cells: Readonly<Record<string, string>>, separator = '|'): string =>
  [Object.keys(cells), Object.values(cells)].map((parts) => `${parts.join(separator)}\n`).join('');

const read = (content: string | Buffer, told: Parameters<typeof adsFormat>[0] = {}): Promise<SourceRow[]> =>
  onDisk.read(adsFormat(told), content);
const refusal = (content: string): Promise<string> => onDisk.refusal(adsFormat(), content);

async function one(cells: Readonly<Record<string, string>>, told: Parameters<typeof adsFormat>[0] = {}): Promise<PostingRow> {
  const [found] = await read(fileOf({ ...line, ...cells }), told);
  return found as PostingRow;
}

describe('a line of GL_Detail', () => {
  it('keeps who entered and approved it and when, where it comes from, what it is about', async () => {
    expect(
      await one({
        JE_Header_Description: 'Invoice 90117',
        JE_Line_Description: 'net 30',
        Source: 'Sales journal',
        Business_Unit_Code: 'WEST',
        Fiscal_Year: '2025',
        Period: 'M01',
        Amount_Credit_Debit_Indicator: 'C',
        Reporting_Amount: '80.00',
        Reporting_Amount_Currency: 'GBP',
        Local_Amount: '92.00',
        Local_Amount_Currency: 'EUR',
        Reversal_Indicator: '1',
        Reversal_Journal_ID: 'J-0',
        Entered_By: 'u0417',
        Entered_Date: '2025-01-16',
        Entered_Time: '143022',
        Approved_By: 'u0007',
        Approved_Date: '20250117',
        Last_Modified_By: 'u0001',
        Last_Modified_Date: '2025-01-18',
        Segment03: 'ROAD',
        Segment04: '',
        Plant: 'TAC-1',
      }),
    ).toEqual({
      at: 2,
      txn: 'J-1',
      line: 2,
      date: '2025-01-15',
      description: 'Invoice 90117',
      text: 'net 30',
      account: '1200',
      currency: 'USD',
      quantity: '-100.00',
      others: [
        { currency: 'EUR', quantity: '92.00' },
        { currency: 'GBP', quantity: '80.00' },
      ],
      dimensions: [
        { key: 'Business_Unit_Code', value: 'WEST' },
        { key: 'Segment03', value: 'ROAD' },
        { key: 'Plant', value: 'TAC-1' },
      ],
      original: {
        journal: 'Sales journal',
        number: 'J-1',
        enteredBy: 'u0417',
        enteredAt: '2025-01-16T14:30:22Z',
        approvedBy: 'u0007',
        approvedAt: '2025-01-17T00:00:00Z',
      },
      metadata: {
        Fiscal_Year: '2025',
        Period: 'M01',
        Reversal_Indicator: '1',
        Reversal_Journal_ID: 'J-0',
        Last_Modified_By: 'u0001',
        Last_Modified_Date: '2025-01-18T00:00:00Z',
      },
      entryType: 'reversal',
      dayBook: { code: 'Sales journal' },
    });
  });

  it('needs no more than entry, date, account and amount with its currency', async () => {
    expect(
      await read(fileOf({ Journal_ID: '7', Effective_Date: '20250115', GL_Account_Number: '1', Amount: '-5', Amount_Currency: 'USD' })),
    ).toEqual([
      {
        at: 2,
        txn: '7',
        line: 2,
        date: '2025-01-15',
        description: '',
        account: '1',
        currency: 'USD',
        quantity: '-5',
        original: { number: '7' },
      },
    ]);
  });

  it.each([
    ['D', '100', '100'],
    ['C', '100', '-100'],
    ['C', '-100', '-100'],
    ['D', '+100', '100'],
    ['', '100', '100'],
    ['', '-100', '-100'],
    ['S', '100', '100'],
    ['H', '100', '-100'],
    ['debit', '100', '100'],
    ['Cr', '0100.50', '-100.50'],
    ['D', '-0.00', '0.00'],
  ])('reads indicator "%s" and amount %s as %s, debit positive', async (Amount_Credit_Debit_Indicator, Amount, quantity) => {
    expect((await one({ Amount, Amount_Credit_Debit_Indicator })).quantity).toBe(quantity);
  });

  it.each([
    ['2', 2],
    ['0010', 10],
    ['', 2],
    ['A7', 2],
  ])('with line number "%s" stands at %s', async (Journal_ID_Line_Number, place) => {
    expect((await one({ Journal_ID_Line_Number })).line).toBe(place);
  });

  it('has a currency that the file does not name, where it was said', async () => {
    expect(await one({ Amount_Currency: '' }, { currencies: new Map([['', 'USD']]) })).toMatchObject({ currency: 'USD' });
    expect(await one({ Amount_Currency: 'US$' }, { currencies: new Map([['US$', 'USD']]) })).toMatchObject({ currency: 'USD' });
  });

  it('has a document, where the company has put its number and date', async () => {
    const document = { Document_Number: 'INV-1', Document_Date: '20250114' };
    expect(await one(document)).toMatchObject({ document: { type: 'document', number: 'INV-1', date: '2025-01-14' } });
    expect(await one({ ...document, Document_Type: 'RV' })).toMatchObject({ document: { type: 'RV' } });
    expect(await one({ Document_Number: 'INV-1' })).toMatchObject({ reference: 'INV-1' });
    expect(await one({ Document_Date: '20250114' })).toMatchObject({ metadata: { Document_Date: '2025-01-14' } });
  });

  it('leaves out what spreadsheets and databases write for nothing', async () => {
    const found = await one({ Approved_By: '#N/A', Approved_Date: '00000000', Entered_By: 'NULL', Source: ' ' });
    expect(found.original).toEqual({ number: 'J-1' });
    expect(found.dayBook).toBeUndefined();
  });
});

describe('how GL_Detail is written', () => {
  const cells = { ...line, JE_Header_Description: 'x', Amount_Credit_Debit_Indicator: 'D', Entered_By: 'u1' };
  const whole = { txn: 'J-1', quantity: '100.00', description: 'x', currency: 'USD', original: { enteredBy: 'u1' } };
  const renamed = (rename: (name: string) => string): Record<string, string> =>
    Object.fromEntries(Object.entries(cells).map(([name, value]) => [rename(name), value]));

  it.each([
    ['names of 2013 and 2015', (name: string) => name],
    ['names without underscores', (name: string) => name.replaceAll('_', '')],
    [
      'names as in the API of 2020',
      (name: string) => name.replaceAll('_', '').replace(/^[A-Z]+(?=[A-Z][a-z])|^[A-Z]/, (start) => start.toLowerCase()),
    ],
    ['small letters', (name: string) => name.toLowerCase()],
    ['blanks for underscores', (name: string) => name.replaceAll('_', ' ')],
  ])('%s', async (_what, rename) => {
    expect(await read(fileOf(renamed(rename)))).toMatchObject([whole]);
  });

  it('amounts by their names in ISO 21378', async () => {
    const { Amount: Functional_Amount = '', Amount_Currency: Functional_Currency_Code = '', ...rest } = line;
    const found = await read(
      fileOf({ ...rest, Functional_Amount, Functional_Currency_Code, Transaction_Amount: '9', Transaction_Currency_Code: 'EUR' }),
    );
    expect(found).toMatchObject([{ quantity: '100.00', currency: 'USD', others: [{ currency: 'EUR', quantity: '9' }] }]);
  });

  it.each([
    ['|', '|'],
    ['commas', ','],
    ['tabs', '\t'],
  ])('%s between cells', async (_what, separator) => {
    expect(await read(fileOf(cells, separator))).toMatchObject([whole]);
  });

  it('quotes around cells that hold the separator, and inside of others', async () => {
    const quoted = fileOf({ ...cells, JE_Header_Description: '"a | ""b"""', JE_Line_Description: '27" wheel' });
    expect(await read(quoted)).toMatchObject([{ description: 'a | "b"', text: '27" wheel' }]);
    expect(await read(fileOf({ ...cells, JE_Header_Description: '"a, b"' }, ','))).toMatchObject([{ description: 'a, b' }]);
  });

  it('another character set, where it is told', async () => {
    const bytes = Buffer.from(fileOf({ ...cells, JE_Header_Description: 'caf\xe9' }), 'latin1');
    expect(await read(bytes, { encoding: 'windows-1252' })).toMatchObject([{ description: 'café' }]);
    await expect(read(bytes)).rejects.toMatchObject({ code: 'text_invalid' });
  });
});

describe('what is refused', () => {
  it.each([
    ['a decimal comma', { Amount: '100,00' }, 'amount_format', /^Amount is "100,00", not a decimal like 1234\.50/],
    ['no amount', { Amount: '' }, 'amount_format', 'Amount is empty'],
    ['a date that does not exist', { Effective_Date: '2025-02-30' }, 'date_invalid', /^Effective_Date is "2025-02-30"/],
    ['no date', { Effective_Date: '' }, 'malformed', 'Effective_Date is empty'],
    ['a time that is none', { Entered_Date: '20250101', Entered_Time: '2500' }, 'date_invalid', /^the time of Entered_Date is "2500"/],
    ['no currency', { Amount_Currency: '' }, 'malformed', 'Amount_Currency is empty: say which it is (--currency =USD)'],
    ['a currency that is none', { Amount_Currency: 'US$' }, 'text_invalid', /^Amount_Currency is "US\$", no code like EUR/],
    [
      'an indicator that is none',
      { Amount_Credit_Debit_Indicator: 'X' },
      'malformed',
      'Amount_Credit_Debit_Indicator is "X", neither D for debit nor C for credit',
    ],
    [
      'a negative debit',
      { Amount: '-5', Amount_Credit_Debit_Indicator: 'D' },
      'malformed',
      'Amount is -5, and Amount_Credit_Debit_Indicator says debit; give it as a credit of 5',
    ],
    ['no id of the entry', { Journal_ID: ' ' }, 'malformed', 'Journal_ID is empty'],
  ])('%s, with the line and the entry', async (_what, cells, code, problem) => {
    expect(await one(cells)).toEqual({
      at: 2,
      txn: 'Journal_ID' in cells ? '' : 'J-1',
      code,
      problem: typeof problem === 'string' ? problem : expect.stringMatching(problem),
    });
  });

  it.each([
    [
      'a file without amounts',
      'Journal_ID|Effective_Date|GL_Account_Number',
      'malformed: FILE:1: the header lacks Amount; the file begins with a header that names the columns Journal_ID, Effective_Date, GL_Account_Number, Amount',
    ],
    [
      'one amount in two spellings',
      'Journal_ID|Effective_Date|GL_Account_Number|Amount|Functional_Amount',
      'malformed: FILE:1: the header names Amount twice; the file begins with a header that names the columns Journal_ID, Effective_Date, GL_Account_Number, Amount',
    ],
  ])('%s', async (_what, header, says) => {
    expect(await refusal(`${header}\n`)).toBe(says);
  });
});

describe('any GL_Detail', () => {
  it('gives back every text as it was, whatever separators, quotes and line ends it holds', async () => {
    const texts = fc.array(
      fc
        .array(fc.constantFrom('|', ',', '"', '""', ';', '\t', '\n', '\r\n', 'é', '€', ' ', 'a', "'"))
        .map((parts) => `x${parts.join('')}x`),
      {
        minLength: 1,
        maxLength: 10,
      },
    );
    await fc.assert(
      fc.asyncProperty(texts, fc.constantFrom('|', ',', '\t'), fc.constantFrom('\n', '\r\n'), async (descriptions, separator, end) => {
        const header = [...Object.keys(line), 'JE_Header_Description'].join(separator);
        const rows = descriptions.map((text) => [...Object.values(line), `"${text.replaceAll('"', '""')}"`].join(separator));
        const found = await read([header, ...rows, ''].join(end));
        expect(found.map((row) => (row as PostingRow).description)).toEqual(descriptions);
        const lineEnds = descriptions.map((text) => text.split('\n').length - 1);
        expect(found.map(({ at }) => at)).toEqual(
          descriptions.map((_, index) => 2 + index + lineEnds.slice(0, index).reduce((sum, count) => sum + count, 0)),
        );
      }),
      { numRuns: 50 },
    );
  });

  it('means the same with an indicator, with a sign, and with both', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }), { minLength: 1, maxLength: 20 }),
        fc.nat(6),
        async (minors, scale) => {
          const header = [...Object.keys(line), 'Amount_Credit_Debit_Indicator'].join('|');
          const write = (amount: (minor: bigint) => string, indicator: (minor: bigint) => string): string =>
            [header, ...minors.map((minor) => [...Object.values({ ...line, Amount: amount(minor) }), indicator(minor)].join('|')), ''].join(
              '\n',
            );
          const size = (minor: bigint): string => fromMinor(minor < 0n ? -minor : minor, scale);
          const signed = (minor: bigint): string => fromMinor(minor, scale);
          const side = (minor: bigint): string => (minor < 0n ? 'C' : 'D');
          for (const content of [write(signed, () => ''), write(size, side), write(signed, side)]) {
            const found = await read(content);
            expect(found.map((row) => (row as PostingRow).quantity)).toEqual(minors.map(signed));
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe('readAccountTypes', () => {
  const chart = async (content: string): Promise<unknown> => {
    const path = join(directory, 'chart.txt');
    writeFileSync(path, content);
    return Object.fromEntries(await readAccountTypes(path));
  };

  it('reads a Chart_Of_Accounts, whose types are written in several ways and which has more columns', async () => {
    expect(
      await chart(
        'GL_Account_Number|GL_Account_Name|FS_Caption|Account_Type\n1|Cash|x|Assets\n2|Debts|x|Liability\n3||x|EQUITY\n4|Sales|x|Revenue\n5|Rent|x|Expenses\n6|Rent|x|expense\n7|Interest|x|Income\n',
      ),
    ).toEqual({
      1: { type: 'asset', name: 'Cash' },
      2: { type: 'liability', name: 'Debts' },
      3: { type: 'equity' },
      4: { type: 'income', name: 'Sales' },
      5: { type: 'expense', name: 'Rent' },
      6: { type: 'expense', name: 'Rent' },
      7: { type: 'income', name: 'Interest' },
    });
  });

  it('reads back the chart that we export ourselves: the same types, all of them', async () => {
    const types = Object.fromEntries(accountTypes.map((type, index) => [`${index + 1}000`, { type, name: `An account of ${type}` }]));
    if (!('files' in ads)) throw new Error('one file');
    for await (const { name, content } of ads.files(plainBook({ entries: [], accounts: types })))
      if (name === 'Chart_Of_Accounts.csv') expect(await chart(await textOf(content))).toEqual(types);
    expect.assertions(1);
  });

  it('takes names from a file of types too', async () => {
    expect(await chart('account,type,name\n1000,asset,Cash\n2000,revenue,\n')).toEqual({
      1000: { type: 'asset', name: 'Cash' },
      2000: { type: 'income' },
    });
  });

  it.each([
    ['GLAccountNumber,AccountType\n1,Contra\n', /chart\.txt:2: type is "Contra", not one of asset, liability/],
    [`account,type,name\n1,asset,${'x'.repeat(201)}\n`, /chart\.txt:2: name has 201 characters; 200 are allowed/],
    ['account,type,name\n1,asset,Ca\u200bsh\n', /chart\.txt:2: name holds U\+200B, which cannot be seen/],
  ])('refuses %j', async (content, says) => {
    await expect(chart(content)).rejects.toMatchObject({ code: 'malformed', message: says });
  });
});
