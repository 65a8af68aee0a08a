/**
 * Account: one row of the chart of accounts. Holds its code, type, place in the tree, limits, and the running totals of
 * everything posted to it, whatever its date (limits look at these). Guarantees I9 for accounts, I15's running totals, and
 * that a code once given leads to the same account for ever.
 */
import { type BookState, scaleOf } from './book';
import type { Decision } from './decision';
import { type ErrorDetails, LedgerError, Refusals } from './errors';
import { decimalsOf, fromMinor, toMinor, totalFits } from './money';
import type { ControlKind } from './party';
import { codeProblem } from './text';

export type Side = 'debit' | 'credit';
export const accountTypes = ['asset', 'liability', 'equity', 'income', 'expense', 'memorandum'] as const;
export type AccountType = (typeof accountTypes)[number];

/** Smallest and largest balance allowed in one currency, signed, in the account's normal side's sign. */
export interface AccountLimit {
  readonly currency: string;
  readonly min?: string;
  readonly max?: string;
}

export interface AccountOpened {
  readonly code: string;
  readonly name: string;
  readonly type: AccountType;
  readonly subtype?: string;
  readonly normalSide: Side;
  readonly postable: boolean;
  readonly parentId?: string;
  readonly currencies?: readonly string[];
  readonly subledger?: string;
  /** Whose lines name a party of this kind. */
  readonly control?: ControlKind;
  readonly limits?: readonly AccountLimit[];
  readonly cashFlow?: string;
  readonly mappings?: readonly { readonly scheme: string; readonly code: string; readonly category?: string }[];
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** One line of an entry as its account sees it; the totals are "posted so far, over all dates", in plain decimals. */
export interface AccountPosted {
  readonly entryId: string;
  /** Position of the entry's JournalEntryPosted: the position of the line. */
  readonly entryPosition: number;
  readonly line: number;
  readonly effectiveDate: string;
  readonly amount: string;
  readonly currency: string;
  readonly baseAmount?: string;
  readonly totalDebit: string;
  readonly totalCredit: string;
}

export type AccountEvent =
  | { readonly type: 'AccountOpened'; readonly data: AccountOpened }
  | { readonly type: 'AccountCodeChanged'; readonly data: { readonly code: string } }
  | { readonly type: 'AccountRenamed'; readonly data: { readonly name: string } }
  | { readonly type: 'AccountFrozen' | 'AccountUnfrozen' | 'AccountClosed'; readonly data: Readonly<Record<never, never>> }
  | { readonly type: 'AccountDebited' | 'AccountCredited'; readonly data: AccountPosted };

export interface CurrencyTotal {
  readonly currency: string;
  readonly scale: number;
  readonly debit: bigint;
  readonly credit: bigint;
  /**
   * Debit − credit of the base amounts of its lines, minor units of the base currency. Known where the first of them had one; absent in
   * books without base amounts, and of accounts whose heads an earlier release wrote: to count anew from the first event of a busy account
   * would take minutes.
   */
  readonly base?: bigint | undefined;
}

/** What decisions need of an account; name and other texts stay in the events and in the chart projection. */
export interface AccountState {
  readonly id: string;
  readonly version: number;
  readonly code: string;
  readonly type: AccountType;
  readonly normalSide: Side;
  readonly postable: boolean;
  readonly status: 'open' | 'frozen' | 'closed';
  readonly currencies?: readonly string[];
  readonly limits?: readonly AccountLimit[];
  readonly control?: ControlKind;
  readonly totals: readonly CurrencyTotal[];
}

export const accountEvents = {
  AccountOpened: { aggregateType: 'Account', version: 1 },
  AccountCodeChanged: { aggregateType: 'Account', version: 1 },
  AccountRenamed: { aggregateType: 'Account', version: 1 },
  AccountFrozen: { aggregateType: 'Account', version: 1 },
  AccountUnfrozen: { aggregateType: 'Account', version: 1 },
  AccountClosed: { aggregateType: 'Account', version: 1 },
  AccountDebited: { aggregateType: 'Account', version: 1 },
  AccountCredited: { aggregateType: 'Account', version: 1 },
} as const;

function evolve(state: AccountState | undefined, event: AccountEvent, id: string): AccountState {
  if (event.type === 'AccountOpened') {
    const { code, type, normalSide, postable, currencies, limits, control } = event.data;
    return { id, version: 1, code, type, normalSide, postable, status: 'open', currencies, limits, control, totals: [] };
  }
  if (state === undefined) throw new Error(`${event.type} before AccountOpened on account ${id}`);
  const version = state.version + 1;
  switch (event.type) {
    case 'AccountCodeChanged':
      return { ...state, version, code: event.data.code };
    case 'AccountRenamed':
      return { ...state, version };
    case 'AccountFrozen':
      return { ...state, version, status: 'frozen' };
    case 'AccountUnfrozen':
      return { ...state, version, status: 'open' };
    case 'AccountClosed':
      return { ...state, version, status: 'closed' };
    case 'AccountDebited':
    case 'AccountCredited': {
      const { currency, totalDebit, totalCredit, baseAmount } = event.data;
      const totals = state.totals.slice();
      const index = totals.findIndex((known) => known.currency === currency);
      let base = index < 0 && baseAmount !== undefined ? 0n : totals[index]?.base;
      if (base !== undefined && baseAmount !== undefined) {
        const minor = toMinor(baseAmount, decimalsOf(baseAmount)) ?? 0n;
        base += event.type === 'AccountDebited' ? minor : -minor;
      }
      const total = readTotal(currency, totalDebit, totalCredit, base);
      if (index < 0) totals.push(total);
      else totals[index] = total;
      return { ...state, version, totals };
    }
  }
}

function readTotal(currency: string, debit: string, credit: string, base: bigint | undefined): CurrencyTotal {
  const scale = decimalsOf(debit);
  return {
    currency,
    scale,
    debit: toMinor(debit, scale) ?? 0n,
    credit: toMinor(credit, scale) ?? 0n,
    base,
  };
}

/** Head of an account: written with every batch that touches it, so defaults are left out and totals are short arrays. */
interface AccountSnapshot {
  readonly code: string;
  readonly control?: ControlKind;
  readonly currencies?: readonly string[];
  readonly limits?: readonly AccountLimit[];
  readonly normalSide?: Side;
  readonly postable?: false;
  readonly status?: 'frozen' | 'closed';
  /** `base` in minor units. */
  readonly totals?: readonly (readonly [currency: string, debit: string, credit: string, base?: string])[];
  readonly type: AccountType;
}

/** The side on which accounts of a type normally grow; memorandum accounts count as debit. */
export function normalSideOf(type: AccountType): Side {
  return type === 'liability' || type === 'equity' || type === 'income' ? 'credit' : 'debit';
}

/** Folds an Account stream. Raise `version` when the folded state changes its meaning: older snapshots are then ignored. */
export const accountReducer = {
  aggregateType: 'Account',
  version: 1,
  evolve,
  toSnapshot(state: AccountState): AccountSnapshot {
    const { type, normalSide, status, totals } = state;
    return {
      code: state.code,
      control: state.control,
      currencies: state.currencies,
      limits: state.limits,
      normalSide: normalSide === normalSideOf(type) ? undefined : normalSide,
      postable: state.postable ? undefined : false,
      status: status === 'open' ? undefined : status,
      totals: totals.map(({ currency, scale, debit, credit, base }) => {
        const [debits, credits] = [fromMinor(debit, scale), fromMinor(credit, scale)];
        return base === undefined ? [currency, debits, credits] : [currency, debits, credits, String(base)];
      }),
      type,
    };
  },
  /** @param id the stream; @param version the version that the snapshot was taken at */
  fromSnapshot(snapshot: unknown, id: string, version: number): AccountState {
    const {
      code,
      type,
      normalSide,
      postable = true,
      status = 'open',
      currencies,
      control,
      limits,
      totals = [],
    } = snapshot as AccountSnapshot;
    return {
      id,
      version,
      code,
      type,
      normalSide: normalSide ?? normalSideOf(type),
      postable,
      status,
      currencies,
      limits,
      control,
      totals: totals.map(([currency, debit, credit, base]) =>
        readTotal(currency, debit, credit, base === undefined ? undefined : BigInt(base)),
      ),
    };
  },
};

/** Debits minus credits in minor units, in the sign of the account's normal side. */
export function balanceOf(account: AccountState, total: CurrencyTotal): bigint {
  return account.normalSide === 'debit' ? total.debit - total.credit : total.credit - total.debit;
}

export function totalIn(account: AccountState, currency: string): CurrencyTotal | undefined {
  const { totals } = account;
  for (let index = 0; index < totals.length; index++) if (totals[index]?.currency === currency) return totals[index];
  return undefined;
}

// --- Decisions ---

export interface OpenAccount {
  readonly type: 'OpenAccount';
  readonly code: string;
  readonly name: string;
  readonly accountType: AccountType;
  readonly subtype?: string;
  /** Code of the parent. */
  readonly parent?: string;
  readonly postable?: boolean;
  readonly contra?: boolean;
  readonly currencies?: readonly string[];
  readonly subledger?: string;
  readonly control?: ControlKind;
  readonly limits?: readonly AccountLimit[];
  readonly cashFlow?: string;
  readonly mappings?: AccountOpened['mappings'];
  readonly reason?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** Commands on an existing account, addressed by its code. */
export type ChangeAccount =
  | { readonly type: 'RenameAccount'; readonly account: string; readonly name: string; readonly reason?: string }
  | { readonly type: 'ChangeAccountCode'; readonly account: string; readonly code: string; readonly reason?: string }
  | { readonly type: 'FreezeAccount' | 'UnfreezeAccount' | 'CloseAccount'; readonly account: string; readonly reason?: string };

/**
 * @param id the new account's id (UUIDv7)
 * @throws LedgerError malformed | text_invalid | account_exists | parent_invalid | currency_unknown | scale_exceeded
 */
export function openAccount(decision: Decision, command: OpenAccount, id: string): void {
  const book = decision.book();
  const refusals = new Refusals();
  checkCode(command.code, refusals);
  checkRestrictions(command, refusals);
  checkCurrencies(book, command, refusals);
  if (decision.accountIdByCode(command.code) !== undefined) {
    refusals.note('account_exists', () => codeTaken(command.code), { account: command.code });
  }
  const parentId = command.parent === undefined ? undefined : decision.accountIdByCode(command.parent);
  if (command.parent !== undefined) {
    const parent = parentId === undefined ? undefined : decision.account(parentId);
    const details = { parent: command.parent };
    if (parent === undefined) refusals.note('parent_invalid', () => `there is no account ${command.parent} to be the parent`, details);
    else if (parent.type !== command.accountType) {
      refusals.note(
        'parent_invalid',
        () =>
          `${command.code} is of type ${command.accountType}, its parent ${command.parent} of type ${parent.type}; a parent has the same type`,
        details,
      );
    } else if (parent.status === 'closed')
      refusals.note('parent_invalid', () => `${command.parent} is closed; open the account below one that is not`, details);
  }
  refusals.throwFirst();
  const normal = normalSideOf(command.accountType);
  const { code, name, accountType, subtype, currencies, subledger, control, cashFlow, mappings, metadata } = command;
  const limits = command.limits?.map((limit) => written(limit, scaleOf(book, limit.currency) ?? 0));
  const normalSide = command.contra ? (normal === 'debit' ? 'credit' : 'debit') : normal;
  decision.recordAccount(id, {
    type: 'AccountOpened',
    data: {
      code,
      name,
      type: accountType,
      subtype,
      normalSide,
      postable: command.postable ?? true,
      parentId,
      currencies,
      subledger,
      control,
      limits,
      cashFlow,
      mappings,
      metadata,
    },
  });
}

function checkCode(code: string, refusals: Refusals): void {
  const problem = codeProblem(code);
  if (problem !== undefined) refusals.note('text_invalid', () => `code ${problem}`, { member: 'code' });
}

const codeTaken = (code: string): string => `account code ${code} is or was in use; a code is never given to another account`;

/** A limit with the decimals of its currency, as every amount is stored. */
function written({ currency, min, max }: AccountLimit, scale: number): AccountLimit {
  const inScale = (bound?: string): string | undefined =>
    bound === undefined ? undefined : fromMinor(signedMinor(bound, scale) ?? 0n, scale);
  return { currency, min: inScale(min), max: inScale(max) };
}

/** Restrictions that contradict themselves would be taken for protection; each is refused by its place. */
function checkRestrictions({ currencies, limits }: OpenAccount, refusals: Refusals): void {
  const wrong = (member: string, message: string): void => refusals.note('malformed', () => `${member} ${message}`, { member });
  if (currencies?.length === 0) wrong('currencies', 'is empty, and no line could ever stand on the account; leave it out to allow any');
  currencies?.forEach((currency, index) => {
    if (currencies.indexOf(currency) < index) wrong(`currencies.${index}`, `names ${currency} a second time`);
  });
  limits?.forEach(({ currency, min, max }, index) => {
    if (min === undefined && max === undefined) wrong(`limits.${index}`, 'has neither min nor max, and would limit nothing');
    if (limits.findIndex((limit) => limit.currency === currency) < index)
      wrong(`limits.${index}.currency`, `is ${currency}, which another limit is for; give min and max together`);
    if (currencies?.includes(currency) === false)
      wrong(`limits.${index}.currency`, `is ${currency}; the account takes ${currencies.join(', ')} only`);
    const [least, most] = [min, max].map((bound) => (bound === undefined ? undefined : signedMinor(bound, limitDigits)));
    if (least !== undefined && most !== undefined && least > most) wrong(`limits.${index}.min`, `is ${min}, above max ${max}`);
  });
}

/** More decimals than a limit can be written with: enough to compare two before their currency is looked at. */
const limitDigits = 80;

/** A limit finer than its currency could never be compared exactly, so it is refused here and not rounded later. */
function checkCurrencies(book: BookState, command: OpenAccount, refusals: Refusals): void {
  const mentioned = [...(command.currencies ?? []), ...(command.limits ?? []).map(({ currency }) => currency)];
  for (const currency of mentioned) {
    if (scaleOf(book, currency) === undefined) refusals.note('currency_unknown', () => unknownCurrency(currency), { currency });
  }
  for (const { currency, min, max } of command.limits ?? []) {
    const scale = scaleOf(book, currency);
    const bad =
      scale === undefined ? undefined : [min, max].find((bound) => bound !== undefined && signedMinor(bound, scale) === undefined);
    if (bad !== undefined)
      refusals.note('scale_exceeded', () => `limit ${bad} has more decimals than ${currency} (${scale})`, { currency, scale: scale ?? 0 });
  }
}

/** What to do about a currency that a book does not know. */
export const unknownCurrency = (currency: string): string =>
  `${currency} is neither an ISO 4217 currency with minor units nor declared in this book; declare it with its scale first (POST …/currencies)`;

/**
 * Renames, recodes, freezes, unfreezes or closes an account. Freezing a frozen account and the like is refused, so that the
 * log holds no event that changed nothing.
 * @throws LedgerError account_unknown (not_found) | text_invalid | account_exists | account_closed | account_frozen | account_not_frozen | account_not_empty
 */
export function changeAccount(decision: Decision, command: ChangeAccount): void {
  decision.book();
  const account = addressedAccount(decision, command.account);
  const refusals = new Refusals();
  const details: ErrorDetails = { account: account.code };
  if (account.status === 'closed') refusals.note('account_closed', () => `account ${account.code} is closed`, details);
  const event = changeOf(decision, account, command, refusals);
  refusals.throwFirst();
  decision.recordAccount(account.id, event);
}

/** The event that a change is recorded as; notes what speaks against this change in particular. */
function changeOf(decision: Decision, account: AccountState, command: ChangeAccount, refusals: Refusals): AccountEvent {
  const details: ErrorDetails = { account: account.code };
  switch (command.type) {
    case 'RenameAccount':
      return { type: 'AccountRenamed', data: { name: command.name } };
    case 'ChangeAccountCode': {
      checkCode(command.code, refusals);
      const owner = decision.accountIdByCode(command.code);
      if (owner !== undefined && (owner !== account.id || command.code === account.code))
        refusals.note('account_exists', () => codeTaken(command.code), { account: command.code });
      return { type: 'AccountCodeChanged', data: { code: command.code } };
    }
    case 'FreezeAccount':
      if (account.status === 'frozen') refusals.note('account_frozen', () => `account ${account.code} is frozen already`, details);
      return { type: 'AccountFrozen', data: {} };
    case 'UnfreezeAccount':
      if (account.status !== 'frozen') refusals.note('account_not_frozen', () => `account ${account.code} is not frozen`, details);
      return { type: 'AccountUnfrozen', data: {} };
    case 'CloseAccount': {
      const open = account.totals.find(({ debit, credit }) => debit !== credit);
      if (open !== undefined) {
        refusals.note(
          'account_not_empty',
          () =>
            `account ${account.code} has a balance of ${fromMinor(balanceOf(account, open), open.scale)} ${open.currency}; only an account without a balance can be closed`,
          details,
        );
      } else noteCarried(decision, account, details, refusals);
      return { type: 'AccountClosed', data: {} };
    }
  }
}

/** What an empty account is still carried at would stay in the books for ever: no revaluation can post there any more. */
function noteCarried(decision: Decision, account: AccountState, details: ErrorDetails, refusals: Refusals): void {
  const { fx, baseCurrency, currencies } = decision.book();
  const carried = fx === 'tracked' ? account.totals.find(({ base = 0n }) => base !== 0n) : undefined;
  if (carried?.base === undefined) return;
  const { base, currency, scale } = carried;
  const baseScale = currencies[baseCurrency] ?? 0;
  const size = fromMinor(base < 0n ? -base : base, baseScale);
  refusals.note(
    'account_not_empty',
    () =>
      `account ${account.code} has no balance in ${currency}, but is carried at ${fromMinor(base, baseScale)} ${baseCurrency}; take that off first: ${account.status === 'frozen' ? 'unfreeze it and ' : ''}post an entry with a ${base < 0n ? 'debit' : 'credit'} of ${fromMinor(0n, scale)} ${currency} and baseAmount ${size} on it, against ${fromMinor(0n, baseScale)} ${baseCurrency} with the same baseAmount on an account for exchange gains or losses`,
    details,
  );
}

/** @throws LedgerError account_unknown as not_found: the code stood in the path */
function addressedAccount(decision: Decision, code: string): AccountState {
  const id = decision.accountIdByCode(code);
  const account = id === undefined ? undefined : decision.account(id);
  if (account === undefined) throw new LedgerError('account_unknown', `there is no account ${code}`, { account: code }, 'not_found');
  return account;
}

/** Notes what speaks against a line on this account: account_not_postable, account_frozen, account_closed, currency_not_allowed. */
export function checkPostable(account: AccountState, currency: string, line: number, refusals: Refusals): void {
  const details = { account: account.code, line };
  if (!account.postable)
    refusals.note('account_not_postable', () => `line ${line}: ${account.code} is a header account and takes no lines`, details);
  if (account.status === 'frozen') refusals.note('account_frozen', () => `line ${line}: account ${account.code} is frozen`, details);
  if (account.status === 'closed') refusals.note('account_closed', () => `line ${line}: account ${account.code} is closed`, details);
  if (account.currencies !== undefined && !account.currencies.includes(currency)) {
    refusals.note(
      'currency_not_allowed',
      () => `line ${line}: account ${account.code} takes ${account.currencies?.join(', ')}, not ${currency}`,
      { ...details, currency },
    );
  }
}

/** Notes amount_range when a total leaves its range, limit_exceeded when the balance leaves the account's limits by this change. */
export function checkLimits(account: AccountState, before: CurrencyTotal | undefined, after: CurrencyTotal, refusals: Refusals): void {
  if (!totalFits(after.debit) || !totalFits(after.credit)) {
    refusals.note('amount_range', () => `the totals of account ${account.code} in ${after.currency} would reach 10^38 minor units`);
  }
  if (account.limits === undefined) return;
  const was = before === undefined ? 0n : balanceOf(account, before);
  const is = balanceOf(account, after);
  for (const limit of account.limits) if (limit.currency === after.currency) checkLimit(account, limit, was, is, after, refusals);
}

function checkLimit(account: AccountState, limit: AccountLimit, was: bigint, is: bigint, after: CurrencyTotal, refusals: Refusals): void {
  const min = limit.min === undefined ? undefined : signedMinor(limit.min, after.scale);
  const max = limit.max === undefined ? undefined : signedMinor(limit.max, after.scale);
  // An entry that brings a balance back towards its limit is never refused.
  const bound = min !== undefined && is < min && is < was ? limit.min : max !== undefined && is > max && is > was ? limit.max : undefined;
  if (bound === undefined) return;
  const balance = fromMinor(is, after.scale);
  refusals.note(
    'limit_exceeded',
    () =>
      `account ${account.code} would have a balance of ${balance} ${after.currency} (now ${fromMinor(was, after.scale)}); its limit is ${bound}`,
    {
      account: account.code,
      currency: after.currency,
      limit: bound,
      balance,
    },
  );
}

function signedMinor(text: string, scale: number): bigint | undefined {
  const minor = toMinor(text.startsWith('-') ? text.slice(1) : text, scale);
  return minor !== undefined && text.startsWith('-') ? -minor : minor;
}
