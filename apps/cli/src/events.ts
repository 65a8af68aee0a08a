/** `book-keeper events`: the log of a book, for people and for programs; from the beginning, from the end, and as it grows. */
import { Command, InvalidArgumentError } from 'commander';
import type { EventFilter, InspectedEvent } from '#ledger';
import { interruptedExitCode } from './errors';
import { namesOf, withLook } from './session';
import { clean, Output, paint } from './terminal';

interface Options {
  readonly stream?: string;
  readonly type?: readonly string[];
  readonly account?: string;
  readonly user?: string;
  readonly from?: string;
  readonly to?: string;
  readonly recordedFrom?: string;
  readonly recordedTo?: string;
  readonly after?: number;
  readonly limit?: number;
  readonly last?: number;
  readonly follow?: true;
  readonly json?: true;
}

export function events(): Command {
  return new Command('events')
    .summary('show the log of a book: what happened, in which order, by whom')
    .description(
      [
        'Shows the events of a book in the order of its log, from the first on, all of them or those that every option given asks for. Each line begins with the position; an entry is followed by its lines, and each line of an entry is also an event of its account.',
        'There are two dates. --from and --to ask for the effective date, which the caller gave to an entry: entries and their lines have one, other events do not and are left out. --recorded-from and --recorded-to ask for the moment when an event was written into the log.',
        'Events are shown as they are stored, in the version in which they were written: that is what the leaf hash is made of. --json prints one event per line, as GET /v1/books/BOOK/events answers it.',
        'With --follow new events are shown as they are appended, none skipped and none twice, until Ctrl-C; a database that restarts is waited for. To see new ones only, add --last 0.',
      ].join('\n\n'),
    )
    .argument('<book>', 'id of the book')
    .option('--stream <name>', 'one stream: book, account:CODE, journal:ID, journal:GENERAL/2026/17, or an id')
    .option('--type <name>', 'only events of this type, such as JournalEntryPosted; may be given several times', several)
    .option('--account <code>', "the account's own events, and the entries with a line on it")
    .option('--user <id>', 'caused by this user: id as events name it, or name of an API key; lines belong to the user of their entry')
    .option('--from <date>', 'effective on or after this date, YYYY-MM-DD')
    .option('--to <date>', 'effective on or before this date')
    .option('--recorded-from <when>', 'recorded at or after: an instant such as 2026-01-31T18:00:00Z, or the beginning of a day (UTC)')
    .option('--recorded-to <when>', 'recorded at or before: an instant, or the end of a day (UTC)')
    .option('--after <position>', 'only events after this position', whole)
    .option('-n, --last <count>', 'only so many of those that are there, the newest', whole)
    .option('--limit <count>', 'stop after so many', whole)
    .option('-f, --follow', 'go on with new events until Ctrl-C')
    .option('--json', 'as JSON, one event per line')
    .action(run);
}

export function whole(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It is a whole number from 0 to 999999999999999.');
  return Number(text);
}

const several = (text: string, known: readonly string[] = []): readonly string[] => [...known, text];

async function run(book: string, { json, follow, user, type, ...options }: Options, command: Command): Promise<void> {
  const { isDate } = await import('#domain');
  const { from, to } = options;
  if (isDate(from) && isDate(to) && from > to)
    command.error(`error: --from ${from} lies after --to ${to}: no event is of such a date`, { exitCode: 2 });
  const { untilSignal } = await import('#ledger');
  const output = new Output();
  const stop = new AbortController();
  let interrupted = false;
  void untilSignal().then(() => {
    interrupted = true;
    stop.abort();
  });
  output.closed.signal.addEventListener('abort', () => stop.abort());
  await withLook(async (look) => {
    const nameOf = await namesOf(look);
    const [named] = [...nameOf].find(([, name]) => name === user) ?? [];
    const filter: EventFilter = { ...options, types: type, userId: named ?? user };
    let waiting = '';
    const shown = look.inspector.events(book, filter, {
      follow: follow === true,
      signal: stop.signal,
      waiting: (reason) => {
        if (reason !== waiting) process.stderr.write(`waiting: ${clean(reason)}\n`);
        waiting = reason;
      },
    });
    for await (const some of shown) {
      waiting = '';
      await output.write(some.map((event) => (json ? `${JSON.stringify(event.event)}\n` : eventText(event, nameOf))).join(''));
      if (stop.signal.aborted) break;
    }
  });
  if (interrupted) process.exitCode = interruptedExitCode;
}

// --- For people ---

/**
 * One event: a line with position, moment, type, what it is about and by whom; an entry's lines below it.
 * @param nameOf names of API keys by id
 */
export function eventText(inspected: InspectedEvent, nameOf: ReadonlyMap<string, string>): string {
  const { event } = inspected;
  const { position, recordedAt, eventType, data } = event;
  const first = [
    String(position).padStart(6),
    paint('dim', recordedAt),
    paint('cyan', eventType.padEnd(18)),
    ...about(inspected),
    ...by(inspected, nameOf),
  ].join('  ');
  if (eventType !== 'JournalEntryPosted') return `${first}\n`;
  const lines = (Array.isArray(data.lines) ? data.lines : []) as Readonly<Record<string, unknown>>[];
  const codes = lines.map(({ code, accountId }) => clean(String(code ?? accountId)));
  const amounts = lines.map(({ amount }) => clean(String(amount)));
  const width = Math.max(0, ...codes.map((code) => [...code].length));
  const amountWidth = Math.max(0, ...amounts.map(({ length }) => length));
  const rows = lines.map(({ side, currency, description }, index) => {
    const code = codes[index] ?? '';
    const cells = [String(side).padEnd(6), code + ' '.repeat(width - [...code].length), (amounts[index] ?? '').padStart(amountWidth)];
    return `        ${cells.join('  ')} ${clean(String(currency))}${description === undefined ? '' : `  ${clean(String(description))}`}\n`;
  });
  return `${first}\n${rows.join('')}`;
}

/** What the event is about: the account by its code, the entry by its number, and what else there is to know at a glance. */
function about({ event, account, entry }: InspectedEvent): string[] {
  const { eventType, data, aggregateId } = event;
  const text = (member: string): string => clean(String(data[member] ?? '?'));
  if (eventType === 'JournalEntryPosted') {
    const reference = data.reference === undefined ? [] : [`(${text('reference')})`];
    return [paint('bold', clean(entry?.number ?? aggregateId)), text('effectiveDate'), ...reference, text('description')];
  }
  if (eventType === 'AccountDebited' || eventType === 'AccountCredited') {
    const totals = `totals: debit ${text('totalDebit')}, credit ${text('totalCredit')}`;
    const line = `${entry === undefined ? `entry at ${text('entryPosition')}` : clean(entry.number)} line ${text('line')}`;
    return [paint('bold', clean(account ?? aggregateId)), `${text('amount')} ${text('currency')}`, line, text('effectiveDate'), totals];
  }
  const subject = account ?? entry?.number ?? (event.aggregateType === 'Book' ? event.bookId : aggregateId);
  return [paint('bold', clean(subject)), ...Object.entries(data).map(([key, value]) => `${key}=${clean(brief(value))}`)];
}

function brief(value: unknown): string {
  if (typeof value === 'string') return /^[\p{L}\p{N}._:/+-]+$/u.test(value) ? value : JSON.stringify(value);
  if (Array.isArray(value) && value.some((element) => typeof element === 'object')) return `[${value.length}]`;
  return JSON.stringify(value);
}

/** Who, through what, for whom and why; of a line of an entry its entry says it. */
function by({ event }: InspectedEvent, nameOf: ReadonlyMap<string, string>): string[] {
  const { userId, metadata } = event;
  if (userId === undefined) return [];
  const { source, onBehalfOf, reason } = metadata as Readonly<Record<string, string | undefined>>;
  const who = nameOf.has(userId) ? `${nameOf.get(userId)} (${userId})` : userId;
  const forWhom = onBehalfOf === undefined ? '' : ` for ${onBehalfOf}`;
  const why = reason === undefined ? '' : ` because ${JSON.stringify(reason)}`;
  return [paint('dim', clean(`by ${who}${forWhom}${source === undefined ? '' : ` via ${source}`}${why}`))];
}
