/**
 * I6 as a matrix, over HTTP against processes of the service: every command × every way to repeat it × every circumstance in
 * which a repeat may come. One effect, the first answer byte for byte, and a 409 that names the place that differs.
 *
 * A new command gets its rows by one line in `commands`; the first test fails until it has one. Bodies that differ are made
 * from the OpenAPI document, so a new member is changed, left out and named without a word here, once a body shows it.
 * A short run sends every body where commands come one after another and to a second process, which are the two ways to find
 * a receipt (memory, database), and six of each command elsewhere. SOAK=1 sends all of them everywhere, five times over.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import type { Client } from 'pg';
import { ApiKeys } from '#ledger';
import { connect, openPool } from '#postgres';
import { type ApiDocument, BodyVariants, type Json, type Schema, type Variant } from '../support/body-variants';
import { type DurableServer, durableServer } from '../support/database';
import { get, type HttpReply, type HttpService, post, startHttpService } from '../support/http-service';
import { checkBook } from '../support/ledgers';
import { shuffled } from '../support/postings';
import { type TcpProxy, tcpProxy } from '../support/tcp-proxy';
import { report } from '../support/workload';

const soak = process.env.SOAK === '1';
const rounds = soak ? 5 : 1;
/** Which of the bodies that differ are sent where not all are. */
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 1e9));
const sampleSize = 6;
/** Requests of the run by what was wanted of them, for docs/FAULTS.md. */
const tally = { first: 0, repeatedTheSame: 0, underAnotherBody: 0, elsewhere: 0, crowded: 0 };

type Body = { readonly [member: string]: Json };

/** A book in which every command of the table can be carried out once, and refused once. */
interface Ground {
  readonly book: string;
  /** Ids of entries by what they are there for. */
  readonly entries: Readonly<Record<'reversing' | 'correcting' | 'reversed' | 'other', string>>;
  /** Ids of drafts; `approving` was submitted by somebody else, `gone` is discarded. */
  readonly drafts: Readonly<Record<'revising' | 'submitting' | 'approving' | 'rejecting' | 'discarding' | 'gone', string>>;
  /** Ids of parties; `held` and `releasing` are under a legal hold, `gone` is closed. */
  readonly parties: Readonly<Record<(typeof partiesThere)[number], string>>;
}

const partiesThere = ['changing', 'closing', 'holding', 'releasing', 'held', 'erasing', 'gone'] as const;

interface CommandRow {
  readonly name: string;
  /** As in the OpenAPI document. */
  readonly path: string;
  /** What stands in the path after the book: an account code, an entry's id, a fiscal year or a period of one. */
  readonly target?: (ground: Ground) => string;
  /** Every member that the command knows. */
  readonly body: (ground: Ground) => Body;
  /** Receipts that it leaves; each is one commit that a cut may follow. */
  readonly commits?: 2;
  /** What the book's rules say no to; the target is the command's own where none is given. Absent: they say no to nothing. */
  readonly refused?: { readonly target?: (ground: Ground) => string; readonly body: (ground: Ground) => Body; readonly code: string };
  /** The member that a 409 calls the target of the path by. */
  readonly addressed?: 'account' | 'entryId' | 'period' | 'fiscalYear' | 'party';
  /** What the command is answered with when it is carried out; 201 when absent. */
  readonly status?: 200;
  /** In the book that tracks exchange rates, which has keys of its own. */
  readonly tracked?: true;
}

const line = (account: string, side: string, amount: string): Body => ({ account, side, amount, currency: 'EUR' });
const short = (more: Body = {}): Body => ({
  effectiveDate: '2026-03-01',
  description: 'short',
  lines: [line('Assets:Cash', 'debit', '10.00'), line('Income:Sales', 'credit', '10.00')],
  ...more,
});
const unbalanced = (): Body => short({ lines: [line('Assets:Cash', 'debit', '10.00'), line('Income:Sales', 'credit', '9.00')] });

/** An entry with every member there is; none has the value that it has by default. */
const whole = ({ entries }: Ground): Body => ({
  effectiveDate: '2027-12-31',
  requestedDate: '2026-03-01',
  adjustmentPeriod: 2,
  onClosedPeriod: 'refuse',
  onImbalance: 'refuse',
  description: 'everything',
  journalCode: 'SALES',
  entryType: 'adjusting',
  entryMethod: 'manual',
  reference: '1.0',
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
  links: [{ rel: 'settles', entryId: entries.other }],
  lines: [
    {
      ...line('Assets:Cash', 'debit', '119.00'),
      baseAmount: '119.00',
      rate: { value: '1.0', date: '2026-03-01', source: 'ECB' },
      description: 'line one',
      party: { id: 'C-1', kind: 'customer' },
      dimensions: [
        { key: 'costCentre', value: '4711' },
        { key: '1', value: '1.0' },
      ],
      tax: [{ code: 'DE-19', base: '100.00', amount: '19.00' }],
      quantity: { value: '12.50', unit: 'kg' },
      dueDate: '2026-04-01',
      valueDate: '2026-03-06',
      reference: 'L-1',
      origin: 'rule-7',
    },
    line('Erlöse:Läden', 'credit', '119'),
  ],
  metadata: { tags: ['a', 'b'], '2': { deep: true, size: 1 } },
});

const reason = 'to see all members';
const entries = '/v1/books/{book}/journal-entries';
const accounts = '/v1/books/{book}/accounts';
const period = '/v1/books/{book}/periods/{year}/{period}';
const drafts = '/v1/books/{book}/journal-drafts';

/** A command that moves a draft from one state to the next. */
const moving = (name: string, what: string, which: keyof Ground['drafts']): CommandRow => ({
  name,
  path: `${drafts}/{id}/${what}`,
  target: (ground) => ground.drafts[which],
  addressed: 'entryId',
  ...(what === 'approve' ? {} : { status: 200 as const }),
  body: () => ({ reason }),
  refused: { target: (ground) => ground.drafts.gone, body: () => ({ reason }), code: 'draft_state' },
});

const parties = '/v1/books/{book}/parties';
const person = {
  ...{ country: 'AT', reference: 'C-7', name: 'Jane Roe', address: 'Street 1\nVienna', taxNumber: 'AT1', bankAccount: 'AT02' },
  ...{ email: 'jane@example.org', phone: '+43 1', birthDate: '1990-04-01', note: 'a note' },
};

/** A command on a party. */
const ofParty = (name: string, what: string, which: keyof Ground['parties']): CommandRow => ({
  name,
  path: `${parties}/{party}/${what}`,
  target: (ground) => ground.parties[which],
  addressed: 'party',
  status: 200,
  body: () => ({ reason }),
});

const commands: readonly CommandRow[] = [
  {
    name: 'open a book',
    path: '/v1/books',
    commits: 2,
    body: ({ book }) => ({
      id: `${book}-2`,
      name: 'Second',
      entity: {
        legalName: 'Second GmbH',
        registrationNumber: 'HRB 1',
        taxNumbers: ['DE1', 'DE2'],
        country: 'DE',
        address: 'Street 1\n10115 Berlin',
      },
      framework: 'hgb',
      baseCurrency: 'EUR',
      baseCurrencyScale: 3,
      fx: 'tracked',
      rounding: 'half_away_from_zero',
      timeZone: 'Europe/Berlin',
      startsOn: '2026-01-01',
      fiscalYearStart: '01-01',
      reason,
      metadata: { a: 1 },
    }),
    refused: {
      body: ({ book }) => ({ id: book, name: 'Again', baseCurrency: 'EUR', fiscalYearStart: '01-01' }),
      code: 'book_exists',
    },
  },
  {
    name: 'define a fiscal year',
    path: '/v1/books/{book}/fiscal-years',
    body: () => ({
      label: '2028',
      from: '2028-01-01',
      to: '2028-12-31',
      periods: [
        { no: 1, from: '2028-01-01', to: '2028-06-30', kind: 'normal' },
        { no: 2, from: '2028-07-01', to: '2028-12-31', kind: 'normal' },
        { no: 3, from: '2028-12-31', to: '2028-12-31', kind: 'adjustment' },
      ],
      reason,
    }),
    refused: { body: () => ({ label: '2041', from: '2041-01-01', to: '2041-12-31' }), code: 'fiscal_year_invalid' },
  },
  {
    name: 'define a day book',
    path: '/v1/books/{book}/journals',
    body: () => ({ journalCode: 'BANK', name: 'Bank', type: 'cash', reason }),
    refused: { body: () => ({ journalCode: 'GENERAL', name: 'Again', type: 'general' }), code: 'journal_exists' },
  },
  {
    name: 'declare a currency',
    path: '/v1/books/{book}/currencies',
    body: () => ({ code: 'BTC', scale: 8, reason }),
    refused: { body: () => ({ code: 'EUR', scale: 4 }), code: 'currency_exists' },
  },
  {
    name: 'open an account',
    path: accounts,
    body: () => ({
      code: 'Erlöse:Rabatte',
      name: 'Discounts',
      type: 'revenue',
      subtype: 'sales',
      parent: 'Erlöse',
      postable: false,
      contra: true,
      currencies: ['EUR', 'USD'],
      subledger: 'receivables',
      control: 'customer',
      limits: [{ currency: 'EUR', min: '-5.0', max: '1000.50' }],
      cashFlow: 'operating',
      mappings: [{ scheme: 'SKR04', code: '4730', category: 'revenue' }],
      reason,
      metadata: { owner: 'sales' },
    }),
    refused: { body: () => ({ code: 'Assets:Cash', name: 'Again', type: 'asset' }), code: 'account_exists' },
  },
  {
    name: 'rename an account',
    path: `${accounts}/{code}/rename`,
    target: () => 'Assets:Renamed',
    addressed: 'account',
    status: 200,
    body: () => ({ name: 'Other name', reason }),
    refused: { target: () => 'Assets:Gone', body: () => ({ name: 'Too late' }), code: 'account_closed' },
  },
  {
    name: 'give an account another code',
    path: `${accounts}/{code}/change-code`,
    target: () => 'Assets:Recoded',
    addressed: 'account',
    status: 200,
    body: () => ({ code: 'Assets:Now', reason }),
    refused: { target: () => 'Assets:Bank', body: () => ({ code: 'Assets:Cash' }), code: 'account_exists' },
  },
  {
    name: 'freeze an account',
    path: `${accounts}/{code}/freeze`,
    target: () => 'Assets:Freezing',
    addressed: 'account',
    status: 200,
    body: () => ({ reason }),
    refused: { target: () => 'Assets:Frozen', body: () => ({}), code: 'account_frozen' },
  },
  {
    name: 'unfreeze an account',
    path: `${accounts}/{code}/unfreeze`,
    target: () => 'Assets:Thawing',
    addressed: 'account',
    status: 200,
    body: () => ({ reason }),
    refused: { target: () => 'Assets:Bank', body: () => ({}), code: 'account_not_frozen' },
  },
  {
    name: 'close an account',
    path: `${accounts}/{code}/close`,
    target: () => 'Assets:Closing',
    addressed: 'account',
    status: 200,
    body: () => ({ reason }),
    refused: { target: () => 'Assets:Cash', body: () => ({}), code: 'account_not_empty' },
  },
  {
    name: 'post an entry',
    path: entries,
    body: (ground) => ({ ...whole(ground), reason }),
    refused: { body: unbalanced, code: 'unbalanced' },
  },
  {
    name: 'post a batch, all or none',
    path: `${entries}/batch`,
    status: 200,
    body: (ground) => ({ atomic: true, entries: [{ ...whole(ground), reason }, short()] }),
    refused: { body: () => ({ atomic: true, entries: [short(), unbalanced()] }), code: 'unbalanced' },
  },
  {
    name: 'post a batch, each on its own',
    path: `${entries}/batch`,
    status: 200,
    commits: 2,
    body: (ground) => ({ atomic: false, entries: [short(), { ...whole(ground), reason }, unbalanced()] }),
    refused: { body: () => ({ atomic: false, entries: [unbalanced(), unbalanced()] }), code: 'unbalanced' },
  },
  {
    name: 'reverse an entry',
    path: `${entries}/{id}/reverse`,
    target: (ground) => ground.entries.reversing,
    addressed: 'entryId',
    body: () => ({ effectiveDate: '2027-12-31', adjustmentPeriod: 2, onClosedPeriod: 'refuse', reason, description: 'undone' }),
    refused: { target: (ground) => ground.entries.reversed, body: () => ({ reason }), code: 'already_reversed' },
  },
  {
    name: 'correct an entry',
    path: `${entries}/{id}/correct`,
    target: (ground) => ground.entries.correcting,
    addressed: 'entryId',
    body: (ground) => ({ ...(whole(ground) as { [member: string]: Json }), reason }),
    refused: { target: (ground) => ground.entries.reversed, body: () => ({ ...short(), reason }), code: 'already_reversed' },
  },
  {
    name: 'record rates',
    path: '/v1/books/{book}/rates',
    body: () => ({ rates: [rate('2026-03-01', '0.90'), rate('2026-03-02', '0.91')], reason }),
    refused: { body: () => ({ rates: [rate('2026-01-01', '0.85')] }), code: 'rate_exists' },
  },
  {
    name: 'designate an account',
    path: '/v1/books/{book}/designated-accounts',
    status: 200,
    body: () => ({ role: 'rounding', account: 'Income:Sales', reason }),
    refused: { body: () => ({ role: 'rounding', account: 'Assets:Cash' }), code: 'role_invalid' },
  },
  {
    name: 'close a period',
    path: `${period}/close`,
    target: () => '2025/5',
    addressed: 'period',
    status: 200,
    body: () => ({ level: 'soft', includeEarlier: true, reason }),
    refused: { target: () => '2026/12', body: () => ({ level: 'soft' }), code: 'period_order' },
  },
  {
    name: 'ask for a period to be reopened',
    path: `${period}/reopening`,
    target: () => '2025/2',
    addressed: 'period',
    status: 200,
    body: () => ({ reason }),
    refused: { target: () => '2025/1', body: () => ({ reason }), code: 'period_order' },
  },
  {
    name: 'reopen a period',
    path: `${period}/reopening/approve`,
    target: () => '2025/3',
    addressed: 'period',
    status: 200,
    body: () => ({ reason }),
    refused: { target: () => '2025/6', body: () => ({ reason }), code: 'second_user_required' },
  },
  {
    name: 'decline to reopen a period',
    path: `${period}/reopening/decline`,
    target: () => '2025/4',
    addressed: 'period',
    status: 200,
    body: () => ({ reason }),
    refused: { target: () => '2025/1', body: () => ({ reason }), code: 'period_state' },
  },
  {
    name: 'revalue',
    path: '/v1/books/{book}/revaluations',
    tracked: true,
    status: 200,
    body: () => ({ date: '2027-01-31', rateType: 'spot', accounts: ['Assets:Cash'], journalCode: 'SALES', description: 'to spot', reason }),
    refused: { body: () => ({ date: '2027-06-30' }), code: 'rate_unknown' },
  },
  {
    name: 'post a closing entry',
    path: '/v1/books/{book}/fiscal-years/{label}/closing-entry',
    target: () => '2027',
    addressed: 'fiscalYear',
    tracked: true,
    status: 200,
    body: () => ({ journalCode: 'SALES', adjustmentPeriod: 2, description: 'the end', reason }),
    refused: { target: () => '2099', body: () => ({}), code: 'period_unknown' },
  },
  {
    name: 'save a draft',
    path: drafts,
    body: (ground) => ({ ...whole(ground), reason }),
    refused: { body: () => short({ effectiveDate: '2045-01-01' }), code: 'no_fiscal_year' },
  },
  {
    ...moving('rewrite a draft', 'revise', 'revising'),
    body: (ground) => ({ ...whole(ground), reason }),
    refused: { target: (ground) => ground.drafts.gone, body: () => short(), code: 'draft_state' },
  },
  moving('submit a draft', 'submit', 'submitting'),
  moving('approve a draft', 'approve', 'approving'),
  moving('reject a draft', 'reject', 'rejecting'),
  moving('discard a draft', 'discard', 'discarding'),
  {
    name: 'state how long something is kept',
    path: '/v1/books/{book}/retention-rules',
    body: () => ({ country: 'DE', documentType: 'quote', years: 2, source: 'ours', reason }),
  },
  { name: 'open a party', path: parties, body: () => ({ kind: 'supplier', ...person, reason }) },
  {
    ...ofParty('change a party', 'change', 'changing'),
    body: () => ({ ...person, reason }),
    refused: { target: (ground) => ground.parties.gone, body: () => ({ name: 'Too Late' }), code: 'party_closed' },
  },
  {
    ...ofParty('close a party', 'close', 'closing'),
    refused: { target: (ground) => ground.parties.gone, body: () => ({}), code: 'party_closed' },
  },
  {
    ...ofParty('place a legal hold', 'holds', 'holding'),
    body: () => ({ hold: 'case 2', reason }),
    refused: { target: (ground) => ground.parties.held, body: () => ({ hold: 'case 1', reason }), code: 'hold_state' },
  },
  {
    ...ofParty('release a legal hold', 'holds/release', 'releasing'),
    body: () => ({ hold: 'case 1', reason }),
    refused: { target: (ground) => ground.parties.held, body: () => ({ hold: 'case 2', reason }), code: 'hold_state' },
  },
  {
    ...ofParty('erase a person', 'erase', 'erasing'),
    body: () => ({ legalBasis: 'GDPR Art. 17(1)(a)', reason }),
    refused: { target: (ground) => ground.parties.held, body: () => ({ legalBasis: 'x', reason }), code: 'legal_hold' },
  },
];

const rate = (date: string, value: string): Body => ({ from: 'USD', to: 'EUR', rateType: 'spot', date, value, source: 'ECB' });
/** A year of one period, and adjustment periods of its last day. */
const yearOf = (label: string, adjustments: number): Body => ({
  ...{ label, from: `${label}-01-01`, to: `${label}-12-31` },
  periods: [
    { no: 1, from: `${label}-01-01`, to: `${label}-12-31`, kind: 'normal' },
    ...Array.from({ length: adjustments }, (_, n) => ({ no: n + 2, from: `${label}-12-31`, to: `${label}-12-31`, kind: 'adjustment' })),
  ],
});

let server: DurableServer;
let admin: Client;
let toDatabase: TcpProxy;
let toService: TcpProxy;
/** Talks to the database through a proxy, and is talked to through one where a test says so. */
let one: HttpService;
let two: HttpService;
/** Secret of another caller. */
let second: string;
let variants: BodyVariants;
let document: ApiDocument;
const books: string[] = [];
/** The same master key for all processes. */
const keys = { MASTER_KEY: `1:${randomBytes(32).toString('base64')}` };

beforeAll(async () => {
  process.stdout.write(`idempotency: SEED=${seed}\n`);
  server = await durableServer();
  admin = await connect(server.adminUrl);
  toDatabase = await tcpProxy(server.appUrl);
  [one, two] = await Promise.all([startHttpService(toDatabase.url, keys), startHttpService(server.appUrl, keys)]);
  const pool = openPool(server.appUrl, { max: 1 });
  second = (await new ApiKeys(pool).create('second', ['controller'])).secret;
  await pool.end();
  toService = await tcpProxy(one.url);
  document = (await get(one.url, '/openapi.json')).body;
  variants = new BodyVariants(document);
}, 60_000);

afterAll(async () => {
  report('idempotency', { seed, rounds, ...tally });
  await Promise.all([one.stop(), two.stop()]);
  await Promise.all([toService.close(), toDatabase.close()]);
  await admin.end();
  await server.destroy();
});

// --- One request of a row ---

interface Request {
  readonly path: string;
  readonly body: Body;
  readonly schema: Schema;
}

function pathOf(row: CommandRow, book: string, target: string | undefined): string {
  const [year = '', no = ''] = (target ?? '').split('/');
  return row.path
    .replace('{book}', row.tracked ? `${book}-fx` : book)
    .replace(/\{(code|id|label|party)\}/, encodeURIComponent(target ?? ''))
    .replace('{year}/{period}', `${year}/${no}`);
}

function schemaOf(row: CommandRow): Schema {
  return variants.schemaOf(row.path) ?? {};
}

function requestOf(row: CommandRow, ground: Ground): Request {
  return { path: pathOf(row, ground.book, row.target?.(ground)), body: row.body(ground), schema: schemaOf(row) };
}

function refusedRequestOf(row: CommandRow, ground: Ground): Request {
  const { target = row.target, body } = row.refused as NonNullable<CommandRow['refused']>;
  return { path: pathOf(row, ground.book, target?.(ground)), body: body(ground), schema: schemaOf(row) };
}

async function ok(sent: Promise<HttpReply>): Promise<HttpReply> {
  const reply = await sent;
  if (reply.status >= 300) throw new Error(`${reply.status}: ${reply.text}`);
  return reply;
}

async function openGround(url: string, book: string): Promise<Ground> {
  const [ground] = await Promise.all([openMain(url, book), openTracked(url, `${book}-fx`)]);
  return ground;
}

/** With an amount in a foreign currency, and a year to close. */
async function openTracked(url: string, book: string): Promise<void> {
  const send = (path: string, body: object): Promise<HttpReply> => ok(post(url, `/v1/books/${book}${path}`, body, randomUUID()));
  const opening = { id: book, name: book, baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2026-01-01', fx: 'tracked' };
  await ok(post(url, '/v1/books', opening, randomUUID()));
  books.push(book);
  for (const [code, type, role] of [
    ['Assets:Cash', 'asset'],
    ['Income:Sales', 'income'],
    ['Income:Gain', 'income', 'fx_gain_unrealised'],
    ['Expenses:Loss', 'expense', 'fx_loss_unrealised'],
    ['Equity:Retained', 'equity', 'retained_earnings'],
  ]) {
    await send('/accounts', { code, name: code, type });
    if (role !== undefined) await send('/designated-accounts', { role, account: code });
  }
  await send('/journals', { journalCode: 'SALES', name: 'Sales', type: 'sales' });
  await send('/fiscal-years', yearOf('2027', 1));
  await send('/rates', { rates: [rate('2027-01-01', '0.80'), rate('2027-01-31', '0.85')] });
  const inDollars = [line('Assets:Cash', 'debit', '10.00'), line('Income:Sales', 'credit', '10.00')].map((given) => ({
    ...given,
    currency: 'USD',
  }));
  await send('/journal-entries', short({ effectiveDate: '2027-01-05', lines: inDollars }));
}

/** Asks as another controller than the one who does everything else. */
async function ask(url: string, path: string): Promise<void> {
  const headers = { authorization: `Bearer ${second}`, 'idempotency-key': randomUUID(), 'content-type': 'application/json' };
  const { status } = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify({ reason }) });
  if (status !== 200) throw new Error(`${path}: ${status}`);
}

async function openMain(url: string, book: string): Promise<Ground> {
  const send = (path: string, body: object = {}): Promise<HttpReply> => ok(post(url, `/v1/books/${book}${path}`, body, randomUUID()));
  await ok(
    post(url, '/v1/books', { id: book, name: book, baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2026-01-01' }, randomUUID()),
  );
  books.push(book);
  const asset = (code: string): Promise<HttpReply> => send('/accounts', { code, name: code, type: 'asset' });
  await send('/accounts', { code: 'Erlöse', name: 'Revenue', type: 'income', postable: false });
  await Promise.all([
    ...['Cash', 'Bank', 'Gone', 'Frozen', 'Renamed', 'Recoded', 'Freezing', 'Thawing', 'Closing'].map((name) => asset(`Assets:${name}`)),
    ...['Income:Sales', 'Erlöse:Läden'].map((code) => send('/accounts', { code, name: code, type: 'income' })),
    send('/journals', { journalCode: 'SALES', name: 'Sales', type: 'sales' }),
  ]);
  await Promise.all([send('/accounts/Assets:Gone/close'), send('/accounts/Assets:Frozen/freeze'), send('/accounts/Assets:Thawing/freeze')]);
  const [reversing = '', correcting = '', reversed = '', other = ''] = await Promise.all(
    Array.from({ length: 4 }, async () => (await send('/journal-entries', short())).body.id as string),
  );
  await send(`/journal-entries/${reversed}/reverse`, { reason: 'so', effectiveDate: '2026-03-02' });
  await send('/rates', { rates: [rate('2026-01-01', '0.85')] });
  await send('/fiscal-years', yearOf('2025', 5));
  await send('/fiscal-years', yearOf('2027', 1));
  // Adjustment periods reopen each for itself; that of the refusal is asked for by whoever approves.
  for (const no of [1, 2, 3, 4, 6]) await send(`/periods/2025/${no}/close`, { level: 'soft' });
  for (const no of [3, 4]) await ask(url, `/v1/books/${book}/periods/2025/${no}/reopening`);
  await send('/periods/2025/6/reopening', { reason });
  const [revising = '', submitting = '', approving = '', rejecting = '', discarding = '', gone = ''] = await Promise.all(
    Array.from({ length: 6 }, async () => (await send('/journal-drafts', short())).body.id as string),
  );
  await Promise.all([
    ok(post(url, `/v1/books/${book}/journal-drafts/${approving}/submit`, {}, randomUUID(), second)),
    send(`/journal-drafts/${rejecting}/submit`),
    send(`/journal-drafts/${gone}/discard`),
  ]);
  const people = {} as Record<(typeof partiesThere)[number], string>;
  for (const name of partiesThere) people[name] = (await send('/parties', { kind: 'customer', name, email: 'x@example.org' })).body.id;
  for (const name of ['held', 'releasing'] as const) await send(`/parties/${people[name]}/holds`, { hold: 'case 1', reason });
  await send(`/parties/${people.gone}/close`);
  return {
    book,
    entries: { reversing, correcting, reversed, other },
    drafts: { revising, submitting, approving, rejecting, discarding, gone },
    parties: people,
  };
}

// --- What must hold ---

const isReused = ({ body }: HttpReply): boolean => body.code === 'idempotency_key_reused';
const isReplayed = ({ headers }: HttpReply): boolean => headers.get('idempotency-replayed') === 'true';

const told = ({ status, text, body }: HttpReply): unknown =>
  isReused({ body } as HttpReply) ? `409 ${body.members}` : `${status} ${text}`;

/** What a 409 must name: the place as far as receipts and events tell it. */
function namedBy({ path }: Pick<Variant, 'path'>, row: Pick<CommandRow, 'name'>, posted: boolean): string | RegExp {
  const [member = '', index, below, ...deeper] = path.split('.');
  if (member !== 'lines' && member !== 'entries' && member !== 'rates') return member;
  if (index === undefined) return new RegExp(`^${member}\\.`);
  if (member === 'rates') return `${member}.${index}`;
  if (member === 'lines') {
    // Of an entry that was posted the event tells every line; lists of another length are named as a whole.
    if (!posted || row.name !== postingOne.name) return `${member}.${index}`;
    return below === undefined ? 'lines' : `lines.${index}.${below}`;
  }
  // A batch that was refused as a whole has left fingerprints of its entries only.
  const alone = row.name === 'post a batch, each on its own';
  if (below === undefined || !(posted || alone)) return `entries.${index}`;
  const refusedOne = '2';
  const within = namedBy({ path: [below, ...deeper].join('.') }, postingOne, posted && !(alone && index === refusedOne));
  return typeof within === 'string' ? `entries.${index}.${within}` : new RegExp(`^entries\\.${index}\\.${within.source.slice(1)}`);
}

const postingOne = { name: 'post an entry' };

interface Fault {
  readonly what: string;
  readonly said: unknown;
}

/** Sends in small groups: one after another would be slow, all at once is a test of its own. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<Fault | undefined>): Promise<Fault[]> {
  const faults: Fault[] = [];
  for (let at = 0; at < items.length; at += 8) {
    for (const fault of await Promise.all(items.slice(at, at + 8).map(work))) if (fault !== undefined) faults.push(fault);
  }
  return faults;
}

/** Everything that can be sent under the key of a command that was carried out or refused; returns what went wrong. */
async function repeatAll(
  url: string,
  row: CommandRow,
  { path, body, schema }: Request,
  key: string,
  first: { readonly status: number; readonly text: string },
  { posted, every }: { readonly posted: boolean; readonly every: boolean },
): Promise<Fault[]> {
  const repeats = await each([...variants.same(schema, body)], async ({ what, text }) => {
    tally.repeatedTheSame++;
    const reply = await post(url, path, text, key);
    if (reply.status === first.status && reply.text === first.text && isReplayed(reply)) return undefined;
    return { what, said: [reply.status, reply.text, isReplayed(reply)] };
  });
  const changed = [...variants.changed(schema, body)];
  const others = await each(every || soak ? changed : shuffled(changed, seed).slice(0, sampleSize), async (variant) => {
    tally.underAnotherBody++;
    const reply = await post(url, path, variant.body as Body, key);
    const expected = namedBy(variant, row, posted);
    const members: string[] = isReused(reply) ? reply.body.members : [];
    const right = typeof expected === 'string' ? members.join() === expected : members.length > 0 && members.every((m) => expected.test(m));
    return reply.status === 409 && right ? undefined : { what: variant.what, said: told(reply) };
  });
  return [...repeats, ...others];
}

/** The same key for another command, another account or entry, another book. */
async function elsewhere(url: string, row: CommandRow, ground: Ground, other: Ground, key: string): Promise<Fault[]> {
  // Books are opened in a scope of their own (~system).
  const paths =
    row.path === '/v1/books'
      ? []
      : commands.filter(({ path, tracked }) => path !== row.path && path !== '/v1/books' && tracked === row.tracked);
  const faults = await each(paths, async (another) => {
    tally.elsewhere++;
    const { path, body } = requestOf(another, ground);
    const reply = await post(url, path, body, key);
    return reply.status === 409 && isReused(reply) && reply.body.members.join() === 'type'
      ? undefined
      : { what: `${another.name} under its key`, said: told(reply) };
  });
  if (row.addressed !== undefined) {
    const others = {
      account: 'Assets:Bank',
      entryId: ground.entries.other,
      period: '2025/1',
      fiscalYear: '2026',
      party: ground.parties.gone,
    };
    const target = others[row.addressed];
    const reply = await post(url, pathOf(row, ground.book, target), row.body(ground), key);
    // What is said of another person is told by marks under the keys of that person.
    const sealed = row.name === 'change a party' && reply.body.members?.includes('party');
    if (!isReused(reply) || (reply.body.members.join() !== row.addressed && !sealed))
      faults.push({ what: 'another target', said: told(reply) });
  }
  if (row.path !== '/v1/books') {
    const { path, body } = requestOf(row, other);
    const reply = await post(url, path, body, key);
    if (reply.status >= 300 || isReplayed(reply)) faults.push({ what: 'the same in another book', said: told(reply) });
  }
  return faults;
}

/** Events and receipts of everything that a row may write to. */
async function written(ground: Ground, key: string): Promise<unknown> {
  const { rows } = await admin.query(
    `SELECT (SELECT count(*) FROM log.events WHERE book_id = ANY ($1)) AS events,
            (SELECT json_agg(r ORDER BY r.book_id, r.item) FROM (SELECT book_id, item, status, answer FROM log.receipts
              WHERE book_id = ANY ($2) AND key = $3) r) AS receipts`,
    [[ground.book, `${ground.book}-2`, `${ground.book}-fx`], [ground.book, `${ground.book}-2`, `${ground.book}-fx`, '~system'], key],
  );
  return rows[0];
}

async function receipts(key: string): Promise<number> {
  return (await admin.query('SELECT 1 FROM log.receipts WHERE key = $1', [key])).rows.length;
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// --- Circumstances ---

interface Circumstance {
  readonly name: string;
  /**
   * Carries out a command once.
   * @returns the answer that somebody got
   */
  first(request: Request, key: string, row: CommandRow): Promise<HttpReply>;
  /** Between all first commands and all repeats. */
  between?(): Promise<void>;
  /** Whom the repeats are sent to. */
  readonly repeatTo: () => string;
  /** Where it is not another circumstance for all commands. */
  readonly only?: (row: CommandRow) => boolean;
  /** Whether short runs send every body too. */
  readonly every?: true;
}

const plainly: Circumstance['first'] = ({ path, body }, key) => post(one.url, path, body, key);

const circumstances: readonly Circumstance[] = [
  { name: 'one after another', first: plainly, repeatTo: () => one.url, every: true },
  {
    name: 'after the caller was cut off after COMMIT, before the answer',
    async first({ path, body }, key) {
      toService.swallowAnswers();
      const lost = post(toService.url, path, body, key).then(
        ({ text }) => Promise.reject(new Error(`the answer came through: ${text}`)),
        () => {},
      );
      await until('the command is committed', async () => (await answered(key, body)) !== undefined);
      toService.cut();
      await lost;
      const answer = await answered(key, body);
      if (answer === undefined) throw new Error('nothing was committed');
      // The caller does not know it; the log does.
      return answer;
    },
    repeatTo: () => one.url,
  },
  {
    name: 'after the database was cut off after COMMIT, before its answer',
    first: ({ path, body }, key) => cutAfterCommit(1, path, body, key),
    repeatTo: () => one.url,
  },
  {
    name: 'after the database was cut off after the last COMMIT, before its answer',
    first: ({ path, body }, key, { commits = 1 }) => cutAfterCommit(commits, path, body, key),
    only: ({ commits }) => commits === 2,
    repeatTo: () => one.url,
  },
  {
    name: 'after kill -9 and a restart',
    first: plainly,
    async between() {
      await one.kill();
      one = await startHttpService(toDatabase.url, keys);
      await toService.close();
      toService = await tcpProxy(one.url);
    },
    repeatTo: () => one.url,
  },
  { name: 'on a second process', first: plainly, repeatTo: () => two.url, every: true },
];

/** The whole answer of a command as its receipts hold it; undefined while it is not complete. */
async function answered(key: string, { atomic, entries: items }: Body): Promise<HttpReply | undefined> {
  const { rows } = await admin.query<{ item: number; status: number; answer: string; command: string }>(
    `SELECT item, status, answer, command FROM log.receipts WHERE key = $1 AND NOT (book_id = '~system') ORDER BY item`,
    [key],
  );
  const [receipt, ...others] = rows;
  const alone = atomic !== false;
  if (receipt === undefined || (!alone && others.length < (items as readonly Json[]).length)) return undefined;
  const results = others.map(({ status, answer }) => (status < 400 ? answer : `{"problem":${answer}}`));
  const text = alone ? receipt.answer : `{"results":[${results.join(',')}]}`;
  return { status: receipt.status, text, body: JSON.parse(text), headers: new Headers() };
}

/** The service hears nothing after the nth COMMIT; then its connections break. It finds out by itself what became of it. */
async function cutAfterCommit(nth: number, path: string, body: Body, key: string): Promise<HttpReply> {
  await get(one.url, '/v1/books?limit=1'); // or the API key would be looked up over the connection that is cut
  const before = await receipts(key);
  toDatabase.swallowAnswers({ text: 'appended', nth });
  const sent = post(one.url, path, body, key);
  await until('the command is committed', async () => (await receipts(key)) >= before + nth);
  toDatabase.cut();
  const reply = await sent;
  if (isReplayed(reply)) throw new Error(`the first answer is called a repeat: ${path} ${reply.text}`);
  return reply;
}

// --- The matrix ---

test('every command of the API has its row, and each row shows every member', () => {
  const posts = Object.entries(document.paths).flatMap(([path, { post: operation }]) => (operation === undefined ? [] : [path]));
  expect([...new Set(commands.map(({ path }) => path))].sort()).toEqual(posts.sort());
  const ground: Ground = {
    book: 'x',
    entries: { reversing: 'a', correcting: 'b', reversed: 'c', other: 'd' },
    drafts: { revising: 'e', submitting: 'f', approving: 'g', rejecting: 'h', discarding: 'i', gone: 'j' },
    parties: { changing: 'k', closing: 'l', holding: 'm', releasing: 'n', held: 'o', erasing: 'p', gone: 'q' },
  };
  for (const row of commands) expect([row.name, variants.missing(schemaOf(row), row.body(ground))]).toEqual([row.name, []]);
});

let grounds = 0;

describe.each(circumstances)('repeated $name', ({ first, between, repeatTo, only = () => true, every = false }) => {
  const rows = commands.filter(only);
  describe.each(Array.from({ length: rounds }, (_, round) => round + 1))('round %i', () => {
    const done = new Map<CommandRow, { request: Request; key: string; reply: HttpReply; before: unknown }>();
    const refused = new Map<CommandRow, { request: Request; key: string; reply: HttpReply; before: unknown }>();
    let ground: Ground;
    let other: Ground;

    beforeAll(async () => {
      const name = `ground-${++grounds}`;
      [ground, other] = await Promise.all([openGround(one.url, name), openGround(one.url, `${name}-other`)]);
      for (const row of rows) {
        for (const [outcomes, request] of [
          ...(row.refused === undefined ? [] : [[refused, refusedRequestOf(row, ground)] as const]),
          [done, requestOf(row, ground)] as const,
        ]) {
          const key = randomUUID();
          const reply = await first(request, key, row);
          tally.first++;
          outcomes.set(row, { request, key, reply, before: undefined });
        }
      }
      await between?.();
      for (const outcome of [...done.values(), ...refused.values()]) outcome.before = await written(ground, outcome.key);
    }, 180_000);

    test.each(rows)('$name: one effect, the first answer, and what differs by name', async (row) => {
      const { request, key, reply, before } = done.get(row) as NonNullable<ReturnType<typeof done.get>>;
      expect({ status: reply.status, said: reply.body }).toEqual({
        status: row.status ?? 201,
        said: reply.body,
      });
      expect(await repeatAll(repeatTo(), row, request, key, reply, { posted: true, every })).toEqual([]);
      expect(await written(ground, key)).toEqual(before);
      expect(await elsewhere(repeatTo(), row, ground, other, key)).toEqual([]);
      expect(await written(ground, key)).toEqual(before);
    });

    test.each(rows.filter((row) => row.refused !== undefined))('$name: a refusal is remembered', async (row) => {
      const { request, key, reply, before } = refused.get(row) as NonNullable<ReturnType<typeof refused.get>>;
      const said = reply.body.results === undefined ? reply.body : reply.body.results[0].problem;
      expect(said.code).toBe(row.refused?.code);
      expect(await repeatAll(repeatTo(), row, request, key, reply, { posted: false, every: false })).toEqual([]);
      expect(await written(ground, key)).toEqual(before);
    });
  });
});

describe.each(Array.from({ length: rounds }, (_, round) => round + 1))('50 at once, half of them different, round %i', () => {
  let ground: Ground;
  beforeAll(async () => {
    ground = await openGround(one.url, `crowd-${++grounds}`);
  });

  test.each(commands)('$name: one of them takes effect, the others get its answer or are told what differs', async (row) => {
    const { path, body, schema } = requestOf(row, ground);
    const key = randomUUID();
    const same = [...variants.same(schema, body)].map(({ text }) => text);
    const changed = [...variants.changed(schema, body)].map((variant) => JSON.stringify(variant.body));
    const sent = Array.from({ length: 50 }, (_, index) => {
      const list = index % 2 === 0 ? same : changed;
      return list[(index >> 1) % list.length] as string;
    });
    const replies = await Promise.all(sent.map((text, index) => post(index % 3 === 0 ? two.url : one.url, path, text, key)));
    // A body that contradicts itself (one more limit for the same currency) is told so while its key stands for nothing yet.
    const decided = (reply: HttpReply): boolean => !isReused(reply) && reply.body.code !== 'malformed';
    const answers = replies.filter(decided);
    tally.crowded += sent.length;
    expect(answers.map(({ status, text }) => `${status} ${text}`).filter((text, _, all) => text !== all[0])).toEqual([]);
    expect(answers.filter((reply) => !isReplayed(reply))).toHaveLength(1);
    expect(replies.filter(isReused).every(({ status, body: { members } }) => status === 409 && members.length > 0)).toBe(true);
    // Those that mean the same were all answered, or none of them.
    const groups = new Set(
      sent.map((text, index) => (index % 2 === 0 ? 'same' : text)).filter((_, index) => decided(replies[index] as HttpReply)),
    );
    expect(groups.size).toBe(1);
    const [group] = groups;
    const members = sent.filter((text, index) => (index % 2 === 0 ? 'same' : text) === group);
    expect(answers).toHaveLength(members.length);
  });
});

describe('what was never decided leaves the key free', () => {
  let ground: Ground;
  beforeAll(async () => {
    ground = await openGround(one.url, `free-${++grounds}`);
  });
  const path = (): string => `/v1/books/${ground.book}/journal-entries`;

  test('malformed, then right', async () => {
    const key = randomUUID();
    expect((await post(one.url, path(), '{', key)).status).toBe(400);
    expect((await post(one.url, path(), { ...short(), lines: [], nonsense: true }, key)).status).toBe(400);
    expect((await post(one.url, path(), short(), key)).status).toBe(201);
  });

  test('in a book that is not there yet', async () => {
    const key = randomUUID();
    const late = `late-${++grounds}`;
    expect((await post(one.url, `/v1/books/${late}/journal-entries`, short(), key)).status).toBe(404);
    await openGround(two.url, late);
    expect((await post(one.url, `/v1/books/${late}/journal-entries`, short(), key)).status).toBe(201);
  });

  test('without a right API key', async () => {
    const key = randomUUID();
    const reply = await fetch(one.url + path(), { method: 'POST', headers: { authorization: 'Bearer wrong', 'idempotency-key': key } });
    expect(reply.status).toBe(401);
    expect((await post(one.url, path(), short(), key)).status).toBe(201);
  });
});

describe('what a receipt cannot tell is named as a candidate', () => {
  test('a default that is stated in one and not in the other', async () => {
    const ground = await openGround(one.url, `default-${++grounds}`);
    const path = `/v1/books/${ground.book}/journal-entries`;
    const key = randomUUID();
    await ok(post(one.url, path, short(), key));
    const reply = await post(one.url, path, short({ journalCode: 'GENERAL' }), key);
    expect(reply.body).toMatchObject({ status: 409, code: 'idempotency_key_reused' });
    expect(reply.body.members).toContain('journalCode');
  });
});

test('after all of this every book is whole', async () => {
  for (const book of books) await checkBook(admin, book);
});
