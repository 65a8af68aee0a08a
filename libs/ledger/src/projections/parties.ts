/**
 * Parties: who they are by id, where the log speaks of each, and what became of what it said. Hides the tables; guarantees that every
 * text that was sealed for a person, and every line that names one, is found here, which is what erasures and reports to a person are
 * made of. Holds nothing personal: sealed texts stay in the events.
 */
import type { CalendarDate, JournalEntryPosted, JournalWritten, PartyOpened, PersonErased } from '#domain';
import { dateArray, int4Array, int8Array, textArray, uuidArray } from '#postgres';
import { looksSealed, parseSealed, replaceSealed } from '#privacy';
import type { Database, Projection } from '../projection';

/** `parties`: one row per party · `party_mentions`: one per place · `party_keys`: one per scope and erasure, with `until` where it stays. */
export const parties: Projection = {
  name: 'parties',
  version: 2,
  tables: [
    {
      name: 'parties',
      columns: {
        position: 'bigint',
        party_id: 'uuid',
        book_id: 'text',
        kind: 'text',
        reference: 'text null',
      },
      primaryKey: ['book_id', 'party_id'],
      indexes: { position: { columns: ['book_id', 'position'] }, reference: { columns: ['book_id', 'reference', 'position'] } },
    },
    {
      name: 'party_mentions',
      columns: {
        position: 'bigint',
        party_id: 'uuid',
        stream_id: 'uuid',
        effective_date: 'date null',
        ordinal: 'integer',
        book_id: 'text',
        path: 'text',
        scope: 'text',
        event_type: 'text',
        fiscal_year: 'text null',
        document_type: 'text null',
      },
      // Not by the path, which callers make as long as their metadata may be: a row of an index ends at 2,704 bytes.
      primaryKey: ['book_id', 'party_id', 'position', 'ordinal'],
      indexes: { scope: { columns: ['book_id', 'scope', 'party_id'] } },
    },
    {
      name: 'party_keys',
      columns: {
        position: 'bigint',
        party_id: 'uuid',
        until: 'date null',
        book_id: 'text',
        scope: 'text',
        fingerprint: 'text null',
      },
      primaryKey: ['book_id', 'party_id', 'position', 'scope'],
      indexes: { due: { columns: ['book_id', 'until'] } },
    },
  ],
  inserts: [
    `INSERT INTO projections.parties (position, party_id, book_id, kind, reference)
     SELECT n.position, n.party_id, $book, n.kind, n.reference
       FROM unnest($1::int8[], $2::uuid[], $3::text[], $4::text[]) AS n (position, party_id, kind, reference)
      WHERE $won`,
    `INSERT INTO projections.party_mentions (position, party_id, stream_id, effective_date, ordinal, book_id, path, scope, event_type, fiscal_year, document_type)
     SELECT n.position, n.party_id, n.stream_id, n.effective_date, n.ordinal, $book, n.path, n.scope, n.event_type, n.fiscal_year, n.document_type
       FROM unnest($1::int8[], $2::uuid[], $3::uuid[], $4::date[], $5::int4[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
            AS n (position, party_id, stream_id, effective_date, ordinal, path, scope, event_type, fiscal_year, document_type)
      WHERE $won`,
    `INSERT INTO projections.party_keys (position, party_id, until, book_id, scope, fingerprint)
     SELECT n.position, n.party_id, n.until, $book, n.scope, n.fingerprint
       FROM unnest($1::int8[], $2::uuid[], $3::date[], $4::text[], $5::text[]) AS n (position, party_id, until, scope, fingerprint)
      WHERE $won`,
  ],
  fold(batches) {
    const opened = { positions: [] as number[], ids: [] as string[], kinds: [] as string[], references: [] as (string | undefined)[] };
    const mentions: Mention[] = [];
    const keys: KeyRow[] = [];
    for (const { events } of batches) {
      for (const { eventType, position, streamId, current } of events) {
        const at = { position, streamId, eventType };
        switch (eventType) {
          case 'JournalEntryPosted': {
            const { effectiveDate, fiscalYear, document, lines, ...texts } = current as unknown as JournalEntryPosted;
            const place = { ...at, effectiveDate, fiscalYear, documentType: document?.type };
            mentionsOfEntry(place, texts, lines, mentions);
            break;
          }
          case 'JournalCreated':
          case 'JournalRevised': {
            // Nothing is posted: no duty covers it.
            const { effectiveDate, lines, ...texts } = current as unknown as JournalWritten;
            mentionsOfEntry({ ...at, effectiveDate }, texts, lines, mentions);
            break;
          }
          case 'PartyOpened': {
            const { kind, reference } = current as unknown as PartyOpened;
            opened.positions.push(position);
            opened.ids.push(streamId);
            opened.kinds.push(kind);
            opened.references.push(reference);
            mentionsWithin(at, '', current, mentions);
            break;
          }
          case 'PartyChanged':
            mentionsWithin(at, '', current, mentions);
            break;
          case 'PersonErased':
          case 'RetentionEnded': {
            const { keys: destroyed, retained = [] } = current as unknown as PersonErased;
            for (const { scope, fingerprint } of destroyed) keys.push({ position, partyId: streamId, scope, fingerprint });
            for (const { scope, until } of retained) keys.push({ position, partyId: streamId, scope, until });
          }
        }
      }
    }
    return [
      [int8Array(opened.positions), uuidArray(opened.ids), textArray(opened.kinds), textArray(opened.references)],
      [
        int8Array(mentions.map(({ position }) => position)),
        uuidArray(mentions.map(({ partyId }) => partyId)),
        uuidArray(mentions.map(({ streamId }) => streamId)),
        dateArray(mentions.map(({ effectiveDate }) => effectiveDate)),
        int4Array(ordinals(mentions)),
        textArray(mentions.map(({ path }) => path)),
        textArray(mentions.map(({ scope }) => scope)),
        textArray(mentions.map(({ eventType }) => eventType)),
        textArray(mentions.map(({ fiscalYear }) => fiscalYear)),
        textArray(mentions.map(({ documentType }) => documentType)),
      ],
      [
        int8Array(keys.map(({ position }) => position)),
        uuidArray(keys.map(({ partyId }) => partyId)),
        dateArray(keys.map(({ until }) => until)),
        textArray(keys.map(({ scope }) => scope)),
        textArray(keys.map(({ fingerprint }) => fingerprint)),
      ],
    ];
  },
};

/** Which place of its event each mention is, from 0, in the order in which they are written: mentions of an event stand together. */
function ordinals(mentions: readonly Mention[]): number[] {
  let [position, ordinal] = [0, 0];
  return mentions.map((mention) => {
    ordinal = mention.position === position ? ordinal + 1 : 0;
    position = mention.position;
    return ordinal;
  });
}

interface KeyRow {
  readonly position: number;
  readonly partyId: string;
  readonly scope: string;
  readonly fingerprint?: string;
  readonly until?: CalendarDate;
}

interface Place {
  readonly position: number;
  readonly streamId: string;
  readonly eventType: string;
  readonly effectiveDate?: CalendarDate;
  /** Absent where nothing is posted. */
  readonly fiscalYear?: string;
  readonly documentType?: string;
}

/** A place in an event that speaks of a party. */
export interface Mention extends Place {
  readonly partyId: string;
  /** Of the member: `description`, `lines.0.party`. */
  readonly path: string;
  /** Of the key of a sealed text; empty where a line names the party. */
  readonly scope: string;
}

const partyIdForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** In the order of the names of members, which `ordinal` counts. */
function mentionsOfEntry(
  place: Place,
  { description, metadata, reference }: { readonly description: string; readonly metadata?: unknown; readonly reference?: string },
  lines: readonly { readonly description?: string; readonly party?: { readonly id: string } }[],
  mentions: Mention[],
): void {
  mentionsWithin(place, 'description', description, mentions);
  for (let index = 0; index < lines.length; index++) {
    const { description: text, party } = lines[index] as (typeof lines)[number];
    if (text !== undefined) mentionsWithin(place, `lines.${index}.description`, text, mentions);
    // Ids of other systems name no party of the book.
    if (party !== undefined && partyIdForm.test(party.id))
      mentions.push({ ...place, partyId: party.id, path: `lines.${index}.party`, scope: '' });
  }
  if (metadata !== undefined) mentionsWithin(place, 'metadata', metadata, mentions);
  mentionsWithin(place, 'reference', reference, mentions);
}

function mentionsWithin(place: Place, path: string, value: unknown, mentions: Mention[]): void {
  if (typeof value === 'string') {
    if (!looksSealed(value)) return;
    let nth = 0;
    replaceSealed(value, (sealed) => {
      const parsed = parseSealed(sealed);
      // Within a longer text there may be several.
      if (parsed !== undefined)
        mentions.push({ ...place, partyId: parsed.subjectId, path: nth++ === 0 ? path : `${path}#${nth}`, scope: parsed.scope });
      return sealed;
    });
  } else if (Array.isArray(value))
    for (let index = 0; index < value.length; index++) mentionsWithin(place, `${path}.${index}`, value[index], mentions);
  else if (typeof value === 'object' && value !== null)
    // Sorted, since where events are kept decides in which order the names of their members come.
    for (const key of Object.keys(value).sort())
      mentionsWithin(place, path === '' ? key : `${path}.${key}`, (value as Readonly<Record<string, unknown>>)[key], mentions);
}

// --- Reading ---

interface MentionRow {
  readonly position: number;
  readonly stream_id: string;
  readonly ordinal: number;
  readonly effective_date: string | null;
  readonly path: string;
  readonly scope: string;
  readonly event_type: string;
  readonly fiscal_year: string | null;
  readonly document_type: string | null;
}

/** Where the log speaks of a party up to a position, in the order of the log; some at a time. */
export async function mentionsOf(
  database: Database,
  bookId: string,
  partyId: string,
  {
    after,
    position,
    limit,
  }: { readonly after: readonly [position: number, ordinal: number]; readonly position: number; readonly limit: number },
): Promise<(Mention & { readonly ordinal: number })[]> {
  const { rows } = await database.query<MentionRow>({
    name: 'mentions-of-party',
    text: `SELECT position, stream_id, ordinal, effective_date, path, scope, event_type, fiscal_year, document_type
             FROM projections.party_mentions
            WHERE book_id = $1 AND party_id = $2 AND position <= $3 AND (position, ordinal) > ($4, $5)
            ORDER BY position, ordinal LIMIT $6`,
    values: [bookId, partyId, position, ...after, limit],
  });
  return rows.map(({ position, stream_id, ordinal, effective_date, path, scope, event_type, fiscal_year, document_type }) => ({
    position,
    partyId,
    streamId: stream_id,
    ordinal,
    eventType: event_type,
    path,
    scope,
    ...(effective_date === null ? {} : { effectiveDate: effective_date }),
    ...(fiscal_year === null ? {} : { fiscalYear: fiscal_year }),
    ...(document_type === null ? {} : { documentType: document_type }),
  }));
}

/** What duties hang on: posted places by scope, fiscal year and kind of document. */
export interface Duty {
  readonly partyId: string;
  readonly scope: string;
  readonly fiscalYear: string;
  readonly documentType?: string;
}

/** @param of some parties, or the scopes of all parties that begin with a text */
export async function dutiesOf(
  database: Database,
  bookId: string,
  of: { readonly partyIds: readonly string[] } | { readonly scopes: string },
): Promise<Duty[]> {
  const some = 'partyIds' in of;
  const { rows } = await database.query<{ party_id: string; scope: string; fiscal_year: string; document_type: string | null }>({
    name: some ? 'duties-of-parties' : 'duties-by-scope',
    text: `SELECT DISTINCT party_id, scope, fiscal_year, document_type FROM projections.party_mentions
            WHERE book_id = $1 AND ${some ? 'party_id = ANY ($2::uuid[])' : "scope LIKE $2 || '%'"} AND fiscal_year IS NOT NULL`,
    values: [bookId, some ? uuidArray(of.partyIds) : of.scopes],
  });
  return rows.map(({ party_id, scope, fiscal_year, document_type }) => ({
    partyId: party_id,
    scope,
    fiscalYear: fiscal_year,
    ...(document_type === null ? {} : { documentType: document_type }),
  }));
}

/** Every person and scope that something in the log is sealed for. */
export async function sealedScopes(database: Database, bookId: string): Promise<{ readonly subjectId: string; readonly scope: string }[]> {
  const { rows } = await database.query<{ party_id: string; scope: string }>({
    name: 'sealed-scopes',
    text: "SELECT DISTINCT party_id, scope FROM projections.party_mentions WHERE book_id = $1 AND scope <> ''",
    values: [bookId],
  });
  return rows.map(({ party_id, scope }) => ({ subjectId: party_id, scope }));
}

/** Keys that events say are destroyed, up to what is folded. */
export async function destroyedKeys(
  database: Database,
  bookId: string,
): Promise<{ readonly subjectId: string; readonly scope: string; readonly fingerprint: string }[]> {
  const { rows } = await database.query<{ party_id: string; scope: string; fingerprint: string }>({
    name: 'destroyed-keys',
    text: 'SELECT party_id, scope, fingerprint FROM projections.party_keys WHERE book_id = $1 AND fingerprint IS NOT NULL ORDER BY position',
    values: [bookId],
  });
  return rows.map(({ party_id, scope, fingerprint }) => ({ subjectId: party_id, scope, fingerprint }));
}

/** What stayed of persons who asked to be forgotten, because a duty covered it then. */
export async function keptScopes(database: Database, bookId: string): Promise<{ readonly partyId: string; readonly scope: string }[]> {
  const { rows } = await database.query<{ party_id: string; scope: string }>({
    name: 'kept-scopes',
    text: `SELECT DISTINCT k.party_id, k.scope FROM projections.party_keys k
            WHERE k.book_id = $1 AND k.until IS NOT NULL
              AND NOT EXISTS (SELECT FROM projections.party_keys gone
                               WHERE gone.book_id = $1 AND gone.party_id = k.party_id AND gone.scope = k.scope AND gone.until IS NULL)`,
    values: [bookId],
  });
  return rows.map(({ party_id, scope }) => ({ partyId: party_id, scope }));
}

export interface ListedParty {
  readonly id: string;
  readonly position: number;
}

/** Parties in the order in which they were opened. @param reference only those that have it in the caller's system */
export async function listParties(
  database: Database,
  bookId: string,
  {
    after,
    position,
    limit,
    reference,
  }: { readonly after: number; readonly position: number; readonly limit: number; readonly reference?: string },
): Promise<ListedParty[]> {
  const { rows } = await database.query<{ party_id: string; position: number }>({
    name: reference === undefined ? 'list-parties' : 'list-parties-by-reference',
    text: `SELECT party_id, position FROM projections.parties
            WHERE book_id = $1 AND position > $2 AND position <= $3 ${reference === undefined ? '' : 'AND reference = $5'}
            ORDER BY position LIMIT $4`,
    values: [bookId, after, position, limit, ...(reference === undefined ? [] : [reference])],
  });
  return rows.map(({ party_id, position }) => ({ id: party_id, position }));
}
