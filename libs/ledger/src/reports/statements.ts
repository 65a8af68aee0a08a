/**
 * Statements: balance sheet and income statement, in one currency. Pure. Guarantees that the balance sheet balances at every
 * date, because equity holds two computed rows: what income and expense had in the years before ("retained earnings brought
 * forward") and what they have in this one ("result of the year", IAS 1.54(r), 1.81A); and that this result is the income
 * statement's of the same days.
 *
 * Each section is in the sign of its type (IAS 1.54, 1.82, 1.99): assets debit − credit, liabilities, equity and income
 * credit − debit, expenses debit − credit. Contra accounts come out negative and subtract. Memorandum accounts are off balance.
 */
import { type AccountType, fromMinor } from '#domain';
import {
  basisOf,
  type ColumnSums,
  type CurrencyBasis,
  causeOfImbalance,
  headOf,
  isNominal,
  isZero,
  net,
  type OneCurrency,
  plus,
  printed,
  type ReportHead,
  type ReportInput,
  rollUp,
  type Shown,
  type StatementLink,
  show,
  signOf,
  statementLinks,
  type TreeRow,
  total,
} from './figures';

export interface StatementRow {
  readonly account: string;
  readonly name: string;
  readonly level: number;
  /** By column; of the account and everything below it. */
  readonly amounts: readonly string[];
  /** By column, of the account alone, where something below it counts too. */
  readonly own?: readonly string[];
  /** By column: where the lines are found, of an account that may have some. */
  readonly statements?: readonly string[];
}

/** A row that no account stands behind. */
export interface ComputedRow {
  readonly row: 'retainedEarnings' | 'result' | 'rounding';
  readonly name: string;
  readonly amounts: readonly string[];
}

export interface StatementSection {
  readonly type: AccountType;
  readonly rows: readonly StatementRow[];
  readonly computed?: readonly ComputedRow[];
  readonly total: readonly string[];
}

export interface BalanceSheet extends ReportHead, CurrencyBasis {
  readonly report: 'balance-sheet';
  readonly carry: string;
  readonly closing: string;
  readonly currencyFilter?: string;
  readonly dimensions?: readonly string[];
  readonly depth?: number;
  /** `yearFrom`: first day that the result of the year counts from; absent with carry=none. */
  readonly columns: readonly { readonly asOf: string; readonly yearFrom?: string }[];
  /** asset, liability, equity */
  readonly sections: readonly StatementSection[];
  readonly assets: readonly string[];
  readonly liabilitiesAndEquity: readonly string[];
  /** assets − liabilities − equity */
  readonly difference: readonly string[];
  readonly balanced: boolean;
  /** Why not. */
  readonly unbalanced?: string;
  /** Off balance, in units of their own, debit − credit. */
  readonly memorandum: readonly (StatementRow & { readonly currency: string })[];
}

export interface IncomeStatement extends ReportHead, CurrencyBasis {
  readonly report: 'income-statement';
  readonly closing: string;
  readonly currencyFilter?: string;
  readonly dimensions?: readonly string[];
  readonly depth?: number;
  readonly columns: readonly { readonly from: string; readonly to: string }[];
  /** income, expense */
  readonly sections: readonly StatementSection[];
  /** Of a conversion: what the rounding of each account leaves over. */
  readonly rounding?: readonly string[];
  /** income − expenses; a loss is negative. */
  readonly result: readonly string[];
}

/** @param presentation see oneCurrency */
export function balanceSheet(input: ReportInput, presentation: OneCurrency): BalanceSheet {
  const { chart, columns, parts, asked } = input;
  const { scale } = presentation;
  const text = (amounts: readonly bigint[]): string[] => printed(amounts, scale);
  const nothing = columns.map(() => 0n);
  const sections = (['asset', 'liability', 'equity'] as const).map((type) => sectionOf(input, presentation, type, ({ upTo }) => net(upTo)));
  const nominal = chart.filter(({ type }) => isNominal(type));
  const ofNominal = (pick: Pick): readonly bigint[] =>
    sumOf(
      nominal.flatMap(({ id }) => show(parts.get(id), presentation, (sums) => [-pick(sums)])),
      presentation,
      nothing,
    );
  const retained = ofNominal(({ yearBefore }) => net(yearBefore));
  const result = ofNominal(({ yearBefore, upTo }) => net(upTo) - net(yearBefore));
  const [assets = nothing, liabilities = nothing, equity = nothing] = sections.map(({ sum }) => sum);
  const without = minus(assets, plus([liabilities, equity, retained, result]));
  // Exactly, before any account was rounded: not 0 only where a filter or memorandum accounts left out part of an entry.
  const off = sumOf(
    chart.flatMap(({ id, type }) => (type === 'memorandum' ? [] : show(parts.get(id), presentation, ({ upTo }) => [net(upTo)]))),
    presentation,
    nothing,
  );
  const rounding = minus(without, off);
  const computed: ComputedRow[] = [
    ...(asked.carry === 'fiscalYear'
      ? [{ row: 'retainedEarnings' as const, name: 'Retained earnings brought forward', amounts: text(retained) }]
      : []),
    { row: 'result', name: asked.carry === 'fiscalYear' ? 'Result of the year' : 'Result since inception', amounts: text(result) },
    ...(presentation.kind === 'converted' ? [{ row: 'rounding' as const, name: 'Rounding difference', amounts: text(rounding) }] : []),
  ];
  const equityTotal = plus([equity, retained, result, rounding]);
  const claims = plus([liabilities, equityTotal]);
  const difference = minus(assets, claims);
  return {
    ...headOf('balance-sheet', 1, input),
    report: 'balance-sheet',
    ...askedOf(input),
    ...basisOf(presentation),
    columns: columns.map(({ to, yearFrom }) => ({ asOf: to, yearFrom })),
    sections: sections.map(({ type, rows, sum }) =>
      type === 'equity' ? { type, rows, computed, total: text(equityTotal) } : { type, rows, total: text(sum) },
    ),
    assets: text(assets),
    liabilitiesAndEquity: text(claims),
    difference: text(difference),
    balanced: isZero(difference),
    unbalanced: isZero(difference) ? undefined : whyNot(input, presentation, assets, claims),
    memorandum: memorandumRows(input),
  };
}

/** @param presentation see oneCurrency */
export function incomeStatement(input: ReportInput, presentation: OneCurrency): IncomeStatement {
  const { columns, chart, parts } = input;
  const text = (amounts: readonly bigint[]): string[] => printed(amounts, presentation.scale);
  const nothing = columns.map(() => 0n);
  const inRange: Pick = ({ before, upTo }) => net(upTo) - net(before);
  const sections = (['income', 'expense'] as const).map((type) => sectionOf(input, presentation, type, inRange));
  const [income = nothing, expense = nothing] = sections.map(({ sum }) => sum);
  const nominal = chart.filter(({ type }) => isNominal(type));
  const result = sumOf(
    nominal.flatMap(({ id }) => show(parts.get(id), presentation, (sums) => [-inRange(sums)])),
    presentation,
    nothing,
  );
  const { carry: _carry, ...asked } = askedOf(input);
  return {
    ...headOf('income-statement', 1, input),
    report: 'income-statement',
    ...asked,
    ...basisOf(presentation),
    columns: columns.map(({ from, to }) => ({ from, to })),
    sections: sections.map(({ type, rows, sum }) => ({ type, rows, total: text(sum) })),
    rounding: presentation.kind === 'converted' ? text(minus(result, minus(income, expense))) : undefined,
    result: text(result),
  };
}

/** One amount of a column, minor units. */
type Pick = (sums: ColumnSums) => bigint;

const minus = (one: readonly bigint[], other: readonly bigint[]): bigint[] => one.map((amount, index) => amount - (other[index] ?? 0n));

/** The exact sum of what accounts show, rounded once. */
function sumOf(shown: readonly Shown[], presentation: OneCurrency, nothing: readonly bigint[]): readonly bigint[] {
  return total(shown, presentation).get(presentation.currency)?.rounded ?? nothing;
}

function askedOf({ asked }: ReportInput) {
  return {
    carry: asked.carry,
    closing: asked.closing,
    currencyFilter: asked.currency,
    dimensions: asked.dimensions.length === 0 ? undefined : asked.dimensions,
    depth: asked.depth,
  };
}

/** Rows of the accounts of one type and their sum, which is that of the amounts shown. */
function sectionOf(
  input: ReportInput,
  presentation: OneCurrency,
  type: AccountType,
  pick: Pick,
): { readonly type: AccountType; readonly rows: readonly StatementRow[]; readonly sum: readonly bigint[] } {
  const { chart, parts, columns, asked } = input;
  const accounts = chart.filter((account) => account.type === type);
  const sign = signOf(type);
  const shown = new Map(accounts.map(({ id }) => [id, show(parts.get(id), presentation, (sums) => [sign * pick(sums)])]));
  const links = columns.map((column) => statementLinks(input, column));
  const rows = rollUp(accounts, ({ id }) => shown.get(id) ?? [], asked.depth).flatMap((row) => rowOf(input, presentation, links, row));
  const sum = plus([columns.map(() => 0n), ...[...shown.values()].flatMap((each) => each.map(({ amounts }) => amounts))]);
  return { type, rows, sum };
}

function rowOf(
  { asked, columns, parts }: ReportInput,
  presentation: OneCurrency,
  links: readonly StatementLink[],
  { account, level, sums, own }: TreeRow,
): StatementRow[] {
  const { currency, scale } = presentation;
  const amounts = sums.get(currency)?.amounts ?? columns.map(() => 0n);
  if (!asked.includeZero && isZero(amounts)) return [];
  const alone = own?.get(currency);
  const only = presentation.kind === 'lines' ? currency : undefined;
  const linked = (parts.get(account.id) ?? []).length > 0;
  return [
    {
      account: account.code,
      name: account.name,
      level,
      amounts: printed(amounts, scale),
      own: alone && printed(alone.amounts, scale),
      statements: linked ? links.map((link) => link(account, only)) : undefined,
    },
  ];
}

function memorandumRows(input: ReportInput): (StatementRow & { readonly currency: string })[] {
  const { chart, parts, asked, columns } = input;
  const accounts = chart.filter(({ type }) => type === 'memorandum');
  const links = columns.map((column) => statementLinks(input, column));
  const rows = rollUp(accounts, ({ id }) => show(parts.get(id), { kind: 'each' }, ({ upTo }) => [net(upTo)]), asked.depth);
  return rows.flatMap(({ account, level, sums, own }) =>
    [...sums.values()].flatMap(({ currency, scale, amounts }) => {
      if (!asked.includeZero && isZero(amounts)) return [];
      const alone = own?.get(currency);
      const linked = (parts.get(account.id) ?? []).length > 0;
      return [
        {
          account: account.code,
          name: account.name,
          level,
          currency,
          amounts: printed(amounts, scale),
          own: alone && printed(alone.amounts, scale),
          statements: linked ? links.map((link) => link(account, currency)) : undefined,
        },
      ];
    }),
  );
}

function whyNot(input: ReportInput, presentation: OneCurrency, assets: readonly bigint[], claims: readonly bigint[]): string {
  const { currency, scale } = presentation;
  const column = assets.findIndex((amount, index) => amount !== claims[index]);
  const [left, right] = [assets[column] ?? 0n, claims[column] ?? 0n];
  const sums = `as of ${input.columns[column]?.to} assets are ${fromMinor(left, scale)}, liabilities and equity ${fromMinor(right, scale)}, difference ${fromMinor(left - right, scale)} ${currency}`;
  return `${sums}: ${causeOfImbalance(input, presentation)}`;
}
