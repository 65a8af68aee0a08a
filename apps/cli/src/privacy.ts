/** `book-keeper privacy`: the keys that personal data is sealed with, for whoever runs the service. */
import { Command } from 'commander';
import { CliError } from './errors';
import { acting, withService } from './session';
import { table } from './table';
import { Screen } from './terminal';

export function privacy(): Command {
  return new Command('privacy')
    .summary('look after the keys that personal data is sealed with')
    .description(
      'Personal data is sealed under a key per person, and these keys are wrapped by a master key that is not in the database (MASTER_KEY, MASTER_KEY_FILE or MASTER_KEY_COMMAND). Persons are erased over REST: POST /v1/books/{book}/parties/{party}/erase.',
    )
    .addCommand(status())
    .addCommand(rotate())
    .addCommand(rewrap())
    .addCommand(reconcile());
}

function status(): Command {
  return new Command('status')
    .summary('show which master keys are in use')
    .description(
      'Shows how many keys of persons each master key wraps, and whether destroyed ones may still stand in pages of the database.',
    )
    .option('--json', 'as JSON')
    .action(({ json }: { json?: true }) =>
      withService(
        async ({ subjectKeys }) => {
          const usage = await subjectKeys.usage();
          if (json) process.stdout.write(`${JSON.stringify(usage, undefined, 2)}\n`);
          else
            process.stdout.write(
              table(
                ['MASTER KEY', 'WRAPS'],
                usage.masters.map(({ number, keys }) => [String(number), String(keys)]),
              ),
            );
          if (usage.unfinished > 0)
            process.stderr.write(
              `${usage.unfinished} destroyed keys may still stand in pages of the database: book-keeper privacy reconcile\n`,
            );
        },
        { project: false },
      ),
    );
}

function rotate(): Command {
  return new Command('rotate')
    .summary('make a new master key and wrap all keys with it')
    .description(
      'Adds a master key to the file and wraps every key of a person with it. No event is touched, and others may read and write meanwhile; a run that was stopped goes on with `privacy rewrap`. The former master key is needed for backups of the keys that are older than this: keep it, or make a new backup and take it out of the file.',
    )
    .action(() =>
      withService(
        (service) =>
          acting(service, { kind: 'command', action: 'RotateMasterKey' }, async () => {
            const number = await service.masterKeys.addKey().catch((error: Error) => {
              throw new CliError(error.message, 1);
            });
            const wrapped = await withProgress((progress) => service.subjectKeys.rewrap(progress));
            process.stderr.write(`master key ${number} wraps all keys now, ${wrapped} of them anew\n`);
          }),
        { project: false },
      ),
    );
}

function rewrap(): Command {
  return new Command('rewrap')
    .summary('wrap all keys with the newest master key')
    .description(
      'Wraps every key of a person that is not under the newest master key: after one was added to MASTER_KEY or MASTER_KEY_FILE, after MASTER_KEY_COMMAND took another one, or after `privacy rotate` was stopped.',
    )
    .action(() =>
      withService(
        (service) =>
          acting(service, { kind: 'command', action: 'RewrapKeys' }, async () => {
            const wrapped = await withProgress((progress) => service.subjectKeys.rewrap(progress));
            process.stderr.write(`${wrapped} keys were wrapped anew\n`);
          }),
        { project: false },
      ),
    );
}

function reconcile(): Command {
  return new Command('reconcile')
    .summary('destroy again what was erased')
    .description(
      'After a backup of the keys was restored: destroys every key that an event says was destroyed. With RETENTION=auto it also destroys what duties have covered until now. The service does both by itself at its start and every RETENTION_MS.',
    )
    .action(() =>
      withService(
        (service) =>
          acting(service, { kind: 'command', action: 'ReconcileKeys' }, async () => {
            const problems: string[] = [];
            await service.persons.look(({ bookId, error }) => problems.push(`${bookId ?? 'keys'}: ${(error as Error).message}`));
            if (problems.length > 0) throw new CliError(problems.join('\n'), 1);
            process.stderr.write('every key that was to be destroyed is\n');
          }),
        { project: true },
      ),
    );
}

async function withProgress<T>(work: (progress: (done: number) => void) => Promise<T>): Promise<T> {
  const screen = new Screen((done: number) => `${done.toLocaleString('en-US')} keys`);
  try {
    return await work(screen.progress);
  } finally {
    screen.clear();
  }
}
