/**
 * Makes a clone runnable: right Node, packages installed, sources built. Plain Node without a dependency, because it runs
 * before there are any (`prestart`, `pretest`, `book-keeper`).
 *
 * Guarantees: does nothing, silently, when nothing changed; leaves no half installation or half build that would count as
 * whole (a stamp is written last); two that start at once take turns. Writes to stderr only, since a command's stdout may
 * be read by a program.
 *
 * Usage: node tools/bootstrap.mjs [--build]
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const OLDEST_NODE = [20, 19];
const root = realpathSync(join(fileURLToPath(import.meta.url), '..', '..'));
const installStamp = join(root, 'node_modules', '.book-keeper-install');
const buildStamp = join(root, 'dist', '.book-keeper-build');
/** Not in node_modules or dist: npm and the build empty those. */
const lock = join(root, '.bootstrap.lock');
const LOCK_POLL_MS = 100;
/** A lock without an owner's name is one whose owner died between two system calls, or is just about to write it. */
const NAMELESS_LOCK_MS = 5_000;

/**
 * Installs and builds what is missing. Ends the process with a message when that is impossible.
 *
 * @param {{ build?: boolean }} [options]
 */
export function bootstrap({ build = false } = {}) {
  requireNode();
  if (isInstalled() && (!build || isBuilt())) return;
  withLock(() => {
    // Asked again: while we waited, another process may have done it.
    if (!isInstalled()) install();
    if (build && !isBuilt()) compile();
  });
}

function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_NODE;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  fail(`book-keeper needs Node ${OLDEST_NODE.join('.')} or newer, this is ${process.version} (${process.execPath})`);
}

// --- packages -------------------------------------------------------------------------------------------------------

/** What decides whether the installed packages fit: the lock file, Node's binary interface, and the platform. */
function installKey() {
  const platform = [process.versions.modules, process.platform, process.arch].join('-');
  return `${platform} ${createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')}`;
}

function isInstalled() {
  const stamp = readStamp(installStamp);
  const key = installKey();
  if (stamp === key) return true;
  // Another Node or another machine: what is installed may hold binaries that do not fit.
  if (stamp !== undefined && stamp.split(' ')[0] !== key.split(' ')[0]) return false;
  if (!isInstalledByNpm()) return false;
  writeFileSync(installStamp, key);
  return true;
}

/** Whether somebody used npm himself, say `npm install something`: npm keeps a list of what it installed, written last. */
function isInstalledByNpm() {
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const list = readStamp(join(root, 'node_modules', '.package-lock.json'));
  if (list === undefined || wanted === undefined) return false;
  const installed = JSON.parse(list).packages ?? {};
  const count = Object.keys(wanted).length;
  return Object.entries(wanted).every(([path, { version, optional }]) => {
    if (path === '') return count > 1;
    return installed[path] === undefined ? optional === true : installed[path].version === version;
  });
}

function install() {
  const key = installKey();
  say('installing packages (package-lock.json is new or changed; about a minute)');
  const started = Date.now();
  // Under npm its own path is known; elsewhere the shell's npm has to do.
  const npm = process.env.npm_execpath?.endsWith('.js') ? [process.execPath, process.env.npm_execpath] : ['npm'];
  run([...npm, 'ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'], 'npm ci');
  writeFileSync(installStamp, key);
  say(`packages installed in ${seconds(started)}`);
}

// --- build ----------------------------------------------------------------------------------------------------------

/** Names, sizes and times of all sources: 10 ms for a thousand files, where reading them would take 100. */
function buildKey() {
  const hash = createHash('sha256').update(installKey());
  const files = ['package.json', 'tsconfig.json', 'nest-cli.json'].map((file) => join(root, file));
  for (const directory of ['apps', 'bench', 'libs']) files.push(...filesBelow(join(root, directory)));
  for (const file of files) {
    const { size, mtimeMs } = statSync(file);
    hash.update(`${file} ${size} ${mtimeMs}\n`);
  }
  return hash.digest('hex');
}

/** @param {string} directory @returns {string[]} */
function filesBelow(directory) {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : filesBelow(path);
    return entry.isFile() && !entry.name.endsWith('.spec.ts') ? [path] : [];
  });
}

function isBuilt() {
  return readStamp(buildStamp) === buildKey();
}

function compile() {
  // Taken before the build: an edit while it runs makes the next start build again.
  const key = buildKey();
  say('building');
  const started = Date.now();
  run([process.execPath, join(root, 'node_modules', '@nestjs', 'cli', 'bin', 'nest.js'), 'build', 'api'], 'nest build');
  writeFileSync(buildStamp, key);
  say(`built in ${seconds(started)}`);
}

// --- one at a time --------------------------------------------------------------------------------------------------

/** @param {() => void} work */
function withLock(work) {
  let told = false;
  while (!takeLock()) {
    const owner = readStamp(join(lock, 'owner'));
    if (!told) say(`waiting for another start to install or build (process ${owner?.split(' ')[0] ?? 'unknown'})`);
    told = true;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOCK_POLL_MS);
  }
  // Also when npm fails and the process ends; a killed process leaves a stale lock, which is seen by its owner's name.
  const release = () => rmSync(lock, { recursive: true, force: true });
  process.once('exit', release);
  work();
  process.removeListener('exit', release);
  release();
}

/** A directory, because making one either succeeds for one process or fails. */
function takeLock() {
  try {
    mkdirSync(lock);
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    if (isStale()) removeStaleLock();
    return false;
  }
  writeFileSync(join(lock, 'owner'), identity(process.pid));
  return true;
}

function isStale() {
  const owner = readStamp(join(lock, 'owner'));
  if (owner !== undefined) return identity(Number(owner.split(' ')[0])) !== owner;
  const made = statSync(lock, { throwIfNoEntry: false })?.mtimeMs;
  return made !== undefined && Date.now() - made > NAMELESS_LOCK_MS;
}

/** Moved before it is removed: of several that find it stale only one moves it, and nobody removes a new one file by file. */
function removeStaleLock() {
  const aside = `${lock}.${process.pid}`;
  try {
    renameSync(lock, aside);
    rmSync(aside, { recursive: true, force: true });
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
}

/**
 * The process id, and where the system tells it the time the process began: ids are used again.
 *
 * @param {number} pid
 */
function identity(pid) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (error.code === 'ESRCH') return `${pid} gone`;
  }
  try {
    // Field 22 of /proc/PID/stat, counted after the command name, which may hold spaces; state Z is a zombie.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    return fields[0] === 'Z' ? `${pid} gone` : `${pid} ${fields[19]}`;
  } catch {
    return `${pid} alive`;
  }
}

// --- small things ---------------------------------------------------------------------------------------------------

/** @param {string} file */
function readStamp(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/**
 * What the command says is shown when it fails.
 *
 * @param {string[]} command
 * @param {string} name
 */
function run([program = '', ...args], name) {
  // NODE_ENV=production would leave out the compiler.
  const { NODE_ENV: _, ...env } = process.env;
  const { status, signal, error, stdout, stderr } = spawnSync(program, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  if (status === 0) return;
  process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`);
  const why = error?.code === 'ENOENT' ? `${program} is not installed` : (error?.message ?? signal ?? `status ${status}`);
  fail(`${name} failed: ${why}`);
}

/** @param {number} started */
function seconds(started) {
  return `${((Date.now() - started) / 1000).toFixed(1)} s`;
}

/** @param {string} text */
function say(text) {
  process.stderr.write(`book-keeper: ${text}\n`);
}

/** @param {string} text @returns {never} */
function fail(text) {
  say(text);
  process.exit(1);
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  bootstrap({ build: process.argv.includes('--build') });
}
