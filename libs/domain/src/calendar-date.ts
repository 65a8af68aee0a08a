/**
 * Calendar dates without zone, as strings 'YYYY-MM-DD': they sort as text, survive JSON and never shift with a time zone.
 * Hides the Gregorian calendar; guarantees that a CalendarDate that passed parseDate exists and lies in 1900-01-01 … 2199-12-31.
 */

export type CalendarDate = string;

export const firstDate: CalendarDate = '1900-01-01';
export const lastDate: CalendarDate = '2199-12-31';

const form = /^\d{4}-\d{2}-\d{2}$/;
const lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const;
const pad = (value: number, width = 2): string => String(value).padStart(width, '0');

/** Days of a month, 1..12, in the Gregorian calendar; 0 for a month that does not exist. */
export function daysInMonth(year: number, month: number): number {
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return month === 2 && leap ? 29 : (lengths[month - 1] ?? 0);
}

/** The parts of a date: year, month 1..12, day 1..31. */
export function partsOf(date: CalendarDate): { year: number; month: number; day: number } {
  return { year: Number(date.slice(0, 4)), month: Number(date.slice(5, 7)), day: Number(date.slice(8, 10)) };
}

/** Whether text is a date that exists within 1900-01-01 … 2199-12-31 (DESIGN section 2, "effective date"). */
export function isDate(text: unknown): text is CalendarDate {
  if (typeof text !== 'string' || !form.test(text) || text < firstDate || text > lastDate) return false;
  const { year, month, day } = partsOf(text);
  return month >= 1 && month <= 12 && day >= 1 && day <= daysInMonth(year, month);
}

/** Whether text is a month and day that exist in every year ('02-29' does not). */
export function isMonthDay(text: unknown): text is string {
  return typeof text === 'string' && /^\d{2}-\d{2}$/.test(text) && isDate(`2001-${text}`);
}

/** The date `days` later (earlier when negative). The result may lie outside the allowed range. */
export function addDays(date: CalendarDate, days: number): CalendarDate {
  const { year, month, day } = partsOf(date);
  const moved = new Date(Date.UTC(year, month - 1, day + days));
  return `${pad(moved.getUTCFullYear(), 4)}-${pad(moved.getUTCMonth() + 1)}-${pad(moved.getUTCDate())}`;
}

/** The date `months` later; a day that the target month lacks becomes its last day. */
export function addMonths(date: CalendarDate, months: number): CalendarDate {
  const { year, month, day } = partsOf(date);
  const index = year * 12 + (month - 1) + months;
  const targetYear = Math.floor(index / 12);
  const targetMonth = (index % 12) + 1;
  return `${pad(targetYear, 4)}-${pad(targetMonth)}-${pad(Math.min(day, daysInMonth(targetYear, targetMonth)))}`;
}

/** Days from one date to another; negative when `to` is the earlier one. */
export function daysBetween(from: CalendarDate, to: CalendarDate): number {
  return (utcOf(to) - utcOf(from)) / 86_400_000;
}

/** The day of the week, 1 (Monday) to 7 (Sunday), as ISO 8601 counts. */
export function weekdayOf(date: CalendarDate): number {
  return new Date(utcOf(date)).getUTCDay() || 7;
}

function utcOf(date: CalendarDate): number {
  const { year, month, day } = partsOf(date);
  return Date.UTC(year, month - 1, day);
}

/** The date in an IANA time zone at an instant given in microseconds since 1970-01-01T00:00:00Z. */
export function dateInZone(micros: number, timeZone: string): CalendarDate {
  return clockIn(timeZone)(micros).date;
}

/** What clocks in an IANA time zone show at an instant given in microseconds since 1970-01-01T00:00:00Z; `time` is 00:00 to 23:59. */
export function clockIn(timeZone: string): (micros: number) => { readonly date: CalendarDate; readonly time: string } {
  // By parts: in which order a locale writes them has changed between releases of ICU.
  const format = new Intl.DateTimeFormat('en-US-u-ca-gregory-nu-latn', {
    ...{ timeZone, year: 'numeric', month: '2-digit', day: '2-digit' },
    ...{ hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
  });
  return (micros) => {
    const parts = new Map(format.formatToParts(Math.floor(micros / 1_000)).map(({ type, value }) => [type, value]));
    return {
      date: `${parts.get('year')}-${parts.get('month')}-${parts.get('day')}`,
      time: `${parts.get('hour')}:${parts.get('minute')}`,
    };
  };
}
