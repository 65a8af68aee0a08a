/**
 * `book-keeper export`: a book as a file of another program. Guarantees that the file that it names is a whole export or what
 * was there before, whatever happens in between.
 */
import { lstat, open, realpath, rename, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import type { LedgerError } from '#domain';
import type { BookExport, Service } from '#ledger';
import { CliError, interruptedExitCode, usageExitCode } from './errors';
import { withService } from './session';
import { Output } from './terminal';

interface Options {
  readonly format: string;
  readonly knownAt?: string;
  readonly output?: string;
}

export function exportEntries(): Command {
  return new Command('export')
    .summary('export a book as a file of another program')
    .description(
      [
        'Exports a book: the accounts, the currencies and every entry that was known at a position, in the order of positions. The same position gives the same bytes for ever; which one it was is told on stderr. Nothing is written into the book.',
        'The format hledger is a journal of plain postings that hledger and ledger read, with every balance at every date as it is in the book. Names that a journal cannot hold are written with escapes like _x003B_, and the file begins with a list of them; import --format hledger reads them back.',
      ].join('\n\n'),
    )
    .argument('<book>', 'id of the book')
    .requiredOption('--format <name>', 'what the file shall be, such as hledger; an unknown one is answered with those that there are')
    .option('--known-at <when>', 'only what was recorded by then: a position of the log, or an instant such as 2026-01-31T18:00:00Z')
    .option(
      '--output <file>',
      'where to write: the file is there when it is whole, and replaces one that was there before (default: stdout)',
    )
    .action(run);
}

async function run(book: string, { format, knownAt, output }: Options): Promise<void> {
  const { exportFormats, untilSignal } = await import('#ledger');
  if (!exportFormats.includes(format)) throw new CliError(`there is no format ${format}, only ${exportFormats.join(', ')}`, usageExitCode);
  const target = output === undefined ? undefined : await fileAt(output);
  const stop = new AbortController();
  let interrupted = false;
  void untilSignal().then(() => {
    interrupted = true;
    stop.abort();
  });
  await withService(
    async (service) => {
      const whole = await begin(service, book, format, knownAt, stop.signal);
      if (whole === undefined) return;
      if (target === undefined) await toStdout(whole, stop);
      else await toFile(target, whole, stop.signal);
      if (!stop.signal.aborted) process.stderr.write(`${book}, as known at position ${whole.position}\n`);
    },
    { project: true },
  );
  if (interrupted) process.exitCode = interruptedExitCode;
}

/**
 * Waits for projections as long as they come nearer, which a long import may have left far behind.
 * @returns undefined when told to stop meanwhile
 */
async function begin(
  service: Service,
  book: string,
  format: string,
  knownAt: string | undefined,
  signal: AbortSignal,
): Promise<BookExport | undefined> {
  const { exportBook } = await import('#ledger');
  for (let lag = Number.POSITIVE_INFINITY; !signal.aborted; ) {
    try {
      return await exportBook(service, book, format, { knownAt });
    } catch (error) {
      const { code, details, message } = error as LedgerError;
      if (code !== 'projection_behind' || Number(details.lag) >= lag) throw error;
      lag = Number(details.lag);
      process.stderr.write(`waiting: ${message}\n`);
      await sleep(1_000, undefined, { signal }).catch(() => {}); // told to stop
    }
  }
  return undefined;
}

async function toStdout({ text }: BookExport, stop: AbortController): Promise<void> {
  const output = new Output();
  output.closed.signal.addEventListener('abort', () => stop.abort());
  for await (const some of text) {
    await output.write(some);
    if (stop.signal.aborted) break;
  }
}

/** The file behind a path, links followed. @throws CliError when something stands there that is none, such as /dev/null */
async function fileAt(path: string): Promise<string> {
  const target = await realpath(path).catch(() => path); // nothing is there yet
  const there = await lstat(target).catch(() => undefined); // likewise
  if (there === undefined || there.isFile()) return target;
  throw new CliError(`${path} is no file that could be replaced; without --output the export goes to stdout`, usageExitCode);
}

/** Under another name, which is given up for the real one when all of it is on disk. */
async function toFile(target: string, { text }: BookExport, signal: AbortSignal): Promise<void> {
  const partial = `${target}.${process.pid}.part`;
  const file = await open(partial, 'wx').catch((error: Error) => {
    throw new CliError(`${partial} cannot be written: ${error.message}`, usageExitCode);
  });
  try {
    for await (const some of text) {
      await file.appendFile(some);
      if (signal.aborted) return;
    }
    await file.sync();
    await rename(partial, target);
  } finally {
    await file.close();
    await rm(partial, { force: true });
  }
}
