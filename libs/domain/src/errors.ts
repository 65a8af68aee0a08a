/**
 * The one table of error codes. Hides nothing and decides nothing; it guarantees that every refusal of the service has a
 * stable code, a kind, and a place in one order of precedence: when several codes apply, the one declared first wins.
 * References, tests and the mapping to HTTP status or CLI exit code are generated from it; adding a code is one line here.
 */

/** What a caller can do about an error; statuses and exit codes hang on the kind, never on the code. */
export type ErrorKind =
  | 'invalid'
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'conflict'
  | 'rejected'
  | 'limited'
  | 'unavailable'
  | 'internal';

interface ErrorDeclaration {
  readonly kind: ErrorKind;
  /** One sentence for the reference: when it happens and what to do. */
  readonly meaning: string;
  /** Members that the problem document carries beside code and detail. */
  readonly members?: readonly string[];
}

const declare = <T extends Record<string, ErrorDeclaration>>(table: T): T => table;

/** Every code in order of precedence. The order is part of the contract: tests walk it. */
export const errorTable = declare({
  // The request itself
  unauthenticated: { kind: 'unauthenticated', meaning: 'No valid API key came with the request; send `Authorization: Bearer KEY`.' },
  forbidden: { kind: 'forbidden', meaning: 'The API key may not do this.' },
  malformed: {
    kind: 'invalid',
    meaning: 'The body is not what the operation takes: not JSON, a duplicate key, a missing member, a wrong type or value.',
    members: ['member'],
  },
  unknown_member: { kind: 'invalid', meaning: 'The body or query has a member that the operation does not know.', members: ['member'] },
  amount_not_string: { kind: 'invalid', meaning: 'Amounts are strings, because JSON numbers lose digits.', members: ['member'] },
  amount_format: {
    kind: 'invalid',
    meaning: 'Amounts are plain decimals: digits, at most one point, no sign, exponent, blank or leading zero.',
    members: ['member'],
  },
  date_invalid: {
    kind: 'invalid',
    meaning:
      'A date or instant that does not exist, has another form than YYYY-MM-DD (or RFC 3339), lies outside 1900-01-01 … 2199-12-31, or is a knownAt in the future.',
    members: ['member'],
  },
  text_invalid: {
    kind: 'invalid',
    meaning: 'A text holds U+0000, a lone surrogate, or a character that its member does not allow.',
    members: ['member'],
  },
  too_large: {
    kind: 'invalid',
    meaning: 'More bytes, lines, entries or depth than the limit that the detail names.',
    members: ['member', 'limit'],
  },
  key_missing: { kind: 'invalid', meaning: 'A command needs the header `Idempotency-Key`: 1 to 255 printable ASCII characters.' },
  idempotency_key_reused: {
    kind: 'conflict',
    meaning: 'The key was used for another command; `members` names what differs.',
    members: ['members'],
  },
  // What the command refers to
  route_unknown: { kind: 'not_found', meaning: 'No such path or method.' },
  book_unknown: { kind: 'not_found', meaning: 'No such book.', members: ['book'] },
  entry_unknown: { kind: 'not_found', meaning: 'No such journal entry, or draft of one, in this book.', members: ['entry'] },
  period_unknown: { kind: 'not_found', meaning: 'No such period in the calendar of this book.', members: ['fiscalYear', 'period'] },
  export_unfit: {
    kind: 'rejected',
    meaning:
      'The format that was asked for cannot hold what the book holds: too long an id, too many decimals, a member that it demands and the book lacks. The detail names everything that does not fit.',
    members: ['problems'],
  },
  export_inconsistent: {
    kind: 'internal',
    meaning:
      'What an export reads contradicts itself: an entry that does not balance, a gap in the numbers, a balance that the entries do not explain. Nothing is exported; run `book-keeper verify`.',
  },
  tile_unknown: {
    kind: 'not_found',
    meaning: 'The Merkle tree of the book has no such tile, or the tile not so many hashes yet.',
    members: ['tile'],
  },
  format_unknown: { kind: 'not_found', meaning: 'There are no exports in this format.', members: ['format'] },
  stream_unknown: { kind: 'not_found', meaning: 'No such stream in this book.' },
  projection_unknown: { kind: 'not_found', meaning: 'No such projection, or no such set of its tables (command line).' },
  draft_state: {
    kind: 'rejected',
    meaning:
      'The draft is not in the state that this needs: a draft is revised and submitted, a submitted one approved or rejected; what is posted or discarded stays as it is.',
    members: ['entry', 'draftStatus'],
  },
  account_unknown: {
    kind: 'rejected',
    meaning: 'No such account in this book (404 when it stands in the path, 422 in a body).',
    members: ['account', 'line'],
  },
  journal_unknown: { kind: 'rejected', meaning: 'No journal with this code in this book.', members: ['journalCode'] },
  book_exists: { kind: 'conflict', meaning: 'The book id is taken; ids are never reused.', members: ['book'] },
  account_exists: {
    kind: 'conflict',
    meaning: 'The account code is or was in use; a code is never given to another account.',
    members: ['account'],
  },
  journal_exists: { kind: 'conflict', meaning: 'The journal code is in use.', members: ['journalCode'] },
  currency_exists: {
    kind: 'conflict',
    meaning: 'The currency is enabled already, by declaration or first use; its scale is final.',
    members: ['currency'],
  },
  rate_exists: { kind: 'conflict', meaning: 'This very exchange rate is recorded already.', members: ['member'] },
  parent_invalid: {
    kind: 'rejected',
    meaning: 'The parent is unknown, closed, or has another type than the account.',
    members: ['parent'],
  },
  currency_unknown: {
    kind: 'rejected',
    meaning: 'Not an ISO 4217 code with minor units and not declared in this book.',
    members: ['currency', 'line'],
  },
  currency_not_allowed: {
    kind: 'rejected',
    meaning: 'The account is restricted to other currencies.',
    members: ['account', 'currency', 'line'],
  },
  scale_exceeded: { kind: 'rejected', meaning: 'More decimals than the currency has.', members: ['currency', 'scale', 'line'] },
  amount_range: {
    kind: 'rejected',
    meaning: 'The amount is 0 where it must not be, or has 10^30 minor units or more, or a total would reach 10^38.',
    members: ['line'],
  },
  base_amount_required: {
    kind: 'rejected',
    meaning:
      'In a book with fx=tracked a line in another currency needs its amount in base currency, or a rate: its own, or a spot rate of the book that is not older than 31 days.',
    members: ['line'],
  },
  account_not_designated: {
    kind: 'rejected',
    meaning: 'The service has to add a line, and the book has no account designated for it.',
    members: ['role'],
  },
  role_invalid: {
    kind: 'rejected',
    meaning: 'The account cannot be designated for this: it has another type, or takes no lines.',
    members: ['account', 'role'],
  },
  party_unknown: {
    kind: 'rejected',
    meaning: 'No such party in this book (404 when it stands in the path, 422 in a body).',
    members: ['party', 'line'],
  },
  party_exists: { kind: 'conflict', meaning: 'The party was opened by another command.', members: ['party'] },
  party_required: { kind: 'rejected', meaning: 'A line on a control account names a party.', members: ['account', 'line'] },
  party_kind: {
    kind: 'rejected',
    meaning: 'The party is of another kind than the line says, or than the control account takes.',
    members: ['account', 'line', 'party'],
  },
  party_closed: { kind: 'rejected', meaning: 'The party is closed: no further line names it.', members: ['party', 'line'] },
  person_erased: {
    kind: 'rejected',
    meaning:
      'The person was erased, or what the books said of them in the year that the detail names, since the duty to keep it has ended: nothing personal is added to that any more. (Also of a repeated command, when what it said cannot be compared any more.)',
    members: ['party'],
  },
  legal_hold: { kind: 'rejected', meaning: 'A legal hold stands on the party: nothing of it is erased.', members: ['party', 'holds'] },
  hold_state: { kind: 'rejected', meaning: 'The legal hold stands already, or does not stand.', members: ['party', 'hold'] },
  nothing_to_erase: {
    kind: 'rejected',
    meaning: 'All that may be erased of the person is erased; what is left is covered by duties that the detail names.',
    members: ['party'],
  },
  too_few_lines: { kind: 'rejected', meaning: 'An entry has two or more lines.' },
  unbalanced: {
    kind: 'rejected',
    meaning: 'Debits and credits differ in a currency (I1).',
    members: ['currency', 'debit', 'credit', 'difference'],
  },
  // What the book's rules say
  fiscal_year_invalid: {
    kind: 'rejected',
    meaning: 'The fiscal year does not adjoin the others, overlaps one, or its periods do not cover it.',
  },
  no_fiscal_year: {
    kind: 'rejected',
    meaning:
      'The date lies in no fiscal year of a book whose calendar is defined by hand, or more than 20 years after the last one of a generated calendar.',
    members: ['effectiveDate'],
  },
  adjustment_period_unknown: {
    kind: 'rejected',
    meaning: 'The fiscal year of the date has no adjustment period of that number, or the date lies outside it.',
    members: ['effectiveDate', 'period', 'member'],
  },
  before_book_start: { kind: 'rejected', meaning: 'The date lies before the book starts.', members: ['effectiveDate', 'startsOn'] },
  period_closed: {
    kind: 'rejected',
    meaning: 'The period is closed (I9), or softly closed and the API key has not the scope controller.',
    members: ['effectiveDate', 'fiscalYear', 'period', 'periodStatus'],
  },
  period_state: {
    kind: 'rejected',
    meaning:
      'The period is not in the state that this needs: open to be closed softly, softly closed to be reopened, or to be closed for ever when nobody asks for it to be reopened.',
    members: ['fiscalYear', 'period', 'periodStatus'],
  },
  period_order: {
    kind: 'rejected',
    meaning: 'Periods close in order and open again from the last one backwards; the members name the period whose turn it is.',
    members: ['fiscalYear', 'period'],
  },
  period_has_drafts: {
    kind: 'rejected',
    meaning:
      'Drafts that are neither posted nor discarded are dated in the period: approve, redate or discard them. `entries` names up to 20.',
    members: ['fiscalYear', 'period', 'entries'],
  },
  too_many_drafts: {
    kind: 'rejected',
    meaning: 'The fiscal year has as many open drafts as are allowed: post or discard some first.',
    members: ['fiscalYear', 'limit'],
  },
  second_user_required: {
    kind: 'rejected',
    meaning: 'Another person than the one who asked (or who submitted the draft) has to agree.',
    members: ['fiscalYear', 'period', 'entry'],
  },
  fx_untracked: { kind: 'rejected', meaning: 'The book does not track exchange rates (fx=untracked), so nothing can be revalued.' },
  rate_unknown: {
    kind: 'rejected',
    meaning: 'There is no exchange rate of that type for the day, or for up to 31 days before it.',
    members: ['currency', 'date'],
  },
  account_not_postable: { kind: 'rejected', meaning: 'A header account takes no lines (I9).', members: ['account', 'line'] },
  account_frozen: { kind: 'rejected', meaning: 'The account is frozen.', members: ['account', 'line'] },
  account_not_frozen: { kind: 'rejected', meaning: 'The account is not frozen.', members: ['account'] },
  account_closed: { kind: 'rejected', meaning: 'The account is closed (I9).', members: ['account', 'line'] },
  account_not_empty: {
    kind: 'rejected',
    meaning: 'An account with a balance, or still carried at something in base currency, cannot be closed.',
    members: ['account'],
  },
  limit_exceeded: {
    kind: 'rejected',
    meaning: 'The balance would leave the limits of the account.',
    members: ['account', 'currency', 'limit', 'balance'],
  },
  already_reversed: { kind: 'rejected', meaning: 'The entry was reversed before.', members: ['entry', 'by'] },
  reversal_of_reversal: { kind: 'rejected', meaning: 'A reversal cannot be reversed; post the entry anew.', members: ['entry'] },
  report_currency_needed: {
    kind: 'rejected',
    meaning:
      'A statement in one currency cannot be given: the book has lines in several, or a rate is missing. Ask for the lines of one (`currency`) or for a conversion (`in`) that there are rates for.',
    members: ['currencies'],
  },
  // What the service can do now
  queue_full: {
    kind: 'limited',
    meaning: 'Too many commands wait; repeat with the same key after Retry-After seconds.',
    members: ['retryAfter'],
  },
  not_sealed: {
    kind: 'unavailable',
    meaning: 'What is asked for is recorded, but not sealed and signed yet; that is done about once a second. Repeat after `Retry-After`.',
    members: ['sealed', 'retryAfter'],
  },
  projection_behind: {
    kind: 'unavailable',
    meaning: 'The projection has not folded everything acknowledged yet; repeat after Retry-After seconds.',
    members: ['lag', 'retryAfter'],
  },
  books_moving: {
    kind: 'unavailable',
    meaning: 'Entries were posted into the days while it was computed; close the period softly first, or repeat after Retry-After seconds.',
    members: ['retryAfter'],
  },
  actions_unavailable: {
    kind: 'unavailable',
    meaning:
      'What users do is recorded before it is answered, and that cannot be recorded now. A command may have been carried out: repeat it with the same key after Retry-After seconds.',
    members: ['retryAfter'],
  },
  keys_unavailable: {
    kind: 'unavailable',
    meaning:
      'Personal data cannot be sealed or read now: the keys, or the master key that wraps them, are out of reach or lost. Repeat with the same key after Retry-After seconds.',
    members: ['retryAfter'],
  },
  archive_unreadable: {
    kind: 'unavailable',
    meaning:
      'Events that are asked for were moved to cold storage, and the file that holds them is missing, was altered or cannot be reached; the detail names it. An operator has to put a copy of it back.',
    members: ['file'],
  },
  database_unavailable: {
    kind: 'unavailable',
    meaning: 'The database does not answer; the outcome is unknown. Repeat with the same key.',
    members: ['retryAfter'],
  },
  internal: { kind: 'internal', meaning: 'A fault of ours; nothing was recorded for this command.' },
});

export type ErrorCode = keyof typeof errorTable;

const precedence = new Map(Object.keys(errorTable).map((code, index) => [code, index]));

/** What a refusal says beyond its code; amounts are strings. */
export type ErrorDetails = Record<string, string | number | readonly string[]>;

/**
 * The only error that the service raises on purpose.
 * `message` is for people: what was wrong, what was expected, what to do, with the arithmetic ("debits 100.00, credits 90.00").
 */
export class LedgerError extends Error {
  readonly kind: ErrorKind;

  /**
   * @param kind only where one code has two kinds: account_unknown is not_found in a path, rejected in a body
   * @param options `cause` of an internal error, for the log
   */
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details: ErrorDetails = {},
    kind: ErrorKind = errorTable[code].kind,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'LedgerError';
    this.kind = kind;
  }
}

/** Place of a code in the order of precedence; smaller wins. */
export function precedenceOf(code: ErrorCode): number {
  return precedence.get(code) ?? Number.MAX_SAFE_INTEGER;
}

/**
 * Collects what is wrong with one command and keeps only what the order of precedence lets win, so that a decision can check
 * everything in one pass and still answer with the declared first code.
 */
export class Refusals {
  private winner: LedgerError | undefined;

  /** @param counts which codes count; all when absent */
  constructor(private readonly counts?: (code: ErrorCode) => boolean) {}

  /** Notes a refusal; the message is built only when it wins. */
  note(code: ErrorCode, message: () => string, details: ErrorDetails = {}): void {
    if (this.counts?.(code) === false) return;
    if (this.winner === undefined || precedenceOf(code) < precedenceOf(this.winner.code))
      this.winner = new LedgerError(code, message(), details);
  }

  get any(): boolean {
    return this.winner !== undefined;
  }

  /** @throws LedgerError the noted refusal that wins, if there is one */
  throwFirst(): void {
    if (this.winner !== undefined) throw this.winner;
  }
}
