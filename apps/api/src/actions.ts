/**
 * User actions at the HTTP edge: makes an action of every request that is to be recorded, and holds its answer back until that is
 * committed. Hides which routes are what. Guarantees that nothing of ours leaves unrecorded: where the log of actions cannot be
 * written the answer is 503, whatever it was; and that texts which somebody typed are handed on as such.
 */
import { pipeline, Readable, Transform } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { LedgerError } from '#domain';
import {
  type Action,
  type ActionOutcome,
  ledgerErrorOf,
  type Opened,
  openedBy,
  problemBody,
  rowsIn,
  type Service,
  statusOf,
} from '#ledger';

declare module 'fastify' {
  interface FastifyRequest {
    /** What handlers say of a request that nothing else tells. */
    acted: { action?: string; rows?: number; position?: number; replayed?: true; code?: string } | null;
    /** Personal texts that were opened for it so far. */
    opened: Opened | null;
  }
}

/** Reads that show so much of the books that each is recorded, by what the route says behind the book. */
const reports =
  /^(?:reports\/.*|parties.*|accounts\/:code\/(?:statement|settlement)|balances|journal-entries|events|streams\/.*|exports\/.*|audit-pack|actions.*)$/;

/** Parameters whose values are dates, numbers, codes and words of ours. What else somebody sends may be a name. */
const structured = new Set(
  (
    'account asOf after carry closing columns compare currency digits entryType fiscalYear format from fromPosition includeZero journalCode kind knownAt ' +
    'limit number outcome period rateType reportVersion since sort tests to userId view'
  ).split(' '),
);
/** Parameters of ours that hold what somebody typed; what else is sent may itself be a name. */
const free = new Set(
  (
    'about action depth descriptionLength dimension duplicateDays duplicateMinimum fx id in nightHours onBehalfOf placeholders rareUserEntries ' +
    'rareUserPercent rateDate reference roundMinimum roundZeros weekendDays'
  ).split(' '),
);

/** Logins that failed and are recorded each for itself: so many at once, then one in so many milliseconds. Of all others, how many, this often. */
const logins = { atOnce: 20, refillMs: 10_000, tellMs: 10_000 } as const;

export function recordActions(fastify: FastifyInstance, service: Service): void {
  const { ACTIONS } = service.config;
  if (ACTIONS === 'off') return;
  const flood = new Flood(service);
  fastify.addHook('onClose', () => flood.tell());
  fastify.decorateRequest('acted', null);
  // What handlers return goes by here before it becomes text; commands and reports send text.
  fastify.addHook('preSerialization', (request, _reply, payload, done) => {
    if (typeof payload === 'object' && payload !== null && !(payload instanceof Readable)) {
      const { position } = payload as { readonly position?: unknown };
      request.acted = { rows: rowsIn(payload), position: typeof position === 'number' ? position : undefined, ...request.acted };
    }
    done(null, payload);
  });
  fastify.addHook('onSend', (request, reply, payload, done) => {
    const action = actionOf(request, reply, ACTIONS === 'all');
    if (action === undefined) return done(null, payload);
    if (action.said.kind === 'login' && flood.takes(action)) return done(null, payload);
    if (action.said.outcome === 'failed') {
      // It says nothing of the books; and where the database is down, whoever waits should hear so.
      service.actions.record(action).catch((error: Error) => request.log.warn({ err: error }, 'a request that failed is not recorded'));
      return done(null, payload);
    }
    const streamed = payload instanceof Readable ? payload : undefined;
    service.actions.record(streamed === undefined ? action : { ...action, said: { ...action.said, outcome: 'begun' } }).then(
      (id) => done(null, streamed === undefined ? payload : counted(streamed, action, id, request, service)),
      (error: unknown) => {
        streamed?.destroy();
        done(null, refused(reply, ledgerErrorOf(error)));
      },
    );
  });
}

function refused(reply: FastifyReply, error: LedgerError): string {
  for (const name of Object.keys(reply.getHeaders())) reply.removeHeader(name);
  reply
    .code(statusOf(error.kind))
    .header('Content-Type', 'application/problem+json')
    .header('Retry-After', String(error.details.retryAfter ?? 1));
  return problemBody(error);
}

/** The stream, counted: its end, or that it did not come to one, is an action that nobody waits for. */
function counted(stream: Readable, action: Action, begunAs: string, request: FastifyRequest, service: Service): Readable {
  let bytes = 0;
  const counter = new Transform({
    transform(chunk: Buffer | string, _encoding, done) {
      bytes += chunk.length;
      done(null, chunk);
    },
  });
  pipeline(stream, counter, (error) => {
    const outcome: ActionOutcome = error === null || error === undefined ? 'done' : 'broken_off';
    const said = { ...action.said, outcome, bytes, begunAs, rows: request.acted?.rows, opened: openedBy(request.opened) };
    service.actions
      .record({ ...action, said })
      .catch((failure: Error) => request.log.error({ err: failure }, 'the end of a read is not recorded'));
  });
  return counter;
}

function actionOf(request: FastifyRequest, reply: FastifyReply, all: boolean): Action | undefined {
  const { method, caller, acted, headers } = request;
  const { statusCode: status } = reply;
  const route = request.routeOptions.url;
  const isRead = method === 'GET' || method === 'HEAD';
  if (caller === undefined) {
    // Open routes have no caller either, and refuse nobody.
    if (status !== 401) return undefined;
    return {
      source: 'REST',
      ...placeOf(request),
      said: { kind: 'login', action: 'authenticate', outcome: 'denied', status, code: 'unauthenticated' },
    };
  }
  if (route === undefined || !route.startsWith('/v1/')) return undefined;
  const named = route.replace(/^\/v1\/(?:books\/:book\/)?/, '');
  const denied = status === 403;
  const opens = request.opened !== null && request.opened.texts > 0;
  if (isRead && !all && !denied && !opens && !reports.test(named)) return undefined;
  const { book, ...params } = request.params as Readonly<Record<string, string>>;
  // What is malformed or unknown may be anything that somebody typed.
  const typed = status === 400 || status === 404 || denied;
  const filter = [
    ...Object.entries(params).map(([key, value]) => ({ key: key === '*' ? 'path' : key, value: String(value), typed })),
    ...(isRead ? asked(request.query as Readonly<Record<string, unknown>>, status) : []),
    ...(request.presentation === 'open' ? [{ key: 'personal', value: 'open' }] : []),
  ];
  const problem = status >= 400 ? acted?.code : undefined;
  return {
    bookId: book,
    userId: caller.id,
    onBehalfOf: printed(headers['on-behalf-of']),
    source: 'REST',
    correlationId: printed(headers['x-correlation-id']) ?? request.id,
    commandKey: isRead ? undefined : printed(headers['idempotency-key']),
    ...placeOf(request),
    filter: filter.length === 0 ? undefined : filter,
    said: {
      kind: isRead ? 'read' : 'command',
      action: acted?.action ?? nameOf(method, named, isRead),
      outcome: outcomeOf(status),
      status,
      code: problem,
      position: acted?.position,
      rows: acted?.rows,
      replayed: acted?.replayed,
      opened: openedBy(request.opened),
    },
  };
}

const placeOf = (request: FastifyRequest): Pick<Action, 'ip' | 'userAgent'> => ({
  ip: request.ip.slice(0, 64),
  userAgent: request.headers['user-agent']?.slice(0, 500),
});

/** `reports/trial-balance` is trial-balance, `accounts/:code/statement` statement, `exports/:format` exports. */
function nameOf(method: string, named: string, isRead: boolean): string {
  if (!isRead) return `${method} ${named}`;
  const parts = named.split('/').filter((part) => !part.startsWith(':') && part !== '*');
  return parts.at(-1) ?? named;
}

function outcomeOf(status: number): ActionOutcome {
  if (status < 400) return 'done';
  if (status === 403) return 'denied';
  return status >= 500 || status === 429 ? 'failed' : 'refused';
}

/** What nobody is called: a date, an instant, a number, an id. */
const impersonal = /^(?:[\d.:+TZ-]{1,40}|[0-9a-f-]{36})$/;

function asked(query: Readonly<Record<string, unknown>>, status: number): NonNullable<Action['filter']>[number][] {
  return Object.entries(query).flatMap(([name, values]) => {
    // Holds nothing that the first page was not asked for.
    if (name === 'cursor') return [];
    const key = structured.has(name) || free.has(name) ? name : '(another)';
    return [values].flat().map((value) => {
      const text = String(value).slice(0, 1_000);
      // What was not answered may be no code or word of ours but whatever somebody typed; and what has blanks is no id.
      const isWord = structured.has(name) && (status < 400 ? name !== 'userId' || !/\s/.test(text) : impersonal.test(text));
      return { key, value: text, typed: !isWord };
    });
  });
}

const printed = (header: string | string[] | undefined): string | undefined =>
  typeof header === 'string' && /^[\x20-\x7e]{1,255}$/.test(header) ? header : undefined;

/** Strangers must not be able to fill the log: those beyond what logins allows are recorded by their number. */
class Flood {
  private left: number = logins.atOnce;
  private refilled = performance.now();
  private counted = 0;
  private first: Action | undefined;
  private telling: NodeJS.Timeout | undefined;

  constructor(private readonly service: Service) {}

  /** Whether this one is only counted. */
  takes(action: Action): boolean {
    const more = Math.floor((performance.now() - this.refilled) / logins.refillMs);
    this.left = Math.min(logins.atOnce, this.left + more);
    this.refilled += more * logins.refillMs;
    if (this.left > 0) {
      this.left--;
      return false;
    }
    this.telling ??= setTimeout(() => void this.tell(), logins.tellMs);
    this.first ??= action;
    this.counted++;
    return true;
  }

  /** Records the number of those that were only counted; resolves when that was tried. */
  async tell(): Promise<void> {
    const { first, counted: times } = this;
    clearTimeout(this.telling);
    this.telling = undefined;
    this.first = undefined;
    this.counted = 0;
    if (first === undefined) return;
    // Whoever failed was answered already.
    await this.service.actions.record({ ...first, said: { ...first.said, times } }).catch(() => {});
  }
}
