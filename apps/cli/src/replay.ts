/**
 * `book-keeper replay`: what a book would look like under another rule. Progress on stderr, the report on stdout as text or CSV. Nothing
 * of the book is changed.
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Command, Option } from 'commander';
import type { Rule, RuleReplay, RuleReplayAmounts, RuleReplayRow } from '#ledger';
import { CliError, interruptedExitCode, usageExitCode } from './errors';
import { acting, withService } from './session';
import { table } from './table';
import { clean, Screen } from './terminal';

interface Options {
  readonly rules: string;
  readonly from: string;
  readonly to: string;
  readonly knownAt?: string;
  readonly carry: 'fiscalYear' | 'none';
  readonly closing: 'include' | 'exclude';
  readonly format: 'text' | 'csv';
  readonly all?: true;
  readonly keep?: true;
}

export function replay(): Command {
  return new Command('replay')
    .summary('show what a book would look like under another rule')
    .description(
      [
        'Leads the posted entries of a book through a rule, folds the outcome into tables of its own, and shows per account and currency how opening, debits, credits and closing between two dates would differ from what they are, computed as in a trial balance. Neither the log nor what answers queries is touched; the tables are dropped at the end.',
        'The rule is a JavaScript module whose default export (or export named rule) is a function from an entry to the entry, or the entries, as they would have been: {effectiveDate, lines: [{account, side, amount, currency, baseAmount?}]}, amounts as texts, accounts by code. Returning nothing leaves the entry out, returning the entry itself keeps it as it is. It gets what the event of the entry says, with id and position; lines have the code of their account as account. It must be pure, and the entry is frozen.',
        'What the rule returns is checked as the book would check it, but for periods and limits: an entry that does not balance, an unknown account, a wrong date or amount ends the replay and names the entry. Such a rule ends with exit code 2.',
      ].join('\n\n'),
    )
    .argument('<book>', 'id of the book')
    .requiredOption('--rules <file>', 'the JavaScript module with the rule (.js, .mjs or .cjs)')
    .requiredOption('--from <date>', 'first date of the report, YYYY-MM-DD')
    .requiredOption('--to <date>', 'last date of the report')
    .option(
      '--known-at <when>',
      'only what was recorded by then: a position of the log, an instant such as 2026-01-31T18:00:00Z, or the close of a period such as close:2026-06 or hard-close:2026-06 (default: all)',
    )
    .addOption(
      new Option(
        '--carry <how>',
        'fiscalYear: income and expense open at 0 in the fiscal year of the first date, what they had before is retained earnings brought forward; none: everything since inception',
      )
        .choices(['fiscalYear', 'none'])
        .default('fiscalYear'),
    )
    .addOption(
      new Option('--closing <how>', 'whether closing entries dated in the report count, with what the rule makes of them')
        .choices(['include', 'exclude'])
        .default('include'),
    )
    .addOption(new Option('--format <name>', 'how to write the report').choices(['text', 'csv']).default('text'))
    .option('--all', 'show accounts that do not differ too')
    .option('--keep', 'keep the tables; projections list shows them, projections drop removes them')
    .action(run);
}

async function run(book: string, { rules, from, to, knownAt, carry, closing, format, all, keep }: Options): Promise<void> {
  const { untilSignal } = await import('#ledger');
  const rule = await ruleIn(rules);
  const stop = new AbortController();
  void untilSignal().then(() => stop.abort());
  const screen = new Screen(progressText);
  try {
    const act = { bookId: book, kind: 'read', action: 'replay', asked: { from, to, knownAt, carry, closing } } as const;
    const outcome = await withService(
      (service) =>
        acting(service, act, () =>
          service.replay({
            ...{ bookId: book, rule, from, to, knownAt, carry, closing },
            ...{ keep: keep === true, onProgress: screen.progress, signal: stop.signal },
          }),
        ),
      { project: false },
    );
    screen.clear();
    const rows = rowsOf(outcome).filter(({ differs }) => differs || all === true);
    process.stdout.write(format === 'csv' ? csvOf(outcome, rows) : textOf(outcome, rows));
    if (outcome.kept !== undefined)
      process.stderr.write(`the tables are kept as set ${outcome.kept} of as-of: book-keeper projections drop ${outcome.kept}\n`);
  } catch (error) {
    screen.clear();
    if (stop.signal.aborted) throw new CliError('stopped before the end; nothing was kept', interruptedExitCode);
    // Said by name, so that it need not be loaded.
    if (error instanceof Error && error.name === 'RuleError') throw new CliError(error.message, usageExitCode);
    throw error;
  }
}

/** Left alone by the compiler, which would make a require of it, and that reads no ES modules. */
const load = new Function('url', 'return import(url)') as (url: string) => Promise<Record<string, unknown>>;

async function ruleIn(file: string): Promise<Rule> {
  let found: Record<string, unknown>;
  try {
    found = await load(pathToFileURL(resolve(file)).href);
  } catch (error) {
    throw new CliError(`${file} cannot be loaded as a JavaScript module: ${(error as Error).message}`, usageExitCode);
  }
  // A CommonJS module is the default export as a whole.
  const inside = found.default as Record<string, unknown> | undefined;
  const rule = [found.default, found.rule, inside?.default, inside?.rule].find((candidate) => typeof candidate === 'function');
  if (rule === undefined)
    throw new CliError(`${file} exports no function: export default (entry) => entry, or export a function named rule`, usageExitCode);
  return rule as Rule;
}

function progressText({ done, total, seconds }: { readonly done: number; readonly total: number; readonly seconds: number }): string {
  const rate = seconds >= 1 ? `, ${count(Math.round(done / seconds))}/s` : '';
  return `${count(done)} of ${count(total)} events (${Math.floor((100 * done) / Math.max(total, 1))} %)${rate}`;
}

const count = (value: number): string => value.toLocaleString('en-US');
const columns = ['opening', 'debits', 'credits', 'closing'] as const;
const values = (amounts: RuleReplayAmounts): string[] => columns.map((column) => amounts[column]);

/** A row as it is shown; the first cell of the CSV says what it is. */
interface ShownRow extends RuleReplayRow {
  readonly row: 'account' | 'retainedEarnings';
}

const rowsOf = ({ rows, retainedEarnings }: RuleReplay): ShownRow[] => [
  ...rows.map((row) => ({ ...row, row: 'account' as const })),
  ...retainedEarnings.map((row) => ({ ...row, row: 'retainedEarnings' as const, account: '', name: 'retained earnings brought forward' })),
];

function textOf(
  { bookId, position, from, to, carry, closing, entries, unchanged, changed, leftOut, rows: found }: RuleReplay,
  rows: readonly ShownRow[],
): string {
  const lines = rows.flatMap(({ row, account, name, currency, basis, asItIs, underTheRule, difference }) => {
    const [title, under] = row === 'account' ? [account, name] : [name, ''];
    return [
      [clean(title), basis === 'base' ? `all in ${currency}` : currency, 'as it is', ...values(asItIs)],
      [clean(under), '', 'under the rule', ...values(underTheRule)],
      ['', '', 'difference', ...values(difference)],
    ];
  });
  return [
    `${bookId}, ${from} … ${to}, known at position ${position}, carry=${carry}, closing=${closing}`,
    `${count(entries)} entries: ${count(unchanged)} as they are, ${count(changed)} changed, ${count(leftOut)} left out`,
    rows.length === 0
      ? `Nothing differs on ${count(found.length)} accounts and currencies.`
      : table(['ACCOUNT', 'CURRENCY', '', 'OPENING', 'DEBITS', 'CREDITS', 'CLOSING'], lines, [3, 4, 5, 6]).trimEnd(),
    '',
  ].join('\n');
}

function csvOf({ carry, closing, position }: RuleReplay, rows: readonly ShownRow[]): string {
  const header = [
    'row',
    'account',
    'name',
    'currency',
    ...columns,
    ...columns.map((column) => `rule_${column}`),
    ...columns.map((column) => `difference_${column}`),
    // Not `closing`, which is a column of amounts.
    ...['carry', 'closing_entries', 'position', 'basis'],
  ];
  const lines = rows.map(({ row, account, name, currency, basis, asItIs, underTheRule, difference }) =>
    [
      ...[row, account, name, currency, ...values(asItIs), ...values(underTheRule), ...values(difference)],
      ...[carry, closing, String(position), basis],
    ]
      .map(csvField)
      .join(','),
  );
  return `${[header.join(','), ...lines].join('\n')}\n`;
}

/** RFC 4180. */
const csvField = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
