/** The parent's side of load.ts: starts and kills service processes under load, and keeps what they acknowledged. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Load, LoadLine } from './load';
import { runScript, type Script } from './processes';
import { seed, type Witness } from './workload';

/** Writers that live on when their process is killed: the next process goes on with the commands that were not answered. */
export interface Writer {
  readonly name: string;
  /** Number of the first command that was never answered. */
  next: number;
}

/** Commands that a writer repeats although they were answered, when it goes on in another process. */
const repeatedOnes = 3;

export function writers(prefix: string, count: number): Writer[] {
  return Array.from({ length: count }, (_, index) => ({ name: `${prefix}${index}`, next: 0 }));
}

/** A service process that works, or worked. */
export class LoadProcess {
  /** Answers since the start. */
  answered = 0;
  /** Times a caller was told to repeat, by code. */
  readonly again = new Map<string, number>();
  readonly faults: string[] = [];
  private rested = false;
  private stopped = false;
  private readonly reading: Promise<void>;

  private constructor(
    private readonly script: Script,
    private readonly witnesses: readonly Witness[],
    private readonly own: readonly Writer[],
  ) {
    this.reading = this.read();
  }

  /**
   * Starts a process that is ready and does nothing yet.
   * @param environment how it finds its database
   * @param witnesses one per book that it writes
   */
  static async start(
    environment: Readonly<Record<string, string>>,
    witnesses: readonly Witness[],
    own: readonly Writer[],
    clock = 0,
  ): Promise<LoadProcess> {
    const load: Load = { books: witnesses.map(({ bookId }) => bookId), writers: own.map(({ name }) => name), clock };
    const script = runScript('test/support/load.ts', [JSON.stringify(load)], { ...environment, SEED: String(seed) });
    const line = await script.nextLine();
    if (line !== '["ready"]') throw new Error(`load.ts said ${line}`);
    return new LoadProcess(script, witnesses, own);
  }

  get pid(): number {
    return this.script.process.pid ?? 0;
  }

  /** Lets the writers begin, where the process before them was killed: what it was answered is known by now. */
  go(): void {
    this.send(`go ${JSON.stringify(this.own.map(({ next }) => [Math.max(0, next - repeatedOnes), next]))}`);
  }

  /** Turns the process's clock this far from the machine's. */
  turnClock(ms: number): void {
    this.send(`clock ${ms}`);
  }

  /** Waits until this many more commands are answered. @throws Error when none is for a minute, or the process ended */
  async answers(more: number): Promise<void> {
    const wanted = this.answered + more;
    let before = this.answered;
    let deadline = performance.now() + 60_000;
    while (this.answered < wanted) {
      if (this.answered > before) deadline = performance.now() + 60_000;
      before = this.answered;
      if (this.faults.length > 0) throw new Error(this.faults[0]);
      if (this.stopped) throw new Error('the process ended');
      if (performance.now() > deadline)
        throw new Error(`${this.answered} of ${wanted} commands are answered; told to repeat: ${this.told}`);
      await sleep(2);
    }
  }

  /** Ends the process as the kernel does when memory is out. */
  async kill(): Promise<void> {
    this.script.process.kill('SIGKILL');
    await this.reading;
  }

  /** Lets every writer have its answer; the projector goes on. @throws Error when there was an error that should not be */
  async rest(): Promise<void> {
    this.send('rest');
    const deadline = Date.now() + 60_000;
    while (!this.rested && this.faults.length === 0) {
      if (Date.now() > deadline) throw new Error(`writers are not answered; told to repeat: ${this.told}`);
      await sleep(2);
    }
    if (this.faults.length > 0) throw new Error(this.faults.join('\n'));
  }

  /** Lets every writer have its answer, then ends the process. @throws Error when it met an error that it should not */
  async stop(): Promise<void> {
    this.send('stop');
    await this.reading;
    if (this.faults.length > 0) throw new Error(this.faults.join('\n'));
    if (!this.stopped) throw new Error(`the process ended by ${await this.script.ended}`);
  }

  /** What callers were told that had to repeat, for messages. */
  get told(): string {
    return [...this.again].map(([code, times]) => `${code} ${times}`).join(', ') || 'never';
  }

  /** Times a caller was told to repeat. */
  get repetitions(): number {
    return [...this.again.values()].reduce((sum, times) => sum + times, 0);
  }

  private send(line: string): void {
    this.script.process.stdin?.write(`${line}\n`);
  }

  private async read(): Promise<void> {
    for (;;) {
      let line: LoadLine;
      try {
        line = JSON.parse(await this.script.nextLine()) as LoadLine;
      } catch (error) {
        // A line that the kill cut in two was not acknowledged: its writer sends the command again.
        if (!this.stopped && !(error instanceof SyntaxError) && !/ended \(SIGKILL\)/.test(String(error))) this.faults.push(String(error));
        return;
      }
      if (line[0] === 'answer') {
        const [, writer, key, status, body, replayed] = line;
        const own = this.own[writer] as Writer;
        own.next = Math.max(own.next, Number(key.slice(key.lastIndexOf('-') + 1)) + 1);
        this.witnesses[writer % this.witnesses.length]?.tell(key, { status, body, replayed });
        this.answered++;
      } else if (line[0] === 'again') this.again.set(line[2], (this.again.get(line[2]) ?? 0) + 1);
      else if (line[0] === 'fault') this.faults.push(`${line[2]}: ${line[3]}`);
      else if (line[0] === 'rested') this.rested = true;
      else if (line[0] === 'stopped') this.stopped = true;
    }
  }
}
