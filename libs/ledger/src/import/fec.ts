/**
 * The format `fec`: the fichier des écritures comptables that French tax law asks for (Livre des procédures fiscales, article
 * A47 A-1; BOI-CF-IOR-60-40-20), with Debit and Credit or with Montant and Sens. Hides separators, character sets, decimal commas
 * and the classes of the plan comptable général; guarantees that day books stay day books, and that what the book has no
 * member for is kept with the line (dimensions) or the entry (metadata) under the name of its column.
 *
 * An entry is named by its day book, date and number: many programs begin to number anew with the year or month. Where a program
 * numbers lines instead of entries, the reference of the document takes the number's place (`entriesBy: 'piece'`).
 */
import type { AccountType, JournalType } from '#domain';
import { type FecColumn, fecColumns, requiredFecColumns } from '../exports/fec-columns';
import { CellFault, currencyIn, dateIn, decimalIn, isNegative, isZero, needed, negated, present, quoted, textIn, unsigned } from './cells';
import { type CsvColumns, type CsvRow, type Encoding, readCsv } from './csv';
import type { DayBook, ImportFormat, OtherAmount, SourceRow } from './entries';

export interface FecOptions {
  /** What names an entry beside day book and date: its number, or the reference of its document. */
  readonly entriesBy?: 'number' | 'piece';
  /** Codes of day books whose entries are left out, as the file writes them. */
  readonly withoutJournals?: ReadonlySet<string>;
}

/** Debit and Credit in the other way that the article lets them be written. */
const signedColumns = ['Montant', 'Sens'] as const;
type Column = FecColumn | (typeof signedColumns)[number];
/** The cells of a row; '' where the file lacks the column. */
type Cells = (column: Column) => string;
const required: readonly Column[] = requiredFecColumns;
const optional = [...fecColumns, ...signedColumns].filter((column) => !required.includes(column));
const names = [...required, ...optional];
const byName = new Map(names.map((name) => [name.toLowerCase(), name]));
const journalAt = names.indexOf('JournalCode');

const columns: CsvColumns = {
  required,
  optional,
  nameOf: (cell) => byName.get(cell.trim().toLowerCase()) ?? cell.trim(),
  faultOf(has) {
    const [sides, signed] = [has('Debit') && has('Credit'), has('Montant') && has('Sens')];
    if (sides && (has('Montant') || has('Sens'))) return 'names Debit and Credit, and Montant or Sens, which stand for each other';
    return sides || signed ? undefined : 'lacks Debit and Credit (or, in their place, Montant and Sens)';
  },
  // The law lets a program add columns behind these, and asks for others of those who keep books on a cash basis.
  keepExtra: true,
};

/**
 * @param told codes of currencies by what Idevise says, '' for the currency of Debit and Credit (EUR unless told); the encoding is
 *   found out from the bytes of the file when it is not told
 */
export function fecFormat({
  currencies = new Map(),
  encoding,
  entriesBy = 'number',
  withoutJournals = new Set(),
}: FecOptions & { readonly currencies?: ReadonlyMap<string, string>; readonly encoding?: Encoding } = {}): ImportFormat {
  const dialect = { separators: ['\t', '|', ';'], quotesAsHeader: true, encoding: encoding ?? 'detect' } as const;
  const base = currencies.get('') ?? 'EUR';
  return async function* read(file) {
    for await (const rows of readCsv(file, columns, dialect)) {
      const wanted = rows.filter(({ cells }) => !withoutJournals.has((cells[journalAt] ?? '').trim()));
      if (wanted.length > 0) yield wanted.map((row) => sourceRow(row, { entriesBy, base, currencies }));
    }
  };
}

interface Told {
  readonly entriesBy: 'number' | 'piece';
  /** Currency of Debit and Credit. */
  readonly base: string;
  readonly currencies: ReadonlyMap<string, string>;
}

function sourceRow({ at, cells, extra = [], problem }: CsvRow, { entriesBy, base, currencies }: Told): SourceRow {
  const cell: Cells = (column) => cells[names.indexOf(column)] ?? '';
  const [journal, date, pieceRef] = [cell('JournalCode'), cell('EcritureDate'), cell('PieceRef')];
  const [number, journalName] = [cell('EcritureNum'), cell('JournalLib')];
  const [column, name] = entriesBy === 'piece' ? ['PieceRef', pieceRef] : ['EcritureNum', number];
  const txn = [journal, date.trim().replace(/^(\d{4})(\d{2})(\d{2})$/, '$1-$2-$3'), name].map((part) => part.trim()).join('/');
  try {
    if (problem !== undefined) throw new CellFault(problem);
    const journalCode = needed('JournalCode', textIn(journal));
    if (textIn(name) === undefined)
      throw new CellFault(
        `${column} is empty${entriesBy === 'piece' ? '' : '; entries can be told by their documents instead (--entries-by piece)'}`,
      );
    const quantity = netOf(cell);
    const code = cell('CompteNum').trim();
    const documentDate = dateIn('PieceDate', cell('PieceDate'));
    const reference = textIn(pieceRef);
    const kept = [
      { key: 'EcritureLet', value: textIn(cell('EcritureLet')) },
      { key: 'DateLet', value: dateIn('DateLet', cell('DateLet')) },
      ...extra,
    ];
    const dimensions = kept.filter((pair): pair is { key: string; value: string } => pair.value !== undefined);
    return {
      at,
      txn,
      // Lines have no numbers of their own: they keep the order of the file.
      line: at,
      date: needed('EcritureDate', dateIn('EcritureDate', date)),
      description: cell('EcritureLib').trim(),
      account: code,
      accountName: textIn(cell('CompteLib')),
      accountType: typeByClass(code),
      currency: base,
      quantity,
      others: foreignAmount(cell, { base, currencies, quantity }),
      party: partyOf(cell('CompAuxNum'), code),
      dimensions: dimensions.length === 0 ? undefined : dimensions,
      lineReference: reference,
      document:
        reference === undefined || documentDate === undefined ? undefined : { type: 'piece', number: reference, date: documentDate },
      reference: documentDate === undefined ? reference : undefined,
      original: present({ journal: journalCode, number: textIn(number) }),
      metadata: present({ ValidDate: dateIn('ValidDate', cell('ValidDate')) }),
      entryType: isOpening(journalCode, journalName) ? 'opening' : undefined,
      dayBook: dayBookOf(journalCode, journalName),
    };
  } catch (error) {
    if (error instanceof CellFault) return { at, txn, problem: error.message, code: error.code };
    throw error;
  }
}

// --- Amounts ---

/** Debit positive. Negative amounts on one side, with which programs take entries back, are amounts on the other. */
function netOf(cell: Cells): string {
  const amount = decimalIn('Montant', cell('Montant'), true);
  const side = cell('Sens').trim().toUpperCase();
  if (amount !== undefined || side !== '') {
    // The two ways of BOI-CF-IOR-60-40-20 to write it.
    if (side === 'D' || side === '+1' || side === '1') return amount ?? '0';
    if (side === 'C' || side === '-1') return negated(amount ?? '0');
    throw new CellFault(`Sens is ${quoted(side)}, neither D or +1 for debit nor C or -1 for credit`);
  }
  const debit = decimalIn('Debit', cell('Debit'), true) ?? '0';
  const credit = decimalIn('Credit', cell('Credit'), true) ?? '0';
  if (!isZero(debit) && !isZero(credit)) throw new CellFault(`Debit is ${debit} and Credit ${credit}; a line has one of them`);
  return isZero(debit) ? negated(credit) : debit;
}

/**
 * Montantdevise is written without a sign or with that of the line; its side is that of Debit and Credit. An Idevise in base currency
 * says nothing new.
 * @param facts the line's amount, debit positive
 */
function foreignAmount(
  cell: Cells,
  facts: { readonly base: string; readonly currencies: ReadonlyMap<string, string>; readonly quantity: string },
): readonly OtherAmount[] | undefined {
  const { base, currencies, quantity } = facts;
  const amount = decimalIn('Montantdevise', cell('Montantdevise'), true);
  if (amount === undefined) return undefined;
  const text = cell('Idevise').trim();
  const currency = text === '' ? undefined : currencyIn('Idevise', text, currencies);
  if (currency === undefined) {
    if (isZero(amount)) return undefined;
    throw new CellFault(`Montantdevise is ${amount}, and Idevise does not say of which currency`);
  }
  if (currency === base) return undefined;
  const wrote = cell('Debit') + cell('Montant');
  if (isNegative(amount) && !quantity.startsWith('-') && !wrote.includes('-'))
    throw new CellFault(`Montantdevise is ${amount} on a debit; it has no sign, or that of the line`);
  return [{ currency, quantity: unsigned(amount) }];
}

// --- Accounts, parties, day books ---

/**
 * Types of accounts by the beginning of their numbers, the longest that fits (plan comptable général, règlement ANC 2014-03, book on
 * the chart of accounts). Accounts of class 4 that may stand on either side have the type of the usual one.
 */
const classes: readonly (readonly [type: AccountType, prefixes: string])[] = [
  ['equity', '1 88 89'],
  ['liability', '15 16 17 18 4 509 519'],
  ['asset', '2 3 409 41 425 441 4456 4487 456 462 465 4687 47 48 5'],
  ['liability', '419 477 487'],
  ['asset', '49'],
  ['expense', '6'],
  ['income', '7'],
  ['memorandum', '8'],
];
const typesByPrefix = new Map(classes.flatMap(([type, prefixes]) => prefixes.split(' ').map((prefix) => [prefix, type] as const)));

/** The type of an account by its number in the plan comptable général; undefined when it does not begin with a class. */
export function typeByClass(code: string): AccountType | undefined {
  for (let length = Math.min(4, code.length); length > 0; length--) {
    const type = typesByPrefix.get(code.slice(0, length));
    if (type !== undefined) return type;
  }
  return undefined;
}

const partyKinds: Readonly<Record<string, string>> = { 40: 'supplier', 41: 'customer', 42: 'employee', 45: 'associate' };

/** CompAuxNum; the name in CompAuxLib stays outside, because books hold ids of persons only. */
function partyOf(cell: string, account: string): { readonly id: string; readonly kind: string } | undefined {
  const id = textIn(cell);
  return id === undefined ? undefined : { id, kind: partyKinds[account.slice(0, 2)] ?? 'other' };
}

/** The day book of the balances brought forward, as it is called by custom. */
const isOpening = (code: string, name: string): boolean =>
  /^(?:AN|RAN|ANO|ANOUV)$/i.test(code) || /(?:^|\P{L})(?:[àa][ -]?nouveaux?|ouverture)(?:\P{L}|$)/iu.test(name.normalize('NFC'));

/** By what day books are called by custom; the name is asked before the code. */
const journalTypes: readonly (readonly [type: JournalType, name: RegExp, code: RegExp])[] = [
  ['sales', /\bventes?\b/i, /^V[ET]/i],
  ['purchases', /\bachats?\b/i, /^(?:AC|HA)/i],
  ['bank', /\bbanques?\b/i, /^BQ/i],
  ['cash', /\bcaisses?\b/i, /^CA/i],
  ['payroll', /\b(?:paies?|payes?|salaires?)\b/i, /^(?:PA|SA)/i],
  ['general', /\bop[ée]rations? diverses?\b/i, /^OD/i],
];

function dayBookOf(code: string, nameCell: string): DayBook {
  const name = textIn(nameCell);
  const known = journalTypes.find((row) => (name === undefined ? row[2].test(code) : row[1].test(name)));
  return { code, name, type: known?.[0] };
}
