/**
 * `npm run check:planted`: proves that `npm run check` sees what it is there to see. Plants violations in a copy of the
 * working tree, one kind per check and per layer rule, and demands that the check fails and names each of them. A check
 * that stays green over a planted violation is worse than none. Leaves nothing behind.
 */
import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bootstrap } from './bootstrap.mjs';

const root = join(fileURLToPath(import.meta.url), '..', '..');

/**
 * `files` are written, `append` goes to the end of a file, `replace` changes one; every expression of `seen` must match
 * what the check says.
 *
 * @type {{ name: string, check: string, files?: Record<string, string>, append?: Record<string, string>,
 *          replace?: Record<string, [string, string]>, seen: RegExp[] }[]}
 */
const plants = [
  {
    name: 'type error',
    check: 'types',
    files: { 'libs/postgres/src/planted.ts': `export const planted: number = 'text';\n` },
    seen: [/planted\.ts\(1,14\): error TS2322/],
  },
  {
    name: 'unchecked index',
    check: 'types',
    files: { 'libs/postgres/src/planted.ts': `export const planted = (list: string[]): string => list[0];\n` },
    seen: [/planted\.ts.*error TS2322/],
  },
  {
    name: 'type error in the verifier',
    check: 'types, verifier',
    files: { 'packages/verifier/planted.mjs': `/** @type {number} */\nexport const planted = 'text';\n` },
    seen: [/planted\.mjs\(2,14\): error TS2322/],
  },
  {
    name: 'lint and format',
    check: 'lint and format',
    files: {
      'libs/postgres/src/planted-lint.ts': `export function planted(value: unknown): void {\n  debugger;\n  void value;\n}\n`,
      'libs/postgres/src/planted-format.ts': `export const planted = "double quotes"\n`,
    },
    seen: [/planted-lint\.ts.*noDebugger/, /planted-format\.ts format/],
  },
  {
    name: 'layers',
    check: 'layers',
    files: {
      'apps/api/src/planted.ts': `export const planted = 1;\n`,
      'apps/api/src/planted-deep.ts': `export { planted } from '../../../libs/domain/src/planted';\n`,
      'apps/api/src/planted-store.ts': `export { connect } from '#postgres';\n`,
      'apps/api/src/planted-sql.ts': `export { Client } from 'pg';\n`,
      'apps/api/src/planted-nowhere.ts': `export { nothing } from './planted-no-such-file';\n`,
      'apps/cli/src/planted.ts': `export { planted } from '../../api/src/planted';\n`,
      'libs/ledger/src/planted-up.ts': `export { planted } from '../../../apps/api/src/planted';\n`,
      'libs/ledger/src/planted-deep.ts': `export { planted } from '../../domain/src/planted';\n`,
      'libs/ledger/src/planted-development.ts': `export { check } from 'fast-check';\n`,
      'libs/ledger/src/planted-test.ts': `export { testDatabase } from '../../../test/support/database';\n`,
      'libs/event-store/src/planted.ts': `export { planted } from '../../domain/src/planted';\n`,
      'libs/postgres/src/planted.ts': `export { planted } from '../../event-store/src/planted';\n`,
      'libs/domain/src/planted.ts': `export const planted = 1;\n`,
      'libs/domain/src/planted-pg.ts': `export { Client } from 'pg';\n`,
      'libs/domain/src/planted-io.ts': `export { readFileSync } from 'node:fs';\n`,
      'packages/verifier/planted-ours.mjs': `export { planted } from '../../libs/domain/src/planted.ts';\n`,
      'packages/verifier/planted-package.mjs': `export { parse } from 'csv-parse/sync';\n`,
      'libs/ledger/src/planted-verifier.ts': `export { planted } from '../../../packages/verifier/planted-ours.mjs';\n`,
      'libs/domain/src/planted-circle-a.ts': `import { b } from './planted-circle-b';\nexport const a = () => b;\n`,
      'libs/domain/src/planted-circle-b.ts': `import { a } from './planted-circle-a';\nexport const b = () => a;\n`,
    },
    seen: [
      /libs-know-no-apps: libs\/ledger\/src\/planted-up\.ts/,
      /domain-imports-decimal-only: libs\/domain\/src\/planted-pg\.ts/,
      /domain-imports-decimal-only: libs\/domain\/src\/planted-io\.ts/,
      /through-the-index-from-outside: apps\/api\/src\/planted-deep\.ts/,
      /through-the-index: libs\/ledger\/src\/planted-deep\.ts/,
      /apps-reach-ledger-and-domain: apps\/api\/src\/planted-store\.ts/,
      /apps-speak-no-sql: apps\/api\/src\/planted-sql\.ts/,
      /apps-do-not-know-each-other: apps\/cli\/src\/planted\.ts/,
      /event-store-knows-no-accounting: libs\/event-store\/src\/planted\.ts/,
      /postgres-knows-no-library: libs\/postgres\/src\/planted\.ts/,
      /no-development-package-in-production: libs\/ledger\/src\/planted-development\.ts/,
      /production-knows-no-tests: libs\/ledger\/src\/planted-test\.ts/,
      /resolvable: apps\/api\/src\/planted-nowhere\.ts/,
      /verifier-stands-alone: packages\/verifier\/planted-ours\.mjs/,
      /verifier-stands-alone: packages\/verifier\/planted-package\.mjs/,
      /packages-and-the-service-do-not-know-each-other: packages\/verifier\/planted-ours\.mjs/,
      /the-service-and-packages-do-not-know-each-other: libs\/ledger\/src\/planted-verifier\.ts/,
      /no-circle: libs\/domain\/src\/planted-circle-[ab]\.ts/,
    ],
  },
  {
    name: 'layers seen through dist',
    check: 'layers',
    files: {
      'dist/libs/postgres/src/index.js': `exports.connect = 1;\n`,
      'libs/event-store/src/planted.ts': `export { connect } from '#postgres';\n`,
    },
    replace: { '.dependency-cruiser.cjs': [`'source', `, ''] },
    seen: [/never-through-dist: libs\/event-store\/src\/planted\.ts/],
  },
  {
    name: 'dead code',
    check: 'dead code',
    files: { 'libs/postgres/src/planted-file.ts': `export const nobody = 1;\n` },
    append: { 'libs/postgres/src/migrate.ts': `export const plantedExport = 1;\n` },
    replace: { 'package.json': ['"dependencies": {', '"dependencies": {\n    "planted-package": "1.0.0",'] },
    seen: [/libs\/postgres\/src\/planted-file\.ts/, /plantedExport/, /planted-package/],
  },
  {
    name: 'stale generated file',
    check: 'generated files',
    files: { 'docs/reference/planted.txt': 'what it was\n', 'tools/planted.mjs': `process.stdout.write('what it is\\n');\n` },
    append: {
      'tools/generators.mjs': `generators.splice(0, generators.length, { output: 'docs/reference/planted.txt', script: 'tools/planted.mjs' });\n`,
    },
    seen: [/docs\/reference\/planted\.txt is not what tools\/planted\.mjs prints now/],
  },
];

/** Every file that git knows or would add; node_modules by a link. */
function copyRepository() {
  const copy = mkdtempSync(join(tmpdir(), 'book-keeper-planted-'));
  const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' });
  for (const file of files.split('\0').filter((name) => name !== '' && existsSync(join(root, name)))) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(join(root, file), join(copy, file));
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

/** @param {typeof plants[number]} plant @returns {Promise<string | undefined>} what is wrong with the check */
async function judge({ check, files = {}, append = {}, replace = {}, seen }) {
  const copy = copyRepository();
  try {
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(dirname(join(copy, file)), { recursive: true });
      writeFileSync(join(copy, file), text);
    }
    for (const [file, text] of Object.entries(append)) appendFileSync(join(copy, file), text);
    for (const [file, [from, to]] of Object.entries(replace)) {
      const text = readFileSync(join(copy, file), 'utf8');
      if (!text.includes(from)) return `${file} has no ${from} to replace any more`;
      writeFileSync(
        join(copy, file),
        text.replace(from, () => to),
      );
    }
    const { status, said } = await run(copy, check);
    if (status === 0) return 'stayed green';
    const missed = seen.filter((expression) => !expression.test(said));
    if (missed.length > 0) return `failed, but did not name ${missed.join(', ')}; it said:\n${said}`;
    return undefined;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** @param {string} copy @param {string} check @returns {Promise<{ status: number | null, said: string }>} */
function run(copy, check) {
  return new Promise((done) => {
    const child = spawn(process.execPath, [join(copy, 'tools', 'check.mjs'), '--only', check], {
      cwd: copy,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        said += chunk;
      });
    }
    child.once('close', (status) => done({ status, said }));
  });
}

bootstrap();
let failures = 0;
const waiting = [...plants];
const worker = async () => {
  for (let plant = waiting.shift(); plant !== undefined; plant = waiting.shift()) {
    const wrong = await judge(plant);
    if (wrong !== undefined) failures++;
    console.log(
      `${wrong === undefined ? 'caught' : 'MISSED'}  ${plant.name}${wrong === undefined ? ` (${plant.seen.length})` : `: ${wrong}`}`,
    );
  }
};
await Promise.all([worker(), worker()]);
process.exitCode = failures === 0 ? 0 : 1;
