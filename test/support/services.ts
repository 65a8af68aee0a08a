/** The whole service on a spec file's database, with a DATA_DIR of its own: what `npm start`, the worker and the CLI open. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from 'pg';
import { createLogger, openService, readConfig, type Service, type ServiceOptions } from '#ledger';
import { connect } from '#postgres';
import { type TestDatabase, testDatabase } from './database';

/** A spec file's database with a superuser's connection to it and the whole service on it. */
export interface ServiceOnDatabase {
  readonly database: TestDatabase;
  readonly admin: Client;
  readonly opened: TestService;
  readonly service: Service;
  /** In the order in which things depend on each other. */
  end(): Promise<void>;
}

/** @returns all of it, or nothing: what was begun is ended when a step fails */
export async function serviceOnDatabase(settings: Readonly<Record<string, string>> = {}): Promise<ServiceOnDatabase> {
  const ends: (() => Promise<void>)[] = [];
  const end = async (): Promise<void> => {
    for (const step of ends.splice(0).reverse()) await step();
  };
  try {
    const database = await testDatabase();
    ends.push(() => database.drop());
    const admin = await connect(database.adminUrl);
    ends.push(() => admin.end());
    const opened = await openTestService(database.appUrl, settings);
    ends.push(() => opened.close());
    return { database, admin, opened, service: opened.service, end };
  } catch (error) {
    await end();
    throw error;
  }
}

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
