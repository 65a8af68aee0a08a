/**
 * verify on a book with closes, reopenings, rates, designated accounts and what the service computes: nothing is found in what was
 * written, and each value that somebody changes as superuser is: in events also when the leaf hash is made anew, so that only what
 * other events, heads and receipts say is left to contradict it.
 */
import type { Client } from 'pg';
import { addDays, type FiscalYear } from '#domain';
import { leafHashOf, type StoredEvent } from '#event-store';
import { type Command, catalogue, type Service, type Verification } from '#ledger';
import { checkBook, contextOf, openBookWith, startLedger } from '../support/ledgers';
import { controllerContext } from '../support/periods';
import { type ServiceOnDatabase, serviceOnDatabase } from '../support/services';
import { carryOut, type Executor, entryOf, line, openTrackedBook, recordRate } from '../support/tracked-books';

const bookId = 'tampered';

let its: ServiceOnDatabase;
let admin: Client;
let service: Service;

beforeAll(async () => {
  // What is tampered with for a moment must not be sealed.
  its = await serviceOnDatabase({ SEAL: 'off' });
  ({ admin, service } = its);
  await history();
});
afterAll(() => its?.end());

let serial = 0;
const controller = (command: Command, who = 1) => service.execute(bookId, command, controllerContext(`controller-${++serial}`, who));

/** Every new type of event and command, done, refused and with nothing to do. */
async function history(): Promise<void> {
  await openTrackedBook(service, bookId);
  const generated = (await service.queries.book(bookId)).fiscalYears[0] as FiscalYear;
  const thirteenth = { no: 13, from: '2026-12-31', to: '2026-12-31', kind: 'adjustment' } as const;
  const { label, from, to } = generated;
  await carryOut(service, bookId, { type: 'DefineFiscalYear', label, from, to, periods: [...generated.periods, thirteenth] });
  await carryOut(service, bookId, { type: 'DefineJournal', journalCode: 'SALES', name: 'Sales' });
  await recordRate(service, bookId, ['USD', '2026-01-01', '0.9']);
  await recordRate(service, bookId, ['JPY', '2026-01-01', '0.006']);
  const many = Array.from({ length: 110 }, (_, n) => ({
    ...{ from: 'USD', to: 'EUR', rateType: 'spot' as const, date: addDays('2026-01-02', n), value: `0.9${1_000 + n}`, source: 'ECB' },
  }));
  await carryOut(service, bookId, { type: 'RecordRates', rates: many });
  await recordRate(service, bookId, ['USD', '2026-01-31', '0.95', 'closing']);
  await carryOut(service, bookId, entryOf('2026-01-10', ['Bank', 'Capital'], '1000', 'USD'));
  await carryOut(service, bookId, entryOf('2026-01-20', ['Receivables', 'Sales'], '5000', 'JPY', { journalCode: 'SALES' }));
  await carryOut(service, bookId, {
    ...entryOf('2026-01-21', ['Bank', 'Capital'], '1', 'USD', { onImbalance: 'currency_conversion' }),
    lines: [line('Bank', 'debit', '10', 'USD'), line('Capital', 'credit', '9', 'EUR')],
  });
  await recordRate(service, bookId, ['JPY', '2026-01-31', '0.0065', 'closing']);
  await carryOut(service, bookId, { type: 'Revalue', date: '2026-01-31' });
  await carryOut(service, bookId, { type: 'Revalue', date: '2026-01-31' });
  const done = async (sent: ReturnType<typeof controller>): Promise<void> => {
    const { status, body } = await sent;
    if (status >= 400) throw new Error(body);
  };
  const january = { fiscalYear: '2026', period: 1 } as const;
  await done(controller({ type: 'ClosePeriod', ...january, level: 'soft', reason: 'done' }));
  const late = entryOf('2026-01-15', ['Costs', 'Bank'], '3', 'EUR');
  expect((await service.execute(bookId, late, contextOf('late'))).status).toBe(422);
  await carryOut(service, bookId, { ...late, onClosedPeriod: 'first_open_day' });
  await done(controller(late));
  await done(controller({ type: 'RequestReopening', ...january, reason: 'missing' }));
  await done(controller({ type: 'DeclineReopening', ...january }, 2));
  await done(controller({ type: 'RequestReopening', ...january, reason: 'really' }));
  expect((await controller({ type: 'ApproveReopening', ...january })).status).toBe(422);
  await done(controller({ type: 'ApproveReopening', ...january }, 2));
  await done(controller({ type: 'ClosePeriod', ...january, level: 'soft' }));
  await done(controller({ type: 'ClosePeriod', ...january, level: 'hard' }));
  await done(controller({ type: 'ClosePeriod', fiscalYear: '2026', period: 3, level: 'soft', includeEarlier: true }));
  expect((await controller({ type: 'ClosePeriod', fiscalYear: '2026', period: 9, level: 'soft' })).status).toBe(422);
  await carryOut(service, bookId, { type: 'CloseFiscalYear', fiscalYear: '2026' });
  await carryOut(service, bookId, { type: 'CloseFiscalYear', fiscalYear: '2026' });
  await carryOut(service, bookId, { type: 'DesignateAccount', role: 'rounding', account: 'Costs' });
  await carryOut(service, bookId, entryOf('2026-05-01', ['Bank', 'Capital'], '7', 'EUR'));
  const { position } = await service.queries.book(bookId);
  await service.projector.caughtUp(bookId, position, 30_000);
}

const verify = (): Promise<Verification> => service.verify({ books: [bookId] });
const said = ({ books, installation }: Verification): string[] =>
  [...installation, ...books.flatMap(({ findings }) => findings)].map(({ message }) => message);

it('finds nothing in what was written', async () => {
  expect(said(await verify())).toEqual([]);
});

it('finds nothing where two processes post base amounts in turn into a book that does not track them, also when its heads were lost', async () => {
  const other = startLedger(its.database.appUrl);
  try {
    await openBookWith(service.ledger, 'stated', ['cash', 'bank']);
    const post = async (by: Executor): Promise<void> => {
      const entry = entryOf('2026-02-02', ['cash', 'bank'], '5', 'USD');
      const lines = entry.lines.map((given) => ({ ...given, baseAmount: '4.5' }));
      await carryOut(by, 'stated', { ...entry, lines });
    };
    for (const by of [service, other.ledger, other.ledger, service]) await post(by);
    expect(said(await service.verify({ books: ['stated'] }))).toEqual([]);
    await admin.query("DELETE FROM log.heads WHERE book_id = 'stated'");
    const fresh = startLedger(its.database.appUrl);
    await post(fresh.ledger);
    await fresh.close();
    // Which writes the head of the book too; all others have been written anew by the entry.
    const closed = await service.execute(
      'stated',
      { type: 'ClosePeriod', fiscalYear: '2026', period: 2, level: 'soft', includeEarlier: true },
      controllerContext('stated'),
    );
    expect(closed.status).toBe(200);
    expect(said(await service.verify({ books: ['stated'] }))).toEqual([]);
    await checkBook(admin, 'stated');
  } finally {
    await other.close();
  }
});

it('finds a period that was closed for ever over a request to reopen it', async () => {
  const asked = 'asked';
  await openBookWith(service.ledger, asked, ['cash', 'bank']);
  const january = { fiscalYear: '2026', period: 1 } as const;
  for (const [index, command] of (
    [
      { type: 'ClosePeriod', ...january, level: 'soft' },
      { type: 'RequestReopening', ...january, reason: 'missing' },
      { type: 'DeclineReopening', ...january },
      { type: 'ClosePeriod', ...january, level: 'hard' },
    ] satisfies Command[]
  ).entries())
    expect((await service.execute(asked, command, controllerContext(`asked-${index}`))).status).toBe(200);
  expect(said(await service.verify({ books: [asked] }))).toEqual([]);
  await asSuperuser(
    `UPDATE log.events SET event_type = 'CurrencyEnabled', data = '{"code": "XYZ", "scale": 2}' WHERE book_id = $1 AND event_type = $2`,
    [asked, 'PeriodReopeningDeclined'],
  );
  const messages = said(await service.verify({ books: [asked] })).join('\n');
  expect(messages).toMatch(/closes period 2026\/1, which \S+ asks to be reopened/);
});

// --- As superuser ---

type Json = string | number | boolean | null | Json[] | { [member: string]: Json };

/** Every value inside, by its path. */
function* leaves(
  value: Json,
  path: string[] = [],
): Generator<{ readonly path: string[]; readonly value: string | number | boolean | null }> {
  if (typeof value !== 'object' || value === null) yield { path, value };
  else for (const [member, inner] of Object.entries(value)) yield* leaves(inner, [...path, member]);
}

const otherWords: Readonly<Record<string, string>> = {
  soft: 'hard',
  hard: 'soft',
  spot: 'closing',
  closing: 'spot',
  USD: 'JPY',
  JPY: 'USD',
  EUR: 'USD',
};

/** Another value of the same form, such as somebody would write who knows it. */
function another(value: string | number | boolean | null): Json {
  if (typeof value === 'number') return value + 1;
  if (typeof value === 'boolean') return !value;
  const text = String(value);
  if (otherWords[text] !== undefined) return otherWords[text];
  if (/^\d{4}-\d\d-\d\d$/.test(text)) return addDays(text, 1);
  const digit = text.search(/\d(?=\D*$)/);
  if (digit >= 0) return text.slice(0, digit) + String((Number(text[digit]) + 1) % 10) + text.slice(digit + 1);
  return `${text}x`;
}

function withValue(value: Json, [member, ...rest]: readonly string[], instead: Json): Json {
  if (member === undefined) return instead;
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as { [member: string]: Json };
  copy[member] = withValue(copy[member] as Json, rest, instead);
  return copy as Json;
}

/** With triggers switched off. */
async function asSuperuser(statement: string, values: readonly unknown[]): Promise<void> {
  await admin.query('BEGIN');
  await admin.query("SET LOCAL session_replication_role = 'replica'");
  const { rowCount } = await admin.query(statement, [...values]);
  await admin.query('COMMIT');
  if (rowCount !== 1) throw new Error(`${statement} changed ${rowCount} rows`);
}

interface Event extends StoredEvent {
  readonly data: { [member: string]: Json };
}

const eventsOf = async (type: string): Promise<Event[]> =>
  (
    await admin.query(
      `SELECT book_id AS "bookId", position, stream_id AS "streamId", version, event_type AS "eventType", event_version AS "eventVersion",
              event_id AS "eventId", recorded_at AS "recordedAt", data, metadata, leaf_hash AS "leafHash"
         FROM log.events WHERE book_id = $1 AND event_type = $2 ORDER BY position`,
      [bookId, type],
    )
  ).rows;

const setData = 'UPDATE log.events SET data = $3, leaf_hash = $4 WHERE book_id = $1 AND position = $2';

/** What no other event, head or receipt repeats, so that only the leaf hash tells; the hash is in the Merkle tree. */
const onlyByHash = new Set(['ExchangeRateRecorded value', 'ExchangeRateRecorded source', 'ExchangeRateRecorded date']);

describe.each([
  'FiscalYearDefined',
  'PeriodClosed',
  'PeriodReopeningRequested',
  'PeriodReopeningDeclined',
  'PeriodReopened',
  'AccountDesignated',
  'ExchangeRateRecorded',
])('an event %s', (type) => {
  it('is found in whatever member it was changed', async () => {
    const events = await eventsOf(type);
    // The first and the last of its kind; of closes one of each level.
    const chosen = new Set(
      [events[0], events.find(({ data }) => data.level === 'hard'), events.at(-1)].filter((event) => event !== undefined),
    );
    const missed: string[] = [];
    let changed = 0;
    for (const event of chosen) {
      for (const { path, value } of leaves(event.data)) {
        const data = withValue(event.data, path, another(value)) as Event['data'];
        const name = `${type} ${path.join('.')}`;
        const isHidden = onlyByHash.has(name);
        const leafHash = isHidden ? event.leafHash : leafHashOf(catalogue, { ...event, data });
        await asSuperuser(setData, [bookId, event.position, data, leafHash]);
        const messages = said(await verify());
        await asSuperuser(setData, [bookId, event.position, event.data, event.leafHash]);
        changed++;
        if (messages.length === 0) missed.push(`${name} at ${event.position}: ${value} → ${another(value)}`);
        else if (isHidden) expect(messages.join('\n')).toContain(`event ${event.position} `);
      }
    }
    expect(missed).toEqual([]);
    expect(changed).toBeGreaterThan(1);
    expect(said(await verify())).toEqual([]);
  }, 300_000);

  it('is found to be missing', async () => {
    const events = await eventsOf(type);
    const last = events.at(-1) as Event;
    await admin.query('CREATE TABLE public.kept_events AS SELECT * FROM log.events WHERE book_id = $1 AND position = $2', [
      bookId,
      last.position,
    ]);
    await asSuperuser('DELETE FROM log.events WHERE book_id = $1 AND position = $2', [bookId, last.position]);
    const messages = said(await verify());
    await asSuperuser('INSERT INTO log.events SELECT * FROM public.kept_events WHERE $1 = $1', [true]);
    await admin.query('DROP TABLE public.kept_events');
    expect(messages.join('\n')).toContain(`position ${last.position} is missing`);
  });
});

describe('a head', () => {
  it.each([
    ['with the numbers and periods of a year', 'last'],
    ['with the rates of a pair', 'rates'],
    ['of the book, with the states of its periods and designated accounts', 'periods'],
  ])('%s is found in whatever it was changed', async (what, member) => {
    const { rows } = await admin.query<{ stream_id: string; version: number; state: { [member: string]: Json } }>(
      `SELECT stream_id, version, state FROM log.heads WHERE book_id = $1 AND jsonb_exists(state::jsonb, $2)
          AND ($2 <> 'periods' OR jsonb_exists(state::jsonb, 'designated')) ORDER BY version DESC LIMIT 1`,
      [bookId, member],
    );
    const [head] = rows;
    if (head === undefined) throw new Error(`there is no head ${what}`);
    const setState = 'UPDATE log.heads SET state = $3 WHERE book_id = $1 AND stream_id = $2';
    const missed: string[] = [];
    const all = [...leaves(head.state)];
    // Of a hundred rates and of twelve equal months the first and last ones will do.
    const chosen = all.length < 40 ? all : [...all.slice(0, 15), ...all.slice(-25)];
    for (const { path, value } of chosen) {
      await asSuperuser(setState, [bookId, head.stream_id, JSON.stringify(withValue(head.state, path, another(value)))]);
      const messages = said(await verify());
      if (!messages.some((message) => message.includes(`log.heads ${head.stream_id}`)))
        missed.push(`${path.join('.')}: ${value} → ${another(value)}`);
    }
    await asSuperuser(setState, [bookId, head.stream_id, JSON.stringify(head.state)]);
    expect(missed).toEqual([]);
    expect(said(await verify())).toEqual([]);
  });
});

describe('a receipt', () => {
  it.each([
    'DefineFiscalYear',
    'ClosePeriod',
    'RequestReopening',
    'ApproveReopening',
    'DeclineReopening',
    'DesignateAccount',
    'RecordRates',
    'Revalue',
    'CloseFiscalYear',
  ])('of %s is found in whatever it was changed', async (command) => {
    const { rows } = await admin.query<{ key: string; status: number; answer: string; position: number | null }>(
      'SELECT key, status, answer, position FROM log.receipts WHERE book_id = $1 AND command = $2 ORDER BY recorded_at',
      [bookId, command],
    );
    const carriedOut = rows.findLast(({ position }) => position !== null);
    const without = rows.findLast(({ position }) => position === null);
    const missed: string[] = [];
    for (const receipt of [carriedOut, without]) {
      if (receipt === undefined) continue;
      const set = async (column: string, value: unknown): Promise<void> =>
        asSuperuser(`UPDATE log.receipts SET ${column} = $3 WHERE book_id = $1 AND key = $2`, [bookId, receipt.key, value]);
      const tamper = async (column: 'status' | 'answer' | 'command', value: unknown, name: string): Promise<void> => {
        await set(column, value);
        const messages = said(await verify());
        await set(column, column === 'command' ? command : receipt[column]);
        if (!messages.some((message) => message.includes(`key ${JSON.stringify(receipt.key)}`)))
          missed.push(`${name} of ${receipt.answer}`);
      };
      await tamper('status', receipt.status + 1, 'status');
      if (receipt.status < 400) await tamper('command', 'FreezeAccount', 'command');
      const answer = JSON.parse(receipt.answer) as Json;
      for (const { path, value } of leaves(answer)) {
        // A refusal is told by no event: command and text are what was said then.
        if (receipt.status >= 400 && path[0] !== 'status' && path[0] !== 'code') continue;
        await tamper('answer', JSON.stringify(withValue(answer, path, another(value))), path.join('.'));
      }
    }
    expect(missed).toEqual([]);
    expect(carriedOut).toBeDefined();
    expect(said(await verify())).toEqual([]);
  });
});
