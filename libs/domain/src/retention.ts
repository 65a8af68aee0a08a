/**
 * Retention: how long what stands in books must be kept, by country and kind of document, counted from the end of the fiscal year.
 * The built-in periods are those of the laws that are named beside each; a book may state its own, which go first. Knows nothing of
 * keys and persons; guarantees that a duty that is not known is never taken for none.
 */
import { addDays, type CalendarDate } from './calendar-date';
import type { FiscalYear } from './fiscal-calendar';

export interface RetentionRule {
  /** ISO 3166-1 alpha-2, or `*`: any other. */
  readonly country: string;
  /** The `type` of an entry's document, or `books`: whatever has no rule of its own. */
  readonly documentType: string;
  /** Whole years after the end of the fiscal year; 0: no duty. */
  readonly years: number;
  /** Law and clause. */
  readonly source: string;
}

const of = (country: string, years: number, source: string, documentType = 'books'): RetentionRule => ({
  country,
  documentType,
  years,
  source,
});

/** What holds where a book states nothing else. As of 2026; whoever keeps books answers for what holds for them. */
export const retentionRules: readonly RetentionRule[] = [
  of('AT', 7, 'BAO § 132, UGB § 212'),
  of('BE', 10, 'Code TVA art. 60'),
  of('CH', 10, 'OR Art. 958f'),
  of('DE', 10, 'HGB § 257, AO § 147 Abs. 3'),
  of('DE', 8, 'HGB § 257, AO § 147 Abs. 3 (Buchungsbelege)', 'invoice'),
  of('DE', 8, 'HGB § 257, AO § 147 Abs. 3 (Buchungsbelege)', 'receipt'),
  of('DE', 6, 'HGB § 257, AO § 147 Abs. 3', 'letter'),
  of('DK', 5, 'Bogføringsloven § 12'),
  of('ES', 6, 'Código de Comercio art. 30'),
  of('FI', 10, 'Kirjanpitolaki 2:10'),
  of('FR', 10, 'Code de commerce art. L123-22'),
  of('GB', 6, 'Finance Act 1998 Sch. 18 para. 21'),
  of('IE', 6, 'Companies Act 2014 s. 285'),
  of('IT', 10, 'Codice civile art. 2220'),
  of('NL', 7, 'AWR art. 52'),
  of('NO', 5, 'Bokføringsloven § 13'),
  of('PL', 5, 'Ustawa o rachunkowości art. 74'),
  of('SE', 7, 'Bokföringslagen 7 kap. 2 §'),
  of('US', 7, '26 CFR 1.6001-1 (as long as material; seven years in practice)'),
  of('*', 10, 'the longest of the periods known here'),
];

/**
 * The rule for a kind of document. One that the book has stated for books as a whole does not shorten what the law says of a kind.
 * @param own rules of the book; the last one that fits goes before the built-in one
 */
export function ruleFor(own: readonly RetentionRule[], country: string | undefined, documentType: string | undefined): RetentionRule {
  const stated = (type: string) => own.findLast((rule) => (rule.country === country || rule.country === '*') && rule.documentType === type);
  const known = (type: string) => retentionRules.find((rule) => rule.country === country && rule.documentType === type);
  const [ofKind, knownOfKind] = documentType === undefined ? [] : [stated(documentType), known(documentType)];
  if (ofKind !== undefined) return ofKind;
  const ofBooks = stated('books');
  if (ofBooks !== undefined && (knownOfKind === undefined || knownOfKind.years <= ofBooks.years)) return ofBooks;
  return knownOfKind ?? known('books') ?? (retentionRules.at(-1) as RetentionRule);
}

/** Whether a rule would end duties before the law that is known here does: with it old texts are destroyed at the next look. */
export const shortens = ({ country, documentType, years }: RetentionRule): boolean =>
  years < ruleFor([], country === '*' ? undefined : country, documentType).years;

/** The last day of a duty over what stands in a fiscal year, counted from its end: 10 years after 31 December 2026 is 31 December 2036. */
export function retainedUntil({ to }: Pick<FiscalYear, 'to'>, { years }: RetentionRule): CalendarDate {
  const year = Number(to.slice(0, 4)) + years;
  // A fiscal year that ends on 29 February: the day before 1 March of that year.
  const day = to.endsWith('02-29') ? addDays(`${year}-03-01`, -1) : `${year}${to.slice(4)}`;
  return year > 2199 ? '2199-12-31' : day;
}

/** Shown to people: `DE books, 10 years (HGB § 257)`. */
export const ruleText = ({ country, documentType, years, source }: RetentionRule): string =>
  `${country === '*' ? 'any country' : country} ${documentType}, ${years} years (${source})`;
