/** The log: append, read, snapshots, upcasting. Knows nothing of accounting. */
export * from './canonical-json';
export * from './envelope';
export * from './event-store';
export * from './ids';
