/**
 * What the events say: the section of that name in the format. Hides the state that is folded from them. Guarantees: whatever an
 * entry, an account event or a number says that the events before it contradict is a finding at its position; amounts are
 * integers (BigInt) throughout. The state grows with accounts, currencies and entries (an id each), and by 16 bytes with each
 * event (24 where changes since an earlier pack are told; ticks.mjs); events themselves are not held.
 */
import { canonical, lacks } from './json.mjs';
import { changeOf, factsOf, Ticks } from './ticks.mjs';

/**
 * @typedef {{ aggregateId: string, bookId: string, eventType: string, position: number, recordedAt: string, userId?: string, version:
 * number, data: Record<string, any>, metadata: Record<string, any> }} Event
 */
/**
 * All in minor units. `debit` and `credit`: all so far; the others: of lines up to the end of the range. `base…`: debit − credit of base
 * amounts. `known`, `baseKnown`: in the range, as known at the earlier pack.
 *
 * @typedef {{ debit: bigint, credit: bigint, opening: bigint, leftOut: bigint, inDebit: bigint, inCredit: bigint, baseOpening: bigint,
 * baseLeftOut: bigint, baseIn: bigint, known: bigint, baseKnown: bigint }} Figures
 */
/**
 * @typedef {{ id: string, code: string, name: string, type: string, subtype: string, normalSide: string, postable: boolean, parentId?: string, status:
 * 'open' | 'frozen' | 'closed', figures: Map<string, Figures> }} Account
 */
/** By currency. @typedef {Map<string, { debit: bigint, credit: bigint }>} Sums */
/** @typedef {{ from: string, to: string, yearFrom?: string, since?: number }} Range */

export const EVENTS = 'log/events.jsonl';
const SIDES = ['debit', 'credit'];
const TYPES = ['asset', 'liability', 'equity', 'income', 'expense', 'memorandum'];

/** What the fold reads of each event that it knows. @type {Record<string, Parameters<typeof lacks>[1]>} */
const SHAPES = {
  BookOpened: { baseCurrency: 'text', 'fx?': 'text', timeZone: 'text', name: 'text', 'fiscalYearStart?': 'text' },
  FiscalYearDefined: { label: 'text', from: 'date YYYY-MM-DD', to: 'date YYYY-MM-DD', 'given?': 'true or false', 'replaces?': 'list' },
  AccountOpened: {
    code: 'text',
    name: 'text',
    type: 'text',
    'subtype?': 'text',
    normalSide: 'text',
    postable: 'true or false',
    'parentId?': 'text',
  },
  AccountCodeChanged: { code: 'text' },
  AccountRenamed: { name: 'text' },
  AccountFrozen: {},
  AccountUnfrozen: {},
  AccountClosed: {},
  JournalEntryPosted: {
    journalCode: 'text',
    fiscalYear: 'text or whole number',
    number: 'whole number',
    entryType: 'text',
    effectiveDate: 'date YYYY-MM-DD',
    description: 'text',
    'document?': 'object',
    lines: 'list',
  },
  AccountDebited: {},
  AccountCredited: {},
  JournalEntryReversed: { by: 'text' },
  PeriodClosed: {
    'fiscalYear?': 'text or whole number',
    'period?': 'text or whole number',
    'level?': 'text',
    'position?': 'whole number',
  },
  PeriodReopeningRequested: { 'fiscalYear?': 'text or whole number', 'period?': 'text or whole number', 'level?': 'text' },
  PeriodReopened: { 'fiscalYear?': 'text or whole number', 'period?': 'text or whole number', 'level?': 'text' },
  PeriodReopeningDeclined: { 'fiscalYear?': 'text or whole number', 'period?': 'text or whole number', 'level?': 'text' },
};

/** @type {Parameters<typeof lacks>[1]} */
// biome-ignore format: a table
const LINE = {
  line: 'whole number', accountId: 'text', side: 'text', amount: 'amount in plain decimals', currency: 'text',
  'baseAmount?': 'amount in plain decimals', 'description?': 'text', 'reference?': 'text',
};

/** The decimals of each currency, learnt from the first amount in it: all others have as many. */
export class Currencies {
  /** @type {Map<string, number>} */
  #decimals = new Map();

  /** Minor units; undefined if the text has other decimals. @param {string} text @param {string} currency @returns {bigint | undefined} */
  minor(text, currency) {
    const point = text.indexOf('.');
    const decimals = point < 0 ? 0 : text.length - point - 1;
    const known = this.#decimals.get(currency);
    if (known === undefined) this.#decimals.set(currency, decimals);
    else if (known !== decimals) return undefined;
    return BigInt(point < 0 ? text : text.slice(0, point) + text.slice(point + 1));
  }

  /** Whether there was an amount in it. @param {string} currency */
  knows(currency) {
    return this.#decimals.has(currency);
  }

  /** @param {bigint} minor @param {string} currency @returns {string} */
  text(minor, currency) {
    const decimals = this.#decimals.get(currency) ?? 0;
    const digits = `${minor < 0n ? -minor : minor}`.padStart(decimals + 1, '0');
    const cut = digits.length - decimals;
    return `${minor < 0n ? '-' : ''}${digits.slice(0, cut)}${decimals > 0 ? `.${digits.slice(cut)}` : ''}`;
  }
}

/**
 * The fiscal years of the book, as the events have them.
 *
 * @typedef {{ label: string, from: string, to: string, given?: boolean, replaces?: string[] }} FiscalYear
 */
class Calendar {
  /** Where years begin that nobody has defined, MM-DD. @type {string | undefined} */
  start;
  /** @type {FiscalYear[]} */
  #years = [];
  #given = false;

  /** @param {FiscalYear} year */
  define(year) {
    const { label, given = false, replaces = [] } = year;
    this.#years = [...this.#years.filter((each) => each.label !== label && !replaces.includes(each.label)), year];
    this.#given ||= given;
  }

  /** The year that covers a day. @param {string} day @returns {FiscalYear | undefined} */
  defined(day) {
    return this.#years.find(({ from, to }) => from <= day && day <= to);
  }

  /**
   * The first day of the fiscal year of a day.
   *
   * @param {string} day
   * @returns {string | undefined | 'unknown'} undefined where it lies in none, 'unknown' where the events say nothing of fiscal years
   */
  beginning(day) {
    const known = this.defined(day);
    if (known || this.#given) return known?.from;
    if (this.start === undefined || !/^\d\d-\d\d$/.test(this.start)) return 'unknown';
    const year = Number(day.slice(0, 4));
    return `${`${this.start <= day.slice(5) ? year : year - 1}`.padStart(4, '0')}-${this.start}`;
  }
}

export class Books {
  /** By id. @type {Map<string, Account>} */
  accounts = new Map();
  currencies = new Currencies();
  /** Lines dated in the range, to be ticked off by the reports. */
  ticks = { ledger: new Ticks(), journal: new Ticks(), changes: new Ticks() };
  /** By which entry an entry was reversed, by their ids. @type {Map<string, string>} */
  reversals = new Map();
  calendar = new Calendar();
  /** Events that close and reopen periods. @type {Event[]} */
  locks = [];
  counts = { entries: 0, lines: 0, bases: 0 };
  /** Of entries dated in the range: as in the manifest. */
  totals = {
    entries: 0,
    lines: 0,
    /** @type {Sums} */
    currencies: new Map(),
    /** By JSON of journal code and fiscal year. @type {Map<string, { entries: number, first: number, last: number }>} */
    numbers: new Map(),
  };
  #range;
  #book;
  #findings;
  #columns;
  /** What the entry in hand changes: figures as they were before it. @type {Map<string, { id: string, currency: string, figures: Figures, before: bigint, baseBefore: bigint }>} */
  #changed = new Map();
  /** The last number, by JSON of journal code and fiscal year. @type {Map<string, number>} */
  #numbers = new Map();
  /** @type {Set<string>} */
  #entries = new Set();
  /**
   * The account events that must come next, in this order; those of the last entry may lie behind the end of the pack.
   *
   * @type {{ eventType: string, aggregateId: string, data: Record<string, unknown> }[]}
   */
  #awaited = [];

  /**
   * @param {Range & { since?: number, book: Record<string, any> }} manifest
   * @param {import('./findings.mjs').Findings} findings
   * @param {import('./ticks.mjs').Columns} columns of the reports that lines are ticked off in
   */
  constructor(manifest, findings, columns) {
    this.#columns = columns;
    this.#range = manifest;
    this.#book = manifest.book;
    this.#findings = findings;
  }

  /**
   * @param {{ position: number }} event
   * @param {string} what
   * @param {unknown} [expected]
   * @param {unknown} [found]
   * @param {string} [account] its code
   */
  #wrong({ position }, what, expected, found, account) {
    this.#findings.add('books', { file: EVENTS, line: position, position, ...(account && { account }) }, what, expected, found);
  }

  /** Whether the book tracks base amounts. */
  get tracked() {
    return this.#book.fx === 'tracked';
  }

  /** Folds the next event. @param {Event} event whose envelope is sound */
  take(event) {
    const { eventType: type, position } = event;
    if ((position === 1) !== (type === 'BookOpened')) this.#wrong(event, 'a log begins with BookOpened, which comes once', undefined, type);
    if (this.#takeAwaited(event)) return;
    const shape = Object.hasOwn(SHAPES, type) ? SHAPES[type] : undefined;
    const lack = shape && lacks(event.data, shape);
    if (lack) this.#wrong(event, `${type}: ${lack[0]}`, lack[1], lack[2]);
    if (!shape || lack) return;
    if (type === 'BookOpened') this.#open(event);
    else if (type === 'JournalEntryPosted') this.#post(event);
    else if (type === 'JournalEntryReversed') this.#reverse(event);
    else if (type === 'FiscalYearDefined') this.calendar.define(/** @type {any} */ (event.data));
    else if (type.startsWith('Period')) this.locks.push(event);
    else this.#account(event);
  }

  /** @param {Event} event */
  #open({ data }) {
    this.calendar.start = data.fiscalYearStart;
    for (const name of ['name', 'baseCurrency', 'fx', 'timeZone', 'entity']) {
      const [said, known] = [this.#book[name], data[name]];
      // A book that says nothing of foreign currencies is shown with what that means.
      if (name === 'fx' && known === undefined) continue;
      if (
        (said === undefined && known === undefined) ||
        (said !== undefined && known !== undefined && canonical(said) === canonical(known))
      )
        continue;
      this.#findings.add('books', { file: 'manifest.json' }, `book.${name} is not what BookOpened says`, known ?? 'nothing', said);
    }
  }

  /** @param {Event} event */
  #account(event) {
    const { aggregateId: id, eventType, data } = event;
    const account = this.accounts.get(id);
    if (eventType === 'AccountOpened') {
      const { code, name, type, subtype = '', normalSide, postable, parentId } = data;
      if (!TYPES.includes(type)) this.#wrong(event, 'the account has an unknown type', TYPES.join(', '), type, code);
      if (!SIDES.includes(normalSide)) this.#wrong(event, 'the account has an unknown normal side', SIDES.join(', '), normalSide, code);
      // A parent is always older than what is below it, so that going up always ends.
      const known = parentId === undefined || this.accounts.has(parentId);
      if (!known) this.#wrong(event, 'the account is below one that was never opened', undefined, parentId, code);
      const parent = known ? { parentId } : {};
      if (account) this.#wrong(event, 'the account is opened a second time', undefined, id, account.code);
      else this.accounts.set(id, { id, code, name, type, subtype, normalSide, postable, ...parent, status: 'open', figures: new Map() });
    } else if (!account) this.#wrong(event, `${eventType} on an account that was never opened`, undefined, id);
    else if (eventType === 'AccountCodeChanged') account.code = data.code;
    else if (eventType === 'AccountRenamed') account.name = data.name;
    else if (eventType === 'AccountClosed') account.status = 'closed';
    else if (account.status !== 'closed') account.status = eventType === 'AccountFrozen' ? 'frozen' : 'open';
  }

  /** @param {Event} event */
  #reverse(event) {
    const { aggregateId, data } = event;
    if (!this.#entries.has(aggregateId)) this.#wrong(event, 'an entry is reversed that was never posted', undefined, aggregateId);
    if (!this.#entries.has(data.by)) this.#wrong(event, 'the reversal names no entry before it', undefined, data.by);
    this.reversals.set(aggregateId, data.by);
  }

  /** @param {Event} event */
  #post(event) {
    const { aggregateId, data } = event;
    const { journalCode, fiscalYear, number, effectiveDate, lines } = data;
    const entry = `entry ${journalCode}/${fiscalYear}/${number}`;
    if (this.#entries.has(aggregateId)) this.#wrong(event, `${entry} is posted a second time`, undefined, aggregateId);
    this.#entries.add(aggregateId);
    this.counts.entries++;
    const series = JSON.stringify([journalCode, `${fiscalYear}`]);
    const due = (this.#numbers.get(series) ?? 0) + 1;
    if (number !== due) this.#wrong(event, `numbers of journal ${journalCode} in ${fiscalYear} are 1, 2, 3 … without a gap`, due, number);
    this.#numbers.set(series, number);
    const year = this.calendar.defined(effectiveDate);
    if (year && year.label !== `${fiscalYear}`)
      this.#wrong(event, `${entry} is dated in another fiscal year than it states: ${effectiveDate}`, year.label, `${fiscalYear}`);

    /** @type {Sums} */
    const sums = new Map();
    /** @type {Sums} */
    const bases = new Map();
    if (lines.length === 0) this.#wrong(event, `${entry} has no lines`);
    let allHaveBase = lines.length > 0;
    for (const [index, line] of lines.entries()) {
      /** @param {string} what @param {unknown} [expected] @param {unknown} [found] */
      const wrong = (what, expected, found) => this.#wrong(event, `${entry}, line ${index + 1}: ${what}`, expected, found);
      const lack = lacks(line, LINE);
      if (lack) wrong(...lack);
      else if (!SIDES.includes(line.side)) wrong('the side is unknown', SIDES.join(', '), line.side);
      if (lack || !SIDES.includes(line.side)) continue;
      const { accountId, side, amount, currency, baseAmount } = line;
      const minor = this.currencies.minor(amount, currency);
      const base = baseAmount === undefined ? undefined : this.currencies.minor(baseAmount, this.#book.baseCurrency);
      if (line.line !== index + 1) wrong('lines are numbered 1, 2, 3 …', index + 1, line.line);
      if (minor === undefined) wrong(`${currency} has other decimals`, `as many as ${this.currencies.text(0n, currency)}`, amount);
      else {
        add(sums, currency, side, minor);
        const account = this.accounts.get(accountId);
        if (account) this.#postLine(event, line, account, minor, base ?? 0n);
        else wrong('it is on an account that was never opened', undefined, accountId);
      }
      if (base === undefined) allHaveBase = false;
      else add(bases, this.#book.baseCurrency, side, base);
      if (base === undefined && baseAmount !== undefined)
        wrong('the base amount has other decimals than the base currency', undefined, baseAmount);
    }
    this.#tellChanges(event);
    const tracked = this.tracked && allHaveBase;
    if (tracked) this.counts.bases++;
    for (const [kind, each] of /** @type {const} */ ([
      ['', sums],
      ['base amounts in ', tracked ? bases : new Map()],
    ])) {
      for (const [currency, { debit, credit }] of each) {
        if (debit === credit) continue;
        const [debits, credits, difference] = [debit, credit, debit - credit].map((minor) => this.currencies.text(minor, currency));
        this.#wrong(
          event,
          `${entry} does not balance: ${kind}${currency}`,
          `debits equal to credits`,
          `debits ${debits}, credits ${credits}, difference ${difference}`,
        );
      }
    }
    if (effectiveDate >= this.#range.from && effectiveDate <= this.#range.to) this.#count(series, number, lines.length, sums);
  }

  /** The rows that tell what the entry in hand changed. @param {Event} event */
  #tellChanges(event) {
    let row = 0;
    for (const { id, currency, figures, before, baseBefore } of this.#changed.values()) {
      const after = figures.inDebit - figures.inCredit;
      const said = this.changeCells(currency, [before, after - before, after], [baseBefore, figures.baseIn - baseBefore, figures.baseIn]);
      this.ticks.changes.expect(event.position + ++row, [...changeOf(event, id, currency), ...said]);
    }
    this.#changed.clear();
  }

  /**
   * Figures before, change and after, in a currency and in base currency.
   *
   * @param {string} currency @param {bigint[]} own @param {bigint[]} base
   */
  changeCells(currency, own, base) {
    const texts = own.map((minor) => this.currencies.text(minor, currency));
    // How many decimals the base currency has may not be known yet where they are zero.
    return [
      ...texts,
      ...base.map((minor) => (!this.tracked ? '' : minor === 0n ? '0' : this.currencies.text(minor, this.#book.baseCurrency))),
    ];
  }

  /** Control totals of an entry in the range. @param {string} series @param {number} number @param {number} lines @param {Sums} sums */
  #count(series, number, lines, sums) {
    const { numbers, currencies } = this.totals;
    const { entries = 0, first = number, last = number } = numbers.get(series) ?? {};
    numbers.set(series, { entries: entries + 1, first: Math.min(first, number), last: Math.max(last, number) });
    this.totals.entries++;
    this.totals.lines += lines;
    for (const [currency, { debit, credit }] of sums) {
      add(currencies, currency, 'debit', debit);
      add(currencies, currency, 'credit', credit);
    }
  }

  /**
   * A line that can be folded: into its account, the account event that must follow, and the reports.
   *
   * @param {Event} event
   * @param {any} posted
   * @param {Account} account
   * @param {bigint} minor
   * @param {bigint} baseMinor
   */
  #postLine(event, posted, account, minor, baseMinor) {
    const { line, accountId, side, amount, currency } = posted;
    const { aggregateId: entryId, position: entryPosition, data } = event;
    const { from, to, yearFrom, since } = this.#range;
    const effectiveDate = data.effectiveDate;
    const figures = account.figures.get(currency) ?? {
      ...{ debit: 0n, credit: 0n, opening: 0n, leftOut: 0n, inDebit: 0n, inCredit: 0n },
      ...{ baseOpening: 0n, baseLeftOut: 0n, baseIn: 0n, known: 0n, baseKnown: 0n },
    };
    account.figures.set(currency, figures);
    figures[side === 'debit' ? 'debit' : 'credit'] += minor;
    const base = side === 'debit' ? baseMinor : -baseMinor;
    if (effectiveDate < from) {
      const ofEarlierYear = yearFrom !== undefined && effectiveDate < yearFrom && (account.type === 'income' || account.type === 'expense');
      figures[ofEarlierYear ? 'leftOut' : 'opening'] += side === 'debit' ? minor : -minor;
      figures[ofEarlierYear ? 'baseLeftOut' : 'baseOpening'] += base;
    } else if (effectiveDate <= to) {
      if (entryPosition <= (since ?? entryPosition)) {
        figures.known += side === 'debit' ? minor : -minor;
        figures.baseKnown += base;
      } else {
        const key = JSON.stringify([accountId, currency]);
        const before = { id: accountId, currency, figures, before: figures.inDebit - figures.inCredit, baseBefore: figures.baseIn };
        if (!this.#changed.has(key)) this.#changed.set(key, before);
      }
      figures[side === 'debit' ? 'inDebit' : 'inCredit'] += minor;
      figures.baseIn += base;
      const facts = factsOf(event, posted, this.tracked);
      for (const report of /** @type {const} */ (['ledger', 'journal'])) {
        const said = this.#columns[report].map((name) => facts[report][name] ?? '');
        this.ticks[report].expect(entryPosition + line, said);
      }
    }
    this.counts.lines++;
    const [totalDebit, totalCredit] = [figures.debit, figures.credit].map((total) => this.currencies.text(total, currency));
    this.#awaited.push({
      eventType: side === 'debit' ? 'AccountDebited' : 'AccountCredited',
      aggregateId: accountId,
      data: { entryId, entryPosition, line, effectiveDate, amount, currency, totalDebit, totalCredit },
    });
  }

  /** Compares an account event with the line that it must belong to. @param {Event} event @returns {boolean} whether it was one */
  #takeAwaited(event) {
    const { eventType, aggregateId, data } = event;
    const isAccountEvent = eventType === 'AccountDebited' || eventType === 'AccountCredited';
    const awaited = this.#awaited.shift();
    const code = this.accounts.get(awaited?.aggregateId ?? aggregateId)?.code;
    if (!awaited) {
      if (isAccountEvent) this.#wrong(event, `${eventType} belongs to no line of an entry right before it`, undefined, data.entryId, code);
      return isAccountEvent;
    }
    if (!isAccountEvent) {
      this.#awaited = [];
      this.#wrong(event, 'account events of the entry before are not there', awaited, eventType, code);
      return false;
    }
    /** @type {Record<string, unknown>} */
    const found = { ...data, eventType, aggregateId };
    const expected = { eventType: awaited.eventType, aggregateId: awaited.aggregateId, ...awaited.data };
    for (const [name, value] of Object.entries(expected)) {
      if (found[name] === value) continue;
      const { line, entryPosition } = awaited.data;
      this.#wrong(
        event,
        `${eventType} disagrees with line ${line} of the entry at position ${entryPosition}: ${name}`,
        value,
        found[name],
        code,
      );
      break;
    }
    return true;
  }
}

/** @param {Sums} sums @param {string} currency @param {'debit' | 'credit'} side @param {bigint} minor */
function add(sums, currency, side, minor) {
  const sum = sums.get(currency) ?? { debit: 0n, credit: 0n };
  sum[side] += minor;
  sums.set(currency, sum);
}
