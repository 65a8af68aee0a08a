/** Exchange rates as events, and entries of a book that tracks them: amounts in base currency, rounding, conversion. */
import * as fc from 'fast-check';
import {
  aBook,
  account,
  atoms,
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
import { addDays } from './calendar-date';
import { convert, type ExchangeRateRecorded, type RatesState, type RecordRates, rateOn, ratesReducer } from './exchange-rates';
import type { JournalEntryPosted, PostedLine } from './journal';

const rate = (more: Partial<ExchangeRateRecorded> = {}): ExchangeRateRecorded => ({
  from: 'USD',
  to: 'EUR',
  date: '2026-03-01',
  value: '0.92',
  rateType: 'spot',
  source: 'ECB',
  ...more,
});
const recorded = (more: Partial<ExchangeRateRecorded> = {}): GivenEvent => {
  const data = rate(more);
  return { streamId: `${data.from}/${data.to}/${data.rateType}`, type: 'ExchangeRateRecorded', data };
};
const record = (...rates: ExchangeRateRecorded[]): RecordRates => ({ type: 'RecordRates', rates });

describe('recording exchange rates', () => {
  it('is one event per rate, in the stream of its pair and type', () => {
    given(aBook())
      .when(record(rate(), rate({ from: 'GBP', value: '1.15', rateType: 'closing' })))
      .thenEvents(recorded(), recorded({ from: 'GBP', value: '1.15', rateType: 'closing' }));
  });

  it('of a day that has one corrects it; the very same one is refused, also within one command, and so is none at all', () => {
    given(aBook(), recorded())
      .when(record(rate({ value: '0.93' })))
      .thenEvents(recorded({ value: '0.93' }));
    given(aBook(), recorded())
      .when(record(rate({ source: 'our bank' })))
      .thenAccepted();
    given(aBook(), recorded()).when(record(rate())).thenRefused('rate_exists', { member: 'rates.0' });
    given(aBook()).when(record(rate(), rate())).thenRefused('rate_exists', { member: 'rates.1' });
    given(aBook()).when(record()).thenRefused('malformed', { member: 'rates' });
    // Back to a former value is a correction too.
    given(aBook(), recorded(), recorded({ value: '0.93' }))
      .when(record(rate()))
      .thenAccepted();
  });

  it.each([['0'], ['0.000'], ['-1'], ['1e3'], ['1,5'], [`1.${'1'.repeat(40)}`]])('of %s is refused', (value) => {
    given(aBook())
      .when(record(rate({ value })))
      .thenRefused('amount_format', { member: 'rates.0.value' });
  });

  it('is refused for a day that does not exist, a currency that is not known, and a currency in itself', () => {
    given(aBook())
      .when(record(rate({ date: '2026-02-29' })))
      .thenRefused('date_invalid', { member: 'rates.0.date' });
    given(aBook())
      .when(record(rate({ from: 'ACME' })))
      .thenRefused('currency_unknown', { currency: 'ACME' });
    given(aBook(), onBook('CurrencyEnabled', { code: 'ACME', scale: 3 }))
      .when(record(rate({ from: 'ACME' })))
      .thenAccepted();
    given(aBook())
      .when(record(rate({ from: 'EUR' })))
      .thenRefused('malformed', { member: 'rates.0.to' });
  });
});

describe('the rate of a day', () => {
  it('is the one recorded last of the latest day up to it that is not older than 31 days', () => {
    const days = fc.array(fc.record({ day: fc.integer({ min: 0, max: 120 }), value: fc.integer({ min: 1, max: 9_999 }) }), {
      maxLength: 20,
    });
    fc.assert(
      fc.property(days, fc.integer({ min: -5, max: 160 }), (recordedRates, asked) => {
        const on = (day: number) => addDays('2026-01-01', day);
        let state: RatesState | undefined;
        for (const { day, value } of recordedRates)
          state = ratesReducer.evolve(state, { type: 'ExchangeRateRecorded', data: rate({ date: on(day), value: String(value) }) });
        const candidates = recordedRates.filter(({ day }) => day <= asked && day >= asked - 31);
        const latest = Math.max(...candidates.map(({ day }) => day));
        const expected = candidates.findLast(({ day }) => day === latest);
        expect(rateOn(state, on(asked))).toEqual(expected && { date: on(expected.day), value: String(expected.value), source: 'ECB' });
      }),
    );
  });
});

describe('converting', () => {
  it('is exact, rounded once: as fractions of integers say', () => {
    const cases = fc.tuple(fc.bigInt(0n, 10n ** 29n), fc.nat(8), fc.bigInt(1n, 10n ** 18n), fc.nat(18), fc.nat(8));
    fc.assert(
      fc.property(cases, ([minor, scale, units, decimals, toScale]) => {
        const digits = units.toString().padStart(decimals + 1, '0');
        const value = decimals === 0 ? digits : `${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`;
        // minor × 10^-scale × units × 10^-decimals, in units of 10^-toScale
        const power = toScale - scale - decimals;
        const [above, below] = power >= 0 ? [minor * units * 10n ** BigInt(power), 1n] : [minor * units, 10n ** BigInt(-power)];
        const [whole, rest] = [above / below, above % below];
        const up = 2n * rest > below || (2n * rest === below && whole % 2n === 1n);
        expect(convert(minor, scale, value, toScale, 'half_even')).toBe(up ? whole + 1n : whole);
      }),
    );
  });

  it.each([
    [100n, 2, '0.0001', 2, 0n],
    [5_000n, 2, '0.0001', 2, 0n],
    [15_000n, 2, '0.0001', 2, 2n],
    [1n, 8, '90330.27', 2, 0n],
    [9_007_202_130_917_213_00n, 2, '0.0000598', 2, 53_863_068_742_885n],
  ])('%s (scale %s) at %s', (minor, scale, value, toScale, expected) => {
    expect(convert(minor, scale, value, toScale, 'half_even')).toBe(expected);
  });
});

const tracked = [
  ...aBook({ fx: 'tracked' }),
  account('BANK-USD'),
  account('BANK-EUR'),
  account('BANK-JPY'),
  account('ROUNDING', { type: 'expense' }),
  account('CONVERSION', { type: 'equity', normalSide: 'credit' }),
];
const designated = [
  onBook('AccountDesignated', { role: 'rounding', accountId: 'rounding' }),
  onBook('AccountDesignated', { role: 'currency_conversion', accountId: 'conversion' }),
];
const linesOf = (events: readonly { type: string; data: object }[]): readonly PostedLine[] =>
  events.flatMap(({ type, data }) => (type === 'JournalEntryPosted' ? (data as JournalEntryPosted).lines : []));
const brief = ({ code, side, amount, currency, baseAmount, origin }: PostedLine) =>
  `${side} ${code} ${amount} ${currency} = ${baseAmount}${origin === undefined ? '' : ` (${origin})`}`;

describe('an entry of a book that tracks exchange rates', () => {
  it('has its amount in base currency on every line', () => {
    const events = given(tracked)
      .when(post([debit('BANK-EUR', '5'), credit('BANK-USD', '5', 'EUR')]))
      .thenAccepted();
    expect(linesOf(events).map(brief)).toEqual(['debit BANK-EUR 5.00 EUR = 5.00', 'credit BANK-USD 5.00 EUR = 5.00']);
    expect(events.filter(({ type }) => type.startsWith('Account')).map(({ data }) => (data as PostedLine).baseAmount)).toEqual([
      '5.00',
      '5.00',
    ]);
  });

  it('is converted at the rate that a line carries, else at the spot rate of its day, which the line then carries', () => {
    const own = { rate: { value: '0.5', date: '2026-02-28', source: 'contract' } };
    const events = given(tracked, recorded())
      .when(post([debit('BANK-USD', '10', 'USD', own), credit('BANK-EUR', '10', 'USD', own)]))
      .thenAccepted();
    expect(linesOf(events).map(brief)).toEqual(['debit BANK-USD 10.00 USD = 5.00', 'credit BANK-EUR 10.00 USD = 5.00']);
    const spot = given(tracked, recorded())
      .when(post([debit('BANK-USD', '10', 'USD'), credit('BANK-EUR', '10', 'USD')], { effectiveDate: '2026-03-15' }))
      .thenAccepted();
    expect(linesOf(spot)).toMatchObject([
      { baseAmount: '9.20', rate: { value: '0.92', date: '2026-03-01', source: 'ECB' } },
      { baseAmount: '9.20', rate: { value: '0.92', date: '2026-03-01', source: 'ECB' } },
    ]);
  });

  it('leaves an account open that is empty in a foreign currency and still carried at something: a revaluation could not post there any more', () => {
    const bought = [debit('BANK-USD', '10', 'USD', { baseAmount: '9.20' }), credit('BANK-EUR', '9.20')];
    const sold = [credit('BANK-USD', '10', 'USD', { baseAmount: '8.80' }), debit('BANK-EUR', '8.80')];
    const close = { type: 'CloseAccount', account: 'BANK-USD' } as const;
    const across = { onImbalance: 'currency_conversion' } as const;
    const left = history([...tracked, ...designated], [post(bought, across), { id: 'e1' }], [post(sold, across), { id: 'e2' }]);
    const refusal = given(left).when(close).thenRefused('account_not_empty', { account: 'BANK-USD' });
    expect(refusal.message).toContain('carried at 0.40 EUR');
    expect(refusal.message).toContain('a credit of 0.00 USD and baseAmount 0.40');
    const taken = [credit('BANK-USD', '0', 'USD', { baseAmount: '0.40' }), debit('CONVERSION', '0', 'EUR', { baseAmount: '0.40' })];
    given(history(left, [post(taken), { id: 'e3' }]))
      .when(close)
      .thenAccepted();
  });

  it('is refused where there is neither an amount nor a rate', () => {
    const entry = post([debit('BANK-USD', '10', 'USD'), credit('BANK-EUR', '10', 'USD')]);
    given(tracked).when(entry).thenRefused('base_amount_required', { line: 1 });
    given(tracked, recorded({ date: '2026-01-28' }))
      .when(entry)
      .thenRefused('base_amount_required');
    given(tracked, recorded({ date: '2026-03-02' }))
      .when(entry)
      .thenRefused('base_amount_required');
    given(tracked, recorded({ rateType: 'closing' }))
      .when(entry)
      .thenRefused('base_amount_required');
    given(tracked, recorded({ from: 'EUR', to: 'USD' }))
      .when(entry)
      .thenRefused('base_amount_required');
  });

  it('that moves to an open day keeps the rate of the day that was asked for', () => {
    const shut = onBook('PeriodClosed', { fiscalYear: '2026', period: 1, level: 'soft', position: 1, entries: 0, totals: [], numbers: [] });
    const events = given(tracked, shut, recorded({ date: '2026-01-31' }), recorded({ date: '2026-02-01', value: '2' }))
      .when(
        post([debit('BANK-USD', '10', 'USD'), credit('BANK-EUR', '10', 'USD')], {
          effectiveDate: '2026-01-31',
          onClosedPeriod: 'first_open_day',
        }),
      )
      .thenAccepted();
    expect(linesOf(events)[0]).toMatchObject({ baseAmount: '9.20' });
  });

  it('gets what rounding leaves on a line of its own, on the account designated for it, and no line of its caller is altered', () => {
    // 3 × 0.33 USD at 0.92 are 3 × 0.30 EUR, 0.99 USD are 0.91 EUR
    const entry = post([
      debit('BANK-USD', '0.33', 'USD'),
      debit('BANK-USD', '0.33', 'USD'),
      debit('BANK-USD', '0.33', 'USD'),
      credit('BANK-EUR', '0.99', 'USD'),
    ]);
    given(tracked, recorded()).when(entry).thenRefused('account_not_designated', { role: 'rounding' });
    expect(linesOf(given(tracked, designated, recorded()).when(entry).thenAccepted()).map(brief)).toEqual([
      'debit BANK-USD 0.33 USD = 0.30',
      'debit BANK-USD 0.33 USD = 0.30',
      'debit BANK-USD 0.33 USD = 0.30',
      'credit BANK-EUR 0.99 USD = 0.91',
      'debit ROUNDING 0.00 EUR = 0.01 (book-keeper:rounding)',
    ]);
  });

  it.each([
    ['frozen', 'AccountFrozen', 'account_frozen'],
    ['closed', 'AccountClosed', 'account_closed'],
  ] as const)('is refused where its line for rounding or conversion falls on an account that is %s (I9)', (_, type, code) => {
    const parts = post([...['0.33', '0.33', '0.33'].map((amount) => debit('BANK-USD', amount, 'USD')), credit('BANK-EUR', '0.99', 'USD')]);
    given(tracked, designated, recorded(), onAccount('rounding', type, {}))
      .when(parts)
      .thenRefused(code, { account: 'ROUNDING', line: 5 });
    const across = post([debit('BANK-USD', '108', 'USD', { baseAmount: '100' }), credit('BANK-EUR', '100')], {
      onImbalance: 'currency_conversion',
    });
    given(tracked, designated, onAccount('conversion', type, {}))
      .when(across)
      .thenRefused(code, { account: 'CONVERSION', line: 3 });
  });

  it('that is out of balance by more than rounding is refused, and so is any difference that the caller has computed', () => {
    given(tracked, designated, recorded())
      .when(post([debit('BANK-USD', '10', 'USD'), credit('BANK-EUR', '10', 'USD', { baseAmount: '9.50' })]))
      .thenRefused('unbalanced', { currency: 'EUR', debit: '9.20', credit: '9.50', difference: '0.30' });
    given(tracked, designated)
      .when(post([debit('BANK-USD', '10', 'USD', { baseAmount: '9.21' }), credit('BANK-EUR', '10', 'USD', { baseAmount: '9.20' })]))
      .thenRefused('unbalanced');
  });

  it('across currencies is completed on the conversion account where its caller asks for that', () => {
    const entry = post([debit('BANK-USD', '108', 'USD', { baseAmount: '100' }), credit('BANK-EUR', '100')]);
    given(tracked, designated).when(entry).thenRefused('unbalanced');
    expect(
      linesOf(
        given(tracked, designated)
          .when({ ...entry, onImbalance: 'currency_conversion' })
          .thenAccepted(),
      ).map(brief),
    ).toEqual([
      'debit BANK-USD 108.00 USD = 100.00',
      'credit BANK-EUR 100.00 EUR = 100.00',
      'credit CONVERSION 108.00 USD = 100.00 (book-keeper:currency-conversion)',
      'debit CONVERSION 100.00 EUR = 100.00 (book-keeper:currency-conversion)',
    ]);
  });

  it('is completed at the worth of what was received, where a gain is a base amount only', () => {
    // 600 USD, carried at 544, are paid with 570 EUR.
    const entry = post(
      [
        debit('BANK-EUR', '570'),
        credit('BANK-USD', '600', 'USD', { baseAmount: '544' }),
        credit('ROUNDING', '0', 'EUR', { baseAmount: '26' }),
      ],
      { onImbalance: 'currency_conversion' },
    );
    expect(
      linesOf(
        given(tracked, ...designated)
          .when(entry)
          .thenAccepted(),
      )
        .map(brief)
        .slice(3),
    ).toEqual([
      'credit CONVERSION 570.00 EUR = 570.00 (book-keeper:currency-conversion)',
      'debit CONVERSION 600.00 USD = 570.00 (book-keeper:currency-conversion)',
    ]);
  });

  it('with a gain in base currency only is balanced by a line without an amount', () => {
    // A receivable of 100 USD, carried at 90, is paid when that is 92.
    const entry = post([
      debit('BANK-USD', '100', 'USD', { baseAmount: '92' }),
      credit('BANK-JPY', '100', 'USD', { baseAmount: '90' }),
      credit('ROUNDING', '0', 'EUR', { baseAmount: '2' }),
    ]);
    expect(linesOf(given(tracked).when(entry).thenAccepted()).map(brief)).toContain('credit ROUNDING 0.00 EUR = 2.00');
    given(tracked)
      .when(post([debit('BANK-EUR', '1', 'EUR', { baseAmount: '2' }), credit('BANK-USD', '1', 'EUR', { baseAmount: '2' })]))
      .thenRefused('malformed');
  });

  it('is mirrored with its base amounts when it is reversed, whatever the rates are by then', () => {
    const events = history(
      [...tracked, ...designated, recorded()],
      [
        post([
          debit('BANK-USD', '0.33', 'USD'),
          debit('BANK-USD', '0.33', 'USD'),
          debit('BANK-USD', '0.33', 'USD'),
          credit('BANK-EUR', '0.99', 'USD'),
        ]),
        { id: 'e1' },
      ],
    );
    const reversal = given(events, recorded({ date: '2026-03-02', value: '5' }))
      .when({ type: 'ReverseEntry', entryId: 'e1', reason: 'x' })
      .thenAccepted();
    expect(linesOf(reversal).map(({ baseAmount }) => baseAmount)).toEqual(['0.30', '0.30', '0.30', '0.91', '0.01']);
  });

  it('marks no line of a caller as its own', () => {
    given(tracked)
      .when(post([debit('BANK-EUR', '1', 'EUR', { origin: 'book-keeper:rounding' }), credit('BANK-USD', '1')]))
      .thenRefused('malformed', { member: 'lines.0.origin' });
  });

  it('balances in base currency for any amounts and rates, or is refused (I1)', () => {
    const cents = fc.integer({ min: 1, max: 10_000_000 });
    const rates = fc.record({ USD: fc.integer({ min: 1, max: 99_999 }), JPY: fc.integer({ min: 1, max: 9_999 }) });
    fc.assert(
      fc.property(fc.array(cents, { minLength: 1, maxLength: 6 }), fc.constantFrom('USD', 'JPY'), rates, (amounts, currency, values) => {
        const start = [...tracked, ...designated, recorded({ from: currency, value: (values[currency as 'USD'] / 10_000).toFixed(4) })];
        const text = (units: number) => (currency === 'JPY' ? String(units) : (units / 100).toFixed(2));
        const total = amounts.reduce((sum, amount) => sum + amount, 0);
        const lines = [...amounts.map((amount) => debit('BANK-USD', text(amount), currency)), credit('BANK-EUR', text(total), currency)];
        // NaiveBook holds I1 in base currency for whatever is carried out.
        const events = new NaiveBook(start).execute(post(lines));
        const posted = linesOf(events);
        expect(posted.slice(0, lines.length).map(({ amount }) => amount)).toEqual(lines.map(({ amount }) => amount));
        const base = posted.reduce(
          (sum, { side, baseAmount = '0' }) => sum + (side === 'debit' ? atoms(baseAmount) : -atoms(baseAmount)),
          0n,
        );
        expect(base).toBe(0n);
        expect(posted.length - lines.length).toBeLessThanOrEqual(1);
      }),
      { numRuns: 60 },
    );
  });

  it('completed on the conversion account balances per currency and in base for any amounts', () => {
    const amount = fc.integer({ min: 1, max: 1_000_000 });
    fc.assert(
      fc.property(fc.array(fc.record({ usd: amount, jpy: amount, eur: amount }), { minLength: 1, maxLength: 3 }), (parts) => {
        const lines = parts.flatMap(({ usd, jpy, eur }) => [
          debit('BANK-USD', (usd / 100).toFixed(2), 'USD', { baseAmount: (eur / 100).toFixed(2) }),
          credit('BANK-JPY', String(jpy), 'JPY', { baseAmount: (eur / 100).toFixed(2) }),
        ]);
        const posted = linesOf(new NaiveBook([...tracked, ...designated]).execute(post(lines, { onImbalance: 'currency_conversion' })));
        for (const currency of ['USD', 'JPY']) {
          const sum = posted
            .filter((line) => line.currency === currency)
            .reduce((net, { side, amount: text }) => net + (side === 'debit' ? atoms(text) : -atoms(text)), 0n);
          expect(sum).toBe(0n);
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe('an untracked book', () => {
  it('is completed on the conversion account too, without amounts in base currency', () => {
    const book = [...aBook(), account('USD'), account('EUR'), account('CONVERSION', { type: 'equity', normalSide: 'credit' })];
    const role = onBook('AccountDesignated', { role: 'currency_conversion', accountId: 'conversion' });
    const entry = post([debit('USD', '108', 'USD'), credit('EUR', '100')], { onImbalance: 'currency_conversion' });
    expect(linesOf(given(book, role).when(entry).thenAccepted()).map(brief).slice(2)).toEqual([
      'credit CONVERSION 108.00 USD = undefined (book-keeper:currency-conversion)',
      'debit CONVERSION 100.00 EUR = undefined (book-keeper:currency-conversion)',
    ]);
    given(book).when(entry).thenRefused('account_not_designated', { role: 'currency_conversion' });
  });
});

describe('designating an account', () => {
  const book = [
    ...aBook(),
    account('CASH'),
    account('COST', { type: 'expense' }),
    account('CAPITAL', { type: 'equity', normalSide: 'credit' }),
  ];
  it('is an event, and the last one counts', () => {
    given(book)
      .when({ type: 'DesignateAccount', role: 'rounding', account: 'COST' })
      .thenEvents(onBook('AccountDesignated', { role: 'rounding', accountId: 'cost' }));
  });
  it('is refused for an account of another type, or one that takes no lines', () => {
    given(book)
      .when({ type: 'DesignateAccount', role: 'rounding', account: 'CASH' })
      .thenRefused('role_invalid', { account: 'CASH', role: 'rounding' });
    given(book, account('HEAD', { type: 'equity', postable: false }))
      .when({ type: 'DesignateAccount', role: 'retained_earnings', account: 'HEAD' })
      .thenRefused('role_invalid');
    given(book).when({ type: 'DesignateAccount', role: 'rounding', account: 'NONE' }).thenRefused('account_unknown', { account: 'NONE' });
  });
});
