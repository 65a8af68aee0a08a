/**
 * The baseline: what most teams write. One SQL transaction per entry: lock both accounts in a fixed order, look at the
 * balances, insert the entry and its lines, update both balances, commit. Prepared statements, a connection per caller, a
 * unique key per entry; no events, no hashes, no history of balances.
 */
import type { Client } from 'pg';
import { connect } from '#postgres';
import type { BenchDatabase } from './server';
import { generator, percentile } from './statistics';
import { sleep } from './writer';

const accountsUniform = 10_000;

export interface BaselineFigures {
  readonly entriesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** @throws Error when the tables do not hold what was acknowledged */
export async function runBaseline(
  { admin, url }: BenchDatabase,
  pick: 'uniform' | 'hot',
  callers: number,
  seconds: number,
): Promise<BaselineFigures> {
  await admin.query(`
    DROP SCHEMA IF EXISTS baseline CASCADE;
    CREATE SCHEMA baseline;
    GRANT USAGE ON SCHEMA baseline TO PUBLIC;
    CREATE TABLE baseline.accounts (id int PRIMARY KEY, balance numeric NOT NULL, version bigint NOT NULL) WITH (fillfactor = 70);
    CREATE TABLE baseline.entries (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text NOT NULL UNIQUE, effective_date date NOT NULL,
                                   description text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
    CREATE TABLE baseline.lines (entry_id bigint NOT NULL REFERENCES baseline.entries, line int NOT NULL, account_id int NOT NULL REFERENCES baseline.accounts,
                                 amount numeric NOT NULL, balance_after numeric NOT NULL, PRIMARY KEY (entry_id, line));
    CREATE INDEX ON baseline.lines (account_id, entry_id);
    GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA baseline TO PUBLIC;
    INSERT INTO baseline.accounts SELECT i, 0, 0 FROM generate_series(0, ${accountsUniform - 1}) AS i;`);
  await admin.query('VACUUM ANALYZE baseline.accounts');
  await admin.query('CHECKPOINT');
  const random = generator(42);
  const clients = await Promise.all(Array.from({ length: callers }, () => connect(url)));
  const latencies: number[] = [];
  let serial = 0;
  let acknowledged = 0;
  let measuring = false;
  let stopped = false;
  const call = async (client: Client): Promise<void> => {
    while (!stopped) {
      const debit = pick === 'hot' ? Math.floor(random() * 2) : Math.floor(random() * accountsUniform);
      const credit = pick === 'hot' ? 1 - debit : (debit + 1 + Math.floor(random() * (accountsUniform - 1))) % accountsUniform;
      const start = performance.now();
      await post(client, debit, credit, 1 + Math.floor(random() * 9_999_999), `order-${++serial}`);
      acknowledged++;
      if (measuring) latencies.push(performance.now() - start);
    }
  };
  const calls = clients.map(call);
  await sleep(500);
  measuring = true;
  const start = performance.now();
  await sleep(seconds * 1_000);
  measuring = false;
  const entriesPerSecond = latencies.length / ((performance.now() - start) / 1_000);
  stopped = true;
  await Promise.all(calls);
  await Promise.all(clients.map((client) => client.end()));
  const { rows } = await admin.query<{ entries: number; lines: number; sum: number; unequal: number }>(`
    SELECT (SELECT count(*) FROM baseline.entries) AS entries, (SELECT count(*) FROM baseline.lines) AS lines,
           (SELECT sum(balance) FROM baseline.accounts)::float8 AS sum,
           (SELECT count(*) FROM baseline.accounts a
             WHERE a.balance <> coalesce((SELECT sum(l.amount) FROM baseline.lines l WHERE l.account_id = a.id), 0)) AS unequal`);
  const { entries, lines, sum, unequal } = rows[0] ?? { entries: 0, lines: 0, sum: 0, unequal: 0 };
  if (entries !== acknowledged || lines !== 2 * acknowledged || sum !== 0 || unequal !== 0)
    throw new Error(`baseline: ${acknowledged} acknowledged, ${entries} entries, ${lines} lines, sum ${sum}, ${unequal} balances wrong`);
  await admin.query('DROP SCHEMA baseline CASCADE');
  return { entriesPerSecond, p50Ms: percentile(latencies, 0.5), p99Ms: percentile(latencies, 0.99) };
}

async function post(client: Client, debit: number, credit: number, minor: number, key: string): Promise<void> {
  await client.query('BEGIN');
  const locked = await client.query<{ id: number; balance: string }>({
    name: 'lock',
    text: 'SELECT id, balance FROM baseline.accounts WHERE id IN ($1, $2) ORDER BY id FOR UPDATE',
    values: [debit, credit],
  });
  const balances = new Map(locked.rows.map(({ id, balance }) => [id, Math.round(Number(balance) * 100)]));
  const afterDebit = (balances.get(debit) ?? 0) + minor;
  const afterCredit = (balances.get(credit) ?? 0) - minor;
  // Where a limit would be looked at.
  if (!Number.isSafeInteger(afterDebit) || !Number.isSafeInteger(afterCredit)) throw new Error('balance out of range');
  const entry = await client.query<{ id: number }>({
    name: 'entry',
    text: 'INSERT INTO baseline.entries (key, effective_date, description) VALUES ($1, $2, $3) RETURNING id',
    values: [key, '2026-01-15', 'Invoice 2026-000123 paid by bank transfer'],
  });
  await client.query({
    name: 'lines',
    text: 'INSERT INTO baseline.lines (entry_id, line, account_id, amount, balance_after) VALUES ($1, 1, $2, $4, $5), ($1, 2, $3, -$4::numeric, $6)',
    values: [entry.rows[0]?.id, debit, credit, decimal(minor), decimal(afterDebit), decimal(afterCredit)],
  });
  const update = { name: 'balance', text: 'UPDATE baseline.accounts SET balance = $2, version = version + 1 WHERE id = $1' };
  await client.query({ ...update, values: [debit, decimal(afterDebit)] });
  await client.query({ ...update, values: [credit, decimal(afterCredit)] });
  await client.query('COMMIT');
}

const decimal = (minor: number): string => (minor / 100).toFixed(2);
