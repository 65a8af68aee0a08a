import fc from 'fast-check';
import { between, oddTexts, type PlainBook, plainBook } from '../../../test/support/audited-books';
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

  /** What is called so in the files, by what it is called in the book; read without knowing how it was made. */
  const namesIn = async (given: PlainBook, format: string): Promise<Map<string, string>> => {
    const csv = (await filesIn(exportFiles(plainBook(given), format))).get('names.csv')?.toString() ?? '';
    const cells = [...csv.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(?:,|\r\n)/g)].map(
      ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
    );
    expect(cells.slice(0, 3)).toEqual(['kind', 'exported', 'original']);
    expect(cells.length % 3).toBe(0);
    const rows = Array.from({ length: cells.length / 3 }, (_, index) => cells.slice(3 * index, 3 * index + 3));
    return new Map(rows.map(([kind, exported = '', original = '']) => [`${kind} ${exported}`, original]));
  };
  const tracked = { fx: 'tracked', designated: { retained_earnings: '120000' } } as const;

  it('has a map of what stands otherwise in a FEC: numbers of accounts by their mapping, and whatever was escaped', async () => {
    const accounts = {
      '120000': { type: 'equity' },
      'Assets:Caisse': { mappings: [{ scheme: 'pcg', code: '530000' }], name: '"Caisse" _x0041_' },
      '706000': { type: 'income' },
    } as const;
    const lines = between('Assets:Caisse', '706000', '1.00');
    const entries = [{ date: '2026-01-05', description: 'Vente\tde sel', lines }];
    expect(await namesIn({ state: tracked, accounts, entries }, 'fec')).toEqual(
      new Map([
        ['kind exported', 'original'],
        ['account 530000', 'Assets:Caisse'],
        ['account name _x0022_Caisse" _x005F_x0041_', '"Caisse" _x0041_'],
        ['description Vente_x0009_de sel', 'Vente\tde sel'],
      ]),
    );
  });

  it('has one of what stands otherwise in SAF-T: what was escaped, and what was cut', async () => {
    const key = 'a dimension with a long name';
    const grouped = { mappings: [{ scheme: 'saf-t-no', category: 'RF-1167', code: '1920' }] };
    const [debit, credit] = between('1920', '3000', '1.00');
    const lines = [
      { ...debit, dimensions: [{ key, value: '4711' }] },
      { ...credit, description: 'a\u0001b' },
    ] as NonNullable<typeof debit>[];
    const accounts = { '1920': { ...grouped, name: 'Bank _x0041_' }, '3000': { ...grouped, type: 'income' } } as const;
    const found = await namesIn({ state: tracked, accounts, entries: [{ date: '2026-01-05', lines }] }, 'saf-t-no');
    expect(found.get('account name Bank _x005F_x0041_')).toBe('Bank _x0041_');
    expect(found.get('description a_x0001_b')).toBe('a\u0001b');
    expect([...found].filter(([name]) => name.startsWith('analysis type '))).toEqual([
      [expect.stringMatching(/^analysis type a.{1,8}$/), key],
    ]);
  });

  it('maps every text of a FEC back without knowing how it was escaped', () =>
    fc.assert(
      fc.asyncProperty(
        oddTexts.filter((text) => text !== ''),
        oddTexts.filter((text) => text !== ''),
        async (description, name) => {
          const given: PlainBook = {
            state: tracked,
            accounts: { '120000': { type: 'equity' }, '512000': { name }, '706000': { type: 'income' } },
            entries: [{ date: '2026-01-05', description, lines: between('512000', '706000', '1.00') }],
          };
          const files = await filesIn(exportFiles(plainBook(given), 'fec'));
          const [, row = ''] = (files.get('732829320FEC20261231.txt') ?? [...files.values()][0])?.toString().split('\r\n') ?? [];
          const zones = row.split('\t');
          const names = await namesIn(given, 'fec');
          expect(names.get(`description ${zones[10]}`) ?? zones[10]).toBe(description);
          expect(names.get(`account name ${zones[5]}`) ?? zones[5]).toBe(name);
        },
      ),
      { numRuns: 60 },
    ));

  it('has the files of a format that is several', async () => {
    expect([...(await filesIn(exportFiles(book, 'csv'))).keys()]).toEqual(['lines.csv', 'accounts.csv', 'balances.csv']);
  });

  it.each(exportFormats)('%s is explained', (format) => {
    expect(exportTitles[format]).toMatch(/^\S.*[\w)]$/);
  });
});
