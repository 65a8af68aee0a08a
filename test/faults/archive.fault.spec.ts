/**
 * Moves to cold storage that are killed: `book-keeper archive` is killed anywhere, its session is ended while it takes rows out, and two of
 * them run side by side, while a service posts to the same book and reads it. After each kill every position is in the table or in a file
 * and not in both; the next command goes on; at the end the book is what it was, and verify has nothing to say.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { projections, type Service, type Verification } from '#ledger';
import { connect } from '#postgres';
import { type TestArchive, testArchive } from '../support/archives';
import { startCommand } from '../support/cli';
import { type FaultServer, faultServer } from '../support/fault-server';
import { openTestService, type TestService } from '../support/services';
import { chance, report, rounds, seed, soak } from '../support/workload';

const kills = rounds(10, 150);
/** Entries of the closed year; three events each, so that there are some dozens of files of one tile. */
const oldEntries = soak ? 60_000 : 4_000;
const bookId = 'moved';

let its: FaultServer;
let archive: TestArchive;
let opened: TestService;
let service: Service;
let environment: Readonly<Record<string, string>>;
beforeAll(async () => {
  its = await faultServer();
  archive = await testArchive(its.server);
  const settings = { ...archive.settings, ARCHIVE_FILE_TILES: '1', SEAL: 'off' };
  opened = await openTestService(its.server.appUrl, settings);
  service = opened.service;
  environment = { ...its.environment, ...settings, LOG_LEVEL: 'error' };
});
afterAll(async () => {
  await opened?.close();
  await archive?.remove();
  await its?.end();
});

let serial = 0;
async function done(command: object): Promise<void> {
  const context = { key: `moved-${++serial}`, userId: 'u-1', source: 'job', isController: true } as const;
  const answer = await service.execute(bookId, command as never, context);
  if (answer.status >= 400) throw new Error(answer.body);
}

const entry = (effectiveDate: string): object => ({
  ...{ type: 'PostEntry', effectiveDate, description: `Entry ${serial}` },
  lines: [
    { account: `A${serial % 7}`, side: 'debit', amount: `${1 + (serial % 900)}.50`, currency: 'EUR' },
    { account: `B${serial % 5}`, side: 'credit', amount: `${1 + (serial % 900)}.50`, currency: 'EUR' },
  ],
});

async function fill(): Promise<void> {
  await done({ type: 'OpenBook', id: bookId, name: 'Moved', baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2024-01-01' });
  for (let index = 0; index < 7; index++) await done({ type: 'OpenAccount', code: `A${index}`, name: 'A', accountType: 'asset' });
  for (let index = 0; index < 5; index++) await done({ type: 'OpenAccount', code: `B${index}`, name: 'B', accountType: 'income' });
  for (let at = 0; at < oldEntries; at += 500) await Promise.all(Array.from({ length: 500 }, () => done(entry('2024-05-05'))));
  for (const level of ['soft', 'hard']) await done({ type: 'ClosePeriod', fiscalYear: '2024', period: 12, level, includeEarlier: true });
  await service.sealer.seal(bookId);
  const { position } = await service.store.head(bookId);
  for (const projection of projections) await service.queries.folded(bookId, position, [projection], async () => {});
}

/** Everything up to a position as readers see it. */
async function digest(upTo: number): Promise<string> {
  const hash = createHash('sha256');
  for (let after = 0; after < upTo; after += 5_000)
    for (const { current, leafHash, ...event } of await service.store.readAll(bookId, after, Math.min(5_000, upTo - after)))
      hash.update(JSON.stringify({ ...event, current })).update(leafHash);
  return hash.digest('hex');
}

const said = ({ books, installation }: Verification): string[] =>
  [...installation, ...books.flatMap(({ findings }) => findings)].map(({ message }) => message);

test(
  `a move that is killed anywhere loses nothing, doubles nothing and goes on (SEED=${seed})`,
  async () => {
    const random = chance(seed);
    await fill();
    const { position: end } = await service.store.head(bookId);
    const before = await digest(end);
    const balances = JSON.stringify(await service.queries.balances(bookId, { knownAt: end - 700 }));
    const { upTo } = await service.archiver.plan(bookId, 0);
    expect(upTo).toBe(end - (end % 256));
    const admin = await connect(its.server.adminUrl);

    let going = true;
    const counts = { posted: 0, read: 0, killed: 0, sessions: 0, finished: 0, files: 0 };
    const writers = Array.from({ length: 8 }, async () => {
      while (going) {
        await done(entry('2025-06-06'));
        counts.posted++;
        await sleep(2);
      }
    });
    const readers = (async () => {
      while (going) {
        // Whatever moves meanwhile: no position is missing, and none comes twice.
        const after = random(end - 300);
        const positions = (await service.store.readAll(bookId, after, 300)).map(({ position }) => position);
        if (positions.some((position, index) => position !== after + index + 1)) throw new Error(`after ${after} came ${positions}`);
        const [account] = await service.store.streamsByName(bookId, 'account', ['A1']);
        const versions = (await service.store.readStream(bookId, account?.[1] as string, { limit: 1_000 })).map(({ version }) => version);
        if (versions.some((version, index) => version !== index + 1)) throw new Error(`of an account came ${versions}`);
        counts.read++;
      }
    })();

    const lineOf = async (): Promise<{ line: number; ranges: number }> => {
      // One snapshot: each position is in a range or in the table.
      const { rows } = await admin.query<{ line: number; ranges: number; whole: boolean; first: number; hot: number; head: number }>(
        `SELECT (SELECT coalesce(max(to_position), 0) FROM log.archived_ranges WHERE book_id = $1) AS line,
                (SELECT count(*)::int FROM log.archived_ranges WHERE book_id = $1) AS ranges,
                (SELECT coalesce(sum(to_position - from_position + 1), 0) = coalesce(max(to_position), 0) FROM log.archived_ranges WHERE book_id = $1) AS whole,
                (SELECT min(position) FROM log.events WHERE book_id = $1) AS first, (SELECT count(*)::int FROM log.events WHERE book_id = $1) AS hot,
                (SELECT position FROM log.book_heads WHERE book_id = $1) AS head`,
        [bookId],
      );
      const { line, ranges, whole, first, hot, head } = rows[0] as (typeof rows)[number];
      expect({ whole, first, hot }).toEqual({ whole: true, first: line + 1, hot: head - line });
      return { line, ranges };
    };

    const mover = new URL(archive.settings.ARCHIVER_DATABASE_URL as string).username;
    for (let kill = 0; kill < kills; kill++) {
      const { line, ranges } = await lineOf();
      if (line === upTo) break;
      const args = ['archive', bookId, '--older-than', '0'];
      const commands = Array.from({ length: kill % 3 === 2 ? 2 : 1 }, () => startCommand(args, environment));
      const ends = commands.map(({ ended }) => ended);
      // A process needs a second or two to start; what is killed is the work.
      for (;;) {
        const working = await admin.query('SELECT FROM log.archived_ranges WHERE book_id = $1 OFFSET $2', [bookId, ranges]);
        const finished = await Promise.race([Promise.all(ends).then(() => true), sleep(3, false)]);
        if (working.rows.length > 0 || finished) break;
      }
      await sleep(random(kill % 2 === 0 ? 40 : 160));
      if (kill % 4 === 1) {
        const { rowCount } = await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1', [mover]);
        counts.sessions += rowCount ?? 0;
      } else for (const command of commands) command.process.kill('SIGKILL');
      for (const { code } of await Promise.all(ends)) {
        if (code === 'SIGKILL') counts.killed++;
        if (code === 0) counts.finished++;
      }
      await lineOf();
    }
    const { code, stdout, stderr } = await startCommand(['archive', bookId, '--older-than', '0'], environment).ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.not.stringContaining('rror') });
    expect(stdout).toMatch(/events are cold\. No more because/);
    going = false;
    await Promise.all([...writers, readers]);
    const last = await lineOf();
    expect(last.line).toBe(upTo);
    counts.files = last.ranges;

    expect(await digest(end)).toBe(before);
    await service.sealer.seal(bookId);
    const { position } = await service.store.head(bookId);
    for (const projection of projections) await service.queries.folded(bookId, position, [projection], async () => {});
    expect(JSON.stringify(await service.queries.balances(bookId, { knownAt: end - 700 }))).toBe(balances);
    expect(said(await service.verify({ books: [bookId] }))).toEqual([]);
    for (const { name } of projections) expect((await service.projections.rebuild(name, {})).became).toBe('exchanged');
    report('archive', { ...counts, events: upTo });
    expect(counts.killed + counts.sessions).toBeGreaterThan(soak ? 20 : 2);
    expect(counts.read).toBeGreaterThan(20);
    await admin.end();
  },
  soak ? 3_600_000 : 300_000,
);
