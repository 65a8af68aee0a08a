/**
 * Verify: everything that can be derived from the events is derived again and held against what stands in the database: leaf
 * hashes, positions, versions, every rule that an entry kept when it was posted, heads, names, receipts, projections. Hides the
 * order of the work and its state; reads one snapshot, so that it may run while others write. Guarantees that a changed value of
 * any column is found and its row named, but for what `notChecked` says, and that it changes nothing itself.
 *
 * The parts: verify/rows (reading), replay (events), receipts, tables (heads, names, projections), installation (grants, triggers).
 */
import type { Pool } from 'pg';
import { LedgerError } from '#domain';
import { ColdStore, type NoteKey } from '#event-store';
import { isCompanion, systemLog } from './action-log';
import { projections } from './projector';
import { checkAuditTrail } from './verify/audit-trail';
import { checkCompanion } from './verify/companions';
import { Digests, drawKeys } from './verify/digests';
import { type Finding, Findings } from './verify/findings';
import { checkHashes } from './verify/hashes';
import { checkInstallation } from './verify/installation';
import { logRows } from './verify/log-rows';
import { checkAuditPacks, checkSigningKeys, notesOnKeys, type OutsideNote, TreeCheck, type TrustedKeys } from './verify/merkle';
import { checkMonthEnds } from './verify/month-ends';
import { type ProjectedTable, ProjectionRows, projectedTables } from './verify/projection-rows';
import { Receipts, receiptText } from './verify/receipts';
import { type Batches, BookReplay, instantOf, readEvent } from './verify/replay';
import { type RowCursor, Snapshot } from './verify/rows';
import { checkBookHead, checkClaims, checkContexts, checkHeads, checkNames, compareRanges, digestRows } from './verify/tables';

export type { Finding } from './verify/findings';
export type { OutsideNote } from './verify/merkle';

export interface VerifyOptions {
  /** Ids of the books to look at; all of them when absent. */
  readonly books?: readonly string[];
  readonly onProgress?: (progress: VerifyProgress) => void;
  /** Ends the work early with an AbortError. */
  readonly signal?: AbortSignal;
  /** Checkpoints that were kept outside, which the logs must continue. */
  readonly notes?: readonly OutsideNote[];
  /** Keys of the witnesses whose signatures shall be checked. */
  readonly witnesses?: readonly NoteKey[];
  /** Where events are that were moved to cold storage. */
  readonly cold?: ColdStore;
  /** Only hashes: of events, of the Merkle tree, of checkpoints; not what follows from what the events say. */
  readonly hashesOnly?: boolean;
}

export interface VerifyProgress {
  readonly bookId: string;
  readonly phase: 'events' | 'heads' | 'projections';
  /** Events read, or rows of projections. */
  readonly done: number;
  /** Events of the book. */
  readonly total: number;
  readonly seconds: number;
}

export interface BookVerification {
  readonly bookId: string;
  readonly events: number;
  /** Of all its projections. */
  readonly rows: number;
  readonly heads: number;
  /** Those of them that an earlier release wrote in another form: decisions take them as missing and fold them from the events. */
  readonly olderHeads: number;
  /** At most some of each kind; `found` counts all. */
  readonly findings: readonly Finding[];
  readonly found: number;
  /** The first bad event, whose consequences may be among the findings after it; a row of another table where no event is at fault. */
  readonly first?: Finding;
  readonly seconds: { readonly events: number; readonly heads: number; readonly projections: number };
}

export interface Verification {
  /** No finding anywhere. */
  readonly clean: boolean;
  readonly books: readonly BookVerification[];
  /** What belongs to no book: triggers, grants, functions, the directory of books. */
  readonly installation: readonly Finding[];
  /** What was not checked, and why. */
  readonly notChecked: readonly string[];
  readonly events: number;
  readonly found: number;
  readonly seconds: number;
}

/** Whatever is looked at, this is not: no event tells it. */
const neverChecked: readonly string[] = [
  'log.book_heads.tail (its form only) and recorded_floor (unless it is a day ahead): random, and moved by questions about an instant',
  'log.books.registered_at, and a book of the directory without events: registering comes before the first event, and a crash may lie between',
  'log.receipts.replays: counted up each time a remembered answer is given again; log.receipts.item among the entries of one batch call; members (its form is checked)',
  'receipts of refused commands and claims beyond their form: no event tells what such a command said, when it was refused, and what it was answered',
  'log.command_contexts that were erased (they may be, at any time), and first_seen_at where it is the instant of another receipt',
  'that log.heads.reducer_version was lowered: such a head is taken as one of an earlier release, and its state is not used',
  'that log.heads lists the drafts of a fiscal year that never had one: the list is empty with it and without',
  'that the head of an account lacks the sum of its base amounts in a currency: heads of earlier releases do, and only CloseAccount asks for it',
  'the sign of log.heads.version_before: it says that a dropped head was made again',
  'projections.cursors where nothing was to be folded between its position and another batch end',
  'that no two events have one event_id (each is an UUIDv7 and part of its leaf hash)',
  'access.api_keys, public.book_keeper_migrations and projections.builds: not part of any book; and sets of projections beside the live ones: book-keeper projections compare holds them against those',
  'events after the newest checkpoint that was kept elsewhere, where whoever can write the database made every hash, tile and head anew and had what signs sign it again: hold the log against checkpoints from outside (--checkpoint)',
  'log.archived_ranges.archived_at; and whether a signature still stands under the checkpoint that the manifest of an archive file has: the tree and its newest checkpoints are checked',
  'log.checkpoints.recorded_at, log.checkpoint_signatures.signed_at, log.audit_packs.begun_at and release, and its question beyond the position; log.origins.recorded_at of the first name; and that a checkpoint or a signature which is not the newest one was taken away, or the newest row of log.audit_packs',
];

const onlyHashes: readonly string[] = [
  'everything but hashes, the Merkle tree, checkpoints and signatures: what events say, and heads, receipts and projections; book-keeper verify without --hashes does',
  ...neverChecked.filter((what) => what.includes('checkpoint')),
];

/**
 * Verifies books, all in one snapshot.
 * @param pool one connection of it is used, with a READ ONLY SQL transaction for as long as it takes (which keeps vacuum from
 *   removing rows that died meanwhile)
 * @throws LedgerError book_unknown; what the driver throws when the database does not answer; the signal's reason
 */
export async function verifyBooks(pool: Pool, options: VerifyOptions = {}): Promise<Verification> {
  const started = performance.now();
  const client = await pool.connect();
  try {
    // Locks take no snapshot: the one that follows shows tables and cursors of the same sets (projection-sets.ts).
    await client.query(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE ${projectionTables.join(', ')} IN ACCESS SHARE MODE`);
    // Sorts in memory where they fit; every row of a cursor is wanted, not the first ones soon; no limit on its time.
    await client.query(
      "SET LOCAL work_mem = '64MB'; SET LOCAL cursor_tuple_fraction = 1; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL jit = off",
    );
    const snapshot = new Snapshot(client, options.cold ?? new ColdStore(pool, undefined));
    const installation = new Findings();
    const members = await checkInstallation(snapshot, installation);
    const keys = { log: await checkSigningKeys(snapshot, installation), witnesses: options.witnesses ?? [] };
    const known = await knownBooks(snapshot, installation);
    const wanted = options.books ?? [...known].sort();
    for (const bookId of wanted)
      if (!known.has(bookId)) throw new LedgerError('book_unknown', `there is no book ${bookId}`, { book: bookId });
    const books: BookVerification[] = [];
    const names = new Set<string>();
    const notChecked = options.hashesOnly === true ? [...onlyHashes] : [...neverChecked, ...members];
    for (const bookId of wanted) {
      const { notes, names: logNames, ...book } = await howToVerify(bookId, options)(snapshot, bookId, keys, options);
      for (const name of logNames) names.add(name);
      books.push(book);
      notChecked.push(...notes);
    }
    notChecked.push(...notesOnKeys(keys.log));
    if (options.books !== undefined) notChecked.push('books that were not asked for');
    for (const { from, note } of options.notes ?? []) {
      const origin = note.split('\n', 1)[0] as string;
      if (!names.has(origin) && options.books === undefined)
        installation.add(
          'checkpoint',
          `${from}: it is of the log ${origin}, which no book here has: a book or the name of its log was taken away, or it is of another installation`,
        );
      else if (!names.has(origin)) notChecked.push(`the checkpoint of ${origin} from ${from}: its book was not asked for, or is not here`);
    }
    await client.query('COMMIT');
    client.release();
    const found = books.reduce((sum, book) => sum + book.found, installation.count);
    return {
      clean: found === 0,
      books,
      installation: installation.kept,
      notChecked,
      events: books.reduce((sum, { events }) => sum + events, 0),
      found,
      seconds: (performance.now() - started) / 1_000,
    };
  } catch (error) {
    client.release(true);
    throw error;
  }
}

const projectionTables = ['cursors', ...Object.keys(projectedTables)].map((table) => `projections.${table}`);
/** Not there where the live register is of an earlier release. Whoever exchanges it exchanges a locked table with it. */
const derivedTable = 'projections.month_ends';
const tablesWithBooks = [
  ...['book_heads', 'events', 'batches', 'heads', 'stream_names', 'receipts', 'command_contexts'].map((table) => `log.${table}`),
  ...['trees', 'tiles', 'checkpoints', 'checkpoint_signatures', 'origins', 'audit_packs'].map((table) => `log.${table}`),
  ...['archived_ranges', 'archived_streams'].map((table) => `log.${table}`),
  ...projectionTables,
  derivedTable,
];

/** The books of the directory, and whatever other ids the tables hold, which is a finding. */
async function knownBooks(snapshot: Snapshot, findings: Findings): Promise<Set<string>> {
  const registered = await snapshot.query<{ book_id: string }>('SELECT book_id FROM log.books');
  const books = new Set(registered.rows.map(({ book_id }) => book_id));
  const strangers = new Set<string>();
  for (const table of tablesWithBooks) {
    if (table === derivedTable && !(await isThere(snapshot, table))) continue;
    // From id to id by the primary key, which begins with it.
    const { rows } = await snapshot.query<{ book_id: string }>(
      `WITH RECURSIVE ids AS (
         (SELECT book_id FROM ${table} ORDER BY book_id LIMIT 1)
         UNION ALL SELECT (SELECT t.book_id FROM ${table} t WHERE t.book_id > ids.book_id ORDER BY t.book_id LIMIT 1) FROM ids WHERE ids.book_id IS NOT NULL
       ) SELECT book_id FROM ids WHERE book_id IS NOT NULL`,
    );
    for (const { book_id } of rows) {
      if (books.has(book_id)) continue;
      strangers.add(book_id);
      if (book_id === systemLog || (table === 'log.origins' && (await isGivenUp(snapshot, book_id)))) continue;
      findings.add('directory', `${table} has rows of book ${book_id}, which log.books does not have`, { row: `log.books ${book_id}` });
    }
  }
  return new Set([...books, ...strangers]);
}

/** Whether all events of a book that is not here were given up: its next name begins at none. */
async function isGivenUp(snapshot: Snapshot, bookId: string): Promise<boolean> {
  const { rows } = await snapshot.query('SELECT FROM log.origins WHERE book_id = $1 AND number > 1 AND size = 0 LIMIT 1', [bookId]);
  return rows.length > 0;
}

async function isThere(snapshot: Snapshot, table: string): Promise<boolean> {
  const { rows } = await snapshot.query<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [table]);
  return rows[0]?.there === true;
}

async function verifyBook(
  snapshot: Snapshot,
  bookId: string,
  trusted: TrustedKeys,
  options: VerifyOptions,
): Promise<BookVerification & { notes: string[]; names: readonly string[] }> {
  const started = performance.now();
  const since = (): number => (performance.now() - started) / 1_000;
  const findings = new Findings(bookId);
  const { head, cursors, foreign } = await positions(snapshot, bookId, findings);
  const keys = drawKeys();
  const tables = (Object.keys(projectedTables) as ProjectedTable[]).filter((table) => !foreign.includes(projectedTables[table].projection));
  const expected = new Map(tables.map((table) => [table, new Digests(keys, head)]));
  const limits = new Map(tables.map((table) => [table, cursors.get(projectedTables[table].projection) ?? 0]));
  const rows = new ProjectionRows((table, position, text, bucket) => {
    if (position <= (limits.get(table) ?? 0)) expected.get(table)?.add(position, text, bucket);
  });

  const report = (phase: VerifyProgress['phase'], done: number): void => {
    options.signal?.throwIfAborted();
    options.onProgress?.({ bookId, phase, done, total: head, seconds: since() });
  };
  const receipts = new Receipts(bookId, findings);
  const batches = new BatchRows();
  const replay = new BookReplay(bookId, findings, batches, receipts, rows);
  const tree = await TreeCheck.open(snapshot, bookId, findings, trusted, options.notes ?? []);
  await replayEvents(snapshot, replay, batches, receipts, tree, findings, (done) => report('events', done));
  for (const [projection, cursor] of cursors) {
    if (cursor === 0 || batches.ends.has(cursor)) continue;
    findings.add('cursor', `projections.cursors ${projection}: position is ${cursor}, where no batch ends`, {
      position: cursor,
      row: `projections.cursors ${projection}`,
    });
  }
  const eventSeconds = since();

  report('heads', replay.events);
  const lastRecordedAt = receipts.lastRecordedAt > replay.lastRecordedAt ? receipts.lastRecordedAt : replay.lastRecordedAt;
  await checkBookHead(snapshot, bookId, findings, { position: replay.lastPosition, recordedAt: lastRecordedAt });
  const { heads, older } = await checkHeads(snapshot, replay, findings);
  await checkNames(snapshot, replay, findings);
  await checkClaims(snapshot, bookId, findings);
  await checkAuditPacks(snapshot, bookId, findings, trusted.log);
  const erased = await checkContexts(snapshot, replay, findings);
  const headSeconds = since() - eventSeconds;

  let rowCount = 0;
  for (const table of tables) {
    const actual = new Digests(keys, head);
    await digestRows(snapshot, table, bookId, actual);
    rowCount += actual.rows;
    report('projections', rowCount);
    const made = expected.get(table) as Digests;
    const ranges = actual.differing(made);
    if (ranges.length > 0) await compareRanges(snapshot, table, bookId, limits.get(table) as number, ranges, findings);
  }
  if (!foreign.includes('register') && (await isThere(snapshot, derivedTable)))
    rowCount += await checkMonthEnds(snapshot, bookId, cursors.get('register') ?? 0, findings);
  const behind = [...cursors].filter(([, cursor]) => cursor < head);
  return {
    bookId,
    events: replay.events,
    rows: rowCount,
    heads,
    olderHeads: older,
    findings: findings.kept,
    found: findings.count,
    first: findings.first(),
    seconds: { events: eventSeconds, heads: headSeconds, projections: since() - eventSeconds - headSeconds },
    names: tree.names,
    notes: [
      ...(receipts.withoutEvents > 0
        ? [`book ${bookId}: ${receipts.withoutEvents} receipts of refused commands and claims, but for their form`]
        : []),
      ...(older > 0 ? [`book ${bookId}: the states of ${older} heads of an earlier release, folded anew when next needed`] : []),
      ...replay.closedWhileCarried.map((what) => `book ${bookId}: why ${what}; earlier releases allowed it`),
      ...notesOnTree(bookId, tree),
      ...(erased > 0 ? [`book ${bookId}: ${erased} command contexts, which are erased`] : []),
      ...foreign.map((projection) => `book ${bookId}: projection ${projection}, which is live in a version of another release`),
      ...behind.map(
        ([projection, cursor]) => `book ${bookId}: projection ${projection} after position ${cursor}, up to where it has folded`,
      ),
    ],
  };
}

const howToVerify = (bookId: string, { hashesOnly }: VerifyOptions): typeof verifyBook => {
  if (hashesOnly === true) return verifyHashes;
  return isCompanion(bookId) ? verifyCompanion : verifyBook;
};

/** A log of user actions. */
async function verifyCompanion(
  snapshot: Snapshot,
  logId: string,
  trusted: TrustedKeys,
  options: VerifyOptions,
): Promise<BookVerification & { notes: string[]; names: readonly string[] }> {
  const started = performance.now();
  const findings = new Findings(logId);
  const { head } = await positions(snapshot, logId, findings);
  const tree = await TreeCheck.open(snapshot, logId, findings, trusted, options.notes ?? []);
  const seconds = (): number => (performance.now() - started) / 1_000;
  const { events, erased, claims, seals } = await checkCompanion(snapshot, logId, findings, tree, (done) => {
    options.signal?.throwIfAborted();
    options.onProgress?.({ bookId: logId, phase: 'events', done, total: head, seconds: seconds() });
  });
  const notCovered = logId === systemLog ? await checkAuditTrail(snapshot, seals, findings) : undefined;
  return {
    bookId: logId,
    ...{ events, rows: 0, heads: 0, olderHeads: 0, names: tree.names },
    ...{ findings: findings.kept, found: findings.count, first: findings.first() },
    seconds: { events: seconds(), heads: 0, projections: 0 },
    notes: [
      ...(claims > 0 ? [`log ${logId}: ${claims} receipts of refused commands and claims, but for their form`] : []),
      ...notesOnTree(logId, tree),
      ...(notCovered === undefined ? [] : [notCovered]),
      ...(erased > 0 ? [`log ${logId}: from where ${erased} actions came, which is erased`] : []),
    ],
  };
}

/** Only what can be hashed. */
async function verifyHashes(
  snapshot: Snapshot,
  bookId: string,
  trusted: TrustedKeys,
  options: VerifyOptions,
): Promise<BookVerification & { notes: string[]; names: readonly string[] }> {
  const started = performance.now();
  const since = (): number => (performance.now() - started) / 1_000;
  const findings = new Findings(bookId);
  const { rows } = await snapshot.query<{ position: string }>('SELECT position::text FROM log.book_heads WHERE book_id = $1', [bookId]);
  const total = Number(rows[0]?.position ?? 0);
  const tree = await TreeCheck.open(snapshot, bookId, findings, trusted, options.notes ?? []);
  const { events, lastPosition } = await checkHashes(snapshot, bookId, findings, tree, (done) => {
    options.signal?.throwIfAborted();
    options.onProgress?.({ bookId, phase: 'events', done, total, seconds: since() });
  });
  await tree.finish(lastPosition);
  if (lastPosition !== total)
    findings.add('book head', `log.book_heads ${bookId}: position is ${total}, the last event has position ${lastPosition}`, {
      row: `log.book_heads ${bookId}`,
    });
  return {
    bookId,
    events,
    rows: 0,
    heads: 0,
    olderHeads: 0,
    findings: findings.kept,
    found: findings.count,
    first: findings.first(),
    seconds: { events: since(), heads: 0, projections: 0 },
    notes: notesOnTree(bookId, tree),
    names: tree.names,
  };
}

const notesOnTree = (bookId: string, tree: TreeCheck): string[] => [
  ...unknownWitnesses(bookId, tree),
  ...tree.setAside,
  ...(tree.givenUp === 0
    ? []
    : [
        `book ${bookId}: events that had been signed were given up, ${tree.givenUp === 1 ? 'once' : `${tree.givenUp} times`}; log.origins says by whom and why`,
      ]),
];

const unknownWitnesses = (bookId: string, { unknownSignatures }: TreeCheck): string[] =>
  unknownSignatures === 0 ? [] : [`book ${bookId}: ${unknownSignatures} signatures of witnesses whose keys are not known here (WITNESSES)`];

/** Names of the projections there are. */
const projectionNames = new Set(Object.values(projectedTables).map(({ projection }) => projection));

/** @returns `foreign`: projections that are live in a version that another release folds, whose rows are not known here */
async function positions(
  snapshot: Snapshot,
  bookId: string,
  findings: Findings,
): Promise<{ head: number; cursors: Map<string, number>; foreign: string[] }> {
  const heads = await snapshot.query<{ position: string }>(
    `SELECT greatest((SELECT max(position) FROM log.events WHERE book_id = $1), (SELECT position FROM log.book_heads WHERE book_id = $1), 0)::text AS position`,
    [bookId],
  );
  const head = Number(heads.rows[0]?.position ?? 0);
  const { rows } = await snapshot.query<{ projection: string; position: string; version: number; live: number | null; beside: boolean }>(
    `SELECT c.projection, c.position::text, c.version, (SELECT b.version FROM projections.builds b WHERE b.projection = c.projection AND b.state = 'live') AS live,
            EXISTS (SELECT FROM projections.builds b WHERE c.projection = b.projection || '~' || b.build AND b.state <> 'live' AND b.version = c.version) AS beside
       FROM projections.cursors c WHERE c.book_id = $1 ORDER BY c.projection`,
    [bookId],
  );
  const cursors = new Map<string, number>();
  const foreign: string[] = [];
  for (const { projection, position, version, live, beside } of rows) {
    const row = `projections.cursors ${projection}`;
    if (beside) continue;
    const known = projections.find(({ name }) => name === projection)?.version;
    if (projectionNames.has(projection) && version === live && version !== known) foreign.push(projection);
    else if (projectionNames.has(projection)) {
      cursors.set(projection, Number(position));
      if (version !== live)
        findings.add('cursor', `${row}: version is ${version}, the live set of the projection is of version ${live}`, { row });
    } else findings.add('cursor', `${row}: this release has no such projection`, { row });
    if (Number(position) > head)
      findings.add('cursor', `${row}: position is ${position}, after the end of the log (${head})`, { position: head, row });
  }
  return { head, cursors, foreign };
}

async function replayEvents(
  snapshot: Snapshot,
  replay: BookReplay,
  batches: BatchRows,
  receipts: Receipts,
  tree: TreeCheck,
  findings: Findings,
  report: (done: number) => void,
): Promise<void> {
  const book = snapshot.literal(replay.bookId);
  const batchRows = await snapshot.rows(
    `SELECT concat_ws(E'\\t', last_position, recorded_at) FROM log.batches WHERE book_id = ${book} ORDER BY last_position`,
  );
  const receiptRows = await snapshot.rows(`SELECT ${receiptText} FROM log.receipts WHERE book_id = ${book} ORDER BY position NULLS LAST`);
  const events = await logRows(snapshot, replay.bookId, findings);
  const feed = async (
    cursor: RowCursor,
    to: { readonly fedUpTo: number; feed(rows: readonly string[]): void },
    position: number,
  ): Promise<void> => {
    while (to.fedUpTo < position) {
      const rows = await cursor.chunk();
      if (rows.length === 0) return;
      to.feed(rows);
    }
  };
  for (let rows = await events.chunk(); rows.length > 0; rows = await events.chunk()) {
    const last = Number(rows[rows.length - 1]?.split('\t', 1)[0]);
    await feed(batchRows, batches, last);
    await feed(receiptRows, receipts, last);
    await tree.feed(last);
    for (const row of rows) {
      const event = readEvent(row);
      replay.take(event);
      tree.take(event.position, event.leafHash);
    }
    await tree.compare();
    await lookUpReversals(snapshot, replay, findings);
    report(replay.events);
  }
  await feed(batchRows, batches, Number.POSITIVE_INFINITY);
  await feed(receiptRows, receipts, Number.POSITIVE_INFINITY);
  replay.finish();
  await tree.finish(replay.lastPosition);
  await lookUpReversals(snapshot, replay, findings);
}

/** A reversal mirrors its original line by line; the originals are read here, because they may lie anywhere before. */
async function lookUpReversals(snapshot: Snapshot, replay: BookReplay, findings: Findings): Promise<void> {
  const pending = replay.pendingReversals.splice(0);
  if (pending.length === 0) return;
  const { rows } = await snapshot.query<{ stream_id: string; position: string; data: Readonly<Record<string, unknown>> }>(
    `SELECT e.stream_id, e.position::text, e.data FROM unnest($2::uuid[]) AS wanted (id),
       LATERAL (SELECT * FROM log.events t WHERE t.book_id = $1 AND t.stream_id = wanted.id AND t.event_type = 'JournalEntryPosted'
                ORDER BY t.version LIMIT 1) AS e`,
    [replay.bookId, pending.map(({ originalId }) => originalId)],
  );
  const originals = new Map(rows.map((row) => [row.stream_id, row]));
  const missing = pending.map(({ originalId }) => originalId).filter((id) => !originals.has(id));
  // A file that cannot be read was told where it was read from end to end; of entries in it nothing can be said.
  let unreadable = false;
  const skip = (): void => {
    unreadable = true;
  };
  const cold = missing.length === 0 ? [] : await snapshot.cold.ofStreams(replay.bookId, missing, {}, snapshot, skip);
  for (const [id, events] of cold) {
    const posted = events.find(({ eventType }) => eventType === 'JournalEntryPosted');
    if (posted !== undefined) originals.set(id, { stream_id: id, position: String(posted.position), data: JSON.parse(posted.data) });
  }
  for (const { originalId, position, mirrored, journalCode } of pending) {
    const original = originals.get(originalId);
    const wrong = (message: string): void =>
      findings.add('reversal', `event ${position} (JournalEntryReversed, stream ${originalId}): ${message}`, {
        position,
        stream: originalId,
      });
    if (original === undefined && unreadable) continue;
    if (original === undefined) wrong('the entry that it reverses does not exist');
    else if (Number(original.position) > position) wrong(`the entry that it reverses comes later, at position ${original.position}`);
    else if (original.data.entryType === 'reversal') wrong('the entry that it reverses is a reversal itself');
    else if (original.data.journalCode !== journalCode)
      wrong(`the reversal stands in journal ${String(journalCode)}, its original in ${String(original.data.journalCode)}`);
    else if (replay.linesText(original.data.lines) !== mirrored) wrong('the lines of the reversal do not mirror those of its original');
  }
}

/** Rows of log.batches, read ahead. */
class BatchRows implements Batches {
  /** Positions at which a batch ends. */
  readonly ends = new Set<number>();
  private waiting: { readonly last: number; readonly recordedAt: string }[] = [];
  private at = 0;

  feed(rows: readonly string[]): void {
    this.waiting = this.waiting.slice(this.at);
    this.at = 0;
    for (const row of rows) {
      const [last, recordedAt = ''] = row.split('\t');
      this.waiting.push({ last: Number(last), recordedAt: instantOf(recordedAt) });
      this.ends.add(Number(last));
    }
  }

  get fedUpTo(): number {
    return this.waiting.at(-1)?.last ?? 0;
  }

  next(): { readonly last: number; readonly recordedAt: string } | undefined {
    return this.waiting[this.at++];
  }

  rest(tell: (last: number, recordedAt: string) => void): void {
    for (const { last, recordedAt } of this.waiting.slice(this.at)) tell(last, recordedAt);
    this.at = this.waiting.length;
  }
}
