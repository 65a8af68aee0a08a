/**
 * The builders of reports as properties over random books: charts that are trees, with contra, header and memorandum accounts;
 * entries in several currencies over several years. Totals are summed here from the lines, one by one.
 */
import * as fc from 'fast-check';
import { type AccountType, type BookState, fiscalYearOf, type JournalEntryPosted, normalSideOf, type PostedLine, toMinor } from '#domain';
import type { AccountView } from '../projections/chart';
import { CashFlows, cashFlow, isFirstCashLine } from './cash-flow';
import { closingLines } from './closing';
import {
  type Asked,
  type Column,
  type ColumnSums,
  type CurrencyPart,
  converted,
  currenciesIn,
  oneCurrency,
  type Rates,
  type ReportInput,
  type Sum,
  zero,
} from './figures';
import { columnsOf } from './question';
import { balanceSheet, incomeStatement } from './statements';
import { trialBalance } from './trial-balance';
import { valuation } from './valuation';

const scales: Readonly<Record<string, number>> = { EUR: 2, USD: 2, JPY: 0, BTC: 8 };
const book: BookState = {
  name: 'Random',
  baseCurrency: 'EUR',
  fx: 'untracked',
  rounding: 'half_even',
  timeZone: 'UTC',
  fiscalYearStart: '04-01',
  version: 1,
  fiscalYears: [],
  calendar: 'generated',
  closedPeriods: [],
  journals: [],
  currencies: scales,
} as unknown as BookState;

const account = (code: string, type: AccountType, more: Partial<AccountView> & { contra?: true } = {}): AccountView => {
  const { contra, ...others } = more;
  const normal = normalSideOf(type);
  const normalSide = contra ? (normal === 'debit' ? 'credit' : 'debit') : normal;
  return { id: code, code, name: `Account ${code}`, type, normalSide, postable: true, status: 'open', ...others };
};
/** 1 is a header, 11 takes lines and has an account below it, 19 is contra; ids are codes. */
const chart: AccountView[] = [
  account('1', 'asset', { postable: false }),
  account('10', 'asset', { parentId: '1', subtype: 'cash' }),
  account('101', 'asset', { parentId: '10', subtype: 'cash' }),
  account('11', 'asset', { parentId: '1', cashFlow: 'investing' }),
  account('111', 'asset', { parentId: '11' }),
  account('19', 'asset', { parentId: '1', contra: true }),
  account('2', 'liability'),
  account('3', 'equity', { cashFlow: 'financing' }),
  account('39', 'equity', { parentId: '3', contra: true }),
  account('4', 'income', { postable: false }),
  account('40', 'income', { parentId: '4' }),
  account('5', 'expense'),
  account('51', 'expense', { parentId: '5' }),
  account('9', 'memorandum'),
  account('99', 'memorandum', { parentId: '9' }),
];
const onBalance = chart.filter(({ type, postable }) => type !== 'memorandum' && postable).map(({ id }) => id);
const offBalance = ['9', '99'];

interface Line {
  readonly account: string;
  readonly currency: string;
  /** Debit − credit, minor units. */
  readonly net: bigint;
  /** The same of the base amount; may have the other sign only where `net` is 0. */
  readonly base?: bigint;
}
interface Entry {
  readonly date: string;
  readonly lines: readonly Line[];
  readonly revaluation?: boolean;
}

const aDate = fc.integer({ min: 0, max: 1500 }).map((days) => new Date(Date.UTC(2022, 0, 1 + days)).toISOString().slice(0, 10));
const anEntryOn = (codes: readonly string[], currencies: readonly string[]): fc.Arbitrary<Entry> =>
  fc
    .record({
      date: aDate,
      currency: fc.constantFrom(...currencies),
      parts: fc.array(fc.tuple(fc.constantFrom(...codes), fc.bigInt({ min: -10_000_000n, max: 10_000_000n })), {
        minLength: 1,
        maxLength: 3,
      }),
      last: fc.constantFrom(...codes),
    })
    .map(({ date, currency, parts, last }) => {
      const sum = parts.reduce((total, [, net]) => total + net, 0n);
      const lines = [...parts, [last, -sum] as const].map(([code, net]) => ({ account: code, currency, net }));
      return { date, lines: lines.filter(({ net }) => net !== 0n) };
    });
const entriesIn = (...currencies: string[]) =>
  fc.array(fc.oneof({ weight: 8, arbitrary: anEntryOn(onBalance, currencies) }, { weight: 1, arbitrary: anEntryOn(offBalance, ['EUR']) }), {
    maxLength: 40,
  });
/**
 * Entries of a book with fx=tracked: lines in two currencies that balance in each, and in base amounts; at times lines that move
 * base amounts alone, as a revaluation does.
 */
const trackedEntries = fc.array(
  fc
    .record({
      date: aDate,
      parts: fc.array(
        fc.tuple(
          fc.constantFrom(...onBalance),
          fc.constantFrom('USD', 'JPY'),
          fc.bigInt({ min: 0n, max: 10_000n }),
          fc.bigInt({ min: 0n, max: 10_000n }),
        ),
        {
          minLength: 1,
          maxLength: 3,
        },
      ),
      others: fc.tuple(fc.constantFrom(...onBalance), fc.constantFrom(...onBalance)),
      revaluation: fc.boolean(),
    })
    .map(({ date, parts, others, revaluation }): Entry => {
      const lines = parts.flatMap(([account, currency, net, base], index) => [
        { account, currency, net: revaluation ? 0n : net, base },
        { account: others[index % 2] as string, currency, net: revaluation ? 0n : -net, base: -base },
      ]);
      return { date, lines, revaluation };
    }),
  { maxLength: 30 },
);
const aRange = fc.tuple(aDate, aDate).map(([a, b]) => (a < b ? { from: a, to: b } : { from: b, to: a }));

const usual: Asked = { carry: 'fiscalYear', closing: 'include', dimensions: [], includeZero: false };

/** The input of a report, summed from the lines. */
function inputOf(
  entries: readonly Entry[],
  columns: readonly Column[],
  asked: Partial<Asked> = {},
  fx: BookState['fx'] = 'untracked',
): ReportInput {
  const parts = new Map<string, CurrencyPart[]>();
  for (const { id } of chart) {
    const all = entries.flatMap(({ date, lines }) => lines.filter((line) => line.account === id).map((line) => ({ ...line, date })));
    const found = [...new Set(all.map(({ currency }) => currency))].sort().map((currency): CurrencyPart => {
      const lines = all.filter((line) => line.currency === currency);
      const each = (amountOf: (line: Line) => bigint): ColumnSums[] =>
        columns.map(({ from, to, yearFrom = '' }) => ({
          yearBefore: added(lines.filter(({ date }) => date < yearFrom).map(amountOf)),
          before: added(lines.filter(({ date }) => date < from).map(amountOf)),
          upTo: added(lines.filter(({ date }) => date <= to).map(amountOf)),
        }));
      return { currency, scale: scales[currency] as number, own: each(({ net }) => net), base: each(({ base = 0n }) => base) };
    });
    if (found.length > 0) parts.set(id, found);
  }
  const place = { bookId: 'random', position: 7, recordedAt: '2026-01-01T00:00:00.000000Z', book: { ...book, fx }, chart };
  return { ...place, columns, asked: { ...usual, ...asked }, parts, leftOut: new Set() };
}

const added = (nets: readonly bigint[]): Sum => ({
  debit: sum(nets.filter((net) => net > 0n)),
  credit: -sum(nets.filter((net) => net < 0n)),
});

const minor = (text: string, currency = 'EUR'): bigint => {
  const scale = scales[currency] as number;
  return text.startsWith('-') ? -(toMinor(text.slice(1), scale) as bigint) : (toMinor(text, scale) as bigint);
};
const sum = (amounts: readonly bigint[]): bigint => amounts.reduce((total, amount) => total + amount, 0n);
const check = <T extends [unknown, ...unknown[]]>(property: fc.IProperty<T>): void => fc.assert(property, { numRuns: 150 });
const ranges = (asked: { from: string; to: string }, carry: Asked['carry'] = 'fiscalYear'): Column[] =>
  columnsOf(book, asked, 'range', carry);
const dates = (asOf: string, carry: Asked['carry'] = 'fiscalYear'): Column[] => columnsOf(book, { asOf }, 'date', carry);

describe('a trial balance', () => {
  it('has equal debits and credits in every currency, at opening, in the range and at closing (I8), whatever is carried', () => {
    check(
      fc.property(
        entriesIn('EUR', 'JPY', 'BTC'),
        aRange,
        fc.constantFrom<Asked['carry']>('fiscalYear', 'none'),
        (entries, range, carry) => {
          const report = trialBalance(inputOf(entries, ranges(range, carry), { carry }), { kind: 'each' });
          expect(report.balanced).toBe(true);
          for (const { currency, figures } of report.totals) {
            const [one] = figures;
            expect([one?.opening, one?.closing, one?.net].map((text) => minor(text ?? '', currency))).toEqual([0n, 0n, 0n]);
            expect(one?.debit).toBe(one?.credit);
          }
        },
      ),
    );
  });

  it('adds up: the accounts at the top and what is brought forward make the totals, at every depth', () => {
    check(
      fc.property(entriesIn('EUR', 'JPY'), aRange, fc.integer({ min: 1, max: 4 }), (entries, range, depth) => {
        const whole = trialBalance(inputOf(entries, ranges(range)), { kind: 'each' });
        const report = trialBalance(inputOf(entries, ranges(range), { depth }), { kind: 'each' });
        expect(report.rows.map(({ own: _own, ...row }) => row)).toEqual(
          whole.rows.filter(({ level }) => level <= depth).map(({ own: _own, ...row }) => row),
        );
        expect(report.totals).toEqual(whole.totals);
        for (const { currency, figures } of report.totals) {
          const of = (rows: readonly { currency: string; figures: readonly Record<string, string>[] }[] = [], name = ''): bigint[] =>
            rows.filter((row) => row.currency === currency).map((row) => minor(row.figures[0]?.[name] ?? '', currency));
          for (const name of ['opening', 'debit', 'credit', 'closing']) {
            const top = of(report.rows.filter(({ level }) => level === 1) as never, name);
            expect(sum([...top, ...of(report.retainedEarnings as never, name)])).toBe(minor((figures[0] as never)[name], currency));
          }
        }
      }),
    );
  });

  it('opens where the one before it closed (I13); over the end of a year what income and expense had is brought forward', () => {
    check(
      fc.property(entriesIn('EUR'), aRange, aDate, (entries, { from, to }, split) => {
        fc.pre(from < split && split <= to);
        const eve = new Date(Date.parse(split) - 86_400_000).toISOString().slice(0, 10);
        const asked = { includeZero: true };
        const before = trialBalance(inputOf(entries, ranges({ from, to: eve }), asked), { kind: 'each' });
        const after = trialBalance(inputOf(entries, ranges({ from: split, to }), asked), { kind: 'each' });
        const sameYear = before.columns[0]?.yearFrom === after.columns[0]?.yearFrom;
        const closing = new Map(before.rows.map((row) => [row.account, minor(row.figures[0]?.closing ?? '')]));
        for (const { account: code, type, figures } of after.rows) {
          if (type === 'income' || type === 'expense' ? !sameYear : false) continue;
          expect([code, minor(figures[0]?.opening ?? '')]).toEqual([code, closing.get(code)]);
        }
        const brought = ({ retainedEarnings }: typeof before): bigint => minor(retainedEarnings?.[0]?.figures[0]?.opening ?? '0');
        const result = before.rows.filter(({ type, level }) => (type === 'income' || type === 'expense') && level === 1);
        // Nothing is zeroed inside a range: what accrued from `from` on moves as a whole when a year has begun since.
        const moved = sameYear ? 0n : sum(result.map((row) => minor(row.figures[0]?.closing ?? '')));
        if (sameYear || fiscalYearOf(book, split)?.from === split) expect(brought(after)).toBe(brought(before) + moved);
      }),
    );
  });
});

describe('a balance sheet', () => {
  it('balances at every date, and its result is that of the income statement of the year', () => {
    check(
      fc.property(entriesIn('EUR'), aDate, (entries, asOf) => {
        const input = inputOf(entries, dates(asOf));
        const sheet = balanceSheet(input, oneCurrency(input, {}));
        expect([sheet.balanced, sheet.difference]).toEqual([true, ['0.00']]);
        const range = { from: sheet.columns[0]?.yearFrom as string, to: asOf };
        const year = inputOf(entries, ranges(range, 'none'));
        const statement = incomeStatement(year, oneCurrency(year, {}));
        expect(sheet.sections[2]?.computed?.find(({ row }) => row === 'result')?.amounts).toEqual(statement.result);
        // And both are the trial balance of the year, in other signs.
        const trial = trialBalance(inputOf(entries, ranges(range)), { kind: 'each' });
        const top = (type: string): bigint =>
          sum(trial.rows.filter((row) => row.type === type && row.level === 1).map((row) => minor(row.figures[0]?.closing ?? '')));
        expect(minor(sheet.assets[0] as string)).toBe(top('asset'));
        expect(minor(statement.result[0] as string)).toBe(-top('income') - top('expense'));
      }),
    );
  });

  it('balances with carry=none too, where all that income and expense ever had is one row', () => {
    check(
      fc.property(entriesIn('EUR'), aDate, (entries, asOf) => {
        const input = inputOf(entries, dates(asOf, 'none'), { carry: 'none' });
        const { balanced, sections } = balanceSheet(input, oneCurrency(input, {}));
        expect([balanced, sections[2]?.computed?.map(({ row }) => row)]).toEqual([true, ['result']]);
      }),
    );
  });

  it('shows contra accounts as negative, and subtracts them in their parent', () => {
    const entries = [
      { date: '2026-01-01', lines: [on('10', 500n), on('3', -500n)] },
      { date: '2026-01-02', lines: [on('19', -120n), on('39', 120n)] },
    ];
    const input = inputOf(entries, dates('2026-01-31'));
    const { sections } = balanceSheet(input, oneCurrency(input, {}));
    expect(sections.map(({ rows }) => rows.map(({ account: code, amounts }) => `${code} ${amounts}`))).toEqual([
      ['1 3.80', '10 5.00', '19 -1.20'],
      [],
      ['3 3.80', '39 -1.20'],
    ]);
    expect(sections[2]?.rows[0]?.own).toEqual(['5.00']);
  });

  it('keeps memorandum accounts in a section of their own and in no total', () => {
    const entries = [
      { date: '2026-01-01', lines: [on('10', 500n), on('3', -500n)] },
      { date: '2026-01-01', lines: [on('99', 70n), on('9', -70n)] },
    ];
    const input = inputOf(entries, dates('2026-01-31'));
    const sheet = balanceSheet(input, oneCurrency(input, {}));
    expect([sheet.assets, sheet.balanced]).toEqual([['5.00'], true]);
    expect(sheet.memorandum).toMatchObject([{ account: '99', level: 2, currency: 'EUR', amounts: ['0.70'] }]);
  });

  it('says why it does not balance when an entry is half on memorandum accounts', () => {
    const entries = [{ date: '2026-01-01', lines: [on('10', 500n), on('9', -500n)] }];
    const input = inputOf(entries, dates('2026-01-31'));
    const sheet = balanceSheet(input, oneCurrency(input, {}));
    expect(sheet).toMatchObject({ balanced: false, difference: ['5.00'], memorandum: [{ account: '9', amounts: ['-5.00'] }] });
    expect(sheet.unbalanced).toMatch(/^as of 2026-01-31 assets are 5.00, liabilities and equity 0.00, difference 5.00 EUR: .*memorandum/);
    const trial = trialBalance(inputOf(entries, ranges({ from: '2026-01-01', to: '2026-01-31' })), { kind: 'each' });
    expect(trial).toMatchObject({ balanced: false, unbalanced: expect.stringContaining('memorandum') });
  });
});

const on = (code: string, net: bigint, currency = 'EUR'): Line => ({ account: code, currency, net });

describe('one currency', () => {
  const entries = [
    { date: '2026-01-01', lines: [on('10', 500n), on('3', -500n)] },
    { date: '2026-01-02', lines: [on('10', 300n, 'USD'), on('40', -300n, 'USD')] },
  ];
  const input = inputOf(entries, dates('2026-01-31'));
  const ratesOf = (values: Record<string, string>): Rates => ({
    type: 'closing',
    date: '2026-01-31',
    rateOf: (from) => (values[from] === undefined ? undefined : { value: values[from], date: '2026-01-31', source: 'spec' }),
  });
  const codeOf = (work: () => unknown): unknown => {
    try {
      return work();
    } catch (error) {
      return [(error as { code: string }).code, (error as { details: { currencies: unknown } }).details.currencies];
    }
  };

  it('is refused with the currencies when there are several and none is named', () => {
    expect(codeOf(() => oneCurrency(input, {}))).toEqual(['report_currency_needed', ['EUR', 'USD']]);
    expect(codeOf(() => oneCurrency(input, { in: 'EUR', rates: [ratesOf({})] }))).toEqual(['report_currency_needed', ['USD']]);
  });

  it('is the only one there is, the one asked for, the base of a book that tracks it, or converted', () => {
    expect(oneCurrency(inputOf(entries.slice(0, 1), dates('2026-01-31')), {})).toMatchObject({ kind: 'lines', currency: 'EUR' });
    expect(oneCurrency(inputOf([], dates('2026-01-31')), {})).toMatchObject({ kind: 'lines', currency: 'EUR' });
    expect(oneCurrency({ ...input, asked: { ...usual, currency: 'USD' } }, {})).toMatchObject({ kind: 'lines', currency: 'USD' });
    expect(oneCurrency({ ...input, book: { ...book, fx: 'tracked' } }, {})).toMatchObject({ kind: 'base', currency: 'EUR' });
    const sheet = balanceSheet(input, oneCurrency(input, { in: 'EUR', rates: [ratesOf({ USD: '0.905' })] }));
    expect(sheet).toMatchObject({
      currency: 'EUR',
      basis: 'converted',
      rates: [{ column: 0, from: 'USD', to: 'EUR', type: 'closing', value: '0.905', date: '2026-01-31', source: 'spec' }],
      assets: ['7.72'],
    });
  });

  it('is not asked of memorandum accounts, which count in units of their own', () => {
    const hours = inputOf(
      [...entries.slice(0, 1), { date: '2026-01-02', lines: [on('9', 5n, 'BTC'), on('99', -5n, 'BTC')] }],
      dates('2026-01-31'),
    );
    expect(currenciesIn(hours)).toEqual(['EUR']);
    expect(balanceSheet(hours, oneCurrency(hours, {})).memorandum).toMatchObject([
      { account: '99', currency: 'BTC', amounts: ['-0.00000005'] },
    ]);
  });

  it('balances when converted, each amount rounded once, and shows what rounding leaves over in a row of its own', () => {
    const aRate = fc.tuple(fc.bigInt({ min: 1n, max: 10n ** 9n }), fc.integer({ min: 0, max: 9 })).map(([units, decimals]) => {
      const digits = String(units).padStart(decimals + 1, '0');
      return decimals === 0 ? digits : `${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`;
    });
    check(
      fc.property(entriesIn('EUR', 'JPY', 'BTC'), aRange, aRate, aRate, (all, range, yen, coin) => {
        const rates = ratesOf({ JPY: yen, BTC: coin });
        const asOf = inputOf(all, dates(range.to));
        const sheet = balanceSheet(asOf, oneCurrency(asOf, { in: 'EUR', rates: [rates] }));
        expect([sheet.balanced, sheet.difference]).toEqual([true, ['0.00']]);
        // Sections are sums of what their accounts show.
        for (const { rows, computed = [], total } of sheet.sections) {
          const shown = [...rows.filter(({ level }) => level === 1), ...computed].map(({ amounts: [amount] }) => minor(amount ?? ''));
          expect(sum(shown)).toBe(minor(total[0] ?? ''));
        }
        const trialInput = inputOf(all, ranges(range));
        const trial = trialBalance(trialInput, oneCurrency(trialInput, { in: 'EUR', rates: [rates] }));
        expect(trial.balanced).toBe(true);
        const worth = inputOf(all, dates(range.to, 'none'), { carry: 'none' });
        const presentation = converted(worth, 'EUR', currenciesIn(worth), [rates]) as Parameters<typeof valuation>[1];
        // Entries balance, so what all of them are worth is nothing, exactly.
        expect(valuation(worth, presentation)).toMatchObject({ total: '0', rounded: '0.00' });
      }),
    );
  });
});

describe('a book that tracks its base currency', () => {
  it('has statements that balance in base amounts, also where these moved without an amount', () => {
    check(
      fc.property(trackedEntries, aRange, (entries, range) => {
        const asOf = inputOf(entries, dates(range.to), {}, 'tracked');
        const sheet = balanceSheet(asOf, oneCurrency(asOf, {}));
        expect([sheet.basis, sheet.currency, sheet.balanced]).toEqual(['base', 'EUR', true]);
        const base = (codes: readonly string[]): bigint =>
          sum(
            entries
              .filter(({ date }) => date <= range.to)
              .flatMap(({ lines }) => lines.filter(({ account: code }) => codes.includes(code)).map((line) => line.base ?? 0n)),
          );
        expect(minor(sheet.assets[0] ?? '')).toBe(base(['10', '101', '11', '111', '19']));
        const trialInput = inputOf(entries, ranges(range), {}, 'tracked');
        const trial = trialBalance(trialInput, oneCurrency(trialInput, { in: 'EUR' }));
        expect([trial.basis, trial.balanced, trial.totals[0]?.figures[0]?.opening ?? '0.00']).toEqual(['base', true, '0.00']);
      }),
    );
  });

  it('has a cash-flow statement in base amounts, in which revaluations are no flows', () => {
    check(
      fc.property(trackedEntries, aRange, (entries, range) => {
        const input = inputOf(entries, ranges(range, 'none'), {}, 'tracked');
        const flows = new CashFlows(input, 1);
        const cash = new Set(['10', '101']);
        let revalued = 0n;
        for (const { date, lines, revaluation = false } of entries) {
          if (date < range.from || date > range.to) continue;
          const posted = postedOf(date, lines, revaluation ? 'revaluation' : 'normal');
          for (const { accountId, line } of posted.lines)
            if (cash.has(accountId) && isFirstCashLine(posted, line, cash)) flows.add(0, posted);
          if (revaluation) revalued += sum(lines.filter(({ account: code }) => cash.has(code)).map(({ base = 0n }) => base));
        }
        const report = cashFlow(input, oneCurrency(input, {}), flows);
        const totals = report.sections.map(({ total }) => minor(total[0] ?? ''));
        expect(sum(totals)).toBe(minor(report.change[0] ?? ''));
        expect(totals.at(-1)).toBe(revalued);
      }),
    );
  });

  it('is closed in base amounts too', () => {
    check(
      fc.property(trackedEntries, aRange, (entries, range) => {
        const lines = closingLines(inputOf(entries, ranges(range, 'none'), {}, 'tracked'), '3');
        const signed = (amount: string, side: string, currency: string): bigint => (side === 'debit' ? 1n : -1n) * minor(amount, currency);
        const closing = lines.map(({ account: code, side, amount, currency, baseAmount = '0' }) => ({
          ...on(code, signed(amount, side, currency), currency),
          base: signed(baseAmount, side, 'EUR'),
        }));
        expect(sum(closing.map(({ base }) => base))).toBe(0n);
        const after = inputOf([...entries, { date: range.to, lines: closing }], ranges(range, 'none'), {}, 'tracked');
        expect(closingLines(after, '3')).toEqual([]);
      }),
    );
  });
});

describe('closing lines', () => {
  it('bring income and expense of the year to zero, and balance in each currency', () => {
    check(
      fc.property(entriesIn('EUR', 'JPY', 'BTC'), aRange, (entries, range) => {
        const lines = closingLines(inputOf(entries, ranges(range, 'none')), '3');
        const net = (currency: string): bigint =>
          sum(
            lines
              .filter((line) => line.currency === currency)
              .map((line) => (line.side === 'debit' ? 1n : -1n) * minor(line.amount, currency)),
          );
        expect(['EUR', 'JPY', 'BTC'].map(net)).toEqual([0n, 0n, 0n]);
        const closing = lines.map(({ account: code, currency, side, amount }) =>
          on(code, (side === 'debit' ? 1n : -1n) * minor(amount, currency), currency),
        );
        const after = inputOf([...entries, { date: range.to, lines: closing }], ranges(range, 'none'));
        expect(closingLines(after, '3')).toEqual([]);
      }),
    );
  });

  it('carry base amounts where a book tracks them, on lines of their own where the signs differ', () => {
    const sums = (upTo: Sum) => ({ yearBefore: zero, before: zero, upTo });
    const parts = new Map([
      ['5', [{ currency: 'USD', scale: 2, own: [sums({ debit: 100n, credit: 90n })], base: [sums({ debit: 80n, credit: 85n })] }]],
    ]);
    const input: ReportInput = {
      ...inputOf([], ranges({ from: '2026-04-01', to: '2027-03-31' }, 'none')),
      book: { ...book, fx: 'tracked' },
      parts,
    };
    expect(closingLines(input, '3')).toEqual([
      { account: '5', side: 'credit', amount: '0.10', currency: 'USD', baseAmount: '0.00' },
      { account: '5', side: 'debit', amount: '0.00', currency: 'USD', baseAmount: '0.05' },
      { account: '3', side: 'debit', amount: '0.10', currency: 'USD', baseAmount: '0.00' },
      { account: '3', side: 'credit', amount: '0.00', currency: 'USD', baseAmount: '0.05' },
    ]);
  });
});

describe('a cash-flow statement', () => {
  it('explains the change of cash from its entries alone, in the lines of one currency and converted', () => {
    check(
      fc.property(entriesIn('EUR', 'JPY'), aRange, (entries, range) => {
        const columns = ranges(range, 'none');
        const input = inputOf(entries, columns);
        const flows = new CashFlows(input, 1);
        const cash = new Set(['10', '101']);
        for (const { date, lines } of entries) {
          const posted = postedOf(date, lines);
          if (date < range.from || date > range.to) continue;
          for (const { accountId, line } of posted.lines)
            if (cash.has(accountId) && isFirstCashLine(posted, line, cash)) flows.add(0, posted);
        }
        const only = { kind: 'lines', currency: 'EUR', scale: 2 } as const;
        const report = cashFlow(input, only, flows);
        const [opening, change, closing] = [report.opening, report.change, report.closing].map(([amount]) => minor(amount ?? ''));
        expect((opening ?? 0n) + (change ?? 0n)).toBe(closing);
        expect(sum(report.sections.map(({ total }) => minor(total[0] ?? '')))).toBe(change);
        expect(report.sections.flatMap(({ rows }) => rows.map(({ account: code }) => code)).filter((code) => cash.has(code))).toEqual([]);
        const rates: Rates = { type: 'closing', date: range.to, rateOf: () => ({ value: '0.0061', date: range.to, source: 'spec' }) };
        const both = cashFlow(input, oneCurrency(input, { in: 'EUR', rates: [rates] }), flows);
        const parts = [...both.sections.map(({ total }) => total[0]), both.rounding?.[0]].map((amount) => minor(amount ?? ''));
        expect(sum(parts)).toBe(minor(both.change[0] ?? ''));
      }),
    );
  });
});

function postedOf(date: string, lines: readonly Line[], entryType = 'normal'): JournalEntryPosted {
  const text = (amount: bigint, scale: number): string => {
    const digits = String(amount).padStart(scale + 1, '0');
    return scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
  };
  const size = (amount: bigint): bigint => (amount < 0n ? -amount : amount);
  const posted = lines.map(({ account: code, currency, net, base }, index): PostedLine => {
    const amount = text(size(net), scales[currency] as number);
    const side = (net === 0n ? (base ?? 0n) : net) > 0n ? 'debit' : 'credit';
    return {
      line: index + 1,
      accountId: code,
      code,
      side,
      amount,
      currency,
      ...(base === undefined ? {} : { baseAmount: text(size(base), 2) }),
    };
  });
  return { effectiveDate: date, entryType, lines: posted } as unknown as JournalEntryPosted;
}

describe('columns', () => {
  const calendar = { ...book, fiscalYears: [fiscalYearOf(book, '2026-05-01') as NonNullable<ReturnType<typeof fiscalYearOf>>] };

  it('are named by dates, fiscal years and periods; a generated calendar goes on as far as it is asked for', () => {
    const columns = columnsOf(calendar, { period: '2027/1', compare: '2027,2031,2199/12,2026-12-15..2027-01-15' }, 'range', 'fiscalYear');
    expect(columns).toEqual([
      { from: '2026-04-01', to: '2026-04-30', yearFrom: '2026-04-01' },
      { from: '2026-04-01', to: '2027-03-31', yearFrom: '2026-04-01' },
      { from: '2030-04-01', to: '2031-03-31', yearFrom: '2030-04-01' },
      { from: '2199-03-01', to: '2199-03-31', yearFrom: '2198-04-01' },
      { from: '2026-12-15', to: '2027-01-15', yearFrom: '2026-04-01' },
    ]);
    expect(columnsOf(calendar, { asOf: '1900-01-01', compare: '2027' }, 'date', 'fiscalYear')).toEqual([
      { from: '1899-04-01', to: '1900-01-01', yearFrom: '1899-04-01' },
      { from: '2026-04-01', to: '2027-03-31', yearFrom: '2026-04-01' },
    ]);
  });
});
