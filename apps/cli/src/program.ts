/** The command line as a whole: its verbs, one per file. The reference in docs/ is generated from it. */
import { Command } from 'commander';
import { actions } from './actions';
import { archive } from './archive';
import { auditPackCommand } from './audit-pack';
import { balance } from './balance';
import { events } from './events';
import { exportEntries } from './export';
import { importEntries } from './import';
import { keys } from './keys';
import { log } from './log';
import { migrate } from './migrate';
import { privacy } from './privacy';
import { projections } from './projections';
import { replay } from './replay';
import { serve } from './serve';
import { state } from './state';
import { verify } from './verify';

/** A new instance each time, since commander keeps parsed options in it. */
export function program(): Command {
  const root = new Command('book-keeper')
    .description('Double-entry, event-sourced ledger on PostgreSQL.')
    .addHelpText(
      'after',
      [
        '',
        'Data is in the database that DATABASE_URL names or, without it, in an embedded PostgreSQL whose files are in DATA_DIR',
        '(default .data). docs/reference/configuration.md has all settings, docs/reference/cli.md all commands.',
      ].join('\n'),
    );
  const verbs = [
    serve,
    migrate,
    keys,
    balance,
    importEntries,
    exportEntries,
    auditPackCommand,
    archive,
    events,
    actions,
    state,
    verify,
    log,
    projections,
    privacy,
    replay,
  ];
  for (const verb of verbs) root.addCommand(verb());
  for (const command of [root, ...root.commands, ...root.commands.flatMap(({ commands }) => commands)]) {
    command.exitOverride().showHelpAfterError(`Try: ${pathOf(command)} --help`);
  }
  return root;
}

/** A command's name with those of its parents, as it is typed. */
export function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}
