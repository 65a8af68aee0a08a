/** The life of an entry before it is posted: what is decided when, by whom, and what it means for its period. */
import * as fc from 'fast-check';
import {
  aBook,
  account,
  calendarYear,
  closed,
  controller,
  credit,
  type DomainCommand,
  debit,
  type GivenEvent,
  given,
  history,
  NaiveBook,
  onAccount,
  onBook,
  post,
  somebody,
} from '../../../test/support/given-when-then';
import { type ErrorDetails, LedgerError } from './errors';
import type { FiscalYear } from './fiscal-calendar';
import type { DraftEvent, JournalEntryPosted, JournalWritten } from './journal';
import { type CreateDraft, draftsAfter, type MoveDraft, type ReviseDraft } from './journal-draft';

const ann = { actor: { userId: 'ann', isController: false } };
const bob = { actor: { userId: 'bob', isController: false } };
const chief = { actor: controller('chief') };

const lines = (amount = '10') => [debit('CASH', amount), credit('BANK', amount)];
const create = (content: Partial<CreateDraft> = {}): CreateDraft => ({ ...post(lines()), ...content, type: 'CreateDraft' });
const revise = (content: Partial<ReviseDraft> = {}): ReviseDraft => ({ ...post(lines()), entryId: 'd1', ...content, type: 'ReviseDraft' });
const move = (type: Exclude<MoveDraft['type'], 'RejectDraft'>, entryId = 'd1'): MoveDraft => ({ type, entryId });
const reject: MoveDraft = { type: 'RejectDraft', entryId: 'd1', reason: 'which invoice?' };
const close = (period: number, level: 'soft' | 'hard' = 'soft', more: object = {}): DomainCommand => ({
  type: 'ClosePeriod',
  fiscalYear: '2026',
  period,
  level,
  ...more,
});

const written = (content: Partial<JournalWritten> = {}, streamId = 'd1'): GivenEvent => ({
  streamId,
  type: 'JournalCreated',
  data: { effectiveDate: '2026-03-01', description: 'Sale', lines: lines(), fiscalYear: '2026', period: 3, createdBy: 'ann', ...content },
});
const happened = <T extends DraftEvent['type']>(type: T, data: Extract<DraftEvent, { type: T }>['data'], streamId = 'd1'): GivenEvent => ({
  streamId,
  type,
  data,
});
const submitted = (by = 'ann', streamId = 'd1') => happened('JournalSubmitted', { submittedBy: by }, streamId);
const book = [...aBook(), account('CASH'), account('BANK')];

describe('writing a draft', () => {
  it('records what its author has, who it is, and the period; why is no part of it', () => {
    given(book)
      .when(create({ reference: 'INV-1', reason: 'asked for by mail' }), { ...ann, id: 'd1' })
      .thenEvents(written({ reference: 'INV-1' }));
  });

  it('is possible with what is not known yet, does not add up, or could not be posted today', () => {
    const vague = create({ journalCode: 'LATER', lines: [debit('NOWHERE', '5', 'ZZZ'), credit('CASH', '3.001'), credit('BANK', '0')] });
    const events = given(book, onAccount('cash', 'AccountFrozen')).when(vague, ann).thenAccepted();
    expect(events.map(({ type }) => type)).toEqual(['JournalCreated']);
    given(book)
      .when(create({ lines: [] }), ann)
      .thenAccepted();
    given(book)
      .when(create({ adjustmentPeriod: 13 }), ann)
      .thenAccepted();
  });

  it('needs the right form', () => {
    const odd = given(book);
    odd.when(create({ lines: [debit('CASH', '1e3')] }), ann).thenRefused('amount_format', { member: 'lines.0.amount' });
    odd.when(create({ effectiveDate: '2026-02-30' }), ann).thenRefused('date_invalid', { member: 'effectiveDate' });
    odd.when(create({ entryType: 'reversal' }), ann).thenRefused('malformed', { member: 'entryType' });
  });

  it('defines fiscal years as a posting does, and moves between them', () => {
    const events = given(book)
      .when(create({ effectiveDate: '2028-05-01' }), { ...ann, id: 'd1' })
      .thenAccepted();
    expect(events.map(({ type }) => type)).toEqual(['FiscalYearDefined', 'FiscalYearDefined', 'JournalCreated']);
    expect(events.at(-1)?.data).toMatchObject({ fiscalYear: '2028', period: 5 });
    given(book, calendarYear(2027), written())
      .when(revise({ effectiveDate: '2027-01-31', reference: 'B' }), bob)
      .thenEvents({
        ...happened('JournalRevised', {
          ...{ effectiveDate: '2027-01-31', description: 'Sale', lines: lines(), reference: 'B' },
          ...{ fiscalYear: '2027', period: 1, revisedBy: 'bob' },
        }),
      });
  });

  it('in a closed period is for those only who could post there', () => {
    const soft = given(book, closed('2026', 3, 'soft'), written({ effectiveDate: '2026-04-01', period: 4 }));
    const details: ErrorDetails = { effectiveDate: '2026-03-01', fiscalYear: '2026', period: 3, periodStatus: 'soft_closed' };
    soft.when(create(), ann).thenRefused('period_closed', details);
    soft.when(revise(), ann).thenRefused('period_closed', details);
    soft.when(create(), chief).thenAccepted();
    given(book, closed('2026', 3))
      .when(create(), chief)
      .thenRefused('period_closed', { ...details, periodStatus: 'hard_closed' });
    const dated = [...aBook({ startsOn: '2026-02-01' })];
    given(dated)
      .when(create({ effectiveDate: '2026-01-31' }), chief)
      .thenRefused('before_book_start');
    given(book)
      .when(create({ effectiveDate: '2199-01-01' }), ann)
      .thenRefused('no_fiscal_year');
  });

  it('that may move counts where it would be posted', () => {
    const events = given(book, closed('2026', 3, 'soft'))
      .when(create({ onClosedPeriod: 'first_open_day' }), ann)
      .thenAccepted();
    expect(events[0]?.data).toMatchObject({ effectiveDate: '2026-03-01', fiscalYear: '2026', period: 4 });
    // Also where a controller writes or approves it, who could post into the period: it is posted where it was counted.
    const byChief = given(book, closed('2026', 3, 'soft'))
      .when(create({ onClosedPeriod: 'first_open_day' }), chief)
      .thenAccepted();
    expect(byChief[0]?.data).toMatchObject({ period: 4 });
    const waiting = [written({ onClosedPeriod: 'first_open_day', period: 4 }), submitted()];
    const posted = given(book, closed('2026', 3, 'soft'), waiting)
      .when(move('ApproveDraft'), chief)
      .thenAccepted();
    expect(posted.find(({ type }) => type === 'JournalEntryPosted')?.data).toMatchObject({
      ...{ effectiveDate: '2026-04-01', requestedDate: '2026-03-01', period: 4 },
    });
  });

  it('for an adjustment period counts there', () => {
    const [first, year, ...rest] = book;
    const calendar = year?.data as FiscalYear;
    const thirteenth = { no: 13, from: '2026-12-31', to: '2026-12-31', kind: 'adjustment' as const };
    const adjusted = [
      first as GivenEvent,
      onBook('FiscalYearDefined', { ...calendar, periods: [...calendar.periods, thirteenth] }),
      ...rest,
    ];
    const events = given(adjusted)
      .when(create({ effectiveDate: '2026-12-31', adjustmentPeriod: 13 }), ann)
      .thenAccepted();
    expect(events[0]?.data).toMatchObject({ period: 13, adjustmentPeriod: 13 });
  });

  it('is over once it is submitted, until it is rejected', () => {
    given(book, written(), submitted()).when(revise(), ann).thenRefused('draft_state', { entry: 'd1', draftStatus: 'submitted' });
    given(book, written(), submitted(), happened('JournalRejected', { rejectedBy: 'bob' }))
      .when(revise(), ann)
      .thenAccepted();
  });
});

describe('submitting a draft', () => {
  const submits = (content: Partial<JournalWritten>, ...more: GivenEvent[]) =>
    given(book, ...more, written(content)).when(move('SubmitDraft'), ann);

  it('says who has', () => {
    submits({}).thenEvents(submitted());
  });

  it('needs what can be posted at all', () => {
    submits({ lines: [debit('NOWHERE', '1'), credit('BANK', '1')] }).thenRefused('account_unknown', { account: 'NOWHERE', line: 1 });
    submits({ journalCode: 'LATER' }).thenRefused('journal_unknown', { journalCode: 'LATER' });
    submits({ lines: [debit('CASH', '1', 'ZZZ'), credit('BANK', '1', 'ZZZ')] }).thenRefused('currency_unknown', {
      currency: 'ZZZ',
      line: 1,
    });
    submits({ lines: [debit('CASH', '1')] }).thenRefused('too_few_lines');
    submits({ lines: [debit('CASH', '10'), credit('BANK', '9')] }).thenRefused('unbalanced', {
      ...{ currency: 'EUR', debit: '10.00', credit: '9.00', difference: '1.00' },
    });
    submits({ lines: [debit('HEAD', '1'), credit('BANK', '1')] }, account('HEAD', { postable: false })).thenRefused('account_not_postable');
  });

  it('leaves to posting what may have changed by then', () => {
    submits({}, onAccount('cash', 'AccountFrozen')).thenAccepted();
    submits({}, onAccount('cash', 'AccountClosed')).thenAccepted();
    submits({}, closed('2026', 3)).thenAccepted();
    submits(
      { lines: [debit('FULL', '1'), credit('BANK', '1')] },
      account('FULL', { limits: [{ currency: 'EUR', max: '0' }] }),
    ).thenAccepted();
  });
});

describe('approving a draft', () => {
  const waiting = [...book, written({ reference: 'INV-1' }), submitted()];

  it('posts it in the same append, under its id, as the next versions of its stream', () => {
    const events = given(waiting).when(move('ApproveDraft'), bob).thenAccepted();
    expect(events.map(({ type, streamId, version }) => [type, streamId, version])).toEqual(
      [
        ['CurrencyEnabled', 'book', 4],
        ['JournalApproved', 'd1', 3],
        ['JournalEntryPosted', 'd1', 4],
        ['AccountDebited', 'cash', 2],
        ['AccountCredited', 'bank', 2],
      ].sort(([a], [b]) => (a === 'JournalApproved' ? -1 : b === 'JournalApproved' ? 1 : 0)),
    );
    expect(events[0]?.data).toEqual({ approvedBy: 'bob' });
    expect(events[2]?.data).toMatchObject({
      ...{ number: 1, fiscalYear: '2026', period: 3, reference: 'INV-1', entryType: 'normal' },
      lines: [{ line: 1, accountId: 'cash', amount: '10.00' }, { line: 2 }],
    });
  });

  it('is for another person than the one who submitted it, its author among them', () => {
    given(waiting).when(move('ApproveDraft'), ann).thenRefused('second_user_required', { entry: 'd1' });
    given(book, written(), submitted('bob')).when(move('ApproveDraft'), ann).thenAccepted();
  });

  it('needs a submitted one', () => {
    given(book, written()).when(move('ApproveDraft'), bob).thenRefused('draft_state', { entry: 'd1', draftStatus: 'draft' });
    const posted = history(waiting, [move('ApproveDraft'), bob]);
    given(posted).when(move('ApproveDraft'), bob).thenRefused('draft_state', { entry: 'd1', draftStatus: 'posted' });
    given(posted).when(move('DiscardDraft'), bob).thenRefused('draft_state', { entry: 'd1', draftStatus: 'posted' });
  });

  it('is refused for what speaks against posting now, and the draft stays as it is', () => {
    given(waiting, onAccount('cash', 'AccountFrozen')).when(move('ApproveDraft'), bob).thenRefused('account_frozen');
    given(waiting, closed('2026', 3, 'soft'))
      .when(move('ApproveDraft'), bob)
      .thenRefused('period_closed');
    given(waiting, closed('2026', 3, 'soft'))
      .when(move('ApproveDraft'), chief)
      .thenAccepted();
    given(waiting, onAccount('cash', 'AccountFrozen'))
      .when(reject, bob)
      .thenEvents(happened('JournalRejected', { rejectedBy: 'bob' }));
  });

  it('numbers it with those that are posted directly', () => {
    const posted = history(waiting, post(lines()), [move('ApproveDraft'), bob], [post(lines()), { id: 'e3' }]);
    const numbers = posted.flatMap(({ type, data }) => (type === 'JournalEntryPosted' ? [(data as JournalEntryPosted).number] : []));
    expect(numbers).toEqual([1, 2, 3]);
  });

  it('makes an entry that is reversed and corrected like any other', () => {
    const posted = history(waiting, [move('ApproveDraft'), bob]);
    const reversed = given(posted).when({ type: 'ReverseEntry', entryId: 'd1', reason: 'x' }, bob).thenAccepted();
    expect(reversed.find(({ type }) => type === 'JournalEntryReversed')).toMatchObject({ streamId: 'd1', version: 5 });
    given(posted)
      .when({ type: 'CorrectEntry', entryId: 'd1', reason: 'x', lines: lines('11') }, bob)
      .thenAccepted();
  });

  it('is what makes it an entry: a draft is none', () => {
    const refusal = given(waiting)
      .when({ type: 'ReverseEntry', entryId: 'd1', reason: 'x' }, bob)
      .thenRefused('entry_unknown', { entry: 'd1' });
    expect(refusal.message).toContain('a draft has this id');
    const posted = history(book, [post(lines()), { id: 'e1' }]);
    const other = given(posted).when(move('SubmitDraft', 'e1'), bob).thenRefused('entry_unknown', { entry: 'e1' });
    expect(other.message).toContain('was posted directly');
  });
});

describe('rejecting and discarding', () => {
  it('gives a submitted one back; whoever submitted it may take it back so', () => {
    given(book, written()).when(reject, bob).thenRefused('draft_state', { entry: 'd1', draftStatus: 'draft' });
    given(book, written(), submitted())
      .when(reject, ann)
      .thenEvents(happened('JournalRejected', { rejectedBy: 'ann' }));
  });

  it('ends a draft, submitted or not, for ever', () => {
    const discarded = happened('JournalDiscarded', { discardedBy: 'bob' });
    given(book, written()).when(move('DiscardDraft'), bob).thenEvents(discarded);
    given(book, written(), submitted()).when(move('DiscardDraft'), bob).thenEvents(discarded);
    for (const command of [revise(), move('SubmitDraft'), move('ApproveDraft'), reject, move('DiscardDraft')])
      given(book, written(), discarded).when(command, bob).thenRefused('draft_state', { entry: 'd1', draftStatus: 'discarded' });
  });
});

describe('closing a period', () => {
  const open = (days: readonly string[]): GivenEvent[] =>
    days.map((effectiveDate, index) => written({ effectiveDate, period: Number(effectiveDate.slice(5, 7)) }, `d${index + 1}`));

  it('is refused, softly and for ever, while drafts are dated in it, and names them in the order of their days', () => {
    const drafts = [...book, ...open(['2026-01-20', '2026-01-10', '2026-02-01']), submitted('ann', 'd2')];
    const refusal = given(drafts)
      .when(close(1), chief)
      .thenRefused('period_has_drafts', { fiscalYear: '2026', period: 1, entries: ['d2', 'd1'] });
    expect(refusal.message).toBe(
      'period 2026/1 would close over 2 entries that are not posted (1 in draft, 1 submitted): approve, redate or discard d2, d1 first (…/journal-drafts)',
    );
    given(drafts, closed('2026', 1, 'soft'))
      .when(close(1, 'hard'), chief)
      .thenRefused('period_has_drafts', { fiscalYear: '2026', period: 1, entries: ['d2', 'd1'] });
  });

  it('is refused for earlier ones that would be closed with it', () => {
    const refusal = given(book, open(['2026-02-10', '2026-03-10', '2026-04-01']))
      .when(close(3, 'soft', { includeEarlier: true }), chief)
      .thenRefused('period_has_drafts', { fiscalYear: '2026', period: 2, entries: ['d1', 'd2'] });
    expect(refusal.message).toContain('periods 2026/2 … 2026/3 would close over 2 entries');
  });

  it('names twenty at most and says how many there are', () => {
    const refusal = given(book, open(Array.from({ length: 23 }, () => '2026-01-05')))
      .when(close(1), chief)
      .thenRefused('period_has_drafts');
    expect(refusal.details.entries).toHaveLength(20);
    expect(refusal.message).toMatch(/over 23 entries that are not posted \(23 in draft, 0 submitted\).* and 3 more first/);
  });

  it('comes after the order of periods', () => {
    given(book, open(['2026-02-01']))
      .when(close(2), chief)
      .thenRefused('period_order');
  });

  it('goes on when they are posted, discarded, or dated elsewhere', () => {
    const drafts = [...book, ...open(['2026-01-10', '2026-01-11', '2026-01-12']), submitted('ann', 'd1')];
    const done = history(
      drafts,
      [move('ApproveDraft', 'd1'), bob],
      [move('DiscardDraft', 'd2'), bob],
      [revise({ entryId: 'd3', effectiveDate: '2026-02-01' }), bob],
    );
    expect(given(done).when(close(1), chief).thenAccepted()[0]?.data).toMatchObject({ period: 1, entries: 1 });
    given(done, closed('2026', 1, 'soft'))
      .when(close(2), chief)
      .thenRefused('period_has_drafts', { fiscalYear: '2026', period: 2, entries: ['d3'] });
  });
});

describe('the list of open drafts', () => {
  it('after any commands is what looking at every entry gives, and no period closes over one', () => {
    const step = fc.record({
      kind: fc.constantFrom('create', 'revise', 'SubmitDraft', 'ApproveDraft', 'DiscardDraft', 'reject', 'close', 'post'),
      which: fc.nat(3),
      month: fc.integer({ min: 1, max: 14 }),
      who: fc.constantFrom(ann, bob, chief),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const ledger = new NaiveBook(book);
        steps.forEach(({ kind, which, month, who }, index) => {
          const effectiveDate = month > 12 ? `2027-0${month - 12}-01` : `2026-${String(month).padStart(2, '0')}-01`;
          const drafts = ledger.events.filter(({ type }) => type === 'JournalCreated').map(({ streamId }) => streamId);
          const entryId = drafts[which % Math.max(1, drafts.length)] ?? 'none';
          const commands: Record<string, DomainCommand> = {
            create: create({ effectiveDate }),
            revise: revise({ entryId, effectiveDate }),
            reject: { ...reject, entryId },
            close: close(Math.min(12, month), which % 2 === 0 ? 'soft' : 'hard', { includeEarlier: which > 1 }),
            post: post(lines(), { effectiveDate }),
          };
          try {
            // Every decision is held against the naive list there.
            ledger.execute(commands[kind] ?? move(kind as 'SubmitDraft', entryId), { ...who, id: `n${index}` });
          } catch (error) {
            if (!(error instanceof LedgerError)) throw error;
          }
        });
        // Of all events at once, as a list that was lost is made again.
        const events = ledger.events
          .filter(({ type }) => type.startsWith('Journal') && type !== 'JournalDefined' && !type.startsWith('JournalEntry'))
          .map(({ streamId, type, data }) => ({ id: streamId, event: { type, data } as DraftEvent }));
        for (const { label } of ledger.book()?.fiscalYears ?? []) {
          expect(draftsAfter(new Map(), label, events)).toEqual(ledger.drafts(label));
        }
      }),
      { numRuns: 150 },
    );
  });

  it('is looked up by nobody else: a posting needs none', () => {
    class Blind extends NaiveBook {
      override drafts(): never {
        throw new Error('a posting asked for drafts');
      }
    }
    const blind = new Blind(book);
    expect(() => blind.execute(create(), { actor: somebody })).toThrow('a posting asked for drafts');
  });
});
