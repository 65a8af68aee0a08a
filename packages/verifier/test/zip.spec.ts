/** Archives in all forms that are allowed, and in those that are not. */
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import fc from 'fast-check';
import yazl from 'yazl';
import { CannotCheck } from '../pack.mjs';
import { verifyPack } from '../verify.mjs';
import { onDisk, verify } from './packs.ts';
import { type Files, first, samplePack, zip } from './sample-pack.ts';

const files = samplePack();
const archive = zip(files);

const written = async (write: (zip: yazl.ZipFile, name: string, bytes: Buffer) => void, options: Partial<yazl.EndOptions> = {}) => {
  const file = new yazl.ZipFile();
  for (const [name, bytes] of files) write(file, name, bytes);
  file.end(options as yazl.EndOptions);
  return buffer(file.outputStream);
};

describe('an archive that is allowed', () => {
  it.each<[string, () => Buffer | Promise<Buffer>]>([
    ['deflated', () => archive],
    ['stored', () => zip(files, { stored: true })],
    ['with descriptors', () => zip(files, { descriptor: 'signed' })],
    ['with descriptors without their signature', () => zip(files, { descriptor: 'bare' })],
    ['with ZIP64 numbers', () => zip(files, { zip64: true })],
    ['with ZIP64 numbers and descriptors', () => zip(files, { zip64: true, descriptor: 'signed' })],
    ['of yazl, from buffers', () => written((file, name, bytes) => file.addBuffer(bytes, name, { forceDosTimestamp: true }))],
    [
      'of yazl, with ZIP64',
      () =>
        written((file, name, bytes) => file.addBuffer(bytes, name, { forceZip64Format: true, forceDosTimestamp: true }), {
          forceZip64Format: true,
        }),
    ],
    [
      'of yazl, from streams',
      () =>
        written((file, name, bytes) =>
          file.addReadStreamLazy(name, { forceDosTimestamp: true }, (then) => then(null, Readable.from([bytes]))),
        ),
    ],
  ])('holds: %s', async (_, make) => {
    expect(await verify(await make())).toMatchObject({ ok: true });
  });

  it('holds as a folder with the unpacked files too, unless there is a link among them', async () => {
    const folder = onDisk(files);
    expect(await verifyPack(folder, { keys: [first.text] })).toMatchObject({ ok: true });
    symlinkSync('/etc/hostname', join(folder, 'exports', 'link'));
    const what = 'exports/link is neither a file nor a folder';
    expect(await verifyPack(folder, { keys: [first.text] })).toMatchObject({ ok: false, first: { check: 'files', what } });
  });
});

describe('an archive that is not', () => {
  const field = (id: number, text: string) => {
    const head = Buffer.alloc(4);
    head.writeUInt16LE(id, 0);
    head.writeUInt16LE(Buffer.byteLength(text), 2);
    return Buffer.concat([head, Buffer.from(text)]);
  };
  const several = 'the end of the archive speaks of several disks';
  const attributed = (at: number, value: number) => ({
    central: (header: Buffer, name: string) => void (name === 'README.txt' && header.writeUInt16LE(value, at)),
  });
  /** The last file has a comment that is an archive of its own, with a ZIP64 end that stands right before the end of the first. */
  const twoDirectories = () => {
    const other = zip([['reports/trial-balance.csv', Buffer.from('forged')]], { zip64: true }).subarray(0, -22);
    return zip(files, { entryComment: (name) => (name === 'manifest.note' ? other : Buffer.alloc(0)) });
  };
  const renamed = (from: string, to: string): Files => new Map([...files].map(([name, bytes]) => [name === from ? to : name, bytes]));
  it.each<[string, () => Buffer, string | RegExp]>([
    ['cut off at its end', () => archive.subarray(0, -30), /cut off/],
    ['cut off in the middle', () => archive.subarray(0, 3000), /cut off/],
    ['with something behind it', () => zip(files, { suffix: Buffer.from('behind') }), '6 bytes behind the end of the archive'],
    ['with something long behind it', () => zip(files, { suffix: Buffer.alloc(70_000) }), /something long stands behind it/],
    ['with a comment', () => zip(files, { comment: 'hello' }), 'the archive has a comment of 5 bytes'],
    [
      'with something between its files',
      () => zip(files, { between: Buffer.from('hidden') }),
      /^6 bytes at \d+ belong to no file \(before log\/keys.json\)$/,
    ],
    ['encrypted', () => zip(files, { flags: 1 }), 'README.txt is encrypted'],
    ['with an unknown method', () => zip(files, { method: 12 }), /compression method 12/],
    [
      'with a file twice',
      () => zip([...files, ['README.txt', Buffer.from('other')]]),
      'the archive has two files with the name README.txt',
    ],
    ['with a name that leads out', () => zip(renamed('README.txt', '../README.txt')), /"..\/README.txt", which is refused/],
    ['with an absolute name', () => zip(renamed('README.txt', '/README.txt')), /"\/README.txt", which is refused/],
    ['with a name of Windows', () => zip(renamed('README.txt', 'C:\\README.txt')), /which is refused/],
    ['with a folder', () => zip([...files, ['exports/', Buffer.alloc(0)]]), /which is refused/],
    [
      'whose headers have different names',
      () => zip(files, { central: (header) => header.writeUInt16LE(9, 28) }),
      /differ|damaged|cut off/,
    ],
    ['whose headers have different methods', () => zip(files, { local: (header) => header.writeUInt16LE(0, 8) }), /differ \(method\)/],
    ['whose headers have different flags', () => zip(files, { local: (header) => header.writeUInt16LE(0, 6) }), /differ \(flags\)/],
    [
      'whose headers have different sizes',
      () => zip(files, { local: (header) => header.writeUInt32LE(7, 22) }),
      /differ \(CRC-32 or sizes\)/,
    ],
    [
      'with a descriptor that says something else',
      () => zip(files, { descriptor: 'signed', central: (header) => header.writeUInt32LE(7, 16) }),
      /the descriptor behind its data/,
    ],
    // What one program passes over and another reads.
    [
      'with a comment on a file',
      () => zip(files, { entryComment: (name) => Buffer.from(name === 'README.txt' ? 'hidden' : '') }),
      'README.txt: the directory has a comment of 6 bytes on it',
    ],
    [
      'with an extra field in the directory',
      () => zip(files, { centralExtra: (name) => (name === 'README.txt' ? field(0x7075, 'reports/x.csv') : Buffer.alloc(0)) }),
      'README.txt: a header has an extra field other than the numbers of ZIP64 that it needs',
    ],
    [
      'with an extra field before the data',
      () => zip(files, { localExtra: (name) => (name === 'README.txt' ? field(0x4b42, 'hidden') : Buffer.alloc(0)) }),
      'README.txt: a header has an extra field other than the numbers of ZIP64 that it needs',
    ],
    [
      'with an extra field behind ZIP64 numbers',
      () => zip(files, { zip64: true, centralExtra: (name) => (name === 'README.txt' ? field(1, '12345678') : Buffer.alloc(0)) }),
      'README.txt: a header has an extra field other than the numbers of ZIP64 that it needs',
    ],
    [
      'with a ZIP64 end that no number asks for',
      () => zip(files, { behindDirectory: Buffer.concat([Buffer.from('PK\x06\x07', 'latin1'), Buffer.alloc(16)]) }),
      'a ZIP64 end stands there although no number asks for it',
    ],
    ['with a second directory, behind the first', () => twoDirectories(), 'a ZIP64 end stands there although no number asks for it'],
    [
      'with a longer ZIP64 end',
      () => zip(files, { zip64: true, zip64End: (record) => record.writeBigUInt64LE(45n, 4) }),
      'the ZIP64 end has more than its numbers',
    ],
    ['on a further disk', () => zip(files, { end: (end) => end.writeUInt16LE(1, 4) }), several],
    ['with a directory on a further disk', () => zip(files, { end: (end) => end.writeUInt16LE(1, 6) }), several],
    ['with files on a further disk', () => zip(files, { end: (end) => end.writeUInt16LE(1, 8) }), several],
    ['with ZIP64 numbers of a further disk', () => zip(files, { zip64: true, zip64End: (record) => record.writeUInt32LE(1, 16) }), several],
    [
      'with a ZIP64 end on a further disk',
      () => zip(files, { zip64: true, zip64End: (_, locator) => locator.writeUInt32LE(2, 16) }),
      several,
    ],
    ['with a file on a further disk', () => zip(files, attributed(34, 1)), 'README.txt: the directory says that it lies on another disk'],
    [
      'with a link',
      () => zip(files, attributed(40, 0o120777)),
      'README.txt: by its attributes it is no plain file but a link, a folder or a device',
    ],
    ['with what DOS takes for a folder', () => zip(files, attributed(38, 0x10)), /^README.txt: by its attributes it is no plain file/],
    ['with a flag that no pack needs', () => zip(files, { flags: 0x20 }), 'README.txt: its header has flags that no pack needs (20)'],
    ['with a header somewhere else', () => zip(files, { central: (header) => header.writeUInt32LE(1, 42) }), /there is none/],
  ])('is told: %s', async (_, make, what) => {
    const result = await verify(make());
    expect(result).toMatchObject({
      ok: false,
      first: { check: 'files', what: typeof what === 'string' ? what : expect.stringMatching(what) },
    });
  });

  it.each<[string, (header: Buffer, name: string) => void, RegExp]>([
    [
      'CRC-32',
      (header, name) => name === 'reports/journal.csv' && header.writeUInt32LE(7, header.length === 30 ? 14 : 16),
      /another CRC-32/,
    ],
    [
      'size, too small',
      (header, name) => name === 'reports/journal.csv' && header.writeUInt32LE(7, header.length === 30 ? 22 : 24),
      /more than 7 bytes/,
    ],
    [
      'size, too large',
      (header, name) => name === 'reports/journal.csv' && header.writeUInt32LE(70_000, header.length === 30 ? 22 : 24),
      /less than 70000 bytes/,
    ],
  ])('is told where both headers of a file state the wrong %s', async (_, change, what) => {
    const result = await verify(zip(files, { local: change, central: change }));
    expect(result).toMatchObject({ ok: false, first: { check: 'files', file: 'reports/journal.csv', what: expect.stringMatching(what) } });
    expect(result.checks.find(({ name }) => name === 'reports')?.state).toBe('not done');
  });

  it('cannot be checked where it is none', async () => {
    await expect(verify(Buffer.from('something else'))).rejects.toThrow(CannotCheck);
    await expect(verify(Buffer.alloc(0))).rejects.toThrow(CannotCheck);
    await expect(verify(zip([['README.txt', Buffer.from('a')]]))).rejects.toThrow('it is no audit pack');
  });
});

describe('whatever happens to the bytes of an archive', () => {
  const judged = async (bytes: Buffer) =>
    verify(bytes).catch((error) => {
      if (!(error instanceof CannotCheck)) throw error;
      return { ok: false };
    });

  it('is found when it is cut off anywhere', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: archive.length - 1 }), async (length) =>
        expect(await judged(archive.subarray(0, length))).toMatchObject({ ok: false }),
      ),
      { numRuns: 60 },
    );
  });

  it('is found when a byte of a file changes, or one of a header that says what and where the files are', async () => {
    // Stored: a deflated file has bits behind its end that mean nothing, and more than one form.
    const archive = zip(files, { stored: true });
    // What a header says besides: by which program, when, with which rights. It is no part of the files.
    const besides = zip(files, {
      stored: true,
      local: (header) => header.fill(0xee, 4, 6).fill(0xee, 10, 14),
      central: (header) => header.fill(0xee, 4, 8).fill(0xee, 12, 16).fill(0xee, 36, 42),
    });
    const ignored = new Set([...besides.keys()].filter((at) => besides[at] !== archive[at] && besides[at] === 0xee));
    const places = [...archive.keys()].filter((at) => !ignored.has(at));
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...places), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const bytes = Buffer.from(archive);
        bytes[at] = (bytes[at] ?? 0) ^ change;
        expect(await judged(bytes)).toMatchObject({ ok: false });
      }),
      { numRuns: 300 },
    );
  });
});
