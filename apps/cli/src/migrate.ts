/** `book-keeper migrate`: brings the database to the schema of this release. */
import { Command } from 'commander';

export function migrate(): Command {
  return new Command('migrate')
    .summary('bring the database to the schema of this release')
    .description(
      'Applies the migrations that the database does not have yet, and prints which. Uses MIGRATION_DATABASE_URL, a login that may create roles and schemas; without it DATABASE_URL; without that the embedded server in DATA_DIR. Safe to run while the service runs and from several places at once.',
    )
    .action(async () => {
      const { createLogger, migrateDatabase, readConfig } = await import('#ledger');
      const config = readConfig({ LOG_LEVEL: 'error', ...process.env });
      const { applied, current, database } = await migrateDatabase(config, createLogger(config), ({ number, name, skipped, ms }) => {
        process.stdout.write(`${String(number).padStart(4, '0')} ${name}${skipped ? ', not for this server' : `, ${Math.round(ms)} ms`}\n`);
      });
      process.stdout.write(
        `${database}: ${applied.length === 0 ? 'nothing to do' : `${applied.length} applied`}, current is migration ${current}\n`,
      );
    });
}
