/**
 * Golden reports: one log with fixed ids and instants, and the bytes of every report of it, JSON and CSV. What was once answered
 * at a position and version is answered so for ever, also by later releases: a file below never changes. Whoever wants other bytes
 * makes a new version of the report, and files of its own.
 *
 * GOLDEN=write makes the files that are missing; it changes none.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import type { Pool } from 'pg';
import { EventStore, leafHashOf, type StoredEvent } from '#event-store';
import { catalogue, Projector, Queries, type ReportName, type ReportQuestion, Reports, reportVersions } from '#ledger';
import { connect, openPool } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';

const directory = join(__dirname, '..', 'golden', 'reports');

type Log = readonly Omit<StoredEvent, 'bookId' | 'leafHash'>[];
/** A log as it is stored, one event a line; what decides commands today has no part in it. */
const logIn = (file: string): Log => JSON.parse(readFileSync(join(directory, file), 'utf8')) as Log;
/** The second one tracks exchange rates: a revaluation over the year end, the closing entry, a gain realised, a rate corrected, a late entry. */
const logs: Readonly<Record<string, Log>> = { golden: logIn('log.json'), 'golden-tracked': logIn('log-tracked.json') };

/** Writes a log as it stands in the file, as an administrator. */
async function writeLog(adminUrl: string, bookId: string, log: Log): Promise<void> {
  const admin = await connect(adminUrl);
  const last = log.at(-1) as (typeof log)[number];
  await admin.query('INSERT INTO log.books (book_id, registered_at) VALUES ($1, $2)', [bookId, log[0]?.recordedAt]);
  await admin.query(
    'INSERT INTO log.book_heads (book_id, position, tail, recorded_at, recorded_floor) VALUES ($1, $2, gen_random_uuid(), $3, $3)',
    [bookId, last.position, last.recordedAt],
  );
  for (const [index, event] of log.entries()) {
    const { position, version, recordedAt, streamId, eventId, eventVersion, eventType, data, metadata } = event;
    const leafHash = leafHashOf(catalogue, { ...event, bookId });
    await admin.query(
      `INSERT INTO log.events (position, version, recorded_at, stream_id, event_id, event_version, book_id, event_type, data, metadata, leaf_hash)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
      [position, version, recordedAt, streamId, eventId, eventVersion, bookId, eventType, data, metadata, leafHash],
    );
    if (eventType === 'AccountOpened')
      await admin.query('INSERT INTO log.stream_names (stream_id, book_id, category, name) VALUES ($1, $2, $3, $4)', [
        streamId,
        bookId,
        'account',
        data.code,
      ]);
    if (log[index + 1]?.recordedAt !== recordedAt)
      await admin.query('INSERT INTO log.batches (book_id, last_position, recorded_at) VALUES ($1, $2, $3)', [
        bookId,
        position,
        recordedAt,
      ]);
  }
  await admin.end();
}

type Case = readonly [file: string, name: ReportName, question: ReportQuestion];
/** Every report at a position inside a batch, and one of each kind of question. */
const cases: readonly Case[] = [
  ['trial-balance', 'trial-balance', { period: '2026', compare: '2025', knownAt: 47 }],
  ['trial-balance-converted', 'trial-balance', { from: '2026-01-01', to: '2026-02-28', in: 'EUR', carry: 'none', closing: 'exclude' }],
  ['trial-balance-dimension', 'trial-balance', { from: '2025-01-01', to: '2026-12-31', dimensions: ['costCentre:north'], depth: 1 }],
  ['general-ledger', 'general-ledger', { period: '2026' }],
  ['balance-sheet', 'balance-sheet', { asOf: '2026-12-31', compare: '2025', currency: 'EUR', closing: 'exclude' }],
  ['balance-sheet-converted', 'balance-sheet', { asOf: '2026-02-28', in: 'EUR' }],
  ['income-statement', 'income-statement', { period: '2025', compare: '2026/1,2026/2', currency: 'EUR', depth: 1 }],
  ['cash-flow', 'cash-flow', { period: '2026', compare: '2025', currency: 'EUR' }],
  ['journal', 'journal', { period: '2025', currency: 'EUR' }],
  ['changes-since', 'changes-since', { period: '2025', since: 40 }],
  ['valuation', 'valuation', { asOf: '2026-02-28' }],
  [
    'journal-entry-tests',
    'journal-entry-tests',
    {
      from: '2025-01-01',
      to: '2026-12-31',
      entryTests: { duplicateDays: 31, roundZeros: 2, rarePairEntries: 2, benfordLines: 10, digits: 10 },
    },
  ],
];
/** What base amounts have a part in. */
const tracked: readonly Case[] = [
  ['tracked-trial-balance', 'trial-balance', { period: '2026', compare: '2025' }],
  ['tracked-trial-balance-base', 'trial-balance', { period: '2025', in: 'EUR', knownAt: 57 }],
  ['tracked-general-ledger', 'general-ledger', { from: '2025-12-01', to: '2026-01-31' }],
  ['tracked-balance-sheet', 'balance-sheet', { asOf: '2026-01-31', compare: '2025' }],
  ['tracked-income-statement', 'income-statement', { period: '2025', compare: '2026' }],
  ['tracked-journal', 'journal', { period: '2025' }],
  ['tracked-changes-since', 'changes-since', { period: '2025', since: 73 }],
  ['tracked-valuation', 'valuation', { asOf: '2025-12-31', rateType: 'closing' }],
  ['tracked-journal-entry-tests', 'journal-entry-tests', { period: '2025', currency: 'USD', knownAt: 73 }],
];

let database: TestDatabase;
let pool: Pool;
let projector: Projector;
let reports: Reports;

beforeAll(async () => {
  database = await testDatabase();
  for (const [bookId, log] of Object.entries(logs)) await writeLog(database.adminUrl, bookId, log);
  pool = openPool(database.appUrl, { max: 4 });
  const store = new EventStore(pool, catalogue);
  projector = new Projector(store, pool, { sweepMs: 10 });
  projector.start();
  reports = new Reports(store, new Queries(store, pool, { readWaitMs: 30_000 }));
});
afterAll(async () => {
  await projector?.stop();
  await pool?.end();
  await database?.drop();
});

const headOf = (bookId: string): number => logs[bookId]?.at(-1)?.position ?? 0;
const formats = ['json', 'csv'] as const;

describe('golden reports', () => {
  it('are there for every report in every version, and for none that is forgotten', () => {
    const names = new Set<string>(cases.map(([, name]) => name));
    expect([...names, 'statement'].sort()).toEqual(Object.keys(reportVersions).sort());
    expect(Object.values(reportVersions).map((versions) => versions.join())).toEqual(Object.values(reportVersions).map(() => '1'));
    if (process.env.GOLDEN !== 'write') expect(readdirSync(directory).sort()).toEqual([...files(), 'log.json', 'log-tracked.json'].sort());
  });

  const files = (): string[] =>
    [...cases.map(([file]) => file), ...tracked.map(([file]) => file), ...statements.map(([file]) => file)].flatMap((file) =>
      formats.map((format) => `${file}.v1.${format}`),
    );

  const asked = [...cases.map((one) => ['golden', one] as const), ...tracked.map((one) => ['golden-tracked', one] as const)];
  it.each(asked.flatMap(([bookId, one]) => formats.map((format) => [`${one[0]}.v1.${format}`, bookId, one, format] as const)))(
    '%s',
    async (file, bookId, [, name, question], format) => {
      const { body } = await reports.answer(name, bookId, { knownAt: headOf(bookId), ...question, reportVersion: 1 }, format);
      await sameBytes(file, body);
    },
  );

  const statements = [
    ['statement', 'golden', '1200', { from: '2026-01-01', to: '2026-12-31' }],
    ['tracked-statement', 'golden-tracked', 'Receivables', { from: '2025-12-01', to: '2026-01-31' }],
  ] as const;
  it.each(statements.flatMap((one) => formats.map((format) => [`${one[0]}.v1.${format}`, one, format] as const)))(
    '%s',
    async (file, [, bookId, code, range], format) => {
      const { body } = await reports.statement(bookId, code, { ...range, knownAt: headOf(bookId), reportVersion: 1 }, format);
      await sameBytes(file, body);
    },
  );
});

async function sameBytes(file: string, body: string | AsyncIterable<string>): Promise<void> {
  let text = '';
  if (typeof body === 'string') text = body;
  else for await (const piece of body) text += piece;
  const path = join(directory, file);
  if (process.env.GOLDEN === 'write' && !existsSync(path)) {
    mkdirSync(directory, { recursive: true });
    writeFileSync(path, text);
  }
  expect(text).toBe(readFileSync(path, 'utf8'));
  // Every row is as wide as the header, says where it belongs, and ends as RFC 4180 has it.
  if (!file.endsWith('.csv')) return;
  const rows = parse(text, { columns: true, record_delimiter: '\r\n' }) as Record<string, string>[];
  expect(new Set(rows.map(({ position, reportVersion }) => `${Number(position) > 0} ${reportVersion}`))).toEqual(new Set(['true 1']));
  expect(rows.every(({ row }) => /^[a-zA-Z]+$/.test(row ?? ''))).toBe(true);
}
