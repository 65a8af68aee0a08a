/**
 * Book: one set of books of one legal entity. Holds what every posting needs to know before it looks at an account: fiscal
 * years with the state of their periods, day books (journals), currencies with their final scale, and which accounts take
 * what the service posts by itself. Guarantees that a currency's scale never changes once it was used.
 */
import type { AccountState } from './account';
import { type CalendarDate, dateInZone, isMonthDay } from './calendar-date';
import type { Decision } from './decision';
import { LedgerError } from './errors';
import { type FiscalYear, type FiscalYearDefined, generatedYearOf, type PeriodState, periodKey } from './fiscal-calendar';
import { isoScale } from './iso-4217';
import { type Rounding, scaleMax } from './money';
import type { PeriodClosed } from './period-close';
import { type RetentionRule, shortens } from './retention';

export interface LegalEntity {
  readonly legalName: string;
  readonly registrationNumber?: string;
  readonly taxNumbers?: readonly string[];
  readonly country: string;
  readonly address?: string;
}

export interface BookOpened {
  readonly name: string;
  readonly entity?: LegalEntity;
  readonly framework?: string;
  readonly baseCurrency: string;
  readonly fx: 'untracked' | 'tracked';
  readonly rounding: Rounding;
  readonly timeZone: string;
  readonly startsOn?: CalendarDate;
  readonly fiscalYearStart: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export const journalTypes = ['general', 'sales', 'purchases', 'cash', 'bank', 'payroll', 'other'] as const;
export type JournalType = (typeof journalTypes)[number];

/** What an account may be designated for: it takes what the service computes and posts by itself. Each must be of one of the types. */
export const accountRoles = {
  retained_earnings: ['equity'],
  currency_conversion: ['equity'],
  rounding: ['expense', 'income'],
  fx_gain_realised: ['income', 'expense'],
  fx_loss_realised: ['expense', 'income'],
  fx_gain_unrealised: ['income', 'expense', 'equity'],
  fx_loss_unrealised: ['expense', 'income', 'equity'],
} as const;
export type AccountRole = keyof typeof accountRoles;

/** The events of the Book stream. */
export type BookEvent =
  | { readonly type: 'BookOpened'; readonly data: BookOpened }
  | { readonly type: 'FiscalYearDefined'; readonly data: FiscalYearDefined }
  | { readonly type: 'JournalDefined'; readonly data: { readonly journalCode: string; readonly name: string; readonly type: JournalType } }
  | { readonly type: 'CurrencyEnabled'; readonly data: { readonly code: string; readonly scale: number } }
  | { readonly type: 'PeriodClosed'; readonly data: PeriodClosed }
  | {
      readonly type: 'PeriodReopeningRequested';
      readonly data: { readonly fiscalYear: string; readonly period: number; readonly requestedBy: string };
    }
  | { readonly type: 'PeriodReopeningDeclined'; readonly data: { readonly fiscalYear: string; readonly period: number } }
  | {
      readonly type: 'PeriodReopened';
      readonly data: { readonly fiscalYear: string; readonly period: number; readonly requestedBy: string };
    }
  | { readonly type: 'AccountDesignated'; readonly data: { readonly role: AccountRole; readonly accountId: string } }
  | { readonly type: 'RetentionDefined'; readonly data: RetentionRule };

export interface BookState extends BookOpened {
  readonly version: number;
  /** Sorted by date, adjoining. */
  readonly fiscalYears: readonly FiscalYear[];
  /** A calendar that a person has defined is extended by a person only. */
  readonly calendar: 'generated' | 'given';
  /** Labels of generated years of which no period was ever closed: one given by hand may take their place while they are empty. */
  readonly replaceable: readonly string[];
  /** Labels of years that were replaced, unless they were given to another year since: their counters and drafts go on there. */
  readonly replaced: readonly string[];
  /** By `fiscalYear/period`, of every period that is not open or that is asked to be reopened. */
  readonly periods: Readonly<Record<string, PeriodState>>;
  /** Account ids by what they are designated for. */
  readonly designated: Readonly<Partial<Record<AccountRole, string>>>;
  readonly journals: readonly { readonly journalCode: string; readonly name: string; readonly type: JournalType }[];
  readonly currencies: Readonly<Record<string, number>>;
  /** Rules of its own, in the order in which they were stated; the last one that fits holds. Absent: none. */
  readonly retention?: readonly RetentionRule[];
}

/** Version 1, which no command has ever written, said which period was closed and nothing else. */
const closeOfVersion1 = (data: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => ({
  ...data,
  level: 'hard',
  position: 0,
  entries: 0,
  totals: [],
  numbers: [],
});

/** Version 2 may name the years that it replaces; a release that knows version 1 only would keep both, so it has to stop there. */
const yearOfVersion1 = (data: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => data;

export const bookEvents = {
  BookOpened: { aggregateType: 'Book', version: 1 },
  FiscalYearDefined: { aggregateType: 'Book', version: 2, upcasters: [yearOfVersion1] },
  JournalDefined: { aggregateType: 'Book', version: 1 },
  CurrencyEnabled: { aggregateType: 'Book', version: 1 },
  PeriodClosed: { aggregateType: 'Book', version: 2, upcasters: [closeOfVersion1] },
  PeriodReopeningRequested: { aggregateType: 'Book', version: 1 },
  PeriodReopeningDeclined: { aggregateType: 'Book', version: 1 },
  PeriodReopened: { aggregateType: 'Book', version: 1 },
  AccountDesignated: { aggregateType: 'Book', version: 1 },
  RetentionDefined: { aggregateType: 'Book', version: 1 },
} as const;

function evolve(state: BookState | undefined, event: BookEvent): BookState {
  if (event.type === 'BookOpened') {
    const calendar = { fiscalYears: [], calendar: 'generated', replaceable: [], replaced: [], periods: {} } as const;
    return { ...event.data, version: 1, ...calendar, journals: [], currencies: {}, designated: {} };
  }
  if (state === undefined) throw new Error(`${event.type} before BookOpened`);
  const version = state.version + 1;
  switch (event.type) {
    case 'FiscalYearDefined': {
      const { given, replaces = [], ...year } = event.data;
      const isKept = (label: string): boolean => !replaces.includes(label);
      const kept = state.fiscalYears.filter(({ label }) => isKept(label));
      const fiscalYears = [...kept, year].sort((a, b) => (a.from < b.from ? -1 : 1));
      const replaceable = [...state.replaceable.filter(isKept), ...(given ? [] : [year.label])];
      const replaced = [...state.replaced, ...replaces].filter((label) => label !== year.label);
      return { ...state, version, fiscalYears, calendar: given ? 'given' : state.calendar, replaceable, replaced };
    }
    case 'JournalDefined':
      return { ...state, version, journals: [...state.journals, event.data] };
    case 'CurrencyEnabled':
      return { ...state, version, currencies: { ...state.currencies, [event.data.code]: event.data.scale } };
    case 'PeriodClosed': {
      const replaceable = state.replaceable.filter((label) => label !== event.data.fiscalYear);
      return { ...state, version, replaceable, periods: periodsAfter(state.periods, event) };
    }
    case 'PeriodReopeningRequested':
    case 'PeriodReopeningDeclined':
    case 'PeriodReopened':
      return { ...state, version, periods: periodsAfter(state.periods, event) };
    case 'AccountDesignated':
      return { ...state, version, designated: { ...state.designated, [event.data.role]: event.data.accountId } };
    case 'RetentionDefined':
      return { ...state, version, retention: [...(state.retention ?? []), event.data] };
  }
}

type PeriodEvent = Extract<BookEvent, { readonly data: { readonly period: number } }>;

function periodsAfter(periods: BookState['periods'], event: PeriodEvent): BookState['periods'] {
  const key = periodKey(event.data);
  const { [key]: known, ...others } = periods;
  switch (event.type) {
    case 'PeriodClosed':
      return { ...others, [key]: { status: event.data.level === 'soft' ? 'soft_closed' : 'hard_closed' } };
    case 'PeriodReopeningRequested':
      return { ...others, [key]: { status: known?.status ?? 'open', reopening: { requestedBy: event.data.requestedBy } } };
    case 'PeriodReopeningDeclined':
      return { ...others, [key]: { status: known?.status ?? 'open' } };
    case 'PeriodReopened':
      return others;
  }
}

/** Folds a Book stream. Raise `version` when the folded state changes its meaning: older snapshots are then ignored. */
export const bookReducer = {
  aggregateType: 'Book',
  version: 3,
  evolve,
  toSnapshot: (state: BookState): unknown => state,
  fromSnapshot: (snapshot: unknown): BookState => snapshot as BookState,
};

// --- What postings look up ---

/** Today in the book's time zone; `micros` is the instant in microseconds since 1970 (UTC). */
export function todayIn(book: Pick<BookOpened, 'timeZone'>, micros: number): CalendarDate {
  return dateInZone(micros, book.timeZone);
}

/** Decimals of a currency in this book: as enabled, else as ISO 4217 says; undefined when it must be declared first. */
export function scaleOf(book: BookState, currency: string): number | undefined {
  return Object.hasOwn(book.currencies, currency) ? book.currencies[currency] : isoScale(currency);
}

/** Codes of currencies and other commodities: 1 to 24 of A-Z a-z 0-9 . _ - and starting with a letter or digit. */
export const currencyForm = /^[A-Za-z0-9][A-Za-z0-9._-]{0,23}$/;
export const bookIdForm = /^[a-z0-9][a-z0-9-]{0,39}$/;
export const journalCodeForm = /^[A-Z0-9][A-Z0-9_-]{0,23}$/;

// --- Decisions ---

export interface OpenBook {
  readonly type: 'OpenBook';
  readonly id: string;
  readonly name: string;
  readonly entity?: LegalEntity;
  readonly framework?: string;
  readonly baseCurrency: string;
  /** Decimals of the base currency: makes a currency of one's own possible, or a finer scale than ISO 4217 has. */
  readonly baseCurrencyScale?: number;
  readonly fx?: 'untracked' | 'tracked';
  readonly rounding?: Rounding;
  readonly timeZone?: string;
  readonly startsOn?: CalendarDate;
  readonly fiscalYearStart: string;
  readonly reason?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export interface DefineJournal {
  readonly type: 'DefineJournal';
  readonly journalCode: string;
  readonly name: string;
  readonly journalType?: JournalType;
  readonly reason?: string;
}

export interface EnableCurrency {
  readonly type: 'EnableCurrency';
  readonly code: string;
  readonly scale: number;
  readonly reason?: string;
}

/**
 * Opens a book with the fiscal year of its start (or of today) and the day book GENERAL, and with its base currency enabled
 * where its scale is given.
 * @param now microseconds since 1970 (UTC), to know today
 * @throws LedgerError book_exists | malformed
 */
export function openBook(decision: Decision, command: OpenBook, now: number): void {
  checkOpening(command);
  if (decision.findBook() !== undefined)
    throw new LedgerError('book_exists', `book ${command.id} exists; choose another id`, { book: command.id });
  const { type: _type, id: _id, reason: _reason, baseCurrencyScale, ...given } = command;
  const opened: BookOpened = {
    ...given,
    fx: command.fx ?? 'untracked',
    rounding: command.rounding ?? 'half_even',
    timeZone: command.timeZone ?? 'UTC',
  };
  decision.recordBook({ type: 'BookOpened', data: opened });
  decision.recordBook({
    type: 'FiscalYearDefined',
    data: generatedYearOf(opened.fiscalYearStart, opened.startsOn ?? todayIn(opened, now)),
  });
  decision.recordBook({ type: 'JournalDefined', data: { journalCode: 'GENERAL', name: 'General journal', type: 'general' } });
  if (baseCurrencyScale !== undefined)
    decision.recordBook({ type: 'CurrencyEnabled', data: { code: command.baseCurrency, scale: baseCurrencyScale } });
}

/** What can be told of an opening without looking at any book. @throws LedgerError malformed */
export function checkOpening(command: OpenBook): void {
  const { baseCurrency, baseCurrencyScale } = command;
  if (baseCurrencyScale !== undefined) checkScale(baseCurrency, baseCurrencyScale, 'baseCurrencyScale');
  else if (isoScale(baseCurrency) === undefined) {
    throw new LedgerError(
      'malformed',
      `baseCurrency "${baseCurrency}" is not an ISO 4217 currency with minor units; for a currency of your own give its decimals too (baseCurrencyScale)`,
      { member: 'baseCurrency' },
    );
  }
  if (!isTimeZone(command.timeZone ?? 'UTC')) {
    throw new LedgerError('malformed', `timeZone "${command.timeZone}" is not a name of the IANA time zone database, like Europe/Berlin`, {
      member: 'timeZone',
    });
  }
  if (!isMonthDay(command.fiscalYearStart)) {
    throw new LedgerError(
      'malformed',
      `fiscalYearStart "${command.fiscalYearStart}" is not a month and day that every year has, like 01-01`,
      { member: 'fiscalYearStart' },
    );
  }
}

/** @throws LedgerError journal_exists */
export function defineJournal(decision: Decision, command: DefineJournal): void {
  if (decision.book().journals.some(({ journalCode }) => journalCode === command.journalCode)) {
    throw new LedgerError('journal_exists', `journal ${command.journalCode} exists`, { journalCode: command.journalCode });
  }
  decision.recordBook({
    type: 'JournalDefined',
    data: { journalCode: command.journalCode, name: command.name, type: command.journalType ?? 'other' },
  });
}

/**
 * Declares a custom currency, or a finer scale for an ISO 4217 code, before its first use.
 * @throws LedgerError currency_exists | malformed
 */
export function enableCurrency(decision: Decision, command: EnableCurrency): void {
  const { code, scale } = command;
  checkScale(code, scale, 'scale');
  const enabled = decision.book().currencies;
  if (Object.hasOwn(enabled, code)) {
    throw new LedgerError(
      'currency_exists',
      `${code} is enabled with ${enabled[code]} decimals; a scale is final once it is enabled or used`,
      { currency: code },
    );
  }
  decision.recordBook({ type: 'CurrencyEnabled', data: { code, scale } });
}

/** @throws LedgerError malformed when a currency cannot have so many decimals */
function checkScale(code: string, scale: number, member: string): void {
  if (!Number.isInteger(scale) || scale < 0 || scale > scaleMax)
    throw new LedgerError('malformed', `${member} ${scale} is not a whole number from 0 to ${scaleMax}`, { member });
  const standard = isoScale(code);
  if (standard !== undefined && scale < standard)
    throw new LedgerError('malformed', `${code} has ${standard} decimals in ISO 4217; a book may use more, not ${scale}`, { member });
}

/** Newer releases of Node.js take offsets like +01:00 too, which an older one that replays the book would not know. */
function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone.length > 0;
  } catch {
    return false; // Intl throws for a name that it does not know: there is no other way to ask
  }
}

/** How long what stands in books of a country must be kept, where that is not what is built in. */
export interface DefineRetention extends RetentionRule {
  readonly type: 'DefineRetention';
  readonly reason?: string;
}

/**
 * States a retention period; it goes before those known so far, and counts for what was posted before too.
 * @throws LedgerError forbidden where it is shorter than the law that is known here and a controller does not say so
 */
export function defineRetention(decision: Decision, { country, documentType, years, source }: DefineRetention): void {
  decision.book();
  if (!decision.actor.isController && shortens({ country, documentType, years, source }))
    throw new LedgerError(
      'forbidden',
      `${years} years are less than the built-in period of ${documentType} (GET …/retention-rules), and what it covers would be erased for ever: a shorter one is stated by a key that has the scope controller too`,
    );
  decision.recordBook({ type: 'RetentionDefined', data: { country, documentType, years, source } });
}

export interface DesignateAccount {
  readonly type: 'DesignateAccount';
  readonly role: AccountRole;
  /** Code of the account. */
  readonly account: string;
  readonly reason?: string;
}

/**
 * Says which account takes what the service computes and posts by itself. Another one may be designated later; what was posted
 * stays where it is.
 * @returns the account
 * @throws LedgerError account_unknown | role_invalid
 */
export function designateAccount(decision: Decision, { role, account: code }: DesignateAccount): AccountState {
  decision.book();
  const id = decision.accountIdByCode(code);
  const account = id === undefined ? undefined : decision.account(id);
  if (id === undefined || account === undefined) throw new LedgerError('account_unknown', `there is no account ${code}`, { account: code });
  const types: readonly string[] = accountRoles[role];
  const problem = !types.includes(account.type)
    ? `is of type ${account.type}; an account for ${role} is of type ${types.join(' or ')}`
    : !account.postable
      ? 'is a header account and takes no lines'
      : account.status === 'closed'
        ? 'is closed'
        : account.control !== undefined
          ? 'is a control account, whose lines each name a party; what the service adds by itself names none, so designate another one'
          : undefined;
  if (problem !== undefined) throw new LedgerError('role_invalid', `${code} ${problem}`, { account: code, role });
  decision.recordBook({ type: 'AccountDesignated', data: { accountId: id, role } });
  return account;
}
