/** A log for specs of the event store: events that mean nothing, appended with as few words as possible. */
import { randomBytes, randomUUID } from 'node:crypto';
import type { Client, Pool } from 'pg';
import {
  type AppendOutcome,
  type AppendRequest,
  type EventCatalogue,
  EventStore,
  emptyHead,
  type Head,
  type NewEvent,
  uuidV7,
} from '#event-store';
import { connect, openPool } from '#postgres';
import { type TestDatabase, testDatabase } from './database';

/** Three event types; the last was changed twice since it was born. */
export const notes: EventCatalogue = {
  Noted: { aggregateType: 'Note', version: 1 },
  Struck: { aggregateType: 'Note', version: 1 },
  Renamed: {
    aggregateType: 'Note',
    version: 3,
    upcasters: [({ name, ...rest }) => ({ ...rest, names: [name] }), (data) => ({ ...data, count: (data.names as unknown[]).length })],
  },
};

export interface TestLog {
  readonly database: TestDatabase;
  readonly store: EventStore;
  readonly pool: Pool;
  /** As the service's login, pipelining as its writer does. */
  readonly client: Client;
  /** As superuser, for looking behind the store. */
  readonly admin: Client;
  /** Appends as the service does: recorded now, on the newest head where none is given. */
  append(bookId: string, request: Partial<AppendRequest>): Promise<AppendOutcome>;
  /** Appends that must succeed. */
  appended(bookId: string, request: Partial<AppendRequest>): Promise<Head>;
  close(): Promise<void>;
}

export async function testLog(catalogue: EventCatalogue = notes): Promise<TestLog> {
  const database = await testDatabase();
  const pool = openPool(database.appUrl, { max: 6 });
  const store = new EventStore(pool, catalogue);
  const client = await connect(database.appUrl, { pipeline: true });
  const admin = await connect(database.adminUrl);
  const append = async (bookId: string, request: Partial<AppendRequest>) => {
    const head = request.head ?? (await store.head(bookId));
    return store.append(client, requestOf(bookId, head, request));
  };
  return {
    ...{ database, store, pool, client, admin, append },
    async appended(bookId, request) {
      const outcome = await append(bookId, request);
      if (outcome.kind !== 'appended') throw new Error(`expected to append, was told ${JSON.stringify(outcome)}`);
      return outcome.head;
    },
    async close() {
      await Promise.all([pool.end(), client.end(), admin.end()]);
      await database.drop();
    },
  };
}

/** A request with what specs leave out: streams as their first events ask for them, the clock, a new tail. */
export function requestOf(bookId: string, head: Head, request: Partial<AppendRequest>): AppendRequest {
  const { events = [] } = request;
  const first = new Map<string, number>();
  for (const { streamId, version } of events) if (!first.has(streamId)) first.set(streamId, version);
  return {
    bookId,
    head,
    newTail: randomUUID(),
    recordedAt: Math.max(Date.now() * 1_000, head.recordedAt + 1),
    events,
    streams: [...first].map(([streamId, version]) => ({ streamId, expected: version === 1 ? 'new' : version - 1 })),
    ...request,
  };
}

export function note(
  streamId: string,
  version: number,
  data: object = { text: `note ${version}` },
  more: Partial<NewEvent> = {},
): NewEvent {
  return { streamId, version, eventType: 'Noted', eventId: uuidV7(), data, metadata: '{}', ...more };
}

/** Events `from` … `to` of a stream. */
export const noted = (streamId: string, from: number, to: number): NewEvent[] =>
  Array.from({ length: to - from + 1 }, (_, index) => note(streamId, from + index));

export const receiptOf = (key: string, more: object = {}) => ({
  ...{ key, item: 0, command: 'Note', fingerprint: randomBytes(32).toString('hex'), status: 201, answer: `{"key":${JSON.stringify(key)}}` },
  ...more,
});

export const newId = uuidV7;
export const origin = emptyHead;
