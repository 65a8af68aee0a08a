/**
 * Import: brings the entries of a file into a book, each once, however often and with however many interruptions it is run.
 * Hides formats, the order of rows, the declaration of currencies, the opening of accounts, batching and retries. Guarantees:
 * - The file is read and checked as a whole before anything is written; with `onError: 'stop'` a file with a fault changes nothing.
 * - An entry's idempotency key is made of the source's name and the entry's id there. What was posted is not posted again, and
 *   an entry whose content has changed since is refused by name (I6).
 * - Memory holds the ids of the file's entries and the rows of those that do not stand together, and no more than the limits
 *   below, however large the file is.
 *
 * Two readings of the file: the first surveys (entries, accounts, currencies, dates, faults), the second posts. A file whose
 * entries are scattered is surveyed twice, because where an entry ends is known only after the first time.
 */
import {
  type BookState,
  bookIdForm,
  bookReducer,
  type CalendarDate,
  currencyForm,
  decimalsOf,
  defaultJournalCode,
  isMonthDay,
  isoScale,
  LedgerError,
} from '#domain';
import { accountCodes, bookStreamId } from './catalogue';
import type { Command } from './commands';
import { adsFormat } from './import/ads';
import type { Encoding } from './import/csv';
import {
  type DayBook,
  type EntryOptions,
  EntryReader,
  type ImportFormat,
  type ImportRefusal,
  isBlank,
  type Reading,
  type SourceEntry,
  scaleIn,
  sourceLengthMax,
  textFault,
} from './import/entries';
import { type FecOptions, fecFormat } from './import/fec';
import { journalFormat } from './import/journal';
import { importKey, Poster, Sender, sha256 } from './import/posting';
import { readPostingsCsv } from './import/postings-csv';
import type { Service } from './service';

export { accountTypeOf, type ImportRefusal, readAccountTypes } from './import/entries';
export { journalFormat } from './import/journal';
export { importKey } from './import/posting';

/** What a format can be told of its file. */
export interface FormatOptions extends FecOptions {
  /** Codes of currencies by what the file calls them; '' where it calls them nothing. */
  readonly currencies?: ReadonlyMap<string, string>;
  readonly encoding?: Encoding;
}

/** Formats by the name that `--format` knows them by. */
const formats: Readonly<Record<string, (told: FormatOptions) => ImportFormat>> = {
  'postings-csv': () => readPostingsCsv,
  hledger: ({ currencies }) => journalFormat('hledger', currencies),
  ledger: ({ currencies }) => journalFormat('ledger', currencies),
  ads: adsFormat,
  fec: fecFormat,
};

/** A format by its name; undefined when there is none. */
export function importFormat(name: string, told: FormatOptions = {}): ImportFormat | undefined {
  return Object.hasOwn(formats, name) ? formats[name]?.(told) : undefined;
}

/** Formats that are told nothing. */
export const importFormats: Readonly<Record<string, ImportFormat>> = Object.fromEntries(
  Object.entries(formats).map(([name, format]) => [name, format({})]),
);

type ImportService = Pick<Service, 'ledger' | 'store' | 'config'>;

// --- What an import is told, and what it tells ---

export interface ImportOptions extends EntryOptions {
  /** Opens the book when there is none; without it an unknown book is an error. */
  readonly create?: {
    readonly name: string;
    readonly baseCurrency: string;
    readonly fiscalYearStart: string;
    readonly timeZone?: string;
  };
  /** After a refusal: stop, or leave the entry out and go on. */
  readonly onError: 'stop' | 'continue';
  /** Checks only: reads file and book, writes nothing. */
  readonly dryRun: boolean;
  /** Who imports: opaque id, stands in every event (I12). */
  readonly userId: string;
  /** Ends the import between entries. */
  readonly signal?: AbortSignal;
  /** Milliseconds without an answer of the database after which the import gives up; 120,000 when absent. */
  readonly patienceMs?: number;
}

/** What the first reading found. Accounts, currencies and dates are those of entries without a fault. */
export interface ImportSurvey {
  readonly entries: number;
  readonly lines: number;
  /** Entries with a fault; they will not be posted. */
  readonly refused: number;
  readonly accounts: number;
  readonly currencies: readonly string[];
  readonly from?: CalendarDate;
  readonly to?: CalendarDate;
}

export interface ImportProgress {
  /** Entries with an outcome, of `total`. */
  readonly done: number;
  readonly total: number;
  /** Seconds since posting began. */
  readonly seconds: number;
}

/** Told while the import runs. */
export interface ImportObserver {
  surveyed?(survey: ImportSurvey, seconds: number): void;
  refused?(refusal: ImportRefusal): void;
  /** Called often; showing it is the caller's affair. */
  progress?(progress: ImportProgress): void;
  /** The database does not answer; the import goes on when it does. */
  waiting?(reason: string): void;
}

export interface ImportSummary {
  readonly survey: ImportSurvey;
  /** These four: what a dry run would do. */
  readonly bookOpened: boolean;
  readonly currenciesDeclared: readonly { readonly code: string; readonly scale: number }[];
  /** Codes of day books. */
  readonly dayBooksDefined: readonly string[];
  readonly accountsOpened: number;
  readonly posted: number;
  /** Entries that an earlier import had posted. */
  readonly alreadyThere: number;
  /** Entries refused, in the survey and while posting. */
  readonly refused: number;
  /** Lines of quantity zero that were left out. */
  readonly droppedLines: number;
  /** Seconds from the start, and those of posting alone. */
  readonly seconds: number;
  readonly postingSeconds: number;
  /** Why it ended before the end of the file. */
  readonly ended?: 'refusal' | 'signal' | LedgerError;
  readonly firstRefusal?: ImportRefusal;
}

// --- Limits ---

/** Entries of one file: their ids are kept in memory. */
const entriesMax = 5_000_000;
/** Refusals of the survey, held until it is known where entries end. */
const surveyRefusalsMax = 100_000;
const bookNameLengthMax = 200;
/** Accounts opened in one go. */
const accountsAtOnce = 1_000;

/**
 * Imports a file.
 * @throws LedgerError when nothing could be begun: malformed (options, file), book_unknown, or what the book's rules or the
 *   database say to opening the book, a currency or an account. A refused entry is no error: see the summary.
 */
export async function importFile(service: ImportService, options: ImportOptions, observer: ImportObserver = {}): Promise<ImportSummary> {
  const started = performance.now();
  const { book: bookId, create, onError, dryRun, signal } = options;
  checkOptions(options);
  const book = (await service.store.load(bookId, bookStreamId(bookId), bookReducer))?.state;
  if (book === undefined && create === undefined) {
    throw new LedgerError(
      'book_unknown',
      `there is no book ${bookId}; open it first, or let the import do it (--create --base-currency CODE)`,
      { book: bookId },
    );
  }
  let refused = 0;
  let firstRefusal: ImportRefusal | undefined;
  const refuse = (refusal: ImportRefusal): void => {
    refused++;
    firstRefusal ??= refusal;
    observer.refused?.(refusal);
  };

  const reader = new EntryReader(service, options, book);
  const survey = await surveyFile(reader, options);
  const { entries, lines, droppedLines, accounts, currencies, dayBooks, from, to, refusals } = survey;
  for (const refusal of refusals) refuse(refusal);
  const found: ImportSurvey = { entries, lines, refused, accounts: accounts.size, currencies: [...currencies.keys()], from, to };
  observer.surveyed?.(found, secondsSince(started));

  const summary = (outcome: Partial<ImportSummary>): ImportSummary => ({
    survey: found,
    bookOpened: false,
    currenciesDeclared: [],
    dayBooksDefined: [],
    accountsOpened: 0,
    posted: 0,
    alreadyThere: 0,
    refused,
    droppedLines,
    seconds: secondsSince(started),
    postingSeconds: 0,
    firstRefusal,
    ...outcome,
  });
  if (signal?.aborted) return summary({ ended: 'signal' });
  if (refused > 0 && onError === 'stop') return summary({ ended: 'refusal' });
  const currenciesDeclared = currenciesToDeclare(currencies, book);
  const accountsToOpen = await missingAccounts(service, options, accounts, book);
  const dayBooksToDefine = [...dayBooks.values()].filter(({ code }) => !hasDayBook(book, code));
  const prepared = {
    bookOpened: book === undefined,
    currenciesDeclared,
    dayBooksDefined: dayBooksToDefine.map(({ code }) => code),
    accountsOpened: accountsToOpen.length,
  };
  if (dryRun) return summary(prepared);

  const sender = new Sender(service, options, observer);
  await prepare(sender, options, prepared, dayBooksToDefine, accountsToOpen, reader);
  const poster = new Poster(service, sender, options, entries - refusals.length, observer, refuse);
  await poster.run(reader.read(survey.rowsOf));
  const { posted, alreadyThere, ended, seconds } = poster;
  return summary({ ...prepared, posted, alreadyThere, postingSeconds: seconds, ended });
}

/** The forms that the REST edge demands of the same values. */
function checkOptions({ book, source, create }: ImportOptions): void {
  const wrong = (member: string, says: string): LedgerError => new LedgerError('malformed', says, { member });
  if (!bookIdForm.test(book)) {
    throw wrong('book', `"${book}" is no id for a book: 1 to 40 of a-z 0-9 -, beginning with a letter or digit`);
  }
  const sourceFault = textFault(source, sourceLengthMax, 'name');
  if (sourceFault !== undefined) throw wrong('source', `the name of the source ${sourceFault.text}`);
  if (create === undefined) return;
  const nameFault = textFault(create.name, bookNameLengthMax, 'name');
  if (nameFault !== undefined) throw wrong('name', `the name of the book ${nameFault.text}`);
  if (!isMonthDay(create.fiscalYearStart)) {
    throw wrong('fiscalYearStart', `"${create.fiscalYearStart}" is not a month and day that every year has, like 01-01`);
  }
  if (!currencyForm.test(create.baseCurrency)) throw wrong('baseCurrency', `"${create.baseCurrency}" is no code of a currency, like EUR`);
}

const secondsSince = (start: number): number => (performance.now() - start) / 1_000;

// --- The first reading ---

interface Survey {
  entries: number;
  lines: number;
  droppedLines: number;
  from: CalendarDate | undefined;
  to: CalendarDate | undefined;
  /** Accounts in the order of their first use. */
  readonly accounts: Set<string>;
  /** Largest number of decimals by currency, in the order of first use. */
  readonly currencies: Map<string, number>;
  /** By code, in the order of first use. */
  readonly dayBooks: Map<string, Required<DayBook>>;
  readonly refusals: ImportRefusal[];
  /** Number of rows by txn, where rows of one entry do not stand together. */
  rowsOf?: ReadonlyMap<string, number>;
}

/** @throws LedgerError too_large when the file has more entries, scattered rows or faults than the limits above */
async function surveyFile(reader: EntryReader, options: ImportOptions): Promise<Survey> {
  const { file, signal } = options;
  const rowsOf = new Map<string, number>();
  let scattered = false;
  const together = newSurvey();
  for await (const batch of reader.read()) {
    if (signal?.aborted) return together;
    for (const { entry, reading } of batch) {
      const known = rowsOf.get(entry.txn);
      // A blank txn names no entry: its rows are refused one by one, wherever they stand.
      scattered ||= known !== undefined && !isBlank(entry.txn);
      rowsOf.set(entry.txn, (known ?? 0) + entry.rows.length);
      if (rowsOf.size > entriesMax) {
        throw new LedgerError('too_large', `${file} has more than ${entriesMax} entries; split it`, { limit: entriesMax });
      }
      if (!scattered) note(together, entry, reading);
    }
  }
  if (!scattered) return withinLimit(together, file);
  const survey = newSurvey();
  survey.rowsOf = rowsOf;
  for await (const batch of reader.read(rowsOf)) {
    if (signal?.aborted) return survey;
    for (const { entry, reading } of batch) note(survey, entry, reading);
  }
  survey.refusals.sort((a, b) => (a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1));
  return withinLimit(survey, file);
}

function newSurvey(): Survey {
  return {
    entries: 0,
    lines: 0,
    droppedLines: 0,
    from: undefined,
    to: undefined,
    accounts: new Set(),
    currencies: new Map(),
    dayBooks: new Map(),
    refusals: [],
  };
}

/** Asked at the end only: as long as entries seem to end too early, all of them seem faulty. */
function withinLimit(survey: Survey, file: string): Survey {
  const [first] = survey.refusals;
  if (first === undefined || survey.refusals.length <= surveyRefusalsMax) return survey;
  const says = `${file}: more than ${surveyRefusalsMax} entries are faulty, beginning with line ${first.line}: ${first.reason}`;
  throw new LedgerError('too_large', says, { limit: surveyRefusalsMax });
}

function note(survey: Survey, { rows }: SourceEntry, reading: Reading): void {
  survey.entries++;
  survey.lines += rows.length;
  if ('refusal' in reading) {
    if (survey.refusals.length <= surveyRefusalsMax) survey.refusals.push(reading.refusal);
    return;
  }
  const { command, dropped, dayBook } = reading.draft;
  survey.droppedLines += dropped;
  if (dayBook !== undefined && !survey.dayBooks.has(dayBook.code)) survey.dayBooks.set(dayBook.code, dayBook);
  if (survey.from === undefined || command.effectiveDate < survey.from) survey.from = command.effectiveDate;
  if (survey.to === undefined || command.effectiveDate > survey.to) survey.to = command.effectiveDate;
  for (const { account, currency, amount } of command.lines) {
    survey.accounts.add(account);
    const decimals = decimalsOf(amount);
    if (decimals > (survey.currencies.get(currency) ?? -1)) survey.currencies.set(currency, decimals);
  }
}

// --- What entries need ---

/** What ISO 4217 does not know, and what it knows too coarsely; a currency in use keeps its decimals. */
function currenciesToDeclare(currencies: ReadonlyMap<string, number>, book: BookState | undefined): { code: string; scale: number }[] {
  return [...currencies]
    .filter(([code, decimals]) => scaleIn(book, code) === undefined && decimals > (isoScale(code) ?? -1))
    .map(([code, scale]) => ({ code, scale }));
}

/** A book that is to be opened will have GENERAL. */
function hasDayBook(book: BookState | undefined, code: string): boolean {
  return book === undefined ? code === defaultJournalCode : book.journals.some(({ journalCode }) => journalCode === code);
}

/** Accounts that the book does not have, in the order of their first use. */
async function missingAccounts(
  { store }: ImportService,
  options: ImportOptions,
  accounts: ReadonlySet<string>,
  book: BookState | undefined,
): Promise<string[]> {
  const codes = [...accounts];
  if (book === undefined) return codes;
  const missing: string[] = [];
  for (let from = 0; from < codes.length; from += accountsAtOnce) {
    const some = codes.slice(from, from + accountsAtOnce);
    const known = await store.streamsByName(options.book, accountCodes, some);
    missing.push(...some.filter((code) => !known.has(code)));
  }
  return missing;
}

/** Opens the book, declares currencies, defines day books, opens accounts; what somebody else has done in the meantime is as good. */
async function prepare(
  sender: Sender,
  { book, create, source }: ImportOptions,
  { bookOpened, currenciesDeclared }: Pick<ImportSummary, 'bookOpened' | 'currenciesDeclared'>,
  dayBooks: readonly Required<DayBook>[],
  accounts: readonly string[],
  reader: EntryReader,
): Promise<void> {
  if (bookOpened && create !== undefined) {
    // Of the settings too: what was claimed by an import that died before the book was there binds nobody.
    const settings = sha256(JSON.stringify([create.name, create.baseCurrency, create.fiscalYearStart, create.timeZone])).slice(0, 16);
    await sender.carryOut(importKey('book', source, `${book}/${settings}`), { type: 'OpenBook', id: book, ...create }, 'book_exists');
  }
  for (const { code, scale } of currenciesDeclared) {
    await sender.carryOut(importKey('currency', source, `${code}/${scale}`), { type: 'EnableCurrency', code, scale }, 'currency_exists');
  }
  for (const { code, name, type } of dayBooks) {
    const command: Command = { type: 'DefineJournal', journalCode: code, name, journalType: type };
    await sender.carryOut(importKey('journal', source, `${code}/${name}/${type}`), command, 'journal_exists');
  }
  for (let from = 0; from < accounts.length; from += accountsAtOnce) {
    await Promise.all(
      accounts.slice(from, from + accountsAtOnce).map(async (code) => {
        const accountType = reader.typeOf(code);
        if (accountType === undefined) return; // the book had it when it was looked up
        const named = reader.nameOf(code);
        const name = named ?? (code.slice(code.lastIndexOf(':') + 1).trim() || code);
        const command: Command = { type: 'OpenAccount', code, name, accountType };
        // A name that is given may be another one the next time.
        const id = named === undefined ? `${code}/${accountType}` : `${code}/${accountType}/${named}`;
        await sender.carryOut(importKey('account', source, id), command, 'account_exists');
      }),
    );
  }
}
