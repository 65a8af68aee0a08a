/**
 * `book-keeper state`: the debugger of the ledger. Shows an aggregate as the events make it at any version, the event that led
 * there and what it changed; at the newest version it says whether what is stored agrees.
 */
import { Command } from 'commander';
import type { HeadComparison, StateAnswer, StateChange } from '#ledger';
import { eventText, whole } from './events';
import { namesOf, withLook } from './session';
import { clean, Output, paint } from './terminal';

interface Options {
  readonly at?: number;
  readonly json?: true;
}

export function state(): Command {
  return new Command('state')
    .summary('show the state of an account, an entry or the book at any version, and the event that led to it')
    .description(
      [
        'Shows the state of one aggregate at a version of its stream, folded from its events by the rules that decisions use, with the event between this version and the one before, and the difference that it made: - was, + is.',
        'At the newest version the state is compared with the head that is stored (the snapshot that decisions start from); when they differ, the difference is shown and the exit code is 1, for then what is stored is not what the events say.',
        'Streams are named account:CODE (or the code alone), journal:ID or journal:GENERAL/2026/17 (or GENERAL/2026/17 alone), book, numbers:2026 (the last number of each day book in a fiscal year), drafts:2026 (entries of it that are neither posted nor discarded), or by their ids.',
      ].join('\n\n'),
    )
    .argument('<book>', 'id of the book')
    .argument('<stream>', 'the aggregate, such as account:Assets:Bank or GENERAL/2026/17')
    .option('--at <version>', 'version of the stream, from 1 on (default: the newest)', whole)
    .option('--json', 'as JSON: state, state before, event, changes, head')
    .action((book: string, stream: string, { at, json }: Options) =>
      withLook(async (look) => {
        const answer = await look.inspector.state(book, stream, at);
        const { membersOf } = await import('#ledger');
        const nameOf = json ? new Map<string, string>() : await namesOf(look);
        await new Output().write(json ? `${JSON.stringify(shownJson(answer), undefined, 2)}\n` : stateText(answer, membersOf, nameOf));
        if (answer.head?.kind === 'differs') process.exitCode = 1;
      }),
    );
}

const shownJson = ({ event: { event }, ...answer }: StateAnswer): object => ({ ...answer, event });

function stateText(
  { stream, version, versions, event, state: is, changes, head }: StateAnswer,
  membersOf: (value: unknown) => [string, string][],
  nameOf: ReadonlyMap<string, string>,
): string {
  const changed = new Map(changes.map((change) => [change.path, change]));
  const members = membersOf(is);
  const gone = changes.filter(({ after }) => after === undefined);
  const width = Math.max(0, ...[...members.map(([path]) => path), ...gone.map(({ path }) => path)].map((path) => [...path].length));
  const row = (mark: string, path: string, value: string): string =>
    `${mark} ${clean(path)}${' '.repeat(Math.max(0, width - [...path].length))}  ${clean(value)}`;
  const rows = members.flatMap(([path, value]) => {
    const change = changed.get(path);
    if (change === undefined) return [row(' ', path, value)];
    return changeRows(change, row);
  });
  const title = `${stream.aggregateType} ${paint('bold', clean(stream.name))}, version ${version} of ${versions}`;
  return [
    `${title}${stream.name === stream.aggregateId ? '' : `  ${paint('dim', stream.aggregateId)}`}`,
    '',
    version === 1 ? 'The event that it began with:' : `The event between version ${version - 1} and ${version}:`,
    eventText(event, nameOf).trimEnd(),
    '',
    version === 1 ? 'The state that it led to:' : `The state, and how it differs from version ${version - 1}:`,
    ...rows,
    ...gone.flatMap((change) => changeRows(change, row)),
    ...(head === undefined ? [] : ['', ...headText(head, row)]),
    '',
  ].join('\n');
}

function changeRows({ path, before, after }: StateChange, row: (mark: string, path: string, value: string) => string): string[] {
  return [
    ...(before === undefined ? [] : [paint('red', row('-', path, before))]),
    ...(after === undefined ? [] : [paint('green', row('+', path, after))]),
  ];
}

function headText(head: HeadComparison, row: (mark: string, path: string, value: string) => string): string[] {
  switch (head.kind) {
    case 'agrees':
      return ['The stored head agrees with the events.'];
    case 'missing':
      return ['No head is stored; the state is folded from the events when it is needed.'];
    case 'older':
      return [`The stored head is of version ${head.version} (reducer ${head.reducerVersion}) and is not compared.`];
    case 'differs':
      return [
        paint('red', 'The stored head differs from the events: - what is stored, + what the events say.'),
        'Decisions start from what is stored. Run a full verification of the book before anything else is posted.',
        ...head.changes.flatMap((change) => changeRows(change, row)),
      ];
  }
}
