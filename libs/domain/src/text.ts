/**
 * What a text may hold, and what cannot be seen in it. Two account codes that look alike and are not, or a name that is shown in
 * another order than it is stored, deceive whoever reads the books, so identifiers hold nothing of the kind. Hides Unicode's lists;
 * knows no member and no error code. Asked by the REST edge and by imports, so that both let the same texts in.
 */

/** Zero-width characters, bidirectional controls, soft hyphens, fillers, tags, and blanks other than the space. */
const unseen = /\p{Default_Ignorable_Code_Point}|[^\S ]/u;
/** The same without joiners, which spell words of Persian and Hindi, and variation selectors, which emoji are made with. */
const unseenInNames = /(?!\u200c|\u200d|\ufe0e|\ufe0f)\p{Default_Ignorable_Code_Point}/u;
/** Controls that put text in another order than it is stored in ("Trojan Source", CVE-2021-42574). */
const reordering = /[\u202a-\u202e\u2066-\u2069]/;

/** What no name or identifier holds: control characters and the ends of lines (Unicode general category Cc, U+2028, U+2029). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: names them to refuse them
export const controls = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;
/** What no prose holds: control characters other than tab and line ends. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: names them to refuse them; tab and line ends are text here
const controlsButLines = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/;

const forms = { code: unseen, name: unseenInNames, prose: reordering };

/**
 * The first character of a text that its reader would not see.
 * @param use code: an identifier; name: one line for people; prose: text for people, where only reordering is deceit
 * @returns like `U+200B`
 */
export function hiddenIn(text: string, use: keyof typeof forms): string | undefined {
  const point = forms[use].exec(text)?.[0].codePointAt(0);
  return point === undefined ? undefined : `U+${point.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** How texts about persons begin once they are sealed (#privacy): what a caller says must never be taken for one. */
export const sealedPrefix = 'sealed:v1:';

/** What a text holds that its reader would be deceived by, said after its name. */
const deceit = { code: 'cannot be seen or told from a space', name: 'cannot be seen', prose: 'puts text in another order' };

/** What is wrong with the characters of a text; prose alone may begin and end with a blank. */
function characterProblem(text: string, use: keyof typeof forms): string | undefined {
  const hidden = hiddenIn(text, use);
  if (hidden !== undefined) return `holds ${hidden}, which ${deceit[use]}`;
  if (text.includes(sealedPrefix)) return `holds ${sealedPrefix}, which marks sealed texts; send what is personal as {subject, value}`;
  return use === 'prose' || text.trim() === text ? undefined : 'begins or ends with a blank';
}

/** What is wrong with an account code whatever it stands for, said after its name; undefined when nothing is. */
export const codeProblem = (code: string): string | undefined => characterProblem(code, 'code');

/** Characters as people count them, which is also how JSON Schema counts: code points. Counted only when there may be more than `max`. */
export function lengthOf(text: string, max: number): number {
  return text.length <= max ? text.length : [...text].length;
}

export interface TextProblem {
  /** long: more than `max` characters; blank: nothing but blanks; unfit: characters that have no place in it. */
  readonly kind: 'long' | 'blank' | 'unfit';
  /** Said after the text's name. */
  readonly says: string;
}

/** The first thing that is wrong with a text of `max` characters at most; undefined when nothing is. */
export function textProblem(text: string, max: number, use: keyof typeof forms): TextProblem | undefined {
  const length = lengthOf(text, max);
  if (length > max) return { kind: 'long', says: `has ${length} characters; ${max} are allowed` };
  if ((use === 'prose' ? controlsButLines : controls).test(text)) return { kind: 'unfit', says: 'holds a control character' };
  if (text.trim() === '') return { kind: 'blank', says: 'must not be blank' };
  const says = characterProblem(text, use);
  return says === undefined ? undefined : { kind: 'unfit', says };
}
