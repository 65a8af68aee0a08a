/** Every code of the error table, in its order: what brings it about over HTTP, with what status, kind and members. */
import { type ErrorCode, errorTable, precedenceOf } from '#domain';
import { statusOf } from '#ledger';
import { connect } from '#postgres';
import type { TestDatabase } from '../support/database';
import { type TcpProxy, tcpProxy } from '../support/tcp-proxy';
import { type Api, created, entry, openBook, type Reply, startApi } from './api';

let api: Api;
let book: string;
/** Nobody folds here, and no list waits. */
let behind: Api;
/** Takes two commands at a time. */
let narrow: Api;
let proxy: TcpProxy;
let unreachable: Api;
let database: TestDatabase;
/** Posted, then reversed by `reversal`. */
let original: string;
let reversal: string;
/** Not submitted, in a period of its own book. */
let draft: string;
/** The secret of a key without scopes. */
let clerk: string;
const rate = { from: 'USD', to: 'EUR', date: '2026-01-01', value: '0.9', rateType: 'spot', source: 'ECB' };

beforeAll(async () => {
  api = await startApi({ LINES_PER_ENTRY: '10' });
  database = api.database;
  book = await openBook(api, 'errors');
  behind = await startApi({ PROJECT: 'off', READ_WAIT_MS: '0' });
  await openBook(behind, 'behind');
  narrow = await startApi({ QUEUE_PER_BOOK: '2', QUEUE_TOTAL: '2' }, database);
  proxy = await tcpProxy(database.appUrl);
  unreachable = await startApi({ DATABASE_URL: proxy.url, COMMAND_DEADLINE_MS: '300' }, database);

  const account = (body: object) => created(api.post(`${book}/accounts`, { type: 'asset', name: 'x', ...body }));
  await account({ code: 'Assets', postable: false });
  await account({ code: 'Assets:Frozen' });
  await account({ code: 'Assets:Closed' });
  await account({ code: 'Assets:EUR', currencies: ['EUR'] });
  await account({ code: 'Assets:Limited', limits: [{ currency: 'EUR', min: '0', max: '50' }] });
  await api.post(`${book}/accounts/Assets%3AFrozen/freeze`, {});
  await api.post(`${book}/accounts/Assets%3AClosed/close`, {});
  await created(api.post(`${book}/journals`, { journalCode: 'CASH', name: 'Cash book', type: 'cash' }));
  original = (await created(api.post(`${book}/journal-entries`, entry()))).body.id;
  reversal = (await created(api.post(`${book}/journal-entries/${original}/reverse`, { reason: 'twice', effectiveDate: '2026-03-02' }))).body
    .id;
  await created(api.post(`${book}/journal-entries`, entry(), { key: 'used' }));
  await openBook(api, 'by-hand');
  await created(api.post('/v1/books/by-hand/fiscal-years', { label: 'F27', from: '2027-01-01', to: '2027-12-31' }));
  await openBook(api, 'tracked', { fx: 'tracked' });
  await created(
    api.post('/v1/books/tracked/journal-entries', {
      ...entry(),
      lines: [
        { account: 'Assets:Bank', side: 'debit', amount: '10', currency: 'USD', baseAmount: '9' },
        { account: 'Income:Sales', side: 'credit', amount: '10', currency: 'USD', baseAmount: '9' },
      ],
    }),
  );
  clerk = (await api.keys.create('clerk')).secret;
  await account({ code: 'Control', control: 'customer' });
  const opened = async () => (await created(api.post(`${book}/parties`, { kind: 'customer', name: 'x' }))).body.id as string;
  [party, closedParty, erasedParty] = [await opened(), await opened(), await opened()];
  await api.post(`${book}/parties/${party}/holds`, { hold: 'case', reason: 'x' });
  await api.post(`${book}/parties/${closedParty}/close`, {});
  await api.post(`${book}/parties/${erasedParty}/erase`, erase);
  await created(api.post(`${book}/rates`, { rates: [rate] }));
  const shut = await openBook(api, 'closed');
  await api.post(`${shut}/periods/2026/1/close`, { level: 'soft' });
  await api.post(`${shut}/periods/2026/1/reopening`, { reason: 'an invoice is missing' });
  await openBook(api, 'drafts');
  draft = (await created(api.post('/v1/books/drafts/journal-drafts', entry('1', { effectiveDate: '2026-01-15' })))).body.id;
  await openBook(api, 'several');
  for (const currency of ['EUR', 'USD']) {
    const sides = [line('Assets:Cash', 'debit', '1', currency), line('Assets:Bank', 'credit', '1', currency)];
    await created(api.post('/v1/books/several/journal-entries', entry('1', { lines: sides })));
  }
});
afterAll(async () => {
  await Promise.all([narrow?.close(), unreachable?.close()]);
  await proxy?.close().catch(() => {}); // closed by the test that needs it gone
  await Promise.all([api?.close(), behind?.close()]);
});

const post = (body: object, sending = {}) => api.post(`${book}/journal-entries`, body, sending);
const line = (account: string, side: string, amount = '1.00', currency = 'EUR') => ({ account, side, amount, currency });
const lines = (...given: object[]) => post(entry('1', { lines: given }));

let party: string;
let closedParty: string;
let erasedParty: string;
const erase = { legalBasis: 'GDPR Art. 17(1)(a)', reason: 'x' };

/** How each code comes about; `elsewhere` says why it cannot over HTTP yet, and where it is tested. */
const rows: Record<
  ErrorCode,
  { readonly sends: () => Promise<Reply>; readonly tells?: object; readonly status?: number } | { readonly elsewhere: string }
> = {
  unauthenticated: { sends: () => post(entry(), { secret: 'bk_nobody' }) },
  forbidden: { sends: () => api.post(`${book}/periods/2026/1/close`, { level: 'soft' }, { secret: clerk }) },
  malformed: { sends: () => post({ ...entry(), description: undefined }), tells: { member: 'description' } },
  unknown_member: { sends: () => post(entry('1', { memo: 'x' })), tells: { member: 'memo' } },
  amount_not_string: { sends: () => lines({ ...line('a', 'debit'), amount: 1 }), tells: { member: 'lines.0.amount' } },
  amount_format: { sends: () => lines(line('a', 'debit', '+1')), tells: { member: 'lines.0.amount' } },
  date_invalid: { sends: () => post(entry('1', { effectiveDate: '1899-12-31' })), tells: { member: 'effectiveDate' } },
  text_invalid: { sends: () => post(entry('1', { description: '\0' })), tells: { member: 'description' } },
  too_large: { sends: () => lines(...Array(11).fill(line('a', 'debit'))), tells: { member: 'lines', limit: 10 } },
  key_missing: { sends: () => post(entry(), { key: null }) },
  idempotency_key_reused: { sends: () => post(entry('100.01'), { key: 'used' }), tells: { members: ['lines.0.amount', 'lines.1.amount'] } },
  route_unknown: { sends: () => api.get(`${book}/nowhere`) },
  book_unknown: { sends: () => api.post('/v1/books/nobody/journal-entries', entry()), tells: { book: 'nobody' } },
  entry_unknown: {
    sends: () => api.post(`${book}/journal-entries/01930000-0000-7000-8000-000000000000/reverse`, { reason: 'x' }),
    tells: { entry: '01930000-0000-7000-8000-000000000000' },
  },
  period_unknown: {
    sends: () => api.post(`${book}/periods/2026/14/close`, { level: 'soft' }),
    tells: { fiscalYear: '2026', period: 14 },
  },
  export_unfit: { elsewhere: 'only some formats refuse a book; their own specs do' },
  export_inconsistent: { elsewhere: 'nothing in order leads to it; libs/ledger/src/exports/checks.spec.ts does' },
  tile_unknown: { sends: () => api.get(`${book}/tile/7/000`), tells: { tile: '7/000' } },
  format_unknown: { sends: () => api.get(`${book}/exports/paper`), tells: { format: 'paper' } },
  stream_unknown: { sends: () => api.get(`${book}/streams/Account/${original}`) },
  projection_unknown: { elsewhere: 'projections are named on the command line only; test/integration/projections-cli.int.spec.ts does' },
  draft_state: {
    sends: () => api.post(`/v1/books/drafts/journal-drafts/${draft}/approve`, {}),
    tells: { entry: () => draft, draftStatus: 'draft' },
  },
  account_unknown: { sends: () => lines(line('nobody', 'debit'), line('Assets:Cash', 'credit')), tells: { account: 'nobody', line: 1 } },
  journal_unknown: { sends: () => post(entry('1', { journalCode: 'BANK' })), tells: { journalCode: 'BANK' } },
  book_exists: {
    sends: () => api.post('/v1/books', { id: 'errors', name: 'x', baseCurrency: 'EUR', fiscalYearStart: '01-01' }),
    tells: { book: 'errors' },
  },
  account_exists: {
    sends: () => api.post(`${book}/accounts`, { code: 'Assets:Cash', name: 'x', type: 'asset' }),
    tells: { account: 'Assets:Cash' },
  },
  journal_exists: { sends: () => api.post(`${book}/journals`, { journalCode: 'CASH', name: 'x' }), tells: { journalCode: 'CASH' } },
  currency_exists: { sends: () => api.post(`${book}/currencies`, { code: 'EUR', scale: 3 }), tells: { currency: 'EUR' } },
  rate_exists: {
    sends: () => api.post(`${book}/rates`, { rates: [rate, { ...rate, date: '2026-01-02' }, rate] }),
    tells: { member: 'rates.0' },
  },
  parent_invalid: {
    sends: () => api.post(`${book}/accounts`, { code: 'e', name: 'x', type: 'expense', parent: 'Assets' }),
    tells: { parent: 'Assets' },
  },
  currency_unknown: {
    sends: () => lines(line('Assets:Cash', 'debit', '1', 'ACME'), line('Assets:Bank', 'credit', '1', 'ACME')),
    tells: { currency: 'ACME', line: 1 },
  },
  currency_not_allowed: {
    sends: () => lines(line('Assets:EUR', 'debit', '1', 'USD'), line('Assets:Cash', 'credit', '1', 'USD')),
    tells: { account: 'Assets:EUR', currency: 'USD', line: 1 },
  },
  scale_exceeded: { sends: () => post(entry('1.001')), tells: { currency: 'EUR', scale: 2, line: 1 } },
  amount_range: { sends: () => post(entry('0')), tells: { line: 1 } },
  base_amount_required: {
    sends: () =>
      api.post(
        '/v1/books/tracked/journal-entries',
        entry('1', { lines: [line('Assets:Cash', 'debit', '1', 'USD'), line('Assets:Bank', 'credit', '1', 'USD')] }),
      ),
    tells: { line: 1 },
  },
  account_not_designated: {
    sends: () =>
      post(
        entry('1', {
          onImbalance: 'currency_conversion',
          lines: [line('Assets:Cash', 'debit', '1', 'USD'), line('Assets:Bank', 'credit', '1')],
        }),
      ),
    tells: { role: 'currency_conversion' },
  },
  role_invalid: {
    sends: () => api.post(`${book}/designated-accounts`, { role: 'rounding', account: 'Assets:Cash' }),
    tells: { account: 'Assets:Cash', role: 'rounding' },
  },
  party_unknown: {
    sends: () => lines({ ...line('Control', 'debit'), party: { id: original, kind: 'customer' } }, line('Assets:Cash', 'credit')),
    tells: { party: () => original, line: 1 },
  },
  party_exists: { elsewhere: 'the id of a party comes from the key of its command; libs/domain/src/party.spec.ts opens it twice' },
  party_required: { sends: () => lines(line('Control', 'debit'), line('Assets:Cash', 'credit')), tells: { account: 'Control', line: 1 } },
  party_kind: {
    sends: () => lines({ ...line('Control', 'debit'), party: { id: party, kind: 'supplier' } }, line('Assets:Cash', 'credit')),
    tells: { account: 'Control', line: 1, party: () => party },
  },
  party_closed: { sends: () => api.post(`${book}/parties/${closedParty}/close`, {}), tells: { party: () => closedParty } },
  person_erased: { sends: () => api.post(`${book}/parties/${erasedParty}/change`, { name: 'x' }), tells: { party: () => erasedParty } },
  legal_hold: { sends: () => api.post(`${book}/parties/${party}/erase`, erase), tells: { party: () => party, holds: ['case'] } },
  hold_state: {
    sends: () => api.post(`${book}/parties/${party}/holds`, { hold: 'case', reason: 'x' }),
    tells: { party: () => party, hold: 'case' },
  },
  nothing_to_erase: { sends: () => api.post(`${book}/parties/${erasedParty}/erase`, erase), tells: { party: () => erasedParty } },
  too_few_lines: { sends: () => lines(line('Assets:Cash', 'debit')) },
  unbalanced: {
    sends: () => lines(line('Assets:Cash', 'debit', '100'), line('Income:Sales', 'credit', '90')),
    tells: {
      currency: 'EUR',
      debit: '100.00',
      credit: '90.00',
      difference: '10.00',
      detail: 'debits 100.00, credits 90.00, difference 10.00 EUR',
    },
  },
  fiscal_year_invalid: { sends: () => api.post(`${book}/fiscal-years`, { label: 'F30', from: '2030-01-01', to: '2030-12-31' }) },
  no_fiscal_year: {
    sends: () => api.post('/v1/books/by-hand/journal-entries', entry('1', { effectiveDate: '2028-01-01' })),
    tells: { effectiveDate: '2028-01-01' },
  },
  adjustment_period_unknown: {
    sends: () => post(entry('1', { adjustmentPeriod: 13 })),
    tells: { effectiveDate: '2026-03-01', period: 13, member: 'adjustmentPeriod' },
  },
  before_book_start: {
    sends: () => post(entry('1', { effectiveDate: '2025-12-31' })),
    tells: { effectiveDate: '2025-12-31', startsOn: '2026-01-01' },
  },
  period_closed: {
    sends: () => api.post('/v1/books/closed/journal-entries', entry('1', { effectiveDate: '2026-01-15' }), { secret: clerk }),
    tells: { effectiveDate: '2026-01-15', fiscalYear: '2026', period: 1, periodStatus: 'soft_closed' },
  },
  period_state: {
    sends: () => api.post('/v1/books/closed/periods/2026/1/close', { level: 'soft' }),
    tells: { fiscalYear: '2026', period: 1, periodStatus: 'soft_closed' },
  },
  period_order: {
    sends: () => api.post('/v1/books/closed/periods/2026/3/close', { level: 'soft' }),
    tells: { fiscalYear: '2026', period: 2 },
  },
  period_has_drafts: {
    sends: () => api.post('/v1/books/drafts/periods/2026/1/close', { level: 'soft' }),
    tells: { fiscalYear: '2026', period: 1, entries: () => [draft] },
  },
  too_many_drafts: { elsewhere: 'it takes five thousand drafts; libs/domain/src/errors.spec.ts makes them' },
  second_user_required: {
    sends: () => api.post('/v1/books/closed/periods/2026/1/reopening/approve', {}),
    tells: { fiscalYear: '2026', period: 1 },
  },
  fx_untracked: { sends: () => api.post(`${book}/revaluations`, { date: '2026-03-31' }) },
  rate_unknown: {
    sends: () => api.post('/v1/books/tracked/revaluations', { date: '2026-12-31' }),
    tells: { currency: 'USD', date: '2026-12-31' },
  },
  account_not_postable: { sends: () => post(entry('1', {}, ['Assets', 'Income:Sales'])), tells: { account: 'Assets', line: 1 } },
  account_frozen: { sends: () => post(entry('1', {}, ['Assets:Frozen', 'Income:Sales'])), tells: { account: 'Assets:Frozen', line: 1 } },
  account_not_frozen: { sends: () => api.post(`${book}/accounts/Assets%3ACash/unfreeze`), tells: { account: 'Assets:Cash' } },
  account_closed: { sends: () => post(entry('1', {}, ['Assets:Closed', 'Income:Sales'])), tells: { account: 'Assets:Closed', line: 1 } },
  account_not_empty: { sends: () => api.post(`${book}/accounts/Assets%3ACash/close`), tells: { account: 'Assets:Cash' } },
  limit_exceeded: {
    sends: () => post(entry('50.01', {}, ['Assets:Limited', 'Income:Sales'])),
    tells: { account: 'Assets:Limited', currency: 'EUR', limit: '50.00', balance: '50.01' },
  },
  already_reversed: {
    sends: () => api.post(`${book}/journal-entries/${original}/reverse`, { reason: 'again' }),
    tells: { entry: () => original, by: () => reversal },
  },
  reversal_of_reversal: {
    sends: () => api.post(`${book}/journal-entries/${reversal}/reverse`, { reason: 'back' }),
    tells: { entry: () => reversal },
  },
  report_currency_needed: {
    sends: () => api.get('/v1/books/several/reports/balance-sheet?asOf=2026-12-31'),
    tells: { currencies: ['EUR', 'USD'] },
  },
  queue_full: {
    sends: async () => {
      const replies = await Promise.all(Array.from({ length: 5 }, () => narrow.post(`${book}/journal-entries`, entry())));
      expect(replies.map(({ status }) => status)).toContain(201);
      return replies.find(({ status }) => status !== 201) as Reply;
    },
    tells: { retryAfter: 1 },
  },
  not_sealed: { elsewhere: 'test/integration/sealer.int.spec.ts stops the sealer' },
  projection_behind: { sends: () => behind.get('/v1/books/behind/balances'), tells: { lag: expect.any(Number), retryAfter: 1 } },
  books_moving: {
    elsewhere: 'entries must be posted in the moment in which balances are read; test/integration/period-end.int.spec.ts does that',
  },
  actions_unavailable: { elsewhere: 'the log of user actions must be down while the rest is up; test/e2e/actions.spec.ts does that' },
  keys_unavailable: { elsewhere: 'the master key must be another one; test/integration/subject-keys.int.spec.ts brings one' },
  archive_unreadable: { elsewhere: 'a file of cold storage must be altered; test/integration/cold-store.int.spec.ts does that' },
  database_unavailable: {
    sends: async () => {
      await unreachable.post(`${book}/journal-entries`, entry());
      await proxy.close();
      return unreachable.post(`${book}/journal-entries`, entry());
    },
    tells: { retryAfter: 1 },
  },
  internal: {
    sends: async () => {
      const admin = await connect(database.adminUrl);
      const statement = (what: string) =>
        admin.query(`${what} SELECT ON access.api_keys ${what === 'REVOKE' ? 'FROM' : 'TO'} book_keeper_app`);
      try {
        await statement('REVOKE');
        return await api.get(book, { secret: 'bk_never_seen_before' });
      } finally {
        await statement('GRANT');
        await admin.end();
      }
    },
  },
};

describe('every code', () => {
  it('has a row, in the declared order', () => {
    expect(Object.keys(rows)).toEqual(Object.keys(errorTable));
    expect(Object.entries(rows).flatMap(([code, row]) => ('elsewhere' in row ? [code] : []))).toEqual([
      'export_unfit',
      'export_inconsistent',
      'projection_unknown',
      'party_exists',
      'too_many_drafts',
      'not_sealed',
      'books_moving',
      'actions_unavailable',
      'keys_unavailable',
      'archive_unreadable',
    ]);
  });

  for (const [code, row] of Object.entries(rows)) {
    if ('elsewhere' in row) continue;
    const { kind, members } = errorTable[code as ErrorCode] as { kind: Parameters<typeof statusOf>[0]; members?: readonly string[] };
    it(`${code} is ${statusOf(kind)}`, async () => {
      const { status, body, headers } = await row.sends();
      const tells = Object.fromEntries(
        Object.entries(row.tells ?? {}).map(([name, value]) => [name, typeof value === 'function' ? value() : value]),
      );
      expect(body).toMatchObject({
        type: `urn:book-keeper:error:${code}`,
        title: expect.any(String),
        status,
        detail: expect.any(String),
        code,
        ...tells,
      });
      expect(status).toBe(statusOf(kind));
      expect(headers['content-type']).toContain('application/problem+json');
      expect(headers['retry-after']).toBe(body.retryAfter?.toString());
      const { type, title, status: _status, detail, code: _code, ...further } = body;
      expect(members ?? []).toEqual(expect.arrayContaining(Object.keys(further)));
    });
  }

  it('account_unknown is 404 where the account stands in the path', async () => {
    for (const reply of [
      await api.post(`${book}/accounts/nobody/freeze`),
      await api.get(`${book}/accounts/nobody`),
      await api.get(`${book}/accounts/nobody/balance`),
    ]) {
      expect(reply.body).toMatchObject({ status: 404, code: 'account_unknown', account: 'nobody' });
      expect(reply.status).toBe(404);
    }
    expect((await api.get(`${book}/journal-entries?account=nobody`)).status).toBe(422);
  });
});

describe('the order', () => {
  it('decides between everything that the rules of a book have against one entry', async () => {
    const faults: [ErrorCode, { lines?: object[]; more?: object }][] = [
      ['account_unknown', { lines: [line('nobody', 'debit'), line('nobody', 'credit')] }],
      ['journal_unknown', { more: { journalCode: 'NONE' } }],
      ['currency_unknown', { lines: [line('Assets:Cash', 'debit', '1', 'ACME'), line('Assets:Cash', 'credit', '1', 'ACME')] }],
      ['currency_not_allowed', { lines: [line('Assets:EUR', 'debit', '1', 'USD'), line('Assets:Cash', 'credit', '1', 'USD')] }],
      ['scale_exceeded', { lines: [line('Assets:Cash', 'debit', '1.001'), line('Assets:Cash', 'credit', '1.001')] }],
      ['amount_range', { lines: [line('Assets:Cash', 'debit', '0')] }],
      ['unbalanced', { lines: [line('Assets:Cash', 'debit', '5')] }],
      ['before_book_start', { more: { effectiveDate: '2025-01-01' } }],
      ['account_not_postable', { lines: [line('Assets', 'debit'), line('Assets', 'credit')] }],
      ['account_frozen', { lines: [line('Assets:Frozen', 'debit'), line('Assets:Frozen', 'credit')] }],
      ['account_closed', { lines: [line('Assets:Closed', 'debit'), line('Assets:Closed', 'credit')] }],
      ['limit_exceeded', { lines: [line('Assets:Limited', 'debit', '51'), line('Assets:Cash', 'credit', '51')] }],
    ];
    expect(faults.map(([code]) => precedenceOf(code))).toEqual(faults.map(([code]) => precedenceOf(code)).sort((a, b) => a - b));
    const many = await startApi({}, database);
    try {
      for (let first = 0; first < faults.length; first++) {
        const rest = faults.slice(first).reverse();
        const body = Object.assign(entry(), ...rest.map(([, { more }]) => more ?? {}), {
          lines: rest.flatMap(([, fault]) => fault.lines ?? []),
        });
        expect((await many.post(`${book}/journal-entries`, body)).body.code).toBe(faults[first]?.[0]);
      }
    } finally {
      await many.close();
    }
  });
});
