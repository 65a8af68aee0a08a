/**
 * The event store of a running service, watched: whether commands reach the log. Queries may be answered while no command
 * can be carried out (a full disk, a lock that nobody gives up), and readiness must not call that well. Guarantees that one
 * failure among successes says nothing, that the first success clears all, and that what was not tried again is forgotten:
 * a service that is given no work because it was ill could never prove that it is well.
 */
import type { Client } from 'pg';
import { type AppendOutcome, type AppendRequest, EventStore } from '#event-store';
import { isTransient } from '#postgres';

/** Failures in a row that are more than a deadlock or a connection that was lost. */
const failuresMin = 2;
/** Commands that wait try again several times a second. */
const forgottenAfterMs = 5_000;

export class WatchedStore extends EventStore {
  private failures = 0;
  private last = { message: '', at: 0 };

  override async append(client: Pick<Client, 'query'>, request: AppendRequest): Promise<AppendOutcome> {
    const outcome = await this.watch(super.append(client, request));
    // Other outcomes wrote nothing, so they prove nothing.
    if (outcome.kind === 'appended') this.failures = 0;
    return outcome;
  }

  /** Counts as failed what an append needs and does not get, such as a connection. */
  async watch<T>(step: Promise<T>): Promise<T> {
    try {
      return await step;
    } catch (error) {
      // Others are about one command, and its neighbours go on.
      if (isTransient(error)) {
        this.failures++;
        this.last = { message: (error as Error).message, at: performance.now() };
      }
      throw error;
    }
  }

  /** Why no command reaches the log at the moment; undefined while nothing says so. */
  appendProblem(): string | undefined {
    return this.failures >= failuresMin && performance.now() - this.last.at < forgottenAfterMs ? this.last.message : undefined;
  }
}
