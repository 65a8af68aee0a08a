/**
 * Fiscal years given by hand for days that a generated calendar has: what the log, heads, memory and reports make of it, while
 * others post into those days, after a restart, and for somebody who asks what was known before.
 */
import type { Client } from 'pg';
import type { Command, Service } from '#ledger';
import { checkBook, contextOf, openBookWith, run, startLedger, transfer } from '../support/ledgers';
import { controllerContext } from '../support/periods';
import { type ServiceOnDatabase, serviceOnDatabase } from '../support/services';

let its: ServiceOnDatabase;
let admin: Client;
let service: Service;

beforeAll(async () => {
  its = await serviceOnDatabase();
  ({ admin, service } = its);
});
afterAll(() => its?.end());

const year = (label: string, from: string, to: string): Command => ({ type: 'DefineFiscalYear', label, from, to });
const weeks53 = year('FY26', '2025-12-29', '2027-01-03');
const on = (effectiveDate: string) => transfer('cash', 'bank', '1', { effectiveDate });
const draftOn = (effectiveDate: string): Command => ({ ...on(effectiveDate), type: 'CreateDraft' });
/** Carried out by the service. */
const done = async (bookId: string, command: Command, key: string): Promise<{ readonly [member: string]: unknown }> => {
  const { status, body } = await service.execute(bookId, command, controllerContext(key));
  if (status >= 300) throw new Error(body);
  return JSON.parse(body);
};
const found = async (bookId: string): Promise<string[]> => {
  await checkBook(admin, bookId);
  const { position } = await service.queries.book(bookId);
  await service.projector.caughtUp(bookId, position, 30_000);
  const { books } = await service.verify({ books: [bookId] });
  return books.flatMap(({ findings }) => findings.map(({ message }) => message));
};
const labelsOf = async (bookId: string) => (await service.queries.book(bookId)).fiscalYears.map(({ label }) => label);

it('take the place of the one that a book was opened with, say so, and answer a repeat in the same words', async () => {
  await openBookWith(service.ledger, 'weeks', ['cash', 'bank']);
  const first = await service.execute('weeks', weeks53, contextOf('define'));
  expect(JSON.parse(first.body)).toMatchObject({ label: 'FY26', from: '2025-12-29', to: '2027-01-03', replaces: ['2026'] });
  const again = await service.execute('weeks', weeks53, contextOf('define'));
  expect([again.body, again.replayed]).toEqual([first.body, true]);
  await done('weeks', on('2027-01-02'), 'in its last week');
  expect(await labelsOf('weeks')).toEqual(['FY26']);
  expect(await found('weeks')).toEqual([]);
});

it('leave what was known before as it was: a report of then knows the calendar of then', async () => {
  const bookId = 'known';
  await openBookWith(service.ledger, bookId, ['cash', 'bank']);
  const before = (await service.queries.book(bookId)).position;
  const ask = async (knownAt?: number, period = '2026') =>
    String((await service.reports.answer('trial-balance', bookId, { period, knownAt }, 'json')).body);
  await done(bookId, weeks53, 'define');
  await done(bookId, on('2027-01-02'), 'post');
  await expect(ask()).rejects.toMatchObject({ code: 'malformed' });
  expect(await ask(before)).toContain('2026-12-31');
  expect(await ask(undefined, 'FY26')).toContain('2027-01-03');
});

it('may have a label that was replaced, after a restart too: counters and drafts go on in the heads that are there', async () => {
  const bookId = 'labels';
  await openBookWith(service.ledger, bookId, ['cash', 'bank']);
  // A draft that came and went has left its trace in the head of its year.
  const { id } = await done(bookId, draftOn('2026-02-02'), 'draft');
  await done(bookId, { type: 'DiscardDraft', entryId: String(id) }, 'discard');
  await done(bookId, year('2027', '2026-06-29', '2027-06-27'), 'later');
  expect(await found(bookId)).toEqual([]);
  const restarted = startLedger(its.database.appUrl);
  try {
    const earlier = await run(restarted.ledger, bookId, year('2026', '2025-06-30', '2026-06-28'));
    expect(earlier.status).toBe(201);
    expect((await run(restarted.ledger, bookId, draftOn('2026-02-02'))).status).toBe(201);
    expect((await run(restarted.ledger, bookId, on('2026-02-02'))).status).toBe(201);
  } finally {
    await restarted.close();
  }
  await done(bookId, on('2026-02-03'), 'after another process');
  expect(await labelsOf(bookId)).toEqual(['2026', '2027']);
  expect(await found(bookId)).toEqual([]);
});

it('may have the label of the year that they replace: its heads stay as they are until something comes into it', async () => {
  const bookId = 'same-label';
  await openBookWith(service.ledger, bookId, ['cash', 'bank']);
  await done(bookId, year('2026', '2025-12-29', '2027-01-03'), 'define');
  expect(await found(bookId)).toEqual([]);
  await done(bookId, on('2027-01-02'), 'post');
  expect(await found(bookId)).toEqual([]);
});

it('are refused or are first, while two processes post into those days', async () => {
  const other = startLedger(its.database.appUrl);
  try {
    const outcomes: number[] = [];
    for (let round = 0; round < 8; round++) {
      const bookId = `race-${round}`;
      await openBookWith(service.ledger, bookId, ['cash', 'bank']);
      const posts = Array.from({ length: 20 }, (_, n) => () => run(n % 2 === 0 ? service.ledger : other.ledger, bookId, on('2027-01-02')));
      const define = () => run(round % 4 < 2 ? service.ledger : other.ledger, bookId, weeks53);
      // Twice nothing is raced, so that either outcome is seen; else it is sent before the others, or in the middle of them.
      const early = round === 0 ? await define() : undefined;
      const posted = round === 1 ? [await (posts.shift() as () => ReturnType<typeof run>)()] : [];
      const defining = round % 2 === 0 ? 0 : 10;
      const race = [...posts.slice(0, defining), ...(early === undefined ? [define] : []), ...posts.slice(defining)];
      const answers = await Promise.all(race.map((send) => send()));
      const defined = early ?? answers.splice(defining, 1)[0];
      outcomes.push(defined?.status ?? 0);
      expect([...posted, ...answers].map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 201));
      // Entries dated in a year that exists: the one that was posted into first, or the one that took its place before.
      expect(await labelsOf(bookId)).toEqual(defined?.status === 201 ? ['FY26'] : ['2026', '2027']);
      expect(await found(bookId)).toEqual([]);
    }
    expect(outcomes.slice(0, 2)).toEqual([201, 422]);
    expect(outcomes.filter((status) => status !== 201 && status !== 422)).toEqual([]);
  } finally {
    await other.close();
  }
});

it('are found where the log claims one that could not be: an entry or a draft was in what it replaces', async () => {
  const bookId = 'false';
  await openBookWith(service.ledger, bookId, ['cash', 'bank']);
  await done(bookId, on('2027-02-01'), 'post');
  await done(bookId, draftOn('2026-02-02'), 'draft');
  const claim = async (data: object): Promise<string> => {
    await admin.query('BEGIN');
    await admin.query("SET LOCAL session_replication_role = 'replica'");
    await admin.query(
      `UPDATE log.events SET event_type = 'FiscalYearDefined', data = $2 WHERE book_id = $1 AND event_type IN ('JournalDefined', 'FiscalYearDefined')
          AND position = (SELECT max(position) FROM log.events WHERE book_id = $1 AND stream_id = (SELECT stream_id FROM log.events WHERE book_id = $1 AND position = 1))`,
      [bookId, JSON.stringify(data)],
    );
    await admin.query('COMMIT');
    return (await service.verify({ books: [bookId] })).books.flatMap(({ findings }) => findings.map(({ message }) => message)).join('\n');
  };
  await done(bookId, { type: 'DefineJournal', journalCode: 'CASH', name: 'Cash' }, 'last');
  const periods = [{ no: 1, from: '2025-12-29', to: '2027-01-03', kind: 'normal' }];
  const both = { label: 'FY26', from: '2025-12-29', to: '2027-01-03', periods, given: true, replaces: ['2026', '2027'] };
  const told = await claim(both);
  expect(told).toContain('fiscal year FY26 replaces 2027, into which entries are posted');
  expect(told).toContain('fiscal year FY26 replaces 2026, in which draft ');
  expect(await claim({ ...both, replaces: undefined })).toContain('replaces [], its days make it ["2026","2027"]');
  expect(await claim({ ...both, replaces: ['2026'] })).toContain('replaces ["2026"], its days make it ["2026","2027"]');
  expect(await claim({ ...both, given: undefined })).toContain('does not adjoin the calendar 2026-01-01 … 2027-12-31');
});
