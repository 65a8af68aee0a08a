/**
 * Files that commands write: what is named is the whole of it or what was there before, whatever happens in between; or stdout, for as long as
 * anybody reads.
 */
import { lstat, open, realpath, rename, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Option } from 'commander';
import type { LedgerError } from '#domain';
import type { Service } from '#ledger';
import { CliError, interruptedExitCode, usageExitCode } from './errors';
import { type Act, acting, withService } from './session';
import { Output } from './terminal';

/** How texts about persons are written; what is opened is recorded. */
export const personalOption = (): Option =>
  new Option(
    '--personal <how>',
    'texts about persons: open, as they were said; masked, as pseudonyms; sealed, as they are stored (default: masked in exports, sealed in packs)',
  ).choices(['open', 'masked', 'sealed']);

type Pieces = AsyncIterable<string | Uint8Array>;

interface Whole {
  /** The position that it holds for. */
  readonly position: number;
  readonly content: Pieces;
  /** What of it was written until now. */
  readonly rows?: () => number;
}

/**
 * Writes what the service makes of a book to a file or to stdout; says on stderr which position it holds for. Waits for projections as
 * long as they come nearer, which a long import may have left far behind.
 * @param output path of the file; stdout when absent
 * @param begin what is written
 * @param act as it is recorded; what was broken off says so
 * @param done told when all of it was written
 */
export async function writeWhole(
  book: string,
  output: string | undefined,
  begin: (service: Service) => Promise<Whole>,
  act: Omit<Act, 'kind'>,
  done?: () => void,
): Promise<void> {
  const { untilSignal } = await import('#ledger');
  const target = output === undefined ? undefined : await fileAt(output);
  const stop = new AbortController();
  let interrupted = false;
  void untilSignal().then(() => {
    interrupted = true;
    process.stderr.write('stopping (Ctrl-C again: at once)\n');
    stop.abort();
  });
  await withService(
    (service) =>
      acting(
        service,
        { kind: 'read', ...act },
        async () => {
          const whole = await begun(() => begin(service), stop.signal);
          if (whole === undefined) return undefined;
          if (target === undefined) await toStdout(whole.content, stop);
          else await toFile(target, whole.content, stop.signal);
          done?.();
          if (!stop.signal.aborted) process.stderr.write(`${book}, as known at position ${whole.position}\n`);
          return whole.rows?.();
        },
        // Also when whoever read stdout has gone.
        (rows) => ({ rows, ...(stop.signal.aborted ? { outcome: 'broken_off' } : {}) }),
      ),
    { project: true },
  );
  if (interrupted) process.exitCode = interruptedExitCode;
}

/** @returns undefined when told to stop meanwhile */
async function begun(begin: () => Promise<Whole>, signal: AbortSignal): Promise<Whole | undefined> {
  for (let lag = Number.POSITIVE_INFINITY; !signal.aborted; ) {
    try {
      return await begin();
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

async function toStdout(content: Pieces, stop: AbortController): Promise<void> {
  const output = new Output();
  output.closed.signal.addEventListener('abort', () => stop.abort());
  for await (const some of content) {
    await output.write(some);
    if (stop.signal.aborted) break;
  }
}

/** The file behind a path, links followed. @throws CliError when something stands there that is none, such as /dev/null */
async function fileAt(path: string): Promise<string> {
  const target = await realpath(path).catch(() => path); // nothing is there yet
  const there = await lstat(target).catch(() => undefined); // likewise
  if (there === undefined || there.isFile()) return target;
  throw new CliError(`${path} is no file that could be replaced; without --output it goes to stdout`, usageExitCode);
}

/** Under another name, which is given up for the real one when all of it is on disk. */
async function toFile(target: string, content: Pieces, signal: AbortSignal): Promise<void> {
  const partial = `${target}.${process.pid}.part`;
  const file = await open(partial, 'wx').catch((error: Error) => {
    throw new CliError(`${partial} cannot be written: ${error.message}`, usageExitCode);
  });
  try {
    for await (const some of content) {
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
