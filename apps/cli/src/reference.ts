/** Prints docs/reference/cli.md from the definitions of the commands, so that it cannot say anything else. */
import type { Command, Option } from 'commander';
import { exitCodes, interruptedExitCode } from './errors';
import { pathOf, program } from './program';

function reference(root: Command): string {
  const codes = new Map<number, string[]>();
  for (const [kind, code] of Object.entries(exitCodes)) codes.set(code, [...(codes.get(code) ?? []), `\`${kind}\``]);
  return [
    '# Command line',
    'Generated from the program by `npm run generate`; every command tells the same with `--help`.',
    'In a clone the command is `node tools/book-keeper.mjs`, or `npx book-keeper`: on first use it installs and builds what is missing.',
    ...root.commands.flatMap((verb) => section(verb)),
    '## Settings and output',
    'Settings are environment variables: see [configuration.md](configuration.md). Results go to stdout; progress, refusals and faults to stderr. A fault that has a code in [errors.md](errors.md) is told as `code: message`.',
    '## Exit codes',
    [
      '| code | when |',
      '|---|---|',
      '| 0 | done |',
      '| 1 | a fault of ours, or of the machine |',
      ...[...codes].map(
        ([code, kinds]) =>
          `| ${code} | an error of kind ${kinds.join(', ')}${code === 2 ? ', or a command line that cannot be understood' : ''} |`,
      ),
      `| ${interruptedExitCode} | stopped by Ctrl-C |`,
    ].join('\n'),
    '',
  ].join('\n\n');
}

function section(command: Command): string[] {
  if (command.commands.length > 0)
    return [`## ${pathOf(command)}`, command.description(), ...command.commands.flatMap((verb) => section(verb))];
  const depth = pathOf(command).split(' ').length;
  const args = command.registeredArguments.map((argument) => `| \`<${argument.name()}>\` | ${cell(argument.description)} |`);
  const options = command.options.map((option) => `| \`${option.flags}\` | ${cell(option.description)}${aside(option)} |`);
  const rows = [...args, ...options];
  return [
    `${'#'.repeat(depth)} ${pathOf(command)}`,
    command.description(),
    `\`\`\`\n${pathOf(command)} ${command.usage()}\n\`\`\``,
    ...(rows.length === 0 ? [] : [['| | |', '|---|---|', ...rows].join('\n')]),
  ];
}

function aside({ argChoices, defaultValue, envVar, mandatory }: Option): string {
  const parts = [
    ...(mandatory ? ['needed'] : []),
    ...(argChoices === undefined ? [] : [`one of ${argChoices.map((choice) => `\`${choice}\``).join(', ')}`]),
    ...(defaultValue === undefined ? [] : [`default: \`${defaultValue}\``]),
    ...(envVar === undefined ? [] : [`or the environment variable \`${envVar}\``]),
  ];
  return parts.length === 0 ? '' : ` (${parts.join('; ')})`;
}

const cell = (text: string): string => text.replaceAll('|', '\\|');

process.stdout.write(reference(program()));
