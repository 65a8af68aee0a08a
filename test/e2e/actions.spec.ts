/**
 * User actions over HTTP: given a request, when it is answered, then the companion log of the book holds who did what; and where that
 * log cannot be written nothing is answered but 503.
 */
import readWorkbook from 'read-excel-file/node';
import type { UserActed } from '#ledger';
import { connect } from '#postgres';
import { type Api, created, entry, openBook, type Reply, startApi } from './api';

let api: Api;
let book: string;

beforeAll(async () => {
  api = await startApi({ READ_WAIT_MS: '20000', ACTIONS_DEADLINE_MS: '1000' });
  book = await openBook(api, 'acts');
});
afterAll(() => api?.close());

interface Acted {
  readonly position: number;
  readonly data: UserActed;
  readonly userId?: string;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** Actions of a log after a position; that of the installation holds also what is sealed of audited tables. */
async function actions(log: string, after = 0): Promise<Acted[]> {
  const events = (await api.service.store.readAll(log, after, 10_000)).filter(({ eventType }) => eventType === 'UserActed');
  return events.map(({ position, data, metadata: { userId, ...metadata } }) => ({
    position,
    data: data as unknown as UserActed,
    userId: userId as string | undefined,
    metadata,
  }));
}

const headOf = async (log: string): Promise<number> => (await api.service.store.head(log)).position;

/** What a request adds to a log. */
async function acted(log: string, request: () => Promise<unknown>): Promise<Acted[]> {
  const before = await headOf(log);
  await request();
  return actions(log, before);
}

const bootstrap = async (): Promise<string> => (await api.keys.list()).find(({ name }) => name === 'bootstrap')?.id ?? '';

describe('a command', () => {
  it('is recorded with who, what, where it is found and how it ended', async () => {
    const posted = entry('10.00');
    const sending = { key: 'k-1', headers: { 'on-behalf-of': 'auditor-7', 'x-correlation-id': 'c-1', 'user-agent': 'spec' } };
    const [one, ...others] = await acted('acts~actions', () => api.post(`${book}/journal-entries`, posted, sending));
    expect(others).toEqual([]);
    const { position } = (await api.get(`${book}/journal-entries?sort=position`)).body.entries.at(-1);
    expect(one).toMatchObject({
      userId: await bootstrap(),
      data: { kind: 'command', action: 'PostEntry', outcome: 'done', status: 201, position },
      metadata: {
        commandKey: 'k-1',
        onBehalfOf: 'auditor-7',
        correlationId: 'c-1',
        source: 'REST',
        contextHash: expect.stringMatching(/^[0-9a-f]{64}$/),
      },
    });
    const [again] = await acted('acts~actions', () => api.post(`${book}/journal-entries`, posted, { key: 'k-1' }));
    expect(again?.data).toMatchObject({ outcome: 'done', status: 201, replayed: true, position });
  });

  it('is recorded when the rules of the book refuse it, and when it is malformed', async () => {
    const unbalanced = {
      ...entry('10.00'),
      lines: [
        { account: 'Assets:Cash', side: 'debit', amount: '1.00', currency: 'EUR' },
        { account: 'Assets:Bank', side: 'credit', amount: '2.00', currency: 'EUR' },
      ],
    };
    const [refused] = await acted('acts~actions', () => api.post(`${book}/journal-entries`, unbalanced));
    expect(refused?.data).toMatchObject({ kind: 'command', action: 'PostEntry', outcome: 'refused', status: 422, code: 'unbalanced' });
    const [malformed] = await acted('acts~actions', () => api.post(`${book}/journal-entries`, '{'));
    expect(malformed?.data).toMatchObject({
      kind: 'command',
      action: 'POST journal-entries',
      outcome: 'refused',
      status: 400,
      code: 'malformed',
    });
  });

  it('is denied where the key lacks the scope, and what was tried is told', async () => {
    const { secret, id } = await api.keys.create('clerk');
    const [denied] = await acted('acts~actions', () =>
      api.post(`${book}/periods/2026/1/close`, { level: 'soft', reason: 'x' }, { secret }),
    );
    expect(denied).toMatchObject({
      userId: id,
      data: {
        ...{ kind: 'command', action: 'ClosePeriod', outcome: 'denied', status: 403, code: 'forbidden' },
        filter: [
          { key: 'year', value: '2026' },
          { key: 'period', value: '1' },
        ],
      },
    });
  });

  it('of many entries tells how many were posted and refused, each a command of its own', async () => {
    const bad = { ...entry('1.00'), lines: [] };
    const batch = (entries: object[], atomic = false) =>
      acted('acts~actions', () => api.post(`${book}/journal-entries/batch`, { atomic, entries }));
    const [none] = await batch([bad, bad]);
    expect(none?.data).toMatchObject({
      action: 'PostEntries',
      outcome: 'refused',
      status: 200,
      rows: 0,
      refused: 2,
      code: 'too_few_lines',
    });
    const [some] = await batch([entry('1.00'), bad, entry('2.00')]);
    expect(some?.data).toMatchObject({ outcome: 'partly', rows: 2, refused: 1, code: 'too_few_lines', position: expect.any(Number) });
    const [all] = await batch([entry('1.00'), entry('2.00')], true);
    expect(all?.data).toMatchObject({ outcome: 'done', rows: 2 });
    expect(all?.data).not.toHaveProperty('refused');
    const { body } = await api.get(`${book}/actions?outcome=partly`);
    expect(body.actions).toMatchObject([{ action: 'PostEntries', rows: 2, refused: 1 }]);
  });

  it('that opens a book, and one about a book that is none, are in the log of the installation with the book', async () => {
    const body = { id: 'another', name: 'x', baseCurrency: 'EUR', fiscalYearStart: '01-01' };
    const [opened] = await acted('~system', () => created(api.post('/v1/books', body)));
    expect(opened?.data).toMatchObject({ action: 'OpenBook', outcome: 'done', status: 201, filter: [{ key: 'book', value: 'another' }] });
    const [unknown] = await acted('~system', () => api.post('/v1/books/nobody/journal-entries', entry('1.00')));
    expect(unknown?.data).toMatchObject({
      ...{ action: 'PostEntry', outcome: 'refused', status: 404, code: 'book_unknown' },
      filter: [{ key: 'book', digest: expect.any(String) }],
    });
  });
});

describe('a read', () => {
  it('of a report tells what was asked, what it holds for, and how many rows it gave', async () => {
    const [one, ...others] = await acted('acts~actions', () => api.get(`${book}/reports/trial-balance?period=2026`));
    expect(others).toEqual([]);
    expect(one?.data).toEqual({
      kind: 'read',
      action: 'trial-balance',
      outcome: 'done',
      status: 200,
      filter: [{ key: 'period', value: '2026' }],
      position: await headOf('acts'),
      rows: 2,
    });
  });

  it('hold no name that somebody has typed where none belongs, whatever it was answered', async () => {
    const clerk = (await api.keys.create('typist')).secret;
    const name = 'Jane%20Roe';
    const told = await Promise.all(
      [
        [`${book}/accounts/${name}/statement`],
        [`${book}/reports/general-ledger?from=2026-01-01&to=2026-12-31&account=${name}`],
        [`${book}/reports/trial-balance?JaneRoe=1`],
        [`${book}/reports/trial-balance?currency=${name}`],
        [`${book}/actions?userId=${name}`],
        [`${book}/actions?userId=${name}`, clerk],
        [`${book}/exports/${name}`],
        [`/v1/books/${name}/reports/trial-balance`],
      ].map(([path = '', secret]) => api.get(path, { secret })),
    );
    expect(told.map(({ status }) => status)).toEqual([404, 400, 400, 400, 200, 403, 404, 404]);
    for (const log of ['acts~actions', '~system']) expect(JSON.stringify(await actions(log))).not.toMatch(/Jane/);
  });

  it.each([
    ['balance-sheet?asOf=2026-12-31', 'sections'],
    ['income-statement?period=2026', 'sections'],
    ['cash-flow?period=2026', 'sections'],
    ['general-ledger?period=2026', 'lines'],
    ['journal-entry-tests?period=2026&tests=round-amounts', 'entries'],
    ['trial-balance?period=2026&format=csv', 2],
    ['journal?period=2026&format=csv', 'csv'],
  ])('of %s tells its rows', async (question, expected) => {
    let reply: Reply | undefined;
    const before = await headOf('acts~actions');
    await acted('acts~actions', async () => {
      reply = await api.get(`${book}/reports/${question}`);
    });
    expect(reply?.status).toBe(200);
    const { body, text = '' } = reply as Reply;
    const within = (list: string, name: string): number =>
      body[list].reduce((sum: number, one: Record<string, unknown[]>) => sum + (one[name]?.length ?? 0), 0);
    const rowsOf: Record<string, () => number> = {
      lines: () => within('accounts', 'lines'),
      sections: () => within('sections', 'rows'),
      entries: () => body.entries.length,
      csv: () => text.trimEnd().split('\r\n').length - 1,
    };
    const rows = typeof expected === 'number' ? expected : rowsOf[expected]?.();
    const last = async (): Promise<UserActed | undefined> => (await actions('acts~actions', before)).at(-1)?.data;
    while ((await last())?.outcome === 'begun') await new Promise((resolve) => setTimeout(resolve, 10));
    expect((await last())?.rows).toBe(rows);
  });

  it('with a question that is no question fills no log with it', async () => {
    const [one] = await acted('acts~actions', () => api.get(`${book}/reports/trial-balance?${'a&'.repeat(5_000)}b=${'x'.repeat(2_000)}`));
    expect(JSON.stringify(one?.data).length).toBeLessThan(5_000);
    expect(one?.data).toMatchObject({ outcome: 'refused', status: 400 });
    expect(one?.data.filter).toHaveLength(33);
    expect(one?.data.filter?.at(-1)).toEqual({ key: '(more)', value: '4969' });
  });

  it('for somebody who cannot be named is refused, as a command is', async () => {
    for (const name of ['on-behalf-of', 'x-correlation-id']) {
      const reply = await api.get(`${book}/reports/trial-balance?period=2026`, { headers: { [name]: 'x'.repeat(300) } });
      expect(reply).toMatchObject({ status: 400, body: { code: 'text_invalid' } });
    }
  });

  it('keeps no secret that somebody put where a code belongs', async () => {
    const { secret } = await api.keys.create('careless', ['controller']);
    for (const question of [`actions?userId=${secret}`, `journal-entries?journalCode=JANE`, 'journal-entries?fiscalYear=JaneRoe'])
      expect((await api.get(`${book}/${question}`)).status).toBe(200);
    expect(JSON.stringify(await actions('acts~actions'))).not.toMatch(new RegExp(`${secret}|JANE|JaneRoe`));
  });

  it('of a statement tells the account; what was typed is a digest', async () => {
    const [statement] = await acted('acts~actions', () =>
      api.get(`${book}/accounts/Assets%3ACash/statement?from=2026-01-01&to=2026-12-31`),
    );
    expect(statement?.data).toMatchObject({
      action: 'statement',
      filter: [
        { key: 'code', value: 'Assets:Cash' },
        { key: 'from', value: '2026-01-01' },
        { key: 'to', value: '2026-12-31' },
      ],
    });
    const [search] = await acted('acts~actions', () => api.get(`${book}/journal-entries?reference=Mrs%20Smith`));
    expect(search?.data).toMatchObject({
      action: 'journal-entries',
      filter: [{ key: 'reference', digest: expect.stringMatching(/^[0-9a-f]{64}$/) }],
      rows: 0,
    });
    const [wrong] = await acted('acts~actions', () => api.get(`${book}/accounts/Mr%20Jones/statement?Mrs%20Miller=x`));
    expect(JSON.stringify(wrong)).not.toMatch(/Jones|Miller/);
  });

  it('that is streamed is recorded when it begins and when it ends', async () => {
    const before = await headOf('acts~actions');
    const { bytes } = await api.get(`${book}/exports/hledger`);
    const log = 'acts~actions';
    while ((await headOf(log)) < before + 2) await new Promise((resolve) => setTimeout(resolve, 10));
    const [begun, ended, ...others] = await actions(log, before);
    expect(begun?.data).toMatchObject({ kind: 'read', action: 'exports', outcome: 'begun', filter: [{ key: 'format', value: 'hledger' }] });
    expect(ended?.data).toMatchObject({ action: 'exports', outcome: 'done', bytes: bytes.length, begunAs: expect.any(String) });
    expect(others).toEqual([]);
  });

  it('of one balance is not recorded unless all are', async () => {
    expect(await acted('acts~actions', () => api.get(`${book}/accounts/Assets%3ACash/balance`))).toEqual([]);
    const all = await startApi({ ACTIONS: 'all' }, api.database);
    try {
      const [one] = await acted('acts~actions', () => all.get(`${book}/accounts/Assets%3ACash/balance`));
      expect(one?.data).toMatchObject({ kind: 'read', action: 'balance', outcome: 'done' });
    } finally {
      await all.close();
    }
  });
});

describe('a login', () => {
  it('that fails is recorded without the key', async () => {
    const [one] = await acted('~system', () => api.get(`${book}/reports/trial-balance`, { secret: 'bk_wrong' }));
    expect(one).toMatchObject({
      userId: undefined,
      data: { kind: 'login', action: 'authenticate', outcome: 'denied', status: 401, code: 'unauthenticated' },
    });
    expect(JSON.stringify(one)).not.toContain('bk_wrong');
  });

  const failing = async (on: Api, times: number): Promise<void> => {
    await Promise.all(Array.from({ length: times }, () => on.get('/v1/books', { secret: 'bk_wrong' })));
  };
  const counted = async (after: number): Promise<number> =>
    (await actions('~system', after)).reduce((sum, { data: { times = 1 } }) => sum + times, 0);

  it('that fails a thousand times a second is counted, and none is forgotten', async () => {
    const before = await headOf('~system');
    await failing(api, 300);
    while ((await counted(before)) < 300) await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await counted(before)).toBe(300);
    expect((await actions('~system', before)).length).toBeLessThan(40);
  }, 60_000);

  it('from another place is told beside those of a noisy one', async () => {
    const before = await headOf('~system');
    const other = await startApi({}, api.database);
    const from = (agent: string, times: number): Promise<unknown> =>
      Promise.all(Array.from({ length: times }, () => other.get('/v1/books', { secret: 'bk_wrong', headers: { 'user-agent': agent } })));
    await from('noisy', 60);
    await from('quiet', 3);
    await other.close();
    const { body } = await api.get('/v1/actions?kind=login&limit=200');
    const told = body.actions.filter(({ position }: Reply['body']) => position > before);
    const sumOf = (agent: string): number =>
      told
        .filter(({ userAgent }: Reply['body']) => userAgent === agent)
        .reduce((sum: number, { times = 1 }: Reply['body']) => sum + times, 0);
    expect([sumOf('noisy'), sumOf('quiet')]).toEqual([60, 3]);
  });

  it('that was only counted is recorded before the service ends', async () => {
    const before = await headOf('~system');
    const other = await startApi({}, api.database);
    await failing(other, 50);
    await other.close();
    expect(await counted(before)).toBe(50);
  });
});

describe('the log of a book', () => {
  let own: string;
  beforeAll(async () => {
    own = await openBook(api, 'asked', { startsOn: '2025-01-01', timeZone: 'Pacific/Auckland' });
    await created(api.post(`${own}/journal-entries`, entry('10.00')));
    await api.post(`${own}/journal-entries`, { ...entry('10.00'), lines: [] });
    await api.get(`${own}/reports/trial-balance?period=2026`);
    await api.get(`${own}/accounts/Assets%3ACash/statement?from=2026-01-01&to=2026-12-31`, { headers: { 'on-behalf-of': 'auditor-1' } });
  });
  const shown = async (query: string): Promise<string[]> => {
    const { status, body, text } = await api.get(`${own}/actions?${query}`);
    if (status !== 200) throw new Error(text);
    return body.actions.map(({ action, outcome }: Reply['body']) => `${action} ${outcome}`);
  };

  it('is listed from the newest on, and asking for it is an action', async () => {
    expect(await shown('limit=4')).toEqual(['statement done', 'trial-balance done', 'PostEntry refused', 'PostEntry done']);
    expect(await shown('limit=2')).toEqual(['actions done', 'statement done']);
    const { body } = await api.get(`${own}/actions?limit=1&action=statement`);
    expect(body.actions[0]).toMatchObject({
      userId: await bootstrap(),
      onBehalfOf: 'auditor-1',
      kind: 'read',
      filter: [{ key: 'code', value: 'Assets:Cash' }, { key: 'from' }, { key: 'to' }],
      ip: '127.0.0.1',
      source: 'REST',
    });
  });

  it('is searched by who, what, how it ended, what it was about, and when', async () => {
    expect(await shown('kind=command&outcome=refused')).toEqual(['PostEntry refused']);
    expect(await shown('onBehalfOf=auditor-1')).toEqual(['statement done']);
    expect(await shown('about=Assets:Cash')).toEqual(['statement done']);
    expect(await shown(`userId=${await bootstrap()}&action=trial-balance`)).toEqual(['trial-balance done']);
    expect(await shown('userId=nobody')).toEqual([]);
    const day = new Intl.DateTimeFormat('en-CA', { timeZone: 'Pacific/Auckland' }).format(new Date());
    expect(await shown(`from=${day}&to=${day}&action=trial-balance`)).toEqual(['trial-balance done']);
    expect(await shown('to=2026-01-01&action=trial-balance')).toEqual([]);
    expect(await shown(`from=${new Date(Date.now() + 3_600_000).toISOString()}`)).toEqual([]);
  });

  it('goes on from page to page at one position', async () => {
    const pages: number[] = [];
    let cursor = '';
    do {
      const { body } = await api.get(`${own}/actions?kind=command&limit=3${cursor}`);
      pages.push(...body.actions.map(({ position }: Reply['body']) => position));
      cursor = body.nextCursor === undefined ? '' : `&cursor=${body.nextCursor}`;
    } while (cursor !== '');
    expect(pages).toEqual([...new Set(pages)].sort((a, b) => b - a));
    expect(pages.length).toBe((await shown('kind=command&limit=1000')).length);
    expect(await api.get(`${own}/actions?kind=read&cursor=${'x'}`)).toMatchObject({ status: 400, body: { code: 'malformed' } });
  });

  it.each([
    ['from=2026-13-01', 'date_invalid'],
    ['from=yesterday', 'date_invalid'],
    ['from=2026-02-02&to=2026-02-01', 'date_invalid'],
    ['outcome=well', 'malformed'],
    ['user=1', 'unknown_member'],
  ])('refuses %s with %s', async (query, code) => {
    expect((await api.get(`${own}/actions?${query}`)).body.code).toBe(code);
  });

  it('is for controllers only, and who was denied is in it', async () => {
    const { secret, id } = await api.keys.create('curious');
    expect(await api.get(`${own}/actions`, { secret })).toMatchObject({ status: 403, body: { code: 'forbidden' } });
    expect(await api.get('/v1/actions', { secret })).toMatchObject({ status: 403, body: { code: 'forbidden' } });
    const { body } = await api.get(`${own}/actions?outcome=denied`);
    expect(body.actions).toMatchObject([{ userId: id, action: 'actions', status: 403 }]);
    expect((await api.get('/v1/books/nobody/actions')).body.code).toBe('book_unknown');
  });

  it('is a CSV file, and a workbook with a sheet per fiscal year, both from the oldest to the newest', async () => {
    const { text, headers } = await api.get(`${own}/actions?format=csv`);
    const [head, ...rows] = text.trimEnd().split('\r\n');
    expect(headers['content-disposition']).toBe('attachment; filename="asked.actions.csv"');
    const formula = '=HYPERLINK("http://evil/","x")';
    await api.get(`${own}/reports/trial-balance?period=2026`, { headers: { 'user-agent': formula, 'on-behalf-of': '@SUM(A1)' } });
    const told = (await api.get(`${own}/actions?format=csv`)).text;
    expect(told).toContain(`"'=HYPERLINK(""http://evil/"",""x"")"`);
    expect(told).toContain(",'@SUM(A1),");
    expect(head?.startsWith('position,recordedAt,userId,onBehalfOf,kind,action,outcome,status,code,filter')).toBe(true);
    expect(rows.map((row) => Number(row.split(',')[0]))).toEqual(rows.map((_, index) => index + 1));
    const { bytes } = await api.get(`${own}/actions?format=xlsx&outcome=done`);
    const year = new Intl.DateTimeFormat('en-CA', { timeZone: 'Pacific/Auckland', year: 'numeric' }).format(new Date());
    const sheets = await readWorkbook(bytes);
    expect(sheets.map(({ sheet }) => sheet)).toEqual([year]);
    expect(sheets[0]?.data[0]?.slice(0, 6)).toEqual(['position', 'recordedAt', 'userId', 'onBehalfOf', 'kind', 'action']);
    expect(sheets[0]?.data.some((row) => row.includes('trial-balance'))).toBe(true);
  });
});

describe('the workbook of a book', () => {
  it('whose calendar was given by hand has a sheet of its own for what was done after its years', async () => {
    const past = await openBook(api, 'past', { startsOn: '2020-01-01' });
    await created(api.post(`${past}/fiscal-years`, { label: '2020-21', from: '2020-01-01', to: '2021-06-30' }));
    const sheets = await readWorkbook((await api.get(`${past}/actions?format=xlsx`)).bytes);
    expect(sheets.map(({ sheet }) => sheet)).toEqual(['after all years']);
    expect(sheets[0]?.data.map((row) => row[5])).toEqual(['action', ...Array(4).fill('OpenAccount'), 'DefineFiscalYear']);
  });
});

describe('the log of the installation', () => {
  it('lists logins that failed', async () => {
    await api.get('/v1/books', { secret: 'bk_unknown' });
    const { body } = await api.get('/v1/actions?kind=login&limit=1');
    expect(body.actions).toMatchObject([{ kind: 'login', outcome: 'denied', code: 'unauthenticated', ip: '127.0.0.1' }]);
    expect((await api.get('/v1/actions?format=xlsx')).body.code).toBe('malformed');
  });
});

describe('when the log of actions cannot be written', () => {
  it('reads and commands are answered 503, and a command that was carried out is answered when it is repeated', async () => {
    const posted = entry('77.00');
    const admin = await connect(api.database.adminUrl);
    await admin.query(`ALTER TABLE log.events ADD CONSTRAINT none_of_actions CHECK (book_id NOT LIKE '%~%') NOT VALID`);
    try {
      expect(await api.get(`${book}/reports/trial-balance`)).toMatchObject({ status: 503, body: { code: 'actions_unavailable' } });
      expect(await api.post(`${book}/journal-entries`, posted, { key: 'once' })).toMatchObject({
        status: 503,
        body: { code: 'actions_unavailable' },
      });
      expect(api.service.actions.problem()).toContain('none_of_actions');
    } finally {
      await admin.query('ALTER TABLE log.events DROP CONSTRAINT none_of_actions');
      await admin.end();
    }
    const repeated = await api.post(`${book}/journal-entries`, posted, { key: 'once' });
    expect(repeated).toMatchObject({ status: 201, headers: { 'idempotency-replayed': 'true' } });
  });
});
