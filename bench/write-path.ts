/**
 * The write path in-process: callers in a closed loop, each with one entry of two lines under way, against a real server.
 * After every case positions, events, receipts and totals are counted, so that a broken variant cannot look fast.
 */
import { existsSync, readFileSync } from 'node:fs';
import type { Client } from 'pg';
import type { PostEntry } from '#domain';
import type { CommandContext, Ledger } from '#ledger';
import { percentile } from './floors';

export type Workload = 'uniform' | 'hot';

export interface Case {
  readonly workload: Workload;
  readonly callers: number;
  readonly seconds: number;
}

export interface Figures extends Case {
  readonly entriesPerSecond: number;
  readonly eventsPerSecond: number;
  readonly p50: number;
  readonly p99: number;
  /** Processor time of this process per entry, microseconds. */
  readonly nodeMicros: number;
  /** Processor time of the appending backends per entry, microseconds; NaN where the server is on another machine. */
  readonly serverMicros: number;
  readonly walBytesPerEntry: number;
  readonly bookId: string;
  readonly events: number;
}

export const accountsUniform = 10_000;

/** Seeded, so that every run posts the same entries. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 4_294_967_296;
  };
}

const context = (key: string): CommandContext => ({ key, userId: '01930000-0000-7000-8000-000000000001', source: 'job' });

/** Opens a book with its accounts through the ledger itself, a thousand commands at a time. */
export async function prepareBook(ledger: Ledger, bookId: string, accounts: number): Promise<void> {
  await ledger.execute(
    bookId,
    { type: 'OpenBook', id: bookId, name: 'Bench', baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2026-01-01' },
    context(`open ${bookId}`),
  );
  for (let from = 0; from < accounts; from += 1_000) {
    const codes = Array.from({ length: Math.min(1_000, accounts - from) }, (_, index) => codeOf(from + index));
    const opened = await Promise.all(
      codes.map((code) =>
        ledger.execute(bookId, { type: 'OpenAccount', code, name: code, accountType: 'asset' }, context(`account ${code}`)),
      ),
    );
    const refused = opened.find(({ status }) => status !== 201);
    if (refused !== undefined) throw new Error(refused.body);
  }
}

const codeOf = (index: number): string => `Assets:${String(index).padStart(7, '0')}`;

/** Runs one case in a book of its own, which must be prepared; measures after a second of warming up. */
export async function runCase(ledger: Ledger, admin: Client, bookId: string, wanted: Case): Promise<Figures> {
  const random = generator(42);
  const pick = (): [number, number] => {
    if (wanted.workload === 'hot') return random() < 0.5 ? [0, 1] : [1, 0];
    const from = Math.floor(random() * accountsUniform);
    const to = Math.floor(random() * (accountsUniform - 1));
    return [from, to >= from ? to + 1 : to];
  };
  const before = await counts(admin, bookId);
  let posted = 0;
  let measured = 0;
  let measuring = false;
  let stopped = false;
  const latencies: number[] = [];
  const caller = async (): Promise<void> => {
    while (!stopped) {
      const [debit, credit] = pick();
      const amount = `${1 + Math.floor(random() * 99_999)}.${String(Math.floor(random() * 100)).padStart(2, '0')}`;
      const command: PostEntry = {
        type: 'PostEntry',
        effectiveDate: '2026-01-15',
        description: 'Invoice 2026-000123 paid by bank transfer',
        lines: [
          { account: codeOf(debit), side: 'debit', amount, currency: 'EUR' },
          { account: codeOf(credit), side: 'credit', amount, currency: 'EUR' },
        ],
      };
      const start = performance.now();
      const answer = await ledger.execute(bookId, command, context(`order-${++posted}-${wanted.callers}-${wanted.workload}`));
      if (answer.status !== 201) throw new Error(answer.body);
      if (measuring) {
        measured++;
        latencies.push(performance.now() - start);
      }
    }
  };
  const callers = Array.from({ length: wanted.callers }, caller);
  await sleep(1_000);
  const wal = await walPosition(admin);
  const backends = await appendingBackends(admin);
  const serverBefore = serverCpuMicros(backends);
  const cpu = process.cpuUsage();
  const start = performance.now();
  measuring = true;
  await sleep(wanted.seconds * 1_000);
  measuring = false;
  const seconds = (performance.now() - start) / 1_000;
  const used = process.cpuUsage(cpu);
  const serverUsed = serverCpuMicros(backends) - serverBefore;
  const walBytes = (await walPosition(admin)) - wal;
  stopped = true;
  await Promise.all(callers);
  const after = await counts(admin, bookId);
  const entries = after.receipts - before.receipts;
  if (entries !== posted) throw new Error(`${posted} entries were acknowledged, ${entries} receipts are there`);
  if (after.events - before.events < 3 * posted || after.events !== after.position)
    throw new Error(`events ${after.events}, position ${after.position}`);
  if (after.debit !== after.credit) throw new Error(`debits ${after.debit}, credits ${after.credit}`);
  return {
    ...wanted,
    bookId,
    entriesPerSecond: measured / seconds,
    eventsPerSecond: (3 * measured) / seconds,
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    nodeMicros: (used.user + used.system) / measured,
    serverMicros: serverUsed / measured,
    walBytesPerEntry: walBytes / measured,
    events: after.events,
  };
}

async function counts(
  admin: Client,
  bookId: string,
): Promise<{ events: number; receipts: number; position: number; debit: string; credit: string }> {
  const answer = await admin.query(
    `SELECT (SELECT count(*) FROM log.events WHERE book_id = $1) AS events,
            (SELECT count(*) FROM log.receipts WHERE book_id = $1) AS receipts,
            (SELECT position FROM log.book_heads WHERE book_id = $1) AS position,
            (SELECT coalesce(sum((t ->> 1)::numeric), 0)::text FROM log.heads h, jsonb_array_elements(h.state -> 'totals') t WHERE h.book_id = $1) AS debit,
            (SELECT coalesce(sum((t ->> 2)::numeric), 0)::text FROM log.heads h, jsonb_array_elements(h.state -> 'totals') t WHERE h.book_id = $1) AS credit`,
    [bookId],
  );
  return answer.rows[0];
}

async function appendingBackends(admin: Client): Promise<number[]> {
  const answer = await admin.query<{ pid: number }>(
    "SELECT pid FROM pg_stat_activity WHERE query LIKE '%log.append%' AND pid <> pg_backend_pid()",
  );
  return answer.rows.map(({ pid }) => pid);
}

/** User and system time of processes on this machine (proc(5), fields 14 and 15, in hundredths of a second). */
function serverCpuMicros(pids: readonly number[]): number {
  let micros = 0;
  for (const pid of pids) {
    if (!existsSync(`/proc/${pid}/stat`)) return Number.NaN;
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    micros += (Number(fields[11]) + Number(fields[12])) * 10_000;
  }
  return micros;
}

async function walPosition(admin: Client): Promise<number> {
  const answer = await admin.query<{ bytes: string }>("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::text AS bytes");
  return Number(answer.rows[0]?.bytes);
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
