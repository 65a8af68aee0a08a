/**
 * The log of user actions as it is asked: who did what, who looked at what, from where and when. Hides where the actions of a book and
 * where from they came are kept; guarantees that a list holds for the position that its first page was asked at, and that memory does not
 * grow with the log.
 */
import type { Pool } from 'pg';
import { type BookState, bookReducer, clockIn, fiscalYearOf, isDate, LedgerError } from '#domain';
import { type EventStore, instantMicros } from '#event-store';
import { type ActionKind, type ActionOutcome, actionLogOf, systemLog, type UserActed } from './action-log';
import { dateInvalid, filterHash, limitOf, malformed, type Page, readCursor, writeCursor } from './asking';
import { bookStreamId } from './catalogue';
import type { Kind, TableColumn } from './exports/tables';
import { type Sheet, sheetOf, workbook } from './exports/xlsx';
import type { Queries } from './queries';
import { csvRow } from './reports/csv';

/** Which actions; members that are absent ask for nothing. */
export interface ActionsQuestion {
  /** Id of the API key, as events name it. */
  readonly userId?: string;
  readonly onBehalfOf?: string;
  readonly kind?: ActionKind;
  /** Type of the command or name of the read. */
  readonly action?: string;
  readonly outcome?: ActionOutcome;
  /** A value of the path or query: the code of an account, the id of an entry. */
  readonly about?: string;
  /** When it was recorded: a date in the book's time zone (of the installation: UTC) or an instant; both included. */
  readonly from?: string;
  readonly to?: string;
}

/** An action as it is listed. */
export interface ActionRow extends Omit<UserActed, 'position'> {
  /** In the log of actions. */
  readonly position: number;
  readonly eventId: string;
  readonly recordedAt: string;
  readonly userId?: string;
  readonly onBehalfOf?: string;
  readonly source: string;
  /** Position in the log of the book that the action led to or held for. */
  readonly bookPosition?: number;
  readonly commandKey?: string;
  readonly correlationId?: string;
  readonly reason?: string;
  /** Absent where nobody knew, or where it was erased. */
  readonly ip?: string;
  readonly userAgent?: string;
}

export interface ActionsPage {
  /** Of the log of actions: the list holds for it. */
  readonly position: number;
  readonly actions: readonly ActionRow[];
  readonly nextCursor?: string;
}

/** A file as it is made, and the actions in it until now. */
interface CountedContent<T> {
  readonly content: AsyncGenerator<T>;
  readonly rows: () => number;
}

const rowsPerRead = 1_000;

const statement = (newestFirst: boolean): string => `
  SELECT e.position, e.event_id AS "eventId", e.recorded_at AS "recordedAt", e.data, e.metadata, c.ip, c.user_agent AS "userAgent"
    FROM log.events e
    LEFT JOIN log.command_contexts c ON c.book_id = e.book_id AND c.context_hash = decode(e.metadata->>'contextHash', 'hex')
   WHERE e.book_id = $1 AND e.position > $2 AND e.position <= $3 AND e.event_type = 'UserActed'
     AND ($4::text IS NULL OR e.metadata->>'userId' = $4) AND ($5::text IS NULL OR e.metadata->>'onBehalfOf' = $5)
     AND ($6::text IS NULL OR e.data->>'kind' = $6) AND ($7::text IS NULL OR e.data->>'action' = $7) AND ($8::text IS NULL OR e.data->>'outcome' = $8)
     AND ($9::jsonb IS NULL OR e.data->'filter' @> $9)
   ORDER BY e.position ${newestFirst ? 'DESC' : ''} LIMIT $10`;

interface StoredAction {
  readonly position: number;
  readonly eventId: string;
  readonly recordedAt: string;
  readonly data: UserActed;
  readonly metadata: Readonly<Record<string, string>>;
  readonly ip: string | null;
  readonly userAgent: string | null;
}

export class UserActions {
  constructor(
    private readonly store: EventStore,
    private readonly pool: Pool,
    private readonly queries: Queries,
  ) {}

  /**
   * Actions, the newest first.
   * @param bookId undefined: those that concern no book
   * @throws LedgerError book_unknown | date_invalid | malformed
   */
  async list(bookId: string | undefined, { cursor, limit, ...question }: ActionsQuestion & Page = {}): Promise<ActionsPage> {
    const count = limitOf({ limit });
    const filter = filterHash('actions', { bookId, ...question });
    const page = readCursor({ cursor }, filter, ['whole']);
    const { logId, timeZone, head } = await this.logOf(bookId);
    const position = page?.position ?? head;
    if (position > head) throw malformed('cursor', 'the cursor is not one that this list gave');
    const [after, upTo] = await this.span(logId, timeZone, position, question);
    const rows = await this.read(logId, after, Math.min(upTo, (page?.key[0] ?? Number.MAX_SAFE_INTEGER) - 1), question, count + 1, true);
    const shown = rows.slice(0, count);
    const nextCursor = rows.length > count ? writeCursor(filter, position, [shown.at(-1)?.position ?? 0]) : undefined;
    return { position, actions: shown, nextCursor };
  }

  /**
   * The same from the oldest to the newest, all of them, some at a time.
   * @throws LedgerError as list, before the first is read
   */
  async all(bookId: string | undefined, question: ActionsQuestion = {}): Promise<AsyncGenerator<readonly ActionRow[]>> {
    const { logId, timeZone, head } = await this.logOf(bookId);
    const [after, upTo] = await this.span(logId, timeZone, head, question);
    return this.walk(logId, after, upTo, question);
  }

  /** All of them as CSV. */
  async csv(bookId: string | undefined, question: ActionsQuestion = {}): Promise<CountedContent<string>> {
    const { pages, rows } = counted(await this.all(bookId, question));
    async function* content(): AsyncGenerator<string> {
      yield csvRow(columns.map(({ name }) => name));
      for await (const some of pages) yield some.map((row) => csvRow(columns.map(({ of }) => harmless(of(row))))).join('');
    }
    return { content: content(), rows };
  }

  /** All of them as a workbook with a sheet per fiscal year of the book, in which they were recorded by its clock. */
  async workbook(bookId: string, question: ActionsQuestion = {}): Promise<CountedContent<Uint8Array>> {
    const { recordedAt } = await this.logOf(bookId);
    const book = await this.store.load(bookId, bookStreamId(bookId), bookReducer);
    if (book === undefined) throw new LedgerError('book_unknown', `there is no book ${bookId}`, { book: bookId });
    const { pages, rows } = counted(await this.all(bookId, question));
    return { content: workbook(byFiscalYear(book.state, pages), recordedAt), rows };
  }

  private async *walk(logId: string, after: number, upTo: number, question: ActionsQuestion): AsyncGenerator<readonly ActionRow[]> {
    for (let from = after; from < upTo; ) {
      const rows = await this.read(logId, from, upTo, question, rowsPerRead, false);
      if (rows.length > 0) yield rows;
      if (rows.length < rowsPerRead) return;
      from = rows.at(-1)?.position ?? upTo;
    }
  }

  private async read(
    logId: string,
    after: number,
    upTo: number,
    { userId, onBehalfOf, kind, action, outcome, about }: ActionsQuestion,
    limit: number,
    newestFirst: boolean,
  ): Promise<ActionRow[]> {
    const { rows } = await this.pool.query<StoredAction>({
      name: `actions-${newestFirst ? 'newest' : 'oldest'}`,
      text: statement(newestFirst),
      values: [
        logId,
        after,
        upTo,
        userId,
        onBehalfOf,
        kind,
        action,
        outcome,
        about === undefined ? undefined : JSON.stringify([{ value: about }]),
        limit,
      ],
    });
    return rows.map(rowOf);
  }

  private async logOf(
    bookId: string | undefined,
  ): Promise<{ logId: string; timeZone: string; head: number; recordedAt: string | undefined }> {
    const logId = bookId === undefined ? systemLog : actionLogOf(bookId);
    const timeZone = bookId === undefined ? 'UTC' : (await this.queries.book(bookId)).timeZone;
    const { position, recordedAt } = await this.store.head(logId);
    return { logId, timeZone, head: position, recordedAt: position === 0 ? undefined : new Date(recordedAt / 1_000).toISOString() };
  }

  /** Positions after which and up to which was recorded what is asked for. */
  private async span(logId: string, timeZone: string, head: number, { from, to }: ActionsQuestion): Promise<readonly [number, number]> {
    if (isDate(from) && isDate(to) && to < from) throw dateInvalid('to', `to ${to} lies before from ${from}`);
    const after = from === undefined ? 0 : await this.lastBefore(logId, 'from', from, timeZone);
    const upTo = to === undefined ? head : Math.min(head, await this.lastBefore(logId, 'to', to, timeZone));
    return [after, upTo];
  }

  /** The last position that was recorded before a bound; of `to` the bound itself, a whole day where it is a date, belongs to it. */
  private async lastBefore(logId: string, member: 'from' | 'to', text: string, timeZone: string): Promise<number> {
    const isDay = isDate(text);
    if (!isDay && instantMicros(text) === undefined)
      throw dateInvalid(member, `${member} "${text}" is neither a date YYYY-MM-DD nor an instant like 2026-07-05T12:00:00Z`);
    const bound = isDay ? '($2::date + $3::int)::timestamp AT TIME ZONE $4' : "$2::timestamptz + $3::int * interval '1 microsecond'";
    const { rows } = await this.pool.query<{ last_position: number }>(
      `SELECT last_position FROM log.batches WHERE book_id = $1 AND recorded_at < ${bound} ORDER BY recorded_at DESC LIMIT 1`,
      [logId, text, member === 'to' ? 1 : 0, ...(isDay ? [timeZone] : [])],
    );
    return rows[0]?.last_position ?? 0;
  }
}

function counted(all: AsyncGenerator<readonly ActionRow[]>): { readonly pages: AsyncGenerator<readonly ActionRow[]>; rows: () => number } {
  let count = 0;
  async function* pages(): AsyncGenerator<readonly ActionRow[]> {
    for await (const rows of all) {
      count += rows.length;
      yield rows;
    }
  }
  return { pages: pages(), rows: () => count };
}

/**
 * A text as a cell that no spreadsheet takes for a formula (OWASP, "CSV Injection"): agents, keys and headers are what strangers sent, and this
 * file is opened by controllers.
 */
const harmless = (cell: string | number | undefined): string | number | undefined =>
  typeof cell === 'string' && /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell;

function rowOf({ position, eventId, recordedAt, data, metadata, ip, userAgent }: StoredAction): ActionRow {
  const { position: bookPosition, ...said } = data;
  const { userId, onBehalfOf, source = '', commandKey, correlationId, reason } = metadata;
  return {
    ...{ position, eventId, recordedAt, userId, onBehalfOf, source, ...said, bookPosition },
    ...{ commandKey, correlationId, reason, ip: ip ?? undefined, userAgent: userAgent ?? undefined },
  };
}

const column = (name: string, kind: Kind, of: TableColumn<ActionRow>['of']): TableColumn<ActionRow> => ({ name, kind, of });

const columns: readonly TableColumn<ActionRow>[] = [
  column('position', 'number', ({ position }) => position),
  column('recordedAt', 'instant', ({ recordedAt }) => recordedAt),
  column('userId', 'text', ({ userId }) => userId),
  column('onBehalfOf', 'text', ({ onBehalfOf }) => onBehalfOf),
  column('kind', 'text', ({ kind }) => kind),
  column('action', 'text', ({ action }) => action),
  column('outcome', 'text', ({ outcome }) => outcome),
  column('status', 'number', ({ status }) => status),
  column('code', 'text', ({ code }) => code),
  column('filter', 'text', ({ filter }) => filter?.map(({ key, value, digest }) => `${key}=${value ?? `sha256:${digest}`}`).join('; ')),
  column('bookPosition', 'number', ({ bookPosition }) => bookPosition),
  column('rows', 'number', ({ rows }) => rows),
  column('refused', 'number', ({ refused }) => refused),
  column('bytes', 'number', ({ bytes }) => bytes),
  column('times', 'number', ({ times }) => times),
  column('replayed', 'text', ({ replayed }) => (replayed === true ? 'yes' : undefined)),
  column('source', 'text', ({ source }) => source),
  column('ip', 'text', ({ ip }) => ip),
  column('userAgent', 'text', ({ userAgent }) => userAgent),
  column('commandKey', 'text', ({ commandKey }) => commandKey),
  column('correlationId', 'text', ({ correlationId }) => correlationId),
  column('reason', 'text', ({ reason }) => reason),
  column('personalTexts', 'number', ({ opened }) => opened?.texts),
  column('persons', 'text', ({ opened }) => opened?.parties.join(' ')),
  column('begunAs', 'text', ({ begunAs }) => begunAs),
  column('eventId', 'text', ({ eventId }) => eventId),
];

/**
 * A sheet per fiscal year in which anything was recorded, by the clock of the book, and one for what a calendar that was given by hand
 * does not reach at either end; instants only grow, so each year stands together.
 */
async function* byFiscalYear(state: BookState, pages: AsyncGenerator<readonly ActionRow[]>): AsyncGenerator<Sheet> {
  const clock = clockIn(state.timeZone);
  const labelOf = ({ recordedAt }: ActionRow): string => {
    const { date } = clock(instantMicros(recordedAt) ?? 0);
    return fiscalYearOf(state, date)?.label ?? (date < (state.fiscalYears[0]?.from ?? date) ? 'before all years' : 'after all years');
  };
  let page: readonly ActionRow[] = [];
  const more = async (): Promise<boolean> => {
    while (page.length === 0) {
      const next = await pages.next();
      if (next.done === true) return false;
      page = next.value;
    }
    return true;
  };
  async function* ofYear(label: string): AsyncGenerator<readonly ActionRow[]> {
    while (await more()) {
      const other = page.findIndex((row) => labelOf(row) !== label);
      const own = other < 0 ? page : page.slice(0, other);
      page = page.slice(own.length);
      if (own.length > 0) yield own;
      if (other >= 0) return;
    }
  }
  try {
    let isEmpty = true;
    while (await more()) {
      const label = labelOf(page[0] as ActionRow);
      yield sheetOf(label, columns, ofYear(label));
      isEmpty = false;
    }
    if (isEmpty) yield sheetOf('Actions', columns, ofYear(''));
  } finally {
    await pages.return(undefined);
  }
}
