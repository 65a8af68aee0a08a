import { bookOf, bytesIn, idOf, pair, richBook } from '../../../../test/support/exported-books';
import type { ExportedBook } from './exported-book';
import { jsonl } from './jsonl';

async function read(book: ExportedBook): Promise<Record<string, unknown>[]> {
  const text = (await bytesIn(jsonl.write(book))).toString();
  expect(text.endsWith('\n')).toBe(true);
  return text
    .slice(0, -1)
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('a book as lines of JSON', () => {
  it('says first what it is, and has accounts, entries, balances, totals and their count', async () => {
    const lines = await read(richBook());
    expect(lines.map((line) => Object.keys(line).join())).toEqual([
      'book',
      'account',
      'account',
      'entry',
      'balance',
      'balance',
      'balance',
      'balance',
      'total',
      'total',
      'end',
    ]);
    expect(lines[0]).toEqual({
      book: {
        ...{ id: 'acme', name: 'Acme; Ltd', position: 42, recordedAt: '2026-03-01T09:00:00.000000Z' },
        ...{ range: { from: '2026-01-01', to: '2026-12-31' }, baseCurrency: 'EUR', fx: 'tracked' },
        currencies: [
          { code: 'EUR', scale: 2 },
          { code: 'eth', scale: 18 },
        ],
      },
    });
    expect(lines[3]).toMatchObject({
      entry: {
        id: idOf(2),
        number: 2,
        reference: 'INV 7',
        metadata: { batch: 7 },
        lines: [{ account: '0010', amount: '1234567890123.45' }, {}, {}, {}, {}, {}],
      },
    });
    expect(lines[4]).toMatchObject({ balance: { account: '0010', currency: 'EUR', opening: '5.00', closing: '-12345677666666677761.67' } });
    expect(lines.slice(-3)).toEqual([
      { total: { currency: 'EUR', debit: '12345680135802458013.57', credit: '12345680135802458013.57' } },
      { total: { currency: 'eth', debit: '0.000000000000000001', credit: '0.000000000000000001' } },
      { end: { accounts: 2, entries: 1, lines: 6 } },
    ]);
  });

  it('is a line per object, whatever line ends texts have', async () => {
    const description = 'a\nb\r\u2028c';
    const lines = await read(bookOf([{ date: '2026-01-01', description, lines: pair('a', 'b') }]));
    expect(lines[3]).toMatchObject({ entry: { description } });
  });
});
