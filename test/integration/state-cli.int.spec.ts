/**
 * The state of an aggregate at any version: the same as the domain folds, told with what led to it and what it changed, and
 * held against the stored head, which is damaged here in every way that must be seen.
 */
import type { Client } from 'pg';
import { accountReducer, bookReducer, journalReducer } from '#domain';
import type { RecordedEvent } from '#event-store';
import { bookStreamId, type Command, membersOf, numbersStreamId, type Service, type StateAnswer } from '#ledger';
import { connect } from '#postgres';
import { paint } from '../../apps/cli/src/terminal';
import { startCommand } from '../support/cli';
import { type TestDatabase, testDatabase } from '../support/database';
import { transfer } from '../support/ledgers';
import { openTestService, type TestService } from '../support/services';

jest.setTimeout(120_000);

let database: TestDatabase;
let opened: TestService;
let service: Service;
let admin: Client;
let events: RecordedEvent[];
let entryId: string;

let keys = 0;
async function execute(command: Command, book = 'shop'): Promise<{ id: string }> {
  const { status, body } = await service.ledger.execute(book, command, { key: `state-${++keys}`, userId: 'u1', source: 'REST' });
  if (status >= 400) throw new Error(body);
  return JSON.parse(body) as { id: string };
}

const idOf = (code: string): string => events.find(({ data }) => data.code === code)?.streamId ?? '';

beforeAll(async () => {
  database = await testDatabase();
  opened = await openTestService(database.appUrl);
  service = opened.service;
  admin = await connect(database.adminUrl);
  await execute({ type: 'OpenBook', id: 'shop', name: 'Shop', baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2026-01-01' });
  for (const code of ['Cash', 'Bank']) await execute({ type: 'OpenAccount', code, name: code, accountType: 'asset' });
  await execute({ type: 'DefineJournal', journalCode: 'SALES', name: 'Sales', journalType: 'sales' });
  ({ id: entryId } = await execute(transfer('Cash', 'Bank', '100')));
  await execute(transfer('Cash', 'Bank', '20.50', { journalCode: 'SALES', description: 'second' }));
  await execute({ type: 'ReverseEntry', entryId, reason: 'a slip', effectiveDate: '2026-03-02' });
  await execute({ type: 'FreezeAccount', account: 'Cash' });
  await execute({ type: 'UnfreezeAccount', account: 'Cash' });
  await execute({ type: 'ChangeAccountCode', account: 'Cash', code: 'Till' });
  await execute(transfer('Till', 'Bank', '3', { effectiveDate: '2027-01-05', description: 'next year' }));
  events = await service.store.readAll('shop', 0, 1_000);
});

afterAll(async () => {
  await admin?.end();
  await opened?.close();
  await database?.drop();
});

const state = (stream: string, at?: number): Promise<StateAnswer> => service.inspector.state('shop', stream, at);

describe('a state', () => {
  it('is at every version of every stream what the domain folds, after the event of that version', async () => {
    const reducers = { Book: bookReducer, Account: accountReducer, Journal: journalReducer } as const;
    for (const id of new Set(events.map(({ streamId }) => streamId))) {
      const own = events.filter(({ streamId }) => streamId === id);
      const type = service.store.catalogue[own[0]?.eventType ?? '']?.aggregateType as keyof typeof reducers;
      let folded: unknown;
      let before: unknown;
      for (const event of own) {
        folded = reducers[type].evolve(folded as never, { type: event.eventType, data: event.current } as never, id);
        const answer = await state(id, event.version);
        expect(answer).toMatchObject({
          version: event.version,
          versions: own.length,
          event: { event: { eventId: event.eventId, position: event.position } },
        });
        expect(answer.stream).toMatchObject({ aggregateType: type, aggregateId: id });
        expect(answer.before).toEqual(before);
        expect(answer.head === undefined).toBe(event.version < own.length);
        // What the domain knows stands there, amounts as decimals.
        const {
          version: _version,
          id: _id,
          totals = [],
          ...rest
        } = folded as Record<string, unknown> & { totals?: { debit: bigint; scale: number }[] };
        expect(answer.state).toMatchObject(JSON.parse(JSON.stringify(rest)) as object);
        expect(((answer.state as { totals?: { debit: string }[] }).totals ?? []).map(({ debit }) => debit.replace('.', ''))).toEqual(
          totals.map(({ debit, scale }) => debit.toString().padStart(scale + 1, '0')),
        );
        before = answer.state;
      }
      const { head } = await state(id);
      expect(head).toEqual(type === 'Journal' ? { kind: 'missing' } : { kind: 'agrees', version: own.length });
    }
  });

  it('differs from the one before by its changes and by nothing else', async () => {
    for (const { streamId, version } of events) {
      const { before, state: after, changes } = await state(streamId, version);
      const members = new Map(membersOf(before));
      for (const { path, before: was, after: is } of changes) {
        expect(members.get(path)).toBe(was);
        if (is === undefined) members.delete(path);
        else members.set(path, is);
      }
      expect(new Map([...members].sort())).toEqual(new Map(membersOf(after).sort()));
    }
  });

  it('of an account, an entry, the book and the numbers is found by what people call them', async () => {
    expect((await state('account:Cash', 2)).changes).toEqual([
      { path: 'totals[EUR].debit', after: '100.00' },
      { path: 'totals[EUR].credit', after: '0.00' },
      { path: 'totals[EUR].balance', after: '100.00' },
    ]);
    expect((await state('Till', 3)).changes).toEqual([
      { path: 'totals[EUR].debit', before: '100.00', after: '120.50' },
      { path: 'totals[EUR].balance', before: '100.00', after: '120.50' },
    ]);
    const reversed = await state('GENERAL/2026/1');
    expect(reversed).toMatchObject({
      version: 2,
      event: { event: { eventType: 'JournalEntryReversed' }, entry: { number: 'GENERAL/2026/1' } },
    });
    expect(reversed.changes).toEqual([{ path: 'reversedBy', after: expect.any(String) }]);
    expect((await state(`journal:${entryId}`)).state).toEqual(reversed.state);
    expect((await state('book')).stream).toEqual({ aggregateType: 'Book', aggregateId: bookStreamId('shop'), name: 'shop' });
  });

  it('of the numbers of a year goes from entry to entry', async () => {
    const all = await Promise.all([1, 2, 3, 4].map((version) => state('numbers:2026', version)));
    const last = (numbers: Record<string, number>) => Object.entries(numbers).map(([journalCode, number]) => ({ journalCode, number }));
    const march = (entries: number, debit: string) => [{ period: 3, entries, totals: [{ currency: 'EUR', debit }] }];
    expect(all.map(({ state: is }) => is)).toEqual([
      { fiscalYear: '2026', last: [], periods: [] },
      { fiscalYear: '2026', last: last({ GENERAL: 1 }), periods: march(1, '100.00') },
      { fiscalYear: '2026', last: last({ GENERAL: 1, SALES: 1 }), periods: march(2, '120.50') },
      { fiscalYear: '2026', last: last({ GENERAL: 2, SALES: 1 }), periods: march(3, '220.50') },
    ]);
    expect(all.map(({ event: { event } }) => event.eventType)).toEqual([
      'FiscalYearDefined',
      'JournalEntryPosted',
      'JournalEntryPosted',
      'JournalEntryPosted',
    ]);
    expect(all[2]?.changes).toContainEqual({ path: 'last[SALES].number', after: '1' });
    expect(all[3]).toMatchObject({ versions: 4, head: { kind: 'agrees', version: 4 } });
    expect(await state(numbersStreamId('shop', '2027'))).toMatchObject({ version: 2, head: { kind: 'agrees' } });
  });

  it.each([
    ['account:Cash', 99, 'stream_unknown', /^Cash has versions 1 to 8; there is no version 99$/],
    ['numbers:2026', 9, 'stream_unknown', /^2026 has versions 1 to 4; there is no version 9$/],
    ['book', 0, 'malformed', /^version "0" is not a whole number from 1 on/],
    ['account:None', undefined, 'account_unknown', /^there is no account None in book shop$/],
    ['GENERAL/2026/99', undefined, 'stream_unknown', /^there is no stream "GENERAL\/2026\/99": name it as /],
    ['numbers:1999', undefined, 'stream_unknown', /^there is no fiscal year 1999.* there are 2026, 2027/],
  ])('of %s at %s is refused: %s', async (stream, at, code, message) => {
    await expect(state(stream, at)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });
});

// --- What is stored, damaged as a superuser could ---

describe('a stored head', () => {
  /** Carries out a statement as superuser, asks, and puts everything back. */
  async function damaged<T>(statement: string, values: unknown[], ask: () => Promise<T>): Promise<T> {
    await admin.query('CREATE TABLE kept_heads AS SELECT * FROM log.heads');
    await admin.query(statement, values);
    try {
      return await ask();
    } finally {
      await admin.query('DELETE FROM log.heads');
      await admin.query('INSERT INTO log.heads SELECT * FROM kept_heads');
      await admin.query('DROP TABLE kept_heads');
    }
  }
  const change = `UPDATE log.heads SET state = jsonb_set(state::jsonb, $2::text[], $3::jsonb)::json WHERE stream_id = $1`;

  it('that says another total than the events is told apart by that total', async () => {
    const { head } = await damaged(change, [idOf('Till'), '{totals,0,1}', '"999.00"'], () => state('account:Till'));
    expect(head).toEqual({ kind: 'differs', version: 8, changes: [{ path: 'totals[0][1]', before: '999.00', after: '123.50' }] });
    expect((await damaged(change, [idOf('Till'), '{totals,0,1}', '"999.00"'], () => state('account:Till', 7))).head).toBeUndefined();
  });

  it('of the book and of the numbers is compared too', async () => {
    const book = await damaged(change, [bookStreamId('shop'), '{closedPeriods}', '["2026/1"]'], () => state('book'));
    expect(book.head).toMatchObject({ kind: 'differs', changes: [{ path: 'closedPeriods[0]', before: '2026/1' }] });
    const numbers = await damaged(change, [numbersStreamId('shop', '2026'), '{last,0,1}', '7'], () => state('numbers:2026'));
    expect(numbers.head).toMatchObject({ kind: 'differs', changes: [{ before: '7', after: '2' }] });
  });

  it('that is missing, or of another reducer, is said to be', async () => {
    const missing = await damaged('DELETE FROM log.heads WHERE stream_id = $1', [idOf('Till')], () => state('account:Till'));
    expect(missing.head).toEqual({ kind: 'missing' });
    const other = await damaged('UPDATE log.heads SET reducer_version = 9 WHERE stream_id = $1', [idOf('Till')], () =>
      state('account:Till'),
    );
    expect(other.head).toEqual({ kind: 'older', version: 8, reducerVersion: 9 });
  });

  it('that stands still although it is stored with every append differs, for decisions would start from it', async () => {
    const behind = 'UPDATE log.heads SET version = version - 1 WHERE stream_id = $1';
    const account = await damaged(behind, [idOf('Till')], () => state('account:Till'));
    expect(account.head).toEqual({ kind: 'differs', version: 7, changes: [{ path: 'version', before: '7', after: '8' }] });
    const numbers = await damaged(behind, [numbersStreamId('shop', '2026')], () => state('numbers:2026'));
    expect(numbers.head).toMatchObject({ kind: 'differs', version: 3, changes: [{ path: 'version', before: '3', after: '4' }] });
  });

  it('does not hide an event that is gone', async () => {
    await admin.query("SET session_replication_role = 'replica'");
    await admin.query('BEGIN');
    const session = await connect(database.adminUrl);
    try {
      await admin.query('DELETE FROM log.events WHERE stream_id = $1 AND version = 3', [idOf('Till')]);
      await admin.query('COMMIT');
      await expect(state('account:Till')).rejects.toThrow('Till lacks version 3: versions of a stream have no gap (I5)');
      await expect(state('account:Till', 2)).resolves.toMatchObject({ version: 2 });
    } finally {
      await session.end();
    }
  });
});

// --- The command ---

describe('book-keeper state', () => {
  const run = (...args: string[]) => startCommand(['state', 'shop', ...args], opened.environment).ended;

  it('shows the event, the state and the difference, plain where it is piped', async () => {
    const { code, stdout, stderr } = await run('account:Bank', '--at', '3');
    const [second] = events.filter(({ streamId, version }) => streamId === idOf('Bank') && version === 3);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(
      [
        `Account Bank, version 3 of 5  ${idOf('Bank')}`,
        '',
        'The event between version 2 and 3:',
        `${String(second?.position).padStart(6)}  ${second?.recordedAt}  AccountCredited     Bank  20.50 EUR  SALES/2026/1 line 2  2026-03-01  totals: debit 0.00, credit 120.50`,
        '',
        'The state, and how it differs from version 2:',
        '  code                 Bank',
        '  type                 asset',
        '  normalSide           debit',
        '  postable             true',
        '  status               open',
        '  totals[EUR].debit    0.00',
        '- totals[EUR].credit   100.00',
        '+ totals[EUR].credit   120.50',
        '- totals[EUR].balance  -100.00',
        '+ totals[EUR].balance  -120.50',
        '',
      ].join('\n'),
    );
  });

  it('says that the stored head agrees, and as JSON gives everything', async () => {
    expect((await run('book')).stdout).toMatch(/\n\nThe stored head agrees with the events\.\n$/);
    const { stdout } = await run('Bank', '--json');
    const answer = await state('Bank');
    expect(JSON.parse(stdout)).toEqual(JSON.parse(JSON.stringify({ ...answer, event: answer.event.event })));
  });

  it('ends with 1 when the stored head differs, and shows how', async () => {
    await admin.query(`UPDATE log.heads SET state = jsonb_set(state::jsonb, '{totals,0,2}', '"1.00"')::json WHERE stream_id = $1`, [
      idOf('Bank'),
    ]);
    const { code, stdout } = await run('Bank');
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /The stored head differs from the events: - what is stored, \+ what the events say\.\n.*\n- totals\[0\]\[2\] +1\.00\n\+ totals\[0\]\[2\] +123\.50\n$/,
    );
  });

  it.each([
    [['book', '--at', '0'], 2, /^malformed: version "0" is not a whole number from 1 on; a stream begins with version 1$/m],
    [['book', '--at', 'x'], 2, /'x' is invalid. It is a whole number/],
    [['book', '--at', '77'], 3, /^stream_unknown: shop has versions 1 to \d; there is no version 77$/m],
    [['Nothing'], 3, /^stream_unknown: there is no stream "Nothing"/m],
  ])('%j ends with %i', async (args, code, says) => {
    const ended = await run(...args);
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code, stdout: '' });
    expect(ended.stderr).toMatch(says);
  });

  it('paints for terminals only, and not where NO_COLOR forbids it', () => {
    const was = { isTTY: process.stdout.isTTY, NO_COLOR: process.env.NO_COLOR };
    const on = (isTTY: boolean, noColor: string): string => {
      process.stdout.isTTY = isTTY;
      process.env.NO_COLOR = noColor;
      return paint('red', 'x');
    };
    try {
      expect([on(true, ''), on(true, '1'), on(false, '')]).toEqual(['\u001b[31mx\u001b[0m', 'x', 'x']);
    } finally {
      process.stdout.isTTY = was.isTTY;
      if (was.NO_COLOR === undefined) delete process.env.NO_COLOR;
      else process.env.NO_COLOR = was.NO_COLOR;
    }
  });
});
