/** Commands to aggregates to events, projections with their queries, configuration: what applications are built on. */
export { instantMicros } from '#event-store';
export * from './answer';
export * from './api-keys';
export * from './catalogue';
export * from './commands';
export * from './config';
export * from './import';
export * from './inspect';
export * from './ledger';
export * from './log';
export * from './projection';
export * from './projection-sets';
export * from './projector';
export * from './queries';
export * from './rebuild';
export * from './rule-replay';
export * from './service';
export * from './verify';
