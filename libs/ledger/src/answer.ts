/**
 * What a caller is told: status and bytes, as the REST contract says them. They are made where a command is decided, because
 * the very bytes are stored in its receipt and given again to whoever repeats it (I6). The only place that knows which HTTP
 * status a kind of error has.
 */
import { type ErrorKind, LedgerError } from '#domain';
import type { ArchiveUnreadable } from '#event-store';

/** The answer to a command. `body` is JSON text; a replay gives the stored bytes. */
export interface Answer {
  readonly status: number;
  readonly body: string;
  /** Whether the command had been carried out before. */
  readonly replayed: boolean;
}

const statuses: Readonly<Record<ErrorKind, number>> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  rejected: 422,
  limited: 429,
  unavailable: 503,
  internal: 500,
};

/** HTTP status of a kind of error (RFC 9110 section 15). */
export function statusOf(kind: ErrorKind): number {
  return statuses[kind];
}

/** A problem document (RFC 9457) as JSON text, with `code` and the members of the error table. */
export function problemBody(error: LedgerError): string {
  return JSON.stringify(problemOf(error));
}

/** A problem document (RFC 9457). */
export function problemOf(error: LedgerError): Record<string, unknown> {
  return {
    type: `urn:book-keeper:error:${error.code}`,
    title: titleOf(error.code),
    status: statuses[error.kind],
    detail: error.message,
    code: error.code,
    ...error.details,
  };
}

const titleOf = (code: string): string => code.charAt(0).toUpperCase() + code.slice(1).replaceAll('_', ' ');

/** Kinds whose refusals are outcomes of deciding and are remembered under the key; the others are forgotten (I6). */
export function isRemembered(error: unknown): error is LedgerError {
  return error instanceof LedgerError && (error.kind === 'rejected' || error.kind === 'conflict' || error.kind === 'not_found');
}

/** What a file of cold storage that cannot be read means to whoever asked. */
export const unreadable = (error: ArchiveUnreadable): LedgerError =>
  new LedgerError('archive_unreadable', error.message, { file: error.file }, undefined, { cause: error });
