/** `book-keeper audit-pack`: everything that an auditor needs to check a book elsewhere, as one archive; progress on stderr. */
import { Command } from 'commander';
import type { AuditPackProgress, Opened, Presentation } from '#ledger';
import { CliError, usageExitCode } from './errors';

import { Screen } from './terminal';
import { personalOption, writeWhole } from './whole-files';

interface Options {
  readonly from?: string;
  readonly to?: string;
  readonly period?: string;
  readonly knownAt?: string;
  readonly since?: string;
  readonly format?: readonly string[];
  readonly output?: string;
  readonly personal?: Presentation;
}

export function auditPackCommand(): Command {
  return new Command('audit-pack')
    .summary('pack what an auditor needs to check a book elsewhere')
    .description(
      [
        'Packs all events of a book up to a position, the signed heads of its log with proofs, the chart of accounts, trial balance, general ledger and journal of a range of dates, the closes of its periods, what changed since the last pack, and the export formats that are asked for; with a signed manifest that has SHA-256 of every file and control totals. The same question at the same position gives the same bytes.',
        'The archive is checked without this service by packages/verifier, or by any program written from docs/AUDIT-PACK.md, given the public key: book-keeper log keys.',
      ].join('\n\n'),
    )
    .argument('<book>', 'id of the book')
    .option('--from <date>', 'first effective date of the reports, YYYY-MM-DD')
    .option('--to <date>', 'last effective date of the reports')
    .option('--period <name>', 'instead of both: a fiscal year (2026) or one of its periods (2026/6)')
    .option('--known-at <when>', 'only what was recorded by then: a position of the log, or an instant such as 2026-01-31T18:00:00Z')
    .option('--since <when>', 'since when changes are told (default: the pack that was built last)')
    .option('--format <name...>', 'export formats to pack too, such as hledger or saf-t-no')
    .option(
      '--output <file>',
      'where to write: the file is there when it is whole, and replaces one that was there before (default: stdout)',
    )
    .addOption(personalOption())
    .action(run);
}

async function run(book: string, { format: formats = [], output, personal, ...question }: Options): Promise<void> {
  const { exportFormats } = await import('#ledger');
  const unknown = formats.find((format) => !exportFormats.includes(format));
  if (unknown !== undefined) throw new CliError(`there is no format ${unknown}, only ${exportFormats.join(', ')}`, usageExitCode);
  const screen = new Screen(progressText);
  const opened: Opened = { texts: 0, subjects: new Set() };
  await writeWhole(
    book,
    output,
    (service) =>
      service.auditPack(book, { ...question, formats, ...(personal === undefined ? {} : { personal }), opened }, screen.progress),
    { bookId: book, action: 'audit-pack', asked: { ...question, personal, format: formats.join(' ') || undefined }, opened },
    () => screen.clear(),
  );
}

const progressText = ({ file, events, of, bytes }: AuditPackProgress): string =>
  `${file}: ${events.toLocaleString('en-US')} of ${of.toLocaleString('en-US')} events, ${(bytes / 1_048_576).toFixed(1)} MiB of files`;
