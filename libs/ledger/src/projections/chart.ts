/**
 * Chart: the accounts as they were at any position. Hides the rows, one per change of an account; guarantees that a code
 * shown is the one valid at the position asked for, also when the account was found by another of its codes.
 */
import type { AccountLimit, AccountOpened, AccountType, Side } from '#domain';
import { canonicalJson, type RecordedFact } from '#event-store';
import { int8Array, jsonbArray, uuidArray } from '#postgres';
import type { Database, Projection } from '../projection';

/** An account as it is stored and, with `parent` for `parentId`, shown; without balances. */
export interface AccountView {
  readonly id: string;
  readonly code: string;
  readonly name: string;
  readonly type: AccountType;
  readonly subtype?: string;
  readonly normalSide: Side;
  readonly postable: boolean;
  readonly status: 'open' | 'frozen' | 'closed';
  readonly parentId?: string;
  readonly currencies?: readonly string[];
  readonly subledger?: string;
  readonly control?: string;
  readonly limits?: readonly AccountLimit[];
  readonly cashFlow?: string;
  readonly mappings?: AccountOpened['mappings'];
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** The members that an account event sets; undefined for every other event. Pure; later events win. */
export function accountPatch({
  eventType,
  streamId,
  current,
}: Pick<RecordedFact, 'eventType' | 'streamId' | 'current'>): Partial<AccountView> | undefined {
  switch (eventType) {
    case 'AccountOpened':
      return { id: streamId, status: 'open', ...(current as unknown as AccountOpened) };
    case 'AccountCodeChanged':
      return { code: current.code as string };
    case 'AccountRenamed':
      return { name: current.name as string };
    case 'AccountFrozen':
      return { status: 'frozen' };
    case 'AccountUnfrozen':
      return { status: 'open' };
    case 'AccountClosed':
      return { status: 'closed' };
    default:
      return undefined;
  }
}

/** One row per account event but for the lines, at the event's position. */
export const chart: Projection = {
  name: 'chart',
  version: 1,
  tables: [
    {
      // One row per change of an account, valid from its position on. state is the whole account as the API shows it, without balances.
      name: 'account_versions',
      columns: { position: 'bigint', account_id: 'uuid', book_id: 'text', code: 'text', state: 'jsonb' },
      primaryKey: ['book_id', 'account_id', 'position'],
      indexes: { code: { columns: ['book_id', 'code', 'position'] } },
    },
  ],
  inserts: [
    `INSERT INTO projections.account_versions (position, account_id, book_id, code, state)
     SELECT n.position, n.account_id, $book, coalesce(n.patch ->> 'code', before.code), coalesce(before.state, '{}') || n.patch
       FROM unnest($1::int8[], $2::uuid[], $3::jsonb[]) AS n (position, account_id, patch)
       LEFT JOIN LATERAL (SELECT v.code, v.state FROM projections.account_versions v
                           WHERE v.book_id = $book AND v.account_id = n.account_id ORDER BY v.position DESC LIMIT 1) AS before ON true
      WHERE $won`,
  ],
  fold(batches) {
    const positions: number[] = [];
    const accounts: string[] = [];
    const patches: string[] = [];
    const changed = new Map<string, Partial<AccountView>>();
    for (const { events } of batches) {
      for (const event of events) {
        const patch = accountPatch(event);
        if (patch === undefined) continue;
        const sum = { ...changed.get(event.streamId), ...patch };
        changed.set(event.streamId, sum);
        positions.push(event.position);
        accounts.push(event.streamId);
        patches.push(canonicalJson(sum));
      }
    }
    return [[int8Array(positions), uuidArray(accounts), jsonbArray(patches)]];
  },
};

/**
 * Accounts at a position in the order of their codes (bytes of UTF-8), from `fromCode` on.
 * The index leads from code to code; a row counts when it is the newest of its account up to the position.
 */
export async function accountsFrom(
  database: Database,
  bookId: string,
  position: number,
  fromCode: string,
  limit: number,
): Promise<AccountView[]> {
  const { rows } = await database.query<{ state: AccountView }>({
    name: 'accounts-from',
    text: `SELECT v.state FROM projections.account_versions v
            WHERE v.book_id = $1 AND v.code >= $2 AND v.position <= $3
              AND v.position = (SELECT n.position FROM projections.account_versions n
                                 WHERE n.book_id = $1 AND n.account_id = v.account_id AND n.position <= $3 ORDER BY n.position DESC LIMIT 1)
            ORDER BY v.code LIMIT $4`,
    values: [bookId, fromCode, position, limit],
  });
  return rows.map(({ state }) => state);
}

/** The smallest code after `code`: no text holds U+0000, and codes sort by bytes. */
export const afterCode = (code: string): string => `${code}\u0001`;

/** Accounts at a position by id; one that did not exist then is missing. */
export async function accountsAt(
  database: Database,
  bookId: string,
  ids: readonly string[],
  position: number,
): Promise<Map<string, AccountView>> {
  const { rows } = await database.query<{ state: AccountView }>({
    name: 'accounts-at',
    text: `SELECT v.state FROM unnest($2::uuid[]) AS wanted (id),
             LATERAL (SELECT t.state FROM projections.account_versions t
                       WHERE t.book_id = $1 AND t.account_id = wanted.id AND t.position <= $3 ORDER BY t.position DESC LIMIT 1) AS v`,
    values: [bookId, uuidArray(ids), position],
  });
  return new Map(rows.map(({ state }) => [state.id, state]));
}
