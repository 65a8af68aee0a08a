/** Puts packs where the verifier finds them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { verifyPack } from '../verify.mjs';
import { type Files, first, zip } from './sample-pack.ts';

const made: string[] = [];
afterAll(() => {
  for (const folder of made) rmSync(folder, { recursive: true, force: true });
});

export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'book-keeper-verifier-'));
  made.push(folder);
  return folder;
}

/** Writes an archive, or the files of a pack into a folder; answers with its path. */
export function onDisk(pack: Buffer | Files): string {
  const folder = newFolder();
  if (Buffer.isBuffer(pack)) {
    const path = join(folder, 'pack.zip');
    writeFileSync(path, pack);
    return path;
  }
  for (const [name, bytes] of pack) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), bytes);
  }
  return folder;
}

export interface Given {
  keys?: string[];
  checkpoints?: { file: string; text: string }[];
}

/** Verifies a pack, by default with the first key of the installation; the second one follows from it. */
export const verify = (pack: Buffer | Files, { keys = [first.text], checkpoints = [] }: Given = {}) =>
  verifyPack(onDisk(Buffer.isBuffer(pack) ? pack : zip(pack)), { keys, checkpoints });

/** What must be known besides: in these words. */
export const wrongChecks = (result: Awaited<ReturnType<typeof verify>>) =>
  result.checks.filter(({ state }) => state === 'wrong').map(({ name }) => name);
