/** The chart of accounts: opening, the tree, changes of an account, its limits, and its folded state. */
import * as fc from 'fast-check';
import {
  aBook,
  account,
  credit,
  debit,
  type GivenEvent,
  given,
  history,
  NaiveBook,
  onAccount,
  onBook,
  post,
} from '../../../test/support/given-when-then';
import {
  type AccountEvent,
  type AccountLimit,
  type AccountState,
  accountReducer,
  accountTypes,
  balanceOf,
  type ChangeAccount,
  normalSideOf,
  type OpenAccount,
  totalIn,
} from './account';
import { fromMinor } from './money';

const open = (more: Partial<OpenAccount> = {}): OpenAccount => ({
  type: 'OpenAccount',
  code: '1000',
  name: 'Cash',
  accountType: 'asset',
  ...more,
});
const change = (type: 'FreezeAccount' | 'UnfreezeAccount' | 'CloseAccount', code = 'CASH'): ChangeAccount => ({ type, account: code });
const recode = (code: string, from = 'CASH'): ChangeAccount => ({ type: 'ChangeAccountCode', account: from, code });
const book = [aBook(), account('CASH'), account('BANK')];

describe('opening an account', () => {
  it('records what was given, with its defaults', () => {
    given(aBook())
      .when(open(), { id: 'a1' })
      .thenEvents({
        streamId: 'a1',
        type: 'AccountOpened',
        data: { code: '1000', name: 'Cash', type: 'asset', normalSide: 'debit', postable: true },
      });
  });

  it('keeps every optional member', () => {
    const optional = {
      subtype: 'cash',
      currencies: ['EUR', 'JPY'],
      subledger: 'receivables',
      limits: [{ currency: 'EUR', min: '-100.00', max: '5000.00' }],
      cashFlow: 'operating',
      mappings: [{ scheme: 'SKR04', code: '1800', category: 'B.IV' }],
      metadata: { a: [1, 'x', { b: true }] },
    };
    const [event] = given(aBook(), account('1', { postable: false }))
      .when(open({ ...optional, parent: '1', postable: false, reason: 'why' }))
      .thenAccepted();
    expect(event?.data).toEqual({
      code: '1000',
      name: 'Cash',
      type: 'asset',
      normalSide: 'debit',
      postable: false,
      parentId: '1',
      ...optional,
    });
  });

  it.each([
    ['asset', 'debit'],
    ['expense', 'debit'],
    ['memorandum', 'debit'],
    ['liability', 'credit'],
    ['equity', 'credit'],
    ['income', 'credit'],
  ] as const)('of type %s gives it the normal side %s, and the other one when it is a contra account', (accountType, side) => {
    const sideOf = (contra?: boolean) => given(aBook()).when(open({ accountType, contra })).thenAccepted()[0]?.data;
    expect(sideOf()).toMatchObject({ type: accountType, normalSide: side });
    expect(sideOf(false)).toMatchObject({ normalSide: side });
    expect(sideOf(true)).toMatchObject({ normalSide: side === 'debit' ? 'credit' : 'debit' });
    expect(normalSideOf(accountType)).toBe(side);
    expect(accountTypes).toContain(accountType);
  });

  it('is refused when the code is in use, or was', () => {
    given(...book)
      .when(open({ code: 'CASH' }))
      .thenRefused('account_exists', { account: 'CASH' });
    given(history(book.flat(), recode('TILL')))
      .when(open({ code: 'CASH' }))
      .thenRefused('account_exists', { account: 'CASH' });
    given(...book, onAccount('cash', 'AccountClosed'))
      .when(open({ code: 'CASH' }))
      .thenRefused('account_exists');
  });

  it('tells codes apart by case', () => {
    given(...book)
      .when(open({ code: 'Cash' }))
      .thenAccepted();
  });

  it('under a parent needs one of the same type', () => {
    for (const parentType of accountTypes) {
      for (const accountType of accountTypes) {
        const outcome = given(aBook(), account('1', { type: parentType })).when(open({ parent: '1', accountType }));
        if (parentType === accountType) expect(outcome.thenAccepted()[0]?.data).toMatchObject({ parentId: '1' });
        else outcome.thenRefused('parent_invalid', { parent: '1' });
      }
    }
    given(aBook())
      .when(open({ parent: '1' }))
      .thenRefused('parent_invalid', { parent: '1' });
    given(aBook())
      .when(open({ parent: '1000' }))
      .thenRefused('parent_invalid', { parent: '1000' });
  });

  it('finds the parent by an old code too', () => {
    const [opened] = given(history(book.flat(), recode('TILL')))
      .when(open({ parent: 'CASH' }))
      .thenAccepted();
    expect(opened?.data).toMatchObject({ parentId: 'cash' });
  });

  it('keeps limits with the decimals of their currency, however they were written', () => {
    const limits = [
      { currency: 'EUR', min: '-1000.5', max: '2000' },
      { currency: 'JPY', max: '5.0' },
      { currency: 'BHD', min: '-0.5' },
    ];
    const [event] = given(aBook()).when(open({ limits })).thenAccepted();
    expect(event?.data).toMatchObject({
      limits: [
        { currency: 'EUR', min: '-1000.50', max: '2000.00' },
        { currency: 'JPY', max: '5' },
        { currency: 'BHD', min: '-0.500' },
      ],
    });
  });

  it.each<[string, Partial<OpenAccount>, string]>([
    ['no currency at all', { currencies: [] }, 'currencies'],
    ['a currency twice', { currencies: ['EUR', 'USD', 'EUR'] }, 'currencies.2'],
    ['a limit that limits nothing', { limits: [{ currency: 'EUR' }] }, 'limits.0'],
    ['a minimum above the maximum', { limits: [{ currency: 'EUR', min: '10', max: '9.99' }] }, 'limits.0.min'],
    ['a negative minimum above the maximum', { limits: [{ currency: 'EUR', min: '-1', max: '-1.01' }] }, 'limits.0.min'],
    [
      'two limits of a currency',
      {
        limits: [
          { currency: 'EUR', min: '0' },
          { currency: 'EUR', max: '9' },
        ],
      },
      'limits.1.currency',
    ],
    ['a limit of a currency that it does not take', { currencies: ['USD'], limits: [{ currency: 'EUR', min: '0' }] }, 'limits.0.currency'],
  ])('refuses %s', (_what, restrictions, member) => {
    given(aBook()).when(open(restrictions)).thenRefused('malformed', { member });
  });

  it('takes a limit of one single balance', () => {
    given(aBook())
      .when(open({ limits: [{ currency: 'EUR', min: '0', max: '0.00' }] }))
      .thenAccepted();
  });

  it('is refused below a closed parent; closing a parent leaves its children as they are', () => {
    const tree = history([...aBook(), account('P', { postable: false }), account('C', { parentId: 'p' })], {
      type: 'CloseAccount',
      account: 'P',
    });
    given(...tree)
      .when(open({ parent: 'P' }))
      .thenRefused('parent_invalid', { parent: 'P' });
    given(...tree)
      .when({ type: 'RenameAccount', account: 'C', name: 'still open' })
      .thenAccepted();
  });

  it('names only currencies that the book knows, and limits as fine as these', () => {
    given(aBook())
      .when(open({ currencies: ['EUR', 'BTC'] }))
      .thenRefused('currency_unknown', { currency: 'BTC' });
    given(aBook())
      .when(open({ limits: [{ currency: 'BTC', min: '0' }] }))
      .thenRefused('currency_unknown', { currency: 'BTC' });
    const declared = [aBook(), onBook('CurrencyEnabled', { code: 'BTC', scale: 8 })];
    given(...declared)
      .when(open({ currencies: ['BTC'], limits: [{ currency: 'BTC', min: '-0.00000001' }] }))
      .thenAccepted();
    given(...declared)
      .when(open({ limits: [{ currency: 'BTC', max: '0.000000001' }] }))
      .thenRefused('scale_exceeded', { currency: 'BTC', scale: 8 });
    given(aBook())
      .when(open({ limits: [{ currency: 'JPY', min: '-0.5' }] }))
      .thenRefused('scale_exceeded', { currency: 'JPY', scale: 0 });
  });

  it('is refused in a book that does not exist', () => {
    given().when(open()).thenRefused('book_unknown', { book: 'acme' });
  });
});

describe('changing an account', () => {
  it('records the change and nothing else', () => {
    given(...book)
      .when({ type: 'RenameAccount', account: 'CASH', name: 'Petty cash' })
      .thenEvents(onAccount('cash', 'AccountRenamed', { name: 'Petty cash' }));
    given(...book)
      .when(recode('TILL'))
      .thenEvents(onAccount('cash', 'AccountCodeChanged', { code: 'TILL' }));
    given(...book)
      .when(change('FreezeAccount'))
      .thenEvents(onAccount('cash', 'AccountFrozen'));
    given(...book, onAccount('cash', 'AccountFrozen'))
      .when(change('UnfreezeAccount'))
      .thenEvents(onAccount('cash', 'AccountUnfrozen'));
    given(...book)
      .when(change('CloseAccount'))
      .thenEvents(onAccount('cash', 'AccountClosed'));
    given(...book, onAccount('cash', 'AccountFrozen'))
      .when(change('CloseAccount'))
      .thenEvents(onAccount('cash', 'AccountClosed'));
  });

  it('of an unknown one is "not found", because the code stands in the path', () => {
    for (const command of [change('CloseAccount', 'X'), recode('Y', 'X'), { type: 'RenameAccount', account: 'X', name: 'x' } as const])
      expect(
        given(...book)
          .when(command)
          .thenRefused('account_unknown', { account: 'X' }).kind,
      ).toBe('not_found');
  });

  it('is refused when it would change nothing', () => {
    given(...book, onAccount('cash', 'AccountFrozen'))
      .when(change('FreezeAccount'))
      .thenRefused('account_frozen', { account: 'CASH' });
    given(...book)
      .when(change('UnfreezeAccount'))
      .thenRefused('account_not_frozen', { account: 'CASH' });
    given(...book)
      .when(recode('CASH'))
      .thenRefused('account_exists', { account: 'CASH' });
  });

  it('is refused for ever once it is closed', () => {
    const closed = [...book, onAccount('cash', 'AccountClosed')];
    const name = 'x';
    for (const command of [
      change('FreezeAccount'),
      change('CloseAccount'),
      recode('TILL'),
      { type: 'RenameAccount', account: 'CASH', name } as const,
    ])
      given(...closed)
        .when(command)
        .thenRefused('account_closed', { account: 'CASH' });
  });

  it('cannot close one with a balance in any currency', () => {
    const lines = [debit('CASH', '1'), credit('BANK', '1'), debit('CASH', '5', 'JPY'), credit('BANK', '5', 'JPY')];
    const back = [credit('CASH', '1'), debit('BANK', '1')];
    const posted = history(book.flat(), [post(lines), { id: 'e1' }], [post(back), { id: 'e2' }]);
    const refusal = given(posted).when(change('CloseAccount')).thenRefused('account_not_empty', { account: 'CASH' });
    expect(refusal.message).toContain('5 JPY');
    const emptied = history(posted, [post([credit('CASH', '5', 'JPY'), debit('BANK', '5', 'JPY')]), { id: 'e3' }]);
    given(emptied).when(change('CloseAccount')).thenAccepted();
  });
});

describe('the code of an account', () => {
  const recoded = history(book.flat(), recode('TILL'), recode('PETTY', 'TILL'));

  it('may change; the old ones lead to it for ever, in commands of every kind', () => {
    for (const code of ['CASH', 'TILL', 'PETTY']) {
      given(recoded).when(change('FreezeAccount', code)).thenEvents(onAccount('cash', 'AccountFrozen'));
      const [posted] = given(recoded)
        .when(post([debit(code, '1'), credit('BANK', '1')]))
        .thenAccepted()
        .filter(({ type }) => type === 'JournalEntryPosted');
      // The line tells the code of the day.
      expect(posted?.data).toMatchObject({ lines: [{ accountId: 'cash', code: 'PETTY' }, { code: 'BANK' }] });
    }
  });

  it('may change back to one of its own, never to another account’s, old or new', () => {
    given(recoded)
      .when(recode('CASH', 'PETTY'))
      .thenEvents(onAccount('cash', 'AccountCodeChanged', { code: 'CASH' }));
    given(recoded).when(recode('TILL', 'BANK')).thenRefused('account_exists', { account: 'TILL' });
    given(recoded).when(recode('BANK', 'PETTY')).thenRefused('account_exists', { account: 'BANK' });
  });
});

describe('limits of an account', () => {
  const limited = (limits: AccountLimit[], more: object = {}): GivenEvent[] => [
    ...aBook(),
    account('CASH', { limits, ...more }),
    account('BANK'),
  ];
  const move = (amount: string, currency?: string) =>
    amount.startsWith('-')
      ? post([credit('CASH', amount.slice(1), currency), debit('BANK', amount.slice(1), currency)])
      : post([debit('CASH', amount, currency), credit('BANK', amount, currency)]);

  it('refuse to go below the smallest balance, or above the largest, and tell where it would stand', () => {
    const events = history(limited([{ currency: 'EUR', min: '-10', max: '100.00' }]), [move('50'), { id: 'e0' }]);
    given(events).when(move('-60')).thenAccepted();
    given(events).when(move('50')).thenAccepted();
    const below = given(events).when(move('-60.01'));
    expect(below.thenRefused('limit_exceeded', { account: 'CASH', currency: 'EUR', limit: '-10', balance: '-10.01' }).message).toContain(
      '-10.01 EUR (now 50.00)',
    );
    given(events)
      .when(move('50.01'))
      .thenRefused('limit_exceeded', { account: 'CASH', currency: 'EUR', limit: '100.00', balance: '100.01' });
  });

  it('count in the sign of the normal side', () => {
    const liability = limited([{ currency: 'EUR', min: '0' }], { type: 'liability', normalSide: 'credit' });
    given(liability).when(move('-5')).thenAccepted();
    given(liability).when(move('5')).thenRefused('limit_exceeded', { account: 'CASH', currency: 'EUR', limit: '0', balance: '-5.00' });
  });

  it('look at the entry as a whole, at its net effect on the account', () => {
    const events = limited([{ currency: 'EUR', min: '0', max: '10' }]);
    given(events)
      .when(post([credit('CASH', '50'), debit('CASH', '50')]))
      .thenAccepted();
    given(events)
      .when(post([debit('CASH', '50'), debit('BANK', '1'), credit('CASH', '45'), credit('BANK', '6')]))
      .thenAccepted();
    given(events)
      .when(post([debit('CASH', '6'), debit('CASH', '5'), credit('BANK', '11')]))
      .thenRefused('limit_exceeded');
  });

  it('look at the sum over all dates', () => {
    const events = history(limited([{ currency: 'EUR', min: '0' }]), [{ ...move('50'), effectiveDate: '2026-12-31' }, { id: 'e0' }]);
    given(events)
      .when({ ...move('-50'), effectiveDate: '2026-01-01' })
      .thenAccepted();
  });

  it('bind one currency each, and all of them where a currency has several', () => {
    given(limited([{ currency: 'EUR', min: '0' }]))
      .when(move('-1', 'USD'))
      .thenAccepted();
    const both = limited([
      { currency: 'EUR', min: '0' },
      { currency: 'EUR', max: '100' },
    ]);
    given(both).when(move('100.01')).thenRefused('limit_exceeded', { account: 'CASH', currency: 'EUR', limit: '100', balance: '100.01' });
    given(both).when(move('-0.01')).thenRefused('limit_exceeded', { account: 'CASH', currency: 'EUR', limit: '0', balance: '-0.01' });
  });

  it('never refuse what brings a balance back, and always what takes it further out', () => {
    const bound = fc.option(fc.integer({ min: -50, max: 50 }), { nil: undefined });
    fc.assert(
      fc.property(bound, bound, fc.integer({ min: -80, max: 80 }), fc.integer({ min: -80, max: 80 }), (min, max, was, change) => {
        fc.pre(change !== 0 && was !== 0);
        // The balance came about before the limit, as after an import: by events, not by commands.
        const events: GivenEvent[] = [
          ...aBook(),
          account('CASH', { limits: [{ currency: 'JPY', min: min?.toString(), max: max?.toString() }] }),
          account('BANK'),
          onAccount('cash', was > 0 ? 'AccountDebited' : 'AccountCredited', {
            ...{ entryId: 'e0', entryPosition: 1, line: 1, effectiveDate: '2026-01-01', amount: `${Math.abs(was)}`, currency: 'JPY' },
            ...{ totalDebit: `${Math.max(was, 0)}`, totalCredit: `${Math.max(-was, 0)}` },
          }),
        ];
        const is = was + change;
        const outside = (balance: number) => [Math.max(0, (min ?? balance) - balance), Math.max(0, balance - (max ?? balance))] as const;
        const worse = outside(is)[0] > outside(was)[0] || outside(is)[1] > outside(was)[1];
        const outcome = given(events).when(move(`${change}`, 'JPY'));
        if (worse) outcome.thenRefused('limit_exceeded');
        else outcome.thenAccepted();
      }),
      { numRuns: 200 },
    );
  });
});

describe('the folded account', () => {
  const anEvent = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.tuple(
        fc.constant('post'),
        fc.constantFrom('EUR', 'JPY', 'BTC'),
        fc.bigInt({ min: 0n, max: 10n ** 29n }),
        fc.boolean(),
        fc.option(fc.bigInt({ min: 0n, max: 3n }), { nil: undefined }),
      ),
    },
    fc.tuple(fc.constantFrom('AccountFrozen', 'AccountUnfrozen', 'AccountClosed')),
    fc.tuple(fc.constantFrom('AccountRenamed', 'AccountCodeChanged'), fc.string({ minLength: 1 })),
  );
  const anOpening = fc.record(
    {
      code: fc.string({ minLength: 1 }),
      name: fc.string(),
      type: fc.constantFrom(...accountTypes),
      normalSide: fc.constantFrom('debit', 'credit'),
      postable: fc.boolean(),
      currencies: fc.constant(['EUR', 'BTC']),
      limits: fc.constant([{ currency: 'EUR', min: '-1.00' }]),
      metadata: fc.constant({ a: 1 }),
    },
    { requiredKeys: ['code', 'name', 'type', 'normalSide', 'postable'] },
  );

  /** Turns generated steps into events with totals that add up. */
  function eventsOf(opening: object, steps: readonly (readonly unknown[])[]): AccountEvent[] {
    const scales: Record<string, number> = { EUR: 2, JPY: 0, BTC: 8 };
    const totals: Record<string, { debit: bigint; credit: bigint }> = {};
    const events = [{ type: 'AccountOpened', data: opening }] as unknown as AccountEvent[];
    for (const [kind, first, minor, onDebit, base] of steps) {
      if (kind !== 'post') {
        const data = kind === 'AccountRenamed' ? { name: first } : kind === 'AccountCodeChanged' ? { code: first } : {};
        events.push({ type: kind, data } as unknown as AccountEvent);
        continue;
      }
      const currency = first as string;
      totals[currency] ??= { debit: 0n, credit: 0n };
      const total = totals[currency] as { debit: bigint; credit: bigint };
      total[onDebit ? 'debit' : 'credit'] += minor as bigint;
      const text = (value: bigint) => fromMinor(value, scales[currency] as number);
      events.push({
        type: onDebit ? 'AccountDebited' : 'AccountCredited',
        data: {
          ...{ entryId: 'e', entryPosition: 1, line: 1, effectiveDate: '2026-01-01', amount: text(minor as bigint), currency },
          ...{ totalDebit: text(total.debit), totalCredit: text(total.credit) },
          ...(base === undefined ? {} : { baseAmount: fromMinor(base as bigint, 2) }),
        },
      });
    }
    return events;
  }

  it('comes back from its snapshot as it was, at every version, and goes on from there as if it had never left', () => {
    fc.assert(
      fc.property(anOpening, fc.array(anEvent, { maxLength: 30 }), (opening, steps) => {
        let folded: AccountState | undefined;
        let restored: AccountState | undefined;
        for (const event of eventsOf(opening, steps)) {
          folded = accountReducer.evolve(folded, event, 'a');
          const next = accountReducer.evolve(restored, event, 'a');
          restored = accountReducer.fromSnapshot(JSON.parse(JSON.stringify(accountReducer.toSnapshot(next))), 'a', next.version);
          expect(restored).toEqual(folded);
        }
        for (const { currency, base } of folded?.totals ?? []) {
          const known = steps.find(([kind, first]) => kind === 'post' && first === currency)?.[4] !== undefined;
          expect(base !== undefined).toBe(known);
          if (base === undefined) continue;
          const own = steps.filter(([kind, first, , , given]) => kind === 'post' && first === currency && given !== undefined);
          expect(base).toBe(own.reduce((sum, [, , , onDebit, given]) => sum + (onDebit ? (given as bigint) : -(given as bigint)), 0n));
        }
        expect(folded?.version).toBe(steps.length + 1);
      }),
    );
  });

  it('holds debits and credits of every currency apart, and the balance in the sign of the normal side', () => {
    const events = history(
      book.flat(),
      [post([debit('CASH', '10'), credit('BANK', '10')]), { id: 'e1' }],
      [post([credit('CASH', '3'), debit('BANK', '3'), debit('CASH', '7', 'JPY'), credit('BANK', '7', 'JPY')]), { id: 'e2' }],
    );
    const cash = new NaiveBook(events).account('cash') as AccountState;
    expect(totalIn(cash, 'EUR')).toEqual({ currency: 'EUR', scale: 2, debit: 1000n, credit: 300n });
    expect(totalIn(cash, 'JPY')).toEqual({ currency: 'JPY', scale: 0, debit: 7n, credit: 0n });
    expect(totalIn(cash, 'USD')).toBeUndefined();
    const total = totalIn(cash, 'EUR');
    if (total === undefined) throw new Error('no total');
    expect([balanceOf(cash, total), balanceOf({ ...cash, normalSide: 'credit' }, total)]).toEqual([700n, -700n]);
  });

  it('begins with AccountOpened', () => {
    expect(() => accountReducer.evolve(undefined, { type: 'AccountFrozen', data: {} }, 'a')).toThrow('before AccountOpened');
  });
});
