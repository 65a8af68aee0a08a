/** Signed notes and checkpoints: the published example, what is written and read back, and what is refused. */
import * as crypto from 'node:crypto';
import * as fc from 'fast-check';
import {
  checkpointText,
  cosignedMessage,
  keyText,
  keyTypes,
  noteKey,
  noteText,
  parseCheckpoint,
  parseKey,
  parseNote,
  publicBytes,
  signedBy,
  verifySignature,
} from './signed-note';

const { privateKey } = crypto.generateKeyPairSync('ed25519');
const key = noteKey('books.example/acme', keyTypes.ed25519, publicBytes(privateKey));
const signed = (text: string, name = key.name, keyId = key.id): string =>
  noteText({ text, signatures: [{ name, keyId, bytes: crypto.sign(null, Buffer.from(text), privateKey) }] });

describe('a signed note', () => {
  it('is the one that the Go package sumdb/note publishes as its example', () => {
    const known = parseKey('PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW');
    const text =
      'If you think cryptography is the answer to your problem,\n' +
      "then you don't know what your problem is.\n" +
      '\n' +
      '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';
    const note = parseNote(text);
    expect(known && keyText(known)).toBe('PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW');
    expect(note && known && signedBy(note, known)).toBe(true);
    expect(note && noteText(note)).toBe(text);
    expect(note && known && signedBy({ ...note, text: note.text.replace('problem', 'Problem') }, known)).toBe(false);
  });

  it('is valid for its own key and text only', () => {
    const note = parseNote(signed('a\nb\n'));
    const other = noteKey('books.example/other', keyTypes.ed25519, key.publicKey);
    expect(note && signedBy(note, key)).toBe(true);
    expect(note && signedBy(note, other)).toBe(false);
    expect(note && signedBy({ ...note, text: 'a\nc\n' }, key)).toBe(false);
  });

  it.each([
    '',
    'text\n',
    'text\n\n',
    'text\n\nno signature\n',
    'text\n\n— name AAAAAAA=',
    'text\n\n— name AAAA\n',
    'text\n\n— na me AAAAAAAA\n',
    'text\n\n— name+ AAAAAAAA\n',
    'te\txt\n\n— name AAAAAAAA\n',
    'text\n\n— name AAAAAAA\n',
  ])('is not %j', (text) => expect(parseNote(text)).toBeUndefined());
});

describe('keys', () => {
  it('are read back as they were written, and not with another hash', () => {
    expect(parseKey(keyText(key))).toEqual(key);
    expect(parseKey(keyText(key).replace('+', '+0').replace(/.\+A/, '+A'))).toBeUndefined();
    for (const text of ['', 'a', 'a+b+c', `a b+${'0'.repeat(8)}+AQ==`, `${keyText(key)}=`]) expect(parseKey(text)).toBeUndefined();
    expect(() => noteKey('a b', 1, key.publicKey)).toThrow('no name');
    expect(() => noteKey('a', 1, Buffer.alloc(31))).toThrow('32 bytes');
  });
});

describe('checkpoints', () => {
  it('are read back as they were written', () => {
    const body = fc.record({
      origin: fc.stringMatching(/^[a-z0-9./~-]{1,60}$/),
      size: fc.maxSafeNat(),
      root: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes)),
    });
    fc.assert(fc.property(body, (checkpoint) => expect(parseCheckpoint(checkpointText(checkpoint))).toEqual(checkpoint)));
  });

  it.each([
    '',
    'o\n1\n',
    'o\n01\nAAAA\n',
    `o\n-1\n${'A'.repeat(43)}=\n`,
    `o\n1\n${'A'.repeat(44)}\n`,
    `o\n9007199254740993\n${'A'.repeat(43)}=\n`,
  ])('%j is none', (text) => expect(parseCheckpoint(text)).toBeUndefined());

  it('may have lines that we know nothing of', () => {
    expect(parseCheckpoint(`o\n1\n${'A'.repeat(43)}=\nmore\n`)).toMatchObject({ origin: 'o', size: 1 });
  });
});

describe('co-signatures', () => {
  const witness = noteKey('witness.example/w', keyTypes.cosignature, key.publicKey);
  const text = checkpointText({ origin: 'o', size: 1, root: Buffer.alloc(32) });
  const cosigned = (seconds: number, stated = seconds): Buffer => {
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(BigInt(stated));
    return Buffer.concat([time, crypto.sign(null, cosignedMessage(text, seconds), privateKey)]);
  };

  it('hold for the text and the time that they state', () => {
    expect(verifySignature(text, { bytes: cosigned(1_700_000_000) }, witness)).toBe(true);
    expect(verifySignature(text, { bytes: cosigned(1_700_000_000, 1_700_000_001) }, witness)).toBe(false);
    expect(verifySignature(text.replace('1', '2'), { bytes: cosigned(1_700_000_000) }, witness)).toBe(false);
    expect(verifySignature(text, { bytes: cosigned(1).subarray(1) }, witness)).toBe(false);
    expect(cosignedMessage('x\n', 7).toString()).toBe('cosignature/v1\ntime 7\nx\n');
  });
});
