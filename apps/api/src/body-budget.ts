/**
 * How much of what callers send may be in memory at one time. The write queue counts commands, and a command may be sixty
 * bytes or thirty megabytes; here their bytes are counted, before any of them is read. Guarantees that bodies which are
 * read, parsed, waiting or under way never exceed the budget, and that a flood for one book leaves as much room for others as
 * it takes.
 */
import { LedgerError } from '#domain';

export class BodyBudget {
  private taken = 0;
  private readonly takenByBook = new Map<string, number>();

  /** @param bytes for all bodies together */
  constructor(private readonly bytes: number) {}

  /**
   * @param book as the path names it; the same share for all requests without one
   * @throws LedgerError queue_full
   */
  take(size: number, book = ''): Reservation {
    const own = this.takenByBook.get(book) ?? 0;
    const free = this.bytes - this.taken;
    // As in the write queue: a book takes as much as it leaves free, and what is alone may be of any size.
    if ((own > 0 && own + size > free) || (this.taken > 0 && size > free)) {
      throw new LedgerError(
        'queue_full',
        `requests of ${this.taken} bytes are under way, ${own} of them for this book; ${this.bytes} are allowed. Repeat with the same key`,
        { retryAfter: 1 },
      );
    }
    return new Reservation(this, size, book);
  }

  /** Called by reservations. */
  add(book: string, size: number): void {
    this.taken += size;
    const own = (this.takenByBook.get(book) ?? 0) + size;
    if (own === 0) this.takenByBook.delete(book);
    else this.takenByBook.set(book, own);
  }
}

/** A part of the budget. */
export class Reservation {
  private holds = false;
  private begun = false;

  constructor(
    private readonly budget: BodyBudget,
    private readonly size: number,
    private readonly book: string,
  ) {
    this.hold(true);
  }

  /** Its command begins: whatever becomes of the connection, the room is needed until `end`. */
  begin(): void {
    this.begun = true;
    this.hold(true); // also for a caller who hung up a moment ago: the command is carried out all the same
  }

  /** The command has its outcome. */
  end(): void {
    this.hold(false);
  }

  /** The connection has no use for it any more; may be said several times. */
  letGo(): void {
    if (!this.begun) this.hold(false);
  }

  private hold(wanted: boolean): void {
    if (this.holds !== wanted) this.budget.add(this.book, wanted ? this.size : -this.size);
    this.holds = wanted;
  }
}
