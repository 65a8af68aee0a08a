/** What is written into a file of cold storage comes out of it byte for byte, whatever texts are in it and however large they are. */
import * as crypto from 'node:crypto';
import * as fc from 'fast-check';
import { type ArchivedEvent, ArchiveFile, ContentHash, DecodedGroups, encodeArchive, subtreeRoot } from './archive-file';
import { archiveFileName } from './cold-store';
import { TreeEdge } from './merkle';

const uuid = fc.uuid();
const event = fc.record({
  version: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  recordedAt: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  streamId: uuid,
  eventId: uuid,
  eventVersion: fc.integer({ min: 1, max: 32_767 }),
  eventType: fc.constantFrom('BookOpened', 'JournalEntryPosted', 'AccountDebited'),
  data: fc.string({ unit: 'binary' }),
  metadata: fc.string({ unit: 'grapheme' }),
  leafHash: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes)),
});
const numbered = (events: readonly Omit<ArchivedEvent, 'position'>[], from = 1): ArchivedEvent[] =>
  events.map((one, index) => ({ position: from + index, ...one }));

async function all(file: ArchiveFile): Promise<ArchivedEvent[]> {
  const found: ArchivedEvent[] = [];
  for await (const some of file.events(0, file.count)) found.push(...some);
  return found;
}

function contentHash(events: readonly ArchivedEvent[]): Buffer {
  const hash = new ContentHash();
  for (const one of events) hash.add(one);
  return hash.digest();
}

const plain = (index: number, characters = 20): Omit<ArchivedEvent, 'position'> => ({
  ...{ version: 1 + index, recordedAt: 1_790_000_000_000_000 + index, eventVersion: 1, eventType: index % 3 === 0 ? 'A' : 'B' },
  ...{ streamId: crypto.randomUUID(), eventId: crypto.randomUUID(), leafHash: crypto.randomBytes(32) },
  ...{ data: `{"text": "${'ü'.repeat(characters)}${index}"}`, metadata: '{}' },
});

describe('a file of events', () => {
  it('gives back any events', () =>
    fc.assert(
      fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 1e12 }), async (some, from) => {
        const events = numbered(some, from);
        expect(await all(new ArchiveFile(await encodeArchive('acme', events)))).toEqual(events);
      }),
      { numRuns: 60 },
    ));

  it('gives back several row groups, entries of a megabyte among them, and any part of them', async () => {
    // A column of these has many pages.
    const events = numbered(Array.from({ length: 2_600 }, (_, index) => plain(index, index % 300 === 7 ? 500_000 : 20)));
    const file = new ArchiveFile(await encodeArchive('acme', events));
    expect(await all(file)).toEqual(events);
    for (const [from, to] of [
      [0, 1],
      [255, 257],
      [1_000, 2_100],
      [2_599, 2_600],
      [2_600, 2_700],
    ] as const) {
      const found: ArchivedEvent[] = [];
      for await (const some of file.events(from, to, (type) => type === 'A')) found.push(...some);
      expect(found).toEqual(events.slice(from, to).filter(({ eventType }) => eventType === 'A'));
    }
    const places = [0, 7, 8, 1_023, 1_024, 1_807, 2_599];
    expect(await file.at(places)).toEqual(places.map((place) => events[place]));
  });

  it('is known by the root of its leaves and by every column of every row', () => {
    const events = numbered(Array.from({ length: 700 }, (_, index) => plain(index)));
    const edge = new TreeEdge();
    for (const { leafHash } of events) edge.add(leafHash);
    expect(subtreeRoot(events)).toEqual(edge.root());
    const whole = contentHash(events);
    const [first, ...others] = events as [ArchivedEvent, ...ArchivedEvent[]];
    const changes: Partial<ArchivedEvent>[] = [
      ...[{ position: 2 }, { version: 2 }, { recordedAt: 1 }, { streamId: crypto.randomUUID() }, { eventId: crypto.randomUUID() }],
      ...[{ eventVersion: 2 }, { eventType: 'C' }, { data: '{}' }, { metadata: '{"a": 1}' }, { leafHash: Buffer.alloc(32) }],
    ];
    for (const change of changes) expect(contentHash([{ ...first, ...change }, ...others])).not.toEqual(whole);
  });

  it('decodes a row group once for several readers at a time, and keeps only so many bytes of them', async () => {
    const events = numbered(Array.from({ length: 4_096 }, (_, index) => plain(index)));
    const bytes = await encodeArchive('acme', events);
    const decoded = (file: ArchiveFile): jest.SpyInstance => jest.spyOn(file as unknown as { decode: () => Promise<unknown> }, 'decode');
    const file = new ArchiveFile(bytes, new DecodedGroups(Number.MAX_SAFE_INTEGER));
    const count = decoded(file);
    // Each reads in a group of its own, and they take turns.
    const places = [0, 1, 2, 3].map((group) => Array.from({ length: 50 }, (_, index) => group * 1_024 + index * 20));
    const found = await Promise.all([...places, ...places].map((some) => file.at(some)));
    expect(found).toEqual([...places, ...places].map((some) => some.map((place) => events[place])));
    expect(count).toHaveBeenCalledTimes(4);

    const forgetful = new ArchiveFile(bytes, new DecodedGroups(1));
    const each = decoded(forgetful);
    expect(await Promise.all(places.map((some) => forgetful.at(some)))).toEqual(places.map((some) => some.map((place) => events[place])));
    expect(each).toHaveBeenCalledTimes(4);
    expect(await forgetful.at([4_000, 4_001])).toEqual(events.slice(4_000, 4_002));
    expect(each).toHaveBeenCalledTimes(4);
    await forgetful.at([0]);
    expect(each).toHaveBeenCalledTimes(5);
  });

  it('has a name that no other bytes have', () => {
    const hash = crypto.createHash('sha256').update('x').digest();
    expect(archiveFileName('acme', 1, 65_536, hash)).toBe('acme/000000000001-000000065536.2d711642b726b044.parquet');
  });
});
