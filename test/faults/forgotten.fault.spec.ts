/**
 * A person who was erased is found nowhere: not in any table, index, page, WAL file, snapshot, log or later export, and not by bringing
 * back what was backed up without the keys; and everything that was proved before still is. The service is the real one, in a process of
 * its own, at its most talkative.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from 'pg';
import { connect } from '#postgres';
import { type RunningCommand, startCommand } from '../support/cli';
import { type TestDatabase, testDatabase } from '../support/database';

/** Each is made of letters that nothing else is made of; the name is what must not be found, the control what the same search must find. */
const letters = (): string => [...randomBytes(12)].map((byte) => String.fromCharCode(97 + (byte % 26))).join('');
const name = `Qz${letters()}`;
const control = `Wv${letters()}`;
const secret = 'the-first-administrators-key';

let database: TestDatabase;
let admin: Client;
let service: RunningCommand;
let url: string;
const directory = mkdtempSync(join(tmpdir(), 'book-keeper-forgotten-'));
const dataDir = join(directory, 'data');
/** What the service has said in all its runs. */
let said = '';
let serial = 0;

beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
  await start(database.appUrl);
});
afterAll(async () => {
  service?.process.kill('SIGKILL');
  await admin?.end();
  await database?.drop();
  rmSync(directory, { recursive: true, force: true });
});

async function start(databaseUrl: string, dir = dataDir): Promise<void> {
  service = startCommand(['serve'], {
    ...{ DATABASE_URL: databaseUrl, MIGRATION_DATABASE_URL: '', DATA_DIR: dir, PORT: '0', BOOTSTRAP_API_KEY: secret },
    ...{ LOG_LEVEL: 'trace', CHECKPOINT_MS: '50', CHECKPOINT_PUBLISH_MS: '100', ACTIONS: 'all', DEMO_BOOK: 'off' },
  });
  url = /API\s+(http:\/\/[^/\s]+)/.exec(await service.printed(/API\s+http:\S+/))?.[1] ?? '';
}

async function stop(): Promise<void> {
  service.process.kill('SIGTERM');
  const { stdout, stderr } = await service.ended;
  said += stdout + stderr;
}

// biome-ignore lint/suspicious/noExplicitAny: answers of every shape are looked into
type Answer = { readonly status: number; readonly bytes: Buffer; readonly body: any };

async function ask(method: string, path: string, body?: object, headers: Record<string, string> = {}): Promise<Answer> {
  const answer = await fetch(`${url}/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${secret}`,
      ...(method === 'POST' ? { 'idempotency-key': `forget-${++serial}`, 'content-type': 'application/json' } : {}),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const bytes = Buffer.from(await answer.arrayBuffer());
  const isJson = /^application\/(?:[a-z]+\+)?json\b/.test(answer.headers.get('content-type') ?? '');
  return { status: answer.status, bytes, body: isJson ? JSON.parse(bytes.toString()) : undefined };
}

async function done(path: string, body: object): Promise<Answer['body']> {
  const answer = await ask('POST', path, body);
  if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${answer.bytes.toString()}`);
  return answer.body;
}

const open = { 'personal-data': 'open' };
const get = (path: string, headers: Record<string, string> = {}): Promise<Answer> => ask('GET', path, undefined, headers);

/** The name as it might be written: text in either width, inside base64 at each of its three places, as hex. */
function spellings(text: string): Buffer[] {
  const base64 = [0, 1, 2].map((shift) => {
    const encoded = Buffer.from(`${'x'.repeat(shift)}${text}`).toString('base64');
    return Buffer.from(encoded.slice(shift === 0 ? 0 : 4, -4));
  });
  return [Buffer.from(text), Buffer.from(text, 'utf16le'), Buffer.from(Buffer.from(text).toString('hex')), ...base64];
}

/** Files under a directory in which a text stands in any spelling. Files that go while they are looked at hold nothing any more. */
function filesWith(text: string, root: string): string[] {
  const found: string[] = [];
  const wanted = spellings(text);
  for (const file of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    const path = join(root, file);
    try {
      if (!statSync(path).isFile()) continue;
      const bytes = readFileSync(path);
      if (wanted.some((spelling) => bytes.includes(spelling))) found.push(file);
    } catch (error) {
      if ((error as { code?: string }).code !== 'ENOENT') throw error;
    }
  }
  return found;
}

/** Tables of all our schemas that have a row in which a text stands. */
async function tablesWith(text: string): Promise<string[]> {
  const { rows } = await admin.query<{ table: string }>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS table FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND n.nspname IN ('log', 'projections', 'access', 'privacy', 'audit', 'public')`,
  );
  const found: string[] = [];
  for (const { table } of rows) {
    const { rows: hits } = await admin.query(`SELECT FROM ${table} AS t WHERE t::text ILIKE $1 LIMIT 1`, [`%${text}%`]);
    if (hits.length > 0) found.push(table);
  }
  return found;
}

it('a planted name is found nowhere once its person is erased, and all that was proved still holds', async () => {
  await done('/books', {
    ...{ id: 'forget', name: 'Forget', baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2020-01-01' },
    entity: { legalName: 'Acme', country: 'DE' },
  });
  for (const [code, type, more] of [
    ['Cash', 'asset', {}],
    ['Sales', 'income', {}],
    ['Receivable', 'asset', { control: 'customer' }],
  ] as const)
    await done('/books/forget/accounts', { code, name: code, type, ...more });
  await done('/books/forget/retention-rules', { country: 'DE', documentType: 'books', years: 0, source: 'no duty, for once' });
  const party = (
    await done('/books/forget/parties', {
      kind: 'customer',
      name,
      address: `${name} street`,
      email: `${name}@example.org`,
      note: `about ${name}`,
    })
  ).id as string;
  const about = (value: string) => ({ subject: party, value: `${value} ${name}` });
  const entry = {
    effectiveDate: '2020-03-01',
    description: about('Sale to'),
    reference: control,
    metadata: { contact: about('desk') },
    lines: [
      {
        account: 'Receivable',
        side: 'debit',
        amount: '1.00',
        currency: 'EUR',
        party: { id: party, kind: 'customer' },
        description: about('for'),
      },
      { account: 'Sales', side: 'credit', amount: '1.00', currency: 'EUR' },
    ],
  };
  const posted = await done('/books/forget/journal-entries', entry);
  for (let many = 0; many < 40; many++)
    await done('/books/forget/journal-entries/batch', { atomic: many % 2 === 0, entries: [entry, entry] });
  const draft = await done('/books/forget/journal-drafts', entry);
  await done(`/books/forget/journal-drafts/${draft.id}/submit`, {});
  await done(`/books/forget/journal-entries/${posted.id}/reverse`, { reason: 'wrong', effectiveDate: '2020-03-02' });
  // What is refused by the rules, what is malformed, and what somebody asks for.
  const refused = { ...entry, lines: entry.lines.slice(0, 1) };
  expect((await ask('POST', '/books/forget/journal-entries', refused)).status).toBe(422);
  expect((await ask('POST', '/books/forget/journal-entries', { ...entry, memo: name })).status).toBe(400);
  expect((await ask('POST', '/books/forget/parties', { kind: 'friend', name })).status).toBe(400);
  // Looked at in every way.
  for (const path of ['', '/report', '/report?format=csv'])
    expect((await get(`/books/forget/parties/${party}${path}`, open)).bytes.toString()).toContain(name);
  for (const path of [
    'reports/journal?period=2020',
    'reports/general-ledger?period=2020',
    'exports/jsonl',
    'exports/hledger',
    `journal-entries/${posted.id}`,
  ])
    expect((await get(`/books/forget/${path}`, open)).bytes.toString()).toContain(name);
  const pack = (await get('/books/forget/audit-pack?period=2020&format=jsonl')).bytes;
  const before = join(directory, 'before');
  mkdirSync(before);
  writeFileSync(join(before, 'pack.zip'), pack);
  const proofs = await Promise.all(
    [1, posted.position, posted.position + 5].map((position) => get(`/books/forget/proofs/inclusion?position=${position}`)),
  );
  const balances = (await get(`/books/forget/balances?knownAt=${posted.position}`)).bytes;
  const sealed = (await get(`/books/forget/journal-entries/${posted.id}`, { 'personal-data': 'sealed' })).body.description as string;
  expect(sealed).toMatch(/^sealed:v1:/);

  // A backup of everything but the keys.
  await stop();
  const backup = `${database.name}_backup`;
  await admin.end();
  const maintenance = await connect(Object.assign(new URL(database.adminUrl), { pathname: '/postgres' }).href);
  try {
    await maintenance.query(`CREATE DATABASE ${backup} TEMPLATE ${database.name}`);
    const restored = await connect(Object.assign(new URL(database.adminUrl), { pathname: `/${backup}` }).href);
    await restored.query('TRUNCATE privacy.subject_keys, privacy.destroyed_keys, privacy.master_keys');
    await restored.end();
    admin = await connect(database.adminUrl);
    await start(database.appUrl);

    const erasure = await done(`/books/forget/parties/${party}/erase`, { legalBasis: 'GDPR Art. 17(1)(a)', reason: 'asked for it' });
    expect(erasure.retained).toEqual([]);
    expect(erasure.erased.map(({ scope }: { scope: string }) => scope)).toEqual(['contact', 'entries-2020', 'identity']);

    // Read again, which fills whatever could be filled.
    for (const path of [
      'parties',
      `parties/${party}/report`,
      'reports/journal?period=2020',
      'exports/jsonl',
      'exports/csv',
      'exports/hledger',
      'exports/beancount',
      'exports/ledger',
    ]) {
      const shown = (await get(`/books/forget/${path}`, open)).bytes;
      expect([path, shown.includes(name)]).toEqual([path, false]);
    }
    const after = (await get('/books/forget/audit-pack?period=2020&format=jsonl', open)).bytes;
    writeFileSync(join(before, 'later.zip'), after);
    for (const [index, proof] of proofs.entries()) {
      expect(proof.status).toBe(200);
      const { position, size } = proof.body;
      expect((await get(`/books/forget/proofs/inclusion?position=${position}&size=${size}`)).body).toEqual(proofs[index]?.body);
    }
    expect((await get(`/books/forget/balances?knownAt=${posted.position}`)).bytes.equals(balances)).toBe(true);
    const keys = (await get('/checkpoint-keys')).body.keys as { key: string }[];
    writeFileSync(join(directory, 'key'), keys[0]?.key ?? '');
    for (const file of ['pack.zip', 'later.zip'])
      expect(
        JSON.parse(
          execFileSync(process.execPath, ['packages/verifier/verify.mjs', join(before, file), '--key', join(directory, 'key'), '--json'], {
            encoding: 'utf8',
          }),
        ),
      ).toMatchObject({ ok: true, findings: [] });
    await stop();

    // The files of the server: pages, indexes, WAL, temporary files, its own log.
    for (let cycle = 0; cycle < 2; cycle++) {
      await admin.query('SELECT pg_switch_wal()');
      await admin.query('CHECKPOINT');
    }
    const { rows } = await admin.query<{ data: string }>("SELECT current_setting('data_directory') AS data");
    const data = rows[0]?.data ?? '';
    expect(await tablesWith(control)).toEqual(expect.arrayContaining(['log.events', 'projections.entries']));
    expect(await tablesWith(name)).toEqual([]);
    expect(filesWith(control, data).length).toBeGreaterThan(0);
    expect(filesWith(name, data)).toEqual([]);
    // What the service keeps and says.
    expect(filesWith(name, dataDir)).toEqual([]);
    expect(said.length).toBeGreaterThan(10_000);
    expect(spellings(name).some((spelling) => said.includes(spelling.toString()))).toBe(false);

    // The old events, with the master key at hand and without the keys.
    await start(Object.assign(new URL(database.appUrl), { pathname: `/${backup}` }).href, join(directory, 'restored'));
    const shown = await get(`/books/forget/journal-entries/${posted.id}`, open);
    // Nobody has erased anybody there yet: that a key is lost is all that can be told.
    expect([shown.status, shown.body.description]).toEqual([200, '[key missing]']);
    expect((await get(`/books/forget/parties/${party}`, open)).body.name).toBe('[key missing]');
    expect((await get(`/books/forget/journal-entries/${posted.id}`, { 'personal-data': 'sealed' })).body.description).toBe(sealed);
    await stop();
  } finally {
    await maintenance.query(`DROP DATABASE IF EXISTS ${backup} WITH (FORCE)`);
    await maintenance.end();
  }
}, 300_000);
