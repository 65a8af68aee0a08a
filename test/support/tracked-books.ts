/**
 * Books that track exchange rates, for specs: their chart with the accounts that the service needs, and the plainest possible
 * reading of base amounts: every line of the log in a list, amounts as texts until they are added.
 */
import type { Client } from 'pg';
import type { AccountRole, AccountType, CalendarDate, EntryLine, OpenAccount } from '#domain';
import type { Answer, Command, CommandContext } from '#ledger';
import { units } from './postings';

/** Whoever carries out commands: a Service, or a ledger where nothing has to be computed. */
export interface Executor {
  execute(bookId: string, command: Command, context: CommandContext): Promise<Answer>;
}

export const trackedChart: readonly (readonly [code: string, type: AccountType, more?: Partial<OpenAccount>])[] = [
  ['Bank', 'asset'],
  ['Receivables', 'asset', { subtype: 'receivable' }],
  ['Stock', 'asset', { subtype: 'inventory' }],
  ['Loan', 'liability', { subtype: 'loan' }],
  ['Capital', 'equity'],
  ['Retained', 'equity', { subtype: 'retained_earnings' }],
  ['Conversion', 'equity', { subtype: 'currency_conversion' }],
  ['Sales', 'income'],
  ['Costs', 'expense'],
  ['Gain', 'income', { subtype: 'fx_gain_unrealised' }],
  ['Loss', 'expense', { subtype: 'fx_loss_unrealised' }],
  ['RealisedGain', 'income', { subtype: 'fx_gain_realised' }],
  ['RealisedLoss', 'expense', { subtype: 'fx_loss_realised' }],
  ['Rounding', 'expense', { subtype: 'rounding' }],
];

const roles: Readonly<Record<AccountRole, string>> = {
  retained_earnings: 'Retained',
  currency_conversion: 'Conversion',
  rounding: 'Rounding',
  fx_gain_realised: 'RealisedGain',
  fx_loss_realised: 'RealisedLoss',
  fx_gain_unrealised: 'Gain',
  fx_loss_unrealised: 'Loss',
};

let serial = 0;
export const newKey = (): string => `tracked-${++serial}`;

/** Carries out a command under a key of its own. @throws Error with the refusal */
export async function carryOut(executor: Executor, bookId: string, command: Command, key = newKey()): Promise<Answer> {
  const answer = await executor.execute(bookId, command, { key, userId: '01930000-0000-7000-8000-000000000001', source: 'job' });
  if (answer.status >= 400) throw new Error(`${command.type}: ${answer.body}`);
  return answer;
}

/** Opens a book in EUR from 2026 on that tracks exchange rates, with every account designated. */
export async function openTrackedBook(executor: Executor, bookId: string, more: object = {}): Promise<void> {
  const opening = { id: bookId, name: bookId, baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2026-01-01', fx: 'tracked' };
  await carryOut(executor, bookId, { type: 'OpenBook', ...opening, ...more } as Command);
  for (const [code, accountType, extras] of trackedChart)
    await carryOut(executor, bookId, { type: 'OpenAccount', code, name: code, accountType, ...extras });
  for (const [role, account] of Object.entries(roles) as [AccountRole, string][])
    await carryOut(executor, bookId, { type: 'DesignateAccount', role, account });
}

export const recordRate = (
  executor: Executor,
  bookId: string,
  [from, date, value, rateType = 'spot']: readonly [from: string, date: CalendarDate, value: string, rateType?: 'spot' | 'closing'],
): Promise<Answer> =>
  carryOut(executor, bookId, { type: 'RecordRates', rates: [{ from, to: 'EUR', rateType, date, value, source: 'spec' }] });

export const line = (account: string, side: 'debit' | 'credit', amount: string, currency: string, more: object = {}): EntryLine => ({
  account,
  side,
  amount,
  currency,
  ...more,
});

/** An amount from one account to another. */
export const entryOf = (
  effectiveDate: CalendarDate,
  [debit, credit]: readonly [debit: string, credit: string],
  amount: string,
  currency: string,
  more: object = {},
): Extract<Command, { type: 'PostEntry' }> => ({
  type: 'PostEntry',
  effectiveDate,
  description: `${amount} ${currency}`,
  lines: [line(debit, 'debit', amount, currency), line(credit, 'credit', amount, currency)],
  ...more,
});

// --- The plain reading ---

export interface PlainLine {
  readonly position: number;
  readonly date: CalendarDate;
  readonly entryType: string;
  readonly account: string;
  readonly currency: string;
  /** Debit − credit, in units of 10^-18. */
  readonly net: bigint;
  readonly base: bigint;
  readonly baseAmount: string | undefined;
}

export async function plainLines(admin: Client, bookId: string): Promise<PlainLine[]> {
  const { rows } = await admin.query(
    `SELECT position, data ->> 'effectiveDate' AS date, data ->> 'entryType' AS type, l ->> 'code' AS code, l ->> 'currency' AS currency,
            l ->> 'side' AS side, l ->> 'amount' AS amount, l ->> 'baseAmount' AS base
       FROM log.events, jsonb_array_elements(data -> 'lines') AS l
      WHERE book_id = $1 AND event_type = 'JournalEntryPosted' ORDER BY position, (l ->> 'line')::int`,
    [bookId],
  );
  return rows.map(({ position, date, type, code, currency, side, amount, base }): PlainLine => {
    const sign = side === 'debit' ? 1n : -1n;
    return {
      ...{ position, date, entryType: type, account: code, currency },
      net: sign * units(amount),
      base: sign * units(base ?? '0'),
      baseAmount: base ?? undefined,
    };
  });
}

/** Sum over lines, as a text with the decimals of the currency. */
export function shownSum(lines: readonly PlainLine[], of: 'net' | 'base', decimals = 2): string {
  const sum = lines.reduce((total, line) => total + line[of], 0n);
  const size = String((sum < 0n ? -sum : sum) / 10n ** BigInt(18 - decimals)).padStart(decimals + 1, '0');
  const text = decimals === 0 ? size : `${size.slice(0, -decimals)}.${size.slice(-decimals)}`;
  return sum < 0n ? `-${text}` : text;
}
