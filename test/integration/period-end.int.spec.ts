/**
 * What the service computes at the end of a period and posts by itself: revaluation at the rates of a day with its reversal,
 * settlements, and the closing entry of a year. Held against an example computed by hand, and against plain sums over random books.
 */
import type { Client } from 'pg';
import type { CalendarDate, CloseFiscalYear, EntryLine, JournalEntryPosted, PostEntry, Revalue } from '#domain';
import { addDays } from '#domain';
import { type Answer, type BalanceSheet, PeriodEnd, type Queries, type ReportName, type Service, type TrialBalance } from '#ledger';
import { type Random, random } from '../support/histories';
import { checkBook, contextOf } from '../support/ledgers';
import { controllerContext } from '../support/periods';
import { units } from '../support/postings';
import { openTestService, type ServiceOnDatabase, serviceOnDatabase } from '../support/services';
import {
  carryOut,
  entryOf,
  line,
  newKey,
  openTrackedBook,
  type PlainLine,
  plainLines,
  recordRate,
  shownSum,
} from '../support/tracked-books';

const seed = Number(process.env.SEED ?? 6_300);

let its: ServiceOnDatabase;
let admin: Client;
let service: Service;

beforeAll(async () => {
  its = await serviceOnDatabase();
  ({ admin, service } = its);
});
afterAll(() => its?.end());

interface PostedByService {
  readonly entries: readonly { readonly id: string; readonly number: number; readonly position: number }[];
}

const revalueAt = (date: CalendarDate, more: Partial<Revalue> = {}): Revalue => ({ type: 'Revalue', date, ...more });
const closeYear = (fiscalYear: string, more: Partial<CloseFiscalYear> = {}): CloseFiscalYear => ({
  type: 'CloseFiscalYear',
  fiscalYear,
  ...more,
});

async function posted(bookId: string, command: Revalue | CloseFiscalYear, key = newKey()): Promise<PostedByService['entries']> {
  return (JSON.parse((await carryOut(service, bookId, command, key)).body) as PostedByService).entries;
}

async function entriesOf(bookId: string, ids: readonly { readonly id: string }[]): Promise<JournalEntryPosted[]> {
  return Promise.all(ids.map(({ id }) => service.queries.entry(bookId, id)));
}

/** Lines as `account side amount currency base`. */
const shownLines = ({ lines }: Pick<JournalEntryPosted, 'lines'>): string[] =>
  lines.map(({ code, side, amount, currency, baseAmount }) => `${code} ${side} ${amount} ${currency} ${baseAmount}`);

const head = async (bookId: string): Promise<number> =>
  (await admin.query('SELECT position FROM log.book_heads WHERE book_id = $1', [bookId])).rows[0].position;

const inBase = (lines: readonly PlainLine[], account: string, asOf: CalendarDate): string =>
  shownSum(
    lines.filter((known) => known.account === account && known.date <= asOf),
    'base',
  );

const ask = async <T>(name: ReportName, bookId: string, question: object): Promise<T> =>
  JSON.parse((await service.reports.answer(name, bookId, question, 'json')).body as string) as T;

describe('a revaluation of named accounts', () => {
  it('takes each of them once, by any of its codes, and none that holds no monetary item', async () => {
    const own = 'named-accounts';
    await openTrackedBook(service, own);
    await recordRate(service, own, ['USD', '2026-06-01', '0.91']);
    await recordRate(service, own, ['USD', '2026-06-30', '0.95', 'closing']);
    await carryOut(service, own, entryOf('2026-06-01', ['Bank', 'Capital'], '1000', 'USD'));
    await carryOut(service, own, { type: 'ChangeAccountCode', account: 'Bank', code: 'Giro' });
    await carryOut(service, own, { type: 'OpenAccount', code: 'Group', name: 'Group', accountType: 'asset', postable: false });
    for (const accounts of [['Sales'], ['Giro', 'Capital'], ['Group'], ['Stock']])
      await expect(carryOut(service, own, revalueAt('2026-06-30', { accounts }))).rejects.toMatchObject({ code: 'malformed' });
    const [{ id } = { id: '' }] = await posted(own, revalueAt('2026-06-30', { accounts: ['Bank', 'Giro', 'Giro'] }));
    expect(shownLines(await service.queries.entry(own, id))).toEqual(['Giro debit 0.00 USD 40.00', 'Gain credit 0.00 EUR 40.00']);
  });
});

describe('control accounts', () => {
  const own = 'control-accounts';

  beforeAll(async () => {
    await openTrackedBook(service, own);
    await recordRate(service, own, ['USD', '2026-06-01', '0.90']);
    await recordRate(service, own, ['USD', '2026-06-30', '0.95', 'closing']);
    const control = async (code: string, kind: 'customer' | 'employee', accountType: 'asset' | 'expense', against: string) => {
      await carryOut(service, own, { type: 'OpenAccount', code, name: code, accountType, control: kind });
      const { id } = JSON.parse((await carryOut(service, own, { type: 'OpenParty', kind, name: 'Jane Roe' })).body) as { id: string };
      const { lines, ...entry } = entryOf('2026-06-01', [code, against], '100', 'USD') as PostEntry;
      const named = lines.map((line) => (line.account === code ? { ...line, party: { id, kind } } : line));
      await carryOut(service, own, { ...entry, lines: named });
    };
    await control('Recv', 'customer', 'asset', 'Sales');
    await control('Wages', 'employee', 'expense', 'Bank');
  });

  it('are revalued as a whole, and back: what rates moved is about no party', async () => {
    const entries = await posted(own, revalueAt('2026-06-30', { accounts: ['Recv'] }));
    const [revaluation, reversal] = await entriesOf(own, entries);
    expect(shownLines(revaluation as JournalEntryPosted)).toEqual(['Recv debit 0.00 USD 5.00', 'Gain credit 0.00 EUR 5.00']);
    expect(reversal?.lines.map(({ party }) => party)).toEqual([undefined, undefined]);
  });

  it('among income and expense are closed with their year', async () => {
    const [closing] = await entriesOf(own, await posted(own, closeYear('2026')));
    expect(shownLines(closing as JournalEntryPosted)).toContain('Wages credit 100.00 USD 90.00');
  });

  it('take a line without a party from nobody else, whatever the entry says of itself', async () => {
    const claims = { ...(entryOf('2026-06-02', ['Wages', 'Bank'], '1', 'EUR') as PostEntry), entryMethod: 'system', entryType: 'closing' };
    await expect(carryOut(service, own, claims as PostEntry)).rejects.toThrow('party_required');
  });
});

describe('a revaluation of a day before an account was closed', () => {
  it('is refused with what to do, and possible without that account', async () => {
    const own = 'closed-since';
    await openTrackedBook(service, own);
    await recordRate(service, own, ['USD', '2026-06-01', '0.90']);
    await carryOut(service, own, entryOf('2026-06-01', ['Receivables', 'Sales'], '100', 'USD'));
    await carryOut(service, own, entryOf('2026-06-01', ['Bank', 'Sales'], '10', 'USD'));
    await carryOut(service, own, entryOf('2026-07-01', ['Costs', 'Receivables'], '100', 'USD'));
    await carryOut(service, own, { type: 'CloseAccount', account: 'Receivables' });
    await recordRate(service, own, ['USD', '2026-06-30', '0.95', 'closing']);
    await expect(carryOut(service, own, revalueAt('2026-06-30'))).rejects.toThrow(
      /account Receivables is closed; it would have to be revalued to 2026-06-30; name the accounts to be revalued without it \(accounts\)/,
    );
    const [{ id } = { id: '' }] = await posted(own, revalueAt('2026-06-30', { accounts: ['Bank'] }));
    expect(shownLines(await service.queries.entry(own, id))).toEqual(['Bank debit 0.00 USD 0.50', 'Gain credit 0.00 EUR 0.50']);
    // On a day on which it was empty it is in nobody's way.
    await recordRate(service, own, ['USD', '2026-07-31', '0.80', 'closing']);
    await posted(own, revalueAt('2026-07-31'));
  });
});

describe('revaluation, computed by hand', () => {
  const bookId = 'by-hand';

  beforeAll(async () => {
    await openTrackedBook(service, bookId);
    await recordRate(service, bookId, ['USD', '2026-06-01', '0.90']);
    await recordRate(service, bookId, ['GBP', '2026-06-01', '1.20']);
    await recordRate(service, bookId, ['USD', '2026-06-15', '0.92']);
    // 1000 USD at 0.90 and 500 USD at 0.92: 1500 USD carried at 1360.00. 500 GBP owed, at 1.20: 600.00; what they bought is no money.
    await carryOut(service, bookId, entryOf('2026-06-01', ['Bank', 'Capital'], '1000', 'USD'));
    await carryOut(service, bookId, entryOf('2026-06-16', ['Bank', 'Capital'], '500', 'USD'));
    await carryOut(service, bookId, entryOf('2026-06-02', ['Stock', 'Loan'], '500', 'GBP'));
    await carryOut(service, bookId, entryOf('2026-06-03', ['Bank', 'Capital'], '80', 'EUR'));
    await recordRate(service, bookId, ['USD', '2026-06-30', '0.95', 'closing']);
    await recordRate(service, bookId, ['GBP', '2026-06-30', '1.25', 'closing']);
    await recordRate(service, bookId, ['USD', '2026-07-31', '0.88', 'closing']);
    await recordRate(service, bookId, ['GBP', '2026-07-31', '1.15', 'closing']);
  });

  it('of June: USD gained 65.00, the loan in GBP lost 25.00; both go back on the next day', async () => {
    const entries = await posted(bookId, revalueAt('2026-06-30', { reason: 'end of June' }));
    const [revaluation, reversal] = await entriesOf(bookId, entries);
    expect(revaluation).toMatchObject({ effectiveDate: '2026-06-30', entryType: 'revaluation', entryMethod: 'system', period: 6 });
    expect(shownLines(revaluation as JournalEntryPosted)).toEqual([
      'Bank debit 0.00 USD 65.00',
      'Loan credit 0.00 GBP 25.00',
      'Gain credit 0.00 EUR 65.00',
      'Loss debit 0.00 EUR 25.00',
    ]);
    expect(revaluation?.lines.slice(0, 2).map(({ rate }) => rate)).toEqual([
      { value: '0.95', date: '2026-06-30', source: 'spec' },
      { value: '1.25', date: '2026-06-30', source: 'spec' },
    ]);
    expect(reversal).toMatchObject({ effectiveDate: '2026-07-01', entryType: 'reversal', period: 7 });
    expect(shownLines(reversal as JournalEntryPosted)).toEqual([
      'Bank credit 0.00 USD 65.00',
      'Loan debit 0.00 GBP 25.00',
      'Gain debit 0.00 EUR 65.00',
      'Loss credit 0.00 EUR 25.00',
    ]);
  });

  it('the balance sheet shows values of the day, and balances', async () => {
    const sheet = await ask<BalanceSheet>('balance-sheet', bookId, { asOf: '2026-06-30', in: 'EUR' });
    // 1425.00 USD at its value, 80.00 EUR, stock as bought; owed 625.00; capital 1440.00, result 65.00 − 25.00.
    expect(sheet).toMatchObject({
      ...{ basis: 'base', assets: ['2105.00'], liabilitiesAndEquity: ['2105.00'], difference: ['0.00'], balanced: true },
    });
    const result = await ask<{ readonly result: readonly string[] }>('income-statement', bookId, { period: '2026/6', in: 'EUR' });
    expect(result.result).toEqual(['40.00']);
    const nextDay = await ask<{ readonly result: readonly string[] }>('income-statement', bookId, {
      ...{ from: '2026-06-01', to: '2026-07-01', in: 'EUR' },
    });
    expect(nextDay.result).toEqual(['0.00']);
  });

  it('of July: now USD lost 40.00 and the loan gained 25.00, each against what it cost and not against June', async () => {
    const [revaluation] = await entriesOf(bookId, await posted(bookId, revalueAt('2026-07-31')));
    expect(shownLines(revaluation as JournalEntryPosted)).toEqual([
      'Bank credit 0.00 USD 40.00',
      'Loan debit 0.00 GBP 25.00',
      'Gain credit 0.00 EUR 25.00',
      'Loss debit 0.00 EUR 40.00',
    ]);
    const lines = await plainLines(admin, bookId);
    expect(['Bank', 'Loan', 'Stock'].map((account) => inBase(lines, account, '2026-07-31'))).toEqual(['1400.00', '-575.00', '600.00']);
    expect(['Bank', 'Loan', 'Gain', 'Loss'].map((account) => inBase(lines, account, '2026-08-01'))).toEqual([
      '1440.00',
      '-600.00',
      '0.00',
      '0.00',
    ]);
  });

  it('asked again it posts nothing; of some accounts only, nothing else', async () => {
    expect(await posted(bookId, revalueAt('2026-06-30'))).toEqual([]);
    const before = await head(bookId);
    expect(await posted(bookId, revalueAt('2026-07-31', { accounts: ['Bank'] }))).toEqual([]);
    expect(await head(bookId)).toBe(before);
  });

  it('an entry posted late is all that a repetition revalues', async () => {
    await carryOut(service, bookId, entryOf('2026-06-20', ['Receivables', 'Sales'], '100', 'USD'));
    const [revaluation, reversal] = await entriesOf(bookId, await posted(bookId, revalueAt('2026-06-30')));
    expect(shownLines(revaluation as JournalEntryPosted)).toEqual(['Receivables debit 0.00 USD 3.00', 'Gain credit 0.00 EUR 3.00']);
    expect(reversal?.effectiveDate).toBe('2026-07-01');
    const [july] = await entriesOf(bookId, await posted(bookId, revalueAt('2026-07-31')));
    expect(shownLines(july as JournalEntryPosted)).toEqual(['Receivables credit 0.00 USD 4.00', 'Loss debit 0.00 EUR 4.00']);
  });

  it('a rate that is corrected afterwards moves values by the difference', async () => {
    await recordRate(service, bookId, ['USD', '2026-07-31', '0.89', 'closing']);
    const [july] = await entriesOf(bookId, await posted(bookId, revalueAt('2026-07-31')));
    expect(shownLines(july as JournalEntryPosted)).toEqual([
      'Bank debit 0.00 USD 15.00',
      'Receivables debit 0.00 USD 1.00',
      'Gain credit 0.00 EUR 16.00',
    ]);
    await checkBook(admin, bookId);
  });

  it('goes back on the next day also where that is softly closed: whoever could post it can post that', async () => {
    const controller = (key: string) => controllerContext(key);
    const closed = await service.execute(
      bookId,
      { type: 'ClosePeriod', fiscalYear: '2026', period: 8, level: 'soft', includeEarlier: true },
      controller('close to August'),
    );
    expect(closed.status).toBe(200);
    await recordRate(service, bookId, ['USD', '2026-07-31', '0.90', 'closing']);
    expect(JSON.parse((await service.execute(bookId, revalueAt('2026-07-31'), contextOf('no controller'))).body)).toMatchObject({
      code: 'period_closed',
      period: 7,
    });
    const answer = await service.execute(bookId, revalueAt('2026-07-31'), controller('a controller'));
    const [revaluation, reversal] = await entriesOf(bookId, (JSON.parse(answer.body) as PostedByService).entries);
    expect([revaluation?.effectiveDate, reversal?.effectiveDate]).toEqual(['2026-07-31', '2026-08-01']);
  });
});

describe(`revaluation of random books (SEED=${seed})`, () => {
  const scales = { USD: 2, JPY: 0, BHD: 3 } as const;
  type Foreign = keyof typeof scales;
  const foreign = Object.keys(scales) as Foreign[];
  const monetary = ['Bank', 'Receivables', 'Loan'] as const;

  const amountOf = (chance: Random, currency: Foreign): string => {
    const digits = String(1 + chance.below(10 ** chance.pick([3, 5, 7]))).padStart(scales[currency] + 1, '0');
    return scales[currency] === 0 ? digits : `${digits.slice(0, -scales[currency])}.${digits.slice(-scales[currency])}`;
  };
  const rateOf = (chance: Random): string => `${chance.pick(['0', '0', '1', '2'])}.${String(1 + chance.below(99_999)).padStart(5, '0')}`;

  /** Exactly, then rounded once, half to even: in cents. */
  function converted(net: bigint, rate: string): bigint {
    const exact = (net < 0n ? -net : net) * units(rate);
    const unit = 10n ** 34n; // 18 + 18 decimals, down to 2
    const [whole, rest] = [exact / unit, exact % unit];
    const rounded = rest * 2n > unit || (rest * 2n === unit && whole % 2n === 1n) ? whole + 1n : whole;
    return net < 0n ? -rounded : rounded;
  }

  async function randomEntry(chance: Random, bookId: string, date: CalendarDate): Promise<void> {
    const currency = chance.pick(foreign);
    const [debit, credit] = chance.pick([
      ['Bank', 'Capital'],
      ['Capital', 'Bank'],
      ['Receivables', 'Sales'],
      ['Bank', 'Receivables'],
      ['Bank', 'Loan'],
      ['Loan', 'Bank'],
      ['Costs', 'Loan'],
      ['Stock', 'Bank'],
    ] as const);
    await carryOut(service, bookId, entryOf(date, [debit, credit], amountOf(chance, currency), currency));
  }

  const expectAtValue = (lines: readonly PlainLine[], date: CalendarDate, rates: Readonly<Record<Foreign, string>>): void => {
    for (const account of monetary) {
      for (const currency of foreign) {
        const own = lines.filter((known) => known.account === account && known.currency === currency && known.date <= date);
        const [net, base] = [own.reduce((sum, { net }) => sum + net, 0n), own.reduce((sum, known) => sum + known.base, 0n)];
        expect({ account, currency, base: base / 10n ** 16n }).toEqual({ account, currency, base: converted(net, rates[currency]) });
      }
    }
  };
  const withoutRevaluations = (lines: readonly PlainLine[]): PlainLine[] =>
    lines.filter(
      ({ net, currency, base, entryType }) =>
        !((entryType === 'revaluation' || entryType === 'reversal') && net === 0n && (base !== 0n || currency === 'EUR')),
    );

  it.each(Array.from({ length: Number(process.env.SEEDS ?? 6) }, (_, index) => seed + index))(
    'every monetary balance is at its value on the day, and back the day after; asked again nothing moves (SEED=%i)',
    async (own) => {
      const chance = random(own);
      const bookId = `random-${own}`;
      await openTrackedBook(service, bookId);
      for (const currency of foreign)
        for (const date of ['2026-01-01', '2026-01-20', '2026-02-10'] as const)
          await recordRate(service, bookId, [currency, date, rateOf(chance)]);
      for (const date of ['2026-01-31', '2026-02-28'] as const) {
        const rates = Object.fromEntries(foreign.map((currency) => [currency, rateOf(chance)])) as Record<Foreign, string>;
        for (const currency of foreign) await recordRate(service, bookId, [currency, date, rates[currency], 'closing']);
        for (let count = 2 + chance.below(8); count > 0; count--) await randomEntry(chance, bookId, addDays(date, -chance.below(26)));
        const first = await posted(bookId, revalueAt(date));
        expectAtValue(await plainLines(admin, bookId), date, rates);

        const key = newKey();
        expect(await posted(bookId, revalueAt(date), key)).toEqual([]);
        // Back-dated, and dated the day after: only the former concerns the day.
        await randomEntry(chance, bookId, addDays(date, -chance.below(20)));
        await randomEntry(chance, bookId, addDays(date, 1));
        expect(await posted(bookId, revalueAt(date), key)).toEqual([]); // what was said before
        const more = await posted(bookId, revalueAt(date));
        const lines = await plainLines(admin, bookId);
        expectAtValue(lines, date, rates);
        const touched = lines.filter(({ position }) => position === more[0]?.position);
        expect(touched.filter(({ account }) => (monetary as readonly string[]).includes(account)).length).toBeLessThanOrEqual(2);

        // From the next day on it is as if nothing had been revalued.
        for (const account of [...monetary, 'Gain', 'Loss'])
          expect({ account, base: inBase(lines, account, addDays(date, 1)) }).toEqual({
            account,
            base: inBase(withoutRevaluations(lines), account, addDays(date, 1)),
          });
        expect(first.length + more.length).toBeGreaterThan(0);
      }
      const sheet = await ask<BalanceSheet>('balance-sheet', bookId, { asOf: '2026-02-28', in: 'EUR' });
      expect(sheet).toMatchObject({ basis: 'base', balanced: true, difference: ['0.00'] });
      await checkBook(admin, bookId);
    },
  );
});

describe('a key of a computed command', () => {
  const bookId = 'keys';
  beforeAll(async () => {
    await openTrackedBook(service, bookId);
    await recordRate(service, bookId, ['USD', '2026-06-01', '0.90']);
    await carryOut(service, bookId, entryOf('2026-06-01', ['Bank', 'Capital'], '1000', 'USD'));
  });
  const send = (command: Revalue | CloseFiscalYear, key: string): Promise<Answer> => service.execute(bookId, command, contextOf(key));

  it('remembers that there was no rate, whatever is recorded later', async () => {
    const refused = await send(revalueAt('2026-06-30'), 'too early');
    expect([refused.status, JSON.parse(refused.body).code]).toEqual([422, 'rate_unknown']);
    await recordRate(service, bookId, ['USD', '2026-06-30', '0.95', 'closing']);
    expect(await send(revalueAt('2026-06-30'), 'too early')).toEqual({ ...refused, replayed: true });
  });

  it('gives the first answer again, also when rates have changed and more was posted meanwhile', async () => {
    const first = await send(revalueAt('2026-06-30'), 'june');
    expect(JSON.parse(first.body).entries).toHaveLength(2);
    await recordRate(service, bookId, ['USD', '2026-06-30', '0.97', 'closing']);
    await carryOut(service, bookId, entryOf('2026-06-02', ['Bank', 'Capital'], '10', 'USD'));
    const before = await head(bookId);
    expect(await send(revalueAt('2026-06-30'), 'june')).toEqual({ ...first, replayed: true });
    const elsewhere = await openTestService(its.database.appUrl);
    try {
      expect(await elsewhere.service.execute(bookId, revalueAt('2026-06-30'), contextOf('june'))).toEqual({ ...first, replayed: true });
    } finally {
      await elsewhere.close();
    }
    expect(await head(bookId)).toBe(before);
  });

  it('stands for what was asked: another day, another account or another command is another command', async () => {
    for (const [command, members] of [
      [revalueAt('2026-06-29'), ['date']],
      [revalueAt('2026-06-30', { accounts: ['Bank'] }), ['accounts']],
      [revalueAt('2026-06-30', { reason: 'why' }), ['reason']],
      [closeYear('2026'), ['type']],
    ] as const)
      await expect(send(command, 'june')).rejects.toMatchObject({ code: 'idempotency_key_reused', details: { members } });
  });

  it('sent twice at once posts once', async () => {
    await recordRate(service, bookId, ['USD', '2026-07-31', '0.91', 'closing']);
    const answers = await Promise.all(Array.from({ length: 4 }, () => send(revalueAt('2026-07-31'), 'july')));
    expect(new Set(answers.map(({ body }) => body)).size).toBe(1);
    const entries = await entriesOf(bookId, JSON.parse(answers[0]?.body ?? '').entries);
    expect(entries.map(({ effectiveDate }) => effectiveDate)).toEqual(['2026-07-31', '2026-08-01']);
    expect(inBase(await plainLines(admin, bookId), 'Bank', '2026-07-31')).toBe('919.10');
  });

  it('of a book without rates, and of an account or year that there is not, is a refusal that is remembered', async () => {
    const open = {
      type: 'OpenBook',
      id: 'plain',
      name: 'plain',
      baseCurrency: 'EUR',
      fiscalYearStart: '01-01',
      startsOn: '2026-01-01',
    } as const;
    await carryOut(service, 'plain', open);
    const refuse = async (book: string, command: Revalue | CloseFiscalYear, code: string, status = 422): Promise<void> => {
      const key = newKey();
      const first = await service.execute(book, command, contextOf(key));
      expect(JSON.parse(first.body)).toMatchObject({ status, code });
      expect(await service.execute(book, command, contextOf(key))).toEqual({ ...first, replayed: true });
    };
    await refuse('plain', revalueAt('2026-06-30'), 'fx_untracked');
    await refuse('plain', closeYear('2026'), 'account_not_designated');
    await refuse(bookId, closeYear('1999'), 'period_unknown', 404);
    await refuse(bookId, revalueAt('2026-06-30', { accounts: ['Nobody'] }), 'account_unknown');
  });
});

describe('when entries are posted while balances are looked at', () => {
  const bookId = 'moving';
  beforeAll(async () => {
    await openTrackedBook(service, bookId);
    await recordRate(service, bookId, ['USD', '2026-06-01', '0.90']);
    await recordRate(service, bookId, ['USD', '2026-06-30', '0.95', 'closing']);
    await carryOut(service, bookId, entryOf('2026-06-01', ['Bank', 'Capital'], '1000', 'USD'));
  });

  /** Period end whose questions find something posted, so many times: before the position is chosen, or after. */
  function disturbed(
    times: number,
    date: CalendarDate,
    when: 'before' | 'after',
  ): { readonly periodEnd: PeriodEnd; readonly left: () => number } {
    let left = times;
    const disturb = async (): Promise<void> => {
      if (left-- > 0) await carryOut(service, bookId, entryOf(date, ['Bank', 'Capital'], '100', 'USD'));
    };
    const queries = Object.create(service.queries) as Queries;
    queries.pin = async (...asked) => {
      if (when === 'before') await disturb();
      const position = await service.queries.pin(...asked);
      if (when === 'after') await disturb();
      return position;
    };
    return { periodEnd: new PeriodEnd(service.store, queries, service.ledger), left: () => left };
  }

  it.each(['before', 'after'] as const)('it is computed again, with what was posted (%s the position was chosen)', async (when) => {
    const { periodEnd } = disturbed(2, '2026-06-10', when);
    const answer = await periodEnd.execute(bookId, revalueAt('2026-06-30'), contextOf(newKey()));
    expect(answer.status).toBe(200);
    const lines = await plainLines(admin, bookId);
    const net = lines.filter(({ account, currency, date }) => account === 'Bank' && currency === 'USD' && date <= '2026-06-30');
    expect(units(inBase(lines, 'Bank', '2026-06-30')) * 100n).toBe(net.reduce((sum, known) => sum + known.net, 0n) * 95n);
  });

  it('it gives up after five times with books_moving, of which nothing is remembered', async () => {
    const { periodEnd } = disturbed(Number.POSITIVE_INFINITY, '2026-06-11', 'after');
    const lines = await plainLines(admin, bookId);
    await expect(periodEnd.execute(bookId, revalueAt('2026-06-30'), contextOf('moving'))).rejects.toMatchObject({
      code: 'books_moving',
      kind: 'unavailable',
      details: { retryAfter: 1 },
    });
    expect((await plainLines(admin, bookId)).length).toBe(lines.length + 5 * 2);
    const answer = await service.execute(bookId, revalueAt('2026-06-30'), contextOf('moving'));
    expect(answer).toMatchObject({ status: 200, replayed: false });
    expect(JSON.parse(answer.body).entries).toHaveLength(2);
  });

  it('entries after the day disturb nobody', async () => {
    const { periodEnd, left } = disturbed(2, '2026-07-01', 'after');
    await recordRate(service, bookId, ['USD', '2026-06-30', '0.96', 'closing']);
    const answer = await periodEnd.execute(bookId, revalueAt('2026-06-30'), contextOf(newKey()));
    expect(JSON.parse(answer.body).entries).toHaveLength(2);
    expect(left()).toBe(1);
  });

  it('nobody is taken to have posted because the heads that count entries are gone, or were written by an older release', async () => {
    const lost = { '0.97': 'DELETE FROM log.heads', '0.98': 'UPDATE log.heads SET reducer_version = 1' };
    for (const [rate, statement] of Object.entries(lost)) {
      await recordRate(service, bookId, ['USD', '2026-06-30', rate, 'closing']);
      await admin.query(`${statement} WHERE book_id = $1 AND state::jsonb ? 'last'`, [bookId]);
      const answer = await service.execute(bookId, revalueAt('2026-06-30'), contextOf(newKey()));
      expect([answer.status, JSON.parse(answer.body).entries?.length]).toEqual([200, 2]);
    }
    await checkBook(admin, bookId);
  });

  it('a closing entry too is computed from the year that it closes', async () => {
    await carryOut(service, bookId, entryOf('2026-05-01', ['Costs', 'Bank'], '10', 'EUR'));
    const queries = Object.create(service.queries) as Queries;
    let first = true;
    queries.pin = async (...asked) => {
      const position = await service.queries.pin(...asked);
      if (first) await carryOut(service, bookId, entryOf('2026-05-02', ['Costs', 'Bank'], '5', 'EUR'));
      first = false;
      return position;
    };
    const periodEnd = new PeriodEnd(service.store, queries, service.ledger);
    const answer = await periodEnd.execute(bookId, closeYear('2026'), contextOf(newKey()));
    const [closing] = await entriesOf(bookId, JSON.parse(answer.body).entries);
    expect(shownLines(closing as JournalEntryPosted)).toEqual(expect.arrayContaining(['Costs credit 15.00 EUR 15.00']));
  });
});

describe('settlement', () => {
  const bookId = 'settled';
  beforeAll(async () => {
    await openTrackedBook(service, bookId);
    await recordRate(service, bookId, ['USD', '2026-06-01', '0.90']);
    await recordRate(service, bookId, ['GBP', '2026-06-01', '1.20']);
    await recordRate(service, bookId, ['USD', '2026-06-15', '0.92']);
    await carryOut(service, bookId, entryOf('2026-06-01', ['Receivables', 'Sales'], '1000', 'USD'));
    await carryOut(service, bookId, entryOf('2026-06-16', ['Receivables', 'Sales'], '500', 'USD'));
    await carryOut(service, bookId, entryOf('2026-06-02', ['Stock', 'Loan'], '500', 'GBP'));
  });

  /** Posts what the settlement says with the line that receives or pays. */
  const settle = async (lines: readonly EntryLine[], cash: EntryLine, effectiveDate: CalendarDate): Promise<JournalEntryPosted> => {
    const entry = { type: 'PostEntry', effectiveDate, description: 'settlement', onImbalance: 'currency_conversion' } as const;
    const { body } = await carryOut(service, bookId, { ...entry, lines: [...lines, cash] });
    return service.queries.entry(bookId, JSON.parse(body).id);
  };

  it('gains what is received above the carrying amount (weighted average)', async () => {
    const settlement = await service.periodEnd.settlement(bookId, 'Receivables', {
      ...{ currency: 'USD', amount: '600', asOf: '2026-06-20', proceeds: '570.00' },
    });
    // 1500 USD are carried at 1360.00; 600 of them at 544.00.
    expect(settlement).toMatchObject({
      ...{ quantity: '1500.00', carrying: '1360.00', amount: '600.00', carryingSettled: '544.00', proceeds: '570.00', realised: '26.00' },
      lines: [
        line('Receivables', 'credit', '600.00', 'USD', { baseAmount: '544.00' }),
        line('RealisedGain', 'credit', '0.00', 'EUR', { baseAmount: '26.00' }),
      ],
    });
    expect(settlement.rate).toBeUndefined();
    await settle(settlement.lines, line('Bank', 'debit', '570.00', 'EUR'), '2026-06-20');
    const lines = await plainLines(admin, bookId);
    expect(['Receivables', 'Bank', 'RealisedGain', 'Conversion'].map((account) => inBase(lines, account, '2026-06-20'))).toEqual([
      ...['816.00', '570.00', '-26.00', '0.00'],
    ]);
    const trial = await ask<TrialBalance>('trial-balance', bookId, { period: '2026', in: 'EUR' });
    expect(trial.balanced).toBe(true);
  });

  it('at the spot rate of the day where nothing is said of proceeds; the last part takes what is left', async () => {
    const settlement = await service.periodEnd.settlement(bookId, 'Receivables', { currency: 'USD', amount: '900', asOf: '2026-06-20' });
    expect(settlement).toMatchObject({
      ...{
        quantity: '900.00',
        carryingSettled: '816.00',
        proceeds: '828.00',
        realised: '12.00',
        rate: { value: '0.92', date: '2026-06-15' },
      },
    });
    await settle(settlement.lines, line('Bank', 'debit', '828.00', 'EUR'), '2026-06-20');
    expect(inBase(await plainLines(admin, bookId), 'Receivables', '2026-12-31')).toBe('0.00');
  });

  it('of a liability loses what is paid above the carrying amount', async () => {
    const settlement = await service.periodEnd.settlement(bookId, 'Loan', {
      currency: 'GBP',
      amount: '200',
      asOf: '2026-06-20',
      proceeds: '250',
    });
    expect(settlement).toMatchObject({
      ...{ quantity: '-500.00', carrying: '-600.00', carryingSettled: '240.00', realised: '-10.00' },
      lines: [
        line('Loan', 'debit', '200.00', 'GBP', { baseAmount: '240.00' }),
        line('RealisedLoss', 'debit', '0.00', 'EUR', { baseAmount: '10.00' }),
      ],
    });
    await settle(settlement.lines, line('Bank', 'credit', '250.00', 'EUR'), '2026-06-20');
    expect(inBase(await plainLines(admin, bookId), 'Loan', '2026-12-31')).toBe('-360.00');
    await checkBook(admin, bookId);
  });

  it('counts from what is carried without a revaluation that goes back on the next day', async () => {
    const own = 'settled-on-the-day';
    await openTrackedBook(service, own);
    await recordRate(service, own, ['USD', '2026-06-01', '0.90']);
    await recordRate(service, own, ['USD', '2026-06-30', '0.98', 'closing']);
    await carryOut(service, own, entryOf('2026-06-01', ['Stock', 'Loan'], '50', 'USD'));
    const question = { currency: 'USD', amount: '50', proceeds: '49' };
    const before = await service.periodEnd.settlement(own, 'Loan', { ...question, asOf: '2026-06-30' });
    await carryOut(service, own, revalueAt('2026-06-30'));
    for (const asOf of ['2026-06-30', '2026-07-01', undefined]) {
      const { carrying, realised, lines } = await service.periodEnd.settlement(
        own,
        'Loan',
        asOf === undefined ? question : { ...question, asOf },
      );
      expect({ carrying, realised, lines }).toEqual({ carrying: before.carrying, realised: before.realised, lines: before.lines });
    }
    expect(before).toMatchObject({ carrying: '-45.00', realised: '-4.00' });
    // One that stays is what the account is carried at.
    const stays = { entryType: 'revaluation', effectiveDate: '2026-06-30' } as const;
    const worth = [line('Loan', 'credit', '0', 'USD', { baseAmount: '3' }), line('Loss', 'debit', '0', 'EUR', { baseAmount: '3' })];
    await carryOut(service, own, { type: 'PostEntry', description: 'taken over', lines: worth, ...stays });
    expect(await service.periodEnd.settlement(own, 'Loan', { ...question, asOf: '2026-06-30' })).toMatchObject({ carrying: '-48.00' });
  });

  it('takes a carrying amount below nothing off on the other side, rounds as the book does, and without a day asks for the rate of today', async () => {
    const own = 'settled-below-nothing';
    await openTrackedBook(service, own, { rounding: 'half_even' });
    const conversion = { onImbalance: 'currency_conversion' } as const;
    const entry = (lines: EntryLine[]) =>
      ({ type: 'PostEntry', effectiveDate: '2026-06-01', description: 'x', lines, ...conversion }) as const;
    const both = (amount: string, base: string, side: 'debit' | 'credit') => line('Bank', side, amount, 'USD', { baseAmount: base });
    await carryOut(service, own, entry([both('100', '90', 'debit'), line('Capital', 'credit', '90', 'EUR')]));
    await carryOut(service, own, entry([both('50', '95', 'credit'), line('Capital', 'debit', '95', 'EUR')]));
    // 50 USD are carried at −5.00: half of them at −2.50, a hundredth of them at −0.05.
    const half = await service.periodEnd.settlement(own, 'Bank', { currency: 'USD', amount: '25', proceeds: '20' });
    expect(half).toMatchObject({ carrying: '-5.00', carryingSettled: '-2.50', realised: '22.50' });
    expect(half.lines).toEqual([
      line('Bank', 'credit', '25.00', 'USD', { baseAmount: '0.00' }),
      line('Bank', 'debit', '0.00', 'USD', { baseAmount: '2.50' }),
      line('RealisedGain', 'credit', '0.00', 'EUR', { baseAmount: '22.50' }),
    ]);
    await carryOut(service, own, { ...entry([...half.lines, line('Bank', 'debit', '20', 'EUR')]), effectiveDate: '2026-06-02' });
    const { carryingSettled } = await service.periodEnd.settlement(own, 'Bank', { currency: 'USD', amount: '0.25', proceeds: '1' });
    expect(carryingSettled).toBe('-0.02'); // −0.025
    const today = new Date().toISOString().slice(0, 10);
    await recordRate(service, own, ['USD', today, '0.5']);
    const now = await service.periodEnd.settlement(own, 'Bank', { currency: 'USD', amount: '25' });
    expect(now).toMatchObject({ proceeds: '12.50', rate: { value: '0.5', date: today } });
  });

  it('refuses more than there is, nothing, and what cannot be an amount', async () => {
    const refused = (question: object, code: string) =>
      expect(
        service.periodEnd.settlement(bookId, 'Loan', { currency: 'GBP', amount: '1', asOf: '2026-06-20', proceeds: '1', ...question }),
      ).rejects.toMatchObject({ code });
    await refused({ amount: '300.01' }, 'malformed');
    await refused({ amount: '0' }, 'amount_format');
    await refused({ amount: '1.001' }, 'amount_format');
    await refused({ proceeds: '0.00' }, 'amount_format');
    await refused({ currency: 'JPY' }, 'malformed');
    await refused({ proceeds: undefined, asOf: '2026-12-31' }, 'rate_unknown');
    await refused({ asOf: '2026-06-31' }, 'date_invalid');
  });

  it(`in random parts leaves nothing of the carrying amount behind (SEED=${seed})`, async () => {
    const chance = random(seed);
    await carryOut(service, bookId, entryOf('2026-06-21', ['Bank', 'Capital'], '333.33', 'USD'));
    await carryOut(
      service,
      bookId,
      entryOf('2026-06-21', ['Bank', 'Capital'], '77.77', 'USD', {
        lines: [
          line('Bank', 'debit', '77.77', 'USD', { rate: { value: '0.913337', date: '2026-06-21', source: 'bank' } }),
          line('Capital', 'credit', '77.77', 'USD', { rate: { value: '0.913337', date: '2026-06-21', source: 'bank' } }),
        ],
      }),
    );
    let left = 41_110;
    while (left > 0) {
      const part = Math.min(left, 1 + chance.below(20_000));
      left -= part;
      const amount = `${Math.floor(part / 100)}.${String(part % 100).padStart(2, '0')}`;
      const { lines, proceeds } = await service.periodEnd.settlement(bookId, 'Bank', { currency: 'USD', amount, asOf: '2026-06-21' });
      await settle(lines, line('Receivables', 'debit', proceeds, 'EUR'), '2026-06-21');
    }
    const lines = (await plainLines(admin, bookId)).filter(({ account, currency }) => account === 'Bank' && currency === 'USD');
    expect([shownSum(lines, 'net'), shownSum(lines, 'base')]).toEqual(['0.00', '0.00']);
  });
});

describe('the end of a year', () => {
  const bookId = 'years';
  const sideOf = (trial: TrialBalance, code: string, what: 'opening' | 'closing'): string[] =>
    trial.rows.filter(({ account }) => account === code).map(({ currency, figures }) => `${currency} ${figures[0]?.[what]}`);
  const nominal = ['Sales', 'Costs', 'Gain', 'Loss', 'RealisedGain', 'RealisedLoss', 'Rounding'];
  const real = ['Bank', 'Receivables', 'Stock', 'Loan', 'Capital'];

  /** I13 per currency and in base currency. */
  async function expectCarried(): Promise<void> {
    for (const more of [{}, { in: 'EUR' }]) {
      const [closed, opened] = [
        await ask<TrialBalance>('trial-balance', bookId, { period: '2026', includeZero: true, ...more }),
        await ask<TrialBalance>('trial-balance', bookId, { period: '2027', includeZero: true, ...more }),
      ];
      expect([closed.balanced, opened.balanced]).toEqual([true, true]);
      for (const code of [...real, 'Retained'])
        expect({ code, opening: sideOf(opened, code, 'opening') }).toEqual({ code, opening: sideOf(closed, code, 'closing') });
      for (const code of nominal) for (const opening of sideOf(opened, code, 'opening')) expect(opening).toMatch(/^[A-Z]{3} 0(\.0+)?$/);
    }
  }

  beforeAll(async () => {
    await openTrackedBook(service, bookId);
    await recordRate(service, bookId, ['USD', '2026-12-01', '0.90']);
    await carryOut(service, bookId, entryOf('2026-03-01', ['Bank', 'Capital'], '1000', 'EUR'));
    await carryOut(service, bookId, entryOf('2026-12-02', ['Receivables', 'Sales'], '200', 'USD'));
    await carryOut(service, bookId, entryOf('2026-12-03', ['Costs', 'Bank'], '70', 'EUR'));
    await carryOut(service, bookId, entryOf('2027-01-02', ['Costs', 'Bank'], '1', 'EUR'));
  });

  it('without a closing entry opens what it closed with, income and expense at zero', async () => {
    await expectCarried();
    const opened = await ask<TrialBalance>('trial-balance', bookId, { period: '2027', in: 'EUR' });
    expect(opened.retainedEarnings?.map(({ figures }) => figures[0]?.opening)).toEqual(['-110.00']);
  });

  it('the closing entry brings income and expense to zero, per currency and in base currency', async () => {
    const [closing] = await entriesOf(bookId, await posted(bookId, closeYear('2026', { reason: 'end of 2026' })));
    expect(closing).toMatchObject({
      effectiveDate: '2026-12-31',
      entryType: 'closing',
      entryMethod: 'system',
      fiscalYear: '2026',
      period: 12,
    });
    expect(shownLines(closing as JournalEntryPosted).sort()).toEqual([
      'Costs credit 70.00 EUR 70.00',
      'Retained credit 200.00 USD 180.00',
      'Retained debit 70.00 EUR 70.00',
      'Sales debit 200.00 USD 180.00',
    ]);
    await expectCarried();
    const opened = await ask<TrialBalance>('trial-balance', bookId, { period: '2027', in: 'EUR' });
    expect(opened.retainedEarnings?.map(({ figures }) => figures[0]?.opening) ?? []).toEqual(
      opened.retainedEarnings?.map(() => '0.00') ?? [],
    );
    expect(sideOf(opened, 'Retained', 'opening')).toEqual(['EUR -110.00']);
    const statement = await ask<{ readonly result: readonly string[] }>('income-statement', bookId, { period: '2026', in: 'EUR' });
    expect(statement.result).toEqual(['110.00']);
  });

  it('asked again posts nothing; what was posted since, and a revaluation, it closes by the difference', async () => {
    expect(await posted(bookId, closeYear('2026'))).toEqual([]);
    await carryOut(service, bookId, entryOf('2026-12-30', ['Costs', 'Bank'], '5', 'EUR'));
    await recordRate(service, bookId, ['USD', '2026-12-31', '0.95', 'closing']);
    expect(await posted(bookId, revalueAt('2026-12-31'))).toHaveLength(2);
    const [closing] = await entriesOf(bookId, await posted(bookId, closeYear('2026')));
    expect(shownLines(closing as JournalEntryPosted).sort()).toEqual([
      'Costs credit 5.00 EUR 5.00',
      'Gain debit 0.00 EUR 10.00',
      'Retained credit 0.00 EUR 10.00',
      'Retained debit 5.00 EUR 5.00',
    ]);
    await expectCarried();
    await checkBook(admin, bookId);
  });

  it('may go into a 13th period, when the others are closed already', async () => {
    const id = 'thirteen';
    await openTrackedBook(service, id);
    const months = Array.from({ length: 12 }, (_, month) => {
      const from = `2027-${String(month + 1).padStart(2, '0')}-01`;
      const to = month === 11 ? '2027-12-31' : addDays(`2027-${String(month + 2).padStart(2, '0')}-01`, -1);
      return { no: month + 1, from, to, kind: 'normal' as const };
    });
    const thirteenth = { no: 13, from: '2027-12-31', to: '2027-12-31', kind: 'adjustment' as const };
    await carryOut(service, id, {
      type: 'DefineFiscalYear',
      label: 'F-27',
      from: '2027-01-01',
      to: '2027-12-31',
      periods: [...months, thirteenth],
    });
    await carryOut(service, id, entryOf('2027-05-01', ['Costs', 'Bank'], '12', 'EUR'));
    const closed = await service.execute(
      id,
      { type: 'ClosePeriod', fiscalYear: 'F-27', period: 12, level: 'soft', includeEarlier: true },
      controllerContext('close F-27'),
    );
    expect(closed.status).toBe(200);
    const refused = await service.execute(id, closeYear('F-27'), contextOf('into December'));
    expect(JSON.parse(refused.body)).toMatchObject({ code: 'period_closed', fiscalYear: 'F-27', period: 12 });
    const [closing] = await entriesOf(id, await posted(id, closeYear('F-27', { adjustmentPeriod: 13 })));
    expect(closing).toMatchObject({ effectiveDate: '2027-12-31', fiscalYear: 'F-27', period: 13 });
    const last = await service.execute(
      id,
      { type: 'ClosePeriod', fiscalYear: 'F-27', period: 13, level: 'soft' },
      controllerContext('close 13'),
    );
    expect(last.status).toBe(200);
    expect(
      JSON.parse((await service.execute(id, closeYear('F-27', { adjustmentPeriod: 13 }), contextOf('nothing left'))).body).entries,
    ).toEqual([]);
    await checkBook(admin, id);
  });
});
