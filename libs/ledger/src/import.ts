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
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type BookState,
  bookIdForm,
  bookReducer,
  type CalendarDate,
  currencyForm,
  type ErrorCode,
  isMonthDay,
  isoScale,
  LedgerError,
} from '#domain';
import { canonicalJson, type Receipt } from '#event-store';
import type { Answer } from './answer';
import { accountCodes, bookStreamId } from './catalogue';
import { type Command, normalise } from './commands';
import {
  controls,
  type Draft,
  decimalsOf,
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
import { readPostingsCsv } from './import/postings-csv';
import { ledgerErrorOf, type Service } from './service';

export { accountTypeOf, type ImportRefusal, readAccountTypes } from './import/entries';

/** Formats by the name that `--format` knows them by. */
export const importFormats: Readonly<Record<string, ImportFormat>> = { 'postings-csv': readPostingsCsv };

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
  /** These three: what a dry run would do. */
  readonly bookOpened: boolean;
  readonly currenciesDeclared: readonly { readonly code: string; readonly scale: number }[];
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
/** Commands under way; more would only wait in the write queue, whose batches hold 500. Half a queue at most, lest it be full. */
const underWayMax = 2_000;
/** Entries whose receipts are looked up in one go. */
const chunkMax = 500;
/** Rests after the database did not answer, doubling. */
const restMs = { first: 100, most: 5_000 } as const;
const defaultPatienceMs = 120_000;
/** Times that one entry was refused under its key, mended in the book, and imported again. */
const attemptsMax = 1_000;
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
  const { entries, lines, droppedLines, accounts, currencies, from, to, refusals } = survey;
  for (const refusal of refusals) refuse(refusal);
  const found: ImportSurvey = { entries, lines, refused, accounts: accounts.size, currencies: [...currencies.keys()], from, to };
  observer.surveyed?.(found, secondsSince(started));

  const summary = (outcome: Partial<ImportSummary>): ImportSummary => ({
    survey: found,
    bookOpened: false,
    currenciesDeclared: [],
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
  const prepared = { bookOpened: book === undefined, currenciesDeclared, accountsOpened: accountsToOpen.length };
  if (dryRun) return summary(prepared);

  const sender = new Sender(service, options, observer);
  await prepare(sender, options, prepared, accountsToOpen, reader);
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
  const sourceFault = textFault(source, sourceLengthMax, controls);
  if (sourceFault !== undefined) throw wrong('source', `the name of the source ${sourceFault.text}`);
  if (create === undefined) return;
  const nameFault = textFault(create.name, bookNameLengthMax, controls);
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
  survey.refusals.sort((a, b) => a.line - b.line);
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
  const { command, dropped } = reading.draft;
  survey.droppedLines += dropped;
  if (survey.from === undefined || command.effectiveDate < survey.from) survey.from = command.effectiveDate;
  if (survey.to === undefined || command.effectiveDate > survey.to) survey.to = command.effectiveDate;
  for (const { account, currency, amount } of command.lines) {
    survey.accounts.add(account);
    const decimals = decimalsOf(amount);
    if (decimals > (survey.currencies.get(currency) ?? -1)) survey.currencies.set(currency, decimals);
  }
}

// --- Sending commands ---

/** A command's outcome, and whether this very import brought it about. */
interface Sent {
  readonly answer: Answer;
  readonly fresh: boolean;
}

/** Sends commands until they have an outcome: a full queue and an unreachable database are waited for, with the same key. */
class Sender {
  private answeredAt = performance.now();
  private failures = 0;
  private pause: Promise<void> | undefined;

  constructor(
    private readonly service: ImportService,
    private readonly options: ImportOptions,
    private readonly observer: ImportObserver,
  ) {}

  /** @throws LedgerError what is no outcome; as `patiently` */
  send(key: string, command: Command): Promise<Sent> {
    const { book, userId } = this.options;
    return this.patiently(async (attempt) => {
      const answer = await this.service.ledger.execute(book, command, { key, userId, source: 'CLI' });
      // The first sending may have been carried out although its answer was lost.
      return { answer, fresh: !answer.replayed || attempt > 1 };
    });
  }

  /** The stored outcomes of commands, by key. */
  async receipts(keys: readonly string[]): Promise<Map<string, Receipt>> {
    const wanted = keys.map((key) => ({ key, item: 0 }));
    const found = await this.patiently(() => this.service.store.receipts(this.options.book, wanted));
    return new Map(found.map((receipt) => [receipt.key, receipt]));
  }

  /** Makes durable what has been read: see `missing`. */
  touch(key: string): Promise<void> {
    return this.patiently(() => this.service.store.touchReceipt(this.options.book, key, 0));
  }

  /** @throws LedgerError unavailable or limited, when patience is at its end or the import was told to stop */
  private async patiently<T>(work: (attempt: number) => Promise<T>): Promise<T> {
    const { signal, patienceMs = defaultPatienceMs } = this.options;
    for (let attempt = 1; ; attempt++) {
      try {
        while (this.pause !== undefined) await this.pause;
        const answer = await work(attempt);
        this.answeredAt = performance.now();
        this.failures = 0;
        return answer;
      } catch (error) {
        const known = ledgerErrorOf(error);
        if (known.kind !== 'unavailable' && known.kind !== 'limited') throw error;
        if (signal?.aborted || performance.now() - this.answeredAt > patienceMs) throw known;
        this.observer.waiting?.(known.message);
        this.rest();
      }
    }
  }

  /** One rest for all commands, after which they go on in the order in which they came. */
  private rest(): void {
    if (this.pause !== undefined) return;
    const ms = Math.min(restMs.first * 2 ** this.failures++, restMs.most);
    this.pause = sleep(ms, undefined, { signal: this.options.signal })
      .catch(() => {}) // told to stop: the next failure ends it
      .then(() => {
        this.pause = undefined;
      });
  }

  /**
   * Sends a command that must be carried out.
   * @param done the refusal that says that it was
   */
  async carryOut(key: string, command: Command, done: ErrorCode): Promise<void> {
    const { answer } = await this.send(key, command);
    if (answer.status < 400) return;
    const { code, detail } = JSON.parse(answer.body) as { code: ErrorCode; detail: string };
    if (code !== done) throw new LedgerError(code, detail);
  }
}

/**
 * The idempotency key of an entry: printable ASCII whatever the names are, never the same for two pairs of names, at most 255
 * characters.
 * @param attempt from 2 on when the book had refused the entry under its keys before; refusals are remembered for ever (I6)
 */
export function importKey(kind: 'entry' | 'account' | 'currency' | 'book', source: string, id: string, attempt = 1): string {
  const prefix = kind === 'entry' ? 'import' : `import-${kind}`;
  const suffix = attempt === 1 ? '' : `#${attempt}`;
  // What encodeURIComponent leaves is ASCII without ':' and '#', so the parts cannot be mistaken for each other.
  const key = `${prefix}:${encodeURIComponent(source)}:${encodeURIComponent(id)}${suffix}`;
  if (key.length <= 255) return key;
  return `${prefix}-sha256:${sha256(JSON.stringify([source, id]))}${suffix}`;
}

const sha256 = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

// --- What entries need ---

/** What ISO 4217 does not know, and what it knows too coarsely; a currency in use keeps its decimals. */
function currenciesToDeclare(currencies: ReadonlyMap<string, number>, book: BookState | undefined): { code: string; scale: number }[] {
  return [...currencies]
    .filter(([code, decimals]) => scaleIn(book, code) === undefined && decimals > (isoScale(code) ?? -1))
    .map(([code, scale]) => ({ code, scale }));
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

/** Opens the book, declares currencies, opens accounts; what somebody else has done in the meantime is as good. */
async function prepare(
  sender: Sender,
  { book, create, source }: ImportOptions,
  { bookOpened, currenciesDeclared }: Pick<ImportSummary, 'bookOpened' | 'currenciesDeclared'>,
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
  for (let from = 0; from < accounts.length; from += accountsAtOnce) {
    await Promise.all(
      accounts.slice(from, from + accountsAtOnce).map(async (code) => {
        const accountType = reader.typeOf(code);
        if (accountType === undefined) return; // the book had it when it was looked up
        const name = code.slice(code.lastIndexOf(':') + 1).trim() || code;
        const command: Command = { type: 'OpenAccount', code, name, accountType };
        await sender.carryOut(importKey('account', source, `${code}/${accountType}`), command, 'account_exists');
      }),
    );
  }
}

// --- The second reading ---

/** Posts the entries of the file in its order, many under way at a time, so that the write queue can commit them in groups. */
class Poster {
  posted = 0;
  alreadyThere = 0;
  ended: ImportSummary['ended'];
  private done = 0;
  private underWay = 0;
  private looking = true;
  private wake: (() => void) | undefined;
  private readonly started = performance.now();

  constructor(
    private readonly service: ImportService,
    private readonly sender: Sender,
    private readonly options: ImportOptions,
    private readonly total: number,
    private readonly observer: ImportObserver,
    private readonly refuse: (refusal: ImportRefusal) => void,
  ) {}

  async run(batches: AsyncIterable<readonly { readonly reading: Reading }[]>): Promise<void> {
    try {
      await this.takeAll(batches);
    } catch (error) {
      // The file became unreadable, or the database does not answer; entries under way have their outcome all the same.
      if (!(error instanceof LedgerError)) throw error;
      this.ended ??= this.options.signal?.aborted ? 'signal' : error;
    } finally {
      await this.until(0);
    }
  }

  private async takeAll(batches: AsyncIterable<readonly { readonly reading: Reading }[]>): Promise<void> {
    const { signal, file } = this.options;
    let read = 0;
    let chunk: Draft[] = [];
    for await (const batch of batches) {
      // A faulty one: the survey has refused it and said so.
      for (const { reading } of batch) if ('draft' in reading) chunk.push(reading.draft);
      if (chunk.length < chunkMax) continue;
      read += chunk.length;
      await this.take(chunk);
      chunk = [];
      if (signal?.aborted) this.ended ??= 'signal';
      if (this.ended !== undefined) return;
    }
    read += chunk.length;
    await this.take(chunk);
    if (read !== this.total && this.ended === undefined) {
      this.ended = new LedgerError(
        'malformed',
        `${file} changed while it was imported: it had ${this.total} entries at first, then ${read}; import it again`,
      );
    }
  }

  private async take(drafts: readonly Draft[]): Promise<void> {
    const { signal } = this.options;
    const { QUEUE_PER_BOOK, QUEUE_TOTAL } = this.service.config;
    const most = Math.max(1, Math.min(underWayMax, Math.floor(Math.min(QUEUE_PER_BOOK, QUEUE_TOTAL) / 2)));
    for (const draft of await this.missing(drafts)) {
      await this.until(most - 1);
      if (signal?.aborted) this.ended ??= 'signal';
      if (this.ended !== undefined) return;
      this.begin(draft);
    }
  }

  /**
   * Those that an earlier import has not posted, as far as a look at their receipts tells: sent one by one, each would cost a
   * commit. One touched receipt for all of them makes what was seen durable, for commits become durable in their order (the
   * replay hole, SCALE section 4). Once none was found, the import is past what was posted, and looks no more.
   */
  private async missing(drafts: readonly Draft[]): Promise<readonly Draft[]> {
    if (!this.looking || drafts.length === 0) return drafts;
    const keys = drafts.map(({ txn }) => importKey('entry', this.options.source, txn));
    const receipts = await this.sender.receipts(keys);
    // What is refused, and what differs, is for the ledger to say.
    const there = drafts.map(({ command }, index) => {
      const receipt = receipts.get(keys[index] as string);
      return receipt !== undefined && receipt.status < 400 && receipt.fingerprint === sha256(canonicalJson(normalise(command)));
    });
    const found = keys.find((_, index) => there[index]);
    this.looking = found !== undefined;
    if (found === undefined) return drafts;
    await this.sender.touch(found);
    const missing = drafts.filter((_, index) => !there[index]);
    this.alreadyThere += drafts.length - missing.length;
    this.done += drafts.length - missing.length;
    this.tellProgress();
    return missing;
  }

  get seconds(): number {
    return secondsSince(this.started);
  }

  private begin(draft: Draft): void {
    this.underWay++;
    this.post(draft)
      .catch((error: unknown) => {
        this.ended ??= new LedgerError('internal', `entry ${draft.txn}: ${(error as Error).message}`, {}, 'internal', { cause: error });
      })
      .finally(() => {
        this.underWay--;
        this.done++;
        this.tellProgress();
        this.wake?.();
      });
  }

  private tellProgress(): void {
    this.observer.progress?.({ done: this.done, total: this.total, seconds: this.seconds });
  }

  /** Waits until at most `most` entries are under way. */
  private async until(most: number): Promise<void> {
    while (this.underWay > most) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  private async post(draft: Draft): Promise<void> {
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const key = importKey('entry', this.options.source, draft.txn, attempt);
      try {
        const { answer, fresh } = await this.sender.send(key, draft.command);
        if (answer.status < 400) {
          if (fresh) this.posted++;
          else this.alreadyThere++;
          return;
        }
        // Refused by an earlier import, for reasons that may have been mended in the book since: the next key decides anew.
        if (!fresh) continue;
        const { code, detail, line } = JSON.parse(answer.body) as { code: ErrorCode; detail: string; line?: number };
        return this.leaveOut(draft, code, detail, line);
      } catch (error) {
        if (!(error instanceof LedgerError)) throw error;
        if (error.kind === 'unavailable' || error.kind === 'limited') {
          this.ended ??= this.options.signal?.aborted ? 'signal' : error;
          return;
        }
        if (error.code !== 'idempotency_key_reused') return this.leaveOut(draft, error.code, error.message);
        const receipt = (await this.sender.receipts([key])).get(key);
        if (receipt === undefined || receipt.status < 400) return this.leaveOutChanged(draft, error);
        // The file was mended after the book had refused the entry: nothing was posted under this key, nor ever will be.
      }
    }
    this.leaveOut(draft, 'internal', `refused under ${attemptsMax} keys`);
  }

  /** @param line of the entry, where the reason lies in one */
  private leaveOut({ txn, at, lineAt }: Draft, code: ErrorCode, reason: string, line?: number): void {
    const { file, onError } = this.options;
    this.refuse({ file, line: (line === undefined ? undefined : lineAt[line - 1]) ?? at, txn, code, reason });
    if (onError === 'stop') this.ended ??= 'refusal';
  }

  private leaveOutChanged(draft: Draft, { details }: LedgerError): void {
    const members = (details.members ?? []) as readonly string[];
    const index = members.map((member) => /^lines\.(\d+)\./.exec(member)?.[1]).find((found) => found !== undefined);
    this.leaveOut(
      draft,
      'idempotency_key_reused',
      `entry ${draft.txn} of source ${this.options.source} was imported with other content; what differs: ${members.join(', ')}. ` +
        'Posted entries are not edited: correct or reverse it in the book; or, if this is another entry, import the file under another source name',
      index === undefined ? undefined : Number(index) + 1,
    );
  }
}
