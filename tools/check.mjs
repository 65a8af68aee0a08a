/**
 * `npm run check`: everything that can be said about the code without running it. Runs all checks even when one fails,
 * shows what the failed ones said, and ends with a table.
 *
 * Usage: node tools/check.mjs [--only NAME]
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bootstrap } from './bootstrap.mjs';

const root = join(fileURLToPath(import.meta.url), '..', '..');

/** @param {string} file a program of node_modules, started by this very Node */
const packaged = (file) => [process.execPath, join(root, 'node_modules', file)];
const sources = ['apps', 'libs', 'packages', 'bench', 'test'].filter((directory) => existsSync(join(root, directory)));

/** Each check with its command. */
const checks = {
  types: [...packaged('typescript/bin/tsc'), '--noEmit'],
  // Plain JavaScript with its types in comments, and so under other settings.
  'types, verifier': [...packaged('typescript/bin/tsc'), '-p', 'packages/verifier'],
  // `ci` is lint, format and import order, and changes nothing.
  'lint and format': [...packaged('@biomejs/biome/bin/biome'), 'ci', '--error-on-warnings', '--colors=off', '.'],
  layers: [...packaged('dependency-cruiser/bin/dependency-cruise.mjs'), '--config', '.dependency-cruiser.cjs', ...sources],
  'dead code': packaged('knip/bin/knip.js'),
  'generated files': [process.execPath, join(root, 'tools', 'generate.mjs'), '--check'],
};

/** @param {string[]} command @returns {Promise<{ passed: boolean, seconds: number, said: string }>} */
function run([program = '', ...args]) {
  const started = performance.now();
  return new Promise((done) => {
    const child = spawn(program, args, { cwd: root, env: { ...process.env, NO_COLOR: '1' }, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk));
    child.once('error', (error) => (said += error.message));
    child.once('close', (code) => done({ passed: code === 0, seconds: (performance.now() - started) / 1000, said }));
  });
}

bootstrap();
const only = process.argv.includes('--only') ? process.argv[process.argv.indexOf('--only') + 1] : undefined;
if (only !== undefined && !Object.hasOwn(checks, only)) {
  console.error(`there is no check "${only}", only: ${Object.keys(checks).join(', ')}`);
  process.exit(2);
}
const names = Object.keys(checks).filter((name) => only === undefined || name === only);
const results = new Map();
// Two at a time: each uses about one core.
const waiting = [...names];
const worker = async () => {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) results.set(name, await run(checks[name]));
};
await Promise.all([worker(), worker()]);

const failed = names.filter((name) => !results.get(name).passed);
for (const name of failed) console.log(`--- ${name}\n${results.get(name).said.trim()}\n`);
for (const name of names) {
  const { passed, seconds } = results.get(name);
  console.log(`${passed ? 'ok    ' : 'FAILED'}  ${name.padEnd(16)} ${seconds.toFixed(1).padStart(5)} s`);
}
// Not process.exit, which would cut what a pipe has not taken yet.
process.exitCode = failed.length === 0 ? 0 : 1;
