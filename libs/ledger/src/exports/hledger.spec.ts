import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { codeProblem, currencyForm, fromMinor } from '#domain';
import { askHledger, askLedger, withPrograms } from '../../../../test/support/other-programs';
import { add, type Balances, shown, units } from '../../../../test/support/postings';
import type { SourceRow } from '../import/entries';
import { journalFormat } from '../import/journal';
import type { AccountAnswer, EntryAnswer, KnownBook } from '../queries';
import { unescaped } from './escapes';
import { accountName, commodityName, writeHledger } from './hledger';

// --- The grammar of the specs below ---

interface Line {
  readonly account: string;
  readonly amount: string;
  readonly currency: string;
  readonly side: 'debit' | 'credit';
  readonly description?: string;
  readonly baseAmount?: string;
}
interface Entry {
  readonly date: string;
  readonly description: string;
  readonly lines: readonly Line[];
  readonly more?: Partial<EntryAnswer>;
}

const idOf = (number: number): string => `0198c0de-0000-7000-8000-${String(number).padStart(12, '0')}`;

/** A book that has nothing but these entries, on the accounts that they name. */
function bookOf(entries: readonly Entry[], currencies: Readonly<Record<string, number>> = { EUR: 2 }): KnownBook {
  const accounts = [...new Set(entries.flatMap(({ lines }) => lines.map(({ account }) => account)))].map(
    (code): AccountAnswer => ({
      id: idOf(0),
      code,
      name: `Name of ${code}`,
      type: 'asset',
      normalSide: 'debit',
      postable: true,
      status: 'open',
    }),
  );
  const answers = entries.map(
    ({ date, description, lines, more }, index): EntryAnswer => ({
      id: idOf(index + 1),
      position: index + 10,
      recordedAt: '2026-03-01T09:00:00.000000Z',
      journalCode: 'GENERAL',
      fiscalYear: date.slice(0, 4),
      period: 1,
      number: index + 1,
      entryType: 'normal',
      entryMethod: 'manual',
      effectiveDate: date,
      description,
      lines: lines.map((line, place) => ({ line: place + 1, accountId: idOf(0), code: line.account, ...line })),
      ...more,
    }),
  );
  const state = { name: 'Acme; Ltd', baseCurrency: 'EUR', currencies } as unknown as KnownBook['state'];
  return {
    id: 'acme',
    position: 42,
    state,
    async *accounts() {
      yield accounts;
    },
    async *entries() {
      yield answers;
    },
  };
}

async function written(book: KnownBook): Promise<string> {
  let text = '';
  for await (const some of writeHledger(book)) text += some;
  return text;
}

const pair = (debit: string, credit: string, amount = '1.00', currency = 'EUR'): Line[] => [
  { account: debit, side: 'debit', amount, currency },
  { account: credit, side: 'credit', amount, currency },
];

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
      { 'VT-2': 0, EUR: 2, h: 1 },
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

  it('goes on below a line that would be longer than ledger reads', async () => {
    const text = await written(bookOf([{ date: '2026-01-01', description: 'ü '.repeat(2_000), lines: pair('a', 'b') }]));
    const lines = text.split('\n');
    expect(Math.max(...lines.map((line) => Buffer.byteLength(line)))).toBeLessThan(4_000);
    const parts = lines.flatMap((line) => /^(?:2026-01-01 \(GENERAL\/2026\/1\)| {4}; more:) (.*)$/.exec(line)?.[1] ?? []);
    expect(unescaped(parts.join(''))).toBe('ü '.repeat(2_000));
  });
});

// --- Names ---

/** What has a meaning to either program, and what reads like an escape. */
const oddities = [
  ...' ,;:;()[]<>{}*!#%|"\'~=+-@$&^/\\.?`_1aÄ😀',
  ...['\u0001', '\u007f', '\u0085', '_x003B_', '_x003', '_', 'x0041', 'x003B_', 'check', 'assert ', 'expr', 'date:', 'type:', 'Payee:'],
  ...[
    '  ',
    '[2020-01-01]',
    ', date:2020-01-01',
    '2024-01-01',
    '1.00',
    'EUR',
    'end',
    'include',
    'account',
    'Assets',
    'e\u0301',
    '(GENERAL)',
  ],
];
const odd = fc.array(fc.constantFrom(...oddities), { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''));

/** Whatever the ledger takes for the code of an account, and more: the REST edge takes no controls. */
const code = fc
  .oneof({ weight: 4, arbitrary: odd }, { weight: 1, arbitrary: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }) })
  .map((text) => text.replaceAll('\0', '').normalize('NFC'))
  .filter((text) => text !== '' && codeProblem(text) === undefined);

const currency = fc
  .oneof(
    fc.constantFrom('EUR', 'h', 'm', 's', 'AUTO', 'or', 'and', 'true', 'null', 'VT-2', '1e3', '1', 'a_b', 'A.B', 'auto', 'hs', '0-1'),
    fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,23}$/),
  )
  .filter((text) => currencyForm.test(text));

const prose = fc.oneof(
  fc
    .array(fc.constantFrom(...oddities, '  ', '\t', '\n', '\u2028', '\u00a0', ' ; ', ' | '), { maxLength: 8 })
    .map((parts) => parts.join('')),
  fc.string({ unit: 'grapheme', maxLength: 40 }).map((text) => text.replaceAll('\0', '')),
  fc.constantFrom('', 'ü'.repeat(1_000), ';'.repeat(1_000), '[ '.repeat(500)),
);

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

const minor = fc.oneof(fc.bigInt(0n, 10n ** 29n), fc.bigInt(0n, 10_000n));
const entries = fc
  .tuple(
    fc.uniqueArray(code, { minLength: 2, maxLength: 20 }),
    fc.dictionary(currency, fc.integer({ min: 0, max: 18 }), { minKeys: 1, maxKeys: 6, noNullPrototype: true }),
    fc.array(
      fc.record({
        day: fc.integer({ min: 10, max: 28 }),
        text: prose,
        own: prose,
        debit: fc.nat(),
        credit: fc.nat(),
        unit: fc.nat(),
        minor,
      }),
      { minLength: 1, maxLength: 30 },
    ),
  )
  .map(([codes, currencies, facts]) => ({
    currencies,
    entries: facts.map(({ day, text, own, debit, credit, unit, minor: size }): Entry => {
      const names = Object.keys(currencies);
      const name = names[unit % names.length] as string;
      const [one, other] = pair(
        codes[debit % codes.length] as string,
        codes[credit % codes.length] as string,
        fromMinor(size, currencies[name] as number),
        name,
      );
      const lines = [{ ...(one as Line), description: own, baseAmount: '1.00' }, other as Line];
      return { date: `2026-01-${day}`, description: text, lines, more: { reference: own } };
    }),
  }));

function sumOf(all: readonly Entry[], asOf: string): Balances {
  const balances: Balances = new Map();
  for (const { date, lines } of all) {
    if (date > asOf) continue;
    for (const { account, side, amount, currency: unit } of lines)
      add(balances, account, unit, side === 'debit' ? units(amount) : -units(amount));
  }
  return balances;
}

describe('whatever codes, currencies and texts a book has', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'book-keeper-journals-'));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  async function journalOf(all: readonly Entry[], currencies: Readonly<Record<string, number>>): Promise<string> {
    const file = join(directory, 'export.journal');
    writeFileSync(file, await written(bookOf(all, currencies)));
    return file;
  }

  it.each(['hledger', 'ledger'] as const)('our own import reads the same entries, as %s', (dialect) =>
    fc.assert(
      fc.asyncProperty(entries, async ({ entries: all, currencies }) => {
        const rows: SourceRow[] = [];
        for await (const some of journalFormat(dialect)(await journalOf(all, currencies))) rows.push(...some);
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
    it('have the same balances', () =>
      fc.assert(
        fc.asyncProperty(entries, async ({ entries: all, currencies }) => {
          const file = await journalOf(all, currencies);
          for (const asOf of ['2026-01-19', '2026-01-31']) {
            const wanted = shown(sumOf(all, asOf));
            const [hledger, ledger] = await Promise.all([askHledger(file, asOf), askLedger(file, asOf)]);
            expect({ hledger: shown(hledger), ledger: shown(ledger) }).toEqual({ hledger: wanted, ledger: wanted });
          }
        }),
        // Whatever is wrong is told in time, shrunk as far as that went.
        { numRuns: 25, interruptAfterTimeLimit: 40_000 },
      ));
  });
});
