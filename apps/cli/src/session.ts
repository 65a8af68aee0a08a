/**
 * The ledger for the length of one command: opened from the environment, closed also when the command fails. Guarantees that
 * a command leaves no demo book behind and that stdout holds nothing but its result.
 */
import type { Service } from '#ledger';
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
