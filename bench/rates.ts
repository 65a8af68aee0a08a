/**
 * Rates of what works through a whole log or file: folding projections, replaying an aggregate, verifying a book, importing.
 * Each in a process of its own (role `meter`), so that its memory is its own; folding beside a binary COPY of the very rows
 * that it wrote.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accountReducer } from '#domain';
import {
  accountCodes,
  createLogger,
  exportBook,
  importFile,
  importFormats,
  openService,
  projections,
  readConfig,
  type Service,
} from '#ledger';
import { copyFloor, copyRows } from './floors';
import { startRole } from './processes';
import { type BenchDatabase, type BenchServer, serverMicros } from './server';
import { generator, median } from './statistics';
import { booksDatabase, type Figures } from './write-path';
import { codeOf, Writer } from './writer';

const bookId = 'bench-1';
const projectionTables = projections.flatMap(({ tables }) => tables.map(({ name }) => name));

/** @param entries to post before they are folded, replayed and verified */
export async function runLogRates(server: BenchServer, pick: 'uniform' | 'hot', entries: number): Promise<[string, Figures][]> {
  const database = await booksDatabase(server);
  try {
    const writer = new Writer({ url: database.url });
    await writer.start({ books: [bookId], accounts: 10_000, pick, lines: 2, callers: 1_024, entries, tag: 'rates' });
    await writer.stop('all');
    await writer.close();
    const found: [string, Figures][] = [[`fold-${pick}`, await fold(server, database, 3 * entries)]];
    if (pick === 'hot') {
      found.push(['replay-from-events', await metered(server, database, (its) => its.replay(false, 3))]);
      found.push(['replay-from-snapshot', await metered(server, database, (its) => its.replay(true, 200))]);
    }
    found.push([`rebuild-${pick}`, await rebuild(server, database)]);
    found.push([`verify-${pick}`, await verify(server, database)]);
    return found;
  } finally {
    await database.drop();
  }
}

async function fold(server: BenchServer, database: BenchDatabase, events: number): Promise<Figures> {
  const { admin } = database;
  const { rows } = await admin.query<{ position: number }>('SELECT position FROM projections.cursors WHERE book_id = $1', [bookId]);
  const from = rows[0]?.position ?? 0;
  const figures = await metered(server, database, (its) => its.fold(events));
  let copied = 0;
  for (const table of projectionTables) {
    // In the order in which they were written.
    const written = await copyRows(admin, `projections.${table}`, `WHERE book_id = '${bookId}' AND position > ${from} ORDER BY position`);
    if (written.rows > 0) copied += (await copyFloor(admin, written)).seconds;
  }
  return {
    ...figures,
    copyOfRowsEventsPerSecond: events / copied,
    ofCopyOfRows: ((figures.eventsPerSecond ?? Number.NaN) * copied) / events,
  };
}

/**
 * The as-of totals built again beside the live ones: folding and indexing, without the comparison and the exchange; before and after it the
 * same rows by COPY into a table with the same index.
 */
async function rebuild(server: BenchServer, database: BenchDatabase): Promise<Figures> {
  const { admin } = database;
  const rows = await copyRows(admin, 'projections.running_totals', `WHERE book_id = '${bookId}' ORDER BY position`);
  const before = await copyFloor(admin, rows);
  const figures = await metered(server, database, (its) => its.rebuild());
  const after = await copyFloor(admin, rows);
  const copyRowsPerSecond = (before.rowsPerSecond + after.rowsPerSecond) / 2;
  const rowsPerSecond = rows.rows / ((figures.foldingSeconds ?? Number.NaN) + (figures.indexingSeconds ?? Number.NaN));
  return { ...figures, runningTotals: rows.rows, rowsPerSecond, copyRowsPerSecond, ofCopyOfRows: rowsPerSecond / copyRowsPerSecond };
}

/** So many that what the compiler and the first growth of the heap cost is a hundredth of the figure, and not half of it. */
const eventsVerified = 900_000;

/** Verifies the book in one process again and again; the first time, with code that was never run, is a figure of its own. */
function verify(server: BenchServer, database: BenchDatabase): Promise<Figures> {
  return metered(server, database, async (its) => {
    const cold = await its.verify();
    const before = await serverMicros(database.admin);
    let [events, seconds, micros] = [0, 0, 0];
    let memory: Figures = {};
    while (events < eventsVerified) {
      const { events: verified, seconds: took, micros: used, ...rest } = await its.verify();
      events += verified ?? 0;
      seconds += took ?? 0;
      micros += used ?? 0;
      memory = rest;
    }
    return {
      eventsPerSecond: events / seconds,
      eventsPerSecondPerCore: (events / micros) * 1e6,
      nodeMicrosPerEvent: micros / events,
      serverMicrosPerEvent: ((await serverMicros(database.admin)) - before) / events,
      coldNodeMicrosPerEvent: (cold.micros ?? Number.NaN) / (cold.events ?? 0),
      ...memory,
    };
  });
}

/** A file of entries of two lines, into a book of its own. */
export async function runImport(server: BenchServer, entries: number): Promise<Figures> {
  const database = await server.empty('bench_import');
  try {
    const file = join(server.directory, 'postings.csv');
    const random = generator(42);
    const rows = Array.from({ length: entries }, (_, entry) => {
      const amount = ((1 + Math.floor(random() * 9_999_999)) / 100).toFixed(2);
      const day = `2026-${String(1 + Math.floor(random() * 12)).padStart(2, '0')}-15`;
      const [debit, credit] = [Math.floor(random() * 500), 500 + Math.floor(random() * 500)];
      return `t${entry},${day},Invoice ${entry},1,${codeOf(debit)},EUR,${amount}\nt${entry},${day},Invoice ${entry},2,${codeOf(credit)},EUR,-${amount}\n`;
    });
    writeFileSync(file, `txn,date,description,line,account,commodity,quantity\n${rows.join('')}`);
    return await metered(server, database, (its) => its.import(file, entries));
  } finally {
    await database.drop();
  }
}

type Measure =
  | 'fold'
  | 'rebuild'
  | 'replay'
  | 'verify'
  | 'import'
  | 'read'
  | 'seal'
  | 'hashes'
  | 'proofs'
  | 'export'
  | 'pack'
  | 'closeAndFold'
  | 'archive'
  | 'entriesRead';
export type BenchMeter = { [K in Measure]: (...given: Parameters<Meter[K]>) => Promise<Figures> };

export const startMeter = (
  server: BenchServer,
  { url }: BenchDatabase,
  settings: Readonly<Record<string, string>> = {},
): Promise<{ readonly its: BenchMeter; end(): Promise<void> }> => startRole<Meter>('meter', url, server.directory, settings);

async function metered(server: BenchServer, database: BenchDatabase, measure: (its: BenchMeter) => Promise<Figures>): Promise<Figures> {
  const meter = await startMeter(server, database);
  try {
    return await measure(meter.its);
  } finally {
    await meter.end();
  }
}

/** Rate by the clock and by the processor time of this process. */
async function timed(events: number, work: () => Promise<unknown>): Promise<Figures> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  await work();
  const seconds = (performance.now() - start) / 1_000;
  const used = process.cpuUsage(cpu);
  return { events, seconds, eventsPerSecond: events / seconds, nodeMicrosPerEvent: (used.user + used.system) / events, ...memory() };
}

// --- In a process of its own ---

export class Meter {
  private constructor(private readonly service: Service) {}

  static async open(url: string, directory: string, settings: Readonly<Record<string, string>> = {}): Promise<Meter> {
    const config = readConfig({
      ...settings,
      DATABASE_URL: url,
      DATA_DIR: directory,
      // Clones of one database have one name; nothing of them is compared.
      CHECKPOINT_DIR: 'off',
      BOOTSTRAP_API_KEY: 'the-key-of-the-bench-itself',
      LOG_LEVEL: 'error',
    });
    return new Meter(await openService(config, { log: createLogger(config), project: false, migrate: false }));
  }

  /** Folds what is not folded yet. */
  async fold(events: number): Promise<Figures> {
    const start = performance.now();
    const cpu = process.cpuUsage();
    while ((await this.service.projector.fold(bookId)) !== 'done');
    const seconds = (performance.now() - start) / 1_000;
    const used = process.cpuUsage(cpu);
    await this.service.projector.caughtUp(bookId, (await this.service.store.head(bookId)).position, 1_000);
    return { eventsPerSecond: events / seconds, nodeMicrosPerEvent: (used.user + used.system) / events, ...memory() };
  }

  /** Closes all years for ever, and folds. */
  async closeAndFold(events: number): Promise<Figures> {
    const { fiscalYears } = await this.service.queries.fiscalYears(bookId);
    for (const { label, periods } of fiscalYears)
      for (const level of ['soft', 'hard'] as const) {
        const last = periods.filter(({ kind }) => kind === 'normal').at(-1)?.no ?? 0;
        const command = { type: 'ClosePeriod', fiscalYear: label, period: last, level, includeEarlier: true } as const;
        const context = { key: `close-${label}-${level}`, userId: 'bench', source: 'job', isController: true } as const;
        const { status, body } = await this.service.execute(bookId, command, context);
        if (status >= 400) throw new Error(body);
      }
    return this.fold(events);
  }

  /** Moves all that may go to cold storage. */
  async archive(): Promise<Figures> {
    const cpu = process.cpuUsage();
    const { events, seconds, fileBytes, rowBytes, ranges } = await this.service.archiver.archive(bookId, { olderThanDays: 0 });
    const used = process.cpuUsage(cpu);
    const { clean, books } = await this.service.verify({ books: [bookId], hashesOnly: true });
    if (!clean) throw new Error(`what was moved is not what it was: ${JSON.stringify(books[0]?.findings.slice(0, 3))}`);
    return {
      ...{ events, eventsPerSecond: events / seconds, nodeMicrosPerEvent: (used.user + used.system) / events, files: ranges.length },
      ...{ bytesPerEvent: fileBytes / events, rowBytesPerEvent: rowBytes / events },
      ...memory(),
    };
  }

  /** Entries by id, one after the other, all over the log. */
  async entriesRead(times: number): Promise<Figures> {
    const { queries, store } = this.service;
    const { position } = await store.head(bookId);
    const random = generator(11);
    const ids: string[] = [];
    while (ids.length < times) {
      const events = await store.readStored(bookId, Math.floor(random() * (position - 10)), position, 3);
      const posted = events.find(({ eventType }) => eventType === 'JournalEntryPosted');
      if (posted !== undefined) ids.push(posted.streamId);
    }
    const durations: number[] = [];
    for (const id of ids) {
      const start = performance.now();
      await queries.entry(bookId, id);
      durations.push(performance.now() - start);
    }
    return { p50Ms: median(durations), ...memory() };
  }

  /** Builds the as-of totals again, compares and exchanges. */
  async rebuild(): Promise<Figures> {
    const cpu = process.cpuUsage();
    const { events, foldingSeconds, indexingSeconds, seconds, became, set } = await this.service.projections.rebuild('as-of');
    const used = process.cpuUsage(cpu);
    if (became !== 'exchanged') throw new Error(`the rebuilt rows are ${became}`);
    const retired = (await this.service.projections.list()).filter(({ state }) => state === 'retired' && set.build > 0);
    for (const { build } of retired) await this.service.projections.drop(build);
    return {
      eventsPerSecond: events / (foldingSeconds + indexingSeconds),
      ...{ foldingSeconds, indexingSeconds, withComparisonSeconds: seconds, nodeMicrosPerEvent: (used.user + used.system) / events },
      ...memory(),
    };
  }

  /** Loads the busiest account. */
  async replay(snapshots: boolean, times: number): Promise<Figures> {
    const { store } = this.service;
    const id = (await store.streamsByName(bookId, accountCodes, [codeOf(0)])).get(codeOf(0)) ?? '';
    const durations: number[] = [];
    let version = 0;
    for (let n = 0; n < times; n++) {
      const start = performance.now();
      version = (await store.load(bookId, id, accountReducer as never, { snapshots }))?.version ?? 0;
      durations.push(performance.now() - start);
    }
    return {
      p50Ms: median(durations),
      events: version,
      ...(snapshots ? {} : { eventsPerSecond: (version / median(durations)) * 1_000 }),
      ...memory(),
    };
  }

  /** Verifies the book, which must be clean. `micros` is processor time of this process, on all its threads. */
  async verify(): Promise<Figures> {
    const cpu = process.cpuUsage();
    const { clean, events, seconds, found, books, installation } = await this.service.verify({ books: [bookId] });
    const used = process.cpuUsage(cpu);
    if (!clean)
      throw new Error(
        `verify found ${found}: ${JSON.stringify([...installation, ...books.flatMap(({ findings }) => findings)].slice(0, 3))}`,
      );
    return { events, seconds, micros: used.user + used.system, ...memory() };
  }

  /** Reads all events of the book one after the other, as whoever hashes or packs them does, and does nothing with them. */
  async read(): Promise<Figures> {
    const { store } = this.service;
    const { position } = await store.head(bookId);
    return timed(position, async () => {
      for (let after = 0; after < position; ) after = (await store.readStored(bookId, after, position, 1_000)).at(-1)?.position ?? position;
    });
  }

  /** Seals the book from its first event on. */
  async seal(): Promise<Figures> {
    const { position } = await this.service.store.head(bookId);
    const figures = await timed(position, () => this.service.sealer.seal(bookId));
    const { clean } = await this.service.verify({ books: [bookId], hashesOnly: true });
    if (!clean) throw new Error('what was sealed is not what the events are');
    return figures;
  }

  /** Hashes alone, again and again like `verify`; the first time is not counted. */
  async hashes(): Promise<Figures> {
    const verify = async (): Promise<number> => {
      const { clean, events } = await this.service.verify({ books: [bookId], hashesOnly: true });
      if (!clean) throw new Error('the hashes are wrong');
      return events;
    };
    await verify();
    let events = 0;
    const cpu = process.cpuUsage();
    const start = performance.now();
    while (events < eventsVerified) events += await verify();
    const used = process.cpuUsage(cpu);
    const micros = used.user + used.system;
    return {
      eventsPerSecond: events / ((performance.now() - start) / 1_000),
      eventsPerSecondPerCore: (events / micros) * 1e6,
      nodeMicrosPerEvent: micros / events,
      ...memory(),
    };
  }

  /** Proofs of random events and sizes, one after the other. */
  async proofs(times: number): Promise<Figures> {
    const { proofs, store } = this.service;
    const { position } = await store.head(bookId);
    const random = generator(7);
    const inclusion: number[] = [];
    const consistency: number[] = [];
    for (let n = 0; n < times; n++) {
      const start = performance.now();
      await proofs.inclusion(bookId, { position: 1 + Math.floor(random() * position) });
      const between = performance.now();
      await proofs.consistency(bookId, { from: 1 + Math.floor(random() * position) });
      inclusion.push(between - start);
      consistency.push(performance.now() - between);
    }
    return { p50Ms: median(inclusion), consistencyP50Ms: median(consistency), ...memory() };
  }

  async export(format: string): Promise<Figures> {
    const { position } = await this.service.store.head(bookId);
    return this.written(position, (await exportBook(this.service, bookId, format)).content);
  }

  async pack(): Promise<Figures> {
    const { position } = await this.service.store.head(bookId);
    return this.written(position, (await this.service.auditPack(bookId, { from: '2000-01-01', to: '2100-12-31' })).content);
  }

  /** Reads to the end of what is written; rows are lines of entries, two of three events. */
  private async written(events: number, content: AsyncIterable<string | Uint8Array>): Promise<Figures> {
    let bytes = 0;
    const figures = await timed(events, async () => {
      for await (const some of content) bytes += typeof some === 'string' ? Buffer.byteLength(some) : some.length;
    });
    return { ...figures, rowsPerSecond: ((figures.eventsPerSecond ?? 0) * 2) / 3, bytesPerEvent: bytes / events };
  }

  async import(file: string, entries: number): Promise<Figures> {
    const summary = await importFile(this.service, {
      ...{ book: bookId, file, source: 'bench', onError: 'stop', dryRun: false, userId: 'bench', zeroLines: 'refuse' },
      format: importFormats['postings-csv'] as (typeof importFormats)[string],
      create: { name: 'Bench', baseCurrency: 'EUR', fiscalYearStart: '01-01' },
    });
    if (summary.posted !== entries)
      throw new Error(`${summary.posted} of ${entries} entries were imported: ${JSON.stringify(summary.firstRefusal)}`);
    return { entriesPerSecond: entries / summary.postingSeconds, ofAllEntriesPerSecond: entries / summary.seconds, ...memory() };
  }
}

/** The process at its largest, and what is live in JavaScript now. */
function memory(): Figures {
  return { peakRssMb: process.resourceUsage().maxRSS / 1_024, heapMb: process.memoryUsage().heapUsed / 1_048_576 };
}
