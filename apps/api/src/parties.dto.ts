/** Bodies of commands on parties and retention, and what they answer. Personal members come in plain form and are sealed at once. */
import { ApiProperty } from '@nestjs/swagger';
import {
  type ChangeParty,
  type DefineRetention,
  type ErasePerson,
  type MoveParty,
  type OpenParty,
  type PartyKind,
  partyKinds,
} from '#domain';
import { Recorded } from './books.dto';
import { Country, OneOf, Prose, Text, Token, Whole, WholeText } from './members';

const optional = true;
const reason = { optional, description: 'Why: stands in the event; name nobody in it.' } as const;

/** What may be known of a party; everything but reference and country is personal and kept encrypted. */
class PartyMembers {
  @Country({ optional, description: 'Where the party is, ISO 3166-1 alpha-2.', example: 'DE' })
  country?: string;

  @Text(100, { optional, description: "Opaque id in the caller's own system; never a name.", example: 'C-1042' })
  reference?: string;

  @Text(200, { optional, description: 'Name.', example: 'Jane Doe' })
  name?: string;

  @Prose(1000, { optional, description: 'Postal address.', example: 'Hauptstraße 1, 10115 Berlin' })
  address?: string;

  @Text(60, { optional, description: 'Tax number.', example: 'DE123456789' })
  taxNumber?: string;

  @Text(60, { optional, description: 'Bank account.', example: 'DE02120300000000202051' })
  bankAccount?: string;

  @Text(200, {
    optional,
    description: 'Address of electronic mail. No duty to keep it, as of the members below.',
    example: 'jane@example.org',
  })
  email?: string;

  @Text(60, { optional, description: 'Telephone.', example: '+49 30 1234567' })
  phone?: string;

  @Text(30, { optional, description: 'Day of birth.', example: '1990-04-01' })
  birthDate?: string;

  @Prose(2000, { optional, description: 'Anything else about the person.' })
  note?: string;

  @Prose(500, reason)
  reason?: string;
}

export class OpenPartyBody extends PartyMembers {
  @OneOf(partyKinds, { description: 'What the party is to the books.', example: 'customer' })
  kind!: PartyKind;
}

export class ChangePartyBody extends PartyMembers {}

export class ClosePartyBody {
  @Prose(500, reason)
  reason?: string;
}

export class HoldBody {
  @Text(100, { description: 'Name of the legal hold, such as a case number; no name of a person.', example: 'case 17/2026' })
  hold!: string;

  @Prose(500, { description: 'Why: stands in the event; name nobody in it.', example: 'Pending law suit' })
  reason!: string;
}

export class EraseBody {
  @Text(200, { description: 'What the erasure rests on.', example: 'GDPR Art. 17(1)(a)' })
  legalBasis!: string;

  @Prose(500, { description: 'Why: stands in the event; name nobody in it.', example: 'Consent was withdrawn' })
  reason!: string;
}

export class RetentionBody {
  @Country({ optional, description: 'ISO 3166-1 alpha-2; any country when it is left out.', example: 'DE' })
  country?: string;

  @Token({ description: 'The `type` of documents, or books: whatever has no rule of its own.', example: 'books' })
  documentType!: string;

  @Whole(0, 100, { description: 'Whole years after the end of the fiscal year; 0: no duty.', example: 10 })
  years!: number;

  @Text(200, { description: 'Law and clause.', example: 'HGB § 257' })
  source!: string;

  @Prose(500, reason)
  reason?: string;
}

export class PartiesQuery {
  @Text(100, { optional, description: "Only those with this id in the caller's own system.", example: 'C-1042' })
  reference?: string;

  @WholeText(1, 1000, { optional, description: 'Parties per page.', default: 100 })
  limit?: string;

  @Text(2000, { optional, description: 'Where the last page ended: its `nextCursor`.' })
  cursor?: string;
}

export class PartyReportQuery {
  @OneOf(['json', 'csv'], { optional, description: 'What the answer is.', default: 'json' })
  format?: string;
}

export const openParty = (body: OpenPartyBody): OpenParty => ({ ...body, type: 'OpenParty' });
export const changeParty = (body: ChangePartyBody, party: string): ChangeParty => ({ ...body, type: 'ChangeParty', party });
export const closeParty = (body: ClosePartyBody, party: string): MoveParty => ({ ...body, type: 'CloseParty', party });
export const placeHold = (body: HoldBody, party: string): MoveParty => ({ ...body, type: 'PlaceHold', party });
export const releaseHold = (body: HoldBody, party: string): MoveParty => ({ ...body, type: 'ReleaseHold', party });
export const erasePerson = (body: EraseBody, party: string): ErasePerson => ({ ...body, type: 'ErasePerson', party });
export const defineRetention = (body: RetentionBody): DefineRetention => ({
  ...body,
  country: body.country ?? '*',
  type: 'DefineRetention',
});

// --- Answers ---

export class PartyRecorded extends Recorded {
  @ApiProperty({ description: 'Says nothing of the person.', example: '0198c0de-0000-5000-8000-000000000009' })
  id!: string;

  @ApiProperty({ enum: partyKinds })
  kind!: string;

  @ApiProperty({ enum: ['open', 'closed'] })
  status!: string;

  @ApiProperty({ type: [String], description: 'Legal holds that stand.' })
  holds!: readonly string[];
}

export class DestroyedKeyShown {
  @ApiProperty({ description: 'What the key was for.', example: 'contact' })
  scope!: string;

  @ApiProperty({ required: false, description: 'SHA-256 by which the key is told, hex.' })
  fingerprint?: string;
}

export class RetainedShown {
  @ApiProperty({ description: 'What stays: identity, or texts of entries of a year.', example: 'entries-2026' })
  scope!: string;

  @ApiProperty({ description: 'The last day of the duty; it is destroyed by itself after that.', example: '2036-12-31' })
  until!: string;

  @ApiProperty({ description: 'Country, kind of document, period and law.', example: 'DE books, 10 years (HGB § 257)' })
  rule!: string;
}

export class PersonErasedShown extends Recorded {
  @ApiProperty({ description: 'The party.' })
  id!: string;

  @ApiProperty({ type: () => [DestroyedKeyShown], description: 'What is destroyed.' })
  erased!: readonly DestroyedKeyShown[];

  @ApiProperty({ type: () => [RetainedShown], description: 'What a duty covers for now.' })
  retained!: readonly RetainedShown[];
}

class ErasureShown {
  @ApiProperty({ type: [String], description: 'Scopes whose keys are destroyed.' })
  destroyed!: readonly string[];

  @ApiProperty({ type: () => [RetainedShown] })
  retained!: readonly RetainedShown[];
}

export class PartyShown {
  @ApiProperty({ description: 'Says nothing of the person.', example: '0198c0de-0000-5000-8000-000000000009' })
  id!: string;

  @ApiProperty({ enum: partyKinds })
  kind!: string;

  @ApiProperty({ enum: ['open', 'closed'] })
  status!: string;

  @ApiProperty({
    required: false,
    description: 'What the party is called where names are not shown; absent once it is erased.',
    example: 'P-7K2M9QX4TB3D',
  })
  pseudonym?: string;

  @ApiProperty({ required: false })
  country?: string;

  @ApiProperty({ required: false })
  reference?: string;

  @ApiProperty({
    required: false,
    description: 'As the header Personal-Data asks: the name, a pseudonym, or as it is stored; [erased] once it is.',
  })
  name?: string;

  @ApiProperty({ required: false })
  address?: string;

  @ApiProperty({ required: false })
  taxNumber?: string;

  @ApiProperty({ required: false })
  bankAccount?: string;

  @ApiProperty({ required: false })
  email?: string;

  @ApiProperty({ required: false })
  phone?: string;

  @ApiProperty({ required: false })
  birthDate?: string;

  @ApiProperty({ required: false })
  note?: string;

  @ApiProperty({ type: [String], description: 'Legal holds that stand.' })
  holds!: readonly string[];

  @ApiProperty({ required: false, type: () => ErasureShown, description: 'Present once the person asked to be forgotten.' })
  erasure?: ErasureShown;

  @ApiProperty({ description: 'Of the last event about the party.' })
  position!: number;
}

export class PartiesPage {
  @ApiProperty({ description: 'The position that the page holds for.' })
  position!: number;

  @ApiProperty({ type: () => [PartyShown] })
  parties!: readonly PartyShown[];

  @ApiProperty({ required: false, description: 'Absent at the end.' })
  nextCursor?: string;
}

export class ErasurePreviewShown {
  @ApiProperty()
  id!: string;

  @ApiProperty({ type: [String], description: 'Scopes whose keys would be destroyed today.' })
  erased!: readonly string[];

  @ApiProperty({ type: () => [RetainedShown] })
  retained!: readonly RetainedShown[];

  @ApiProperty({ type: [String], description: 'Legal holds that stand: as long as there is one, nothing is erased.' })
  holds!: readonly string[];

  @ApiProperty()
  position!: number;
}

class LineOfPlace {
  @ApiProperty()
  account!: string;

  @ApiProperty()
  side!: string;

  @ApiProperty()
  amount!: string;

  @ApiProperty()
  currency!: string;
}

class PlaceShown {
  @ApiProperty()
  position!: number;

  @ApiProperty()
  recordedAt!: string;

  @ApiProperty()
  eventType!: string;

  @ApiProperty()
  aggregateId!: string;

  @ApiProperty({ description: 'The member of the event.', example: 'lines.0.party' })
  path!: string;

  @ApiProperty({ required: false })
  effectiveDate?: string;

  @ApiProperty({ required: false, example: 'GENERAL/2026/17' })
  number?: string;

  @ApiProperty({ required: false, description: 'What is said of the person.' })
  text?: string;

  @ApiProperty({ required: false, type: () => LineOfPlace, description: 'Where a line names the person: what it moves.' })
  line?: LineOfPlace;

  @ApiProperty({ required: false })
  keptUntil?: string;

  @ApiProperty({ required: false })
  rule?: string;
}

export class AccessReportShown {
  @ApiProperty()
  position!: number;

  @ApiProperty({ type: () => PartyShown })
  party!: PartyShown;

  @ApiProperty({ type: () => [PlaceShown], description: 'Every place at which the books speak of the person.' })
  places!: readonly PlaceShown[];
}

export class RetentionRuleShown {
  @ApiProperty({ description: 'ISO 3166-1 alpha-2; * is any.' })
  country!: string;

  @ApiProperty()
  documentType!: string;

  @ApiProperty()
  years!: number;

  @ApiProperty()
  source!: string;
}

export class RetentionRecorded extends Recorded {
  @ApiProperty()
  country!: string;

  @ApiProperty()
  documentType!: string;

  @ApiProperty()
  years!: number;

  @ApiProperty()
  source!: string;
}

export class RetentionRulesShown {
  @ApiProperty({ type: () => [RetentionRuleShown], description: 'Of the book; the last one that fits holds.' })
  own!: readonly RetentionRuleShown[];

  @ApiProperty({ type: () => [RetentionRuleShown], description: 'What holds where the book states nothing.' })
  builtIn!: readonly RetentionRuleShown[];
}
