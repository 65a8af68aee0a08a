/** `book-keeper keys`: who may call the service. */
import { Command, Option } from 'commander';
import { type Scope, scopes } from '#ledger';
import { CliError } from './errors';
import { acting, withService } from './session';
import { table } from './table';

export function keys(): Command {
  return new Command('keys')
    .summary('create, list and revoke API keys')
    .description('API keys let callers in, and events name them by their ids. Only the hash of a key is stored.')
    .addCommand(create())
    .addCommand(list())
    .addCommand(revoke());
}

function create(): Command {
  return new Command('create')
    .summary('create an API key')
    .description(
      'Creates an API key and prints it: the key on stdout, to be given to a program; its name and id on stderr. It cannot be shown again.',
    )
    .argument('<name>', 'what people call it, such as the program that will use it')
    .addOption(
      new Option(
        '--scope <scope...>',
        'what it may do beyond what every key may; controller: close and reopen periods, post into softly closed ones, read user actions; personal: read personal data, erase persons, place and release legal holds',
      ).choices(scopes),
    )
    .action((name: string, { scope = [] }: { scope?: readonly Scope[] }) =>
      withService(
        async (service) => {
          const act = { kind: 'command', action: 'CreateApiKey', asked: { name } } as const;
          await acting(
            service,
            act,
            async () => {
              const { id, secret } = await service.keys.create(name, scope, service.bootstrapKey.id);
              // Before it is recorded how it ended: the key is there, and nobody can ever show it again.
              process.stderr.write(`API key ${name}, id ${id}. Keep it now, it is not shown again:\n`);
              process.stdout.write(`${secret}\n`);
              return id;
            },
            (id) => ({ about: [{ key: 'id', value: id }] }),
          );
        },
        { project: false },
      ),
    );
}

function list(): Command {
  return new Command('list')
    .summary('list the API keys')
    .description('Lists all API keys, the revoked ones too, oldest first.')
    .option('--json', 'as JSON')
    .action(({ json }: { json?: true }) =>
      withService(
        async (service) => {
          const all = await service.keys.list();
          if (json) process.stdout.write(`${JSON.stringify(all, undefined, 2)}\n`);
          else
            process.stdout.write(
              table(
                ['NAME', 'ID', 'SCOPES', 'CREATED', 'REVOKED'],
                all.map((key) => [key.name, key.id, key.scopes.join(' '), key.createdAt, key.revokedAt ?? '']),
              ),
            );
        },
        { project: false },
      ),
    );
}

function revoke(): Command {
  return new Command('revoke')
    .summary('revoke an API key')
    .description('Ends an API key for ever, within seconds in every running service. Its name may be given to a new key.')
    .argument('<name>', 'name or id of the key')
    .action((name: string) =>
      withService(
        async (service) => {
          const act = { kind: 'command', action: 'RevokeApiKey', asked: { name } } as const;
          const revoked = await acting(
            service,
            act,
            () => service.keys.revoke(name, service.bootstrapKey.id),
            (isRevoked) => (isRevoked ? {} : { outcome: 'refused' }),
          );
          if (!revoked) throw new CliError(`there is no valid API key named ${name}; book-keeper keys list shows all`, 3);
          process.stderr.write(`API key ${name} is revoked\n`);
        },
        { project: false },
      ),
    );
}
