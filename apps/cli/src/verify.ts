/**
 * `book-keeper verify`: derives again everything that the events tell and says what differs. Progress on stderr, the outcome on
 * stdout; exit code 0 when nothing was found, 1 when something was, 2 when it could not be checked.
 */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import type { Finding, Verification, VerifyProgress } from '#ledger';
import { CliError, interruptedExitCode, tell, usageExitCode } from './errors';
import { withLook } from './session';
import { clean, Screen } from './terminal';

const foundExitCode = 1;
const uncheckedExitCode = 2;

interface Options {
  readonly json?: true;
  readonly hashes?: true;
  readonly checkpoint?: readonly string[];
}

export function verify(): Command {
  return new Command('verify')
    .summary('hold everything that is stored against the events')
    .description(
      [
        'Derives again what can be derived from the events: leaf hashes, positions, versions, what an entry had to keep when it was posted, account events, numbers, reversals; the Merkle tree, signed checkpoints, also those that were handed out; heads, names and receipts; and every projection, row for row, up to where it has folded. Looks at grants, triggers and functions of the log too. It reads one snapshot and changes nothing, so it may run at any time.',
        'Prints what was found, the first bad event of each book, and what was not checked. Exit code 0: nothing was found; 1: something was; 2: it could not be checked.',
      ].join('\n\n'),
    )
    .argument('[books...]', 'ids of the books (default: all)')
    .option(
      '--hashes',
      'only hashes: of events, the Merkle tree, checkpoints and signatures; faster, and not what follows from what events say',
    )
    .option(
      '--checkpoint <file...>',
      'signed checkpoints that were kept elsewhere, which the logs must continue; what is in CHECKPOINT_DIR and CHECKPOINT_BUCKET is held against them anyway',
    )
    .option('--json', 'as JSON')
    .action(run);
}

async function run(books: string[], { json, hashes, checkpoint = [] }: Options): Promise<void> {
  // Before anything is opened, so that Ctrl-C is heard from the first moment on; a second one ends the process at once.
  const { untilSignal } = await import('#ledger');
  const stop = new AbortController();
  void untilSignal().then(() => stop.abort());
  const notes = checkpoint.flatMap(notesIn);
  const screen = new Screen(progressText);
  try {
    const verification = await withLook((look) =>
      look.verify({
        books: books.length === 0 ? undefined : [...new Set(books)],
        notes,
        hashesOnly: hashes === true,
        onProgress: screen.progress,
        signal: stop.signal,
      }),
    );
    screen.clear();
    process.stdout.write(json ? `${JSON.stringify(verification, undefined, 2)}\n` : textOf(verification));
    if (!verification.clean) process.exitCode = foundExitCode;
  } catch (error) {
    screen.clear();
    if (stop.signal.aborted) throw new CliError('stopped before the end; nothing is said about the books', interruptedExitCode);
    process.stderr.write(`${tell(error)}\n`);
    process.exitCode = uncheckedExitCode;
  }
}

/** The signed notes in a file: one, or several with empty lines between. */
function notesIn(file: string): { readonly from: string; readonly note: string }[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new CliError(`${file} cannot be read: ${(error as Error).message}`, usageExitCode);
  }
  const notes = text.match(/.+\n\d+\n.+\n(?:.+\n)*\n(?:— .+\n)+/g) ?? [];
  if (notes.length === 0) throw new CliError(`${file} holds no signed checkpoint, as GET …/checkpoint answers it`, usageExitCode);
  return notes.map((note) => ({ from: file, note }));
}

function progressText({ bookId, phase, done, total, seconds }: VerifyProgress): string {
  if (phase !== 'events') return `${bookId}: ${phase === 'heads' ? 'heads, names and contexts' : `${count(done)} rows of projections`}`;
  const rate = seconds > 0 ? `, ${count(Math.round(done / seconds))}/s` : '';
  return `${bookId}: ${count(done)} of ${count(total)} events (${Math.floor((100 * done) / Math.max(total, 1))} %)${rate}`;
}

function textOf({ books, installation, notChecked, events, found, seconds }: Verification): string {
  const lines = [...installation.map(lineOf)];
  for (const book of books) {
    const { bookId, rows, heads, olderHeads, findings } = book;
    const older = olderHeads === 0 ? '' : ` (${count(olderHeads)} of an earlier release, folded anew when next needed)`;
    const outcome = book.found === 0 ? 'nothing wrong' : `${count(book.found)} findings`;
    lines.push(`${bookId}: ${count(book.events)} events, ${count(heads)} heads${older}, ${count(rows)} rows of projections: ${outcome}`);
    if (book.first !== undefined) lines.push(`  first bad ${book.first.row === undefined ? 'event' : 'row'}: ${clean(book.first.message)}`);
    for (const finding of findings) lines.push(`  ${lineOf(finding)}`);
    if (book.found > findings.length) lines.push(`  … and ${count(book.found - findings.length)} more of the same kinds`);
  }
  const rate = seconds > 0 ? ` (${count(Math.round(events / seconds))} events/s)` : '';
  lines.push(`${found === 0 ? 'Nothing wrong' : `${count(found)} findings`} in ${count(events)} events, ${seconds.toFixed(1)} s${rate}.`);
  lines.push('Not checked:', ...notChecked.map((what) => `  ${what}`), '');
  return lines.join('\n');
}

const lineOf = ({ check, message }: Finding): string => `${check}: ${clean(message)}`;
const count = (value: number): string => value.toLocaleString('en-US');
