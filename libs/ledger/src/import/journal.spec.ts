import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import type { PostingRow, SourceRow } from './entries';
import { journalFormat } from './journal';
import { AmountFault, type DecimalMark, type Dialect, readAmount } from './journal-amount';

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'book-keeper-journal-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function write(name: string, content: string): string {
  const path = join(directory, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

interface Options {
  readonly dialect?: Dialect;
  readonly currencies?: ReadonlyMap<string, string>;
}

async function rowsOf(content: string, { dialect = 'hledger', currencies }: Options = {}): Promise<SourceRow[]> {
  const rows: SourceRow[] = [];
  for await (const batch of journalFormat(dialect, currencies)(write('main.journal', content))) rows.push(...batch);
  return rows;
}

/** What was understood, a line each: `TXN DATE ACCOUNT QUANTITY CURRENCY`, or `LINE PROBLEM`. */
async function read(content: string, options: Options = {}): Promise<string[]> {
  return (await rowsOf(content, options)).map((row) =>
    'problem' in row ? `${row.at}: ${row.problem}` : `${row.txn}: ${row.account} ${row.quantity} ${row.currency}`,
  );
}

async function only(content: string, options: Options = {}): Promise<PostingRow> {
  const [row] = await rowsOf(content, options);
  if (row === undefined || 'problem' in row) throw new Error(row?.problem ?? 'no row');
  return row;
}

async function whole(content: string, options: Options = {}): Promise<string> {
  try {
    await rowsOf(content, options);
  } catch (error) {
    return (error as Error).message.replaceAll(`${directory}/`, '');
  }
  throw new Error('the file was read');
}

/** An entry with this amount on its first posting. */
const withAmount = (amount: string): string => `2024-01-31 x\n    Assets:A    ${amount}\n    Assets:B\n`;

// --- Amounts ---

describe('an amount', () => {
  it.each([
    ['100', '100 EUR'],
    ['$100', '100 USD'],
    ['-$100', '-100 USD'],
    ['$-100', '-100 USD'],
    ['$ -100.50', '-100.50 USD'],
    ['- $ 100.50', '-100.50 USD'],
    ['+100 EUR', '100 EUR'],
    ['100EUR', '100 EUR'],
    ['EUR100', '100 EUR'],
    ['1,234.50 €', '1234.50 EUR'],
    ['1.234,50 €', '1234.50 EUR'],
    ['1 234 567,50 EUR', '1234567.50 EUR'],
    ['1 234 EUR', '1234 EUR'],
    ['1,234,567 EUR', '1234567 EUR'],
    ['1.234.567 EUR', '1234567 EUR'],
    ['10,00,000.00 INR', '1000000.00 INR'],
    ['1,5 EUR', '1.5 EUR'],
    ['866.231 GGGGG', '866.231 GGGGG'],
    ['0.125 BTC', '0.125 BTC'],
    ['.5 EUR', '0.5 EUR'],
    ['5. EUR', '5 EUR'],
    ['007.50 EUR', '7.50 EUR'],
    ['-0.00 EUR', '0.00 EUR'],
    ['3 "VT.I"', '3 VT.I'],
    ['"VT-2" -3', '-3 VT-2'],
    ['9007199254740993.01 IDR', '9007199254740993.01 IDR'],
  ])('%s is %s', async (written, means) => {
    const { quantity, currency } = await only(withAmount(written), { currencies: new Map([['', 'EUR']]) });
    expect(`${quantity} ${currency}`).toBe(means);
  });

  it.each([
    ['1,000 EUR', /^2: "1,000" could be 1\.000 or 1000: write more or fewer decimals, or say which before it, with "decimal-mark \."/],
    ['1,00,0 EUR', /^2: "1,00,0" is not separated in groups/],
    ['1.2,3.4 EUR', /^2: "1\.2,3\.4" /],
    ['1e3 EUR', /^2: "1e3 EUR" is no amount/],
    ['ten EUR', /^2: "ten EUR" is no amount like 1234\.50 EUR/],
    ['10 kr/h', /^2: "\/h" behind the amount cannot be read/],
    ['10', /^2: the amount 10 has no commodity: put a directive like "D 1000\.00 EUR" above it, .* \(--currency =CODE\)/],
    ['¥10', /^2: commodity "¥" is no code like EUR: say which it is \(--currency ¥=CODE\)/],
    ['3 "green apples"', /^2: commodity "green apples" is no code .*'green apples=CODE'/],
  ])('%s is refused', async (written, says) => {
    expect((await read(withAmount(written)))[0]).toMatch(says);
  });

  it('means to ledger what ledger takes it for', async () => {
    expect(await read(withAmount('1,000 EUR'), { dialect: 'ledger' })).toEqual([
      '2024-01-31 #1: Assets:A 1000 EUR',
      '2024-01-31 #1: Assets:B -1000 EUR',
    ]);
    expect((await read(withAmount('0,125 EUR'), { dialect: 'ledger' }))[0]).toMatch(/could be 0\.125 or 0125: .*"format 1,000\.00 CODE"/);
  });

  it.each([
    ['decimal-mark ,\n', '1.000 EUR', '1000 EUR'],
    ['decimal-mark ,\n', '1,000 EUR', '1.000 EUR'],
    ['decimal-mark .\n', '1,000 EUR', '1000 EUR'],
    ['commodity 1.000,00 EUR\n', '1.000 EUR', '1000 EUR'],
    ['commodity EUR\n  format 1.000,00 EUR\n', '1,000 EUR', '1.000 EUR'],
    ['commodity $1,000.00\n', '$1,000', '1000 USD'],
    ['commodity $1,000.00\n', '1.000 EUR', '1.000 EUR'],
    ['D 1.000,00 EUR\n', '2.000', '2000 EUR'],
    ['D $1,000.00\n', '2,000', '2000 USD'],
  ])('after %j, %s is %s', async (directive, written, means) => {
    const { quantity, currency } = await only(directive + withAmount(written));
    expect(`${quantity} ${currency}`).toBe(means);
  });

  it('is refused when it contradicts a directive', async () => {
    expect((await read(`decimal-mark ,\n${withAmount('1,000.00 EUR')}`))[0]).toBe(
      '3: "1,000.00" has . as its decimal mark, but a directive before says ,',
    );
  });

  it('is read back as it was printed, whatever the form', () => {
    const forms = fc.record({
      digits: fc.bigInt({ min: 0n, max: 10n ** 24n }),
      decimals: fc.integer({ min: 0, max: 12 }),
      mark: fc.constantFrom<DecimalMark>('.', ','),
      separator: fc.constantFrom('', 'other', ' ', '\u00a0'),
      negative: fc.boolean(),
      commodity: fc.constantFrom('EUR', '$', '€', 'kr', '"VT-2"', '"green apples"', 'ÅÄÖ'),
      place: fc.constantFrom('left', 'right'),
      gap: fc.constantFrom('', ' '),
      sign: fc.constantFrom('first', 'second'),
    });
    fc.assert(
      fc.property(forms, ({ digits, decimals, mark, separator, negative, commodity, place, gap, sign }) => {
        const text = digits.toString().padStart(decimals + 1, '0');
        const cut = text.length - decimals;
        const group = separator === 'other' ? (mark === '.' ? ',' : '.') : separator;
        const grouped = text.slice(0, cut).replace(/\B(?=(\d{3})+$)/g, group);
        const number = decimals === 0 ? grouped : `${grouped}${mark}${text.slice(cut)}`;
        const minus = negative ? '-' : '';
        const printed =
          place === 'right'
            ? `${minus}${number}${gap}${commodity}`
            : sign === 'first'
              ? `${minus}${commodity}${gap}${number}`
              : `${commodity}${gap}${minus}${number}`;
        const quantity = decimals === 0 ? text : `${text.slice(0, cut)}.${text.slice(cut)}`;
        const name = commodity.replaceAll('"', '');
        const { amount, end } = readAmount(`${printed}  ; note`, 0, { dialect: 'hledger', marks: new Map([[name, mark]]) });
        expect(amount).toEqual({ commodity: name, quantity: negative && digits > 0n ? `-${quantity}` : quantity });
        expect(end).toBe(printed.length);
      }),
      { numRuns: 2_000 },
    );
  });

  it('is either read whole or refused, whatever is written', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'0123456789.,-+ $€E"=@;'), maxLength: 14 }), (text) => {
        try {
          const { amount, end } = readAmount(text, 0, { dialect: 'hledger', marks: new Map() });
          expect(amount.quantity).toMatch(/^-?(0|[1-9]\d*)(\.\d+)?$/);
          // Every digit of what was taken is in the quantity, in its order, but for zeros at its ends.
          const digits = amount.quantity.replace(/\D/g, '').replace(/^0+/, '');
          expect(
            text
              .slice(0, end)
              .replace(/"[^"]*"/g, '')
              .replace(/\D/g, '')
              .replace(/^0+/, ''),
          ).toBe(digits);
        } catch (error) {
          if (!(error instanceof AmountFault)) throw error;
        }
      }),
      { numRuns: 5_000 },
    );
  });
});

// --- Entries ---

describe('an entry', () => {
  it('keeps date, code, texts and comments; gives back what it does not understand as text', async () => {
    const rows = await rowsOf(
      [
        '2024/1/5=2024/1/31 ! (INV 7) Müller & Söhne | lamps ; due:2024-02-01',
        '    ; ordered by phone',
        '    Expenses:Office Supplies:Lamps    EUR 100.00  ; two lamps, project: hall',
        '    ; of which one is broken',
        '    * Assets:Bank',
        '',
      ].join('\n'),
    );
    const shared = {
      file: join(directory, 'main.journal'),
      txn: '2024-01-05 (INV 7)',
      date: '2024-01-05',
      description: 'Müller & Söhne | lamps',
      reference: 'INV 7',
      metadata: { comment: 'due:2024-02-01\nordered by phone', secondaryDate: '2024-01-31', status: 'pending' },
      currency: 'EUR',
    };
    expect(rows).toEqual([
      {
        ...shared,
        at: 3,
        line: 1,
        account: 'Expenses:Office Supplies:Lamps',
        quantity: '100.00',
        text: 'two lamps, project: hall\nof which one is broken',
      },
      { ...shared, at: 5, line: 2, account: 'Assets:Bank', quantity: '-100.00', text: undefined },
    ]);
  });

  it.each([
    ['2024-02-29', '2024-02-29'],
    ['2024/2/9', '2024-02-09'],
    ['2024.12.31', '2024-12-31'],
    ['Y 2023\n3/1', '2023-03-01'],
    ['Y2023\n03-01', '2023-03-01'],
    ['year 2023\n3.1', '2023-03-01'],
    ['apply year 2023\n3/1', '2023-03-01'],
    ['2024-12-31=1/2', '2024-12-31'],
  ])('dated %j is of %s', async (written, date) => {
    expect(await only(`${written} x\n  A:B  1 EUR\n  A:C\n`)).toMatchObject({ date });
  });

  it.each([
    ['1/31', /^1: date 1\/31 has no year: .*Y 2026/],
    ['2023-02-29', /^1: date "2023-02-29" is not a date like/],
    ['2024-1/3', /^1: date "2024-1\/3" is not a date/],
    ['20240103', /^1: date "20240103" is not a date/],
    ['1899-12-31', /^1: date "1899-12-31" is not a date .* from 1900/],
    ['2024-01-01=soon', /^1: date "soon" is not a date/],
  ])('dated %s is refused', async (written, says) => {
    expect((await read(`${written} x\n  A:B  1 EUR\n  A:C\n`))[0]).toMatch(says);
  });

  it('has the types of accounts that are declared before it, for those below too', async () => {
    const content = [
      'account aktiva                ; type:A',
      'account aktiva:kasse  ; Bargeld, type: Cash',
      'account erträge',
      '  ; type:R',
      'account privat ; type:E',
      '2024-01-01',
      '  aktiva:bank:giro  1 EUR',
      '  aktiva:kasse      1 EUR',
      '  erträge:zinsen   -2 EUR',
      '  privat            0 EUR',
    ].join('\n');
    const typesOf = async (dialect: Dialect) =>
      (await rowsOf(content, { dialect })).map((row) => ('problem' in row ? row.problem : row.accountType));
    expect(await typesOf('hledger')).toEqual(['asset', 'asset', 'income', undefined]);
    expect(await typesOf('ledger')).toEqual([undefined, undefined, undefined, undefined]);
    expect(await whole('account a  ; type:Z\n')).toMatch(/^main\.journal:1: type:"Z" is none of A, L, E, R, X, C, V/);
  });

  it('is named by date, code and place among its like, so that entries can be added behind', async () => {
    const entry = (head: string): string => `${head}\n  A:B  1 EUR\n  A:C\n\n`;
    const heads = ['2024-01-01 x', '2024-01-01 y', '2024-01-01 (7) z', '2024-01-02 x', '2024-01-01 (7) again', '2024-01-01 (7) #2'];
    const txns = (await rowsOf(heads.map(entry).join(''))).map(({ txn }) => txn);
    expect([...new Set(txns)]).toEqual([
      '2024-01-01 #1',
      '2024-01-01 #2',
      '2024-01-01 (7)',
      '2024-01-02 #1',
      '2024-01-01 (7) #2',
      '2024-01-01 (7) #3',
    ]);
  });

  it('gets the amount that was left out, in every currency', async () => {
    expect(await read('2024-01-01\n  A:B  100 EUR\n  A:C  -30.005 USD\n  A:D  -0.5 EUR\n  A:E\n')).toEqual([
      '2024-01-01 #1: A:B 100 EUR',
      '2024-01-01 #1: A:C -30.005 USD',
      '2024-01-01 #1: A:D -0.5 EUR',
      '2024-01-01 #1: A:E -99.5 EUR',
      '2024-01-01 #1: A:E 30.005 USD',
    ]);
    expect(await read('2024-01-01\n  A:B  1 EUR\n  A:C  -1.00 EUR\n  A:D\n')).toContain('2024-01-01 #1: A:D 0.00 EUR');
  });

  it.each([
    ['(A:V)  1 EUR', /^2: "\(A:V\)" is a virtual posting/],
    ['[A:V]  1 EUR', /^2: "\[A:V\]" is a virtual posting/],
    ['A:B  1 EUR @ 1.10 USD', /^2: "@ 1\.10 USD" is a price: .* four postings/],
    ['A:B  1 EUR @@ 1.10 USD', /^2: "@@ 1\.10 USD" is a price/],
    ['A:B  1 EUR {1.10 USD}', /^2: "\{1\.10 USD\}" names a lot/],
    ['A:B  = 5 EUR', /^2: "= 5 EUR" assigns a balance: write the amount out/],
    ['A:B  (2 * 3 EUR)', /^2: "\(2 \* 3 EUR\)" is an expression/],
    ['A:B  1 EUR ; date:2024-02-01', /^2: the posting has a date of its own, 2024-02-01: split the entry/],
    ['A:B  1 EUR ; [2/1]', /^2: the posting has a date of its own, 2\/1/],
    ['A:B -$5', /^2: "A:B -\$5" seems to end with an amount/],
    ['A:B 1,234.50', /^2: "A:B 1,234\.50" seems to end with an amount/],
    ['A:B 1 EUR', /^2: "A:B 1 EUR" seems to end with an amount: put two blanks/],
    ['A:B ; note', /^2: "A:B ; note" holds a semicolon: put two blanks/],
    ['A:B  1 EUR\n  A:D', /^4: a second posting without an amount, after that in line 3/],
    ['A:B', /^3: a second posting without an amount, after that in line 2/],
  ])('with %j is refused', async (posting, says) => {
    expect((await read(`2024-01-01 x\n  ${posting}\n  A:C\n`))[0]).toMatch(says);
  });

  it('that exchanges currencies without saying how is refused with the arithmetic', async () => {
    expect(await read('2024-01-01 x\n  A:B  100.00 EUR\n  A:C  -110.5 USD\n')).toEqual([
      '1: 100.00 EUR against -110.5 USD: an exchange has no price here, each currency balances: add both amounts on an account like Equity:Conversion',
    ]);
  });

  it('may have an account whose name ends with a number', async () => {
    expect(await read('2024-01-01\n  Assets:Depot 1  5 EUR\n  Assets:Depot 2\n')).toEqual([
      '2024-01-01 #1: Assets:Depot 1 5 EUR',
      '2024-01-01 #1: Assets:Depot 2 -5 EUR',
    ]);
  });

  it('that is refused leaves the others to be read', async () => {
    expect(await read('2024-01-01\n  A  x\n  B\n\n2024-01-02\n  A  1 EUR\n  B\n')).toEqual([
      '2: "x" is no amount like 1234.50 EUR or $1,234.50',
      '2024-01-02 #1: A 1 EUR',
      '2024-01-02 #1: B -1 EUR',
    ]);
  });

  it('takes a posting date that is its own date, and a secondary one as text', async () => {
    expect((await only('2024-01-01\n  A  1 EUR ; date:2024-01-01, [=2024/2/1]\n  B\n')).text).toBe('date:2024-01-01, [=2024/2/1]');
  });

  it('in ledger may have a semicolon in its description', async () => {
    const content = '2024-01-01 Bread; milk  ; cash\n  A  1 EUR\n  B\n';
    expect(await only(content, { dialect: 'ledger' })).toMatchObject({ description: 'Bread; milk', metadata: { comment: 'cash' } });
    expect(await only(content)).toMatchObject({ description: 'Bread', metadata: { comment: 'milk  ; cash' } });
  });

  it('survives being printed and read again', async () => {
    const name = fc
      .stringMatching(/^[A-Za-zÄé][A-Za-z0-9Äé' &-]{0,12}[A-Za-z0-9]$/)
      .filter((text) => !/ {2}/.test(text) && !/ \d/.test(text));
    const posting = fc.record({
      account: fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join(':')),
      minor: fc.bigInt({ min: -(10n ** 15n), max: 10n ** 15n }),
      currency: fc.constantFrom('EUR', 'JPY', 'BTC'),
      comment: fc.option(name, { nil: undefined }),
    });
    const entry = fc.record({
      date: fc
        .date({ min: new Date('1900-01-01'), max: new Date('2199-12-31'), noInvalidDate: true })
        .map((date) => date.toISOString().slice(0, 10)),
      code: fc.option(name, { nil: undefined }),
      description: name,
      postings: fc.array(posting, { minLength: 1, maxLength: 6 }),
    });
    const decimal = (minor: bigint): string =>
      `${minor < 0n ? '-' : ''}${(minor < 0n ? -minor : minor).toString().padStart(4, '0').replace(/...$/, '.$&')}`;
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { minLength: 1, maxLength: 5 }), async (entries) => {
        const text = entries.map(
          ({ date, code, description, postings }) =>
            `${date} ${code === undefined ? '' : `(${code}) `}${description}\n${postings
              .map(
                ({ account, minor, currency, comment }) =>
                  `    ${account}  ${decimal(minor)} ${currency}${comment === undefined ? '' : `  ; ${comment}`}\n`,
              )
              .join('')}    Equity:Rest\n`,
        );
        const rows = await rowsOf(text.join('\n'));
        const given = rows.filter((row): row is PostingRow => 'account' in row && row.account !== 'Equity:Rest');
        expect(
          given.map(({ date, reference, description, account, quantity, currency, text: own }) => ({
            date,
            reference,
            description,
            account,
            quantity,
            currency,
            own,
          })),
        ).toEqual(
          entries.flatMap(({ date, code, description, postings }) =>
            postings.map(({ account, minor, currency, comment }) => ({
              date,
              reference: code,
              description,
              account,
              quantity: decimal(minor),
              currency,
              own: comment,
            })),
          ),
        );
        // Whatever was left out, every entry balances in each currency.
        const sums = new Map<string, bigint>();
        for (const row of rows) {
          if ('problem' in row) throw new Error(row.problem);
          const key = `${row.txn} ${row.currency}`;
          sums.set(key, (sums.get(key) ?? 0n) + BigInt(row.quantity.replace('.', '')));
        }
        expect([...sums.values()].every((sum) => sum === 0n)).toBe(true);
      }),
      { numRuns: 150 },
    );
  });
});

// --- Balance assertions ---

describe('a balance assertion', () => {
  const journal = (...claims: string[]): string =>
    [
      '2024-01-02 second',
      `  A:B  -30 EUR ${claims[1] ?? ''}`,
      '  A:C',
      '',
      '2024-01-01 first',
      `  A:B  100.00 EUR ${claims[0] ?? ''}`,
      '  A:C',
      '',
    ].join('\n');

  it('holds at its date in hledger, at its place in ledger', async () => {
    expect(await read(journal('= 100 EUR', '= 70.00 EUR'))).toHaveLength(4);
    expect((await read(journal('= 100 EUR', '= 70.00 EUR'), { dialect: 'ledger' })).slice(4)).toEqual([
      '2: balance assertion: "A:B" should be 70.00 EUR, is -30, difference -100 EUR (counted from the entries of this journal)',
      '6: balance assertion: "A:B" should be 100 EUR, is 70, difference -30 EUR (counted from the entries of this journal)',
    ]);
    expect(await read(journal('= 70 EUR', '= -30 EUR'), { dialect: 'ledger' })).toHaveLength(4);
  });

  it('looks at what came before it on its day', async () => {
    const day = (first: string, second: string): string => `2024-01-01\n  A  1 EUR = ${first}\n  A  1 EUR = ${second}\n  B\n`;
    expect(await read(day('1 EUR', '2 EUR'))).toHaveLength(3);
    expect((await read(day('2 EUR', '2 EUR')))[3]).toMatch(/^2: balance assertion: "A" should be 2 EUR, is 1, difference -1 EUR/);
  });

  it.each([
    ['= 5 EUR', undefined],
    ['= 12 EUR', /^8: balance assertion: "A" should be 12 EUR, is 5, difference -7 EUR/],
    ['== 5 EUR', /^8: balance assertion: "A" should hold EUR only, but holds 2 USD/],
    ['=* 12 EUR', undefined],
    ['==* 12 EUR', /^8: balance assertion: "A" and below should hold EUR only, but holds 2 USD/],
  ])('%s looks at its currency, at others, or at the accounts below', async (claim, says) => {
    const rows = await read(`2024-01-01\n  A:B  7 EUR\n  A  2 USD\n  AB  3 EUR\n  Z\n\n2024-01-02\n  A  5 EUR ${claim}\n  Z\n`);
    const failed = rows.filter((row) => /^\d+: /.test(row));
    if (says === undefined) expect(failed).toEqual([]);
    else expect(failed).toEqual([expect.stringMatching(says)]);
  });

  it('alone, without an amount to post, is verified and leaves no entry', async () => {
    const start = '2024-01-01\n  A  1 EUR\n  B\n\n';
    expect(await read(`${start}2024-01-31 check\n  A  0 EUR = 1 EUR\n`)).toHaveLength(2);
    expect(await read(`${start}2024-01-31 check\n  A  0 = 1 EUR\n`)).toHaveLength(2);
    expect((await read(`${start}2024-01-31 check\n  A  0 = 2 EUR\n`))[2]).toMatch(/^6: balance assertion: "A" should be 2 EUR, is 1/);
    expect((await read(`${start}2024-01-31 check\n  A  0 EUR = 2 EUR\n`))[2]).toMatch(/^6: balance assertion: "A" should be 2 EUR, is 1/);
  });

  it('says when refused entries are not in its sum', async () => {
    expect((await read('2024-01-01\n  A  1 EUR @ 2 USD\n  B\n\n2024-01-02\n  A  1 EUR = 2 EUR\n  B\n')).at(-1)).toMatch(
      /is 1, difference -1 EUR .* \(1 entry that is refused not counted\)$/,
    );
  });
});

// --- The file as a whole ---

describe('a journal', () => {
  it('passes over comments, prices and declarations', async () => {
    const content = [
      '; a comment',
      '# another',
      '* heading',
      '% and',
      '| more',
      '',
      'comment',
      '2024-99-99 not an entry',
      'end comment',
      '',
      'account Assets:Bank  ; type: A',
      '  ; note',
      'commodity EUR',
      '  note Euro',
      'payee Somebody',
      'tag project',
      'P 2024-01-01 EUR 1.10 USD',
      'N $',
      '',
      '  ; an indented comment',
      '2024-01-01 (1) x',
      '  A  1 EUR',
      '  B',
      '2024-01-02 right below',
      '\tA\t1 EUR',
      '\tB',
      '   ',
      '2024-01-03 last',
      '  A  1 EUR',
      '  B',
    ].join('\r\n');
    expect(await read(`\ufeff${content}`)).toHaveLength(6);
  });

  it.each([
    ['= /food/\n  (Budget)  -1\n', /^main\.journal:1: "= \/food\/": automatic postings are not plain: .*--auto/],
    ['~ monthly\n  A  1 EUR\n  B\n', /^main\.journal:1: "~ monthly": periodic entries are not plain/],
    ['alias a=b\n', /aliases rename accounts/],
    ['apply account x\n', /apply changes the entries below/],
    ['account A\n  alias b\n', /^main\.journal:2: "alias b" changes postings on the account/],
    ['what is this\n', /^main\.journal:1: "what is this" is neither an entry, .* nor a directive/],
    ['decimal-mark ;\n', /names neither \. nor ,/],
    ['commodity 1,000 EUR\n', /"1,000" could be/],
    ['Y next\n', /names no year/],
    ['  A  1 EUR\n', /^main\.journal:1: "A {2}1 EUR" is indented, but no entry/],
    ['2024-01-01 x\u0001\n', /^main\.journal:1: the line holds a control character/],
    ['include none.journal\n', /^main\.journal:1: include none\.journal: there is no file/],
    ['include *.journal\n', /without wildcards/],
    ['include ../outside.journal\n', /(is not in the folder of|there is no file)/],
    ['include main.journal\n', /the file includes itself/],
    ['include timeclock:x\n', /name a journal by its path/],
  ])('with %j is refused as a whole', async (content, says) => {
    expect(await whole(`${content}\n2024-01-01\n  A  1 EUR\n  B\n`)).toMatch(says);
  });

  it('names every fault of the whole at once', async () => {
    expect(await whole('alias a=b\n\n~ monthly\n  A  1\n\n= x\n  A  1\n')).toMatch(
      /^main\.journal:1: .*\nmain\.journal:3: .*\nmain\.journal:6: /,
    );
  });

  it('that is not UTF-8 is refused with its line', async () => {
    const file = join(directory, 'latin.journal');
    writeFileSync(file, Buffer.from('2024-01-01 M\xfcller\n  A  1 EUR\n  B\n', 'latin1'));
    await expect(async () => {
      for await (const _ of journalFormat('hledger')(file));
    }).rejects.toThrow(/latin\.journal:1: here or soon after are bytes that are not UTF-8/);
  });

  it('that is not there is refused', async () => {
    await expect(async () => {
      for await (const _ of journalFormat('hledger')(join(directory, 'nothing')));
    }).rejects.toThrow(/^there is no file .*nothing/);
  });

  it('reads the files that it includes, and names them', async () => {
    write('2024/jan.journal', 'Y 2024\ndecimal-mark ,\n1/5\n  A  1.000 EUR\n  B\n');
    const rows = await rowsOf('2024-01-05 before\n  A  1 EUR\n  B\n\ninclude 2024/jan.journal\n\n2024-01-05 after\n  A  1.000 EUR\n  B\n');
    expect(rows.map((row) => [row.file?.slice(directory.length + 1), row.at, row.txn, 'quantity' in row && row.quantity])).toEqual([
      ['main.journal', 2, '2024-01-05 #1', '1'],
      ['main.journal', 3, '2024-01-05 #1', '-1'],
      ['2024/jan.journal', 4, '2024-01-05 #2', '1000'],
      ['2024/jan.journal', 5, '2024-01-05 #2', '-1000'],
      // What an included file says of numbers ends with it.
      ['main.journal', 8, '2024-01-05 #3', '1.000'],
      ['main.journal', 9, '2024-01-05 #3', '-1.000'],
    ]);
  });

  it('does not follow a link out of its folder', async () => {
    const other = mkdtempSync(join(tmpdir(), 'book-keeper-elsewhere-'));
    writeFileSync(join(other, 'secret.journal'), '2024-01-01\n  A  1 EUR\n  B\n');
    symlinkSync(join(other, 'secret.journal'), join(directory, 'link.journal'));
    expect(await whole('include link.journal\n')).toMatch(/is not in the folder of/);
    rmSync(other, { recursive: true });
  });
});
