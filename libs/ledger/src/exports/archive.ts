/**
 * Files as one ZIP archive, made while it is read. Hides the archive's own format; guarantees constant memory, and the same bytes
 * for the same files (with the same zlib): names, sizes and one given instant are all that the archive holds beside the content.
 * Whichever way it ends (read, broken off by its reader, a file that fails), what its files are made of has ended before it.
 */
import { Readable } from 'node:stream';
import { ZipFile } from 'yazl';
import { instantMicros } from '#event-store';

export type Content = AsyncIterable<string | Uint8Array>;

export interface ArchiveFile {
  /** Path with slashes. */
  readonly name: string;
  readonly content: Content;
}

/** @param at instant that all files are dated with; the first that an archive can hold when absent */
export async function* zipped(files: AsyncIterable<ArchiveFile>, at = '1980-01-01T00:00:00.000000Z'): AsyncGenerator<Uint8Array> {
  const zip = new ZipFile();
  const output = zip.outputStream as unknown as Readable;
  const mtime = dosTime(at);
  let failure: Error | undefined;
  /** What is being read, and whether nobody wants any more. */
  let source: Readable | undefined;
  let ended = false;
  const fail = (error: Error): void => {
    failure ??= error;
    output.destroy(error);
  };
  const add = async (): Promise<void> => {
    for await (const { name, content } of files) {
      // Whoever broke off while this file was looked for would never read it.
      if (ended) return;
      const reading = Readable.from(chunks(content), { objectMode: false });
      source = reading;
      reading.on('error', fail);
      const read = new Promise((resolve) => reading.on('close', resolve));
      zip.addReadStream(reading, name, { mtime, mode: 0o100644, forceDosTimestamp: true });
      // One at a time: the next file is not begun before this one was taken.
      await read;
      if (ended || failure !== undefined) return;
    }
    zip.end();
  };
  const adding = add().catch(fail);
  try {
    yield* output as AsyncIterable<Uint8Array>;
    await adding;
    if (failure !== undefined) throw failure;
  } catch (error) {
    throw failure ?? error;
  } finally {
    // Whoever breaks off ends what is being read too.
    ended = true;
    source?.destroy();
    output.destroy();
    // Files, and what lists them, have given back what they held before anybody hears that this has ended.
    await adding;
  }
}

/** In pieces of some size, so that small ones cost no more than large ones. */
async function* chunks(content: Content): AsyncGenerator<Buffer> {
  let pending: Buffer[] = [];
  let size = 0;
  for await (const some of content) {
    const bytes = typeof some === 'string' ? Buffer.from(some) : Buffer.from(some.buffer, some.byteOffset, some.byteLength);
    pending.push(bytes);
    size += bytes.length;
    if (size < chunkBytes) continue;
    yield Buffer.concat(pending);
    pending = [];
    size = 0;
  }
  if (size > 0) yield Buffer.concat(pending);
}

const chunkBytes = 65_536;

/** The archive holds local times without a zone: noon of the day in UTC, which is noon wherever this runs, in summer and winter. */
function dosTime(at: string): Date {
  const utc = new Date(Math.floor((instantMicros(at) ?? 0) / 1_000));
  return new Date(utc.getUTCFullYear(), utc.getUTCMonth(), utc.getUTCDate(), 12);
}
