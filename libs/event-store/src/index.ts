/** The log: append, read, snapshots, upcasting; its Merkle tree and what is signed of it. Knows nothing of accounting. */
export * from './archive-file';
export * from './archive-place';
export * from './bucket';
export * from './canonical-json';
export * from './cold-store';
export * from './envelope';
export * from './event-store';
export * from './ids';
export * from './merkle';
export * from './signed-note';
export * from './tree-store';
