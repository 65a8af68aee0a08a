/**
 * Closing while others post, in one process and through another one: whatever was acknowledged before the close is below it and
 * counted by it, whatever came later is refused, and nothing lies in between. checkPeriods reads that from the log.
 */
import type { Client } from 'pg';
import type { ClosePeriod, PostEntry, ReopenPeriod } from '#domain';
import type { Answer } from '#ledger';
import { connect } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';
import { random } from '../support/histories';
import { checkBook, contextOf, openBookWith, run, startLedger, type TestLedger, transfer } from '../support/ledgers';
import { type CheckedClose, checkPeriods, controllerContext, type LoggedEvent } from '../support/periods';

const first = Number(process.env.SEED ?? 4_100);
const seeds = Array.from({ length: Number(process.env.SEEDS ?? 8) }, (_, index) => first + index);

let database: TestDatabase;
let admin: Client;
let services: readonly TestLedger[];

beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
  services = [startLedger(database.appUrl), startLedger(database.appUrl)];
});
afterAll(async () => {
  await Promise.all((services ?? []).map((service) => service.close()));
  await admin?.end();
  await database?.drop();
});

const close = (period: number, level: 'soft' | 'hard', more: Partial<ClosePeriod> = {}): ClosePeriod => ({
  type: 'ClosePeriod',
  fiscalYear: '2026',
  period,
  level,
  ...more,
});
const reopening = (type: ReopenPeriod['type'], period: number): ReopenPeriod => ({
  type,
  fiscalYear: '2026',
  period,
  reason: 'an invoice is missing',
});

interface Posting {
  readonly key: string;
  readonly command: PostEntry;
}

/** The commands of one race by seed: entries of May, a few of June, in two currencies and two day books. */
function postingsOf(seed: number, count = 50): Posting[] {
  const chance = random(seed);
  return Array.from({ length: count }, (_, index) => {
    const amount = `${1 + chance.below(900)}.${10 + chance.below(90)}`;
    const { lines, ...rest } = transfer('cash', 'bank', amount, { effectiveDate: `2026-05-${10 + chance.below(20)}` });
    const currency = chance.pick(['EUR', 'EUR', 'USD']);
    const journalCode = chance.pick([undefined, 'SALES']);
    return { key: `race-${seed}-${index}`, command: { ...rest, journalCode, lines: lines.map((line) => ({ ...line, currency })) } };
  });
}

async function openRace(bookId: string): Promise<void> {
  const { ledger } = services[0] as TestLedger;
  await openBookWith(ledger, bookId, ['cash', 'bank']);
  await run(ledger, bookId, { type: 'DefineJournal', journalCode: 'SALES', name: 'Sales' });
  await done(ledger.execute(bookId, close(4, 'soft', { includeEarlier: true }), controllerContext('earlier')));
}

async function done(sent: Promise<Answer>): Promise<{ readonly position: number }> {
  const { status, body } = await sent;
  if (status >= 400) throw new Error(body);
  return JSON.parse(body);
}

/** What became of each post, against the close that the answers speak of. */
interface Outcome {
  readonly key: string;
  readonly command: PostEntry;
  readonly answer: Answer;
}

const isRefused = ({ answer }: Outcome): boolean => answer.status === 422;
const positionOf = ({ answer }: Outcome): number => JSON.parse(answer.body).position;

async function eventsOf(bookId: string): Promise<LoggedEvent[]> {
  const { rows } = await admin.query(
    'SELECT position, event_type AS "eventType", data, metadata FROM log.events WHERE book_id = $1 ORDER BY position',
    [bookId],
  );
  return rows;
}

const closesOf = async (bookId: string): Promise<CheckedClose[]> => checkPeriods(await eventsOf(bookId));

describe.each([
  ['in one process', 1],
  ['through another process', 2],
])('50 posts against one close, %s', (_where, processes) => {
  const [postsTo, closesBy] = [0, processes - 1];
  const figures = { before: 0, refused: 0 };

  it.each(seeds.flatMap((seed) => [['soft', seed] as const, ['hard', seed] as const]))(
    'none lands inside after the close is acknowledged (%s, SEED=%i)',
    async (level, seed) => {
      const bookId = `race-${processes}-${level}-${seed}`;
      await openRace(bookId);
      const chance = random(seed + 1);
      const [poster, closer] = [services[postsTo] as TestLedger, services[closesBy] as TestLedger];
      // Nobody posts after a hard close, controllers among them; after a soft one a controller does.
      if (level === 'hard') {
        await done(closer.ledger.execute(bookId, close(5, 'soft'), controllerContext('softly')));
        await done(closer.ledger.execute(bookId, close(4, 'hard', { includeEarlier: true }), controllerContext('earlier ones')));
      }
      const contextFor = (key: string) => (level === 'hard' ? controllerContext(key, 7) : contextOf(key));
      const postings = postingsOf(seed);
      const at = chance.below(postings.length);
      const posts: Promise<Outcome>[] = [];
      let closing: Promise<{ readonly position: number }> | undefined;
      for (const [index, { key, command }] of postings.entries()) {
        if (index === at) closing = done(closer.ledger.execute(bookId, close(5, level), controllerContext('close')));
        posts.push(poster.ledger.execute(bookId, command, contextFor(key)).then((answer) => ({ key, command, answer })));
        // Some batches are on their way by then, some are not.
        if (chance.below(4) === 0) for (let turns = chance.below(20); turns > 0; turns--) await new Promise(setImmediate);
      }
      const { position } = (await closing) as { readonly position: number };
      const late = { key: 'late', command: { ...transfer('cash', 'bank', '1'), effectiveDate: '2026-05-31' } };
      const refused = await poster.ledger.execute(bookId, late.command, contextFor(late.key));
      expect(JSON.parse(refused.body)).toMatchObject({ code: 'period_closed', status: 422 });
      const outcomes = await Promise.all(posts);

      for (const outcome of outcomes) {
        if (isRefused(outcome))
          expect(JSON.parse(outcome.answer.body)).toMatchObject({ code: 'period_closed', status: 422, fiscalYear: '2026', period: 5 });
        else expect({ status: outcome.answer.status, isBelow: positionOf(outcome) < position }).toEqual({ status: 201, isBelow: true });
      }
      const accepted = outcomes.filter((outcome) => !isRefused(outcome));
      figures.before += accepted.length;
      figures.refused += outcomes.length - accepted.length;
      const last = (await closesOf(bookId)).at(-1);
      expect(last).toEqual({ position, key: '2026/5', level, entries: accepted.length });

      // Whoever asks again is told the same, by either process; nothing is posted by that.
      for (const { key, command, answer } of [...outcomes, { ...late, answer: refused }]) {
        const service = chance.pick(services);
        expect(await service.ledger.execute(bookId, command, contextFor(key))).toEqual({ ...answer, replayed: true });
      }
      expect((await eventsOf(bookId)).at(-1)?.position).toBe(position);
      await checkBook(admin, bookId);
    },
  );

  it('were posted before some closes and came too late for others', () => {
    expect(figures.before).toBeGreaterThan(50);
    expect(figures.refused).toBeGreaterThan(50);
  });
});

describe('reopening under load', () => {
  it.each(seeds)('two people open a period again, it fills, and is closed again with new totals (SEED=%i)', async (seed) => {
    const bookId = `again-${seed}`;
    await openRace(bookId);
    const chance = random(seed);
    const some = () => chance.pick(services).ledger;
    await done(some().execute(bookId, close(5, 'soft'), controllerContext('close')));

    const steps: readonly [ClosePeriod | ReopenPeriod, who: number, key: string][] = [
      [reopening('RequestReopening', 5), 1, 'ask'],
      [reopening('ApproveReopening', 5), 2, 'agree'],
      [close(5, 'soft'), 1, 'close again'],
      [close(5, 'hard', { includeEarlier: true }), 3, 'for ever'],
    ];
    const posts: Promise<Outcome>[] = [];
    const postSome = (byController: boolean, round: string): void => {
      for (const { key, command } of postingsOf(seed * 10 + posts.length, 12)) {
        const named = `${round}-${key}`;
        const context = byController ? controllerContext(named, 9) : contextOf(named);
        posts.push(
          some()
            .execute(bookId, command, context)
            .then((answer) => ({ key: named, command, answer })),
        );
      }
    };
    const told: Answer[] = [];
    for (const [step, who, key] of steps) {
      postSome(false, `${key}-user`);
      postSome(true, `${key}-controller`);
      const answer = await some().execute(bookId, step, controllerContext(key, who));
      expect({ key, status: answer.status, body: answer.body }).toMatchObject({ key, status: 200 });
      told.push(answer);
    }
    const outcomes = await Promise.all(posts);
    const events = await eventsOf(bookId);
    const reopened = events.find(({ eventType }) => eventType === 'PeriodReopened')?.position ?? 0;
    const closes = checkPeriods(events).filter(({ key }) => key === '2026/5');
    expect(closes.map(({ level }) => level)).toEqual(['soft', 'soft', 'hard']);
    // Users post between reopening and the next close only; controllers also into what is softly closed.
    for (const outcome of outcomes) {
      if (isRefused(outcome)) continue;
      const [, again, forEver] = closes.map(({ position }) => position) as [number, number, number];
      const from = outcome.key.includes('-user') ? reopened : 0;
      const to = outcome.key.includes('-user') ? again : forEver;
      expect(positionOf(outcome)).toBeGreaterThan(from);
      expect(positionOf(outcome)).toBeLessThan(to);
    }
    expect(closes[2]?.entries).toBe(outcomes.filter((outcome) => !isRefused(outcome)).length);
    for (const [index, [step, who, key]] of steps.entries()) {
      const again = await some().execute(bookId, step, controllerContext(key, who));
      expect(again).toEqual({ ...told[index], replayed: true });
    }
    await checkBook(admin, bookId);
  });

  it('a refusal is remembered although the period is open again', async () => {
    const bookId = 'remembered';
    await openRace(bookId);
    const [{ ledger }, { ledger: other }] = services as [TestLedger, TestLedger];
    await done(ledger.execute(bookId, close(5, 'soft'), controllerContext('close')));
    const may = transfer('cash', 'bank', '1', { effectiveDate: '2026-05-31' });
    const refused = await ledger.execute(bookId, may, contextOf('may'));
    expect(refused.status).toBe(422);
    await done(ledger.execute(bookId, reopening('RequestReopening', 5), controllerContext('ask', 1)));
    expect(JSON.parse((await other.execute(bookId, reopening('ApproveReopening', 5), controllerContext('alone', 1))).body)).toMatchObject({
      code: 'second_user_required',
    });
    await done(other.execute(bookId, reopening('ApproveReopening', 5), controllerContext('agree', 2)));
    expect(await other.execute(bookId, may, contextOf('may'))).toEqual({ ...refused, replayed: true });
    expect((await other.execute(bookId, may, contextOf('another key'))).status).toBe(201);
  });

  it('who may not close is refused and leaves nothing: with the scope the same key closes', async () => {
    const bookId = 'scoped';
    await openRace(bookId);
    const [{ ledger }] = services as [TestLedger, TestLedger];
    const before = (await eventsOf(bookId)).length;
    await expect(ledger.execute(bookId, close(5, 'soft'), contextOf('close'))).rejects.toMatchObject({ code: 'forbidden' });
    expect((await eventsOf(bookId)).length).toBe(before);
    await done(ledger.execute(bookId, close(5, 'soft'), controllerContext('close')));
  });
});
