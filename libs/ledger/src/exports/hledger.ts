/**
 * The format `hledger`: a book as a journal of plain postings that hledger (1.25) and ledger (3.3) read alike. Hides what the two
 * take for something else: names of accounts and currencies with a meaning of their own, texts that would end a description or
 * move a posting to another day, lines longer than ledger reads. Guarantees that both programs have every balance of the book at
 * every date, digit for digit, and that our import reads the same entries back, names included.
 *
 * Entries stand in the order of their positions and say nothing of what became of them, so that the export of a later position has
 * the same entries first, but for codes that changed. Debits are positive. Base amounts are comments: as prices they would make the
 * programs convert.
 */
import type { AccountType } from '#domain';
import type { ExportFormat } from '../exports';
import type { AccountAnswer, EntryAnswer } from '../queries';
import { entryNumber } from '../reports/figures';
import { escaped, escapesMark, hazards, partsOf } from './escapes';
import { currenciesOf, type ExportedBook, openingsOf, signedBy } from './exported-book';

/** ledger gives up on a line of 4,096 bytes; beside a text stand a date, a number and the name of a tag. */
const textBytesMax = 3_000;

/** No letter of a text: controls, and blanks other than the space. */
const unprintable = /[^\S ]|\p{Cc}/u;
const outerBlank = /^ | $/;
/** Two blanks end a name and a description. */
const secondBlank = /(?<= ) /;

const inNames = hazards(
  unprintable,
  outerBlank,
  secondBlank,
  /;/,
  // A segment that is empty, or that begins or ends with a blank.
  /^:|:$|(?<=:):| (?=:)|(?<=:) /,
  // Virtual and deferred postings, a status, a comment.
  /^[([<*!#%|]/,
  // ledger checks an assertion where a posting stands that begins with these words.
  /^a(?=ssert(?: |$))|^c(?=heck(?: |$))|^e(?=xpr(?: |$))/,
);
const inCurrencies = hazards(
  // Seconds, minutes and hours, which ledger converts into each other.
  /^[smh]$/,
  // hledger keeps an amount that was left out under this name.
  /^A(?=UTO$)/,
);
const inDescriptions = hazards(unprintable, outerBlank, secondBlank, /[;|]/);
const inComments = hazards(
  unprintable,
  outerBlank,
  // A date in brackets, or behind a tag, is the posting's own to both programs.
  /\[/,
  /(?<=[dD][aA][tT][eE]2?):/,
);

/** Words of ledger's expressions, which are no commodities without quotes. */
const words = new Set(['and', 'div', 'else', 'false', 'if', 'not', 'or', 'true']);

/** The name of an account in the journal; `unescaped` gives the code. */
export const accountName = (code: string): string => escaped(code, inNames);

/** The name of a currency in the journal, in quotes where it needs them. */
export function commodityName(currency: string): string {
  const name = escaped(currency, inCurrencies);
  return /^[A-Za-z]+$/.test(name) && !words.has(name) ? name : `"${name}"`;
}

/** hledger's letters; a memorandum account has none. */
const types: Readonly<Record<AccountType, string | undefined>> = {
  asset: 'A',
  liability: 'L',
  equity: 'E',
  income: 'R',
  expense: 'X',
  memorandum: undefined,
};
const typesOfSubtypes: Readonly<Record<string, string>> = { cash: 'C', currency_conversion: 'V' };

export const hledger: ExportFormat = {
  title: 'a journal of plain postings that hledger and ledger read',
  extension: 'journal',
  mediaType: 'text/plain; charset=utf-8',
  names: { account: accountName, currency: (code) => escaped(code, inCurrencies) },
  write: writeHledger,
};

/** What a journal says in the words of one program. */
export interface Dialect {
  /** Lines of directives below the commodities. */
  readonly directives: string;
  /** What an account's directive says of it, indented. */
  about(account: AccountAnswer): string;
  /** A tag whose value is a number. */
  number(name: string, value: number): string;
  /** A base amount as a tag. */
  baseAmount(amount: string, currency: string): string;
  /** Whether base amounts of entries are debit − credit, as their postings are, or stand as they are in the line. */
  readonly signedBase: boolean;
}

const plain: Dialect = {
  directives: '',
  about({ type, subtype }) {
    const letter = typesOfSubtypes[subtype ?? ''] ?? types[type];
    return letter === undefined ? '' : `  ; type: ${letter}\n`;
  },
  number: (name, value) => `${name}: ${value}`,
  baseAmount: (amount, currency) => `baseAmount: ${amount} ${currency}`,
  signedBase: false,
};

/** The journal, some text at a time. */
export function writeHledger(book: ExportedBook): AsyncGenerator<string> {
  return writeJournal(book, plain);
}

/** The same in either dialect. */
export async function* writeJournal(book: ExportedBook, dialect: Dialect): AsyncGenerator<string> {
  let text = headText(book, dialect);
  for await (const accounts of book.accounts()) {
    yield text + accounts.map((account) => accountText(account, dialect)).join('');
    text = '';
  }
  const baseCurrency = book.state?.baseCurrency ?? '';
  text += await openingText(book, baseCurrency, dialect);
  let entries = 0;
  let lines = 0;
  for await (const some of book.entries()) {
    yield text + some.map((entry) => `\n${entryText(entry, baseCurrency, dialect)}`).join('');
    text = '';
    entries += some.length;
    for (const entry of some) lines += entry.lines.length;
  }
  yield `${text}\n; end of the journal: ${entries} entries, ${lines} lines\n`;
}

function headText({ id, position, state, range }: ExportedBook, { directives: more }: Dialect): string {
  const currencies = currenciesOf({ state });
  const notes = [
    `; Book ${id}${state === undefined ? '' : `, ${comment(state.name)}`}, as known at position ${position}, exported by book-keeper.`,
    '; Entries stand in the order of their positions, under their numbers; debits are positive; base amounts are comments.',
    ...(range === undefined
      ? []
      : [`; Only entries from ${range.from} to ${range.to}; one entry of opening balances has what every account had before, if any had.`]),
    escapesMark,
  ];
  const directives = currencies.map(([currency, scale]) => {
    const name = commodityName(currency);
    // Without decimals there is no form that both programs take; what was never written with decimals is shown without.
    const format = scale === 0 ? '' : `  format 1000.${'0'.repeat(scale)} ${name}\n`;
    return `${mapped(currency, name.replaceAll('"', ''))}commodity ${name}\n${format}`;
  });
  return `${notes.join('\n')}\n\n${directives.join('')}${more}\n`;
}

function accountText(account: AccountAnswer, { about }: Dialect): string {
  const { code, name } = account;
  const shown = accountName(code);
  const title = partsOf(comment(name), textBytesMax).map((part) => `; ${part}\n`);
  return `${title.join('')}${mapped(code, shown)}account ${shown}\n${about(account)}`;
}

/** A line of the map from names to what they stand for; nothing where both are the same. */
function mapped(original: string, name: string): string {
  if (original === name) return '';
  const json = JSON.stringify(original).replace(/\p{Cc}/gu, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return `; ${name} stands for ${json}\n`;
}

/**
 * What the accounts had before the range, as one entry on its first day, so that a program has every balance within it. It needs no
 * other side: income and expense have what they moved since the beginning, so debits equal credits (I8), in base currency too.
 */
async function openingText(book: ExportedBook, baseCurrency: string, dialect: Dialect): Promise<string> {
  const lines = (await openingsOf(book)).map(({ account, currency, amount, baseAmount }) => {
    const base = baseAmount === undefined ? '' : `    ; ${dialect.baseAmount(baseAmount, baseCurrency)}\n`;
    return `    ${accountName(account.code)}  ${amount} ${commodityName(currency)}\n${base}`;
  });
  if (lines.length === 0 || book.range === undefined) return '';
  const { from } = book.range;
  const head = `${from} (OPENING) Opening balances\n${tag('openingBalances', from)}    ; ${dialect.number('position', 0)}\n`;
  return `\n${head}${lines.join('')}`;
}

function entryText(entry: EntryAnswer, baseCurrency: string, dialect: Dialect): string {
  const { id, position, recordedAt, effectiveDate, entryType, reference, links = [] } = entry;
  const [description = '', ...more] = partsOf(escaped(entry.description, inDescriptions), textBytesMax);
  const head = `${effectiveDate} (${entryNumber(entry)})${description === '' ? '' : ` ${description}`}\n`;
  const tags = [
    ...more.map((part) => tag('more', part)),
    tag('entryId', id),
    `    ; ${dialect.number('position', position)}\n`,
    tag('recordedAt', recordedAt),
    ...(entryType === 'normal' ? [] : [tag('entryType', entryType)]),
    ...textTags('reference', reference),
    ...links.map(({ rel, entryId }) => tag(rel, entryId)),
  ];
  const lines = entry.lines.map(({ line, account, side, amount, currency, baseAmount, description: text, reference: own }) => {
    return [
      `    ${accountName(account)}  ${signedBy(side, amount)} ${commodityName(currency)}  ; ${dialect.number('line', line)}\n`,
      ...textTags('description', text),
      ...textTags('reference', own),
      ...(baseAmount === undefined
        ? []
        : [`    ; ${dialect.baseAmount(dialect.signedBase ? signedBy(side, baseAmount) : baseAmount, baseCurrency)}\n`]),
    ].join('');
  });
  return head + tags.join('') + lines.join('');
}

export const comment = (text: string): string => escaped(text, inComments);

const tag = (name: string, value: string): string => `    ; ${name}: ${value}\n`;

/** A text under a tag; what does not fit into the line goes on below it. */
function textTags(name: string, text: string | undefined): string[] {
  if (text === undefined) return [];
  return partsOf(comment(text), textBytesMax).map((part, index) => tag(index === 0 ? name : 'more', part));
}
