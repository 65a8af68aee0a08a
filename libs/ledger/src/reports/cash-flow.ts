/**
 * Cash-flow statement by the direct method (IAS 7.18(a)), from the entries that touch accounts with subtype `cash`. Pure.
 * Guarantees that opening cash + flows = closing cash: an entry balances, so what its other lines have (credit − debit) is what
 * cash received. Transfers between cash accounts have no other line, and are no flow (IAS 7.9).
 *
 * A flow belongs to the activity that its counter account names (`cashFlow`: operating, investing, financing; operating when
 * absent or another word). Lines of revaluation entries are no flows; they stand apart (IAS 7.28).
 */
import { decimalsOf, type JournalEntryPosted, type PostedLine, scaleOf, toMinor } from '#domain';
import type { AccountView } from '../projections/chart';
import {
  basisOf,
  byColumn,
  byCurrency,
  type ColumnSums,
  type CurrencyBasis,
  type CurrencyPart,
  headOf,
  isZero,
  net,
  type OneCurrency,
  plus,
  printed,
  type ReportHead,
  type ReportInput,
  rollUp,
  type Shown,
  show,
  statementLinks,
  total,
  zeroColumn,
} from './figures';

const activities = ['operating', 'investing', 'financing', 'exchangeRates'] as const;
export type Activity = (typeof activities)[number];

export interface CashFlowRow {
  readonly account: string;
  readonly name: string;
  readonly type: string;
  readonly level: number;
  /** By column; receipts − payments. */
  readonly amounts: readonly string[];
  /** Gross (IAS 7.18(a), 7.21): sums of the entries in which the account brought cash, or cost it. */
  readonly receipts: readonly string[];
  readonly payments: readonly string[];
  readonly statements?: readonly string[];
}

export interface CashFlow extends ReportHead, CurrencyBasis {
  readonly report: 'cash-flow';
  readonly currencyFilter?: string;
  readonly depth?: number;
  readonly columns: readonly { readonly from: string; readonly to: string }[];
  /** Accounts that are cash, with what they had before and after. */
  readonly cash: readonly {
    readonly account: string;
    readonly name: string;
    readonly opening: readonly string[];
    readonly closing: readonly string[];
    readonly statements: readonly string[];
  }[];
  readonly opening: readonly string[];
  readonly sections: readonly { readonly activity: Activity; readonly rows: readonly CashFlowRow[]; readonly total: readonly string[] }[];
  /** Of a conversion: what the rounding of each account leaves over. */
  readonly rounding?: readonly string[];
  /** closing − opening */
  readonly change: readonly string[];
  readonly closing: readonly string[];
}

export const isCash = ({ subtype }: Pick<AccountView, 'subtype'>): boolean => subtype === 'cash';

/** Whether this line is the one at which an entry with several lines on cash accounts is counted. */
export function isFirstCashLine({ lines }: JournalEntryPosted, line: number, cash: ReadonlySet<string>): boolean {
  return lines.find(({ accountId }) => cash.has(accountId))?.line === line;
}

type Parts = Map<string, { readonly scale: number; readonly own: ColumnSums[]; readonly base: ColumnSums[] }>;

/** Flows of a number of columns, collected from entries one by one; credit is what cash received, debit what it paid. */
export class CashFlows {
  private readonly found: Readonly<Record<Activity, Map<string, Parts>>> = {
    operating: new Map(),
    investing: new Map(),
    financing: new Map(),
    exchangeRates: new Map(),
  };
  private readonly accounts: ReadonlyMap<string, AccountView>;
  private readonly baseScale: number;

  constructor(
    { book, chart }: Pick<ReportInput, 'book' | 'chart'>,
    private readonly columns: number,
  ) {
    this.accounts = new Map(chart.map((account) => [account.id, account]));
    this.baseScale = scaleOf(book, book.baseCurrency) ?? 0;
  }

  /**
   * Adds an entry that touches cash. In a currency that it does not touch cash in, nothing was received or paid: of such lines
   * only the base amounts count.
   * @param takesBack it reverses a revaluation, so it is no more a flow than that was
   */
  add(column: number, { lines, entryType }: JournalEntryPosted, takesBack = false): void {
    const isCashLine = ({ accountId }: PostedLine): boolean => this.isCash(accountId);
    const touched = new Set(lines.filter(isCashLine).map(({ currency }) => currency));
    const nets = new Map<string, { line: PostedLine; own: bigint; base: bigint }>();
    for (const line of lines) {
      if (isCashLine(line)) continue;
      const { accountId, currency, side, amount, baseAmount } = line;
      const sign = side === 'credit' ? 1n : -1n;
      const key = `${accountId} ${currency}`;
      const sum = nets.get(key) ?? { line, own: 0n, base: 0n };
      if (touched.has(currency)) sum.own += sign * (toMinor(amount, decimalsOf(amount)) ?? 0n);
      sum.base += sign * (toMinor(baseAmount ?? '0', this.baseScale) ?? 0n);
      nets.set(key, sum);
    }
    for (const { line, own, base } of nets.values()) {
      const account = this.accounts.get(line.accountId);
      const activity = takesBack || entryType === 'revaluation' ? 'exchangeRates' : activityOf(account);
      const sums = this.sumsOf(activity, line);
      sums.own[column] = moved(sums.own[column], own);
      sums.base[column] = moved(sums.base[column], base);
    }
  }

  /** What one account's flows are made of, as parts of a report: all of them happened in their columns. */
  parts(activity: Activity, accountId: string): CurrencyPart[] {
    const parts = this.found[activity].get(accountId);
    return [...(parts?.entries() ?? [])].map(([currency, part]) => ({ currency, ...part })).sort(byCurrency);
  }

  private isCash(accountId: string): boolean {
    const account = this.accounts.get(accountId);
    return account !== undefined && isCash(account);
  }

  private sumsOf(activity: Activity, { accountId, currency, amount }: PostedLine): { own: ColumnSums[]; base: ColumnSums[] } {
    const parts = this.found[activity].get(accountId) ?? new Map();
    this.found[activity].set(accountId, parts);
    const nothing = (): ColumnSums[] => Array.from({ length: this.columns }, () => zeroColumn);
    const part = parts.get(currency) ?? { scale: decimalsOf(amount), own: nothing(), base: nothing() };
    parts.set(currency, part);
    return part;
  }
}

const moved = ({ upTo: { debit, credit } }: ColumnSums = zeroColumn, net: bigint): ColumnSums => ({
  ...zeroColumn,
  upTo: net < 0n ? { debit: debit - net, credit } : { debit, credit: credit + net },
});

const activityOf = (account: Pick<AccountView, 'cashFlow'> | undefined): Activity =>
  account?.cashFlow === 'investing' || account?.cashFlow === 'financing' ? account.cashFlow : 'operating';

/**
 * @param input collected with carry=none; its columns are those of `flows`
 * @throws Error when the flows do not explain the change: a fault of ours
 */
export function cashFlow(input: ReportInput, presentation: OneCurrency, flows: CashFlows): CashFlow {
  const { chart, columns, parts, asked } = input;
  const text = (amounts: readonly bigint[]): string[] => printed(amounts, presentation.scale);
  const nothing = columns.map(() => 0n);
  const links = columns.map((column) => statementLinks(input, column));
  const cashAccounts = chart.filter(isCash);
  const heldBy = (accounts: readonly AccountView[], pick: (sums: ColumnSums) => bigint): readonly bigint[] =>
    total(
      accounts.flatMap(({ id }) => show(parts.get(id), presentation, (sums) => [pick(sums)])),
      presentation,
    ).get(presentation.currency)?.rounded ?? nothing;
  const before = ({ before: sum }: ColumnSums): bigint => net(sum);
  const after = ({ upTo }: ColumnSums): bigint => net(upTo);
  const [opening, closing] = [heldBy(cashAccounts, before), heldBy(cashAccounts, after)];
  const change = closing.map((amount, index) => amount - (opening[index] ?? 0n));

  const sections = activities.map((activity) => {
    const shown = new Map(chart.map(({ id }) => [id, show(flows.parts(activity, id), presentation, receiptsAndPayments)]));
    // A revaluation moves other accounts too; of it cash has its own part only, which no counter account names.
    const tree = activity === 'exchangeRates' ? [] : rollUp(chart, ({ id }) => shown.get(id) ?? [], asked.depth);
    const rows = tree.flatMap(({ account, level, sums }): CashFlowRow[] => {
      const found = sums.get(presentation.currency);
      if (found === undefined || (!asked.includeZero && isZero(found.amounts))) return [];
      const [receipts, payments] = split(found);
      return [
        {
          account: account.code,
          name: account.name,
          type: account.type,
          level,
          amounts: text(receipts.map((amount, index) => amount - (payments[index] ?? 0n))),
          receipts: text(receipts),
          payments: text(payments),
          statements: parts.has(account.id) ? links.map((link) => link(account)) : undefined,
        },
      ];
    });
    const sum = plus([nothing, ...[...shown.values()].flat().map((one) => netOf(one))]);
    return { activity, rows, sum };
  });
  const flowed = plus(sections.map(({ sum }) => sum));
  const rounding = change.map((amount, index) => amount - (flowed[index] ?? 0n));
  if (presentation.kind !== 'converted' && !isZero(rounding)) {
    throw new Error(`cash changed by ${text(change)}, its flows are ${text(flowed)}`);
  }
  return {
    ...headOf('cash-flow', 1, input),
    report: 'cash-flow',
    currencyFilter: asked.currency,
    depth: asked.depth,
    ...basisOf(presentation),
    columns: columns.map(({ from, to }) => ({ from, to })),
    cash: cashAccounts
      .filter(({ id }) => parts.has(id))
      .map((account) => ({
        account: account.code,
        name: account.name,
        opening: text(heldBy([account], before)),
        closing: text(heldBy([account], after)),
        statements: links.map((link) => link(account)),
      })),
    opening: text(opening),
    sections: sections.map(({ activity, rows, sum }) => ({ activity, rows, total: text(sum) })),
    rounding: presentation.kind === 'converted' ? text(rounding) : undefined,
    change: text(change),
    closing: text(closing),
  };
}

const receiptsAndPayments = ({ upTo: { debit, credit } }: ColumnSums): bigint[] => [credit, debit];

const split = ({ amounts }: Shown): [receipts: bigint[], payments: bigint[]] => {
  const columns = byColumn(amounts, 2);
  return [columns.map(([receipts = 0n]) => receipts), columns.map(([, payments = 0n]) => payments)];
};

const netOf = (shown: Shown): bigint[] => {
  const [receipts, payments] = split(shown);
  return receipts.map((amount, index) => amount - (payments[index] ?? 0n));
};
