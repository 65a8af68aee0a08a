/** `book-keeper actions`, and what the other commands of the program leave in the logs of user actions. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import readWorkbook from 'read-excel-file/node';
import type { ActionRow } from '#ledger';
import { type Ended, startCommand } from '../support/cli';
import { type ServiceOnDatabase, serviceOnDatabase } from '../support/services';

jest.setTimeout(180_000);

let on: ServiceOnDatabase;
let directory: string;
beforeAll(async () => {
  on = await serviceOnDatabase();
  directory = mkdtempSync(join(tmpdir(), 'book-keeper-actions-'));
  const rows = [
    'txn,date,description,line,account,commodity,quantity',
    't1,2026-01-02,Sale,1,1000,EUR,10.00',
    't1,2026-01-02,Sale,2,4000,EUR,-10.00',
  ];
  writeFileSync(join(directory, 'file.csv'), `${rows.join('\n')}\n`);
});
afterAll(async () => {
  await on.end();
  rmSync(directory, { recursive: true, force: true });
});

const run = (...args: string[]): Promise<Ended> => startCommand(args, on.opened.environment).ended;
async function ok(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(...args);
  if (code !== 0) throw new Error(`${args.join(' ')}: ${code}\n${stderr}`);
  return stdout;
}
const shown = async (...args: string[]): Promise<ActionRow[]> =>
  (await ok('actions', ...args, '--format', 'json'))
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

describe('commands of the program', () => {
  it('are recorded when they begin and how they ended, with who ran them where', async () => {
    const target = join(directory, 'book.journal');
    const file = join(directory, 'file.csv');
    const opening = ['--create', '--base-currency', 'EUR', '--default-type', 'asset'];
    await ok('import', file, '--book', 'shop', '--format', 'postings-csv', ...opening);
    await ok('export', 'shop', '--format', 'hledger', '--output', target);
    const [begun, ended] = (await shown('shop', '--action', 'exports')).slice(-2);
    expect(begun).toMatchObject({
      kind: 'read',
      action: 'exports',
      outcome: 'begun',
      source: 'CLI',
      userId: on.service.bootstrapKey.id,
      filter: [{ key: 'format', value: 'hledger' }],
      userAgent: `${userInfo().username}@${hostname()}`,
    });
    expect(ended).toMatchObject({ action: 'exports', outcome: 'done', begunAs: begun?.eventId, rows: 1 });
    expect(await shown('shop', '--action', 'import')).toMatchObject([{ kind: 'command', outcome: 'done', rows: 1 }]);
    expect(await shown('--action', 'import')).toMatchObject([{ kind: 'command', outcome: 'begun' }]);
  });

  it('that fail are recorded as broken off', async () => {
    expect((await run('export', 'shop', '--format', 'saf-t-no')).code).not.toBe(0);
    expect(await shown('shop', '--outcome', 'broken_off')).toMatchObject([{ action: 'exports', code: 'export_unfit' }]);
  });

  it('that import tell how many entries were refused', async () => {
    const file = join(directory, 'partly.csv');
    const of = (txn: string, account: string): string[] => [
      `${txn},2026-01-03,x,1,${account},EUR,10.00`,
      `${txn},2026-01-03,x,2,4000,EUR,-10.00`,
    ];
    writeFileSync(
      file,
      `${['txn,date,description,line,account,commodity,quantity', ...of('p1', '1000'), ...of('p2', '1001')].join('\n')}\n`,
    );
    const importing = ['import', file, '--book', 'shop', '--format', 'postings-csv', '--source', 'partly'];
    expect((await run(...importing)).code).not.toBe(0);
    expect((await run(...importing, '--on-error', 'continue')).code).not.toBe(0);
    expect((await shown('shop', '--action', 'import')).slice(-4)).toMatchObject([
      { outcome: 'begun' },
      { outcome: 'refused', rows: 0, refused: 1, code: expect.any(String) },
      { outcome: 'begun' },
      { outcome: 'partly', rows: 1, refused: 1, code: expect.any(String) },
    ]);
  });

  it('that are stopped are recorded as broken off', async () => {
    const { admin, service } = on;
    const before = (await service.store.head('shop~actions')).position;
    // Held up where it has begun: what it reads is locked, the log that it is recorded in is not.
    await admin.query('BEGIN; LOCK TABLE projections.entries IN ACCESS EXCLUSIVE MODE');
    const running = startCommand(
      ['export', 'shop', '--format', 'jsonl', '--output', join(directory, 'stopped.jsonl')],
      on.opened.environment,
    );
    try {
      while ((await service.store.head('shop~actions')).position === before) await new Promise((resolve) => setTimeout(resolve, 20));
      const heard = new Promise<void>((resolve) => running.process.stderr.on('data', (text) => /stopping/.test(String(text)) && resolve()));
      running.process.kill('SIGINT');
      await heard;
    } finally {
      await admin.query('ROLLBACK');
    }
    expect((await running.ended).code).toBe(130);
    expect((await shown('shop', '--action', 'exports')).slice(-2)).toMatchObject([{ outcome: 'begun' }, { outcome: 'broken_off' }]);
  });

  it('open no text about a person where nothing is recorded', async () => {
    const unrecorded = { ...on.opened.environment, ACTIONS: 'off' };
    for (const verb of [
      ['export', 'shop', '--format', 'jsonl'],
      ['audit-pack', 'shop', '--period', '2026'],
    ]) {
      const { code, stdout, stderr } = await startCommand([...verb, '--personal', 'open'], unrecorded).ended;
      expect([code, stdout]).toEqual([2, '']);
      expect(stderr).toContain('are opened only where it is recorded who read them');
    }
  });

  it('keep no name that somebody has typed', async () => {
    await run('balance', 'shop', 'Jane Roe');
    await run('balance', 'shop', '1000', '--known-at', 'Jane Roe');
    await run('actions', 'shop', '--about', 'Jane Roe', '--on-behalf-of', 'Jane Roe', '--user-id', 'Jane');
    await run('export', 'shop', '--format', 'csv', '--from', 'Jane');
    expect(await ok('actions', 'shop', '--format', 'csv')).not.toContain('Jane');
  });

  it('that ask for a balance, try a rule or rebuild a projection are recorded too', async () => {
    const rule = join(directory, 'rule.mjs');
    writeFileSync(rule, 'export default (entry) => entry;\n');
    const seen = (await on.service.store.head('shop~actions')).position;
    await ok('balance', 'shop', '1000', '--as-of', '2026-06-30');
    await ok('replay', 'shop', '--rules', rule, '--from', '2026-01-01', '--to', '2026-12-31');
    await ok('projections', 'rebuild', 'as-of');
    const filter = [
      { key: 'account', value: '1000' },
      { key: 'asOf', value: '2026-06-30' },
    ];
    expect((await shown('shop', '--action', 'balances')).filter(({ position }) => position > seen)).toMatchObject([
      { outcome: 'begun', filter },
      { outcome: 'done', rows: 1 },
    ]);
    expect(await shown('shop', '--action', 'replay')).toMatchObject([{ outcome: 'begun' }, { outcome: 'done' }]);
    expect(await shown('--action', 'RebuildProjection')).toMatchObject([{ kind: 'command', outcome: 'begun' }, { outcome: 'done' }]);
  });

  it('about API keys are in the log of the installation, without the name', async () => {
    await ok('keys', 'create', 'Erika');
    await ok('keys', 'revoke', 'Erika');
    expect((await run('keys', 'revoke', 'Erika')).code).toBe(3);
    const rows = (await shown('--kind', 'command', '--outcome', 'done')).filter(({ action }) => action.includes('ApiKey'));
    expect(rows.map(({ action }) => action)).toEqual(['CreateApiKey', 'RevokeApiKey']);
    expect(JSON.stringify(rows)).not.toContain('Erika');
    const id = (await on.service.keys.list()).find(({ name }) => name === 'Erika')?.id;
    expect(rows[0]?.filter).toMatchObject([
      { key: 'name', digest: expect.any(String) },
      { key: 'id', value: id },
    ]);
    expect((await shown('--action', 'RevokeApiKey')).map(({ outcome }) => outcome)).toEqual(['begun', 'done', 'begun', 'refused']);
  });
});

describe('book-keeper actions', () => {
  it('shows the newest, the last of them last', async () => {
    const text = await ok('actions', 'shop', '--last', '2', '--kind', 'read');
    const [head, ...rows] = text.trim().split('\n');
    expect(head).toMatch(/^POSITION +RECORDED AT +USER +ACTION +ABOUT +OUTCOME +ROWS +FROM/);
    expect(rows).toHaveLength(2);
    expect(rows.at(-1)).toMatch(/actions +kind=read format=text +begun/);
  });

  it('writes a workbook and a CSV file of all', async () => {
    const file = join(directory, 'actions.xlsx');
    await ok('actions', 'shop', '--format', 'xlsx', '--output', file);
    const sheets = await readWorkbook(readFileSync(file));
    expect(sheets.map(({ sheet }) => sheet)).toEqual([String(new Date().getUTCFullYear())]);
    const csv = await ok('actions', 'shop', '--format', 'csv');
    expect(csv.split('\r\n')[1]).toMatch(/^1,/);
    expect((await run('actions', '--format', 'xlsx')).code).toBe(2);
    expect((await run('actions', 'nobody')).stderr).toContain('there is no book nobody');
  });
});
