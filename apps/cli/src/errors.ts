/** What the command line says about an error, and the exit code that scripts can rely on: it hangs on the kind of error. */
import type { ErrorKind, LedgerError } from '#domain';

/** Exit codes by kind; every other fault is 1. */
export const exitCodes: Partial<Record<ErrorKind, number>> = {
  invalid: 2,
  unauthenticated: 2,
  forbidden: 2,
  not_found: 3,
  rejected: 4,
  conflict: 5,
  limited: 6,
  unavailable: 6,
};

/** A command line that cannot be understood. */
export const usageExitCode = 2;
/** Ctrl-C, as shells report it: 128 and the number of the signal. */
export const interruptedExitCode = 130;

/** A fault that has no code in the table of errors, because only the command line can have it. */
export class CliError extends Error {
  constructor(
    message: string,
    readonly exitCode: number,
  ) {
    super(message);
  }
}

export function exitCodeOfKind(kind: ErrorKind): number {
  return exitCodes[kind] ?? 1;
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof CliError) return error.exitCode;
  return isLedgerError(error) ? exitCodeOfKind(error.kind) : 1;
}

/** One line for people; an error of the ledger begins with its code. */
export function tell(error: unknown): string {
  if (isLedgerError(error)) {
    const why = error.cause instanceof Error && error.cause.message !== error.message ? ` (${error.cause.message})` : '';
    return `${error.code}: ${error.message}${why}`;
  }
  return `book-keeper: ${error instanceof Error ? error.message : String(error)}`;
}

/** By name, so that telling a usage error does not load the ledger. */
function isLedgerError(error: unknown): error is LedgerError {
  return error instanceof Error && error.name === 'LedgerError';
}
