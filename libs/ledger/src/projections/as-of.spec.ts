/**
 * Where rows of running totals end, as properties over random batches: at the position that a read starts from, the rows hold
 * exactly the entries up to it, and less than `cutEvery` events lie between it and the position that was asked for.
 */
import * as fc from 'fast-check';
import type { RecordedFact } from '#event-store';
import type { Batch } from '../projection';
import { asOf, cutEvery, rowsEndBefore } from './as-of';

const accountId = '01930000-0000-7000-8000-00000000000a';

/** Entries of one line each: how many events stand before each (legs, other accounts), and its amount in cents. */
const anEntry = fc.record({
  gap: fc.oneof(fc.nat(4), fc.nat(2 * cutEvery), fc.constantFrom(cutEvery - 2, cutEvery - 1, cutEvery)),
  cents: fc.integer({ min: 1, max: 1_000_000 }),
  after: fc.nat(3),
});
const history = fc.array(fc.array(anEntry, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 6 });

interface Posted {
  readonly position: number;
  readonly cents: number;
}

function batchesOf(shape: readonly (readonly { gap: number; cents: number; after: number }[])[]): { batches: Batch[]; entries: Posted[] } {
  const entries: Posted[] = [];
  let last = 0;
  const batches = shape.map((batch) => {
    const events: RecordedFact[] = [];
    for (const { gap, cents, after } of batch) {
      const position = last + gap + 1;
      entries.push({ position, cents });
      const line = { line: 1, accountId, code: 'a', side: 'debit', currency: 'EUR', amount: (cents / 100).toFixed(2) };
      const current = { effectiveDate: '2026-05-17', lines: [line] };
      events.push({ position, streamId: accountId, eventType: 'JournalEntryPosted', current });
      last = position + after;
    }
    return { last, events };
  });
  return { batches, entries };
}

/** The year's rows as the fold gives them to the statement: position and debit in cents, counted from the first batch on. */
function yearRows(batches: readonly Batch[]): { position: number; cents: number }[] {
  const [, , kinds, , positions, debits] = asOf.fold(batches)[0] as Buffer[];
  const year = texts(kinds as Buffer).indexOf('Y');
  const [at, sums] = [positions, debits].map((column) => (texts(column as Buffer)[year] as string).split(' '));
  return (at as string[]).map((position, index) => ({ position: Number(position), cents: Math.round(Number(sums?.[index]) * 100) }));
}

/** By position, what stands at positions up to it. */
function sumsUpTo(head: number, parts: readonly Posted[]): number[] {
  const sums = new Array<number>(head + 1).fill(0);
  for (const { position, cents } of parts) sums[position] = (sums[position] ?? 0) + cents;
  for (let position = 1; position <= head; position++) sums[position] = (sums[position] ?? 0) + (sums[position - 1] ?? 0);
  return sums;
}

/** text[] in binary form: a header of 20 bytes, then the length and the bytes of each element. */
function texts(encoded: Buffer): string[] {
  const found: string[] = [];
  for (let at = 20; at < encoded.length; ) {
    const length = encoded.readInt32BE(at);
    found.push(encoded.toString('utf8', at + 4, at + 4 + length));
    at += 4 + length;
  }
  return found;
}

describe('rows of running totals', () => {
  it('hold at a cut or batch end exactly the entries up to it, and reads start less than a cut before P', () => {
    fc.assert(
      fc.property(history, (shape) => {
        const { batches, entries } = batchesOf(shape);
        const rows = yearRows(batches);
        const ends = batches.map(({ last }) => last);
        const head = ends.at(-1) as number;
        const upTo = sumsUpTo(head, entries);
        const held = sumsUpTo(
          head,
          rows.map(({ position, cents }, index) => ({ position, cents: cents - (rows[index - 1]?.cents ?? 0) })),
        );
        const wrong: object[] = [];
        for (let known = 0; known <= head; known++) {
          const base = rowsEndBefore(known, ends.findLast((end) => end <= known) ?? 0);
          if (base > known || known - base >= cutEvery || held[base] !== upTo[base])
            wrong.push({ known, base, held: held[base], upTo: upTo[base] });
        }
        expect(wrong).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  it('stand at the same positions however many batches are folded at once, none beyond its batch (I7)', () => {
    fc.assert(
      fc.property(history, (shape) => {
        const { batches } = batchesOf(shape);
        const apart = batches.flatMap((batch) => yearRows([batch]).map(({ position }) => position));
        expect(yearRows(batches).map(({ position }) => position)).toEqual(apart);
        for (const batch of batches) expect(yearRows([batch]).at(-1)?.position).toBeLessThanOrEqual(batch.last);
      }),
      { numRuns: 60 },
    );
  });
});
