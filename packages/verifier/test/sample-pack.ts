/**
 * Packs to be verified: a small book with everything that the format knows, written from docs/AUDIT-PACK.md with means of its own (recursive
 * definitions where the verifier computes step by step, lists where it streams), so that both can be wrong only in different ways.
 *
 * A pack is made in steps that a spec can enter anywhere: events → files → manifest and its note → archive.
 */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { crc32, deflateRawSync } from 'node:zlib';
import canonicalizeModule from 'canonicalize';

// The package is CommonJS with its function as `default` for TypeScript's nodenext.
export const canonicalize = canonicalizeModule as unknown as (value: unknown) => string;

export type Files = Map<string, Buffer>;
// biome-ignore lint/suspicious/noExplicitAny: specs write into events whatever they like
export type Event = any;

export const sha256 = (...parts: Uint8Array[]) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();

// --- RFC 9162, section 2.1, as it is defined ------------------------------------------------------------------------

const split = (n: number) => 2 ** Math.floor(Math.log2(n - 1));

export function treeRoot(leaves: Buffer[]): Buffer {
  const [first] = leaves;
  if (!first) return sha256();
  if (leaves.length === 1) return first;
  const k = split(leaves.length);
  return sha256(Buffer.of(1), treeRoot(leaves.slice(0, k)), treeRoot(leaves.slice(k)));
}

export function consistencyProof(m: number, leaves: Buffer[], whole = true): Buffer[] {
  if (m === leaves.length) return whole ? [] : [treeRoot(leaves)];
  const k = split(leaves.length);
  const [left, right] = [leaves.slice(0, k), leaves.slice(k)];
  return m <= k ? [...consistencyProof(m, left, whole), treeRoot(right)] : [...consistencyProof(m - k, right, false), treeRoot(left)];
}

export const leafOf = (event: Event) => sha256(Buffer.of(0), Buffer.from(canonicalize(event)));

// --- keys and notes -------------------------------------------------------------------------------------------------

export interface TestKey {
  text: string;
  name: string;
  id: Buffer;
  private: KeyObject;
  witness: boolean;
}

/** A key that is the same in every run. */
export function testKey(seed: string, { name = 'books.example', witness = false } = {}): TestKey {
  const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), sha256(Buffer.from(seed))]);
  const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  const raw = createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(-32);
  const typed = Buffer.concat([Buffer.of(witness ? 4 : 1), raw]);
  const id = sha256(Buffer.from(`${name}\n`), typed).subarray(0, 4);
  return { text: `${name}+${id.toString('hex')}+${typed.toString('base64')}`, name, id, private: privateKey, witness };
}

const WITNESSED_AT = 1_767_312_000;

export function signNote(text: string, ...keys: TestKey[]): string {
  const lines = keys.map(({ name, id, private: key, witness }) => {
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(BigInt(WITNESSED_AT));
    const signature = witness
      ? Buffer.concat([time, sign(null, Buffer.from(`cosignature/v1\ntime ${WITNESSED_AT}\n${text}`), key)])
      : sign(null, Buffer.from(text), key);
    return `— ${name} ${Buffer.concat([id, signature]).toString('base64')}\n`;
  });
  return `${text}\n${lines.join('')}`;
}

export const first = testKey('the first key');
export const second = testKey('the second key');
export const stranger = testKey('a key of nobody');
export const witness = testKey('a witness', { name: 'witness.example', witness: true });

export const checkpointText = (origin: string, leaves: Buffer[]) => `${origin}\n${leaves.length}\n${treeRoot(leaves).toString('base64')}\n`;

// --- events ---------------------------------------------------------------------------------------------------------

interface LineOf {
  account: string;
  debit?: string;
  credit?: string;
  currency?: string;
  base?: string;
  text?: string;
  reference?: string;
}

/** Writes the events that a book would have. Amounts are texts with two decimals, but for JPY, which has none. */
export class BookWriter {
  readonly events: Event[] = [];
  readonly #versions = new Map<string, number>();
  readonly #numbers = new Map<string, number>();
  readonly #totals = new Map<string, { debit: bigint; credit: bigint }>();

  constructor(
    readonly id = 'acme',
    readonly opening: object = {
      baseCurrency: 'EUR',
      fx: 'tracked',
      timeZone: 'Europe/Vienna',
      name: 'Acme & Söhne',
      entity: { lei: 'X' },
    },
  ) {
    this.append(id, 'Book', 'BookOpened', opening);
  }

  append(aggregateId: string, aggregateType: string, eventType: string, data: object, metadata: object = {}): Event {
    const version = (this.#versions.get(aggregateId) ?? 0) + 1;
    this.#versions.set(aggregateId, version);
    const position = this.events.length + 1;
    const event = {
      aggregateId,
      aggregateType,
      bookId: this.id,
      data,
      eventId: `event-${position}`,
      eventType,
      eventVersion: 1,
      metadata: { commandId: `c${position}`, 'a"\u2028ü\u{1f600}': [1e21, 0.000001, null, true], ...metadata },
      position,
      recordedAt: `2026-07-01T10:00:${String(Math.floor(position / 10) % 60).padStart(2, '0')}.000${String(position % 1000).padStart(3, '0')}Z`,
      ...(position % 2 === 0 ? { userId: 'ann' } : {}),
      version,
    };
    this.events.push(event);
    return event;
  }

  account(code: string, type: string, more: object = {}) {
    const normalSide = type === 'asset' || type === 'expense' || type === 'memorandum' ? 'debit' : 'credit';
    this.append(`id-${code}`, 'Account', 'AccountOpened', { code, name: `Account ${code}`, type, normalSide, postable: true, ...more });
  }

  post(
    journalCode: string,
    effectiveDate: string,
    lines: LineOf[],
    description = `Entry of ${effectiveDate}`,
    more: object = {},
    metadata: object = {},
  ): string {
    const fiscalYear = effectiveDate.slice(0, 4);
    const number = (this.#numbers.get(journalCode + fiscalYear) ?? 0) + 1;
    this.#numbers.set(journalCode + fiscalYear, number);
    const id = `entry-${this.events.length + 1}`;
    const written = lines.map(({ account, debit, credit, currency = 'EUR', base, text, reference }, index) => ({
      line: index + 1,
      accountId: `id-${account}`,
      side: debit === undefined ? 'credit' : 'debit',
      amount: debit ?? credit ?? '',
      currency,
      ...(base === undefined ? {} : { baseAmount: base }),
      ...(text === undefined ? {} : { description: text }),
      ...(reference === undefined ? {} : { reference }),
    }));
    const data = {
      journalCode,
      fiscalYear,
      period: Number(effectiveDate.slice(5, 7)),
      number,
      entryType: 'standard',
      effectiveDate,
      description,
      ...more,
      lines: written,
    };
    const { position } = this.append(id, 'JournalEntry', 'JournalEntryPosted', data, metadata);
    for (const { line, accountId, side, amount, currency } of written) {
      const key = `${accountId} ${currency}`;
      const total = this.#totals.get(key) ?? { debit: 0n, credit: 0n };
      total[side as 'debit' | 'credit'] += minorOf(amount);
      this.#totals.set(key, total);
      this.append(accountId, 'Account', side === 'debit' ? 'AccountDebited' : 'AccountCredited', {
        entryId: id,
        entryPosition: position,
        line,
        effectiveDate,
        amount,
        currency,
        totalDebit: textOf(total.debit, currency),
        totalCredit: textOf(total.credit, currency),
      });
    }
    return id;
  }

  reverse(entryId: string, journalCode: string, date: string, lines: LineOf[]) {
    const by = this.post(journalCode, date, lines, 'Reversal, "as agreed"');
    this.append(entryId, 'JournalEntry', 'JournalEntryReversed', { by });
  }

  book(eventType: string, data: object, metadata: object = {}) {
    this.append(this.id, 'Book', eventType, data, metadata);
  }
}

const minorOf = (text: string) => BigInt(`${text}`.replace('.', ''));
function textOf(minor: bigint, currency: string): string {
  if (currency === 'JPY') return `${minor}`;
  const digits = `${minor < 0n ? -minor : minor}`.padStart(3, '0');
  return `${minor < 0n ? '-' : ''}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

/** Trees of accounts, three currencies, a reversal, changed codes, a frozen account, periods that close and reopen, two journals and years. */
export function sampleBook(): BookWriter {
  const book = new BookWriter();
  book.account('1000', 'asset', { postable: false });
  book.account('1100', 'asset', { parentId: 'id-1000', subtype: 'cash' });
  book.account('1200', 'asset', { parentId: 'id-1000' });
  book.account('1210', 'asset', { parentId: 'id-1200' });
  book.account('3000', 'equity');
  book.account('4000', 'income');
  book.account('5000', 'expense');
  book.account('9000', 'memorandum');
  book.account('9100', 'memorandum');
  book.account('8888', 'liability');
  book.post(
    'GJ',
    '2025-11-30',
    [
      { account: '1100', debit: '1000.00' },
      { account: '3000', credit: '1000.00' },
    ],
    'Founding',
  );
  book.post('GJ', '2025-12-15', [
    { account: '5000', debit: '70.05' },
    { account: '1100', credit: '70.05' },
  ]);
  book.post('SA', '2026-01-20', [
    { account: '1210', debit: '300.00', currency: 'USD' },
    { account: '4000', credit: '300.00', currency: 'USD' },
  ]);
  const wrong = book.post(
    'GJ',
    '2026-02-01',
    [
      { account: '5000', debit: '400.00' },
      { account: '1100', credit: '400.00' },
    ],
    'Rent, two\r\nlines',
  );
  book.append('rate-USD', 'ExchangeRate', 'ExchangeRateRecorded', { rate: '1.0825' });
  book.reverse(wrong, 'GJ', '2026-02-01', [
    { account: '5000', credit: '400.00' },
    { account: '1100', debit: '400.00' },
  ]);
  book.post(
    'GJ',
    '2026-02-03',
    [
      { account: '5000', debit: '450.00', reference: 'R-1/1' },
      { account: '1100', credit: '450.00' },
    ],
    undefined,
    { reference: 'R-1', document: { type: 'invoice', number: 'I-7', date: '2026-02-02' } },
    { onBehalfOf: 'bea' },
  );
  book.append('id-1210', 'Account', 'AccountCodeChanged', { code: '1215' });
  book.append('id-5000', 'Account', 'AccountRenamed', { name: 'Rent, and "more"' });
  book.append('id-8888', 'Account', 'AccountFrozen', {});
  book.book('PeriodClosed', { fiscalYear: '2025', period: 12, level: 'hard', position: book.events.length }, { onBehalfOf: 'bea' });
  book.book('PeriodClosed', { fiscalYear: '2026', period: 1, level: 'soft' });
  book.book('PeriodReopeningRequested', { fiscalYear: '2026', period: 1, level: 'soft' }, { reason: 'a late invoice' });
  book.book('PeriodReopened', { fiscalYear: '2026', period: 1, level: 'soft' });
  book.book('PeriodReopeningRequested', { fiscalYear: '2025', period: 12, level: 'hard' }, { reason: 'tax' });
  book.book('PeriodReopeningDeclined', { fiscalYear: '2025', period: 12, level: 'hard' });
  book.post('SA', '2026-03-01', [
    { account: '1210', debit: '100.00', currency: 'USD', base: '92.38' },
    { account: '1100', credit: '92.38', base: '92.38' },
    { account: '1100', debit: '50.00', base: '50.00' },
    { account: '4000', credit: '100.00', currency: 'USD', base: '92.38' },
    { account: '3000', debit: '42.38', base: '42.38', text: 'A line with a text of its own' },
    { account: '4000', credit: '0.00', base: '0.00' },
  ]);
  book.post('GJ', '2026-03-31', [
    { account: '9000', debit: '12', currency: 'JPY' },
    { account: '9100', credit: '12', currency: 'JPY' },
  ]);
  book.post(
    'GJ',
    '2026-01-31',
    [
      { account: '5000', debit: '33.00' },
      { account: '1100', credit: '33.00' },
    ],
    'Dated before, recorded later',
  );
  book.post(
    'GJ',
    '2026-08-01',
    [
      { account: '5000', debit: '1.00' },
      { account: '1100', credit: '1.00' },
    ],
    'Behind the range',
  );
  return book;
}

/** What the log has beyond the pack, so that the proof has something to prove. */
function further(book: BookWriter): Event[] {
  const { length } = book.events;
  book.post('GJ', '2026-08-02', [
    { account: '5000', debit: '2.00' },
    { account: '1100', credit: '2.00' },
  ]);
  book.post('GJ', '2026-08-03', [
    { account: '5000', debit: '3.00' },
    { account: '1100', credit: '3.00' },
  ]);
  return book.events.splice(length);
}

// --- reports, from lists --------------------------------------------------------------------------------------------

const RANGE = { from: '2026-02-01', to: '2026-06-30', yearFrom: '2026-01-01' };

const cell = (value: unknown) => (/[",\r\n]/.test(`${value}`) ? `"${`${value}`.replaceAll('"', '""')}"` : `${value}`);
const csv = (rows: unknown[][]) => Buffer.from(rows.map((row) => `${row.map(cell).join(',')}\r\n`).join(''));

function reports(events: Event[], { from, to, yearFrom }: { from: string; to: string; yearFrom?: string }): [string, Buffer][] {
  const stamp = [events.length, 1];
  const accounts = new Map<string, Event>();
  const lines: Event[] = [];
  const reversed = new Map(
    events.filter(({ eventType }) => eventType === 'JournalEntryReversed').map(({ aggregateId, data }) => [aggregateId, data.by]),
  );
  for (const { eventType, aggregateId, data, position, recordedAt, userId, metadata } of events) {
    const account = accounts.get(aggregateId);
    if (eventType === 'AccountOpened') accounts.set(aggregateId, { id: aggregateId, status: 'active', ...data });
    else if (!account && /^Account(Code|Ren|Fro|Unf|Clo)/.test(eventType)) continue;
    else if (eventType === 'AccountCodeChanged') account.code = data.code;
    else if (eventType === 'AccountRenamed') account.name = data.name;
    else if (eventType === 'AccountFrozen') account.status = 'frozen';
    else if (eventType === 'AccountUnfrozen') account.status = 'active';
    else if (eventType === 'AccountClosed') account.status = 'closed';
    else if (eventType === 'JournalEntryPosted')
      for (const line of data.lines)
        lines.push({
          ...{ ...data, ...line, entryText: data.description, lineText: line.description, entryReference: data.reference },
          ...{ entryId: aggregateId, position, recordedAt, userId, onBehalfOf: metadata.onBehalfOf, reversedBy: reversed.get(aggregateId) },
        });
  }
  const all = [...accounts.values()].sort((a, b) => (a.code < b.code ? -1 : 1));
  const currencies = [...new Set(lines.map((line) => line.currency as string))].sort();
  const isResult = (account: Event) => account.type === 'income' || account.type === 'expense';
  const net = (list: Event[]) => list.reduce((sum: bigint, { side, amount }) => sum + (side === 'debit' ? 1n : -1n) * minorOf(amount), 0n);
  const tracked = events[0].data.fx === 'tracked';
  const base = (list: Event[]) =>
    tracked ? textOf(net(list.map((line) => ({ ...line, amount: line.baseAmount ?? '0.00' }))), events[0].data.baseCurrency) : '';
  const ofSide = (list: Event[], side: string) =>
    list.filter((line) => line.side === side).reduce((sum: bigint, { amount }) => sum + minorOf(amount), 0n);
  const inRange = (line: Event) => line.effectiveDate >= from && line.effectiveDate <= to;
  const isLeftOut = (line: Event) => yearFrom !== undefined && line.effectiveDate < yearFrom && isResult(accounts.get(line.accountId));
  const isBefore = (line: Event) => line.effectiveDate < from && !isLeftOut(line);
  const figures = (list: Event[]) => {
    const [opening, debit, credit] = [
      net(list.filter(isBefore)),
      ofSide(list.filter(inRange), 'debit'),
      ofSide(list.filter(inRange), 'credit'),
    ];
    return [opening, debit, credit, debit - credit, opening + debit - credit];
  };
  const isBelow = (id: string, above: string): boolean =>
    id === above || (accounts.get(id)?.parentId !== undefined && isBelow(accounts.get(id).parentId, above));

  const chart = all.map(({ code, name, type, subtype = '', normalSide, postable, parentId, status, id }) => [
    code,
    name,
    type,
    subtype,
    normalSide,
    postable,
    accounts.get(parentId)?.code ?? '',
    status,
    id,
    ...stamp,
  ]);

  const balance: unknown[][] = [];
  const addRow = (start: unknown[], currency: string, values: bigint[]) => {
    if (values.some((value) => value !== 0n))
      balance.push([...start, currency, ...values.map((value) => textOf(value, currency)), ...stamp]);
  };
  for (const kind of ['account', 'memorandum']) {
    for (const { id, code, name, type } of all.filter((account) => (account.type === 'memorandum') === (kind === 'memorandum'))) {
      for (const currency of currencies) {
        addRow(
          [kind, code, name, type, 1],
          currency,
          figures(lines.filter((line) => line.currency === currency && isBelow(line.accountId, id))),
        );
      }
    }
    for (const currency of currencies) {
      const mine = lines.filter(
        (line) => line.currency === currency && (accounts.get(line.accountId).type === 'memorandum') === (kind === 'memorandum'),
      );
      const leftOut = net(mine.filter(isLeftOut));
      if (kind === 'account') addRow(['retainedEarnings', '', '', '', ''], currency, [leftOut, 0n, 0n, 0n, leftOut]);
      const sums = figures(mine).map((value, index) => value + (index === 0 || index === 4 ? leftOut : 0n));
      addRow([kind === 'account' ? 'total' : 'memorandumTotal', '', '', '', ''], currency, sums);
    }
  }

  const ledger: unknown[][] = [];
  for (const { id, code, name, type } of all) {
    const mine = lines.filter((line) => line.accountId === id && line.effectiveDate <= to);
    const used = currencies.filter((currency) => mine.some((line) => line.currency === currency));
    const start = [code, name, type];
    /** Lines that a balance is made of, by currency. */
    const running = new Map(used.map((currency) => [currency, mine.filter((line) => line.currency === currency && isBefore(line))]));
    const state = (row: string) => {
      for (const currency of used)
        ledger.push([
          row,
          ...start,
          '',
          '',
          '',
          '',
          '',
          '',
          '',
          '',
          currency,
          '',
          '',
          textOf(net(running.get(currency) ?? []), currency),
          ...['', '', base(running.get(currency) ?? [])],
          ...stamp,
        ]);
    };
    state('opening');
    const sorted = mine
      .filter(inRange)
      .sort((a, b) =>
        a.effectiveDate < b.effectiveDate ? -1 : a.effectiveDate > b.effectiveDate ? 1 : a.position - b.position || a.line - b.line,
      );
    for (const line of sorted) {
      const {
        effectiveDate,
        journalCode,
        fiscalYear,
        number,
        entryId,
        position,
        entryType,
        description,
        reference = '',
        side,
        amount,
        baseAmount = '',
        currency,
      } = line;
      running.set(currency, [...(running.get(currency) ?? []), line]);
      ledger.push([
        'line',
        ...start,
        effectiveDate,
        `${journalCode}/${fiscalYear}/${number}`,
        entryId,
        line.line,
        position,
        entryType,
        description,
        reference,
        currency,
        side === 'debit' ? amount : '',
        side === 'credit' ? amount : '',
        textOf(net(running.get(currency) ?? []), currency),
        ...(tracked ? [side === 'debit' ? baseAmount : '', side === 'credit' ? baseAmount : ''] : ['', '']),
        base(running.get(currency) ?? []),
        ...stamp,
      ]);
    }
    state('closing');
  }
  for (const currency of currencies) {
    const leftOut = net(lines.filter((line) => line.currency === currency && isLeftOut(line)));
    if (leftOut === 0n) continue;
    const cells = ['retainedEarnings', '', 'Earnings of earlier years', '', '', '', '', '', '', '', '', '', currency, '', ''];
    ledger.push([
      ...[...cells, textOf(leftOut, currency), '', ''],
      base(lines.filter((line) => line.currency === currency && isLeftOut(line))),
      ...stamp,
    ]);
  }

  const order = (a: Event, b: Event) =>
    a.journalCode + a.fiscalYear < b.journalCode + b.fiscalYear
      ? -1
      : a.journalCode + a.fiscalYear > b.journalCode + b.fiscalYear
        ? 1
        : a.number - b.number || a.line - b.line;
  const journal = lines
    .filter(inRange)
    .sort(order)
    .map((line) => [
      'line',
      line.journalCode,
      line.fiscalYear,
      line.number,
      line.effectiveDate,
      line.recordedAt,
      line.entryId,
      line.position,
      line.entryType,
      line.entryText,
      ...[line.entryReference, line.document?.type, line.document?.number, line.document?.date].map((each) => each ?? ''),
      ...[line.userId, line.onBehalfOf, line.reversedBy].map((each) => each ?? ''),
      line.line,
      accounts.get(line.accountId).code,
      line.side === 'debit' ? line.amount : '',
      line.side === 'credit' ? line.amount : '',
      line.currency,
      ...[line.baseAmount, line.lineText].map((each) => each ?? ''),
      ...stamp,
    ]);
  const locks = events
    .filter(({ eventType }) => /^Period(Closed|Reopen)/.test(eventType))
    .map(({ position, recordedAt, eventType, userId = '', data, metadata }) => [
      position,
      recordedAt,
      eventType,
      data.fiscalYear,
      data.period,
      data.level,
      data.position ?? '',
      userId,
      metadata.onBehalfOf ?? '',
      metadata.reason ?? '',
    ]);
  const head = (names: string, ...more: string[]) => [...names.split(','), ...more];
  const stamped = ['position', 'reportVersion'];
  return [
    ['chart-of-accounts.csv', csv([head('code,name,type,subtype,normalSide,postable,parent,status,id', ...stamped), ...chart])],
    [
      'reports/trial-balance.csv',
      csv([head('row,account,name,type,level,currency,opening,debit,credit,net,closing', ...stamped), ...balance]),
    ],
    [
      'reports/general-ledger.csv',
      csv([
        head(
          'row,account,name,type,date,number,entryId,line,entryPosition,entryType,description,reference,currency,debit,credit,balance,baseDebit,baseCredit,baseBalance',
          ...stamped,
        ),
        ...ledger,
      ]),
    ],
    [
      'reports/journal.csv',
      csv([
        head(
          'row,journalCode,fiscalYear,number,date,recordedAt,entryId,entryPosition,entryType,description,reference,documentType,documentNumber,documentDate,userId,onBehalfOf,reversedBy,line,account,debit,credit,currency,baseAmount,lineDescription',
          ...stamped,
        ),
        ...journal,
      ]),
    ],
    [
      'reports/period-locks.csv',
      csv([head('position,recordedAt,event,fiscalYear,period,level,closedAtPosition,userId,onBehalfOf,reason'), ...locks]),
    ],
  ];
}

/** What changed in the range since a position, from lists: every figure is a sum over what was known before and after. */
function changesSince(events: Event[], { from, to }: { from: string; to: string }, since: number): Buffer {
  const codes = new Map(events.filter(({ eventType }) => /^Account(Opened|CodeChanged)$/.test(eventType)).map(({ aggregateId, data }) => [aggregateId, data.code as string]));
  const reversed = new Map(events.filter(({ eventType }) => eventType === 'JournalEntryReversed').map(({ aggregateId, data }) => [aggregateId, data.by]));
  const entries = events.filter(({ eventType, data }) => eventType === 'JournalEntryPosted' && data.effectiveDate >= from && data.effectiveDate <= to);
  const tracked = events[0].data.fx === 'tracked';
  const sum = (upTo: number, id: string, currency: string, member: string) =>
    entries
      .filter(({ position }) => position <= upTo)
      .flatMap(({ data }) => data.lines as Event[])
      .filter((line) => line.accountId === id && line.currency === currency)
      .reduce((total: bigint, line) => total + (line.side === 'debit' ? 1n : -1n) * minorOf(line[member] ?? '0.00'), 0n);
  const figures = (before: number, after: number, id: string, currency: string) =>
    [['amount', currency], ['baseAmount', 'EUR']].flatMap(([member = '', shown = '']) => {
      const [was, is] = [sum(before, id, currency, member), sum(after, id, currency, member)];
      return member === 'amount' || tracked ? [was, is - was, is].map((minor) => textOf(minor, shown)) : ['', '', ''];
    });
  const keysOf = (lines: Event[]) => [...new Set(lines.map(({ accountId, currency }) => JSON.stringify([accountId, currency])))].map((key) => JSON.parse(key) as [string, string]);
  const later = entries.filter(({ position }) => position > since);
  const rows = later.flatMap(({ aggregateId, position, recordedAt, userId = '', metadata, data }) => {
    const entry = ['entry', position, recordedAt, aggregateId, `${data.journalCode}/${data.fiscalYear}/${data.number}`, data.effectiveDate, data.entryType, data.description];
    const who = [userId, metadata.onBehalfOf ?? '', metadata.reason ?? '', '', '', reversed.get(aggregateId) ?? ''];
    return keysOf(data.lines).map(([id, currency]) => [...entry, ...who, codes.get(id), currency, ...figures(position - 1, position, id, currency), since, events.length, 1]);
  });
  const all = keysOf(later.flatMap(({ data }) => data.lines as Event[])).map(([id, currency]) => [codes.get(id), currency, ...figures(since, events.length, id, currency)]);
  const changed = all.filter(([, , before, , after, baseBefore, , baseAfter]) => before !== after || baseBefore !== baseAfter);
  const head = 'row,entryPosition,recordedAt,entryId,number,date,entryType,description,userId,onBehalfOf,reason,reverses,corrects,reversedBy,account,currency,before,change,after,baseBefore,baseChange,baseAfter,sincePosition,position,reportVersion';
  return csv([head.split(','), ...rows, ...changed.map((row) => ['account', ...Array<string>(13).fill(''), ...row, since, events.length, 1])]);
} // biome-ignore format: a builder

// --- files and their manifest ---------------------------------------------------------------------------------------

const keyText = (number: number, key: TestKey, before: TestKey | undefined, at: string) =>
  `book-keeper signing key/v1\nkey ${number} ${key.text}\nsince ${at}\nafter ${before?.text ?? '-'}\nby ${before ? 'ann' : '-'}\nreason ${JSON.stringify(before ? 'the yearly "change"' : 'the first')}\n`;

/** Rows of log/keys.json. */
export function keyRows(keys: TestKey[], signers = (index: number) => keys.slice(Math.max(0, index - 1), index + 1)) {
  return keys.map((key, index) => {
    const activatedAt = `2026-0${index + 1}-01T00:00:00.000000Z`;
    return {
      number: index + 1,
      key: key.text,
      activatedAt,
      statement: signNote(keyText(index + 1, key, keys[index - 1], activatedAt), ...signers(index)),
    };
  });
}

/** A row of log/names.json behind the first, for events that were given up. */
export function laterName(number: number, origin: string, before: string, size: number, lost: string, key: TestKey, book = 'acme') {
  const recordedAt = '2026-07-01T11:00:00.000000Z';
  const text = `book-keeper log name/v1\nname ${number} of ${book} ${origin}\nsince ${recordedAt}, from ${size} events on\nafter ${before}\nby ann\nreason "the disk burnt"\nlost ${JSON.stringify(lost)}\n`;
  return { number, origin, size, recordedAt, statement: signNote(text, key) };
}

export interface PackOptions {
  range?: { from: string; to: string; yearFrom?: string };
  /** Position of the earlier pack that changes are told since. */
  since?: number;
  /** Rows of files, in place of the usual ones. */
  keys?: object[];
  names?: object[];
  /** Notes of log/checkpoints.jsonl, from the leaves of the whole log. */
  checkpoints?: (leaves: Buffer[], origin: string) => string[];
  /** Events behind the pack. */
  beyond?: Event[];
  signer?: TestKey;
}

export const ORIGIN = 'books.example/acme';

/** Checkpoints of 12 events (first key), 30 (with a witness), the pack's and the whole log's (second key). */
const usualCheckpoints = (position: number) => (leaves: Buffer[], origin: string) => [
  ...(position > 12 ? [signNote(checkpointText(origin, leaves.slice(0, 12)), first)] : []),
  ...(position > 30 ? [signNote(checkpointText(origin, leaves.slice(0, 30)), first, witness)] : []),
  signNote(checkpointText(origin, leaves.slice(0, position)), second),
  ...(leaves.length > position ? [signNote(checkpointText(origin, leaves), second)] : []),
];

const jsonl = (rows: unknown[]) => Buffer.from(rows.map((row) => `${canonicalize(row)}\n`).join(''));
const sizeOf = (note: string) => Number(note.split('\n')[1]);

/** All files of a pack, sealed. */
export function packOf(events: Event[], options: PackOptions = {}): Files {
  const { range = RANGE, keys = keyRows([first, second]), beyond = [], signer = second } = options;
  const book = events[0].bookId;
  const names = options.names ?? [{ number: 1, origin: `books.example/${book}`, size: 0, recordedAt: events[0].recordedAt }];
  const origin = (names.at(-1) as { origin: string }).origin;
  const leaves = [...events, ...beyond].map(leafOf);
  const notes = (options.checkpoints ?? usualCheckpoints(events.length))(leaves, origin);
  const size = sizeOf(notes.at(-1) ?? '');
  const proof = size < events.length ? [] : consistencyProof(events.length, leaves.slice(0, size)).map((hash) => hash.toString('base64'));
  const entries = events.filter(
    ({ eventType, data }) => eventType === 'JournalEntryPosted' && data.effectiveDate >= range.from && data.effectiveDate <= range.to,
  );
  const lines = entries.flatMap(({ data }) => data.lines as Event[]);
  const series = [...new Set(entries.map(({ data }) => JSON.stringify([data.journalCode, data.fiscalYear])))].sort();
  const sum = (currency: string, side: string) =>
    textOf(
      lines
        .filter((line) => line.currency === currency && line.side === side)
        .reduce((total: bigint, { amount }) => total + minorOf(amount), 0n),
      currency,
    );
  const manifest = {
    format: 'book-keeper audit pack/v1',
    book: { id: book, ...events[0].data },
    origin: notes.at(-1)?.split('\n')[0],
    position: events.length,
    recordedAt: events.at(-1).recordedAt,
    ...range,
    ...(options.since === undefined ? {} : { since: options.since }),
    release: '1.2.3',
    checkpoint: { size, root: treeRoot(leaves.slice(0, size)).toString('base64') },
    totals: {
      events: events.length,
      entries: entries.length,
      lines: lines.length,
      currencies: [...new Set(lines.map((line) => line.currency as string))]
        .sort()
        .map((currency) => ({ currency, debit: sum(currency, 'debit'), credit: sum(currency, 'credit') })),
      numbers: series.map((each) => {
        const [journalCode, fiscalYear] = JSON.parse(each);
        const mine = entries
          .filter(({ data }) => data.journalCode === journalCode && data.fiscalYear === fiscalYear)
          .map(({ data }) => data.number as number);
        return { journalCode, fiscalYear, entries: mine.length, first: Math.min(...mine), last: Math.max(...mine) };
      }),
    },
  };
  const files: Files = new Map([
    ['README.txt', Buffer.from('This is an audit pack.\n')],
    ['log/keys.json', Buffer.from(JSON.stringify(keys, undefined, 2))],
    ['log/names.json', Buffer.from(JSON.stringify(names, undefined, 2))],
    ['log/events.jsonl', jsonl(events)],
    ['log/checkpoints.jsonl', jsonl(notes.map((note) => ({ note, size: sizeOf(note) })))],
    ['log/consistency.json', Buffer.from(JSON.stringify({ from: events.length, to: size, hashes: proof }))],
    ...reports(events, range),
    ...(options.since === undefined ? [] : [['reports/changes-since.csv', changesSince(events, range, options.since)] as [string, Buffer]]),
    ['exports/datev/EXTF_Buchungsstapel.csv', Buffer.from('an export\r\n')],
    ['exports/datev/names.csv', Buffer.from('code,name\r\n')],
    ['manifest.json', Buffer.from(canonicalize(manifest))],
  ]);
  return seal(files, signer);
}

/** The usual pack. */
export function samplePack(options: PackOptions = {}): Files {
  const book = sampleBook();
  const beyond = further(book);
  return packOf(book.events, { beyond, ...options });
}

/** Writes manifest.json and manifest.note anew for files that were changed; `change` changes the manifest too. */
export function seal(files: Files, signer: TestKey = second, change: (manifest: Event) => void = () => {}): Files {
  const inner = [...files].filter(([name]) => !name.startsWith('manifest.'));
  const manifest = JSON.parse(`${files.get('manifest.json')}`);
  manifest.files = inner.map(([name, bytes]) => ({ name, bytes: bytes.length, sha256: sha256(bytes).toString('hex') }));
  change(manifest);
  const text = Buffer.from(canonicalize(manifest));
  const note = signNote(
    `book-keeper audit pack/v1\n${manifest.origin}\n${manifest.position}\n${sha256(text).toString('base64')}\n`,
    signer,
  );
  return new Map([...inner, ['manifest.json', text], ['manifest.note', Buffer.from(note)]]);
}

// --- the archive ----------------------------------------------------------------------------------------------------

export interface ZipOptions {
  stored?: boolean;
  descriptor?: 'none' | 'signed' | 'bare';
  zip64?: boolean;
  flags?: number;
  method?: number;
  prefix?: Buffer;
  between?: Buffer;
  suffix?: Buffer;
  comment?: string;
  /** Changes the bytes of headers before they are written. */
  local?: (header: Buffer, name: string) => void;
  central?: (header: Buffer, name: string) => void;
  /** What stands behind the name in headers, besides ZIP64 numbers; the lengths in the header are set to it. */
  localExtra?: (name: string) => Buffer;
  centralExtra?: (name: string) => Buffer;
  entryComment?: (name: string, at: number) => Buffer;
  /** Changes the bytes of the end. */
  end?: (record: Buffer) => void;
  zip64End?: (record: Buffer, locator: Buffer) => void;
  /** What stands between the directory and its end. */
  behindDirectory?: Buffer;
}

/** A ZIP archive with any list of names, also one that no program should write. */
export function zip(files: Iterable<[string, Buffer]>, options: ZipOptions = {}): Buffer {
  const {
    stored = false,
    descriptor = 'none',
    zip64 = false,
    flags = 0,
    prefix = Buffer.alloc(0),
    between = Buffer.alloc(0),
    suffix = Buffer.alloc(0),
    comment = '',
  } = options;
  const parts: Buffer[] = [prefix];
  const directory: Buffer[] = [];
  const at = () => parts.reduce((sum, part) => sum + part.length, 0);
  for (const [name, bytes] of files) {
    const data = stored ? bytes : deflateRawSync(bytes);
    const [crc, offset, nameBytes] = [crc32(bytes), at(), Buffer.from(name)];
    const bits = flags | (descriptor === 'none' ? 0 : 8) | 0x800;
    const method = options.method ?? (stored ? 0 : 8);
    const late = descriptor !== 'none';
    const large = (values: number[]) => {
      const extra = Buffer.alloc(4 + 8 * values.length);
      extra.writeUInt16LE(1, 0);
      extra.writeUInt16LE(8 * values.length, 2);
      for (const [index, value] of values.entries()) extra.writeBigUInt64LE(BigInt(value), 4 + 8 * index);
      return extra;
    };
    const none = () => Buffer.alloc(0);
    const localExtra = Buffer.concat([zip64 && !late ? large([bytes.length, data.length]) : none(), (options.localExtra ?? none)(name)]);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(45, 4);
    local.writeUInt16LE(bits, 6);
    local.writeUInt16LE(method, 8);
    local.writeUInt32LE(late ? 0 : crc, 14);
    local.writeUInt32LE(late ? 0 : zip64 ? 0xffffffff : data.length, 18);
    local.writeUInt32LE(late ? 0 : zip64 ? 0xffffffff : bytes.length, 22);
    local.writeUInt16LE(nameBytes.length, 26);
    local.writeUInt16LE(localExtra.length, 28);
    options.local?.(local, name);
    parts.push(local, nameBytes, localExtra, data);
    if (late) {
      const behind = Buffer.alloc(zip64 ? 20 : 12);
      behind.writeUInt32LE(crc, 0);
      if (zip64) {
        behind.writeBigUInt64LE(BigInt(data.length), 4);
        behind.writeBigUInt64LE(BigInt(bytes.length), 12);
      } else {
        behind.writeUInt32LE(data.length, 4);
        behind.writeUInt32LE(bytes.length, 8);
      }
      parts.push(...(descriptor === 'signed' ? [Buffer.from('PK\x07\x08', 'latin1')] : []), behind);
    }
    const extra = Buffer.concat([zip64 ? large([bytes.length, data.length, offset]) : none(), (options.centralExtra ?? none)(name)]);
    const remark = (options.entryComment ?? none)(name, at());
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE(45, 6);
    central.writeUInt16LE(bits, 8);
    central.writeUInt16LE(method, 10);
    central.writeUInt32LE(crc, 16);
    central.writeUInt32LE(zip64 ? 0xffffffff : data.length, 20);
    central.writeUInt32LE(zip64 ? 0xffffffff : bytes.length, 24);
    central.writeUInt16LE(nameBytes.length, 28);
    central.writeUInt16LE(extra.length, 30);
    central.writeUInt16LE(remark.length, 32);
    central.writeUInt32LE(zip64 ? 0xffffffff : offset, 42);
    options.central?.(central, name);
    directory.push(Buffer.concat([central, nameBytes, extra, remark]));
    parts.push(between);
  }
  const offset = at();
  const whole = Buffer.concat(directory);
  parts.push(whole, options.behindDirectory ?? Buffer.alloc(0));
  if (zip64) {
    const record = Buffer.alloc(56);
    record.writeUInt32LE(0x06064b50, 0);
    record.writeBigUInt64LE(44n, 4);
    record.writeBigUInt64LE(BigInt(directory.length), 24);
    record.writeBigUInt64LE(BigInt(directory.length), 32);
    record.writeBigUInt64LE(BigInt(whole.length), 40);
    record.writeBigUInt64LE(BigInt(offset), 48);
    const locator = Buffer.alloc(20);
    locator.writeUInt32LE(0x07064b50, 0);
    locator.writeBigUInt64LE(BigInt(offset + whole.length), 8);
    locator.writeUInt32LE(1, 16);
    options.zip64End?.(record, locator);
    parts.push(record, locator);
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(zip64 ? 0xffff : directory.length, 8);
  end.writeUInt16LE(zip64 ? 0xffff : directory.length, 10);
  end.writeUInt32LE(zip64 ? 0xffffffff : whole.length, 12);
  end.writeUInt32LE(zip64 ? 0xffffffff : offset, 16);
  end.writeUInt16LE(Buffer.byteLength(comment), 20);
  options.end?.(end);
  parts.push(end, Buffer.from(comment), suffix);
  return Buffer.concat(parts);
}
