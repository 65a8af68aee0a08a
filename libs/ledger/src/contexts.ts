/**
 * From where requests come: hashed with a salt, so that events hold the hash alone and what it stands for can be erased. One row per
 * place and process, not per request. Hides that rows are kept in memory.
 */
import * as crypto from 'node:crypto';
import { type CommandContext as ContextRow, canonicalJson } from '#event-store';

const keptMax = 10_000;

export class Contexts {
  private readonly rows = new Map<string, ContextRow>();

  /** @returns undefined when nothing is known of where it came from */
  of({ ip, userAgent }: { readonly ip?: string; readonly userAgent?: string }): ContextRow | undefined {
    if (ip === undefined && userAgent === undefined) return undefined;
    const place = canonicalJson({ ip, userAgent });
    let row = this.rows.get(place);
    if (row === undefined) {
      const salt = crypto.randomBytes(16);
      row = { salt, hash: crypto.createHash('sha256').update(salt).update(place, 'utf8').digest(), ip, userAgent };
      if (this.rows.size >= keptMax) this.rows.clear();
      this.rows.set(place, row);
    }
    return row;
  }
}
