/**
 * Closing lines: the entry that ends a fiscal year in the books, where a book wants one in them; reports compute the same without
 * it. Pure. Guarantees that income and expense are at zero afterwards, in every currency and in base amounts, and that the lines
 * balance (I1).
 */
import { type EntryLine, fromMinor, type Side, scaleOf } from '#domain';
import { isNominal, net, type ReportInput } from './figures';

/**
 * The lines that bring to zero what income and expense moved in the first column of `input`, per account and currency, against
 * one account. Collect the input with closing=include: what an earlier closing entry of the year moved is then not moved again.
 * In a book with fx=tracked the lines carry base amounts; where amount and base amount have opposite signs (rates moved between
 * the lines of an account) each gets a line of its own, since a line has one side. So does, in base currency, what the base amount
 * is apart from the amount (exchange differences are lines without one): a line in base currency is its own base amount.
 * @param retainedEarnings code of the account that takes the result; its lines come last
 * @returns in the order of codes, then currencies; empty when there is nothing to close
 */
export function closingLines(input: ReportInput, retainedEarnings: string): EntryLine[] {
  const { book, chart, parts } = input;
  const lines: EntryLine[] = [];
  const results = new Map<string, { readonly scale: number; readonly amount: bigint; readonly base: bigint }>();
  const baseScale = scaleOf(book, book.baseCurrency) ?? 0;
  const tracked = book.fx === 'tracked' ? baseScale : undefined;
  for (const { id, type, code } of chart) {
    if (!isNominal(type)) continue;
    for (const { currency, scale, own, base } of parts.get(id) ?? []) {
      const moved = own[0] === undefined ? 0n : net(own[0].upTo) - net(own[0].before);
      const movedBase = base[0] === undefined ? 0n : net(base[0].upTo) - net(base[0].before);
      lines.push(...linesOf(code, { currency, scale, isBase: currency === book.baseCurrency }, -moved, -movedBase, tracked));
      const sum = results.get(currency);
      results.set(currency, { scale, amount: (sum?.amount ?? 0n) + moved, base: (sum?.base ?? 0n) + movedBase });
    }
  }
  for (const currency of [...results.keys()].sort()) {
    const { amount, scale, base } = results.get(currency) as { scale: number; amount: bigint; base: bigint };
    lines.push(...linesOf(retainedEarnings, { currency, scale, isBase: currency === book.baseCurrency }, amount, base, tracked));
  }
  return lines;
}

/** @param net debit − credit that the lines have; @param baseScale undefined in a book that has no base amounts */
function linesOf(
  account: string,
  { currency, scale, isBase }: { readonly currency: string; readonly scale: number; readonly isBase: boolean },
  net: bigint,
  baseNet: bigint,
  baseScale?: number,
): EntryLine[] {
  const line = (side: Side, amount: bigint, base: bigint): EntryLine => ({
    account,
    side,
    amount: fromMinor(amount, scale),
    currency,
    ...(baseScale === undefined ? {} : { baseAmount: fromMinor(base, baseScale) }),
  });
  const side = (amount: bigint): Side => (amount > 0n ? 'debit' : 'credit');
  const size = (amount: bigint): bigint => (amount < 0n ? -amount : amount);
  const base = baseScale === undefined ? 0n : baseNet;
  if (net === 0n && base === 0n) return [];
  if (isBase && baseScale !== undefined && net !== 0n) {
    const repeated = line(side(net), size(net), size(net));
    return base === net ? [repeated] : [repeated, line(side(base - net), 0n, size(base - net))];
  }
  if (net === 0n) return [line(side(base), 0n, size(base))];
  if (base === 0n || side(base) === side(net)) return [line(side(net), size(net), size(base))];
  return [line(side(net), size(net), 0n), line(side(base), 0n, size(base))];
}
