/** The envelope: its members, its hash (two ways), reading older versions of events, and instants with microseconds. */
import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import * as fc from 'fast-check';
import { canonicalJson } from './canonical-json';
import {
  definitionOf,
  type EventCatalogue,
  envelopeOf,
  instantMicros,
  instantText,
  LeafHasher,
  leafHashOf,
  type StoredEvent,
  upcast,
} from './envelope';
import { uuidV7 } from './ids';

type Data = Readonly<Record<string, unknown>>;
/** An event type that was born with a `name`, got `names` instead, and then a `count` of them. */
const catalogue: EventCatalogue = {
  Noted: {
    aggregateType: 'Note',
    version: 3,
    upcasters: [
      ({ name, ...rest }: Data) => ({ ...rest, names: [name] }),
      (data: Data) => ({ ...data, count: (data.names as unknown[]).length }),
    ],
  },
  Plain: { aggregateType: 'Note', version: 1 },
  Broken: { aggregateType: 'Note', version: 3, upcasters: [(data: Data) => data] },
};
const event = (more: Partial<StoredEvent> = {}): StoredEvent => ({
  bookId: 'acme',
  position: 7,
  streamId: '0198c0de-0000-7000-8000-000000000001',
  version: 2,
  eventType: 'Plain',
  eventVersion: 1,
  eventId: '0198c0de-0000-7000-8000-000000000002',
  recordedAt: '2026-07-05T12:00:00.000001Z',
  data: { a: 1 },
  metadata: { userId: 'u1', source: 'REST' },
  leafHash: Buffer.alloc(32),
  ...more,
});

describe('the envelope', () => {
  it('has the members of the contract, userId beside metadata (DESIGN section 4)', () => {
    expect(envelopeOf(catalogue, event())).toEqual({
      eventId: '0198c0de-0000-7000-8000-000000000002',
      eventType: 'Plain',
      eventVersion: 1,
      bookId: 'acme',
      aggregateType: 'Note',
      aggregateId: '0198c0de-0000-7000-8000-000000000001',
      version: 2,
      position: 7,
      recordedAt: '2026-07-05T12:00:00.000001Z',
      userId: 'u1',
      data: { a: 1 },
      metadata: { source: 'REST' },
    });
    expect(envelopeOf(catalogue, event({ metadata: { causationId: 'x' } }))).not.toHaveProperty('userId');
  });

  it('knows every event type, or says that it does not', () => {
    for (const eventType of ['Unknown', 'constructor', 'toString', '__proto__'])
      expect(() => definitionOf(catalogue, eventType)).toThrow('is not known to this release');
  });
});

describe('the leaf hash', () => {
  const aText = fc.string({ unit: 'binary', maxLength: 12 });
  const json = fc.dictionary(aText, fc.jsonValue({ maxDepth: 2, stringUnit: 'binary' }), { maxKeys: 5, noNullPrototype: true });
  const anEvent = fc.record({
    bookId: fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,39}$/),
    position: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    version: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    eventType: fc.constantFrom('Noted', 'Plain'),
    eventVersion: fc.integer({ min: 1, max: 32_767 }),
    micros: fc.integer({ min: 0, max: 4_102_444_800_000_000 }),
    data: json,
    metadata: json,
    userId: fc.option(aText, { nil: undefined }),
  });

  it('is SHA-256 of a zero byte and the canonical envelope, and the same from parts', () => {
    fc.assert(
      fc.property(anEvent, ({ micros, userId, metadata: { userId: _none, ...metadata }, ...rest }) => {
        const given = event({
          ...rest,
          streamId: uuidV7(),
          eventId: uuidV7(),
          recordedAt: instantText(micros),
          metadata: userId === undefined ? metadata : { ...metadata, userId },
        });
        const hash = leafHashOf(catalogue, given).toString('hex');
        const newest = { ...given, eventVersion: definitionOf(catalogue, given.eventType).version };
        const parts = new LeafHasher(catalogue, given.bookId, given.recordedAt).hash(given.eventType, {
          ...given,
          data: canonicalJson(given.data),
          metadata: canonicalJson(metadata),
          userId,
        });
        expect(parts).toBe(leafHashOf(catalogue, newest).toString('hex'));
        const second = createHash('sha256')
          .update(Buffer.from([0]))
          .update(String(canonicalize(envelopeOf(catalogue, given))), 'utf8');
        expect(hash).toBe(second.digest('hex'));
      }),
      { numRuns: 250 },
    );
  });

  it('changes with every member', () => {
    const changes: Partial<StoredEvent>[] = [
      { bookId: 'acme2' },
      { position: 8 },
      { streamId: uuidV7() },
      { version: 3 },
      { eventType: 'Noted' },
      { eventVersion: 2 },
      { eventId: uuidV7() },
      { recordedAt: '2026-07-05T12:00:00.000002Z' },
      { data: { a: 2 } },
      { metadata: { userId: 'u2', source: 'REST' } },
      { metadata: { source: 'REST' } },
      { metadata: { userId: 'u1', source: 'CLI' } },
    ];
    const hashes = [{}, ...changes].map((change) => leafHashOf(catalogue, event(change)).toString('hex'));
    expect(new Set(hashes).size).toBe(changes.length + 1);
  });

  it('is of the stored version, never of the upcasted one', () => {
    const old = event({ eventType: 'Noted', eventVersion: 1, data: { name: 'x' } });
    const hash = leafHashOf(catalogue, old);
    upcast(catalogue, old);
    expect(leafHashOf(catalogue, old)).toEqual(hash);
    expect(old.data).toEqual({ name: 'x' });
  });
});

describe('an event of an older version', () => {
  const noted = (eventVersion: number, data: Data) => upcast(catalogue, event({ eventType: 'Noted', eventVersion, data }));

  it('is read as the newest one, step by step', () => {
    expect(noted(1, { name: 'x', at: 1 })).toEqual({ names: ['x'], count: 1, at: 1 });
    expect(noted(2, { names: ['x', 'y'] })).toEqual({ names: ['x', 'y'], count: 2 });
    expect(noted(3, { names: [], count: 0 })).toEqual({ names: [], count: 0 });
  });

  it('of a newer version than this release knows is refused', () => {
    expect(() => noted(4, {})).toThrow('has version 4 of Noted, this release knows 3');
  });

  it('without a step from its version is refused', () => {
    expect(() => upcast(catalogue, event({ eventType: 'Broken', eventVersion: 2 }))).toThrow('no upcaster from version 2 of Broken');
  });
});

describe('an instant', () => {
  it('is printed with six decimals and read again without change', () => {
    fc.assert(
      fc.property(fc.integer({ min: -2_208_988_800_000_000, max: 7_258_118_399_999_999 }), (micros) => {
        const text = instantText(micros);
        expect(text).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
        expect(instantMicros(text)).toBe(micros);
      }),
      { numRuns: 1_000 },
    );
  });

  it('sorts as its text does', () => {
    const anInstant = fc.integer({ min: -2_208_988_800_000_000, max: 7_258_118_399_999_999 });
    fc.assert(
      fc.property(anInstant, fc.oneof(anInstant, fc.integer({ min: -2_000_000, max: 2_000_000 })), (a, b) => {
        expect(instantText(a) < instantText(b)).toBe(a < b);
      }),
    );
  });

  it.each([
    ['2026-07-05T12:00:00Z', '2026-07-05T12:00:00.000000Z'],
    ['2026-07-05T12:00:00.1Z', '2026-07-05T12:00:00.100000Z'],
    ['2026-07-05t12:00:00.123456z', '2026-07-05T12:00:00.123456Z'],
    ['2026-07-05 12:00:00.1234569Z', '2026-07-05T12:00:00.123456Z'],
    ['2026-07-05T12:00:00+02:00', '2026-07-05T10:00:00.000000Z'],
    ['2026-07-05T00:30:00.5-09:30', '2026-07-05T10:00:00.500000Z'],
    ['2024-02-29T23:59:59.999999Z', '2024-02-29T23:59:59.999999Z'],
    ['1969-12-31T23:59:59.999999Z', '1969-12-31T23:59:59.999999Z'],
  ])('%s is %s', (text, expected) => {
    expect(instantText(instantMicros(text) as number)).toBe(expected);
  });

  it.each([
    '2026-07-05',
    '2026-07-05T12:00Z',
    '2026-07-05T12:00:00',
    '2026-07-05T12:00:00.Z',
    '2026-02-29T12:00:00Z',
    '2026-13-01T12:00:00Z',
    '2026-07-05T24:00:00Z',
    '2026-07-05T12:60:00Z',
    '2026-07-05T12:00:60Z',
    '2026-07-05T12:00:00+24:00',
    '2026-07-05T12:00:00+2:00',
    '2026-07-05T12:00:00 Z',
    '+002026-07-05T12:00:00Z',
    '2026-07-05T12:00:00Z\n',
    '17829936',
    '',
  ])('is never written %j (RFC 3339)', (text) => {
    expect(instantMicros(text)).toBeUndefined();
  });
});
