/**
 * Keys of persons: one per book, person and scope (what it is kept for). Hides how they are wrapped, cached and destroyed. Guarantees
 * that a key that was destroyed is never made or read again, in whatever process, that its bytes leave the table's pages, and that a
 * master key takes the place of another without any event being touched.
 */
import { randomBytes } from 'node:crypto';
import type { Pool } from 'pg';
import { textArray, uuidArray } from '#postgres';
import { KeysUnavailable, type MasterKeys, type Wrapping } from './master-keys';
import { type SubjectKey, subjectKey } from './sealed-text';

/** What a key is for. */
export interface KeyName {
  readonly subjectId: string;
  /** 1 to 40 of a-z 0-9 -. */
  readonly scope: string;
}

/** A key as it is listed. */
export interface KeyRecord {
  readonly scope: string;
  readonly fingerprint: string;
  readonly createdAt: string;
}

/** A key that was asked for to be made, and was destroyed before. */
export class KeyDestroyed extends Error {
  constructor(
    readonly subjectId: string,
    readonly scope: string,
  ) {
    super(`the key ${scope} of ${subjectId} was destroyed`);
  }
}

/** Under which a key stands in what obtain and find return. */
export const keyName = (subjectId: string, scope: string): string => `${subjectId} ${scope}`;

const cachedMs = 60_000;
const cachedMax = 10_000;
const rewrapAtOnce = 500;
const rewriteTries = 5;
/** Book, subject and scope that come before all others. */
const beforeAll: readonly string[] = ['', '00000000-0000-0000-0000-000000000000', ''];

interface StoredKey {
  readonly book_id: string;
  readonly subject_id: string;
  readonly scope: string;
  readonly master_number: number;
  readonly fingerprint: Buffer;
  readonly wrapped: Buffer;
}

const contextOf = (bookId: string, subjectId: string, scope: string): string => `${bookId}:${subjectId}:${scope}`;

export class SubjectKeys {
  /** By whose they are and by wrapped bytes: whoever has none of them any more finds nothing here, and a row of somebody else neither. */
  private readonly cache = new Map<string, { readonly key: SubjectKey; readonly until: number }>();
  private forgetting: NodeJS.Timeout | undefined;

  constructor(
    private readonly pool: Pool,
    private readonly masters: MasterKeys,
  ) {}

  /**
   * Those keys; the ones that are missing are made. Of several processes that make one all get the same.
   * @returns by keyName
   * @throws KeyDestroyed | KeysUnavailable
   */
  async obtain(bookId: string, wanted: readonly KeyName[]): Promise<Map<string, SubjectKey>> {
    const found = await this.find(bookId, wanted);
    const missing = wanted.filter(({ subjectId, scope }) => !found.has(keyName(subjectId, scope)));
    if (missing.length === 0) return found;
    const made = missing.map(({ subjectId, scope }) => ({ context: contextOf(bookId, subjectId, scope), bytes: randomBytes(32) }));
    const { number, wrapped } = await this.masters.wrap(made);
    for (const [index, { subjectId, scope }] of missing.entries())
      await this.pool.query({
        name: 'make-subject-key',
        text: `INSERT INTO privacy.subject_keys (book_id, subject_id, scope, master_number, created_at, fingerprint, wrapped)
               SELECT $1, $2, $3, $4, $5, $6, $7
                WHERE NOT EXISTS (SELECT FROM privacy.destroyed_keys d WHERE d.book_id = $1 AND d.subject_id = $2 AND d.scope = $3)
               ON CONFLICT (book_id, subject_id, scope) DO NOTHING`,
        values: [
          ...[bookId, subjectId, scope, number, new Date().toISOString()],
          ...[Buffer.from(subjectKey(made[index]?.bytes as Buffer).fingerprint, 'hex'), wrapped[index]],
        ],
      });
    const now = await this.find(bookId, wanted);
    for (const { subjectId, scope } of wanted) if (!now.has(keyName(subjectId, scope))) throw new KeyDestroyed(subjectId, scope);
    return now;
  }

  /**
   * Those keys that there are, as the database has them at this moment.
   * @returns by keyName
   * @throws KeysUnavailable
   */
  async find(bookId: string, wanted: readonly KeyName[]): Promise<Map<string, SubjectKey>> {
    const { rows } = await this.pool.query<StoredKey>({
      name: 'find-subject-keys',
      text: `SELECT $1::text AS book_id, k.subject_id, k.scope, k.master_number, k.fingerprint, k.wrapped
               FROM (SELECT DISTINCT * FROM unnest($2::uuid[], $3::text[]) AS n (subject_id, scope)) AS w,
                    LATERAL (SELECT * FROM privacy.subject_keys s
                              WHERE s.book_id = $1 AND s.subject_id = w.subject_id AND s.scope = w.scope OFFSET 0) AS k
              -- Of a key that was made while it was destroyed, this is what counts.
              WHERE NOT EXISTS (SELECT FROM privacy.destroyed_keys d WHERE d.book_id = $1 AND d.subject_id = k.subject_id AND d.scope = k.scope)`,
      values: [bookId, uuidArray(wanted.map(({ subjectId }) => subjectId)), textArray(wanted.map(({ scope }) => scope))],
    });
    const found = new Map<string, SubjectKey>();
    const closed = new Map<number, StoredKey[]>();
    const now = performance.now();
    for (const row of rows) {
      const known = this.cache.get(cacheName(bookId, row));
      if (known !== undefined && known.until > now) found.set(keyName(row.subject_id, row.scope), known.key);
      else closed.set(row.master_number, [...(closed.get(row.master_number) ?? []), row]);
    }
    for (const [number, stored] of closed) {
      const keys = await this.unwrapped(number, stored);
      for (const [index, row] of stored.entries()) {
        const key = subjectKey(keys[index] as Buffer);
        found.set(keyName(row.subject_id, row.scope), key);
        this.remember(cacheName(bookId, row), key, now);
      }
    }
    return found;
  }

  /**
   * Each is the key that was wrapped, or nothing is said: a program that answers in another order would give persons each other's keys.
   * @throws KeysUnavailable
   */
  private async unwrapped(number: number, stored: readonly StoredKey[]): Promise<readonly Buffer[]> {
    const keys = await this.masters.unwrap(number, stored.map(wrappingOf));
    for (const [index, { book_id, subject_id, scope, fingerprint }] of stored.entries()) {
      const bytes = keys[index];
      if (bytes?.length !== 32 || subjectKey(bytes).fingerprint !== fingerprint.toString('hex'))
        throw new KeysUnavailable(
          `the key ${scope} of ${subject_id} in book ${book_id} was unwrapped to another one than was wrapped, and nothing was changed: check what MASTER_KEY_COMMAND answers, and in which order`,
        );
    }
    return keys;
  }

  private remember(name: string, key: SubjectKey, now: number): void {
    for (const [known, { until }] of this.cache) {
      if (until > now && this.cache.size < cachedMax) break;
      this.cache.delete(known);
    }
    this.cache.set(name, { key, until: now + cachedMs });
    this.forgetLater();
  }

  /** What nobody asks for any more leaves memory too. */
  private forgetLater(): void {
    if (this.forgetting !== undefined) return;
    this.forgetting = setTimeout(() => {
      this.forgetting = undefined;
      const now = performance.now();
      for (const [name, { until }] of this.cache) if (until <= now) this.cache.delete(name);
      if (this.cache.size > 0) this.forgetLater();
    }, cachedMs);
    this.forgetting.unref();
  }

  /** Keys of a person that are not destroyed, by scope. */
  async list(bookId: string, subjectId: string): Promise<KeyRecord[]> {
    const { rows } = await this.pool.query<{ scope: string; fingerprint: Buffer; created_at: string }>(
      'SELECT scope, fingerprint, created_at FROM privacy.subject_keys WHERE book_id = $1 AND subject_id = $2 ORDER BY scope',
      [bookId, subjectId],
    );
    return rows.map(({ scope, fingerprint, created_at }) => ({ scope, fingerprint: fingerprint.toString('hex'), createdAt: created_at }));
  }

  /** Scopes of a person whose keys were destroyed. */
  async destroyed(bookId: string, subjectId: string): Promise<string[]> {
    const { rows } = await this.pool.query<{ scope: string }>(
      'SELECT scope FROM privacy.destroyed_keys WHERE book_id = $1 AND subject_id = $2 ORDER BY scope',
      [bookId, subjectId],
    );
    return rows.map(({ scope }) => scope);
  }

  /** Of those keys the ones that are neither here nor destroyed: if they ever were, they are lost. */
  async missing(bookId: string, wanted: readonly KeyName[]): Promise<KeyName[]> {
    if (wanted.length === 0) return [];
    const { rows } = await this.pool.query<{ subject_id: string; scope: string }>({
      name: 'missing-subject-keys',
      text: `SELECT DISTINCT w.subject_id, w.scope FROM unnest($2::uuid[], $3::text[]) AS w (subject_id, scope)
              WHERE NOT EXISTS (SELECT FROM privacy.subject_keys s WHERE s.book_id = $1 AND s.subject_id = w.subject_id AND s.scope = w.scope)
                AND NOT EXISTS (SELECT FROM privacy.destroyed_keys d WHERE d.book_id = $1 AND d.subject_id = w.subject_id AND d.scope = w.scope)`,
      values: [bookId, uuidArray(wanted.map(({ subjectId }) => subjectId)), textArray(wanted.map(({ scope }) => scope))],
    });
    return rows.map(({ subject_id, scope }) => ({ subjectId: subject_id, scope }));
  }

  /**
   * Destroys keys for ever; what is destroyed already stays so.
   * @param finishes whether the table's pages are written anew at once: whoever destroys keys of many persons calls finish in the end
   */
  async destroy(bookId: string, subjectId: string, scopes: readonly string[], finishes = true): Promise<void> {
    const { rows } = await this.pool.query<{ gone: boolean }>('SELECT privacy.destroy_keys($1, $2, $3::text[], $4) AS gone', [
      ...[bookId, subjectId, textArray(scopes), new Date().toISOString()],
    ]);
    this.cache.clear();
    if (finishes && rows[0]?.gone === true) await this.finish();
  }

  /**
   * Destroys again what was destroyed once and is there all the same: a backup of the keys was restored.
   * @returns how many came back
   */
  async reconcile(bookId: string, destroyed: readonly KeyName[]): Promise<number> {
    if (destroyed.length === 0) return 0;
    const { rows } = await this.pool.query<{ subject_id: string; scope: string }>(
      `SELECT w.subject_id, w.scope FROM unnest($2::uuid[], $3::text[]) AS w (subject_id, scope)
        WHERE EXISTS (SELECT FROM privacy.subject_keys s WHERE s.book_id = $1 AND s.subject_id = w.subject_id AND s.scope = w.scope)
           OR NOT EXISTS (SELECT FROM privacy.destroyed_keys d WHERE d.book_id = $1 AND d.subject_id = w.subject_id AND d.scope = w.scope)`,
      [bookId, uuidArray(destroyed.map(({ subjectId }) => subjectId)), textArray(destroyed.map(({ scope }) => scope))],
    );
    for (const { subject_id, scope } of rows) await this.destroy(bookId, subject_id, [scope], false);
    if (rows.length > 0) await this.finish();
    return rows.length;
  }

  /** Writes the pages of the table anew where destroyed keys may still stand in them. @returns false when somebody else reads it just now */
  finish(): Promise<boolean> {
    return this.rewrite(false);
  }

  private async rewrite(always: boolean): Promise<boolean> {
    try {
      await this.pool.query('SELECT privacy.rewrite_keys($1, $2)', [new Date().toISOString(), always]);
      return true;
    } catch (error) {
      // 55P03: lock_not_available. What is left is told by destroyed_keys.rewritten_at.
      if ((error as { code?: string }).code === '55P03') return false;
      throw error;
    }
  }

  /**
   * Wraps every key anew that is not under the newest master key. May be stopped and begun again; others may read and write meanwhile.
   * @returns how many it wrapped
   * @throws KeysUnavailable
   */
  async rewrap(onProgress?: (done: number) => void): Promise<number> {
    let done = 0;
    let newest = await this.masters.newest();
    for (let after = beforeAll; ; ) {
      const { rows } = await this.pool.query<StoredKey>(
        `SELECT book_id, subject_id, scope, master_number, fingerprint, wrapped FROM privacy.subject_keys
          WHERE master_number <> $1 AND (book_id, subject_id, scope) > ($2, $3, $4)
          ORDER BY book_id, subject_id, scope LIMIT ${rewrapAtOnce}`,
        [newest, ...after],
      );
      for (const number of new Set(rows.map(({ master_number }) => master_number)))
        done += await this.wrapAnew(
          number,
          rows.filter(({ master_number }) => master_number === number),
        );
      if (rows.length > 0) onProgress?.(done);
      const last = rows.at(-1);
      if (last !== undefined) {
        after = [last.book_id, last.subject_id, last.scope];
        continue;
      }
      // Each is looked at once, so this ends; and once more where a newer master key has appeared meanwhile.
      const now = await this.masters.newest();
      if (now === newest) break;
      [newest, after] = [now, beforeAll];
    }
    // What was wrapped by the former master key stands in pages too.
    for (let tries = 1; done > 0 && !(await this.rewrite(true)); tries++)
      if (tries === rewriteTries)
        throw new KeysUnavailable(
          `${done} keys were wrapped anew, but somebody else reads their table all the time, so its pages still hold what the former master key opens: end that, and run VACUUM FULL privacy.subject_keys`,
        );
    return done;
  }

  /** @returns how many of them are under another master key now */
  private async wrapAnew(number: number, old: readonly StoredKey[]): Promise<number> {
    const keys = await this.unwrapped(number, old);
    const again = await this.masters.wrap(
      old.map(({ book_id, subject_id, scope }, index) => ({
        context: contextOf(book_id, subject_id, scope),
        bytes: keys[index] as Buffer,
      })),
    );
    if (again.number === number) return 0;
    for (const [index, { book_id, subject_id, scope, wrapped }] of old.entries())
      await this.pool.query('SELECT privacy.rewrap_key($1, $2, $3, $4, $5, $6)', [
        ...[book_id, subject_id, scope, wrapped, again.wrapped[index], again.number],
      ]);
    return old.length;
  }

  /** How many keys each master key wraps, and how many destroyed ones may still stand in the table's pages. */
  async usage(): Promise<{ readonly masters: readonly { readonly number: number; readonly keys: number }[]; readonly unfinished: number }> {
    const [{ rows: masters }, { rows: unfinished }] = await Promise.all([
      this.pool.query<{ number: number; keys: number }>(
        'SELECT master_number AS number, count(*)::int AS keys FROM privacy.subject_keys GROUP BY 1 ORDER BY 1',
      ),
      this.pool.query<{ left: number }>('SELECT count(*)::int AS left FROM privacy.destroyed_keys WHERE rewritten_at IS NULL'),
    ]);
    return { masters, unfinished: unfinished[0]?.left ?? 0 };
  }
}

const wrappingOf = ({ book_id, subject_id, scope, wrapped }: StoredKey): Wrapping => ({
  context: contextOf(book_id, subject_id, scope),
  bytes: wrapped,
});

const cacheName = (bookId: string, { subject_id, scope, wrapped }: StoredKey): string =>
  `${contextOf(bookId, subject_id, scope)} ${wrapped.toString('base64')}`;
