/**
 * Rule 8 of DESIGN section 5: the write queue against the plain form. The same seeded commands, posted twenty at a time to the
 * ledger and one by one to the reference, must leave the same events, heads, receipts and answers, ids and times aside.
 */
import type { Client } from 'pg';
import type { EntryLine } from '#domain';
import type { Answer, Command, CommandContext } from '#ledger';
import { connect } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';
import { checkBook, contextOf, startLedger } from '../support/ledgers';
import { controllerContext } from '../support/periods';
import { ReferenceLedger } from '../support/reference-ledger';

let database: TestDatabase;
let admin: Client;

beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
});

afterAll(async () => {
  await admin.end();
  await database.drop();
});

function seeded(seed: number): { next: (below: number) => number; pick: <T>(from: readonly T[]) => T } {
  let state = seed;
  const next = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 4_294_967_296) * below);
  };
  return { next, pick: (from) => from[next(from.length)] as (typeof from)[number] };
}

const usual = ['bank', 'cash', 'till'];
const codes = [...usual, 'limited', 'header', 'nowhere', 'late', 'renamed'];

/** The opening of the book, then waves of commands; entries and drafts are named by the order in which they came about. */
function* waves(seed: number, bookId: string): Generator<Command[], void, readonly string[]> {
  const { next, pick } = seeded(seed);
  const account = (code: string, more: object = {}): Command => ({ type: 'OpenAccount', code, name: code, accountType: 'asset', ...more });
  yield [{ type: 'OpenBook', id: bookId, name: 'Compared', baseCurrency: 'EUR', fiscalYearStart: '04-01', startsOn: '2024-04-01' }];
  let posted = yield [
    ...['bank', 'cash', 'till'].map((code) => account(code)),
    account('limited', { limits: [{ currency: 'EUR', min: '-50', max: '50' }] }),
    account('header', { postable: false }),
  ];
  const amount = (): string => `${1 + next(40)}${pick(['', '', '.5', '.50'])}`;
  const line = (side: EntryLine['side'], of: string, currency: string): EntryLine => ({
    account: pick(next(10) === 0 ? codes : usual),
    side,
    amount: of,
    currency,
  });
  const lines = (): EntryLine[] => {
    const pairs = Array.from(
      { length: 1 + next(3) },
      () => [amount(), pick(['EUR', 'EUR', 'USD', next(8) === 0 ? 'XXX' : 'JPY'])] as const,
    );
    return pairs.flatMap(([of, currency]) => [line('debit', of, currency), line('credit', next(20) === 0 ? '0.01' : of, currency)]);
  };
  const entry = () => ({
    effectiveDate: `20${pick(['25', '25', '26', '26', next(8) === 0 ? '23' : '24'])}-0${1 + next(9)}-1${next(10)}`,
    description: `entry ${next(1_000)}`,
    lines: lines(),
    ...(next(4) === 0 ? { journalCode: pick(['GENERAL', 'SALES']), metadata: { z: [1, { b: 'x', a: true }], a: 'ü"\\' } } : {}),
  });
  const entryId = (): string => (posted.length === 0 || next(10) === 0 ? '01930000-0000-7000-8000-00000000dead' : pick(posted)).slice(-36);
  const draftId = (): string => {
    const drafts = posted.filter((id) => id.startsWith('draft'));
    return drafts.length === 0 ? entryId() : pick(drafts.slice(-10)).slice(-36);
  };
  const command = (): Command => {
    switch (next(15)) {
      case 12:
        return { type: 'CreateDraft', ...entry() };
      case 13:
        return pick<Command>([
          { type: 'ReviseDraft', entryId: draftId(), ...entry() },
          { type: 'RejectDraft', entryId: draftId(), reason: 'x' },
          { type: 'DiscardDraft', entryId: draftId() },
          { type: 'ClosePeriod', fiscalYear: '2025', period: 1 + next(4), level: 'soft', includeEarlier: true },
        ]);
      case 14:
        return { type: next(2) === 0 ? 'SubmitDraft' : 'ApproveDraft', entryId: draftId() };
      case 0:
        return { type: 'ReverseEntry', entryId: entryId(), reason: 'wrong', effectiveDate: '2026-02-01' };
      case 1:
        return { type: 'CorrectEntry', entryId: entryId(), reason: 'typo', effectiveDate: '2026-02-02', lines: lines() };
      case 2:
        return pick<Command>([
          account('late'),
          { type: 'ChangeAccountCode', account: 'till', code: 'renamed' },
          { type: 'FreezeAccount', account: pick(['till', 'limited', 'late']) },
          { type: 'UnfreezeAccount', account: pick(['till', 'limited']) },
          { type: 'CloseAccount', account: pick(['header', 'limited', 'late']) },
          { type: 'DefineJournal', journalCode: 'SALES', name: 'Sales' },
          { type: 'EnableCurrency', code: pick(['XXX', 'EUR']), scale: 3 },
        ]);
      case 3:
        return { type: 'PostEntries', atomic: true, entries: [entry(), entry()] };
      default:
        return { type: 'PostEntry', ...entry() };
    }
  };
  for (let wave = 0; wave < 12; wave++) posted = yield Array.from({ length: 20 }, command);
}

/** Ids and instants as the order in which they first appear, so that two histories can be compared as text. */
function normaliser(): (value: unknown) => unknown {
  const seen = new Map<string, string>();
  const id = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g;
  const instant = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z/g;
  const name = (found: string): string => {
    if (!seen.has(found)) seen.set(found, `#${seen.size}`);
    return seen.get(found) as string;
  };
  return (value) => JSON.parse(JSON.stringify(value).replace(id, name).replace(instant, '#time'));
}

async function history(bookId: string, normalise: (value: unknown) => unknown): Promise<unknown> {
  const events = await admin.query(
    `SELECT position, stream_id AS stream, version, event_type AS type, event_version, data, metadata - 'release' - 'commandHash' - 'commandKey' AS metadata
       FROM log.events WHERE book_id = $1 ORDER BY position`,
    [bookId],
  );
  const receipts = await admin.query(
    `SELECT key, item, command, status, position IS NOT NULL AS wrote FROM log.receipts WHERE book_id = $1 AND item >= 0 ORDER BY key, item`,
    [bookId],
  );
  return normalise({
    events: events.rows.map(({ stream, ...event }) => ({ stream: isOwn(stream) ? 'of the book' : stream, ...event })),
    receipts: receipts.rows,
  });
}

/** The Book's own stream has an id made from its name (version 5). */
const isOwn = (stream: string): boolean => stream[14] === '5';

/** What an answer says, without ids and times. */
const told = ({ status, body }: Answer): unknown => {
  const parsed = JSON.parse(body);
  const short = ({ number, position, code }: Record<string, never>): unknown => ({ number, position, code });
  return { status, ...(parsed.results === undefined ? { answer: short(parsed) } : { results: parsed.results.map(short) }) };
};

const idsIn = ({ body }: Answer): string[] => {
  const parsed = JSON.parse(body);
  return [parsed, ...(parsed.results ?? [])].flatMap(({ id, number, reversal, status }) =>
    number === undefined ? (status === 'draft' ? [`draft ${id}`] : []) : [id, ...(reversal ? [reversal.id] : [])],
  );
};

/** Whoever approves is somebody else, and closes are for controllers. */
const sentBy = (command: Command, key: string): CommandContext =>
  command.type === 'ClosePeriod'
    ? controllerContext(key)
    : contextOf(keyOf(command, key), command.type === 'ApproveDraft' ? { userId: '01930000-0000-7000-8000-000000000002' } : {});

const drafted = new Set<string>();
afterAll(() => expect(drafted).toContain('JournalApproved'));

test.each([1, 2, 3, 4])('seed %i: the same history as the plain form', async (seed) => {
  const { ledger, close } = startLedger(database.appUrl);
  const reference = await ReferenceLedger.open(database.adminUrl);
  const books = { fast: `fast-${seed}`, plain: `plain-${seed}` };
  const ids = { fast: [] as string[], plain: [] as string[] };
  const generators = { fast: waves(seed, books.fast), plain: waves(seed, books.plain) };
  let number = 0;
  try {
    for (let wave = 0; ; wave++) {
      const fast = generators.fast.next(ids.fast);
      const plain = generators.plain.next(ids.plain);
      if (fast.done || plain.done) break;
      const keys = fast.value.map(() => `key-${++number}`);
      const fastAnswers = await Promise.all(
        fast.value.map((command, index) => ledger.execute(books.fast, command, sentBy(command, keys[index] as string))),
      );
      const plainAnswers: Answer[] = [];
      for (const [index, command] of plain.value.entries())
        plainAnswers.push(await reference.execute(books.plain, command, sentBy(command, keys[index] as string)));
      expect({ wave, answers: fastAnswers.map(told) }).toEqual({ wave, answers: plainAnswers.map(told) });
      ids.fast.push(...fastAnswers.flatMap(idsIn));
      ids.plain.push(...plainAnswers.flatMap(idsIn));
    }
    expect(await history(books.fast, normaliser())).toEqual(await history(books.plain, normaliser()));
    await checkBook(admin, books.fast);
    expect(ids.fast.length).toBeGreaterThan(40);
    const { rows } = await admin.query("SELECT DISTINCT event_type AS type FROM log.events WHERE event_type ~ '^Journal'");
    for (const { type } of rows) drafted.add(type);
  } finally {
    await close();
    await reference.close();
  }
});

/** Keys of OpenBook share one scope over all books. */
const keyOf = (command: Command, key: string): string => (command.type === 'OpenBook' ? `open ${command.id}` : key);
