/**
 * The sealer on PostgreSQL: trees that grow with the log whoever seals and wherever it was interrupted, heads that are recorded before they are
 * signed, what is handed out and held against the database, keys that follow each other, witnesses (I11).
 */
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import S3rver from 's3rver';
import {
  checkpointText,
  cosignedMessage,
  keyText,
  keyTypes,
  noteKey,
  parseCheckpoint,
  parseKey,
  parseNote,
  publicBytes,
  signedBy,
  TreeEdge,
  TreeStore,
  verifyConsistency,
  verifyInclusion,
} from '#event-store';
import { Proofs, Queries, readConfig, rotateKey, Sealer, verifyBooks } from '#ledger';
import { newId, noted, type TestLog, testLog } from '../support/test-log';
import { chance } from '../support/workload';

let log: TestLog;
let trees: TreeStore;
let directory: string;
let bookId: string;
let stream: string;
let count = 0;
beforeAll(async () => {
  log = await testLog();
  trees = new TreeStore(log.pool);
});
afterAll(() => log.close());
beforeEach(async () => {
  bookId = `sealed-${++count}`;
  stream = newId();
  await log.store.registerBook(bookId, Date.now() * 1_000);
});
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'book-keeper-sealer-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const sealerWith = (settings: Record<string, string> = {}): Sealer =>
  new Sealer(log.store, log.pool, { config: readConfig({ DATA_DIR: directory, ...settings }) });

/** Appends events until the log has so many. */
async function grown(to: number, perBatch = 1_000): Promise<void> {
  for (let from = (await log.store.head(bookId)).position; from < to; ) {
    const until = Math.min(to, from + perBatch);
    await log.appended(bookId, { events: noted(stream, from + 1, until) });
    from = until;
  }
}

/** The tree over the leaf hashes that the log has, made here. */
async function expected(size: number): Promise<{ readonly root: Buffer; readonly tiles: Map<string, string> }> {
  const { rows } = await log.admin.query<{ leaf_hash: Buffer }>(
    'SELECT leaf_hash FROM log.events WHERE book_id = $1 AND position <= $2 ORDER BY position',
    [bookId, size],
  );
  const edge = new TreeEdge();
  const tiles = new Map<string, string>();
  for (const { leaf_hash } of rows)
    edge.add(leaf_hash, ({ level, index, hashes, root }) => tiles.set(`${level}/${index}`, digest(hashes, root)));
  return { root: edge.root(), tiles };
}
const digest = (...parts: Buffer[]): string => createHash('sha256').update(Buffer.concat(parts)).digest('hex');

async function expectSealed(size: number): Promise<void> {
  const { root, tiles } = await expected(size);
  expect(await trees.tree(bookId)).toEqual({ size, root, signedSize: size });
  const { rows } = await log.admin.query<{ level: number; tile: number; hashes: Buffer; root: Buffer }>(
    'SELECT level, tile, hashes, root FROM log.tiles WHERE book_id = $1',
    [bookId],
  );
  expect(new Map(rows.map((row) => [`${row.level}/${row.tile}`, digest(row.hashes, row.root)]))).toEqual(tiles);
  const checkpoint = await trees.signedCheckpoint(bookId);
  expect(checkpoint).toMatchObject({ size, root });
}

describe('a tree', () => {
  it('goes on where it was, at every edge of a tile', async () => {
    for (const size of [1, 2, 254, 255, 256, 257, 300, 511, 512, 513]) {
      await grown(size);
      await sealerWith().seal(bookId);
      await expectSealed(size);
      for (const from of [1, 2, 255, 256, 257].filter((known) => known <= size)) {
        const old = await expected(from);
        const proof = await trees.treeOf(bookId, size).consistencyProof(from);
        const head = await trees.tree(bookId);
        expect(verifyConsistency({ size: from, root: old.root }, { size, root: head?.root as Buffer }, proof)).toBe(true);
      }
    }
  });

  it('is the same whatever was sealed at one time, and by whom', async () => {
    const random = chance(count);
    const kept = sealerWith();
    for (let size = 0, round = 0; round < 25; round++) {
      size += 1 + random(round % 5 === 0 ? 700 : 40);
      await grown(size, 1 + random(300));
      await (random(2) === 0 ? kept : sealerWith()).seal(bookId);
      await expectSealed(size);
    }
  }, 60_000);

  it('of more than 65,536 leaves is sealed in steps, and a step that was the last one before a crash is gone on from', async () => {
    await grown(65_800);
    const edge = await trees.edge(bookId);
    // As a process that ended behind its first step: a tree without a checkpoint.
    await trees.grow(bookId, edge, 300);
    const half = await trees.edge(bookId);
    await log.admin.query('SELECT log.seal($1, 0, 300, $2, NULL, NULL, $3, $4, $5, $6)', [
      bookId,
      edge.root(),
      [0],
      [0],
      [(await tileOf(0)).hashes],
      [(await tileOf(0)).root],
    ]);
    expect(half.size).toBe(0);
    expect(await trees.signedCheckpoint(bookId)).toBeUndefined();
    await sealerWith().seal(bookId);
    await expectSealed(65_800);
    const { rows } = await log.admin.query(
      'SELECT level, count(*) AS tiles FROM log.tiles WHERE book_id = $1 GROUP BY level ORDER BY level',
      [bookId],
    );
    expect(rows).toEqual([
      { level: 0, tiles: 257 },
      { level: 1, tiles: 1 },
    ]);
    const { root } = (await trees.tree(bookId)) as { root: Buffer };
    for (const position of [1, 256, 257, 65_536, 65_537, 65_800]) {
      const tree = trees.treeOf(bookId, 65_800);
      const leaf = await tree.leaf(position - 1);
      expect(verifyInclusion({ index: position - 1, size: 65_800, leaf, root }, await tree.inclusionProof(position - 1))).toBe(true);
    }
  }, 60_000);

  async function tileOf(index: number): Promise<{ readonly hashes: Buffer; readonly root: Buffer }> {
    const edge = new TreeEdge();
    const found: { hashes: Buffer; root: Buffer }[] = [];
    await trees.grow(bookId, edge, (index + 1) * 256, (tile) => found.push(tile));
    return found.find((_, place) => place === index) as { hashes: Buffer; root: Buffer };
  }

  it('is extended once by two that seal at the same time, while a third writes', async () => {
    const sealers = [sealerWith(), sealerWith(), sealerWith()];
    for (let round = 0; round < 12; round++) {
      await Promise.all([grown((round + 1) * 97, 13), ...sealers.map((sealer) => sealer.seal(bookId))]);
    }
    await sealers[0]?.seal(bookId);
    await expectSealed(12 * 97);
    const { rows } = await log.admin.query<{ signatures: number }>(
      'SELECT count(*) AS signatures FROM log.checkpoint_signatures WHERE book_id = $1 GROUP BY size ORDER BY 1 DESC',
      [bookId],
    );
    expect(rows[0]?.signatures).toBe(1);
  }, 60_000);

  it('is not extended beyond the log, nor from another size than it has', async () => {
    await grown(5);
    await sealerWith().seal(bookId);
    const edge = await trees.edge(bookId);
    const origin = `${await logName()}/${bookId}`;
    const seal = (before: number, size: number): Promise<unknown> =>
      log.pool.query('SELECT log.seal($1, $2, $3, $4, $5, now(), $6, $7, $8, $9)', [
        bookId,
        before,
        size,
        edge.root(),
        origin,
        [],
        [],
        [],
        [],
      ]);
    await expect(seal(5, 6)).rejects.toMatchObject({ code: 'BK004' });
    await expect(seal(5, 4)).rejects.toMatchObject({ code: 'BK004' });
    expect(await seal(4, 5)).toMatchObject({ rows: [{ seal: false }] });
    expect(await seal(0, 5)).toMatchObject({ rows: [{ seal: false }] });
    await expectSealed(5);
  });

  it('refuses a leaf that is missing', async () => {
    await grown(10);
    await asSuperuser('DELETE FROM log.events WHERE book_id = $1 AND position = 4');
    await expect(sealerWith().seal(bookId)).rejects.toThrow('of the events 1 to 10 of book');
    expect(await trees.tree(bookId)).toBeUndefined();
  });
});

async function asSuperuser(statement: string): Promise<void> {
  await log.admin.query('BEGIN');
  await log.admin.query("SET LOCAL session_replication_role = 'replica'");
  await log.admin.query(statement, [bookId]);
  await log.admin.query('COMMIT');
}

describe('a head', () => {
  it('is recorded before it is signed, and after a crash in between the same head is signed', async () => {
    await grown(7);
    const edge = await trees.edge(bookId);
    await trees.recordOrigin(bookId, {
      number: 1,
      origin: `${await logName()}/${bookId}`,
      size: 0,
      recordedAt: '2026-01-01T00:00:00.000000Z',
    });
    expect(await trees.extend(bookId, edge, 7, `${await logName()}/${bookId}`, Date.now() * 1_000)).toBe(true);
    const recorded = await trees.checkpointOf(bookId, 7);
    expect(recorded).toMatchObject({ size: 7, signatures: [] });
    expect(await trees.unsealed()).toContainEqual({ bookId, position: 7, size: 7 });
    const signed = await sealerWith().seal(bookId);
    expect(signed).toMatchObject({ size: 7, root: recorded?.root, recordedAt: recorded?.recordedAt });
    expect((await trees.unsealed()).map((book) => book.bookId)).not.toContain(bookId);
  });

  it('that was recorded and overtaken before it was signed is signed before the one that overtook it', async () => {
    await sealerWith().seal(bookId);
    for (const size of [7, 9]) {
      await grown(size);
      const edge = await trees.edge(bookId);
      await trees.recordOrigin(bookId, {
        number: 1,
        origin: `${await logName()}/${bookId}`,
        size: 0,
        recordedAt: '2026-01-01T00:00:00.000000Z',
      });
      await trees.extend(bookId, edge, size, `${await logName()}/${bookId}`, Date.now() * 1_000);
    }
    await grown(12);
    await sealerWith().seal(bookId);
    const signed = await trees.checkpoints(bookId, 0, 12, 10);
    expect(signed.map(({ size, signatures }) => [size, signatures.length])).toEqual([
      [7, 1],
      [9, 1],
      [12, 1],
    ]);
  });

  it('is a note that the key of the installation has signed, and is signed once', async () => {
    await grown(3);
    const sealer = sealerWith();
    await sealer.seal(bookId);
    const first = await trees.signedCheckpoint(bookId);
    await sealer.seal(bookId);
    await sealerWith().seal(bookId);
    expect(await trees.signedCheckpoint(bookId)).toEqual(first);
    const { note, size } = await proofs().checkpoint(bookId);
    const parsed = parseNote(note);
    expect([size, parsed && parseCheckpoint(parsed.text)?.origin]).toEqual([3, `${await logName()}/${bookId}`]);
    const key = parseKey((await proofs().keys()).at(-1)?.key as string);
    expect(parsed && key && signedBy(parsed, key)).toBe(true);
  });

  it('is not made of tiles that contradict it', async () => {
    await grown(300);
    await sealerWith().seal(bookId);
    await asSuperuser('UPDATE log.tiles SET root = sha256(root) WHERE book_id = $1 AND level = 0 AND tile = 0');
    await grown(301);
    await expect(sealerWith().seal(bookId)).rejects.toThrow('has another root at 300 leaves than its events and tiles make');
    expect((await trees.tree(bookId))?.size).toBe(300);
  });

  it('that does not continue the one signed before is not signed, though events, tiles and head agree', async () => {
    await grown(300);
    await sealerWith().seal(bookId);
    await asSuperuser('UPDATE log.events SET leaf_hash = sha256(leaf_hash) WHERE book_id = $1 AND position = 299');
    await asSuperuser(`UPDATE log.trees SET root = '\\x${(await expected(300)).root.toString('hex')}' WHERE book_id = $1`);
    await grown(301);
    await expect(sealerWith({ CHECKPOINT_DIR: 'off' }).seal(bookId)).rejects.toThrow('does not continue the one that was signed at 300');
    expect((await trees.signedCheckpoint(bookId))?.size).toBe(300);
  });

  it('says not_sealed of what is recorded but not sealed yet, and proves what is', async () => {
    await grown(20);
    await expect(proofs().checkpoint(bookId)).rejects.toMatchObject({ code: 'not_sealed', details: { sealed: 0, retryAfter: 1 } });
    await expect(proofs().inclusion(bookId, { position: 1 })).rejects.toMatchObject({ code: 'not_sealed' });
    await sealerWith().seal(bookId);
    await grown(25);
    await expect(proofs().inclusion(bookId, { position: 21 })).rejects.toMatchObject({ code: 'not_sealed', details: { sealed: 20 } });
    await expect(proofs().consistency(bookId, { from: 3, to: 25 })).rejects.toMatchObject({ code: 'not_sealed' });
    const proof = await proofs().inclusion(bookId, { position: 20 });
    const [leaf, root] = [proof.leafHash, proof.root].map((text) => Buffer.from(text, 'base64')) as [Buffer, Buffer];
    const hashes = proof.hashes.map((text) => Buffer.from(text, 'base64'));
    expect(verifyInclusion({ index: 19, size: 20, leaf, root }, hashes)).toBe(true);
    expect(proof.checkpoint).toContain(`\n20\n${proof.root}\n`);
    await sealerWith().seal(bookId);
    expect(await proofs().inclusion(bookId, { position: 20, size: 20 })).toEqual(proof);
    await expect(proofs().inclusion(bookId, { position: 21, size: 20 })).rejects.toMatchObject({ code: 'malformed' });
    await expect(proofs().inclusion(bookId, { position: 1, size: 21 })).rejects.toMatchObject({ code: 'malformed' });
    await expect(proofs().inclusion(bookId, { position: 26 })).rejects.toMatchObject({ code: 'date_invalid' });
    await expect(proofs().tile(bookId, '0/000')).rejects.toMatchObject({ code: 'tile_unknown' });
    expect(await proofs().tile(bookId, '0/000.p/25')).toHaveLength(25 * 32);
    expect((await proofs().checkpoint(bookId, { size: 7 })).size).toBe(20);
  });

  it('waits for the checkpoint of what was recorded just now, and for nothing that is not there', async () => {
    await grown(20);
    const patient = proofs(60_000);
    const asked = [
      patient.inclusion(bookId, { position: 20 }).then((proof) => proof.size),
      patient.inclusion(bookId, { position: 3, size: 20 }).then((proof) => proof.size),
      patient.consistency(bookId, { from: 7, to: 20 }).then((proof) => proof.to),
      patient.consistency(bookId, { from: 7 }).then((proof) => proof.to),
      patient.checkpoint(bookId).then((checkpoint) => checkpoint.size),
      patient.checkpoint(bookId, { size: 20 }).then((checkpoint) => checkpoint.size),
    ];
    await expect(patient.checkpoint(bookId, { size: 21 })).rejects.toMatchObject({ code: 'not_sealed' });
    await expect(patient.consistency(bookId, { from: 1, to: 21 })).rejects.toMatchObject({ code: 'not_sealed' });
    await sealerWith().seal(bookId);
    expect(await Promise.all(asked)).toEqual([20, 20, 20, 20, 20, 20]);
  });
});

const proofs = (readWaitMs = 0): Proofs => new Proofs(log.store, trees, new Queries(log.store, log.pool, { readWaitMs }));
const logName = async (): Promise<string> => (await trees.signingKeys())[0]?.name as string;

describe('what was handed out', () => {
  const noteAt = (origin: string): string => readFileSync(join(directory, 'checkpoints', origin, 'checkpoint'), 'utf8');

  it('to a directory is the newest checkpoint, and all of a day beside it', async () => {
    const sealer = sealerWith();
    for (const size of [3, 5]) {
      await grown(size);
      await sealer.seal(bookId);
      await sealer.handOut();
      expect(noteAt(`${await logName()}/${bookId}`)).toBe((await proofs().checkpoint(bookId)).note);
    }
    const folder = join(directory, 'checkpoints', await logName(), bookId);
    const [day] = readdirSync(folder).filter((name) => name.endsWith('.checkpoints'));
    const kept = readFileSync(join(folder, day as string), 'utf8');
    expect(kept.match(/^\d+$/gm)).toEqual(['3', '5']);
  });

  it('stands against a database that was restored from an old backup: nothing is signed, and the way out is told', async () => {
    await grown(8);
    const sealer = sealerWith();
    await sealer.seal(bookId);
    await sealer.handOut();
    const given = noteAt(`${await logName()}/${bookId}`);
    await cutBackTo(5);
    expect(await sealerWith().conflicts()).toEqual([
      expect.objectContaining({
        bookId,
        note: given,
        message: expect.stringContaining(`book ${bookId} ends at position 5, but a checkpoint of 8 events`),
      }),
    ]);
    await expect(sealerWith().seal(bookId)).rejects.toThrow(`book-keeper log accept-loss ${bookId}`);
    // Written on, it has the size, and other events.
    await grown(9);
    await expect(sealerWith().seal(bookId)).rejects.toThrow('is not what was signed at 8 events');
    const accepted = await sealerWith().acceptLoss(bookId, { userId: 'u-1', reason: 'the tape is broken' });
    expect(accepted).toEqual([{ origin: `${await logName()}/${bookId}~2`, lost: given }]);
    expect(await sealerWith().acceptLoss(bookId, { userId: 'u-1', reason: 'again' })).toEqual([]);
    const again = sealerWith();
    expect(await again.seal(bookId)).toMatchObject({ size: 9, origin: `${await logName()}/${bookId}~2` });
    await again.handOut();
    expect(noteAt(`${await logName()}/${bookId}~2`)).toContain('\n9\n');
    expect(noteAt(`${await logName()}/${bookId}`)).toBe(given);
    expect((await sealerWith().conflicts()).map((conflict) => conflict.bookId)).not.toContain(bookId);
    expect((await trees.origins(bookId)).at(-1)?.statement).toContain('reason "the tape is broken"');
  });

  it('is not replaced by a log that goes back, or aside, under a sealer that runs', async () => {
    await grown(8);
    const sealer = sealerWith();
    await sealer.seal(bookId);
    await sealer.handOut();
    const given = noteAt(`${await logName()}/${bookId}`);
    await cutBackTo(5);
    await expect(sealer.seal(bookId)).rejects.toThrow('ends at position 5, but this process has signed 8 events of it');
    await grown(9);
    await expect(sealer.seal(bookId)).rejects.toThrow(/is not what was signed at 8 events|does not continue the one that was signed at 8/);
    await sealer.handOut();
    expect(noteAt(`${await logName()}/${bookId}`)).toBe(given);
    expect((await trees.signedCheckpoint(bookId))?.size ?? 0).toBeLessThan(9);
    // Nor by one that knows nothing of it.
    const other = sealerWith({ CHECKPOINT_DIR: 'off' });
    await other.seal(bookId);
    const elsewhere = new Sealer(log.store, log.pool, { config: readConfig({ DATA_DIR: directory }) });
    await expect(elsewhere.seal(bookId)).rejects.toThrow('is not what was signed at 8 events');
    expect(noteAt(`${await logName()}/${bookId}`)).toBe(given);
  });

  it('is found although keys and names were taken out of the database', async () => {
    const own = await testLog();
    try {
      const home = mkdtempSync(join(directory, 'home-'));
      const config = readConfig({ DATA_DIR: home });
      const sealer = (): Sealer => new Sealer(own.store, own.pool, { config });
      await own.store.registerBook('b', Date.now() * 1_000);
      await own.appended('b', { events: noted(stream, 1, 4) });
      const first = sealer();
      await first.seal('b');
      await first.handOut();
      await own.admin.query("SET session_replication_role = 'replica'");
      for (const table of ['signing_keys', 'origins', 'checkpoints', 'checkpoint_signatures', 'tiles', 'trees'])
        await own.admin.query(`DELETE FROM log.${table}`);
      await own.admin.query('UPDATE log.events SET leaf_hash = sha256(leaf_hash) WHERE position = 2');
      expect(await sealer().conflicts()).toEqual([
        expect.objectContaining({ bookId: 'b', message: expect.stringContaining('none of the keys of this database has signed') }),
      ]);
    } finally {
      await own.close();
    }
  });

  it('of a book that the database lacks altogether stands against it, until the book is given up', async () => {
    const lost = await sealedThenLost(bookId, {});
    const [conflict] = (await sealerWith().conflicts()).filter((found) => found.bookId === bookId);
    expect(conflict).toMatchObject({ origin: `${await logName()}/${bookId}`, note: lost });
    expect(conflict?.message).toContain(`there is no book ${bookId} in this database, but a checkpoint of 4 events of it was signed`);
    const accepted = await sealerWith().acceptLoss(bookId, { userId: 'u-1', reason: 'no tape has it' });
    expect(accepted).toEqual([{ origin: `${await logName()}/${bookId}~2`, lost }]);
    expect((await sealerWith().conflicts()).filter((found) => found.bookId === bookId)).toEqual([]);
    const { installation, books, notChecked } = await verifyBooks(log.pool, {
      books: [bookId],
      notes: [{ from: 'a safe', note: lost }],
    });
    expect(installation.filter(({ message }) => message.includes(bookId))).toEqual([]);
    expect(books.find((book) => book.bookId === bookId)).toMatchObject({ events: 0, found: 0 });
    expect(notChecked).toContain(
      `the checkpoint of 4 events of ${await logName()}/${bookId} from a safe: what it says of events after 0 was given up`,
    );
    // Opened again, its log has the new name.
    await log.store.registerBook(bookId, Date.now() * 1_000);
    await grown(2);
    expect(await sealerWith().seal(bookId)).toMatchObject({ size: 2, origin: `${await logName()}/${bookId}~2` });
  });

  it('after a loss was accepted stands against a backup from before that', async () => {
    await grown(8);
    const sealer = sealerWith();
    await sealer.seal(bookId);
    await sealer.handOut();
    await cutBackTo(5);
    await sealerWith().acceptLoss(bookId, { userId: 'u-1', reason: 'the tape is broken' });
    await grown(6);
    const second = sealerWith();
    await second.seal(bookId);
    await second.handOut();
    // The database that was thought lost is found again: it knows nothing of the second name.
    await log.admin.query("SET session_replication_role = 'replica'");
    await log.admin.query('DELETE FROM log.origins WHERE book_id = $1 AND number > 1', [bookId]);
    await log.admin.query("SET session_replication_role = 'origin'");
    await cutBackTo(5);
    await grown(9);
    const name = `${await logName()}/${bookId}`;
    const found = (await sealerWith().conflicts()).filter((conflict) => conflict.bookId === bookId);
    expect(found.map(({ origin }) => origin)).toEqual([name, `${name}~2`]);
    expect(found[1]?.message).toContain('this database knows no log of this name');
    const accepted = await sealerWith().acceptLoss(bookId, { userId: 'u-1', reason: 'both are lost' });
    expect(accepted.map(({ origin }) => origin)).toEqual([`${name}~2`, `${name}~3`]);
    expect((await sealerWith().conflicts()).filter((conflict) => conflict.bookId === bookId)).toEqual([]);
  });

  /** Seals a book, hands it out, and takes it out of the database as if it had never been there. @returns what was handed out */
  async function sealedThenLost(book: string, settings: Record<string, string>): Promise<string> {
    await grown(4);
    const sealer = sealerWith(settings);
    await sealer.seal(book);
    await sealer.handOut();
    const { note } = await proofs().checkpoint(book);
    await log.admin.query("SET session_replication_role = 'replica'");
    for (const table of [
      'books',
      'book_heads',
      'events',
      'batches',
      'heads',
      'origins',
      'checkpoints',
      'checkpoint_signatures',
      'tiles',
      'trees',
    ])
      await log.admin.query(`DELETE FROM log.${table} WHERE book_id = $1`, [book]);
    await log.admin.query("SET session_replication_role = 'origin'");
    return note;
  }

  it('is handed out by whoever starts next, when a crash came in between', async () => {
    await grown(4);
    await sealerWith().seal(bookId);
    const next = sealerWith();
    await next.conflicts();
    await next.handOut();
    expect(noteAt(`${await logName()}/${bookId}`)).toBe((await proofs().checkpoint(bookId)).note);
  });

  it('never lies outside the directory, whatever name stands in the database', async () => {
    await grown(3);
    await sealerWith().seal(bookId);
    await asSuperuser("UPDATE log.origins SET origin = '../escaped' WHERE book_id = $1");
    await asSuperuser("UPDATE log.checkpoints SET origin = '../escaped' WHERE book_id = $1");
    const sealer = sealerWith();
    await expect(sealer.seal(bookId)).rejects.toThrow('"../escaped" is no name of a log');
    expect(existsSync(join(directory, 'escaped'))).toBe(false);
  });

  it('is signed only when it is the head of the tree', async () => {
    await grown(3);
    await sealerWith().seal(bookId);
    await grown(6);
    await asSuperuser(
      `INSERT INTO log.checkpoints (size, recorded_at, book_id, origin, root) SELECT 5, now(), book_id, origin, sha256('forged') FROM log.checkpoints WHERE book_id = $1`,
    );
    await expect(sealerWith().seal(bookId)).rejects.toThrow('is not that of its tree and name');
  });

  /** As a backup has it that was made at that position. */
  async function cutBackTo(position: number): Promise<void> {
    for (const table of ['events', 'batches', 'checkpoints', 'checkpoint_signatures', 'tiles', 'trees', 'heads']) {
      const column = { events: 'position', batches: 'last_position', checkpoints: 'size', checkpoint_signatures: 'size' }[table];
      await asSuperuser(`DELETE FROM log.${table} WHERE book_id = $1${column === undefined ? '' : ` AND ${column} > ${position}`}`);
    }
    await asSuperuser(
      `UPDATE log.book_heads h SET position = ${position}, recorded_at = (SELECT max(e.recorded_at) FROM log.events e WHERE e.book_id = h.book_id) WHERE h.book_id = $1`,
    );
    await asSuperuser(`INSERT INTO log.batches (last_position, recorded_at, book_id)
      SELECT max(position), max(recorded_at), book_id FROM log.events WHERE book_id = $1 GROUP BY book_id ON CONFLICT DO NOTHING`);
  }

  it('that is no checkpoint is told', async () => {
    await grown(4);
    const sealer = sealerWith();
    await sealer.seal(bookId);
    await sealer.handOut();
    const file = join(directory, 'checkpoints', await logName(), bookId, 'checkpoint');
    writeFileSync(file, 'hello\n');
    // What grew beside it says the same.
    await expect(sealerWith().seal(bookId)).resolves.toMatchObject({ size: 4 });
    rmSync(dirname(file), { recursive: true });
    mkdirSync(dirname(file));
    writeFileSync(file, 'hello\n');
    await expect(sealerWith().seal(bookId)).rejects.toThrow('has something for');
    rmSync(file);
    await expect(sealerWith().seal(bookId)).resolves.toMatchObject({ size: 4 });
  });

  it('signed by a key that this database does not have is told', async () => {
    await grown(2);
    const sealer = sealerWith();
    await sealer.seal(bookId);
    await sealer.handOut();
    const file = join(directory, 'checkpoints', await logName(), bookId, 'checkpoint');
    const note = parseNote(readFileSync(file, 'utf8'));
    const other = generateKeyPairSync('ed25519').privateKey;
    const key = noteKey(await logName(), keyTypes.ed25519, publicBytes(other));
    const signature = Buffer.concat([key.id, sign(null, Buffer.from(note?.text as string), other)]).toString('base64');
    writeFileSync(file, `${note?.text}\n— ${key.name} ${signature}\n`);
    await expect(sealerWith().seal(bookId)).rejects.toThrow('none of the keys of this database has signed');
    rmSync(file);
  });

  describe('to an S3-compatible bucket', () => {
    let bucket: S3rver;
    let settings: Record<string, string>;
    const before = { id: process.env.AWS_ACCESS_KEY_ID, secret: process.env.AWS_SECRET_ACCESS_KEY };
    beforeAll(async () => {
      process.env.AWS_ACCESS_KEY_ID = 'S3RVER';
      process.env.AWS_SECRET_ACCESS_KEY = 'S3RVER';
      bucket = new S3rver({
        port: 0,
        address: '127.0.0.1',
        silent: true,
        directory: join(directory, 's3'),
        configureBuckets: [{ name: 'worm', configs: [] }],
      });
      const { port } = (await bucket.run()) as AddressInfo;
      settings = {
        CHECKPOINT_DIR: 'off',
        CHECKPOINT_BUCKET: `s3://worm/books?endpoint=http://127.0.0.1:${port}`,
        CHECKPOINT_RETENTION_DAYS: '3650',
      };
    });
    afterAll(async () => {
      await bucket?.close();
      restore('AWS_ACCESS_KEY_ID', before.id);
      restore('AWS_SECRET_ACCESS_KEY', before.secret);
    });
    const restore = (name: string, value: string | undefined): void => {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    };

    it('is found there again, also where somebody put an older one in the place of the newest', async () => {
      await grown(6);
      const sealer = sealerWith(settings);
      await sealer.seal(bookId);
      await sealer.handOut();
      const first = (await proofs().checkpoint(bookId)).note;
      await grown(9);
      await sealer.seal(bookId);
      await sealer.handOut();
      expect(sealer.counts.failures).toBe(0);
      expect((await sealerWith(settings).conflicts()).filter((conflict) => conflict.bookId === bookId)).toEqual([]);
      // s3rver keeps objects as files.
      const newest = filesIn(join(directory, 's3')).find((file) => file.includes(`${bookId}/checkpoint._S3rver_object`)) as string;
      writeFileSync(newest, first);
      await cutBackTo(6);
      expect(await sealerWith(settings).conflicts()).toContainEqual(
        expect.objectContaining({ bookId, message: expect.stringContaining('ends at position 6, but a checkpoint of 9 events') }),
      );
    });

    it('is found there of a book that the database lacks altogether', async () => {
      const note = await sealedThenLost(bookId, settings);
      expect(await sealerWith(settings).conflicts()).toContainEqual(
        expect.objectContaining({ bookId, note, message: expect.stringContaining(`there is no book ${bookId}`) }),
      );
    });

    it('is that of the book, and not of another one whose name begins so', async () => {
      const other = `${bookId}2`;
      await log.store.registerBook(other, Date.now() * 1_000);
      await log.appended(other, { events: noted(newId(), 1, 9) });
      await grown(3);
      const sealer = sealerWith(settings);
      for (const book of [bookId, other]) await sealer.seal(book);
      await sealer.handOut();
      expect((await sealerWith(settings).conflicts()).filter((conflict) => conflict.bookId.startsWith(bookId))).toEqual([]);
    });

    it('signs nothing while the bucket cannot be read: it might say that the database is an old one', async () => {
      await grown(1);
      const elsewhere = { ...settings, CHECKPOINT_BUCKET: (settings.CHECKPOINT_BUCKET as string).replace('worm', 'none') };
      await expect(sealerWith(elsewhere).seal(bookId)).rejects.toThrow('bucket none answered 404 to GET ');
      expect(await trees.signedCheckpoint(bookId)).toBeUndefined();
      await expect(sealerWith(settings).seal(bookId)).resolves.toMatchObject({ size: 1 });
    });
  });

  const filesIn = (folder: string): string[] =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name));

  it('to a webhook is tried again until it is taken', async () => {
    const taken: string[] = [];
    let refuse = true;
    const { url, close } = await serving((body) => {
      if (refuse) return [503, ''];
      taken.push(body);
      return [200, ''];
    });
    try {
      const sealer = sealerWith({ CHECKPOINT_DIR: 'off', CHECKPOINT_WEBHOOK: url });
      await grown(2);
      await sealer.seal(bookId);
      await sealer.handOut();
      expect([taken, sealer.counts.failures]).toEqual([[], 1]);
      refuse = false;
      await sealer.handOut();
      await sealer.handOut();
      expect(taken).toEqual([(await proofs().checkpoint(bookId)).note]);
    } finally {
      await close();
    }
  });
});

/** A server that answers each body with a status and a text. */
async function serving(
  answer: (body: string, path: string) => [number, string],
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server: Server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (some: string) => {
      body += some;
    });
    request.on('end', () => {
      const [status, text] = answer(body, request.url ?? '');
      response.writeHead(status).end(text);
    });
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((closed) => {
        server.closeAllConnections();
        server.close(() => closed());
      }),
  };
}

/** A witness as C2SP tlog-witness and tlog-cosignature describe it, made here: it signs what continues the last that it signed. */
class SpecWitness {
  readonly key: KeyObject = generateKeyPairSync('ed25519').privateKey;
  readonly name = 'witness.example/w1';
  readonly noteKey = noteKey(this.name, keyTypes.cosignature, publicBytes(this.key));
  private readonly seen = new Map<string, { size: number; root: Buffer }>();

  answer(body: string, path: string): [number, string] {
    if (path !== '/add-checkpoint') return [404, ''];
    const [head = '', ...rest] = body.split('\n\n');
    const [old = '', ...proof] = head.split('\n');
    const note = parseNote(rest.join('\n\n'));
    const checkpoint = note && parseCheckpoint(note.text);
    if (note === undefined || checkpoint === undefined) return [400, 'no checkpoint'];
    const from = Number(old.replace('old ', ''));
    const last = this.seen.get(checkpoint.origin) ?? { size: 0, root: createHash('sha256').digest() };
    if (from !== last.size) return [409, `${last.size}\n`];
    const hashes = proof.map((line) => Buffer.from(line, 'base64'));
    if (!verifyConsistency(last, checkpoint, hashes)) return [422, 'no consistency'];
    this.seen.set(checkpoint.origin, checkpoint);
    const seconds = Math.floor(Date.now() / 1_000);
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(BigInt(seconds));
    const bytes = Buffer.concat([this.noteKey.id, time, sign(null, cosignedMessage(note.text, seconds), this.key)]);
    return [200, `— ${this.name} ${bytes.toString('base64')}\n`];
  }
}

describe('witnesses', () => {
  it('co-sign heads that continue what they signed, and their signatures are kept', async () => {
    const witness = new SpecWitness();
    const { url, close } = await serving((body, path) => witness.answer(body, path));
    try {
      const sealer = sealerWith({ WITNESSES: `${url} ${keyText(witness.noteKey)}` });
      for (const size of [3, 4, 300, 301]) {
        await grown(size);
        await sealer.seal(bookId);
        await sealer.handOut();
        const checkpoint = await trees.signedCheckpoint(bookId);
        expect(checkpoint?.signatures.map(({ name }) => name)).toEqual([await logName(), witness.name]);
        expect(parseNote((await proofs().checkpoint(bookId)).note)?.signatures).toHaveLength(2);
      }
      expect(sealer.counts.failures).toBe(0);
      // Its signature of 302 is lost on the way; it says itself which one it gave last.
      await grown(302);
      await sealer.seal(bookId);
      const lost = await trees.signedCheckpoint(bookId);
      const proof = (await trees.treeOf(bookId, 302).consistencyProof(301)).map((hash) => `${hash.toString('base64')}\n`).join('');
      expect(witness.answer(`old 301\n${proof}\n${(await proofs().checkpoint(bookId)).note}`, '/add-checkpoint')[0]).toBe(200);
      expect(lost?.signatures).toHaveLength(1);
      await grown(305);
      await sealer.seal(bookId);
      await sealer.handOut();
      expect((await trees.signedCheckpoint(bookId))?.signatures).toHaveLength(2);
      expect(sealer.counts.failures).toBe(0);
    } finally {
      await close();
    }
  });

  it.each([
    ['of another key', () => new SpecWitness().answer],
    ['that is none', () => () => [200, 'hello\n'] as [number, string]],
    ['with 403', () => () => [403, 'not you'] as [number, string]],
  ])('an answer %s is not kept', async (_, make) => {
    const witness = new SpecWitness();
    const other = new SpecWitness();
    const answer = make();
    const { url, close } = await serving((body, path) => answer.call(other, body, path));
    try {
      const problems: unknown[] = [];
      const config = readConfig({ DATA_DIR: directory, WITNESSES: `${url} ${keyText(witness.noteKey)}` });
      const sealer = new Sealer(log.store, log.pool, { config, report: ({ error }) => problems.push((error as Error).message) });
      await grown(1);
      await sealer.seal(bookId);
      await sealer.handOut();
      expect(problems).toEqual([expect.stringMatching(/^witness witness\.example\/w1 answered/)]);
      expect((await trees.signedCheckpoint(bookId))?.signatures).toHaveLength(1);
    } finally {
      await close();
    }
  });

  it.each(['http://w.example', 'w.example key', `http://w.example ${'x'.repeat(10)}`, 'ftp://w.example a+00000000+AQ=='])(
    'WITNESSES=%s is refused',
    (text) => {
      expect(() => readConfig({ WITNESSES: text })).toThrow('WITNESSES: "');
    },
  );
});

describe('keys', () => {
  // Keys belong to the whole database.
  let own: TestLog;
  let home: string;
  let keys: TreeStore;
  beforeEach(async () => {
    own = await testLog();
    keys = new TreeStore(own.pool);
    home = mkdtempSync(join(tmpdir(), 'book-keeper-keys-'));
    await own.store.registerBook('b', Date.now() * 1_000);
    await own.appended('b', { events: noted(stream, 1, 3) });
  });
  afterEach(async () => {
    await own.close();
    rmSync(home, { recursive: true, force: true });
  });
  const with_ = (settings: Record<string, string> = {}) => readConfig({ DATA_DIR: home, ...settings });
  const sealer = (settings: Record<string, string> = {}): Sealer => new Sealer(own.store, own.pool, { config: with_(settings) });
  const who = { userId: 'u-1', reason: 'every year' };
  const keyFile = (): string => join(home, 'signing-key.pem');

  it('the first one is made at the first start, for its owner only, under the name that was given', async () => {
    await sealer({ LOG_NAME: 'books.example.com/ledger' }).seal('b');
    const [key] = await keys.signingKeys();
    expect(key).toMatchObject({ number: 1, name: 'books.example.com/ledger' });
    expect(publicBytes(createPublicKey(readFileSync(keyFile())))).toEqual(key?.publicKey);
    expect((await keys.signedCheckpoint('b'))?.origin).toBe('books.example.com/ledger/b');
    await expect(sealer({ LOG_NAME: 'other.example' }).seal('b')).rejects.toThrow('cannot be changed to LOG_NAME=other.example');
  });

  it('one that follows is named by the one before, and a running sealer takes it', async () => {
    const running = sealer();
    await running.seal('b');
    const { from, to } = await rotateKey(keys, with_(), { lost: false, ...who });
    expect(parseKey(keyText(to))).toEqual(to);
    await own.appended('b', { events: noted(stream, 4, 5) });
    await running.seal('b');
    const checkpoint = await keys.signedCheckpoint('b');
    const note = { text: checkpointText(checkpoint as Parameters<typeof checkpointText>[0]), signatures: checkpoint?.signatures ?? [] };
    expect([signedBy(note, to), signedBy(note, from)]).toEqual([true, false]);
    const shown = await new Proofs(own.store, keys, new Queries(own.store, own.pool, { readWaitMs: 0 })).keys();
    expect(shown.map(({ key, endorsed }) => [key, endorsed])).toEqual([
      [keyText(from), false],
      [keyText(to), true],
    ]);
    expect(shown[1]?.statement).toContain('reason "every year"');
    expect(readdirSync(home).filter((name) => name.endsWith('.old'))).toHaveLength(1);
  });

  it('one that was recorded and not put in place before a crash is put in place at the next start', async () => {
    await sealer().seal('b');
    const before = readFileSync(keyFile(), 'utf8');
    await rotateKey(keys, with_(), { lost: false, ...who });
    const after = readFileSync(keyFile(), 'utf8');
    writeFileSync(keyFile(), before);
    writeFileSync(`${keyFile()}.next`, after);
    await own.appended('b', { events: noted(stream, 4, 4) });
    await expect(sealer().seal('b')).resolves.toMatchObject({ size: 4 });
    expect([readFileSync(keyFile(), 'utf8'), existsSync(`${keyFile()}.next`)]).toEqual([after, false]);
  });

  it('a lost one is followed by one that nobody names; another one than the last signs nothing', async () => {
    await sealer().seal('b');
    rmSync(keyFile());
    await own.appended('b', { events: noted(stream, 4, 4) });
    await expect(sealer().seal('b')).rejects.toThrow(/is not in .*signing-key\.pem: put it back.*rotate-key --lost/);
    await expect(rotateKey(keys, with_(), { lost: false, ...who })).rejects.toThrow('the key at hand is not');
    writeFileSync(keyFile(), generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }));
    await expect(sealer().seal('b')).rejects.toThrow('and the key at hand is');
    expect((await keys.tree('b'))?.size).toBe(3);
    const { to } = await rotateKey(keys, with_(), { lost: true, ...who });
    expect(to.publicKey).toEqual(publicBytes(createPublicKey(readFileSync(keyFile()))));
    await expect(sealer().seal('b')).resolves.toMatchObject({ size: 4 });
    expect((await keys.signingKeys()).at(-1)?.statement.match(/^— /gm)).toHaveLength(1);
    await expect(rotateKey(keys, with_(), { lost: true, ...who })).rejects.toThrow('is not lost, it is at hand');
  });

  it('may be kept by a program that signs', async () => {
    const pem = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    const program = join(home, 'hsm.mjs');
    writeFileSync(
      program,
      `#!${process.execPath}
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
const key = createPrivateKey(${JSON.stringify(pem)});
const answer = process.argv[2] === 'public-key' ? createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32) : sign(null, readFileSync(0), key);
console.log(answer.toString('base64'));
`,
    );
    chmodSync(program, 0o755);
    const settings = { SIGNING_COMMAND: program };
    await expect(sealer(settings).seal('b')).resolves.toMatchObject({ size: 3 });
    expect(existsSync(keyFile())).toBe(false);
    const next = join(home, 'next.pem');
    writeFileSync(next, generateKeyPairSync('ed25519').publicKey.export({ format: 'pem', type: 'spki' }));
    await expect(rotateKey(keys, with_(settings), { lost: false, ...who })).rejects.toThrow('give its public half (--file)');
    await rotateKey(keys, with_(settings), { file: next, lost: false, ...who });
    await own.appended('b', { events: noted(stream, 4, 4) });
    await expect(sealer(settings).seal('b')).rejects.toThrow('and the key at hand is');
    await expect(sealer({ SIGNING_COMMAND: '/nonexistent' }).seal('b')).rejects.toThrow('SIGNING_COMMAND /nonexistent public-key failed');
  });

  it.each(['/x', 'a b', 'x/', 'ü', '../x', 'a+b'])('LOG_NAME=%s is refused', (name) => {
    expect(() => readConfig({ LOG_NAME: name })).toThrow('LOG_NAME=');
  });
});
