/**
 * The edge: what happens to a request before any route of ours sees it, and after. Hides Fastify's hooks. Guarantees that
 * nothing is read of a body whose sender is unknown, that bodies are strict JSON within their limits, and that every request
 * leaves one line in the log which holds no header and no body.
 */
import { randomUUID } from 'node:crypto';
import { maxHeaderSize } from 'node:http';
import type { Socket } from 'node:net';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { LedgerError } from '#domain';
import { type ApiKey, type Config, type Log, problemBody, type Service } from '#ledger';
import { recordActions } from './actions';
import { BodyBudget, type Reservation } from './body-budget';
import { presentPersonal } from './personal';
import { sendProblem } from './problem.filter';
import { readJson } from './strict-json';

declare module 'fastify' {
  interface FastifyRequest {
    /** Whose API key came with the request; set on every route but the open ones. */
    caller: ApiKey;
    /** Room for the body, as long as the connection or a command needs it; null where nothing is sent. */
    room: Reservation | null;
  }
}

/** An account code of 120 characters outside ASCII, percent-encoded. */
const paramLengthMax = 120 * 12;

/** A caller that does not send the rest of its request is cut off: it keeps room that others wait for. */
const requestTimeoutMs = 120_000;

const closeIdleMs = 20;
const closeAllMs = 5_000;

/**
 * An adapter for one Nest application; `skipMiddie` because nothing here is an Express middleware.
 * @param config whose word is taken for where a request comes from
 */
export function createAdapter({ TRUST_PROXY }: Pick<Config, 'TRUST_PROXY'> = { TRUST_PROXY: 'off' }): FastifyAdapter {
  return new FastifyAdapter({
    trustProxy: trusted(TRUST_PROXY),
    skipMiddie: true,
    requestTimeout: requestTimeoutMs,
    routerOptions: { maxParamLength: paramLengthMax },
    genReqId: () => randomUUID(),
    // While it shuts down the server still answers what comes in on open connections.
    return503OnClosing: false,
    clientErrorHandler: answerClientError,
    frameworkErrors(_error: Error, request: FastifyRequest, reply: FastifyReply) {
      sendProblem(reply, new LedgerError('malformed', `the URL cannot be decoded: ${request.raw.url}`));
    },
  });
}

/** What Fastify takes: nobody, a number of proxies in a row, or addresses and networks. */
const trusted = (setting: string): false | number | string =>
  setting === 'off' ? false : /^\d+$/.test(setting) ? Number(setting) : setting;

/** What Node.js could not read as HTTP never becomes a request; it is answered here, and the connection ends. */
function answerClientError(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code !== 'ECONNRESET' && socket.writable) {
    const large = error.code === 'HPE_HEADER_OVERFLOW';
    const body = problemBody(
      large
        ? new LedgerError('too_large', `the request line and headers have more than ${maxHeaderSize} bytes`, { limit: maxHeaderSize })
        : new LedgerError(
            'malformed',
            error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'the request did not end in time' : 'this is not HTTP/1.1',
          ),
    );
    const head = `Content-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close`;
    socket.write(`HTTP/1.1 400 Bad Request\r\n${head}\r\n\r\n${body}`);
  }
  socket.destroy(error);
}

/** Called before any route exists, since limits hang on routes. */
export function guardEdge(adapter: FastifyAdapter, service: Service, log: Log): void {
  const fastify: FastifyInstance = adapter.getInstance();
  const { ENTRY_BYTES, BATCH_BYTES, BODIES_MB, HTTP_CONNECTIONS } = service.config;
  const budget = new BodyBudget(BODIES_MB * 1024 * 1024);
  fastify.server.maxConnections = HTTP_CONNECTIONS;

  fastify.addHook('onRoute', (route) => {
    route.bodyLimit = route.url.endsWith('/batch') ? BATCH_BYTES : ENTRY_BYTES;
  });

  fastify.removeAllContentTypeParsers();
  // By the adapter, which then adds no parsers of Nest's own.
  adapter.useBodyParser('application/json', false, {}, ({ headers }: FastifyRequest, body: Buffer, done) => {
    try {
      const encoding = headers['content-encoding'] ?? 'identity';
      if (encoding !== 'identity')
        throw new LedgerError('malformed', `Content-Encoding: ${encoding} is not understood; send the body uncompressed`);
      done(null, readJson(body));
    } catch (error) {
      done(error as Error);
    }
  });

  fastify.decorateRequest('caller');
  fastify.decorateRequest('room', null);
  fastify.addHook('onRequest', (request, _reply, done) => {
    if (isOpen(request, service.config)) return done();
    const secret = secretOf(request);
    const known = secret === undefined ? undefined : service.keys.recent(secret);
    if (known === undefined) return void authenticate(request, service, secret).then(() => done(), done);
    request.caller = known;
    done();
  });
  // After the one above: strangers get no room.
  fastify.addHook('onRequest', (request, reply, done) => {
    const size = announced(request);
    // Whoever hung up while the key was looked up closes nothing any more.
    if (size === 0 || request.raw.destroyed || request.raw.socket.destroyed) return done();
    try {
      const { book } = request.params as { readonly book?: string };
      const room = budget.take(size, book);
      request.room = room;
      reply.raw.once('close', () => room.letGo());
      done();
    } catch (error) {
      done(error as Error);
    }
  });
  presentPersonal(fastify, service);
  recordActions(fastify, service);
  // A reply that stands behind another one on its connection never closes when that is cut.
  fastify.addHook('onSend', (request, _reply, _payload, done) => {
    request.room?.letGo();
    done();
  });

  // A connection that was busy when the server closed stays open after its answer, and the server would wait for it; one
  // that never sends the rest of its request is cut.
  fastify.addHook('preClose', async () => {
    const idle = setInterval(() => fastify.server.closeIdleConnections(), closeIdleMs);
    const late = setTimeout(() => fastify.server.closeAllConnections(), closeAllMs);
    fastify.server.once('close', () => {
      clearInterval(idle);
      clearTimeout(late);
    });
  });

  fastify.addHook('onResponse', (request, reply, done) => {
    const level = reply.statusCode >= 500 ? 'error' : 'info';
    log[level](
      {
        reqId: request.id,
        method: request.method,
        // Without its query: what was looked for may be somebody's name. The log of user actions has it, hashed where it may be one.
        url: request.url.split('?', 1)[0],
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime * 10) / 10,
        userId: request.caller?.id,
      },
      'request',
    );
    done();
  });
}

/** What anyone may see: whether the service lives, and how to talk to it. */
function isOpen({ routeOptions: { url } }: FastifyRequest, { METRICS_ACCESS }: Pick<Config, 'METRICS_ACCESS'>): boolean {
  if (url === '/metrics') return METRICS_ACCESS === 'open';
  return (
    url !== undefined &&
    (url.startsWith('/health/') || url === '/openapi.json' || url === '/docs' || url.startsWith('/docs/') || url.startsWith('/docs-'))
  );
}

/** Bytes that the body may have; 0 for one that is refused unread because it is too large. */
function announced({ headers, routeOptions: { bodyLimit = 0 } }: FastifyRequest): number {
  const length = headers['content-length'];
  if (length !== undefined) return Number(length) <= bodyLimit ? Number(length) : 0;
  return headers['transfer-encoding'] === undefined ? 0 : bodyLimit;
}

function secretOf({ headers: { authorization } }: FastifyRequest): string | undefined {
  return authorization === undefined ? undefined : /^bearer ([^ ]+)$/i.exec(authorization)?.[1];
}

/** @throws LedgerError unauthenticated */
async function authenticate(request: FastifyRequest, { keys }: Service, secret: string | undefined): Promise<void> {
  const known = secret === undefined ? undefined : await keys.verify(secret);
  if (known === undefined) {
    const what = request.headers.authorization === undefined ? 'no API key came with the request' : 'the API key is unknown or revoked';
    throw new LedgerError('unauthenticated', `${what}; send Authorization: Bearer KEY`);
  }
  request.caller = known;
}
