/** The currencies that need no declaration, against a list that other people keep. */
import * as currencyCodes from 'currency-codes';
import { isoCodes, isoScale } from './iso-4217';

/** Gold, testing and the like: ISO gives them no minor unit ("N.A."), which the other list writes as 0. */
const withoutMinorUnit = ['XAG', 'XAU', 'XBA', 'XBB', 'XBC', 'XBD', 'XDR', 'XPD', 'XPT', 'XSU', 'XTS', 'XUA', 'XXX'];

describe('ISO 4217', () => {
  it('is what the list of 2024-06-25 says, with what was changed since', () => {
    expect(currencyCodes.publishDate).toBe('2024-06-25');
    const theirs = new Map(currencyCodes.data.map(({ code, digits }) => [code, digits]));
    for (const code of withoutMinorUnit) expect(theirs.delete(code)).toBe(true);
    // Amendment 176 of 2024 (Caribbean guilder from 2025-03-31 on); CUC ended in 2021 and is still on the other list.
    theirs.set('XCG', 2);
    expect(theirs.delete('CUC')).toBe(true);
    const ours = new Map(isoCodes.map((code) => [code, isoScale(code)]));
    expect(new Map([...ours].sort())).toEqual(new Map([...theirs].sort()));
  });

  it.each([
    ['JPY', 0],
    ['KRW', 0],
    ['ISK', 0],
    ['UYI', 0],
    ['EUR', 2],
    ['USD', 2],
    ['HUF', 2],
    ['IDR', 2],
    ['BHD', 3],
    ['KWD', 3],
    ['TND', 3],
    ['CLF', 4],
    ['UYW', 4],
  ])('gives %s %i decimals', (code, scale) => {
    expect(isoScale(code)).toBe(scale);
  });

  it.each([...withoutMinorUnit, 'BTC', 'eur', 'EU', 'EURO', '', 'constructor', '__proto__', 'toString'])(
    'gives %j none, so that it must be declared',
    (code) => {
      expect(isoScale(code)).toBeUndefined();
    },
  );

  it('names each code once, three capital letters', () => {
    expect(new Set(isoCodes).size).toBe(isoCodes.length);
    expect(isoCodes.filter((code) => !/^[A-Z]{3}$/.test(code))).toEqual([]);
  });
});
