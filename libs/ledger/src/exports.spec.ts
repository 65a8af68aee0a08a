import { bookOf, type Entry, filesIn, pair } from '../../../test/support/exported-books';
import { exportFiles, exportFormats, exportTitles } from './exports';

const sale: Entry = { date: '2026-01-01', description: 'Sale', lines: pair('Cash', '4000', '3', 'kWh') };
const book = bookOf([sale], { currencies: { kWh: 0, EUR: 2 }, typeOf: (index) => (index === 0 ? 'asset' : 'income') });

describe('a book as files of an archive', () => {
  it('has the map of names beside a format that has its own', async () => {
    const files = await filesIn(exportFiles(book, 'beancount'));
    expect([...files.keys()]).toEqual(['acme.beancount', 'names.csv']);
    expect(files.get('names.csv')?.toString()).toBe(
      ['kind,exported,original', "currency,X'K'W'H,kWh", 'account,Assets:X-Cash,Cash', 'account,Income:4000,4000', ''].join('\r\n'),
    );
  });

  it('has the files of a format that is several', async () => {
    expect([...(await filesIn(exportFiles(book, 'csv'))).keys()]).toEqual(['lines.csv', 'accounts.csv', 'balances.csv']);
  });

  it.each(exportFormats)('%s is explained', (format) => {
    expect(exportTitles[format]).toMatch(/^\S.*[\w)]$/);
  });
});
