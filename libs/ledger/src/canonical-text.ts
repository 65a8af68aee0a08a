/**
 * The canonical JSON (RFC 8785) of what every entry is made of: the command, its metadata and the three events, put together
 * member by member: a third of what it costs to look at each member, sort and stringify. Hides which members hold text that
 * never needs escaping; guarantees the same bytes as canonicalJson, which property tests compare, and does not compile when a
 * member is forgotten.
 */
import type { AccountPosted, EntryLine, JournalEntryPosted, PostEntry, PostedLine } from '#domain';
import { canonicalJson } from '#event-store';

/** A command to post. Where it has members that most have not it takes the common way. */
export function postEntryText(command: PostEntry): string {
  const { description, effectiveDate, entryMethod, entryType, journalCode, lines, reason, reference, type } = command;
  const { adjustmentPeriod, document, links, metadata, onClosedPeriod, onImbalance, requestedDate, source } = command;
  // Each by itself: null, which no caller of the API can send, is not the same as nothing.
  if (document !== undefined || links !== undefined || metadata !== undefined || requestedDate !== undefined) return canonicalJson(command);
  if (adjustmentPeriod !== undefined || onClosedPeriod !== undefined || onImbalance !== undefined) return canonicalJson(command);
  if (source !== undefined) return canonicalJson(command);
  let text = `{"description":${quoted(description)},"effectiveDate":${quoted(effectiveDate)},${optional('entryMethod', entryMethod)}${optional('entryType', entryType)}${optional('journalCode', journalCode)}"lines":[`;
  for (let index = 0; index < lines.length; index++) {
    const line = givenLineText(lines[index] as EntryLine);
    if (line === undefined) return canonicalJson(command);
    text += index === 0 ? line : `,${line}`;
  }
  return `${text}],${optional('reason', reason)}${optional('reference', reference)}"type":"${type}"}`;
}

function givenLineText(given: EntryLine): string | undefined {
  const { account, amount, currency, description, side } = given;
  const { baseAmount, dimensions, dueDate, origin, party, quantity, rate, reference, tax, valueDate } = given;
  if (baseAmount !== undefined || dimensions !== undefined || dueDate !== undefined || origin !== undefined) return undefined;
  if (party !== undefined || quantity !== undefined || rate !== undefined || reference !== undefined) return undefined;
  if (tax !== undefined || valueDate !== undefined) return undefined;
  return `{"account":${quoted(account)},"amount":${quoted(amount)},"currency":${quoted(currency)},${optional('description', description)}"side":${quoted(side)}}`;
}

const optional = (member: string, value: string | undefined): string => (value === undefined ? '' : `"${member}":${quoted(value)},`);

/** Metadata of a command's events, without userId and causationId. */
export interface CommandMetadata {
  readonly commandHash: string;
  readonly commandKey: string;
  readonly contextHash?: string;
  readonly correlationId?: string;
  readonly onBehalfOf?: string;
  readonly reason?: string;
  readonly release: string;
  readonly source: string;
}

export function metadataText(metadata: CommandMetadata): string {
  const { commandHash, commandKey, contextHash, correlationId, onBehalfOf, reason, release, source } = metadata;
  return `{"commandHash":"${commandHash}","commandKey":${quoted(commandKey)},${optional('contextHash', contextHash)}${optional('correlationId', correlationId)}${optional('onBehalfOf', onBehalfOf)}${optional('reason', reason)}"release":${quoted(release)},"source":"${source}"}`;
}

/** Data of AccountDebited and AccountCredited. Amounts are digits and a point, ids hexadecimal, currencies of the form that a book allows. */
export function legText(leg: AccountPosted): string {
  const base = leg.baseAmount === undefined ? '' : `"baseAmount":"${leg.baseAmount}",`;
  return `{"amount":"${leg.amount}",${base}"currency":"${leg.currency}","effectiveDate":"${leg.effectiveDate}","entryId":"${leg.entryId}","entryPosition":${leg.entryPosition},"line":${leg.line},"totalCredit":"${leg.totalCredit}","totalDebit":"${leg.totalDebit}"}`;
}

/** Data of JournalEntryPosted. */
export function entryText(entry: JournalEntryPosted): string {
  const { description, document, effectiveDate, entryMethod, entryType, fiscalYear, journalCode, lines, links, metadata } = entry;
  const { number, period, reference, requestedDate, source } = entry;
  let text = `{"description":${quoted(description)},${document === undefined ? '' : `"document":${canonicalJson(document)},`}"effectiveDate":"${effectiveDate}","entryMethod":"${entryMethod}","entryType":"${entryType}","fiscalYear":${quoted(fiscalYear)},"journalCode":"${journalCode}","lines":[`;
  for (let index = 0; index < lines.length; index++) text += (index === 0 ? '' : ',') + lineText(lines[index] as PostedLine);
  text += links === undefined && metadata === undefined ? '],' : `],${json('links', links)}${json('metadata', metadata)}`;
  text += `"number":${number},"period":${period}`;
  if (reference !== undefined) text += `,"reference":${quoted(reference)}`;
  if (requestedDate !== undefined) text += `,"requestedDate":"${requestedDate}"`;
  return source === undefined ? `${text}}` : `${text},"source":${canonicalJson(source)}}`;
}

function lineText(line: PostedLine): string {
  const { accountId, amount, baseAmount, code, currency, line: number, side } = line;
  const base = baseAmount === undefined ? '' : `"baseAmount":"${baseAmount}",`;
  const start = `{"accountId":"${accountId}","amount":"${amount}",${base}"code":${quoted(code)},"currency":"${currency}",`;
  const { description, dimensions, dueDate, origin, party, quantity, rate, reference, tax, valueDate } = line;
  const before = description ?? dimensions ?? dueDate;
  const after = origin ?? party ?? quantity ?? rate ?? reference ?? tax ?? valueDate;
  if (before === undefined && after === undefined) return `${start}"line":${number},"side":"${side}"}`;
  const middle = `${json('description', description)}${json('dimensions', dimensions)}${json('dueDate', dueDate)}"line":${number},`;
  const end = `${json('origin', origin)}${json('party', party)}${json('quantity', quantity)}${json('rate', rate)}${json('reference', reference)}"side":"${side}"`;
  const rest = `${tax === undefined ? '' : `,"tax":${canonicalJson(tax)}`}${valueDate === undefined ? '' : `,"valueDate":"${valueDate}"`}`;
  return `${start}${middle}${end}${rest}}`;
}

const json = (member: string, value: unknown): string => (value === undefined ? '' : `"${member}":${canonicalJson(value)},`);

/** Most texts need no escaping, and asking is cheaper than JSON.stringify. Surrogates go the careful way. */
const plain = /^[\x20\x21\x23-\x5b\x5d-\ud7ff\ue000-\uffff]*$/;
const quoted = (text: string): string => (typeof text === 'string' && plain.test(text) ? `"${text}"` : canonicalJson(text));

/** Members written above; one that is added to an event and not here is a compile error in the lines below. */
type LegMembers =
  | 'amount'
  | 'baseAmount'
  | 'currency'
  | 'effectiveDate'
  | 'entryId'
  | 'entryPosition'
  | 'line'
  | 'totalCredit'
  | 'totalDebit';
type EntryMembers =
  | 'description'
  | 'document'
  | 'effectiveDate'
  | 'entryMethod'
  | 'entryType'
  | 'fiscalYear'
  | 'journalCode'
  | 'lines'
  | 'links'
  | 'metadata'
  | 'number'
  | 'period'
  | 'reference'
  | 'requestedDate'
  | 'source';
type LineMembers =
  | 'accountId'
  | 'amount'
  | 'baseAmount'
  | 'code'
  | 'currency'
  | 'description'
  | 'dimensions'
  | 'dueDate'
  | 'line'
  | 'origin'
  | 'party'
  | 'quantity'
  | 'rate'
  | 'reference'
  | 'side'
  | 'tax'
  | 'valueDate';
/** Of a command; of its lines below. */
type CommandMembers =
  | Exclude<EntryMembers, 'fiscalYear' | 'number' | 'period'>
  | 'adjustmentPeriod'
  | 'onClosedPeriod'
  | 'onImbalance'
  | 'reason'
  | 'type';
type GivenLineMembers = Exclude<LineMembers, 'accountId' | 'code' | 'line'> | 'account';
type Forgotten =
  | Exclude<keyof PostEntry, CommandMembers>
  | Exclude<keyof EntryLine, GivenLineMembers>
  | Exclude<keyof AccountPosted, LegMembers>
  | Exclude<keyof JournalEntryPosted, EntryMembers>
  | Exclude<keyof PostedLine, LineMembers>;
null as unknown as Forgotten satisfies never;
