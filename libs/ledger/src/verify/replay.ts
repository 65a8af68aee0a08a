/**
 * The replay of one book: every event in position order, its leaf hash made again from the stored columns, its effect folded
 * from nothing but the events before it, and every rule that held when it was decided asked once more. Independent of the code
 * that decides (journal.ts, account.ts) and of the encoder. Keeps the state of each account, one entry and one command at a
 * time. After something wrong it goes on from what the log says, so that one fault is told once and not at each event that follows.
 */
import * as crypto from 'node:crypto';
import {
  type AccountLimit,
  type AccountState,
  adjustmentPeriodOf,
  type BookEvent,
  type BookState,
  bookReducer,
  type ExchangeRateRecorded,
  type FiscalYearDefined,
  isDate,
  isPlainDecimal,
  type PartyEvent,
  type PartyState,
  type PeriodClosed,
  type PeriodRef,
  pairKey,
  partyReducer,
  periodOf,
  rateTypes,
  toMinor,
} from '#domain';
import { canonicalJson, definitionOf, type EventDefinition, upcast } from '#event-store';
import { bookStreamId, catalogue, ratesStreamId } from '../catalogue';
import { Drafts } from './drafts';
import type { Check, Findings } from './findings';
import { type LegFrame, type LegLine, legFrame, legHash, legText } from './legs';
import { type Minor, minorText, minus, plus, readAmount, smallest } from './minor-units';
import { type ProjectedLine, ProjectionRows, type Sum } from './projection-rows';
import type { Receipts } from './receipts';
import { bookProblem, entryProblem, metadataProblem, partyProblem, shapeProblem } from './shapes';
import { canonicalEntry, canonicalMetadata, hasPlainNumbers, jsonbText, readPlainEntry } from './stored-json';

type Json = Readonly<Record<string, unknown>>;

/** An event as verify reads it. */
export const eventText = `concat_ws(E'\\t', position, version, recorded_at, stream_id, event_id, event_version, encode(leaf_hash, 'hex'), data, metadata, event_type)`;

export interface ReadEvent {
  readonly position: number;
  readonly version: number;
  readonly recordedAt: string;
  readonly streamId: string;
  readonly eventId: string;
  readonly eventVersion: number;
  readonly leafHash: string;
  /** As PostgreSQL prints them. */
  readonly data: string;
  readonly metadata: string;
  readonly eventType: string;
}

/** Written out: this runs for every event, and splitting would make an array and texts of numbers. */
export function readEvent(row: string): ReadEvent {
  const a = row.indexOf('\t');
  const b = row.indexOf('\t', a + 1);
  const c = row.indexOf('\t', b + 1);
  const d = row.indexOf('\t', c + 1);
  const e = row.indexOf('\t', d + 1);
  const f = row.indexOf('\t', e + 1);
  const g = row.indexOf('\t', f + 1);
  const h = row.indexOf('\t', g + 1);
  const i = row.indexOf('\t', h + 1);
  return {
    position: wholeAt(row, 0, a),
    version: wholeAt(row, a + 1, b),
    recordedAt: instantOf(row.slice(b + 1, c)),
    streamId: row.slice(c + 1, d),
    eventId: row.slice(d + 1, e),
    eventVersion: wholeAt(row, e + 1, f),
    leafHash: row.slice(f + 1, g),
    data: row.slice(g + 1, h),
    metadata: row.slice(h + 1, i),
    eventType: row.slice(i + 1),
  };
}

/** An integer as PostgreSQL prints it; exact to 15 digits without making a text of it. */
function wholeAt(row: string, from: number, to: number): number {
  if (to - from > 15 || to === from) return Number(row.slice(from, to));
  let value = 0;
  for (let index = from; index < to; index++) {
    const digit = row.charCodeAt(index) - 48;
    if (digit < 0 || digit > 9) return Number(row.slice(from, to));
    value = value * 10 + digit;
  }
  return value;
}

let lastText = '';
let lastInstant = '';

/** `2026-07-05 12:00:00.1+00` → `2026-07-05T12:00:00.100000Z`; all events of a batch have the same, so it is made once. */
export function instantOf(text: string): string {
  if (text === lastText) return lastInstant;
  const parts = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?\+00$/.exec(text);
  lastText = text;
  lastInstant = parts === null ? text : `${parts[1]}T${parts[2]}.${(parts[3] ?? '').padEnd(6, '0')}Z`;
  return lastInstant;
}

interface Total {
  readonly currency: string;
  readonly scale: number;
  debit: Minor;
  credit: Minor;
  /** Debit − credit of the base amounts of lines; undefined when the first of them had none. */
  base: Minor | undefined;
  /** The balance before the entry at hand (or the reversal that belongs to it), where the account has limits and the entry a line. */
  before: Minor | undefined;
  /** Limits of the account in this currency; read when they are first asked for. */
  limits: readonly MinorLimit[] | undefined;
}

/** A limit in minor units. */
interface MinorLimit {
  readonly min: Minor | undefined;
  readonly max: Minor | undefined;
}

/** What is remembered of an account. */
export interface ReplayedAccount {
  readonly id: string;
  code: string;
  readonly type: AccountState['type'];
  readonly normalSide: AccountState['normalSide'];
  readonly postable: boolean;
  status: AccountState['status'];
  readonly currencies?: readonly string[];
  readonly limits?: readonly AccountLimit[];
  readonly control?: AccountState['control'];
  version: number;
  readonly totals: Total[];
  /** The batch that touched it last, and the version that it had before. */
  batch: number;
  versionBefore: number;
  /** As the chart shows it. */
  view: Json;
  /** Kept here by ProjectionRows. */
  sum: Sum | undefined;
}

/** What was posted into one period. */
export interface ReplayedTally {
  entries: number;
  /** Debits per currency, in the order of first use. */
  readonly sums: { readonly currency: string; readonly scale: number; debit: Minor }[];
  base: Minor;
}

/** The counters of one fiscal year. */
export interface ReplayedNumbers {
  readonly last: Map<string, number>;
  readonly periods: Map<number, ReplayedTally>;
  batch: number;
  versionBefore: number;
}

/** `baseAmount` is what it counts as, `statedBase` what the line says. */
interface Line extends ProjectedLine, LegLine {
  readonly account: ReplayedAccount | undefined;
}

/** The entry whose legs are expected next. */
interface OpenEntry {
  readonly event: ReadEvent;
  readonly data: Json;
  readonly lines: readonly Line[];
  /** Legs seen so far. */
  legs: number;
  /** Made with the first of them. */
  frame: LegFrame | undefined;
}

/** A reversal whose original is to be looked up: lines with their sides exchanged, as canonical text. */
export interface PendingReversal {
  readonly originalId: string;
  readonly position: number;
  readonly mirrored: string;
  readonly journalCode: unknown;
}

/** What a command did, for its receipt. */
export interface Unit {
  /** Of its first event, as is `data`. */
  readonly position: number;
  readonly recordedAt: string;
  readonly streamId: string;
  readonly types: string[];
  readonly posted: { readonly id: string; readonly number: unknown; readonly position: number }[];
  data: Json;
  /** Periods that it closed. */
  readonly closed: { readonly fiscalYear: string; readonly period: number; readonly level: string }[];
  reversedId?: string;
  /** The draft that it did something to. */
  draft?: { readonly id: string; readonly type: string };
  /** The party that it did something to, as it then was. */
  party?: PartyState;
}

export class BookReplay {
  readonly accounts = new Map<string, ReplayedAccount>();
  /** Account codes, each with the account that had it first. */
  readonly codes = new Map<string, string>();
  readonly numbers = new Map<string, ReplayedNumbers>();
  /** Exchange rates by stream, in the order in which they were recorded. */
  readonly rates = new Map<string, ExchangeRateRecorded[]>();
  /** Parties, with the batch that changed each last, and the version that it had before. */
  readonly parties = new Map<string, { state: PartyState; batch: number; versionBefore: number }>();
  /** Accounts that were closed with something left in base currency. */
  readonly closedWhileCarried: string[] = [];
  readonly pendingReversals: PendingReversal[] = [];
  readonly drafts = new Drafts();
  /** Contexts that events refer to. */
  readonly contexts = new Set<string>();
  book: BookState | undefined;
  bookBatch = 0;
  bookVersionBefore = 0;
  events = 0;
  lastRecordedAt = '';
  private readonly bookStream: string;
  private next = 1;
  private batch = 0;
  private batchEnd = 0;
  private batchRecordedAt = '';
  private open: OpenEntry | undefined;
  /** A draft was approved, and its entry is expected next. */
  private approved: ReadEvent | undefined;
  private unit: Unit | undefined;
  private lastMetadata: { readonly text: string; readonly canonical: string; readonly user: string; readonly parsed: Json } | undefined;
  private frame: MetadataFrame | undefined;
  private readonly dates = new Map<string, boolean>();
  /** The currency asked for last, and its decimals in the Book as it was. */
  private currency = '';
  private currencyBook: BookState | undefined;
  private scale: number | undefined;
  /** What the entry at hand (and the reversal that belongs to it) moves on accounts with limits. */
  private readonly limited: { readonly account: ReplayedAccount; readonly total: Total }[] = [];

  constructor(
    readonly bookId: string,
    private readonly findings: Findings,
    private readonly batches: Batches,
    private readonly receipts: Receipts,
    private readonly rows: ProjectionRows,
  ) {
    this.bookStream = bookStreamId(bookId);
  }

  /** Takes the next event. */
  take(event: ReadEvent): void {
    try {
      this.place(event);
      this.fold(event);
    } catch (error) {
      this.tell('event', event, `cannot be read: ${(error as Error).message}`);
    }
  }

  /** Position of the last event, 0 when there is none. */
  get lastPosition(): number {
    return this.next - 1;
  }

  /** After the last event. */
  finish(): void {
    this.closeEntry();
    this.closeApproval(undefined);
    this.checkLimits();
    this.closeUnit();
    this.closeBatch();
    if (this.batchEnd > this.lastPosition && this.batchEnd < Number.MAX_SAFE_INTEGER) {
      this.findings.add(
        'batches',
        `log.batches has a batch ending at position ${this.batchEnd}, the last event has position ${this.lastPosition}`,
        {
          position: this.batchEnd,
          row: `log.batches last_position ${this.batchEnd}`,
        },
      );
    }
    this.batches.rest((last, recordedAt) =>
      this.findings.add(
        'batches',
        `log.batches has a batch ending at position ${last} (recorded at ${recordedAt}), after the last event ${this.next - 1}`,
        {
          position: last,
          row: `log.batches last_position ${last}`,
        },
      ),
    );
    this.receipts.rest(this.next);
  }

  // --- Place: position, batch, version, hash ---

  private place(event: ReadEvent): void {
    const { position } = event;
    this.events++;
    if (position !== this.next) {
      const missing = position > this.next;
      const which = position - 1 === this.next ? `position ${this.next} is` : `positions ${this.next} to ${position - 1} are`;
      this.findings.add(
        'positions',
        missing ? `${which} missing before ${describe(event)}` : `${describe(event)} comes after position ${this.next - 1}`,
        { position: missing ? this.next : position, stream: event.streamId },
      );
      this.open = undefined;
    }
    this.next = position + 1;
    while (position > this.batchEnd) {
      this.closeBatch();
      const batch = this.batches.next();
      if (batch === undefined) {
        this.findings.add('batches', `log.batches has no batch that holds position ${position}`, { position, row: 'log.batches' });
        this.batchEnd = Number.MAX_SAFE_INTEGER;
        this.batchRecordedAt = event.recordedAt;
        break;
      }
      if (batch.last < position) {
        this.findings.add('batches', `log.batches has a batch ending at position ${batch.last}, where no batch of the events ends`, {
          position: batch.last,
          row: `log.batches last_position ${batch.last}`,
        });
      }
      if (batch.recordedAt <= this.batchRecordedAt) {
        this.findings.add(
          'batches',
          `the batch ending at position ${batch.last} was recorded at ${batch.recordedAt}, not after the batch before it (${this.batchRecordedAt}) (I10)`,
          { position: batch.last, row: `log.batches last_position ${batch.last}` },
        );
      }
      this.batchEnd = batch.last;
      this.batchRecordedAt = batch.recordedAt;
      this.batch++;
    }
    if (event.recordedAt !== this.batchRecordedAt) {
      this.tell(
        'batches',
        event,
        `recorded_at is ${event.recordedAt}, its batch in log.batches (last_position ${this.batchEnd}) says ${this.batchRecordedAt} (I10)`,
      );
    }
    if (event.recordedAt > this.lastRecordedAt) this.lastRecordedAt = event.recordedAt;
  }

  private closeBatch(): void {
    if (this.batchEnd > 0) this.rows.batchEnd(Math.min(this.batchEnd, this.next - 1));
    this.drafts.closeBatch();
  }

  private checkHash(event: ReadEvent, definition: EventDefinition, data: string | undefined, metadata: string, user: string): void {
    if (data !== undefined && leafHash(this.bookId, event, definition, data, metadata, user) === event.leafHash) return;
    let found: string;
    try {
      found = leafHash(this.bookId, event, definition, canonicalJson(JSON.parse(event.data)), metadata, user);
    } catch (error) {
      this.tell('leaf hash', event, `its data has no canonical form: ${(error as Error).message} (I3)`);
      return;
    }
    if (found === event.leafHash) return;
    this.tell(
      'leaf hash',
      event,
      `leaf_hash is ${event.leafHash}, its columns give ${found}: one of position, version, recorded_at, stream_id, event_id, event_version, event_type, data, metadata or leaf_hash was changed (I3)`,
    );
  }

  private checkVersion(event: ReadEvent, before: number, what: string): void {
    if (event.version === before + 1) return;
    this.tell('versions', event, `version is ${event.version}, after version ${before} of ${what} comes ${before + 1} (I5)`);
  }

  // --- Fold ---

  private fold(event: ReadEvent): void {
    const { open } = this;
    if (open !== undefined && open.legs < open.lines.length) {
      if (event.eventType === 'AccountDebited' || event.eventType === 'AccountCredited') {
        this.takeLeg(event, open);
        return;
      }
    }
    this.closeEntry();
    this.closeApproval(event);
    if (!uuidV7Form.test(event.eventId)) this.tell('event', event, `event_id ${event.eventId} is no UUIDv7`);
    const definition = this.definition(event);
    if (definition === undefined) {
      this.skip(event);
      return;
    }
    const { parsed, canonical, user } = this.metadataOf(event);
    const plain = event.eventType === 'JournalEntryPosted' ? readPlainEntry(event.data) : undefined;
    const data = plain?.data ?? (JSON.parse(event.data) as Json);
    if (plain === undefined && !hasPlainNumbers(event.data))
      this.tell('leaf hash', event, 'its data holds a number that is not printed as it was hashed, like 1.0 for 1 (I3)');
    const text = plain?.canonical ?? (event.eventType === 'JournalEntryPosted' ? canonicalEntry(data) : canonicalJson(data));
    this.checkHash(event, definition, text, canonical, user);
    this.takeUnit(event, parsed);
    const current = event.eventVersion === definition.version ? data : upcast(catalogue, { ...event, bookId: this.bookId, data });
    if (event.eventType === 'AccountDebited' || event.eventType === 'AccountCredited') {
      this.tell('leg', event, 'belongs to no line of an entry right before it (I15)');
      const account = this.accounts.get(event.streamId);
      if (account !== undefined) this.touch(account, event);
      return;
    }
    if (event.eventType === 'JournalEntryPosted') this.takeEntry(event, current);
    else if (event.eventType === 'JournalEntryReversed') this.takeReversed(event, current);
    else if (definition.aggregateType === 'Book') this.takeBook(event, current);
    else if (definition.aggregateType === 'ExchangeRates') this.takeRate(event, current);
    else if (definition.aggregateType === 'Party') this.takeParty(event, current);
    else if (definition.aggregateType === 'Journal') this.takeDraft(event, current, user);
    else this.takeAccount(event, current);
    if (event.eventType !== 'JournalEntryReversed') this.rows.persons(event.position, event.streamId, event.eventType, current);
    this.unit?.types.push(event.eventType);
    if (this.unit?.types.length === 1) this.unit.data = current;
  }

  /** An event that cannot be folded: its stream goes on behind it. */
  private skip(event: ReadEvent): void {
    const account = this.accounts.get(event.streamId);
    if (account !== undefined) this.touch(account, event);
    else if (event.streamId === this.bookStream && this.book !== undefined) this.book = { ...this.book, version: event.version };
  }

  private definition(event: ReadEvent): EventDefinition | undefined {
    const { eventType, eventVersion } = event;
    const definition = definitions.get(eventType);
    if (definition === undefined) {
      this.tell('event', event, `its event_type ${JSON.stringify(eventType)} is not known to this release`);
      return undefined;
    }
    if (!(eventVersion >= 1 && eventVersion <= definition.version)) {
      this.tell('event', event, `its event_version is ${eventVersion}, this release knows 1 to ${definition.version} of ${eventType}`);
      return undefined;
    }
    return definition;
  }

  private metadataOf(event: ReadEvent): NonNullable<BookReplay['lastMetadata']> {
    if (this.lastMetadata?.text === event.metadata) return this.lastMetadata;
    const alike = this.likeLast(event.metadata);
    if (alike !== undefined) {
      this.lastMetadata = alike;
      return alike;
    }
    const parsed = JSON.parse(event.metadata) as Json;
    if (!hasPlainNumbers(event.metadata))
      this.tell('leaf hash', event, 'its metadata holds a number that is not printed as it was hashed (I3)');
    const { userId, contextHash } = parsed;
    const user = userId === undefined ? '' : `"userId":${JSON.stringify(userId)},`;
    const canonical = canonicalMetadata(parsed);
    this.lastMetadata = { text: event.metadata, canonical, user, parsed };
    const problem = metadataProblem(parsed);
    this.frame = undefined;
    if (problem !== undefined) this.tell('metadata', event, `${problem} (I12)`);
    else if (hasPlainNumbers(event.metadata)) this.frame = metadataFrame(event.metadata, parsed, canonical, user);
    if (typeof contextHash === 'string') this.contexts.add(contextHash);
    return this.lastMetadata;
  }

  /** Metadata that differs from that of the command before in its key and fingerprint alone: nothing else of it is new. */
  private likeLast(text: string): BookReplay['lastMetadata'] {
    const { frame } = this;
    if (frame === undefined || !text.startsWith(frame.before) || !text.endsWith(frame.after)) return undefined;
    const hashFrom = text.length - frame.after.length - 64;
    const keyTo = hashFrom - betweenKeyAndHash.length;
    if (keyTo < frame.before.length || !text.startsWith(betweenKeyAndHash, keyTo)) return undefined;
    const commandKey = text.slice(frame.before.length, keyTo);
    const commandHash = text.slice(hashFrom, hashFrom + 64);
    // Without quotes and escapes the key ends where it seems to end, and is the same text in both forms.
    if (commandKey.includes('"') || commandKey.includes('\\') || !isHash(commandHash)) return undefined;
    const canonical = `{"commandHash":"${commandHash}","commandKey":"${commandKey}"${frame.canonicalAfter}`;
    return { text, canonical, user: frame.user, parsed: { commandKey, commandHash } };
  }

  // --- Commands and their receipts ---

  private takeUnit(event: ReadEvent, metadata: Json): void {
    const { position, recordedAt, streamId } = event;
    if (this.receipts.beginsAt(position)) {
      this.closeUnit();
      this.receipts.take();
      this.unit = { position, recordedAt, streamId, types: [], posted: [], data: {}, closed: [] };
    }
    if (!this.receipts.covers(event, metadata)) this.unit = undefined;
  }

  private closeUnit(): void {
    if (this.unit !== undefined) this.receipts.settle(this.unit, this);
    this.unit = undefined;
  }

  // --- The Book ---

  private takeBook(event: ReadEvent, data: Json): void {
    if (event.streamId !== this.bookStream)
      this.tell('book', event, `stands on stream ${event.streamId}, the Book's stream is ${this.bookStream}`);
    this.checkVersion(event, this.book?.version ?? 0, 'the Book');
    if ((event.eventType === 'BookOpened') !== (this.book === undefined)) {
      this.tell('book', event, this.book === undefined ? 'comes before BookOpened' : 'opens a book that is open already');
      if (this.book === undefined) return;
    }
    const problem = shapeProblem(event.eventType, data) ?? bookProblem(this.book, event.eventType, data);
    if (problem !== undefined) this.tell('book', event, problem);
    else if (event.eventType === 'PeriodClosed' && event.eventVersion > 1) this.checkClose(event, data as unknown as PeriodClosed);
    else if (event.eventType === 'FiscalYearDefined') this.checkReplaced(event, data as unknown as FiscalYearDefined);
    else if (event.eventType === 'AccountDesignated' && !this.accounts.has(String(data.accountId)))
      this.tell('book', event, `designates account ${String(data.accountId)}, which does not exist`);
    if (this.bookBatch !== this.batch) this.bookVersionBefore = this.book?.version ?? 0;
    this.bookBatch = this.batch;
    const book = bookReducer.evolve(this.book, { type: event.eventType, data } as unknown as BookEvent);
    this.book = book.version === event.version ? book : { ...book, version: event.version };
    if (event.eventType !== 'FiscalYearDefined') return;
    // One that is defined anew under its label goes on with the head that is there.
    if (!this.numbers.has(String(data.label))) this.numbersOf(String(data.label));
    this.drafts.define(String(data.label), this.batch);
  }

  private numbersOf(fiscalYear: string): ReplayedNumbers {
    let numbers = this.numbers.get(fiscalYear);
    if (numbers === undefined) {
      numbers = { last: new Map(), periods: new Map(), batch: this.batch, versionBefore: 0 };
      this.numbers.set(fiscalYear, numbers);
    }
    if (numbers.batch !== this.batch) {
      numbers.versionBefore = versionOfNumbers(numbers.last);
      numbers.batch = this.batch;
    }
    return numbers;
  }

  /** Nothing is in a year that gives way to another one. */
  private checkReplaced(event: ReadEvent, { label, replaces = [] }: FiscalYearDefined): void {
    for (const replaced of replaces) {
      if ((this.numbers.get(replaced)?.last.size ?? 0) > 0)
        this.tell('book', event, `fiscal year ${label} replaces ${replaced}, into which entries are posted`);
      for (const id of this.drafts.years.get(replaced)?.open.keys() ?? [])
        this.tell('book', event, `fiscal year ${label} replaces ${replaced}, in which draft ${id} is dated`);
    }
  }

  /** What a close says was posted, held against what was. */
  private checkClose(event: ReadEvent, { fiscalYear, period, level, position, entries, totals, baseTotal, numbers }: PeriodClosed): void {
    this.unit?.closed.push({ fiscalYear, period, level });
    for (const id of this.drafts.openIn(fiscalYear, period))
      this.tell('book', event, `closes ${fiscalYear}/${period} over draft ${id}, which is neither posted nor discarded`);
    const year = this.numbers.get(fiscalYear);
    const tally = year?.periods.get(period) ?? { entries: 0, sums: [], base: 0 };
    const { book } = this;
    const debits = tally.sums.map(({ currency, scale, debit }) => [currency, minorText(debit, scale)] as const).sort(byFirst);
    const made = {
      position: event.position - 1,
      entries: tally.entries,
      totals: debits.map(([currency, debit]) => ({ currency, debit, credit: debit })),
      baseTotal: book?.fx === 'tracked' ? minorText(tally.base, book.currencies[book.baseCurrency] ?? 0) : undefined,
      numbers: [...(year?.last ?? [])].sort(byFirst).map(([journalCode, last]) => ({ journalCode, last })),
    };
    const said = { position, entries, totals, baseTotal, numbers };
    for (const member of Object.keys(made) as (keyof typeof made)[]) {
      const [is, should] = [canonicalJson(said[member] ?? 'nothing'), canonicalJson(made[member] ?? 'nothing')];
      if (is !== should)
        this.tell('book', event, `closes ${fiscalYear}/${period} with ${member} ${is}, the events before it make it ${should}`);
    }
  }

  // --- Exchange rates ---

  private takeRate(event: ReadEvent, data: Json): void {
    const problem = shapeProblem(event.eventType, data);
    if (problem !== undefined) {
      this.tell('rate', event, problem);
      return;
    }
    const rate = data as unknown as ExchangeRateRecorded;
    const known = this.rates.get(event.streamId) ?? [];
    this.checkVersion(event, known.length, `the rates ${pairKey(rate)}`);
    const stream = ratesStreamId(this.bookId, pairKey(rate));
    if (event.streamId !== stream)
      this.tell('rate', event, `stands on stream ${event.streamId}, the stream of ${pairKey(rate)} is ${stream}`);
    if (!rateTypes.includes(rate.rateType)) this.tell('rate', event, `its rateType is ${JSON.stringify(rate.rateType)}`);
    if (rate.from === rate.to || !isPlainDecimal(rate.value) || /^[0.]*$/.test(rate.value))
      this.tell('rate', event, `says that one ${rate.from} is ${rate.value} ${rate.to}`);
    const before = known.findLast(({ date }) => date === rate.date);
    if (before?.value === rate.value && before.source === rate.source) this.tell('rate', event, `repeats the rate of ${rate.date}`);
    this.rates.set(event.streamId, [...known, rate]);
  }

  // --- Parties ---

  private takeParty(event: ReadEvent, data: Json): void {
    const { streamId, eventType } = event;
    const known = this.parties.get(streamId);
    this.checkVersion(event, known?.state.version ?? 0, `party ${streamId}`);
    if ((eventType === 'PartyOpened') !== (known === undefined)) {
      this.tell('party', event, known === undefined ? 'comes before PartyOpened of its party' : 'opens a party that is open already');
      return;
    }
    const problem = shapeProblem(eventType, data) ?? partyProblem(known?.state, eventType, data);
    if (problem !== undefined) this.tell('party', event, problem);
    const state = partyReducer.evolve(known?.state, { type: eventType, data } as unknown as PartyEvent);
    const versionBefore = known === undefined ? 0 : known.batch === this.batch ? known.versionBefore : known.state.version;
    this.parties.set(streamId, { state: { ...state, version: event.version }, batch: this.batch, versionBefore });
    if (this.unit !== undefined) this.unit.party = state;
  }

  /** What speaks against the party of a line on a control account. */
  private controlProblem(
    control: NonNullable<AccountState['control']>,
    party: { id: string; kind: string } | undefined,
  ): string | undefined {
    if (party === undefined) return 'names no party';
    const known = this.parties.get(party.id)?.state;
    if (known === undefined) return `names party ${party.id}, which does not exist`;
    return known.kind !== party.kind || (control !== 'any' && known.kind !== control)
      ? `names party ${party.id} as a ${party.kind}, which is a ${known.kind}`
      : undefined;
  }

  // --- Accounts ---

  private takeAccount(event: ReadEvent, data: Json): void {
    const { streamId, eventType } = event;
    let account = this.accounts.get(streamId);
    const problem = shapeProblem(eventType, data);
    if (problem !== undefined) this.tell('account', event, problem);
    if (eventType === 'AccountOpened') {
      this.checkVersion(event, account?.version ?? 0, `account ${streamId}`);
      if (account !== undefined) {
        this.tell('account', event, 'opens an account that is open already');
        return;
      }
      if (!uuidV7Form.test(streamId)) this.tell('account', event, `its id ${streamId} is no UUIDv7`);
      const { code, type, normalSide, postable, currencies, limits, control, parentId } = data as unknown as ReplayedAccount & {
        parentId?: string;
      };
      const parent = parentId === undefined ? undefined : this.accounts.get(parentId);
      if (parentId !== undefined && parent?.type !== type)
        this.tell(
          'account',
          event,
          parent === undefined ? `its parent ${parentId} does not exist` : `is of type ${type}, its parent of type ${parent.type}`,
        );
      const view = { id: streamId, status: 'open', ...data };
      const before = { batch: this.batch, versionBefore: 0 };
      account = {
        id: streamId,
        code,
        type,
        normalSide,
        postable,
        status: 'open',
        currencies,
        limits,
        control,
        version: event.version,
        totals: [],
        ...before,
        view,
        sum: undefined,
      };
      this.accounts.set(streamId, account);
      this.takeCode(event, code, true);
      this.rows.account(event.position, streamId, code, jsonbText(view));
      return;
    }
    if (account === undefined) {
      this.tell('account', event, 'comes before AccountOpened of its account');
      return;
    }
    this.touch(account, event);
    const status = account.status;
    if (status === 'closed') this.tell('account', event, `account ${account.code} is closed`);
    let patch: Json = {};
    switch (eventType) {
      case 'AccountCodeChanged':
        account.code = String(data.code);
        patch = { code: account.code };
        this.takeCode(event, account.code, false);
        break;
      case 'AccountRenamed':
        patch = { name: data.name };
        break;
      case 'AccountFrozen':
        if (status === 'frozen') this.tell('account', event, `account ${account.code} is frozen already`);
        account.status = 'frozen';
        break;
      case 'AccountUnfrozen':
        if (status !== 'frozen') this.tell('account', event, `account ${account.code} is not frozen`);
        account.status = 'open';
        break;
      case 'AccountClosed': {
        const open = account.totals.find(({ debit, credit }) => debit !== credit);
        if (open !== undefined)
          this.tell(
            'account',
            event,
            `account ${account.code} is closed with debits ${minorText(open.debit, open.scale)} and credits ${minorText(open.credit, open.scale)} ${open.currency}`,
          );
        const { fx, baseCurrency } = this.book ?? {};
        const carried = fx === 'tracked' ? account.totals.find(({ base = 0 }) => base !== 0) : undefined;
        // No damage: releases that kept no sums of base amounts allowed it, and a head of theirs lacks them for ever.
        if (carried !== undefined)
          this.closedWhileCarried.push(
            `account ${account.code} was closed while its ${carried.currency} is carried at ${minorText(carried.base ?? 0, this.baseScale())} ${baseCurrency}`,
          );
        account.status = 'closed';
        break;
      }
    }
    if (account.status !== status) patch = { status: account.status };
    account.view = { ...account.view, ...patch };
    this.rows.account(event.position, streamId, account.code, jsonbText(account.view));
  }

  private takeCode(event: ReadEvent, code: string, opened: boolean): void {
    const owner = this.codes.get(code);
    if (owner === undefined) this.codes.set(code, event.streamId);
    else if (owner !== event.streamId || opened)
      this.tell('account', event, `code ${code} was given to account ${owner} before; a code is never given to another account`);
  }

  /** Version, and which batch touched the account last. */
  private touch(account: ReplayedAccount, event: ReadEvent): void {
    if (event.version !== account.version + 1) this.checkVersion(event, account.version, `account ${account.code}`);
    if (account.batch !== this.batch) {
      account.batch = this.batch;
      account.versionBefore = account.version;
    }
    account.version = event.version;
  }

  // --- Drafts ---

  /** @param user as it stands in the text that is hashed */
  private takeDraft(event: ReadEvent, data: Json, user: string): void {
    const { book } = this;
    if (book === undefined) {
      this.tell('draft', event, 'comes before BookOpened');
      return;
    }
    this.checkVersion(event, this.drafts.versionOf(event.streamId), `draft ${event.streamId}`);
    if (!uuidV7Form.test(event.streamId)) this.tell('draft', event, `its id ${event.streamId} is no UUIDv7`);
    const userId = user === '' ? undefined : (JSON.parse(user.slice('"userId":'.length, -1)) as unknown);
    for (const wrong of this.drafts.take(event, data, userId, { book, batch: this.batch })) this.tell('draft', event, wrong);
    if (event.eventType === 'JournalApproved') this.approved = event;
    if (this.unit !== undefined) this.unit.draft = { id: event.streamId, type: event.eventType };
  }

  /** An approved draft is posted in the same append, with what the Book needs for that in between. */
  private closeApproval(next: ReadEvent | undefined): void {
    const { approved } = this;
    if (approved === undefined || next?.eventType === 'FiscalYearDefined' || next?.eventType === 'CurrencyEnabled') return;
    this.approved = undefined;
    if (next?.eventType !== 'JournalEntryPosted' || next.streamId !== approved.streamId)
      this.tell('draft', approved, 'approves a draft that is not posted right behind it');
  }

  // --- Entries ---

  private takeEntry(event: ReadEvent, data: Json): void {
    this.settleLimits(data);
    if (event.version !== 1) this.takePostedDraft(event, data);
    if (!uuidV7Form.test(event.streamId)) this.tell('entry', event, `its id ${event.streamId} is no UUIDv7`);
    const { book } = this;
    if (book === undefined) {
      this.tell('entry', event, 'comes before BookOpened');
      return;
    }
    const problem = entryProblem(data);
    if (problem !== undefined) {
      this.tell('entry', event, problem);
      return;
    }
    const { effectiveDate, fiscalYear, period, journalCode, number } = data as {
      effectiveDate: string;
      fiscalYear: string;
      period: number;
      journalCode: string;
      number: number;
    };
    this.checkDate(event, book, effectiveDate, fiscalYear, period);
    if (!book.journals.some((journal) => journal.journalCode === journalCode))
      this.tell('entry', event, `there is no journal ${journalCode}`);
    const numbers = this.numbersOf(fiscalYear);
    const before = numbers.last.get(journalCode) ?? 0;
    if (number !== before + 1)
      this.tell(
        'entry',
        event,
        `its number is ${journalCode}/${fiscalYear}/${number}, after ${before} comes ${before + 1}: numbers have no gap`,
      );
    numbers.last.set(journalCode, number);
    const tally = tallyOf(numbers, period);
    tally.entries++;
    const lines = this.readLines(event, book, data.lines as readonly Json[], tally);
    this.unit?.posted.push({ id: event.streamId, number, position: event.position });
    this.open = { event, data, lines, legs: 0, frame: undefined };
    this.rows.entry(event.position, event.streamId, data, lines);
  }

  private takePostedDraft(event: ReadEvent, data: Json): void {
    this.checkVersion(event, this.drafts.versionOf(event.streamId), `entry ${event.streamId}`);
    const problem = entryProblem(data);
    if (problem !== undefined) return; // told below
    for (const wrong of this.drafts.post(event, data, (code) => this.codes.get(code), this.batch)) this.tell('draft', event, wrong);
  }

  private checkDate(event: ReadEvent, book: BookState, date: string, fiscalYear: string, period: number): void {
    let exists = this.dates.get(date);
    if (exists === undefined) {
      exists = isDate(date);
      this.dates.set(date, exists);
    }
    if (!exists) {
      this.tell('entry', event, `its effective date ${date} is no date from 1900 to 2199`);
      return;
    }
    if (book.startsOn !== undefined && date < book.startsOn)
      this.tell('entry', event, `its effective date ${date} lies before the book starts on ${book.startsOn}`);
    const normal = periodOf(book, date);
    const ref: PeriodRef | undefined = normal?.period === period ? normal : (adjustmentPeriodOf(book, date, period) ?? normal);
    if (ref === undefined) this.tell('entry', event, `its effective date ${date} lies in no fiscal year (I9)`);
    else if (ref.fiscalYear !== fiscalYear || ref.period !== period)
      this.tell('entry', event, `says period ${fiscalYear}/${period}, its effective date ${date} lies in ${ref.fiscalYear}/${ref.period}`);
    // Into a softly closed period a controller may have posted; which keys have that scope no event says.
    if (ref?.status === 'hard_closed')
      this.tell('entry', event, `its effective date ${date} lies in period ${ref.fiscalYear}/${ref.period}, which is closed (I9)`);
  }

  private readLines(event: ReadEvent, book: BookState, given: readonly Json[], tally: ReplayedTally): Line[] {
    const lines: Line[] = [];
    const sums: { readonly currency: string; readonly scale: number; debit: Minor; credit: Minor }[] = [];
    const base: { debit: Minor; credit: Minor } = { debit: 0, credit: 0 };
    const tracked = book.fx === 'tracked';
    const wrong = (message: string): void => this.tell('entry', event, message);
    for (let index = 0; index < given.length; index++) {
      const line = given[index] as Json as {
        line: number;
        accountId: string;
        code: string;
        side: 'debit' | 'credit';
        amount: string;
        currency: string;
        baseAmount?: string;
        tax?: unknown;
        quantity?: unknown;
        dimensions?: readonly { key: string; value: string }[];
        party?: { id: string; kind: string };
      };
      const number = index + 1;
      if (line.line !== number) wrong(`line ${number} is numbered ${line.line}`);
      const { accountId, code, side, amount, currency, baseAmount } = line;
      if (side !== 'debit' && side !== 'credit') wrong(`line ${number}: its side is ${JSON.stringify(side)}`);
      const account = this.accounts.get(accountId);
      if (account === undefined) wrong(`line ${number}: there is no account ${accountId} (I9)`);
      else {
        if (account.code !== code) wrong(`line ${number}: says code ${code}, account ${accountId} has the code ${account.code} then`);
        if (!account.postable) wrong(`line ${number}: ${code} is a header account (I9)`);
        const unnamed = account.control === undefined ? undefined : this.controlProblem(account.control, line.party);
        if (unnamed !== undefined) wrong(`line ${number}: ${code} takes ${account.control} parties, and it ${unnamed}`);
        if (account.status !== 'open') wrong(`line ${number}: account ${code} is ${account.status} (I9)`);
        if (account.currencies !== undefined && !account.currencies.includes(currency))
          wrong(`line ${number}: account ${code} takes ${account.currencies.join(', ')}, not ${currency}`);
      }
      if (currency !== this.currency || book !== this.currencyBook) this.readCurrency(book, currency);
      const { scale } = this;
      if (scale === undefined) {
        wrong(`line ${number}: currency ${currency} was not enabled before`);
        continue;
      }
      const minor = readAmount(amount, scale);
      if (minor === undefined) {
        wrong(
          `line ${number}: amount ${JSON.stringify(amount)} is no amount of ${currency} with ${scale} decimals below 10^30 minor units (I2)`,
        );
        continue;
      }
      if (minor === 0 && baseAmount === undefined && line.quantity === undefined && !(Array.isArray(line.tax) && line.tax.length > 0))
        wrong(`line ${number}: its amount is 0, without a base amount, tax or quantity (I2)`);
      if (baseAmount !== undefined || tracked) this.addBase(book, line, minor, base, wrong);
      let sum = sums[0];
      if (sum?.currency !== currency) {
        sum = sums.find((known) => known.currency === currency);
        if (sum === undefined) {
          sum = { currency, scale, debit: 0, credit: 0 };
          sums.push(sum);
        }
      }
      if (side === 'debit') sum.debit = plus(sum.debit, minor);
      else sum.credit = plus(sum.credit, minor);
      const { dimensions } = line;
      // Releases before exchange rates left out the base amount of a line that is in base currency.
      const counted = baseAmount ?? (tracked && currency === book.baseCurrency ? amount : undefined);
      lines.push({
        line: number,
        accountId,
        side,
        currency,
        amount,
        minor,
        scale,
        account,
        dimensions,
        baseAmount: counted,
        statedBase: baseAmount,
      });
    }
    if (given.length < 2) wrong(`it has ${given.length} lines, an entry has two or more`);
    for (const { currency, scale, debit, credit } of sums) {
      if (debit !== credit)
        wrong(`does not balance: debits ${minorText(debit, scale)}, credits ${minorText(credit, scale)} ${currency} (I1)`);
      const sum = tally.sums.find((known) => known.currency === currency);
      if (sum === undefined) tally.sums.push({ currency, scale, debit });
      else sum.debit = plus(sum.debit, debit);
    }
    if (tracked) tally.base = plus(tally.base, base.debit);
    if (tracked && base.debit !== base.credit)
      wrong(`does not balance in ${book.baseCurrency}: debits ${base.debit}, credits ${base.credit} minor units (I1)`);
    return lines;
  }

  /** Lines mostly follow one of the same currency; a member of an object that a text names is looked up by its letters. */
  private readCurrency(book: BookState, currency: string): void {
    this.currency = currency;
    this.currencyBook = book;
    this.scale = Object.hasOwn(book.currencies, currency) ? book.currencies[currency] : undefined;
  }

  /** Decimals of the base currency. */
  private baseScale(): number {
    return this.book?.currencies[this.book.baseCurrency] ?? 0;
  }

  private addBase(
    book: BookState,
    { line, side, currency, baseAmount }: { line: number; side: 'debit' | 'credit'; currency: string; baseAmount?: string },
    minor: Minor,
    base: { debit: Minor; credit: Minor },
    wrong: (message: string) => void,
  ): void {
    let value = minor;
    if (baseAmount !== undefined) {
      const scale = book.currencies[book.baseCurrency];
      const read = scale === undefined ? undefined : readAmount(baseAmount, scale);
      if (read === undefined) {
        wrong(`line ${line}: base amount ${JSON.stringify(baseAmount)} is no amount of ${book.baseCurrency} (I2)`);
        return;
      }
      if (currency === book.baseCurrency && minor !== 0 && read !== minor)
        wrong(`line ${line}: its base amount differs from its amount, both in ${currency}`);
      value = read;
    } else if (currency !== book.baseCurrency) {
      wrong(`line ${line}: in ${currency} without a base amount, in a book that tracks exchange rates (I1)`);
      return;
    }
    base[side] = plus(base[side], value);
  }

  // --- Legs (I15) ---

  private takeLeg(event: ReadEvent, open: OpenEntry): void {
    const line = open.lines[open.legs] as Line;
    open.legs++;
    if (event.eventId.charCodeAt(14) !== 55) this.tell('event', event, `event_id ${event.eventId} is no UUIDv7`);
    const { account } = line;
    if (account === undefined || event.streamId !== line.accountId) {
      this.tell(
        'leg',
        event,
        `stands on stream ${event.streamId}, line ${line.line} of entry ${open.event.streamId} is on account ${line.accountId} (I15)`,
      );
      this.takeStrayLeg(event);
      return;
    }
    this.touch(account, event);
    const debit = line.side === 'debit';
    const total = this.totalOf(account, line);
    if (account.limits !== undefined) this.noteLimit(account, total);
    if (debit) total.debit = plus(total.debit, line.minor);
    else total.credit = plus(total.credit, line.minor);
    if (line.baseAmount !== undefined && total.base !== undefined) {
      const base = readAmount(line.baseAmount, this.baseScale()) ?? 0;
      total.base = debit ? plus(total.base, base) : minus(total.base, base);
    }
    // Made anew rather than remembered: texts that live from one entry of an account to the next cost more to collect.
    const totalDebit = minorText(total.debit, line.scale);
    const totalCredit = minorText(total.credit, line.scale);
    open.frame ??= legFrame(this.bookId, open.event, open.data);
    const { frame } = open;
    const type = debit ? 'AccountDebited' : 'AccountCredited';
    // What the leg must be, as PostgreSQL prints it: two thirds of a log are compared and hashed without being parsed.
    const stored = legText(line, totalDebit, totalCredit, frame);
    if (event.data === stored && event.metadata === frame.cause && event.eventType === type && event.eventVersion === 1) {
      if (event.recordedAt === open.event.recordedAt && legHash(event, line, totalDebit, totalCredit, frame) === event.leafHash) return;
      this.checkHash(event, debit ? debited : credited, undefined, canonicalJson(JSON.parse(event.metadata)), '');
      return;
    }
    this.takeWrongLeg(event, open, line, total, stored, frame.cause, type);
  }

  /** A leg that is not what its line asks for, or of another version: read in full, and its totals are what counts from here on. */
  private takeWrongLeg(event: ReadEvent, open: OpenEntry, line: Line, total: Total, stored: string, cause: string, type: string): void {
    const definition = this.definition(event);
    if (definition === undefined) return;
    const metadata = JSON.parse(event.metadata) as Json;
    const data = JSON.parse(event.data) as Json;
    this.checkHash(
      event,
      definition,
      undefined,
      canonicalMetadata(metadata),
      metadata.userId === undefined ? '' : `"userId":${JSON.stringify(metadata.userId)},`,
    );
    const where = `line ${line.line} of entry ${open.event.streamId} at position ${open.event.position}`;
    if (event.eventType !== type) this.tell('leg', event, `is ${event.eventType}, ${where} is on the ${line.side} side (I15)`);
    if (canonicalJson(metadata) !== canonicalJson(JSON.parse(cause)))
      this.tell('metadata', event, `its metadata is ${event.metadata}, the entry that causes it makes it ${cause} (I12)`);
    const current = upcast(catalogue, { ...event, bookId: this.bookId, data });
    const expected = JSON.parse(stored) as Json;
    const differing = [...new Set([...Object.keys(expected), ...Object.keys(current)])].filter(
      (member) => canonicalJson(expected[member] ?? null) !== canonicalJson(current[member] ?? null),
    );
    for (const member of differing)
      this.tell(
        'leg',
        event,
        `its ${member} is ${JSON.stringify(current[member])}, ${where} makes it ${JSON.stringify(expected[member])} (I15)`,
      );
    if (differing.length === 0 && event.eventVersion === definition.version && event.data !== stored && !hasPlainNumbers(event.data))
      this.tell('leaf hash', event, 'its data holds a number that is not printed as it was hashed, like 1.0 for 1 (I3)');
    const debit = readAmount(String(current.totalDebit), line.scale);
    const credit = readAmount(String(current.totalCredit), line.scale);
    if (debit === undefined || credit === undefined) return;
    Object.assign(total, { debit, credit });
  }

  private takeStrayLeg(event: ReadEvent): void {
    const definition = this.definition(event);
    if (definition === undefined) return;
    const metadata = JSON.parse(event.metadata) as Json;
    this.checkHash(
      event,
      definition,
      undefined,
      canonicalMetadata(metadata),
      metadata.userId === undefined ? '' : `"userId":${JSON.stringify(metadata.userId)},`,
    );
    const account = this.accounts.get(event.streamId);
    if (account !== undefined) this.touch(account, event);
  }

  private totalOf(account: ReplayedAccount, { currency, scale, baseAmount }: Line): Total {
    const { totals } = account;
    for (let index = 0; index < totals.length; index++) {
      const known = totals[index] as Total;
      if (known.currency === currency) return known;
    }
    const base = baseAmount === undefined ? undefined : 0;
    const total = { currency, scale, debit: 0, credit: 0, base, before: undefined, limits: undefined };
    totals.push(total);
    return total;
  }

  private closeEntry(): void {
    const { open } = this;
    if (open === undefined || open.legs === open.lines.length) return;
    this.open = undefined;
    const missing = open.lines.length - open.legs;
    this.tell('leg', open.event, `has ${open.lines.length} lines and ${missing} of them without an account event right after it (I15)`);
  }

  // --- Limits: the balances after an entry, or after a correction as a whole ---

  private noteLimit(account: ReplayedAccount, total: Total): void {
    if (total.before !== undefined) return;
    total.before = balance(account, total);
    this.limited.push({ account, total });
  }

  /** A correction is weighed as a whole: its replacement goes on with what the reversal before it has begun. */
  private settleLimits({ links }: Json): void {
    const corrects = Array.isArray(links) && links.some((link: Json) => link.rel === 'corrects');
    if (!(corrects && this.unit?.reversedId !== undefined)) this.checkLimits();
  }

  private checkLimits(): void {
    if (this.limited.length === 0) return;
    for (const { account, total } of this.limited) {
      const after = balance(account, total);
      const before = total.before ?? after;
      total.before = undefined;
      total.limits ??= minorLimits(account, total);
      for (const { min, max } of total.limits) {
        const below = min !== undefined && after < min && after < before;
        if (below || (max !== undefined && after > max && after > before)) {
          this.findings.add(
            'account',
            `account ${account.code} has a balance of ${minorText(after, total.scale)} ${total.currency} after the entry at position ${this.open?.event.position}, its limit is ${minorText((below ? min : max) as Minor, total.scale)}`,
            { position: this.open?.event.position, stream: account.id },
          );
        }
      }
    }
    this.limited.length = 0;
  }

  // --- Reversals ---

  private takeReversed(event: ReadEvent, { by }: Json): void {
    const before = this.drafts.versionOf(event.streamId);
    if (before > 0) this.checkVersion(event, before, `entry ${event.streamId}`);
    else if (event.version !== 2)
      this.tell('versions', event, `version is ${event.version}, an entry is posted (1) and reversed (2) once (I5)`);
    this.drafts.reverse(event);
    const reversal = this.open;
    const links = reversal?.data.links as readonly Json[] | undefined;
    const link = links?.find(({ rel }) => rel === 'reverses');
    if (
      reversal === undefined ||
      reversal.event.streamId !== by ||
      link?.entryId !== event.streamId ||
      reversal.data.entryType !== 'reversal'
    ) {
      this.tell('reversal', event, `says that it was reversed by ${String(by)}, which is not the reversal right before it`);
      return;
    }
    if (this.unit !== undefined) this.unit.reversedId = event.streamId;
    const lines = (reversal.data.lines as readonly Json[]).map((line) => ({ ...line, side: line.side === 'debit' ? 'credit' : 'debit' }));
    this.pendingReversals.push({
      originalId: event.streamId,
      position: event.position,
      mirrored: this.linesText(lines),
      journalCode: reversal.data.journalCode,
    });
  }

  /** Lines as a reversal repeats them: without codes, which may have changed, and with the base amounts that older releases left out. */
  linesText(lines: unknown): string {
    const inBase = this.book?.fx === 'tracked' ? this.book.baseCurrency : undefined;
    return canonicalJson(
      (lines as readonly Json[]).map(({ code: _code, ...line }) =>
        line.baseAmount === undefined && line.currency === inBase ? { ...line, baseAmount: line.amount } : line,
      ),
    );
  }

  private tell(check: Check, event: ReadEvent, message: string): void {
    this.findings.add(check, `${describe(event)}: ${message}`, { position: event.position, stream: event.streamId });
  }
}

/** Metadata around the key and the fingerprint of its command: as PostgreSQL prints it, and in canonical form behind them. */
interface MetadataFrame {
  readonly before: string;
  readonly after: string;
  readonly canonicalAfter: string;
  readonly user: string;
}

/** PostgreSQL puts shorter names first, so nothing stands between the two but onBehalfOf, which few commands have. */
const betweenKeyAndHash = '", "commandHash": "';

/** Undefined where the two forms are not put together from their parts in the plain way. */
function metadataFrame(text: string, { commandKey, commandHash }: Json, canonical: string, user: string): MetadataFrame | undefined {
  const [key, hash] = [String(commandKey), String(commandHash)];
  const start = text.indexOf('"commandKey": "') + '"commandKey": "'.length;
  const end = start + key.length + betweenKeyAndHash.length + hash.length;
  const canonicalStart = `{"commandHash":"${hash}","commandKey":"${key}"`;
  if (text.slice(start, end) !== `${key}${betweenKeyAndHash}${hash}` || !canonical.startsWith(canonicalStart)) return undefined;
  // A value that looks like the member itself would lead astray; the whole is parsed once to be sure.
  const [before, after] = [text.slice(0, start), text.slice(end)];
  const probe = JSON.parse(`${before}k${betweenKeyAndHash}h${after}`) as Json;
  if (probe.commandKey !== 'k' || probe.commandHash !== 'h') return undefined;
  return { before, after, canonicalAfter: canonical.slice(canonicalStart.length), user };
}

/** Whether it is 64 hexadecimal digits in small letters. */
const isHash = (text: string): boolean => /^[0-9a-f]{64}$/.test(text);

/** The batches of a book in order, as the replay asks for them. */
export interface Batches {
  next(): { readonly last: number; readonly recordedAt: string } | undefined;
  rest(tell: (last: number, recordedAt: string) => void): void;
}

const describe = ({ position, eventType, streamId, version }: ReadEvent): string =>
  `event ${position} (${eventType}, stream ${streamId}, version ${version})`;

/** One more than the entries posted in the year. */
export function versionOfNumbers(last: ReadonlyMap<string, number>): number {
  let version = 1;
  for (const number of last.values()) version += number;
  return version;
}

function tallyOf({ periods }: ReplayedNumbers, period: number): ReplayedTally {
  let tally = periods.get(period);
  if (tally === undefined) {
    tally = { entries: 0, sums: [], base: 0 };
    periods.set(period, tally);
  }
  return tally;
}

const byFirst = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number => (a < b ? -1 : 1);

const definitions = new Map(Object.entries(catalogue));
const debited = definitionOf(catalogue, 'AccountDebited');
const credited = definitionOf(catalogue, 'AccountCredited');

export const uuidV7Form = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** SHA-256(0x00 ‖ RFC 8785 form of the envelope), hex; members in canonical order (DESIGN section 4). */
export function leafHash(
  bookId: string,
  event: ReadEvent,
  { aggregateType }: Pick<EventDefinition, 'aggregateType'>,
  data: string,
  metadata: string,
  user: string,
): string {
  return crypto.hash(
    'sha256',
    `\0{"aggregateId":"${event.streamId}","aggregateType":"${aggregateType}","bookId":"${bookId}","data":${data},"eventId":"${event.eventId}","eventType":"${event.eventType}","eventVersion":${event.eventVersion},"metadata":${metadata},"position":${event.position},"recordedAt":"${event.recordedAt}",${user}"version":${event.version}}`,
    'hex',
  );
}

const balance = ({ normalSide }: ReplayedAccount, { debit, credit }: Total): Minor =>
  normalSide === 'debit' ? minus(debit, credit) : minus(credit, debit);

function minorLimits({ limits = [] }: ReplayedAccount, { currency, scale }: Total): MinorLimit[] {
  return limits
    .filter((limit) => limit.currency === currency)
    .map(({ min, max }) => ({ min: signed(min, scale), max: signed(max, scale) }));
}

function signed(text: string | undefined, scale: number): Minor | undefined {
  if (text === undefined) return undefined;
  const minor = toMinor(text.startsWith('-') ? text.slice(1) : text, scale) ?? 0n;
  return smallest(text.startsWith('-') ? -minor : minor);
}
