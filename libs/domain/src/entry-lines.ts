/**
 * Lines of an entry: from what a caller gives to what is stored, checked and added up. Hides how accounts and amounts are read, how
 * a line gets its amount in base currency, and which lines the service adds by itself. Guarantees I2, that a caller's lines are
 * stored as they were given, and that what is computed is rounded once and what rounding leaves is on a named account.
 */
import { type AccountState, type CurrencyTotal, checkLimits, checkPostable, type Side, totalIn, unknownCurrency } from './account';
import { type AccountRole, type BookState, scaleOf } from './book';
import { type CalendarDate, isDate } from './calendar-date';
import type { Decision } from './decision';
import type { Refusals } from './errors';
import { convert, rateAgeMax, rateOn } from './exchange-rates';
import type { EntryContent, EntryLine, LineExtras, OnImbalance, PostedLine } from './journal';
import { amountCeiling, fromMinor, isPlainDecimal, toMinor } from './money';
import { checkParty } from './party';
import type { CurrencySum, PeriodTally } from './period-close';

/** A line whose account is found and whose amount is read. */
export interface ResolvedLine {
  readonly account: AccountState;
  readonly minor: bigint;
  readonly scale: number;
  readonly line: number;
  readonly side: Side;
  readonly currency: string;
  /** The base amount that the line carries, in minor units of the base currency. */
  readonly baseMinor?: bigint;
  readonly stored: PostedLine;
}

/**
 * @param date the day of the rates at which amounts are converted
 * @param madeBy what the service computes of an account as a whole (a revaluation, a closing entry) is about no party of it
 */
export function resolveLines(
  decision: Decision,
  book: BookState,
  { lines, onImbalance }: Pick<EntryContent, 'lines' | 'onImbalance'>,
  date: CalendarDate,
  refusals: Refusals,
  madeBy: 'caller' | 'service' = 'caller',
): ResolvedLine[] {
  const resolved: ResolvedLine[] = [];
  let computed = 0;
  for (let index = 0; index < lines.length; index++) {
    const given = lines[index] as EntryLine;
    const line = index + 1;
    const id = decision.accountIdByCode(given.account);
    const account = id === undefined ? undefined : decision.account(id);
    if (account === undefined)
      refusals.note('account_unknown', () => `line ${line}: there is no account ${given.account}`, { account: given.account, line });
    else {
      checkPostable(account, given.currency, line, refusals);
      if (madeBy === 'caller') checkParty(decision, account, given.party, line, refusals);
    }
    const scale = scaleOf(book, given.currency);
    if (scale === undefined)
      refusals.note('currency_unknown', () => `line ${line}: ${unknownCurrency(given.currency)}`, { currency: given.currency, line });
    const minor = readAmount(given.amount, 'amount', given.currency, scale, line, refusals);
    if (minor === 0n && !mayBeZero(given)) {
      refusals.note(
        'amount_range',
        () => `line ${line}: the amount is 0; only a line with a base amount, tax data or a quantity may have none`,
        { line },
      );
    }
    const base =
      given.baseAmount === undefined && book.fx === 'untracked'
        ? noBase
        : baseValue(decision, book, given, minor, { date, line, refusals });
    if (base.rate !== undefined) computed++;
    if (account !== undefined && scale !== undefined && minor !== undefined) {
      const { side, currency } = given;
      const baseAmount = base.minor === undefined ? undefined : fromMinor(base.minor, scaleOf(book, book.baseCurrency) ?? 0);
      const extras = base.rate === undefined || given.rate !== undefined ? given : { ...given, rate: base.rate };
      const stored = storedLine(line, account, side, fromMinor(minor, scale), currency, baseAmount, extras);
      resolved.push({ account, minor, scale, line, side, currency, baseMinor: base.minor, stored });
    }
  }
  if ((computed > 0 || onImbalance !== undefined) && resolved.length === lines.length)
    complete(decision, book, resolved, { computed, onImbalance }, refusals);
  return resolved;
}

const noBase: BaseValue = { minor: undefined };

const mayBeZero = ({ baseAmount, tax, quantity }: EntryLine): boolean =>
  baseAmount !== undefined || quantity !== undefined || (tax !== undefined && tax.length > 0);

/** Minor units of a plain decimal, or undefined when it is none, or (noted already) its currency is unknown. */
function readAmount(
  text: string,
  member: 'amount' | 'baseAmount',
  currency: string,
  scale: number | undefined,
  line: number,
  refusals: Refusals,
): bigint | undefined {
  if (!isPlainDecimal(text)) {
    refusals.note('amount_format', () => `line ${line}: ${member} "${text}" is not a plain decimal like 1234.50`, {
      member: `lines.${line - 1}.${member}`,
    });
    return undefined;
  }
  if (scale === undefined) return undefined;
  const minor = toMinor(text, scale);
  if (minor === undefined) {
    const details = { currency, scale, line };
    refusals.note('scale_exceeded', () => `line ${line}: ${member} ${text} has more decimals than ${currency} (${scale})`, details);
  } else if (minor >= amountCeiling) {
    refusals.note('amount_range', () => `line ${line}: ${member} ${text} ${currency} is 10^30 minor units or more`, { line });
  }
  return minor;
}

function readBaseAmount(
  book: BookState,
  { baseAmount = '', currency }: EntryLine,
  minor: bigint | undefined,
  line: number,
  refusals: Refusals,
): bigint | undefined {
  const base = book.baseCurrency;
  const scale = scaleOf(book, base);
  if (scale === undefined) refusals.note('currency_unknown', () => `line ${line}: ${unknownCurrency(base)}`, { currency: base, line });
  const baseMinor = readAmount(baseAmount, 'baseAmount', base, scale, line, refusals);
  // A line of no amount changes the value in base currency only: a difference of exchange or of rounding.
  if (currency === base && minor !== undefined && minor !== 0n && baseMinor !== undefined && minor !== baseMinor) {
    refusals.note('malformed', () => `line ${line}: its amount is in ${base} already, so a baseAmount can only repeat it`, {
      member: `lines.${line - 1}.baseAmount`,
    });
  }
  return baseMinor;
}

/** Written out member by member: one shape for every line keeps the hot path fast, and nothing unknown slips into an event. */
export function storedLine(
  line: number,
  account: AccountState,
  side: Side,
  amount: string,
  currency: string,
  baseAmount: string | undefined,
  extras: LineExtras,
): PostedLine {
  return {
    accountId: account.id,
    amount,
    baseAmount,
    code: account.code,
    currency,
    description: extras.description,
    dimensions: extras.dimensions,
    dueDate: extras.dueDate,
    line,
    origin: extras.origin,
    party: extras.party,
    quantity: extras.quantity,
    rate: extras.rate,
    reference: extras.reference,
    side,
    tax: extras.tax,
    valueDate: extras.valueDate,
  };
}

/** The account totals after each line; limits are looked at once all lines of the entry are in. */
export function addLines(lines: readonly ResolvedLine[], refusals: Refusals): CurrencyTotal[] {
  const latest = new Map<string, { readonly account: AccountState; readonly totals: CurrencyTotal[] }>();
  const totals: CurrencyTotal[] = [];
  for (const { account, currency, scale, side, minor } of lines) {
    let known = latest.get(account.id);
    if (known === undefined) {
      known = { account, totals: [] };
      latest.set(account.id, known);
    }
    const index = known.totals.findIndex((total) => total.currency === currency);
    const before = index < 0 ? totalIn(account, currency) : known.totals[index];
    const debit = before?.debit ?? 0n;
    const credit = before?.credit ?? 0n;
    const total: CurrencyTotal =
      side === 'debit' ? { currency, scale, debit: debit + minor, credit } : { currency, scale, debit, credit: credit + minor };
    if (index < 0) known.totals.push(total);
    else known.totals[index] = total;
    totals.push(total);
  }
  for (const { account, totals } of latest.values())
    for (const total of totals) checkLimits(account, totalIn(account, total.currency), total, refusals);
  return totals;
}

interface Sum {
  readonly currency: string;
  readonly scale: number;
  debit: bigint;
  credit: bigint;
}

/** Notes too_few_lines and, per currency and in base, unbalanced with the arithmetic. @returns what the entry adds to its period */
export function checkBalance(book: BookState, lines: readonly ResolvedLine[], refusals: Refusals): PeriodTally {
  if (lines.length < 2) refusals.note('too_few_lines', () => `an entry has two or more lines, this one has ${lines.length}`);
  const sums = sumPerCurrency(lines);
  for (const sum of sums) if (sum.debit !== sum.credit) noteUnbalanced(sum, '', refusals);
  const base = book.fx === 'tracked' ? checkBase(book, lines, refusals) : 0n;
  return { entries: 1, sums: sums.map(({ currency, scale, debit }): CurrencySum => ({ currency, scale, debit })), base };
}

function sumPerCurrency(lines: readonly ResolvedLine[]): Sum[] {
  const sums: Sum[] = [];
  for (const { currency, scale, side, minor } of lines) {
    let sum = sums.find((known) => known.currency === currency);
    if (sum === undefined) {
      sum = { currency, scale, debit: 0n, credit: 0n };
      sums.push(sum);
    }
    sum[side] += minor;
  }
  return sums;
}

/** In a book with fx=tracked every line counts in the base currency too. @returns debits in base currency */
function checkBase(book: BookState, lines: readonly ResolvedLine[], refusals: Refusals): bigint {
  const sum = sumInBase(book, lines);
  // Where a line lacks its base amount that is what is told.
  if (sum.debit !== sum.credit && lines.every(({ baseMinor }) => baseMinor !== undefined))
    noteUnbalanced(sum, 'in base currency ', refusals);
  return sum.debit;
}

function sumInBase(book: BookState, lines: readonly ResolvedLine[]): Sum {
  const sum: Sum = { currency: book.baseCurrency, scale: scaleOf(book, book.baseCurrency) ?? 0, debit: 0n, credit: 0n };
  for (const { baseMinor = 0n, side } of lines) sum[side] += baseMinor;
  return sum;
}

// --- Amounts in base currency, and lines that the service adds ---

/** How lines that the service adds are marked: a caller's lines are never altered. */
const ownOrigins = { rounding: 'book-keeper:rounding', conversion: 'book-keeper:currency-conversion' } as const;
/** Whether a line says that the service has added it. */
export const isOwnOrigin = (origin: string | undefined): boolean => origin?.startsWith('book-keeper:') === true;

/** A line's amount in base currency, and the rate behind it where it was computed. */
interface BaseValue {
  readonly minor: bigint | undefined;
  /** Undefined where the caller has stated the amount, or it needs no rate. */
  readonly rate?: LineExtras['rate'];
}

/**
 * In base currency a line is what its caller says, its own amount, or its amount at a rate: the one that it carries, or else the
 * spot rate that the book has for the day, which the line then carries.
 */
function baseValue(
  decision: Decision,
  book: BookState,
  given: EntryLine,
  minor: bigint | undefined,
  { date, line, refusals }: { readonly date: CalendarDate; readonly line: number; readonly refusals: Refusals },
): BaseValue {
  const base = book.baseCurrency;
  if (given.baseAmount !== undefined) return { minor: readBaseAmount(book, given, minor, line, refusals) };
  if (book.fx !== 'tracked' || minor === undefined) return { minor: undefined };
  if (given.currency === base) return { minor };
  const [scale, baseScale] = [scaleOf(book, given.currency), scaleOf(book, base)];
  const rate =
    given.rate ?? (isDate(date) ? rateOn(decision.rates({ from: given.currency, to: base, rateType: 'spot' }), date) : undefined);
  if (rate === undefined || scale === undefined || baseScale === undefined) {
    refusals.note(
      'base_amount_required',
      () =>
        `line ${line}: the book tracks exchange rates, and has no spot rate ${given.currency}/${base} of ${date} or up to ${rateAgeMax} days before; give the line its rate or its amount in ${base} (baseAmount), or record the rate first (POST …/rates)`,
      { line },
    );
    return { minor: undefined };
  }
  const value = convert(minor, scale, rate.value, baseScale, book.rounding);
  if (value >= amountCeiling)
    refusals.note('amount_range', () => `line ${line}: at the rate ${rate.value} it is 10^30 minor units of ${base} or more`, { line });
  return { minor: value, rate: { date: rate.date, source: rate.source, value: rate.value } };
}

/**
 * Adds what makes an entry balance, each as a marked line on an account designated for it: what rounding of computed base
 * amounts leaves over (never more than a minor unit for each), and per currency what is missing, where the caller asks for that.
 */
function complete(
  decision: Decision,
  book: BookState,
  lines: ResolvedLine[],
  { computed, onImbalance }: { readonly computed: number; readonly onImbalance: OnImbalance | undefined },
  refusals: Refusals,
): void {
  if (computed > 0) addRounding(decision, book, lines, computed, refusals);
  if (onImbalance !== 'currency_conversion') return;
  const missing = sumPerCurrency(lines).filter(({ debit, credit }) => debit !== credit);
  if (missing.length === 0) return;
  const account = designated(decision, book, 'currency_conversion', refusals);
  if (account === undefined) return;
  const tracked = book.fx === 'tracked';
  const inBase = missing.find(({ currency }) => currency === book.baseCurrency);
  const lastForeign = missing.findLast(({ currency }) => currency !== book.baseCurrency);
  // A line in base currency is its own base amount. Of the others the last one takes what the rest leave, so that the whole balances
  // also where lines have a base amount only: what was received is the worth of what was given for it.
  let left = netOf(sumInBase(book, lines)) - (inBase === undefined ? 0n : netOf(inBase));
  for (const sum of missing) {
    const { currency, scale } = sum;
    const side = netOf(sum) > 0n ? 'credit' : 'debit';
    const minor = sizeOf(netOf(sum));
    let baseMinor: bigint | undefined;
    if (tracked && sum === inBase) baseMinor = minor;
    else if (tracked) {
      const own = sumInBase(
        book,
        lines.filter((line) => line.currency === currency),
      );
      const taken = sum === lastForeign ? left : netOf(own);
      left -= taken;
      baseMinor = side === 'credit' ? taken : -taken;
      if (baseMinor < 0n) {
        const shown = sum === lastForeign ? sumInBase(book, lines) : own;
        noteUnbalanced(shown, `the lines in ${currency} are on one side, their base amounts on the other: in base currency `, refusals);
        return;
      }
    }
    checkPostable(account, currency, lines.length + 1, refusals);
    lines.push(ownLine(book, lines.length + 1, account, { side, minor, currency, scale, baseMinor, origin: ownOrigins.conversion }));
  }
}

const netOf = ({ debit, credit }: Pick<Sum, 'debit' | 'credit'>): bigint => debit - credit;
const sizeOf = (net: bigint): bigint => (net < 0n ? -net : net);

function addRounding(decision: Decision, book: BookState, lines: ResolvedLine[], computed: number, refusals: Refusals): void {
  const { debit, credit, currency, scale } = sumInBase(book, lines);
  const difference = debit > credit ? debit - credit : credit - debit;
  if (difference === 0n || difference > BigInt(computed) || lines.some(({ baseMinor }) => baseMinor === undefined)) return;
  const account = designated(decision, book, 'rounding', refusals);
  if (account === undefined) return;
  checkPostable(account, currency, lines.length + 1, refusals);
  const side = debit > credit ? 'credit' : 'debit';
  lines.push(
    ownLine(book, lines.length + 1, account, { side, minor: 0n, currency, scale, baseMinor: difference, origin: ownOrigins.rounding }),
  );
}

/** The account that takes what the service adds; notes account_not_designated when there is none. */
function designated(decision: Decision, book: BookState, role: AccountRole, refusals: Refusals): AccountState | undefined {
  const id = book.designated[role];
  const account = id === undefined ? undefined : decision.account(id);
  if (account === undefined) {
    refusals.note(
      'account_not_designated',
      () => `the entry needs a line on an account for ${role}, and the book has none; designate one first (POST …/designated-accounts)`,
      { role },
    );
  }
  return account;
}

function ownLine(
  book: BookState,
  line: number,
  account: AccountState,
  added: {
    readonly side: Side;
    readonly minor: bigint;
    readonly currency: string;
    readonly scale: number;
    readonly baseMinor: bigint | undefined;
    readonly origin: string;
  },
): ResolvedLine {
  const { side, minor, currency, scale, baseMinor, origin } = added;
  const baseAmount = baseMinor === undefined ? undefined : fromMinor(baseMinor, scaleOf(book, book.baseCurrency) ?? 0);
  const stored = storedLine(line, account, side, fromMinor(minor, scale), currency, baseAmount, { origin });
  return { account, minor, scale, line, side, currency, baseMinor, stored };
}

function noteUnbalanced({ currency, scale, debit, credit }: Sum, where: string, refusals: Refusals): void {
  const difference = fromMinor(debit > credit ? debit - credit : credit - debit, scale);
  refusals.note(
    'unbalanced',
    () => `${where}debits ${fromMinor(debit, scale)}, credits ${fromMinor(credit, scale)}, difference ${difference} ${currency}`,
    {
      currency,
      debit: fromMinor(debit, scale),
      credit: fromMinor(credit, scale),
      difference,
    },
  );
}
