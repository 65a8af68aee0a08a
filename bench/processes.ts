/**
 * Other processes of a bench run: a second writer, a load generator, a server without a handler, a rate with its own memory
 * figure; and the real programs of this repository. Hides fork, the messages and their numbers. Guarantees that no process of
 * ours outlives the run, and that an error in one is the caller's error.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { extname, join } from 'node:path';
import { createInterface } from 'node:readline';

/** An object in another process: every method is asynchronous there. */
export type Remote<T> = {
  readonly [K in keyof T]: T[K] extends (...given: infer A) => infer R ? (...given: A) => Promise<Awaited<R>> : never;
};

export interface RemoteProcess<T> {
  readonly pid: number;
  readonly its: Remote<T>;
  end(): Promise<void>;
}

interface Call {
  readonly id: number;
  readonly method: string;
  readonly given: readonly unknown[];
}

interface Result {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/** As `npm start` runs the service, with whatever lets this very process run our sources. */
const nodeOptions = ['--max-semi-space-size=64', ...process.execArgv.filter((option) => !option.includes('semi-space'))];

/** Runs this program again as `role` (see main.ts) and talks to the object that the role makes. */
export async function startRole<T>(role: string, ...given: readonly unknown[]): Promise<RemoteProcess<T>> {
  const child = fork(require.main?.filename ?? '', ['role', role], { execArgv: nodeOptions, serialization: 'advanced' });
  children.add(child);
  let calls = 0;
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  const ended = new Promise<void>((done) => {
    child.once('close', (code, signal) => {
      children.delete(child);
      for (const { reject } of waiting.values()) reject(new Error(`the process "${role}" ended (${signal ?? code})`));
      done();
    });
  });
  child.on('message', ({ id, value, error }: Result) => {
    const call = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) call?.resolve(value);
    else call?.reject(new Error(`${role}: ${error}`));
  });
  const call = (method: string, ...args: unknown[]): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const id = ++calls;
      waiting.set(id, { resolve, reject });
      child.send({ id, method, given: args } satisfies Call);
    });
  await call('open', ...given);
  return {
    pid: child.pid ?? 0,
    // `then` must stay undefined, or whoever awaits the process would call it.
    its: new Proxy(
      {},
      { get: (_, method) => (method === 'then' ? undefined : (...args: unknown[]) => call(String(method), ...args)) },
    ) as Remote<T>,
    async end() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** The other side of startRole: makes the object and answers calls to its methods until the parent is gone. */
export function serveRole(make: (...given: never[]) => Promise<object>): void {
  let target: object | undefined;
  process.on('disconnect', () => process.exit());
  process.on('message', ({ id, method, given }: Call) => {
    const run = async (): Promise<unknown> => {
      if (method === 'open') {
        target = await make(...(given as never[]));
        return undefined;
      }
      return (target as Record<string, (...args: readonly unknown[]) => unknown>)[method]?.(...given);
    };
    run().then(
      (value) => process.send?.({ id, value } satisfies Result),
      (error: Error) => process.send?.({ id, error: error.stack ?? error.message } satisfies Result),
    );
  });
}

/** A program of apps/, started as in production. */
export interface Program {
  readonly pid: number;
  /** Waits for the next line that it prints. */
  nextLine(): Promise<string>;
  /** Asks it to end, as an operator would, and waits. */
  end(): Promise<void>;
}

/** @param environment beyond this process's own; logs go nowhere, at the level of production */
export function startProgram(app: 'api' | 'worker', environment: Readonly<Record<string, string>>): Program {
  const file = join(__dirname, '..', 'apps', app, 'src', `main${extname(__filename)}`);
  const child = spawn(process.execPath, [...nodeOptions, file], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  children.add(child);
  const ended = new Promise<void>((done) => {
    child.once('close', () => {
      children.delete(child);
      done();
    });
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    pid: child.pid ?? 0,
    async nextLine() {
      const { value, done } = await lines.next();
      if (done) throw new Error(`${app} ended; start it by hand with the same database to see why`);
      return value;
    },
    async end() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
