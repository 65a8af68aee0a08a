/**
 * A book as a bookkeeper would keep it on paper: accounts, entries and a list of lines, and the rules that say no. It is what
 * the simulation holds the service against, so it shares nothing with it: no decider, no reducer, no SQL, no total that is
 * kept; balances are summed from the list each time. It says exactly which position, number and code each command must get.
 */
import type { ChangeAccount } from '#domain';
import type { Command } from '#ledger';

type Side = 'debit' | 'credit';
type Line = { account: string; side: Side; amount: string; currency: string; baseAmount?: string; rate?: { value: string } };
type Content = {
  effectiveDate: string;
  journalCode?: string;
  entryType?: string;
  reference?: string;
  onClosedPeriod?: string;
  lines: readonly Line[];
};

/** Who sends a command. */
export interface ModelActor {
  readonly userId: string;
  readonly isController: boolean;
}

interface Month {
  readonly label: string;
  readonly no: number;
  readonly from: string;
  readonly to: string;
}

export interface ModelLine {
  readonly position: number;
  readonly entryId: string;
  readonly line: number;
  readonly date: string;
  readonly account: ModelAccount;
  readonly currency: string;
  readonly side: Side;
  readonly minor: bigint;
  /** Of a tracked book: minor units of the base currency. */
  readonly base?: bigint;
}

export interface ModelAccount {
  readonly type: string;
  readonly debitNormal: boolean;
  readonly postable: boolean;
  readonly currencies?: readonly string[];
  readonly limits: readonly { currency: string; min?: string; max?: string }[];
  status: 'open' | 'frozen' | 'closed';
  /** Each code and name with the position that it holds from. */
  readonly codes: { from: number; code: string }[];
  readonly names: { from: number; name: string }[];
  readonly statuses: { from: number; status: string }[];
}

export interface ModelEntry {
  readonly id: string;
  readonly position: number;
  readonly date: string;
  readonly journal: string;
  readonly year: string;
  readonly number: number;
  readonly type: string;
  readonly reference?: string;
  readonly lines: readonly ModelLine[];
  /** Position of JournalEntryReversed, and the id of the reversal. */
  reversed?: { readonly at: number; readonly by: string };
}

/** What a command must be answered: a refusal, or what `apply` writes once the ids are known. */
export type Expected =
  | { readonly refused: string }
  | {
      readonly entries: readonly { position: number; number: number }[];
      /** Undefined where there was nothing to write. */
      readonly first: number | undefined;
      apply(ids: readonly string[], recordedAt: string): void;
    };

/** Codes in the order of docs/reference/errors.md: of several the first is told. */
const order =
  'forbidden malformed amount_format date_invalid book_unknown entry_unknown period_unknown account_unknown journal_unknown account_exists journal_exists currency_exists rate_exists parent_invalid currency_unknown currency_not_allowed scale_exceeded amount_range base_amount_required account_not_designated role_invalid too_few_lines unbalanced fiscal_year_invalid no_fiscal_year before_book_start period_closed period_state period_order second_user_required rate_unknown account_not_postable account_frozen account_not_frozen account_closed account_not_empty limit_exceeded already_reversed reversal_of_reversal'.split(
    ' ',
  );
const iso: Readonly<Record<string, number>> = { EUR: 2, USD: 2, JPY: 0, BHD: 3 };

const dayAfter = (date: string): string => new Date(Date.parse(date) + 86_400_000).toISOString().slice(0, 10);
const last = <T extends { from: number }>(list: readonly T[], position: number): T | undefined =>
  list.findLast(({ from }) => from <= position);
/** What is held and owed in units of a currency: assets and liabilities; the simulation has no stocks or prepayments. */
const isMonetary = (type: string): boolean => type === 'asset' || type === 'liability';
const baseCurrency = 'EUR';

/** Exactly, then rounded once, half to even. @param value a plain decimal */
function converted(minor: bigint, scale: number, value: string, toScale: number): bigint {
  const [whole = '', decimals = ''] = value.split('.');
  const above = minor * BigInt(whole + decimals) * 10n ** BigInt(toScale);
  const below = 10n ** BigInt(scale + decimals.length);
  const [down, twice] = [above / below, 2n * (above % below)];
  return twice > below || (twice === below && down % 2n === 1n) ? down + 1n : down;
}

/** Minor units as a text with the decimals of their currency. */
export function decimal(minor: bigint, scale: number): string {
  const text = String(minor < 0n ? -minor : minor).padStart(scale + 1, '0');
  const shown = scale === 0 ? text : `${text.slice(0, -scale)}.${text.slice(-scale)}`;
  return minor < 0n ? `-${shown}` : shown;
}

const min = (a: string, b: string): string => (a < b ? a : b);

/** Minor units, or what is wrong. */
function minorOf(amount: string, scale: number): bigint | 'scale_exceeded' | 'amount_format' {
  const match = /^(-?)(0|[1-9]\d*)(?:\.(\d+))?$/.exec(amount);
  if (match === null) return 'amount_format';
  const decimals = (match[3] ?? '').replace(/0+$/, '');
  return decimals.length > scale ? 'scale_exceeded' : BigInt(`${match[1]}${match[2]}${decimals.padEnd(scale, '0')}`);
}

interface DraftLine {
  readonly account: ModelAccount;
  readonly side: Side;
  readonly minor: bigint;
  readonly currency: string;
  readonly base?: bigint;
}

interface Draft {
  readonly content: Content;
  readonly lines: DraftLine[];
  readonly type: string;
  readonly reverses?: ModelEntry;
}

/** Debits − credits. */
function sumOf<T extends { readonly side: Side }>(lines: readonly T[], of: (line: T) => bigint): bigint {
  return lines.reduce((sum, line) => sum + (line.side === 'debit' ? of(line) : -of(line)), 0n);
}

/** The lines of an entry with their sides exchanged. */
const mirror = ({ lines }: ModelEntry): DraftLine[] =>
  lines.map(({ account, side, minor, currency, base }) => ({
    ...{ account, minor, currency, base },
    side: side === 'debit' ? 'credit' : 'debit',
  }));

export class Model {
  position: number;
  readonly accounts: ModelAccount[] = [];
  readonly entries: ModelEntry[] = [];
  readonly lines: ModelLine[] = [];
  /** Last position and recordedAt of each command that wrote. */
  readonly written: { readonly position: number; readonly recordedAt: string }[] = [];
  readonly scales = new Map<string, number>();
  readonly journals = new Set(['GENERAL']);
  private years: { label: string; from: string; to: string }[];
  private given = false;
  /** Labels of years that no other takes the place of: given ones, and those of which a month was ever closed. */
  private readonly held = new Set<string>();
  private readonly byCode = new Map<string, ModelAccount>();
  private readonly numbers = new Map<string, number>();
  /** Months that are not open, by `label/no`. */
  private readonly closed = new Map<string, { status: 'soft_closed' | 'hard_closed'; requestedBy?: string }>();
  /** What a close is called in questions, and where it was the last time. */
  readonly closes = new Map<string, number>();
  private actor: ModelActor = { userId: '', isController: false };
  /** The rate of a pair and type on a day that was recorded last, by `USD/spot` and day. */
  private readonly rates = new Map<string, Map<string, { value: string; source: string }>>();
  private readonly designated = new Map<string, ModelAccount>();

  /** An opened book. @param start first month of the fiscal year */
  constructor(
    private readonly startsOn: string,
    private readonly startMonth: string,
    recordedAt: string,
    /** Whether every line has an amount in base currency too. */
    private readonly tracked = false,
  ) {
    this.position = 3;
    this.written.push({ position: 3, recordedAt });
    const year = Number(startsOn.slice(0, 4));
    this.years = [this.year(startsOn.slice(5, 7) >= startMonth ? year : year - 1)];
  }

  private year(start: number): { label: string; from: string; to: string } {
    const to = new Date(Date.parse(`${start + 1}-${this.startMonth}-01`) - 86_400_000).toISOString().slice(0, 10);
    return { label: to.slice(0, 4), from: `${start}-${this.startMonth}-01`, to };
  }

  // --- Commands ---

  expect(command: Command, today: string, actor: ModelActor): Expected {
    const wrong: string[] = [];
    this.actor = actor;
    const outcome = this.consider(command, today, wrong);
    const refused = order.find((code) => wrong.includes(code));
    return refused === undefined ? (outcome as Expected) : { refused };
  }

  private consider(command: Command, today: string, wrong: string[]): Expected | undefined {
    switch (command.type) {
      case 'PostEntry':
        return this.post([this.draft(command, wrong)], wrong);
      case 'PostEntries':
        return this.postAll(command.entries, wrong);
      case 'ReverseEntry':
      case 'CorrectEntry': {
        const original = this.entries.find(({ id }) => id === command.entryId);
        if (original === undefined) return void wrong.push('entry_unknown');
        const asked = command.effectiveDate ?? this.firstOpenDay(original.date > today ? original.date : today);
        const date = command.onClosedPeriod === 'first_open_day' ? this.dayFor(asked) : asked;
        const content = { effectiveDate: date, journalCode: original.journal, reference: original.reference, lines: [] };
        const mirrored = mirror(original);
        for (const { account, currency } of mirrored) this.checkAccount(account, currency, wrong);
        if (original.reversed !== undefined) wrong.push('already_reversed');
        if (original.type === 'reversal') wrong.push('reversal_of_reversal');
        this.checkDate(date, wrong);
        const drafts: Draft[] = [{ content, lines: mirrored, type: 'reversal', reverses: original }];
        if (command.type === 'CorrectEntry') {
          const { journalCode = original.journal, reference = original.reference, entryType = original.type } = command;
          drafts.push(this.draft({ ...command, effectiveDate: asked, journalCode, reference, entryType }, wrong));
        }
        return this.post(drafts, wrong);
      }
      case 'OpenAccount': {
        const { code, parent, accountType, currencies, limits = [], postable = true, contra = false } = command;
        for (const currency of [...(currencies ?? []), ...limits.map((limit) => limit.currency)])
          if (this.scaleOf(currency) === undefined) wrong.push('currency_unknown');
        for (const { currency, min: low, max: high } of limits) {
          const scale = this.scaleOf(currency);
          if (scale !== undefined && [low, high].some((bound) => bound !== undefined && minorOf(bound, scale) === 'scale_exceeded'))
            wrong.push('scale_exceeded');
        }
        if (this.byCode.has(code)) wrong.push('account_exists');
        if (parent !== undefined && this.byCode.get(parent)?.type !== accountType) wrong.push('parent_invalid');
        if (parent !== undefined && this.byCode.get(parent)?.status === 'closed') wrong.push('parent_invalid');
        const from = this.position + 1;
        const debitNormal = (accountType === 'asset' || accountType === 'expense' || accountType === 'memorandum') !== contra;
        return this.change(() => {
          const account: ModelAccount = {
            type: accountType,
            debitNormal,
            postable,
            currencies,
            limits,
            status: 'open',
            codes: [{ from, code }],
            names: [{ from, name: command.name }],
            statuses: [{ from, status: 'open' }],
          };
          this.accounts.push(account);
          this.byCode.set(code, account);
        });
      }
      case 'RenameAccount':
      case 'ChangeAccountCode':
      case 'FreezeAccount':
      case 'UnfreezeAccount':
      case 'CloseAccount': {
        const account = this.byCode.get(command.account);
        if (account === undefined) return void wrong.push('account_unknown');
        return this.changeAccount(account, command, wrong);
      }
      case 'DefineJournal':
        if (this.journals.has(command.journalCode)) wrong.push('journal_exists');
        return this.change(() => this.journals.add(command.journalCode));
      case 'EnableCurrency':
        if (this.scales.has(command.code)) wrong.push('currency_exists');
        return this.change(() => this.scales.set(command.code, command.scale));
      case 'DefineFiscalYear': {
        const { label, from, to } = command;
        const before = this.years.filter((year) => year.to < from);
        const behind = this.years.filter((year) => year.from > to);
        const overlaps = before.length + behind.length < this.years.length;
        const adjoins = dayAfter(this.years.at(-1)?.to ?? '') === from || dayAfter(to) === this.years[0]?.from;
        const inLine = [
          ...before.filter(() => dayAfter(before.at(-1)?.to ?? '') === from),
          ...behind.filter(() => dayAfter(to) === behind[0]?.from),
        ];
        const stay = overlaps ? inLine : this.years;
        const isHeld = (year: { label: string }): boolean =>
          this.held.has(year.label) || this.entries.some((entry) => entry.year === year.label);
        if (this.years.some((year) => !stay.includes(year) && isHeld(year))) wrong.push('fiscal_year_invalid');
        // Who could post before a closed month would change what it opened with.
        if (dayAfter(to) === stay[0]?.from && this.stateOf({ label: stay[0].label, no: 1 }) !== undefined)
          wrong.push('fiscal_year_invalid');
        if (to < from || !(adjoins || overlaps) || stay.some((year) => year.label === label)) wrong.push('fiscal_year_invalid');
        return this.change(() => {
          this.given = true;
          this.held.add(label);
          this.years = [...stay, { label, from, to }].sort((a, b) => (a.from < b.from ? -1 : 1));
        });
      }
      case 'DesignateAccount': {
        const account = this.byCode.get(command.account);
        if (account === undefined) return void wrong.push('account_unknown');
        if (!account.postable || account.status === 'closed' || !['income', 'expense'].includes(account.type)) wrong.push('role_invalid');
        return this.change(() => this.designated.set(command.role, account));
      }
      case 'RecordRates':
        return this.recordRates(command.rates, wrong);
      case 'Revalue':
        return this.revalue(command, wrong);
      case 'ClosePeriod':
        return this.close(command, wrong);
      case 'RequestReopening':
      case 'ApproveReopening':
      case 'DeclineReopening':
        return this.reopen(command, wrong);
      default:
        throw new Error(`the model does not know ${command.type}`);
    }
  }

  // --- Rates ---

  private recordRates(rates: Extract<Command, { type: 'RecordRates' }>['rates'], wrong: string[]): Expected {
    const fresh = new Map<string, { value: string; source: string }>();
    for (const { from, to, rateType, date, value, source } of rates) {
      if (!/^\d+(\.\d+)?$/.test(value) || /^[0.]+$/.test(value)) wrong.push('amount_format');
      if (from === to) wrong.push('malformed');
      if ([from, to].some((currency) => this.scaleOf(currency) === undefined)) wrong.push('currency_unknown');
      const day = `${from}/${rateType} ${date}`;
      const known = fresh.get(day) ?? this.rates.get(`${from}/${rateType}`)?.get(date);
      if (known?.value === value && known.source === source) wrong.push('rate_exists');
      fresh.set(day, { value, source });
    }
    return {
      entries: [],
      first: this.position + 1,
      apply: (_ids, recordedAt) => {
        for (const [day, rate] of fresh) {
          const [pair = '', date = ''] = day.split(' ');
          this.rates.set(pair, (this.rates.get(pair) ?? new Map()).set(date, rate));
        }
        this.wrote(rates.length, recordedAt);
      },
    };
  }

  /** The newest up to a day, at most 31 days old. */
  private rateOn(currency: string, type: string, day: string): string | undefined {
    const eldest = new Date(Date.parse(day) - 31 * 86_400_000).toISOString().slice(0, 10);
    const dates = [...(this.rates.get(`${currency}/${type}`) ?? [])].filter(([date]) => eldest <= date && date <= day).sort();
    return dates.at(-1)?.[1].value;
  }

  /** In base currency a line is what it says, its own amount, or its amount at its rate or that of the day; @returns how it was found too */
  private baseOf(
    { currency, baseAmount, rate }: Line,
    minor: bigint,
    day: string,
    wrong: string[],
  ): { readonly base?: bigint; readonly isComputed: boolean } {
    const baseScale = this.scaleOf(baseCurrency) as number;
    if (baseAmount !== undefined) {
      const base = minorOf(baseAmount, baseScale);
      if (currency === baseCurrency && minor !== 0n && minor !== base) wrong.push('malformed');
      if (typeof base === 'bigint') return { base, isComputed: false };
      wrong.push(base);
      return { isComputed: false };
    }
    if (currency === baseCurrency) return { base: minor, isComputed: false };
    const value = rate?.value ?? this.rateOn(currency, 'spot', day);
    const scale = this.scaleOf(currency);
    if (value !== undefined && scale !== undefined) return { base: converted(minor, scale, value, baseScale), isComputed: true };
    wrong.push('base_amount_required');
    return { isComputed: false };
  }

  /** What conversions leave over, at most a minor unit for each, goes to the account for rounding. */
  private addRounding(lines: DraftLine[], computed: number, wrong: string[]): void {
    const left = sumOf(lines, ({ base = 0n }) => base);
    const size = left < 0n ? -left : left;
    if (size === 0n || size > BigInt(computed) || lines.some(({ base }) => base === undefined)) return;
    const account = this.designated.get('rounding');
    if (account === undefined) return void wrong.push('account_not_designated');
    this.checkAccount(account, baseCurrency, wrong);
    lines.push({ account, side: left > 0n ? 'credit' : 'debit', minor: 0n, currency: baseCurrency, base: size });
  }

  /** Monetary accounts are brought to their value at the rates of the day, and back on the next one. */
  private revalue({ date, rateType = 'closing' }: Extract<Command, { type: 'Revalue' }>, wrong: string[]): Expected | undefined {
    const baseScale = this.scaleOf(baseCurrency) as number;
    const lines: Line[] = [];
    const moved = { fx_gain_unrealised: 0n, fx_loss_unrealised: 0n };
    const add = (account: ModelAccount, currency: string, change: bigint): void => {
      const side = change > 0n ? 'debit' : 'credit';
      const baseAmount = decimal(change < 0n ? -change : change, baseScale);
      lines.push({ account: this.codeAt(account, this.position) as string, side, amount: '0', currency, baseAmount });
    };
    const code = (account: ModelAccount): string => this.codeAt(account, this.position) as string;
    for (const account of this.accounts.filter(({ type }) => isMonetary(type)).sort((a, b) => (code(a) < code(b) ? -1 : 1))) {
      const own = this.lines.filter((line) => line.account === account && line.date <= date && line.currency !== baseCurrency);
      for (const currency of [...new Set(own.map((line) => line.currency))].sort()) {
        const held = own.filter((line) => line.currency === currency);
        const [quantity, carried] = [sumOf(held, ({ minor }) => minor), sumOf(held, ({ base = 0n }) => base)];
        if (quantity === 0n && carried === 0n) continue;
        const rate = this.rateOn(currency, rateType, date);
        if (rate === undefined) return void wrong.push('rate_unknown');
        const size = converted(quantity < 0n ? -quantity : quantity, this.scaleOf(currency) as number, rate, baseScale);
        const change = (quantity < 0n ? -size : size) - carried;
        if (change === 0n) continue;
        add(account, currency, change);
        moved[change > 0n ? 'fx_gain_unrealised' : 'fx_loss_unrealised'] -= change;
      }
    }
    for (const [role, change] of Object.entries(moved))
      if (change !== 0n) add(this.designated.get(role) as ModelAccount, baseCurrency, change);
    if (lines.length === 0) return { entries: [], first: undefined, apply: () => {} };
    const draft = this.draft({ effectiveDate: date, entryType: 'revaluation', lines }, wrong);
    if (wrong.length > 0) return undefined;
    const back = (model: Model, id: string): Expected => {
      const original = model.entries.find((entry) => entry.id === id) as ModelEntry;
      const effectiveDate = model.dayFor(dayAfter(date));
      model.checkDate(effectiveDate, wrong);
      return model.post([{ content: { effectiveDate, lines: [] }, lines: mirror(original), type: 'reversal', reverses: original }], wrong);
    };
    const copy = this.copy();
    const there = copy.post([draft], wrong) as Exclude<Expected, { refused: string }>;
    there.apply(['?'], '');
    const { entries } = back(copy, '?') as Exclude<Expected, { refused: string }>;
    return {
      entries: [...there.entries, ...entries],
      first: this.position + 1,
      apply: ([posted = '', reversal = ''], recordedAt) => {
        (this.post([draft], []) as typeof there).apply([posted], recordedAt);
        (back(this, posted) as typeof there).apply([reversal], recordedAt);
      },
    };
  }

  // --- Months ---

  /** All months of all fiscal years, in order. */
  months(): Month[] {
    return this.years.flatMap(({ label, from, to }) => {
      const months: Month[] = [];
      for (let start = from; start <= to; ) {
        const next = `${start.slice(5, 7) === '12' ? Number(start.slice(0, 4)) + 1 : start.slice(0, 4)}-${String((Number(start.slice(5, 7)) % 12) + 1).padStart(2, '0')}-01`;
        months.push({ label, no: months.length + 1, from: start, to: new Date(Date.parse(next) - 86_400_000).toISOString().slice(0, 10) });
        start = next;
      }
      return months;
    });
  }

  /** The last month that is not open, and whether somebody asks for it. */
  lastClosed(): (Month & { readonly isAsked: boolean }) | undefined {
    const month = this.months().findLast((candidate) => this.stateOf(candidate) !== undefined);
    return month && { ...month, isAsked: this.stateOf(month)?.requestedBy !== undefined };
  }

  private stateOf = ({ label, no }: Pick<Month, 'label' | 'no'>) => this.closed.get(`${label}/${no}`);

  /** The month that speaks for a day: its own, or the next closed one of a later year, or of days before all of them the first. */
  private monthOn(date: string): Month | undefined {
    const months = this.months();
    const own = months.find(({ from, to }) => from <= date && date <= to);
    if (own !== undefined && this.stateOf(own) !== undefined) return own;
    const closed = months.find((month) => date < month.from && month.label !== own?.label && this.stateOf(month) !== undefined);
    return closed ?? own ?? (date < (months[0]?.from ?? '') ? months[0] : undefined);
  }

  private statusOn(date: string): 'open' | 'soft_closed' | 'hard_closed' {
    const month = this.monthOn(date);
    return (month && this.stateOf(month)?.status) ?? 'open';
  }

  private isClosedOn(date: string): boolean {
    const status = this.statusOn(date);
    return status === 'hard_closed' || (status === 'soft_closed' && !this.actor.isController);
  }

  /** Where an entry that may move is posted: on its own day, unless that is closed to whoever posts it. */
  private dayFor(date: string): string {
    return date >= this.startsOn && this.isClosedOn(date) ? this.firstOpenDay(date) : date;
  }

  private firstOpenDay(date: string): string {
    let day = date;
    while (this.statusOn(day) !== 'open') day = dayAfter(this.monthOn(day)?.to ?? day);
    return day;
  }

  private close(command: Extract<Command, { type: 'ClosePeriod' }>, wrong: string[]): Expected | undefined {
    const { fiscalYear, period, level, includeEarlier } = command;
    if (!this.actor.isController) wrong.push('forbidden');
    const months = this.months();
    const at = months.findIndex(({ label, no }) => label === fiscalYear && no === period);
    const wanted = months[at];
    if (wanted === undefined) return void wrong.push('period_unknown');
    if (this.stateOf(wanted)?.status !== (level === 'soft' ? undefined : 'soft_closed')) wrong.push('period_state');
    const earlier = months.slice(0, at).filter((month) => {
      const status = this.stateOf(month)?.status;
      return level === 'soft' ? status === undefined : status !== 'hard_closed';
    });
    if (earlier.length > 0 && !includeEarlier) wrong.push('period_order');
    const closing = [...earlier, wanted];
    const isAsked = (month: Month): boolean => this.stateOf(month)?.requestedBy !== undefined;
    if (isAsked(wanted) || (includeEarlier && closing.some(isAsked))) wrong.push('period_state');
    return {
      entries: [],
      first: this.position + 1,
      apply: (_ids, recordedAt) => {
        for (const [index, { label, no }] of closing.entries()) {
          this.held.add(label);
          this.closed.set(`${label}/${no}`, { status: level === 'soft' ? 'soft_closed' : 'hard_closed' });
          this.closes.set(`${level === 'soft' ? '' : 'hard-'}close:${label}-${no}`, this.position + 1 + index);
        }
        this.wrote(closing.length, recordedAt);
      },
    };
  }

  private reopen(
    { type, fiscalYear, period }: { readonly type: string; readonly fiscalYear: string; readonly period: number },
    wrong: string[],
  ): Expected | undefined {
    const { userId, isController } = this.actor;
    if (!isController) wrong.push('forbidden');
    const months = this.months();
    const at = months.findIndex(({ label, no }) => label === fiscalYear && no === period);
    if (at < 0) return void wrong.push('period_unknown');
    const key = `${fiscalYear}/${period}`;
    const state = this.closed.get(key);
    const isAsked = state?.requestedBy !== undefined;
    if (state?.status !== 'soft_closed' || isAsked === (type === 'RequestReopening')) wrong.push('period_state');
    if (type !== 'DeclineReopening' && months.slice(at + 1).some((month) => this.stateOf(month) !== undefined)) wrong.push('period_order');
    if (type === 'ApproveReopening' && state?.requestedBy === userId) wrong.push('second_user_required');
    return this.change(() => {
      if (type === 'ApproveReopening') this.closed.delete(key);
      else this.closed.set(key, { status: 'soft_closed', ...(type === 'RequestReopening' ? { requestedBy: userId } : {}) });
    });
  }

  private changeAccount(account: ModelAccount, command: ChangeAccount, wrong: string[]): Expected {
    const from = this.position + 1;
    if (account.status === 'closed') wrong.push('account_closed');
    const become = (status: ModelAccount['status']) =>
      this.change(() => {
        account.status = status;
        account.statuses.push({ from, status });
      });
    switch (command.type) {
      case 'RenameAccount':
        return this.change(() => account.names.push({ from, name: command.name }));
      case 'ChangeAccountCode': {
        const owner = this.byCode.get(command.code);
        if (owner !== undefined && (owner !== account || account.codes.at(-1)?.code === command.code)) wrong.push('account_exists');
        return this.change(() => {
          account.codes.push({ from, code: command.code });
          this.byCode.set(command.code, account);
        });
      }
      case 'FreezeAccount':
        if (account.status === 'frozen') wrong.push('account_frozen');
        return become('frozen');
      case 'UnfreezeAccount':
        if (account.status !== 'frozen') wrong.push('account_not_frozen');
        return become('open');
      case 'CloseAccount':
        if (this.totals(account).some(({ debit, credit }) => debit !== credit) || this.isCarried(account)) wrong.push('account_not_empty');
        return become('closed');
    }
  }

  /** Whether what an account has in a currency is worth something in the books, be its balance 0. */
  private isCarried(account: ModelAccount): boolean {
    const own = this.lines.filter((line) => line.account === account);
    const currencies = new Set(own.map(({ currency }) => currency));
    return (
      this.tracked &&
      [...currencies].some(
        (one) =>
          sumOf(
            own.filter(({ currency }) => currency === one),
            ({ base = 0n }) => base,
          ) !== 0n,
      )
    );
  }

  /** A command of one event. */
  private change(work: () => unknown): Expected {
    return {
      entries: [],
      first: this.position + 1,
      apply: (_ids, recordedAt) => {
        work();
        this.wrote(1, recordedAt);
      },
    };
  }

  private wrote(events: number, recordedAt: string): void {
    this.position += events;
    this.written.push({ position: this.position, recordedAt });
  }

  // --- Entries ---

  private draft(given: Content, wrong: string[]): Draft {
    const { effectiveDate: asked, onClosedPeriod } = given;
    const content = onClosedPeriod === 'first_open_day' ? { ...given, effectiveDate: this.dayFor(asked) } : given;
    const lines: DraftLine[] = [];
    let computed = 0;
    for (const line of content.lines) {
      const { account: code, side, amount, currency } = line;
      const account = this.byCode.get(code);
      if (account === undefined) wrong.push('account_unknown');
      else this.checkAccount(account, currency, wrong);
      const scale = this.scaleOf(currency);
      if (scale === undefined) wrong.push('currency_unknown');
      const minor = amount.startsWith('-') ? 'amount_format' : minorOf(amount, scale ?? 18);
      if (typeof minor === 'string') {
        if (minor === 'amount_format' || scale !== undefined) wrong.push(minor);
      } else if ((minor === 0n && line.baseAmount === undefined) || (scale !== undefined && minor >= 10n ** 30n))
        wrong.push('amount_range');
      if (account === undefined || typeof minor === 'string') continue;
      // At the rate of the day that was asked for, also where the entry moves.
      const { base, isComputed } = this.tracked && scale !== undefined ? this.baseOf(line, minor, asked, wrong) : { isComputed: false };
      if (isComputed) computed++;
      lines.push({ account, side, minor, currency, base });
    }
    if (computed > 0 && lines.length === content.lines.length) this.addRounding(lines, computed, wrong);
    if (!this.journals.has(content.journalCode ?? 'GENERAL')) wrong.push('journal_unknown');
    this.checkDate(content.effectiveDate, wrong);
    if (lines.length < 2) wrong.push('too_few_lines');
    const currencies = new Set(lines.map(({ currency }) => currency));
    const off = [...currencies].some((currency) => sumOf(lines, (line) => (line.currency === currency ? line.minor : 0n)) !== 0n);
    if (off || sumOf(lines, ({ base = 0n }) => base) !== 0n) wrong.push('unbalanced');
    return { content, lines, type: content.entryType ?? 'normal' };
  }

  scaleOf = (currency: string): number | undefined => this.scales.get(currency) ?? iso[currency];

  private checkAccount({ postable, status, currencies }: ModelAccount, currency: string, wrong: string[]): void {
    if (!postable) wrong.push('account_not_postable');
    if (status !== 'open') wrong.push(`account_${status}`);
    if (currencies?.includes(currency) === false) wrong.push('currency_not_allowed');
  }

  private checkDate(date: string, wrong: string[]): void {
    if (this.isClosedOn(date)) wrong.push('period_closed');
    if (date < this.startsOn) wrong.push('before_book_start');
    const [from, to] = [this.years[0]?.from ?? '', this.years.at(-1)?.to ?? ''];
    const yearsAhead = Number(date.slice(0, 4)) - Number(to.slice(0, 4)) + (date.slice(4) > to.slice(4) ? 1 : 0);
    if ((date < from || date > to) && (this.given || yearsAhead > 20)) wrong.push('no_fiscal_year');
  }

  /** Fiscal years that a date needs, after or before those there are. */
  private missing(date: string, years: readonly { from: string; to: string }[]): { label: string; from: string; to: string }[] {
    const more: { label: string; from: string; to: string }[] = [];
    for (let next = Number(years.at(-1)?.from.slice(0, 4)) + 1; date >= this.year(next).from; next++) more.push(this.year(next));
    for (let next = Number(years[0]?.from.slice(0, 4)) - 1; date <= this.year(next).to; next--) more.push(this.year(next));
    return more;
  }

  /** Entries of one command, which is one entry or a correction: limits look at what all of them leave. */
  private post(drafts: readonly Draft[], wrong: string[]): Expected {
    const touched = drafts.flatMap(({ lines }) => lines);
    for (const { account, currency } of touched) {
      const scale = this.scaleOf(currency) ?? 0;
      const sign = (side: Side): bigint => ((side === 'debit') === account.debitNormal ? 1n : -1n);
      const sum = (lines: readonly { account: ModelAccount; currency: string; side: Side; minor: bigint }[]): bigint =>
        lines.reduce(
          (total, line) => (line.account === account && line.currency === currency ? total + sign(line.side) * line.minor : total),
          0n,
        );
      const was = sum(this.lines);
      const is = was + sum(touched);
      for (const limit of account.limits.filter((known) => known.currency === currency)) {
        if (limit.min !== undefined && is < was && is < (minorOf(limit.min, scale) as bigint)) wrong.push('limit_exceeded');
        if (limit.max !== undefined && is > was && is > (minorOf(limit.max, scale) as bigint)) wrong.push('limit_exceeded');
      }
    }
    const date = drafts[0]?.content.effectiveDate ?? '';
    const years = this.given ? [] : this.missing(date, this.years);
    // Base amounts are a use of the base currency.
    const used = (lines: readonly DraftLine[]): string[] =>
      lines.flatMap(({ currency, base }) => (base === undefined ? [currency] : [currency, baseCurrency]));
    const fresh = new Set(used(touched).filter((currency) => !this.scales.has(currency)));
    // A replacement's own currencies are enabled with it, behind the reversal.
    const early = new Set(used(drafts[0]?.lines ?? []).filter((currency) => fresh.has(currency)));
    let position = this.position + years.length + early.size;
    const counted = new Map<string, number>();
    const label = [...this.years, ...years].find(({ from, to }) => from <= date && date <= to)?.label ?? '';
    const planned = drafts.map((draft, index) => {
      const journal = draft.content.journalCode ?? 'GENERAL';
      const number = (this.numbers.get(`${label}/${journal}`) ?? 0) + (counted.get(journal) ?? 0) + 1;
      counted.set(journal, (counted.get(journal) ?? 0) + 1);
      if (index > 0) position += fresh.size - early.size;
      const at = position + 1;
      position = at + draft.lines.length + (draft.reverses === undefined ? 0 : 1);
      return { draft, journal, number, position: at };
    });
    const end = position;
    return {
      entries: planned.map(({ number, position: at }) => ({ number, position: at })),
      first: this.position + 1,
      apply: (ids, recordedAt) => {
        this.years = [...this.years, ...years].sort((a, b) => (a.from < b.from ? -1 : 1));
        for (const currency of fresh) this.scales.set(currency, iso[currency] ?? 0);
        planned.forEach(({ draft, journal, number, position: at }, index) => {
          const id = ids[index] as string;
          const lines = draft.lines.map((line, place): ModelLine => ({ ...line, position: at, entryId: id, line: place + 1, date }));
          this.lines.push(...lines);
          this.numbers.set(`${label}/${journal}`, number);
          this.entries.push({
            id,
            position: at,
            date,
            journal,
            year: label,
            number,
            type: draft.type,
            reference: draft.content.reference,
            lines,
          });
          if (draft.reverses !== undefined) draft.reverses.reversed = { at: at + lines.length + 1, by: id };
        });
        this.wrote(end - this.position, recordedAt);
      },
    };
  }

  /** All or none, each on what the ones before it left: tried on a copy. */
  private postAll(contents: readonly Content[], wrong: string[]): Expected | undefined {
    const copy = this.copy();
    const { actor } = this;
    const entries: { position: number; number: number }[] = [];
    for (const content of contents) {
      const outcome = copy.expect({ ...content, type: 'PostEntry' } as Command, '', this.actor);
      if ('refused' in outcome) return void wrong.push(outcome.refused);
      entries.push(...outcome.entries);
      outcome.apply(['?'], '');
    }
    return {
      entries,
      first: this.position + 1,
      apply: (ids, recordedAt) =>
        contents.forEach((content, index) => {
          const outcome = this.expect({ ...content, type: 'PostEntry' } as Command, '', actor);
          if ('refused' in outcome) throw new Error(`the model refused what it took before: ${outcome.refused}`);
          outcome.apply([ids[index] as string], recordedAt);
        }),
    };
  }

  /** Enough of a copy to try entries on: accounts and old entries are shared, since entries do not change them. */
  private copy(): Model {
    const copy = Object.assign(Object.create(Model.prototype) as Model, this);
    const fresh = {
      lines: [...this.lines],
      entries: [...this.entries],
      written: [],
      scales: new Map(this.scales),
      numbers: new Map(this.numbers),
    };
    Object.assign(copy, fresh, { scaleOf: (currency: string) => copy.scales.get(currency) ?? iso[currency] });
    return copy;
  }

  // --- Questions ---

  /** Debits and credits of an account in base currency, as totals; of its lines in one currency, or of all. */
  baseTotals(
    account: ModelAccount,
    asOf = '9999',
    knownAt = this.position,
    currency?: string,
  ): { readonly debit: bigint; readonly credit: bigint } {
    const own = this.lines.filter(
      (line) =>
        line.account === account && line.date <= asOf && line.position <= knownAt && (currency === undefined || line.currency === currency),
    );
    const on = (side: Side): bigint => own.reduce((sum, line) => (line.side === side ? sum + (line.base ?? 0n) : sum), 0n);
    return { debit: on('debit'), credit: on('credit') };
  }

  account(code: string): ModelAccount | undefined {
    return this.byCode.get(code);
  }

  codeAt = ({ codes }: ModelAccount, position: number): string | undefined => last(codes, position)?.code;
  nameAt = ({ names }: ModelAccount, position: number): string | undefined => last(names, position)?.name;
  statusAt = ({ statuses }: ModelAccount, position: number): string | undefined => last(statuses, position)?.status;

  /** The last position recorded at an instant. */
  positionAt(instant: string): number {
    return Math.max(0, ...this.written.filter(({ recordedAt }) => recordedAt <= instant).map(({ position }) => position));
  }

  /** Debits and credits of an account per currency with a line, over lines up to a date and a position, sorted. */
  totals(
    account: ModelAccount,
    asOf = '9999',
    knownAt = this.position,
  ): { currency: string; scale: number; debit: bigint; credit: bigint }[] {
    const totals = new Map<string, { currency: string; scale: number; debit: bigint; credit: bigint }>();
    for (const { account: owner, date, position, currency, side, minor } of this.lines) {
      if (owner !== account || date > asOf || position > knownAt) continue;
      const total = totals.get(currency) ?? { currency, scale: this.scaleOf(currency) ?? 0, debit: 0n, credit: 0n };
      total[side] += minor;
      totals.set(currency, total);
    }
    return [...totals.values()].sort((a, b) => (min(a.currency, b.currency) === a.currency ? -1 : 1));
  }
}
