/** The HTTP application: which controllers there are, and what they are given. */
import { type DynamicModule, Injectable, Module } from '@nestjs/common';
import { APP_FILTER, APP_PIPE, NestFactory } from '@nestjs/core';
import { CqrsModule } from '@nestjs/cqrs';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { OpenAPIObject } from '@nestjs/swagger';
import { Logger, LoggerModule } from 'nestjs-pino';
import { createLogger, type Log, Service } from '#ledger';
import { AccountsController } from './accounts.controller';
import { ActionsController } from './actions.controller';
import { AuditController } from './audit.controller';
import { BooksController } from './books.controller';
import { Commands, commandHandlers } from './commands';
import { CompiledBodies } from './compiled-bodies';
import { CurrenciesController } from './currencies.controller';
import { describeApi, serveDocument } from './document';
import { createAdapter, guardEdge } from './edge';
import { EdgePipe } from './edge.pipe';
import { HealthController } from './health.controller';
import { JournalDraftsController } from './journal-drafts.controller';
import { JournalEntriesController } from './journal-entries.controller';
import { Metrics } from './metrics';
import { PartiesController } from './parties.controller';
import { PeriodEndController } from './period-end.controller';
import { PeriodsController } from './periods.controller';
import { ProblemFilter } from './problem.filter';
import { ProofsController } from './proofs.controller';
import { ReportsController } from './reports.controller';

/** Nest tells each route and module of a start; that is for those who look for it. */
@Injectable()
class StartLogger extends Logger {
  override log(message: unknown, ...rest: unknown[]): void {
    this.debug(message, ...rest);
  }
}

@Module({})
class AppModule {
  /** @param service called when providers are made, which is never in preview */
  static of(service: () => Service, log: Log): DynamicModule {
    return {
      module: AppModule,
      imports: [
        CqrsModule.forRoot(),
        // Requests are logged at the edge, at a tenth of the cost of a child logger each.
        LoggerModule.forRoot({ pinoHttp: { logger: log }, forRoutes: [] }),
      ],
      controllers: [
        BooksController,
        PeriodsController,
        PeriodEndController,
        CurrenciesController,
        AccountsController,
        JournalEntriesController,
        JournalDraftsController,
        AuditController,
        ProofsController,
        ReportsController,
        PartiesController,
        ActionsController,
        HealthController,
      ],
      providers: [
        { provide: Service, useFactory: service },
        { provide: APP_FILTER, useClass: ProblemFilter },
        { provide: APP_PIPE, useClass: EdgePipe },
        StartLogger,
        Metrics,
        Commands,
        CompiledBodies,
        ...commandHandlers,
      ],
    };
  }
}

/** The application, ready to listen. */
export async function createApp(service: Service, log: Log): Promise<NestFastifyApplication> {
  const adapter = createAdapter(service.config);
  guardEdge(adapter, service, log);
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.of(() => service, log),
    adapter,
    { bufferLogs: true },
  );
  app.useLogger(app.get(StartLogger));
  const document = describeApi(app);
  serveDocument(app, document);
  app.get(CompiledBodies).load(document);
  await app.init();
  await adapter.getInstance().ready();
  return app;
}

/** The OpenAPI document without a service: in a preview no provider is made. */
export async function previewDocument(): Promise<OpenAPIObject> {
  const module = AppModule.of(
    () => {
      throw new Error('a preview opens no service');
    },
    createLogger({ LOG_LEVEL: 'silent' }),
  );
  return describeApi(await NestFactory.create(module, createAdapter(), { preview: true, logger: false }));
}
