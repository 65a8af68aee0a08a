/**
 * Personal texts on their way into the log and out of it. In: what a command says of persons is sealed under the key of each before
 * the command is decided, so that no event, head, snapshot or projection ever holds it in plain form; what its idempotency key stands
 * for is told by marks that nobody can guess back once the key is destroyed. Out: whatever is shown is looked through for sealed
 * texts, and shows them opened, as a pseudonym, or as `[erased]`. Keys and their life are those of #privacy.
 */
import { randomBytes } from 'node:crypto';
import { type Decision, LedgerError, type PersonalMember, personalMembers, scopeOfMember } from '#domain';
import { type EventStore, uuidV7 } from '#event-store';
import {
  isSealed,
  KeyDestroyed,
  KeysUnavailable,
  keyName,
  looksSealed,
  markOf,
  openText,
  parseSealed,
  pseudonymOf,
  replaceSealed,
  type SubjectKey,
  type SubjectKeys,
  sealText,
  subjectKey,
} from '#privacy';
import type { UserActed } from './action-log';
import { partyStreamId } from './catalogue';
import type { Command, PostEntries } from './commands';
import { csvCell } from './reports/csv';

/** A text about a person, as callers give it in place of a description or of a text in metadata. */
export interface Mark {
  /** Id of the party. */
  readonly subject: string;
  readonly value: string;
}

/** Characters of the path of a text about a person: it stands in the sealed text and in what finds it again. */
const pathMax = 500;

/** A command that may be decided: nothing in it can be read without keys. */
export interface Protected {
  readonly command: Command;
  /** The same with marks in place of what was sealed: what its idempotency key stands for. */
  readonly said: Command;
  /** Ids of the events that texts were sealed for: one, or one per entry of a batch. Absent where nothing was. */
  readonly eventIds?: readonly (string | undefined)[];
  /** Whom the texts are about, by entry. */
  readonly subjects?: readonly (readonly string[])[];
}

export const unprotected = (command: Command): Protected => ({ command, said: command });

/** How canonical JSON shows that a text was replaced by a mark. */
export const markedMember = '"mark":"';

/** What is shown of a person who was forgotten. */
const erasedText = '[erased]';
/** What is shown of a text whose key is not there although nobody has destroyed it: a backup without keys was restored, or rows were lost. */
const missingText = '[key missing]';
/** What is shown of a text that its key does not open: somebody has changed it. `verify` tells more. */
const unreadableText = '[unreadable]';

const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

function isMark(value: unknown): value is Mark {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const { subject, value: text, ...more } = value as Record<string, unknown>;
  return typeof subject === 'string' && uuidForm.test(subject) && typeof text === 'string' && Object.keys(more).length === 0;
}

/** Members of an entry, or of a command about one, in which callers may speak of persons. */
interface Texts {
  readonly effectiveDate?: string;
  readonly description?: unknown;
  readonly lines?: readonly { readonly description?: unknown }[];
  readonly metadata?: unknown;
}

const hasMarks = ({ description, lines, metadata }: Texts): boolean =>
  isMark(description) || (lines?.some((line) => isMark(line.description)) ?? false) || (metadata !== undefined && holdsMark(metadata));

function holdsMark(value: unknown): boolean {
  if (isMark(value)) return true;
  return typeof value === 'object' && value !== null && Object.values(value).some(holdsMark);
}

type Replace = (mark: Mark, path: string) => unknown;

/** The same texts, each mark replaced. */
function replaceMarks<T extends Texts>(texts: T, replace: Replace): T {
  const { description, lines, metadata } = texts;
  return {
    ...texts,
    ...(isMark(description) ? { description: replace(description, 'description') } : {}),
    ...(lines === undefined
      ? {}
      : {
          lines: lines.map((line, index) =>
            isMark(line.description) ? { ...line, description: replace(line.description, `lines.${index}.description`) } : line,
          ),
        }),
    ...(metadata === undefined ? {} : { metadata: replaceWithin(metadata, 'metadata', replace) }),
  };
}

function replaceWithin(value: unknown, path: string, replace: Replace): unknown {
  if (isMark(value)) return replace(value, path);
  if (Array.isArray(value)) return value.map((element, index) => replaceWithin(element, `${path}.${index}`, replace));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, replaceWithin(member, `${path}.${key}`, replace)]));
}

/** The scope of the key for texts of an entry: one a year, so that each can be destroyed when the duty over its year ends. */
const scopeOfEntry = ({ effectiveDate }: Texts): string =>
  `entries-${/^\d{4}-/.test(effectiveDate ?? '') ? effectiveDate?.slice(0, 4) : new Date().getUTCFullYear()}`;

const everyMember: readonly PersonalMember[] = [...personalMembers.identity, ...personalMembers.contact];

/** What was shown opened: for the log of user actions. */
export interface Opened {
  /** Texts. */
  texts: number;
  /** Ids of parties. */
  readonly subjects: Set<string>;
}

/** Persons that one action names. */
const openedMax = 100;

/** What the log of user actions says of it; undefined when nothing was opened. */
export function openedBy(opened: Opened | null | undefined): UserActed['opened'] {
  if (!opened || opened.texts === 0) return undefined;
  return { texts: opened.texts, parties: [...opened.subjects].sort().slice(0, openedMax), of: opened.subjects.size };
}

export const presentations = ['masked', 'open', 'sealed'] as const;
/** masked: pseudonyms in place of personal texts · open: the texts · sealed: as they are stored. */
export type Presentation = (typeof presentations)[number];

export class Personal {
  constructor(
    private readonly keys: SubjectKeys,
    private readonly store: Pick<EventStore, 'head' | 'receipts' | 'readStream'>,
  ) {}

  /**
   * Seals what a command says of persons.
   * @param key of the command: a party that it opens has its id from it
   * @returns undefined when it says nothing of anybody
   * @throws LedgerError party_unknown | person_erased | too_large | keys_unavailable
   */
  protect(bookId: string, command: Command, key: string): Promise<Protected> | undefined {
    switch (command.type) {
      case 'PostEntry':
      case 'CorrectEntry':
      case 'CreateDraft':
      case 'ReviseDraft':
      case 'ReverseEntry':
        return hasMarks(command) ? this.sealEntries(bookId, [command], ([only], [said]) => [only as Command, said as Command]) : undefined;
      case 'PostEntries': {
        if (!command.entries.some(hasMarks)) return undefined;
        return this.sealEntries(bookId, command.entries, (entries, said) => [
          { ...command, entries: entries as PostEntries['entries'] },
          { ...command, entries: said as PostEntries['entries'] },
        ]);
      }
      case 'OpenParty':
        return this.sealParty(bookId, partyStreamId(bookId, key), command, key);
      case 'ChangeParty':
        return this.sealParty(bookId, command.party, command, undefined);
      default:
        return undefined;
    }
  }

  private async sealEntries(
    bookId: string,
    entries: readonly Texts[],
    compose: (entries: readonly Texts[], said: readonly Texts[]) => [Command, Command],
  ): Promise<Protected> {
    const wanted = new Map<string, { subjectId: string; scope: string }>();
    for (const entry of entries)
      replaceMarks(entry, ({ subject }, path) => {
        if (path.length > pathMax)
          throw new LedgerError(
            'too_large',
            `the text about a person at ${path.slice(0, 60)}… lies under names of ${path.length} characters together; ${pathMax} are allowed`,
            { member: path.slice(0, 200), limit: pathMax },
          );
        const place = { subjectId: subject.toLowerCase(), scope: scopeOfEntry(entry) };
        wanted.set(keyName(place.subjectId, place.scope), place);
      });
    const subjects = entries.map((entry) => {
      const named = new Set<string>();
      replaceMarks(entry, ({ subject }) => named.add(subject.toLowerCase()));
      return [...named];
    });
    const keys = await this.keysOfSubjects(bookId, [...wanted.values()], [...new Set(subjects.flat())]);
    const keyOf = ({ subject }: Mark, entry: Texts): SubjectKey =>
      keys.get(keyName(subject.toLowerCase(), scopeOfEntry(entry))) as SubjectKey;
    const eventIds = entries.map((entry) => (hasMarks(entry) ? uuidV7() : undefined));
    const sealed = entries.map((entry, index) =>
      replaceMarks(entry, (mark, path) =>
        sealText(
          keyOf(mark, entry),
          { bookId, subjectId: mark.subject.toLowerCase(), scope: scopeOfEntry(entry), eventId: eventIds[index] as string, path },
          mark.value,
        ),
      ),
    );
    const told = entries.map((entry) =>
      replaceMarks(entry, (mark) => ({ mark: markOf(keyOf(mark, entry), mark.value), subject: mark.subject.toLowerCase() })),
    );
    const [command, said] = compose(sealed, told);
    return { command, said, eventIds, subjects };
  }

  /** One question where all keys are there, as most times. @throws LedgerError party_unknown | person_erased | keys_unavailable */
  private async keysOfSubjects(
    bookId: string,
    wanted: readonly { subjectId: string; scope: string }[],
    subjects: readonly string[],
  ): Promise<ReadonlyMap<string, SubjectKey>> {
    const identities = subjects.map((subjectId) => ({ subjectId, scope: 'identity' }));
    const found = await this.reach(() => this.keys.find(bookId, [...wanted, ...identities]));
    if ([...wanted, ...identities].every(({ subjectId, scope }) => found.has(keyName(subjectId, scope)))) return found;
    await this.checkSubjects(bookId, subjects);
    return this.obtain(bookId, wanted);
  }

  /**
   * Before a key is made for somebody: whoever was opened has one for what identifies them, unless it is destroyed, or lost.
   * @throws LedgerError party_unknown | person_erased | keys_unavailable
   */
  private async checkSubjects(bookId: string, subjects: readonly string[]): Promise<void> {
    const scope = 'identity';
    const known = await this.reach(() =>
      this.keys.find(
        bookId,
        subjects.map((subjectId) => ({ subjectId, scope })),
      ),
    );
    for (const subject of subjects) {
      if (known.has(keyName(subject, scope))) continue;
      await this.tellMissing(bookId, subject, [scope]);
      throw new LedgerError('party_unknown', `there is no party ${subject}; open it first (POST …/parties)`, { party: subject });
    }
  }

  /**
   * Keys that are not here, of somebody who should have them: destroyed, or lost. None is made in the place of a lost one, which a backup
   * may bring back.
   * @throws LedgerError person_erased | keys_unavailable; returns where there is no such party, or its keys are here by now
   */
  private async tellMissing(bookId: string, subject: string, scopes: readonly string[]): Promise<void> {
    const [lost] = await this.keys.missing(
      bookId,
      scopes.map((scope) => ({ subjectId: subject, scope })),
    );
    if (lost === undefined) {
      // Or made in this moment, by whoever opens the party.
      const destroyed = await this.keys.destroyed(bookId, subject);
      if (scopes.some((scope) => destroyed.includes(scope))) throw erased(subject);
      return;
    }
    if ((await this.store.readStream(bookId, subject)).length === 0) return;
    throw new LedgerError(
      'keys_unavailable',
      `the key ${lost.scope} of party ${subject} is missing, and nobody has destroyed it: restore the backup of the keys (schema privacy); book-keeper privacy reconcile names all that are missing`,
      { retryAfter: 60 },
    );
  }

  private async sealParty(
    bookId: string,
    subjectId: string,
    command: Extract<Command, { readonly type: 'OpenParty' | 'ChangeParty' }>,
    /** Of a command that opens it. */
    openedBy: string | undefined,
  ): Promise<Protected> {
    const scopes = ['identity', 'contact'] as const;
    const wanted = scopes.map((scope) => ({ subjectId, scope }));
    const keys =
      openedBy === undefined ? await this.keysToChange(bookId, subjectId, wanted) : await this.keysToOpen(bookId, wanted, openedBy);
    const eventId = uuidV7();
    const sealed: Record<string, unknown> = {};
    const marked: Record<string, unknown> = {};
    for (const member of everyMember) {
      const value = command[member];
      if (value === undefined) continue;
      const scope = scopeOfMember(member);
      const key = keys.get(keyName(subjectId, scope)) as SubjectKey;
      sealed[member] = sealText(key, { bookId, subjectId, scope, eventId, path: member }, value);
      marked[member] = { mark: markOf(key, value) };
    }
    return { command: { ...command, ...sealed }, said: { ...command, ...marked }, eventIds: [eventId] };
  }

  /** Both were made when the party was opened. @throws LedgerError party_unknown | person_erased | keys_unavailable */
  private async keysToChange(
    bookId: string,
    subjectId: string,
    wanted: readonly { subjectId: string; scope: string }[],
  ): Promise<ReadonlyMap<string, SubjectKey>> {
    const known = await this.reach(() => this.keys.find(bookId, wanted));
    const absent = wanted.filter(({ scope }) => !known.has(keyName(subjectId, scope))).map(({ scope }) => scope);
    if (absent.length === 0) return known;
    await this.tellMissing(bookId, subjectId, absent);
    throw new LedgerError('party_unknown', `there is no party ${subjectId}; open it first (POST …/parties)`, { party: subjectId });
  }

  /**
   * Keys for a party that is about to be opened: nothing is left behind in a book that there is not, or for a key that stands for another
   * command. @throws LedgerError book_unknown | person_erased | keys_unavailable
   */
  private async keysToOpen(
    bookId: string,
    wanted: readonly { subjectId: string; scope: string }[],
    key: string,
  ): Promise<ReadonlyMap<string, SubjectKey>> {
    const known = await this.reach(() => this.keys.find(bookId, wanted));
    if (known.size === wanted.length) return known;
    if ((await this.store.head(bookId)).position === 0)
      throw new LedgerError('book_unknown', `there is no book ${bookId}`, { book: bookId });
    const [receipt] = await this.store.receipts(bookId, [{ key, item: 0 }]);
    if (receipt?.command === 'OpenParty') {
      // Whoever has opened it in the meantime has made them: only what is not here now is lost.
      const now = await this.reach(() => this.keys.find(bookId, wanted));
      for (const { subjectId, scope } of wanted)
        if (!now.has(keyName(subjectId, scope))) await this.tellMissing(bookId, subjectId, [scope]);
    }
    if (receipt === undefined || receipt.command === 'OpenParty') return this.obtain(bookId, wanted);
    // It is refused because of its key, whatever it says: by keys that nobody keeps.
    return new Map(wanted.map(({ subjectId, scope }) => [keyName(subjectId, scope), subjectKey(randomBytes(32))]));
  }

  private async obtain(bookId: string, wanted: readonly { subjectId: string; scope: string }[]): Promise<ReadonlyMap<string, SubjectKey>> {
    return this.reach(() => this.keys.obtain(bookId, wanted));
  }

  private async reach<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      if (error instanceof KeyDestroyed) throw erased(error.subjectId, error.scope);
      if (error instanceof KeysUnavailable)
        throw new LedgerError('keys_unavailable', `keys of persons cannot be used now: ${error.message}`, { retryAfter: 1 }, undefined, {
          cause: error,
        });
      throw error;
    }
  }

  // --- Out ---

  /**
   * The same value with every sealed text in it as it is to be shown.
   * @param value JSON: texts, lists, objects
   * @param opened counts what is opened
   * @throws LedgerError keys_unavailable
   */
  async reveal<T>(bookId: string, value: T, as: Presentation, opened?: Opened): Promise<T> {
    if (as === 'sealed') return value;
    const texts = new Set<string>();
    collect(value, texts);
    if (texts.size === 0) return value;
    const shown = await this.shown(bookId, texts, as, opened);
    return rewrite(value, (text) => replaceSealed(text, (sealed) => shown.get(sealed) ?? erasedText)) as T;
  }

  /** The same of a text in JSON or CSV that holds whole values or rows. */
  async revealText(bookId: string, text: string, format: 'json' | 'csv', as: Presentation, opened?: Opened): Promise<string> {
    if (as === 'sealed' || !looksSealed(text)) return text;
    const texts = new Set<string>();
    replaceSealed(text, (sealed) => {
      texts.add(sealed);
      return '';
    });
    if (texts.size === 0) return text;
    const shown = await this.shown(bookId, texts, as, opened);
    const open = (sealed: string): string => shown.get(sealed) ?? erasedText;
    if (format === 'json') return replaceSealed(text, (sealed) => JSON.stringify(open(sealed)).slice(1, -1));
    return text.replace(cells, (cell) => {
      if (!looksSealed(cell)) return cell;
      const content = cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell;
      return csvCell(replaceSealed(content, open), ',');
    });
  }

  private async shown(
    bookId: string,
    texts: ReadonlySet<string>,
    as: 'masked' | 'open',
    opened: Opened | undefined,
  ): Promise<Map<string, string>> {
    const sealed = [...texts].flatMap((text) => {
      const parsed = parseSealed(text);
      return parsed === undefined ? [] : [{ text, parsed }];
    });
    const wanted = new Map<string, { subjectId: string; scope: string }>();
    for (const { parsed } of sealed)
      for (const scope of as === 'open' ? [parsed.scope] : [parsed.scope, 'identity'])
        wanted.set(keyName(parsed.subjectId, scope), { subjectId: parsed.subjectId, scope });
    const keys = await this.reach(() => this.keys.find(bookId, [...wanted.values()]));
    const absent = [...wanted].filter(([name]) => !keys.has(name)).map(([, place]) => place);
    const missing = new Set((await this.keys.missing(bookId, absent)).map(({ subjectId, scope }) => keyName(subjectId, scope)));
    const shown = new Map<string, string>();
    for (const { text, parsed } of sealed) {
      const key = keys.get(keyName(parsed.subjectId, parsed.scope));
      const identity = keys.get(keyName(parsed.subjectId, 'identity'));
      const needed = (as === 'open' ? [parsed.scope] : [parsed.scope, 'identity']).map((scope) => keyName(parsed.subjectId, scope));
      // What is destroyed is erased, whatever else is lost.
      if (needed.some((name) => !keys.has(name) && !missing.has(name))) shown.set(text, erasedText);
      else if (key === undefined || (as === 'masked' && identity === undefined)) shown.set(text, missingText);
      else if (as === 'masked') shown.set(text, `[${pseudonymOf(identity as SubjectKey)}]`);
      else {
        const value = openText(key, bookId, parsed);
        shown.set(text, value ?? unreadableText);
        if (opened === undefined || value === undefined) continue;
        opened.texts++;
        opened.subjects.add(parsed.subjectId);
      }
    }
    return shown;
  }

  /** What a person is called where names are not shown; undefined once what identifies them is erased. */
  async pseudonyms(bookId: string, subjects: readonly string[]): Promise<Map<string, string>> {
    const keys = await this.reach(() =>
      this.keys.find(
        bookId,
        subjects.map((subjectId) => ({ subjectId, scope: 'identity' })),
      ),
    );
    return new Map(
      subjects.flatMap((subject) => {
        const key = keys.get(keyName(subject, 'identity'));
        return key === undefined ? [] : [[subject, pseudonymOf(key)] as const];
      }),
    );
  }
}

/** Decided under the head of the book: whoever was erased a moment ago gets no further text. @throws LedgerError party_unknown | person_erased */
export function checkSubjects(decision: Decision, subjects: readonly string[]): void {
  decision.book();
  for (const subject of subjects) {
    const party = decision.party(subject);
    if (party === undefined) throw new LedgerError('party_unknown', `there is no party ${subject}`, { party: subject });
    if (party.erasure !== undefined) throw erased(subject);
  }
}

/** @param scope of a text, where only that is known to be destroyed: not the person was erased but what was said in one year */
function erased(party: string, scope = 'identity'): LedgerError {
  const year = /^entries-(\d{4})$/.exec(scope)?.[1];
  const message =
    year === undefined
      ? `party ${party} was erased: nothing personal is kept under this id any more`
      : `texts about party ${party} in entries of ${year} were erased, since the duty to keep them has ended: say it without a text about the person (no subject), or in an entry of another year`;
  return new LedgerError('person_erased', message, { party });
}

/** Cells of a CSV row, quoted or not. */
const cells = /"(?:[^"]|"")*"|[^",\r\n]+/g;

function collect(value: unknown, texts: Set<string>): void {
  if (typeof value === 'string') {
    if (isSealed(value)) texts.add(value);
    else if (looksSealed(value))
      replaceSealed(value, (sealed) => {
        texts.add(sealed);
        return '';
      });
  } else if (typeof value === 'object' && value !== null) for (const member of Object.values(value)) collect(member, texts);
}

function rewrite(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === 'string') return looksSealed(value) ? change(value) : value;
  if (Array.isArray(value)) return value.map((element) => rewrite(element, change));
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, rewrite(member, change)]));
}
