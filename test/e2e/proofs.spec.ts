/**
 * The Merkle log over HTTP: checkpoints, proofs and tiles as auditors and witnesses get them, held against the events themselves, and checked by
 * Go's sumdb packages, which we did not write.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import canonicalize from 'canonicalize';
import { parseCheckpoint, parseKey, parseNote, signedBy, verifyConsistency, verifyInclusion } from '#event-store';
import { buildProofChecker, withGo } from '../support/other-programs';
import { type Api, created, entry, openBook, startApi } from './api';

const book = '/v1/books/proved';
let api: Api;
let head: number;
beforeAll(async () => {
  api = await startApi({ CHECKPOINT_MS: '20', CHECKPOINT_PUBLISH_MS: '20' });
  await openBook(api, 'proved');
  for (let batch = 0; batch < 5; batch++)
    await api.post(`${book}/journal-entries/batch`, {
      atomic: false,
      entries: Array.from({ length: 60 }, (_, index) => entry(`${index + 1}.00`)),
    });
  head = ((await api.get(book)).body as { position: number }).position;
  await sealed(head);
}, 60_000);
afterAll(() => api.close());

const bytes = (text: unknown): Buffer => Buffer.from(String(text), 'base64');

/** Waits for a checkpoint of so many events or more. */
async function sealed(size: number): Promise<string> {
  for (;;) {
    const { status, text } = await api.get(`${book}/checkpoint?size=${size}`);
    if (status === 200) return text;
    expect(status).toBe(503);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('a checkpoint', () => {
  it('is a signed note of the newest head, which says for how long it may be kept', async () => {
    const { status, headers, text } = await api.get(`${book}/checkpoint`);
    expect([status, headers['content-type'], headers['cache-control']]).toEqual([200, 'text/plain; charset=utf-8', 'public, max-age=1']);
    const note = parseNote(text);
    const checkpoint = parseCheckpoint(note?.text ?? '');
    const { keys } = (await api.get('/v1/checkpoint-keys')).body as { keys: { key: string }[] };
    const key = parseKey(keys.at(-1)?.key ?? '');
    expect(checkpoint).toMatchObject({ size: head, origin: `${key?.name}/proved` });
    expect(note && key && signedBy(note, key)).toBe(true);
  });

  it('of a size that is not there yet is answered with when to ask again', async () => {
    const { status, headers, body } = await api.get(`${book}/checkpoint?size=${head + 1_000}`);
    expect([status, headers['retry-after'], body]).toEqual([503, '1', expect.objectContaining({ code: 'not_sealed', sealed: head })]);
  });
});

describe('proofs', () => {
  it('lead from an event, as the log shows it, to the root that was signed', async () => {
    const { events } = (await api.get(`${book}/events?after=100&limit=200`)).body as {
      events: (Record<string, unknown> & { position: number })[];
    };
    for (const { leafHash, ...envelope } of events.filter(({ position }) => position % 17 === 0)) {
      const { body } = await api.get(`${book}/proofs/inclusion?position=${envelope.position}`);
      const leaf = createHash('sha256')
        .update('\0')
        .update(canonicalize(envelope) ?? '')
        .digest();
      expect([leaf.toString('hex'), body.leafHash]).toEqual([leafHash, leaf.toString('base64')]);
      const checkpoint = parseCheckpoint(parseNote(String(body.checkpoint))?.text ?? '');
      expect(checkpoint).toMatchObject({ size: body.size, root: bytes(body.root) });
      const claim = { index: envelope.position - 1, size: Number(body.size), leaf, root: bytes(body.root) };
      expect(verifyInclusion(claim, (body.hashes as string[]).map(bytes))).toBe(true);
    }
  });

  it('show that the log only grew', async () => {
    for (const from of [0, 1, 255, 256, 257, head - 1, head]) {
      const { body } = await api.get(`${book}/proofs/consistency?from=${from}&to=${head}`);
      expect(body).toMatchObject({ from, to: head });
      const [old, now] = [
        { size: from, root: bytes(body.fromRoot) },
        { size: head, root: bytes(body.toRoot) },
      ];
      expect(verifyConsistency(old, now, (body.hashes as string[]).map(bytes))).toBe(true);
    }
  });

  it.each([
    ['/proofs/inclusion', 400, 'malformed'],
    ['/proofs/inclusion?position=0', 400, 'malformed'],
    ['/proofs/inclusion?position=x', 400, 'malformed'],
    ['/proofs/inclusion?position=999999', 400, 'date_invalid'],
    ['/proofs/inclusion?position=3&size=2', 400, 'malformed'],
    ['/proofs/consistency', 400, 'malformed'],
    ['/proofs/consistency?from=5&to=4', 400, 'malformed'],
    ['/proofs/consistency?from=5&to=999999', 503, 'not_sealed'],
    ['/tile/0/0', 400, 'malformed'],
    ['/tile/entries/000', 400, 'malformed'],
    ['/tile/../checkpoint', 200, undefined],
    ['/tile/0/000.p/256', 400, 'malformed'],
    ['/tile/0/999', 404, 'tile_unknown'],
    ['/tile/5/000', 404, 'tile_unknown'],
  ])('%s is answered %i %s', async (path, status, code) => {
    const answer = await api.get(`${book}${path}`);
    expect([answer.status, status === 200 ? undefined : answer.body.code]).toEqual([status, code]);
  });

  it('of a book that there is not are answered 404, without a key 401', async () => {
    for (const path of ['/checkpoint', '/proofs/inclusion?position=1', '/proofs/consistency?from=1', '/tile/0/000']) {
      expect((await api.get(`/v1/books/nobody${path}`)).body).toMatchObject({ code: 'book_unknown' });
      expect((await api.get(`${book}${path}`, { secret: null })).status).toBe(401);
    }
  });
});

/** All tiles of the newest tree, by path. */
async function tiles(size: number): Promise<Record<string, string>> {
  const all: Record<string, string> = {};
  for (let level = 0, entries = size; entries > 0; level++, entries = Math.floor(entries / 256)) {
    for (let index = 0; index * 256 < entries; index++) {
      const width = Math.min(256, entries - index * 256);
      const path = `${level}/${String(index).padStart(3, '0')}${width === 256 ? '' : `.p/${width}`}`;
      const answer = await api.get(`${book}/tile/${path}`);
      expect([answer.status, answer.headers['content-type'], answer.headers['cache-control']]).toEqual([
        200,
        'application/octet-stream',
        'public, max-age=31536000, immutable',
      ]);
      expect(answer.bytes).toHaveLength(width * 32);
      all[path] = answer.bytes.toString('base64');
    }
  }
  return all;
}

it('tiles hold nothing but hashes, and never change', async () => {
  const before = await tiles(head);
  await created(api.post(`${book}/journal-entries`, entry('7.00')));
  await sealed(head + 3);
  expect(await tiles(head)).toEqual(before);
});

withGo("checked by Go's sumdb/note and sumdb/tlog", () => {
  let directory: string;
  let ask: (input: object) => Promise<string>;
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'book-keeper-go-'));
    ask = await buildProofChecker(directory);
  }, 120_000);
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it('everything holds, and nothing does with a bit changed', async () => {
    const note = (await api.get(`${book}/checkpoint`)).text;
    const checkpoint = parseCheckpoint(parseNote(note)?.text ?? '');
    if (checkpoint === undefined) throw new Error(note);
    const { size, root } = checkpoint;
    const { keys } = (await api.get('/v1/checkpoint-keys')).body as { keys: { key: string }[] };
    const inclusion: Record<string, unknown>[] = [];
    for (let position = 1; position <= size; position += 41)
      inclusion.push((await api.get(`${book}/proofs/inclusion?position=${position}&size=${size}`)).body);
    const consistency: Record<string, unknown>[] = [];
    for (let from = 1; from <= size; from += 53)
      consistency.push((await api.get(`${book}/proofs/consistency?from=${from}&to=${size}`)).body);
    const all = {
      Key: keys.at(-1)?.key,
      Notes: [note],
      Inclusion: inclusion,
      Consistency: consistency,
      Tiles: await tiles(size),
      Size: size,
      Root: root.toString('base64'),
    };
    expect(await ask(all)).toMatch(
      new RegExp(`^notes 1, inclusion ${inclusion.length}, consistency ${consistency.length}, by tiles \\d\\d+$`),
    );

    const flipped = (text: string): string => {
      const changed = bytes(text);
      changed[7] = (changed[7] as number) ^ 4;
      return changed.toString('base64');
    };
    const proof = inclusion[3] as { hashes: string[]; leafHash: string };
    const grown = consistency[3] as { hashes: string[] };
    const [path, tile] = Object.entries(all.Tiles)[0] as [string, string];
    for (const wrong of [
      { Notes: [note.replace(/\n\d+\n/, (line) => line.replace(/\d/, (digit) => String((Number(digit) % 9) + 1)))] },
      { Inclusion: [{ ...proof, hashes: proof.hashes.map((hash, index) => (index === 2 ? flipped(hash) : hash)) }] },
      { Inclusion: [{ ...proof, leafHash: flipped(proof.leafHash) }] },
      { Consistency: [{ ...grown, hashes: grown.hashes.map((hash, index) => (index === 1 ? flipped(hash) : hash)) }] },
      { Tiles: { ...all.Tiles, [path]: flipped(tile) } },
    ])
      expect([Object.keys(wrong)[0], await ask({ ...all, ...wrong })]).toEqual([Object.keys(wrong)[0], expect.stringMatching(/^FAILED/)]);
  });
});
