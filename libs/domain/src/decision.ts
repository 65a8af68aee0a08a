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
import type { JournalEvent, JournalState } from './journal';
import { journalReducer } from './journal';

export type DomainEvent = BookEvent | AccountEvent | JournalEvent;

/** An event that was decided and not yet appended. */
export interface UncommittedEvent {
  readonly streamId: string;
  /** The version that this event gives its stream. */
  readonly version: number;
  readonly type: DomainEvent['type'];
  readonly data: DomainEvent['data'];
  /** Index in `uncommitted` of the JournalEntryPosted that this leg belongs to (I12, I15). */
  readonly causedBy?: number;
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
}

const noCodes: ReadonlyMap<string, string> = new Map();

export class Decision implements BookView {
  readonly uncommitted: UncommittedEvent[] = [];
  /** Made when a code is given: a thousand decisions in flight would each hold an empty map. */
  private codes: Map<string, string> | undefined;
  readonly accounts = new Map<string, AccountState>();
  readonly entries = new Map<string, JournalState>();
  /** Last numbers of the day books that this decision posts to: rarely more than one. */
  readonly numbers: { readonly fiscalYear: string; readonly journalCode: string; last: number }[] = [];
  changedBook: BookState | undefined;
  /** Why what is recorded next is recorded, where that is not the reason of the whole command. */
  reason: string | undefined;

  constructor(private readonly view: BookView) {}

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

  /** @returns the index of the event among the uncommitted ones, for the legs that it causes */
  recordEntry(id: string, event: JournalEvent): number {
    const entry = journalReducer.evolve(this.entry(id), event);
    this.entries.set(id, entry);
    if (event.type === 'JournalEntryPosted') {
      const { fiscalYear, journalCode, number } = event.data;
      const known = this.given(fiscalYear, journalCode);
      if (known === undefined) this.numbers.push({ fiscalYear, journalCode, last: number });
      else known.last = number;
    }
    const { reason } = this;
    return this.uncommitted.push({ streamId: id, version: entry.version, type: event.type, data: event.data, reason }) - 1;
  }
}
