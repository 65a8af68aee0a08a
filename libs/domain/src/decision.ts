/**
 * Decision: the unit of work of one command (or of one atomic batch). Shows the aggregates as they are at one head of one
 * book, with the command's own changes on top, and collects the uncommitted events in the order in which they will stand in
 * the log. Nothing outside changes until the caller takes the events; a decision that throws leaves nothing behind.
 */
import type { AccountEvent, AccountState } from './account';
import { accountReducer } from './account';
import type { BookEvent, BookState } from './book';
import { bookReducer } from './book';
import { LedgerError } from './errors';
import { pairKey, type RateEvent, type RatePair, type RatesState, ratesReducer } from './exchange-rates';
import type { DraftEvent, JournalEvent, JournalState } from './journal';
import { journalReducer } from './journal';
import { draftsAfter, type OpenDrafts } from './journal-draft';
import { type PartyEvent, type PartyState, partyReducer } from './party';
import { addToTally, emptyTally, type PeriodTally } from './period-close';

export type DomainEvent = BookEvent | AccountEvent | JournalEvent | RateEvent | PartyEvent;

/** Whoever sends a command, as far as rules ask for it. */
export interface Actor {
  /** Opaque id. */
  readonly userId: string;
  /** May close and reopen periods, and post into softly closed ones. */
  readonly isController: boolean;
}

/** An event that was decided and not yet appended. */
export interface UncommittedEvent {
  readonly streamId: string;
  /** The version that this event gives its stream. */
  readonly version: number;
  readonly type: DomainEvent['type'];
  readonly data: DomainEvent['data'];
  /** Index in `uncommitted` of the JournalEntryPosted that this leg belongs to (I12, I15). */
  readonly causedBy?: number;
  /** Its id, where texts in it are sealed for it; else it gets one when it is appended. */
  readonly eventId?: string;
  /** Why, where the command as a whole does not say it: an entry of an atomic batch has a reason of its own. */
  readonly reason?: string;
}

/** The aggregates of one book at one head: what a decision starts from. */
export interface BookView {
  readonly bookId: string;
  /** The id of the Book's own stream. */
  readonly bookStreamId: string;
  /** Position of the head; the first uncommitted event will get the next one. */
  readonly position: number;
  book(): BookState | undefined;
  account(id: string): AccountState | undefined;
  /** The account that has or once had this code. */
  accountIdByCode(code: string): string | undefined;
  entry(id: string): JournalState | undefined;
  /** The last number given in a journal and fiscal year, 0 when none was. */
  lastNumber(fiscalYear: string, journalCode: string): number;
  /** The last numbers of a fiscal year by journal code. */
  lastNumbers(fiscalYear: string): ReadonlyMap<string, number>;
  /** What was posted into a period. */
  tally(fiscalYear: string, period: number): PeriodTally;
  /** Drafts of a fiscal year that are neither posted nor discarded, by entry id. */
  drafts(fiscalYear: string): OpenDrafts;
  /** Exchange rates of a pair and type. */
  rates(pair: RatePair): RatesState | undefined;
  /** The stream that they stand in. */
  ratesStreamId(pair: RatePair): string;
  party(id: string): PartyState | undefined;
  /** Whether an entry with a line that names a party may have been posted behind a position. */
  mayReferSince(partyId: string, position: number): boolean;
}

/** What decisions have posted into a period of a fiscal year. */
export interface PeriodPostings {
  readonly fiscalYear: string;
  readonly period: number;
  tally: PeriodTally;
}

const noCodes: ReadonlyMap<string, string> = new Map();

export class Decision implements BookView {
  readonly uncommitted: UncommittedEvent[] = [];
  /** Made when a code is given: a thousand decisions in flight would each hold an empty map. */
  private codes: Map<string, string> | undefined;
  readonly accounts = new Map<string, AccountState>();
  readonly entries = new Map<string, JournalState>();
  private changedRatesByPair: Map<string, RatesState> | undefined;
  /** Last numbers of the day books that this decision posts to: rarely more than one. */
  readonly numbers: { readonly fiscalYear: string; readonly journalCode: string; last: number }[] = [];
  /** What this decision posts into periods: rarely more than one. */
  readonly tallies: PeriodPostings[] = [];
  /** What this decision does to drafts; made when it does: hardly any does. */
  drafted: { readonly id: string; readonly event: DraftEvent }[] | undefined;
  changedBook: BookState | undefined;
  /** Made when a party changes: hardly any does. */
  private changedParties: Map<string, PartyState> | undefined;
  /** The stream whose next event with texts of the caller gets an id that these texts were sealed for, and that id. */
  sealedFor: { readonly streamId: string; readonly eventId: string } | undefined;
  /** Why what is recorded next is recorded, where that is not the reason of the whole command. */
  reason: string | undefined;

  constructor(
    private readonly view: BookView,
    readonly actor: Actor,
  ) {}

  /** Account codes that this decision gives away, to be reserved for ever, with the account that gets each. */
  get newCodes(): ReadonlyMap<string, string> {
    return this.codes ?? noCodes;
  }

  get bookId(): string {
    return this.view.bookId;
  }

  get bookStreamId(): string {
    return this.view.bookStreamId;
  }

  /** Position of the last event decided so far. */
  get position(): number {
    return this.view.position + this.uncommitted.length;
  }

  findBook(): BookState | undefined {
    return this.changedBook ?? this.view.book();
  }

  /** @throws LedgerError book_unknown */
  book(): BookState {
    const book = this.findBook();
    if (book === undefined) throw new LedgerError('book_unknown', `there is no book ${this.bookId}`, { book: this.bookId });
    return book;
  }

  account(id: string): AccountState | undefined {
    return this.accounts.get(id) ?? this.view.account(id);
  }

  accountIdByCode(code: string): string | undefined {
    return this.codes?.get(code) ?? this.view.accountIdByCode(code);
  }

  entry(id: string): JournalState | undefined {
    return this.entries.get(id) ?? this.view.entry(id);
  }

  lastNumber(fiscalYear: string, journalCode: string): number {
    return this.given(fiscalYear, journalCode)?.last ?? this.view.lastNumber(fiscalYear, journalCode);
  }

  private given(fiscalYear: string, journalCode: string): { last: number } | undefined {
    for (const known of this.numbers) if (known.journalCode === journalCode && known.fiscalYear === fiscalYear) return known;
    return undefined;
  }

  lastNumbers(fiscalYear: string): ReadonlyMap<string, number> {
    const numbers = new Map(this.view.lastNumbers(fiscalYear));
    for (const given of this.numbers) if (given.fiscalYear === fiscalYear) numbers.set(given.journalCode, given.last);
    return numbers;
  }

  tally(fiscalYear: string, period: number): PeriodTally {
    const before = this.view.tally(fiscalYear, period);
    const own = this.tallies.find((known) => known.fiscalYear === fiscalYear && known.period === period);
    return own === undefined ? before : addToTally(before, own.tally);
  }

  drafts(fiscalYear: string): OpenDrafts {
    const before = this.view.drafts(fiscalYear);
    return this.drafted === undefined ? before : draftsAfter(before, fiscalYear, this.drafted);
  }

  rates(pair: RatePair): RatesState | undefined {
    return this.changedRatesByPair?.get(pairKey(pair)) ?? this.view.rates(pair);
  }

  /** Rates that this decision records, by pair and type. */
  get changedRates(): Iterable<RatesState> {
    return this.changedRatesByPair?.values() ?? [];
  }

  ratesStreamId(pair: RatePair): string {
    return this.view.ratesStreamId(pair);
  }

  party(id: string): PartyState | undefined {
    return this.changedParties?.get(id) ?? this.view.party(id);
  }

  mayReferSince(partyId: string, position: number): boolean {
    return this.view.mayReferSince(partyId, position);
  }

  /** Parties that this decision changes. */
  get parties(): Iterable<[string, PartyState]> {
    return this.changedParties ?? [];
  }

  recordParty(id: string, event: PartyEvent): void {
    const party = partyReducer.evolve(this.party(id), event);
    this.changedParties ??= new Map();
    this.changedParties.set(id, party);
    this.uncommitted.push({ streamId: id, version: party.version, type: event.type, data: event.data, eventId: this.idFor(id) });
  }

  private idFor(streamId: string): string | undefined {
    const sealed = this.sealedFor;
    if (sealed?.streamId !== streamId) return undefined;
    this.sealedFor = undefined;
    return sealed.eventId;
  }

  recordRate(event: RateEvent): void {
    const rates = ratesReducer.evolve(this.rates(event.data), event);
    this.changedRatesByPair ??= new Map();
    this.changedRatesByPair.set(pairKey(event.data), rates);
    this.uncommitted.push({ streamId: this.ratesStreamId(event.data), version: rates.version, type: event.type, data: event.data });
  }

  recordBook(event: BookEvent): void {
    const book = bookReducer.evolve(this.findBook(), event);
    this.changedBook = book;
    this.uncommitted.push({ streamId: this.bookStreamId, version: book.version, type: event.type, data: event.data });
  }

  recordAccount(id: string, event: AccountEvent, causedBy?: number): void {
    const account = accountReducer.evolve(this.account(id), event, id);
    this.accounts.set(id, account);
    if (event.type === 'AccountOpened' || event.type === 'AccountCodeChanged') {
      if (this.accountIdByCode(event.data.code) === undefined) {
        this.codes ??= new Map();
        this.codes.set(event.data.code, id);
      }
    }
    this.uncommitted.push({ streamId: id, version: account.version, type: event.type, data: event.data, causedBy });
  }

  recordDraft(id: string, event: DraftEvent): void {
    this.recordEntry(id, event);
    this.drafted ??= [];
    this.drafted.push({ id, event });
  }

  /**
   * @param posted what a JournalEntryPosted adds to its period
   * @returns the index of the event among the uncommitted ones, for the legs that it causes
   */
  recordEntry(id: string, event: JournalEvent, posted: PeriodTally = emptyTally): number {
    const entry = journalReducer.evolve(this.entry(id), event);
    this.entries.set(id, entry);
    if (event.type === 'JournalEntryPosted') {
      const { fiscalYear, journalCode, number, period } = event.data;
      const known = this.given(fiscalYear, journalCode);
      if (known === undefined) this.numbers.push({ fiscalYear, journalCode, last: number });
      else known.last = number;
      const counted = this.tallies.find((known) => known.fiscalYear === fiscalYear && known.period === period);
      if (counted === undefined) this.tallies.push({ fiscalYear, period, tally: posted });
      else counted.tally = addToTally(counted.tally, posted);
    }
    const { reason } = this;
    const eventId = this.sealedFor === undefined ? undefined : this.idFor(id);
    return this.uncommitted.push({ streamId: id, version: entry.version, type: event.type, data: event.data, eventId, reason }) - 1;
  }
}
