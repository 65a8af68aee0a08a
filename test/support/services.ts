/** The whole service on a spec file's database, with a DATA_DIR of its own: what `npm start`, the worker and the CLI open. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger, openService, readConfig, type Service, type ServiceOptions } from '#ledger';

export interface TestService {
  readonly service: Service;
  /** Environment with which another process opens the same service. */
  readonly environment: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/** @param settings beyond the defaults, e.g. `{ QUEUE_PER_BOOK: '100' }` */
export async function openTestService(
  databaseUrl: string,
  settings: Readonly<Record<string, string>> = {},
  options: Partial<ServiceOptions> = {},
): Promise<TestService> {
  const directory = mkdtempSync(join(tmpdir(), 'book-keeper-spec-'));
  const environment = {
    DATABASE_URL: databaseUrl,
    DATA_DIR: directory,
    BOOTSTRAP_API_KEY: 'bk_specs_only_0123456789abcdef',
    LOG_LEVEL: 'error',
    // On a busy machine lists may wait; what they then answer is what is tested.
    READ_WAIT_MS: '30000',
    ...settings,
  };
  const config = readConfig(environment);
  const service = await openService(config, { log: createLogger(config), migrate: false, ...options });
  return {
    service,
    environment,
    async close() {
      await service.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
