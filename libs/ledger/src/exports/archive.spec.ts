/** What an archive holds open while it is read: nothing is left behind, wherever its reader or one of its files breaks off. */
import { setImmediate as turn } from 'node:timers/promises';
import { bytesIn } from '../../../../test/support/exported-books';
import { type ArchiveFile, zipped } from './archive';

// --- The grammar of the specs below ---

const page = Buffer.alloc(
  300_000,
  Uint8Array.from({ length: 99_991 }, (_, index) => (index * index * 7_919) % 251),
);

/** Generators that were begun, by name, until their `finally` has run. */
class Open {
  readonly names = new Set<string>();
  readonly ended: string[] = [];

  /** Pages that a file hands out before it ends, or before it breaks. */
  async *content(name: string, pages: number, failure?: Error): AsyncGenerator<Uint8Array> {
    this.names.add(name);
    try {
      for (let given = 0; given < pages; given++) {
        await turn();
        yield page;
      }
      if (failure !== undefined) throw failure;
    } finally {
      // As a connection takes a moment to be given back.
      await turn();
      this.names.delete(name);
      this.ended.push(name);
    }
  }

  async *files(...files: readonly (readonly [name: string, pages: number, failure?: Error])[]): AsyncGenerator<ArchiveFile> {
    this.names.add('files');
    try {
      for (const [name, pages, failure] of files) {
        await turn();
        yield { name, content: this.content(name, pages, failure) };
      }
    } finally {
      await turn();
      this.names.delete('files');
      this.ended.push('files');
    }
  }
}

// --- Specs ---

describe('an archive', () => {
  const endless = 1_000_000;

  it.each([1, 2, 5])('whose reader breaks off after %s pieces has ended what it was made of by then', async (pieces) => {
    const open = new Open();
    const archive = zipped(open.files(['first', 1], ['second', endless], ['third', 1]));
    for (let read = 0; read < pieces; read++) expect((await archive.next()).done).toBe(false);
    await archive.return(undefined);
    expect([...open.names]).toEqual([]);
    expect(open.ended).toContain('files');
    expect(open.ended).not.toContain('third');
  });

  it('that was never read has begun nothing', async () => {
    const open = new Open();
    await zipped(open.files(['first', 1])).return(undefined);
    expect(open).toMatchObject({ names: new Set(), ended: [] });
  });

  it.each([0, 3])('of which a later file breaks after %s pages fails with that, and has ended the rest by then', async (pages) => {
    const open = new Open();
    const files = open.files(['first', 1], ['broken', pages, new Error('torn')], ['third', 1]);
    await expect(bytesIn(zipped(files))).rejects.toThrow('torn');
    expect([...open.names]).toEqual([]);
    expect(open.ended).toEqual(['first', 'broken', 'files']);
  });

  it('whose list of files breaks fails with that', async () => {
    const open = new Open();
    async function* files(): AsyncGenerator<ArchiveFile> {
      yield* open.files(['first', 1]);
      throw new Error('no more files');
    }
    await expect(bytesIn(zipped(files()))).rejects.toThrow('no more files');
    expect(open.ended).toEqual(['first', 'files']);
  });

  it('whose reader throws has ended what it was made of', async () => {
    const open = new Open();
    const read = async (): Promise<void> => {
      for await (const _ of zipped(open.files(['first', endless]))) throw new Error('full disk');
    };
    await expect(read()).rejects.toThrow('full disk');
    expect([...open.names]).toEqual([]);
  });
});
