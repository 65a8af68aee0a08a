import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { bookOf, entriesUpTo, filesIn, idOf, richBook, sumOf } from '../../../../test/support/exported-books';
import { add, type Balances, shown, units } from '../../../../test/support/postings';
import { csv } from './csv';
import type { ExportedBook } from './exported-book';

type Row = Record<string, string>;

async function read(book: ExportedBook): Promise<Record<'lines' | 'accounts' | 'balances', Row[]>> {
  const files = await filesIn(csv.files(book));
  expect([...files.keys()]).toEqual(['lines.csv', 'accounts.csv', 'balances.csv']);
  const rows = (name: string): Row[] => parse(files.get(name) ?? '', { columns: true, record_delimiter: '\r\n' }) as Row[];
  return { lines: rows('lines.csv'), accounts: rows('accounts.csv'), balances: rows('balances.csv') };
}

describe('a book as CSV', () => {
  it('has all facts of an entry in the rows of its lines', async () => {
    const { lines } = await read(richBook());
    expect(lines).toHaveLength(6);
    expect(lines[0]).toEqual({
      ...{ position: '11', recordedAt: '2026-03-01T09:00:00.000000Z', entryId: idOf(2) },
      ...{ journalCode: 'GENERAL', fiscalYear: '2026', period: '1', number: '2', effectiveDate: '2026-02-01', requestedDate: '2026-01-31' },
      ...{ entryType: 'reversal', entryMethod: 'manual', userId: idOf(9), description: '=HYPERLINK("x")\n_x0041_ <&>', reference: 'INV 7' },
      ...{ documentType: 'invoice', documentNumber: '007', documentDate: '2026-01-30', documentUri: 'https://example.org/7' },
      ...{ documentSha256: 'ab', reverses: idOf(1), reversedBy: idOf(5), line: '1' },
      ...{ account: '0010', accountName: 'Name of 0010', accountId: idOf(1_000_000), accountWhenPosted: '0010' },
      ...{ debit: '1234567890123.45', credit: '', currency: 'EUR' },
      ...{ baseDebit: '1234567890123.45', baseCredit: '', baseCurrency: 'EUR', lineDescription: 'of the line', lineReference: 'LR' },
      ...{ partyId: 'C-1', partyKind: 'customer', dueDate: '2026-03-01', valueDate: '2026-02-02', origin: 'rule 7' },
      ...{ dimensions: '[{"key":"cost","value":"a"}]', tax: '[{"code":"T","base":"1.00","amount":"0.19"}]' },
      ...{ quantity: '{"value":"3","unit":"h"}', rate: '', source: '{"system":"shop","id":"1"}' },
      ...{ links: `[{"rel":"reverses","entryId":"${idOf(1)}"}]`, metadata: '{"batch":7}' },
    });
    expect(lines[3]).toMatchObject({ line: '4', debit: '', credit: '0.000000000000000001', currency: 'eth', dimensions: '' });
  });

  it('has the chart, and the balances before and after the range', async () => {
    const { accounts, balances } = await read(richBook());
    expect(accounts.map(({ account, name, type, postable }) => [account, name, type, postable])).toEqual([
      ['0010', 'Name of 0010', 'asset', 'true'],
      ['=1+1', 'Name of =1+1', 'asset', 'true'],
    ]);
    expect(balances[0]).toEqual({
      ...{ account: '0010', name: 'Name of 0010', type: 'asset', currency: 'EUR', opening: '5.00', debit: '1234567890123.45' },
      ...{ credit: '12345678901234567890.12', closing: '-12345677666666677761.67' },
      ...{ baseOpening: '5.00', baseDebit: '1234567890123.45', baseCredit: '12345678901234567890.12' },
      ...{ baseClosing: '-12345677666666677761.67', baseCurrency: 'EUR' },
    });
  });

  it('has lines that add up to the balances, whatever codes, currencies and texts there are', () =>
    fc.assert(
      fc.asyncProperty(entriesUpTo(10n ** 29n), async ({ entries, currencies }) => {
        const { lines, balances } = await read(bookOf(entries, { currencies }));
        const [added, closing]: Balances[] = [new Map(), new Map()];
        for (const { account = '', currency = '', debit, credit } of lines)
          add(added as Balances, account, currency, units(debit || '0') - units(credit || '0'));
        for (const { account = '', currency = '', closing: sum = '' } of balances) add(closing as Balances, account, currency, units(sum));
        const wanted = shown(sumOf(entries, '2026-01-31'));
        expect([shown(added as Balances), shown(closing as Balances)]).toEqual([wanted, wanted]);
        expect(lines.map(({ description }) => description)).toEqual(entries.flatMap(({ description }) => [description, description]));
      }),
      { numRuns: 50 },
    ));
});
