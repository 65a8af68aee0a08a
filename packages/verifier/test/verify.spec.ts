/** What a sound pack is, and that each thing that can be wrong with one is found and named with its place. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { CannotCheck } from '../pack.mjs';
import { verifyPack } from '../verify.mjs';
import { newFolder, onDisk, verify, wrongChecks } from './packs.ts';
import {
  BookWriter,
  canonicalize, checkpointText, type Event, type Files, first, keyRows, laterName, leafOf, ORIGIN, packOf, sampleBook, samplePack, seal,
  second, signNote, stranger, testKey, treeRoot, witness, zip,
} from './sample-pack.ts'; // biome-ignore format: a list

const usual = samplePack();
const events = (): Event[] => structuredClone(sampleBook().events);
const leaves = sampleBook().events.map(leafOf);
const text = (files: Files, name: string) => `${files.get(name)}`;
/** Positions of events in the sample book. */
const at = (eventType: string, nth = 1) => events().filter((event) => event.eventType === eventType)[nth - 1].position as number;
const entry = (nth: number) => at('JournalEntryPosted', nth);

/** The usual files with one of them changed, sealed again with a key that is trusted: only what the file says can give it away. */
function changed(name: string, change: (text: string) => string, signer = second): Files {
  const before = text(usual, name);
  const after = change(before);
  if (after === before) throw new Error(`the change of ${name} changes nothing`);
  return seal(new Map(usual).set(name, Buffer.from(after)), signer);
}
const replaced = (name: string, from: string | RegExp, to: string) => changed(name, (before) => before.replace(from, to));
/** The usual pack with another manifest, signed by a key that is trusted. */
const manifested = (change: (manifest: Event) => void) => seal(usual, second, change);
/** A pack of changed events, with a tree, reports and signatures that fit them: as if the service had recorded them so. */
function recorded(change: (list: Event[]) => Event[] | undefined): Files {
  const list = events();
  return packOf(change(list) ?? list);
}
const edited = (position: number, change: (event: Event) => void) =>
  recorded((list) => {
    change(list[position - 1]);
    return list;
  });
/** Events that were changed behind the back of a log, whose reports and hashes were made to fit; nobody signed them. */
const forged = (change: (list: Event[]) => Event[] | undefined) => {
  const list = events();
  return packOf(change(list) ?? list, {
    checkpoints: (all, origin) => [signNote(checkpointText(origin, all), stranger)],
    signer: stranger,
  });
};

describe('a sound pack', () => {
  it('holds, and says what was checked', async () => {
    const result = await verify(usual, { keys: [first.text, witness.text] });
    expect(result).toMatchObject({ ok: true, findings: [], count: 0 });
    expect(result.warnings).toEqual([`The last checkpoint is not signed by the witness ${witness.text}, whose key was given.`]);
    expect(Object.fromEntries(result.checks.map(({ name, said }) => [name, said]))).toEqual({
      files: expect.stringMatching(/^15 files with \d\d \d{3} bytes: each is there once/),
      events: '56 events: their form, positions, versions and times',
      tree: "3 of 4 checkpoints have the root of the events before them; the last one, of 62 events, contains this pack's",
      signatures: '4 checkpoints, with 1 signatures of witnesses; keys given: 2, trusted by their statements: 1',
      'kept checkpoints': 'none were given',
      books:
        '10 entries with 24 lines balance, 1 of them in base amounts too; their account events, running totals and numbers agree; 10 accounts',
      reports:
        'computed again and compared, in rows: chart-of-accounts 10, trial-balance 14, general-ledger 31, journal 14, period-locks 6; control totals',
    });
    expect(result.byHashOnly).toEqual(['README.txt', 'exports/datev/EXTF_Buchungsstapel.csv', 'exports/datev/names.csv']);
  });

  it.each<[string, () => Files]>([
    ['over the whole history', () => samplePack({ range: { from: '2025-01-01', to: '2026-12-31', yearFrom: '2025-01-01' } })],
    ['without the year’s beginning', () => samplePack({ range: { from: '2026-02-01', to: '2026-06-30' } })],
    ['of a range without entries', () => samplePack({ range: { from: '2027-01-01', to: '2027-12-31', yearFrom: '2027-01-01' } })],
    ['of one day', () => samplePack({ range: { from: '2026-02-01', to: '2026-02-01', yearFrom: '2026-01-01' } })],
    ['with nothing behind it in the log', () => samplePack({ beyond: [] })],
    ['of a book with nothing in it', () => packOf(new BookWriter().events)],
    ['with what changed since an earlier pack', () => samplePack({ since: 30 })],
    ['with what changed since nothing was known', () => samplePack({ since: 0 })],
    ['with what changed since the same events', () => samplePack({ since: 56 })],
    [
      'with accounts that were unfrozen and closed',
      () => {
        const book = sampleBook();
        book.append('id-8888', 'Account', 'AccountUnfrozen', {});
        book.append('id-9100', 'Account', 'AccountFrozen', {});
        book.append('id-9100', 'Account', 'AccountClosed', {});
        return packOf(book.events);
      },
    ],
    [
      'with events of other versions and members',
      () =>
        edited(entry(1), (event) => {
          event.eventVersion = 7;
          event.data.more = { x: 1 };
        }),
    ],
  ])('holds %s', async (_, pack) => {
    expect(await verify(pack())).toMatchObject({ ok: true, findings: [] });
  });

  it('holds for any book', async () => {
    const date = fc.constantFrom('2025-06-30', '2025-12-31', '2026-01-01', '2026-01-31', '2026-02-01', '2026-06-30', '2026-07-01');
    const account = fc.constantFrom('1100', '1210', '3000', '4000', '5000', '9000');
    const line = fc.record({
      debit: account,
      credit: account,
      minor: fc.bigInt({ min: 0n, max: 10n ** 30n }),
      currency: fc.constantFrom('EUR', 'USD', 'JPY'),
    });
    const posting = fc.record({
      date,
      journal: fc.constantFrom('GJ', 'SA', 'J/1'),
      lines: fc.array(line, { minLength: 1, maxLength: 4 }),
      description: fc.string(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(posting, { maxLength: 12 }), async (postings) => {
        const book = new BookWriter('acme', { baseCurrency: 'EUR', fx: 'none', timeZone: 'UTC', name: 'Any' });
        for (const code of ['1000', '4000', '5000', '3000'])
          book.account(code, { 1: 'asset', 3: 'equity', 4: 'income', 5: 'expense' }[code[0] ?? ''] ?? '');
        for (const [code, parentId] of [
          ['1100', 'id-1000'],
          ['1210', 'id-1100'],
          ['9000', undefined],
        ])
          book.account(code ?? '', code === '9000' ? 'memorandum' : 'asset', parentId ? { parentId } : {});
        for (const { date, journal, lines, description } of postings) {
          const both = lines.flatMap(({ debit, credit, minor, currency }) => {
            const digits = `${minor}`.padStart(3, '0');
            const amount = currency === 'JPY' ? `${minor}` : `${digits.slice(0, -2)}.${digits.slice(-2)}`;
            return [
              { account: debit, debit: amount, currency },
              { account: credit, credit: amount, currency },
            ];
          });
          book.post(journal, date, both, description);
        }
        expect(await verify(packOf(book.events))).toMatchObject({ ok: true, findings: [] });
      }),
      { numRuns: 40 },
    );
  });

  it('tells its progress', async () => {
    const seen: object[] = [];
    await verifyPack(onDisk(usual), { keys: [first.text], onProgress: (progress) => seen.push(progress) });
    expect(seen).toEqual([{ events: 56, of: 56 }]);
  });
});

interface Violation {
  check: string;
  file: string;
  position?: number;
  line?: number;
  account?: string;
  what: string | RegExp;
  expected?: string | RegExp;
  found?: string | RegExp;
}
const matching = (value: string | number | RegExp | undefined) => (value instanceof RegExp ? expect.stringMatching(value) : value);
/** A violation, the pack that has it, and what the first finding must say. */
type Row = [string, () => Files, Violation];
async function expectFirst(pack: () => Files, violation: Violation) {
  const result = await verify(pack());
  expect(result.ok).toBe(false);
  // A manifest that nobody who is trusted has signed is told before all that it leads to.
  const told = result.findings.filter(({ file }) => violation.check === 'files' || file !== 'manifest.note');
  expect(result.first?.check).toBe(told.length < result.findings.length ? 'files' : violation.check);
  expect(told[0]).toMatchObject(Object.fromEntries(Object.entries(violation).map(([name, value]) => [name, matching(value)])));
  expect(wrongChecks(result)).toContain(violation.check);
  return result;
}

const EVENTS = 'log/events.jsonl';
const inEvents = { check: 'events', file: EVENTS } as const;
const inBooks = { check: 'books', file: EVENTS } as const;

describe('files', () => {
  const withFile = (name: string, content: string) => {
    const files = [...usual];
    files.splice(-2, 0, [name, Buffer.from(content)]);
    return seal(new Map(files));
  };
  const without = (name: string) => new Map([...usual].filter(([each]) => each !== name));
  const check = 'files';
  it.each<Row>([
    [
      'a file that was changed',
      () => new Map(usual).set('README.txt', Buffer.from('This is an audit pack!\n')),
      { check, file: 'README.txt', what: 'its SHA-256 is not that of the manifest' },
    ],
    [
      'a file with another size',
      () => new Map(usual).set('exports/datev/names.csv', Buffer.from('x')),
      { check, file: 'exports/datev/names.csv', what: 'its size is not that of the manifest', expected: '11', found: '1' },
    ],
    [
      'a file that is missing',
      () => without('exports/datev/names.csv'),
      { check, file: 'exports/datev/names.csv', what: 'there is no file exports/datev/names.csv' },
    ],
    [
      'a file too many',
      () => new Map([['more.txt', Buffer.from('')], ...usual]),
      { check, file: 'more.txt', what: 'the manifest does not list this file' },
    ],
    [
      'files in another order',
      () => new Map([...usual].toReversed()),
      { check, file: 'manifest.json', what: 'the archive has its files in another order', expected: 'README.txt', found: 'manifest.note' },
    ],
    [
      'a file of the format that is missing in the manifest too',
      () => seal(without('reports/period-locks.csv')),
      { check, file: 'manifest.json', what: 'it does not list reports/period-locks.csv' },
    ],
    [
      'changes without an earlier pack',
      () => seal(new Map([['reports/changes-since.csv', Buffer.from('')], ...usual])),
      { check, file: 'manifest.json', what: 'reports/changes-since.csv is there if and only if "since" is' },
    ],
    [
      'a file that is listed twice',
      () => manifested((manifest) => manifest.files.push(manifest.files[0])),
      { check, file: 'manifest.json', what: 'it lists a file twice' },
    ],
    [
      'a file that the format does not know',
      () => withFile('reports/balance-sheet.csv', 'forged'),
      { check, file: 'reports/balance-sheet.csv', what: 'the format knows no such file' },
    ],
    [
      'a file that some computers take for another',
      () => withFile('exports/datev/Names.csv. ', 'forged'),
      { check, file: 'exports/datev/Names.csv. ', what: 'some computers take it for the same file as exports/datev/names.csv' },
    ],
    [
      'a list in another order than the format',
      () => seal(new Map([...usual].toSorted(([a], [b]) => (a < b ? -1 : 1)))),
      { check, file: 'manifest.json', what: 'it lists the files in another order than the format', expected: 'log/keys.json' },
    ],
    [
      'changes since a pack that is later',
      () =>
        manifested((manifest) => {
          manifest.since = 57;
        }),
      { check, file: 'manifest.json', what: 'the earlier pack that changes are told since is later than this one' },
    ],
    [
      'a fiscal year that begins after the range',
      () =>
        manifested((manifest) => {
          manifest.yearFrom = '2026-05-01';
        }),
      { check, file: 'manifest.json', what: 'the fiscal year of the range begins after it', found: '2026-05-01' },
    ],
    [
      'a fiscal year that begins two years before the range',
      () =>
        manifested((manifest) => {
          manifest.yearFrom = '2024-02-01';
        }),
      { check, file: 'manifest.json', what: 'the fiscal year of the range begins two years before it or more', found: '2024-02-01' },
    ],
    [
      'a day that no calendar has',
      () =>
        manifested((manifest) => {
          manifest.to = '2026-02-29';
        }),
      { check, file: 'manifest.json', what: 'member "to" is not as the format says', expected: 'date YYYY-MM-DD', found: '2026-02-29' },
    ],
    [
      'a book without a name',
      () =>
        manifested((manifest) => {
          manifest.book.name = { toString: 1 };
        }),
      { check, file: 'manifest.json', what: 'member "name" is not as the format says' },
    ],
    [
      'a manifest that nests too deep',
      () => new Map(usual).set('manifest.json', Buffer.from(`{"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}`)),
      { check, file: 'manifest.json', what: 'it nests deeper than 100 levels' },
    ],
    [
      'a manifest of nothing but escapes',
      () => new Map(usual).set('manifest.json', Buffer.from(`{"a":"${'\\n'.repeat(8_000_000)}"}`)),
      { check, file: 'manifest.json', what: 'member "format" is not as the format says' },
    ],
    [
      'a manifest that is missing',
      () => without('manifest.json'),
      { check, file: 'manifest.json', what: 'there is no file manifest.json' },
    ],
    [
      'a manifest that is no JSON',
      () => new Map(usual).set('manifest.json', Buffer.from('{')),
      { check, file: 'manifest.json', what: /JSON/ },
    ],
    [
      'a manifest that is no UTF-8',
      () => new Map(usual).set('manifest.json', Buffer.of(0xff)),
      { check, file: 'manifest.json', what: 'its bytes are no UTF-8' },
    ],
    [
      'a manifest that is not canonical',
      () => new Map(usual).set('manifest.json', Buffer.from(`${text(usual, 'manifest.json')}\n`)),
      { check, file: 'manifest.json', what: 'it is not in RFC 8785 form' },
    ],
    [
      'a manifest without a range',
      () =>
        manifested((manifest) => {
          delete manifest.from;
        }),
      { check, file: 'manifest.json', what: 'member "from" is not as the format says', found: 'nothing' },
    ],
    [
      'a manifest with a file that has no hash',
      () =>
        manifested((manifest) => {
          delete manifest.files[3].sha256;
        }),
      { check, file: 'manifest.json', what: 'member "sha256" is not as the format says' },
    ],
    [
      'a range that ends before it begins',
      () =>
        manifested((manifest) => {
          manifest.to = '2025-01-01';
        }),
      { check, file: 'manifest.json', what: 'the range ends before it begins' },
    ],
    ['a note that is missing', () => without('manifest.note'), { check, file: 'manifest.note', what: 'there is no file manifest.note' }],
    [
      'a note of a key that is not trusted',
      () => seal(usual, stranger),
      { check, file: 'manifest.note', what: /^it is not signed by a key that you trust, but by books.example\+[0-9a-f]{8}$/ },
    ],
    [
      'a note whose signature is of another text',
      () => new Map(usual).set('manifest.note', Buffer.from(text(usual, 'manifest.note').replace('\n56\n', '\n57\n'))),
      { check, file: 'manifest.note', what: /^the signature of books.example\+[0-9a-f]{8} does not belong to this text$/ },
    ],
    [
      'a note of another manifest',
      () =>
        new Map(
          manifested((manifest) => {
            manifest.release = '9';
          }),
        ).set('manifest.note', usual.get('manifest.note') ?? Buffer.alloc(0)),
      { check, file: 'manifest.note', what: /by the manifest it should say/ },
    ],
  ])('tells %s', async (_, pack, violation) => {
    await expectFirst(pack, violation);
  });

  it('that are not those of the manifest are told before what was computed from them, and that it stems from there', async () => {
    // Events were forged on the way; manifest and reports are as they were signed, and would look wrong beside the forgery.
    const forgery = new Map(usual).set(EVENTS, Buffer.from(text(usual, EVENTS).replaceAll('450.00', '950.00')));
    const result = await verify(forgery);
    expect(result.first).toMatchObject({ check, file: EVENTS, what: 'its SHA-256 is not that of the manifest' });
    expect(result.findings.some((finding) => finding.check === 'reports' && finding.expected === '950.00')).toBe(true);
  });

  it('are told first too where the manifest was made to fit them, which nobody has signed', async () => {
    const note = usual.get('manifest.note') ?? Buffer.alloc(0);
    const result = await verify(changed(EVENTS, (before) => before.replaceAll('450.00', '950.00')).set('manifest.note', note));
    expect(result.first).toMatchObject({ check, file: 'manifest.note', what: expect.stringMatching(/by the manifest it should say/) });
  });

  it('that are missing are named, and not among those that were hashed', async () => {
    const result = await verify(without('exports/datev/names.csv'));
    expect(result.byHashOnly).toEqual(['README.txt', 'exports/datev/EXTF_Buchungsstapel.csv']);
  });

  it('are told one by one where several are missing', async () => {
    const result = await verify(without('log/keys.json'));
    expect(result.findings.map(({ file, what }) => [file, what])).toContainEqual(['log/keys.json', 'there is no file log/keys.json']);
    expect(result.checks.find(({ name }) => name === 'signatures')).toMatchObject({ state: 'wrong' });
  });

  it.each([...usual.keys()])('%s: any byte of it that is changed is found', async (name) => {
    const bytes = usual.get(name) ?? Buffer.alloc(0);
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: bytes.length - 1 }), fc.integer({ min: 1, max: 255 }), async (place, change) => {
        const other = Buffer.from(bytes);
        other[place] = (other[place] ?? 0) ^ change;
        const result = await verify(new Map(usual).set(name, other)).catch((error) => error);
        // A format of another name cannot be checked.
        if (!(result instanceof CannotCheck)) expect(result).toMatchObject({ ok: false, first: expect.anything() });
      }),
      { numRuns: 15 },
    );
  });
});

describe('events', () => {
  it.each<Row>([
    [
      'a line that is no JSON',
      () => changed(EVENTS, (before) => before.replace('{', '(')),
      { ...inEvents, line: 1, position: 1, what: /^the line is no JSON/ },
    ],
    [
      'a line that is no UTF-8',
      () => seal(new Map(usual).set(EVENTS, Buffer.concat([Buffer.of(0xff, 0x0a), usual.get(EVENTS) ?? Buffer.alloc(0)]))),
      { ...inEvents, position: 1, what: 'the line is no JSON: its bytes are no UTF-8' },
    ],
    [
      'a line with a space',
      () => replaced(EVENTS, '"position":9,', '"position": 9,'),
      { ...inEvents, position: 9, what: 'the line is not in RFC 8785 form' },
    ],
    [
      'a line with a member twice',
      () => replaced(EVENTS, '"position":9,', '"position":9,"position":9,'),
      { ...inEvents, position: 9, what: 'the line is not in RFC 8785 form' },
    ],
    [
      'a line whose members are not sorted',
      () => replaced(EVENTS, '"eventVersion":1,"metadata"', '"metadatb":1,"metadata"'),
      { ...inEvents, position: 1, what: 'the line is not in RFC 8785 form' },
    ],
    [
      'a number in another form',
      () => replaced(EVENTS, '1e+21', '1000000000000000000000'),
      { ...inEvents, position: 1, what: 'the line is not in RFC 8785 form' },
    ],
    [
      'a text in another form',
      () => replaced(EVENTS, 'Acme', '\\u0041cme'),
      { ...inEvents, position: 1, what: 'the line is not in RFC 8785 form' },
    ],
    ['half of a surrogate pair', () => replaced(EVENTS, 'Acme', '\\ud83d'), { ...inEvents, position: 1, what: /half of a surrogate pair/ }],
    ['an empty line', () => replaced(EVENTS, '\n', '\n\n'), { ...inEvents, position: 2, what: /^the line is no JSON/ }],
    [
      'an event without a member',
      () =>
        edited(5, (event) => {
          delete event.eventId;
        }),
      { ...inEvents, position: 5, what: 'member "eventId" is not as the format says', found: 'nothing' },
    ],
    [
      'an event with a member of another kind',
      () =>
        edited(5, (event) => {
          event.recordedAt = '2026-07-01T10:00:00Z';
        }),
      { ...inEvents, position: 5, what: 'member "recordedAt" is not as the format says', expected: 'time in UTC with six decimals' },
    ],
    [
      'a time that no clock shows',
      () =>
        edited(5, (event) => {
          event.recordedAt = '9999-99-99T99:99:99.000000Z';
        }),
      { ...inEvents, position: 5, what: 'member "recordedAt" is not as the format says', expected: 'time in UTC with six decimals' },
    ],
    [
      'a line that nests too deep',
      () => changed(EVENTS, (before) => before.replace('"metadata":{', `"metadata":{"a":${'['.repeat(50_000)}${']'.repeat(50_000)},`)),
      { ...inEvents, position: 1, what: 'the line is no JSON: it nests deeper than 100 levels' },
    ],
    [
      'an event with a further member',
      () =>
        edited(5, (event) => {
          event.zebra = 1;
        }),
      { ...inEvents, position: 5, what: 'the event has members that the format does not know', found: 'zebra' },
    ],
    [
      'an event of another book',
      () =>
        edited(5, (event) => {
          event.bookId = 'other';
        }),
      { ...inEvents, position: 5, what: 'the event belongs to another book', expected: 'acme', found: 'other' },
    ],
    [
      'a version with a gap',
      () =>
        edited(at('AccountRenamed'), (event) => {
          event.version++;
        }),
      { ...inEvents, position: at('AccountRenamed'), what: 'versions of id-5000 are 1, 2, 3 … without a gap', expected: '6', found: '7' },
    ],
    [
      'a time that falls',
      () =>
        edited(20, (event) => {
          event.recordedAt = '2026-06-01T00:00:00.000000Z';
        }),
      { ...inEvents, position: 20, what: 'recordedAt falls', found: '2026-06-01T00:00:00.000000Z' },
    ],
    [
      'a missing event',
      () => forged((list) => list.toSpliced(19, 1)),
      { ...inEvents, position: 20, what: 'positions are 1, 2, 3 … without a gap', expected: '20', found: '21' },
    ],
    [
      'swapped events',
      () => forged((list) => list.with(19, list[20]).with(20, list[19])),
      { ...inEvents, position: 20, what: 'positions are 1, 2, 3 … without a gap', expected: '20', found: '21' },
    ],
    [
      'an event that stands twice',
      () => forged((list) => list.toSpliced(19, 0, list[18])),
      { ...inEvents, position: 20, what: 'positions are 1, 2, 3 … without a gap', expected: '20', found: '19' },
    ],
    [
      'an event that is missing at the end',
      () => changed(EVENTS, (before) => before.split('\n').slice(0, -2).join('\n')),
      { ...inEvents, what: 'there are not as many events as the manifest says' },
    ],
    [
      'another time of the last event',
      () =>
        manifested((manifest) => {
          manifest.recordedAt = '2026-07-01T10:00:09.000000Z';
        }),
      { check: 'events', file: 'manifest.json', what: 'recordedAt is not that of the last event', found: '2026-07-01T10:00:09.000000Z' },
    ],
  ])('tells %s', async (_, pack, violation) => {
    await expectFirst(pack, violation);
  });

  it('tells a line that is too long to be held, at the file of events and nowhere else', async () => {
    const result = await verify(changed(EVENTS, (before) => `{"a":"${'x'.repeat(68_000_000)}"}\n${before}`));
    expect(result.findings).toMatchObject([{ check: 'events', file: EVENTS, what: 'it has a line of more than 67108864 bytes' }]);
  });

  it('tells how many are missing', async () => {
    const result = await verify(changed(EVENTS, (before) => before.split('\n').slice(0, 22).join('\n')));
    expect(result.findings).toContainEqual({
      ...inEvents,
      line: 22,
      what: 'there are not as many events as the manifest says',
      expected: '56',
      found: '22',
    });
  });
});

describe('the tree', () => {
  const check = 'tree';
  const checkpoints = (sizes: number[]) => (all: Buffer[], origin: string) =>
    sizes.map((size) => signNote(checkpointText(origin, all.slice(0, size)), first));
  const lying = signNote(checkpointText(ORIGIN, leaves.slice(1, 31)), first);
  const proof = 'log/consistency.json';
  it.each<Row>([
    [
      'an event that was changed after it was signed',
      () => changed(EVENTS, (before) => before.replace('"timeZone":"Europe/Vienna"', '"timeZone":"Europe/Zurich"')),
      {
        check: 'tree',
        file: 'log/checkpoints.jsonl',
        position: 12,
        line: 1,
        what: 'the first 12 events have another root than was signed; the first 0 are right, so look behind them',
      },
    ],
    [
      'one that was changed between two checkpoints',
      () => changed(EVENTS, (before) => before.replace('event-20', 'event-2x')),
      {
        check: 'tree',
        file: 'log/checkpoints.jsonl',
        position: 30,
        line: 2,
        what: 'the first 30 events have another root than was signed; the first 12 are right, so look behind them',
      },
    ],
    [
      'a signed root that is another',
      () => samplePack({ checkpoints: (all, origin) => [lying, signNote(checkpointText(origin, all), first)] }),
      {
        check,
        file: 'log/checkpoints.jsonl',
        line: 1,
        position: 30,
        what: /^the first 30 events have another root/,
        expected: treeRoot(leaves.slice(1, 31)).toString('base64'),
        found: treeRoot(leaves.slice(0, 30)).toString('base64'),
      },
    ],
    [
      'a log that is signed up to an earlier event only',
      () => packOf(events(), { checkpoints: checkpoints([30]) }),
      {
        check,
        file: 'log/checkpoints.jsonl',
        what: 'the last checkpoint has fewer events than the pack: the rest is not signed',
        expected: '56',
        found: '30',
      },
    ],
    [
      'no checkpoint',
      () => replaced('log/checkpoints.jsonl', /.*/s, ''),
      { check, file: 'log/checkpoints.jsonl', what: 'there is no checkpoint: nothing is signed' },
    ],
    [
      'another size in the manifest',
      () =>
        manifested((manifest) => {
          manifest.checkpoint.size = 60;
        }),
      { check, file: 'manifest.json', what: 'checkpoint.size is not that of the last checkpoint' },
    ],
    [
      'another root in the manifest',
      () =>
        manifested((manifest) => {
          manifest.checkpoint.root = leaves[0]?.toString('base64');
        }),
      { check, file: 'manifest.json', what: 'checkpoint.root is not that of the last checkpoint' },
    ],
    [
      'another origin in the manifest',
      () =>
        manifested((manifest) => {
          manifest.origin = `${ORIGIN}~2`;
        }),
      { check, file: 'manifest.json', what: 'origin is not that of the last checkpoint' },
    ],
    [
      'two signed heads of one size, which are a fork',
      () =>
        samplePack({
          checkpoints: (all, origin) => [
            signNote(checkpointText(origin, all.slice(0, 60)), first),
            signNote(checkpointText(origin, [...all.slice(0, 59), all[0] ?? Buffer.alloc(0)]), first),
            signNote(checkpointText(origin, all), first),
          ],
        }),
      {
        check: 'signatures',
        file: 'log/checkpoints.jsonl',
        line: 2,
        position: 60,
        what: 'two checkpoints of 60 events have different roots: the log was forked',
      },
    ],
    [
      'two last heads of one size',
      () =>
        samplePack({
          checkpoints: (all, origin) => [
            signNote(checkpointText(origin, all.toReversed()), first),
            signNote(checkpointText(origin, all), first),
          ],
        }),
      {
        check: 'signatures',
        file: 'log/checkpoints.jsonl',
        line: 2,
        position: 62,
        what: 'two checkpoints of 62 events have different roots: the log was forked',
      },
    ],
    [
      'a proof with something that is no text',
      () => replaced(proof, /"hashes":\[/, '"hashes":[{"toString":1,"valueOf":1},'),
      { check, file: proof, what: 'hash 1 is no text' },
    ],
    [
      'a proof with another hash',
      () => changed(proof, (before) => before.replace(/"([A-Za-z0-9+/]{43}=)"/, `"${leaves[0]?.toString('base64')}"`)),
      { check, file: proof, what: 'the proof does not lead from the 56 events of the pack to the last checkpoint' },
    ],
    [
      'a proof from elsewhere',
      () => replaced(proof, '"from":56', '"from":55'),
      { check, file: proof, what: 'from is not the position of the manifest' },
    ],
    [
      'a proof to elsewhere',
      () => replaced(proof, '"to":62', '"to":61'),
      { check, file: proof, what: 'to is not the size of the last checkpoint' },
    ],
    [
      'a proof with something that is no hash',
      () => replaced(proof, /"hashes":\[/, '"hashes":["AAAA",'),
      { check, file: proof, what: /has 3 bytes, not 32/ },
    ],
    [
      'a proof without hashes',
      () => replaced(proof, '"hashes"', '"hashs"'),
      { check, file: proof, what: 'member "hashes" is not as the format says' },
    ],
    ['a proof that is no JSON', () => replaced(proof, '{', ''), { check, file: proof, what: /JSON/ }],
    [
      'a last checkpoint of another log',
      () => {
        const other = [...leaves, ...leaves.slice(0, 2)].toReversed();
        const pack = samplePack({ checkpoints: () => [signNote(checkpointText(ORIGIN, other), first)] });
        return seal(pack, second, (manifest) => {
          manifest.checkpoint.root = treeRoot(other).toString('base64');
        });
      },
      { check, file: proof, what: /^the proof does not lead/ },
    ],
  ])('tells %s', async (_, pack, violation) => {
    await expectFirst(pack, violation);
  });
});

describe('signatures', () => {
  const check = 'signatures';
  const file = 'log/checkpoints.jsonl';
  const signedBy =
    (...keys: Parameters<typeof signNote>[1][]) =>
    (all: Buffer[], origin: string) => [
      signNote(checkpointText(origin, all.slice(0, 12)), first),
      signNote(checkpointText(origin, all), ...keys),
    ];
  const other = testKey('the first key', { name: 'other.example' });
  const keysFile = 'log/keys.json';
  const namesFile = 'log/names.json';
  it.each<Row>([
    [
      'a checkpoint of a stranger',
      () => samplePack({ checkpoints: signedBy(stranger) }),
      { check, file, line: 2, what: 'the checkpoint is not signed by a key that you trust' },
    ],
    [
      'a checkpoint that only a witness has signed',
      () => samplePack({ checkpoints: signedBy(witness) }),
      { check, file, line: 2, what: 'the checkpoint is not signed by a key that you trust' },
    ],
    [
      'a signature of another text',
      () => changed(file, (before) => before.replace('\\n12\\n', '\\n11\\n').replace('"size":12', '"size":11')),
      { check: 'tree', file, position: 11, what: /another root/ },
    ],
    [
      'a checkpoint of another log',
      () => samplePack({ checkpoints: (all) => [signNote(checkpointText('books.example/other', all), first)] }),
      { check, file, what: 'the checkpoint belongs to another log', expected: ORIGIN, found: 'books.example/other' },
    ],
    [
      'another size beside the note',
      () => replaced(file, '"size":12', '"size":13'),
      { check, file, line: 1, what: 'the line and its note have different sizes', expected: '12', found: '13' },
    ],
    [
      'checkpoints in another order',
      () => changed(file, (before) => `${before.split('\n').slice(0, 3).toReversed().join('\n')}\n${before.split('\n')[3]}\n`),
      { check, file, line: 3, what: 'checkpoints stand with the smallest first', expected: '30 or more', found: '12' },
    ],
    [
      'a line that is no note',
      () => replaced(file, /^/, '{}\n'),
      { check, file, line: 1, what: 'it is no line with a note: member "note" is not as the format says' },
    ],
    [
      'a note that is no checkpoint',
      () => replaced(file, '\\n12\\n', '\\n'),
      { check, file, line: 1, what: 'it is no checkpoint of three lines' },
    ],
    [
      'a rotated key that the one before has not signed',
      () => samplePack({ keys: keyRows([first, second], (index) => [index === 0 ? first : second]) }),
      { check, file, what: 'the checkpoint is not signed by a key that you trust' },
    ],
    [
      'a rotated key that a stranger has signed',
      () => samplePack({ keys: keyRows([first, second], (index) => (index === 0 ? [first] : [stranger])) }),
      { check, file, what: 'the checkpoint is not signed by a key that you trust' },
    ],
    [
      'a statement of another key',
      () => samplePack({ keys: [...keyRows([first]), { ...keyRows([first, second])[1], key: stranger.text }] }),
      { check, file, what: 'the checkpoint is not signed by a key that you trust' },
    ],
    [
      'a key that is none',
      () => replaced(keysFile, first.text, 'x'),
      { check, file, what: 'the checkpoint is not signed by a key that you trust' },
    ],
    [
      'a name of another book',
      () => samplePack({ names: [{ number: 1, origin: 'books.example/other', size: 0, recordedAt: 'T' }] }),
      { check, file: namesFile, what: 'number 1: a name is NAME OF THE KEY/BOOK, with ~n behind it for the n-th', expected: ORIGIN },
    ],
  ])('tells %s', async (_, pack, violation) => {
    await expectFirst(pack, violation);
  });

  it.each<[string, () => Files, string, RegExp]>([
    ['a name without an origin', () => replaced(namesFile, '"origin"', '"orgin"'), namesFile, /^number 1: member "origin" is not as the format says$/],
    ['keys that are no list', () => replaced(keysFile, /.*/s, '{}'), keysFile, /^it is no list$/],
    ['names that are no JSON', () => replaced(namesFile, '[', ''), namesFile, /JSON/],
    ['a key of another installation', () => samplePack({ keys: keyRows([other]) }), namesFile, /^number 1: a name is NAME OF THE KEY/],
    ['a key without a statement', () => replaced(keysFile, '"statement"', '"statment"'), keysFile, /^number 1: member "statement" is not as the format says$/],
    ['a statement that says another time', () => replaced(keysFile, '"activatedAt": "2026-02', '"activatedAt": "2026-03'), keysFile, /^number 2: its statement says "since 2026-02-01.*", not "since 2026-03/],
    ['a statement that was changed', () => replaced(keysFile, 'by ann', 'by bob'), keysFile, /^number 2: the signature of .* does not belong to this text$/],
    ['a statement without a reason', () => samplePack({ keys: [{ ...keyRows([first])[0], statement: signNote(`book-keeper signing key/v1\nkey 1 ${first.text}\nsince 2026-01-01T00:00:00.000000Z\nafter -\nby -\nreason none\n`, first) }] }), keysFile, /^number 1: its statement says "reason none", not "reason" and a JSON string$/],
    ['a statement with more lines', () => samplePack({ keys: [{ ...keyRows([first])[0], statement: signNote(`book-keeper signing key/v1\nkey 1 ${first.text}\nsince 2026-01-01T00:00:00.000000Z\nafter -\nby -\nreason ""\nmore\n`, first) }] }), keysFile, /^number 1: its statement has other lines/],
    ['a statement that nobody at hand has signed', () => samplePack({ keys: keyRows([first, second], (index) => (index === 0 ? [first] : [stranger])) }), keysFile, /^number 2: its statement is signed neither by it nor by the key before it$/],
    ['numbers that are not 1, 2, 3', () => replaced(keysFile, '"number": 2', '"number": 3'), keysFile, /^number 2: numbers are 1, 2, 3 …$/],
    ['a key that was copied wrongly', () => replaced(keysFile, /"key": "books.example\+\w{8}/, '"key": "books.example+00000000'), keysFile, /^number 1: the key .* should have the id/],
    ['a signature of another size', () => changed(file, (before) => before.replace('\\n12\\n', '\\n11\\n')), file, /^the signature of .* does not belong to this text$/],
  ])('tells %s', async (_, pack, file, what) => {
    const result = await verify(pack());
    expect(result.findings).toContainEqual(expect.objectContaining({ check, file, what: expect.stringMatching(what) }));
  }); // biome-ignore format: a table

  it('ends trust at a key that is not signed by the one before, and says so', async () => {
    const files = samplePack({ keys: keyRows([first, second], (index) => [index === 0 ? first : second]) });
    const result = await verify(files);
    expect(result.warnings).toEqual([
      `Key 2, ${second.text}, is not signed by the one before it: trust ends there. Give it too if you trust it.`,
    ]);
    expect(await verify(files, { keys: [first.text, second.text] })).toMatchObject({ ok: true, warnings: [] });
  });

  it('does not trust keys before the one that is given', async () => {
    const result = await verify(usual, { keys: [second.text] });
    expect(result.findings.map(({ check, line }) => [check, line])).toEqual([
      ['signatures', 1],
      ['signatures', 2],
    ]);
  });

  it('says where a witness whose key was given has not signed the last checkpoint', async () => {
    const given = { keys: [first.text, witness.text] };
    const signed = samplePack({ checkpoints: (all, origin) => [signNote(checkpointText(origin, all), first, witness)] });
    expect(await verify(signed, given)).toMatchObject({ ok: true, warnings: [] });
    const unsigned = samplePack({ checkpoints: (all, origin) => [signNote(checkpointText(origin, all), first)] });
    const warnings = [`The last checkpoint is not signed by the witness ${witness.text}, whose key was given.`];
    expect(await verify(unsigned, given)).toMatchObject({ ok: true, warnings });
  });

  it('tells a witness whose signature is wrong', async () => {
    const notes = (all: Buffer[], origin: string) => [
      signNote(checkpointText(origin, all), first, { ...witness, private: stranger.private }),
    ];
    const files = samplePack({ checkpoints: notes });
    expect(await verify(files)).toMatchObject({ ok: true });
    expect(await verify(files, { keys: [first.text, witness.text] })).toMatchObject({
      ok: false,
      first: { check, what: expect.stringMatching(/^the signature of the witness witness.example/) },
    });
  });
});

describe('a log with a second name', () => {
  const later = `${ORIGIN}~2`;
  const lost = signNote(checkpointText(ORIGIN, [...leaves.slice(0, 30), ...leaves.slice(0, 10)]), first);
  const firstName = { number: 1, origin: ORIGIN, size: 0, recordedAt: 'T' };
  const pack = (name: object = laterName(2, later, ORIGIN, 30, lost, second), old = 30) =>
    samplePack({
      names: [firstName, name],
      checkpoints: (all) => [
        signNote(checkpointText(ORIGIN, all.slice(0, old)), first),
        signNote(checkpointText(later, all.slice(0, 56)), second),
        signNote(checkpointText(later, all), second),
      ],
    });

  it('holds, and says that signed events were given up', async () => {
    const result = await verify(pack());
    expect(result).toMatchObject({ ok: true });
    expect(result.warnings).toEqual([
      `SIGNED EVENTS WERE GIVEN UP. Since 2026-07-01T11:00:00.000000Z, from 30 events on, this log has the name ${later}. ` +
        `What had been signed as ${ORIGIN} up to event 40 was given up by ann, for this reason: the disk burnt`,
    ]);
  });

  it('tells a checkpoint of what was given up', async () => {
    const result = await verify(usual, {});
    expect(result.ok).toBe(true);
    expect(await verify(pack(), { checkpoints: [{ file: 'kept', text: lost }] })).toMatchObject({
      ok: false,
      first: {
        check: 'kept checkpoints',
        file: 'kept',
        what: `events that were signed were given up: after 30 the log goes on as ${later}`,
        found: '40',
      },
    });
  });

  it.each<[string, () => Files, RegExp]>([
    ['an earlier name on a later checkpoint', () => pack(undefined, 31), /^events that were signed were given up: after 30/],
    [
      'a statement of a stranger',
      () => pack(laterName(2, later, ORIGIN, 30, lost, stranger)),
      /^number 2: its statement is not signed by a key that you trust$/,
    ],
    [
      'a statement of another name',
      () => pack(laterName(2, later, `${ORIGIN}~7`, 30, lost, second)),
      /^number 2: its statement says "after .*~7", not/,
    ],
    ['no statement', () => pack({ ...firstName, number: 2, origin: later, size: 30 }), /^number 2: it is no signed note$/],
    [
      'a note that was given up and was none',
      () => pack(laterName(2, later, ORIGIN, 30, 'nothing', second)),
      /^number 2: it is no signed note$/,
    ],
    [
      'something given up that a stranger has signed',
      () => pack(laterName(2, later, ORIGIN, 30, signNote(checkpointText(ORIGIN, leaves.slice(0, 40)), stranger), second)),
      /^number 2: what was given up is not signed by a key that you trust$/,
    ],
    [
      'something given up of another log',
      () => pack(laterName(2, later, ORIGIN, 30, signNote(checkpointText(`${ORIGIN}-2`, leaves.slice(0, 40)), first), second)),
      /^number 2: what was given up belongs to another log, books.example\/acme-2$/,
    ],
    [
      'a name without its number',
      () => pack(laterName(2, `${ORIGIN}~3`, ORIGIN, 30, lost, second)),
      /^number 2: a name is NAME OF THE KEY/,
    ],
  ])('tells %s', async (_, make, what) => {
    const result = await verify(make());
    expect(result.ok).toBe(false);
    expect(result.findings).toContainEqual(expect.objectContaining({ check: 'signatures', what: expect.stringMatching(what) }));
  });
});

describe('checkpoints that somebody kept', () => {
  const check = 'kept checkpoints';
  const of = (size: number, key = first, origin = ORIGIN, list = leaves) => signNote(checkpointText(origin, list.slice(0, size)), key);
  const whole = JSON.parse(text(usual, 'log/checkpoints.jsonl').trim().split('\n').at(-1) ?? '').note as string;
  const kept = (text: string) => verify(usual, { checkpoints: [{ file: 'kept', text }] });

  it.each<[string, string, string]>([
    ['one note', of(20), '1 of 1 could be compared'],
    ['several with empty lines between', `${of(20)}\n${of(3)}\n${of(56, second)}`, '3 of 3 could be compared'],
    ['the file of an earlier pack', text(usual, 'log/checkpoints.jsonl'), '4 of 4 could be compared'],
    ['one as large as the pack’s last', whole, '1 of 1 could be compared'],
    ['one of no events', signNote(checkpointText(ORIGIN, []), first), '1 of 1 could be compared'],
  ])('hold: %s', async (_, notes, said) => {
    const result = await kept(notes);
    expect(result).toMatchObject({ ok: true, warnings: [] });
    expect(result.checks.find(({ name }) => name === check)?.said).toBe(said);
  });

  it('are told where they cannot be compared', async () => {
    const between = signNote(`${ORIGIN}\n60\n${leaves[0]?.toString('base64')}\n`, first);
    const result = await kept(between);
    expect(result).toMatchObject({ ok: true });
    expect(result.warnings).toEqual([
      'The kept checkpoint of 60 events (kept, line 1) could not be compared: the pack has not all of its events; ask for one up to there.',
    ]);
    expect(result.checks.find(({ name }) => name === check)?.said).toBe('0 of 1 could be compared');
  });

  /** A pack with a checkpoint of its own, of 60 events, behind its 56 events and before the last. */
  const between = () => samplePack({ checkpoints: (all, origin) => [60, 62].map((size) => signNote(checkpointText(origin, all.slice(0, size)), first)) });
  const of60 = (root: Buffer) => ({ file: 'kept', text: signNote(`${ORIGIN}\n60\n${root.toString('base64')}\n`, first) });

  it('are compared with those of the pack that cannot be computed again', async () => {
    const own = JSON.parse(text(between(), 'log/checkpoints.jsonl').split('\n')[0] ?? '').note as string;
    const holding = await verify(between(), { checkpoints: [{ file: 'kept', text: own }] });
    expect(holding).toMatchObject({ ok: true, warnings: ['1 checkpoints of the pack, of 60 to 60 events, could not be computed again: the pack has not all of their events.'] });
    expect(holding.checks.find(({ name }) => name === check)?.said).toBe('1 of 1 could be compared');
    expect(await verify(between(), { checkpoints: [of60(leaves[0] ?? Buffer.alloc(0))] })).toMatchObject({
      ok: false,
      first: { check, file: 'kept', position: 60, what: 'the checkpoint of the pack of 60 events has another root' },
    });
  });

  it('are told where they contradict each other', async () => {
    const both = [leaves[0], leaves[1]].map((root) => of60(root ?? Buffer.alloc(0)));
    expect(await verify(usual, { checkpoints: both })).toMatchObject({
      ok: false,
      first: { check, file: 'kept', position: 60, what: 'two kept checkpoints of 60 events have different roots: the log was forked' },
    });
  });

  it('are read behind a byte order mark', async () => {
    expect(await kept(`\ufeff${of(20)}`)).toMatchObject({ ok: true });
  });

  it.each<[string, string, object]>([
    ['contradict', of(20, first, ORIGIN, leaves.toReversed()), { position: 20, line: 1, what: 'the first 20 events have another root than was signed; the first 12 are right, so look behind them' }],
    ['contradict the last checkpoint', signNote(whole.split('\n').slice(0, 2).concat(leaves[0]?.toString('base64') ?? '', '').join('\n'), first), { position: 62, what: 'the last checkpoint of the pack of 62 events has another root' }],
    ['are larger than the pack knows of', signNote(`${ORIGIN}\n99\n${leaves[0]?.toString('base64')}\n`, first), { position: 99, what: /^the log had more events when this was signed/, expected: 'a last checkpoint of 99 events or more', found: 'one of 62' }],
    ['are of another log', of(20, first, 'books.example/other'), { what: 'the checkpoint belongs to another log' }],
    ['are of a stranger', of(20, stranger), { what: 'the checkpoint is not signed by a key that you trust' }],
    ['are no checkpoints', 'hello\n', { what: 'it is no checkpoint of three lines' }],
    ['are lines without notes', '{"size":1}\n', { line: 1, what: 'it is no line with a note: member "note" is not as the format says' }],
    ['are nothing', '\n', { what: 'there is no checkpoint in this file' }],
  ])('are told where they %s', async (_, notes, first) => {
    expect(await kept(notes)).toMatchObject({ ok: false, first: Object.fromEntries(Object.entries({ check, file: 'kept', ...first }).map(([name, value]) => [name, matching(value)])) });
  });
}); // biome-ignore format: a table

describe('books', () => {
  const lineOf = (nth: number, line: number, change: (line: Event) => void) =>
    edited(entry(nth), (event) => change(event.data.lines[line - 1]));
  const opened = (code: string) => events().find((event) => event.data.code === code).position as number;
  it.each<Row>([
    [
      'an entry that does not balance',
      () =>
        forged((list) => {
          list[entry(4) - 1].data.lines[0].amount = '401.00';
          return list;
        }),
      {
        ...inBooks,
        position: entry(4),
        line: entry(4),
        what: 'entry GJ/2026/1 does not balance: EUR',
        found: 'debits 401.00, credits 400.00, difference 1.00',
      },
    ],
    [
      'an entry that balances only across currencies',
      () =>
        lineOf(3, 1, (line) => {
          line.currency = 'EUR';
        }),
      {
        ...inBooks,
        position: entry(3),
        what: 'entry SA/2026/1 does not balance: EUR',
        found: 'debits 300.00, credits 0.00, difference 300.00',
      },
    ],
    [
      'base amounts that do not balance',
      () =>
        lineOf(7, 1, (line) => {
          line.baseAmount = '92.39';
        }),
      {
        ...inBooks,
        position: entry(7),
        what: 'entry SA/2026/2 does not balance: base amounts in EUR',
        found: 'debits 184.77, credits 184.76, difference 0.01',
      },
    ],
    [
      'a base amount with other decimals',
      () =>
        lineOf(7, 1, (line) => {
          line.baseAmount = '92.380';
        }),
      { ...inBooks, position: entry(7), what: 'entry SA/2026/2, line 1: the base amount has other decimals than the base currency' },
    ],
    [
      'an amount with other decimals',
      () =>
        lineOf(4, 1, (line) => {
          line.amount = '400.000';
        }),
      {
        ...inBooks,
        position: entry(4),
        what: 'entry GJ/2026/1, line 1: EUR has other decimals',
        expected: 'as many as 0.00',
        found: '400.000',
      },
    ],
    [
      'an amount that is a number',
      () =>
        lineOf(4, 1, (line) => {
          line.amount = 400;
        }),
      { ...inBooks, position: entry(4), what: 'entry GJ/2026/1, line 1: member "amount" is not as the format says' },
    ],
    [
      'a negative amount',
      () =>
        lineOf(4, 1, (line) => {
          line.amount = '-400.00';
        }),
      { ...inBooks, position: entry(4), what: /member "amount"/ },
    ],
    [
      'a side that is none',
      () =>
        lineOf(4, 1, (line) => {
          line.side = 'left';
        }),
      { ...inBooks, position: entry(4), what: 'entry GJ/2026/1, line 1: the side is unknown', found: 'left' },
    ],
    [
      'a line with another number',
      () =>
        lineOf(4, 2, (line) => {
          line.line = 3;
        }),
      { ...inBooks, position: entry(4), what: 'entry GJ/2026/1, line 2: lines are numbered 1, 2, 3 …', found: '3' },
    ],
    [
      'a number with a gap',
      () =>
        edited(entry(6), (event) => {
          event.data.number = 4;
        }),
      { ...inBooks, position: entry(6), what: 'numbers of journal GJ in 2026 are 1, 2, 3 … without a gap', expected: '3', found: '4' },
    ],
    [
      'a number that stands twice',
      () =>
        edited(entry(6), (event) => {
          event.data.number = 2;
        }),
      { ...inBooks, position: entry(6), what: 'numbers of journal GJ in 2026 are 1, 2, 3 … without a gap', expected: '3', found: '2' },
    ],
    [
      'an entry without a date',
      () =>
        edited(entry(4), (event) => {
          event.data.effectiveDate = '2026-13-01';
        }),
      { ...inBooks, position: entry(4), what: 'JournalEntryPosted: member "effectiveDate" is not as the format says' },
    ],
    [
      'an entry of a day that no calendar has',
      () =>
        edited(entry(4), (event) => {
          event.data.effectiveDate = '2026-02-31';
        }),
      { ...inBooks, position: entry(4), what: 'JournalEntryPosted: member "effectiveDate" is not as the format says', found: '2026-02-31' },
    ],
    [
      'an entry in another fiscal year than its day',
      () => {
        const book = sampleBook();
        book.book('FiscalYearDefined', { label: '2025/26', from: '2025-07-01', to: '2026-06-30', periods: [] });
        book.post('GJ', '2026-03-31', [
          { account: '5000', debit: '1.00' },
          { account: '1100', credit: '1.00' },
        ]);
        return packOf(book.events, { range: { from: '2026-02-01', to: '2026-06-30', yearFrom: '2025-07-01' } });
      },
      {
        ...inBooks,
        position: 58,
        what: 'entry GJ/2026/7 is dated in another fiscal year than it states: 2026-03-31',
        expected: '2025/26',
        found: '2026',
      },
    ],
    [
      'an entry without lines',
      () => {
        const book = sampleBook();
        book.post('GJ', '2026-03-31', []);
        return packOf(book.events);
      },
      { ...inBooks, position: 57, what: 'entry GJ/2026/7 has no lines' },
    ],
    [
      'an entry that is posted twice',
      () =>
        edited(entry(4), (event) => {
          event.aggregateId = events()[entry(3) - 1].aggregateId;
          event.version = 2;
        }),
      { ...inBooks, position: entry(4), what: 'entry GJ/2026/1 is posted a second time' },
    ],
    [
      'an account event that disagrees',
      () =>
        edited(entry(4) + 2, (event) => {
          event.data.amount = '399.00';
        }),
      {
        ...inBooks,
        position: entry(4) + 2,
        account: '1100',
        what: `AccountCredited disagrees with line 2 of the entry at position ${entry(4)}: amount`,
        expected: '400.00',
        found: '399.00',
      },
    ],
    [
      'an account event on another account',
      () =>
        edited(entry(4) + 2, (event) => {
          event.aggregateId = 'id-3000';
        }),
      { ...inEvents, position: entry(4) + 2, what: 'versions of id-3000 are 1, 2, 3 … without a gap', expected: '3', found: '4' },
    ],
    [
      'an account event of the other side',
      () =>
        edited(entry(4) + 2, (event) => {
          event.eventType = 'AccountDebited';
        }),
      { ...inBooks, position: entry(4) + 2, what: /: eventType$/ },
    ],
    [
      'a running total that is wrong',
      () =>
        edited(entry(4) + 2, (event) => {
          event.data.totalCredit = '470.06';
        }),
      { ...inBooks, position: entry(4) + 2, account: '1100', what: /: totalCredit$/, expected: '470.05', found: '470.06' },
    ],
    [
      'account events that are missing',
      () =>
        recorded((list) => {
          list[entry(4)].eventType = 'SomethingElse';
          return list;
        }),
      { ...inBooks, position: entry(4) + 1, what: 'account events of the entry before are not there', found: 'SomethingElse' },
    ],
    [
      'an account event without an entry',
      () =>
        recorded((list) => {
          list[at('AccountRenamed') - 1].eventType = 'AccountDebited';
          return list;
        }),
      { ...inBooks, position: at('AccountRenamed'), what: 'AccountDebited belongs to no line of an entry right before it' },
    ],
    [
      'a log that begins with something else',
      () =>
        edited(1, (event) => {
          event.eventType = 'SomethingElse';
        }),
      { ...inBooks, position: 1, what: 'a log begins with BookOpened, which comes once', found: 'SomethingElse' },
    ],
    [
      'a reversal of nothing',
      () =>
        edited(at('JournalEntryReversed'), (event) => {
          event.aggregateId = 'nothing';
          event.version = 1;
        }),
      { ...inBooks, position: at('JournalEntryReversed'), what: 'an entry is reversed that was never posted', found: 'nothing' },
    ],
    [
      'a reversal by nothing',
      () =>
        edited(at('JournalEntryReversed'), (event) => {
          event.data.by = 'nothing';
        }),
      { ...inBooks, position: at('JournalEntryReversed'), what: 'the reversal names no entry before it', found: 'nothing' },
    ],
    [
      'an account of an unknown type',
      () =>
        edited(opened('8888'), (event) => {
          event.data.type = 'fun';
        }),
      { ...inBooks, position: opened('8888'), account: '8888', what: 'the account has an unknown type', found: 'fun' },
    ],
    [
      'an account of an unknown side',
      () =>
        edited(opened('8888'), (event) => {
          event.data.normalSide = 'left';
        }),
      { ...inBooks, position: opened('8888'), account: '8888', what: 'the account has an unknown normal side' },
    ],
    [
      'an event of an account that was never opened',
      () =>
        recorded((list) => {
          list[opened('8888') - 1].eventType = 'SomethingElse';
          return list;
        }),
      { ...inBooks, position: at('AccountFrozen'), what: 'AccountFrozen on an account that was never opened', found: 'id-8888' },
    ],
    [
      'an event without what it must say',
      () =>
        edited(at('AccountRenamed'), (event) => {
          event.data = {};
        }),
      { ...inBooks, position: at('AccountRenamed'), what: 'AccountRenamed: member "name" is not as the format says' },
    ],
    [
      'two accounts with one code',
      () =>
        edited(at('AccountCodeChanged'), (event) => {
          event.data.code = '8888';
        }),
      { ...inBooks, account: '8888', what: 'two accounts have the same code', found: 'id-1210 and id-8888' },
    ],
    [
      'another book in the manifest',
      () =>
        manifested((manifest) => {
          manifest.book.baseCurrency = 'USD';
        }),
      { check: 'books', file: 'manifest.json', what: 'book.baseCurrency is not what BookOpened says', expected: 'EUR', found: 'USD' },
    ],
    [
      'a legal entity that is left out',
      () =>
        manifested((manifest) => {
          delete manifest.book.entity;
        }),
      { check: 'books', file: 'manifest.json', what: 'book.entity is not what BookOpened says', found: 'nothing' },
    ],
    [
      'a level that is no text',
      () =>
        edited(at('PeriodReopened'), (event) => {
          event.data.level = 7;
        }),
      { ...inBooks, position: at('PeriodReopened'), what: 'PeriodReopened: member "level" is not as the format says' },
    ],
    [
      'another name in the manifest',
      () =>
        manifested((manifest) => {
          manifest.book.name = 'Other';
        }),
      { check: 'books', file: 'manifest.json', what: 'book.name is not what BookOpened says' },
    ],
  ])('tells %s', async (_, pack, violation) => {
    await expectFirst(pack, violation);
  });

  /** Reports cannot be made for these by the builder: the events are written over in the usual pack. */
  it.each<Row>([
    [
      'a line on an account that was never opened',
      () => replaced(EVENTS, /("lines":\[\{"accountId":")id-5000(","amount":"400.00")/, '$1id-none$2'),
      { ...inBooks, position: entry(4), what: 'entry GJ/2026/1, line 1: it is on an account that was never opened', found: 'id-none' },
    ],
    [
      'an account below one that was never opened',
      () => replaced(EVENTS, '"parentId":"id-1200"', '"parentId":"id-none"'),
      { ...inBooks, position: opened('1210'), account: '1210', what: 'the account is below one that was never opened', found: 'id-none' },
    ],
    [
      'an account that is opened twice',
      () =>
        replaced(
          EVENTS,
          '"aggregateId":"id-9100","aggregateType":"Account","bookId":"acme","data":{"code":"9100"',
          '"aggregateId":"id-9000","aggregateType":"Account","bookId":"acme","data":{"code":"9100"',
        ),
      { check: 'tree', file: 'log/checkpoints.jsonl', position: 12, what: /another root/ },
    ],
  ])('tells %s', async (_, pack, violation) => {
    const result = await verify(pack());
    expect(result.findings).toContainEqual(
      expect.objectContaining(
        violation.check === 'tree'
          ? { ...inBooks, what: 'the account is opened a second time' }
          : Object.fromEntries(Object.entries(violation)),
      ),
    );
  });

  it('does not read events that the format does not know', async () => {
    expect(await verify(edited(at('ExchangeRateRecorded'), (event) => { event.eventType = 'constructor'; }))).toMatchObject({ ok: true });
  }); // biome-ignore format: short
});

describe('reports', () => {
  const check = 'reports';
  const [balance, ledger, journal, chart, locks] = [
    'reports/trial-balance.csv',
    'reports/general-ledger.csv',
    'reports/journal.csv',
    'chart-of-accounts.csv',
    'reports/period-locks.csv',
  ];
  const drop = (name: string, row: RegExp) =>
    changed(name, (before) =>
      before
        .split('\r\n')
        .filter((line) => !row.test(line))
        .join('\r\n'),
    );
  const twice = (name: string, row: RegExp) =>
    changed(name, (before) =>
      before
        .split('\r\n')
        .flatMap((line) => (row.test(line) ? [line, line] : [line]))
        .join('\r\n'),
    );
  const swap = (name: string, row: RegExp) => changed(name, (before) => {
    const rows = before.split('\r\n');
    const index = rows.findIndex((line) => row.test(line));
    return rows.with(index, rows[index + 1] ?? '').with(index + 1, rows[index] ?? '').join('\r\n');
  }); // biome-ignore format: short
  it.each<Row>([
    [
      'a header without a column',
      () => replaced(balance, 'opening', 'beginning'),
      { check, file: balance, line: 1, what: 'the header lacks opening' },
    ],
    ['an empty file', () => replaced(balance, /.*/s, ''), { check, file: balance, what: 'the file has no header' }],
    [
      'a row of another position',
      () => replaced(balance, ',56,1\r\n', ',57,1\r\n'),
      { check, file: balance, line: 2, what: 'the row is of another position', expected: '56', found: '57' },
    ],
    [
      'a row of another width',
      () => replaced(balance, ',56,1\r\n', ',56\r\n'),
      { check, file: balance, line: 2, what: 'the row has 12 cells, the header has 13' },
    ],
    [
      'a figure of a trial balance with one digit changed',
      () => replaced(balance, /(account,5000,.*)850.00/, '$1850.01'),
      { check, file: balance, account: '5000', what: 'row account EUR: debit is wrong', expected: '850.00', found: '850.01' },
    ],
    [
      'a total with one digit changed',
      () => replaced(balance, /(total,.*?)1342.38/, '$11342.39'),
      { check, file: balance, what: 'row total EUR: debit is wrong', expected: '1342.38', found: '1342.39' },
    ],
    [
      'retained earnings with one digit changed',
      () => replaced(balance, /(retainedEarnings,.*)70.05/, '$170.06'),
      { check, file: balance, what: 'row retainedEarnings EUR: closing is wrong', expected: '70.05', found: '70.06' },
    ],
    [
      'a row that is missing in the trial balance',
      () => drop(balance, /^account,1215/),
      { check, file: balance, account: '1215', what: 'row account USD is missing', expected: 'closing 400.00' },
    ],
    [
      'a total that is missing',
      () => drop(balance, /^memorandumTotal/),
      { check, file: balance, what: 'row memorandumTotal JPY is missing' },
    ],
    [
      'a row twice in the trial balance',
      () => twice(balance, /^account,1215/),
      { check, file: balance, account: '1215', what: 'row account USD: it stands there twice' },
    ],
    [
      'a row of nothing',
      () => replaced(balance, /(account,)(3000,.*\r\n)/, '$1$2account,8888,Account 8888,liability,1,EUR,0.00,0.00,0.00,0.00,0.00,56,1\r\n'),
      { check, file: balance, account: '8888', what: 'row account EUR: there is nothing in the events for it' },
    ],
    [
      'a row of an unknown kind',
      () => replaced(balance, /\r\naccount,3000/, '\r\nfantasy,3000'),
      { check, file: balance, account: '3000', what: 'row fantasy EUR: there is nothing in the events for it' },
    ],
    [
      'a row with another name',
      () => replaced(balance, 'Account 3000', 'Account 3001'),
      { check, file: balance, account: '3000', what: 'row account EUR: name is wrong' },
    ],
    [
      'an opening in the ledger',
      () => replaced(ledger, /(opening,3000,.*)-1000.00/, '$1-1000.01'),
      { check, file: ledger, account: '3000', what: 'opening: balance is wrong', expected: '-1000.00', found: '-1000.01' },
    ],
    [
      'a closing in the ledger',
      () => replaced(ledger, /(closing,3000,.*)-957.62/, '$1-957.61'),
      { check, file: ledger, account: '3000', what: 'closing: balance is wrong', expected: '-957.62' },
    ],
    [
      'a running balance in the ledger',
      () => replaced(ledger, /(line,3000,.*)-957.62/, '$1-957.61'),
      { check, file: ledger, account: '3000', position: entry(7), what: 'balance is wrong', expected: '-957.62', found: '-957.61' },
    ],
    [
      'earnings brought forward in the ledger',
      () => replaced(ledger, /(retainedEarnings,.*)70.05/, '$170.06'),
      { check, file: ledger, what: 'retainedEarnings: balance is wrong', expected: '70.05', found: '70.06' },
    ],
    [
      'earnings brought forward that are missing in the ledger',
      () => drop(ledger, /^retainedEarnings/),
      { check, file: ledger, what: 'row retainedEarnings EUR is missing' },
    ],
    [
      'earnings brought forward twice in the ledger',
      () => twice(ledger, /^retainedEarnings/),
      { check, file: ledger, what: 'row retainedEarnings EUR: it stands there twice' },
    ],
    [
      'an amount in the ledger',
      () => replaced(ledger, /(line,3000,.*,EUR,)42.38/, '$142.39'),
      { check, file: ledger, account: '3000', position: entry(7), what: 'debit is wrong', expected: '42.38', found: '42.39' },
    ],
    [
      'a description in the ledger',
      () => replaced(ledger, /(line,5000,.*)Rent, two\r\nlines/s, '$1Rent, two\r\nlives'),
      { check, file: ledger, account: '5000', position: entry(4), what: 'description is wrong' },
    ],
    [
      'the description of the entry where its line has one',
      () => replaced(ledger, /(line,3000,.*)A line with a text of its own/, '$1Entry of 2026-03-01'),
      {
        ...{ check, file: ledger, account: '3000', position: entry(7), what: 'description is wrong' },
        ...{ expected: 'A line with a text of its own', found: 'Entry of 2026-03-01' },
      },
    ],
    [
      'a line on another account of the ledger',
      () => replaced(ledger, /line,3000,Account 3000,equity/, 'line,1215,Account 1210,asset'),
      { check, file: ledger, account: '1215', what: 'the account has no lines in EUR' },
    ],
    [
      'a line of no entry',
      () => replaced(ledger, new RegExp(`(line,3000,.*),${entry(7)},standard`), '$1,3,standard'),
      { check, file: ledger, position: 3, what: 'no line of the events is like this row' },
    ],
    [
      'a line that is missing in the ledger',
      () => drop(ledger, /^line,3000/),
      {
        check,
        file: ledger,
        position: entry(7) + 5,
        account: '3000',
        what: `line 5 of the entry at position ${entry(7)} is missing`,
        expected: '42.38 EUR',
      },
    ],
    [
      'a line twice in the ledger',
      () => twice(ledger, /^line,3000/),
      { check, file: ledger, position: entry(7), account: '3000', what: 'this line stands there twice, or is not dated in the range' },
    ],
    [
      'lines in another order',
      () => swap(ledger, /^line,5000,.*2026-02-01,GJ\/2026\/2/),
      { check, file: ledger, account: '5000', what: /is wrong|ordered by date/ },
    ],
    [
      'rows of an unknown account',
      () => replaced(ledger, /opening,3000/, 'opening,3001'),
      { check, file: ledger, account: '3001', what: 'there is no such account in the events' },
    ],
    [
      'an opening that is missing',
      () => drop(ledger, /^opening,3000/),
      { check, file: ledger, account: '3000', what: /stands not between its opening and its closing/ },
    ],
    [
      'a closing that is missing',
      () => drop(ledger, /^closing,3000/),
      { check, file: ledger, account: '3000', what: 'the closing in EUR is missing' },
    ],
    ['a closing twice', () => twice(ledger, /^closing,3000/), { check, file: ledger, account: '3000', what: /or twice$/ }],
    [
      'an account that is missing in the ledger',
      () => drop(ledger, /^(opening|closing|line),9000/),
      { check, file: ledger, account: '9000', what: /line 1 of the entry|everything in JPY is missing/ },
    ],
    [
      'rows of an account that do not stand together',
      () =>
        changed(ledger, (before) => {
          const rows = before.split('\r\n');
          return [...rows.slice(0, 1), ...rows.slice(2, -1), rows[1], ''].join('\r\n');
        }),
      { check, file: ledger, what: /stands not between|do not stand together/ },
    ],
    [
      'a row of an unknown kind in the ledger',
      () => replaced(ledger, 'closing,3000', 'ending,3000'),
      { check, file: ledger, account: '3000', what: 'the row is of a kind that the format does not know', found: 'ending' },
    ],
    [
      'a currency without lines',
      () => replaced(ledger, /(opening,3000,.*),EUR,/, '$1,USD,'),
      { check, file: ledger, account: '3000', what: 'the account has no lines in USD' },
    ],
    [
      'an amount in the journal',
      () => replaced(journal, /,450.00,,EUR/, ',450.01,,EUR'),
      { check, file: journal, position: entry(6), account: '5000', what: 'debit is wrong', expected: '450.00', found: '450.01' },
    ],
    [
      'a time in the journal',
      () => replaced(journal, events()[entry(6) - 1].recordedAt, '2026-07-01T00:00:00.000000Z'),
      { check, file: journal, position: entry(6), what: 'recordedAt is wrong' },
    ],
    [
      'a side in the journal',
      () => replaced(journal, /,450.00,,EUR/, ',,450.00,EUR'),
      { check, file: journal, position: entry(6), what: 'debit is wrong', expected: '450.00', found: '' },
    ],
    [
      'a line that is missing in the journal',
      () => drop(journal, /,12,,JPY/),
      { check, file: journal, position: entry(8) + 1, account: '9000', what: `line 1 of the entry at position ${entry(8)} is missing` },
    ],
    [
      'a line twice in the journal',
      () => twice(journal, /,12,,JPY/),
      { check, file: journal, position: entry(8), what: 'this line stands there twice, or is not dated in the range' },
    ],
    [
      'rows in another order',
      () => swap(journal, /,12,,JPY/),
      { check, file: journal, what: 'rows of a journal are ordered by number and line' },
    ],
    [
      'journals that do not stand together',
      () =>
        changed(journal, (before) => {
          const rows = before.split('\r\n');
          return [rows[0], rows.at(-2), ...rows.slice(1, -1), ''].join('\r\n');
        }),
      { check, file: journal, what: 'the rows of a journal and year do not stand together' },
    ],
    [
      'a row of another kind in the journal',
      () => replaced(journal, '\r\nline', '\r\nsum'),
      { check, file: journal, line: 2, what: 'the row is of a kind that the format does not know' },
    ],
    [
      'an unknown account in the journal',
      () => replaced(journal, ',9000,', ',9001,'),
      { check, file: journal, account: '9001', what: 'there is no such account in the events' },
    ],
    [
      'an account that is missing in the chart',
      () => drop(chart, /^8888/),
      { check, file: chart, account: '8888', what: 'the account is missing' },
    ],
    [
      'an account twice in the chart',
      () => twice(chart, /^8888/),
      { check, file: chart, account: '8888', what: 'the account stands there twice' },
    ],
    [
      'an account too many in the chart',
      () => replaced(chart, /8888/, '8889'),
      { check, file: chart, account: '8889', what: 'there is no such account in the events' },
    ],
    [
      'an older name in the chart',
      () => replaced(chart, '"Rent, and ""more"""', 'Account 5000'),
      { check, file: chart, account: '5000', what: 'name is wrong', expected: 'Rent, and "more"', found: 'Account 5000' },
    ],
    [
      'another parent in the chart',
      () => replaced(chart, /(1215,.*,)1200/, '$11000'),
      { check, file: chart, account: '1215', what: 'parent is wrong', expected: '1200', found: '1000' },
    ],
    [
      'another status in the chart',
      () => replaced(chart, 'frozen', 'active'),
      { check, file: chart, account: '8888', what: 'status is wrong', expected: 'frozen', found: 'active' },
    ],
    [
      'an account that is not closed in the events',
      () => replaced(chart, 'active', 'closed'),
      { check, file: chart, account: '1000', what: 'status is wrong', expected: 'open', found: 'closed' },
    ],
    [
      'a close that is missing',
      () => drop(locks, /PeriodReopeningDeclined/),
      { check, file: locks, position: at('PeriodReopeningDeclined'), what: 'the row of PeriodReopeningDeclined is missing' },
    ],
    [
      'a close too many',
      () => twice(locks, /PeriodReopeningDeclined/),
      { check, file: locks, what: 'there is no further event that closes or reopens' },
    ],
    [
      'a close of another level',
      () => replaced(locks, 'hard', 'soft'),
      { check, file: locks, position: at('PeriodClosed'), what: 'level is wrong', expected: 'hard', found: 'soft' },
    ],
    [
      'a control total',
      () =>
        manifested((manifest) => {
          manifest.totals.currencies[0].debit = '1342.39';
        }),
      { check, file: 'manifest.json', what: 'totals.currencies is not what the events say' },
    ],
    [
      'a control total that the format does not know',
      () =>
        manifested((manifest) => {
          manifest.totals.grandTotal = '1.00';
        }),
      { check, file: 'manifest.json', what: 'totals has members that the format does not know', found: 'grandTotal' },
    ],
    [
      'a fiscal year that is no text',
      () =>
        manifested((manifest) => {
          manifest.totals.numbers[0].fiscalYear = { toString: 1, valueOf: 1 };
        }),
      { check, file: 'manifest.json', what: 'totals.numbers is not what the events say' },
    ],
    [
      'a number of entries',
      () =>
        manifested((manifest) => {
          manifest.totals.entries++;
        }),
      { check, file: 'manifest.json', what: 'totals.entries is not what the events say', expected: '5', found: '6' },
    ],
    [
      'a number of lines',
      () =>
        manifested((manifest) => {
          manifest.totals.lines--;
        }),
      { check, file: 'manifest.json', what: 'totals.lines is not what the events say' },
    ],
    [
      'a number of events',
      () =>
        manifested((manifest) => {
          manifest.totals.events--;
        }),
      { check, file: 'manifest.json', what: 'totals.events is not what the events say' },
    ],
    [
      'a last number',
      () =>
        manifested((manifest) => {
          manifest.totals.numbers[0].last++;
        }),
      { check, file: 'manifest.json', what: 'totals.numbers is not what the events say' },
    ],
    [
      'another range',
      () =>
        manifested((manifest) => {
          manifest.to = '2026-03-01';
        }),
      { check, file: ledger, what: /dated in the range|is wrong/ },
    ],
    [
      'another beginning of the year',
      () =>
        manifested((manifest) => {
          delete manifest.yearFrom;
        }),
      { check, file: balance, what: /is wrong|missing/ },
    ],
  ])('tell %s', async (_, pack, violation) => {
    const result = await verify(pack());
    expect(result.ok).toBe(false);
    expect(wrongChecks(result)).toContain('reports');
    const wanted = Object.fromEntries(Object.entries(violation).map(([name, value]) => [name, matching(value)]));
    expect(result.findings).toContainEqual(expect.objectContaining(wanted));
  });

  // Where openings begin is not for the manifest to say, but for the events.
  const opening = { baseCurrency: 'EUR', fx: 'none', timeZone: 'UTC', name: 'Years' };
  const years = (start: string | undefined, defined: object[]) => {
    const book = new BookWriter('acme', { ...opening, ...(start && { fiscalYearStart: start }) });
    for (const year of defined) book.book('FiscalYearDefined', { periods: [], ...year });
    book.account('1100', 'asset');
    book.account('4000', 'income');
    for (const date of ['2025-05-05', '2026-02-02'])
      book.post('GJ', date, [
        { account: '1100', debit: '5.00' },
        { account: '4000', credit: '5.00' },
      ]);
    return book.events;
  };
  const [of2025, of2026] = [2025, 2026].map((year) => ({ label: `${year}`, from: `${year}-01-01`, to: `${year}-12-31` }));
  const long = { label: '2026', from: '2025-01-01', to: '2026-06-30', given: true, replaces: ['2025', '2026'] };
  const range = { from: '2026-02-01', to: '2026-06-30' };
  it.each<[string, string | undefined, (object | undefined)[], string | undefined]>([
    ['the year that was defined', '07-01', [of2025, of2026], '2026-01-01'],
    ['the year that took the place of others', '01-01', [of2025, of2026, long], '2025-01-01'],
    ['twelve months, where none was defined for the day', '07-01', [], '2025-07-01'],
    ['twelve months that begin in the same year', '01-31', [], '2026-01-31'],
    ['nothing, where years are given by hand and none covers the day', '01-01', [{ ...of2025, given: true }], undefined],
  ])('hold only with openings since the beginning of %s', async (_, start, defined, yearFrom) => {
    const list = years(start, defined as object[]).map((event) => (event.data.fiscalYear && defined.includes(long) ? { ...event, data: { ...event.data, fiscalYear: '2026', number: event.data.effectiveDate < '2026' ? 1 : 2 } } : event));
    expect(await verify(packOf(list, { range: { ...range, ...(yearFrom && { yearFrom }) } }))).toMatchObject({ ok: true });
    const other = await verify(packOf(list, { range: { ...range, yearFrom: '2025-06-01' } }));
    expect(other).toMatchObject({ ok: false, first: { check, file: 'manifest.json', what: 'yearFrom is not the first day of the fiscal year of 2026-02-01', expected: yearFrom ?? 'nothing: no fiscal year covers it', found: '2025-06-01' } });
    if (yearFrom) expect(await verify(packOf(list, { range }))).toMatchObject({ ok: false, first: { expected: yearFrom, found: 'nothing' } });
  }); // biome-ignore format: short

  // Cells that no figure is computed from, which a reader takes for one all the same.
  const of = (line: string) => new RegExp(`^${line}`, 's');
  /** Rows of cells as they stand, quotes and all. */
  const cellsOf = (csv: string) => {
    const rows: string[][] = [[]];
    for (const [, cell = '', end] of csv.matchAll(/("(?:[^"]|"")*"|[^",\r\n]*)(,|\r\n)/g)) {
      rows.at(-1)?.push(cell);
      if (end !== ',') rows.push([]);
    }
    return rows.slice(0, -1);
  };
  const csvOf = (rows: string[][]) => rows.map((row) => `${row.join(',')}\r\n`).join('');
  const cell = (name: string, row: RegExp, column: string, value: string) => () =>
    changed(name, (before) => {
      const rows = cellsOf(before);
      const at = rows[0]?.indexOf(column) ?? -1;
      return csvOf(rows.map((each) => (row.test(each.join(',')) ? each.with(at, value) : each)));
    });
  it.each<[string, () => Files, string, string | undefined, string | undefined]>([
    ['a debit of earnings brought forward', cell(balance, of('retainedEarnings,.*EUR'), 'debit', '9.00'), 'row retainedEarnings EUR: debit is wrong', '0.00', '9.00'],
    ['a credit of earnings brought forward', cell(balance, of('retainedEarnings,.*EUR'), 'credit', '9.00'), 'row retainedEarnings EUR: credit is wrong', '0.00', '9.00'],
    ['a movement of earnings brought forward', cell(balance, of('retainedEarnings,.*EUR'), 'net', '9.00'), 'row retainedEarnings EUR: net is wrong', '0.00', '9.00'],
    ['a type of a total', cell(balance, of('total,.*EUR'), 'type', 'asset'), 'row total EUR: type is wrong', '', 'asset'],
    ['a day of an opening', cell(ledger, of('opening,1100'), 'date', '2026-02-01'), 'opening: date is wrong', '', '2026-02-01'],
    ['a number of an opening', cell(ledger, of('opening,1100'), 'number', 'GJ/2026/99'), 'opening: number is wrong', '', 'GJ/2026/99'],
    ['a debit of an opening', cell(ledger, of('opening,1100'), 'debit', '9.00'), 'opening: debit is wrong', '', '9.00'],
    ['a credit of a closing', cell(ledger, of('closing,1100'), 'credit', '9.00'), 'closing: credit is wrong', '', '9.00'],
    ['a debit of earnings brought forward in the ledger', cell(ledger, of('retainedEarnings'), 'debit', '9.00'), 'retainedEarnings: debit is wrong', '', '9.00'],
    ['a base balance of an opening', cell(ledger, of('opening,1100'), 'baseBalance', '9.00'), 'opening: baseBalance is wrong', '0.00', '9.00'],
    ['a base balance of a closing', cell(ledger, of('closing,4000.*USD'), 'baseBalance', '9.00'), 'closing: baseBalance is wrong', '-92.38', '9.00'],
    ['a base balance of earnings brought forward', cell(ledger, of('retainedEarnings'), 'baseBalance', '9.00'), 'retainedEarnings: baseBalance is wrong', '0.00', '9.00'],
    ['a running base balance', cell(ledger, of('line,4000.*USD'), 'baseBalance', '9.00'), 'baseBalance is wrong', '-92.38', '9.00'],
    ['a base debit', cell(ledger, of('line,3000'), 'baseDebit', '9.00'), 'baseDebit is wrong', '42.38', '9.00'],
    ['a base credit', cell(ledger, of('line,3000'), 'baseCredit', '9.00'), 'baseCredit is wrong', '', '9.00'],
    ['a reference in the ledger', cell(ledger, of('line,5000,.*,R-1/1,'), 'reference', 'R-2'), 'reference is wrong', 'R-1/1', 'R-2'],
    ['a reference in the journal', cell(journal, of('line,.*,R-1,'), 'reference', 'R-2'), 'reference is wrong', 'R-1', 'R-2'],
    ['a type of a document', cell(journal, of('line,.*,R-1,'), 'documentType', 'bill'), 'documentType is wrong', 'invoice', 'bill'],
    ['a number of a document', cell(journal, of('line,.*,R-1,'), 'documentNumber', 'I-8'), 'documentNumber is wrong', 'I-7', 'I-8'],
    ['a day of a document', cell(journal, of('line,.*,R-1,'), 'documentDate', '1999-01-01'), 'documentDate is wrong', '2026-02-02', '1999-01-01'],
    ['who posted', cell(journal, of('line,.*,ann,'), 'userId', 'bob'), 'userId is wrong', 'ann', 'bob'],
    ['on whose behalf', cell(journal, of('line,.*,R-1,'), 'onBehalfOf', 'bob'), 'onBehalfOf is wrong', 'bea', 'bob'],
    ['a reversal', cell(journal, of('line,SA'), 'reversedBy', 'entry-9'), 'reversedBy is wrong', '', 'entry-9'],
    ['a reversal that is left out', cell(journal, of('line,GJ,2026,1,'), 'reversedBy', ''), 'reversedBy is wrong', `entry-${entry(5)}`, ''],
    ['a base amount in the journal', cell(journal, of('line,SA,.*,92.38,EUR'), 'baseAmount', '9.00'), 'baseAmount is wrong', '92.38', '9.00'],
    ['a text of a line', cell(journal, of('line,SA,.*,42.38,,EUR'), 'lineDescription', 'Another'), 'lineDescription is wrong', 'A line with a text of its own', 'Another'],
    ['a subtype', cell(chart, of('1100'), 'subtype', 'bank'), 'subtype is wrong', 'cash', 'bank'],
    ['a reason of a reopening', cell(locks, of('.*a late invoice'), 'reason', 'forged'), 'reason is wrong', 'a late invoice', 'forged'],
    ['on whose behalf was closed', cell(locks, of('.*PeriodClosed,2025'), 'onBehalfOf', 'bob'), 'onBehalfOf is wrong', 'bea', 'bob'],
    ['what was closed at', cell(locks, of('.*PeriodClosed,2025'), 'closedAtPosition', '999'), 'closedAtPosition is wrong', `${at('PeriodClosed') - 1}`, '999'],
    ['a level where the event has none', cell(locks, of('.*PeriodClosed,2026'), 'closedAtPosition', '999'), 'closedAtPosition is wrong', '', '999'],
    ['a column twice', () => replaced(balance, ',closing,position', ',closing,closing,position'), 'the header has closing twice', undefined, undefined],
  ])('tell %s', async (_, pack, what, expected, found) => {
    const result = await verify(pack());
    expect(result).toMatchObject({ ok: false, first: { check, what, ...(expected !== undefined && { expected, found }) } });
  }); // biome-ignore format: a table

  const changes = 'reports/changes-since.csv';
  it.each<[string, (rows: string[][]) => string[][], object]>([
    ['a figure before', (rows) => rows.map((row) => (row[0] === 'entry' && row[14] === '3000' ? row.with(16, '1.00') : row)), { position: entry(7), account: '3000', what: 'no entry since then has changed this so' }],
    ['a figure in base currency', (rows) => rows.map((row) => (row[0] === 'entry' && row[14] === '3000' ? row.with(20, '1.00') : row)), { position: entry(7), what: 'no entry since then has changed this so' }],
    ['who posted', (rows) => rows.map((row) => (row[0] === 'entry' && row[14] === '3000' ? row.with(8, 'bob') : row)), { position: entry(7), what: 'no entry since then has changed this so' }],
    ['an entry that is left out', (rows) => rows.filter((row) => row[14] !== '9000' || row[0] !== 'entry'), { position: entry(8), what: 'no entry since then has changed this so' }],
    ['a row that is left out', (rows) => rows.filter((row) => row[14] !== '9100' || row[0] !== 'entry'), { position: entry(8) + 2, what: 'the row of what this entry changed is missing' }],
    ['another position that changes are told since', (rows) => rows.map((row, index) => (index === 1 ? row.with(22, '31') : row)), { line: 2, what: 'sincePosition is wrong', expected: '30', found: '31' }],
    ['a sum', (rows) => rows.map((row) => (row[0] === 'account' && row[14] === '3000' ? row.with(17, '1.00') : row)), { account: '3000', what: 'row account EUR: change is wrong', expected: '42.38', found: '1.00' }],
    ['a sum that is left out', (rows) => rows.filter((row) => row[0] !== 'account' || row[14] !== '3000'), { account: '3000', what: 'row account EUR is missing' }],
    ['a sum twice', (rows) => [...rows, rows.at(-1) ?? []], { what: /^row account ...: it has not changed, or stands there twice$/ }],
    ['a row of another kind', (rows) => [...rows, (rows.at(-1) ?? []).with(0, 'sum')], { what: 'the row is of a kind that the format does not know' }],
  ])('of what changed since an earlier pack tell %s', async (_, change, violation) => {
    const files = samplePack({ since: 30 });
    const after = Buffer.from(csvOf(change(cellsOf(text(files, changes)))));
    const result = await verify(seal(new Map(files).set(changes, after)));
    expect(result.ok).toBe(false);
    const wanted = Object.fromEntries(Object.entries(violation).map(([name, value]) => [name, matching(value)]));
    expect(result.findings).toContainEqual(expect.objectContaining({ check, file: changes, ...wanted }));
  }); // biome-ignore format: a table

  it('hold where they have fewer columns of those that are compared only where they are there', async () => {
    const without = (name: string, names: string[]) => (files: Files) => {
      const rows = cellsOf(text(files, name));
      const dropped = names.map((column) => rows[0]?.indexOf(column));
      return new Map(files).set(name, Buffer.from(csvOf(rows.map((row) => row.filter((_, at) => !dropped.includes(at))))));
    };
    const fewer = without(journal, ['userId', 'reversedBy', 'baseAmount'])(without(ledger, ['baseDebit', 'baseCredit', 'baseBalance'])(usual));
    expect(await verify(seal(fewer))).toMatchObject({ ok: true });
  }); // biome-ignore format: short

  it('hold where a close is of the first version of its event, which had no level', async () => {
    const book = sampleBook();
    book.book('PeriodClosed', { fiscalYear: '2026', period: 2 });
    const files = packOf(book.events);
    const said = text(files, locks).replace('PeriodClosed,2026,2,undefined,,', 'PeriodClosed,2026,2,hard,0,');
    expect(await verify(seal(new Map(files).set(locks, Buffer.from(said))))).toMatchObject({ ok: true });
  }); // biome-ignore format: short

  it('are told by the note where the manifest was made to fit them, and by its key where the note was too', async () => {
    const files = changed(balance, (before) => before.replace('1342.38', '1342.39'));
    const unsigned = new Map(files).set('manifest.note', usual.get('manifest.note') ?? Buffer.alloc(0));
    expect(await verify(unsigned)).toMatchObject({
      first: { check: 'files', file: 'manifest.note', what: expect.stringMatching(/by the manifest it should say/) },
    });
    const resigned = changed(balance, (before) => before.replace('1342.38', '1342.39'), stranger);
    const result = await verify(resigned);
    expect(result).toMatchObject({
      first: { check: 'files', file: 'manifest.note', what: expect.stringMatching(/not signed by a key that you trust/) },
    });
    expect(result.findings[1]).toMatchObject({ check, file: balance, what: 'row total EUR: debit is wrong' });
  });

  it('are told without a position where a row states one that is no number', async () => {
    const result = await verify(replaced(ledger, new RegExp(`(line,3000,.*),${entry(7)},standard`), '$1,here,standard'));
    const finding = result.findings.find(({ what }) => what === 'no line of the events is like this row');
    expect(finding).toMatchObject({ file: ledger, account: '3000' });
    expect(finding).not.toHaveProperty('position');
  });

  it('are told in the order of positions, the lowest first, and only some of many', async () => {
    const result = await verify(changed(ledger, (before) => before.replaceAll(',standard,', ',other,')));
    const mine = result.findings.filter(({ file }) => file === ledger);
    expect(mine).toHaveLength(5);
    expect(result.count).toBe(14);
    expect(mine.map(({ position }) => position)).toEqual([...mine.map(({ position }) => position ?? 0)].sort((a, b) => a - b));
    expect(result.first?.position).toBe(entry(4));
  });
});

describe('whatever an event says', () => {
  /** All places in a value, as lists of names. */
  const places = (value: unknown, above: string[] = []): string[][] =>
    value === null || typeof value !== 'object'
      ? [above]
      : [above, ...Object.entries(value).flatMap(([name, each]) => places(each, [...above, name]))];

  it('ends in findings, never in an error, and never holds where it is not what was signed', async () => {
    const odd = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom(undefined, '', '0.00', '-1', 1e300, '2026-02-01', 'debit', 'id-1100', 'JournalEntryPosted', 'AccountDebited'),
    );
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(), odd, fc.boolean(), async (event, place, value, signed) => {
        const list = JSON.parse(`[${text(usual, EVENTS).trim().replaceAll('\n', ',')}]`);
        const chosen = list[event % list.length];
        const all = places(chosen).slice(1);
        const path = all[place % all.length] ?? [];
        const owner = path.slice(0, -1).reduce((inner, name) => inner[name], chosen);
        const name = path.at(-1) ?? '';
        if (value === undefined && !Array.isArray(owner)) delete owner[name];
        else owner[name] = value ?? null;
        const after = list.map((each: Event) => `${canonicalize(each)}\n`).join('');
        if (after === text(usual, EVENTS)) return;
        const files = new Map(usual).set(EVENTS, Buffer.from(after));
        expect(await verify(signed ? seal(files) : files)).toMatchObject({ ok: false, first: expect.anything() });
      }),
      { numRuns: 300 },
    );
  });
});

describe('the command', () => {
  const program = join(__dirname, '..', 'verify.mjs');
  const run = async (...args: string[]) => {
    const { stdout, stderr, code = 0 } = await promisify(execFile)(process.execPath, [program, ...args]).catch((error) => error);
    return { stdout, stderr, status: code as number };
  };
  const written = (name: string, content: string) => {
    const path = join(newFolder(), name);
    writeFileSync(path, content);
    return path;
  };

  it('says what was checked, in words, and ends with 0', async () => {
    const { stdout, status } = await run(
      onDisk(zip(usual)),
      '--key',
      first.text,
      '--checkpoint',
      written('kept', signNote(checkpointText(ORIGIN, leaves.slice(0, 20)), first)),
    );
    expect(status).toBe(0);
    expect(stdout.replace(/^Audit pack .* of the book/, 'Audit pack … of the book')).toMatchInlineSnapshot(`
"Audit pack … of the book acme (Acme & Söhne): events 1 to 56, recorded until 2026-07-01T10:00:05.000056Z; range 2026-02-01 to 2026-06-30.

holds     files             15 files with 38 394 bytes: each is there once, with the SHA-256 of the signed manifest
holds     events            56 events: their form, positions, versions and times
holds     tree              3 of 4 checkpoints have the root of the events before them; the last one, of 62 events, contains this pack's
holds     signatures        4 checkpoints; keys given: 1, trusted by their statements: 1
holds     kept checkpoints  1 of 1 could be compared
holds     books             10 entries with 24 lines balance, 1 of them in base amounts too; their account events, running totals and numbers agree; 10 accounts
holds     reports           computed again and compared, in rows: chart-of-accounts 10, trial-balance 14, general-ledger 31, journal 14, period-locks 6; control totals

Checked by their hash only, not by what they say: README.txt, exports/datev/EXTF_Buchungsstapel.csv, exports/datev/names.csv.

Everything holds.
"
`);
  });

  it('says what is wrong, where, and what was expected, and ends with 1', async () => {
    const pack = onDisk(zip(replaced('reports/general-ledger.csv', /(line,3000,.*,EUR,)42.38/, '$1\x1b[2J\x9b\u202e42.39')));
    const { stdout, status } = await run(pack, '--key', first.text, '--quiet');
    expect(status).toBe(1);
    expect(stdout.replaceAll(pack, 'PACK')).toMatchInlineSnapshot(`
"Audit pack PACK of the book acme (Acme & Söhne): events 1 to 56, recorded until 2026-07-01T10:00:05.000056Z; range 2026-02-01 to 2026-06-30.

holds     files             15 files with 38 403 bytes: each is there once, with the SHA-256 of the signed manifest
holds     events            56 events: their form, positions, versions and times
holds     tree              3 of 4 checkpoints have the root of the events before them; the last one, of 62 events, contains this pack's
holds     signatures        4 checkpoints; keys given: 1, trusted by their statements: 1
holds     kept checkpoints  none were given
holds     books             10 entries with 24 lines balance, 1 of them in base amounts too; their account events, running totals and numbers agree; 10 accounts
WRONG     reports

The first thing that is wrong:
  reports/general-ledger.csv, line 14, event position 41, account 3000 (reports): debit is wrong
    expected: 42.38
    found:    \\u001b[2J\\u009b\\u202e42.39

Something is wrong with this pack.
"
`);
  });

  it('reads keys from a file, and is quiet where it is told to be', async () => {
    const keys = written('keys', `# books.example\n${first.text}\n\n${second.text}\n`);
    expect(await run(onDisk(usual), '--key', keys, '--quiet')).toEqual({ stdout: '', stderr: '', status: 0 });
  });

  it('takes a key that is given twice once', async () => {
    const { stdout } = await run(onDisk(usual), '--key', first.text, '--key', written('keys', `${first.text}\n`));
    expect(stdout).toContain('4 checkpoints; keys given: 1, trusted by their statements: 1');
  });

  it('answers in JSON', async () => {
    const { stdout, status } = await run(onDisk(zip(seal(usual, stranger))), '--key', first.text, '--json');
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, first: { check: 'files', file: 'manifest.note' }, manifest: { position: 56 } });
  });

  it.each<[string, () => string[], string]>([
    ['no pack', () => ['--key', first.text], 'one pack and at least one key are needed'],
    ['no key', () => [onDisk(usual)], 'one pack and at least one key are needed'],
    ['two packs', () => ['a', 'b', '--key', first.text], 'one pack and at least one key are needed'],
    ['an unknown option', () => ['a', '--kee', first.text], "Unknown option '--kee'"],
    ['a file that is not there', () => ['/no/such/file', '--key', first.text], 'there is no file or folder /no/such/file'],
    ['a key file that is not there', () => [onDisk(usual), '--key', '/no/such/key'], 'ENOENT'],
    ['a checkpoint file that is not there', () => [onDisk(usual), '--key', first.text, '--checkpoint', '/no/such/checkpoint'], 'ENOENT'],
    ['a file that is no archive', () => [written('pack.zip', 'hello'), '--key', first.text], 'is no ZIP archive'],
    ['a key that was copied wrongly', () => [onDisk(usual), '--key', first.text.replace(/\+\w{8}\+/, '+00000000+')], 'it was copied wrongly'],
    ['only the key of a witness', () => [onDisk(usual), '--key', witness.text], 'no key of a log is given'],
    ['a format that would steer the terminal', () => [onDisk(manifested((manifest) => { manifest.format = '\u001b]0;owned\u0007\u009b\u202e'; })), '--key', first.text], 'the pack has the format \\u001b]0;owned\\u0007\\u009b\\u202e; this program knows'],
    ['a path that is too long', () => ['x'.repeat(300), '--key', first.text], 'ENAMETOOLONG'],
    ['another version of the format', () => [onDisk(manifested((manifest) => { manifest.format = 'book-keeper audit pack/v2'; })), '--key', first.text], 'the pack has the format book-keeper audit pack/v2; this program knows book-keeper audit pack/v1'],
    ['a folder that is no pack', () => [newFolder(), '--key', first.text], 'it is no audit pack'],
  ])('ends with 2 at %s', async (_, args, message) => {
    const { stdout, stderr, status } = await run(...args());
    expect({ stdout, status }).toEqual({ stdout: '', status: 2 });
    expect(stderr).toContain(message);
  }); // biome-ignore format: a table

  it('shows its usage', async () => {
    expect(await run('--help')).toMatchObject({ status: 0, stdout: expect.stringMatching(/^Usage: book-keeper-verify PACK/) });
  });
});
