/**
 * Whole ledgers through the import, in the order of their file, with entries shuffled, and with rows shuffled: every balance
 * at every date equals what hledger, ledger, Beancount and a plain decimal sum say, while posting and afterwards; so do
 * statements line by line and trial balances.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AccountType, JournalEntryPosted } from '#domain';
import {
  type Answer,
  type BalanceSheet,
  type Command,
  type ImportOptions,
  type ImportSummary,
  type IncomeStatement,
  importFile,
  importFormats,
  type ReportName,
  type ReportQuestion,
  type Reports,
  type Service,
  type StatementLine,
  type TrialBalance,
  type Valuation,
} from '#ledger';
import { type TestDatabase, testDatabase } from '../support/database';
import {
  add,
  addressOf,
  type Balances,
  balancesByDate,
  type Expected,
  type ExpectedStatement,
  entriesOf,
  equal,
  type Posting,
  randomFrom,
  readExpected,
  readPostings,
  readPrices,
  shown,
  shuffled,
  units,
  writePostings,
} from '../support/postings';
import { openTestService, type TestService } from '../support/services';
import { askStatement } from '../support/statements';

const own = join(__dirname, '..', 'data');
/** Ledgers of other people, which the project may use and not copy. */
const shared = join(__dirname, '..', '..', '..', 'shared', 'data');

interface Ledger {
  readonly name: string;
  readonly file: string;
  readonly expected: string;
  readonly baseCurrency: string;
  readonly defaultType?: AccountType;
  /** Closing rates into the base currency. */
  readonly prices?: string;
}

const ledgers: readonly Ledger[] = [
  {
    name: 'multicurrency',
    file: join(own, 'multicurrency', 'multicurrency.postings.csv'),
    expected: join(own, 'multicurrency', 'expected'),
    baseCurrency: 'EUR',
    prices: join(own, 'multicurrency', 'prices.journal'),
  },
  {
    name: 'ledger-standard',
    file: join(shared, 'ledger-standard', 'ledger-standard.postings.csv'),
    expected: join(shared, 'expected', 'ledger-standard'),
    baseCurrency: 'USD',
    defaultType: 'asset',
  },
  {
    name: 'ledger-demo',
    file: join(shared, 'ledger-demo', 'ledger-demo.postings.csv'),
    expected: join(shared, 'expected', 'ledger-demo'),
    baseCurrency: 'USD',
  },
];

const seed = 20_261_122;
interface Order {
  readonly order: string;
  arrange(postings: readonly Posting[]): Posting[];
  /** A queue of 60 makes many small batches, so that there is a while in which balances can be asked. */
  readonly service: 'slow' | 'usual';
}

const orders: readonly Order[] = [
  { order: 'in the order of the file', arrange: (postings) => [...postings], service: 'slow' },
  { order: 'with entries shuffled', arrange: (postings) => shuffled([...entriesOf(postings).values()], seed).flat(), service: 'slow' },
  { order: 'with rows shuffled', arrange: (postings) => shuffled(postings, seed), service: 'usual' },
];

let database: TestDatabase;
const services = {} as Record<Order['service'], TestService>;
let directory: string;

beforeAll(async () => {
  database = await testDatabase();
  services.usual = await openTestService(database.appUrl);
  services.slow = await openTestService(database.appUrl, { QUEUE_PER_BOOK: '60' });
  directory = mkdtempSync(join(tmpdir(), 'book-keeper-ledgers-'));
});

afterAll(async () => {
  await services.slow?.close();
  await services.usual?.close();
  await database?.drop();
  rmSync(directory, { recursive: true, force: true });
});

const there = ({ file }: Ledger): boolean => existsSync(file);

for (const ledger of ledgers) {
  const [given, name] = there(ledger)
    ? [describe, ledger.name]
    : [describe.skip, `${ledger.name} [needs: ../shared/data beside the checkout]`];
  given(name, () => {
    for (const [index, order] of orders.entries())
      describe(order.order, () => suite(ledger, `${ledger.name}-${index}`, order, index === 0));
  });
}

function suite(ledger: Ledger, book: string, order: Order, fileOrder: boolean): void {
  let service: Service;
  let postings: Posting[];
  let expected: Expected;
  let options: ImportOptions;
  let summary: ImportSummary;
  let watched: Watched;

  beforeAll(async () => {
    ({ service } = services[order.service]);
    postings = readPostings(ledger.file);
    expected = readExpected(
      ledger.expected,
      postings.map(({ account }) => account),
    );
    options = {
      book,
      file: fileOrder ? ledger.file : writePostings(join(directory, `${book}.csv`), order.arrange(postings)),
      format: importFormats['postings-csv'] as ImportOptions['format'],
      source: ledger.name,
      create: { name: ledger.name, baseCurrency: ledger.baseCurrency, fiscalYearStart: '01-01' },
      defaultType: ledger.defaultType,
      zeroLines: 'refuse',
      onError: 'stop',
      dryRun: false,
      userId: service.bootstrapKey.id,
    };
    const watching = watch(service, book, [...new Set(postings.map(({ date }) => date))]);
    try {
      summary = await importFile(service, options, {
        refused: ({ line, reason }) => {
          throw new Error(`${line}: ${reason}`);
        },
      });
    } finally {
      watched = await watching.end();
    }
  });

  it('imports every entry', async () => {
    const entries = entriesOf(postings).size;
    expect(summary).toMatchObject({ posted: entries, alreadyThere: 0, refused: 0, bookOpened: true });
    expect(summary.ended).toBeUndefined();
    expect(summary.survey).toMatchObject({ entries, lines: postings.length });
    const facts = await service.store.readFacts(book, 0, Number.MAX_SAFE_INTEGER);
    const posted = facts.filter(({ eventType }) => eventType === 'JournalEntryPosted');
    const txns = posted.map(({ current }) => (current as unknown as JournalEntryPosted).source?.id);
    expect(new Set(txns)).toEqual(new Set(entriesOf(postings).keys()));
    expect(txns).toHaveLength(entries);
    if (fileOrder) expect(txns).toEqual([...entriesOf(postings).keys()]);
  });

  it('answered balances while posting, equal to a fold of the events up to the position that it named', () => {
    expect(watched.faults).toEqual([]);
    // A ledger of 13 entries is over at once.
    if (order.service === 'slow' && summary.posted > 1_000) expect(watched.whilePosting).toBeGreaterThan(0);
  });

  it('has the balances that the other programs computed', async () => {
    expect(expected.balances.length).toBeGreaterThan(0);
    for (const { date, balances } of expected.balances) {
      expect({ date, balances: shown(await balancesAsOf(service, book, date)) }).toEqual({ date, balances: shown(balances) });
    }
  });

  it('has at every date the plain decimal sum of the file', async () => {
    const all = [...balancesByDate(postings)];
    expect(all).toHaveLength(new Set(postings.map(({ date }) => date)).size);
    // Two orders of every ledger at each date are enough; the third costs the most and can differ the least.
    const wanted = order.service === 'slow' ? all : all.filter((_, index) => index % 10 === 0);
    for (let from = 0; from < wanted.length; from += 4) {
      await Promise.all(
        wanted.slice(from, from + 4).map(async ({ date, balances }) => {
          const ours = await balancesAsOf(service, book, date);
          // Comparing a thousand times with expect takes longer than asking.
          if (!equal(ours, balances)) expect({ date, balances: shown(ours) }).toEqual({ date, balances: shown(balances) });
        }),
      );
    }
  });

  it('has the trial balances of the years', async () => {
    expect(expected.trialBalances.length).toBeGreaterThan(0);
    for (const { year, rows } of expected.trialBalances) {
      const wanted = rows.map(({ account, commodity, ...amounts }) => [
        addressOf(account, commodity),
        ...[amounts.opening, amounts.debit, amounts.credit, amounts.closing].map((amount) => String(units(amount))),
      ]);
      expect({ year, rows: (await trialBalance(service, book, Number(year))).sort() }).toEqual({ year, rows: wanted.sort() });
    }
  });

  const statements = readdirSync(there(ledger) ? ledger.expected : '.').filter((name) => name.startsWith('statement.'));
  if (statements.length > 0)
    it(`has the ${statements.length} statements, line by line`, async () => {
      expect(expected.statements).toHaveLength(statements.length);
      for (const statement of expected.statements) await compareStatement(service, book, statement, fileOrder);
    });

  it('reports the trial balances that the other programs computed', async () => {
    for (const { year, rows } of expected.trialBalances) {
      const wanted = rows.map(({ account, commodity, opening, debit, credit, closing }) => [
        addressOf(account, commodity),
        ...[opening, debit, credit, closing].map((amount) => String(units(amount))),
      ]);
      const report = await reportOf<TrialBalance>(service.reports, 'trial-balance', book, { period: year, carry: 'none' });
      const ours = report.rows.map(({ account, currency, figures: [one] }) => [
        addressOf(account, currency),
        ...[one?.opening, one?.debit, one?.credit, one?.closing].map((amount) => String(units(amount ?? ''))),
      ]);
      expect({ year, rows: ours.sort() }).toEqual({ year, rows: wanted.sort() });
      expect(report.balanced).toBe(true);
    }
  });

  if (ledger.prices !== undefined) {
    const prices = readPrices(ledger.prices);
    it('reports every balance valued at closing rates, with every decimal', async () => {
      const rates = [...prices].flatMap(([date, of]) =>
        [...of].map(([from, value]) => ({
          from,
          to: ledger.baseCurrency,
          date,
          value,
          rateType: 'closing' as const,
          source: 'prices.journal',
        })),
      );
      await carryOut(service, book, 'rates', { type: 'RecordRates', rates });
      const { reports } = service;
      expect(expected.valued.length).toBeGreaterThan(0);
      for (const { date, rows } of expected.valued) {
        const report = await reportOf<Valuation>(reports, 'valuation', book, { asOf: date });
        const shownRow = (account: string, unit: string, ...amounts: string[]) =>
          [addressOf(account, unit), ...amounts.map(exact)].join(' ');
        const ours = report.rows.map(({ account, currency, quantity, rate, value }) =>
          shownRow(account, currency, quantity, rate.value, value),
        );
        const wanted = rows.map((row) => shownRow(row.account, row.commodity, row.quantity, row.closing_rate_eur, row.value_eur_exact));
        expect({ date, rows: ours.sort() }).toEqual({ date, rows: wanted.sort() });
        // The statements of the same day are the same values, rounded; what rounding leaves over is told.
        const sheet = await reportOf<BalanceSheet>(reports, 'balance-sheet', book, { asOf: date, in: ledger.baseCurrency });
        expect({ date, balanced: sheet.balanced, difference: sheet.difference }).toEqual({ date, balanced: true, difference: ['0.00'] });
        const result = sheet.sections[2]?.computed?.find(({ row }) => row === 'result')?.amounts;
        const year = await reportOf<IncomeStatement>(reports, 'income-statement', book, { period: date.slice(0, 4), in: 'EUR' });
        expect({ date, result }).toEqual({ date, result: year.result });
      }
      await expect(service.reports.answer('balance-sheet', book, { asOf: '2023-12-31' }, 'json')).rejects.toMatchObject({
        code: 'report_currency_needed',
      });
    });

    it('computes the closing entries of the years', async () => {
      const { reports } = service;
      expect(expected.closings.length).toBeGreaterThan(0);
      for (const { year, rows } of expected.closings) {
        const lines = await reports.closingLines(book, { period: year }, 'Equity:Retained-Earnings');
        const ours = lines.map(({ account, currency, side, amount }) => [
          addressOf(account, currency),
          String(side === 'debit' ? units(amount) : -units(amount)),
        ]);
        const wanted = rows.map((row) => [addressOf(row.account, row.commodity), String(units(row.closing_line_quantity))]);
        expect({ year, rows: ours.sort() }).toEqual({ year, rows: wanted.sort() });
      }
    });
  }

  it('posts nothing when it is imported again', async () => {
    const before = await service.store.head(book);
    const again = await importFile(service, options);
    expect(again).toMatchObject({
      posted: 0,
      alreadyThere: summary.posted,
      refused: 0,
      bookOpened: false,
      accountsOpened: 0,
      currenciesDeclared: [],
    });
    expect((await service.store.head(book)).position).toBe(before.position);
  });

  if (ledger.prices !== undefined) {
    it('posts the closing entries of the years, once, and the reports stay what they were', async () => {
      const retained = 'Equity:Retained-Earnings';
      await carryOut(service, book, 'retained', { type: 'OpenAccount', code: retained, name: retained, accountType: 'equity' });
      await carryOut(service, book, 'designate', { type: 'DesignateAccount', role: 'retained_earnings', account: retained });
      const statement = (year: string, more: ReportQuestion = {}) =>
        reportOf<IncomeStatement>(service.reports, 'income-statement', book, { period: year, currency: 'EUR', ...more });
      const before = await Promise.all(expected.closings.map(({ year }) => statement(year)));
      for (const { year, rows } of expected.closings) {
        const answer = await carryOut(service, book, `close-${year}`, { type: 'CloseFiscalYear', fiscalYear: year });
        const [posted] = (JSON.parse(answer.body) as { entries: { id: string }[] }).entries;
        const { lines, entryType, effectiveDate } = await service.queries.entry(book, posted?.id ?? '');
        const ours = lines.map((line) => [
          addressOf(line.account, line.currency),
          String(line.side === 'debit' ? units(line.amount) : -units(line.amount)),
        ]);
        const wanted = rows.map((row) => [addressOf(row.account, row.commodity), String(units(row.closing_line_quantity))]);
        expect({ year, rows: ours.sort(), entryType, effectiveDate }).toEqual({
          ...{ year, rows: wanted.sort() },
          ...{ entryType: 'closing', effectiveDate: `${year}-12-31` },
        });
        // Under another key there is nothing left to post; under the same one the answer is the first.
        expect(
          JSON.parse((await carryOut(service, book, `again-${year}`, { type: 'CloseFiscalYear', fiscalYear: year })).body),
        ).toMatchObject({ entries: [] });
        expect(await carryOut(service, book, `close-${year}`, { type: 'CloseFiscalYear', fiscalYear: year })).toMatchObject({
          body: answer.body,
          replayed: true,
        });
      }
      const after = await Promise.all(expected.closings.map(({ year }) => statement(year)));
      const figures = ({ result, sections }: IncomeStatement) => ({
        result,
        sections: JSON.stringify(sections).replaceAll(/knownAt=\d+/g, ''),
      });
      expect(after.map(figures)).toEqual(before.map(figures));
      const closed = await statement(expected.closings[0]?.year ?? '', { closing: 'include' });
      expect(closed.result).toEqual(['0.00']);
    });
  }
}

async function carryOut(service: Service, book: string, key: string, command: Command): Promise<Answer> {
  const answer = await service.execute(book, command, { key, userId: 'spec', source: 'job' });
  if (answer.status >= 400) throw new Error(answer.body);
  return answer;
}

async function reportOf<T>(reports: Reports, name: ReportName, book: string, question: ReportQuestion): Promise<T> {
  return JSON.parse((await reports.answer(name, book, question, 'json')).body as string) as T;
}

/** A decimal without zeros at its end. */
const exact = (text: string): string => (text.includes('.') ? text.replace(/\.?0+$/, '') : text);

/** All balances at the end of a day, debit positive, without zeros. */
async function balancesAsOf(from: Service, book: string, asOf: string, knownAt?: number): Promise<Balances> {
  const balances: Balances = new Map();
  let cursor: string | undefined;
  do {
    const page = await from.queries.balances(book, { asOf, knownAt, limit: 1_000, cursor });
    for (const { account, currency, net, debit, credit } of page.balances) {
      if (units(debit) - units(credit) !== units(net)) throw new Error(`${account} ${currency}: ${debit} - ${credit} is not ${net}`);
      add(balances, account, currency, units(net));
    }
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return balances;
}

/** Rows of one calendar year from two lists of balances: `[address, opening, debit, credit, closing]`. */
async function trialBalance(from: Service, book: string, year: number): Promise<string[][]> {
  const [before, after] = await Promise.all([totalsAsOf(from, book, `${year - 1}-12-31`), totalsAsOf(from, book, `${year}-12-31`)]);
  const rows: string[][] = [];
  for (const [address, { debit, credit }] of after) {
    const start = before.get(address) ?? { debit: 0n, credit: 0n };
    const amounts = [start.debit - start.credit, debit - start.debit, credit - start.credit, debit - credit];
    if (amounts.some((amount) => amount !== 0n)) rows.push([address, ...amounts.map(String)]);
  }
  return rows;
}

async function totalsAsOf(from: Service, book: string, asOf: string): Promise<Map<string, { debit: bigint; credit: bigint }>> {
  const totals = new Map<string, { debit: bigint; credit: bigint }>();
  let cursor: string | undefined;
  do {
    const page = await from.queries.balances(book, { asOf, includeZero: true, limit: 1_000, cursor });
    for (const { account, currency, debit, credit } of page.balances) {
      totals.set(addressOf(account, currency), { debit: units(debit), credit: units(credit) });
    }
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return totals;
}

async function compareStatement(from: Service, book: string, wanted: ExpectedStatement, fileOrder: boolean): Promise<void> {
  const { account, commodity, from: first, to: last, rows } = wanted;
  const lines: StatementLine[] = [];
  let opening: string | undefined;
  let closing: string | undefined;
  let cursor: string | undefined;
  do {
    // Few on a page, so that the running balance has to go on over pages.
    const page = await askStatement(from.reports, book, account, {
      from: first,
      to: last,
      currency: commodity,
      carry: 'none',
      limit: 20,
      cursor,
    });
    opening = page.opening[0]?.net;
    closing = page.closing[0]?.net;
    lines.push(...page.lines);
    cursor = page.nextCursor;
  } while (cursor !== undefined);

  const ours = await Promise.all(
    lines.map(async ({ entryId, date, description, side, amount, runningBalance }) => ({
      date,
      txn: (await from.queries.entry(book, entryId)).source?.id ?? '',
      description,
      amount: String(side === 'debit' ? units(amount) : -units(amount)),
      running: String(units(runningBalance)),
    })),
  );
  const theirs = rows.slice(1, -1).map(({ date, txn, description, amount, running_balance }) => ({
    date,
    txn,
    description,
    amount: String(units(amount)),
    running: String(units(running_balance)),
  }));
  const ends = [rows[0]?.running_balance, rows.at(-1)?.running_balance].map((text) => String(units(text ?? '')));
  expect({ account, ends: [String(units(opening ?? '0')), String(units(closing ?? '0'))] }).toEqual({ account, ends });
  expect(theirs.length).toBeGreaterThan(0);
  if (fileOrder) {
    expect({ account, lines: ours }).toEqual({ account, lines: theirs });
    return;
  }
  expect({ account, days: byDay(ours) }).toEqual({ account, days: byDay(theirs) });
  // Whatever the order within a day, the running balance goes from line to line.
  let running = units(opening ?? '0');
  for (const line of ours) {
    running += BigInt(line.amount);
    expect({ txn: line.txn, running: line.running }).toEqual({ txn: line.txn, running: String(running) });
  }
}

/** Lines of a day as a set, and the balance at its end. */
function byDay(lines: readonly { date: string; txn: string; description: string; amount: string; running: string }[]): object {
  const days: Record<string, { lines: string[]; end: string }> = {};
  for (const { date, txn, description, amount, running } of lines) {
    days[date] = { lines: [...(days[date]?.lines ?? []), JSON.stringify([txn, description, amount])].sort(), end: running };
  }
  return days;
}

interface Watched {
  readonly whilePosting: number;
  readonly faults: readonly string[];
}

/**
 * Asks for balances while entries are posted: all accounts as of some date at the position of the moment, and one account
 * likewise. Compares with the events up to the position that the answer named, added up here.
 */
function watch(from: Service, book: string, dates: readonly string[]): { end(): Promise<Watched> } {
  const random = randomFrom(seed);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  const faults: string[] = [];
  const facts: { position: number; posted: JournalEntryPosted }[] = [];
  let read = 0;
  let whilePosting = 0;
  let ended = false;

  const fold = async (position: number, asOf: string, account?: string): Promise<Balances> => {
    if (position > read) {
      for (const { eventType, position: at, current } of await from.store.readFacts(book, read, position)) {
        if (eventType === 'JournalEntryPosted') facts.push({ position: at, posted: current as unknown as JournalEntryPosted });
      }
      read = position;
    }
    const balances: Balances = new Map();
    for (const { position: at, posted } of facts) {
      if (at > position || posted.effectiveDate > asOf) continue;
      for (const { code, currency: unit, side, amount } of posted.lines) {
        if (account === undefined || account === code) add(balances, code, unit, side === 'debit' ? units(amount) : -units(amount));
      }
    }
    return balances;
  };
  const compare = (what: string, ours: Balances, wanted: Balances): void => {
    if (!equal(ours, wanted)) faults.push(`${what}: ${JSON.stringify(shown(ours))}, but the events say ${JSON.stringify(shown(wanted))}`);
  };
  const ask = async (): Promise<void> => {
    const { position } = await from.store.head(book);
    if (position === 0) return;
    const asOf = pick(dates);
    // Positions inside a batch too, which no projection has a row for.
    const knownAt = random() < 0.5 ? position : 1 + Math.floor(random() * position);
    compare(`all accounts as of ${asOf} at ${knownAt}`, await balancesAsOf(from, book, asOf, knownAt), await fold(knownAt, asOf));
    const account = facts.length === 0 ? undefined : pick(pick(facts).posted.lines).code;
    if (account !== undefined) {
      const one = await from.queries.balance(book, account, { asOf });
      const balances: Balances = new Map();
      for (const { currency, net } of one.balances) add(balances, account, currency, units(net));
      compare(`${account} as of ${asOf} at ${one.position}`, balances, await fold(one.position, asOf, account));
    }
    if (!ended && facts.length > 0) whilePosting++;
  };
  const asking = (async () => {
    while (!ended) {
      await ask();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await ask();
  })();
  return {
    async end() {
      ended = true;
      await asking;
      return { whilePosting, faults };
    },
  };
}
