/**
 * Journal-entry tests: for each test a book with entries that must be found and entries that just miss; a log that somebody has
 * tampered with; random books against the plainest reading of their log; pages and CSV against the whole.
 *
 * ENTRY_TESTS_SEED chooses the random books; each failure names its seed.
 */
import { parse } from 'csv-parse/sync';
import type { Client, Pool } from 'pg';
import { addDays, type CalendarDate, type EntryLine, type JournalEntryPosted, type LedgerError } from '#domain';
import { EventStore, instantMicros } from '#event-store';
import {
  type Command,
  type CommandContext,
  catalogue,
  type EntryTest,
  type EntryTestsAsked,
  entryTests,
  type JournalEntryTests,
  Projector,
  Queries,
  type ReportQuestion,
  Reports,
} from '#ledger';
import { connect, openPool } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';
import { random } from '../support/histories';
import { controllerContext } from '../support/periods';
import { ReferenceLedger } from '../support/reference-ledger';

const seed = Number(process.env.ENTRY_TESTS_SEED ?? Date.now() % 1_000_000);

let database: TestDatabase;
let admin: Client;
let pool: Pool;
let store: EventStore;
let reports: Reports;
let projector: Projector;

beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
  pool = openPool(database.appUrl, { max: 4 });
  store = new EventStore(pool, catalogue);
  reports = newReports();
  projector = new Projector(store, pool, { sweepMs: 10 });
  projector.start();
});
afterAll(async () => {
  await projector.stop();
  await pool.end();
  await admin.end();
  await database.drop();
});

/** One that has not answered anything yet. */
const newReports = (): Reports => new Reports(store, new Queries(store, pool, { readWaitMs: 30_000 }));

const year = { from: '2026-01-01', to: '2026-12-31' } as const;

async function ask(bookId: string, tests: EntryTestsAsked, question: ReportQuestion = {}, by = reports): Promise<JournalEntryTests> {
  const { body } = await by.answer('journal-entry-tests', bookId, { ...year, limit: 1_000, ...question, entryTests: tests }, 'json');
  return JSON.parse(body as string) as JournalEntryTests;
}

async function csv(bookId: string, tests: EntryTestsAsked, question: ReportQuestion = {}, by = reports): Promise<Record<string, string>[]> {
  const { body } = await by.answer('journal-entry-tests', bookId, { ...year, ...question, entryTests: tests }, 'csv');
  let text = '';
  for await (const piece of body as AsyncIterable<string>) text += piece;
  return parse(text, { columns: true }) as Record<string, string>[];
}

/** Cells that are not empty in rows of one kind, without what every row says. */
const filledOf = (rows: readonly Record<string, string>[], kind: string): Record<string, string>[] =>
  rows.flatMap(({ row, position: _position, reportVersion: _version, ...others }) => (row === kind ? [cells(others)] : []));

/** What has a value, as a cell says it. */
const cells = (values: Readonly<Record<string, unknown>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) => (value === undefined || value === '' ? [] : [[name, String(value)]])),
  );

/** The hits of an entry as rows of CSV: whatever JSON says of them, whoever adds to it. */
const hitCells = ({ id, position, document, hits, ...entry }: JournalEntryTests['entries'][number]): Record<string, string>[] =>
  hits.map(({ others = [], ...hit }) =>
    cells({
      ...{ entryId: id, entryPosition: position, ...entry, ...hit },
      ...{ documentType: document?.type, documentNumber: document?.number, documentDate: document?.date },
      otherEntryIds: others.map(({ entryId }) => entryId).join(' '),
      otherEntryNumbers: others.map(({ number }) => number).join(' '),
      otherDates: others.map(({ date }) => date).join(' '),
      otherEntries: others.map(({ entry: link }) => link).join(' '),
    }),
  );

/** `description: reason, figure` of every hit of one test, and that the summary counts them. */
async function hitsOf(bookId: string, test: EntryTest, parameters: EntryTestsAsked = {}, question: ReportQuestion = {}): Promise<string[]> {
  const { entries, tests } = await ask(bookId, { ...parameters, tests: test }, question);
  const hits = entries.flatMap(({ description, hits: own }) => own.map(({ reason, figure }) => `${description}: ${reason}, ${figure}`));
  expect(tests).toEqual([expect.objectContaining({ test, hits: hits.length })]);
  return hits;
}

const resultOf = async (bookId: string, test: EntryTest, parameters: EntryTestsAsked = {}, question: ReportQuestion = {}) =>
  (await ask(bookId, { ...parameters, tests: test }, question)).tests[0];

const line = (side: EntryLine['side'], account: string, amount: string, currency = 'EUR') => ({ account, side, amount, currency });
const transfer = (debit: string, credit: string, amount: string, currency = 'EUR') => [
  line('debit', debit, amount, currency),
  line('credit', credit, amount, currency),
];

/** A book whose clock the spec sets. */
class Book {
  private micros = instantMicros('2026-01-01T09:00:00Z') as number;
  private serial = 0;

  private constructor(
    private readonly ledger: ReferenceLedger,
    readonly id: string,
  ) {}

  static async open(id: string, accounts: readonly string[] = ['bank', 'sales', 'rent'], more: object = {}): Promise<Book> {
    const clock = { now: (): number => 0 };
    const book = new Book(await ReferenceLedger.open(database.adminUrl, { now: () => clock.now() }), id);
    clock.now = () => book.micros;
    const own = { name: id, baseCurrency: 'EUR', fiscalYearStart: '01-01', timeZone: 'Europe/Berlin' };
    await book.run({ type: 'OpenBook', id, ...own, ...more } as Command);
    for (const code of accounts) await book.run({ type: 'OpenAccount', code, name: code, accountType: 'asset' });
    return book;
  }

  close = (): Promise<void> => this.ledger.close();

  /** What is recorded from now on is recorded at this instant. */
  at(instant: string): this {
    this.micros = instantMicros(instant) as number;
    return this;
  }

  /** @returns id of the entry, where the command makes one */
  async run(command: Command, context: Partial<CommandContext> = {}): Promise<string> {
    const answer = await this.ledger.execute(this.id, command, {
      key: `${this.id}-${++this.serial}`,
      userId: 'ann',
      source: 'job',
      ...context,
    });
    if (answer.status >= 400) throw new Error(answer.body);
    return (JSON.parse(answer.body) as { id: string }).id;
  }

  post(description: string, effectiveDate: CalendarDate, lines: object[], more: object = {}, context: Partial<CommandContext> = {}) {
    return this.run({ type: 'PostEntry', description, effectiveDate, lines, ...more } as Command, context);
  }
}

/** Opens a book, fills it, and lets go of its connection. */
async function filled(id: string, fill: (book: Book) => Promise<void>, accounts?: readonly string[], more?: object): Promise<string> {
  const book = await Book.open(id, accounts, more);
  try {
    await fill(book);
  } finally {
    await book.close();
  }
  return id;
}

// --- Test by test: what must be found, and what just misses ---

describe('duplicates', () => {
  let id: string;
  beforeAll(async () => {
    id = await filled('duplicates', async (book) => {
      await book.post('A', '2026-03-02', transfer('bank', 'sales', '100'));
      await book.post('same as A, other account', '2026-03-02', transfer('rent', 'sales', '100'));
      await book.post('B, three days after A', '2026-03-05', transfer('bank', 'rent', '100.00'));
      await book.post('other amount', '2026-03-02', transfer('bank', 'rent', '100.01'));
      await book.post('other currency', '2026-03-02', transfer('bank', 'rent', '100', 'USD'));
      await book.post('other side', '2026-03-02', transfer('sales', 'bank', '100'));
      await book.post('twice in one entry', '2026-06-01', [...transfer('bank', 'rent', '7'), ...transfer('bank', 'rent', '7')]);
      const wrong = await book.post('taken back', '2026-09-01', transfer('bank', 'sales', '55'));
      await book.post('again, after it was taken back', '2026-09-01', transfer('bank', 'sales', '55'));
      await book.run({ type: 'ReverseEntry', entryId: wrong, reason: 'wrong', description: 'the reversal' });
      const mistyped = await book.post('mistyped', '2026-10-01', transfer('bank', 'sales', '66'));
      await book.run({
        ...{ type: 'CorrectEntry', entryId: mistyped, reason: 'text', description: 'corrected' },
        lines: transfer('bank', 'sales', '66'),
      } as Command);
    });
  });

  it('are lines with the same account, side, amount, currency and date in different entries', async () => {
    expect(await hitsOf(id, 'duplicates')).toEqual([
      'A: same-line, also GENERAL/2026/2 of 2026-03-02',
      'same as A, other account: same-line, also GENERAL/2026/1 of 2026-03-02',
    ]);
    const { entries } = await ask(id, { tests: 'duplicates' });
    expect(entries[0]?.hits).toEqual([
      {
        ...{ test: 'duplicates', reason: 'same-line', figure: 'also GENERAL/2026/2 of 2026-03-02' },
        ...{ line: 2, account: 'sales', credit: '100.00', currency: 'EUR' },
        others: [{ entryId: entries[1]?.id, number: 'GENERAL/2026/2', date: '2026-03-02', entry: entries[1]?.entry }],
      },
    ]);
  });

  it('may be some days apart', async () => {
    const two = await hitsOf(id, 'duplicates', { duplicateDays: 2 });
    expect(two).toEqual(await hitsOf(id, 'duplicates'));
    expect(await hitsOf(id, 'duplicates', { duplicateDays: 3 })).toEqual([
      'A: same-line, also GENERAL/2026/3 of 2026-03-05',
      'A: same-line, also GENERAL/2026/2 of 2026-03-02',
      'same as A, other account: same-line, also GENERAL/2026/1 of 2026-03-02',
      'B, three days after A: same-line, also GENERAL/2026/1 of 2026-03-02',
    ]);
  });

  it('are not what was taken back, unless that was not known yet', async () => {
    const { entries } = await ask(id, { tests: 'no-description', descriptionLength: 1_000 });
    const before = (entries.find(({ description }) => description === 'the reversal')?.position as number) - 1;
    expect(await hitsOf(id, 'duplicates', { duplicateMinimum: '55' }, { from: '2026-09-01', knownAt: before })).toEqual([
      'taken back: same-line, also GENERAL/2026/9 of 2026-09-01',
      'taken back: same-line, also GENERAL/2026/9 of 2026-09-01',
      'again, after it was taken back: same-line, also GENERAL/2026/8 of 2026-09-01',
      'again, after it was taken back: same-line, also GENERAL/2026/8 of 2026-09-01',
    ]);
  });

  it('count from an amount on', async () => {
    expect(await hitsOf(id, 'duplicates', { duplicateMinimum: '100' })).toHaveLength(2);
    expect(await hitsOf(id, 'duplicates', { duplicateMinimum: '100.001' })).toEqual([]);
    expect(await hitsOf(id, 'duplicates', {}, { currency: 'USD' })).toEqual([]);
  });
});

it('round amounts are whole, end in zeros enough, and reach the minimum', async () => {
  const id = await filled('round', async (book) => {
    await book.post('thousand', '2026-03-02', transfer('bank', 'sales', '1000'));
    await book.post('with cents', '2026-03-02', transfer('bank', 'sales', '1000.01'));
    await book.post('hundreds', '2026-03-02', transfer('bank', 'sales', '1900'));
    await book.post('million', '2026-03-02', transfer('bank', 'sales', '1000000'));
    await book.post('huge', '2026-03-02', transfer('bank', 'sales', '9007199254740993000'));
    await book.post('nearly', '2026-03-02', transfer('bank', 'sales', '9007199254740993001'));
  });
  const twice = (text: string): string[] => [text, text];
  expect(await hitsOf(id, 'round-amounts')).toEqual([
    ...twice('thousand: round, 3 zeros'),
    ...twice('million: round, 6 zeros'),
    ...twice('huge: round, 3 zeros'),
  ]);
  expect(await hitsOf(id, 'round-amounts', { roundZeros: 6 })).toEqual(twice('million: round, 6 zeros'));
  expect(await hitsOf(id, 'round-amounts', { roundZeros: 2, roundMinimum: '1900' })).toEqual([
    ...twice('hundreds: round, 2 zeros'),
    ...twice('million: round, 6 zeros'),
    ...twice('huge: round, 3 zeros'),
  ]);
  expect(await resultOf(id, 'round-amounts', { roundMinimum: '1000.01' })).toMatchObject({ of: 'lines', population: 10, hits: 4 });
});

it("weekends are told by the book's time zone for what was recorded, and by the effective date", async () => {
  const id = await filled('weekend', async (book) => {
    // In Berlin it is an hour later.
    await book.at('2026-03-13T22:59:59Z').post('Friday 23:59', '2026-03-13', transfer('bank', 'sales', '1'));
    await book.at('2026-03-13T23:00:00Z').post('Saturday 00:00', '2026-03-13', transfer('bank', 'sales', '2'));
    await book.at('2026-03-15T22:59:59Z').post('Sunday 23:59', '2026-03-16', transfer('bank', 'sales', '3'));
    await book.at('2026-03-15T23:00:00Z').post('Monday 00:00', '2026-03-16', transfer('bank', 'sales', '4'));
    await book.post('dated on Sunday', '2026-03-15', transfer('bank', 'sales', '5'));
  });
  expect(await hitsOf(id, 'weekend')).toEqual([
    'Saturday 00:00: recorded, Saturday 2026-03-14',
    'dated on Sunday: effective-date, Sunday 2026-03-15',
    'Sunday 23:59: recorded, Sunday 2026-03-15',
  ]);
  expect(await hitsOf(id, 'weekend', { weekendDays: '5' })).toEqual([
    'Friday 23:59: recorded, Friday 2026-03-13',
    'Friday 23:59: effective-date, Friday 2026-03-13',
    'Saturday 00:00: effective-date, Friday 2026-03-13',
  ]);
});

it('nights begin with their first minute and end before the second time of day', async () => {
  const id = await filled('night', async (book) => {
    const times = ['2026-03-16T04:59:59Z', '2026-03-16T05:00:00Z', '2026-03-16T18:59:59Z', '2026-03-16T19:00:00Z', '2026-03-16T23:30:00Z'];
    // Summer time begins on 2026-03-29: the same hour in UTC is another one in Berlin.
    for (const time of [...times, '2026-03-30T04:00:00Z', '2026-03-30T18:00:00Z'])
      await book.at(time).post(time.slice(5, 16), '2026-03-16', transfer('bank', 'sales', '1'));
  });
  expect(await hitsOf(id, 'night')).toEqual([
    '03-16T04:59: recorded, 05:59 on 2026-03-16',
    '03-16T19:00: recorded, 20:00 on 2026-03-16',
    '03-16T23:30: recorded, 00:30 on 2026-03-17',
    '03-30T18:00: recorded, 20:00 on 2026-03-30',
  ]);
  expect(await hitsOf(id, 'night', { nightHours: '06:00-07:00' })).toEqual([
    '03-16T05:00: recorded, 06:00 on 2026-03-16',
    '03-30T04:00: recorded, 06:00 on 2026-03-30',
  ]);
});

describe('what is rare', () => {
  let id: string;
  beforeAll(async () => {
    id = await filled('rare', async (book) => {
      const as = (userId: string) => ({ userId });
      for (const n of [1, 2, 3, 4, 5, 6]) await book.post(`ann ${n}`, '2026-03-02', transfer('bank', 'sales', '1'), {}, as('ann'));
      for (const n of [1, 2, 3]) await book.post(`bob ${n}`, '2026-03-02', transfer('rent', 'bank', '1'), {}, as('bob'));
      await book.post('eve', '2026-03-02', transfer('rent', 'sales', '1'), {}, as('eve'));
      await book.post('eve, the year before', '2025-03-02', transfer('rent', 'sales', '1'), {}, as('eve'));
    });
  });

  it('users have fewer entries in the range than others, or a smaller share', async () => {
    expect(await hitsOf(id, 'rare-users', { rareUserEntries: 3 })).toEqual(['eve: user, 1 of 10 entries']);
    expect(await hitsOf(id, 'rare-users', { rareUserEntries: 4 })).toHaveLength(4);
    // Exactly 10 % is not below 10 %.
    expect(await hitsOf(id, 'rare-users', { rareUserEntries: 0, rareUserPercent: '10' })).toEqual([]);
    expect(await hitsOf(id, 'rare-users', { rareUserEntries: 0, rareUserPercent: '10.001' })).toEqual(['eve: user, 1 of 10 entries']);
    expect(await resultOf(id, 'rare-users')).toMatchObject({ of: 'entries', population: 10, hits: 10, distinct: 3, rare: 3 });
  });

  it('accounts have fewer lines in the range', async () => {
    expect(await hitsOf(id, 'rare-accounts', { rareAccountLines: 4 })).toEqual([]);
    expect(await hitsOf(id, 'rare-accounts', { rareAccountLines: 5 })).toEqual([
      'bob 1: account, 4 lines',
      'bob 2: account, 4 lines',
      'bob 3: account, 4 lines',
      'eve: account, 4 lines',
    ]);
    expect(await resultOf(id, 'rare-accounts')).toMatchObject({ of: 'lines', population: 20, hits: 4, distinct: 3, rare: 1 });
  });

  it('pairs of a debit and a credit account are in few entries together', async () => {
    expect(await hitsOf(id, 'rare-account-pairs')).toEqual(['eve: pair, 1 entry']);
    expect(await hitsOf(id, 'rare-account-pairs', { rarePairEntries: 3 })).toHaveLength(4);
    const { entries, tests } = await ask(id, { tests: 'rare-account-pairs' });
    expect(entries[0]?.hits[0]).toMatchObject({ debitAccount: 'rent', creditAccount: 'sales' });
    expect(tests[0]).toMatchObject({ of: 'pairs of accounts', population: 10, hits: 1, distinct: 3, rare: 1, entriesLeftOut: 0 });
  });

  it('an entry of very many accounts has no pairs', async () => {
    const accounts = Array.from({ length: 64 }, (_, n) => `a${n}`);
    const many = await filled(
      'many-pairs',
      async (book) => {
        // 31 × 32 = 992 pairs, and 32 × 32 = 1,024.
        const entryOf = (debits: number) => [
          ...Array.from({ length: debits }, (_, n) => line('debit', `a${n}`, n === 0 ? String(33 - debits) : '1')),
          ...Array.from({ length: 32 }, (_, n) => line('credit', `a${n + 32}`, '1')),
        ];
        await book.post('some', '2026-03-02', entryOf(31));
        await book.post('too many', '2026-03-02', entryOf(32));
      },
      accounts,
    );
    const { entries, tests } = await ask(many, { tests: 'rare-account-pairs' });
    expect(entries.map(({ description, hits }) => [description, hits.length])).toEqual([['some', 992]]);
    expect(tests[0]).toMatchObject({ population: 992, hits: 992, entriesLeftOut: 1 });
  });
});

it('descriptions are missing when they are short or stand for none', async () => {
  const id = await filled('descriptions', async (book) => {
    for (const text of ['(no description)', '(No Description)', 'ok', '…', 'Büro', 'n/a', 'fee', '💶💶'])
      await book.post(text, '2026-03-02', transfer('bank', 'sales', '1'));
  });
  expect(await hitsOf(id, 'no-description')).toEqual([
    '(no description): placeholder, (no description)',
    '(No Description): placeholder, (No Description)',
    'ok: short, 2 characters',
    '…: short, 1 character',
    '💶💶: short, 2 characters',
  ]);
  expect(await hitsOf(id, 'no-description', { placeholders: ['N/A', 'büro'], descriptionLength: 1 })).toEqual([
    'Büro: placeholder, Büro',
    'n/a: placeholder, n/a',
  ]);
});

it('entries after a close, after a reopening, and long after the end of the year', async () => {
  let closes: readonly number[] = [];
  const id = await filled('closes', async (book) => {
    const period = (type: string, level?: string, who = 1) =>
      book.run(
        { type, fiscalYear: '2026', period: 1, level, reason: 'month end' } as Command,
        controllerContext(`${type} ${level} ${who} ${Math.random()}`, who),
      );
    const late = controllerContext('');
    const post = (text: string, date: string, context = {}) => book.post(text, date, transfer('bank', 'sales', '1'), {}, context);
    await book.at('2026-02-05T10:00:00Z');
    await post('in time', '2026-01-31');
    await period('ClosePeriod', 'soft');
    await post('next period', '2026-02-01');
    await post('late', '2026-01-31', { userId: late.userId, isController: true });
    await period('RequestReopening', undefined, 1);
    await period('ApproveReopening', undefined, 2);
    await post('after the reopening', '2026-01-31');
    await period('ClosePeriod', 'soft');
    await period('ClosePeriod', 'hard');
    // 2026-12-31 and 90 days are 2027-03-31, which ends at 22:00 UTC in Berlin.
    await book.at('2027-03-31T21:59:59Z');
    await post('on the last day', '2026-12-31');
    await book.at('2027-03-31T22:00:00Z');
    await post('a day too late', '2026-12-31');
  });
  closes = (await store.readStream(id, (await store.readAll(id, 0, 1))[0]?.streamId as string)).flatMap(({ eventType, position }) =>
    eventType === 'PeriodClosed' ? [position] : [],
  );
  const closed = `period 2026/1 was closed 2026-02-05T10:00:00`;
  expect((await hitsOf(id, 'posted-after-close')).map((text) => text.replace(/(?<=closed 2026-02-05T10:00:00)\.\d{6}Z/, ''))).toEqual([
    `late: after-close, ${closed} (position ${closes[0]})`,
    `after the reopening: after-reopening, ${closed} (position ${closes[0]})`,
    'a day too late: after-year-end, 91 days after 2026-12-31, the end of fiscal year 2026',
  ]);
  expect(await hitsOf(id, 'posted-after-close', { lateDays: 91 })).toHaveLength(2);
  // As known before the first close nothing was late.
  expect(await hitsOf(id, 'posted-after-close', {}, { knownAt: (closes[0] as number) - 1 })).toEqual([]);
});

it('documents that are later than the entry', async () => {
  const id = await filled('documents', async (book) => {
    const post = (text: string, effective: string, date?: string) =>
      book.post(
        text,
        effective,
        transfer('bank', 'sales', '1'),
        date === undefined ? {} : { document: { type: 'invoice', number: 'A-1', date } },
      );
    // 2026-03-16 in Berlin, 2026-03-15 in UTC.
    await book.at('2026-03-15T23:30:00Z');
    await post('same day', '2026-03-16', '2026-03-16');
    await post('later than the entry', '2026-03-14', '2026-03-16');
    await post('not written yet', '2026-03-31', '2026-03-17');
    await post('later than both', '2026-03-15', '2026-03-17');
    await post('without a document', '2026-03-16');
  });
  expect(await hitsOf(id, 'document-date-after-entry-date')).toEqual([
    'later than the entry: after-effective-date, 2026-03-16, 2 days after 2026-03-14',
    'later than both: after-effective-date, 2026-03-17, 2 days after 2026-03-15',
    'later than both: after-recorded-date, 2026-03-17, 1 day after 2026-03-16',
    'not written yet: after-recorded-date, 2026-03-17, 1 day after 2026-03-16',
  ]);
  expect(await resultOf(id, 'document-date-after-entry-date')).toMatchObject({ of: 'entries', population: 4, hits: 4 });
});

describe('numbers', () => {
  const tamper = async (...statements: readonly (readonly [string, unknown[]])[]): Promise<void> => {
    await admin.query('BEGIN');
    await admin.query("SET LOCAL session_replication_role = 'replica'");
    for (const [text, values] of statements) await admin.query(text, values);
    await admin.query('COMMIT');
  };

  it('have no gap in a book that was left alone, and have one when somebody has taken entries out of the log', async () => {
    const ids: string[] = [];
    const id = await filled('numbers', async (book) => {
      await book.run({ type: 'DefineJournal', journalCode: 'CASH', name: 'Cash', journalType: 'cash' } as Command);
      for (const n of [1, 2, 3, 4, 5]) ids.push(await book.post(`general ${n}`, `2026-0${n}-15`, transfer('bank', 'sales', String(n))));
      for (const n of [1, 2]) await book.post(`cash ${n}`, '2026-03-15', transfer('bank', 'sales', String(n)), { journalCode: 'CASH' });
      await book.post('of another year', '2025-03-15', transfer('bank', 'sales', '1'));
    });
    expect(await resultOf(id, 'number-gaps')).toEqual({
      ...{ test: 'number-gaps', parameters: {}, of: 'numbers', population: 7, hits: 0, gaps: [] },
    });
    const [, second, third, fourth, fifth] = ids as [string, string, string, string, string];
    // Out of the log; the index still knows it.
    await tamper(['DELETE FROM log.events WHERE book_id = $1 AND stream_id = $2', [id, fifth]]);
    // Out of the log, and the index was rebuilt since.
    for (const gone of [second, third])
      await tamper(
        ['DELETE FROM log.events WHERE book_id = $1 AND stream_id = $2', [id, gone]],
        ['DELETE FROM projections.entries WHERE book_id = $1 AND entry_id = $2', [id, gone]],
      );
    const position = (await store.head(id)).position;
    const link = (entryId: string) => ({ entryId, entry: `/v1/books/numbers/journal-entries/${entryId}?knownAt=${position}` });
    const found = await ask(id, { tests: 'number-gaps' }, {}, newReports());
    expect(found.tests).toEqual([
      {
        ...{ test: 'number-gaps', parameters: {}, of: 'numbers', population: 7, hits: 3 },
        gaps: [
          { journalCode: 'GENERAL', fiscalYear: '2026', from: 2, to: 3, reason: 'no-entry', ...link(fourth) },
          { journalCode: 'GENERAL', fiscalYear: '2026', from: 5, to: 5, reason: 'not-in-log', ...link(fifth) },
        ],
      },
    ]);
    expect(found.entries).toEqual([]);
    const gaps = found.tests[0]?.gaps ?? [];
    expect(filledOf(await csv(id, { tests: 'number-gaps' }, {}, newReports()), 'gap')).toEqual(
      gaps.map(({ from, to, ...gap }) => cells({ test: 'number-gaps', fromNumber: from, toNumber: to, ...gap })),
    );
  });
});

describe("Benford's law", () => {
  /** Amounts as the law has them, 10.00 to 9999.99, and `more` that begin with 50. */
  const amountsOf = (count: number, more: number): string[] => [
    ...Array.from({ length: count }, (_, n) => (10 ** (1 + (3 * (n + 0.5)) / count)).toFixed(2)),
    ...Array.from({ length: more }, (_, n) => `50${String(n % 100).padStart(2, '0')}.10`),
  ];
  const amounts = amountsOf(2_000, 80);
  let id: string;
  beforeAll(async () => {
    id = await filled('benford', async (book) => {
      const entry = (lines: string[]): object[] => lines.flatMap((amount) => transfer('bank', 'sales', amount));
      for (let from = 0; from < amounts.length; from += 400)
        await book.post(`from ${from}`, '2026-03-02', entry(amounts.slice(from, from + 400)));
      // None of these counts: below 10.
      await book.post('small', '2026-03-02', transfer('bank', 'sales', '9.99'));
      await book.post('dollars', '2026-03-02', transfer('bank', 'sales', '10.00', 'USD'));
    });
  }, 60_000);

  it('says nothing below the number of lines that it needs', async () => {
    const lines = amounts.length * 2;
    expect((await resultOf(id, 'benford', { benfordLines: lines + 1 }))?.currencies).toEqual([
      { currency: 'EUR', lines, applicable: false },
      { currency: 'USD', lines: 2, applicable: false },
    ]);
    expect((await resultOf(id, 'benford', { benfordLines: lines }))?.currencies?.[0]).toMatchObject({ currency: 'EUR', applicable: true });
    // 5,000 unless said otherwise.
    expect((await resultOf(id, 'benford'))?.currencies?.map(({ applicable }) => applicable)).toEqual([false, false]);
  });

  it('finds the digits that are too many, with the figures that the formulas give, and leads to their lines', async () => {
    const result = await resultOf(id, 'benford', { benfordLines: 300 });
    const [euros] = result?.currencies ?? [];
    const count = amounts.length * 2;
    const begins = (pair: number): number => 2 * amounts.filter((amount) => amount.startsWith(String(pair))).length;
    let [deviations, chiSquare] = [0, 0];
    for (const { digits, count: own, observed, expected, z } of euros?.digits ?? []) {
      const share = Math.log(1 + 1 / digits) / Math.LN10;
      const off = Math.abs(begins(digits) / count - share);
      const corrected = off > 0.5 / count ? off - 0.5 / count : off;
      expect({ digits, own, observed }).toEqual({ digits, own: begins(digits), observed: (begins(digits) / count).toFixed(6) });
      expect(Number(expected)).toBeCloseTo(share, 5);
      expect(Number(z)).toBeCloseTo(corrected / Math.sqrt((share * (1 - share)) / count), 3);
      deviations += off;
      chiSquare += (begins(digits) - count * share) ** 2 / (count * share);
    }
    expect(Number(euros?.mad)).toBeCloseTo(deviations / 90, 5);
    expect(Number(euros?.chiSquare)).toBeCloseTo(chiSquare, 2);
    const hits = euros?.digits?.filter(({ hit }) => hit) ?? [];
    expect(hits.map(({ digits }) => digits)).toEqual([50]);
    expect(result).toMatchObject({ of: 'digit pairs', population: 90, hits: 1 });
    expect(hits[0]?.entries).toMatch(
      /^\/v1\/books\/benford\/reports\/journal-entry-tests\?from=2026-01-01&to=2026-12-31&tests=benford&digits=50&currency=EUR&knownAt=\d+$/,
    );
    const rows = filledOf(await csv(id, { tests: 'benford', benfordLines: 300 }), 'digits');
    expect(rows).toEqual(euros?.digits?.map(({ hit, ...pair }) => cells({ test: 'benford', currency: 'EUR', ...pair, hits: hit ? 1 : 0 })));
    const { entries } = await ask(id, { tests: 'benford', digits: 50 }, { currency: 'EUR' });
    const lines = entries.flatMap(({ hits: own }) => own);
    expect(lines).toHaveLength(begins(50));
    expect(
      lines.every(({ debit, credit, reason, figure }) => `${debit ?? credit}`.startsWith('50') && `${reason} ${figure}` === 'digits 50'),
    ).toBe(true);
    // Without digits no entry is a hit.
    expect((await ask(id, { tests: 'benford', benfordLines: 300 })).entries).toEqual([]);
  });

  it('has as many hits as the threshold has it', async () => {
    expect(await resultOf(id, 'benford', { benfordLines: 300, benfordZ: '1000' })).toMatchObject({ hits: 0 });
    const all = await resultOf(id, 'benford', { benfordLines: 300, benfordZ: '0' });
    const above = all?.currencies?.flatMap(({ digits = [] }) => digits.filter(({ z }) => z !== '0.0000')) ?? [];
    expect(above.length).toBeGreaterThan(45);
    expect(all?.hits).toBe(above.length);
  });
});

// --- Random books against the plainest reading of their log ---

interface LoggedEntry {
  readonly position: number;
  readonly id: string;
  readonly userId: string;
  readonly data: JournalEntryPosted;
}

describe(`random books against a plain reading of the log (ENTRY_TESTS_SEED=${seed})`, () => {
  const id = 'random';
  const chance = random(seed);
  const accounts = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
  let logged: LoggedEntry[];
  let reversedAt: Map<string, number>;
  let first: number;
  let head: number;

  beforeAll(async () => {
    const posted: string[] = [];
    await filled(
      id,
      async (book) => {
        first = (await store.head(id)).position;
        for (let n = 0; n < 150; n++) {
          const lines = Array.from({ length: 1 + chance.below(3) }, () =>
            transfer(
              chance.pick(accounts),
              chance.pick(accounts),
              chance.pick(['5', '10', '1000', '20']),
              chance.pick(['EUR', 'EUR', 'USD']),
            ),
          ).flat();
          const effectiveDate = addDays('2026-05-01', chance.below(60));
          const context = { userId: chance.pick(['ann', 'ann', 'ann', 'ann', 'bob', 'eve']) };
          const kind = posted.length === 0 ? 9 : chance.below(10);
          const entryId = kind < 2 ? chance.pick(posted) : '';
          const command =
            kind === 0
              ? { type: 'ReverseEntry', entryId, reason: 'wrong', effectiveDate }
              : kind === 1
                ? { type: 'CorrectEntry', entryId, reason: 'mistyped', effectiveDate, lines, description: `Entry ${n}` }
                : { type: 'PostEntry', effectiveDate, lines, description: `Entry ${n}` };
          // An entry is reversed once; the next one is another.
          const made = await book.run(command as Command, context).catch((error: unknown) => {
            if (kind < 2) return undefined;
            throw error;
          });
          if (kind >= 2 && made !== undefined) posted.push(made);
        }
      },
      accounts,
    );
    const { rows } = await admin.query(
      `SELECT position, stream_id AS id, event_type AS type, data, metadata->>'userId' AS "userId" FROM log.events
        WHERE book_id = $1 AND event_type IN ('JournalEntryPosted', 'JournalEntryReversed') ORDER BY position`,
      [id],
    );
    logged = rows.filter(({ type }) => type === 'JournalEntryPosted');
    reversedAt = new Map(rows.flatMap((row) => (row.type === 'JournalEntryReversed' ? [[row.id, row.position]] : [])));
    head = (await store.head(id)).position;
  }, 120_000);

  it('finds the same duplicates, users, accounts and pairs at 60 random questions, and counts what it lists', async () => {
    let found = 0;
    for (let round = 0; round < 60; round++) {
      const [from, to] = [addDays('2026-05-01', chance.below(60)), addDays('2026-05-01', chance.below(60))].sort() as [string, string];
      const knownAt = first + chance.below(head - first + 1);
      const currency = chance.pick([undefined, undefined, 'EUR']);
      const asked = {
        ...{ tests: 'duplicates,rare-users,rare-accounts,rare-account-pairs,round-amounts', duplicateDays: chance.below(4) },
        ...{
          duplicateMinimum: chance.pick(['0', '10', '10.01']),
          rareUserEntries: chance.below(20),
          rareUserPercent: chance.pick(['0', '12.5']),
        },
        ...{ rareAccountLines: chance.below(20), rarePairEntries: chance.below(4) },
      };
      const where = JSON.stringify({ seed, from, to, knownAt, currency, ...asked });
      const report = await ask(id, asked, { from, to, knownAt, currency });
      const told = report.entries.flatMap(({ position, hits }) =>
        hits.map(
          ({ test, line: own, debitAccount, creditAccount }) =>
            `${position} ${test} ${own ?? ''}${debitAccount ?? ''}${creditAccount ?? ''}`,
        ),
      );

      const daysOf = (date: string): number => Date.parse(date) / 86_400_000;
      const entries = logged
        .filter(({ position, data }) => position <= knownAt && data.effectiveDate >= from && data.effectiveDate <= to)
        .sort((a, b) => daysOf(a.data.effectiveDate) - daysOf(b.data.effectiveDate) || a.position - b.position)
        .map((entry) => ({ ...entry, lines: entry.data.lines.filter((own) => currency === undefined || own.currency === currency) }))
        .filter(({ lines }) => lines.length > 0);
      const counts = (keys: string[]): Map<string, number> => {
        const counted = new Map<string, number>();
        for (const key of keys) counted.set(key, (counted.get(key) ?? 0) + 1);
        return counted;
      };
      const pairsOf = (lines: JournalEntryPosted['lines']): string[] => [
        ...new Set(
          lines.flatMap((debit) =>
            lines.flatMap((credit) => (debit.side === 'debit' && credit.side === 'credit' ? [`${debit.code}${credit.code}`] : [])),
          ),
        ),
      ];
      const users = counts(entries.map(({ userId }) => userId));
      const lineCounts = counts(entries.flatMap(({ lines }) => lines.map(({ code }) => code)));
      const pairCounts = counts(entries.flatMap(({ lines }) => pairsOf(lines)));
      const undone = ({ id: own, data }: LoggedEntry): boolean =>
        (reversedAt.get(own) ?? Number.POSITIVE_INFINITY) <= knownAt || data.links?.some(({ rel }) => rel === 'reverses') === true;
      const key = ({ code, side, amount, currency: unit }: JournalEntryPosted['lines'][number]): string =>
        `${code} ${side} ${amount} ${unit}`;
      const compared = entries.filter((entry) => !undone(entry));
      const expected = entries.flatMap((entry) => {
        const { position, userId, lines, data } = entry;
        const own: string[] = [];
        const seen = new Set<string>();
        for (const one of lines) {
          if (undone(entry) || seen.has(key(one)) || Number(one.amount) < Number(asked.duplicateMinimum)) continue;
          seen.add(key(one));
          const other = compared.some(
            (candidate) =>
              candidate !== compared.find(({ id: same }) => same === entry.id) &&
              Math.abs(daysOf(candidate.data.effectiveDate) - daysOf(data.effectiveDate)) <= asked.duplicateDays &&
              candidate.lines.some((its) => key(its) === key(one)),
          );
          if (other) own.push(`${position} duplicates ${one.line}`);
        }
        own.push(...lines.flatMap(({ line: no, amount }) => (Number(amount) === 1000 ? [`${position} round-amounts ${no}`] : [])));
        const count = users.get(userId) ?? 0;
        if (count < asked.rareUserEntries || count / entries.length < Number(asked.rareUserPercent) / 100)
          own.push(`${position} rare-users `);
        own.push(
          ...lines.flatMap(({ line: no, code }) =>
            (lineCounts.get(code) ?? 0) < asked.rareAccountLines ? [`${position} rare-accounts ${no}`] : [],
          ),
          ...pairsOf(lines).flatMap((pair) =>
            (pairCounts.get(pair) ?? 0) <= asked.rarePairEntries ? [`${position} rare-account-pairs ${pair}`] : [],
          ),
        );
        return own;
      });
      expect({ where, told }).toEqual({ where, told: expected });
      const summary = Object.fromEntries(report.tests.map(({ test, hits }) => [test, hits]));
      const ofTest = (test: string): number => told.filter((text) => text.split(' ')[1] === test).length;
      expect({ where, summary }).toEqual({ where, summary: Object.fromEntries(report.tests.map(({ test }) => [test, ofTest(test)])) });
      expect({ where, tested: [report.entriesTested, report.linesTested] }).toEqual({
        where,
        tested: [entries.length, entries.reduce((sum, { lines }) => sum + lines.length, 0)],
      });
      found += ofTest('duplicates') * ofTest('rare-account-pairs');
    }
    // The questions are not so narrow that nothing is ever found.
    expect(found).toBeGreaterThan(0);
  }, 120_000);

  it('comes in pages that are together the whole, whoever answers them, and as CSV with the same hits', async () => {
    const asked: EntryTestsAsked = { duplicateDays: 2, rareUserEntries: 30 };
    const whole = await ask(id, asked);
    expect(whole.tests.map(({ test }) => test)).toEqual(entryTests);
    for (const limit of [1, 7]) {
      const listed: unknown[] = [];
      let cursor: string | undefined;
      do {
        // Every other page is answered by a process that has not seen the first one.
        const page = await ask(id, asked, { limit, cursor }, listed.length % 2 === 0 ? reports : newReports());
        expect(page.entries.length).toBeLessThanOrEqual(limit);
        expect(page.tests).toEqual(whole.tests);
        listed.push(...page.entries);
        cursor = page.nextCursor;
      } while (cursor !== undefined);
      expect(listed).toEqual(whole.entries);
      if (limit === 1) expect(whole.entries.length).toBeGreaterThan(20);
    }
    const rows = await csv(id, asked);
    expect(filledOf(rows, 'hit')).toEqual(whole.entries.flatMap(hitCells));
    expect(filledOf(rows, 'test')).toEqual(
      whole.tests.map(({ parameters, gaps: _gaps, currencies: _currencies, ...result }) =>
        cells({ ...result, parameters: JSON.stringify(parameters) }),
      ),
    );
    expect(new Set(rows.map(({ position }) => position))).toEqual(new Set([String(head)]));
  }, 60_000);

  it('is the same bytes for ever at one position, whatever was recorded since', async () => {
    const knownAt = logged[100]?.position as number;
    const bytes = async (by: Reports) => (await by.answer('journal-entry-tests', id, { ...year, knownAt }, 'json')).body;
    const before = await bytes(reports);
    const ledger = await ReferenceLedger.open(database.adminUrl, {});
    const lines = transfer('a', 'b', '5');
    await ledger.execute(id, { type: 'PostEntry', effectiveDate: '2026-05-05', description: 'since', lines } as Command, {
      ...{ key: 'since', userId: 'zoe', source: 'job' },
    });
    await ledger.close();
    expect(await bytes(newReports())).toBe(before);
  });
});

it('a range that takes many reads lists every hit once, in the order of dates and positions', async () => {
  const entriesPosted = 1_100;
  const id = await filled('long', async (book) => {
    const lines = ['1', '2', '3'].flatMap((amount) => transfer('bank', 'sales', amount));
    // Dates go back and forth, so that the order of dates is another one than that of positions.
    const entries = Array.from({ length: entriesPosted }, (_, n) => ({
      ...{ effectiveDate: `2026-03-0${1 + (n % 3)}`, description: 'same', lines },
    }));
    for (let from = 0; from < entriesPosted; from += 550)
      await book.run({ type: 'PostEntries', atomic: true, entries: entries.slice(from, from + 550) } as Command);
  });
  const listed: JournalEntryTests['entries'][number][] = [];
  let cursor: string | undefined;
  do {
    const page = await ask(id, { tests: 'duplicates' }, { cursor });
    expect(page.tests).toMatchObject([{ population: entriesPosted * 6, hits: entriesPosted * 6 }]);
    listed.push(...page.entries);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  const inOrder = [...listed].sort((a, b) => (a.date === b.date ? a.position - b.position : a.date < b.date ? -1 : 1));
  expect(listed).toEqual(inOrder);
  expect(new Set(listed.map(({ position }) => position)).size).toBe(entriesPosted);
  expect(listed.filter(({ hits }) => hits.map(({ line: no }) => no).join() !== '1,2,3,4,5,6')).toEqual([]);
  const rows = await csv(id, { tests: 'duplicates' });
  expect(rows.filter(({ row }) => row === 'hit').map(({ entryPosition, line: no }) => `${entryPosition} ${no}`)).toEqual(
    listed.flatMap(({ position, hits }) => hits.map(({ line: no }) => `${position} ${no}`)),
  );
}, 60_000);

// --- What cannot be asked ---

describe('a question', () => {
  let id: string;
  beforeAll(async () => {
    id = await filled('asked', async (book) => void (await book.post('one', '2026-03-02', transfer('bank', 'sales', '1'))));
  });

  it.each([
    [{ tests: 'nights' }, 'tests', /"nights" is no test; write one or more of number-gaps, duplicates, /],
    [{ tests: '' }, 'tests', /"" is no test/],
    [{ tests: 'night', roundZeros: 2 }, 'roundZeros', /roundZeros belongs to the test round-amounts, which tests leaves out/],
    [{ roundZeros: 0 }, 'roundZeros', /"0" is not a whole number from 1 to 30/],
    [{ duplicateDays: 1.5 }, 'duplicateDays', /"1.5" is not a whole number from 0 to 366/],
    [{ digits: 9 }, 'digits', /"9" is not a whole number from 10 to 99/],
    [{ weekendDays: '0,6' }, 'weekendDays', /1 \(Monday\) to 7 \(Sunday\), like 6,7/],
    [{ nightHours: '20-6' }, 'nightHours', /like 20:00-06:00/],
    [{ nightHours: '24:00-06:00' }, 'nightHours', /00:00 to 23:59/],
    [{ nightHours: '06:00-06:00' }, 'nightHours', /two different times/],
    [{ benfordZ: '-1' }, 'benfordZ', /"-1" is not a plain decimal like 1234.50/],
    [{ benfordMinimum: '0.00' }, 'benfordMinimum', /must be above 0/],
    [{ rareUserPercent: '100.01' }, 'rareUserPercent', /"100.01" is above 100/],
    [{ duplicateMinimum: '1e3' }, 'duplicateMinimum', /"1e3" is not a plain decimal/],
  ] as const)('%j is refused, and told what would do', async (asked, member, message) => {
    const error = (await ask(id, asked).catch((thrown: unknown) => thrown)) as LedgerError;
    expect(error).toMatchObject({ code: 'malformed', message: expect.stringMatching(message), details: { member } });
  });

  it('names its parameters in the answer, those that nobody gave among them', async () => {
    const { tests, timeZone, entriesTested, linesTested } = await ask(id, {});
    expect({ timeZone, entriesTested, linesTested }).toEqual({ timeZone: 'Europe/Berlin', entriesTested: 1, linesTested: 2 });
    expect(Object.fromEntries(tests.map(({ test, parameters }) => [test, parameters]))).toEqual({
      'number-gaps': {},
      duplicates: { days: 0, minimum: '0' },
      'round-amounts': { zeros: 3, minimum: '0' },
      weekend: { days: [6, 7] },
      night: { from: '20:00', to: '06:00' },
      'rare-users': { fewerThan: 10, belowPercent: '0' },
      'rare-accounts': { fewerThan: 5 },
      'rare-account-pairs': { atMost: 1 },
      'no-description': { placeholders: ['(no description)'], shorterThan: 3 },
      'posted-after-close': { daysAfterYearEnd: 90 },
      'document-date-after-entry-date': {},
      benford: { lines: 5_000, minimum: '10', z: '1.96' },
    });
  });
});
