/** `book-keeper serve`: the HTTP server, the very program that `npm start` runs. */
import { join } from 'node:path';
import { Command } from 'commander';

export function serve(): Command {
  return new Command('serve')
    .summary('run the HTTP server')
    .description(
      'Runs the HTTP server until Ctrl-C, as npm start does: migrates the database, prints the URLs and the API key, serves REST, its documentation and health checks. Settings are environment variables: docs/reference/configuration.md.',
    )
    .action(async () => {
      // By path: applications do not import each other, and this one runs as soon as it is loaded.
      await import(join(__dirname, '..', '..', 'api', 'src', 'main'));
    });
}
