/** Entries: posting, numbering, reversal and correction, and the arithmetic that every accepted entry keeps (I1, I2, I9, I15). */
import * as fc from 'fast-check';
import {
  aBook,
  account,
  atoms,
  calendarYear,
  closed,
  credit,
  debit,
  type GivenEvent,
  given,
  history,
  NaiveBook,
  onAccount,
  onBook,
  post,
} from '../../../test/support/given-when-then';
import type { AccountPosted } from './account';
import type { BookState } from './book';
import { LedgerError } from './errors';
import { type CorrectEntry, type JournalEntryPosted, normaliseLines, type PostEntry, type ReverseEntry } from './journal';
import { fromMinor } from './money';

const income = { type: 'income', normalSide: 'credit' };
const book: GivenEvent[] = [...aBook(), onBook('CurrencyEnabled', { code: 'EUR', scale: 2 }), account('CASH'), account('SALES', income)];
const sale = [debit('CASH', '100'), credit('SALES', '100')];
const reverse = (entryId: string, more: Partial<ReverseEntry> = {}): ReverseEntry => ({
  type: 'ReverseEntry',
  entryId,
  reason: 'entered twice',
  ...more,
});
const correct = (entryId: string, lines: PostEntry['lines'], more: Partial<CorrectEntry> = {}): CorrectEntry => ({
  type: 'CorrectEntry',
  entryId,
  reason: 'wrong amount',
  lines,
  ...more,
});
const posted = (events: readonly { type: string; data: object }[]): JournalEntryPosted =>
  events.find(({ type }) => type === 'JournalEntryPosted')?.data as JournalEntryPosted;

describe('posting', () => {
  it('records the entry and one account event per line, with the account’s totals so far (I15)', () => {
    const leg = { entryId: 'new', entryPosition: 7, effectiveDate: '2026-03-01', amount: '100.00', currency: 'EUR' };
    const events = given(book)
      .when(post(sale, { reason: 'why' }))
      .thenEvents(
        {
          streamId: 'new',
          type: 'JournalEntryPosted',
          data: {
            journalCode: 'GENERAL',
            fiscalYear: '2026',
            period: 3,
            number: 1,
            entryType: 'normal',
            entryMethod: 'interface',
            effectiveDate: '2026-03-01',
            description: 'Sale',
            lines: [
              { line: 1, accountId: 'cash', code: 'CASH', side: 'debit', amount: '100.00', currency: 'EUR' },
              { line: 2, accountId: 'sales', code: 'SALES', side: 'credit', amount: '100.00', currency: 'EUR' },
            ],
          },
        },
        onAccount('cash', 'AccountDebited', { ...leg, line: 1, totalDebit: '100.00', totalCredit: '0.00' }),
        onAccount('sales', 'AccountCredited', { ...leg, line: 2, totalDebit: '0.00', totalCredit: '100.00' }),
      );
    expect(events.map(({ version, causedBy }) => [version, causedBy])).toEqual([
      [1, undefined],
      [2, 0],
      [2, 0],
    ]);
  });

  it('stores every optional member as it was given', () => {
    const entry = {
      requestedDate: '2026-02-28',
      reference: 'INV-42',
      document: { type: 'invoice', number: '42', date: '2026-02-27', uri: 'https://x', sha256: 'ab' },
      entryType: 'adjusting',
      entryMethod: 'import',
      source: { system: 'shop', id: '1', original: { journal: 'S', number: '7', enteredBy: 'u1', enteredAt: '2026-02-27T10:00:00Z' } },
      links: [{ rel: 'settles', entryId: 'e0' }],
      metadata: { a: [1, { b: true }] },
    } as const;
    const extras = {
      rate: { value: '1.0875', date: '2026-02-27', source: 'ECB' },
      description: 'text',
      party: { id: 'C-1', kind: 'customer' },
      dimensions: [{ key: 'costCentre', value: '4711' }],
      tax: [{ code: 'DE-19', base: '84.03', amount: '15.97' }],
      quantity: { value: '12.5', unit: 'kg' },
      dueDate: '2026-03-31',
      valueDate: '2026-03-02',
      reference: 'INV-42/1',
      origin: 'allocation',
    };
    const events = given(book)
      .when(post([debit('CASH', '100', 'EUR', { ...extras, baseAmount: '100' }), credit('SALES', '100', 'EUR', extras)], entry))
      .thenAccepted();
    expect(posted(events)).toMatchObject(entry);
    expect(posted(events).lines).toMatchObject([{ ...extras, baseAmount: '100.00' }, extras]);
  });

  it('lets one account have several lines, with totals that run from line to line', () => {
    const events = given(book)
      .when(post([debit('CASH', '60'), debit('CASH', '50'), credit('CASH', '10'), credit('SALES', '100')]))
      .thenAccepted();
    const legs = events.filter(({ streamId }) => streamId === 'cash');
    expect(
      legs.map(({ version, type, data }) => [version, type, (data as AccountPosted).totalDebit, (data as AccountPosted).totalCredit]),
    ).toEqual([
      [2, 'AccountDebited', '60.00', '0.00'],
      [3, 'AccountDebited', '110.00', '0.00'],
      [4, 'AccountCredited', '110.00', '10.00'],
    ]);
  });

  it.each([
    ['to be a reversal', { entryType: 'reversal' }, 'entryType'],
    ['to reverse another', { links: [{ rel: 'reverses', entryId: 'e1' }] }, 'links.0.rel'],
    ['to correct another', { links: [{ rel: 'corrects', entryId: 'e1' }] }, 'links.0.rel'],
  ] as const)('may not claim %s, unless it is taken over from other books', (_, claim, member) => {
    given(book).when(post(sale, claim)).thenRefused('malformed', { member });
    given(book)
      .when(post(sale, { ...claim, entryMethod: 'import' }))
      .thenAccepted();
  });

  it('balances each currency for itself', () => {
    const lines = [debit('CASH', '1'), credit('SALES', '1'), debit('CASH', '500', 'JPY'), credit('SALES', '500', 'JPY')];
    given(book).when(post(lines)).thenAccepted();
    const refusal = given(book)
      .when(post([debit('CASH', '100', 'EUR'), credit('SALES', '100', 'USD')]))
      .thenRefused('unbalanced', { currency: 'EUR', debit: '100.00', credit: '0.00', difference: '100.00' });
    expect(refusal.message).toBe('debits 100.00, credits 0.00, difference 100.00 EUR');
  });

  it('enables currencies and defines fiscal years at first use, in the same unit and in front of the entry', () => {
    const events = given(book)
      .when(
        post([debit('CASH', '500', 'JPY'), credit('SALES', '500', 'JPY'), debit('CASH', '1'), credit('SALES', '1')], {
          effectiveDate: '2027-01-01',
        }),
      )
      .thenAccepted();
    expect(events.slice(0, 3).map(({ type, streamId, version }) => [type, streamId, version])).toEqual([
      ['FiscalYearDefined', 'book', 5],
      ['CurrencyEnabled', 'book', 6],
      ['JournalEntryPosted', 'new', 1],
    ]);
    expect(events[0]?.data).toEqual(calendarYear(2027).data);
    expect(events[1]?.data).toEqual({ code: 'JPY', scale: 0 });
    const later = history(book, [post(sale, { effectiveDate: '2027-01-01' }), { id: 'e1' }]);
    expect(
      given(later)
        .when(post(sale, { effectiveDate: '2027-12-31' }))
        .thenAccepted(),
    ).toHaveLength(3);
  });

  it('writes amounts with the decimals of their currency', () => {
    const lines = [debit('CASH', '1.5', 'BHD'), credit('SALES', '1.50000', 'BHD')];
    expect(posted(given(book).when(post(lines)).thenAccepted()).lines.map(({ amount }) => amount)).toEqual(['1.500', '1.500']);
  });

  it('takes 0 only on a line with a base amount, tax data or a quantity (I2)', () => {
    const zero = (extras: object) => given(book).when(post([debit('CASH', '0', 'EUR', extras), credit('SALES', '0.00', 'EUR', extras)]));
    zero({}).thenRefused('amount_range', { line: 1 });
    zero({ description: 'nothing' }).thenRefused('amount_range');
    zero({ tax: [] }).thenRefused('amount_range');
    zero({ baseAmount: '0' }).thenAccepted();
    zero({ tax: [{ code: 'DE-0', base: '10', amount: '0' }] }).thenAccepted();
    zero({ quantity: { value: '3', unit: 'kg' } }).thenAccepted();
  });

  it('takes amounts below 10^30 minor units, and totals below 10^38 (I2)', () => {
    const most = fromMinor(10n ** 30n - 1n, 2);
    given(book)
      .when(post([debit('CASH', most), credit('SALES', most)]))
      .thenAccepted();
    const over = fromMinor(10n ** 30n, 2);
    given(book)
      .when(post([debit('CASH', '1'), credit('SALES', over)]))
      .thenRefused('amount_range', { line: 2 });
    const full = onAccount('cash', 'AccountDebited', {
      ...{ entryId: 'e0', entryPosition: 1, line: 1, effectiveDate: '2026-01-01', amount: '1.00', currency: 'EUR' },
      ...{ totalDebit: fromMinor(10n ** 38n - 100n, 2), totalCredit: '0.00' },
    });
    const balanced = [debit('CASH', '0.99'), credit('SALES', '0.99')];
    // The harness would add the totals up anew; so the totals' limit is looked at from the refused side only.
    given(book, full)
      .when(post([debit('CASH', '1'), credit('SALES', '1')]))
      .thenRefused('amount_range');
    expect(() => given(book, full).when(post(balanced)).thenAccepted()).toThrow('I15');
  });

  it('refuses an account twice in one entry as often as it is wrong, telling the first line', () => {
    given(book)
      .when(post([debit('CASH', '1'), debit('X', '1'), credit('Y', '2')]))
      .thenRefused('account_unknown', { account: 'X', line: 2 });
  });

  it.each(['2026-02-29', '1899-12-31', '2200-01-01', 'today', ''])('refuses the date %j', (effectiveDate) => {
    given(book).when(post(sale, { effectiveDate })).thenRefused('date_invalid', { member: 'effectiveDate' });
  });

  it.each(['1e3', '-1', '+1', '01', '.5', '5.', '1.0.0', ' 1', '', '٣', '1,00', 'NaN'])('refuses the amount %j', (amount) => {
    const wrong = post([debit('CASH', amount), credit('SALES', amount)]);
    given(book).when(wrong).thenRefused('amount_format', { member: 'lines.0.amount' });
    // Also after the command was normalised, as the service does before it is decided (I6).
    given(book).when(normaliseLines(wrong)).thenRefused('amount_format', { member: 'lines.0.amount' });
  });
});

describe('a book that tracks exchange rates', () => {
  const tracked: GivenEvent[] = [...aBook({ fx: 'tracked' }), account('CASH'), account('BANK'), account('FX', income)];
  const at = (amount: string, baseAmount?: string, currency = 'USD') => [amount, currency, { baseAmount }] as const;

  it('balances base amounts too (I1)', () => {
    given(tracked)
      .when(post([debit('CASH', ...at('100', '92.50')), credit('BANK', ...at('100', '92.50'))]))
      .thenAccepted();
    const refusal = given(tracked)
      .when(post([debit('CASH', ...at('100', '92.50')), credit('BANK', ...at('100', '92.40'))]))
      .thenRefused('unbalanced', { currency: 'EUR', debit: '92.50', credit: '92.40', difference: '0.10' });
    expect(refusal.message).toBe('in base currency debits 92.50, credits 92.40, difference 0.10 EUR');
  });

  it('counts lines in the base currency with their own amount', () => {
    const lines = [debit('CASH', ...at('100', '92.50')), credit('BANK', ...at('100', '90')), credit('FX', ...at('0', '2.5'))];
    given(tracked).when(post(lines)).thenAccepted();
    given(tracked)
      .when(post([debit('CASH', '10'), credit('BANK', '10', 'EUR', { baseAmount: '10.0' })]))
      .thenAccepted();
  });

  it('tells what is unbalanced in a currency before what is in base', () => {
    const refusal = given(tracked)
      .when(post([debit('CASH', ...at('100', '92')), credit('BANK', ...at('90', '90'))]))
      .thenRefused('unbalanced', { currency: 'USD', debit: '100.00', credit: '90.00', difference: '10.00' });
    expect(refusal.message).toBe('debits 100.00, credits 90.00, difference 10.00 USD');
  });

  it('needs the base amount of every line in another currency', () => {
    given(tracked)
      .when(post([debit('CASH', ...at('100', '92.50')), credit('BANK', ...at('100'))]))
      .thenRefused('base_amount_required', { line: 2 });
  });

  it('does not let a line in base currency claim another base amount', () => {
    given(tracked)
      .when(post([debit('CASH', ...at('100', '92', 'EUR')), credit('BANK', ...at('100', '92', 'EUR'))]))
      .thenRefused('malformed', { member: 'lines.0.baseAmount' });
  });

  it('stores base amounts with the decimals of the base currency, in the line and in its leg (I15)', () => {
    const events = given(tracked)
      .when(post([debit('CASH', ...at('100', '92.5')), credit('BANK', ...at('100', '92.500'))]))
      .thenAccepted();
    expect(posted(events).lines.map(({ baseAmount }) => baseAmount)).toEqual(['92.50', '92.50']);
    expect(events.at(-1)?.data).toMatchObject({ baseAmount: '92.50' });
  });

  it('uses the base currency by a base amount: its scale is final from then on', () => {
    const usd = post([debit('CASH', ...at('100', '92')), credit('BANK', ...at('100', '92'))]);
    const events = given(tracked).when(usd).thenAccepted();
    expect(events.filter(({ type }) => type === 'CurrencyEnabled').map(({ data }) => data)).toEqual([
      { code: 'USD', scale: 2 },
      { code: 'EUR', scale: 2 },
    ]);
    given(history(tracked, [usd, { id: 'e1' }]))
      .when({ type: 'EnableCurrency', code: 'EUR', scale: 4 })
      .thenRefused('currency_exists');
  });

  it('takes no base amount while the base currency has no scale', () => {
    const bitcoin = [...aBook({ fx: 'tracked', baseCurrency: 'BTC' }), account('CASH'), account('BANK')];
    const lines = [debit('CASH', ...at('100', '0.001')), credit('BANK', ...at('100', '0.001'))];
    given(bitcoin).when(post(lines)).thenRefused('currency_unknown', { currency: 'BTC', line: 1 });
    const declared = history(bitcoin, { type: 'EnableCurrency', code: 'BTC', scale: 8 });
    expect(posted(given(declared).when(post(lines)).thenAccepted()).lines[0]).toMatchObject({ baseAmount: '0.00100000' });
  });

  it.each(['untracked', 'tracked'] as const)('or not (fx=%s): what is given as a base amount is an amount', (fx) => {
    const events = [...aBook({ fx }), account('CASH'), account('BANK')];
    const withBase = (baseAmount: string) =>
      given(events).when(post([debit('CASH', ...at('1', baseAmount)), credit('BANK', ...at('1', baseAmount))]));
    withBase('1e3').thenRefused('amount_format', { member: 'lines.0.baseAmount' });
    withBase('-1').thenRefused('amount_format', { member: 'lines.0.baseAmount' });
    withBase('1.001').thenRefused('scale_exceeded', { currency: 'EUR', scale: 2, line: 1 });
    withBase(fromMinor(10n ** 30n, 2)).thenRefused('amount_range', { line: 1 });
    withBase('0').thenAccepted();
  });

  it('keeps base amounts balanced through reversal', () => {
    const lines = [debit('CASH', ...at('100', '92.50')), credit('BANK', ...at('100', '90')), credit('FX', ...at('0', '2.5'))];
    const events = given(history(tracked, [post(lines), { id: 'e1' }]))
      .when(reverse('e1'))
      .thenAccepted();
    expect(posted(events).lines.map(({ side, amount, baseAmount }) => [side, amount, baseAmount])).toEqual([
      ['credit', '100.00', '92.50'],
      ['debit', '100.00', '90.00'],
      ['debit', '0.00', '2.50'],
    ]);
  });
});

describe('numbers', () => {
  it('run 1, 2, 3 without a gap per day book and fiscal year, whatever is refused in between', () => {
    const withJournals = history(book, { type: 'DefineJournal', journalCode: 'SALES', name: 'Sales' });
    const aStep = fc.record({
      journalCode: fc.constantFrom(undefined, 'GENERAL', 'SALES', 'NONE'),
      effectiveDate: fc.constantFrom('2025-12-31', '2026-01-01', '2026-12-31', '2027-06-30'),
      balanced: fc.boolean(),
      reverse: fc.option(fc.nat(5), { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.array(aStep, { minLength: 1, maxLength: 12 }), (steps) => {
        const ledger = new NaiveBook(withJournals);
        steps.forEach(({ journalCode, effectiveDate, balanced, reverse: which }, index) => {
          const target = which === undefined ? undefined : ledger.posted()[which];
          try {
            if (target !== undefined) ledger.execute(reverse(target.id), { id: `e${index}` });
            else
              ledger.execute(post([debit('CASH', '1'), credit('SALES', balanced ? '1' : '2')], { journalCode, effectiveDate }), {
                id: `e${index}`,
              });
          } catch (error) {
            if (!(error instanceof LedgerError)) throw error;
          }
        });
        const numbers = new Map<string, number[]>();
        for (const { journalCode, fiscalYear, number } of ledger.posted()) {
          const address = `${journalCode}/${fiscalYear}`;
          numbers.set(address, [...(numbers.get(address) ?? []), number]);
        }
        for (const given of numbers.values()) expect(given).toEqual(given.map((_, index) => index + 1));
      }),
      { numRuns: 60 },
    );
  });
});

describe('an accepted entry balances, and only that (I1)', () => {
  const currencies = { EUR: 2, JPY: 0, BHD: 3, BTC: 8 } as const;
  const codes = ['A', 'B', 'C', 'D'];
  const chart = [...aBook(), onBook('CurrencyEnabled', { code: 'BTC', scale: 8 }), ...codes.map((code) => account(code))];
  const aLine = fc.record({
    account: fc.constantFrom(...codes),
    side: fc.constantFrom('debit' as const, 'credit' as const),
    currency: fc.constantFrom(...(Object.keys(currencies) as (keyof typeof currencies)[])),
    minor: fc.oneof(fc.bigInt({ min: 1n, max: 1_000n }), fc.bigInt({ min: 1n, max: 10n ** 29n })),
  });
  const asCommand = (lines: readonly { account: string; side: 'debit' | 'credit'; currency: keyof typeof currencies; minor: bigint }[]) =>
    post(lines.map(({ minor, currency, ...line }) => ({ ...line, currency, amount: fromMinor(minor, currencies[currency]) })));

  it('takes random lines once each currency is completed by its difference', () => {
    fc.assert(
      fc.property(fc.array(aLine, { minLength: 1, maxLength: 6 }), fc.constantFrom(...codes), (lines, counter) => {
        const completed = [...lines];
        for (const currency of Object.keys(currencies) as (keyof typeof currencies)[]) {
          const sum = lines
            .filter((line) => line.currency === currency)
            .reduce((total, { side, minor }) => total + (side === 'debit' ? minor : -minor), 0n);
          if (sum !== 0n) completed.push({ account: counter, side: sum > 0n ? 'credit' : 'debit', currency, minor: sum > 0n ? sum : -sum });
        }
        fc.pre(completed.length > 1);
        const events = given(chart).when(asCommand(completed)).thenAccepted();
        // All accounts together, from their own events: debits equal credits in every currency (I8).
        const balance = new Map<string, bigint>();
        for (const { type, data } of events) {
          if (type !== 'AccountDebited' && type !== 'AccountCredited') continue;
          const { currency, amount } = data as AccountPosted;
          balance.set(currency, (balance.get(currency) ?? 0n) + (type === 'AccountDebited' ? atoms(amount) : -atoms(amount)));
        }
        expect([...balance.values()].every((sum) => sum === 0n)).toBe(true);
      }),
    );
  });

  it('refuses random lines that do not balance, with the sums of the first currency that does not', () => {
    fc.assert(
      fc.property(fc.array(aLine, { minLength: 2, maxLength: 6 }), (lines) => {
        const sums = [...new Set(lines.map(({ currency }) => currency))].map((currency) => {
          const side = (which: string) =>
            lines.filter((line) => line.currency === currency && line.side === which).reduce((sum, { minor }) => sum + minor, 0n);
          return { currency, debit: side('debit'), credit: side('credit') };
        });
        const first = sums.find(({ debit, credit }) => debit !== credit);
        fc.pre(first !== undefined);
        const { currency, debit, credit } = first as (typeof sums)[number];
        const text = (minor: bigint) => fromMinor(minor, currencies[currency]);
        const difference = text(debit > credit ? debit - credit : credit - debit);
        const refusal = given(chart)
          .when(asCommand(lines))
          .thenRefused('unbalanced', { currency, debit: text(debit), credit: text(credit), difference });
        expect(refusal.message).toBe(`debits ${text(debit)}, credits ${text(credit)}, difference ${difference} ${currency}`);
      }),
    );
  });
});

describe('reversing', () => {
  const start = history(book, [
    post(sale, { reference: 'R', document: { type: 'invoice', number: '1', date: '2026-02-01' } }),
    { id: 'e1' },
  ]);

  it('posts the mirrored lines under the same day book with a number of their own, and marks the original', () => {
    const events = given(start).when(reverse('e1')).thenAccepted();
    expect(posted(events)).toMatchObject({
      journalCode: 'GENERAL',
      number: 2,
      entryType: 'reversal',
      entryMethod: 'manual',
      effectiveDate: '2026-07-05',
      description: 'Reversal of GENERAL/2026/1: Sale',
      reference: 'R',
      document: { type: 'invoice', number: '1', date: '2026-02-01' },
      links: [{ rel: 'reverses', entryId: 'e1' }],
      lines: [
        { line: 1, code: 'CASH', side: 'credit', amount: '100.00', currency: 'EUR' },
        { line: 2, code: 'SALES', side: 'debit', amount: '100.00', currency: 'EUR' },
      ],
    });
    expect(events.at(-1)).toMatchObject({ streamId: 'e1', version: 2, type: 'JournalEntryReversed', data: { by: 'new' } });
  });

  it('takes every account back to where it was', () => {
    const lines = [debit('CASH', '60'), debit('CASH', '50'), credit('CASH', '10'), credit('SALES', '100')];
    const ledger = new NaiveBook(history(start, [post(lines), { id: 'e2' }]));
    ledger.execute(reverse('e2'), { id: 'e3' });
    ledger.execute(reverse('e1'), { id: 'e4' });
    for (const { totals } of ledger.allAccounts()) expect(totals.every(({ debit, credit }) => debit === credit)).toBe(true);
  });

  it('keeps what the lines say beside their amounts', () => {
    const extras = {
      party: { id: 'C', kind: 'customer' },
      dimensions: [{ key: 'k', value: 'v' }],
      tax: [{ code: 'T', base: '1', amount: '1' }],
    };
    const events = history(book, [post([debit('CASH', '1', 'EUR', extras), credit('SALES', '1')]), { id: 'e1' }]);
    expect(posted(given(events).when(reverse('e1')).thenAccepted()).lines[0]).toMatchObject({ side: 'credit', ...extras });
  });

  it.each([
    ['today', '2026-07-05', undefined, '2026-07-05'],
    ['the original date when that is later', '2026-01-31', undefined, '2026-03-01'],
    ['the date that was asked for', '2026-07-05', '2026-04-01', '2026-04-01'],
  ])('happens on %s', (_, today, effectiveDate, expected) => {
    expect(posted(given(start).when(reverse('e1', { effectiveDate }), { today }).thenAccepted()).effectiveDate).toBe(expected);
  });

  it('moves to the first open day by itself, but never a date that was asked for (I9)', () => {
    const shut = [...start, closed('2026', 7), closed('2026', 8)];
    expect(posted(given(shut).when(reverse('e1')).thenAccepted()).effectiveDate).toBe('2026-09-01');
    given(shut)
      .when(reverse('e1', { effectiveDate: '2026-07-05' }))
      .thenRefused('period_closed', { effectiveDate: '2026-07-05', fiscalYear: '2026', period: 7, periodStatus: 'hard_closed' });
  });

  it('takes a text of its own', () => {
    expect(
      posted(
        given(start)
          .when(reverse('e1', { description: 'Storno' }))
          .thenAccepted(),
      ).description,
    ).toBe('Storno');
  });

  it('happens once', () => {
    const reversed = history(start, [reverse('e1'), { id: 'e2' }]);
    given(reversed).when(reverse('e1')).thenRefused('already_reversed', { entry: 'e1', by: 'e2' });
    given(reversed).when(correct('e1', sale)).thenRefused('already_reversed', { entry: 'e1', by: 'e2' });
  });

  it('is not reversed itself', () => {
    const reversed = history(start, [reverse('e1'), { id: 'e2' }]);
    given(reversed).when(reverse('e2')).thenRefused('reversal_of_reversal', { entry: 'e2' });
    given(reversed).when(correct('e2', sale)).thenRefused('reversal_of_reversal', { entry: 'e2' });
  });

  it('of an unknown entry is "not found"', () => {
    expect(given(start).when(reverse('x')).thenRefused('entry_unknown', { entry: 'x' }).kind).toBe('not_found');
    given(start).when(correct('x', sale)).thenRefused('entry_unknown', { entry: 'x' });
  });

  it('needs accounts that take lines', () => {
    given(start, onAccount('cash', 'AccountFrozen')).when(reverse('e1')).thenRefused('account_frozen', { account: 'CASH', line: 1 });
    given(start, onAccount('sales', 'AccountClosed')).when(reverse('e1')).thenRefused('account_closed', { account: 'SALES', line: 2 });
  });

  it('keeps the limits of accounts', () => {
    const limited = [...aBook(), account('CASH', { limits: [{ currency: 'EUR', min: '0' }] }), account('SALES', income)];
    const spent = history(limited, [post(sale), { id: 'e1' }], [post([credit('CASH', '80'), debit('SALES', '80')]), { id: 'e2' }]);
    given(spent).when(reverse('e1')).thenRefused('limit_exceeded', { account: 'CASH', currency: 'EUR', limit: '0', balance: '-80.00' });
  });

  it('writes the account’s code of today, under the id of ever', () => {
    const recoded = history(start, { type: 'ChangeAccountCode', account: 'CASH', code: 'TILL' });
    expect(posted(given(recoded).when(reverse('e1')).thenAccepted()).lines[0]).toMatchObject({ accountId: 'cash', code: 'TILL' });
  });
});

describe('correcting', () => {
  const original = post(sale, {
    journalCode: 'GENERAL',
    entryType: 'adjusting',
    reference: 'R',
    document: { type: 'invoice', number: '1', date: '2026-02-01' },
    requestedDate: '2026-02-28',
    entryMethod: 'manual',
    source: { system: 'shop', id: '1' },
    links: [{ rel: 'settles', entryId: 'e0' }],
    metadata: { a: 'b' },
  });
  const start = history(book, [original, { id: 'e1' }]);
  const better = [debit('CASH', '110'), credit('SALES', '110')];

  it('is a reversal and a replacement in one unit, linked to the original', () => {
    const events = given(start).when(correct('e1', better)).thenAccepted();
    expect(events.map(({ type, streamId }) => [type, streamId])).toEqual([
      ['JournalEntryPosted', 'new'],
      ['AccountCredited', 'cash'],
      ['AccountDebited', 'sales'],
      ['JournalEntryReversed', 'e1'],
      ['JournalEntryPosted', 'new-replacement'],
      ['AccountDebited', 'cash'],
      ['AccountCredited', 'sales'],
    ]);
    expect(events[0]?.data).toMatchObject({ number: 2, entryType: 'reversal', links: [{ rel: 'reverses', entryId: 'e1' }] });
    expect(events[4]?.data).toMatchObject({
      number: 3,
      effectiveDate: '2026-07-05',
      links: [
        { rel: 'settles', entryId: 'e0' },
        { rel: 'corrects', entryId: 'e1' },
      ],
    });
    expect(events.slice(5).map(({ data }) => [(data as AccountPosted).totalDebit, (data as AccountPosted).totalCredit])).toEqual([
      ['210.00', '100.00'],
      ['100.00', '210.00'],
    ]);
  });

  it('takes over what is left out, and not what is given', () => {
    const replacementOf = (more: Partial<CorrectEntry>) =>
      given(history(start, { type: 'DefineJournal', journalCode: 'SALES', name: 'Sales' }))
        .when(correct('e1', better, more))
        .thenAccepted()[4]?.data;
    expect(replacementOf({})).toMatchObject({
      journalCode: 'GENERAL',
      entryType: 'adjusting',
      description: 'Sale',
      reference: 'R',
      document: { number: '1' },
      requestedDate: '2026-02-28',
      entryMethod: 'manual',
      source: { system: 'shop', id: '1' },
      links: [
        { rel: 'settles', entryId: 'e0' },
        { rel: 'corrects', entryId: 'e1' },
      ],
      metadata: { a: 'b' },
    });
    const given_ = { journalCode: 'SALES', entryType: 'normal', description: 'New', reference: 'S' } as const;
    const document = { type: 'invoice', number: '2', date: '2026-02-02' };
    expect(replacementOf({ ...given_, document, links: [{ rel: 'settles', entryId: 'e0' }] })).toMatchObject({
      ...given_,
      document,
      links: [
        { rel: 'settles', entryId: 'e0' },
        { rel: 'corrects', entryId: 'e1' },
      ],
    });
  });

  it('happens on one date, in a fiscal year and currency that it may begin', () => {
    const events = given(start)
      .when(correct('e1', [debit('CASH', '5', 'JPY'), credit('SALES', '5', 'JPY')], { effectiveDate: '2027-02-01' }))
      .thenAccepted();
    expect(events.map(({ type }) => type).filter((type) => !type.startsWith('Account'))).toEqual([
      'FiscalYearDefined',
      'JournalEntryPosted',
      'JournalEntryReversed',
      'CurrencyEnabled',
      'JournalEntryPosted',
    ]);
    const dates = events.flatMap(({ type, data }) => (type === 'JournalEntryPosted' ? [(data as JournalEntryPosted).effectiveDate] : []));
    expect(dates).toEqual(['2027-02-01', '2027-02-01']);
  });

  it('is both or neither', () => {
    given(start)
      .when(correct('e1', [debit('CASH', '110'), credit('SALES', '100')]))
      .thenRefused('unbalanced');
    given(start, onAccount('cash', 'AccountFrozen'), account('BANK'))
      .when(correct('e1', [debit('BANK', '1'), credit('SALES', '1')]))
      .thenRefused('account_frozen', { account: 'CASH', line: 1 });
  });

  it('looks at limits once, at what both leave', () => {
    const limited = [
      ...aBook(),
      account('CASH', { limits: [{ currency: 'EUR', min: '0', max: '100' }] }),
      account('SALES', income),
      account('BANK'),
    ];
    const spent = history(limited, [post(sale), { id: 'e1' }], [post([credit('CASH', '80'), debit('SALES', '80')]), { id: 'e2' }]);
    // The reversal alone would leave −80.
    given(spent)
      .when(correct('e1', [debit('CASH', '90'), credit('SALES', '90')]))
      .thenAccepted();
    given(spent)
      .when(correct('e1', [debit('CASH', '79.99'), credit('SALES', '79.99')]))
      .thenRefused('limit_exceeded', { account: 'CASH', currency: 'EUR', limit: '0', balance: '-0.01' });
    given(spent)
      .when(correct('e1', [debit('BANK', '100'), credit('SALES', '100')]))
      .thenRefused('limit_exceeded', { account: 'CASH', currency: 'EUR', limit: '0', balance: '-80.00' });
  });

  it('can be corrected again: the replacement is an ordinary entry', () => {
    const corrected = history(start, [correct('e1', better), { id: 'c1' }]);
    given(corrected).when(correct('c1-replacement', sale)).thenAccepted();
    given(corrected).when(reverse('c1-replacement')).thenAccepted();
    given(corrected).when(reverse('e1')).thenRefused('already_reversed', { entry: 'e1', by: 'c1' });
    given(corrected).when(reverse('c1')).thenRefused('reversal_of_reversal', { entry: 'c1' });
  });
});

describe('random histories', () => {
  it('keep every invariant at every step, and leave the book balanced (I1, I2, I5, I8, I9, I12, I15)', () => {
    const codes = ['A', 'B', 'C'];
    const begin: GivenEvent[] = [
      ...aBook(),
      ...codes.map((code, index) => account(code, index === 0 ? { limits: [{ currency: 'EUR', min: '-50' }] } : {})),
    ];
    const anAccount = fc.constantFrom(...codes);
    const amount = fc.integer({ min: 1, max: 99 }).map(String);
    const aStep = fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({
          kind: fc.constant('post' as const),
          lines: fc.tuple(anAccount, anAccount, amount).map(([to, from, text]) => [debit(to, text), credit(from, text)]),
          effectiveDate: fc.constantFrom('2026-01-15', '2027-01-15'),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          kind: fc.constantFrom('reverse' as const, 'correct' as const),
          which: fc.nat(9),
          lines: fc.tuple(anAccount, amount).map(([to, text]) => [debit(to, text), credit('B', text)]),
        }),
      },
      fc.record({
        kind: fc.constantFrom('FreezeAccount' as const, 'UnfreezeAccount' as const, 'CloseAccount' as const),
        account: anAccount,
      }),
    );
    fc.assert(
      fc.property(fc.array(aStep, { minLength: 5, maxLength: 25 }), (steps) => {
        const ledger = new NaiveBook(begin);
        steps.forEach((step, index) => {
          const id = `e${index}`;
          try {
            if (step.kind === 'post') ledger.execute(post(step.lines, { effectiveDate: step.effectiveDate }), { id });
            else if ('which' in step) {
              const target = ledger.posted()[step.which]?.id ?? 'none';
              ledger.execute(step.kind === 'reverse' ? reverse(target) : correct(target, step.lines), { id });
            } else ledger.execute({ type: step.kind, account: step.account }, { id });
          } catch (error) {
            if (!(error instanceof LedgerError)) throw error;
          }
        });
        let sum = 0n;
        for (const { totals } of ledger.allAccounts()) for (const { debit, credit } of totals) sum += debit - credit;
        expect(sum).toBe(0n);
        expect((ledger.book() as BookState).version).toBe(ledger.versionOf('book'));
      }),
      { numRuns: 60 },
    );
  });
});
