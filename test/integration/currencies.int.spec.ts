/**
 * Several currencies over the real write path: two processes post, record rates and say which accounts take what the service adds,
 * all at once on one book. Every line must state the rate that the log before it gives, and reports in base currency must be the
 * sums of what lines state, at any day and position. The plain reading is a list of rates and a list of lines.
 */
import type { Client } from 'pg';
import {
  type AccountRole,
  addDays,
  type CalendarDate,
  type EntryLine,
  type JournalEntryPosted,
  type PostEntry,
  ratesReducer,
} from '#domain';
import { type Answer, type Command, type CommandContext, type ReportName, ratesStreamId, type Service, type TrialBalance } from '#ledger';
import { connect } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';
import { type Random, random } from '../support/histories';
import { checkBook, contextOf, startLedger, type TestLedger } from '../support/ledgers';
import { controllerContext } from '../support/periods';
import { units } from '../support/postings';
import { openTestService, type TestService } from '../support/services';
import {
  carryOut,
  type Executor,
  entryOf,
  line,
  openTrackedBook,
  plainLines,
  recordRate,
  shownSum,
  trackedChart,
} from '../support/tracked-books';

const first = Number(process.env.SEED ?? 7_700);
const seeds = Array.from({ length: Number(process.env.SEEDS ?? 4) }, (_, index) => first + index);

let database: TestDatabase;
let admin: Client;
let opened: TestService;
let service: Service;
let other: TestLedger;

beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
  opened = await openTestService(database.appUrl);
  service = opened.service;
  // Room for an account or two: most of what a batch needs has to be read again.
  other = startLedger(database.appUrl, { config: { STATE_CACHE_MB: 1_200 / 1024 / 1024 } as never });
});
afterAll(async () => {
  await other?.close();
  await opened?.close();
  await admin?.end();
  await database?.drop();
});

const scales = { EUR: 2, USD: 2, JPY: 0, BHD: 3 } as const;
const foreign = ['USD', 'JPY', 'BHD'] as const;

const decimal = (minor: number, scale: number): string => {
  const digits = String(minor).padStart(scale + 1, '0');
  return scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
};

/** Cents of an amount at a rate, half to even. */
function inCents(amount: string, rate: string): bigint {
  const unit = 10n ** 34n;
  const exact = units(amount) * units(rate);
  const [whole, rest] = [exact / unit, exact % unit];
  return rest * 2n > unit || (rest * 2n === unit && whole % 2n === 1n) ? whole + 1n : whole;
}
const cents = (amount: string): bigint => units(amount) / 10n ** 16n;

// --- Random commands ---

class Currencies {
  constructor(private readonly chance: Random) {}

  private date = (): CalendarDate => addDays('2026-01-05', this.chance.below(150));
  private rate = (): string =>
    `${this.chance.pick(['0', '1', '2', '0.00'])}${this.chance.pick(['', '0'])}${1 + this.chance.below(9_999)}`.replace(
      /^(\d)(\d)/,
      '$1.$2',
    );

  command(): Command {
    const { chance } = this;
    const kind = chance.below(20);
    if (kind < 5) return this.rates();
    if (kind === 5) {
      const [role, account] = chance.pick([
        ['rounding', 'Rounding'],
        ['rounding', 'Costs'],
        ['currency_conversion', 'Conversion'],
        ['currency_conversion', 'Capital'],
      ] as const satisfies readonly (readonly [AccountRole, string])[]);
      return { type: 'DesignateAccount', role, account };
    }
    if (kind === 6) return { type: 'PostEntries', atomic: chance.below(2) === 0, entries: [this.entry(), this.entry()] };
    return { type: 'PostEntry', ...this.entry() };
  }

  /** Often of a day that has one already: a correction. */
  private rates(): Command {
    const { chance } = this;
    const one = () => ({
      ...{ from: chance.pick(foreign), to: 'EUR', rateType: chance.pick(['spot', 'spot', 'spot', 'closing'] as const) },
      ...{ date: addDays('2026-01-01', 10 * chance.below(15)), value: this.rate(), source: chance.pick(['ECB', 'bank']) },
    });
    return { type: 'RecordRates', rates: Array.from({ length: 1 + chance.below(3) }, one) };
  }

  private entry(): Omit<PostEntry, 'type'> {
    const { chance } = this;
    const currency = chance.pick(foreign);
    const minor = 3 + chance.below(10 ** chance.pick([3, 6]));
    const account = () => chance.pick(['Bank', 'Receivables', 'Loan', 'Capital', 'Sales', 'Costs']);
    const of = (side: EntryLine['side'], part: number, more: object = {}): EntryLine =>
      line(account(), side, decimal(part, scales[currency]), currency, more);
    const [one, two] = [1 + chance.below(minor - 2), 1];
    const rate = { value: this.rate(), date: '2026-01-01', source: 'contract' };
    const base = decimal(chance.below(100_000), 2);
    const lines = chance.pick<() => EntryLine[]>([
      // Three parts: what their rounding leaves goes to the account for it.
      () =>
        [of('debit', minor), of('credit', one), of('credit', two), of('credit', minor - one - two)].filter(
          ({ amount }) => !/^[0.]*$/.test(amount),
        ),
      () => [of('debit', minor), of('credit', minor)],
      () => [of('debit', minor, { rate }), of('credit', minor, { rate })],
      () => [of('debit', minor, { baseAmount: base }), of('credit', minor, { baseAmount: base })],
      // Bought with EUR: the rest is added on the account for conversion.
      () => [of('debit', minor), line(account(), 'credit', decimal(1 + chance.below(99_999), 2), 'EUR')],
      () => [
        of('debit', minor, { baseAmount: '2.00' }),
        of('credit', minor, { baseAmount: '1.00' }),
        line('Gain', 'credit', '0', 'EUR', { baseAmount: '1' }),
      ],
    ])();
    const converts = new Set(lines.map((given) => given.currency)).size > 1 && lines.every(({ amount }) => amount !== '0');
    return {
      effectiveDate: this.date(),
      description: 'random',
      lines,
      ...(converts ? { onImbalance: 'currency_conversion' as const } : {}),
    };
  }
}

interface Sent {
  readonly command: Command;
  readonly context: CommandContext;
}

// --- The plain reading ---

interface Logged {
  readonly position: number;
  readonly eventType: string;
  // biome-ignore lint/suspicious/noExplicitAny: events have many shapes
  readonly data: any;
  readonly metadata: { readonly commandKey: string };
}

const logOf = async (bookId: string): Promise<Logged[]> =>
  (
    await admin.query('SELECT position, event_type AS "eventType", data, metadata FROM log.events WHERE book_id = $1 ORDER BY position', [
      bookId,
    ])
  ).rows;

interface Found {
  computed: number;
  rounding: number;
  conversion: number;
  corrected: number;
}

/** Every line states what its caller said or what the log before it gives; every added line is on the account that was designated then. */
function checkRates(events: readonly Logged[], sent: ReadonlyMap<string, Command>): Found {
  const rates: { from: string; rateType: string; date: CalendarDate; value: string; source: string }[] = [];
  const designated = new Map<string, string>();
  const found: Found = { computed: 0, rounding: 0, conversion: 0, corrected: 0 };
  const entriesOfKey = new Map<string, number>();
  for (const { position, eventType, data, metadata } of events) {
    if (eventType === 'AccountDesignated') designated.set(data.role, data.accountId);
    if (eventType === 'ExchangeRateRecorded') {
      if (rates.some(({ from, rateType, date }) => from === data.from && rateType === data.rateType && date === data.date))
        found.corrected++;
      rates.push(data);
    }
    const command = sent.get(metadata.commandKey);
    if (eventType !== 'JournalEntryPosted' || command === undefined) continue;
    const { effectiveDate, lines } = data as JournalEntryPosted;
    // Of a batch, the entry with as many lines and the same amounts.
    const nth = entriesOfKey.get(metadata.commandKey) ?? 0;
    entriesOfKey.set(metadata.commandKey, nth + 1);
    const candidates = command.type === 'PostEntries' ? command.entries : [command as PostEntry];
    const entry = candidates.find(
      (candidate, index) => (command.type !== 'PostEntries' || !command.atomic || index === nth) && same(candidate.lines, lines),
    );
    if (entry === undefined) throw new Error(`position ${position}: no command has these lines: ${JSON.stringify(lines)}`);
    let computed = 0;
    for (const [index, given] of entry.lines.entries()) {
      const { currency, amount, baseAmount, rate } = lines[index] as JournalEntryPosted['lines'][number];
      const known = rates
        .filter(({ from, rateType, date }) => from === currency && rateType === 'spot' && date <= effectiveDate)
        .reduce<(typeof rates)[number] | undefined>(
          (best, next) => (best === undefined || next.date >= best.date ? next : best),
          undefined,
        );
      const used = given.rate ?? known;
      const wanted =
        given.baseAmount !== undefined
          ? { base: cents(given.baseAmount), rate: undefined }
          : currency === 'EUR'
            ? { base: cents(amount), rate: undefined }
            : { base: inCents(amount, used?.value ?? '0'), rate: used && { value: used.value, date: used.date, source: used.source } };
      const is = { base: cents(baseAmount ?? '0'), rate };
      expect({ position, line: index + 1, ...text(is) }).toEqual({ position, line: index + 1, ...text(wanted) });
      if (wanted.rate !== undefined) computed++;
      if (given.rate === undefined && given.baseAmount === undefined && currency !== 'EUR') {
        found.computed++;
        expect(addDays(known?.date ?? '1900-01-01', 31) >= effectiveDate).toBe(true);
      }
    }
    for (const { origin, accountId, amount, baseAmount } of lines.slice(entry.lines.length)) {
      const role = origin === 'book-keeper:rounding' ? 'rounding' : 'currency_conversion';
      found[role === 'rounding' ? 'rounding' : 'conversion']++;
      expect({ position, accountId }).toEqual({ position, accountId: designated.get(role) });
      if (role === 'rounding')
        expect({ amount, isSmall: cents(baseAmount ?? '') <= BigInt(computed) }).toEqual({ amount: '0.00', isSmall: true });
    }
  }
  return found;
}

const same = (given: readonly EntryLine[], posted: JournalEntryPosted['lines']): boolean =>
  given.every(
    ({ account, side, amount, currency }, index) =>
      posted[index]?.code === account &&
      posted[index]?.side === side &&
      posted[index]?.currency === currency &&
      units(posted[index]?.amount ?? '0') === units(amount),
  );
/** Comparable, and printable by Jest; 1.50 is 1.5. */
const text = ({ base, rate }: { base: bigint; rate: { value: string; date: string; source: string } | undefined }): object => ({
  base: String(base),
  rate: rate === undefined ? 'none' : `${units(rate.value)} of ${rate.date}, ${rate.source}`,
});

// --- Questions ---

const bytes = async (name: ReportName, bookId: string, question: object): Promise<string> =>
  (await service.reports.answer(name, bookId, question, 'json')).body as string;

/** Closing balances in base currency by account, of all that is known at a position about days up to one. */
async function expectReport(bookId: string, asOf: CalendarDate, knownAt: number): Promise<void> {
  const question = { from: '2026-01-01', to: asOf, carry: 'none', in: 'EUR', includeZero: true, knownAt };
  const report = JSON.parse(await bytes('trial-balance', bookId, question)) as TrialBalance;
  const lines = (await plainLines(admin, bookId)).filter(({ position, date }) => position <= knownAt && date <= asOf);
  const of = (code: string) => lines.filter(({ account }) => account === code);
  const expected = trackedChart.flatMap(([code]) => (of(code).length === 0 ? [] : [[code, shownSum(of(code), 'base')]])).sort();
  const shown = report.rows.filter(({ account }) => of(account).length > 0).map(({ account, figures }) => [account, figures[0]?.closing]);
  expect({ asOf, knownAt, balanced: report.balanced, rows: shown.sort() }).toEqual({ asOf, knownAt, balanced: true, rows: expected });
}

describe.each(seeds)('two processes on a book of several currencies (SEED=%i)', (seed) => {
  const bookId = `currencies-${seed}`;
  const chance = random(seed);
  const currencies = new Currencies(chance);
  const sent = new Map<string, Command>();
  const executors: Executor[] = [];
  /** Codes of what was refused; of a batch those of its entries. */
  const refusals = new Set<string>();

  async function burst(size: number, round: string): Promise<void> {
    const commands = Array.from({ length: size }, (_, index): Sent => {
      const command = currencies.command();
      const key = `${round}-${index}`;
      sent.set(key, command);
      return { command, context: contextOf(key) };
    });
    const answers = await Promise.all(commands.map(({ command, context }) => chance.pick(executors).execute(bookId, command, context)));
    for (const { body } of answers) for (const [, code = ''] of body.matchAll(/"code":"([a-z_]+)"/g)) refusals.add(code);
  }

  beforeAll(async () => {
    executors.push(service, other.ledger);
    await openTrackedBook(service, bookId);
    for (let round = 0; round < 10; round++) await burst(20, `${seed}-${round}`);
  });

  it('every line states what the log before it gives, and entries balance in every currency and in base', async () => {
    await checkBook(admin, bookId);
    // Nobody is told that there is no account for something, which there always was, however little a process keeps in memory.
    expect([...refusals].filter((code) => !['base_amount_required', 'unbalanced', 'rate_exists', 'amount_range'].includes(code))).toEqual(
      [],
    );
    expect(refusals).toContain('base_amount_required');
    const found = checkRates(await logOf(bookId), sent);
    expect(found.computed).toBeGreaterThan(20);
    expect(found.conversion).toBeGreaterThan(0);
    expect(found.corrected).toBeGreaterThan(3);
    const { books, installation } = await service.verify({ books: [bookId] });
    expect([...installation, ...books.flatMap(({ findings }) => findings)].map(({ message }) => message)).toEqual([]);
  });

  it('reports in base currency are sums of what lines state, at random days and positions', async () => {
    const { position } = await service.queries.book(bookId);
    for (let count = 0; count < 12; count++)
      await expectReport(bookId, addDays('2026-01-01', chance.below(170)), 30 + chance.below(position - 29));
    await expectReport(bookId, '2026-12-31', position);
  });

  it('rates that are corrected later change no answer about an earlier position', async () => {
    const { position } = await service.queries.book(bookId);
    const questions: [ReportName, object][] = [];
    for (let count = 0; count < 4; count++) {
      const knownAt = 30 + chance.below(position - 29);
      const asOf = addDays('2026-01-01', chance.below(150));
      questions.push(['trial-balance', { from: '2026-01-01', to: asOf, in: 'EUR', knownAt }]);
      questions.push(['balance-sheet', { asOf, in: 'EUR', rateType: 'spot', knownAt }]);
      questions.push(['valuation', { asOf, rateType: 'spot', knownAt }]);
    }
    const answer = ([name, question]: [ReportName, object]): Promise<string> =>
      bytes(name, bookId, question).catch((error: Error) => error.message);
    const before = await Promise.all(questions.map(answer));
    for (const from of foreign)
      for (let day = 0; day < 15; day++)
        await recordRate(chance.pick(executors), bookId, [from, addDays('2026-01-01', 10 * day), `9.${day}1`]);
    expect(await Promise.all(questions.map(answer))).toEqual(before);
    // A question about now is answered with the new ones.
    const [name, question] = questions[2] as [ReportName, object];
    expect(await answer([name, { ...question, knownAt: undefined }])).toContain('9.');
  });

  it('decides the same when all heads are lost', async () => {
    await admin.query('DELETE FROM log.heads WHERE book_id = $1', [bookId]);
    const fresh = startLedger(database.appUrl);
    try {
      executors.splice(0, 2, fresh.ledger, other.ledger);
      await burst(20, `${seed}-lost`);
      const { status, body } = await fresh.ledger.execute(
        bookId,
        { type: 'ClosePeriod', fiscalYear: '2026', period: 6, level: 'soft', includeEarlier: true },
        controllerContext('close'),
      );
      expect({ status, body }).toMatchObject({ status: 200 });
      checkRates(await logOf(bookId), sent);
      await checkBook(admin, bookId);
    } finally {
      await fresh.close();
    }
  });
});

describe('what one process does, the other one knows', () => {
  const bookId = 'in-turn';
  const usd = (key: string, by: Executor, more: object = {}) =>
    by.execute(bookId, entryOf('2026-03-10', ['Bank', 'Capital'], '0.50', 'USD', more), contextOf(key));
  const code = ({ body }: Answer): string => JSON.parse(body).code;
  const lastLines = async (answer: Answer): Promise<readonly string[]> =>
    (await service.queries.entry(bookId, JSON.parse(answer.body).id)).lines.map(
      ({ account, side, baseAmount }) => `${account} ${side} ${baseAmount}`,
    );

  it('rates, also of a pair that it has looked for in vain; designated accounts; states of periods; totals and numbers', async () => {
    const [a, b]: [Executor, Executor] = [service, other.ledger];
    await openTrackedBook(a, bookId);
    expect(code(await usd('none', b))).toBe('base_amount_required');
    await recordRate(a, bookId, ['USD', '2026-03-01', '0.9']);
    expect(await lastLines(await usd('first', b))).toEqual(['Bank debit 0.45', 'Capital credit 0.45']);
    await recordRate(a, bookId, ['USD', '2026-03-01', '0.91']);
    await recordRate(b, bookId, ['USD', '2026-03-02', '0.99']);
    expect(await lastLines(await usd('second', a))).toEqual(['Bank debit 0.50', 'Capital credit 0.50']);

    await carryOut(b, bookId, { type: 'DesignateAccount', role: 'rounding', account: 'Costs' });
    const parts = ['0.13', '0.13', '0.24'].map((amount) => line('Capital', 'credit', amount, 'USD'));
    const rounded = await usd('rounded', a, { lines: [line('Bank', 'debit', '0.50', 'USD'), ...parts] });
    // 0.495 is 0.50 and 0.1287 is 0.13 twice, 0.2376 is 0.24.
    expect(await lastLines(rounded)).toEqual(['Bank debit 0.50', 'Capital credit 0.13', 'Capital credit 0.13', 'Capital credit 0.24']);
    const uneven = ['0.15', '0.15', '0.20'].map((amount) => line('Capital', 'credit', amount, 'USD'));
    await recordRate(b, bookId, ['USD', '2026-03-03', '0.9']);
    // 0.45 against 0.135 twice, which is 0.14 (to even), and 0.18.
    expect((await lastLines(await usd('uneven', a, { lines: [line('Bank', 'debit', '0.50', 'USD'), ...uneven] }))).at(-1)).toBe(
      'Costs debit 0.01',
    );

    const close = { type: 'ClosePeriod', fiscalYear: '2026', period: 3, level: 'soft', includeEarlier: true } as const;
    expect((await b.execute(bookId, close, controllerContext('close'))).status).toBe(200);
    expect(code(await usd('late', a))).toBe('period_closed');
    expect(
      (await a.execute(bookId, { type: 'RequestReopening', fiscalYear: '2026', period: 3, reason: 'late' }, controllerContext('ask', 1)))
        .status,
    ).toBe(200);
    expect(
      (await b.execute(bookId, { type: 'ApproveReopening', fiscalYear: '2026', period: 3 }, controllerContext('agree', 2))).status,
    ).toBe(200);
    expect((await usd('in time', a)).status).toBe(201);
    expect((await a.execute(bookId, close, controllerContext('again'))).status).toBe(200);
    await checkBook(admin, bookId);
  });
});

describe('the stream of a pair with hundreds of rates', () => {
  const bookId = 'many-rates';
  const pair = { from: 'USD', to: 'EUR', rateType: 'spot' } as const;
  const streamId = ratesStreamId(bookId, 'USD/EUR/spot');

  it('has a snapshot, which equals what its events fold to, is read instead of them, and is checked by verify', async () => {
    await openTrackedBook(service, bookId);
    for (let from = 0; from < 250; from += 50) {
      const rates = Array.from({ length: 50 }, (_, n) => ({
        ...pair,
        date: addDays('2026-01-01', from + n),
        value: `1.${1_000 + from + n}`,
        source: 'ECB',
      }));
      await carryOut(someOf(from), bookId, { type: 'RecordRates', rates });
    }
    const { rows } = await admin.query('SELECT version, state FROM log.heads WHERE book_id = $1 AND stream_id = $2', [bookId, streamId]);
    expect(rows.map(({ version }) => version)).toEqual([200]);
    const [on, off] = [
      await service.store.load(bookId, streamId, ratesReducer),
      await service.store.load(bookId, streamId, ratesReducer, { snapshots: false }),
    ];
    expect(on).toEqual(off);
    expect(on?.version).toBe(250);
    expect((await service.verify({ books: [bookId] })).clean).toBe(true);

    // As superuser: whoever starts now decides with what the snapshot says, and verify says so.
    await admin.query(
      `UPDATE log.heads SET state = jsonb_set(state::jsonb, '{rates,10,value}', '"7"') WHERE book_id = $1 AND stream_id = $2`,
      [bookId, streamId],
    );
    const { books } = await service.verify({ books: [bookId] });
    expect(books.flatMap(({ findings }) => findings).map(({ message }) => message)).toEqual([
      expect.stringContaining(`log.heads ${streamId}`),
    ]);
    const fresh = startLedger(database.appUrl);
    try {
      const entry = entryOf('2026-01-11', ['Bank', 'Capital'], '1', 'USD');
      const { body } = await fresh.ledger.execute(bookId, entry, contextOf('deceived'));
      expect((await service.queries.entry(bookId, JSON.parse(body).id)).lines[0]?.rate?.value).toBe('7');
    } finally {
      await fresh.close();
    }
  });

  const someOf = (n: number): Executor => (n % 100 === 0 ? service : other.ledger);
});
