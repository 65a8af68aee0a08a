/**
 * The format `beancount`: a book as a ledger of Beancount (2.3), with everything that its entries and lines say as metadata. Hides what
 * Beancount takes for names, what it does with digits, and where it would forgive a difference. Guarantees that `bean-check` finds
 * nothing, that Beancount has every balance of the book at every date, digit for digit, and that no two names are alike.
 *
 * Names of accounts. The root is that of the type; memorandum accounts are below Equity:Z-Memorandum. A code that begins with its root
 * stays as it is (`Assets:Cash`), one that begins with a digit stands behind the root (`1010` is `Assets:1010`), any other behind `X-`
 * (`Cash` is `Assets:X-Cash`). A component that Beancount would not let begin as it does has `Z-` before it; a space is `--`, and
 * anything else that no name can hold is `-xHHHH-`, its code point. Names of currencies that are not capitals and digits begin with
 * `X'` and go on in small letters, written as capitals; `'` changes between small and capital.
 *
 * Balances are asserted at the end, since inception. Tolerances are zero, because Beancount would allow half of the last digit.
 */
import { createHash } from 'node:crypto';
import { type AccountType, addDays, type CalendarDate, firstDate, fromMinor } from '#domain';
import type { ExportFormat } from '../exports';
import type { AccountAnswer, EntryAnswer } from '../queries';
import { entryNumber, net } from '../reports/figures';
import { escaped, hazardsOf } from './escapes';
import { currenciesOf, type ExportedBook, openingsOf, signedBy } from './exported-book';

// --- Names ---

const roots: Readonly<Record<AccountType, string>> = {
  asset: 'Assets',
  liability: 'Liabilities',
  equity: 'Equity',
  income: 'Income',
  expense: 'Expenses',
  memorandum: 'Equity:Z-Memorandum',
};

/** What Beancount 2.3.5 takes for letters and digits within a name; its tables are older than ours, and hold no ideograms. */
const letter =
  /(?:[A-Za-z0-9]|(?=\p{L})[\u00C0-\u024F\u0370-\u037D\u0386-\u0523\u05D0-\u05EA\u0621-\u064A\u0904-\u0939\u1E00-\u1EFF\u3041-\u30FF])/u
    .source;
const begins = /^(?![XZ]-)(?:[A-Z0-9]|(?=\p{Lu})[\u00C0-\u024F\u0386-\u03AB\u0400-\u042F])/u;
/** A hyphen stands for itself between two letters only; elsewhere it would run into what stands for something else. */
const inNames = hazardsOf('-', [new RegExp(`(?<!${letter})-|-(?!${letter})|(?!${letter})[^ -]`, 'u')]);

const escapedName = (text: string): string => escaped(text, inNames, '-').replaceAll(' ', '--');
const component = (text: string): string => (begins.test(text) ? '' : 'Z-') + escapedName(text);

/** The name of an account, from which its code can be read back. */
export function accountName(code: string, { type }: Pick<AccountAnswer, 'type'>): string {
  const root = roots[type];
  const [first = '', ...more] = code.split(':');
  const named = [first, ...more].find((part) => part !== root) ?? '';
  // Also `Assets:1010`, which would else be the name of 1010.
  if (/^[0-9]/.test(named)) return [root, ...[first, ...more].map(component)].join(':');
  if (first === root && more.length > 0) return [root, ...more.map(component)].join(':');
  return [root, `X-${escapedName(first)}`, ...more.map(component)].join(':');
}

const currencyForm = /^[A-Z][A-Z0-9._-]{0,22}[A-Z0-9]$/;
const currencyLength = 24;
const words = new Set(['TRUE', 'FALSE', 'NULL']);

/** The name of a currency. Where what it stands for has no room in it, that is told by its directive alone. */
export function currencyName(currency: string): string {
  if (currencyForm.test(currency) && !words.has(currency)) return currency;
  let text = '';
  let small = true;
  for (const character of currency) {
    if (small ? /[A-Z]/.test(character) : /[a-z]/.test(character)) {
      text += "'";
      small = !small;
    }
    text += character.toUpperCase();
  }
  const name = `X'${text}${/[A-Z0-9]$/.test(text) ? '' : "'0"}`;
  if (name.length <= currencyLength) return name;
  const digest = createHash('sha256').update(currency).digest('hex').slice(0, 10).toUpperCase();
  return `Y'${text.replaceAll("'", '').slice(0, 11)}'${digest}`;
}

// --- The format ---

export const beancount = {
  title: 'a ledger for Beancount, which checks the balances at its end',
  extension: 'beancount',
  mediaType: 'text/plain; charset=utf-8',
  names: { account: accountName, currency: currencyName },
  problems,
  write: writeBeancount,
} satisfies ExportFormat;

/** Beancount adds with the precision of Python's decimal module, and rounds beyond. */
const digitsMax = 28;

async function problems({ state, balances }: ExportedBook): Promise<string[]> {
  const found: string[] = [];
  const sums = new Map<string, { readonly scale: number; sum: bigint }>();
  const add = (currency: string, scale: number, sum: bigint): void => {
    const before = sums.get(currency)?.sum ?? 0n;
    sums.set(currency, { scale, sum: before + sum });
  };
  for (const { currency, scale, closing, baseClosing } of (await balances('none')).rows) {
    add(currency, scale, closing.debit + closing.credit);
    add(`base currency`, state?.currencies[state.baseCurrency] ?? 0, baseClosing.debit + baseClosing.credit);
  }
  for (const [currency, { scale, sum }] of sums)
    if (String(sum).length > digitsMax)
      found.push(`debits and credits in ${currency} sum to ${fromMinor(sum, scale)}, and Beancount counts with ${digitsMax} digits`);
  const names = new Map<string, string>();
  for (const currency of Object.keys(state?.currencies ?? {})) {
    const other = names.get(currencyName(currency));
    if (other !== undefined) found.push(`the currencies ${other} and ${currency} have the same name there, ${currencyName(currency)}`);
    names.set(currencyName(currency), currency);
  }
  return found;
}

async function* writeBeancount(book: ExportedBook): AsyncGenerator<string> {
  const { state } = book;
  const opened = state?.fiscalYears[0]?.from ?? firstDate;
  const baseCurrency = currencyName(state?.baseCurrency ?? '');
  let text = headText(book, opened);
  for await (const accounts of book.accounts()) {
    yield text + accounts.map((account) => accountText(account, opened)).join('');
    text = '';
  }
  // Entries have the id of an account, and the root of its name is that of its type.
  const names = await namesById(book);
  text += await openingText(book, baseCurrency);
  let last = book.range?.from ?? firstDate;
  let entries = 0;
  for await (const some of book.entries()) {
    yield text + some.map((entry) => entryText(entry, names, baseCurrency)).join('');
    text = '';
    entries += some.length;
    for (const { effectiveDate } of some) if (effectiveDate > last) last = effectiveDate;
  }
  yield `${text}${await assertions(book, addDays(last, 1))}\n; end of the ledger: ${entries} entries\n`;
}

function headText({ id, position, state, range }: ExportedBook, opened: CalendarDate): string {
  const days = range === undefined ? '' : `, entries from ${range.from} to ${range.to}`;
  const lines = [
    `; Book ${id}, as known at position ${position}${days}, exported by book-keeper.`,
    '; Positive amounts are debits. Names: -xHHHH- is the character with the code point HHHH (hexadecimal), -- a space, X- and Z- nothing;',
    "; the metadata code has every name as it was. In currencies that begin with X' letters are small; ' changes between small and capital.",
    `option "title" ${quoted(state?.name ?? id)}`,
    // Half of the last digit is what Beancount forgives when nothing is said.
    'option "inferred_tolerance_multiplier" "0"',
    ...(state === undefined ? [] : [`option "operating_currency" "${currencyName(state.baseCurrency)}"`]),
    '',
  ];
  const currencies = currenciesOf({ state });
  const directives = currencies.map(
    ([currency, scale]) =>
      `${opened} commodity ${currencyName(currency)}\n${facts(1, [
        ['code', quoted(currency)],
        ['precision', String(scale)],
      ])}`,
  );
  return `${lines.join('\n')}\n${directives.join('')}\n`;
}

function accountText(account: AccountAnswer, opened: CalendarDate): string {
  const { code, name, type, subtype, status, parent, currencies = [] } = account;
  const allowed = currencies.length === 0 ? '' : ` ${currencies.map(currencyName).join(',')}`;
  return `${opened} open ${accountName(code, account)}${allowed}\n${facts(1, [
    ['code', quoted(code)],
    ['name', quoted(name)],
    ['type', quoted(type)],
    ['subtype', quotedWhere(subtype)],
    ['status', status === 'open' ? undefined : quoted(status)],
    ['parent', quotedWhere(parent)],
  ])}`;
}

async function namesById(book: ExportedBook): Promise<Map<string, string>> {
  const names = new Map<string, string>();
  for await (const accounts of book.accounts()) for (const each of accounts) names.set(each.id, accountName(each.code, each));
  return names;
}

/** What the accounts had before the range. Nothing pads it: what moved since inception sums to zero by itself (I8). */
async function openingText(book: ExportedBook, baseCurrency: string): Promise<string> {
  const openings = await openingsOf(book);
  if (openings.length === 0 || book.range === undefined) return '';
  const lines = openings.map(({ account, currency, amount, baseAmount }) =>
    postingText(accountName(account.code, account), amount, currency, [['baseAmount', baseAmount && `${baseAmount} ${baseCurrency}`]]),
  );
  const head = facts(1, [['openingBalances', book.range.from]]);
  return `\n${book.range.from} * "Opening balances" #opening-balances\n${head}${lines.join('')}`;
}

function entryText(entry: EntryAnswer, names: ReadonlyMap<string, string>, baseCurrency: string): string {
  const { id, position, recordedAt, effectiveDate, entryType, entryMethod, reference } = entry;
  const { document, requestedDate, source, links = [], reversedBy, metadata } = entry;
  const linked = new Map<string, string[]>();
  for (const { rel, entryId } of links) linked.set(rel, [...(linked.get(rel) ?? []), entryId]);
  const head = facts(1, [
    ['entryId', quoted(id)],
    ['position', String(position)],
    ['recordedAt', quoted(recordedAt)],
    ['number', quoted(entryNumber(entry))],
    ['entryType', entryType === 'normal' ? undefined : quoted(entryType)],
    ['entryMethod', quoted(entryMethod)],
    ['reference', quotedWhere(reference)],
    ['documentType', quotedWhere(document?.type)],
    ['documentNumber', quotedWhere(document?.number)],
    ['documentDate', document?.date],
    ['documentUri', quotedWhere(document?.uri)],
    ['documentSha256', quotedWhere(document?.sha256)],
    ['requestedDate', requestedDate],
    ['source', json(source)],
    ...[...linked].map(([rel, ids]) => [rel, quoted(ids.join(' '))] as const),
    ['reversedBy', quotedWhere(reversedBy)],
    ['metadata', json(metadata)],
  ]);
  const lines = entry.lines.map(({ line, accountId, account, side, amount, currency, baseAmount, description, ...more }) =>
    postingText(names.get(accountId) ?? unnamed(account), signedBy(side, amount), currency, [
      ['line', String(line)],
      ['description', quotedWhere(description)],
      ['reference', quotedWhere(more.reference)],
      ['baseAmount', baseAmount && `${signedBy(side, baseAmount)} ${baseCurrency}`],
      ['dueDate', more.dueDate],
      ['valueDate', more.valueDate],
      ['party', json(more.party)],
      ['dimensions', json(more.dimensions)],
      ['tax', json(more.tax)],
      ['quantity', json(more.quantity)],
      ['rate', json(more.rate)],
      ['origin', quotedWhere(more.origin)],
    ]),
  );
  return `\n${effectiveDate} * ${quoted(entry.description)}\n${head}${lines.join('')}`;
}

function unnamed(code: string): never {
  throw new Error(`account ${code} has lines and is not in the chart`);
}

/** Closing balances, which Beancount compares with what it has added up; an account has what stands below its name as well. */
async function assertions({ balances }: ExportedBook, date: CalendarDate): Promise<string> {
  const sums = new Map<string, Map<string, { readonly scale: number; net: bigint }>>();
  const own = new Set<string>();
  for (const { account, currency, scale, closing } of (await balances('none')).rows) {
    const parts = accountName(account.code, account).split(':');
    own.add(`${parts.join(':')} ${currency}`);
    for (let depth = 2; depth <= parts.length; depth++) {
      const name = parts.slice(0, depth).join(':');
      const byCurrency = sums.get(name) ?? new Map();
      sums.set(name, byCurrency.set(currency, { scale, net: (byCurrency.get(currency)?.net ?? 0n) + net(closing) }));
    }
  }
  const lines = [...own].map((key) => {
    const [name = '', currency = ''] = key.split(' ');
    const { net: sum, scale } = sums.get(name)?.get(currency) ?? { net: 0n, scale: 0 };
    return `${date} balance ${name} ${fromMinor(sum, scale)} ${currencyName(currency)}\n`;
  });
  return lines.length === 0 ? '' : `\n${lines.join('')}`;
}

const postingText = (name: string, amount: string, currency: string, more: Parameters<typeof facts>[1]): string =>
  `  ${name}  ${amount} ${currencyName(currency)}\n${facts(2, more)}`;

/** Metadata; what has no value is left out. */
const facts = (depth: number, all: readonly (readonly [string, string | undefined])[]): string =>
  all.map(([key, value]) => (value === undefined ? '' : `${'  '.repeat(depth)}${key}: ${value}\n`)).join('');

/** Line ends are written as escapes, because Beancount takes a text of many lines for one that was not closed. */
const quoted = (text: string): string => `"${text.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n')}"`;
const quotedWhere = (text: string | undefined): string | undefined => (text === undefined ? undefined : quoted(text));
const json = (value: unknown): string | undefined => (value === undefined ? undefined : quoted(JSON.stringify(value)));
