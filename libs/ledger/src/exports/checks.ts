/**
 * Checks that run with every export, while its entries stream by, because no program that reads a file makes them: every entry
 * balances, per currency and in base currency; lines are on accounts of the chart; entries come once, in order, within the range;
 * their numbers have no gap; and opening + movement = closing for every account and currency, where movement is summed from the
 * entries that were read and opening and closing come from the projections. Guarantees that a pass that comes to its end is whole.
 */
import { type BookState, type CalendarDate, decimalsOf, fromMinor, LedgerError, scaleOf } from '#domain';
import { minorOf } from '../projections/as-of';
import type { EntryCount } from '../projections/register';
import type { EntryAnswer } from '../queries';
import { entryNumber, type Sum } from '../reports/figures';
import type { AccountMovement, Balances, ExportRange } from './exported-book';

/** What a pass is held against; read when it has come to its end. */
export interface ExportFacts {
  readonly position: number;
  readonly state: BookState | undefined;
  readonly days: ExportRange;
  balances(carry: 'none'): Promise<Balances>;
  counts(): Promise<readonly EntryCount[]>;
}

interface Running {
  debit: bigint;
  credit: bigint;
  baseDebit: bigint;
  baseCredit: bigint;
}

/**
 * Hands on what a pass reads, page by page, once it was looked at.
 * @param order what grows from entry to entry: positions over all, or numbers within a day book and fiscal year
 * @throws LedgerError export_inconsistent
 */
export async function* checkedPass<T>(
  facts: ExportFacts,
  pages: AsyncGenerator<T>,
  entriesOf: (page: T) => readonly EntryAnswer[],
  order: 'positions' | 'numbers',
): AsyncGenerator<T> {
  const pass = new Pass(facts, order);
  for await (const page of pages) {
    for (const entry of entriesOf(page)) pass.take(entry);
    yield page;
  }
  await pass.finish();
}

/** @throws LedgerError export_inconsistent when a day book of a year does not have the numbers 1 to n */
export function checkNumbers(counts: readonly EntryCount[]): void {
  for (const { journalCode, fiscalYear, entries, firstNumber, lastNumber } of counts) {
    if (firstNumber !== 1 || lastNumber !== entries)
      throw inconsistent(
        `the ${entries} entries of ${journalCode}/${fiscalYear} have numbers from ${firstNumber} to ${lastNumber}, not 1 to ${entries}`,
      );
  }
}

class Pass {
  private readonly baseScale: number;
  private readonly moved = new Map<string, Running>();
  private readonly taken = new Map<string, number>();
  private last: { readonly position: number; readonly numbers: string; readonly number: number } = { position: 0, numbers: '', number: 0 };

  constructor(
    private readonly facts: ExportFacts,
    private readonly order: 'positions' | 'numbers',
  ) {
    const { state } = facts;
    this.baseScale = state === undefined ? 0 : (scaleOf(state, state.baseCurrency) ?? 0);
  }

  take(entry: EntryAnswer): void {
    const { position, journalCode, fiscalYear, number, effectiveDate } = entry;
    const wrong = (what: string): LedgerError => inconsistent(`entry ${entryNumber(entry)} at position ${position} ${what}`);
    const numbers = `${journalCode}\t${fiscalYear}`;
    if (this.order === 'positions' ? position <= this.last.position : numbers === this.last.numbers && number <= this.last.number)
      throw wrong('comes after one that it should come before');
    this.last = { position, numbers, number };
    if (position > this.facts.position) throw wrong(`was recorded after position ${this.facts.position}`);
    if (!within(effectiveDate, this.facts.days)) throw wrong(`is dated ${effectiveDate}, outside the range`);
    this.taken.set(numbers, (this.taken.get(numbers) ?? 0) + 1);
    const sides = new Map<string, { readonly scale: number; net: bigint }>();
    let base = 0n;
    let withBase = 0;
    for (const { accountId, side, amount, currency, baseAmount } of entry.lines) {
      const scale = decimalsOf(amount);
      const minor = minorOf(amount, scale);
      const sum = sides.get(currency) ?? { scale, net: 0n };
      if (sum.scale !== scale) throw wrong(`has amounts of ${currency} with ${sum.scale} and with ${scale} decimals`);
      sum.net += side === 'debit' ? minor : -minor;
      sides.set(currency, sum);
      const key = `${accountId}\t${currency}`;
      const running = this.moved.get(key) ?? { debit: 0n, credit: 0n, baseDebit: 0n, baseCredit: 0n };
      running[side] += minor;
      if (baseAmount !== undefined) {
        withBase += 1;
        const baseMinor = minorOf(baseAmount, this.baseScale);
        running[side === 'debit' ? 'baseDebit' : 'baseCredit'] += baseMinor;
        base += side === 'debit' ? baseMinor : -baseMinor;
      }
      this.moved.set(key, running);
    }
    for (const [currency, { scale, net }] of sides)
      if (net !== 0n) throw wrong(`does not balance: debits − credits are ${fromMinor(net, scale)} ${currency}`);
    if (withBase === entry.lines.length && base !== 0n && this.facts.state?.fx === 'tracked')
      throw wrong(`does not balance in base currency: debits − credits are ${fromMinor(base, this.baseScale)}`);
  }

  async finish(): Promise<void> {
    for (const { journalCode, fiscalYear, entries } of await this.facts.counts()) {
      const key = `${journalCode}\t${fiscalYear}`;
      const taken = this.taken.get(key) ?? 0;
      if (taken !== entries) throw inconsistent(`${taken} entries of ${journalCode}/${fiscalYear} were read, where there are ${entries}`);
      this.taken.delete(key);
    }
    for (const key of this.taken.keys()) throw inconsistent(`entries of ${key.replace('\t', '/')} were read that are not counted`);
    const { rows } = await this.facts.balances('none');
    for (const row of rows) {
      const key = `${row.account.id}\t${row.currency}`;
      this.compare(row, this.moved.get(key));
      this.moved.delete(key);
    }
    for (const key of this.moved.keys()) throw inconsistent(`account ${key.replace('\t', ' in ')} has lines, and no balance`);
  }

  private compare(
    { account, currency, scale, opening, closing, baseOpening, baseClosing }: AccountMovement,
    moved: Running | undefined,
  ): void {
    const { debit = 0n, credit = 0n, baseDebit = 0n, baseCredit = 0n } = moved ?? {};
    const say = (before: Sum, with_: Sum, after: Sum, decimals: number, what: string): void => {
      if (before.debit + with_.debit === after.debit && before.credit + with_.credit === after.credit) return;
      const text = ({ debit, credit }: Sum): string => `${fromMinor(debit, decimals)} debit, ${fromMinor(credit, decimals)} credit`;
      throw inconsistent(
        `account ${account.code} in ${currency}${what}: opening (${text(before)}) and the lines that were read (${text(with_)}) do not make closing (${text(after)})`,
      );
    };
    say(opening, { debit, credit }, closing, scale, '');
    if (this.facts.state?.fx === 'tracked')
      say(baseOpening, { debit: baseDebit, credit: baseCredit }, baseClosing, this.baseScale, ' (base amounts)');
  }
}

const within = (date: CalendarDate, { from, to }: ExportRange): boolean => date >= from && date <= to;

const inconsistent = (what: string): LedgerError =>
  new LedgerError('export_inconsistent', `nothing is exported any further: ${what}; run book-keeper verify`);
