/** Parties: given events, when command, then events or error. */
import { controller, type GivenEvent, given } from '../../../test/support/given-when-then';
import type { ErasurePlan } from './party';

const id = '0198c0de-0000-5000-8000-000000000009';
const book: readonly GivenEvent[] = [
  {
    streamId: 'book',
    type: 'BookOpened',
    data: { name: 'Acme', baseCurrency: 'EUR', fx: 'untracked', rounding: 'half_even', timeZone: 'UTC', fiscalYearStart: '01-01' },
  },
  {
    streamId: 'book',
    type: 'FiscalYearDefined',
    data: {
      label: '2026',
      from: '2026-01-01',
      to: '2026-12-31',
      periods: [{ no: 1, from: '2026-01-01', to: '2026-12-31', kind: 'normal' }],
    },
  },
  { streamId: 'book', type: 'JournalDefined', data: { journalCode: 'GENERAL', name: 'General', type: 'general' } },
  { streamId: 'book', type: 'CurrencyEnabled', data: { code: 'EUR', scale: 2 } },
];
const opened: GivenEvent = { streamId: id, type: 'PartyOpened', data: { kind: 'customer', name: 'sealed' } };
const closed: GivenEvent = { streamId: id, type: 'PartyClosed', data: {} };
const held: GivenEvent = { streamId: id, type: 'LegalHoldPlaced', data: { hold: 'case 1' } };
const erased = (retained: ErasurePlan['retained'] = []): GivenEvent => ({
  streamId: id,
  type: 'PersonErased',
  data: { legalBasis: 'GDPR Art. 17(1)(a)', keys: [{ scope: 'contact', fingerprint: 'f' }], retained },
});
const account = (accountId: string, code: string, control?: string): GivenEvent => ({
  streamId: accountId,
  type: 'AccountOpened',
  data: { code, name: code, type: 'asset', normalSide: 'debit', postable: true, control },
});
const reason = 'because';
const keys = [
  { fingerprint: 'a', scope: 'contact' },
  { fingerprint: 'b', scope: 'entries-2026' },
  { fingerprint: 'c', scope: 'identity' },
];
const duty = (scope: string) => ({ rule: 'DE books, 10 years (HGB § 257)', scope, until: '2036-12-31' });
const erase = (computed?: Partial<ErasurePlan>) => ({
  type: 'ErasePerson' as const,
  party: id,
  legalBasis: 'GDPR Art. 17(1)(a)',
  reason,
  computed: { keys, retained: [], position: 5, ...computed },
});

describe('a party', () => {
  it('is opened once under its id', () => {
    given(book)
      .when({ type: 'OpenParty', kind: 'customer', name: 'sealed' }, { id })
      .thenEvents({ streamId: id, type: 'PartyOpened', data: { kind: 'customer', name: 'sealed' } });
    given(book, opened).when({ type: 'OpenParty', kind: 'customer' }, { id }).thenRefused('party_exists', { party: id });
    given().when({ type: 'OpenParty', kind: 'customer' }, { id }).thenRefused('book_unknown');
  });

  it('is changed while it is open and nobody has asked for it to be erased', () => {
    const change = { type: 'ChangeParty', party: id, email: 'sealed', reason } as const;
    given(book, opened)
      .when(change)
      .thenEvents({ streamId: id, type: 'PartyChanged', data: { email: 'sealed' } });
    given(book).when(change).thenRefused('party_unknown', { party: id });
    given(book, opened, closed).when(change).thenRefused('party_closed', { party: id });
    given(book, opened, erased([duty('identity')]))
      .when(change)
      .thenRefused('person_erased', { party: id });
  });

  it('is closed once', () => {
    given(book, opened).when({ type: 'CloseParty', party: id }).thenEvents(closed);
    given(book, opened, closed).when({ type: 'CloseParty', party: id }).thenRefused('party_closed', { party: id });
  });

  it('is held under names of which each stands once, and is let go of by name', () => {
    const place = { type: 'PlaceHold', party: id, hold: 'case 1', reason } as const;
    const release = { type: 'ReleaseHold', party: id, hold: 'case 1', reason } as const;
    given(book, opened).when(place).thenEvents(held);
    given(book, opened, held).when(place).thenRefused('hold_state', { party: id, hold: 'case 1' });
    given(book, opened, held)
      .when(release)
      .thenEvents({ streamId: id, type: 'LegalHoldReleased', data: { hold: 'case 1' } });
    given(book, opened).when(release).thenRefused('hold_state', { party: id, hold: 'case 1' });
  });
});

describe('an erasure', () => {
  it('destroys what no duty covers, and names what stays', () => {
    const retained = [duty('entries-2026'), duty('identity')];
    given(book, opened)
      .when(erase({ retained }))
      .thenEvents({
        streamId: id,
        type: 'PersonErased',
        data: { legalBasis: 'GDPR Art. 17(1)(a)', keys: [{ fingerprint: 'a', scope: 'contact' }], retained },
      });
  });

  it('is recorded as asked for also where a duty covers everything; asked again it has nothing to do', () => {
    const retained = keys.map(({ scope }) => duty(scope));
    given(book, opened).when(erase({ retained })).thenAccepted();
    given(book, opened, erased(retained))
      .when(erase({ retained, position: 6 }))
      .thenRefused('nothing_to_erase', { party: id });
    given(book, opened, erased())
      .when(erase({ keys: [], position: 6 }))
      .thenRefused('nothing_to_erase', { party: id });
  });

  it('of a party under legal hold is refused', () => {
    given(book, opened, held)
      .when(erase())
      .thenRefused('legal_hold', { party: id, holds: ['case 1'] });
  });

  it('that was found out before an entry named the party is found out again', () => {
    const line = (accountId: string, code: string, side: string, line: number) => ({
      ...{ line, accountId, code, side, amount: '1.00', currency: 'EUR' },
      party: { id, kind: 'customer' },
    });
    const posted: GivenEvent = {
      streamId: 'entry',
      type: 'JournalEntryPosted',
      data: {
        ...{ journalCode: 'GENERAL', fiscalYear: '2026', period: 1, number: 1, entryType: 'normal', entryMethod: 'interface' },
        ...{ effectiveDate: '2026-01-15', description: 'Sale', lines: [line('a', 'A', 'debit', 1), line('b', 'B', 'credit', 2)] },
      },
    };
    const before = [...book, account('a', 'A'), account('b', 'B'), opened];
    given(before, posted)
      .when(erase({ position: before.length }))
      .thenRefused('books_moving', { retryAfter: 1 });
    given(before, posted)
      .when(erase({ position: before.length + 1 }))
      .thenAccepted();
  });

  it('of what duties have covered until now leaves the party as it is', () => {
    const end = { type: 'EndRetention', party: id, reason, computed: { keys: keys.slice(1, 2), retained: [], position: 5 } } as const;
    given(book, opened)
      .when(end)
      .thenEvents({ streamId: id, type: 'RetentionEnded', data: { keys: keys.slice(1, 2) } });
    given(book, opened, held).when(end).thenRefused('legal_hold');
    given(book, opened)
      .when({ ...end, computed: { ...end.computed, retained: [duty('entries-2026')] } })
      .thenRefused('nothing_to_erase');
  });
});

describe('a control account', () => {
  const [receivable, sales] = [account('r', 'Receivable', 'customer'), account('s', 'Sales')];
  const post = (party?: { readonly id: string; readonly kind: string }) =>
    ({
      type: 'PostEntry',
      effectiveDate: '2026-01-15',
      description: 'Sale',
      lines: [
        { account: 'Receivable', side: 'debit', amount: '1.00', currency: 'EUR', party },
        { account: 'Sales', side: 'credit', amount: '1.00', currency: 'EUR' },
      ],
    }) as const;
  const there = [...book, receivable, sales];

  it('takes lines that name a party of its kind, and no others', () => {
    given(there, opened)
      .when(post({ id, kind: 'customer' }))
      .thenAccepted();
    given(there, opened).when(post()).thenRefused('party_required', { account: 'Receivable', line: 1 });
    given(there)
      .when(post({ id, kind: 'customer' }))
      .thenRefused('party_unknown', { party: id, line: 1 });
    given(there, opened)
      .when(post({ id, kind: 'supplier' }))
      .thenRefused('party_kind', { account: 'Receivable', line: 1, party: id });
    given(there, opened, closed)
      .when(post({ id, kind: 'customer' }))
      .thenRefused('party_closed', { party: id, line: 1 });
    given(there, { ...opened, data: { kind: 'employee' } })
      .when(post({ id, kind: 'employee' }))
      .thenRefused('party_kind', { account: 'Receivable', line: 1, party: id });
  });

  it('of any kind takes each by its own', () => {
    const any = [...book, account('r', 'Receivable', 'any'), sales];
    given(any, opened)
      .when(post({ id, kind: 'customer' }))
      .thenAccepted();
    given(any, opened)
      .when(post({ id, kind: 'other' }))
      .thenRefused('party_kind', { account: 'Receivable', line: 1, party: id });
  });

  it('takes nothing that the service adds by itself, which names nobody', () => {
    given(book, { ...account('c', 'Conversion', 'any'), data: { ...account('c', 'Conversion', 'any').data, type: 'equity' } })
      .when({ type: 'DesignateAccount', role: 'currency_conversion', account: 'Conversion' })
      .thenRefused('role_invalid', { account: 'Conversion', role: 'currency_conversion' });
  });

  it('lets an entry be reversed after its party was closed or erased', () => {
    const { when } = given(there, opened);
    const events = when(post({ id, kind: 'customer' }), { id: 'entry' }).thenAccepted();
    const past = events.map(({ streamId, type, data }) => ({ streamId, type, data }));
    given(there, opened, past, closed, erased())
      .when({ type: 'ReverseEntry', entryId: 'entry', reason }, { actor: controller('c'), today: '2026-02-01' })
      .thenAccepted();
  });
});

describe('a retention rule', () => {
  const rule = (years: number) => ({ country: 'DE', documentType: 'books', years, source: 'ours' });

  it('is a fact of the book', () => {
    given(book)
      .when({ type: 'DefineRetention', ...rule(12), reason })
      .thenEvents({ streamId: 'book', type: 'RetentionDefined', data: rule(12) });
  });

  it('that is shorter than the built-in one is stated by a controller: what it no longer covers is erased', () => {
    given(book)
      .when({ type: 'DefineRetention', ...rule(0), reason })
      .thenRefused('forbidden');
    given(book)
      .when({ type: 'DefineRetention', ...rule(9), documentType: 'quote', reason })
      .thenRefused('forbidden');
    given(book)
      .when({ type: 'DefineRetention', ...rule(0), reason }, { actor: controller('c') })
      .thenEvents({ streamId: 'book', type: 'RetentionDefined', data: rule(0) });
  });
});
