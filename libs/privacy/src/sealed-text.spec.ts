/** Sealed texts: what is sealed opens with its key as what it says it is, and as nothing else. */
import { createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import {
  isSealed,
  looksSealed,
  markOf,
  openText,
  parseSealed,
  pseudonymOf,
  replaceSealed,
  type SealedPlace,
  type SealedText,
  sealText,
  subjectKey,
} from './sealed-text';

const secret = randomBytes(32);
const key = subjectKey(secret);
const text = fc.string({ unit: 'binary', maxLength: 300 }).filter((value) => value.isWellFormed());
const place: fc.Arbitrary<SealedPlace> = fc.record({
  bookId: fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,39}$/),
  subjectId: fc.uuid(),
  scope: fc.stringMatching(/^[a-z0-9-]{1,40}$/),
  eventId: fc.uuid(),
  path: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }).filter((value) => value.isWellFormed()),
});
const parsed = (sealed: string): SealedText => parseSealed(sealed) as SealedText;

it('opens to what was sealed, alone and inside of other texts', () => {
  fc.assert(
    fc.property(place, text, text, (where, value, around) => {
      const sealed = sealText(key, where, value);
      expect(isSealed(sealed)).toBe(true);
      const { bookId, ...said } = where;
      expect(parsed(sealed)).toMatchObject(said);
      expect(openText(key, bookId, parsed(sealed))).toBe(value);
      expect(sealed.includes(value)).toBe(value.length < 8 && sealed.includes(value));
      fc.pre(!looksSealed(around));
      const found: string[] = [];
      const replaced = replaceSealed(`${around}${sealed}${around}${sealed}`, (one) => {
        found.push(one);
        return '|';
      });
      expect([found, replaced]).toEqual([[sealed, sealed], `${around}|${around}|`]);
    }),
  );
});

it('opens with no other key, in no other book, about nobody else, for no other event, member or scope, and with no bit changed', () => {
  fc.assert(
    fc.property(place, text, fc.nat(), (where, value, bit) => {
      const { bookId } = where;
      const sealed = parsed(sealText(key, where, value));
      expect(openText(subjectKey(randomBytes(32)), bookId, sealed)).toBeUndefined();
      expect(openText(key, `${bookId}x`, sealed)).toBeUndefined();
      const others: Partial<SealedText>[] = [
        { subjectId: '00000000-0000-4000-8000-000000000000' },
        { scope: `${sealed.scope}x`.slice(-40) },
        { eventId: '00000000-0000-4000-8000-000000000000' },
        { path: `${sealed.path}.x` },
      ];
      for (const other of others) expect(openText(key, bookId, { ...sealed, ...other })).toBeUndefined();
      const box = Buffer.from(sealed.box);
      const at = bit % (8 * box.length);
      box[at >> 3] = (box[at >> 3] as number) ^ (1 << (at & 7));
      expect(openText(key, bookId, { ...sealed, box })).toBeUndefined();
      expect(openText(key, bookId, { ...sealed, box: box.subarray(0, box.length - 1) })).toBeUndefined();
    }),
  );
});

it('never looks the same twice, but has the same mark, which another key does not give', () => {
  fc.assert(
    fc.property(place, text, text, (where, one, other) => {
      expect(sealText(key, where, one)).not.toBe(sealText(key, where, one));
      expect(markOf(key, one)).toBe(markOf(subjectKey(secret), one));
      expect(markOf(key, one) === markOf(key, other)).toBe(one === other);
      expect(markOf(subjectKey(randomBytes(32)), one)).not.toBe(markOf(key, one));
    }),
  );
});

it('can be opened by whoever has the key and the description of the form', () => {
  const where = {
    bookId: 'acme',
    subjectId: '0198c0de-0000-7000-8000-000000000001',
    scope: 'identity',
    eventId: '0198c0de-0000-7000-8000-000000000002',
    path: 'lines.0.x y',
  };
  const [subject, scope, event, path, box] = sealText(key, where, 'Jane').slice('sealed:v1:'.length).split(':') as [
    string,
    string,
    string,
    string,
    string,
  ];
  const bytes = Buffer.from(box.slice(0, -1), 'base64url');
  const own = Buffer.from(hkdfSync('sha256', secret, '', 'book-keeper encryption', 32));
  const cipher = createDecipheriv('aes-256-gcm', own, bytes.subarray(0, 12)).setAAD(
    Buffer.from(`acme:${subject}:${scope}:${event}:${path}`),
  );
  cipher.setAuthTag(bytes.subarray(-16));
  expect(cipher.update(bytes.subarray(12, -16)).toString() + cipher.final('utf8')).toBe('Jane');
});

it.each([
  'sealed:v1:',
  'sealed:v1:0198c0de-0000-7000-8000-000000000001:identity:0198c0de-0000-7000-8000-000000000002:name:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISI',
  'sealed:v1:not-a-uuid:identity:0198c0de-0000-7000-8000-000000000002:name:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISI.',
  'sealed:v1:0198C0DE-0000-7000-8000-000000000001:identity:0198c0de-0000-7000-8000-000000000002:name:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISI.',
  'sealed:v1:0198c0de-0000-7000-8000-000000000001:identity:0198c0de-0000-7000-8000-000000000002:name:AAEC.',
  'sealed:v1:0198c0de-0000-7000-8000-000000000001:identity:0198c0de-0000-7000-8000-000000000002:%:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISI.',
])('%s is none', (sealed) => {
  expect(parseSealed(sealed)).toBeUndefined();
});

it('a pseudonym is one line of letters and digits, the same for the same key', () => {
  expect(pseudonymOf(key)).toMatch(/^P-[0-9A-HJKMNP-TV-Z]{12}$/);
  expect(pseudonymOf(subjectKey(secret))).toBe(pseudonymOf(key));
  expect(pseudonymOf(subjectKey(randomBytes(32)))).not.toBe(pseudonymOf(key));
});
