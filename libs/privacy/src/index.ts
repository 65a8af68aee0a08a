/** Keys of persons, and texts that are sealed with them. Knows nothing of accounting or events. */
export * from './kept-secret';
export * from './master-keys';
export * from './sealed-text';
export * from './subject-keys';
