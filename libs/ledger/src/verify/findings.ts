/**
 * What verify has to say. Keeps at most some findings of each kind, since one damaged place can be seen from many; counts all.
 */

/** What was looked at; the first word of a finding. */
export type Check =
  | 'append-only'
  | 'positions'
  | 'batches'
  | 'versions'
  | 'leaf hash'
  | 'event'
  | 'metadata'
  | 'book'
  | 'account'
  | 'entry'
  | 'leg'
  | 'reversal'
  | 'receipt'
  | 'head'
  | 'book head'
  | 'name'
  | 'context'
  | 'directory'
  | 'cursor'
  | 'as-of'
  | 'register'
  | 'chart';

export interface Finding {
  readonly check: Check;
  /** Absent for what belongs to no book: triggers, grants, functions. */
  readonly bookId?: string;
  readonly position?: number;
  /** Id of the stream. */
  readonly stream?: string;
  /** Table and key of the row, for rows that are no events. */
  readonly row?: string;
  readonly message: string;
}

/** Findings kept per book and check. */
const keptMax = 50;

export class Findings {
  readonly kept: Finding[] = [];
  count = 0;
  private readonly perCheck = new Map<Check, number>();

  constructor(private readonly bookId?: string) {}

  add(check: Check, message: string, place: { readonly position?: number; readonly stream?: string; readonly row?: string } = {}): void {
    this.count++;
    const known = this.perCheck.get(check) ?? 0;
    this.perCheck.set(check, known + 1);
    if (known < keptMax) this.kept.push({ check, bookId: this.bookId, ...place, message });
  }

  /** The finding with the lowest position: what comes later may follow from it. */
  first(): Finding | undefined {
    let first: Finding | undefined;
    for (const finding of this.kept) {
      if (first === undefined || (finding.position ?? Number.MAX_SAFE_INTEGER) < (first.position ?? Number.MAX_SAFE_INTEGER))
        first = finding;
    }
    return first;
  }
}
