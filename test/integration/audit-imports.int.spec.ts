/**
 * Books that move in with the files of auditors: GL_Detail of the Audit Data Standards and the French FEC, into a real server. Every
 * balance as a plain sum of the file has it, what of an entry is kept, once however often, what is refused and that nothing is
 * then written, and books that track exchange rates.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bookReducer, type JournalEntryPosted } from '#domain';
import {
  bookStreamId,
  type FormatOptions,
  type ImportOptions,
  type ImportRefusal,
  type ImportSummary,
  importFile,
  importFormat,
  readAccountTypes,
  type Service,
} from '#ledger';
import { startCommand } from '../support/cli';
import { add, type Balances, shown, units } from '../support/postings';
import { type ServiceOnDatabase, serviceOnDatabase } from '../support/services';
import { openTrackedBook } from '../support/tracked-books';

const samples = join(__dirname, '..', 'data', 'audit');
const fecFile = join(samples, '123456782FEC20251231.txt');
const adsFile = join(samples, 'GL_Detail_20250101_20251231.txt');
const chartFile = join(samples, 'Chart_Of_Accounts_20251231.txt');

let its: ServiceOnDatabase;
let service: Service;
let directory: string;

beforeAll(async () => {
  its = await serviceOnDatabase();
  service = its.service;
  directory = mkdtempSync(join(tmpdir(), 'book-keeper-audit-'));
});

afterAll(async () => {
  await its?.end();
  rmSync(directory, { recursive: true, force: true });
});

// --- The grammar of the specs below ---

let books = 0;
const newBook = (): string => `audit-${++books}`;

interface Outcome extends ImportSummary {
  readonly refusals: readonly ImportRefusal[];
}

async function run(
  format: 'ads' | 'fec',
  book: string,
  file: string,
  options: Partial<ImportOptions> = {},
  told: FormatOptions = {},
): Promise<Outcome> {
  const refusals: ImportRefusal[] = [];
  const summary = await importFile(
    service,
    {
      book,
      file,
      format: importFormat(format, told) as ImportOptions['format'],
      source: format,
      create: { name: 'Import', baseCurrency: format === 'fec' ? 'EUR' : 'USD', fiscalYearStart: '01-01' },
      zeroLines: 'refuse',
      onError: 'stop',
      dryRun: false,
      userId: service.bootstrapKey.id,
      ...options,
    },
    { refused: (refusal) => refusals.push(refusal) },
  );
  return { ...summary, refusals };
}

const places = ({ refusals }: Outcome): string[] => refusals.map(({ line, txn, code, reason }) => `${line} ${txn} ${code}: ${reason}`);

async function posted(book: string): Promise<JournalEntryPosted[]> {
  const facts = await service.store.readFacts(book, 0, Number.MAX_SAFE_INTEGER);
  return facts.filter(({ eventType }) => eventType === 'JournalEntryPosted').map(({ current }) => current as unknown as JournalEntryPosted);
}

const entryNamed = async (book: string, txn: string): Promise<JournalEntryPosted | undefined> =>
  (await posted(book)).find(({ source }) => source?.id === txn);

async function balancesOf(book: string): Promise<Balances> {
  const balances: Balances = new Map();
  let cursor: string | undefined;
  do {
    const page = await service.queries.balances(book, { limit: 1_000, cursor });
    for (const { account, currency, net } of page.balances) add(balances, account, currency, units(net));
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return balances;
}

async function expectVerified(book: string): Promise<void> {
  const { books: found } = await service.verify({ books: [book] });
  expect(found.map(({ findings }) => findings)).toEqual([[]]);
}

/** Cells of a file by the names of its columns, read as plainly as possible: no quotes, one separator, one encoding. */
function cellsOf(file: string, separator: string, encoding: string): Record<string, string>[] {
  const [header = '', ...rows] = new TextDecoder(encoding).decode(readFileSync(file)).trimEnd().split('\r\n');
  const names = header.split(separator);
  return rows.map((row) => Object.fromEntries(row.split(separator).map((cell, index) => [names[index], cell])));
}

const fecHeader =
  'JournalCode|JournalLib|EcritureNum|EcritureDate|CompteNum|CompteLib|CompAuxNum|CompAuxLib|PieceRef|PieceDate|EcritureLib|Debit|Credit|EcritureLet|DateLet|ValidDate|Montantdevise|Idevise';

interface FecLine {
  readonly journal?: string;
  readonly number?: string | number;
  readonly date?: string;
  readonly account: string;
  readonly debit?: string;
  readonly credit?: string;
  readonly foreign?: string;
  readonly currency?: string;
}

const fecRow = ({ journal = 'VE', number = 1, date = '20260115', account, debit, credit, foreign, currency }: FecLine): string =>
  [
    journal,
    '',
    number,
    date,
    account,
    '',
    '',
    '',
    'P1',
    date,
    'x',
    debit ?? '0',
    credit ?? '0',
    '',
    '',
    '',
    foreign ?? '',
    currency ?? '',
  ].join('|');

function fecOf(...lines: readonly FecLine[]): string {
  const file = join(directory, `fec-${++books}.txt`);
  writeFileSync(file, [fecHeader, ...lines.map(fecRow), ''].join('\n'));
  return file;
}

/** An entry of two lines. */
const sale = (number: string | number, amount = '120,00', more: Partial<FecLine> = {}): FecLine[] => [
  { number, account: '411000', debit: amount, ...more },
  { number, account: '707000', credit: amount, ...more },
];

// --- Whole books ---

describe('a FEC', () => {
  let book: string;
  let first: Outcome;

  beforeAll(async () => {
    book = newBook();
    first = await run('fec', book, fecFile);
  });

  it('gives every balance as the file adds up, and a book that verifies', async () => {
    expect(places(first)).toEqual([]);
    expect(first).toMatchObject({ bookOpened: true, posted: 12, refused: 0, dayBooksDefined: ['AN', 'VE', 'AC', 'PA', 'BQ', 'OD'] });
    const sums: Balances = new Map();
    for (const { CompteNum = '', Debit = '', Credit = '' } of cellsOf(fecFile, '\t', 'iso-8859-15')) {
      add(sums, CompteNum, 'EUR', units(Debit.replace(',', '.')) - units(Credit.replace(',', '.')));
    }
    expect(sums.size).toBeGreaterThan(15);
    expect(shown(await balancesOf(book))).toEqual(shown(sums));
    await expectVerified(book);
  });

  it('keeps its day books, with their names and types', async () => {
    const state = (await service.store.load(book, bookStreamId(book), bookReducer))?.state;
    expect(state?.journals.map(({ journalCode, name, type }) => [journalCode, name, type])).toEqual([
      ['GENERAL', 'General journal', 'general'],
      ['AN', 'À nouveaux', 'other'],
      ['VE', 'Journal des ventes', 'sales'],
      ['AC', 'Journal des achats', 'purchases'],
      ['PA', 'Journal de paie', 'payroll'],
      ['BQ', 'Banque', 'bank'],
      ['OD', 'Opérations diverses', 'general'],
    ]);
    const numbers = (await posted(book)).map(({ journalCode, number }) => `${journalCode} ${number}`);
    expect(numbers).toEqual(['AN 1', 'VE 1', 'AC 1', 'PA 1', 'BQ 1', 'VE 2', 'AC 2', 'BQ 2', 'BQ 3', 'VE 3', 'OD 1', 'OD 2']);
  });

  it('opens its accounts with their names, of the type of their class', async () => {
    const { accounts } = await service.queries.accounts(book);
    expect(accounts.map(({ code, name, type }) => `${code} ${type}: ${name}`)).toEqual([
      '101000 equity: Capital',
      '110000 equity: Report à nouveau (solde créditeur)',
      '281830 asset: Amortissements du matériel de bureau et informatique',
      '401000 liability: Fournisseurs',
      '411000 asset: Clients',
      '421000 liability: Personnel - Rémunérations dues',
      '431000 liability: Sécurité sociale',
      '445660 asset: TVA déductible sur autres biens et services',
      '445710 liability: TVA collectée',
      "486000 asset: Charges constatées d'avance",
      '512000 asset: Banque €',
      '512100 asset: Banque USD',
      '607000 expense: Achats de marchandises',
      "616000 expense: Primes d'assurance",
      '641000 expense: Rémunérations du personnel',
      '645000 expense: Charges de sécurité sociale',
      '666000 expense: Pertes de change financières',
      '681120 expense: Dotations aux amortissements',
      '707000 income: Ventes de marchandises',
      "707100 income: Ventes de marchandises à l'export",
    ]);
  });

  it('keeps of an entry what the book has members for, and the rest under the names of the columns', async () => {
    expect(await entryNamed(book, 'BQ/2025-03-28/2')).toMatchObject({
      journalCode: 'BQ',
      entryType: 'normal',
      entryMethod: 'import',
      effectiveDate: '2025-03-28',
      description: 'Encaissement USD',
      document: { type: 'piece', number: 'REL-03', date: '2025-03-28' },
      source: { system: 'fec', id: 'BQ/2025-03-28/2', original: { journal: 'BQ', number: '2' } },
      metadata: { ValidDate: '2025-03-28' },
      lines: [
        { code: '512100', side: 'debit', amount: '980.00', currency: 'EUR', quantity: { value: '1085', unit: 'USD' } },
        { code: '666000', side: 'debit', amount: '20.00', currency: 'EUR' },
        {
          code: '411000',
          side: 'credit',
          amount: '1000.00',
          currency: 'EUR',
          party: { id: 'CLI003', kind: 'customer' },
          dimensions: [
            { key: 'EcritureLet', value: 'AB' },
            { key: 'DateLet', value: '2025-03-28' },
          ],
          quantity: { value: '1085', unit: 'USD' },
        },
      ],
    });
    expect(await entryNamed(book, 'AN/2025-01-01/1')).toMatchObject({ entryType: 'opening', journalCode: 'AN' });
    expect(await entryNamed(book, 'AC/2025-03-05/2')).toMatchObject({ description: 'Prime d\'assurance "multirisque"' });
    // Taken back with minus signs: the amounts are on the other side.
    expect((await entryNamed(book, 'VE/2025-04-01/3'))?.lines.map(({ code, side, amount }) => `${code} ${side} ${amount}`)).toEqual([
      '411000 credit 240.00',
      '707000 debit 200.00',
      '445710 debit 40.00',
    ]);
    // No name of a person or company is in the book but in the texts of entries and accounts.
    expect(JSON.stringify(await posted(book))).not.toContain('Lakeside');
  });

  it('posts nothing a second time', async () => {
    const { position } = await service.store.head(book);
    expect(await run('fec', book, fecFile)).toMatchObject({
      posted: 0,
      alreadyThere: 12,
      refused: 0,
      dayBooksDefined: [],
      accountsOpened: 0,
    });
    expect((await service.store.head(book)).position).toBe(position);
  });

  it('is the same in another character set and with other separators', async () => {
    const text = new TextDecoder('iso-8859-15').decode(readFileSync(fecFile));
    const other = join(directory, 'utf8.txt');
    writeFileSync(other, `\ufeff${text.replaceAll('\t', '|').replaceAll('\r\n', '\n')}`);
    expect(await run('fec', book, other)).toMatchObject({ posted: 0, alreadyThere: 12, refused: 0 });
  });
});

describe('GL_Detail of the Audit Data Standards', () => {
  let book: string;
  let first: Outcome;

  beforeAll(async () => {
    book = newBook();
    first = await run('ads', book, adsFile, { accountTypes: await readAccountTypes(chartFile) });
  });

  it('gives every balance as the file adds up, and a book that verifies', async () => {
    expect(places(first)).toEqual([]);
    expect(first).toMatchObject({ posted: 7, accountsOpened: 11, dayBooksDefined: ['SJ', 'CR', 'PJ', 'GJ', 'PR'] });
    const sums: Balances = new Map();
    const plain = join(directory, 'plain.txt');
    // The one cell with separators and quotes in it is no amount.
    writeFileSync(plain, readFileSync(adsFile, 'utf8').replace(/"[^|]*\|[^|]*"/, 'x'));
    for (const { GL_Account_Number = '', Amount = '', Amount_Credit_Debit_Indicator } of cellsOf(plain, '|', 'utf-8')) {
      add(sums, GL_Account_Number, 'USD', Amount_Credit_Debit_Indicator === 'D' ? units(Amount) : -units(Amount));
    }
    expect(sums.size).toBeGreaterThan(7);
    expect(shown(await balancesOf(book))).toEqual(shown(sums));
    await expectVerified(book);
  });

  it('takes types and names from the chart of accounts', async () => {
    const { accounts } = await service.queries.accounts(book);
    expect(accounts.map(({ code, name, type }) => `${code} ${type}: ${name}`)).toEqual([
      '1000 asset: Operating account',
      '1200 asset: Trade receivables',
      '1300 asset: Inventory of parts',
      '2000 liability: Trade payables',
      '2100 liability: Payroll taxes withheld',
      '2200 liability: Sales tax payable',
      '2300 liability: Accrued expenses',
      '3000 equity: Members’ capital',
      '4000 income: Bicycle sales',
      '6000 expense: Wages',
      '6100 expense: Utilities',
    ]);
  });

  it('keeps who entered and approved an entry and when, in the words of its source', async () => {
    expect(await entryNamed(book, '2025-PJ-000088')).toMatchObject({
      journalCode: 'PJ',
      effectiveDate: '2025-02-20',
      description: 'Frames, Velo Lyon SARL',
      source: {
        system: 'ads',
        id: '2025-PJ-000088',
        original: {
          journal: 'PJ',
          number: '2025-PJ-000088',
          enteredBy: 'u0211',
          enteredAt: '2025-02-21T10:00:00Z',
          approvedBy: 'u0007',
          approvedAt: '2025-02-21T00:00:00Z',
        },
      },
      metadata: { Fiscal_Year: '2025', Period: 'M02' },
      lines: [
        {
          code: '1300',
          description: '30 frames',
          quantity: { value: '3000', unit: 'EUR' },
          dimensions: [
            { key: 'Business_Unit_Code', value: 'CORP' },
            { key: 'Segment01', value: 'ROAD' },
          ],
        },
        { code: '2000', quantity: { value: '3000', unit: 'EUR' } },
      ],
    });
    expect(await entryNamed(book, '2025-GJ-000311')).toMatchObject({
      entryType: 'reversal',
      metadata: { Reversal_Indicator: '1', Reversal_Journal_ID: '2025-GJ-000310' },
    });
    expect(await entryNamed(book, '2025-GJ-000310')).toMatchObject({ entryType: 'normal' });
  });

  it('posts nothing a second time, whatever the order of rows and columns and the separator', async () => {
    const [header = '', ...rows] = readFileSync(adsFile, 'utf8')
      .trimEnd()
      .split('\r\n')
      .map((row) => row.replaceAll(',', ';'));
    const other = join(directory, 'other.txt');
    writeFileSync(other, [header.replaceAll('_', ''), ...rows.reverse(), ''].join('\n'));
    // Texts with a comma have a semicolon now, so these are named; all others are there.
    const outcome = await run('ads', book, other, { onError: 'continue' });
    expect(outcome).toMatchObject({ posted: 0, alreadyThere: 1, refused: 6 });
    expect(new Set(outcome.refusals.map(({ code }) => code))).toEqual(new Set(['idempotency_key_reused']));
    writeFileSync(other, [header, ...readFileSync(adsFile, 'utf8').trimEnd().split('\r\n').slice(1).reverse(), ''].join('\n'));
    expect(await run('ads', book, other)).toMatchObject({ posted: 0, alreadyThere: 7, refused: 0 });
  });
});

// --- What is refused ---

describe('faulty files', () => {
  it('name an entry that does not balance, and write nothing', async () => {
    const book = newBook();
    const file = fecOf(...sale(1), { number: 2, account: '411000', debit: '100,00' }, { number: 2, account: '707000', credit: '90,00' });
    const outcome = await run('fec', book, file);
    expect(places(outcome)).toEqual(['4 VE/2026-01-15/2 unbalanced: debits 100.00, credits 90.00, difference 10.00 EUR']);
    expect(outcome.refusals[0]?.file).toBe(file);
    expect(outcome.ended).toBe('refusal');
    expect((await service.store.head(book)).position).toBe(0);
  });

  it('are imported but for their faulty entries, when told to go on, and once they are mended wholly', async () => {
    const book = newBook();
    const faulty = [
      ...sale(1),
      ...sale(2, '1 000,00'),
      ...sale(3, '5', { date: '20260230' }),
      ...sale(4, '5', { account: '9' }),
      { number: 5, account: '411000', debit: '1' },
      ...sale(6),
    ];
    const outcome = await run('fec', book, fecOf(...faulty), { onError: 'continue' });
    expect(places(outcome)).toEqual([
      expect.stringMatching(/^4 VE\/2026-01-15\/2 amount_format: Debit is "1 000,00", not a decimal/),
      expect.stringMatching(/^6 VE\/2026-02-30\/3 date_invalid: PieceDate is "20260230", not a date/),
      expect.stringMatching(/^8 VE\/2026-01-15\/4 account_unknown: account 9 is not in the book, and nothing tells its type/),
      '10 VE/2026-01-15/5 too_few_lines: the entry has one line; two are the least',
    ]);
    expect(outcome).toMatchObject({ posted: 2, refused: 4, ended: undefined });
    const mended = fecOf(...[1, 2, 3, 4, 5, 6].flatMap((number) => sale(number)));
    expect(await run('fec', book, mended)).toMatchObject({ posted: 4, alreadyThere: 2, refused: 0 });
    expect((await balancesOf(book)).get('411000\tEUR')).toBe(units('720'));
  });

  it('name an entry that was imported with other content', async () => {
    const book = newBook();
    await run('fec', book, fecOf(...sale(1)));
    const outcome = await run('fec', book, fecOf(...sale(1, '121')));
    expect(places(outcome)).toEqual([
      expect.stringMatching(/^2 VE\/2026-01-15\/1 idempotency_key_reused: .* what differs: lines\.0\.amount, lines\.1\.amount\./),
    ]);
  });

  it('drop lines of zero on both sides when told to', async () => {
    const book = newBook();
    const file = fecOf(...sale(1), { number: 1, account: '445710' });
    expect(places(await run('fec', book, file))).toEqual([expect.stringMatching(/^4 VE\/2026-01-15\/1 amount_range: quantity is 0/)]);
    expect(await run('fec', book, file, { zeroLines: 'drop' })).toMatchObject({ posted: 1, droppedLines: 1 });
  });

  it.each([
    ['a party of 101 characters', { CompAuxNum: 'x'.repeat(101) }, 'too_large: id of the party has 101 characters; 100 are allowed'],
    [
      'a document of 101 characters',
      { PieceRef: 'x'.repeat(101) },
      'too_large: number of the document has 101 characters; 100 are allowed',
    ],
    [
      'a name of an account of 201 characters',
      { CompteLib: 'x'.repeat(201) },
      'too_large: name of the account has 201 characters; 200 are allowed',
    ],
    [
      'a name of a day book with a control character',
      { JournalLib: 'a\u0007' },
      'text_invalid: name of the day book holds a control character',
    ],
    [
      'a name of an account with a character that cannot be seen',
      { CompteLib: 'Cli\u200bents' },
      'text_invalid: name of the account holds U+200B, which cannot be seen',
    ],
    [
      'a name of a day book with a character that cannot be seen',
      { JournalLib: 'Ven\u200etes' },
      'text_invalid: name of the day book holds U+200E, which cannot be seen',
    ],
    [
      'a reference with a character that cannot be seen',
      { PieceRef: 'F\u200b1', PieceDate: '' },
      'text_invalid: code holds U+200B, which cannot be seen',
    ],
    [
      'a document with a character that cannot be seen',
      { PieceRef: 'F\u200b1' },
      'text_invalid: number of the document holds U+200B, which cannot be seen',
    ],
    [
      'a description in another order than it is stored in',
      { EcritureLib: 'Vente \u202ex' },
      'text_invalid: description holds U+202E, which puts text in another order',
    ],
    [
      'an account with a character that cannot be seen',
      { CompteNum: '411\u200b000' },
      'text_invalid: account "411\u200b000" holds U+200B, which cannot be seen or told from a space',
    ],
    [
      'lettering of 201 characters',
      { EcritureLet: 'x'.repeat(201) },
      'too_large: value of dimension "EcritureLet" has 201 characters; 200 are allowed',
    ],
    [
      'a day book without a letter',
      { JournalCode: '**' },
      'text_invalid: day book "**" has no letter or digit that a code could be made of',
    ],
    ['a number of 101 characters', { EcritureNum: '1'.repeat(101) }, 'too_large: number in its source has 101 characters; 100 are allowed'],
  ])('with %s', async (_what, cells, says) => {
    const names = fecHeader.split('|');
    const rows = sale(1).map((line) => {
      const parts = fecRow(line).split('|');
      for (const [name, cell] of Object.entries(cells)) parts[names.indexOf(name)] = cell;
      return parts.join('|');
    });
    const file = join(directory, 'long.txt');
    writeFileSync(file, [fecHeader, ...rows, ''].join('\n'));
    const book = newBook();
    expect((await run('fec', book, file)).refusals.map(({ line, code, reason }) => `${line} ${code}: ${reason}`)).toEqual([`2 ${says}`]);
    expect((await service.store.head(book)).position).toBe(0);
  });
});

// --- Day books and years ---

describe('day books', () => {
  it('have a code of capitals, digits and hyphens, and that of their source is kept', async () => {
    const book = newBook();
    const file = fecOf(...sale(1, '1', { journal: 'Vé 1' }), ...sale(2, '1', { journal: 'GENERAL' }));
    expect(await run('fec', book, file)).toMatchObject({ posted: 2, dayBooksDefined: ['VE-1'] });
    const [one] = await posted(book);
    expect(one).toMatchObject({ journalCode: 'VE-1', source: { original: { journal: 'Vé 1' } } });
  });

  it('are never made one of two', async () => {
    const file = fecOf(...sale(1), ...sale(2, '1', { journal: 've' }));
    expect(places(await run('fec', newBook(), file))).toEqual([
      '4 ve/2026-01-15/2 malformed: day books "VE" and "ve" would both be VE here; give one of them another code in the file',
    ]);
  });

  it('of opening balances can be left out of a second year, whose balances the book carries on by itself', async () => {
    const book = newBook();
    const opening = [
      { journal: 'AN', number: 1, date: '20250101', account: '512000', debit: '100' },
      { journal: 'AN', number: 1, date: '20250101', account: '101000', credit: '100' },
    ];
    const next = [
      { journal: 'AN', number: 1, date: '20260101', account: '512000', debit: '220' },
      { journal: 'AN', number: 1, date: '20260101', account: '101000', credit: '100' },
      { journal: 'AN', number: 1, date: '20260101', account: '120000', credit: '120' },
    ];
    const cash = (date: string): FecLine[] => [
      { number: 1, date, account: '512000', debit: '120' },
      { number: 1, date, account: '707000', credit: '120' },
    ];
    await run('fec', book, fecOf(...opening, ...cash('20250601')));
    expect(await run('fec', book, fecOf(...next, ...cash('20260601')), {}, { withoutJournals: new Set(['AN']) })).toMatchObject({
      posted: 1,
    });
    expect((await balancesOf(book)).get('512000\tEUR')).toBe(units('340'));
  });
});

// --- Books that track exchange rates ---

describe('a book with fx: tracked', () => {
  const linesOf = async (book: string): Promise<string[][]> =>
    (await posted(book)).map(({ lines }) =>
      lines.map(({ code, side, amount, currency, baseAmount }) => `${code} ${side} ${amount} ${currency} ${baseAmount ?? '-'}`),
    );

  it('gets the amounts in their currency with the euros as base amounts; what was lost on the way is a base amount only', async () => {
    const book = newBook();
    await openTrackedBook(service, book, { startsOn: '2025-01-01' });
    const outcome = await run('fec', book, fecFile);
    expect(places(outcome)).toEqual([]);
    expect(outcome).toMatchObject({ posted: 12 });
    const shownLines = await linesOf(book);
    expect(shownLines[5]).toEqual(['411000 debit 1085.00 USD 1000.00', '707100 credit 1085.00 USD 1000.00']);
    expect(shownLines[7]).toEqual(['512100 debit 1085.00 USD 980.00', '666000 debit 0.00 EUR 20.00', '411000 credit 1085.00 USD 1000.00']);
    expect(shownLines[1]).toEqual([
      '411000 debit 2400.00 EUR 2400.00',
      '707000 credit 2000.00 EUR 2000.00',
      '445710 credit 400.00 EUR 400.00',
    ]);
    await expectVerified(book);
    expect(await run('fec', book, fecFile)).toMatchObject({ posted: 0, alreadyThere: 12, refused: 0 });
  });

  it('gets an exchange through the account for currency conversion', async () => {
    const book = newBook();
    await openTrackedBook(service, book, { startsOn: '2025-01-01' });
    const exchange = [
      { number: 1, account: '512100', debit: '90', foreign: '100', currency: 'USD' },
      { number: 1, account: '512000', credit: '90' },
    ];
    expect(await run('fec', book, fecOf(...exchange))).toMatchObject({ posted: 1, refused: 0 });
    expect(await linesOf(book)).toEqual([
      [
        '512100 debit 100.00 USD 90.00',
        '512000 credit 90.00 EUR 90.00',
        expect.stringMatching(/^Conversion (credit 100\.00 USD|debit 90\.00 EUR) 90\.00$/),
        expect.stringMatching(/^Conversion (credit 100\.00 USD|debit 90\.00 EUR) 90\.00$/),
      ],
    ]);
    await expectVerified(book);
  });

  it('refuses an exchange before anything is written, where no account is designated for it', async () => {
    const book = newBook();
    const opening = {
      type: 'OpenBook',
      id: book,
      name: book,
      baseCurrency: 'EUR',
      fiscalYearStart: '01-01',
      startsOn: '2025-01-01',
      fx: 'tracked',
    };
    await service.ledger.execute(book, opening as never, { key: `open ${book}`, userId: service.bootstrapKey.id, source: 'job' });
    const { position } = await service.store.head(book);
    const exchange = [
      { number: 1, account: '512100', debit: '90', foreign: '100', currency: 'USD' },
      { number: 1, account: '512000', credit: '90' },
    ];
    expect(places(await run('fec', book, fecOf(...exchange)))).toEqual([
      expect.stringMatching(/^2 VE\/2026-01-15\/1 account_not_designated: the entry exchanges currencies, and the book has no account/),
    ]);
    expect((await service.store.head(book)).position).toBe(position);
  });

  it('refuses an entry whose euros do not balance, whatever its dollars do', async () => {
    const book = newBook();
    await openTrackedBook(service, book, { startsOn: '2025-01-01' });
    const lines = [
      { number: 1, account: '411000', debit: '90', foreign: '100', currency: 'USD' },
      { number: 1, account: '707000', credit: '91', foreign: '100', currency: 'USD' },
    ];
    expect(places(await run('fec', book, fecOf(...lines)))).toEqual([
      '2 VE/2026-01-15/1 unbalanced: debits 90.00, credits 91.00, difference 1.00 EUR',
    ]);
  });

  it('takes the base amount from whichever column of GL_Detail has it', async () => {
    const book = newBook();
    await openTrackedBook(service, book, { startsOn: '2025-01-01' });
    const file = join(directory, 'tracked.csv');
    const header =
      'Journal_ID,Effective_Date,GL_Account_Number,Amount,Amount_Currency,Reporting_Amount,Reporting_Amount_Currency,Local_Amount,Local_Amount_Currency';
    const rows = [
      'a,2026-01-15,Bank,100,USD,90,EUR,,',
      'a,2026-01-15,Sales,-100,USD,-90,EUR,,',
      'b,2026-01-15,Bank,45,EUR,,,50,USD',
      'b,2026-01-15,Sales,-45,EUR,,,-50,USD',
    ];
    writeFileSync(file, [header, ...rows, ''].join('\n'));
    expect(await run('ads', book, file)).toMatchObject({ posted: 2, refused: 0 });
    expect(await linesOf(book)).toEqual([
      ['Bank debit 100.00 USD 90.00', 'Sales credit 100.00 USD 90.00'],
      ['Bank debit 50.00 USD 45.00', 'Sales credit 50.00 USD 45.00'],
    ]);
    await expectVerified(book);
  });
});

// --- As its users run it ---

describe('book-keeper import --format fec and ads', () => {
  const cli = (args: readonly string[], environment: NodeJS.ProcessEnv = {}) =>
    startCommand(['import', ...args], { ...its.opened.environment, ...environment }).ended;
  const create = (book: string, currency: string): string[] => ['--book', book, '--create', '--base-currency', currency];

  it('imports both samples, says which day books it has defined, and goes on where it was', async () => {
    const fec = newBook();
    const done = await cli([...create(fec, 'EUR'), '--format', 'fec', fecFile]);
    expect(done).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/day books defined +AN, VE, AC, PA, BQ, OD\n[\s\S]*posted +12\n/),
    });
    expect(await cli(['--book', fec, '--format', 'fec', fecFile])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/already there +12\n/),
    });
    const ads = newBook();
    const moved = await cli([...create(ads, 'USD'), '--format', 'ads', '--account-types', chartFile, adsFile]);
    expect(moved).toMatchObject({ code: 0, stdout: expect.stringMatching(/posted +7\n/) });
  });

  it('passes on what it is told of the file', async () => {
    const file = fecOf(
      { journal: 'AN', number: 1, account: '512000', debit: '1' },
      { journal: 'VE', number: 1, account: '411000', debit: '1', foreign: '1', currency: '$' },
      { journal: 'VE', number: 2, account: '707000', credit: '1' },
    );
    const told = ['--entries-by', 'piece', '--without-journal', 'AN', '--currency', '$=USD', '--encoding', 'utf-8'];
    const book = newBook();
    expect(await cli([...create(book, 'EUR'), '--format', 'fec', ...told, file])).toMatchObject({ code: 0, stderr: expect.any(String) });
    expect((await posted(book)).map(({ source, lines }) => [source?.id, lines[0]?.quantity])).toEqual([
      ['VE/2026-01-15/P1', { value: '1', unit: 'USD' }],
    ]);
  });

  it.each([
    [['--format', 'postings-csv', '--encoding', 'utf-8'], /--encoding goes with --format ads or fec/],
    [['--format', 'ads', '--entries-by', 'piece'], /--entries-by goes with --format fec/],
    [['--format', 'ads', '--without-journal', 'AN'], /--without-journal goes with --format fec/],
    [['--format', 'fec', '--encoding', 'ebcdic'], /'ebcdic' is invalid/],
  ])('refuses %j', async (options, says) => {
    const ended = await cli([...create('nobook', 'EUR'), ...options, fecFile]);
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code: 2, stdout: '' });
    expect(ended.stderr).toMatch(says);
  });

  it('checks a file that is larger than its memory', async () => {
    const file = join(directory, 'large.txt');
    const label = 'x'.repeat(300);
    const rows = Array.from({ length: 500 }, (_, index) =>
      sale(`N${index}`).map((line) => fecRow(line).replace('|x|', `|${label}|`)),
    ).flat();
    writeFileSync(file, `${fecHeader}\n`);
    // 200,000 rows, each entry with a number of its own: 80 MB, of which the ids of the entries are kept.
    for (let part = 0; part < 200; part++)
      writeFileSync(file, `${rows.map((line) => line.replace('|N', `|${part}-`)).join('\n')}\n`, { flag: 'a' });
    const done = await cli([...create('large', 'EUR'), '--format', 'fec', '--dry-run', file], { NODE_OPTIONS: '--max-old-space-size=72' });
    expect(done).toMatchObject({ code: 0, stdout: expect.stringMatching(/read +100,000 entries, 200,000 lines/) });
  });
});
