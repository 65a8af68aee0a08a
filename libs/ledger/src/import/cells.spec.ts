import fc from 'fast-check';
import { fromMinor, isPlainDecimal } from '#domain';
import { CellFault, currencyIn, dateIn, decimalIn, instantIn, unsigned } from './cells';

const outcome = (read: () => string | undefined): string | undefined => {
  try {
    return read();
  } catch (error) {
    if (error instanceof CellFault) return `${error.code}: ${error.message}`;
    throw error;
  }
};

describe('decimalIn', () => {
  it.each([
    ['1234,50', '1234.50'],
    ['1234.50', '1234.50'],
    ['-12,5', '-12.5'],
    ['+7', '7'],
    [' 0000012,30 ', '12.30'],
    [',50', '0.50'],
    ['000', '0'],
    ['0,00', '0.00'],
    ['', undefined],
    ['  ', undefined],
  ])('reads %j as %j', (cell, decimal) => {
    expect(decimalIn('Debit', cell, true)).toBe(decimal);
  });

  it.each(['1 234,50', '1.234,50', '1,234.50', '1,', '-', ',', '1e3', '12,-', '(5)', '١', '--1', '1,2,3', 'x', '0x1', '12€'])(
    'refuses %j',
    (cell) => {
      expect(outcome(() => decimalIn('Debit', cell, true))).toBe(
        `amount_format: Debit is ${JSON.stringify(cell)}, not a decimal like 1234,50 or 1234.50 (digits, one comma or point, a sign in front if any; no blank, no separator of thousands)`,
      );
    },
  );

  it('takes a comma for a separator of thousands where decimals have a point, and refuses it', () => {
    expect(outcome(() => decimalIn('Amount', '1,234', false))).toMatch(/^amount_format: Amount is "1,234", not a decimal like 1234\.50 /);
  });

  it('gives the amount that was written, whatever the mark, the sign and the zeros in front', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }),
        fc.nat(18),
        fc.constantFrom(',', '.'),
        fc.nat(5),
        fc.boolean(),
        (minor, scale, mark, zeros, plus) => {
          const plain = fromMinor(minor, scale);
          const sign = minor < 0n ? '-' : plus ? '+' : '';
          const written = `${sign}${'0'.repeat(zeros)}${unsigned(plain).replace('.', mark)}`;
          expect(decimalIn('x', written, true)).toBe(plain);
          expect(isPlainDecimal(unsigned(plain))).toBe(true);
        },
      ),
    );
  });

  it('gives a plain decimal or a fault, whatever is in the cell', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[-+0-9,. ]{0,9}$/)), fc.boolean(), (cell, comma) => {
        const read = outcome(() => decimalIn('x', cell, comma));
        expect(read === undefined || read.startsWith('amount_format: ') || isPlainDecimal(unsigned(read))).toBe(true);
      }),
    );
  });
});

describe('dateIn', () => {
  it.each([
    ['20240229', '2024-02-29'],
    ['2024-02-29', '2024-02-29'],
    [' 20251231 ', '2025-12-31'],
    ['', undefined],
    ['00000000', undefined],
    ['#N/A', undefined],
    ['null', undefined],
  ])('reads %j as %j', (cell, date) => {
    expect(dateIn('EcritureDate', cell)).toBe(date);
  });

  it.each(['20230229', '20251301', '2025-1-31', '2025-0131', '31/01/2025', '20250131T', '18991231', '2025'])('refuses %j', (cell) => {
    expect(outcome(() => dateIn('EcritureDate', cell))).toBe(
      `date_invalid: EcritureDate is "${cell}", not a date YYYYMMDD or YYYY-MM-DD that exists, from 1900 to 2199`,
    );
  });
});

describe('instantIn', () => {
  it.each([
    ['2026-01-02', '10:28:03.122000Z', '2026-01-02T10:28:03.122000Z'],
    ['2026-01-02', '1028+02:00', '2026-01-02T10:28:00+02:00'],
    ['2025-01-15', '143022', '2025-01-15T14:30:22Z'],
    ['20250115', '1430', '2025-01-15T14:30:00Z'],
    ['20250115', '14:30:22', '2025-01-15T14:30:22Z'],
    ['20250115', '', '2025-01-15T00:00:00Z'],
    ['2025-01-15T09:12:28', '', '2025-01-15T09:12:28Z'],
    ['2025-01-15T09:12:28.5+02:00', '', '2025-01-15T09:12:28.5+02:00'],
    ['2025-01-15T09:12:28-0500', '', '2025-01-15T09:12:28-05:00'],
    ['20250115', '091228-0500', '2025-01-15T09:12:28-05:00'],
    ['2025-01-15 09:12', '', '2025-01-15T09:12:00Z'],
    ['', '143022', undefined],
    ['#N/A', '', undefined],
  ])('reads %j and %j as %j', (date, time, instant) => {
    expect(instantIn('Entered_Date', date, time)).toBe(instant);
  });

  it.each([
    ['20250115', '2460', 'date_invalid: the time of Entered_Date is "2460", not a time of day HHMM or HH:MM:SS'],
    ['20250115', 'noon', 'date_invalid: the time of Entered_Date is "noon", not a time of day HHMM or HH:MM:SS'],
    ['15.01.2025', '', 'date_invalid: Entered_Date is "15.01.2025", not a date YYYYMMDD or YYYY-MM-DD that exists, from 1900 to 2199'],
  ])('refuses %j and %j', (date, time, says) => {
    expect(outcome(() => instantIn('Entered_Date', date, time))).toBe(says);
  });
});

describe('currencyIn', () => {
  const codes = new Map([
    ['$', 'USD'],
    ['', 'CHF'],
  ]);

  it.each([
    ['EUR', 'EUR'],
    [' $ ', 'USD'],
    ['', 'CHF'],
  ])('reads %j as %j', (cell, code) => {
    expect(currencyIn('Idevise', cell, codes)).toBe(code);
  });

  it('knows none where the file says none and nobody said which', () => {
    expect(currencyIn('Idevise', '', new Map())).toBeUndefined();
  });

  it('refuses what is no code, and says how to tell which it is', () => {
    expect(outcome(() => currencyIn('Idevise', '€', codes))).toBe(
      'text_invalid: Idevise is "€", no code like EUR: say which it is (--currency \'€=CODE\')',
    );
  });
});
