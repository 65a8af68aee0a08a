/**
 * Books as export formats read them, made of nothing but the entries that a spec names, and entries with whatever a book can have.
 * Adds up by itself what the projections would say: nothing here is shared with the code under test.
 */
import fc from 'fast-check';
import { type AccountType, type CalendarDate, codeProblem, currencyForm, fromMinor, type LineExtras } from '#domain';
import type { AccountAnswer, EntryAnswer, ExportedBook } from '#ledger';
import { add, type Balances, units } from './postings';

/** `account` is a code. */
export interface Line extends LineExtras {
  readonly account: string;
  readonly amount: string;
  readonly currency: string;
  readonly side: 'debit' | 'credit';
  readonly baseAmount?: string;
}

export interface Entry {
  readonly date: string;
  readonly description: string;
  readonly lines: readonly Line[];
  readonly more?: Partial<EntryAnswer>;
}

export const idOf = (number: number): string => `0198c0de-0000-7000-8000-${String(number).padStart(12, '0')}`;

interface More {
  readonly currencies?: Readonly<Record<string, number>>;
  /** By the place of the account in the order in which entries name them. */
  readonly typeOf?: (index: number) => AccountType;
  readonly range?: { readonly from: CalendarDate; readonly to: CalendarDate };
  readonly fx?: 'tracked' | 'untracked';
}

/** A book that has nothing but these entries, on the accounts that they name. */
export function bookOf(
  all: readonly Entry[],
  { currencies = { EUR: 2 }, typeOf = () => 'asset', range, fx = 'untracked' }: More = {},
): ExportedBook {
  const codes = [...new Set(all.flatMap(({ lines }) => lines.map(({ account }) => account)))];
  const accounts = codes.map(
    (code, index): AccountAnswer => ({
      id: idOf(1_000_000 + index),
      code,
      name: `Name of ${code}`,
      type: typeOf(index),
      normalSide: 'debit',
      postable: true,
      status: 'open',
    }),
  );
  const answers = all.map(
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
      lines: lines.map((line, place) => ({
        line: place + 1,
        accountId: idOf(1_000_000 + codes.indexOf(line.account)),
        code: line.account,
        ...line,
      })),
      ...more,
    }),
  );
  const { from, to } = range ?? { from: '1900-01-01', to: '2199-12-31' };
  const within = answers.filter(({ effectiveDate }) => effectiveDate >= from && effectiveDate <= to);
  const minor = (amount: string): bigint => BigInt(amount.replace('.', ''));
  const rows = accounts.flatMap((account) =>
    Object.entries(currencies)
      .sort()
      .flatMap(([currency, scale]) => {
        const sum = (some: readonly EntryAnswer[], side: Line['side'], base: boolean): bigint => {
          const own = some.flatMap(({ lines }) => lines).filter((line) => line.accountId === account.id && line.currency === currency);
          return own
            .filter((line) => line.side === side)
            .reduce((total, line) => total + minor((base ? line.baseAmount : line.amount) ?? '0'), 0n);
        };
        const sums = (some: readonly EntryAnswer[], base = false) => ({
          debit: sum(some, 'debit', base),
          credit: sum(some, 'credit', base),
        });
        const [before, upTo] = [
          answers.filter(({ effectiveDate }) => effectiveDate < from),
          answers.filter((entry) => entry.effectiveDate <= to),
        ];
        if (!upTo.some(({ lines }) => lines.some((line) => line.accountId === account.id && line.currency === currency))) return [];
        return {
          account,
          currency,
          scale,
          ...{ opening: sums(before), movement: sums(within), closing: sums(upTo) },
          ...{ baseOpening: sums(before, true), baseMovement: sums(within, true), baseClosing: sums(upTo, true) },
        };
      }),
  );
  const state = {
    name: 'Acme; Ltd',
    baseCurrency: 'EUR',
    fx,
    currencies,
    fiscalYears: [{ from: '2020-01-01' }],
  } as unknown as ExportedBook['state'];
  return {
    id: 'acme',
    position: 42,
    recordedAt: '2026-03-01T09:00:00.000000Z',
    state,
    ...(range === undefined ? {} : { range }),
    async *accounts() {
      yield accounts;
    },
    async *entries() {
      // Two pages, so that what goes on from page to page does.
      yield within.slice(0, Math.ceil(within.length / 2));
      yield within.slice(Math.ceil(within.length / 2));
    },
    async entriesById(ids) {
      return answers.filter(({ id }) => ids.includes(id));
    },
    async *entriesByJournal() {
      yield { journalCode: 'GENERAL', entries: within };
    },
    balances: async () => ({ rows, broughtForward: [] }),
    counts: async () => [],
  };
}

export const pair = (debit: string, credit: string, amount = '1.00', currency = 'EUR'): Line[] => [
  { account: debit, side: 'debit', amount, currency },
  { account: credit, side: 'credit', amount, currency },
];

/** Balances at the end of a day, debit positive. */
export function sumOf(all: readonly Entry[], asOf: string): Balances {
  const balances: Balances = new Map();
  for (const { date, lines } of all) {
    if (date > asOf) continue;
    for (const { account, side, amount, currency: unit } of lines)
      add(balances, account, unit, side === 'debit' ? units(amount) : -units(amount));
  }
  return balances;
}

/** A format that is several files, read into memory. */
export async function filesIn(files: AsyncIterable<{ readonly name: string; readonly content: AsyncIterable<string | Uint8Array> }>) {
  const read = new Map<string, Buffer>();
  for await (const { name, content } of files) read.set(name, await bytesIn(content));
  return read;
}

export async function bytesIn(content: AsyncIterable<string | Uint8Array>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const some of content) parts.push(Buffer.from(some as Uint8Array));
  return Buffer.concat(parts);
}

/** One entry before a range, one within, with every fact that an entry can have. */
const rich: readonly Entry[] = [
  {
    date: '2025-12-31',
    description: 'Before',
    lines: [
      { account: '0010', side: 'debit', amount: '5.00', currency: 'EUR', baseAmount: '5.00' },
      { account: '=1+1', side: 'credit', amount: '5.00', currency: 'EUR', baseAmount: '5.00' },
    ],
  },
  {
    date: '2026-02-01',
    description: '=HYPERLINK("x")\n_x0041_ <&>',
    lines: [
      {
        ...{ account: '0010', side: 'debit', amount: '1234567890123.45', currency: 'EUR', baseAmount: '1234567890123.45' },
        ...{ description: 'of the line', reference: 'LR', party: { id: 'C-1', kind: 'customer' }, dueDate: '2026-03-01' },
        ...{ valueDate: '2026-02-02', origin: 'rule 7', dimensions: [{ key: 'cost', value: 'a' }] },
        ...{ tax: [{ code: 'T', base: '1.00', amount: '0.19' }], quantity: { value: '3', unit: 'h' } },
      },
      { account: '=1+1', side: 'credit', amount: '1234567890123.45', currency: 'EUR', baseAmount: '1234567890123.45' },
      { account: '=1+1', side: 'debit', amount: '0.000000000000000001', currency: 'eth', baseAmount: '0.00' },
      { account: '0010', side: 'credit', amount: '0.000000000000000001', currency: 'eth', baseAmount: '0.00' },
      { account: '=1+1', side: 'debit', amount: '12345678901234567890.12', currency: 'EUR', baseAmount: '12345678901234567890.12' },
      { account: '0010', side: 'credit', amount: '12345678901234567890.12', currency: 'EUR', baseAmount: '12345678901234567890.12' },
    ],
    more: {
      ...{ reference: 'INV 7', entryType: 'reversal', requestedDate: '2026-01-31', userId: idOf(9), reversedBy: idOf(5) },
      document: { type: 'invoice', number: '007', date: '2026-01-30', uri: 'https://example.org/7', sha256: 'ab' },
      source: { system: 'shop', id: '1' },
      links: [{ rel: 'reverses', entryId: idOf(1) }],
      metadata: { batch: 7 },
    },
  },
];

export const richBook = (): ExportedBook =>
  bookOf(rich, { currencies: { EUR: 2, eth: 18 }, fx: 'tracked', range: { from: '2026-01-01', to: '2026-12-31' } });

// --- Whatever a book can have ---

/** What has a meaning to one of the programs, and what reads like an escape. */
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
  ...['-x003B-', '--', '-', 'X-', 'Z-', 'Z-Memorandum', 'Assets:', 'Equity:', '10', 'é', 'Я', '银行', '=1+1'],
];
const odd = fc.array(fc.constantFrom(...oddities), { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''));

/** Whatever the ledger takes for the code of an account, and more: the REST edge takes no controls. */
export const code = fc
  .oneof({ weight: 4, arbitrary: odd }, { weight: 1, arbitrary: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }) })
  .map((text) => text.replaceAll('\0', '').normalize('NFC'))
  .filter((text) => text !== '' && codeProblem(text) === undefined);

export const currency = fc
  .oneof(
    fc.constantFrom(
      'EUR',
      'h',
      'm',
      's',
      'AUTO',
      'or',
      'and',
      'true',
      'null',
      'VT-2',
      '1e3',
      '1',
      'a_b',
      'A.B',
      'auto',
      'hs',
      '0-1',
      'TRUE',
      'X',
      'kWh',
      'KWH',
      'A.',
      'usd',
      'USD',
    ),
    fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,23}$/),
  )
  .filter((text) => currencyForm.test(text));

export const prose = fc.oneof(
  fc
    .array(fc.constantFrom(...oddities, '  ', '\t', '\n', '\u2028', '\u00a0', ' ; ', ' | '), { maxLength: 8 })
    .map((parts) => parts.join('')),
  fc.string({ unit: 'grapheme', maxLength: 40 }).map((text) => text.replaceAll('\0', '')),
  fc.constantFrom('', 'ü'.repeat(1_000), ';'.repeat(1_000), '[ '.repeat(500)),
);

/** Entries of one month, and the currencies that they are in. @param minorMax of an amount, in minor units */
export const entriesUpTo = (minorMax: bigint) =>
  fc
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
          minor: fc.oneof(fc.bigInt(0n, minorMax), fc.bigInt(0n, 10_000n)),
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
