/**
 * The work of the fault suites, and the judge of it. A command follows from its key alone (what is done with a draft, also from the
 * answer that the key of its creation got), so whoever repeats a key after a crash sends the same command, and what was acknowledged
 * tells every balance. `audit` compares what callers were told with what the database holds: an acknowledged command that is not
 * there is lost, an event that nobody was told of under its key, or more than one, is doubled.
 */
import { createHash } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import type { EntryLine, PostEntry, PostedLine } from '#domain';
import { EventStore } from '#event-store';
import { type Answer, type Command, type CommandContext, catalogue, Projector, projections, verifyBooks } from '#ledger';
import { openPool } from '#postgres';
import { balanceIn, checkBook, contextOf, openBookWith, run, startLedger } from './ledgers';
import { controllerContext } from './periods';

/** Whether the long forms run (`npm run test:soak`). */
export const soak = process.env.SOAK === '1';

/** How often something is done: in the short form, in the long one, or as often as ROUNDS says. */
export const rounds = (short: number, long: number): number => Number(process.env.ROUNDS ?? (soak ? long : short));

/** Chooses moments and victims, and which commands the keys stand for; printed by each suite that uses it. */
export const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);

/** Accounts that may not go below zero, and that most commands touch. */
const hot = ['cash:0', 'cash:1', 'cash:2', 'cash:3'];

/** Accounts of a currency that the book has rates of. */
const foreign = ['usd:0', 'usd:1'];
/** All rates are of this day, and most entries too: whatever was recorded last holds. */
const day = '2026-03-01';
/** In the month that is closed and opened again. */
const lateDay = '2026-02-10';

/** Opens the book that commands of {@link commandOf} are for: it tracks exchange rates. */
export async function openWorkload(url: string, bookIds: readonly string[]): Promise<void> {
  const { ledger, close } = startLedger(url);
  for (const bookId of bookIds) {
    const limited = hot.map((code) => ({ code, limits: [{ currency: 'EUR', min: '0' }] }));
    await openBookWith(ledger, bookId, ['bank', 'frozen', ...foreign, ...limited], { fx: 'tracked' });
    await run(ledger, bookId, { type: 'FreezeAccount', account: 'frozen' });
    await run(ledger, bookId, { type: 'RecordRates', rates: [rateOf('0.9')] });
  }
  await close();
}

/** What the key of an earlier command was answered. */
export type Told = (key: string) => string | undefined;

/** Of how many commands of a writer three belong to one draft: it is written, submitted, and approved, rejected or discarded. */
const draftEvery = 24;

/** The place of a key in the life of a draft, and the key that the draft was written with. */
function draftPlace(key: string): { readonly place: 'written' | 'submitted' | 'ended'; readonly written: string } | undefined {
  const [, name, number = ''] = /^(.*-)(\d+)$/.exec(key) ?? [];
  const place = (['written', 'submitted', 'ended'] as const)[(Number(number) % draftEvery) - draftEvery + 4];
  if (name === undefined || place === undefined) return undefined;
  return { place, written: `${name}${Math.floor(Number(number) / draftEvery) * draftEvery + draftEvery - 4}` };
}

/** The key whose answer a command hangs on: whoever does not have it any more asks for it again. */
export function keyBefore(key: string): string | undefined {
  const draft = draftPlace(key);
  return draft === undefined || draft.place === 'written' ? undefined : draft.written;
}

/**
 * The command that a key stands for: transfers between a bank and four accounts that may not go below zero, single and in
 * batches, some of them late, into a month that is closed and opened again by three people, some in a foreign currency at rates that
 * are recorded meanwhile; and drafts. About a fifth is refused whatever the books say (an unknown account, a frozen one, an amount
 * that nobody has).
 */
export function commandOf(key: string, told: Told): Command {
  const bytes = bytesOf(key);
  const entry = (n: number): PostEntry => {
    const [kind = 0, which = 0, cents = 0, other = 0] = bytes.subarray(1 + 4 * n);
    const account = hot[which % hot.length] as string;
    const amount = `${cents >> 5}.${String(cents % 100).padStart(2, '0')}`;
    if (kind < 18) return transfer(account, 'nowhere', '1.00');
    if (kind < 36) return transfer('bank', account, '1000000.00');
    if (kind < 54) return transfer(account, 'frozen', '1.00');
    const positive = amount === '0.00' ? '0.01' : amount;
    if (kind < 160) return transfer(account, 'bank', positive);
    if (kind < 220) return transfer('bank', account, positive);
    return transfer(hot[other % hot.length] === account ? 'bank' : (hot[other % hot.length] as string), account, positive);
  };
  const [shape = 0, kind = 0, which = 0, cents = 0] = bytes;
  const draft = draftPlace(key);
  // Not in the month that is closed: one that stays undone would stand in the way of every close.
  if (draft?.place === 'written') return { ...entry(0), type: 'CreateDraft' };
  const entryId = draft === undefined ? undefined : idIn(told(draft.written));
  if (draft !== undefined && entryId !== undefined) {
    if (draft.place === 'submitted') return { type: 'SubmitDraft', entryId };
    if (kind < 180) return { type: 'ApproveDraft', entryId };
    return kind < 220 ? { type: 'RejectDraft', entryId, reason: 'not so' } : { type: 'DiscardDraft', entryId };
  }
  if (shape < 20) return { type: 'PostEntries', atomic: shape < 10, entries: [0, 1, 2].map((n) => withoutType(entry(n))) };
  // The last of these is known already now and then.
  if (shape < 26) return { type: 'RecordRates', rates: [rateOf(`0.9${kind % 8}`), rateOf(`0.9${which % 8}`)] };
  if (shape < 36) return transfer('usd:0', 'usd:1', `${1 + which}.${10 + (cents % 90)}`, { currency: 'USD' });
  const period = { fiscalYear: '2026', period: 2, reason: 'for the auditor' } as const;
  if (shape < 40) return { type: 'ClosePeriod', ...period, level: 'soft', includeEarlier: true };
  if (shape < 44) return { type: 'RequestReopening', ...period };
  if (shape < 48) return { type: kind < 170 ? 'ApproveReopening' : 'DeclineReopening', ...period };
  return shape < 64 ? { ...entry(0), ...late(which) } : entry(0);
}

type Actor = Pick<CommandContext, 'userId'> & { readonly isController: boolean };

/** A clerk, and three people who may close periods. */
export const actors: readonly Actor[] = [contextOf(''), ...[1, 2, 3].map((who) => controllerContext('', who))].map(
  ({ userId, isController = false }) => ({ userId, isController }),
);

/** Who sends it: closing and approving is done by several people, who post something now and then, also late entries. */
export function actorOf(key: string, { type }: Pick<Command, 'type'>): Actor {
  const [, , , , who = 0] = bytesOf(key);
  const isForPeople = type === 'ClosePeriod' || type.endsWith('Reopening') || type === 'ApproveDraft' || (type === 'PostEntry' && who < 20);
  return actors[isForPeople ? 1 + (who % 3) : 0] as Actor;
}

const bytesOf = (key: string): Buffer => createHash('sha256').update(`${seed}/${key}`).digest();
const idIn = (body: string | undefined): string | undefined => (JSON.parse(body ?? '{}') as { id?: string }).id;
const late = (which: number): Pick<PostEntry, 'effectiveDate' | 'onClosedPeriod'> => ({
  effectiveDate: lateDay,
  ...(which % 2 === 0 ? { onClosedPeriod: 'first_open_day' as const } : {}),
});
const rateOf = (value: string): Extract<Command, { type: 'RecordRates' }>['rates'][number] => ({
  ...{ from: 'USD', to: 'EUR', rateType: 'spot', date: day, value, source: 'ECB' },
});

function transfer(debit: string, credit: string, amount: string, { currency = 'EUR' } = {}): PostEntry {
  const line = (account: string, side: EntryLine['side']): EntryLine => ({ account, side, amount, currency });
  const lines = [line(debit, 'debit'), line(credit, 'credit')];
  return { type: 'PostEntry', effectiveDate: day, description: 'transfer', lines };
}

const withoutType = ({ type: _type, ...entry }: PostEntry): Omit<PostEntry, 'type'> => entry;

/** A call that posts each entry on its own may tell that the outcome of some of them is not known: it is to be repeated. */
export const isFinal = ({ body }: Pick<Answer, 'body'>): boolean => !/"code":"(database_unavailable|queue_full|internal)"/.test(body);

/** What callers of one book were told. */
export class Witness {
  readonly answers = new Map<string, Pick<Answer, 'status' | 'body'>>();
  /** Keys that were answered in two ways. */
  readonly contradictions: string[] = [];
  /** Answers that the ledger called repetitions. */
  replayed = 0;

  constructor(readonly bookId: string) {}

  /** The command that a key stood for, by what its caller knew. */
  commandOf(key: string): Command {
    return commandOf(key, (other) => this.answers.get(other)?.body);
  }

  tell(key: string, { status, body, replayed }: Answer): void {
    const before = this.answers.get(key);
    if (before !== undefined && (before.status !== status || before.body !== body))
      this.contradictions.push(`${key}: ${before.status} ${before.body}, then ${status} ${body}`);
    this.answers.set(key, { status, body });
    if (replayed) this.replayed++;
  }
}

export interface Audit {
  readonly acknowledged: number;
  readonly refused: number;
  readonly events: number;
  /** What is wrong, each with its key; empty when all is well. */
  readonly lost: readonly string[];
  readonly doubled: readonly string[];
  readonly contradictions: readonly string[];
}

/**
 * Judges a book that nobody writes any more.
 * @param admin a superuser's connection
 * @throws Error when the book itself is inconsistent: positions, versions, numbers, totals, heads, limits, balances
 */
export async function audit(admin: Client, witness: Witness): Promise<Audit> {
  const { bookId, answers } = witness;
  const { events, accounts } = await checkBook(admin, bookId);
  const { rows: batches } = await admin.query<{ position: number; at: string; before: string | null }>(
    `SELECT last_position AS position, recorded_at AS at, lag(recorded_at) OVER (ORDER BY last_position) AS before FROM log.batches WHERE book_id = $1`,
    [bookId],
  );
  for (const { position, at, before } of batches)
    if (before !== null && at <= before) throw new Error(`I10: the batch that ends at ${position} was recorded at ${at}, after ${before}`);
  const limited = new Set([...accounts].filter(([, { code }]) => hot.includes(code)).map(([id]) => id));
  const recorded = new Map<string, string[]>();
  let rate = '';
  for (const { eventType, streamId, position, metadata, data } of events) {
    const { totalDebit, totalCredit } = data as Record<string, string>;
    if (limited.has(streamId) && totalDebit !== undefined && Number(totalDebit) < Number(totalCredit))
      throw new Error(`overdraft at position ${position}: ${totalDebit} in, ${totalCredit} out`);
    // The first one the book was opened with.
    const isOpening = eventType === 'ExchangeRateRecorded' && rate === '';
    if (eventType === 'ExchangeRateRecorded') rate = String(data.value);
    for (const line of eventType === 'JournalEntryPosted' ? (data.lines as PostedLine[]) : [])
      if (line.currency === 'USD' && line.rate?.value !== rate)
        throw new Error(`position ${position} is converted at ${line.rate?.value}, the rate recorded last is ${rate}`);
    const { commandKey } = metadata as { commandKey?: string };
    if (commandKey === undefined || isOpening || !commandEvents.test(eventType)) continue;
    recorded.set(commandKey, [...(recorded.get(commandKey) ?? []), eventType]);
  }

  const { rows: receipts } = await admin.query<{ key: string; item: number; status: number; answer: string }>(
    'SELECT key, item, status, answer FROM log.receipts WHERE book_id = $1 ORDER BY key, item',
    [bookId],
  );
  const remembered = new Map<string, { status: number; answer: string }[]>();
  for (const { key, item, status, answer } of receipts) {
    const items = remembered.get(key) ?? [];
    items[item] = { status, answer };
    remembered.set(key, items);
  }

  const lost: string[] = [];
  const doubled: string[] = [];
  const sums = new Map<string, bigint>();
  /** In the order of keys: a draft is written before anything else is done with it. */
  const drafts = new Map<string, Omit<PostEntry, 'type'>>();
  let refused = 0;
  for (const [key, { status, body }] of answers) {
    const command = witness.commandOf(key);
    const entries = entriesIn(command, status, body, (id) => drafts.get(id));
    const told = eventsIn(command, status, body, entries.length);
    if (told.length === 0) refused++;
    if (command.type === 'CreateDraft' && status < 400) drafts.set(idIn(body) ?? '', command);
    for (const { lines } of entries) {
      for (const { account, side, amount } of lines.filter(({ currency }) => currency === 'EUR')) {
        const cents = BigInt(amount.replace('.', ''));
        sums.set(account, (sums.get(account) ?? 0n) + (side === 'debit' ? cents : -cents));
      }
    }
    const receipt = answerOf(command, remembered.get(key));
    if (receipt === undefined) lost.push(`${key}: ${status} without a receipt`);
    else if (receipt.status !== status || receipt.body !== body)
      lost.push(`${key}: was told ${status} ${body}, the receipt says ${receipt.status} ${receipt.body}`);
    const found = recorded.get(key) ?? [];
    const both = `${key}: acknowledged were ${told.join(', ') || 'no events'}, there are ${found.join(', ') || 'none'}`;
    if (surplus(told, found).length > 0) lost.push(both);
    if (surplus(found, told).length > 0) doubled.push(both);
    recorded.delete(key);
  }
  for (const [key, found] of recorded) doubled.push(`${key}: nobody was told of ${found.join(', ')}`);
  // Nobody's update is lost: what was acknowledged adds up to the balance. Not where an effect is missing or double anyway.
  if (lost.length === 0 && doubled.length === 0) {
    for (const account of ['bank', ...hot]) {
      const balance = balanceIn(accounts, account);
      if (balance !== (sums.get(account) ?? 0n))
        throw new Error(`${account}: the acknowledged entries make ${sums.get(account)}, the balance is ${balance}`);
    }
  }
  return { acknowledged: answers.size, refused, events: events.length, lost, doubled, contradictions: witness.contradictions };
}

/** What a command does to the books; not what it needs besides, such as a fiscal year or a currency, nor lines of accounts. */
const commandEvents = /^(Journal(?!Defined)|Period|ExchangeRate)/;

/** What is in the first list, and not in the second or not as often. */
function surplus(some: readonly string[], others: readonly string[]): string[] {
  const left = [...others];
  return some.filter((one) => {
    const place = left.indexOf(one);
    if (place >= 0) left.splice(place, 1);
    return place < 0;
  });
}

/** Types of the events that an answer tells of. @param entries how many it says are posted */
function eventsIn(command: Command, status: number, body: string, entries: number): string[] {
  const posted = Array.from({ length: entries }, () => 'JournalEntryPosted');
  if (status >= 400) return [];
  switch (command.type) {
    case 'RecordRates':
      return command.rates.map(() => 'ExchangeRateRecorded');
    case 'ClosePeriod':
      return (JSON.parse(body) as { closed: object[] }).closed.map(() => 'PeriodClosed');
    case 'ApproveDraft':
      return ['JournalApproved', ...posted];
    default:
      return [...(eventOf[command.type] ?? []), ...posted];
  }
}

const eventOf: Readonly<Record<string, readonly string[]>> = {
  CreateDraft: ['JournalCreated'],
  SubmitDraft: ['JournalSubmitted'],
  RejectDraft: ['JournalRejected'],
  DiscardDraft: ['JournalDiscarded'],
  RequestReopening: ['PeriodReopeningRequested'],
  ApproveReopening: ['PeriodReopened'],
  DeclineReopening: ['PeriodReopeningDeclined'],
};

/** The entries of a command that an answer says are posted. @param draft by its id */
function entriesIn(
  command: Command,
  status: number,
  body: string,
  draft: (id: string) => Omit<PostEntry, 'type'> | undefined,
): readonly Omit<PostEntry, 'type'>[] {
  if (status >= 400) return [];
  if (command.type === 'PostEntry') return [command];
  if (command.type === 'ApproveDraft') return [draft(command.entryId) ?? unknownDraft(command.entryId)];
  if (command.type !== 'PostEntries') return [];
  const { results } = JSON.parse(body) as { results: { problem?: object }[] };
  return command.entries.filter((_, index) => results[index]?.problem === undefined);
}

function unknownDraft(id: string): never {
  throw new Error(`draft ${id} was approved, and nobody was told that it was written`);
}

/** The answer that the receipts of a key hold. */
function answerOf(command: Command, items: { status: number; answer: string }[] | undefined): { status: number; body: string } | undefined {
  const [first, ...rest] = items ?? [];
  if (first === undefined) return undefined;
  if (command.type !== 'PostEntries' || command.atomic || first.status >= 400) return { status: first.status, body: first.answer };
  const results = rest.map(({ status, answer }) => (status < 400 ? answer : `{"problem":${answer}}`));
  return { status: first.status, body: `{"results":[${results.join(',')}]}` };
}

// --- Projections ---

const tables = projections.flatMap((projection) => projection.tables.map(({ name }) => name));

/** Waits until whoever folds has folded all of a book into the live sets. @throws Error after `timeoutMs` */
export async function folded(admin: Client, bookId: string, timeoutMs = 60_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const { rows } = await admin.query<{ head: number; cursor: number | null; known: number }>(
      `SELECT h.position AS head, min(c.position) AS cursor, count(c.position) AS known
         FROM log.book_heads h LEFT JOIN projections.cursors c ON c.book_id = h.book_id AND strpos(c.projection, '~') = 0
        WHERE h.book_id = $1 GROUP BY h.position`,
      [bookId],
    );
    const { head, cursor, known } = rows[0] ?? { head: 0, cursor: 0, known: 0 };
    if (known > 0 && cursor === head) return;
    if (performance.now() > deadline) throw new Error(`${bookId} is folded up to ${cursor} of ${head} after ${timeoutMs} ms`);
    await sleep(20);
  }
}

/**
 * Compares the projected rows of a book that is folded with its log: every line and every entry once, none too many; with what
 * `verify` derives, which looks at the whole book; and with the rows that come out when the book is folded again (I7).
 * @returns the number of rows compared
 * @throws Error naming table and row
 */
export async function checkProjections(admin: Client, url: string, bookId: string): Promise<number> {
  const { rows } = await admin.query<{ missing: number; surplus: number; entries: number }>(
    `WITH lines AS (
       SELECT e.position, (l ->> 'accountId')::uuid AS account_id, (l ->> 'line')::int AS line, (l ->> 'amount')::numeric AS amount
         FROM log.events e, jsonb_array_elements(e.data -> 'lines') AS l WHERE e.book_id = $1 AND e.event_type = 'JournalEntryPosted'
     ), kept AS (SELECT position, account_id, line, amount FROM projections.account_lines WHERE book_id = $1)
     SELECT (SELECT count(*) FROM (TABLE lines EXCEPT ALL TABLE kept) AS m) AS missing,
            (SELECT count(*) FROM (TABLE kept EXCEPT ALL TABLE lines) AS s) AS surplus,
            (SELECT count(*) FROM (
               SELECT position FROM log.events WHERE book_id = $1 AND event_type = 'JournalEntryPosted'
               EXCEPT ALL SELECT position FROM projections.entries WHERE book_id = $1) AS e) AS entries`,
    [bookId],
  );
  const { missing, surplus, entries } = rows[0] ?? {};
  if (missing !== 0 || surplus !== 0 || entries !== 0)
    throw new Error(`${bookId}: ${missing} lines and ${entries} entries were skipped, ${surplus} lines are there that no event has`);
  const before = await projected(admin, bookId);
  const pool = openPool(url, { max: 4 });
  const projector = new Projector(new EventStore(pool, catalogue), pool);
  try {
    const { books, installation } = await verifyBooks(pool, { books: [bookId] });
    const findings = [...books.flatMap((book) => book.findings), ...installation];
    if (books.length !== 1 || findings.length > 0) throw new Error(`verify: ${JSON.stringify(findings.slice(0, 5))}`);
    await projector.refold(bookId);
    projector.start();
    const { rows: heads } = await admin.query<{ position: number }>('SELECT position FROM log.book_heads WHERE book_id = $1', [bookId]);
    await projector.caughtUp(bookId, heads[0]?.position ?? 0, 120_000);
  } finally {
    await projector.stop();
    await pool.end();
  }
  const after = await projected(admin, bookId);
  if (before.length !== after.length) throw new Error(`I7: ${bookId} had ${before.length} rows, folded again it has ${after.length}`);
  const different = before.findIndex((row, index) => row !== after[index]);
  if (different >= 0) throw new Error(`I7: ${bookId} had ${before[different]}, folded again ${after[different]}`);
  return after.length;
}

async function projected(admin: Client, bookId: string): Promise<string[]> {
  const found: string[] = [];
  for (const table of tables) {
    const { rows } = await admin.query<{ row: string }>(
      `SELECT '${table} ' || t::text AS row FROM projections.${table} t WHERE book_id = $1 ORDER BY t::text COLLATE "C"`,
      [bookId],
    );
    for (const { row } of rows) found.push(row);
  }
  return found;
}

// --- Chance and results ---

/** A small seeded generator (mulberry32): whole numbers from 0 up to `below`. */
export function chance(own: number): (below: number) => number {
  let state = own >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below);
  };
}

/** Prints a suite's figures as one JSON line, and appends it to FAULT_RESULTS where that names a file. */
export function report(suite: string, figures: Readonly<Record<string, number | string>>): void {
  const line = JSON.stringify({ suite, seed, ...figures });
  process.stdout.write(`${line}\n`);
  if (process.env.FAULT_RESULTS) appendFileSync(process.env.FAULT_RESULTS, `${line}\n`);
}
