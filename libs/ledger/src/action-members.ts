/**
 * What of a question the log of user actions keeps in plain, for both edges: a date, a number, an id, a word of ours, the code of something that
 * was found. Whatever else somebody typed may be the name of a person, and of that a digest is kept. Guarantees that nothing is plain only
 * because of the place where it was typed.
 */
import type { Action } from './action-log';

/** Members whose values are one of few words of ours, and are refused otherwise before anything is done. */
const choices = new Set('carry closing format kind outcome personal'.split(' '));
/** Members whose values are dates, numbers and words of ours: whatever else is refused. */
const words = new Set(
  'asOf after columns compare digits entryType from fromPosition includeZero knownAt limit number olderThan reportVersion set since sort tests to view'.split(
    ' ',
  ),
);
/** Members whose values are codes and ids of what there is: of nothing else once something was found. */
const codes = new Set('account books code currency fiscalYear journalCode period projection rateType userId'.split(' '));
/** Members of ours that hold what somebody typed. */
const free = new Set(
  (
    'about action depth descriptionLength dimension duplicateDays duplicateMinimum fx id in name nightHours onBehalfOf placeholders rareUserEntries ' +
    'rareUserPercent rateDate reference roundMinimum roundZeros weekendDays'
  ).split(' '),
);

/** What nobody is called: a date, an instant, a number, an id. */
export const isImpersonal = (text: string): boolean => /^(?:[\d.:+TZ-]{1,40}|[0-9a-f-]{36})$/.test(text);

/** begun: nothing is known yet; refused: it was not answered; empty: it was, with nothing; found: it was. */
export type Asked = 'begun' | 'refused' | 'empty' | 'found';

/** A member as it is recorded. What is sent under a name that is none of ours may itself be a name. */
export function askedMember(name: string, value: unknown, asked: Asked): NonNullable<Action['filter']>[number] {
  const text = String(value).slice(0, 1_000);
  const isOurs = choices.has(name) || words.has(name) || codes.has(name) || free.has(name);
  const isPlain =
    isOurs &&
    !free.has(name) &&
    (isImpersonal(text) ||
      (choices.has(name) && asked !== 'refused') ||
      (words.has(name) && (asked === 'empty' || asked === 'found')) ||
      (codes.has(name) && asked === 'found' && (name !== 'userId' || !/\s/.test(text))));
  return { key: isOurs ? name : '(another)', value: text, typed: !isPlain };
}
