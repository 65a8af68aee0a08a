/**
 * Listings: the reports whose rows are entries: journal and changes since; and the walk over cash entries. Hides how pages go on and
 * that the same listing is a page of JSON and a stream of CSV; guarantees that a listing holds no more than a page of entries at a
 * time, and that every page is of the position that the first one was answered at.
 */
import { type CalendarDate, decimalsOf, fromMinor, type JournalEntryPosted, type PostedLine, toMinor } from '#domain';
import type { AccountView } from '../projections/chart';
import { entriesByNumber, findEntries, register } from '../projections/register';
import type { Queries } from '../queries';
import { type CashFlows, isCash, isFirstCashLine } from './cash-flow';
import type { Cell } from './csv';
import {
  baseScaleOf,
  type ColumnSums,
  entryLink,
  entryNumber,
  headOf,
  net,
  type ReportHead,
  type ReportInput,
  streamLink,
} from './figures';
import { type AccountLines, filtersOf, type Listing } from './general-ledger';
import { type Inputs, lineFilter, type Place, type RecordedEntry } from './inputs';

const entriesPerRead = 500;

export class Listings {
  constructor(
    private readonly inputs: Inputs,
    private readonly queries: Queries,
    private readonly accountLines: AccountLines,
  ) {}

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
    const codes = await this.inputs.codesOf(bookId, position, entries);
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

  // --- Changes since ---

  /** What every account has moved in the range, as known before and after; also where its base amounts alone moved. */
  async changedAccounts(listing: Listing, before: Place | undefined): Promise<AccountChange[]> {
    const baseScale = baseScaleOf(listing.place.book);
    const [then, now] = await Promise.all([this.movements(listing, before), this.movements(listing, listing.place)]);
    const changes: AccountChange[] = [];
    for (const [key, movement] of now) {
      const was = then.get(key) ?? { amount: 0n, base: 0n };
      if (was.amount !== movement.amount || (baseScale !== undefined && was.base !== movement.base))
        changes.push(changeOf(movement.account.code, movement, was, baseScale));
    }
    return changes;
  }

  /** By account and currency: debit − credit in the range. @param place undefined: nothing was known yet */
  private async movements({ column, asked }: Listing, place: Place | undefined): Promise<Map<string, Movement>> {
    const found = new Map<string, Movement>();
    if (place === undefined) return found;
    const input = await this.inputs.collect(place, [{ from: column.from, to: column.to }], asked);
    for (const account of input.chart)
      for (const { currency, scale, own, base } of input.parts.get(account.id) ?? [])
        found.set(`${account.id} ${currency}`, { account, currency, scale, amount: inRange(own[0]), base: inRange(base[0]) });
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
    const leftOut = await this.inputs.leftOut(place, asked);
    const figures = await this.movements(listing, before);
    let after = before?.position ?? 0;
    for (;;) {
      const found = await this.queries.folded(bookId, position, [register], (database) =>
        findEntries(
          database,
          bookId,
          { from: column.from, to: column.to },
          { sort: 'position', position, after: { date: column.from, position: after }, limit: entriesPerRead, walk: true },
        ),
      );
      const entries = await this.inputs.entries(
        bookId,
        found.map(({ entryId }) => entryId),
        position,
      );
      const codes = await this.inputs.codesOf(bookId, position, entries);
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
        for await (const { posted, line } of this.accountLines.linesOf(listing, id)) {
          if (isFirstCashLine(posted, line.line, ids)) flows.add(index, posted, takesBack(posted, revaluations));
        }
      }
    }
  }
}

/** Whether an entry reverses one of these. */
const takesBack = ({ links = [] }: JournalEntryPosted, ids: ReadonlySet<string>): boolean =>
  links.some(({ rel, entryId }) => rel === 'reverses' && ids.has(entryId));

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
  /** Of base amounts, in minor units of the base currency. */
  base: bigint;
}

/** Debit − credit of a column. */
const inRange = (sums: ColumnSums | undefined): bigint => (sums === undefined ? 0n : net(sums.upTo) - net(sums.before));

/** Debit − credit of an account in the range: as it was known, what was added, as it is known since. */
export interface AccountChange {
  readonly account: string;
  readonly currency: string;
  readonly before: string;
  readonly change: string;
  readonly after: string;
  /** The same of base amounts, in a book with fx=tracked. */
  readonly baseBefore?: string;
  readonly baseChange?: string;
  readonly baseAfter?: string;
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

/** @param baseScale decimals of the base currency; undefined where it is not tracked */
function changeOf(
  account: string,
  { currency, scale, amount, base }: Omit<Movement, 'account'>,
  was: Pick<Movement, 'amount' | 'base'>,
  baseScale: number | undefined,
): AccountChange {
  const inBase = (minor: bigint): string | undefined => (baseScale === undefined ? undefined : fromMinor(minor, baseScale));
  return {
    account,
    currency,
    before: fromMinor(was.amount, scale),
    change: fromMinor(amount - was.amount, scale),
    after: fromMinor(amount, scale),
    baseBefore: inBase(was.base),
    baseChange: inBase(base - was.base),
    baseAfter: inBase(base),
  };
}

/** @param figures as known before the entry; afterwards as known with it */
function changeItem(
  { bookId, position, book }: Place,
  { id, posted, position: at, recordedAt, userId, onBehalfOf, reason, reversedBy }: RecordedEntry,
  lines: readonly PostedLine[],
  figures: Map<string, Movement>,
  codes: ReadonlyMap<string, string>,
): ChangeItem {
  const baseScale = baseScaleOf(book);
  const before = new Map<string, Pick<Movement, 'amount' | 'base'>>();
  for (const { accountId, currency, side, amount, baseAmount = '0' } of lines) {
    const key = `${accountId} ${currency}`;
    const scale = decimalsOf(amount);
    const known = figures.get(key) ?? { account: { id: accountId } as AccountView, currency, scale, amount: 0n, base: 0n };
    if (!before.has(key)) before.set(key, { amount: known.amount, base: known.base });
    const sign = side === 'debit' ? 1n : -1n;
    known.amount += sign * (toMinor(amount, scale) ?? 0n);
    if (baseScale !== undefined) known.base += sign * (toMinor(baseAmount, baseScale) ?? 0n);
    figures.set(key, known);
  }
  const accounts = [...before].map(([key, was]) => {
    const movement = figures.get(key) as Movement;
    return changeOf(codes.get(movement.account.id) ?? '', movement, was, baseScale);
  });
  return {
    id,
    position: at,
    recordedAt,
    number: entryNumber(posted),
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
  ...['reverses', 'corrects', 'reversedBy', 'account', 'currency', 'before', 'change', 'after'],
  ...['baseBefore', 'baseChange', 'baseAfter', 'sincePosition'],
] as const;

export function changeRows(item: ChangeItem, since: number): Cell[][] {
  const linked = (rel: string): string | undefined => item.links?.find((link) => link.rel === rel)?.entryId;
  const entry: Cell[] = [
    ...['entry', item.position, item.recordedAt, item.id, item.number, item.date, item.entryType, item.description, item.userId],
    ...[item.onBehalfOf, item.reason, linked('reverses'), linked('corrects'), item.reversedBy],
  ];
  return item.accounts.map((change) => [...entry, ...changeCells(change), since]);
}

const changeCells = ({ account, currency, before, change, after, baseBefore, baseChange, baseAfter }: AccountChange): Cell[] => [
  ...[account, currency, before, change, after, baseBefore, baseChange, baseAfter],
];

/** The sum of all changes, behind the entries. */
export const changedRows = (accounts: readonly AccountChange[], since: number): Cell[][] =>
  accounts.map((change) => ['account', ...Array<Cell>(13).fill(undefined), ...changeCells(change), since]);
