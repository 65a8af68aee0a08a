/** Jest's global set-up: one PostgreSQL and one migrated template per run, removed again also when the run is interrupted. */
import { RUN_VARIABLE, startRun } from './server';

/** Where global-teardown finds what to remove; both run in Jest's main process. */
export const finishing = globalThis as { finishBookKeeperRun?: () => Promise<void> };

const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

export default async function globalSetup(): Promise<void> {
  const started = performance.now();
  const { run, finish } = await startRun();
  process.env[RUN_VARIABLE] = JSON.stringify(run);
  let finished: Promise<void> | undefined;
  finishing.finishBookKeeperRun = () => {
    finished ??= finish();
    return finished;
  };
  // Jest skips the teardown when it is interrupted, and the server is detached from the terminal.
  for (const [signal, number] of Object.entries(SIGNALS)) {
    process.once(signal, () => {
      void finishing.finishBookKeeperRun?.().finally(() => process.exit(128 + number));
    });
  }
  process.stdout.write(`\nPostgreSQL for the tests: ${run.source}, ready in ${(performance.now() - started).toFixed(0)} ms\n`);
}
