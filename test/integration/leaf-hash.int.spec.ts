/**
 * Anyone can compute the leaf hashes again from what the database returns (DESIGN section 4). 100,000 random envelopes are
 * written by the event store and hashed here a second time, by an implementation that shares nothing with ours: plain SQL
 * texts, JSON.parse, the canonicalize package, SHA-256.
 */
import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import { Client } from 'pg';
import { canonicalJson, type NewEvent } from '#event-store';
import { newId, note, receiptOf, type TestLog, testLog } from '../support/test-log';

const seed = Number(process.env.SEED ?? Date.now() % 1_000_000_007);
/** Mulberry32: small, and the same everywhere. */
let state = seed;
function random(): number {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
}
const below = (limit: number): number => Math.floor(random() * limit);
const oneOf = <T>(values: readonly T[]): T => values[below(values.length)] as T;

const alphabets = [
  [...'abcXYZ 0123456789-_:/'],
  [...'"\\\b\f\n\r\t\u0001\u001f\u007f\u0080\u2028\u2029'],
  [...'äöüßéñ€漢字кириллицаعربي'],
  ['😀', '𝄞', '🏳️‍🌈', '\u{10FFFF}', '\uFFFF', '\uFB33', 'e\u0301'],
];
function text(): string {
  const alphabet = oneOf(alphabets);
  let made = '';
  for (let length = below(10); length > 0; length--) made += oneOf(alphabet);
  return made;
}
const key = (): string => oneOf([text, () => String(below(30)), () => oneOf(['constructor', '__proto__', 'toJSON', '', 'a', 'Z', 'ab'])])();
const numbers = [0, -0, 1, -1, 2 ** 53 - 1, 1e21, 1e-7, 5e-324, 1.7976931348623157e308, 0.1, 333333333.3333333, 1e300];

function json(depth: number): unknown {
  const kind = below(depth > 0 ? 9 : 6);
  if (kind <= 2) return text();
  if (kind === 3) return oneOf([below(1_000_000), -below(1_000), oneOf(numbers), random() * 1e6]);
  if (kind === 4) return random() < 0.5;
  if (kind === 5) return null;
  if (kind === 6) return Array.from({ length: below(4) }, () => json(depth - 1));
  return object(depth - 1);
}
function object(depth: number): object {
  const members = Array.from({ length: below(5) }, () => [key(), json(depth)] as const);
  // By way of text, so that __proto__ is a member like any other.
  return JSON.parse(`{${members.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`) as object;
}

let log: TestLog;
beforeAll(async () => {
  log = await testLog();
});
afterAll(() => log.close());

it(`the leaf hash of 100,000 random events is found again from the database alone (seed ${seed})`, async () => {
  console.log(`seed ${seed}`);
  const books = ['a', 'b-2', 'z'.repeat(40)];
  const perBatch = 2_500;
  for (let batch = 0; batch < 40; batch++) {
    const versions = new Map<string, number>();
    const streams = Array.from({ length: 300 }, newId);
    const events = Array.from({ length: perBatch }, (): NewEvent => {
      const stream = oneOf(streams);
      const version = (versions.get(stream) ?? 0) + 1;
      versions.set(stream, version);
      const { userId: _none, ...metadata } = object(2) as { userId?: unknown };
      const userId = random() < 0.7 ? oneOf([newId(), text()]) : undefined;
      return note(stream, version, object(3), {
        eventType: oneOf(['Noted', 'Struck', 'Renamed']),
        metadata: canonicalJson(metadata),
        userId,
      });
    });
    await log.appended(oneOf(books), { events, receipts: [receiptOf(`batch ${batch}`)] });
  }

  const plain = new Client({ connectionString: log.database.appUrl });
  await plain.connect();
  let checked = 0;
  const wrong: unknown[] = [];
  try {
    for (const book of books) {
      for (let after = 0; ; ) {
        const { rows } = await plain.query<Record<string, string>>(
          `SELECT e.position::text AS place, stream_id::text AS stream, version::text, event_type AS type, event_version::text AS type_version, event_id::text AS id,
                  to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at, data::text, metadata::text, encode(leaf_hash, 'hex') AS hash
             FROM log.events e WHERE e.book_id = $1 AND e.position > $2 ORDER BY e.position LIMIT 5000`,
          [book, after],
        );
        if (rows.length === 0) break;
        for (const row of rows) {
          const { userId, ...metadata } = JSON.parse(row.metadata as string) as Record<string, unknown>;
          const envelope: Record<string, unknown> = {
            eventId: row.id,
            eventType: row.type,
            eventVersion: Number(row.type_version),
            bookId: book,
            aggregateType: 'Note',
            aggregateId: row.stream,
            version: Number(row.version),
            position: Number(row.place),
            recordedAt: row.at,
            data: JSON.parse(row.data as string) as unknown,
            metadata,
          };
          if (userId !== undefined) envelope.userId = userId;
          const hash = createHash('sha256')
            .update(Buffer.concat([Buffer.from([0]), Buffer.from(String(canonicalize(envelope)), 'utf8')]))
            .digest('hex');
          if (hash !== row.hash) wrong.push(row);
          checked++;
        }
        after = Number(rows.at(-1)?.place);
      }
    }
  } finally {
    await plain.end();
  }
  expect(wrong.slice(0, 3)).toEqual([]);
  expect(checked).toBe(100_000);
}, 120_000);
