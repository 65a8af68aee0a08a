/**
 * Receipts held against the log: each command that wrote events has one, it stands at its first event, says the same instant, key
 * and fingerprint, and its answer is what the events say was answered, byte for byte where the order of members is settled.
 * Of refused commands no event tells anything: only the form of their receipts is checked.
 */
import { type ErrorCode, errorTable, periodKey } from '#domain';
import { canonicalJson } from '#event-store';
import { statusOf } from '../answer';
import type { Findings } from './findings';
import { type BookReplay, instantOf, type ReadEvent, type Unit } from './replay';

type Json = Readonly<Record<string, unknown>>;

/** A receipt as verify reads it; keys and answers come last, because an altered one may hold a tab. */
export const receiptText = `concat_ws(E'\\t', coalesce(position::text, '-'), recorded_at, item, status, encode(fingerprint, 'hex'), coalesce(members::text, '-'), command, key, answer)`;

interface ReadReceipt {
  /** Undefined for refused commands and claims. */
  readonly position: number | undefined;
  readonly recordedAt: string;
  readonly item: number;
  readonly status: number;
  readonly fingerprint: string;
  readonly members: string | undefined;
  readonly command: string;
  readonly key: string;
  readonly answer: string;
}

function readReceipt(row: string): ReadReceipt {
  const [position, recordedAt = '', item, status, fingerprint = '', members = '', command = '', key = '', ...answer] = row.split('\t');
  return {
    position: position === '-' ? undefined : Number(position),
    recordedAt: instantOf(recordedAt),
    item: Number(item),
    status: Number(status),
    fingerprint,
    members: members === '-' ? undefined : members,
    command,
    key,
    answer: answer.join('\t'),
  };
}

/** Fingerprints by member as PostgreSQL prints them, nearly all of them: 0.20 us instead of 0.87 by JSON.parse. */
const plainFingerprints = /^\{"[^"\\]*": "[0-9a-f]{16}"(?:, "[^"\\]*": "[0-9a-f]{16}")*\}$/;

const rowOf = ({ key, item }: ReadReceipt): string => `log.receipts key ${JSON.stringify(key)} item ${item}`;

/** What a command leaves in the log, and how it is answered when it is carried out. */
const commands: Readonly<Record<string, { readonly status: number; readonly first?: string; readonly events?: number }>> = {
  OpenBook: { status: 201, first: 'BookOpened', events: 3 },
  DefineFiscalYear: { status: 201, first: 'FiscalYearDefined', events: 1 },
  DefineJournal: { status: 201, first: 'JournalDefined', events: 1 },
  EnableCurrency: { status: 201, first: 'CurrencyEnabled', events: 1 },
  DesignateAccount: { status: 200, first: 'AccountDesignated', events: 1 },
  RecordRates: { status: 201 },
  ClosePeriod: { status: 200 },
  CloseFiscalYear: { status: 200 },
  Revalue: { status: 200 },
  RequestReopening: { status: 200, first: 'PeriodReopeningRequested', events: 1 },
  ApproveReopening: { status: 200, first: 'PeriodReopened', events: 1 },
  DeclineReopening: { status: 200, first: 'PeriodReopeningDeclined', events: 1 },
  OpenAccount: { status: 201, first: 'AccountOpened', events: 1 },
  RenameAccount: { status: 200, first: 'AccountRenamed', events: 1 },
  ChangeAccountCode: { status: 200, first: 'AccountCodeChanged', events: 1 },
  FreezeAccount: { status: 200, first: 'AccountFrozen', events: 1 },
  UnfreezeAccount: { status: 200, first: 'AccountUnfrozen', events: 1 },
  CloseAccount: { status: 200, first: 'AccountClosed', events: 1 },
  PostEntry: { status: 201 },
  PostEntries: { status: 200 },
  ReverseEntry: { status: 201 },
  CorrectEntry: { status: 201 },
  CreateDraft: { status: 201 },
  ReviseDraft: { status: 200 },
  SubmitDraft: { status: 200, first: 'JournalSubmitted', events: 1 },
  ApproveDraft: { status: 201 },
  RejectDraft: { status: 200, first: 'JournalRejected', events: 1 },
  DiscardDraft: { status: 200, first: 'JournalDiscarded', events: 1 },
  DefineRetention: { status: 201, first: 'RetentionDefined', events: 1 },
  OpenParty: { status: 201, first: 'PartyOpened', events: 1 },
  ChangeParty: { status: 200, first: 'PartyChanged', events: 1 },
  CloseParty: { status: 200, first: 'PartyClosed', events: 1 },
  PlaceHold: { status: 200, first: 'LegalHoldPlaced', events: 1 },
  ReleaseHold: { status: 200, first: 'LegalHoldReleased', events: 1 },
  ErasePerson: { status: 200, first: 'PersonErased', events: 1 },
  EndRetention: { status: 200, first: 'RetentionEnded', events: 1 },
};

/** What commands on drafts leave, and the state that they answer. */
const drafting: Readonly<Record<string, readonly [eventType: string, status: string]>> = {
  CreateDraft: ['JournalCreated', 'draft'],
  ReviseDraft: ['JournalRevised', 'draft'],
  SubmitDraft: ['JournalSubmitted', 'submitted'],
  RejectDraft: ['JournalRejected', 'draft'],
  DiscardDraft: ['JournalDiscarded', 'discarded'],
};

const computing = new Set(['CloseFiscalYear', 'Revalue']);

export class Receipts {
  /** Receipts that tell of no event: their content could not be checked. */
  withoutEvents = 0;
  /** The latest instant of any receipt. */
  lastRecordedAt = '';
  private waiting: ReadReceipt[] = [];
  private at = 0;
  private current: ReadReceipt | undefined;
  /** The command that was told to have no receipt, so that it is told once. */
  private missing: string | undefined;

  constructor(
    private readonly bookId: string,
    private readonly findings: Findings,
  ) {}

  /** Takes rows in the order of their positions, those without one at the end. */
  feed(rows: readonly string[]): void {
    this.waiting = this.at === this.waiting.length ? [] : this.waiting.slice(this.at);
    this.at = 0;
    for (const row of rows) {
      const receipt = readReceipt(row);
      if (receipt.recordedAt > this.lastRecordedAt) this.lastRecordedAt = receipt.recordedAt;
      this.checkForm(receipt);
      if (receipt.position === undefined) this.checkWithoutEvents(receipt);
      else this.waiting.push(receipt);
    }
  }

  /** The position up to which receipts are here. */
  get fedUpTo(): number {
    return this.waiting.at(-1)?.position ?? 0;
  }

  /** Whether a receipt stands at this position; those before it stand nowhere and are told. */
  beginsAt(position: number): boolean {
    for (;;) {
      const receipt = this.waiting[this.at];
      if (receipt?.position === undefined || receipt.position > position) return false;
      if (receipt.position === position) return true;
      this.stray(receipt);
      this.at++;
    }
  }

  /** Goes on to the receipt that was found. */
  take(): void {
    this.current = this.waiting[this.at++];
    this.missing = undefined;
  }

  /** Checks that an event belongs to the receipt at hand. @returns false when it does not, which is told */
  covers(event: ReadEvent, { commandKey, commandHash }: Json): boolean {
    const { current } = this;
    if (current !== undefined && current.key === commandKey && current.fingerprint === commandHash) return true;
    const command = `${String(commandKey)}/${String(commandHash)}`;
    if (this.missing === command) return false;
    this.missing = command;
    const place = { position: event.position, stream: event.streamId };
    if (current?.position === event.position) {
      const what = current.key === commandKey ? 'fingerprint' : 'key';
      const [is, says] = what === 'key' ? [current.key, commandKey] : [current.fingerprint, commandHash];
      this.findings.add(
        'receipt',
        `${rowOf(current)}: its ${what} is ${is}, the event at its position ${event.position} says ${String(says)}`,
        {
          ...place,
          row: rowOf(current),
        },
      );
    } else {
      this.findings.add(
        'receipt',
        `event ${event.position} (${event.eventType}): the command with key ${JSON.stringify(commandKey)} has no receipt there (I6)`,
        {
          ...place,
          row: 'log.receipts',
        },
      );
    }
    this.current = undefined;
    return false;
  }

  /** Compares the receipt at hand with what its command did. */
  settle(unit: Unit, replay: BookReplay): void {
    const receipt = this.current;
    if (receipt === undefined) return;
    this.current = undefined;
    const { command, status, answer, item } = receipt;
    const wrong = (message: string): void => this.tell(receipt, message);
    if (receipt.recordedAt !== unit.recordedAt)
      wrong(`recorded_at is ${receipt.recordedAt}, the event at its position says ${unit.recordedAt}`);
    const known = Object.hasOwn(commands, command) ? commands[command] : undefined;
    if (known === undefined) {
      wrong(`command ${JSON.stringify(command)} is not known to this release`);
      return;
    }
    if (status !== known.status) wrong(`status is ${status}, ${command} is answered with ${known.status}`);
    if (item < -1 || (item === -1) !== (command === 'OpenBook') || (item > 0 && command !== 'PostEntry'))
      wrong(`item is ${item}, which no ${command} has`);
    // Of an entry the event tells what the command said, in most cases.
    if (receipt.members === undefined && command !== 'PostEntry') wrong(`members is NULL, unlike that of every ${command}`);
    if (known.first !== undefined && (unit.types[0] !== known.first || unit.types.length !== known.events)) {
      wrong(`command is ${command}, its events are ${unit.types.join(', ')}`);
      return;
    }
    const expected = expectedAnswer(command, unit, replay);
    if (expected === undefined) {
      wrong(`command is ${command}, its events are ${unit.types.join(', ')}`);
      return;
    }
    if (answer === expected) return;
    // Two of the answers repeat objects whose members stand as the caller wrote them: any order is right, blanks are not.
    if (known.first !== undefined && isJson(answer) && canonicalJson(JSON.parse(answer)) === canonicalJson(JSON.parse(expected))) return;
    wrong(`answer is ${answer}, the events say ${expected}`);
  }

  /** After the last event. @param next the position that no event has */
  rest(next: number): void {
    this.beginsAt(Number.MAX_SAFE_INTEGER);
    const last = this.waiting[this.at];
    if (last !== undefined) this.tell(last, `position is ${last.position}, the log ends at ${next - 1}`);
  }

  private stray(receipt: ReadReceipt): void {
    this.tell(receipt, `no command begins at its position ${receipt.position}`);
  }

  private checkForm(receipt: ReadReceipt): void {
    const { key, members } = receipt;
    if (!/^[\x20-\x7e]{1,255}$/.test(key)) this.tell(receipt, `key ${JSON.stringify(key)} is not 1 to 255 printable ASCII characters`);
    if (members === undefined || plainFingerprints.test(members)) return;
    const parsed = JSON.parse(members) as unknown;
    const texts = typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? Object.values(parsed) : [undefined];
    if (!texts.every((text) => typeof text === 'string' && /^[0-9a-f]{16}$/.test(text)))
      this.tell(receipt, `members is ${members}, not fingerprints by member`);
  }

  private checkWithoutEvents(receipt: ReadReceipt): void {
    this.withoutEvents++;
    const { command, status, answer, item, members } = receipt;
    if (!Object.hasOwn(commands, command)) this.tell(receipt, `command ${JSON.stringify(command)} is not known to this release`);
    if (members === undefined) this.tell(receipt, 'members is NULL, although no event tells what the command said');
    if (status === 200 && answer === '') {
      const claims = this.bookId === '~system' ? command === 'OpenBook' : command === 'PostEntries';
      if (!claims || item !== 0) this.tell(receipt, `claims its key, which a ${command} with item ${item} does not`);
      return;
    }
    // What is computed may find nothing to post.
    if (status === 200 && computing.has(command) && answer === `{"entries":[],"recordedAt":"${receipt.recordedAt}"}`) return;
    const problem = isJson(answer) ? (JSON.parse(answer) as Json) : {};
    const code = String(problem.code);
    if (status < 400 || problem.status !== status || !Object.hasOwn(errorTable, code)) {
      this.tell(receipt, `has no position, status ${status}, and the answer ${answer}, which is no problem document of that status`);
    } else if (statusOf(errorTable[code as ErrorCode].kind) !== status && code !== 'account_unknown' && code !== 'party_unknown') {
      this.tell(receipt, `status is ${status}, ${code} is answered with ${statusOf(errorTable[code as ErrorCode].kind)}`);
    }
  }

  private tell(receipt: ReadReceipt, message: string): void {
    const position = receipt.position;
    this.findings.add('receipt', `${rowOf(receipt)}: ${message}`, { row: rowOf(receipt), ...(position === undefined ? {} : { position }) });
  }
}

function expectedAnswer(command: string, unit: Unit, replay: BookReplay): string | undefined {
  const { position, recordedAt, posted, data, streamId } = unit;
  const entry = (index: number): string => {
    const { id, number, position: at } = posted[index] as Unit['posted'][number];
    return `{"id":"${id}","number":${String(number)},"position":${at},"recordedAt":"${recordedAt}"}`;
  };
  const place = { position, recordedAt };
  switch (command) {
    case 'PostEntry':
      return posted.length === 1 && unit.draft === undefined ? entry(0) : undefined;
    case 'ApproveDraft':
      return posted.length === 1 && unit.draft?.type === 'JournalApproved' && unit.draft.id === posted[0]?.id ? entry(0) : undefined;
    case 'CreateDraft':
    case 'ReviseDraft':
    case 'SubmitDraft':
    case 'RejectDraft':
    case 'DiscardDraft': {
      const [type, status] = drafting[command] as (typeof drafting)[string];
      const others = unit.types.filter((other) => other !== type && other !== 'FiscalYearDefined');
      if (unit.draft?.type !== type || unit.types.at(-1) !== type || others.length > 0) return undefined;
      return JSON.stringify({ id: unit.draft.id, status, ...place });
    }
    case 'PostEntries':
      return posted.length > 0 ? `{"results":[${posted.map((_, index) => entry(index)).join(',')}]}` : undefined;
    case 'CloseFiscalYear':
    case 'Revalue':
      return posted.length === (command === 'Revalue' ? 2 : 1)
        ? `{"entries":[${posted.map((_, index) => entry(index)).join(',')}],"recordedAt":"${recordedAt}"}`
        : undefined;
    case 'ReverseEntry':
      return posted.length === 1 && unit.reversedId !== undefined ? entry(0) : undefined;
    case 'CorrectEntry':
      return posted.length === 2 && unit.reversedId !== undefined ? `${entry(1).slice(0, -1)},"reversal":${entry(0)}}` : undefined;
    case 'OpenBook': {
      const { name, baseCurrency, fiscalYearStart, timeZone, fx, rounding } = data;
      return JSON.stringify({ id: replay.bookId, name, baseCurrency, fiscalYearStart, timeZone, fx, rounding, ...place });
    }
    case 'DefineFiscalYear': {
      const { given: _given, ...year } = data;
      return JSON.stringify({ ...year, ...place });
    }
    case 'OpenAccount': {
      const { code, name, type, normalSide, postable } = data;
      return JSON.stringify({ id: streamId, code, name, type, normalSide, postable, status: 'open', ...place });
    }
    case 'DesignateAccount':
      return JSON.stringify({ role: data.role, account: replay.accounts.get(String(data.accountId))?.code, ...place });
    case 'RecordRates':
      return unit.types.every((type) => type === 'ExchangeRateRecorded')
        ? JSON.stringify({ recorded: unit.types.length, ...place })
        : undefined;
    case 'ClosePeriod': {
      const { closed, types } = unit;
      const last = closed.at(-1);
      if (last === undefined || closed.length !== types.length) return undefined;
      const { fiscalYear, period, level } = last;
      const status = level === 'soft' ? 'soft_closed' : 'hard_closed';
      return JSON.stringify({ fiscalYear, period, status, closed: closed.map(periodKey), ...place });
    }
    case 'RequestReopening':
    case 'ApproveReopening':
    case 'DeclineReopening': {
      const { fiscalYear, period, requestedBy } = data;
      const status = command === 'ApproveReopening' ? 'open' : 'soft_closed';
      const reopening = command === 'RequestReopening' ? { requestedBy } : undefined;
      return JSON.stringify({ fiscalYear, period, status, reopening, ...place });
    }
    case 'DefineJournal':
    case 'EnableCurrency':
      return JSON.stringify({ ...data, ...place });
    case 'DefineRetention': {
      const { country, documentType, years, source } = data;
      return JSON.stringify({ country, documentType, years, source, ...place });
    }
    case 'OpenParty':
    case 'ChangeParty':
    case 'CloseParty':
    case 'PlaceHold':
    case 'ReleaseHold': {
      const { kind, status, holds } = unit.party ?? {};
      return JSON.stringify({ id: streamId, kind, status, holds, ...place });
    }
    case 'ErasePerson':
      return JSON.stringify({ id: streamId, erased: data.keys, retained: data.retained, ...place });
    case 'EndRetention':
      return JSON.stringify({ id: streamId, erased: data.keys, ...place });
    default: {
      const account = replay.accounts.get(streamId);
      return JSON.stringify({ id: streamId, code: account?.code, status: account?.status, ...place });
    }
  }
}

/** Whether it is JSON without blanks, as JSON.stringify writes it. */
function isJson(text: string): boolean {
  try {
    return JSON.stringify(JSON.parse(text)) === text;
  } catch {
    return false; // JSON.parse throws for text that is no JSON: there is no other way to ask
  }
}
