/**
 * `book-keeper archive`: moves old events of a book to cold storage. Progress on stderr, what came of it on stdout. Stopped at any moment, by
 * Ctrl-C or by force, it goes on where it was when the same command is run again.
 */
import { Command, InvalidArgumentError } from 'commander';
import type { ArchiveOutcome, ArchiveProgress } from '#ledger';
import { CliError, interruptedExitCode } from './errors';
import { acting, withService } from './session';
import { table } from './table';
import { Screen } from './terminal';

interface Options {
  readonly dryRun?: true;
  readonly olderThan?: number;
  readonly json?: true;
}

export function archive(): Command {
  return new Command('archive')
    .summary('move old events of a book to cold storage')
    .description(
      [
        'Moves the beginning of a book to files in ARCHIVE_URL: events that are old enough, under a signed checkpoint, folded by all projections, and whose entries lie in periods that are closed for ever. Everything that reads the log reads them there: answers, proofs, rebuilds and verify stay as they are.',
        'Each file is read back and checked before its rows leave the database, which a login of its own does (ARCHIVER_DATABASE_URL). Run it again to go on after an interruption; the service may run meanwhile.',
      ].join('\n\n'),
    )
    .argument('<book>', 'id of the book')
    .option('--dry-run', 'write and move nothing; say what would move, and how large the files would be')
    .option('--older-than <days>', 'days since events were recorded (default: ARCHIVE_AFTER_DAYS)', whole)
    .option('--json', 'as JSON')
    .action(run);
}

function whole(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError('It is a whole number of days.');
  return Number(text);
}

async function run(bookId: string, { dryRun, olderThan, json }: Options): Promise<void> {
  const stop = new AbortController();
  const interrupt = (): void => stop.abort();
  process.once('SIGINT', interrupt);
  const screen = new Screen<ArchiveProgress>(progressText);
  try {
    const outcome = await withService(
      (service) => {
        const move = (): Promise<ArchiveOutcome> =>
          service.archiver.archive(bookId, {
            ...{ dryRun: dryRun === true, signal: stop.signal, onProgress: screen.progress },
            ...(olderThan === undefined ? {} : { olderThanDays: olderThan }),
          });
        const act = { bookId, kind: 'command', action: 'archive', asked: { olderThan: olderThan?.toString() } } as const;
        return dryRun === true ? move() : acting(service, act, move, ({ events }) => ({ rows: events }));
      },
      { project: false },
    );
    screen.clear();
    process.stdout.write(json === true ? `${JSON.stringify(outcome)}\n` : textOf(outcome, dryRun === true));
  } catch (error) {
    screen.clear();
    if (stop.signal.aborted) throw new CliError('interrupted; run the command again to go on', interruptedExitCode);
    throw error;
  } finally {
    process.off('SIGINT', interrupt);
  }
}

function progressText({ bookId, step, done, total, file, seconds }: ArchiveProgress): string {
  const rate = seconds > 0 ? `, ${Math.round(done / seconds).toLocaleString('en')} events/s` : '';
  return `${bookId}: ${done.toLocaleString('en')} of ${total.toLocaleString('en')} events are cold${rate}; ${file ?? 'next file'}: ${step}`;
}

function textOf({ bookId, ranges, cold, head, because, events, fileBytes, rowBytes, seconds }: ArchiveOutcome, dryRun: boolean): string {
  const number = (value: number): string => value.toLocaleString('en');
  const rows = ranges.map(({ from, to, file, fileBytes: bytes, rowBytes: before }) => [
    `${number(from)} – ${number(to)}`,
    number(before),
    number(bytes),
    file,
  ]);
  const shown = rows.length === 0 ? '' : table(['positions', 'bytes of rows', 'bytes of file', 'file'], rows, [1, 2]);
  const what = dryRun ? 'would move' : 'moved';
  const each = events === 0 ? '' : `: ${(fileBytes / events).toFixed(1)} bytes per event, ${(rowBytes / events).toFixed(1)} as rows`;
  const pace = dryRun || events === 0 ? '' : `; ${seconds.toFixed(1)} s, ${number(Math.round(events / seconds))} events/s`;
  const line = cold + events;
  return `${shown}${number(events)} events of ${bookId} ${what} to cold storage${each}${pace}\n${number(line)} of ${number(head)} events ${dryRun ? 'would be' : 'are'} cold. No more because ${because}.\n`;
}
