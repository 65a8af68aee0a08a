/**
 * A service process under load: `load.ts` with a JSON of {@link Load} as its argument opens the service as the API does (own
 * ledger, own projector), runs that many writers, each of which sends one command after the other and repeats it with the
 * same key until it is answered, and prints every answer before it goes on. Made to be killed: what is printed was
 * acknowledged. Understands on its standard input, one per line: `go NUMBERS` (for each writer the number of its
 * first command, and of the last one that it must send before it may rest), `rest` (every writer has its answer and sends no more;
 * the projector goes on), `stop`, `clock MILLISECONDS` (turns this process's clock that far from the machine's).
 */
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger, ledgerErrorOf, openService, readConfig, type Service } from '#ledger';
import { actorOf, commandOf, isFinal, keyBefore } from './workload';

export interface Load {
  /** Writer n works on book n modulo their number. */
  readonly books: readonly string[];
  /** Each writer's name, which begins its keys. */
  readonly writers: readonly string[];
  /** Milliseconds by which the clock is wrong at the start. */
  readonly clock?: number;
}

/** What is printed, one JSON array per line. */
export type LoadLine =
  | readonly ['ready']
  | readonly ['answer', writer: number, key: string, status: number, body: string, replayed: boolean]
  /** No answer this time: the writer repeats the command. */
  | readonly ['again', writer: number, code: string]
  /** An error that no caller may ever see. */
  | readonly ['fault', writer: number, key: string, message: string]
  | readonly ['rested']
  | readonly ['stopped'];

type Span = readonly [from: number, upTo: number];

const machineClock = Date.now;
let offset = 0;
Date.now = () => machineClock() + offset;

let resting = false;

const say = (line: LoadLine): void => {
  let rest = Buffer.from(`${JSON.stringify(line)}\n`);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if ((error as { code?: string }).code !== 'EAGAIN') throw error; // the pipe is full: the reader is slow
    }
  }
};

async function write({ ledger }: Service, bookId: string, writer: number, name: string, [from, upTo]: Span): Promise<void> {
  const answers = new Map<string, string>();
  /** @returns whether it was answered */
  const send = async (key: string): Promise<boolean> => {
    const command = commandOf(key, (other) => answers.get(other));
    for (;;) {
      try {
        const answer = await ledger.execute(bookId, command, { key, ...actorOf(key, command), source: 'job' });
        if (isFinal(answer)) {
          answers.set(key, answer.body);
          say(['answer', writer, key, answer.status, answer.body, answer.replayed]);
          return true;
        }
        say(['again', writer, 'partly']);
      } catch (error) {
        const { kind, code, message, cause } = ledgerErrorOf(error);
        if (kind !== 'unavailable' && kind !== 'limited') {
          say(['fault', writer, key, `${code}: ${message} ${cause instanceof Error ? cause.stack : ''}`]);
          return false;
        }
        say(['again', writer, code]);
      }
      await sleep(20 + Math.random() * 40);
    }
  };
  for (let number = from; !resting || number <= upTo; number++) {
    const key = `${name}-${number}`;
    const before = keyBefore(key);
    // Whoever goes on for a killed process does not have the answers that it got.
    if (before !== undefined && !answers.has(before) && !(await send(before))) return;
    if (!(await send(key))) return;
  }
}

async function main(): Promise<void> {
  const { books, writers, clock = 0 } = JSON.parse(process.argv[2] ?? '{}') as Load;
  offset = clock;
  const config = readConfig(process.env);
  const service = await openService(config, { log: createLogger(config), migrate: false });
  say(['ready']);
  let working: Promise<unknown> = Promise.resolve();
  for await (const line of createInterface({ input: process.stdin })) {
    const [verb, value] = line.split(' ');
    if (verb === 'clock') offset = Number(value);
    if (verb === 'go') {
      const spans = JSON.parse(value ?? '[]') as Span[];
      working = Promise.all(
        writers.map((name, writer) => write(service, books[writer % books.length] as string, writer, name, spans[writer] ?? [0, 0])),
      );
    }
    if (verb === 'rest' || verb === 'stop') {
      resting = true;
      await working;
      say(['rested']);
    }
    if (verb === 'stop') break;
  }
  await service.close();
  say(['stopped']);
  process.exit(0); // the parent holds our standard input open
}

void main();
