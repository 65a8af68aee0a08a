/**
 * Queries as the REST contract reads them: shapes, lists and cursors, statements, the audit trail, refusals, waiting for the
 * fold, and the plans behind them. Lists are held against filters over a plain list of the events of a random history.
 *
 * QUERIES_SEED chooses the history; it stands in the title.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, Pool } from 'pg';
import { addDays, fromMinor, type JournalEntryPosted } from '#domain';
import { EventStore, leafHashOf, type RecordedEvent } from '#event-store';
import { type Command, catalogue, type EntryAnswer, type EntryFilters, type KnownAt, Projector, Queries, Reports } from '#ledger';
import { connect, openPool } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';
import { HistoryBuilder, NaiveBook, type NaiveLine, random } from '../support/histories';
import { ReferenceLedger } from '../support/reference-ledger';
import { askStatement } from '../support/statements';

const seed = Number(process.env.QUERIES_SEED ?? Date.now() % 1_000_000);
const user = '01930000-0000-7000-8000-00000000abcd';

let database: TestDatabase;
let admin: Client;
let pool: Pool;
let store: EventStore;
let queries: Queries;
let reports: Reports;
let projector: Projector;

beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
  pool = openPool(database.appUrl, { max: 6 });
  store = new EventStore(pool, catalogue);
  queries = new Queries(store, pool, { readWaitMs: 10_000 });
  reports = new Reports(store, queries);
  projector = new Projector(store, pool, { sweepMs: 10 });
  projector.start();
});
afterAll(async () => {
  await projector.stop();
  await pool.end();
  await admin.end();
  await database.drop();
});

/** A ledger whose clock stands at noon of 2025-06-30 and moves a microsecond per command. */
async function ledgerOf(): Promise<{
  run: (bookId: string, command: Command) => Promise<Record<string, unknown>>;
  close: () => Promise<void>;
}> {
  let micros = Date.parse('2025-06-30T12:00:00Z') * 1_000;
  let serial = 0;
  const ledger = await ReferenceLedger.open(database.adminUrl, { now: () => micros });
  return {
    async run(bookId, command) {
      micros += 1;
      const key = `${bookId}-${++serial}`;
      const answer = await ledger.execute(bookId, command, { key, userId: user, source: 'CLI' });
      const body = JSON.parse(answer.body) as Record<string, unknown>;
      if (answer.status >= 400) throw new Error(`${command.type}: ${answer.body}`);
      return body;
    },
    close: () => ledger.close(),
  };
}

const post = (
  effectiveDate: string,
  description: string,
  debit: string,
  credit: string,
  amount: string,
  more: Partial<Command> = {},
): Command =>
  ({
    type: 'PostEntry',
    effectiveDate,
    description,
    lines: [
      { account: debit, side: 'debit', amount, currency: 'EUR' },
      { account: credit, side: 'credit', amount, currency: 'EUR' },
    ],
    ...more,
  }) as Command;

describe('a book by hand', () => {
  const bookId = 'hand';
  let cash: Record<string, unknown>;
  let first: Record<string, unknown>;
  let reversal: Record<string, unknown>;
  let beforeRecode: number;

  beforeAll(async () => {
    const { run, close } = await ledgerOf();
    await run(bookId, {
      type: 'OpenBook',
      id: bookId,
      name: 'By hand',
      baseCurrency: 'EUR',
      fiscalYearStart: '01-01',
      timeZone: 'Europe/Berlin',
      metadata: { purpose: 'test' },
    });
    await run(bookId, { type: 'DefineJournal', journalCode: 'CASH', name: 'Cash book', journalType: 'cash' });
    await run(bookId, { type: 'EnableCurrency', code: 'GOLD', scale: 4 });
    await run(bookId, { type: 'OpenAccount', code: '1', name: 'Assets', accountType: 'asset', postable: false });
    cash = await run(bookId, {
      type: 'OpenAccount',
      code: '10',
      name: 'Cash',
      accountType: 'asset',
      parent: '1',
      metadata: { iban: 'none' },
    });
    await run(bookId, {
      type: 'OpenAccount',
      code: '40',
      name: 'Sales',
      accountType: 'income',
      limits: [{ currency: 'EUR', max: '1000.00' }],
    });
    first = await run(
      bookId,
      post('2025-01-15', 'First sale', '10', '40', '12.50', { journalCode: 'CASH', reference: 'INV-1' } as Partial<Command>),
    );
    await run(bookId, post('2025-01-10', 'Back-dated', '10', '40', '7.5'));
    beforeRecode = (await store.head(bookId)).position;
    await run(bookId, { type: 'ChangeAccountCode', account: '10', code: '1010' });
    await run(bookId, { type: 'ChangeAccountCode', account: '1', code: '1000' });
    reversal = await run(bookId, { type: 'ReverseEntry', entryId: first.id as string, reason: 'returned', effectiveDate: '2025-02-01' });
    await close();
  });

  it('book, currencies, journals, fiscal years', async () => {
    const { position } = await store.head(bookId);
    expect(JSON.parse(JSON.stringify(await queries.book(bookId)))).toEqual({
      id: bookId,
      name: 'By hand',
      baseCurrency: 'EUR',
      fx: 'untracked',
      rounding: 'half_even',
      timeZone: 'Europe/Berlin',
      fiscalYearStart: '01-01',
      metadata: { purpose: 'test' },
      fiscalYears: [{ label: '2025', from: '2025-01-01', to: '2025-12-31', periods: expect.any(Array) }],
      position,
    });
    expect(await queries.currencies(bookId)).toEqual({
      position,
      currencies: [
        { code: 'EUR', scale: 2 },
        { code: 'GOLD', scale: 4 },
      ],
    });
    expect(await queries.journals(bookId)).toEqual({
      position,
      journals: [
        { journalCode: 'CASH', name: 'Cash book', type: 'cash' },
        { journalCode: 'GENERAL', name: 'General journal', type: 'general' },
      ],
    });
    const { fiscalYears } = await queries.fiscalYears(bookId);
    expect(fiscalYears[0]?.periods[1]).toEqual({ no: 2, from: '2025-02-01', to: '2025-02-28', kind: 'normal', status: 'open' });
  });

  it('the chart of accounts, as it is and as it was', async () => {
    const { position } = await store.head(bookId);
    const account = {
      id: cash.id,
      code: '1010',
      name: 'Cash',
      type: 'asset',
      normalSide: 'debit',
      postable: true,
      status: 'open',
      parent: '1000',
      metadata: { iban: 'none' },
    };
    expect(await queries.account(bookId, '1010')).toEqual({ ...account, position });
    // The old code leads to the same account for ever, and the new one to the account before it had it.
    expect(await queries.account(bookId, '10')).toEqual({ ...account, position });
    const then = { ...account, code: '10', parent: '1', knownAt: beforeRecode, position: beforeRecode };
    expect(await queries.account(bookId, '1010', { knownAt: beforeRecode })).toEqual(then);
    const { accounts } = await queries.accounts(bookId);
    expect(accounts.map(({ code, parent }) => [code, parent])).toEqual([
      ['1000', undefined],
      ['1010', '1000'],
      ['40', undefined],
    ]);
    expect(accounts[2]?.limits).toEqual([{ currency: 'EUR', max: '1000.00' }]);
    expect((await queries.accounts(bookId, { knownAt: beforeRecode })).accounts.map(({ code }) => code)).toEqual(['1', '10', '40']);
    expect((await queries.accounts(bookId, { knownAt: 0 })).accounts).toEqual([]);
  });

  it('balance and balances, with asOf and knownAt only when they were asked for', async () => {
    const { position } = await store.head(bookId);
    expect(await queries.balance(bookId, '1010')).toEqual({
      account: '1010',
      position,
      balances: [{ currency: 'EUR', debit: '20.00', credit: '12.50', net: '7.50', balance: '7.50' }],
    });
    expect(JSON.stringify(await queries.balance(bookId, '40'))).toBe(
      `{"account":"40","position":${position},"balances":[{"currency":"EUR","debit":"12.50","credit":"20.00","net":"-7.50","balance":"7.50"}]}`,
    );
    expect(await queries.balance(bookId, '10', { asOf: '2025-01-31', knownAt: String(beforeRecode) })).toEqual({
      account: '10',
      asOf: '2025-01-31',
      knownAt: String(beforeRecode),
      position: beforeRecode,
      balances: [{ currency: 'EUR', debit: '20.00', credit: '0.00', net: '20.00', balance: '20.00' }],
    });
    expect(await queries.balances(bookId, { asOf: '2025-01-10' })).toEqual({
      asOf: '2025-01-10',
      position,
      balances: [
        { account: '1010', currency: 'EUR', debit: '7.50', credit: '0.00', net: '7.50', balance: '7.50' },
        { account: '40', currency: 'EUR', debit: '0.00', credit: '7.50', net: '-7.50', balance: '7.50' },
      ],
    });
  });

  it('a statement', async () => {
    const { position } = await store.head(bookId);
    const zero = { currency: 'EUR', debit: '0.00', credit: '0.00', net: '0.00', balance: '0.00' };
    const answer = await askStatement(reports, bookId, '10', { from: '2025-01-11', to: '2025-02-28' });
    const links = (id: string) => ({
      entry: `/v1/books/${bookId}/journal-entries/${id}?knownAt=${position}`,
      events: `/v1/books/${bookId}/streams/Journal/${id}`,
    });
    expect(answer).toEqual({
      account: '1010',
      from: '2025-01-11',
      to: '2025-02-28',
      carry: 'fiscalYear',
      closingEntries: 'include',
      reportVersion: 1,
      position,
      opening: [{ ...zero, debit: '7.50', net: '7.50', balance: '7.50' }],
      lines: [
        {
          date: '2025-01-15',
          position: first.position,
          entryId: first.id,
          line: 1,
          journalCode: 'CASH',
          fiscalYear: '2025',
          number: 1,
          description: 'First sale',
          reference: 'INV-1',
          side: 'debit',
          amount: '12.50',
          currency: 'EUR',
          runningBalance: '20.00',
          ...links(first.id as string),
        },
        {
          date: '2025-02-01',
          position: reversal.position,
          entryId: reversal.id,
          line: 1,
          journalCode: 'CASH',
          fiscalYear: '2025',
          number: 2,
          description: 'Reversal of CASH/2025/1: First sale',
          reference: 'INV-1',
          side: 'credit',
          amount: '12.50',
          currency: 'EUR',
          runningBalance: '7.50',
          ...links(reversal.id as string),
        },
      ],
      closing: [{ currency: 'EUR', debit: '20.00', credit: '12.50', net: '7.50', balance: '7.50' }],
    });
    expect(await askStatement(reports, bookId, '40', { to: '2025-01-01' })).toMatchObject({
      from: '1900-01-01',
      opening: [],
      lines: [],
      closing: [],
    });
    expect((await askStatement(reports, bookId, '40')).opening).toEqual([zero]);
  });

  it('an entry: current from its stream, and as it was known', async () => {
    const entry = await queries.entry(bookId, first.id as string);
    expect(JSON.parse(JSON.stringify(entry))).toEqual({
      id: first.id,
      position: first.position,
      recordedAt: first.recordedAt,
      userId: user,
      journalCode: 'CASH',
      fiscalYear: '2025',
      period: 1,
      number: 1,
      entryType: 'normal',
      entryMethod: 'interface',
      effectiveDate: '2025-01-15',
      description: 'First sale',
      reference: 'INV-1',
      lines: [
        { line: 1, accountId: cash.id, account: '1010', code: '10', side: 'debit', amount: '12.50', currency: 'EUR' },
        { line: 2, accountId: expect.any(String), account: '40', code: '40', side: 'credit', amount: '12.50', currency: 'EUR' },
      ],
      reversedBy: reversal.id,
    });
    const then = await queries.entry(bookId, (first.id as string).toUpperCase(), { knownAt: beforeRecode });
    expect(then.reversedBy).toBeUndefined();
    expect(then.lines[0]?.account).toBe('10');
    await expect(queries.entry(bookId, reversal.id as string, { knownAt: beforeRecode })).rejects.toMatchObject({ code: 'entry_unknown' });
  });

  it('the events of a book and of an aggregate, as envelopes whose hash can be computed again', async () => {
    const { position } = await store.head(bookId);
    const seen: unknown[] = [];
    for (let after = 0; ; ) {
      const page = await queries.events(bookId, { after, limit: 7 });
      expect(page.position).toBe(position);
      if (page.events.length === 0) break;
      seen.push(...page.events);
      after = page.events.at(-1)?.position as number;
    }
    const stored = await store.readAll(bookId, 0, 1_000);
    expect(seen).toHaveLength(position);
    for (const [index, event] of stored.entries()) {
      expect(seen[index]).toMatchObject({ position: index + 1, leafHash: leafHashOf(catalogue, event as RecordedEvent).toString('hex') });
      expect(Object.keys(seen[index] as object)).not.toContain('current');
    }
    const stream = await queries.stream(bookId, 'Journal', first.id as string);
    expect(stream.events.map(({ eventType, version, userId }) => [eventType, version, userId])).toEqual([
      ['JournalEntryPosted', 1, user],
      ['JournalEntryReversed', 2, user],
    ]);
    expect((await queries.stream(bookId, 'Journal', first.id as string, { after: 1 })).events).toHaveLength(1);
  });

  it('the list of books', async () => {
    const { run, close } = await ledgerOf();
    for (const id of ['list-a', 'list-b', 'list-c'])
      await run(id, { type: 'OpenBook', id, name: id, baseCurrency: 'USD', fiscalYearStart: '07-01' });
    await close();
    await store.registerBook('list-bb', 1);
    const ids: string[] = [];
    for (let cursor: string | undefined; ; ) {
      const page = await queries.books({ limit: 2, cursor });
      ids.push(...page.books.map(({ id }) => id));
      cursor = page.nextCursor;
      if (cursor === undefined) break;
    }
    expect(ids).toEqual(expect.arrayContaining(['hand', 'list-a', 'list-b', 'list-c']));
    expect(ids).not.toContain('list-bb');
    expect(ids.some((id) => id.includes('~'))).toBe(false);
    expect(ids).toEqual([...ids].sort());
  });

  it('refuses what it cannot answer, with the code of the contract', async () => {
    const { position } = await store.head(bookId);
    const entryId = first.id as string;
    const later = new Date(Date.now() + 60_000).toISOString();
    const refused: readonly (readonly [() => Promise<unknown>, string, string, string?])[] = [
      [() => queries.book('nowhere'), 'book_unknown', 'not_found'],
      [() => queries.book('~system'), 'book_unknown', 'not_found'],
      [() => queries.balance('~system', '10'), 'book_unknown', 'not_found'],
      [() => queries.balance('nowhere', '10'), 'book_unknown', 'not_found'],
      [() => queries.balance('nowhere', '10', { asOf: '2025-01-01' }), 'book_unknown', 'not_found'],
      [() => queries.balances('nowhere'), 'book_unknown', 'not_found'],
      [() => queries.entries('No Book'), 'book_unknown', 'not_found'],
      [() => queries.stream('nowhere', 'Journal', entryId), 'book_unknown', 'not_found'],
      [() => queries.balance(bookId, '99'), 'account_unknown', 'not_found'],
      [() => queries.balance(bookId, '99', { asOf: '2025-01-01' }), 'account_unknown', 'not_found'],
      [() => queries.balance(bookId, '10', { knownAt: 1 }), 'account_unknown', 'not_found', 'as known at position 1'],
      [() => queries.account(bookId, '99'), 'account_unknown', 'not_found'],
      [() => queries.account(bookId, '10', { knownAt: 0 }), 'account_unknown', 'not_found'],
      [() => askStatement(reports, bookId, '99'), 'account_unknown', 'not_found'],
      [() => queries.entries(bookId, { account: '99' }), 'account_unknown', 'rejected'],
      [() => queries.entry(bookId, 'no-uuid'), 'entry_unknown', 'not_found'],
      [() => queries.entry(bookId, '01930000-0000-7000-8000-000000000000'), 'entry_unknown', 'not_found'],
      [() => queries.entry(bookId, cash.id as string), 'entry_unknown', 'not_found'],
      [() => queries.stream(bookId, 'Account', entryId), 'stream_unknown', 'not_found'],
      [() => queries.stream(bookId, 'Journal', 'no-uuid'), 'stream_unknown', 'not_found'],
      [() => queries.stream(bookId, 'Journal', '01930000-0000-7000-8000-000000000000'), 'stream_unknown', 'not_found'],
      [() => queries.balance(bookId, '10', { asOf: '2025-02-29' }), 'date_invalid', 'invalid', 'asOf "2025-02-29"'],
      [() => queries.balances(bookId, { asOf: '1899-12-31' }), 'date_invalid', 'invalid'],
      [() => askStatement(reports, bookId, '10', { from: '2025-02-01', to: '2025-01-31' }), 'date_invalid', 'invalid', 'lies before'],
      [() => queries.entries(bookId, { from: 'today' }), 'date_invalid', 'invalid'],
      [() => queries.balance(bookId, '10', { knownAt: position + 1 }), 'date_invalid', 'invalid', `last position is ${position}`],
      [() => queries.balances(bookId, { knownAt: String(position + 1) }), 'date_invalid', 'invalid', `last position is ${position}`],
      [() => queries.balance(bookId, '10', { knownAt: later }), 'date_invalid', 'invalid', 'future'],
      [() => queries.balance(bookId, '10', { knownAt: 'yesterday' }), 'date_invalid', 'invalid', 'RFC 3339'],
      [() => queries.balance(bookId, '10', { knownAt: '2025-01-01' }), 'date_invalid', 'invalid'],
      [() => queries.balance(bookId, '10', { knownAt: '2025-02-30T00:00:00Z' }), 'date_invalid', 'invalid'],
      [() => queries.balance(bookId, '10', { knownAt: -1 }), 'malformed', 'invalid', 'below 0'],
      [() => queries.balance(bookId, '10', { knownAt: 1.5 }), 'date_invalid', 'invalid'],
      [() => queries.entries(bookId, { limit: 0 }), 'malformed', 'invalid', '1 to 1000'],
      [() => queries.entries(bookId, { limit: 1_001 }), 'malformed', 'invalid'],
      [() => queries.entries(bookId, { sort: 'amount' as never }), 'malformed', 'invalid', 'effectiveDate'],
      [() => queries.entries(bookId, { number: 1 }), 'malformed', 'invalid', 'fiscalYear'],
      [() => queries.entries(bookId, { number: 0, fiscalYear: '2025' }), 'malformed', 'invalid'],
      [() => queries.events(bookId, { after: -1 }), 'malformed', 'invalid'],
      [() => queries.accounts(bookId, { cursor: 'x' }), 'malformed', 'invalid'],
    ];
    for (const [asked, code, kind, message = ''] of refused) {
      await expect(asked()).rejects.toMatchObject({ name: 'LedgerError', code, kind, message: expect.stringContaining(message) });
    }
  });
});

describe(`a random book (QUERIES_SEED=${seed})`, () => {
  const bookId = 'random';
  const chance = random(seed);
  let builder: HistoryBuilder;
  let ledger: ReferenceLedger;
  let naive: NaiveBook;
  let posted: { position: number; id: string; data: JournalEntryPosted }[];

  beforeAll(async () => {
    const clock: { now: () => number } = { now: () => 0 };
    ledger = await ReferenceLedger.open(database.adminUrl, { now: () => clock.now() });
    builder = new HistoryBuilder(ledger, bookId, random(seed));
    clock.now = builder.now;
    await builder.open();
    for (let batch = 0; batch < 25; batch++) await builder.batch();
    await look();
  });
  afterAll(() => ledger.close());

  async function look(): Promise<void> {
    naive = await NaiveBook.read(admin, bookId);
    const { rows } = await admin.query<{ position: number; id: string; data: JournalEntryPosted }>(
      `SELECT position, stream_id AS id, data FROM log.events WHERE book_id = $1 AND event_type = 'JournalEntryPosted' ORDER BY position`,
      [bookId],
    );
    posted = rows;
  }

  /** Every page of a list, each limit drawn anew. */
  async function pages<T>(
    ask: (page: { cursor?: string; limit: number }) => Promise<{ rows: readonly T[]; nextCursor?: string; position: number }>,
  ) {
    const rows: T[] = [];
    const positions = new Set<number>();
    for (let cursor: string | undefined; ; ) {
      const limit = 1 + chance.below(9);
      const page = await ask({ cursor, limit });
      expect(page.rows.length).toBeLessThanOrEqual(limit);
      rows.push(...page.rows);
      positions.add(page.position);
      cursor = page.nextCursor;
      if (cursor === undefined) break;
    }
    expect(positions.size).toBe(1);
    return rows;
  }

  it('statements: any account, range, position, currency and page size', async () => {
    const dates = naive.dates();
    const order = (a: NaiveLine, b: NaiveLine): number =>
      a.date < b.date ? -1 : a.date > b.date ? 1 : a.position - b.position || a.line - b.line;
    for (let round = 0; round < 40; round++) {
      const account = chance.pick(naive.accounts);
      const code = naive.codeAt(account, naive.head) as string;
      const [from, to] = [chance.pick(dates), addDays(chance.pick(dates), chance.below(3) - 1)].sort() as [string, string];
      const position = chance.pick([naive.head, chance.below(naive.head + 1)]);
      if (naive.codeAt(account, position) === undefined) continue;
      const currency = chance.pick([undefined, undefined, 'EUR', 'JPY']);
      const question = { from, to, knownAt: position, currency, carry: 'none' as const };
      const where = { seed, code, ...question };
      const wanted = naive.lines.filter(
        (line) => line.accountId === account.id && line.position <= position && (currency === undefined || line.currency === currency),
      );
      const inside = wanted.filter(({ date }) => date >= from && date <= to).sort(order);
      const sign = account.normalSide === 'debit' ? 1n : -1n;
      const balances = new Map<string, bigint>();
      const add = ({ currency: unit, side, minor }: NaiveLine): bigint => {
        const sum = (balances.get(unit) ?? 0n) + (side === 'debit' ? minor : -minor) * sign;
        balances.set(unit, sum);
        return sum;
      };
      for (const line of wanted) if (line.date < from) add(line);
      const opening = new Map(balances);
      const lines = inside.map((line) => {
        const scale = line.amount.split('.')[1]?.length ?? 0;
        const { date, position: at, entryId, line: number, side, amount, currency: unit } = line;
        return { date, position: at, entryId, line: number, side, amount, currency: unit, runningBalance: fromMinor(add(line), scale) };
      });
      const whole = await askStatement(reports, bookId, code, { ...question, limit: 1_000 });
      const shown = whole.lines.map(({ date, position: at, entryId, line, side, amount, currency: unit, runningBalance }) => {
        return { date, position: at, entryId, line, side, amount, currency: unit, runningBalance };
      });
      expect({ where, lines: shown }).toEqual({ where, lines });
      const digits = (rows: readonly { currency: string; balance: string }[]) =>
        rows.map((row) => [row.currency, BigInt(row.balance.replace('.', ''))]);
      const closing = [...balances].sort();
      expect({ where, closing: digits(whole.closing) }).toEqual({ where, closing });
      expect({ where, opening: digits(whole.opening) }).toEqual({
        where,
        opening: closing.map(([unit]) => [unit, opening.get(unit) ?? 0n]),
      });
      for (const line of whole.lines) {
        const entry = posted.find(({ id }) => id === line.entryId)?.data as JournalEntryPosted;
        expect(line).toMatchObject({
          journalCode: entry.journalCode,
          fiscalYear: entry.fiscalYear,
          number: entry.number,
          description: entry.description,
        });
      }
      const paged = await pages(async (page) => {
        const answer = await askStatement(reports, bookId, code, { ...question, ...page });
        expect([answer.opening, answer.closing]).toEqual([whole.opening, whole.closing]);
        return { rows: answer.lines, nextCursor: answer.nextCursor, position: answer.position };
      });
      expect({ where, paged }).toEqual({ where, paged: whole.lines });
    }
  });

  function found(
    { from, to, account, journalCode, entryType, reference, number, fiscalYear, sort }: EntryFilters,
    position: number,
  ): string[] {
    const accountId = naive.accounts.find(({ codes }) => codes.some(({ code }) => code === account))?.id;
    const entries = posted.filter(
      ({ position: at, data }) =>
        at <= position &&
        (from === undefined || data.effectiveDate >= from) &&
        (to === undefined || data.effectiveDate <= to) &&
        (account === undefined || data.lines.some((line) => line.accountId === accountId)) &&
        (journalCode === undefined || data.journalCode === journalCode) &&
        (entryType === undefined || data.entryType === entryType) &&
        (reference === undefined || data.reference === reference) &&
        (number === undefined || data.number === number) &&
        (fiscalYear === undefined || data.fiscalYear === fiscalYear),
    );
    if (sort === 'effectiveDate') {
      entries.sort((a, b) =>
        a.data.effectiveDate < b.data.effectiveDate ? -1 : a.data.effectiveDate > b.data.effectiveDate ? 1 : a.position - b.position,
      );
    }
    return entries.map(({ id }) => id);
  }

  const list = (filters: EntryFilters) =>
    pages(async (page) => {
      const { entries, nextCursor, position } = await queries.entries(bookId, { ...filters, ...page });
      return { rows: entries.map(({ id }) => id), nextCursor, position };
    });

  it('entries: any filters, order, position and page size, for quiet and busy accounts', async () => {
    const dates = naive.dates();
    const some = <T>(values: readonly T[]): T | undefined => (chance.below(3) === 0 ? chance.pick(values) : undefined);
    for (let round = 0; round < 60; round++) {
      const fiscalYear = some(['2023', '2024', '2025']);
      const filters: EntryFilters = {
        from: some(dates),
        account: some(naive.accounts.flatMap(({ codes }) => codes.map(({ code }) => code))),
        journalCode: some(['GENERAL', 'GENERAL', 'CASH']),
        entryType: some(['normal', 'normal', 'reversal']),
        reference: some(['R0', 'R1', 'R9']),
        fiscalYear,
        number: fiscalYear === undefined ? undefined : some([1, 2, 3, 9_999]),
        sort: chance.pick([undefined, 'position', 'effectiveDate'] as const),
        knownAt: some([chance.below(naive.head + 1)]),
      };
      const to = some(dates);
      const question = to === undefined || (filters.from ?? '') <= to ? { ...filters, to } : filters;
      const position = (question.knownAt as number | undefined) ?? naive.head;
      // Without its head row an account counts as busy: entries are walked instead of the account's lines.
      if (round === 30) await admin.query('DELETE FROM log.heads WHERE book_id = $1', [bookId]);
      expect({ seed, question, ids: await list(question) }).toEqual({ seed, question, ids: found(question, position) });
    }
  });

  it('a list of entries is one snapshot, whatever is posted, reversed or recoded between its pages', async () => {
    const before = await queries.entries(bookId, { limit: 1_000 });
    const first = await queries.entries(bookId, { limit: 3, sort: 'effectiveDate' });
    for (let batch = 0; batch < 12; batch++) await builder.batch();
    await look();
    expect(naive.head).toBeGreaterThan(first.position);
    const rest: EntryAnswer[] = [];
    for (let cursor = first.nextCursor; cursor !== undefined; ) {
      const page = await queries.entries(bookId, { limit: 50, sort: 'effectiveDate', cursor });
      expect(page.position).toBe(first.position);
      rest.push(...page.entries);
      cursor = page.nextCursor;
    }
    const byId = (a: EntryAnswer, b: EntryAnswer): number => (a.id < b.id ? -1 : 1);
    expect([...first.entries, ...rest].sort(byId)).toEqual([...before.entries].sort(byId));
    const now = await queries.entries(bookId, { limit: 1_000 });
    expect(now.entries.length).toBeGreaterThan(before.entries.length);
    for (const entry of now.entries.slice(-5)) expect(await queries.entry(bookId, entry.id)).toEqual(entry);
  });

  it('accounts and balances in pages are accounts and balances in one', async () => {
    for (const knownAt of [undefined, Math.floor(naive.head / 3), naive.head] as (KnownAt | undefined)[]) {
      const { accounts } = await queries.accounts(bookId, { knownAt });
      expect(
        await pages(async (page) => {
          const answer = await queries.accounts(bookId, { knownAt, ...page });
          return { ...answer, rows: answer.accounts };
        }),
      ).toEqual(accounts);
      const question = { knownAt, asOf: chance.pick([undefined, ...naive.dates()]), includeZero: chance.below(2) === 0 };
      const { balances } = await queries.balances(bookId, { ...question, limit: 1_000 });
      expect(
        await pages(async (page) => {
          const answer = await queries.balances(bookId, { ...question, ...page });
          return { ...answer, rows: answer.balances };
        }),
      ).toEqual(balances);
    }
  });

  it('refuses a cursor of other filters, of another list, of another book, and one that nobody gave', async () => {
    const { nextCursor: cursor } = await queries.entries(bookId, { limit: 1, reference: 'R1' });
    const refusal = { code: 'malformed', details: { member: 'cursor' } };
    await expect(queries.entries(bookId, { cursor, reference: 'R1' })).resolves.toMatchObject({ entries: expect.any(Array) });
    await expect(queries.entries(bookId, { cursor, reference: 'R2' })).rejects.toMatchObject(refusal);
    await expect(queries.entries(bookId, { cursor })).rejects.toMatchObject(refusal);
    await expect(queries.entries(bookId, { cursor, reference: 'R1', sort: 'effectiveDate' })).rejects.toMatchObject(refusal);
    await expect(queries.entries('hand', { cursor, reference: 'R1' })).rejects.toMatchObject(refusal);
    await expect(queries.balances(bookId, { cursor })).rejects.toMatchObject(refusal);
    const [version, filter, position] = JSON.parse(Buffer.from(cursor as string, 'base64url').toString()) as [number, string, number];
    const forge = (...parts: unknown[]): string => Buffer.from(JSON.stringify(parts)).toString('base64url');
    for (const forged of [
      '',
      'no cursor',
      forge(version + 1, filter, position, '2024-01-01', 1),
      forge(version, filter, naive.head + 1, '2024-01-01', 1),
      forge(version, filter, -1, '2024-01-01', 1),
      forge(version, filter, position, '2024-01-01'),
      forge(version, filter, position, '2024-01-01', '1'),
    ]) {
      await expect(queries.entries(bookId, { cursor: forged, reference: 'R1' })).rejects.toMatchObject(refusal);
    }
  });
});

describe('reading while the fold is behind', () => {
  it('waits for what was acknowledged, says projection_behind when it takes too long, and never holds up a balance', async () => {
    const bookId = 'behind';
    const { run, close } = await ledgerOf();
    await run(bookId, { type: 'OpenBook', id: bookId, name: 'Behind', baseCurrency: 'EUR', fiscalYearStart: '01-01' });
    await run(bookId, { type: 'OpenAccount', code: 'a', name: 'A', accountType: 'asset' });
    await run(bookId, { type: 'OpenAccount', code: 'b', name: 'B', accountType: 'equity' });
    await projector.caughtUp(bookId, (await store.head(bookId)).position);
    await projector.stop();
    const posted = await run(bookId, post('2025-06-30', 'Late', 'a', 'b', '1'));
    const { position } = await store.head(bookId);

    const impatient = new Queries(store, pool, { readWaitMs: 30 });
    const started = performance.now();
    await expect(impatient.entries(bookId)).rejects.toMatchObject({
      code: 'projection_behind',
      kind: 'unavailable',
      details: { lag: 4, retryAfter: 1 },
    });
    expect(performance.now() - started).toBeGreaterThanOrEqual(25);
    const one = [{ currency: 'EUR', debit: '1.00', credit: '0.00', net: '1.00', balance: '1.00' }];
    expect(await impatient.balance(bookId, 'a')).toEqual({ account: 'a', position, balances: one });
    expect(await impatient.balance(bookId, 'a', { asOf: '2025-12-31' })).toMatchObject({ position, balances: one });
    expect(await impatient.entry(bookId, posted.id as string)).toMatchObject({ number: 1 });
    // What was folded before can still be asked for.
    expect(await impatient.entries(bookId, { knownAt: position - 4 })).toMatchObject({ entries: [] });

    // One event behind is behind.
    await run(bookId, { type: 'RenameAccount', account: 'b', name: 'Beta' });
    await expect(impatient.accounts(bookId)).rejects.toMatchObject({ code: 'projection_behind' });

    const waiting = queries.entries(bookId);
    await sleep(50);
    projector.start();
    expect(await waiting).toMatchObject({ position: position + 1, entries: [{ id: posted.id }] });
    await close();
  });

  it('does with one connection, however many ask at once', async () => {
    const single = openPool(database.appUrl, { max: 1 });
    const narrowStore = new EventStore(single, catalogue);
    const narrow = new Queries(narrowStore, single, { readWaitMs: 10_000 });
    const asked = Array.from({ length: 6 }, () => [
      askStatement(new Reports(narrowStore, narrow), 'hand', '10'),
      narrow.balances('hand', { knownAt: 15 }),
      narrow.entries('hand', { account: '10' }),
      narrow.account('hand', '10', { knownAt: 15 }),
    ]).flat();
    for (const answer of await Promise.all(asked as Promise<unknown>[])) expect(answer).toBeDefined();
    await single.end();
  });
});

describe('plans made for any parameters, on tables that were never analysed', () => {
  interface Plan {
    'Node Type': string;
    'Relation Name'?: string;
    Schema?: string;
    Filter?: string;
    'Index Cond'?: string;
    'Rows Removed by Filter'?: number;
    Plans?: Plan[];
  }
  const nodes = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodes)];

  let fresh: TestDatabase;
  let recorded: Map<string, { text: string; values: unknown[] }>;
  let freshPool: Pool;

  /** Asks and folds everything once on a new database, and keeps each statement as it was sent. */
  beforeAll(async () => {
    fresh = await testDatabase();
    recorded = new Map();
    freshPool = openPool(fresh.appUrl, { max: 4 });
    const keep = (query: unknown, values?: unknown): void => {
      const { text, values: own } =
        typeof query === 'string' ? { text: query, values: values as unknown[] } : (query as { text: string; values: unknown[] });
      recorded.set(text, { text, values: own ?? [] });
    };
    const poolQuery = freshPool.query.bind(freshPool) as (...args: unknown[]) => unknown;
    const keeping =
      (query: (...args: unknown[]) => unknown) =>
      (...args: unknown[]): unknown => {
        keep(args[0], args[1]);
        return query(...args);
      };
    Object.assign(freshPool, { query: keeping(poolQuery) });
    freshPool.on('connect', (client) => {
      Object.assign(client, { query: keeping(client.query.bind(client) as (...args: unknown[]) => unknown) });
    });
    const own = new EventStore(freshPool, catalogue);
    const asking = new Queries(own, freshPool, { readWaitMs: 0 });
    const clock: { now: () => number } = { now: () => 0 };
    const ledger = await ReferenceLedger.open(fresh.adminUrl, { now: () => clock.now() });
    const builder = new HistoryBuilder(ledger, 'plans', random(7));
    clock.now = builder.now;
    await builder.open();
    for (let batch = 0; batch < 8; batch++) await builder.batch();
    await ledger.close();
    const folding = new Projector(own, freshPool);
    while ((await folding.fold('plans')) === 'more');
    const { position } = await own.head('plans');
    for (const knownAt of [undefined, position - 1]) {
      for (const asOf of [undefined, '2024-03-15']) {
        await asking.balance('plans', '2000', { asOf, knownAt }).catch(() => {});
        await asking.balances('plans', { asOf, knownAt });
      }
      await asking.accounts('plans', { knownAt });
      await askStatement(new Reports(own, asking), 'plans', '2000', { knownAt });
      for (const sort of ['position', 'effectiveDate'] as const) {
        const { entries, nextCursor } = await asking.entries('plans', { sort, knownAt, limit: 2 });
        await asking.entries('plans', { sort, knownAt, limit: 2, cursor: nextCursor });
        for (const filters of [
          { account: '2000' },
          { reference: 'R1' },
          { number: 1, fiscalYear: '2023' },
          { from: '2024-01-01', to: '2024-12-31' },
        ]) {
          await asking.entries('plans', { ...filters, sort, knownAt });
        }
        await asking.entry('plans', entries[0]?.id ?? '', { knownAt });
      }
    }
    await asking.events('plans');
  });
  afterAll(async () => {
    await freshPool.end();
    await fresh.drop();
  });

  it('no statement reads a table of events or rows from end to end', async () => {
    const client = await connect(fresh.adminUrl);
    const sequential: string[] = [];
    let planned = 0;
    for (const { text } of recorded.values()) {
      if (!/^\s*(SELECT|WITH|INSERT)/.test(text) || !text.includes('$')) continue;
      // The sweep looks at every book on purpose: its tables have a row per book.
      if (text.includes('AS behind')) continue;
      const parameters = new Set(text.match(/\$\d+/g)).size;
      await client.query(`PREPARE p AS ${text}`);
      const { rows } = await client.query<{ 'QUERY PLAN': { Plan: Plan }[] }>(
        `EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE p${parameters > 0 ? `(${Array(parameters).fill('NULL').join(', ')})` : ''}`,
      );
      await client.query('DEALLOCATE p');
      planned++;
      for (const node of nodes(rows[0]?.['QUERY PLAN'][0]?.Plan as Plan)) {
        if (node['Node Type'] === 'Seq Scan') sequential.push(`${node.Schema}.${node['Relation Name']}: ${text.slice(0, 200)}`);
      }
    }
    await client.end();
    expect(planned).toBeGreaterThan(25);
    expect(sequential).toEqual([]);
  });

  it('a balance touches a bounded number of rows however long the history is, and filters none of it away', async () => {
    const bookId = 'long';
    const client = await connect(fresh.adminUrl);
    const own = new EventStore(freshPool, catalogue);
    const ledger = await ReferenceLedger.open(fresh.adminUrl);
    let key = 0;
    const run = (command: Command) => ledger.execute(bookId, command, { key: `${bookId}-${++key}`, userId: user, source: 'job' });
    await run({ type: 'OpenBook', id: bookId, name: 'Long', baseCurrency: 'EUR', fiscalYearStart: '01-01' });
    await run({ type: 'OpenAccount', code: 'a', name: 'A', accountType: 'asset' });
    await run({ type: 'OpenAccount', code: 'b', name: 'B', accountType: 'equity' });
    const entries = (count: number) =>
      Array.from(
        { length: count },
        (_, index) => post(addDays('2023-01-01', (index * 37) % 700), `Entry ${index}`, 'a', 'b', '1') as Command & { type: 'PostEntry' },
      );
    const costs: number[] = [];
    for (const [folded, unfolded] of [
      [100, 5],
      [400, 5],
    ] as const) {
      for (let part = 0; part < folded / 50; part++) await run({ type: 'PostEntries', atomic: true, entries: entries(50) });
      const folding = new Projector(own, freshPool);
      while ((await folding.fold(bookId)) !== 'done');
      for (const entry of entries(unfolded)) await run(entry);
      const { position } = await own.head(bookId);
      for (const knownAt of [undefined, position - 200, position - 2]) {
        await new Queries(own, freshPool, { readWaitMs: 0 }).balance(bookId, 'a', { asOf: '2024-06-15', knownAt });
        const [text, { values }] = [...recorded].find(([candidate]) => candidate.includes('unfolded')) as [string, { values: unknown[] }];
        const { rows } = await client.query<{ 'QUERY PLAN': { Plan: Plan & { 'Actual Rows'?: number } }[] }>(
          `EXPLAIN (ANALYZE, FORMAT JSON) ${text}`,
          values,
        );
        let read = 0;
        for (const node of nodes(rows[0]?.['QUERY PLAN'][0]?.Plan as Plan) as (Plan & {
          'Actual Rows': number;
          'Actual Loops': number;
        })[]) {
          if (node['Relation Name'] === undefined || !['events', 'running_totals', 'batches'].includes(node['Relation Name'])) continue;
          expect(node['Node Type']).toMatch(/^Index (Only )?Scan/);
          expect(node['Rows Removed by Filter'] ?? 0).toBe(0);
          read += node['Actual Rows'] * node['Actual Loops'];
        }
        costs.push(read);
      }
    }
    await ledger.close();
    await client.end();
    // Years, months and days of one date, the tail's doubling steps, and the events behind the last cut: less than 128.
    for (const cost of costs) expect(cost).toBeLessThan(250);
  });
});
