/**
 * CSV of RFC 4180, row by row. Hides quoting and line ends. Guarantees: a row has as many cells as the header; what RFC 4180
 * does not allow is an error, since programs read it differently.
 */
import { isUtf8 } from 'node:buffer';

const ROW_MAX = 4 * 1024 * 1024;

export class CsvError extends Error {
  /** @param {number} line @param {string} message */
  constructor(line, message) {
    super(message);
    this.line = line;
  }
}

/** @typedef {{ line: number, cells: string[] }} Row line is the first one of the row, from 1 on */

/**
 * @param {AsyncIterable<Buffer>} lines without their line feeds
 * @returns {AsyncGenerator<Row>} the header first
 * @throws {CsvError}
 */
export async function* readCsv(lines) {
  let number = 0;
  let width = 0;
  /** The lines of a row whose quoted cell goes on in the next one. @type {string[]} */
  let begun = [];
  let length = 0;
  let open = false;
  for await (const bytes of lines) {
    number++;
    if (!isUtf8(bytes)) throw new CsvError(number, 'the line is no UTF-8');
    const text = bytes.toString('utf8');
    begun.push(text);
    length += text.length;
    const line = number + 1 - begun.length;
    if (length > ROW_MAX) throw new CsvError(line, `the row has more than ${ROW_MAX} characters; is a quote without its end?`);
    // A quote within a quoted cell is two quotes, so that each quote opens or closes.
    for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at + 1)) open = !open;
    if (open) continue;
    if (!text.endsWith('\r')) throw new CsvError(number, 'the row does not end with CRLF');
    const row = begun.join('\n').slice(0, -1);
    begun = [];
    length = 0;
    const cells = row.includes('"') ? quotedCells(row, line) : row.split(',');
    if (width === 0) width = cells.length;
    if (cells.length !== width) throw new CsvError(line, `the row has ${cells.length} cells, the header has ${width}`);
    yield { line, cells };
  }
  if (open) throw new CsvError(number + 1 - begun.length, 'a quoted cell has no end');
}

/** @param {string} row @param {number} line @returns {string[]} */
function quotedCells(row, line) {
  const cells = [];
  const cell = /(?:"([^"]*(?:""[^"]*)*)"|([^",\r\n]*))(,|$)/y;
  for (let comma = ','; comma === ','; ) {
    const match = cell.exec(row);
    if (!match) throw new CsvError(line, 'a quote stands where none may stand');
    cells.push(match[1] === undefined ? (match[2] ?? '') : match[1].replaceAll('""', '"'));
    comma = match[3] ?? '';
  }
  return cells;
}
