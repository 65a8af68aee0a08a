/** Books, their calendar, day books and currencies. */
import { Controller, Get, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Service } from '#ledger';
import {
  BookCreated,
  CurrencyEnabled,
  DefineFiscalYearBody,
  DefineJournalBody,
  defineFiscalYear,
  defineJournal,
  EnableCurrencyBody,
  enableCurrency,
  FiscalYearDefined,
  JournalDefined,
  OpenBookBody,
  openBook,
} from './books.dto';
import { type CommandRoute, Commands } from './commands';
import { CommandOperation, QueryOperation } from './operation';
import { BookShown, BooksPage, CurrenciesShown, FiscalYearsShown, JournalsShown, PageQuery, whole } from './queries.dto';

const opening: CommandRoute<OpenBookBody> = { body: OpenBookBody, command: openBook, location: ({ book }) => `/v1/books/${book}` };
const enabling: CommandRoute<EnableCurrencyBody> = {
  body: EnableCurrencyBody,
  command: enableCurrency,
  location: ({ book }) => `/v1/books/${book}/currencies`,
};
const defining: CommandRoute<DefineJournalBody> = {
  body: DefineJournalBody,
  command: defineJournal,
  location: ({ book }) => `/v1/books/${book}/journals`,
};
const definingYear: CommandRoute<DefineFiscalYearBody> = {
  body: DefineFiscalYearBody,
  command: defineFiscalYear,
  location: ({ book }) => `/v1/books/${book}/fiscal-years`,
};

@ApiTags('books')
@Controller('v1/books')
export class BooksController {
  constructor(
    private readonly commands: Commands,
    private readonly service: Service,
  ) {}

  @Post()
  @CommandOperation({
    summary: 'Open a book',
    description: 'With the day book GENERAL and the fiscal year of its start, or of today.',
    body: OpenBookBody,
    answer: BookCreated,
    creates: true,
    refusals: ['date_invalid', 'book_exists'],
  })
  open(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(opening, request, reply);
  }

  @Get()
  @QueryOperation({ summary: 'List books', answer: BooksPage })
  list(@Query() { cursor, limit }: PageQuery): Promise<BooksPage> {
    return this.service.queries.books({ cursor, limit: whole(limit) });
  }

  @Get(':book')
  @QueryOperation({ summary: 'Read a book', answer: BookShown, refusals: ['book_unknown'] })
  read(@Param('book') book: string): Promise<BookShown> {
    return this.service.queries.book(book);
  }

  @Post(':book/currencies')
  @CommandOperation({
    summary: 'Declare a currency',
    description: 'A currency of your own, or a finer scale for an ISO 4217 code, before its first use. ISO 4217 codes need no declaration.',
    body: EnableCurrencyBody,
    answer: CurrencyEnabled,
    creates: true,
    refusals: ['book_unknown', 'currency_exists'],
  })
  enableCurrency(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(enabling, request, reply);
  }

  @Get(':book/currencies')
  @QueryOperation({
    summary: 'List currencies',
    description: 'Those that were declared or used.',
    answer: CurrenciesShown,
    refusals: ['book_unknown'],
  })
  currencies(@Param('book') book: string): Promise<CurrenciesShown> {
    return this.service.queries.currencies(book);
  }

  @Post(':book/journals')
  @CommandOperation({
    summary: 'Define a day book',
    body: DefineJournalBody,
    answer: JournalDefined,
    creates: true,
    refusals: ['book_unknown', 'journal_exists'],
  })
  defineJournal(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(defining, request, reply);
  }

  @Get(':book/journals')
  @QueryOperation({ summary: 'List day books', answer: JournalsShown, refusals: ['book_unknown'] })
  journals(@Param('book') book: string): Promise<JournalsShown> {
    return this.service.queries.journals(book);
  }

  @Post(':book/fiscal-years')
  @CommandOperation({
    summary: 'Define a fiscal year by hand',
    description:
      'It adjoins those defined before. Generated years that it overlaps, and those behind them that would no longer adjoin, give way to it as long as they are empty: no entry posted, no draft dated in them, no period ever closed. From then on the calendar is extended by hand only.',
    body: DefineFiscalYearBody,
    answer: FiscalYearDefined,
    creates: true,
    refusals: ['date_invalid', 'book_unknown', 'fiscal_year_invalid'],
  })
  defineFiscalYear(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    return this.commands.run(definingYear, request, reply);
  }

  @Get(':book/fiscal-years')
  @QueryOperation({
    summary: 'List fiscal years',
    description: 'With the state of each period.',
    answer: FiscalYearsShown,
    refusals: ['book_unknown'],
  })
  fiscalYears(@Param('book') book: string): Promise<FiscalYearsShown> {
    return this.service.queries.fiscalYears(book);
  }
}
