/**
 * Journals of hledger and ledger through the import: every balance that other programs computed from them, what of an entry is
 * kept, what is refused and that nothing is then written, and that a journal that grew is continued.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AccountType, JournalEntryPosted } from '#domain';
import {
  type ImportOptions,
  type ImportRefusal,
  type ImportSummary,
  importFile,
  importFormats,
  journalFormat,
  type Service,
} from '#ledger';
import { type TestDatabase, testDatabase } from '../support/database';
import { add, type Balances, type Expected, entriesOf, readExpected, readPostings, shown, units } from '../support/postings';
import { openTestService, type TestService } from '../support/services';

const root = join(__dirname, '..', '..');
const own = join(root, 'test', 'data', 'multicurrency');
const shared = join(root, '..', 'shared', 'data');

let database: TestDatabase;
let opened: TestService;
let service: Service;
let directory: string;

beforeAll(async () => {
  database = await testDatabase();
  opened = await openTestService(database.appUrl);
  service = opened.service;
  directory = mkdtempSync(join(tmpdir(), 'book-keeper-hledger-'));
});

afterAll(async () => {
  await opened?.close();
  await database?.drop();
  rmSync(directory, { recursive: true, force: true });
});

interface Outcome extends ImportSummary {
  readonly refusals: readonly ImportRefusal[];
}

async function run(book: string, file: string, options: Partial<ImportOptions> = {}): Promise<Outcome> {
  const refusals: ImportRefusal[] = [];
  const summary = await importFile(
    service,
    {
      book,
      file,
      format: importFormats.hledger as ImportOptions['format'],
      source: 'hledger',
      create: { name: 'Journal', baseCurrency: 'EUR', fiscalYearStart: '01-01' },
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

async function posted(book: string): Promise<JournalEntryPosted[]> {
  const facts = await service.store.readFacts(book, 0, Number.MAX_SAFE_INTEGER);
  return facts.filter(({ eventType }) => eventType === 'JournalEntryPosted').map(({ current }) => current as unknown as JournalEntryPosted);
}

/** All balances at the end of a day, debit positive, without zeros. */
async function balancesAsOf(book: string, asOf: string): Promise<Balances> {
  const balances: Balances = new Map();
  let cursor: string | undefined;
  do {
    const page = await service.queries.balances(book, { asOf, limit: 1_000, cursor });
    for (const { account, currency, net } of page.balances) add(balances, account, currency, units(net));
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return balances;
}

function write(name: string, ...lines: string[]): string {
  const file = join(directory, name);
  writeFileSync(file, lines.join('\n'));
  return file;
}

// --- Real journals ---

interface Journal {
  readonly name: string;
  readonly file: string;
  readonly format: 'hledger' | 'ledger';
  readonly postings: string;
  readonly expected: string;
  readonly defaultType?: AccountType;
}

const journals: readonly Journal[] = [
  {
    name: 'multicurrency',
    file: join(own, 'multicurrency.journal'),
    format: 'hledger',
    postings: join(own, 'multicurrency.postings.csv'),
    expected: join(own, 'expected'),
  },
  {
    name: 'ledger-standard',
    file: join(shared, 'ledger-standard', 'ledger-standard.plain.journal'),
    format: 'hledger',
    postings: join(shared, 'ledger-standard', 'ledger-standard.postings.csv'),
    expected: join(shared, 'expected', 'ledger-standard'),
    defaultType: 'asset',
  },
  {
    name: 'ledger-demo',
    file: join(shared, 'ledger-demo', 'demo.ledger'),
    format: 'ledger',
    postings: join(shared, 'ledger-demo', 'ledger-demo.postings.csv'),
    expected: join(shared, 'expected', 'ledger-demo'),
  },
];

for (const { name, file, format, postings, expected: answers, defaultType } of journals) {
  const [given, title] = existsSync(file) ? [describe, name] : [describe.skip, `${name} [needs: ../shared/data beside the checkout]`];
  given(title, () => {
    const options: Partial<ImportOptions> = { format: importFormats[format], source: format, defaultType };
    let summary: Outcome;
    let expected: Expected;

    beforeAll(async () => {
      expected = readExpected(
        answers,
        readPostings(postings).map(({ account }) => account),
      );
      summary = await run(name, file, options);
    });

    it('is posted entry by entry, with the lines that the other programs see', async () => {
      expect(summary.refusals).toEqual([]);
      const wanted = [...entriesOf(readPostings(postings)).values()].map((rows) => ({
        date: rows[0]?.date,
        lines: rows.map(({ account, commodity, quantity }) => [account, commodity, String(units(quantity))]).sort(),
      }));
      expect(summary).toMatchObject({ posted: wanted.length, alreadyThere: 0, refused: 0 });
      const ours = (await posted(name)).map(({ effectiveDate, lines }) => ({
        date: effectiveDate,
        lines: lines
          .map(({ code, currency, side, amount }) => [code, currency, String(side === 'debit' ? units(amount) : -units(amount))])
          .sort(),
      }));
      expect(ours).toEqual(wanted);
    });

    it('has every balance that the other programs computed', async () => {
      expect(expected.balances.length).toBeGreaterThan(0);
      for (const { date, balances } of expected.balances) {
        expect({ date, balances: shown(await balancesAsOf(name, date)) }).toEqual({ date, balances: shown(balances) });
      }
      for (const { year, rows } of expected.trialBalances) {
        const closing: Balances = new Map();
        const opening: Balances = new Map();
        for (const row of rows) {
          add(closing, row.account, row.commodity, units(row.closing));
          add(opening, row.account, row.commodity, units(row.opening));
        }
        expect(shown(await balancesAsOf(name, `${year}-12-31`))).toEqual(shown(closing));
        expect(shown(await balancesAsOf(name, `${Number(year) - 1}-12-31`))).toEqual(shown(opening));
      }
    });

    it('is posted once, however often it is imported', async () => {
      const { position } = await service.store.head(name);
      expect(await run(name, file, options)).toMatchObject({ posted: 0, alreadyThere: summary.posted, refused: 0, accountsOpened: 0 });
      expect((await service.store.head(name)).position).toBe(position);
    });
  });
}

// --- What is kept ---

describe('an entry of a journal', () => {
  it('keeps code, status, secondary date and comments', async () => {
    const file = write(
      'kept.journal',
      'Y 2024',
      'D 1.000,00 EUR',
      '01-31=02-02 * (INV 7) Müller & Söhne | lamps  ; project: hall',
      '  ; ordered by phone',
      '  Expenses:Office Supplies  1.190,00   ; two lamps',
      '  Assets:Bank              -1.000,00',
      '  Liabilities:Müller',
      '',
    );
    expect(await run('kept', file)).toMatchObject({ posted: 1, refusals: [] });
    const [entry] = await posted('kept');
    expect(entry).toMatchObject({
      effectiveDate: '2024-01-31',
      description: 'Müller & Söhne | lamps',
      reference: 'INV 7',
      entryMethod: 'import',
      source: { system: 'hledger', id: '2024-01-31 (INV 7)' },
      metadata: { comment: 'project: hall\nordered by phone', secondaryDate: '2024-02-02', status: 'cleared' },
    });
    expect(entry?.lines.map(({ code, side, amount, currency, description }) => [code, side, amount, currency, description])).toEqual([
      ['Expenses:Office Supplies', 'debit', '1190.00', 'EUR', 'two lamps'],
      ['Assets:Bank', 'credit', '1000.00', 'EUR', undefined],
      ['Liabilities:Müller', 'credit', '190.00', 'EUR', undefined],
    ]);
    // Found by its code, as by any reference.
    expect((await service.queries.entries('kept', { reference: 'INV 7' })).entries).toHaveLength(1);
  });

  it('may have symbols for currencies, and currencies that ISO 4217 does not know', async () => {
    const file = write(
      'symbols.journal',
      '2024-01-01',
      '  Assets:A  $1,200.50',
      '  Assets:A  3 "VT-2"',
      '  Assets:A  kr 5',
      '  Equity:E',
      '',
    );
    const format = journalFormat(
      'hledger',
      new Map([
        ['kr', 'SEK'],
        ['VT-2', 'VT2'],
      ]),
    );
    expect(await run('symbols', file, { format })).toMatchObject({
      posted: 1,
      currenciesDeclared: [{ code: 'VT2', scale: 0 }],
    });
    const { balances } = await service.queries.balance('symbols', 'Assets:A');
    expect(balances.map(({ currency, net }) => `${net} ${currency}`).sort()).toEqual(['1200.50 USD', '3 VT2', '5.00 SEK']);
  });

  it('opens accounts with the types that the journal declares', async () => {
    const file = write(
      'types.journal',
      'account aktiva  ; type:A',
      'account passiva  ; type:L',
      '',
      '2024-01-01',
      '  aktiva:bank  1 EUR',
      '  passiva:kredit',
      '',
    );
    expect(await run('types', file)).toMatchObject({ posted: 1, accountsOpened: 2 });
    const { accounts } = await service.queries.accounts('types');
    expect(accounts.map(({ code, type }) => [code, type])).toEqual([
      ['aktiva:bank', 'asset'],
      ['passiva:kredit', 'liability'],
    ]);
  });

  it('may lose lines of zero, when that is wished', async () => {
    const file = write('zero.journal', '2024-01-01', '  Assets:A  1 EUR', '  Assets:B  0 EUR', '  Equity:E', '');
    const refused = await run('zero', file);
    expect(refused.refusals).toEqual([expect.objectContaining({ line: 3, code: 'amount_range' })]);
    expect(await run('zero', file, { zeroLines: 'drop' })).toMatchObject({ posted: 1, droppedLines: 1 });
  });

  it('is continued when the journal grew, and named when it was changed', async () => {
    const day = (amount: string): string[] => ['2024-01-01 x', `  Assets:A  ${amount} EUR`, '  Equity:E', ''];
    await run('grown', write('grown.journal', ...day('1'), ...day('2')));
    expect(await run('grown', write('grown.journal', ...day('1.00'), '; a comment', ...day('2'), ...day('3')))).toMatchObject({
      posted: 1,
      alreadyThere: 2,
    });
    const changed = await run('grown', write('grown.journal', ...day('1'), ...day('2'), ...day('4')));
    expect(changed.refusals).toEqual([
      expect.objectContaining({
        line: 10,
        txn: '2024-01-01 #3',
        code: 'idempotency_key_reused',
        reason: expect.stringContaining('lines.0.amount'),
      }),
    ]);
    expect(await posted('grown')).toHaveLength(3);
  });
});

// --- What is refused ---

const good = ['2024-01-01 good', '  Assets:A  1 EUR', '  Equity:E', ''];

describe('a journal with faults', () => {
  it('changes nothing, and has every fault named', async () => {
    const file = write(
      'faults.journal',
      ...good,
      '2024-01-02 virtual',
      '  (Assets:A)  1 EUR',
      '',
      '2024-01-03 price',
      '  Assets:A  1 EUR @ 1.10 USD',
      '  Equity:E',
      '',
      '2024-01-04 unbalanced',
      '  Assets:A  1.00 EUR',
      '  Equity:E  -0.90 EUR',
      '',
      '2024-01-05 asserted',
      '  Assets:A  1 EUR = 5 EUR',
      '  Equity:E',
      '',
    );
    const stopped = await run('faults', file);
    expect(stopped).toMatchObject({ ended: 'refusal', posted: 0, bookOpened: false });
    expect(stopped.refusals.map(({ line, code, reason }) => `${line} ${code}: ${reason}`)).toEqual([
      expect.stringMatching(/^6 malformed: "\(Assets:A\)" is a virtual posting/),
      expect.stringMatching(/^9 malformed: "@ 1\.10 USD" is a price/),
      '13 unbalanced: debits 1.00, credits 0.90, difference 0.10 EUR',
      expect.stringMatching(/^17 malformed: balance assertion: "Assets:A" should be 5 EUR, is 3, difference -2 EUR/),
    ]);
    expect((await service.store.head('faults')).position).toBe(0);
    const rest = await run('faults', file, { onError: 'continue' });
    expect(rest).toMatchObject({ posted: 1, refused: 4 });
    expect((await posted('faults')).map(({ description }) => description)).toEqual(['good']);
  });

  it('is refused as a whole when a directive changes what its entries mean', async () => {
    const file = write('whole.journal', ...good, '= /Food/', '  (Budget)  -1', '');
    await expect(run('whole', file, { onError: 'continue' })).rejects.toMatchObject({
      code: 'malformed',
      message: expect.stringMatching(/whole\.journal:5: "= \/Food\/": automatic postings are not plain/),
    });
    expect((await service.store.head('whole')).position).toBe(0);
  });

  it('names the included file that a fault is in, also when the book refuses it', async () => {
    write('inner.journal', '2024-01-02 in', '  Assets:A  1.005 EUR', '  Equity:E', '');
    const file = write('outer.journal', ...good, 'include inner.journal', '');
    await run('included', write('first.journal', ...good));
    const { refusals } = await run('included', file);
    expect(refusals).toEqual([expect.objectContaining({ file: join(directory, 'inner.journal'), line: 2, code: 'scale_exceeded' })]);
    write('inner.journal', '2024-01-02 in', '  Assets:A  1 EUR', '  Equity:E', '');
    await service.ledger.execute('included', { type: 'FreezeAccount', account: 'Assets:A' }, { key: 'freeze', userId: 'u', source: 'job' });
    const frozen = await run('included', file);
    expect(frozen.refusals).toEqual([expect.objectContaining({ file: join(directory, 'inner.journal'), line: 2, code: 'account_frozen' })]);
  });
});

// --- The command ---

describe('book-keeper import --format hledger', () => {
  const cli = (...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> =>
    new Promise((resolve) => {
      const hook = join(root, 'test', 'support', 'typescript.cjs');
      const child = spawn(
        process.execPath,
        ['--conditions=source', '--require', hook, join(root, 'apps', 'cli', 'src', 'main.ts'), ...args],
        {
          cwd: directory,
          env: { ...process.env, ...opened.environment },
        },
      );
      const said = { stdout: '', stderr: '' };
      child.stdout.on('data', (chunk: Buffer) => (said.stdout += chunk));
      child.stderr.on('data', (chunk: Buffer) => (said.stderr += chunk));
      child.once('close', (code) => resolve({ code, ...said }));
    });
  const importing = (book: string, file: string, ...more: string[]) =>
    cli('import', '--book', book, '--create', '--base-currency', 'SEK', '--format', 'hledger', ...more, file);

  it('imports, and takes codes of symbols', async () => {
    write('cli.journal', '2024-01-01 x', '  Assets:A  5 kr', '  Assets:A  ¥7', '  Equity:E', '');
    const refused = await importing('cli', 'cli.journal');
    expect(refused).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('cli.journal:3: text_invalid: commodity "¥" is no code like EUR'),
    });
    const done = await importing('cli', 'cli.journal', '--currency', 'kr=SEK', '--currency', '¥=JPY');
    expect(done).toMatchObject({ code: 0, stdout: expect.stringMatching(/posted +1\n/) });
    const { balances } = await service.queries.balance('cli', 'Assets:A');
    expect(balances.map(({ currency, net }) => `${net} ${currency}`)).toEqual(['7 JPY', '5.00 SEK']);
  });

  it.each([
    [['--currency', 'kr'], /'kr' is invalid. It is a symbol and the code that it stands for, like kr=SEK/],
    [['--format', 'postings-csv', '--currency', 'kr=SEK'], /--currency goes with --format hledger or ledger/],
  ])('refuses %j', async (options, says) => {
    const ended = await importing('cli', 'cli.journal', ...options);
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code: 2, stdout: '' });
    expect(ended.stderr).toMatch(says);
  });
});
