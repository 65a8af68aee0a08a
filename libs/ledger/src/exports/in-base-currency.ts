/**
 * What the formats of tax offices and auditors have in common: they state everything in one currency, most of them for one fiscal
 * year, and income and expense begin each year at 0. Hides how balances of several currencies become one figure, and where the
 * result of earlier years goes that no closing entry has moved: to the account designated for retained earnings. Guarantees exact
 * figures: what a book does not say in its base currency is named as a problem and never computed.
 */
import { type FiscalYear, fiscalYearOf, type PostedLine, scaleOf } from '#domain';
import type { AccountAnswer } from '../queries';
import { net } from '../reports/figures';
import type { ExportedBook } from './exported-book';

/** An account in one currency; all but `own` in minor units of the base currency. */
export interface BaseRow {
  readonly account: AccountAnswer;
  readonly currency: string;
  /** Decimals of the currency. */
  readonly scale: number;
  /** Debit − credit at the opening, in the currency itself. */
  readonly own: bigint;
  /** Debit − credit. */
  readonly opening: bigint;
  readonly debit: bigint;
  readonly credit: bigint;
  /** Debit − credit: opening + debit − credit. */
  readonly closing: bigint;
}

export interface BaseBalances {
  /** Decimals of the base currency. */
  readonly scale: number;
  /** In the order of account codes, then currencies; what is brought forward is a row of its own, after those of its account. */
  readonly rows: readonly BaseRow[];
  /** Why the rows are not the whole truth; empty when they are. */
  readonly problems: readonly string[];
}

export const noBalances: BaseBalances = { scale: 0, rows: [], problems: [] };

/** @param carry as of ExportedBook.balances @throws LedgerError no_fiscal_year */
export async function baseBalances(book: ExportedBook, carry: 'fiscalYear' | 'none' = 'fiscalYear'): Promise<BaseBalances> {
  const { state } = book;
  if (state === undefined) return noBalances;
  const { baseCurrency, fx } = state;
  const scale = scaleOf(state, baseCurrency) ?? 0;
  const { rows: all, broughtForward } = await book.balances(carry);
  const problems: string[] = [];
  const foreign = [...new Set(all.map(({ currency }) => currency))].filter((currency) => currency !== baseCurrency).sort();
  if (fx === 'untracked')
    for (const currency of foreign)
      problems.push(
        `lines in ${currency} have no amount in ${baseCurrency}, since the book was opened with fx=untracked: export the book in a format that keeps currencies apart, such as hledger`,
      );
  const rows = all.map(({ account, currency, scale: decimals, opening, movement, closing, baseOpening, baseMovement, baseClosing }) => {
    const [before, within, after] = fx === 'tracked' ? [baseOpening, baseMovement, baseClosing] : [opening, movement, closing];
    return {
      ...{ account, currency, scale: decimals, own: net(opening), opening: net(before) },
      ...{ debit: within.debit, credit: within.credit, closing: net(after) },
    };
  });
  const carried = broughtForward.reduce((sum, { net: own, baseNet }) => sum + (fx === 'tracked' ? baseNet : own), 0n);
  if (carried !== 0n) {
    const account = await retainedEarnings(book);
    if (account === undefined)
      problems.push(
        'income and expense of earlier fiscal years are not closed in the books, and no account takes what is brought forward: designate one for retained_earnings',
      );
    else {
      const row = { account, currency: baseCurrency, scale, own: carried, opening: carried, debit: 0n, credit: 0n, closing: carried };
      const place = rows.findLastIndex(({ account: { code } }) => code <= account.code);
      rows.splice(place + 1, 0, row);
    }
  }
  return { scale, rows, problems };
}

async function retainedEarnings(book: ExportedBook): Promise<AccountAnswer | undefined> {
  const wanted = book.state?.designated.retained_earnings;
  if (wanted === undefined) return undefined;
  for await (const accounts of book.accounts()) {
    const found = accounts.find(({ id }) => id === wanted);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The same with all currencies of an account in one row. */
export function byAccount(rows: readonly BaseRow[]): Pick<BaseRow, 'account' | 'opening' | 'debit' | 'credit' | 'closing'>[] {
  const sums = new Map<string, BaseRow>();
  for (const row of rows) {
    const sum = sums.get(row.account.id);
    sums.set(
      row.account.id,
      sum === undefined
        ? row
        : {
            ...sum,
            opening: sum.opening + row.opening,
            debit: sum.debit + row.debit,
            credit: sum.credit + row.credit,
            closing: sum.closing + row.closing,
          },
    );
  }
  return [...sums.values()];
}

/** What a line is worth in base currency, as it states it itself; undefined where it does not. */
export function baseAmountOf({ baseAmount, amount, currency }: PostedLine, baseCurrency: string): string | undefined {
  return baseAmount ?? (currency === baseCurrency ? amount : undefined);
}

/** The fiscal year that the range of an export lies in, or what to ask for instead. */
export function yearOfRange({ state, range }: ExportedBook): FiscalYear | string {
  const years = state?.fiscalYears.map(({ label, from, to }) => `${label} is from=${from} to=${to}`).join(', ');
  const ask = `ask for one fiscal year or a part of it${years === undefined ? '' : ` (${years})`}`;
  if (state === undefined) return 'the book was not opened yet';
  if (range === undefined) return `it is of the whole book: ${ask}`;
  const year = fiscalYearOf(state, range.from);
  if (year === undefined || year.to < range.to) return `the range ${range.from} to ${range.to} does not lie within one fiscal year: ${ask}`;
  return year;
}

/** What speaks against an export, each thing once; as many as anybody would read. */
export class Problems {
  private readonly found = new Set<string>();

  note(...texts: readonly string[]): void {
    for (const text of texts) if (!this.full) this.found.add(text);
  }

  /** Whether looking for more is of no use. */
  get full(): boolean {
    return this.found.size >= problemsMax;
  }

  get texts(): readonly string[] {
    return this.full ? [...this.found, `nothing more was looked for after these ${problemsMax}`] : [...this.found];
  }
}

const problemsMax = 1_000;

/** Computes something of a book once, for whoever asks for it while the book is exported. */
export function oncePerBook<T>(compute: (book: ExportedBook) => Promise<T>): (book: ExportedBook) => Promise<T> {
  const known = new WeakMap<ExportedBook, Promise<T>>();
  return (book) => {
    const begun = known.get(book) ?? compute(book);
    known.set(book, begun);
    return begun;
  };
}
