/**
 * Values as COPY's text format writes them (PostgreSQL manual, COPY, "Text Format"): a row is its values between tabs, and since
 * tabs, newlines and backslashes in a value are escaped, and NULL is `\N`, two different rows never have the same text.
 */

const escapes: Readonly<Record<string, string>> = {
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
};
const characters: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** @param value undefined for NULL */
export function copyText(value: string | undefined): string {
  if (value === undefined) return '\\N';
  return value.replace(/[\b\f\n\r\t\v\\]/g, (character) => escapes[character] as string);
}

/** The value that a text between two tabs means, undefined for NULL. */
export function copyValue(text: string): string | undefined {
  if (text === '\\N') return undefined;
  return text.includes('\\') ? text.replace(/\\(.)/g, (_, character: string) => characters[character] ?? character) : text;
}
