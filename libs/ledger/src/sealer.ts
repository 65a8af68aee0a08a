/**
 * Sealer: grows the Merkle tree of every book behind its log, signs the heads, and hands them out. Hides when that happens, keys,
 * targets and witnesses. Guarantees (I11) that a head is recorded before it is signed, that none is signed which does not continue the
 * one signed before, and that nothing is signed or written for a book whose log ends before, or differs from, what was handed out
 * before: a database that was restored from an old backup, or rewritten.
 *
 * Several processes may run one: of those that extend a tree one wins, and the others go on from there.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import {
  checkpointText,
  type EventStore,
  instantText,
  keyText,
  type NoteKey,
  noteText,
  parseCheckpoint,
  parseNote,
  type SignedNote,
  type StoredCheckpoint,
  signedBy,
  TreeEdge,
  TreeStore,
  verifyConsistency,
} from '#event-store';
import type { Config } from './config';
import { keptLogName, keyOf, LogKeys, signedOrigin } from './proof/signer';
import { type CheckpointTarget, checkpointTargets } from './proof/targets';
import { cosigned, readWitnesses, type Witness } from './proof/witnesses';

export interface SealerOptions {
  readonly config: Config;
  /** Told of each failure; the work is tried again with the next round. */
  readonly report?: (problem: { readonly bookId?: string; readonly error: unknown }) => void;
}

/** What stands outside against what is here. */
export interface Conflict {
  readonly bookId: string;
  readonly origin: string;
  /** Where the checkpoint was found. */
  readonly target: string;
  readonly note: string;
  readonly message: string;
}

/** Edges kept in memory, of the books that moved last. */
const edgesKept = 1_000;
const stopMs = 5_000;
/** Books that are compared with what was handed out, or handed out, at one time; and that are sealed. */
const lanes = { outside: 16, sealing: 2 } as const;

export class Sealer {
  private readonly trees: TreeStore;
  private readonly targets: readonly CheckpointTarget[];
  private readonly witnesses: readonly Witness[];
  private readonly edges = new Map<string, TreeEdge>();
  /** Books whose newest checkpoint has not been everywhere yet, each with who still lacks it. */
  private readonly toHandOut = new Map<string, Set<CheckpointTarget | Witness>>();
  private readonly compared = new Set<string>();
  /** The last head that this process has signed or seen signed, by book: a database that goes back behind it, or beside it, is another one. */
  private readonly seen = new Map<string, { readonly size: number; readonly root: Buffer }>();
  private readonly origins = new Map<string, string>();
  private keys: LogKeys | undefined;
  private running = false;
  private sealTimer: NodeJS.Timeout | undefined;
  private handOutTimer: NodeJS.Timeout | undefined;
  private sealing: Promise<void> | undefined;
  private handingOut: Promise<void> | undefined;
  private problem: string | undefined;
  private lookMs = 0;
  /** By book, and under '' what concerns all: what was told last. */
  private readonly failing = new Map<string, string>();
  /** Events sealed and checkpoints signed by this process. */
  readonly counts = { events: 0, checkpoints: 0, failures: 0 };

  constructor(
    private readonly store: EventStore,
    pool: Pool,
    private readonly options: SealerOptions,
  ) {
    this.trees = new TreeStore(pool);
    this.targets = checkpointTargets(options.config);
    this.witnesses = readWitnesses(options.config.WITNESSES);
  }

  /** Begins to seal, and goes on until stop. */
  start(): void {
    if (this.running) return;
    this.running = true;
    this.sealLater(0);
    this.handOutLater(this.options.config.CHECKPOINT_PUBLISH_MS);
  }

  /** Finishes what is under way, seals and hands out what there is, and begins nothing more. */
  async stop(): Promise<void> {
    if (!this.running) return;
    this.running = false;
    clearTimeout(this.sealTimer);
    clearTimeout(this.handOutTimer);
    await Promise.all([this.sealing, this.handingOut]);
    await this.round();
    // A target that does not answer holds nobody up for long; what was not handed out is, by whoever starts next.
    await Promise.race([this.handOut(), sleep(stopMs, undefined, { ref: false })]);
  }

  /** What cannot be sealed or handed out, and why. */
  problems(): readonly string[] {
    return [
      ...(this.problem === undefined ? [] : [this.problem]),
      ...[...this.failing].filter(([bookId]) => bookId !== '').map(([, message]) => message),
    ];
  }

  /** How many events are not sealed and signed yet, of the book with the most of them. */
  async lag(): Promise<{ readonly books: number; readonly events: number }> {
    const unsealed = await this.trees.unsealed();
    return { books: unsealed.length, events: unsealed.reduce((most, { position, size }) => Math.max(most, position - size), 0) };
  }

  private sealLater(ms: number): void {
    this.sealTimer = setTimeout(() => {
      this.sealing = this.round().finally(() => {
        this.sealing = undefined;
        // However many books there are, looking at them takes a twentieth of the time at most.
        if (this.running) this.sealLater(Math.max(this.options.config.CHECKPOINT_MS, 20 * this.lookMs));
      });
    }, ms);
  }

  private handOutLater(ms: number): void {
    this.handOutTimer = setTimeout(() => {
      this.handingOut = this.handOut().finally(() => {
        this.handingOut = undefined;
        if (this.running) this.handOutLater(this.options.config.CHECKPOINT_PUBLISH_MS);
      });
    }, ms);
  }

  /** Seals every book that has moved. */
  private async round(): Promise<void> {
    try {
      const started = performance.now();
      const books = await this.trees.unsealed();
      this.lookMs = performance.now() - started;
      // A key that is wrong is told at once, not with the next event; the first one is made when there is something to sign.
      const isWanted = books.length > 0 || (this.keys === undefined && (await this.trees.signingKeys()).length > 0);
      const keys = isWanted ? await this.openKeys() : undefined;
      this.problem = undefined;
      this.failing.delete('');
      if (keys === undefined) return;
      await inLanes(books, lanes.sealing, async ({ bookId }) => {
        try {
          await this.sealWith(keys, bookId);
          this.failing.delete(bookId);
        } catch (error) {
          this.edges.delete(bookId);
          this.fail(error, bookId);
        }
      });
    } catch (error) {
      this.problem = (error as Error).message;
      this.fail(error);
    }
  }

  /** Told once for as long as it stays the same: rounds are a second apart. */
  private fail(error: unknown, bookId?: string): void {
    this.counts.failures += 1;
    const message = error instanceof Error ? error.message : String(error);
    if (this.failing.get(bookId ?? '') === message) return;
    this.failing.set(bookId ?? '', message);
    this.options.report?.({ ...(bookId === undefined ? {} : { bookId }), error });
  }

  private async openKeys(): Promise<LogKeys> {
    if (this.keys !== undefined && !(await this.keys.isCurrent())) this.keys = undefined;
    this.keys ??= await LogKeys.open(this.trees, this.options.config);
    return this.keys;
  }

  /**
   * Seals a book up to its head and signs that. start() calls it; tests and commands call it by hand.
   * @returns the newest signed checkpoint; undefined when the book has no event
   * @throws Error when the log ends before, or differs from, what was handed out or signed before
   */
  async seal(bookId: string): Promise<StoredCheckpoint | undefined> {
    return this.sealWith(await this.openKeys(), bookId);
  }

  private async sealWith(keys: LogKeys, bookId: string): Promise<StoredCheckpoint | undefined> {
    for (;;) {
      const { position } = await this.store.head(bookId);
      if (position === 0) return undefined;
      const origin = await this.originOf(bookId, keys);
      const seen = this.seen.get(bookId);
      if (seen !== undefined && seen.size > position) {
        this.forget(bookId);
        throw new Error(
          `book ${bookId} ends at position ${position}, but this process has signed ${seen.size} events of it: ${wentBack(bookId)}`,
        );
      }
      if (!this.compared.has(bookId)) {
        const [conflict] = await this.compare(bookId, origin);
        if (conflict !== undefined) throw new Error(conflict.message);
        this.compared.add(bookId);
      }
      const edge = this.edges.get(bookId) ?? (await this.trees.edge(bookId));
      const before = edge.size;
      this.edges.delete(bookId);
      if (!(await this.trees.extend(bookId, edge, position, origin, Date.now() * 1_000))) {
        // Another sealer was faster, or the database is not the one that it was.
        this.compared.delete(bookId);
        continue;
      }
      this.counts.events += edge.size - before;
      this.keep(bookId, edge);
      return this.sign(bookId, edge.size, origin, keys);
    }
  }

  /** Everything that is believed of a book without looking. */
  private forget(bookId: string): void {
    this.edges.delete(bookId);
    this.compared.delete(bookId);
    this.origins.delete(bookId);
  }

  /** Whether this process seals. */
  get seals(): boolean {
    return this.options.config.SEAL === 'inline';
  }

  /** @throws Error with what to do when this process cannot sign */
  async checkSigns(): Promise<void> {
    if ((await this.trees.signingKeys()).length === 0) throw new Error('nothing was signed yet, and this process does not seal (SEAL=off)');
    await this.openKeys();
  }

  /** Signs a text that says something about a log. @throws Error when the key is not at hand */
  async signNote(text: string): Promise<{ readonly note: string; readonly key: NoteKey }> {
    const keys = await this.openKeys();
    return { note: noteText({ text, signatures: [await keys.sign(text)] }), key: keys.current };
  }

  /** The least recently used edge makes room. */
  private keep(bookId: string, edge: TreeEdge): void {
    this.edges.set(bookId, edge);
    for (const oldest of this.edges.keys()) {
      if (this.edges.size <= edgesKept) break;
      this.edges.delete(oldest);
    }
  }

  /** The name that a book's log is signed under; made with the first checkpoint. */
  private async originOf(bookId: string, keys: LogKeys): Promise<string> {
    const known = this.origins.get(bookId);
    if (known !== undefined) return known;
    let last = (await this.trees.origins(bookId)).at(-1);
    if (last === undefined) {
      await this.trees.recordOrigin(bookId, {
        number: 1,
        origin: `${keys.current.name}/${bookId}`,
        size: 0,
        recordedAt: instantText(Date.now() * 1_000),
      });
      last = (await this.trees.origins(bookId)).at(-1);
    }
    if (last === undefined) throw new Error(`the log of book ${bookId} has no name`);
    this.origins.set(bookId, last.origin);
    return last.origin;
  }

  /** Signs a head that was recorded, and those before it that were recorded and not signed before a crash: each continues the last. */
  private async sign(bookId: string, size: number, origin: string, keys: LogKeys): Promise<StoredCheckpoint> {
    let last = await this.trees.signedCheckpoint(bookId);
    // A larger one where another process was faster.
    while (last === undefined || last.size < size) {
      const [next] = await this.trees.checkpoints(bookId, last?.size ?? 0, size, 1);
      if (next === undefined) throw new Error(`book ${bookId} has no checkpoint of ${size} events`);
      last = await this.signNext(bookId, next, last, origin, keys);
    }
    this.seen.set(bookId, { size: last.size, root: last.root });
    this.handOutAll(bookId);
    return last;
  }

  private async signNext(
    bookId: string,
    recorded: StoredCheckpoint,
    last: StoredCheckpoint | undefined,
    origin: string,
    keys: LogKeys,
  ): Promise<StoredCheckpoint> {
    const { size, root } = recorded;
    const tree = this.trees.treeOf(bookId, size);
    const isNamed =
      recorded.origin === origin ||
      (await this.trees.origins(bookId)).some((known) => known.origin === recorded.origin && known.size <= size);
    if (!isNamed || !(await tree.root()).equals(root))
      throw new Error(
        `the head that is recorded of book ${bookId} at ${size} events is not that of its tree and name; it is not signed. Run book-keeper verify ${bookId}`,
      );
    const seen = this.seen.get(bookId);
    const isLast = seen !== undefined && seen.size === last?.size && seen.root.equals(last.root);
    for (const before of isLast ? [last] : [last, seen]) {
      if (before === undefined || before.size > size) continue;
      if (verifyConsistency(before, recorded, await tree.consistencyProof(before.size))) continue;
      this.forget(bookId);
      throw new Error(
        `the head of book ${bookId} at ${size} events does not continue the one that was signed at ${before.size}: ${wentBack(bookId)}. It is not signed; run book-keeper verify ${bookId}`,
      );
    }
    const signature = await keys.sign(checkpointText(recorded));
    await this.trees.recordSignature(bookId, size, signature, Date.now() * 1_000, true);
    this.counts.checkpoints += 1;
    return { ...recorded, signatures: [signature] };
  }

  // --- Handing out ---

  private handOutAll(bookId: string): void {
    if (this.targets.length + this.witnesses.length > 0) this.toHandOut.set(bookId, new Set([...this.targets, ...this.witnesses]));
  }

  /** Hands out what has not been everywhere yet: always the newest. Tests call it by hand. */
  async handOut(): Promise<void> {
    await inLanes([...this.toHandOut], lanes.outside, async ([bookId, lacking]) => {
      const checkpoint = await this.trees.signedCheckpoint(bookId).catch((error: unknown) => this.fail(error, bookId));
      if (!checkpoint) return;
      // Witnesses first, so that what is handed out may carry their signatures.
      const receivers = [...lacking].sort((one, other) => Number('put' in one) - Number('put' in other));
      for (const receiver of receivers) {
        try {
          if ('put' in receiver) await this.put(receiver, bookId, checkpoint.size);
          else await this.cosign(receiver, bookId, checkpoint);
          lacking.delete(receiver);
        } catch (error) {
          this.fail(error, bookId);
        }
      }
      // A later one may have come meanwhile, with a set of its own.
      if (lacking.size > 0) return;
      this.failing.delete(bookId);
      if (this.toHandOut.get(bookId) === lacking) this.toHandOut.delete(bookId);
    });
  }

  private async put(target: CheckpointTarget, bookId: string, size: number): Promise<void> {
    const checkpoint = await this.trees.checkpointOf(bookId, size);
    if (checkpoint === undefined) return;
    const { origin, recordedAt } = checkpoint;
    const tree = this.trees.treeOf(bookId, size);
    await target.put({
      ...{ origin, size, recordedAt, note: noteText(noteOf(checkpoint)) },
      continues: async (before) => verifyConsistency(before, checkpoint, await tree.consistencyProof(before.size)),
    });
  }

  private async cosign(witness: Witness, bookId: string, checkpoint: StoredCheckpoint): Promise<void> {
    const { name, id } = witness.key;
    const note = noteOf(checkpoint);
    const tree = this.trees.treeOf(bookId, checkpoint.size);
    const known = await this.trees.signedUpTo(bookId, name, id);
    const signature = await cosigned(witness, checkpoint, { text: note.text, note: noteText(note) }, known, (size) =>
      tree.consistencyProof(size),
    );
    await this.trees.recordSignature(bookId, checkpoint.size, signature, Date.now() * 1_000, false);
  }

  // --- What stands outside, against what is here ---

  /**
   * Holds all books against what was handed out before, as a start does before anything is written.
   * @returns where a log ends before, or differs from, what stands outside; a target that cannot be read is reported, and read again before
   *   anything is signed
   */
  async conflicts(): Promise<Conflict[]> {
    const found: Conflict[] = [];
    const name = await this.installation();
    const looked = new Set<string>();
    for (let after: string | undefined = ''; after !== undefined; ) {
      const books: string[] = await this.store.logs(after, 1_000);
      await inLanes(books, lanes.outside, async (bookId) => {
        // One that the database has forgotten is looked for all the same.
        const origin = (await this.trees.origins(bookId)).at(-1)?.origin ?? (name === '' ? undefined : `${name}/${bookId}`);
        if (origin === undefined) return;
        looked.add(origin);
        const { conflicts, unread } = await this.look(bookId, origin);
        found.push(...conflicts);
        for (const error of unread) this.fail(error, bookId);
        if (conflicts.length + unread.length === 0) this.compared.add(bookId);
      });
      after = books.length < 1_000 ? undefined : books.at(-1);
    }
    found.push(...(await this.strangers(name, (origin) => !looked.has(origin))));
    return found.sort((one, other) => (one.bookId < other.bookId ? -1 : 1));
  }

  /** The name of the installation, before the slash in those of its logs; empty where nothing was signed yet. */
  private async installation(): Promise<string> {
    return (await this.trees.signingKeys()).at(-1)?.name ?? keptLogName(this.options.config);
  }

  /** Logs that were handed out under the name of this installation, and that the database does not have: of whole books, or of newer names. */
  private async strangers(name: string, isMeant: (origin: string) => boolean): Promise<Conflict[]> {
    const found: Conflict[] = [];
    for (const target of name === '' ? [] : this.targets) {
      try {
        const origins = (await target.logs(name)).filter(isMeant);
        await inLanes(origins, lanes.outside, async (origin) => {
          const bookId = bookOf(name, origin);
          const known = await this.trees.origins(bookId);
          // What was given up stands there for ever.
          if (known.slice(0, -1).some((before) => before.origin === origin)) return;
          const note = await target.newest(origin);
          if (note === undefined) return;
          const isItsName = (known.at(-1)?.origin ?? `${name}/${bookId}`) === origin;
          const message = isItsName
            ? await this.contradiction(bookId, origin, target, note)
            : this.unknownLog(bookId, origin, target, note);
          if (message !== undefined) found.push({ bookId, origin, target: target.name, note, message });
        });
      } catch (error) {
        this.fail(error);
      }
    }
    return found;
  }

  private unknownLog(bookId: string, origin: string, target: CheckpointTarget, note: string): string {
    const parsed = parseNote(note);
    const size = parsed && parseCheckpoint(parsed.text)?.size;
    return `a checkpoint of ${size ?? 'an unknown number of'} events of the log ${origin} was signed and handed out before (${target.name}), and this database knows no log of this name: it is from before that name was taken; ${wayOut(bookId)}`;
  }

  /** @throws what a target throws that cannot be read, unless another one contradicts the book */
  private async compare(bookId: string, origin: string): Promise<Conflict[]> {
    const { conflicts, unread } = await this.look(bookId, origin);
    if (conflicts.length === 0 && unread.length > 0) throw unread[0];
    return conflicts;
  }

  private async look(bookId: string, origin: string): Promise<{ readonly conflicts: Conflict[]; readonly unread: unknown[] }> {
    const conflicts: Conflict[] = [];
    const unread: unknown[] = [];
    const signed = this.targets.length === 0 ? undefined : await this.trees.signedCheckpoint(bookId);
    for (const target of this.targets) {
      try {
        const note = await target.newest(origin);
        const message = note === undefined ? undefined : await this.contradiction(bookId, origin, target, note);
        if (note !== undefined && message !== undefined) conflicts.push({ bookId, origin, target: target.name, note, message });
        // What was signed before a crash and never got there.
        else if (signed !== undefined && signed.origin === origin && note !== noteText(noteOf(signed))) this.handOutAll(bookId);
      } catch (error) {
        unread.push(error);
      }
    }
    return { conflicts, unread };
  }

  /** What a checkpoint that was found outside says against the database; undefined when the log continues it. */
  private async contradiction(bookId: string, origin: string, target: CheckpointTarget, note: string): Promise<string | undefined> {
    const parsed = parseNote(note);
    const checkpoint = parsed && parseCheckpoint(parsed.text);
    if (parsed === undefined || checkpoint?.origin !== origin)
      return `${target.name} has something for ${origin} that is no checkpoint of it; put the right one there, or remove it if nobody was shown any`;
    const { size, root } = checkpoint;
    const { position } = await this.store.head(bookId);
    if (position === 0)
      return `there is no book ${bookId} in this database, but a checkpoint of ${size} events of it was signed and handed out before (${target.name}): the database was restored from an old backup, or is another one; ${wayOut(bookId)}`;
    const keys = await this.trees.signingKeys();
    if (!keys.some((key) => signedBy(parsed, keyOf(key))))
      return `${target.name} has a checkpoint of ${origin} (${size} events) that none of the keys of this database has signed (${keys.map((key) => keyText(keyOf(key))).join(', ')}); ${wayOut(bookId)}`;
    if (size > position)
      return `book ${bookId} ends at position ${position}, but a checkpoint of ${size} events was signed and handed out before (${target.name}): the database was restored from an old backup, or its end was cut off; ${wayOut(bookId)}`;
    if (!(await this.rootAt(bookId, size)).equals(root))
      return `book ${bookId} is not what was signed at ${size} events and handed out before (${target.name}): what is recorded was changed, or restored from a backup and written anew since; ${wayOut(bookId)}`;
    return undefined;
  }

  /** The root of the first `size` events, of which some may not be sealed yet. */
  private async rootAt(bookId: string, size: number): Promise<Buffer> {
    const tree = await this.trees.tree(bookId);
    if (tree !== undefined && size <= tree.size) return this.trees.treeOf(bookId, size).root();
    const edge = await this.trees.edge(bookId);
    await this.trees.grow(bookId, edge, size);
    return edge.root();
  }

  /**
   * The way out when a backup was restored that lacks what was signed already, and nothing better is to be had: from here on the log has
   * another name, so that nobody takes the two for one. What is given up is recorded. Works for a book that the database does not have.
   * @returns what was given up, the oldest first: more than one where the backup is from before an earlier loss; nothing where nothing
   *   stands against the book
   * @throws Error when a target cannot be read, or another process was faster
   */
  async acceptLoss(
    bookId: string,
    { userId, reason }: { readonly userId: string; readonly reason: string },
  ): Promise<{ readonly origin: string; readonly lost: string }[]> {
    const given: { origin: string; lost: string }[] = [];
    const name = await this.installation();
    for (;;) {
      const known = (await this.trees.origins(bookId)).at(-1);
      const origin = known?.origin ?? (name === '' ? undefined : `${name}/${bookId}`);
      const own = origin === undefined ? [] : await this.compare(bookId, origin);
      const [conflict] = own.length > 0 ? own : await this.strangers(name, (other) => bookOf(name, other) === bookId && other !== origin);
      if (conflict === undefined) return given;
      const keys = await this.openKeys();
      await this.originOf(bookId, keys);
      const last = known ?? (await this.trees.origins(bookId)).at(-1);
      if (last === undefined) throw new Error(`the log of book ${bookId} has no name`);
      const { position } = await this.store.head(bookId);
      const next = await signedOrigin(keys, bookId, last, { size: position, lost: conflict.note, userId, reason });
      if (!(await this.trees.recordOrigin(bookId, next))) throw new Error('another process has done so in this moment');
      this.origins.delete(bookId);
      given.push({ origin: next.origin, lost: conflict.note });
    }
  }
}

/** The book that a log is of. */
const bookOf = (name: string, origin: string): string => origin.slice(name.length + 1).replace(/~\d+$/, '');

const wentBack = (bookId: string): string =>
  `the database under this process is not the one that it was: an old backup, a standby that lagged behind, or events that were changed; ${wayOut(bookId)}`;

const wayOut = (bookId: string): string =>
  `restore a backup that has these events; or, if this is another database, give it a DATA_DIR of its own; or, if they are lost for good, give them up, which begins a log of another name and is recorded: book-keeper log accept-loss ${bookId} --reason '…' (docs/OPERATIONS.md, "A database that was restored")`;

/** A checkpoint as it is handed out. */
export const noteOf = (checkpoint: StoredCheckpoint): SignedNote => ({
  text: checkpointText(checkpoint),
  signatures: checkpoint.signatures,
});

async function inLanes<T>(items: readonly T[], width: number, work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: Math.min(width, items.length) }, async () => {
      while (next < items.length) await work(items[next++] as T);
    }),
  );
}
