/**
 * Cold storage: whatever a book answers, exports, proves and rebuilds is the same before its old events have moved to files and after, and so
 * is what is posted on top of it. A file that was altered or is missing is named by whoever needs it; nobody takes an event out of the
 * table but the one function of role archiver, and that one only what stands in a file and under a signature.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type { Client, Pool } from 'pg';
import S3rver from 's3rver';
import { type ArchivedEvent, ContentHash, hotEvents, subtreeRoot } from '#event-store';
import { exportBook, exportFormats, projections, type ReportName, type Service, type Verification } from '#ledger';
import { connect } from '#postgres';
import { type TestArchive, testArchive } from '../support/archives';
import { type TestDatabase, testDatabase } from '../support/database';
import { random } from '../support/histories';
import { openTestService, type TestService } from '../support/services';

const bookId = 'old-books';
const seed = Number(process.env.SEED ?? 20_261_127);

let database: TestDatabase;
let admin: Client;
let opened: TestService;
let archive: TestArchive;
let service: Service;

let serial = 0;
async function done(command: object, more: object = {}): Promise<{ id: string; position: number }> {
  const context = { key: `cold-${++serial}`, userId: '01930000-0000-7000-8000-000000000001', source: 'job', isController: true, ...more };
  const answer = await service.execute(bookId, command as never, context as never);
  if (answer.status >= 400) throw new Error(`${JSON.stringify(command)}: ${answer.body}`);
  return JSON.parse(answer.body) as { id: string; position: number };
}

const accounts = [
  ['411000', 'asset', '15'],
  ['512000', 'asset', '19'],
  ['401000', 'liability', '24'],
  ['701000', 'income', '30'],
  ['601000', 'expense', '40'],
] as const;
const codes = accounts.map(([code]) => code);
const chance = random(seed);
/** Entries that were posted, with the key of the command. */
const posted: { readonly id: string; readonly key: string; readonly command: object; readonly position: number }[] = [];

const entry = (effectiveDate: string): object => {
  const debit = chance.pick(codes);
  const credit = chance.pick(codes.filter((code) => code !== debit));
  const amount = `${1 + chance.below(9_000)}.${10 + chance.below(90)}`;
  const line = { amount, currency: 'EUR' };
  return {
    ...{ type: 'PostEntry', effectiveDate, description: `Écriture ${serial} "1.0"\t\\`, reference: `R${chance.below(30)}` },
    lines: [
      { ...line, account: debit, side: 'debit', dimensions: [{ key: 'cost', value: chance.pick(['a', 'b']) }] },
      { ...line, account: credit, side: 'credit', description: 'line' },
    ],
  };
};

const day = (year: number): string =>
  `${year}-${String(1 + chance.below(12)).padStart(2, '0')}-${String(1 + chance.below(28)).padStart(2, '0')}`;

/** Entries side by side, so that batches hold many: positions inside batches are asked for too. */
async function post(year: number, count: number): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, async () => {
      const command = entry(day(year));
      const key = `post-${++serial}`;
      posted.push({ ...(await done(command, { key })), key, command });
    }),
  );
}

/** Two years that are closed for ever, with everything that has a life of its own, and a third one that is open. */
async function fill(): Promise<void> {
  await done({
    ...{ type: 'OpenBook', id: bookId, name: 'Old books', baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2024-01-01' },
    entity: { legalName: 'Vieux SARL', registrationNumber: '732829320', country: 'FR' },
  });
  for (const [code, accountType, group] of accounts)
    await done({
      type: 'OpenAccount',
      code,
      name: `Compte ${code}`,
      accountType,
      mappings: [{ scheme: 'saf-t-no', code: group, category: 'RS' }],
    });
  await done({ type: 'OpenAccount', code: '530000', name: 'Caisse', accountType: 'asset' });
  const mappings = [{ scheme: 'saf-t-no', code: '20', category: 'RS' }];
  await done({ type: 'OpenAccount', code: '120000', name: 'Résultat', accountType: 'equity', subtype: 'retained_earnings', mappings });
  await done({ type: 'DesignateAccount', role: 'retained_earnings', account: '120000' });
  await post(2024, 120);
  await done({ type: 'RenameAccount', account: '701000', name: 'Ventes' });
  await done({ type: 'ReverseEntry', entryId: posted[3]?.id, reason: 'wrong', effectiveDate: '2024-12-30' });
  await done({ ...entry('2024-11-11'), type: 'CorrectEntry', entryId: posted[5]?.id, reason: 'mistyped' });
  const draft = await done({ ...entry('2025-02-02'), type: 'CreateDraft' });
  await done({ type: 'SubmitDraft', entryId: draft.id });
  await done({ type: 'ApproveDraft', entryId: draft.id }, { userId: '01930000-0000-7000-8000-000000000002' });
  await done({ ...entry('2026-03-03'), type: 'CreateDraft' });
  await done({ type: 'ChangeAccountCode', account: '601000', code: '602000' });
  codes[4] = '602000' as never;
  await post(2025, 150);
  for (const fiscalYear of ['2024', '2025']) {
    await done({ type: 'ClosePeriod', fiscalYear, period: 12, level: 'soft', includeEarlier: true });
    await done({ type: 'ClosePeriod', fiscalYear, period: 12, level: 'hard', includeEarlier: true });
  }
  await post(2026, 40);
  await seal();
}

async function seal(): Promise<void> {
  await service.sealer.seal(bookId);
  await service.queries.balances(bookId, {});
  // All projections, not only those that balances read.
  const { position } = await service.store.head(bookId);
  for (const projection of projections) await service.queries.folded(bookId, position, [projection], async () => {});
}

/** @returns what carries out commands of the book, which is opened unless it is there */
async function openOther(id: string): Promise<(command: object) => Promise<void>> {
  const run = async (command: object): Promise<void> => {
    const answer = await service.execute(id, command as never, { key: `c-${++serial}`, userId: 'u', source: 'job', isController: true });
    expect(answer.status).toBeLessThan(400);
  };
  if ((await service.store.head(id)).position === 0)
    await run({ type: 'OpenBook', id, name: 'x', baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2024-01-01' });
  return run;
}

const digest = (text: string | Uint8Array): string => createHash('sha256').update(text).digest('hex');

async function bytesOf(content: AsyncIterable<Uint8Array | string> | string): Promise<string> {
  if (typeof content === 'string') return digest(content);
  const all = createHash('sha256');
  for await (const piece of content) all.update(piece);
  return all.digest('hex');
}

const whole = { from: '2024-01-01', to: '2026-12-31' };

/** Everything that a book can be asked, as it was known at a position. */
async function answers(at: number): Promise<Record<string, unknown>> {
  const { queries, reports, proofs, inspector, store } = service;
  const found: Record<string, unknown> = {};
  const note = async (name: string, answer: () => Promise<unknown>): Promise<void> => {
    found[name] = await answer().catch((error: { code?: string; message: string }) => `${error.code}: ${error.message}`);
  };
  const asked = random(seed);
  for (let index = 0; index < 150; index++) {
    const code = asked.pick(['411000', '512000', '401000', '701000', '601000', '602000', '530000']);
    const asOf = asked.pick([undefined, '2024-06-30', '2024-12-31', '2025-05-05', '2026-01-31', '2026-12-31']);
    const knownAt = 1 + asked.below(at);
    await note(`balance ${code} ${asOf} ${knownAt}`, () => queries.balance(bookId, code, { asOf, knownAt } as never));
  }
  for (const knownAt of [at, 1, 2, 130, 255, 256, 257, 300, 511, 512, 513, 700, 768]) {
    if (knownAt > at) continue;
    await note(`balances ${knownAt}`, () => queries.balances(bookId, { knownAt, includeZero: true }));
    await note(`accounts ${knownAt}`, () => queries.accounts(bookId, { knownAt }));
    await note(`book ${knownAt}`, () => wholeBook(knownAt));
    for (const code of ['512000', '602000'])
      await note(`statement ${code} ${knownAt}`, async () => bytesOf((await reports.statement(bookId, code, { knownAt }, 'csv')).body));
    for (const name of [
      'trial-balance',
      'general-ledger',
      'balance-sheet',
      'income-statement',
      'journal',
      'changes-since',
      'journal-entry-tests',
    ])
      await note(`${name} ${knownAt}`, async () =>
        bytesOf((await reports.answer(name as ReportName, bookId, { ...questionOf(name), knownAt } as never, 'csv')).body),
      );
  }
  await note('entries', () => queries.entries(bookId, { limit: 1_000, knownAt: at }));
  await note('drafts', () => queries.drafts(bookId, {}));
  await note('fiscal years', () => queries.fiscalYears(bookId));
  for (const { id } of posted.slice(0, 60)) {
    await note(`entry ${id}`, () => queries.entry(bookId, id));
    await note(`stream ${id}`, () => queries.stream(bookId, 'Journal', id));
    await note(`state ${id}`, () => inspector.state(bookId, id));
  }
  for (const version of [1, 2, 40, 41]) await note(`state ${version}`, () => inspector.state(bookId, '512000', version));
  for (let after = 0; after < at; after += 97) {
    await note(`events ${after}`, () => queries.events(bookId, { after, limit: 97 }));
    await note(`facts ${after}`, () => store.readFacts(bookId, after, Math.min(at, after + 97), ['AccountDebited']));
  }
  for (const filter of [
    {},
    { account: '512000' },
    { stream: 'account:602000', from: '2025-01-01' },
    { stream: 'GENERAL/2024/7' },
    { userId: '01930000-0000-7000-8000-000000000002' },
    { userId: '01930000-0000-7000-8000-000000000001', types: ['AccountDebited'] },
    { to: '2024-06-30', last: 20 },
    { account: '411000', last: 5, recordedTo: new Date(Date.now() + 86_400_000).toISOString() },
  ])
    await note(`looked at by ${JSON.stringify(filter)}`.replace(/"recordedTo.*/, ''), async () => {
      const all: unknown[] = [];
      for await (const some of inspector.events(bookId, filter)) all.push(...some);
      return digest(JSON.stringify(all));
    });
  for (const name of ['book', 'numbers:2024', 'drafts:2025', 'account:411000', 'GENERAL/2025/3'])
    await note(`state ${name}`, () => inspector.state(bookId, name));
  const { size } = await proofs.checkpoint(bookId);
  for (const position of [1, 2, 255, 256, 257, 600, at])
    await note(`proof ${position}`, () => proofs.inclusion(bookId, { position, size }));
  for (const from of [1, 256, 300, 512]) await note(`consistency ${from}`, () => proofs.consistency(bookId, { from, to: size }));
  for (const path of ['0/000', '0/001', '0/002']) await note(`tile ${path}`, () => proofs.tile(bookId, path));
  for (const format of exportFormats) {
    const range = format === 'fec' || format === 'saf-t-no' ? { from: '2025-01-01', to: '2025-12-31' } : {};
    await note(`export ${format}`, async () => bytesOf((await exportBook(service, bookId, format, { knownAt: at, ...range })).content));
  }
  return found;
}

async function wholeBook(knownAt: number): Promise<unknown> {
  const { accounts: accountsOf, entries, ...book } = await service.queries.knownBook(bookId, { knownAt });
  const found: unknown[] = [];
  for await (const some of accountsOf()) found.push(...some);
  for await (const some of entries()) found.push(...some);
  return { ...book, found };
}

function questionOf(name: string): object {
  if (name === 'balance-sheet') return { asOf: '2025-12-31' };
  if (name === 'changes-since') return { ...whole, since: 2 };
  return whole;
}

const said = ({ books, installation }: Verification): string[] =>
  [...installation, ...books.flatMap(({ findings }) => findings)].map(({ message }) => message);

/** Another process: nothing of the files is in its memory. */
const afresh = (): void => {
  const { cold } = service.store as unknown as { cold: { kept: Map<string, unknown>; failed: Map<string, unknown> } };
  cold.kept.clear();
  cold.failed.clear();
};

const hot = async (): Promise<number[]> => {
  const { rows } = await admin.query<{ first: string; count: string }>(
    'SELECT min(position) AS first, count(*) FROM log.events WHERE book_id = $1',
    [bookId],
  );
  return [Number(rows[0]?.first), Number(rows[0]?.count)];
};
const filesIn = (directory: string): string[] =>
  existsSync(join(directory, bookId))
    ? readdirSync(join(directory, bookId))
        .filter((name) => name.endsWith('.parquet'))
        .sort()
    : [];

let before: Record<string, unknown>;
let pack: string;
let head: number;
let line: number;

beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
  archive = await testArchive(database);
  // Small files, so that what is asked for lies in several of them.
  opened = await openTestService(database.appUrl, { SEAL: 'off', ARCHIVE_FILE_TILES: '2', ...archive.settings });
  service = opened.service;
  await fill();
  head = (await service.store.head(bookId)).position;
}, 120_000);
afterAll(async () => {
  await opened?.close();
  await archive?.remove();
  await admin?.end();
  await database?.drop();
});

describe('what may go', () => {
  it('is nothing while events are younger than asked for', async () => {
    const plan = await service.archiver.plan(bookId);
    expect(plan).toMatchObject({ cold: 0, upTo: 0, head, because: 'events after position 0 are not older than 365 days' });
  });

  it('is the beginning of the log up to a whole tile before the first entry of a period that is not closed for ever', async () => {
    const { upTo, because } = await service.archiver.plan(bookId, 0);
    const firstOpen = Math.min(...posted.slice(270).map(({ position }) => position));
    expect(because).toMatch(new RegExp(`^the entry at position ${firstOpen} lies in period 2026/\\d+, which is not closed for ever$`));
    expect(upTo).toBe(firstOpen - 1 - ((firstOpen - 1) % 256));
    expect(upTo).toBeGreaterThanOrEqual(768);
    line = upTo;
  });

  it('is told with the sizes of the files by a dry run, which writes nothing', async () => {
    const outcome = await service.archiver.archive(bookId, { olderThanDays: 0, dryRun: true });
    expect(outcome).toMatchObject({ cold: 0, upTo: line, events: line });
    expect(outcome.fileBytes / line).toBeLessThan(400);
    expect(outcome.rowBytes).toBeGreaterThan(outcome.fileBytes);
    expect(filesIn(archive.directory)).toEqual([]);
    expect(await hot()).toEqual([1, head]);
  });

  it('is nothing of a companion log', async () => {
    await expect(service.archiver.plan(`${bookId}~actions`, 0)).rejects.toMatchObject({ code: 'book_unknown' });
  });
});

describe('a book that has moved', () => {
  beforeAll(async () => {
    before = await answers(head);
    pack = await bytesOf((await service.auditPack(bookId, { period: '2025', knownAt: head })).content);
    const cut = await service.archiver.archive(bookId, { olderThanDays: 0 });
    expect(cut).toMatchObject({ events: line, upTo: line });
    afresh();
  }, 120_000);

  it('has its old events in files, and no longer in the table', async () => {
    expect(await hot()).toEqual([line + 1, head - line]);
    expect(filesIn(archive.directory)).toHaveLength(2);
    expect(await service.archiver.archive(bookId, { olderThanDays: 0 })).toMatchObject({ events: 0, cold: line, upTo: line });
  });

  it('was asked questions that it can answer', () => {
    const refusals = Object.entries(before).filter(([, answer]) => typeof answer === 'string' && / /.test(answer));
    // 601000 has another code since; what is asked before it was opened is refused as well.
    // Counted from position 2 on.
    const early = ['changes-since 1', 'changes-since 2'];
    expect(
      refusals.filter(
        ([name, answer]) => !early.includes(name) && !/^(account_unknown|no_fiscal_year|date_invalid|entry_unknown)/.test(String(answer)),
      ),
    ).toEqual([]);
    expect(Object.keys(before).length - refusals.length).toBeGreaterThan(300);
    for (const format of exportFormats)
      expect([format, before[`export ${format}`]]).toEqual([format, expect.stringMatching(/^[0-9a-f]{64}$/)]);
  });

  it('gives every answer, export and proof as before', async () => {
    const after = await answers(head);
    for (const [name, answer] of Object.entries(before)) expect({ name, answer: after[name] }).toEqual({ name, answer });
  }, 120_000);

  it('was looked at too', () => {
    for (const [name, answer] of Object.entries(before))
      if (name.startsWith('looked')) expect([name, answer]).toEqual([name, expect.stringMatching(/^[0-9a-f]{64}$/)]);
  });

  it('packs the same bytes for auditors', async () => {
    expect(await bytesOf((await service.auditPack(bookId, { period: '2025', knownAt: head })).content)).toBe(pack);
  });

  it('is verified to the last byte, and --hashes too', async () => {
    expect(said(await service.verify({ books: [bookId] }))).toEqual([]);
    expect(said(await service.verify({ books: [bookId], hashesOnly: true }))).toEqual([]);
  });

  it('rebuilds every projection to the rows that it has', async () => {
    for (const { name } of projections) {
      const outcome = await service.projections.rebuild(name, {});
      expect([name, outcome.comparison.differences, outcome.became]).toEqual([name, [], 'exchanged']);
    }
    expect(said(await service.verify({ books: [bookId] }))).toEqual([]);
  }, 120_000);

  it('is read by DuckDB, which finds in the file what the log has', async () => {
    const duck = await (await DuckDBInstance.create()).connect();
    const rows = (
      await duck.runAndReadAll(
        `SELECT position, version, epoch_us(recorded_at) AS at, stream_id::text AS stream, event_id::text AS id, event_type, data, hex(leaf_hash) AS leaf
           FROM '${join(archive.directory, bookId, '*.parquet')}' WHERE book_id = '${bookId}' ORDER BY position`,
      )
    ).getRowObjects();
    const events = await service.store.readStored(bookId, 0, line, line);
    expect(rows).toHaveLength(line);
    for (const [index, { position, stream, id, event_type, data, leaf }] of rows.entries()) {
      const event = events[index];
      expect([Number(position), stream, id, event_type]).toEqual([event?.position, event?.streamId, event?.eventId, event?.eventType]);
      expect([JSON.parse(String(data)), String(leaf).toLowerCase()]).toEqual([event?.data, event?.leafHash.toString('hex')]);
    }
  });
});

describe('what is done on top of cold events', () => {
  it('answers a repeated command of old with the same bytes', async () => {
    const { key, command, id } = posted[7] as (typeof posted)[number];
    const again = await service.execute(bookId, command as never, { key, userId: 'u', source: 'job' });
    expect(JSON.parse(again.body)).toMatchObject({ id });
  });

  it('posts to an account whose whole history is cold, and to all others', async () => {
    const line = { amount: '5.00', currency: 'EUR' };
    const lines = [
      { ...line, account: '530000', side: 'debit' },
      { ...line, account: '512000', side: 'credit' },
    ];
    await done({ type: 'PostEntry', effectiveDate: '2026-04-04', description: 'After the move', lines });
    expect((await service.queries.balance(bookId, '530000')).balances).toMatchObject([{ debit: '5.00' }]);
    await done({ type: 'RenameAccount', account: '530000', name: 'Caisse centrale' });
  });

  it('reverses an entry that is cold, once', async () => {
    const { id } = posted[20] as (typeof posted)[number];
    const reversal = await done({ type: 'ReverseEntry', entryId: id, reason: 'found late', effectiveDate: '2026-05-05' });
    expect((await service.queries.entry(bookId, id)) as object).toMatchObject({ reversedBy: reversal.id });
    await expect(done({ type: 'ReverseEntry', entryId: id, reason: 'again', effectiveDate: '2026-05-05' })).rejects.toThrow(
      'already_reversed',
    );
    expect((await service.queries.stream(bookId, 'Journal', id)).events.map(({ version }) => version)).toEqual([1, 2]);
  });

  it('folds a head that was dropped from the file, and goes on', async () => {
    const state = await service.inspector.state(bookId, '411000');
    await admin.query(
      "DELETE FROM log.heads h USING log.stream_names n WHERE h.book_id = $1 AND n.book_id = $1 AND n.name = '411000' AND h.stream_id = n.stream_id",
      [bookId],
    );
    const other = await openTestService(database.appUrl, { SEAL: 'off', ...archive.settings });
    try {
      const context = { key: 'after-the-loss', userId: 'u', source: 'job' } as const;
      const line = { amount: '1.00', currency: 'EUR' };
      const lines = [
        { ...line, account: '411000', side: 'debit' },
        { ...line, account: '512000', side: 'credit' },
      ];
      const command = { type: 'PostEntry', effectiveDate: '2026-06-06', description: 'After the loss', lines } as const;
      const answer = await other.service.execute(bookId, command as never, context);
      expect(answer.status).toBe(201);
      const folded = await other.service.inspector.state(bookId, '411000', (state as { version: number }).version);
      expect(folded).toMatchObject({ state: (state as unknown as { state: object }).state });
    } finally {
      await other.close();
    }
  });

  it('refuses what expects a stream to be new, or at another version than cold storage has', async () => {
    const { store } = service;
    const { id } = posted[30] as (typeof posted)[number];
    const client = await connect(database.appUrl);
    try {
      for (const expected of ['new', 2] as const) {
        const at = await store.head(bookId);
        const version = expected === 'new' ? 1 : 3;
        const [like] = await store.readStream(bookId, id);
        const event = { streamId: id, version, eventType: 'JournalEntryPosted', eventId: id, data: like?.data as object, metadata: '{}' };
        await expect(
          store.append(client, {
            ...{ bookId, head: at, newTail: id, recordedAt: Math.max(Date.now() * 1_000, at.recordedAt + 1) },
            ...{ events: [event], streams: [{ streamId: id, expected }] },
          }),
        ).rejects.toThrow(/book old-books/);
      }
    } finally {
      await client.end();
    }
  });

  it('leaves a log that verifies, also after the next range has gone', async () => {
    await post(2026, 90);
    const [open] = (await service.queries.drafts(bookId, {})).drafts.filter(({ status }) => status === 'draft');
    await done({ type: 'DiscardDraft', entryId: open?.id, reason: 'too late' });
    await done({ type: 'ClosePeriod', fiscalYear: '2026', period: 12, level: 'soft', includeEarlier: true });
    await done({ type: 'ClosePeriod', fiscalYear: '2026', period: 12, level: 'hard', includeEarlier: true });
    await post(2027, 90);
    await seal();
    const outcome = await service.archiver.archive(bookId, { olderThanDays: 0 });
    expect(outcome.cold).toBe(line);
    expect(outcome.ranges[0]).toMatchObject({ from: line + 1 });
    expect(outcome.events).toBeGreaterThanOrEqual(256);
    line += outcome.events;
    head = (await service.store.head(bookId)).position;
    expect(filesIn(archive.directory)).toHaveLength(2 + outcome.ranges.length);
    const ids = posted.slice(0, 300).map(({ id }) => id);
    const streams = await service.store.readStreams(bookId, ids);
    expect(streams.filter(({ eventType }) => eventType === 'JournalEntryPosted').map(({ streamId }) => streamId)).toEqual(ids);
    expect((await service.store.readAll(bookId, 0, head)).map(({ position }) => position)).toEqual(
      Array.from({ length: head }, (_, index) => index + 1),
    );
    expect(said(await service.verify({ books: [bookId] }))).toEqual([]);
  });
});

describe('a file that is not what it was', () => {
  const path = (): string => join(archive.directory, bookId, filesIn(archive.directory)[0] as string);
  const reads: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['events', () => service.queries.events(bookId, { after: 0, limit: 10 })],
    ['the entry', () => service.queries.entry(bookId, posted[1]?.id as string)],
    ['an export', async () => bytesOf((await exportBook(service, bookId, 'jsonl', {})).content)],
    ['a balance inside a batch', () => service.queries.balance(bookId, '512000', { knownAt: posted[60]?.position ?? 0 })],
    ['a replay', () => service.store.readFacts(bookId, 0, 500)],
  ];

  it.each([['with a flipped byte', (bytes: Buffer) => (bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1)]])(
    '%s is named by every read that needs it, and by verify',
    async (_, change) => {
      const good = readFileSync(path());
      const bad = Buffer.from(good);
      change(bad);
      writeFileSync(path(), bad);
      try {
        for (const [, read] of reads) {
          afresh();
          await expect(read()).rejects.toThrow(
            /events 1 to \d+ of book old-books stand in old-books\/\S+\.parquet, which was altered in directory/,
          );
        }
        const verification = await service.verify({ books: [bookId] });
        expect(said(verification)).toContainEqual(
          expect.stringMatching(/parquet, which was altered in directory .* put a copy of the right one there/),
        );
        expect(verification.books[0]?.first).toMatchObject({ check: 'archive', position: 1 });
        expect(said(await service.verify({ books: [bookId], hashesOnly: true }))).toContainEqual(
          expect.stringContaining('which was altered'),
        );
      } finally {
        writeFileSync(path(), good);
      }
      afresh();
      expect(said(await service.verify({ books: [bookId] }))).toEqual([]);
    },
  );

  it('every byte of it counts', async () => {
    const good = readFileSync(path());
    const asked = random(7);
    try {
      for (let index = 0; index < 40; index++) {
        const bad = Buffer.from(good);
        const at = asked.below(bad.length);
        bad[at] = (bad[at] as number) ^ (1 << asked.below(8));
        writeFileSync(path(), bad);
        afresh();
        await expect(service.store.readStored(bookId, 0, 1, 1)).rejects.toThrow('which was altered');
      }
    } finally {
      writeFileSync(path(), good);
      afresh();
    }
  });

  it('is named when it is missing; the API answers archive_unreadable, and one command that needs it does not hurt its neighbours', async () => {
    renameSync(path(), join(archive.directory, 'away'));
    try {
      afresh();
      await expect(service.queries.events(bookId, { after: 0, limit: 10 })).rejects.toThrow(
        /which is missing in directory .*: put a copy of it there/,
      );
      const { ledgerErrorOf } = await import('#ledger');
      const error = await service.queries.entry(bookId, posted[1]?.id as string).catch(ledgerErrorOf);
      expect(error).toMatchObject({
        code: 'archive_unreadable',
        kind: 'unavailable',
        details: { file: expect.stringContaining('.parquet') },
      });
      const reversal = { type: 'ReverseEntry', entryId: posted[40]?.id, reason: 'x', effectiveDate: '2027-05-05' };
      const [refused, ...others] = await Promise.allSettled([
        done(reversal),
        ...Array.from({ length: 20 }, () => done({ ...entry('2027-07-07') })),
      ]);
      expect(refused).toMatchObject({ status: 'rejected', reason: { message: expect.stringContaining('which is missing') } });
      expect(others.map(({ status }) => status)).toEqual(Array(20).fill('fulfilled'));
      expect(said(await service.verify({ books: [bookId] }))).toContainEqual(expect.stringContaining('which is missing'));
    } finally {
      renameSync(join(archive.directory, 'away'), join(archive.directory, bookId, filesBefore));
      afresh();
    }
    await seal();
    expect(said(await service.verify({ books: [bookId] }))).toEqual([]);
  });
  let filesBefore: string;
  beforeAll(() => {
    filesBefore = filesIn(archive.directory)[0] as string;
  });

  it('is named where nobody says where files are; what needs no cold event is answered, posted and reported', async () => {
    const other = await openTestService(database.appUrl, { SEAL: 'off' });
    try {
      const { queries, reports } = other.service;
      await expect(queries.events(bookId, { after: 0, limit: 10 })).rejects.toThrow('ARCHIVE_URL is not set');
      expect((await queries.balance(bookId, '512000')).balances).toHaveLength(1);
      const answer = await other.service.execute(bookId, entry('2027-08-08') as never, { key: 'no-files', userId: 'u', source: 'job' });
      expect(answer.status).toBe(201);
      expect((await queries.fiscalYears(bookId)).fiscalYears.length).toBeGreaterThanOrEqual(3);
      const knownAt = (await other.service.store.head(bookId)).position;
      for (const [name, question] of [
        ['trial-balance', { period: '2027' }],
        ['balance-sheet', { asOf: '2027-12-31' }],
        ['income-statement', { from: '2027-01-01', to: '2027-12-31' }],
        ['journal', { from: '2027-01-01', to: '2027-12-31' }],
      ] as const) {
        const [here, there] = await Promise.all(
          [reports, service.reports].map(async (some) => {
            const body = await some.answer(name as ReportName, bookId, { ...question, knownAt } as never, 'csv');
            return bytesOf(body.body);
          }),
        );
        expect({ name, answer: here }).toEqual({ name, answer: there });
      }
      // What was known when the old year was closed is in the projections.
      await reports.answer('trial-balance', bookId, { period: '2024', knownAt: 'close:2024-12' } as never, 'json');
    } finally {
      await other.close();
    }
  });

  it('is named with its manifest and the index, when these say something else', async () => {
    const manifest = `${path()}.json`;
    const good = readFileSync(manifest, 'utf8');
    writeFileSync(manifest, good.replace('"from":1', '"from":2'));
    expect(said(await service.verify({ books: [bookId] }))).toEqual([
      expect.stringContaining('the manifest beside the file, says something else'),
    ]);
    writeFileSync(manifest, good);
    const change = async (statement: string): Promise<void> => {
      await admin.query(`SET session_replication_role = replica; ${statement}; SET session_replication_role = origin`);
    };
    const id = posted[9]?.id as string;
    await change(`UPDATE log.archived_streams SET places = int4send(0) WHERE book_id = '${bookId}' AND stream_id = '${id}'`);
    const messages = said(await service.verify({ books: [bookId] }));
    expect(messages).toEqual([
      expect.stringMatching(new RegExp(`log.archived_streams old-books/${id}/1: places is 00000000, the file makes it`)),
    ]);
    const place = (posted[9]?.position as number) - 1;
    await change(`UPDATE log.archived_streams SET places = int4send(${place}) WHERE book_id = '${bookId}' AND stream_id = '${id}'`);
    expect(said(await service.verify({ books: [bookId] }))).toEqual([]);
  });
});

describe('what the database keeps of cold events', () => {
  const changedTo: Readonly<Record<string, string>> = {
    bigint: 'KEY + 256',
    to_position: 'KEY - 256',
    uuid: "'01930000-0000-7000-8000-00000000ffff'::uuid",
    text: "KEY || 'x'",
    bytea: 'sha256(KEY)',
    jsonb: `jsonb_set(KEY, '{0,data}', '"{}"')`,
  };

  it('is checked by verify to the last column', async () => {
    const { rows: columns } = await admin.query<{ table: string; column: string; type: string }>(
      `SELECT table_name AS table, column_name AS column, data_type AS type FROM information_schema.columns
        WHERE table_schema = 'log' AND table_name LIKE 'archived%' ORDER BY 1, 2`,
    );
    const missed: string[] = [];
    for (const { table, column, type } of columns) {
      const { rows } = await admin.query<{ place: string }>(
        `SELECT ctid::text AS place FROM log.${table} WHERE book_id = $1 ${column === 'events' ? 'AND events IS NOT NULL' : ''} ORDER BY from_position LIMIT 1`,
        [bookId],
      );
      const row = `ctid = '${rows[0]?.place}'::tid`;
      await admin.query(`CREATE TABLE public.kept AS SELECT * FROM log.${table}`);
      const tamper = (statements: string): Promise<unknown> =>
        admin.query(`BEGIN; SET LOCAL session_replication_role = replica; ${statements}; COMMIT`);
      const value =
        column === 'places'
          ? 'places || int4send(1)'
          : column === 'book_id'
            ? "'another'"
            : (changedTo[column] ?? changedTo[type] ?? 'now()').replace('KEY', column);
      await tamper(`UPDATE log.${table} SET ${column} = ${value} WHERE ${row}`);
      const messages = said(await service.verify({ books: [bookId] }));
      if (!messages.some((message) => message.includes('archived_') || message.includes('parquet')))
        missed.push(`${table}.${column}: ${messages}`);
      await tamper(`DELETE FROM log.${table}; INSERT INTO log.${table} SELECT * FROM public.kept; DROP TABLE public.kept`);
    }
    expect(missed).toEqual(['archived_ranges.archived_at: ']);
    expect(said(await service.verify({ books: [bookId] }))).toEqual([]);
  }, 240_000);

  it.each([
    [
      'a stream in a range that there is not',
      `INSERT INTO log.archived_streams SELECT 257, 1, '01930000-0000-7000-8000-00000000aaaa', '${bookId}', int4send(0)`,
      /log\.archived_streams old-books\/01930000-0000-7000-8000-00000000aaaa\/257: no range begins at this position/,
    ],
    [
      'a stream of another book, with nothing cold',
      `INSERT INTO log.archived_streams SELECT 1, 1, '01930000-0000-7000-8000-00000000aaaa', 'changed-books', int4send(0)`,
      /log\.archived_streams changed-books\/01930000-0000-7000-8000-00000000aaaa\/1: no range begins at this position/,
    ],
    [
      'events of a stream that is not the book',
      `UPDATE log.archived_streams a SET events = (SELECT jsonb_agg('{}'::jsonb) FROM generate_series(1, octet_length(a.places) / 4))
        WHERE book_id = '${bookId}' AND stream_id = (SELECT min(stream_id::text)::uuid FROM log.archived_streams WHERE book_id = '${bookId}' AND events IS NULL)`,
      /archived_streams old-books\/\S+: events has something, and only that of the book itself may/,
    ],
    [
      'a book without its events',
      `UPDATE log.archived_streams SET events = NULL WHERE book_id = '${bookId}' AND from_position = 1 AND events IS NOT NULL`,
      /archived_streams old-books\/\S+\/1: events is not what the file makes it/,
    ],
  ])('%s is found', async (_, statement, message) => {
    if (statement.includes("'changed-books'")) await openOther('changed-books');
    const tamper = (statements: string): Promise<unknown> =>
      admin.query(`BEGIN; SET LOCAL session_replication_role = replica; ${statements}; COMMIT`);
    await admin.query('CREATE TABLE public.kept AS SELECT * FROM log.archived_streams');
    await tamper(statement);
    const messages = said(await service.verify());
    await tamper('DELETE FROM log.archived_streams; INSERT INTO log.archived_streams SELECT * FROM public.kept; DROP TABLE public.kept');
    expect(messages).toContainEqual(expect.stringMatching(message));
    expect(said(await service.verify({ books: [bookId] }))).toEqual([]);
  });
});

describe('nobody takes events out but the one function of role archiver', () => {
  const stateOf = async (url: string, text: string): Promise<string | undefined> => {
    const client = await connect(url);
    try {
      await client.query(text);
      return undefined;
    } catch (error) {
      return (error as { code?: string }).code;
    } finally {
      await client.end();
    }
  };
  const call = (from: number, to: number): string =>
    `SELECT log.archive_range('${bookId}', ${from}, ${to}, 'f', 1, sha256(''), sha256(''), sha256(''), (SELECT max(size) FROM log.checkpoint_signatures WHERE book_id = '${bookId}'), now())`;

  it('the login of the service may not call it, and one that may is no login for the service', async () => {
    expect(await stateOf(database.appUrl, call(line + 1, line + 256))).toBe('42501');
    const mover = archive.settings.ARCHIVER_DATABASE_URL as string;
    expect(await stateOf(mover, `DELETE FROM log.events WHERE book_id = '${bookId}'`)).toBe('42501');
    expect(await stateOf(mover, `INSERT INTO log.archived_ranges SELECT * FROM log.archived_ranges`)).toBe('42501');
    expect(await stateOf(mover, `SELECT log.touch_receipt('${bookId}', 'k', 0)`)).toBe('42501');
    const { rows } = await admin.query<{ login: string }>('SELECT $1::text AS login', [new URL(database.appUrl).username]);
    await admin.query(`GRANT book_keeper_archiver TO ${rows[0]?.login}`);
    try {
      const { checks } = await service.readiness();
      expect(checks.find(({ name }) => name === 'privileges')).toMatchObject({
        ok: false,
        message: expect.stringContaining('is a member of book_keeper_archiver'),
      });
    } finally {
      await admin.query(`REVOKE book_keeper_archiver FROM ${rows[0]?.login}`);
    }
  });

  it('it takes nothing that is not in a file, not under a signature, not whole, not next', async () => {
    const mover = archive.settings.ARCHIVER_DATABASE_URL as string;
    expect(await stateOf(mover, call(line + 1, line + 200))).toBe('23514');
    expect(await stateOf(mover, call(line + 1, line + 256))).toBe('BK005');
    expect(await stateOf(mover, call(line + 257, line + 512))).toBeUndefined();
    expect(await stateOf(mover, call(1, 256))).toBeUndefined();
    expect((await hot())[0]).toBe(line + 1);
    expect(await stateOf(mover, call(1, 256).replace(bookId, '~system'))).toBe('BK005');
  });

  it('it takes nothing that differs from the file in a byte, and no entry of a period that could be posted to, whatever the caller says', async () => {
    const client = await connect(archive.settings.ARCHIVER_DATABASE_URL as string);
    try {
      const to = line + 256;
      const events = await hotEvents(client as unknown as Pool, bookId, line, to);
      const take = async (some: readonly ArchivedEvent[], root = subtreeRoot(some)): Promise<string> => {
        const content = new ContentHash();
        for (const event of some) content.add(event);
        return client
          .query(
            `SELECT log.archive_range($1, $2, $3, 'f', 1, sha256(''), $4, $5, (SELECT max(size) FROM log.checkpoint_signatures WHERE book_id = $1), now())`,
            [bookId, line + 1, to, root, content.digest()],
          )
          .then(
            () => 'taken',
            ({ message }: Error) => message,
          );
      };
      const [first, ...others] = events as [ArchivedEvent, ...ArchivedEvent[]];
      expect(await take(events, Buffer.alloc(32))).toMatch(/has another subtree root than the tiles$/);
      expect(await take([{ ...first, data: `${first.data} ` }, ...others])).toMatch(/does not hold what the table holds$/);
      expect(await take(events)).toMatch(
        /^book old-books: the entry at position \d+ lies in period 2027\/\d+, which is not closed for ever$/,
      );
      expect((await hot())[0]).toBe(line + 1);
    } finally {
      await client.end();
    }
  });

  it('the owner is refused by a trigger, as long as no range says where an event stands', async () => {
    expect(await stateOf(database.adminUrl, `DELETE FROM log.events WHERE book_id = '${bookId}' AND position = ${line + 1}`)).toBe('BK003');
    expect(await stateOf(database.adminUrl, `DELETE FROM log.archived_ranges`)).toBe('BK003');
    expect(await stateOf(database.adminUrl, `UPDATE log.archived_streams SET first_version = 1`)).toBe('BK003');
    expect(await stateOf(database.adminUrl, `TRUNCATE log.archived_ranges`)).toBe('BK003');
  });

  it('nothing moves when the login that takes events out is one of another database', async () => {
    const copy = await testDatabase();
    const elsewhere = Object.assign(new URL(archive.settings.ARCHIVER_DATABASE_URL as string), {
      pathname: new URL(copy.adminUrl).pathname,
    });
    const other = await openTestService(database.appUrl, { SEAL: 'off', ...archive.settings, ARCHIVER_DATABASE_URL: elsewhere.href });
    try {
      await openOther('copied-books').then(async (run) => {
        for (let index = 0; index < 260; index++) await run({ type: 'OpenAccount', code: `A${index}`, name: 'x', accountType: 'asset' });
      });
      await service.sealer.seal('copied-books');
      const { position: end } = await service.store.head('copied-books');
      for (const projection of projections) await service.queries.folded('copied-books', end, [projection], async () => {});
      await expect(other.service.archiver.archive('copied-books', { olderThanDays: 0 })).rejects.toThrow(
        /^ARCHIVER_DATABASE_URL leads to another database \(.*\) than DATABASE_URL \(.*\): .*; set it to the same server and database$/,
      );
      expect(existsSync(join(archive.directory, 'copied-books'))).toBe(false);
      expect(await service.archiver.archive('copied-books', { olderThanDays: 0 })).toMatchObject({ events: 256 });
    } finally {
      await other.close();
      await copy.drop();
    }
  });

  it('an event that was changed in the table before it moves is found by the archiver and stays', async () => {
    const other = 'changed-books';
    const run = await openOther(other);
    for (let index = 0; index < 260; index++) await run({ type: 'OpenAccount', code: `A${index}`, name: 'x', accountType: 'asset' });
    await service.sealer.seal(other);
    const { position: end } = await service.store.head(other);
    for (const projection of projections) await service.queries.folded(other, end, [projection], async () => {});
    const event = `UPDATE log.events SET data = data || '{"name": "y"}' WHERE book_id = '${other}' AND position = 77`;
    await admin.query(`SET session_replication_role = replica; ${event}; SET session_replication_role = origin`);
    await expect(service.archiver.archive(other, { olderThanDays: 0 })).rejects.toThrow(
      /^event 77 of book changed-books: leaf_hash is \w+, its columns give/,
    );
    const { rows } = await admin.query('SELECT count(*)::int AS count FROM log.events WHERE book_id = $1', [other]);
    expect(rows).toEqual([{ count: end }]);
  });
});

describe('a book that tracks exchange rates', () => {
  it('answers every balance, in its own currencies and in base, at every position as before', async () => {
    const id = 'tracked-books';
    const run = async (command: object): Promise<void> => {
      const answer = await service.execute(id, command as never, { key: `t-${++serial}`, userId: 'u', source: 'job', isController: true });
      if (answer.status >= 400) throw new Error(answer.body);
    };
    const opening = { name: 'x', baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2024-01-01', fx: 'tracked' };
    await run({ type: 'OpenBook', id, ...opening });
    for (const code of ['A', 'B', 'C']) await run({ type: 'OpenAccount', code, name: code, accountType: 'asset' });
    const sides = (currency: string, amount: string, baseAmount?: string) => [
      { account: chance.pick(['A', 'B']), side: 'debit', amount, currency, baseAmount },
      { account: 'C', side: 'credit', amount, currency, baseAmount },
    ];
    const one = (index: number): object => ({
      ...{ type: 'PostEntry', effectiveDate: `2024-0${1 + (index % 9)}-11`, description: `Entry ${index}` },
      lines: index % 2 === 0 ? sides('USD', `${index + 1}.00`, `${index}.50`) : sides('EUR', `${index + 1}.25`),
    });
    await Promise.all(Array.from({ length: 110 }, (_, index) => run(one(index))));
    for (const level of ['soft', 'hard']) await run({ type: 'ClosePeriod', fiscalYear: '2024', period: 12, level, includeEarlier: true });
    await service.sealer.seal(id);
    const { position: end } = await service.store.head(id);
    for (const projection of projections) await service.queries.folded(id, end, [projection], async () => {});
    const everything = async (): Promise<unknown[]> => {
      const found: unknown[] = [];
      for (let knownAt = 10; knownAt <= end; knownAt += 3) {
        for (const code of ['A', 'B', 'C'])
          found.push(await service.queries.balance(id, code, { knownAt, ...(knownAt % 2 === 0 ? { asOf: '2024-05-31' } : {}) }));
        found.push(await service.queries.balances(id, { knownAt }));
      }
      return found;
    };
    const known = await everything();
    expect(await service.archiver.archive(id, { olderThanDays: 0 })).toMatchObject({ events: 256 });
    expect(await everything()).toEqual(known);
    expect(said(await service.verify({ books: [id] }))).toEqual([]);
  }, 120_000);
});

describe('projections that were lost after the move', () => {
  it('are waited for: no balance is made of the part of a log that is still in the table', async () => {
    const own = await testDatabase();
    const ownAdmin = await connect(own.adminUrl);
    const ownArchive = await testArchive(own);
    const other = await openTestService(own.appUrl, { ...ownArchive.settings, PROJECT: 'off', SEAL: 'off', READ_WAIT_MS: '50' });
    try {
      const { service: its } = other;
      const id = 'lost-projections';
      const run = async (command: object): Promise<void> => {
        const answer = await its.execute(id, command as never, { key: `l-${++serial}`, userId: 'u', source: 'job', isController: true });
        if (answer.status >= 400) throw new Error(answer.body);
      };
      await run({ type: 'OpenBook', id, name: 'x', baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2024-01-01' });
      for (const code of ['A', 'B']) await run({ type: 'OpenAccount', code, name: code, accountType: 'asset' });
      const line = { amount: '1.00', currency: 'EUR' };
      const lines = [
        { ...line, account: 'A', side: 'debit' },
        { ...line, account: 'B', side: 'credit' },
      ];
      const one = { type: 'PostEntry', effectiveDate: '2024-05-05', description: 'x', lines };
      await Promise.all(Array.from({ length: 120 }, () => run(one)));
      for (const level of ['soft', 'hard']) await run({ type: 'ClosePeriod', fiscalYear: '2024', period: 12, level, includeEarlier: true });
      await its.sealer.seal(id);
      while ((await its.projector.fold(id)) !== 'done');
      expect(await its.archiver.archive(id, { olderThanDays: 0 })).toMatchObject({ events: 256 });
      const asked = () => its.queries.balance(id, 'A', { asOf: '2024-12-31' });
      const known = await asked();
      expect(known.balances).toMatchObject([{ debit: '120.00' }]);
      const cursors = (await ownAdmin.query('SELECT projection, position FROM projections.cursors WHERE book_id = $1', [id])).rows;
      await ownAdmin.query('UPDATE projections.cursors SET position = 0 WHERE book_id = $1', [id]);
      await expect(asked()).rejects.toMatchObject({ code: 'projection_behind' });
      for (const { projection, position } of cursors)
        await ownAdmin.query('UPDATE projections.cursors SET position = $3 WHERE book_id = $1 AND projection = $2', [
          id,
          projection,
          position,
        ]);
      expect(await asked()).toEqual(known);
    } finally {
      await other.close();
      await ownArchive.remove();
      await ownAdmin.end();
      await own.drop();
    }
  });
});

describe('in an S3-compatible bucket', () => {
  let bucket: S3rver;
  const credentials = { id: process.env.AWS_ACCESS_KEY_ID, secret: process.env.AWS_SECRET_ACCESS_KEY };
  beforeAll(() => {
    process.env.AWS_ACCESS_KEY_ID = 'S3RVER';
    process.env.AWS_SECRET_ACCESS_KEY = 'S3RVER';
  });
  afterAll(async () => {
    const restore = (name: string, value: string | undefined): void => {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    };
    restore('AWS_ACCESS_KEY_ID', credentials.id);
    restore('AWS_SECRET_ACCESS_KEY', credentials.secret);
    await bucket?.close();
  });

  it('files are written, read back, read by another process, and named when they are altered', async () => {
    bucket = new S3rver({
      ...{ port: 0, address: '127.0.0.1', silent: true, directory: join(archive.directory, 's3') },
      configureBuckets: [{ name: 'cold', configs: [] }],
    });
    const { port } = (await bucket.run()) as AddressInfo;
    const keys = { SIGNING_KEY_FILE: join(opened.environment.DATA_DIR as string, 'signing-key.pem'), SEAL: 'off' };
    const settings = { ...archive.settings, ...keys, ARCHIVE_URL: `s3://cold/books?endpoint=http://127.0.0.1:${port}` };
    const other = await openTestService(database.appUrl, settings);
    const id = 'bucket-books';
    try {
      const run = async (command: object): Promise<void> => {
        const answer = await other.service.execute(id, command as never, { key: `b-${++serial}`, userId: 'u', source: 'job' });
        expect(answer.status).toBeLessThan(400);
      };
      await run({ type: 'OpenBook', id, name: 'x', baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2024-01-01' });
      for (let index = 0; index < 260; index++) await run({ type: 'OpenAccount', code: `A${index}`, name: 'x', accountType: 'asset' });
      await other.service.sealer.seal(id);
      const { position: end } = await other.service.store.head(id);
      for (const projection of projections) await other.service.queries.folded(id, end, [projection], async () => {});
      const events = await other.service.store.readStored(id, 0, end, 300);
      expect(await other.service.archiver.archive(id, { olderThanDays: 0 })).toMatchObject({ events: 256 });
      expect(await other.service.store.readStored(id, 0, end, 300)).toEqual(events);
      expect(said(await other.service.verify({ books: [id] }))).toEqual([]);
      const kept = join(archive.directory, 's3', 'cold', 'books', id);
      const object = readdirSync(kept).find((name) => name.endsWith('.parquet._S3rver_object')) as string;
      const bytes = readFileSync(join(kept, object));
      bytes[50] = (bytes[50] as number) ^ 4;
      writeFileSync(join(kept, object), bytes);
      expect(said(await other.service.verify({ books: [id] }))).toContainEqual(expect.stringContaining('which was altered in bucket cold'));
    } finally {
      await other.close();
    }
  });

  it('that takes requests and never answers keeps commands waiting once, not once for each that needs it', async () => {
    let asked = 0;
    const silent = createServer(() => void asked++);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    const url = `s3://cold/books?endpoint=http://127.0.0.1:${port}`;
    const other = await openTestService(database.appUrl, { SEAL: 'off', PROJECT: 'off', ARCHIVE_URL: url });
    try {
      const needing = [50, 51, 52, 53, 54, 55].map((number) => {
        const reversal = { type: 'ReverseEntry', entryId: posted[number]?.id, reason: 'x', effectiveDate: '2027-05-05' };
        return other.service.execute(bookId, reversal as never, { key: `silent-${number}`, userId: 'u', source: 'job' });
      });
      const beside = [1, 2, 3, 4, 5, 6].map((number) =>
        other.service.execute(bookId, entry('2027-07-07') as never, { key: `beside-${number}`, userId: 'u', source: 'job' }),
      );
      for (const outcome of await Promise.allSettled(needing))
        expect(outcome).toMatchObject({
          status: 'rejected',
          reason: {
            code: 'archive_unreadable',
            message: expect.stringMatching(/parquet, which cannot be read in bucket cold: .*no answer within 10 s$/),
          },
        });
      expect((await Promise.all(beside)).map(({ status }) => status)).toEqual(Array(6).fill(201));
      // All of them are in one file.
      expect(asked).toBe(1);
    } finally {
      await other.close();
      silent.closeAllConnections();
      silent.close();
    }
    expect((await service.queries.entry(bookId, posted[50]?.id as string)) as object).not.toHaveProperty('reversedBy');
  }, 60_000);
});
