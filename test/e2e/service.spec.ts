/** Opening the service on a given database: who migrates, who may not, and what is said when nobody can. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Config, createLogger, migrateDatabase, openService, readConfig, type Service } from '#ledger';
import { emptyDatabase, type TestDatabase, testDatabase } from '../support/database';

let migrated: TestDatabase;
let empty: Omit<TestDatabase, 'appUrl'>;
/** The login of the service, on the database that is empty. */
let appUrlOfEmpty: string;
const services: Service[] = [];

beforeAll(async () => {
  migrated = await testDatabase();
  empty = await emptyDatabase();
  appUrlOfEmpty = Object.assign(new URL(migrated.appUrl), { pathname: `/${empty.name}` }).href;
});
afterAll(async () => {
  for (const service of services) await service.close();
  await Promise.all([migrated.drop(), empty.drop()]);
});

const directory = mkdtempSync(join(tmpdir(), 'book-keeper-service-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const configOf = (settings: Partial<Record<keyof Config, string>>) =>
  readConfig({ DATA_DIR: directory, BOOTSTRAP_API_KEY: 'the-first-administrators-key', LOG_LEVEL: 'silent', ...settings });
const log = createLogger({ LOG_LEVEL: 'silent' });

async function open(
  settings: Partial<Record<keyof Config, string>>,
  options: { migrate?: boolean; project?: boolean } = {},
): Promise<Service> {
  const service = await openService(configOf(settings), { log, ...options });
  services.push(service);
  return service;
}

it('says what to do where the schema is missing and it may not or cannot migrate', async () => {
  await expect(open({ DATABASE_URL: appUrlOfEmpty }, { migrate: false })).rejects.toThrow(
    'the schema of the database is empty (migration 0',
  );
  await expect(open({ DATABASE_URL: appUrlOfEmpty })).rejects.toThrow('or set MIGRATION_DATABASE_URL to a login that may migrate');
});

it('migrates with another login than it serves with, several at once', async () => {
  const settings = { DATABASE_URL: appUrlOfEmpty, MIGRATION_DATABASE_URL: empty.adminUrl };
  const opened = await Promise.all([open(settings), open(settings), open(settings)]);
  for (const service of opened) expect(await service.readiness()).toMatchObject({ ready: true });
  expect(await migrateDatabase(configOf(settings), log)).toEqual({
    applied: [],
    current: expect.any(Number),
    database: expect.not.stringContaining('@'),
  });
});

it('needs no right to migrate where there is nothing to do', async () => {
  const service = await open({ DATABASE_URL: migrated.appUrl });
  expect(await service.readiness()).toMatchObject({ ready: true });
  expect(service.database).toMatch(new RegExp(`^postgres://[^@]*/${migrated.name}$`));
});

it('folds nothing when told so', async () => {
  const service = await open({ DATABASE_URL: migrated.appUrl }, { project: false, migrate: false });
  const context = { userId: service.bootstrapKey.id, source: 'job' } as const;
  await service.ledger.execute(
    'quiet',
    { type: 'OpenBook', id: 'quiet', name: 'x', baseCurrency: 'EUR', fiscalYearStart: '01-01' },
    { ...context, key: 'a' },
  );
  expect(service.projector.failures()).toEqual([]);
  expect(await service.projector.lag()).toContainEqual({
    projection: 'chart',
    books: 1,
    events: expect.any(Number),
    seconds: expect.any(Number),
  });
});
