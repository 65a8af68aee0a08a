/**
 * Entries that come late over HTTP: refused, or moved to the first open day where that is asked for; in batches each for itself;
 * repeated with the same bytes. And what a key is said to differ in, where the event tells more than its caller said: a moved date,
 * a computed amount, an added line.
 */
import { type Api, created, entry, openBook, type Reply, startApi } from './api';

let api: Api;
let book: string;
let clerk: string;

beforeAll(async () => {
  api = await startApi({ READ_WAIT_MS: '20000' });
  book = await openBook(api, 'late');
  clerk = (await api.keys.create('clerk')).secret;
  await closed('2026/6', { level: 'soft', includeEarlier: true });
  await closed('2026/3', { level: 'hard', includeEarlier: true });
});
afterAll(() => api?.close());

async function closed(period: string, body: object): Promise<void> {
  const { status, text } = await api.post(`${book}/periods/${period}/close`, body);
  if (status !== 200) throw new Error(text);
}

const late = (amount: string, more: object = {}): object =>
  entry(amount, { effectiveDate: '2026-06-15', onClosedPeriod: 'first_open_day', ...more });
const send = (body: object, key?: string, secret = clerk): Promise<Reply> => api.post(`${book}/journal-entries`, body, { secret, key });
const shown = async ({ body }: Reply): Promise<Reply['body']> => (await api.get(`${book}/journal-entries/${body.id}`)).body;

describe('an entry dated in a closed period', () => {
  it('is refused, unless it may move: then it stands on the first open day and says which day was asked for', async () => {
    expect((await send(entry('1', { effectiveDate: '2026-06-15' }))).body).toMatchObject({ code: 'period_closed', status: 422 });
    expect((await send(entry('1', { effectiveDate: '2026-06-15', onClosedPeriod: 'refuse' }))).body).toMatchObject({
      code: 'period_closed',
    });
    const moved = await created(send(late('2.00'), 'moved'));
    expect(await shown(moved)).toMatchObject({ effectiveDate: '2026-07-01', requestedDate: '2026-06-15', fiscalYear: '2026', period: 7 });
    const again = await send(late('2.00'), 'moved');
    expect([again.status, again.text, again.headers['idempotency-replayed']]).toEqual([201, moved.text, 'true']);
  });

  it('of an open period does not move, nor one of a controller where only controllers may post; from a closed for ever one it does', async () => {
    const open = await shown(await created(send(late('3.00', { effectiveDate: '2026-07-15' }))));
    expect([open.effectiveDate, open.requestedDate]).toEqual(['2026-07-15', undefined]);
    const byController = (body: object) => api.post(`${book}/journal-entries`, body);
    const soft = await shown(await created(byController(late('4.00'))));
    expect([soft.effectiveDate, soft.requestedDate]).toEqual(['2026-06-15', undefined]);
    const hard = await shown(await created(byController(late('5.00', { effectiveDate: '2026-02-15' }))));
    expect([hard.effectiveDate, hard.requestedDate]).toEqual(['2026-07-01', '2026-02-15']);
  });

  it('cannot state itself what moving it would state', async () => {
    expect((await send(late('1', { requestedDate: '2026-06-01' }))).body).toMatchObject({ code: 'malformed', member: 'requestedDate' });
    expect((await send(late('1', { onClosedPeriod: 'tomorrow' }))).body).toMatchObject({ code: 'malformed', member: 'onClosedPeriod' });
  });

  it('may come of a correction or a reversal: both of its entries move, and both say which day was asked for', async () => {
    const original = await created(send(entry('6.00', { effectiveDate: '2026-07-15' })));
    const path = `${book}/journal-entries/${original.body.id}`;
    const { lines } = entry('7.00') as { lines: object[] };
    const body = { effectiveDate: '2026-06-15', reason: 'wrong amount', lines };
    expect((await api.post(`${path}/correct`, body, { secret: clerk })).body).toMatchObject({ code: 'period_closed', status: 422 });
    expect((await api.post(`${path}/correct`, { ...body, onClosedPeriod: 'tomorrow' }, { secret: clerk })).body).toMatchObject({
      ...{ code: 'malformed', member: 'onClosedPeriod' },
    });
    const moves = { onClosedPeriod: 'first_open_day' };
    const corrected = await created(api.post(`${path}/correct`, { ...body, ...moves }, { secret: clerk }));
    for (const posted of [corrected.body, corrected.body.reversal])
      expect(await shown({ body: posted } as Reply)).toMatchObject({ effectiveDate: '2026-07-01', requestedDate: '2026-06-15', period: 7 });
    const reversed = await created(
      api.post(
        `${book}/journal-entries/${corrected.body.id}/reverse`,
        { effectiveDate: '2026-06-16', reason: 'twice', ...moves },
        { secret: clerk },
      ),
    );
    expect(await shown(reversed)).toMatchObject({ effectiveDate: '2026-07-01', requestedDate: '2026-06-16' });
  });

  it('stays where it was moved to when the period is opened again', async () => {
    const two = (await api.keys.create('second controller', ['controller'])).secret;
    const step = async (path: string, secret?: string): Promise<void> => {
      const { status, text } = await api.post(`${book}/periods/2026/6/${path}`, { reason: 'late' }, { secret });
      if (status !== 200) throw new Error(text);
    };
    await step('reopening');
    await step('reopening/approve', two);
    const again = await send(late('2.00'), 'moved');
    expect([again.status, again.headers['idempotency-replayed'], (await shown(again)).effectiveDate]).toEqual([201, 'true', '2026-07-01']);
    const fresh = await shown(await created(send(late('2.00'))));
    expect([fresh.effectiveDate, fresh.requestedDate]).toEqual(['2026-06-15', undefined]);
    await closed('2026/6', { level: 'soft' });
  });
});

describe('batches', () => {
  const entries = [
    late('10.00'),
    entry('11.00', { effectiveDate: '2026-06-15' }),
    entry('12.00', { effectiveDate: '2026-07-09' }),
    late('13.00', { effectiveDate: '2026-07-08' }),
  ];
  const batch = (body: object, key?: string): Promise<Reply> => api.post(`${book}/journal-entries/batch`, body, { secret: clerk, key });

  it('move, refuse and post each entry for itself, and are told so again', async () => {
    const first = await batch({ atomic: false, entries }, 'each');
    expect(first.status).toBe(200);
    const [moved, refused, ...open] = first.body.results;
    expect((await shown({ body: moved } as Reply)).effectiveDate).toBe('2026-07-01');
    expect(refused.problem).toMatchObject({ code: 'period_closed', status: 422, periodStatus: 'soft_closed' });
    const days = await Promise.all(open.map(async (result: object) => (await shown({ body: result } as Reply)).effectiveDate));
    expect(days).toEqual(['2026-07-09', '2026-07-08']);
    const again = await batch({ atomic: false, entries }, 'each');
    expect([again.text, again.headers['idempotency-replayed']]).toEqual([first.text, 'true']);
  });

  it('that are atomic post nothing where one entry may not move', async () => {
    const head = async (): Promise<number> => (await api.get(book)).body.position;
    const before = await head();
    const refused = await batch({ atomic: true, entries }, 'all');
    expect(refused.body).toMatchObject({ status: 422, code: 'period_closed', member: 'entries.1' });
    expect(await head()).toBe(before);
    // Which member of which entry is wrong, whoever finds it.
    const named = async (more: object): Promise<unknown> =>
      (await batch({ atomic: true, entries: [entries[2], { ...late('1.00'), ...more }] }, `named ${JSON.stringify(more)}`)).body.member;
    expect(await named({ onClosedPeriod: 'tomorrow' })).toBe('entries.1.onClosedPeriod');
    expect(await named({ requestedDate: '2026-06-01' })).toBe('entries.1.requestedDate');
    expect(await named({ adjustmentPeriod: 13 })).toBe('entries.1.onClosedPeriod');
    expect(await named({ adjustmentPeriod: 13, onClosedPeriod: 'refuse' })).toBe('entries.1.adjustmentPeriod');
    expect(await head()).toBe(before);
    const movable = entries.map((body) => ({ ...body, onClosedPeriod: 'first_open_day' }));
    const { body } = await batch({ atomic: true, entries: movable }, 'all movable');
    const days = await Promise.all(body.results.map(async (result: object) => (await shown({ body: result } as Reply)).effectiveDate));
    expect(days).toEqual(['2026-07-01', '2026-07-01', '2026-07-09', '2026-07-08']);
  });
});

describe('a key used for another entry names what differs', () => {
  let tracked: string;
  const line = (account: string, side: string, amount: string, currency: string, more: object = {}) => ({
    account,
    side,
    amount,
    currency,
    ...more,
  });
  const rate = { value: '0.9', date: '2026-07-01', source: 'bank' };
  const usd = (more: object = {}, second: object = {}, amount = '10.00') => ({
    effectiveDate: '2026-07-01',
    description: 'sale',
    lines: [line('Assets:Cash', 'debit', amount, 'USD', more), line('Income:Sales', 'credit', amount, 'USD', second)],
  });
  const exchange = (amount = '9.00', more: object = {}) => ({
    ...{ effectiveDate: '2026-07-01', description: 'exchange', onImbalance: 'currency_conversion' },
    lines: [line('Assets:Cash', 'debit', '10.00', 'USD'), line('Assets:Bank', 'credit', amount, 'EUR')],
    ...more,
  });
  const split = (amount = '0.50', more: object = {}) => ({
    effectiveDate: '2026-07-01',
    description: 'uneven',
    lines: [
      line('Assets:Cash', 'debit', '0.50', 'USD'),
      ...[amount, '0.15', '0.20'].map((part) => line('Income:Sales', 'credit', part === '0.50' ? '0.15' : part, 'USD')),
    ],
    ...more,
  });

  beforeAll(async () => {
    tracked = await openBook(api, 'computed', { fx: 'tracked' });
    await created(api.post(`${tracked}/accounts`, { code: 'Equity:Conversion', name: 'Conversion', type: 'equity' }));
    await created(api.post(`${tracked}/accounts`, { code: 'Expenses:Rounding', name: 'Rounding', type: 'expense' }));
    for (const [role, account] of [
      ['currency_conversion', 'Equity:Conversion'],
      ['rounding', 'Expenses:Rounding'],
    ])
      expect((await api.post(`${tracked}/designated-accounts`, { role, account })).status).toBe(200);
    await created(api.post(`${tracked}/rates`, { rates: [{ from: 'USD', to: 'EUR', rateType: 'spot', ...rate, source: 'ECB' }] }));
  });

  const cases: readonly [what: string, where: 'late' | 'computed', first: object, then: object, members: readonly string[]][] = [
    ['a moved entry of another day', 'late', late('1.00'), late('1.00', { effectiveDate: '2026-06-14' }), ['effectiveDate']],
    [
      'a moved entry of the day that it was moved to',
      'late',
      late('1.00'),
      late('1.00', { effectiveDate: '2026-07-01' }),
      ['effectiveDate'],
    ],
    ['a moved entry with another text', 'late', late('1.00'), late('1.00', { description: 'another' }), ['description']],
    ['a moved entry of another amount', 'late', late('1.00'), late('2.00'), ['lines.0.amount', 'lines.1.amount']],
    ['a moved entry that may not move any more', 'late', late('1.00'), late('1.00', { onClosedPeriod: undefined }), ['onClosedPeriod']],
    [
      'an entry of an open day that might have moved',
      'late',
      late('1.00', { effectiveDate: '2026-07-15' }),
      late('1.00', { effectiveDate: '2026-07-15', onClosedPeriod: undefined }),
      ['onClosedPeriod'],
    ],
    [
      'an entry that may move now',
      'late',
      entry('1.00', { effectiveDate: '2026-07-15' }),
      late('1.00', { effectiveDate: '2026-07-15' }),
      ['onClosedPeriod'],
    ],
    ['a computed amount that is stated now', 'computed', usd(), usd({ baseAmount: '9.00' }), ['lines.0.baseAmount']],
    ['the rate of the day that is stated now', 'computed', usd(), usd({ rate: { ...rate, source: 'ECB' } }), ['lines.0.rate']],
    ['an entry with computed amounts of another amount', 'computed', usd(), usd({}, {}, '11.00'), ['lines.0.amount', 'lines.1.amount']],
    ['an entry with computed amounts and another text', 'computed', usd(), { ...usd(), description: 'gift' }, ['description']],
    [
      'a stated amount that is another one',
      'computed',
      usd({ baseAmount: '9.50' }, { baseAmount: '9.50' }),
      usd({ baseAmount: '9.60' }, { baseAmount: '9.50' }),
      ['lines.0.baseAmount'],
    ],
    [
      'a stated amount that is left to the service now',
      'computed',
      usd({ baseAmount: '9.50' }, { baseAmount: '9.50' }),
      usd({}, { baseAmount: '9.50' }),
      ['lines.0'],
    ],
    [
      'a stated rate that is another one',
      'computed',
      usd({ rate }, { rate }),
      usd({ rate: { ...rate, value: '0.8' } }, { rate }),
      ['lines.0.rate'],
    ],
    ['an entry with a line for rounding of other parts', 'computed', split(), split('0.16'), ['lines.1.amount']],
    ['an entry with a line for rounding and another text', 'computed', split(), split('0.50', { description: 'even' }), ['description']],
    ['an entry with lines for conversion of another amount', 'computed', exchange(), exchange('8.00'), ['lines.1.amount']],
    [
      'an entry with lines for conversion that shall be refused now',
      'computed',
      exchange(),
      exchange('9.00', { onImbalance: undefined }),
      ['onImbalance'],
    ],
  ];

  it.each(cases)('%s', async (what, where, first, then, members) => {
    const path = where === 'late' ? book : tracked;
    const post = (body: object): Promise<Reply> => api.post(`${path}/journal-entries`, body, { secret: clerk, key: what });
    const original = await created(post(first));
    const reused = await post(then);
    expect(reused.body).toMatchObject({ status: 409, code: 'idempotency_key_reused', members });
    expect((await post(first)).text).toBe(original.text);
  });

  it.each(cases)('in a batch of single entries: %s', async (what, where, first, then, members) => {
    const path = where === 'late' ? book : tracked;
    const batch = (body: object): Promise<Reply> =>
      api.post(
        `${path}/journal-entries/batch`,
        { atomic: false, entries: [entry('1', { effectiveDate: '2026-07-02' }), body] },
        { secret: clerk, key: `each ${what}` },
      );
    expect((await batch(first)).body.results[1].problem).toBeUndefined();
    expect((await batch(then)).body).toMatchObject({
      code: 'idempotency_key_reused',
      members: members.map((member) => `entries.1.${member}`),
    });
  });

  it.each(cases)('in an atomic batch the entry at least: %s', async (what, where, first, then, members) => {
    const path = where === 'late' ? book : tracked;
    const batch = (body: object): Promise<Reply> =>
      api.post(
        `${path}/journal-entries/batch`,
        { atomic: true, entries: [entry('1', { effectiveDate: '2026-07-02' }), body] },
        { secret: clerk, key: `all ${what}` },
      );
    expect((await batch(first)).status).toBe(200);
    const reused = await batch(then);
    expect(reused.body.code).toBe('idempotency_key_reused');
    // The event tells of an entry what was posted; what its caller left to the service is no member that differs.
    const right = ['entries.1', ...members.map((member) => `entries.1.${member}`)];
    expect(reused.body.members.filter((member: string) => !right.includes(member))).toEqual([]);
    expect(reused.body.members.length).toBeGreaterThan(0);
    // A wish leaves no trace in the event, so it has a fingerprint of its own.
    const [member = ''] = members;
    if (['onClosedPeriod', 'onImbalance'].includes(member)) expect(reused.body.members).toEqual([`entries.1.${member}`]);
  });

  it('is nothing that verify objects to', async () => {
    for (const bookId of ['late', 'computed']) {
      const { books } = await api.service.verify({ books: [bookId] });
      expect(books.flatMap(({ findings }) => findings).map(({ message }) => message)).toEqual([]);
    }
  });
});
