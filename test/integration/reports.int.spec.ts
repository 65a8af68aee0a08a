/**
 * Reports at any (as-of, known-at): random histories with a tree of accounts, several currencies, dimensions, back-dated entries,
 * reversals, corrections and closing entries, against sums over a plain list of the lines of the log; the four classic failures of
 * stored closing balances, one by one; the same bytes for ever.
 *
 * REPORTS_SEED chooses the histories; each failure names its seed.
 */
import { parse } from 'csv-parse/sync';
import type { Client, Pool } from 'pg';
import { type AccountType, addDays, type CalendarDate, fromMinor, type JournalEntryPosted, toMinor } from '#domain';
import { EventStore, instantMicros } from '#event-store';
import {
  type BalanceSheet,
  type CashFlow,
  type ChangesSince,
  type Command,
  catalogue,
  type GeneralLedger,
  type IncomeStatement,
  Projector,
  Queries,
  type ReportName,
  type ReportQuestion,
  Reports,
  type TrialBalance,
} from '#ledger';
import { connect, openPool } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';
import { type Random, random } from '../support/histories';
import { ReferenceLedger } from '../support/reference-ledger';
import { followStatement } from '../support/statements';

const seed = Number(process.env.REPORTS_SEED ?? Date.now() % 1_000_000);

const user = '01930000-0000-7000-8000-000000000001';

let database: TestDatabase;
let admin: Client;
let pool: Pool;
let store: EventStore;
/** Each way to the totals of a chart by itself (0: buckets, Infinity: month ends), and the one that is the shorter. */
let ways: readonly Reports[];
const way = random(seed + 3);
const reports = (): Reports => way.pick(ways);
let projector: Projector;

beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
  pool = openPool(database.appUrl, { max: 6 });
  store = new EventStore(pool, catalogue);
  ways = [0, Number.POSITIVE_INFINITY, undefined].map((way) => new Reports(store, new Queries(store, pool, { readWaitMs: 30_000 }), way));
  projector = new Projector(store, pool, { sweepMs: 10, monthEndsEvery: 128 });
  projector.start();
});
afterAll(async () => {
  await projector.stop();
  await pool.end();
  await admin.end();
  await database.drop();
});

const ask = async <T>(name: ReportName, book: string, question: ReportQuestion): Promise<T> =>
  JSON.parse((await reports().answer(name, book, question, 'json')).body as string) as T;

async function text(name: ReportName, book: string, question: ReportQuestion, format: 'json' | 'csv'): Promise<string> {
  const { body } = await reports().answer(name, book, question, format);
  if (typeof body === 'string') return body;
  let whole = '';
  for await (const piece of body) whole += piece;
  return whole;
}

const csv = async (name: ReportName, book: string, question: ReportQuestion): Promise<Record<string, string>[]> =>
  parse(await text(name, book, question, 'csv'), { columns: true }) as Record<string, string>[];

// --- Random books, and their plain reading ---

const chart: readonly (readonly [code: string, type: AccountType, parent?: string, more?: object])[] = [
  ['1', 'asset', undefined, { postable: false }],
  ['10', 'asset', '1', { subtype: 'cash' }],
  ['11', 'asset', '1'],
  ['110', 'asset', '11', { cashFlow: 'investing' }],
  ['19', 'asset', '1', { contra: true }],
  ['20', 'liability'],
  ['30', 'equity', undefined, { cashFlow: 'financing' }],
  ['40', 'income'],
  ['401', 'income', '40'],
  ['50', 'expense'],
];
const codes = chart.flatMap(([code, , , more]) => ((more as { postable?: false } | undefined)?.postable === false ? [] : [code]));
const currencies = ['EUR', 'JPY'] as const;
const scaleOf = (currency: string): number => (currency === 'JPY' ? 0 : 2);
const typeOf = (code: string): AccountType => chart.find(([known]) => known === code)?.[1] ?? 'asset';
const isNominal = (code: string): boolean => ['income', 'expense'].includes(typeOf(code));
/** The account and everything below it. */
const family = (code: string): string[] => [code, ...chart.flatMap(([known, , parent]) => (parent === code ? family(known) : []))];

interface FoldedLine {
  readonly position: number;
  readonly date: CalendarDate;
  readonly entryId: string;
  readonly account: string;
  readonly currency: string;
  /** Debit − credit, minor units. */
  readonly net: bigint;
  readonly pairs: readonly string[];
  /** Of a closing entry, or of the reversal of one. */
  readonly closing: boolean;
}

async function foldedLines(bookId: string): Promise<FoldedLine[]> {
  const { rows } = await admin.query<{ position: number; stream_id: string; data: JournalEntryPosted }>(
    "SELECT position, stream_id, data FROM log.events WHERE book_id = $1 AND event_type = 'JournalEntryPosted' ORDER BY position",
    [bookId],
  );
  const closings = new Set(rows.filter(({ data }) => data.entryType === 'closing').map(({ stream_id }) => stream_id));
  return rows.flatMap(({ position, stream_id, data }) => {
    const reversed = data.links?.find(({ rel }) => rel === 'reverses')?.entryId ?? '';
    return data.lines.map(({ code, currency, side, amount, dimensions = [] }) => {
      const minor = toMinor(amount, scaleOf(currency)) as bigint;
      return {
        ...{ position, date: data.effectiveDate, entryId: stream_id, account: code, currency },
        net: side === 'debit' ? minor : -minor,
        pairs: dimensions.map(({ key, value }) => `${key}:${value}`),
        closing: closings.has(stream_id) || closings.has(reversed),
      };
    });
  });
}

const sumOf = (lines: readonly FoldedLine[]): bigint => lines.reduce((total, { net }) => total + net, 0n);

/** Years from 2022-04 to 2026-03, with a quarter in which nothing happens. */
const dateIn = (chance: Random): CalendarDate => {
  const date = addDays('2022-01-01', chance.below(1400));
  return date.startsWith('2023-07') || date.startsWith('2023-08') ? '2023-09-01' : date;
};

class RandomBook {
  private readonly entries: string[] = [];
  private serial = 0;
  private micros = instantMicros('2026-01-01T00:00:00Z') ?? 0;

  private constructor(
    private readonly ledger: ReferenceLedger,
    readonly bookId: string,
    private readonly chance: Random,
  ) {}

  static async open(bookId: string, own: number): Promise<RandomBook> {
    const clock = { now: (): number => 0 };
    const ledger = await ReferenceLedger.open(database.adminUrl, { now: () => clock.now() });
    const book = new RandomBook(ledger, bookId, random(own));
    clock.now = () => book.micros;
    await book.run({ type: 'OpenBook', id: bookId, name: 'Random', baseCurrency: 'EUR', fiscalYearStart: '04-01' });
    for (const [code, accountType, parent, more] of chart) {
      await book.run({ type: 'OpenAccount', code, name: `Account ${code}`, accountType, parent, ...more });
    }
    return book;
  }

  close = (): Promise<void> => this.ledger.close();

  private async run(...commands: Command[]): Promise<void> {
    this.micros += this.chance.pick([1, 1_000_000]);
    const commanded = commands.map((command) => ({
      command,
      context: { key: `${this.bookId}-${++this.serial}`, userId: user, source: 'job' as const },
    }));
    for (const [index, answer] of (await this.ledger.executeBatch(this.bookId, commanded)).entries()) {
      if (answer instanceof Error) throw answer;
      if (!commands[index]?.type.endsWith('Entry')) continue;
      const { id } = JSON.parse(answer.body) as { id?: string };
      if (answer.status < 300 && id !== undefined) this.entries.push(id);
    }
  }

  /** One batch, long enough at times that positions lie far inside it. */
  async batch(): Promise<void> {
    await this.run(...Array.from({ length: 1 + this.chance.below(this.chance.pick([3, 40])) }, () => this.command()));
  }

  private command(): Command {
    const { chance } = this;
    const kind = chance.below(12);
    if (kind === 0 && this.entries.length > 0) {
      return { type: 'ReverseEntry', entryId: chance.pick(this.entries), reason: 'wrong', effectiveDate: dateIn(chance) };
    }
    if (kind === 1 && this.entries.length > 0) {
      return { type: 'CorrectEntry', ...this.entry(), entryId: chance.pick(this.entries), reason: 'mistyped' } as Command;
    }
    return { type: 'PostEntry', ...this.entry() } as Command;
  }

  private entry(): object {
    const { chance } = this;
    const lines: object[] = [];
    for (let pairs = 1 + chance.below(3); pairs > 0; pairs--) {
      const currency = chance.pick(currencies);
      const amount = fromMinor(BigInt(1 + chance.below(1_000_000)), scaleOf(currency));
      const dimensions = (): object => {
        const given = [chance.pick(['a', 'b']), chance.pick(['1', '2'])];
        const all = [
          { key: 'cc', value: given[0] },
          { key: 'project', value: `p:${given[1]}` },
        ];
        return chance.below(3) === 0 ? {} : { dimensions: all.slice(0, 1 + chance.below(2)) };
      };
      lines.push({ account: chance.pick(codes), side: 'debit', amount, currency, ...dimensions() });
      lines.push({ account: chance.pick(codes), side: 'credit', amount, currency, ...dimensions() });
    }
    const entryType = chance.below(10) === 0 ? 'closing' : 'normal';
    return { effectiveDate: dateIn(chance), description: `Entry ${this.serial}`, entryType, lines };
  }
}

const yearFrom = (date: CalendarDate): CalendarDate => {
  const start = `${date.slice(0, 4)}-04-01`;
  return start <= date ? start : `${Number(date.slice(0, 4)) - 1}-04-01`;
};

const minor = (amount: string, currency: string): bigint =>
  amount.startsWith('-') ? -(toMinor(amount.slice(1), scaleOf(currency)) as bigint) : (toMinor(amount, scaleOf(currency)) as bigint);

/** Figures of a trial balance as the lines say: opening, debit, credit, closing by `account currency`; zeros left out. */
function expectedFigures(
  lines: readonly FoldedLine[],
  { from, to }: { from: CalendarDate; to: CalendarDate },
  carry: 'fiscalYear' | 'none',
  alone: boolean,
): Record<string, string> {
  const figures: Record<string, string> = {};
  for (const [code] of chart) {
    for (const currency of currencies) {
      const own = lines.filter((line) => line.currency === currency && (alone ? [code] : family(code)).includes(line.account));
      const opens = carry === 'fiscalYear' && isNominal(code) ? yearFrom(from) : '';
      const before = own.filter(({ date }) => date < from && date >= opens);
      const inside = own.filter(({ date }) => date >= from && date <= to);
      const [opening, debit, credit] = [
        sumOf(before),
        sumOf(inside.filter(({ net }) => net > 0n)),
        -sumOf(inside.filter(({ net }) => net < 0n)),
      ];
      if (opening === 0n && debit === 0n && credit === 0n) continue;
      figures[`${code} ${currency}`] = [opening, debit, credit, opening + debit - credit].join(' ');
    }
  }
  return figures;
}

const shownFigures = (
  rows: readonly { account: string; currency: string; opening: string; debit: string; credit: string; closing: string }[],
) =>
  Object.fromEntries(
    rows.map(({ account, currency, ...row }) => [
      `${account} ${currency}`,
      [row.opening, row.debit, row.credit, row.closing].map((amount) => minor(amount, currency)).join(' '),
    ]),
  );

describe(`reports against a plain fold of the log (REPORTS_SEED=${seed})`, () => {
  const bookId = 'random';
  let lines: FoldedLine[];
  let head: number;
  let first: number;
  const chance = random(seed + 1);

  beforeAll(async () => {
    const book = await RandomBook.open(bookId, seed);
    first = (await store.head(bookId)).position;
    for (let batch = 0; batch < 30; batch++) await book.batch();
    await book.close();
    lines = await foldedLines(bookId);
    head = (await store.head(bookId)).position;
  }, 120_000);

  /** A random range, position and filters, with the lines that count. */
  function situation() {
    const dates = [dateIn(chance), dateIn(chance)].sort() as [CalendarDate, CalendarDate];
    const [from, to] = chance.below(4) === 0 ? [dates[0], dates[0]] : dates;
    const knownAt = first + chance.below(head - first + 1);
    const carry = chance.pick(['fiscalYear', 'none'] as const);
    const closing = chance.pick(['include', 'exclude'] as const);
    const dimensions = chance.pick([[], [], ['cc:a'], ['cc:b', 'project:p:1']]);
    const known = lines.filter(({ position, pairs }) => position <= knownAt && dimensions.every((wanted) => pairs.includes(wanted)));
    const inRange = ({ date }: FoldedLine): boolean => date >= from && date <= to;
    const counted = known.filter((line) => closing === 'include' || !line.closing || !inRange(line));
    const question: ReportQuestion = { from, to, knownAt, carry, closing, dimensions };
    return { from, to, knownAt, carry, closing, dimensions, question, counted, where: JSON.stringify({ seed, ...question }) };
  }

  it('trial balance = general ledger = fold of the events, and debits = credits, at 100 random questions', async () => {
    for (let round = 0; round < 100; round++) {
      const { from, to, carry, dimensions, question, counted, where } = situation();
      const report = await ask<TrialBalance>('trial-balance', bookId, question);
      const rows = report.rows.map(({ account, currency, figures }) => ({
        account,
        currency,
        ...(figures[0] as NonNullable<(typeof figures)[0]>),
      }));
      expect({ where, figures: shownFigures(rows) }).toEqual({ where, figures: expectedFigures(counted, { from, to }, carry, false) });
      if (dimensions.length === 0) {
        expect({ where, balanced: report.balanced }).toEqual({ where, balanced: true });
        for (const { figures } of report.totals) expect({ where, debit: figures[0]?.debit }).toEqual({ where, debit: figures[0]?.credit });
      }
      const retained = carry === 'none' ? [] : counted.filter(({ account, date }) => isNominal(account) && date < yearFrom(from));
      const brought = Object.fromEntries(
        (report.retainedEarnings ?? []).map(({ currency, figures }) => [currency, minor(figures[0]?.opening ?? '', currency)]),
      );
      for (const currency of currencies)
        expect([where, brought[currency] ?? 0n]).toEqual([where, sumOf(retained.filter((line) => line.currency === currency))]);

      const ledger = await csv('general-ledger', bookId, question);
      const found: Record<string, [bigint, bigint, bigint, bigint]> = {};
      for (const { row, account, currency = '', debit = '', credit = '', balance = '' } of ledger) {
        if (row === 'retainedEarnings') continue;
        const figures = found[`${account} ${currency}`] ?? [0n, 0n, 0n, 0n];
        found[`${account} ${currency}`] = figures;
        if (row === 'opening') figures[0] = minor(balance, currency);
        else if (row === 'closing') figures[3] = minor(balance, currency);
        else {
          if (debit !== '') figures[1] += minor(debit, currency);
          if (credit !== '') figures[2] += minor(credit, currency);
          // The running balance goes on from line to line.
          expect([where, figures[0] + figures[1] - figures[2]]).toEqual([where, minor(balance, currency)]);
        }
      }
      const ours = Object.fromEntries(Object.entries(found).map(([key, figures]) => [key, figures.join(' ')]));
      expect({ where, ledger: ours }).toEqual({ where, ledger: expectedFigures(counted, { from, to }, carry, true) });
    }
  }, 300_000);

  it('every link to a statement leads to the figure that is shown', async () => {
    const signed = (account: string, amount = '0'): bigint =>
      minor(amount, 'EUR') * (['liability', 'equity', 'income'].includes(typeOf(account)) ? -1n : 1n);
    for (let round = 0; round < 12; round++) {
      const { question, where } = situation();
      const trial = await ask<TrialBalance>('trial-balance', bookId, question);
      for (const { currency, figures, own, statements = [] } of trial.rows) {
        // An account that something lies below shows what it has alone, which is all that has a statement.
        const { opening, closing } = (own ?? figures)[0] as (typeof figures)[0];
        for (const link of statements) {
          const statement = await followStatement(reports(), link);
          const of = (balances: typeof statement.opening): bigint =>
            minor(balances.find((balance) => balance.currency === currency)?.net ?? '0', currency);
          expect({ where, link, opening: of(statement.opening), closing: of(statement.closing) }).toEqual({
            ...{ where, link },
            ...{ opening: minor(opening, currency), closing: minor(closing, currency) },
          });
        }
      }
      const { from, to, knownAt, closing, dimensions } = question;
      const income = await ask<IncomeStatement>('income-statement', bookId, { from, to, knownAt, closing, dimensions, currency: 'EUR' });
      for (const { account, amounts, own, statements = [] } of income.sections.flatMap(({ rows }) => rows)) {
        for (const link of statements) {
          const statement = await followStatement(reports(), link);
          const [before = 0n, after = 0n] = [statement.opening, statement.closing].map(([balance]) => signed(account, balance?.net));
          const shown = minor((own ?? amounts)[0] ?? '', 'EUR');
          expect({ where, link, moved: after - before }).toEqual({ where, link, moved: shown });
        }
      }
      const sheet = await ask<BalanceSheet>('balance-sheet', bookId, {
        ...question,
        from: undefined,
        to: undefined,
        asOf: to,
        currency: 'EUR',
      });
      for (const { account, amounts, own, statements = [] } of sheet.sections.flatMap(({ rows }) => rows)) {
        for (const link of statements) {
          const { closing: end } = await followStatement(reports(), link);
          const shown = minor((own ?? amounts)[0] ?? '', 'EUR');
          expect({ where, link, end: signed(account, end[0]?.net) }).toEqual({ where, link, end: shown });
        }
      }
    }
  }, 120_000);

  it('all dates that there can be are a range like others', async () => {
    const range = { from: '1900-01-01', to: '2199-12-31' };
    for (const carry of ['fiscalYear', 'none'] as const) {
      const report = await ask<TrialBalance>('trial-balance', bookId, { ...range, carry });
      const rows = report.rows.map(({ account, currency, figures }) => ({
        account,
        currency,
        ...(figures[0] as NonNullable<(typeof figures)[0]>),
      }));
      expect(shownFigures(rows)).toEqual(expectedFigures(lines, range, carry, false));
    }
    const sheet = await ask<BalanceSheet>('balance-sheet', bookId, { asOf: '1900-01-01', compare: '2199-12-31', currency: 'EUR' });
    expect(sheet).toMatchObject({ balanced: true, columns: [{ yearFrom: '1899-04-01' }, { yearFrom: '2199-04-01' }] });
  });

  it('the general ledger in pages is the general ledger, wherever pages end', async () => {
    for (let round = 0; round < 3; round++) {
      const { question, where } = situation();
      const limit = chance.pick([2, 7, 30]);
      const rows: string[] = [];
      let cursor: string | undefined;
      do {
        const page: GeneralLedger = await ask('general-ledger', bookId, { ...question, limit, cursor });
        expect(page.accounts.length).toBeLessThanOrEqual(limit);
        for (const { account, lines: own } of page.accounts)
          rows.push(...own.map((line) => `${account} ${line.entryId} ${line.line} ${line.runningBalance}`));
        cursor = page.nextCursor;
      } while (cursor !== undefined);
      const whole = (await csv('general-ledger', bookId, question)).filter(({ row }) => row === 'line');
      expect({ where, rows }).toEqual({
        where,
        rows: whole.map(({ account, entryId, line, balance }) => `${account} ${entryId} ${line} ${balance}`),
      });
    }
  }, 120_000);

  it('a moment that is wrong is named as the question names it', async () => {
    for (const since of [String(head + 1), 'yesterday', 'close:1999-1'])
      await expect(ask('changes-since', bookId, { from: '2024-01-01', to: '2024-12-31', since })).rejects.toMatchObject({
        details: { member: 'since' },
        message: expect.stringMatching(/^since /),
      });
  });

  it('a cursor with a position that the log does not have yet is none that a listing gave', async () => {
    const { position: head } = await store.head(bookId);
    const forged = (cursor = ''): string => {
      const parts = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as unknown[];
      return Buffer.from(JSON.stringify(parts.with(2, head + 1))).toString('base64url');
    };
    const refusal = { code: 'malformed', details: { member: 'cursor' } };
    for (const name of ['general-ledger', 'journal', 'changes-since'] as const) {
      const question = { from: '2022-01-01', to: '2025-12-31', limit: 2, ...(name === 'changes-since' ? { since: 20 } : {}) };
      const { nextCursor } = await ask<{ nextCursor?: string }>(name, bookId, question);
      await expect(ask(name, bookId, { ...question, cursor: forged(nextCursor) })).rejects.toMatchObject(refusal);
    }
    const page = await reports().statement(bookId, '10', { limit: 2 }, 'json');
    const cursor = forged((JSON.parse(page.body as string) as { nextCursor?: string }).nextCursor);
    await expect(reports().statement(bookId, '10', { limit: 2, cursor }, 'json')).rejects.toMatchObject(refusal);
  });

  it('balance sheet and income statement = fold of the events, and the sheet balances', async () => {
    for (let round = 0; round < 40; round++) {
      const { to, knownAt, carry, closing, where } = situation();
      const currency = chance.pick(currencies);
      const start = carry === 'fiscalYear' ? yearFrom(to) : '';
      const known = lines.filter((line) => line.position <= knownAt && line.currency === currency);
      const counted = known.filter((line) => line.date <= to && (closing === 'include' || !line.closing || line.date < start));
      const sheet = await ask<BalanceSheet>('balance-sheet', bookId, { asOf: to, knownAt, carry, closing, currency });
      expect({ where, balanced: sheet.balanced, difference: minor(sheet.difference[0] ?? '', currency) }).toEqual({
        where,
        balanced: true,
        difference: 0n,
      });
      const sign = (type: string): bigint => (type === 'asset' || type === 'expense' ? 1n : -1n);
      const ours = sheet.sections.flatMap(({ rows }) =>
        rows.map(({ account, amounts }) => [account, minor(amounts[0] ?? '', currency)] as const),
      );
      const wanted = chart
        .filter(([code]) => !isNominal(code))
        .map(([code, type]) => [code, sign(type) * sumOf(counted.filter(({ account }) => family(code).includes(account)))] as const)
        .filter(([, amount]) => amount !== 0n);
      expect({ where, rows: new Map(ours) }).toEqual({ where, rows: new Map(wanted) });
      const computed = Object.fromEntries(
        (sheet.sections[2]?.computed ?? []).map(({ row, amounts }) => [row, minor(amounts[0] ?? '', currency)]),
      );
      const nominal = counted.filter(({ account }) => isNominal(account));
      expect({ where, ...computed }).toEqual({
        where,
        ...(carry === 'fiscalYear' ? { retainedEarnings: -sumOf(nominal.filter(({ date }) => date < start)) } : {}),
        result: -sumOf(nominal.filter(({ date }) => date >= start)),
      });
      if (carry === 'none') continue;
      const statement = await ask<IncomeStatement>('income-statement', bookId, { from: start, to, knownAt, closing, currency });
      expect({ where, result: statement.result }).toEqual({ where, result: sheet.sections[2]?.computed?.[1]?.amounts });
    }
  }, 120_000);

  it('cash flow = fold of the events: opening cash + flows = closing cash', async () => {
    for (let round = 0; round < 20; round++) {
      const { from, to, knownAt, where } = situation();
      const currency = chance.pick(currencies);
      const report = await ask<CashFlow>('cash-flow', bookId, { from, to, knownAt, currency });
      const known = lines.filter((line) => line.position <= knownAt && line.currency === currency);
      const cash = known.filter(({ account }) => account === '10');
      const touched = new Set(cash.filter(({ date }) => date >= from && date <= to).map(({ entryId }) => entryId));
      const flow = (accounts: readonly string[]): bigint =>
        -sumOf(
          known.filter(({ account, entryId, date }) => accounts.includes(account) && touched.has(entryId) && date >= from && date <= to),
        );
      const [investing, financing] = [flow(['110']), flow(['30'])];
      const operating = flow(codes.filter((code) => !['10', '110', '30'].includes(code)));
      expect({
        where,
        all: [report.opening, ...report.sections.map(({ total }) => total), report.closing].map(([amount]) =>
          minor(amount ?? '', currency),
        ),
      }).toEqual({
        where,
        all: [
          sumOf(cash.filter(({ date }) => date < from)),
          operating,
          investing,
          financing,
          0n,
          sumOf(cash.filter(({ date }) => date <= to)),
        ],
      });
    }
  }, 120_000);

  it('journal = every entry of the range once, by number', async () => {
    for (let round = 0; round < 10; round++) {
      const { from, to, knownAt, where } = situation();
      const rows = await csv('journal', bookId, { from, to, knownAt });
      const wanted = lines.filter(({ position, date }) => position <= knownAt && date >= from && date <= to);
      const shown = rows.map(({ entryId, account, currency = '', debit = '', credit = '' }) =>
        [entryId, account, currency, debit === '' ? -minor(credit, currency) : minor(debit, currency)].join(' '),
      );
      expect({ where, rows: shown.sort() }).toEqual({
        where,
        rows: wanted.map((line) => [line.entryId, line.account, line.currency, line.net].join(' ')).sort(),
      });
      const numbers = rows.map(({ fiscalYear = '', number = '' }) => `${fiscalYear}/${number.padStart(6, '0')}`);
      expect(numbers).toEqual([...numbers].sort());
    }
  }, 60_000);

  it('changes since = what differs between two positions, entry by entry', async () => {
    for (let round = 0; round < 20; round++) {
      const { from, to, knownAt, dimensions, where } = situation();
      const since = chance.below(knownAt + 1);
      const counts = ({ date, pairs }: FoldedLine): boolean =>
        date >= from && date <= to && dimensions.every((wanted) => pairs.includes(wanted));
      const between = lines.filter((line) => counts(line) && line.position > since && line.position <= knownAt);
      const items: ChangesSince['entries'][number][] = [];
      let page: ChangesSince;
      let cursor: string | undefined;
      const limit = chance.pick([3, 100]);
      do {
        page = await ask('changes-since', bookId, { from, to, since, knownAt, dimensions, limit, cursor });
        items.push(...page.entries);
        cursor = page.nextCursor;
      } while (cursor !== undefined);
      expect({ where, entries: items.map(({ id }) => id) }).toEqual({
        where,
        entries: [...new Set(between.map(({ entryId }) => entryId))],
      });
      const movement = (account: string, currency: string, position: number): bigint =>
        sumOf(lines.filter((line) => counts(line) && line.account === account && line.currency === currency && line.position <= position));
      for (const { position, accounts } of items)
        for (const { account, currency, before, after } of accounts)
          expect([where, minor(before, currency), minor(after, currency)]).toEqual([
            where,
            movement(account, currency, position - 1),
            movement(account, currency, position),
          ]);
      const changed = codes.flatMap((account) =>
        currencies.flatMap((currency) => {
          const [before, after] = [movement(account, currency, since), movement(account, currency, knownAt)];
          return before === after ? [] : [{ account, currency, before, after }];
        }),
      );
      const told = page.accounts.map(({ account, currency, before, after }) => ({
        account,
        currency,
        before: minor(before, currency),
        after: minor(after, currency),
      }));
      expect({ where, told }).toEqual({ where, told: changed });
    }
  }, 120_000);
});

describe('the classic failures of stored closing balances', () => {
  const bookId = 'classic';
  const months = Array.from({ length: 12 }, (_, index) => `2026/${index + 1}`);
  const year = { period: months[0] as string, compare: months.slice(1).join() };
  let serial = 0;
  const post = async (effectiveDate: string, debit: string, credit: string, amount: string, more: object = {}): Promise<string> => {
    const ledger = await ReferenceLedger.open(database.adminUrl, {});
    const lines = [
      { account: debit, side: 'debit', amount, currency: 'EUR' },
      { account: credit, side: 'credit', amount, currency: 'EUR' },
    ];
    const command = { type: 'PostEntry', effectiveDate, description: 'x', lines, ...more } as Command;
    const answer = await ledger.execute(bookId, command, { key: `post-${++serial}`, source: 'job', userId: user });
    await ledger.close();
    return (JSON.parse(answer.body) as { id: string }).id;
  };

  beforeAll(async () => {
    const ledger = await ReferenceLedger.open(database.adminUrl, {});
    const opening: Command[] = [
      { type: 'OpenBook', id: bookId, name: 'Classic', baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2025-01-01' },
      { type: 'OpenAccount', code: '1', name: 'Assets', accountType: 'asset' },
      { type: 'OpenAccount', code: '10', name: 'Bank', accountType: 'asset', parent: '1' },
      { type: 'OpenAccount', code: '3', name: 'Equity', accountType: 'equity' },
      { type: 'OpenAccount', code: '4', name: 'Sales', accountType: 'income' },
      { type: 'OpenAccount', code: '5', name: 'Rent', accountType: 'expense' },
    ];
    for (const [index, command] of opening.entries())
      await ledger.execute(bookId, command, { key: `open-${index}`, source: 'job', userId: user });
    await ledger.close();
    await post('2025-12-31', '10', '4', '7.00');
    await post('2026-01-15', '10', '4', '100.00');
    await post('2026-05-05', '5', '10', '40.00');
    await post('2026-12-31', '10', '4', '10.00');
  });

  it('trial balance ≠ general ledger: a back-dated entry is in both at once', async () => {
    const before = (await store.head(bookId)).position;
    await post('2026-03-03', '10', '4', '1.00');
    for (const knownAt of [before, undefined]) {
      const trial = await ask<TrialBalance>('trial-balance', bookId, { period: '2026', knownAt });
      const ledger = await ask<GeneralLedger>('general-ledger', bookId, { period: '2026', knownAt });
      const own = trial.rows.map(({ account, figures, own: alone = figures }) => [account, alone[0]?.opening, alone[0]?.closing]);
      const theirs = ledger.accounts.map(({ account, opening, closing }) => [account, opening[0]?.balance, closing[0]?.balance]);
      expect(own.filter(([, opening, closing]) => opening !== '0.00' || closing !== '0.00')).toEqual(theirs);
      expect(trial.retainedEarnings?.[0]?.figures[0]?.opening).toBe(ledger.retainedEarnings?.[0]?.balance);
    }
  });

  it('double counting: a parent counts what is below it once, a closing entry counts once, twelve months make the year', async () => {
    const trial = await ask<TrialBalance>('trial-balance', bookId, { ...year, period: '2026', compare: months.slice(0, 11).join() });
    const [parent, child] = trial.rows;
    expect([parent?.account, child?.account]).toEqual(['1', '10']);
    expect(parent?.figures).toEqual(child?.figures);
    const [whole, ...parts] = trial.totals[0]?.figures.map(({ debit }) => minor(debit, 'EUR')) ?? [];
    const december = await ask<TrialBalance>('trial-balance', bookId, { period: '2026/12' });
    expect(parts.reduce((sum, debit) => sum + debit, 0n) + minor(december.totals[0]?.figures[0]?.debit ?? '', 'EUR')).toBe(whole);

    const before = await ask<BalanceSheet>('balance-sheet', bookId, { period: '2026' });
    const next = await ask<BalanceSheet>('balance-sheet', bookId, { asOf: '2027-01-31' });
    await post('2026-12-31', '4', '3', '111.00', { entryType: 'closing' });
    await post('2026-12-31', '3', '5', '40.00', { entryType: 'closing' });
    const sums = ({ assets, liabilitiesAndEquity, balanced }: BalanceSheet) => ({ assets, liabilitiesAndEquity, balanced });
    for (const closing of ['include', 'exclude'] as const) {
      expect(sums(await ask('balance-sheet', bookId, { period: '2026', closing }))).toEqual(sums(before));
      expect(sums(await ask('balance-sheet', bookId, { asOf: '2027-01-31', closing }))).toEqual(sums(next));
    }
    const excluded = await ask<BalanceSheet>('balance-sheet', bookId, { period: '2026', closing: 'exclude' });
    expect(excluded.sections).toEqual(
      before.sections.map((section) => ({ ...section, rows: knownLater(section.rows, excluded.position) })),
    );
    expect((await ask<IncomeStatement>('income-statement', bookId, { period: '2026' })).result).toEqual(['71.00']);
    expect((await ask<IncomeStatement>('income-statement', bookId, { period: '2026', closing: 'include' })).result).toEqual(['0.00']);
  });

  /** Rows whose links are to a later position, and leave out closing entries. */
  const knownLater = (rows: BalanceSheet['sections'][number]['rows'], position: number) =>
    rows.map((row) => ({
      ...row,
      statements: row.statements?.map((link) => link.replace(/knownAt=\d+$/, `closing=exclude&knownAt=${position}`)),
    }));

  it('a closing entry that was reversed has closed nothing: both are left out together', async () => {
    const closing = await post('2025-12-31', '4', '3', '7.00', { entryType: 'closing' });
    const ledger = await ReferenceLedger.open(database.adminUrl, {});
    const reversal: Command = { type: 'ReverseEntry', entryId: closing, reason: 'too early', effectiveDate: '2025-12-31' };
    await ledger.execute(bookId, reversal, { key: 'reopen', source: 'job', userId: user });
    await ledger.close();
    const result = async (choice: 'include' | 'exclude') =>
      (await ask<IncomeStatement>('income-statement', bookId, { period: '2025', closing: choice })).result;
    expect([await result('exclude'), await result('include')]).toEqual([['7.00'], ['7.00']]);
    // Its batch is the reversal, two legs, and what is then said of the entry that it reverses.
    const { position: head } = await store.head(bookId);
    for (const knownAt of [head - 4, head - 3, head - 2, head - 1, head]) {
      const question = { asOf: '2025-12-31', knownAt, carry: 'none', closing: 'exclude' } as const;
      const { sections } = await ask<BalanceSheet>('balance-sheet', bookId, question);
      const own = sections.flatMap(({ rows }) => rows).find(({ account }) => account === '3');
      expect({ knownAt, own: own?.amounts }).toEqual({ knownAt, own: undefined });
    }
  });

  it('empty periods missing: a month without lines is a column, with what it was opened with', async () => {
    const { rows, columns } = await ask<TrialBalance>('trial-balance', bookId, { ...year, closing: 'exclude' });
    expect(columns.map(({ from }) => from.slice(0, 7))).toEqual(months.map((_, index) => `2026-${String(index + 1).padStart(2, '0')}`));
    const bank = rows
      .find(({ account }) => account === '10')
      ?.figures.map(({ opening, net, closing }) => [opening, net, closing].join(' '));
    expect(bank).toEqual([
      '7.00 100.00 107.00',
      '107.00 0.00 107.00',
      '107.00 1.00 108.00',
      '108.00 0.00 108.00',
      '108.00 -40.00 68.00',
      ...Array<string>(6).fill('68.00 0.00 68.00'),
      '68.00 10.00 78.00',
    ]);
  });

  it('opening ≠ closing: each month opens where the one before closed, and so does the next year (I13)', async () => {
    const { rows, retainedEarnings } = await ask<TrialBalance>('trial-balance', bookId, { ...year, closing: 'include' });
    for (const { figures } of rows)
      for (const [index, { opening }] of figures.entries()) if (index > 0) expect(opening).toBe(figures[index - 1]?.closing);
    const next = await ask<TrialBalance>('trial-balance', bookId, { period: '2027' });
    const closing = (code: string) => rows.find(({ account }) => account === code)?.figures.at(-1)?.closing;
    for (const { account, type, figures } of next.rows)
      expect([account, figures[0]?.opening]).toEqual([account, type === 'asset' || type === 'equity' ? closing(account) : '0.00']);
    // Closing entries are posted for 2026: nothing is left to be brought forward of it beyond what 2025 had.
    expect(next.retainedEarnings?.[0]?.figures[0]?.opening).toBe(retainedEarnings?.[0]?.figures[0]?.opening);
  });
});

/** Drops everything that was folded of a book; the projector folds it again. */
async function forget(bookId: string): Promise<void> {
  const { rows } = await admin.query<{ name: string }>("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'projections'");
  const tables = rows.map(({ name }) => name).filter((name) => name !== 'cursors');
  expect(tables).toContain('running_totals');
  // The cursors first: whoever folds at the moment is waited for, or finds its cursor gone.
  await admin.query('BEGIN');
  await admin.query('DELETE FROM projections.cursors WHERE book_id = $1', [bookId]);
  for (const table of tables) {
    const { rowCount } = await admin.query(
      "SELECT FROM information_schema.columns WHERE table_schema = 'projections' AND table_name = $1 AND column_name = 'book_id'",
      [table],
    );
    if (rowCount === 1) await admin.query(`DELETE FROM projections.${table} WHERE book_id = $1`, [bookId]);
  }
  await admin.query('COMMIT');
}

describe('a statement stays the same', () => {
  const names: readonly [ReportName, ReportQuestion][] = [
    ['trial-balance', { period: '2024', compare: '2023,2025/6' }],
    ['general-ledger', { period: '2024' }],
    ['balance-sheet', { asOf: '2024-12-31', currency: 'EUR', depth: 2 }],
    ['income-statement', { period: '2024', currency: 'JPY' }],
    ['cash-flow', { period: '2024', currency: 'EUR' }],
    ['journal', { period: '2024' }],
    ['changes-since', { period: '2024', since: 20 }],
  ];

  it('byte for byte, when asked again with position and version: later, and after a rebuild', async () => {
    const bookId = 'bytes';
    const book = await RandomBook.open(bookId, seed + 7);
    for (let batch = 0; batch < 8; batch++) await book.batch();
    const head = (await store.head(bookId)).position;
    // Inside the last batch, so that rows of totals do not end there.
    const knownAt = head - 1;
    const all = async (at?: number): Promise<string[]> => {
      const texts: string[] = [];
      for (const [name, question] of names)
        for (const format of ['json', 'csv'] as const)
          texts.push(await text(name, bookId, { ...question, knownAt: at, reportVersion: 1 }, format));
      const question = { from: '2023-01-01', knownAt: at, reportVersion: 1 };
      for (const code of ['10', '40']) {
        texts.push((await reports().statement(bookId, code, { ...question, limit: 200 }, 'json')).body as string);
        const rows: string[] = [];
        for await (const part of (await reports().statement(bookId, code, question, 'csv')).body) rows.push(String(part));
        texts.push(rows.join(''));
      }
      return texts;
    };
    const same = async (): Promise<void> => {
      const now = [...(await all(head)), ...(await all(knownAt))];
      // Not with toEqual of all: it would print megabytes.
      expect(now.findIndex((one, index) => one !== then[index])).toBe(-1);
    };
    const then = [...(await all()), ...(await all(knownAt))];
    for (let batch = 0; batch < 4; batch++) await book.batch();
    await book.close();
    await same();
    await forget(bookId);
    await same();
  }, 120_000);
});
