/**
 * Drafts over the real write path: their life, what a process that dies or loses a race leaves, the heads that list them (kept,
 * lost, folded again, read by others), closes that wait for them, and verify, which finds nothing until something is changed.
 */
import type { Client } from 'pg';
import { journalReducer, type MoveDraft, type PostEntry } from '#domain';
import { type Answer, type Command, draftsStreamId, Inspector, Queries, verifyBooks } from '#ledger';
import { connect } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';
import { checkBook, contextOf, openBookWith, startLedger, type TestLedger, transfer } from '../support/ledgers';
import { controllerContext } from '../support/periods';
import { ReferenceLedger } from '../support/reference-ledger';
import { tcpProxy } from '../support/tcp-proxy';

let database: TestDatabase;
let admin: Client;
const started: TestLedger[] = [];
const closing: (() => Promise<unknown>)[] = [];

function start(...args: Parameters<typeof startLedger> | []): TestLedger {
  const ledger = startLedger(args[0] ?? database.appUrl, args[1]);
  started.push(ledger);
  return ledger;
}

beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
});
afterEach(async () => {
  await Promise.all(started.splice(0).map((ledger) => ledger.close()));
  for (const close of closing.splice(0)) await close();
});
afterAll(async () => {
  await admin?.end();
  await database?.drop();
});

let keys = 0;
type Sending = { readonly by?: string; readonly key?: string; readonly controller?: true };

async function send(
  { ledger }: TestLedger,
  book: string,
  command: Command,
  { by = 'ann', key, controller }: Sending = {},
): Promise<Answer> {
  return ledger.execute(book, command, contextOf(key ?? `draft-${++keys}`, { userId: by, isController: controller }));
}

async function done(ledger: TestLedger, book: string, command: Command, sending?: Sending): Promise<{ id: string; number?: number }> {
  const { status, body } = await send(ledger, book, command, sending);
  if (status >= 400) throw new Error(body);
  return JSON.parse(body) as { id: string };
}

const codeOf = async (answer: Promise<Answer>): Promise<string> => (JSON.parse((await answer).body) as { code: string }).code;

/** A transfer as a draft. */
const draft = (amount: string, more: Partial<PostEntry> = {}): Command => ({
  ...transfer('cash', 'bank', amount, more),
  type: 'CreateDraft',
});
const move = (type: Exclude<MoveDraft['type'], 'RejectDraft'>, entryId: string): Command => ({ type, entryId });
const close = (period: number, level: 'soft' | 'hard' = 'soft'): Command => ({
  ...{ type: 'ClosePeriod', fiscalYear: '2026', period, level, includeEarlier: true },
});
const chief: Sending = { by: controllerContext('').userId, controller: true };

const verified = async ({ pool }: TestLedger, book: string): Promise<string[]> => {
  const { books } = await verifyBooks(pool, { books: [book] });
  return books.flatMap(({ findings }) => findings.map(({ message }) => message));
};
const typesOf = async (book: string, id: string): Promise<string[]> =>
  (await checkBook(admin, book)).events.filter(({ streamId }) => streamId === id).map(({ eventType }) => eventType);
const headOf = async (book: string, year: string) => {
  const { rows } = await admin.query('SELECT version, version_before, state FROM log.heads WHERE book_id = $1 AND stream_id = $2', [
    book,
    draftsStreamId(book, year),
  ]);
  return rows[0];
};

test('the life of a draft, from its first word to its reversal', async () => {
  const ledger = start();
  const queries = new Queries(ledger.store, ledger.pool, { readWaitMs: 0 });
  await openBookWith(ledger.ledger, 'life', ['bank', 'cash']);
  expect(await headOf('life', '2026')).toMatchObject({ version: 1, state: { fiscalYear: '2026', open: [] } });
  const { id } = await done(ledger, 'life', draft('5', { lines: [], reference: 'R' }));
  const other = await done(ledger, 'life', draft('7', { effectiveDate: '2027-02-01' }));
  expect(await queries.draft('life', id)).toMatchObject({ id, status: 'draft', createdBy: 'ann', reference: 'R', lines: [], period: 3 });
  expect(await codeOf(send(ledger, 'life', move('SubmitDraft', id)))).toBe('too_few_lines');
  await done(ledger, 'life', { ...transfer('nobody', 'bank', '5'), type: 'ReviseDraft', entryId: id });
  expect(await codeOf(send(ledger, 'life', move('SubmitDraft', id)))).toBe('account_unknown');
  await done(ledger, 'life', { ...transfer('cash', 'bank', '5.50'), type: 'ReviseDraft', entryId: id }, { by: 'bob' });
  await done(ledger, 'life', move('SubmitDraft', id));
  expect(await headOf('life', '2026')).toMatchObject({ version: 5, state: { open: [[id, 3, '2026-03-01', 'submitted', 2]] } });
  await done(ledger, 'life', { type: 'RejectDraft', entryId: id, reason: 'which one?' }, { by: 'bob' });
  await done(ledger, 'life', move('SubmitDraft', id));
  const { drafts, position } = await queries.drafts('life');
  expect(drafts.map((one) => [one.id, one.status])).toEqual([
    [id, 'submitted'],
    [other.id, 'draft'],
  ]);
  expect(position).toBe((await ledger.store.head('life')).position);
  expect(await codeOf(send(ledger, 'life', move('ApproveDraft', id)))).toBe('second_user_required');
  await expect(queries.entry('life', id)).rejects.toMatchObject({ code: 'entry_unknown' });
  await done(ledger, 'life', transfer('cash', 'bank', '1'));
  const posted = await done(ledger, 'life', move('ApproveDraft', id), { by: 'bob' });
  expect(posted).toMatchObject({ id, number: 2 });
  expect(await queries.entry('life', id)).toMatchObject({ id, number: 2, userId: 'bob', lines: [{ amount: '5.50' }, { amount: '5.50' }] });
  expect(await queries.draft('life', id)).toMatchObject({ status: 'posted', createdBy: 'ann', revisedBy: 'bob', approvedBy: 'bob' });
  expect((await queries.drafts('life')).drafts.map((one) => one.id)).toEqual([other.id]);
  const corrected = await done(ledger, 'life', { ...transfer('cash', 'bank', '6'), type: 'CorrectEntry', entryId: id, reason: 'six' });
  expect(corrected).toMatchObject({ number: 4, reversal: { number: 3 } });
  expect(await queries.entry('life', id)).toMatchObject({ reversedBy: expect.any(String) });
  expect(await codeOf(send(ledger, 'life', { type: 'ReverseEntry', entryId: id, reason: 'again' }))).toBe('already_reversed');
  await done(ledger, 'life', move('DiscardDraft', other.id));
  expect(await queries.drafts('life')).toMatchObject({ drafts: [] });
  expect(await typesOf('life', id)).toEqual([
    ...['JournalCreated', 'JournalRevised', 'JournalRevised', 'JournalSubmitted', 'JournalRejected', 'JournalSubmitted'],
    ...['JournalApproved', 'JournalEntryPosted', 'JournalEntryReversed'],
  ]);
  expect(await verified(ledger, 'life')).toEqual([]);
});

test('an ordinary posting neither reads nor writes what lists drafts', async () => {
  const ledger = start();
  await openBookWith(ledger.ledger, 'plain', ['bank', 'cash']);
  await done(ledger, 'plain', draft('1'));
  const before = await headOf('plain', '2026');
  const other = start();
  const asked: string[] = [];
  const heads = other.store.heads.bind(other.store);
  other.store.heads = (book, ids, versions) => {
    asked.push(...ids);
    return heads(book, ids, versions);
  };
  await done(other, 'plain', transfer('cash', 'bank', '1'));
  await done(other, 'plain', transfer('cash', 'bank', '1', { effectiveDate: '2027-01-01' }));
  expect(asked).not.toContain(draftsStreamId('plain', '2026'));
  expect(await headOf('plain', '2026')).toEqual(before);
  expect(await headOf('plain', '2027')).toMatchObject({ version: 1, state: { open: [] } });
});

test('a close waits for drafts, in this process and in others, and goes on when they are gone', async () => {
  const [one, two] = [start(), start()];
  await openBookWith(one.ledger, 'closing', ['bank', 'cash']);
  const first = await done(one, 'closing', draft('1', { effectiveDate: '2026-01-10' }));
  const second = await done(two, 'closing', draft('2', { effectiveDate: '2026-02-10' }));
  for (const ledger of [one, two]) {
    const refused = await send(ledger, 'closing', close(2), chief);
    expect(refused.status).toBe(422);
    expect(JSON.parse(refused.body)).toMatchObject({ code: 'period_has_drafts', period: 1, entries: [first.id, second.id] });
  }
  await done(two, 'closing', move('SubmitDraft', first.id));
  await done(one, 'closing', move('ApproveDraft', first.id), { by: 'bob' });
  await done(two, 'closing', close(1), chief);
  await done(one, 'closing', close(1, 'hard'), chief);
  expect(await codeOf(send(one, 'closing', close(2), chief))).toBe('period_has_drafts');
  expect(await codeOf(send(one, 'closing', draft('1', { effectiveDate: '2026-01-11' }), chief))).toBe('period_closed');
  await done(one, 'closing', {
    ...transfer('cash', 'bank', '2', { effectiveDate: '2026-03-10' }),
    type: 'ReviseDraft',
    entryId: second.id,
  });
  await done(two, 'closing', close(2), chief);
  expect(await codeOf(send(two, 'closing', draft('1', { effectiveDate: '2026-02-11' })))).toBe('period_closed');
  const late = await done(two, 'closing', draft('1', { effectiveDate: '2026-02-11' }), chief);
  expect(await codeOf(send(one, 'closing', close(2, 'hard'), chief))).toBe('period_has_drafts');
  await done(one, 'closing', move('DiscardDraft', late.id));
  await done(one, 'closing', close(2, 'hard'), chief);
  expect(await verified(one, 'closing')).toEqual([]);
});

test('two processes that write drafts at once leave one list, and nobody closes over one of them', async () => {
  const ledgers = [start(), start()];
  await openBookWith((ledgers[0] as TestLedger).ledger, 'race', ['bank', 'cash']);
  const made = await Promise.all(
    Array.from({ length: 60 }, async (_, nth) => {
      const ledger = ledgers[nth % 2] as TestLedger;
      const { id } = await done(ledger, 'race', draft('1', { effectiveDate: `2026-0${1 + (nth % 5)}-10` }));
      if (nth % 3 > 0) await done(ledgers[(nth + 1) % 2] as TestLedger, 'race', move('SubmitDraft', id));
      const closes = nth % 10 === 0 ? [send(ledger, 'race', close(1), chief)] : [];
      if (nth % 3 === 1) await done(ledger, 'race', move('ApproveDraft', id), { by: 'bob' });
      if (nth % 3 === 2) await done(ledger, 'race', move('DiscardDraft', id));
      await Promise.all(closes);
      return id;
    }).map((work) => work.catch((error: Error) => (error.message.includes('period_closed') ? undefined : Promise.reject(error)))),
  );
  expect(made.filter(Boolean).length).toBeGreaterThan(20);
  const { rows } = await admin.query<{ open: string[][] }>(
    "SELECT state -> 'open' AS open FROM log.heads WHERE book_id = 'race' AND stream_id = $1",
    [draftsStreamId('race', '2026')],
  );
  expect(new Set(rows[0]?.open.map(([id]) => id))).toEqual(new Set(made.filter((id, nth) => id !== undefined && nth % 3 === 0)));
  expect(await verified(ledgers[0] as TestLedger, 'race')).toEqual([]);
});

test('submitting what is being rewritten sees the new lines, also in one batch', async () => {
  const ledger = start();
  await openBookWith(ledger.ledger, 'batch', ['bank', 'cash', 'till', 'safe']);
  const { id } = await done(ledger, 'batch', draft('1'));
  const other = start(); // knows none of the accounts
  const [revised, submitted, approved] = await Promise.all([
    send(other, 'batch', { ...transfer('till', 'safe', '3'), type: 'ReviseDraft', entryId: id }),
    send(other, 'batch', move('SubmitDraft', id)),
    send(other, 'batch', move('ApproveDraft', id), { by: 'bob' }),
  ]);
  expect([revised.status, submitted.status, approved.status]).toEqual([200, 200, 201]);
  expect(await verified(ledger, 'batch')).toEqual([]);
});

test('a lost head is folded again, in a close, in a list and by whoever writes next', async () => {
  const ledger = start();
  await openBookWith(ledger.ledger, 'lost', ['bank', 'cash']);
  const { id } = await done(ledger, 'lost', draft('1'));
  const moved = await done(ledger, 'lost', draft('2', { effectiveDate: '2027-01-05' }));
  await done(ledger, 'lost', { ...transfer('cash', 'bank', '2'), type: 'ReviseDraft', entryId: moved.id });
  const kept = await admin.query("SELECT stream_id, version, state FROM log.heads WHERE book_id = 'lost' ORDER BY stream_id");
  const inspector = new Inspector(ledger.store, ledger.pool);
  const told = await inspector.state('lost', 'drafts:2026');
  expect(told).toMatchObject({ version: 3, versions: 3, head: { kind: 'agrees' }, event: { event: { eventType: 'JournalRevised' } } });
  expect((await inspector.state('lost', 'drafts:2026', 1)).state).toEqual({ fiscalYear: '2026', drafts: [] });
  await admin.query("DELETE FROM log.heads WHERE book_id = 'lost'");
  const after = start();
  const queries = new Queries(after.store, after.pool, { readWaitMs: 0 });
  expect((await queries.drafts('lost')).drafts.map((one) => one.id)).toEqual([id, moved.id]);
  expect(await inspector.state('lost', 'drafts:2026')).toMatchObject({ state: told.state, head: { kind: 'missing' } });
  expect(await codeOf(send(after, 'lost', close(3), chief))).toBe('period_has_drafts');
  await done(after, 'lost', transfer('cash', 'bank', '1'));
  await done(after, 'lost', move('SubmitDraft', id));
  const made = await headOf('lost', '2026');
  expect(made).toMatchObject({ version: 4, version_before: -3 });
  const before = kept.rows.find(({ stream_id }) => stream_id === draftsStreamId('lost', '2026'));
  expect(made.state.open.map(([one]: [string]) => one)).toEqual(before.state.open.map(([one]: [string]) => one));
  expect((await verified(after, 'lost')).filter((message) => message.includes('drafts'))).toEqual([
    expect.stringContaining('drafts of 2027): is missing'),
  ]);
});

test('a book whose years are older than drafts are has no heads for them, and needs none', async () => {
  const ledger = start();
  await openBookWith(ledger.ledger, 'older', ['bank', 'cash']);
  await ledger.close();
  started.pop();
  await admin.query('DELETE FROM log.heads WHERE book_id = $1 AND stream_id = $2', ['older', draftsStreamId('older', '2026')]);
  const upgraded = start();
  expect(await verified(upgraded, 'older')).toEqual([]);
  await done(upgraded, 'older', close(1), chief);
  expect(await headOf('older', '2026')).toBeUndefined();
  const { id } = await done(upgraded, 'older', draft('1'));
  expect(await headOf('older', '2026')).toMatchObject({
    version: 2,
    version_before: -1,
    state: { open: [[id, 3, '2026-03-01', 'draft', 2]] },
  });
  expect(await verified(upgraded, 'older')).toEqual([]);
});

test('the answer is lost on the way: a repeat gets it, and the draft is posted once', async () => {
  const proxy = await tcpProxy(database.appUrl);
  closing.push(() => proxy.close());
  const ledger = start(proxy.url);
  await openBookWith(ledger.ledger, 'cut', ['bank', 'cash']);
  const steps: [Command, Sending][] = [];
  const { id } = await done(ledger, 'cut', draft('1'), { key: 'create' });
  steps.push([move('SubmitDraft', id), { key: 'submit' }], [move('ApproveDraft', id), { key: 'approve', by: 'bob' }]);
  for (const [command, sending] of steps) {
    const sent = send(ledger, 'cut', command, sending);
    await new Promise((resolve) => setImmediate(resolve));
    proxy.cut();
    const first = await sent;
    expect(first.status).toBeLessThan(300);
    for (const process of [ledger, start()]) {
      const again = await send(process, 'cut', command, sending);
      expect(again).toMatchObject({ status: first.status, body: first.body, replayed: true });
    }
  }
  expect(await typesOf('cut', id)).toEqual(['JournalCreated', 'JournalSubmitted', 'JournalApproved', 'JournalEntryPosted']);
  await expect(send(ledger, 'cut', move('DiscardDraft', id), { key: 'submit' })).rejects.toMatchObject({ code: 'idempotency_key_reused' });
  await expect(send(ledger, 'cut', draft('2'), { key: 'create' })).rejects.toMatchObject({
    details: { members: ['lines.0', 'lines.1'] },
  });
  expect(await verified(start(), 'cut')).toEqual([]);
});

test('a draft that was revised a hundred times is read from a snapshot, which verify knows', async () => {
  const ledger = start();
  await openBookWith(ledger.ledger, 'long', ['bank', 'cash']);
  const { id } = await done(ledger, 'long', draft('1'));
  for (let nth = 1; nth <= 104; nth++)
    await done(ledger, 'long', { ...transfer('cash', 'bank', `${nth}`), type: 'ReviseDraft', entryId: id });
  const kept = await admin.query("SELECT version, state FROM log.heads WHERE book_id = 'long' AND stream_id = $1", [id]);
  expect(kept.rows[0]).toMatchObject({ version: 100, state: { version: 100, draft: { status: 'draft' } } });
  const read = await start().store.load('long', id, journalReducer);
  expect(read?.state).toMatchObject({ version: 105, draft: { content: { lines: [{ amount: '104' }, {}] } } });
  await done(ledger, 'long', move('SubmitDraft', id));
  await done(ledger, 'long', move('ApproveDraft', id), { by: 'bob' });
  expect(await verified(ledger, 'long')).toEqual([]);
  await admin.query(
    "UPDATE log.heads SET state = jsonb_set(state::jsonb, '{draft,createdBy}', '\"eve\"')::json WHERE book_id = 'long' AND stream_id = $1",
    [id],
  );
  expect(await verified(ledger, 'long')).toEqual([expect.stringContaining('(a draft): state is')]);
});

test('the plain form of the write path does the same', async () => {
  const ledger = start();
  const reference = await ReferenceLedger.open(database.adminUrl);
  try {
    for (const [book, execute] of [
      ['as-queue', (command: Command, sending: Sending) => send(ledger, 'as-queue', command, sending)],
      [
        'as-plain',
        (command: Command, { by = 'ann', controller }: Sending) =>
          reference.execute('as-plain', command, contextOf(`draft-${++keys}`, { userId: by, isController: controller })),
      ],
    ] as const) {
      await openBookWith({ execute: (_: string, command: Command) => execute(command, {}) } as never, book, ['bank', 'cash']);
      const ids: string[] = [];
      const statuses: number[] = [];
      const step = async (command: Command, sending: Sending = {}): Promise<void> => {
        const { status, body } = await execute(command, sending);
        statuses.push(status);
        if (command.type === 'CreateDraft' && status === 201) ids.push(JSON.parse(body).id);
      };
      await step(draft('1'));
      await step(draft('2', { effectiveDate: '2027-01-01' }));
      await step({ ...transfer('cash', 'nobody', '3'), type: 'ReviseDraft', entryId: ids[1] as string });
      for (const id of ids) await step(move('SubmitDraft', id));
      await step(close(3), chief);
      await step(move('ApproveDraft', ids[0] as string));
      await step(move('ApproveDraft', ids[0] as string), { by: 'bob' });
      await step(close(3), chief);
      await step(move('DiscardDraft', ids[1] as string));
      await step(close(3), chief);
      expect(statuses).toEqual([201, 201, 200, 200, 422, 422, 422, 201, 422, 200, 200]);
    }
    const typesIn = async (book: string) => (await checkBook(admin, book)).events.map(({ eventType, version }) => [eventType, version]);
    expect(await typesIn('as-queue')).toEqual(await typesIn('as-plain'));
  } finally {
    await reference.close();
  }
});

describe('verify', () => {
  let ledger: TestLedger;
  let id: string;
  let waiting: string;

  beforeAll(async () => {
    ledger = startLedger(database.appUrl);
    await openBookWith(ledger.ledger, 'doubt', ['bank', 'cash']);
    ({ id } = await done(ledger, 'doubt', draft('10', { reference: 'R-1' })));
    await done(ledger, 'doubt', move('SubmitDraft', id));
    await done(ledger, 'doubt', move('ApproveDraft', id), { by: 'bob' });
    ({ id: waiting } = await done(ledger, 'doubt', draft('5', { effectiveDate: '2026-02-01' })));
    await done(ledger, 'doubt', close(1), chief);
  });
  afterAll(() => ledger.close());

  /** With triggers off, and everything as it was afterwards. */
  async function tampered(statement: string, values: unknown[]): Promise<string[]> {
    await admin.query('BEGIN');
    await admin.query("SET LOCAL session_replication_role = 'replica'");
    await admin.query('CREATE TEMP TABLE kept_events ON COMMIT PRESERVE ROWS AS SELECT * FROM log.events');
    await admin.query('CREATE TEMP TABLE kept_heads AS SELECT * FROM log.heads');
    await admin.query(statement, values);
    await admin.query('COMMIT');
    try {
      return await verified(ledger, 'doubt');
    } finally {
      await admin.query('BEGIN');
      await admin.query("SET LOCAL session_replication_role = 'replica'");
      for (const table of ['events', 'heads']) {
        await admin.query(`DELETE FROM log.${table}`);
        await admin.query(`INSERT INTO log.${table} SELECT * FROM kept_${table}`);
        await admin.query(`DROP TABLE kept_${table}`);
      }
      await admin.query('COMMIT');
    }
  }
  const change = (path: string, value: string, type: string, stream = () => id): [string, string, () => unknown[]] => [
    `${type} ${path}`,
    `UPDATE log.events SET data = jsonb_set(data, '${path}', $2::jsonb) WHERE event_type = '${type}' AND stream_id = $1`,
    () => [stream(), value],
  ];

  it.each<[string, string, () => unknown[], RegExp]>([
    [...change('{description}', '"Other"', 'JournalCreated'), /its description is "transfer", its draft says "Other"/],
    [...change('{lines,0,amount}', '"11"', 'JournalCreated'), /its line 1 is .* its draft says/],
    [...change('{lines,0,account}', '"bank"', 'JournalCreated'), /its line 1 is .* its draft says/],
    [...change('{effectiveDate}', '"2026-03-02"', 'JournalCreated'), /its effectiveDate is "2026-03-01", its draft says "2026-03-02"/],
    [...change('{period}', '4', 'JournalCreated'), /says period 2026\/4, its effective date 2026-03-01 lies in 2026\/3/],
    [...change('{createdBy}', '"eve"', 'JournalCreated'), /its createdBy is "eve", its metadata says "ann"/],
    [...change('{approvedBy}', '"ann"', 'JournalApproved'), /is by ann, who submitted it/],
    [...change('{submittedBy}', '"bob"', 'JournalSubmitted'), /is by bob, who submitted it/],
    [...change('{period}', '1', 'JournalCreated', () => waiting), /closes 2026\/1 over draft/],
    [
      'a member more',
      "UPDATE log.events SET data = data || '{\"x\": 1}' WHERE event_type = 'JournalSubmitted' AND stream_id = $1",
      () => [id],
      /members that JournalSubmitted has not: x/,
    ],
    [
      'a type',
      "UPDATE log.events SET event_type = 'JournalDiscarded' WHERE event_type = 'JournalSubmitted' AND stream_id = $1",
      () => [id],
      /happens to a draft that is/,
    ],
    [
      'an approval that is gone',
      "UPDATE log.events SET event_type = 'JournalSubmitted' WHERE event_type = 'JournalApproved' AND stream_id = $1",
      () => [id],
      /posts a draft that is submitted/,
    ],
    [
      'a head',
      "UPDATE log.heads SET state = replace(state::text, '2026-02-01', '2026-02-02')::json WHERE stream_id = $1",
      () => [draftsStreamId('doubt', '2026')],
      /\(the drafts of 2026\): state is/,
    ],
    [
      'a head without its draft',
      'UPDATE log.heads SET state = \'{"fiscalYear":"2026","open":[]}\' WHERE stream_id = $1',
      () => [draftsStreamId('doubt', '2026')],
      /\(the drafts of 2026\): state is/,
    ],
    [
      'a head that is gone',
      'DELETE FROM log.heads WHERE stream_id = $1',
      () => [draftsStreamId('doubt', '2026')],
      /\(the drafts of 2026\): is missing/,
    ],
  ])('finds a change of %s', async (_, statement, values, message) => {
    expect((await tampered(statement, values())).join('\n')).toMatch(message);
  });

  it('finds nothing when nothing is changed', async () => {
    expect(await verified(ledger, 'doubt')).toEqual([]);
  });
});
