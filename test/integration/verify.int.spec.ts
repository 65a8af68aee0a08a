/**
 * verify finds nothing in what the ledger wrote, also while it writes; and as superuser one changed value of any column, a row
 * that was deleted, added or swapped is found and its row named. The columns are read from the catalogue: a new one fails here
 * until somebody has decided how it is checked.
 */
import type { Client, Pool } from 'pg';
import { EventStore } from '#event-store';
import { type Command, type CommandContext, catalogue, Ledger, Projector, readConfig, type Verification, verifyBooks } from '#ledger';
import { connect, openPool } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';
import { HistoryBuilder, random } from '../support/histories';
import type { Commanded, ReferenceLedger } from '../support/reference-ledger';

const seed = Number(process.env.SEED ?? 20261122);
const bookId = 'books-of-all';

let database: TestDatabase;
let admin: Client;
let pool: Pool;
let ledger: Ledger;
let projector: Projector;

const verify = (books?: readonly string[]): Promise<Verification> => verifyBooks(pool, { books });
const said = ({ books, installation }: Verification): string[] =>
  [...installation, ...books.flatMap(({ findings }) => findings)].map(({ message }) => message);

beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
  pool = openPool(database.appUrl, { max: 4 });
  const store = new EventStore(pool, catalogue);
  projector = new Projector(store, pool);
  ledger = new Ledger(store, {
    connect: () => connect(database.appUrl, { pipeline: true }),
    config: readConfig({}),
    release: '0.0.0-spec',
  });
  await history();
});
afterAll(async () => {
  await ledger?.close();
  await pool?.end();
  await admin?.end();
  await database?.drop();
});

let serial = 0;
const context = (more: Partial<CommandContext> = {}): CommandContext => ({
  key: `verify-${++serial}`,
  userId: '01930000-0000-7000-8000-000000000001',
  source: 'REST',
  ip: `192.0.2.${1 + (serial % 3)}`,
  userAgent: 'spec "1.0"',
  ...more,
});

async function done(command: Command, more?: Partial<CommandContext>): Promise<{ id: string }> {
  const answer = await ledger.execute(bookId, command, context(more));
  if (answer.status >= 400) throw new Error(`${command.type}: ${answer.body}`);
  return JSON.parse(answer.body) as { id: string };
}

/** A book with every type of event that a command writes, members that are seldom given, refusals, batches and corrections. */
async function history(): Promise<void> {
  const writer = {
    execute: (id: string, command: Command, given: CommandContext) => ledger.execute(id, command, given),
    executeBatch: (id: string, commands: readonly Commanded[]) =>
      Promise.all(commands.map((one) => ledger.execute(id, one.command, one.context))),
  };
  const builder = new HistoryBuilder(writer as unknown as ReferenceLedger, bookId, random(seed));
  await builder.open();
  await done({ type: 'DefineJournal', journalCode: 'SALES', name: 'Sales, “all”', journalType: 'sales' });
  await done({ type: 'EnableCurrency', code: 'BTC', scale: 8 });
  await done({
    type: 'OpenAccount',
    code: 'Wallet',
    name: 'Wallet',
    accountType: 'asset',
    currencies: ['BTC'],
    limits: [{ currency: 'BTC', min: '-1' }],
    metadata: { 10: 'ten', 2: ['two', 2.5, true] },
  });
  await done({ type: 'OpenAccount', code: 'Assets', name: 'All assets', accountType: 'asset', postable: false });
  await done({ type: 'OpenAccount', code: 'Short', name: 'Short-lived', accountType: 'asset', parent: 'Assets' });
  await done({ type: 'FreezeAccount', account: 'Short', reason: 'to see it' });
  await done({ type: 'UnfreezeAccount', account: 'Short' });
  await done({ type: 'RenameAccount', account: 'Short', name: 'Shorter' });
  await done({ type: 'CloseAccount', account: 'Short' });
  for (let batch = 0; batch < 25; batch++) await builder.batch();
  await done({ type: 'OpenAccount', code: 'Other', name: 'Other', accountType: 'asset' });
  const { id } = await done(
    {
      type: 'PostEntry',
      effectiveDate: '2024-05-05',
      description: 'Rich\tentry “1.0”, \\ and 金',
      journalCode: 'SALES',
      reason: 'because',
      document: { type: 'invoice', number: 'INV-1', date: '2024-05-04' },
      source: { system: 'shop', id: '1' },
      metadata: { note: 'a 1.0 in a text', deep: [{ b: 1, a: 'x' }] },
      lines: [
        { account: 'Wallet', side: 'debit', amount: '0.5', currency: 'BTC', description: 'in', dimensions: [{ key: 'cost', value: 'k' }] },
        { account: 'Other', side: 'credit', amount: '0.5', currency: 'BTC', party: { id: 'p-1', kind: 'customer' } },
        { account: 'Other', side: 'credit', amount: '10', currency: 'EUR', baseAmount: '10' },
        { account: 'Other', side: 'debit', amount: '10', currency: 'EUR' },
      ],
    },
    { correlationId: 'c-1', onBehalfOf: 'u-2' },
  );
  await done({ type: 'ReverseEntry', entryId: id, reason: 'wrong', effectiveDate: '2024-05-06' });
  const entry = (amount: string) => ({
    effectiveDate: '2024-05-05',
    description: 'One of several',
    lines: [
      { account: 'Other', side: 'debit' as const, amount, currency: 'EUR' },
      { account: 'Other', side: 'credit' as const, amount, currency: 'EUR' },
    ],
  });
  const second = await done({ type: 'PostEntry', ...entry('7') });
  await done({ ...entry('8'), type: 'CorrectEntry', entryId: second.id, reason: 'mistyped' });
  await done({ type: 'PostEntries', atomic: false, entries: [entry('1'), entry('1'), entry('2')] });
  await done({ type: 'PostEntries', atomic: true, entries: [entry('3'), entry('4')] });
  await done({ type: 'DefineFiscalYear', label: 'FY-far', from: await lastDay(1), to: await lastDay(200) });
  const refused = await ledger.execute(bookId, { type: 'PostEntry', ...entry('1'), lines: entry('1').lines.slice(0, 1) }, context());
  expect(refused.status).toBe(422);
  await folded();
}

/** The first day after the calendar of the book, and so many days on. */
async function lastDay(days: number): Promise<string> {
  const { rows } = await admin.query<{ day: string }>(
    "SELECT (max(data ->> 'to')::date + $2::int)::text AS day FROM log.events WHERE book_id = $1 AND event_type = 'FiscalYearDefined'",
    [bookId, days],
  );
  return rows[0]?.day ?? '';
}

async function folded(): Promise<void> {
  while ((await projector.fold(bookId)) !== 'done');
}

describe('what the ledger wrote', () => {
  it('is found to be right, all of it', async () => {
    const verification = await verify();
    expect(said(verification)).toEqual([]);
    expect(verification.clean).toBe(true);
    const book = verification.books.find((known) => known.bookId === bookId);
    const { rows } = await admin.query('SELECT count(*) FROM log.events WHERE book_id = $1', [bookId]);
    expect(book?.events).toBe(rows[0].count);
    expect(book?.rows).toBeGreaterThan(book?.events ?? 0);
  });
});
