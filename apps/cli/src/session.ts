/**
 * The ledger for the length of one command: opened from the environment, closed also when the command fails. Guarantees that
 * a command leaves no demo book behind and that stdout holds nothing but its result.
 */
import { hostname, userInfo } from 'node:os';
import type { Action, ActionKind, Look, Opened, Service, UserActed } from '#ledger';
import { CliError, usageExitCode } from './errors';

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
  /** Options and arguments, by their names; what nobody is called stands there in plain (action-members.ts). */
  readonly asked?: Readonly<Record<string, string | undefined>>;
  readonly reason?: string;
  /** Id of the API key whose name events carry; the first administrator's when absent. */
  readonly userId?: string;
  /** Personal texts that were opened when it ends. */
  readonly opened?: Opened;
}

/** How it ended, where that is not simply done. */
export type Ended = Partial<Pick<UserActed, 'outcome' | 'rows' | 'refused' | 'code'>> & {
  /** What it made or was about, as is known now. */
  readonly about?: NonNullable<Action['filter']>;
};

/**
 * Records that something begins, before any of it is done or shown, and how it ended. From where is who is logged in on which host.
 * @param ended what is to be said of the result
 */
export async function acting<T>(
  service: Service,
  { kind, action, opened, asked = {}, ...act }: Act,
  work: () => Promise<T>,
  ended: (result: T) => Ended = () => ({}),
): Promise<T> {
  if (service.config.ACTIONS === 'off') {
    if (asked.personal === 'open')
      throw new CliError(
        'texts about persons are opened only where it is recorded who read them, and ACTIONS is off: leave --personal open away, or record',
        usageExitCode,
      );
    return work();
  }
  const { askedMember, openedBy } = await import('#ledger');
  const who = { userId: service.bootstrapKey.id, source: 'CLI', userAgent: `${userInfo().username}@${hostname()}`, ...act } as const;
  const filter = (known: Parameters<typeof askedMember>[2]): NonNullable<Action['filter']> =>
    Object.entries(asked).flatMap(([name, value]) => (value === undefined ? [] : [askedMember(name, value, known)]));
  const begunAs = await service.actions.record({ ...who, filter: filter('begun'), said: { kind, action, outcome: 'begun' } });
  let result: T;
  try {
    result = await work();
  } catch (error) {
    const { code } = error as { readonly code?: unknown };
    const refusal = typeof code === 'string' && /^[a-z_]+$/.test(code) ? code : undefined;
    const said = { kind, action, outcome: 'broken_off', code: refusal, begunAs, opened: openedBy(opened) } as const;
    await service.actions.record({ ...who, filter: filter('refused'), said }).catch(() => {}); // the error is the one to tell
    throw error;
  }
  const { about = [], outcome = 'done', ...said } = ended(result);
  const found = outcome === 'refused' ? 'refused' : said.rows === 0 ? 'empty' : 'found';
  await service.actions.record({
    ...who,
    filter: [...filter(found), ...about],
    said: { kind, action, outcome, ...said, begunAs, opened: openedBy(opened) },
  });
  return result;
}
