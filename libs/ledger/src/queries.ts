/**
 * Queries: everything that the REST contract reads, as the objects that become its JSON. Hides where an answer comes from
 * (heads, streams, projections, or the part of the log that no projection has folded yet). Guarantees that an answer includes
 * every entry acknowledged before the question, or says `projection_behind` (I14); that it names the position it holds for;
 * and that the same question at that position is answered the same way for ever.
 *
 * Amounts are strings with exactly the decimals of their currency. `net` is debit − credit, `balance` the same in the sign of
 * the account's normal side. Accounts show the code that was valid at the position; any code they ever had finds them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool, PoolClient } from 'pg';
import {
  accountReducer,
  type BookOpened,
  type BookState,
  bookIdForm,
  bookReducer,
  type CalendarDate,
  type CloseLevel,
  type DraftContent,
  type FiscalYear,
  firstDate,
  fromMinor,
  type JournalDraft,
  type JournalEntryPosted,
  type JournalState,
  journalReducer,
  LedgerError,
  lastDate,
  type Period,
  type PeriodClosed,
  type PeriodState,
  type PostedLine,
  periodKey,
  type Rate,
  type RatePair,
  type Side,
  statusOfPeriod,
} from '#domain';
import { definitionOf, type Envelope, type EventStore, envelopeOf, instantMicros, type RecordedEvent, versionsOf } from '#event-store';
import { uuidArray } from '#postgres';
import { checkDate, checkRange, dateInvalid, filterHash, limitMax, limitOf, malformed, type Page, readCursor, writeCursor } from './asking';
import { accountCodes, bookStreamId, draftsStreamId } from './catalogue';
import { foldedUpTo, type Projection } from './projection';
import {
  type AccountBalance,
  type AddedLine,
  addLine,
  asOf,
  balanceAt,
  balanceAtHead,
  FoldedTooLittle,
  rowsEndBefore,
  sorted,
  type Totals,
  totalsOfAccounts,
} from './projections/as-of';
import { type AccountView, accountsAt, accountsFrom, afterCode, chart } from './projections/chart';
import { type EntrySearch, type EntrySort, entrySorts, findEntries, register } from './projections/register';
import { ratesOfPair } from './rates';
import { foldDrafts, readDrafts, yearDraftsVersion } from './year-drafts';

/** The recorded axis: a position (number or digits), an RFC 3339 instant, or a close (see closeNamed). */
export type KnownAt = string | number;

/** Amounts of one currency. */
export interface CurrencyBalance {
  readonly currency: string;
  readonly debit: string;
  readonly credit: string;
  readonly net: string;
  readonly balance: string;
  /** The same four of the base amounts of the lines, in a book with fx=tracked; absent in others. */
  readonly baseDebit?: string;
  readonly baseCredit?: string;
  readonly baseNet?: string;
  readonly baseBalance?: string;
}

/** What an answer about the past says about itself; asOf and knownAt as they were asked for. */
interface AsKnown {
  readonly asOf?: CalendarDate;
  readonly knownAt?: KnownAt;
  /** The position that the answer holds for. */
  readonly position: number;
}

export interface BookAnswer extends BookOpened {
  readonly id: string;
  readonly fiscalYears: readonly FiscalYear[];
  readonly position: number;
}

export interface FiscalYearAnswer extends Omit<FiscalYear, 'periods'> {
  readonly periods: readonly (Period & PeriodState)[];
}

/** An account without balances; `parent` is a code. */
export interface AccountAnswer extends Omit<AccountView, 'parentId'> {
  readonly parent?: string;
}

export interface BalanceAnswer extends AsKnown {
  readonly account: string;
  readonly balances: readonly CurrencyBalance[];
}

export interface BalancesAnswer extends AsKnown {
  readonly balances: readonly (CurrencyBalance & { readonly account: string })[];
  readonly nextCursor?: string;
}

/** A posted entry; each line says its account's code twice: `account` at the position asked for, `code` when it was posted. */
export interface EntryAnswer extends Omit<JournalEntryPosted, 'lines'> {
  readonly id: string;
  readonly position: number;
  readonly recordedAt: string;
  readonly userId?: string;
  readonly lines: readonly (PostedLine & { readonly account: string })[];
  /** Id of the entry that reversed this one. */
  readonly reversedBy?: string;
}

/** An entry as its author has it, whatever has become of it since. */
export interface DraftAnswer extends DraftContent, Omit<JournalDraft, 'content'> {
  readonly id: string;
  /** Of its newest event, as is recordedAt. */
  readonly position: number;
  readonly recordedAt: string;
}

export interface EntryFilters {
  readonly from?: CalendarDate;
  readonly to?: CalendarDate;
  /** Code of an account that at least one line is on. */
  readonly account?: string;
  readonly journalCode?: string;
  readonly entryType?: string;
  readonly reference?: string;
  /** Needs fiscalYear; of every day book unless journalCode is given too. */
  readonly number?: number;
  readonly fiscalYear?: string;
  readonly sort?: EntrySort;
  readonly knownAt?: KnownAt;
}

/** A book as it was known at one position, to be read as a whole, some rows at a time; the same for ever. */
export interface KnownBook {
  readonly id: string;
  readonly position: number;
  /** Absent at position 0, before the book was opened. */
  readonly state?: BookState;
  /** In the order of codes. */
  accounts(): AsyncGenerator<readonly AccountAnswer[]>;
  /** In the order of positions. @param range of effective dates, both included; all when absent */
  entries(range?: { readonly from: CalendarDate; readonly to: CalendarDate }): AsyncGenerator<readonly EntryAnswer[]>;
}

export interface EventAnswer extends Envelope {
  /** Hexadecimal. */
  readonly leafHash: string;
}

/** Accounts whose balances are read by one statement. */
const accountsPerRead = 250;
/** Entries of a whole book that are held at once; one has up to a thousand lines. */
const entriesPerRead = 250;
const uuidForm = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export class Queries {
  constructor(
    private readonly store: EventStore,
    private readonly pool: Pool,
    private readonly options: {
      /** See readWaitMs. */
      readonly readWaitMs: number;
    },
  ) {}

  /** Milliseconds that a question waits for what follows the log: projections, checkpoints. */
  get readWaitMs(): number {
    return this.options.readWaitMs;
  }

  // --- Books and what belongs to them: from the Book's head, always current ---

  /** All books, in the order of their ids. */
  async books(page: Page = {}): Promise<{ readonly books: readonly Omit<BookAnswer, 'fiscalYears'>[]; readonly nextCursor?: string }> {
    const limit = limitOf(page);
    const filter = filterHash('books', {});
    const after = readCursor(page, filter, ['text'])?.key[0] ?? '';
    const books: Omit<BookAnswer, 'fiscalYears'>[] = [];
    const ids = await this.store.books(after, limit + 1);
    for (const id of ids.slice(0, limit)) {
      const book = await this.findBook(id);
      // A book is entered into the directory before it is opened; until then there is nothing to show.
      if (book === undefined) continue;
      // Two centuries of periods a book would make a page of many megabytes; GET …/fiscal-years has them.
      const { fiscalYears: _years, ...shown } = bookAnswer(id, book);
      books.push(shown);
    }
    return { books, nextCursor: ids.length > limit ? writeCursor(filter, 0, [ids[limit - 1] as string]) : undefined };
  }

  /** @throws LedgerError book_unknown */
  async book(bookId: string): Promise<BookAnswer> {
    return bookAnswer(bookId, await this.currentBook(bookId));
  }

  /** Currencies that were declared or used. */
  async currencies(
    bookId: string,
  ): Promise<{ readonly position: number; readonly currencies: readonly { readonly code: string; readonly scale: number }[] }> {
    const { state, position } = await this.currentBook(bookId);
    const currencies = Object.entries(state.currencies).map(([code, scale]) => ({ code, scale }));
    return { position, currencies: currencies.sort((a, b) => (a.code < b.code ? -1 : 1)) };
  }

  /** Day books. */
  async journals(bookId: string): Promise<{ readonly position: number; readonly journals: BookState['journals'] }> {
    const { state, position } = await this.currentBook(bookId);
    return { position, journals: [...state.journals].sort((a, b) => (a.journalCode < b.journalCode ? -1 : 1)) };
  }

  async fiscalYears(bookId: string): Promise<{ readonly position: number; readonly fiscalYears: readonly FiscalYearAnswer[] }> {
    const { state, position } = await this.currentBook(bookId);
    const fiscalYears = state.fiscalYears.map((year) => ({
      ...year,
      periods: year.periods.map((period) => ({
        ...period,
        status: statusOfPeriod(state, year.label, period.no),
        reopening: state.periods[periodKey({ fiscalYear: year.label, period: period.no })]?.reopening,
      })),
    }));
    return { position, fiscalYears };
  }

  /** Accounts that take what the service computes, with their codes now. */
  async designatedAccounts(
    bookId: string,
  ): Promise<{ readonly position: number; readonly designated: readonly { readonly role: string; readonly account: string }[] }> {
    const { state, position } = await this.currentBook(bookId);
    const ids = Object.values(state.designated);
    const heads = await this.store.heads(bookId, ids, () => accountReducer.version);
    const designated: { role: string; account: string }[] = [];
    for (const [role, id] of Object.entries(state.designated)) {
      const head = heads.get(id);
      const known = head === undefined ? undefined : accountReducer.fromSnapshot(head.state, id, head.version);
      const account = known ?? (await this.store.load(bookId, id, accountReducer))?.state;
      if (account !== undefined) designated.push({ role, account: account.code });
    }
    return { position, designated: designated.sort((a, b) => (a.role < b.role ? -1 : 1)) };
  }

  /** Exchange rates of one pair and type as known at a position, by date. */
  async rates(
    bookId: string,
    {
      knownAt,
      rateType = 'spot',
      ...pair
    }: Omit<RatePair, 'rateType'> & { readonly rateType?: RatePair['rateType']; readonly knownAt?: KnownAt },
  ): Promise<RatePair & { readonly position: number; readonly rates: readonly Rate[] }> {
    const position = await this.pin(bookId, knownAt);
    const { from, to } = pair;
    return { from, to, rateType, position, rates: await ratesOfPair(this.store, bookId, position, { from, to, rateType }) };
  }

  private async currentBook(bookId: string): Promise<{ state: BookState; position: number }> {
    const book = bookIdForm.test(bookId) ? await this.findBook(bookId) : undefined;
    if (book === undefined) throw bookUnknown(bookId);
    return book;
  }

  private async findBook(bookId: string): Promise<{ state: BookState; position: number } | undefined> {
    const streamId = bookStreamId(bookId);
    const { rows } = await this.pool.query<{ position: number; state: unknown }>({
      name: 'book-at-head',
      text: `SELECT h.position, (SELECT s.state FROM log.heads s WHERE s.book_id = $1 AND s.stream_id = $2 AND s.reducer_version = $3) AS state
               FROM log.book_heads h WHERE h.book_id = $1 AND h.position > 0`,
      values: [bookId, streamId, bookReducer.version],
    });
    const row = rows[0];
    if (row === undefined) return undefined;
    const state = row.state === null ? (await this.store.load(bookId, streamId, bookReducer))?.state : bookReducer.fromSnapshot(row.state);
    return state === undefined ? undefined : { state, position: row.position };
  }

  // --- Accounts ---

  /** The chart of accounts in the order of codes (bytes of UTF-8). */
  async accounts(
    bookId: string,
    { knownAt, ...page }: Page & { readonly knownAt?: KnownAt } = {},
  ): Promise<AsKnown & { readonly accounts: readonly AccountAnswer[]; readonly nextCursor?: string }> {
    const limit = limitOf(page);
    const filter = filterHash('accounts', { bookId, knownAt });
    const cursor = readCursor(page, filter, ['text']);
    const position = await this.pin(bookId, knownAt, cursor);
    const from = cursor === undefined ? '' : afterCode(cursor.key[0]);
    return this.folded(bookId, position, [chart], async (database) => {
      const found = await accountsFrom(database, bookId, position, from, limit + 1);
      const shown = found.slice(0, limit);
      const parentIds = shown.flatMap(({ parentId }) => parentId ?? []);
      const parents = await accountsAt(database, bookId, parentIds, position);
      const nextCursor = found.length > limit ? writeCursor(filter, position, [shown.at(-1)?.code ?? '']) : undefined;
      return { knownAt, position, accounts: shown.map((account) => accountAnswer(account, parents)), nextCursor };
    });
  }

  /** @throws LedgerError account_unknown (not_found) when no code leads to an account that existed then */
  async account(bookId: string, code: string, { knownAt }: { readonly knownAt?: KnownAt } = {}): Promise<AccountAnswer & AsKnown> {
    const position = await this.pin(bookId, knownAt);
    const id = await this.accountId(bookId, code);
    return this.folded(bookId, position, [chart], async (database) => {
      const account = await accountKnown(database, bookId, { id, code }, position);
      const parents = await accountsAt(database, bookId, account.parentId === undefined ? [] : [account.parentId], position);
      return { ...accountAnswer(account, parents), knownAt, position };
    });
  }

  /**
   * The account that a code leads to, as known at a position.
   * @throws LedgerError account_unknown (not_found) | projection_behind
   */
  async accountAt(bookId: string, code: string, position: number): Promise<AccountView> {
    const id = await this.accountId(bookId, code);
    return this.folded(bookId, position, [chart], (database) => accountKnown(database, bookId, { id, code }, position));
  }

  /** Codes are never given to another account, so the log's names lead to the account of any code that it ever has. */
  private async accountId(bookId: string, code: string, inPath = true): Promise<string> {
    const id = (await this.store.streamsByName(bookId, accountCodes, [code])).get(code);
    if (id === undefined) throw accountUnknown(code, undefined, inPath);
    return id;
  }

  // --- Balances ---

  /**
   * Balances of one account over lines with effective date ≤ asOf and position ≤ knownAt, per currency with such a line.
   * Never waits: what no projection has folded is read from the account's stream. Without asOf and knownAt from its head.
   * @throws LedgerError book_unknown | account_unknown (not_found) | date_invalid | malformed
   */
  async balance(
    bookId: string,
    code: string,
    { asOf: date, knownAt }: { readonly asOf?: CalendarDate; readonly knownAt?: KnownAt } = {},
  ): Promise<BalanceAnswer> {
    checkDate(date, 'asOf');
    const balance = await this.findBalance(bookId, code, date, knownAt);
    if (balance === undefined || balance.head === 0) throw bookUnknown(bookId);
    const { account, head, position, totals } = balance;
    if (position > head) throw notYet(position, head);
    if (account === undefined) {
      await this.accountId(bookId, code);
      throw accountUnknown(code, position);
    }
    return { account: account.code, asOf: date, knownAt, position, balances: totals.map((total) => balanceOf(total, account.normalSide)) };
  }

  /**
   * Of a book that tracks its base currency the head does not know the base amounts, so the totals are always read. Both ways take
   * one statement.
   */
  private async findBalance(bookId: string, code: string, date?: CalendarDate, knownAt?: KnownAt): Promise<AccountBalance | undefined> {
    if (!bookIdForm.test(bookId)) return undefined;
    const inBase = await this.trackedCurrency(bookId);
    if (date === undefined && knownAt === undefined && inBase === undefined) {
      const current = await balanceAtHead(this.pool, bookId, code);
      if (current !== undefined) return current;
    }
    const position = knownAt === undefined ? undefined : (positionIn(knownAt) ?? (await this.pin(bookId, knownAt)));
    const question = { bookId, code, asOf: date, knownAt: position, inBase };
    try {
      return await balanceAt(this.pool, this.store, question);
    } catch (error) {
      if (!(error instanceof FoldedTooLittle)) throw error;
      await this.folded(bookId, error.upTo, [asOf, chart], async () => {});
      return balanceAt(this.pool, this.store, question);
    }
  }

  /** The base currency of a book with fx=tracked, as it was opened for ever. */
  private async trackedCurrency(bookId: string): Promise<string | undefined> {
    const { fx, baseCurrency } = ((await this.store.opening(bookId)) ?? {}) as Partial<BookOpened>;
    return fx === 'tracked' ? baseCurrency : undefined;
  }

  /**
   * Balances of all accounts, by account code, then currency. Accounts without a line up to asOf and knownAt are left out,
   * and balances of zero (in base currency too, where it is tracked) unless includeZero. Headers have no balance of their own; nothing is rolled up.
   */
  async balances(
    bookId: string,
    {
      asOf: date,
      knownAt,
      includeZero = false,
      ...page
    }: Page & { readonly asOf?: CalendarDate; readonly knownAt?: KnownAt; readonly includeZero?: boolean } = {},
  ): Promise<BalancesAnswer> {
    checkDate(date, 'asOf');
    const limit = limitOf(page);
    const filter = filterHash('balances', { bookId, date, knownAt, includeZero });
    const cursor = readCursor(page, filter, ['text', 'text']);
    const position = await this.pin(bookId, knownAt, cursor);
    const { base, lines } = await this.splitBatch(bookId, position);
    const inBase = (await this.trackedCurrency(bookId)) !== undefined;
    const balances: (CurrencyBalance & { account: string })[] = [];
    await this.folded(bookId, position, [asOf, chart], async (database) => {
      balances.length = 0;
      let [from, done] = cursor?.key ?? ['', ''];
      while (balances.length <= limit) {
        const accounts = await accountsFrom(database, bookId, position, from, accountsPerRead);
        const ids = accounts.map(({ id }) => id);
        const totals = await totalsOfAccounts(database, bookId, ids, base, date);
        for (const { id, code, normalSide } of accounts) {
          for (const total of addLines(totals.get(id) ?? [], lines.get(id) ?? [], date)) {
            const seen = code === from && total.currency <= done;
            const zero = total.debit === total.credit && (!inBase || total.baseDebit === total.baseCredit);
            if (!seen && (includeZero || !zero)) balances.push({ account: code, ...balanceOf(total, normalSide, inBase) });
          }
        }
        if (accounts.length < accountsPerRead) break;
        from = afterCode(accounts.at(-1)?.code ?? '');
        done = '';
      }
    });
    const shown = balances.slice(0, limit);
    const last = shown.at(-1);
    const nextCursor = balances.length > limit && last ? writeCursor(filter, position, [last.account, last.currency]) : undefined;
    return { asOf: date, knownAt, position, balances: shown, nextCursor };
  }

  /** The last position up to another one at which running totals end and, when that lies before it, the lines in between by account. */
  private async splitBatch(bookId: string, position: number): Promise<{ base: number; lines: Map<string, DatedLine[]> }> {
    const base = rowsEndBefore(position, await this.store.batchEndBefore(bookId, position));
    const lines = new Map<string, DatedLine[]>();
    for (const { eventType, current } of base === position ? [] : await this.store.readFacts(bookId, base, position)) {
      if (eventType !== 'JournalEntryPosted') continue;
      const { effectiveDate, lines: posted } = current as unknown as JournalEntryPosted;
      for (const { accountId, currency, side, amount, baseAmount } of posted) {
        const line = { date: effectiveDate, currency, side, amount, baseAmount };
        const known = lines.get(accountId);
        if (known === undefined) lines.set(accountId, [line]);
        else known.push(line);
      }
    }
    return { base, lines };
  }

  // --- Entries ---

  /**
   * Posted entries by position, or by effective date and position. Every page shows the entries as they were at the position
   * that the first page was answered at.
   * @param options.walk all pages will be read (see findEntries)
   * @throws LedgerError account_unknown (rejected) for an unknown account in the filter, malformed for a cursor of other filters
   */
  async entries(
    bookId: string,
    { cursor: given, limit: wanted, ...filters }: EntryFilters & Page = {},
    { walk = false }: { readonly walk?: boolean } = {},
  ): Promise<AsKnown & { readonly entries: readonly EntryAnswer[]; readonly nextCursor?: string }> {
    const { from, to, account, journalCode, entryType, reference, number, fiscalYear, sort = 'position', knownAt } = filters;
    checkRange(from ?? firstDate, to ?? lastDate);
    if (!entrySorts.includes(sort)) throw malformed('sort', `sort "${sort}" is none of ${entrySorts.join(', ')}`);
    if (number !== undefined && (!Number.isSafeInteger(number) || number < 1))
      throw malformed('number', `number "${number}" is not a whole number from 1 on`);
    if (number !== undefined && fiscalYear === undefined)
      throw malformed('fiscalYear', 'number needs fiscalYear: numbers start again at 1 in each year');
    const limit = limitOf({ limit: wanted });
    const filter = filterHash('entries', { bookId, ...filters });
    const cursor = readCursor({ cursor: given }, filter, ['date', 'whole']);
    const position = await this.pin(bookId, knownAt, cursor);
    const search: EntrySearch = {
      from,
      to,
      journalCodes: journalCode === undefined ? undefined : [journalCode],
      entryType,
      reference,
      number,
      fiscalYear,
    };
    if (number !== undefined && journalCode === undefined) {
      const { state } = await this.currentBook(bookId);
      Object.assign(search, { journalCodes: state.journals.map((journal) => journal.journalCode) });
    }
    if (account !== undefined) {
      const accountId = await this.accountId(bookId, account, false);
      const head = (await this.store.heads(bookId, [accountId], () => accountReducer.version)).get(accountId);
      Object.assign(search, { accountId, accountEvents: head?.version });
    }
    const after = cursor === undefined ? undefined : { date: cursor.key[0], position: cursor.key[1] };
    const found = await this.folded(bookId, position, [register, chart], (database) =>
      findEntries(database, bookId, search, { sort, position, after, limit: limit + 1, walk }),
    );
    const shown = found.slice(0, limit);
    const ids = shown.map(({ entryId }) => entryId);
    const last = shown.at(-1);
    return {
      knownAt,
      position,
      entries: await this.entriesAt(bookId, ids, position),
      nextCursor: found.length > limit && last ? writeCursor(filter, position, [last.date, last.position]) : undefined,
    };
  }

  /**
   * One entry with everything its event says; read from its stream, so always current and never waiting. With knownAt as it
   * was then, once the chart of accounts is folded up to there.
   * @throws LedgerError entry_unknown (also when it was not posted yet at knownAt) | projection_behind with knownAt only
   */
  async entry(bookId: string, id: string, { knownAt }: { readonly knownAt?: KnownAt } = {}): Promise<EntryAnswer> {
    const position = await this.pin(bookId, knownAt);
    const entryId = id.toLowerCase();
    const unknown = new LedgerError('entry_unknown', `there is no journal entry ${id} in book ${bookId}${known(knownAt, position)}`, {
      entry: id,
    });
    if (!uuidForm.test(entryId)) throw unknown;
    const [entry] =
      knownAt === undefined ? await this.currentEntries(bookId, [entryId]) : await this.entriesAt(bookId, [entryId], position);
    if (entry === undefined) throw unknown;
    return entry;
  }

  /** Entries by their ids as known at a position, in the order of the ids; those that were not posted yet are left out. */
  async entriesAt(bookId: string, ids: readonly string[], position: number): Promise<EntryAnswer[]> {
    const events = (await this.store.readStreams(bookId, ids)).filter((event) => event.position <= position);
    const accounts = await this.folded(bookId, position, [chart], (database) => accountsAt(database, bookId, accountsIn(events), position));
    return entryAnswers(events, (accountId) => accounts.get(accountId)?.code);
  }

  private async currentEntries(bookId: string, ids: readonly string[]): Promise<EntryAnswer[]> {
    const events = await this.store.readStreams(bookId, ids);
    const accounts = accountsIn(events);
    const heads = await this.store.heads(bookId, accounts, () => accountReducer.version);
    const codes = new Map<string, string | undefined>();
    for (const id of accounts) {
      const head = heads.get(id);
      const state =
        head === undefined
          ? (await this.store.load(bookId, id, accountReducer))?.state
          : accountReducer.fromSnapshot(head.state, id, head.version);
      codes.set(id, state?.code);
    }
    return entryAnswers(events, (accountId) => codes.get(accountId));
  }

  // --- Drafts: from the heads that list them and from their streams, always current ---

  /** Drafts that are neither posted nor discarded, by effective date, then id. Each page shows what is open when it is asked for. */
  async drafts(
    bookId: string,
    page: Page = {},
  ): Promise<{ readonly position: number; readonly drafts: readonly DraftAnswer[]; readonly nextCursor?: string }> {
    const limit = limitOf(page);
    const filter = filterHash('drafts', { bookId });
    const cursor = readCursor(page, filter, ['date', 'text']);
    const { open, position } = await this.openDrafts(bookId);
    const [date, id] = cursor?.key ?? ['', ''];
    const rest = open.filter((draft) => draft.effectiveDate > date || (draft.effectiveDate === date && draft.id > id));
    const shown = rest.slice(0, limit);
    const last = shown.at(-1);
    return {
      position,
      drafts: await this.draftsAt(
        bookId,
        shown.map((draft) => draft.id),
        position,
      ),
      nextCursor: rest.length > limit && last ? writeCursor(filter, position, [last.effectiveDate, last.id]) : undefined,
    };
  }

  /**
   * One draft, also when it is posted or discarded.
   * @throws LedgerError entry_unknown, also for an entry that was posted directly
   */
  async draft(bookId: string, id: string): Promise<DraftAnswer> {
    const position = await this.pin(bookId, undefined);
    const entryId = id.toLowerCase();
    const [draft] = uuidForm.test(entryId) ? await this.draftsAt(bookId, [entryId], position) : [];
    if (draft === undefined) throw new LedgerError('entry_unknown', `there is no draft ${id} in book ${bookId}`, { entry: id });
    return draft;
  }

  private async openDrafts(
    bookId: string,
  ): Promise<{ readonly position: number; readonly open: readonly { readonly id: string; readonly effectiveDate: CalendarDate }[] }> {
    let { state } = await this.currentBook(bookId);
    for (;;) {
      const { fiscalYears, version } = state;
      const ids = new Map(fiscalYears.map(({ label }) => [draftsStreamId(bookId, label), label]));
      // All at one position; where the Book has moved meanwhile, there may be a year that was not asked for.
      const { rows } = await this.pool.query<{
        position: number;
        book: number | null;
        stream_id: string | null;
        version: number;
        state: unknown;
      }>({
        name: 'open-drafts',
        text: `SELECT b.position, ${versionsOf} AS book, h.stream_id, h.version, h.state
                 FROM log.book_heads b LEFT JOIN log.heads h ON h.book_id = $1 AND h.stream_id = ANY ($3::uuid[]) AND h.reducer_version = $4
                WHERE b.book_id = $1`,
        values: [bookId, bookStreamId(bookId), uuidArray([...ids.keys()]), yearDraftsVersion],
      });
      const { position = 0, book } = rows[0] ?? {};
      if (book !== version) {
        ({ state } = await this.currentBook(bookId));
        continue;
      }
      const found = new Map(
        rows.flatMap((row) => (row.stream_id === null ? [] : [[ids.get(row.stream_id) ?? '', readDrafts(row.state, row.version)]])),
      );
      const missing = fiscalYears.map(({ label }) => label).filter((label) => !found.has(label));
      const folded = missing.length === 0 ? [] : await foldDrafts(this.store, bookId, missing, position);
      const open = [...found, ...folded].flatMap(([, drafts]) =>
        [...drafts.open].map(([id, { effectiveDate }]) => ({ id, effectiveDate })),
      );
      open.sort((a, b) => (a.effectiveDate === b.effectiveDate ? (a.id < b.id ? -1 : 1) : a.effectiveDate < b.effectiveDate ? -1 : 1));
      return { position, open };
    }
  }

  private async draftsAt(bookId: string, ids: readonly string[], position: number): Promise<DraftAnswer[]> {
    const answers = new Map<string, DraftAnswer>();
    const states = new Map<string, JournalState>();
    for (const event of await this.store.readStreams(bookId, ids)) {
      const { streamId: id, recordedAt, eventType } = event;
      const known = states.get(id);
      if (event.position > position || (known === undefined && eventType !== 'JournalCreated')) continue;
      const state = journalReducer.evolve(known, { type: eventType, data: event.current } as never);
      states.set(id, state);
      if (state.draft === undefined) continue;
      const { content, ...life } = state.draft;
      answers.set(id, { id, ...life, ...content, position: event.position, recordedAt });
    }
    return [...answers.values()];
  }

  // --- A whole book ---

  /**
   * What exports are written from. Reading its rows may throw projection_behind, as lists do.
   * @throws LedgerError book_unknown | date_invalid | malformed
   */
  async knownBook(bookId: string, { knownAt }: { readonly knownAt?: KnownAt } = {}): Promise<KnownBook> {
    const position = await this.pin(bookId, knownAt);
    const events = await this.store.readStream(bookId, bookStreamId(bookId));
    const state = events
      .filter((event) => event.position <= position)
      .reduce<BookState | undefined>(
        (before, { eventType, current }) => bookReducer.evolve(before, { type: eventType, data: current } as never),
        undefined,
      );
    return {
      id: bookId,
      position,
      state,
      accounts: () =>
        pages(async (cursor) => {
          const { accounts, nextCursor } = await this.accounts(bookId, { knownAt: position, limit: limitMax, cursor });
          return { rows: accounts, nextCursor };
        }),
      entries: (range) =>
        pages(async (cursor) => {
          const all = { ...range, knownAt: position, limit: entriesPerRead, cursor };
          const { entries, nextCursor } = await this.entries(bookId, all, { walk: true });
          return { rows: entries, nextCursor };
        }),
    };
  }

  // --- The audit trail itself ---

  /** Events of a book after a position, in order; go on with the position of the last one. */
  async events(
    bookId: string,
    { after = 0, limit }: { readonly after?: number; readonly limit?: number } = {},
  ): Promise<{ readonly position: number; readonly events: readonly EventAnswer[] }> {
    checkAfter(after);
    const count = limitOf({ limit });
    const position = await this.pin(bookId, undefined);
    const events = await this.store.readAll(bookId, after, count);
    return { position: Math.max(position, events.at(-1)?.position ?? 0), events: events.map((event) => this.eventAnswer(event)) };
  }

  /**
   * Events of one aggregate after a version, in order; go on with the version of the last one.
   * @throws LedgerError stream_unknown, also for an id that belongs to an aggregate of another type
   */
  async stream(
    bookId: string,
    aggregateType: string,
    aggregateId: string,
    { after = 0, limit }: { readonly after?: number; readonly limit?: number } = {},
  ): Promise<{ readonly aggregateType: string; readonly aggregateId: string; readonly events: readonly EventAnswer[] }> {
    checkAfter(after);
    const count = limitOf({ limit });
    await this.pin(bookId, undefined);
    const streamId = aggregateId.toLowerCase();
    const [first] = uuidForm.test(streamId) ? await this.store.readStream(bookId, streamId, { limit: 1 }) : [];
    if (first === undefined || definitionOf(this.store.catalogue, first.eventType).aggregateType !== aggregateType) {
      throw new LedgerError('stream_unknown', `there is no ${aggregateType} ${aggregateId} in book ${bookId}`);
    }
    const events = await this.store.readStream(bookId, streamId, { after, limit: count });
    return { aggregateType, aggregateId: streamId, events: events.map((event) => this.eventAnswer(event)) };
  }

  private eventAnswer(event: RecordedEvent): EventAnswer {
    return { ...envelopeOf(this.store.catalogue, event), leafHash: event.leafHash.toString('hex') };
  }

  // --- At which position, and whether it is folded ---

  /**
   * The position that an answer holds for: the cursor's, that of knownAt, or the head.
   * @throws LedgerError book_unknown | date_invalid for an instant or position that has not come or has another form | malformed
   */
  async pin(bookId: string, knownAt: KnownAt | undefined, cursor?: { readonly position: number }): Promise<number> {
    const head = bookIdForm.test(bookId) ? (await this.store.head(bookId)).position : 0;
    if (head === 0) throw bookUnknown(bookId);
    if (cursor !== undefined) {
      if (cursor.position > head) throw malformed('cursor', 'the cursor is not one that this book gave');
      return cursor.position;
    }
    if (knownAt === undefined) return head;
    const given = positionIn(knownAt);
    if (given !== undefined) {
      if (given > head) throw notYet(given, head);
      return given;
    }
    const text = String(knownAt);
    const close = closeNamed(text);
    if (close !== undefined) return this.closePosition(bookId, close, text);
    const micros = instantMicros(text);
    if (micros === undefined) {
      throw dateInvalid(
        'knownAt',
        `knownAt "${text}" is neither a position nor an instant like 2026-07-05T12:00:00Z (RFC 3339) nor the close of a period like close:2026-06`,
      );
    }
    const position = await this.store.positionAt(bookId, micros);
    if (position === undefined)
      throw dateInvalid('knownAt', `knownAt ${text} lies in the future; what will be known then is not known yet`);
    return position;
  }

  /** Where a period was closed last. @throws LedgerError date_invalid when it never was */
  private async closePosition(bookId: string, { fiscalYear, period, level }: NamedClose, text: string): Promise<number> {
    const events = await this.store.readStream(bookId, bookStreamId(bookId));
    const closes = events.flatMap(({ eventType, current, position }) =>
      eventType === 'PeriodClosed' ? [{ ...(current as unknown as PeriodClosed), at: position }] : [],
    );
    const close = closes.findLast((known) => known.fiscalYear === fiscalYear && known.period === period && known.level === level);
    if (close !== undefined) return close.at;
    const known = [...new Set(closes.map((other) => `${other.level === 'soft' ? '' : 'hard-'}close:${other.fiscalYear}-${other.period}`))];
    const are = known.length === 0 ? 'no period was closed yet' : `there are ${known.slice(-24).join(', ')}`;
    throw dateInvalid('knownAt', `knownAt ${text}: there was no such close; ${are}`);
  }

  /**
   * Reads projections in one snapshot in which they are folded up to the position; waits for that if need be. Only the given
   * connection may be used in `read`: a second one from the pool could wait for ever for those that wait for it.
   * @throws LedgerError projection_behind after readWaitMs
   */
  async folded<T>(bookId: string, position: number, wanted: readonly Projection[], read: (database: PoolClient) => Promise<T>): Promise<T> {
    const deadline = performance.now() + this.readWaitMs;
    for (let pauseMs = 2; ; pauseMs = Math.min(50, pauseMs * 2)) {
      const attempt = await this.attempt(bookId, position, wanted, read);
      if ('answer' in attempt) return attempt.answer;
      const left = deadline - performance.now();
      if (left <= 0) {
        if (attempt.missing !== undefined && !(await this.isBuilding())) throw attempt.missing;
        const { lag } = attempt;
        throw new LedgerError(
          'projection_behind',
          `the projections of book ${bookId} are ${lag} events behind position ${position}; repeat after a second`,
          { lag, retryAfter: 1 },
        );
      }
      await sleep(Math.min(pauseMs, left));
    }
  }

  /** Whether somebody makes tables that are not there yet. */
  private async isBuilding(): Promise<boolean> {
    const { rows } = await this.pool.query("SELECT FROM projections.builds WHERE state = 'building' LIMIT 1");
    return rows.length > 0;
  }

  private async attempt<T>(
    bookId: string,
    position: number,
    wanted: readonly Projection[],
    read: (database: PoolClient) => Promise<T>,
  ): Promise<{ readonly answer: T } | { readonly lag: number; readonly missing?: unknown }> {
    const client = await this.pool.connect();
    try {
      // In one round trip, and before anything that takes a snapshot, as a lock does not: the snapshot then shows cursors and tables of
      // the same sets, whichever set takes over meanwhile (projection-sets.ts).
      // Derived tables come and go with the others, and a live set of the version before may have none.
      const tables = wanted.flatMap((projection) =>
        projection.tables.filter(({ derived }) => derived !== true).map(({ name }) => `projections.${name}`),
      );
      try {
        await client.query(
          `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE projections.cursors, ${tables.join(', ')} IN ACCESS SHARE MODE`,
        );
      } catch (error) {
        if ((error as { code?: string }).code !== undefinedTable) throw error;
        // The live set is one of an earlier release, which has not all of the tables, and this release's is being built.
        await client.query('ROLLBACK');
        client.release();
        return { lag: position, missing: error };
      }
      const folded = await foldedUpTo(client, bookId, wanted);
      const result = folded >= position ? { answer: await read(client) } : { lag: position - folded };
      await client.query('COMMIT');
      client.release();
      return result;
    } catch (error) {
      // Whatever went wrong, the connection may be inside an SQL transaction: the pool opens another one.
      client.release(true);
      throw error;
    }
  }
}

const undefinedTable = '42P01';

/** The rows of a list, a page at a time. */
async function* pages<T>(
  read: (cursor: string | undefined) => Promise<{ readonly rows: readonly T[]; readonly nextCursor?: string }>,
): AsyncGenerator<readonly T[]> {
  let cursor: string | undefined;
  do {
    const { rows, nextCursor } = await read(cursor);
    yield rows;
    cursor = nextCursor;
  } while (cursor !== undefined);
}

// --- Answers ---

const bookAnswer = (id: string, { state, position }: { readonly state: BookState; readonly position: number }): BookAnswer => {
  const { name, entity, framework, baseCurrency, fx, rounding, timeZone, startsOn, fiscalYearStart, metadata, fiscalYears } = state;
  const opened = { id, name, entity, framework, baseCurrency, fx, rounding, timeZone, startsOn, fiscalYearStart, metadata };
  return { ...opened, fiscalYears, position };
};

function accountAnswer({ parentId, ...account }: AccountView, parents: ReadonlyMap<string, AccountView>): AccountAnswer {
  return parentId === undefined ? account : { ...account, parent: parents.get(parentId)?.code };
}

/** @param inBase false in a book that does not track its base currency, whose lines may carry base amounts all the same */
export function balanceOf(
  { currency, scale, debit, credit, baseScale, baseDebit = 0n, baseCredit = 0n }: Totals,
  normalSide: Side,
  inBase = true,
): CurrencyBalance {
  const sign = normalSide === 'debit' ? 1n : -1n;
  const own = {
    currency,
    debit: fromMinor(debit, scale),
    credit: fromMinor(credit, scale),
    net: fromMinor(debit - credit, scale),
    balance: fromMinor(sign * (debit - credit), scale),
  };
  if (!inBase || baseScale === undefined) return own;
  return {
    ...own,
    baseDebit: fromMinor(baseDebit, baseScale),
    baseCredit: fromMinor(baseCredit, baseScale),
    baseNet: fromMinor(baseDebit - baseCredit, baseScale),
    baseBalance: fromMinor(sign * (baseDebit - baseCredit), baseScale),
  };
}

interface DatedLine extends AddedLine {
  readonly date: CalendarDate;
}

/** Totals with the lines up to a date added, sorted by currency. */
function addLines(totals: readonly Totals[], lines: readonly DatedLine[], upTo?: CalendarDate): Totals[] {
  const sum = new Map(totals.map((total) => [total.currency, total]));
  for (const line of lines) if (upTo === undefined || line.date <= upTo) addLine(sum, line);
  return sorted(sum.values());
}

async function accountKnown(
  database: PoolClient,
  bookId: string,
  { id, code }: { readonly id: string; readonly code: string },
  position: number,
): Promise<AccountView> {
  const account = (await accountsAt(database, bookId, [id], position)).get(id);
  if (account === undefined) throw accountUnknown(code, position);
  return account;
}

function accountsIn(events: readonly RecordedEvent[]): string[] {
  const posted = events.filter(({ eventType }) => eventType === 'JournalEntryPosted');
  return [...new Set(posted.flatMap(({ current }) => (current as unknown as JournalEntryPosted).lines.map(({ accountId }) => accountId)))];
}

/** Entries from the events of their streams, in the order of these; a stream without JournalEntryPosted is no entry. */
function entryAnswers(events: readonly RecordedEvent[], codeOf: (accountId: string) => string | undefined): EntryAnswer[] {
  const answers = new Map<string, EntryAnswer>();
  for (const { streamId, position, recordedAt, eventType, current, metadata } of events) {
    const known = answers.get(streamId);
    if (eventType === 'JournalEntryPosted') {
      const { lines, ...posted } = current as unknown as JournalEntryPosted;
      const userId = typeof metadata.userId === 'string' ? metadata.userId : undefined;
      const shown = lines.map((line) => ({ ...line, account: codeOf(line.accountId) ?? line.code }));
      answers.set(streamId, { id: streamId, position, recordedAt, userId, ...posted, lines: shown });
    } else if (eventType === 'JournalEntryReversed' && known !== undefined) {
      answers.set(streamId, { ...known, reversedBy: current.by as string });
    }
  }
  return [...answers.values()];
}

// --- Refusals ---

const bookUnknown = (bookId: string): LedgerError => new LedgerError('book_unknown', `there is no book ${bookId}`, { book: bookId });
const known = (knownAt: KnownAt | undefined, position: number): string =>
  knownAt === undefined ? '' : ` as known at position ${position}`;

const notYet = (position: number, head: number): LedgerError =>
  dateInvalid('knownAt', `knownAt ${position} has not come yet: the book's last position is ${head}`);

export interface NamedClose {
  readonly fiscalYear: string;
  readonly period: number;
  readonly level: CloseLevel;
}

/**
 * The close that a text names: `close:2026-06` the last soft close of period 6 of fiscal year 2026, from when on only controllers
 * could post into it, and `hard-close:2026-06` the one for ever. Undefined when it is something else.
 */
export function closeNamed(text: string): NamedClose | undefined {
  const [, hard, fiscalYear, period] = /^(hard-)?close:([A-Za-z0-9][A-Za-z0-9._-]{0,19})-(\d{1,3})$/.exec(text) ?? [];
  if (fiscalYear === undefined || Number(period) === 0) return undefined;
  return { fiscalYear, period: Number(period), level: hard === undefined ? 'soft' : 'hard' };
}

/**
 * The position that knownAt names, undefined when it is something else.
 * @throws LedgerError malformed below 0 | date_invalid beyond every position that there can be (2^53)
 */
function positionIn(knownAt: KnownAt): number | undefined {
  const text = String(knownAt);
  if (!/^-?\d{1,16}$/.test(text)) return undefined;
  const position = Number(text);
  if (position < 0) throw malformed('knownAt', `knownAt ${text} is below 0; positions count from 1, and 0 is before the first event`);
  if (!Number.isSafeInteger(position))
    throw dateInvalid('knownAt', `knownAt ${text} has not come yet, and never will: positions are below 2^53`);
  return position;
}

function accountUnknown(code: string, position: number | undefined, inPath = true): LedgerError {
  const message = `there is no account ${code}${position === undefined ? '' : ` as known at position ${position}`}`;
  return new LedgerError('account_unknown', message, { account: code }, inPath ? 'not_found' : 'rejected');
}

function checkAfter(after: number): void {
  if (!Number.isSafeInteger(after) || after < 0) throw malformed('after', `after "${after}" is not a whole number from 0 on`);
}
