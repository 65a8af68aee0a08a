/**
 * Everything that is thrown becomes a problem document (RFC 9457) here and nowhere else: errors of ours as they are, those
 * of Fastify and Nest under the code that says the same, and what nobody expected as `internal`, whose cause is logged and
 * not told.
 */
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, HttpStatus } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { PinoLogger } from 'nestjs-pino';
import { LedgerError } from '#domain';
import { ledgerErrorOf, problemBody, statusOf } from '#ledger';

@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly log: PinoLogger) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<FastifyRequest>();
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    const status = statusIn(thrown);
    const error = status === undefined ? ledgerErrorOf(thrown) : ofFramework(thrown as Error, status, request);
    if (error.kind === 'internal' || error.kind === 'unavailable') {
      this.log.error({ err: error.cause ?? thrown, code: error.code, reqId: request.id }, error.message);
    }
    if (!reply.sent) sendProblem(reply, told(error));
  }
}

/** Where the master key is, and what the program of a KMS has printed, is for whoever runs the service: it stands in the log. */
const told = (error: LedgerError): LedgerError =>
  error.code === 'keys_unavailable' && error.cause !== undefined
    ? new LedgerError(error.code, 'keys of persons cannot be used now; the log of the service says why', error.details)
    : error;

/** The status of what Nest throws, and of what Fastify's plugins throw past it when a request is to blame. */
function statusIn(thrown: unknown): number | undefined {
  if (thrown instanceof HttpException) return thrown.getStatus();
  const status = thrown instanceof Error && !(thrown instanceof LedgerError) ? (thrown as { statusCode?: unknown }).statusCode : undefined;
  return typeof status === 'number' && status >= 400 && status < 500 ? status : undefined;
}

/** What the HTTP server and the framework refuse by themselves. */
function ofFramework(error: Error, status: number, request: FastifyRequest): LedgerError {
  switch (status) {
    // Of a file beside those that are served.
    case HttpStatus.FORBIDDEN:
    case HttpStatus.NOT_FOUND:
    case HttpStatus.METHOD_NOT_ALLOWED:
      return new LedgerError('route_unknown', `there is no ${request.method} ${request.url.split('?')[0]}`);
    case HttpStatus.PAYLOAD_TOO_LARGE: {
      const limit = request.routeOptions.bodyLimit ?? 0;
      return new LedgerError('too_large', `the body has more than ${limit} bytes, which is the limit here`, { limit });
    }
    case HttpStatus.UNSUPPORTED_MEDIA_TYPE:
      return new LedgerError('malformed', 'send the body as JSON, with Content-Type: application/json', { member: 'Content-Type' });
    case HttpStatus.BAD_REQUEST:
      return new LedgerError('malformed', error.message);
    default:
      return ledgerErrorOf(error);
  }
}

export function sendProblem(reply: FastifyReply, error: LedgerError): void {
  const { retryAfter } = error.details;
  reply.request.acted = { ...reply.request.acted, code: error.code };
  reply.code(statusOf(error.kind)).header('Content-Type', 'application/problem+json');
  if (retryAfter !== undefined) reply.header('Retry-After', String(retryAfter));
  if (error.kind === 'unauthenticated') reply.header('WWW-Authenticate', 'Bearer');
  reply.send(problemBody(error));
}
