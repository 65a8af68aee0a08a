/**
 * Listings: the reports whose rows are lines or entries: general ledger, journal, changes since. Hides how pages go on and that
 * the same listing is a page of JSON and a stream of CSV; guarantees that a listing holds no more than a page of entries at a time,
 * that every page is of the position that the first one was answered at, and that running balances go on over pages.
 */
import { addDays, type CalendarDate, fromMinor, type JournalEntryPosted, type PostedLine, toMinor } from '#domain';
import type { AccountView } from '../projections/chart';
import { accountsAt, afterCode, chart } from '../projections/chart';
import { entriesByNumber, findEntries, type LineKey, linesOf, register } from '../projections/register';
import type { Queries } from '../queries';
import { type CashFlows, isCash, isFirstCashLine } from './cash-flow';
import type { Cell } from './csv';
import {
  type Asked,
  type Column,
  entryLink,
  headOf,
  isNominal,
  net,
  type ReportHead,
  type ReportInput,
  type Shown,
  show,
  statementLink,
  streamLink,
  total,
} from './figures';
import { type Inputs, lineFilter, type Place, type RecordedEntry } from './inputs';

const entriesPerRead = 500;
/** Accounts that a page of the general ledger looks at, most of which may have nothing to show. */
const accountsPerPage = 100;

/** The first items, and whether there are more. */
export async function take<T>(items: AsyncGenerator<T>, limit: number): Promise<{ readonly items: T[]; readonly more: boolean }> {
  const taken: T[] = [];
  for await (const item of items) {
    if (taken.length === limit) return { items: taken, more: true };
    taken.push(item);
  }
  return { items: taken, more: false };
}

/** What is asked of a listing: its days, its filters, and the place that it is answered at. */
export interface Listing {
  readonly place: Place;
  readonly column: Column;
  readonly asked: Asked;
}

const filtersOf = ({ currency, dimensions }: Asked): { currencyFilter?: string; dimensions?: readonly string[] } => ({
  currencyFilter: currency,
  dimensions: dimensions.length === 0 ? undefined : dimensions,
});

/** An entry's number as people read it. */
const numberOf = ({ journalCode, fiscalYear, number }: JournalEntryPosted): string => `${journalCode}/${fiscalYear}/${number}`;

// --- General ledger ---

export interface LedgerBalance {
  readonly currency: string;
  /** Debit − credit. */
  readonly balance: string;
}

export interface LedgerLine {
  readonly date: CalendarDate;
  readonly entryId: string;
  readonly line: number;
  /** Of the entry. */
  readonly position: number;
  readonly number: string;
  readonly entryType: string;
  readonly description: string;
  readonly reference?: string;
  readonly currency: string;
  readonly debit?: string;
  readonly credit?: string;
  /** Debit − credit of the account in this currency after the line. */
  readonly runningBalance: string;
  readonly entry: string;
  readonly events: string;
}

export interface LedgerAccount {
  readonly account: string;
  readonly name: string;
  readonly type: string;
  /** Of the whole range, on every page that shows the account, as is `closing`. */
  readonly opening: readonly LedgerBalance[];
  readonly lines: readonly LedgerLine[];
  readonly closing: readonly LedgerBalance[];
  readonly statement: string;
}

export interface GeneralLedger extends ReportHead {
  readonly report: 'general-ledger';
  readonly carry: string;
  readonly closing: string;
  readonly currencyFilter?: string;
  readonly dimensions?: readonly string[];
  readonly from: CalendarDate;
  readonly to: CalendarDate;
  readonly yearFrom?: CalendarDate;
  /** By account code. */
  readonly accounts: readonly LedgerAccount[];
  /** On the last page: what income and expense had in the years before; absent with carry=none. */
  readonly retainedEarnings?: readonly LedgerBalance[];
  readonly nextCursor?: string;
}

/** Account code, and the last line shown of it; no date: from the account's first line on. */
export type LedgerKey = readonly [code: string, date: string, position: number, line: number];

/** After every line of a day. */
const endOf = (date: CalendarDate): LineKey => ({ date, position: Number.MAX_SAFE_INTEGER, line: 2 ** 31 - 1 });

const isAfter = (a: LineKey, b: LineKey): boolean =>
  a.date !== b.date ? a.date > b.date : a.position !== b.position ? a.position > b.position : a.line > b.line;

interface AccountLine extends LineKey {
  readonly entryId: string;
  readonly posted: JournalEntryPosted;
  readonly own: PostedLine;
}

export class Listings {
  constructor(
    private readonly inputs: Inputs,
    private readonly queries: Queries,
  ) {}

  /** @param limit accounts and lines of the page together */
  async ledgerPage(
    listing: Listing,
    key: LedgerKey | undefined,
    limit: number,
  ): Promise<{
    readonly accounts: readonly LedgerAccount[];
    readonly retainedEarnings?: readonly LedgerBalance[];
    readonly next?: LedgerKey;
  }> {
    const { place, column, asked } = listing;
    const input = await this.inputs.collect(place, [column], asked, { from: key?.[0], limit: accountsPerPage });
    const leftOut = await this.leftOut(listing);
    const accounts: LedgerAccount[] = [];
    let room = limit;
    for (const account of input.chart) {
      const figures = figuresOf(input, account);
      if (figures.length === 0) continue;
      // An account begins with a line of its own at least, but for the first, which must be shown in any case.
      if (room < 2 && accounts.length > 0) return { accounts, next: [account.code, '', 0, 0] };
      const resumed =
        key !== undefined && key[0] === account.code && key[1] !== '' ? { date: key[1], position: key[2], line: key[3] } : undefined;
      const begun = ledgerAccount(listing, account, figures);
      const { items: lines, more } = await take(this.ledgerLines(listing, account, figures, leftOut, resumed), Math.max(1, room - 1));
      room -= 1 + lines.length;
      accounts.push({ ...begun, lines });
      const last = lines.at(-1);
      if (more && last !== undefined) return { accounts, next: [account.code, last.date, last.position, last.line] };
    }
    const last = input.chart.at(-1);
    if (input.chart.length === accountsPerPage && last !== undefined) return { accounts, next: [afterCode(last.code), '', 0, 0] };
    if (asked.carry === 'none') return { accounts };
    return { accounts, retainedEarnings: retainedIn(await this.inputs.collect(place, [column], asked)) };
  }

  /** The whole ledger as rows of CSV; what is kept is the chart with its totals, and a page of lines. */
  async *ledgerRows(listing: Listing): AsyncGenerator<Cell[]> {
    const { place, column, asked } = listing;
    const input = await this.inputs.collect(place, [column], asked);
    const leftOut = await this.leftOut(listing);
    for (const account of input.chart) {
      const figures = figuresOf(input, account);
      if (figures.length === 0) continue;
      const { opening, closing } = ledgerAccount(listing, account, figures);
      yield* opening.map((balance) => balanceRow('opening', account, balance));
      for await (const line of this.ledgerLines(listing, account, figures, leftOut, undefined)) yield lineRow(account, line);
      yield* closing.map((balance) => balanceRow('closing', account, balance));
    }
    if (asked.carry === 'none') return;
    yield* retainedIn(input).map((balance) => balanceRow('retainedEarnings', { name: 'Retained earnings brought forward' }, balance));
  }

  /** Lines of an account in the range, each with the balance after it; those behind `resumed` only. */
  private async *ledgerLines(
    listing: Listing,
    account: AccountView,
    figures: readonly Shown[],
    leftOut: ReadonlySet<string>,
    resumed: LineKey | undefined,
  ): AsyncGenerator<LedgerLine> {
    const { place, column } = listing;
    const { bookId, position } = place;
    const eve = addDays(resumed?.date ?? column.from, -1);
    const running = new Map(figures.map(({ currency, scale, amounts: [opening = 0n] }) => [currency, { scale, balance: opening }]));
    if (eve >= column.from) {
      const upToEve = await this.inputs.collect(place, [{ ...column, to: eve }], listing.asked, { from: account.code, limit: 1 });
      for (const { currency, scale, amounts } of figuresOf(upToEve, account)) running.set(currency, { scale, balance: amounts[1] ?? 0n });
    }
    for await (const { posted, own, entryId, ...key } of this.linesOfAccount(listing, account.id, endOf(eve), leftOut)) {
      const known = running.get(own.currency);
      if (known === undefined) throw new Error(`${account.code} has a line in ${own.currency} and no total`);
      const minor = toMinor(own.amount, known.scale) ?? 0n;
      known.balance += own.side === 'debit' ? minor : -minor;
      if (resumed !== undefined && !isAfter(key, resumed)) continue;
      yield {
        date: key.date,
        entryId,
        line: key.line,
        position: key.position,
        number: numberOf(posted),
        entryType: posted.entryType,
        description: own.description ?? posted.description,
        reference: own.reference ?? posted.reference,
        currency: own.currency,
        ...(own.side === 'debit' ? { debit: own.amount } : { credit: own.amount }),
        runningBalance: fromMinor(known.balance, known.scale),
        entry: entryLink(bookId, entryId, position),
        events: streamLink(bookId, entryId),
      };
    }
  }

  /** Lines of an account behind a place in its statement, up to the end of the range, with their entries. */
  private async *linesOfAccount(
    { place: { bookId, position }, column, asked }: Listing,
    accountId: string,
    from: LineKey,
    leftOut: ReadonlySet<string>,
  ): AsyncGenerator<AccountLine> {
    const counts = lineFilter(asked);
    let after = from;
    for (;;) {
      const found = await this.queries.folded(bookId, position, [register], (database) =>
        linesOf(database, { bookId, accountId, position, currency: asked.currency, after, upTo: endOf(column.to), limit: entriesPerRead }),
      );
      const entries = await this.inputs.entries(bookId, [...new Set(found.map(({ entryId }) => entryId))], position);
      const byId = new Map(entries.map((entry) => [entry.id, entry.posted]));
      for (const { entryId, date, position: at, line } of found) {
        const posted = byId.get(entryId) as JournalEntryPosted;
        const own = posted.lines.find((candidate) => candidate.line === line) as PostedLine;
        if (counts(own) && !leftOut.has(entryId)) yield { date, position: at, line, entryId, posted, own };
      }
      const last = found.at(-1);
      if (last === undefined || found.length < entriesPerRead) return;
      after = { date: last.date, position: last.position, line: last.line };
    }
  }

  /** Entries that closing=exclude leaves out. */
  private async leftOut({ asked, place: { bookId, position } }: Listing): Promise<ReadonlySet<string>> {
    return asked.closing === 'exclude' ? this.inputs.closingEntries(bookId, position) : new Set();
  }

  // --- Journal ---

  /** Entries by day book, fiscal year and number, behind `key`. @param journalCode only this day book; all when absent */
  async *journal({ place, column, asked }: Listing, journalCode?: string, key?: JournalKey): AsyncGenerator<JournalItem> {
    const { bookId, position, book } = place;
    const counts = lineFilter(asked);
    const codes = book.journals.map((journal) => journal.journalCode).filter((code) => journalCode === undefined || code === journalCode);
    const years = book.fiscalYears.filter(({ from, to }) => from <= column.to && to >= column.from).map(({ label }) => label);
    const walks = codes.sort().flatMap((code) => years.map((fiscalYear) => ({ journalCode: code, fiscalYear })));
    const start = key === undefined ? 0 : walks.findIndex((walk) => walk.journalCode === key[0] && walk.fiscalYear === key[1]);
    let after = key?.[2] ?? 0;
    for (const walk of walks.slice(Math.max(0, start))) {
      for (;;) {
        const found = await this.queries.folded(bookId, position, [register], (database) =>
          entriesByNumber(database, bookId, walk, { from: column.from, to: column.to, after, position, limit: entriesPerRead }),
        );
        yield* await this.journalItems(
          place,
          found.map(({ entryId }) => entryId),
          counts,
        );
        if (found.length < entriesPerRead) break;
        after = found.at(-1)?.number ?? after;
      }
      after = 0;
    }
  }

  private async journalItems(
    { bookId, position }: Place,
    ids: readonly string[],
    counts: (line: PostedLine) => boolean,
  ): Promise<JournalItem[]> {
    const entries = await this.inputs.entries(bookId, ids, position);
    const codes = await this.codesOf(bookId, position, entries);
    return entries.flatMap((entry): JournalItem[] => {
      const { posted, id, recordedAt, userId, onBehalfOf, reversedBy } = entry;
      const lines = posted.lines.filter(counts);
      if (lines.length === 0) return [];
      return [
        {
          journalCode: posted.journalCode,
          fiscalYear: posted.fiscalYear,
          number: posted.number,
          id,
          position: entry.position,
          recordedAt,
          date: posted.effectiveDate,
          entryType: posted.entryType,
          description: posted.description,
          reference: posted.reference,
          document: posted.document && { type: posted.document.type, number: posted.document.number, date: posted.document.date },
          userId,
          onBehalfOf,
          reversedBy,
          lines: lines.map(({ line, accountId, side, amount, currency, baseAmount, description }) => ({
            line,
            account: codes.get(accountId) ?? '',
            ...(side === 'debit' ? { debit: amount } : { credit: amount }),
            currency,
            baseAmount,
            description,
          })),
          entry: entryLink(bookId, id, position),
          events: streamLink(bookId, id),
        },
      ];
    });
  }

  /** Codes of the accounts of entries, as known at the position. */
  private async codesOf(bookId: string, position: number, entries: readonly RecordedEntry[]): Promise<Map<string, string>> {
    const ids = [...new Set(entries.flatMap(({ posted }) => posted.lines.map(({ accountId }) => accountId)))];
    const accounts = await this.queries.folded(bookId, position, [chart], (database) => accountsAt(database, bookId, ids, position));
    return new Map([...accounts].map(([id, { code }]) => [id, code]));
  }

  // --- Changes since ---

  /** What every account has moved in the range, as known before and after. */
  async changedAccounts(listing: Listing, before: Place | undefined): Promise<AccountChange[]> {
    const [then, now] = await Promise.all([this.movements(listing, before), this.movements(listing, listing.place)]);
    const changes: AccountChange[] = [];
    for (const { account, currency, scale, amount } of now.values()) {
      const was = then.get(`${account.id} ${currency}`)?.amount ?? 0n;
      if (was !== amount) changes.push(changeOf(account.code, currency, scale, was, amount));
    }
    return changes;
  }

  /** By account and currency: debit − credit in the range. @param place undefined: nothing was known yet */
  private async movements({ column, asked }: Listing, place: Place | undefined): Promise<Map<string, Movement>> {
    const found = new Map<string, Movement>();
    if (place === undefined) return found;
    const input = await this.inputs.collect(place, [{ from: column.from, to: column.to }], asked);
    for (const account of input.chart) {
      for (const {
        currency,
        scale,
        amounts: [amount = 0n],
      } of show(input.parts.get(account.id), { kind: 'each' }, inRange))
        found.set(`${account.id} ${currency}`, { account, currency, scale, amount });
    }
    return found;
  }

  /**
   * Entries recorded after `after` that are dated in the range, by position; each with what it did to the figures of its accounts.
   * @param before what was known at `after`; undefined when nothing was
   */
  async *changes(listing: Listing, before: Place | undefined): AsyncGenerator<ChangeItem> {
    const { place, column, asked } = listing;
    const { bookId, position } = place;
    const counts = lineFilter(asked);
    const leftOut = await this.leftOut(listing);
    const figures = await this.movements(listing, before);
    let after = before?.position ?? 0;
    for (;;) {
      const found = await this.queries.folded(bookId, position, [register], (database) =>
        findEntries(
          database,
          bookId,
          { from: column.from, to: column.to },
          { sort: 'position', position, after: { date: column.from, position: after }, limit: entriesPerRead },
        ),
      );
      const entries = await this.inputs.entries(
        bookId,
        found.map(({ entryId }) => entryId),
        position,
      );
      const codes = await this.codesOf(bookId, position, entries);
      for (const entry of entries) {
        const lines = leftOut.has(entry.id) ? [] : entry.posted.lines.filter(counts);
        if (lines.length > 0) yield changeItem(place, entry, lines, figures, codes);
      }
      if (found.length < entriesPerRead) return;
      after = found.at(-1)?.position ?? after;
    }
  }

  // --- Cash ---

  /** Reads every entry of a column that touches cash, once, and adds it to the flows. */
  async addCashEntries(input: ReportInput, flows: CashFlows): Promise<void> {
    const cash = input.chart.filter(isCash);
    const ids = new Set(cash.map(({ id }) => id));
    const revaluations = await this.inputs.revaluations(input.bookId, input.position);
    for (const [index, column] of input.columns.entries()) {
      for (const { id } of cash) {
        const listing = { place: input, column, asked: { ...input.asked, currency: undefined, dimensions: [] } };
        for await (const { posted, line } of this.linesOfAccount(listing, id, endOf(addDays(column.from, -1)), new Set())) {
          if (isFirstCashLine(posted, line, ids)) flows.add(index, posted, takesBack(posted, revaluations));
        }
      }
    }
  }
}

/** Whether an entry reverses one of these. */
const takesBack = ({ links = [] }: JournalEntryPosted, ids: ReadonlySet<string>): boolean =>
  links.some(({ rel, entryId }) => rel === 'reverses' && ids.has(entryId));

/** An account of the ledger without its lines. @param figures see figuresOf */
function ledgerAccount({ place, column }: Listing, { code, name, type }: AccountView, figures: readonly Shown[]): LedgerAccount {
  const balances = (which: 0 | 1): LedgerBalance[] =>
    figures.map(({ currency, scale, amounts }) => ({ currency, balance: fromMinor(amounts[which] ?? 0n, scale) }));
  return {
    account: code,
    name,
    type,
    opening: balances(0),
    lines: [],
    closing: balances(1),
    statement: statementLink(place, code, column),
  };
}

/** Opening and closing of an account, debit − credit; currencies in which it has neither figures nor lines are left out. */
function figuresOf(input: ReportInput, { id, type }: AccountView): Shown[] {
  const carried = isNominal(type);
  const shown = show(input.parts.get(id), { kind: 'each' }, ({ yearBefore, before, upTo }) => {
    const start = carried ? net(yearBefore) : 0n;
    return [net(before) - start, net(upTo) - start, upTo.debit - before.debit, upTo.credit - before.credit];
  });
  return shown.filter(({ amounts }) => input.asked.includeZero || amounts.some((amount) => amount !== 0n));
}

const inRange = ({ before, upTo }: { before: { debit: bigint; credit: bigint }; upTo: { debit: bigint; credit: bigint } }): bigint[] => [
  net(upTo) - net(before),
];

export function generalLedger(
  { place, column, asked }: Listing,
  accounts: readonly LedgerAccount[],
  retainedEarnings: readonly LedgerBalance[] | undefined,
  nextCursor: string | undefined,
): GeneralLedger {
  return {
    ...headOf('general-ledger', 1, place),
    report: 'general-ledger',
    carry: asked.carry,
    closing: asked.closing,
    ...filtersOf(asked),
    from: column.from,
    to: column.to,
    yearFrom: column.yearFrom,
    accounts,
    retainedEarnings,
    nextCursor,
  };
}

export const ledgerColumns = [
  ...['row', 'account', 'name', 'type', 'date', 'number', 'entryId', 'line', 'entryPosition', 'entryType', 'description', 'reference'],
  ...['currency', 'debit', 'credit', 'balance'],
] as const;

const blanks = (count: number): Cell[] => Array<Cell>(count).fill(undefined);

function balanceRow(row: string, { code, name, type }: Partial<AccountView>, { currency, balance }: LedgerBalance): Cell[] {
  return [row, code, name, type, ...blanks(8), currency, undefined, undefined, balance];
}

const lineRow = ({ code, name, type }: AccountView, line: LedgerLine): Cell[] => [
  ...['line', code, name, type, line.date, line.number, line.entryId, line.line, line.position, line.entryType, line.description],
  ...[line.reference, line.currency, line.debit, line.credit, line.runningBalance],
];

/** What income and expense had in the years before, which no account holds. */
function retainedIn(input: ReportInput): LedgerBalance[] {
  const carried = input.chart
    .filter(({ type }) => isNominal(type))
    .flatMap(({ id }) => show(input.parts.get(id), { kind: 'each' }, ({ yearBefore }) => [net(yearBefore)]));
  return [...total(carried, { kind: 'each' }).values()]
    .filter(({ amounts: [balance = 0n] }) => balance !== 0n)
    .map(({ currency, scale, amounts: [balance = 0n] }) => ({ currency, balance: fromMinor(balance, scale) }));
}

// --- Journal ---

export type JournalKey = readonly [journalCode: string, fiscalYear: string, number: number];

export interface JournalLine {
  readonly line: number;
  readonly account: string;
  readonly debit?: string;
  readonly credit?: string;
  readonly currency: string;
  readonly baseAmount?: string;
  readonly description?: string;
}

export interface JournalItem {
  readonly journalCode: string;
  readonly fiscalYear: string;
  readonly number: number;
  readonly id: string;
  readonly position: number;
  readonly recordedAt: string;
  readonly date: CalendarDate;
  readonly entryType: string;
  readonly description: string;
  readonly reference?: string;
  readonly document?: { readonly type: string; readonly number: string; readonly date: CalendarDate };
  readonly userId?: string;
  readonly onBehalfOf?: string;
  readonly reversedBy?: string;
  readonly lines: readonly JournalLine[];
  readonly entry: string;
  readonly events: string;
}

export interface Journal extends ReportHead {
  readonly report: 'journal';
  readonly currencyFilter?: string;
  readonly dimensions?: readonly string[];
  readonly journalCode?: string;
  readonly from: CalendarDate;
  readonly to: CalendarDate;
  /** By day book, fiscal year and number. */
  readonly entries: readonly JournalItem[];
  readonly nextCursor?: string;
}

export function journal(
  { place, column, asked }: Listing,
  journalCode: string | undefined,
  entries: readonly JournalItem[],
  nextCursor: string | undefined,
): Journal {
  const { from, to } = column;
  return { ...headOf('journal', 1, place), report: 'journal', ...filtersOf(asked), journalCode, from, to, entries, nextCursor };
}

export const journalColumns = [
  ...[
    'row',
    'journalCode',
    'fiscalYear',
    'number',
    'date',
    'recordedAt',
    'entryId',
    'entryPosition',
    'entryType',
    'description',
    'reference',
  ],
  ...['documentType', 'documentNumber', 'documentDate', 'userId', 'onBehalfOf', 'reversedBy'],
  ...['line', 'account', 'debit', 'credit', 'currency', 'baseAmount', 'lineDescription'],
] as const;

export function journalRows(item: JournalItem): Cell[][] {
  const { document } = item;
  const entry: Cell[] = [
    ...['line', item.journalCode, item.fiscalYear, item.number, item.date, item.recordedAt, item.id, item.position, item.entryType],
    ...[item.description, item.reference, document?.type, document?.number, document?.date, item.userId, item.onBehalfOf, item.reversedBy],
  ];
  return item.lines.map(({ line, account, debit, credit, currency, baseAmount, description }) => [
    ...entry,
    ...[line, account, debit, credit, currency, baseAmount, description],
  ]);
}

// --- Changes since ---

interface Movement {
  readonly account: AccountView;
  readonly currency: string;
  readonly scale: number;
  amount: bigint;
}

/** Debit − credit of an account in the range: as it was known, what was added, as it is known since. */
export interface AccountChange {
  readonly account: string;
  readonly currency: string;
  readonly before: string;
  readonly change: string;
  readonly after: string;
}

export interface ChangeItem {
  readonly id: string;
  readonly position: number;
  readonly recordedAt: string;
  readonly number: string;
  readonly date: CalendarDate;
  readonly entryType: string;
  readonly description: string;
  readonly userId?: string;
  readonly onBehalfOf?: string;
  readonly reason?: string;
  readonly links?: readonly { readonly rel: string; readonly entryId: string; readonly entry: string }[];
  readonly reversedBy?: string;
  readonly accounts: readonly AccountChange[];
  readonly entry: string;
  readonly events: string;
}

export interface ChangesSince extends ReportHead {
  readonly report: 'changes-since';
  readonly closing: string;
  readonly currencyFilter?: string;
  readonly dimensions?: readonly string[];
  /** What was known before the changes. */
  readonly since: { readonly position: number; readonly recordedAt?: string };
  readonly from: CalendarDate;
  readonly to: CalendarDate;
  /** By account code; of all changes together, on every page. */
  readonly accounts: readonly AccountChange[];
  /** By position. */
  readonly entries: readonly ChangeItem[];
  readonly nextCursor?: string;
}

const changeOf = (account: string, currency: string, scale: number, before: bigint, after: bigint): AccountChange => ({
  account,
  currency,
  before: fromMinor(before, scale),
  change: fromMinor(after - before, scale),
  after: fromMinor(after, scale),
});

/** @param figures as known before the entry; afterwards as known with it */
function changeItem(
  { bookId, position }: Place,
  { id, posted, position: at, recordedAt, userId, onBehalfOf, reason, reversedBy }: RecordedEntry,
  lines: readonly PostedLine[],
  figures: Map<string, Movement>,
  codes: ReadonlyMap<string, string>,
): ChangeItem {
  const before = new Map<string, bigint>();
  for (const { accountId, currency, side, amount } of lines) {
    const key = `${accountId} ${currency}`;
    const scale = amount.includes('.') ? amount.length - amount.indexOf('.') - 1 : 0;
    const known = figures.get(key) ?? { account: { id: accountId } as AccountView, currency, scale, amount: 0n };
    if (!before.has(key)) before.set(key, known.amount);
    const minor = toMinor(amount, scale) ?? 0n;
    known.amount += side === 'debit' ? minor : -minor;
    figures.set(key, known);
  }
  const accounts = [...before].map(([key, was]) => {
    const { account, currency, scale, amount } = figures.get(key) as Movement;
    return changeOf(codes.get(account.id) ?? '', currency, scale, was, amount);
  });
  return {
    id,
    position: at,
    recordedAt,
    number: numberOf(posted),
    date: posted.effectiveDate,
    entryType: posted.entryType,
    description: posted.description,
    userId,
    onBehalfOf,
    reason,
    links: posted.links?.map(({ rel, entryId }) => ({ rel, entryId, entry: entryLink(bookId, entryId, position) })),
    reversedBy,
    accounts,
    entry: entryLink(bookId, id, position),
    events: streamLink(bookId, id),
  };
}

export function changesSince(
  { place, column, asked }: Listing,
  since: ChangesSince['since'],
  accounts: readonly AccountChange[],
  entries: readonly ChangeItem[],
  nextCursor: string | undefined,
): ChangesSince {
  return {
    ...headOf('changes-since', 1, place),
    report: 'changes-since',
    closing: asked.closing,
    ...filtersOf(asked),
    since,
    from: column.from,
    to: column.to,
    accounts,
    entries,
    nextCursor,
  };
}

export const changesColumns = [
  ...['row', 'entryPosition', 'recordedAt', 'entryId', 'number', 'date', 'entryType', 'description', 'userId', 'onBehalfOf', 'reason'],
  ...['reverses', 'corrects', 'reversedBy', 'account', 'currency', 'before', 'change', 'after', 'sincePosition'],
] as const;

export function changeRows(item: ChangeItem, since: number): Cell[][] {
  const linked = (rel: string): string | undefined => item.links?.find((link) => link.rel === rel)?.entryId;
  const entry: Cell[] = [
    ...['entry', item.position, item.recordedAt, item.id, item.number, item.date, item.entryType, item.description, item.userId],
    ...[item.onBehalfOf, item.reason, linked('reverses'), linked('corrects'), item.reversedBy],
  ];
  return item.accounts.map((change) => [...entry, ...changeCells(change), since]);
}

const changeCells = ({ account, currency, before, change, after }: AccountChange): Cell[] => [account, currency, before, change, after];

/** The sum of all changes, behind the entries. */
export const changedRows = (accounts: readonly AccountChange[], since: number): Cell[][] =>
  accounts.map((change) => ['account', ...blanks(13), ...changeCells(change), since]);
