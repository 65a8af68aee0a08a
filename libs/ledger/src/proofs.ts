/**
 * Proofs: what the Merkle log of a book is asked for, as the REST contract answers it: checkpoints, inclusion and consistency proofs,
 * tiles, keys. Hides where hashes are kept; guarantees that all it gives is hashes and signatures, no event and no personal data, that
 * a proof leads to a root that was signed, and that the same question about the same sizes has the same answer for ever. What was
 * recorded just now is waited for, as reports wait for their projections (READ_WAIT_MS), until the next checkpoint has it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { LedgerError } from '#domain';
import { type EventStore, keyText, noteText, parseTilePath, type StoredCheckpoint, type TreeStore } from '#event-store';
import { isCompanion } from './action-log';
import { malformed } from './asking';
import { isEndorsed, keyOf } from './proof/signer';
import type { Queries } from './queries';
import { noteOf } from './sealer';

export interface InclusionProof {
  /** Of the event; its leaf stands at position − 1. */
  readonly position: number;
  /** Leaves of the tree that it is proved in. */
  readonly size: number;
  /** Base64, as all hashes here. */
  readonly leafHash: string;
  readonly root: string;
  /** From the leaf's sibling upwards (RFC 9162 section 2.1.3). */
  readonly hashes: readonly string[];
  /** The signed note that states size and root. */
  readonly checkpoint: string;
}

export interface ConsistencyProof {
  readonly from: number;
  readonly to: number;
  readonly fromRoot: string;
  readonly toRoot: string;
  /** RFC 9162 section 2.1.4; none when both are the same. */
  readonly hashes: readonly string[];
}

export interface CheckpointKey {
  readonly number: number;
  /** name+hash+key (C2SP signed-note). */
  readonly key: string;
  readonly activatedAt: string;
  /** The signed note that says so: signed by the key before, unless that was lost, and by the key itself where it was at hand. */
  readonly statement: string;
  /** Whether the key before signed it. */
  readonly endorsed: boolean;
}

export class Proofs {
  constructor(
    private readonly store: EventStore,
    readonly trees: TreeStore,
    private readonly queries: Queries,
  ) {}

  /**
   * A signed checkpoint as a note: the newest one, or the first of `size` leaves or more.
   * @throws LedgerError book_unknown | malformed | not_sealed after READ_WAIT_MS
   */
  async checkpoint(bookId: string, { size }: { readonly size?: number } = {}): Promise<{ readonly note: string; readonly size: number }> {
    const checkpoint = await this.signed(bookId, size);
    return { note: noteText(noteOf(checkpoint)), size: checkpoint.size };
  }

  /**
   * That the event at a position is in the log.
   * @param size of the tree to prove it in; that of the newest checkpoint when absent
   * @throws LedgerError book_unknown | malformed | date_invalid when there is no such position | not_sealed after READ_WAIT_MS
   */
  async inclusion(bookId: string, { position, size }: { readonly position: number; readonly size?: number }): Promise<InclusionProof> {
    whole('position', position, 1);
    await this.pin(bookId, position);
    if (size !== undefined && position > size)
      throw malformed('position', `position ${position} is not in a tree of ${size} events: the last one is ${size}`);
    const checkpoint = size === undefined ? await this.newest(bookId, position) : await this.ofSize(bookId, size);
    const tree = this.trees.treeOf(bookId, checkpoint.size);
    const hashes = await tree.inclusionProof(position - 1);
    return {
      position,
      size: checkpoint.size,
      leafHash: (await tree.leaf(position - 1)).toString('base64'),
      root: checkpoint.root.toString('base64'),
      hashes: hashes.map((hash) => hash.toString('base64')),
      checkpoint: noteText(noteOf(checkpoint)),
    };
  }

  /**
   * That the log of `from` events is the beginning of the log of `to` events, for any two sizes that are sealed.
   * @throws LedgerError book_unknown | malformed | not_sealed
   */
  async consistency(bookId: string, { from, to }: { readonly from: number; readonly to?: number }): Promise<ConsistencyProof> {
    whole('from', from, 0);
    await this.pin(bookId, undefined);
    const until = to ?? (await this.signed(bookId)).size;
    whole('to', until, from);
    await this.reached(bookId, until, async () => {
      const size = (await this.trees.tree(bookId))?.size ?? 0;
      return { found: size >= until ? size : undefined, sealed: size };
    });
    const tree = this.trees.treeOf(bookId, until);
    const hashes = await tree.consistencyProof(from);
    const [fromRoot, toRoot] = await Promise.all([this.trees.treeOf(bookId, from).root(), tree.root()]);
    return {
      from,
      to: until,
      fromRoot: fromRoot.toString('base64'),
      toRoot: toRoot.toString('base64'),
      hashes: hashes.map((hash) => hash.toString('base64')),
    };
  }

  /**
   * A tile of the log, as bytes (C2SP tlog-tiles): what a path names never changes.
   * @param path `LEVEL/INDEX` or `LEVEL/INDEX.p/WIDTH`, with the index in groups of three digits
   * @throws LedgerError book_unknown | malformed | tile_unknown
   */
  async tile(bookId: string, path: string): Promise<Buffer> {
    const address = parseTilePath(path);
    if (address === undefined)
      throw malformed(
        'path',
        `"${path}" is no path of a tile: expected LEVEL/INDEX, with the index in groups of three digits, such as 0/x001/067, or 0/067.p/5`,
      );
    await this.pin(bookId, undefined);
    const { level, index, width } = address;
    const there = await this.trees.widthOf(bookId, level, index);
    if (width > there)
      throw new LedgerError(
        'tile_unknown',
        `tile ${path} of book ${bookId} is not there: ${there === 0 ? 'the tree does not go so far' : `it has ${there} hashes so far`}`,
        { tile: path },
      );
    return this.trees.tile(bookId, level, index, width);
  }

  /** The keys that sign, in the order in which they came into use; the last one is in use. */
  async keys(): Promise<CheckpointKey[]> {
    return (await this.trees.signingKeys()).map((key, index, keys) => {
      const before = keys[index - 1];
      return {
        number: key.number,
        key: keyText(keyOf(key)),
        activatedAt: key.activatedAt,
        statement: key.statement,
        endorsed: before !== undefined && isEndorsed(key, before),
      };
    });
  }

  /**
   * The newest signed checkpoint, or the first of so many leaves or more.
   * @throws LedgerError book_unknown | malformed | not_sealed after READ_WAIT_MS
   */
  async signed(bookId: string, size?: number): Promise<StoredCheckpoint> {
    await this.pin(bookId, undefined);
    if (size === undefined) return this.newest(bookId, 1);
    whole('size', size, 1);
    return this.reached(bookId, size, async () => {
      const found = await this.trees.firstCheckpointFrom(bookId, size);
      return { found, sealed: found === undefined ? ((await this.trees.signedCheckpoint(bookId))?.size ?? 0) : found.size };
    });
  }

  /** The newest signed checkpoint, when it has come to a position. */
  private newest(bookId: string, position: number): Promise<StoredCheckpoint> {
    return this.reached(bookId, position, async () => {
      const checkpoint = await this.trees.signedCheckpoint(bookId);
      const sealed = checkpoint?.size ?? 0;
      return { found: sealed >= position ? checkpoint : undefined, sealed };
    });
  }

  private async ofSize(bookId: string, size: number): Promise<StoredCheckpoint> {
    whole('size', size, 1);
    const found = await this.trees.checkpointOf(bookId, size);
    if (found !== undefined && found.signatures.length > 0) return found;
    const next = await this.signed(bookId, size);
    if (next.size === size) return next;
    throw malformed('size', `no checkpoint of ${size} events was signed; the next larger one is of ${next.size}`);
  }

  /** Looks until it is found; what is recorded up to `position` is about to be sealed, what is not there yet is not waited for. */
  private async reached<T>(
    bookId: string,
    position: number,
    look: () => Promise<{ readonly found: T | undefined; readonly sealed: number }>,
  ): Promise<T> {
    const deadline = performance.now() + this.queries.readWaitMs;
    for (let pauseMs = 10; ; pauseMs = Math.min(100, pauseMs * 2)) {
      const { found, sealed } = await look();
      if (found !== undefined) return found;
      const left = deadline - performance.now();
      if (left <= 0 || (await this.store.head(bookId)).position < position) throw this.notSealed(bookId, position, sealed);
      await sleep(Math.min(pauseMs, left));
    }
  }

  /** Companion logs, which no other question of ours may be asked about, are proved like those of books. */
  private async pin(logId: string, position: number | undefined): Promise<void> {
    const isThere = isCompanion(logId) && (await this.store.head(logId)).position >= (position ?? 1);
    if (!isThere) await this.queries.pin(logId, position);
  }

  private notSealed(bookId: string, wanted: number, sealed: number): LedgerError {
    return new LedgerError(
      'not_sealed',
      `book ${bookId} is sealed and signed up to ${sealed === 0 ? 'no event yet' : `event ${sealed}`}, not up to ${wanted}; repeat after a second`,
      { sealed, retryAfter: 1 },
    );
  }
}

function whole(member: string, value: number, min: number): void {
  if (!Number.isSafeInteger(value) || value < min) throw malformed(member, `${member} is ${value}, not a whole number from ${min} on`);
}
