/**
 * The ledger for the length of one command: opened from the environment, closed also when the command fails. Guarantees that
 * a command leaves no demo book behind and that stdout holds nothing but its result.
 */
import { hostname, userInfo } from 'node:os';
import type { Action, ActionKind, Look, Opened, Service } from '#ledger';
import { CliError } from './errors';

/**
 * @param options project: whether projections are folded and logs sealed while the command runs; compare: false opens also a database that
 *   was restored from an old backup
 */
export async function withService<T>(use: (service: Service) => Promise<T>, options: { project: boolean; compare?: boolean }): Promise<T> {
  const { createLogger, ledgerErrorOf, openService, readConfig } = await import('#ledger');
  const config = readConfig({ LOG_LEVEL: 'error', ...process.env, DEMO_BOOK: 'off' });
  let service: Service | undefined;
  try {
    service = await openService(config, { log: createLogger(config), ...options });
    return await use(service);
  } catch (error) {
    // Every other error says itself what is wrong: a setting, a missing right, a refusal.
    const known = ledgerErrorOf(error);
    throw known.kind === 'unavailable' ? known : error;
  } finally {
    await service?.close();
  }
}

/** The books to look at, as they are: nothing is written, and a login that may only read will do. */
export async function withLook<T>(use: (look: Look) => Promise<T>): Promise<T> {
  const { createLogger, ledgerErrorOf, openLook, readConfig } = await import('#ledger');
  const config = readConfig({ LOG_LEVEL: 'error', ...process.env });
  let look: Look | undefined;
  try {
    look = await openLook(config, createLogger(config));
    return await use(look);
  } catch (error) {
    const known = ledgerErrorOf(error);
    throw known.kind === 'unavailable' ? known : error;
  } finally {
    await look?.close();
  }
}

/** Names of API keys by id, for what people read; says so where the login may not read them. */
export async function namesOf(look: Look): Promise<Map<string, string>> {
  const names = await look.keyNames();
  if (names === undefined) process.stderr.write('this login may not read the names of API keys: users are shown and found by their ids\n');
  return names ?? new Map();
}

/**
 * Whom the events of a command name (I12).
 * @param name of a valid API key; the first administrator's when absent
 * @returns the key's id
 */
export async function actingKey({ keys, bootstrapKey }: Service, name: string | undefined): Promise<string> {
  if (name === undefined) return bootstrapKey.id;
  const key = (await keys.list()).find((known) => known.name === name && known.revokedAt === undefined);
  if (key === undefined) throw new CliError(`there is no valid API key named ${name}; book-keeper keys list shows all`, 3);
  return key.id;
}

/** What a command of this program does, for the log of user actions. */
export interface Act {
  /** Absent where it concerns no book. */
  readonly bookId?: string;
  readonly kind: ActionKind;
  readonly action: string;
  readonly filter?: Action['filter'];
  readonly reason?: string;
  /** Id of the API key whose name events carry; the first administrator's when absent. */
  readonly userId?: string;
  /** Personal texts that were opened when it ends. */
  readonly opened?: Opened;
}

/** Options as a filter of the log of user actions. */
export const asked = (options: Readonly<Record<string, string | undefined>>): Action['filter'] => {
  const given = Object.entries(options).flatMap(([key, value]) => (value === undefined ? [] : [{ key, value }]));
  return given.length === 0 ? undefined : given;
};

/**
 * Records that something begins, before any of it is done or shown, and how it ended. From where is who is logged in on which host.
 * @param rows how much there was of it
 */
export async function acting<T>(
  service: Service,
  { kind, action, opened, ...act }: Act,
  work: () => Promise<T>,
  rows: (result: T) => number | undefined = () => undefined,
): Promise<T> {
  if (service.config.ACTIONS === 'off') return work();
  const { openedBy } = await import('#ledger');
  const who = { userId: service.bootstrapKey.id, source: 'CLI', userAgent: `${userInfo().username}@${hostname()}`, ...act } as const;
  const begunAs = await service.actions.record({ ...who, said: { kind, action, outcome: 'begun' } });
  try {
    const result = await work();
    await service.actions.record({
      ...who,
      said: { kind, action, outcome: 'done', rows: rows(result), begunAs, opened: openedBy(opened) },
    });
    return result;
  } catch (error) {
    const { code } = error as { readonly code?: unknown };
    const refusal = typeof code === 'string' && /^[a-z_]+$/.test(code) ? code : undefined;
    await service.actions
      .record({ ...who, said: { kind, action, outcome: 'broken_off', code: refusal, begunAs, opened: openedBy(opened) } })
      .catch(() => {}); // the error is the one to tell
    throw error;
  }
}
