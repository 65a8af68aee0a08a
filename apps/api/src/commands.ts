/**
 * Commands over HTTP: from a request to a command on the CommandBus, and from its answer to the reply. Guarantees that a
 * request is judged as a whole (of everything that is wrong with it, the code that the error table names first is told), and
 * that an answer leaves as the very bytes that its receipt holds (I6).
 */
import { Injectable, type Provider, type Type } from '@nestjs/common';
import { CommandBus, CommandHandler } from '@nestjs/cqrs';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { bookIdForm, LedgerError, Refusals } from '#domain';
import { type Answer, type Command, type CommandContext, checkKey, type Scope, Service } from '#ledger';
import { CompiledBodies } from './compiled-bodies';
import { isUuid, validate } from './members';
import { Metrics } from './metrics';
import { checkScope } from './personal';
import { emptyBody, type JsonBody, textProblem } from './strict-json';

/** One operation of the API that changes a book. */
export interface CommandRoute<B extends object> {
  readonly body: new () => B;
  /** @param target account code, entry id, period (`2026/6`) or fiscal year of the path, where it has one */
  readonly command: (body: B, target: string) => Command;
  /** Whose keys may send it; any when absent. */
  readonly scope?: Scope;
  /** Notes what exceeds the limits of the configuration; called with a valid body only. */
  readonly limit?: (body: B, limits: Service['config'], refusals: Refusals, sent: JsonBody) => void;
  /** Where a created thing is found; `id` as the answer names it. */
  readonly location?: (created: { readonly book: string; readonly id: string; readonly command: Command }) => string;
}

/** What is on the bus: one class per type of command, because the bus finds handlers by class. */
abstract class Sent {
  constructor(
    readonly bookId: string,
    readonly command: Command,
    readonly context: CommandContext,
  ) {}
}

const commandTypes: readonly Command['type'][] = [
  'OpenBook',
  'DefineFiscalYear',
  'DefineJournal',
  'EnableCurrency',
  'DesignateAccount',
  'RecordRates',
  'ClosePeriod',
  'RequestReopening',
  'ApproveReopening',
  'DeclineReopening',
  'CloseFiscalYear',
  'Revalue',
  'OpenAccount',
  'RenameAccount',
  'ChangeAccountCode',
  'FreezeAccount',
  'UnfreezeAccount',
  'CloseAccount',
  'PostEntry',
  'PostEntries',
  'ReverseEntry',
  'CorrectEntry',
  'CreateDraft',
  'ReviseDraft',
  'SubmitDraft',
  'ApproveDraft',
  'RejectDraft',
  'DiscardDraft',
  'DefineRetention',
  'OpenParty',
  'ChangeParty',
  'CloseParty',
  'PlaceHold',
  'ReleaseHold',
  'ErasePerson',
];

const sentClasses = new Map<Command['type'], new (...sent: ConstructorParameters<typeof Sent>) => Sent>();

/** Handlers have nothing of their own to say: each hands its command to the ledger. */
function handlerOf(type: Command['type']): Type {
  const sent = { [type]: class extends Sent {} }[type] as unknown as new (...sent: ConstructorParameters<typeof Sent>) => Sent;
  sentClasses.set(type, sent);

  @CommandHandler(sent)
  class Handler {
    constructor(private readonly service: Service) {}

    execute({ bookId, command, context }: Sent): Promise<Answer> {
      return this.service.execute(bookId, command, context);
    }
  }
  Object.defineProperty(Handler, 'name', { value: `${type}Handler` });
  return Handler;
}

export const commandHandlers: readonly Provider[] = commandTypes.map(handlerOf);

@Injectable()
export class Commands {
  constructor(
    private readonly bus: CommandBus,
    private readonly service: Service,
    private readonly metrics: Metrics,
    private readonly bodies: CompiledBodies,
  ) {}

  /**
   * @throws LedgerError of all that is wrong with the request, what the error table names first; then what Ledger.execute
   *   throws. Remembered refusals are no errors: they are sent.
   */
  async run<B extends object>(route: CommandRoute<B>, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    // Whoever hangs up leaves a command behind that is still in memory.
    request.room?.begin();
    try {
      await this.carryOut(route, request, reply);
    } finally {
      request.room?.end();
    }
  }

  private async carryOut<B extends object>(route: CommandRoute<B>, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    if (route.scope !== undefined) checkScope(request, route.scope, 'do this');
    const params = request.params as PathParams;
    const refusals = new Refusals();
    const sent = (request.body as JsonBody | undefined) ?? emptyBody;
    const { value, finding } = sent;
    if (finding !== undefined) note(refusals, finding);
    if (finding !== undefined || !this.bodies.pass(route.body, value)) validate(route.body, value, refusals);
    const body = value as B;
    if (!refusals.any) route.limit?.(body, this.service.config, refusals, sent);
    const context = contextOf(request, refusals);
    const code = params.code?.normalize('NFC');
    if (code !== undefined) note(refusals, textProblem(code, 'the account code in the path'));
    refusals.throwFirst();

    const period = params.period === undefined ? undefined : `${params.year}/${params.period}`;
    const command = route.command(body, code ?? params.id?.toLowerCase() ?? params.party?.toLowerCase() ?? period ?? params.label ?? '');
    const book = command.type === 'OpenBook' ? command.id : existing(params);
    const acted = { action: command.type as string, ...(command.type === 'OpenBook' ? { book } : {}) };
    request.acted = acted;
    const answer = await this.execute(book, command, context);
    request.acted = { ...acted, ...actedOf(answer) };
    if (answer.status === 201 && route.location !== undefined) {
      reply.header('Location', route.location({ book, id: idIn(answer.body), command }));
    }
    send(reply, answer);
  }

  private async execute(book: string, command: Command, context: CommandContext): Promise<Answer> {
    const SentCommand = sentClasses.get(command.type);
    if (SentCommand === undefined) throw new Error(`no handler for ${command.type}`);
    try {
      const answer = await this.bus.execute<Sent, Answer>(new SentCommand(book, command, context));
      this.metrics.answered(command.type, answer);
      return answer;
    } catch (error) {
      this.metrics.failed(command.type, error);
      throw error;
    }
  }
}

interface PathParams {
  readonly book?: string;
  readonly code?: string;
  readonly id?: string;
  readonly party?: string;
  readonly year?: string;
  readonly period?: string;
  readonly label?: string;
}

/** @throws LedgerError book_unknown | entry_unknown | party_unknown | period_unknown: what cannot be an id is the id of nothing */
function existing({ book = '', id, party, year, period }: PathParams): string {
  if (!bookIdForm.test(book)) throw new LedgerError('book_unknown', `there is no book ${book}`, { book });
  if (id !== undefined && !isUuid(id))
    throw new LedgerError('entry_unknown', `there is no journal entry ${id} in book ${book}`, { entry: id });
  if (party !== undefined && !isUuid(party))
    throw new LedgerError('party_unknown', `there is no party ${party} in book ${book}`, { party }, 'not_found');
  if (period !== undefined && !/^[1-9]\d{0,2}$/.test(period))
    throw new LedgerError('period_unknown', `there is no period ${year}/${period} in book ${book}; periods are numbered from 1`, {
      fiscalYear: year ?? '',
    });
  return book;
}

function note(refusals: Refusals, error: LedgerError | undefined): void {
  if (error !== undefined) refusals.note(error.code, () => error.message, error.details);
}

const printable = /^[\x20-\x7e]{1,255}$/;

function contextOf(request: FastifyRequest, refusals: Refusals): CommandContext {
  const { headers } = request;
  let key = '';
  try {
    key = checkKey(one(headers['idempotency-key']));
    // Node.js joins headers of one name by a comma, which a key may hold too.
    if (key.includes(', ') && request.raw.rawHeaders.filter((name) => name.toLowerCase() === 'idempotency-key').length > 1)
      throw new LedgerError('key_missing', 'more than one Idempotency-Key came with the request; send one');
  } catch (error) {
    note(refusals, error as LedgerError);
  }
  return {
    key,
    userId: request.caller.id,
    isController: request.caller.scopes.includes('controller'),
    source: 'REST',
    correlationId: header(headers['x-correlation-id'], 'X-Correlation-Id', refusals) ?? request.id,
    onBehalfOf: header(headers['on-behalf-of'], 'On-Behalf-Of', refusals),
    // Of a trusted proxy's header whatever stands there.
    ip: request.ip.slice(0, 64),
    userAgent: one(headers['user-agent'])?.slice(0, 500),
  };
}

const one = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value);

function header(value: string | string[] | undefined, name: string, refusals: Refusals): string | undefined {
  const text = one(value);
  if (text === undefined || printable.test(text)) return text;
  refusals.note('text_invalid', () => `header ${name} must be 1 to 255 printable ASCII characters`, { member: name });
  return undefined;
}

/** What the log of actions says of an answer: the first event of the command, or why it was refused. */
function actedOf({ status, body, replayed }: Answer): FastifyRequest['acted'] {
  const position = status < 400 ? /"position":(\d+)/.exec(body)?.[1] : undefined;
  return {
    position: position === undefined ? undefined : Number(position),
    code: status < 400 ? undefined : /"code":"([a-z_]+)"/.exec(body)?.[1],
    replayed: replayed ? true : undefined,
    ...(status < 400 && body.startsWith('{"results":[') ? entriesOf(body) : {}),
  };
}

/** Of a batch each entry is a command of its own, some of which may have been refused. */
function entriesOf(body: string): FastifyRequest['acted'] {
  const { results } = JSON.parse(body) as { readonly results: readonly { readonly problem?: { readonly code: string } }[] };
  const problems = results.flatMap(({ problem }) => problem ?? []);
  const rows = results.length - problems.length;
  return problems.length === 0 ? { rows } : { rows, refused: problems.length, code: problems[0]?.code };
}

const idIn = (body: string): string => /^\{"id":"([^"]*)"/.exec(body)?.[1] ?? '';

function send(reply: FastifyReply, { status, body, replayed }: Answer): void {
  reply.code(status).header('Content-Type', status < 400 ? 'application/json' : 'application/problem+json');
  if (replayed) reply.header('Idempotency-Replayed', 'true');
  reply.send(body);
}
