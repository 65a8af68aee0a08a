/**
 * The format `ads`: flat files of the AICPA's Audit Data Standards, as of July 2015: of the General Ledger Standard GL_Detail,
 * Trial_Balance, Chart_Of_Accounts and Source_Listing, of the Base Standard Business_Unit_Listing and User_Listing. Hides what the
 * fields are filled from. Guarantees the standard's names, one currency (the functional one, which is the base currency), and
 * that Amount_Beginning + entries = Amount_Ending for every account. The 31 fields of GL_Detail were held against public extracts
 * of it and the AICPA's description of its API; of the other files the names were, and not their order: read them by name.
 *
 * Pipe-delimited UTF-8 with a header row; texts that hold a pipe, a quote or a line end are quoted as in RFC 4180. Dates are
 * YYYY-MM-DD; Entered_Date and Entered_Time are UTC (`Z`). Amounts of GL_Detail are positive with C or D beside them, balances are
 * signed, debit positive. Of the fields that a book could fill:
 * - Journal_ID is `GENERAL/2026/17`, so that gaps are seen; Source is the day book; Business_Unit_Code is the book.
 * - Local_Amount is the line's own amount where its currency is not the functional one.
 * - Segment01 to Segment05 are the dimensions, one for each key in the order of keys, written `key:value`.
 * - Reversal_Indicator is 1 of a reversal and 2 of what was reversed; Reversal_Journal_ID is the other one (its id in the book, where
 *   that lies outside of the range).
 * Left empty: Approved_*, Last_Modified_* (no entry is ever modified), Reporting_*, FS_Caption, and what is known of people.
 */
import { fromMinor, LedgerError } from '#domain';
import type { ExportFormat } from '../exports';
import type { EntryAnswer } from '../queries';
import { type Cell, csvRow } from '../reports/csv';
import { entryNumber } from '../reports/figures';
import type { ArchiveFile } from './archive';
import type { ExportedBook, ExportRange } from './exported-book';
import { type BaseBalances, baseAmountOf, baseBalances, byAccount, noBalances, oncePerBook, Problems } from './in-base-currency';

const segments = ['Segment01', 'Segment02', 'Segment03', 'Segment04', 'Segment05'] as const;

const detailFields = [
  ...['Journal_ID', 'Journal_ID_Line_Number', 'JE_Header_Description', 'JE_Line_Description', 'Source', 'Business_Unit_Code'],
  ...['Effective_Date', 'Fiscal_Year', 'Period', 'GL_Account_Number', 'Amount', 'Amount_Credit_Debit_Indicator', 'Amount_Currency'],
  ...['Entered_By', 'Entered_Date', 'Entered_Time', 'Approved_By', 'Approved_Date', 'Last_Modified_By', 'Last_Modified_Date'],
  ...['Reporting_Amount', 'Reporting_Amount_Currency', 'Local_Amount', 'Local_Amount_Currency'],
  ...['Reversal_Indicator', 'Reversal_Journal_ID', ...segments],
];
const balanceFields = [
  ...['GL_Account_Number', 'Business_Unit_Code', 'Fiscal_Year', 'Period', 'Balance_As_Of_Date'],
  ...['Amount_Beginning', 'Amount_Ending', 'Amount_Currency'],
  ...['Amount_Beginning_Reporting', 'Amount_Ending_Reporting', 'Amount_Reporting_Currency'],
  ...['Amount_Beginning_Local', 'Amount_Ending_Local', 'Amount_Local_Currency', ...segments],
];
const accountFields = [
  ...['GL_Account_Number', 'GL_Account_Name', 'GL_Account_Description', 'FS_Caption', 'Account_Type', 'Account_Subtype'],
  ...['Parent_GL_Account_Number', 'Business_Unit_Code', ...segments],
];
const sourceFields = [
  ...[
    'Source',
    'Source_Description',
    'ERP_Subledger_Module',
    'System_Manual_Identifier',
    'Business_Process_Major',
    'Business_Process_Minor',
  ],
];
const unitFields = [
  ...['Business_Unit_Code', 'Business_Unit_Description', 'Business_Unit_Hierarchy1', 'Business_Unit_Hierarchy2'],
  ...['Business_Unit_Hierarchy3', 'Business_Unit_Hierarchy4', 'Business_Unit_Hierarchy5'],
];
const userFields = [
  ...['User_ID', 'User_Active_Status', 'User_Active_Modified_Date', 'First_Name', 'Last_Name', 'Title', 'Department'],
  'Role_Responsibility',
];

const accountTypes: Readonly<Record<string, string>> = {
  asset: 'Assets',
  liability: 'Liabilities',
  equity: 'Equity',
  income: 'Revenue',
  expense: 'Expenses',
  memorandum: 'Memorandum',
};

export const ads: ExportFormat = {
  title: "flat files of the AICPA's Audit Data Standards, General Ledger, July 2015",
  problems: async (book) => (await survey(book)).problems,
  files: adsFiles,
};

interface Survey {
  readonly problems: readonly string[];
  readonly balances: BaseBalances;
  /** What the file names say and the balances are of: the range, as far as there are fiscal years. */
  readonly days: ExportRange;
  /** Keys of dimensions, in their order. */
  readonly keys: readonly string[];
  readonly users: readonly string[];
}

const survey = oncePerBook(async (book: ExportedBook): Promise<Survey> => {
  const problems = new Problems();
  const { state, range } = book;
  const [first, last] = [state?.fiscalYears[0], state?.fiscalYears.at(-1)];
  if (state === undefined || first === undefined || last === undefined) {
    const nothing = { balances: noBalances, days: { from: '', to: '' }, keys: [], users: [] };
    return { problems: ['the book was not opened yet'], ...nothing };
  }
  const isBeginning = range === undefined || range.from < first.from;
  const days = { from: isBeginning ? first.from : range.from, to: range === undefined || range.to > last.to ? last.to : range.to };
  if (days.to < days.from) {
    problems.note(`the range ${range?.from} to ${range?.to} lies outside of the book's fiscal years ${first.from} to ${last.to}`);
    return { problems: problems.texts, balances: noBalances, days, keys: [], users: [] };
  }
  // Before the first fiscal year there is nothing that could be brought forward.
  const balances = await baseBalances(book, isBeginning ? 'none' : 'fiscalYear');
  problems.note(...balances.problems);
  const [keys, users] = [new Set<string>(), new Set<string>()];
  for await (const entries of book.entries())
    for (const entry of entries) {
      if (entry.userId !== undefined) users.add(entry.userId);
      for (const { dimensions = [] } of entry.lines) for (const { key } of dimensions) keys.add(key);
    }
  const sorted = [...keys].sort();
  if (sorted.length > segments.length)
    problems.note(`lines have ${sorted.length} dimensions (${sorted.join(', ')}), and there are ${segments.length} segments`);
  return { problems: problems.texts, balances, days, keys: sorted, users: [...users].sort() };
});

/** What the standard's reversal fields say of an entry; one that is a reversal itself is never reversed. */
function reversalOf({ links = [], reversedBy }: EntryAnswer): { readonly indicator: '1' | '2'; readonly other: string } | undefined {
  const reversed = links.find(({ rel }) => rel === 'reverses')?.entryId;
  if (reversed !== undefined) return { indicator: '1', other: reversed };
  return reversedBy === undefined ? undefined : { indicator: '2', other: reversedBy };
}

// --- Files ---

async function* adsFiles(book: ExportedBook): AsyncGenerator<ArchiveFile> {
  const found = await survey(book);
  const { days, users } = found;
  const { state } = book;
  if (state === undefined) throw new LedgerError('export_unfit', 'the book was not opened yet');
  const span = `${days.from.replaceAll('-', '')}_${days.to.replaceAll('-', '')}`;
  const unit = [book.id, state.name, state.entity?.legalName];
  const sources = [...state.journals].sort((one, other) => (one.journalCode < other.journalCode ? -1 : 1));
  yield { name: `GL_Detail_${span}.csv`, content: detail(book, found) };
  yield { name: `Trial_Balance_${span}.csv`, content: table(balanceFields, balanceRows(book, found)) };
  yield { name: 'Chart_Of_Accounts.csv', content: chart(book) };
  const described = sources.map(({ journalCode, name, type }) => [journalCode, name, undefined, undefined, type]);
  yield { name: 'Source_Listing.csv', content: table(sourceFields, described) };
  yield { name: 'Business_Unit_Listing.csv', content: table(unitFields, [unit]) };
  yield {
    name: 'User_Listing.csv',
    content: table(
      userFields,
      users.map((user) => [user]),
    ),
  };
}

const row = (cells: readonly Cell[]): string => csvRow(cells, '|');

/** Rows may leave out cells at their end. */
async function* table(fields: readonly string[], rows: readonly (readonly Cell[])[]): AsyncGenerator<string> {
  yield [fields, ...rows.map((cells) => [...cells, ...Array<Cell>(fields.length - cells.length).fill(undefined)])].map(row).join('');
}

async function* detail(book: ExportedBook, { keys }: Survey): AsyncGenerator<string> {
  const baseCurrency = book.state?.baseCurrency ?? '';
  const years = new Map(book.state?.fiscalYears.map(({ label, to }) => [label, to.slice(0, 4)]));
  yield row(detailFields);
  for await (const entries of book.entries()) {
    const others = await othersOf(book, entries);
    yield entries.map((entry) => entryRows(entry, { unit: book.id, baseCurrency, years, keys, others })).join('');
  }
}

/** What the entries of a page reverse or are reversed by, as far as it lies in the range: addresses by id. */
async function othersOf({ range, entriesById }: ExportedBook, entries: readonly EntryAnswer[]): Promise<Map<string, string>> {
  const onPage = new Set(entries.map(({ id }) => id));
  const wanted = new Set(entries.flatMap((entry) => reversalOf(entry)?.other ?? []));
  const elsewhere = [...wanted].filter((id) => !onPage.has(id));
  const found = [...entries, ...(elsewhere.length === 0 ? [] : await entriesById(elsewhere))];
  const isIn = ({ effectiveDate }: EntryAnswer): boolean =>
    range === undefined || (range.from <= effectiveDate && effectiveDate <= range.to);
  return new Map(found.flatMap((entry) => (wanted.has(entry.id) && isIn(entry) ? [[entry.id, entryNumber(entry)]] : [])));
}

function entryRows(
  entry: EntryAnswer,
  {
    unit,
    baseCurrency,
    years,
    keys,
    others,
  }: Pick<Survey, 'keys'> & {
    unit: string;
    baseCurrency: string;
    years: ReadonlyMap<string, string>;
    others: ReadonlyMap<string, string>;
  },
): string {
  const { description, journalCode, effectiveDate, fiscalYear, period, userId, recordedAt } = entry;
  const reversal = reversalOf(entry);
  return entry.lines
    .map((line) => {
      const { account, side, amount, currency, dimensions = [] } = line;
      const local = currency === baseCurrency ? [undefined, undefined] : [amount, currency];
      return row([
        ...[entryNumber(entry), line.line, description, line.description, journalCode, unit],
        ...[effectiveDate, years.get(fiscalYear) ?? fiscalYear, period, account],
        ...[baseAmountOf(line, baseCurrency), side === 'debit' ? 'D' : 'C', baseCurrency],
        ...[userId, recordedAt.slice(0, 10), recordedAt.slice(11), undefined, undefined, undefined, undefined],
        ...[undefined, undefined, ...local],
        ...[reversal?.indicator, reversal === undefined ? undefined : (others.get(reversal.other) ?? reversal.other)],
        ...segments.map((_, index) => {
          const found = dimensions.filter(({ key }) => key === keys[index]);
          return found.length === 0 ? undefined : found.map(({ key, value }) => `${key}:${value}`).join('; ');
        }),
      ]);
    })
    .join('');
}

function balanceRows({ id, state }: ExportedBook, { balances: { rows, scale }, days }: Survey): Cell[][] {
  const year = state?.fiscalYears.find(({ from, to }) => from <= days.to && days.to <= to);
  // The last one that the balance holds for, adjustments at the end of the year included.
  const period = year?.periods.findLast(({ from, to }) => from <= days.to && days.to <= to);
  return byAccount(rows).map(({ account, opening, closing }) => [
    ...[account.code, id, year?.to.slice(0, 4), period?.no, days.to],
    ...[fromMinor(opening, scale), fromMinor(closing, scale), state?.baseCurrency],
  ]);
}

async function* chart(book: ExportedBook): AsyncGenerator<string> {
  yield row(accountFields);
  for await (const accounts of book.accounts())
    yield accounts
      .map(({ code, name, type, subtype, parent }) =>
        row([code, name, undefined, undefined, accountTypes[type], subtype, parent, book.id, ...segments.map(() => undefined)]),
      )
      .join('');
}
