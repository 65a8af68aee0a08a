/**
 * Looking at the log: every filter against a naive one over all events, the order and the completeness of what is shown, also
 * while it grows and the database restarts, and the command as people and pipes use it.
 */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JournalEntryPosted } from '#domain';
import {
  type Command,
  type EventAnswer,
  type EventFilter,
  type ImportOptions,
  type InspectedEvent,
  Inspector,
  importFile,
  importFormats,
  type Service,
} from '#ledger';
import { startCommand, startScript } from '../support/cli';
import { durableServer, type TestDatabase, testDatabase } from '../support/database';
import { transfer } from '../support/ledgers';
import { randomFrom } from '../support/postings';
import { openTestService, type TestService } from '../support/services';

jest.setTimeout(120_000);

let database: TestDatabase;
let opened: TestService;
let service: Service;
/** The log of `shop`, as the database returns it. */
let log: EventAnswer[];
const users = { anna: '', bob: '' };

let keys = 0;
async function execute(
  by: Service,
  book: string,
  command: Command,
  userId = 'nobody',
  more: object = {},
): Promise<{ id: string; position: number }> {
  const { status, body } = await by.ledger.execute(book, command, { key: `events-${++keys}`, userId, source: 'REST', ...more });
  if (status >= 400) throw new Error(body);
  return JSON.parse(body) as { id: string; position: number };
}

async function wholeLog(book: string): Promise<EventAnswer[]> {
  const all: EventAnswer[] = [];
  for (;;) {
    const { events } = await service.queries.events(book, { after: all.length, limit: 1_000 });
    if (events.length === 0) return all;
    all.push(...events);
  }
}

async function inspected(book: string, filter: EventFilter = {}): Promise<InspectedEvent[]> {
  const found: InspectedEvent[] = [];
  for await (const some of service.inspector.events(book, filter)) found.push(...some);
  return found;
}

const positions = (events: readonly InspectedEvent[]): number[] => events.map(({ event }) => event.position);

beforeAll(async () => {
  database = await testDatabase();
  opened = await openTestService(database.appUrl);
  service = opened.service;
  users.anna = (await service.keys.create('anna')).id;
  users.bob = (await service.keys.create('bob')).id;
  await execute(
    service,
    'shop',
    { type: 'OpenBook', id: 'shop', name: 'Shop', baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2026-01-01' },
    users.anna,
  );
  for (const code of ['Assets:Cash', 'Assets:Bank', 'Assets:Till']) {
    await execute(service, 'shop', { type: 'OpenAccount', code, name: code, accountType: 'asset' }, users.anna);
  }
  const random = randomFrom(20_261_122);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const codes = ['Assets:Cash', 'Assets:Bank', 'Assets:Till'];
  let last = '';
  for (let n = 0; n < 120; n++) {
    const debit = pick(codes);
    const credit = pick(codes.filter((code) => code !== debit));
    const effectiveDate = `2026-0${1 + Math.floor(random() * 6)}-1${Math.floor(random() * 10)}`;
    const user = pick([users.anna, users.bob]);
    if (n % 20 === 19) await execute(service, 'shop', { type: 'ReverseEntry', entryId: last, reason: 'a slip' }, user);
    else
      ({ id: last } = await execute(
        service,
        'shop',
        transfer(debit, credit, `${n + 1}.00`, { effectiveDate, description: `Sale ${n}` }),
        user,
      ));
  }
  await execute(service, 'shop', { type: 'ChangeAccountCode', account: 'Assets:Till', code: 'Assets:Register' }, users.bob);
  log = await wholeLog('shop');
});

afterAll(async () => {
  await opened?.close();
  await database?.drop();
});

// --- Filters ---

/** What a filter means, said over again without looking at how it is done. */
function naive(
  all: readonly EventAnswer[],
  { types, account, userId, from, to, recordedFrom, recordedTo, after = 0, last, limit }: EventFilter,
  accounts = all,
): number[] {
  const ids = new Map(
    accounts
      .filter(({ eventType }) => eventType.startsWith('Account') && /Opened|CodeChanged/.test(eventType))
      .map(({ data, aggregateId }) => [String(data.code), aggregateId]),
  );
  const entryOf = (event: EventAnswer): EventAnswer | undefined =>
    all.find(({ position }) => position === (event.data.entryPosition as number | undefined));
  const accountId = account === undefined ? undefined : ids.get(account);
  const found = all.filter((event) => {
    const { eventType, aggregateId, data, position, recordedAt } = event;
    const date = data.effectiveDate as string | undefined;
    const lines = (data as unknown as Partial<JournalEntryPosted>).lines ?? [];
    return (
      position > after &&
      (types === undefined || types.includes(eventType)) &&
      (accountId === undefined || aggregateId === accountId || lines.some((line) => line.accountId === accountId)) &&
      (userId === undefined || (event.userId ?? entryOf(event)?.userId) === userId) &&
      (from === undefined || (date !== undefined && date >= from)) &&
      (to === undefined || (date !== undefined && date <= to)) &&
      (recordedFrom === undefined || recordedAt >= recordedFrom) &&
      (recordedTo === undefined || recordedAt <= recordedTo)
    );
  });
  const newest = last === undefined ? found : found.slice(Math.max(0, found.length - last));
  return newest.slice(0, limit).map(({ position }) => position);
}

describe('the events of a book', () => {
  it('are the whole log in its order, each as the REST API shows it', async () => {
    const all = await inspected('shop');
    expect(all.map(({ event }) => event)).toEqual(log);
    expect(positions(all)).toEqual(log.map((_, index) => index + 1));
  });

  it('are told with the code of their account and the number and author of their entry', async () => {
    const all = await inspected('shop');
    const posted = all.find(({ event }) => event.eventType === 'JournalEntryPosted');
    const leg = all.find(({ event }) => event.data.entryPosition === posted?.event.position);
    expect(posted?.entry).toEqual({ number: 'GENERAL/2026/1', userId: posted?.event.userId, source: 'REST' });
    expect(leg).toMatchObject({ account: expect.stringMatching(/^Assets:/), entry: posted?.entry });
    const reversed = all.find(({ event }) => event.eventType === 'JournalEntryReversed');
    expect(reversed?.entry?.number).toMatch(/^GENERAL\/2026\/\d+$/);
    expect(new Set(all.filter(({ account }) => account !== undefined).map(({ account }) => account))).toEqual(
      new Set(['Assets:Cash', 'Assets:Bank', 'Assets:Register']),
    );
  });

  it('are those that a naive filter finds, whatever is asked for together', async () => {
    const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
    const random = randomFrom(seed);
    const maybe = <T>(share: number, values: readonly T[]): T | undefined =>
      random() < share ? values[Math.floor(random() * values.length)] : undefined;
    const types = [...new Set(log.map(({ eventType }) => eventType))];
    const dates = ['2026-01-15', '2026-02-01', '2026-03-10', '2026-05-19', '2026-07-01'];
    const moments = log.map(({ recordedAt }) => recordedAt);
    for (let turn = 0; turn < 150; turn++) {
      const filter: EventFilter = {
        types: maybe(0.4, [['JournalEntryPosted'], ['AccountDebited', 'AccountCredited'], types, ['BookOpened', 'JournalEntryReversed']]),
        account: maybe(0.4, ['Assets:Cash', 'Assets:Bank', 'Assets:Register']),
        userId: maybe(0.3, [users.anna, users.bob, 'stranger']),
        from: maybe(0.3, dates),
        to: maybe(0.3, dates),
        recordedFrom: maybe(0.3, moments),
        recordedTo: maybe(0.3, moments),
        after: maybe(0.3, [0, 7, 100, log.length, log.length + 5]),
        limit: maybe(0.2, [1, 5, 1_000]),
        last: maybe(0.3, [0, 1, 10, 10_000]),
      };
      const found = positions(await inspected('shop', filter));
      expect({ seed, filter, found }).toEqual({ seed, filter, found: naive(log, filter) });
    }
  });

  it('of one stream are its versions in order, by whatever name', async () => {
    const entry = log.find(({ eventType, data }) => eventType === 'JournalEntryPosted' && data.number === 3);
    const cash = log.find(({ eventType, data }) => eventType === 'AccountOpened' && data.code === 'Assets:Cash')?.aggregateId;
    const till = log.find(({ data }) => data.code === 'Assets:Till')?.aggregateId;
    const of = (id: string | undefined): number[] => log.filter(({ aggregateId }) => aggregateId === id).map(({ position }) => position);
    for (const [name, id] of [
      ['book', log[0]?.aggregateId],
      ['account:Assets:Cash', cash],
      ['Assets:Cash', cash],
      // A code once given leads to its account for ever.
      ['account:Assets:Till', till],
      ['account:Assets:Register', till],
      ['journal:GENERAL/2026/3', entry?.aggregateId],
      ['GENERAL/2026/3', entry?.aggregateId],
      [`journal:${entry?.aggregateId}`, entry?.aggregateId],
      [`${entry?.aggregateId.toUpperCase()}`, entry?.aggregateId],
      [`${cash}`, cash],
    ] as const) {
      expect({ name, found: positions(await inspected('shop', { stream: name })) }).toEqual({ name, found: of(id) });
    }
    const both = await inspected('shop', { stream: 'account:Assets:Cash', from: '2026-03-01', last: 5 });
    expect(positions(both)).toEqual(
      naive(
        log.filter(({ aggregateId }) => aggregateId === cash),
        { from: '2026-03-01', last: 5 },
      ),
    );
    expect(positions(await inspected('shop', { stream: 'GENERAL/2026/3', account: 'Assets:Cash' }))).toEqual(
      naive(
        log.filter(({ aggregateId }) => aggregateId === entry?.aggregateId),
        { account: 'Assets:Cash' },
        log,
      ),
    );
  });

  it('are read in pages, also when few of many match', async () => {
    await importFile(service, {
      book: 'large',
      file: join(__dirname, '..', 'data', 'multicurrency', 'multicurrency.postings.csv'),
      format: importFormats['postings-csv'] as ImportOptions['format'],
      source: 'csv',
      create: { name: 'Large', baseCurrency: 'EUR', fiscalYearStart: '01-01' },
      zeroLines: 'refuse',
      onError: 'stop',
      dryRun: false,
      userId: users.bob,
    });
    const large = await wholeLog('large');
    expect(large.length).toBeGreaterThan(9_000);
    for (const filter of [
      {},
      { types: ['JournalEntryPosted'] },
      { account: 'Assets:Bank:Berlin' },
      { account: 'Assets:Bank:Berlin', types: ['JournalEntryPosted'], from: '2023-10-01', to: '2023-12-31' },
      { from: '2024-12-31' },
      { after: 5_000, limit: 1_500 },
      { last: 3_000 },
      { last: 1_200, account: 'Assets:Bank:Berlin' },
    ] satisfies EventFilter[]) {
      expect({ filter, found: positions(await inspected('large', filter)) }).toEqual({ filter, found: naive(large, filter) });
    }
  });

  it('of an account with several lines in an entry hold that entry once, wherever reading was divided', async () => {
    await execute(service, 'split', { type: 'OpenBook', id: 'split', name: 'Split', baseCurrency: 'EUR', fiscalYearStart: '01-01' });
    for (const code of ['a', 'b']) await execute(service, 'split', { type: 'OpenAccount', code, name: code, accountType: 'asset' });
    const line = (account: string, side: 'debit' | 'credit', amount: string) => ({ account, side, amount, currency: 'EUR' });
    const lines = [line('a', 'debit', '1'), line('b', 'credit', '3'), line('a', 'debit', '1'), line('a', 'debit', '1')];
    for (let n = 0; n < 100; n++) await execute(service, 'split', transfer('a', 'b', '1', { lines }));
    const all = await wholeLog('split');
    for (const last of [1, 2, 3, 4, 150, 151, 152, 250, 399, 1_000]) {
      const filter = { account: 'a', last };
      expect({ last, found: positions(await inspected('split', filter)) }).toEqual({ last, found: naive(all, filter) });
    }
    for (const last of [34, 35, 60, 67, 100]) {
      const filter = { account: 'a', types: ['JournalEntryPosted'], last };
      expect({ last, found: positions(await inspected('split', filter)) }).toEqual({ last, found: naive(all, filter) });
    }
    for (const after of [7, 8, 9, 10, 11, 12]) {
      const filter = { account: 'a', after, limit: 7 };
      expect({ after, found: positions(await inspected('split', filter)) }).toEqual({ after, found: naive(all, filter) });
    }
  });

  it('of a type that this release does not know are shown as they are stored', async () => {
    const { pool } = service.inspector as unknown as { pool: never };
    // A release that lacks one type, reading the log of one that has it.
    const { JournalEntryReversed: _newer, ...catalogue } = service.store.catalogue;
    const older = new Inspector(Object.assign(Object.create(service.store), { catalogue }), pool);
    const found: InspectedEvent[] = [];
    for await (const some of older.events('shop')) found.push(...some);
    expect(positions(found)).toEqual(log.map(({ position }) => position));
    const { event } = found.find(({ event: { eventType } }) => eventType === 'JournalEntryReversed') as InspectedEvent;
    expect(event).toEqual({ ...log[event.position - 1], aggregateType: 'unknown' });
  });

  it.each([
    ['nowhere', {}, 'book_unknown', /^there is no book nowhere$/],
    ['shop', { account: 'Assets:None' }, 'account_unknown', /^there is no account Assets:None in book shop$/],
    ['shop', { stream: 'GENERAL/2026/999' }, 'stream_unknown', /^there is no stream "GENERAL\/2026\/999": name it as book, account:CODE/],
    ['shop', { stream: 'journal:GENERAL/2026/999' }, 'stream_unknown', /^there is no entry GENERAL\/2026\/999 in book shop$/],
    ['shop', { stream: '01930000-0000-7000-8000-000000000001' }, 'stream_unknown', /^there is no stream 01930000/],
    ['shop', { stream: 'numbers:2026' }, 'stream_unknown', /^numbers:2026 has no events of its own/],
    ['shop', { types: ['Posted'] }, 'malformed', /^there is no event type Posted; there are BookOpened, /],
    ['shop', { from: '2026-02-30' }, 'date_invalid', /^from "2026-02-30" is not a date/],
    ['shop', { recordedTo: 'noon' }, 'date_invalid', /^recordedTo "noon" is neither a date YYYY-MM-DD nor an instant/],
    ['shop', { limit: 0 }, 'malformed', /^limit "0" is not a whole number from 1 on/],
  ] as const)('%s %j are refused: %s', async (book, filter, code, message) => {
    await expect(inspected(book, filter as EventFilter)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });
});

// --- Following ---

describe('following', () => {
  /** Collects what is shown until `stop`, or an event at `until`. */
  function follow(
    by: Service,
    book: string,
    filter: EventFilter,
  ): { found: InspectedEvent[]; waiting: string[]; reached(position: number): Promise<void>; stop(): Promise<void> } {
    const signal = new AbortController();
    const found: InspectedEvent[] = [];
    const waiting: string[] = [];
    let wake = (): void => {};
    const done = (async () => {
      for await (const some of by.inspector.events(book, filter, {
        follow: true,
        signal: signal.signal,
        waiting: (reason) => waiting.push(reason),
      })) {
        found.push(...some);
        wake();
      }
    })();
    return {
      found,
      waiting,
      async reached(position) {
        while ((found.at(-1)?.event.position ?? 0) < position) {
          await Promise.race([
            done.then(() => Promise.reject(new Error(`ended at ${found.at(-1)?.event.position}, before ${position}`))),
            new Promise<void>((resolve) => {
              wake = resolve;
            }),
          ]);
        }
      },
      async stop() {
        signal.abort();
        await done;
      },
    };
  }

  it('shows every event once and in order while many writers append, and ends when it is told to', async () => {
    const before = (await service.store.head('shop')).position;
    const all = follow(service, 'shop', {});
    const cash = follow(service, 'shop', { account: 'Assets:Cash', after: before });
    const one = follow(service, 'shop', { stream: 'account:Assets:Cash', after: before });
    await all.reached(before);
    const writers = Array.from({ length: 8 }, async (_, writer) => {
      for (let n = 0; n < 40; n++) await execute(service, 'shop', transfer('Assets:Cash', 'Assets:Bank', `${writer + 1}`), users.anna);
    });
    await Promise.all(writers);
    const { position } = await service.store.head('shop');
    await all.reached(position);
    await cash.reached(position - 1);
    await one.reached(position - 1);
    await Promise.all([all.stop(), cash.stop(), one.stop()]);
    expect(positions(all.found)).toEqual(Array.from({ length: position }, (_, index) => index + 1));
    const now = await wholeLog('shop');
    expect(positions(cash.found)).toEqual(naive(now, { account: 'Assets:Cash', after: before }));
    expect(positions(one.found)).toEqual(naive(now, { account: 'Assets:Cash', after: before, types: ['AccountDebited'] }));
    expect(all.waiting).toEqual([]);
  });

  it('ends by itself at a limit, and at a moment that has passed', async () => {
    const limited = follow(service, 'shop', { limit: 3 });
    await limited.reached(3);
    await sleep(0);
    const past = follow(service, 'shop', { recordedTo: log[4]?.recordedAt, types: ['AccountOpened'] });
    // Neither is stopped: their loops are over.
    await expect(limited.reached(4)).rejects.toThrow(/ended at 3/);
    await expect(past.reached(log.length)).rejects.toThrow(/ended at/);
  });

  it('goes on after the database was restarted, with nothing skipped and nothing twice', async () => {
    const server = await durableServer();
    const other = await openTestService(server.appUrl, { COMMAND_DEADLINE_MS: '60000' });
    try {
      await execute(other.service, 'kept', {
        type: 'OpenBook',
        id: 'kept',
        name: 'Kept',
        baseCurrency: 'EUR',
        fiscalYearStart: '01-01',
        startsOn: '2026-01-01',
      });
      for (const code of ['a', 'b']) await execute(other.service, 'kept', { type: 'OpenAccount', code, name: code, accountType: 'asset' });
      const following = follow(other.service, 'kept', {});
      let stopped = false;
      const writing = (async () => {
        while (!stopped) await execute(other.service, 'kept', transfer('a', 'b', '1')).catch(() => {}); // while the server is away
      })();
      await following.reached(60);
      process.kill(server.server.pid, 'SIGINT'); // fast shutdown: sessions are ended
      while (existsSync(join(server.server.dataDirectory, 'postmaster.pid'))) await sleep(10);
      await server.restart();
      const after = (await until(() => other.service.store.head('kept'))).position;
      await following.reached(after + 60);
      stopped = true;
      await writing;
      const { position } = await other.service.store.head('kept');
      await following.reached(position);
      await following.stop();
      expect(positions(following.found)).toEqual(Array.from({ length: position }, (_, index) => index + 1));
    } finally {
      await other.close();
      await server.destroy();
    }
  });

  async function until<T>(ask: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await ask();
      } catch {
        await sleep(50);
      }
    }
  }
});

// --- The command ---

describe('book-keeper events', () => {
  const run = (...args: string[]) => startCommand(['events', ...args], opened.environment).ended;

  it('prints a line that an engineer reads at a glance', async () => {
    const entry = log.find(({ eventType }) => eventType === 'JournalEntryPosted') as EventAnswer;
    const lines = (entry.data as unknown as JournalEntryPosted).lines;
    const { code, stdout, stderr } = await run('shop', '--after', String(entry.position - 1), '--limit', '3');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const name = entry.userId === users.anna ? 'anna' : 'bob';
    const at = (offset: number): string => `${String(entry.position + offset).padStart(6)}  ${entry.recordedAt}`;
    const { effectiveDate, description } = entry.data as unknown as JournalEntryPosted;
    expect(stdout.split('\n')).toEqual([
      `${at(0)}  JournalEntryPosted  GENERAL/2026/1  ${effectiveDate}  ${description}  by ${name} (${entry.userId}) via REST`,
      expect.stringMatching(new RegExp(`^ {8}debit   ${lines[0]?.code} +1\\.00 EUR$`)),
      expect.stringMatching(new RegExp(`^ {8}credit  ${lines[1]?.code} +1\\.00 EUR$`)),
      expect.stringMatching(
        /^ +\d+ {2}\S+ {2}AccountDebited {6}Assets:\S+ {2}1\.00 EUR {2}GENERAL\/2026\/1 line 1 {2}2026-\S+ {2}totals: debit 1\.00, credit 0\.00$/,
      ),
      expect.stringMatching(/AccountCredited {5}Assets:\S+ {2}1\.00 EUR {2}GENERAL\/2026\/1 line 2/),
      '',
    ]);
    expect((await run('shop', '--type', 'BookOpened')).stdout).toMatch(/BookOpened {10}shop {2}.*name=Shop.* by anna \(/);
  });

  it('prints the very envelopes of the REST API, one a line', async () => {
    const { stdout } = await run(
      'shop',
      '--json',
      '--user',
      'bob',
      '--from',
      '2026-02-01',
      '--to',
      '2026-03-31',
      '--recorded-to',
      log.at(-1)?.recordedAt ?? '',
    );
    const found = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as EventAnswer);
    expect(found.length).toBeGreaterThan(0);
    expect(found).toEqual(naive(log, { userId: users.bob, from: '2026-02-01', to: '2026-03-31' }).map((position) => log[position - 1]));
  });

  it('shows text of the books without commands for the terminal', async () => {
    await execute(service, 'shop', transfer('Assets:Cash', 'Assets:Bank', '1', { description: 'red \u001b[31m\u202e\nnext' }), users.anna);
    const { stdout } = await run('shop', '-n', '3');
    expect(stdout).toContain('red \\u001b[31m\\u202e ⏎ next');
    expect(stdout).not.toContain('\u001b');
  });

  it('says that not everything was written when the disk is full', async () => {
    for (const verb of ['events large --json', 'events large', 'export large --format jsonl']) {
      const { code, stderr } = await startScript(`$BOOK_KEEPER ${verb} > /dev/full`, opened.environment).ended;
      expect({ verb, code, stderr }).toEqual({
        ...{ verb, code: 1 },
        stderr: expect.stringMatching(/book-keeper: what was written ends too early: ENOSPC[^\n]*\n$/),
      });
      expect(stderr).not.toContain('    at ');
    }
  });

  it('ends quietly when its reader has seen enough', async () => {
    const ended = await startScript('$BOOK_KEEPER events large --json | head -n 2', opened.environment).ended;
    expect({ code: ended.code, stderr: ended.stderr, lines: ended.stdout.trimEnd().split('\n').length }).toEqual({
      code: 0,
      stderr: '',
      lines: 2,
    });
  });

  it('follows until Ctrl-C', async () => {
    const following = startCommand(['events', 'shop', '--follow', '--last', '1', '--json'], opened.environment);
    await following.printed(/\n/);
    const { position } = await execute(service, 'shop', transfer('Assets:Cash', 'Assets:Bank', '77'), users.bob);
    await following.printed(new RegExp(`"position":${position + 2}\\b`));
    following.process.kill('SIGINT');
    const { code, stdout, stderr } = await following.ended;
    expect({ code, stderr }).toEqual({ code: 130, stderr: '' });
    const shown = stdout
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as EventAnswer).position);
    expect(shown).toEqual([position - 1, position, position + 1, position + 2]);
  });

  it('ends when the reader of what it follows has gone', async () => {
    const following = startCommand(['events', 'shop', '--follow', '--json'], opened.environment);
    await following.printed(/\n/);
    following.process.stdout.destroy();
    await execute(service, 'shop', transfer('Assets:Cash', 'Assets:Bank', '1'), users.bob);
    const [code] = (await once(following.process, 'exit')) as [number];
    expect(code).toBe(0);
  });

  it.each([
    [['nowhere'], 3, /^book_unknown: there is no book nowhere$/m],
    [['shop', '--stream', 'journal:x'], 3, /^stream_unknown: there is no entry x in book shop$/m],
    [['shop', '--limit', 'few'], 2, /'few' is invalid. It is a whole number/],
    [['shop', '--last', '9'.repeat(20)], 2, /is invalid. It is a whole number from 0 to 999999999999999\./],
    [['shop', '--from', 'today'], 2, /^date_invalid: from "today"/m],
    [['shop', '--from', '2026-03-01', '--to', '2026-02-01'], 2, /^error: --from 2026-03-01 lies after --to 2026-02-01/m],
  ])('%j ends with %i', async (args, code, says) => {
    const ended = await run(...args);
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code, stdout: '' });
    expect(ended.stderr).toMatch(says);
  });
});
