/**
 * The log of a process: JSON lines on stderr. Guarantees that no key, no body and no row of the database gets into it: what
 * is logged is named member by member, and errors are cut down to what names the fault.
 */
import { type Logger, pino, stdSerializers } from 'pino';
import type { Config } from './config';

export type Log = Logger;

export function createLogger({ LOG_LEVEL }: Pick<Config, 'LOG_LEVEL'>): Log {
  return pino(
    {
      level: LOG_LEVEL,
      base: undefined,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: ['authorization', 'headers.authorization', 'req.headers.authorization'],
      serializers: { err: describeError },
    },
    // Written when there is a page of it, and each second: a write per line is a tenth of the cost of posting an entry, and with every
    // line sonic-boom copies what waits.
    pino.destination({ dest: 2, sync: false, minLength: 4096, periodicFlush: 1_000 }),
  );
}

/** PostgreSQL's errors carry rows and parameters in their members. */
function describeError(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) };
  const { type, message, stack } = stdSerializers.err(error);
  const { code, cause } = error as { code?: unknown; cause?: unknown };
  return { type, message, stack, ...(code === undefined ? {} : { code }), ...(cause === undefined ? {} : { cause: describeError(cause) }) };
}
