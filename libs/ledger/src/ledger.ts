/**
 * Ledger: commands in, durable answers out. The one place that knows how a command is normalised, fingerprinted, decided,
 * answered, remembered and repeated. Guarantees I6: a key takes effect once, whoever repeats it gets the first answer byte
 * for byte, and a key used for something else is refused with the name of what differs.
 */
import * as crypto from 'node:crypto';
import type { Client } from 'pg';
import {
  type Actor,
  approveDraft,
  bookReducer,
  changeAccount,
  changeParty,
  checkOpening,
  closeFiscalYear,
  closePeriod,
  correctEntry,
  createDraft,
  type Decision,
  defaultJournalCode,
  defineFiscalYear,
  defineJournal,
  defineRetention,
  designateAccount,
  discardDraft,
  enableCurrency,
  endRetention,
  erasePerson,
  type JournalEntryPosted,
  LedgerError,
  moveParty,
  openAccount,
  openBook,
  openParty,
  type PostEntry,
  type PostedEntry,
  postEntry,
  recordRates,
  rejectDraft,
  reopenPeriod,
  revalue,
  reverseEntry,
  reviseDraft,
  statusOfPeriod,
  submitDraft,
  todayIn,
} from '#domain';
import {
  ArchiveUnreadable,
  type CommandContext as ContextRow,
  canonicalJson,
  type EventStore,
  instantText,
  type Receipt,
  uuidV7,
} from '#event-store';
import { type Answer, problemOf, unreadable } from './answer';
import { type Needs, needsOfLines } from './book-memory';
import { metadataText, postEntryText } from './canonical-text';
import { accountCodes, bookStreamId, partyStreamId } from './catalogue';
import {
  type Command,
  type CommandContext,
  checkKey,
  isToldByEvent,
  memberFingerprints,
  normalise,
  type PostEntries,
  wishes,
} from './commands';
import type { Config } from './config';
import { Contexts } from './contexts';
import { checkSubjects, markedMember, type Personal, type Protected, unprotected } from './personal';
import { nameOf, type Success, type Unit, WriteQueue } from './write-queue';

export interface LedgerOptions {
  /** Opens a connection that pipelines queries, for appends. */
  readonly connect: () => Promise<Client>;
  readonly config: Pick<
    Config,
    'STATE_CACHE_MB' | 'WRITER_CONNECTIONS' | 'QUEUE_PER_BOOK' | 'QUEUE_TOTAL' | 'QUEUE_MB' | 'COMMAND_DEADLINE_MS'
  >;
  /** Names the running release in every event (I12). */
  readonly release: string;
  /** Seals what commands say of persons; without it none may. */
  readonly personal?: Pick<Personal, 'protect'>;
  /** Told after each append that wrote events; a hint for projections, nothing may depend on it. */
  readonly onAppended?: (bookId: string, position: number) => void;
  /** Milliseconds since 1970; Date.now unless a test turns the clock. */
  readonly clock?: () => number;
  /** Books without commands that stay in memory; 1,000 unless a test says otherwise. */
  readonly idleBooksMax?: number;
}

/** Commands that belong to no book yet are remembered here; the same tables, no events of its own so far. */
const systemScope = '~system';
/** Where a book remembers the command of scope ~system that opened it: no caller's item has this number. */
const openingItem = -1;
/** Per generation; two generations are kept. */
const acknowledgedMax = 10_000;
/** Members that a message names; the details hold all. */
const namedMax = 20;
/** What takes more (a batch's answer, the fingerprints of its entries) is not kept in memory: ten thousand of them would be gigabytes. */
const rememberedBytesMax = 2_048;
/** Bytes of a member's fingerprint with its name, as V8 holds them. */
const memberBytes = 160;

export class Ledger {
  private readonly queue: WriteQueue;
  /** Outcomes whose commit this very process has seen acknowledged: the only ones that may be repeated from memory (rule 10). */
  private acknowledged = new Map<string, Receipt>();
  /** The generation before: forgetting a whole map is cheaper than finding its oldest entry, ten thousand times a second. */
  private acknowledgedBefore = new Map<string, Receipt>();
  private readonly contexts = new Contexts();

  constructor(
    private readonly store: EventStore,
    private readonly options: LedgerOptions,
  ) {
    const { config, connect, onAppended, clock, idleBooksMax } = options;
    this.queue = new WriteQueue(store, {
      connect,
      stateCacheBytes: config.STATE_CACHE_MB * 1024 * 1024,
      writerConnections: config.WRITER_CONNECTIONS,
      queuePerBook: config.QUEUE_PER_BOOK,
      queueTotal: config.QUEUE_TOTAL,
      queueBytes: config.QUEUE_MB * 1024 * 1024,
      appendTimeoutMs: config.COMMAND_DEADLINE_MS,
      onAppended,
      clock,
      idleBooksMax,
    });
  }

  /** Commands that wait or are under way. */
  get queueLength(): number {
    return this.queue.length;
  }

  /**
   * Carries out a command once, however often it is sent.
   * @returns the answer of the first time, also when the book's rules refused it
   * @throws LedgerError for what is not remembered: key_missing, idempotency_key_reused, book_unknown, queue_full, party_unknown and
   *   person_erased of persons that texts are about, keys_unavailable, database_unavailable (outcome unknown, repeat with the same key), internal
   */
  async execute(bookId: string, command: Command, context: CommandContext): Promise<Answer> {
    checkKey(context.key);
    const given = normalise(command);
    const sealing = this.options.personal?.protect(bookId, given, context.key);
    const sent = sealing === undefined ? unprotected(given) : await sealing;
    const { command: normal } = sent;
    if (normal.type === 'OpenBook') {
      // Before the key is claimed: what is malformed is not remembered and leaves nothing behind.
      checkOpening(normal);
      return this.openBook(bookId, normal, context);
    }
    if (normal.type === 'PostEntries' && !normal.atomic) return this.postEach(bookId, sent, context);
    return this.submit(bookId, sent, context, 0);
  }

  /** The first answer to a command, if it was carried out or refused before. @throws LedgerError key_missing | idempotency_key_reused */
  async remembered(bookId: string, command: Command, context: CommandContext): Promise<Answer | undefined> {
    checkKey(context.key);
    const [receipt] = await this.store.receipts(bookId, [{ key: context.key, item: 0 }]);
    if (receipt === undefined) return undefined;
    return new Promise((resolve, reject) => {
      this.unitOf(bookId, unprotected(normalise(command)), context, 0, false, resolve, reject).known(receipt, false);
    });
  }

  /** Waits until every command that was taken has its outcome; takes no more. */
  close(): Promise<void> {
    return this.queue.close();
  }

  /**
   * A book is opened in two steps, since one SQL transaction writes to one book: the key is claimed in the scope ~system,
   * which settles what it stands for, then the book is written together with the outcome. Whoever repeats the command after
   * a crash in between goes on with the second step.
   */
  private async openBook(bookId: string, command: Command, context: CommandContext): Promise<Answer> {
    await this.claim(systemScope, unprotected(command), context);
    await this.store.registerBook(bookId, this.queue.now());
    return this.submit(bookId, unprotected(command), context, openingItem);
  }

  /** Each entry is a command of its own; the claim under item 0 settles that the key stands for this very batch. */
  private async postEach(bookId: string, sent: Protected, context: CommandContext): Promise<Answer> {
    await this.claim(bookId, sent, context);
    const { command, said, eventIds, subjects } = sent;
    const { entries } = command as PostEntries;
    const outcomes = await this.submitAll(
      bookId,
      entries.map((entry, index) => {
        const own: PostEntry = { ...entry, type: 'PostEntry' };
        if (eventIds?.[index] === undefined) return unprotected(own);
        const saidOfOwn = (said as PostEntries).entries[index] as PostEntries['entries'][number];
        return {
          command: own,
          said: { ...saidOfOwn, type: 'PostEntry' },
          eventIds: [eventIds[index]],
          subjects: [subjects?.[index] ?? []],
        };
      }),
      context,
    );
    // That no entry could even be looked at is said of the call: its sender waits as Retry-After says and repeats it.
    const [first] = outcomes;
    if (first?.status === 'rejected' && outcomes.every((outcome) => outcome.status === 'rejected' && mayPass(outcome.reason)))
      throw asLedgerError(first.reason);
    const results = outcomes.map((outcome) => {
      if (outcome.status === 'rejected') return `{"problem":${JSON.stringify(problemOf(asLedgerError(outcome.reason)))}}`;
      return outcome.value.status < 400 ? outcome.value.body : `{"problem":${outcome.value.body}}`;
    });
    const replayed = outcomes.every((outcome) => outcome.status === 'fulfilled' && outcome.value.replayed);
    return { status: 200, body: `{"results":[${results.join(',')}]}`, replayed };
  }

  private claim(bookId: string, sent: Protected, context: CommandContext): Promise<Answer> {
    return this.submit(bookId, sent, context, 0, true);
  }

  private submit(bookId: string, sent: Protected, context: CommandContext, item: number, claims = false): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const unit = this.unitOf(bookId, sent, context, item, claims, resolve, reject);
      if (!this.repeated(unit)) this.queue.push(bookId, [unit]);
    });
  }

  /** The entries of a batch call in one push, so that they share append batches. */
  private submitAll(bookId: string, commands: readonly Protected[], context: CommandContext): Promise<PromiseSettledResult<Answer>[]> {
    const units: CommandUnit[] = [];
    const answers = commands.map(
      (command, index) =>
        new Promise<Answer>((resolve, reject) => {
          const unit = this.unitOf(bookId, command, context, index + 1, false, resolve, reject);
          if (!this.repeated(unit)) units.push(unit);
        }),
    );
    try {
      if (units.length > 0) this.queue.push(bookId, units);
    } catch (error) {
      for (const unit of units) unit.failed(error);
    }
    return Promise.allSettled(answers);
  }

  private unitOf(
    bookId: string,
    sent: Protected,
    context: CommandContext,
    item: number,
    claims: boolean,
    resolve: (answer: Answer) => void,
    reject: (error: unknown) => void,
  ): CommandUnit {
    const { said } = sent;
    const text = said.type === 'PostEntry' && sent.eventIds === undefined ? postEntryText(said) : canonicalJson(saidOf(said));
    const place = this.contexts.of(context);
    const deadline = performance.now() + this.options.config.COMMAND_DEADLINE_MS;
    return new CommandUnit(this, bookId, sent, context, item, claims, text, this.options.release, place, deadline, resolve, reject);
  }

  /** Answers from memory what this process has seen committed (rule 10). */
  private repeated(unit: CommandUnit): boolean {
    const receipt = this.acknowledged.get(unit.name) ?? this.acknowledgedBefore.get(unit.name);
    if (receipt !== undefined) unit.done(receipt, false);
    return receipt !== undefined;
  }

  /** Called by units: the commit of this outcome was acknowledged to this very process. */
  remember(unit: CommandUnit, receipt: Receipt): void {
    const members = receipt.members === undefined ? 0 : Object.keys(receipt.members).length;
    if (receipt.answer.length + members * memberBytes > rememberedBytesMax) return;
    if (this.acknowledged.size >= acknowledgedMax) {
      this.acknowledgedBefore = this.acknowledged;
      this.acknowledged = new Map();
    }
    this.acknowledged.set(unit.name, receipt);
  }

  /**
   * Called by units: the remembered answer, or the refusal of a key that stands for something else.
   * @param durable whether this process has seen the receipt committed
   */
  async repeat(unit: CommandUnit, receipt: Receipt, durable: boolean, replayed: boolean): Promise<Answer> {
    if (receipt.fingerprint !== unit.fingerprint) {
      const members = await this.differing(unit.bookId, unit.said, receipt);
      const named = members.length > namedMax ? [...members.slice(0, namedMax), `${members.length - namedMax} more`] : members;
      const first = receipt.status < 400 ? 'was carried out' : 'was refused';
      throw new LedgerError(
        'idempotency_key_reused',
        `the key "${unit.key}" was used for another ${receipt.command}, which ${first}; it differs in ${named.join(', ')}. Use a new key for a new command`,
        { members },
      );
    }
    if (!durable) await this.store.touchReceipt(unit.bookId, unit.key, unit.item);
    return { status: receipt.status, body: receipt.answer, replayed };
  }

  /**
   * Called by units: what is not remembered. That a command is invalid, or computed from what is no more, may be found without the log
   * having been asked for its key, and what a key stands for must not depend on which process is asked. What moved the books may be
   * the command itself, by an append whose answer was lost.
   * @param own whether this very command may have left what is remembered
   */
  async undecided(unit: CommandUnit, error: unknown, own: boolean): Promise<Answer> {
    if (error instanceof LedgerError && (error.kind === 'invalid' || error.code === 'books_moving')) {
      const [receipt] = await this.store.receipts(unit.bookId, [unit]);
      if (receipt !== undefined) return this.repeat(unit, receipt, false, !own);
    }
    throw asLedgerError(error);
  }

  // --- Naming what differs ---

  /** Members in which a command differs from the one that its key stands for. */
  private async differing(bookId: string, command: Command, receipt: Receipt): Promise<string[]> {
    if (receipt.command !== command.type) return ['type'];
    if (receipt.members !== undefined) {
      const now = memberFingerprints(command);
      const members = new Set([...Object.keys(now), ...Object.keys(receipt.members)]);
      const names = [...members].filter((member) => now[member] !== receipt.members?.[member]).sort();
      if (command.type === 'PostEntries') return this.differingEntries(bookId, command, receipt, names);
      return command.type === 'PostEntry' ? this.differingInLines(bookId, command, receipt, names) : names;
    }
    if (command.type !== 'PostEntry') return ['body'];
    return (await this.differingFromPosted(bookId, command, { position: receipt.position ?? 1, skip: 0, isTold: true })) ?? ['body'];
  }

  /** Of an entry whose lines have fingerprints, what differs within those that both have, as far as the event tells. */
  private async differingInLines(
    bookId: string,
    command: PostEntry,
    { position, members = {} }: Receipt,
    names: string[],
  ): Promise<string[]> {
    const isOfLine = (name: string): boolean => name.startsWith('lines.');
    if (position === undefined || !names.some(isOfLine)) return names;
    if (Object.keys(members).filter(isOfLine).length !== command.lines.length) return [...names.filter((name) => !isOfLine(name)), 'lines'];
    const told = (await this.differingFromPosted(bookId, command, { position, skip: 0, isTold: false })) ?? [];
    return names.flatMap((name) => {
      const within = told.filter((member) => member.startsWith(`${name}.`));
      return within.length > 0 ? within : [name];
    });
  }

  /** Of a batch, what differs within an entry that both have and whose outcome is known; else the entry's name. */
  private async differingEntries(bookId: string, command: PostEntries, receipt: Receipt, names: readonly string[]): Promise<string[]> {
    const indexOf = (name: string): number => Number(/^entries\.(\d+)$/.exec(name)?.[1] ?? Number.NaN);
    const items = names.slice(0, namedMax).flatMap((name) => (command.entries[indexOf(name)] === undefined ? [] : [indexOf(name) + 1]));
    const own = command.atomic
      ? []
      : await this.store.receipts(
          bookId,
          items.map((item) => ({ key: receipt.key, item })),
        );
    const receipts = new Map(own.map((receipt) => [receipt.item, receipt]));
    const isOfEntry = (name: string): boolean => name.startsWith('entries.') && Number.isNaN(indexOf(name));
    const named: string[] = [];
    for (const name of names) {
      // Told with its entry.
      if (isOfEntry(name)) continue;
      const index = indexOf(name);
      const isShared = items.includes(index + 1) && receipt.members?.[name] !== undefined;
      const entry = isShared ? command.entries[index] : undefined;
      const ofEntry = receipts.get(index + 1);
      let within: string[] | undefined;
      if (entry !== undefined && command.atomic && receipt.position !== undefined)
        within = await this.differingFromPosted(
          bookId,
          { ...entry, type: 'PostEntry' },
          { position: receipt.position, skip: index, isTold: false },
        );
      else if (entry !== undefined && ofEntry !== undefined)
        within = await this.differing(bookId, { ...entry, type: 'PostEntry' }, ofEntry);
      if (within !== undefined && command.atomic) within.push(...wishes.filter((wish) => names.includes(`${name}.${wish}`)));
      named.push(...(within !== undefined && within.length > 0 ? within.map((member) => `${name}.${member}`) : [name]));
    }
    return named;
  }

  /**
   * Members in which an entry differs from the one that was posted at or after a position.
   * @param place.skip entries in between, of the same append
   * @param place.isTold whether the event is known to tell all that its command said; else members that it does not tell are passed over
   */
  private async differingFromPosted(
    bookId: string,
    command: PostEntry,
    { position, skip, isTold }: { readonly position: number; readonly skip: number; readonly isTold: boolean },
  ): Promise<string[] | undefined> {
    // An entry of two lines takes three positions, but one may have more: a thousand events hold what names are given for.
    const events = await this.store.readAll(bookId, position - 1, 1_000);
    const posted = events.filter(({ eventType }) => eventType === 'JournalEntryPosted')[skip];
    if (posted === undefined) return undefined;
    const codes = await this.store.streamsByName(
      bookId,
      accountCodes,
      command.lines.map(({ account }) => account),
    );
    const book = await this.store.load(bookId, bookStreamId(bookId), bookReducer);
    const computes = book?.state.fx === 'tracked';
    return differingMembers(command, posted.data as unknown as JournalEntryPosted, {
      ...{ reason: posted.metadata.reason, codes, isTold, computes },
    });
  }
}

/** A command in the write queue. A class and not a bundle of closures: there are a thousand of them at any moment. */
class CommandUnit implements Unit {
  readonly name: string;
  readonly key: string;
  readonly command: string;
  readonly fingerprint: string;
  readonly needs: Needs;
  readonly events: number;
  readonly bytes: number;
  readonly opensBook: boolean;
  readonly metadata: string;
  readonly userId: string;
  readonly actor: Actor;
  private readonly source: Command;
  /** What it says, with personal texts told by marks: see personal.ts. */
  readonly said: Command;
  private readonly eventIds: Protected['eventIds'];
  private readonly subjects: readonly string[] | undefined;

  constructor(
    private readonly ledger: Ledger,
    readonly bookId: string,
    { command, said, eventIds, subjects }: Protected,
    private readonly sent: CommandContext,
    readonly item: number,
    /** Decides nothing, but settles what the key stands for. */
    private readonly claims: boolean,
    /** Canonical JSON of the command. */
    text: string,
    private readonly release: string,
    readonly context: ContextRow | undefined,
    readonly deadline: number,
    private readonly resolve: (answer: Answer) => void,
    private readonly reject: (error: unknown) => void,
  ) {
    this.source = command;
    this.said = said;
    this.eventIds = eventIds;
    this.subjects = subjects?.flat();
    this.key = sent.key;
    this.name = nameOf(bookId, this);
    this.command = command.type;
    this.fingerprint = crypto.hash('sha256', text, 'hex');
    const needs = claims ? nothing : needsOf(command, bookId, sent.key);
    this.needs = this.subjects === undefined ? needs : { ...needs, parties: [...(needs.parties ?? []), ...this.subjects] };
    this.events = claims ? 0 : eventsOf(command);
    this.bytes = text.length;
    this.opensBook = command.type === 'OpenBook';
    this.userId = sent.userId;
    this.actor = { userId: sent.userId, isController: sent.isController ?? false };
    this.metadata = this.metadataBecause('reason' in command ? command.reason : undefined);
  }

  metadataBecause(reason: string | undefined): string {
    const { key, correlationId, onBehalfOf, source } = this.sent;
    return metadataText({
      commandHash: this.fingerprint,
      commandKey: key,
      contextHash: this.context?.hash.toString('hex'),
      correlationId,
      onBehalfOf,
      reason,
      release: this.release,
      source,
    });
  }

  decide(decision: Decision, recordedAt: number): Success {
    if (this.subjects !== undefined && !this.claims) checkSubjects(decision, this.subjects);
    return this.claims ? { status: 200, body: '' } : decide(decision, this.source, recordedAt, this.key, this.eventIds);
  }

  members(refused: boolean): Readonly<Record<string, string>> | undefined {
    const isTold =
      !refused && !this.claims && this.eventIds === undefined && this.source.type === 'PostEntry' && isToldByEvent(this.source);
    return isTold ? undefined : memberFingerprints(this.said);
  }

  done(receipt: Receipt, fresh: boolean): void {
    if (fresh) {
      this.ledger.remember(this, receipt);
      this.resolve({ status: receipt.status, body: receipt.answer, replayed: false });
    } else this.ledger.repeat(this, receipt, true, true).then(this.resolve, this.reject);
  }

  known(receipt: Receipt, own: boolean): void {
    this.ledger.repeat(this, receipt, false, !own).then(this.resolve, this.reject);
  }

  failed(error: unknown, sent = false): void {
    this.ledger.undecided(this, error, sent).then(this.resolve, this.reject);
  }
}

/** What its caller has said: what the service has computed for it is no part of what its key stands for. */
function saidOf(command: Command): object {
  if (!('computed' in command)) return command;
  const { computed: _computed, ...said } = command;
  return said;
}

const nothing: Needs = { codes: [], entries: [] };

function asLedgerError(error: unknown): LedgerError {
  if (error instanceof LedgerError) return error;
  if (error instanceof ArchiveUnreadable) return unreadable(error);
  return new LedgerError(
    'internal',
    'the command could not be carried out because of a fault of ours; nothing was recorded',
    {},
    'internal',
    { cause: error },
  );
}

/** Whether the same command may be taken a moment later. */
const mayPass = (error: unknown): boolean => error instanceof LedgerError && ['limited', 'unavailable'].includes(error.kind);

/** What must be in memory to decide a command. */
function needsOf(command: Command, bookId: string, key: string): Needs {
  switch (command.type) {
    case 'PostEntry':
      return { ...needsOfLines(command.lines), entries: [] };
    case 'PostEntries':
      return { ...needsOfLines(command.entries.flatMap(({ lines }) => lines)), entries: [] };
    case 'ReverseEntry':
      return { codes: [], entries: [command.entryId] };
    case 'CorrectEntry':
      return { ...needsOfLines(command.lines), entries: [command.entryId] };
    case 'CreateDraft':
      return { codes: [], entries: [], drafts: true };
    case 'ReviseDraft':
      // It is not looked at whether its accounts exist, but a command that submits it may be decided in the same batch.
      return { ...needsOfLines(command.lines), entries: [command.entryId], drafts: true };
    case 'SubmitDraft':
    case 'ApproveDraft':
    case 'RejectDraft':
    case 'DiscardDraft':
      return { codes: [], entries: [command.entryId], drafts: true };
    case 'ClosePeriod':
    case 'DefineFiscalYear':
      return { codes: [], entries: [], drafts: true };
    case 'OpenParty':
      return { codes: [], entries: [], parties: [partyStreamId(bookId, key)] };
    case 'ChangeParty':
    case 'CloseParty':
    case 'PlaceHold':
    case 'ReleaseHold':
    case 'ErasePerson':
    case 'EndRetention':
      return { codes: [], entries: [], parties: [command.party] };
    case 'DesignateAccount':
      return { codes: [command.account], entries: [] };
    case 'RecordRates':
      return { codes: [], entries: [], rates: command.rates };
    case 'CloseFiscalYear':
    case 'Revalue':
      return { ...needsOfLines(command.computed?.lines ?? []), entries: [] };
    case 'OpenAccount':
      return { codes: command.parent === undefined ? [command.code] : [command.code, command.parent], entries: [] };
    case 'ChangeAccountCode':
      return { codes: [command.account, command.code], entries: [] };
    case 'RenameAccount':
    case 'FreezeAccount':
    case 'UnfreezeAccount':
    case 'CloseAccount':
      return { codes: [command.account], entries: [] };
    default:
      return nothing;
  }
}

/** An estimate: how many lines a draft has is found out when it is read. */
const linesOfDraft = 500;

function eventsOf(command: Command): number {
  switch (command.type) {
    case 'PostEntry':
      return command.lines.length + 1;
    case 'PostEntries':
      return command.entries.reduce((events, { lines }) => events + lines.length + 1, 0);
    case 'CorrectEntry':
      return 2 * command.lines.length + 3;
    case 'RecordRates':
      return command.rates.length;
    case 'ApproveDraft':
      return linesOfDraft;
    case 'CloseFiscalYear':
    case 'Revalue':
      return 2 * (command.computed?.lines.length ?? 0) + 3;
    default:
      return 4;
  }
}

/**
 * @param recordedAt microseconds since 1970: when the batch is decided
 * @param key of the command
 * @param eventIds of the events that its personal texts were sealed for, by entry
 */
function decide(decision: Decision, command: Command, recordedAt: number, key: string, eventIds: Protected['eventIds']): Success {
  const at = instantText(recordedAt);
  const first = decision.position + 1;
  /** The same id, after it is told that an event of its stream holds what was sealed. */
  const holding = (streamId: string, eventId = eventIds?.[0]): string => {
    decision.sealedFor = eventId === undefined ? undefined : { streamId, eventId };
    return streamId;
  };
  switch (command.type) {
    case 'PostEntry':
      return { status: 201, body: postedBody(postEntry(decision, command, holding(uuidV7())), at) };
    case 'PostEntries':
      return {
        status: 200,
        body: `{"results":[${postAll(decision, command.entries, at, (index) => holding(uuidV7(), eventIds?.[index])).join(',')}]}`,
      };
    case 'ReverseEntry':
      return {
        status: 201,
        body: postedBody(reverseEntry(decision, command, todayIn(decision.book(), recordedAt), holding(uuidV7())), at),
      };
    case 'CorrectEntry': {
      const ids = { reversal: uuidV7(), replacement: holding(uuidV7()) };
      const { reversal, replacement } = correctEntry(decision, command, todayIn(decision.book(), recordedAt), ids);
      return { status: 201, body: `${postedBody(replacement, at).slice(0, -1)},"reversal":${postedBody(reversal, at)}}` };
    }
    case 'OpenBook': {
      openBook(decision, command, recordedAt);
      const { name, baseCurrency, fiscalYearStart, timeZone, fx, rounding } = decision.book();
      return created({ id: decision.bookId, name, baseCurrency, fiscalYearStart, timeZone, fx, rounding }, first, at);
    }
    case 'DefineFiscalYear': {
      const { given: _given, ...year } = defineFiscalYear(decision, command);
      return created(year, first, at);
    }
    case 'DefineJournal':
      defineJournal(decision, command);
      return created(decision.book().journals.find(({ journalCode }) => journalCode === command.journalCode) ?? {}, first, at);
    case 'EnableCurrency':
      enableCurrency(decision, command);
      return created({ code: command.code, scale: command.scale }, first, at);
    case 'DesignateAccount':
      return created({ role: command.role, account: designateAccount(decision, command).code }, first, at, 200);
    case 'RecordRates':
      recordRates(decision, command);
      return created({ recorded: command.rates.length }, first, at);
    case 'CloseFiscalYear':
      return computed(closeFiscalYear(decision, command, uuidV7()), at);
    case 'Revalue': {
      const ids = [uuidV7(), uuidV7()] as const;
      const today = todayIn(decision.book(), recordedAt);
      return computed(revalue(decision, command, { ids, today }), at);
    }
    case 'ClosePeriod': {
      const closed = closePeriod(decision, command);
      return created({ ...periodAnswer(decision, command), closed }, first, at, 200);
    }
    case 'RequestReopening':
    case 'ApproveReopening':
    case 'DeclineReopening':
      reopenPeriod(decision, command);
      return created(periodAnswer(decision, command), first, at, 200);
    case 'CreateDraft': {
      const id = holding(uuidV7());
      createDraft(decision, command, id);
      return draftAnswer(decision, id, first, at, 201);
    }
    case 'ApproveDraft':
      return { status: 201, body: postedBody(approveDraft(decision, command.entryId), at) };
    case 'ReviseDraft':
    case 'SubmitDraft':
    case 'RejectDraft':
    case 'DiscardDraft':
      if (command.type === 'ReviseDraft') {
        holding(command.entryId);
        reviseDraft(decision, command);
      } else draftMoves[command.type](decision, command.entryId);
      return draftAnswer(decision, command.entryId, first, at, 200);
    case 'DefineRetention': {
      defineRetention(decision, command);
      const { country, documentType, years, source } = command;
      return created({ country, documentType, years, source }, first, at);
    }
    case 'OpenParty': {
      const id = holding(partyStreamId(decision.bookId, key));
      openParty(decision, command, id);
      return partyAnswer(decision, id, first, at, 201);
    }
    case 'ChangeParty':
      holding(command.party);
      changeParty(decision, command);
      return partyAnswer(decision, command.party, first, at, 200);
    case 'CloseParty':
    case 'PlaceHold':
    case 'ReleaseHold':
      moveParty(decision, command);
      return partyAnswer(decision, command.party, first, at, 200);
    case 'ErasePerson': {
      const { keys, retained } = erasePerson(decision, command);
      return created({ id: command.party, erased: keys, retained }, first, at, 200);
    }
    case 'EndRetention':
      return created({ id: command.party, erased: endRetention(decision, command) }, first, at, 200);
    case 'OpenAccount': {
      const id = uuidV7();
      openAccount(decision, command, id);
      const { code, type, normalSide, postable, status } = decision.account(id) ?? {};
      return created({ id, code, name: command.name, type, normalSide, postable, status }, first, at);
    }
    default: {
      changeAccount(decision, command);
      const account = decision.account(decision.accountIdByCode(command.account) ?? '');
      return created({ id: account?.id, code: account?.code, status: account?.status }, first, at, 200);
    }
  }
}

function partyAnswer(decision: Decision, id: string, position: number, at: string, status: number): Success {
  const party = decision.party(id);
  return created({ id, kind: party?.kind, status: party?.status, holds: party?.holds }, position, at, status);
}

const draftMoves = { SubmitDraft: submitDraft, RejectDraft: rejectDraft, DiscardDraft: discardDraft } as const;

const draftAnswer = (decision: Decision, id: string, position: number, at: string, status: number): Success =>
  created({ id, status: decision.entry(id)?.draft?.status }, position, at, status);

function periodAnswer(decision: Decision, { fiscalYear, period }: { readonly fiscalYear: string; readonly period: number }): object {
  const book = decision.book();
  return {
    fiscalYear,
    period,
    status: statusOfPeriod(book, fiscalYear, period),
    reopening: book.periods[`${fiscalYear}/${period}`]?.reopening,
  };
}

function postAll(decision: Decision, entries: readonly Omit<PostEntry, 'type'>[], at: string, newId: (index: number) => string): string[] {
  return entries.map((entry, index) => {
    decision.reason = entry.reason;
    try {
      return postedBody(postEntry(decision, entry, newId(index)), at);
    } catch (error) {
      if (!(error instanceof LedgerError)) throw error;
      const { member } = error.details;
      throw new LedgerError(
        error.code,
        `entries.${index}: ${error.message}; nothing of this batch was posted`,
        { ...error.details, member: member === undefined ? `entries.${index}` : `entries.${index}.${member}` },
        error.kind,
      );
    }
  });
}

const postedBody = (
  { id, number, position }: { readonly id: string; readonly number: number; readonly position: number },
  at: string,
): string => `{"id":"${id}","number":${number},"position":${position},"recordedAt":"${at}"}`;

/** The answer to a command whose lines the service has computed: there may have been nothing to post. */
const computed = (posted: readonly PostedEntry[], at: string): Success => ({
  status: 200,
  body: `{"entries":[${posted.map((entry) => postedBody(entry, at)).join(',')}],"recordedAt":"${at}"}`,
});

function created(members: object, position: number, recordedAt: string, status = 201): Success {
  return { status, body: JSON.stringify({ ...members, position, recordedAt }) };
}

/** Members of an entry that have a default: the event does not tell whether the caller stated it. */
const defaults: Readonly<Record<string, string>> = { journalCode: defaultJournalCode, entryType: 'normal', entryMethod: 'interface' };
const entryMembers = [
  'description',
  'journalCode',
  'reference',
  'document',
  'entryType',
  'entryMethod',
  'source',
  'links',
  'metadata',
] as const;

function differingMembers(
  command: PostEntry,
  posted: JournalEntryPosted,
  {
    reason,
    codes,
    isTold,
    computes,
  }: {
    readonly reason: unknown;
    readonly codes: ReadonlyMap<string, string>;
    readonly isTold: boolean;
    /** Whether the service computes amounts in base currency, so that a stored one need not have been stated. */
    readonly computes: boolean;
  },
): string[] {
  // Of what was sealed it cannot be told here whether it differs; where it does, its fingerprint says so.
  const same = (given: unknown, stored: unknown): boolean =>
    given === undefined || stored === undefined
      ? given === stored
      : canonicalJson(given) === canonicalJson(stored) || canonicalJson(given).includes(markedMember);
  const differing: string[] = entryMembers.filter((member) => !same(command[member] ?? defaults[member], posted[member]));
  // An entry that moved to the first open day keeps the date that was asked for; whether it moved the event does not tell.
  const { effectiveDate, requestedDate, onClosedPeriod } = command;
  const mayHaveMoved =
    !isTold && requestedDate === undefined && (onClosedPeriod === 'first_open_day' || effectiveDate === posted.requestedDate);
  if (effectiveDate !== posted.effectiveDate && !(mayHaveMoved && effectiveDate === posted.requestedDate)) differing.push('effectiveDate');
  if (!mayHaveMoved && !same(requestedDate, posted.requestedDate)) differing.push('requestedDate');
  if (!same(command.reason, reason)) differing.push('reason');
  if (isTold) differing.push(...wishes.filter((member) => command[member] !== undefined));
  const { lines } = normalise({
    type: 'PostEntry',
    effectiveDate: '',
    description: '',
    // Without what the service has added: marked lines, and base amounts and rates that the caller left to it.
    lines: posted.lines.flatMap(({ line: _line, accountId, code, baseAmount, rate, ...line }, index) => {
      if (line.origin?.startsWith('book-keeper:')) return [];
      const given = command.lines[index];
      // An old code leads to the same account, and the event does not tell which of its codes was sent.
      const account = given !== undefined && codes.get(given.account) === accountId ? given.account : code;
      if (!computes) return [{ ...line, account, baseAmount, rate }];
      if (isTold) return [{ ...line, account }];
      return [{ ...line, account, baseAmount: given?.baseAmount && baseAmount, rate: given?.rate && rate }];
    }),
  });
  differing.push(...differingLines(command.lines, lines, same));
  if (differing.length > 0 || !isTold) return differing;
  // Equal in all that the event tells: another code of the same account, or a default that was stated in one and not in the other.
  const recoded = command.lines.flatMap(({ account }, index) => (account === posted.lines[index]?.code ? [] : [`lines.${index}.account`]));
  const stated = Object.keys(defaults).filter((member) => command[member as keyof PostEntry] !== undefined);
  if (recoded.length > 0 || stated.length > 0) return [...stated, ...recoded];
  return [...Object.keys(defaults), ...command.lines.map((_, index) => `lines.${index}.account`)];
}

function differingLines(given: PostEntry['lines'], stored: PostEntry['lines'], same: (a: unknown, b: unknown) => boolean): string[] {
  if (given.length !== stored.length) return ['lines'];
  return given.flatMap((line, index) => {
    const other = stored[index] as object as Record<string, unknown>;
    const mine = line as object as Record<string, unknown>;
    const members = new Set([...Object.keys(mine), ...Object.keys(other)]);
    return [...members].filter((member) => !same(mine[member], other[member])).map((member) => `lines.${index}.${member}`);
  });
}
