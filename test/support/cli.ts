/** The command `book-keeper` as its users run it, in a process of its own, from the sources: no build can be out of date. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { join } from 'node:path';

export interface Ended {
  /** Exit code, or the signal that ended it. */
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCommand {
  readonly process: ChildProcessWithoutNullStreams;
  readonly ended: Promise<Ended>;
  /** What it has printed so far, once that matches. Rejects when the command ends before. */
  printed(form: RegExp): Promise<string>;
}

const root = join(__dirname, '..', '..');
/** What node is given to run the command, for scripts that run it themselves. */
const commandArguments: readonly string[] = [
  '--conditions=source',
  '--require',
  join(root, 'test', 'support', 'typescript.cjs'),
  join(root, 'apps', 'cli', 'src', 'main.ts'),
];

/** Starts the command. */
export function startCommand(args: readonly string[], environment: NodeJS.ProcessEnv, cwd = root): RunningCommand {
  return watched(spawn(process.execPath, [...commandArguments, ...args], { cwd, env: { ...process.env, ...environment } }));
}

/** Starts a shell script, in which $BOOK_KEEPER is the command. */
export function startScript(script: string, environment: NodeJS.ProcessEnv): RunningCommand {
  const command = [process.execPath, ...commandArguments].join(' ');
  return watched(spawn('sh', ['-c', script], { cwd: root, env: { ...process.env, ...environment, BOOK_KEEPER: command } }));
}

function watched(child: ChildProcessWithoutNullStreams): RunningCommand {
  const said = { stdout: '', stderr: '' };
  let wake = (): void => {};
  child.stdout.on('data', (chunk: Buffer) => {
    said.stdout += chunk.toString();
    wake();
  });
  child.stderr.on('data', (chunk: Buffer) => (said.stderr += chunk.toString()));
  const ended = new Promise<Ended>((resolve) => child.once('close', (code, signal) => resolve({ code: signal ?? code ?? -1, ...said })));
  return {
    process: child,
    ended,
    async printed(form) {
      while (!form.test(said.stdout)) {
        const more = new Promise<undefined>((resolve) => {
          wake = () => resolve(undefined);
        });
        const end = await Promise.race([more, ended]);
        if (end !== undefined && !form.test(end.stdout))
          throw new Error(`ended with ${end.code} before ${form}: ${end.stdout}${end.stderr}`);
      }
      return said.stdout;
    },
  };
}
