/** Closing and reopening periods: order, rights, what a close puts on record, and what it means for postings. */
import * as fc from 'fast-check';
import {
  aBook,
  account,
  closed,
  controller,
  credit,
  debit,
  type GivenEvent,
  given,
  history,
  NaiveBook,
  onBook,
  post,
  somebody,
} from '../../../test/support/given-when-then';
import type { FiscalYear } from './fiscal-calendar';
import type { CorrectEntry, JournalEntryPosted, ReverseEntry } from './journal';
import { addToTally, type ClosePeriod, emptyTally, type PeriodClosed, type ReopenPeriod } from './period-close';

const close = (period: number, level: 'soft' | 'hard' = 'soft', more: Partial<ClosePeriod> = {}): ClosePeriod => ({
  type: 'ClosePeriod',
  fiscalYear: '2026',
  period,
  level,
  ...more,
});
const reopen = (type: ReopenPeriod['type'], period: number): ReopenPeriod => ({ type, fiscalYear: '2026', period, reason: 'late invoice' });
const ann = { actor: controller('ann') };
const bob = { actor: controller('bob') };
const book = [...aBook(), account('CASH'), account('BANK')];
const on = (effectiveDate: string, amount = '1', more: object = {}) =>
  post([debit('CASH', amount), credit('BANK', amount)], { effectiveDate, ...more });
const requested = (period: number, by = 'ann'): GivenEvent =>
  onBook('PeriodReopeningRequested', { fiscalYear: '2026', period, requestedBy: by });
/** Twelve months and a 13th period of the last day. */
const withAdjustments = (): GivenEvent[] => {
  const [first, year, ...rest] = aBook();
  const given = year?.data as FiscalYear;
  const adjustment = { no: 13, from: '2026-12-31', to: '2026-12-31', kind: 'adjustment' as const };
  return [
    first as GivenEvent,
    onBook('FiscalYearDefined', { ...given, periods: [...given.periods, adjustment] }),
    ...rest,
    account('CASH'),
    account('BANK'),
  ];
};

describe('closing a period', () => {
  it('puts on record up to where it counts, how many entries, debits and credits per currency, and the last numbers', () => {
    const posted = history(
      book,
      on('2026-01-10', '10'),
      [on('2026-01-31', '2.50'), { id: 'e2' }],
      [post([debit('CASH', '7', 'USD'), credit('BANK', '7', 'USD')], { effectiveDate: '2026-01-15' }), { id: 'e3' }],
      [on('2026-02-01', '99'), { id: 'e4' }],
    );
    given(posted)
      .when(close(1), ann)
      .thenEvents(
        onBook('PeriodClosed', {
          fiscalYear: '2026',
          period: 1,
          level: 'soft',
          position: posted.length,
          entries: 3,
          totals: [
            { currency: 'EUR', debit: '12.50', credit: '12.50' },
            { currency: 'USD', debit: '7.00', credit: '7.00' },
          ],
          numbers: [{ journalCode: 'GENERAL', last: 4 }],
        }),
      );
  });

  it('counts base amounts too where the book tracks exchange rates', () => {
    const tracked = history(
      [...aBook({ fx: 'tracked' }), account('CASH'), account('BANK')],
      post([debit('CASH', '7', 'USD', { baseAmount: '6.44' }), credit('BANK', '7', 'USD', { baseAmount: '6.44' })], {
        effectiveDate: '2026-01-15',
      }),
    );
    expect(given(tracked).when(close(1), ann).thenAccepted()[0]?.data).toMatchObject({ baseTotal: '6.44' });
  });

  it('of a period without entries is a close like any other', () => {
    expect(given(book).when(close(1), ann).thenAccepted()[0]?.data).toMatchObject({ entries: 0, totals: [], numbers: [] });
  });

  it('goes in order, and all at once where that is asked for', () => {
    given(book).when(close(3), ann).thenRefused('period_order', { fiscalYear: '2026', period: 1 });
    given(book, closed('2026', 1, 'soft'))
      .when(close(3), ann)
      .thenRefused('period_order', { fiscalYear: '2026', period: 2 });
    const events = given(book, closed('2026', 1, 'soft'))
      .when(close(3, 'soft', { includeEarlier: true }), ann)
      .thenAccepted();
    expect(events.map(({ type, data }) => [type, (data as PeriodClosed).period])).toEqual([
      ['PeriodClosed', 2],
      ['PeriodClosed', 3],
    ]);
    // Each counts up to right before itself.
    const [second, third] = events.map(({ data }) => (data as PeriodClosed).position);
    expect(third).toBe((second ?? 0) + 1);
  });

  it('goes in order across fiscal years', () => {
    const two = [
      ...book,
      onBook('FiscalYearDefined', {
        label: '2025',
        from: '2025-01-01',
        to: '2025-12-31',
        periods: [{ no: 1, from: '2025-01-01', to: '2025-12-31', kind: 'normal' }],
      }),
    ];
    given(two).when(close(1), ann).thenRefused('period_order', { fiscalYear: '2025', period: 1 });
    given(two, closed('2025', 1, 'soft'))
      .when(close(1), ann)
      .thenAccepted();
  });

  it('for ever needs a soft close before, of this and of all earlier ones', () => {
    given(book).when(close(1, 'hard'), ann).thenRefused('period_state', { fiscalYear: '2026', period: 1, periodStatus: 'open' });
    given(book)
      .when(close(1, 'hard', { includeEarlier: true }), ann)
      .thenRefused('period_state');
    const softly = [...book, closed('2026', 1, 'soft'), closed('2026', 2, 'soft')];
    given(softly).when(close(2, 'hard'), ann).thenRefused('period_order', { fiscalYear: '2026', period: 1 });
    given(softly).when(close(1, 'hard'), ann).thenAccepted();
    expect(
      given(softly)
        .when(close(2, 'hard', { includeEarlier: true }), ann)
        .thenAccepted(),
    ).toHaveLength(2);
  });

  it('is refused twice, for a period that there is not, and to whoever is no controller', () => {
    given(book, closed('2026', 1, 'soft'))
      .when(close(1), ann)
      .thenRefused('period_state', { fiscalYear: '2026', period: 1, periodStatus: 'soft_closed' });
    given(book, closed('2026', 1))
      .when(close(1, 'hard'), ann)
      .thenRefused('period_state', { fiscalYear: '2026', period: 1, periodStatus: 'hard_closed' });
    given(book).when(close(13), ann).thenRefused('period_unknown', { fiscalYear: '2026', period: 13 });
    given(book)
      .when({ ...close(1), fiscalYear: '1999' }, ann)
      .thenRefused('period_unknown');
    given(book).when(close(1)).thenRefused('forbidden');
  });

  it('of an adjustment period goes apart: after the months of its year, and before or after those of the next', () => {
    const months = Array.from({ length: 12 }, (_, index) => closed('2026', index + 1, 'soft'));
    given(withAdjustments(), months.slice(0, 11)).when(close(13), ann).thenRefused('period_order', { fiscalYear: '2026', period: 12 });
    given(withAdjustments(), months).when(close(13), ann).thenAccepted();
    const next = onBook('FiscalYearDefined', {
      label: '2027',
      from: '2027-01-01',
      to: '2027-12-31',
      periods: [{ no: 1, from: '2027-01-01', to: '2027-12-31', kind: 'normal' }],
    });
    given(withAdjustments(), next, months)
      .when({ ...close(1), fiscalYear: '2027' }, ann)
      .thenAccepted();
    // For ever it closes only when nothing can move what it opened with any more.
    const hard = { ...close(1, 'hard'), fiscalYear: '2027' } as const;
    const softly = [closed('2027', 1, 'soft')];
    const forever = Array.from({ length: 12 }, (_, index) => closed('2026', index + 1));
    // What is open is looked at before it closes for ever, whoever asks for all at once.
    for (const command of [hard, { ...hard, includeEarlier: true } as const])
      given(withAdjustments(), next, forever, softly)
        .when(command, ann)
        .thenRefused('period_state', { fiscalYear: '2026', period: 13, periodStatus: 'open' });
    const seen = [...softly, closed('2026', 13, 'soft')];
    given(withAdjustments(), next, forever, seen).when(hard, ann).thenRefused('period_order', { fiscalYear: '2026', period: 13 });
    const all = given(withAdjustments(), next, forever, seen)
      .when({ ...hard, includeEarlier: true }, ann)
      .thenAccepted();
    expect(all.map(({ data }) => data)).toMatchObject([
      { fiscalYear: '2026', period: 13, level: 'hard' },
      { fiscalYear: '2027', period: 1, level: 'hard' },
    ]);
    // Where an earlier release has done so all the same, the 13th period opens no more.
    given(withAdjustments(), next, forever, closed('2026', 13, 'soft'), closed('2027', 1))
      .when({ type: 'RequestReopening', fiscalYear: '2026', period: 13, reason: 'late' }, ann)
      .thenRefused('period_order', { fiscalYear: '2027', period: 1 });
  });
});

describe('posting into a closed period', () => {
  const softly = [...book, closed('2026', 1, 'soft')];

  it('is for controllers only while it is softly closed, and for nobody once it is closed for ever', () => {
    given(softly)
      .when(on('2026-01-15'))
      .thenRefused('period_closed', { effectiveDate: '2026-01-15', fiscalYear: '2026', period: 1, periodStatus: 'soft_closed' });
    given(softly).when(on('2026-01-15'), ann).thenAccepted();
    given(book, closed('2026', 1))
      .when(on('2026-01-15'), ann)
      .thenRefused('period_closed', { effectiveDate: '2026-01-15', fiscalYear: '2026', period: 1, periodStatus: 'hard_closed' });
  });

  it('is not possible from behind, by a date before the calendar', () => {
    given(softly)
      .when(on('2025-12-31'))
      .thenRefused('period_closed', { effectiveDate: '2025-12-31', fiscalYear: '2026', period: 1, periodStatus: 'soft_closed' });
    given(softly).when(on('2025-12-31'), ann).thenAccepted();
    // The year that this defined is open, but no way round: whoever posts into it changes what the closed period opened with.
    const halves = [
      { no: 1, from: '2025-01-01', to: '2025-06-30', kind: 'normal' },
      { no: 2, from: '2025-07-01', to: '2025-12-31', kind: 'normal' },
    ] as const;
    const behind = onBook('FiscalYearDefined', { label: '2025', from: '2025-01-01', to: '2025-12-31', periods: halves });
    for (const [date, events] of [
      ['2025-06-30', []],
      ['2025-12-31', [closed('2025', 1, 'soft')]],
    ] as const) {
      given(softly, behind, events)
        .when(on(date))
        .thenRefused('period_closed', { effectiveDate: date, fiscalYear: '2026', period: 1, periodStatus: 'soft_closed' });
    }
    given(softly, behind).when(on('2025-06-30'), ann).thenAccepted();
    given(book, closed('2026', 1)).when(on('2024-05-05'), ann).thenRefused('period_closed');
    given(book, closed('2026', 1))
      .when({ type: 'DefineFiscalYear', label: '2025', from: '2025-01-01', to: '2025-12-31' }, ann)
      .thenRefused('fiscal_year_invalid');
  });

  it('moves to the first open day on request, and the entry keeps the date that was asked for', () => {
    const moved = given(softly, closed('2026', 2, 'soft'))
      .when(on('2026-01-15', '1', { onClosedPeriod: 'first_open_day' }))
      .thenAccepted();
    expect(moved.find(({ type }) => type === 'JournalEntryPosted')?.data).toMatchObject({
      effectiveDate: '2026-03-01',
      requestedDate: '2026-01-15',
      period: 3,
    });
    // A controller need not move, nor does anyone on an open day.
    for (const outcome of [
      given(softly).when(on('2026-01-15', '1', { onClosedPeriod: 'first_open_day' }), ann),
      given(book).when(on('2026-01-15', '1', { onClosedPeriod: 'first_open_day' })),
    ]) {
      const entry = outcome.thenAccepted().find(({ type }) => type === 'JournalEntryPosted')?.data as { requestedDate?: string };
      expect(entry).toMatchObject({ effectiveDate: '2026-01-15' });
      expect(entry.requestedDate).toBeUndefined();
    }
    given(softly)
      .when(on('2026-01-15', '1', { onClosedPeriod: 'first_open_day', requestedDate: '2026-01-01' }))
      .thenRefused('malformed', { member: 'requestedDate' });
  });

  type PostedDay = Pick<JournalEntryPosted, 'effectiveDate' | 'requestedDate'>;
  it.each(['CorrectEntry', 'ReverseEntry'] as const)(
    'may move where %s puts it there: all that it posts, to the first open day',
    (type) => {
      const posted = history(book, [on('2026-01-15'), { id: 'e1' }]);
      const softly = [...posted, closed('2026', 1, 'soft')];
      const lines = [debit('CASH', '2'), credit('BANK', '2')];
      const change = (more: object): ReverseEntry | CorrectEntry =>
        ({ type, entryId: 'e1', reason: 'typo', ...(type === 'CorrectEntry' ? { lines } : {}), ...more }) as ReverseEntry | CorrectEntry;
      const days = (outcome: ReturnType<ReturnType<typeof given>['when']>) =>
        outcome
          .thenAccepted()
          .filter((event) => event.type === 'JournalEntryPosted')
          .map(({ data }) => [(data as PostedDay).effectiveDate, (data as PostedDay).requestedDate]);
      const twice = (day: string, requested?: string) => Array.from({ length: type === 'CorrectEntry' ? 2 : 1 }, () => [day, requested]);
      const asked = { effectiveDate: '2026-01-20', onClosedPeriod: 'first_open_day' };
      const { message } = given(softly)
        .when(change({ effectiveDate: '2026-01-20' }))
        .thenRefused('period_closed');
      expect(message).toContain('onClosedPeriod: first_open_day moves an entry there');
      expect(days(given(softly).when(change(asked)))).toEqual(twice('2026-02-01', '2026-01-20'));
      // Not where it may stand, nor where no day was asked for, which is an open one already.
      expect(days(given(softly).when(change(asked), ann))).toEqual(twice('2026-01-20'));
      expect(days(given(posted).when(change(asked)))).toEqual(twice('2026-01-20'));
      expect(days(given(softly).when(change({ onClosedPeriod: 'first_open_day' }), { today: '2026-01-25' }))).toEqual(twice('2026-02-01'));
    },
  );

  it('that is moved by a correction cannot state itself what moving it would state', () => {
    const softly = [...history(book, [on('2026-01-15'), { id: 'e1' }]), closed('2026', 1, 'soft')];
    const lines = [debit('CASH', '2'), credit('BANK', '2')];
    const correct = {
      type: 'CorrectEntry',
      entryId: 'e1',
      reason: 'typo',
      lines,
      effectiveDate: '2026-01-20',
      onClosedPeriod: 'first_open_day',
    } as const;
    given(softly)
      .when({ ...correct, requestedDate: '2026-01-01' })
      .thenRefused('malformed', { member: 'requestedDate' });
    given(softly)
      .when({ ...correct, adjustmentPeriod: 13 })
      .thenRefused('malformed', { member: 'onClosedPeriod' });
  });

  it('moves no date before the start of the book, which nobody can have meant', () => {
    const [opened, ...others] = book;
    const started = { ...opened, data: { ...opened?.data, startsOn: '2026-01-01' } } as (typeof book)[number];
    given(started, others, closed('2026', 1, 'soft'))
      .when(on('1926-01-15', '1', { onClosedPeriod: 'first_open_day' }))
      .thenRefused('before_book_start', { effectiveDate: '1926-01-15', startsOn: '2026-01-01' });
  });

  it('of an adjustment period is possible while that is open, whatever became of the month', () => {
    const shut = [...withAdjustments(), ...Array.from({ length: 12 }, (_, index) => closed('2026', index + 1))];
    const into13 = on('2026-12-31', '1', { adjustmentPeriod: 13, entryType: 'adjusting' });
    given(shut).when(on('2026-12-31'), ann).thenRefused('period_closed');
    expect(
      given(shut)
        .when(into13)
        .thenAccepted()
        .find(({ type }) => type === 'JournalEntryPosted')?.data,
    ).toMatchObject({ period: 13, fiscalYear: '2026' });
    given(shut, closed('2026', 13))
      .when(into13, ann)
      .thenRefused('period_closed', { effectiveDate: '2026-12-31', fiscalYear: '2026', period: 13, periodStatus: 'hard_closed' });
    given(withAdjustments())
      .when(on('2026-12-30', '1', { adjustmentPeriod: 13 }))
      .thenRefused('adjustment_period_unknown', { effectiveDate: '2026-12-30', period: 13, member: 'adjustmentPeriod' });
    given(withAdjustments())
      .when(on('2026-12-31', '1', { adjustmentPeriod: 12 }))
      .thenRefused('adjustment_period_unknown', { effectiveDate: '2026-12-31', period: 12, member: 'adjustmentPeriod' });
    given(withAdjustments())
      .when(on('2026-12-31', '1', { adjustmentPeriod: 13, onClosedPeriod: 'first_open_day' }))
      .thenRefused('malformed', { member: 'onClosedPeriod' });
  });

  it('of an adjustment period is taken back and corrected inside it, both or neither', () => {
    const shut = [...withAdjustments(), ...Array.from({ length: 12 }, (_, index) => closed('2026', index + 1))];
    const into13 = on('2026-12-31', '22', { adjustmentPeriod: 13, entryType: 'adjusting' });
    const posted = history(shut, [into13, { id: 'e1' }]);
    const into = { entryId: 'e1', reason: 'wrong', adjustmentPeriod: 13 } as const;
    const periods = (events: readonly { type: string; data: object }[]): unknown[] =>
      events.flatMap(({ type, data }) =>
        type === 'JournalEntryPosted'
          ? [`${(data as { effectiveDate: string }).effectiveDate} in ${(data as { period: number }).period}`]
          : [],
      );
    const reverse = { type: 'ReverseEntry', ...into } as const;
    expect(periods(given(posted).when(reverse, { today: '2027-03-01' }).thenAccepted())).toEqual(['2026-12-31 in 13']);
    const lines = [debit('CASH', '20'), credit('BANK', '20')];
    const correct = { type: 'CorrectEntry', ...into, lines } as const;
    expect(periods(given(posted).when(correct, { today: '2027-03-01' }).thenAccepted())).toEqual(['2026-12-31 in 13', '2026-12-31 in 13']);
    given(posted)
      .when({ ...reverse, onClosedPeriod: 'first_open_day' })
      .thenRefused('malformed', { member: 'onClosedPeriod' });
    given(posted)
      .when({ ...reverse, effectiveDate: '2026-12-30' })
      .thenRefused('adjustment_period_unknown');
    given(posted, closed('2026', 13)).when(reverse, ann).thenRefused('period_closed');
    // Without it the day is that of a normal period, which is closed.
    given(posted).when({ type: 'ReverseEntry', entryId: 'e1', reason: 'wrong', effectiveDate: '2026-12-31' }).thenRefused('period_closed');
  });
});

describe('reopening a period', () => {
  const softly = [...book, closed('2026', 1, 'soft'), closed('2026', 2, 'soft')];

  it('takes two people: one asks, another agrees, and it is open', () => {
    given(softly).when(reopen('RequestReopening', 2), ann).thenEvents(requested(2));
    given(softly, requested(2))
      .when(reopen('ApproveReopening', 2), ann)
      .thenRefused('second_user_required', { fiscalYear: '2026', period: 2 });
    given(softly, requested(2))
      .when(reopen('ApproveReopening', 2), bob)
      .thenEvents(onBook('PeriodReopened', { fiscalYear: '2026', period: 2, requestedBy: 'ann' }));
    const again = history([...softly, requested(2)], [reopen('ApproveReopening', 2), bob]);
    given(again).when(on('2026-02-15')).thenAccepted();
    given(again).when(close(2), ann).thenAccepted();
  });

  it('is settled before the period is closed for ever, which would drop the request without a word', () => {
    const { message } = given(softly, requested(2))
      .when(close(2, 'hard', { includeEarlier: true }), bob)
      .thenRefused('period_state', { fiscalYear: '2026', period: 2, periodStatus: 'soft_closed' });
    expect(message).toBe(
      'period 2026/2 (2026-02-01 … 2026-02-28) is asked to be reopened, by ann; decline that (POST …/reopening/decline), or agree to it and close it anew',
    );
    // Told before the order of periods, as the table of codes declares them.
    given(softly, requested(2))
      .when(close(2, 'hard'), bob)
      .thenRefused('period_state', { fiscalYear: '2026', period: 2, periodStatus: 'soft_closed' });
    // Also where it is one of the earlier ones, and whoever asks for the close.
    const first = [...book, closed('2026', 1, 'soft'), requested(1), closed('2026', 2, 'soft')];
    for (const who of [ann, bob])
      given(first)
        .when(close(2, 'hard', { includeEarlier: true }), who)
        .thenRefused('period_state', { fiscalYear: '2026', period: 1, periodStatus: 'soft_closed' });
    given(history([...softly, requested(2)], [reopen('DeclineReopening', 2), bob]))
      .when(close(2, 'hard', { includeEarlier: true }), bob)
      .thenAccepted();
  });

  it('may be declined, by anyone who could agree and by who has asked', () => {
    for (const who of [ann, bob]) {
      given(softly, requested(2))
        .when(reopen('DeclineReopening', 2), who)
        .thenEvents(onBook('PeriodReopeningDeclined', { fiscalYear: '2026', period: 2 }));
    }
    const declined = history([...softly, requested(2)], [reopen('DeclineReopening', 2), bob]);
    given(declined).when(reopen('ApproveReopening', 2), bob).thenRefused('period_state');
    given(declined).when(on('2026-02-15')).thenRefused('period_closed');
  });

  it('goes backwards from the last one that is closed', () => {
    given(softly).when(reopen('RequestReopening', 1), ann).thenRefused('period_order', { fiscalYear: '2026', period: 2 });
    given(book, closed('2026', 1, 'soft'), requested(1), closed('2026', 2, 'soft'))
      .when(reopen('ApproveReopening', 1), bob)
      .thenRefused('period_order', { fiscalYear: '2026', period: 2 });
  });

  it('is asked for once, of a period that is softly closed, by a controller', () => {
    given(softly, requested(2))
      .when(reopen('RequestReopening', 2), bob)
      .thenRefused('period_state', { fiscalYear: '2026', period: 2, periodStatus: 'soft_closed' });
    given(softly)
      .when(reopen('RequestReopening', 3), ann)
      .thenRefused('period_state', { fiscalYear: '2026', period: 3, periodStatus: 'open' });
    given(book, closed('2026', 1))
      .when(reopen('RequestReopening', 1), ann)
      .thenRefused('period_state', { fiscalYear: '2026', period: 1, periodStatus: 'hard_closed' });
    given(softly).when(reopen('RequestReopening', 2), { actor: somebody }).thenRefused('forbidden');
  });
});

describe('counters of a period', () => {
  const tally = fc.record({
    entries: fc.constant(1),
    base: fc.bigInt(0n, 10n ** 20n),
    sums: fc.uniqueArray(
      fc.record({ currency: fc.constantFrom('EUR', 'USD', 'JPY'), scale: fc.constant(2), debit: fc.bigInt(0n, 10n ** 20n) }),
      {
        minLength: 1,
        selector: ({ currency }) => currency,
      },
    ),
  });

  it('add up whatever the order and the grouping', () => {
    fc.assert(
      fc.property(fc.array(tally, { maxLength: 8 }), fc.nat(8), (tallies, cut) => {
        const sum = (some: typeof tallies) => some.reduce(addToTally, emptyTally);
        const plain = ({ entries, base, sums }: typeof emptyTally) => ({
          entries,
          base,
          sums: [...sums].sort((a, b) => (a.currency < b.currency ? -1 : 1)),
        });
        expect(plain(addToTally(sum(tallies.slice(0, cut)), sum(tallies.slice(cut))))).toEqual(plain(sum([...tallies].reverse())));
      }),
    );
  });

  it('say in a close what a fold of the entries says, for any history', () => {
    const step = fc.record({
      day: fc.integer({ min: 1, max: 28 }),
      month: fc.integer({ min: 1, max: 3 }),
      cents: fc.integer({ min: 1, max: 99_999 }),
      currency: fc.constantFrom('EUR', 'USD'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), fc.integer({ min: 1, max: 3 }), (steps, period) => {
        const naive = new NaiveBook(book);
        const dated = (month: number, day: number) => `2026-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`;
        steps.forEach(({ day, month, cents, currency }, index) => {
          const amount = (cents / 100).toFixed(2);
          naive.execute(post([debit('CASH', amount, currency), credit('BANK', amount, currency)], { effectiveDate: dated(month, day) }), {
            id: `e${index}`,
          });
        });
        const events = naive.execute(close(period, 'soft', { includeEarlier: true }), ann);
        const data = events.at(-1)?.data as PeriodClosed;
        const mine = steps.filter(({ month }) => month === period);
        expect(data.entries).toBe(mine.length);
        for (const { currency, debit: sum } of data.totals) {
          const cents = mine.filter((other) => other.currency === currency).reduce((total, other) => total + other.cents, 0);
          expect(sum).toBe((cents / 100).toFixed(2));
        }
        expect(data.totals.map(({ currency }) => currency)).toEqual([...new Set(mine.map(({ currency }) => currency))].sort());
      }),
      { numRuns: 50 },
    );
  });
});
