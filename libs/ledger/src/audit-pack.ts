/**
 * The audit pack: everything that an auditor needs to check a book elsewhere, as one ZIP archive (docs/AUDIT-PACK.md is its format, to
 * which this file keeps). Hides where each file comes from; guarantees constant memory, that every file is of one position, that what is
 * packed leads to the root that was signed, and that the same question is answered with the same bytes again: what of it could change
 * since (the earlier pack that changes are told from, signatures of witnesses, the key that signs) is remembered with the first answer.
 */
import { createHash, hash } from 'node:crypto';
import { type CalendarDate, decimalsOf, fromMinor, type JournalEntryPosted, LedgerError, type PeriodClosed } from '#domain';
import {
  canonicalJson,
  type EventStore,
  envelopeOf,
  instantMicros,
  instantText,
  keyText,
  noteText,
  type StoredCheckpoint,
  TreeEdge,
  upcast,
} from '#event-store';
import { replaceSealed } from '#privacy';
import { malformed } from './asking';
import { bookStreamId } from './catalogue';
import { checkFormats, exportFiles } from './exports';
import { type ArchiveFile, type Content, zipped } from './exports/archive';
import { type ExportedBook, exportedBook } from './exports/exported-book';
import type { Opened, Personal, Presentation } from './personal';
import { minorOf } from './projections/as-of';
import { keyOf } from './proof/signer';
import type { Proofs } from './proofs';
import type { KnownAt, Queries } from './queries';
import { csvRow } from './reports/csv';
import { columnsOf } from './reports/question';
import type { ReportName, Reports } from './reports/reports';
import { noteOf, type Sealer } from './sealer';

const packFormat = 'book-keeper audit pack/v1';

export interface AuditPackQuestion {
  /** First and last effective date of the reports; or `period`, a fiscal year (`2026`) or one of its periods (`2026/6`). */
  readonly from?: CalendarDate;
  readonly to?: CalendarDate;
  readonly period?: string;
  readonly knownAt?: KnownAt;
  /** Export formats to pack beside the reports. */
  readonly formats?: readonly string[];
  /** Since when changes are told; the last pack before when absent. */
  readonly since?: KnownAt;
  /** open or masked: a file tells what texts about persons say, or whom they are about; in all others they stay sealed. */
  readonly personal?: Presentation;
  /** Counts what is opened. */
  readonly opened?: Opened;
}

export interface AuditPackProgress {
  /** File that is being written. */
  readonly file: string;
  /** Events written, of so many. */
  readonly events: number;
  readonly of: number;
  /** Bytes of files so far, before they are compressed. */
  readonly bytes: number;
}

export interface AuditPack {
  readonly position: number;
  readonly fileName: string;
  /** The archive; to be read to its end, or returned. */
  readonly content: AsyncGenerator<Uint8Array>;
}

interface Source {
  readonly queries: Queries;
  readonly store: EventStore;
  readonly reports: Reports;
  readonly proofs: Proofs;
  readonly sealer: Sealer;
  readonly release: string;
  readonly personal: Pick<Personal, 'reveal'>;
}

/** What is packed, decided before the first byte. */
interface Plan {
  readonly book: ExportedBook;
  readonly recordedAt: string;
  readonly days: { readonly from: CalendarDate; readonly to: CalendarDate; readonly yearFrom?: CalendarDate };
  readonly formats: readonly string[];
  readonly since: number | undefined;
  readonly checkpoint: StoredCheckpoint;
  readonly begunAt: string;
  readonly question: string;
  readonly personal: 'open' | 'masked' | undefined;
  readonly opened: Opened | undefined;
  /** Of the service that packed it first. */
  readonly release: string;
  /** The note of the first answer, and the manifest that it is over. */
  readonly known?: { readonly manifestHash: Buffer; readonly note: string };
}

/** A signature of a witness that is being kept in the moment of the beginning may have an earlier time than that. */
const settledMicros = 2_000_000;
const eventsPerRead = 1_000;

/**
 * Begins to build an audit pack.
 * @throws LedgerError book_unknown | date_invalid | malformed | no_fiscal_year | format_unknown | export_unfit | export_inconsistent |
 *   not_sealed | projection_behind
 */
export async function auditPack(
  source: Source,
  bookId: string,
  question: AuditPackQuestion,
  onProgress?: (progress: AuditPackProgress) => void,
): Promise<AuditPack> {
  const plan = await planned(source, bookId, question);
  const { book, days, recordedAt } = plan;
  const packer = new Packer(source, plan, onProgress);
  return {
    position: book.position,
    fileName: `${bookId}-${book.position}-${days.from}-${days.to}-audit-pack.zip`,
    content: zipped(packer.files(), recordedAt),
  };
}

async function planned(
  source: Source,
  bookId: string,
  { knownAt, since, formats = [], personal: asked, opened, ...range }: AuditPackQuestion,
): Promise<Plan> {
  const personal = asked === 'sealed' ? undefined : asked;
  const { queries, proofs, sealer } = source;
  const position = await queries.pin(bookId, knownAt);
  const { state, recordedAt } = await exportedBook(source, bookId, { knownAt: position });
  if (state === undefined || recordedAt === undefined)
    throw new LedgerError('date_invalid', `as known at position ${position} the book was not opened yet; there is nothing to pack`, {
      member: 'knownAt',
    });
  if (range.from === undefined && range.to === undefined && range.period === undefined)
    throw malformed(
      'from',
      'from and to are missing: the range of effective dates that the reports shall cover; or a period, such as 2026',
    );
  const [column] = columnsOf(state, range, 'range', 'none');
  if (column === undefined) throw new Error('a question without a column');
  const yearFrom = yearFromOf(state, range);
  const days = { from: column.from, to: column.to, ...(yearFrom === undefined ? {} : { yearFrom }) };
  const named = [...new Set(formats)].sort();
  const book = await exportedBook(source, bookId, { knownAt: position, from: days.from, to: days.to });
  await checkFormats(book, named);
  const askedSince = since === undefined ? undefined : await queries.pin(bookId, since);
  if (askedSince !== undefined && askedSince > position)
    throw malformed('since', `since is position ${askedSince}, after ${position}, which the pack is known at`);
  const canonical = canonicalJson({
    format: packFormat,
    formats: named,
    from: days.from,
    personal,
    position,
    since: askedSince,
    to: days.to,
  });
  const known = await proofs.trees.auditPack(bookId, canonical);
  const planned = { book, recordedAt, days, formats: named, question: canonical, personal, opened };
  if (known !== undefined) {
    const { since: toldSince, begunAt, release, checkpointSize } = known;
    const checkpoint = await proofs.trees.checkpointOf(bookId, checkpointSize);
    if (checkpoint === undefined) throw new Error(`log.checkpoints lacks the head of ${checkpointSize} events that a pack was built with`);
    return { ...planned, since: toldSince, checkpoint, begunAt, release, known };
  }
  const checkpoint = await sealedFrom(proofs, sealer, bookId, position);
  // Who cannot sign the manifest shall not begin.
  await sealer.checkSigns().catch((error: Error) => {
    throw new LedgerError('not_sealed', `a pack cannot be signed by this process: ${error.message}`, { retryAfter: 1 }, undefined, {
      cause: error,
    });
  });
  const last = askedSince === undefined ? await proofs.trees.lastAuditPack(bookId, position) : undefined;
  return {
    ...{ ...planned, since: askedSince ?? last?.position, checkpoint },
    ...{ begunAt: instantText(Date.now() * 1_000), release: source.release },
  };
}

/** The first day of the fiscal year of the range; none where the calendar has no such year, or the range begins with everything. */
function yearFromOf(
  state: Parameters<typeof columnsOf>[0],
  range: Pick<AuditPackQuestion, 'from' | 'to' | 'period'>,
): CalendarDate | undefined {
  try {
    return columnsOf(state, range, 'range', 'fiscalYear')[0]?.yearFrom;
  } catch (error) {
    if (error instanceof LedgerError && error.code === 'no_fiscal_year') return undefined;
    throw error;
  }
}

/** The first signed checkpoint that covers a position; made now if there is none. */
async function sealedFrom(proofs: Proofs, sealer: Sealer, bookId: string, position: number): Promise<StoredCheckpoint> {
  const found = await proofs.trees.firstCheckpointFrom(bookId, position);
  if (found !== undefined) return found;
  // Where another process seals, it is about to.
  if (sealer.seals) await sealer.seal(bookId);
  return (await proofs.trees.firstCheckpointFrom(bookId, position)) ?? (await proofs.signed(bookId, position));
}

class Packer {
  private readonly written: { readonly name: string; readonly bytes: number; readonly sha256: string }[] = [];
  private readonly totals = new RangeTotals();
  private events = 0;
  private bytes = 0;
  /** The keys that are in it. */
  private packed: readonly string[] = [];

  constructor(
    private readonly source: Source,
    private readonly plan: Plan,
    private readonly onProgress: ((progress: AuditPackProgress) => void) | undefined,
  ) {}

  /** The files in the order of the format. */
  async *files(): AsyncGenerator<ArchiveFile> {
    const { plan } = this;
    const { book, formats, since } = plan;
    yield this.file('README.txt', [readme(plan)]);
    yield this.file('log/keys.json', this.keys());
    yield this.file('log/names.json', this.names());
    yield this.file('log/events.jsonl', this.eventLines());
    yield this.file('log/checkpoints.jsonl', this.checkpointLines());
    yield this.file('log/consistency.json', this.consistency());
    yield this.file('chart-of-accounts.csv', chartRows(book));
    for (const name of ['trial-balance', 'general-ledger', 'journal'] as const) yield this.file(`reports/${name}.csv`, this.report(name));
    yield this.file('reports/period-locks.csv', this.periodLocks());
    if (since !== undefined) yield this.file('reports/changes-since.csv', this.report('changes-since', { since }));
    for (const format of formats)
      for await (const { name, content } of exportFiles(book, format)) yield this.file(`exports/${format}/${name}`, content);
    if (plan.personal !== undefined) yield this.file('personal/texts.jsonl', this.personalTexts(plan.personal));
    const manifest = this.manifest();
    yield { name: 'manifest.json', content: pieces([manifest]) };
    const manifestHash = createHash('sha256').update(manifest).digest();
    const note = plan.known?.manifestHash.equals(manifestHash) ? plan.known.note : await this.signed(manifestHash);
    yield { name: 'manifest.note', content: pieces([note]) };
    if (plan.known === undefined) await this.record(manifestHash, note);
  }

  private async signed(manifestHash: Buffer): Promise<string> {
    const { book, checkpoint } = this.plan;
    const { note, key } = await this.source.sealer.signNote(
      `${packFormat}\n${checkpoint.origin}\n${book.position}\n${manifestHash.toString('base64')}\n`,
    );
    if (this.packed.includes(keyText(key))) return note;
    throw new Error('the key that signs was changed while the pack was built: build it again');
  }

  /** What is packed is told by all of it; so it is remembered only when all of it was read. */
  private async record(manifestHash: Buffer, note: string): Promise<void> {
    const { trees } = this.source.proofs;
    const { book, question, since, checkpoint, begunAt, release } = this.plan;
    for (;;) {
      const number = ((await trees.lastAuditPack(book.id))?.number ?? 0) + 1;
      const pack = { number, question, position: book.position, checkpointSize: checkpoint.size, begunAt, release, manifestHash, note };
      if (await trees.recordAuditPack(book.id, { ...pack, ...(since === undefined ? {} : { since }) })) return;
      if ((await trees.auditPack(book.id, question)) !== undefined) return;
    }
  }

  /** A file of the manifest: counted and hashed as it is read. */
  private file(name: string, content: Content | Iterable<string>): ArchiveFile {
    const counted = async function* (this: Packer): AsyncGenerator<string | Uint8Array> {
      const sha256 = createHash('sha256');
      let bytes = 0;
      for await (const some of content) {
        const length = typeof some === 'string' ? Buffer.byteLength(some) : some.length;
        sha256.update(some);
        bytes += length;
        this.bytes += length;
        this.onProgress?.({ file: name, events: this.events, of: this.plan.book.position, bytes: this.bytes });
        yield some;
      }
      this.written.push({ name, bytes, sha256: sha256.digest('hex') });
    };
    return { name, content: counted.call(this) };
  }

  private manifest(): string {
    const { book, checkpoint, days, since, recordedAt } = this.plan;
    const { id, position, state } = book;
    return canonicalJson({
      format: packFormat,
      book: { id, name: state?.name, baseCurrency: state?.baseCurrency, fx: state?.fx, timeZone: state?.timeZone, entity: state?.entity },
      origin: checkpoint.origin,
      position,
      recordedAt,
      ...days,
      since,
      release: this.plan.release,
      checkpoint: { size: checkpoint.size, root: checkpoint.root.toString('base64') },
      totals: { events: this.events, ...this.totals.shown() },
      files: this.written,
    });
  }

  // --- The log ---

  private async *keys(): AsyncGenerator<string> {
    const keys = (await this.source.proofs.trees.signingKeys()).filter(({ activatedAt }) => activatedAt <= this.plan.begunAt);
    this.packed = keys.map((key) => keyText(keyOf(key)));
    const shown = keys.map((key) => ({
      number: key.number,
      key: keyText(keyOf(key)),
      activatedAt: key.activatedAt,
      statement: key.statement,
    }));
    yield canonicalJson(shown);
  }

  private async *names(): AsyncGenerator<string> {
    const { book, checkpoint } = this.plan;
    const origins = await this.source.proofs.trees.origins(book.id);
    const until = origins.findIndex(({ origin }) => origin === checkpoint.origin);
    yield canonicalJson(origins.slice(0, until + 1));
  }

  private async *eventLines(): AsyncGenerator<string> {
    const { book, days } = this.plan;
    const { store, proofs } = this.source;
    const edge = new TreeEdge();
    for (let after = 0; after < book.position; ) {
      const events = await store.readStored(book.id, after, book.position, eventsPerRead);
      let text = '';
      for (const event of events) {
        const line = canonicalJson(envelopeOf(store.catalogue, event));
        const leaf = Buffer.from(hash('sha256', `\0${line}`, 'hex'), 'hex');
        if (event.position !== edge.size + 1 || !leaf.equals(event.leafHash))
          throw changed(`event ${edge.size + 1} is missing or is not what its hash says`);
        edge.add(leaf);
        if (event.eventType === 'JournalEntryPosted')
          this.totals.add(upcast(store.catalogue, event) as unknown as JournalEntryPosted, days);
        text += `${line}\n`;
      }
      if (events.length === 0) throw changed(`the events after position ${after} are missing`);
      after = events.at(-1)?.position ?? after;
      this.events = after;
      yield text;
    }
    const sealed = await proofs.trees.treeOf(book.id, book.position).root();
    if (!edge.root().equals(sealed)) throw changed(`the first ${book.position} events do not make the root that was sealed`);
  }

  /** What each sealed text in the events says, or whom it is about: a line each, in the order of positions. */
  private async *personalTexts(as: 'open' | 'masked'): AsyncGenerator<string> {
    const { book, opened } = this.plan;
    const { store, personal } = this.source;
    for (let after = 0; after < book.position; ) {
      const events = await store.readStored(book.id, after, book.position, eventsPerRead);
      const found: { position: number; sealed: string }[] = [];
      for (const { position, data } of events)
        replaceSealed(JSON.stringify(data), (sealed) => {
          found.push({ position, sealed });
          return '';
        });
      const texts = await personal.reveal(
        book.id,
        found.map(({ sealed }) => sealed),
        as,
        opened,
      );
      yield found.map(({ position, sealed }, index) => `${canonicalJson({ position, sealed, text: texts[index] })}\n`).join('');
      after = events.at(-1)?.position ?? book.position;
    }
  }

  /** The last one of each day, and the one that covers the position. */
  private async *checkpointLines(): AsyncGenerator<string> {
    const { book, checkpoint, begunAt } = this.plan;
    const { trees } = this.source.proofs;
    const until = instantText((instantMicros(begunAt) ?? 0) - settledMicros);
    const line = (one: StoredCheckpoint): string => `${canonicalJson({ note: noteText(noteOf(one)), size: one.size })}\n`;
    for (const one of await trees.checkpointsOfDays(book.id, checkpoint.size, until)) yield line(one);
    const settled = await trees.checkpointOf(book.id, checkpoint.size, until);
    // Its own signature may be younger, when it was made for this pack.
    yield line({ ...checkpoint, signatures: signedUntil(settled?.signatures ?? [], checkpoint) });
  }

  private async *consistency(): AsyncGenerator<string> {
    const { book, checkpoint } = this.plan;
    const hashes = await this.source.proofs.trees.treeOf(book.id, checkpoint.size).consistencyProof(book.position);
    yield canonicalJson({ from: book.position, to: checkpoint.size, hashes: hashes.map((one) => one.toString('base64')) });
  }

  // --- What the events say ---

  private async *report(name: ReportName, more: { readonly since?: number } = {}): AsyncGenerator<string> {
    const { book, days } = this.plan;
    const { from, to, yearFrom } = days;
    const carry = yearFrom === undefined ? 'none' : 'fiscalYear';
    const { body } = await this.source.reports.answer(name, book.id, { from, to, knownAt: book.position, carry, ...more }, 'csv');
    yield* typeof body === 'string' ? [body] : body;
  }

  private async *periodLocks(): AsyncGenerator<string> {
    const { book } = this.plan;
    yield csvRow([
      'position',
      'recordedAt',
      'event',
      'fiscalYear',
      'period',
      'level',
      'closedAtPosition',
      'userId',
      'onBehalfOf',
      'reason',
    ]);
    for (const { position, recordedAt, eventType, current, metadata } of await this.source.store.readStream(
      book.id,
      bookStreamId(book.id),
    )) {
      if (position > book.position || !eventType.startsWith('Period')) continue;
      const { fiscalYear, period, level, position: closedAt } = current as unknown as Partial<PeriodClosed>;
      const said = ['userId', 'onBehalfOf', 'reason'].map((member) => metadata[member] as string | undefined);
      yield csvRow([position, recordedAt, eventType, fiscalYear, period, level, closedAt, ...said]);
    }
  }
}

/** Control totals of the entries in a range. */
class RangeTotals {
  private entries = 0;
  private lines = 0;
  private readonly currencies = new Map<string, { scale: number; debit: bigint; credit: bigint }>();
  private readonly numbers = new Map<string, { journalCode: string; fiscalYear: string; entries: number; first: number; last: number }>();

  add(
    { effectiveDate, journalCode, fiscalYear, number, lines }: JournalEntryPosted,
    { from, to }: { readonly from: string; readonly to: string },
  ): void {
    if (effectiveDate < from || effectiveDate > to) return;
    this.entries += 1;
    this.lines += lines.length;
    for (const { currency, side, amount } of lines) {
      const sum = this.currencies.get(currency) ?? { scale: decimalsOf(amount), debit: 0n, credit: 0n };
      sum[side] += minorOf(amount, sum.scale);
      this.currencies.set(currency, sum);
    }
    const key = `${journalCode}\t${fiscalYear}`;
    const known = this.numbers.get(key) ?? { journalCode, fiscalYear, entries: 0, first: number, last: number };
    known.entries += 1;
    known.last = number;
    this.numbers.set(key, known);
  }

  shown(): object {
    return {
      entries: this.entries,
      lines: this.lines,
      currencies: sorted(this.currencies).map(([currency, { scale, debit, credit }]) => ({
        currency,
        debit: fromMinor(debit, scale),
        credit: fromMinor(credit, scale),
      })),
      numbers: sorted(this.numbers).map(([, counted]) => counted),
    };
  }
}

const sorted = <T>(map: ReadonlyMap<string, T>): [string, T][] => [...map].sort(([one], [other]) => (one < other ? -1 : 1));

async function* chartRows(book: ExportedBook): AsyncGenerator<string> {
  yield csvRow(['code', 'name', 'type', 'subtype', 'normalSide', 'postable', 'parent', 'status', 'id']);
  for await (const accounts of book.accounts())
    yield accounts
      .map(({ code, name, type, subtype, normalSide, postable, parent, status, id }) =>
        csvRow([code, name, type, subtype, normalSide, String(postable), parent, status, id]),
      )
      .join('');
}

async function* pieces(texts: readonly string[]): AsyncGenerator<string> {
  yield* texts;
}

/** The log's own signature, and of others those that were there when the pack was begun. */
function signedUntil(before: StoredCheckpoint['signatures'], { origin, signatures }: StoredCheckpoint): StoredCheckpoint['signatures'] {
  const own = signatures.filter(({ name }) => origin.startsWith(`${name}/`)).slice(0, 1);
  const others = before.filter(({ name }) => !origin.startsWith(`${name}/`));
  return [...own, ...others];
}

const changed = (what: string): LedgerError =>
  new LedgerError('export_inconsistent', `nothing is packed any further: ${what}; run book-keeper verify`);

/** Export formats with figures of income and expense since the first entry, where the reports begin anew in each fiscal year. */
const sinceInception = ['csv', 'parquet', 'xlsx'];

function readme({ book, days, recordedAt, formats }: Plan): string {
  const other = formats.filter((format) => sinceInception.includes(format)).map((format) => `exports/${format}`);
  return [
    `Audit pack of book ${book.id}`,
    '',
    `What was known at position ${book.position} of its log, recorded at ${recordedAt}; reports from ${days.from} to ${days.to}.`,
    '',
    'log/       all events from the first one on, signed heads of the log (checkpoints), keys and proofs',
    'reports/   trial balance, general ledger, journal, closes of periods; chart-of-accounts.csv beside them',
    ...(formats.length === 0 ? [] : [`exports/   ${formats.join(', ')}`]),
    'manifest.json, manifest.note   what is here, with SHA-256 of every file and control totals, signed',
    '',
    'Texts stand in the CSV files as they were recorded, and some may begin with =, +, - or @: import these columns as text, or a spreadsheet',
    'takes them for formulas.',
    '',
    ...(other.length === 0
      ? []
      : [
          `"opening" of income and expense is what they had since the first day of the fiscal year in reports/, and since the first entry in the`,
          `balances of ${other.join(' and ')}.`,
          '',
        ]),
    'To check it without asking those who made it you need Node and their public key, by a way that you trust:',
    '',
    '  node verify.mjs PACK.zip --key KEY',
    '',
    'verify.mjs is in packages/verifier of book-keeper; docs/AUDIT-PACK.md says all that it takes to write another program that does so.',
    '',
  ].join('\n');
}
