/**
 * The Merkle log of books as it is stored: trees that grow behind the events, their tiles, the heads that are signed, signatures, keys,
 * and the names that logs are signed under. Hides which hashes stand in tiles and which still in events. Guarantees that a tree grows in
 * position order, each leaf once, whoever seals and whatever crashes: tiles and head are written in one SQL transaction that compares
 * the size that the tree had before.
 */
import type { Pool } from 'pg';
import { byteaArray, int2Array, int8Array } from '#postgres';
import { instantText } from './envelope';
import { type FullTile, hashBytes, TiledTree, TreeEdge, tileWidth, tileWidthAt } from './merkle';
import type { CheckpointBody, NoteSignature } from './signed-note';

export interface StoredTree {
  readonly size: number;
  readonly root: Buffer;
  /** The largest size that has a signature of the log's own. */
  readonly signedSize: number;
}

export interface StoredCheckpoint extends CheckpointBody {
  /** UTC, six decimals. */
  readonly recordedAt: string;
  /** The log's own first, then in the order in which they came. */
  readonly signatures: readonly NoteSignature[];
}

/** A key that signs, in the order in which they came into use. */
export interface SigningKey {
  /** 1, 2, 3 … */
  readonly number: number;
  readonly name: string;
  /** 32 bytes, Ed25519. */
  readonly publicKey: Buffer;
  /** UTC, six decimals. */
  readonly activatedAt: string;
  /** The note that says so, signed by the key before unless that was lost, and by the key itself where it was at hand. */
  readonly statement: string;
}

/** The name that a book's log is signed under, from a size on. */
export interface Origin {
  /** 1, 2, 3 … */
  readonly number: number;
  readonly origin: string;
  readonly size: number;
  readonly recordedAt: string;
  /** The signed note that says who gave up the log of the name before, and why; absent of the first name. */
  readonly statement?: string;
}

/** A book whose log goes further than its tree, or whose tree has a head that is not signed. */
export interface Unsealed {
  readonly bookId: string;
  readonly position: number;
  /** Leaves in the tree. */
  readonly size: number;
}

/** Leaves added in one SQL transaction; their tiles are 2 MiB. */
const leavesPerSeal = 65_536;
/** Leaves read by one statement; as text they are 1 MiB. */
const leavesPerRead = 16_384;

/** A leaf that the tree needs is not in the log: it was changed from outside. */
class MissingLeaf extends Error {}

export class TreeStore {
  constructor(private readonly pool: Pool) {}

  /** How far the tree of a book goes; undefined when none was sealed. */
  async tree(bookId: string): Promise<StoredTree | undefined> {
    const { rows } = await this.pool.query<{ size: number; signed_size: number; root: Buffer }>({
      name: 'tree',
      text: 'SELECT size, signed_size, root FROM log.trees WHERE book_id = $1',
      values: [bookId],
    });
    const row = rows[0];
    return row && { size: row.size, root: row.root, signedSize: row.signed_size };
  }

  /**
   * The edge of the tree as it is stored, to be grown.
   * @throws MissingLeaf; Error when what is stored does not make the root that is stored
   */
  async edge(bookId: string): Promise<TreeEdge> {
    const tree = await this.tree(bookId);
    if (tree === undefined) return new TreeEdge();
    const { size, root } = tree;
    const levels: Buffer[][] = [];
    for (let level = 0, entries = size; entries > 0; level++, entries = Math.floor(entries / tileWidth)) {
      const width = entries % tileWidth;
      const hashes = width === 0 ? Buffer.alloc(0) : await this.tile(bookId, level, Math.floor(entries / tileWidth), width);
      levels.push(Array.from({ length: width }, (_, place) => hashes.subarray(place * hashBytes, (place + 1) * hashBytes)));
    }
    const edge = new TreeEdge(size, levels);
    if (!edge.root().equals(root))
      throw new Error(
        `the tree of book ${bookId} has another root at ${size} leaves than its events and tiles make; run book-keeper verify`,
      );
    return edge;
  }

  /**
   * Grows the tree by leaves of the log, and records its new head as a checkpoint.
   * @param edge as `edge` gave it; grown here, and of no use when the answer is false
   * @param micros when the checkpoint is recorded, microseconds since 1970
   * @returns false when another sealer was faster
   * @throws MissingLeaf; what the driver throws when the outcome is unknown
   */
  async extend(bookId: string, edge: TreeEdge, to: number, origin: string, micros: number): Promise<boolean> {
    while (edge.size < to) {
      const before = edge.size;
      const until = Math.min(to, before - (before % tileWidth) + leavesPerSeal);
      const tiles: FullTile[] = [];
      await this.grow(bookId, edge, until, (tile) => tiles.push(tile));
      if (!(await this.write(bookId, before, edge, tiles, until === to ? { origin, micros } : undefined))) return false;
      if (until === to) return true;
    }
    return this.write(bookId, edge.size, edge, [], { origin, micros });
  }

  /** Adds leaves of the log to an edge up to a size; writes nothing. @throws MissingLeaf */
  async grow(bookId: string, edge: TreeEdge, to: number, full?: (tile: FullTile) => void): Promise<void> {
    while (edge.size < to) {
      const upTo = Math.min(to, edge.size + leavesPerRead);
      for (const leaf of await this.leaves(bookId, edge.size, upTo)) edge.add(leaf, full);
    }
  }

  private async write(
    bookId: string,
    before: number,
    edge: TreeEdge,
    tiles: readonly FullTile[],
    checkpoint: { readonly origin: string; readonly micros: number } | undefined,
  ): Promise<boolean> {
    const { rows } = await this.pool.query<{ seal: boolean }>({
      name: 'seal',
      text: 'SELECT log.seal($1, $2, $3, $4, $5, $6::timestamptz, $7::int2[], $8::int8[], $9::bytea[], $10::bytea[])',
      values: [
        bookId,
        before,
        edge.size,
        edge.root(),
        checkpoint?.origin,
        checkpoint && instantText(checkpoint.micros),
        int2Array(tiles.map(({ level }) => level)),
        int8Array(tiles.map(({ index }) => index)),
        byteaArray(tiles.map(({ hashes }) => hashes)),
        byteaArray(tiles.map(({ root }) => root)),
      ],
    });
    return rows[0]?.seal === true;
  }

  /** The leaf hashes of positions after + 1 to upTo. */
  private async leaves(bookId: string, after: number, upTo: number): Promise<Buffer[]> {
    // One text per 256 leaves: a row per leaf costs three times as much in Node.
    const { rows } = await this.pool.query<{ leaves: Buffer }>({
      name: 'leaves',
      text: `SELECT string_agg(e.leaf_hash, ''::bytea ORDER BY e.position) AS leaves FROM log.events e
              WHERE e.book_id = $1 AND e.position > $2 AND e.position <= $3 GROUP BY (e.position - 1) / 256 ORDER BY (e.position - 1) / 256`,
      values: [bookId, after, upTo],
    });
    const hot = Buffer.concat(rows.map(({ leaves }) => leaves));
    const hashes = hot.length === (upTo - after) * hashBytes ? hot : Buffer.concat([await this.coldLeaves(bookId, after, upTo), hot]);
    const count = hashes.length / hashBytes;
    if (count !== upTo - after)
      throw new MissingLeaf(`of the events ${after + 1} to ${upTo} of book ${bookId} only ${count} are there; run book-keeper verify`);
    return Array.from({ length: count }, (_, place) => hashes.subarray(place * hashBytes, (place + 1) * hashBytes));
  }

  /** The leaf hashes of positions after + 1 to upTo whose events are cold: in full tiles, which stay. */
  private async coldLeaves(bookId: string, after: number, upTo: number): Promise<Buffer> {
    const { rows } = await this.pool.query<{ tile: number; hashes: Buffer }>({
      name: 'cold-leaves',
      text: `SELECT t.tile, t.hashes FROM log.tiles t
              WHERE t.book_id = $1 AND t.level = 0 AND t.tile >= $2::int8 / 256 AND t.tile < least($3::int8, coalesce((
                    SELECT r.to_position FROM log.archived_ranges r WHERE r.book_id = $1 ORDER BY r.from_position DESC LIMIT 1), 0)) / 256
              ORDER BY t.tile`,
      values: [bookId, after, upTo + 255],
    });
    const first = (rows[0]?.tile ?? 0) * tileWidth;
    const hashes = Buffer.concat(rows.map((row) => row.hashes));
    return hashes.subarray((after - first) * hashBytes, (upTo - first) * hashBytes);
  }

  /** The tree of a book as it was with so many leaves, which must be sealed. */
  treeOf(bookId: string, size: number): TiledTree {
    return new TiledTree(size, (level, index, width) => this.tile(bookId, level, index, width));
  }

  /**
   * The first `width` hashes of a tile of what is sealed.
   * @throws MissingLeaf when they are not all there
   */
  async tile(bookId: string, level: number, index: number, width: number): Promise<Buffer> {
    const { rows } = await this.pool.query<{ hashes: Buffer }>({
      name: 'tile',
      text: 'SELECT hashes FROM log.tiles WHERE book_id = $1 AND level = $2 AND tile = $3',
      values: [bookId, level, index],
    });
    const full = rows[0]?.hashes;
    if (full !== undefined) return full.subarray(0, width * hashBytes);
    const first = index * tileWidth;
    if (level === 0) return Buffer.concat(await this.leaves(bookId, first, first + width));
    const below = await this.pool.query<{ roots: Buffer | null }>({
      name: 'tile-below',
      text: `SELECT string_agg(t.root, ''::bytea ORDER BY t.tile) AS roots FROM log.tiles t
              WHERE t.book_id = $1 AND t.level = $2 AND t.tile >= $3 AND t.tile < $4`,
      values: [bookId, level - 1, first, first + width],
    });
    const roots = below.rows[0]?.roots ?? Buffer.alloc(0);
    if (roots.length !== width * hashBytes)
      throw new MissingLeaf(
        `tile ${level}/${index} of book ${bookId} has ${roots.length / hashBytes} hashes, not ${width}; run book-keeper verify`,
      );
    return roots;
  }

  /** Hashes that tile (level, index) of a sealed tree has; 0 when it has no such tile. */
  async widthOf(bookId: string, level: number, index: number): Promise<number> {
    return tileWidthAt((await this.tree(bookId))?.size ?? 0, level, index);
  }

  // --- What is signed ---

  /** The newest checkpoint with a signature of the log's own, at or below a size if one is given. */
  signedCheckpoint(bookId: string, upTo: number = Number.MAX_SAFE_INTEGER): Promise<StoredCheckpoint | undefined> {
    return this.checkpoint(
      bookId,
      'c.size <= $2 AND EXISTS (SELECT FROM log.checkpoint_signatures s WHERE s.book_id = c.book_id AND s.size = c.size)',
      'DESC',
      upTo,
    );
  }

  /** The first signed checkpoint that has so many leaves or more. */
  firstCheckpointFrom(bookId: string, size: number): Promise<StoredCheckpoint | undefined> {
    return this.checkpoint(
      bookId,
      'c.size >= $2 AND EXISTS (SELECT FROM log.checkpoint_signatures s WHERE s.book_id = c.book_id AND s.size = c.size)',
      'ASC',
      size,
    );
  }

  /**
   * The checkpoint of just so many leaves, signed or not yet.
   * @param until only with signatures that were kept up to then, UTC with six decimals; all of them when absent
   */
  checkpointOf(bookId: string, size: number, until = 'infinity'): Promise<StoredCheckpoint | undefined> {
    return this.checkpoint(bookId, 'c.size = $2', 'ASC', size, until);
  }

  private async checkpoint(
    bookId: string,
    condition: string,
    order: 'ASC' | 'DESC',
    size: number,
    until = 'infinity',
  ): Promise<StoredCheckpoint | undefined> {
    const { rows } = await this.pool.query<CheckpointRow>(
      `SELECT c.size, c.origin, c.root, c.recorded_at, ${signaturesOf('s.signed_at <= $3::timestamptz')} FROM log.checkpoints c
        WHERE c.book_id = $1 AND ${condition} ORDER BY c.size ${order} LIMIT 1`,
      [bookId, size, until],
    );
    return rows[0] && checkpointOf(rows[0]);
  }

  /** Checkpoints of sizes from `after` + 1 to `upTo`, the smallest first, at most `limit`, also those that are not signed yet. */
  async checkpoints(bookId: string, after: number, upTo: number, limit: number): Promise<StoredCheckpoint[]> {
    const { rows } = await this.pool.query<CheckpointRow>({
      name: 'checkpoints',
      text: `SELECT c.size, c.origin, c.root, c.recorded_at, ${signaturesOf('true')} FROM log.checkpoints c
              WHERE c.book_id = $1 AND c.size > $2 AND c.size <= $3 ORDER BY c.size LIMIT $4`,
      values: [bookId, after, upTo, limit],
    });
    return rows.map(checkpointOf);
  }

  /**
   * Of each day (UTC) the last signed checkpoint below a size, the smallest first.
   * @param until only with signatures that were kept up to then, UTC with six decimals
   */
  async checkpointsOfDays(bookId: string, below: number, until: string): Promise<StoredCheckpoint[]> {
    const { rows } = await this.pool.query<CheckpointRow>({
      name: 'checkpoints-of-days',
      text: `SELECT c.size, c.origin, c.root, c.recorded_at, ${signaturesOf('s.signed_at <= $3::timestamptz')}
               FROM (SELECT DISTINCT ON ((t.recorded_at AT TIME ZONE 'UTC')::date) t.* FROM log.checkpoints t
                      WHERE t.book_id = $1 AND t.size < $2
                        AND EXISTS (SELECT FROM log.checkpoint_signatures s WHERE s.book_id = $1 AND s.size = t.size AND s.signed_at <= $3::timestamptz)
                      ORDER BY (t.recorded_at AT TIME ZONE 'UTC')::date, t.size DESC) AS c
              WHERE c.book_id = $1 ORDER BY c.size`,
      values: [bookId, below, until],
    });
    return rows.map(checkpointOf);
  }

  /** Keeps a signature under a checkpoint, once. @param ours whether it is the log's own, or a witness's */
  async recordSignature(bookId: string, size: number, { name, keyId, bytes }: NoteSignature, micros: number, ours: boolean): Promise<void> {
    await this.pool.query({
      name: 'record-signature',
      text: 'SELECT log.record_signature($1, $2, $3, $4, $5, $6::timestamptz, $7)',
      values: [bookId, size, name, keyId, bytes, instantText(micros), ours],
    });
  }

  /** The largest size of a book's checkpoints that a witness has signed; 0 when it has signed none. */
  async signedUpTo(bookId: string, name: string, keyId: Buffer): Promise<number> {
    const { rows } = await this.pool.query<{ size: number | null }>({
      name: 'signed-up-to',
      text: 'SELECT max(size) AS size FROM log.checkpoint_signatures WHERE book_id = $1 AND name = $2 AND key_id = $3',
      values: [bookId, name, keyId],
    });
    return rows[0]?.size ?? 0;
  }

  /** Books that have something to seal or to sign; one of the few statements over all books. */
  async unsealed(): Promise<Unsealed[]> {
    const { rows } = await this.pool.query<{ book_id: string; position: number; size: number }>({
      name: 'unsealed',
      text: `SELECT h.book_id, h.position, coalesce(t.size, 0) AS size FROM log.book_heads h LEFT JOIN log.trees t ON t.book_id = h.book_id
              WHERE h.position > coalesce(t.signed_size, 0) ORDER BY h.book_id`,
    });
    return rows.map(({ book_id, position, size }) => ({ bookId: book_id, position, size }));
  }

  // --- Keys and names ---

  async signingKeys(): Promise<SigningKey[]> {
    const { rows } = await this.pool.query<SigningKey>(signingKeysStatement);
    return rows;
  }

  /** @returns false when another process was faster */
  async recordSigningKey({ number, name, publicKey, activatedAt, statement }: SigningKey): Promise<boolean> {
    const { rows } = await this.pool.query<{ recorded: boolean }>(
      'SELECT log.record_signing_key($1, $2, $3, $4::timestamptz, $5) AS recorded',
      [number, name, publicKey, activatedAt, statement],
    );
    return rows[0]?.recorded === true;
  }

  /** The pack that was built for a question. */
  async auditPack(bookId: string, question: string): Promise<AuditPackRecord | undefined> {
    const { rows } = await this.pool.query<AuditPackRecord>(`${auditPacksStatement} AND question = $2`, [bookId, question]);
    return rows[0] && readAuditPack(rows[0]);
  }

  /** The pack that was built last, at or before a position if one is given. */
  async lastAuditPack(bookId: string, upTo: number = Number.MAX_SAFE_INTEGER): Promise<AuditPackRecord | undefined> {
    const { rows } = await this.pool.query<AuditPackRecord>(`${auditPacksStatement} AND position <= $2 ORDER BY number DESC LIMIT 1`, [
      bookId,
      upTo,
    ]);
    return rows[0] && readAuditPack(rows[0]);
  }

  /** @returns false when the question was answered before, or the number is taken */
  async recordAuditPack(bookId: string, pack: AuditPackRecord): Promise<boolean> {
    const { number, question, position, since, checkpointSize, begunAt, release, manifestHash, note } = pack;
    const { rows } = await this.pool.query<{ recorded: boolean }>(
      'SELECT log.record_audit_pack($1, $2, $3, $4, $5, $6, $7::timestamptz, $8, $9, $10) AS recorded',
      [bookId, number, question, position, since, checkpointSize, begunAt, release, manifestHash, note],
    );
    return rows[0]?.recorded === true;
  }

  /** The names of a book's log, the one in use last. */
  async origins(bookId: string): Promise<Origin[]> {
    const { rows } = await this.pool.query<Origin>({ name: 'origins', text: originsStatement, values: [bookId] });
    return rows.map(readOrigin);
  }

  /** @returns false when another process was faster */
  async recordOrigin(bookId: string, { number, origin, size, recordedAt, statement }: Origin): Promise<boolean> {
    const { rows } = await this.pool.query<{ recorded: boolean }>(
      'SELECT log.record_origin($1, $2, $3, $4, $5::timestamptz, $6) AS recorded',
      [bookId, number, origin, size, recordedAt, statement],
    );
    return rows[0]?.recorded === true;
  }
}

// --- Audit packs ---

/** An audit pack that was built; its question is answered with the same bytes again. */
export interface AuditPackRecord {
  /** 1, 2, 3 … per book. */
  readonly number: number;
  /** Canonical JSON of what was asked for. */
  readonly question: string;
  readonly position: number;
  /** Position of the earlier pack whose changes it tells. */
  readonly since?: number;
  /** Size of the checkpoint that it ends with. */
  readonly checkpointSize: number;
  /** UTC, six decimals; signatures that came later are not in it. */
  readonly begunAt: string;
  /** Of the service that built it first; stands in its manifest. */
  readonly release: string;
  readonly manifestHash: Buffer;
  /** The signed note over its manifest. */
  readonly note: string;
}

/** $1: the book. */
export const auditPacksStatement = `SELECT number, question, position, since_position AS since, checkpoint_size AS "checkpointSize", begun_at AS "begunAt", release,
    manifest_hash AS "manifestHash", note FROM log.audit_packs WHERE book_id = $1`;

export const readAuditPack = (row: AuditPackRecord): AuditPackRecord => ({ ...row, since: row.since ?? undefined });

// --- Rows, also for those who read them in a snapshot of their own ---

export const signingKeysStatement =
  'SELECT number, name, public_key AS "publicKey", activated_at AS "activatedAt", statement FROM log.signing_keys ORDER BY number';

/** $1: the book. */
export const originsStatement =
  'SELECT number, origin, size, recorded_at AS "recordedAt", statement FROM log.origins WHERE book_id = $1 ORDER BY number';

/** SQL NULL comes as null; an absent member is undefined with us. */
export const readOrigin = (row: Origin): Origin => ({ ...row, statement: row.statement ?? undefined });

interface CheckpointRow {
  readonly size: number;
  readonly origin: string;
  readonly root: Buffer;
  readonly recorded_at: string;
  readonly signatures: readonly { readonly name: string; readonly key: string; readonly signature: string }[] | null;
}

/** Ours are those whose name begins the origin's; they stand first, and the order is the same for ever. */
const signaturesOf = (condition: string): string => `(
  SELECT json_agg(json_build_object('name', s.name, 'key', encode(s.key_id, 'hex'), 'signature', encode(s.signature, 'hex'))
                  ORDER BY starts_with(c.origin, s.name) DESC, s.signed_at, s.name, s.key_id)
    FROM log.checkpoint_signatures s WHERE s.book_id = c.book_id AND s.size = c.size AND ${condition}) AS signatures`;

function checkpointOf({ size, origin, root, recorded_at, signatures }: CheckpointRow): StoredCheckpoint {
  return {
    size,
    origin,
    root,
    recordedAt: recorded_at,
    signatures: (signatures ?? []).map(({ name, key, signature }) => ({
      name,
      keyId: Buffer.from(key, 'hex'),
      bytes: Buffer.from(signature, 'hex'),
    })),
  };
}
