/**
 * The canonical JSON (RFC 8785) of the three events that every entry writes, put together member by member: a third of what
 * it costs to look at each member and stringify it. Hides which members hold text that never needs escaping; guarantees the
 * same bytes as canonicalJson, which a property test compares, and does not compile when a member is forgotten.
 */
import type { AccountPosted, JournalEntryPosted, PostedLine } from '#domain';
import { canonicalJson } from '#event-store';

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
const quoted = (text: string): string => (plain.test(text) ? `"${text}"` : canonicalJson(text));

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
type Forgotten =
  | Exclude<keyof AccountPosted, LegMembers>
  | Exclude<keyof JournalEntryPosted, EntryMembers>
  | Exclude<keyof PostedLine, LineMembers>;
null as unknown as Forgotten satisfies never;
