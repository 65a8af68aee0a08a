/** `book-keeper export`: a book as a file of another program. */
import { Command } from 'commander';
import type { Opened, Presentation } from '#ledger';
import { CliError, usageExitCode } from './errors';

import { personalOption, writeWhole } from './whole-files';

interface Options {
  readonly format: string;
  readonly knownAt?: string;
  readonly from?: string;
  readonly to?: string;
  readonly output?: string;
  readonly personal?: Presentation;
}

/** Lists the formats when its description is asked for, not before: they come with the ledger, which other verbs' help need not load. */
class ExportCommand extends Command {
  override description(text: string): this;
  override description(): string;
  override description(text?: string): this | string {
    if (text !== undefined) return super.description(text);
    const { exportTitles } = require('#ledger') as typeof import('#ledger');
    const formats = Object.entries(exportTitles).map(([name, title]) => `${name}: ${title}.`);
    return `${super.description()}\n\nThe formats:\n\n${formats.join('\n\n')}`;
  }
}

export function exportEntries(): Command {
  return new ExportCommand('export')
    .summary('export a book as a file of another program')
    .description(
      [
        'Exports a book: the accounts, the currencies and every entry that was known at a position, whole or in a range of effective dates. The same position and range give the same bytes for ever; which position it was is told on stderr. Nothing is written into the book. An export that would contradict itself (an entry that does not balance, a number that is missing, balances that the entries do not lead to) breaks off and says why.',
        'Names that a format cannot hold are written with escapes (_x003B_ in journals), of which the file has a list; docs/OPERATIONS.md explains them. import --format hledger reads journals back.',
      ].join('\n\n'),
    )
    .argument('<book>', 'id of the book')
    .requiredOption('--format <name>', 'what the file shall be: one of the formats above')
    .option('--known-at <when>', 'only what was recorded by then: a position of the log, or an instant such as 2026-01-31T18:00:00Z')
    .option('--from <date>', 'only entries with an effective date from this day on, YYYY-MM-DD')
    .option('--to <date>', 'only entries with an effective date up to this day')
    .option(
      '--output <file>',
      'where to write: the file is there when it is whole, and replaces one that was there before (default: stdout)',
    )
    .addOption(personalOption())
    .action(run);
}

async function run(book: string, { format, output, personal, ...question }: Options): Promise<void> {
  const { exportBook, exportFormats } = await import('#ledger');
  if (!exportFormats.includes(format)) throw new CliError(`there is no format ${format}, only ${exportFormats.join(', ')}`, usageExitCode);
  const opened: Opened = { texts: 0, subjects: new Set() };
  const act = { bookId: book, action: 'exports', asked: { format, personal, ...question }, opened };
  await writeWhole(
    book,
    output,
    (service) => exportBook(service, book, format, { ...question, ...(personal === undefined ? {} : { personal }), opened }),
    act,
  );
}
