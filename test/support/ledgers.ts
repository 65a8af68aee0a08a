/**
 * Ledgers for specs: each call is what a process of the service is to the database, with its own memory, pool and
 * connections, logged in as the service is. Also the books and accounts that many specs start from.
 */
import type { Client, Pool } from 'pg';
import type { AccountState, EntryLine, OpenAccount, OpenBook, PostEntry } from '#domain';
import { accountReducer } from '#domain';
import { EventStore, type RecordedEvent } from '#event-store';
import { type Answer, type Command, type CommandContext, catalogue, Ledger, type LedgerOptions } from '#ledger';
import { connect, openPool } from '#postgres';
import { checkBaseAmounts, checkPeriods, type LoggedEvent } from './periods';

export interface TestLedger {
  readonly ledger: Ledger;
  readonly store: EventStore;
  readonly pool: Pool;
  close(): Promise<void>;
}

export const testConfig: LedgerOptions['config'] = {
  STATE_CACHE_MB: 16,
  WRITER_CONNECTIONS: 4,
  QUEUE_PER_BOOK: 10_000,
  QUEUE_TOTAL: 50_000,
  QUEUE_MB: 64,
  COMMAND_DEADLINE_MS: 30_000,
};

/** Starts a ledger of its own on the database at `url`. */
export function startLedger(url: string, options: Partial<LedgerOptions> = {}): TestLedger {
  const pool = openPool(url, { max: 4, queryTimeoutMs: options.config?.COMMAND_DEADLINE_MS ?? testConfig.COMMAND_DEADLINE_MS });
  const store = new EventStore(pool, catalogue);
  const ledger = new Ledger(store, {
    connect: () => connect(url, { pipeline: true }),
    release: 'test',
    ...options,
    config: { ...testConfig, ...options.config },
  });
  return {
    ledger,
    store,
    pool,
    async close() {
      await ledger.close();
      await pool.end();
    },
  };
}

const testUser = '01930000-0000-7000-8000-000000000001';

export function contextOf(key: string, more: Partial<CommandContext> = {}): CommandContext {
  return { key, userId: testUser, source: 'job', ...more };
}

let keys = 0;

/** Carries out a command under a key of its own. */
export function run(ledger: Ledger, bookId: string, command: Command, key = `key-${++keys}`): Promise<Answer> {
  return ledger.execute(bookId, command, contextOf(key));
}

/** Opens a book of 2026 in EUR with asset accounts of these codes. */
export async function openBookWith(
  ledger: Ledger,
  bookId: string,
  accounts: readonly (string | Partial<OpenAccount>)[],
  more: Partial<OpenBook> = {},
): Promise<void> {
  const opened = [
    await run(ledger, bookId, {
      type: 'OpenBook',
      id: bookId,
      name: bookId,
      baseCurrency: 'EUR',
      fiscalYearStart: '01-01',
      startsOn: '2026-01-01',
      ...more,
    }),
  ];
  for (const account of accounts) {
    const given = typeof account === 'string' ? { code: account } : account;
    opened.push(await run(ledger, bookId, { type: 'OpenAccount', code: 'x', name: given.code ?? 'x', accountType: 'asset', ...given }));
  }
  const refused = opened.find(({ status }) => status !== 201);
  if (refused !== undefined) throw new Error(refused.body);
}

/** An entry that moves an amount of EUR from one account to another. */
export function transfer(debit: string, credit: string, amount: string, more: Partial<PostEntry> = {}): PostEntry {
  const line = (account: string, side: EntryLine['side']): EntryLine => ({ account, side, amount, currency: 'EUR' });
  return {
    type: 'PostEntry',
    effectiveDate: '2026-03-01',
    description: 'transfer',
    lines: [line(debit, 'debit'), line(credit, 'credit')],
    ...more,
  };
}

/**
 * Everything that must hold of a book whatever happened to it; throws with what does not. Reads as superuser.
 * @param controllers as of checkPeriods
 */
export async function checkBook(
  admin: Client,
  bookId: string,
  controllers: Iterable<string> = [],
): Promise<{ readonly events: RecordedEvent[]; readonly accounts: Map<string, AccountState> }> {
  const { rows } = await admin.query(
    `SELECT position, stream_id AS "streamId", version, event_type AS "eventType", event_id AS "eventId", recorded_at AS "recordedAt",
            data, data AS current, metadata FROM log.events WHERE book_id = $1 ORDER BY position`,
    [bookId],
  );
  const events = rows as RecordedEvent[];
  const versions = new Map<string, number>();
  const accounts = new Map<string, AccountState>();
  const numbers = new Map<string, number>();
  const sums = new Map<string, { debit: bigint; credit: bigint }>();
  // Before anything that reads the log in order: what a close says of the events before it is only as good as their order.
  events.forEach(({ position }, index) => {
    if (position !== index + 1) throw new Error(`I4: position ${position} follows ${index}`);
  });
  checkPeriods(events as unknown as LoggedEvent[], controllers);
  checkBaseAmounts(events as unknown as LoggedEvent[]);
  events.forEach((event, index) => {
    const version = (versions.get(event.streamId) ?? 0) + 1;
    if (event.version !== version) throw new Error(`I5: version ${event.version} of ${event.streamId} follows ${version - 1}`);
    versions.set(event.streamId, version);
    const before = events[index - 1];
    if (before !== undefined && before.recordedAt > event.recordedAt)
      throw new Error(`I10: ${event.recordedAt} follows ${before.recordedAt}`);
    const folded = { type: event.eventType as never, data: event.data as never };
    if (event.eventType.startsWith('Account') && event.eventType !== 'AccountDesignated')
      accounts.set(event.streamId, accountReducer.evolve(accounts.get(event.streamId), folded, event.streamId));
    if (event.eventType === 'AccountDebited' || event.eventType === 'AccountCredited') {
      const { amount, currency, totalDebit, totalCredit } = event.data as Record<string, string>;
      const sum = sums.get(event.streamId + currency) ?? { debit: 0n, credit: 0n };
      sum[event.eventType === 'AccountDebited' ? 'debit' : 'credit'] += digits(amount);
      sums.set(event.streamId + currency, sum);
      if (digits(totalDebit) !== sum.debit || digits(totalCredit) !== sum.credit)
        throw new Error(`I15: totals at position ${event.position}`);
    }
    if (event.eventType === 'JournalEntryPosted') {
      const { journalCode, fiscalYear, number } = event.data as { journalCode: string; fiscalYear: string; number: number };
      const address = `${journalCode}/${fiscalYear}`;
      if (number !== (numbers.get(address) ?? 0) + 1) throw new Error(`number ${address}/${number} follows ${numbers.get(address)}`);
      numbers.set(address, number);
    }
  });
  const heads = await admin.query('SELECT stream_id, version, state FROM log.heads WHERE book_id = $1', [bookId]);
  for (const { stream_id, version, state } of heads.rows) {
    const account = accounts.get(stream_id);
    if (account === undefined) continue;
    if (version !== account.version) throw new Error(`head of ${account.code} is at version ${version}, its events at ${account.version}`);
    const totals = (snapshot: AccountState): string =>
      snapshot.totals
        .map(({ currency, debit, credit }) => `${currency} ${debit} ${credit}`)
        .sort()
        .join();
    const kept = accountReducer.fromSnapshot(state, stream_id, version);
    if (totals(kept) !== totals(account)) throw new Error(`head of ${account.code} says ${totals(kept)}, its events ${totals(account)}`);
  }
  const head = await admin.query('SELECT position FROM log.book_heads WHERE book_id = $1', [bookId]);
  if ((head.rows[0]?.position ?? 0) !== events.length) throw new Error(`head at ${head.rows[0]?.position}, ${events.length} events`);
  return { events, accounts };
}

const digits = (amount = ''): bigint => BigInt(amount.replace('.', ''));

/** Balance of an account in EUR minor units, debits minus credits, from what checkBook folded. */
export function balanceIn(accounts: Map<string, AccountState>, code: string): bigint {
  const account = [...accounts.values()].find((known) => known.code === code);
  const total = account?.totals.find(({ currency }) => currency === 'EUR');
  return (total?.debit ?? 0n) - (total?.credit ?? 0n);
}
