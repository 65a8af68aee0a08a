/**
 * A book with very many accounts, faster than by commands: the accounts are appended as the write path would append them
 * (event, head and reserved code, in one append per batch), without a receipt each. The cases then post to them by commands.
 */
import { randomUUID } from 'node:crypto';
import { type AccountEvent, type AccountOpened, accountReducer } from '#domain';
import { EventStore, type NewEvent, uuidV7 } from '#event-store';
import { accountCodes, catalogue } from '#ledger';
import { connect, openPool } from '#postgres';
import { codeOf, limits, Writer } from './writer';

const perAppend = 5_000;

/** Opens a book and fills it up to so many accounts of type asset. */
export async function fillAccounts(url: string, bookId: string, accounts: number): Promise<void> {
  const writer = new Writer({ url });
  await writer.openBook(bookId, 2);
  await writer.close();
  const pool = openPool(url, { max: 2 });
  const client = await connect(url, { pipeline: true });
  const store = new EventStore(pool, catalogue);
  let head = await store.head(bookId);
  for (let from = 2; from < accounts; from += perAppend) {
    const opened = Array.from({ length: Math.min(perAppend, accounts - from) }, (_, index) => {
      const streamId = uuidV7();
      const code = codeOf(from + index);
      const data: AccountOpened = { code, name: code, type: 'asset', normalSide: 'debit', postable: true, limits };
      return { streamId, code, data, state: accountReducer.evolve(undefined, { type: 'AccountOpened', data } as AccountEvent, streamId) };
    });
    const events = opened.map(({ streamId, data }): NewEvent => {
      return { streamId, version: 1, eventType: 'AccountOpened', eventId: uuidV7(), data, metadata: '{"release":"bench","source":"job"}' };
    });
    const outcome = await store.append(client, {
      bookId,
      head,
      newTail: randomUUID(),
      recordedAt: Math.max(Date.now() * 1_000, head.recordedAt + 1),
      events,
      streams: opened.map(({ streamId, state }) => ({
        streamId,
        expected: 'new',
        head: { kind: 'every', version: 1, reducerVersion: accountReducer.version, state: accountReducer.toSnapshot(state) },
      })),
      names: opened.map(({ streamId, code }) => ({ category: accountCodes, name: code, streamId })),
    });
    if (outcome.kind !== 'appended') throw new Error(`filling ${bookId}: ${outcome.kind}`);
    head = outcome.head;
  }
  await client.end();
  await pool.end();
}
