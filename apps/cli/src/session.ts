/**
 * The ledger for the length of one command: opened from the environment, closed also when the command fails. Guarantees that
 * a command leaves no demo book behind and that stdout holds nothing but its result.
 */
import type { Look, Service } from '#ledger';
import { CliError } from './errors';

/** @param project whether projections are folded while the command runs */
export async function withService<T>(use: (service: Service) => Promise<T>, { project }: { project: boolean }): Promise<T> {
  const { createLogger, ledgerErrorOf, openService, readConfig } = await import('#ledger');
  const config = readConfig({ LOG_LEVEL: 'error', ...process.env, DEMO_BOOK: 'off' });
  let service: Service | undefined;
  try {
    service = await openService(config, { log: createLogger(config), project });
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
