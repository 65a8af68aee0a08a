/**
 * Amounts as hledger and ledger journals write them: `$-1,234.50`, `1.234,50 EUR`, `- 3 "Green Apples"`. Hides where sign and
 * commodity may stand and which marks separate digits; guarantees that an amount is read as those programs read it, exactly,
 * and that one whose mark could be either, as in `1,000`, is refused with what would settle it and never guessed.
 */
import { isZero, quoted } from './cells';

/** The two programs read `1,000` differently, and a few other things. */
export type Dialect = 'hledger' | 'ledger';
export type DecimalMark = '.' | ',';

export interface JournalAmount {
  /** As written, without quotes; '' when there is none. */
  readonly commodity: string;
  /** Plain decimal, `-` in front when negative, with the decimals that were written. */
  readonly quantity: string;
}

/** What directives said about the numbers that follow them. */
export interface NumberForms {
  readonly dialect: Dialect;
  /** `decimal-mark`: for every commodity, before what is said of one. */
  readonly mark?: DecimalMark;
  /** `commodity` and `D`. */
  readonly marks: ReadonlyMap<string, DecimalMark>;
  /** `D`: the commodity of amounts that name none. */
  readonly defaultCommodity?: string;
}

/** Says what is wrong with an amount and what to do; whoever reads lines adds file and line. */
export class AmountFault extends Error {}

const blanks = /[ \t\u00a0]*/y;
const sign = /[+-]/y;
const quotedSymbol = /"([^"]*)"/y;
// What neither program lets stand in a symbol without quotes.
const bareSymbol = /[^\s\d"\-+.,;:?!*/^&|=<>(){}[\]@#~\\]+/uy;
/** Digits and marks; a blank only where three digits follow, as in `1 000 000,00`. */
const numberText = /(?:\d[\d.,]*|[.,]\d+)(?:[ \u00a0\u2009\u202f]\d{3}(?!\d)[\d.,]*)*/y;

/**
 * Reads the amount that begins at `from`.
 * @returns the amount, and where the text goes on behind it
 * @throws AmountFault
 */
export function readAmount(text: string, from: number, forms: NumberForms): { readonly amount: JournalAmount; readonly end: number } {
  let at = from;
  const take = (form: RegExp): RegExpExecArray | undefined => {
    form.lastIndex = at;
    const found = form.exec(text) ?? undefined;
    if (found !== undefined) at = form.lastIndex;
    return found;
  };
  const takeSymbol = (): string | undefined => take(quotedSymbol)?.[1] ?? take(bareSymbol)?.[0];
  take(blanks);
  const begin = at;
  let negative = take(sign)?.[0] === '-';
  take(blanks);
  let commodity = takeSymbol();
  if (commodity !== undefined) {
    take(blanks);
    const second = take(sign)?.[0];
    negative = negative !== (second === '-');
    take(blanks);
  }
  const digits = take(numberText)?.[0];
  if (digits === undefined) throw new AmountFault(`${quoted(text.slice(begin).trim())} is no amount like 1234.50 EUR or $1,234.50`);
  if (commodity === undefined) {
    const behindNumber = at;
    take(blanks);
    commodity = takeSymbol();
    if (commodity === undefined) at = behindNumber;
  }
  // Neither `1e3` nor `12abc34`: what a symbol may not be followed by.
  if (/[\d.,"]/.test(text.charAt(at))) {
    throw new AmountFault(
      `${quoted(text.slice(begin).trim())} is no amount like 1234.50 EUR; write the number out, and a commodity with digits in quotes`,
    );
  }
  const named = commodity ?? forms.defaultCommodity ?? '';
  const { quantity } = readNumber(digits, forms.mark ?? forms.marks.get(named), forms.dialect);
  return { amount: { commodity: named, quantity: negative && !isZero(quantity) ? `-${quantity}` : quantity }, end: at };
}

/** The decimal mark that the example of a `commodity`, `D` or `format` directive shows; undefined when it shows none. */
export function markShown(text: string, forms: Pick<NumberForms, 'dialect'>): { commodity: string; mark?: DecimalMark } {
  const { amount, end } = readAmount(text, 0, { dialect: forms.dialect, marks: new Map() });
  if (text.slice(end).trim() !== '') throw new AmountFault(`${quoted(text.trim())} is no amount like 1,000.00 EUR`);
  const digits = /[\d.,](?:[\d., \u00a0\u2009\u202f]*[\d.,])?/.exec(text.replace(/"[^"]*"/, ''))?.[0] ?? '';
  return { commodity: amount.commodity, mark: readNumber(digits, undefined, forms.dialect).mark };
}

/** A plain decimal of an unsigned number, and the decimal mark that it tells. */
function readNumber(text: string, mark: DecimalMark | undefined, dialect: Dialect): { quantity: string; mark?: DecimalMark } {
  const spaced = /[^\d.,]/.test(text);
  const marks = text.replace(/[^.,]/g, '');
  const last = marks.at(-1) as DecimalMark | undefined;
  if (last === undefined) return { quantity: plain(groupsOf(text, ' ', text), '') };
  const other = last === '.' ? ',' : '.';
  const several = marks.indexOf(last) < marks.length - 1;
  const lastIsDecimal = marks.includes(other) || spaced ? true : several ? false : (mark ?? guess(text, last, dialect)) === last;
  const told = lastIsDecimal ? last : other;
  if (mark !== undefined && told !== mark) {
    throw new AmountFault(`${quoted(text)} has ${told} as its decimal mark, but a directive before says ${mark}`);
  }
  if (lastIsDecimal && several) throw new AmountFault(`${quoted(text)} has the decimal mark ${last} more than once`);
  if (!lastIsDecimal) return { quantity: plain(groupsOf(text, last, text), ''), mark: told };
  const point = text.lastIndexOf(last);
  const fraction = text.slice(point + 1);
  if (/\D/.test(fraction)) throw new AmountFault(`${quoted(text)} has a separator behind its decimal mark`);
  return { quantity: plain(groupsOf(text.slice(0, point), spaced ? ' ' : other, text), fraction), mark: told };
}

/** The decimal mark of a number with one mark, as the program reads it when no directive says anything. */
function guess(text: string, mark: DecimalMark, dialect: Dialect): DecimalMark {
  if (mark === '.') return '.';
  const [whole = '', fraction = ''] = text.split(',');
  if (fraction.length !== 3) return ',';
  const grouped = /^[1-9]\d{0,2}$/.test(whole);
  // ledger takes a comma before three digits for a separator; hledger takes it for a decimal mark, which few people mean.
  if (dialect === 'ledger' && grouped) return '.';
  throw new AmountFault(
    `${quoted(text)} could be ${whole || '0'}.${fraction} or ${whole}${fraction}: write more or fewer decimals, or say which before it, with ` +
      (dialect === 'hledger' ? '"decimal-mark ." or "decimal-mark ,"' : '"commodity CODE" and below it "format 1,000.00 CODE"'),
  );
}

/** Digits without separators: groups of two or three, the last of three, as in 1,000,000 and 10,00,000. */
function groupsOf(text: string, separator: string, whole: string): string {
  const groups = text.split(separator === ' ' ? /[ \u00a0\u2009\u202f]/ : separator);
  if (groups.length === 1) {
    if (/\D/.test(text)) throw new AmountFault(`${quoted(whole)} mixes separators of digits`);
    return text;
  }
  const good = groups.every((group, index) =>
    index === 0 ? /^\d{1,3}$/.test(group) : index === groups.length - 1 ? /^\d{3}$/.test(group) : /^\d{2,3}$/.test(group),
  );
  if (!good) throw new AmountFault(`${quoted(whole)} is not separated in groups of digits as in 1,000,000`);
  return groups.join('');
}

function plain(whole: string, fraction: string): string {
  const digits = whole.replace(/^0+(?=\d)/, '') || '0';
  return fraction === '' ? digits : `${digits}.${fraction}`;
}
