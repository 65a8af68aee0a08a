/**
 * API keys: who may call, and under which opaque id events will name them (I12). Hides how secrets are kept: only the
 * SHA-256 of a secret is stored, which is enough for 256 random bits (no dictionary holds them, so no slow hash is needed).
 * Guarantees that a revoked key stops working within `cacheMs` in every process, and that the bootstrap key keeps its id
 * whatever its secret is.
 */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { join } from 'node:path';
import type { Pool } from 'pg';
import { LedgerError } from '#domain';
import { instantText, uuidV5, uuidV7 } from '#event-store';
import { keptSecret } from '#privacy';
import type { Config } from './config';

/**
 * What a key may do beyond what every key may. controller: close and reopen periods, post into softly closed ones, read user actions ·
 * personal: read personal data, erase persons, place and release legal holds.
 */
export const scopes = ['controller', 'personal'] as const;
export type Scope = (typeof scopes)[number];

/** Whom a request comes from. */
export interface ApiKey {
  /** Opaque: what events carry as userId. */
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly Scope[];
}

/** A key as it is listed; never with its secret, which nobody has. */
export interface ListedApiKey extends ApiKey {
  /** UTC, six decimals. */
  readonly createdAt: string;
  readonly revokedAt?: string;
}

/** Where the bootstrap key's secret is. */
export interface BootstrapKey extends ApiKey {
  /** The file that holds it; absent when BOOTSTRAP_API_KEY does. */
  readonly file?: string;
  /** The secret, when this very call has generated it: show it now, once. */
  readonly secret?: string;
}

/** How long a verified key is believed without asking again, in milliseconds. */
const cacheMs = 3_000;
const cacheEntriesMax = 10_000;
const nameForm = /^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}$/;

/**
 * The bootstrap key is a row like the others, except that its secret is configuration: the row's hash matches nothing, and
 * each process compares with the secret that it was given. So a new BOOTSTRAP_API_KEY replaces the old one at the next start,
 * two services on one database may have different ones, and revoking the row ends them all.
 */
const bootstrap: ApiKey = { id: uuidV5('api-key:bootstrap'), name: 'bootstrap', scopes };

interface StoredKey {
  readonly id: string;
  readonly name: string;
  readonly scopes: string;
}

/** The first administrator may do everything, also where the row was made before there were scopes. */
const keyOf = ({ id, name, scopes: granted }: StoredKey): ApiKey =>
  id === bootstrap.id ? bootstrap : { id, name, scopes: scopes.filter((scope) => granted.split(' ').includes(scope)) };

export class ApiKeys {
  private readonly cache = new Map<string, { readonly key: ApiKey | undefined; readonly until: number }>();
  private bootstrapHash: Buffer | undefined;

  constructor(private readonly pool: Pool) {}

  /**
   * Makes a key.
   * @param name for people; valid keys have different names
   * @param granted what it may do beyond what every key may
   * @param actor id of whoever makes it, for the audit trail
   * @returns the key and its secret, which cannot be shown again
   * @throws LedgerError malformed when the name has another form or belongs to a valid key
   */
  async create(name: string, granted: readonly Scope[] = [], actor?: string): Promise<ApiKey & { readonly secret: string }> {
    if (!nameForm.test(name)) {
      throw new LedgerError(
        'malformed',
        `"${name}" is no name for a key: 1 to 64 of letters, digits, blank and . _ @ -, beginning with a letter or digit`,
        { member: 'name' },
      );
    }
    const key = { id: uuidV7(), name, scopes: granted };
    const secret = newSecret();
    const { rowCount } =
      name === bootstrap.name
        ? { rowCount: 0 }
        : await this.changed(
            actor,
            `INSERT INTO access.api_keys (id, name, secret_hash, created_at, scopes) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING`,
            [key.id, key.name, hashOf(secret), now(), granted.join(' ')],
          );
    if (rowCount === 0) {
      throw new LedgerError('malformed', `there is a valid key named ${name}; revoke it first, or choose another name`, { member: 'name' });
    }
    return { ...key, secret };
  }

  /** All keys, the revoked ones too, oldest first. */
  async list(): Promise<ListedApiKey[]> {
    const { rows } = await this.pool.query<StoredKey & { created_at: string; revoked_at: string | null }>(
      'SELECT id, name, scopes, created_at, revoked_at FROM access.api_keys ORDER BY created_at, id',
    );
    return rows.map(({ created_at, revoked_at, ...stored }) => ({
      ...keyOf(stored),
      createdAt: created_at,
      ...(revoked_at === null ? {} : { revokedAt: revoked_at }),
    }));
  }

  /**
   * Ends a key for ever; its name may be given again, its id not.
   * @param nameOrId of a valid key
   * @param actor id of whoever revokes it, for the audit trail
   * @returns false when there is no such valid key
   */
  async revoke(nameOrId: string, actor?: string): Promise<boolean> {
    const { rowCount } = await this.changed(
      actor,
      'UPDATE access.api_keys SET revoked_at = $2 WHERE (id::text = $1 OR name = $1) AND revoked_at IS NULL',
      [nameOrId, now()],
    );
    this.cache.clear();
    return rowCount !== 0;
  }

  /** A statement in an SQL transaction that says to the audit trail who acts (libs/audit-trail); by setting, because not every database has it. */
  private async changed(
    actor: string | undefined,
    text: string,
    values: readonly unknown[],
  ): Promise<{ readonly rowCount: number | null }> {
    const client = await this.pool.connect();
    try {
      await client.query('BEGIN');
      await client.query("SELECT set_config('audit.actor', $1, true)", [actor ?? '']);
      const { rowCount } = await client.query(text, [...values]);
      await client.query('COMMIT');
      client.release();
      return { rowCount };
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  /**
   * Whose secret this is. Takes the same work for a right and a wrong one: both are hashed, and only hashes are compared.
   * @returns undefined for a secret that is unknown or revoked
   */
  async verify(secret: string): Promise<ApiKey | undefined> {
    const address = hash('sha256', secret, 'base64');
    const known = this.cache.get(address);
    if (known !== undefined && known.until > performance.now()) return known.key;
    const key = await this.find(Buffer.from(address, 'base64'));
    if (this.cache.size >= cacheEntriesMax) this.cache.clear();
    this.cache.set(address, { key, until: performance.now() + cacheMs });
    return key;
  }

  /** The same without a wait, for a secret that was found right within the last seconds; undefined: ask verify. */
  recent(secret: string): ApiKey | undefined {
    const known = this.cache.get(hash('sha256', secret, 'base64'));
    return known !== undefined && known.until > performance.now() ? known.key : undefined;
  }

  private async find(digest: Buffer): Promise<ApiKey | undefined> {
    const isBootstrap = this.bootstrapHash !== undefined && timingSafeEqual(this.bootstrapHash, digest);
    const { rows } = await this.pool.query<StoredKey>({
      name: 'api-key',
      text: 'SELECT id, name, scopes FROM access.api_keys WHERE (secret_hash = $1 OR id = $2) AND revoked_at IS NULL',
      values: [digest, isBootstrap ? bootstrap.id : null],
    });
    const [stored] = rows;
    return stored && keyOf(stored);
  }

  /**
   * Makes the first administrator's key usable: its secret is BOOTSTRAP_API_KEY, or else one that is generated at the first
   * start and kept in DATA_DIR/bootstrap-api-key (mode 0600). Two that start at once end with the same one.
   */
  async ensureBootstrap(config: Pick<Config, 'BOOTSTRAP_API_KEY' | 'DATA_DIR'>): Promise<BootstrapKey> {
    await this.pool.query(
      'INSERT INTO access.api_keys (id, name, secret_hash, created_at, scopes) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING',
      [bootstrap.id, bootstrap.name, randomBytes(32), now(), bootstrap.scopes.join(' ')],
    );
    this.cache.clear();
    if (config.BOOTSTRAP_API_KEY !== '') {
      this.bootstrapHash = hashOf(config.BOOTSTRAP_API_KEY);
      return bootstrap;
    }
    const file = join(config.DATA_DIR, 'bootstrap-api-key');
    const { secret, isNew } = keptSecret(file, newSecret);
    this.bootstrapHash = hashOf(secret);
    return { ...bootstrap, file, ...(isNew ? { secret } : {}) };
  }
}

const newSecret = (): string => `bk_${randomBytes(32).toString('base64url')}`;

const hashOf = (secret: string): Buffer => hash('sha256', secret, 'buffer');

const now = (): string => instantText(Date.now() * 1000);
