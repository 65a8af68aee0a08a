/**
 * `book-keeper projections`: the sets of tables that projections have: list, rebuild, compare, drop. Progress on stderr, what came of it
 * on stdout. A rebuild that was stopped, by Ctrl-C or by force, goes on when the same command is run again.
 */
import { Command, InvalidArgumentError } from 'commander';
import type { RebuildOutcome, RebuildProgress, RowDifference, SetComparison, SetDescription } from '#ledger';
import { CliError, interruptedExitCode } from './errors';
import { acting, withLook, withService } from './session';
import { table } from './table';
import { clean, Screen } from './terminal';

const differentExitCode = 1;

export function projections(): Command {
  const verb = new Command('projections').description(
    'Shows and rebuilds projections: the tables that are folded from the log and that queries read. Each has a live set of tables; a rebuild folds another set beside it, compares both row by row, and puts the new one in the place of the old one, which is kept until it is dropped.',
  );
  verb
    .command('list')
    .description('show all sets: version, state, how far behind, rows (estimated) and size')
    .option('--json', 'as JSON')
    .action(list);
  verb
    .command('rebuild')
    .description(
      'fold a projection again from the first event on, while the service runs or not; compare, and exchange when all rows are equal. Run it again to go on after an interruption. Exit code 1: rows differ, and nothing was exchanged',
    )
    .argument('<projection>', 'name of the projection')
    .option(
      '--book <id>',
      'fold this book only, and replace its rows where they differ and that is accepted; may be given several times',
      collect,
    )
    .option('--accept-differences', 'exchange although rows differ')
    .option('--first <n>', 'how many differences to show', whole, 10)
    .action(rebuild);
  verb
    .command('compare')
    .description(
      'compare a set with the live one, or another one, row by row up to the position that both have folded. Exit code 1: rows differ',
    )
    .argument('<projection>', 'name of the projection')
    .option('--set <number>', 'the set (default: the one that is being built, else the one that was replaced last)', whole)
    .option('--against <number>', 'the other set (default: the live one)', whole)
    .option('--book <id>', 'compare this book only; may be given several times', collect)
    .option('--first <n>', 'how many differences to show', whole, 10)
    .action(compare);
  verb.command('drop').description('drop a set that is not live').argument('<set>', 'number of the set', whole).action(drop);
  return verb;
}

const collect = (value: string, known: readonly string[] = []): readonly string[] => [...known, value];

function whole(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It is a whole number.');
  return Number(text);
}

async function list({ json }: { readonly json?: true }): Promise<void> {
  const sets = await withLook((look) => look.projections.list());
  if (json) {
    process.stdout.write(`${JSON.stringify(sets, undefined, 2)}\n`);
    return;
  }
  const header = ['PROJECTION', 'SET', 'VERSION', 'STATE', 'BEGUN', 'BOOKS', 'BEHIND', 'ROWS', 'SIZE'];
  process.stdout.write(table(header, sets.map(cells), [1, 2, 5, 6, 7, 8]));
}

function cells({ projection, build, version, state, begunAt, books, booksBehind, eventsBehind, rows, bytes }: SetDescription): string[] {
  // A set that is not folded any more is behind nothing.
  const behind =
    booksBehind === undefined || eventsBehind === undefined
      ? '-'
      : booksBehind === 0
        ? '0'
        : `${count(eventsBehind)} in ${counted(booksBehind, 'book')}`;
  return [
    projection,
    String(build),
    String(version),
    state,
    begunAt.slice(0, 16).replace('T', ' '),
    count(books),
    behind,
    `~${count(rows)}`,
    size(bytes),
  ];
}

async function rebuild(
  name: string,
  options: { readonly book?: readonly string[]; readonly acceptDifferences?: true; readonly first: number },
): Promise<void> {
  // Before anything is opened, so that Ctrl-C is heard from the first moment on; a second one ends the process at once.
  const { untilSignal } = await import('#ledger');
  const stop = new AbortController();
  void untilSignal().then(() => stop.abort());
  const screen = new Screen(progressText);
  try {
    const act = {
      kind: 'command',
      action: 'RebuildProjection',
      asked: { projection: name, books: options.book?.join(' ') },
    } as const;
    const outcome = await withService(
      (service) =>
        acting(service, act, () =>
          service.projections.rebuild(name, {
            ...{ books: options.book, acceptDifferences: options.acceptDifferences === true, first: options.first },
            ...{ onProgress: screen.progress, signal: stop.signal },
          }),
        ),
      { project: false },
    );
    screen.clear();
    process.stdout.write(outcomeText(name, outcome));
    if (outcome.became === 'different') process.exitCode = differentExitCode;
  } catch (error) {
    screen.clear();
    if (stop.signal.aborted) throw new CliError('stopped before the end; run the same command again to go on', interruptedExitCode);
    throw error;
  }
}

function outcomeText(name: string, { set, resumed, events, seconds, comparison, became }: RebuildOutcome): string {
  const rate = seconds > 0 && events > 0 ? ` (${count(Math.round(events / seconds))} events/s)` : '';
  const set_ = `set ${set.build}`;
  const end = {
    exchanged: `Set ${set.build} is live now. The one before is kept: book-keeper projections list shows it, drop removes it.`,
    replaced: 'The rows of these books were replaced.',
    equal: 'Nothing had to be replaced.',
    different: `Nothing was exchanged; ${set_} is kept. Look at it with projections compare ${name}, exchange all the same with projections rebuild ${name} --accept-differences, or drop it with projections drop ${set.build}.`,
  }[became];
  return [
    `${name}: ${count(events)} events folded into ${set_}${resumed ? ', which was begun before,' : ''} and compared in ${seconds.toFixed(1)} s${rate}`,
    ...comparisonLines(comparison),
    end,
    '',
  ].join('\n');
}

async function compare(
  name: string,
  options: { readonly set?: number; readonly against?: number; readonly book?: readonly string[]; readonly first: number },
): Promise<void> {
  const { set, against, book, first } = options;
  const { left, right, comparison } = await withLook((look) =>
    look.projections.compare(name, {
      ...(set === undefined ? {} : { build: set }),
      ...(against === undefined ? {} : { against }),
      ...{ books: book, first },
    }),
  );
  process.stdout.write(
    [
      `${name}: set ${left.build} (version ${left.version}, ${left.state}) and set ${right.build} (version ${right.version}, ${right.state})`,
      ...comparisonLines(comparison),
      '',
    ].join('\n'),
  );
  if (!comparison.equal) process.exitCode = differentExitCode;
}

async function drop(set: number): Promise<void> {
  const act = { kind: 'command', action: 'DropProjectionSet', asked: { set: String(set) } } as const;
  const dropped = await withService((service) => acting(service, act, () => service.projections.drop(set)), { project: false });
  process.stdout.write(`set ${set} of ${dropped.projection} (version ${dropped.version}, ${dropped.state}) was dropped\n`);
}

function comparisonLines({ tables, differences, books }: SetComparison): string[] {
  const different = tables.reduce((sum, one) => sum + one.different, 0);
  return [
    ...tables.map(
      ({ table: name, rows, different: own }) =>
        `  ${name}: ${counted(rows, 'row')} in ${counted(books, 'book')}, ${own === 0 ? 'all equal' : `${count(own)} different`}`,
    ),
    ...differences.map((difference) => `  ${differenceText(difference)}`),
    ...(different > differences.length && differences.length > 0 ? [`  … and ${count(different - differences.length)} more`] : []),
  ];
}

function differenceText({ bookId, table: name, key, left, right }: RowDifference): string {
  const place = `${bookId}, ${name} ${pairs(key)}`;
  if (left === undefined) return clean(`${place}: only in the new set (${pairs(right ?? {})})`);
  if (right === undefined) return clean(`${place}: only in the old set (${pairs(left)})`);
  const columns = Object.keys(left).filter((column) => JSON.stringify(left[column]) !== JSON.stringify(right[column]));
  return clean(`${place}: ${columns.map((column) => `${column} ${shown(left[column])} → ${shown(right[column])}`).join(', ')}`);
}

const shown = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
const pairs = (row: Readonly<Record<string, unknown>>): string =>
  Object.entries(row)
    .map(([column, value]) => `${column} ${shown(value)}`)
    .join(', ');

const barWidth = 24;

/** `as-of  ████████░░░░  52 %  1,040,000 of 2,000,000 events, 160,000/s, 0:06 left` */
export function progressText({ phase, at, done, total, seconds }: RebuildProgress): string {
  if (phase !== 'folding') return { indexing: `indexing ${at}`, comparing: `comparing ${at}`, exchanging: `exchanging ${at}` }[phase];
  const part = Math.min(1, done / Math.max(total, 1));
  const filled = Math.round(part * barWidth);
  const rate = done / Math.max(seconds, 0.001);
  const left = (total - done) / Math.max(rate, 0.001);
  // The first events say nothing yet of the rate.
  const forecast = seconds < 1 ? '' : `, ${count(Math.round(rate))}/s, ${duration(left)} left`;
  return `${at} ${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)} ${Math.floor(100 * part)} %, ${count(done)} of ${count(total)} events${forecast}`;
}

const count = (value: number): string => value.toLocaleString('en-US');
const counted = (value: number, one: string, many = `${one}s`): string => `${count(value)} ${value === 1 ? one : many}`;

function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let [value, unit] = [bytes, 0];
  while (value >= 1_000 && unit < units.length - 1) [value, unit] = [value / 1_000, unit + 1];
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

function duration(seconds: number): string {
  const rest = Math.ceil(seconds);
  const parts = [Math.floor(rest / 3_600), Math.floor(rest / 60) % 60, rest % 60];
  return `${parts[0] === 0 ? '' : `${parts[0]}:`}${String(parts[1]).padStart(parts[0] === 0 ? 1 : 2, '0')}:${String(parts[2]).padStart(2, '0')}`;
}
