/**
 * The format `ads`: GL_Detail of the AICPA Audit Data Standards (General Ledger Standard of August 2013 and July 2015, Audit Data API of
 * 2020). Hides the spellings of its versions, separators, and how amounts say their side; guarantees that who entered and approved
 * an entry, and when, is kept as its source has it, and that segments and columns of the company's own stay with the line.
 *
 * An entry is its Journal_ID, which the standard demands to be unique.
 */
import {
  CellFault,
  currencyIn,
  dateIn,
  decimalIn,
  instantIn,
  isNegative,
  needed,
  negated,
  plainName,
  present,
  quoted,
  textIn,
  unsigned,
} from './cells';
import { type CsvColumns, type CsvRow, type Encoding, readCsv } from './csv';
import type { ImportFormat, OtherAmount, SourceRow } from './entries';

const required = ['Journal_ID', 'Effective_Date', 'GL_Account_Number', 'Amount'] as const;
const optional = [
  'Journal_ID_Line_Number',
  'JE_Header_Description',
  'JE_Line_Description',
  'Source',
  'Business_Unit_Code',
  'Fiscal_Year',
  'Period',
  'Amount_Credit_Debit_Indicator',
  'Amount_Currency',
  'Local_Amount',
  'Local_Amount_Currency',
  'Transaction_Amount',
  'Transaction_Amount_Currency',
  'Reporting_Amount',
  'Reporting_Amount_Currency',
  'Reversal_Indicator',
  'Reversal_Journal_ID',
  'Entered_By',
  'Entered_Date',
  'Entered_Time',
  'Approved_By',
  'Approved_Date',
  'Approved_Time',
  'Last_Modified_By',
  'Last_Modified_Date',
  'Last_Modified_Time',
  'Document_Type',
  'Document_Number',
  'Document_Date',
] as const;
type Column = (typeof required)[number] | (typeof optional)[number];
const names: readonly Column[] = [...required, ...optional];

/** Names of columns in other versions of the standard, without underscores and in lower case. */
const spellings: Readonly<Record<string, Column>> = {
  journalidlinenum: 'Journal_ID_Line_Number',
  creditdebitindicator: 'Amount_Credit_Debit_Indicator',
  functionalamount: 'Amount',
  functionalcurrency: 'Amount_Currency',
  functionalcurrencycode: 'Amount_Currency',
  amountreporting: 'Reporting_Amount',
  amountreportingcurrency: 'Reporting_Amount_Currency',
  reportingcurrency: 'Reporting_Amount_Currency',
  reportingcurrencycode: 'Reporting_Amount_Currency',
  amountlocal: 'Local_Amount',
  amountlocalcurrency: 'Local_Amount_Currency',
  localcurrency: 'Local_Amount_Currency',
  localcurrencycode: 'Local_Amount_Currency',
  transactioncurrency: 'Transaction_Amount_Currency',
  transactioncurrencycode: 'Transaction_Amount_Currency',
  approvedpersonid: 'Approved_By',
  createddate: 'Entered_Date',
  createdtime: 'Entered_Time',
};

const byName = new Map<string, string>([...Object.entries(spellings), ...names.map((name) => [plainName(name), name] as const)]);

const columns: CsvColumns = {
  required,
  optional,
  nameOf: (cell) => byName.get(plainName(cell)) ?? cell.trim(),
  // Segment01 to Segment99, and whatever the company adds: the standard lets it.
  keepExtra: true,
};

/** @param told codes of currencies by what the file says, '' where it has no Amount_Currency; UTF-8 unless told */
export function adsFormat({
  currencies = new Map(),
  encoding = 'utf-8',
}: {
  readonly currencies?: ReadonlyMap<string, string>;
  readonly encoding?: Encoding;
} = {}): ImportFormat {
  return async function* read(file) {
    for await (const rows of readCsv(file, columns, { separators: ['|', ',', '\t', ';'], encoding }))
      yield rows.map((row) => sourceRow(row, currencies));
  };
}

function sourceRow({ at, cells, extra = [], problem }: CsvRow, currencies: ReadonlyMap<string, string>): SourceRow {
  const cell = (column: Column): string => cells[names.indexOf(column)] ?? '';
  const text = (column: Column): string | undefined => textIn(cell(column));
  const txn = cell('Journal_ID').trim();
  try {
    if (problem !== undefined) throw new CellFault(problem);
    const currency = currencyIn('Amount_Currency', cell('Amount_Currency'), currencies);
    if (currency === undefined) throw new CellFault('Amount_Currency is empty: say which it is (--currency =USD)');
    needed('Journal_ID', textIn(txn));
    const unit = text('Business_Unit_Code');
    const dimensions = [...(unit === undefined ? [] : [{ key: 'Business_Unit_Code', value: unit }]), ...extra];
    const source = text('Source');
    const documentNumber = text('Document_Number');
    const documentDate = dateIn('Document_Date', cell('Document_Date'));
    const document =
      documentNumber === undefined || documentDate === undefined
        ? undefined
        : { type: text('Document_Type') ?? 'document', number: documentNumber, date: documentDate };
    return {
      at,
      txn,
      line: lineNumber(cell('Journal_ID_Line_Number'), at),
      date: needed('Effective_Date', dateIn('Effective_Date', cell('Effective_Date'))),
      description: text('JE_Header_Description') ?? '',
      text: text('JE_Line_Description'),
      account: cell('GL_Account_Number').trim(),
      currency,
      quantity: amountOf(cell('Amount'), cell('Amount_Credit_Debit_Indicator')),
      others: otherAmounts(cell, currency, currencies),
      dimensions: dimensions.length === 0 ? undefined : dimensions,
      document,
      reference: document === undefined ? documentNumber : undefined,
      original: present({
        approvedAt: instantIn('Approved_Date', cell('Approved_Date'), cell('Approved_Time')),
        approvedBy: text('Approved_By'),
        enteredAt: instantIn('Entered_Date', cell('Entered_Date'), cell('Entered_Time')),
        enteredBy: text('Entered_By'),
        journal: source,
        number: txn,
      }),
      metadata: present({
        Document_Date: document === undefined ? documentDate : undefined,
        Fiscal_Year: text('Fiscal_Year'),
        Last_Modified_By: text('Last_Modified_By'),
        Last_Modified_Date: instantIn('Last_Modified_Date', cell('Last_Modified_Date'), cell('Last_Modified_Time')),
        Period: text('Period'),
        Reversal_Indicator: text('Reversal_Indicator'),
        Reversal_Journal_ID: text('Reversal_Journal_ID'),
      }),
      // 1: the entry is a reversal; 2: it was reversed.
      entryType: text('Reversal_Indicator') === '1' ? 'reversal' : undefined,
      dayBook: source === undefined ? undefined : { code: source },
    };
  } catch (error) {
    if (error instanceof CellFault) return { at, txn, problem: error.message, code: error.code };
    throw error;
  }
}

/** The line's number; its place in the file where it has none, or one with letters in it. */
function lineNumber(cell: string, at: number): number {
  const text = cell.trim();
  return /^\d{1,15}$/.test(text) ? Number(text) : at;
}

/** Values of the indicator: of the standard, of SAP (Soll, Haben), and as people write them. */
const sides: Readonly<Record<string, 'debit' | 'credit'>> = {
  D: 'debit',
  DR: 'debit',
  DEBIT: 'debit',
  S: 'debit',
  C: 'credit',
  CR: 'credit',
  CREDIT: 'credit',
  H: 'credit',
};

/**
 * The amount, debit positive. Without indicator it is signed (Audit Data API); with one it has no sign (GL standard), or repeats what
 * the indicator says: a negative credit is a credit. To read the other way, as an amount taken back, would not balance then.
 */
function amountOf(amountCell: string, indicatorCell: string): string {
  const amount = decimalIn('Amount', amountCell, false);
  if (amount === undefined) throw new CellFault('Amount is empty', 'amount_format');
  const indicator = indicatorCell.trim();
  if (indicator === '') return amount;
  const known = indicator.toUpperCase();
  const side = Object.hasOwn(sides, known) ? sides[known] : undefined;
  if (side === undefined)
    throw new CellFault(`Amount_Credit_Debit_Indicator is ${quoted(indicator)}, neither D for debit nor C for credit`);
  if (side === 'credit') return amount.startsWith('-') ? amount : negated(amount);
  if (isNegative(amount))
    throw new CellFault(`Amount is ${amount}, and Amount_Credit_Debit_Indicator says debit; give it as a credit of ${unsigned(amount)}`);
  return unsigned(amount);
}

/** The amount in the currency of the transaction or country, and then in that of reports, where they are others. */
function otherAmounts(cell: (column: Column) => string, own: string, currencies: ReadonlyMap<string, string>): OtherAmount[] | undefined {
  const found = (['Transaction_Amount', 'Local_Amount', 'Reporting_Amount'] as const).flatMap((column): OtherAmount[] => {
    const quantity = decimalIn(column, cell(column), false);
    const text = cell(`${column}_Currency`).trim();
    const currency = text === '' ? undefined : currencyIn(`${column}_Currency`, text, currencies);
    if (quantity === undefined || currency === undefined || currency === own) return [];
    return [{ currency, quantity: unsigned(quantity) }];
  });
  return found.length === 0 ? undefined : found;
}
