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
  type EntryLine,
  type ErrorCode,
  fromMinor,
  isDate,
  isoScale,
  isPlainDecimal,
  LedgerError,
  type PostEntry,
  scaleMax,
  toMinor,
} from '#domain';
import { accountCodes } from '../catalogue';
import type { Service } from '../service';
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
  readonly currency: string;
  /** Plain decimal, debit positive, credit negative. */
  readonly quantity: string;
  readonly origin?: string;
  /** The line's own text, where the source tells it apart from the entry's. */
  readonly text?: string;
  /** Of the entry; what its first line says counts. */
  readonly reference?: string;
  readonly metadata?: Readonly<Record<string, string>>;
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
  /** Types of accounts by code; they win over what the code says. */
  readonly accountTypes?: ReadonlyMap<string, AccountType>;
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
// biome-ignore lint/suspicious/noControlCharactersInRegex: names them to refuse them
export const controls = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: names them to refuse them; tab and line ends are text here
const controlsButLines = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/;

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
    return this.options.accountTypes?.get(code) ?? this.declared.get(code) ?? typeByCode(code) ?? this.options.defaultType;
  }

  /** An account whose type nothing tells may exist already. */
  private async lookUp(entries: readonly SourceEntry[]): Promise<void> {
    const unknown = new Set<string>();
    for (const { rows } of entries) {
      for (const row of rows) {
        if ('problem' in row || this.codes.has(row.account)) continue;
        const code = row.account.normalize('NFC');
        const fault = codeFault(code);
        this.codes.set(row.account, { code, fault });
        if (row.accountType !== undefined && !this.declared.has(code)) this.declared.set(code, row.accountType);
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
    const txnFault = textFault(txn, txnLengthMax, controls);
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
    const { reference, metadata } = first;
    checkReference(reference, metadata, first.at);
    const lines: EntryLine[] = [];
    const lineAt: number[] = [];
    for (const row of postings) {
      if (row.date !== date) {
        throw new RowFault(
          'malformed',
          `date is ${quoted(row.date)}, but ${quoted(date)} in line ${first.at}; an entry has one date`,
          row.at,
        );
      }
      const line = this.line(row, description);
      if (line === undefined) continue;
      lines.push(line);
      lineAt.push(row.at);
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
    checkBalance(lines, at);
    const command: PostEntry = {
      description: isBlank(description) ? noDescription : description,
      effectiveDate: date,
      entryMethod: 'import',
      lines,
      metadata,
      reference,
      source: { id: txn, system: this.options.source },
      type: 'PostEntry',
    };
    return { txn, command, file, at, lineAt, dropped };
  }

  /** @returns undefined for a line of quantity zero that is to be dropped */
  private line(row: PostingRow, description: string): EntryLine | undefined {
    const { account, currency, quantity, origin, at } = row;
    const { code, fault } = this.codes.get(account) ?? { code: account };
    if (fault !== undefined) throw new RowFault(fault.code, `account ${quoted(account)} ${fault.text}`, at);
    if (this.untyped.get(code) === false) throw new RowFault('account_unknown', typeless(code), at);
    if (!currencyForm.test(currency)) {
      const form = '1 to 24 of A-Z a-z 0-9 . _ -, beginning with a letter or digit';
      throw new RowFault('text_invalid', `commodity is ${quoted(currency)}, not ${form}`, at);
    }
    const negative = quantity.startsWith('-');
    const unsigned = negative ? quantity.slice(1) : quantity;
    if (!isPlainDecimal(unsigned)) {
      const form = 'digits, at most one point, no blank, plus sign, exponent, thousands separator or leading zero';
      throw new RowFault('amount_format', `quantity is ${quoted(quantity)}, not a plain decimal like 1234.50 or -1234.50 (${form})`, at);
    }
    const amount = canonicalDecimal(unsigned);
    const enabled = scaleIn(this.book, currency);
    if (decimalsOf(amount) > (enabled ?? scaleMax)) {
      const why = enabled === undefined ? `${scaleMax} are the most that any currency has` : `${currency} has ${enabled} in this book`;
      throw new RowFault('scale_exceeded', `quantity ${quantity} ${currency} has ${decimalsOf(amount)} decimals; ${why}`, at);
    }
    if (amount === '0') {
      if (this.options.zeroLines === 'drop') return undefined;
      throw new RowFault('amount_range', 'quantity is 0, which no line can have; --zero-lines drop leaves such lines out', at);
    }
    const own = row.text ?? (row.description !== description && !isBlank(row.description) ? row.description : undefined);
    if (own !== undefined) checkDescription(own, at);
    const originFault = origin === undefined ? undefined : textFault(origin, originLengthMax, controls);
    if (originFault !== undefined) throw new RowFault(originFault.code, `kind ${originFault.text}`, at);
    // In alphabetical order, as what is hashed: text in canonical order is made twice as fast.
    return { account: code, amount, currency, description: own, origin, side: negative ? 'credit' : 'debit' };
  }
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
  const fault = textFault(description, descriptionLengthMax, controlsButLines);
  if (fault !== undefined) throw new RowFault(fault.code, `description ${fault.text}`, at);
}

function checkReference(reference: string | undefined, metadata: PostingRow['metadata'], at: number): void {
  const fault = reference === undefined ? undefined : textFault(reference, referenceLengthMax, controls);
  if (fault !== undefined) throw new RowFault(fault.code, `code ${fault.text}`, at);
  const bytes = metadata === undefined ? 0 : Buffer.byteLength(JSON.stringify(metadata));
  if (bytes > metadataBytesMax)
    throw new RowFault('too_large', `the entry's comment has ${bytes} bytes; ${metadataBytesMax} are allowed`, at);
}

/** A text of the file in a message: short, and without what a terminal would take for a command. */
function quoted(text: string): string {
  return JSON.stringify(text.length <= 60 ? text : `${text.slice(0, 60)}…`);
}

interface Fault {
  readonly code: ErrorCode;
  readonly text: string;
}

/** What is wrong with a text, to be said after its name; characters are code points. */
export function textFault(text: string, lengthMax: number, forbidden: RegExp): Fault | undefined {
  if (isBlank(text)) return { code: 'malformed', text: 'is empty' };
  const length = text.length <= lengthMax ? text.length : [...text].length;
  if (length > lengthMax) return { code: 'too_large', text: `has ${length} characters; ${lengthMax} are allowed` };
  return forbidden.test(text) ? { code: 'text_invalid', text: 'holds a control character' } : undefined;
}

function codeFault(code: string): Fault | undefined {
  const blank = code.trim() === code ? undefined : { code: 'text_invalid' as const, text: 'begins or ends with a blank' };
  return textFault(code, codeLengthMax, controls) ?? blank;
}

/** I1, before anything is written, with the arithmetic. */
function checkBalance(lines: readonly EntryLine[], at: number): void {
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
  for (const { currency, debit, credit, decimals } of sums) {
    if (debit === credit) continue;
    const shown = (sum: bigint): string => fromMinor(sum / 10n ** BigInt(scaleMax - decimals), decimals);
    const difference = shown(debit > credit ? debit - credit : credit - debit);
    throw new RowFault('unbalanced', `debits ${shown(debit)}, credits ${shown(credit)}, difference ${difference} ${currency}`, at);
  }
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

/** A type as people write it: `revenue` is another word for income. */
export function accountTypeOf(text: string): AccountType | undefined {
  const type = text === 'revenue' ? 'income' : text;
  return accountTypes.find((known) => known === type);
}

/**
 * Reads a CSV file with the columns `account,type`.
 * @throws LedgerError malformed with FILE:LINE
 */
export async function readAccountTypes(file: string): Promise<Map<string, AccountType>> {
  const types = new Map<string, AccountType>();
  for await (const rows of readCsv(file, { required: ['account', 'type'] })) {
    for (const { at, cells, problem } of rows) {
      const [code = '', text = ''] = cells;
      const account = code.normalize('NFC');
      const type = accountTypeOf(text);
      const known = types.get(account);
      const fault =
        problem ??
        (isBlank(account) ? 'account is empty' : undefined) ??
        (type === undefined ? `type is ${quoted(text)}, not one of ${accountTypes.join(', ')} or revenue` : undefined) ??
        (known !== undefined && known !== type ? `account ${account} has type ${known} in a row before` : undefined);
      if (fault !== undefined || type === undefined) throw new LedgerError('malformed', `${file}:${at}: ${fault}`);
      types.set(account, type);
    }
  }
  return types;
}
