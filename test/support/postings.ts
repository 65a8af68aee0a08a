/**
 * Ledgers as CSV files, with what other programs say of them, for specs of the import and of balances. Reads and adds by
 * itself: nothing here is shared with the code under test, so that an error there cannot hide here.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';

export interface Posting {
  readonly txn: string;
  readonly date: string;
  readonly description: string;
  readonly line: string;
  readonly account: string;
  readonly commodity: string;
  readonly quantity: string;
  readonly kind: string;
}

const columns = ['txn', 'date', 'description', 'line', 'account', 'commodity', 'quantity', 'kind'] as const;

function readRows<T = Record<string, string>>(file: string): T[] {
  return parse(readFileSync(file, 'utf8'), { columns: true }) as T[];
}

export const readPostings = (file: string): Posting[] => readRows<Posting>(file);

const quoted = (cell: string): string => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);

export function writePostings(file: string, postings: readonly Posting[]): string {
  const lines = postings.map((posting) => columns.map((column) => quoted(posting[column])).join(','));
  writeFileSync(file, `${[columns.join(','), ...lines].join('\n')}\n`);
  return file;
}

/** Rows by entry, in the order of the file. */
export function entriesOf(postings: readonly Posting[]): Map<string, Posting[]> {
  const entries = new Map<string, Posting[]>();
  for (const posting of postings) {
    const rows = entries.get(posting.txn);
    if (rows === undefined) entries.set(posting.txn, [posting]);
    else rows.push(posting);
  }
  return entries;
}

/** Seeded (mulberry32), so that a failure can be repeated. */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function shuffled<T>(items: readonly T[], seed: number): T[] {
  const random = randomFrom(seed);
  const result = [...items];
  for (let left = result.length - 1; left > 0; left--) {
    const other = Math.floor(random() * (left + 1));
    [result[left], result[other]] = [result[other] as T, result[left] as T];
  }
  return result;
}

// --- Exact sums: integers of 10^-18 ---

const decimals = 18;

export function units(text: string): bigint {
  const [whole = '', fraction = ''] = text.replace('-', '').split('.');
  const size = BigInt(whole + fraction.padEnd(decimals, '0'));
  return text.startsWith('-') ? -size : size;
}

/** Balances by `account commodity`, debit positive; zeros are left out. Tab, because codes hold blanks. */
export type Balances = Map<string, bigint>;

export const addressOf = (account: string, commodity: string): string => `${account}\t${commodity}`;

export function add(balances: Balances, account: string, commodity: string, amount: bigint): void {
  const address = addressOf(account, commodity);
  const sum = (balances.get(address) ?? 0n) + amount;
  if (sum === 0n) balances.delete(address);
  else balances.set(address, sum);
}

/** The plain decimal sum at the end of each date, in date order. */
export function* balancesByDate(postings: readonly Posting[]): Generator<{ date: string; balances: Balances }> {
  const byDate = new Map<string, Posting[]>();
  for (const posting of postings) byDate.set(posting.date, [...(byDate.get(posting.date) ?? []), posting]);
  const balances: Balances = new Map();
  for (const date of [...byDate.keys()].sort()) {
    for (const { account, commodity, quantity } of byDate.get(date) ?? []) add(balances, account, commodity, units(quantity));
    yield { date, balances: new Map(balances) };
  }
}

export function equal(one: Balances, other: Balances): boolean {
  return one.size === other.size && [...one].every(([address, sum]) => other.get(address) === sum);
}

/** Comparable with toEqual, which prints what differs; bigint maps do not survive Jest's messages between processes. */
export function shown(balances: Balances): Record<string, string> {
  return Object.fromEntries([...balances].map(([address, sum]): [string, string] => [address, String(sum)]).sort());
}

// --- What other programs say ---

export interface ExpectedStatement {
  readonly account: string;
  readonly commodity: string;
  readonly from: string;
  readonly to: string;
  readonly rows: readonly { date: string; txn: string; description: string; amount: string; running_balance: string }[];
}

export interface Expected {
  readonly balances: readonly { date: string; balances: Balances }[];
  readonly trialBalances: readonly {
    year: string;
    rows: readonly { account: string; commodity: string; opening: string; debit: string; credit: string; closing: string }[];
  }[];
  readonly statements: readonly ExpectedStatement[];
  /** quantity × closing rate, exactly, of every balance at the end of a day. */
  readonly valued: readonly {
    readonly date: string;
    readonly rows: readonly { account: string; commodity: string; quantity: string; closing_rate_eur: string; value_eur_exact: string }[];
  }[];
  /** Lines that close a year, debit positive. */
  readonly closings: readonly {
    readonly year: string;
    readonly rows: readonly { account: string; commodity: string; closing_line_quantity: string }[];
  }[];
}

/** @param accounts codes of the ledger, since a file name has `_` where the code has `:` */
export function readExpected(directory: string, accounts: Iterable<string>): Expected {
  const files = readdirSync(directory).sort();
  const codes = [...accounts];
  const found = <T>(form: RegExp, read: (file: string, parts: string[]) => T): T[] =>
    files.flatMap((name) => {
      const parts = form.exec(name);
      return parts === null ? [] : [read(join(directory, name), parts.slice(1))];
    });
  return {
    balances: found(/^balance\.(.+)\.csv$/, (file, [date = '']) => {
      const balances: Balances = new Map();
      for (const { account = '', commodity = '', quantity = '' } of readRows(file)) add(balances, account, commodity, units(quantity));
      return { date, balances };
    }),
    trialBalances: found(/^trial-balance\.(.+)\.csv$/, (file, [year = '']) => ({ year, rows: readRows(file) })),
    statements: found(/^statement\.(.+)\.([^.]+)\.([^.]+)\.([^.]+)\.csv$/, (file, [name = '', commodity = '', from = '', to = '']) => {
      const account = codes.find((code) => code.replaceAll(':', '_') === name);
      if (account === undefined) throw new Error(`${file} names no account of the ledger`);
      return { account, commodity, from, to, rows: readRows(file) };
    }),
    valued: found(/^valued-EUR\.(.+)\.csv$/, (file, [date = '']) => ({ date, rows: readRows(file) })),
    closings: found(/^year-end-closing\.(.+)\.csv$/, (file, [year = '']) => ({ year, rows: readRows(file) })),
  };
}

/** Rates of a file in hledger's format (`P DATE COMMODITY VALUE CURRENCY`), by date, then commodity. */
export function readPrices(file: string): Map<string, Map<string, string>> {
  const prices = new Map<string, Map<string, string>>();
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [directive, date = '', commodity = '', value = ''] = line.split(' ');
    if (directive === 'P') prices.set(date, (prices.get(date) ?? new Map()).set(commodity, value));
  }
  return prices;
}
