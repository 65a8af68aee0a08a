/**
 * Base amounts in listings and balances: random books that track their base currency, with revaluations that move nothing but base
 * amounts, against sums over a plain list of the lines of the log. General ledger, statement and trial balance in base currency
 * must show the same, whatever is asked and wherever pages end; balances must hold what no projection has folded yet.
 *
 * BASE_SEED chooses the history; each failure names its seed.
 */
import { parse } from 'csv-parse/sync';
import type { Client, Pool } from 'pg';
import { addDays, type CalendarDate, fromMinor, type JournalEntryPosted, toMinor } from '#domain';
import { EventStore } from '#event-store';
import {
  type ChangesSince,
  type Command,
  catalogue,
  type GeneralLedger,
  Projector,
  Queries,
  type ReportName,
  type ReportQuestion,
  Reports,
  type StatementLine,
  type TrialBalance,
} from '#ledger';
import { connect, openPool } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';
import { type Random, random } from '../support/histories';
import { ReferenceLedger } from '../support/reference-ledger';
import { askStatement, followStatement } from '../support/statements';
import { carryOut, line, newKey, openTrackedBook } from '../support/tracked-books';

const seed = Number(process.env.BASE_SEED ?? Date.now() % 1_000_000);
const where = `BASE_SEED=${seed}`;

let database: TestDatabase;
let admin: Client;
let pool: Pool;
let store: EventStore;
let queries: Queries;
let reports: Reports;
let projector: Projector;
let ledger: ReferenceLedger;

beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
  pool = openPool(database.appUrl, { max: 6 });
  store = new EventStore(pool, catalogue);
  queries = new Queries(store, pool, { readWaitMs: 30_000 });
  reports = new Reports(store, queries);
  projector = new Projector(store, pool, { sweepMs: 10 });
  ledger = await ReferenceLedger.open(database.adminUrl);
});
afterAll(async () => {
  await projector.stop();
  await ledger.close();
  await pool.end();
  await admin.end();
  await database.drop();
});

const ask = async <T>(name: ReportName, book: string, question: ReportQuestion): Promise<T> =>
  JSON.parse((await reports.answer(name, book, question, 'json')).body as string) as T;

async function csvRows(body: string | AsyncIterable<string>): Promise<Record<string, string>[]> {
  let text = '';
  if (typeof body === 'string') text = body;
  else for await (const piece of body) text += piece;
  return parse(text, { columns: true }) as Record<string, string>[];
}

const csv = async (name: ReportName, book: string, question: ReportQuestion): Promise<Record<string, string>[]> =>
  csvRows((await reports.answer(name, book, question, 'csv')).body);

// --- A random book, and its plain reading ---

const balanceSheet = ['Bank', 'Loan', 'Capital'];
const nominal = ['Sales', 'Costs'];
const codes = [...balanceSheet, ...nominal];
const creditSide = ['Loan', 'Capital', 'Sales'];
const dateIn = (chance: Random): CalendarDate => addDays('2025-01-05', chance.below(1_000));

/** Lines of both sides with the same amounts: sales and transfers, in EUR or USD, and changes of worth alone. */
function entry(chance: Random): Command & { type: 'PostEntry' } {
  const amount = fromMinor(BigInt(1 + chance.below(100_000)), 2);
  const worth = fromMinor(BigInt(1 + chance.below(100_000)), 2);
  const dimensions = chance.below(2) === 0 ? {} : { dimensions: [{ key: 'cc', value: chance.pick(['a', 'b']) }] };
  const pair = (own: string, currency: string, more: object) => [
    line(chance.pick(codes), 'debit', own, currency, { ...more, ...dimensions }),
    line(chance.pick(codes), 'credit', own, currency, { ...more, ...dimensions }),
  ];
  const [lines, entryType] = chance.pick([
    () => [pair(amount, 'EUR', {}), 'normal'] as const,
    () => [pair(amount, 'USD', { baseAmount: worth }), 'normal'] as const,
    () => [[...pair(amount, 'USD', { baseAmount: worth }), ...pair(amount, 'EUR', {})], 'normal'] as const,
    () => [pair(amount, 'USD', { baseAmount: worth }), 'closing'] as const,
    () => [pair('0', 'USD', { baseAmount: worth }), 'revaluation'] as const,
  ])();
  return { type: 'PostEntry', effectiveDate: dateIn(chance), description: 'random', entryType, lines };
}

async function post(bookId: string, chance: Random, count: number): Promise<void> {
  const entries = Array.from({ length: count }, () => entry(chance));
  const context = () => ({ key: newKey(), userId: '01930000-0000-7000-8000-000000000001', source: 'job' as const });
  for (const answer of await ledger.executeBatch(
    bookId,
    entries.map((command) => ({ command, context: context() })),
  ))
    if (answer instanceof Error || answer.status >= 400) throw new Error(JSON.stringify(answer));
}

const fold = async (bookId: string): Promise<void> => {
  while ((await projector.fold(bookId)) !== 'done');
};

interface Line {
  readonly position: number;
  readonly date: CalendarDate;
  readonly account: string;
  readonly currency: string;
  readonly side: 'debit' | 'credit';
  /** Cents; debit − credit. */
  readonly net: bigint;
  readonly base: bigint;
  readonly closing: boolean;
  readonly pairs: readonly string[];
}

async function linesOf(bookId: string): Promise<Line[]> {
  const { rows } = await admin.query<{ position: number; data: JournalEntryPosted }>(
    "SELECT position, data FROM log.events WHERE book_id = $1 AND event_type = 'JournalEntryPosted' ORDER BY position",
    [bookId],
  );
  return rows.flatMap(({ position, data }) =>
    data.lines.map(({ code, currency, side, amount, baseAmount = '0', dimensions = [] }): Line => {
      const sign = side === 'debit' ? 1n : -1n;
      return {
        ...{ position, date: data.effectiveDate, account: code, currency, side, closing: data.entryType === 'closing' },
        net: sign * (toMinor(amount, 2) as bigint),
        base: sign * (toMinor(baseAmount, 2) as bigint),
        pairs: dimensions.map(({ key, value }) => `${key}:${value}`),
      };
    }),
  );
}

const cents = (amount: string): bigint => BigInt(amount.replace('.', ''));
const sum = (lines: readonly Line[], of: 'net' | 'base'): bigint => lines.reduce((total, each) => total + each[of], 0n);

describe(`a random tracked book (${where})`, () => {
  const bookId = 'tracked';
  const chance = random(seed);
  let all: Line[];
  let first: number;
  let head: number;

  beforeAll(async () => {
    await openTrackedBook(ledger, bookId, { startsOn: '2025-01-01' });
    first = (await store.head(bookId)).position;
    for (let batch = 0; batch < 8; batch++) await post(bookId, chance, 1 + chance.below(chance.pick([3, 60])));
    await fold(bookId);
    all = await linesOf(bookId);
    head = (await store.head(bookId)).position;
  }, 120_000);

  function situation() {
    const [from, to] = [dateIn(chance), dateIn(chance)].sort() as [CalendarDate, CalendarDate];
    const knownAt = first + chance.below(head - first + 1);
    const carry = chance.pick(['fiscalYear', 'none'] as const);
    const closing = chance.pick(['include', 'exclude'] as const);
    const dimensions = chance.pick([[], [], ['cc:a']]);
    const currency = chance.pick([undefined, undefined, 'USD']);
    const question = { from, to, knownAt, carry, closing, dimensions, currency };
    const counted = all.filter(
      (each) =>
        each.position <= knownAt &&
        dimensions.every((pair) => each.pairs.includes(pair)) &&
        (currency === undefined || each.currency === currency) &&
        (closing === 'include' || !each.closing || each.date < from || each.date > to),
    );
    /** Lines that an account's balance is made of at the ends of the range. */
    const balance = (account: string, unit: string, upTo: CalendarDate): Line[] =>
      counted.filter(
        (each) =>
          each.account === account &&
          each.currency === unit &&
          each.date <= upTo &&
          (carry === 'none' || !nominal.includes(account) || each.date >= `${from.slice(0, 4)}-01-01`),
      );
    return { from, to, carry, question, counted, balance, at: JSON.stringify({ where, ...question }) };
  }

  it('general ledger = fold of the base amounts = trial balance in base currency, with running balances', async () => {
    for (let round = 0; round < 40; round++) {
      const { from, to, carry, question, counted, balance, at } = situation();
      const rows = await csv('general-ledger', bookId, question);
      const running = new Map<string, bigint>();
      const shown: string[] = [];
      for (const row of rows) {
        const key = `${row.account} ${row.currency}`;
        const known = running.get(key) ?? 0n;
        if (row.row === 'retainedEarnings') continue;
        if (row.row === 'opening') running.set(key, cents(row.baseBalance as string));
        else if (row.row === 'line') running.set(key, known + cents(row.baseDebit || '0.00') - cents(row.baseCredit || '0.00'));
        expect([at, key, row.row, cents(row.baseBalance as string)]).toEqual([at, key, row.row, running.get(key)]);
        if (row.row === 'line') expect([at, row.baseDebit !== '']).toEqual([at, row.credit === '']);
        else shown.push(`${row.row} ${key} ${row.balance} ${row.baseBalance}`);
      }
      const expected = codes.flatMap((code) =>
        ['EUR', 'USD'].flatMap((unit) => {
          const [before, after] = [balance(code, unit, addDays(from, -1)), balance(code, unit, to)];
          const amounts = [sum(before, 'net'), sum(before, 'base'), sum(after, 'net'), sum(after, 'base')];
          if (after.length === before.length && amounts.every((amount) => amount === 0n)) return [];
          return [['opening', before] as const, ['closing', after] as const].map(
            ([row, lines]) => `${row} ${code} ${unit} ${fromMinor(sum(lines, 'net'), 2)} ${fromMinor(sum(lines, 'base'), 2)}`,
          );
        }),
      );
      expect({ at, shown: shown.sort() }).toEqual({ at, shown: expected.sort() });

      const retained = rows.filter(({ row }) => row === 'retainedEarnings');
      const brought = counted.filter(({ account, date }) => nominal.includes(account) && date < `${from.slice(0, 4)}-01-01`);
      const inBase = retained.reduce((total, { baseBalance = '' }) => total + cents(baseBalance), 0n);
      expect([at, inBase]).toEqual([at, carry === 'none' ? 0n : sum(brought, 'base')]);

      const trial = await ask<TrialBalance>('trial-balance', bookId, { ...question, in: 'EUR' });
      const closing = new Map<string, bigint>();
      for (const { row, account = '', baseBalance = '' } of rows)
        if (row === 'closing') closing.set(account, (closing.get(account) ?? 0n) + cents(baseBalance));
      const ours = trial.rows.map(({ account, figures }) => [account, cents(figures[0]?.closing ?? '')] as const);
      const both = (balances: Iterable<readonly [string, bigint]>) => [...balances].filter(([, amount]) => amount !== 0n).sort();
      expect({ at, closing: both(ours) }).toEqual({ at, closing: both(closing) });
    }
  }, 120_000);

  it('a statement shows what the general ledger shows, in the sign of the normal side; both in pages as in one', async () => {
    for (let round = 0; round < 25; round++) {
      const { question, at } = situation();
      const whole = await ask<GeneralLedger>('general-ledger', bookId, { ...question, limit: 1_000 });
      const paged: GeneralLedger['accounts'][number][] = [];
      for (let cursor: string | undefined; ; ) {
        const page: GeneralLedger = await ask('general-ledger', bookId, { ...question, limit: 3 + chance.below(40), cursor });
        for (const account of page.accounts) {
          const last = paged.at(-1);
          if (last?.account === account.account) paged.splice(-1, 1, { ...last, lines: [...last.lines, ...account.lines] });
          else paged.push(account);
        }
        cursor = page.nextCursor;
        if (cursor === undefined) break;
      }
      expect({ at, paged }).toEqual({ at, paged: whole.accounts });

      const account = chance.pick(whole.accounts.length === 0 ? [undefined] : whole.accounts);
      if (account === undefined) continue;
      const sign = creditSide.includes(account.account) ? -1n : 1n;
      const signed = (amount = ''): bigint => sign * cents(amount);
      const lines: StatementLine[] = [];
      let page = await askStatement(reports, bookId, account.account, { ...question, limit: 1 + chance.below(30) });
      for (;;) {
        lines.push(...page.lines);
        if (page.nextCursor === undefined) break;
        page = await askStatement(reports, bookId, account.account, { ...question, limit: 1 + chance.below(30), cursor: page.nextCursor });
      }
      expect({ at, lines: lines.map((each) => [each.entryId, each.line, each.baseDebit, each.baseCredit]) }).toEqual({
        at,
        lines: account.lines.map((each) => [each.entryId, each.line, each.baseDebit, each.baseCredit]),
      });
      expect({ at, running: lines.map((each) => [cents(each.runningBalance), cents(each.runningBaseBalance ?? '')]) }).toEqual({
        at,
        running: account.lines.map((each) => [signed(each.runningBalance), signed(each.runningBaseBalance)]),
      });
      for (const end of ['opening', 'closing'] as const) {
        // A statement names also the currencies in which there is nothing left to show.
        const shown = page[end].filter(({ currency }) => account[end].some((other) => other.currency === currency));
        expect({ at, [end]: shown.map((each) => [each.currency, cents(each.balance), cents(each.baseBalance ?? '')]) }).toEqual({
          at,
          [end]: account[end].map((each) => [each.currency, signed(each.balance), signed(each.baseBalance)]),
        });
        for (const each of page[end]) expect(cents(each.baseDebit ?? '') - cents(each.baseCredit ?? '')).toBe(cents(each.baseNet ?? ''));
      }
      // The link of the account leads to these very figures.
      const led = await followStatement(reports, account.statement);
      expect([at, led.opening, led.closing]).toEqual([at, page.opening, page.closing]);

      const { body } = await reports.statement(bookId, account.account, question, 'csv');
      const rows = await csvRows(body);
      expect(rows.filter(({ row }) => row === 'line').map(({ baseBalance }) => baseBalance)).toEqual(
        lines.map(({ runningBaseBalance }) => runningBaseBalance),
      );
      expect(rows.filter(({ row }) => row === 'closing').map(({ baseBalance }) => baseBalance)).toEqual(
        page.closing.map(({ baseBalance }) => baseBalance),
      );
    }
  }, 120_000);

  it('changes since tell what entries did to base amounts, one by one and together', async () => {
    for (let round = 0; round < 15; round++) {
      const { from, to, question, counted, at } = situation();
      const { carry: _carry, ...asked } = question;
      const since = first + chance.below(question.knownAt - first + 1);
      const changes = await ask<ChangesSince>('changes-since', bookId, { ...asked, since, limit: 1_000 });
      const inRange = counted.filter(({ date }) => date >= from && date <= to);
      const expected = [...codes].sort().flatMap((account) =>
        ['EUR', 'USD'].flatMap((currency) => {
          const own = inRange.filter((each) => each.account === account && each.currency === currency);
          const before = own.filter(({ position }) => position <= since);
          if (sum(own, 'net') === sum(before, 'net') && sum(own, 'base') === sum(before, 'base')) return [];
          return [[account, currency, ...[before, own].flatMap((lines) => [sum(lines, 'net'), sum(lines, 'base')])]];
        }),
      );
      const figures = changes.accounts.map(({ account, currency, before, after, baseBefore = '', baseAfter = '' }) => [
        ...[account, currency, cents(before), cents(baseBefore), cents(after), cents(baseAfter)],
      ]);
      expect({ at, since, figures }).toEqual({ at, since, figures: expected });
      const told = new Map<string, bigint>();
      for (const { account, currency, baseBefore = '', baseChange = '', baseAfter = '' } of changes.entries.flatMap(
        (item) => item.accounts,
      )) {
        expect(cents(baseBefore) + cents(baseChange)).toBe(cents(baseAfter));
        told.set(`${account} ${currency}`, cents(baseAfter));
      }
      for (const { account, currency, baseAfter = '' } of changes.accounts)
        expect([at, since, told.get(`${account} ${currency}`)]).toEqual([at, since, cents(baseAfter)]);
    }
  }, 120_000);
});

describe('balances in base currency', () => {
  it('hold what was acknowledged before the question, folded or not, at any date and position', async () => {
    const bookId = 'balances';
    const chance = random(seed + 1);
    await openTrackedBook(ledger, bookId, { startsOn: '2025-01-01' });
    const first = (await store.head(bookId)).position;
    // Nobody folds here but this spec, so the end of the log is read from the streams.
    const impatient = new Queries(store, pool, { readWaitMs: 0 });
    for (let turn = 0; turn < 4; turn++) {
      for (let batch = 0; batch < 3; batch++) await post(bookId, chance, 1 + chance.below(50));
      const all = await linesOf(bookId);
      const head = (await store.head(bookId)).position;
      for (let round = 0; round < 25; round++) {
        const account = chance.pick(codes);
        const asOf = chance.pick([undefined, dateIn(chance)]);
        const knownAt = chance.pick([undefined, first + chance.below(head - first + 1)]);
        const at = JSON.stringify({ where, turn, account, asOf, knownAt });
        const { balances } = await impatient.balance(bookId, account, { asOf, knownAt });
        const own = all.filter(
          (each) => each.account === account && each.position <= (knownAt ?? head) && (asOf === undefined || each.date <= asOf),
        );
        const expected = ['EUR', 'USD'].flatMap((currency) => {
          const lines = own.filter((each) => each.currency === currency);
          if (lines.length === 0) return [];
          const of = (side: string): bigint =>
            sum(
              lines.filter((each) => each.side === side),
              'base',
            );
          const [debit, credit] = [of('debit'), -of('credit')];
          const sign = creditSide.includes(account) ? -1n : 1n;
          return [[currency, debit, credit, debit - credit, sign * (debit - credit)]];
        });
        const shown = balances.map(({ currency, baseDebit = '', baseCredit = '', baseNet = '', baseBalance = '' }) => [
          ...[currency, cents(baseDebit), cents(baseCredit), cents(baseNet), cents(baseBalance)],
        ]);
        expect({ at, shown }).toEqual({ at, shown: expected });
      }
      await fold(bookId);
      for (const asOf of [undefined, dateIn(chance)]) {
        const { balances } = await queries.balances(bookId, { asOf, limit: 1_000 });
        for (const { account, ...balance } of balances) {
          const { balances: one } = await queries.balance(bookId, account, { asOf });
          expect(one.find(({ currency }) => currency === balance.currency)).toEqual(balance);
        }
        const own = all.filter(({ date }) => asOf === undefined || date <= asOf);
        const keys = [...new Set(own.map(({ account, currency }) => `${account} ${currency}`))].filter((key) => {
          const lines = own.filter(({ account, currency }) => `${account} ${currency}` === key);
          return sum(lines, 'net') !== 0n || sum(lines, 'base') !== 0n;
        });
        expect(balances.map(({ account, currency }) => `${account} ${currency}`)).toEqual(keys.sort());
      }
    }
  }, 120_000);

  it('of a line in base currency whose leg does not repeat it are its amount; a balance of nothing but base amounts is one', async () => {
    const bookId = 'alone';
    await openTrackedBook(ledger, bookId, { startsOn: '2025-01-01' });
    const worth = [line('Bank', 'debit', '0', 'USD', { baseAmount: '3.00' }), line('Sales', 'credit', '0', 'USD', { baseAmount: '3.00' })];
    await carryOut(ledger, bookId, { type: 'PostEntry', effectiveDate: '2026-01-31', description: 'Dearer', lines: worth });
    await fold(bookId);
    const alone = { currency: 'USD', debit: '0.00', credit: '0.00', net: '0.00', balance: '0.00' };
    const inBase = { baseDebit: '3.00', baseCredit: '0.00', baseNet: '3.00', baseBalance: '3.00' };
    expect((await queries.balances(bookId)).balances[0]).toEqual({ account: 'Bank', ...alone, ...inBase });
    for (const asOf of [undefined, '2026-02-27', '2026-12-30'])
      expect((await queries.balance(bookId, 'Bank', { asOf })).balances).toEqual([{ ...alone, ...inBase }]);
    const own = [line('Bank', 'debit', '5', 'EUR'), line('Sales', 'credit', '5', 'EUR')];
    await carryOut(ledger, bookId, { type: 'PostEntry', effectiveDate: '2026-02-01', description: 'Own', lines: own });
    // As releases before wrote it.
    await admin.query(
      `ALTER TABLE log.events DISABLE TRIGGER USER; UPDATE log.events SET data = data - 'baseAmount'
        WHERE book_id = '${bookId}' AND event_type IN ('AccountDebited', 'AccountCredited'); ALTER TABLE log.events ENABLE TRIGGER USER`,
    );
    const { balances } = await queries.balance(bookId, 'Bank');
    expect(balances).toMatchObject([
      { currency: 'EUR', baseBalance: '5.00' },
      { currency: 'USD', baseBalance: '3.00' },
    ]);
  });

  it('are not shown by a book that does not track it, whose lines may state them all the same; it is asked in one statement', async () => {
    const bookId = 'untracked';
    await carryOut(ledger, bookId, { type: 'OpenBook', id: bookId, name: bookId, baseCurrency: 'EUR', fiscalYearStart: '01-01' });
    await carryOut(ledger, bookId, { type: 'OpenAccount', code: 'Bank', name: 'Bank', accountType: 'asset' });
    await carryOut(ledger, bookId, { type: 'OpenAccount', code: 'Sales', name: 'Sales', accountType: 'income' });
    const lines = [line('Bank', 'debit', '1', 'USD', { baseAmount: '0.90' }), line('Sales', 'credit', '1', 'USD', { baseAmount: '0.90' })];
    await carryOut(ledger, bookId, { type: 'PostEntry', effectiveDate: '2026-01-01', description: 'Sale', lines });
    await fold(bookId);
    const counted = openPool(database.appUrl, { max: 1 });
    const query = counted.query.bind(counted) as (...args: unknown[]) => unknown;
    let statements = 0;
    Object.assign(counted, {
      query: (...args: unknown[]): unknown => {
        statements++;
        return query(...args);
      },
    });
    const asking = new Queries(new EventStore(counted, catalogue), counted, { readWaitMs: 0 });
    const answer = [{ currency: 'USD', debit: '1.00', credit: '0.00', net: '1.00', balance: '1.00' }];
    expect((await asking.balance(bookId, 'Bank')).balances).toEqual(answer);
    const { position } = await store.head(bookId);
    for (const question of [{}, { asOf: '2026-12-31' }, { knownAt: position }]) {
      statements = 0;
      expect((await asking.balance(bookId, 'Bank', question)).balances).toEqual(answer);
      expect(statements).toBe(1);
    }
    await counted.end();
    expect((await queries.balances(bookId)).balances).toEqual([
      { account: 'Bank', ...answer[0] },
      expect.not.objectContaining({ baseNet: expect.anything() }),
    ]);
    const texts = await Promise.all([
      reports.answer('general-ledger', bookId, { period: '2026' }, 'json'),
      reports.answer('changes-since', bookId, { period: '2026', since: 1 }, 'json'),
      reports.statement(bookId, 'Bank', {}, 'json'),
    ]);
    for (const { body } of texts) expect(body).not.toMatch(/"(base|runningBase)/);
  });
});
