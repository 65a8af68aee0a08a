/**
 * The format `fec`: the fichier des écritures comptables of article A47 A-1 (VII) of the French Livre des procédures fiscales: the
 * 18 columns in their order, separated by tabs, in UTF-8 (which the tax office reads beside ISO 8859-15, and which holds every
 * text), with decimal commas and dates YYYYMMDD, under the name that the article prescribes. Hides where the opening entry comes
 * from. Guarantees that every entry balances in euros, that the file is in the order of validation (positions), and that
 * opening + entries = closing.
 *
 * Of exactly one fiscal year. The first entry is made here: what the accounts of the balance sheet open with, in a journal of its
 * own. Entries that close the accounts of income and expense are left out, as the article says ("hors écritures de solde des comptes
 * de charges et de produits"), and so are their reversals in the same year; elsewhere numbers are those of the book, 1 to n in each
 * day book. An account has the number that it is mapped to in the scheme `pcg`, else its code. The article knows no mark for escapes:
 * the map of names tells what they stand for.
 */
import { fromMinor } from '#domain';
import type { ExportFormat, Renamed } from '../exports';
import type { AccountAnswer, EntryAnswer } from '../queries';
import { entryNumber } from '../reports/figures';
import { escaped, hazards } from './escapes';
import type { ExportedBook } from './exported-book';
import { type FecColumn, fecColumns } from './fec-columns';
import { type BaseBalances, baseAmountOf, baseBalances, noBalances, oncePerBook, Problems, yearOfRange } from './in-base-currency';

type Row = Readonly<Partial<Record<FecColumn, string>>>;

export const fec: ExportFormat = {
  title: 'the French fichier des écritures comptables (LPF, article A47 A-1), of one whole fiscal year (from, to)',
  extension: 'txt',
  mediaType: 'text/plain; charset=utf-8',
  fileName: ({ state, range }) => `${sirenOf(state?.entity?.registrationNumber)}FEC${day(range?.to ?? '')}.txt`,
  problems: async (book) => (await survey(book)).problems,
  write: writeFec,
  names: { others: renamed },
};

interface Survey {
  readonly problems: readonly string[];
  readonly balances: BaseBalances;
  /** By account id. */
  readonly accounts: ReadonlyMap<string, { readonly code: string; readonly number: string; readonly name: string }>;
}

const survey = oncePerBook(async (book: ExportedBook): Promise<Survey> => {
  const problems = new Problems();
  const accounts = new Map<string, { code: string; number: string; name: string }>();
  const { state, range } = book;
  const year = yearOfRange(book);
  if (typeof year === 'string' || state === undefined || range === undefined) {
    if (typeof year === 'string') problems.note(year);
    return { problems: problems.texts, balances: noBalances, accounts };
  }
  if (range.from !== year.from || range.to !== year.to)
    problems.note(`it is of a whole fiscal year: ask for ${year.label}, from=${year.from} to=${year.to}`);
  const { registrationNumber } = state.entity ?? {};
  if (sirenOf(registrationNumber) === undefined)
    problems.note(
      `its name begins with the SIREN, and the registration number of the book's entity is ${registrationNumber ?? 'missing'}, not 9 digits (SIREN) or 14 (SIRET): it is given when a book is opened (entity.registrationNumber)`,
    );
  if (state.baseCurrency !== 'EUR') problems.note(`its amounts are in EUR, and the base currency of the book is ${state.baseCurrency}`);
  const balances = await baseBalances(book);
  problems.note(...balances.problems);
  const codes = new Map<string, string>();
  for (const { account } of balances.rows) {
    const number = numberOf(account);
    if (!accounts.has(account.id)) {
      if (!/^[1-8]\d\d/.test(number))
        problems.note(
          `account ${account.code} has the number ${number}, which does not begin with three digits of the plan comptable général: give its number as a mapping of scheme pcg when it is opened (mappings), or change its code`,
        );
      const other = codes.get(number);
      if (other !== undefined) problems.note(`accounts ${other} and ${account.code} both have the number ${number}: give each its own`);
      codes.set(number, account.code);
    }
    accounts.set(account.id, { code: account.code, number, name: account.name });
  }
  return { problems: problems.texts, balances, accounts };
});

const numberOf = ({ code, mappings = [] }: AccountAnswer): string => mappings.find(({ scheme }) => scheme === 'pcg')?.code ?? code;

/** The nine digits that a SIREN is and a SIRET begins with. */
function sirenOf(registrationNumber = ''): string | undefined {
  const digits = registrationNumber.replace(/\D/g, '');
  return digits.length === 9 || digits.length === 14 ? digits.slice(0, 9) : undefined;
}

// --- Rows ---

/** The file, some text at a time. */
async function* writeFec(book: ExportedBook): AsyncGenerator<string> {
  const { state, range } = book;
  if (state === undefined || range === undefined) throw new Error('a book with problems is not written');
  const found = await survey(book);
  yield `${fecColumns.join('\t')}\r\n${openingRows(book, found, range.from)}`;
  const names = new Map(state.journals.map(({ journalCode, name }) => [journalCode, name]));
  for await (const entries of writtenEntries(book))
    yield entries
      .flatMap((entry) => entryRows(entry, names.get(entry.journalCode) ?? entry.journalCode, state.baseCurrency, found))
      .map(rowText)
      .join('');
}

/** The entries of the book that stand in the file. */
async function* writtenEntries(book: ExportedBook): AsyncGenerator<EntryAnswer[]> {
  const closings = new Set<string>();
  const leftOut = ({ id, entryType, links = [] }: EntryAnswer): boolean => {
    if (entryType === 'closing') closings.add(id);
    return entryType === 'closing' || links.some(({ rel, entryId }) => rel === 'reverses' && closings.has(entryId));
  };
  for await (const entries of book.entries()) yield entries.filter((entry) => !leftOut(entry));
}

/** What texts stand in which column as; numbers and days are never escaped. */
const kinds: readonly (readonly [FecColumn, string])[] = [
  ['PieceRef', 'reference'],
  ['CompAuxNum', 'party'],
  ['EcritureLib', 'description'],
];

/** Whatever stands otherwise in the file than in the book: numbers of accounts by their mapping, and what was escaped. */
async function* renamed(book: ExportedBook): AsyncGenerator<Renamed[]> {
  const found = await survey(book);
  const as = (kind: string, exported: string, original = exported): Renamed => ({
    kind,
    exported: escaped(exported, unwritable),
    original,
  });
  const journals = book.state?.journals ?? [];
  yield journals.flatMap(({ journalCode, name }) => [as('journal', journalCode), as('journal name', name)]);
  yield [...found.accounts.values()].flatMap(({ code, number, name }) => [as('account', number, code), as('account name', name)]);
  const rows = (entry: EntryAnswer): Row[] => entryRows(entry, '', book.state?.baseCurrency ?? '', found);
  for await (const entries of writtenEntries(book))
    yield entries.flatMap((entry) => rows(entry).flatMap((row) => kinds.map(([column, kind]) => as(kind, row[column] ?? ''))));
}

function entryRows(
  entry: EntryAnswer,
  journal: string,
  baseCurrency: string,
  { accounts, balances: { scale } }: Pick<Survey, 'accounts' | 'balances'>,
): Row[] {
  const { journalCode, number, effectiveDate, document, reference, recordedAt } = entry;
  const same = {
    JournalCode: journalCode,
    JournalLib: journal,
    EcritureNum: String(number),
    EcritureDate: day(effectiveDate),
    PieceRef: document?.number ?? reference ?? entryNumber(entry),
    PieceDate: day(document?.date ?? effectiveDate),
    ValidDate: day(recordedAt),
  };
  const zero = decimal(fromMinor(0n, scale));
  return entry.lines.map((line) => {
    const account = accounts.get(line.accountId);
    const amount = decimal(baseAmountOf(line, baseCurrency) ?? '');
    const foreign = line.currency === baseCurrency ? {} : { Montantdevise: decimal(line.amount), Idevise: line.currency };
    const [debit, credit] = line.side === 'debit' ? [amount, zero] : [zero, amount];
    return {
      ...same,
      CompteNum: account?.number ?? line.account,
      CompteLib: account?.name ?? line.account,
      CompAuxNum: line.party?.id,
      CompAuxLib: line.party?.id,
      // Whoever reads the file expects a text.
      EcritureLib: line.description ?? (entry.description === '' ? entryNumber(entry) : entry.description),
      Debit: debit,
      Credit: credit,
      ...foreign,
    };
  });
}

/** What accounts open with, as one entry; nothing where all are at zero, as in the first year. */
function openingRows({ state }: ExportedBook, { balances: { rows, scale }, accounts }: Survey, from: string): string {
  const taken = new Set(state?.journals.map(({ journalCode }) => journalCode));
  const journal = ['AN', 'RAN', 'A-NOUVEAUX', 'A_NOUVEAUX'].find((code) => !taken.has(code)) ?? 'AN-BOOK-KEEPER';
  const zero = decimal(fromMinor(0n, scale));
  return rows
    .filter(({ opening, own }) => opening !== 0n || own !== 0n)
    .map(({ account, currency, scale: decimals, own, opening }) => {
      const isDebit = opening > 0n || (opening === 0n && own > 0n);
      const [size, ownSize] = isDebit ? [opening, own] : [-opening, -own];
      const amount = decimal(fromMinor(size, scale));
      // Where an amount has another sign than its base amount, it stands for the other side.
      const foreign = currency === state?.baseCurrency ? {} : { Montantdevise: decimal(fromMinor(ownSize, decimals)), Idevise: currency };
      return rowText({
        JournalCode: journal,
        JournalLib: 'À nouveaux',
        EcritureNum: '1',
        EcritureDate: day(from),
        CompteNum: accounts.get(account.id)?.number,
        CompteLib: account.name,
        PieceRef: 'À nouveaux',
        PieceDate: day(from),
        EcritureLib: 'À nouveaux',
        Debit: isDebit ? amount : zero,
        Credit: isDebit ? zero : amount,
        ValidDate: day(from),
        ...foreign,
      });
    })
    .join('');
}

/** The separator and the ends of records; a quote at the beginning would be taken for the beginning of a quoted text. */
const unwritable = hazards(/\p{Cc}/u, /[\u2028\u2029]/, /^"/);

const rowText = (row: Row): string => `${fecColumns.map((column) => escaped(row[column] ?? '', unwritable)).join('\t')}\r\n`;

/** YYYYMMDD of a date, or of an instant (in UTC). */
const day = (text: string): string => text.slice(0, 10).replaceAll('-', '');

const decimal = (amount: string): string => amount.replace('.', ',');
