/** `book-keeper actions`: who did what, and who looked at what; to read, or as a file. */
import { Command, Option } from 'commander';
import type { ActionRow, ActionsQuestion } from '#ledger';
import { CliError, usageExitCode } from './errors';
import { whole } from './events';
import { acting, withService } from './session';
import { table } from './table';
import { clean } from './terminal';
import { writeWhole } from './whole-files';

interface Options extends Omit<ActionsQuestion, 'kind' | 'outcome'> {
  readonly kind?: ActionsQuestion['kind'];
  readonly outcome?: ActionsQuestion['outcome'];
  readonly last: number;
  readonly format: 'text' | 'json' | 'csv' | 'xlsx';
  readonly output?: string;
}

export function actions(): Command {
  return new Command('actions')
    .summary('show who did what, and who looked at what')
    .description(
      [
        'Shows the log of user actions of a book: every command, also those that were refused, and every report, statement, list and export that was read. Without a book it shows what concerns none: logins that failed, books that were opened, API keys that were made.',
        'csv and xlsx have all actions, from the oldest on; a workbook has a sheet per fiscal year, by the clock of the book. Looking at the log is an action as well.',
      ].join('\n\n'),
    )
    .argument('[book]', 'id of the book')
    .option('--user-id <id>', 'only those of this API key, by its id')
    .option('--on-behalf-of <who>', 'only those for this person or system')
    .addOption(new Option('--kind <kind>', 'only those of this kind').choices(['command', 'read', 'login']))
    .option('--action <name>', 'only this type of command or name of a read, such as PostEntry or trial-balance')
    .addOption(
      new Option('--outcome <outcome>', 'only those that ended so').choices([
        'done',
        'partly',
        'begun',
        'broken_off',
        'refused',
        'denied',
        'failed',
      ]),
    )
    .option('--about <what>', 'only those about this account, entry or whatever was named')
    .option('--from <when>', 'recorded on or after: a date or an instant such as 2026-01-31T18:00:00Z')
    .option('--to <when>', 'recorded on or before: a date (its whole day) or an instant')
    .option('-n, --last <count>', 'only so many, the newest', whole, 50)
    .addOption(
      new Option('--format <format>', 'text and json (a line each) show the newest; csv and xlsx hold all')
        .choices(['text', 'json', 'csv', 'xlsx'])
        .default('text'),
    )
    .option('--output <file>', 'where csv or xlsx is written: the file is there when it is whole (default: stdout)')
    .action(run);
}

async function run(book: string | undefined, { last, format, output, ...question }: Options): Promise<void> {
  if (output !== undefined && format !== 'csv' && format !== 'xlsx')
    throw new CliError(`--output is for csv and xlsx; ${format} goes to stdout`, usageExitCode);
  const act = { bookId: book, action: 'actions', asked: { ...question, format } };
  if (format === 'csv' || format === 'xlsx') {
    if (book === undefined && format === 'xlsx')
      throw new CliError('a workbook has a sheet per fiscal year of a book; without a book take csv', usageExitCode);
    await writeWhole(
      book ?? 'the installation',
      output,
      async ({ actionLog }) => ({
        position: (await actionLog.list(book, { limit: 1 })).position,
        ...(format === 'csv' ? await actionLog.csv(book, question) : await actionLog.workbook(book ?? '', question)),
      }),
      act,
    );
    return;
  }
  await withService(
    async (service) => {
      const rows: ActionRow[] = [];
      await acting(
        service,
        { kind: 'read', ...act },
        async () => {
          for (let cursor: string | undefined = ''; cursor !== undefined && rows.length < last; ) {
            const page = await service.actionLog.list(book, {
              ...question,
              limit: Math.min(1_000, last - rows.length),
              ...(cursor === '' ? {} : { cursor }),
            });
            rows.push(...page.actions);
            cursor = page.nextCursor;
          }
        },
        () => ({ rows: rows.length }),
      );
      rows.reverse();
      if (format === 'json') for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`);
      else
        process.stdout.write(
          table(['POSITION', 'RECORDED AT', 'USER', 'ACTION', 'ABOUT', 'OUTCOME', 'ROWS', 'FROM'], rows.map(cells), [0, 6]),
        );
    },
    { project: false },
  );
}

function cells({ position, recordedAt, userId, onBehalfOf, action, filter = [], outcome, code, rows, ip, userAgent }: ActionRow): string[] {
  const about = filter.map(({ key, value }) => `${key}=${value ?? '(typed)'}`).join(' ');
  const user = onBehalfOf === undefined ? (userId ?? '') : `${userId} for ${onBehalfOf}`;
  const ended = code === undefined ? outcome : `${outcome} (${code})`;
  return [String(position), recordedAt, user, action, about, ended, rows === undefined ? '' : String(rows), ip ?? userAgent ?? ''].map(
    clean,
  );
}
