/** Calendar dates: the Gregorian calendar from 1900 to 2199, whatever the machine's time zone is. */
import * as fc from 'fast-check';
import {
  addDays,
  addMonths,
  clockIn,
  dateInZone,
  daysBetween,
  firstDate,
  isDate,
  isMonthDay,
  lastDate,
  partsOf,
  weekdayOf,
} from './calendar-date';

/**
 * The calendar a second time, by counting: day after day from Monday 1900-01-01, with the leap rule as the bull of 1582
 * words it (every fourth year, of the full hundreds only those that 400 divides).
 */
function* everyDay(): Generator<string> {
  for (let year = 1900; year <= 2199; year++) {
    const leap = year % 100 === 0 ? year % 400 === 0 : year % 4 === 0;
    for (const [index, length] of [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].entries()) {
      for (let day = 1; day <= length; day++) yield `${year}-${index < 9 ? '0' : ''}${index + 1}-${day < 10 ? '0' : ''}${day}`;
    }
  }
}
const days = [...everyDay()];
const aDay = fc.nat(days.length - 1);

describe('a calendar date', () => {
  it('is each of the 109,573 days from 1900 to 2199, in the order of their text', () => {
    // 300 years of 365 days, and 73 leap days: 75 fourth years without 1900 and 2100.
    expect(days).toHaveLength(300 * 365 + 73);
    expect(days.filter((day) => !isDate(day))).toEqual([]);
    expect([...days].sort()).toEqual(days);
    expect([days[0], days.at(-1)]).toEqual([firstDate, lastDate]);
  });

  it('is no other day of any month 00 to 13', () => {
    const known = new Set(days);
    const wrong: string[] = [];
    for (let year = 1899; year <= 2200; year++) {
      for (let month = 0; month <= 13; month++) {
        for (const day of [0, 1, 28, 29, 30, 31, 32]) {
          const text = `${year}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`;
          if (isDate(text) !== known.has(text)) wrong.push(text);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it.each([
    '1899-12-31',
    '2200-01-01',
    '2026-1-1',
    '2026-01-1',
    '26-01-01',
    '02026-01-01',
    '2026-01-01T00:00:00Z',
    ' 2026-01-01',
    '2026-01-01 ',
    '2026-01-01\n',
    '2026/01/01',
    '20260101',
    '٢٠٢٦-٠١-٠١',
    '+002026-01-01',
    '',
  ])('is never written %j', (text) => {
    expect(isDate(text)).toBe(false);
  });

  it.each([20260101, null, undefined, new Date(), ['2026-01-01']])('is never anything but text: %p', (value) => {
    expect(isDate(value)).toBe(false);
  });

  it('has the parts that it is written with', () => {
    expect(partsOf('2026-07-05')).toEqual({ year: 2026, month: 7, day: 5 });
  });
});

describe('a month and day of every year', () => {
  it('is one of 365: the 29th of February is not among them', () => {
    const found: string[] = [];
    for (let month = 0; month <= 13; month++) {
      for (let day = 0; day <= 32; day++) {
        const text = `${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`;
        if (isMonthDay(text)) found.push(text);
      }
    }
    expect(found).toHaveLength(365);
    expect(found).not.toContain('02-29');
    for (const text of ['1-1', '01-1', '2026-01-01', '01-01\n', '']) expect(isMonthDay(text)).toBe(false);
  });
});

describe('days later and earlier', () => {
  it('lead through every day of three hundred years, one by one', () => {
    const wrong = days.filter(
      (day, index) => index > 0 && (addDays(days[index - 1] as string, 1) !== day || addDays(day, -1) !== days[index - 1]),
    );
    expect(wrong).toEqual([]);
  });

  it('lead as far as one counts', () => {
    fc.assert(
      fc.property(aDay, aDay, (from, to) => {
        expect(addDays(days[from] as string, to - from)).toBe(days[to]);
      }),
    );
  });

  it('lead beyond the range too, where a fiscal year reaches over its end', () => {
    expect(addDays(lastDate, 1)).toBe('2200-01-01');
    expect(addDays(firstDate, -1)).toBe('1899-12-31');
  });
});

describe('months later and earlier', () => {
  it('keep the day, or take the last one that the month has', () => {
    fc.assert(
      fc.property(aDay, fc.integer({ min: -1_200, max: 1_200 }), (index, months) => {
        const from = partsOf(days[index] as string);
        const moved = partsOf(addMonths(days[index] as string, months));
        expect((moved.year - from.year) * 12 + moved.month - from.month).toBe(months);
        const lastOfMonth = new Date(Date.UTC(moved.year, moved.month, 0)).getUTCDate();
        expect(moved.day).toBe(Math.min(from.day, lastOfMonth));
      }),
    );
  });

  it.each([
    ['2026-01-31', 1, '2026-02-28'],
    ['2028-01-31', 1, '2028-02-29'],
    ['2028-02-29', 12, '2029-02-28'],
    ['2028-02-29', 48, '2032-02-29'],
    ['2000-02-29', -1_200, '1900-02-28'],
    ['2026-03-31', -1, '2026-02-28'],
    ['2026-12-15', 1, '2027-01-15'],
    ['2026-01-15', -1, '2025-12-15'],
    ['2026-05-31', 0, '2026-05-31'],
  ])('%s and %i months are %s', (date, months, expected) => {
    expect(addMonths(date, months)).toBe(expected);
  });
});

describe('the date in a time zone', () => {
  const micros = (instant: string): number => Date.parse(instant) * 1_000;

  it.each([
    ['UTC', '2026-07-04T23:59:59.999Z', '2026-07-04'],
    ['UTC', '2026-07-05T00:00:00.000Z', '2026-07-05'],
    // summer: two hours ahead; winter: one
    ['Europe/Berlin', '2026-07-04T21:59:59.999Z', '2026-07-04'],
    ['Europe/Berlin', '2026-07-04T22:00:00.000Z', '2026-07-05'],
    ['Europe/Berlin', '2026-01-04T22:59:59.999Z', '2026-01-04'],
    ['Europe/Berlin', '2026-01-04T23:00:00.000Z', '2026-01-05'],
    // clocks go forward on 2026-03-29 and back on 2026-10-25, both at 01:00 UTC
    ['Europe/Berlin', '2026-03-28T23:00:00.000Z', '2026-03-29'],
    ['Europe/Berlin', '2026-03-29T22:00:00.000Z', '2026-03-30'],
    ['Europe/Berlin', '2026-10-24T22:00:00.000Z', '2026-10-25'],
    ['Europe/Berlin', '2026-10-25T22:59:59.999Z', '2026-10-25'],
    ['Europe/Berlin', '2026-10-25T23:00:00.000Z', '2026-10-26'],
    ['America/New_York', '2026-07-05T03:59:59.999Z', '2026-07-04'],
    ['America/New_York', '2026-07-05T04:00:00.000Z', '2026-07-05'],
    // the farthest ones, and one of a quarter of an hour
    ['Pacific/Kiritimati', '2026-07-05T10:00:00.000Z', '2026-07-06'],
    ['Pacific/Pago_Pago', '2026-07-05T10:59:59.999Z', '2026-07-04'],
    ['Asia/Kathmandu', '2026-07-04T18:15:00.000Z', '2026-07-05'],
    // Santiago goes to summer time at midnight, so that 2026-09-06 begins at 01:00
    ['America/Santiago', '2026-09-06T03:59:59.999Z', '2026-09-05'],
    ['America/Santiago', '2026-09-06T04:00:00.000Z', '2026-09-06'],
    // Samoa left out the whole of 2011-12-30
    ['Pacific/Apia', '2011-12-30T09:59:59.999Z', '2011-12-29'],
    ['Pacific/Apia', '2011-12-30T10:00:00.000Z', '2011-12-31'],
  ])('%s at %s is %s', (timeZone, instant, expected) => {
    expect(dateInZone(micros(instant), timeZone)).toBe(expected);
  });

  it('does not round an instant just before midnight up to the next day', () => {
    expect(dateInZone(micros('2026-07-05T00:00:00Z') - 1, 'UTC')).toBe('2026-07-04');
  });

  it('is a calendar date for every instant of the range', () => {
    fc.assert(
      fc.property(aDay, fc.nat(86_399_999), (index, ms) => {
        const day = days[index] as string;
        expect(dateInZone((Date.parse(`${day}T00:00:00Z`) + ms) * 1_000, 'UTC')).toBe(day);
      }),
    );
  });
});

describe('clocks in a time zone', () => {
  it.each([
    ['UTC', '2026-07-05T00:00:00Z', '2026-07-05', '00:00'],
    ['Europe/Berlin', '2026-07-04T21:59:59Z', '2026-07-04', '23:59'],
    ['Europe/Berlin', '2026-07-04T22:00:00Z', '2026-07-05', '00:00'],
    // both hours that are called 02:xx when clocks go back
    ['Europe/Berlin', '2026-10-25T00:30:00Z', '2026-10-25', '02:30'],
    ['Europe/Berlin', '2026-10-25T01:30:00Z', '2026-10-25', '02:30'],
    ['Asia/Kathmandu', '2026-07-04T18:15:00Z', '2026-07-05', '00:00'],
  ])('%s at %s: %s %s', (timeZone, instant, date, time) => {
    expect(clockIn(timeZone)(Date.parse(instant) * 1_000)).toEqual({ date, time });
  });
});

describe('days between dates and days of the week', () => {
  it('count what addDays adds', () => {
    fc.assert(
      fc.property(aDay, aDay, (from, to) => {
        expect(daysBetween(days[from] as string, days[to] as string)).toBe(to - from);
      }),
    );
  });

  it('go round from Monday 1900-01-01 on', () => {
    expect(weekdayOf(firstDate)).toBe(1);
    expect(days.filter((day, index) => weekdayOf(day) !== (index % 7) + 1)).toEqual([]);
    // A Saturday that everybody can look up.
    expect(weekdayOf('2000-01-01')).toBe(6);
  });
});
