/** The worker as a process: folds projections for API processes that run with PROJECT=off, seals, and with ARCHIVE=inline moves old events to cold storage. Logs go to stderr as JSON lines. */
import { createLogger, openService, readConfig, untilSignal } from '#ledger';

async function main(): Promise<void> {
  const config = readConfig({ ...process.env, PROJECT: 'inline' });
  const asked = untilSignal();
  const log = createLogger(config);
  const service = await openService(config, { log });
  try {
    process.stdout.write(`book-keeper worker ${service.release} folds projections of ${service.database}\n`);
    await asked;
  } finally {
    await service.close();
  }
}

main().catch((error: Error & { code?: string }) => {
  process.stderr.write(`book-keeper worker: ${error.message || error.code}\n`);
  process.exitCode = 1;
});
