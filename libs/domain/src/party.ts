/**
 * Party: a customer, supplier, employee or other person whom lines of entries refer to, by an id that says nothing. Its personal
 * members reach this module as sealed texts and are never looked at. Decides whether a party may still be referred to, changed and
 * held, and which of its keys an erasure destroys. Guarantees that what is under a legal hold or a retention duty stays, that what
 * stays is named with the rule and its end, and that nothing personal is added once a person asked to be forgotten.
 */
import type { AccountState } from './account';
import type { CalendarDate } from './calendar-date';
import type { Decision } from './decision';
import { type ErrorDetails, LedgerError, type Refusals } from './errors';
import type { LineExtras } from './journal';

export const partyKinds = ['customer', 'supplier', 'employee', 'other'] as const;
export type PartyKind = (typeof partyKinds)[number];

/**
 * Personal members by what they are kept for: `identity` is what documents of the books must show of a business partner, `contact`
 * what only serves to reach them, which no retention duty covers. Each scope has a key of its own.
 */
export const personalMembers = {
  identity: ['name', 'address', 'taxNumber', 'bankAccount'],
  contact: ['email', 'phone', 'birthDate', 'note'],
} as const;
export type PersonalMember = (typeof personalMembers)['identity' | 'contact'][number];

/** The scope of the key that a personal member is sealed with. */
export const scopeOfMember = (member: PersonalMember): 'identity' | 'contact' =>
  (personalMembers.identity as readonly string[]).includes(member) ? 'identity' : 'contact';

/** Sealed texts by member. */
export type PersonalData = Readonly<Partial<Record<PersonalMember, string>>>;

export interface PartyOpened extends PersonalData {
  readonly kind: PartyKind;
  /** Where the party is, ISO 3166-1 alpha-2. */
  readonly country?: string;
  /** Opaque id in the caller's own system; never a name. */
  readonly reference?: string;
}

/** A key that was destroyed, told by what cannot lead back to it. */
export interface DestroyedKey {
  readonly scope: string;
  /** Absent where the scope never had a key. */
  readonly fingerprint?: string;
}

/** What a retention duty still covers, and until when. */
export interface RetainedScope {
  readonly scope: string;
  /** The day after which it may be destroyed. */
  readonly until: CalendarDate;
  /** The rule, in words: `DE books, 10 years (…)`. */
  readonly rule: string;
}

export interface PersonErased {
  readonly legalBasis: string;
  /** What was destroyed by this event, and what was found destroyed. */
  readonly keys: readonly DestroyedKey[];
  readonly retained: readonly RetainedScope[];
  /** Whether it was done because a retention duty ended, and nobody asked again. */
  readonly scheduled?: true;
}

export type PartyEvent =
  | { readonly type: 'PartyOpened'; readonly data: PartyOpened }
  /** Members that are named take the place of those before. */
  | { readonly type: 'PartyChanged'; readonly data: Omit<PartyOpened, 'kind'> }
  | { readonly type: 'PartyClosed'; readonly data: Readonly<Record<never, never>> }
  | { readonly type: 'LegalHoldPlaced'; readonly data: { readonly hold: string } }
  | { readonly type: 'LegalHoldReleased'; readonly data: { readonly hold: string } }
  | { readonly type: 'PersonErased'; readonly data: PersonErased }
  /** Duties have ended over what nobody had asked to be erased. */
  | { readonly type: 'RetentionEnded'; readonly data: { readonly keys: readonly DestroyedKey[] } };

export const partyEvents = {
  PartyOpened: { aggregateType: 'Party', version: 1 },
  PartyChanged: { aggregateType: 'Party', version: 1 },
  PartyClosed: { aggregateType: 'Party', version: 1 },
  LegalHoldPlaced: { aggregateType: 'Party', version: 1 },
  LegalHoldReleased: { aggregateType: 'Party', version: 1 },
  PersonErased: { aggregateType: 'Party', version: 1 },
  RetentionEnded: { aggregateType: 'Party', version: 1 },
} as const;

/** What decisions need of a party; its personal members stay in the events. */
export interface PartyState {
  readonly version: number;
  readonly kind: PartyKind;
  readonly status: 'open' | 'closed';
  /** Names of legal holds, in the order in which they were placed. */
  readonly holds: readonly string[];
  /** Present once a person asked to be forgotten: scopes whose keys are destroyed, and what is kept for now. */
  readonly erasure?: { readonly destroyed: readonly string[]; readonly retained: readonly RetainedScope[] };
}

function evolve(state: PartyState | undefined, event: PartyEvent): PartyState {
  if (event.type === 'PartyOpened') return { version: 1, kind: event.data.kind, status: 'open', holds: [] };
  if (state === undefined) throw new Error(`${event.type} before PartyOpened`);
  const version = state.version + 1;
  switch (event.type) {
    case 'PartyChanged':
    case 'RetentionEnded':
      return { ...state, version };
    case 'PartyClosed':
      return { ...state, version, status: 'closed' };
    case 'LegalHoldPlaced':
      return { ...state, version, holds: [...state.holds, event.data.hold] };
    case 'LegalHoldReleased':
      return { ...state, version, holds: state.holds.filter((hold) => hold !== event.data.hold) };
    case 'PersonErased': {
      const destroyed = [...new Set([...(state.erasure?.destroyed ?? []), ...event.data.keys.map(({ scope }) => scope)])];
      return { ...state, version, erasure: { destroyed, retained: event.data.retained } };
    }
  }
}

/** Folds a Party stream. */
export const partyReducer = {
  aggregateType: 'Party',
  version: 1,
  evolve,
  toSnapshot: (state: PartyState): unknown => state,
  fromSnapshot: (snapshot: unknown): PartyState => snapshot as PartyState,
};

// --- Commands ---

/** Personal members, sealed by whoever hands the command on. */
export interface OpenParty extends PartyOpened {
  readonly type: 'OpenParty';
  readonly reason?: string;
}

export interface ChangeParty extends Omit<PartyOpened, 'kind'> {
  readonly type: 'ChangeParty';
  readonly party: string;
  readonly reason?: string;
}

export type MoveParty =
  | { readonly type: 'CloseParty'; readonly party: string; readonly reason?: string }
  | { readonly type: 'PlaceHold' | 'ReleaseHold'; readonly party: string; readonly hold: string; readonly reason: string };

export interface ErasePerson {
  readonly type: 'ErasePerson';
  readonly party: string;
  /** Such as `GDPR Art. 17(1)(a)`. */
  readonly legalBasis: string;
  readonly reason: string;
  /** By the service, because duties have ended: what was asked for before is finished. */
  readonly scheduled?: true;
  /** What the service found out: no part of what the caller said. */
  readonly computed?: ErasurePlan;
}

/** Destroys what duties have covered until now, of a person who has not asked to be forgotten. */
export interface EndRetention {
  readonly type: 'EndRetention';
  readonly party: string;
  readonly reason: string;
  readonly computed?: ErasurePlan;
}

/** What may be destroyed of a person, found out before it is decided. */
export interface ErasurePlan {
  /** Keys that the person has, but for those destroyed before. */
  readonly keys: readonly DestroyedKey[];
  /** Of those, what a duty covers. */
  readonly retained: readonly RetainedScope[];
  /** The last event that was looked at. */
  readonly position: number;
}

// --- Decisions ---

/** @param id the party's id, which names its stream @throws LedgerError party_exists */
export function openParty(decision: Decision, { type: _type, reason: _reason, ...party }: OpenParty, id: string): void {
  decision.book();
  if (decision.party(id) !== undefined) throw new LedgerError('party_exists', `party ${id} was opened by another command`, { party: id });
  decision.recordParty(id, { type: 'PartyOpened', data: party });
}

/** @throws LedgerError party_unknown | party_closed | person_erased */
export function changeParty(decision: Decision, { type: _type, party: id, reason: _reason, ...changed }: ChangeParty): void {
  const party = knownParty(decision, id);
  if (party.status === 'closed') throw new LedgerError('party_closed', `party ${id} is closed`, { party: id });
  if (party.erasure !== undefined) throw erased(id);
  decision.recordParty(id, { type: 'PartyChanged', data: changed });
}

/** @throws LedgerError party_unknown | party_closed | hold_state */
export function moveParty(decision: Decision, command: MoveParty): void {
  const id = command.party;
  const { status, holds } = knownParty(decision, id);
  if (command.type === 'CloseParty') {
    if (status === 'closed') throw new LedgerError('party_closed', `party ${id} is closed already`, { party: id });
    decision.recordParty(id, { type: 'PartyClosed', data: {} });
    return;
  }
  const { hold } = command;
  const stands = holds.includes(hold);
  const places = command.type === 'PlaceHold';
  if (stands === places)
    throw new LedgerError('hold_state', `the legal hold "${hold}" ${stands ? 'stands already' : 'does not stand'} on party ${id}`, {
      party: id,
      hold,
    });
  decision.recordParty(id, { type: places ? 'LegalHoldPlaced' : 'LegalHoldReleased', data: { hold } });
}

/**
 * Destroys every key of a person that no retention duty covers.
 * @returns what is destroyed and what stays
 * @throws LedgerError party_unknown | legal_hold | nothing_to_erase | books_moving
 */
export function erasePerson(decision: Decision, { party: id, legalBasis, scheduled, computed }: ErasePerson): PersonErased {
  const party = knownParty(decision, id);
  const { keys, retained } = erasable(decision, id, party, computed);
  if (keys.length === 0 && party.erasure !== undefined) throw nothingToErase(id, retained);
  const data: PersonErased = { legalBasis, keys, retained, scheduled };
  decision.recordParty(id, { type: 'PersonErased', data });
  return data;
}

/**
 * Destroys what duties have covered until now.
 * @throws LedgerError as erasePerson
 */
export function endRetention(decision: Decision, { party: id, computed }: EndRetention): readonly DestroyedKey[] {
  const party = knownParty(decision, id);
  const { keys, retained } = erasable(decision, id, party, computed);
  if (keys.length === 0) throw nothingToErase(id, retained);
  decision.recordParty(id, { type: 'RetentionEnded', data: { keys } });
  return keys;
}

const nothingToErase = (id: string, retained: readonly RetainedScope[]): LedgerError =>
  new LedgerError(
    'nothing_to_erase',
    retained.length === 0
      ? `all that party ${id} had is erased`
      : `all of party ${id} that is left is covered by a duty: ${retained.map(({ scope, rule, until }) => `${scope} until ${until} (${rule})`).join('; ')}`,
    { party: id },
  );

/** @throws LedgerError legal_hold | books_moving */
function erasable(
  decision: Decision,
  id: string,
  party: PartyState,
  computed: ErasurePlan | undefined,
): Pick<PersonErased, 'keys' | 'retained'> {
  if (computed === undefined) throw new Error('what may be erased was not found out');
  // What refers to the person since then may be covered by a duty of its own.
  if (decision.mayReferSince(id, computed.position))
    throw new LedgerError('books_moving', `entries that name party ${id} were posted while it was found out what the party has; repeat`, {
      retryAfter: 1,
    });
  if (party.holds.length > 0)
    throw new LedgerError('legal_hold', `party ${id} is under legal hold (${party.holds.join(', ')}); release it first`, {
      party: id,
      holds: party.holds,
    });
  const retained = computed.retained;
  const stays = new Set(retained.map(({ scope }) => scope));
  return { keys: computed.keys.filter(({ scope }) => !stays.has(scope)), retained };
}

function knownParty(decision: Decision, id: string): PartyState {
  decision.book();
  const party = decision.party(id);
  if (party === undefined) throw new LedgerError('party_unknown', `there is no party ${id}`, { party: id }, 'not_found');
  return party;
}

const erased = (id: string): LedgerError =>
  new LedgerError('person_erased', `party ${id} was erased; nothing personal is added to it any more`, { party: id });

/** Whose accounts of a kind of party are: every line on one names such a party. `any`: of whatever kind. */
export const controlKinds = [...partyKinds, 'any'] as const;
export type ControlKind = (typeof controlKinds)[number];

/** Notes what speaks against the party of a line: on a control account there must be one, known, open and of its kind. */
export function checkParty(decision: Decision, account: AccountState, party: LineExtras['party'], line: number, refusals: Refusals): void {
  const { control, code } = account;
  if (control === undefined) return;
  const details: ErrorDetails = { account: code, line };
  if (party === undefined) {
    refusals.note(
      'party_required',
      () => `line ${line}: ${code} is a control account; name the ${control === 'any' ? 'party' : control} that the line is about (party)`,
      details,
    );
    return;
  }
  const known = decision.party(party.id);
  if (known === undefined)
    refusals.note('party_unknown', () => `line ${line}: there is no party ${party.id}; open it first (POST …/parties)`, {
      party: party.id,
      line,
    });
  else if (party.kind !== known.kind || (control !== 'any' && known.kind !== control))
    refusals.note(
      'party_kind',
      () =>
        `line ${line}: party ${party.id} is a ${known.kind}${control === 'any' ? `, not a ${party.kind}` : `; ${code} takes ${control}s`}`,
      { ...details, party: party.id },
    );
  else if (known.status === 'closed')
    refusals.note('party_closed', () => `line ${line}: party ${party.id} is closed`, { party: party.id, line });
}
