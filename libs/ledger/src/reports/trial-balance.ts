/**
 * Trial balance: what every account had before a range of dates, received and gave in it, and has after it. Pure. Guarantees
 * that opening + debit − credit = closing in every row, that rows add up to totals, and that the closing of a range is the opening
 * of the one that adjoins it (I13): income and expense start at 0 in the fiscal year of the first day, and what they had is the
 * computed row of retained earnings brought forward.
 *
 * Opening, net and closing are debit − credit. Memorandum accounts are off balance: rows and totals of their own.
 */
import { type AccountType, fromMinor } from '#domain';
import {
  basisOf,
  byColumn,
  type ColumnSums,
  type CurrencyBasis,
  causeOfImbalance,
  headOf,
  isNominal,
  isZero,
  net,
  type Presentation,
  plus,
  printed,
  type ReportHead,
  type ReportInput,
  rollUp,
  type Shown,
  type StatementLink,
  show,
  statementLinks,
  type TreeRow,
  total,
} from './figures';

/** Amounts of one account, or of many, in one column; each with exactly the decimals of the currency. */
export interface TrialBalanceFigures {
  readonly opening: string;
  readonly debit: string;
  readonly credit: string;
  /** debit − credit */
  readonly net: string;
  readonly closing: string;
}

export interface TrialBalanceRow {
  readonly account: string;
  readonly name: string;
  readonly type: string;
  readonly level: number;
  readonly currency: string;
  /** By column; of the account and everything below it. */
  readonly figures: readonly TrialBalanceFigures[];
  /** By column, of the account alone, where something below it counts too. */
  readonly own?: readonly TrialBalanceFigures[];
  /** By column: where the lines are found, of an account that may have some. */
  readonly statements?: readonly string[];
}

export interface TrialBalanceTotal {
  readonly currency: string;
  readonly figures: readonly TrialBalanceFigures[];
}

export interface TrialBalance extends ReportHead, Partial<CurrencyBasis> {
  readonly report: 'trial-balance';
  readonly carry: string;
  readonly closing: string;
  readonly currencyFilter?: string;
  readonly dimensions?: readonly string[];
  readonly depth?: number;
  readonly columns: readonly { readonly from: string; readonly to: string; readonly yearFrom?: string }[];
  readonly rows: readonly TrialBalanceRow[];
  /** Of income and expense in the years before that of each column; absent with carry=none. */
  readonly retainedEarnings?: readonly TrialBalanceTotal[];
  /** Of a conversion: what the rounding of each account leaves over. */
  readonly rounding?: readonly TrialBalanceTotal[];
  readonly totals: readonly TrialBalanceTotal[];
  readonly memorandum: { readonly rows: readonly TrialBalanceRow[]; readonly totals: readonly TrialBalanceTotal[] };
  /** Whether debits equal credits in every column of the totals (I8). */
  readonly balanced: boolean;
  /** Why not. */
  readonly unbalanced?: string;
}

type Total = Shown & { readonly rounded: readonly bigint[] };

/** opening, debit, credit */
const size = 3;
/** How opening, debit and credit of an account in a column come from its sums (I13). */
export const movementOf = (type: AccountType): ((sums: ColumnSums) => bigint[]) => (isNominal(type) ? ofNominal : ofRange);
const ofRange = ({ before, upTo }: ColumnSums): bigint[] => [net(before), upTo.debit - before.debit, upTo.credit - before.credit];
const ofNominal = ({ yearBefore, before, upTo }: ColumnSums): bigint[] => [
  net(before) - net(yearBefore),
  upTo.debit - before.debit,
  upTo.credit - before.credit,
];
/** What income and expense of the years before move to retained earnings. */
export const broughtForward = ({ yearBefore }: ColumnSums): bigint[] => [net(yearBefore), 0n, 0n];

/** @param presentation each currency for itself, or all in one */
export function trialBalance(input: ReportInput, presentation: Presentation): TrialBalance {
  const { chart, parts, asked, columns } = input;
  const memo = chart.filter(({ type }) => type === 'memorandum');
  const main = chart.filter(({ type }) => type !== 'memorandum');
  const nominal = main.filter(({ type }) => isNominal(type));
  const shown = new Map<string, readonly Shown[]>();
  for (const { id, type } of main) shown.set(id, show(parts.get(id), presentation, movementOf(type)));
  // Statistical units have no rate and no base amount: they are shown as they are.
  for (const { id } of memo) shown.set(id, show(parts.get(id), { kind: 'each' }, ofRange));

  const carried = total(
    nominal.flatMap(({ id }) => show(parts.get(id), presentation, broughtForward)),
    presentation,
  );
  const retained = asked.carry === 'fiscalYear' ? [...carried.values()].map((sum) => ({ ...sum, amounts: sum.rounded })) : [];
  const posted = total(
    main.flatMap(({ id }) => shown.get(id) ?? []),
    presentation,
  );
  const rounding =
    presentation.kind === 'converted' ? roundingOf([...posted.values()], asked.carry === 'fiscalYear' ? carried : new Map()) : [];
  const totals = total([...[...posted.values()].map(plain), ...retained.map(plain), ...rounding], { kind: 'each' });
  const memoTotals = total(
    memo.flatMap(({ id }) => shown.get(id) ?? []),
    { kind: 'each' },
  );
  const unbalanced = imbalance(input, presentation, [...totals.values()]);
  const links = columns.map((column) => statementLinks(input, column));
  const rows = (accounts: typeof chart, only: Presentation): TrialBalanceRow[] =>
    rollUp(accounts, ({ id }) => shown.get(id) ?? [], asked.depth).flatMap((row) => rowsOf(input, links, row, only));
  const { currency, basis, rates } = presentation.kind === 'each' ? ({} as Partial<CurrencyBasis>) : basisOf(presentation);
  return {
    ...headOf('trial-balance', 1, input),
    report: 'trial-balance',
    carry: asked.carry,
    closing: asked.closing,
    currencyFilter: asked.currency,
    dimensions: asked.dimensions.length === 0 ? undefined : asked.dimensions,
    depth: asked.depth,
    currency,
    basis,
    rates,
    columns,
    rows: rows(main, presentation),
    retainedEarnings: asked.carry === 'fiscalYear' ? totalsOf(retained, asked.includeZero) : undefined,
    rounding: presentation.kind === 'converted' ? totalsOf(rounding, true) : undefined,
    totals: totalsOf([...totals.values()], true),
    memorandum: { rows: rows(memo, { kind: 'each' }), totals: totalsOf([...memoTotals.values()], true) },
    balanced: unbalanced === undefined,
    unbalanced,
  };
}

const plain = ({ currency, scale, amounts }: Shown): Shown => ({ currency, scale, amounts });

/**
 * What makes up for the rounding of each account: what balances exactly must balance as it is shown. What does not (a filter left
 * out part of an entry) is not explained by rounding, and nothing is added to it.
 */
function roundingOf(posted: readonly Total[], carried: ReadonlyMap<string, Total>): Shown[] {
  return posted.map(({ currency, scale, amounts, exact = [] }) => {
    const before = carried.get(currency);
    const shown = byColumn(plus([amounts, before?.rounded ?? []]), size);
    const exactly = byColumn(plus([exact, before?.exact ?? []]), size);
    const made = shown.flatMap(([opening = 0n, debit = 0n, credit = 0n], column) => {
      const [exactOpening, exactDebit, exactCredit] = exactly[column] ?? [];
      const gap = exactDebit === exactCredit ? debit - credit : 0n;
      return [exactOpening === 0n ? -opening : 0n, gap < 0n ? -gap : 0n, gap > 0n ? gap : 0n];
    });
    return { currency, scale, amounts: made };
  });
}

function imbalance(input: ReportInput, presentation: Presentation, totals: readonly Shown[]): string | undefined {
  const wrong = totals.flatMap(({ currency, scale, amounts }) =>
    byColumn(amounts, size).flatMap(([opening = 0n, debit = 0n, credit = 0n]) =>
      opening === 0n && debit === credit
        ? []
        : [`opening ${fromMinor(opening, scale)}, debits ${fromMinor(debit, scale)}, credits ${fromMinor(credit, scale)} ${currency}`],
    ),
  );
  return wrong.length === 0 ? undefined : `${wrong.join('; ')}: ${causeOfImbalance(input, presentation)}`;
}

function rowsOf(
  { asked, parts }: ReportInput,
  links: readonly StatementLink[],
  { account, level, sums, own }: TreeRow,
  presentation: Presentation,
): TrialBalanceRow[] {
  const linked = (parts.get(account.id) ?? []).length > 0;
  return [...sums.keys()].sort().flatMap((currency) => {
    const { amounts, scale } = sums.get(currency) as Shown;
    if (!asked.includeZero && isZero(amounts)) return [];
    const only = presentation.kind === 'each' || presentation.kind === 'lines' ? currency : undefined;
    const alone = own?.get(currency);
    return [
      {
        account: account.code,
        name: account.name,
        type: account.type,
        level,
        currency,
        figures: figuresOf(amounts, scale),
        own: alone && figuresOf(alone.amounts, scale),
        statements: linked ? links.map((link) => link(account, only)) : undefined,
      },
    ];
  });
}

const totalsOf = (totals: readonly Shown[], zeros: boolean): TrialBalanceTotal[] =>
  totals
    .filter(({ amounts }) => zeros || !isZero(amounts))
    .map(({ currency, scale, amounts }) => ({ currency, figures: figuresOf(amounts, scale) }));

function figuresOf(amounts: readonly bigint[], scale: number): TrialBalanceFigures[] {
  return byColumn(amounts, size).map(([opening = 0n, debit = 0n, credit = 0n]) => {
    const [openingText = '', debitText = '', creditText = '', netText = '', closingText = ''] = printed(
      [opening, debit, credit, debit - credit, opening + debit - credit],
      scale,
    );
    return { opening: openingText, debit: debitText, credit: creditText, net: netText, closing: closingText };
  });
}
