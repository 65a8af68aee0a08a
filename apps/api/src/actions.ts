/**
 * User actions at the HTTP edge: makes an action of every request that is to be recorded, and holds its answer back until that is
 * committed. Hides which routes are what. Guarantees that nothing of ours leaves unrecorded: where the log of actions cannot be
 * written the answer is 503, whatever it was; and that texts which somebody typed are handed on as such.
 */
import { finished, pipeline, Readable, Transform } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { LedgerError } from '#domain';
import {
  type Action,
  type ActionOutcome,
  askedMember,
  isImpersonal,
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
    acted: {
      action?: string;
      /** Of a stream what was given until now. */
      rows?: number | (() => number);
      position?: number;
      replayed?: true;
      code?: string;
      /** Entries of a batch that were refused. */
      refused?: number;
      /** The book that was opened. */
      book?: string;
    } | null;
    /** Personal texts that were opened for it so far. */
    opened: Opened | null;
  }
}

/** Reads that show so much of the books that each is recorded, by what the route says behind the book. */
const reports =
  /^(?:reports\/.*|parties.*|accounts\/:code\/(?:statement|settlement)|balances|journal-entries|events|streams\/.*|exports\/.*|audit-pack|actions.*)$/;

/**
 * Logins that failed and are recorded each for itself: so many at once, then one in so many milliseconds. Of all others, how many, this often, by
 * the places where they came from, so many places; those of further places together.
 */
const logins = { atOnce: 20, refillMs: 10_000, tellMs: 10_000, places: 100 } as const;

export function recordActions(fastify: FastifyInstance, service: Service): void {
  const { ACTIONS } = service.config;
  if (ACTIONS === 'off') return;
  const flood = new Flood(service);
  fastify.addHook('onClose', () => flood.tell());
  fastify.decorateRequest('acted', null);
  // Of commands their own handler says so, with all else that is wrong with them.
  fastify.addHook('preHandler', (request, _reply, done) => {
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    const wrong =
      isRead && request.caller !== undefined
        ? ['On-Behalf-Of', 'X-Correlation-Id'].find((name) => isUnprintable(request, name))
        : undefined;
    done(
      wrong === undefined
        ? undefined
        : new LedgerError('text_invalid', `header ${wrong} must be 1 to 255 printable ASCII characters`, { member: wrong }),
    );
  });
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
      (id) => done(null, streamed === undefined ? payload : counted(streamed, action, id, request, reply, service)),
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

/** The stream, counted: that all of it was sent, or was not, is an action that nobody waits for. */
function counted(
  stream: Readable,
  action: Action,
  begunAs: string,
  request: FastifyRequest,
  reply: FastifyReply,
  service: Service,
): Readable {
  let bytes = 0;
  const counter = new Transform({
    transform(chunk: Buffer | string, _encoding, done) {
      bytes += Buffer.byteLength(chunk);
      done(null, chunk);
    },
  });
  const ended = (error: Error | null | undefined): void => {
    const outcome: ActionOutcome = error === null || error === undefined ? 'done' : 'broken_off';
    const said = { ...action.said, outcome, bytes, begunAs, rows: rowsOf(request), opened: openedBy(request.opened) };
    service.actions
      .record({ ...action, said })
      .catch((failure: Error) => request.log.error({ err: failure }, 'the end of a read is not recorded'));
  };
  // What was made is not yet what was sent: whoever reads slowly may never take the rest.
  pipeline(stream, counter, (error) => {
    if (error === null || error === undefined) finished(reply.raw, { readable: false }, ended);
    else ended(error);
  });
  return counter;
}

const rowsOf = ({ acted }: FastifyRequest): number | undefined => (typeof acted?.rows === 'function' ? acted.rows() : acted?.rows);

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
  const rows = typeof acted?.rows === 'function' ? undefined : acted?.rows;
  const answered = status >= 400 ? 'refused' : rows === 0 ? 'empty' : 'found';
  // What is malformed or unknown may be anything that somebody typed; what was refused by the rules of the books was found.
  const isKnown = status !== 400 && status !== 404 && !denied;
  const filter = [
    ...(acted?.book === undefined ? [] : [{ key: 'book', value: acted.book, typed: status >= 400 }]),
    ...Object.entries(params).map(([key, value]) => ({
      key: key === '*' ? 'path' : key,
      value: String(value),
      typed: !isKnown && !isImpersonal(String(value)),
    })),
    ...(isRead ? asked(request.query as Readonly<Record<string, unknown>>, answered) : []),
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
      outcome: acted?.refused === undefined ? outcomeOf(status) : (rows ?? 0) > 0 ? 'partly' : 'refused',
      status,
      code: problem ?? (acted?.refused === undefined ? undefined : acted.code),
      refused: acted?.refused,
      position: acted?.position,
      rows,
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

const asked = (
  query: Readonly<Record<string, unknown>>,
  answered: Parameters<typeof askedMember>[2],
): NonNullable<Action['filter']>[number][] =>
  Object.entries(query).flatMap(([name, values]) =>
    // A cursor holds nothing that the first page was not asked for.
    name === 'cursor' ? [] : [values].flat().map((value) => askedMember(name, value, answered)),
  );

const isUnprintable = ({ headers }: FastifyRequest, name: string): boolean => {
  const header = headers[name.toLowerCase()];
  return header !== undefined && printed(header) === undefined;
};

const printed = (header: string | string[] | undefined): string | undefined =>
  typeof header === 'string' && /^[\x20-\x7e]{1,255}$/.test(header) ? header : undefined;

/** Strangers must not be able to fill the log: those beyond what logins allows are recorded by their number, place by place. */
class Flood {
  private left: number = logins.atOnce;
  private refilled = performance.now();
  /** By place; the first action of it says the rest. */
  private counted = new Map<string, { readonly first: Action; times: number }>();
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
    this.count(action, 1);
    return true;
  }

  private count({ ip, userAgent, ...action }: Action, times: number): void {
    const place = JSON.stringify([ip, userAgent]);
    const isOne = this.counted.has(place) || this.counted.size < logins.places;
    const known = this.counted.get(isOne ? place : '');
    if (known === undefined) this.counted.set(isOne ? place : '', { first: isOne ? { ip, userAgent, ...action } : action, times });
    else known.times += times;
  }

  /** Records the numbers of those that were only counted; resolves when that was tried. What could not be recorded is counted on. */
  async tell(): Promise<void> {
    const { counted } = this;
    clearTimeout(this.telling);
    this.telling = undefined;
    this.counted = new Map();
    await Promise.all(
      [...counted.values()].map(({ first, times }) =>
        this.service.actions.record({ ...first, said: { ...first.said, times } }).catch(() => {
          this.count(first, times);
          this.telling ??= setTimeout(() => void this.tell(), logins.tellMs).unref();
        }),
      ),
    );
  }
}
