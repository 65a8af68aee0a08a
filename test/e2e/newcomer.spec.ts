/**
 * What a newcomer meets: `npm start` on an empty data folder, the commands of the README's tour with the answers that it shows,
 * Ctrl-C, a second start, and starts after the service or PostgreSQL was killed. The real commands, processes and signals.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(__dirname, '../..');
const directory = mkdtempSync(join(tmpdir(), 'book-keeper-newcomer-'));
const dataDir = join(directory, 'data');
const running = new Set<ChildProcess>();

afterAll(async () => {
  for (const child of running) signal(child, 'SIGKILL');
  const pid = postmaster();
  if (pid !== undefined && alive(pid)) process.kill(pid, 'SIGQUIT');
  rmSync(directory, { recursive: true, force: true });
});

interface Started {
  readonly child: ChildProcess;
  readonly url: string;
  readonly output: () => string;
  /** Resolves when `npm start` has ended. */
  readonly ended: Promise<void>;
}

/** `npm start` in a process group of its own, as a terminal would run it. */
async function npmStart(): Promise<Started> {
  const child = spawn('npm', ['start'], {
    cwd: root,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PORT: '0', DATA_DIR: dataDir, DATABASE_URL: '' },
  });
  running.add(child);
  let text = '';
  child.stdout?.on('data', (data) => {
    text += data;
  });
  child.stderr?.on('data', (data) => {
    text += data;
  });
  const ended = new Promise<void>((resolve) =>
    child.on('close', () => {
      running.delete(child);
      resolve();
    }),
  );
  const url = await until(
    () => /API\s+(http:\S+)\/v1\/books/.exec(text)?.[1],
    () => `npm start said:\n${text}`,
  );
  return { child, url, output: () => text, ended };
}

async function until<T>(probe: () => T | undefined | Promise<T | undefined>, what: () => string): Promise<T> {
  for (let tries = 0; tries < 1_200; tries++) {
    const found = await probe();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited in vain: ${what()}`);
}

/** To the whole process group, as Ctrl-C in a terminal is. */
function signal(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.pid !== undefined) process.kill(-child.pid, name);
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !existsSync(`/proc/${pid}/stat`) || !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false; // no such process
  }
}

/** Process id of the embedded server's postmaster. */
function postmaster(): number | undefined {
  const found = /Database\s+embedded PostgreSQL in (\S+)/.exec(said);
  const file = join(found?.[1] ?? join(dataDir, 'postgres/cluster/data'), 'postmaster.pid');
  return existsSync(file) ? Number(readFileSync(file, 'utf8').split('\n')[0]) : undefined;
}

let said = '';

/** Commands of the tour with the JSON that the README shows for the last of them. */
function tour(): { readonly commands: string; readonly shown?: unknown }[] {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const text = readme.slice(readme.indexOf('## Five-minute tour'), readme.indexOf('## Reading on'));
  return [...text.matchAll(/```sh\n([\s\S]*?)```(?:\n```json\n([\s\S]*?)```)?/g)].map(([, commands = '', shown]) => ({
    commands,
    shown: shown === undefined ? undefined : JSON.parse(shown),
  }));
}

/** Runs all commands in one shell, as a reader would; returns what each block printed. */
async function shell(blocks: readonly string[], env: Record<string, string>): Promise<string[]> {
  const script = blocks.map((block) => `${block}\necho; echo '--- next ---'`).join('\n');
  const child = spawn('bash', ['-c', script], { cwd: root, env: { ...process.env, ...env } });
  let out = '';
  let errors = '';
  child.stdout.on('data', (data) => {
    out += data;
  });
  child.stderr.on('data', (data) => {
    errors += data;
  });
  await new Promise((resolve) => child.on('close', resolve));
  const parts = out.split('--- next ---');
  if (parts.length !== blocks.length + 1) throw new Error(`the tour stopped:\n${out}\n${errors}`);
  return parts.slice(0, -1).map((part) => part.trim());
}

/** What is shown must be there; `…` stands for any text. */
function matcher(shown: unknown): unknown {
  if (shown === '…') return expect.any(String);
  if (Array.isArray(shown)) return shown.map(matcher);
  if (typeof shown === 'object' && shown !== null)
    return expect.objectContaining(Object.fromEntries(Object.entries(shown).map(([key, value]) => [key, matcher(value)])));
  return shown;
}

test('npm start, the tour, Ctrl-C; then kill -9 of the service and of PostgreSQL: each next start is ready with the same books', async () => {
  const first = await npmStart();
  said = first.output();
  expect(first.output()).toContain('API key');
  const key = readFileSync(join(dataDir, 'bootstrap-api-key'), 'utf8').trim();
  const get = async (url: string): Promise<unknown> => (await fetch(url, { headers: { authorization: `Bearer ${key}` } })).json();
  expect(await get(`${first.url}/health/ready`)).toMatchObject({ ready: true });

  const blocks = tour();
  expect(blocks.length).toBeGreaterThan(10);
  const printed = await shell(
    blocks.map(({ commands }) => commands),
    { URL: first.url, DATA_DIR: dataDir },
  );
  blocks.forEach(({ commands, shown }, index) => {
    if (shown === undefined) return;
    // On one line, or indented up to a brace at its beginning.
    const last = (printed[index] ?? '').match(/^\{(.*\}$|$[\s\S]*?^\}$)/gm)?.at(-1) ?? '';
    expect({ commands, answer: JSON.parse(last || 'null') }).toEqual({ commands, answer: matcher(shown) });
  });
  expect(printed.at(-1)).toMatch(/488194\.98/);
  const balance = await get(`${first.url}/v1/books/acme/accounts/Assets%3ACash/balance`);

  signal(first.child, 'SIGINT');
  await first.ended;
  const stopped = postmaster();
  expect(stopped === undefined || !alive(stopped)).toBe(true);

  const second = await npmStart();
  expect(second.output()).not.toContain('shown this once');
  expect(await get(`${second.url}/v1/books/acme/accounts/Assets%3ACash/balance`)).toEqual(balance);
  signal(second.child, 'SIGKILL');
  await second.ended;
  expect(alive(postmaster() ?? 0)).toBe(true);

  const third = await npmStart();
  expect(await get(`${third.url}/v1/books/acme/accounts/Assets%3ACash/balance`)).toEqual(balance);
  const killed = postmaster() as number;
  process.kill(killed, 'SIGKILL');
  await until(
    () => (alive(killed) ? undefined : true),
    () => 'PostgreSQL to die',
  );
  signal(third.child, 'SIGKILL');
  await third.ended;

  const fourth = await npmStart();
  expect(await get(`${fourth.url}/health/ready`)).toMatchObject({ ready: true });
  expect(await get(`${fourth.url}/v1/books/acme/accounts/Assets%3ACash/balance`)).toEqual(balance);
  signal(fourth.child, 'SIGTERM');
  await fourth.ended;
  const gone = postmaster();
  expect(gone === undefined || !alive(gone)).toBe(true);
}, 240_000);
