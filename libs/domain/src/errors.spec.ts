/**
 * Error codes: every one is seen by a test, and when several apply, the one that is declared first wins.
 *
 * Each fault below does to a sound command, or to the book that it meets, what makes it deserve one code and nothing else.
 * Faults of one command can be combined, so the order is walked by every pair of them, adjacent ones included.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
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
  generalJournal,
  given,
  onAccount,
  onBook,
  opened,
  post,
  somebody,
} from '../../../test/support/given-when-then';
import type { BookOpened } from './book';
import type { Actor } from './decision';
import { type ErrorCode, errorTable, LedgerError, precedenceOf, Refusals } from './errors';
import type { ExchangeRateRecorded } from './exchange-rates';
import type { EntryLine } from './journal';
import { openDraftsMax } from './journal-draft';

/** What a fault may change: the book's opening, what happened since, and the command. */
interface Scene {
  opening: Partial<BookOpened>;
  events: GivenEvent[];
  /** Members of the command that are replaced. */
  command: Record<string, unknown>;
  /** Lines of an entry that the fault adds. */
  lines: EntryLine[];
  /** Exchange rates that the fault adds. */
  rates: ExchangeRateRecorded[];
  /** Who sends the command; a controller when absent. */
  actor?: Actor;
  effectiveDate?: string;
  bookMissing?: true;
  oneLineOnly?: true;
}
type Faults = Partial<Record<ErrorCode, (scene: Scene) => void>>;

const usd = (text: string) => ['USD', { baseAmount: text }] as const;
const pair = (code: string, amount: string, currency = 'EUR', extras: object = {}): EntryLine[] => [
  debit(code, amount, currency, extras),
  credit('OK', amount, currency, extras),
];
const chart = [
  account('OK'),
  account('OTHER'),
  account('DOLLARS', { currencies: ['USD'] }),
  account('HEADER', { postable: false }),
  account('FROZEN'),
  onAccount('frozen', 'AccountFrozen'),
  account('CLOSED'),
  onAccount('closed', 'AccountClosed'),
  account('LIMITED', { limits: [{ currency: 'EUR', max: '0' }] }),
  account('CONTROL', { control: 'customer' }),
  { streamId: 'supplier', type: 'PartyOpened', data: { kind: 'supplier' } } as const,
  { streamId: 'gone', type: 'PartyOpened', data: { kind: 'customer' } } as const,
  { streamId: 'gone', type: 'PartyClosed', data: {} } as const,
];
const dateFaults: Faults = {
  date_invalid: (scene) => {
    scene.effectiveDate = '2026-02-30';
  },
  no_fiscal_year: (scene) => {
    scene.events.push(onBook('FiscalYearDefined', { ...(calendarYear(2027).data as never as object), given: true } as never));
    scene.effectiveDate = '2020-01-15';
  },
  before_book_start: (scene) => {
    scene.opening = { startsOn: '2026-02-01' };
    scene.effectiveDate ??= '2026-01-15';
  },
  period_closed: (scene) => {
    scene.events.push(closed('2026', 1));
    scene.effectiveDate ??= '2026-01-15';
  },
};
const bookMissing: Faults = {
  book_unknown: (scene) => {
    scene.bookMissing = true;
  },
};
const adds =
  (...lines: EntryLine[]) =>
  (scene: Scene): void => {
    scene.lines.push(...lines);
  };

/** Of an entry in a book that tracks exchange rates. */
const postingFaults: Faults = {
  ...dateFaults,
  ...bookMissing,
  malformed: adds(...pair('OTHER', '1', 'EUR', { baseAmount: '2' })),
  amount_format: adds(...pair('OTHER', '1e3')),
  account_unknown: adds(...pair('NONE', '1')),
  journal_unknown: (scene) => {
    scene.command.journalCode = 'NONE';
  },
  adjustment_period_unknown: (scene) => {
    scene.command.adjustmentPeriod = 13;
  },
  currency_unknown: adds(...pair('OTHER', '1', 'ZZZ', { baseAmount: '1' })),
  currency_not_allowed: adds(...pair('DOLLARS', '1')),
  scale_exceeded: adds(...pair('OTHER', '1.001')),
  amount_range: adds(...pair('OTHER', '0')),
  base_amount_required: adds(...pair('OTHER', '1', 'USD')),
  account_not_designated: (scene) => {
    scene.command.onImbalance = 'currency_conversion';
    scene.lines.push(debit('OTHER', '1', ...usd('1')), credit('OTHER', '1', 'EUR'));
  },
  party_unknown: adds(...pair('CONTROL', '1', 'EUR', { party: { id: 'nobody', kind: 'customer' } })),
  party_required: adds(...pair('CONTROL', '1')),
  party_kind: adds(...pair('CONTROL', '1', 'EUR', { party: { id: 'supplier', kind: 'supplier' } })),
  party_closed: adds(...pair('CONTROL', '1', 'EUR', { party: { id: 'gone', kind: 'customer' } })),
  too_few_lines: (scene) => {
    scene.oneLineOnly = true;
  },
  unbalanced: adds(debit('OTHER', '1', ...usd('1'))),
  account_not_postable: adds(...pair('HEADER', '1')),
  account_frozen: adds(...pair('FROZEN', '1')),
  account_closed: adds(...pair('CLOSED', '1')),
  limit_exceeded: adds(...pair('LIMITED', '1')),
};

const sound = pair('OTHER', '10');
function linesOf({ lines, oneLineOnly }: Scene): EntryLine[] {
  if (!oneLineOnly) return [...sound, ...lines];
  // With a single line there is no second fault to hide behind it, so it is the one that the other fault has added.
  return (lines.length > 0 ? lines : sound).slice(0, 1);
}
const bookOf = ({ opening, events, bookMissing: missing }: Scene, fx: 'tracked' | 'untracked'): GivenEvent[] =>
  missing ? [] : [opened({ fx, ...opening }), calendarYear(2026), generalJournal, ...chart, ...events];

/** An entry on an account of each kind, posted before the accounts became what they are. */
const original = (entryType: string): GivenEvent => ({
  streamId: 'e1',
  type: 'JournalEntryPosted',
  data: {
    ...{ journalCode: 'GENERAL', fiscalYear: '2026', period: 3, number: 1, entryType, entryMethod: 'interface' },
    ...{ effectiveDate: '2026-03-01', description: 'Sale' },
    lines: [
      { line: 1, accountId: 'ok', code: 'OK', side: 'debit', amount: '2.00', currency: 'EUR' },
      { line: 2, accountId: 'other', code: 'OTHER', side: 'credit', amount: '1.00', currency: 'EUR' },
      { line: 3, accountId: 'limited', code: 'LIMITED', side: 'credit', amount: '1.00', currency: 'EUR' },
    ],
  },
});
const reversingFaults: Faults = {
  ...dateFaults,
  ...bookMissing,
  entry_unknown: (scene) => {
    scene.command.entryId = 'e0';
  },
  account_frozen: (scene) => {
    scene.events.push(onAccount('ok', 'AccountFrozen'));
  },
  account_closed: (scene) => {
    scene.events.push(onAccount('other', 'AccountClosed'));
  },
  limit_exceeded: (scene) => {
    // Something else has filled the account up to its limit since.
    const back = { entryId: 'e9', entryPosition: 9, line: 1, effectiveDate: '2026-03-02', amount: '1.00', currency: 'EUR' };
    scene.events.push(onAccount('limited', 'AccountDebited', { ...back, totalDebit: '1.00', totalCredit: '1.00' }));
  },
  already_reversed: (scene) => {
    scene.events.push({ streamId: 'e1', type: 'JournalEntryReversed', data: { by: 'e2' } });
  },
  reversal_of_reversal: (scene) => {
    scene.events.push(original('reversal'));
  },
};
const reversedBook = (scene: Scene): GivenEvent[] => {
  if (scene.bookMissing) return [];
  const leg = { entryId: 'e1', entryPosition: 1, effectiveDate: '2026-03-01', currency: 'EUR' };
  const legs = [
    onAccount('ok', 'AccountDebited', { ...leg, line: 1, amount: '2.00', totalDebit: '2.00', totalCredit: '0.00' }),
    onAccount('other', 'AccountCredited', { ...leg, line: 2, amount: '1.00', totalDebit: '0.00', totalCredit: '1.00' }),
    onAccount('limited', 'AccountCredited', { ...leg, line: 3, amount: '1.00', totalDebit: '0.00', totalCredit: '1.00' }),
  ];
  const entry = scene.events.find(({ type }) => type === 'JournalEntryPosted') ?? original('normal');
  return [...bookOf({ ...scene, events: [] }, 'tracked'), entry, ...legs, ...scene.events.filter((event) => event !== entry)];
};

/** A draft e1 that says what a scene says, submitted by `first`. */
const draftOf = (scene: Scene, ...after: GivenEvent['type'][]): GivenEvent[] => {
  const effectiveDate = scene.effectiveDate ?? '2026-03-01';
  const { entryId: _entryId, ...more } = scene.command;
  const data = { description: 'Sale', effectiveDate, lines: linesOf(scene), ...more, fiscalYear: '2026', period: 3, createdBy: 'author' };
  const by = { submittedBy: 'first', discardedBy: 'first' };
  return [{ streamId: 'e1', type: 'JournalCreated', data }, ...after.map((type) => ({ streamId: 'e1', type, data: by }))];
};
const unknownDraft: Faults = {
  entry_unknown: (scene) => {
    scene.command.entryId = 'e0';
  },
  draft_state: (scene) => {
    scene.events.push({ streamId: 'e1', type: 'JournalDiscarded', data: { discardedBy: 'first' } });
  },
};
const tooManyDrafts: Faults = {
  too_many_drafts: (scene) => {
    const data = { description: 'Sale', effectiveDate: '2026-03-01', lines: [], fiscalYear: '2026', period: 3, createdBy: 'author' };
    for (let nth = 0; nth < openDraftsMax; nth++) scene.events.push({ streamId: `d${nth}`, type: 'JournalCreated', data });
  },
};
const writingFaults: Faults = {
  ...dateFaults,
  ...bookMissing,
  malformed: postingFaults.malformed,
  amount_format: postingFaults.amount_format,
};
const without = (faults: Faults, ...left: ErrorCode[]): Faults =>
  Object.fromEntries(Object.entries(faults).filter(([code]) => !left.includes(code as ErrorCode)));
const beforeDraft = (scene: Scene): [GivenEvent[], GivenEvent[]] => {
  const own = scene.events.filter(({ streamId }) => streamId === 'e1');
  return [scene.bookMissing ? [] : bookOf({ ...scene, events: scene.events.filter((event) => !own.includes(event)) }, 'tracked'), own];
};

const rate = { from: 'USD', to: 'EUR', date: '2026-01-01', value: '0.9', rateType: 'spot' as const, source: 'ECB' };
const rateFault =
  (more: Partial<typeof rate>) =>
  (scene: Scene): void => {
    scene.rates.push({ ...rate, ...more });
  };
const controllersOnly: Faults = {
  forbidden: (scene) => {
    scene.actor = somebody;
  },
};
const periodFaults: Faults = {
  period_unknown: (scene) => {
    scene.command.period = 13;
  },
  period_state: (scene) => {
    scene.command.period ??= 1;
  },
};
const periodOfCommand =
  (period: number) =>
  (scene: Scene): void => {
    scene.command.period ??= period;
  };
const reopening = (period: number): GivenEvent => onBook('PeriodReopeningRequested', { fiscalYear: '2026', period, requestedBy: 'first' });

/** Every kind of command that can deserve more than one code: its faults, and how a scene becomes a book and a command. */
const commands: Record<string, { faults: Faults; build(scene: Scene): { events: GivenEvent[]; command: DomainCommand } }> = {
  PostEntry: {
    faults: postingFaults,
    build: (scene) => ({
      events: bookOf(scene, 'tracked'),
      command: post(linesOf(scene), { ...scene.command, effectiveDate: scene.effectiveDate ?? '2026-03-01' }),
    }),
  },
  ReverseEntry: {
    faults: reversingFaults,
    build: (scene) => ({
      events: reversedBook(scene),
      command: { type: 'ReverseEntry', entryId: 'e1', reason: 'x', effectiveDate: scene.effectiveDate, ...scene.command },
    }),
  },
  'CorrectEntry, of what it reverses and of what it posts': {
    faults: {
      ...reversingFaults,
      account_unknown: postingFaults.account_unknown,
      journal_unknown: postingFaults.journal_unknown,
      scale_exceeded: postingFaults.scale_exceeded,
      unbalanced: postingFaults.unbalanced,
      account_not_postable: postingFaults.account_not_postable,
      account_closed: postingFaults.account_closed,
    },
    build: (scene) => ({
      events: reversedBook(scene),
      command: {
        type: 'CorrectEntry',
        entryId: 'e1',
        reason: 'x',
        effectiveDate: scene.effectiveDate,
        lines: linesOf(scene),
        ...scene.command,
      },
    }),
  },
  CreateDraft: {
    faults: { ...writingFaults, ...tooManyDrafts },
    build: (scene) => ({
      events: bookOf(scene, 'tracked'),
      command: { ...post(linesOf(scene)), ...scene.command, effectiveDate: scene.effectiveDate ?? '2026-03-01', type: 'CreateDraft' },
    }),
  },
  ReviseDraft: {
    faults: { ...writingFaults, ...unknownDraft, ...tooManyDrafts },
    build: (scene) => {
      const [book, own] = beforeDraft(scene);
      // It comes from another year, where it counts.
      const [written] = draftOf({ ...scene, command: {}, lines: [] });
      const elsewhere = { ...(written as GivenEvent), data: { ...written?.data, fiscalYear: '2025' } };
      return {
        events: scene.bookMissing ? [] : [...book, elsewhere, ...own],
        command: {
          ...post(linesOf(scene)),
          entryId: 'e1',
          ...scene.command,
          effectiveDate: scene.effectiveDate ?? '2026-03-01',
          type: 'ReviseDraft',
        },
      };
    },
  },
  SubmitDraft: {
    faults: {
      ...without(
        postingFaults,
        ...(Object.keys(dateFaults).filter((code) => code !== 'date_invalid') as ErrorCode[]),
        'base_amount_required',
        'account_not_designated',
        'account_frozen',
        'account_closed',
        'limit_exceeded',
      ),
      ...unknownDraft,
    },
    build: (scene) => {
      const [book, own] = beforeDraft(scene);
      const { entryId = 'e1' } = scene.command as { entryId?: string };
      return { events: scene.bookMissing ? [] : [...book, ...draftOf(scene), ...own], command: { type: 'SubmitDraft', entryId } };
    },
  },
  ApproveDraft: {
    faults: {
      ...postingFaults,
      ...unknownDraft,
      second_user_required: (scene) => {
        scene.actor ??= controller('first');
      },
    },
    build: (scene) => {
      const [book, own] = beforeDraft(scene);
      const { entryId = 'e1' } = scene.command as { entryId?: string };
      const events = scene.bookMissing ? [] : [...book, ...draftOf(scene, 'JournalSubmitted'), ...own];
      return { events, command: { type: 'ApproveDraft', entryId } };
    },
  },
  RejectDraft: {
    faults: { ...bookMissing, ...unknownDraft },
    build: (scene) => {
      const [book, own] = beforeDraft(scene);
      const { entryId = 'e1' } = scene.command as { entryId?: string };
      const events = scene.bookMissing ? [] : [...book, ...draftOf(scene, 'JournalSubmitted'), ...own];
      return { events, command: { type: 'RejectDraft', entryId, reason: 'x' } };
    },
  },
  DiscardDraft: {
    faults: { ...bookMissing, ...unknownDraft },
    build: (scene) => {
      const [book, own] = beforeDraft(scene);
      const { entryId = 'e1' } = scene.command as { entryId?: string };
      return { events: scene.bookMissing ? [] : [...book, ...draftOf(scene), ...own], command: { type: 'DiscardDraft', entryId } };
    },
  },
  OpenAccount: {
    faults: {
      ...bookMissing,
      account_exists: (scene) => {
        scene.command.code = 'OK';
      },
      parent_invalid: (scene) => {
        scene.command.parent = 'NONE';
      },
      currency_unknown: (scene) => {
        scene.command.currencies = ['JPY', 'ZZZ'];
      },
      scale_exceeded: (scene) => {
        scene.command.limits = [{ currency: 'JPY', min: '0.5' }];
      },
    },
    build: (scene) => ({
      events: bookOf(scene, 'untracked'),
      command: { type: 'OpenAccount', code: 'NEW', name: 'New', accountType: 'asset', ...scene.command },
    }),
  },
  ChangeAccountCode: {
    faults: {
      ...bookMissing,
      account_unknown: (scene) => {
        scene.command.account = 'NONE';
      },
      account_exists: (scene) => {
        scene.command.code = 'OTHER';
      },
      account_closed: (scene) => {
        scene.command.account ??= 'CLOSED';
      },
    },
    build: (scene) => ({
      events: bookOf(scene, 'untracked'),
      command: { type: 'ChangeAccountCode', account: 'OK', code: 'NEW', ...scene.command } as DomainCommand,
    }),
  },
  UnfreezeAccount: {
    faults: {
      ...bookMissing,
      account_unknown: (scene) => {
        scene.command.account = 'NONE';
      },
      account_not_frozen: (scene) => {
        scene.command.account ??= 'OK';
      },
    },
    build: (scene) => ({
      events: bookOf(scene, 'untracked'),
      command: { type: 'UnfreezeAccount', account: 'FROZEN', ...scene.command } as DomainCommand,
    }),
  },
  CloseAccount: {
    faults: {
      ...bookMissing,
      account_unknown: (scene) => {
        scene.command.account = 'NONE';
      },
      account_not_empty: (scene) => {
        scene.command.account ??= 'LIMITED';
      },
    },
    build: (scene) => ({
      events: reversedBook(scene),
      command: { type: 'CloseAccount', account: 'DOLLARS', ...scene.command } as DomainCommand,
    }),
  },
  OpenBook: {
    faults: {
      malformed: (scene) => {
        scene.command.timeZone = 'Nowhere';
      },
      book_exists: (scene) => {
        scene.events.push(...aBook());
      },
    },
    build: (scene) => ({
      events: scene.events,
      command: { type: 'OpenBook', id: 'acme', name: 'Acme', baseCurrency: 'EUR', fiscalYearStart: '01-01', ...scene.command },
    }),
  },
  EnableCurrency: {
    faults: {
      ...bookMissing,
      malformed: (scene) => {
        scene.command.scale = 1;
      },
      currency_exists: (scene) => {
        scene.events.push(onBook('CurrencyEnabled', { code: 'EUR', scale: 3 }));
      },
    },
    build: (scene) => ({
      events: bookOf(scene, 'untracked'),
      command: { type: 'EnableCurrency', code: 'EUR', scale: 4, ...scene.command },
    }),
  },
  DefineJournal: {
    faults: {
      ...bookMissing,
      journal_exists: (scene) => {
        scene.command.journalCode = 'GENERAL';
      },
    },
    build: (scene) => ({
      events: bookOf(scene, 'untracked'),
      command: { type: 'DefineJournal', journalCode: 'NEW', name: 'New', ...scene.command },
    }),
  },
  DesignateAccount: {
    faults: {
      ...bookMissing,
      account_unknown: (scene) => {
        scene.command.account = 'NONE';
      },
      role_invalid: (scene) => {
        scene.command.account ??= 'HEADER';
      },
    },
    build: (scene) => ({
      events: bookOf({ ...scene, events: [...scene.events, account('CAPITAL', { type: 'equity', normalSide: 'credit' })] }, 'untracked'),
      command: { type: 'DesignateAccount', role: 'retained_earnings', account: 'CAPITAL', ...scene.command } as DomainCommand,
    }),
  },
  RecordRates: {
    faults: {
      ...bookMissing,
      malformed: rateFault({ from: 'EUR' }),
      amount_format: rateFault({ value: '0' }),
      date_invalid: rateFault({ date: '2026-02-30' }),
      currency_unknown: rateFault({ from: 'ZZZ' }),
      rate_exists: (scene) => {
        scene.events.push({ streamId: 'USD/EUR/spot', type: 'ExchangeRateRecorded', data: rate });
        rateFault({})(scene);
      },
    },
    build: (scene) => ({
      events: bookOf(scene, 'untracked'),
      command: { type: 'RecordRates', rates: [{ ...rate, date: '2026-01-02' }, ...scene.rates] },
    }),
  },
  ClosePeriod: {
    faults: {
      ...controllersOnly,
      ...bookMissing,
      ...periodFaults,
      period_order: periodOfCommand(4),
      period_has_drafts: (scene) => {
        scene.events.push(...draftOf({ ...scene, command: {} }));
      },
    },
    build: (scene) => ({
      events: bookOf({ ...scene, events: [...scene.events, closed('2026', 1), closed('2026', 2, 'soft')] }, 'untracked'),
      command: { type: 'ClosePeriod', fiscalYear: '2026', period: 3, level: 'soft', ...scene.command } as DomainCommand,
    }),
  },
  RequestReopening: {
    faults: { ...controllersOnly, ...bookMissing, ...periodFaults, period_order: periodOfCommand(2) },
    build: (scene) => ({
      events: bookOf(
        { ...scene, events: [...scene.events, closed('2026', 1), closed('2026', 2, 'soft'), closed('2026', 3, 'soft')] },
        'untracked',
      ),
      command: { type: 'RequestReopening', fiscalYear: '2026', period: 3, reason: 'x', ...scene.command } as DomainCommand,
    }),
  },
  ApproveReopening: {
    faults: {
      ...controllersOnly,
      ...bookMissing,
      ...periodFaults,
      period_order: (scene) => {
        scene.events.push(closed('2026', 3, 'soft'));
      },
      second_user_required: (scene) => {
        scene.actor ??= controller('first');
      },
    },
    build: (scene) => ({
      events: bookOf({ ...scene, events: [closed('2026', 1), closed('2026', 2, 'soft'), reopening(2), ...scene.events] }, 'untracked'),
      command: { type: 'ApproveReopening', fiscalYear: '2026', period: 2, ...scene.command } as DomainCommand,
    }),
  },
  DefineFiscalYear: {
    faults: {
      ...bookMissing,
      fiscal_year_invalid: (scene) => {
        scene.command.from = '2027-01-02';
      },
    },
    build: (scene) => ({
      events: bookOf(scene, 'untracked'),
      command: { type: 'DefineFiscalYear', label: '2027', from: '2027-01-01', to: '2027-12-31', ...scene.command },
    }),
  },
};

const codes = Object.keys(errorTable) as ErrorCode[];
const inOrder = (faults: Faults): ErrorCode[] => codes.filter((code) => faults[code] !== undefined);
const meet = (name: string, ...faults: ErrorCode[]) => {
  const kind = commands[name];
  if (kind === undefined) throw new Error(`no command ${name}`);
  const scene: Scene = { opening: {}, events: [], command: {}, lines: [], rates: [] };
  for (const code of faults) kind.faults[code]?.(scene);
  const { events, command } = kind.build(scene);
  return given(events).when(command, { actor: scene.actor ?? controller('second') });
};

/** A command has one date, and the date cannot be wrong in these two ways at once. */
const exclusive = (a: ErrorCode, b: ErrorCode): boolean =>
  [a, b].includes('date_invalid')
    ? [a, b].some((code) => code !== 'date_invalid' && dateFaults[code])
    : ([a, b].includes('no_fiscal_year') && [a, b].includes('period_closed')) || samePeriod.every((code) => [a, b].includes(code));
/** Neither can a period be the wrong one in both ways. */
const samePeriod: readonly ErrorCode[] = ['period_state', 'period_order'];
/** The edge has checked the form of a command before the book is looked for; inside, the book is needed to check the form. */
const formBeforeBook = (a: ErrorCode, b: ErrorCode): boolean => b === 'book_unknown' && errorTable[a].kind === 'invalid';
/** What a draft says cannot be wrong where there is none. */
const saidByDraft = (name: string, a: ErrorCode, b: ErrorCode): boolean =>
  ['SubmitDraft', 'ApproveDraft'].includes(name) && b === 'entry_unknown' && errorTable[a].kind === 'invalid';

describe.each(Object.keys(commands))('%s', (name) => {
  const faults = inOrder(commands[name]?.faults ?? {});

  it('without a fault is carried out', () => {
    meet(name).thenAccepted();
  });

  it.each(faults)('is refused with %s', (code) => {
    meet(name, code).thenRefused(code);
  });

  const pairs = faults.flatMap((first, index) => faults.slice(index + 1).map((second) => [first, second] as const));
  const walk = pairs.filter(
    ([first, second]) => !exclusive(first, second) && !formBeforeBook(first, second) && !saidByDraft(name, first, second),
  );
  if (walk.length > 0) {
    it(`is refused with the code that is declared first, for each of ${walk.length} pairs`, () => {
      for (const [first, second] of walk) {
        // In either order of happening.
        for (const pair of [[first, second] as const, [second, first] as const]) meet(name, ...pair).thenRefused(first);
      }
    });
  }
});

describe('the table of codes', () => {
  it('has the order of the contract (DESIGN section 8)', () => {
    const contract = `malformed unknown_member amount_not_string amount_format date_invalid text_invalid too_large key_missing
      idempotency_key_reused book_unknown account_unknown journal_unknown currency_unknown currency_not_allowed scale_exceeded amount_range
      too_few_lines unbalanced no_fiscal_year before_book_start period_closed account_not_postable account_frozen account_closed
      limit_exceeded already_reversed reversal_of_reversal queue_full projection_behind database_unavailable`.split(/\s+/);
    expect(codes.filter((code) => contract.includes(code))).toEqual(contract);
    expect(codes.map(precedenceOf)).toEqual(codes.map((_, index) => index));
  });

  it('gives no code a member that every problem document has already (RFC 9457 section 3.1)', () => {
    const standard = ['type', 'title', 'status', 'detail', 'instance', 'code'];
    for (const [code, { members = [] }] of Object.entries(errorTable) as [string, { members?: readonly string[] }][])
      expect({ code, members: members.filter((member) => standard.includes(member)) }).toEqual({ code, members: [] });
  });

  const byDomain = new Set(Object.values(commands).flatMap(({ faults }) => inOrder(faults)));
  /** Codes that no rule of the book raises; the edge, the queue and the queries do. */
  const elsewhere: readonly ErrorCode[] = [
    'unauthenticated',
    'unknown_member',
    'amount_not_string',
    'text_invalid',
    'too_large',
    'key_missing',
    'idempotency_key_reused',
    'route_unknown',
    'export_unfit',
    'export_inconsistent',
    'tile_unknown',
    'format_unknown',
    'stream_unknown',
    'projection_unknown',
    'fx_untracked',
    'rate_unknown',
    'report_currency_needed',
    'fx_untracked',
    'rate_unknown',
    'books_moving',
    'queue_full',
    'not_sealed',
    'projection_behind',
    'books_moving',
    'actions_unavailable',
    'party_exists',
    'person_erased',
    'legal_hold',
    'hold_state',
    'nothing_to_erase',
    'keys_unavailable',
    'archive_unreadable',
    'database_unavailable',
    'internal',
  ];

  it('has no member that a problem document has of its own (RFC 9457): a client would read another status than the answer has', () => {
    const own = ['type', 'title', 'status', 'detail', 'instance', 'code'];
    for (const [code, { members = [] }] of Object.entries(errorTable) as [string, { members?: readonly string[] }][])
      expect({ code, taken: members.filter((member) => own.includes(member)) }).toEqual({ code, taken: [] });
  });

  it('has a row above for every code, or a spec elsewhere that names it', () => {
    expect(codes.filter((code) => byDomain.has(code) === elsewhere.includes(code))).toEqual([]);
    const root = join(__dirname, '..', '..', '..');
    const specs = ['apps', 'libs', 'test'].flatMap((top) =>
      readdirSync(join(root, top), { recursive: true, encoding: 'utf8' })
        .filter((file) => file.endsWith('.spec.ts') && !file.startsWith(join('domain', 'src')))
        .map((file) => readFileSync(join(root, top, file), 'utf8')),
    );
    expect(elsewhere.filter((code) => !specs.some((text) => new RegExp(`['"]${code}['"]|\\b${code}:`).test(text)))).toEqual([]);
  });
});

describe('refusals', () => {
  it('keep the first declared one, whatever is noted first, and build no other message', () => {
    const built: string[] = [];
    const refusals = new Refusals();
    const note = (code: ErrorCode) =>
      refusals.note(code, () => {
        built.push(code);
        return code;
      });
    expect(refusals.any).toBe(false);
    refusals.throwFirst();
    for (const code of ['unbalanced', 'limit_exceeded', 'account_unknown', 'account_unknown', 'unbalanced'] as const) note(code);
    expect(refusals.any).toBe(true);
    expect(built).toEqual(['unbalanced', 'account_unknown']);
    expect(() => refusals.throwFirst()).toThrow(expect.objectContaining({ code: 'account_unknown', kind: 'rejected' }));
  });

  it('have the kind of their code, but where one code has two', () => {
    expect(new LedgerError('period_closed', 'x').kind).toBe('rejected');
    expect(new LedgerError('account_unknown', 'x', {}, 'not_found').kind).toBe('not_found');
    const cause = new Error('y');
    expect(new LedgerError('internal', 'x', {}, undefined, { cause })).toMatchObject({ kind: 'internal', cause, name: 'LedgerError' });
  });
});
