import fc from 'fast-check';
import { type CellValue, default as readWorkbook } from 'read-excel-file/node';
import { bookOf, bytesIn, type Entry, idOf, pair, prose, richBook } from '../../../../test/support/exported-books';
import type { ExportedBook } from './exported-book';
import { isExact, writeXlsx } from './xlsx';

const allButDates = [
  ...(['hrtime', 'nextTick', 'performance', 'queueMicrotask', 'setImmediate', 'clearImmediate'] as const),
  ...(['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout'] as const),
];

type Cells = Record<string, CellValue | null>;

/** Sheets by name, their rows under the headings of the first one; read by a library that has nothing to do with what wrote them. */
async function read(book: ExportedBook, rowsMax?: number): Promise<Map<string, Cells[]>> {
  const sheets = await readWorkbook(await bytesIn(writeXlsx(book, rowsMax)), { trim: false });
  return new Map(
    sheets.map(({ sheet, data: [heads = [], ...rows] }) => [
      sheet,
      rows.map((row) => Object.fromEntries(row.map((cell, index) => [String(heads[index]), cell]))),
    ]),
  );
}

const withText = (description: string): Entry => ({ date: '2026-01-01', description, lines: pair('a', 'b') });

describe('a book as a workbook', () => {
  it('has entries, accounts, balances and what it is about', async () => {
    const sheets = await read(richBook());
    expect([...sheets.keys()]).toEqual(['Entries', 'Accounts', 'Balances', 'About']);
    expect(sheets.get('Entries')).toHaveLength(6);
    expect(sheets.get('Entries')?.[0]).toMatchObject({
      ...{ position: 11, recordedAt: '2026-03-01T09:00:00.000000Z', entryId: idOf(2), number: 2 },
      ...{ effectiveDate: new Date('2026-02-01T00:00:00Z'), documentDate: new Date('2026-01-30T00:00:00Z') },
      ...{ account: '0010', debit: 1234567890123.45, credit: null, currency: 'EUR', documentNumber: '007' },
      ...{ dimensions: '[{"key":"cost","value":"a"}]' },
    });
    expect(sheets.get('Accounts')?.map(({ account }) => account)).toEqual(['0010', '=1+1']);
    expect(sheets.get('Balances')?.[0]).toMatchObject({
      ...{ account: '0010', currency: 'EUR', opening: 5, debit: 1234567890123.45, credit: '12345678901234567890.12' },
      closing: '-12345677666666677761.67',
    });
    const about = Object.fromEntries((sheets.get('About') ?? []).map(({ what, is }) => [String(what), is]));
    expect(about).toMatchObject({ book: 'acme', position: '42', range: 'effective dates from 2026-01-01 to 2026-12-31' });
    expect(about.amounts).toMatch(/^Numbers up to 15 significant digits/);
  });

  it('has texts that are no formulas, as they are', async () => {
    const entries = (await read(richBook())).get('Entries') ?? [];
    expect(entries[0]?.description).toBe('=HYPERLINK("x")\n_x0041_ <&>');
    expect(entries[1]?.account).toBe('=1+1');
    const bytes = await bytesIn(writeXlsx(richBook()));
    expect(bytes.includes('<f>')).toBe(false);
  });

  it('keeps whatever texts there are', () =>
    fc.assert(
      fc.asyncProperty(fc.array(prose, { minLength: 1, maxLength: 5 }), async (texts) => {
        const entries = (await read(bookOf(texts.map(withText)))).get('Entries') ?? [];
        // An empty cell and one with an empty text are the same to the reader.
        expect(entries.map(({ description }) => description ?? '')).toEqual(texts.flatMap((text) => [text, text]));
      }),
      { numRuns: 50 },
    ));

  it('cuts what a cell has no room for, and says so', async () => {
    const [{ description } = {}] = (await read(bookOf([withText('😀'.repeat(20_000))]))).get('Entries') ?? [];
    expect(description).toMatch(/^(😀)+… \(cut: a cell has no room for more\)$/u);
    expect(String(description).length).toBeLessThanOrEqual(32_767);
  });

  it('has an amount as a number only where that is the amount', () => {
    expect(['0.00', '0.30', '123456789012345', '1234567890123.45', '-1234567890123.45', '100000000000.0000'].map(isExact)).toEqual(
      Array(6).fill(true),
    );
    expect(['1234567890123456', '12345678901234.56', '-0.1234567890123456', '1000000000000000'].map(isExact)).toEqual(Array(4).fill(false));
    const amount = fc.tuple(fc.bigInt(0n, 10n ** 17n), fc.integer({ min: 0, max: 18 }));
    fc.assert(
      fc.property(amount, ([minor, scale]) => {
        const digits = String(minor).padStart(scale + 1, '0');
        const text = scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
        // A spreadsheet shows 15 digits of a number: they must be those of the amount.
        return (
          !isExact(text) ||
          BigInt(
            Number(text)
              .toPrecision(15)
              .replace(/e.*|\./g, ''),
          ) === BigInt(digits.replace(/^0+/, '').slice(0, 15).padEnd(15, '0') || '0')
        );
      }),
    );
  });

  it('has dates before March 1900 as text', async () => {
    const dated = (date: string): Entry => ({ ...withText(''), date });
    const entries = (await read(bookOf(['1900-01-01', '1900-02-28', '1900-03-01', '2199-12-31'].map(dated)))).get('Entries') ?? [];
    expect([0, 2, 4, 6].map((row) => entries[row]?.effectiveDate)).toEqual([
      '1900-01-01',
      '1900-02-28',
      new Date('1900-03-01T00:00:00Z'),
      new Date('2199-12-31T00:00:00Z'),
    ]);
  });

  it.each([
    [1, ['Entries']],
    [2, ['Entries']],
    [3, ['Entries', 'Entries 2']],
    [5, ['Entries', 'Entries 2', 'Entries 3']],
  ])('goes on in another sheet where %i entries of two lines have no room under 4 rows', async (count, names) => {
    const book = bookOf(Array.from({ length: count }, (_, index) => withText(String(index))));
    const sheets = await read(book, 5);
    const shown = [...sheets.keys()].filter((name) => !/^About \d/.test(name));
    expect(shown).toEqual([...names, 'Accounts', 'Balances', 'About']);
    const entries = names.flatMap((name) => sheets.get(name) ?? []);
    expect(entries.map(({ description, line }) => `${description}/${line}`)).toEqual(
      Array.from({ length: count }, (_, index) => [`${index}/1`, `${index}/2`]).flat(),
    );
  });

  it('is the same whenever it is made', async () => {
    const once = await bytesIn(writeXlsx(richBook()));
    // Dates only: the archive is written by timers and streams of Node.
    jest.useFakeTimers({ now: Date.now() + 86_400_000, doNotFake: allButDates });
    try {
      expect((await bytesIn(writeXlsx(richBook()))).equals(once)).toBe(true);
    } finally {
      jest.useRealTimers();
    }
  });
});
