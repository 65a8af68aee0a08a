/**
 * Personal data at the HTTP edge: whatever is answered is looked through for sealed texts, and shows them as the caller may see them.
 * Hides where in an answer they stand. Guarantees that a route which knows nothing of persons shows nobody's data to a key without the
 * scope `personal`, and that what was opened is told to the log of user actions.
 */
import { Readable, Transform } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
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

/** Routes whose answers are shown so by what makes them, text by text, and need no second look. */
const shownAlready = /\/(?:exports\/:format|parties\/:party\/report)$/;

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
      if (asked === 'open') {
        const refusal = refusesOpening(request, service);
        if (refusal !== undefined) return done(refusal);
      }
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
    if (shownAlready.test(request.routeOptions.url ?? '')) return done(null, payload);
    const reveal = (text: string): Promise<string> =>
      service.personal.revealText(bookOf(request), text, format, presentation, request.opened as Opened);
    if (payload instanceof Readable) return done(null, presentation === 'sealed' ? payload : revealed(payload, format, reveal));
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

/**
 * A text that comes in pieces: each is shown up to where no sealed text and no cell can go on, so that little is held back. Every character
 * is looked at once.
 */
function revealed(stream: Readable, format: 'json' | 'csv', reveal: (text: string) => Promise<string>): Readable {
  const decoder = new StringDecoder('utf8');
  const endOf = format === 'json' ? endInJson : endInCsv();
  let rest = '';
  const pieces = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const text = decoder.write(chunk);
      const end = endOf(text);
      const piece = rest + text.slice(0, end);
      rest = end === 0 ? piece : text.slice(end);
      if (end === 0) return done();
      reveal(piece).then((shown) => done(null, shown), done);
    },
    flush(done) {
      rest += decoder.end();
      if (rest === '') return done();
      reveal(rest).then((shown) => done(null, shown), done);
    },
  });
  stream.on('error', (error) => pieces.destroy(error));
  pieces.on('close', () => stream.destroy());
  return stream.pipe(pieces);
}

/** Behind the last quote or line end: there is neither in a sealed text, and whether a text is open or escaped does not matter. */
const endInJson = (text: string): number => Math.max(text.lastIndexOf('"'), text.lastIndexOf('\n')) + 1;

/** Behind the last line end that ends a row: a quoted cell may hold some of its own, so whether one is open is carried from piece to piece. */
function endInCsv(): (text: string) => number {
  let isOpen = false;
  return (text) => {
    let end = 0;
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      if (code === quote) isOpen = !isOpen;
      else if (code === lineEnd && !isOpen) end = index + 1;
    }
    return end;
  };
}

const [quote, lineEnd] = [0x22, 0x0a];

/** What exports are asked with. */
export const personalOf = ({ presentation, opened }: FastifyRequest): { readonly personal: Presentation; readonly opened?: Opened } => ({
  personal: presentation ?? 'masked',
  ...(opened === null ? {} : { opened }),
});

/** Why texts are not opened for this caller: who reads them has the scope, and it is recorded who did. */
function refusesOpening(request: FastifyRequest, { config }: Service): LedgerError | undefined {
  if (!request.caller.scopes.includes('personal')) return lacks(request, 'personal', 'read personal data');
  if (config.ACTIONS !== 'off') return undefined;
  return new LedgerError(
    'forbidden',
    'texts about persons are opened only where it is recorded who read them, and this service records no actions (ACTIONS=off): ask one that does',
  );
}

/** @throws LedgerError forbidden */
export function checkOpening(request: FastifyRequest, service: Service): void {
  const refusal = refusesOpening(request, service);
  if (refusal !== undefined) throw refusal;
}

const lacks = (request: FastifyRequest, scope: Scope, what: string): LedgerError =>
  new LedgerError('forbidden', `the API key ${request.caller.name} may not ${what}: it lacks the scope ${scope}`);

/** @throws LedgerError forbidden */
export function checkScope(request: FastifyRequest, scope: Scope, what: string): void {
  if (!request.caller.scopes.includes(scope)) throw lacks(request, scope, what);
}
