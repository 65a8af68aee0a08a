/** `book-keeper log`: the signed log of the books: checkpoints, keys, and what to do about a database that was restored. */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { CliError } from './errors';
import { acting, actingKey, withService } from './session';
import { table } from './table';

export function log(): Command {
  return new Command('log')
    .summary('the signed Merkle log: checkpoints and keys')
    .description(
      'Each book has a Merkle tree over its events. Its heads (checkpoints) are signed with an Ed25519 key and handed out to places outside the database, against which a database is held at every start.',
    )
    .addCommand(checkpoint())
    .addCommand(keys())
    .addCommand(rotate())
    .addCommand(acceptLoss());
}

function checkpoint(): Command {
  return new Command('checkpoint')
    .summary('print the newest checkpoint of a book')
    .description(
      'Seals a book up to its head if need be, and prints the signed note: name of the log, number of events, root of the tree, signatures.',
    )
    .argument('<book>', 'id of the book')
    .action((book: string) =>
      withService(
        async ({ sealer, proofs, queries }) => {
          await queries.book(book);
          await sealer.seal(book);
          await sealer.handOut();
          process.stdout.write((await proofs.checkpoint(book)).note);
        },
        { project: false },
      ),
    );
}

function keys(): Command {
  return new Command('keys')
    .summary('list the keys that sign checkpoints')
    .description(
      'Lists the public keys in the order in which they came into use, the one in use last. Auditors need them by a way that they trust.',
    )
    .option('--json', 'as JSON')
    .action(({ json }: { json?: true }) =>
      withService(
        async ({ proofs }) => {
          const all = await proofs.keys();
          if (json) process.stdout.write(`${JSON.stringify(all, undefined, 2)}\n`);
          else
            process.stdout.write(
              table(
                ['KEY', 'IN USE SINCE', 'NAMED BY THE ONE BEFORE'],
                all.map(({ number, key, activatedAt, endorsed }) => [
                  key,
                  activatedAt,
                  number === 1 ? '' : endorsed ? 'yes' : 'no: it was lost',
                ]),
              ),
            );
        },
        { project: false },
      ),
    );
}

interface RotateOptions {
  readonly reason: string;
  readonly file?: string;
  readonly lost?: true;
  readonly key?: string;
}

function rotate(): Command {
  return new Command('rotate-key')
    .summary('let a new key sign checkpoints')
    .description(
      'Makes a new key follow the one in use, which signs that it is followed; both are recorded. The old key is kept beside the new one under a name that ends with .old: destroy it when nobody needs it. Running services take the new key with their next checkpoint.',
    )
    .requiredOption('--reason <text>', 'why; is recorded')
    .option('--file <pem>', 'the new key, or its public half where SIGNING_COMMAND signs (default: one is generated)')
    .option('--lost', 'the key in use is lost: nothing will tell outsiders that the new one is yours, so tell them')
    .option('--key <name>', 'name of the API key that does this (default: the first administrator)')
    .action(({ reason, file, lost, key }: RotateOptions) =>
      withService(
        async (service) => {
          const { rotateKey, keyText } = await import('#ledger');
          const userId = await actingKey(service, key);
          if (file !== undefined) readable(file);
          const act = { kind: 'command', action: 'RotateSigningKey', userId, reason } as const;
          const { from, to } = await acting(service, act, () =>
            rotateKey(service.proofs.trees, service.config, { file, lost: lost === true, userId, reason }),
          );
          process.stderr.write(`${keyText(from)} is followed by\n`);
          process.stdout.write(`${keyText(to)}\n`);
          if (file !== undefined) process.stderr.write(`Services sign again once they have it: SIGNING_KEY_FILE=${file}\n`);
        },
        { project: false },
      ),
    );
}

function readable(file: string): void {
  try {
    readFileSync(file);
  } catch (error) {
    throw new CliError(`${file} cannot be read: ${(error as Error).message}`, 2);
  }
}

function acceptLoss(): Command {
  return new Command('accept-loss')
    .summary('give up events that were signed and are not in the database any more')
    .description(
      'After a backup was restored that lacks events which were signed already, the service does not start, because it would give their positions to other events. Where no better backup is to be had, this gives them up: from here on the log of the book has another name, and what was given up is recorded and shown to auditors.',
    )
    .argument('<book>', 'id of the book')
    .requiredOption('--reason <text>', 'why; is recorded')
    .option('--key <name>', 'name of the API key that does this (default: the first administrator)')
    .action((book: string, { reason, key }: { reason: string; key?: string }) =>
      withService(
        async (service) => {
          const userId = await actingKey(service, key);
          const act = { bookId: book, kind: 'command', action: 'AcceptLoss', userId, reason } as const;
          const given = await acting(service, act, () => service.sealer.acceptLoss(book, { userId, reason }));
          const last = given.at(-1);
          if (last === undefined) {
            // Whoever mistyped the id of a book wants to know.
            await service.queries.book(book);
            process.stderr.write(`nothing stands against book ${book}: there is nothing to give up\n`);
            return;
          }
          for (const { lost } of given) process.stderr.write(`given up:\n${lost}\n`);
          process.stderr.write(`from here on the log of book ${book} is\n`);
          process.stdout.write(`${last.origin}\n`);
        },
        { project: false, compare: false },
      ),
    );
}
