/** Every operation that changes a book: what it answers, what the log then holds, and what a repeat gets. */
import { type Api, created, entry, openBook, type Reply, startApi } from './api';

let api: Api;
let book: string;

beforeAll(async () => {
  api = await startApi();
  book = await openBook(api, 'commands');
});
afterAll(() => api.close());

const recorded = { position: expect.any(Number), recordedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/) };
const uuid = expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);

async function eventsSince(
  position: number,
): Promise<{ eventId: string; eventType: string; data: Record<string, unknown>; metadata: Record<string, unknown>; userId: string }[]> {
  return (await api.get(`${book}/events?after=${position - 1}&limit=1000`)).body.events;
}

describe('books', () => {
  it('open with everything that they may have', async () => {
    const body = {
      id: 'everything',
      name: 'Every Thing GmbH',
      entity: {
        legalName: 'Every Thing GmbH',
        registrationNumber: 'HRB 1',
        taxNumbers: ['DE1', '2/3'],
        country: 'DE',
        address: 'Street 1\nTown',
      },
      framework: 'hgb',
      baseCurrency: 'EUR',
      fx: 'tracked',
      rounding: 'half_away_from_zero',
      timeZone: 'Europe/Berlin',
      startsOn: '2026-04-01',
      fiscalYearStart: '04-01',
      reason: 'founded',
      metadata: { shop: true },
    };
    const reply = await created(api.post('/v1/books', body));
    const { reason, ...opened } = body;
    const { entity, framework, startsOn, metadata, ...shown } = opened;
    expect(reply.body).toEqual({ ...shown, ...recorded, position: 1 });
    expect(reply.headers.location).toBe('/v1/books/everything');
    expect((await api.get('/v1/books/everything')).body).toMatchObject({
      ...opened,
      fiscalYears: [{ label: '2027', from: '2026-04-01', to: '2027-03-31' }],
    });
    expect((await api.get('/v1/books/everything/events')).body.events[0]).toMatchObject({
      eventType: 'BookOpened',
      metadata: { reason: 'founded' },
    });
  });

  it('define currencies, day books and fiscal years', async () => {
    const currency = await created(api.post(`${book}/currencies`, { code: 'BTC', scale: 8, reason: 'we trade it' }));
    expect(currency.body).toEqual({ code: 'BTC', scale: 8, ...recorded });
    expect(currency.headers.location).toBe(`${book}/currencies`);
    expect((await api.get(`${book}/currencies`)).body.currencies).toContainEqual({ code: 'BTC', scale: 8 });

    const journal = await created(api.post(`${book}/journals`, { journalCode: 'SALES', name: 'Sales', type: 'sales' }));
    expect(journal.body).toEqual({ journalCode: 'SALES', name: 'Sales', type: 'sales', ...recorded });
    expect((await created(api.post(`${book}/journals`, { journalCode: 'MISC', name: 'Others' }))).body.type).toBe('other');
    expect((await api.get(`${book}/journals`)).body.journals.map(({ journalCode }: { journalCode: string }) => journalCode)).toEqual([
      'GENERAL',
      'MISC',
      'SALES',
    ]);

    const year = await created(api.post(`${book}/fiscal-years`, { label: '2027a', from: '2027-01-01', to: '2027-02-28' }));
    expect(year.body).toMatchObject({
      label: '2027a',
      from: '2027-01-01',
      to: '2027-02-28',
      periods: [{ no: 1 }, { no: 2, to: '2027-02-28' }],
      ...recorded,
    });
    const periods = [
      { no: 1, from: '2027-03-01', to: '2027-12-31', kind: 'normal' },
      { no: 2, from: '2027-12-31', to: '2027-12-31', kind: 'adjustment' },
    ];
    await created(api.post(`${book}/fiscal-years`, { label: '2027b', from: '2027-03-01', to: '2027-12-31', periods }));
    expect((await api.get(`${book}/fiscal-years`)).body.fiscalYears[2]).toEqual({
      label: '2027b',
      from: '2027-03-01',
      to: '2027-12-31',
      periods: periods.map((period) => ({ ...period, status: 'open' })),
    });
  });
});

describe('accounts', () => {
  it('open with everything that they may have; revenue is income', async () => {
    await created(api.post(`${book}/accounts`, { code: 'Income', name: 'Income', type: 'income', postable: false }));
    const body = {
      code: 'Income:Discounts',
      name: 'Discounts given',
      type: 'revenue',
      subtype: 'sales',
      parent: 'Income',
      contra: true,
      currencies: ['EUR', 'USD'],
      limits: [{ currency: 'EUR', min: '0', max: '1000.50' }],
      subledger: 'receivables',
      cashFlow: 'operating',
      mappings: [{ scheme: 'SKR04', code: '4730', category: 'revenue' }],
      reason: 'new price list',
      metadata: { owner: 'sales' },
    };
    const reply = await created(api.post(`${book}/accounts`, body));
    expect(reply.body).toEqual({
      id: uuid,
      code: body.code,
      name: body.name,
      type: 'income',
      normalSide: 'debit',
      postable: true,
      status: 'open',
      ...recorded,
    });
    expect(reply.headers.location).toBe(`${book}/accounts/Income%3ADiscounts`);
    const { contra, reason, ...shown } = body;
    expect((await api.get(String(reply.headers.location))).body).toMatchObject({
      ...shown,
      type: 'income',
      normalSide: 'debit',
      limits: [{ currency: 'EUR', min: '0.00', max: '1000.50' }],
    });
  });

  it('are renamed, recoded, frozen, unfrozen and closed', async () => {
    const path = `${book}/accounts/Assets%3APetty`;
    const { body } = await created(api.post(`${book}/accounts`, { code: 'Assets:Petty', name: 'Petty', type: 'asset' }));
    const changed = (reply: Reply) => {
      expect([reply.status, reply.headers.location]).toEqual([200, undefined]);
      expect(reply.body).toEqual({ id: body.id, code: expect.any(String), status: expect.any(String), ...recorded });
      return reply.body;
    };
    changed(await api.post(`${path}/rename`, { name: 'Petty cash', reason: 'clearer' }));
    expect(changed(await api.post(`${path}/change-code`, { code: 'Assets:PettyCash' })).code).toBe('Assets:PettyCash');
    // The old code still leads there, and every command takes either.
    expect(changed(await api.post(`${path}/freeze`, { reason: 'audit' })).status).toBe('frozen');
    expect(changed(await api.post(`${book}/accounts/Assets%3APettyCash/unfreeze`)).status).toBe('open');
    expect(changed(await api.post(`${path}/close`, {})).status).toBe('closed');
    expect((await api.get(path)).body).toMatchObject({ code: 'Assets:PettyCash', name: 'Petty cash', status: 'closed' });
    const types = (await api.get(`${book}/streams/Account/${body.id}`)).body.events.map(
      ({ eventType }: { eventType: string }) => eventType,
    );
    expect(types).toEqual(['AccountOpened', 'AccountRenamed', 'AccountCodeChanged', 'AccountFrozen', 'AccountUnfrozen', 'AccountClosed']);
  });
});

describe('entries', () => {
  it('are posted with everything that they and their lines may have', async () => {
    const other = (await created(api.post(`${book}/journal-entries`, entry()))).body.id;
    const body = {
      effectiveDate: '2026-03-05',
      requestedDate: '2026-03-01',
      description: 'Everything',
      journalCode: 'SALES',
      entryType: 'adjusting',
      entryMethod: 'manual',
      reference: 'REF-1',
      reason: 'to see all members',
      document: { type: 'invoice', number: 'INV-1', date: '2026-03-01', uri: 'https://example.org/1', sha256: 'ab'.repeat(32) },
      source: {
        system: 'shop',
        id: 'order-1',
        original: {
          journal: 'J',
          number: '7',
          enteredBy: 'u1',
          enteredAt: '2026-03-01T10:00:00Z',
          approvedBy: 'u2',
          approvedAt: '2026-03-01T11:00:00.5+01:00',
        },
      },
      links: [{ rel: 'settles', entryId: other.toUpperCase() }],
      lines: [
        {
          account: 'Assets:Cash',
          side: 'debit',
          amount: '119.00',
          currency: 'EUR',
          baseAmount: '119.00',
          rate: { value: '1.0', date: '2026-03-01', source: 'ECB' },
          description: 'line one',
          party: { id: 'C-1', kind: 'customer' },
          dimensions: [
            { key: 'costCentre', value: '4711' },
            { key: '1', value: 'a number as a name' },
          ],
          tax: [{ code: 'DE-19', base: '100.00', amount: '19.00' }],
          quantity: { value: '12.50', unit: 'kg' },
          dueDate: '2026-04-01',
          valueDate: '2026-03-06',
          reference: 'L-1',
          origin: 'rule-7',
        },
        { account: 'Income:Sales', side: 'credit', amount: '119', currency: 'EUR' },
      ],
      metadata: { tags: ['a', 'b'] },
    };
    const reply = await created(api.post(`${book}/journal-entries`, body));
    expect(reply.body).toEqual({ id: uuid, number: 1, ...recorded });
    expect(reply.text).toBe(
      `{"id":"${reply.body.id}","number":1,"position":${reply.body.position},"recordedAt":"${reply.body.recordedAt}"}`,
    );
    expect(reply.headers.location).toBe(`${book}/journal-entries/${reply.body.id}`);

    const shown = (await api.get(String(reply.headers.location))).body;
    const { reason, lines, ...members } = body;
    expect(shown).toMatchObject({ ...members, links: [{ rel: 'settles', entryId: other }], fiscalYear: '2026', period: 3, number: 1 });
    const [given] = lines;
    expect(shown.lines[0]).toMatchObject({
      ...given,
      rate: { value: '1', date: '2026-03-01', source: 'ECB' },
      quantity: { value: '12.5', unit: 'kg' },
      tax: [{ code: 'DE-19', base: '100', amount: '19' }],
    });
    expect(shown.lines[1]).toMatchObject({ line: 2, account: 'Income:Sales', amount: '119.00' });
    const [posted, debited, credited] = await eventsSince(reply.body.position);
    expect([posted?.eventType, debited?.eventType, credited?.eventType]).toEqual([
      'JournalEntryPosted',
      'AccountDebited',
      'AccountCredited',
    ]);
    expect(posted?.metadata).toMatchObject({
      reason,
      source: 'REST',
      commandKey: expect.any(String),
      commandHash: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  });

  it('are reversed', async () => {
    const { id } = (await created(api.post(`${book}/journal-entries`, entry('7.00')))).body;
    const reply = await created(
      api.post(`${book}/journal-entries/${id.toUpperCase()}/reverse`, {
        reason: 'twice',
        effectiveDate: '2026-03-09',
        description: 'undone',
      }),
    );
    expect(reply.body).toEqual({ id: uuid, number: expect.any(Number), ...recorded });
    expect(reply.headers.location).toBe(`${book}/journal-entries/${reply.body.id}`);
    const reversal = (await api.get(String(reply.headers.location))).body;
    expect(reversal).toMatchObject({
      entryType: 'reversal',
      effectiveDate: '2026-03-09',
      description: 'undone',
      links: [{ rel: 'reverses', entryId: id }],
      lines: [
        { account: 'Assets:Cash', side: 'credit', amount: '7.00' },
        { account: 'Income:Sales', side: 'debit' },
      ],
    });
    expect((await api.get(`${book}/journal-entries/${id}`)).body.reversedBy).toBe(reply.body.id);
  });

  it('are corrected: members that are left out are those of the original', async () => {
    const { id } = (await created(api.post(`${book}/journal-entries`, entry('8.00', { reference: 'REF-8', journalCode: 'SALES' })))).body;
    const { lines } = entry('80.00') as { lines: object[] };
    const reply = await created(
      api.post(`${book}/journal-entries/${id}/correct`, { reason: 'a zero was missing', effectiveDate: '2026-03-10', lines }),
    );
    expect(reply.body).toEqual({
      id: uuid,
      number: expect.any(Number),
      ...recorded,
      reversal: { id: uuid, number: expect.any(Number), ...recorded },
    });
    expect(reply.body.number).toBe(reply.body.reversal.number + 1);
    expect((await api.get(String(reply.headers.location))).body).toMatchObject({
      description: 'sale',
      reference: 'REF-8',
      journalCode: 'SALES',
      effectiveDate: '2026-03-10',
      lines: [{ amount: '80.00' }, { amount: '80.00' }],
      links: [{ rel: 'corrects', entryId: id }],
    });
    expect((await api.get(`${book}/journal-entries/${id}`)).body.reversedBy).toBe(reply.body.reversal.id);
  });
});

describe('batches', () => {
  const refused = entry('1', { lines: [{ account: 'nobody', side: 'debit', amount: '1', currency: 'EUR' }] });

  it('post each entry on its own, or say why not, in order', async () => {
    const reply = await api.post(
      `${book}/journal-entries/batch`,
      { atomic: false, entries: [entry('1.00'), refused, entry('2.00')] },
      { key: 'batch-1' },
    );
    expect([reply.status, reply.headers.location]).toEqual([200, undefined]);
    expect(reply.body.results).toEqual([
      { id: uuid, number: expect.any(Number), ...recorded },
      { problem: expect.objectContaining({ status: 422, code: 'account_unknown', account: 'nobody', line: 1 }) },
      { id: uuid, number: expect.any(Number), ...recorded },
    ]);
    const again = await api.post(
      `${book}/journal-entries/batch`,
      { atomic: false, entries: [entry('1.00'), refused, entry('2.00')] },
      { key: 'batch-1' },
    );
    expect([again.text, again.headers['idempotency-replayed']]).toEqual([reply.text, 'true']);
  });

  it('post all or none when atomic, and name the entry that was refused', async () => {
    const before = (await api.get(`${book}/events?after=0&limit=1`)).body.position;
    const reply = await api.post(`${book}/journal-entries/batch`, { atomic: true, entries: [entry('1.00'), refused] });
    expect(reply.body).toMatchObject({ status: 422, code: 'account_unknown', member: 'entries.1' });
    expect((await api.get(`${book}/events?after=0&limit=1`)).body.position).toBe(before);
    const done = await api.post(`${book}/journal-entries/batch`, { atomic: true, entries: [entry('1.00'), entry('2.00')] });
    expect(done.status).toBe(200);
    expect(new Set(done.body.results.map(({ recordedAt }: { recordedAt: string }) => recordedAt)).size).toBe(1);
  });

  it('of nothing are done at once', async () => {
    expect((await api.post(`${book}/journal-entries/batch`, { atomic: false, entries: [] })).body).toEqual({ results: [] });
  });
});

describe('repeats (I6)', () => {
  it('get the first answer byte for byte, whatever means the same', async () => {
    const first = await created(api.post(`${book}/journal-entries`, entry('10.00'), { key: 'repeat' }));
    expect(first.headers['idempotency-replayed']).toBeUndefined();
    const other = JSON.stringify(Object.fromEntries(Object.entries(entry('10.0')).reverse()));
    for (const body of [entry('10.00'), other]) {
      const again = await api.post(`${book}/journal-entries`, body, { key: 'repeat' });
      expect([again.status, again.text, again.headers.location, again.headers['idempotency-replayed']]).toEqual([
        201,
        first.text,
        first.headers.location,
        'true',
      ]);
    }
  });

  it('get the first refusal, also when it would be accepted now', async () => {
    const body = entry('1.00', {}, ['Assets:Later', 'Income:Sales']);
    const first = await api.post(`${book}/journal-entries`, body, { key: 'refused' });
    expect([first.status, first.body.code]).toEqual([422, 'account_unknown']);
    await created(api.post(`${book}/accounts`, { code: 'Assets:Later', name: 'Later', type: 'asset' }));
    const again = await api.post(`${book}/journal-entries`, body, { key: 'refused' });
    expect([again.status, again.text, again.headers['idempotency-replayed']]).toEqual([422, first.text, 'true']);
    expect(again.headers['content-type']).toContain('application/problem+json');
    await created(api.post(`${book}/journal-entries`, body));
  });

  it('get nothing for what was never decided: a valid body may follow an invalid one under its key', async () => {
    expect((await api.post(`${book}/journal-entries`, entry('x'), { key: 'invalid-first' })).status).toBe(400);
    await created(api.post(`${book}/journal-entries`, entry('1'), { key: 'invalid-first' }));
  });

  it('are refused with the members that differ', async () => {
    await created(api.post(`${book}/journal-entries`, entry('10.00', { reference: 'A' }), { key: 'differs' }));
    const differing = async (body: object, path = 'journal-entries') => {
      const reply = await api.post(`${book}/${path}`, body, { key: 'differs' });
      expect(reply.body).toMatchObject({ status: 409, code: 'idempotency_key_reused' });
      return reply.body.members;
    };
    expect(await differing(entry('10.00', { reference: 'B' }))).toEqual(['reference']);
    expect(await differing(entry('10.00', { reference: 'A', effectiveDate: '2026-03-02' }))).toEqual(['effectiveDate']);
    expect(await differing({ code: 'X', name: 'X', type: 'asset' }, 'accounts')).toEqual(['type']);
  });

  it('of 50 at once take effect once', async () => {
    const replies = await Promise.all(
      Array.from({ length: 50 }, () => api.post(`${book}/journal-entries`, entry('3.33'), { key: 'fifty' })),
    );
    expect(new Set(replies.map(({ text }) => text)).size).toBe(1);
    expect(replies.filter(({ headers }) => headers['idempotency-replayed'] === undefined)).toHaveLength(1);
  });

  it('survive a restart, also of opening a book', async () => {
    const body = { id: 'restarted', name: 'x', baseCurrency: 'EUR', fiscalYearStart: '01-01' };
    const first = await created(api.post('/v1/books', body, { key: 'open' }));
    const posted = await created(api.post(`${book}/journal-entries`, entry('4.44'), { key: 'before' }));
    const second = await startApi({}, api.database);
    try {
      for (const [reply, path, sent, key] of [
        [first, '/v1/books', body, 'open'],
        [posted, `${book}/journal-entries`, entry('4.44'), 'before'],
      ] as const) {
        const again = await second.post(path, sent, { key });
        expect([again.status, again.text, again.headers['idempotency-replayed']]).toEqual([201, reply.text, 'true']);
      }
      expect((await second.post('/v1/books', { ...body, id: 'another' }, { key: 'open' })).body.code).toBe('idempotency_key_reused');
    } finally {
      await second.close();
    }
  });
});

describe('events', () => {
  it('say who, on whose behalf, through what and why, and hold no address of the caller', async () => {
    const headers = { 'On-Behalf-Of': 'user-17', 'X-Correlation-Id': 'corr-1', 'User-Agent': 'spec/1.0' };
    const { position } = (await created(api.post(`${book}/journal-entries`, entry('1', { reason: 'because' }), { headers, key: 'who' })))
      .body;
    const events = await eventsSince(position);
    const [posted, ...legs] = events;
    expect(posted).toMatchObject({
      userId: api.service.bootstrapKey.id,
      metadata: {
        commandKey: 'who',
        onBehalfOf: 'user-17',
        correlationId: 'corr-1',
        source: 'REST',
        reason: 'because',
        release: api.service.release,
        contextHash: expect.stringMatching(/^[0-9a-f]{64}$/),
      },
    });
    // Legs inherit all of it from the event that caused them (I12).
    expect(legs.map(({ metadata }) => metadata)).toEqual([{ causationId: posted?.eventId }, { causationId: posted?.eventId }]);
    expect(JSON.stringify(events)).not.toContain('spec/1.0');
    expect(JSON.stringify(events)).not.toContain('127.0.0.1');
  });
});
