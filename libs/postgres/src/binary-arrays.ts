/**
 * Array parameters in PostgreSQL's binary form.
 *
 * node-pg sends a Buffer as a binary parameter, so an array encoded here goes to the server without being turned into
 * text, escaped and parsed again; its own array parameters cost ten times as much processor time on the write path.
 * Give the parameter a cast (`$1::int8[]`), since the server takes the type from the statement.
 *
 * Every encoder takes a plain array in which `undefined` or `null` stands for SQL NULL, and returns a Buffer of its own
 * that may wait in a queue. A value that the type cannot hold raises a RangeError or TypeError before anything is sent.
 *
 * The layout is that of array_recv and the types' own receive functions
 * (https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES, src/backend/utils/adt/arrayfuncs.c):
 * int32 dimensions, int32 has-nulls, int32 element type, int32 length, int32 lower bound, then per element an int32 size
 * (−1 for NULL) and the element, all big-endian.
 */

/** An array whose elements may be missing. */
type Elements<T> = readonly (T | null | undefined)[];

/** Element types by their row in pg_type, which is fixed for built-in types. */
const OID = {
  bool: 16,
  bytea: 17,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  json: 114,
  date: 1082,
  timestamptz: 1184,
  numeric: 1700,
  uuid: 2950,
  jsonb: 3802,
} as const;

const HEADER_BYTES = 20;
const SCRATCH_BYTES = 1 << 16;
/** A scratch buffer that grew beyond this for one huge batch is given back to the garbage collector. */
const SCRATCH_KEPT_BYTES = 8 << 20;

/** Microseconds from the Unix epoch to PostgreSQL's, 2000-01-01T00:00:00Z. */
const POSTGRES_EPOCH_US = 946_684_800_000_000;
/** Days from the Unix epoch to PostgreSQL's. */
const POSTGRES_EPOCH_DAYS = 10_957;

/**
 * One growable buffer for all encoders: they run to their end without yielding, so none can see another's bytes, and the
 * result is copied out once at its exact size.
 */
let scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
/** The same bytes. A DataView's methods are single instructions where Buffer's are checked JavaScript: half the time. */
let view = new DataView(scratch.buffer);
let offset = 0;

function reserve(bytes: number): void {
  if (offset + bytes <= scratch.length) return;
  const grown = Buffer.allocUnsafeSlow(Math.max(scratch.length * 2, offset + bytes));
  scratch.copy(grown, 0, 0, offset);
  scratch = grown;
  view = new DataView(scratch.buffer);
}

/** Writes one element, its size included, at `offset` in `scratch`. */
type Write<T> = (value: T) => void;

function encode<T>(oid: number, values: Elements<T>, write: Write<T>): Buffer {
  offset = HEADER_BYTES;
  let nulls = 0;
  for (const value of values) {
    if (value === undefined || value === null) {
      nulls = 1;
      reserve(4);
      putInt4(-1);
    } else {
      write(value);
    }
  }
  view.setInt32(0, 1);
  view.setInt32(4, nulls);
  view.setInt32(8, oid);
  view.setInt32(12, values.length);
  view.setInt32(16, 1);
  const result = Buffer.allocUnsafeSlow(offset);
  scratch.copy(result, 0, 0, offset);
  if (scratch.length > SCRATCH_KEPT_BYTES) {
    scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
    view = new DataView(scratch.buffer);
  }
  return result;
}

function putInt2(value: number): void {
  view.setInt16(offset, value);
  offset += 2;
}

function putInt4(value: number): void {
  view.setInt32(offset, value);
  offset += 4;
}

/** `bool[]`. */
export function boolArray(values: Elements<boolean>): Buffer {
  return encode(OID.bool, values, writeBool);
}

/** `int2[]`, −32,768 … 32,767. */
export function int2Array(values: Elements<number>): Buffer {
  return encode(OID.int2, values, writeInt2);
}

/** `int4[]`, −2^31 … 2^31 − 1. */
export function int4Array(values: Elements<number>): Buffer {
  return encode(OID.int4, values, writeInt4);
}

/** `int8[]`, from safe integers (|n| < 2^53) or bigints, also mixed. */
export function int8Array(values: Elements<number | bigint>): Buffer {
  return encode(OID.int8, values, writeInt8);
}

/** `numeric[]` of whole numbers, from safe integers or bigints of any size (money in minor units). */
export function numericArray(values: Elements<number | bigint>): Buffer {
  return encode(OID.numeric, values, writeNumeric);
}

/** `uuid[]`, from the usual text with hyphens, either case. */
export function uuidArray(values: Elements<string>): Buffer {
  return encode(OID.uuid, values, writeUuid);
}

/** `text[]`. U+0000 is refused by the server; a lone surrogate would be replaced silently, so check for it before (I2). */
export function textArray(values: Elements<string>): Buffer {
  return encode(OID.text, values, writeText);
}

/** `json[]`, from JSON text; the server keeps the text as it is. */
export function jsonArray(values: Elements<string>): Buffer {
  return encode(OID.json, values, writeText);
}

/** `jsonb[]`, from JSON text that is stringified already. */
export function jsonbArray(values: Elements<string>): Buffer {
  return encode(OID.jsonb, values, writeJsonb);
}

/** `bytea[]`. */
export function byteaArray(values: Elements<Uint8Array>): Buffer {
  return encode(OID.bytea, values, writeBytea);
}

/** `bytea[]`, from pairs of hex digits: a hash goes to the server without a Buffer of its own. */
export function byteaHexArray(values: Elements<string>): Buffer {
  return encode(OID.bytea, values, writeHex);
}

/** `timestamptz[]`, from whole microseconds since 1970-01-01T00:00:00Z (exact until the year 2255). */
export function timestamptzArray(values: Elements<number>): Buffer {
  return encode(OID.timestamptz, values, writeTimestamptz);
}

/** `date[]`, from `YYYY-MM-DD` of the Gregorian calendar, years 0001 … 9999. */
export function dateArray(values: Elements<string>): Buffer {
  return encode(OID.date, values, writeDate);
}

function writeBool(value: boolean): void {
  reserve(5);
  putInt4(1);
  scratch[offset++] = value ? 1 : 0;
}

function writeInt2(value: number): void {
  if ((value << 16) >> 16 !== value) throw new RangeError(`not an int2: ${value}`);
  reserve(6);
  putInt4(2);
  putInt2(value);
}

function writeInt4(value: number): void {
  if ((value | 0) !== value) throw new RangeError(`not an int4: ${value}`);
  reserve(8);
  putInt4(4);
  putInt4(value);
}

function writeInt8(value: number | bigint): void {
  reserve(12);
  putInt4(8);
  if (typeof value === 'bigint') {
    if (BigInt.asIntN(64, value) !== value) throw new RangeError(`not an int8: ${value}`);
    view.setBigInt64(offset, value);
    offset += 8;
  } else {
    if (!Number.isSafeInteger(value)) throw new RangeError(`not a safe integer: ${value}`);
    putHalves(value);
  }
}

/** A safe integer as eight bytes in two's complement; BigInt would allocate. */
function putHalves(value: number): void {
  putInt4(Math.floor(value / 4_294_967_296));
  // DataView takes the lowest 32 bits, which for a safe integer are exact.
  putInt4(value);
}

function writeTimestamptz(unixMicroseconds: number): void {
  if (!Number.isSafeInteger(unixMicroseconds)) throw new RangeError(`not whole microseconds: ${unixMicroseconds}`);
  reserve(12);
  putInt4(8);
  putHalves(unixMicroseconds - POSTGRES_EPOCH_US);
}

function writeText(value: string): void {
  // Three bytes hold any UTF-16 unit in UTF-8, so the string is measured only by being written.
  reserve(4 + value.length * 3);
  const bytes = scratch.write(value, offset + 4, 'utf8');
  putInt4(bytes);
  offset += bytes;
}

function writeJsonb(json: string): void {
  reserve(5 + json.length * 3);
  const bytes = scratch.write(json, offset + 5, 'utf8');
  putInt4(bytes + 1);
  scratch[offset++] = 1; // the version of jsonb's binary form, the only one there is
  offset += bytes;
}

function writeHex(hex: string): void {
  const bytes = hex.length / 2;
  reserve(4 + bytes);
  // Buffer.write stops at the first pair that is no hex, without an error.
  if (scratch.write(hex, offset + 4, 'hex') !== bytes) throw new TypeError(`not hex: ${hex}`);
  scratch.writeInt32BE(bytes, offset);
  offset += 4 + bytes;
}

function writeBytea(value: Uint8Array): void {
  reserve(4 + value.length);
  putInt4(value.length);
  scratch.set(value, offset);
  offset += value.length;
}

/** The value of a hexadecimal digit by its character code; 16 marks what is none. */
const HEX = new Uint8Array(128).fill(16);
for (let digit = 0; digit < 16; digit++) {
  HEX[digit.toString(16).charCodeAt(0)] = digit;
  HEX[digit.toString(16).toUpperCase().charCodeAt(0)] = digit;
}
const HYPHEN = 45;

function writeUuid(value: string): void {
  if (value.length !== 36) throw notUuid(value);
  reserve(20);
  putInt4(16);
  const bytes = scratch;
  let at = offset;
  for (let i = 0; i < 36; i += 2) {
    if (i === 8 || i === 13 || i === 18 || i === 23) {
      if (value.charCodeAt(i++) !== HYPHEN) throw notUuid(value);
    }
    const high = HEX[value.charCodeAt(i)] ?? 16;
    const low = HEX[value.charCodeAt(i + 1)] ?? 16;
    if (high === 16 || low === 16) throw notUuid(value);
    bytes[at++] = (high << 4) | low;
  }
  offset = at;
}

function notUuid(value: string): TypeError {
  return new TypeError(`not a UUID: ${value}`);
}

const NUMERIC_POSITIVE = 0x0000;
const NUMERIC_NEGATIVE = 0x4000;
const BASE = 10_000;
/** 10,000^3: three base-10,000 digits at once still fit a JS number exactly. */
const CHUNK = 1_000_000_000_000n;

/** Base-10,000 digits of the number being written, least significant first. */
let digits = new Uint16Array(64);

/**
 * A numeric is int16 digit count, int16 weight of the first digit, int16 sign, int16 digits after the point, and the
 * digits in base 10,000, most significant first (numeric_recv in src/backend/utils/adt/numeric.c).
 */
function writeNumeric(value: number | bigint): void {
  let count = 0;
  let negative = false;
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new RangeError(`not a safe integer: ${value}`);
    negative = value < 0;
    for (let rest = Math.abs(value); rest > 0; rest = Math.floor(rest / BASE)) digits[count++] = rest % BASE;
  } else {
    negative = value < 0n;
    for (let rest = negative ? -value : value; rest > 0n; ) {
      if (count + 3 > digits.length) {
        const grown = new Uint16Array(digits.length * 2);
        grown.set(digits);
        digits = grown;
      }
      const last = rest < CHUNK;
      let chunk = Number(last ? rest : rest % CHUNK);
      rest = last ? 0n : rest / CHUNK;
      for (let i = 0; last ? chunk > 0 : i < 3; i++) {
        digits[count++] = chunk % BASE;
        chunk = Math.floor(chunk / BASE);
      }
    }
  }
  reserve(12 + count * 2);
  putInt4(8 + count * 2);
  putInt2(count);
  putInt2(count > 0 ? count - 1 : 0);
  putInt2(negative ? NUMERIC_NEGATIVE : NUMERIC_POSITIVE);
  putInt2(0);
  for (let i = count - 1; i >= 0; i--) putInt2(digits[i] as number);
}

const DAYS_IN_MONTH = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Lines of an entry have one date, and entries of a batch have few: the last one is remembered. */
let lastDate = '1970-01-01';
let lastDays = 0;

function writeDate(value: string): void {
  if (value !== lastDate) {
    lastDays = unixDays(value);
    lastDate = value;
  }
  const days = lastDays;
  reserve(8);
  putInt4(4);
  putInt4(days - POSTGRES_EPOCH_DAYS);
}

/**
 * Days since 1970-01-01 of a Gregorian date. Counting years from March puts the leap day last, which makes the length of
 * a year's first months a linear formula (Hinnant, "chrono-compatible low-level date algorithms", days_from_civil).
 */
function unixDays(date: string): number {
  const year = Number(date.slice(0, 4));
  const month = Number(date.slice(5, 7));
  const day = Number(date.slice(8));
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const length = month === 2 && leap ? 29 : DAYS_IN_MONTH[month - 1];
  if (!/^\d{4}-\d\d-\d\d$/.test(date) || year === 0 || length === undefined || day < 1 || day > length) {
    throw new RangeError(`not a calendar date: ${date}`);
  }
  const marchYear = month <= 2 ? year - 1 : year;
  const era = Math.floor(marchYear / 400);
  const yearOfEra = marchYear - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}
