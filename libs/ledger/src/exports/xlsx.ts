/**
 * The format `xlsx`: a book as a workbook (ECMA-376) with the sheets Entries, Accounts, Balances and About. Hides the markup; guarantees
 * constant memory, the same bytes for the same book, and that no cell is a formula: text is text, whatever it begins with.
 *
 * An amount is a number where the number is exactly that amount, which a double is up to 15 significant digits; else it is text. Dates
 * are dates from 1900-03-01 on: before, spreadsheets count a 29 February that there was not. Lines that a sheet has no room for go on
 * in the next one. No library writes this: the one that streams and is known (exceljs 4.4) had its last release years ago, and dates
 * what it writes.
 */
import { canonicalDecimal, daysBetween, decimalsOf, scaleMax } from '#domain';
import type { ExportFormat } from '../exports';
import { type ArchiveFile, zipped } from './archive';
import { escaped, hazards } from './escapes';
import type { ExportedBook } from './exported-book';
import { accountColumns, balanceColumns, balanceRows, type Kind, lineColumns, lineRows, type TableColumn } from './tables';

export const xlsx: ExportFormat = {
  title: 'a workbook for spreadsheets, whose amounts are numbers where numbers are exact',
  extension: 'xlsx',
  mediaType: 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  write: (book) => writeXlsx(book),
};

/** Of Excel, header included. */
const rowsPerSheet = 1_048_576;
const textLength = 32_767;

/** @param rowsMax rows of a sheet, header included */
export const writeXlsx = (book: ExportedBook, rowsMax = rowsPerSheet): AsyncGenerator<Uint8Array> =>
  workbook(sheetsOf(book), book.recordedAt, rowsMax);

/** Rows under columns; what one sheet has no room for goes on in the next. */
export interface Sheet {
  readonly name: string;
  /** Whether there is another row. */
  more(): Promise<boolean>;
  /** The markup of so many rows at most. */
  take(rows: number): AsyncGenerator<string>;
  end(): Promise<void>;
}

/** @param name without what XML would need to escape, 25 characters at most */
export function sheetOf<Row>(name: string, columns: readonly TableColumn<Row>[], pages: AsyncGenerator<readonly Row[]>): Sheet {
  const portions = new Portions(pages);
  return {
    name,
    more: () => portions.more(),
    take: (rows) => sheetText(columns, portions.take(rows)),
    async end() {
      await pages.return(undefined);
    },
  };
}

/**
 * A workbook, written while its sheets are read.
 * @param at instant that the archive states
 * @param rowsMax rows of a sheet, header included
 */
export const workbook = (sheets: AsyncIterable<Sheet>, at: string | undefined, rowsMax = rowsPerSheet): AsyncGenerator<Uint8Array> =>
  zipped(parts(sheets, rowsMax), at);

async function* sheetsOf(book: ExportedBook): AsyncGenerator<Sheet> {
  yield sheetOf('Entries', lineColumns, lineRows(book));
  yield sheetOf('Accounts', accountColumns, book.accounts());
  yield sheetOf('Balances', balanceColumns, balanceRows(book));
  yield sheetOf('About', aboutColumns, aboutRows(book));
}

const declaration = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n';
const main = 'http://schemas.openxmlformats.org/spreadsheetml/2006/main';
const relationships = 'http://schemas.openxmlformats.org/officeDocument/2006/relationships';
const packages = 'http://schemas.openxmlformats.org/package/2006';

/** Sheets first, because how many there are is known at their end only. */
async function* parts(sheets: AsyncIterable<Sheet>, rowsMax: number): AsyncGenerator<ArchiveFile> {
  const names: string[] = [];
  for await (const sheet of sheets) {
    try {
      for (let part = 1; part === 1 || (await sheet.more()); part++) {
        names.push(part === 1 ? sheet.name : `${sheet.name} ${part}`);
        yield { name: `xl/worksheets/sheet${names.length}.xml`, content: sheet.take(rowsMax - 1) };
      }
    } finally {
      await sheet.end();
    }
  }
  yield { name: 'xl/styles.xml', content: once(styles) };
  yield { name: 'xl/workbook.xml', content: once(listOf(names)) };
  yield { name: 'xl/_rels/workbook.xml.rels', content: once(workbookParts(names)) };
  yield { name: '_rels/.rels', content: once(packageParts) };
  yield { name: '[Content_Types].xml', content: once(contentTypes(names)) };
}

async function* once(text: string): AsyncGenerator<string> {
  yield declaration + text;
}

/** Pages of rows, handed out in portions that are not those of the pages. */
class Portions<Row> {
  private page: readonly Row[] = [];

  constructor(private readonly pages: AsyncGenerator<readonly Row[]>) {}

  /** Whether there is another row. */
  async more(): Promise<boolean> {
    while (this.page.length === 0) {
      const next = await this.pages.next();
      if (next.done === true) return false;
      this.page = next.value;
    }
    return true;
  }

  async *take(rows: number): AsyncGenerator<readonly Row[]> {
    for (let left = rows; left > 0 && (await this.more()); ) {
      const some = this.page.slice(0, left);
      this.page = this.page.slice(left);
      left -= some.length;
      yield some;
    }
  }
}

// --- Sheets ---

/** Places in `styles`. */
const style = { plain: 0, text: 1, date: 2, head: 3, amount: 4 } as const;

async function* sheetText<Row>(columns: readonly TableColumn<Row>[], pages: AsyncIterable<readonly Row[]>): AsyncGenerator<string> {
  const names = columns.map((_, index) => columnName(index));
  const pane = '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>';
  yield `${declaration}<worksheet xmlns="${main}"><sheetViews><sheetView workbookViewId="0">${pane}</sheetView></sheetViews><sheetData>`;
  const heads = columns.map(({ name }, index) => textCell(`${names[index]}1`, name, style.head));
  yield `<row r="1">${heads.join('')}</row>`;
  let number = 1;
  for await (const rows of pages) {
    const texts = rows.map((row) => {
      number += 1;
      const cells = columns.map(({ kind, of }, index) => {
        const value = of(row);
        return value === undefined ? '' : cell(`${names[index]}${number}`, kind, value);
      });
      return `<row r="${number}">${cells.join('')}</row>`;
    });
    yield texts.join('');
  }
  yield '</sheetData></worksheet>';
}

/** A, B, … Z, AA, … */
const columnName = (index: number): string =>
  (index < 26 ? '' : columnName(Math.floor(index / 26) - 1)) + String.fromCharCode(65 + (index % 26));

function cell(place: string, kind: Kind, value: string | number): string {
  if (typeof value === 'number') return numberCell(place, String(value), style.plain);
  if (kind === 'date' && value >= firstCounted) return numberCell(place, String(daysBetween(dayZero, value)), style.date);
  if (kind === 'amount' && isExact(value)) return numberCell(place, value, style.amount + decimalsOf(value));
  return textCell(place, value, style.text);
}

const numberCell = (place: string, value: string, own: number): string => `<c r="${place}" s="${own}"><v>${value}</v></c>`;

const textCell = (place: string, value: string, own: number): string =>
  `<c r="${place}" s="${own}" t="inlineStr"><is><t xml:space="preserve">${markup(fitting(value))}</t></is></c>`;

/** Digits that a double keeps whatever they are (IEEE 754: 15 significant ones). */
const digitsMax = 15;

export function isExact(amount: string): boolean {
  return canonicalDecimal(amount.replace('-', '')).replace('.', '').replace(/^0+/, '').length <= digitsMax;
}

const firstCounted = '1900-03-01';
/** Day 0 of spreadsheets, which makes up for the 29 February that there was not: right from 1900-03-01 on. */
const dayZero = '1899-12-30';

const cut = '… (cut: a cell has no room for more)';
const fitting = (text: string): string =>
  text.length <= textLength ? text : `${text.slice(0, textLength - cut.length).replace(/[\uD800-\uDBFF]$/, '')}${cut}`;

/** What XML cannot hold or would change, and what spreadsheets read as an escape (ST_Xstring, ECMA-376 part 1, 22.9.2.19). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: names them to write them differently
const inCells = hazards(/_(?=x[0-9A-Fa-f]{4}_)/, /[\u0000-\u0008\u000b-\u001f\ufffe\uffff]/);
const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const markup = (text: string): string => escaped(text, inCells).replace(/[&<>"]/g, (character) => entities[character] ?? character);

// --- About ---

interface About {
  readonly what: string;
  readonly is: string;
}

const aboutColumns: readonly TableColumn<About>[] = [
  { name: 'what', kind: 'text', of: ({ what }) => what },
  { name: 'is', kind: 'text', of: ({ is }) => is },
];

async function* aboutRows({ id, position, recordedAt, range, state }: ExportedBook): AsyncGenerator<readonly About[]> {
  yield [
    { what: 'book', is: id },
    { what: 'name', is: state?.name ?? '' },
    { what: 'position', is: String(position) },
    { what: 'recordedAt', is: recordedAt ?? '' },
    { what: 'range', is: range === undefined ? 'everything' : `effective dates from ${range.from} to ${range.to}` },
    { what: 'baseCurrency', is: state?.baseCurrency ?? '' },
    {
      what: 'amounts',
      is: `Numbers up to ${digitsMax} significant digits, which a spreadsheet keeps exactly; longer amounts are text, and no sum of a spreadsheet has them. Sums of numbers may differ in the last digits: the sheet Balances is exact.`,
    },
    { what: 'opening, closing', is: 'Debit − credit since inception: before the range, and at its end.' },
    { what: 'dates', is: `Dates from ${firstCounted} on; earlier ones are text, because spreadsheets count a 29 February 1900.` },
    { what: 'texts', is: `Text, never formulas. More than ${textLength} characters are cut, and say so.` },
    { what: 'Entries', is: `One row per line. After ${rowsPerSheet} rows it goes on in the sheet Entries 2.` },
  ];
}

// --- What holds them together ---

const amountFormats = Array.from({ length: scaleMax + 1 }, (_, scale) => ({
  id: 164 + scale,
  code: scale === 0 ? '0' : `0.${'0'.repeat(scale)}`,
}));

const styles = [
  `<styleSheet xmlns="${main}"><numFmts count="${amountFormats.length + 1}"><numFmt numFmtId="163" formatCode="yyyy-mm-dd"/>`,
  ...amountFormats.map(({ id, code }) => `<numFmt numFmtId="${id}" formatCode="${code}"/>`),
  '</numFmts><fonts count="2"><font><sz val="11"/><name val="Calibri"/></font><font><b/><sz val="11"/><name val="Calibri"/></font></fonts>',
  '<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills>',
  '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>',
  '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>',
  `<cellXfs count="${amountFormats.length + style.amount}">`,
  ...[0, 49, 163].map((id) => `<xf numFmtId="${id}" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>`),
  '<xf numFmtId="49" fontId="1" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" applyFont="1"/>',
  ...amountFormats.map(({ id }) => `<xf numFmtId="${id}" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>`),
  '</cellXfs><cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>',
].join('');

const listOf = (sheets: readonly string[]): string =>
  [
    `<workbook xmlns="${main}" xmlns:r="${relationships}"><sheets>`,
    ...sheets.map((name, index) => `<sheet name="${name}" sheetId="${index + 1}" r:id="rId${index + 1}"/>`),
    '</sheets></workbook>',
  ].join('');

const workbookParts = (sheets: readonly string[]): string =>
  [
    `<Relationships xmlns="${packages}/relationships">`,
    ...sheets.map(
      (_, index) => `<Relationship Id="rId${index + 1}" Type="${relationships}/worksheet" Target="worksheets/sheet${index + 1}.xml"/>`,
    ),
    `<Relationship Id="rId${sheets.length + 1}" Type="${relationships}/styles" Target="styles.xml"/></Relationships>`,
  ].join('');

const packageParts = `<Relationships xmlns="${packages}/relationships"><Relationship Id="rId1" Type="${relationships}/officeDocument" Target="xl/workbook.xml"/></Relationships>`;

const contentTypes = (sheets: readonly string[]): string => {
  const spreadsheet = 'application/vnd.openxmlformats-officedocument.spreadsheetml';
  return [
    `<Types xmlns="${packages}/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>`,
    '<Default Extension="xml" ContentType="application/xml"/>',
    `<Override PartName="/xl/workbook.xml" ContentType="${spreadsheet}.sheet.main+xml"/>`,
    `<Override PartName="/xl/styles.xml" ContentType="${spreadsheet}.styles+xml"/>`,
    ...sheets.map((_, index) => `<Override PartName="/xl/worksheets/sheet${index + 1}.xml" ContentType="${spreadsheet}.worksheet+xml"/>`),
    '</Types>',
  ].join('');
};
