/**
 * Closing a month over HTTP: who may, what is refused to whom, the moments that closes name in every question, and entries that
 * come late. One story: May and June are closed, a controller posts into June, two people open it again, and it is closed for good.
 */
import { type Api, created, entry, openBook, type Reply, startApi } from './api';

let api: Api;
let book: string;
const secrets: Record<'clerk' | 'ann' | 'bob', string> = { clerk: '', ann: '', bob: '' };
const ids: Record<string, string> = {};

beforeAll(async () => {
  api = await startApi({ READ_WAIT_MS: '20000' });
  book = await openBook(api, 'months');
  for (const name of ['clerk', 'ann', 'bob'] as const) {
    const key = await api.keys.create(name, name === 'clerk' ? [] : ['controller']);
    secrets[name] = key.secret;
    ids[name] = key.id;
  }
});
afterAll(() => api?.close());

type Who = keyof typeof secrets;
const as = (who: Who, key?: string) => ({ secret: secrets[who], ...(key === undefined ? {} : { key }) });

async function ok(sent: Promise<Reply>): Promise<Reply> {
  const reply = await sent;
  if (reply.status >= 300) throw new Error(`${reply.status}: ${reply.text}`);
  return reply;
}

const post = (who: Who, effectiveDate: string, amount: string, more: object = {}, key?: string): Promise<Reply> =>
  api.post(`${book}/journal-entries`, entry(amount, { effectiveDate, ...more }), as(who, key));
const close = (who: Who, period: string, body: object = { level: 'soft' }, key?: string): Promise<Reply> =>
  api.post(`${book}/periods/${period}/close`, body, as(who, key));
const reopening = (who: Who, period: string, step: '' | '/approve' | '/decline', body: object = {}): Promise<Reply> =>
  api.post(`${book}/periods/${period}/reopening${step}`, body, as(who));

/** Every question about the past, with what it needs beside knownAt. */
const questions = [
  'accounts',
  'accounts/Assets%3ACash',
  'accounts/Assets%3ACash/balance?asOf=2026-12-31',
  'accounts/Assets%3ACash/balance',
  'accounts/Assets%3ACash/statement?from=2026-06-01&to=2026-06-30',
  'balances?asOf=2026-06-30',
  'journal-entries?from=2026-06-01&to=2026-06-30',
  'reports/trial-balance?period=2026/6',
  'reports/balance-sheet?asOf=2026-06-30',
  'reports/income-statement?period=2026/6',
  'reports/general-ledger?period=2026/6',
  'reports/cash-flow?period=2026/6',
  'reports/journal?period=2026/6',
  'reports/valuation?asOf=2026-06-30',
  'reports/changes-since?since=0&from=2026-01-01&to=2026-12-31',
  'reports/journal-entry-tests?period=2026/6',
];

const ask = (question: string, knownAt: string | number): Promise<Reply> =>
  api.get(`${book}/${question}${question.includes('?') ? '&' : '?'}knownAt=${knownAt}`, as('clerk'));

/** The same answer whichever way the moment is named; what was asked for is repeated in some. */
async function expectNamed(name: string, position: number): Promise<void> {
  for (const question of questions) {
    const [named, numbered] = [await ask(question, name), await ask(question, position)];
    expect({ question, status: named.status, at: named.body.position }).toEqual({ question, status: 200, at: position });
    const plain = ({ body }: Reply): unknown => ({ ...body, knownAt: undefined, nextCursor: undefined });
    expect({ question, answer: plain(named) }).toEqual({ question, answer: plain(numbered) });
  }
}

async function expectUnnamed(name: string, detail: RegExp): Promise<void> {
  for (const question of questions) {
    const { status, body } = await ask(question, name);
    expect({ question, status, body }).toMatchObject({ question, status: 400, body: { code: 'date_invalid' } });
    expect(body.detail).toMatch(detail);
  }
}

const cashAt = async (knownAt: string): Promise<string> =>
  (await ok(ask('accounts/Assets%3ACash/balance', knownAt))).body.balances[0].balance;

let firstClose: Reply;
let secondClose: Reply;
let late: Reply;

describe('before anything is closed', () => {
  it('no close can be named, and that is said', async () => {
    for (const [date, amount] of [
      ['2026-05-20', '100.00'],
      ['2026-06-10', '20.00'],
      ['2026-07-01', '3.00'],
    ] as const)
      await created(post('clerk', date, amount));
    await expectUnnamed('close:2026-06', /there was no such close; no period was closed yet/);
  });

  it.each(['close:2026', 'close:2026-0', 'close:-6', 'closed:2026-06', 'hardclose:2026-06', 'close:2026-06x', 'CLOSE:2026-06'])(
    '"%s" names none in any form',
    async (name) => {
      await expectUnnamed(name, /close:2026-06/);
    },
  );
});

describe('closing', () => {
  it.each(['close', 'reopening', 'reopening/approve', 'reopening/decline'])('%s is for controllers only', async (step) => {
    const body = step === 'close' ? { level: 'soft' } : { reason: 'because' };
    const reply = await api.post(`${book}/periods/2026/1/${step}`, body, as('clerk'));
    expect([reply.status, reply.body.code, reply.body.status]).toEqual([403, 'forbidden', 403]);
    expect(reply.body.detail).toContain('--scope controller');
  });

  it('closes all up to June at once, and says which; a repeat is told the same bytes', async () => {
    const sent = () => close('ann', '2026/6', { level: 'soft', includeEarlier: true, reason: 'June is done' }, 'june');
    firstClose = await ok(sent());
    expect(firstClose.body).toMatchObject({
      fiscalYear: '2026',
      period: 6,
      status: 'soft_closed',
      closed: ['2026/1', '2026/2', '2026/3', '2026/4', '2026/5', '2026/6'],
    });
    const again = await sent();
    expect([again.text, again.headers['idempotency-replayed']]).toEqual([firstClose.text, 'true']);
    const { events } = (await api.get(`${book}/events?after=${firstClose.body.position + 4}&limit=1`)).body;
    expect(events[0]).toMatchObject({
      eventType: 'PeriodClosed',
      userId: ids.ann,
      metadata: { reason: 'June is done' },
      data: {
        ...{ fiscalYear: '2026', period: 6, level: 'soft', entries: 1, position: firstClose.body.position + 4 },
        totals: [{ currency: 'EUR', debit: '20.00', credit: '20.00' }],
        numbers: [{ journalCode: 'GENERAL', last: 3 }],
      },
    });
    const { fiscalYears } = (await api.get(`${book}/fiscal-years`)).body;
    expect(fiscalYears[0].periods.map(({ status }: { status: string }) => status)).toEqual([
      ...Array.from({ length: 6 }, () => 'soft_closed'),
      ...Array.from({ length: 6 }, () => 'open'),
    ]);
  });

  it('a clerk is refused, and told the status of the answer, that of the period, and the first open day', async () => {
    const reply = await post('clerk', '2026-06-30', '1.00');
    expect(reply.body).toMatchObject({
      ...{ status: 422, code: 'period_closed', effectiveDate: '2026-06-30', fiscalYear: '2026', period: 6, periodStatus: 'soft_closed' },
      detail: expect.stringContaining('the first open day is 2026-07-01'),
    });
    const wrong = await close('ann', '2026/6');
    expect(wrong.body).toMatchObject({ status: 422, code: 'period_state', periodStatus: 'soft_closed' });
  });
});

describe('the moment of a close', () => {
  it('has a name in every question', async () => {
    late = await created(post('ann', '2026-06-15', '7.00', { reason: 'invoice came by post', description: 'Late invoice' }));
    await expectNamed('close:2026-06', firstClose.body.position + 5);
    expect(await cashAt('close:2026-06')).toBe('123.00');
    expect(await cashAt('close:2026-6')).toBe('123.00');
  });

  it('separates what was posted after it: by whom, when and why', async () => {
    const { body } = await ok(api.get(`${book}/reports/changes-since?since=close:2026-06&period=2026/6`));
    expect(body.since.position).toBe(firstClose.body.position + 5);
    expect(body.entries).toEqual([
      expect.objectContaining({
        id: late.body.id,
        recordedAt: late.body.recordedAt,
        date: '2026-06-15',
        userId: ids.ann,
        reason: 'invoice came by post',
        description: 'Late invoice',
        accounts: [
          { account: 'Assets:Cash', currency: 'EUR', before: '20.00', change: '7.00', after: '27.00' },
          { account: 'Income:Sales', currency: 'EUR', before: '-20.00', change: '-7.00', after: '-27.00' },
        ],
      }),
    ]);
    const csv = await ok(api.get(`${book}/reports/changes-since?since=close:2026-06&period=2026/6&format=csv`));
    expect(csv.text).toContain('invoice came by post');
  });

  it('of a period that was never closed, or not for ever, is date_invalid with the closes that there are', async () => {
    await expectUnnamed('close:2026-07', /there are close:2026-1, .*, close:2026-6$/);
    await expectUnnamed('hard-close:2026-06', /there was no such close; there are close:2026-1/);
    const since = await api.get(`${book}/reports/changes-since?since=close:2026-07&period=2026/6`);
    expect([since.status, since.body.code]).toEqual([400, 'date_invalid']);
  });
});

describe('reopening', () => {
  it('takes two people, who both stand in the log', async () => {
    expect((await reopening('bob', '2026/6', '/approve')).body).toMatchObject({ code: 'period_state' });
    expect((await reopening('ann', '2026/5', '', { reason: 'May' })).body).toMatchObject({ code: 'period_order', period: 6 });
    expect((await reopening('ann', '2026/6', '')).body).toMatchObject({ code: 'malformed', member: 'reason' });
    const asked = await ok(reopening('ann', '2026/6', '', { reason: 'an invoice of June is missing' }));
    expect(asked.body).toMatchObject({ status: 'soft_closed', reopening: { requestedBy: ids.ann } });
    expect((await reopening('ann', '2026/6', '/approve')).body).toMatchObject({ code: 'second_user_required' });
    await ok(reopening('bob', '2026/6', '/decline', { reason: 'July will do' }));
    await ok(reopening('bob', '2026/6', '', { reason: 'it will not' }));
    const opened = await ok(reopening('ann', '2026/6', '/approve'));
    expect(opened.body).toMatchObject({ status: 'open' });
    expect(opened.body.reopening).toBeUndefined();
    await created(post('clerk', '2026-06-30', '0.50'));
  });

  it('the last close is the one that a name means; the first one keeps its position and its answers', async () => {
    expect(await cashAt('close:2026-06')).toBe('123.00');
    secondClose = await ok(close('bob', '2026/6'));
    await created(post('ann', '2026-06-16', '1000.00'));
    await expectNamed('close:2026-06', secondClose.body.position);
    expect(await cashAt('close:2026-06')).toBe('130.50');
    expect(await cashAt(String(firstClose.body.position + 5))).toBe('123.00');
  });

  it('ends with the hard close: it has a name of its own, and nobody posts or reopens any more', async () => {
    const hard = await ok(close('ann', '2026/6', { level: 'hard', includeEarlier: true }));
    expect(hard.body).toMatchObject({ status: 'hard_closed', closed: expect.arrayContaining(['2026/1', '2026/6']) });
    await expectNamed('hard-close:2026-06', hard.body.position + 5);
    await expectNamed('close:2026-06', secondClose.body.position);
    expect(await cashAt('hard-close:2026-06')).toBe('1130.50');
    for (const who of ['clerk', 'ann'] as const)
      expect((await post(who, '2026-06-30', '1.00')).body).toMatchObject({ code: 'period_closed', periodStatus: 'hard_closed' });
    expect((await reopening('ann', '2026/6', '', { reason: 'again' })).body).toMatchObject({ code: 'period_state' });
  });

  it('labels of years may hold what separates them from periods', async () => {
    await created(api.post(`${book}/fiscal-years`, { label: 'F-27', from: '2027-01-01', to: '2027-12-31' }));
    const { body } = await ok(close('ann', 'F-27/2', { level: 'soft', includeEarlier: true }));
    expect(body.closed).toEqual(['2026/7', '2026/8', '2026/9', '2026/10', '2026/11', '2026/12', 'F-27/1', 'F-27/2']);
    await expectNamed('close:F-27-02', body.position + 7);
    await expectNamed('close:F-27-1', body.position + 6);
    await expectNamed('close:2026-12', body.position + 5);
  });
});
