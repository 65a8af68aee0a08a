/**
 * Books with fx: tracked from before exchange rates were recorded: a line in base currency did not repeat its amount as base amount.
 * Whatever counts in base currency must count it all the same, from the same events: their hashes stand.
 */
import type { Client } from 'pg';
import { leafHashOf, type StoredEvent } from '#event-store';
import { type Command, catalogue, numbersStreamId, projections, type ReportName, type Service } from '#ledger';
import { connect } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';
import { controllerContext } from '../support/periods';
import { openTestService, type TestService } from '../support/services';
import { carryOut, entryOf, line, openTrackedBook } from '../support/tracked-books';

const bookId = 'older';

let database: TestDatabase;
let admin: Client;
let opened: TestService;
let service: Service;

beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
  await open();
});
afterAll(async () => {
  await opened?.close();
  await admin?.end();
  await database?.drop();
});

async function open(): Promise<void> {
  // What is rewritten to be as an earlier release left it must not be sealed before.
  opened = await openTestService(database.appUrl, { SEAL: 'off' });
  service = opened.service;
}

/** What an older release could post: amounts in base currency, and others with the base amount that the caller gave. */
async function history(): Promise<void> {
  await openTrackedBook(service, bookId);
  await carryOut(service, bookId, entryOf('2026-01-05', ['Bank', 'Capital'], '1000', 'EUR'));
  await carryOut(service, bookId, entryOf('2026-02-10', ['Bank', 'Sales'], '250.50', 'EUR', tagged('Sales')));
  await carryOut(service, bookId, {
    ...entryOf('2026-02-11', ['Bank', 'Sales'], '100', 'USD'),
    lines: [
      line('Receivables', 'debit', '100', 'USD', { baseAmount: '90' }),
      line('Sales', 'credit', '100', 'USD', { baseAmount: '90' }),
      line('Costs', 'debit', '7', 'EUR'),
      line('Bank', 'credit', '7', 'EUR'),
    ],
  });
  await carryOut(service, bookId, entryOf('2026-03-01', ['Costs', 'Bank'], '40.25', 'EUR'));
}

const tagged = (account: string) => {
  const dimensions = [{ key: 'unit', value: 'north' }];
  return { lines: [line('Bank', 'debit', '250.50', 'EUR', { dimensions }), line(account, 'credit', '250.50', 'EUR', { dimensions })] };
};

/** Takes what later releases state out of events, as if it had never been written, with whatever was made of them. */
async function asOlderReleaseWroteIt(): Promise<number> {
  await admin.query('BEGIN');
  await admin.query("SET LOCAL session_replication_role = 'replica'");
  const { rows } = await admin.query<StoredEvent>(
    `SELECT book_id AS "bookId", position, stream_id AS "streamId", version, event_type AS "eventType", event_version AS "eventVersion",
            event_id AS "eventId", recorded_at AS "recordedAt", data, metadata, leaf_hash AS "leafHash"
       FROM log.events WHERE book_id = $1 AND event_type IN ('JournalEntryPosted', 'AccountDebited', 'AccountCredited') ORDER BY position`,
    [bookId],
  );
  let changed = 0;
  const silent = <T extends { currency?: unknown; baseAmount?: unknown }>(given: T): T => {
    const { baseAmount, ...rest } = given;
    if (given.currency !== 'EUR' || baseAmount === undefined) return given;
    changed++;
    return rest as T;
  };
  for (const event of rows) {
    const posted = event.eventType === 'JournalEntryPosted';
    const data = posted ? { ...event.data, lines: (event.data.lines as object[]).map(silent) } : silent(event.data);
    await admin.query('UPDATE log.events SET data = $3, leaf_hash = $4 WHERE book_id = $1 AND position = $2', [
      ...[bookId, event.position, data, leafHashOf(catalogue, { ...event, data })],
    ]);
  }
  await admin.query('DELETE FROM log.heads WHERE book_id = $1 AND stream_id = $2', [bookId, numbersStreamId(bookId, '2026')]);
  for (const table of ['cursors', ...projections.flatMap(({ tables }) => tables.map(({ name }) => name))])
    await admin.query(`DELETE FROM projections.${table} WHERE book_id = $1`, [bookId]);
  await admin.query('COMMIT');
  return changed;
}

const findings = async (): Promise<unknown[]> => {
  const { installation, books } = await service.verify({ books: [bookId] });
  return [...installation, ...books.flatMap((book) => book.findings)];
};

const year = { from: '2026-01-01', to: '2026-12-31' };
const questions: readonly (readonly [ReportName, object])[] = [
  ['trial-balance', { ...year, in: 'EUR' }],
  ['trial-balance', { ...year, in: 'EUR', dimension: 'unit:north' }],
  ['balance-sheet', { asOf: '2026-12-31' }],
  ['income-statement', { ...year, compare: '2026/2' }],
  ['cash-flow', year],
  ['journal', year],
  ['general-ledger', year],
];

const answers = async (position: number): Promise<unknown[]> =>
  Promise.all(
    // Inside the batch too, where lines are added to what is folded.
    [position, position - 3].flatMap((knownAt) =>
      questions.map(async ([name, question]) =>
        JSON.parse((await service.reports.answer(name, bookId, { ...question, knownAt }, 'json')).body as string),
      ),
    ),
  );

it('reports, closes and closing entries count a line in base currency that has no base amount', async () => {
  await history();
  const { position } = await service.store.head(bookId);
  const before = await answers(position);
  await opened.close();
  expect(await asOlderReleaseWroteIt()).toBe(16);
  await open();

  expect(await answers(position)).toEqual(before);

  const close = { type: 'ClosePeriod', fiscalYear: '2026', period: 2, level: 'soft', includeEarlier: true } as Command;
  expect((await service.execute(bookId, close, controllerContext('close'))).status).toBeLessThan(300);
  const { rows } = await admin.query(
    "SELECT data ->> 'baseTotal' AS base FROM log.events WHERE book_id = $1 AND event_type = 'PeriodClosed' ORDER BY position",
    [bookId],
  );
  expect(rows.map(({ base }) => base)).toEqual(['1000.00', '347.50']);

  await carryOut(service, bookId, { type: 'CloseFiscalYear', fiscalYear: '2026' } as Command);
  const [after] = (await answers((await service.store.head(bookId)).position)) as [{ rows: { account: string; figures: object[] }[] }];
  const retained = after.rows.find(({ account }) => account === 'Retained');
  expect(retained?.figures[0]).toMatchObject({ closing: '-293.25' });
  expect(await findings()).toEqual([]);
});

it('a reversal of such an entry states it, and takes back what it counted', async () => {
  const { rows } = await admin.query<{ id: string }>(
    `SELECT stream_id AS id FROM log.events WHERE book_id = $1 AND event_type = 'JournalEntryPosted' AND data ->> 'effectiveDate' = '2026-03-01'`,
    [bookId],
  );
  const reversal = { type: 'ReverseEntry', entryId: rows[0]?.id, effectiveDate: '2026-04-01', reason: 'undone' } as unknown as Command;
  await carryOut(service, bookId, reversal);
  const answer = await service.reports.answer('trial-balance', bookId, { from: '2026-01-01', to: '2026-12-31', in: 'EUR' }, 'json');
  const { rows: accounts } = JSON.parse(answer.body as string) as { rows: { account: string; figures: object[] }[] };
  expect(accounts.find(({ account }) => account === 'Bank')?.figures[0]).toMatchObject({ closing: '1243.50' });
  expect(await findings()).toEqual([]);
});
