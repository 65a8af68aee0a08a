/** BookMemory: the room that account states take, and what is left of a load that failed. */
import { type AccountState, accountReducer, Decision } from '#domain';
import type { EventStore } from '#event-store';
import { BatchChanges, BookMemory, StateBudget } from './book-memory';

const idOf = (code: string): string => `00000000-0000-7000-8000-${code.padStart(12, '0')}`;

/** A store in which every code of digits leads to an account that nobody has posted to yet. */
function storeOf(more: Partial<EventStore> = {}): EventStore {
  const opened = { name: '', type: 'asset', normalSide: 'debit', postable: true } as const;
  const headOf = (code: string) => {
    const state = accountReducer.evolve(undefined, { type: 'AccountOpened', data: { ...opened, code } }, idOf(code));
    return { version: 1, state: accountReducer.toSnapshot(state) };
  };
  return {
    headsByName: async (_book: string, _category: string, codes: readonly string[]) =>
      new Map(codes.map((code) => [code, { streamId: idOf(code), head: headOf(code) }])),
    heads: async (_book: string, ids: readonly string[]) => new Map(ids.map((id) => [id, headOf(`${Number(id.slice(-12))}`)])),
    ...more,
  } as Partial<EventStore> as EventStore;
}

/** Debits an account in three currencies, as a batch that is acknowledged. */
function post(memory: BookMemory, id: string): void {
  const decision = new Decision(memory, { userId: 'u', isController: false });
  for (const currency of ['EUR', 'USD', 'JPY']) {
    const data = {
      entryId: id,
      entryPosition: 1,
      line: 1,
      effectiveDate: '2026-01-01',
      amount: '1',
      currency,
      totalDebit: '1',
      totalCredit: '0',
    };
    decision.recordAccount(id, { type: 'AccountDebited', data });
  }
  const changes = new BatchChanges(memory.head);
  memory.apply(decision, changes);
  memory.acknowledge(changes);
}

describe('memory of account states (DESIGN section 5, rule 7)', () => {
  test('accounts that grow while they are here do not make room that does not exist', async () => {
    const memory = new BookMemory('bounded', storeOf(), new StateBudget(20_000));
    const codes = Array.from({ length: 500 }, (_, index) => `${index}`);
    for (const code of codes) {
      const letGo = await memory.load([{ codes: [code], entries: [] }]);
      post(memory, idOf(code));
      letGo();
    }
    const held = codes.map((code) => memory.account(idOf(code))).filter((account): account is AccountState => account !== undefined);
    expect(held.length).toBeGreaterThan(10);
    expect(held.length).toBeLessThan(40);
  });

  test('a load that fails pins nothing: the entry that it had read is read anew by the next one', async () => {
    let reads = 0;
    const store = storeOf({
      load: (async () => ({ state: { posted: { lines: [] }, version: ++reads }, version: reads })) as never,
      headsByName: async () => {
        if (reads === 1) throw new Error('Connection terminated');
        return new Map();
      },
    });
    const memory = new BookMemory('failing', store, new StateBudget(20_000));
    const needs = [{ codes: ['1'], entries: [idOf('7')] }];
    await expect(memory.load(needs)).rejects.toThrow('Connection terminated');
    const letGo = await memory.load(needs);
    expect(memory.entry(idOf('7'))).toMatchObject({ version: 2 });
    letGo();
    expect(memory.entry(idOf('7'))).toBeUndefined();
  });

  test('an account whose new code was taken back does not take the code along from the one that has it now', async () => {
    const memory = new BookMemory('recoded', storeOf(), new StateBudget(20_000));
    const letGo = await memory.load([{ codes: ['1', '2'], entries: [] }]);
    const recode = (code: string): BatchChanges => {
      const decision = new Decision(memory, { userId: 'u', isController: false });
      decision.recordAccount(idOf(code), { type: 'AccountCodeChanged', data: { code: 'new' } });
      const changes = new BatchChanges(memory.head);
      memory.apply(decision, changes);
      return changes;
    };
    memory.rollBack(recode('1'));
    expect(memory.accountIdByCode('new')).toBeUndefined();
    recode('2'); // under way: it cannot be looked up in the database yet
    letGo();
    memory.shrink(1);
    expect(memory.account(idOf('1'))).toBeUndefined();
    expect(memory.accountIdByCode('new')).toBe(idOf('2'));
  });
});
