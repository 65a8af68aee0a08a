import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { bookOf, code, currency, type Entry, entriesUpTo, idOf, pair, prose, sumOf } from '../../../../test/support/exported-books';
import { askHledger, askLedger, withPrograms } from '../../../../test/support/other-programs';
import { shown } from '../../../../test/support/postings';
import type { SourceRow } from '../import/entries';
import { journalFormat } from '../import/journal';
import { unescaped } from './escapes';
import type { ExportedBook } from './exported-book';
import { accountName, commodityName, writeHledger } from './hledger';
import { writeLedger } from './ledger';

// --- The grammar of the specs below ---

async function written(book: ExportedBook, write = writeHledger): Promise<string> {
  let text = '';
  for await (const some of write(book)) text += some;
  return text;
}

// --- What is written ---

describe('a book as a journal', () => {
  it('has currencies, accounts with their types, and entries with everything that identifies them', async () => {
    const book = bookOf(
      [
        {
          date: '2026-02-01',
          description: 'Rent',
          lines: [
            { account: 'Assets:Bank', side: 'debit', amount: '400.00', currency: 'EUR', description: 'for February', baseAmount: '400.00' },
            { account: 'Assets:a;b', side: 'credit', amount: '400.00', currency: 'EUR' },
            { account: 'Assets:Bank', side: 'credit', amount: '0', currency: 'VT-2' },
          ],
          more: { reference: 'INV 7', entryType: 'reversal', links: [{ rel: 'reverses', entryId: idOf(7) }] },
        },
      ],
      { currencies: { 'VT-2': 0, EUR: 2, h: 1 } },
    );
    expect(await written(book)).toBe(
      [
        '; Book acme, Acme; Ltd, as known at position 42, exported by book-keeper.',
        '; Entries stand in the order of their positions, under their numbers; debits are positive; base amounts are comments.',
        '; _xHHHH_ in names and descriptions stands for the character with the code point HHHH (hexadecimal)',
        '',
        'commodity EUR',
        '  format 1000.00 EUR',
        'commodity "VT-2"',
        '; _x0068_ stands for "h"',
        'commodity "_x0068_"',
        '  format 1000.0 "_x0068_"',
        '',
        '; Name of Assets:Bank',
        'account Assets:Bank',
        '  ; type: A',
        '; Name of Assets:a;b',
        '; Assets:a_x003B_b stands for "Assets:a;b"',
        'account Assets:a_x003B_b',
        '  ; type: A',
        '',
        '2026-02-01 (GENERAL/2026/1) Rent',
        '    ; entryId: 0198c0de-0000-7000-8000-000000000001',
        '    ; position: 10',
        '    ; recordedAt: 2026-03-01T09:00:00.000000Z',
        '    ; entryType: reversal',
        '    ; reference: INV 7',
        '    ; reverses: 0198c0de-0000-7000-8000-000000000007',
        '    Assets:Bank  400.00 EUR  ; line: 1',
        '    ; description: for February',
        '    ; baseAmount: 400.00 EUR',
        '    Assets:a_x003B_b  -400.00 EUR  ; line: 2',
        '    Assets:Bank  0 "VT-2"  ; line: 3',
        '',
        '; end of the journal: 1 entries, 3 lines',
        '',
      ].join('\n'),
    );
  });

  it('is a journal without entries where nothing was known yet', async () => {
    const text = await written({ ...bookOf([]), state: undefined, position: 0 });
    expect(text).toMatch(/^; Book acme, as known at position 0,[\s\S]*\n; end of the journal: 0 entries, 0 lines\n$/);
  });

  it('of a range begins with what the accounts had before, and nothing where they had nothing', async () => {
    const line = (account: string, side: 'debit' | 'credit', amount: string, baseAmount: string, currency = 'USD') => ({
      ...{ account, side, amount, baseAmount, currency },
    });
    const all: Entry[] = [
      { date: '2026-01-01', description: 'before', lines: [line('a', 'debit', '5.00', '4.50'), line('b', 'credit', '5.00', '4.50')] },
      { date: '2026-01-31', description: 'eve', lines: [line('b', 'debit', '5.00', '4.60'), line('c', 'credit', '5.00', '4.60')] },
      { date: '2026-02-28', description: 'within', lines: [line('a', 'debit', '1.00', '0.90'), line('c', 'credit', '1.00', '0.90')] },
      { date: '2026-03-01', description: 'after', lines: [line('a', 'debit', '9.00', '8.00'), line('c', 'credit', '9.00', '8.00')] },
    ];
    const more = { currencies: { EUR: 2, USD: 2 }, fx: 'tracked' } as const;
    const range = { from: '2026-02-01', to: '2026-02-28' };
    const text = await written(bookOf(all, { ...more, range }));
    expect(text).toContain('\n; Only entries from 2026-02-01 to 2026-02-28; one entry of opening balances has what every account had');
    expect(text).toContain(
      [
        '',
        '2026-02-01 (OPENING) Opening balances',
        '    ; openingBalances: 2026-02-01',
        '    ; position: 0',
        '    a  5.00 USD',
        '    ; baseAmount: 4.50 EUR',
        '    b  0.00 USD',
        '    ; baseAmount: 0.10 EUR',
        '    c  -5.00 USD',
        '    ; baseAmount: -4.60 EUR',
        '',
        '2026-02-28 (GENERAL/2026/3) within',
      ].join('\n'),
    );
    expect(text).toMatch(/\n; end of the journal: 1 entries, 2 lines\n$/);
    expect(text).not.toMatch(/ (before|eve|after)\n/);
    const early = await written(bookOf(all, { ...more, range: { from: '2025-01-01', to: '2026-02-28' } }));
    expect(early).not.toContain('Opening balances\n');
  });

  it('goes on below a line that would be longer than ledger reads', async () => {
    const text = await written(bookOf([{ date: '2026-01-01', description: 'ü '.repeat(2_000), lines: pair('a', 'b') }]));
    const lines = text.split('\n');
    expect(Math.max(...lines.map((line) => Buffer.byteLength(line)))).toBeLessThan(4_000);
    const parts = lines.flatMap((line) => /^(?:2026-01-01 \(GENERAL\/2026\/1\)| {4}; more:) (.*)$/.exec(line)?.[1] ?? []);
    expect(unescaped(parts.join(''))).toBe('ü '.repeat(2_000));
  });
});

// --- Names ---

describe('names of accounts and currencies', () => {
  it('stay as they are when journals can hold them', () => {
    const plain = ['Assets:Cash', '1010', 'Office supplies', 'a_b', 'Kosten/Büro (Köln)', 'a=b', 'checks', 'x_x00'];
    expect(plain.map(accountName)).toEqual(plain);
    expect(['EUR', 'VT2', 'A-1', 'or', 'hour'].map(commodityName)).toEqual(['EUR', '"VT2"', '"A-1"', '"or"', 'hour']);
  });

  it.each([
    ['a  b', 'a _x0020_b'],
    ['a;b', 'a_x003B_b'],
    ['(a)', '_x0028_a)'],
    ['[a]', '_x005B_a]'],
    ['<a>', '_x003C_a>'],
    ['* a', '_x002A_ a'],
    ['a::b', 'a:_x003A_b'],
    [':a:', '_x003A_a_x003A_'],
    ['a: b', 'a:_x0020_b'],
    ['check it', '_x0063_heck it'],
    ['a\tb', 'a_x0009_b'],
    ['_x003B_', '_x005F_x003B_'],
  ])('%j is written %s', (original, name) => {
    expect([accountName(original), unescaped(name)]).toEqual([name, original]);
  });

  it('are never the same for two codes, since each is read back as it was', () => {
    fc.assert(fc.property(fc.oneof(code, prose), (original) => unescaped(accountName(original)) === original));
    fc.assert(fc.property(currency, (original) => unescaped(commodityName(original).replaceAll('"', '')) === original));
  });
});

// --- What the programs read ---

describe('whatever codes, currencies and texts a book has', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'book-keeper-journals-'));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  async function journalOf(book: ExportedBook, write = writeHledger): Promise<string> {
    const file = join(directory, 'export.journal');
    writeFileSync(file, await written(book, write));
    return file;
  }

  it.each([
    ['hledger', writeHledger],
    ['ledger', writeHledger],
    ['ledger', writeLedger],
  ] as const)('our own import reads the same entries, as %s', (dialect, write) =>
    fc.assert(
      fc.asyncProperty(entriesUpTo(10n ** 29n), async ({ entries: all, currencies }) => {
        const rows: SourceRow[] = [];
        for await (const some of journalFormat(dialect)(await journalOf(bookOf(all, { currencies }), write))) rows.push(...some);
        expect(rows).toMatchObject(
          all.flatMap(({ date, description, lines }) =>
            lines.map(({ account, currency: unit, side, amount }) => ({
              date,
              account,
              currency: unit,
              quantity: side === 'credit' && /[1-9]/.test(amount) ? `-${amount}` : amount,
              // What does not fit into ledger's lines goes on in comments.
              ...(description.length < 300 ? { description } : {}),
            })),
          ),
        );
      }),
      { numRuns: 50 },
    ),
  );

  withPrograms('the programs', () => {
    const pedantic = (file: string, asOf: string) => askLedger(file, asOf, ['--pedantic']);

    it.each([
      ['the journal for both', writeHledger, [askHledger, askLedger]],
      ['the journal for ledger', writeLedger, [pedantic]],
    ] as const)('have the same balances by %s, also from a day on', (_, write, programs) =>
      fc.assert(
        fc.asyncProperty(entriesUpTo(10n ** 29n), fc.boolean(), async ({ entries: all, currencies }, whole) => {
          const range = whole ? {} : { range: { from: '2026-01-15', to: '2026-01-25' } };
          const file = await journalOf(bookOf(all, { currencies, ...range }), write);
          for (const asOf of ['2026-01-19', '2026-01-25']) {
            const wanted = shown(sumOf(all, asOf));
            for (const ask of programs) expect({ asOf, ...shown(await ask(file, asOf)) }).toEqual({ asOf, ...wanted });
          }
        }),
        // Whatever is wrong is told in time, shrunk as far as that went.
        { numRuns: 25, interruptAfterTimeLimit: 40_000 },
      ),
    );
  });
});
