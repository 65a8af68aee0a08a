/** A disk of a few megabytes that can be filled: a tmpfs, so a full disk is a real one and hurts nobody else. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmdirSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface SmallDisk {
  readonly path: string;
  /** Takes all room that is left. */
  fill(): void;
  /** Gives it back. */
  clear(): void;
  unmount(): void;
}

/** Whether this machine lets us mount one, found out by doing it. */
export function canMount(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  try {
    smallDisk(1, { uid: 0, gid: 0 }).unmount();
    return true;
  } catch {
    return false;
  }
}

/** @param owner who may write to it */
export function smallDisk(megabytes: number, { uid, gid }: { readonly uid: number; readonly gid: number }): SmallDisk {
  const path = mkdtempSync(join(tmpdir(), 'book-keeper-disk-'));
  const options = `size=${megabytes}m,mode=0700,uid=${uid},gid=${gid}`;
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path], { encoding: 'utf8' });
  if (status !== 0) {
    rmdirSync(path);
    throw new Error(`no tmpfs can be mounted: ${stderr}`);
  }
  const ballast = join(path, 'ballast');
  return {
    path,
    fill() {
      const file = openSync(ballast, 'a');
      try {
        for (let size = 1 << 20; size >= 4096; size >>= 1) {
          try {
            for (;;) writeSync(file, Buffer.alloc(size));
          } catch (error) {
            if ((error as { code?: string }).code !== 'ENOSPC') throw error;
          }
        }
      } finally {
        closeSync(file);
      }
    },
    clear: () => rmSync(ballast, { force: true }),
    unmount() {
      spawnSync('umount', ['-l', path]);
      rmdirSync(path);
    },
  };
}
