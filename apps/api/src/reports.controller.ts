/** The accountant's reports. Each is answered as JSON or CSV, by bytes that the ledger makes: nothing here may change them. */
import { Readable } from 'node:stream';
import { Controller, Get, Param, Query, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ErrorCode } from '#domain';
import { type ReportAnswer, type ReportFormat, type ReportName, Service } from '#ledger';
import { QueryOperation } from './operation';
import {
  BalanceSheetShown,
  CashFlowShown,
  ChangesSinceShown,
  GeneralLedgerShown,
  IncomeStatementShown,
  JournalEntryTestsShown,
  JournalReportShown,
  TrialBalanceShown,
  ValuationShown,
} from './report-answers.dto';
import {
  BalanceSheetQuery,
  CashFlowQuery,
  ChangesSinceQuery,
  entryTestsQuestionOf,
  GeneralLedgerQuery,
  IncomeStatementQuery,
  JournalEntryTestsQuery,
  JournalQuery,
  questionOf,
  TrialBalanceQuery,
  ValuationQuery,
} from './reports.dto';

const refusals: readonly ErrorCode[] = [
  'date_invalid',
  'too_large',
  'book_unknown',
  'currency_unknown',
  'no_fiscal_year',
  'projection_behind',
];
const inOneCurrency: readonly ErrorCode[] = [...refusals, 'report_currency_needed'];

@ApiTags('reports')
@Controller('v1/books/:book/reports')
export class ReportsController {
  constructor(private readonly service: Service) {}

  @Get('trial-balance')
  @QueryOperation({
    summary: 'Trial balance',
    description: 'Opening, debit, credit and closing of every account, and their totals per currency.',
    answer: TrialBalanceShown,
    csv: true,
    refusals: inOneCurrency,
  })
  trialBalance(
    @Param('book') book: string,
    @Query() query: TrialBalanceQuery,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    return this.send('trial-balance', book, query, request, reply);
  }

  @Get('balance-sheet')
  @QueryOperation({
    summary: 'Balance sheet',
    description:
      'Assets, liabilities and equity as of a date, in one currency. Equity holds two computed rows, retained earnings brought forward and the result of the year, so that it balances at every date.',
    answer: BalanceSheetShown,
    csv: true,
    refusals: inOneCurrency,
  })
  balanceSheet(
    @Param('book') book: string,
    @Query() query: BalanceSheetQuery,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    return this.send('balance-sheet', book, query, request, reply);
  }

  @Get('income-statement')
  @QueryOperation({
    summary: 'Income statement',
    description: 'Income, expenses and their difference over a range of dates, in one currency; without closing entries.',
    answer: IncomeStatementShown,
    csv: true,
    refusals: inOneCurrency,
  })
  incomeStatement(
    @Param('book') book: string,
    @Query() query: IncomeStatementQuery,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    return this.send('income-statement', book, query, request, reply);
  }

  @Get('general-ledger')
  @QueryOperation({
    summary: 'General ledger',
    description: 'Every account with its opening balance, its lines with running balance, and its closing balance.',
    answer: GeneralLedgerShown,
    csv: true,
    refusals,
  })
  generalLedger(
    @Param('book') book: string,
    @Query() query: GeneralLedgerQuery,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    return this.send('general-ledger', book, query, request, reply);
  }

  @Get('cash-flow')
  @QueryOperation({
    summary: 'Cash-flow statement',
    description: 'Direct: what the entries that touch accounts with subtype `cash` received and paid, by activity.',
    answer: CashFlowShown,
    csv: true,
    refusals: inOneCurrency,
  })
  cashFlow(
    @Param('book') book: string,
    @Query() query: CashFlowQuery,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    return this.send('cash-flow', book, query, request, reply);
  }

  @Get('journal')
  @QueryOperation({
    summary: 'Journal list',
    description: 'Entries with their lines, by day book and number.',
    answer: JournalReportShown,
    csv: true,
    refusals,
  })
  journal(
    @Param('book') book: string,
    @Query() query: JournalQuery,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    return this.send('journal', book, query, request, reply);
  }

  @Get('changes-since')
  @QueryOperation({
    summary: 'Changes since',
    description:
      'What changed in the figures of a range between two moments of knowledge, `since` and `knownAt`: every entry recorded in between and dated in the range, with who, why, and what it did.',
    answer: ChangesSinceShown,
    csv: true,
    refusals,
  })
  changesSince(
    @Param('book') book: string,
    @Query() query: ChangesSinceQuery,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    return this.send('changes-since', book, query, request, reply);
  }

  @Get('journal-entry-tests')
  @QueryOperation({
    summary: 'Journal-entry tests',
    description:
      'What an auditor looks for in the entries of a range: missing numbers, lines that are there twice, round amounts, entries of weekends and nights, rare users, accounts and pairs of accounts, missing descriptions, entries after a close, later documents, first digits. A summary per test, and the entries with their hits, by date and position.',
    answer: JournalEntryTestsShown,
    csv: true,
    refusals,
  })
  async journalEntryTests(
    @Param('book') book: string,
    @Query() query: JournalEntryTestsQuery,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const answer = await this.service.reports.answer('journal-entry-tests', book, entryTestsQuestionOf(query), formatOf(query, request));
    sendReport(reply, answer);
  }

  @Get('valuation')
  @QueryOperation({
    summary: 'Valuation',
    description: 'Every balance in one currency at the rates of a day, exactly.',
    answer: ValuationShown,
    csv: true,
    refusals: inOneCurrency,
  })
  valuation(
    @Param('book') book: string,
    @Query() query: ValuationQuery,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    return this.send('valuation', book, query, request, reply);
  }

  private async send(
    name: ReportName,
    book: string,
    query: { readonly format?: string },
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<void> {
    sendReport(reply, await this.service.reports.answer(name, book, questionOf(query), formatOf(query, request)));
  }
}

/** `format` as asked for, else what the caller accepts; JSON where both would do. */
export function formatOf({ format }: { readonly format?: string }, { headers: { accept = '' } }: FastifyRequest): ReportFormat {
  if (format !== undefined) return format as ReportFormat;
  return /\btext\/csv\b/i.test(accept) && !/\bapplication\/json\b/i.test(accept) ? 'csv' : 'json';
}

export function sendReport(reply: FastifyReply, { contentType, fileName, body, position, rows }: ReportAnswer): void {
  reply.request.acted = { position, rows };
  reply.header('Content-Type', contentType).header('Content-Disposition', `inline; filename="${fileName}"`);
  reply.header('Vary', 'Accept');
  reply.send(typeof body === 'string' ? body : Readable.from(body));
}
