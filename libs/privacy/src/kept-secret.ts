/** Secrets that a directory keeps for the next start. Guarantees that of several processes that make one at once all get the same. */
import { randomBytes } from 'node:crypto';
import { chmodSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * A secret that a directory keeps for the next start, in a file of mode 0600. Of several processes that make it at once one
 * wins, and all get its secret: the file appears whole or not at all.
 * @param make called when there is no such file yet
 */
export function keptSecret(file: string, make: () => string): { readonly secret: string; readonly isNew: boolean } {
  mkdirSync(dirname(file), { recursive: true });
  const known = readSecret(file);
  if (known !== undefined) return { secret: known, isNew: false };
  const draft = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
  const made = make();
  writeFileSync(draft, `${made}\n`, { mode: 0o600, flag: 'wx' });
  try {
    linkSync(draft, file);
    return { secret: made, isNew: true };
  } catch (error) {
    const winner = readSecret(file);
    if (winner === undefined) throw error;
    return { secret: winner, isNew: false };
  } finally {
    rmSync(draft, { force: true });
  }
}

function readSecret(file: string): string | undefined {
  try {
    const secret = readFileSync(file, 'utf8').trim();
    if (secret === '') throw new Error(`${file} is empty: remove it, so that a new secret is made`);
    // It may have been copied, or restored from a backup.
    chmodSync(file, 0o600);
    return secret;
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return undefined;
    throw error;
  }
}
