/**
 * Connections to PostgreSQL, and what an error on one of them means.
 *
 * Hides node-pg: URLs that name several hosts (it cannot read them), standbys (it ignores target_session_attrs), its
 * parsers that turn 8-byte integers into strings and dates into `Date` objects, and its errors without a code.
 * Guarantees that every session speaks UTC and ISO dates, that a connection asked for writing stands on a primary, and
 * that no value loses precision: what does not fit a JS number exactly is an error or stays text.
 *
 * Error classes follow https://www.postgresql.org/docs/current/errcodes-appendix.html.
 */
import { Client, type ClientBase, type ClientConfig, Pool, type PoolClient, types } from 'pg';

/** How to connect. */
export interface ConnectOptions {
  /** Refuse a standby or a read-only server, and go on to the next host of the URL. Default true. */
  primary?: boolean;
  /**
   * Send each query as soon as it is given, without waiting for the answers before it; every query keeps its own Sync,
   * so it is its own SQL transaction and an error in one does not touch the next. For the writer: its statements are
   * large, and the server keeps the memory of one for the next. Default false.
   */
  pipeline?: boolean;
  /** Milliseconds for one host to accept the connection. Default 5,000; with several hosts 1,000 each. */
  connectTimeoutMs?: number;
  /** Milliseconds after which the server cancels a statement. Default: the server's setting. */
  statementTimeoutMs?: number;
}

/** How many connections a pool holds, and how each is opened. */
export interface PoolOptions extends Omit<ConnectOptions, 'pipeline'> {
  /** Milliseconds after which a query without an answer fails and its connection is given up. Default: never. */
  queryTimeoutMs?: number;
  /** The most connections at one time. */
  max: number;
  /** Milliseconds an unused connection is kept. Default 30,000. */
  idleTimeoutMs?: number;
  /** Told of a connection that failed while nobody used it; the pool has already dropped it. Default: silence. */
  onIdleError?: (error: Error) => void;
}

/**
 * Opens one connection, trying the hosts of the URL in turn.
 *
 * @param url `postgres://user:password@host:port[,host:port…]/database?…`; `application_name` in it wins over `book-keeper`
 * @returns a connected client; the caller ends it, and hears of its loss by the client's `error` event (a listener is
 *   attached already, so that a lost idle connection never stops the process)
 * @throws the last host's error when no host would do
 */
export async function connect(url: string, options: ConnectOptions = {}): Promise<Client> {
  const hosts = splitHosts(url);
  let failure: unknown;
  for (const host of hosts) {
    const client = new Client({
      ...clientConfig(host, hosts.length, options),
      // The session is prepared by a query whose answer is awaited before the client is handed out.
      pipeline: options.pipeline ?? false,
    });
    client.on('error', () => {});
    try {
      await client.connect();
      await prepareSession(client, options);
      return client;
    } catch (error) {
      failure = error;
      await client.end().catch(() => {});
    }
  }
  throw failure;
}

/** Ends a connection without waiting for what is under way on it: every query of it fails as on a lost connection. */
export function endAtOnce(client: Client): void {
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}

/**
 * A pool of connections with the same parsers and checks. Each new connection goes to the host that served last; when it
 * fails there, the other hosts of the URL are tried before the caller hears of it.
 *
 * @param url as for {@link connect}
 * @returns the pool; the caller ends it
 */
export function openPool(url: string, options: PoolOptions): Pool {
  const pool = new PrimaryPool(splitHosts(url), options);
  pool.on('error', (error) => options.onIdleError?.(error));
  return pool;
}

/** The host that a pool's connections go to now: all of them move when one finds that it is no primary any more. */
class PrimaryPool extends Pool {
  private static pick(hosts: readonly string[], options: PoolOptions, current: { index: number }) {
    return class extends Client {
      constructor() {
        super(clientConfig(hosts[current.index % hosts.length] as string, hosts.length, options));
        // While a connection is lent out the pool does not listen, and one that is lost between two queries would end the
        // process. Whoever has it hears of the loss by the next query.
        this.on('error', () => {});
      }
    };
  }

  private readonly current: { index: number };

  constructor(
    private readonly hosts: readonly string[],
    options: PoolOptions,
  ) {
    const current = { index: 0 };
    super({
      max: options.max,
      idleTimeoutMillis: options.idleTimeoutMs ?? 30_000,
      Client: PrimaryPool.pick(hosts, options, current),
      // Awaited by the pool before the client is handed out; the published type has only the synchronous form.
      onConnect: (client: ClientBase) => prepareSession(client, options),
    });
    this.current = current;
  }

  override connect(): Promise<PoolClient>;
  override connect(
    callback: (error: Error | undefined, client: PoolClient | undefined, done: (release?: Error | boolean) => void) => void,
  ): void;
  override connect(
    callback?: (error: Error | undefined, client: PoolClient | undefined, done: (release?: Error | boolean) => void) => void,
  ): Promise<PoolClient> | undefined {
    const client = this.connectToAnyHost();
    if (!callback) return client;
    client.then(
      (opened) => callback(undefined, opened, opened.release.bind(opened)),
      (error: Error) => callback(error, undefined, () => {}),
    );
    return undefined;
  }

  private async connectToAnyHost(): Promise<PoolClient> {
    for (let attempt = 1; ; attempt++) {
      const tried = this.current.index;
      try {
        return await super.connect();
      } catch (error) {
        if (attempt >= this.hosts.length || !isConnectionLost(error)) throw error;
        // Another caller may have moved on already; moving twice would skip a host.
        if (this.current.index === tried) this.current.index++;
      }
    }
  }
}

/**
 * Whether the connection that raised this error is gone or useless: drop it, find the primary anew, and treat the
 * outcome of whatever was under way as unknown.
 */
export function isConnectionLost(error: unknown): boolean {
  const { code, message } = errorParts(error);
  if (code !== undefined) return LOST_CODES.has(code) || /^(08|57P)/.test(code);
  return LOST_MESSAGES.some((text) => message.includes(text));
}

/**
 * Whether the same command, sent again with the same idempotency key, may succeed without anything else changing for its
 * sender: every lost connection, lock and serialisation conflicts, a shard that is moving, and what operators mend, such as
 * a full disk (class 53, insufficient resources; class 58, errors of the system under the server).
 */
export function isTransient(error: unknown): boolean {
  const { code, message } = errorParts(error);
  if (code !== undefined && (RETRY_CODES.has(code) || /^(53|58)/.test(code))) return true;
  if (code === 'XX000') return CITUS_RETRY_MESSAGES.some((text) => message.includes(text));
  return isConnectionLost(error);
}

/**
 * Whether the statement that failed may have been committed all the same: its keys must be looked up before anything is
 * decided again. False means that it certainly did nothing.
 */
export function isOutcomeUnknown(error: unknown): boolean {
  const { code, message } = errorParts(error);
  if (code === 'XX000') return message.includes(CITUS_COMMIT_LOST);
  // A server that refuses to start a session, or to write on a standby, has not executed anything.
  if (code === '25006' || code === '57P03' || code === 'ECONNREFUSED') return false;
  return isConnectionLost(error);
}

/** 25006: the server turned into a standby. The others are socket and name errors of the operating system. */
const LOST_CODES = new Set([
  '25006',
  '25P03',
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ERR_STREAM_DESTROYED',
]);

/** Serialisation failure, deadlock, lock not available, statement cancelled by its timeout. */
const RETRY_CODES = new Set(['40001', '40P01', '55P03', '57014']);

const CITUS_COMMIT_LOST = 'could not commit transaction for shard';
const CITUS_RETRY_MESSAGES = [CITUS_COMMIT_LOST, 'could not find valid entry for shard'];

/** node-pg's own errors carry no code. */
const LOST_MESSAGES = [
  'Connection terminated',
  'Query read timeout',
  'timeout expired',
  'timeout exceeded when trying to connect',
  'Client has encountered a connection error and is not queryable',
  'Client was closed and is not queryable',
];

function errorParts(error: unknown): { code: string | undefined; message: string } {
  if (typeof error !== 'object' || error === null) return { code: undefined, message: String(error) };
  const { code, message, errors } = error as { code?: unknown; message?: unknown; errors?: unknown };
  // Connecting to a name with several addresses fails with an AggregateError whose own code may be missing.
  const first = Array.isArray(errors) && code === undefined ? (errors[0] as { code?: unknown }) : undefined;
  const text = typeof code === 'string' ? code : typeof first?.code === 'string' ? first.code : undefined;
  return { code: text, message: typeof message === 'string' ? message : '' };
}

/** One URL per host; the authority part is cut by hand because `new URL` refuses a comma-separated list with ports. */
function splitHosts(url: string): string[] {
  const parts = /^(postgres(?:ql)?:\/\/(?:[^@/?#]*@)?)([^/?#]*)(.*)$/s.exec(url);
  if (!parts) throw new Error('the database URL must look like postgres://user:password@host:port/database');
  const [, before, hosts, after] = parts as unknown as [string, string, string, string];
  return hosts.split(',').map((host) => before + host + after);
}

function clientConfig(
  url: string,
  hostCount: number,
  options: Omit<ConnectOptions, 'pipeline'> & { queryTimeoutMs?: number },
): ClientConfig {
  return {
    connectionString: url,
    application_name: 'book-keeper',
    connectionTimeoutMillis: options.connectTimeoutMs ?? (hostCount > 1 ? 1_000 : 5_000),
    keepAlive: true,
    types: exactTypes,
    ...(options.statementTimeoutMs === undefined ? {} : { statement_timeout: options.statementTimeoutMs }),
    ...(options.queryTimeoutMs === undefined ? {} : { query_timeout: options.queryTimeoutMs }),
  };
}

/**
 * Settings by query and not by start-up option, because a connection pooler in between refuses unknown options.
 * jit off: the planner overestimates recursive look-ups by orders of magnitude, and compiled a balance query of 40 ms for 2 s.
 * enable_seqscan off: every statement of ours looks up by a key, and a plan that was made once, while a table had a page of rows,
 * read it whole for every row of a fold: 22 million rows for 2,700 entries, seconds of silence.
 * client_connection_check_interval: a session that waits for a lock does not notice that its client has given it up, and each one
 * that a stuck lock leaves behind is a connection less for everybody. PostgreSQL on Windows refuses the setting.
 */
async function prepareSession(client: ClientBase, options: Pick<ConnectOptions, 'primary' | 'pipeline'>): Promise<void> {
  const answer = await client.query<{ standby: boolean; read_only: string }>(
    `SELECT set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO, YMD', false), set_config('jit', 'off', false), set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false),
            (SELECT set_config('client_connection_check_interval', '1s', false) WHERE version() !~* 'visual c|msvc|mingw'),
            pg_is_in_recovery() AS standby, current_setting('transaction_read_only') AS read_only`,
  );
  const { standby, read_only } = answer.rows[0] as { standby: boolean; read_only: string };
  if (options.primary !== false && (standby || read_only === 'on')) {
    throw Object.assign(new Error(standby ? 'this server is a standby' : 'this server accepts no writes'), { code: '25006' });
  }
  if (options.pipeline) await client.query(keepMemory);
}

/**
 * Once a chunk of 16 MB was taken and given back, glibc serves chunks below that size from its heap and keeps up to 32 MB at the top
 * of it (mallopt(3), M_MMAP_THRESHOLD: both thresholds follow the largest chunk that was freed). Before that a session gives back
 * what a statement took beyond some megabytes and takes it anew for the next one, page fault by page fault: 133 to 185 us were
 * what the backend spent per entry on ten thousand accounts without it, 75 to 118 with it; on two hot accounts, whose batches
 * stay below, it changes nothing (AMD EPYC in a virtual machine where a fault costs microseconds; 2026-11-26). Half as much is
 * enough for the largest batch on PostgreSQL 18, not on 15. Where memory is managed in another way it is the work of a moment.
 * OFFSET 0 keeps the planner from making the text beforehand.
 */
const keepMemory = "SELECT octet_length(repeat(repeat(' ', 1024), n)) FROM (SELECT 16384 AS n OFFSET 0) AS once";

const TIMESTAMPTZ = /^(\d{4,})-(\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?\+00$/;

/** `2026-01-15 10:00:00.12+00` as PostgreSQL prints it becomes `2026-01-15T10:00:00.120000Z`. */
function parseInstant(text: string): string {
  const parts = TIMESTAMPTZ.exec(text);
  if (!parts) throw new Error(`not an instant of this calendar in UTC: ${text}`);
  return `${parts[1]}-${parts[2]}T${parts[3]}.${(parts[4] ?? '').padEnd(6, '0')}Z`;
}

function parseSafeInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`${text} is above 2^53 and cannot be a JS number; select it as text`);
  return value;
}

const same = (text: string): string => text;
/** node-pg's reader of one-dimensional arrays, by way of text[] (1009). */
const textArray = types.getTypeParser(1009 as number, 'text') as (text: string) => (string | null)[];
const arrayOf =
  <T>(parse: (text: string) => T) =>
  (text: string): (T | null)[] =>
    textArray(text).map((element) => (element === null ? null : parse(element)));

const parsers = new Map<number, (text: string) => unknown>([
  [20, parseSafeInteger], // int8
  [1016, arrayOf(parseSafeInteger)], // int8[]
  [1082, same], // date
  [1182, arrayOf(same)], // date[]
  [1114, same], // timestamp
  [1115, arrayOf(same)], // timestamp[]
  [1184, parseInstant], // timestamptz
  [1185, arrayOf(parseInstant)], // timestamptz[]
  [1700, same], // numeric
  [1231, arrayOf(same)], // numeric[]
]);

/** The parsers above, and node-pg's own for the rest; not registered globally, where another library would meet them. */
const exactTypes = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') => {
    const own = format === 'binary' ? undefined : parsers.get(oid);
    return own ?? types.getTypeParser(oid, format as 'text');
  }) as typeof types.getTypeParser,
};
