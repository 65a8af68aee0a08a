/**
 * Merkle trees over leaf hashes (RFC 9162 section 2.1, the same hashing as RFC 6962), stored as tiles 256 hashes wide (C2SP
 * tlog-tiles). Pure: hides how ranges of leaves become hashes and where in which tile a hash stands; whoever has the tiles can make
 * roots and proofs, and whoever has a proof can check it. Sizes are numbers of leaves; a leaf's index is its position − 1.
 *
 * Tile (level, index) holds the hashes of 256 complete subtrees of 256^level leaves each; a hash above them, up to the next level, is
 * computed from the tile, and a tile's own hash is the entry of the next level.
 */
import * as crypto from 'node:crypto';

export const hashBytes = 32;
/** Hashes in a full tile. */
export const tileWidth = 256;

/** Root of the tree without leaves: the hash of nothing (RFC 9162 section 2.1.1). */
export const emptyRoot: Buffer = crypto.createHash('sha256').digest();

const pair = Buffer.alloc(1 + 2 * hashBytes);
pair[0] = 0x01;

/** Hash of an inner node: SHA-256(0x01 ‖ left ‖ right). */
function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  pair.set(left, 1);
  pair.set(right, 1 + hashBytes);
  // Node 20 has the one-shot hash; its types come later.
  return crypto.hash('sha256', pair, 'buffer') as unknown as Buffer;
}

/**
 * Hash over entries that stand side by side: complete subtrees of one size, of which the last may be smaller. Joining neighbours and
 * handing on who has none gives the splits that the RFC defines from above, because every split is at a power of two.
 */
export function treeHash(entries: readonly Buffer[]): Buffer {
  if (entries.length === 0) return emptyRoot;
  let row = entries;
  while (row.length > 1) {
    const above: Buffer[] = [];
    for (let index = 0; index + 1 < row.length; index += 2) above.push(nodeHash(row[index] as Buffer, row[index + 1] as Buffer));
    if (row.length % 2 === 1) above.push(row[row.length - 1] as Buffer);
    row = above;
  }
  return row[0] as Buffer;
}

/** The hashes that a tile's bytes hold. */
export function hashesIn(tile: Buffer): Buffer[] {
  const hashes: Buffer[] = [];
  for (let at = 0; at < tile.length; at += hashBytes) hashes.push(tile.subarray(at, at + hashBytes));
  return hashes;
}

// --- Growing a tree ---

export interface FullTile {
  readonly level: number;
  readonly index: number;
  /** 256 hashes. */
  readonly hashes: Buffer;
  /** The tile's own hash: an entry of the level above. */
  readonly root: Buffer;
}

/**
 * The right edge of a tree: of every level the entries of the tile that is not full yet, and the complete subtrees that the leaves so
 * far fall into. Takes leaves in order and hands out tiles as they fill; knows the root at any moment, for one hash per leaf.
 */
export class TreeEdge {
  private leaves = 0;
  private readonly levels: Buffer[][] = [];
  /** By exponent: the hash of the complete subtree of 2^exponent leaves that waits for its right neighbour. */
  private readonly peaks: (Buffer | undefined)[] = [];

  /** @param levels what stands in the tiles that are not full, level by level, of a tree of `size` leaves */
  constructor(size = 0, levels: readonly (readonly Buffer[])[] = []) {
    for (let level = 0, entries = size; entries > 0 || level < levels.length; level++, entries = Math.floor(entries / tileWidth)) {
      const known = levels[level] ?? [];
      if (known.length !== entries % tileWidth)
        throw new Error(`the edge of a tree of ${size} leaves has ${known.length} entries at level ${level}, not ${entries % tileWidth}`);
      this.levels.push([]);
      for (const entry of known) this.put(level, entry);
    }
    this.leaves = size;
  }

  get size(): number {
    return this.leaves;
  }

  /** @param full told of each tile that this leaf completes, from below */
  add(leaf: Buffer, full?: (tile: FullTile) => void): void {
    this.leaves += 1;
    this.put(0, leaf, full);
  }

  root(): Buffer {
    let root: Buffer | undefined;
    for (const peak of this.peaks) {
      if (peak !== undefined) root = root === undefined ? peak : nodeHash(peak, root);
    }
    return root ?? emptyRoot;
  }

  private put(level: number, entry: Buffer, full?: (tile: FullTile) => void): void {
    this.entriesOf(level).push(entry);
    let hash = entry;
    for (let exponent = 8 * level; ; exponent++) {
      const left = this.peaks[exponent];
      if (left === undefined) {
        this.peaks[exponent] = hash;
        return;
      }
      this.peaks[exponent] = undefined;
      hash = nodeHash(left, hash);
      if (exponent % 8 !== 7) continue;
      // A tile is full, and its hash is an entry of the level above.
      const filled = Math.floor(exponent / 8);
      full?.({
        level: filled,
        index: this.leaves / tileWidth ** (filled + 1) - 1,
        hashes: Buffer.concat(this.entriesOf(filled)),
        root: hash,
      });
      this.levels[filled] = [];
      this.entriesOf(filled + 1).push(hash);
    }
  }

  private entriesOf(level: number): Buffer[] {
    const entries = this.levels[level] ?? [];
    this.levels[level] = entries;
    return entries;
  }
}

// --- Roots and proofs from tiles ---

/**
 * Reads a tile of a tree: `width` hashes, the first of the tile's.
 * @throws when it is not there
 */
export type TileReader = (level: number, index: number, width: number) => Promise<Buffer>;

/** A tree of `size` leaves, read from tiles; each tile is read once. */
export class TiledTree {
  private readonly tiles = new Map<string, Promise<Buffer>>();

  constructor(
    readonly size: number,
    private readonly read: TileReader,
  ) {}

  root(): Promise<Buffer> {
    return this.range(0, this.size);
  }

  /** The hash of leaf `index`. */
  async leaf(index: number): Promise<Buffer> {
    return this.entry(0, index);
  }

  /** Hashes from the leaf's sibling upwards (RFC 9162 section 2.1.3.1). @param index below `size` */
  async inclusionProof(index: number): Promise<Buffer[]> {
    if (!Number.isSafeInteger(index) || index < 0 || index >= this.size) throw new RangeError(`leaf ${index} of a tree of ${this.size}`);
    const proof: Promise<Buffer>[] = [];
    for (let [start, end] = [0, this.size]; end - start > 1; ) {
      const middle = start + powerBelow(end - start);
      if (index < middle) {
        proof.push(this.range(middle, end));
        end = middle;
      } else {
        proof.push(this.range(start, middle));
        start = middle;
      }
    }
    return Promise.all(proof.reverse());
  }

  /**
   * Hashes that show that the tree of the first `from` leaves is the beginning of this one (RFC 9162 section 2.1.4.1); none when both
   * are the same, or when the former is empty.
   */
  async consistencyProof(from: number): Promise<Buffer[]> {
    if (!Number.isSafeInteger(from) || from < 0 || from > this.size) throw new RangeError(`a tree of ${from} in one of ${this.size}`);
    if (from === 0 || from === this.size) return [];
    const proof: Promise<Buffer>[] = [];
    let [start, end] = [0, this.size];
    // Whether the old tree's part of the range is a whole one whose hash the checker has.
    let known = true;
    while (end !== from) {
      const middle = start + powerBelow(end - start);
      if (from <= middle) {
        proof.push(this.range(middle, end));
        end = middle;
      } else {
        proof.push(this.range(start, middle));
        start = middle;
        known = false;
      }
    }
    if (!known) proof.push(this.range(start, end));
    return Promise.all(proof.reverse());
  }

  /** Hash over leaves start to end − 1, where start is a multiple of the power of two that covers them. */
  private async range(start: number, end: number): Promise<Buffer> {
    const count = end - start;
    if (count === 0) return emptyRoot;
    const power = powerBelow(count + 1);
    if (power !== count) return nodeHash(await this.range(start, start + power), await this.range(start + power, end));
    // Complete, so it is one entry of a tile or several beside each other in one tile.
    let level = 0;
    let [first, entries] = [start, count];
    for (; entries >= tileWidth; level++) [first, entries] = [first / tileWidth, entries / tileWidth];
    const tile = await this.tile(level, Math.floor(first / tileWidth));
    const at = (first % tileWidth) * hashBytes;
    return treeHash(hashesIn(tile.subarray(at, at + entries * hashBytes)));
  }

  private async entry(level: number, index: number): Promise<Buffer> {
    const tile = await this.tile(level, Math.floor(index / tileWidth));
    const at = (index % tileWidth) * hashBytes;
    return tile.subarray(at, at + hashBytes);
  }

  private tile(level: number, index: number): Promise<Buffer> {
    const key = `${level}/${index}`;
    let tile = this.tiles.get(key);
    if (tile === undefined) {
      const width = tileWidthAt(this.size, level, index);
      tile = this.read(level, index, width).then((bytes) => {
        if (bytes.length !== width * hashBytes) throw new Error(`tile ${key} has ${bytes.length} bytes, not ${width * hashBytes}`);
        return bytes;
      });
      this.tiles.set(key, tile);
    }
    return tile;
  }
}

/** Hashes in a tile of a tree of `size` leaves; 0 when the tree has no such tile. */
export function tileWidthAt(size: number, level: number, index: number): number {
  const entries = Math.floor(size / tileWidth ** level) - index * tileWidth;
  return Math.max(0, Math.min(tileWidth, entries));
}

/** The largest power of two below `count`, from 2 on. */
function powerBelow(count: number): number {
  let power = 1;
  while (power * 2 < count) power *= 2;
  return power;
}

// --- Checking proofs ---

/** Whether a leaf stands at `index` of the tree with this root (RFC 9162 section 2.1.3.2). */
export function verifyInclusion(
  { index, size, leaf, root }: { readonly index: number; readonly size: number; readonly leaf: Buffer; readonly root: Buffer },
  proof: readonly Buffer[],
): boolean {
  if (!(Number.isSafeInteger(index) && Number.isSafeInteger(size) && index >= 0 && index < size)) return false;
  let [at, last] = [index, size - 1];
  let hash = leaf;
  for (const other of proof) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      hash = nodeHash(other, hash);
      while (at % 2 === 0 && at !== 0) [at, last] = [half(at), half(last)];
    } else {
      hash = nodeHash(hash, other);
    }
    [at, last] = [half(at), half(last)];
  }
  return last === 0 && hash.equals(root);
}

interface TreeHead {
  readonly size: number;
  readonly root: Buffer;
}

/** Whether one tree is the beginning of another (RFC 9162 section 2.1.4.2). */
export function verifyConsistency(from: TreeHead, to: TreeHead, proof: readonly Buffer[]): boolean {
  if (!Number.isSafeInteger(from.size) || !Number.isSafeInteger(to.size) || from.size < 0 || from.size > to.size) return false;
  if (from.size === to.size) return proof.length === 0 && from.root.equals(to.root);
  if (from.size === 0) return proof.length === 0 && from.root.equals(emptyRoot);
  // The old root is an inner node of the new tree then, and is not told again.
  const hashes = powerBelow(from.size + 1) === from.size ? [from.root, ...proof] : proof;
  const [first, ...rest] = hashes;
  if (first === undefined) return false;
  let [at, last] = [from.size - 1, to.size - 1];
  while (at % 2 === 1) [at, last] = [half(at), half(last)];
  let [old, hash] = [first, first];
  for (const other of rest) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      old = nodeHash(other, old);
      hash = nodeHash(other, hash);
      while (at % 2 === 0 && at !== 0) [at, last] = [half(at), half(last)];
    } else {
      hash = nodeHash(hash, other);
    }
    [at, last] = [half(at), half(last)];
  }
  return last === 0 && old.equals(from.root) && hash.equals(to.root);
}

const half = (value: number): number => Math.floor(value / 2);

// --- Where tiles are found (C2SP tlog-tiles, "Merkle Tree") ---

export interface TileAddress {
  readonly level: number;
  readonly index: number;
  /** Hashes; below 256 in a tile that is not full. */
  readonly width: number;
}

/** `0/x001/x234/067`, with `.p/5` behind it where the tile is not full. */
export function tilePath({ level, index, width }: TileAddress): string {
  const digits = String(index);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/\d{3}/g) ?? [];
  const name = groups.map((group, place) => (place < groups.length - 1 ? `x${group}` : group)).join('/');
  return `${level}/${name}${width === tileWidth ? '' : `.p/${width}`}`;
}

/** @returns undefined when the text is no path of a tile in its one form */
export function parseTilePath(path: string): TileAddress | undefined {
  const match = /^([0-9]|[1-5][0-9]|6[0-3])\/((?:x\d{3}\/)*\d{3})(?:\.p\/([1-9]\d{0,2}))?$/.exec(path);
  if (match === null) return undefined;
  const [, level = '', name = '', width] = match;
  const index = Number(name.replaceAll(/[x/]/g, ''));
  const address = { level: Number(level), index, width: width === undefined ? tileWidth : Number(width) };
  return Number.isSafeInteger(index) && address.width <= tileWidth && tilePath(address) === path ? address : undefined;
}
