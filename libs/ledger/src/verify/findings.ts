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
  | 'archive'
  | 'event'
  | 'metadata'
  | 'book'
  | 'account'
  | 'rate'
  | 'draft'
  | 'entry'
  | 'leg'
  | 'reversal'
  | 'receipt'
  | 'head'
  | 'book head'
  | 'name'
  | 'context'
  | 'tree'
  | 'checkpoint'
  | 'directory'
  | 'audit trail'
  | 'cursor'
  | 'as-of'
  | 'register'
  | 'chart'
  | 'dimensions'
  | 'party'
  | 'parties';

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

  /** Of events the finding with the lowest position, for what comes later may follow from it; where no event is at fault, of rows. */
  first(): Finding | undefined {
    let first: Finding | undefined;
    for (const finding of this.kept) if (first === undefined || rankOf(finding) < rankOf(first)) first = finding;
    return first;
  }
}

/** Rows of other tables come after all positions. */
const rankOf = ({ position = Number.MAX_SAFE_INTEGER / 2, row }: Finding): number =>
  position + (row === undefined ? 0 : Number.MAX_SAFE_INTEGER / 2);

/** A value as a message shows it: what cannot be seen is written out. */
export function shown(value: string | undefined): string {
  if (value === undefined) return 'NULL';
  if (value !== '' && value.trim() === value && !/\p{C}/u.test(value)) return value;
  const text = value.replace(/[\p{C}\\"]/gu, (character) =>
    character === '"' || character === '\\' ? `\\${character}` : `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
  return `"${text}"`;
}
