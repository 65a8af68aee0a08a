/** Reports over HTTP: JSON and CSV of each, links that lead somewhere, refusals of what contradicts itself, the same bytes twice. */
import { type Api, created, entry, openBook, type Reply, startApi } from './api';

let api: Api;
let book: string;

beforeAll(async () => {
  api = await startApi({ READ_WAIT_MS: '20000' });
  book = await openBook(api, 'reports', { startsOn: '2025-01-01' });
  await created(api.post(`${book}/accounts`, { code: 'Equity:Capital', name: 'Capital', type: 'equity' }));
  const post = (effectiveDate: string, amount: string, debit: string, credit: string, more: object = {}) =>
    created(api.post(`${book}/journal-entries`, entry(amount, { effectiveDate, ...more }, [debit, credit])));
  await post('2025-01-02', '1000.00', 'Assets:Bank', 'Equity:Capital', { description: 'Founding' });
  await post('2025-06-30', '300.00', 'Assets:Bank', 'Income:Sales');
  await post('2026-02-01', '120.00', 'Expenses:Rent', 'Assets:Bank', { description: 'Rent, "February"' });
  await post('2026-03-01', '50.00', 'Assets:Cash', 'Income:Sales');
});
afterAll(() => api?.close());

const report = async (name: string, query: string, headers: Record<string, string> = {}): Promise<Reply> => {
  const reply = await api.get(`${book}/reports/${name}?${query}`, { headers });
  if (reply.status !== 200) throw new Error(`${name}?${query}: ${reply.status} ${reply.text}`);
  return reply;
};

describe('trial balance', () => {
  it('opens income and expense at 0 in the fiscal year, and brings forward what they had', async () => {
    const { body } = await report('trial-balance', 'period=2026');
    expect(body).toMatchObject({
      report: 'trial-balance',
      reportVersion: 1,
      book: 'reports',
      position: expect.any(Number),
      recordedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
      carry: 'fiscalYear',
      columns: [{ from: '2026-01-01', to: '2026-12-31', yearFrom: '2026-01-01' }],
      retainedEarnings: [
        { currency: 'EUR', figures: [{ opening: '-300.00', debit: '0.00', credit: '0.00', net: '0.00', closing: '-300.00' }] },
      ],
      totals: [{ currency: 'EUR', figures: [{ opening: '0.00', debit: '170.00', credit: '170.00', net: '0.00', closing: '0.00' }] }],
      balanced: true,
    });
    const rows = body.rows.map(({ account, figures: [{ opening, debit, credit, closing }] }: Reply['body']) => [
      account,
      opening,
      debit,
      credit,
      closing,
    ]);
    expect(rows).toEqual([
      ['Assets:Bank', '1300.00', '0.00', '120.00', '1180.00'],
      ['Assets:Cash', '0.00', '50.00', '0.00', '50.00'],
      ['Equity:Capital', '-1000.00', '0.00', '0.00', '-1000.00'],
      ['Expenses:Rent', '0.00', '120.00', '0.00', '120.00'],
      ['Income:Sales', '0.00', '0.00', '50.00', '-50.00'],
    ]);
  });
});

describe('balance sheet', () => {
  it('balances, with the result of the year computed', async () => {
    const { body } = await report('balance-sheet', 'asOf=2026-12-31');
    expect(body).toMatchObject({
      currency: 'EUR',
      basis: 'lines',
      assets: ['1230.00'],
      liabilitiesAndEquity: ['1230.00'],
      difference: ['0.00'],
      balanced: true,
    });
    const equity = body.sections[2];
    expect(equity.computed).toEqual([
      { row: 'retainedEarnings', name: 'Retained earnings brought forward', amounts: ['300.00'] },
      { row: 'result', name: 'Result of the year', amounts: ['-70.00'] },
    ]);
  });
});

describe('income statement', () => {
  it('shows income and expenses in their own signs, in as many columns as asked for', async () => {
    const { body } = await report('income-statement', 'period=2026&compare=2025,2026/2');
    expect(body.result).toEqual(['-70.00', '300.00', '-120.00']);
    expect(body.sections.map(({ total }: Reply['body']) => total)).toEqual([
      ['50.00', '300.00', '0.00'],
      ['120.00', '0.00', '120.00'],
    ]);
    const csv = await report('income-statement', 'period=2026&compare=2025', { accept: 'text/csv' });
    expect(csv.text.split('\r\n')[0]).toBe(
      'row,account,name,type,level,currency,amount 2026-01-01..2026-12-31,amount 2025-01-01..2025-12-31,position,reportVersion',
    );
  });
});
