/**
 * Reports: the accountant's questions, answered as JSON or CSV. Hides reading, computing and rendering; guarantees that every
 * answer states its position and version, and that the same question at that position and version is answered with the same bytes
 * for ever: the text is made here, from inputs at that position alone (Inputs), in an order of members that never changes.
 */
import type { EntryLine, LedgerError } from '#domain';
import type { EventStore } from '#event-store';
import { malformed } from '../asking';
import type { Queries } from '../queries';
import { closingLines } from './closing';
import { balanceSheetTable, csvText, incomeStatementTable, type Table, trialBalanceTable, valuationTable } from './csv';
import {
  type Carry,
  type Closing,
  type Column,
  converted,
  currenciesIn,
  oneCurrency,
  type Presentation,
  type Rates,
  type ReportHead,
  type ReportInput,
} from './figures';
import { Inputs } from './inputs';
import { askedOf, columnsOf, type ReportQuestion } from './question';
import { balanceSheet, incomeStatement } from './statements';
import { trialBalance } from './trial-balance';
import { valuation } from './valuation';

/** Every report with its versions, the newest last. A version's bytes never change: what would change them is a new version. */
export const reportVersions = {
  'trial-balance': [1],
  'balance-sheet': [1],
  'income-statement': [1],
  valuation: [1],
} as const satisfies Readonly<Record<string, readonly number[]>>;
export type ReportName = keyof typeof reportVersions;

export type ReportFormat = 'json' | 'csv';

export interface ReportAnswer {
  readonly contentType: string;
  /** A name for the file that the answer may become; it states book, report, position and version. */
  readonly fileName: string;
  /** Text, or its pieces as they are made. */
  readonly body: string | AsyncIterable<string>;
}

/** The rates of one type at or before a day, as known at a position. */
export type RatesAt = (question: {
  readonly bookId: string;
  readonly position: number;
  readonly date: string;
  readonly type: string;
}) => Promise<Rates>;

/** Until rates are recorded there are none. */
const noRates: RatesAt = async ({ date, type }) => ({ date, type, rateOf: () => undefined });

export class Reports {
  private readonly inputs: Inputs;

  constructor(
    store: EventStore,
    private readonly queries: Queries,
    private readonly ratesAt: RatesAt = noRates,
  ) {
    this.inputs = new Inputs(store, queries);
  }

  /**
   * Answers a report.
   * @throws LedgerError book_unknown | malformed | date_invalid | too_large | no_fiscal_year | currency_unknown |
   *   report_currency_needed | projection_behind
   */
  async answer(name: ReportName, bookId: string, question: ReportQuestion, format: ReportFormat): Promise<ReportAnswer> {
    checkVersion(name, question.reportVersion);
    const { report, table } = await this.compute(name, bookId, question);
    return answerOf(report, format, () => csvText(table(), report));
  }

  /**
   * The lines of the entry that would close the days asked for: what income and expense moved in them, against one account; see
   * closing.ts. Nothing is posted.
   * @param question from and to, or period; knownAt
   */
  async closingLines(bookId: string, question: ReportQuestion, retainedEarnings: string): Promise<EntryLine[]> {
    return closingLines(await this.input(bookId, question, 'range', { closing: 'include', carry: 'none' }), retainedEarnings);
  }

  private async compute(name: ReportName, bookId: string, question: ReportQuestion): Promise<{ report: ReportHead; table: () => Table }> {
    switch (name) {
      case 'trial-balance': {
        const input = await this.input(bookId, question, 'range', { closing: 'include' });
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

  /** @param defaults `carry` where a report has no choice */
  private async input(
    bookId: string,
    question: ReportQuestion,
    kind: 'range' | 'date',
    defaults: { readonly closing: Closing; readonly carry?: Carry },
  ): Promise<ReportInput> {
    const asked = { ...askedOf(question, defaults.closing), ...(defaults.carry && { carry: defaults.carry }) };
    const position = await this.queries.pin(bookId, question.knownAt);
    const { book, recordedAt } = await this.inputs.bookAt(bookId, position);
    const columns = columnsOf(book, question, kind, asked.carry);
    return this.inputs.collect({ bookId, position, book, recordedAt }, columns, asked);
  }

  private async inOne(input: ReportInput, question: ReportQuestion) {
    const { in: currency, rateDate, rateType } = question;
    if (currency === undefined && (rateDate !== undefined || rateType !== undefined)) {
      const member = rateDate === undefined ? 'rateType' : 'rateDate';
      throw malformed(member, `${member} needs in: the currency to convert to`);
    }
    // The base currency of a book that tracks it is what its lines state, unless rates were asked for.
    const stated = input.book.fx === 'tracked' && currency === input.book.baseCurrency && rateDate === undefined && rateType === undefined;
    const rates = currency === undefined || stated ? undefined : await this.rates(input, question);
    return oneCurrency(input, { in: currency, rates });
  }

  private rates({ bookId, position, columns }: ReportInput, { rateDate, rateType = 'closing' }: ReportQuestion): Promise<Rates[]> {
    return Promise.all(columns.map(({ to }: Column) => this.ratesAt({ bookId, position, date: rateDate ?? to, type: rateType })));
  }
}

/** @throws LedgerError malformed */
function checkVersion(name: ReportName, wanted: number | undefined): void {
  const known: readonly number[] = reportVersions[name];
  if (wanted !== undefined && !known.includes(wanted)) throw unknownVersion(name, wanted, known);
}

const unknownVersion = (name: string, wanted: number, known: readonly number[]): LedgerError =>
  malformed('reportVersion', `reportVersion ${wanted} of ${name} does not exist; there is ${known.join(', ')}`);

function answerOf(report: ReportHead, format: ReportFormat, csv: () => string): ReportAnswer {
  return format === 'csv'
    ? { contentType: csvType, fileName: fileNameOf(report, format), body: csv() }
    : { contentType: jsonType, fileName: fileNameOf(report, format), body: JSON.stringify(report) };
}

const csvType = 'text/csv; charset=utf-8; header=present';
const jsonType = 'application/json; charset=utf-8';

const fileNameOf = ({ book, report, position, reportVersion }: ReportHead, format: ReportFormat): string =>
  `${book}.${report}.p${position}.v${reportVersion}.${format}`;
