/**
 * Where checkpoints are handed out to, outside the database: a directory, a webhook, a bucket. What stands there is what a restored or
 * rewritten database is held against, so it should be where whoever can change the database cannot change it (a WORM bucket, a file
 * system of another machine, append-only files). Guarantees that a newer checkpoint is never replaced by an older one, and that putting
 * one twice does no harm.
 */
import { randomBytes } from 'node:crypto';
import { appendFile, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Bucket, parseCheckpoint, parseNote } from '#event-store';
import type { Config } from '../config';

/** A signed note with what it says. */
export interface HandedOut {
  readonly origin: string;
  readonly size: number;
  /** The whole note. */
  readonly note: string;
  /** UTC, six decimals. */
  readonly recordedAt: string;
  /** Whether the log up to this checkpoint continues another one of it. */
  continues(before: { readonly size: number; readonly root: Buffer }): Promise<boolean>;
}

export interface CheckpointTarget {
  /** For messages; without credentials. */
  readonly name: string;
  put(checkpoint: HandedOut): Promise<void>;
  /**
   * The newest checkpoint of a log that was put here, by whomever; undefined when there is none, or when nothing can be read back.
   * @throws Error when it cannot be told
   */
  newest(origin: string): Promise<string | undefined>;
  /**
   * The logs of an installation of which something was put here: `NAME/…`; none where nothing can be read back.
   * @throws Error when it cannot be told
   */
  logs(name: string): Promise<string[]>;
}

const timeoutMs = 10_000;
const lockOldMs = 30_000;

/** @throws Error naming the setting that is wrong */
export function checkpointTargets({
  CHECKPOINT_DIR,
  DATA_DIR,
  CHECKPOINT_WEBHOOK,
  CHECKPOINT_BUCKET,
  CHECKPOINT_RETENTION_DAYS,
}: Config): CheckpointTarget[] {
  const targets: CheckpointTarget[] = [];
  if (CHECKPOINT_DIR !== 'off') targets.push(new Directory(CHECKPOINT_DIR === '' ? join(DATA_DIR, 'checkpoints') : CHECKPOINT_DIR));
  if (CHECKPOINT_WEBHOOK !== '') targets.push(new Webhook(CHECKPOINT_WEBHOOK));
  if (CHECKPOINT_BUCKET !== '') targets.push(new BucketTarget(CHECKPOINT_BUCKET, CHECKPOINT_RETENTION_DAYS));
  return targets;
}

/**
 * What was handed out of these logs and can be read back, to be held against them.
 * @param installation its name, where the logs are to be found that were handed out under it and are not among `origins`
 * @returns notes with where they are from, and targets that could not be read
 */
export async function handedOut(
  targets: readonly CheckpointTarget[],
  origins: readonly string[],
  installation?: string,
): Promise<{ readonly notes: { readonly from: string; readonly note: string }[]; readonly unread: string[] }> {
  const notes: { from: string; note: string }[] = [];
  const unread: string[] = [];
  for (const target of targets) {
    try {
      const others = installation === undefined ? [] : await target.logs(installation);
      for (const origin of new Set([...origins, ...others])) {
        const note = await target.newest(origin);
        if (note !== undefined) notes.push({ from: target.name, note });
      }
    } catch (error) {
      unread.push(`${target.name}: ${(error as Error).message}`);
    }
  }
  return { notes, unread };
}

/**
 * What stands there must be a beginning of what is put there: nobody's head is ever replaced by one that contradicts it, nor by an older one.
 * @throws Error naming both
 */
async function checkContinues(place: string, known: string | undefined, { origin, size, continues }: HandedOut): Promise<void> {
  if (known === undefined) return;
  const parsed = parseNote(known);
  const before = parsed && parseCheckpoint(parsed.text);
  if (before?.origin !== origin) throw new Error(`${place} has something that is no checkpoint of ${origin}; nothing is put there`);
  if (before.size > size) throw new Error(`${place} has a checkpoint of ${before.size} events already, and this one is of ${size}`);
  if (!(await continues(before)))
    throw new Error(
      `${place} has a checkpoint of ${before.size} events that this one of ${size} does not continue: two logs have the name ${origin}, and it is left there`,
    );
}

/** Names of logs are paths below a directory; what leads out of it is none. */
function checkOrigin(origin: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9.-]*(\/[A-Za-z0-9~][A-Za-z0-9._~-]*)+$/.test(origin)) throw new Error(`"${origin}" is no name of a log`);
}

function checkName(name: string): void {
  checkOrigin(`${name}/of-a-book`);
}

/** The id of a book or companion log, and the number of its name where that is not the first one. */
const logForm = /^(?:~system|[a-z0-9][a-z0-9-]*(?:~actions)?)(?:~\d+)?$/;

function sizeIn(note: string | undefined): number {
  const parsed = note === undefined ? undefined : parseNote(note);
  return (parsed && parseCheckpoint(parsed.text)?.size) ?? 0;
}

/** `DIR/ORIGIN/checkpoint` is the newest one; `DIR/ORIGIN/YYYY-MM-DD.checkpoints` grows by each that was handed out on that day. */
class Directory implements CheckpointTarget {
  readonly name: string;

  constructor(private readonly dir: string) {
    this.name = `directory ${dir}`;
  }

  async put(checkpoint: HandedOut): Promise<void> {
    const { origin, note, recordedAt } = checkpoint;
    checkOrigin(origin);
    const folder = join(this.dir, origin);
    await mkdir(folder, { recursive: true });
    const release = await this.locked(folder);
    try {
      const known = await this.newest(origin);
      if (known === note) return;
      await checkContinues(`directory ${folder}`, known, checkpoint);
      await appendFile(join(folder, `${recordedAt.slice(0, 10)}.checkpoints`), `${note}\n`);
      const draft = join(folder, `checkpoint.${randomBytes(6).toString('hex')}`);
      const file = await open(draft, 'wx');
      try {
        await file.writeFile(note);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(draft, join(folder, 'checkpoint')).catch(async (error: Error) => {
        await rm(draft, { force: true });
        throw error;
      });
      const entry = await open(folder);
      await entry.sync().finally(() => entry.close());
    } finally {
      await release();
    }
  }

  /** One process at a time: between looking and putting nobody else may put. A lock that a killed process left is old after a while. */
  private async locked(folder: string): Promise<() => Promise<void>> {
    const lock = join(folder, '.lock');
    for (let tries = 0; ; tries++) {
      try {
        await (await open(lock, 'wx')).close();
        return () => rm(lock, { force: true });
      } catch (error) {
        if ((error as { code?: string }).code !== 'EEXIST') throw error;
        const age =
          Date.now() -
          (await stat(lock).then(
            ({ mtimeMs }) => mtimeMs,
            () => Date.now(),
          ));
        if (age > lockOldMs) await rm(lock, { force: true });
        else if (tries * 50 > timeoutMs) throw new Error(`${lock} is held by another process`);
        else await sleep(50);
      }
    }
  }

  /** The larger one of `checkpoint` and the last line of the newest day: the latter only grows. */
  async newest(origin: string): Promise<string | undefined> {
    checkOrigin(origin);
    const folder = join(this.dir, origin);
    const whole = await readIfThere(join(folder, 'checkpoint'));
    const days = await readdir(folder).catch(() => []); // there is none
    const day = days
      .filter((name) => name.endsWith('.checkpoints'))
      .sort()
      .at(-1);
    const last = day === undefined ? undefined : (await tailOf(join(folder, day))).match(/[^\n]+\n\d+\n[^\n]+\n\n(?:— [^\n]+\n)+/g)?.at(-1);
    return sizeIn(last) > sizeIn(whole) ? last : whole;
  }

  async logs(name: string): Promise<string[]> {
    checkName(name);
    const found = await readdir(join(this.dir, name), { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    return found.filter((entry) => entry.isDirectory() && logForm.test(entry.name)).map((entry) => `${name}/${entry.name}`);
  }
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The end of a file that may have grown for a day. */
async function tailOf(path: string): Promise<string> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const bytes = Buffer.alloc(Math.min(size, 65_536));
    await file.read(bytes, 0, bytes.length, size - bytes.length);
    return bytes.toString('utf8');
  } finally {
    await file.close();
  }
}

/** The note as the body of a POST; any status of 2xx takes it. */
class Webhook implements CheckpointTarget {
  readonly name: string;
  private readonly url: string;
  private readonly headers: Record<string, string> = { 'Content-Type': 'text/plain; charset=utf-8' };

  constructor(url: string) {
    if (!/^https?:\/\//.test(url) || !URL.canParse(url)) throw new Error('CHECKPOINT_WEBHOOK: expected a URL, http or https');
    const parsed = new URL(url);
    const { username, password } = parsed;
    // fetch takes no URL with credentials, and would tell them in its error.
    if (username !== '' || password !== '')
      this.headers.Authorization = `Basic ${Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64')}`;
    [parsed.username, parsed.password] = ['', ''];
    this.url = parsed.href;
    this.name = `webhook ${parsed.origin}`;
  }

  async put({ note }: HandedOut): Promise<void> {
    const answer = await fetch(this.url, {
      method: 'POST',
      headers: this.headers,
      body: note,
      signal: AbortSignal.timeout(timeoutMs),
    });
    await answer.body?.cancel();
    if (!answer.ok) throw new Error(`${this.name} answered ${answer.status}`);
  }

  async newest(): Promise<undefined> {
    return undefined;
  }

  async logs(): Promise<string[]> {
    return [];
  }
}

/**
 * `PREFIX/ORIGIN/checkpoint` is the newest one, `PREFIX/ORIGIN/SIZE.checkpoint` (16 digits) each that was handed out, locked for the days of
 * retention (S3 Object Lock, compliance mode).
 */
class BucketTarget implements CheckpointTarget {
  readonly name: string;
  private readonly bucket: Bucket;

  constructor(
    url: string,
    private readonly retentionDays: number,
  ) {
    this.bucket = new Bucket('CHECKPOINT_BUCKET', url, timeoutMs);
    this.name = this.bucket.name;
  }

  async put(checkpoint: HandedOut): Promise<void> {
    const { origin, size, note } = checkpoint;
    const known = await this.newest(origin);
    if (known === note) return;
    await checkContinues(this.name, known, checkpoint);
    const locked: Record<string, string> =
      this.retentionDays === 0
        ? {}
        : {
            'x-amz-object-lock-mode': 'COMPLIANCE',
            'x-amz-object-lock-retain-until-date': new Date(Date.now() + this.retentionDays * 86_400_000).toISOString(),
          };
    await this.write(this.bucket.key(origin, sizedName(size)), note, locked);
    await this.write(this.bucket.key(origin, 'checkpoint'), note, {});
  }

  async newest(origin: string): Promise<string | undefined> {
    const last = await this.get(this.bucket.key(origin, 'checkpoint'));
    // Whoever put an old one there again could not take away the locked ones of larger sizes.
    const larger = await this.lastOf(`${this.bucket.key(origin, '')}/`, this.bucket.key(origin, sizedName(sizeIn(last))));
    return larger === undefined ? last : await this.get(larger);
  }

  private async get(key: string): Promise<string | undefined> {
    return (await this.bucket.get(key))?.toString('utf8');
  }

  private write(key: string, note: string, headers: Readonly<Record<string, string>>): Promise<void> {
    return this.bucket.put(key, note, { 'Content-Type': 'text/plain; charset=utf-8', ...headers });
  }

  async logs(name: string): Promise<string[]> {
    checkName(name);
    const prefix = this.bucket.key(name, '');
    const logs: string[] = [];
    // Folders, as Amazon calls them: what all keys with the same text up to the next slash have in common.
    for await (const page of this.bucket.pages({ prefix: `${prefix}/`, delimiter: '/' }))
      for (const [, folder = ''] of page.matchAll(/<CommonPrefixes>\s*<Prefix>([^<]+)\/<\/Prefix>/g))
        logs.push(folder.slice(prefix.length + 1));
    return logs.filter((log) => logForm.test(log)).map((log) => `${name}/${log}`);
  }

  /** The last key under a prefix behind another one. */
  private async lastOf(prefix: string, after: string): Promise<string | undefined> {
    let last: string | undefined;
    for await (const page of this.bucket.pages({ prefix, 'start-after': after })) {
      const keys = [...page.matchAll(/<Key>([^<]+)<\/Key>/g)].map(([, key]) => key as string);
      last = keys.filter((key) => /\/\d{16}\.checkpoint$/.test(key)).at(-1) ?? last;
    }
    return last;
  }
}

const sizedName = (size: number): string => `${String(size).padStart(16, '0')}.checkpoint`;
