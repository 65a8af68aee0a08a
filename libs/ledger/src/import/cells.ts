/**
 * What the cells of audit files mean, in every such format alike: dates, instants, decimals, currencies. Hides how programs write
 * them; guarantees that what is given on has the forms of the ledger, and that a cell which could be read in two ways is a fault.
 */

import type { ErrorCode } from '#domain';
import { currencyForm, isDate } from '#domain';

/** What is wrong with a cell; refuses the entry of its row. */
export class CellFault extends Error {
  constructor(
    message: string,
    readonly code: ErrorCode = 'malformed',
  ) {
    super(message);
  }
}

/** A text of the file in a message: short, and without what a terminal would take for a command. */
export const quoted = (text: string): string => JSON.stringify(text.length <= 60 ? text : `${text.slice(0, 60)}…`);

/** A column's name as the versions of the Audit Data Standards agree on it: without blanks and underscores, in lower case. */
export const plainName = (name: string): string => name.replace(/[\s_]/g, '').toLowerCase();

/** What programs write where there is nothing: blanks, zeros for a date, and what spreadsheets and databases put. */
const nothing = /^(?:|0+|#N\/A|NULL)$/i;

/** A text without the blanks around it; undefined where there is none. */
export function textIn(cell: string): string | undefined {
  const text = cell.trim();
  return text === '' || /^(?:#N\/A|NULL)$/i.test(text) ? undefined : text;
}

/**
 * A date written YYYYMMDD or YYYY-MM-DD (ISO 8601, basic and extended).
 * @throws CellFault date_invalid when it is another text, or such a day does not exist from 1900 to 2199
 */
export function dateIn(column: string, cell: string): string | undefined {
  const text = cell.trim();
  if (nothing.test(text)) return undefined;
  const [, year, month, day] = /^(\d{4})(-?)(\d{2})\2(\d{2})$/.exec(text)?.filter((_part, index) => index !== 2) ?? [];
  const date = `${year}-${month}-${day}`;
  if (isDate(date)) return date;
  throw new CellFault(`${column} is ${quoted(text)}, not a date YYYYMMDD or YYYY-MM-DD that exists, from 1900 to 2199`, 'date_invalid');
}

/**
 * An instant from a date and a time of day, as RFC 3339; UTC, which the standard's later version demands, where no zone is named,
 * and midnight where no time is.
 * @param time HHMM, HHMMSS, HH:MM or HH:MM:SS, with a zone behind it or none; may stand in the cell of the date, after a T or a blank
 * @throws CellFault date_invalid
 */
export function instantIn(column: string, cell: string, time = ''): string | undefined {
  const [, day = '', after = '', zone = 'Z'] = /^\s*([^T\s]*)(?:[T\s]\s*([\d:.]+))?\s*(Z|[+-]\d{2}:?\d{2})?\s*$/.exec(cell) ?? [
    undefined,
    cell,
  ];
  const date = dateIn(column, day);
  if (date === undefined) return undefined;
  const text = after === '' ? textIn(time) : after;
  if (text === undefined) return `${date}T00:00:00${extended(zone)}`;
  const [, hour, minute, second = '00', own = zone] =
    /^([01]\d|2[0-3]):?([0-5]\d)(?::?([0-5]\d(?:\.\d{1,6})?))?(Z|[+-]\d{2}:?\d{2})?$/.exec(text) ?? [];
  if (hour === undefined)
    throw new CellFault(`the time of ${column} is ${quoted(text)}, not a time of day HHMM or HH:MM:SS`, 'date_invalid');
  return `${date}T${hour}:${minute}:${second}${extended(own)}`;
}

/** A zone without its colon (ISO 8601, basic) with it, as RFC 3339 has it. */
const extended = (zone: string): string => zone.replace(/^([+-]\d{2})(\d{2})$/, '$1:$2');

/** Written with a sign and zeros in front as they like, with a point or a comma before the decimals, without separators of thousands. */
const decimal = /^([+-]?)0*(\d*)(?:[.,](\d+))?$/;

/**
 * A decimal, as a plain one with `-` when it is negative.
 * @param comma whether decimals may stand behind a comma
 * @throws CellFault amount_format
 */
export function decimalIn(column: string, cell: string, comma: boolean): string | undefined {
  const text = cell.trim();
  if (text === '') return undefined;
  const [, sign, whole = '', decimals] = decimal.exec(text) ?? [];
  if (sign === undefined || !/\d/.test(text) || (!comma && text.includes(','))) {
    const form = comma ? '1234,50 or 1234.50' : '1234.50';
    throw new CellFault(
      `${column} is ${quoted(text)}, not a decimal like ${form} (digits, one ${comma ? 'comma or point' : 'point'}, a sign in front if any; no blank, no separator of thousands)`,
      'amount_format',
    );
  }
  return `${sign === '-' ? '-' : ''}${whole === '' ? '0' : whole}${decimals === undefined ? '' : `.${decimals}`}`;
}

export const isZero = (quantity: string): boolean => !/[1-9]/.test(quantity);
export const isNegative = (quantity: string): boolean => quantity.startsWith('-') && !isZero(quantity);
export const unsigned = (quantity: string): string => (quantity.startsWith('-') ? quantity.slice(1) : quantity);
export const negated = (quantity: string): string => (quantity.startsWith('-') ? quantity.slice(1) : `-${quantity}`);

/**
 * A code of a currency, as the file writes it or as it was said to mean.
 * @param codes by what the file writes
 * @throws CellFault text_invalid
 */
export function currencyIn(column: string, cell: string, codes: ReadonlyMap<string, string>): string | undefined {
  const text = cell.trim();
  const code = codes.get(text) ?? text;
  if (code === '') return undefined;
  if (currencyForm.test(code)) return code;
  throw new CellFault(`${column} is ${quoted(text)}, no code like EUR: say which it is (--currency '${text}=CODE')`, 'text_invalid');
}

/** @throws CellFault when there is nothing in a cell that must have something */
export function needed(column: string, value: string | undefined): string {
  if (value === undefined) throw new CellFault(`${column} is empty`);
  return value;
}

/** The members that have a value; undefined when none has. */
export function present(members: Readonly<Record<string, string | undefined>>): Record<string, string> | undefined {
  const kept = Object.entries(members).filter((member): member is [string, string] => member[1] !== undefined);
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}
