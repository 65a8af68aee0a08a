/**
 * `book-keeper import`: a file of another program into a book. Shows progress and refusals on stderr and a summary on stdout;
 * ends with the exit code of the first refusal, so that a script notices when anything is missing in the book.
 */
import { basename } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { AccountType } from '#domain';
import type { ImportObserver, ImportOptions, ImportProgress, ImportRefusal, ImportSummary, ImportSurvey } from '#ledger';
import { CliError, exitCodeOfKind, interruptedExitCode, tell, usageExitCode } from './errors';
import { acting, actingKey, type Ended, withService } from './session';

interface Options {
  readonly book: string;
  readonly format: string;
  readonly source?: string;
  readonly create?: true;
  readonly name?: string;
  readonly baseCurrency?: string;
  readonly fiscalYearStart: string;
  readonly timeZone?: string;
  readonly accountTypes?: string;
  readonly defaultType?: string;
  readonly currency?: ReadonlyMap<string, string>;
  readonly encoding?: Encoding;
  readonly entriesBy?: 'number' | 'piece';
  readonly withoutJournal?: readonly string[];
  readonly zeroLines: 'drop' | 'refuse';
  readonly onError: 'stop' | 'continue';
  readonly dryRun?: true;
  readonly key?: string;
}

const formats = ['postings-csv', 'hledger', 'ledger', 'ads', 'fec'];
type Encoding = (typeof encodings)[number];
const encodings = ['utf-8', 'iso-8859-15', 'windows-1252'] as const;
const types = ['asset', 'liability', 'equity', 'income', 'revenue', 'expense', 'memorandum'] satisfies (AccountType | 'revenue')[];

export function importEntries(): Command {
  return new Command('import')
    .summary('import the entries of another program')
    .description(
      [
        'Imports the entries of a file into a book. The file is read and checked as a whole first; then currencies that ISO 4217 does not know, or knows with fewer decimals than the file has, are declared with the largest number of decimals in the file (--dry-run shows them), accounts are opened that the book does not have, and the entries are posted.',
        'Each entry is posted once, however often the import is run: its idempotency key is made of the name of the source and its txn. So an import that was stopped is continued by running the same command again, and an entry that has changed since in the file is refused and named.',
        "The format postings-csv is a CSV file (UTF-8, commas) with the columns txn, date, description, line, account, commodity, quantity and, if wanted, kind: one row per line of an entry, rows with the same txn are one entry, in any order. A positive quantity is a debit, a negative one a credit; decimals are plain, like -1234.50. Where an entry has no description, '(no description)' is stored.",
        'The formats hledger and ledger are journals of plain postings, files that they include from their own folder or below among them. $, € and £ are USD, EUR and GBP; other symbols are named by --currency. Amounts left out are worked out, balance assertions are verified against the entries of the journal before anything is written. A code becomes the reference of the entry, its status, secondary date and comments (tags in them) its metadata, the comment of a posting the text of its line; the status of a single posting, market prices (P), payees and tags that are declared are dropped. Refused, with file and line, are virtual postings, prices (@) and lots, balance assignments, postings with a date of their own, automatic (=) and periodic (~) entries, aliases and expressions.',
        'The txn of an entry of a journal is its date and code, and its place among the entries with the same date and code.',
        'The format ads is GL_Detail of the AICPA Audit Data Standards: columns by their names, with or without underscores, in any order, separated by | or commas. Amounts have a D or C beside them, or a sign; times without a zone are UTC. An entry is its Journal_ID. Its Source becomes its day book; Source, Journal_ID, who entered and approved it and when are kept in source.original; Business_Unit_Code, segments and columns that the standard does not know become dimensions of the line.',
        'The format fec is the French fichier des écritures comptables (article A47 A-1 LPF), separated by tabs or |, with Debit and Credit or Montant and Sens; UTF-8, ISO 8859-15 or Windows-1252, which is found out unless --encoding says it. An entry is its JournalCode, EcritureDate and EcritureNum. Day books are defined where the book lacks them; entries of the day book of à-nouveaux get the type opening. PieceRef and PieceDate become the document, CompAuxNum the party (CompAuxLib is left out, because books hold no names of persons), EcritureLet and DateLet dimensions, ValidDate metadata.',
        'An amount that ads or fec give in another currency too is posted in that currency, with its base amount, where the book tracks exchange rates (fx: tracked); else it is kept as the quantity of the line.',
        'The type of an account that has to be opened follows from the first segment of its code: Assets, Liabilities, Equity, Income, Revenue or Revenues, Expenses, in any case; in an hledger journal from the type: tag of its account directive, or of one above it, that stands before its first use; in a fec file from its class in the plan comptable général.',
      ].join('\n\n'),
    )
    .argument('<file>', 'the file to import')
    .requiredOption('--book <id>', 'the book to import into')
    .addOption(new Option('--format <name>', 'what the file is').choices(formats).makeOptionMandatory())
    .option('--source <name>', "name of where the entries come from; another name makes them other entries (default: the format's name)")
    .option('--create', 'open the book when it does not exist')
    .option('--base-currency <code>', 'with --create: its base currency')
    .option('--name <text>', 'with --create: its name (default: its id)')
    .option('--fiscal-year-start <MM-DD>', 'with --create: first day of its fiscal years', '01-01')
    .option('--time-zone <name>', 'with --create: its time zone, such as Europe/Berlin (default: UTC)')
    .option(
      '--account-types <file>',
      'CSV file with the columns account, type and, if wanted, name, or a Chart_Of_Accounts of the Audit Data Standards; it wins over what the file or the code of an account says',
    )
    .addOption(new Option('--default-type <type>', 'type of accounts whose code says nothing; without it they are refused').choices(types))
    .option(
      '--currency <symbol=code>',
      'all but postings-csv: the code of what the file calls a currency, such as kr=SEK, or =EUR for amounts without one; may be given several times',
      currencyOption,
    )
    .addOption(new Option('--encoding <name>', 'ads and fec: the character set of the file').choices(encodings))
    .addOption(
      new Option(
        '--entries-by <what>',
        'fec: what names an entry beside day book and date: EcritureNum, or PieceRef where a program numbers lines instead of entries (default: number)',
      ).choices(['number', 'piece']),
    )
    .option(
      '--without-journal <code>',
      'fec: leaves out the entries of a day book, such as AN of a year whose opening balances the book has already; may be given several times',
      (code: string, known: readonly string[] = []) => [...known, code],
    )
    .addOption(
      new Option('--zero-lines <what>', 'lines of quantity 0, which an entry cannot have').choices(['drop', 'refuse']).default('refuse'),
    )
    .addOption(
      new Option('--on-error <what>', 'after an entry was refused: stop, or go on without it')
        .choices(['stop', 'continue'])
        .default('stop'),
    )
    .option('--dry-run', 'check the file and say what would happen; nothing is written')
    .addOption(
      new Option('--key <name>', "API key that the events name as their author (default: the first administrator's)").env(
        'BOOK_KEEPER_KEY',
      ),
    )
    .action(run);
}

/** Collects `--currency SYMBOL=CODE`; the form of a code as in the domain, which is not loaded yet. @throws InvalidArgumentError */
function currencyOption(text: string, known: ReadonlyMap<string, string> = new Map()): ReadonlyMap<string, string> {
  const at = text.lastIndexOf('=');
  if (at < 0 || !/^[A-Za-z0-9][A-Za-z0-9._-]{0,23}$/.test(text.slice(at + 1))) {
    throw new InvalidArgumentError('It is a symbol and the code that it stands for, like kr=SEK.');
  }
  return new Map([...known, [text.slice(0, at), text.slice(at + 1)]]);
}

/** Options that mean something to some formats only. */
function formatOptions({ currency, encoding, entriesBy, withoutJournal }: Options) {
  return [
    { option: '--currency', given: currency !== undefined, goesWith: formats.filter((format) => format !== 'postings-csv') },
    { option: '--encoding', given: encoding !== undefined, goesWith: ['ads', 'fec'] },
    { option: '--entries-by', given: entriesBy !== undefined, goesWith: ['fec'] },
    { option: '--without-journal', given: withoutJournal !== undefined, goesWith: ['fec'] },
  ];
}

async function run(file: string, options: Options, command: Command): Promise<void> {
  if (options.create && options.baseCurrency === undefined)
    command.error('error: --create needs --base-currency', { exitCode: usageExitCode });
  for (const { option, given, goesWith } of formatOptions(options)) {
    if (given && !goesWith.includes(options.format))
      command.error(`error: ${option} goes with --format ${goesWith.join(' or ')}`, { exitCode: usageExitCode });
  }
  // Before anything is opened, so that Ctrl-C is heard from the first moment on; a second one ends the process at once.
  const { untilSignal } = await import('#ledger');
  const stop = new AbortController();
  const screen = new Screen(file);
  void untilSignal().then(() => {
    screen.say('stopping; what is under way is finished first (Ctrl-C again: at once)');
    stop.abort();
  });
  process.exitCode = await withService(
    async (service) => {
      const { importFile, importFormat, readAccountTypes, accountTypeOf } = await import('#ledger');
      const { currency: currencies, encoding, entriesBy, withoutJournal } = options;
      const format = importFormat(options.format, { currencies, encoding, entriesBy, withoutJournals: new Set(withoutJournal) });
      if (format === undefined) throw new CliError(`there is no format ${options.format}`, usageExitCode);
      const wanted: ImportOptions = {
        book: options.book,
        file,
        format,
        source: options.source ?? options.format,
        create:
          options.create && options.baseCurrency !== undefined
            ? {
                name: options.name ?? options.book,
                baseCurrency: options.baseCurrency,
                fiscalYearStart: options.fiscalYearStart,
                timeZone: options.timeZone,
              }
            : undefined,
        accountTypes: options.accountTypes === undefined ? undefined : await readAccountTypes(options.accountTypes),
        defaultType: options.defaultType === undefined ? undefined : accountTypeOf(options.defaultType),
        zeroLines: options.zeroLines,
        onError: options.onError,
        dryRun: options.dryRun === true,
        userId: await actingKey(service, options.key),
        signal: stop.signal,
      };
      const act = {
        bookId: options.book,
        kind: 'command',
        action: 'import',
        userId: wanted.userId,
        asked: { format: options.format },
      } as const;
      const summary = options.dryRun
        ? await importFile(service, wanted, screen)
        : await acting(service, act, () => importFile(service, wanted, screen), endedAs);
      screen.clear();
      process.stdout.write(summaryText(file, options, summary));
      return exitCodeOf(summary);
    },
    { project: true },
  );
}

/** An import that was stopped, or in which entries were refused, is not simply done. */
function endedAs({ ended, posted, refused, firstRefusal }: ImportSummary): Ended {
  const said = { rows: posted, ...(refused === 0 ? {} : { refused, code: firstRefusal?.code }) };
  if (ended === 'signal' || typeof ended === 'object') return { ...said, outcome: 'broken_off' };
  return refused === 0 ? said : { ...said, outcome: posted > 0 ? 'partly' : 'refused' };
}

async function exitCodeOf({ ended, firstRefusal }: ImportSummary): Promise<number> {
  if (ended === 'signal') return interruptedExitCode;
  if (typeof ended === 'object') return exitCodeOfKind(ended.kind);
  if (firstRefusal === undefined) return 0;
  const { errorTable } = await import('#domain');
  return exitCodeOfKind(errorTable[firstRefusal.code].kind);
}

// --- What is shown while it runs ---

const redrawMs = 100;
/** Where stderr is a file, a line now and then. */
const lineEveryMs = 5_000;
const waitingEveryMs = 5_000;

class Screen implements ImportObserver {
  private readonly tty = process.stderr.isTTY === true;
  private shownAt = 0;
  private waitingAt = 0;
  private drawn = false;

  constructor(private readonly file: string) {}

  surveyed = (survey: ImportSurvey, seconds: number): void => {
    this.say(`${basename(this.file)}: ${surveyText(survey)} (checked in ${seconds.toFixed(1)} s)`);
    this.shownAt = performance.now();
  };

  refused = ({ file, line, code, reason }: ImportRefusal): void => this.say(`${file}:${line}: ${code}: ${reason}`);

  progress = (progress: ImportProgress): void => {
    const now = performance.now();
    if (now - this.shownAt < (this.tty ? redrawMs : lineEveryMs)) return;
    this.shownAt = now;
    const text = progressText(progress);
    this.drawn = this.tty;
    process.stderr.write(this.tty ? `\r${text}\u001b[K` : `${text}\n`);
  };

  waiting = (reason: string): void => {
    const now = performance.now();
    if (now - this.waitingAt < waitingEveryMs) return;
    this.waitingAt = now;
    this.say(`waiting: ${reason}`);
  };

  say(text: string): void {
    this.clear();
    process.stderr.write(`${text}\n`);
  }

  /** Removes the line of progress. */
  clear(): void {
    if (this.drawn) process.stderr.write('\r\u001b[K');
    this.drawn = false;
  }
}

function progressText({ done, total, seconds }: ImportProgress): string {
  const rate = done / Math.max(seconds, 0.001);
  const left = (total - done) / Math.max(rate, 0.001);
  const percent = Math.floor((100 * done) / Math.max(total, 1));
  // The first entries say nothing yet of the rate.
  const forecast = seconds < 1 ? '' : `, ${count(Math.round(rate))}/s, ${duration(left)} left`;
  return `posting ${count(done)} of ${count(total)} entries (${percent} %)${forecast}`;
}

function surveyText({ entries, lines, accounts, currencies, from, to }: ImportSurvey): string {
  const dates = from === undefined ? '' : `, ${from} … ${to}`;
  const things = [counted(entries, 'entry', 'entries'), counted(lines, 'line'), counted(accounts, 'account')];
  return `${things.join(', ')}, ${counted(currencies.length, 'currency', 'currencies')}${dates}`;
}

function summaryText(file: string, { book, dryRun, onError }: Options, summary: ImportSummary): string {
  const { survey, posted, alreadyThere, refused, droppedLines, accountsOpened, currenciesDeclared, dayBooksDefined, bookOpened } = summary;
  const { seconds, postingSeconds } = summary;
  const dates = survey.from === undefined ? '' : `, ${survey.from} … ${survey.to}`;
  const currencies = currenciesDeclared.map(({ code, scale }) => `${code} (${counted(scale, 'decimal')})`).join(', ');
  const rate = postingSeconds > 0 ? `, ${count(Math.round((posted + alreadyThere) / postingSeconds))} entries/s while posting` : '';
  const facts: [string, string][] = [
    ['read', `${counted(survey.entries, 'entry', 'entries')}, ${counted(survey.lines, 'line')}${dates}`],
    ...(bookOpened ? [[dryRun ? 'book to open' : 'book opened', book] satisfies [string, string]] : []),
    [dryRun ? 'currencies to declare' : 'currencies declared', currencies === '' ? '0' : currencies],
    ...(dayBooksDefined.length > 0
      ? [[dryRun ? 'day books to define' : 'day books defined', dayBooksDefined.join(', ')] satisfies [string, string]]
      : []),
    [dryRun ? 'accounts to open' : 'accounts opened', count(accountsOpened)],
    ...(dryRun
      ? []
      : ([
          ['posted', count(posted)],
          ['already there', count(alreadyThere)],
        ] satisfies [string, string][])),
    ['refused', count(refused)],
    ['lines of quantity 0 dropped', count(droppedLines)],
    ['time', `${seconds.toFixed(1)} s${rate}`],
  ];
  const width = Math.max(...facts.map(([name]) => name.length));
  const title = dryRun ? `${basename(file)}, checked for book ${book}` : `${basename(file)} into book ${book}`;
  return [title, ...facts.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`), ...advice(summary, { dryRun, onError }), ''].join(
    '\n',
  );
}

/** What to do next, when there is something to do. */
function advice(
  { ended, refused, posted, alreadyThere, survey }: ImportSummary,
  { dryRun, onError }: Pick<Options, 'dryRun' | 'onError'>,
): string[] {
  if (dryRun && refused === 0) return ['Nothing was written (--dry-run). The file can be imported.'];
  if (dryRun) return ['Nothing was written (--dry-run).'];
  const again = 'Run the same command again to continue; what is posted already is not posted twice.';
  if (ended === 'signal')
    return [`Stopped before the end: ${count(posted + alreadyThere)} of ${count(survey.entries)} entries are in the book. ${again}`];
  if (ended === 'refusal' && posted + alreadyThere === 0 && refused === survey.refused) {
    return ['Nothing was written. Mend the file, or leave these entries out with --on-error continue.'];
  }
  if (ended === 'refusal')
    return [
      'Stopped after a refusal; entries that were under way then are posted. Mend what was refused, or add --on-error continue.',
      again,
    ];
  if (ended !== undefined) return [`Ended early: ${tell(ended)}`, again];
  if (refused > 0 && onError === 'continue')
    return [`${count(refused)} entries are missing in the book; see above for where they stand in the file.`];
  return [];
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}

function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  const parts = [Math.floor(whole / 3_600), Math.floor(whole / 60) % 60, whole % 60];
  return `${parts[0] === 0 ? '' : `${parts[0]}:`}${String(parts[1]).padStart(parts[0] === 0 ? 1 : 2, '0')}:${String(parts[2]).padStart(2, '0')}`;
}
