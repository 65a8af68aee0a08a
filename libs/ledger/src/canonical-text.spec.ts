/** The short way to the bytes of entries and their events: the same as canonicalJson, whatever members there are. */
import * as fc from 'fast-check';
import type { AccountPosted, EntryLine, JournalEntryPosted, PostEntry, PostedLine } from '#domain';
import { canonicalJson, uuidV7 } from '#event-store';
import { entryText, legText, metadataText, postEntryText } from './canonical-text';

const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
/** Any text that may be stored: everything but lone surrogates. */
const text = fc.string({ unit: 'binary', maxLength: 30 });
const amount = fc.tuple(fc.nat(), fc.nat({ max: 99 })).map(([whole, cents]) => `${whole}.${String(cents).padStart(2, '0')}`);
const date = fc.nat({ max: 109_000 }).map((days) => new Date(Date.UTC(1900, 0, 1) + days * 86_400_000).toISOString().slice(0, 10));
const currency = fc.constantFrom('EUR', 'JPY', 'x-1._a');
const id = fc.constant('').map(() => uuidV7());
const pairs = fc.array(fc.record({ key: text, value: text }), { maxLength: 3 });
const metadata = fc.dictionary(text, fc.oneof(text, fc.boolean(), fc.integer(), fc.array(text), fc.dictionary(text, text)));

const leg: fc.Arbitrary<AccountPosted> = fc.record({
  entryId: id,
  entryPosition: fc.nat(),
  line: fc.nat(),
  effectiveDate: date,
  amount,
  currency,
  baseAmount: maybe(amount),
  totalDebit: amount,
  totalCredit: amount,
});

const line: fc.Arbitrary<PostedLine> = fc.record({
  line: fc.nat(),
  accountId: id,
  code: text,
  side: fc.constantFrom('debit' as const, 'credit' as const),
  amount,
  currency,
  baseAmount: maybe(amount),
  rate: maybe(fc.record({ value: amount, date, source: text })),
  description: maybe(text),
  party: maybe(fc.record({ id: text, kind: text })),
  dimensions: maybe(pairs),
  tax: maybe(fc.array(fc.record({ code: text, base: amount, amount }))),
  quantity: maybe(fc.record({ value: amount, unit: text })),
  dueDate: maybe(date),
  valueDate: maybe(date),
  reference: maybe(text),
  origin: maybe(text),
});

const entry: fc.Arbitrary<JournalEntryPosted> = fc.record({
  journalCode: fc.constantFrom('GENERAL', 'CASH-1_A'),
  fiscalYear: text,
  period: fc.nat(),
  number: fc.nat(),
  entryType: fc.constantFrom('normal' as const, 'closing' as const),
  entryMethod: fc.constantFrom('manual' as const, 'interface' as const),
  effectiveDate: date,
  description: text,
  lines: fc.array(line, { maxLength: 4 }),
  requestedDate: maybe(date),
  reference: maybe(text),
  document: maybe(fc.record({ type: text, number: text, date, uri: maybe(text), sha256: maybe(text) })),
  source: maybe(fc.record({ system: text, id: text, original: maybe(fc.record({ journal: maybe(text), enteredBy: maybe(text) })) })),
  links: maybe(fc.array(fc.record({ rel: fc.constantFrom('settles' as const, 'intercompany' as const), entryId: id }))),
  metadata: maybe(metadata),
});

const command: fc.Arbitrary<PostEntry> = fc
  .tuple(entry, fc.array(line, { maxLength: 4 }), maybe(text), fc.boolean(), fc.boolean())
  .map(([{ fiscalYear: _y, period: _p, number: _n, ...entry }, lines, reason, plainEntry, plainLines]) => {
    const { description, effectiveDate, entryType, journalCode, reference, ...rare } = entry;
    return {
      type: 'PostEntry',
      ...(plainEntry ? {} : rare),
      reason,
      // In no particular order: callers have none.
      ...{ reference, journalCode, effectiveDate, description, entryType },
      lines: lines.map(({ accountId: _a, line: _l, code, ...given }): EntryLine => {
        const { side, amount, currency, description: about } = given;
        return plainLines ? { side, account: code, currency, amount, description: about } : { account: code, ...given };
      }),
    } as PostEntry;
  });

describe('text that is put together member by member', () => {
  it('is the canonical JSON of a leg', () => {
    fc.assert(
      fc.property(leg, (data) => expect(legText(data)).toBe(canonicalJson(data))),
      { numRuns: 300 },
    );
  });

  it('is the canonical JSON of an entry, with any optional members', () => {
    fc.assert(
      fc.property(entry, (data) => expect(entryText(data)).toBe(canonicalJson(data))),
      { numRuns: 1_000 },
    );
  });

  it('is the canonical JSON of a command to post, with rare members and without', () => {
    fc.assert(
      fc.property(command, (given) => expect(postEntryText(given)).toBe(canonicalJson(given))),
      { numRuns: 1_000 },
    );
  });

  it.each(['document', 'links', 'metadata', 'requestedDate', 'source', 'reason', 'reference', 'journalCode'])(
    'tells %s from nothing when it is null, and from text when it is none',
    (member) => {
      fc.assert(
        fc.property(command, fc.constantFrom(null, 5, true), (given, value) => {
          const other = { ...given, [member]: value } as unknown as PostEntry;
          expect(postEntryText(other)).toBe(canonicalJson(other));
          const lines = given.lines.map((line) => ({ ...line, party: null, description: value }));
          const within = { ...given, lines } as unknown as PostEntry;
          expect(postEntryText(within)).toBe(canonicalJson(within));
        }),
        { numRuns: 50 },
      );
    },
  );

  it('is the canonical JSON of the metadata of a command', () => {
    const metadata = fc.record({
      commandHash: fc.constant('0a'),
      commandKey: text,
      contextHash: maybe(fc.constant('ff')),
      correlationId: maybe(text),
      onBehalfOf: maybe(text),
      reason: maybe(text),
      release: text,
      source: fc.constantFrom('REST', 'job'),
    });
    fc.assert(
      fc.property(metadata, (given) => expect(metadataText(given)).toBe(canonicalJson(given))),
      { numRuns: 300 },
    );
  });

  it('refuses a lone surrogate as canonicalJson does', () => {
    fc.assert(
      fc.property(entry, (data) => expect(() => entryText({ ...data, description: '\ud800' })).toThrow('lone surrogate')),
      { numRuns: 5 },
    );
  });
});
