/**
 * What closes must mean, read from a log event by event by the plainest means: texts of amounts, one list of lines per period.
 * Shares nothing with the code under test, so that an error there cannot hide here.
 */
import type { CommandContext } from '#ledger';
import { units } from './postings';

/** Ids of users with the scope controller begin so; see controllerContext. */
const controllerPrefix = '01930000-0000-7000-8000-0000000c0';

/** The context of a command of one of several controllers. @param who three digits at most */
export const controllerContext = (key: string, who = 1): CommandContext => ({
  key,
  userId: `${controllerPrefix}${String(who).padStart(3, '0')}`,
  source: 'job',
  isController: true,
});

export interface LoggedEvent {
  readonly position: number;
  readonly eventType: string;
  // biome-ignore lint/suspicious/noExplicitAny: events have many shapes
  readonly data: any;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** A close as the log tells it, found to be right. */
export interface CheckedClose {
  readonly position: number;
  readonly key: string;
  readonly level: 'soft' | 'hard';
  readonly entries: number;
}

interface PeriodSoFar {
  status: 'open' | 'soft' | 'hard';
  requestedBy?: string;
  entries: number;
  readonly lines: { side: 'debit' | 'credit'; amount: string; currency: string; baseAmount?: string }[];
}

/**
 * Walks a log from its first event on: nothing is posted into a period that is closed to its user, periods open again by two
 * people only, and what each close says was posted is what the events before it add up to.
 * @returns the closes, in order
 * @throws Error naming the position
 */
export function checkPeriods(events: readonly LoggedEvent[]): CheckedClose[] {
  const periods = new Map<string, PeriodSoFar>();
  const numbers = new Map<string, Map<string, number>>();
  const closes: CheckedClose[] = [];
  // Who has closed or reopened something has the scope, whatever the id; that nobody else may is for other specs to see.
  const known = new Set(events.flatMap(({ eventType, metadata }) => (eventType.startsWith('Period') ? [metadata.userId] : [])));
  const isController = (userId: unknown): boolean => known.has(userId) || String(userId).startsWith(controllerPrefix);
  let tracked = false;
  for (const { position, eventType, data, metadata } of events) {
    const wrong = (what: string): Error => new Error(`position ${position}: ${what}`);
    if (eventType === 'BookOpened') tracked = data.fx === 'tracked';
    if (eventType !== 'JournalEntryPosted' && !eventType.startsWith('Period')) continue;
    const key = `${data.fiscalYear}/${data.period}`;
    const period = periods.get(key) ?? { status: 'open', entries: 0, lines: [] };
    periods.set(key, period);
    switch (eventType) {
      case 'JournalEntryPosted': {
        if (period.status === 'hard') throw wrong(`I9: posted into ${key}, which is closed for ever`);
        if (period.status === 'soft' && !isController(metadata.userId))
          throw wrong(`I9: ${String(metadata.userId)} posted into ${key}, which is softly closed`);
        period.entries++;
        period.lines.push(...data.lines);
        const ofYear = numbers.get(data.fiscalYear) ?? new Map<string, number>();
        numbers.set(data.fiscalYear, ofYear.set(data.journalCode, data.number));
        break;
      }
      case 'PeriodClosed': {
        const legal = data.level === 'soft' ? period.status === 'open' : period.status === 'soft';
        if (!legal) throw wrong(`${key} is ${period.status} and was closed (${data.level})`);
        if (period.requestedBy !== undefined) throw wrong(`${key} was closed (${data.level}) while ${period.requestedBy} asked for it`);
        const said = { position: data.position, entries: data.entries, totals: data.totals, numbers: data.numbers, base: data.baseTotal };
        const found = {
          position: position - 1,
          entries: period.entries,
          totals: totalsOf(period.lines),
          numbers: [...(numbers.get(data.fiscalYear) ?? [])].sort().map(([journalCode, last]) => ({ journalCode, last })),
          base: tracked ? sumOf(period.lines.filter(({ side }) => side === 'debit').map(({ baseAmount }) => baseAmount ?? '')) : undefined,
        };
        const plain = {
          ...said,
          totals: said.totals.map((total: Record<'currency' | 'debit' | 'credit', string>) => [
            total.currency,
            String(units(total.debit)),
            String(units(total.credit)),
          ]),
          base: said.base === undefined ? undefined : String(units(said.base)),
        };
        if (JSON.stringify(plain, inOrder) !== JSON.stringify(found, inOrder))
          throw wrong(`the close of ${key} says ${JSON.stringify(plain)}, the events before it ${JSON.stringify(found)}`);
        period.status = data.level;
        closes.push({ position, key, level: data.level, entries: data.entries });
        break;
      }
      case 'PeriodReopeningRequested':
        if (period.status !== 'soft') throw wrong(`${key} is ${period.status} and was asked to be reopened`);
        period.requestedBy = String(metadata.userId);
        break;
      case 'PeriodReopeningDeclined':
        period.requestedBy = undefined;
        break;
      case 'PeriodReopened':
        if (period.status !== 'soft' || period.requestedBy === undefined) throw wrong(`${key} was reopened although nobody asked`);
        if (period.requestedBy === metadata.userId) throw wrong(`${key} was reopened by ${period.requestedBy} alone`);
        period.status = 'open';
        period.requestedBy = undefined;
    }
  }
  return closes;
}

const inOrder = (_key: string, value: unknown): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).sort()) : value;

const sumOf = (amounts: readonly string[]): string => String(amounts.reduce((sum, amount) => sum + units(amount), 0n));

/** Debits and credits per currency. */
function totalsOf(lines: PeriodSoFar['lines']): (readonly [currency: string, debit: string, credit: string])[] {
  const currencies = [...new Set(lines.map(({ currency }) => currency))].sort();
  return currencies.map((currency) => {
    const of = (side: 'debit' | 'credit') =>
      sumOf(lines.filter((line) => line.currency === currency && line.side === side).map(({ amount }) => amount));
    return [currency, of('debit'), of('credit')] as const;
  });
}

/**
 * I1 in base currency, of a book that tracks exchange rates: every line has its amount in it, a line in base currency is its own,
 * and entries balance; the events of accounts say the same (I15).
 * @throws Error naming the position
 */
export function checkBaseAmounts(events: readonly LoggedEvent[]): void {
  const [opening] = events;
  if (opening?.data.fx !== 'tracked') return;
  const lines = new Map<string, string>();
  for (const { position, eventType, data } of events) {
    if (eventType === 'AccountDebited' || eventType === 'AccountCredited') {
      if (data.baseAmount !== lines.get(`${data.entryPosition}/${data.line}`))
        throw new Error(
          `I15: position ${position} has the base amount ${data.baseAmount}, its line ${lines.get(`${data.entryPosition}/${data.line}`)}`,
        );
    }
    if (eventType !== 'JournalEntryPosted') continue;
    let sum = 0n;
    for (const { line, side, amount, currency, baseAmount } of data.lines) {
      if (baseAmount === undefined) throw new Error(`I1: line ${line} at position ${position} has no base amount`);
      if (currency === opening.data.baseCurrency && units(amount) !== 0n && units(amount) !== units(baseAmount))
        throw new Error(`line ${line} at position ${position} is ${amount} ${currency} and ${baseAmount} in base currency`);
      sum += (side === 'debit' ? 1n : -1n) * units(baseAmount);
      lines.set(`${position}/${line}`, baseAmount);
    }
    if (sum !== 0n) throw new Error(`I1: the entry at position ${position} does not balance in base currency: ${sum}`);
  }
}
