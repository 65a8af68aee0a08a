import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readFileOf } from '../../../../test/support/read-files';
import { type CsvRow, readCsv } from './csv';
import type { SourceRow } from './entries';
import { readPostingsCsv } from './postings-csv';

const { directory, file, ...onDisk } = readFileOf('rows.csv');

const columns = { required: ['a', 'b'], optional: ['c'] };

const read = (content: string | Buffer, wanted = columns): Promise<CsvRow[]> => onDisk.read((path) => readCsv(path, wanted), content);
const refusal = (content: string | Buffer): Promise<string> => onDisk.refusal((path) => readCsv(path, columns), content);

describe('readCsv', () => {
  it.each([
    [
      'cells and their lines',
      'a,b,c\n1,2,3\n4,5,6\n',
      [
        { at: 2, cells: ['1', '2', '3'] },
        { at: 3, cells: ['4', '5', '6'] },
      ],
    ],
    ['columns in another order', 'c,b,a\n3,2,1\n', [{ at: 2, cells: ['1', '2', '3'] }]],
    ['a file without an optional column', 'a,b\n1,2\n', [{ at: 2, cells: ['1', '2', ''] }]],
    ['no line end at the end', 'a,b\n1,2', [{ at: 2, cells: ['1', '2', ''] }]],
    [
      'CRLF',
      'a,b\r\n1,2\r\n3,4\r\n',
      [
        { at: 2, cells: ['1', '2', ''] },
        { at: 3, cells: ['3', '4', ''] },
      ],
    ],
    [
      'LF and CRLF in one file',
      'a,b\n1,2\r\n3,4\n',
      [
        { at: 2, cells: ['1', '2', ''] },
        { at: 3, cells: ['3', '4', ''] },
      ],
    ],
    ['a byte order mark', '\ufeffa,b\n1,2\n', [{ at: 2, cells: ['1', '2', ''] }]],
    ['quoted commas and quotes', 'a,b\n"x, ""y""",2\n', [{ at: 2, cells: ['x, "y"', '2', ''] }]],
    ['quoted header', '"a","b"\n1,2\n', [{ at: 2, cells: ['1', '2', ''] }]],
    ['text that is not ASCII', 'a,b\nŌsaka Denki K.K.,Ærøskøbing 🧾\n', [{ at: 2, cells: ['Ōsaka Denki K.K.', 'Ærøskøbing 🧾', ''] }]],
    ['blanks, as they are', 'a,b\n x , \n', [{ at: 2, cells: [' x ', ' ', ''] }]],
    [
      'line ends inside quotes',
      'a,b\n"x\ny",2\n3,4\n',
      [
        { at: 2, cells: ['x\ny', '2', ''] },
        { at: 4, cells: ['3', '4', ''] },
      ],
    ],
    [
      'CRLF inside quotes',
      'a,b\r\n"x\r\ny",2\r\n3,4\r\n',
      [
        { at: 2, cells: ['x\r\ny', '2', ''] },
        { at: 4, cells: ['3', '4', ''] },
      ],
    ],
    [
      'empty lines, which are passed over and counted',
      '\na,b\n\n1,2\n\n\n3,4\n\n',
      [
        { at: 4, cells: ['1', '2', ''] },
        { at: 7, cells: ['3', '4', ''] },
      ],
    ],
    ['empty cells', 'a,b\n,\n', [{ at: 2, cells: ['', '', ''] }]],
    ['a header alone', 'a,b\n', []],
  ])('reads %s', async (_what, content, rows) => {
    expect(await read(content)).toEqual(rows);
  });

  it.each([
    ['too few', 'a,b\n1\n3,4\n', 'the row has 1 cell, the header 2'],
    ['too many', 'a,b\n1,2,3\n3,4\n', 'the row has 3 cells, the header 2'],
  ])('says of a row that it has %s cells, and goes on', async (_what, content, problem) => {
    expect(await read(content)).toMatchObject([
      { at: 2, problem },
      { at: 3, cells: ['3', '4', ''] },
    ]);
  });

  it.each([
    [
      'an empty file',
      '',
      'malformed: FILE:1: the file is empty; it begins with a header that names the columns a, b and, if there are any, c',
    ],
    [
      'a missing column',
      'a,c\n',
      'malformed: FILE:1: the header lacks b; the file begins with a header that names the columns a, b and, if there are any, c',
    ],
    [
      'an unknown column',
      '\na,b,x\n',
      'malformed: FILE:2: the header names "x", which means nothing here; the file begins with a header that names the columns a, b and, if there are any, c',
    ],
    [
      'a column twice',
      'a,b,a\n',
      'malformed: FILE:1: the header names a twice; the file begins with a header that names the columns a, b and, if there are any, c',
    ],
    [
      'semicolons',
      'a;b\n1;2\n',
      'malformed: FILE:1: the header lacks a, b and names "a;b", which means nothing here; the file begins with a header that names the columns a, b and, if there are any, c; cells are separated by commas',
    ],
    ['a quote that is not closed', 'a,b\n1,2\n"3,4\n5,6\n', 'malformed: FILE:3: a quote is not closed in the row that begins here'],
    [
      'a quote inside a cell',
      'a,b\n"1\n\n1",2\n\n3"x",4\n',
      'malformed: FILE:6: a quote stands inside a cell that does not begin with one; quote the whole cell and double the quotes in it',
    ],
    [
      'text after a closing quote',
      'a,b\n1,2\n"3"x,4\n',
      'malformed: FILE:3: a quoted cell goes on after its closing quote; double the quotes in it',
    ],
    [
      'Latin-1',
      Buffer.from('a,b\n1,2\nM\xfcller,4\n', 'latin1'),
      'text_invalid: FILE:3: bytes that are not UTF-8; convert the file first, as with iconv',
    ],
    [
      'a character cut off at the end',
      Buffer.from([...Buffer.from('a,b\n1,2\n3,'), 0xc3]),
      'text_invalid: FILE:3: bytes that are not UTF-8; convert the file first, as with iconv',
    ],
  ])('refuses %s', async (_what, content, says) => {
    expect(await refusal(content)).toBe(says);
  });

  it('refuses a row that a lost quote has made endless, without reading the whole file into memory', async () => {
    expect(await refusal(`a,b\n1,2\n"3,${'4\n'.repeat(600_000)}`)).toBe(
      'malformed: FILE:3: the row that begins here has more than 1048576 bytes; is a quote not closed?',
    );
  });

  it('refuses a file that is not there', async () => {
    await expect(readCsv(join(directory, 'none.csv'), columns).next()).rejects.toMatchObject({
      code: 'malformed',
      message: /there is no file/,
    });
    await expect(readCsv(directory, columns).next()).rejects.toMatchObject({ code: 'malformed', message: /cannot be read: EISDIR/ });
  });

  it('keeps characters whole and lines counted wherever the reading of the file is cut', async () => {
    // 64 KiB at a time: with rows of 7 bytes of 3-byte characters every way to cut one occurs.
    const wide = Array.from({ length: 60_000 }, (_, index) => (index % 11 === 0 ? '"€\n€",2' : '€€,2'));
    const rows = await read(`a,b\n${wide.join('\n')}\n`);
    expect(rows).toHaveLength(60_000);
    expect(new Set(rows.map(({ cells }) => cells[0]))).toEqual(new Set(['€\n€', '€€']));
    // Row n (from 1) begins after the header, the rows before, and the line ends inside those.
    for (const index of [0, 1, 11, 12, 59_999]) expect(rows[index]?.at).toBe(2 + index + Math.ceil(index / 11));
  });

  it('lets go of the file when nobody wants the rest', async () => {
    writeFileSync(file, `a,b\n${'1,2\n'.repeat(100_000)}`);
    for await (const batch of readCsv(file, columns)) {
      expect(batch.length).toBeGreaterThan(0);
      break;
    }
  });
});

describe('readPostingsCsv', () => {
  const rowsOf = (...lines: string[]): Promise<SourceRow[]> =>
    onDisk.read(readPostingsCsv, ['txn,date,description,line,account,commodity,quantity,kind', ...lines, ''].join('\n'));

  it('reads rows as they stand, and keeps a kind that is no posting as the origin', async () => {
    expect(await rowsOf('7,2024-02-29,"Über, ""uns""",2,Assets:Bank,EUR,-1.50,posting', '7,x,,1,,,1e3,conversion', '7,x,,3,,,,')).toEqual([
      {
        at: 2,
        txn: '7',
        date: '2024-02-29',
        description: 'Über, "uns"',
        line: 2,
        account: 'Assets:Bank',
        currency: 'EUR',
        quantity: '-1.50',
      },
      { at: 3, txn: '7', date: 'x', description: '', line: 1, account: '', currency: '', quantity: '1e3', origin: 'conversion' },
      { at: 4, txn: '7', date: 'x', description: '', line: 3, account: '', currency: '', quantity: '' },
    ]);
  });

  it.each(['0', '-1', '1.5', '01', '', 'x', '1234567890'])('says of line "%s" that it is none', async (line) => {
    expect(await rowsOf(`7,2024-02-29,,${line},A,EUR,1,posting`)).toEqual([
      { at: 2, txn: '7', problem: `line is "${line}", not a whole number from 1 on` },
    ]);
  });
});
