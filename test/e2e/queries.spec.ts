/** Every operation that reads, over HTTP: shape, filters, pages, both axes. What the figures mean is tested with the queries. */
import { type Api, created, entry, openBook, startApi } from './api';

let api: Api;
let book: string;
/** Positions of three entries: on 2026-03-01, on 2026-03-01 after that, and back-dated to 2026-02-01. */
let posted: { id: string; position: number; recordedAt: string; number: number }[];

beforeAll(async () => {
  api = await startApi();
  book = await openBook(api, 'queries');
  posted = [];
  for (const body of [
    entry('100.00', { reference: 'A' }),
    entry('20.00', { description: 'two' }, ['Assets:Bank', 'Income:Sales']),
    entry('3.00', { effectiveDate: '2026-02-01', reference: 'A' }),
  ]) {
    posted.push((await created(api.post(`${book}/journal-entries`, body))).body);
  }
});
afterAll(() => api.close());

const read = async (path: string) => {
  const reply = await api.get(book + path);
  expect([reply.status, reply.headers['content-type']]).toEqual([200, expect.stringContaining('application/json')]);
  return reply.body;
};
const cash = '/accounts/Assets%3ACash';
const at = (index: number) => posted[index] as { id: string; position: number; recordedAt: string; number: number };

describe('books', () => {
  it('are listed by id and page by cursor', async () => {
    await openBook(api, 'a-second');
    const first = (await api.get('/v1/books?limit=1')).body;
    expect(first).toEqual({
      books: [expect.objectContaining({ id: 'a-second', name: 'a-second', position: expect.any(Number) })],
      nextCursor: expect.any(String),
    });
    const second = (await api.get(`/v1/books?limit=1&cursor=${first.nextCursor}`)).body;
    expect([second.books[0].id, second.nextCursor]).toEqual(['queries', undefined]);
    expect((await read('')).id).toBe('queries');
  });
});

describe('balances', () => {
  it('of one account: now, as of a date, as known at a position and at an instant', async () => {
    const figures = (balance: string) => [{ currency: 'EUR', debit: balance, credit: '0.00', net: balance, balance }];
    expect(await read(`${cash}/balance`)).toEqual({ account: 'Assets:Cash', position: expect.any(Number), balances: figures('103.00') });
    expect(await read(`${cash}/balance?asOf=2026-02-28`)).toMatchObject({ asOf: '2026-02-28', balances: figures('3.00') });
    expect((await read(`${cash}/balance?asOf=2026-01-31`)).balances).toEqual([]);
    const { position, recordedAt } = at(1);
    expect(await read(`${cash}/balance?knownAt=${position}`)).toMatchObject({
      knownAt: String(position),
      position,
      balances: figures('100.00'),
    });
    expect(await read(`${cash}/balance?knownAt=${recordedAt}&asOf=2026-12-31`)).toMatchObject({ balances: figures('100.00') });
    expect(await read(`${cash}/balance?asOf=2026-02-28&knownAt=${position}`)).toMatchObject({ balances: [] });
  });

  it('of a credit account have both signs', async () => {
    expect((await read('/accounts/Income%3ASales/balance')).balances).toEqual([
      { currency: 'EUR', debit: '0.00', credit: '123.00', net: '-123.00', balance: '123.00' },
    ]);
  });

  it('of all accounts, by code, in pages, without zeros unless asked for', async () => {
    const codes = ({ balances }: { balances: { account: string; balance: string }[] }) =>
      balances.map(({ account, balance }) => `${account} ${balance}`);
    expect(codes(await read('/balances'))).toEqual(['Assets:Bank 20.00', 'Assets:Cash 103.00', 'Income:Sales 123.00']);
    expect(codes(await read('/balances?asOf=2026-02-28'))).toEqual(['Assets:Cash 3.00', 'Income:Sales 3.00']);
    const first = await read('/balances?limit=2');
    const second = await read(`/balances?limit=2&cursor=${first.nextCursor}`);
    expect([...codes(first), ...codes(second)]).toEqual(['Assets:Bank 20.00', 'Assets:Cash 103.00', 'Income:Sales 123.00']);
    expect([second.position, second.nextCursor]).toEqual([first.position, undefined]);
    expect((await api.get(`${book}/balances?limit=2&asOf=2026-02-28&cursor=${first.nextCursor}`)).body).toMatchObject({
      status: 400,
      code: 'malformed',
    });
    await created(api.post(`${book}/accounts`, { code: 'Assets:Zero', name: 'z', type: 'asset' }));
    await created(api.post(`${book}/journal-entries`, entry('1.00', {}, ['Assets:Zero', 'Assets:Zero'])));
    expect(codes(await read('/balances'))).not.toContain('Assets:Zero 0.00');
    expect(codes(await read('/balances?includeZero=true'))).toContain('Assets:Zero 0.00');
  });
});

describe('statements', () => {
  it('run from an opening to a closing balance, in pages', async () => {
    const whole = await read(`${cash}/statement`);
    expect(whole.lines.map(({ date, amount, runningBalance }: Record<string, string>) => [date, amount, runningBalance])).toEqual([
      ['2026-02-01', '3.00', '3.00'],
      ['2026-03-01', '100.00', '103.00'],
    ]);
    expect(whole).toMatchObject({ account: 'Assets:Cash', opening: [{ balance: '0.00' }], closing: [{ balance: '103.00' }] });
    expect(whole.lines[1]).toMatchObject({
      entryId: at(0).id,
      position: at(0).position,
      line: 1,
      journalCode: 'GENERAL',
      fiscalYear: '2026',
      number: 1,
      description: 'sale',
      reference: 'A',
      side: 'debit',
      currency: 'EUR',
    });
    expect(await read(`${cash}/statement?from=2026-03-01&to=2026-03-31&currency=EUR`)).toMatchObject({
      from: '2026-03-01',
      to: '2026-03-31',
      opening: [{ balance: '3.00' }],
      lines: [{ amount: '100.00' }],
    });
    const first = await read(`${cash}/statement?limit=1`);
    const second = await read(`${cash}/statement?limit=1&cursor=${first.nextCursor}`);
    expect([...first.lines, ...second.lines]).toEqual(whole.lines);
    expect((await read(`${cash}/statement?knownAt=${at(0).position}`)).lines).toHaveLength(1);
  });
});

describe('accounts', () => {
  it('are listed by code, and shown as they were known', async () => {
    const { accounts } = await read(`/accounts?knownAt=${at(0).position}`);
    expect(accounts.map(({ code }: { code: string }) => code)).toEqual(['Assets:Bank', 'Assets:Cash', 'Expenses:Rent', 'Income:Sales']);
    const first = await read('/accounts?limit=3');
    expect(first.accounts).toHaveLength(3);
    expect((await read(`/accounts?limit=3&cursor=${first.nextCursor}`)).accounts[0].code).toBe('Expenses:Rent');
    expect(await read(cash)).toMatchObject({
      code: 'Assets:Cash',
      type: 'asset',
      normalSide: 'debit',
      postable: true,
      status: 'open',
      position: expect.any(Number),
    });
    expect((await api.get(`${book}${cash}?knownAt=0`)).body).toMatchObject({ status: 404, code: 'account_unknown' });
  });
});

describe('entries', () => {
  const ids = async (query: string) => (await read(`/journal-entries${query}`)).entries.map(({ id }: { id: string }) => id);

  it('are found by date, account, reference, number, day book and kind, and sorted', async () => {
    const known = `knownAt=${at(2).position + 2}`;
    expect(await ids(`?${known}`)).toEqual([at(0).id, at(1).id, at(2).id]);
    expect(await ids(`?${known}&sort=effectiveDate`)).toEqual([at(2).id, at(0).id, at(1).id]);
    expect(await ids(`?${known}&from=2026-02-15&to=2026-03-31`)).toEqual([at(0).id, at(1).id]);
    expect(await ids(`?${known}&account=Assets%3ABank`)).toEqual([at(1).id]);
    expect(await ids('?reference=A')).toEqual([at(0).id, at(2).id]);
    expect(await ids('?number=2&fiscalYear=2026&journalCode=GENERAL')).toEqual([at(1).id]);
    expect(await ids('?entryType=reversal')).toEqual([]);
    const first = await read(`/journal-entries?limit=2&${known}`);
    expect(
      (await read(`/journal-entries?limit=2&${known}&cursor=${first.nextCursor}`)).entries.map(({ id }: { id: string }) => id),
    ).toEqual([at(2).id]);
  });

  it('are read whole, now and as known', async () => {
    const { id, position, recordedAt } = at(1);
    expect(await read(`/journal-entries/${id}`)).toMatchObject({
      id,
      position,
      recordedAt,
      description: 'two',
      userId: api.service.bootstrapKey.id,
      lines: [{ line: 1 }, { line: 2 }],
    });
    expect((await api.get(`${book}/journal-entries/${id}?knownAt=${position - 1}`)).body.code).toBe('entry_unknown');
    expect((await api.get(`${book}/journal-entries/${id}?knownAt=${position + 2}`)).body.id).toBe(id);
  });
});

describe('the audit trail', () => {
  it('is read in order of positions, and by stream', async () => {
    const { events, position } = await read('/events?after=0&limit=2');
    expect(events.map((event: { position: number }) => event.position)).toEqual([1, 2]);
    expect(position).toBeGreaterThanOrEqual(at(2).position);
    expect(events[0]).toMatchObject({
      eventType: 'BookOpened',
      eventVersion: 1,
      bookId: 'queries',
      aggregateType: 'Book',
      version: 1,
      leafHash: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    const stream = await read(`/streams/Journal/${at(0).id.toUpperCase()}`);
    expect(stream).toMatchObject({
      aggregateType: 'Journal',
      aggregateId: at(0).id,
      events: [{ eventType: 'JournalEntryPosted', position: at(0).position }],
    });
    expect((await read(`/streams/Journal/${at(0).id}?after=1`)).events).toEqual([]);
  });
});

describe('exports', () => {
  it('are text, streamed, with the position that they hold for and a name', async () => {
    const { position } = at(0);
    const reply = await api.get(`${book}/exports/hledger?knownAt=${position + 2}`);
    expect(reply).toMatchObject({
      status: 200,
      headers: {
        'content-type': 'text/plain; charset=utf-8',
        'content-disposition': `attachment; filename="queries-${position + 2}.journal"`,
        'known-at-position': String(position + 2),
      },
    });
    // Nobody knows how long it will be before it is written.
    expect(reply.headers['content-length']).toBeUndefined();
    expect(reply.text).toContain(`\n2026-03-01 (GENERAL/2026/1) sale\n    ; entryId: ${at(0).id}\n    ; position: ${position}\n`);
    expect(reply.text).toMatch(/\n {4}Assets:Cash {2}100\.00 EUR {2}; line: 1\n {4}Income:Sales {2}-100\.00 EUR {2}; line: 2\n/);
    expect(reply.text).toMatch(/\n; end of the journal: 1 entries, 2 lines\n$/);
    const head = await api.get(`${book}/exports/hledger`);
    expect(head.text).toContain('(GENERAL/2026/3) sale\n');
    expect(Number(head.headers['known-at-position'])).toBeGreaterThan(at(2).position);
  });

  it.each([
    ['/exports/paper', 404, 'format_unknown'],
    ['/exports/hledger?knownAt=99999', 400, 'date_invalid'],
    ['/exports/hledger?asOf=2026-01-01', 400, 'unknown_member'],
  ])('%s is refused with %i', async (path, status, code) => {
    expect((await api.get(book + path)).body).toMatchObject({ status, code });
  });
});
