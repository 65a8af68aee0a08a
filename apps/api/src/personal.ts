/**
 * Personal data at the HTTP edge: whatever is answered is looked through for sealed texts, and shows them as the caller may see them.
 * Hides where in an answer they stand. Guarantees that a route which knows nothing of persons shows nobody's data to a key without the
 * scope `personal`, and that what was opened is told to the log of user actions.
 */
import { Readable, Transform } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { LedgerError } from '#domain';
import { type Opened, type Presentation, presentationOf, presentations, type Scope, type Service } from '#ledger';

declare module 'fastify' {
  interface FastifyRequest {
    /** How texts about persons are shown in the answer; null outside of the API. */
    presentation: Presentation | null;
  }
}

/** Routes that show events as they are stored and hashed: there sealed texts stay what they are unless something else is asked for. */
const asStored = /\/(?:events|streams\/:aggregateType\/:aggregateId|audit-pack)$/;

export function presentPersonal(fastify: FastifyInstance, service: Service): void {
  fastify.decorateRequest('presentation', null);
  fastify.decorateRequest('opened', null);
  fastify.addHook('preHandler', (request, _reply, done) => {
    const route = request.routeOptions.url;
    if (route?.startsWith('/v1/')) {
      const header = request.headers['personal-data'];
      const asked = presentationOf(typeof header === 'string' ? header : undefined);
      if (asked === undefined) {
        const message = `the header Personal-Data is ${String(header).slice(0, 40)}, not one of ${presentations.join(', ')}`;
        return done(new LedgerError('malformed', message, { member: 'Personal-Data' }));
      }
      if (asked === 'open' && !mayOpen(request)) return done(lacks(request, 'personal', 'read personal data'));
      request.presentation = header === undefined && asStored.test(route) ? 'sealed' : asked;
      request.opened = { texts: 0, subjects: new Set() };
    }
    done();
  });
  fastify.addHook('preSerialization', (request, _reply, payload, done) => {
    const { presentation } = request;
    if (presentation === null || typeof payload !== 'object' || payload === null || payload instanceof Readable) return done(null, payload);
    service.personal.reveal(bookOf(request), payload, presentation, request.opened as Opened).then(
      (shown) => done(null, shown),
      (error: Error) => done(error),
    );
  });
  fastify.addHook('onSend', (request, reply, payload, done) => {
    const { presentation } = request;
    const format = presentation === null || reply.statusCode >= 400 ? undefined : formatOf(reply);
    if (format === undefined || presentation === null || request.method === 'POST') return done(null, payload);
    const reveal = (text: string): Promise<string> =>
      service.personal.revealText(bookOf(request), text, format, presentation, request.opened as Opened);
    if (payload instanceof Readable) return done(null, presentation === 'sealed' ? payload : revealed(payload, reveal));
    if (typeof payload !== 'string') return done(null, payload);
    reveal(payload).then(
      (shown) => {
        if (shown !== payload) reply.removeHeader('content-length');
        done(null, shown);
      },
      (error: Error) => done(error),
    );
  });
}

const bookOf = (request: FastifyRequest): string => (request.params as { readonly book?: string }).book ?? '';

function formatOf(reply: FastifyReply): 'json' | 'csv' | undefined {
  const type = String(reply.getHeader('content-type') ?? '');
  if (/^(?:application\/json|application\/x-ndjson|application\/jsonl)\b/.test(type)) return 'json';
  return type.startsWith('text/csv') ? 'csv' : undefined;
}

/** A text that comes in pieces, by whole lines: no sealed text and no cell without quotes goes beyond one. */
function revealed(stream: Readable, reveal: (text: string) => Promise<string>): Readable {
  let rest = '';
  const lines = new Transform({
    transform(chunk: Buffer | string, _encoding, done) {
      const text = rest + chunk.toString();
      // The quoted cell of a CSV row may hold line ends: a piece ends where quotes are even.
      let end = text.lastIndexOf('\n') + 1;
      while (end > 0 && oddQuotes(text.slice(0, end))) end = text.lastIndexOf('\n', end - 2) + 1;
      rest = text.slice(end);
      if (end === 0) return done();
      reveal(text.slice(0, end)).then((shown) => done(null, shown), done);
    },
    flush(done) {
      if (rest === '') return done();
      reveal(rest).then((shown) => done(null, shown), done);
    },
  });
  stream.on('error', (error) => lines.destroy(error));
  lines.on('close', () => stream.destroy());
  return stream.pipe(lines);
}

const oddQuotes = (text: string): boolean => (text.match(/"/g)?.length ?? 0) % 2 === 1;

/** What exports are asked with. */
export const personalOf = ({ presentation, opened }: FastifyRequest): { readonly personal: Presentation; readonly opened?: Opened } => ({
  personal: presentation ?? 'masked',
  ...(opened === null ? {} : { opened }),
});

const mayOpen = (request: FastifyRequest): boolean => request.caller.scopes.includes('personal');

const lacks = (request: FastifyRequest, scope: Scope, what: string): LedgerError =>
  new LedgerError('forbidden', `the API key ${request.caller.name} may not ${what}: it lacks the scope ${scope}`);

/** @throws LedgerError forbidden */
export function checkScope(request: FastifyRequest, scope: Scope, what: string): void {
  if (!request.caller.scopes.includes(scope)) throw lacks(request, scope, what);
}
