/**
 * verify finds nothing in what the ledger wrote, also while it writes; and as superuser one changed value of any column, a row
 * that was deleted, added or swapped is found and its row named. The columns are read from the catalogue: a new one fails here
 * until somebody has decided how it is checked.
 */
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client, Pool } from 'pg';
import {
  checkpointText,
  cosignedMessage,
  EventStore,
  keyTypes,
  leafHashOf,
  noteKey,
  noteText,
  publicBytes,
  type StoredEvent,
  TreeStore,
} from '#event-store';
import {
  auditPack,
  type Command,
  type CommandContext,
  catalogue,
  Ledger,
  Personal,
  Projector,
  Proofs,
  Queries,
  Reports,
  readConfig,
  rotateKey,
  Sealer,
  type Verification,
  verifyBooks,
} from '#ledger';
import { connect, openPool } from '#postgres';
import { MasterKeys, SubjectKeys } from '#privacy';
import { type TestDatabase, testDatabase } from '../support/database';
import { HistoryBuilder, random } from '../support/histories';
import { runScript } from '../support/processes';
import type { Commanded, ReferenceLedger } from '../support/reference-ledger';

const seed = Number(process.env.SEED ?? 20261122);
const bookId = 'books-of-all';

let database: TestDatabase;
let admin: Client;
let pool: Pool;
let ledger: Ledger;
let projector: Projector;

/** One that signs at our request. */
const witness = generateKeyPairSync('ed25519');
const witnessKey = noteKey('witness.example/w', keyTypes.cosignature, publicBytes(witness.privateKey));

const verify = (books?: readonly string[]): Promise<Verification> => verifyBooks(pool, { books, witnesses: [witnessKey] });
const said = ({ books, installation }: Verification): string[] =>
  [...installation, ...books.flatMap(({ findings }) => findings)].map(({ message }) => message);

beforeAll(async () => {
  database = await testDatabase();
  admin = await connect(database.adminUrl);
  pool = openPool(database.appUrl, { max: 4 });
  const store = new EventStore(pool, catalogue);
  projector = new Projector(store, pool, { monthEndsEvery: 128 });
  ledger = new Ledger(store, {
    connect: () => connect(database.appUrl, { pipeline: true }),
    config: readConfig({}),
    release: '0.0.0-spec',
    personal: new Personal(new SubjectKeys(pool, new MasterKeys(pool, readConfig({ DATA_DIR: directory }))), store),
  });
  await history();
});
afterAll(async () => {
  await ledger?.close();
  await pool?.end();
  await admin?.end();
  await database?.drop();
});

let serial = 0;
const context = (more: Partial<CommandContext> = {}): CommandContext => ({
  key: `verify-${++serial}`,
  userId: '01930000-0000-7000-8000-000000000001',
  source: 'REST',
  ip: `192.0.2.${1 + (serial % 3)}`,
  userAgent: 'spec "1.0"',
  ...more,
});

async function done(command: Command, more?: Partial<CommandContext>): Promise<{ id: string }> {
  const answer = await ledger.execute(bookId, command, context(more));
  if (answer.status >= 400) throw new Error(`${command.type}: ${answer.body}`);
  return JSON.parse(answer.body) as { id: string };
}

/** A book with every type of event that a command writes, members that are seldom given, refusals, batches and corrections. */
async function history(): Promise<void> {
  const writer = {
    execute: (id: string, command: Command, given: CommandContext) => ledger.execute(id, command, given),
    executeBatch: (id: string, commands: readonly Commanded[]) =>
      Promise.all(commands.map((one) => ledger.execute(id, one.command, one.context))),
  };
  const builder = new HistoryBuilder(writer as unknown as ReferenceLedger, bookId, random(seed));
  await builder.open();
  await done({ type: 'DefineJournal', journalCode: 'SALES', name: 'Sales, “all”', journalType: 'sales' });
  await done({ type: 'EnableCurrency', code: 'BTC', scale: 8 });
  await done({
    type: 'OpenAccount',
    code: 'Wallet',
    name: 'Wallet',
    accountType: 'asset',
    currencies: ['BTC'],
    limits: [{ currency: 'BTC', min: '-1' }],
    metadata: { 10: 'ten', 2: ['two', 2.5, true] },
  });
  await done({ type: 'OpenAccount', code: 'Assets', name: 'All assets', accountType: 'asset', postable: false });
  await done({ type: 'OpenAccount', code: 'Short', name: 'Short-lived', accountType: 'asset', parent: 'Assets' });
  await done({ type: 'FreezeAccount', account: 'Short', reason: 'to see it' });
  await done({ type: 'UnfreezeAccount', account: 'Short' });
  await done({ type: 'RenameAccount', account: 'Short', name: 'Shorter' });
  await done({ type: 'CloseAccount', account: 'Short' });
  const sealing = new Sealing();
  for (let batch = 0; batch < 10; batch++) {
    await builder.batch();
    if (batch % 3 === 0) await sealing.seal();
  }
  await sealing.cosign();
  await sealing.rotate();
  await done({ type: 'OpenAccount', code: 'Other', name: 'Other', accountType: 'asset' });
  const { id } = await done(
    {
      type: 'PostEntry',
      effectiveDate: '2024-05-05',
      description: 'Rich\tentry “1.0”, \\ and 金',
      journalCode: 'SALES',
      reason: 'because',
      document: { type: 'invoice', number: 'INV-1', date: '2024-05-04' },
      source: { system: 'shop', id: '1' },
      metadata: { note: 'a 1.0 in a text', deep: [{ b: 1, a: 'x' }] },
      lines: [
        { account: 'Wallet', side: 'debit', amount: '0.5', currency: 'BTC', description: 'in', dimensions: [{ key: 'cost', value: 'k' }] },
        { account: 'Other', side: 'credit', amount: '0.5', currency: 'BTC', party: { id: 'p-1', kind: 'customer' } },
        {
          ...{ account: 'Other', side: 'credit', amount: '10', currency: 'EUR', baseAmount: '10' },
          dimensions: [
            { key: 'cost', value: 'k\tx' },
            { key: 'project', value: 'x' },
            { key: 'project', value: 'x' },
          ],
        },
        { account: 'Other', side: 'debit', amount: '10', currency: 'EUR' },
      ],
    },
    { correlationId: 'c-1', onBehalfOf: 'u-2' },
  );
  await done({ type: 'ReverseEntry', entryId: id, reason: 'wrong', effectiveDate: '2024-05-06' });
  await persons();
  const entry = (amount: string) => ({
    effectiveDate: '2024-05-05',
    description: 'One of several',
    lines: [
      { account: 'Other', side: 'debit' as const, amount, currency: 'EUR' },
      { account: 'Other', side: 'credit' as const, amount, currency: 'EUR' },
    ],
  });
  const second = await done({ type: 'PostEntry', ...entry('7') });
  await done({ ...entry('8'), type: 'CorrectEntry', entryId: second.id, reason: 'mistyped' });
  await done({ type: 'PostEntries', atomic: false, entries: [entry('1'), entry('1'), entry('2')] });
  await done({ type: 'PostEntries', atomic: true, entries: [entry('3'), entry('4')] });
  await done({ type: 'CreateDraft', ...entry('5') });
  const written = await done({ type: 'CreateDraft', ...entry('6'), lines: [], metadata: { 10: 'ten' } });
  await done({
    type: 'ReviseDraft',
    entryId: written.id,
    ...entry('6'),
    journalCode: 'SALES',
    document: { type: 'x', number: '1', date: '2024-05-04' },
  });
  await done({ type: 'SubmitDraft', entryId: written.id });
  await done({ type: 'RejectDraft', entryId: written.id, reason: 'not yet' });
  await done({ type: 'SubmitDraft', entryId: written.id, reason: 'now' });
  await done({ type: 'ApproveDraft', entryId: written.id }, { userId: '01930000-0000-7000-8000-000000000002' });
  await done({ type: 'ReverseEntry', entryId: written.id, reason: 'after all', effectiveDate: '2024-05-07' });
  const unwanted = await done({ type: 'CreateDraft', ...entry('7') });
  await done({ type: 'DiscardDraft', entryId: unwanted.id });
  await done({ type: 'DefineFiscalYear', label: 'FY-far', from: await lastDay(1), to: await lastDay(200) });
  await done({ type: 'PostEntry', ...entry('9') });
  const refused = await ledger.execute(bookId, { type: 'PostEntry', ...entry('1'), lines: entry('1').lines.slice(0, 1) }, context());
  expect(refused.status).toBe(422);
  await folded();
  await sealing.pack();
  await done({ type: 'PostEntry', ...entry('9.5') });
  await folded();
  await sealing.pack();
  await sealing.seal();
  await sealing.lose();
  await done({ type: 'PostEntry', ...entry('10') });
  await sealing.seal();
  await done({ type: 'PostEntry', ...entry('11') });
  await folded();
}

/** Parties with texts about them, one of which is erased. */
async function persons(): Promise<void> {
  await done({ type: 'DefineRetention', country: 'DE', documentType: 'books', years: 11, source: 'our own “rule”' });
  await done({ type: 'OpenAccount', code: 'Receivable', name: 'Receivable', accountType: 'asset', control: 'any' });
  const opened = () =>
    done({ type: 'OpenParty', kind: 'customer', country: 'DE', reference: 'C\t1', name: 'Jane', email: 'jane@example.org' });
  const [one, other] = [await opened(), await opened()];
  const about = (value: string) => ({ subject: one.id, value }) as unknown as string;
  const party = { id: one.id, kind: 'customer' };
  const content = {
    effectiveDate: '2024-05-05',
    description: about('Sale to Jane'),
    document: { type: 'invoice', number: '7', date: '2024-05-04' },
    metadata: { contact: { name: about('Jane') }, others: [about('J'), 'x'] },
    lines: [
      { account: 'Receivable', side: 'debit' as const, amount: '5', currency: 'EUR', party, description: about('Jane') },
      { account: 'Other', side: 'credit' as const, amount: '5', currency: 'EUR' },
    ],
  };
  const { id } = await done({ type: 'PostEntry', ...content });
  await done({ type: 'ReverseEntry', entryId: id, reason: 'wrong', effectiveDate: '2024-05-06' });
  await done({ type: 'PostEntries', atomic: true, entries: [content, content] });
  await done({ type: 'CreateDraft', ...content });
  await done({ type: 'ChangeParty', party: one.id, phone: '1', reason: 'new' });
  await done({ type: 'PlaceHold', party: other.id, hold: 'case', reason: 'law' });
  await done({ type: 'ReleaseHold', party: other.id, hold: 'case', reason: 'over' });
  await done({ type: 'CloseParty', party: other.id });
  const { position } = (await admin.query<{ position: number }>('SELECT position FROM log.book_heads WHERE book_id = $1', [bookId]))
    .rows[0] ?? {
    position: 0,
  };
  const [fingerprint, rule] = ['ab'.repeat(32), 'DE books, 11 years (our own “rule”)'];
  const computed = {
    keys: ['contact', 'entries-2024'].map((scope) => ({ fingerprint, scope })),
    retained: [{ rule, scope: 'entries-2024', until: '2035-12-31' }],
    position: Number(position),
  };
  await done({ type: 'ErasePerson', party: one.id, legalBasis: 'GDPR Art. 17', reason: 'asked', computed });
  await done({ type: 'EndRetention', party: other.id, reason: 'over', computed: { ...computed, retained: [] } });
}

/** The first day after the calendar of the book, and so many days on. */
async function lastDay(days: number): Promise<string> {
  const { rows } = await admin.query<{ day: string }>(
    "SELECT (max(data ->> 'to')::date + $2::int)::text AS day FROM log.events WHERE book_id = $1 AND event_type = 'FiscalYearDefined'",
    [bookId, days],
  );
  return rows[0]?.day ?? '';
}

const directory = mkdtempSync(join(tmpdir(), 'book-keeper-verify-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** The log as it is sealed while it grows: with another key in the middle, with a witness, and once under another name. */
class Sealing {
  private readonly config = readConfig({ DATA_DIR: directory });
  private readonly trees = new TreeStore(pool);
  private readonly who = { userId: 'u-1', reason: 'a “reason”\nof two lines' };

  seal = () => new Sealer(new EventStore(pool, catalogue), pool, { config: this.config }).seal(bookId);

  async pack(): Promise<void> {
    const store = new EventStore(pool, catalogue);
    const queries = new Queries(store, pool, { readWaitMs: 10_000 });
    const sealer = new Sealer(store, pool, { config: this.config });
    const source = {
      queries,
      store,
      reports: new Reports(store, queries),
      proofs: new Proofs(store, this.trees, queries),
      sealer,
      release: '0.0.0-spec',
      // Nothing in these books is about a person.
      personal: new Personal(new SubjectKeys(pool, new MasterKeys(pool, this.config)), store),
    };
    const { content } = await auditPack(source, bookId, { from: '2024-01-01', to: '2024-12-31' });
    for await (const _ of content);
  }

  async cosign(): Promise<void> {
    const checkpoint = await this.trees.signedCheckpoint(bookId);
    if (checkpoint === undefined) throw new Error('nothing is signed');
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(1_700_000_000n);
    const bytes = Buffer.concat([time, sign(null, cosignedMessage(checkpointText(checkpoint), 1_700_000_000), witness.privateKey)]);
    await this.trees.recordSignature(
      bookId,
      checkpoint.size,
      { name: witnessKey.name, keyId: witnessKey.id, bytes },
      1_700_000_000_000_000,
      false,
    );
  }

  rotate = () => rotateKey(this.trees, this.config, { lost: false, ...this.who });

  /** As after a backup that lacks a million events: somewhere outside there is a checkpoint of them. */
  async lose(): Promise<void> {
    const key = (await this.trees.signingKeys()).at(-1);
    const origin = (await this.trees.origins(bookId)).at(-1)?.origin as string;
    const known = noteKey(key?.name as string, keyTypes.ed25519, key?.publicKey as Buffer);
    const text = checkpointText({ origin, size: 1_000_000, root: Buffer.alloc(32) });
    const bytes = sign(null, Buffer.from(text), readFileSync(join(directory, 'signing-key.pem')));
    mkdirSync(join(directory, 'checkpoints', origin), { recursive: true });
    writeFileSync(
      join(directory, 'checkpoints', origin, 'checkpoint'),
      noteText({ text, signatures: [{ name: known.name, keyId: known.id, bytes }] }),
    );
    const sealer = new Sealer(new EventStore(pool, catalogue), pool, { config: this.config });
    await expect(sealer.seal(bookId)).rejects.toThrow('restored from an old backup');
    expect(await sealer.acceptLoss(bookId, this.who)).toMatchObject([{ origin: `${origin}~2` }]);
  }
}

async function folded(): Promise<void> {
  while ((await projector.fold(bookId)) !== 'done');
  await projector.keepMonthEnds(bookId);
}

describe('what the ledger wrote', () => {
  it('is found to be right, all of it', async () => {
    const verification = await verify();
    expect(said(verification)).toEqual([]);
    expect(verification.clean).toBe(true);
    const book = verification.books.find((known) => known.bookId === bookId);
    const { rows } = await admin.query('SELECT count(*) FROM log.events WHERE book_id = $1', [bookId]);
    expect(book?.events).toBe(rows[0].count);
    expect(book?.rows).toBeGreaterThan(book?.events ?? 0);
  });

  it.each([
    ['early', '1900-01-01'],
    ['late', '2199-12-31'],
  ])('is right where a fiscal year goes beyond the days that may be posted to (%s)', async (id, effectiveDate) => {
    const execute = async (command: Command): Promise<void> => {
      const answer = await ledger.execute(id, command, context());
      if (answer.status >= 400) throw new Error(answer.body);
    };
    await execute({ type: 'OpenBook', id, name: id, baseCurrency: 'EUR', fiscalYearStart: '04-06', startsOn: effectiveDate });
    for (const code of ['a', 'b']) await execute({ type: 'OpenAccount', code, name: code, accountType: 'asset' });
    const line = (account: string, side: 'debit' | 'credit') => ({ account, side, amount: '1', currency: 'EUR' });
    await execute({ type: 'PostEntry', effectiveDate, description: 'At the edge', lines: [line('a', 'debit'), line('b', 'credit')] });
    while ((await projector.fold(id)) !== 'done');
    expect(said(await verify([id]))).toEqual([]);
  });
});

// --- As superuser ---

interface Column {
  readonly table: string;
  readonly column: string;
  readonly type: string;
}

/** What nobody can tell, with the reason; everything else must be found. */
const untold: Readonly<Record<string, string>> = {
  'log.book_heads.tail': 'random',
  'log.book_heads.recorded_floor': 'moved by questions',
  'log.books.registered_at': 'no event tells it',
  'log.receipts.replays': 'counts questions',
  'log.receipts.members': 'no event tells what the command said; only their form is known',
  'log.checkpoints.recorded_at': 'no event tells when a head was recorded, and no signature',
  'log.checkpoint_signatures.signed_at': 'nor when it was signed',
  'log.audit_packs.begun_at': 'nor when a pack was begun',
  'log.audit_packs.release': 'nor which release built it',
  'log.audit_packs.question': 'its signed note tells the position and the manifest, not what was asked for',
};

/** Rows whose content the events tell; and, where the first one would do, the row to change. */
const rowsToChange: Readonly<Record<string, string>> = {
  'log.receipts': 'position IS NOT NULL',
  'log.receipts.members': 'position IS NOT NULL AND members IS NOT NULL',
  'log.receipts.item': "item = 0 AND command = 'PostEntry' AND position IS NOT NULL",
  'log.events.data': "data <> '{}'",
  // A list of drafts that never had one may be missing.
  'log.heads': 'version > 1',
  'log.heads.version_before': 'version_before > 0',
  // Older ones may be taken away without a trace here; whoever kept them has them.
  'log.checkpoints': 'size = (SELECT max(c.size) FROM log.checkpoints c WHERE c.book_id = checkpoints.book_id)',
  'log.checkpoint_signatures': "name LIKE 'book-keeper/%'",
  'log.origins': 'number = 2',
  'log.signing_keys': 'number = 2',
  // That the newest one was taken away is known to whoever has it.
  'log.audit_packs': 'number = 1',
  'log.audit_packs.since_position': 'number = 2',
  'projections.entries.reference': 'reference IS NOT NULL',
  'projections.account_lines.base_amount': 'base_amount IS NOT NULL',
  'projections.month_ends.base_debit': 'base_debit IS NOT NULL',
  'projections.month_ends.base_credit': 'base_credit IS NOT NULL',
  // On the first of a month there may be a row of the other bucket.
  'projections.running_totals.bucket': "bucket = 'D' AND extract(day FROM start) <> 1",
  'projections.running_totals.base_debit': 'base_debit IS NOT NULL',
  'projections.running_totals.base_credit': 'base_credit IS NOT NULL',
  'projections.dimension_lines.base_amount': 'base_amount IS NOT NULL',
  'projections.parties.reference': 'reference IS NOT NULL',
  'projections.party_mentions.effective_date': 'effective_date IS NOT NULL',
  'projections.party_mentions.fiscal_year': 'fiscal_year IS NOT NULL',
  'projections.party_mentions.document_type': 'document_type IS NOT NULL',
  'projections.party_mentions.scope': "scope <> ''",
  'projections.party_keys.until': 'until IS NOT NULL',
  'projections.party_keys.fingerprint': 'fingerprint IS NOT NULL',
  // Between two batch ends with nothing to fold the chart's cursor may stand anywhere.
  'projections.cursors.position': "projection = 'register'",
};

const tables = [
  ...['events', 'batches', 'book_heads', 'heads', 'stream_names', 'receipts', 'command_contexts', 'books'].map((table) => `log.${table}`),
  ...['trees', 'tiles', 'checkpoints', 'checkpoint_signatures', 'origins', 'signing_keys', 'audit_packs'].map((table) => `log.${table}`),
  ...['cursors', 'running_totals', 'account_lines', 'entries', 'month_ends', 'account_versions', 'dimension_lines'].map(
    (table) => `projections.${table}`,
  ),
  ...['parties', 'party_mentions', 'party_keys'].map((table) => `projections.${table}`),
];

/** The same value but for one digit, letter or bit; several, because one may be refused by a key or a type. */
function changed(text: string, type: string): string[] {
  if (type === 'boolean') return [text === 'true' ? 'false' : 'true'];
  if (type === '"char"') return ['C', 'D', 'Y', 'M'].filter((letter) => letter !== text);
  const at = (place: number, instead: string): string => text.slice(0, place) + instead + text.slice(place + 1);
  const candidates: string[] = [];
  // By less than the clock can tell apart, so that it is the instant of nothing else.
  if (type.startsWith('timestamp')) candidates.push(text.replace(/(\.\d{1,5})?\+/, (_, fraction = '.') => `${fraction.padEnd(6, '0')}1+`));
  for (let place = text.length - 1; place >= 0; place--) {
    const unit = text[place] as string;
    if (type.startsWith('timestamp') && place >= text.length - 3) continue; // the zone
    if (/\d/.test(unit)) candidates.push(at(place, String((Number(unit) + 1) % 10)), at(place, String((Number(unit) + 4) % 10)));
    else if (/[a-z]/i.test(unit))
      candidates.push(
        at(
          place,
          unit === 'a'
            ? 'b'
            : unit === 'A'
              ? 'B'
              : unit === 'b'
                ? 'c'
                : type === 'bytea' || type === 'uuid'
                  ? 'a'
                  : unit === 'x'
                    ? 'y'
                    : 'x',
        ),
      );
  }
  if (type === 'bigint' || type === 'integer' || type === 'smallint') candidates.push(`${text}7`, `${text}701`, `${Number(text) + 1}`);
  return candidates;
}

/** What a message calls a row. */
function nameOf(table: string, row: Readonly<Record<string, unknown>>): string {
  switch (table) {
    case 'log.events':
      return `event ${String(row.position)} `;
    case 'log.batches':
      return `batch`;
    case 'log.book_heads':
      return `log.book_heads ${String(row.book_id)}`;
    case 'log.heads':
      return `log.heads ${String(row.stream_id)}`;
    case 'log.stream_names':
      return `log.stream_names ${String(row.category)} ${JSON.stringify(row.name)}`;
    case 'log.receipts':
      return `key ${JSON.stringify(row.key)}`;
    case 'log.command_contexts':
      return `log.command_contexts ${(row.context_hash as Buffer).toString('hex')}`;
    case 'log.books':
      return `log.books`;
    case 'log.trees':
      return `log.trees ${String(row.book_id)}`;
    case 'log.tiles':
      return `log.tiles ${String(row.level)}/${String(row.tile)}`;
    case 'log.checkpoints':
    case 'log.checkpoint_signatures':
      return `log.checkpoints ${String(row.size)}`;
    case 'log.origins':
      return `log.origins ${String(row.book_id)}`;
    case 'log.signing_keys':
      return `log.signing_keys`;
    case 'log.audit_packs':
      return `log.audit_packs ${String(row.book_id)}`;
    case 'projections.cursors':
      return `projections.cursors ${String(row.projection)}`;
    case 'projections.running_totals':
      return `projections.running_totals ${String(row.position)}/${String(row.account_id)}/${String(row.currency)}/${String(row.bucket)}/${String(row.start)}`;
    case 'projections.month_ends':
      return `projections.month_ends ${String(row.position)}`;
    case 'projections.account_lines':
      return `projections.account_lines ${String(row.position)}/${String(row.line)}`;
    case 'projections.entries':
      return `projections.entries ${String(row.position)}`;
    case 'projections.parties':
      return `projections.parties ${String(row.position)}/${String(row.party_id)}`;
    case 'projections.party_mentions':
      return `projections.party_mentions ${String(row.position)}/${String(row.party_id)}/${String(row.ordinal)}`;
    case 'projections.party_keys':
      return `projections.party_keys ${String(row.position)}/${String(row.party_id)}/${String(row.scope)}`;
    case 'projections.dimension_lines':
      return `projections.dimension_lines ${String(row.position)}/${String(row.line)}/${String(row.key)}/${String(row.value).replace('\t', '\\t')}`;
    default:
      return `projections.account_versions ${String(row.position)}/${String(row.account_id)}`;
  }
}

describe(`as superuser (SEED=${seed})`, () => {
  const chance = random(seed + 1);
  let columns: Column[];

  beforeAll(async () => {
    // What stands in place of cold events: cold-store.int.spec.ts, whose book has some.
    const { rows } = await admin.query<Column>(
      `SELECT table_schema || '.' || table_name AS table, column_name AS column,
              CASE data_type WHEN 'ARRAY' THEN substr(udt_name, 2) || '[]' ELSE data_type END AS type
         FROM information_schema.columns WHERE table_schema IN ('log', 'projections') AND table_name NOT IN ('builds', 'archived_ranges', 'archived_streams') ORDER BY 1, ordinal_position`,
    );
    columns = rows;
    for (const table of tables) await admin.query(`CREATE TABLE ${backupOf(table)} AS SELECT * FROM ${table}`);
  });
  afterEach(() => admin.query('ROLLBACK'));

  const backupOf = (table: string): string => `public.kept_${table.replace('.', '_')}`;

  /** Runs a change with triggers switched off, verifies, and puts the tables back as they were. */
  async function tampered(changed: string | readonly string[], change: () => Promise<unknown>): Promise<Verification> {
    await admin.query('BEGIN');
    await admin.query("SET LOCAL session_replication_role = 'replica'");
    await change();
    await admin.query('COMMIT');
    try {
      return await verify();
    } finally {
      await admin.query('BEGIN');
      await admin.query("SET LOCAL session_replication_role = 'replica'");
      for (const table of [changed].flat()) {
        await admin.query(`DELETE FROM ${table}`);
        await admin.query(`INSERT INTO ${table} SELECT * FROM ${backupOf(table)}`);
      }
      await admin.query('COMMIT');
    }
  }

  /** A row of the book, as the superuser sees it. */
  async function pick(table: string, where = 'true'): Promise<Record<string, unknown> & { place: string }> {
    const ofBook = table === 'log.signing_keys' ? '$1::text IS NOT NULL' : 'book_id = $1';
    const { rows } = await admin.query(`SELECT ctid::text AS place, * FROM ${table} WHERE ${ofBook} AND (${where})`, [bookId]);
    if (rows.length === 0) throw new Error(`${table} has no row where ${where}`);
    return chance.pick(rows);
  }

  it('the tables are the ones that are known here', () => {
    expect([...new Set(columns.map(({ table }) => table))].sort()).toEqual([...tables].sort());
  });

  /** Verifies with one changed value in a row. @returns what was missed, or whether there was nothing to tell */
  async function missedIn({ table, column, type }: Column, where: string | undefined): Promise<string | 'untold' | undefined> {
    const name = `${table}.${column}`;
    const row = await pick(table, where);
    const { rows } = await admin.query<{ text: string }>(`SELECT ${column}::text AS text FROM ${table} WHERE ctid = $1::tid`, [row.place]);
    const text = rows[0]?.text as string;
    let applied = '';
    let refusal = '';
    const verification = await tampered(table, async () => {
      for (const candidate of changed(text, type)) {
        await admin.query('SAVEPOINT one');
        try {
          await admin.query(`UPDATE ${table} SET ${column} = $1::text::${type} WHERE ctid = $2::tid`, [candidate, row.place]);
          applied = candidate;
          return;
        } catch (error) {
          refusal = String(error);
          await admin.query('ROLLBACK TO one');
        }
      }
      throw new Error(`no other value of ${name} was taken instead of ${text}: ${refusal}`);
    });
    const messages = said(verification);
    if (untold[name] !== undefined) {
      expect(verification.notChecked.join('\n')).toContain(name.split('.')[1]);
      return 'untold';
    }
    const names = [
      nameOf(table, row),
      nameOf(table, { ...row, [column]: type === 'bytea' ? Buffer.from(applied.slice(2), 'hex') : applied }),
    ];
    if (table === 'projections.cursors') names.push(`the cursor stands at ${applied}`);
    const told = messages.some(
      (message) => names.some((known) => message.includes(known)) || (column === 'book_id' && message.includes(table)),
    );
    return verification.clean || !told ? `${name}: ${text} → ${applied}\n    ${messages.slice(0, 3).join('\n    ')}` : undefined;
  }

  it('one changed value in any column is found, and its row named', async () => {
    const missed: string[] = [];
    let found = 0;
    for (const column of columns) {
      const name = `${column.table}.${column.column}`;
      const outcome = await missedIn(column, rowsToChange[name] ?? rowsToChange[column.table]);
      if (outcome === undefined) found++;
      else if (outcome !== 'untold') missed.push(outcome);
    }
    expect(missed).toEqual([]);
    expect(found).toBe(columns.length - Object.keys(untold).length);
    expect(said(await verify())).toEqual([]);
  }, 240_000);

  it.each([
    ['a leg', "event_type IN ('AccountDebited', 'AccountCredited') AND NOT data ? 'baseAmount'"],
    [
      'an entry without anything that is seldom',
      "event_type = 'JournalEntryPosted' AND strpos(data::text, '\\') = 0 AND NOT data ?| '{links,document,source,metadata}'",
    ],
  ])('so it is where %s is read in a short way', async (_, where) => {
    for (const column of columns.filter(({ table }) => table === 'log.events')) expect(await missedIn(column, where)).toBeUndefined();
  });

  it('a change in any member of a leg or an entry is found, and its event named', async () => {
    const missed: string[] = [];
    for (const type of ['AccountDebited', 'JournalEntryPosted', 'JournalRevised']) {
      const { position, data } = (await pick('log.events', `event_type = '${type}'`)) as unknown as { position: number; data: object };
      const [line] = 'lines' in data ? (data.lines as object[]) : [];
      const paths = [...Object.keys(data).map((member) => [member]), ...Object.keys(line ?? {}).map((member) => ['lines', '0', member])];
      for (const path of paths) {
        const verification = await tampered('log.events', () =>
          // A number keeps its value and is printed in another way; a text loses its first character, whatever it is.
          admin.query(
            `UPDATE log.events SET data = jsonb_set(data, $3::text[], CASE jsonb_typeof(data #> $3::text[])
               WHEN 'number' THEN (data #>> $3::text[] || '.0')::jsonb
               WHEN 'string' THEN to_jsonb(substr(data #>> $3::text[], 2)) ELSE '[]' END)
              WHERE book_id = $1 AND position = $2`,
            [bookId, position, path],
          ),
        );
        if (!said(verification).some((message) => message.includes(`event ${position} (`))) missed.push(`${type} ${path.join('.')}`);
      }
    }
    expect(missed).toEqual([]);
  });

  it('a row that was deleted is found', async () => {
    // A context may be erased at any time.
    for (const table of tables.filter((name) => name !== 'log.command_contexts')) {
      const row = await pick(table, rowsToChange[table]);
      const verification = await tampered(table, () => admin.query(`DELETE FROM ${table} WHERE ctid = $1::tid`, [row.place]));
      expect([table, verification.clean]).toEqual([table, false]);
      // The row before is the last one of its batch then; a missing event is a missing position.
      const name =
        table === 'log.events'
          ? `position ${row.position} is missing`
          : table === 'log.receipts'
            ? `key ${JSON.stringify(row.key)}`
            : nameOf(table, row);
      if (table !== 'projections.cursors') expect(said(verification).join('\n')).toContain(name);
    }
  });

  it('a row that was added is found', async () => {
    const added: Readonly<Record<string, Readonly<Record<string, string>>>> = {
      'log.events': { position: 'position + 100000', version: 'version + 100000' },
      'log.batches': { last_position: 'last_position + 100000', recorded_at: "recorded_at + interval '1 hour'" },
      'log.heads': { stream_id: "'00000000-0000-7000-8000-000000000001'" },
      'log.stream_names': { name: "name || ' too'" },
      'log.receipts': { key: "key || ' too'" },
      'log.tiles': { tile: 'tile + 1' },
      'log.checkpoints': { size: 'size - 1' },
      'log.checkpoint_signatures': { size: 'size - 1' },
      'log.origins': { number: 'number + 1' },
      'log.signing_keys': { number: 'number + 1' },
      'log.audit_packs': { number: 'number + 2', question: "question || ' '" },
      'log.command_contexts': { context_hash: 'set_byte(context_hash, 0, get_byte(context_hash, 0) # 1)' },
      'projections.cursors': { projection: "projection || ' too'" },
      'projections.running_totals': { start: 'start + 1' },
      'projections.account_lines': { line: 'line + 100' },
      'projections.month_ends': { currency: "'XTS'" },
      'projections.entries': { position: 'position + 100000', number: 'number + 1000' },
      'projections.account_versions': { position: 'position + 100000' },
      'projections.dimension_lines': { value: "value || ' too'" },
      'projections.parties': { position: 'position + 100000', party_id: 'gen_random_uuid()' },
      'projections.party_mentions': { ordinal: 'ordinal + 1000' },
      'projections.party_keys': { scope: "scope || 'x'" },
    };
    for (const [table, changes] of Object.entries(added)) {
      const row = await pick(table, rowsToChange[table]);
      const names = columns.filter((known) => known.table === table).map(({ column }) => column);
      const verification = await tampered(table, () =>
        admin.query(
          `INSERT INTO ${table} (${names.join(', ')}) SELECT ${names.map((name) => changes[name] ?? name).join(', ')} FROM ${table} WHERE ctid = $1::tid`,
          [row.place],
        ),
      );
      expect([table, verification.clean]).toEqual([table, false]);
    }
  });

  it('rows of a version that another release folds are not compared, and that is said', async () => {
    const verification = await tampered('projections.cursors', async () => {
      await admin.query("UPDATE projections.builds SET version = 7 WHERE projection = 'register'");
      await admin.query("UPDATE projections.cursors SET version = 7 WHERE projection = 'register'");
    }).finally(() => admin.query("UPDATE projections.builds SET version = 2 WHERE projection = 'register'"));
    expect(said(verification)).toEqual([]);
    expect(verification.notChecked).toContain(`book ${bookId}: projection register, which is live in a version of another release`);
  });

  describe('heads of other releases', () => {
    /** Those whose state this release keeps in another form than the first one did: the Book and the counters of years. */
    const renewed = 'reducer_version = 2';
    const change = (set: string, where: string) => async (): Promise<number> =>
      (await admin.query(`UPDATE log.heads SET ${set} WHERE book_id = $1 AND ${where}`, [bookId])).rowCount ?? 0;
    const notes = (verification: Verification): string[] => verification.notChecked.filter((note) => note.includes('folded anew'));

    it('an earlier one’s are counted: decisions fold them anew', async () => {
      let older = 0;
      const verification = await tampered('log.heads', async () => {
        older = await change('reducer_version = 1, state = \'{"form":"of then"}\'', renewed)();
      });
      expect(older).toBeGreaterThan(1);
      expect(said(verification)).toEqual([]);
      expect(verification.books[0]).toMatchObject({ olderHeads: older });
      expect(notes(verification)).toEqual([
        `book ${bookId}: the states of ${older} heads of an earlier release, folded anew when next needed`,
      ]);
      expect((await verify()).books[0]).toMatchObject({ olderHeads: 0 });
    });

    it('beside them a wrong state of this release’s is found, and a version that the stream does not have', async () => {
      const account = await pick('log.heads', 'reducer_version = 1');
      const older = await pick('log.heads', renewed);
      const verification = await tampered('log.heads', async () => {
        await change('reducer_version = 1', renewed)();
        await change("state = '{}'", `stream_id = '${String(account.stream_id)}'`)();
        await change('version = version + 1', `stream_id = '${String(older.stream_id)}'`)();
      });
      const found = said(verification);
      expect(found).toHaveLength(2);
      expect(found).toContainEqual(
        expect.stringMatching(`^log\\.heads ${String(account.stream_id)} \\(.*\\): state is {}, the events make it {`),
      );
      expect(found).toContainEqual(
        expect.stringMatching(`^log\\.heads ${String(older.stream_id)} \\(.*\\): version is ${Number(older.version) + 1}, the events`),
      );
    });

    it('a newer one’s are named, and their state is not doubted', async () => {
      const account = await pick('log.heads', 'reducer_version = 1');
      const verification = await tampered(
        'log.heads',
        change("reducer_version = 7, state = '{}'", `stream_id = '${String(account.stream_id)}'`),
      );
      expect(said(verification)).toEqual([
        expect.stringMatching(
          `^log\\.heads ${String(account.stream_id)} \\(.*\\): reducer_version is 7, this release knows 1 at most: a newer release wrote it; verify with that one`,
        ),
      ]);
      expect(verification.clean).toBe(false);
      expect(verification.books[0]).toMatchObject({ bookId, olderHeads: 0 });
    });

    it('an account’s without the sums of base amounts is as a release before them left it; any other sum is found', async () => {
      const { rows } = await admin.query<{ id: string; state: { totals?: string[][] } }>(
        'SELECT stream_id AS id, state FROM log.heads WHERE book_id = $1',
        [bookId],
      );
      const known = rows.filter(({ state }) => state.totals?.some?.(({ length }) => length === 4));
      expect(known.length).toBeGreaterThan(0);
      const withTotals = (of: (total: string[]) => string[]) => async (): Promise<void> => {
        for (const { id, state } of known)
          await admin.query('UPDATE log.heads SET state = $2 WHERE book_id = $3 AND stream_id = $1', [
            ...[id, JSON.stringify({ ...state, totals: state.totals?.map(of) }), bookId],
          ]);
      };
      const before = await tampered(
        'log.heads',
        withTotals((total) => total.slice(0, 3)),
      );
      expect(said(before)).toEqual([]);
      const other = await tampered(
        'log.heads',
        withTotals((total) => [...total.slice(0, 3), ...total.slice(3).map((sum) => `${sum}1`)]),
      );
      expect(said(other)).toHaveLength(known.length);
      for (const state of ['null', '{"totals":5}', '{"totals":[null]}', '[]']) {
        const damaged = await tampered('log.heads', () =>
          admin.query('UPDATE log.heads SET state = $1 WHERE book_id = $2 AND stream_id = $3', [state, bookId, known[0]?.id]),
        );
        expect(said(damaged)).toHaveLength(1);
      }
    });

    it('one that no release can have written is found', async () => {
      const account = await pick('log.heads', 'reducer_version = 1');
      const verification = await tampered('log.heads', change('reducer_version = 0', `stream_id = '${String(account.stream_id)}'`));
      expect(said(verification)).toEqual([expect.stringContaining('reducer_version is 0, the first one is 1')]);
    });
  });

  it('what two rows have exchanged is found at both', async () => {
    const exchange = (table: string, column: string, where: string) => async (): Promise<void> => {
      const { rows } = await admin.query(
        `SELECT ctid::text AS place, ${column}::text AS value FROM ${table} WHERE book_id = $1 AND ${where} ORDER BY position`,
        [bookId],
      );
      const [one, other] = [rows[0], rows.find(({ value }) => value !== rows[0].value)];
      const { type } = columns.find((known) => known.table === table && known.column === column) as Column;
      for (const [place, value] of [
        [one.place, other.value],
        [other.place, one.value],
      ])
        await admin.query(`UPDATE ${table} SET ${column} = $1::text::${type} WHERE ctid = $2::tid`, [value, place]);
    };
    const verifications = [
      await tampered('log.events', exchange('log.events', 'data', "event_type = 'AccountDebited'")),
      await tampered('log.events', exchange('log.events', 'data', "event_type = 'JournalEntryPosted'")),
      await tampered('log.receipts', exchange('log.receipts', 'answer', "command = 'PostEntry' AND position IS NOT NULL")),
      await tampered('projections.account_lines', exchange('projections.account_lines', 'amount', "currency = 'EUR'")),
      await tampered('projections.running_totals', exchange('projections.running_totals', 'debit', "currency = 'EUR'")),
      await tampered('projections.entries', exchange('projections.entries', 'entry_id', 'true')),
    ];
    for (const verification of verifications) expect(verification.found).toBeGreaterThanOrEqual(2);
  });

  it('a floor far ahead of every clock is found: all that is recorded from now on would stand after it (I10)', async () => {
    const verification = await tampered('log.book_heads', () =>
      admin.query("UPDATE log.book_heads SET recorded_floor = '2999-01-01' WHERE book_id = $1", [bookId]),
    );
    expect(said(verification)).toEqual([expect.stringContaining('recorded_floor is 2999-01-01T00:00:00.000000Z, more than a day ahead')]);
  });

  it('the first bad event is named, with what is wrong with it', async () => {
    const { position } = await pick('log.events', "event_type = 'AccountDebited' AND (data ->> 'currency') = 'EUR'");
    const verification = await tampered('log.events', () =>
      admin.query(`UPDATE log.events SET data = jsonb_set(data, '{amount}', '"123456.78"') WHERE book_id = $1 AND position = $2`, [
        bookId,
        position,
      ]),
    );
    const first = verification.books.find((book) => book.bookId === bookId)?.first;
    expect(first).toMatchObject({ check: 'leaf hash', bookId, position });
    expect(said(verification).join('\n')).toMatch(
      new RegExp(`event ${position} \\(AccountDebited.*: its amount is "123456.78", line \\d+ of entry \\S+ at position \\d+ makes it`),
    );
  });

  it('the first bad event is named also where a row of a projection before it is bad too', async () => {
    const { position } = await pick('log.events', "event_type = 'AccountDebited' AND position > 20");
    const verification = await tampered(['projections.entries', 'log.events'], async () => {
      await admin.query("UPDATE projections.entries SET entry_type = '?' WHERE book_id = $1", [bookId]);
      await admin.query('UPDATE log.events SET leaf_hash = sha256(leaf_hash) WHERE book_id = $1 AND position = $2', [bookId, position]);
    });
    const first = verification.books.find((book) => book.bookId === bookId)?.first;
    expect(first).toMatchObject({ check: 'leaf hash', bookId, position });
  });

  it('a character that cannot be seen is found and written out', async () => {
    const { position } = await pick('projections.entries', 'reference IS NULL');
    const verification = await tampered('projections.entries', () =>
      admin.query('UPDATE projections.entries SET entry_type = entry_type || chr(1) WHERE book_id = $1 AND position = $2', [
        bookId,
        position,
      ]),
    );
    expect(said(verification)).toEqual([expect.stringMatching(/entry_type is "\w+\\u\{1\}", the events make it \w+$/)]);
  });

  it('an event whose leaf hash was made anew is told by what it contradicts', async () => {
    // Whoever knows the format can make the hash of one event fit; the heads and totals that rest on it do not.
    const { position } = await pick('log.events', "event_type = 'JournalEntryPosted'");
    const verification = await tampered('log.events', async () => {
      await admin.query(
        `UPDATE log.events SET data = jsonb_set(data, '{lines,0,amount}', '"99999.99"') WHERE book_id = $1 AND position = $2`,
        [bookId, position],
      );
      const { rows } = await admin.query<StoredEvent>(
        `SELECT book_id AS "bookId", position, stream_id AS "streamId", version, event_type AS "eventType", event_version AS "eventVersion",
                event_id AS "eventId", recorded_at AS "recordedAt", data, metadata, leaf_hash AS "leafHash" FROM log.events WHERE book_id = $1 AND position = $2`,
        [bookId, position],
      );
      await admin.query('UPDATE log.events SET leaf_hash = $3 WHERE book_id = $1 AND position = $2', [
        bookId,
        position,
        leafHashOf(catalogue, rows[0] as StoredEvent),
      ]);
    });
    const messages = said(verification);
    expect(messages.filter((message) => message.includes('leaf_hash'))).toEqual([]);
    expect(messages.join('\n')).toContain(`event ${position} (JournalEntryPosted`);
  });

  it.each([
    [
      'a trigger that is switched off',
      'ALTER TABLE log.events DISABLE TRIGGER events_append_only',
      'trigger events_append_only is disabled',
    ],
    ['a trigger that was dropped', 'DROP TRIGGER receipts_append_only ON log.receipts', 'trigger receipts_append_only is missing'],
    ['a grant', 'GRANT UPDATE (data) ON log.events TO book_keeper_auditor', 'book_keeper_auditor may UPDATE on log.events'],
    ['a grant to everybody', 'GRANT DELETE ON log.receipts TO PUBLIC', 'PUBLIC may DELETE on log.receipts'],
    [
      'a function that was replaced',
      "CREATE OR REPLACE FUNCTION log.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
      'function log.refuse_change is not the one that a migration made',
    ],
    [
      'a key that was dropped',
      'ALTER TABLE log.events DROP CONSTRAINT events_stream_version',
      'constraint events_stream_version is missing',
    ],
    ['an owner that was changed', 'ALTER TABLE log.receipts OWNER TO book_keeper_auditor', 'log.receipts belongs to book_keeper_auditor'],
  ])('%s is found', async (_, statement, message) => {
    const other = await copyOfDatabase();
    try {
      const elsewhere = await connect(other.url);
      await elsewhere.query(statement);
      await elsewhere.end();
      const otherPool = openPool(other.url, { max: 1 });
      const verification = await verifyBooks(otherPool, { books: [] });
      await otherPool.end();
      expect(said(verification).join('\n')).toContain(message);
      expect(verification.installation[0]).toMatchObject({ check: 'append-only' });
    } finally {
      await other.drop();
    }
  });

  /** Another migrated database, empty: what is installed in it may be spoiled. */
  async function copyOfDatabase(): Promise<{ url: string; drop(): Promise<void> }> {
    const copy = await testDatabase();
    return { url: copy.adminUrl, drop: () => copy.drop() };
  }
});

describe('book-keeper verify', () => {
  async function run(...args: string[]): Promise<{ status: number | string; out: string }> {
    const directory = mkdtempSync(join(tmpdir(), 'book-keeper-spec-'));
    const script = runScript('apps/cli/src/main.ts', ['verify', ...args], {
      DATABASE_URL: database.appUrl,
      DATA_DIR: directory,
      BOOTSTRAP_API_KEY: 'bk_specs_only_0123456789abcdef',
    });
    let out = '';
    script.process.stdout?.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
    const status = await script.ended;
    rmSync(directory, { recursive: true, force: true });
    return { status, out };
  }

  it('ends with 0 when nothing was found, and says what was not checked', async () => {
    const { status, out } = await run();
    expect(status).toBe(0);
    expect(out).toContain(`${bookId}: `);
    expect(out).toContain('Nothing wrong in ');
    expect(out).toMatch(/Not checked:\n {2}log\.book_heads\.tail/);
  });

  it('counts heads of an earlier release, which are no damage and are gone with the next command', async () => {
    const heads =
      "UPDATE log.heads SET reducer_version = $2 WHERE book_id = $1 AND stream_id = (SELECT stream_id FROM log.heads WHERE book_id = $1 AND jsonb_exists(state::jsonb, 'fiscalYears'))";
    expect((await admin.query(heads, [bookId, 1])).rowCount).toBe(1);
    const { status, out } = await run(bookId);
    await admin.query(heads, [bookId, 2]);
    expect(status).toBe(0);
    expect(out).toMatch(/ heads \(1 of an earlier release, folded anew when next needed\), /);
  });

  it('ends with 1 when something was found, and names it', async () => {
    await admin.query(
      "UPDATE projections.entries SET entry_type = 'opening' WHERE book_id = $1 AND position = (SELECT min(position) FROM projections.entries WHERE book_id = $1)",
      [bookId],
    );
    const { status, out } = await run(bookId, '--json');
    await admin.query(
      "UPDATE projections.entries SET entry_type = 'normal' WHERE book_id = $1 AND position = (SELECT min(position) FROM projections.entries WHERE book_id = $1)",
      [bookId],
    );
    expect(status).toBe(1);
    const verification = JSON.parse(out) as Verification;
    expect(verification.clean).toBe(false);
    expect(said(verification)).toEqual([expect.stringContaining('entry_type is opening, the events make it normal')]);
  });

  it('ends with 2 when it could not be checked', async () => {
    expect((await run('nowhere')).status).toBe(2);
  });
});

it('a book that does not exist cannot be verified', async () => {
  await expect(verify(['nowhere'])).rejects.toMatchObject({ code: 'book_unknown' });
});

it('ends early when it is told to', async () => {
  const stop = new AbortController();
  await expect(verifyBooks(pool, { signal: stop.signal, onProgress: () => stop.abort() })).rejects.toThrow('abort');
});

describe('while others write and fold', () => {
  it('one snapshot is right at every moment', async () => {
    let stop = false;
    let posted = 0;
    const writer = async (): Promise<void> => {
      while (!stop) {
        const lines = ['debit' as const, 'credit' as const].map((side) => ({ account: 'Other', side, amount: '1', currency: 'EUR' }));
        await done({ type: 'PostEntry', effectiveDate: '2024-05-05', description: 'Meanwhile', lines });
        posted++;
      }
    };
    projector.start();
    const writers = Array.from({ length: 8 }, writer);
    try {
      const seen: number[] = [];
      for (let round = 0; round < 4; round++) {
        const before = posted;
        const verification = await verify();
        expect(said(verification)).toEqual([]);
        seen.push(verification.events);
        while (posted < before + 20) await new Promise((resolve) => setImmediate(resolve));
      }
      expect(seen).toEqual([...seen].sort((a, b) => a - b));
      expect(new Set(seen).size).toBeGreaterThan(1);
    } finally {
      stop = true;
      await Promise.all(writers);
      await projector.stop();
    }
    await folded();
    expect(said(await verify())).toEqual([]);
  });
});
