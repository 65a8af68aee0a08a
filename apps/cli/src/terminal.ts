/**
 * What goes to a terminal, a file or a pipe. Guarantees that text of the books cannot command the terminal, that colours go to
 * terminals only, that memory does not grow while the reader is slow, and that a reader who has seen enough (`| head`) ends
 * the command quietly.
 */
import { once } from 'node:events';
import { CliError } from './errors';

/** Text of the books on one line, without what a terminal would take for a command. */
export function clean(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: names them to show them
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (character) =>
    character === '\n' ? ' ⏎ ' : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

const colours = { red: 31, green: 32, yellow: 33, cyan: 36, dim: 2, bold: 1 } as const;
export type Colour = keyof typeof colours;

/** Paints text where stdout is a terminal and NO_COLOR (no-color.org) is not set. */
export function paint(colour: Colour, text: string): string {
  const wanted = process.stdout.isTTY === true && (process.env.NO_COLOR ?? '') === '';
  return wanted ? `\u001b[${colours[colour]}m${text}\u001b[0m` : text;
}

let unwritten: CliError | undefined;

/**
 * Without anybody who listens, a write to a reader who has gone, or to a disk that is full, would end the process with a stack trace.
 * @param then called when nothing more can be written
 */
export function whenReaderGoes(stream: NodeJS.WriteStream, then: () => void): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') unwritten ??= new CliError(`what was written ends too early: ${error.message}`, 1);
    then();
  });
}

/** @throws CliError when something was written that did not arrive, though nobody had seen enough */
export function checkWritten(): void {
  if (unwritten !== undefined) throw unwritten;
}

export class Output {
  /** Aborted when the reader has gone. */
  readonly closed = new AbortController();

  constructor(private readonly stream: NodeJS.WriteStream = process.stdout) {
    whenReaderGoes(stream, () => this.closed.abort());
  }

  /** Writes, and waits as long as the reader has not taken what was written before. */
  async write(text: string | Uint8Array): Promise<void> {
    if (this.closed.signal.aborted || this.stream.write(text)) return;
    await once(this.stream, 'drain', { signal: this.closed.signal }).catch(() => {}); // the reader has gone
  }
}

const redrawMs = 100;
/** Where stderr is a file, a line now and then. */
const lineEveryMs = 5_000;

/** One line of progress on stderr, drawn over itself on a terminal. */
export class Screen<Progress> {
  private readonly tty = process.stderr.isTTY === true;
  private shownAt = performance.now();
  private drawn = false;

  constructor(private readonly textOf: (progress: Progress) => string) {}

  progress = (progress: Progress): void => {
    const now = performance.now();
    if (now - this.shownAt < (this.tty ? redrawMs : lineEveryMs)) return;
    this.shownAt = now;
    this.drawn = this.tty;
    const text = clean(this.textOf(progress));
    process.stderr.write(this.tty ? `\r${text}\u001b[K` : `${text}\n`);
  };

  /** Removes the line of progress. */
  clear(): void {
    if (this.drawn) process.stderr.write('\r\u001b[K');
    this.drawn = false;
  }
}
