/**
 * Measures the verifier on a large pack: makes one, checks it, and says how many events per second and how much memory that took.
 * The figures in ../README.md are from here.
 *
 * Usage: node packages/verifier/test/large-pack.mjs [EVENTS, by default 1000000] [FOLDER to keep the pack in]
 */
import { spawnSync } from 'node:child_process';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { createReadStream, createWriteStream, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import yazl from 'yazl';
import { leafHash, Tree } from '../merkle.mjs';

const events = Number(process.argv[2] ?? 1_000_000);
const folder = process.argv[3] ?? mkdtempSync(join(tmpdir(), 'large-pack-'));
mkdirSync(folder, { recursive: true });
const ACCOUNTS = 200;
const BOOK = 'large';
const ORIGIN = `books.example/${BOOK}`;

const { publicKey, privateKey } = generateKeyPairSync('ed25519');
const typed = Buffer.concat([Buffer.of(1), publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)]);
const id = createHash('sha256').update('books.example\n').update(typed).digest().subarray(0, 4);
const key = `books.example+${id.toString('hex')}+${typed.toString('base64')}`;
/** @param {string} text */
const note = (text) =>
  `${text}\n\u2014 books.example ${Buffer.concat([id, sign(null, Buffer.from(text), privateKey)]).toString('base64')}\n`;

/** Members must be given in order; numbers and texts have no need of escapes. @param {unknown} value */
const line = (value) => `${JSON.stringify(value)}\n`;
/** @param {bigint} minor */
const amountOf = (minor) =>
  `${minor < 0n ? '-' : ''}${(minor < 0n ? -minor : minor) / 100n}.${`${(minor < 0n ? -minor : minor) % 100n}`.padStart(2, '0')}`;
/** @param {number} n */
const uuid = (n) => `01890000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`;
/** @param {number} position */
const timeOf = (position) => `${new Date(1_767_225_600_000 + position).toISOString().slice(0, -1)}000Z`;

/** @type {{ position: number, number: number, date: string, line: number, account: number, debit: string, credit: string, entryId: string }[]} */
const lines = [];
const totals = Array.from({ length: ACCOUNTS }, () => ({ debit: 0n, credit: 0n }));
const tree = new Tree();
/** @type {string[]} */
const checkpoints = [];
let position = 0;
/** @type {Map<string, number>} */
const versions = new Map();
/** @param {string} aggregateId @param {string} aggregateType @param {string} eventType @param {object} data */
function event(aggregateId, aggregateType, eventType, data) {
  position++;
  const version = (versions.get(aggregateId) ?? 0) + 1;
  versions.set(aggregateId, version);
  const metadata = {
    causationId: uuid(position + 1),
    channel: 'api',
    commandId: uuid(position),
    correlationId: uuid(position + 2),
    onBehalfOf: 'the accounting department',
    release: '1.2.3',
  };
  const text = line({
    aggregateId,
    aggregateType,
    bookId: BOOK,
    data,
    eventId: uuid(position + 3),
    eventType,
    eventVersion: 1,
    metadata,
    position,
    recordedAt: timeOf(position),
    userId: 'service-account',
    version,
  });
  tree.append(leafHash(Buffer.from(text.slice(0, -1))));
  if (position % 10_000 === 0 || position === events)
    checkpoints.push(line({ note: note(`${ORIGIN}\n${position}\n${tree.root().toString('base64')}\n`), size: position }));
  return text;
}
/** @returns {Generator<string>} */
function* log() {
  yield event(BOOK, 'Book', 'BookOpened', { baseCurrency: 'EUR', fx: 'none', name: 'Large', timeZone: 'UTC' });
  for (let at = 0; at < ACCOUNTS; at++)
    yield event(`account-${at}`, 'Account', 'AccountOpened', {
      code: `${1000 + at}`,
      name: `Account ${at}`,
      normalSide: 'debit',
      postable: true,
      type: 'asset',
    });
  for (let number = 1; position + 3 <= events; number++) {
    const [amount, date] = [BigInt(number % 99_991) + 1n, `2026-${`${(number % 12) + 1}`.padStart(2, '0')}-15`];
    const [entryId, at, text] = [uuid(number * 16), position + 1, amountOf(amount)];
    const accounts = [number % ACCOUNTS, (number * 7 + 1) % ACCOUNTS];
    const written = accounts.map((account, index) => ({
      accountId: `account-${account}`,
      amount: text,
      currency: 'EUR',
      line: index + 1,
      side: index === 0 ? 'debit' : 'credit',
    }));
    yield event(entryId, 'JournalEntry', 'JournalEntryPosted', {
      description: `Invoice ${number} of a customer`,
      effectiveDate: date,
      entryType: 'standard',
      fiscalYear: '2026',
      journalCode: 'GJ',
      lines: written,
      number,
      period: 1,
    });
    for (const [index, account] of accounts.entries()) {
      const [sum, [debit, credit]] = [totals[account] ?? { debit: 0n, credit: 0n }, index === 0 ? [text, ''] : ['', text]];
      sum[index === 0 ? 'debit' : 'credit'] += amount;
      lines.push({ position: at, number, date, line: index + 1, account, debit, credit, entryId });
      yield event(`account-${account}`, 'Account', index === 0 ? 'AccountDebited' : 'AccountCredited', {
        amount: text,
        currency: 'EUR',
        effectiveDate: date,
        entryId,
        entryPosition: at,
        line: index + 1,
        totalCredit: amountOf(sum.credit),
        totalDebit: amountOf(sum.debit),
      });
    }
  }
  while (position < events) yield event('rate', 'ExchangeRate', 'ExchangeRateRecorded', { rate: '1.1' });
}
function* ledger() {
  yield 'row,account,name,type,date,number,entryId,line,entryPosition,entryType,description,reference,currency,debit,credit,balance,position,reportVersion\r\n';
  lines.sort((a, b) => a.account - b.account || (a.date < b.date ? -1 : a.date > b.date ? 1 : a.position - b.position || a.line - b.line));
  for (let at = 0, account = 0; account < ACCOUNTS; account++) {
    const start = `${1000 + account},Account ${account},asset`;
    /** @param {string} row @param {bigint} balance */
    const state = (row, balance) => `${row},${start},,,,,,,,,EUR,,,${amountOf(balance)},${position},1\r\n`;
    let balance = 0n;
    yield state('opening', balance);
    for (; lines[at]?.account === account; at++) {
      const { date, number, entryId, line, position: entry, debit, credit } = /** @type {typeof lines[number]} */ (lines[at]);
      balance += BigInt((debit || `-${credit}`).replace('.', ''));
      yield `line,${start},${date},GJ/2026/${number},${entryId},${line},${entry},standard,Invoice ${number} of a customer,,EUR,${debit},${credit},${amountOf(balance)},${position},1\r\n`;
    }
    yield state('closing', balance);
  }
}
function* journal() {
  yield 'row,journalCode,fiscalYear,number,date,recordedAt,entryId,entryPosition,entryType,description,line,account,debit,credit,currency,position,reportVersion\r\n';
  lines.sort((a, b) => a.position - b.position || a.line - b.line);
  for (const { position: at, number, date, line, account, debit, credit, entryId } of lines) {
    yield `line,GJ,2026,${number},${date},${timeOf(at)},${entryId},${at},standard,Invoice ${number} of a customer,${line},${1000 + account},${debit},${credit},EUR,${position},1\r\n`;
  }
}
function* trialBalance() {
  yield 'row,account,name,type,level,currency,opening,debit,credit,net,closing,position,reportVersion\r\n';
  const sum = { debit: 0n, credit: 0n };
  for (const [at, { debit, credit }] of totals.entries()) {
    [sum.debit, sum.credit] = [sum.debit + debit, sum.credit + credit];
    if (debit !== 0n || credit !== 0n)
      yield `account,${1000 + at},Account ${at},asset,1,EUR,0.00,${[debit, credit, debit - credit, debit - credit].map(amountOf).join()},${position},1\r\n`;
  }
  yield `total,,,,,EUR,0.00,${[sum.debit, sum.credit, 0n, 0n].map(amountOf).join()},${position},1\r\n`;
}
const chart = () => [
  'code,name,type,subtype,normalSide,postable,parent,status,id\r\n',
  ...totals.map((_, at) => `${1000 + at},Account ${at},asset,,debit,true,,open,account-${at}\r\n`),
];

/** @type {[string, () => Iterable<string>][]} */
const files = [
  ['README.txt', () => ['Large.\n']],
  [
    'log/keys.json',
    () => [
      JSON.stringify([
        {
          number: 1,
          key,
          activatedAt: 'T',
          statement: note(`book-keeper signing key/v1\nkey 1 ${key}\nsince T\nafter -\nby -\nreason ""\n`),
        },
      ]),
    ],
  ],
  ['log/names.json', () => [JSON.stringify([{ number: 1, origin: ORIGIN, size: 0, recordedAt: 'T' }])]],
  ['log/events.jsonl', log],
  ['log/checkpoints.jsonl', () => checkpoints],
  ['log/consistency.json', () => [JSON.stringify({ from: events, to: events, hashes: [] })]],
  ['chart-of-accounts.csv', chart],
  ['reports/trial-balance.csv', trialBalance],
  ['reports/general-ledger.csv', ledger],
  ['reports/journal.csv', journal],
  ['reports/period-locks.csv', () => ['position,recordedAt,event,fiscalYear,period,level,closedAtPosition,userId,onBehalfOf,reason\r\n']],
];
const listed = [];
for (const [name, write] of files) {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  const hash = createHash('sha256');
  await pipeline(function* () {
    let held = '';
    for (const text of write()) {
      held += text;
      if (held.length < 65_536) continue;
      hash.update(held);
      yield held;
      held = '';
    }
    hash.update(held);
    yield held;
  }, createWriteStream(path));
  listed.push({ bytes: statSync(path).size, name, sha256: hash.digest('hex') });
}
const sum = amountOf(totals.reduce((all, { debit }) => all + debit, 0n));
const entries = lines.length / 2;
const manifest = JSON.stringify({
  book: { baseCurrency: 'EUR', fx: 'none', id: BOOK, name: 'Large', timeZone: 'UTC' },
  checkpoint: { root: tree.root().toString('base64'), size: events },
  files: listed,
  format: 'book-keeper audit pack/v1',
  from: '2026-01-01',
  origin: ORIGIN,
  position: events,
  recordedAt: timeOf(events),
  release: '1.2.3',
  to: '2026-12-31',
  totals: {
    currencies: [{ credit: sum, currency: 'EUR', debit: sum }],
    entries,
    events,
    lines: lines.length,
    numbers: [{ entries, first: 1, fiscalYear: '2026', journalCode: 'GJ', last: entries }],
  },
});
writeFileSync(join(folder, 'manifest.json'), manifest);
writeFileSync(
  join(folder, 'manifest.note'),
  note(`book-keeper audit pack/v1\n${ORIGIN}\n${events}\n${createHash('sha256').update(manifest).digest('base64')}\n`),
);

const archive = join(folder, 'pack.zip');
const zip = new yazl.ZipFile();
for (const { name } of [...listed, { name: 'manifest.json' }, { name: 'manifest.note' }])
  zip.addReadStream(createReadStream(join(folder, name)), name, { forceDosTimestamp: true });
zip.end();
await pipeline(zip.outputStream, createWriteStream(archive));
console.log(`${events} events in ${statSync(archive).size} bytes (${listed.reduce((all, { bytes }) => all + bytes, 0)} unpacked)`);

const started = performance.now();
const measure = `process.on('exit', () => console.log('peak memory', Math.round(process.resourceUsage().maxRSS / 1024), 'MiB'));`;
const script = join(import.meta.dirname, '..', 'verify.mjs');
const { stdout, stderr, status } = spawnSync(
  process.execPath,
  ['--import', `data:text/javascript,${encodeURIComponent(measure)}`, script, archive, '--key', key],
  { encoding: 'utf8' },
);
const seconds = (performance.now() - started) / 1000;
console.log(`${stdout}${stderr}exit status ${status}, ${seconds.toFixed(1)} s, ${Math.round(events / seconds)} events/s`);
if (process.argv[3] === undefined) rmSync(folder, { recursive: true });
else console.log(`--key ${key}`);
