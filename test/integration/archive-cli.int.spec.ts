/**
 * `book-keeper archive` as operators run it, on the embedded server, whose login for taking events out is made by itself; and the same done by
 * a service with ARCHIVE=inline, without anybody asking.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger, openService, projections, readConfig, type Service } from '#ledger';
import { startCommand } from '../support/cli';

const bookId = 'shelved';
let directory: string;
let service: Service;
let environment: Readonly<Record<string, string>>;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'book-keeper-archive-cli-'));
  environment = {
    ...{ DATABASE_URL: '', DATA_DIR: directory, DEMO_BOOK: 'off', LOG_LEVEL: 'error', CHECKPOINT_MS: '100' },
    ...{ BOOTSTRAP_API_KEY: 'bk_specs_only_0123456789abcdef', ARCHIVE_URL: join(directory, 'cold') },
  };
  service = await open();
  await fill(bookId, 100);
}, 120_000);
afterAll(async () => {
  await service?.close();
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
});

const open = (more: Readonly<Record<string, string>> = {}): Promise<Service> => {
  const config = readConfig({ ...environment, ...more });
  return openService(config, { log: createLogger(config) });
};

/** A year that is closed for ever, sealed and folded. */
async function fill(book: string, entries: number): Promise<void> {
  let serial = 0;
  const done = async (command: object): Promise<void> => {
    const context = { key: `${book}-${++serial}`, userId: 'u-1', source: 'job', isController: true } as const;
    const answer = await service.execute(book, command as never, context);
    if (answer.status >= 400) throw new Error(answer.body);
  };
  await done({ type: 'OpenBook', id: book, name: 'Shelved', baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2024-01-01' });
  for (const [code, accountType] of [
    ['Cash', 'asset'],
    ['Sales', 'income'],
  ])
    await done({ type: 'OpenAccount', code, name: code, accountType });
  const lines = [
    { account: 'Cash', side: 'debit', amount: '1.00', currency: 'EUR' },
    { account: 'Sales', side: 'credit', amount: '1.00', currency: 'EUR' },
  ];
  const entry = { type: 'PostEntry', effectiveDate: '2024-05-05', description: 'Sale', lines };
  await Promise.all(Array.from({ length: entries }, () => done(entry)));
  for (const level of ['soft', 'hard']) await done({ type: 'ClosePeriod', fiscalYear: '2024', period: 12, level, includeEarlier: true });
  await service.sealer.seal(book);
  const { position } = await service.store.head(book);
  for (const projection of projections) await service.queries.folded(book, position, [projection], async () => {});
}

const filesOf = (book: string): string[] => {
  const folder = join(directory, 'cold', book);
  return existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.parquet')) : [];
};

test('a dry run says what would move, and why no more', async () => {
  const young = await startCommand(['archive', bookId, '--dry-run'], environment).ended;
  expect(young).toMatchObject({ code: 0, stdout: expect.stringContaining('0 events of shelved would move to cold storage\n') });
  expect(young.stdout).toMatch(/0 of \d+ events would be cold\. No more because events after position 0 are not older than 365 days\.\n$/);
  const { code, stdout } = await startCommand(['archive', bookId, '--dry-run', '--older-than', '0', '--json'], environment).ended;
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ bookId, cold: 0, upTo: 256, events: 256, ranges: [{ from: 1, to: 256 }] });
  expect(filesOf(bookId)).toEqual([]);
});

test('a move says what became cold, and is recorded as an action', async () => {
  const { code, stdout, stderr } = await startCommand(['archive', bookId, '--older-than', '0'], environment).ended;
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const [file] = filesOf(bookId);
  expect(stdout).toContain(file);
  expect(stdout).toContain(Number(statSync(join(directory, 'cold', bookId, file as string)).size).toLocaleString('en'));
  expect(stdout).toMatch(
    /256 events of shelved moved to cold storage: [\d.]+ bytes per event, [\d.]+ as rows; [\d.]+ s, [\d,]+ events\/s\n256 of \d+ events are cold\./,
  );
  const actions = await startCommand(['actions', bookId], environment).ended;
  expect(actions.stdout).toContain('archive');
  const verify = await startCommand(['verify', bookId], environment).ended;
  expect(verify.code).toBe(0);
});

test('a book that is not there, and days that are none, are refused', async () => {
  expect(await startCommand(['archive', 'nobody', '--dry-run'], environment).ended).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('book_unknown'),
  });
  expect((await startCommand(['archive', bookId, '--older-than', 'x'], environment).ended).code).toBe(2);
  const nowhere = await startCommand(['archive', bookId, '--older-than', '0'], { ...environment, ARCHIVE_URL: '' }).ended;
  // Nothing is left to move, so nothing is missing; what is cold cannot be read, and that is told.
  expect(nowhere.code).toBe(0);
  const looking = await startCommand(['events', bookId, '--limit', '1'], { ...environment, ARCHIVE_URL: '' }).ended;
  expect(looking).toMatchObject({ code: 6, stderr: expect.stringContaining('ARCHIVE_URL is not set') });
});

test('a service with ARCHIVE=inline moves what may go by itself, once it is worth a file', async () => {
  await fill('by-itself', 1_500);
  const other = await open({ ARCHIVE: 'inline', ARCHIVE_AFTER_DAYS: '0', PROJECT: 'off', SEAL: 'off' });
  try {
    while ((await other.store.cold.line('by-itself')) === 0) await sleep(50);
    expect(await other.store.cold.line('by-itself')).toBeGreaterThanOrEqual(4_096);
    expect(filesOf('by-itself')).toHaveLength(1);
  } finally {
    await other.close();
  }
  expect(() => readConfig({ ARCHIVE: 'inline' })).toThrow('ARCHIVE=inline: ARCHIVE_URL says where to');
  expect(() => readConfig({ ARCHIVE_URL: 'ftp://x' })).toThrow('ARCHIVE_URL=ftp://x: a directory, or s3://');
}, 120_000);
