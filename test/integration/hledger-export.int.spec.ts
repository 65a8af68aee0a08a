/**
 * Books of every kind as files of other programs: hledger, ledger, Beancount and DuckDB, reading them, have every balance that the book
 * has, at random dates and as known at random positions, whole and from a day on; our own import reads journals back. And the export
 * itself: the same bytes for ever, whole files only.
 *
 * EXPORT_SEED chooses dates, positions and histories; each failure names it.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { unzipSync } from 'fflate';
import { type AccountType, addDays } from '#domain';
import {
  type ExportQuestion,
  exportBook,
  exportFormats,
  type ImportOptions,
  importFile,
  importFormats,
  type KnownAt,
  type Service,
} from '#ledger';
import { type Ended, startCommand, startScript } from '../support/cli';
import { type TestDatabase, testDatabase } from '../support/database';
import { bytesIn } from '../support/exported-books';
import { HistoryBuilder, random } from '../support/histories';
import {
  askBeancount,
  askHledger,
  askHledgerMonthly,
  askLedger,
  beancountPrograms,
  checkBeancount,
  withPrograms,
} from '../support/other-programs';
import { add, type Balances, readPostings, shown, units } from '../support/postings';
import { ReferenceLedger } from '../support/reference-ledger';
import { openTestService, type TestService } from '../support/services';

const seed = Number(process.env.EXPORT_SEED ?? Date.now() % 1_000_000);
const own = join(__dirname, '..', 'data');
/** Ledgers of other people, which the project may use and not copy. */
const shared = join(__dirname, '..', '..', '..', 'shared', 'data');

let database: TestDatabase;
let opened: TestService;
let service: Service;
let directory: string;

beforeAll(async () => {
  database = await testDatabase();
  opened = await openTestService(database.appUrl);
  service = opened.service;
  directory = mkdtempSync(join(tmpdir(), 'book-keeper-export-'));
  await randomBook('source', seed, 30);
});

afterAll(async () => {
  await opened?.close();
  await database?.drop();
  rmSync(directory, { recursive: true, force: true });
});

// --- The grammar of the specs below ---

let files = 0;

/** A book as a file, with the position that it holds for. */
async function exported(
  book: string,
  knownAt?: KnownAt,
  format = 'hledger',
  range: Omit<ExportQuestion, 'knownAt'> = {},
): Promise<{ file: string; text: string; position: number }> {
  const begun = await exportBook(service, book, format, { knownAt, ...range });
  const bytes = await bytesIn(begun.content);
  const file = join(directory, `${++files}-${begun.fileName}`);
  writeFileSync(file, bytes);
  return { file, text: bytes.toString(), position: begun.position };
}

/** All balances of the book at the end of a day, debit positive, without zeros. */
async function ours(book: string, asOf: string, knownAt: KnownAt): Promise<Balances> {
  const balances: Balances = new Map();
  let cursor: string | undefined;
  do {
    const page = await service.queries.balances(book, { asOf, knownAt, limit: 1_000, cursor });
    for (const { account, currency, net } of page.balances) add(balances, account, currency, units(net));
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return balances;
}

async function imported(book: string, file: string, format: string, more: Partial<ImportOptions> = {}): Promise<void> {
  const options: ImportOptions = {
    book,
    file,
    format: importFormats[format] as ImportOptions['format'],
    source: format,
    create: { name: `Book "${book}"`, baseCurrency: 'EUR', fiscalYearStart: '01-01' },
    zeroLines: 'refuse',
    onError: 'stop',
    dryRun: false,
    userId: service.bootstrapKey.id,
    ...more,
  };
  const refused = ({ line, reason }: { line: number; reason: string }): never => {
    throw new Error(`${file}:${line}: ${reason}`);
  };
  await importFile(service, options, { refused });
}

/** A book with changed codes, entries of all dates, reversals, lines of zero. */
async function randomBook(book: string, own: number, batches: number): Promise<void> {
  const clock: { now: () => number } = { now: () => 0 };
  const ledger = await ReferenceLedger.open(database.adminUrl, { now: () => clock.now() });
  try {
    const builder = new HistoryBuilder(ledger, book, random(own));
    clock.now = builder.now;
    await builder.open();
    for (let batch = 0; batch < batches; batch++) await builder.batch();
  } finally {
    await ledger.close();
  }
}

type Check = (program: string, asOf: string, theirs: Balances) => Promise<void>;
/** What one of the programs says of a book that it reads from a file, at dates. */
type Asking = (file: string, dates: readonly string[], check: Check) => Promise<void>;

/** Asking hledger for all months costs as much as asking for one day; comparing each of them would take long. */
const monthly: Asking = async (file, _, check) => {
  for (const [asOf, balances] of [...(await askHledgerMonthly(file))].filter((_, index) => index % 4 === seed % 4))
    await check('hledger', asOf, balances);
};
const journal: Asking = async (file, dates, check) => {
  await check('hledger', dates[0] as string, await askHledger(file, dates[0] as string));
  for (const asOf of dates) await check('ledger', asOf, await askLedger(file, asOf));
};
const pedantic: Asking = async (file, dates, check) => {
  for (const asOf of dates) await check('ledger --pedantic', asOf, await askLedger(file, asOf, ['--pedantic']));
};
const beancount: Asking = async (file, dates, check) => {
  expect({ seed, file, wrong: await checkBeancount(file) }).toEqual({ seed, file, wrong: '' });
  for (const asOf of dates) await check('bean-query', asOf, await askBeancount(file, asOf));
};

/** Compares a book as known at a position with what a program says of its export, and of one that begins on the earliest of the dates. */
async function compare(
  book: string,
  knownAt: KnownAt | undefined,
  dates: readonly string[],
  format: string,
  ...askings: readonly Asking[]
): Promise<number> {
  const sorted = [...dates].sort();
  let compared = 0;
  for (const range of [{}, { from: sorted[0], to: sorted.at(-1) }]) {
    const { file, position } = await exported(book, knownAt, format, range);
    const check: Check = async (program, asOf, theirs) => {
      const question = { seed, book, position, range, asOf, program };
      expect({ ...question, balances: shown(theirs) }).toEqual({ ...question, balances: shown(await ours(book, asOf, position)) });
      compared += theirs.size;
    };
    // All months are those of the whole book.
    for (const ask of askings) if (ask !== monthly || range.from === undefined) await ask(file, dates, check);
  }
  return compared;
}

// --- Other programs ---

interface Ledger {
  readonly name: string;
  readonly file: string;
  readonly defaultType?: AccountType;
}
const ledgers: readonly Ledger[] = [
  { name: 'multicurrency', file: join(own, 'multicurrency', 'multicurrency.postings.csv') },
  { name: 'ledger-standard', file: join(shared, 'ledger-standard', 'ledger-standard.postings.csv'), defaultType: 'asset' },
  { name: 'ledger-demo', file: join(shared, 'ledger-demo', 'ledger-demo.postings.csv') },
];

/** Ledgers that were imported already, since each is asked of several programs. */
const importing = new Map<string, Promise<void>>();
function importedOnce({ name, file, defaultType }: Ledger): Promise<void> {
  const begun = importing.get(name) ?? imported(name, file, 'postings-csv', { defaultType });
  importing.set(name, begun);
  return begun;
}
const randoms = new Map<string, Promise<void>>();
function randomOnce(book: string, own: number): Promise<void> {
  const begun = randoms.get(book) ?? randomBook(book, own, 20);
  randoms.set(book, begun);
  return begun;
}

/** Specs of the programs that read one format. */
function specsOf(format: string, ...askings: readonly Asking[]): void {
  for (const ledger of ledgers) {
    const { name, file } = ledger;
    const [given, title] = existsSync(file) ? [it, name] : [it.skip, `${name} [needs: ../shared/data beside the checkout]`];
    given(`the ledger ${title}, at random dates, as known at random positions`, async () => {
      const chance = random(seed);
      await importedOnce(ledger);
      const dates = [...new Set(readPostings(file).map(({ date }) => date))];
      const { position: head } = await service.store.head(name);
      let compared = 0;
      for (const knownAt of [undefined, 1 + chance.below(head)]) {
        const asked = Array.from({ length: 3 }, () => addDays(chance.pick(dates), chance.below(3) - 1));
        const asking = askings.filter((ask) => ask !== monthly || knownAt === undefined);
        compared += await compare(name, knownAt, asked, format, ...asking);
      }
      expect(compared).toBeGreaterThan(10);
    });
  }

  it('random histories, whose accounts get other codes and whose entries are back-dated', async () => {
    let compared = 0;
    for (let index = 0; index < 2; index++) {
      const book = `random-${index}`;
      const chance = random(seed + index);
      await randomOnce(book, seed + index);
      const { position: head } = await service.store.head(book);
      for (const knownAt of [undefined, 0, ...Array.from({ length: 3 }, () => 1 + chance.below(head))]) {
        const asked = Array.from({ length: 3 }, () => addDays('2024-03-01', chance.below(800) - 400));
        compared += await compare(book, knownAt, asked, format, ...askings.filter((ask) => ask !== monthly));
      }
    }
    expect(compared).toBeGreaterThan(100);
  });
}

withPrograms('hledger and ledger have the balances of', () => specsOf('hledger', journal, monthly));
withPrograms('ledger, reading its own format, has the balances of', () => specsOf('ledger', pedantic), ['ledger']);
withPrograms('Beancount finds nothing wrong with, and has the balances of', () => specsOf('beancount', beancount), beancountPrograms);

describe('DuckDB has the balances of', () => {
  let duckdb: DuckDBConnection;
  beforeAll(async () => {
    duckdb = await (await DuckDBInstance.create(':memory:')).connect();
    // Its cache tells a file by name and time.
    await duckdb.run('SET enable_external_file_cache = false');
  });
  afterAll(() => duckdb.closeSync());

  const parquet: Asking = async (folder, dates, check) => {
    // What was before the range stands in the balances.
    const opening = `SELECT account, currency, decimals, openingMinor AS minor FROM '${folder}/balances.parquet'`;
    for (const asOf of dates) {
      const lines = `SELECT account, currency, decimals, coalesce(debitMinor, -creditMinor) FROM '${folder}/lines.parquet' WHERE effectiveDate <= '${asOf}'`;
      const reader = await duckdb.runAndReadAll(
        `SELECT account, currency, decimals, sum(minor)::TEXT FROM (${opening} UNION ALL ${lines}) GROUP BY ALL`,
      );
      const balances: Balances = new Map();
      for (const [account, currency, decimals, minor] of reader.getRows() as [string, string, bigint, string][])
        add(balances, account, currency, BigInt(minor) * 10n ** (18n - decimals));
      await check('DuckDB', asOf, balances);
    }
  };
  const unpacked: Asking = async (file, dates, check) => {
    const folder = `${file}.files`;
    mkdirSync(folder);
    for (const [name, bytes] of Object.entries(unzipSync(readFileSync(file)))) writeFileSync(join(folder, name), bytes);
    await parquet(folder, dates, check);
  };
  specsOf('parquet', unpacked);
});

// --- Our own import ---

describe('an export read back by our own import', () => {
  it.each(['hledger', 'ledger'])('as %s has the same balances, on accounts of the same types', async (format) => {
    const { file, position, text } = await exported('source');
    expect(text).toContain(' BHD ');
    // An entry without any amount has nothing to read back.
    await imported(`read-as-${format}`, file, format, { zeroLines: 'drop', defaultType: 'asset' });
    for (const asOf of ['2023-06-30', '2024-02-29', '2024-03-01', '2199-12-31']) {
      const [was, is] = [
        await ours('source', asOf, position),
        shown(await ours(`read-as-${format}`, asOf, await headOf(`read-as-${format}`))),
      ];
      expect({ seed, asOf, balances: is }).toEqual({ seed, asOf, balances: shown(was) });
    }
    if (format !== 'hledger') return; // the other directive says nothing of types
    const typesOf = async (book: string): Promise<Record<string, string>> =>
      Object.fromEntries((await service.queries.accounts(book, { limit: 1_000 })).accounts.map(({ code, type }) => [code, type]));
    expect(await typesOf('source')).toMatchObject(await typesOf('read-as-hledger'));
  });

  it('keeps names that a journal cannot hold', async () => {
    const codes = ['Assets;Till  1', '(Equity)', 'check this', 'Assets::Bank'];
    const file = join(directory, 'odd.csv');
    const row = (line: number, account: string, quantity: string, unit: string): string =>
      `1,2026-01-01,a; b | c,${line},${account},${unit},${quantity},posting`;
    const rows = codes.flatMap((code, index) => [row(2 * index + 1, code, '5400', 'h'), row(2 * index + 2, 'Equity:E', '-5400', 'h')]);
    writeFileSync(file, ['txn,date,description,line,account,commodity,quantity,kind', ...rows, ''].join('\n'));
    await imported('odd', file, 'postings-csv', { defaultType: 'asset' });
    const { file: journal, text, position } = await exported('odd');
    for (const code of codes) expect(text).toContain(`stands for ${JSON.stringify(code)}\n`);
    await imported('odd-again', journal, 'hledger');
    const balances = shown(await ours('odd-again', '2026-01-01', await headOf('odd-again')));
    expect(balances).toEqual(shown(await ours('odd', '2026-01-01', position)));
    expect(Object.keys(balances)).toEqual(expect.arrayContaining(codes.map((code) => `${code}\th`)));
    expect((await service.queries.entries('odd-again')).entries[0]?.description).toBe('a; b | c');
  });

  const headOf = async (book: string): Promise<number> => (await service.store.head(book)).position;
});

// --- The export itself ---

describe('an export', () => {
  const book = 'itself';
  const post = async (code: string, amount = '1.00'): Promise<void> => {
    const answer = await service.ledger.execute(
      book,
      {
        type: 'PostEntry',
        effectiveDate: '2026-01-01',
        description: 'one',
        lines: [
          { account: code, side: 'debit', amount, currency: 'EUR' },
          { account: 'Equity', side: 'credit', amount, currency: 'EUR' },
        ],
      },
      { key: `post ${Math.random()}`, userId: service.bootstrapKey.id, source: 'job' },
    );
    if (answer.status >= 400) throw new Error(answer.body);
  };
  const command = async (wanted: Parameters<Service['ledger']['execute']>[1]): Promise<void> => {
    const answer = await service.ledger.execute(book, wanted, {
      key: `do ${Math.random()}`,
      userId: service.bootstrapKey.id,
      source: 'job',
    });
    if (answer.status >= 400) throw new Error(answer.body);
  };

  beforeAll(async () => {
    await command({ type: 'OpenBook', id: book, name: 'Itself', baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2026-01-01' });
    await command({ type: 'OpenAccount', code: 'Cash', name: 'Cash', accountType: 'asset', subtype: 'cash' });
    await command({ type: 'OpenAccount', code: 'Equity', name: 'Equity', accountType: 'equity' });
    await post('Cash');
  });

  it('at one position is the same for ever, whatever happens later; accounts have the code valid then', async () => {
    const before = await exported(book);
    const { recordedAt } = (await service.queries.entries(book)).entries[0] ?? { recordedAt: '' };
    await command({ type: 'ChangeAccountCode', account: 'Cash', code: 'Till' });
    await command({ type: 'EnableCurrency', code: 'POINTS', scale: 0 });
    await post('Till');
    expect((await exported(book, before.position)).text).toBe(before.text);
    // The entry's legs have its recordedAt, so the instant and the head were the same position.
    expect(await exported(book, recordedAt)).toMatchObject({ position: before.position, text: before.text });
    const now = await exported(book);
    expect(before.text).toMatch(/\naccount Cash\n {2}; type: C\n/);
    expect(now.text).not.toContain('Cash  ');
    expect(now.text.match(/\n {4}Till {2}1\.00 EUR {2}; line: 1\n/g)).toHaveLength(2);
    expect(now.text).toContain('commodity POINTS\n');
  });

  // Those for tax offices want more of a book; test/integration/audit-exports.int.spec.ts does the same with them.
  it.each(exportFormats.filter((name) => !['saf-t-no', 'fec', 'ads'].includes(name)))(
    'as %s is the same for ever, whole and of a range, whatever happens later',
    async (format) => {
      const { position } = await service.store.head(book);
      const whole = await exported(book, undefined, format);
      const some = await exported(book, undefined, format, { from: '2026-01-02', to: '2026-01-31' });
      expect(readFileSync(some.file).equals(readFileSync(whole.file))).toBe(false);
      await post('Cash', '2.00');
      expect(readFileSync((await exported(book, position, format)).file).equals(readFileSync(whole.file))).toBe(true);
      const again = await exported(book, position, format, { from: '2026-01-02', to: '2026-01-31' });
      expect(readFileSync(again.file).equals(readFileSync(some.file))).toBe(true);
    },
  );

  it('goes on where that of an earlier position ends: a reversal names what it reverses, which stays as it was', async () => {
    const before = await exported(book);
    const id = (await service.queries.entries(book)).entries[0]?.id ?? '';
    await command({ type: 'ReverseEntry', entryId: id, reason: 'twice', effectiveDate: '2026-01-02' });
    const { text } = await exported(book);
    const entriesIn = (whole: string): string => whole.slice(whole.indexOf('\n2026-'), whole.indexOf('\n; end of the journal'));
    expect(entriesIn(text).startsWith(entriesIn(before.text))).toBe(true);
    expect(entriesIn(text).slice(entriesIn(before.text).length)).toContain(`    ; entryType: reversal\n    ; reverses: ${id}\n`);
  });

  it.each([
    ['itself', 'paper', undefined, 'format_unknown'],
    ['itself', 'constructor', undefined, 'format_unknown'],
    ['nobody', 'hledger', undefined, 'book_unknown'],
    ['itself', 'hledger', 9_999, 'date_invalid'],
    ['itself', 'hledger', 'yesterday', 'date_invalid'],
  ])('of %s as %s known at %s is refused before anything is written', async (id, format, knownAt, code) => {
    await expect(exportBook(service, id, format, { knownAt })).rejects.toMatchObject({ code });
  });

  it('that the format cannot hold is refused before anything is written, and says why', async () => {
    const file = join(directory, 'huge.csv');
    const row = (line: number, account: string, quantity: string): string => `1,2026-01-01,x,${line},${account},EUR,${quantity},posting`;
    const rows = [row(1, 'Assets:A', '99999999999999999999999999.99'), row(2, 'Equity:E', '-99999999999999999999999999.99')];
    writeFileSync(file, ['txn,date,description,line,account,commodity,quantity,kind', ...rows, ''].join('\n'));
    await imported('huge', file, 'postings-csv');
    await expect(exportBook(service, 'huge', 'beancount')).rejects.toMatchObject({
      code: 'export_unfit',
      message: expect.stringContaining(
        'debits and credits in EUR sum to 199999999999999999999999999.98, and Beancount counts with 28 digits',
      ),
      details: { problems: 1 },
    });
    expect((await exported('huge', undefined, 'hledger')).text).toContain('99999999999999999999999999.99 EUR');
  });

  describe('by the command line', () => {
    const cli = (...args: string[]): Promise<Ended> => startCommand(['export', ...args], opened.environment, directory).ended;

    it('goes to stdout, with the position on stderr', async () => {
      const { text, position } = await exported(book);
      expect(await cli(book, '--format', 'hledger')).toEqual({
        code: 0,
        stdout: text,
        stderr: `${book}, as known at position ${position}\n`,
      });
      const early = await cli(book, '--format', 'hledger', '--known-at', '6');
      expect(early).toMatchObject({ code: 0, stdout: (await exported(book, 6)).text });
    });

    it('may be binary, and of a range', async () => {
      const file = join(directory, 'range.xlsx');
      const range = { from: '2026-01-01', to: '2026-01-01' };
      const ended = await cli(book, '--format', 'xlsx', '--from', range.from, '--to', range.to, '--output', file);
      expect(ended).toMatchObject({ code: 0, stdout: '' });
      expect(readFileSync(file).equals(readFileSync((await exported(book, undefined, 'xlsx', range)).file))).toBe(true);
    });

    it('goes to a file, which it replaces when it is whole and leaves alone when it cannot be', async () => {
      mkdirSync(join(directory, 'out'));
      const file = join(directory, 'out', 'a.journal');
      expect(await cli(book, '--format', 'hledger', '--output', file)).toMatchObject({ code: 0, stdout: '' });
      const { text } = await exported(book);
      expect(readFileSync(file, 'utf8')).toBe(text);
      expect(await cli('nobody', '--format', 'hledger', '--output', file)).toMatchObject({ code: 3, stdout: '' });
      expect(readFileSync(file, 'utf8')).toBe(text);
      const link = join(directory, 'link.journal');
      symlinkSync(file, link);
      writeFileSync(file, 'old');
      expect(await cli(book, '--format', 'hledger', '--output', link)).toMatchObject({ code: 0 });
      expect(readFileSync(file, 'utf8')).toBe(text);
      expect(readdirSync(join(directory, 'out'))).toEqual(['a.journal']);
    });

    it.each([
      [['itself'], 2, /required option '--format <name>' not specified/],
      [['itself', '--format', 'paper'], 2, /there is no format paper, only hledger/],
      [['itself', '--format', 'hledger', '--output', '/dev/null'], 2, /\/dev\/null is no file that could be replaced/],
      [['itself', '--format', 'hledger', '--output', 'no/such/folder/x'], 2, /cannot be written: ENOENT/],
      [['itself', '--format', 'hledger', '--known-at', 'soon'], 2, /^date_invalid: /],
    ])('%j ends with %i', async (args, code, says) => {
      const ended = await cli(...args);
      expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code, stdout: '' });
      expect(ended.stderr).toMatch(says);
    });

    it('ends quietly when its reader has seen enough', async () => {
      const script = '{ $BOOK_KEEPER export source --format hledger; echo "ended with $?" >&2; } | head -n 1';
      const ended = await startScript(script, opened.environment).ended;
      expect(ended).toMatchObject({ stdout: expect.stringMatching(/^; Book source, .*\n$/), stderr: 'ended with 0\n' });
    });
  });
});
