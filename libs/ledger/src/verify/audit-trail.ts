/**
 * The audit trail of ordinary tables, verified: every link of its chain made again from the rows, and held against the links that the log of
 * the installation tells of, which nobody can change unseen. By statements of its own: the functions in the database may have been changed
 * with the rows.
 */
import { createHash } from 'node:crypto';
import type { SealOfTrail } from './companions';
import type { Findings } from './findings';
import type { Snapshot } from './rows';

/**
 * How much earlier than the event that tells of a link before it a link may say that it was committed: the moment is noted before the commit,
 * which may wait for a disk or a replica.
 */
const toleranceSeconds = 60;

/** A link as it is stored, what its rows make, and when it says that they were. Times as the chain hashes them: the snapshot's time zone is UTC. */
const links = `
  SELECT concat_ws(E'\\t', h.place, h.number, h.changes, encode(h.hash, 'hex'), encode(h.chain, 'hex'), coalesce(m.changes, -1), coalesce(encode(m.hash, 'hex'), '-'),
           coalesce(m.committed_at, 0), coalesce(m.began_at, 0), coalesce(m.first, 0), coalesce(m.last, 0))
    FROM audit.chain h
    LEFT JOIN LATERAL (
      SELECT count(c.seq) AS changes, extract(epoch FROM k.committed_at) AS committed_at, extract(epoch FROM x.began_at) AS began_at,
             min(c.seq) AS first, max(c.seq) AS last,
             sha256(sha256(convert_to(jsonb_build_object('number', x.number, 'beganAt', x.began_at, 'committedAt', k.committed_at, 'login', x.login,
               'actor', x.actor, 'ip', x.ip, 'agent', x.agent, 'reason', x.reason)::text, 'UTF8'))
             || coalesce(string_agg(sha256(convert_to(jsonb_build_object('seq', c.seq, 'changedAt', c.changed_at, 'table', c.table_id,
               'operation', c.operation, 'key', c.row_key, 'old', c.old, 'new', c.new, 'place', c.place, 'depth', c.depth)::text, 'UTF8')), '' ORDER BY c.seq), '')) AS hash
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
  [
    'says to belong before a change that is none of the same row in the same SQL transaction',
    `SELECT 'audit.changes ' || c.seq AS row FROM audit.changes c JOIN audit.transactions x ON x.number = c.number
      WHERE c.place IS NOT NULL AND NOT EXISTS (
        SELECT FROM audit.changes o JOIN audit.transactions y ON y.number = o.number
         WHERE o.seq = ceil(c.place) AND o.seq < c.seq AND o.table_id = c.table_id AND o.row_key = c.row_key AND y.xid = x.xid AND y.began_at = x.began_at)`,
  ],
];

/**
 * How tables are watched, and what the last ATTACH or DETACH says of it. A table that was renamed has its oid still, one that was restored from a
 * dump its name.
 */
const settings = `
  SELECT 'audit.tables ' || t.id || ' (' || t.relation::text || ')' AS row,
         concat_ws(', ',
           CASE WHEN l.seq IS NULL THEN 'no ATTACH' END,
           CASE WHEN t.is_attached <> (l.operation = 'ATTACH') THEN 'is_attached' END,
           CASE WHEN t.relation::oid::bigint <> (l.new ->> 'oid')::bigint AND to_regclass(l.new ->> 'table') IS DISTINCT FROM t.relation THEN 'relation' END,
           CASE WHEN t.name <> l.new ->> 'table' THEN 'name' END,
           CASE WHEN t.oid::bigint <> (l.new ->> 'oid')::bigint THEN 'oid' END,
           CASE WHEN to_jsonb(t.key_columns) <> l.new -> 'key' THEN 'key_columns' END,
           CASE WHEN to_jsonb(t.excluded) <> l.new -> 'excluded' THEN 'excluded' END,
           CASE WHEN to_jsonb(t.masked) <> l.new -> 'masked' THEN 'masked' END,
           CASE WHEN to_jsonb(t.demanded) <> l.new -> 'demanded' THEN 'demanded' END,
           CASE WHEN to_jsonb(t.numbers) <> l.new -> 'numbers' THEN 'numbers' END,
           CASE WHEN to_jsonb(t.version) <> l.new -> 'version' THEN 'version' END) AS wrong
    FROM audit.tables t
    LEFT JOIN LATERAL (
      SELECT c.* FROM audit.changes c WHERE c.table_id = t.id AND c.row_key IS NULL AND c.operation IN ('ATTACH', 'DETACH') ORDER BY c.seq DESC LIMIT 1) AS l ON true
  UNION ALL
  SELECT 'audit.changes ' || c.seq, 'no row for table ' || c.table_id
    FROM audit.changes c WHERE c.operation = 'ATTACH' AND NOT EXISTS (SELECT FROM audit.tables t WHERE t.id = c.table_id)`;

/** Seconds since 1970 as a time. */
const asTime = (seconds: number): string => new Date(seconds * 1_000).toISOString();

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
  /** Of the last link that an event tells of: when, and the greatest seq up to there. */
  let toldAt = 0;
  let toldSeq = 0;
  let lastSeq = 0;
  const wrong = (row: string, message: string): void => findings.add('audit trail', `${row}: ${message}`, { row });
  await snapshot.eachRow(links, (text) => {
    const [place, number, changes, hash = '', stored, madeChanges, made, ...moments] = text.split('\t');
    const [committedAt = 0, beganAt = 0, first = 0, last = 0] = moments.map(Number);
    const row = `audit.chain ${place}`;
    if (Number(place) !== next) wrong(row, `place ${next} is missing before it`);
    next = Number(place) + 1;
    if (made === '-' || madeChanges === '-1') wrong(row, `the SQL transaction ${number} that it seals is not there`);
    else if (made !== hash || madeChanges !== changes)
      wrong(
        row,
        `the SQL transaction ${number} was changed since it was sealed: ${changes} changes with the hash ${hash} then, ${madeChanges} with ${made} now`,
      );
    if (made !== '-' && committedAt < toldAt - toleranceSeconds)
      wrong(
        row,
        `the SQL transaction ${number} says that it was committed at ${asTime(committedAt)}, and was sealed after links that the log told of at ${asTime(toldAt)}: expected at most ${toleranceSeconds} s before; it was added later, or waited long for its commit (PREPARE TRANSACTION)`,
      );
    if (first > 0 && first < toldSeq && beganAt > toldAt)
      wrong(
        row,
        `change ${first} of the SQL transaction ${number} has a place before changes that were sealed when it began (up to ${toldSeq}): it was added there later`,
      );
    lastSeq = Math.max(lastSeq, last);
    chain = createHash('sha256').update(chain).update(Buffer.from(hash, 'hex')).digest();
    if (chain.toString('hex') !== stored) wrong(row, `chain is ${stored}, the hashes up to it make ${chain.toString('hex')}`);
    const seal = told.get(next - 1);
    if (seal !== undefined) {
      toldAt = Math.max(toldAt, Date.parse(seal.recordedAt) / 1_000);
      toldSeq = lastSeq;
    }
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
  for (const { row, wrong: what } of (await snapshot.query<{ row: string; wrong: string }>(settings)).rows)
    if (what !== '') wrong(row, `${what} is not what the last audit.attach or audit.detach of the table left`);
  const silent = await snapshot.query<{ relation: string; trigger: string | null; wrong: string }>(
    'SELECT relation::text AS relation, "trigger", wrong FROM audit.coverage() WHERE NOT fires LIMIT 50',
  );
  for (const { relation, trigger, wrong: what } of silent.rows)
    if (trigger === null) wrong(`table ${relation}`, `${what}: audit.detach or audit.attach it`);
    else wrong(`trigger ${trigger} on ${relation}`, `${what}: changes are not recorded`);
  const last = seals.at(-1)?.place ?? 0;
  return last < next - 1
    ? `the audit trail of ordinary tables after link ${last}, up to where the log of the installation tells of it; and rows that were changed past its triggers (audit.differences)`
    : 'rows of audited tables that were changed past the triggers (audit.differences)';
}
