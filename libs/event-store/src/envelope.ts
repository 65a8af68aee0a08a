/**
 * The event envelope and its bytes: what stands in the log, what is hashed, and how an event of an older version is read.
 * Guarantees that the leaf hash of an event can be computed again from its stored members alone, by anyone (RFC 8785 and
 * SHA-256 are all it takes), and that upcasting happens in one place for every reader.
 */
import * as crypto from 'node:crypto';
import { canonicalJson } from './canonical-json';

/** One event as it is stored, before upcasting. Hash this, show this to an auditor. */
export interface StoredEvent {
  readonly bookId: string;
  /** 1, 2, 3 … per book. */
  readonly position: number;
  readonly streamId: string;
  /** 1, 2, 3 … per stream. */
  readonly version: number;
  readonly eventType: string;
  readonly eventVersion: number;
  readonly eventId: string;
  /** UTC, six decimals: 2026-07-05T12:00:00.000001Z. */
  readonly recordedAt: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** With `userId`, which the envelope shows as a member of its own. */
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly leafHash: Buffer;
}

/** What the store must know of an event type: whose it is, its newest version, and how to read the older ones. */
export interface EventDefinition {
  readonly aggregateType: string;
  readonly version: number;
  /** A faster way to the canonical text of data in the newest version, equal to canonicalJson(data) byte for byte. */
  readonly canonicalText?: (data: never) => string;
  /** upcasters[n - 1] turns data of version n into data of version n + 1; pure. */
  readonly upcasters?: readonly ((data: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>)[];
  /**
   * What older releases did not write into events of this type because the first event of the book implies it.
   * @param opening data of that first event
   * @returns what completes data in the newest version; undefined where nothing is left to say. Both pure, and nothing happens to complete data.
   */
  readonly completion?: (opening: Readonly<Record<string, unknown>>) => Completion | undefined;
}

export type Completion = (data: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>;

/** Every event type that a log may hold. */
export type EventCatalogue = Readonly<Record<string, EventDefinition>>;

/** The JSON names of an envelope, for API answers and exports. */
export interface Envelope {
  readonly eventId: string;
  readonly eventType: string;
  readonly eventVersion: number;
  readonly bookId: string;
  readonly aggregateType: string;
  readonly aggregateId: string;
  readonly version: number;
  readonly position: number;
  readonly recordedAt: string;
  readonly userId?: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** @throws Error for a type that the catalogue does not have */
export function definitionOf(catalogue: EventCatalogue, eventType: string): EventDefinition {
  const definition = Object.hasOwn(catalogue, eventType) ? catalogue[eventType] : undefined;
  if (definition === undefined)
    throw new Error(`event type ${eventType} is not known to this release; a newer release wrote it or the log was changed`);
  return definition;
}

/** The envelope of a stored event: the same facts under their JSON names. */
export function envelopeOf(catalogue: EventCatalogue, event: StoredEvent): Envelope {
  const { userId, ...metadata } = event.metadata;
  return {
    eventId: event.eventId,
    eventType: event.eventType,
    eventVersion: event.eventVersion,
    bookId: event.bookId,
    aggregateType: definitionOf(catalogue, event.eventType).aggregateType,
    aggregateId: event.streamId,
    version: event.version,
    position: event.position,
    recordedAt: event.recordedAt,
    ...(typeof userId === 'string' ? { userId } : {}),
    data: event.data,
    metadata,
  };
}

/** SHA-256(0x00 ‖ RFC 8785 form of the stored envelope): the Merkle leaf of the event (DESIGN section 4, RFC 9162 section 2.1.1). */
export function leafHashOf(catalogue: EventCatalogue, event: Omit<StoredEvent, 'leafHash'>): Buffer {
  return crypto
    .createHash('sha256')
    .update('\0')
    .update(canonicalJson(envelopeOf(catalogue, { ...event, leafHash: Buffer.alloc(0) })), 'utf8')
    .digest();
}

/** What a leaf hash is made of beside the members that all events of one append share; JSON texts in canonical form. */
export interface LeafParts {
  readonly streamId: string;
  readonly eventId: string;
  readonly position: number;
  readonly version: number;
  readonly data: string;
  /** Without userId. */
  readonly metadata: string;
  readonly userId: string | undefined;
}

/**
 * The same hash from parts that are in canonical form already; what the write path uses. One for each append: what does not
 * change from event to event is put together once. The members stand in the order in which RFC 8785 sorts them; a property
 * test compares with leafHashOf.
 */
export class LeafHasher {
  private readonly frames = new Map<string, { readonly beforeData: string; readonly afterEventId: string }>();
  private readonly afterPosition: string;

  /** @param recordedAt as the envelope shows it */
  constructor(
    private readonly catalogue: EventCatalogue,
    private readonly bookId: string,
    recordedAt: string,
  ) {
    this.afterPosition = `,"recordedAt":"${recordedAt}",`;
  }

  /**
   * The hash as hex, of an event in the newest version of its type.
   * @throws Error for a type that the catalogue does not have
   */
  hash(eventType: string, { streamId, data, eventId, metadata, position, userId, version }: LeafParts): string {
    const { beforeData, afterEventId } = this.frames.get(eventType) ?? this.frame(eventType);
    const user = userId === undefined ? '' : `"userId":${canonicalJson(userId)},`;
    // Node 20 has the one-shot hash, a third of the cost of createHash for texts of this size; its types come later.
    return crypto.hash(
      'sha256',
      `\0{"aggregateId":"${streamId}${beforeData}${data},"eventId":"${eventId}${afterEventId}${metadata},"position":${position}${this.afterPosition}${user}"version":${version}}`,
      'hex',
    );
  }

  private frame(eventType: string): { readonly beforeData: string; readonly afterEventId: string } {
    const { aggregateType, version } = definitionOf(this.catalogue, eventType);
    const frame = {
      beforeData: `","aggregateType":"${aggregateType}","bookId":"${this.bookId}","data":`,
      afterEventId: `","eventType":"${eventType}","eventVersion":${version},"metadata":`,
    };
    this.frames.set(eventType, frame);
    return frame;
  }
}

/** The event's data as the newest version of its type has it. */
export function upcast(
  catalogue: EventCatalogue,
  event: Pick<StoredEvent, 'bookId' | 'position' | 'eventType' | 'eventVersion' | 'data'>,
): Readonly<Record<string, unknown>> {
  const { version, upcasters } = definitionOf(catalogue, event.eventType);
  if (event.eventVersion === version) return event.data;
  if (event.eventVersion > version) {
    throw new Error(
      `event ${event.bookId}/${event.position} has version ${event.eventVersion} of ${event.eventType}, this release knows ${version}`,
    );
  }
  let data = event.data;
  for (let from = event.eventVersion; from < version; from++) {
    const step = upcasters?.[from - 1];
    if (step === undefined) throw new Error(`no upcaster from version ${from} of ${event.eventType}`);
    data = step(data);
  }
  return data;
}

// --- Instants: microseconds since 1970-01-01T00:00:00Z as an integer (exact to the year 2255), text with six decimals ---

let cachedSecond = -1;
let cachedText = '';

/** 1782993600000001 → 2026-07-02T12:00:00.000001Z */
export function instantText(micros: number): string {
  const second = Math.floor(micros / 1_000_000);
  if (second !== cachedSecond) {
    cachedText = new Date(second * 1000).toISOString().slice(0, 20);
    cachedSecond = second;
  }
  return `${cachedText}${String(micros - second * 1_000_000).padStart(6, '0')}Z`;
}

/**
 * Microseconds of an RFC 3339 instant with any number of decimals (further ones are cut) and any offset.
 * @returns undefined when the text is no such instant
 */
export function instantMicros(text: string): number | undefined {
  const match = /^(\d{4}-\d{2}-\d{2})[Tt ]((?:[01]\d|2[0-3]):\d{2}:\d{2})(?:\.(\d+))?([Zz]|[+-]\d{2}:\d{2})$/.exec(text);
  if (match === null) return undefined;
  const [, date = '', time = '', decimals = '', zone = ''] = match;
  const millis = Date.parse(`${date}T${time}${zone.toUpperCase()}`);
  const exists = !Number.isNaN(Date.parse(`${date}T00:00:00Z`)) && new Date(Date.parse(`${date}T00:00:00Z`)).toISOString().startsWith(date);
  if (Number.isNaN(millis) || !exists) return undefined;
  return millis * 1000 + Number(decimals.padEnd(6, '0').slice(0, 6));
}
