/** The command `book-keeper` as its users run it: a process of its own, with its exit codes, its signals and what it prints. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { connect } from '#postgres';
import { startScript } from '../support/cli';
import { emptyDatabase, type TestDatabase, testDatabase } from '../support/database';
import {
  add,
  type Balances,
  balancesByDate,
  entriesOf,
  type Posting,
  readPostings,
  shown,
  units,
  writePostings,
} from '../support/postings';
import { openTestService, type TestService } from '../support/services';

jest.setTimeout(180_000);

const root = join(__dirname, '..', '..');
const ledgerFile = join(root, 'test', 'data', 'multicurrency', 'multicurrency.postings.csv');

let database: TestDatabase;
let opened: TestService;
let admin: Client;
let directory: string;

beforeAll(async () => {
  database = await testDatabase();
  opened = await openTestService(database.appUrl);
  admin = await connect(database.adminUrl);
  directory = mkdtempSync(join(tmpdir(), 'book-keeper-cli-'));
});

afterAll(async () => {
  await admin?.end();
  await opened?.close();
  await database?.drop();
  rmSync(directory, { recursive: true, force: true });
});

interface Ended {
  /** Exit code, or the signal that ended it. */
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

function start(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): { process: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [join(root, 'tools', 'book-keeper.mjs'), ...args], {
    cwd: directory,
    env: { ...process.env, ...opened.environment, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (said.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said.stderr += chunk.toString()));
  const ended = new Promise<Ended>((resolve) => child.once('close', (code, signal) => resolve({ code: signal ?? code ?? -1, ...said })));
  return { process: child, ended };
}

const run = (...args: string[]): Promise<Ended> => start(args).ended;

const importArgs = (book: string, file: string, ...more: string[]): string[] => [
  'import',
  '--book',
  book,
  '--format',
  'postings-csv',
  '--create',
  '--base-currency',
  'EUR',
  ...more,
  file,
];

/** The ledger several times over, each time with other txns, so that there is time to interrupt its import. */
function longFile(name: string, times: number): { file: string; postings: Posting[] } {
  const once = readPostings(ledgerFile);
  const postings = Array.from({ length: times }, (_, index) =>
    once.map((posting) => ({ ...posting, txn: `${index}-${posting.txn}` })),
  ).flat();
  return { file: writePostings(join(directory, name), postings), postings };
}

async function entriesPosted(book: string): Promise<number> {
  const { rows } = await admin.query<{ count: number }>(
    `SELECT count(*) AS count FROM log.events WHERE book_id = $1 AND event_type = 'JournalEntryPosted'`,
    [book],
  );
  return Number(rows[0]?.count);
}

async function untilPosted(book: string, entries: number): Promise<void> {
  for (let waited = 0; (await entriesPosted(book)) < entries; waited += 20) {
    if (waited > 60_000) throw new Error(`${entries} entries were not posted within a minute`);
    await sleep(20);
  }
}

async function expectBalances(book: string, postings: readonly Posting[]): Promise<void> {
  const wanted = [...balancesByDate(postings)].at(-1)?.balances as Balances;
  const balances: Balances = new Map();
  const answer = await opened.service.queries.balances(book, { limit: 1_000 });
  expect(answer.nextCursor).toBeUndefined();
  for (const { account, currency, net } of answer.balances) add(balances, account, currency, units(net));
  expect(shown(balances)).toEqual(shown(wanted));
}

// Builds what is missing, so that the times below are those of the command.
beforeAll(() => run('--help'));

describe('book-keeper', () => {
  it('explains itself', async () => {
    const help = await run('--help');
    expect(help).toMatchObject({ code: 0, stderr: '' });
    for (const verb of ['serve', 'migrate', 'keys', 'balance', 'import']) expect(help.stdout).toContain(`\n  ${verb}`);
    expect((await run('import', '--help')).stdout).toContain('--zero-lines <what>');
  });

  it.each([
    [['no-such-verb'], /unknown command 'no-such-verb'/],
    [['balance', 'x'], /missing required argument 'account'/],
    [['import', 'x.csv'], /required option '--book <id>' not specified/],
    [['import', '--book', 'x', '--format', 'paper', 'x.csv'], /argument 'paper' is invalid. Allowed choices are postings-csv/],
    [['import', '--book', 'x', '--format', 'postings-csv', '--create', 'x.csv'], /--create needs --base-currency/],
    [['keys'], /Usage: book-keeper keys/],
  ])('refuses %j', async (args, says) => {
    const { code, stderr, stdout } = await run(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(says);
  });

  it.each(['--help', 'keys list', 'verify'])('%s ends as it would when its reader has gone already', async (words) => {
    const script = `{ $BOOK_KEEPER ${words}; echo "ended with $?" >&2; } | true`;
    expect((await startScript(script, opened.environment).ended).stderr).toBe('ended with 0\n');
  });

  it('starts without loading the ledger', async () => {
    const times: number[] = [];
    for (let turn = 0; turn < 3; turn++) {
      const started = performance.now();
      await run('--help');
      times.push(performance.now() - started);
    }
    // 0.1 s on a quiet machine, where loading the ledger takes 0.4 s; the machine may be busy.
    expect(Math.min(...times)).toBeLessThan(1_500);
  });

  it('tells a wrong setting and a database that does not answer apart from faults of its own', async () => {
    const wrong = await start(['keys', 'list'], { READER_CONNECTIONS: 'many' }).ended;
    expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining('READER_CONNECTIONS=many: a whole number from 1 to 256') });
    const gone = await start(['keys', 'list'], { DATABASE_URL: 'postgres://nobody:x@127.0.0.1:1/none' }).ended;
    expect(gone).toMatchObject({ code: 6, stderr: expect.stringMatching(/^database_unavailable: .*ECONNREFUSED/) });
  });
});

describe('keys', () => {
  it('may be given the scope controller, which the list shows', async () => {
    const made = await run('keys', 'create', 'Ann', '--scope', 'controller');
    expect(made).toMatchObject({ code: 0, stderr: expect.stringContaining('API key Ann') });
    expect(await opened.service.keys.verify(made.stdout.trim())).toMatchObject({ name: 'Ann', scopes: ['controller'] });
    await run('keys', 'create', 'Clerk');
    const { stdout } = await run('keys', 'list');
    const rows = stdout.split('\n').map((row) => row.trim().split(/\s{2,}/));
    expect(rows[0]?.slice(0, 3)).toEqual(['NAME', 'ID', 'SCOPES']);
    expect(rows.find(([name]) => name === 'Ann')?.[2]).toBe('controller');
    expect(rows.find(([name]) => name === 'Clerk')?.[2]).not.toBe('controller');
    const all = JSON.parse((await run('keys', 'list', '--json')).stdout) as { name: string; scopes: string[] }[];
    expect(all.filter(({ name }) => ['Ann', 'Clerk'].includes(name)).map(({ scopes }) => scopes)).toEqual([['controller'], []]);
    expect(await run('keys', 'create', 'Bob', '--scope', 'auditor')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Allowed choices are controller'),
    });
  });

  it('are created, listed and revoked; the secret alone goes to stdout', async () => {
    const created = await run('keys', 'create', 'shop');
    expect(created).toMatchObject({ code: 0, stdout: expect.stringMatching(/^bk_[\w-]{43}\n$/) });
    const key = await opened.service.keys.verify(created.stdout.trim());
    expect(key?.name).toBe('shop');
    expect(created.stderr).toContain(`id ${key?.id}`);
    expect(await run('keys', 'create', 'shop')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^malformed: there is a valid key named shop/),
    });
    const listed = await run('keys', 'list');
    expect(listed.stdout).toMatch(/^NAME +ID +SCOPES +CREATED +REVOKED\n/);
    expect(listed.stdout).toMatch(new RegExp(`^shop +${key?.id} +\\S+$`, 'm'));
    expect(await run('keys', 'revoke', 'shop')).toMatchObject({ code: 0, stdout: '' });
    expect(await run('keys', 'revoke', 'shop')).toMatchObject({ code: 3, stderr: expect.stringContaining('no valid API key named shop') });
    const all = JSON.parse((await run('keys', 'list', '--json')).stdout) as { name: string; revokedAt?: string }[];
    expect(all.find(({ name }) => name === 'shop')?.revokedAt).toMatch(/^\d{4}-/);
    expect(listed.stdout + JSON.stringify(all)).not.toContain(created.stdout.trim());
  });
});

describe('migrate', () => {
  it('prints what it applied, and that there is nothing to do the second time', async () => {
    const empty = await emptyDatabase();
    try {
      const first = await start(['migrate'], { DATABASE_URL: empty.adminUrl }).ended;
      expect(first).toMatchObject({ code: 0, stderr: '' });
      expect(first.stdout).toMatch(/^0001 roles, \d+ ms\n/);
      expect(first.stdout).toMatch(/: (\d+) applied, current is migration \1\n$/);
      expect(first.stdout).not.toContain(new URL(empty.adminUrl).password || 'no password');
      const second = await start(['migrate'], {
        DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
        MIGRATION_DATABASE_URL: empty.adminUrl,
      }).ended;
      expect(second).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\S+: nothing to do, current is migration \d+\n$/) });
    } finally {
      await empty.drop();
    }
  });
});

describe('import and balance', () => {
  it('imports a ledger, tells what it did, and posts nothing the second time', async () => {
    const first = await run(...importArgs('mc', ledgerFile, '--name', 'Several currencies'));
    expect(first.code).toBe(0);
    expect(first.stderr).toContain(
      'multicurrency.postings.csv: 2,401 entries, 6,881 lines, 30 accounts, 7 currencies, 2022-01-01 … 2024-12-31',
    );
    expect(first.stdout).toMatch(/^multicurrency\.postings\.csv into book mc\n/);
    for (const fact of [
      /read +2,401 entries, 6,881 lines/,
      /currencies declared +BTC \(8 decimals\)/,
      /accounts opened +30/,
      /posted +2,401/,
      /already there +0/,
      /refused +0/,
      /time +[\d.]+ s, [\d,]+ entries\/s/,
    ]) {
      expect(first.stdout).toMatch(fact);
    }
    const again = await run(...importArgs('mc', ledgerFile));
    expect(again).toMatchObject({ code: 0, stdout: expect.stringMatching(/posted +0\n +already there +2,401\n/) });
    expect(await entriesPosted('mc')).toBe(2_401);
  });

  it('shows balances on both axes', async () => {
    const now = await run('balance', 'mc', 'Assets:Bank:Berlin', '--as-of', '2023-12-31');
    expect(now).toMatchObject({ code: 0, stderr: '' });
    expect(now.stdout).toMatch(
      /^Assets:Bank:Berlin, as of 2023-12-31, known at position \d+\nCURRENCY +DEBIT +CREDIT +BALANCE\nEUR +[\d.]+ +[\d.]+ +488194\.98\n$/,
    );
    const early = await run('balance', 'mc', 'Assets:Bank:Berlin', '--known-at', '1', '--json');
    expect(early.code).toBe(3);
    const json = JSON.parse((await run('balance', 'mc', 'Assets:Bank:Jakarta', '--json')).stdout) as object;
    expect(json).toEqual(JSON.parse(JSON.stringify(await opened.service.queries.balance('mc', 'Assets:Bank:Jakarta'))));
  });

  it.each([
    [['balance', 'nowhere', 'x'], 3, /^book_unknown: there is no book nowhere/],
    [['balance', 'mc', 'Nothing'], 3, /^account_unknown: there is no account Nothing/],
    [['balance', 'mc', 'Assets:Bank:Berlin', '--as-of', '2023-02-30'], 2, /^date_invalid: /],
    [['balance', 'mc', 'Assets:Bank:Berlin', '--known-at', 'yesterday'], 2, /^(date_invalid|malformed): /],
    [['import', '--book', 'nowhere', '--format', 'postings-csv', ledgerFile], 3, /^book_unknown: there is no book nowhere; .*--create/],
    [['import', '--book', 'mc', '--format', 'postings-csv', 'none.csv'], 2, /^malformed: there is no file none\.csv/],
    [['import', '--book', 'mc', '--format', 'postings-csv', '--key', 'nobody', ledgerFile], 3, /no valid API key named nobody/],
  ])('%j ends with %i', async (args, code, says) => {
    const ended = await run(...args);
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code, stdout: '' });
    expect(ended.stderr).toMatch(says);
  });

  it('names the author of what it writes by an API key', async () => {
    const { id } = await opened.service.keys.create('importer');
    const file = join(directory, 'small.csv');
    writeFileSync(file, readFileSync(ledgerFile, 'utf8').split('\n').slice(0, 3).join('\n'));
    expect(await start(importArgs('authored', file), { BOOK_KEEPER_KEY: 'importer' }).ended).toMatchObject({ code: 0 });
    // A leg carries nothing but its cause, and inherits the rest (I12).
    const events = (await opened.service.store.readAll('authored', 0, 100)).filter(({ metadata }) => metadata.causationId === undefined);
    expect(events.map(({ eventType }) => eventType)).toContain('JournalEntryPosted');
    expect(new Set(events.map(({ metadata }) => metadata.userId))).toEqual(new Set([id]));
    expect(new Set(events.map(({ metadata }) => metadata.source))).toEqual(new Set(['CLI']));
  });

  it('refuses a faulty file with file, line and reason, and writes nothing', async () => {
    const file = join(directory, 'faulty.csv');
    const lines = readFileSync(ledgerFile, 'utf8').split('\n').slice(0, 5);
    writeFileSync(file, lines.join('\n').replace('-50000', '-49999'));
    const refused = await run(...importArgs('faulty', file));
    expect(refused.code).toBe(4);
    expect(refused.stderr).toContain(`${file}:2: unbalanced: debits 50000.00, credits 49999.00, difference 1.00 EUR\n`);
    expect(refused.stdout).toContain('Nothing was written. Mend the file, or leave these entries out with --on-error continue.');
    expect((await opened.service.store.head('faulty')).position).toBe(0);
    const rest = await run(...importArgs('faulty', file, '--on-error', 'continue'));
    expect(rest).toMatchObject({ code: 4, stdout: expect.stringMatching(/posted +1\n +already there +0\n +refused +1\n/) });
  });

  it('names an edited entry and posts nothing of it', async () => {
    const file = join(directory, 'edited.csv');
    const original = readFileSync(ledgerFile, 'utf8');
    const edited = original
      .replace(
        '1,2022-01-01,Opening balance EUR,1,Assets:Bank:Berlin,EUR,50000,',
        '1,2022-01-01,Opening balance EUR,1,Assets:Bank:Berlin,EUR,50001,',
      )
      .replace('2,Equity:Opening-Balances,EUR,-50000,', '2,Equity:Opening-Balances,EUR,-50001,');
    expect(edited).not.toBe(original);
    writeFileSync(file, edited);
    const refused = await run(...importArgs('mc', file, '--on-error', 'continue'));
    expect(refused.code).toBe(5);
    expect(refused.stderr).toContain(
      `${file}:2: idempotency_key_reused: entry 1 of source postings-csv was imported with other content; what differs: lines.0.amount, lines.1.amount.`,
    );
    expect(refused.stdout).toMatch(/posted +0\n +already there +2,400\n +refused +1\n/);
    expect(await entriesPosted('mc')).toBe(2_401);
  });

  it('writes nothing in a dry run', async () => {
    const dry = await run(...importArgs('dry', ledgerFile, '--dry-run'));
    expect(dry).toMatchObject({ code: 0, stdout: expect.stringContaining('Nothing was written (--dry-run). The file can be imported.') });
    expect(dry.stdout).toMatch(/currencies to declare +BTC \(8 decimals\)\n +accounts to open +30\n/);
    const { rows } = await admin.query<{ count: number }>(`SELECT count(*) AS count FROM log.books WHERE book_id = 'dry'`);
    expect(Number(rows[0]?.count)).toBe(0);
  });

  it('killed in the middle and started again, has posted every entry once', async () => {
    const { file, postings } = longFile('killed.csv', 5);
    const entries = entriesOf(postings).size;
    let before = 0;
    for (const at of [500, 4_000]) {
      const killed = start(importArgs('killed', file));
      await untilPosted('killed', at);
      killed.process.kill('SIGKILL');
      expect((await killed.ended).code).toBe('SIGKILL');
      before = await entriesPosted('killed');
      expect(before).toBeGreaterThanOrEqual(at);
      expect(before).toBeLessThan(entries);
    }
    const { code, stdout } = await run(...importArgs('killed', file));
    expect(code).toBe(0);
    const [, posted = '', there = ''] = /posted +([\d,]+)\n +already there +([\d,]+)\n/.exec(stdout) ?? [];
    // What the dead process had sent may have been carried out after we counted.
    expect(Number(there.replace(',', ''))).toBeGreaterThanOrEqual(before);
    expect(Number(posted.replace(',', '')) + Number(there.replace(',', ''))).toBe(entries);
    expect(await entriesPosted('killed')).toBe(entries);
    await expectBalances('killed', postings);
  });

  it('stopped by Ctrl-C ends between entries, says how to go on, and goes on', async () => {
    const { file, postings } = longFile('stopped.csv', 5);
    const entries = entriesOf(postings).size;
    const child = start(importArgs('stopped', file));
    await untilPosted('stopped', 1_000);
    child.process.kill('SIGINT');
    const stopped = await child.ended;
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toContain('stopping; what is under way is finished first');
    const posted = await entriesPosted('stopped');
    expect(posted).toBeLessThan(entries);
    expect(stopped.stdout).toContain(
      `Stopped before the end: ${posted.toLocaleString('en-US')} of ${entries.toLocaleString('en-US')} entries are in the book. Run the same command again to continue`,
    );
    expect(await run(...importArgs('stopped', file))).toMatchObject({ code: 0 });
    expect(await entriesPosted('stopped')).toBe(entries);
    await expectBalances('stopped', postings);
  });
});

describe('serve', () => {
  it('runs the HTTP server until it is told to stop', async () => {
    const server = start(['serve'], { PORT: '0' });
    let said = '';
    const url = await new Promise<string>((resolve, reject) => {
      server.process.stdout?.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        const found = /Ready\s+(http\S+)/.exec(said)?.[1];
        if (found !== undefined) resolve(found);
      });
      server.ended.then(({ stderr }) => reject(new Error(stderr)));
    });
    expect((await fetch(url)).status).toBe(200);
    server.process.kill('SIGINT');
    expect((await server.ended).code).toBe(0);
  });
});
