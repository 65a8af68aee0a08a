/**
 * The lines of accounts with running balances: of all accounts (general ledger) or of one (its statement). Hides how lines are found
 * and which of them count, and how pages go on inside an account; guarantees that opening + lines = closing in the currency of the
 * lines and, in a book with fx=tracked, in base currency too, on whichever page of either report, and that both show the same
 * figures when they are asked the same. The general ledger shows debit − credit, a statement the sign of its account's normal side.
 */
import { addDays, type CalendarDate, fromMinor, type JournalEntryPosted, type PostedLine, type Side, toMinor } from '#domain';
import { type AccountView, afterCode } from '../projections/chart';
import { type LineKey, linesOf, type RegisterLine, register } from '../projections/register';
import { balanceOf, type CurrencyBalance, type Queries } from '../queries';
import type { Cell } from './csv';
import {
  type Asked,
  baseScaleOf,
  type Column,
  entryLink,
  entryNumber,
  headOf,
  isNominal,
  net,
  type ReportHead,
  type ReportInput,
  type Sum,
  sortedByKey,
  statementLinks,
  streamLink,
} from './figures';
import { type Inputs, lineFilter, type Place } from './inputs';

const entriesPerRead = 500;
/** Accounts that a page of the general ledger looks at, most of which may have nothing to show. */
const accountsPerPage = 100;

/** What is asked of a report whose rows are lines or entries: its days, its filters, and the place that it is answered at. */
export interface Listing {
  readonly place: Place;
  readonly column: Column;
  readonly asked: Asked;
}

export const filtersOf = ({ currency, dimensions }: Asked): { currencyFilter?: string; dimensions?: readonly string[] } => ({
  currencyFilter: currency,
  dimensions: dimensions.length === 0 ? undefined : dimensions,
});

/** The first items, and whether there are more. */
export async function take<T>(items: AsyncGenerator<T>, limit: number): Promise<{ readonly items: T[]; readonly more: boolean }> {
  const taken: T[] = [];
  for await (const item of items) {
    if (taken.length === limit) return { items: taken, more: true };
    taken.push(item);
  }
  return { items: taken, more: false };
}

// --- What is shown ---

/** What a line is in base currency; all absent in a book that does not track it, and the sides of a line without base amount. */
interface LineInBase {
  readonly baseDebit?: string;
  readonly baseCredit?: string;
  /** What the account's lines in this line's currency add up to after the line, in the sign of runningBalance. */
  readonly runningBaseBalance?: string;
}

export interface LedgerBalance {
  readonly currency: string;
  /** Debit − credit. */
  readonly balance: string;
  /** The same of base amounts, in a book with fx=tracked. */
  readonly baseBalance?: string;
}

export interface LedgerLine extends LineInBase {
  readonly date: CalendarDate;
  readonly entryId: string;
  readonly line: number;
  /** Of the entry. */
  readonly position: number;
  readonly number: string;
  readonly entryType: string;
  readonly description: string;
  readonly reference?: string;
  readonly currency: string;
  readonly debit?: string;
  readonly credit?: string;
  /** Debit − credit of the account in this currency after the line. */
  readonly runningBalance: string;
  readonly entry: string;
  readonly events: string;
}

export interface LedgerAccount {
  readonly account: string;
  readonly name: string;
  readonly type: string;
  /** Of the whole range, on every page that shows the account, as is `closing`. */
  readonly opening: readonly LedgerBalance[];
  readonly lines: readonly LedgerLine[];
  readonly closing: readonly LedgerBalance[];
  readonly statement: string;
}

export interface GeneralLedger extends ReportHead {
  readonly report: 'general-ledger';
  readonly carry: string;
  readonly closing: string;
  readonly currencyFilter?: string;
  readonly dimensions?: readonly string[];
  readonly from: CalendarDate;
  readonly to: CalendarDate;
  readonly yearFrom?: CalendarDate;
  /** By account code. */
  readonly accounts: readonly LedgerAccount[];
  /** On the last page: what income and expense had in the years before; absent with carry=none. */
  readonly retainedEarnings?: readonly LedgerBalance[];
  readonly nextCursor?: string;
}

export interface StatementLine extends LineInBase {
  readonly date: CalendarDate;
  readonly position: number;
  readonly entryId: string;
  readonly line: number;
  readonly journalCode: string;
  readonly fiscalYear: string;
  readonly number: number;
  /** The line's own text where it has one, else the entry's. */
  readonly description: string;
  readonly reference?: string;
  readonly side: Side;
  readonly amount: string;
  readonly currency: string;
  /** Balance of the currency after this line, in the sign of the account's normal side. */
  readonly runningBalance: string;
  readonly entry: string;
  readonly events: string;
}

export interface StatementAnswer {
  readonly account: string;
  readonly from: CalendarDate;
  readonly to: CalendarDate;
  readonly carry: string;
  /** First day of the fiscal year that an income or expense account counts from. */
  readonly yearFrom?: CalendarDate;
  /** Whether closing entries dated in the range count. */
  readonly closingEntries: string;
  readonly currencyFilter?: string;
  readonly dimensions?: readonly string[];
  readonly position: number;
  /** Of lines since inception, of an income or expense account since `yearFrom`; of the whole statement on every page, as is `closing`. */
  readonly opening: readonly CurrencyBalance[];
  readonly lines: readonly StatementLine[];
  readonly closing: readonly CurrencyBalance[];
  readonly nextCursor?: string;
  readonly reportVersion: number;
}

/** Account code, and the last line shown of it; no date: from the account's first line on. */
export type LedgerKey = readonly [code: string, date: string, position: number, line: number];

// --- Lines and figures ---

/** After every line of a day. */
const endOf = (date: CalendarDate): LineKey => ({ date, position: Number.MAX_SAFE_INTEGER, line: 2 ** 31 - 1 });

const isAfter = (a: LineKey, b: LineKey): boolean =>
  a.date !== b.date ? a.date > b.date : a.position !== b.position ? a.position > b.position : a.line > b.line;

/** A line with its entry. */
export interface AccountLine {
  readonly line: RegisterLine;
  readonly posted: JournalEntryPosted;
  readonly own: PostedLine;
}

/** A line with what the account has after it in the line's currency: debit − credit, minor units. */
interface RunningLine extends AccountLine {
  readonly balance: bigint;
  readonly scale: number;
  readonly baseBalance: bigint;
  /** Decimals of the base currency; undefined where it is not tracked. */
  readonly baseScale: number | undefined;
}

/** Totals of an account in one currency at both ends of the range. */
interface Figures {
  readonly currency: string;
  readonly scale: number;
  readonly opening: Sum;
  readonly closing: Sum;
  readonly baseOpening: Sum;
  readonly baseClosing: Sum;
  /** Decimals of the base currency; undefined where it is not tracked. */
  readonly baseScale: number | undefined;
}

/** Figures of an account; currencies in which it has neither balance nor lines are left out unless zeros are asked for. */
function figuresOf({ book, parts, asked }: ReportInput, { id, type }: Pick<AccountView, 'id' | 'type'>): Figures[] {
  const baseScale = baseScaleOf(book);
  const moves = (opening: Sum, closing: Sum): boolean =>
    [net(opening), net(closing), closing.debit - opening.debit, closing.credit - opening.credit].some((amount) => amount !== 0n);
  return (parts.get(id) ?? []).flatMap(({ currency, scale, own: [own], base: [base] }) => {
    if (own === undefined || base === undefined) return [];
    const since = (sum: Sum, start: Sum): Sum =>
      isNominal(type) ? { debit: sum.debit - start.debit, credit: sum.credit - start.credit } : sum;
    const [opening, closing] = [since(own.before, own.yearBefore), since(own.upTo, own.yearBefore)];
    const [baseOpening, baseClosing] = [since(base.before, base.yearBefore), since(base.upTo, base.yearBefore)];
    if (!asked.includeZero && !moves(opening, closing) && (baseScale === undefined || !moves(baseOpening, baseClosing))) return [];
    return [{ currency, scale, opening, closing, baseOpening, baseClosing, baseScale }];
  });
}

/** Debit − credit at one end of the range. */
const ledgerBalance =
  (end: 'opening' | 'closing') =>
  ({ currency, scale, baseScale, ...sums }: Figures): LedgerBalance => ({
    currency,
    balance: fromMinor(net(sums[end]), scale),
    baseBalance: baseScale === undefined ? undefined : fromMinor(net(end === 'opening' ? sums.baseOpening : sums.baseClosing), baseScale),
  });

const statementBalance =
  (end: 'opening' | 'closing', normalSide: Side) =>
  ({ currency, scale, baseScale, ...sums }: Figures): CurrencyBalance => {
    const base = end === 'opening' ? sums.baseOpening : sums.baseClosing;
    return balanceOf({ currency, scale, ...sums[end], baseScale, baseDebit: base.debit, baseCredit: base.credit }, normalSide);
  };

export class AccountLines {
  constructor(
    private readonly inputs: Inputs,
    private readonly queries: Queries,
  ) {}

  // --- General ledger ---

  /** @param limit accounts and lines of the page together */
  async ledgerPage(
    listing: Listing,
    key: LedgerKey | undefined,
    limit: number,
  ): Promise<{
    readonly accounts: readonly LedgerAccount[];
    readonly retainedEarnings?: readonly LedgerBalance[];
    readonly next?: LedgerKey;
  }> {
    const { place, column, asked } = listing;
    const input = await this.inputs.collect(place, [column], asked, { from: key?.[0], limit: accountsPerPage });
    const accounts: LedgerAccount[] = [];
    let room = limit;
    for (const account of input.chart) {
      const figures = figuresOf(input, account);
      if (figures.length === 0) continue;
      // An account begins with a line of its own at least, but for the first, which must be shown in any case.
      if (room < 2 && accounts.length > 0) return { accounts, next: [account.code, '', 0, 0] };
      const resumed =
        key !== undefined && key[0] === account.code && key[1] !== '' ? { date: key[1], position: key[2], line: key[3] } : undefined;
      const { items, more } = await take(
        this.running(listing, account, figures, { leftOut: input.leftOut, resumed }),
        Math.max(1, room - 1),
      );
      room -= 1 + items.length;
      accounts.push({ ...ledgerAccount(listing, account, figures), lines: items.map((item) => ledgerLine(place, item)) });
      const last = items.at(-1)?.line;
      if (more && last !== undefined) return { accounts, next: [account.code, last.date, last.position, last.line] };
    }
    const last = input.chart.at(-1);
    if (input.chart.length === accountsPerPage && last !== undefined) return { accounts, next: [afterCode(last.code), '', 0, 0] };
    if (asked.carry === 'none') return { accounts };
    return { accounts, retainedEarnings: retainedIn(await this.inputs.collect(place, [column], asked)) };
  }

  /** The whole ledger as rows of CSV; what is kept is the chart with its totals, and a page of lines. */
  async *ledgerRows(listing: Listing): AsyncGenerator<Cell[]> {
    const { place, column, asked } = listing;
    const input = await this.inputs.collect(place, [column], asked);
    for (const account of input.chart) {
      const figures = figuresOf(input, account);
      if (figures.length === 0) continue;
      const { opening, closing } = ledgerAccount(listing, account, figures);
      yield* opening.map((balance) => balanceRow('opening', account, balance));
      for await (const item of this.running(listing, account, figures, { leftOut: input.leftOut }))
        yield lineRow(account, ledgerLine(place, item));
      yield* closing.map((balance) => balanceRow('closing', account, balance));
    }
    if (asked.carry === 'none') return;
    yield* retainedIn(input).map((balance) => balanceRow('retainedEarnings', { name: 'Retained earnings brought forward' }, balance));
  }

  // --- The statement of one account ---

  /**
   * Every currency that the account had a line in up to the end of the range is shown, whatever its balance.
   * @param key the last line shown
   */
  async statementPage(
    listing: Listing,
    account: AccountView,
    key: LineKey | undefined,
    limit: number,
  ): Promise<Pick<StatementAnswer, 'opening' | 'lines' | 'closing'> & { readonly next?: LineKey }> {
    const { figures, leftOut } = await this.statementFigures(listing, account);
    const lines = this.running(listing, account, figures, { leftOut, resumed: key, atOnce: limit + 1 });
    const { items, more } = await take(lines, limit);
    return {
      opening: figures.map(statementBalance('opening', account.normalSide)),
      lines: items.map((item) => statementLine(listing.place, account, item)),
      closing: figures.map(statementBalance('closing', account.normalSide)),
      next: more ? items.at(-1)?.line : undefined,
    };
  }

  /** The whole statement as rows of CSV. */
  async *statementRows(listing: Listing, account: AccountView): AsyncGenerator<Cell[]> {
    const { figures, leftOut } = await this.statementFigures(listing, account);
    const { code, normalSide } = account;
    yield* figures.map(statementBalance('opening', normalSide)).map((balance) => statementBalanceRow('opening', code, balance));
    for await (const item of this.running(listing, account, figures, { leftOut }))
      yield statementLineRow(code, statementLine(listing.place, account, item));
    yield* figures.map(statementBalance('closing', normalSide)).map((balance) => statementBalanceRow('closing', code, balance));
  }

  private async statementFigures(
    { place, column, asked }: Listing,
    account: AccountView,
  ): Promise<{ readonly figures: Figures[]; readonly leftOut: ReadonlySet<string> }> {
    const input = await this.inputs.collect(place, [column], { ...asked, includeZero: true }, { from: account.code, limit: 1 });
    return { figures: figuresOf(input, account), leftOut: input.leftOut };
  }

  // --- Lines ---

  /** All lines of an account in the range that count, in the order of statements, whichever entries they belong to. */
  async *linesOf(listing: Listing, accountId: string): AsyncGenerator<AccountLine> {
    for await (const { line, entry } of this.found(listing, accountId, endOf(addDays(listing.column.from, -1)), {}))
      if (entry !== undefined) yield { line, ...entry };
  }

  /** Lines of an account in the range, each with the balance after it; those behind `resumed` only. */
  private async *running(listing: Listing, account: AccountView, figures: readonly Figures[], walk: Walk): AsyncGenerator<RunningLine> {
    const { place, column, asked } = listing;
    const baseScale = baseScaleOf(place.book);
    const eve = addDays(walk.resumed?.date ?? column.from, -1);
    const running = new Map(
      figures.map(({ currency, scale, opening, baseOpening }) => [currency, { scale, balance: net(opening), base: net(baseOpening) }]),
    );
    if (eve >= column.from) {
      const upToEve = await this.inputs.collect(place, [{ ...column, to: eve }], asked, { from: account.code, limit: 1 });
      for (const { currency, scale, closing, baseClosing } of figuresOf(upToEve, account))
        running.set(currency, { scale, balance: net(closing), base: net(baseClosing) });
    }
    for await (const { line, entry } of this.found(listing, account.id, endOf(eve), walk)) {
      const { currency, side, amount, baseAmount } = line;
      const known = running.get(currency);
      if (known === undefined) throw new Error(`${account.code} has a line in ${currency} and no total`);
      const sign = side === 'debit' ? 1n : -1n;
      known.balance += sign * (toMinor(amount, known.scale) ?? 0n);
      if (baseScale !== undefined) known.base += sign * (toMinor(baseAmount ?? '0', baseScale) ?? 0n);
      if (entry === undefined || (walk.resumed !== undefined && !isAfter(line, walk.resumed))) continue;
      yield { line, ...entry, balance: known.balance, scale: known.scale, baseBalance: known.base, baseScale };
    }
  }

  /**
   * Lines of an account behind a place, up to the end of the range, that count. Those that a page before has shown come without
   * their entry, which nobody needs then, unless it takes the entry to tell whether they count.
   */
  private async *found(
    { place: { bookId, position }, column, asked }: Listing,
    accountId: string,
    from: LineKey,
    { leftOut, resumed, atOnce = entriesPerRead }: Walk,
  ): AsyncGenerator<{ readonly line: RegisterLine; readonly entry?: Omit<AccountLine, 'line'> }> {
    const counts = asked.dimensions.length === 0 ? undefined : lineFilter(asked);
    const limit = Math.min(atOnce, entriesPerRead);
    let after = from;
    for (;;) {
      const read = await this.queries.folded(bookId, position, [register], (database) =>
        linesOf(database, { bookId, accountId, position, currency: asked.currency, after, upTo: endOf(column.to), limit }),
      );
      const lines = read.filter(({ entryId }) => leftOut?.has(entryId) !== true);
      const wanted = lines.filter((line) => counts !== undefined || resumed === undefined || isAfter(line, resumed));
      const entries = await this.inputs.entries(bookId, [...new Set(wanted.map(({ entryId }) => entryId))], position);
      const byId = new Map(entries.map((entry) => [entry.id, entry.posted]));
      for (const line of lines) {
        const posted = byId.get(line.entryId);
        if (posted === undefined) yield { line };
        else {
          const own = posted.lines.find((candidate) => candidate.line === line.line) as PostedLine;
          if (counts === undefined || counts(own)) yield { line, entry: { posted, own } };
        }
      }
      const last = read.at(-1);
      if (last === undefined || read.length < limit) return;
      after = last;
    }
  }
}

/** How lines are walked. */
interface Walk {
  /** Entries whose lines do not count. */
  readonly leftOut?: ReadonlySet<string>;
  /** The last line that a page before has shown. */
  readonly resumed?: LineKey | undefined;
  /** Lines that are read at once. */
  readonly atOnce?: number;
}

// --- Rows ---

/** An account of the ledger without its lines. */
function ledgerAccount({ place, column, asked }: Listing, account: AccountView, figures: readonly Figures[]): LedgerAccount {
  const { code, name, type } = account;
  return {
    account: code,
    name,
    type,
    opening: figures.map(ledgerBalance('opening')),
    lines: [],
    closing: figures.map(ledgerBalance('closing')),
    statement: statementLinks({ ...place, asked }, column)(account),
  };
}

/** @param sign −1 where balances are shown in the sign of a credit side */
const inBase = ({ line: { side, baseAmount }, baseBalance, baseScale }: RunningLine, sign: bigint): LineInBase => {
  if (baseScale === undefined) return {};
  return {
    baseDebit: side === 'debit' ? baseAmount : undefined,
    baseCredit: side === 'credit' ? baseAmount : undefined,
    runningBaseBalance: fromMinor(sign * baseBalance, baseScale),
  };
};

function ledgerLine({ bookId, position }: Place, item: RunningLine): LedgerLine {
  const { line, posted, own, balance, scale } = item;
  const { date, entryId, currency, side, amount } = line;
  return {
    date,
    entryId,
    line: line.line,
    position: line.position,
    number: entryNumber(posted),
    entryType: posted.entryType,
    description: own.description ?? posted.description,
    reference: own.reference ?? posted.reference,
    currency,
    ...(side === 'debit' ? { debit: amount } : { credit: amount }),
    runningBalance: fromMinor(balance, scale),
    ...inBase(item, 1n),
    entry: entryLink(bookId, entryId, position),
    events: streamLink(bookId, entryId),
  };
}

function statementLine({ bookId, position }: Place, { normalSide }: AccountView, item: RunningLine): StatementLine {
  const { line, posted, own, balance, scale } = item;
  const { date, entryId, currency, side, amount } = line;
  const sign = normalSide === 'debit' ? 1n : -1n;
  return {
    date,
    position: line.position,
    entryId,
    line: line.line,
    journalCode: posted.journalCode,
    fiscalYear: posted.fiscalYear,
    number: posted.number,
    description: own.description ?? posted.description,
    reference: own.reference ?? posted.reference,
    side,
    amount,
    currency,
    runningBalance: fromMinor(sign * balance, scale),
    ...inBase(item, sign),
    entry: entryLink(bookId, entryId, position),
    events: streamLink(bookId, entryId),
  };
}

/** What income and expense had in the years before, which no account holds. */
function retainedIn({ book, chart, parts }: ReportInput): LedgerBalance[] {
  const baseScale = baseScaleOf(book);
  const sums = new Map<string, { readonly scale: number; balance: bigint; base: bigint }>();
  for (const { id } of chart.filter(({ type }) => isNominal(type))) {
    for (const { currency, scale, own, base } of parts.get(id) ?? []) {
      const sum = sums.get(currency) ?? { scale, balance: 0n, base: 0n };
      sums.set(currency, sum);
      sum.balance += own[0] === undefined ? 0n : net(own[0].yearBefore);
      if (baseScale !== undefined) sum.base += base[0] === undefined ? 0n : net(base[0].yearBefore);
    }
  }
  return sortedByKey(sums)
    .filter(([, { balance, base }]) => balance !== 0n || base !== 0n)
    .map(([currency, { scale, balance, base }]) => ({
      currency,
      balance: fromMinor(balance, scale),
      baseBalance: baseScale === undefined ? undefined : fromMinor(base, baseScale),
    }));
}

export function generalLedger(
  { place, column, asked }: Listing,
  accounts: readonly LedgerAccount[],
  retainedEarnings: readonly LedgerBalance[] | undefined,
  nextCursor: string | undefined,
): GeneralLedger {
  return {
    ...headOf('general-ledger', 1, place),
    report: 'general-ledger',
    carry: asked.carry,
    closing: asked.closing,
    ...filtersOf(asked),
    from: column.from,
    to: column.to,
    yearFrom: column.yearFrom,
    accounts,
    retainedEarnings,
    nextCursor,
  };
}

export function statementOf(
  { place, column, asked }: Listing,
  account: AccountView,
  { opening, lines, closing }: Pick<StatementAnswer, 'opening' | 'lines' | 'closing'>,
  nextCursor: string | undefined,
): StatementAnswer {
  const { from, to, yearFrom } = column;
  return {
    account: account.code,
    from,
    to,
    carry: asked.carry,
    yearFrom,
    closingEntries: asked.closing,
    ...filtersOf(asked),
    position: place.position,
    opening,
    lines,
    closing,
    nextCursor,
    reportVersion: 1,
  };
}

// --- CSV ---

const baseColumns = ['baseDebit', 'baseCredit', 'baseBalance'] as const;

export const ledgerColumns = [
  ...['row', 'account', 'name', 'type', 'date', 'number', 'entryId', 'line', 'entryPosition', 'entryType', 'description', 'reference'],
  ...['currency', 'debit', 'credit', 'balance', ...baseColumns],
] as const;

const blanks = (count: number): Cell[] => Array<Cell>(count).fill(undefined);

const balanceCells = ({ currency, balance, baseBalance }: Pick<LedgerBalance, 'currency' | 'balance' | 'baseBalance'>): Cell[] => [
  ...[currency, undefined, undefined, balance, undefined, undefined, baseBalance],
];

const baseCells = ({ baseDebit, baseCredit, runningBaseBalance }: LineInBase): Cell[] => [baseDebit, baseCredit, runningBaseBalance];

const balanceRow = (row: string, { code, name, type }: Partial<AccountView>, balance: LedgerBalance): Cell[] => [
  ...[row, code, name, type, ...blanks(8)],
  ...balanceCells(balance),
];

const lineRow = ({ code, name, type }: AccountView, line: LedgerLine): Cell[] => [
  ...['line', code, name, type, line.date, line.number, line.entryId, line.line, line.position, line.entryType, line.description],
  ...[line.reference, line.currency, line.debit, line.credit, line.runningBalance, ...baseCells(line)],
];

export const statementColumns = [
  ...['row', 'account', 'date', 'number', 'entryId', 'line', 'entryPosition', 'description', 'reference'],
  ...['currency', 'debit', 'credit', 'balance', ...baseColumns],
] as const;

const statementBalanceRow = (row: 'opening' | 'closing', account: string, balance: CurrencyBalance): Cell[] => [
  ...[row, account, ...blanks(7)],
  ...balanceCells(balance),
];

function statementLineRow(account: string, line: StatementLine): Cell[] {
  const { date, entryId, position, description, reference, currency, side, amount } = line;
  return [
    ...['line', account, date, entryNumber(line), entryId, line.line, position, description, reference],
    ...[currency, side === 'debit' ? amount : undefined, side === 'credit' ? amount : undefined, line.runningBalance, ...baseCells(line)],
  ];
}
