/**
 * Seals of the audit trail of ordinary tables (libs/audit-trail): has its hash chain grow, and puts the last link into the log of the
 * installation, whose Merkle tree is signed and handed out. Guarantees that a link which stands there was in the database then; that one
 * stands there twice does no harm. Several processes may do it.
 */
import type { Pool } from 'pg';
import type { EventCatalogue } from '#event-store';
import { type ActionLog, systemLog } from './action-log';

export const sealEvents = { AuditTrailSealed: { aggregateType: 'Actions', version: 1 } } as const satisfies EventCatalogue;

/** Data of AuditTrailSealed: a link of the chain. */
export interface AuditTrailSealed {
  /** Its place, from 1; so many SQL transactions are sealed. */
  readonly place: number;
  /** SHA-256, hexadecimal. */
  readonly chain: string;
}

export interface AuditSealsOptions {
  readonly everyMs: number;
  readonly report: (error: unknown) => void;
}

const perRound = 1_000;

export class AuditSeals {
  private timer: NodeJS.Timeout | undefined;
  private round: Promise<void> | undefined;
  private isRunning = false;
  /** The last place that is known to stand in the log; undefined: it is to be looked up. */
  private told: number | undefined;

  constructor(
    private readonly pool: Pool,
    private readonly actions: ActionLog,
    private readonly options: AuditSealsOptions,
  ) {}

  start(): void {
    this.isRunning = true;
    this.later();
  }

  /** Finishes what is under way, seals what there is, and begins nothing more. */
  async stop(): Promise<void> {
    if (!this.isRunning) return;
    this.isRunning = false;
    clearTimeout(this.timer);
    await this.round;
    await this.seal().catch(this.options.report);
  }

  private later(): void {
    this.timer = setTimeout(() => {
      this.round = this.seal()
        .catch(this.options.report)
        .then(() => {
          if (this.isRunning) this.later();
        });
    }, this.options.everyMs);
  }

  /** Seals what was committed, and tells the log of the last link. */
  async seal(): Promise<void> {
    // Distributed databases have no audit trail.
    const { rows: there } = await this.pool.query<{ there: boolean }>("SELECT to_regclass('audit.chain') IS NOT NULL AS there");
    if (there[0]?.there !== true) return;
    for (let made = perRound; made === perRound; ) {
      const { rows } = await this.pool.query<{ place: number; chain: string; made: number }>(
        "SELECT place, encode(chain, 'hex') AS chain, made FROM audit.seal($1)",
        [perRound],
      );
      const [link] = rows;
      made = link?.made ?? 0;
      if (link === undefined || link.place === 0) return;
      this.told ??= await this.lastTold();
      if (link.place <= this.told) continue;
      const data: AuditTrailSealed = { place: link.place, chain: link.chain };
      await this.actions.note('AuditTrailSealed', data);
      this.told = link.place;
    }
  }

  private async lastTold(): Promise<number> {
    const { rows } = await this.pool.query<{ place: number }>(
      "SELECT (data->>'place')::bigint AS place FROM log.events WHERE book_id = $1 AND event_type = 'AuditTrailSealed' ORDER BY position DESC LIMIT 1",
      [systemLog],
    );
    return rows[0]?.place ?? 0;
  }
}
