/**
 * The audit trail of ordinary tables, verified: every link of its chain made again from the rows, and held against the links that the log of
 * the installation tells of, which nobody can change unseen. By statements of its own: the functions in the database may have been changed
 * with the rows.
 */
import { createHash } from 'node:crypto';
import type { SealOfTrail } from './companions';
import type { Findings } from './findings';
import type { Snapshot } from './rows';

/** A link as it is stored, and what its rows make. Times as the chain hashes them: the snapshot's time zone is UTC. */
const links = `
  SELECT concat_ws(E'\\t', h.place, h.number, h.changes, encode(h.hash, 'hex'), encode(h.chain, 'hex'), coalesce(m.changes, -1), encode(m.hash, 'hex'))
    FROM audit.chain h
    LEFT JOIN LATERAL (
      SELECT count(c.seq) AS changes,
             sha256(sha256(convert_to(jsonb_build_object('number', x.number, 'beganAt', x.began_at, 'committedAt', k.committed_at, 'login', x.login,
               'actor', x.actor, 'ip', x.ip, 'agent', x.agent, 'reason', x.reason)::text, 'UTF8'))
             || coalesce(string_agg(sha256(convert_to(jsonb_build_object('seq', c.seq, 'changedAt', c.changed_at, 'table', c.table_id,
               'operation', c.operation, 'key', c.row_key, 'old', c.old, 'new', c.new, 'before', c.before, 'depth', c.depth)::text, 'UTF8')), '' ORDER BY c.seq), '')) AS hash
        FROM audit.transactions x
        JOIN audit.commits k ON k.number = x.number
        LEFT JOIN audit.changes c ON c.number = x.number
       WHERE x.number = h.number
       GROUP BY x.number, k.committed_at) AS m ON true
   ORDER BY h.place`;

/** Rows that belong to nothing, or that nothing will seal. */
const strays: readonly (readonly [message: string, statement: string])[] = [
  [
    'was committed, has no link in the chain, and waits for none',
    `SELECT 'audit.commits ' || k.number AS row FROM audit.commits k
      WHERE NOT EXISTS (SELECT FROM audit.chain h WHERE h.number = k.number) AND NOT EXISTS (SELECT FROM audit.unsealed u WHERE u.number = k.number)`,
  ],
  [
    'is of an SQL transaction that is not there',
    `SELECT 'audit.changes ' || c.seq AS row FROM audit.changes c WHERE NOT EXISTS (SELECT FROM audit.transactions x WHERE x.number = c.number)`,
  ],
  [
    'has never been committed',
    `SELECT 'audit.transactions ' || x.number AS row FROM audit.transactions x WHERE NOT EXISTS (SELECT FROM audit.commits k WHERE k.number = x.number)`,
  ],
  [
    'waits for its link and was never committed',
    `SELECT 'audit.unsealed ' || u.number AS row FROM audit.unsealed u WHERE NOT EXISTS (SELECT FROM audit.commits k WHERE k.number = u.number)`,
  ],
];

/**
 * @param seals links that the log tells of, in its order
 * @returns what is not covered; undefined where there is no audit trail
 */
export async function checkAuditTrail(snapshot: Snapshot, seals: readonly SealOfTrail[], findings: Findings): Promise<string | undefined> {
  const there = await snapshot.query<{ there: boolean }>("SELECT to_regclass('audit.chain') IS NOT NULL AS there");
  if (there.rows[0]?.there !== true) return undefined;
  const told = new Map(seals.map((seal) => [seal.place, seal]));
  let chain: Buffer = Buffer.alloc(32);
  let next = 1;
  const wrong = (row: string, message: string): void => findings.add('audit trail', `${row}: ${message}`, { row });
  await snapshot.eachRow(links, (text) => {
    const [place, number, changes, hash = '', stored, madeChanges, made] = text.split('\t');
    const row = `audit.chain ${place}`;
    if (Number(place) !== next) wrong(row, `place ${next} is missing before it`);
    next = Number(place) + 1;
    if (made === undefined || madeChanges === '-1') wrong(row, `the SQL transaction ${number} that it seals is not there`);
    else if (made !== hash || madeChanges !== changes)
      wrong(
        row,
        `the SQL transaction ${number} was changed since it was sealed: ${changes} changes with the hash ${hash} then, ${madeChanges} with ${made} now`,
      );
    chain = createHash('sha256').update(chain).update(Buffer.from(hash, 'hex')).digest();
    if (chain.toString('hex') !== stored) wrong(row, `chain is ${stored}, the hashes up to it make ${chain.toString('hex')}`);
    const seal = told.get(next - 1);
    if (seal !== undefined && seal.chain !== chain.toString('hex'))
      wrong(
        row,
        `event ~system/${seal.position} tells of the link ${seal.chain}, the hashes up to it make ${chain.toString('hex')}: rows before it were changed and sealed anew`,
      );
  });
  for (const { place, position } of seals)
    if (place >= next) {
      wrong(`audit.chain ${place}`, `event ~system/${position} tells of it, the chain ends at ${next - 1}: its end was cut off`);
      break;
    }
  for (const [message, statement] of strays)
    for (const { row } of (await snapshot.query<{ row: string }>(`${statement} LIMIT 50`)).rows) wrong(row, message);
  const silent = await snapshot.query<{ relation: string; trigger: string }>(
    'SELECT relation::text AS relation, "trigger" FROM audit.coverage() WHERE NOT fires LIMIT 50',
  );
  for (const { relation, trigger } of silent.rows)
    wrong(`trigger ${trigger} on ${relation}`, 'is missing or switched off: changes are not recorded');
  const last = seals.at(-1)?.place ?? 0;
  return last < next - 1
    ? `the audit trail of ordinary tables after link ${last}, up to where the log of the installation tells of it; and rows that were changed past its triggers (audit.differences)`
    : 'rows of audited tables that were changed past the triggers (audit.differences)';
}
