/** The parts of the verifier, against the vectors of the standards that they follow. */
import { verify } from 'node:crypto';
import fc from 'fast-check';
import { Currencies } from '../books.mjs';
import { readCsv } from '../csv.mjs';
import { canonical, parseJson } from '../json.mjs';
import { isConsistent, leafHash, Tree } from '../merkle.mjs';
import { keyLines, parseCheckpoint, parseKey, readNote, splitNotes } from '../note.mjs';
import { canonicalize, consistencyProof, first, sha256, signNote, stranger, treeRoot, witness } from './sample-pack.ts';

describe('the canonical form (RFC 8785)', () => {
  it('writes the example of section 3.2.2', () => {
    const text = `{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\"\\/", "literals": [null, true, false]}`;
    expect(canonical(JSON.parse(text))).toBe(
      `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA'B\\"\\\\\\\\\\"/"}`,
    );
  });

  it('sorts members by UTF-16 units, as in section 3.2.3', () => {
    const names = ['\u20ac', '\r', '\ufb33', '1', '\u{1f600}', '\u0080', '\u00f6'];
    const object = Object.fromEntries(names.map((name) => [name, 0]));
    expect(Object.keys(object)[0]).toBe('1'); // JavaScript's own order begins with what looks like an index.
    const sorted = ['\r', '1', '\u0080', '\u00f6', '\u20ac', '\u{1f600}', '\ufb33'];
    expect(canonical(object)).toBe(`{${sorted.map((name) => `${JSON.stringify(name)}:0`).join(',')}}`);
    expect(canonical({ 10: 1, 9: 2 })).toBe('{"10":1,"9":2}');
  });

  it.each([
    ['0000000000000000', '0'],
    ['8000000000000000', '0'],
    ['0000000000000001', '5e-324'],
    ['7fefffffffffffff', '1.7976931348623157e+308'],
    ['4340000000000000', '9007199254740992'],
    ['4430000000000000', '295147905179352830000'],
    ['44b52d02c7e14af5', '9.999999999999997e+22'],
    ['44b52d02c7e14af6', '1e+23'],
    ['444b1ae4d6e2ef50', '1e+21'],
    ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
    ['3eb0c6f7a0b5ed8d', '0.000001'],
    ['41b3de4355555553', '333333333.3333332'],
    ['becbf647612f3696', '-0.0000033333333333333333'],
  ])('writes the number %s of appendix B as %s', (bits, text) => {
    expect(canonical(Buffer.from(bits, 'hex').readDoubleBE())).toBe(text);
  });

  it('refuses half of a surrogate pair', () => {
    expect(() => canonical(JSON.parse('["\\ud83d"]'))).toThrow('half of a surrogate pair');
  });

  it('is what another implementation writes', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => expect(canonical(value)).toBe(canonicalize(value))));
  });

  it('tells a member that stands twice, whatever it looks like', () => {
    expect(() => parseJson('{"a":1,"b":{"c":":","c" : 2}}')).toThrow('twice');
    expect(() => parseJson('{"a":1,"\\u0061":2}')).toThrow('twice');
    expect(parseJson('{"a":"\\"b\\":1","b":["a:",{"a":"\\\\"}]}')).toEqual({ a: '"b":1', b: ['a:', { a: '\\' }] });
    fc.assert(
      fc.property(fc.jsonValue(), (value) => expect(canonical(parseJson(JSON.stringify(value, undefined, 2)))).toBe(canonicalize(value))),
    );
  });
});

describe('the tree (RFC 9162)', () => {
  // Test vectors of RFC 6962's authors, certificate-transparency: merkletree/merkle_tree_test.cc.
  const inputs = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
  const roots = [
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
    'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
    '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
    'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
    '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
  ];

  it('has the roots of the test vectors', () => {
    const tree = new Tree();
    expect(tree.root().toString('hex')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    const found = inputs.map((input) => {
      tree.append(leafHash(Buffer.from(input, 'hex')));
      return tree.root().toString('hex');
    });
    expect(found).toEqual(roots);
  });

  it('accepts the proof of the test vectors from 6 to 8', () => {
    const hashes = [
      '0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a',
      'ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    ].map((hash) => Buffer.from(hash, 'hex'));
    const sized = (size: number) => ({ size, root: Buffer.from(roots[size - 1] ?? '', 'hex') });
    expect(isConsistent(sized(6), sized(8), hashes)).toBe(true);
    expect(isConsistent(sized(5), sized(8), hashes)).toBe(false);
  });

  it('accepts the proof between any two sizes, and no other', () => {
    const leaves = Array.from({ length: 33 }, (_, index) => leafHash(Buffer.of(index)));
    const sized = (size: number) => ({ size, root: treeRoot(leaves.slice(0, size)) });
    for (let n = 1; n <= leaves.length; n++) {
      for (let m = 1; m <= n; m++) {
        const proof = consistencyProof(m, leaves.slice(0, n));
        expect(isConsistent(sized(m), sized(n), proof)).toBe(true);
        if (m < n) expect(isConsistent(sized(m), sized(n), proof.slice(1))).toBe(false);
        expect(isConsistent(sized(m), sized(n), [...proof, sha256()])).toBe(false);
        expect(isConsistent({ size: m, root: sha256() }, sized(n), proof)).toBe(false);
        expect(isConsistent(sized(m), { size: n, root: sha256() }, proof)).toBe(false);
        for (const index of proof.keys()) expect(isConsistent(sized(m), sized(n), proof.with(index, sha256()))).toBe(false);
        if (m < n) expect(isConsistent(sized(n), sized(m), proof)).toBe(false);
      }
    }
    expect(isConsistent({ size: 0, root: sha256() }, sized(3), [])).toBe(false);
  });
});

describe('signed notes', () => {
  it('verifies with the key of RFC 8032, section 7.1, test 3', () => {
    const raw = Buffer.from('fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025', 'hex');
    const signature = Buffer.from(
      '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
      'hex',
    );
    const typed = Buffer.concat([Buffer.of(1), raw]);
    const id = sha256(Buffer.from('rfc\n'), typed).toString('hex', 0, 4);
    const { publicKey } = parseKey(`rfc+${id}+${typed.toString('base64')}`);
    expect(verify(null, Buffer.from('af82', 'hex'), publicKey, signature)).toBe(true);
    expect(verify(null, Buffer.from('af83', 'hex'), publicKey, signature)).toBe(false);
  });

  it('reads the example of Go’s package note, from which the format comes', () => {
    const key = parseKey('PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW');
    const text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const note = `${text}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n`;
    expect(readNote(note, [key])).toEqual({ text, signers: [key], witnesses: [], unknown: [] });
    expect(() => readNote(note.replace('answer', 'Answer'), [key])).toThrow('does not belong to this text');
  });

  it('tells who signed, also witnesses and those that are not known', () => {
    const note = signNote('a text\n', first, witness, stranger);
    const read = readNote(note, [parseKey(first.text), parseKey(witness.text)]);
    expect(read.signers.map(({ text }) => text)).toEqual([first.text]);
    expect(read.witnesses).toEqual([{ key: parseKey(witness.text), at: new Date('2026-01-02T00:00:00Z') }]);
    expect(read.unknown).toEqual([stranger.text.slice(0, stranger.text.lastIndexOf('+', stranger.text.indexOf('+', 14)))]);
    const otherTime = note.replace(/(witness.example )(.*)/, (_, name: string, base64: string) => {
      const bytes = Buffer.from(base64, 'base64');
      bytes[11] = (bytes[11] ?? 0) ^ 1;
      return name + bytes.toString('base64');
    });
    expect(() => readNote(otherTime, [parseKey(witness.text)])).toThrow('the signature of the witness');
  });

  it.each([
    ['no signature lines', 'a\n'],
    ['no line end', signNote('a\n', first).slice(0, -1)],
    ['a hyphen in place of a dash', signNote('a\n', first).replace('—', '-')],
    ['a control character', signNote('a\tb\n', first)],
    ['a signature that is no base64', signNote('a\n', first).replace(/.{4}\n$/, '!!!!\n')],
    ['a signature that is too short', signNote('a\n', first).replace(/.{8}\n$/, '\n')],
  ])('refuses a note with %s', (_, note) => {
    expect(() => readNote(note, [parseKey(first.text)])).toThrow();
  });

  it.each([
    ['of another form', 'books.example', 'no key of the form'],
    ['with an id of another key', first.text.replace(/\+\w{8}\+/, '+00000000+'), 'should have the id'],
    ['of an unknown type', `x+00000000+${Buffer.concat([Buffer.of(2), Buffer.alloc(32)]).toString('base64')}`, 'of the type 2'],
    ['that is too short', `x+00000000+${Buffer.alloc(20).toString('base64')}`, '20 bytes'],
  ])('refuses a key %s', (_, key, message) => {
    expect(() => parseKey(key)).toThrow(message);
  });

  it('reads lines of keys and of notes', () => {
    expect(keyLines(`# ours\n\n${first.text}\r\n  ${witness.text} \n`)).toEqual([first.text, witness.text]);
    const [one, two] = [signNote('a\nb\n', first, witness), signNote('c\n', first)];
    expect(splitNotes(`${one}\n${two}`)).toEqual([
      { note: one, line: 1 },
      { note: two, line: 7 },
    ]);
    expect(splitNotes(`\n${two}rest\n`).map(({ line }) => line)).toEqual([2, 5]);
  });

  it.each([
    ['two lines', 'o\n1\n'],
    ['four lines', `o\n1\n${Buffer.alloc(32).toString('base64')}\nmore\n`],
    ['a size with a zero before it', `o\n01\n${Buffer.alloc(32).toString('base64')}\n`],
    ['a size that no number holds', `o\n9999999999999999\n${Buffer.alloc(32).toString('base64')}\n`],
    ['a short root', `o\n1\n${Buffer.alloc(31).toString('base64')}\n`],
    ['no origin', `\n1\n${Buffer.alloc(32).toString('base64')}\n`],
  ])('refuses a checkpoint with %s', (_, text) => {
    expect(() => parseCheckpoint(text)).toThrow();
  });
});

describe('CSV (RFC 4180)', () => {
  async function* lines(text: string) {
    for (const line of text.split('\n').slice(0, text.endsWith('\n') ? -1 : undefined)) yield Buffer.from(line);
  }
  const read = async (text: string) => {
    const rows = [];
    for await (const row of readCsv(lines(text))) rows.push(row);
    return rows;
  };

  it('reads what was written, whatever is in the cells', async () => {
    const cell = fc.oneof(fc.constantFrom('', '"', ',', '\r\n', '\n', 'a"b', '""'), fc.string());
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(cell, cell, cell), { minLength: 1 }), async (rows) => {
        const text = rows
          .map((row) => `${row.map((each) => (/[",\r\n]/.test(each) ? `"${each.replaceAll('"', '""')}"` : each)).join(',')}\r\n`)
          .join('');
        expect((await read(text)).map(({ cells }) => cells)).toEqual(rows);
      }),
    );
  });

  it('says at which line a row begins', async () => {
    expect((await read('a,b\r\n"1\r\n2",3\r\n4,5\r\n')).map(({ line }) => line)).toEqual([1, 2, 4]);
  });

  it.each([
    ['a row of another width', 'a,b\r\n1\r\n', 2, 'has 1 cells, the header has 2'],
    ['a line end without CR', 'a\r\n1\n', 2, 'CRLF'],
    ['a last row without its end', 'a\r\n1', 2, 'CRLF'],
    ['a quote within a cell', 'a\r\n1"2"\r\n', 2, 'a quote stands where none may stand'],
    ['something behind a quoted cell', 'a\r\n"1"2\r\n', 2, 'a quote stands where none may stand'],
    ['a quoted cell without an end', 'a\r\n1\r\n"2\r\n3\r\n', 3, 'no end'],
  ])('refuses %s', async (_, text, line, message) => {
    await expect(read(text)).rejects.toMatchObject({ line, message: expect.stringContaining(message) });
  });

  it('refuses bytes that are no UTF-8', async () => {
    const rows = readCsv(
      (async function* () {
        yield Buffer.from([0xff, 0x0d]);
      })(),
    );
    await expect(rows.next()).rejects.toThrow('UTF-8');
  });
});

describe('amounts', () => {
  it('are added as integers of any size, and written as they were read', () => {
    const decimals = fc.integer({ min: 0, max: 8 });
    fc.assert(
      fc.property(decimals, fc.bigInt({ min: 0n, max: 10n ** 38n }), fc.bigInt({ min: 0n, max: 10n ** 38n }), (scale, a, b) => {
        const currencies = new Currencies();
        const text = (minor: bigint) => {
          const digits = `${minor}`.padStart(scale + 1, '0');
          return scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
        };
        expect(currencies.minor(text(a), 'XXX')).toBe(a);
        expect(currencies.minor(text(b), 'XXX')).toBe(b);
        expect(currencies.text(a + b, 'XXX')).toBe(text(a + b));
        expect(currencies.text(-a - 1n, 'XXX')).toBe(`-${text(a + 1n)}`);
        expect(currencies.minor(`${text(a)}${scale === 0 ? '.' : ''}0`, 'XXX')).toBeUndefined();
      }),
    );
  });
});
