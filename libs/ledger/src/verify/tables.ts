/**
 * What stands beside the events, held against what the replay of the events made: the head of the book, the heads of its
 * streams, its names, its command contexts, and row for row every projection up to its cursor.
 */
import { createHash } from 'node:crypto';
import { accountReducer, bookReducer, journalReducer, partyReducer, type RatesState, ratesReducer } from '#domain';
import { canonicalJson, upcast } from '#event-store';
import { isCompanion } from '../action-log';
import { accountCodes, bookStreamId, catalogue, draftsStreamId, numbersStreamId } from '../catalogue';
import { copyValue } from './copy-text';
import { type Digests, rangeSize } from './digests';
import { type Check, type Findings, shown } from './findings';
import { partRows } from './log-rows';
import { minorText, readAmount } from './minor-units';
import { type ProjectedLine, type ProjectedTable, ProjectionRows, projectedTables } from './projection-rows';
import {
  type BookReplay,
  instantOf,
  type ReadEvent,
  type ReplayedAccount,
  type ReplayedTally,
  readEvent,
  versionOfNumbers,
} from './replay';
import type { Snapshot } from './rows';
import { jsonbText } from './stored-json';

// --- Book head ---

export async function checkBookHead(
  snapshot: Snapshot,
  bookId: string,
  findings: Findings,
  told: { readonly position: number; readonly recordedAt: string },
): Promise<void> {
  const { rows } = await snapshot.query<{ position: string; tail: string; recorded_at: string; recorded_floor: string; ahead: boolean }>(
    `SELECT position::text, tail::text, recorded_at::text, recorded_floor::text,
            greatest(recorded_at, recorded_floor) > clock_timestamp() + interval '1 day' AS ahead
       FROM log.book_heads WHERE book_id = $1`,
    [bookId],
  );
  const row = `log.book_heads ${bookId}`;
  const wrong = (message: string): void => findings.add('book head', `${row}: ${message}`, { row });
  const head = rows[0];
  if (head === undefined) {
    if (told.position > 0 || told.recordedAt !== '') wrong('is missing');
    return;
  }
  if (Number(head.position) !== told.position) wrong(`position is ${head.position}, the last event has position ${told.position}`);
  const recordedAt = instantOf(head.recorded_at);
  if (told.recordedAt !== '' && recordedAt !== told.recordedAt)
    wrong(`recorded_at is ${recordedAt}, the last receipt or event was recorded at ${told.recordedAt}`);
  if (!/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(head.tail) && told.recordedAt !== '')
    wrong(`tail ${head.tail} is no random id (UUIDv4)`);
  if (!/^\d{4}-\d\d-\d\dT/.test(instantOf(head.recorded_floor))) wrong(`recorded_floor ${head.recorded_floor} is no instant`);
  // Both come from clocks, and whatever is recorded next comes after both: one far ahead would stand in every event from now on.
  else if (head.ahead)
    wrong(
      `recorded_at is ${recordedAt}, recorded_floor is ${instantOf(head.recorded_floor)}, more than a day ahead of the database's clock`,
    );
}

// --- Heads of streams ---

interface ExpectedHead {
  readonly what: string;
  readonly version: number;
  /** Undefined for a snapshot that is taken now and then. */
  readonly versionBefore: number | undefined;
  readonly reducer: number;
  readonly state: () => unknown;
  /** The same as an earlier release of the same reducer version would have left it, given what is stored. */
  readonly asBefore?: (stored: string) => unknown;
}

/** Version of the head that holds a fiscal year's counters. */
const numbersReducer = 2;
/** The same of the one that lists its open drafts. */
const draftsReducer = 1;

/** @returns the head that a stream should have; of a snapshot, at the version that it was taken at */
function expectedHeads(replay: BookReplay): (stream: string, version: number) => ExpectedHead | undefined {
  const { bookId, book, accounts, numbers } = replay;
  const bookStream = bookStreamId(bookId);
  const years = new Map([...numbers].map(([fiscalYear, year]) => [numbersStreamId(bookId, fiscalYear), { fiscalYear, year }]));
  const drafts = new Map([...replay.drafts.years].map(([fiscalYear, year]) => [draftsStreamId(bookId, fiscalYear), { fiscalYear, year }]));
  return (stream, stored) => {
    const account = accounts.get(stream);
    if (account !== undefined) {
      const { version, versionBefore, code } = account;
      return {
        ...{ what: `account ${code}`, version, versionBefore, reducer: accountReducer.version },
        state: () => accountState(account),
        asBefore: (state) => accountState(withoutBase(account, state)),
      };
    }
    const year = years.get(stream);
    if (year !== undefined) {
      const { last, periods, versionBefore } = year.year;
      return {
        what: `the numbers of ${year.fiscalYear}`,
        version: versionOfNumbers(last),
        versionBefore,
        reducer: numbersReducer,
        state: () => ({
          fiscalYear: year.fiscalYear,
          last: [...last],
          periods: [...periods].map(([period, tally]) => periodState(period, tally)),
        }),
      };
    }
    const open = drafts.get(stream);
    if (open !== undefined) {
      const { fiscalYear, year } = open;
      const state = (): unknown => ({ fiscalYear, open: [...year.open.values()] });
      return {
        what: `the drafts of ${fiscalYear}`,
        version: year.version,
        versionBefore: year.versionBefore,
        reducer: draftsReducer,
        state,
      };
    }
    const kept = replay.drafts.journals.get(stream)?.snapshot;
    if (kept !== undefined) {
      const { version, state } = kept;
      return { what: 'a draft', version, versionBefore: undefined, reducer: journalReducer.version, state: () => state };
    }
    const rates = replay.rates.get(stream);
    if (rates !== undefined) {
      const folded = rates.slice(0, stored);
      return {
        what: 'exchange rates',
        version: folded.length,
        versionBefore: undefined,
        reducer: ratesReducer.version,
        state: () =>
          ratesReducer.toSnapshot(
            folded.reduce<RatesState | undefined>(
              (state, data) => ratesReducer.evolve(state, { type: 'ExchangeRateRecorded', data }),
              undefined,
            ) as RatesState,
          ),
      };
    }
    const party = replay.parties.get(stream);
    if (party !== undefined) {
      const { state, versionBefore } = party;
      return {
        ...{ what: 'a party', version: state.version, versionBefore, reducer: partyReducer.version },
        state: () => partyReducer.toSnapshot(state),
      };
    }
    if (stream !== bookStream || book === undefined) return undefined;
    const { version } = book;
    return {
      what: 'the Book',
      version,
      versionBefore: replay.bookVersionBefore,
      reducer: bookReducer.version,
      state: () => bookReducer.toSnapshot(book),
    };
  };
}

function periodState(period: number, { entries, sums, base }: ReplayedTally): unknown[] {
  const amounts = sums.map(({ currency, scale, debit }) => [currency, minorText(debit, scale)]);
  return base === 0 ? [period, entries, amounts] : [period, entries, amounts, String(base)];
}

/** As a head that goes back to a release which kept no sums of base amounts: they are missing where they are missing there. */
function withoutBase(account: ReplayedAccount, stored: string): ReplayedAccount {
  const { totals } = (JSON.parse(stored) ?? {}) as { readonly totals?: unknown };
  const known = Array.isArray(totals) ? (totals as unknown[]).filter((total) => Array.isArray(total)) : [];
  const without = new Set((known as unknown[][]).filter(({ length }) => length === 3).map(([currency]) => currency));
  return { ...account, totals: account.totals.map((total) => (without.has(total.currency) ? { ...total, base: undefined } : total)) };
}

function accountState({
  id,
  version,
  code,
  type,
  normalSide,
  postable,
  status,
  currencies,
  control,
  limits,
  totals,
}: ReplayedAccount): unknown {
  return accountReducer.toSnapshot({
    ...{ id, version, code, type, normalSide, postable, status, currencies, control, limits },
    totals: totals.map(({ currency, scale, debit, credit, base }) => ({
      ...{ currency, scale, debit: BigInt(debit), credit: BigInt(credit), base: base === undefined ? undefined : BigInt(base) },
    })),
  });
}

/**
 * Decisions take a head of another reducer version as missing, so its state is not compared: one of an earlier release is what every
 * upgrade leaves behind, one of a newer release is named. Its version must be right all the same: it guards the next append.
 * @returns how many heads the streams have, and how many of them are of an earlier release
 */
export async function checkHeads(
  snapshot: Snapshot,
  replay: BookReplay,
  findings: Findings,
): Promise<{ readonly heads: number; readonly older: number }> {
  const expected = expectedHeads(replay);
  const seen = new Set<string>();
  let older = 0;
  const select = `SELECT concat_ws(E'\\t', stream_id, version, coalesce(version_before::text, '-'), reducer_version, state)
                    FROM log.heads WHERE book_id = ${snapshot.literal(replay.bookId)}`;
  await snapshot.eachRow(select, (text) => {
    const [stream = '', version, before, reducer, ...state] = text.split('\t');
    const row = `log.heads ${stream}`;
    const head = expected(stream, Number(version));
    if (head === undefined) {
      findings.add('head', `${row}: no stream of this book keeps a head there`, { row, stream });
      return;
    }
    seen.add(stream);
    const found = (message: string): void => findings.add('head', `${row} (${head.what}): ${message}`, { row, stream });
    const wrong = (column: string, is: string | undefined, should: string): void =>
      found(`${column} is ${is}, the events make it ${should}`);
    if (Number(version) !== head.version) wrong('version', version, String(head.version));
    // Its sign tells whether the row had been dropped and was made again, which no event knows.
    const asBefore = head.versionBefore === undefined ? '-' : String(head.versionBefore);
    if ((before === '-' ? '-' : String(Math.abs(Number(before)))) !== asBefore) wrong('version_before', before, asBefore);
    if (Number(reducer) > head.reducer)
      found(
        `reducer_version is ${reducer}, this release knows ${head.reducer} at most: a newer release wrote it; verify with that one, its state was not compared`,
      );
    else if (Number(reducer) < 1) found(`reducer_version is ${reducer}, the first one is 1`);
    else if (Number(reducer) < head.reducer) older++;
    if (Number(reducer) !== head.reducer) return;
    const stored = state.join('\t');
    const made = canonicalJson(head.state());
    // Type json keeps the bytes of the store, type jsonb prints its own.
    const is = (state: unknown): boolean => stored === canonicalJson(state) || stored === jsonbText(state);
    if (!is(head.state()) && !(head.asBefore !== undefined && is(head.asBefore(stored)))) wrong('state', stored, made);
  });
  const missing = (stream: string): void => {
    const row = `log.heads ${stream}`;
    if (!seen.has(stream))
      findings.add('head', `${row} (${expected(stream, 0)?.what}): is missing; it will be folded from events`, { row, stream });
  };
  if (replay.book !== undefined) missing(bookStreamId(replay.bookId));
  for (const id of replay.accounts.keys()) missing(id);
  for (const id of replay.parties.keys()) missing(id);
  for (const fiscalYear of replay.numbers.keys()) missing(numbersStreamId(replay.bookId, fiscalYear));
  // A year that is older than drafts are has none until one is dated in it.
  for (const [fiscalYear, { version }] of replay.drafts.years) if (version > 1) missing(draftsStreamId(replay.bookId, fiscalYear));
  return { heads: seen.size, older };
}

// --- Names ---

export async function checkNames(snapshot: Snapshot, replay: BookReplay, findings: Findings): Promise<void> {
  const seen = new Set<string>();
  const select = `SELECT concat_ws(E'\\t', stream_id, category, name) FROM log.stream_names WHERE book_id = ${snapshot.literal(replay.bookId)}`;
  await snapshot.eachRow(select, (text) => {
    const [stream, category, ...rest] = text.split('\t');
    const name = rest.join('\t');
    const row = `log.stream_names ${category} ${JSON.stringify(name)}`;
    const owner = category === accountCodes ? replay.codes.get(name) : undefined;
    if (owner === undefined) findings.add('name', `${row}: no event gives this name`, { row, stream });
    else if (owner !== stream)
      findings.add('name', `${row}: stream_id is ${stream}, the events give the name to ${owner}`, { row, stream });
    if (category === accountCodes) seen.add(name);
  });
  for (const [name, stream] of replay.codes) {
    const row = `log.stream_names ${accountCodes} ${JSON.stringify(name)}`;
    if (!seen.has(name)) findings.add('name', `${row}: is missing; the events give it to ${stream}`, { row, stream });
  }
}

// --- Claims and contexts ---

/** Entries of a batch call hang on the claim of their key. */
export async function checkClaims(snapshot: Snapshot, bookId: string, findings: Findings): Promise<void> {
  const select = `SELECT concat_ws(E'\\t', r.item, coalesce(r.position::text, ''), r.key) FROM log.receipts r
                   WHERE r.book_id = ${snapshot.literal(bookId)} AND r.item > 0
                     AND NOT EXISTS (SELECT FROM log.receipts c WHERE c.book_id = r.book_id AND c.key = r.key AND c.item = 0 AND c.command = 'PostEntries' AND c.answer = '')`;
  await snapshot.eachRow(select, (text) => {
    const [item, position, ...key] = text.split('\t');
    const row = `log.receipts key ${JSON.stringify(key.join('\t'))} item ${item}`;
    findings.add('receipt', `${row}: item is ${item}, but no batch call has claimed the key`, {
      row,
      ...(position === '' ? {} : { position: Number(position) }),
    });
  });
}

/** @returns how many contexts that events refer to were erased */
export async function checkContexts(
  snapshot: Snapshot,
  { bookId, contexts }: { readonly bookId: string; readonly contexts: Iterable<string> },
  findings: Findings,
): Promise<number> {
  const book = snapshot.literal(bookId);
  // They come with the first receipt that they are of, or with the first action.
  const companion = isCompanion(bookId);
  const instants = `SELECT recorded_at FROM log.receipts WHERE book_id = ${book}${companion ? ` UNION SELECT recorded_at FROM log.batches WHERE book_id = ${book}` : ''}`;
  const select = `SELECT concat_ws(E'\\t', encode(c.context_hash, 'hex'), encode(c.salt, 'hex'), c.first_seen_at, r.recorded_at IS NOT NULL, json_build_array(c.ip, c.user_agent))
                    FROM log.command_contexts c
                    LEFT JOIN (SELECT DISTINCT recorded_at FROM (${instants}) AS i) AS r ON r.recorded_at = c.first_seen_at
                   WHERE c.book_id = ${book}`;
  const there = new Set<string>();
  await snapshot.eachRow(select, (text) => {
    const [hash = '', salt = '', at = '', receipt, place = ''] = text.split('\t');
    const row = `log.command_contexts ${hash}`;
    // A refused command may have been the first; and one that was erased comes back with the next command from that place.
    if (receipt !== 't')
      findings.add(
        'context',
        `${row}: first_seen_at is ${instantOf(at)}, when no ${companion ? 'receipt or action' : 'receipt of the book'} was recorded`,
        { row },
      );
    const [ip, userAgent] = JSON.parse(place) as (string | null)[];
    if (ip === null && userAgent === null) return; // erased in place
    there.add(hash);
    const hashed = createHash('sha256').update(Buffer.from(salt, 'hex'));
    const made = hashed.update(canonicalJson({ ip: ip ?? undefined, userAgent: userAgent ?? undefined }), 'utf8').digest('hex');
    if (made !== hash) findings.add('context', `${row}: context_hash is ${hash}, salt, ip and user_agent give ${made}`, { row });
  });
  let erased = 0;
  for (const hash of contexts) if (!there.has(hash)) erased++;
  return erased;
}

// --- Projections ---

const checkOf: Readonly<Record<ProjectedTable, Check>> = {
  entries: 'register',
  account_lines: 'register',
  running_totals: 'as-of',
  account_versions: 'chart',
  dimension_lines: 'dimensions',
  parties: 'parties',
  party_mentions: 'parties',
  party_keys: 'parties',
};

/** Rows told by the table's own key: which columns of the text are the key. */
const keyColumns: Readonly<Record<ProjectedTable, readonly number[]>> = {
  entries: [0],
  account_lines: [0, 1],
  running_totals: [0, 1, 2, 11, 12],
  account_versions: [0, 1],
  dimension_lines: [0, 1, 2, 3],
  parties: [0, 1],
  party_mentions: [0, 1, 2],
  party_keys: [0, 1, 2],
};

const selectRows = (snapshot: Snapshot, table: ProjectedTable, bookId: string): string => {
  const { columns, from } = projectedTables[table];
  return `SELECT ${columns} FROM ${from}`.replaceAll('$book', snapshot.literal(bookId));
};

/** `\tY\t2024-01-01`; the dates that entries may have, 1900 to 2199, are of this length. */
const bucketLength = 13;

/** Adds up the rows that are there. */
export async function digestRows(snapshot: Snapshot, table: ProjectedTable, bookId: string, digests: Digests): Promise<void> {
  const tail = table === 'running_totals' ? bucketLength : 0;
  await snapshot.copy(selectRows(snapshot, table, bookId), (row) => {
    const end = row.length - 1;
    digests.addBytes(positionOf(row), row, Math.max(0, end - tail), end);
  });
}

/** The integer before the first tab; NaN where there is none. */
function positionOf(row: Buffer): number {
  let value = 0;
  for (let index = 0; index < row.length; index++) {
    const byte = row[index] as number;
    if (byte === 9) return value;
    if (byte < 48 || byte > 57) break;
    value = value * 10 + (byte - 48);
  }
  return Number(row.toString('utf8').split('\t', 1)[0]);
}

/** Names the rows that differ, in ranges of positions whose digests differ. */
export async function compareRanges(
  snapshot: Snapshot,
  table: ProjectedTable,
  bookId: string,
  cursor: number,
  ranges: readonly number[],
  findings: Findings,
): Promise<void> {
  const wanted = new Set(ranges);
  const inRange = (position: number): boolean => wanted.has(Math.floor(position / rangeSize));
  const expected = await expectedRows(snapshot, table, bookId, cursor, ranges, inRange);
  const actual = new Map<string, string>();
  await snapshot.copy(`${selectRows(snapshot, table, bookId)} ORDER BY 1, 2, 3`, (row) => {
    const text = row.toString('utf8', 0, row.length - 1);
    const position = Number(text.slice(0, text.indexOf('\t')));
    if (inRange(position) || position > cursor || position < 1) actual.set(keyOf(table, text), text);
  });
  const tell = (text: string, message: string): void => {
    const [position, ...key] = keyOf(table, text).split('\t');
    const row = `projections.${table} ${[position, ...key].join('/')}`;
    findings.add(checkOf[table], `${row}: ${message}`, { position: Number(position), row });
  };
  for (const [key, text] of expected) {
    const is = actual.get(key);
    if (is === undefined) tell(text, `is missing; the events make it ${valuesOf(table, text)}`);
    else if (is !== text) tell(text, `${differing(table, is, text)}`);
  }
  for (const [key, text] of actual) {
    if (expected.has(key)) continue;
    const beyond = Number(key.slice(0, key.indexOf('\t'))) > cursor ? `, and the cursor stands at ${cursor}` : '';
    tell(text, `no event makes this row (${valuesOf(table, text)})${beyond}`);
  }
}

/** Makes the rows of some ranges again; only this time they are kept. */
async function expectedRows(
  snapshot: Snapshot,
  table: ProjectedTable,
  bookId: string,
  cursor: number,
  ranges: readonly number[],
  inRange: (position: number) => boolean,
): Promise<Map<string, string>> {
  const expected = new Map<string, string>();
  const rows = new ProjectionRows((of, position, start, bucket) => {
    const text = start + bucket;
    if (of === table && inRange(position)) expected.set(keyOf(table, text), text);
  });
  if (table === 'account_versions') {
    const views = new Map<string, Readonly<Record<string, unknown>>>();
    const part = {
      ...{ after: 0, upTo: cursor, condition: "event_type LIKE 'Account%' AND event_type NOT IN ('AccountDebited', 'AccountCredited')" },
      wanted: (type: string) => type.startsWith('Account') && type !== 'AccountDebited' && type !== 'AccountCredited',
    };
    await eachEvent(snapshot, bookId, part, (event) => {
      const view = { ...views.get(event.streamId), ...viewPatch(event, currentData(bookId, event)) };
      views.set(event.streamId, view);
      rows.account(event.position, event.streamId, String((view as { code?: unknown }).code), jsonbText(view));
    });
    return expected;
  }
  if (projectedTables[table].projection === 'parties') {
    for (const range of ranges) {
      const upTo = Math.min(cursor, (range + 1) * rangeSize - 1);
      await eachEvent(snapshot, bookId, { after: range * rangeSize - 1, upTo, condition: 'true', wanted: () => true }, (event) =>
        rows.persons(event.position, event.streamId, event.eventType, currentData(bookId, event)),
      );
    }
    return expected;
  }
  const batches = await snapshot.query<{ last_text: string }>(
    'SELECT last_position::text AS last_text FROM log.batches WHERE book_id = $1 ORDER BY last_position',
    [bookId],
  );
  const ends = batches.rows.map(({ last_text }) => Number(last_text));
  for (const range of ranges) {
    // A batch that ends inside a range may begin before it; what of one that ends behind is not ended inside belongs to the next.
    const from = table === 'running_totals' ? (ends.findLast((end) => end < range * rangeSize) ?? 0) : range * rangeSize - 1;
    const to = Math.min(cursor, (range + 1) * rangeSize - 1);
    let batch = ends.findIndex((end) => end > from);
    const entries = { condition: "event_type = 'JournalEntryPosted'", wanted: (type: string) => type === 'JournalEntryPosted' };
    await eachEvent(snapshot, bookId, { after: from, upTo: to, ...entries }, (event) => {
      while (batch >= 0 && batch < ends.length && event.position > (ends[batch] as number)) rows.batchEnd(ends[batch++] as number);
      const posted = currentData(bookId, event);
      rows.entry(event.position, event.streamId, posted, linesOf(posted));
    });
    const last = ends[batch];
    if (last !== undefined && last <= to) {
      rows.batchEnd(last);
    } else {
      rows.reached(to + 1);
      rows.batchEnd(-1);
    }
  }
  return expected;
}

/** An event that cannot be read was told by the replay, and makes no rows. */
function eachEvent(
  snapshot: Snapshot,
  bookId: string,
  part: Parameters<typeof partRows>[2],
  use: (event: ReadEvent) => void,
): Promise<void> {
  return partRows(snapshot, bookId, part, (row) => {
    try {
      use(readEvent(row));
    } catch {
      // told already
    }
  });
}

const currentData = (bookId: string, event: ReadEvent): Readonly<Record<string, unknown>> =>
  upcast(catalogue, { ...event, bookId, data: JSON.parse(event.data) as Readonly<Record<string, unknown>> });

function linesOf({ lines }: Readonly<Record<string, unknown>>): ProjectedLine[] {
  return (lines as readonly Omit<ProjectedLine, 'minor' | 'scale'>[]).flatMap((line) => {
    const { amount } = line;
    const point = amount.indexOf('.');
    const scale = point < 0 ? 0 : amount.length - point - 1;
    const minor = readAmount(amount, scale);
    return minor === undefined ? [] : [{ ...line, minor, scale }];
  });
}

function viewPatch({ eventType, streamId }: ReadEvent, data: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  switch (eventType) {
    case 'AccountOpened':
      return { id: streamId, status: 'open', ...data };
    case 'AccountFrozen':
      return { status: 'frozen' };
    case 'AccountUnfrozen':
      return { status: 'open' };
    case 'AccountClosed':
      return { status: 'closed' };
    default:
      return data;
  }
}

function keyOf(table: ProjectedTable, text: string): string {
  const values = text.split('\t');
  return keyColumns[table].map((column) => values[column]).join('\t');
}

const names: Readonly<Record<ProjectedTable, readonly string[]>> = {
  entries: ['position', 'entry_id', 'number', 'effective_date', 'period', 'journal_code', 'fiscal_year', 'entry_type', 'reference'],
  account_lines: ['position', 'line', 'account_id', 'effective_date', 'side', 'currency', 'amount', 'base_amount'],
  running_totals: [
    'position',
    'account_id',
    'currency',
    'decimals of debit',
    'decimals of credit',
    'debit beyond the row before it',
    'credit beyond the row before it',
    'decimals of base_debit',
    'decimals of base_credit',
    'base_debit beyond the row before it',
    'base_credit beyond the row before it',
    'bucket',
    'start',
  ],
  account_versions: ['position', 'account_id', 'code', 'state'],
  dimension_lines: ['position', 'line', 'key', 'value', 'account_id', 'effective_date', 'side', 'currency', 'amount', 'base_amount'],
  parties: ['position', 'party_id', 'kind', 'reference'],
  party_mentions: [
    ...['position', 'party_id', 'ordinal', 'path', 'scope', 'stream_id', 'effective_date', 'event_type', 'fiscal_year', 'document_type'],
  ],
  party_keys: ['position', 'party_id', 'scope', 'until', 'fingerprint'],
};

function valuesOf(table: ProjectedTable, text: string): string {
  const values = text.split('\t');
  return values
    .flatMap((value, index) => (keyColumns[table].includes(index) ? [] : [`${names[table][index]} ${shown(copyValue(value))}`]))
    .join(', ');
}

function differing(table: ProjectedTable, is: string, should: string): string {
  const [there, made] = [is.split('\t'), should.split('\t')];
  const columns = names[table].flatMap((name, index) =>
    there[index] === made[index]
      ? []
      : [`${name} is ${shown(copyValue(there[index] ?? ''))}, the events make it ${shown(copyValue(made[index] ?? ''))}`],
  );
  return columns.join('; ');
}
