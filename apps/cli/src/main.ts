/**
 * The command `book-keeper`. Starts fast: verbs are defined with nothing but commander loaded, and load the ledger when they
 * run. The only place, beside errors.ts, that knows exit codes.
 */
import { CommanderError } from 'commander';
import { exitCodeOf, tell, usageExitCode } from './errors';
import { program } from './program';
import { checkWritten, whenReaderGoes } from './terminal';

async function main(): Promise<void> {
  // Whatever the verb does, it does without a reader too.
  whenReaderGoes(process.stdout, () => {});
  try {
    await program().parseAsync();
    checkWritten();
  } catch (error) {
    // Commander has printed what it had to say; help and version are no errors.
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : usageExitCode;
    else {
      process.stderr.write(`${tell(error)}\n`);
      process.exitCode = exitCodeOf(error);
    }
  }
}

void main();
