/**
 * The log of user actions on PostgreSQL: what was acknowledged is recorded once, whatever connections and other processes do; it is a log
 * like that of a book, sealed, proved and verified; and what nobody may know of a person is not in it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { leafHashOf, verifyInclusion } from '#event-store';
import { ActionLog, actionLogOf, catalogue, type UserActed } from '#ledger';
import { connect } from '#postgres';
import { type ServiceOnDatabase, serviceOnDatabase } from '../support/services';

let on: ServiceOnDatabase;
let count = 0;
let book: string;
beforeAll(async () => {
  on = await serviceOnDatabase();
});
afterAll(() => on.end());
beforeEach(async () => {
  book = `acts-${++count}`;
  const context = { key: book, userId: 'u', source: 'job' } as const;
  await on.service.execute(book, { type: 'OpenBook', id: book, name: book, baseCurrency: 'EUR', fiscalYearStart: '01-01' }, context);
});

const logWith = (settings: { readonly deadlineMs?: number; readonly clock?: () => number } = {}): ActionLog =>
  new ActionLog(on.service.store, {
    connect: () => connect(on.database.appUrl, { pipeline: true }),
    release: 'spec',
    deadlineMs: 20_000,
    ...settings,
  });

const acts = (action: string, more: object = {}) =>
  ({ bookId: book, userId: 'u-1', source: 'job', said: { kind: 'read', action, outcome: 'done' }, ...more }) as const;

/** What the log of this spec's book holds, by action. */
async function recorded(): Promise<Map<string, number>> {
  const events = await on.service.store.readAll(actionLogOf(book), 0, 100_000);
  expect(events.map(({ position }) => position)).toEqual(events.map((_, index) => index + 1));
  expect(events.map(({ version }) => version)).toEqual(events.map((_, index) => index + 1));
  const counts = new Map<string, number>();
  for (const { data } of events) {
    const { action } = data as unknown as UserActed;
    counts.set(action, (counts.get(action) ?? 0) + 1);
  }
  return counts;
}

const clean = async (): Promise<void> => {
  const { found, books } = await on.service.verify({ books: [actionLogOf(book)] });
  expect({ found, findings: books.flatMap(({ findings }) => findings) }).toEqual({ found: 0, findings: [] });
};

describe('actions of many', () => {
  it('share appends, and each is there before its caller hears of it', async () => {
    const log = logWith();
    const ids = await Promise.all(Array.from({ length: 1_000 }, (_, index) => log.record(acts(`read-${index}`))));
    const events = await on.service.store.readAll(actionLogOf(book), 0, 10_000);
    expect(new Set(events.map(({ eventId }) => eventId))).toEqual(new Set(ids));
    const { rows } = await on.admin.query('SELECT count(*)::int AS batches FROM log.batches WHERE book_id = $1', [actionLogOf(book)]);
    expect(rows[0].batches).toBeLessThan(20);
    await log.close();
    await clean();
  });

  it('that say much are written some at a time, and what each says is cut', async () => {
    const log = logWith();
    const filter = Array.from({ length: 500 }, (_, index) => ({ key: 'dimension', value: `${index} ${'x'.repeat(190)}` }));
    await Promise.all(Array.from({ length: 400 }, (_, index) => log.record(acts(`much-${index}`, { filter }))));
    const { rows } = await on.admin.query(
      `SELECT max(octet_length(data::text))::int AS largest, count(*)::int AS events, (SELECT count(*)::int FROM log.batches b WHERE b.book_id = $1) AS batches
         FROM log.events WHERE book_id = $1`,
      [actionLogOf(book)],
    );
    expect(rows[0].events).toBe(400);
    expect(rows[0].largest).toBeLessThan(10_000);
    // About 8 KB each.
    expect(rows[0].batches).toBeGreaterThanOrEqual(3);
    await log.close();
    await clean();
  });

  it('in several processes are recorded once each', async () => {
    const logs = [logWith(), logWith(), logWith()];
    await Promise.all(
      logs.flatMap((log, process) =>
        Array.from({ length: 30 }, async (_, writer) => {
          for (let turn = 0; turn < 10; turn++) await log.record(acts(`p${process}-${writer}-${turn}`));
        }),
      ),
    );
    const counts = await recorded();
    expect(counts.size).toBe(900);
    expect(new Set(counts.values())).toEqual(new Set([1]));
    await Promise.all(logs.map((log) => log.close()));
    await clean();
  });

  it('that were sent again with more behind them are recorded once, whichever of the appends was committed', async () => {
    let appends = 0;
    let third: Promise<string> | undefined;
    // The driver as it is when a connection breaks: the first append never arrives, the answer to the second never comes back.
    const log: ActionLog = new ActionLog(on.service.store, {
      async connect() {
        const client = await connect(on.database.appUrl, { pipeline: true });
        const query = client.query.bind(client) as (...given: unknown[]) => Promise<unknown>;
        client.query = (async (...given: unknown[]) => {
          if ((given[0] as { name?: string }).name !== 'append') return query(...given);
          if (++appends === 1) {
            third = log.record(acts('third'));
            await sleep(20);
            throw new Error('Connection terminated unexpectedly');
          }
          const answer = await query(...given);
          if (appends === 2) throw new Error('Connection terminated unexpectedly');
          return answer;
        }) as unknown as typeof client.query;
        return client;
      },
      release: 'spec',
      deadlineMs: 20_000,
    });
    await Promise.all([log.record(acts('first')), log.record(acts('second'))]);
    await third;
    expect(appends).toBe(2);
    expect(await recorded()).toEqual(new Map(['first', 'second', 'third'].map((name) => [name, 1])));
    await log.close();
    await clean();
  });

  it('are recorded once each whatever becomes of connections', async () => {
    const logs = [logWith(), logWith()];
    let isOver = false;
    const killer = (async () => {
      let kills = 0;
      while (!isOver) {
        const { rowCount } = await on.admin.query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database() AND query LIKE '%log.append%'",
        );
        kills += rowCount ?? 0;
        // Some appends must live: on a busy machine each takes as long as the shortest of these.
        await sleep(25 + Math.random() * 200);
      }
      return kills;
    })();
    const acknowledged: string[] = [];
    await Promise.all(
      logs.flatMap((log, process) =>
        Array.from({ length: 20 }, async (_, writer) => {
          for (let turn = 0; turn < 20; turn++) {
            const name = `k${process}-${writer}-${turn}`;
            await log.record(acts(name));
            acknowledged.push(name);
          }
        }),
      ),
    );
    isOver = true;
    expect(await killer).toBeGreaterThan(0);
    const counts = await recorded();
    expect([...counts].filter(([, times]) => times !== 1)).toEqual([]);
    expect(new Set(counts.keys())).toEqual(new Set(acknowledged));
    await Promise.all(logs.map((log) => log.close()));
    await clean();
  });

  it('are recorded in order whatever clocks do', async () => {
    let now = Date.now() + 3_600_000;
    const log = logWith({ clock: () => now });
    for (const clock of [now, Date.now() - 86_400_000, Date.now()]) {
      now = clock;
      await log.record(acts(`at-${clock}`));
    }
    const events = await on.service.store.readAll(actionLogOf(book), 0, 10);
    const instants = events.map(({ recordedAt }) => recordedAt);
    expect(instants).toEqual([...instants].sort());
    expect(Date.parse(instants.at(-1) as string)).toBeLessThan(Date.now() + 60_000);
    await log.close();
    await clean();
  });

  it('wait no longer than promised for a database that is silent, and are told so', async () => {
    const log = logWith({ deadlineMs: 500 });
    await log.record(acts('first'));
    await on.admin.query('BEGIN');
    await on.admin.query('SELECT FROM log.book_heads WHERE book_id = $1 FOR UPDATE', [actionLogOf(book)]);
    await expect(log.record(acts('second'))).rejects.toMatchObject({ code: 'actions_unavailable', details: { retryAfter: 1 } });
    expect(log.problem()).toEqual(expect.any(String));
    await on.admin.query('ROLLBACK');
    await log.record(acts('third'));
    expect(log.problem()).toBeUndefined();
    const counts = await recorded();
    expect(counts.get('third')).toBe(1);
    expect(counts.get('second') ?? 0).toBeLessThanOrEqual(1);
    await log.close();
  });
});

describe('a companion log', () => {
  it('is sealed, and each action is proved by its hashes alone', async () => {
    await on.service.actions.record(acts('trial-balance'));
    const logId = actionLogOf(book);
    await on.service.sealer.seal(logId);
    const proof = await on.service.proofs.inclusion(logId, { position: 1 });
    const [event] = await on.service.store.readStored(logId, 0, 1, 1);
    if (event === undefined) throw new Error('there is no action');
    const leaf = leafHashOf(catalogue, event);
    expect(leaf.toString('base64')).toBe(proof.leafHash);
    const hashes = proof.hashes.map((hash) => Buffer.from(hash, 'base64'));
    expect(verifyInclusion({ leaf, index: 0, size: proof.size, root: Buffer.from(proof.root, 'base64') }, hashes)).toBe(true);
    expect(proof.checkpoint).toContain(`/${logId}\n`);
    await clean();
  });

  it('is no book: it is not listed, and nothing but its proofs can be asked', async () => {
    await on.service.actions.record(acts('x'));
    expect((await on.service.queries.books({})).books.map(({ id }) => id)).not.toContain(actionLogOf(book));
    for (const ask of [
      () => on.service.queries.book(actionLogOf(book)),
      () => on.service.queries.events(actionLogOf(book)),
      () => on.service.queries.balance(actionLogOf(book), '10'),
    ])
      await expect(ask()).rejects.toMatchObject({ code: 'book_unknown' });
  });

  it.each<[string, string]>([
    ['another action', `UPDATE log.events SET data = jsonb_set(data, '{action}', '"nothing"') WHERE book_id = $1 AND position = 2`],
    ['another person', `UPDATE log.events SET metadata = jsonb_set(metadata, '{userId}', '"u-2"') WHERE book_id = $1 AND position = 2`],
    ['one that is gone', `DELETE FROM log.events WHERE book_id = $1 AND position = 2`],
    ['the last one gone', `DELETE FROM log.events WHERE book_id = $1 AND position = 3`],
    ['another place', `UPDATE log.command_contexts SET ip = '10.0.0.9' WHERE book_id = $1`],
    ['another batch', `UPDATE log.batches SET recorded_at = recorded_at + interval '1 s' WHERE book_id = $1 AND last_position = 3`],
    ['another head', `UPDATE log.book_heads SET position = 7 WHERE book_id = $1`],
  ])('that says %s afterwards is found by verify', async (_what, statement) => {
    for (const action of ['a', 'b', 'c']) await on.service.actions.record(acts(action, { ip: '10.0.0.1', userAgent: 'x' }));
    await clean();
    await on.admin.query('BEGIN');
    await on.admin.query("SET LOCAL session_replication_role = 'replica'");
    const { rowCount } = await on.admin.query(statement, [actionLogOf(book)]);
    expect(rowCount).toBeGreaterThan(0);
    await on.admin.query('COMMIT');
    const { found } = await on.service.verify({ books: [actionLogOf(book)] });
    expect(found).toBeGreaterThan(0);
  });

  it('holds no place and no search in plain text', async () => {
    const filter = [{ key: 'reference', value: 'Erika Mustermann', typed: true }];
    await on.service.actions.record(acts('journal-entries', { ip: '192.0.2.77', userAgent: 'a telling agent', filter }));
    const { rows } = await on.admin.query('SELECT data::text || metadata::text AS text FROM log.events WHERE book_id = $1', [
      actionLogOf(book),
    ]);
    expect(JSON.stringify(rows)).not.toMatch(/Mustermann|192\.0\.2\.77|telling/);
    const { rows: places } = await on.admin.query('SELECT ip, user_agent FROM log.command_contexts WHERE book_id = $1', [
      actionLogOf(book),
    ]);
    expect(places).toEqual([{ ip: '192.0.2.77', user_agent: 'a telling agent' }]);
    await clean();
  });
});
