/** Identifiers: the forms of RFC 9562, order by time, and ids that belong to a name for ever. */
import { uuidV5, uuidV7 } from './ids';

describe('a uuid of version 7', () => {
  it('has the form of RFC 9562 section 5.7', () => {
    for (let count = 0; count < 2_000; count++) {
      expect(uuidV7()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }
  });

  it('begins with the milliseconds of its making, so that ids sort by time', () => {
    const before = Date.now();
    const ids = Array.from({ length: 5_000 }, uuidV7);
    const after = Date.now();
    const times = ids.map((id) => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16));
    expect(times.every((time) => time >= before && time <= after)).toBe(true);
    expect([...times].sort((a, b) => a - b)).toEqual(times);
  });

  it('is never the same twice, and every random bit of it varies', () => {
    const ids = Array.from({ length: 100_000 }, uuidV7);
    expect(new Set(ids).size).toBe(ids.length);
    let ones = 0n;
    let zeros = 0n;
    for (const id of ids.slice(0, 500)) {
      const bits = BigInt(`0x${id.replaceAll('-', '')}`);
      ones |= bits;
      zeros |= ~bits;
    }
    // 12 bits behind the version, 62 behind the variant.
    const random = (0xfffn << 64n) | ((1n << 62n) - 1n);
    expect(ones & zeros & random).toBe(random);
  });
});

describe('a uuid of version 5', () => {
  // Computed by Python's uuid.uuid5 in the namespace 6f0b4a5e-2d3c-4e8b-9a17-55c0de1ed9e7. Streams have these ids: never change one.
  it.each([
    ['book:acme', '89d43e38-479a-5e7b-9287-ed9707019687'],
    ['numbers:acme:2026', 'fb8c675c-0c1e-5af4-a74b-f960067d3481'],
    ['drafts:acme:2026', 'a165610e-e947-5ea5-b00a-08a6c4ef60b6'],
    ['', 'f79a9062-9f4e-554d-ad37-f441b3eaf458'],
    ['book:größe', '6b9aaa33-0e98-5ad2-a299-c02997ae1aca'],
  ])('of %j is %s, in every process and for ever', (name, id) => {
    expect(uuidV5(name)).toBe(id);
  });
});
