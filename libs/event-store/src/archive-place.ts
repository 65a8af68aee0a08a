/**
 * Where files of cold storage are: a directory, or an S3-compatible bucket. Guarantees that a file which is there is whole (a crash while it is
 * written leaves at most something that nobody looks at), that its bytes are on the disk when `put` returns, and that no name ever stands
 * for other bytes: names end with a part of the hash of what is in them.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Bucket } from './bucket';

export interface ArchivePlace {
  /** For messages; without credentials. */
  readonly name: string;
  /** Puts a file there, whole or not at all; putting the same again does no harm. */
  put(file: string, bytes: Buffer): Promise<void>;
  /** @returns undefined when it is not there @throws Error when that cannot be told */
  get(file: string): Promise<Buffer | undefined>;
}

/** A file has at most some tens of megabytes. */
const timeoutMs = 120_000;
/** Whoever reads is a request or a writer that others wait for. */
const answerMs = 10_000;

/**
 * @param url a directory (a path, or file://…) or s3://BUCKET/PREFIX?endpoint=https://…&region=…; empty: none
 * @throws Error naming the setting ARCHIVE_URL
 */
export function archivePlace(url: string): ArchivePlace | undefined {
  if (url === '') return undefined;
  if (url.startsWith('s3:')) return new InBucket(new Bucket('ARCHIVE_URL', url, timeoutMs, answerMs));
  if (/^[a-z][a-z0-9+.-]+:/i.test(url) && !url.startsWith('file:'))
    throw new Error(`ARCHIVE_URL=${url}: a directory, or s3://BUCKET/PREFIX?endpoint=https://…&region=…`);
  return new InDirectory(resolve(url.startsWith('file:') ? fileURLToPath(url) : url));
}

class InDirectory implements ArchivePlace {
  readonly name: string;

  constructor(private readonly directory: string) {
    this.name = `directory ${directory}`;
  }

  async put(file: string, bytes: Buffer): Promise<void> {
    const path = join(this.directory, file);
    const folder = dirname(path);
    const made = await mkdir(folder, { recursive: true });
    const draft = `${path}.${randomBytes(6).toString('hex')}.part`;
    try {
      const written = await open(draft, 'wx');
      try {
        await written.writeFile(bytes);
        await written.sync();
      } finally {
        await written.close();
      }
      await rename(draft, path);
    } catch (error) {
      await rm(draft, { force: true });
      throw error;
    }
    // A name is on the disk when the directory in which it stands is, also the name of a directory that was made for it.
    const highest = made === undefined ? folder : dirname(made);
    for (let at = folder; ; at = dirname(at)) {
      const entry = await open(at);
      await entry.sync().finally(() => entry.close());
      if (at === highest) return;
    }
  }

  async get(file: string): Promise<Buffer | undefined> {
    try {
      return await readFile(join(this.directory, file));
    } catch (error) {
      if ((error as { code?: string }).code === 'ENOENT') return undefined;
      throw error;
    }
  }
}

class InBucket implements ArchivePlace {
  readonly name: string;

  constructor(private readonly bucket: Bucket) {
    this.name = bucket.name;
  }

  put(file: string, bytes: Buffer): Promise<void> {
    return this.bucket.put(this.bucket.key(file), bytes, { 'Content-Type': 'application/octet-stream' });
  }

  get(file: string): Promise<Buffer | undefined> {
    return this.bucket.get(this.bucket.key(file));
  }
}
