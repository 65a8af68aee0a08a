/**
 * A run: which cases, in interleaved rounds against one server, and the guard. Prints each case as it comes, tables at the
 * end, and writes the JSON. A case that fails its checks ends the run: a figure that is wrong is worse than none.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { runAsOf, runBalances } from './as-of';
import { runAuditTrail } from './audit-trail';
import { runBaseline } from './baseline';
import { runColdStorage } from './cold-storage';
import { commitFloor } from './floors';
import { HttpTargets, httpCases } from './http';
import { runPrivacy } from './privacy';
import { runProofs } from './proofs';
import { runImport, runLogRates } from './rates';
import {
  type Comparison,
  compareRatios,
  type Group,
  git,
  goalsOf,
  guardBound,
  guardCases,
  mediansOf,
  type Result,
  ratiosOf,
  reportOf,
  resultToCompare,
  type Sample,
} from './report';
import { BenchServer } from './server';
import { runTrialBalance } from './trial-balance';
import { booksDatabase, type Figures, runWriteCase, warmUpWriting, writeCases } from './write-path';
import { sleep } from './writer';

export interface RunOptions {
  readonly quick: boolean;
  /** Beginnings of names of cases; all of the run when empty. */
  readonly names: readonly string[];
  readonly rounds: number;
  /** Of a measuring window. */
  readonly seconds: number;
  /** The most lines on one account for as-of reads: 1e5, 1e6 or 1e7. */
  readonly lines: number;
}

interface Case {
  readonly name: string;
  readonly group: Group;
  readonly quick?: boolean;
  /** Once, not in every round: it repeats within itself. */
  readonly once?: boolean;
  run(): Promise<Figures | readonly (readonly [name: string, figures: Figures])[]>;
}

/** Every case in the order in which a round takes them: what is compared stands near what it is compared with. */
function casesOf(server: BenchServer, http: () => HttpTargets, { quick, rounds, seconds, lines }: RunOptions): Case[] {
  const entries = quick ? 10_000 : 50_000;
  // Long enough that opening ten thousand accounts is a small part of the log, as it is in a ledger in use.
  const logged = quick ? entries : 150_000;
  const baseline = (['uniform', 'hot'] as const).flatMap((pick) =>
    [8, 32].map(
      (callers): Case => ({
        name: `baseline-${pick}-${callers}`,
        group: 'floors',
        quick: true,
        async run() {
          const database = await booksDatabase(server);
          const figures = await runBaseline(database, pick, callers, seconds);
          await database.drop();
          return { ...figures };
        },
      }),
    ),
  );
  return [
    { name: 'commit', group: 'floors', quick: true, run: async () => ({ p50Ms: await commitFloor(server.admin) }) },
    ...baseline,
    ...writeCases.map(
      (wanted): Case => ({
        ...{ name: wanted.name, group: 'write path', quick: wanted.quick, once: wanted.million },
        run: () => runWriteCase(server, wanted, seconds),
      }),
    ),
    ...httpCases.map(
      (wanted): Case => ({ ...{ name: wanted.name, group: 'http', quick: wanted.quick }, run: () => http().run(wanted, seconds) }),
    ),
    { name: 'as-of', group: 'as-of', quick: true, once: true, run: () => runAsOf(server, lines, rounds) },
    { name: 'balances', group: 'as-of', once: true, run: () => runBalances(server, 5) },
    { name: 'trial-balance', group: 'as-of', once: true, run: () => runTrialBalance(server, lines) },
    { name: 'rates-uniform', group: 'rates', quick: true, once: true, run: () => runLogRates(server, 'uniform', logged) },
    { name: 'rates-hot', group: 'rates', quick: true, once: true, run: () => runLogRates(server, 'hot', logged) },
    { name: 'audit-trail', group: 'rates', once: true, run: () => runAuditTrail(server) },
    { name: 'privacy', group: 'rates', once: true, run: () => runPrivacy(server) },
    { name: 'proofs', group: 'rates', once: true, run: () => runProofs(server, quick ? 10_000 : 330_000) },
    { name: 'cold-storage', group: 'rates', once: true, run: () => runColdStorage(server, quick ? 10_000 : 100_000) },
    { name: 'import', group: 'rates', once: true, run: () => runImport(server, entries / 2) },
  ];
}

interface Measured {
  readonly samples: readonly Sample[];
  /** Cases that failed their checks or could not run, with the reason; they have no figures in that round. */
  readonly failures: readonly string[];
  readonly server: Pick<BenchServer, 'version' | 'settings'>;
}

/** @param enough told what there is after each round; true ends the run */
async function measured(
  options: RunOptions,
  wanted: (name: string, quick: boolean) => boolean,
  enough: (samples: readonly Sample[]) => boolean = () => false,
): Promise<Measured> {
  const server = await BenchServer.start();
  const samples: Sample[] = [];
  const failures: string[] = [];
  let http: HttpTargets | undefined;
  try {
    const all = casesOf(server, () => (http ??= new HttpTargets(server)), options);
    const cases = all.filter(({ name, quick = false }) => wanted(name, quick));
    if (cases.length === 0) throw new Error(`no case has such a name; there are ${all.map(({ name }) => name).join(', ')}`);
    if (cases.some(({ group }) => group === 'write path')) await warmUpWriting(server);
    for (let round = 1; round <= options.rounds; round++) {
      for (const { name, group, once = false, run } of cases) {
        if (once && round > 1) continue;
        const started = performance.now();
        try {
          const found = await run();
          const named = Array.isArray(found) ? (found as [string, Figures][]) : [[name, found as Figures] as const];
          for (const [sampleName, figures] of named) samples.push({ name: sampleName, group, round, figures });
          const seconds = ((performance.now() - started) / 1_000).toFixed(1);
          console.error(`round ${round}, ${name} (${seconds} s): ${named.map(([, figures]) => inShort(figures)).join(' · ')}`);
        } catch (error) {
          console.error(`round ${round}, ${name}:`, error);
          failures.push(`${name}, round ${round}: ${(error as Error).message}`);
        }
      }
      await http?.close();
      http = undefined;
      if (enough(samples)) break;
    }
    return { samples, failures, server: { version: server.version, settings: server.settings } };
  } finally {
    await http?.close();
    // What was measured is worth more than a server that is tidy.
    await server.stop().catch((error: unknown) => console.error('not tidied up:', error));
  }
}

const inShort = (figures: Figures): string =>
  Object.entries(figures)
    .map(([name, value]) => `${name} ${value >= 100 ? Math.round(value) : Number(value.toPrecision(3))}`)
    .join(', ');

/** Runs, prints, and writes bench/results/TIME.json. */
export async function measure(options: RunOptions): Promise<void> {
  const { quick, names } = options;
  const startedAt = new Date();
  const [loadBefore] = loadavg();
  const { samples, failures, server } = await measured(options, (name, inQuick) =>
    names.length === 0 ? !quick || inQuick : isNamed(name, names),
  );
  const dependencies = (JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: Record<string, string> }).dependencies;
  const result: Result = {
    schema: 1,
    kind: names.length > 0 ? 'selection' : quick ? 'quick' : 'full',
    startedAt: startedAt.toISOString(),
    minutes: (Date.now() - startedAt.getTime()) / 60_000,
    machine: {
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      'memory GiB': Math.round(totalmem() / 2 ** 30),
      'load before': Number(loadBefore?.toFixed(2)),
    },
    versions: {
      node: process.version,
      postgres: server.version.split(' ').slice(0, 2).join(' '),
      pg: dependencies.pg,
      fastify: dependencies.fastify,
      nest: dependencies['@nestjs/core'],
    },
    commit: git('rev-parse', '--short=12', 'HEAD') || 'unknown',
    dirty: git('status', '--porcelain', '--', 'apps', 'libs', 'migrations', 'bench/*.ts', 'package.json') !== '',
    settings: server.settings,
    options: { rounds: options.rounds, 'seconds per window': options.seconds, 'lines on one account': options.lines },
    failures,
    goals: goalsOf(samples),
    ratios: ratiosOf(samples),
    medians: mediansOf(samples),
    samples,
  };
  console.log(reportOf(result));
  mkdirSync('bench/results', { recursive: true });
  const file = `bench/results/${startedAt.toISOString().replaceAll(':', '-').slice(0, 19)}.json`;
  writeFileSync(file, `${JSON.stringify(result, null, 1)}\n`);
  console.log(file);
  if (failures.length > 0) process.exitCode = 1;
}

/** `uniform-1` is one case, `uniform` all whose names begin so. */
const isNamed = (name: string, wanted: readonly string[]): boolean =>
  wanted.some((word) => name === word || (name.startsWith(`${word}-`) && !exactNames.has(word)));

const exactNames: ReadonlySet<string> = new Set([...writeCases, ...httpCases].map(({ name }) => name));

/** What share of the cores' time is taken while this process waits. The load average would still count what has ended. */
async function busyShare(ms: number): Promise<number> {
  const spent = (): { idle: number; all: number } => {
    const times = cpus().map((core) => core.times);
    const idle = times.reduce((sum, time) => sum + time.idle, 0);
    return { idle, all: times.reduce((sum, time) => sum + time.user + time.nice + time.sys + time.irq, idle) };
  };
  const before = spent();
  await sleep(ms);
  const after = spent();
  return 1 - (after.idle - before.idle) / (after.all - before.all);
}

/** How often the guard measures before it believes that something has become worse. */
const attemptsMax = 3;

/**
 * Compares ratios with a recorded result; a nonzero exit status when one is much worse in every attempt.
 * @param recorded a JSON of bench/results; the last committed one when absent
 */
export async function guard(recorded?: string): Promise<void> {
  const last = resultToCompare(recorded);
  if (last === undefined) {
    console.log('bench/results has no committed result to compare with: commit one of `npm run bench`');
    process.exitCode = 1;
    return;
  }
  const { file, result } = last;
  // From its samples: a ratio that the guard knows only now was measured then too.
  const recordedRatios = ratiosOf(result.samples);
  const busy = await busyShare(3_000);
  const bound = guardBound(busy);
  console.log(
    `against ${file}: a ratio may fall to ${bound} of what is recorded (others take ${Math.round(busy * 100)} % of ${cpus().length} cores)`,
  );
  const compare = (samples: readonly Sample[]): Comparison[] =>
    compareRatios(
      recordedRatios,
      [...new Set(samples.map(({ round }) => round))].map((round) => ratiosOf(samples.filter((sample) => sample.round === round))),
    );
  const isWorse = ({ share }: Comparison): boolean => share < bound;
  const options = { quick: true, names: [], rounds: attemptsMax, seconds: 1, lines: 0 };
  const { samples, failures } = await measured(
    options,
    (name) => guardCases.includes(name),
    (sofar) => !compare(sofar).some(isWorse),
  );
  const compared = compare(samples);
  for (const comparison of compared) {
    const { name, recorded: before, now, share } = comparison;
    console.log(
      `${isWorse(comparison) ? 'WORSE' : 'holds'}  ${name}: ${now.toFixed(2)}, recorded ${before.toFixed(2)} (${share.toFixed(2)})`,
    );
  }
  const missing = Object.keys(recordedRatios).filter((name) => !compared.some((comparison) => comparison.name === name));
  for (const problem of [...failures, ...missing.map((name) => `not measured: ${name}`)]) console.log(`FAILED ${problem}`);
  if (compared.some(isWorse) || failures.length + missing.length > 0) process.exitCode = 1;
}
