/**
 * The tree over the events: RFC 9162, section 2.1, with SHA-256. Hides how roots are computed without holding the leaves.
 * Guarantees: `Tree` keeps one hash per level, whatever the number of leaves; a consistency proof that is accepted means that
 * the smaller tree is the beginning of the larger one.
 */
import { createHash } from 'node:crypto';

const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);

/** @param {...Uint8Array} parts @returns {Buffer} */
export function sha256(...parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** @param {Uint8Array} bytes of the event's line @returns {Buffer} */
export const leafHash = (bytes) => sha256(LEAF, bytes);
/** @param {Uint8Array} left @param {Uint8Array} right @returns {Buffer} */
const nodeHash = (left, right) => sha256(NODE, left, right);

/** Leaves are appended one by one; the root so far can be asked for at any time. */
export class Tree {
  size = 0;
  /** Roots of the full subtrees that the size is made of, the largest first (one for each 1 in its binary form). @type {Buffer[]} */
  #roots = [];

  /** @param {Buffer} leaf */
  append(leaf) {
    let node = leaf;
    for (let size = this.size; size % 2 === 1; size = Math.floor(size / 2)) {
      node = nodeHash(/** @type {Buffer} */ (this.#roots.pop()), node);
    }
    this.#roots.push(node);
    this.size++;
  }

  /** @returns {Buffer} */
  root() {
    return this.#roots.length === 0 ? sha256() : this.#roots.reduceRight((right, left) => nodeHash(left, right));
  }
}

/**
 * Whether a proof leads from the root of a tree to that of a larger one: RFC 9162, section 2.1.4.2, whose names these are.
 *
 * @param {{ size: number, root: Buffer }} first with at least one leaf
 * @param {{ size: number, root: Buffer }} second
 * @param {Buffer[]} proof
 */
export function isConsistent(first, second, proof) {
  if (first.size < 1 || first.size > second.size) return false;
  if (first.size === second.size) return proof.length === 0 && first.root.equals(second.root);
  if (proof.length === 0) return false;
  let fn = BigInt(first.size) - 1n;
  let sn = BigInt(second.size) - 1n;
  const shift = () => {
    fn >>= 1n;
    sn >>= 1n;
  };
  while (fn & 1n) shift();
  // fn is 0 now where the size is a power of two: its root is a node of the larger tree and stands not in the proof.
  const [start, ...rest] = fn === 0n ? [first.root, ...proof] : proof;
  let fr = /** @type {Buffer} */ (start);
  let sr = fr;
  for (const c of rest) {
    if (sn === 0n) return false;
    if (fn & 1n || fn === sn) {
      fr = nodeHash(c, fr);
      sr = nodeHash(c, sr);
      while (fn !== 0n && !(fn & 1n)) shift();
    } else {
      sr = nodeHash(sr, c);
    }
    shift();
  }
  return sn === 0n && fr.equals(first.root) && sr.equals(second.root);
}
