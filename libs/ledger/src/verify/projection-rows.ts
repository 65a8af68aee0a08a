/**
 * The rows that the projections must hold, told again from the events by code that shares nothing with the folds that wrote
 * them. A row of running_totals is compared by what it adds to the row before it
 * in its bucket, so that no bucket has to be remembered.
 */
import { copyText } from './copy-text';
import { type Minor, minorText, plus, readAmount } from './minor-units';
import { partyRows } from './party-rows';

export type ProjectedTable =
  | 'entries'
  | 'account_lines'
  | 'running_totals'
  | 'account_versions'
  | 'dimension_lines'
  | 'parties'
  | 'party_mentions'
  | 'party_keys';

const movedBy = (column: string): string => `(coalesce(${column}, 0) - coalesce(${column}_before, 0))`;
const moved = (column: string): string => `CASE WHEN ${movedBy(column)} <> 0 THEN ${movedBy(column)} END`;
const movedScale = (column: string): string =>
  `CASE WHEN ${movedBy(column)} <> 0 OR scale(${column}) <> scale(${column}_before) THEN scale(${column}) END`;

/** Each projection table, the projection that writes it, and its rows in the text format of COPY; they begin with the position. */
export const projectedTables: Readonly<
  Record<ProjectedTable, { readonly projection: string; readonly columns: string; readonly from: string }>
> = {
  entries: {
    projection: 'register',
    columns: 'position, entry_id, number, effective_date, period, journal_code, fiscal_year, entry_type, reference',
    from: 'projections.entries WHERE book_id = $book',
  },
  account_lines: {
    projection: 'register',
    columns: 'position, line, account_id, effective_date, side, currency, amount, base_amount',
    from: 'projections.account_lines WHERE book_id = $book',
  },
  running_totals: {
    projection: 'as-of',
    // A base total is told where it moves, since what stood there before is not remembered: NULL before the first base amount and
    // the zero that may follow look the same.
    columns: `position, account_id, currency, scale(debit), scale(credit), debit - debit_before, credit - credit_before,
              ${movedScale('base_debit')}, ${movedScale('base_credit')}, ${moved('base_debit')}, ${moved('base_credit')}, bucket, start`,
    from: `(SELECT *, lag(debit, 1, 0::numeric) OVER bucket AS debit_before, lag(credit, 1, 0::numeric) OVER bucket AS credit_before,
                   lag(base_debit) OVER bucket AS base_debit_before, lag(base_credit) OVER bucket AS base_credit_before
              FROM projections.running_totals WHERE book_id = $book
            WINDOW bucket AS (PARTITION BY account_id, currency, bucket, start ORDER BY position)) AS t WHERE true`,
  },
  account_versions: {
    projection: 'chart',
    columns: 'position, account_id, code, state',
    from: 'projections.account_versions WHERE book_id = $book',
  },
  dimension_lines: {
    projection: 'dimensions',
    columns: 'position, line, key, value, account_id, effective_date, side, currency, amount, base_amount',
    from: 'projections.dimension_lines WHERE book_id = $book',
  },
  parties: {
    projection: 'parties',
    columns: 'position, party_id, kind, reference',
    from: 'projections.parties WHERE book_id = $book',
  },
  party_mentions: {
    projection: 'parties',
    columns: 'position, party_id, ordinal, path, scope, stream_id, effective_date, event_type, fiscal_year, document_type',
    from: 'projections.party_mentions WHERE book_id = $book',
  },
  party_keys: {
    projection: 'parties',
    columns: 'position, party_id, scope, until, fingerprint',
    from: 'projections.party_keys WHERE book_id = $book',
  },
};

/** Told of each row, whose text is `text` and `bucket` together; a bucket and its first day stand at the end of running_totals. */
export type Emit = (table: ProjectedTable, position: number, text: string, bucket: string) => void;

/** A line as an entry holds it; `minor` and `scale` are its amount. */
export interface ProjectedLine {
  readonly line: number;
  readonly accountId: string;
  readonly side: string;
  readonly currency: string;
  readonly amount: string;
  readonly minor: Minor;
  readonly scale: number;
  /** In the book's base currency; any text that was found acceptable before. */
  readonly baseAmount?: string | undefined;
  readonly dimensions?: readonly { readonly key: string; readonly value: string }[] | undefined;
  /** The account itself where it is at hand: found again without reading its id. */
  readonly account?: SumHolder | undefined;
}

/** An account, as far as its sum is found there: a map of ten thousand costs a look into cold memory for each line. */
interface SumHolder {
  /** Of the part of a batch at hand. */
  sum: Sum | undefined;
}

/** What one account has received in one currency on one date, in the batch at hand. */
export interface Sum {
  readonly holder: SumHolder | undefined;
  readonly accountId: string;
  readonly currency: string;
  readonly date: string;
  readonly scale: number;
  debit: Minor;
  credit: Minor;
  base: BaseSum | undefined;
  /** Of the same account on other dates or in other currencies; seldom any. */
  others: Sum[] | undefined;
}

/** Of the lines that carry a base amount. */
interface BaseSum {
  readonly scale: number;
  debit: Minor;
  credit: Minor;
}

/** Rows of running_totals end where this divides a position, and where a batch ends. */
const totalsEvery = 128;

export class ProjectionRows {
  /** Of the part of a batch at hand, one per account. */
  private readonly sums: Sum[] = [];
  /** Accounts that came without their holders, by id. */
  private readonly holders = new Map<string, SumHolder>();
  /** Where that part ends, unless its batch ends before. */
  private partEnd = 0;
  private date = '';
  private buckets: readonly string[] = [];

  constructor(private readonly emit: Emit) {}

  /** A JournalEntryPosted whose amounts could be read. */
  entry(position: number, entryId: string, posted: Readonly<Record<string, unknown>>, lines: readonly ProjectedLine[]): void {
    this.reached(position);
    this.partEnd = position + ((totalsEvery - (position % totalsEvery)) % totalsEvery);
    const { number, effectiveDate, period, journalCode, fiscalYear, entryType, reference } = posted;
    const date = String(effectiveDate);
    const label = copyText(String(fiscalYear));
    const referenceText = copyText(reference as string | undefined);
    this.emit(
      'entries',
      position,
      `${position}\t${entryId}\t${number}\t${date}\t${period}\t${journalCode}\t${label}\t${entryType}\t${referenceText}`,
      '',
    );
    for (const { line, accountId, side, currency, amount, minor, scale, account, baseAmount, dimensions } of lines) {
      const debit = side === 'debit';
      const text = `${accountId}\t${date}\t${debit ? 'D' : 'C'}\t${currency}\t${amount}\t${baseAmount ?? '\\N'}`;
      this.emit('account_lines', position, `${position}\t${line}\t${text}`, '');
      if (dimensions !== undefined) this.dimensions(position, line, dimensions, text);
      const holder = account ?? this.holderOf(accountId);
      let { sum } = holder;
      if (sum === undefined) {
        sum = { holder, accountId, currency, date, scale, debit: 0, credit: 0, base: undefined, others: undefined };
        holder.sum = sum;
        this.sums.push(sum);
      } else if (sum.date !== date || sum.currency !== currency) {
        sum.others ??= [];
        let other = sum.others.find((known) => known.date === date && known.currency === currency);
        if (other === undefined) {
          other = { holder: undefined, accountId, currency, date, scale, debit: 0, credit: 0, base: undefined, others: undefined };
          sum.others.push(other);
        }
        sum = other;
      }
      if (debit) sum.debit = plus(sum.debit, minor);
      else sum.credit = plus(sum.credit, minor);
      if (baseAmount !== undefined) addBase(sum, debit, baseAmount);
    }
  }

  private dimensions(
    position: number,
    line: number,
    pairs: readonly { readonly key: string; readonly value: string }[],
    text: string,
  ): void {
    const said = new Set<string>();
    for (const { key, value } of pairs) {
      const pair = `${copyText(key)}\t${copyText(value)}`;
      if (said.has(pair)) continue;
      said.add(pair);
      this.emit('dimension_lines', position, `${position}\t${line}\t${pair}\t${text}`, '');
    }
  }

  /** What an event says of persons. */
  persons(position: number, streamId: string, eventType: string, data: Readonly<Record<string, unknown>>): void {
    partyRows(position, streamId, eventType, data, (table, text) => this.emit(table, position, text, ''));
  }

  /** An account after a change that is not a line. @param state as jsonb text */
  account(position: number, accountId: string, code: string, state: string): void {
    this.emit('account_versions', position, `${position}\t${accountId}\t${copyText(code)}\t${copyText(state)}`, '');
  }

  private holderOf(accountId: string): SumHolder {
    let holder = this.holders.get(accountId);
    if (holder === undefined) {
      holder = { sum: undefined };
      this.holders.set(accountId, holder);
    }
    return holder;
  }

  /** No entry before `position` is to come: what ends before it ends where it must, because its batch goes on. */
  reached(position: number): void {
    if (position > this.partEnd) this.endPart(this.partEnd);
  }

  /** The batch that ends at `last`. */
  batchEnd(last: number): void {
    this.endPart(Math.min(this.partEnd, last));
  }

  /** One row per account, currency and year, month and day that was touched since the part before it. */
  private endPart(last: number): void {
    if (this.sums.length === 0) return;
    for (const sum of this.sums) {
      if (sum.holder !== undefined) sum.holder.sum = undefined;
      const row = `${last}\t${sum.accountId}\t`;
      if (sum.others === undefined) {
        const text = `${row}${sum.currency}${amounts(sum)}`;
        for (const bucket of this.bucketsOf(sum.date)) this.emit('running_totals', last, text, bucket);
        continue;
      }
      for (let kind = 0; kind < 3; kind++) {
        const starts = new Map<string, Pick<Sum, 'currency' | 'scale' | 'debit' | 'credit' | 'base'> & { bucket: string }>();
        for (const { currency, date, scale, debit, credit, base } of [sum, ...sum.others]) {
          const bucket = this.bucketsOf(date)[kind] as string;
          const known = starts.get(currency + bucket);
          const total = { debit: plus(debit, known?.debit ?? 0), credit: plus(credit, known?.credit ?? 0) };
          starts.set(currency + bucket, { currency, bucket, scale, ...total, base: both(base, known?.base) });
        }
        for (const total of starts.values()) this.emit('running_totals', last, `${row}${total.currency}${amounts(total)}`, total.bucket);
      }
    }
    this.sums.length = 0;
  }

  /** Year, month and day of a date, as they end a row; made once per date. */
  private bucketsOf(date: string): readonly string[] {
    if (date !== this.date) {
      this.date = date;
      this.buckets = [`\tY\t${date.slice(0, 4)}-01-01`, `\tM\t${date.slice(0, 7)}-01`, `\tD\t${date}`];
    }
    return this.buckets;
  }
}

const amounts = ({ scale, debit, credit, base }: Pick<Sum, 'scale' | 'debit' | 'credit' | 'base'>): string =>
  `\t${scale}\t${scale}\t${minorText(debit, scale)}\t${minorText(credit, scale)}${base === undefined ? noBase : baseAmounts(base)}`;

const noBase = '\t\\N\t\\N\t\\N\t\\N';

function baseAmounts({ scale, debit, credit }: BaseSum): string {
  const sides = [debit, credit].map((side) => (side === 0 || side === 0n ? undefined : side));
  const scales = sides.map((side) => (side === undefined ? '\\N' : String(scale)));
  const texts = sides.map((side) => (side === undefined ? '\\N' : minorText(side, scale)));
  return `\t${[...scales, ...texts].join('\t')}`;
}

function addBase(sum: Sum, debit: boolean, baseAmount: string): void {
  const point = baseAmount.indexOf('.');
  const scale = point < 0 ? 0 : baseAmount.length - point - 1;
  const minor = readAmount(baseAmount, scale);
  if (minor === undefined) return; // told by the replay
  sum.base ??= { scale, debit: 0, credit: 0 };
  if (debit) sum.base.debit = plus(sum.base.debit, minor);
  else sum.base.credit = plus(sum.base.credit, minor);
}

const both = (one: BaseSum | undefined, other: BaseSum | undefined): BaseSum | undefined =>
  one === undefined || other === undefined
    ? (one ?? other)
    : { scale: one.scale, debit: plus(one.debit, other.debit), credit: plus(one.credit, other.credit) };
