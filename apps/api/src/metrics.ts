/**
 * Metrics for Prometheus: what commands became of, how many wait, how far projections are behind. A registry per service,
 * so that two in one process do not add up.
 */
import { Injectable } from '@nestjs/common';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { LedgerError } from '#domain';
import { type Answer, Service } from '#ledger';

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
    const seconds = new Gauge({
      name: 'book_keeper_projection_lag_seconds',
      help: 'Age of the oldest event that a projection has not folded yet, over all books; 0 when there is none.',
      labelNames: ['projection'] as const,
      registers: [registry],
    });
    const folded = new Counter({
      name: 'book_keeper_projection_folded_events_total',
      help: 'Events that this process has folded, by projection.',
      labelNames: ['projection'] as const,
      registers: [registry],
    });
    new Gauge({
      name: 'book_keeper_projection_lag_events',
      help: 'Events that a projection has not folded yet, in the book in which it is furthest behind.',
      labelNames: ['projection'] as const,
      registers: [registry],
      async collect() {
        const lags = await service.projector.lag();
        this.reset();
        seconds.reset();
        for (const lag of lags) {
          this.set({ projection: lag.projection }, lag.events);
          seconds.set({ projection: lag.projection }, lag.seconds);
        }
        folded.reset();
        for (const [projection, events] of service.projector.folded) folded.inc({ projection }, events);
      },
    });
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
