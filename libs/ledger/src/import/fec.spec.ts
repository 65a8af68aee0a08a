import fc from 'fast-check';
import { fromMinor } from '#domain';
import { readFileOf } from '../../../../test/support/read-files';
import type { PostingRow, SourceRow } from './entries';
import { fecFormat, typeByClass } from './fec';

const onDisk = readFileOf('fec.txt');

const names =
  'JournalCode JournalLib EcritureNum EcritureDate CompteNum CompteLib CompAuxNum CompAuxLib PieceRef PieceDate EcritureLib Debit Credit EcritureLet DateLet ValidDate Montantdevise Idevise'.split(
    ' ',
  );

const sale: Readonly<Record<string, string>> = {
  JournalCode: 'VE',
  JournalLib: 'Journal des ventes',
  EcritureNum: '17',
  EcritureDate: '20250115',
  CompteNum: '411000',
  CompteLib: 'Clients',
  PieceRef: 'FA-1',
  PieceDate: '20250114',
  EcritureLib: 'Facture',
  Debit: '120,00',
  Credit: '0,00',
};

/** A row of the file: a sale but for what is told. */
const row = (cells: Readonly<Record<string, string>> = {}, header = names, separator = '\t'): string =>
  header.map((name) => ({ ...sale, ...cells })[name] ?? '').join(separator);

const read = (content: string | Buffer, told: Parameters<typeof fecFormat>[0] = {}): Promise<SourceRow[]> =>
  onDisk.read(fecFormat(told), content);
const refusal = (content: string | Buffer): Promise<string> => onDisk.refusal(fecFormat(), content);

/** The only row of a file. */
async function one(cells: Readonly<Record<string, string>>, told: Parameters<typeof fecFormat>[0] = {}): Promise<Partial<PostingRow>> {
  const [found] = await read(`${names.join('\t')}\n${row(cells)}\n`, told);
  return found as PostingRow;
}

const inPlaceOf = (text: string, places: Readonly<Record<string, string>>): Buffer =>
  Buffer.from([...text].map((letter) => places[letter] ?? letter).join(''), 'latin1');
const toLatin9 = (text: string): Buffer =>
  inPlaceOf(text, { '€': '\xa4', Š: '\xa6', š: '\xa8', Ž: '\xb4', ž: '\xb8', Œ: '\xbc', œ: '\xbd', Ÿ: '\xbe' });
const toWindows = (text: string): Buffer =>
  inPlaceOf(text, { '€': '\x80', Š: '\x8a', Œ: '\x8c', Ž: '\x8e', '’': '\x92', '–': '\x96', š: '\x9a', œ: '\x9c', ž: '\x9e', Ÿ: '\x9f' });

describe('a line of a FEC', () => {
  it('keeps account, amount, day book, document, party, lettering and validation', async () => {
    expect(
      await one({
        CompAuxNum: 'CLI001',
        CompAuxLib: 'Dupont',
        EcritureLet: 'AA',
        DateLet: '20250210',
        ValidDate: '20250131',
        Montantdevise: '130,20',
        Idevise: 'USD',
      }),
    ).toEqual({
      at: 2,
      txn: 'VE/2025-01-15/17',
      line: 2,
      date: '2025-01-15',
      description: 'Facture',
      account: '411000',
      accountName: 'Clients',
      accountType: 'asset',
      currency: 'EUR',
      quantity: '120.00',
      others: [{ currency: 'USD', quantity: '130.20' }],
      party: { id: 'CLI001', kind: 'customer' },
      dimensions: [
        { key: 'EcritureLet', value: 'AA' },
        { key: 'DateLet', value: '2025-02-10' },
      ],
      lineReference: 'FA-1',
      document: { type: 'piece', number: 'FA-1', date: '2025-01-14' },
      original: { journal: 'VE', number: '17' },
      metadata: { ValidDate: '2025-01-31' },
      dayBook: { code: 'VE', name: 'Journal des ventes', type: 'sales' },
    });
  });

  it('says nothing of what the file leaves empty', async () => {
    const bare = await one({ PieceRef: '', PieceDate: '', JournalLib: '' });
    expect(bare).toEqual({
      at: 2,
      txn: 'VE/2025-01-15/17',
      line: 2,
      date: '2025-01-15',
      description: 'Facture',
      account: '411000',
      accountName: 'Clients',
      accountType: 'asset',
      currency: 'EUR',
      quantity: '120.00',
      original: { journal: 'VE', number: '17' },
      dayBook: { code: 'VE', name: undefined, type: 'sales' },
    });
  });

  it.each([
    [{ Debit: '120,00', Credit: '' }, '120.00'],
    [{ Debit: '0,00', Credit: '120.5' }, '-120.5'],
    [{ Debit: '-120,00', Credit: '0,00' }, '-120.00'],
    [{ Debit: '', Credit: '-120,00' }, '120.00'],
    [{ Debit: '0000120,00', Credit: '000' }, '120.00'],
    [{ Debit: '0', Credit: '0' }, '-0'],
  ])('reads %j as %s, debit positive', async (cells, quantity) => {
    expect(await one(cells)).toMatchObject({ quantity });
  });

  it.each([
    ['a debit', { Debit: '100', Montantdevise: '108,75', Idevise: 'USD' }, [{ currency: 'USD', quantity: '108.75' }]],
    [
      'a credit without sign',
      { Debit: '', Credit: '100', Montantdevise: '108,75', Idevise: 'USD' },
      [{ currency: 'USD', quantity: '108.75' }],
    ],
    [
      'a credit with sign',
      { Debit: '', Credit: '100', Montantdevise: '-108,75', Idevise: 'USD' },
      [{ currency: 'USD', quantity: '108.75' }],
    ],
    ['a debit taken back', { Debit: '-100', Montantdevise: '-108,75', Idevise: 'USD' }, [{ currency: 'USD', quantity: '108.75' }]],
    ['the currency of the books', { Debit: '100', Montantdevise: '100', Idevise: 'EUR' }, undefined],
    ['no amount', { Debit: '100', Montantdevise: '', Idevise: 'USD' }, undefined],
    ['an amount of zero in no currency', { Debit: '100', Montantdevise: '0,00', Idevise: '' }, undefined],
    ['a difference of exchange', { Debit: '2', Montantdevise: '0,00', Idevise: 'USD' }, [{ currency: 'USD', quantity: '0.00' }]],
  ])('reads Montantdevise of %s', async (_what, cells, others) => {
    expect(((await one(cells)) as PostingRow).others).toEqual(others);
  });

  it('takes other currencies by what they were said to mean', async () => {
    const currencies = new Map([
      ['', 'XPF'],
      ['€', 'EUR'],
    ]);
    expect(await one({ Montantdevise: '1', Idevise: '€' }, { currencies })).toMatchObject({
      currency: 'XPF',
      others: [{ currency: 'EUR', quantity: '1' }],
    });
  });

  it.each([
    ['AN', 'Journal 1', 'opening'],
    ['RAN', '', 'opening'],
    ['J0', 'À nouveaux', 'opening'],
    ['J0', 'Report à-nouveau', 'opening'],
    ['J0', "Journal d'ouverture", 'opening'],
    ['BAN', 'Banque', undefined],
    ['NV', 'Nouveaux clients', undefined],
  ])('takes day book %s, "%s", for entryType %s', async (JournalCode, JournalLib, entryType) => {
    expect(((await one({ JournalCode, JournalLib })) as PostingRow).entryType).toBe(entryType);
  });

  it.each([
    ['VE', 'Journal des ventes', 'sales'],
    ['J1', 'ACHATS', 'purchases'],
    ['J2', 'Banque Populaire', 'bank'],
    ['J3', 'Caisse', 'cash'],
    ['J4', 'Paie', 'payroll'],
    ['J5', 'Opérations diverses', 'general'],
    ['J6', 'Inventaire', undefined],
    ['BQ1', '', 'bank'],
    ['X', '', undefined],
  ])('takes day book %s, "%s", for one of type %s', async (JournalCode, JournalLib, type) => {
    expect(((await one({ JournalCode, JournalLib })) as PostingRow).dayBook?.type).toBe(type);
  });

  it.each([
    ['411', 'customer'],
    ['401', 'supplier'],
    ['421', 'employee'],
    ['455', 'associate'],
    ['467', 'other'],
  ])('takes the auxiliary account of %s for a %s', async (CompteNum, kind) => {
    expect(await one({ CompteNum, CompAuxNum: 'P1' })).toMatchObject({ party: { id: 'P1', kind } });
  });

  it('keeps columns behind those of the law as dimensions', async () => {
    const header = [...names, 'ModeRglt', 'Section'];
    const [found] = await read(`${header.join('\t')}\n${row({ ModeRglt: 'CB', Section: '' }, header)}\n`);
    expect(found).toMatchObject({ dimensions: [{ key: 'ModeRglt', value: 'CB' }] });
  });
});

describe('entries of a FEC', () => {
  it('are told by day book, date and number', async () => {
    const rows = [row(), row({ EcritureDate: '20250116' }), row({ JournalCode: 'AC' }), row({ EcritureNum: '18' })];
    expect((await read([names.join('\t'), ...rows, ''].join('\n'))).map(({ txn }) => txn)).toEqual([
      'VE/2025-01-15/17',
      'VE/2025-01-16/17',
      'AC/2025-01-15/17',
      'VE/2025-01-15/18',
    ]);
  });

  it('or by their documents, where the program numbers lines', async () => {
    const rows = [row({ EcritureNum: '1' }), row({ EcritureNum: '2' })];
    const found = await read([names.join('\t'), ...rows, ''].join('\n'), { entriesBy: 'piece' });
    expect(found.map(({ txn }) => txn)).toEqual(['VE/2025-01-15/FA-1', 'VE/2025-01-15/FA-1']);
    expect(found.map((line) => (line as PostingRow).original?.number)).toEqual(['1', '2']);
  });

  it('leave out day books that are not wanted', async () => {
    const rows = [row({ JournalCode: 'AN' }), row(), row({ JournalCode: 'an' })];
    const found = await read([names.join('\t'), ...rows, ''].join('\n'), { withoutJournals: new Set(['AN']) });
    expect(found.map(({ at, txn }) => [at, txn])).toEqual([
      [3, 'VE/2025-01-15/17'],
      [4, 'an/2025-01-15/17'],
    ]);
  });
});

describe('how a FEC is written', () => {
  const whole = { at: 2, quantity: '120.00', description: 'Facture', date: '2025-01-15' };

  it.each([
    ['tabs', '\t'],
    ['|', '|'],
    ['semicolons', ';'],
  ])('%s between cells', async (_what, separator) => {
    expect(await read(`${names.join(separator)}\r\n${row({}, names, separator)}\r\n`)).toMatchObject([whole]);
  });

  it.each([
    ['names in capitals', names.join('\t').toUpperCase(), row()],
    ['names in lower case', names.join('\t').toLowerCase(), row()],
    ['a byte order mark', `\ufeff${names.join('\t')}`, row()],
    ['a separator at the end of each line', `${names.join('\t')}\t`, `${row()}\t`],
    ['a separator at the end of the header only', `${names.join('\t')}\t`, row()],
    ['a separator at the end of rows only', names.join('\t'), `${row()}\t`],
    ['another order of columns', [...names].reverse().join('\t'), row({}, [...names].reverse())],
    ['quotes around everything', names.map((name) => `"${name}"`).join('\t'), row().replace(/[^\t]+/g, '"$&"')],
  ])('%s', async (_what, header, line) => {
    expect(await read(`${header}\n${line}\n`)).toMatchObject([whole]);
  });

  it('ends of lines of any kind', async () => {
    for (const end of ['\n', '\r\n', '\r']) {
      expect((await read([names.join('\t'), row(), row({ EcritureLib: 'x' }), ''].join(end))).map(({ at }) => at)).toEqual([2, 3]);
    }
  });

  it('Montant and Sens in place of Debit and Credit', async () => {
    const header = names.map((name) => ({ Debit: 'Montant', Credit: 'Sens' })[name] ?? name);
    const lines = ['D', 'C', 'd', '+1', '1', '-1'].map((Sens) => row({ Montant: '120,00', Sens }, header));
    expect(
      (await read([header.join('|').replaceAll('|', '\t'), ...lines, ''].join('\n'))).map((line) => (line as PostingRow).quantity),
    ).toEqual(['120.00', '-120.00', '120.00', '120.00', '120.00', '-120.00']);
  });

  it('quotes inside of texts, which are text', async () => {
    expect(await one({ EcritureLib: 'Prime "multirisque"', CompteLib: '"x' })).toMatchObject({
      description: 'Prime "multirisque"',
      accountName: '"x',
    });
  });

  it.each([
    ['UTF-8', 'Œuvre à 5 €', (text: string) => Buffer.from(text)],
    ['ISO 8859-15', 'Œuvre à 5 €', toLatin9],
    ['Windows-1252', 'Œuvre à 5 € – l’été', toWindows],
  ])('%s, which is found out from its bytes', async (_what, EcritureLib, encode) => {
    expect(await read(encode(`${names.join('\t')}\n${row({ EcritureLib })}\n`))).toMatchObject([{ description: EcritureLib }]);
  });

  it('UTF-8 with bytes of another encoding in it, which is refused with its line', async () => {
    const bytes = Buffer.concat([
      Buffer.from(`${names.join('\t')}\n${row({ EcritureLib: 'été' })}\n`),
      Buffer.from(row({ EcritureLib: '\xe9' }), 'latin1'),
    ]);
    expect(await refusal(bytes)).toBe('text_invalid: FILE:3: bytes that are not UTF-8; convert the file first, as with iconv');
  });

  it('any text of the three, whatever its letters', async () => {
    const latin9 = 'àâçéèêëîïôùûüÿœŒŸ€ŠšŽž§°';
    const encoders = { 'utf-8': (text: string) => Buffer.from(text), 'iso-8859-15': toLatin9, 'windows-1252': toWindows } as const;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...latin9, 'e', ' ', "'"), { minLength: 1, maxLength: 30 }),
        fc.constantFrom('utf-8', 'iso-8859-15', 'windows-1252'),
        fc.boolean(),
        async (letters, encoding, told) => {
          // A letter that only its own encoding has in this place makes it known: behind ASCII, for behind others, as in
          // "î€œ", its byte can be the end of a character of UTF-8, and then nothing tells the two apart.
          const text = `x${letters.join('')}xœ${encoding === 'utf-8' ? 'é' : ''}x`;
          const bytes = encoders[encoding](`${names.join('\t')}\n${row({ EcritureLib: text })}\n`);
          expect(await read(bytes, told ? { encoding } : {})).toMatchObject([{ description: text }]);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('the encoding that is told', async () => {
    const bytes = Buffer.from(`${names.join('\t')}\n${row({ EcritureLib: '\xa4' })}\n`, 'latin1');
    expect(await read(bytes, { encoding: 'windows-1252' })).toMatchObject([{ description: '¤' }]);
    expect(await read(bytes, { encoding: 'iso-8859-15' })).toMatchObject([{ description: '€' }]);
    await expect(read(bytes, { encoding: 'utf-8' })).rejects.toMatchObject({
      code: 'text_invalid',
      message: /fec\.txt:2: bytes that are not UTF-8/,
    });
  });

  it('characters that are cut where the reading of the file is cut', async () => {
    const lines = Array.from({ length: 3_000 }, (_, index) => row({ EcritureLib: `${'€'.repeat(index % 7)}œ` }));
    const found = await read([names.join('\t'), ...lines, ''].join('\n'));
    expect(found.map((line) => (line as PostingRow).description)).toEqual(lines.map((_, index) => `${'€'.repeat(index % 7)}œ`));
  });
});

describe('what is refused', () => {
  it.each([
    ['a number of no form', { Debit: '1 200,00' }, 'amount_format', /^Debit is "1 200,00", not a decimal like 1234,50/],
    ['both sides', { Debit: '1', Credit: '1' }, 'malformed', 'Debit is 1 and Credit 1; a line has one of them'],
    ['a date that does not exist', { EcritureDate: '20250230' }, 'date_invalid', /^EcritureDate is "20250230", not a date YYYYMMDD/],
    ['no date', { EcritureDate: '' }, 'malformed', 'EcritureDate is empty'],
    ['a date of lettering of no form', { DateLet: '31/01/2025' }, 'date_invalid', /^DateLet is "31\/01\/2025"/],
    ['no day book', { JournalCode: ' ' }, 'malformed', 'JournalCode is empty'],
    [
      'no number',
      { EcritureNum: '' },
      'malformed',
      'EcritureNum is empty; entries can be told by their documents instead (--entries-by piece)',
    ],
    [
      'an amount of no currency',
      { Montantdevise: '5', Idevise: '' },
      'malformed',
      'Montantdevise is 5, and Idevise does not say of which currency',
    ],
    ['a currency that is none', { Montantdevise: '5', Idevise: '$' }, 'text_invalid', /^Idevise is "\$", no code like EUR/],
    [
      'a foreign amount against its line',
      { Debit: '100', Montantdevise: '-108', Idevise: 'USD' },
      'malformed',
      'Montantdevise is -108 on a debit; it has no sign, or that of the line',
    ],
  ])('%s, with the line and the entry', async (_what, cells, code, problem) => {
    const found = await one(cells);
    expect(found).toEqual({
      at: 2,
      txn: expect.any(String),
      code,
      problem: typeof problem === 'string' ? problem : expect.stringMatching(problem),
    });
  });

  it('a Sens that is none', async () => {
    const header = names.map((name) => ({ Debit: 'Montant', Credit: 'Sens' })[name] ?? name);
    expect(await read(`${header.join('\t')}\n${row({ Montant: '1', Sens: 'X' }, header)}\n`)).toEqual([
      { at: 2, txn: 'VE/2025-01-15/17', code: 'malformed', problem: 'Sens is "X", neither D or +1 for debit nor C or -1 for credit' },
    ]);
  });

  it('a row with a cell too few', async () => {
    expect(await read(`${names.join('\t')}\n${row().split('\t').slice(1).join('\t')}\n`)).toMatchObject([
      { at: 2, problem: 'the row has 17 cells, the header 18' },
    ]);
  });

  it.each([
    [
      'a file without amounts',
      names.slice(0, 11).join('\t'),
      /^malformed: FILE:1: the header lacks Debit and Credit \(or, in their place, Montant and Sens\)/,
    ],
    [
      'a file with both',
      [...names, 'Montant', 'Sens'].join('\t'),
      /^malformed: FILE:1: the header names Debit and Credit, and Montant or Sens/,
    ],
    ['a column twice', [...names, 'debit'].join('\t'), /^malformed: FILE:1: the header names Debit twice/],
    ['commas', names.join(','), /^malformed: FILE:1: the header lacks JournalCode, .*; cells are separated by tabs or \| or semicolons$/],
    ['an empty file', '', /^malformed: FILE:1: the file is empty/],
  ])('%s', async (_what, header, says) => {
    expect(await refusal(`${header}\n`)).toMatch(says);
  });
});

describe('typeByClass', () => {
  // Plan comptable général, règlement ANC 2014-03.
  it.each([
    ['101000', 'equity'],
    ['120000', 'equity'],
    ['151000', 'liability'],
    ['164000', 'liability'],
    ['205000', 'asset'],
    ['281830', 'asset'],
    ['370000', 'asset'],
    ['401000', 'liability'],
    ['409100', 'asset'],
    ['411000', 'asset'],
    ['419100', 'liability'],
    ['421000', 'liability'],
    ['431000', 'liability'],
    ['445660', 'asset'],
    ['445710', 'liability'],
    ['445510', 'liability'],
    ['455000', 'liability'],
    ['471000', 'asset'],
    ['477000', 'liability'],
    ['486000', 'asset'],
    ['487000', 'liability'],
    ['491000', 'asset'],
    ['512000', 'asset'],
    ['519100', 'liability'],
    ['607000', 'expense'],
    ['707000', 'income'],
    ['801000', 'memorandum'],
    ['890000', 'equity'],
    ['4', 'liability'],
    ['4456', 'asset'],
    ['900000', undefined],
    ['C411', undefined],
    ['', undefined],
  ])('%s is of type %s', (code, type) => {
    expect(typeByClass(code)).toBe(type);
  });
});

describe('any FEC', () => {
  const amounts = fc.array(fc.bigInt({ min: -(10n ** 15n), max: 10n ** 15n }), { minLength: 1, maxLength: 20 });
  const form = fc.record({
    separator: fc.constantFrom('\t', '|', ';'),
    mark: fc.constantFrom(',', '.'),
    end: fc.constantFrom('\n', '\r\n'),
  });

  it('gives the sum of its columns, whatever separators and decimal marks it has, and however it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(amounts, form, async (minors, { separator, mark, end }) => {
        const lines = minors.map((minor) => {
          const text = fromMinor(minor < 0n ? -minor : minor, 2).replace('.', mark);
          return row(minor < 0n ? { Debit: '', Credit: text } : { Debit: text, Credit: '' }, names, separator);
        });
        const found = await read([names.join(separator), ...lines, ''].join(end));
        expect(found.map((line) => BigInt((line as PostingRow).quantity.replace('.', '')))).toEqual(minors);
        expect(found.map(({ at }) => at)).toEqual(minors.map((_, index) => index + 2));
      }),
      { numRuns: 50 },
    );
  });
});
