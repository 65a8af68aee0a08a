/**
 * Metrics for Prometheus: what commands became of, how many wait, how far projections are behind. A registry per service,
 * so that two in one process do not add up.
 */
import { Injectable } from '@nestjs/common';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { LedgerError } from '#domain';
import { type Answer, type ProjectionLag, Service } from '#ledger';

type Outcome = 'appended' | 'refused' | 'replayed' | 'failed';

@Injectable()
export class Metrics {
  readonly registry = new Registry();
  private readonly commands = new Counter({
    name: 'book_keeper_commands_total',
    help: 'Commands by type and by what became of them: appended, refused (by a rule or as invalid), replayed, failed (to be repeated).',
    labelNames: ['command', 'outcome'] as const,
    registers: [this.registry],
  });

  private readonly children = new Map<string, Counter.Internal>();

  constructor(service: Service) {
    collectDefaultMetrics({ register: this.registry });
    const { registry } = this;
    new Gauge({
      name: 'book_keeper_queue_length',
      help: 'Commands that wait or are under way.',
      registers: [registry],
      collect() {
        this.set(service.ledger.queueLength);
      },
    });
    // One look for the gauges that tell of it.
    let looking: Promise<ProjectionLag[]> | undefined;
    const lags = (): Promise<ProjectionLag[]> => (looking ??= service.projector.lag().finally(() => (looking = undefined)));
    const lagGauge = (name: string, help: string, member: 'events' | 'seconds'): void => {
      new Gauge({
        ...{ name, help, labelNames: ['projection'] as const, registers: [registry] },
        async collect() {
          const found = await lags();
          this.reset();
          for (const lag of found) this.set({ projection: lag.projection }, lag[member]);
        },
      });
    };
    lagGauge(
      'book_keeper_projection_lag_events',
      'Events that a projection has not folded yet, in the book in which it is furthest behind.',
      'events',
    );
    lagGauge(
      'book_keeper_projection_lag_seconds',
      'Age of the oldest event that a projection has not folded yet, over all books; 0 when there is none.',
      'seconds',
    );
    new Counter({
      name: 'book_keeper_projection_folded_events_total',
      help: 'Events that this process has folded, by projection; set~number for a set beside the live one.',
      labelNames: ['projection'] as const,
      registers: [registry],
      collect() {
        this.reset();
        for (const [projection, events] of service.projector.folded) this.inc({ projection }, events);
      },
    });
    this.aboutSealing(service);
  }

  /** How far the Merkle logs are behind, and what this process has done about it. */
  private aboutSealing(service: Service): void {
    const { registry } = this;
    new Gauge({
      name: 'book_keeper_seal_lag_events',
      help: 'Events that are not sealed and signed yet, in the book that has most of them.',
      registers: [registry],
      async collect() {
        this.set((await service.sealer.lag()).events);
      },
    });
    for (const [member, help] of [
      ['events', 'Events that this process has sealed into Merkle trees.'],
      ['checkpoints', 'Checkpoints that this process has signed.'],
      ['failures', 'Times that a checkpoint could not be made or handed out by this process; each is tried again.'],
    ] as const) {
      const name = {
        events: 'book_keeper_sealed_events_total',
        checkpoints: 'book_keeper_checkpoints_total',
        failures: 'book_keeper_seal_failures_total',
      }[member];
      new Counter({
        ...{ name, help, registers: [registry] },
        collect() {
          this.reset();
          this.inc(service.sealer.counts[member]);
        },
      });
    }
  }

  answered(command: string, { status, replayed }: Answer): void {
    this.count(command, replayed ? 'replayed' : status < 400 ? 'appended' : 'refused');
  }

  failed(command: string, error: unknown): void {
    const temporary =
      !(error instanceof LedgerError) || error.kind === 'unavailable' || error.kind === 'limited' || error.kind === 'internal';
    this.count(command, temporary ? 'failed' : 'refused');
  }

  /** By children that are looked up once: finding one by its labels costs more than counting. */
  private count(command: string, outcome: Outcome): void {
    const name = `${command} ${outcome}`;
    let child = this.children.get(name);
    if (child === undefined) {
      child = this.commands.labels(command, outcome);
      this.children.set(name, child);
    }
    child.inc();
  }
}
