/**
 * hledger and ledger as Debian installs them, asked for balances by the commands of ../shared/data/README.md. Reads their answers
 * by itself, escapes included: nothing here is shared with the code under test.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'csv-parse/sync';
import { add, type Balances, units } from './postings';

const run = promisify(execFile);

const onPath = (program: string): boolean =>
  (process.env.PATH ?? '').split(delimiter).some((directory) => directory !== '' && existsSync(join(directory, program)));

/** `describe` where both programs are; elsewhere one that leaves out, with the reason that CI wants in the name. */
export const withPrograms = (name: string, suite: () => void): void =>
  onPath('hledger') && onPath('ledger') ? describe(name, suite) : describe.skip(`${name} [needs: hledger, ledger]`, suite);

/** Settings of whoever runs the specs do not count, and texts are UTF-8. */
const options = { env: { PATH: process.env.PATH, LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', HOME: '/nonexistent' }, maxBuffer: 1 << 28 };

/** The code that a name of an export stands for, as the head of the export explains it. */
const original = (name: string): string =>
  name.replace(/_x([0-9A-F]{4,6})_/g, (_, digits: string) => String.fromCodePoint(Number.parseInt(digits, 16)));

const dayAfter = (date: string): string => new Date(Date.parse(`${date}T00:00:00Z`) + 86_400_000).toISOString().slice(0, 10);

/** What hledger has at the end of a day: each account's own postings, debit positive, without zeros. */
export async function askHledger(journal: string, asOf: string): Promise<Balances> {
  const flags = ['-f', journal, 'bal', '--flat', '-N', '--layout=bare', '-O', 'csv', '-e', dayAfter(asOf)];
  const { stdout } = await run('hledger', flags, options);
  const balances: Balances = new Map();
  for (const row of parse(stdout, { columns: true }) as { account: string; commodity: string; balance: string }[])
    add(balances, original(row.account), original(row.commodity), units(row.balance));
  return balances;
}

/** What hledger has at the end of each month in which or between which there are entries, by one question. */
export async function askHledgerMonthly(journal: string): Promise<Map<string, Balances>> {
  const flags = ['-f', journal, 'bal', '--flat', '-N', '--layout=tidy', '-O', 'csv', '--historical', '--monthly'];
  const { stdout } = await run('hledger', flags, options);
  const months = new Map<string, Balances>();
  for (const row of parse(stdout, { columns: true }) as { account: string; end_date: string; commodity: string; value: string }[]) {
    const balances = months.get(row.end_date) ?? new Map();
    months.set(row.end_date, balances);
    add(balances, original(row.account), original(row.commodity), units(row.value));
  }
  return months;
}

/** What ledger has at the end of a day, likewise. */
export async function askLedger(journal: string, asOf: string): Promise<Balances> {
  const format = '%(account)@@%(scrub(display_amount))\\n';
  const flags = ['--args-only', '-f', journal, 'bal', '--flat', '--no-total', '-e', dayAfter(asOf), '--format', format];
  const { stdout } = await run('ledger', flags, options);
  const balances: Balances = new Map();
  let account = '';
  for (const line of stdout.split('\n').filter((text) => text !== '')) {
    const mark = line.lastIndexOf('@@');
    if (mark >= 0) account = line.slice(0, mark);
    // An account with several commodities goes on in lines without its name.
    const amount = /^(-?[\d.]+)(?: (?:"([^"]+)"|(\S+)))?$/.exec(mark < 0 ? line.trim() : line.slice(mark + 2).trim());
    if (amount === null) throw new Error(`ledger says ${JSON.stringify(line)}`);
    const [, quantity = '', quoted, bare] = amount;
    if (/[1-9]/.test(quantity)) add(balances, original(account), original(quoted ?? bare ?? ''), units(quantity));
  }
  return balances;
}
