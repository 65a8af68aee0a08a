/**
 * What cannot be seen in a text. Two account codes that look alike and are not, or a name that is shown in another order than
 * it is stored, deceive whoever reads the books, so identifiers hold nothing of the kind. Hides Unicode's lists; knows no
 * member and no error code.
 */

/** Zero-width characters, bidirectional controls, soft hyphens, fillers, tags, and blanks other than the space. */
const unseen = /\p{Default_Ignorable_Code_Point}|[^\S ]/u;
/** The same without joiners, which spell words of Persian and Hindi, and variation selectors, which emoji are made with. */
const unseenInNames = /(?!\u200c|\u200d|\ufe0e|\ufe0f)\p{Default_Ignorable_Code_Point}/u;
/** Controls that put text in another order than it is stored in ("Trojan Source", CVE-2021-42574). */
const reordering = /[\u202a-\u202e\u2066-\u2069]/;

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

/** What is wrong with an account code whatever it stands for, said after its name; undefined when nothing is. */
export function codeProblem(code: string): string | undefined {
  const hidden = hiddenIn(code, 'code');
  if (hidden !== undefined) return `holds ${hidden}, which cannot be seen or told from a space`;
  return code.trim() === code ? undefined : 'begins or ends with a blank';
}
