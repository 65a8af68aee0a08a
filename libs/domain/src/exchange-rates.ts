/**
 * Exchange rates: what one unit of a currency was worth in another on a day, per pair and type of rate, each a fact with its
 * source. Hides how the rate that holds on a day is found; guarantees that a correction is another event and never a change,
 * and that amounts are converted exactly and rounded once, in the book's way (IAS 21.21, 21.23).
 */
import { unknownCurrency } from './account';
import { type BookState, scaleOf } from './book';
import { addDays, type CalendarDate, isDate } from './calendar-date';
import type { Decision } from './decision';
import { Refusals } from './errors';
import { isPlainDecimal, Money, type Rounding } from './money';

/** spot: of the day, for postings · closing: of the last day of a period, for revaluation · average: of a period · budget: planned. */
export const rateTypes = ['spot', 'closing', 'average', 'budget'] as const;
export type RateType = (typeof rateTypes)[number];

/** One stream per pair and type. */
export interface RatePair {
  readonly from: string;
  readonly to: string;
  readonly rateType: RateType;
}

export interface ExchangeRateRecorded extends RatePair {
  readonly date: CalendarDate;
  /** Units of `to` for one unit of `from`: plain decimal above 0. */
  readonly value: string;
  /** Who published it. */
  readonly source: string;
}

export type RateEvent = { readonly type: 'ExchangeRateRecorded'; readonly data: ExchangeRateRecorded };

/** A rate as it holds on a day. */
export interface Rate {
  readonly value: string;
  readonly date: CalendarDate;
  readonly source: string;
}

export interface RatesState extends RatePair {
  readonly version: number;
  /** By date, one per date: the one recorded last. */
  readonly rates: readonly Rate[];
}

export const rateEvents = { ExchangeRateRecorded: { aggregateType: 'ExchangeRates', version: 1 } } as const;

function evolve(state: RatesState | undefined, { data }: RateEvent): RatesState {
  const { from, to, rateType, date, value, source } = data;
  const rate: Rate = { value, date, source };
  if (state === undefined) return { from, to, rateType, version: 1, rates: [rate] };
  const index = placeOf(state.rates, date);
  const rates = state.rates.slice();
  rates.splice(index, rates[index]?.date === date ? 1 : 0, rate);
  return { ...state, version: state.version + 1, rates };
}

/** Index of the first rate at or after a date. */
function placeOf(rates: readonly Rate[], date: CalendarDate): number {
  let [low, high] = [0, rates.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((rates[middle] as Rate).date < date) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Folds the stream of one pair and type. */
export const ratesReducer = {
  aggregateType: 'ExchangeRates',
  version: 1,
  evolve,
  toSnapshot: (state: RatesState): unknown => state,
  fromSnapshot: (snapshot: unknown): RatesState => snapshot as RatesState,
};

/** Under which the rates of a pair and type are found. */
export const pairKey = ({ from, to, rateType }: RatePair): string => `${from}/${to}/${rateType}`;

/** A rate older than this is no rate of the day any more, in days. */
export const rateAgeMax = 31;

/** The latest rate up to a day, at most `rateAgeMax` days old. */
export function rateOn(state: RatesState | undefined, date: CalendarDate): Rate | undefined {
  if (state === undefined) return undefined;
  const index = placeOf(state.rates, date);
  const rate = state.rates[index]?.date === date ? state.rates[index] : state.rates[index - 1];
  return rate !== undefined && addDays(rate.date, rateAgeMax) >= date ? rate : undefined;
}

/**
 * Converts minor units of one currency into minor units of another.
 * @param value units of the other currency for one unit of the first
 * @returns exact product, rounded once to the other currency's scale
 */
export function convert(minor: bigint, scale: number, value: string, toScale: number, rounding: Rounding): bigint {
  // Minor units count 10^-scale: what the decimals differ by is moved into the factor, which is exact.
  return new Money(minor, '', 0).times(shifted(value, toScale - scale), rounding).minor;
}

/** A plain decimal times a power of ten, as a plain decimal. */
function shifted(value: string, power: number): string {
  const point = value.indexOf('.');
  const digits = value.replace('.', '');
  const place = (point < 0 ? value.length : point) + power;
  const padded = place <= 0 ? `${'0'.repeat(1 - place)}${digits}` : digits.padEnd(place, '0');
  const whole = Math.max(1, place);
  const text = padded.length > whole ? `${padded.slice(0, whole)}.${padded.slice(whole)}` : padded;
  return text.replace(/^0+(?=\d)/, '');
}

// --- Recording ---

export interface RecordRates {
  readonly type: 'RecordRates';
  readonly rates: readonly ExchangeRateRecorded[];
  readonly reason?: string;
}

const valueDigitsMax = 40;

/**
 * Records rates, all or none. A rate of a date that has one already corrects it: both stay in the log, and what was known
 * before is still answered with the former.
 * @throws LedgerError malformed | amount_format | date_invalid | currency_unknown | rate_exists
 */
export function recordRates(decision: Decision, { rates }: RecordRates): void {
  const book = decision.book();
  const refusals = new Refusals();
  if (rates.length === 0) refusals.note('malformed', () => 'rates is empty: give one rate or more', { member: 'rates' });
  const fresh = new Map<string, ExchangeRateRecorded>();
  for (const [index, rate] of rates.entries()) {
    const member = `rates.${index}`;
    checkRate(book, rate, member, refusals);
    const { from, to, rateType, date, value, source } = rate;
    const day = `${pairKey(rate)}/${date}`;
    const known = fresh.get(day) ?? decision.rates(rate)?.rates.find((other) => other.date === date);
    if (known?.value === value && known.source === source)
      refusals.note('rate_exists', () => `${member}: the ${rateType} rate ${from}/${to} of ${date} is ${value} from ${source} already`, {
        member,
      });
    fresh.set(day, rate);
  }
  refusals.throwFirst();
  for (const { from, to, rateType, date, value, source } of rates)
    decision.recordRate({ type: 'ExchangeRateRecorded', data: { date, from, rateType, source, to, value } });
}

function checkRate(book: BookState, { from, to, date, value }: ExchangeRateRecorded, member: string, refusals: Refusals): void {
  if (!isPlainDecimal(value) || /^[0.]*$/.test(value) || value.length > valueDigitsMax) {
    const message = `${member}: value "${value}" is not a plain decimal above 0 of at most ${valueDigitsMax} characters`;
    refusals.note('amount_format', () => message, { member: `${member}.value` });
  }
  if (!isDate(date))
    refusals.note('date_invalid', () => `${member}: date "${date}" is no date YYYY-MM-DD from 1900 to 2199`, { member: `${member}.date` });
  if (from === to)
    refusals.note('malformed', () => `${member}: from and to are both ${from}; a rate is between two currencies`, {
      member: `${member}.to`,
    });
  for (const currency of [from, to])
    if (scaleOf(book, currency) === undefined)
      refusals.note('currency_unknown', () => `${member}: ${unknownCurrency(currency)}`, { currency });
}
