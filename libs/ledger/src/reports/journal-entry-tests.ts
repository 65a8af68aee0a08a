/**
 * The report journal-entry-tests: which entries of a range an auditor should look at, and why. Hides that the range is read twice,
 * once to count what is frequent and once to list what is not, and what is kept in between. Guarantees that a listing holds a read of
 * entries, the counts of Frequencies and the positions of reversed entries at a time, whatever the book, and that the summary counts
 * exactly the hits that are listed.
 */
import { type CalendarDate, clockIn, type PostedLine, type Side } from '#domain';
import { instantMicros } from '#event-store';
import {
  countEntries,
  countRepeats,
  type EntryKey,
  entriesAt,
  findEntries,
  numberGaps,
  type RepeatedLine,
  type RepeatSearch,
  register,
  repeatedLines,
} from '../projections/register';
import type { Queries } from '../queries';
import { DigitCounts, type DigitStatistics, type PairFrequency } from './benford';
import type { Cell } from './csv';
import { type EntryTest, type EntryTestParameters, type EntryTestsWanted, entryTestDefaults } from './entry-test-parameters';
import { countedDigits, type FoundHit, Frequencies, type RareFigures, type TestOfEntry, testsOfEntries } from './entry-tests';
import { entryLink, entryNumber, headOf, type ReportHead, sortedByKey, streamLink } from './figures';
import type { Listing } from './general-ledger';
import { type Inputs, lineFilter, type RecordedEntry } from './inputs';
import type { JournalItem } from './listings';

const entriesPerRead = 500;
/** Gaps that an answer lists; it counts all of them. */
const gapsShown = 1_000;
/** Repeated lines that are read by one statement, which sorts all lines of the range: few for a page, many for a file. */
const repeatsPerRead = { first: 5_000, later: 50_000 } as const;
/** Surveys that are kept for further pages, and how many rare keys one may hold to be kept. */
const surveysKept = { count: 4, size: 300_000 } as const;

// --- What is shown ---

/** Numbers that are missing. */
export interface NumberGapShown {
  readonly journalCode: string;
  readonly fiscalYear: string;
  readonly from: number;
  readonly to: number;
  /** no-entry: no entry has them. not-in-log: an entry has the number in the index, and is not in the log. */
  readonly reason: 'no-entry' | 'not-in-log';
  /** The entry with the next number, or the one that is not in the log. */
  readonly entryId: string;
  readonly entry: string;
}

/** What Benford's law says of the amounts in one currency. */
export interface BenfordShown extends Partial<Omit<DigitStatistics, 'pairs'>> {
  readonly currency: string;
  /** Lines that count. */
  readonly lines: number;
  /** False below the number of lines that the test needs. */
  readonly applicable: boolean;
  readonly digits?: readonly (PairFrequency & {
    readonly hit: boolean;
    /** Where the entries are found. */
    readonly entries: string;
  })[];
}

/** How one test came out. */
export interface EntryTestResult extends Partial<Pick<RareFigures, 'distinct' | 'rare'>> {
  readonly test: EntryTest;
  readonly parameters: EntryTestParameters[EntryTest];
  /** What is counted: `population` is how many were looked at, `hits` how many of them (for a reason each) are to be looked at. */
  readonly of: 'numbers' | 'lines' | 'entries' | 'pairs of accounts' | 'digit pairs';
  readonly population: number;
  readonly hits: number;
  /** Entries that have too many accounts for pairs. */
  readonly entriesLeftOut?: number;
  /** The first 1,000. */
  readonly gaps?: readonly NumberGapShown[];
  /** By currency. */
  readonly currencies?: readonly BenfordShown[];
  /** Lines with the digits that were asked for, which are listed beside the hits. */
  readonly linesListed?: number;
}

export interface EntryTestHit {
  readonly test: EntryTest;
  readonly reason: string;
  readonly figure: string;
  readonly line?: number;
  readonly account?: string;
  readonly debit?: string;
  readonly credit?: string;
  readonly currency?: string;
  readonly debitAccount?: string;
  readonly creditAccount?: string;
  /** Of duplicates: the entries with the nearest dates. */
  readonly others?: readonly { readonly entryId: string; readonly number: string; readonly date: CalendarDate; readonly entry: string }[];
}

/** As the journal shows an entry, with its hits in place of its lines. */
export interface TestedEntry extends Omit<JournalItem, 'journalCode' | 'fiscalYear' | 'number' | 'lines'> {
  /** recordedAt as clocks in the book's time zone showed it, to the minute. */
  readonly recordedLocally: string;
  readonly number: string;
  readonly entryMethod: string;
  /** In the order of tests, then of lines. */
  readonly hits: readonly EntryTestHit[];
}

export interface JournalEntryTests extends ReportHead {
  readonly report: 'journal-entry-tests';
  readonly currencyFilter?: string;
  readonly from: CalendarDate;
  readonly to: CalendarDate;
  readonly timeZone: string;
  /** Of the range; with a currency those that it occurs in, and their lines in it. */
  readonly entriesTested: number;
  readonly linesTested: number;
  readonly tests: readonly EntryTestResult[];
  /** With at least one hit, by date and position. */
  readonly entries: readonly TestedEntry[];
  readonly nextCursor?: string;
}

/** What is known of a range when all of it was read once. */
export interface Survey {
  readonly wanted: EntryTestsWanted;
  readonly entriesTested: number;
  readonly linesTested: number;
  readonly results: readonly EntryTestResult[];
  readonly tests: ReadonlyMap<EntryTest, Pick<TestOfEntry, 'hits'>>;
  /** How duplicates are searched; undefined when they are not. */
  readonly repeats: RepeatSearch | undefined;
}

// --- Reading ---

/** An entry with those of its lines that count. */
interface Tested {
  readonly entry: RecordedEntry;
  readonly lines: readonly PostedLine[];
}

export class EntryTestReader {
  /** An answer at a position never changes, so a survey is right for ever; without one nothing but time is lost. */
  private readonly surveys = new Map<string, Promise<Survey>>();

  constructor(
    private readonly inputs: Inputs,
    private readonly queries: Queries,
  ) {}

  /**
   * Reads the whole range once and counts.
   * @param key names everything that was asked
   * @throws LedgerError too_large | projection_behind
   */
  async survey(listing: Listing, wanted: EntryTestsWanted, key: string): Promise<Survey> {
    const known = this.surveys.get(key);
    if (known !== undefined) return known;
    const found = this.surveyed(listing, wanted);
    const oldest = this.surveys.keys().next().value;
    if (oldest !== undefined && this.surveys.size >= surveysKept.count) this.surveys.delete(oldest);
    const made = found.then(({ survey, size }) => {
      if (size > surveysKept.size) this.surveys.delete(key);
      return survey;
    });
    this.surveys.set(key, made);
    made.catch(() => this.surveys.delete(key));
    return made;
  }

  private async surveyed(listing: Listing, wanted: EntryTestsWanted): Promise<{ readonly survey: Survey; readonly size: number }> {
    const { place, column, asked } = listing;
    const { bookId, position, book } = place;
    const { tests, parameters } = wanted;
    const direct = testsOfEntries(book, wanted, await this.inputs.periodChanges(place));
    const tallies = new Map([...direct].map(([test]) => [test, { population: 0, hits: 0 }]));
    const frequencies = new Frequencies(wanted);
    const digits = new Map<string, DigitCounts>();
    const without: number[] = [];
    const lost: number[] = [];
    let [entriesTested, linesTested] = [0, 0];
    for await (const { found, missing } of this.walk(listing)) {
      lost.push(...missing);
      for (const { entry, lines } of found) {
        entriesTested++;
        linesTested += lines.length;
        for (const [test, { looksAt, hits }] of direct) {
          const tally = tallies.get(test) as { population: number; hits: number };
          tally.population += looksAt(entry, lines);
          tally.hits += hits(entry, lines).length;
        }
        frequencies.add(entry, lines);
        if (tests.includes('benford')) countDigits(digits, lines, parameters.benford);
        if (isUndone(entry)) without.push(entry.position);
      }
    }
    const { days, minimum } = parameters.duplicates;
    const repeats: RepeatSearch | undefined = tests.includes('duplicates')
      ? { bookId, position, from: column.from, to: column.to, currency: asked.currency, minimum, days, without }
      : undefined;
    const rare = frequencies.figures();
    const results: EntryTestResult[] = [];
    for (const test of tests) {
      const head = { test, parameters: parameters[test] };
      const figures = rare.get(test as Parameters<typeof rare.get>[0]);
      if (test === 'number-gaps') results.push({ ...head, ...(await this.gaps(listing, lost)) });
      else if (test === 'benford') {
        const linesListed = tallies.get(test)?.hits ?? 0;
        const result = benfordResult(listing, parameters.benford, digits);
        results.push({ ...head, ...result, linesListed: parameters.benford.digits === undefined ? undefined : linesListed });
      } else if (test === 'duplicates') {
        const { compared, repeated } = await this.queries.folded(bookId, position, [register], (database) =>
          countRepeats(database, repeats as RepeatSearch),
        );
        results.push({ ...head, of: 'lines', population: compared, hits: repeated });
      } else if (figures !== undefined) {
        const entriesLeftOut = test === 'rare-account-pairs' ? frequencies.entriesLeftOut : undefined;
        results.push({ ...head, of: unitOf(test), ...figures, entriesLeftOut });
      } else results.push({ ...head, of: unitOf(test), ...(tallies.get(test) as { population: number; hits: number }) });
    }
    const all = new Map<EntryTest, Pick<TestOfEntry, 'hits'>>([...direct, ...frequencies.tests()]);
    return {
      survey: { wanted, entriesTested, linesTested, results, tests: all, repeats },
      size: frequencies.size + without.length,
    };
  }

  /** Entries with hits, by date and position. @param after the last one shown, and how many hits were shown up to it */
  async *entries(listing: Listing, survey: Survey, after?: EntryKey & { readonly hits: number }): AsyncGenerator<TestedEntry> {
    const { place } = listing;
    const { bookId, position } = place;
    const clock = clockIn(place.book.timeZone);
    const repeats = new RepeatsByEntry(
      (behind, limit) =>
        survey.repeats === undefined
          ? Promise.resolve([])
          : this.queries.folded(bookId, position, [register], (database) =>
              repeatedLines(database, survey.repeats as RepeatSearch, behind, limit),
            ),
      after,
    );
    // What lies behind the last hit need not be read.
    let left = hitsListed(survey.results) - (after?.hits ?? 0);
    if (left <= 0) return;
    for await (const { found } of this.walk(listing, after)) {
      const listed: { readonly tested: Tested; readonly hits: readonly (readonly [EntryTest, FoundHit, RepeatedLine?])[] }[] = [];
      for (const tested of found) {
        const { entry, lines } = tested;
        const repeated =
          survey.repeats === undefined ? [] : await repeats.of({ date: entry.posted.effectiveDate, position: entry.position });
        const hits = survey.wanted.tests.flatMap((test): (readonly [EntryTest, FoundHit, RepeatedLine?])[] =>
          test === 'duplicates'
            ? repeated.map((repeat) => [test, duplicateHit(repeat, lines), repeat])
            : (survey.tests.get(test)?.hits(entry, lines) ?? []).map((hit) => [test, hit]),
        );
        if (hits.length > 0) listed.push({ tested, hits });
      }
      const codes = await this.inputs.codesOf(
        bookId,
        position,
        listed.map(({ tested: { entry } }) => entry),
      );
      for (const { tested, hits } of listed) {
        const shown = hits.map(([test, hit, repeat]) => shownHit(listing, test, hit, repeat, codes));
        yield testedEntry(listing, tested.entry, shown, clock);
        left -= hits.length;
        if (left <= 0) return;
      }
    }
  }

  /**
   * Entries of the range, and positions at which the index has an entry and the log has none. By date and position, which an index
   * has in this order: by position each read would have to sort the range.
   */
  private async *walk(
    { place, column, asked }: Listing,
    behind?: EntryKey,
  ): AsyncGenerator<{ readonly found: readonly Tested[]; readonly missing: readonly number[] }> {
    const { bookId, position } = place;
    const counts = lineFilter(asked);
    let after = behind;
    for (;;) {
      const keys = await this.queries.folded(bookId, position, [register], (database) =>
        findEntries(
          database,
          bookId,
          { from: column.from, to: column.to },
          { sort: 'effectiveDate', position, after, limit: entriesPerRead },
        ),
      );
      const entries = await this.inputs.entries(
        bookId,
        keys.map(({ entryId }) => entryId),
        position,
      );
      const known = new Set(entries.map(({ id }) => id));
      const found = entries.map((entry) => ({ entry, lines: entry.posted.lines.filter(counts) })).filter(({ lines }) => lines.length > 0);
      yield { found, missing: keys.flatMap((key) => (known.has(key.entryId) ? [] : [key.position])) };
      if (keys.length < entriesPerRead) return;
      after = keys.at(-1);
    }
  }

  /** Numbers that are missing in the fiscal years of the range. @param lost positions of entries that are not in the log */
  private async gaps({ place, column }: Listing, lost: readonly number[]): Promise<Omit<EntryTestResult, 'test' | 'parameters'>> {
    const { bookId, position, book } = place;
    const years = book.fiscalYears.filter(({ from, to }) => from <= column.to && to >= column.from).map(({ label }) => label);
    return this.queries.folded(bookId, position, [register], async (database) => {
      const counts = (await countEntries(database, bookId, undefined, position)).filter(({ fiscalYear }) => years.includes(fiscalYear));
      const between = await numberGaps(database, bookId, years, position, gapsShown);
      const entries = await entriesAt(database, bookId, lost.slice(0, gapsShown));
      const link = (entryId: string): { entryId: string; entry: string } => ({ entryId, entry: entryLink(bookId, entryId, position) });
      const shown = [
        ...between.map(({ entryId, ...gap }): NumberGapShown => ({ ...gap, reason: 'no-entry', ...link(entryId) })),
        ...entries.map(({ entryId, journalCode, fiscalYear, number }): NumberGapShown => {
          return { journalCode, fiscalYear, from: number, to: number, reason: 'not-in-log', ...link(entryId) };
        }),
      ];
      return {
        of: 'numbers' as const,
        population: counts.reduce((sum, { lastNumber }) => sum + lastNumber, 0),
        hits: counts.reduce((sum, { lastNumber, entries: own }) => sum + lastNumber - own, 0) + lost.length,
        gaps: shown.slice(0, gapsShown),
      };
    });
  }
}

/** Hits that stand under entries: of all tests but those whose hits stand in the summary. */
const hitsListed = (results: readonly EntryTestResult[]): number =>
  results.reduce((sum, { test, hits, linesListed = 0 }) => {
    if (test === 'number-gaps') return sum;
    return sum + (test === 'benford' ? linesListed : hits);
  }, 0);

const unitOf = (test: EntryTest): EntryTestResult['of'] => {
  if (test === 'rare-account-pairs') return 'pairs of accounts';
  return test === 'round-amounts' || test === 'rare-accounts' ? 'lines' : 'entries';
};

/** Reversed entries and their reversals have come to nothing; the replacement of a correction counts. */
const isUndone = ({ reversedBy, posted: { links = [] } }: RecordedEntry): boolean =>
  reversedBy !== undefined || links.some(({ rel }) => rel === 'reverses');

/** Repeated lines, asked for in the order of entries. */
class RepeatsByEntry {
  private rows: readonly RepeatedLine[] = [];
  private next = 0;
  private isLast = false;
  private limit: number = repeatsPerRead.first;

  constructor(
    private readonly read: (after: EntryKey | undefined, limit: number) => Promise<readonly RepeatedLine[]>,
    private after: EntryKey | undefined,
  ) {}

  async of(entry: EntryKey): Promise<RepeatedLine[]> {
    const found: RepeatedLine[] = [];
    for (;;) {
      const row = this.rows[this.next] ?? (await this.more());
      if (row === undefined || row.date > entry.date || (row.date === entry.date && row.position > entry.position)) return found;
      if (row.position === entry.position) found.push(row);
      this.next++;
    }
  }

  private async more(): Promise<RepeatedLine | undefined> {
    if (this.isLast) return undefined;
    this.rows = await this.read(this.after, this.limit);
    this.next = 0;
    this.isLast = this.rows.length < this.limit;
    this.limit = repeatsPerRead.later;
    this.after = this.rows.at(-1) ?? this.after;
    return this.rows[0];
  }
}

const duplicateHit = ({ line, others }: RepeatedLine, lines: readonly PostedLine[]): FoundHit => ({
  reason: 'same-line',
  figure: `also ${others.map(({ number, date, journalCode, fiscalYear }) => `${entryNumber({ journalCode, fiscalYear, number })} of ${date}`).join(', ')}`,
  line: lines.find((own) => own.line === line),
});

// --- Benford ---

function countDigits(counts: Map<string, DigitCounts>, lines: readonly PostedLine[], parameters: EntryTestParameters['benford']): void {
  for (const line of lines) {
    const pair = countedDigits(line, parameters);
    if (pair === undefined) continue;
    const own = counts.get(line.currency) ?? new DigitCounts();
    counts.set(line.currency, own);
    own.add(pair);
  }
}

function benfordResult(
  { place: { bookId, position }, column }: Listing,
  { lines: needed, z: threshold, minimum }: EntryTestParameters['benford'],
  counts: ReadonlyMap<string, DigitCounts>,
): Omit<EntryTestResult, 'test' | 'parameters'> {
  const floor = minimum === entryTestDefaults.benfordMinimum ? '' : `&benfordMinimum=${minimum}`;
  const link = (currency: string, digits: number): string =>
    `/v1/books/${bookId}/reports/journal-entry-tests?from=${column.from}&to=${column.to}&tests=benford&digits=${digits}${floor}&currency=${encodeURIComponent(currency)}&knownAt=${position}`;
  const currencies = sortedByKey(counts).map(([currency, found]): BenfordShown => {
    if (found.total < needed) return { currency, lines: found.total, applicable: false };
    const { pairs, ...statistics } = found.statistics();
    const digits = pairs.map((pair) => ({
      ...pair,
      hit: Number(pair.z) > Number(threshold),
      entries: link(currency, pair.digits),
    }));
    return { currency, lines: found.total, applicable: true, ...statistics, digits };
  });
  const tested = currencies.flatMap(({ digits = [] }) => digits);
  return { of: 'digit pairs', population: tested.length, hits: tested.filter(({ hit }) => hit).length, currencies };
}

// --- Rows ---

function shownHit(
  { place: { bookId, position } }: Listing,
  test: EntryTest,
  { reason, figure, line, debitAccountId, creditAccountId }: FoundHit,
  repeat: RepeatedLine | undefined,
  codes: ReadonlyMap<string, string>,
): EntryTestHit {
  const codeOf = (id: string | undefined): string | undefined => (id === undefined ? undefined : (codes.get(id) ?? ''));
  const amount = (side: Side): string | undefined => (line?.side === side ? line.amount : undefined);
  return {
    test,
    reason,
    figure,
    line: line?.line,
    account: codeOf(line?.accountId),
    debit: amount('debit'),
    credit: amount('credit'),
    currency: line?.currency,
    debitAccount: codeOf(debitAccountId),
    creditAccount: codeOf(creditAccountId),
    others: repeat?.others.map(({ entryId, date, ...other }) => ({
      entryId,
      number: entryNumber(other),
      date,
      entry: entryLink(bookId, entryId, position),
    })),
  };
}

function testedEntry(
  { place: { bookId, position } }: Listing,
  { id, position: at, recordedAt, userId, onBehalfOf, reversedBy, posted }: RecordedEntry,
  hits: readonly EntryTestHit[],
  clock: ReturnType<typeof clockIn>,
): TestedEntry {
  const { document } = posted;
  const { date, time } = clock(instantMicros(recordedAt) as number);
  return {
    id,
    position: at,
    recordedAt,
    recordedLocally: `${date} ${time}`,
    number: entryNumber(posted),
    date: posted.effectiveDate,
    entryType: posted.entryType,
    entryMethod: posted.entryMethod,
    description: posted.description,
    reference: posted.reference,
    document: document && { type: document.type, number: document.number, date: document.date },
    userId,
    onBehalfOf,
    reversedBy,
    hits,
    entry: entryLink(bookId, id, position),
    events: streamLink(bookId, id),
  };
}

export function journalEntryTests(
  { place, column, asked }: Listing,
  { entriesTested, linesTested, results }: Survey,
  entries: readonly TestedEntry[],
  nextCursor: string | undefined,
): JournalEntryTests {
  return {
    ...headOf('journal-entry-tests', 1, place),
    report: 'journal-entry-tests',
    currencyFilter: asked.currency,
    from: column.from,
    to: column.to,
    timeZone: place.book.timeZone,
    entriesTested,
    linesTested,
    tests: results,
    entries,
    nextCursor,
  };
}

// --- CSV ---

/** Everything that JSON says of a hit, a gap or a pair of digits stands under the same name, a link too. */
export const entryTestColumns = [
  ...['row', 'test', 'reason', 'figure', 'parameters', 'of', 'population', 'hits'],
  ...['journalCode', 'fiscalYear', 'fromNumber', 'toNumber', 'digits', 'count', 'observed', 'expected', 'z'],
  ...['entryId', 'entryPosition', 'number', 'date', 'recordedAt', 'recordedLocally', 'entryType', 'entryMethod'],
  ...['description', 'reference', 'documentType', 'documentNumber', 'documentDate', 'userId', 'onBehalfOf', 'reversedBy'],
  ...['line', 'account', 'debit', 'credit', 'currency', 'debitAccount', 'creditAccount'],
  ...['otherEntryIds', 'otherEntryNumbers', 'otherDates', 'otherEntries', 'entry', 'events', 'entries'],
  ...['distinct', 'rare', 'entriesLeftOut', 'linesListed'],
] as const;
type EntryTestColumn = (typeof entryTestColumns)[number];

/** Cells under their columns: kinds of rows share few. One that has no column does not compile, wherever it comes from. */
const rowOf = <T extends Readonly<Partial<Record<EntryTestColumn, Cell>>>>(
  cells: T & Readonly<Record<Exclude<keyof T, EntryTestColumn>, never>> & { readonly row: string; readonly test: EntryTest },
): Cell[] => entryTestColumns.map((column) => cells[column]);

/** The summary: a row per test, then its gaps or digits. */
export function entryTestResultRows(results: readonly EntryTestResult[]): Cell[][] {
  return results.flatMap(({ gaps = [], currencies = [], parameters, ...result }) => {
    const { test } = result;
    return [
      rowOf({ row: 'test', ...result, parameters: JSON.stringify(parameters) }),
      ...gaps.map(({ from, to, ...gap }) => rowOf({ row: 'gap', test, fromNumber: from, toNumber: to, ...gap })),
      ...currencies.flatMap(({ currency, lines, applicable, mad, conformity, chiSquare, degreesOfFreedom, digits = [] }) => [
        rowOf({
          ...{ row: 'currency', test, currency, population: lines, reason: applicable ? conformity : 'not-applicable' },
          figure: applicable ? `MAD ${mad}, chi-square ${chiSquare} with ${degreesOfFreedom} degrees of freedom` : 'too few lines',
        }),
        ...digits.map(({ hit, ...pair }) => rowOf({ row: 'digits', test, currency, ...pair, hits: hit ? 1 : 0 })),
      ]),
    ];
  });
}

export function testedEntryRows({ id, position, document, hits, ...entry }: TestedEntry): Cell[][] {
  const same = {
    ...{ row: 'hit', entryId: id, entryPosition: position, ...entry },
    ...{ documentType: document?.type, documentNumber: document?.number, documentDate: document?.date },
  };
  return hits.map(({ others, ...hit }) =>
    rowOf({
      ...same,
      ...hit,
      // Neither ids nor dates, numbers of entries or links hold a blank.
      otherEntryIds: others?.map(({ entryId }) => entryId).join(' '),
      otherEntryNumbers: others?.map(({ number }) => number).join(' '),
      otherDates: others?.map(({ date }) => date).join(' '),
      otherEntries: others?.map(({ entry: link }) => link).join(' '),
    }),
  );
}
