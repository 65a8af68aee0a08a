/** The Merkle tree: the vectors of RFC 6962's reference implementation, and random trees against the definitions of RFC 9162 taken literally. */
import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import {
  emptyRoot,
  type FullTile,
  hashBytes,
  parseTilePath,
  TiledTree,
  TreeEdge,
  tilePath,
  tileWidth,
  verifyConsistency,
  verifyInclusion,
} from './merkle';

const sha256 = (...parts: readonly Uint8Array[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};
const leafOf = (data: Buffer): Buffer => sha256(Buffer.of(0), data);
const leaf = (index: number): Buffer => leafOf(Buffer.from(`leaf ${index}`));

// --- The definitions, word for word (RFC 9162 sections 2.1.1, 2.1.3.1, 2.1.4.1) ---

function split(count: number): number {
  let k = 1;
  while (2 * k < count) k *= 2;
  return k;
}
function mth(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return sha256();
  if (leaves.length === 1) return leaves[0] as Buffer;
  const k = split(leaves.length);
  return sha256(Buffer.of(1), mth(leaves.slice(0, k)), mth(leaves.slice(k)));
}
function path(index: number, leaves: readonly Buffer[]): Buffer[] {
  if (leaves.length === 1) return [];
  const k = split(leaves.length);
  return index < k
    ? [...path(index, leaves.slice(0, k)), mth(leaves.slice(k))]
    : [...path(index - k, leaves.slice(k)), mth(leaves.slice(0, k))];
}
function subproof(from: number, leaves: readonly Buffer[], known: boolean): Buffer[] {
  if (from === leaves.length) return known ? [] : [mth(leaves)];
  const k = split(leaves.length);
  return from <= k
    ? [...subproof(from, leaves.slice(0, k), known), mth(leaves.slice(k))]
    : [...subproof(from - k, leaves.slice(k), false), mth(leaves.slice(0, k))];
}

// --- A tree whose tiles are kept in memory, as the store keeps them in a table ---

class Grown {
  readonly edge = new TreeEdge();
  readonly leaves: Buffer[] = [];
  private readonly full = new Map<string, FullTile>();

  constructor(size: number) {
    this.grow(size);
  }

  grow(size: number): void {
    while (this.leaves.length < size) {
      const next = leaf(this.leaves.length);
      this.leaves.push(next);
      this.edge.add(next, (tile) => this.full.set(`${tile.level}/${tile.index}`, tile));
    }
  }

  /** The tree as it was with `size` leaves. */
  at(size: number): TiledTree {
    return new TiledTree(size, async (level, index, width) => {
      const full = this.full.get(`${level}/${index}`);
      if (full !== undefined) return full.hashes.subarray(0, width * hashBytes);
      if (level === 0) return Buffer.concat(this.leaves.slice(index * tileWidth, index * tileWidth + width));
      return Buffer.concat(
        Array.from({ length: width }, (_, place) => this.full.get(`${level - 1}/${index * tileWidth + place}`)?.root as Buffer),
      );
    });
  }
}

const flipped = (bytes: Buffer, bit: number): Buffer => {
  const copy = Buffer.from(bytes);
  copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7));
  return copy;
};
const withFlip = (proof: readonly Buffer[], place: number, bit: number): Buffer[] =>
  proof.map((hash, at) => (at === place ? flipped(hash, bit) : hash));

describe('roots', () => {
  // The test data of Certificate Transparency (RFC 6962): leaves as hex, and the root after each.
  const vectors: [string, string][] = [
    ['', '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d'],
    ['00', 'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125'],
    ['10', 'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77'],
    ['2021', 'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7'],
    ['3031', '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4'],
    ['40414243', '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef'],
    ['5051525354555657', 'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c'],
    ['606162636465666768696a6b6c6d6e6f', '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328'],
  ];

  it('are those of the vectors for RFC 6962', () => {
    expect(new TreeEdge().root().toString('hex')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    const edge = new TreeEdge();
    for (const [data, root] of vectors) {
      edge.add(leafOf(Buffer.from(data, 'hex')));
      expect(edge.root().toString('hex')).toBe(root);
    }
  });

  it.each([0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537])('of %i leaves are those of the definition', async (size) => {
    const tree = new Grown(size);
    const root = mth(tree.leaves);
    expect(tree.edge.root()).toEqual(root);
    expect(await tree.at(size).root()).toEqual(root);
    for (const index of [0, 1, 254, 255, 256, 257, 65_534, 65_535, 65_536].filter((at) => at < size)) {
      const proof = await tree.at(size).inclusionProof(index);
      expect(proof).toEqual(path(index, tree.leaves));
      expect(verifyInclusion({ index, size, leaf: tree.leaves[index] as Buffer, root }, proof)).toBe(true);
    }
    for (const from of [0, 1, 255, 256, 257, 512, 65_535, 65_536, size - 1, size].filter((at) => at >= 0 && at <= size)) {
      const proof = await tree.at(size).consistencyProof(from);
      expect(proof).toEqual(from === 0 || from === size ? [] : subproof(from, tree.leaves, true));
      const old = { size: from, root: await tree.at(from).root() };
      expect(old.root).toEqual(mth(tree.leaves.slice(0, from)));
      expect(verifyConsistency(old, { size, root }, proof)).toBe(true);
    }
  });

  it('do not depend on whether the edge of the tree was kept or put together again', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 70_000 }), fc.nat(600), (size, more) => {
        const levels: Buffer[][] = [];
        for (let level = 0, entries = size; entries > 0; level++, entries = Math.floor(entries / tileWidth))
          levels.push(Array.from({ length: entries % tileWidth }, (_, place) => leaf(level * 1_000_000 + place)));
        const edge = new TreeEdge(
          size,
          levels.map((entries) => [...entries]),
        );
        const again = new TreeEdge(
          size,
          levels.map((entries) => [...entries]),
        );
        for (let index = 0; index < more; index++) edge.add(leaf(index));
        for (let index = 0; index < more; index++) again.add(leaf(index));
        return edge.size === size + more && edge.root().equals(again.root());
      }),
      { numRuns: 20 },
    );
    expect(() => new TreeEdge(257, [[leaf(0)]])).toThrow('0 entries at level 1, not 1');
  });
});

describe('proofs of random trees', () => {
  const tree = new Grown(3_000);

  it('are those of the definition', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 3_000 }), fc.nat(), fc.nat(), async (size, one, other) => {
        const leaves = tree.leaves.slice(0, size);
        const [index, from] = [one % size, (other % size) + 1];
        expect(await tree.at(size).inclusionProof(index)).toEqual(path(index, leaves));
        expect(await tree.at(size).consistencyProof(from)).toEqual(from === size ? [] : subproof(from, leaves, true));
        expect(await tree.at(size).leaf(index)).toEqual(leaves[index]);
      }),
      { numRuns: 150 },
    );
  });

  it('are asked for within the tree', async () => {
    for (const index of [-1, 10, 1.5, Number.NaN]) {
      await expect(tree.at(10).inclusionProof(index)).rejects.toThrow(RangeError);
      if (index !== 10) await expect(tree.at(10).consistencyProof(index)).rejects.toThrow(RangeError);
    }
    await expect(tree.at(10).consistencyProof(11)).rejects.toThrow(RangeError);
  });
});

describe('a tree of 1,000 leaves', () => {
  const size = 1_000;
  const tree = new Grown(size);
  const root = mth(tree.leaves);

  it('proves each leaf, and a proof with any bit changed proves nothing', async () => {
    for (let index = 0; index < size; index++) {
      const proof = await tree.at(size).inclusionProof(index);
      const claim = { index, size, leaf: tree.leaves[index] as Buffer, root };
      expect(proof).toEqual(path(index, tree.leaves));
      expect(verifyInclusion(claim, proof)).toBe(true);
      for (let place = 0; place < proof.length; place++)
        for (let bit = index % 7; bit < 256; bit += index % 50 === 0 ? 1 : 61)
          if (verifyInclusion(claim, withFlip(proof, place, bit))) throw new Error(`leaf ${index}, hash ${place}, bit ${bit}`);
      const bit = index % 256;
      const wrong = [
        verifyInclusion({ ...claim, leaf: flipped(claim.leaf, bit) }, proof),
        verifyInclusion({ ...claim, root: flipped(root, bit) }, proof),
        verifyInclusion({ ...claim, index: index ^ 1 }, proof),
        verifyInclusion({ ...claim, index: size }, proof),
        verifyInclusion({ ...claim, index: -1 }, proof),
        verifyInclusion(claim, proof.slice(1)),
        verifyInclusion(claim, [...proof, root]),
        verifyInclusion(claim, []),
      ];
      expect(wrong).toEqual(wrong.map(() => false));
    }
  });

  it('proves each tree that it grew from, and a proof with any bit changed proves nothing', async () => {
    for (let from = 0; from <= size; from++) {
      const proof = await tree.at(size).consistencyProof(from);
      const old = { size: from, root: mth(tree.leaves.slice(0, from)) };
      const whole = { size, root };
      expect(verifyConsistency(old, whole, proof)).toBe(true);
      for (let place = 0; place < proof.length; place++)
        for (let bit = from % 7; bit < 256; bit += from % 50 === 0 ? 1 : 61)
          if (verifyConsistency(old, whole, withFlip(proof, place, bit))) throw new Error(`size ${from}, hash ${place}, bit ${bit}`);
      const bit = from % 256;
      const wrong = [
        verifyConsistency({ ...old, root: flipped(old.root, bit) }, whole, proof),
        from === 0 ? false : verifyConsistency(old, { size, root: flipped(root, bit) }, proof),
        verifyConsistency(whole, { ...old, size: size - 1 }, proof),
        verifyConsistency(old, whole, [...proof, root]),
        proof.length === 0 ? false : verifyConsistency(old, whole, proof.slice(1)),
        from < 2 || from === size ? false : verifyConsistency({ ...old, size: from - 1 }, whole, proof),
      ];
      expect(wrong).toEqual(wrong.map(() => false));
    }
  });
});

describe('paths of tiles (C2SP tlog-tiles)', () => {
  it.each([
    [{ level: 0, index: 0, width: 256 }, '0/000'],
    [{ level: 0, index: 0, width: 5 }, '0/000.p/5'],
    [{ level: 1, index: 67, width: 256 }, '1/067'],
    [{ level: 0, index: 1_234_067, width: 256 }, '0/x001/x234/067'],
    [{ level: 63, index: 1_000, width: 255 }, '63/x001/000.p/255'],
  ])('%o is %s', (address, text) => {
    expect(tilePath(address)).toBe(text);
    expect(parseTilePath(text)).toEqual(address);
  });

  it('are read back as they were written', () => {
    const address = fc.record({ level: fc.nat(63), index: fc.maxSafeNat(), width: fc.integer({ min: 1, max: 256 }) });
    fc.assert(fc.property(address, (tile) => expect(parseTilePath(tilePath(tile))).toEqual(tile)));
  });

  it.each([
    '',
    '0',
    '0/1',
    '0/0000',
    '0/x000/001',
    '64/000',
    '00/000',
    '0/000.p/256',
    '0/000.p/0',
    '0/000.p/05',
    '0/001/',
    '0/x001',
    '-1/000',
    '0/../000',
  ])('%j is none', (text) => expect(parseTilePath(text)).toBeUndefined());
});

it('the empty root is the hash of nothing', () => expect(emptyRoot).toEqual(sha256()));
