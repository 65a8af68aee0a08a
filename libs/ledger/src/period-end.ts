/**
 * Period end: computes what a closing entry or a revaluation consists of, and has it posted. Hides that balances are read from
 * projections at one position while the books go on: the ledger takes what was computed only if nothing was posted into those days
 * since, else it is computed again. Guarantees I6 for both commands: the key stands for what was asked, not for what was computed,
 * and a repeat gets the first answer without computing anything.
 */
import { createHash } from 'node:crypto';
import {
  type AccountRole,
  accountReducer,
  type BookState,
  type CalendarDate,
  type CloseFiscalYear,
  type Computed,
  convert,
  dateInZone,
  type EntryLine,
  firstDate,
  fromMinor,
  isPlainDecimal,
  LedgerError,
  lastDate,
  periodKey,
  quotient,
  type Revalue,
  rateTypes,
  scaleOf,
  toMinor,
} from '#domain';
import { canonicalJson, type EventStore } from '#event-store';
import type { Answer } from './answer';
import { checkDate, malformed } from './asking';
import { accountCodes } from './catalogue';
import type { CommandContext } from './commands';
import type { Ledger } from './ledger';
import type { AccountView } from './projections/chart';
import type { Queries } from './queries';
import { ratesAt } from './rates';
import { closingLines } from './reports/closing';
import { net, type Rate, type ReportInput } from './reports/figures';
import { Inputs, type Place } from './reports/inputs';
import { loadCounters } from './year-counters';

export type PeriodEndCommand = CloseFiscalYear | Revalue;

/** How often balances are looked at anew while entries are posted into the days that they are of. */
const attemptsMax = 5;

/** Items to be received or paid in units of currency (IAS 21.8, 21.16) are all assets and liabilities but these sub-types. */
const nonMonetary = new Set(['inventory', 'fixed', 'accumulated_depreciation', 'prepaid', 'deferred_income']);

/** What a settlement of an amount in a foreign currency gains or loses (IAS 21.28). */
export interface Settlement {
  readonly account: string;
  readonly currency: string;
  readonly asOf: CalendarDate;
  readonly position: number;
  /** Balance in the currency, and what the books carry it at in base currency: debit − credit. */
  readonly quantity: string;
  readonly carrying: string;
  readonly baseCurrency: string;
  /** The amount that is settled, and its share of the carrying amount (weighted average). */
  readonly amount: string;
  readonly carryingSettled: string;
  readonly proceeds: string;
  /** The rate at which proceeds were computed; absent when they were stated. */
  readonly rate?: Rate;
  /** Positive: a gain. */
  readonly realised: string;
  /** Lines that settle the amount at its carrying amount and take the gain or loss; the caller adds the one that receives or pays. */
  readonly lines: readonly EntryLine[];
}

export class PeriodEnd {
  private readonly inputs: Inputs;

  constructor(
    private readonly store: EventStore,
    private readonly queries: Queries,
    private readonly ledger: Ledger,
  ) {
    this.inputs = new Inputs(store, queries);
  }

  /**
   * Computes and posts; a repeat with the same key gets the first answer.
   * @throws LedgerError as Ledger.execute, projection_behind, and books_moving when entries kept coming
   */
  async execute(bookId: string, command: PeriodEndCommand, context: CommandContext): Promise<Answer> {
    const known = await this.ledger.remembered(bookId, command, context);
    if (known !== undefined) return known;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.ledger.execute(bookId, { ...command, computed: await this.compute(bookId, command) }, context);
      } catch (error) {
        if (!(error instanceof LedgerError) || error.code !== 'books_moving' || attempt === attemptsMax) throw error;
      }
    }
  }

  private async compute(bookId: string, command: PeriodEndCommand): Promise<Computed> {
    const entries = await this.countedBefore(bookId);
    const position = await this.queries.pin(bookId, undefined);
    const at = await this.inputs.placeAt(bookId, position);
    try {
      if (command.type === 'CloseFiscalYear') return { entries, lines: await this.closing(at, command) };
      const lines = await this.revaluation(at, command);
      return { entries, lines, name: nameOf(command, lines) };
    } catch (error) {
      // Refused by the rules of the book, or nothing that it has: an outcome, to be remembered as one.
      if (!(error instanceof LedgerError) || (error.kind !== 'rejected' && error.kind !== 'not_found')) throw error;
      return { entries, lines: [], refusal: error };
    }
  }

  /** How many entries each period has; read before the balances, so that whatever comes in between is noticed. */
  private async countedBefore(bookId: string): Promise<Computed['entries']> {
    const { fiscalYears } = await this.queries.fiscalYears(bookId);
    const labels = fiscalYears.map(({ label }) => label);
    const { position } = await this.store.head(bookId);
    const entries: Record<string, number> = {};
    for (const [fiscalYear, { periods }] of await loadCounters(this.store, bookId, labels, position))
      for (const [period, tally] of periods) entries[periodKey({ fiscalYear, period })] = tally.entries;
    return entries;
  }

  private async closing(at: Place, { fiscalYear }: CloseFiscalYear): Promise<EntryLine[]> {
    const year = at.book.fiscalYears.find(({ label }) => label === fiscalYear);
    if (year === undefined) {
      const defined = at.book.fiscalYears.map(({ label }) => label).join(', ');
      throw new LedgerError('period_unknown', `there is no fiscal year ${fiscalYear}; defined are ${defined}`, { fiscalYear });
    }
    const account = await this.designated(at, 'retained_earnings');
    return closingLines(await this.balances(at, year.from, year.to), account.code);
  }

  /** Lines that bring every monetary account to its value; each states the rate. */
  private async revaluation(at: Place, { date, rateType = 'closing', accounts }: Revalue): Promise<EntryLine[]> {
    checkTracked(at.book);
    const { baseCurrency, rounding } = at.book;
    const baseScale = scaleOf(at.book, baseCurrency) ?? 0;
    const input = await this.balances(at, firstDate, date);
    const currencies = [...new Set([...input.parts.values()].flat().map(({ currency }) => currency))];
    const rates = await ratesAt(this.store, { ...at, date, type: rateType, currencies, baseCurrency });
    const lines: EntryLine[] = [];
    const sum = { gain: 0n, loss: 0n };
    for (const account of accounts === undefined ? monetaryIn(input.chart) : await this.named(at, input.chart, accounts)) {
      for (const { currency, scale, own, base } of input.parts.get(account.id) ?? []) {
        if (currency === baseCurrency || own[0] === undefined || base[0] === undefined) continue;
        const [quantity, carried] = [net(own[0].upTo), net(base[0].upTo)];
        if (quantity === 0n && carried === 0n) continue;
        const rate = rates.rateOf(currency, baseCurrency);
        if (rate === undefined) throw rateUnknown(currency, baseCurrency, date, rateType);
        const size = convert(quantity < 0n ? -quantity : quantity, scale, rate.value, baseScale, rounding);
        const difference = (quantity < 0n ? -size : size) - carried;
        if (difference === 0n) continue;
        lines.push({
          ...baseLine(account.code, currency, scale, difference, baseScale),
          rate: { date: rate.date, source: rate.source.slice(0, 100), value: rate.value },
        });
        sum[difference > 0n ? 'gain' : 'loss'] -= difference;
      }
    }
    for (const [role, amount] of [['fx_gain_unrealised', sum.gain] as const, ['fx_loss_unrealised', sum.loss] as const])
      if (amount !== 0n) lines.push(baseLine((await this.designated(at, role)).code, baseCurrency, baseScale, amount, baseScale));
    return lines;
  }

  /**
   * What settling an amount of an account in a foreign currency gains or loses against what the books carry it at, which is without the
   * unrealised part of a revaluation that goes back on the next day. Posts nothing.
   * @param question.amount of the currency, above 0, at most the balance · asOf all dates when absent · proceeds in base currency; at
   *   the spot rate of asOf (of today in the book's time zone without it) when absent
   * @throws LedgerError account_unknown (not_found) | malformed | amount_format | fx_untracked | rate_unknown | account_not_designated | as balance
   */
  async settlement(
    bookId: string,
    code: string,
    {
      currency,
      amount,
      asOf: asked,
      proceeds,
    }: { readonly currency: string; readonly amount: string; readonly asOf?: CalendarDate; readonly proceeds?: string },
  ): Promise<Settlement> {
    checkDate(asked, 'asOf');
    const asOf = asked ?? lastDate;
    const position = await this.queries.pin(bookId, undefined);
    const { id } = await this.queries.account(bookId, code, { knownAt: position });
    const at = await this.inputs.placeAt(bookId, position);
    const { book } = at;
    checkTracked(book);
    const { baseCurrency, rounding } = book;
    const baseScale = scaleOf(book, baseCurrency) ?? 0;
    const input = await this.balances(at, firstDate, asOf);
    const account = input.chart.find((candidate) => candidate.id === id) as AccountView;
    const part = input.parts.get(id)?.find((candidate) => candidate.currency === currency);
    const unrealised = asked === undefined ? 0n : await this.unrealisedIn(at, { accountId: id, currency, asOf }, baseScale);
    const [quantity, carried] = [net(part?.own[0]?.upTo ?? none), net(part?.base[0]?.upTo ?? none) - unrealised];
    const scale = part?.scale ?? scaleOf(book, currency) ?? 0;
    const settled = readPositive(amount, 'amount', currency, scale);
    const size = quantity < 0n ? -quantity : quantity;
    if (settled > size) {
      throw malformed(
        'amount',
        `amount ${amount} ${currency} is more than the balance of ${account.code}, ${fromMinor(size, scale)} ${currency}`,
      );
    }
    const carriedSize = quantity < 0n ? -carried : carried;
    // The last part takes what is left, so that nothing of the carrying amount stays behind.
    const share = settled === size ? carriedSize : quotient(carriedSize * settled, size, rounding);
    const rateDate = asked ?? dateInZone(Date.now() * 1_000, book.timeZone);
    const rates =
      proceeds === undefined
        ? await ratesAt(this.store, { ...at, date: rateDate, type: 'spot', currencies: [currency], baseCurrency })
        : undefined;
    const rate = rates?.rateOf(currency, baseCurrency);
    if (rates !== undefined && rate === undefined) throw rateUnknown(currency, baseCurrency, rateDate, 'spot');
    const received =
      rate === undefined
        ? readPositive(proceeds ?? '', 'proceeds', baseCurrency, baseScale)
        : convert(settled, scale, rate.value, baseScale, rounding);
    // What is received for an asset above its carrying amount is a gain; what is paid for a liability above it a loss.
    const realised = quantity < 0n ? share - received : received - share;
    const side = quantity < 0n ? 'debit' : 'credit';
    const base = share < 0n ? 0n : share;
    const lines: EntryLine[] = [
      { account: account.code, side, amount: fromMinor(settled, scale), currency, baseAmount: fromMinor(base, baseScale) },
    ];
    // Carried at less than nothing: that part is taken off on the other side.
    if (share < 0n) lines.push(baseLine(account.code, currency, scale, side === 'credit' ? -share : share, baseScale));
    if (realised !== 0n) {
      const role = realised > 0n ? 'fx_gain_realised' : 'fx_loss_realised';
      lines.push(baseLine((await this.designated(at, role)).code, baseCurrency, baseScale, -realised, baseScale));
    }
    return {
      account: account.code,
      currency,
      asOf,
      position,
      quantity: fromMinor(quantity, scale),
      carrying: fromMinor(carried, baseScale),
      baseCurrency,
      amount: fromMinor(settled, scale),
      carryingSettled: fromMinor(share, baseScale),
      proceeds: fromMinor(received, baseScale),
      ...(rate === undefined ? {} : { rate }),
      realised: fromMinor(realised, baseScale),
      lines,
    };
  }

  /** What revaluations that go back after a day have changed of an account's value up to it, debit − credit in minor units of base currency. */
  private async unrealisedIn(
    { bookId, position }: Place,
    { accountId, currency, asOf }: { readonly accountId: string; readonly currency: string; readonly asOf: CalendarDate },
    baseScale: number,
  ): Promise<bigint> {
    const entries = await this.inputs.revaluationEntries(bookId, position);
    const dates = new Map(entries.map(({ id, posted }) => [id, posted.effectiveDate]));
    return entries
      .filter(({ posted, reversedBy = '' }) => posted.effectiveDate <= asOf && (dates.get(reversedBy) ?? '') > asOf)
      .flatMap(({ posted }) => posted.lines.filter((line) => line.accountId === accountId && line.currency === currency))
      .map(({ side, baseAmount = '0' }) => (side === 'debit' ? 1n : -1n) * (toMinor(baseAmount, baseScale) ?? 0n))
      .reduce((sum, minor) => sum + minor, 0n);
  }

  /**
   * Accounts that a revaluation names, by any code that they ever had, each once.
   * @throws LedgerError account_unknown; malformed for one that holds no monetary item
   */
  private async named({ bookId }: Place, chart: readonly AccountView[], codes: readonly string[]): Promise<AccountView[]> {
    const ids = await this.store.streamsByName(bookId, accountCodes, codes);
    const found = new Map<string, AccountView>();
    for (const code of codes) {
      const account = chart.find(({ id }) => id === ids.get(code));
      if (account === undefined) throw new LedgerError('account_unknown', `there is no account ${code}`, { account: code });
      if (monetaryIn([account]).length === 0 || !account.postable)
        throw malformed(
          'accounts',
          `accounts names ${code}, ${account.postable ? `of type ${[account.type, account.subtype].filter(Boolean).join(', ')}` : 'a header account'}; only monetary assets and liabilities that take lines are revalued (IAS 21.23)`,
        );
      found.set(account.id, account);
    }
    return [...found.values()];
  }

  private balances(at: Place, from: CalendarDate, to: CalendarDate): Promise<ReportInput> {
    return this.inputs.collect(at, [{ from, to }], { carry: 'none', closing: 'include', dimensions: [], includeZero: false });
  }

  private async designated({ bookId, book }: Place, role: AccountRole): Promise<{ readonly code: string }> {
    const id = book.designated[role];
    const head = id === undefined ? undefined : (await this.store.heads(bookId, [id], () => accountReducer.version)).get(id);
    const known = id === undefined || head === undefined ? undefined : accountReducer.fromSnapshot(head.state, id, head.version);
    const account = known ?? (id === undefined ? undefined : (await this.store.load(bookId, id, accountReducer))?.state);
    if (account !== undefined) return account;
    throw new LedgerError(
      'account_not_designated',
      `what is computed needs an account for ${role}, and the book has none; designate one first (POST …/designated-accounts)`,
      { role },
    );
  }
}

const none = { debit: 0n, credit: 0n };

/** Names a revaluation: its day and the rates that it was computed at. */
function nameOf({ date }: Revalue, lines: readonly EntryLine[]): string {
  const rates = lines.flatMap(({ currency, rate }) => (rate === undefined ? [] : [`${currency} ${canonicalJson(rate)}`]));
  const hash = createHash('sha256').update([...new Set(rates)].sort().join('\n'));
  return `revaluation:${date}:${hash.digest('hex').slice(0, 16)}`;
}

const monetaryIn = (chart: readonly AccountView[]): AccountView[] =>
  chart.filter(({ type, subtype = '' }) => (type === 'asset' || type === 'liability') && !nonMonetary.has(subtype));

/** A line that changes the value in base currency only. @param difference debit − credit, minor units of base currency */
function baseLine(account: string, currency: string, scale: number, difference: bigint, baseScale: number): EntryLine {
  return {
    account,
    side: difference > 0n ? 'debit' : 'credit',
    amount: fromMinor(0n, scale),
    currency,
    baseAmount: fromMinor(difference < 0n ? -difference : difference, baseScale),
  };
}

function readPositive(text: string, member: string, currency: string, scale: number): bigint {
  const minor = isPlainDecimal(text) ? toMinor(text, scale) : undefined;
  if (minor !== undefined && minor > 0n) return minor;
  throw new LedgerError('amount_format', `${member} "${text}" is not an amount of ${currency} above 0 with at most ${scale} decimals`, {
    member,
  });
}

function checkTracked({ fx, baseCurrency }: BookState): void {
  if (fx === 'tracked') return;
  throw new LedgerError(
    'fx_untracked',
    `the book does not track exchange rates (fx=untracked), so its lines have no amounts in ${baseCurrency} that could be compared with a value`,
  );
}

const rateUnknown = (from: string, to: string, date: CalendarDate, type: string): LedgerError =>
  new LedgerError(
    'rate_unknown',
    `there is no ${type} rate ${from}/${to} of ${date} or up to 31 days before; record it first (POST …/rates; types are ${rateTypes.join(', ')})`,
    { currency: from, date },
  );
