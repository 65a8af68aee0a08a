/**
 * Heads and snapshots are a shortcut and nothing else: with them and without, an aggregate is the same at every version; one
 * that is missing, of another reducer, or of a later version than asked for is as if it were not there (DESIGN section 5, rule 6).
 */
import {
  type AccountEvent,
  accountEvents,
  accountReducer,
  type BookEvent,
  bookEvents,
  bookReducer,
  journalEvents,
  journalReducer,
  LedgerError,
} from '#domain';
import { type NewEvent, type Reducer, snapshotDue, uuidV5, uuidV7, VersionConflict } from '#event-store';
import { aBook, account, credit, type DomainCommand, debit, type GivenEvent, NaiveBook, post } from '../support/given-when-then';
import { newId, noted, requestOf, type TestLog, testLog } from '../support/test-log';

let log: TestLog;
beforeAll(async () => {
  log = await testLog({ ...bookEvents, ...accountEvents, ...journalEvents, Noted: { aggregateType: 'Note', version: 1 } });
});
afterAll(() => log.close());

/** The streams of the naive book have names; those of the log ids. */
const idOf = (name: string): string => uuidV5(name);
const reducers = { Book: bookReducer, Account: accountReducer, Journal: journalReducer } as unknown as Record<string, Reducer<unknown>>;
const aggregateOf = (type: string) => log.store.catalogue[type]?.aggregateType ?? '';
/** The same fold under another version: what a later release will have. */
const ofAnotherVersion = (reducer: Reducer<unknown>): Reducer<unknown> => ({
  ...reducer,
  version: reducer.version + 1,
  evolve: reducer.evolve,
  fromSnapshot: () => {
    throw new Error('a snapshot of another reducer version was read');
  },
});

/** A history with a bit of everything, seven events at most per command. */
function commands(): DomainCommand[] {
  const list: DomainCommand[] = [
    { type: 'DefineJournal', journalCode: 'SALES', name: 'Sales' },
    { type: 'EnableCurrency', code: 'BTC', scale: 8 },
  ];
  for (let round = 0; round < 12; round++) {
    list.push(
      post([debit('CASH', `${round + 1}`), debit('CASH', '0.5'), credit('BANK', `${round + 1}.50`)], {
        effectiveDate: `20${26 + (round % 3)}-03-01`,
      }),
      post([debit('BANK', '3', 'JPY'), credit('CASH', '3', 'JPY')], { journalCode: 'SALES' }),
      { type: 'ReverseEntry', entryId: `e${4 * round + 2}`, reason: 'x' },
      { type: 'RenameAccount', account: 'CASH', name: `Cash ${round}` },
    );
  }
  list.push(
    { type: 'ChangeAccountCode', account: 'CASH', code: 'TILL' },
    { type: 'FreezeAccount', account: 'TILL' },
    { type: 'UnfreezeAccount', account: 'TILL' },
    { type: 'DefineFiscalYear', label: 'F29', from: '2029-01-01', to: '2029-06-30' },
  );
  return list;
}

describe('the state of an aggregate', () => {
  const bookId = 'snapshots';
  const streams = new Map<string, { type: string; versions: number }>();

  it('is the same with heads and without, after every append and at every version', async () => {
    const heads = new Map<string, unknown>();
    const append = async (events: readonly GivenEvent[]) => {
      const touched = new Map<string, { before: number; type: string }>();
      const uncommitted = events.map(({ streamId, type, data }): NewEvent => {
        const known = streams.get(streamId)?.versions ?? 0;
        if (!touched.has(streamId)) touched.set(streamId, { before: known, type: aggregateOf(type) });
        streams.set(streamId, { type: aggregateOf(type), versions: known + 1 });
        heads.set(
          streamId,
          aggregateOf(type) === 'Account'
            ? accountReducer.evolve(heads.get(streamId) as never, { type, data } as AccountEvent, idOf(streamId))
            : aggregateOf(type) === 'Book'
              ? bookReducer.evolve(heads.get(streamId) as never, { type, data } as BookEvent)
              : undefined,
        );
        return { streamId: idOf(streamId), version: known + 1, eventType: type, eventId: uuidV7(), data, metadata: '{}' };
      });
      await log.appended(bookId, {
        events: uncommitted,
        streams: [...touched].map(([name, { before, type }]) => {
          const { versions } = streams.get(name) as { versions: number };
          const expected = before === 0 ? ('new' as const) : before;
          if (type === 'Journal') return { streamId: idOf(name), expected };
          const { version: reducerVersion, toSnapshot } = reducers[type] as Reducer<unknown>;
          return {
            streamId: idOf(name),
            expected,
            head: { kind: 'every' as const, version: versions, reducerVersion, state: toSnapshot(heads.get(name)) },
          };
        }),
      });
      for (const name of touched.keys()) {
        const reducer = reducers[touched.get(name)?.type as string] as Reducer<unknown>;
        const loaded = await log.store.load(bookId, idOf(name), reducer);
        expect(loaded).toEqual(await log.store.load(bookId, idOf(name), reducer, { snapshots: false }));
        expect(loaded?.version).toBe(streams.get(name)?.versions);
      }
    };

    const begin = [...aBook(), account('CASH', { limits: [{ currency: 'EUR', min: '-9999' }] }), account('BANK')];
    for (const event of begin) await append([event]);
    let history = new NaiveBook(begin);
    for (const [index, command] of commands().entries()) {
      const before = history.events.length;
      try {
        history.execute(command, { id: `e${index}`, today: '2026-07-05' });
      } catch (error) {
        if (!(error instanceof LedgerError)) throw error;
      }
      const events = history.events.slice(before);
      if (events.length > 0) await append(events);
      history = new NaiveBook(history.events);
    }

    let compared = 0;
    for (const [name, { type, versions }] of streams) {
      const reducer = reducers[type] as Reducer<unknown>;
      for (let at = 0; at <= versions + 1; at++) {
        const [on, off] = [
          await log.store.load(bookId, idOf(name), reducer, { at }),
          await log.store.load(bookId, idOf(name), reducer, { snapshots: false, at }),
        ];
        expect(on).toEqual(off);
        expect(off?.version).toBe(at === 0 ? undefined : Math.min(at, versions));
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(150);
    expect([...streams.values()].some(({ type, versions }) => type === 'Journal' && versions > 1)).toBe(true);
  });

  it('does not come from a head of another reducer version', async () => {
    const folded = await log.store.load(bookId, idOf('cash'), accountReducer as never, { snapshots: false });
    expect(await log.store.load(bookId, idOf('cash'), ofAnotherVersion(reducers.Account as Reducer<unknown>))).toEqual(folded);
  });

  it('is folded where the head is missing', async () => {
    const before = await log.store.load(bookId, idOf('cash'), accountReducer as never);
    await log.admin.query('DELETE FROM log.heads WHERE book_id = $1', [bookId]);
    expect(await log.store.heads(bookId, [idOf('cash')], () => 1)).toEqual(new Map());
    expect(await log.store.load(bookId, idOf('cash'), accountReducer as never)).toEqual(before);
  });

  it('is undefined for a stream that has no event', async () => {
    expect(await log.store.load(bookId, newId(), accountReducer as never)).toBeUndefined();
  });
});

describe('snapshots by policy', () => {
  /** Counts notes, and how many it was shown. */
  function counting(): Reducer<number> & { shown: number } {
    return {
      aggregateType: 'Note',
      version: 3,
      shown: 0,
      evolve(state = 0) {
        this.shown++;
        return state + 1;
      },
      toSnapshot: (state) => ({ count: state }),
      fromSnapshot: (snapshot) => (snapshot as { count: number }).count,
    };
  }
  const snapshot = (version: number) => ({ kind: 'policy', version, reducerVersion: 3, state: { count: version } }) as const;

  it('are taken when a stream passes every hundredth event, so that a stream of 350 is folded from the last of them', async () => {
    const [bookId, stream] = ['policy', newId()];
    let version = 0;
    const taken: number[] = [];
    while (version < 350) {
      const to = version + 7;
      const expected = version === 0 ? ('new' as const) : version;
      const due = snapshotDue(version, to);
      if (due) taken.push(to);
      await log.appended(bookId, {
        events: noted(stream, version + 1, to),
        streams: [{ streamId: stream, expected, ...(due ? { head: snapshot(to) } : {}) }],
      });
      version = to;
    }
    expect(taken).toEqual([105, 203, 301]);
    const [reducer, whole] = [counting(), counting()];
    expect(await log.store.load(bookId, stream, reducer)).toEqual({ state: 350, version: 350 });
    expect(reducer.shown).toBe(49);
    expect(await log.store.load(bookId, stream, whole, { snapshots: false })).toEqual({ state: 350, version: 350 });
    expect(whole.shown).toBe(350);
    for (const at of [1, 99, 100, 300, 301, 302, 349, 350]) {
      expect(await log.store.load(bookId, stream, counting(), { at })).toEqual({ state: at, version: at });
    }
  });

  it('hold the expected version as every append does, and never go back', async () => {
    const [bookId, stream] = ['policy-2', newId()];
    const head = await log.appended(bookId, {
      events: noted(stream, 1, 100),
      streams: [{ streamId: stream, expected: 'new', head: snapshot(100) }],
    });
    const attempt = (expected: 'new' | number, first: number, at: number) =>
      log.store.append(
        log.client,
        requestOf(bookId, head, { events: noted(stream, first, first), streams: [{ streamId: stream, expected, head: snapshot(at) }] }),
      );
    for (const [expected, first, at] of [
      ['new', 1, 101],
      [99, 100, 101],
      [101, 102, 102],
      [100, 101, 100],
      [100, 101, 50],
    ] as const)
      await expect(attempt(expected, first, at)).rejects.toBeInstanceOf(VersionConflict);
    expect((await attempt(100, 101, 101)).kind).toBe('appended');
  });

  it('do not get in the way of streams longer than one read', async () => {
    const [bookId, stream] = ['policy-3', newId()];
    for (let from = 1; from <= 2_001; from += 667) {
      const streams = [{ streamId: stream, expected: from === 1 ? ('new' as const) : from - 1 }];
      await log.appended(bookId, { events: noted(stream, from, from + 666), streams });
    }
    for (const at of [999, 1_000, 1_001, 2_000, 2_001, undefined])
      expect(await log.store.load(bookId, stream, counting(), { at })).toEqual({ state: at ?? 2_001, version: at ?? 2_001 });
  });
});
