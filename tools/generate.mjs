/**
 * Writes every generated file of tools/generators.mjs, or, with --check, fails when one is not what the code says now.
 *
 * Usage: node tools/generate.mjs [--check]
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bootstrap } from './bootstrap.mjs';
import { generators } from './generators.mjs';

const root = join(fileURLToPath(import.meta.url), '..', '..');
const check = process.argv.includes('--check');

if (generators.length > 0) bootstrap({ build: true });
let stale = 0;
for (const { output, script, args = [] } of generators) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, script), ...args], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
  if (status !== 0) {
    console.error(`${script} failed:\n${stderr}`);
    process.exit(1);
  }
  const path = join(root, output);
  if (existsSync(path) && readFileSync(path, 'utf8') === stdout) continue;
  if (check) {
    stale++;
    console.error(`${output} is not what ${script} prints now: run npm run generate and commit it`);
  } else {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, stdout);
    console.log(`wrote ${output}`);
  }
}
process.exitCode = stale === 0 ? 0 : 1;
