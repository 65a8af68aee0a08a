/**
 * Valuation: what every balance is worth in one currency at the rates of a day, exactly. Pure. Guarantees that value = quantity ×
 * rate with every decimal, and that the total is the exact sum, rounded once; nothing is rounded in between.
 */
import { accountTypes, fromMinor, rescale } from '#domain';
import {
  exactly,
  headOf,
  net,
  type Presentation,
  printedExactly,
  type Rate,
  type ReportHead,
  type ReportInput,
  statementLinks,
} from './figures';

export interface ValuationRow {
  readonly account: string;
  readonly name: string;
  readonly type: string;
  readonly currency: string;
  /** Debit − credit of all lines up to the day, with the decimals of its currency. */
  readonly quantity: string;
  /** 1 for the currency of the valuation itself. */
  readonly rate: Rate;
  /** quantity × rate, without zeros at its end. */
  readonly value: string;
  readonly statement: string;
}

export interface Valuation extends ReportHead {
  readonly report: 'valuation';
  readonly asOf: string;
  readonly currency: string;
  readonly rateType: string;
  readonly rateDate: string;
  readonly currencyFilter?: string;
  readonly dimensions?: readonly string[];
  /** By account code, then currency. Memorandum accounts are off balance and have no value. */
  readonly rows: readonly ValuationRow[];
  /** Exact sums of the values of each type, debit − credit. */
  readonly totals: readonly { readonly type: string; readonly value: string }[];
  /** Exact sum of all of them, and the same with the decimals of the currency: 0 in whole books, since entries balance. */
  readonly total: string;
  readonly rounded: string;
}

/** @param input with one column; @param presentation the conversion, see converted */
export function valuation(input: ReportInput, presentation: Extract<Presentation, { kind: 'converted' }>): Valuation {
  const { chart, parts, asked, columns } = input;
  const asOf = columns[0]?.to ?? '';
  const { currency, scale, exactScale, rounding } = presentation;
  const { type: rateType, date: rateDate, of } = presentation.rates[0] as (typeof presentation.rates)[number];
  let total = 0n;
  const byType = new Map<string, bigint>();
  const linkOf = statementLinks(input, { to: asOf });
  const rows: ValuationRow[] = [];
  for (const { id, code, name, type } of chart) {
    if (type === 'memorandum') continue;
    for (const part of parts.get(id) ?? []) {
      const [sums] = part.own;
      const quantity = sums === undefined ? 0n : net(sums.upTo);
      if (quantity === 0n && !asked.includeZero) continue;
      const value = exactly(presentation, quantity, part, 0);
      total += value;
      byType.set(type, (byType.get(type) ?? 0n) + value);
      rows.push({
        account: code,
        name,
        type,
        currency: part.currency,
        quantity: fromMinor(quantity, part.scale),
        rate: shownRate(of.get(part.currency), asOf),
        value: printedExactly(value, exactScale),
        statement: linkOf({ code, type }, part.currency),
      });
    }
  }
  return {
    ...headOf('valuation', 1, input),
    report: 'valuation',
    asOf,
    currency,
    rateType,
    rateDate,
    currencyFilter: asked.currency,
    dimensions: asked.dimensions.length === 0 ? undefined : asked.dimensions,
    rows,
    totals: accountTypes.flatMap((type) => {
      const value = byType.get(type);
      return value === undefined ? [] : [{ type, value: printedExactly(value, exactScale) }];
    }),
    total: printedExactly(total, exactScale),
    rounded: fromMinor(rescale(total, exactScale, scale, rounding), scale),
  };
}

const shownRate = (rate: Rate | undefined, date: string): Rate =>
  rate === undefined
    ? { value: '1', date, source: 'same currency' }
    : { value: rate.value, date: rate.date, source: rate.source, via: rate.via };
