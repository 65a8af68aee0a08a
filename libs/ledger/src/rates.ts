/**
 * Exchange rates as questions ask for them: the rate between any two currencies on a day, as known at a position. Hides which way
 * round a rate was recorded and over which currency it has to be computed; guarantees that the answer says so (`via`), and that
 * it is made of what was recorded up to the position alone. Read from the streams of the pairs: there is nothing to wait for.
 */
import {
  type CalendarDate,
  Exact,
  type Rate as KnownRate,
  pairKey,
  type RateEvent,
  type RatePair,
  type RatesState,
  type RateType,
  rateOn,
  ratesReducer,
} from '#domain';
import type { EventStore } from '#event-store';
import { ratesStreamId } from './catalogue';
import type { Rate, Rates } from './reports/figures';

/** Significant digits of a rate that is computed from others; what is recorded is never rounded. */
const computedDigits = 20;

export interface RatesQuestion {
  readonly bookId: string;
  readonly position: number;
  readonly date: CalendarDate;
  readonly type: RateType;
  /** Currencies that may be asked about. */
  readonly currencies: readonly string[];
  /** Rates are computed over it where there is none between two currencies. */
  readonly baseCurrency: string;
}

/** The rates of one type on a day, at most 31 days old, as known at a position. */
export async function ratesAt(
  store: EventStore,
  { bookId, position, date, type, currencies, baseCurrency }: RatesQuestion,
): Promise<Rates> {
  const all = [...new Set([...currencies, baseCurrency])];
  const pairs = all.flatMap((from) => all.flatMap((to): RatePair[] => (from === to ? [] : [{ from, to, rateType: type }])));
  const states = await statesAt(store, bookId, position, pairs);
  const recorded = (from: string, to: string): KnownRate | undefined => rateOn(states.get(pairKey({ from, to, rateType: type })), date);
  const between = (from: string, to: string): Rate | undefined => {
    const straight = recorded(from, to);
    if (straight !== undefined) return straight;
    const back = recorded(to, from);
    return back && { value: quotient('1', back.value), date: back.date, source: `${back.source}, 1 / ${back.value} (${to}/${from})` };
  };
  const rateOf = (from: string, to: string): Rate | undefined => {
    const straight = between(from, to);
    if (straight !== undefined || from === baseCurrency || to === baseCurrency) return straight;
    const [first, second] = [between(from, baseCurrency), between(baseCurrency, to)];
    if (first === undefined || second === undefined) return undefined;
    const sources = first.source === second.source ? first.source : `${first.source}; ${second.source}`;
    return {
      value: product(first.value, second.value),
      // Of two days the older one: what is computed is no younger than what it is computed from.
      date: first.date < second.date ? first.date : second.date,
      source: `${sources}, ${first.value} × ${second.value}`,
      via: baseCurrency,
    };
  };
  return { date, type, rateOf };
}

async function statesAt(store: EventStore, bookId: string, position: number, pairs: readonly RatePair[]): Promise<Map<string, RatesState>> {
  const ids = pairs.map((pair) => ratesStreamId(bookId, pairKey(pair)));
  const states = new Map<string, RatesState>();
  for (const { position: at, eventType, current } of await store.readStreams(bookId, ids)) {
    if (at > position) continue;
    const event = { type: eventType, data: current } as unknown as RateEvent;
    states.set(pairKey(event.data), ratesReducer.evolve(states.get(pairKey(event.data)), event));
  }
  return states;
}

/** Rates of one pair and type as known at a position, by date. */
export async function ratesOfPair(store: EventStore, bookId: string, position: number, pair: RatePair): Promise<readonly KnownRate[]> {
  return (await statesAt(store, bookId, position, [pair])).get(pairKey(pair))?.rates ?? [];
}

const product = (a: string, b: string): string => new Exact(a).times(b).toFixed();
const quotient = (a: string, b: string): string => new Exact(a).dividedBy(b).toSignificantDigits(computedDigits).toFixed();
