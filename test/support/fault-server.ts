/**
 * Where processes are killed: a durable server of their own, the environment that they share, and whatever must not outlive the spec. Hides
 * in which order that ends.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DurableServer, durableServer } from './database';

export interface FaultServer {
  readonly server: DurableServer;
  /** DATA_DIR of every process. */
  readonly directory: string;
  /** With which a service or a worker opens the ledger, as a login with the rights of the service. */
  readonly environment: Readonly<Record<string, string>>;
  /** Killed at the end, whatever became of them. */
  readonly running: { kill(): unknown }[];
  end(): Promise<void>;
}

/** @param settings beyond the defaults, which begin no projector */
export async function faultServer(settings: Readonly<Record<string, string>> = {}): Promise<FaultServer> {
  const server = await durableServer({ max_connections: 80 });
  const directory = mkdtempSync(join(tmpdir(), 'book-keeper-faults-'));
  const running: FaultServer['running'] = [];
  return {
    ...{ server, directory, running },
    environment: {
      ...{ DATABASE_URL: server.appUrl, DATA_DIR: directory, BOOTSTRAP_API_KEY: 'bk_specs_only_0123456789abcdef' },
      ...{ LOG_LEVEL: 'silent', MIGRATION_DATABASE_URL: '', PROJECT: 'off', ...settings },
    },
    async end() {
      for (const process of running) await process.kill();
      await server.destroy();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
