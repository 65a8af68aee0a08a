/**
 * What the audit trail of ordinary tables costs: the same statements on an audited table and on one that is not, in turns, in one
 * session. Statements about one row as applications send them, each an SQL transaction of its own, and statements about many.
 */
import type { Client } from 'pg';
import type { BenchServer } from './server';
import { median } from './statistics';
import { booksDatabase, type Figures } from './write-path';

const bulkRows = 100_000;
const singles = 1_000;
const rounds = 5;

/** Microseconds per row. */
export async function runAuditTrail(server: BenchServer): Promise<[string, Figures][]> {
  const database = await booksDatabase(server);
  const { admin } = database;
  try {
    for (const table of ['plain', 'audited']) {
      await admin.query(
        `CREATE TABLE public.${table} (id bigint PRIMARY KEY, name text NOT NULL, price numeric(12, 2) NOT NULL, stock integer NOT NULL, changed_at timestamptz NOT NULL)`,
      );
    }
    await admin.query("SELECT audit.attach('public.audited')");
    const found = new Map<string, number[]>();
    for (let round = 0; round < rounds; round++) {
      for (const table of round % 2 === 0 ? ['plain', 'audited'] : ['audited', 'plain']) {
        for (const [step, micros] of await steps(admin, `public.${table}`)) {
          const name = `${table} ${step}`;
          found.set(name, [...(found.get(name) ?? []), micros]);
        }
      }
    }
    const of = (name: string): number => median(found.get(name) ?? []);
    return ['bulk-insert', 'bulk-update', 'bulk-delete', 'single-insert', 'single-update'].map((step): [string, Figures] => {
      const [plain, audited] = [of(`plain ${step}`), of(`audited ${step}`)];
      return [`audit-trail-${step}`, { plainMicrosPerRow: plain, auditedMicrosPerRow: audited, overPlain: audited / plain }];
    });
  } finally {
    await database.drop();
  }
}

async function steps(admin: Client, table: string): Promise<[string, number][]> {
  const single = async (text: string, offset: number): Promise<void> => {
    for (let id = 1; id <= singles; id++) await admin.query({ name: text, text, values: [offset + id] });
  };
  const todo: [string, number, () => Promise<unknown>][] = [
    [
      'bulk-insert',
      bulkRows,
      () => admin.query(`INSERT INTO ${table} SELECT g, 'name ' || g, g, g % 100, now() FROM generate_series(1, ${bulkRows}) AS g`),
    ],
    ['bulk-update', bulkRows, () => admin.query(`UPDATE ${table} SET price = price + 1, changed_at = now()`)],
    ['single-insert', singles, () => single(`INSERT INTO ${table} VALUES ($1, 'one', 1, 1, now())`, bulkRows)],
    ['single-update', singles, () => single(`UPDATE ${table} SET stock = stock + 1 WHERE id = $1`, 0)],
    ['bulk-delete', bulkRows + singles, () => admin.query(`DELETE FROM ${table}`)],
  ];
  const found: [string, number][] = [];
  for (const [step, rows, work] of todo) {
    const started = performance.now();
    await work();
    found.push([step, ((performance.now() - started) * 1_000) / rows]);
  }
  return found;
}
