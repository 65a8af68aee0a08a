/**
 * From rows of a file to commands: puts the rows of an entry together, in whatever order they stand, and checks everything
 * that can be said without the book's rules. Guarantees that two readings of a file give the same commands, that what it lets
 * through has the forms that the REST edge demands and balances (I1, I2), and that every fault names the line of the file.
 */
import {
  type AccountType,
  accountTypes,
  type BookState,
  canonicalDecimal,
  currencyForm,
  decimalsOf,
  type EntryExtras,
  type EntryLine,
  type EntryType,
  type ErrorCode,
  fromMinor,
  isDate,
  isoScale,
  isPlainDecimal,
  type JournalType,
  journalCodeForm,
  LedgerError,
  type LineExtras,
  type PostEntry,
  scaleMax,
  textProblem,
  toMinor,
} from '#domain';
import { accountCodes } from '../catalogue';
import type { Service } from '../service';
import { isZero, plainName, quoted, unsigned } from './cells';
import { readCsv } from './csv';

// --- What a format reads ---

/** One row of a source: one line of one entry. Texts as the source has them; the engine checks them. */
export interface PostingRow {
  /** Line of the file, from 1. */
  readonly at: number;
  /** The file, where it is not the one that is imported: files include each other. All rows of an entry stand in one. */
  readonly file?: string;
  /** Id of the entry in its source. */
  readonly txn: string;
  /** Place of the line in its entry; the order of rows does not matter. */
  readonly line: number;
  readonly date: string;
  readonly description: string;
  readonly account: string;
  /** As the source declares it, before the row; what the first row of an account says counts. */
  readonly accountType?: AccountType;
  /** Name of the account, as its type. */
  readonly accountName?: string;
  readonly currency: string;
  /** Plain decimal, debit positive, credit negative. */
  readonly quantity: string;
  /**
   * The same amount in other currencies, without sign. Where the book tracks exchange rates one of both is in base currency and
   * the line is posted in the other; else the line is posted in `currency`, and keeps the first of these as its quantity.
   */
  readonly others?: readonly OtherAmount[];
  readonly origin?: string;
  /** The line's own text, where the source tells it apart from the entry's. */
  readonly text?: string;
  /** The line's own reference; dropped where it is that of the entry or its document. */
  readonly lineReference?: string;
  readonly party?: LineExtras['party'];
  readonly dimensions?: LineExtras['dimensions'];
  // Of the entry; what its first line says counts:
  readonly reference?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly document?: EntryExtras['document'];
  readonly original?: NonNullable<EntryExtras['source']>['original'];
  readonly entryType?: EntryType;
  readonly dayBook?: DayBook;
}

/** Plain decimal without sign, and a code of a currency. */
export interface OtherAmount {
  readonly currency: string;
  readonly quantity: string;
}

/** A day book as its source knows it; the book gets one whose code is made of this one. */
export interface DayBook {
  readonly code: string;
  /** The code when absent. */
  readonly name?: string;
  readonly type?: JournalType;
}

/** A row that is no line of an entry. Refuses the entry that it names; the rest of the file can still be read. */
export interface BrokenRow {
  readonly at: number;
  readonly file?: string;
  readonly txn: string;
  readonly problem: string;
  /** malformed when absent. */
  readonly code?: ErrorCode;
}

export type SourceRow = PostingRow | BrokenRow;

/**
 * Reads a file, some rows at a time, the same at every reading.
 * @throws LedgerError with FILE:LINE when the file as a whole cannot be read
 */
export type ImportFormat = (file: string) => AsyncIterable<readonly SourceRow[]>;

/** What the rows of a file are read by. */
export interface EntryOptions {
  readonly book: string;
  readonly file: string;
  readonly format: ImportFormat;
  /** Name of where the entries come from, 1 to 100 characters. Entries of one source with the same txn are the same entry. */
  readonly source: string;
  /** Types and names of accounts by code; they win over what the file or the code says. */
  readonly accountTypes?: ReadonlyMap<string, ChartRow>;
  /** Type of accounts whose code says nothing. */
  readonly defaultType?: AccountType;
  /** What becomes of a line of quantity zero, which an entry of ours cannot have (I2). */
  readonly zeroLines: 'drop' | 'refuse';
}

/** An entry that is not in the book, with the place to look at. */
export interface ImportRefusal {
  readonly file: string;
  /** Line of the file, from 1. */
  readonly line: number;
  readonly txn: string;
  readonly code: ErrorCode;
  readonly reason: string;
}

// The same forms as at the REST edge.
export const sourceLengthMax = 100;
const codeLengthMax = 120;
const txnLengthMax = 200;
const descriptionLengthMax = 1_000;
const originLengthMax = 200;
const referenceLengthMax = 200;
const metadataBytesMax = 8_192;
const nameLengthMax = 200;
const idLengthMax = 100;
const dimensionKeyLengthMax = 60;
const dimensionsMax = 50;
const journalCodeLengthMax = 24;

/** Rows held because the rest of their entries comes later in the file. */
const scatteredRowsMax = 1_000_000;

/** Stored where the source has no description, because every entry has one. */
const noDescription = '(no description)';

// --- Rows to entries ---

/** The rows of one entry, in the order of the file. */
export interface SourceEntry {
  readonly txn: string;
  readonly rows: readonly SourceRow[];
}

/**
 * Puts rows together. Without `rowsOf` an entry ends where another begins; with it, when it has as many rows as the file
 * holds of it, wherever they stand.
 * @param rowsOf number of rows by txn
 * @throws LedgerError too_large when more than `scatteredRowsMax` rows wait for the rest of their entries
 */
async function* entriesIn(
  batches: AsyncIterable<readonly SourceRow[]>,
  file: string,
  rowsOf?: ReadonlyMap<string, number>,
): AsyncGenerator<readonly SourceEntry[]> {
  const open = new Map<string, SourceRow[]>();
  let waiting = 0;
  let current: { txn: string; rows: SourceRow[] } | undefined;
  for await (const batch of batches) {
    const complete: SourceEntry[] = [];
    for (const row of batch) {
      const { txn } = row;
      if (rowsOf === undefined || isBlank(txn)) {
        if (current !== undefined && current.txn === txn && !isBlank(txn)) current.rows.push(row);
        else {
          if (current !== undefined) complete.push(current);
          current = { txn, rows: [row] };
        }
        continue;
      }
      const rows = open.get(txn) ?? [];
      if (rows.push(row) === 1) open.set(txn, rows);
      if (rows.length < (rowsOf.get(txn) ?? 0)) {
        if (++waiting > scatteredRowsMax) throw tooScattered(file, row.at);
        continue;
      }
      waiting -= rows.length - 1;
      open.delete(txn);
      complete.push({ txn, rows });
    }
    if (complete.length > 0) yield complete;
  }
  if (current !== undefined) yield [current];
}

export const isBlank = (text: string): boolean => text.trim() === '';

function tooScattered(file: string, line: number): LedgerError {
  return new LedgerError(
    'too_large',
    `${file}:${line}: more than ${scatteredRowsMax} rows wait for the other rows of their entries; sort the file by txn first`,
    { limit: scatteredRowsMax },
  );
}

/** An entry as it will be sent, with where it stands in the file. */
export interface Draft {
  readonly txn: string;
  readonly command: PostEntry;
  readonly file: string;
  /** Lines of the file: where the entry begins, and where each of its lines stands. */
  readonly at: number;
  readonly lineAt: readonly number[];
  readonly dropped: number;
  /** The day book of the command's journalCode, as it is to be defined where the book lacks it. */
  readonly dayBook?: Required<DayBook>;
}

export type Reading = { readonly draft: Draft } | { readonly refusal: ImportRefusal };

/** What is wrong with a row, thrown inside `read` only. */
class RowFault extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly at: number,
  ) {
    super(message);
  }
}

/** Checks the rows of an entry and makes the command of them: everything that can be said without the book's rules. */
export class EntryReader {
  /** By code as it stands in the file. */
  private readonly codes = new Map<string, { readonly code: string; readonly fault?: Fault }>();
  /** Types that the source declares. */
  private readonly declared = new Map<string, AccountType>();
  private readonly names = new Map<string, string>();
  /** By code in the book: the code in the source. */
  private readonly dayBooks = new Map<string, string>();
  /** Codes that say nothing of their type, and whether the book has them. */
  private readonly untyped = new Map<string, boolean>();

  constructor(
    private readonly service: Pick<Service, 'store' | 'config'>,
    private readonly options: EntryOptions,
    private readonly book: BookState | undefined,
  ) {}

  /** Entries of the file, checked. Read twice, it gives the same. */
  async *read(rowsOf?: ReadonlyMap<string, number>): AsyncGenerator<readonly { readonly entry: SourceEntry; readonly reading: Reading }[]> {
    const { format, file } = this.options;
    for await (const entries of entriesIn(format(file), file, rowsOf)) {
      await this.lookUp(entries);
      yield entries.map((entry) => ({ entry, reading: this.check(entry) }));
    }
  }

  /** Type of an account to be opened; undefined when nothing tells it. */
  typeOf(code: string): AccountType | undefined {
    return this.options.accountTypes?.get(code)?.type ?? this.declared.get(code) ?? typeByCode(code) ?? this.options.defaultType;
  }

  /** Name of an account to be opened, where the chart or the file has one. */
  nameOf(code: string): string | undefined {
    return this.options.accountTypes?.get(code)?.name ?? this.names.get(code);
  }

  /** An account whose type nothing tells may exist already. */
  private async lookUp(entries: readonly SourceEntry[]): Promise<void> {
    const unknown = new Set<string>();
    for (const { rows } of entries) {
      for (const row of rows) {
        if ('problem' in row || this.codes.has(row.account)) continue;
        const code = row.account.normalize('NFC');
        const fault = textFault(code, codeLengthMax, 'code');
        this.codes.set(row.account, { code, fault });
        if (row.accountType !== undefined && !this.declared.has(code)) this.declared.set(code, row.accountType);
        if (row.accountName !== undefined && !this.names.has(code)) this.names.set(code, row.accountName);
        // What is no code is refused without asking, and may hold what the database takes for no text.
        if (fault === undefined && this.typeOf(code) === undefined && !this.untyped.has(code)) unknown.add(code);
      }
    }
    if (unknown.size === 0) return;
    const { store } = this.service;
    const known = this.book === undefined ? new Map() : await store.streamsByName(this.options.book, accountCodes, [...unknown]);
    for (const code of unknown) this.untyped.set(code, known.has(code));
  }

  private check({ txn, rows }: SourceEntry): Reading {
    const at = rows[0]?.at ?? 0;
    const file = rows[0]?.file ?? this.options.file;
    try {
      return { draft: this.draft(txn, rows, file, at) };
    } catch (error) {
      if (!(error instanceof RowFault)) throw error;
      return { refusal: { file, line: error.at, txn, code: error.code, reason: error.message } };
    }
  }

  private draft(txn: string, rows: readonly SourceRow[], file: string, at: number): Draft {
    if (isBlank(txn)) throw new RowFault('malformed', 'txn is empty; it tells which entry the row belongs to', at);
    const txnFault = textFault(txn, txnLengthMax, 'name');
    if (txnFault !== undefined) throw new RowFault(txnFault.code, `txn ${txnFault.text}`, at);
    const postings = inLineOrder(rows);
    const [first] = postings;
    if (first === undefined) throw new Error('an entry without rows');
    const { date, description } = first;
    if (!isDate(date)) {
      throw new RowFault(
        'date_invalid',
        `date is ${quoted(date)}, not a date YYYY-MM-DD that exists, from 1900-01-01 to 2199-12-31`,
        first.at,
      );
    }
    checkDescription(description, first.at);
    const { reference, metadata, document, original, entryType } = first;
    checkReference(reference, metadata, first.at);
    checkFacts(first);
    const dayBook = first.dayBook === undefined ? undefined : this.dayBook(first.dayBook, first.at);
    let lines: EntryLine[] = [];
    const lineAt: number[] = [];
    const kept: PostingRow[] = [];
    for (const row of postings) {
      if (row.date !== date) {
        throw new RowFault(
          'malformed',
          `date is ${quoted(row.date)}, but ${quoted(date)} in line ${first.at}; an entry has one date`,
          row.at,
        );
      }
      const line = this.line(row, first);
      if (line === undefined) continue;
      lines.push(line);
      lineAt.push(row.at);
      kept.push(row);
    }
    const { LINES_PER_ENTRY } = this.service.config;
    if (lines.length > LINES_PER_ENTRY) {
      throw new RowFault('too_large', `the entry has ${lines.length} lines; ${LINES_PER_ENTRY} are allowed`, at);
    }
    const dropped = postings.length - lines.length;
    if (lines.length < 2) {
      const left = dropped === 0 ? '' : `, after ${dropped} of quantity zero ${dropped === 1 ? 'was' : 'were'} dropped`;
      throw new RowFault('too_few_lines', `the entry has ${lines.length === 1 ? 'one line' : 'no line'}${left}; two are the least`, at);
    }
    let onImbalance: PostEntry['onImbalance'];
    if (this.book?.fx === 'tracked' && kept.some(({ others }) => others !== undefined && others.length > 0))
      ({ lines, onImbalance } = inTwoCurrencies(this.book, lines, kept, at));
    else checkBalance(lines, at);
    const command: PostEntry = {
      description: isBlank(description) ? noDescription : description,
      document,
      effectiveDate: date,
      entryMethod: 'import',
      entryType,
      journalCode: dayBook?.code,
      lines,
      metadata,
      onImbalance,
      reference,
      source: { id: txn, original, system: this.options.source },
      type: 'PostEntry',
    };
    return { txn, command, file, at, lineAt, dropped, dayBook };
  }

  /** The day book of ours that stands for one of the source; two of the source are never the same one. */
  private dayBook({ code, name = code, type = 'other' }: DayBook, at: number): Required<DayBook> {
    const own = journalCodeOf(code);
    if (own === undefined)
      throw new RowFault('text_invalid', `day book ${quoted(code)} has no letter or digit that a code could be made of`, at);
    const other = this.dayBooks.get(own) ?? code;
    this.dayBooks.set(own, other);
    if (other !== code) {
      const says = `day books ${quoted(other)} and ${quoted(code)} would both be ${own} here; give one of them another code in the file`;
      throw new RowFault('malformed', says, at);
    }
    checkText('name of the day book', name, nameLengthMax, at);
    return { code: own, name, type };
  }

  /** @returns undefined for a line of quantity zero that is to be dropped */
  private line(row: PostingRow, { description, document, reference: ofEntry }: PostingRow): EntryLine | undefined {
    const { account, currency, quantity: written, origin, at, dimensions, party, lineReference } = row;
    const { code, fault } = this.codes.get(account) ?? { code: account };
    if (fault !== undefined) throw new RowFault(fault.code, `account ${quoted(account)} ${fault.text}`, at);
    if (this.untyped.get(code) === false) throw new RowFault('account_unknown', typeless(code), at);
    if (!currencyForm.test(currency)) {
      const form = '1 to 24 of A-Z a-z 0-9 . _ -, beginning with a letter or digit';
      throw new RowFault('text_invalid', `commodity is ${quoted(currency)}, not ${form}`, at);
    }
    const size = unsigned(written);
    if (!isPlainDecimal(size)) {
      const form = 'digits, at most one point, no blank, plus sign, exponent, thousands separator or leading zero';
      throw new RowFault('amount_format', `quantity is ${quoted(written)}, not a plain decimal like 1234.50 or -1234.50 (${form})`, at);
    }
    const amount = canonicalDecimal(size);
    const enabled = scaleIn(this.book, currency);
    if (decimalsOf(amount) > (enabled ?? scaleMax)) {
      const why = enabled === undefined ? `${scaleMax} are the most that any currency has` : `${currency} has ${enabled} in this book`;
      throw new RowFault('scale_exceeded', `quantity ${written} ${currency} has ${decimalsOf(amount)} decimals; ${why}`, at);
    }
    const quantity = this.book?.fx === 'tracked' ? undefined : quantityOf(row);
    if (amount === '0' && quantity === undefined && !row.others?.some(({ quantity: other }) => !isZero(other))) {
      if (this.options.zeroLines === 'drop') return undefined;
      throw new RowFault('amount_range', 'quantity is 0, which no line can have; --zero-lines drop leaves such lines out', at);
    }
    const own = row.text ?? (row.description !== description && !isBlank(row.description) ? row.description : undefined);
    if (own !== undefined) checkDescription(own, at);
    const originFault = origin === undefined ? undefined : textFault(origin, originLengthMax, 'name');
    if (originFault !== undefined) throw new RowFault(originFault.code, `kind ${originFault.text}`, at);
    checkLine(row);
    const side = written.startsWith('-') ? 'credit' : 'debit';
    const reference = lineReference === (document?.number ?? ofEntry) ? undefined : lineReference;
    // In alphabetical order, as what is hashed: text in canonical order is made twice as fast.
    return { account: code, amount, currency, description: own, dimensions, origin, party, quantity, reference, side };
  }
}

/** The amount in another currency, where a line has one to keep. */
function quantityOf({ others }: PostingRow): LineExtras['quantity'] {
  const other = others?.find(({ quantity }) => !isZero(quantity));
  return other && { unit: other.currency, value: other.quantity };
}

/**
 * The code of a day book of ours, made of that of a source: capitals without accents, what is no letter or digit of ASCII a
 * hyphen, 24 characters at most. Undefined when nothing is left.
 */
function journalCodeOf(code: string): string | undefined {
  const plain = code.normalize('NFD').replace(/\p{M}/gu, '').toUpperCase();
  const own = plain
    .replace(/[^A-Z0-9_]+/g, '-')
    .slice(0, journalCodeLengthMax)
    .replace(/^[-_]+|-+$/g, '');
  return journalCodeForm.test(own) ? own : undefined;
}

/** The rows of an entry in the order of its lines. */
function inLineOrder(rows: readonly SourceRow[]): readonly PostingRow[] {
  const postings: PostingRow[] = [];
  for (const row of rows) {
    if ('problem' in row) throw new RowFault(row.code ?? 'malformed', row.problem, row.at);
    postings.push(row);
  }
  postings.sort((a, b) => a.line - b.line);
  for (const [index, { line, at }] of postings.entries()) {
    const before = postings[index - 1];
    if (before?.line === line) throw new RowFault('malformed', `line ${line} of the entry stands in line ${before.at} already`, at);
  }
  return postings;
}

function checkDescription(description: string, at: number): void {
  if (isBlank(description)) return;
  const fault = textFault(description, descriptionLengthMax, 'prose');
  if (fault !== undefined) throw new RowFault(fault.code, `description ${fault.text}`, at);
}

function checkReference(reference: string | undefined, metadata: PostingRow['metadata'], at: number): void {
  const fault = reference === undefined ? undefined : textFault(reference, referenceLengthMax, 'name');
  if (fault !== undefined) throw new RowFault(fault.code, `code ${fault.text}`, at);
  const bytes = metadata === undefined ? 0 : Buffer.byteLength(JSON.stringify(metadata));
  if (bytes > metadataBytesMax)
    throw new RowFault('too_large', `the entry's comment has ${bytes} bytes; ${metadataBytesMax} are allowed`, at);
}

function checkText(what: string, text: string | undefined, lengthMax: number, at: number): void {
  const fault = text === undefined ? undefined : textFault(text, lengthMax, 'name');
  if (fault !== undefined) throw new RowFault(fault.code, `${what} ${fault.text}`, at);
}

/** What a format may say of an entry beside its text. */
function checkFacts({ document, original, at }: PostingRow): void {
  checkText('type of the document', document?.type, dimensionKeyLengthMax, at);
  checkText('number of the document', document?.number, idLengthMax, at);
  for (const [member, text] of Object.entries(original ?? {})) checkText(`${member} in its source`, text, idLengthMax, at);
}

/** What a format may say of a line beside its text. */
function checkLine({ accountName, lineReference, party, dimensions = [], at }: PostingRow): void {
  checkText('name of the account', accountName, nameLengthMax, at);
  checkText('reference of the line', lineReference, referenceLengthMax, at);
  checkText('id of the party', party?.id, idLengthMax, at);
  if (dimensions.length > dimensionsMax)
    throw new RowFault('too_large', `the line has ${dimensions.length} dimensions; ${dimensionsMax} are allowed`, at);
  for (const { key, value } of dimensions) {
    checkText(`name of dimension ${quoted(key)}`, key, dimensionKeyLengthMax, at);
    checkText(`value of dimension ${quoted(key)}`, value, referenceLengthMax, at);
  }
}

interface Fault {
  readonly code: ErrorCode;
  readonly text: string;
}

const faultCodes = { long: 'too_large', blank: 'malformed', unfit: 'text_invalid' } as const;

/** What is wrong with a text, to be said after its name; the same that the REST edge finds. */
export function textFault(text: string, lengthMax: number, use: 'code' | 'name' | 'prose'): Fault | undefined {
  // First, and in other words: in a file nobody has written a blank, the cell is empty.
  if (isBlank(text)) return { code: 'malformed', text: 'is empty' };
  const problem = textProblem(text, lengthMax, use);
  return problem && { code: faultCodes[problem.kind], text: problem.says };
}

type Addend = Pick<EntryLine, 'currency' | 'side' | 'amount'>;

/** What does not balance of an entry, with the arithmetic. */
function imbalanceOf(lines: readonly Addend[]): string | undefined {
  const sums: { readonly currency: string; debit: bigint; credit: bigint; decimals: number }[] = [];
  for (const { currency, side, amount } of lines) {
    let sum = sums.find((known) => known.currency === currency);
    if (sum === undefined) {
      sum = { currency, debit: 0n, credit: 0n, decimals: isoScale(currency) ?? 0 };
      sums.push(sum);
    }
    sum[side] += toMinor(amount, scaleMax) ?? 0n;
    sum.decimals = Math.max(sum.decimals, decimalsOf(amount));
  }
  const wrong = sums.find(({ debit, credit }) => debit !== credit);
  if (wrong === undefined) return undefined;
  const { currency, debit, credit, decimals } = wrong;
  const shown = (sum: bigint): string => fromMinor(sum / 10n ** BigInt(scaleMax - decimals), decimals);
  const difference = shown(debit > credit ? debit - credit : credit - debit);
  return `debits ${shown(debit)}, credits ${shown(credit)}, difference ${difference} ${currency}`;
}

/** I1, before anything is written. */
function checkBalance(lines: readonly Addend[], at: number): void {
  const imbalance = imbalanceOf(lines);
  if (imbalance !== undefined) throw new RowFault('unbalanced', imbalance, at);
}

// --- Two currencies ---

/**
 * The lines of an entry for a book that tracks exchange rates: in the currency that the source has beside the base currency, each
 * with its base amount. Where only lines in base currency are left that do not balance, they are what exchange rates have
 * gained or lost: they carry a base amount only. Where a foreign currency does not balance, it was exchanged: the service adds
 * the lines on the account designated for currency conversion, as it does for every entry of its kind.
 * @param rows of the lines
 */
function inTwoCurrencies(
  book: BookState,
  lines: readonly EntryLine[],
  rows: readonly PostingRow[],
  at: number,
): { readonly lines: EntryLine[]; readonly onImbalance?: PostEntry['onImbalance'] } {
  const base = book.baseCurrency;
  const converted = lines.map((line, index) => withBase(book, line, rows[index] as PostingRow));
  const stated = converted.flatMap((line): Addend[] => {
    const amount = line.currency === base && line.baseAmount === undefined ? line.amount : line.baseAmount;
    return amount === undefined ? [] : [{ currency: base, side: line.side, amount }];
  });
  // A line without its base amount gets it at the rate that the book has.
  if (stated.length === converted.length) checkBalance(stated, at);
  if (imbalanceOf(converted.filter(({ currency }) => currency !== base)) !== undefined) {
    if (book.designated.currency_conversion === undefined) {
      const says = 'the entry exchanges currencies, and the book has no account for currency_conversion; designate one first';
      throw new RowFault('account_not_designated', `${says} (POST …/designated-accounts)`, at);
    }
    return { lines: converted, onImbalance: 'currency_conversion' };
  }
  if (imbalanceOf(converted.filter(({ currency }) => currency === base)) === undefined) return { lines: converted };
  return {
    lines: converted.map((line) =>
      line.currency === base && line.baseAmount === undefined ? { ...line, amount: '0', baseAmount: line.amount } : line,
    ),
  };
}

function withBase(book: BookState, line: EntryLine, { others = [], at }: PostingRow): EntryLine {
  const base = book.baseCurrency;
  const other =
    line.currency === base ? others.find(({ currency }) => currency !== base) : others.find(({ currency }) => currency === base);
  if (other === undefined) return line;
  const amount = canonicalDecimal(other.quantity);
  const scale = scaleIn(book, other.currency) ?? scaleMax;
  if (decimalsOf(amount) > scale) {
    const says = `${other.quantity} ${other.currency} has ${decimalsOf(amount)} decimals; ${other.currency} has ${scale} in this book`;
    throw new RowFault('scale_exceeded', says, at);
  }
  return line.currency === base ? { ...line, amount, baseAmount: line.amount, currency: other.currency } : { ...line, baseAmount: amount };
}

/** Decimals that a book has fixed for a currency; undefined while it is neither declared nor used. */
export function scaleIn(book: BookState | undefined, currency: string): number | undefined {
  return book !== undefined && Object.hasOwn(book.currencies, currency) ? book.currencies[currency] : undefined;
}

// --- Types of accounts ---

/** Types by the first segment of a code, as in `Assets:Bank`, case-insensitive. */
const segments: Readonly<Record<string, AccountType>> = {
  assets: 'asset',
  liabilities: 'liability',
  equity: 'equity',
  income: 'income',
  revenue: 'income',
  revenues: 'income',
  expenses: 'expense',
};

function typeByCode(code: string): AccountType | undefined {
  const end = code.indexOf(':');
  const segment = (end < 0 ? code : code.slice(0, end)).toLowerCase();
  return Object.hasOwn(segments, segment) ? segments[segment] : undefined;
}

const typeless = (code: string): string =>
  `account ${code} is not in the book, and nothing tells its type: name it in --account-types FILE, or give a --default-type`;

/** A type as people and the Audit Data Standards (Chart_Of_Accounts, Account_Type) write it: in any case, in singular or plural. */
export function accountTypeOf(text: string): AccountType | undefined {
  const type = text.trim().toLowerCase();
  return accountTypes.find((known) => known === type) ?? (Object.hasOwn(segments, type) ? segments[type] : undefined);
}

/** The words that our own column `type` takes, and no other spelling. */
const typeWords: readonly string[] = [...accountTypes, 'revenue'];

/** What a chart of accounts says of one. */
export interface ChartRow {
  readonly type: AccountType;
  readonly name?: string;
}

const chartColumns: Readonly<Record<string, string>> = { glaccountnumber: 'account', glaccountname: 'name', accounttype: 'type' };

/**
 * Reads a CSV file with the columns `account`, `type` and, if wanted, `name`; or a Chart_Of_Accounts of the Audit Data Standards,
 * whose other columns are passed over.
 * @throws LedgerError malformed with FILE:LINE
 */
export async function readAccountTypes(file: string): Promise<Map<string, ChartRow>> {
  const types = new Map<string, ChartRow>();
  let isOurs = true;
  const nameOf = (cell: string): string => {
    const name = plainName(cell);
    if (!Object.hasOwn(chartColumns, name)) return cell;
    isOurs = false;
    return chartColumns[name] ?? cell;
  };
  const columns = { required: ['account', 'type'], optional: ['name'], nameOf, keepExtra: true } as const;
  for await (const rows of readCsv(file, columns, { separators: [',', '|', '\t'], encoding: 'utf-8' })) {
    for (const { at, cells, problem } of rows) {
      const [code = '', text = '', name = ''] = cells;
      const account = code.normalize('NFC');
      const type = isOurs && !typeWords.includes(text) ? undefined : accountTypeOf(text);
      const known = types.get(account)?.type;
      const fault =
        problem ??
        (isBlank(account) ? 'account is empty' : undefined) ??
        (type === undefined ? `type is ${quoted(text)}, not one of ${accountTypes.join(', ')} or revenue` : undefined) ??
        (isBlank(name) ? undefined : nameFault(name.trim())) ??
        (known !== undefined && known !== type ? `account ${account} has type ${known} in a row before` : undefined);
      if (fault !== undefined || type === undefined) throw new LedgerError('malformed', `${file}:${at}: ${fault}`);
      types.set(account, isBlank(name) ? { type } : { type, name: name.trim() });
    }
  }
  return types;
}

function nameFault(name: string): string | undefined {
  const fault = textFault(name, nameLengthMax, 'name');
  return fault && `name ${fault.text}`;
}
