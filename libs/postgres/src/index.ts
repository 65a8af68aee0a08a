/**
 * PostgreSQL for this service: the embedded server, connections and pools with exact types, binary array parameters, and
 * the migration runner. Knows nothing of events or accounting.
 */
export * from './binary-arrays';
export * from './connect';
export * from './copy';
export * from './embedded';
export * from './migrate';
