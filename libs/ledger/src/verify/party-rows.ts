/**
 * The rows that the projection of parties must hold, told again from the events by code that shares nothing with the fold that wrote
 * them: sealed texts are found here by their form alone, in whatever member they stand.
 */
import { copyText } from './copy-text';

type Json = Readonly<Record<string, unknown>>;
type Row = (table: 'parties' | 'party_mentions' | 'party_keys', text: string) => void;

/** sealed:v1:SUBJECT:SCOPE:EVENT:PATH:BOX. (libs/privacy/README.md). */
const uuid = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const sealed = new RegExp(`sealed:v1:(${uuid}):([a-z0-9-]{1,40}):${uuid}:[A-Za-z0-9%._~!*'()-]+:[A-Za-z0-9_-]+\\.`, 'g');
const named = new RegExp(`^${uuid}$`);

const spoken = ['description', 'lines', 'metadata', 'reference'];

/** Rows of one event; none of most. */
export function partyRows(position: number, streamId: string, eventType: string, data: Json, row: Row): void {
  if (eventType === 'PartyOpened')
    row('parties', `${position}\t${streamId}\t${copyText(String(data.kind))}\t${copyText(data.reference as string | undefined)}`);
  if (eventType === 'PersonErased' || eventType === 'RetentionEnded') {
    for (const { scope, fingerprint } of (data.keys ?? []) as readonly { scope: string; fingerprint?: string }[])
      row('party_keys', `${position}\t${streamId}\t${scope}\t\\N\t${copyText(fingerprint)}`);
    for (const { scope, until } of (data.retained ?? []) as readonly { scope: string; until: string }[])
      row('party_keys', `${position}\t${streamId}\t${scope}\t${until}\t\\N`);
    return;
  }
  const isEntry = eventType === 'JournalEntryPosted';
  const isDraft = eventType === 'JournalCreated' || eventType === 'JournalRevised';
  const isParty = eventType === 'PartyOpened' || eventType === 'PartyChanged';
  if (!isEntry && !isDraft && !isParty) return;
  const { type } = (data.document ?? {}) as { readonly type?: string };
  const place = [
    isParty ? '\\N' : String(data.effectiveDate),
    eventType,
    isEntry ? copyText(String(data.fiscalYear)) : '\\N',
    isEntry ? copyText(type) : '\\N',
  ].join('\t');
  let ordinal = 0;
  const mention = (party: string, path: string, scope: string): void =>
    row('party_mentions', `${position}\t${party}\t${ordinal++}\t${copyText(path)}\t${scope}\t${streamId}\t${place}`);
  const walk = (value: unknown, path: string): void => {
    if (typeof value === 'string') {
      let nth = 0;
      for (const [, party = '', scope = ''] of value.matchAll(sealed)) mention(party, ++nth === 1 ? path : `${path}#${nth}`, scope);
    } else if (Array.isArray(value)) for (const [index, member] of value.entries()) walk(member, `${path}.${index}`);
    else if (typeof value === 'object' && value !== null)
      for (const key of Object.keys(value).sort()) walk((value as Json)[key], path === '' ? key : `${path}.${key}`);
  };
  if (isParty) {
    walk(data, '');
    return;
  }
  // Places are counted in the order of the names of members.
  for (const member of spoken) {
    const value = data[member];
    if (value === undefined) continue;
    if (member !== 'lines') walk(value, member);
    else
      for (const [index, { description, party }] of (value as readonly { description?: unknown; party?: { id: string } }[]).entries()) {
        walk(description, `lines.${index}.description`);
        if (party !== undefined && named.test(party.id)) mention(party.id, `lines.${index}.party`, '');
      }
  }
}
