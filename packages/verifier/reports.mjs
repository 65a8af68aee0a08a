/**
 * The reports of a pack against what the events say (books.mjs). Hides how each report is laid out. Guarantees: every figure
 * that the format names was computed again; a row too many, a row too few and a row that is wrong are each told, with the line
 * of the file.
 */
import { EVENTS } from './books.mjs';
import { CsvError, readCsv } from './csv.mjs';
import { canonical, lacks } from './json.mjs';
import { CHANGE_FACTS, FACTS, factsOf } from './ticks.mjs';
import { PackError } from './zip.mjs';

/** @typedef {import('./books.mjs').Account} Account */
/** @typedef {import('./books.mjs').Figures} Figures */
/** @typedef {{ opening: bigint, debit: bigint, credit: bigint, closing: bigint }} Balance */
/** @typedef {(what: string, expected?: unknown, found?: unknown) => void} Wrong */

/**
 * @typedef {object} Context
 * @property {import('./pack.mjs').Pack} pack
 * @property {Record<string, any>} manifest
 * @property {import('./books.mjs').Books} books
 * @property {import('./findings.mjs').Findings} findings
 * @property {Map<string, Account>} byCode
 * @property {import('./ticks.mjs').Columns} columns that are compared of each line
 */

/**
 * Where each report is, and what compares it; a check answers with the number of rows that it read.
 *
 * @type {[string, (context: Context, file: string) => Promise<number>][]}
 */
export const REPORTS = [
  ['chart-of-accounts.csv', checkChart],
  ['reports/trial-balance.csv', checkTrialBalance],
  ['reports/general-ledger.csv', checkGeneralLedger],
  ['reports/journal.csv', checkJournal],
  ['reports/period-locks.csv', checkPeriodLocks],
];

/**
 * Which columns the general ledger and the journal have of those that follow from events. Looked up before the events are read, which
 * are not held.
 *
 * @param {import('./pack.mjs').Pack} pack
 * @returns {Promise<import('./ticks.mjs').Columns>}
 */
export async function columnsOf(pack) {
  /** @param {string} file @param {{ must: string[], may: string[] }} facts */
  const ofReport = async (file, { must, may }) => {
    try {
      for await (const { cells } of readCsv(pack.lines(file))) return [...must, ...may.filter((name) => cells.includes(name))];
    } catch (error) {
      // What is wrong with the file is told when it is read as a whole.
      if (!(error instanceof PackError || error instanceof SyntaxError || error instanceof CsvError)) throw error;
    }
    return must;
  };
  const [ledger, journal] = [
    await ofReport('reports/general-ledger.csv', FACTS.ledger),
    await ofReport('reports/journal.csv', FACTS.journal),
  ];
  return { ledger, journal };
}

/**
 * Accounts by their codes, which reports name them by.
 *
 * @param {import('./books.mjs').Books} books
 * @param {Context['findings']} findings
 * @returns {Context['byCode'] | undefined} undefined if a code is that of two accounts: then reports say nothing for sure
 */
export function accountsByCode(books, findings) {
  const byCode = new Map();
  for (const account of books.accounts.values()) {
    const { code, id } = account;
    const other = byCode.get(code);
    if (other)
      findings.add('books', { file: EVENTS, account: code }, 'two accounts have the same code', undefined, `${other.id} and ${id}`);
    byCode.set(code, account);
  }
  return byCode.size === books.accounts.size ? byCode : undefined;
}

/**
 * The rows of a report by the names of its columns. Tells rows that state another position.
 *
 * @param {Context} context
 * @param {string} file
 * @param {string[]} columns that it must have
 * @param {boolean} [stamped] whether every row must end with `position` and `reportVersion`
 * @returns {AsyncGenerator<{ cells: Record<string, string>, wrong: (what: string, expected?: unknown, found?: unknown, position?: number)
 * => void }>}
 * wrong tells what is wrong with this row
 * @throws {CsvError} where it is no CSV or lacks a column: then nothing can be said of what follows
 */
async function* rowsOf({ pack, manifest, findings }, file, columns, stamped = true) {
  /** @type {string[] | undefined} */
  let header;
  let ends = false;
  for await (const { line, cells } of readCsv(pack.lines(file))) {
    if (!header) {
      header = cells;
      ends = cells.at(-2) === 'position' && cells.at(-1) === 'reportVersion';
      const lacking = columns.filter((name) => !cells.includes(name));
      const twice = cells.find((name, at) => cells.indexOf(name) !== at);
      if (twice !== undefined) throw new CsvError(line, `the header has ${twice} twice`);
      if (lacking.length > 0) throw new CsvError(line, `the header lacks ${lacking.join(', ')}`);
      if (stamped && !ends) throw new CsvError(line, 'the header does not end with position,reportVersion');
      continue;
    }
    /** @type {Record<string, string>} */
    const named = {};
    for (const [at, cell] of cells.entries()) named[header[at] ?? ''] = cell;
    const account = named.account ?? named.code;
    /** @param {string} what @param {unknown} [expected] @param {unknown} [found] @param {number} [position] */
    const wrong = (what, expected, found, position) => {
      const place = { file, line, ...(position !== undefined && { position }), ...(account && { account }) };
      findings.add('reports', place, what, expected, found);
    };
    if (ends && cells.at(-2) !== `${manifest.position}`) wrong('the row is of another position', manifest.position, cells.at(-2));
    yield { cells: named, wrong };
  }
  if (!header) throw new CsvError(1, 'the file has no header');
}

/**
 * Compares cells with what they must be, as far as the report has their columns, and tells the first that differs.
 *
 * @param {Record<string, string>} cells
 * @param {Record<string, string>} expected
 * @param {Wrong} wrong
 * @returns {boolean} whether all are right
 */
function compareCells(cells, expected, wrong) {
  const name = Object.keys(expected).find((each) => cells[each] !== undefined && cells[each] !== expected[each]);
  if (name !== undefined) wrong(`${name} is wrong`, expected[name], cells[name]);
  return name === undefined;
}

/** @param {Context} context @param {string} file */
async function checkChart(context, file) {
  const { books, findings, byCode } = context;
  const waiting = new Map(byCode);
  let rows = 0;
  const columns = ['code', 'name', 'type', 'subtype', 'normalSide', 'postable', 'parent', 'status', 'id'];
  for await (const { cells, wrong } of rowsOf(context, file, columns, false)) {
    rows++;
    const { code = '', status = '' } = cells;
    const account = waiting.get(code);
    if (!waiting.delete(code) || !account) {
      wrong(byCode.has(code) ? 'the account stands there twice' : 'there is no such account in the events');
      continue;
    }
    const { id, name, type, subtype, normalSide, postable, parentId } = account;
    const parent = parentId === undefined ? '' : (books.accounts.get(parentId)?.code ?? '');
    compareCells(cells, { id, name, type, subtype, normalSide, postable: `${postable}`, parent }, wrong);
    // How an open account is called is for people; one that is frozen or closed is called so.
    const named = status === 'frozen' || status === 'closed' ? status : 'open';
    if (named !== account.status) wrong('status is wrong', account.status, status);
  }
  for (const code of waiting.keys()) findings.add('reports', { file, account: code }, 'the account is missing');
  return rows;
}

/** @param {Figures} figures @returns {Balance} */
const balanceOf = ({ opening, inDebit, inCredit }) => ({
  opening,
  debit: inDebit,
  credit: inCredit,
  closing: opening + inDebit - inCredit,
});
/** @param {Balance} balance */
const isZero = ({ opening, debit, credit, closing }) => opening === 0n && debit === 0n && credit === 0n && closing === 0n;

/**
 * The rows that a trial balance must have, by JSON of row, account and currency.
 *
 * @param {import('./books.mjs').Books} books
 * @returns {Map<string, Balance>}
 */
function trialBalance(books) {
  /** @type {Map<string, Balance>} */
  const rows = new Map();
  /** @param {string} row @param {string} account @param {string} currency @param {Balance} more */
  const add = (row, account, currency, more) => {
    const key = JSON.stringify([row, account, currency]);
    const sum = rows.get(key) ?? { opening: 0n, debit: 0n, credit: 0n, closing: 0n };
    for (const figure of /** @type {const} */ (['opening', 'debit', 'credit', 'closing'])) sum[figure] += more[figure];
    rows.set(key, sum);
  };
  for (const account of books.accounts.values()) {
    const total = account.type === 'memorandum' ? 'memorandumTotal' : 'total';
    for (const [currency, figures] of account.figures) {
      const balance = balanceOf(figures);
      /** @type {Account | undefined} */
      let above = account;
      for (; above; above = above.parentId === undefined ? undefined : books.accounts.get(above.parentId)) {
        add(above.type === 'memorandum' ? 'memorandum' : 'account', above.code, currency, balance);
      }
      const retained = { opening: figures.leftOut, debit: 0n, credit: 0n, closing: figures.leftOut };
      add('retainedEarnings', '', currency, retained);
      add(total, '', currency, balance);
      add(total, '', currency, retained);
    }
  }
  return rows;
}

/** @param {Context} context @param {string} file */
async function checkTrialBalance(context, file) {
  const { books, findings, byCode } = context;
  const expected = trialBalance(books);
  const seen = new Set();
  let rows = 0;
  const columns = ['row', 'account', 'name', 'type', 'level', 'currency', 'opening', 'debit', 'credit', 'net', 'closing'];
  for await (const { cells, wrong } of rowsOf(context, file, columns)) {
    rows++;
    const { row: kind = '', account: code = '', currency = '' } = cells;
    const key = JSON.stringify([kind, code, currency]);
    const balance = expected.get(key);
    const account = byCode.get(code);
    /** @type {Wrong} */
    const wrongly = (what, ...rest) => wrong(`row ${kind} ${currency}: ${what}`, ...rest);
    if (!balance || seen.has(key)) wrongly(balance ? 'it stands there twice' : 'there is nothing in the events for it');
    else if (account && isZero(balance)) wrongly('it has nothing but zeros and should be left out');
    seen.add(key);
    if (!balance) continue;
    const net = balance.debit - balance.credit;
    const [opening, closing] = [balance.opening, balance.closing].map((minor) => books.currencies.text(minor, currency));
    const [debit, credit, moved] = [balance.debit, balance.credit, net].map((minor) => books.currencies.text(minor, currency));
    // What is no account has a name for people, but neither a type nor a level.
    /** @type {Record<string, string>} */
    const of = account ? { name: account.name, type: account.type } : { type: '', level: '' };
    const figures = /** @type {Record<string, string>} */ ({ opening, debit, credit, net: moved, closing });
    compareCells(cells, { ...figures, ...of }, wrongly);
  }
  for (const [key, balance] of expected) {
    if (seen.has(key) || isZero(balance)) continue;
    const [kind, code, currency] = JSON.parse(key);
    const closing = books.currencies.text(balance.closing, currency);
    findings.add('reports', { file, ...(code && { account: code }) }, `row ${kind} ${currency} is missing`, `closing ${closing}`);
  }
  return rows;
}

/**
 * What the general ledger has said of one currency of an account.
 *
 * @typedef {{ opened: boolean, closed: boolean, running: bigint, base: bigint }} Progress
 */

/** What only a row of a line says. */
const OF_LINES = Object.fromEntries(
  'date,number,entryId,line,entryPosition,entryType,description,reference,debit,credit,baseDebit,baseCredit'
    .split(',')
    .map((name) => [name, '']),
);

/** @param {Context} context @param {string} file */
async function checkGeneralLedger(context, file) {
  const { books, findings, byCode } = context;
  const seen = new Set();
  /** @type {Account | undefined} */
  let current;
  /** @type {Map<string, Progress>} */
  let said = new Map();
  let order = '';
  /** A line of the account was wrong: what its running balances would be is not known any more. */
  let spoilt = false;
  const end = (/** @type {Account} */ account) => {
    for (const [currency, figures] of account.figures) {
      const progress = said.get(currency);
      if (progress?.closed || (!progress && isZero(balanceOf(figures)))) continue;
      findings.add('reports', { file, account: account.code }, `${progress ? 'the closing' : 'everything'} in ${currency} is missing`);
    }
    said = new Map();
  };
  let rows = 0;
  const expected = trialBalance(books);
  const { baseCurrency } = context.manifest.book;
  /** What a base balance must be. @param {bigint} minor @param {string} [found] */
  const inBase = (minor, found = '') => {
    if (!books.tracked) return '';
    // How many decimals the base currency has is not known where nothing was posted in it.
    return !books.currencies.knows(baseCurrency) && /^0(\.0+)?$/.test(found) ? found : books.currencies.text(minor, baseCurrency);
  };
  /** @type {Map<string, bigint>} */
  const baseRetained = new Map();
  for (const { figures } of books.accounts.values())
    for (const [currency, { baseLeftOut }] of figures) baseRetained.set(currency, (baseRetained.get(currency) ?? 0n) + baseLeftOut);
  /** Currencies whose row of earnings brought forward was there. */
  const retained = new Set();
  for await (const { cells, wrong } of rowsOf(context, file, ['row', 'name', 'type', ...FACTS.ledger.must, 'balance'])) {
    rows++;
    const { row: kind, account: code = '', currency = '', date, entryPosition = '', line = '' } = cells;
    if (kind === 'retainedEarnings') {
      const balance = expected.get(JSON.stringify([kind, '', currency]));
      if (!balance || retained.has(currency))
        wrong(`row ${kind} ${currency}: ${balance ? 'it stands there twice' : 'there is nothing in the events for it'}`);
      else {
        const baseBalance = inBase(baseRetained.get(currency) ?? 0n, cells.baseBalance);
        const figures = { balance: books.currencies.text(balance.closing, currency), baseBalance };
        compareCells(cells, { account: '', type: '', ...OF_LINES, ...figures }, (what, ...rest) => wrong(`${kind}: ${what}`, ...rest));
      }
      retained.add(currency);
      continue;
    }
    const account = byCode.get(code);
    const figures = account?.figures.get(currency);
    if (!account || !figures) {
      wrong(account ? `the account has no lines in ${currency}` : 'there is no such account in the events');
      continue;
    }
    if (account !== current) {
      if (current) end(current);
      if (seen.has(account)) wrong('the rows of an account do not stand together');
      seen.add(account);
      [current, order, spoilt] = [account, '', false];
    }
    compareCells(cells, { name: account.name, type: account.type }, wrong);
    const progress = said.get(currency) ?? { opened: false, closed: false, running: figures.opening, base: figures.baseOpening };
    said.set(currency, progress);
    const isNext = kind === 'opening' ? !progress.opened : progress.opened && !progress.closed;
    if (!isNext) wrong(`the row ${kind} of ${currency} stands not between its opening and its closing, or twice`);
    if (kind === 'opening' || kind === 'closing') {
      progress[kind === 'opening' ? 'opened' : 'closed'] = true;
      const base = kind === 'opening' ? figures.baseOpening : figures.baseOpening + figures.baseIn;
      const balances = { balance: books.currencies.text(balanceOf(figures)[kind], currency), baseBalance: inBase(base, cells.baseBalance) };
      compareCells(cells, { ...balances, ...OF_LINES }, (what, ...rest) => wrong(`${kind}: ${what}`, ...rest));
    } else if (kind !== 'line') {
      wrong('the row is of a kind that the format does not know', 'opening, line or closing', kind);
    } else {
      const place = `${date} ${entryPosition.padStart(16)} ${line.padStart(6)}`;
      if (place <= order) wrong('lines are ordered by date, entryPosition, line', `behind ${order}`, place);
      order = place;
      if (!(await tickOff(context, cells, wrong, 'ledger'))) spoilt = true;
      if (spoilt) continue;
      // The row has the facts of a line, so that its amount is one.
      progress.running += cells.debit
        ? (books.currencies.minor(cells.debit, currency) ?? 0n)
        : -(books.currencies.minor(cells.credit ?? '', currency) ?? 0n);
      if (cells.baseDebit) progress.base += books.currencies.minor(cells.baseDebit, baseCurrency) ?? 0n;
      if (cells.baseCredit) progress.base -= books.currencies.minor(cells.baseCredit, baseCurrency) ?? 0n;
      /** @type {Record<string, string>} */
      const balances = { balance: books.currencies.text(progress.running, currency) };
      // Without the base amounts of its lines a running base balance is for people.
      if (cells.baseDebit !== undefined && cells.baseCredit !== undefined) balances.baseBalance = inBase(progress.base, cells.baseBalance);
      compareCells(cells, balances, (what, ...rest) => wrong(what, ...rest, Number(entryPosition)));
    }
  }
  if (current) end(current);
  for (const [key, balance] of expected) {
    const [kind, , currency] = JSON.parse(key);
    if (kind === 'retainedEarnings' && !isZero(balance) && !retained.has(currency))
      findings.add('reports', { file }, `row ${kind} ${currency} is missing`);
  }
  for (const account of byCode.values()) if (!seen.has(account)) end(account);
  await tellMissing(context, file, 'ledger');
  return rows;
}

/** @param {Context} context @param {string} file */
async function checkJournal(context, file) {
  const seen = new Set();
  let series = '';
  let order = '';
  let rows = 0;
  for await (const { cells, wrong } of rowsOf(context, file, ['row', ...FACTS.journal.must])) {
    rows++;
    const { row: kind, journalCode, fiscalYear, number = '', line = '', account = '' } = cells;
    const mine = JSON.stringify([journalCode, fiscalYear]);
    if (mine !== series && seen.has(mine))
      wrong('the rows of a journal and year do not stand together', undefined, `${journalCode} ${fiscalYear}`);
    const place = `${number.padStart(16)} ${line.padStart(6)}`;
    if (mine === series && place <= order) wrong('rows of a journal are ordered by number and line', `behind ${order}`, place);
    [series, order] = [mine, place];
    seen.add(mine);
    if (kind !== 'line') wrong('the row is of a kind that the format does not know', 'line', kind);
    else if (!context.byCode.has(account)) wrong('there is no such account in the events');
    else if (await tickOff(context, cells, wrong, 'journal')) {
      const reversedBy = context.books.reversals.get(cells.entryId ?? '') ?? '';
      compareCells(cells, { reversedBy }, (what, ...rest) => wrong(what, ...rest, Number(cells.entryPosition)));
    }
  }
  await tellMissing(context, file, 'journal');
  return rows;
}

/**
 * Ticks off a row that shows a line of an entry (ticks.mjs). Tells it if no event says so.
 *
 * @param {Context} context
 * @param {Record<string, string>} cells
 * @param {(what: string, expected: unknown, found: unknown, position: number) => void} wrong
 * @param {'ledger' | 'journal'} report
 * @returns {Promise<boolean>} whether it was right
 */
async function tickOff(context, cells, wrong, report) {
  const { books, byCode, pack } = context;
  const columns = context.columns[report];
  const facts = columns.map((name) => (name === 'account' ? byCode.get(cells.account ?? '')?.id : cells[name]) ?? '');
  const [position, line] = [Number(cells.entryPosition), Number(cells.line)];
  const ticks = books.ticks[report];
  if (ticks.tick(position + line, facts)) return true;
  // Its mark goes even so, or the line would be told a second time as missing.
  ticks.drop(position + line);
  ticks.wrong++;
  // To look an event up takes a walk over all: what is wrong is told of the first row only.
  const event = ticks.wrong === 1 ? await eventAt(pack, position) : undefined;
  const lines = event?.eventType === 'JournalEntryPosted' && Array.isArray(event.data?.lines) ? event.data.lines : [];
  const posted = lines.find((/** @type {any} */ each) => each?.line === line);
  const expected = posted
    ? factsOf(event, { ...posted, accountId: books.accounts.get(posted.accountId)?.code }, books.tracked)[report]
    : {};
  const column = posted && columns.find((name) => expected[name] !== cells[name]);
  const found = columns.map((name) => cells[name]).join(', ');
  if (column) wrong(`${column} is wrong`, expected[column], cells[column], position);
  else if (posted) wrong('this line stands there twice, or is not dated in the range', undefined, found, position);
  else wrong('no line of the events is like this row', undefined, found, position);
  return false;
}

/** Tells lines that no row had. @param {Context} context @param {string} file @param {'ledger' | 'journal'} report */
async function tellMissing({ books, findings, pack }, file, report) {
  let told = 0;
  for (const position of books.ticks[report].left()) {
    const event = told++ === 0 ? await eventAt(pack, position) : undefined;
    const account = books.accounts.get(event?.aggregateId)?.code;
    const { line, entryPosition, amount, currency } = event?.data ?? {};
    const what = line ? `line ${line} of the entry at position ${entryPosition} is missing` : 'the line of this account event is missing';
    findings.add('reports', { file, position, ...(account && { account }) }, what, line && `${amount} ${currency}`);
  }
}

/**
 * One event, read again.
 *
 * @param {Context['pack']} pack
 * @param {number} position
 * @returns {Promise<any>} undefined if there is none that can be read
 */
async function eventAt(pack, position) {
  let line = 0;
  for await (const bytes of pack.lines(EVENTS)) {
    if (++line < position) continue;
    try {
      return JSON.parse(bytes.toString('utf8'));
    } catch {
      break;
    }
  }
  return undefined;
}

/** @param {unknown} value @param {string} other */
const textOr = (value, other) => (typeof value === 'string' ? value : other);

/** @param {Context} context @param {string} file */
async function checkPeriodLocks(context, file) {
  const { books, findings } = context;
  let rows = 0;
  const columns = [
    'position',
    'recordedAt',
    'event',
    'fiscalYear',
    'period',
    'level',
    'closedAtPosition',
    'userId',
    'onBehalfOf',
    'reason',
  ];
  for await (const { cells, wrong } of rowsOf(context, file, columns, false)) {
    const event = books.locks[rows++];
    if (!event) {
      wrong('there is no further event that closes or reopens', undefined, Object.values(cells).join(', '));
      continue;
    }
    const { position, recordedAt, eventType, userId = '', data, metadata } = event;
    // A close that states no level is of the first version of the event, where all were hard.
    const known = eventType === 'PeriodClosed' && data.level === undefined ? { level: 'hard', position: 0, ...data } : data;
    /** @type {Record<string, string>} */
    const expected = { position: `${position}`, recordedAt, event: eventType, userId };
    for (const name of ['fiscalYear', 'period', 'level']) expected[name] = `${known[name] ?? ''}`;
    expected.closedAtPosition = `${known.position ?? ''}`;
    expected.onBehalfOf = textOr(metadata.onBehalfOf, '');
    expected.reason = textOr(metadata.reason, textOr(data.reason, ''));
    compareCells(cells, expected, (what, ...rest) => wrong(what, ...rest, position));
  }
  for (const { position, eventType } of books.locks.slice(rows))
    findings.add('reports', { file, position }, `the row of ${eventType} is missing`);
  return rows;
}

/**
 * What changed in the range since an earlier pack.
 *
 * @param {Context} context @param {string} file @returns {Promise<number>} rows
 */
export async function checkChanges(context, file) {
  const { books, findings, byCode, manifest } = context;
  const figureNames = CHANGE_FACTS.slice(-6);
  /** Rows `account`, by JSON of code and currency. @type {Map<string, string[]>} */
  const sums = new Map();
  for (const { code, figures } of books.accounts.values()) {
    for (const [currency, { inDebit, inCredit, known, baseIn, baseKnown }] of figures) {
      const now = inDebit - inCredit;
      if (now === known && (!books.tracked || baseIn === baseKnown)) continue;
      sums.set(
        JSON.stringify([code, currency]),
        books.changeCells(currency, [known, now - known, now], [baseKnown, baseIn - baseKnown, baseIn]),
      );
    }
  }
  let [rows, last, ofEntry] = [0, 0, 0];
  for await (const { cells, wrong } of rowsOf(context, file, ['row', ...CHANGE_FACTS, 'reversedBy', 'sincePosition'])) {
    rows++;
    compareCells(cells, { sincePosition: `${manifest.since}` }, wrong);
    const { row: kind, account = '', currency = '' } = cells;
    /** Base figures of zero have decimals that are not compared. @param {string} name */
    const said = (name) => (name.startsWith('base') && /^0(\.0+)?$/.test(cells[name] ?? '') ? '0' : (cells[name] ?? ''));
    if (kind === 'entry') {
      const position = Number(cells.entryPosition);
      if (position < last) wrong('entries are ordered by position', `behind ${last}`, cells.entryPosition, position);
      ofEntry = position === last ? ofEntry + 1 : 1;
      last = position;
      const facts = CHANGE_FACTS.map((name) => (name === 'account' ? (byCode.get(account)?.id ?? '') : said(name)));
      if (!books.ticks.changes.tick(position + ofEntry, facts)) {
        books.ticks.changes.drop(position + ofEntry);
        wrong('no entry since then has changed this so', undefined, CHANGE_FACTS.map((name) => cells[name]).join(', '), position);
      } else
        compareCells(cells, { reversedBy: books.reversals.get(cells.entryId ?? '') ?? '' }, (what, ...rest) =>
          wrong(what, ...rest, position),
        );
    } else if (kind === 'account') {
      const key = JSON.stringify([account, currency]);
      const sum = sums.get(key);
      if (!sum) wrong(`row account ${currency}: it has not changed, or stands there twice`);
      else {
        const at = figureNames.findIndex((name, index) => said(name) !== sum[index]);
        if (at >= 0) wrong(`row account ${currency}: ${figureNames[at]} is wrong`, sum[at], cells[figureNames[at] ?? '']);
      }
      sums.delete(key);
    } else wrong('the row is of a kind that the format does not know', 'entry or account', kind);
  }
  for (const position of books.ticks.changes.left())
    findings.add('reports', { file, position }, 'the row of what this entry changed is missing');
  for (const key of sums.keys()) {
    const [code, currency] = JSON.parse(key);
    findings.add('reports', { file, account: code }, `row account ${currency} is missing`);
  }
  return rows;
}

/** Where the fiscal year of the range begins, which openings and earnings brought forward depend on. @param {Context} context */
export function checkYear({ manifest, books, findings }) {
  const due = books.calendar.beginning(manifest.from);
  if (due === 'unknown' || due === manifest.yearFrom) return;
  const what = `yearFrom is not the first day of the fiscal year of ${manifest.from}`;
  findings.add('reports', { file: 'manifest.json' }, what, due ?? 'nothing: no fiscal year covers it', manifest.yearFrom);
}

/** The control totals of the manifest. @param {Context} context @returns {true} */
export function checkTotals({ manifest, books, findings }) {
  const { entries, lines, currencies, numbers } = books.totals;
  /** Whether a year is a text or a number is not said, nor what order journals have. @param {any[]} list */
  const sorted = (list) =>
    list
      .map((each) => canonical(lacks(each, { fiscalYear: 'text or whole number' }) ? each : { ...each, fiscalYear: `${each.fiscalYear}` }))
      .sort();
  /** @type {Record<string, unknown>} */
  const expected = {
    events: manifest.position,
    entries,
    lines,
    currencies: [...currencies]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([currency, { debit, credit }]) => ({
        currency,
        debit: books.currencies.text(debit, currency),
        credit: books.currencies.text(credit, currency),
      })),
    numbers: sorted(
      [...numbers].map(([series, each]) => {
        const [journalCode, fiscalYear] = JSON.parse(series);
        return { journalCode, fiscalYear, ...each };
      }),
    ),
  };
  const found = { ...manifest.totals, numbers: sorted(manifest.totals.numbers) };
  for (const [name, value] of Object.entries(expected)) {
    if (canonical(value) !== canonical(found[name]))
      findings.add('reports', { file: 'manifest.json' }, `totals.${name} is not what the events say`, value, found[name]);
  }
  const further = Object.keys(found).filter((name) => !Object.hasOwn(expected, name));
  if (further.length > 0)
    findings.add(
      'reports',
      { file: 'manifest.json' },
      'totals has members that the format does not know',
      Object.keys(expected).join(', '),
      further.join(', '),
    );
  return true;
}
