/**
 * Escapes: names and texts that a format cannot hold, written so that it can. A character becomes `_xHHHH_`, its code point in
 * hexadecimal capitals, as SQL/XML (ISO 9075-14) and spreadsheets write it; letters, digits and underscores stand anywhere in
 * nearly every format that there is, and hyphens in Beancount's. Guarantees that what was written is read back as it was, so that no
 * two texts become one.
 */

/** Stands as a line of its own in a file that has escapes; the import reads them in such files only. */
export const escapesMark = '; _xHHHH_ in names and descriptions stands for the character with the code point HHHH (hexadecimal)';

/** What cannot stand in a format, as one expression that finds single characters. */
export const hazards = (...forms: readonly RegExp[]): RegExp => hazardsOf('_', forms);

/** The same where another mark than the underscore begins and ends an escape. */
export const hazardsOf = (mark: '_' | '-', forms: readonly RegExp[]): RegExp =>
  // First what would be read as an escape, although it was in the text.
  new RegExp([`${mark}(?=x[0-9A-F]{4})`, ...forms.map(({ source }) => source)].join('|'), 'gu');

/**
 * The text with an escape for every character that `dangerous` finds, and as it is elsewhere: two texts are never written alike, and
 * `unescaped` reads the text back where the mark is the underscore.
 * @param dangerous made by `hazards`, or by `hazardsOf` with the same mark
 */
export function escaped(text: string, dangerous: RegExp, mark: '_' | '-' = '_'): string {
  return text.replace(
    dangerous,
    (character) => `${mark}x${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}${mark}`,
  );
}

/** The text that `escaped` was given, with the underscore as its mark; what was never escaped may have changed. */
export function unescaped(text: string): string {
  return text.replace(/_x([0-9A-F]{4,6})_/g, (whole, digits: string) => {
    const point = Number.parseInt(digits, 16);
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole;
  });
}

/**
 * An escaped text in parts of at most `bytesMax` bytes of UTF-8, for formats whose lines have an end. No part is cut within an
 * escape, and none begins or ends with a blank, which a reader would take away.
 */
export function partsOf(text: string, bytesMax: number): string[] {
  if (text.length * 3 <= bytesMax || Buffer.byteLength(text) <= bytesMax) return [text];
  const parts: string[] = [];
  let part = '';
  let bytes = 0;
  for (const [piece] of text.matchAll(/_x[0-9A-F]{4,6}_|./gsu)) {
    const edge = piece === ' ' && (part === '' || bytes + '_x0020_'.length * 2 > bytesMax);
    const next = edge ? '_x0020_' : piece;
    if (bytes + Buffer.byteLength(next) > bytesMax) {
      parts.push(part);
      part = '';
      bytes = 0;
    }
    part += next;
    bytes += Buffer.byteLength(next);
  }
  return [...parts, part];
}
