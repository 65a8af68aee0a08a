/**
 * tools/bootstrap.mjs on a clone in miniature. npm and the compiler are small programs that note that they ran: the real
 * ones take a minute, and .ci/run starts from a real clone.
 */
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const NPM = `
const fs = require('node:fs');
fs.appendFileSync('log', 'npm ' + process.argv.slice(2).join(' ') + ' NODE_ENV=' + process.env.NODE_ENV + '\\n');
if (process.env.NPM_FAILS) { console.error('the registry is on fire'); process.exit(1); }
if (process.env.INSTALL_NEVER_ENDS) while (true);
const until = Date.now() + 300; while (Date.now() < until);
fs.rmSync('node_modules', { recursive: true, force: true });
fs.mkdirSync('node_modules/@nestjs/cli/bin', { recursive: true });
fs.copyFileSync('nest.js', 'node_modules/@nestjs/cli/bin/nest.js');
`;
const NEST = `
const fs = require('node:fs');
fs.appendFileSync('log', 'nest ' + process.argv.slice(2).join(' ') + '\\n');
fs.rmSync('dist', { recursive: true, force: true });
fs.mkdirSync('dist/apps/cli/src', { recursive: true });
fs.writeFileSync('dist/apps/cli/src/main.js', 'console.log(JSON.stringify(process.argv.slice(2))); process.exitCode = 7;');
`;
const INSTALLED = 'npm ci --include=dev --no-audit --no-fund --loglevel=error NODE_ENV=undefined';
const BUILT = 'nest build api';

describe('bootstrap', () => {
  let clone: string;

  beforeEach(() => {
    clone = mkdtempSync(join(tmpdir(), 'bootstrap-'));
    const root = join(__dirname, '..', '..');
    mkdirSync(join(clone, 'tools'));
    mkdirSync(join(clone, 'libs'));
    for (const file of ['tools/bootstrap.mjs', 'tools/book-keeper.mjs']) copyFileSync(join(root, file), join(clone, file));
    for (const file of ['package.json', 'package-lock.json', 'tsconfig.json', 'nest-cli.json']) writeFileSync(join(clone, file), '{}');
    writeFileSync(join(clone, 'libs', 'a.ts'), 'export const a = 1;');
    writeFileSync(join(clone, 'npm.js'), NPM);
    writeFileSync(join(clone, 'nest.js'), NEST);
  });
  afterEach(() => rmSync(clone, { recursive: true, force: true }));

  const log = () => (existsSync(join(clone, 'log')) ? readFileSync(join(clone, 'log'), 'utf8').trim().split('\n') : []);
  const environment = (more: NodeJS.ProcessEnv = {}) => ({
    ...process.env,
    NODE_ENV: 'production',
    npm_execpath: join(clone, 'npm.js'),
    ...more,
  });
  const run = (args: string[], env: NodeJS.ProcessEnv = {}) =>
    spawnSync(process.execPath, args, { cwd: tmpdir(), env: environment(env), encoding: 'utf8' });
  const bootstrap = (...args: string[]) => run([join(clone, 'tools', 'bootstrap.mjs'), ...args]);

  it('installs and builds a fresh clone, then does nothing, silently', () => {
    const first = bootstrap('--build');
    expect(first.status).toBe(0);
    expect(first.stdout).toBe('');
    expect(first.stderr).toMatch(/installing packages.*packages installed in.*building.*built in/s);
    expect(log()).toEqual([INSTALLED, BUILT]);
    expect(bootstrap('--build')).toMatchObject({ status: 0, stdout: '', stderr: '' });
    expect(log()).toEqual([INSTALLED, BUILT]);
  });

  it('builds only when asked, and installs only when the lock file changed', () => {
    bootstrap();
    bootstrap();
    expect(log()).toEqual([INSTALLED]);
    writeFileSync(join(clone, 'package-lock.json'), '{"lockfileVersion": 3}');
    bootstrap();
    expect(log()).toEqual([INSTALLED, INSTALLED]);
  });

  it('accepts what npm itself installed, unless something of the lock file is missing', () => {
    const lock = { packages: { '': {}, 'node_modules/a': { version: '1.0.0' }, 'node_modules/b': { version: '2.0.0', optional: true } } };
    writeFileSync(join(clone, 'package-lock.json'), JSON.stringify(lock));
    mkdirSync(join(clone, 'node_modules'));
    const installed = (packages: object) => writeFileSync(join(clone, 'node_modules', '.package-lock.json'), JSON.stringify({ packages }));
    installed({ 'node_modules/a': { version: '1.0.0' } });
    expect(bootstrap()).toMatchObject({ status: 0, stderr: '' });
    expect(log()).toEqual([]);
    lock.packages['node_modules/a'].version = '1.0.1';
    writeFileSync(join(clone, 'package-lock.json'), JSON.stringify(lock));
    bootstrap();
    expect(log()).toEqual([INSTALLED]);
  });

  it('builds again when a source was added, edited or removed, but not for a spec', () => {
    bootstrap('--build');
    const built = () => log().filter((line) => line === BUILT).length;
    writeFileSync(join(clone, 'libs', 'b.ts'), '');
    bootstrap('--build');
    expect(built()).toBe(2);
    utimesSync(join(clone, 'libs', 'b.ts'), 1, 1);
    bootstrap('--build');
    expect(built()).toBe(3);
    rmSync(join(clone, 'libs', 'b.ts'));
    bootstrap('--build');
    expect(built()).toBe(4);
    writeFileSync(join(clone, 'libs', 'b.spec.ts'), '');
    bootstrap('--build');
    expect(built()).toBe(4);
    rmSync(join(clone, 'dist'), { recursive: true });
    bootstrap('--build');
    expect(built()).toBe(5);
  });

  it('says what npm said when it fails, and tries again the next time', () => {
    const failed = run([join(clone, 'tools', 'bootstrap.mjs'), '--build'], { NPM_FAILS: '1' });
    expect(failed.status).toBe(1);
    expect(failed.stderr).toContain('the registry is on fire');
    expect(failed.stderr).toContain('npm ci failed: status 1');
    expect(existsSync(join(clone, '.bootstrap.lock'))).toBe(false);
    expect(bootstrap('--build').status).toBe(0);
    expect(log()).toEqual([expect.stringContaining('npm ci'), INSTALLED, BUILT]);
  });

  it('installs and builds once when several start at once', async () => {
    const all = Array.from({ length: 4 }, () =>
      spawn(process.execPath, [join(clone, 'tools', 'bootstrap.mjs'), '--build'], { env: environment(), stdio: 'ignore' }),
    );
    const codes = await Promise.all(all.map((child) => new Promise((done) => child.once('exit', done))));
    expect(codes).toEqual([0, 0, 0, 0]);
    expect(log()).toEqual([INSTALLED, BUILT]);
    expect(existsSync(join(clone, '.bootstrap.lock'))).toBe(false);
  });

  it('takes over from one that was killed in the middle', async () => {
    const killed = spawn(process.execPath, [join(clone, 'tools', 'bootstrap.mjs')], {
      env: environment({ INSTALL_NEVER_ENDS: '1' }),
      stdio: 'ignore',
      detached: true,
    });
    // A file that is there may be empty still.
    while (log()[0] !== INSTALLED) await new Promise((done) => setTimeout(done, 10));
    process.kill(-(killed.pid as number), 'SIGKILL');
    await new Promise((done) => killed.once('exit', done));
    expect(existsSync(join(clone, '.bootstrap.lock'))).toBe(true);
    expect(bootstrap('--build').status).toBe(0);
    expect(log()).toEqual([INSTALLED, INSTALLED, BUILT]);
  });

  it('refuses a Node that is too old, and says which one it was', () => {
    const old = join(clone, 'old-node.cjs');
    writeFileSync(old, `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.18.9' } });`);
    const refused = run(['--require', old, join(clone, 'tools', 'bootstrap.mjs')]);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/book-keeper needs Node 20\.19 or newer, this is v/);
    expect(log()).toEqual([]);
  });

  it('lets the command book-keeper run from a fresh clone, with its arguments and its exit status', () => {
    const command = run([join(clone, 'tools', 'book-keeper.mjs'), 'balance', '--as-of', '2026-01-31']);
    expect(command.stdout).toBe('["balance","--as-of","2026-01-31"]\n');
    expect(command.status).toBe(7);
    expect(log()).toEqual([INSTALLED, BUILT]);
  });
});
