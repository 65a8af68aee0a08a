/** The event store on PostgreSQL: what an append guarantees, what it refuses, and what readers can rely on (I3–I6, I10). */
import { randomUUID } from 'node:crypto';
import {
  type AppendRequest,
  type EventCatalogue,
  type EventDefinition,
  EventStore,
  type Head,
  instantMicros,
  instantText,
  leafHashOf,
  type Receipt,
  snapshotDue,
  snapshotEvery,
  VersionConflict,
} from '#event-store';
import { connect } from '#postgres';
import { newId, note, noted, notes, origin, receiptOf, requestOf, type TestLog, testLog } from '../support/test-log';

let log: TestLog;
let bookId: string;
let count = 0;
beforeAll(async () => {
  log = await testLog();
});
afterAll(() => log.close());
beforeEach(() => {
  bookId = `book-${++count}`;
});

/** Everything that a book has in the log, to see that nothing was written. */
async function everything(): Promise<Record<string, unknown[]>> {
  const tables = ['events', 'batches', 'book_heads', 'heads', 'receipts', 'stream_names', 'command_contexts'];
  const found: Record<string, unknown[]> = {};
  for (const table of tables) {
    const sorted = `SELECT to_jsonb(t) AS row FROM log.${table} t WHERE book_id = $1 ORDER BY to_jsonb(t)::text`;
    found[table] = (await log.admin.query<{ row: unknown }>(sorted, [bookId])).rows.map(({ row }) => row);
  }
  return found;
}
/** Does something that must leave the book as it was. */
async function writingNothing<T>(work: () => Promise<T>): Promise<T> {
  const before = await everything();
  const result = await work();
  expect(await everything()).toEqual(before);
  return result;
}
const every = (streamId: string, expected: 'new' | number, version: number, state: unknown = { version }) =>
  ({ streamId, expected, head: { kind: 'every', version, reducerVersion: 1, state } }) as const;

describe('append', () => {
  it('writes events of several streams at once: one position after the other, versions per stream, one instant (I4, I5, I10)', async () => {
    const [a, b] = [newId(), newId()];
    const events = [
      note(a, 1, { n: 1 }),
      note(b, 1),
      note(a, 2, {}, { eventType: 'Struck' }),
      note(b, 2, {}, { userId: 'u1', metadata: '{"source":"REST"}' }),
    ];
    const recordedAt = Date.now() * 1_000 + 7;
    const newTail = randomUUID();
    const head = await log.appended(bookId, { events, recordedAt, newTail });
    expect(head).toEqual({ position: 4, tail: newTail, recordedAt });
    expect(await log.store.head(bookId)).toEqual(head);
    const stored = await log.store.readAll(bookId, 0, 10);
    expect(stored.map(({ position, streamId, version, eventType }) => [position, streamId, version, eventType])).toEqual([
      [1, a, 1, 'Noted'],
      [2, b, 1, 'Noted'],
      [3, a, 2, 'Struck'],
      [4, b, 2, 'Noted'],
    ]);
    expect(stored.map(({ eventId }) => eventId)).toEqual(events.map(({ eventId }) => eventId));
    expect(stored[3]).toMatchObject({ bookId, data: {}, metadata: { source: 'REST', userId: 'u1' }, recordedAt: instantText(recordedAt) });
    for (const event of stored) expect(event.leafHash).toEqual(leafHashOf(notes, event));
    expect((await everything()).batches).toEqual([expect.objectContaining({ last_position: 4 })]);
  });

  it('goes on where the book stands, batch after batch', async () => {
    const stream = newId();
    let head: Head = origin;
    for (let version = 1; version <= 10; version += 2) {
      const next = await log.appended(bookId, { head, events: noted(stream, version, version + 1) });
      expect(next.position).toBe(head.position + 2);
      expect(next.recordedAt).toBeGreaterThan(head.recordedAt);
      expect(next.tail).not.toBe(head.tail);
      head = next;
    }
    const batches = (await everything()).batches as { last_position: number }[];
    expect(batches.map(({ last_position }) => last_position)).toEqual([2, 4, 6, 8, 10]);
    expect(await log.store.batchEnds(bookId, 2, 3)).toEqual([4, 6, 8]);
  });

  it('takes a batch of 3,000 events', async () => {
    const head = await log.appended(bookId, { events: noted(newId(), 1, 3_000) });
    expect(head.position).toBe(3_000);
  });

  it('keeps books apart: positions, names and keys of one are nothing to another', async () => {
    const request = { events: [note(newId(), 1)], receipts: [receiptOf('k')], names: [{ category: 'c', name: 'n', streamId: newId() }] };
    expect((await log.appended(bookId, request)).position).toBe(1);
    expect((await log.appended(`${bookId}-b`, { ...request, events: [note(newId(), 1)] })).position).toBe(1);
  });
});

describe('expected versions (I5)', () => {
  it.each([
    ['with a head that every append refreshes', true],
    ['without a head', false],
  ])('hold for a stream %s: "must be new", "exactly n", and nothing else', async (_, withHead) => {
    const stream = newId();
    const attempt = (expected: 'new' | number, first: number, last = first) =>
      log.append(bookId, {
        events: noted(stream, first, last),
        streams: withHead ? [every(stream, expected, last)] : [{ streamId: stream, expected }],
        receipts: [receiptOf(randomUUID())],
      });
    const refused = (expected: 'new' | number, first: number, last = first) =>
      writingNothing(() => expect(attempt(expected, first, last)).rejects.toBeInstanceOf(VersionConflict));

    await refused(1, 2); // not there yet
    await refused(5, 6);
    expect((await attempt('new', 1, 3)).kind).toBe('appended');
    await refused('new', 1); // there already
    await refused(2, 3); // behind: version 3 exists
    await refused(1, 2, 5);
    await refused(4, 5); // ahead: version 4 would be missing
    await refused(7, 8);
    expect((await attempt(3, 4, 5)).kind).toBe('appended');
    expect((await log.store.readStream(bookId, stream)).map(({ version }) => version)).toEqual([1, 2, 3, 4, 5]);
  });

  it('hold for every stream of a batch: one that does not hold takes all with it', async () => {
    const [good, bad] = [newId(), newId()];
    await log.appended(bookId, { events: noted(bad, 1, 2) });
    const batch = {
      events: [note(good, 1), note(bad, 2)],
      receipts: [receiptOf('k')],
      names: [{ category: 'c', name: 'n', streamId: good }],
    };
    await writingNothing(() => expect(log.append(bookId, batch)).rejects.toBeInstanceOf(VersionConflict));
  });

  it('are part of the request, so that versions with a gap, a double, or of a stream that is not named are never sent', async () => {
    const stream = newId();
    const streams = [{ streamId: stream, expected: 'new' }] as const;
    const nothingSent = { query: () => Promise.reject(new Error('a request was sent')) };
    const contradicting: Partial<AppendRequest>[] = [
      { events: [note(stream, 2)], streams },
      { events: [note(stream, 1), note(stream, 3)], streams },
      { events: [note(stream, 1), note(stream, 1)], streams },
      { events: [note(stream, 1)], streams: [] },
      { events: [note(stream, 1)], streams: [{ streamId: stream, expected: 1 }] },
      { events: [note(stream, 1, {}, { eventType: 'Unknown' })], streams },
      { events: [note(stream, 1, { text: '\ud800' })], streams },
      { events: [note(stream, 1, { text: Number.NaN })], streams },
      { events: [note(stream.toUpperCase(), 1)] },
    ];
    for (const request of contradicting) {
      const sent = log.store.append(nothingSent as never, requestOf(bookId, origin, request));
      await expect(sent).rejects.not.toThrow('a request was sent');
    }
  });

  it('let a head be made where it is missing, from the version that the stream has and no other', async () => {
    const stream = newId();
    await log.appended(bookId, { events: noted(stream, 1, 3) });
    for (const expected of [4, 7]) {
      const request = { events: [note(stream, expected + 1)], streams: [every(stream, expected, expected + 1)] };
      await writingNothing(() => expect(log.append(bookId, request)).rejects.toBeInstanceOf(VersionConflict));
    }
    await log.appended(bookId, { events: [note(stream, 4)], streams: [every(stream, 3, 4)] });
    expect((await log.store.heads(bookId, [stream], () => 1)).get(stream)).toEqual({ version: 4, state: { version: 4 } });
  });

  it('hold for a head without events by the head itself', async () => {
    const counter = newId();
    const count = (expected: 'new' | number, version: number) => log.append(bookId, { streams: [every(counter, expected, version)] });
    expect((await count('new', 3)).kind).toBe('appended');
    await writingNothing(() => expect(count('new', 4)).rejects.toBeInstanceOf(VersionConflict));
    await writingNothing(() => expect(count(2, 4)).rejects.toBeInstanceOf(VersionConflict));
    expect((await count(3, 8)).kind).toBe('appended');
    // Heads are dropped and made again from the events that they count; where from is for their owner to know.
    await log.admin.query('DELETE FROM log.heads WHERE stream_id = $1', [counter]);
    expect((await count(8, 9)).kind).toBe('appended');
    expect((await count(9, 10)).kind).toBe('appended');
  });

  it('let a head of another reducer version be overwritten, once the stream’s version holds', async () => {
    const stream = newId();
    await log.appended(bookId, { events: [note(stream, 1)], streams: [every(stream, 'new', 1)] });
    const newer = { streamId: stream, expected: 1, head: { kind: 'every', version: 2, reducerVersion: 2, state: { new: true } } } as const;
    await log.appended(bookId, { events: [note(stream, 2)], streams: [newer] });
    expect(await log.store.heads(bookId, [stream], () => 1)).toEqual(new Map());
    expect((await log.store.heads(bookId, [stream], () => 2)).get(stream)).toEqual({ version: 2, state: { new: true } });
  });
});

describe('receipts (I6)', () => {
  it('stand in the same SQL transaction as the events, and are given back as they were stored', async () => {
    const receipts: Receipt[] = [
      receiptOf('a', { position: 1, answer: '{"text":"äöü € 😀 \\u0000 \\ud800 \\" \\\\"}' }),
      receiptOf('a', { item: 1, status: 422, members: { effectiveDate: '0123456789abcdef', 'lines.0': 'ff' } }),
      receiptOf('~ !"#', { item: 2_147_483_647 }),
    ];
    await log.appended(bookId, { events: [note(newId(), 1)], receipts });
    const asked = receipts.map(({ key, item }) => ({ key, item }));
    expect(await log.store.receipts(bookId, [...asked, { key: 'a', item: 2 }, { key: 'A', item: 0 }])).toEqual(receipts);
    expect(await log.store.receipts(`${bookId}-b`, asked)).toEqual([]);
  });

  it('of refusals alone use no position, and still make a new state of the log (rule 1)', async () => {
    const before = await log.appended(bookId, { events: [note(newId(), 1)] });
    const after = await log.appended(bookId, { head: before, receipts: [receiptOf('refused', { status: 422 })] });
    expect(after.position).toBe(before.position);
    expect(after.tail).not.toBe(before.tail);
    expect(after.recordedAt).toBeGreaterThan(before.recordedAt);
    // Whoever decided on the state before must decide anew, though the position is the same.
    const moved = await writingNothing(() => log.append(bookId, { head: before, events: [note(newId(), 1)] }));
    expect(moved).toEqual({ kind: 'head_moved', head: after });
    expect((await everything()).batches).toHaveLength(1);
  });

  it('may be the first thing that a book has', async () => {
    const head = await log.appended(bookId, { receipts: [receiptOf('k')] });
    expect(head.position).toBe(0);
    expect(await log.store.readAll(bookId, 0, 10)).toEqual([]);
    expect((await log.appended(bookId, { head, events: [note(newId(), 1)] })).position).toBe(1);
  });

  it('that exist already are found as a set, before anything else is looked at, and nothing is written', async () => {
    const known = [receiptOf('a', { position: 1 }), receiptOf('b', { status: 422, members: { x: 'y' } }), receiptOf('c', { item: 3 })];
    const before = await log.appended(bookId, { events: [note(newId(), 1)], receipts: known });
    const request = {
      events: [note(newId(), 1)],
      receipts: [receiptOf('new'), receiptOf('b'), receiptOf('a'), receiptOf('c'), receiptOf('c', { item: 3 })],
      names: [{ category: 'c', name: 'n', streamId: newId() }],
    };
    // On the newest head, on an old one, with a clock that would be refused: the outcome that stands is what counts.
    const requests = [request, { ...request, head: origin }, { ...request, recordedAt: before.recordedAt }];
    for (const each of requests) {
      const outcome = await writingNothing(() => log.append(bookId, each));
      expect(outcome.kind).toBe('keys_known');
      const found = outcome.kind === 'keys_known' ? outcome.receipts : [];
      expect(new Map(found.map((receipt) => [`${receipt.key}/${receipt.item}`, receipt]))).toEqual(
        new Map(known.map((receipt) => [`${receipt.key}/${receipt.item}`, receipt])),
      );
    }
  });

  it('of the entries of one call are told apart by their item, so that a repeat finds those that are missing', async () => {
    await log.appended(bookId, { receipts: [receiptOf('call', { item: 0 }), receiptOf('call', { item: 2 })] });
    expect((await log.append(bookId, { receipts: [receiptOf('call', { item: 1 }), receiptOf('call', { item: 3 })] })).kind).toBe(
      'appended',
    );
    const again = await log.append(bookId, { receipts: [receiptOf('call', { item: 3 }), receiptOf('call', { item: 4 })] });
    expect(again).toMatchObject({ kind: 'keys_known', receipts: [{ key: 'call', item: 3 }] });
    expect(again.kind === 'keys_known' && again.receipts).toHaveLength(1);
  });

  it('cannot be written twice in one batch', async () => {
    const twice = log.append(bookId, { events: [note(newId(), 1)], receipts: [receiptOf('k'), receiptOf('k')] });
    await expect(twice).rejects.toBeInstanceOf(VersionConflict);
    expect((await everything()).events).toEqual([]);
  });

  it('count their replays, and nothing else of them changes (rule 10)', async () => {
    const receipt = receiptOf('k');
    await log.appended(bookId, { receipts: [receipt] });
    await log.store.touchReceipt(bookId, 'k', 0);
    await log.store.touchReceipt(bookId, 'k', 0);
    await log.store.touchReceipt(bookId, 'unknown', 0);
    expect((await everything()).receipts).toEqual([expect.objectContaining({ key: 'k', replays: 2 })]);
    expect(await log.store.receipts(bookId, [{ key: 'k', item: 0 }])).toEqual([receipt]);
  });
});

describe('a head that has moved', () => {
  it('refuses what was decided on another state, and tells which one stands', async () => {
    const first = await log.appended(bookId, { events: [note(newId(), 1)] });
    const second = await log.appended(bookId, { head: first, events: [note(newId(), 1)] });
    const elsewhere: Head[] = [
      origin,
      first,
      { ...second, tail: randomUUID() },
      { ...second, position: 7 },
      { ...first, tail: second.tail },
    ];
    for (const head of elsewhere) {
      const outcome = await writingNothing(() => log.append(bookId, { head, events: [note(newId(), 1)] }));
      expect(outcome).toEqual({ kind: 'head_moved', head: second });
    }
  });

  it('is the empty one for a book that has none', async () => {
    const head = { position: 5, tail: randomUUID(), recordedAt: 1 };
    expect(await log.append(bookId, { head, events: [note(newId(), 1)] })).toEqual({ kind: 'head_moved', head: origin });
    expect(await log.store.head(bookId)).toEqual(origin);
  });
});

describe('the clock (I10, rule 5)', () => {
  const databaseClock = async () => {
    const { rows } = await log.admin.query<{ clock: string }>('SELECT clock_timestamp() AS clock');
    return instantMicros(rows[0]?.clock as string) as number;
  };

  it('may be ahead of the database’s by two seconds and no more; the refusal tells the database’s', async () => {
    const ahead = (await databaseClock()) + 5_000_000;
    await log.appended(bookId, { receipts: [receiptOf('k')], recordedAt: 1_000 });
    const outcome = await writingNothing(() => log.append(bookId, { events: [note(newId(), 1)], recordedAt: ahead }));
    expect(outcome).toMatchObject({ kind: 'clock_refused', above: 1_000 });
    const clock = outcome.kind === 'clock_refused' ? outcome.clock : 0;
    expect(Math.abs(clock - (await databaseClock()))).toBeLessThan(1_000_000);
    // With the offset that the refusal teaches, the next attempt is taken.
    expect((await log.append(bookId, { events: [note(newId(), 1)], recordedAt: clock + 1_500_000 })).kind).toBe('appended');
  });

  it('never goes back behind what was recorded, nor stands still', async () => {
    const head = await log.appended(bookId, { events: [note(newId(), 1)] });
    for (const recordedAt of [head.recordedAt, head.recordedAt - 1, 1]) {
      const outcome = await writingNothing(() => log.append(bookId, { head, events: [note(newId(), 1)], recordedAt }));
      expect(outcome).toMatchObject({ kind: 'clock_refused', above: head.recordedAt });
    }
    expect(await log.append(bookId, { head, events: [note(newId(), 1)], recordedAt: head.recordedAt + 1 })).toMatchObject({
      kind: 'appended',
    });
  });

  it('stays above what a query was answered for', async () => {
    const head = await log.appended(bookId, { events: [note(newId(), 1)], recordedAt: (await databaseClock()) - 10_000_000 });
    const asked = (await databaseClock()) - 5_000_000;
    expect(await log.store.positionAt(bookId, asked)).toBe(1);
    for (const recordedAt of [asked, asked - 1, head.recordedAt + 1]) {
      const outcome = await writingNothing(() => log.append(bookId, { head, events: [note(newId(), 1)], recordedAt }));
      expect(outcome).toMatchObject({ kind: 'clock_refused', above: asked });
    }
    expect((await log.append(bookId, { head, events: [note(newId(), 1)], recordedAt: asked + 1 })).kind).toBe('appended');
  });

  it('that was turned back blocks nobody: what stands in the future is followed by the next microsecond', async () => {
    await log.appended(bookId, { events: [note(newId(), 1)] });
    const future = (await databaseClock()) + 3_600_000_000;
    await log.admin.query('UPDATE log.book_heads SET recorded_at = $2::timestamptz WHERE book_id = $1', [bookId, instantText(future)]);
    const head = await log.store.head(bookId);
    expect((await log.append(bookId, { head, events: [note(newId(), 1)], recordedAt: future + 2 })).kind).toBe('clock_refused');
    const next = await log.appended(bookId, { head, events: [note(newId(), 1)], recordedAt: future + 1 });
    await log.admin.query('UPDATE log.book_heads SET recorded_floor = $2::timestamptz WHERE book_id = $1', [
      bookId,
      instantText(future + 9),
    ]);
    expect(await log.append(bookId, { head: next, events: [note(newId(), 1)], recordedAt: future + 2 })).toMatchObject({
      above: future + 9,
    });
    expect((await log.append(bookId, { head: next, events: [note(newId(), 1)], recordedAt: future + 10 })).kind).toBe('appended');
  });
});

describe('names and contexts', () => {
  it('lead a name to one stream for ever', async () => {
    const [a, b] = [newId(), newId()];
    const name = (text: string, streamId: string, category = 'account') => ({ category, name: text, streamId });
    await log.appended(bookId, { events: [note(a, 1)], names: [name('1000', a), name('Cash', a), name('1000', b, 'other')] });
    for (const names of [[name('1000', b)], [name('1000', a)], [name('2000', b), name('Cash', b)]])
      await writingNothing(() => expect(log.append(bookId, { events: [note(b, 1)], names })).rejects.toBeInstanceOf(VersionConflict));
    expect(await log.store.streamsByName(bookId, 'account', ['1000', 'Cash', 'cash', '2000'])).toEqual(
      new Map([
        ['1000', a],
        ['Cash', a],
      ]),
    );
    expect(await log.store.streamsByName(bookId, 'other', ['1000'])).toEqual(new Map([['1000', b]]));
    expect(await log.store.streamsByName(`${bookId}-b`, 'account', ['1000'])).toEqual(new Map());
  });

  it('keep where commands came from once, however many came from there', async () => {
    const contexts = [{ hash: Buffer.alloc(32, 1), salt: Buffer.alloc(16, 2), ip: '127.0.0.1', userAgent: 'curl' }];
    await log.appended(bookId, { receipts: [receiptOf('a')], contexts });
    await log.appended(bookId, {
      receipts: [receiptOf('b')],
      contexts: [...contexts, { hash: Buffer.alloc(32, 3), salt: Buffer.alloc(16) }],
    });
    const rows = (await everything()).command_contexts as { ip: string | null; user_agent: string | null }[];
    expect(rows.map(({ ip, user_agent }) => `${ip} ${user_agent}`).sort()).toEqual(['127.0.0.1 curl', 'null null']);
  });
});

describe('several writers of one book', () => {
  it('lose nothing and leave no gap: 20 at once, each from a connection of its own', async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => connect(log.database.appUrl)));
    try {
      const work = clients.map(async (client, writer) => {
        for (let round = 0; round < 10; round++) {
          const stream = newId();
          const size = 1 + ((writer + round) % 3);
          for (;;) {
            const head = await log.store.head(bookId);
            const outcome = await log.store.append(
              client,
              requestOf(bookId, head, {
                events: noted(stream, 1, size),
                receipts: [receiptOf(`${writer}/${round}`, { position: head.position + 1 })],
              }),
            );
            if (outcome.kind === 'appended') break;
            expect(outcome.kind === 'head_moved' || outcome.kind === 'clock_refused').toBe(true);
          }
        }
      });
      await Promise.all(work);
    } finally {
      await Promise.all(clients.map((client) => client.end()));
    }
    const stored = await log.store.readAll(bookId, 0, 10_000);
    // 200 batches of 1, 2 and 3 events
    const total = Array.from({ length: 200 }, (_, index) => 1 + ((Math.floor(index / 10) + (index % 10)) % 3)).reduce(
      (sum, size) => sum + size,
      0,
    );
    expect(stored.map(({ position }) => position)).toEqual(Array.from({ length: total }, (_, index) => index + 1));
    const instants = stored.map(({ recordedAt }) => recordedAt);
    expect([...instants].sort()).toEqual(instants);
    expect(new Set(instants).size).toBe(200);
    const keys = Array.from({ length: 200 }, (_, index) => ({ key: `${Math.floor(index / 10)}/${index % 10}`, item: 0 }));
    const receipts = await log.store.receipts(bookId, keys);
    expect(receipts).toHaveLength(200);
    // Each receipt points to the first event of its own batch.
    const ends = [0, ...(await log.store.batchEnds(bookId, 0, 1_000))];
    for (const { position = 0 } of receipts) expect(ends).toContain(position - 1);
  });

  it('with one key take effect once (I6)', async () => {
    const clients = await Promise.all(Array.from({ length: 10 }, () => connect(log.database.appUrl)));
    const outcomes: string[] = [];
    try {
      const work = clients.map(async (client) => {
        for (;;) {
          const head = await log.store.head(bookId);
          const outcome = await log.store.append(
            client,
            requestOf(bookId, head, { events: [note(newId(), 1)], receipts: [receiptOf('the key')] }),
          );
          if (outcome.kind !== 'head_moved' && outcome.kind !== 'clock_refused') return outcomes.push(outcome.kind);
        }
      });
      await Promise.all(work);
    } finally {
      await Promise.all(clients.map((client) => client.end()));
    }
    expect(outcomes.sort()).toEqual(['appended', ...Array(9).fill('keys_known')]);
    expect(await log.store.readAll(bookId, 0, 10)).toHaveLength(1);
  });

  it('down one connection, two batches in flight: the second stands on the first, and falls with it (rule 2)', async () => {
    const first = requestOf(bookId, origin, { events: [note(newId(), 1)] });
    const afterFirst = { position: 1, tail: first.newTail, recordedAt: first.recordedAt };
    const second = requestOf(bookId, afterFirst, { events: [note(newId(), 1)] });
    expect(
      (await Promise.all([log.store.append(log.client, first), log.store.append(log.client, second)])).map(({ kind }) => kind),
    ).toEqual(['appended', 'appended']);
    const head = await log.store.head(bookId);
    const stream = newId();
    await log.appended(bookId, { head, events: [note(stream, 1)] }); // another process is faster
    const third = requestOf(bookId, head, { events: [note(newId(), 1)] });
    const fourth = requestOf(bookId, { position: 3, tail: third.newTail, recordedAt: third.recordedAt }, { events: [note(newId(), 1)] });
    const outcomes = await writingNothing(() => Promise.all([log.store.append(log.client, third), log.store.append(log.client, fourth)]));
    expect(outcomes.map(({ kind }) => kind)).toEqual(['head_moved', 'head_moved']);
  });
});

describe('readers', () => {
  it('never skip an event, however they race with writers: what they saw is what the table holds', async () => {
    const streams = Array.from({ length: 4 }, newId);
    const versions = new Map<string, number>();
    let writing = true;
    const write = (async () => {
      let head: Head = origin;
      for (let round = 1; round <= 150; round++) {
        const chosen = streams.slice(0, 1 + (round % 4));
        const events = chosen.map((stream) => note(stream, 1 + Number(versions.get(stream) ?? 0)));
        for (const { streamId, version } of events) versions.set(streamId, version);
        head = await log.appended(bookId, { head, events });
      }
    })().finally(() => {
      writing = false;
    });
    const seen = await Promise.all(
      [1, 7, 1_000].map(async (limit) => {
        const found: [number, string][] = [];
        for (;;) {
          const last = !writing;
          const events = await log.store.readAll(bookId, found.at(-1)?.[0] ?? 0, limit);
          found.push(...events.map(({ position, eventId }): [number, string] => [position, eventId]));
          if (last && events.length === 0) return found;
        }
      }),
    );
    await write;
    const { rows } = await log.admin.query<{ position: number; event_id: string }>(
      'SELECT position, event_id FROM log.events WHERE book_id = $1 ORDER BY position',
      [bookId],
    );
    const table = rows.map(({ position, event_id }): [number, string] => [position, event_id]);
    expect(table.map(([position]) => position)).toEqual(table.map((_, index) => index + 1));
    for (const found of seen) expect(found).toEqual(table);
  });

  it('of a stream get its events in version order, from any version on', async () => {
    const [a, b] = [newId(), newId()];
    await log.appended(bookId, { events: [note(a, 1), note(b, 1), note(a, 2), note(a, 3)] });
    const versions = async (options?: object) => (await log.store.readStream(bookId, a, options)).map(({ version }) => version);
    expect(await versions()).toEqual([1, 2, 3]);
    expect(await versions({ after: 1 })).toEqual([2, 3]);
    expect(await versions({ after: 1, limit: 1 })).toEqual([2]);
    expect(await versions({ after: 3 })).toEqual([]);
    expect(await log.store.readStream(`${bookId}-b`, a)).toEqual([]);
    const several = await log.store.readStreams(bookId, [b, a, newId()]);
    expect(several.map(({ streamId, version }) => [streamId, version])).toEqual([
      [b, 1],
      [a, 1],
      [a, 2],
      [a, 3],
    ]);
  });

  it('get older events as the newest version of their type, from every way of reading', async () => {
    const stream = newId();
    const renamed = (version: number) => note(stream, version, { names: ['x', 'y'], count: 2 }, { eventType: 'Renamed' });
    await log.appended(bookId, { events: [renamed(1), renamed(2), renamed(3)] });
    // As older releases would have written them; the hash is of no concern here.
    await log.admin.query('ALTER TABLE log.events DISABLE TRIGGER events_append_only');
    const write = (version: number, eventVersion: number, data: object) =>
      log.admin.query('UPDATE log.events SET event_version = $3, data = $4 WHERE stream_id = $1 AND version = $2', [
        stream,
        version,
        eventVersion,
        data,
      ]);
    await write(1, 1, { name: 'x' });
    await write(2, 2, { names: ['a', 'b', 'c'] });
    await log.admin.query('ALTER TABLE log.events ENABLE TRIGGER events_append_only');
    const expected = [
      { names: ['x'], count: 1 },
      { names: ['a', 'b', 'c'], count: 3 },
      { names: ['x', 'y'], count: 2 },
    ];
    const currents = (events: readonly { current: unknown }[]) => events.map(({ current }) => current);
    expect(currents(await log.store.readAll(bookId, 0, 10))).toEqual(expected);
    expect(currents(await log.store.readStream(bookId, stream))).toEqual(expected);
    expect(currents(await log.store.readStreams(bookId, [stream]))).toEqual(expected);
    expect(currents(await log.store.readFacts(bookId, 0, 3))).toEqual(expected);
    expect((await log.store.readAll(bookId, 0, 1))[0]?.data).toEqual({ name: 'x' });
    const folding = {
      aggregateType: 'Note',
      version: 1,
      toSnapshot: (state: unknown) => state,
      fromSnapshot: (state: unknown) => state as unknown[],
    };
    const folded = await log.store.load(bookId, stream, { ...folding, evolve: (all: unknown[] = [], { data }) => [...all, data] });
    expect(folded).toEqual({ state: expected, version: 3 });
  });

  it('get what the first event of the book implies, from every way of reading, where it implies anything', async () => {
    const inked: EventCatalogue = {
      ...notes,
      Noted: {
        ...(notes.Noted as EventDefinition),
        completion: ({ text: ink }) => (ink === 'plain' ? undefined : (data) => (data.ink === undefined ? { ...data, ink } : data)),
      },
    };
    const store = new EventStore(log.pool, inked);
    const stream = newId();
    expect(await store.readAll(bookId, 0, 10)).toEqual([]);
    await log.appended(bookId, {
      events: [note(stream, 1, { text: 'blue' }), note(stream, 2, { text: 'sky' }), note(stream, 3, { text: 'rose', ink: 'red' })],
    });
    const expected = [
      { text: 'blue', ink: 'blue' },
      { text: 'sky', ink: 'blue' },
      { text: 'rose', ink: 'red' },
    ];
    const currents = (events: readonly { current: unknown }[]) => events.map(({ current }) => current);
    expect(currents(await store.readFacts(bookId, 0, 3))).toEqual(expected);
    expect(currents(await store.readAll(bookId, 0, 10))).toEqual(expected);
    expect(currents(await store.readStream(bookId, stream))).toEqual(expected);
    expect(currents(await store.readStreams(bookId, [stream]))).toEqual(expected);
    expect((await store.readAll(bookId, 1, 1))[0]?.data).toEqual({ text: 'sky' });
    const plain = newId();
    await log.appended(`${bookId}-plain`, { events: [note(plain, 1, { text: 'plain' }), note(plain, 2, { text: 'sky' })] });
    expect(currents(await store.readAll(`${bookId}-plain`, 0, 10))).toEqual([{ text: 'plain' }, { text: 'sky' }]);
  });
});

describe('the position known at an instant', () => {
  const now = () => Date.now() * 1_000;

  it('is that of the last batch recorded at or before it', async () => {
    const start = now() - 60_000_000;
    let head: Head = origin;
    const stream = newId();
    for (let batch = 0; batch < 5; batch++)
      head = await log.appended(bookId, { head, events: noted(stream, 2 * batch + 1, 2 * batch + 2), recordedAt: start + batch * 10 });
    for (let batch = 0; batch < 5; batch++) {
      const at = start + batch * 10;
      expect(await log.store.positionAt(bookId, at - 1)).toBe(2 * batch);
      expect(await log.store.positionAt(bookId, at)).toBe(2 * batch + 2);
      expect(await log.store.positionAt(bookId, at + 1)).toBe(2 * batch + 2);
    }
  });

  it('counts batches with events only: a refusal has an instant but no position', async () => {
    const first = await log.appended(bookId, { events: [note(newId(), 1)], recordedAt: now() - 50_000_000 });
    const refused = await log.appended(bookId, { head: first, receipts: [receiptOf('k')], recordedAt: first.recordedAt + 100 });
    expect(await log.store.positionAt(bookId, refused.recordedAt)).toBe(1);
    await log.appended(bookId, { head: refused, events: [note(newId(), 1)], recordedAt: refused.recordedAt + 100 });
    expect(await log.store.positionAt(bookId, refused.recordedAt)).toBe(1);
    expect(await log.store.positionAt(bookId, refused.recordedAt + 100)).toBe(2);
  });

  it('never changes once it was told, whatever is appended at the same time', async () => {
    const told: [number, number][] = [];
    const stream = newId();
    let head = await log.appended(bookId, { events: [note(stream, 1)] });
    let writing = true;
    const write = (async () => {
      for (let version = 2; version <= 120; ) {
        const outcome = await log.append(bookId, {
          head,
          events: [note(stream, version)],
          recordedAt: Math.max(now() - 200, head.recordedAt + 1),
        });
        if (outcome.kind === 'appended') {
          head = outcome.head;
          version++;
        } else if (outcome.kind === 'clock_refused') {
          // As the write queue does: what a query has asked for is final, so record above it.
          const retry = await log.append(bookId, { head, events: [note(stream, version)], recordedAt: outcome.above + 1 });
          if (retry.kind === 'appended') {
            head = retry.head;
            version++;
          }
        }
      }
    })().finally(() => {
      writing = false;
    });
    while (writing) {
      const micros = now() - 300 + Math.floor(Math.random() * 600);
      const position = await log.store.positionAt(bookId, micros);
      if (position !== undefined) told.push([micros, position]);
    }
    await write;
    expect(told.length).toBeGreaterThan(20);
    for (const [micros, position] of told) expect([micros, await log.store.positionAt(bookId, micros)]).toEqual([micros, position]);
    const stored = await log.store.readAll(bookId, 0, 1_000);
    for (const [micros, position] of told)
      expect(stored.filter(({ recordedAt }) => recordedAt <= instantText(micros)).length).toBe(position);
  });

  it('is not known for an instant that has not come yet, and asking does not block writers', async () => {
    const head = await log.appended(bookId, { events: [note(newId(), 1)] });
    for (const micros of [now() + 60_000_000, 32_503_680_000_000_000, instantMicros('9999-12-31T23:59:59.999999Z') as number])
      expect(await writingNothing(() => log.store.positionAt(bookId, micros))).toBeUndefined();
    expect((await log.append(bookId, { head, events: [note(newId(), 1)] })).kind).toBe('appended');
  });

  it('is 0 before the first event, as far back as can be asked', async () => {
    await log.appended(bookId, { events: [note(newId(), 1)] });
    for (const text of [
      '0000-01-01T00:00:00Z',
      '0001-01-01T00:00:00Z',
      '1900-01-01T00:00:00Z',
      '1970-01-01T00:00:00Z',
      '2001-01-01T00:00:00Z',
    ])
      expect(await log.store.positionAt(bookId, instantMicros(text) as number)).toBe(0);
    expect(await log.store.positionAt(`${bookId}-b`, now())).toBe(0);
  });
});

describe('the directory of books', () => {
  it('lists each once, in order, and no companion log', async () => {
    for (const id of ['zeta', 'alpha', 'alpha', '~system', 'alpha~actions']) await log.store.registerBook(id, Date.now() * 1_000);
    expect(await log.store.books()).toEqual(['alpha', 'zeta']);
    expect(await log.store.books('alpha')).toEqual(['zeta']);
    expect(await log.store.books('', 1)).toEqual(['alpha']);
    for (const id of ['Alpha', '', '-a', 'a_b', 'a'.repeat(41), 'a~', '~x']) await expect(log.store.registerBook(id, 0)).rejects.toThrow();
  });
});

describe('the policy of snapshots', () => {
  it('asks for one whenever a stream passes a hundred events', () => {
    expect(snapshotEvery).toBe(100);
    const due = (before: number, after: number) => snapshotDue(before, after);
    expect([due(0, 99), due(99, 100), due(100, 101), due(0, 100), due(150, 350), due(199, 200), due(200, 299)]).toEqual([
      false,
      true,
      false,
      true,
      true,
      true,
      false,
    ]);
  });
});
