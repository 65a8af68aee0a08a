/** The import of postings against a real server: what it refuses and where, what it leaves behind, how it goes on. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from 'pg';
import type { JournalEntryPosted } from '#domain';
import {
  type Command,
  type ImportObserver,
  type ImportOptions,
  type ImportRefusal,
  type ImportSummary,
  importFile,
  importFormats,
  importKey,
  readAccountTypes,
  type Service,
} from '#ledger';
import { connect } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';
import { openTestService, type TestService } from '../support/services';

let database: TestDatabase;
let opened: TestService;
let service: Service;
let admin: Client;
let directory: string;

beforeAll(async () => {
  database = await testDatabase();
  opened = await openTestService(database.appUrl);
  service = opened.service;
  admin = await connect(database.adminUrl);
  directory = mkdtempSync(join(tmpdir(), 'book-keeper-import-'));
});

afterAll(async () => {
  await admin?.end();
  await opened?.close();
  await database?.drop();
  rmSync(directory, { recursive: true, force: true });
});

// --- The grammar of the specs below ---

let books = 0;
const newBook = (): string => `book-${++books}`;
const header = 'txn,date,description,line,account,commodity,quantity,kind';
/** Two lines of an entry, between Assets:A and Equity:E. */
const entry = (
  txn: string,
  quantity = '10.00',
  { date = '2024-03-01', text = 'x', currency = 'EUR', account = 'Assets:A' } = {},
): string[] => [
  `${txn},${date},${text},1,${account},${currency},${quantity},posting`,
  `${txn},${date},${text},2,Equity:E,${currency},${quantity.startsWith('-') ? quantity.slice(1) : `-${quantity}`},posting`,
];

function fileOf(name: string, ...rows: (string | string[])[]): string {
  const path = join(directory, name);
  writeFileSync(path, [header, ...rows.flat(), ''].join('\n'));
  return path;
}

interface Outcome extends ImportSummary {
  readonly refusals: readonly ImportRefusal[];
}

async function run(
  book: string,
  file: string,
  options: Partial<ImportOptions> = {},
  observer: ImportObserver = {},
  by = service,
): Promise<Outcome> {
  const refusals: ImportRefusal[] = [];
  const summary = await importFile(
    by,
    {
      book,
      file,
      format: importFormats['postings-csv'] as ImportOptions['format'],
      source: 'spec',
      create: { name: 'Import', baseCurrency: 'EUR', fiscalYearStart: '01-01' },
      zeroLines: 'refuse',
      onError: 'stop',
      dryRun: false,
      userId: service.bootstrapKey.id,
      ...options,
    },
    { ...observer, refused: (refusal) => refusals.push(refusal) },
  );
  return { ...summary, refusals };
}

const places = ({ refusals }: Outcome): string[] => refusals.map(({ line, txn, code, reason }) => `${line} ${txn} ${code}: ${reason}`);

async function posted(book: string): Promise<JournalEntryPosted[]> {
  const facts = await service.store.readFacts(book, 0, Number.MAX_SAFE_INTEGER);
  return facts.filter(({ eventType }) => eventType === 'JournalEntryPosted').map(({ current }) => current as unknown as JournalEntryPosted);
}

const txns = async (book: string): Promise<(string | undefined)[]> => (await posted(book)).map(({ source }) => source?.id);

async function command(book: string, wanted: Command): Promise<void> {
  const { status, body } = await service.ledger.execute(book, wanted, {
    key: `spec ${Math.random()}`,
    userId: service.bootstrapKey.id,
    source: 'job',
  });
  if (status >= 400) throw new Error(body);
}

/** Rows that the database holds of a book. */
async function rowsOf(book: string): Promise<number> {
  const { rows } = await admin.query<{ count: number }>(
    `SELECT (SELECT count(*) FROM log.events WHERE book_id = $1) + (SELECT count(*) FROM log.receipts WHERE book_id = $1)
          + (SELECT count(*) FROM log.heads WHERE book_id = $1) + (SELECT count(*) FROM log.books WHERE book_id = $1)
          + (SELECT count(*) FROM log.receipts WHERE book_id = '~system' AND key LIKE '%' || $1 || '%') AS count`,
    [book],
  );
  return Number(rows[0]?.count);
}

// --- What is stored ---

describe('what an entry becomes', () => {
  it('keeps date, text, source, side and amount; opens accounts by first use; declares what ISO 4217 does not know', async () => {
    const book = newBook();
    const file = fileOf(
      'kinds.csv',
      'a 1,2024-02-29,"Über ""uns"", Ōsaka",1,Assets:Bank,EUR,9007201274233417.93,posting',
      'a 1,2024-02-29,"Über ""uns"", Ōsaka",3,EQUITY:Open,EUR,-9007201274233417.90,conversion',
      'a 1,2024-02-29,own text,2,revenue:Interest,EUR,-0.03,posting',
      'b,1999-12-31,,1,Assets:Wallet,BTC,0.00000001,posting',
      'b,1999-12-31,,2,Liabilities:L,BTC,-0.00000001,posting',
      'c,2024-03-01,fine,1,Expenses:E,BHD,1.234,posting',
      'c,2024-03-01,fine,2,Income:I,BHD,-1.234,posting',
      'd,2024-03-01,finer than ISO,1,Expenses:E,JPY,1.5,posting',
      'd,2024-03-01,finer than ISO,2,Assets:Bank,JPY,-1.50,posting',
    );
    const outcome = await run(book, file, { source: 'Shop: 1' });
    expect(places(outcome)).toEqual([]);
    expect(outcome).toMatchObject({
      bookOpened: true,
      accountsOpened: 7,
      currenciesDeclared: [
        { code: 'BTC', scale: 8 },
        { code: 'JPY', scale: 1 },
      ],
      posted: 4,
    });
    expect(
      (await posted(book)).map(({ effectiveDate, description, entryMethod, source, lines }) => ({
        effectiveDate,
        description,
        entryMethod,
        source,
        lines: lines.map(({ code, side, amount, currency, description: text, origin }) => [code, side, amount, currency, text, origin]),
      })),
    ).toEqual([
      {
        effectiveDate: '2024-02-29',
        description: 'Über "uns", Ōsaka',
        entryMethod: 'import',
        source: { system: 'Shop: 1', id: 'a 1' },
        lines: [
          ['Assets:Bank', 'debit', '9007201274233417.93', 'EUR', undefined, undefined],
          ['revenue:Interest', 'credit', '0.03', 'EUR', 'own text', undefined],
          ['EQUITY:Open', 'credit', '9007201274233417.90', 'EUR', undefined, 'conversion'],
        ],
      },
      {
        effectiveDate: '1999-12-31',
        description: '(no description)',
        entryMethod: 'import',
        source: { system: 'Shop: 1', id: 'b' },
        lines: [
          ['Assets:Wallet', 'debit', '0.00000001', 'BTC', undefined, undefined],
          ['Liabilities:L', 'credit', '0.00000001', 'BTC', undefined, undefined],
        ],
      },
      expect.objectContaining({ description: 'fine' }),
      expect.objectContaining({ description: 'finer than ISO' }),
    ]);
    const { accounts } = await service.queries.accounts(book);
    expect(accounts.map(({ code, name, type }) => [code, name, type])).toEqual([
      ['Assets:Bank', 'Bank', 'asset'],
      ['Assets:Wallet', 'Wallet', 'asset'],
      ['EQUITY:Open', 'Open', 'equity'],
      ['Expenses:E', 'E', 'expense'],
      ['Income:I', 'I', 'income'],
      ['Liabilities:L', 'L', 'liability'],
      ['revenue:Interest', 'Interest', 'income'],
    ]);
    const [event] = await service.store.readAll(book, 0, 1);
    expect(event).toMatchObject({ metadata: { userId: service.bootstrapKey.id, source: 'CLI' } });
  });

  it('does not depend on the order of rows: shuffled rows are the same entries', async () => {
    const book = newBook();
    const rows = Array.from({ length: 40 }, (_, index) => entry(String(index), `${index + 1}.00`)).flat();
    expect(await run(book, fileOf('rows.csv', rows))).toMatchObject({ posted: 40 });
    const mixed = [...rows].sort((one, other) => (one.length === other.length ? (one < other ? 1 : -1) : one.length - other.length));
    expect(await run(book, fileOf('mixed.csv', mixed))).toMatchObject({ posted: 0, alreadyThere: 40, refused: 0 });
  });

  it('takes the types from a file before those of the codes, and the default last', async () => {
    const book = newBook();
    const types = join(directory, 'types.csv');
    writeFileSync(types, 'account,type\nAssets:A,memorandum\n1000,revenue\n');
    const file = fileOf(
      'typed.csv',
      entry('1', '1', { account: 'Assets:A' }),
      entry('2', '1', { account: '1000' }),
      entry('3', '1', { account: '2000' }),
    );
    await run(book, file, { accountTypes: await readAccountTypes(types), defaultType: 'expense' });
    const { accounts } = await service.queries.accounts(book);
    expect(accounts.map(({ code, type }) => [code, type])).toEqual([
      ['1000', 'income'],
      ['2000', 'expense'],
      ['Assets:A', 'memorandum'],
      ['Equity:E', 'equity'],
    ]);
  });

  it('needs no type of an account that the book has, and leaves that account as it is', async () => {
    const book = newBook();
    await run(book, fileOf('first.csv', entry('1', '1', { account: '1000' })), { defaultType: 'liability' });
    expect(await run(book, fileOf('second.csv', entry('2', '1', { account: '1000' })))).toMatchObject({ posted: 1, accountsOpened: 0 });
    expect(await service.queries.account(book, '1000')).toMatchObject({ type: 'liability' });
  });

  it.each([
    ['account,type\n1000,assets\n', /types\.csv:2: type is "assets", not one of asset, liability/],
    ['account,type\n1000,asset\n,asset\n', /types\.csv:3: account is empty/],
    ['account,type\n1000,asset\n1000,equity\n', /types\.csv:3: account 1000 has type asset in a row before/],
    ['account;type\n', /types\.csv:1: the header lacks account, type/],
  ])('refuses a file of account types: %j', async (content, says) => {
    const file = join(directory, 'types.csv');
    writeFileSync(file, content);
    await expect(readAccountTypes(file)).rejects.toMatchObject({ code: 'malformed', message: says });
  });
});

// --- What is refused ---

describe('faulty files', () => {
  const faults: readonly (readonly [what: string, rows: string[], says: string])[] = [
    [
      'an unbalanced entry',
      ['1,2024-01-01,x,1,Assets:A,EUR,100,p', '1,2024-01-01,x,2,Equity:E,EUR,-90.00,p'],
      '2 1 unbalanced: debits 100.00, credits 90.00, difference 10.00 EUR',
    ],
    [
      'one currency of two',
      [
        ...entry('1'),
        '2,2024-01-01,x,1,Assets:A,BTC,0.00000002,p',
        '2,2024-01-01,x,2,Equity:E,BTC,-0.00000001,p',
        '2,2024-01-01,x,3,Assets:A,EUR,1,p',
        '2,2024-01-01,x,4,Equity:E,EUR,-1,p',
      ],
      '4 2 unbalanced: debits 0.00000002, credits 0.00000001, difference 0.00000001 BTC',
    ],
    ['a single line', ['1,2024-01-01,x,1,Assets:A,EUR,1,p'], '2 1 too_few_lines: the entry has one line; two are the least'],
    [
      'an account without a type',
      entry('1', '1', { account: 'Foo:A' }),
      '2 1 account_unknown: account Foo:A is not in the book, and nothing tells its type: name it in --account-types FILE, or give a --default-type',
    ],
    [
      'a number with separators',
      ['1,2024-03-01,x,1,Assets:A,EUR,"1,000",p', '1,2024-03-01,x,2,Equity:E,EUR,"-1,000",p'],
      '2 1 amount_format: quantity is "1,000", not a plain decimal like 1234.50 or -1234.50 (digits, at most one point, no blank, plus sign, exponent, thousands separator or leading zero)',
    ],
    ...['1e3', '+1', '.5', '1.', '01', '', ' 1', '--1', '0x1', 'NaN', '1 000', '١'].map((quantity): [string, string[], string] => [
      `quantity "${quantity}"`,
      [`1,2024-01-01,x,1,Assets:A,EUR,${quantity},p`, '1,2024-01-01,x,2,Equity:E,EUR,-1,p'],
      `2 1 amount_format: quantity is "${quantity}", not a plain decimal like 1234.50 or -1234.50 (digits, at most one point, no blank, plus sign, exponent, thousands separator or leading zero)`,
    ]),
    [
      'more decimals than any currency has',
      entry('1', '0.0000000000000000001', { currency: 'X' }),
      '2 1 scale_exceeded: quantity 0.0000000000000000001 X has 19 decimals; 18 are the most that any currency has',
    ],
    ...['2024-02-30', '2023-02-29', '1899-12-31', '2200-01-01', '2024-1-1', '01.02.2024', '', '2024-01-01T00:00'].map(
      (date): [string, string[], string] => [
        `date "${date}"`,
        entry('1', '1', { date }),
        `2 1 date_invalid: date is "${date}", not a date YYYY-MM-DD that exists, from 1900-01-01 to 2199-12-31`,
      ],
    ),
    [
      'two dates in one entry',
      ['1,2024-01-01,x,1,Assets:A,EUR,1,p', '1,2024-01-02,x,2,Equity:E,EUR,-1,p'],
      '3 1 malformed: date is "2024-01-02", but "2024-01-01" in line 2; an entry has one date',
    ],
    [
      'a line twice',
      ['1,2024-01-01,x,1,Assets:A,EUR,1,p', '1,2024-01-01,x,1,Equity:E,EUR,-1,p'],
      '3 1 malformed: line 1 of the entry stands in line 2 already',
    ],
    [
      'a line of quantity zero',
      [...entry('1'), '1,2024-03-01,x,3,Assets:A,EUR,0.00,p'],
      '4 1 amount_range: quantity is 0, which no line can have; --zero-lines drop leaves such lines out',
    ],
    [
      'a currency that is none',
      entry('1', '1', { currency: 'E R' }),
      '2 1 text_invalid: commodity is "E R", not 1 to 24 of A-Z a-z 0-9 . _ -, beginning with a letter or digit',
    ],
    [
      'an account with a blank at its end',
      entry('1', '1', { account: 'Assets:A ' }),
      '2 1 text_invalid: account "Assets:A " begins or ends with a blank',
    ],
    [
      'an account with U+0000',
      entry('1', '1', { account: 'Foo\u0000' }),
      '2 1 text_invalid: account "Foo\\u0000" holds a control character',
    ],
    ['an account without a code', entry('1', '1', { account: '' }), '2 1 malformed: account "" is empty'],
    [
      'a description with a control character',
      entry('1', '1', { text: 'a\u0000b' }),
      '2 1 text_invalid: description holds a control character',
    ],
    [
      'an account with a character that cannot be seen',
      entry('1', '1', { account: 'Assets:A\u200b' }),
      '2 1 text_invalid: account "Assets:A\u200b" holds U+200B, which cannot be seen or told from a space',
    ],
    [
      'a description in another order than it is stored in',
      entry('1', '1', { text: 'a\u202eb' }),
      '2 1 text_invalid: description holds U+202E, which puts text in another order',
    ],
    ['a txn with a character that cannot be seen', entry('1\u200b', '1'), '2 1\u200b text_invalid: txn holds U+200B, which cannot be seen'],
    ['a txn with a blank at its end', entry('1 '), '2 1  text_invalid: txn begins or ends with a blank'],
    [
      'a kind with a blank at its end',
      ['1,2024-01-01,x,1,Assets:A,EUR,1,fee ', '1,2024-01-01,x,2,Equity:E,EUR,-1,p'],
      '2 1 text_invalid: kind begins or ends with a blank',
    ],
    [
      'a description of 1,001 characters',
      entry('1', '1', { text: 'ä'.repeat(1_001) }),
      '2 1 too_large: description has 1001 characters; 1000 are allowed',
    ],
    ['a txn of 201 characters', entry('t'.repeat(201)), `2 ${'t'.repeat(201)} too_large: txn has 201 characters; 200 are allowed`],
    [
      'a row without txn',
      [...entry('1'), ',2024-01-01,x,1,Assets:A,EUR,1,p'],
      '4  malformed: txn is empty; it tells which entry the row belongs to',
    ],
    [
      'a row that is too short',
      ['1,2024-01-01,x,1,Assets:A', '1,2024-01-01,x,2,Equity:E,EUR,-1,p'],
      '2 1 malformed: the row has 5 cells, the header 8',
    ],
  ];

  it.each(faults)('%s is refused with its line, and nothing is written', async (_what, rows, says) => {
    const book = newBook();
    const outcome = await run(book, fileOf('faulty.csv', entry('0'), rows));
    // The rows stand below a good entry of two.
    const [line = '', ...rest] = says.split(' ');
    const shifted = `${Number(line) + 2} ${rest.join(' ')}`.replace(/in line (\d+)/, (_text, at: string) => `in line ${Number(at) + 2}`);
    expect(places(outcome)).toEqual([shifted]);
    expect(outcome).toMatchObject({ posted: 0, accountsOpened: 0, bookOpened: false, ended: 'refusal' });
    expect(await rowsOf(book)).toBe(0);
  });

  it('names every fault of a file, whatever their order, and goes on without them when told to', async () => {
    const book = newBook();
    const rows = [entry('1'), entry('2', '1', { date: 'x' }), entry('3'), entry('4', 'x'), entry('5')].flat();
    // The last row of entry 3 comes last, so where entries end is known after the first reading only.
    const [last] = rows.splice(5, 1);
    const file = fileOf('several.csv', rows, last as string);
    const stopped = await run(book, file);
    expect(stopped.refusals.map(({ line, txn }) => [line, txn])).toEqual([
      [4, '2'],
      [7, '4'],
    ]);
    expect(stopped.ended).toBe('refusal');
    const outcome = await run(book, file, { onError: 'continue' });
    expect(outcome).toMatchObject({ posted: 3, refused: 2, ended: undefined, firstRefusal: { line: 4 } });
    expect(await txns(book)).toEqual(['1', '5', '3']);
  });

  it('opens no account and declares no currency that only faulty entries use', async () => {
    const book = newBook();
    const file = fileOf('unused.csv', entry('1'), '2,2024-01-01,x,1,Assets:Unused,XYZ,1,p');
    expect(await run(book, file, { onError: 'continue' })).toMatchObject({
      posted: 1,
      refused: 1,
      accountsOpened: 2,
      currenciesDeclared: [],
    });
  });

  it('drops lines of quantity zero when told to, and refuses an entry that has no two others', async () => {
    const book = newBook();
    const file = fileOf(
      'zeros.csv',
      entry('1'),
      '1,2024-03-01,x,3,Assets:Unused,EUR,0.00,p',
      '2,2024-03-01,x,1,Assets:A,EUR,0,p',
      '2,2024-03-01,x,2,Assets:A,EUR,-0,p',
    );
    const outcome = await run(book, file, { zeroLines: 'drop', onError: 'continue' });
    expect(places(outcome)).toEqual(['5 2 too_few_lines: the entry has no line, after 2 of quantity zero were dropped; two are the least']);
    expect(outcome).toMatchObject({ posted: 1, droppedLines: 1, accountsOpened: 2 });
  });

  it.each([
    ['an unknown book', { book: 'nowhere', create: undefined }, 'book_unknown'],
    ['a book id of another form', { book: 'Nowhere!' }, 'malformed'],
    ['a source without a name', { source: ' ' }, 'malformed'],
    ['a base currency that is none', { create: { name: 'x', baseCurrency: '', fiscalYearStart: '01-01' } }, 'malformed'],
    ['a fiscal year that begins on no day', { create: { name: 'x', baseCurrency: 'EUR', fiscalYearStart: '02-29' } }, 'malformed'],
    ['a time zone that is none', { create: { name: 'x', baseCurrency: 'EUR', fiscalYearStart: '01-01', timeZone: 'Mars' } }, 'malformed'],
  ])('refuses %s', async (_what, options, code) => {
    const book = newBook();
    await expect(run(book, fileOf('good.csv', entry('1')), options)).rejects.toMatchObject({ code });
    expect((await service.store.head(book)).position).toBe(0);
  });

  it('writes nothing in a dry run, and tells what it would open and declare', async () => {
    const book = newBook();
    const outcome = await run(book, fileOf('dry.csv', entry('1', '0.5', { currency: 'XYZ' })), { dryRun: true });
    expect(outcome).toMatchObject({
      bookOpened: true,
      accountsOpened: 2,
      currenciesDeclared: [{ code: 'XYZ', scale: 1 }],
      posted: 0,
      refused: 0,
    });
    expect(await rowsOf(book)).toBe(0);
  });
});

// --- Once, and only once ---

describe('an import that is repeated', () => {
  it('posts what is new in a file that has grown', async () => {
    const book = newBook();
    await run(book, fileOf('grown.csv', entry('1'), entry('2')));
    expect(await run(book, fileOf('grown.csv', entry('1'), entry('3'), entry('2')))).toMatchObject({ posted: 1, alreadyThere: 2 });
    expect(await txns(book)).toEqual(['1', '2', '3']);
  });

  it('names an entry that has changed, and what has changed, instead of posting it again', async () => {
    const book = newBook();
    const good = [entry('1'), entry('2'), entry('3')];
    await run(book, fileOf('edited.csv', ...good));
    const edited = fileOf('edited.csv', entry('1'), entry('2', '10.01'), entry('3', '10.000', { text: 'y' }));
    const outcome = await run(book, edited, { onError: 'continue' });
    // What differs is looked up for several at a time.
    expect(places(outcome).sort()).toEqual([
      '4 2 idempotency_key_reused: entry 2 of source spec was imported with other content; what differs: lines.0.amount, lines.1.amount. Posted entries are not edited: correct or reverse it in the book; or, if this is another entry, import the file under another source name',
      expect.stringMatching(/^6 3 idempotency_key_reused: .* what differs: description\. /),
    ]);
    expect(outcome).toMatchObject({ posted: 0, alreadyThere: 1, refused: 2, firstRefusal: { code: 'idempotency_key_reused' } });
    expect(await txns(book)).toEqual(['1', '2', '3']);
    // The line of the file that differs is named, not only the entry.
    const second = fileOf('edited.csv', entry('1'), [
      entry('2')[0] as string,
      ...entry('2', '10.00', { account: 'Equity:E' }).slice(0, 0),
      '2,2024-03-01,x,2,Equity:F,EUR,-10.00,posting',
    ]);
    expect((await run(book, second, { onError: 'continue' })).refusals.map(({ line }) => line)).toEqual([5]);
  });

  it('knows what an earlier release imported: what is hashed of an entry stays the same', async () => {
    const book = newBook();
    await run(book, fileOf('hashed.csv', entry('1')));
    const line = (account: string, side: string): object => ({ account, amount: '10', currency: 'EUR', side });
    const hashed = {
      description: 'x',
      effectiveDate: '2024-03-01',
      entryMethod: 'import',
      lines: [line('Assets:A', 'debit'), line('Equity:E', 'credit')],
      source: { id: '1', system: 'spec' },
      type: 'PostEntry',
    };
    const [receipt] = await service.store.receipts(book, [{ key: 'import:spec:1', item: 0 }]);
    expect(receipt?.fingerprint).toBe(createHash('sha256').update(JSON.stringify(hashed)).digest('hex'));
  });

  it('is not disturbed by amounts that are written in another way', async () => {
    const book = newBook();
    await run(book, fileOf('ways.csv', entry('1', '10.00')));
    expect(await run(book, fileOf('ways.csv', entry('1', '10')))).toMatchObject({ posted: 0, alreadyThere: 1, refused: 0 });
  });

  it('tells sources apart', async () => {
    const book = newBook();
    const file = fileOf('sources.csv', entry('1'));
    await run(book, file, { source: 'a' });
    expect(await run(book, file, { source: 'b' })).toMatchObject({ posted: 1, alreadyThere: 0 });
  });

  it('posts an entry that the book refused once the book has been mended, and then never again', async () => {
    const book = newBook();
    const file = fileOf('frozen.csv', entry('1'), entry('2', '1', { account: 'Assets:B' }), entry('3'));
    await run(book, fileOf('before.csv', entry('0'), entry('00', '1', { account: 'Assets:B' })));
    await command(book, { type: 'FreezeAccount', account: 'Assets:B' });
    const frozen = await run(book, file, { onError: 'continue' });
    expect(places(frozen)).toEqual(['4 2 account_frozen: line 1: account Assets:B is frozen']);
    expect(frozen).toMatchObject({ posted: 2, refused: 1 });
    // Still frozen: refused anew, not from memory.
    expect(await run(book, file, { onError: 'continue' })).toMatchObject({ posted: 0, alreadyThere: 2, refused: 1 });
    await command(book, { type: 'UnfreezeAccount', account: 'Assets:B' });
    expect(await run(book, file)).toMatchObject({ posted: 1, alreadyThere: 2, refused: 0 });
    expect(await run(book, file)).toMatchObject({ posted: 0, alreadyThere: 3, refused: 0 });
    expect((await txns(book)).filter((txn) => txn === '2')).toHaveLength(1);
  });

  it('posts an entry that the book refused once the file has been mended', async () => {
    const book = newBook();
    await run(book, fileOf('before.csv', entry('0'), entry('00', '1', { account: 'Assets:B' })));
    await command(book, { type: 'FreezeAccount', account: 'Assets:B' });
    expect(await run(book, fileOf('mended.csv', entry('1', '1', { account: 'Assets:B' })))).toMatchObject({ refused: 1, ended: 'refusal' });
    const mended = fileOf('mended.csv', entry('1', '1', { account: 'Assets:C' }));
    expect(await run(book, mended)).toMatchObject({ posted: 1, refused: 0 });
    expect(await run(book, mended)).toMatchObject({ posted: 0, alreadyThere: 1, refused: 0 });
    // Posted now: changing it again collides.
    expect(await run(book, fileOf('mended.csv', entry('1', '2', { account: 'Assets:C' })))).toMatchObject({
      posted: 0,
      refused: 1,
      firstRefusal: { code: 'idempotency_key_reused' },
    });
  });

  it('refuses more decimals than a currency has in the book by now, with the line', async () => {
    const book = newBook();
    await run(book, fileOf('scale.csv', entry('1', '0.5', { currency: 'XYZ' })));
    const outcome = await run(book, fileOf('scale.csv', entry('1', '0.5', { currency: 'XYZ' }), entry('2', '0.25', { currency: 'XYZ' })));
    expect(places(outcome)).toEqual(['4 2 scale_exceeded: quantity 0.25 XYZ has 2 decimals; XYZ has 1 in this book']);
  });

  it('two at once post everything once', async () => {
    const book = newBook();
    const file = fileOf('twice.csv', ...Array.from({ length: 500 }, (_, index) => entry(String(index))));
    const other = await openTestService(database.appUrl);
    try {
      const both = await Promise.all([run(book, file), run(book, file, {}, {}, other.service)]);
      expect(both.map(({ posted: fresh, alreadyThere, refused }) => ({ all: fresh + alreadyThere, refused }))).toEqual([
        { all: 500, refused: 0 },
        { all: 500, refused: 0 },
      ]);
      expect((await txns(book)).sort()).toEqual(Array.from({ length: 500 }, (_, index) => String(index)).sort());
    } finally {
      await other.close();
    }
  });
});

describe('an import that is interrupted', () => {
  const many = (count: number): string[] => Array.from({ length: count }, (_, index) => entry(String(index), `${index + 1}`)).flat();

  it('stops between entries when told to, and goes on the next time', async () => {
    const book = newBook();
    const file = fileOf('long.csv', many(5_000));
    const stop = new AbortController();
    const stopped = await run(book, file, { signal: stop.signal }, { progress: ({ done }) => done > 1_000 && stop.abort() });
    expect(stopped).toMatchObject({ ended: 'signal', alreadyThere: 0, refused: 0 });
    expect(stopped.posted).toBeGreaterThan(1_000);
    expect(stopped.posted).toBeLessThan(5_000);
    expect(await txns(book)).toHaveLength(stopped.posted);
    expect(await run(book, file)).toMatchObject({ posted: 5_000 - stopped.posted, alreadyThere: stopped.posted, ended: undefined });
    expect(await txns(book)).toEqual(Array.from({ length: 5_000 }, (_, index) => String(index)));
  });

  it('waits for a database that drops its connections, posts everything once and in order', async () => {
    const book = newBook();
    const cuts: Promise<unknown>[] = [];
    const cut = (): Promise<unknown> =>
      admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`);
    const progress = ({ done }: { done: number }): void => {
      if (done >= 500 * (cuts.length + 1) && done < 2_500) cuts.push(cut());
    };
    const outcome = await run(book, fileOf('cut.csv', many(3_000)), {}, { progress });
    await Promise.all(cuts);
    expect(cuts.length).toBeGreaterThan(2);
    expect(outcome).toMatchObject({ refused: 0, ended: undefined });
    expect(outcome.posted + outcome.alreadyThere).toBe(3_000);
    expect(await txns(book)).toEqual(Array.from({ length: 3_000 }, (_, index) => String(index)));
  });

  it('says so when the file changes between its two readings', async () => {
    const book = newBook();
    const file = fileOf('changing.csv', entry('1'), entry('2'));
    const outcome = await run(
      book,
      file,
      {},
      { surveyed: () => writeFileSync(file, readFileSync(file, 'utf8').split('\n').slice(0, 3).join('\n')) },
    );
    expect(outcome.ended).toMatchObject({
      code: 'malformed',
      message: expect.stringMatching(/changed while it was imported: it had 2 entries at first, then 1/),
    });
  });
});

describe('importKey', () => {
  it('is printable ASCII of 255 characters at most, whatever the names are', () => {
    expect(importKey('entry', 'shop', '17')).toBe('import:shop:17');
    expect(importKey('entry', 'Shop: 1', 'ä')).toBe('import:Shop%3A%201:%C3%A4');
    expect(importKey('entry', 'shop', '17', 3)).toBe('import:shop:17#3');
    expect(importKey('account', 'shop', 'A')).toBe('import-account:shop:A');
    const long = importKey('entry', 'shop', '€'.repeat(200), 2);
    expect(long).toMatch(/^import-sha256:[0-9a-f]{64}#2$/);
    expect(importKey('entry', 'shop', `${'€'.repeat(199)}a`, 2)).not.toBe(long);
  });

  it('never takes two pairs of names for one', () => {
    const names = ['a', 'b', 'a:b', ':', '', 'a:', ':b', '%3A', 'a%3Ab', '#2', 'a#2', 'sha256'];
    const keys = names.flatMap((source) => names.flatMap((id) => [1, 2].map((attempt) => importKey('entry', source, id, attempt))));
    expect(new Set(keys).size).toBe(keys.length);
  });
});
