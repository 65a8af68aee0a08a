/**
 * Books as SAF-T, FEC and Audit Data Standards: two fiscal years in several currencies, with a 13th period, a reversal, parties, taxes,
 * dimensions and odd texts, one closed in the books and one not. Every figure of the files is held against the plain lines of the log,
 * added up here; and the same position has the same bytes, whatever is posted later.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import type { Client } from 'pg';
import { type AccountRole, type AccountType, addDays, type CalendarDate } from '#domain';
import { type Command, exportBook, exportedBook, exportFiles, type Queries, type Service } from '#ledger';
import { askXmllint, withSaftSchema } from '../support/other-programs';
import { units } from '../support/postings';
import { all, at, readXml, type Xml } from '../support/saft';
import { type ServiceOnDatabase, serviceOnDatabase } from '../support/services';
import { carryOut, entryOf, line, type PlainLine, plainLines } from '../support/tracked-books';

let its: ServiceOnDatabase;
let admin: Client;
let service: Service;
let directory: string;

beforeAll(async () => {
  its = await serviceOnDatabase();
  ({ admin, service } = its);
  directory = mkdtempSync(join(tmpdir(), 'book-keeper-audit-'));
  for (const country of ['no', 'fr'] as const)
    for (const closed of [true, false]) await openAuditBook(`${country}-${closed ? 'closed' : 'open'}`, country, closed);
});
afterAll(async () => {
  rmSync(directory, { recursive: true, force: true });
  await its?.end();
});

// --- The books ---

const odd = 'Faktura <7> & "mer" | a\tb\nc; ]]> Ærø €';

type Country = 'no' | 'fr';
const chart: readonly (readonly [no: string, fr: string, type: AccountType, more?: object])[] = [
  ['1920', '512000', 'asset', { subtype: 'cash' }],
  ['1500', '411000', 'asset', { subtype: 'receivable' }],
  ['2400', '401000', 'liability', { subtype: 'payable' }],
  ['2000', '101000', 'equity', { subtype: 'capital' }],
  ['2050', '120000', 'equity', { subtype: 'retained_earnings' }],
  ['2099', '580000', 'equity', { subtype: 'currency_conversion' }],
  ['2700', '445710', 'liability', { subtype: 'tax_payable' }],
  ['3000', '706000', 'income', { subtype: 'sales' }],
  ['4000', '607000', 'expense'],
  ['7770', '658000', 'expense', { subtype: 'rounding' }],
  ['8060', '766000', 'income', { subtype: 'fx_gain_realised' }],
  ['8160', '666000', 'expense', { subtype: 'fx_loss_realised' }],
  ['8061', '766100', 'income', { subtype: 'fx_gain_unrealised' }],
  ['8161', '666100', 'expense', { subtype: 'fx_loss_unrealised' }],
];
const types = new Map(chart.flatMap(([no, fr, type]) => [[no, type] as const, [fr, type] as const]));
const codeOf = (country: Country, no: string): string => (country === 'no' ? no : (chart.find(([code]) => code === no)?.[1] ?? ''));
const base = { no: 'NOK', fr: 'EUR' } as const;

/** A fiscal year of months, with a 13th period on its last day. */
const yearWithThirteen = (year: number): Command => ({
  type: 'DefineFiscalYear',
  label: String(year),
  from: `${year}-01-01`,
  to: `${year}-12-31`,
  periods: [
    ...Array.from({ length: 12 }, (_, month) => ({
      no: month + 1,
      from: `${year}-${String(month + 1).padStart(2, '0')}-01`,
      to: month === 11 ? `${year}-12-31` : addDays(`${year}-${String(month + 2).padStart(2, '0')}-01`, -1),
      kind: 'normal' as const,
    })),
    { no: 13, from: `${year}-12-31`, to: `${year}-12-31`, kind: 'adjustment' as const },
  ],
});

async function openAuditBook(id: string, country: Country, closed: boolean): Promise<void> {
  const send = (command: Command): ReturnType<typeof carryOut> => carryOut(service, id, command);
  const code = (no: string): string => codeOf(country, no);
  const currency = base[country];
  await send({
    ...{
      type: 'OpenBook',
      id,
      name: `Audit ${id}`,
      baseCurrency: currency,
      fx: 'tracked',
      fiscalYearStart: '01-01',
      startsOn: '2026-01-01',
    },
    entity: {
      ...{ legalName: 'Eksempel & Sønner AS', registrationNumber: '732 829 320', country: country === 'no' ? 'NO' : 'FR' },
      ...{ address: 'Storgata 1\n0155 Oslo', taxNumbers: ['NO732829320MVA'] },
    },
  });
  await send(yearWithThirteen(2026));
  await send(yearWithThirteen(2027));
  await send({ type: 'DefineJournal', journalCode: 'SALES', name: 'Sales', journalType: 'sales' });
  for (const [no, , accountType, more] of chart) {
    const mappings = [{ scheme: 'saf-t-no', category: 'RF-1167', code: no }];
    await send({ type: 'OpenAccount', code: code(no), name: `Account "${no}" <&>`, accountType, mappings, ...more });
  }
  const roles: Partial<Record<AccountRole, string>> = {
    ...{ retained_earnings: '2050', currency_conversion: '2099', rounding: '7770', fx_gain_realised: '8060' },
    ...{ fx_loss_realised: '8160', fx_gain_unrealised: '8061', fx_loss_unrealised: '8161' },
  };
  for (const [role, no] of Object.entries(roles)) await send({ type: 'DesignateAccount', role: role as AccountRole, account: code(no) });
  for (const [date, value] of [
    ['2026-01-01', '10.1'],
    ['2026-12-31', '9.87654321'],
    ['2027-01-10', '11'],
  ] as const)
    await send({ type: 'RecordRates', rates: [{ from: 'USD', to: currency, rateType: 'spot', date, value, source: 'spec' }] });

  await send(entryOf('2026-01-02', [code('1920'), code('2000')], '50000', currency, { entryType: 'opening' }));
  const customer = { party: { id: 'C-1042', kind: 'customer' }, dueDate: '2026-01-31' };
  await send({
    ...{ type: 'PostEntry', effectiveDate: '2026-01-15', journalCode: 'SALES', description: odd },
    document: { type: 'invoice', number: 'INV-7', date: '2026-01-14' },
    lines: [
      line(code('1500'), 'debit', '1250', 'USD', customer),
      line(code('3000'), 'credit', '1000', 'USD', {
        tax: [{ code: '3', base: '1000', amount: '250' }],
        dimensions: [
          { key: 'costCentre', value: 'Vest & Øst' },
          { key: 'project', value: 'P1' },
        ],
      }),
      line(code('2700'), 'credit', '250', 'USD'),
    ],
  });
  const supplier = { party: { id: 'S-7', kind: 'supplier' }, reference: 'R-1' };
  const purchase = [line(code('4000'), 'debit', '333.33', currency), line(code('2400'), 'credit', '333.33', currency, supplier)];
  const bought = await send({ type: 'PostEntry', effectiveDate: '2026-02-01', description: 'kjøp', lines: purchase });
  await send({
    type: 'ReverseEntry',
    entryId: (JSON.parse(bought.body) as { id: string }).id,
    reason: 'wrong',
    effectiveDate: '2026-02-02',
  });
  await send({ type: 'PostEntry', effectiveDate: '2026-02-03', description: 'kjøp igjen', lines: purchase });
  const adjusting = { entryType: 'adjusting' as const, adjustmentPeriod: 13 };
  await send(entryOf('2026-12-31', [code('4000'), code('2400')], '12.34', currency, adjusting));
  await send(entryOf('2026-12-31', [code('3000'), code('1500')], '10', 'USD', adjusting));
  if (closed) await send({ type: 'CloseFiscalYear', fiscalYear: '2026', adjustmentPeriod: 13 });
  await send(entryOf('2027-01-10', [code('1920'), code('1500')], '500', 'USD', { journalCode: 'SALES' }));
  await send(entryOf('2027-01-20', [code('4000'), code('1920')], '99.99', currency));
}

const books = (country: Country): string[] => [`${country}-closed`, `${country}-open`];

// --- The plain reading ---

interface Span {
  readonly from: CalendarDate;
  readonly to: CalendarDate;
}
const years: readonly Span[] = [
  { from: '2026-01-01', to: '2026-12-31' },
  { from: '2027-01-01', to: '2027-12-31' },
];

const isNominal = (account: string): boolean => ['income', 'expense'].includes(types.get(account) ?? '');

/** Base amounts of each account, in units of 10^-18: when a range begins, within it, and at its end. */
async function sumsOf(book: string, { from, to }: Span): Promise<Map<string, { opening: bigint; closing: bigint; lines: PlainLine[] }>> {
  const plain = await plainLines(admin, book);
  const yearFrom = `${from.slice(0, 4)}-01-01`;
  const retained = codeOf(book.slice(0, 2) as Country, '2050');
  const sums = new Map<string, { opening: bigint; closing: bigint; lines: PlainLine[] }>();
  for (const each of plain) {
    if (each.date > to) continue;
    // Of income and expense, earlier years belong to the account for retained earnings.
    const account = isNominal(each.account) && each.date < yearFrom ? retained : each.account;
    for (const touched of [account, each.account]) if (!sums.has(touched)) sums.set(touched, { opening: 0n, closing: 0n, lines: [] });
    const sum = sums.get(account) as { opening: bigint; closing: bigint; lines: PlainLine[] };
    sum.closing += each.base;
    if (each.date < from) sum.opening += each.base;
    else sum.lines.push(each);
  }
  return sums;
}

async function textOf(
  book: string,
  format: string,
  question: Parameters<typeof exportBook>[3],
): Promise<{ text: string; fileName: string }> {
  const { content, fileName } = await exportBook(service, book, format, question);
  let text = '';
  for await (const some of content) text += String(some);
  return { text, fileName };
}

const shown = <T>(map: Map<string, T>): [string, T][] => [...map].sort(([one], [other]) => (one < other ? -1 : 1));

// --- SAF-T ---

const spans: readonly Span[] = [...years, { from: '2026-01-16', to: '2026-02-01' }, { from: '2027-01-15', to: '2027-06-30' }];
const everySaft = books('no').flatMap((book) => spans.map((span) => [book, span] as const));

describe('SAF-T', () => {
  it.each(everySaft)('of %s, %p, has the balances and the entries of the book', async (book, span) => {
    const file = readXml((await textOf(book, 'saf-t-no', span)).text);
    const sums = await sumsOf(book, span);
    const signed = (element: Xml, when: string): bigint =>
      units(at(element, `${when}DebitBalance`) ?? '0') - units(at(element, `${when}CreditBalance`) ?? '0');
    const accounts = all(file, 'MasterFiles/GeneralLedgerAccounts/Account');
    const balances = new Map(accounts.map((each) => [at(each, 'AccountID') ?? '', [signed(each, 'Opening'), signed(each, 'Closing')]]));
    expect(shown(balances)).toEqual(shown(sums).map(([account, { opening, closing }]) => [account, [opening, closing]]));
    expect([...balances.values()].reduce((sum, [opening = 0n]) => sum + opening, 0n)).toBe(0n);

    const entries = all(file, 'GeneralLedgerEntries/Journal/Transaction');
    const moved = new Map<string, bigint>();
    let debits = 0n;
    for (const entry of entries) {
      let balance = 0n;
      for (const each of all(entry, 'Line')) {
        const [debit, credit] = ['Debit', 'Credit'].map((side) => units(at(each, `${side}Amount/Amount`) ?? '0')) as [bigint, bigint];
        const account = at(each, 'AccountID') ?? '';
        moved.set(account, (moved.get(account) ?? 0n) + debit - credit);
        balance += debit - credit;
        debits += debit;
      }
      expect({ entry: at(entry, 'TransactionID'), balance }).toMatchObject({ balance: 0n });
    }
    for (const [account, [opening = 0n, closing = 0n]] of balances)
      expect({ account, moved: moved.get(account) ?? 0n }).toEqual({ account, moved: closing - opening });
    expect(at(file, 'GeneralLedgerEntries/NumberOfEntries')).toBe(String(entries.length));
    expect(units(at(file, 'GeneralLedgerEntries/TotalDebit') ?? '')).toBe(debits);
    expect(units(at(file, 'GeneralLedgerEntries/TotalCredit') ?? '')).toBe(debits);
    const ids = entries.map((entry) => at(entry, 'TransactionID'));
    expect(new Set(ids).size).toBe(ids.length);
    const positions = new Set([...sums.values()].flatMap(({ lines }) => lines.map(({ position }) => String(position))));
    expect(new Set(entries.map((entry) => at(entry, 'SystemID')))).toEqual(positions);
  });

  it('refers to nothing that is not in its tables', async () => {
    const file = readXml((await textOf('no-closed', 'saf-t-no', years[0] as Span)).text);
    const lines = all(file, 'GeneralLedgerEntries/Journal/Transaction/Line');
    const given = (path: string): Set<string> => new Set(all(file, `MasterFiles/${path}`).map(({ text }) => text));
    const used = (path: string): Set<string> => new Set(lines.flatMap((each) => all(each, path)).map(({ text }) => text));
    for (const [path, table] of [
      ['CustomerID', 'Customers/Customer/CustomerID'],
      ['SupplierID', 'Suppliers/Supplier/SupplierID'],
      ['TaxInformation/TaxCode', 'TaxTable/TaxTableEntry/TaxCodeDetails/TaxCode'],
      ['Analysis/AnalysisType', 'AnalysisTypeTable/AnalysisTypeTableEntry/AnalysisType'],
      ['Analysis/AnalysisID', 'AnalysisTypeTable/AnalysisTypeTableEntry/AnalysisID'],
    ] as const) {
      expect(used(path).size).toBeGreaterThan(0);
      expect({ path, names: given(table) }).toEqual({ path, names: used(path) });
    }
  });

  it('has the text, the rate and the tax of a sale as they were posted, and the 13th period', async () => {
    const file = readXml((await textOf('no-closed', 'saf-t-no', years[0] as Span)).text);
    const entries = all(file, 'GeneralLedgerEntries/Journal/Transaction');
    const sale = entries.find((entry) => at(entry, 'TransactionID') === 'SALES/2026/1') as Xml;
    expect(at(sale, 'Description')).toBe(odd);
    const [debit] = all(sale, 'Line/DebitAmount') as [Xml];
    expect(debit.children.map(({ text }) => text)).toEqual(['12625.00', 'USD', '1250.00', '10.1']);
    expect(all(sale, 'Line/TaxInformation/CreditTaxAmount/Amount').map(({ text }) => text)).toEqual(['2525.00']);
    const periods = entries.map((entry) => [at(entry, 'Period'), at(entry, 'VoucherType')].join(' '));
    expect(periods.filter((period) => period.startsWith('13 '))).toEqual(['13 adjusting', '13 adjusting', '13 closing']);
    expect(periods).toContain('2 reversal');
  });

  withSaftSchema('the schema of the tax office', () => {
    it.each(everySaft)('takes %s, %p', async (book, span) => {
      const file = join(directory, `${book}-${span.from}.xml`);
      writeFileSync(file, (await textOf(book, 'saf-t-no', span)).text);
      expect(await askXmllint(file)).toBe(`${file} validates\n`);
    });
  });
});

// --- FEC ---

describe('FEC', () => {
  const rowsOf = (text: string): Record<string, string>[] =>
    parse(text, { columns: true, delimiter: '\t', quote: false, record_delimiter: '\r\n' });
  const minor = (text = ''): bigint => units(text.replace(',', '.'));

  it.each(books('fr').flatMap((book) => years.map((year) => [book, year] as const)))(
    'of %s, %p, opens with the balance sheet and ends with it, but for what closes the year',
    async (book, year) => {
      const { text, fileName } = await textOf(book, 'fec', year);
      expect(fileName).toBe(`732829320FEC${year.to.replaceAll('-', '')}.txt`);
      const rows = rowsOf(text);
      const [entries, ends, opens] = [new Map<string, bigint>(), new Map<string, bigint>(), new Map<string, bigint>()];
      const add = (sums: Map<string, bigint>, key: string, amount: bigint): unknown => sums.set(key, (sums.get(key) ?? 0n) + amount);
      for (const { JournalCode, EcritureNum, CompteNum = '', Debit, Credit } of rows) {
        const amount = minor(Debit) - minor(Credit);
        add(entries, `${JournalCode} ${EcritureNum}`, amount);
        add(ends, CompteNum, amount);
        if (JournalCode === 'AN') add(opens, CompteNum, amount);
      }
      expect([...entries.values()].every((balance) => balance === 0n)).toBe(true);

      const sums = await sumsOf(book, year);
      const without = ({ closing, lines }: { closing: bigint; lines: readonly PlainLine[] }): bigint =>
        lines.reduce((sum, each) => (each.entryType === 'closing' ? sum - each.base : sum), closing);
      const wanted = shown(sums).map(([account, sum]) => [account, without(sum)] as const);
      const some = <T extends readonly [string, bigint]>(all: readonly T[]): T[] => all.filter(([, amount]) => amount !== 0n);
      expect(some(shown(ends))).toEqual(some(wanted));
      expect(some(shown(opens))).toEqual(some(shown(sums).map(([account, { opening }]) => [account, opening] as const)));
      expect([...opens.keys()].some(isNominal)).toBe(false);

      // Numbers of each day book are 1 to n, but for what closes the year.
      const closings = (await service.queries.entries(book, { ...year, entryType: 'closing' })).entries;
      const numbers = new Map<string, Set<number>>(closings.map(({ journalCode, number }) => [journalCode, new Set([number])]));
      for (const { JournalCode = '', EcritureNum } of rows)
        numbers.set(JournalCode, (numbers.get(JournalCode) ?? new Set()).add(Number(EcritureNum)));
      for (const found of numbers.values()) expect(Math.max(...found)).toBe(found.size);
    },
  );

  it('has what is foreign in its own currency, and texts without tabs and line ends', async () => {
    const rows = rowsOf((await textOf('fr-open', 'fec', years[0] as Span)).text);
    const sale = rows.filter(({ JournalCode }) => JournalCode === 'SALES');
    expect(
      sale.map(({ Debit, Credit, Montantdevise, Idevise, PieceRef, CompAuxNum }) =>
        [Debit, Credit, Montantdevise, Idevise, PieceRef, CompAuxNum].join(' '),
      ),
    ).toEqual(['12625,00 0,00 1250,00 USD INV-7 C-1042', '0,00 10100,00 1000,00 USD INV-7 ', '0,00 2525,00 250,00 USD INV-7 ']);
    expect(sale[0]?.EcritureLib).toBe(odd.replace('\t', '_x0009_').replace('\n', '_x000A_'));
  });
});

// --- Audit Data Standards ---

describe('Audit Data Standards', () => {
  async function filesOf(book: string, question: Partial<Span> & { knownAt?: number }): Promise<Map<string, Record<string, string>[]>> {
    const files = new Map<string, Record<string, string>[]>();
    for await (const { name, content } of exportFiles(await exportedBook(service, book, question), 'ads')) {
      let text = '';
      for await (const some of content) text += String(some);
      files.set(name.replace(/_\d.*/, ''), parse(text, { columns: true, delimiter: '|' }));
    }
    return files;
  }

  const asked: readonly Span[] = [...spans, { from: '2026-02-01', to: '2027-01-15' }];
  it.each(['no-closed', 'fr-open'].flatMap((book) => asked.map((span) => [book, span] as const)))(
    'of %s, %p, have balances that the entries roll forward',
    async (book, span) => {
      const files = await filesOf(book, span);
      const moved = new Map<string, bigint>();
      for (const { GL_Account_Number = '', Amount = '', Amount_Credit_Debit_Indicator } of files.get('GL_Detail') ?? [])
        moved.set(
          GL_Account_Number,
          (moved.get(GL_Account_Number) ?? 0n) + (Amount_Credit_Debit_Indicator === 'D' ? 1n : -1n) * units(Amount),
        );
      const sums = await sumsOf(book, span);
      const balances = new Map(
        (files.get('Trial_Balance') ?? []).map(({ GL_Account_Number = '', Amount_Beginning = '', Amount_Ending = '' }) => [
          GL_Account_Number,
          [units(Amount_Beginning), units(Amount_Ending)],
        ]),
      );
      const opening = new Map([...balances].map(([account, [beginning = 0n]]) => [account, beginning]));
      expect(shown(opening)).toEqual(shown(sums).map(([account, sum]) => [account, sum.opening]));
      for (const [account, [beginning = 0n, ending = 0n]] of balances)
        expect({ account, ending }).toEqual({ account, ending: beginning + (moved.get(account) ?? 0n) });
    },
  );

  it('of a whole book name every account, day book and user that lines refer to, and reversals by their numbers', async () => {
    const files = await filesOf('no-closed', {});
    const column = (file: string, name: string): Set<string> => new Set(files.get(file)?.map((row) => row[name] ?? ''));
    const [lines, accounts] = [column('GL_Detail', 'GL_Account_Number'), column('Chart_Of_Accounts.csv', 'GL_Account_Number')];
    expect([...lines].filter((account) => !accounts.has(account))).toEqual([]);
    expect(column('GL_Detail', 'Entered_By')).toEqual(column('User_Listing.csv', 'User_ID'));
    expect(column('GL_Detail', 'Source')).toEqual(column('Source_Listing.csv', 'Source'));
    expect(column('GL_Detail', 'Period')).toContain('13');
    const reversals = files.get('GL_Detail')?.filter((row) => row.Reversal_Indicator !== '');
    expect(reversals?.map((row) => `${row.Journal_ID} ${row.Reversal_Indicator} ${row.Reversal_Journal_ID}`)).toEqual([
      ...Array(2).fill('GENERAL/2026/2 2 GENERAL/2026/3'),
      ...Array(2).fill('GENERAL/2026/3 1 GENERAL/2026/2'),
    ]);
    expect(files.get('GL_Detail')?.find((row) => row.Source === 'SALES')).toMatchObject({
      ...{ JE_Header_Description: odd, Amount: '12625.00', Local_Amount: '1250.00', Local_Amount_Currency: 'USD' },
    });
  });
});

// --- All of them ---

describe('an export of one position', () => {
  it('asks for balances and counts once, however many files and checks need them', async () => {
    for (const question of [{}, years[0] as Span]) {
      const book = await exportedBook(service, 'no-open', question);
      for (const ask of [() => book.balances('none'), () => book.counts()]) expect(await ask()).toBe(await ask());
    }
    const book = await exportedBook(service, 'no-open', years[0]);
    expect(await book.balances('fiscalYear')).toBe(await book.balances('fiscalYear'));
    expect(await book.balances('fiscalYear')).not.toBe(await book.balances('none'));
  });

  it.each(['jsonl', 'csv', 'xlsx'])('as %s that nobody reads on has ended every pass that it began', async (format) => {
    const open = new Set<object>();
    async function* told<T>(pages: AsyncGenerator<T>): AsyncGenerator<T> {
      open.add(pages);
      try {
        yield* pages;
      } finally {
        open.delete(pages);
      }
    }
    const queries: Queries = Object.create(service.queries);
    queries.knownBook = async (...asked) => {
      const { accounts, entries, ...book } = await service.queries.knownBook(...asked);
      return { ...book, accounts: () => told(accounts()), entries: (range) => told(entries(range)) };
    };
    for (const pieces of [0, 1, 2]) {
      const { content } = await exportBook({ ...service, queries }, 'no-open', format);
      for (let read = 0; read < pieces; read++) await content.next();
      await content.return(undefined);
      expect([pieces, open.size]).toEqual([pieces, 0]);
    }
  });

  it.each([
    ['no-open', 'saf-t-no'],
    ['fr-open', 'fec'],
    ['no-open', 'ads'],
  ])('of %s as %s is the same twice, and later, when the book has moved on', async (book, format) => {
    const bytes = async (knownAt?: number): Promise<{ position: number; whole: string }> => {
      const { position, content } = await exportBook(service, book, format, { ...years[0], knownAt });
      const parts: Buffer[] = [];
      for await (const some of content) parts.push(Buffer.from(some as string));
      return { position, whole: Buffer.concat(parts).toString('base64') };
    };
    const country = book.slice(0, 2) as Country;
    const [cash, costs] = [codeOf(country, '1920'), codeOf(country, '4000')];
    const post = async (): Promise<string> =>
      (JSON.parse((await carryOut(service, book, entryOf('2026-03-03', [costs, cash], '1', base[country]))).body) as { id: string }).id;
    const entryId = await post();
    const first = await bytes();
    expect(await bytes()).toEqual(first);
    await post();
    await carryOut(service, book, { type: 'RenameAccount', account: cash, name: `Cash ${format}` });
    await carryOut(service, book, { type: 'ReverseEntry', entryId, reason: 'late', effectiveDate: '2026-06-01' });
    expect(await bytes(first.position)).toEqual(first);
    expect((await bytes()).whole).not.toBe(first.whole);
  });

  it.each([
    ['no-closed', 'saf-t-no', {}, 'ask for one fiscal year'],
    ['no-closed', 'fec', years[0], 'the base currency of the book is NOK'],
    ['fr-closed', 'fec', { from: '2026-01-01', to: '2026-03-31' }, 'ask for 2026'],
  ])('of %s as %s, %p, is refused with what to do', async (book, format, question, message) => {
    await expect(exportBook(service, book, format, question as Span)).rejects.toMatchObject({
      code: 'export_unfit',
      message: expect.stringContaining(message),
    });
  });
});
