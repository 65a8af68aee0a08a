/**
 * Reports: the accountant's questions, answered as JSON or CSV. Hides reading, computing and rendering; guarantees that every
 * answer states its position and version, and that the same question at that position and version is answered with the same bytes
 * for ever: the text is made here, from inputs at that position alone (Inputs), in an order of members that never changes.
 */
import { type EntryLine, firstDate, LedgerError, lastDate, scaleOf, unknownCurrency } from '#domain';
import type { EventStore } from '#event-store';
import { checkRange, filterHash, limitOf, malformed, readCursor, writeCursor } from '../asking';
import type { KnownAt, Queries } from '../queries';
import { ratesAt } from '../rates';
import { CashFlows, cashFlow } from './cash-flow';
import { closingLines } from './closing';
import {
  balanceSheetTable,
  type Cell,
  cashFlowTable,
  csvRow,
  csvText,
  incomeStatementTable,
  stateColumns,
  type Table,
  trialBalanceTable,
  valuationTable,
} from './csv';
import { entryTestsWanted } from './entry-test-parameters';
import {
  type Carry,
  type Closing,
  type Column,
  converted,
  currenciesIn,
  headOf,
  isNominal,
  type OneCurrency,
  oneCurrency,
  type Presentation,
  type Rates,
  type ReportHead,
  type ReportInput,
} from './figures';
import { AccountLines, generalLedger, type Listing, ledgerColumns, statementColumns, statementOf, take } from './general-ledger';
import { Inputs, type Place } from './inputs';
import { EntryTestReader, entryTestColumns, entryTestResultRows, journalEntryTests, testedEntryRows } from './journal-entry-tests';
import { changedRows, changeRows, changesColumns, changesSince, journal, journalColumns, journalRows, Listings } from './listings';
import { askedOf, columnsOf, type ReportQuestion, yearOf } from './question';
import { balanceSheet, incomeStatement } from './statements';
import { trialBalance } from './trial-balance';
import { valuation } from './valuation';

/** Every report with its versions, the newest last. A version's bytes never change: what would change them is a new version. */
export const reportVersions = {
  'trial-balance': [1],
  'general-ledger': [1],
  'balance-sheet': [1],
  'income-statement': [1],
  'cash-flow': [1],
  journal: [1],
  'changes-since': [1],
  valuation: [1],
  'journal-entry-tests': [1],
  statement: [1],
} as const satisfies Readonly<Record<string, readonly number[]>>;
type Versioned = keyof typeof reportVersions;
export type ReportName = Exclude<Versioned, 'statement'>;

type ListingName = 'general-ledger' | 'journal' | 'changes-since' | 'journal-entry-tests';

/** What can be asked of the statement of an account. */
export type StatementQuestion = Pick<
  ReportQuestion,
  'from' | 'to' | 'knownAt' | 'reportVersion' | 'carry' | 'closing' | 'currency' | 'dimensions' | 'cursor' | 'limit'
>;

export type ReportFormat = 'json' | 'csv';

export interface ReportAnswer {
  readonly contentType: string;
  /** A name for the file that the answer may become; it states book, report, position and version. */
  readonly fileName: string;
  /** Text, or its pieces as they are made. */
  readonly body: string | AsyncIterable<string>;
  /** What it holds for. */
  readonly position: number;
  /** Its rows; of what is made in pieces, those that were made until now. */
  readonly rows?: number | (() => number);
}

export class Reports {
  private readonly inputs: Inputs;
  private readonly accountLines: AccountLines;
  private readonly listings: Listings;
  private readonly entryTests: EntryTestReader;

  /** @param linesPerSeek see Inputs */
  constructor(
    private readonly store: EventStore,
    private readonly queries: Queries,
    linesPerSeek?: number,
  ) {
    this.inputs = new Inputs(store, queries, linesPerSeek);
    this.accountLines = new AccountLines(this.inputs, queries);
    this.listings = new Listings(this.inputs, queries, this.accountLines);
    this.entryTests = new EntryTestReader(this.inputs, queries);
  }

  /**
   * Answers a report. As JSON the general ledger, the journal, changes and journal-entry tests come in pages; as CSV they come whole,
   * in pieces.
   * @throws LedgerError book_unknown | malformed | date_invalid | too_large | no_fiscal_year | currency_unknown |
   *   report_currency_needed | projection_behind
   */
  async answer(name: ReportName, bookId: string, question: ReportQuestion, format: ReportFormat): Promise<ReportAnswer> {
    checkVersion(name, question.reportVersion);
    switch (name) {
      case 'general-ledger':
        return this.generalLedger(bookId, question, format);
      case 'journal':
        return this.journal(bookId, question, format);
      case 'changes-since':
        return this.changes(bookId, question, format);
      case 'journal-entry-tests':
        return this.journalEntryTests(bookId, question, format);
      default: {
        const { report, table } = await this.compute(name, bookId, question);
        return format === 'json' ? jsonOf(report) : csvOf(report, { body: csvText(table(), report), rows: rowsIn(report) });
      }
    }
  }

  /**
   * The statement of one account, which any code that it ever had leads to: a page of JSON, or all of it as CSV. Asked as the general
   * ledger it shows the same figures; without a first day it begins with the first line there is, without a last day it ends with
   * the last one.
   * @throws LedgerError account_unknown (not_found) and as answer
   */
  async statement(bookId: string, code: string, question: StatementQuestion, format: ReportFormat): Promise<ReportAnswer> {
    const { from, to = lastDate, knownAt, reportVersion } = question;
    checkVersion('statement', reportVersion);
    checkRange(from ?? firstDate, to);
    const asked = askedOf(question, 'include');
    const { limit, filter, cursor } = paging('statement', bookId, question, format, ['date', 'whole', 'line'], code);
    const position = await this.pinned(bookId, 'knownAt', knownAt, cursor?.position);
    const account = await this.queries.accountAt(bookId, code, position);
    const place = await this.inputs.placeAt(bookId, position);
    checkCurrency(place, asked.currency);
    // Assets, liabilities and equity are carried on for ever, and so is what has no beginning: no calendar is needed then.
    const carried = from === undefined || asked.carry === 'none' || !isNominal(account.type);
    const column = { from: from ?? firstDate, to, yearFrom: carried ? undefined : yearOf(place.book, from).from };
    const listing = { place, column, asked };
    const head = headOf('statement', 1, place);
    if (format === 'csv') return csvOf(head, await csvStream(statementColumns, this.accountLines.statementRows(listing, account), head));
    const after = cursor && { date: cursor.key[0], position: cursor.key[1], line: cursor.key[2] };
    const { next, ...page } = await this.accountLines.statementPage(listing, account, after, limit);
    const nextCursor = next && writeCursor(filter, position, [next.date, next.position, next.line]);
    const shown = statementOf(listing, account, page, nextCursor);
    return { ...jsonOf(head), body: JSON.stringify(shown), rows: rowsIn(shown) };
  }

  // --- Listings ---

  /** The position that a moment of knowledge stands for; on a further page that of the first one, which the moment must be. */
  private async pinned(
    bookId: string,
    member: 'knownAt' | 'since',
    moment: KnownAt | undefined,
    first: number | undefined,
  ): Promise<number> {
    const cursor = moment === undefined && first !== undefined ? { position: first } : undefined;
    const position = await this.queries.pin(bookId, moment, cursor).catch((error: unknown) => {
      // Moments are knownAt to the queries, whatever the question calls them.
      if (!(error instanceof LedgerError) || error.details.member !== 'knownAt') throw error;
      throw new LedgerError(error.code, error.message.replaceAll('knownAt', member), { ...error.details, member });
    });
    if (first !== undefined && position !== first) {
      throw malformed(
        'cursor',
        `the cursor belongs to ${member} ${first}, not ${position}; repeat that of the first page, or begin without a cursor`,
      );
    }
    return position;
  }

  private async listing(
    bookId: string,
    question: ReportQuestion,
    { carry, closing, position }: { readonly carry?: 'none'; readonly closing: Closing; readonly position: number },
  ): Promise<Listing> {
    const asked = askedOf(question, closing);
    const place = await this.inputs.placeAt(bookId, position);
    checkCurrency(place, asked.currency);
    const [column] = columnsOf(place.book, question, 'range', carry ?? asked.carry);
    return { place, column: column as Column, asked };
  }

  private async generalLedger(bookId: string, question: ReportQuestion, format: ReportFormat): Promise<ReportAnswer> {
    const { limit, filter, cursor } = paging('general-ledger', bookId, question, format, ['text', 'text', 'whole', 'line']);
    const position = await this.pinned(bookId, 'knownAt', question.knownAt, cursor?.position);
    const listing = await this.listing(bookId, question, { closing: 'include', position });
    if (format === 'csv') {
      const head = headOf('general-ledger', 1, listing.place);
      return csvOf(head, await csvStream(ledgerColumns, this.accountLines.ledgerRows(listing), head));
    }
    const { accounts, retainedEarnings, next } = await this.accountLines.ledgerPage(listing, cursor?.key, limit);
    return jsonOf(generalLedger(listing, accounts, retainedEarnings, next && writeCursor(filter, position, next)));
  }

  private async journal(bookId: string, question: ReportQuestion, format: ReportFormat): Promise<ReportAnswer> {
    const { journalCode } = question;
    const { limit, filter, cursor } = paging('journal', bookId, question, format, ['text', 'text', 'whole']);
    const position = await this.pinned(bookId, 'knownAt', question.knownAt, cursor?.position);
    const listing = await this.listing(bookId, question, { carry: 'none', closing: 'include', position });
    const entries = this.listings.journal(listing, journalCode, cursor?.key);
    if (format === 'csv') {
      const head = headOf('journal', 1, listing.place);
      return csvOf(head, await csvStream(journalColumns, flattened(entries, journalRows), head));
    }
    const { items, more } = await take(entries, limit);
    const last = items.at(-1);
    const next = more && last ? writeCursor(filter, position, [last.journalCode, last.fiscalYear, last.number]) : undefined;
    return jsonOf(journal(listing, journalCode, items, next));
  }

  private async changes(bookId: string, question: ReportQuestion, format: ReportFormat): Promise<ReportAnswer> {
    const { since: asked } = question;
    if (asked === undefined) throw malformed('since', 'since is missing: the position or instant that the changes are counted from');
    const { limit, filter, cursor } = paging('changes-since', bookId, question, format, ['whole', 'whole']);
    const position = await this.pinned(bookId, 'knownAt', question.knownAt, cursor?.position);
    const since = await this.pinned(bookId, 'since', asked, cursor?.key[0]);
    if (since > position)
      throw malformed(
        'since',
        `since is position ${since}, after position ${position} of knownAt; changes are counted from the earlier one`,
      );
    const listing = await this.listing(bookId, question, { carry: 'none', closing: 'include', position });
    const known = async (at: number): Promise<Place | undefined> => (at === 0 ? undefined : this.inputs.placeAt(bookId, at));
    const before = await known(since);
    const accounts = await this.listings.changedAccounts(listing, before);
    const entries = this.listings.changes(listing, cursor === undefined ? before : await known(cursor.key[1]));
    if (format === 'csv') {
      const head = headOf('changes-since', 1, listing.place);
      async function* rows(): AsyncGenerator<Cell[]> {
        yield* flattened(entries, (item) => changeRows(item, since));
        yield* changedRows(accounts, since);
      }
      return csvOf(head, await csvStream(changesColumns, rows(), head));
    }
    const { items, more } = await take(entries, limit);
    const last = items.at(-1);
    const next = more && last ? writeCursor(filter, position, [since, last.position]) : undefined;
    return jsonOf(changesSince(listing, { position: since, recordedAt: before?.recordedAt }, accounts, items, next));
  }

  private async journalEntryTests(bookId: string, question: ReportQuestion, format: ReportFormat): Promise<ReportAnswer> {
    const wanted = entryTestsWanted(question.entryTests);
    const { limit, filter, cursor } = paging('journal-entry-tests', bookId, question, format, ['date', 'whole', 'whole']);
    const position = await this.pinned(bookId, 'knownAt', question.knownAt, cursor?.position);
    const listing = await this.listing(bookId, { ...question, dimensions: [] }, { carry: 'none', closing: 'include', position });
    const survey = await this.entryTests.survey(listing, wanted, `${filter} ${position}`);
    if (format === 'csv') {
      const head = headOf('journal-entry-tests', 1, listing.place);
      const entries = this.entryTests.entries(listing, survey);
      async function* rows(): AsyncGenerator<Cell[]> {
        yield* entryTestResultRows(survey.results);
        yield* flattened(entries, testedEntryRows);
      }
      return csvOf(head, await csvStream(entryTestColumns, rows(), head));
    }
    const after = cursor && { date: cursor.key[0], position: cursor.key[1], hits: cursor.key[2] };
    const { items, more } = await take(this.entryTests.entries(listing, survey, after), limit);
    const last = items.at(-1);
    const shown = items.reduce((sum, { hits }) => sum + hits.length, after?.hits ?? 0);
    const next = more && last ? writeCursor(filter, position, [last.date, last.position, shown]) : undefined;
    return jsonOf(journalEntryTests(listing, survey, items, next));
  }

  /**
   * The lines of the entry that would close the days asked for: what income and expense moved in them, against one account; see
   * closing.ts. Nothing is posted.
   * @param question from and to, or period; knownAt
   */
  async closingLines(bookId: string, question: ReportQuestion, retainedEarnings: string): Promise<EntryLine[]> {
    return closingLines(await this.input(bookId, question, 'range', { closing: 'include', carry: 'none' }), retainedEarnings);
  }

  private async compute(
    name: Exclude<ReportName, ListingName>,
    bookId: string,
    question: ReportQuestion,
  ): Promise<{ report: ReportHead; table: () => Table }> {
    switch (name) {
      case 'trial-balance': {
        const input = await this.input(bookId, question, 'range', { closing: 'include' });
        checkRates(question);
        const report = trialBalance(input, question.in === undefined ? { kind: 'each' } : await this.inOne(input, question));
        return { report, table: () => trialBalanceTable(report) };
      }
      case 'balance-sheet': {
        const input = await this.input(bookId, question, 'date', { closing: 'include' });
        const report = balanceSheet(input, await this.inOne(input, question));
        return { report, table: () => balanceSheetTable(report) };
      }
      case 'income-statement': {
        const input = await this.input(bookId, question, 'range', { closing: 'exclude', carry: 'none' });
        const report = incomeStatement(input, await this.inOne(input, question));
        return { report, table: () => incomeStatementTable(report) };
      }
      case 'cash-flow': {
        const input = await this.input(bookId, question, 'range', { closing: 'include', carry: 'none' });
        const flows = new CashFlows(input, input.columns.length);
        const presentation = await this.inOne(input, question);
        await this.listings.addCashEntries(input, flows);
        const report = cashFlow(input, presentation, flows);
        return { report, table: () => cashFlowTable(report) };
      }
      case 'valuation': {
        const input = await this.input(bookId, question, 'date', { closing: 'include', carry: 'none' });
        const { in: currency = input.book.baseCurrency } = question;
        const rates = await this.rates(input, question);
        const report = valuation(
          input,
          converted(input, currency, currenciesIn(input), rates) as Extract<Presentation, { kind: 'converted' }>,
        );
        return { report, table: () => valuationTable(report) };
      }
    }
  }

  /** @param defaults `carry` of the columns where a report has no choice */
  private async input(
    bookId: string,
    question: ReportQuestion,
    kind: 'range' | 'date',
    defaults: { readonly closing: Closing; readonly carry?: Carry },
  ): Promise<ReportInput> {
    const asked = askedOf(question, defaults.closing);
    const position = await this.queries.pin(bookId, question.knownAt);
    const place = await this.inputs.placeAt(bookId, position);
    checkCurrency(place, asked.currency);
    const columns = columnsOf(place.book, question, kind, defaults.carry ?? asked.carry);
    return this.inputs.collect(place, columns, asked);
  }

  private async inOne(input: ReportInput, question: ReportQuestion): Promise<OneCurrency> {
    const { in: currency, rateDate, rateType } = question;
    checkRates(question);
    // The base currency of a book that tracks it is what its lines state, unless rates were asked for.
    const stated = input.book.fx === 'tracked' && currency === input.book.baseCurrency && rateDate === undefined && rateType === undefined;
    const rates = currency === undefined || stated ? undefined : await this.rates(input, question);
    return oneCurrency(input, { in: currency, rates });
  }

  private rates(input: ReportInput, { in: to, rateDate, rateType = 'closing' }: ReportQuestion): Promise<Rates[]> {
    const { bookId, position, book, columns } = input;
    const currencies = [...currenciesIn(input), ...(to === undefined ? [] : [to])];
    const asked = { bookId, position, type: rateType, currencies, baseCurrency: book.baseCurrency };
    return Promise.all(columns.map((column: Column) => ratesAt(this.store, { ...asked, date: rateDate ?? column.to })));
  }
}

/** @throws LedgerError malformed */
function checkVersion(name: Versioned, wanted: number | undefined): void {
  const known: readonly number[] = reportVersions[name];
  if (wanted !== undefined && !known.includes(wanted))
    throw malformed('reportVersion', `reportVersion ${wanted} of ${name} does not exist; there is ${known.join(', ')}`);
}

/** Rates without a currency to convert to would change nothing, and whoever names them thinks they do. @throws LedgerError malformed */
function checkRates({ in: currency, rateDate, rateType }: ReportQuestion): void {
  if (currency !== undefined || (rateDate === undefined && rateType === undefined)) return;
  const member = rateDate === undefined ? 'rateType' : 'rateDate';
  throw malformed(member, `${member} needs in: the currency to convert to`);
}

/** A filter that no line can ever pass is a mistake. @throws LedgerError currency_unknown */
function checkCurrency({ book }: Place, currency: string | undefined): void {
  if (currency === undefined || scaleOf(book, currency) !== undefined) return;
  throw new LedgerError('currency_unknown', `currency=${currency}: ${unknownCurrency(currency)}`, { currency });
}

// --- Answers ---

const jsonOf = (report: ReportHead): ReportAnswer => ({
  contentType: 'application/json; charset=utf-8',
  fileName: fileNameOf(report, 'json'),
  body: JSON.stringify(report),
  position: report.position,
  rows: rowsIn(report),
});

/** Lists whose elements are no rows but have them: what is counted then. */
const inside: Readonly<Record<string, string>> = { accounts: 'lines', sections: 'rows' };
/** Lists that say something of the rows. */
const about = new Set(['columns', 'dimensions', 'rates', 'retainedEarnings', 'rounding', 'tests', 'totals']);

/** Rows of an answer: of its longest list of objects, or of what stands in its sections, or under its accounts. */
export const rowsIn = (answer: object): number | undefined => {
  const counts = Object.entries(answer).flatMap(([list, member]: [string, unknown]) => {
    // Amounts side by side are one row's.
    if (!Array.isArray(member) || about.has(list) || member.some((one) => typeof one !== 'object')) return [];
    const rows = member.map((one: Readonly<Record<string, unknown>>) => one[inside[list] ?? '']).filter((rows) => Array.isArray(rows));
    return [rows.length === 0 ? member.length : rows.reduce((sum, { length }) => sum + length, 0)];
  });
  return counts.length === 0 ? undefined : Math.max(...counts);
};

const csvOf = (report: ReportHead, { body, rows }: Pick<ReportAnswer, 'body' | 'rows'>): ReportAnswer => ({
  contentType: 'text/csv; charset=utf-8; header=present',
  fileName: fileNameOf(report, 'csv'),
  body,
  position: report.position,
  rows,
});

const fileNameOf = ({ book, report, position, reportVersion }: ReportHead, format: ReportFormat): string =>
  `${book}.${report}.p${position}.v${reportVersion}.${format}`;

/** Text that is sent in one piece: a piece per row would cost more than the row. */
const pieceLength = 64 * 1024;

/** CSV in pieces. The first is made before anything is sent, so that what is refused is told as a problem. */
async function csvStream(
  columns: readonly string[],
  rows: AsyncGenerator<Cell[]>,
  { position, reportVersion }: { readonly position: number; readonly reportVersion: number },
): Promise<Pick<ReportAnswer, 'body' | 'rows'>> {
  let count = 0;
  async function* pieces(): AsyncGenerator<string> {
    let piece = csvRow([...columns, ...stateColumns]);
    for await (const row of rows) {
      count++;
      piece += csvRow([...row, position, reportVersion]);
      if (piece.length < pieceLength) continue;
      yield piece;
      piece = '';
    }
    if (piece !== '') yield piece;
  }
  const made = pieces();
  const first = await made.next();
  async function* all(): AsyncGenerator<string> {
    if (!first.done) yield first.value;
    yield* made;
  }
  return { body: all(), rows: () => count };
}

async function* flattened<T>(items: AsyncGenerator<T>, rowsOf: (item: T) => Cell[][]): AsyncGenerator<Cell[]> {
  for await (const item of items) yield* rowsOf(item);
}

function pagesOfCsv({ cursor }: { readonly cursor?: string }): LedgerError {
  const member = cursor === undefined ? 'limit' : 'cursor';
  return malformed(member, `${member} belongs to pages of JSON; as CSV a report comes whole`);
}

/**
 * Page and cursor of a listing. The cursor goes with everything else that was asked but for the moments of knowledge: it holds
 * their positions, so that a page asked with an instant and one asked with its position are the same bytes.
 */
function paging<const T extends Parameters<typeof readCursor>[2]>(
  name: ListingName | 'statement',
  bookId: string,
  question: ReportQuestion,
  format: ReportFormat,
  form: T,
  account?: string,
) {
  const { cursor, limit, reportVersion: _version, knownAt: _known, since: _since, dimensions = [], ...filters } = question;
  if (format === 'csv' && (cursor !== undefined || limit !== undefined)) throw pagesOfCsv(question);
  const filter = filterHash(name, { bookId, account, ...filters, dimensions: [...new Set(dimensions)].sort() });
  return { limit: limitOf(question), filter, cursor: readCursor<T>(question, filter, form) };
}
