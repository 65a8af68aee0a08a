/** Jest's global teardown: removes the run's databases and login, and stops the server that the run started. */
import { finishing } from './global-setup';

export default async function globalTeardown(): Promise<void> {
  await finishing.finishBookKeeperRun?.();
}
