/** The accounting rules: pure TypeScript, no framework, no I/O, no clock, no random. */
export * from './account';
export * from './book';
export * from './calendar-date';
export * from './decision';
export * from './errors';
export * from './exchange-rates';
export * from './fiscal-calendar';
export * from './iso-4217';
export * from './journal';
export * from './journal-draft';
export * from './money';
export * from './party';
export * from './period-close';
export * from './period-end';
export * from './retention';
export * from './text';
