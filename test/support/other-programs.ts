/**
 * hledger, ledger and Beancount as Debian installs them, asked for balances by the commands of ../shared/data/README.md; and xmllint, asked
 * whether a file is valid. Reads their answers by itself, escapes included: nothing here is shared with the code under test.
 */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'csv-parse/sync';
import { add, type Balances, units } from './postings';

const run = promisify(execFile);

const onPath = (program: string): boolean =>
  (process.env.PATH ?? '').split(delimiter).some((directory) => directory !== '' && existsSync(join(directory, program)));

/** `describe` where the programs are; elsewhere one that leaves out, with the reason that CI wants in the name. */
export const withPrograms = (name: string, suite: () => void, programs: readonly string[] = ['hledger', 'ledger']): void =>
  programs.every(onPath) ? describe(name, suite) : describe.skip(`${name} [needs: ${programs.join(', ')}]`, suite);

export const beancountPrograms = ['bean-check', 'bean-query'] as const;

/** Where Debian's golang-golang-x-mod-dev puts golang.org/x/mod: note and tlog, by those who run Go's checksum database. */
const goSources = '/usr/share/gocode';

/** Likewise where Go is, with the packages that check logs like ours. */
export function withGo(name: string, suite: () => void): void {
  const there = existsSync(join(goSources, 'src', 'golang.org', 'x', 'mod', 'sumdb', 'tlog'));
  const lacking = [...(onPath('go') ? [] : ['go']), ...(there ? [] : ['golang-golang-x-mod-dev'])];
  if (lacking.length === 0) describe(name, suite);
  else describe.skip(`${name} [needs: ${lacking.join(', ')}]`, suite);
}

/** Builds test/support/go/checkproofs.go. @returns asks it: what it prints, after FAILED where something is wrong */
export async function buildProofChecker(directory: string): Promise<(input: object) => Promise<string>> {
  const program = join(directory, 'checkproofs');
  const env = { ...options.env, GO111MODULE: 'off', GOPATH: goSources, GOCACHE: join(directory, 'cache'), GOFLAGS: '' };
  await run('go', ['build', '-o', program, join(__dirname, 'go', 'checkproofs.go')], { env });
  return async (input) => {
    const asked = run(program, [], options);
    asked.child.stdin?.end(JSON.stringify(input));
    const { stdout } = await asked.catch((error: { readonly stdout: string }) => error);
    return stdout.trim();
  };
}

/** The schema of the Norwegian tax office, which the project may use and not copy. */
const saftSchema = join(__dirname, '..', '..', '..', 'shared', 'data', 'saft-no', 'Norwegian_SAF-T_Financial_Schema_v_1.30.xsd');

/** Likewise where xmllint and the schema of SAF-T are. */
export function withSaftSchema(name: string, suite: () => void): void {
  const lacking = [...(onPath('xmllint') ? [] : ['xmllint']), ...(existsSync(saftSchema) ? [] : ['../shared/data beside the checkout'])];
  if (lacking.length === 0) describe(name, suite);
  else describe.skip(`${name} [needs: ${lacking.join(', ')}]`, suite);
}

/** What xmllint says of a file that shall be valid by the schema of SAF-T: `FILE validates`, or everything that is wrong. */
export async function askXmllint(file: string): Promise<string> {
  const { stderr } = await run('xmllint', ['--nonet', '--noout', '--schema', saftSchema, file], options).catch(
    (error: { readonly stderr: string }) => error,
  );
  return stderr;
}

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

/** What ledger answers to one of its commands, by lines. */
export async function tellLedger(journal: string, ...flags: readonly string[]): Promise<string[]> {
  const { stdout } = await run('ledger', ['--args-only', '-f', journal, ...flags], options);
  return stdout.split('\n').filter((text) => text !== '');
}

/** What ledger has at the end of a day, likewise. @param more options such as --pedantic */
export async function askLedger(journal: string, asOf: string, more: readonly string[] = []): Promise<Balances> {
  const format = '%(account)@@%(scrub(display_amount))\\n';
  // Without --empty an account is left out whose balance and those of all below it add up to nothing.
  const lines = await tellLedger(journal, ...more, 'bal', '--flat', '--empty', '--no-total', '-e', dayAfter(asOf), '--format', format);
  const balances: Balances = new Map();
  let account = '';
  for (const line of lines) {
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

// --- Beancount ---

/** What `bean-check` finds wrong with a file; nothing when it is right. */
export async function checkBeancount(file: string): Promise<string> {
  const { stdout, stderr } = await run('bean-check', ['--no-cache', file], options).catch(
    (error: { stdout: string; stderr: string }) => error,
  );
  return stdout + stderr;
}

const beancountRoots = 'Assets|Liabilities|Equity:Z-Memorandum|Equity|Income|Expenses';

/** The code that the name of a Beancount account stands for, by what docs/OPERATIONS.md says of such names. */
export function beancountCode(name: string): string {
  const [, root = '', below = ''] = new RegExp(`^(${beancountRoots}):(.*)$`).exec(name) ?? [];
  const read = (text: string): string =>
    text.replace(/-x([0-9A-F]{4,6})-|--/g, (_, digits?: string) =>
      digits === undefined ? ' ' : String.fromCodePoint(Number.parseInt(digits, 16)),
    );
  const [first = '', ...more] = below.split(':');
  const rest = more.map((part) => read(part.replace(/^Z-/, '')));
  if (first.startsWith('X-')) return [read(first.slice(2)), ...rest].join(':');
  const numbered = /^[0-9]/.test([first, ...more].find((part) => part !== root) ?? '');
  return [...(numbered ? [] : [root]), read(first.replace(/^Z-/, '')), ...rest].join(':');
}

/** Likewise of a currency; those whose names were too long are only told by the file itself. */
export function beancountCurrency(name: string): string {
  if (!name.startsWith("X'")) return name;
  let small = true;
  return name
    .slice(2)
    .replace(/'0$/, '')
    .replace(/'|[A-Z]/g, (character) => {
      if (character === "'") small = !small;
      return character === "'" ? '' : small ? character.toLowerCase() : character;
    });
}

/** A number as Python writes it, small ones with an exponent: Decimal('0E-7'), Decimal('1.2E-9'). */
function decimal(text: string): bigint {
  const parts = /^Decimal\('(-?)(\d+)(?:\.(\d+))?(?:E-(\d+))?'\)$/.exec(text);
  if (parts === null) throw new Error(`bean-query says ${JSON.stringify(text)}`);
  const [, sign = '', whole = '', fraction = '', exponent] = parts;
  return units(exponent === undefined ? `${sign}${whole}.${fraction}` : `${sign}0.${'0'.repeat(Number(exponent) - 1)}${whole}${fraction}`);
}

/** What Beancount has at the end of a day. */
export async function askBeancount(file: string, asOf: string): Promise<Balances> {
  // As texts, because numbers are shown with the decimals that most numbers of the column have.
  const query = `SELECT account, currency, str(sum(number)) AS amount WHERE date <= ${asOf} GROUP BY account, currency`;
  const { stdout } = await run('bean-query', ['--no-errors', '-f', 'csv', file, query], options);
  const directives = readFileSync(file, 'utf8').matchAll(/^[\d-]+ commodity (Y'\S+)\n {2}code: "(.*)"$/gm);
  const shortened = new Map([...directives].map(([, name = '', code = '']) => [name, code]));
  const balances: Balances = new Map();
  for (const row of parse(stdout, { columns: true, trim: true }) as { account: string; currency: string; amount: string }[])
    add(balances, beancountCode(row.account), shortened.get(row.currency) ?? beancountCurrency(row.currency), decimal(row.amount));
  return balances;
}
