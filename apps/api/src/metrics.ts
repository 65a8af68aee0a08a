/**
 * Metrics for Prometheus: what commands became of, how many wait, how far projections are behind. A registry per service,
 * so that two in one process do not add up.
 */
import { Injectable } from '@nestjs/common';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { LedgerError } from '#domain';
import { type Answer, Service } from '#ledger';

@Injectable()
export class Metrics {
  readonly registry = new Registry();
  private readonly commands = new Counter({
    name: 'book_keeper_commands_total',
    help: 'Commands by type and by what became of them: appended, refused (by a rule or as invalid), replayed, failed (to be repeated).',
    labelNames: ['command', 'outcome'] as const,
    registers: [this.registry],
  });

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
    new Gauge({
      name: 'book_keeper_projection_lag_events',
      help: 'Events that projections have not folded yet, over all books.',
      registers: [registry],
      async collect() {
        this.set((await service.projector.lag()).events);
      },
    });
  }

  answered(command: string, { status, replayed }: Answer): void {
    this.commands.inc({ command, outcome: replayed ? 'replayed' : status < 400 ? 'appended' : 'refused' });
  }

  failed(command: string, error: unknown): void {
    const temporary =
      !(error instanceof LedgerError) || error.kind === 'unavailable' || error.kind === 'limited' || error.kind === 'internal';
    this.commands.inc({ command, outcome: temporary ? 'failed' : 'refused' });
  }
}
