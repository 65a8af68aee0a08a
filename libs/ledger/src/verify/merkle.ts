/**
 * The Merkle log of one book, made again from the leaf hashes of its events: every tile, the root at every checkpoint, signatures, names.
 * Reads what is stored side by side with the events, so that memory does not grow with the book. What the tree shows is that events
 * which fit their own hashes are still those that were sealed and signed: where somebody rewrote an event with its hash, the tile that it
 * was sealed into says so, and where the tile was rewritten too, the next checkpoint, also one that was kept elsewhere.
 */
import {
  type AuditPackRecord,
  auditPacksStatement,
  canonicalJson,
  checkpointText,
  type FullTile,
  hashBytes,
  hashesIn,
  isOf,
  keyText,
  type NoteKey,
  type Origin,
  originsStatement,
  parseCheckpoint,
  parseNote,
  readAuditPack,
  readOrigin,
  type SigningKey,
  signedBy,
  signingKeysStatement,
  TreeEdge,
  tileWidth,
  treeHash,
  verifySignature,
} from '#event-store';
import { isEndorsed, keyOf, keyStatementProblem, originStatementProblem } from '../proof/signer';
import type { Findings } from './findings';
import type { RowCursor, Snapshot } from './rows';

/** A checkpoint that was kept outside, as a signed note, and where it comes from. */
export interface OutsideNote {
  readonly from: string;
  readonly note: string;
}

/** Whose signatures can be checked. */
export interface TrustedKeys {
  /** The log's own, as the database has them. */
  readonly log: readonly SigningKey[];
  readonly witnesses: readonly NoteKey[];
}

/** A row of log.checkpoints with its signatures. */
interface StoredCheckpoint {
  readonly size: number;
  /** Hexadecimal, as are key and signature. */
  readonly root: string;
  readonly origin: string;
  readonly signatures: readonly { readonly name: string; readonly key: string; readonly signature: string }[] | null;
}

/** What must be the root at a size, and who says so. */
interface Claim {
  readonly size: number;
  /** Hexadecimal. */
  readonly root: string;
  readonly row?: string;
  readonly what: string;
  /** What the events make it. */
  made?: string;
}

/** @returns the keys, as far as they can be used */
export async function checkSigningKeys(snapshot: Snapshot, findings: Findings): Promise<SigningKey[]> {
  const { rows: keys } = await snapshot.query<SigningKey>(signingKeysStatement);
  for (const [index, key] of keys.entries()) {
    const row = `log.signing_keys ${key.number}`;
    const wrong = (message: string): void => findings.add('checkpoint', `${row}: ${message}`, { row });
    const before = keys[index - 1];
    if (key.number !== index + 1) wrong(`number is ${key.number}, after ${index} comes ${index + 1}`);
    if (before !== undefined && key.name !== before.name) wrong(`name is ${key.name}, the key before has ${before.name}`);
    const problem = keyStatementProblem(key, before);
    if (problem !== undefined) wrong(problem);
  }
  return keys;
}

/** What is no damage and must be known: keys that nobody named, logs that were given up. */
export function notesOnKeys(keys: readonly SigningKey[]): string[] {
  return keys.flatMap((key, index) => {
    const before = keys[index - 1];
    return before === undefined || isEndorsed(key, before)
      ? []
      : [`key ${keyText(keyOf(key))} is not named by the one before it, which was lost: ask who made it`];
  });
}

export class TreeCheck {
  private readonly edge = new TreeEdge();
  private readonly filled: FullTile[] = [];
  private readonly upper = new Map<string, string>();
  /** In the order of sizes, those that were not compared yet. */
  private claims: Claim[];
  /** How many of them have been made. */
  private made = 0;
  /** Of the claims that hold, the largest size. */
  private holdsUpTo = 0;
  private gap = false;
  /** Whether anything of a tree was seen. */
  private sealed = false;
  private lastTile: { readonly tile: number; readonly root: string; readonly hashes: string } | undefined;
  /** Tiles of the lowest level that were read ahead, and the next one of them. */
  private tileRows: readonly string[] = [];
  private tileAt = 0;
  private signedSize = 0;
  private fedUpTo = 0;
  /** Whether events that had been signed were given up. */
  get givenUp(): number {
    return Math.max(0, this.origins.length - 1);
  }

  /** The names that the log was signed under. */
  get names(): readonly string[] {
    return this.origins.map(({ origin }) => origin);
  }

  /** Signatures of witnesses whose keys nobody gave. */
  unknownSignatures = 0;
  /** Checkpoints from outside that nothing is held against, each in words. */
  setAside: readonly string[] = [];

  private constructor(
    private readonly bookId: string,
    private readonly findings: Findings,
    private readonly keys: TrustedKeys,
    private readonly tree: { readonly size: number; readonly signedSize: number; readonly root: string } | undefined,
    private readonly origins: readonly { readonly number: number; readonly origin: string; readonly size: number }[],
    outside: readonly Claim[],
    private readonly cursors: { readonly tiles: RowCursor; readonly checkpoints: RowCursor },
  ) {
    const own = tree === undefined ? [] : [{ size: tree.size, root: tree.root, row: `log.trees ${bookId}`, what: 'the tree' }];
    this.claims = [...own, ...outside];
  }

  static async open(
    snapshot: Snapshot,
    bookId: string,
    findings: Findings,
    keys: TrustedKeys,
    notes: readonly OutsideNote[],
  ): Promise<TreeCheck> {
    const book = snapshot.literal(bookId);
    const trees = await snapshot.query<{ size: string; signed_size: string; root: string }>(
      `SELECT size::text, signed_size::text, encode(root, 'hex') AS root FROM log.trees WHERE book_id = $1`,
      [bookId],
    );
    const [found] = trees.rows;
    const tree = found && { size: Number(found.size), signedSize: Number(found.signed_size), root: found.root };
    const origins = (await snapshot.query<Origin>(originsStatement, [bookId])).rows.map(readOrigin);
    const name = keys.log[0]?.name;
    for (const [index, known] of origins.entries()) {
      const row = `log.origins ${bookId} ${known.number}`;
      const wrong = (message: string): void => findings.add('checkpoint', `${row}: ${message}`, { row });
      const expected = `${name}/${bookId}${index === 0 ? '' : `~${index + 1}`}`;
      if (known.number !== index + 1) wrong(`number is ${known.number}, after ${index} comes ${index + 1}`);
      if (known.origin !== expected) wrong(`origin is ${known.origin}, name ${index + 1} of the log is ${expected}`);
      const problem = originStatementProblem(bookId, known, origins[index - 1], keys.log);
      if (problem !== undefined) wrong(problem);
    }
    if (tree !== undefined && origins.length === 0)
      findings.add('checkpoint', `log.origins ${bookId}: the log has no name, though it was sealed`, { row: `log.origins ${bookId}` });
    const orphans = await snapshot.query<{ size: string; name: string }>(
      `SELECT s.size::text, s.name FROM log.checkpoint_signatures s
        WHERE s.book_id = $1 AND NOT EXISTS (SELECT FROM log.checkpoints c WHERE c.book_id = s.book_id AND c.size = s.size) ORDER BY s.size LIMIT 50`,
      [bookId],
    );
    for (const { size, name: signer } of orphans.rows)
      findings.add('checkpoint', `log.checkpoints ${size}: is missing, though ${signer} has signed it`, { row: `log.checkpoints ${size}` });
    const tiles = await snapshot.rows(
      `SELECT concat_ws(E'\\t', tile, encode(root, 'hex'), encode(hashes, 'hex')) FROM log.tiles WHERE book_id = ${book} AND level = 0 ORDER BY tile`,
    );
    const checkpoints = await snapshot.rows(
      `SELECT json_build_object('size', c.size, 'root', encode(c.root, 'hex'), 'origin', c.origin, 'signatures',
                (SELECT json_agg(json_build_object('name', s.name, 'key', encode(s.key_id, 'hex'), 'signature', encode(s.signature, 'hex')) ORDER BY s.name, s.key_id)
                   FROM log.checkpoint_signatures s WHERE s.book_id = c.book_id AND s.size = c.size))::text
         FROM log.checkpoints c WHERE c.book_id = ${book} ORDER BY c.size`,
    );
    const { claims, setAside } = outsideClaims(notes, bookId, await reach(snapshot, bookId, origins), keys, findings);
    const check = new TreeCheck(bookId, findings, keys, tree, origins, claims, { tiles, checkpoints });
    check.setAside = setAside;
    await check.readUpper(snapshot, book);
    return check;
  }

  /** Tiles above the lowest level are few: one of 256 of them. */
  private async readUpper(snapshot: Snapshot, book: string): Promise<void> {
    await snapshot.eachRow(
      `SELECT concat_ws(E'\\t', level, tile, encode(root, 'hex'), encode(hashes, 'hex')) FROM log.tiles WHERE book_id = ${book} AND level > 0 ORDER BY level, tile`,
      (row) => {
        const [level = '', tile = '', root = '', hashes = ''] = row.split('\t');
        this.sealed = true;
        this.checkOwnRoot(Number(level), Number(tile), root, Buffer.from(hashes, 'hex'));
        this.upper.set(`${level}/${tile}`, root);
      },
    );
  }

  private checkOwnRoot(level: number, tile: number, root: string, hashes: Buffer): void {
    if (treeHash(hashesIn(hashes)).toString('hex') === root) return;
    this.wrong(`log.tiles ${level}/${tile}`, `root is ${root}, which is not the hash over its hashes`);
  }

  private wrong(row: string, message: string, position?: number): void {
    this.findings.add('tree', `${row}: ${message}`, { row, ...(position === undefined ? {} : { position }) });
  }

  /** Reads the checkpoints up to a position, before its events are taken. */
  async feed(upTo: number): Promise<void> {
    while (this.fedUpTo < upTo) {
      const rows = await this.cursors.checkpoints.chunk();
      if (rows.length === 0) this.fedUpTo = Number.POSITIVE_INFINITY;
      for (const row of rows) this.takeCheckpoint(JSON.parse(row) as StoredCheckpoint);
    }
    this.claims.sort((one, other) => one.size - other.size);
  }

  private takeCheckpoint({ size, root, origin, signatures }: StoredCheckpoint): void {
    const row = `log.checkpoints ${size}`;
    const wrong = (message: string): void => this.findings.add('checkpoint', `${row}: ${message}`, { row, position: size });
    // A name begins with the size at which it was taken, which may have been signed under the name before.
    const named = this.origins.filter(
      (known, index) => known.size <= size && (this.origins[index + 1]?.size ?? Number.POSITIVE_INFINITY) >= size,
    );
    if (!named.some((known) => known.origin === origin))
      wrong(
        `origin is ${origin}, log.origins ${this.bookId} has ${named.length === 0 ? 'no name' : `the name ${named.map((known) => known.origin).join(' or ')}`} for it`,
      );
    const text = checkpointText({ origin, size, root: Buffer.from(root, 'hex') });
    let ours = false;
    for (const { name, key, signature } of signatures ?? []) {
      const line = { name, keyId: Buffer.from(key, 'hex'), bytes: Buffer.from(signature, 'hex') };
      const own = this.keys.log.map(keyOf).find((known) => isOf(line, known));
      const known = own ?? this.keys.witnesses.find((witness) => isOf(line, witness));
      if (known === undefined && this.keys.log.some((key) => key.name === name))
        wrong(`it has a signature under the name ${name} of a key that is not in log.signing_keys`);
      else if (known === undefined) this.unknownSignatures += 1;
      else if (!verifySignature(text, line, known)) wrong(`the signature of ${name} is not valid for its key ${keyText(known)}`);
      else if (own !== undefined) ours = true;
    }
    if (ours) this.signedSize = Math.max(this.signedSize, size);
    else if (size <= (this.tree?.signedSize ?? 0)) wrong('none of the keys in log.signing_keys has signed it');
    this.sealed = true;
    this.claims.push({ size, root, row, what: 'the checkpoint' });
    this.fedUpTo = size;
  }

  /** The next event in the order of positions. @param leafHash hexadecimal */
  take(position: number, leafHash: string): void {
    if (position !== this.edge.size + 1) this.gap = true;
    if (this.gap) return;
    this.edge.add(Buffer.from(leafHash, 'hex'), (tile) => this.filled.push(tile));
    if (this.claims[this.made]?.size !== position) return;
    const root = this.edge.root().toString('hex');
    for (; this.claims[this.made]?.size === position; this.made++) (this.claims[this.made] as Claim).made = root;
  }

  /** Holds the tiles that filled up against those that are stored, and the roots against what was claimed. */
  async compare(): Promise<void> {
    const size = this.tree?.size ?? 0;
    for (const tile of this.filled.splice(0)) {
      const leaves = (tile.index + 1) * tileWidth ** (tile.level + 1);
      if (leaves > size) continue;
      if (tile.level > 0) this.compareUpper(tile);
      else await this.compareLowest(tile);
    }
    for (const claim of this.claims.splice(0, this.made)) this.compareClaim(claim);
    this.made = 0;
  }

  private compareUpper({ level, index, root }: FullTile): void {
    const key = `${level}/${index}`;
    const stored = this.upper.get(key);
    this.upper.delete(key);
    if (stored === undefined) this.wrong(`log.tiles ${key}`, 'is missing');
    else if (stored !== root.toString('hex'))
      this.wrong(`log.tiles ${key}`, `its root is ${stored}, the events make it ${root.toString('hex')}`);
  }

  private async compareLowest({ index, hashes, root }: FullTile): Promise<void> {
    const row = `log.tiles 0/${index}`;
    const stored = await this.lowest(index);
    if (stored === undefined) {
      this.wrong(row, 'is missing');
      return;
    }
    const found = Buffer.from(stored.hashes, 'hex');
    if (found.equals(hashes) && stored.root === root.toString('hex')) return;
    for (let place = 0; place < tileWidth; place++) {
      const [sealed, now] = [found, hashes].map((each) => each.subarray(place * hashBytes, (place + 1) * hashBytes));
      if (sealed?.equals(now as Buffer)) continue;
      const position = index * tileWidth + place + 1;
      this.findings.add(
        'tree',
        `event ${position}: its leaf hash is ${now?.toString('hex')}, but it was sealed (${row}) with ${sealed?.toString('hex')}: the event was changed together with its hash, or the tile was`,
        { position },
      );
      return;
    }
    this.checkOwnRoot(0, index, stored.root, found);
  }

  private async lowest(index: number): Promise<{ readonly tile: number; readonly root: string; readonly hashes: string } | undefined> {
    for (;;) {
      if (this.lastTile === undefined) {
        const row = await this.nextTile();
        if (row === undefined) return undefined;
        this.lastTile = row;
      }
      if (this.lastTile.tile > index) return undefined;
      const tile = this.lastTile;
      this.lastTile = undefined;
      if (tile.tile === index) return tile;
    }
  }

  private async nextTile(): Promise<{ readonly tile: number; readonly root: string; readonly hashes: string } | undefined> {
    if (this.tileAt === this.tileRows.length) {
      this.tileRows = await this.cursors.tiles.chunk();
      this.tileAt = 0;
    }
    const row = this.tileRows[this.tileAt++];
    if (row === undefined) {
      this.tileAt = this.tileRows.length;
      return undefined;
    }
    this.sealed = true;
    const [tile = '', root = '', hashes = ''] = row.split('\t');
    return { tile: Number(tile), root, hashes };
  }

  private compareClaim({ size, root, row, what, made }: Claim): void {
    if (made === root) {
      this.holdsUpTo = Math.max(this.holdsUpTo, size);
      return;
    }
    const place = row === undefined ? what : `${row}: ${what}`;
    this.findings.add(
      'tree',
      `${place} says that the first ${size} events have the root ${root}, they make ${made}: ${this.holdsUpTo === 0 ? 'one of them' : `one of those after position ${this.holdsUpTo}`} was changed, added or taken away since`,
      { position: size, ...(row === undefined ? {} : { row }) },
    );
  }

  /** After the last event. */
  async finish(lastPosition: number): Promise<void> {
    await this.feed(Number.POSITIVE_INFINITY);
    await this.compare();
    for (const { size, row, what } of this.gap ? [] : this.claims) {
      const message = `${row === undefined ? '' : `${row}: `}${what} was made of ${size} events, the log ends at position ${lastPosition}: its end was cut off, or an old backup was restored`;
      this.findings.add('tree', message, { position: lastPosition + 1, ...(row === undefined ? {} : { row }) });
    }
    for (const key of this.upper.keys()) this.wrong(`log.tiles ${key}`, 'belongs to no full tile of the tree');
    const size = this.tree?.size ?? 0;
    if (this.tree === undefined && this.sealed) this.wrong(`log.trees ${this.bookId}`, 'is missing, though there are checkpoints or tiles');
    for (let tile = this.lastTile ?? (await this.nextTile()); tile !== undefined; tile = await this.nextTile())
      this.wrong(`log.tiles 0/${tile.tile}`, `belongs to no full tile of a tree of ${size} events`);
    if (this.tree !== undefined && this.tree.signedSize !== this.signedSize)
      this.wrong(
        `log.trees ${this.bookId}`,
        `signed_size is ${this.tree.signedSize}, the largest checkpoint with a valid signature has ${this.signedSize}`,
      );
  }
}

/** What was packed for auditors: each row is what its signed note says. */
export async function checkAuditPacks(snapshot: Snapshot, bookId: string, findings: Findings, keys: readonly SigningKey[]): Promise<void> {
  const { rows } = await snapshot.query<AuditPackRecord & { readonly checkpoint: boolean }>(
    `SELECT a.*, EXISTS (SELECT FROM log.checkpoints c WHERE c.book_id = $1 AND c.size = a."checkpointSize") AS checkpoint
       FROM (${auditPacksStatement}) AS a ORDER BY a.number`,
    [bookId],
  );
  for (const [index, row] of rows.entries()) {
    const place = `log.audit_packs ${bookId} ${row.number}`;
    const wrong = (message: string): void => findings.add('checkpoint', `${place}: ${message}`, { row: place });
    const { number, position, since, checkpointSize, manifestHash, question } = readAuditPack(row);
    if (number !== index + 1) wrong(`number is ${number}, after ${index} comes ${index + 1}`);
    const note = parseNote(row.note);
    const [, , stated, hash] = note?.text.split('\n') ?? [];
    if (note === undefined || !keys.some((key) => signedBy(note, keyOf(key)))) wrong('note is not signed by a key of this installation');
    else if (stated !== String(position)) wrong(`position is ${position}, its signed note says ${stated}`);
    else if (hash !== manifestHash.toString('base64'))
      wrong(`manifest_hash is ${manifestHash.toString('base64')}, its signed note says ${hash}`);
    const asked = askedIn(question);
    if (asked?.position !== position) wrong(`question is ${question}, which is not about position ${position}`);
    const before = rows.slice(0, index).filter((known) => known.position <= position);
    const known = asked?.since === undefined ? [before.at(-1)?.position, ...before.map((pack) => pack.position)] : [asked.since];
    if (!known.includes(since)) wrong(`since_position is ${since}, where no pack was built before and none was asked for`);
    if (checkpointSize < position || !row.checkpoint)
      wrong(`checkpoint_size is ${checkpointSize}, where there is no checkpoint of position ${position} or more`);
  }
}

function askedIn(question: string): { readonly position?: unknown; readonly since?: number } | undefined {
  try {
    const asked = JSON.parse(question) as { readonly position?: unknown; readonly since?: number };
    return canonicalJson(asked) === question ? asked : undefined;
  } catch {
    return undefined;
  }
}

/** How far each name of a log goes: without end the last one, the others as far as the database has checkpoints of them; what was lost is given up. */
async function reach(snapshot: Snapshot, bookId: string, origins: readonly Origin[]): Promise<Map<string, number>> {
  const reaches = new Map(origins.map(({ origin }, index) => [origin, index === origins.length - 1 ? Number.POSITIVE_INFINITY : 0]));
  if (origins.length < 2) return reaches;
  const { rows } = await snapshot.query<{ origin: string; size: string }>(
    'SELECT origin, max(size)::text AS size FROM log.checkpoints WHERE book_id = $1 GROUP BY origin',
    [bookId],
  );
  for (const { origin, size } of rows) if (reaches.get(origin) === 0) reaches.set(origin, Number(size));
  return reaches;
}

/** What notes from outside say about a book; those of other books, and of what was given up, say nothing. */
function outsideClaims(
  notes: readonly OutsideNote[],
  bookId: string,
  reaches: ReadonlyMap<string, number>,
  keys: TrustedKeys,
  findings: Findings,
): { readonly claims: Claim[]; readonly setAside: string[] } {
  const setAside: string[] = [];
  const claims = notes.flatMap(({ from, note }): Claim[] => {
    const parsed = parseNote(note);
    const checkpoint = parsed && parseCheckpoint(parsed.text);
    const reach = checkpoint && reaches.get(checkpoint.origin);
    if (parsed === undefined || checkpoint === undefined || reach === undefined) return [];
    const { origin, size, root } = checkpoint;
    if (size > reach) {
      setAside.push(`the checkpoint of ${size} events of ${origin} from ${from}: what it says of events after ${reach} was given up`);
      return [];
    }
    if (!keys.log.some((key) => signedBy(parsed, keyOf(key)))) {
      findings.add(
        'checkpoint',
        `${from}: the checkpoint of ${size} events of book ${bookId} is signed by none of the keys of this database`,
      );
      return [];
    }
    return [{ size, root: root.toString('hex'), what: `the checkpoint from ${from}` }];
  });
  return { claims, setAside };
}
