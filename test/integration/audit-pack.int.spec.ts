/**
 * Audit packs of the real service, checked by the auditor's own verifier as a program of its own: what is packed holds; the same question has the
 * same bytes; one changed byte in any file is found; and whatever somebody who owns the database rewrites, with every hash, tile and head
 * made anew and signed again by a service that cannot know better, is found by a checkpoint that was kept elsewhere.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { unzipSync } from 'fflate';
import { leafHashOf, type StoredEvent } from '#event-store';
import { type AuditPackQuestion, auditPack, catalogue, createLogger, openService, readConfig, type Service } from '#ledger';
import { connect } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';
import { openTestService, type TestService } from '../support/services';
import { openTrackedBook } from '../support/tracked-books';
import { chance } from '../support/workload';

const verifier = join(__dirname, '..', '..', 'packages', 'verifier', 'verify.mjs');
const bookId = 'audited';
const year = { from: '2026-01-01', to: '2026-12-31' };

let database: TestDatabase;
let on: TestService;
let directory: string;
/** The book as it was filled, in a database that nobody is connected to: of it copies can be made. */
let base: string;
/** The key, and a checkpoint that the auditor took home when the book had half of its events. */
let key: string;
let kept: string;
let keptSize: number;
let position: number;
/** The checkpoint of the whole book. */
let nextNote: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'book-keeper-packs-'));
  database = await testDatabase();
  base = `${database.name}_base`;
  const settings = { SEAL: 'off', SIGNING_KEY_FILE: join(directory, 'signing-key.pem') };
  on = await openTestService(database.appUrl, settings);
  await fill(on.service);
  await on.close();
  await administer(`CREATE DATABASE ${base} TEMPLATE ${database.name}`);
  on = await openTestService(database.appUrl, settings);
}, 60_000);
afterAll(async () => {
  await on?.close();
  await administer(`DROP DATABASE IF EXISTS ${base} WITH (FORCE)`);
  await database?.drop();
  rmSync(directory, { recursive: true, force: true });
});

const at = (url: string, name: string): string => Object.assign(new URL(url), { pathname: `/${name}` }).href;

async function administer(statement: string): Promise<void> {
  const client = await connect(at(database.adminUrl, 'postgres'));
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

let serial = 0;
async function done(service: Service, command: object): Promise<{ id: string }> {
  const answer = await service.execute(bookId, command as never, { key: `pack-${++serial}`, userId: 'u-1', source: 'REST' });
  if (answer.status >= 400) throw new Error(answer.body);
  return JSON.parse(answer.body) as { id: string };
}

const line = (account: string, side: string, amount: string, currency = 'EUR', more: object = {}) => ({
  account,
  side,
  amount,
  currency,
  ...more,
});
const entry = (effectiveDate: string, amount: string, more: object = {}) => ({
  type: 'PostEntry',
  effectiveDate,
  description: `Entry of ${amount}`,
  lines: [line('1200', 'debit', amount), line('4000', 'credit', amount)],
  ...more,
});

/** Two years, a tree of accounts, two currencies, a reversal, a code that changed, closes, and what is odd in texts. */
async function fill(service: Service): Promise<void> {
  await done(service, {
    type: 'OpenBook',
    id: bookId,
    name: 'Audited “& Sons”',
    baseCurrency: 'EUR',
    fiscalYearStart: '01-01',
    startsOn: '2025-01-01',
    timeZone: 'Europe/Berlin',
  });
  for (const [code, accountType, more] of [
    ['1', 'asset', { postable: false }],
    ['1200', 'asset', { parent: '1' }],
    ['1300', 'asset', { parent: '1' }],
    ['4000', 'income', {}],
    ['5000', 'expense', {}],
    ['9000', 'memorandum', {}],
    ['9900', 'memorandum', {}],
  ] as const)
    await done(service, { type: 'OpenAccount', code, name: `Account "${code}", ü`, accountType, ...more });
  await done(service, { type: 'DefineJournal', journalCode: 'SALES', name: 'Sales', journalType: 'sales' });
  for (let month = 1; month <= 12; month++) await done(service, entry(`2025-${String(month).padStart(2, '0')}-15`, `${month}00.00`));
  await done(service, { type: 'FreezeAccount', account: '1300', reason: 'to see it' });
  await done(service, { type: 'UnfreezeAccount', account: '1300' });
  await done(service, { type: 'ClosePeriod', fiscalYear: '2025', period: 1, level: 'soft' }).catch(() => undefined);
  await service.sealer.seal(bookId);
  const checkpoint = await service.proofs.checkpoint(bookId);
  key = (await service.proofs.keys()).at(-1)?.key as string;
  kept = join(directory, 'kept.checkpoint');
  keptSize = checkpoint.size;
  writeFileSync(kept, checkpoint.note);
  const { id } = await done(
    service,
    entry('2026-02-01', '7.50', { journalCode: 'SALES', description: 'Odd;\t"text"\nof two lines', reference: 'R-1' }),
  );
  await done(service, { type: 'ReverseEntry', entryId: id, reason: 'wrong', effectiveDate: '2026-02-02' });
  await done(
    service,
    entry('2026-03-01', '11.00', { lines: [line('1300', 'debit', '11.00', 'USD'), line('4000', 'credit', '11.00', 'USD')] }),
  );
  await done(service, entry('2026-03-02', '3.00', { lines: [line('9000', 'debit', '3.00'), line('9900', 'credit', '3.00')] }));
  await done(
    service,
    entry('2026-03-03', '4.00', {
      lines: [line('5000', 'debit', '4.00', 'EUR', { description: 'Rent of a room', reference: 'R-2' }), line('1200', 'credit', '4.00')],
    }),
  );
  await done(service, { type: 'ChangeAccountCode', account: '1300', code: '1350' });
  for (let index = 0; index < 80; index++) await done(service, entry(`2026-0${4 + (index % 5)}-10`, `${index + 1}.25`));
  await service.sealer.seal(bookId);
  position = (await service.store.head(bookId)).position;
  nextNote = (await service.proofs.checkpoint(bookId)).note;
}

async function packed(service: Service, question: Partial<AuditPackQuestion> = {}): Promise<Buffer> {
  await service.sealer.seal(bookId);
  const { content } = await service.auditPack(bookId, { ...year, ...question });
  const pieces: Uint8Array[] = [];
  for await (const some of content) pieces.push(some);
  return Buffer.concat(pieces);
}

let files = 0;
async function packFile(service: Service, question: Partial<AuditPackQuestion> = {}): Promise<string> {
  const file = join(directory, `${++files}.zip`);
  writeFileSync(file, await packed(service, question));
  return file;
}

/** Asks the verifier. */
function verified(pack: string, ...more: string[]): Promise<{ readonly code: number; readonly text: string }> {
  return new Promise((told) =>
    execFile(process.execPath, [verifier, pack, '--key', key, ...more], (error, stdout, stderr) =>
      told({ code: error === null ? 0 : Number((error as { code?: unknown }).code ?? 9), text: `${stdout}${stderr}` }),
    ),
  );
}

/** What the verifier says where something is wrong; empty where everything holds. */
const wrongIn = async (pack: string, ...more: string[]): Promise<string> => {
  const { code, text } = await verified(pack, ...more);
  return code === 0 ? '' : text;
};

describe('a pack', () => {
  it('holds, also against a checkpoint that was kept', async () => {
    const pack = await packFile(on.service, { formats: ['hledger', 'csv', 'jsonl'] });
    expect(await wrongIn(pack, '--checkpoint', kept)).toBe('');
    expect(Object.keys(unzipSync(readFileSync(pack))).filter((name) => name.startsWith('exports/')).length).toBeGreaterThan(4);
  });

  it('warns of texts that a spreadsheet takes for formulas, and of figures with the same name and another meaning', async () => {
    const readmeOf = async (formats: readonly string[]): Promise<string> =>
      Buffer.from(unzipSync(await packed(on.service, { formats }))['README.txt'] ?? []).toString();
    const warning = 'some may begin with =, +, - or @: import these columns as text';
    expect(await readmeOf([])).toContain(warning);
    expect(await readmeOf([])).not.toContain('"opening"');
    expect(await readmeOf(['csv', 'hledger', 'xlsx'])).toContain('since the first entry in the\nbalances of exports/csv and exports/xlsx.');
  });

  it.each([
    ['one year', {}],
    ['a part of the first year', { from: '2025-02-01', to: '2025-08-31' }],
    ['both years', { from: '2025-01-01', to: '2026-12-31' }],
    ['a period', { from: undefined, to: undefined, period: '2026/4' }],
    ['what was known earlier', { knownAt: 40 }],
    ['the first events alone', { from: '2025-01-01', to: '2025-12-31', knownAt: 3 }],
  ])('of %s holds', async (_, question) => {
    expect(await wrongIn(await packFile(on.service, question))).toBe('');
  });

  it('of a book that tracks its base currency holds', async () => {
    await openTrackedBook(on.service, 'tracked-pack');
    await on.service.sealer.seal('tracked-pack');
    const { content } = await on.service.auditPack('tracked-pack', year);
    const pieces: Uint8Array[] = [];
    for await (const some of content) pieces.push(some);
    const file = join(directory, 'tracked.zip');
    writeFileSync(file, Buffer.concat(pieces));
    expect(await wrongIn(file)).toBe('');
  });

  it('has the same bytes for the same question, also when the book, its packs and the service have gone on', async () => {
    const question = { knownAt: position, formats: ['hledger', 'xlsx', 'parquet'] };
    const first = await packed(on.service, question);
    expect((await packed(on.service, question)).equals(first)).toBe(true);
    const other = await packed(on.service, { ...question, from: '2026-02-01' });
    await done(on.service, entry('2026-09-01', '1.00'));
    await on.service.sealer.seal(bookId);
    await packed(on.service);
    expect((await packed(on.service, question)).equals(first)).toBe(true);
    expect((await packed(on.service, { ...question, from: '2026-02-01' })).equals(other)).toBe(true);
    const { queries, store, reports, proofs, sealer, personal } = on.service;
    const { content } = await auditPack({ queries, store, reports, proofs, sealer, personal, release: '99.0.0' }, bookId, {
      ...year,
      ...question,
    });
    const pieces: Uint8Array[] = [];
    for await (const some of content) pieces.push(some);
    expect(Buffer.concat(pieces).equals(first)).toBe(true);
  });

  it('tells what changed since the last one, or since what was asked', async () => {
    const before = await packFile(on.service);
    const { position: since } = JSON.parse(Buffer.from(unzipSync(readFileSync(before))['manifest.json'] as Uint8Array).toString()) as {
      position: number;
    };
    await done(on.service, entry('2026-09-02', '12.34'));
    const pack = await packFile(on.service);
    const inside = unzipSync(readFileSync(pack));
    expect(JSON.parse(Buffer.from(inside['manifest.json'] as Uint8Array).toString())).toMatchObject({ since });
    const changes = Buffer.from(inside['reports/changes-since.csv'] as Uint8Array).toString();
    expect(changes.match(/^entry,/gm)).toHaveLength(2);
    expect(await wrongIn(pack, '--checkpoint', kept)).toBe('');
    const asked = unzipSync(await packed(on.service, { since: 5 }));
    expect(Buffer.from(asked['manifest.json'] as Uint8Array).toString()).toContain('"since":5');
  });

  it.each([
    [{ from: undefined, to: undefined }, 'malformed'],
    [{ knownAt: 999_999 }, 'date_invalid'],
    [{ since: 999_999 }, 'date_invalid'],
    [{ knownAt: 10, since: 11 }, 'malformed'],
    [{ formats: ['paper'] }, 'format_unknown'],
    [{ formats: ['fec'] }, 'export_unfit'],
    [{ from: '2026-02-30' }, 'date_invalid'],
  ])('asked with %o is refused before the first byte: %s', async (question, code) => {
    await expect(on.service.auditPack(bookId, { ...year, ...question })).rejects.toMatchObject({ code });
  });

  it('that was given up is not remembered, and the next one is whole', async () => {
    const before = (await on.service.proofs.trees.lastAuditPack(bookId))?.number;
    await on.service.sealer.seal(bookId);
    const { content } = await on.service.auditPack(bookId, { ...year, from: '2026-05-01' });
    await content.next();
    await content.return(undefined);
    expect((await on.service.proofs.trees.lastAuditPack(bookId))?.number).toBe(before);
    expect(await wrongIn(await packFile(on.service, { from: '2026-05-01' }))).toBe('');
  });
});

describe('one changed byte', () => {
  it('in any file of a pack is found, and the file named', async () => {
    const pack = await packFile(on.service, { formats: ['hledger'] });
    const folder = join(directory, 'unpacked');
    for (const [name, bytes] of Object.entries(unzipSync(readFileSync(pack)))) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), bytes);
    }
    expect(await wrongIn(folder)).toBe('');
    const random = chance(7);
    for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((each) => statSync(join(folder, each)).isFile())) {
      const bytes = readFileSync(join(folder, name));
      for (const place of [0, bytes.length - 1, random(bytes.length)]) {
        const changed = Buffer.from(bytes);
        changed[place] = (changed[place] as number) ^ (1 << random(7));
        writeFileSync(join(folder, name), changed);
        const { code, text } = await verified(folder);
        // Whether the manifest or its note was changed nobody can tell.
        expect([name, place, code > 0, text]).toEqual([name, place, true, expect.stringContaining(name.replace(/\.(json|note)$/, ''))]);
      }
      writeFileSync(join(folder, name), bytes);
    }
    expect(await wrongIn(folder)).toBe('');
  }, 120_000);

  it('anywhere in the archive is found, where it is not of no meaning', async () => {
    const bytes = readFileSync(await packFile(on.service));
    const random = chance(8);
    const file = join(directory, 'flipped.zip');
    let found = 0;
    for (let round = 0; round < 40; round++) {
      const changed = Buffer.from(bytes);
      const place = random(bytes.length);
      changed[place] = (changed[place] as number) ^ (1 << random(8));
      writeFileSync(file, changed);
      const { code } = await verified(file);
      if (code !== 0) found++;
    }
    // Times, attributes and versions of the archive's own mean nothing to what is in it.
    expect(found).toBeGreaterThan(30);
  }, 60_000);
});

// --- Whoever owns the database ---

type Row = { -readonly [K in keyof StoredEvent]: StoredEvent[K] };

describe('a log that was rewritten as a whole, hashes, tiles, heads and all', () => {
  const columns = `book_id AS "bookId", position, stream_id AS "streamId", version, event_type AS "eventType", event_version AS "eventVersion",
    event_id AS "eventId", recorded_at AS "recordedAt", data, metadata, leaf_hash AS "leafHash"`;
  /**
   * Rewrites a copy of the database, with nothing left of what was signed, has an honest service seal, sign and pack it, and asks the verifier.
   * @returns what refused to pack, or what the verifier says without and with the checkpoint that was kept
   */
  async function found(
    change: (events: Row[]) => void,
    keptNote = kept,
  ): Promise<
    { readonly refused: string } | { readonly without: { code: number; text: string }; readonly with: { code: number; text: string } }
  > {
    const copy = `${base}_${++files}`;
    await administer(`CREATE DATABASE ${copy} TEMPLATE ${base}`);
    const home = mkdtempSync(join(directory, 'home-'));
    let service: Service | undefined;
    try {
      await rewrite(at(database.adminUrl, copy), change);
      const config = readConfig({
        ...{ DATABASE_URL: at(database.appUrl, copy), DATA_DIR: home, SIGNING_KEY_FILE: join(directory, 'signing-key.pem') },
        ...{ BOOTSTRAP_API_KEY: 'bk_specs_only_0123456789abcdef', LOG_LEVEL: 'silent', SEAL: 'off', READ_WAIT_MS: '5000' },
      });
      service = await openService(config, { log: createLogger(config), migrate: false });
      await service.projector.refold(bookId);
      await service.sealer.seal(bookId);
      const pack = await packFile(service, { from: '2025-01-01' });
      return { without: await verified(pack), with: await verified(pack, '--checkpoint', keptNote) };
    } catch (error) {
      return { refused: (error as Error).message };
    } finally {
      await service?.close();
      await administer(`DROP DATABASE IF EXISTS ${copy} WITH (FORCE)`);
    }
  }

  async function rewrite(url: string, change: (events: Row[]) => void): Promise<void> {
    const admin = await connect(url);
    const { rows: events } = await admin.query<Row>(`SELECT ${columns} FROM log.events WHERE book_id = $1 ORDER BY position`, [bookId]);
    change(events);
    await admin.query('BEGIN');
    await admin.query("SET LOCAL session_replication_role = 'replica'");
    for (const table of ['events', 'batches', 'tiles', 'trees', 'checkpoints', 'checkpoint_signatures', 'audit_packs'])
      await admin.query(`DELETE FROM log.${table} WHERE book_id = $1`, [bookId]);
    for (const event of events)
      await admin.query(
        `INSERT INTO log.events (book_id, position, stream_id, version, event_type, event_version, event_id, recorded_at, data, metadata, leaf_hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
        [
          ...[
            event.bookId,
            event.position,
            event.streamId,
            event.version,
            event.eventType,
            event.eventVersion,
            event.eventId,
            event.recordedAt,
          ],
          ...[JSON.stringify(event.data), JSON.stringify(event.metadata), leafHashOf(catalogue, event)],
        ],
      );
    await admin.query('UPDATE log.book_heads SET position = $2 WHERE book_id = $1', [bookId, events.length]);
    await admin.query(
      `INSERT INTO log.batches (last_position, recorded_at, book_id)
       SELECT max(position), recorded_at, book_id FROM log.events WHERE book_id = $1 GROUP BY recorded_at, book_id`,
      [bookId],
    );
    await admin.query('COMMIT');
    await admin.end();
  }

  /** An entry that was there when the checkpoint was taken home. */
  const posted = (events: readonly Row[], after = 0): Row =>
    events.find(({ eventType, position: at }) => eventType === 'JournalEntryPosted' && at > after) as Row;
  const edited = (event: Row, members: object): void => {
    event.data = { ...event.data, ...members };
  };

  it('with nothing changed holds in every way: it is not the rewriting that is found', async () => {
    expect(await found(() => {})).toMatchObject({ without: { code: 0 }, with: { code: 0 } });
  });

  it.each<[string, (events: Row[]) => void]>([
    ['a description', (events) => edited(posted(events), { description: 'Something else' })],
    ['a date', (events) => edited(posted(events), { effectiveDate: '2025-01-16' })],
    ['who posted it', (events) => Object.assign(posted(events), { metadata: { ...posted(events).metadata, userId: 'u-2' } })],
    ['a reason', (events) => Object.assign(posted(events), { metadata: { ...posted(events).metadata, reason: 'asked by the owner' } })],
    ['when it was recorded', (events) => Object.assign(events.at(-1) as Row, {}) && shiftTimes(events, posted(events).position)],
    ['its id', (events) => Object.assign(posted(events), { eventId: '01930000-0000-7000-8000-000000000001' })],
    [
      'the name of an account',
      (events) => edited(events.find(({ eventType }) => eventType === 'AccountOpened') as Row, { name: 'Petty cash' }),
    ],
    [
      'the type of an event',
      (events) => Object.assign(events.find(({ eventType }) => eventType === 'AccountFrozen') as Row, { eventType: 'AccountUnfrozen' }),
    ],
    ['an amount, in the entry, its account events and all totals after it', (events) => raise(events, posted(events))],
    ['the order of two entries', (events) => swap(events)],
    ['an entry, taken away with its account events and what follows moved up', (events) => takeAway(events, posted(events, 20))],
    ['the end of the log, cut off', (events) => events.splice(keptSize - 3)],
  ])('%s: found by the checkpoint that was kept, and its place named', async (_, change) => {
    const outcome = await found(change);
    if ('refused' in outcome) throw new Error(outcome.refused);
    expect(outcome.with).toMatchObject({ code: 1, text: expect.stringMatching(/kept/) });
  });

  it('is not found by a checkpoint from before the change, but by the next one', async () => {
    const change = (events: Row[]): void => edited(posted(events, keptSize), { description: 'Something else' });
    expect(await found(change)).toMatchObject({ without: { code: 0 }, with: { code: 0 } });
    const next = join(directory, 'next.checkpoint');
    writeFileSync(next, nextNote);
    expect(await found(change, next)).toMatchObject({ without: { code: 0 }, with: { code: 1 } });
  });

  it.each<[string, (events: Row[]) => void]>([
    ['a version', (events) => Object.assign(posted(events), { version: 7 })],
    ['a position', (events) => Object.assign(posted(events), { position: 99_999 })],
    ['a stream', (events) => Object.assign(posted(events), { streamId: '01930000-0000-7000-8000-000000000001' })],
    ['the version of a type', (events) => Object.assign(posted(events), { eventVersion: 9 })],
    [
      'an amount alone',
      (events) =>
        edited(posted(events), {
          lines: [{ ...(posted(events).data.lines as object[])[0], amount: '1.00' }, (posted(events).data.lines as object[])[1]],
        }),
    ],
    ['an entry, taken away alone', (events) => events.splice(events.indexOf(posted(events)), 1)],
  ])('%s: what the events say does not fit any more', async (_, change) => {
    const outcome = await found(change);
    if ('refused' in outcome) expect(outcome.refused).toMatch(/run book-keeper verify|event .* is missing|unknown|lines|behind/);
    else expect([outcome.without.code, outcome.with.code]).toEqual([1, 1]);
  });

  function shiftTimes(events: Row[], from: number): void {
    const { recordedAt } = events.find(({ position: at }) => at === from) as Row;
    for (const event of events)
      if (event.recordedAt === recordedAt) event.recordedAt = recordedAt.replace(/(\d)Z$/, (_, digit) => `${(Number(digit) + 1) % 10}Z`);
  }

  /** Adds a hundred to an entry of two lines, and to the totals of its accounts from there on. */
  function raise(events: Row[], entry: Row): void {
    const plus = (text: unknown): string => `${Number(String(text).split('.')[0]) + 100}.${String(text).split('.')[1]}`;
    edited(entry, { lines: (entry.data.lines as { amount: string }[]).map((one) => ({ ...one, amount: plus(one.amount) })) });
    for (const event of events) {
      const { entryPosition, currency } = event.data as { entryPosition?: number; currency?: string };
      if (entryPosition === undefined || entryPosition < entry.position || currency !== 'EUR') continue;
      if (entryPosition === entry.position) edited(event, { amount: plus(event.data.amount) });
      const side = (entry.data.lines as { accountId: string; side: string }[]).find(({ accountId }) => accountId === event.streamId)?.side;
      if (side === 'debit') edited(event, { totalDebit: plus(event.data.totalDebit) });
      if (side === 'credit') edited(event, { totalCredit: plus(event.data.totalCredit) });
    }
  }

  /** Two entries of one kind exchange what they say. */
  function swap(events: Row[]): void {
    const one = posted(events);
    const other = posted(events, one.position);
    const [first, second] = [one.data.description, other.data.description];
    edited(one, { description: second });
    edited(other, { description: first });
  }

  /** An entry of two lines and its account events; what comes later moves up, with its numbers, versions and totals. */
  function takeAway(events: Row[], entry: Row): void {
    const gone = events.filter((event) => event === entry || event.data.entryPosition === entry.position);
    const lines = entry.data.lines as { accountId: string; amount: string; currency: string }[];
    events.splice(events.indexOf(entry), gone.length);
    const minus = (text: unknown, amount: string): string => (Number(text) - Number(amount)).toFixed(2);
    for (const event of events) {
      if (event.position < entry.position) continue;
      event.position -= gone.length;
      const own = lines.find(({ accountId }) => accountId === event.streamId);
      if (own !== undefined) event.version -= 1;
      const { data } = event;
      if (data.entryPosition !== undefined) edited(event, { entryPosition: Number(data.entryPosition) - gone.length });
      if (own !== undefined && data.currency === own.currency && data.totalDebit !== undefined) {
        const side = (entry.data.lines as { accountId: string; side: string }[]).find(
          ({ accountId }) => accountId === event.streamId,
        )?.side;
        edited(
          event,
          side === 'debit' ? { totalDebit: minus(data.totalDebit, own.amount) } : { totalCredit: minus(data.totalCredit, own.amount) },
        );
      }
      if (
        event.eventType === 'JournalEntryPosted' &&
        data.journalCode === entry.data.journalCode &&
        data.fiscalYear === entry.data.fiscalYear
      )
        edited(event, { number: Number(data.number) - 1 });
    }
  }
});
