/**
 * From where requests come: hashed with a salt, so that events hold the hash alone and what it stands for can be erased. One row per
 * place, process and day, not per request. Hides that rows are kept in memory. Guarantees that a row which was erased when it was two days old
 * does not come back: by then the place has another salt.
 */
import * as crypto from 'node:crypto';
import { type CommandContext as ContextRow, canonicalJson } from '#event-store';

const keptMax = 10_000;
const keptMs = 86_400_000;

export class Contexts {
  private readonly rows = new Map<string, { readonly row: ContextRow; readonly since: number }>();

  /** @param clock milliseconds; a spec turns it */
  constructor(private readonly clock: () => number = () => performance.now()) {}

  /** @returns undefined when nothing is known of where it came from */
  of({ ip, userAgent }: { readonly ip?: string; readonly userAgent?: string }): ContextRow | undefined {
    if (ip === undefined && userAgent === undefined) return undefined;
    const place = canonicalJson({ ip, userAgent });
    const known = this.rows.get(place);
    const now = this.clock();
    if (known !== undefined && now - known.since < keptMs) return known.row;
    const salt = crypto.randomBytes(16);
    const row = { salt, hash: crypto.createHash('sha256').update(salt).update(place, 'utf8').digest(), ip, userAgent };
    if (this.rows.size >= keptMax) this.rows.clear();
    this.rows.set(place, { row, since: now });
    return row;
  }
}
