/**
 * Random histories of one book, and the plainest possible reading of them: every line of every JournalEntryPosted in a list.
 * What the projections and queries answer is held against sums over that list.
 */
import type { Client } from 'pg';
import { type AccountType, addDays, type CalendarDate, type EntryLine, type JournalEntryPosted, type Side, toMinor } from '#domain';
import { instantMicros } from '#event-store';
import type { Command } from '#ledger';
import type { Commanded, ReferenceLedger } from './reference-ledger';

/** A seeded generator (mulberry32): the same seed gives the same numbers for ever. */
export function random(seed: number): { below(limit: number): number; pick<T>(items: readonly T[]): T } {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number): number => Math.floor(next() * limit);
  return { below, pick: (items) => items[below(items.length)] as (typeof items)[number] };
}

export type Random = ReturnType<typeof random>;

const accounts: readonly (readonly [string, AccountType, boolean])[] = [
  ['1000', 'asset', false],
  ['1900', 'asset', true],
  ['2000', 'liability', false],
  ['Income:Sales', 'income', false],
  ['Kosten/Büro', 'expense', false],
];
const currencies: readonly (readonly [string, number])[] = [
  ['EUR', 2],
  ['JPY', 0],
  ['BHD', 3],
];

/** Builds a history batch by batch, so that a test can do something in between. */
export class HistoryBuilder {
  /** Microseconds; grows from batch to batch, by one at times. Long past, so that questions about "one later" are allowed. */
  private clock = instantMicros('2024-03-01T09:00:00Z') ?? 0;
  private readonly codes = accounts.map(([code]) => code);
  private readonly entries: string[] = [];
  private serial = 0;

  constructor(
    private readonly ledger: ReferenceLedger,
    readonly bookId: string,
    private readonly chance: Random,
    private readonly today: CalendarDate = '2024-03-01',
  ) {}

  /** For ReferenceOptions.now. */
  readonly now = (): number => this.clock;

  async open(): Promise<void> {
    const opening: Command = { type: 'OpenBook', id: this.bookId, name: 'Random', baseCurrency: 'EUR', fiscalYearStart: '04-01' };
    await this.ledger.execute(this.bookId, opening, this.context());
    for (const [code, accountType, contra] of accounts) {
      this.clock += 1;
      await this.ledger.executeBatch(this.bookId, [
        this.commanded({ type: 'OpenAccount', code, name: `Account ${code}`, accountType, contra }),
      ]);
    }
  }

  /** One batch of 1 to `most` commands, some of them refused. */
  async batch(most = 6): Promise<void> {
    this.clock += this.chance.pick([1, 2, 1_000, 3_600_000_000]);
    const commands = Array.from({ length: 1 + this.chance.below(most) }, () => this.commanded(this.command()));
    const answers = await this.ledger.executeBatch(this.bookId, commands);
    for (const [index, answer] of answers.entries()) {
      if (answer instanceof Error || answer.status >= 400) continue;
      const type = commands[index]?.command.type;
      const body = JSON.parse(answer.body) as { id?: string; results?: { id: string }[] };
      if (type === 'PostEntry' || type === 'CorrectEntry') this.entries.push(body.id ?? '');
      if (type === 'PostEntries') this.entries.push(...(body.results ?? []).map(({ id }) => id));
    }
  }

  private commanded(command: Command): Commanded {
    return { command, context: this.context() };
  }

  private context(): Commanded['context'] {
    return { key: `${this.bookId}-${++this.serial}`, userId: '01930000-0000-7000-8000-000000000001', source: 'job' };
  }

  private command(): Command {
    const { chance } = this;
    const kind = chance.below(20);
    if (kind === 0) {
      const place = chance.below(this.codes.length);
      const account = this.codes[place] as string;
      this.codes[place] = `${account.split('~')[0]}~${this.serial}`;
      return { type: 'ChangeAccountCode', account, code: this.codes[place] as string };
    }
    if (kind === 1) return { type: 'RenameAccount', account: chance.pick(this.codes), name: `Name ${this.serial}` };
    if (kind === 2) return { type: 'PostEntries', atomic: true, entries: [this.entry(), this.entry()] };
    if (kind <= 4 && this.entries.length > 0) {
      return { type: 'ReverseEntry', entryId: chance.pick(this.entries), reason: 'wrong', effectiveDate: this.date() };
    }
    if (kind === 5 && this.entries.length > 0) {
      return { ...this.entry(), type: 'CorrectEntry', entryId: chance.pick(this.entries), reason: 'mistyped' };
    }
    return { type: 'PostEntry', ...this.entry() };
  }

  /** Today mostly; a few days or years back, or ahead, at times. */
  private date(): CalendarDate {
    const { chance } = this;
    return addDays(this.today, chance.pick([0, 0, 0, 1, -1, -30, -59, -60, -366, 14, 31, 306, chance.below(700) - 350]));
  }

  private entry(): { effectiveDate: CalendarDate; description: string; reference?: string; lines: EntryLine[] } {
    const { chance } = this;
    const lines: EntryLine[] = [];
    for (let parts = 1 + chance.below(2); parts > 0; parts--) {
      const [currency, scale] = chance.pick(currencies);
      const minor = 2 + chance.below(100_000);
      const part = 1 + chance.below(minor - 1);
      const amount = (value: number): string => decimal(value, scale);
      const side = chance.pick<Side>(['debit', 'credit']);
      const other: Side = side === 'debit' ? 'credit' : 'debit';
      // Two lines on one side, so that an account may stand twice in an entry, on the same side or on both.
      lines.push({ account: chance.pick(this.codes), side, amount: amount(minor), currency });
      lines.push({ account: chance.pick(this.codes), side: other, amount: amount(part), currency });
      lines.push({ account: chance.pick(this.codes), side: other, amount: amount(minor - part), currency });
    }
    if (chance.below(8) === 0) {
      lines.push({ account: chance.pick(this.codes), side: 'debit', amount: '0', currency: 'EUR', quantity: { value: '3', unit: 'h' } });
    }
    const rich = lines.map((line) => ({ ...line, ...this.base(line), ...this.dimensions() }));
    const reference = chance.below(3) === 0 ? `R${chance.below(4)}` : undefined;
    return { effectiveDate: this.date(), description: `Entry ${this.serial}`, reference, lines: rich };
  }

  /** Now and then an amount in the base currency, zero among them. */
  private base({ amount, currency }: EntryLine): Pick<EntryLine, 'baseAmount'> {
    if (this.chance.below(3) !== 0) return {};
    return { baseAmount: currency === 'EUR' ? amount : decimal(this.chance.below(3) * this.chance.below(100_000), 2) };
  }

  /** One or two pairs now and then, the same twice among them. */
  private dimensions(): Pick<EntryLine, 'dimensions'> {
    const { chance } = this;
    const pair = () => ({ key: chance.pick(['cost', 'project']), value: chance.pick(['a', 'b', 'ü\tx']) });
    const count = chance.pick([0, 0, 1, 2, 3]);
    return count === 0 ? {} : { dimensions: Array.from({ length: count }, pair) };
  }
}

function decimal(minor: number, scale: number): string {
  const digits = String(minor).padStart(scale + 1, '0');
  return scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

// --- The naive reading ---

export interface NaiveLine {
  readonly position: number;
  readonly recordedAt: string;
  readonly entryId: string;
  readonly line: number;
  readonly date: CalendarDate;
  readonly accountId: string;
  readonly currency: string;
  readonly side: Side;
  /** Minor units. */
  readonly minor: bigint;
  readonly amount: string;
  /** Minor units of the base currency, which has two decimals. */
  readonly base: bigint | undefined;
  /** `key=value` */
  readonly pairs: ReadonlySet<string>;
}

export interface NaiveAccount {
  readonly id: string;
  readonly normalSide: Side;
  /** Each code with the position that it is valid from. */
  readonly codes: readonly { readonly from: number; readonly code: string }[];
}

export interface NaiveTotal {
  readonly currency: string;
  readonly scale: number;
  readonly debit: bigint;
  readonly credit: bigint;
}

/** A book as its events tell it. */
export class NaiveBook {
  constructor(
    readonly head: number,
    readonly lines: readonly NaiveLine[],
    readonly accounts: readonly NaiveAccount[],
    /** Every position with its recordedAt, in order. */
    readonly instants: readonly { readonly position: number; readonly recordedAt: string }[],
  ) {}

  /** Reads log.events row by row, as an administrator. */
  static async read(admin: Client, bookId: string): Promise<NaiveBook> {
    const { rows } = await admin.query<{ position: number; recorded_at: string; stream_id: string; event_type: string; data: unknown }>(
      'SELECT position, recorded_at, stream_id, event_type, data FROM log.events WHERE book_id = $1 ORDER BY position',
      [bookId],
    );
    const lines: NaiveLine[] = [];
    const accounts = new Map<string, { id: string; normalSide: Side; codes: { from: number; code: string }[] }>();
    for (const { position, recorded_at: recordedAt, stream_id, event_type, data } of rows) {
      if (event_type === 'JournalEntryPosted') {
        const posted = data as JournalEntryPosted;
        for (const { line, accountId, currency, side, amount, baseAmount, dimensions = [] } of posted.lines) {
          const minor = toMinor(amount, amount.split('.')[1]?.length ?? 0) ?? 0n;
          lines.push({
            position,
            recordedAt,
            entryId: stream_id,
            line,
            date: posted.effectiveDate,
            accountId,
            currency,
            side,
            minor,
            amount,
            base: baseAmount === undefined ? undefined : (toMinor(baseAmount, 2) ?? 0n),
            pairs: new Set(dimensions.map(({ key, value }) => `${key}=${value}`)),
          });
        }
      }
      if (event_type === 'AccountOpened') {
        const { normalSide } = data as { normalSide: Side };
        accounts.set(stream_id, { id: stream_id, normalSide, codes: [] });
      }
      if (event_type === 'AccountOpened' || event_type === 'AccountCodeChanged') {
        accounts.get(stream_id)?.codes.push({ from: position, code: (data as { code: string }).code });
      }
    }
    const instants = rows.map(({ position, recorded_at }) => ({ position, recordedAt: recorded_at }));
    return new NaiveBook(rows.length, lines, [...accounts.values()], instants);
  }

  /** The code that an account had at a position; undefined when it did not exist yet. */
  codeAt({ codes }: NaiveAccount, position: number): string | undefined {
    return codes.findLast(({ from }) => from <= position)?.code;
  }

  /** Totals of one account per currency with a line, sorted. */
  totals(accountId: string, date: CalendarDate | undefined, position: number): NaiveTotal[] {
    return this.totalsOf((line) => line.accountId === accountId && line.position <= position && (date === undefined || line.date <= date));
  }

  /** Totals per currency over the lines that count, sorted. */
  totalsOf(counts: (line: NaiveLine) => boolean): NaiveTotal[] {
    const totals = new Map<string, { currency: string; scale: number; debit: bigint; credit: bigint }>();
    for (const line of this.lines) {
      if (!counts(line)) continue;
      const scale = line.amount.split('.')[1]?.length ?? 0;
      const total = totals.get(line.currency) ?? { currency: line.currency, scale, debit: 0n, credit: 0n };
      total[line.side] += line.minor;
      totals.set(line.currency, total);
    }
    return [...totals.values()].sort((a, b) => (a.currency < b.currency ? -1 : 1));
  }

  /** Distinct effective dates, sorted. */
  dates(): CalendarDate[] {
    return [...new Set(this.lines.map(({ date }) => date))].sort();
  }
}
