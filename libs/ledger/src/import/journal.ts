/**
 * The formats `hledger` and `ledger`: journals of plain postings. Hides includes, directives, dates, comments, number formats
 * and amounts left out; guarantees that an entry means here what it means to that program, and that what could mean more than
 * plain postings (virtual postings, prices, lots, balance assignments, automatic and periodic entries, aliases) is refused with
 * file, line and what to do, never passed over.
 *
 * An entry is named by its date and code, and by its place among those with the same date and code: entries may be added
 * anywhere but before others of the same day without a code. Balance assertions are verified against the entries of the
 * journal itself, as the programs do: hledger by date, ledger in the order of the file.
 */
import { createReadStream } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { type AccountType, currencyForm, type ErrorCode, fromMinor, isDate, LedgerError, scaleMax, toMinor } from '#domain';
import { escapesMark, unescaped } from '../exports/escapes';
import { isZero, quoted, unsigned } from './cells';
import type { BrokenRow, ImportFormat, PostingRow, SourceRow } from './entries';
import { AmountFault, type DecimalMark, type Dialect, type JournalAmount, markShown, type NumberForms, readAmount } from './journal-amount';

/** Symbols that mean one currency; `¥` and `kr` do not. */
const symbols: Readonly<Record<string, string>> = { $: 'USD', '€': 'EUR', '£': 'GBP' };

/** One line of a file. */
const lineBytesMax = 1 << 20;
/** Lines of one entry or directive. */
const blockLinesMax = 100_000;
const includeDepthMax = 20;
/** Faults of the file as a whole that are told at once. */
const fileFaultsMax = 20;

/**
 * @param currencies codes by symbol, as the journal writes it; they win over $, € and £. '' is the amount without a commodity
 */
export function journalFormat(dialect: Dialect, currencies: ReadonlyMap<string, string> = new Map()): ImportFormat {
  return (file) => new JournalReader(dialect, currencies, file).read();
}

// --- Files, lines, blocks ---

interface Line {
  readonly at: number;
  readonly text: string;
}

/** A line that begins at the margin, with the indented lines below it. */
interface Block extends Line {
  readonly body: Line[];
}

/** What is wrong with an entry; the rest of the file can still be read. */
class EntryFault extends Error {
  constructor(
    readonly at: number,
    message: string,
    readonly code?: ErrorCode,
  ) {
    super(message);
  }
}

/** What is wrong with the file as a whole: entries after it cannot be understood. */
class FileFault extends Error {
  constructor(
    readonly at: number,
    message: string,
  ) {
    super(message);
  }
}

/** Lines to blocks; comments at the margin are passed over, but for the one that says that names have escapes. */
class Blocks {
  private at = 0;
  private open: Block | undefined;
  /** What ends the block of text that is no journal. */
  private until: RegExp | undefined;

  /** @returns the block that this line ends */
  push(text: string): Block | undefined {
    this.at++;
    const blank = text.trim() === '';
    if (this.until !== undefined) {
      if (this.until.test(text)) this.until = undefined;
      return undefined;
    }
    if (!blank && /^\s/.test(text)) {
      if (this.open !== undefined) {
        if (this.open.body.push({ at: this.at, text }) > blockLinesMax)
          throw new FileFault(this.at, `more than ${blockLinesMax} lines below line ${this.open.at}`);
        return undefined;
      }
      if (/^\s*[;#*]/.test(text)) return undefined;
      throw new FileFault(
        this.at,
        `${quoted(text.trim())} is indented, but no entry or directive stands above it; entries have no blank line inside`,
      );
    }
    const done = this.end();
    if (blank || (/^[;#*%|]/.test(text) && text !== escapesMark)) return done;
    const [, word] = /^(comment|test)\s*$/.exec(text) ?? [];
    if (word !== undefined) this.until = new RegExp(`^end ${word}\\s*$`);
    else this.open = { at: this.at, text, body: [] };
    return done;
  }

  end(): Block | undefined {
    const done = this.open;
    this.open = undefined;
    return done;
  }
}

/**
 * The blocks of one file, some at a time.
 * @throws FileFault text_invalid when a line is no text
 */
async function* blocksOf(path: string): AsyncGenerator<readonly Block[]> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const blocks = new Blocks();
  let rest = '';
  let line = 0;
  const decode = (chunk: Buffer | undefined): string => {
    try {
      return chunk === undefined ? decoder.decode() : decoder.decode(chunk, { stream: true });
    } catch {
      throw new FileFault(line + 1, 'here or soon after are bytes that are not UTF-8; convert the file first, as with iconv');
    }
  };
  const push = (text: string): Block | undefined => {
    line++;
    const clean = text.endsWith('\r') ? text.slice(0, -1) : text;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: names them to refuse them; a tab is a blank here
    if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(clean)) throw new FileFault(line, 'the line holds a control character');
    return blocks.push(clean);
  };
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 16 })) {
    const texts = (rest + decode(chunk as Buffer)).split('\n');
    rest = texts.pop() ?? '';
    if (rest.length > lineBytesMax) throw new FileFault(line + 1, `the line has more than ${lineBytesMax} characters`);
    const done: Block[] = [];
    for (const text of texts) {
      const block = push(text);
      if (block !== undefined) done.push(block);
    }
    if (done.length > 0) yield done;
  }
  rest += decode(undefined);
  const done = [rest === '' ? undefined : push(rest), blocks.end()].filter((block) => block !== undefined);
  if (done.length > 0) yield done;
}

// --- The journal ---

/** What directives have set; ends with the file that set it in hledger. */
interface Scope {
  year?: string;
  mark?: DecimalMark;
  marks: Map<string, DecimalMark>;
  defaultCommodity?: string;
  /** The file is an export of ours, in which a name may stand for what a journal cannot hold. */
  escapes?: boolean;
}

type Forms = NumberForms & Pick<Scope, 'escapes'>;

interface Posting {
  readonly at: number;
  readonly account: string;
  amount?: Quantity;
  readonly assertion?: { readonly kind: string; readonly amount: Quantity };
  readonly comments: string[];
}

/** An amount in a currency of ours. */
interface Quantity {
  readonly currency: string;
  readonly quantity: string;
}

/** What changes how later entries are understood, so that leaving it out would change the books; with what to do. */
const refusedDirectives: Readonly<Record<string, string>> = {
  '=': 'automatic postings are not plain: print the journal with them in it (hledger print --auto, ledger print) and import that',
  '~': 'periodic entries are not plain: remove them, or print the entries that they stand for (hledger print --forecast) and import that',
  alias: 'aliases rename accounts: print the journal (hledger print, ledger print) and import that',
  apply: 'apply changes the entries below it: print the journal (hledger print, ledger print) and import that',
  end: 'there is nothing that it could end',
  A: 'a default account adds postings: write them out',
  bucket: 'a default account adds postings: write them out',
  C: 'conversions between commodities are not plain: write the amounts in one of them',
  define: 'expressions are not plain: write the amounts out',
  def: 'expressions are not plain: write the amounts out',
  eval: 'expressions are not plain: remove it',
  expr: 'expressions are not plain: remove it',
  python: 'programs are not run: remove it',
  import: 'programs are not run: remove it',
  i: 'time clock entries are not imported: remove them',
  I: 'time clock entries are not imported: remove them',
  o: 'time clock entries are not imported: remove them',
  O: 'time clock entries are not imported: remove them',
  b: 'time clock entries are not imported: remove them',
  h: 'time clock entries are not imported: remove them',
};

/** Values of hledger's `type:` tag; cash is an asset, and conversion equity. */
const declaredTypes: Readonly<Record<string, AccountType | undefined>> = Object.assign(Object.create(null) as object, {
  a: 'asset',
  asset: 'asset',
  c: 'asset',
  cash: 'asset',
  l: 'liability',
  liability: 'liability',
  e: 'equity',
  equity: 'equity',
  v: 'equity',
  conversion: 'equity',
  r: 'income',
  revenue: 'income',
  x: 'expense',
  expense: 'expense',
} satisfies Record<string, AccountType>);

/** What says nothing of entries: prices, and names that may be used. */
const passedOver = new Set(['P', 'N', 'tag', 'payee', 'assert', 'check']);

class JournalReader {
  private readonly faults: string[] = [];
  private readonly files = new Set<string>();
  private readonly places = new Map<string, number>();
  private readonly types = new Map<string, AccountType>();
  private readonly assertions: Assertions;
  private broken = 0;
  private folder = '';

  constructor(
    private readonly dialect: Dialect,
    private readonly currencies: ReadonlyMap<string, string>,
    private readonly file: string,
  ) {
    this.assertions = new Assertions(dialect);
  }

  /** @throws LedgerError malformed with FILE:LINE for what concerns more than one entry, when the whole file was looked at */
  async *read(): AsyncGenerator<readonly SourceRow[]> {
    const path = await this.opened(this.file);
    this.folder = dirname(path);
    for await (const rows of this.readFile(path, this.file, { marks: new Map() })) {
      // What was understood before the fault is of no use, and more faults may follow.
      if (this.faults.length === 0) yield rows;
    }
    if (this.faults.length > 0) throw new LedgerError('malformed', this.faults.join('\n'));
    const failed = this.assertions.failed(this.broken);
    if (failed.length > 0) yield failed;
  }

  private async opened(path: string): Promise<string> {
    try {
      return await realpath(path);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') throw new LedgerError('malformed', `there is no file ${path}`);
      throw new LedgerError('malformed', `${path} cannot be read: ${message}`, {}, 'invalid', { cause: error });
    }
  }

  private async *readFile(path: string, shown: string, scope: Scope): AsyncGenerator<readonly SourceRow[]> {
    this.files.add(path);
    try {
      for await (const blocks of blocksOf(path)) {
        let rows: SourceRow[] = [];
        for (const block of blocks) {
          try {
            if (/^\d/.test(block.text)) rows.push(...this.entry(block, shown, scope));
            else {
              const target = this.directive(block, scope);
              if (target === undefined) continue;
              if (rows.length > 0) yield rows;
              rows = [];
              yield* this.include(target, block.at, path, shown, scope);
            }
          } catch (error) {
            this.noteFault(shown, error);
          }
        }
        if (rows.length > 0) yield rows;
      }
    } catch (error) {
      if (error instanceof FileFault || error instanceof LedgerError) this.noteFault(shown, error);
      else throw new LedgerError('malformed', `${shown} cannot be read: ${(error as Error).message}`, {}, 'invalid', { cause: error });
    } finally {
      this.files.delete(path);
    }
  }

  private noteFault(shown: string, error: unknown): void {
    if (!(error instanceof FileFault)) throw error;
    if (this.faults.length < fileFaultsMax) this.faults.push(`${shown}:${error.at}: ${error.message}`);
    else if (this.faults.length === fileFaultsMax) this.faults.push('and more');
  }

  // --- Directives ---

  /** Takes in what a directive says. @returns the file to include */
  private directive({ at, text, body }: Block, scope: Scope): string | undefined {
    if (text === escapesMark) {
      scope.escapes = true;
      return undefined;
    }
    const [, word = '', rest = ''] = /^[!@]?(=|~|Y(?=\d)|[A-Za-z][\w-]*|\S+)\s*(.*)$/.exec(text) ?? [];
    const value = rest.replace(/\s*;.*$/, '').trim();
    const refused = Object.hasOwn(refusedDirectives, word) ? refusedDirectives[word] : undefined;
    const year = /^(?:year\s+)?(\d{4})$/.exec(value)?.[1];
    if (word === 'Y' || word === 'year' || (word === 'apply' && value.startsWith('year'))) {
      if (year === undefined) throw new FileFault(at, `${quoted(text.trim())} names no year like Y 2026`);
      scope.year = year;
    } else if (word === 'end' && /^(apply year|year)$/.test(value)) scope.year = undefined;
    else if (word === 'include') return value;
    else if (word === 'decimal-mark') {
      if (value !== '.' && value !== ',') throw new FileFault(at, `${quoted(text.trim())} names neither . nor ,`);
      scope.mark = value;
    } else if (word === 'D' || word === 'commodity') this.commodity(word, value, at, body, scope);
    else if (word === 'account') this.account(rest, body, at, scope);
    else if (refused !== undefined) throw new FileFault(at, `${quoted(text.trim())}: ${refused}`);
    else if (!passedOver.has(word)) {
      throw new FileFault(
        at,
        `${quoted(text.trim())} is neither an entry, which begins with its date like 2026-01-31, nor a directive that is known here`,
      );
    }
    return undefined;
  }

  private commodity(word: 'D' | 'commodity', value: string, at: number, body: readonly Line[], scope: Scope): void {
    const note = (text: string, line: number): string => {
      try {
        const { commodity, mark } = markShown(text, { dialect: this.dialect });
        if (mark !== undefined) scope.marks.set(commodity, mark);
        return commodity;
      } catch (error) {
        if (error instanceof AmountFault) throw new FileFault(line, error.message);
        throw error;
      }
    };
    let commodity = /\d/.test(value.replace(/"[^"]*"/, '')) ? note(value, at) : value.replace(/^"(.*)"$/, '$1');
    for (const { at: line, text } of body) {
      const [, name = '', shown = ''] = /^\s+(\S+)\s*(.*)$/.exec(text) ?? [];
      if (name === 'format') commodity = note(shown.replace(/\s*;.*$/, ''), line);
      else if (name === 'default') scope.defaultCommodity = commodity;
      else if (name === 'alias')
        throw new FileFault(line, 'aliases of commodities are not known here: write one name, or give --currency NAME=CODE for each');
      else if (!/^(;|note|nomarket)/.test(name))
        throw new FileFault(line, `${quoted(text.trim())} is nothing that is known below a commodity`);
    }
    if (word === 'D') scope.defaultCommodity = commodity;
  }

  private account(rest: string, body: readonly Line[], at: number, scope: Scope): void {
    const bad = body.find(({ text }) => !/^\s+(;|\d|note\b|assert\b|check\b)/.test(text));
    if (bad !== undefined) {
      throw new FileFault(
        bad.at,
        `${quoted(bad.text.trim())} changes postings on the account: print the journal (hledger print, ledger print) and import that`,
      );
    }
    if (this.dialect !== 'hledger') return;
    const name = rest.replace(/(?: {2,}|\t)\s*;.*$/, '').trim();
    const comments = [rest.slice(name.length), ...body.map(({ text }) => text)].filter((text) => /^\s*;/.test(text));
    const [, letter] = /(?:^|[\s,;])type:\s*([^\s,]+)/.exec(comments.join(' ')) ?? [];
    if (letter === undefined) return;
    const type = declaredTypes[letter.toLowerCase()];
    if (type === undefined) throw new FileFault(at, `type:${quoted(letter)} is none of A, L, E, R, X, C, V, nor their names`);
    this.types.set(plainText(name, scope), type);
  }

  /** As declared for the account or for the nearest one above it. */
  private typeOf(account: string): AccountType | undefined {
    if (this.types.size === 0) return undefined;
    for (let name = account; ; name = name.slice(0, name.lastIndexOf(':'))) {
      const type = this.types.get(name);
      if (type !== undefined || !name.includes(':')) return type;
    }
  }

  private async *include(target: string, at: number, from: string, shown: string, scope: Scope): AsyncGenerator<readonly SourceRow[]> {
    const refuse = (reason: string): FileFault => new FileFault(at, `include ${target}: ${reason}`);
    const name = target.replace(/^"(.*)"$/, '$1');
    if (name === '' || /[*?[\]{}]/.test(name)) throw refuse('name one file, without wildcards');
    if (/^\w+:/.test(name) || name.startsWith('~')) throw refuse('name a journal by its path, relative to this file');
    const wanted = resolve(dirname(from), name);
    const path = await realpath(wanted).catch((error: NodeJS.ErrnoException) => {
      throw refuse(error.code === 'ENOENT' ? `there is no file ${wanted}` : error.message);
    });
    const within = relative(this.folder, path);
    if (within.startsWith('..') || isAbsolute(within))
      throw refuse(`${path} is not in the folder of ${this.file} or below; only such files are read`);
    if (this.files.has(path)) throw refuse('the file includes itself');
    if (this.files.size >= includeDepthMax) throw refuse(`files include each other more than ${includeDepthMax} deep`);
    const inner: Scope = this.dialect === 'hledger' ? { ...scope, marks: new Map(scope.marks) } : scope;
    yield* this.readFile(path, join(dirname(shown), name), inner);
  }

  // --- Entries ---

  private entry(block: Block, file: string, scope: Scope): SourceRow[] {
    // Until date and code are read, the place names it.
    let txn = `${file}:${block.at}`;
    try {
      const head = this.head(block, scope);
      txn = this.nameOf(head.date, head.code);
      const forms = { dialect: this.dialect, ...scope };
      const { comments, postings } = this.postings(block, head.date, forms);
      if (postings.length === 0) throw new EntryFault(block.at, 'the entry has no posting', 'too_few_lines');
      const lines = this.complete(postings, block.at);
      this.assertions.note(head.date, lines, txn, file);
      const checksOnly = postings.some(({ assertion }) => assertion !== undefined) && lines.every(({ quantity }) => isZero(quantity));
      if (checksOnly) return [];
      const comment = [head.comment, ...comments].filter((text) => text !== '').join('\n');
      const metadata = {
        ...(comment === '' ? {} : { comment }),
        ...(head.secondary === undefined ? {} : { secondaryDate: head.secondary }),
        ...(head.status === undefined ? {} : { status: head.status }),
      };
      return lines.map(
        ({ at, account, currency, quantity, comments: own }, index): PostingRow => ({
          at,
          file,
          txn,
          line: index + 1,
          date: head.date,
          description: head.description,
          account,
          accountType: this.typeOf(account),
          currency,
          quantity,
          text: own.length === 0 ? undefined : own.join('\n'),
          reference: head.code,
          metadata: Object.keys(metadata).length === 0 ? undefined : metadata,
        }),
      );
    } catch (error) {
      if (!(error instanceof EntryFault)) throw error;
      this.broken++;
      const row: BrokenRow = { at: error.at, file, txn, problem: error.message, code: error.code };
      return [row];
    }
  }

  private nameOf(date: string, code: string | undefined): string {
    const name = code === undefined ? date : `${date} (${code})`;
    const place = (this.places.get(name) ?? 0) + 1;
    this.places.set(name, place);
    // A code holds no ')', so no two names are the same.
    return code === undefined || place > 1 ? `${name} #${place}` : name;
  }

  private head({ at, text }: Block, scope: Scope) {
    const [, first = '', second, rest = ''] = /^([^\s=;]+)(?:=(\S+))?(.*)$/.exec(text) ?? [];
    const date = this.date(first, scope.year, at);
    const secondary = second === undefined ? undefined : this.date(second, date.slice(0, 4), at);
    const [, mark, code, tail = ''] = /^\s*([*!])?\s*(?:\(([^)]*)\))?\s*(.*)$/.exec(rest) ?? [];
    // In ledger a comment stands behind two blanks or a tab, so that a payee may hold a semicolon.
    const comment = this.dialect === 'hledger' ? tail.indexOf(';') : tail.startsWith(';') ? 0 : tail.search(/(?: {2,}|\t)\s*;/);
    const description = (comment < 0 ? tail : tail.slice(0, comment)).trim();
    return {
      date,
      secondary,
      status: mark === '*' ? 'cleared' : mark === '!' ? 'pending' : undefined,
      code: code === undefined || code.trim() === '' ? undefined : code.trim(),
      description: plainText(description, scope),
      comment: comment < 0 ? '' : commentText(tail.slice(comment)),
    };
  }

  /** @param year for a date without one */
  private date(text: string, year: string | undefined, at: number): string {
    const [, first, separator, month = '', day = ''] = /^(?:(\d{4})([-/.]))?(\d{1,2})[-/.](\d{1,2})$/.exec(text) ?? [];
    if (month !== '' && first === undefined && year === undefined) {
      throw new EntryFault(at, `date ${text} has no year: write it as 2026-01-31, or put a directive like Y 2026 above it`, 'date_invalid');
    }
    const date = `${first ?? year}-${month.padStart(2, '0')}-${day.padStart(2, '0')}`;
    const mixed = separator !== undefined && text.replaceAll(separator, '').search(/[-/.]/) >= 0;
    if (mixed || !isDate(date)) {
      throw new EntryFault(
        at,
        `date ${quoted(text)} is not a date like 2026-01-31 or 2026/1/31 that exists, from 1900 to 2199`,
        'date_invalid',
      );
    }
    return date;
  }

  private postings(block: Block, date: string, forms: Forms): { comments: string[]; postings: Posting[] } {
    const comments: string[] = [];
    const postings: Posting[] = [];
    for (const { at, text } of block.body) {
      const content = text.trim();
      if (/^[;#%|*]/.test(content) && !/^\*\s*[^\s;]/.test(content)) {
        const comment = commentText(content);
        const last = postings.at(-1);
        if (last !== undefined) this.checkPostingDate(comment, date, at);
        if (comment !== '') (last?.comments ?? comments).push(comment);
        continue;
      }
      postings.push(this.posting(content, at, date, forms));
    }
    return { comments, postings };
  }

  private posting(content: string, at: number, date: string, forms: Forms): Posting {
    const [, text = ''] = /^[*!]?\s*(.*)$/.exec(content) ?? [];
    const end = text.search(/ {2}|\t/);
    const account = (end < 0 ? text : text.slice(0, end)).trim();
    const rest = end < 0 ? '' : text.slice(end).trim();
    if (/^\(.*\)$|^\[.*\]$/.test(account)) {
      throw new EntryFault(
        at,
        `${quoted(account)} is a virtual posting, which balances with nothing or outside the books: leave it out, or post it on real accounts`,
      );
    }
    if (/^[[(<]/.test(account)) throw new EntryFault(at, `${quoted(account)} is not the name of an account`);
    if (account.includes(';')) throw new EntryFault(at, `${quoted(account)} holds a semicolon: put two blanks before a comment`);
    if (rest === '' || rest.startsWith(';')) {
      if (end < 0 && / [-+]?[^\s\w:+-]\d[\d.,]*$| [-+]?\d[\d.,]*[.,]\d+$| [-+]?\d[\d.,]* ?[A-Z]{3}$/.test(account)) {
        throw new EntryFault(at, `${quoted(account)} seems to end with an amount: put two blanks between account and amount`);
      }
      return { at, account: plainText(account, forms), comments: this.comment(rest, date, at) };
    }
    if (rest.startsWith('=')) {
      throw new EntryFault(
        at,
        `${quoted(rest)} assigns a balance: write the amount out, as in "100.00 EUR = 1,250.00 EUR" (hledger print -x)`,
      );
    }
    if (rest.startsWith('(')) throw new EntryFault(at, `${quoted(rest)} is an expression: write the amount out`);
    const first = this.written(rest, 0, at, forms);
    let { end: next } = first;
    let assertion: Posting['assertion'];
    const sign = /^\s*(={1,2}\*?)\s*/.exec(rest.slice(next));
    if (sign !== null) {
      const asserted = this.written(rest, next + sign[0].length, at, forms);
      assertion = { kind: sign[1] ?? '=', amount: this.inCurrency(asserted.amount, at) };
      next = asserted.end;
    }
    // `0 = 100 EUR` is how people assert without posting.
    const { commodity, quantity } = first.amount;
    const asAsserted = commodity === '' && isZero(quantity) && assertion !== undefined ? { ...assertion.amount, quantity } : undefined;
    const amount = asAsserted ?? this.inCurrency(first.amount, at);
    const tail = rest.slice(next).trim();
    if (tail !== '' && !tail.startsWith(';')) throw new EntryFault(at, unread(tail));
    return { at, account: plainText(account, forms), amount, assertion, comments: this.comment(tail, date, at) };
  }

  private written(text: string, from: number, at: number, forms: Forms): { amount: JournalAmount; end: number } {
    try {
      const { amount, end } = readAmount(text, from, forms);
      return { amount: { ...amount, commodity: plainText(amount.commodity, forms) }, end };
    } catch (error) {
      if (!(error instanceof AmountFault)) throw error;
      throw new EntryFault(at, error.message, 'amount_format');
    }
  }

  private inCurrency({ commodity, quantity }: JournalAmount, at: number): Quantity {
    const currency = this.currencies.get(commodity) ?? (Object.hasOwn(symbols, commodity) ? symbols[commodity] : undefined) ?? commodity;
    if (currencyForm.test(currency)) return { currency, quantity };
    const option = `--currency ${/[\s$&;"]/.test(commodity) ? `'${commodity}=CODE'` : `${commodity}=CODE`}`;
    const says =
      commodity === ''
        ? `the amount ${quantity} has no commodity: put a directive like "D 1000.00 EUR" above it, or say which it is (${option})`
        : `commodity ${quoted(commodity)} is no code like EUR: say which it is (${option})`;
    throw new EntryFault(at, says, 'text_invalid');
  }

  private comment(text: string, date: string, at: number): string[] {
    const comment = commentText(text);
    this.checkPostingDate(comment, date, at);
    return comment === '' ? [] : [comment];
  }

  /** A posting on another day than its entry would leave the books out of balance in between. */
  private checkPostingDate(comment: string, date: string, at: number): void {
    const [, bracketed] = /\[(\d[\d/.-]*)(?:=[^\]]*)?\]/.exec(comment) ?? [];
    const [, tagged] = (this.dialect === 'hledger' && /(?:^|[\s,])date:\s*([\d/.-]+)/.exec(comment)) || [];
    const own = bracketed ?? tagged;
    if (own === undefined || this.date(own, date.slice(0, 4), at) === date) return;
    throw new EntryFault(
      at,
      `the posting has a date of its own, ${own}: split the entry in two, one on each date, over an account for what is on its way`,
    );
  }

  /** Fills in the amount that was left out. */
  private complete(postings: readonly Posting[], at: number): (Posting & Quantity)[] {
    const sums = new Map<string, { sum: bigint; decimals: number }>();
    for (const { amount } of postings) {
      if (amount === undefined) continue;
      const known = sums.get(amount.currency) ?? { sum: 0n, decimals: 0 };
      sums.set(amount.currency, added(known, amount.quantity));
    }
    const open = postings.filter(({ amount }) => amount === undefined);
    const [missing, another] = open;
    if (another !== undefined)
      throw new EntryFault(another.at, `a second posting without an amount, after that in line ${missing?.at}; one can be worked out`);
    const rest = [...sums].filter(([, { sum }]) => sum !== 0n);
    if (missing === undefined) {
      const [one, other] = rest;
      if (rest.length === 2 && one !== undefined && other !== undefined && one[1].sum > 0n !== other[1].sum > 0n) {
        const shown = rest.map(([currency, { sum, decimals }]) => `${fromMinor(sum, decimals)} ${currency}`).join(' against ');
        throw new EntryFault(
          at,
          `${shown}: an exchange has no price here, each currency balances: add both amounts on an account like Equity:Conversion`,
          'unbalanced',
        );
      }
      return postings.map((posting) => ({ ...posting, ...(posting.amount as Quantity) }));
    }
    if (sums.size === 0) throw new EntryFault(missing.at, 'no posting of the entry has an amount');
    const inferred = (rest.length > 0 ? rest : [...sums].slice(0, 1)).map(([currency, { sum, decimals }]) => ({
      currency,
      quantity: fromMinor(-sum, decimals),
    }));
    return postings.flatMap((posting) =>
      posting === missing ? inferred.map((amount) => ({ ...posting, ...amount })) : [{ ...posting, ...(posting.amount as Quantity) }],
    );
  }
}

/** A name or description as it was before a journal had to hold it. */
const plainText = (text: string, { escapes }: Pick<Scope, 'escapes'>): string => (escapes ? unescaped(text) : text);

function commentText(text: string): string {
  return text.replace(/^\s*[;#%|*]+\s?/, '').trim();
}

function unread(tail: string): string {
  if (tail.startsWith('@')) {
    return `${quoted(tail)} is a price: amounts balance in each currency here, so write the exchange as four postings, two of them on an account like Equity:Conversion`;
  }
  if (/^[{[(]/.test(tail))
    return `${quoted(tail)} names a lot: leave cost and lot out, and write the exchange as four postings, two of them on an account like Equity:Conversion`;
  return `${quoted(tail)} behind the amount cannot be read; a comment begins with a semicolon`;
}

/** Adds a signed plain decimal to a sum, with as many decimals as the longer of both has. */
function added({ sum, decimals }: { sum: bigint; decimals: number }, quantity: string): { sum: bigint; decimals: number } {
  const unsigned = quantity.replace('-', '');
  const point = unsigned.indexOf('.');
  const most = Math.max(decimals, point < 0 ? 0 : unsigned.length - point - 1);
  const minor = toMinor(unsigned, most) ?? 0n;
  return { sum: sum * 10n ** BigInt(most - decimals) + (quantity.startsWith('-') ? -minor : minor), decimals: most };
}

// --- Balance assertions ---

/** Sums by currency, in units of 10^-18. */
type Sums = Map<string, bigint>;

interface Claim {
  readonly txn: string;
  readonly file: string;
  readonly at: number;
  readonly account: string;
  readonly kind: string;
  readonly amount: Quantity;
  /** What the claim's accounts moved on its day before it. */
  readonly before: Sums;
}

/**
 * Verifies balance assertions. Keeps sums per day and account instead of postings, so that memory does not grow with entries
 * of the same day; what came before within its day, a claim remembers itself.
 */
class Assertions {
  private readonly days = new Map<string, { readonly moved: Map<string, Sums>; readonly claims: Claim[] }>();
  private any = false;

  constructor(private readonly dialect: Dialect) {}

  /** Notes an entry in the order of the journal. */
  note(date: string, lines: readonly (Posting & Quantity)[], txn: string, file: string): void {
    // To hledger an assertion holds at its date, to ledger at its place.
    const key = this.dialect === 'hledger' ? date : '';
    let day = this.days.get(key);
    if (day === undefined) {
      day = { moved: new Map(), claims: [] };
      this.days.set(key, day);
    }
    for (const { at, account, currency, quantity, assertion } of lines) {
      const sums = day.moved.get(account) ?? new Map<string, bigint>();
      day.moved.set(account, sums);
      sums.set(currency, (sums.get(currency) ?? 0n) + unitsOf(quantity));
      // An amount that was left out may have become several lines, but then it has no assertion.
      if (assertion === undefined) continue;
      this.any = true;
      day.claims.push({ txn, file, at, account, ...assertion, before: sumsOf(day.moved, account, assertion.kind) });
    }
  }

  /** @param broken entries that could not be read, and so are in no sum */
  failed(broken: number): BrokenRow[] {
    if (!this.any) return [];
    const failed: BrokenRow[] = [];
    const running = new Map<string, Sums>();
    for (const date of [...this.days.keys()].sort()) {
      const { moved, claims } = this.days.get(date) ?? { moved: new Map(), claims: [] };
      for (const claim of claims) {
        const problem = problemOf(claim, sumsOf(running, claim.account, claim.kind));
        if (problem === undefined) continue;
        const aside = broken === 0 ? '' : ` (${broken} ${broken === 1 ? 'entry that is' : 'entries that are'} refused not counted)`;
        failed.push({ at: claim.at, file: claim.file, txn: claim.txn, problem: `${problem}${aside}`, code: 'malformed' });
      }
      for (const [account, sums] of moved) {
        const known = running.get(account) ?? new Map<string, bigint>();
        running.set(account, known);
        addTo(known, sums);
      }
    }
    return failed;
  }
}

/** Sums of an account, with those below it where the assertion includes them. */
function sumsOf(all: ReadonlyMap<string, Sums>, account: string, kind: string): Sums {
  const total: Sums = new Map();
  addTo(total, all.get(account));
  if (kind.endsWith('*')) for (const [other, sums] of all) if (other.startsWith(`${account}:`)) addTo(total, sums);
  return total;
}

function addTo(total: Sums, more: Sums | undefined): void {
  for (const [currency, sum] of more ?? []) total.set(currency, (total.get(currency) ?? 0n) + sum);
}

function problemOf({ account, kind, amount, before }: Claim, until: Sums): string | undefined {
  addTo(until, before);
  const { currency, quantity } = amount;
  const is = until.get(currency) ?? 0n;
  const wanted = unitsOf(quantity);
  const where = `${quoted(account)}${kind.endsWith('*') ? ' and below' : ''}`;
  if (is !== wanted) {
    return `balance assertion: ${where} should be ${quantity} ${currency}, is ${shown(is)}, difference ${shown(is - wanted)} ${currency} (counted from the entries of this journal)`;
  }
  const other = kind.startsWith('==') ? [...until].find(([code, sum]) => code !== currency && sum !== 0n) : undefined;
  return other && `balance assertion: ${where} should hold ${currency} only, but holds ${shown(other[1])} ${other[0]}`;
}

/** An amount of more decimals than any currency has is refused where entries are checked. */
function unitsOf(quantity: string): bigint {
  const minor = toMinor(unsigned(quantity), scaleMax) ?? 0n;
  return quantity.startsWith('-') ? -minor : minor;
}

const shown = (units: bigint): string => fromMinor(units, scaleMax).replace(/\.?0+$/, '');
