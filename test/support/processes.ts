/** Other processes that run our sources: two services on one book, a parent that is killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** A script that is running. */
export interface Script {
  process: ChildProcess;
  /** @returns the next line that the script prints; rejects with what it wrote on stderr when it ends before */
  nextLine(): Promise<string>;
  /** @returns the exit status, or the signal's name */
  ended: Promise<number | string>;
}

let dataDir: string | undefined;

/** What the processes of one spec file share, and nobody else: what was handed out of one database stands against every other one. */
function ownDataDir(): string {
  dataDir ??= mkdtempSync(join(tmpdir(), 'book-keeper-data-'));
  return dataDir;
}
if (typeof afterAll === 'function')
  afterAll(() => {
    if (dataDir !== undefined) rmSync(dataDir, { recursive: true, force: true });
  });

/**
 * Runs a TypeScript file of this repository in a process of its own.
 *
 * @param file relative to the repository
 * @param env beside that of this process; without DATA_DIR it has one that the processes of the spec file share
 * @param root another clone of the repository
 */
export function runScript(
  file: string,
  args: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
  root: string = join(__dirname, '..', '..'),
): Script {
  const hook = join(root, 'test', 'support', 'typescript.cjs');
  const child = spawn(process.execPath, ['--conditions=source', '--require', hook, join(root, file), ...args], {
    cwd: root,
    env: { ...process.env, DATA_DIR: ownDataDir(), ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let complaints = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaints += chunk.toString();
  });
  const ended = new Promise<number | string>((done) => {
    child.once('close', (code, signal) => done(signal ?? code ?? -1));
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    process: child,
    ended,
    async nextLine() {
      const { value, done } = await lines.next();
      if (done) throw new Error(`${file} ended (${await ended}): ${complaints}`);
      return value;
    },
  };
}
