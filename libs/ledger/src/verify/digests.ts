/**
 * Digests of rows, to compare many of them in any order: sums of keyed hashes, one per range of positions. Equal sets of rows have
 * equal digests in whatever order they came. Whoever changes a row knows this code but not the keys, which are drawn for each run:
 * a row is hashed twice by a sum of its bytes (UTF-8), each times a random key of its own (multilinear hashing modulo 2^32, whose upper
 * 25 bits are strongly universal for units of 8 bits; Lemire and Kaser, "Strongly universal string hashing is fast", 2014), so that
 * two different texts have equal hashes once in 2^50 runs, whatever they are. What is added up is mixed first: sums are
 * linear, and two rows that trade a digit must not cancel. A row has two parts, since three rows of running totals differ
 * in their bucket alone: what they have in common is hashed once.
 */
import { randomFillSync } from 'node:crypto';

/** Positions whose rows share one digest. */
export const rangeSize = 8_192;
const rangeOf = (position: number): number => Math.floor(position / rangeSize);

/** Bytes that have keys of their own; longer texts are hashed block by block. */
const blockBytes = 1_024;
/** Where the keys of buckets begin: those of the texts before them must not be theirs too. */
const bucketKeys = blockBytes;

/** The keys of one run, the same for both sides of a comparison. */
export interface DigestKeys {
  readonly one: Int32Array;
  readonly two: Int32Array;
}

/** Keys of the operating system's random source: one per byte of a block, one per byte of a bucket, one for the length. */
export const drawKeys = (): DigestKeys => ({
  one: randomFillSync(new Int32Array(2 * blockBytes + 1)),
  two: randomFillSync(new Int32Array(2 * blockBytes + 1)),
});

/** Buckets whose hashes are remembered; then they are forgotten and made again. */
const bucketsMax = 10_000;

export class Digests {
  private readonly first: Int32Array;
  private readonly second: Int32Array;
  private readonly buckets = new Map<string, { readonly one: number; readonly two: number }>();
  /** The text that `add` was told last, and its hashes: rows that differ in their bucket alone come one after the other. */
  private text = '';
  private textOne: number;
  private textTwo: number;
  /** What `hash` has found. */
  private one = 0;
  private two = 0;
  rows = 0;

  /** @param head no position should be higher; those that are share the last range */
  constructor(
    private readonly keys: DigestKeys,
    head: number,
  ) {
    this.first = new Int32Array(rangeOf(head) + 2);
    this.second = new Int32Array(this.first.length);
    this.hash('', 0);
    this.textOne = this.one;
    this.textTwo = this.two;
  }

  /** A row whose text is `text` and `bucket` together; `bucket` may be empty. */
  add(position: number, text: string, bucket: string): void {
    if (text !== this.text) {
      this.hash(text, 0);
      this.text = text;
      this.textOne = this.one;
      this.textTwo = this.two;
    }
    if (bucket !== '') {
      let known = this.buckets.get(bucket);
      if (known === undefined) {
        if (this.buckets.size >= bucketsMax) this.buckets.clear();
        this.hash(bucket, bucketKeys);
        known = { one: this.one, two: this.two };
        this.buckets.set(bucket, known);
      }
      this.one = known.one;
      this.two = known.two;
    }
    this.sum(position, bucket !== '', this.textOne, this.textTwo);
  }

  /** The same for a row that came as bytes, whose bucket begins at `cut`; there is none where `cut` is `end`. */
  addBytes(position: number, row: Uint8Array, cut: number, end: number): void {
    this.hashBytes(row, 0, cut, 0);
    const { one, two } = this;
    if (cut < end) this.hashBytes(row, cut, end, bucketKeys);
    this.sum(position, cut < end, one, two);
  }

  /** The ranges in which the two sets of rows differ. */
  differing(other: Digests): number[] {
    const ranges: number[] = [];
    for (let range = 0; range < this.first.length; range++) {
      if (this.first[range] !== other.first[range] || this.second[range] !== other.second[range]) ranges.push(range);
    }
    return ranges;
  }

  /** Leaves the two hashes of a text in `one` and `two`. @param keysFrom where the keys of its first byte are */
  private hash(text: string, keysFrom: number): void {
    const { one: oneKeys, two: twoKeys } = this.keys;
    const { length } = text;
    let one = Math.imul(oneKeys[2 * blockBytes] as number, length);
    let two = Math.imul(twoKeys[2 * blockBytes] as number, length);
    let units = length > blockBytes ? 128 : 0;
    for (let index = 0; units < 128 && index < length; index++) {
      const unit = text.charCodeAt(index);
      units |= unit;
      one = (one + Math.imul(oneKeys[index + keysFrom] as number, unit)) | 0;
      two = (two + Math.imul(twoKeys[index + keysFrom] as number, unit)) | 0;
    }
    if (units < 128) {
      this.one = one;
      this.two = two;
    } else {
      // Not one byte per unit, or more than one block.
      const bytes = Buffer.from(text, 'utf8');
      this.hashBytes(bytes, 0, bytes.length, keysFrom);
    }
  }

  private hashBytes(bytes: Uint8Array, from: number, to: number, keysFrom: number): void {
    const { one: oneKeys, two: twoKeys } = this.keys;
    // The length counts as a byte: a text that goes on differs from one that ends.
    let one = Math.imul(oneKeys[2 * blockBytes] as number, to - from);
    let two = Math.imul(twoKeys[2 * blockBytes] as number, to - from);
    for (let start = from; start < to; start += blockBytes) {
      const end = Math.min(start + blockBytes, to);
      const shift = keysFrom - start;
      if (start > from) {
        one = mixed(one);
        two = mixed(two);
      }
      for (let index = start; index < end; index++) {
        const byte = bytes[index] as number;
        one = (one + Math.imul(oneKeys[index + shift] as number, byte)) | 0;
        two = (two + Math.imul(twoKeys[index + shift] as number, byte)) | 0;
      }
    }
    this.one = one;
    this.two = two;
  }

  /** Takes the hashes of a row's text, and those of its bucket where they were found last. */
  private sum(position: number, hasBucket: boolean, textOne: number, textTwo: number): void {
    const range = position >= 0 ? Math.min(rangeOf(position), this.first.length - 1) : 0;
    // The keys are independent, so texts with their buckets are one text of two blocks.
    const one = hasBucket ? (mixed(textOne) + this.one) | 0 : textOne;
    const two = hasBucket ? (mixed(textTwo) + this.two) | 0 : textTwo;
    // Two rounds of a Feistel network: different pairs stay different.
    const left = one ^ mixed(two ^ 0x5bd1e995);
    const right = two ^ mixed(left ^ 0x2545f491);
    this.first[range] = ((this.first[range] as number) + mixed(left)) | 0;
    this.second[range] = ((this.second[range] as number) + mixed(right)) | 0;
    this.rows++;
  }
}

/** A permutation of 32 bits in which every bit depends on every other (the finalizer of MurmurHash3, in the public domain). */
function mixed(value: number): number {
  let bits = value;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return bits ^ (bits >>> 16);
}
