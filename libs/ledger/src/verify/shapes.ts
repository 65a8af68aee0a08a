/**
 * What an event must look like: its members, who and which command its metadata must name (I12), and what the Book must be like
 * for it. Each function tells what is wrong in words that follow "event 7 (…): ", or undefined.
 */
import {
  accountRoles,
  accountTypes,
  type BookState,
  entryMethods,
  entryTypes,
  type FiscalYearDefined,
  generatedYearOf,
  isDate,
  type PartyState,
  partyKinds,
  periodKey,
  statusOfPeriod,
} from '#domain';
import { canonicalJson } from '#event-store';
import { isSealed } from '#privacy';

type Json = Readonly<Record<string, unknown>>;

/** What the author of a draft may say. */
const written = {
  effectiveDate: 'text',
  requestedDate: 'text?',
  description: 'text',
  journalCode: 'text?',
  entryType: 'text?',
  entryMethod: 'text?',
  adjustmentPeriod: 'integer?',
  onClosedPeriod: 'text?',
  onImbalance: 'text?',
  reference: 'text?',
  document: 'object?',
  source: 'object?',
  links: 'array?',
  lines: 'array',
  metadata: 'object?',
  fiscalYear: 'text',
  period: 'integer',
};

/** What may be said of a party: what is personal is sealed. */
const partyMembers = {
  country: 'text?',
  reference: 'text?',
  name: 'sealed?',
  address: 'sealed?',
  taxNumber: 'sealed?',
  bankAccount: 'sealed?',
  email: 'sealed?',
  phone: 'sealed?',
  birthDate: 'sealed?',
  note: 'sealed?',
};

/** What each member must be; `?` may be absent. */
const shapes: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  BookOpened: {
    name: 'text',
    entity: 'object?',
    framework: 'text?',
    baseCurrency: 'text',
    fx: 'text',
    rounding: 'text',
    timeZone: 'text',
    startsOn: 'date?',
    fiscalYearStart: 'text',
    metadata: 'object?',
  },
  FiscalYearDefined: { label: 'text', from: 'day', to: 'day', periods: 'array', given: 'true?', replaces: 'array?' },
  JournalDefined: { journalCode: 'text', name: 'text', type: 'text' },
  CurrencyEnabled: { code: 'text', scale: 'integer' },
  PeriodClosed: {
    fiscalYear: 'text',
    period: 'integer',
    level: 'text',
    position: 'integer',
    entries: 'integer',
    totals: 'array',
    baseTotal: 'text?',
    numbers: 'array',
  },
  PeriodReopeningRequested: { fiscalYear: 'text', period: 'integer', requestedBy: 'text' },
  PeriodReopeningDeclined: { fiscalYear: 'text', period: 'integer' },
  PeriodReopened: { fiscalYear: 'text', period: 'integer', requestedBy: 'text' },
  AccountDesignated: { role: 'text', accountId: 'text' },
  ExchangeRateRecorded: { from: 'text', to: 'text', rateType: 'text', date: 'date', value: 'text', source: 'text' },
  RetentionDefined: { country: 'text', documentType: 'text', years: 'integer', source: 'text' },
  PartyOpened: { kind: 'text', ...partyMembers },
  PartyChanged: partyMembers,
  PartyClosed: {},
  LegalHoldPlaced: { hold: 'text' },
  LegalHoldReleased: { hold: 'text' },
  PersonErased: { legalBasis: 'text', keys: 'array', retained: 'array', scheduled: 'true?' },
  RetentionEnded: { keys: 'array' },
  AccountOpened: {
    code: 'text',
    name: 'text',
    type: 'text',
    subtype: 'text?',
    normalSide: 'text',
    postable: 'boolean',
    parentId: 'text?',
    currencies: 'array?',
    subledger: 'text?',
    control: 'text?',
    limits: 'array?',
    cashFlow: 'text?',
    mappings: 'array?',
    metadata: 'object?',
  },
  AccountCodeChanged: { code: 'text' },
  AccountRenamed: { name: 'text' },
  AccountFrozen: {},
  AccountUnfrozen: {},
  AccountClosed: {},
  JournalEntryPosted: {
    journalCode: 'text',
    fiscalYear: 'text',
    period: 'integer',
    number: 'integer',
    entryType: 'text',
    entryMethod: 'text',
    effectiveDate: 'text',
    requestedDate: 'text?',
    description: 'text',
    reference: 'text?',
    document: 'object?',
    source: 'object?',
    links: 'array?',
    lines: 'array',
    metadata: 'object?',
  },
  JournalCreated: { ...written, createdBy: 'text' },
  JournalRevised: { ...written, revisedBy: 'text' },
  JournalSubmitted: { submittedBy: 'text' },
  JournalApproved: { approvedBy: 'text' },
  JournalRejected: { rejectedBy: 'text' },
  JournalDiscarded: { discardedBy: 'text' },
};

const isKind: Readonly<Record<string, (value: unknown) => boolean>> = {
  text: (value) => typeof value === 'string',
  integer: (value) => Number.isSafeInteger(value),
  boolean: (value) => typeof value === 'boolean',
  true: (value) => value === true,
  sealed: (value) => typeof value === 'string' && isSealed(value),
  array: Array.isArray,
  object: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  date: isDate,
  // The year of the first day that may be posted to may begin before it, and that of the last one end after it.
  day: (value) => typeof value === 'string' && /^\d{4}-\d\d-\d\d$/.test(value) && dayAfter(dayBefore(value)) === value,
};

/** The shapes, ready to be asked. */
const members = new Map(
  Object.entries(shapes).map(([eventType, shape]) => [
    eventType,
    Object.entries(shape).map(([member, kind]) => ({ member, kind, optional: kind.endsWith('?'), is: isKind[kind.replace('?', '')] })),
  ]),
);

export function shapeProblem(eventType: string, data: Json): string | undefined {
  const shape = members.get(eventType);
  if (shape === undefined) return undefined;
  let known = 0;
  for (let index = 0; index < shape.length; index++) {
    const { member, kind, optional, is } = shape[index] as (typeof shape)[number];
    const value = data[member];
    if (value === undefined ? !optional : !is?.(value)) return `its ${member} is ${JSON.stringify(value)}, expected ${kind}`;
    if (value !== undefined) known++;
  }
  for (const _ in data) known--;
  if (known !== 0) {
    const more = Object.keys(data).filter((member) => !Object.hasOwn(shapes[eventType] ?? {}, member));
    return `has members that ${eventType} has not: ${more.join(', ')}`;
  }
  if (eventType === 'AccountOpened') {
    if (!accountTypes.includes(data.type as never)) return `its type is ${JSON.stringify(data.type)}`;
    if (data.normalSide !== 'debit' && data.normalSide !== 'credit') return `its normalSide is ${JSON.stringify(data.normalSide)}`;
  }
  return undefined;
}

export function entryProblem(data: Json): string | undefined {
  const { entryType, entryMethod, lines } = data;
  const problem = shapeProblem('JournalEntryPosted', data);
  if (problem !== undefined) return problem;
  if (!entryTypes.includes(entryType as never)) return `its entryType is ${JSON.stringify(entryType)}`;
  if (!entryMethods.includes(entryMethod as never)) return `its entryMethod is ${JSON.stringify(entryMethod)}`;
  for (const line of lines as readonly unknown[]) if (typeof line !== 'object' || line === null) return 'one of its lines is no object';
  return undefined;
}

/** What speaks against a Book event on the Book as it was. */
export function bookProblem(book: BookState | undefined, eventType: string, data: Json): string | undefined {
  if (book === undefined) return undefined;
  switch (eventType) {
    case 'FiscalYearDefined':
      return yearProblem(book, data as unknown as FiscalYearDefined);
    case 'JournalDefined':
      return book.journals.some(({ journalCode }) => journalCode === data.journalCode)
        ? `journal ${String(data.journalCode)} is defined already`
        : undefined;
    case 'CurrencyEnabled':
      return Object.hasOwn(book.currencies, String(data.code)) ? `currency ${String(data.code)} is enabled already` : undefined;
    case 'PeriodClosed':
    case 'PeriodReopeningRequested':
    case 'PeriodReopeningDeclined':
    case 'PeriodReopened':
      return periodProblem(book, eventType, data);
    case 'AccountDesignated':
      return Object.hasOwn(accountRoles, String(data.role)) ? undefined : `designates an account for ${JSON.stringify(data.role)}`;
    default:
      return undefined;
  }
}

/** What speaks against a change of a party as it was. */
export function partyProblem(party: PartyState | undefined, eventType: string, data: Json): string | undefined {
  if (eventType === 'PartyOpened') return partyKinds.includes(data.kind as never) ? undefined : `its kind is ${JSON.stringify(data.kind)}`;
  if (party === undefined) return undefined;
  const stands = party.holds.includes(String(data.hold));
  switch (eventType) {
    case 'PartyChanged':
      if (party.erasure !== undefined) return 'says something of a person who was erased';
      return party.status === 'closed' ? 'changes a party that is closed' : undefined;
    case 'PartyClosed':
      return party.status === 'closed' ? 'closes a party that is closed already' : undefined;
    case 'LegalHoldPlaced':
      return stands ? `places the hold ${String(data.hold)}, which stands already` : undefined;
    case 'LegalHoldReleased':
      return stands ? undefined : `releases the hold ${String(data.hold)}, which does not stand`;
    default:
      return party.holds.length > 0 ? `erases under the hold ${party.holds.join(', ')}` : undefined;
  }
}

/** A year in its place, asked otherwise than where it is decided: what stays is what it is in line with, day by day. */
function yearProblem(book: BookState, { label, from, to, periods, given, replaces }: FiscalYearDefined): string | undefined {
  const { fiscalYears, replaceable } = book;
  const year = `fiscal year ${label} (${from} … ${to})`;
  const stays = new Set<string>();
  for (let edge = dayBefore(from), known = fiscalYears.find((other) => other.to === edge); known !== undefined; ) {
    stays.add(known.label);
    edge = dayBefore(known.from);
    known = fiscalYears.find((other) => other.to === edge);
  }
  for (let edge = dayAfter(to), known = fiscalYears.find((other) => other.from === edge); known !== undefined; ) {
    stays.add(known.label);
    edge = dayAfter(known.to);
    known = fiscalYears.find((other) => other.from === edge);
  }
  if (stays.has(label)) return `fiscal year ${label} is defined already`;
  const goes = fiscalYears.filter((other) => !stays.has(other.label)).map((other) => other.label);
  const overlaps = fiscalYears.some((other) => other.from <= to && from <= other.to);
  if (goes.length > 0 && (given !== true || !overlaps))
    return `${year} does not adjoin the calendar ${fiscalYears[0]?.from} … ${fiscalYears.at(-1)?.to}`;
  if (JSON.stringify(replaces) !== JSON.stringify(goes.length === 0 ? undefined : goes))
    return `${year} replaces ${JSON.stringify(replaces ?? [])}, its days make it ${JSON.stringify(goes)}`;
  // What nothing repeats once it is replaced: neither an answer nor the head of the Book.
  const generated = given === true ? undefined : generatedYearOf(book.fiscalYearStart, from);
  if (generated !== undefined && canonicalJson({ label, from, to, periods }) !== canonicalJson(generated))
    return `${year} is not the twelve months that a calendar from ${book.fiscalYearStart} on has`;
  const held = goes.find((other) => !replaceable.includes(other));
  return held && `${year} replaces ${held}, which was defined by hand or had a period closed`;
}

/** Order and state of periods, asked otherwise than where it is decided: from the list of all days that are closed. */
function periodProblem(book: BookState, eventType: string, data: Json): string | undefined {
  const { fiscalYear, period: no, level } = data as { fiscalYear: string; period: number; level?: string };
  const year = book.fiscalYears.find(({ label }) => label === fiscalYear);
  const period = year?.periods.find((candidate) => candidate.no === no);
  if (year === undefined || period === undefined) return `there is no period ${fiscalYear}/${no}`;
  const status = statusOfPeriod(book, fiscalYear, no);
  const reopening = book.periods[periodKey({ fiscalYear, period: no })]?.reopening;
  if (eventType === 'PeriodClosed') {
    if (level !== 'soft' && level !== 'hard') return `its level is ${JSON.stringify(level)}`;
    if (status !== (level === 'soft' ? 'open' : 'soft_closed')) return `closes period ${fiscalYear}/${no}, which is ${status}, ${level}`;
    if (reopening !== undefined) return `closes period ${fiscalYear}/${no}, which ${reopening.requestedBy} asks to be reopened`;
    const day = period.kind === 'normal' ? period.from : dayAfter(year.to);
    const earlier = book.fiscalYears.flatMap(({ label, periods }) =>
      periods.flatMap(({ kind, to, no: other }) =>
        kind === 'normal' && to < day ? [{ label, other, is: statusOfPeriod(book, label, other) }] : [],
      ),
    );
    const open = earlier.find(({ is }) => is === 'open' || (level === 'hard' && is !== 'hard_closed'));
    return open && `closes period ${fiscalYear}/${no} (${level}) while ${open.label}/${open.other} is ${open.is}`;
  }
  if (status !== 'soft_closed') return `period ${fiscalYear}/${no} is ${status}`;
  if (eventType === 'PeriodReopeningRequested') return reopening && `period ${fiscalYear}/${no} is asked to be reopened already`;
  if (reopening === undefined) return `nobody has asked for period ${fiscalYear}/${no} to be reopened`;
  return eventType === 'PeriodReopened' && data.requestedBy !== reopening.requestedBy
    ? `says that ${JSON.stringify(data.requestedBy)} has asked for it, which was ${reopening.requestedBy}`
    : undefined;
}

const dayMs = 86_400_000;
const dayAt = (millis: number): string => (Number.isNaN(millis) ? '' : new Date(millis).toISOString().slice(0, 10));
const dayAfter = (date: string): string => dayAt(Date.parse(`${date}T00:00:00Z`) + dayMs);
const dayBefore = (date: string): string => dayAt(Date.parse(`${date}T00:00:00Z`) - dayMs);

const sources = new Set<unknown>(['REST', 'GraphQL', 'CLI', 'job']);
const hash64 = /^[0-9a-f]{64}$/;

const optionalMetadata = ['contextHash', 'correlationId', 'onBehalfOf', 'reason'] as const;

export function metadataProblem(metadata: Json): string | undefined {
  const { commandKey, commandHash, userId, source, release } = metadata;
  if (typeof userId !== 'string') return 'its metadata names no userId';
  if (typeof commandKey !== 'string' || typeof commandHash !== 'string' || !hash64.test(commandHash))
    return 'its metadata names no command';
  if (typeof release !== 'string') return 'its metadata names no release';
  if (!sources.has(source)) return `its metadata has the source ${JSON.stringify(source)}`;
  for (const member of optionalMetadata)
    if (metadata[member] !== undefined && typeof metadata[member] !== 'string') return `${member} in its metadata is no text`;
  return undefined;
}
