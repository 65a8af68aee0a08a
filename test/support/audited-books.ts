/**
 * Books for specs of export formats, made of plain entries: what a format reads from, with balances that are added up here, line by
 * line and as a text says it. No service, no database.
 */
import fc from 'fast-check';
import type { BookState, FiscalYear, LegalEntity } from '#domain';
import type { AccountAnswer, EntryAnswer, ExportedBook, ExportFormat } from '#ledger';

export type PlainLine = Omit<Partial<EntryAnswer['lines'][number]>, 'line' | 'accountId' | 'code'> & {
  readonly account: string;
  readonly side: 'debit' | 'credit';
  readonly amount: string;
};
export interface PlainEntry {
  readonly date: string;
  readonly description?: string;
  readonly lines: readonly PlainLine[];
  readonly more?: Partial<EntryAnswer>;
}
export interface PlainBook {
  readonly entries: readonly PlainEntry[];
  /** By code, beside those that entries name, which are assets. */
  readonly accounts?: Readonly<Record<string, Partial<AccountAnswer>>>;
  readonly state?: Partial<BookState>;
  readonly entity?: Partial<LegalEntity>;
  /** The year 2026 when absent. */
  readonly range?: ExportedBook['range'] | 'all';
}

const year = (label: string): FiscalYear => ({
  label,
  from: `${label}-01-01`,
  to: `${label}-12-31`,
  periods: [
    { no: 1, from: `${label}-01-01`, to: `${label}-12-31`, kind: 'normal' },
    { no: 13, from: `${label}-12-31`, to: `${label}-12-31`, kind: 'adjustment' },
  ],
});

export const entryIdOf = (number: number): string => `0198c0de-0000-7000-8000-${String(number).padStart(12, '0')}`;

/** Digits of an amount; all amounts of a currency have the same decimals. */
const digits = (amount = '0'): bigint => BigInt(amount.replace('.', ''));
const decimals = (amount: string): number => (amount.split('.')[1] ?? '').length;

export function plainBook({ entries, accounts = {}, state: more = {}, entity = {}, range = year('2026') }: PlainBook): ExportedBook {
  const state = {
    name: 'Acme',
    baseCurrency: 'EUR',
    fx: 'untracked',
    rounding: 'half_even',
    timeZone: 'UTC',
    fiscalYearStart: '01-01',
    calendar: 'generated',
    fiscalYears: [year('2025'), year('2026'), year('2027')],
    journals: [{ journalCode: 'GENERAL', name: 'General journal', type: 'general' }],
    currencies: {},
    designated: {},
    entity: { legalName: 'Acme AS', registrationNumber: '732829320', country: 'NO', ...entity },
    ...more,
  } as unknown as BookState;
  const codes = [...new Set([...entries.flatMap(({ lines }) => lines.map(({ account }) => account)), ...Object.keys(accounts)])].sort();
  const chart = codes.map(
    (code): AccountAnswer => ({
      ...{ id: code, code, name: `Name of ${code}`, type: 'asset', normalSide: 'debit', postable: true, status: 'open' },
      mappings: [{ scheme: 'saf-t-no', category: 'RF-1167', code: '1920' }],
      ...accounts[code],
    }),
  );
  const days = range === 'all' ? { from: '1900-01-01', to: '2199-12-31' } : { from: range.from, to: range.to };
  const answers = entries.map(
    ({ date, description = 'text', lines, more: given }, index): EntryAnswer => ({
      ...{ id: entryIdOf(index + 1), position: index + 10, recordedAt: '2026-03-01T09:00:00.123456Z', userId: 'u-1' },
      ...{ journalCode: 'GENERAL', fiscalYear: date.slice(0, 4), period: 1, number: index + 1 },
      ...{ entryType: 'normal', entryMethod: 'manual', effectiveDate: date, description },
      lines: lines.map((line, place) => ({
        currency: state.baseCurrency,
        line: place + 1,
        accountId: line.account,
        code: line.account,
        ...line,
      })),
      ...given,
    }),
  );
  const within = answers.filter(({ effectiveDate }) => effectiveDate >= days.from && effectiveDate <= days.to);
  const yearFrom = `${days.from.slice(0, 4)}-01-01`;

  const sumsOf = (account: string, currency: string, isIn: (date: string) => boolean) => {
    const sums = { own: { debit: 0n, credit: 0n }, base: { debit: 0n, credit: 0n } };
    for (const { effectiveDate, lines } of answers)
      for (const line of lines) {
        if (line.account !== account || line.currency !== currency || !isIn(effectiveDate)) continue;
        sums.own[line.side] += digits(line.amount);
        sums.base[line.side] += digits(line.baseAmount);
      }
    return sums;
  };

  return {
    id: 'acme',
    position: 42,
    recordedAt: '2027-04-05T06:07:08.123456Z',
    state,
    ...(range === 'all' ? {} : { range: days }),
    async *accounts() {
      yield chart;
    },
    async *entries() {
      yield within;
    },
    async entriesById(ids) {
      return answers.filter(({ id }) => ids.includes(id));
    },
    async *entriesByJournal() {
      const journals = [...new Set(within.map(({ journalCode }) => journalCode))].sort();
      for (const journalCode of journals) yield { journalCode, entries: within.filter((entry) => entry.journalCode === journalCode) };
    },
    async balances(carry) {
      const rows = chart.flatMap((account) => {
        const lines = answers.filter(({ effectiveDate }) => effectiveDate <= days.to).flatMap((entry) => entry.lines);
        const scales = new Map(lines.filter((line) => line.account === account.code).map((line) => [line.currency, decimals(line.amount)]));
        const begins = carry === 'fiscalYear' && ['income', 'expense'].includes(account.type) ? yearFrom : '';
        return [...scales].map(([currency, scale]) => {
          const opening = sumsOf(account.code, currency, (date) => date >= begins && date < days.from);
          const movement = sumsOf(account.code, currency, (date) => date >= days.from && date <= days.to);
          const closing = sumsOf(account.code, currency, (date) => date >= begins && date <= days.to);
          return {
            ...{ account, currency, scale, opening: opening.own, movement: movement.own, closing: closing.own },
            ...{ baseOpening: opening.base, baseMovement: movement.base, baseClosing: closing.base },
          };
        });
      });
      const earlier = chart.filter(({ type }) => carry === 'fiscalYear' && ['income', 'expense'].includes(type));
      const currencies = [...new Set(rows.map(({ currency }) => currency))];
      const broughtForward = currencies
        .map((currency) => {
          const sums = earlier.map(({ code }) => sumsOf(code, currency, (date) => date < yearFrom));
          return {
            ...{ currency, scale: rows.find((row) => row.currency === currency)?.scale ?? 0 },
            net: sums.reduce((sum, { own }) => sum + own.debit - own.credit, 0n),
            baseNet: sums.reduce((sum, { base }) => sum + base.debit - base.credit, 0n),
          };
        })
        .filter(({ net, baseNet }) => net !== 0n || baseNet !== 0n);
      return { rows, broughtForward };
    },
    async counts() {
      const journals = [...new Set(within.map(({ journalCode }) => journalCode))].sort();
      return journals.map((journalCode) => {
        const numbers = within.filter((entry) => entry.journalCode === journalCode).map(({ number }) => number);
        return {
          journalCode,
          fiscalYear: '2026',
          entries: numbers.length,
          firstNumber: Math.min(...numbers),
          lastNumber: Math.max(...numbers),
        };
      });
    },
  };
}

/** An amount from one account to another. */
export const between = (debit: string, credit: string, amount: string, more: Partial<PlainLine> = {}): PlainLine[] => [
  { account: debit, side: 'debit', amount, ...more },
  { account: credit, side: 'credit', amount, ...more },
];

export async function textOf(content: AsyncIterable<string | Uint8Array>): Promise<string> {
  let whole = '';
  for await (const some of content) whole += String(some);
  return whole;
}

/** A book as the one file that a format makes of it. @throws Error with everything that the format cannot hold */
export async function writtenAs(format: ExportFormat, book: ExportedBook): Promise<string> {
  const problems = (await format.problems?.(book)) ?? [];
  if (problems.length > 0) throw new Error(problems.join('\n'));
  if (!('write' in format)) throw new Error('a format of several files');
  return textOf(format.write(book));
}

/** Texts that formats may take for something else. */
export const oddTexts = fc
  .array(
    fc.constantFrom(
      ...' \t\n\r|;,"\'<>&_xÄ€😀a1-',
      '\u2028',
      '\u0085',
      '\u0001',
      '\ufffe',
      ']]>',
      '_x0041_',
      '  ',
      '&amp;',
      '<!--',
      '\r\n',
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join('').normalize('NFC'));
