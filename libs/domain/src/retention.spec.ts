/** How long what stands in books must be kept. */
import fc from 'fast-check';
import { isDate } from './calendar-date';
import { type RetentionRule, retainedUntil, retentionRules, ruleFor, ruleText } from './retention';

const own = (country: string, documentType: string, years: number): RetentionRule => ({ country, documentType, years, source: 'ours' });

it.each([
  ['DE', 'invoice', 8],
  ['DE', 'letter', 6],
  ['DE', undefined, 10],
  ['DE', 'a kind that no rule is about', 10],
  ['AT', 'invoice', 7],
  // A country that is not known has the longest period, and not none.
  ['ZZ', 'invoice', 10],
  [undefined, undefined, 10],
])('in %s a document of kind %s is kept %i years', (country, documentType, years) => {
  expect(ruleFor([], country, documentType).years).toBe(years);
});

it('what a book states goes before what is built in; the last one that fits holds; a kind of document before books', () => {
  expect(ruleFor([own('DE', 'books', 12)], 'DE', 'receipt').years).toBe(12);
  expect(ruleFor([own('DE', 'books', 12), own('DE', 'receipt', 3), own('DE', 'books', 11)], 'DE', 'receipt').years).toBe(3);
  expect(ruleFor([own('DE', 'books', 12), own('DE', 'books', 11)], 'DE', 'receipt').years).toBe(11);
  // Not where the law says more of that kind of document, unless the book speaks of that kind.
  expect(ruleFor([own('DE', 'books', 6)], 'DE', 'invoice').years).toBe(8);
  expect(ruleFor([own('DE', 'books', 6), own('DE', 'invoice', 5)], 'DE', 'invoice').years).toBe(5);
  expect(ruleFor([own('DE', 'books', 6)], 'DE', undefined).years).toBe(6);
  expect(ruleFor([own('*', 'books', 2)], undefined, undefined).years).toBe(2);
  expect(ruleFor([own('AT', 'books', 2)], 'DE', undefined).years).toBe(10);
});

it.each([
  ['2026-12-31', 10, '2036-12-31'],
  ['2027-03-31', 8, '2035-03-31'],
  ['2028-02-29', 7, '2035-02-28'],
  ['2028-02-29', 8, '2036-02-29'],
  ['2195-12-31', 10, '2199-12-31'],
  ['2026-12-31', 0, '2026-12-31'],
])('a year that ends on %s and %i years: until %s', (to, years, until) => {
  expect(retainedUntil({ to }, own('DE', 'books', years))).toBe(until);
});

it('ends on a day that exists and never before the year does', () => {
  fc.assert(
    fc.property(
      fc.date({ min: new Date('1990-01-01'), max: new Date('2199-12-31'), noInvalidDate: true }),
      fc.integer({ min: 0, max: 100 }),
      (day, years) => {
        const to = day.toISOString().slice(0, 10);
        const until = retainedUntil({ to }, own('DE', 'books', years));
        expect(isDate(until)).toBe(true);
        expect(until >= to).toBe(true);
      },
    ),
  );
});

it('every built-in rule names its law, and each country has one for books', () => {
  for (const rule of retentionRules) expect(ruleText(rule)).toMatch(/^(?:[A-Z]{2}|any country) [a-z]+, \d+ years \(.{5,}\)$/);
  const countries = new Set(retentionRules.map(({ country }) => country));
  for (const country of countries)
    expect(retentionRules.filter((rule) => rule.country === country && rule.documentType === 'books')).toHaveLength(1);
});
