#!/usr/bin/env node
/**
 * The command `book-keeper` from a clone, also a fresh one: installs and builds what is missing, then runs the CLI in this
 * very process, so that its signals, its exit status and its standard streams are the CLI's own.
 */
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { bootstrap } from './bootstrap.mjs';

bootstrap({ build: true });
const main = join(fileURLToPath(import.meta.url), '..', '..', 'dist', 'apps', 'cli', 'src', 'main.js');
// A CommonJS program finds its name and arguments as if it had been started directly.
process.argv[1] = main;
await import(pathToFileURL(main).href);
