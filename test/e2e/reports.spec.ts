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

describe('general ledger', () => {
  it('shows every account from opening to closing with its lines, in pages', async () => {
    const { body } = await report('general-ledger', 'period=2026');
    const bank = body.accounts.find(({ account }: Reply['body']) => account === 'Assets:Bank');
    expect(bank).toMatchObject({
      opening: [{ currency: 'EUR', balance: '1300.00' }],
      lines: [
        { date: '2026-02-01', number: 'GENERAL/2026/1', credit: '120.00', runningBalance: '1180.00', description: 'Rent, "February"' },
      ],
      closing: [{ currency: 'EUR', balance: '1180.00' }],
    });
    expect(body.retainedEarnings).toEqual([{ currency: 'EUR', balance: '-300.00' }]);
    const paged = [];
    for (let cursor: string | undefined = ''; cursor !== undefined; ) {
      const page = await report('general-ledger', `period=2026&limit=2${cursor && `&cursor=${cursor}`}`);
      paged.push(...page.body.accounts);
      cursor = page.body.nextCursor;
    }
    expect(paged).toEqual(body.accounts);
  });

  it('comes whole as CSV, whose every row states position and version', async () => {
    const { body } = await report('general-ledger', 'period=2026');
    const { text, headers } = await report('general-ledger', 'period=2026&format=csv');
    expect(headers['content-type']).toBe('text/csv; charset=utf-8; header=present');
    expect(headers['content-disposition']).toBe(`inline; filename="reports.general-ledger.p${body.position}.v1.csv"`);
    const rows = text.trimEnd().split('\r\n');
    expect(rows[0]).toBe(
      'row,account,name,type,date,number,entryId,line,entryPosition,entryType,description,reference,currency,debit,credit,balance,baseDebit,baseCredit,baseBalance,position,reportVersion',
    );
    expect(rows.slice(1).every((row) => row.endsWith(`,${body.position},1`))).toBe(true);
    const [line] = body.accounts[0].lines;
    expect(rows[2]).toBe(
      `line,Assets:Bank,Assets:Bank,asset,2026-02-01,GENERAL/2026/1,${line.entryId},2,${line.position},normal,"Rent, ""February""",,EUR,,120.00,1180.00,,,,${body.position},1`,
    );
    expect(rows.at(-1)).toMatch(/^retainedEarnings,,Retained earnings brought forward,(,){9}EUR,,,-300.00,/);
  });
});

describe('cash flow', () => {
  let flows: string;
  beforeAll(async () => {
    flows = await openBook(api, 'flows');
    const account = (code: string, type: string, more: object) =>
      created(api.post(`${flows}/accounts`, { code, name: code, type, ...more }));
    await account('Assets:Till', 'asset', { subtype: 'cash' });
    await account('Assets:Giro', 'asset', { subtype: 'cash' });
    await account('Assets:Machine', 'asset', { cashFlow: 'investing' });
    await account('Equity:Capital', 'equity', { cashFlow: 'financing' });
    const post = (effectiveDate: string, amount: string, debit: string, credit: string, more: object = {}) =>
      created(api.post(`${flows}/journal-entries`, entry(amount, { effectiveDate, ...more }, [debit, credit])));
    await post('2026-01-02', '500.00', 'Assets:Giro', 'Equity:Capital');
    await post('2026-02-01', '100.00', 'Assets:Till', 'Assets:Giro');
    await post('2026-02-02', '80.00', 'Assets:Machine', 'Assets:Giro');
    await post('2026-02-03', '30.00', 'Assets:Till', 'Income:Sales');
    await post('2026-02-04', '999.00', 'Expenses:Rent', 'Assets:Bank');
    // Rent of 20, of which 5 are not paid yet.
    const line = (code: string, side: string, amount: string) => ({ account: code, side, amount, currency: 'EUR' });
    const lines = [line('Expenses:Rent', 'debit', '20.00'), line('Assets:Till', 'credit', '15.00'), line('Assets:Bank', 'credit', '5.00')];
    await created(api.post(`${flows}/journal-entries`, entry('', { effectiveDate: '2026-02-05', lines })));
  });

  it('explains the change of cash by what the other lines of its entries have; transfers are none', async () => {
    const { body } = await api.get(`${flows}/reports/cash-flow?period=2026/2&compare=2026/1`);
    expect(body).toMatchObject({ opening: ['500.00', '0.00'], change: ['-65.00', '500.00'], closing: ['435.00', '500.00'] });
    const rows = body.sections.map(({ activity, rows: own }: Reply['body']) => [
      activity,
      ...own.map(({ account, amounts, receipts, payments }: Reply['body']) =>
        [account, amounts[0], receipts[0], payments[0], amounts[1]].join(' '),
      ),
    ]);
    expect(rows).toEqual([
      ['operating', 'Assets:Bank 5.00 5.00 0.00 0.00', 'Expenses:Rent -20.00 0.00 20.00 0.00', 'Income:Sales 30.00 30.00 0.00 0.00'],
      ['investing', 'Assets:Machine -80.00 0.00 80.00 0.00'],
      ['financing', 'Equity:Capital 0.00 0.00 0.00 500.00'],
      ['exchangeRates'],
    ]);
    const csv = await api.get(`${flows}/reports/cash-flow?period=2026/2&format=csv`);
    expect(csv.text.split('\r\n')[1]).toMatch(/^opening,,,Cash at the beginning,,,EUR,500.00,,,\d+,1$/);
  });
});

describe('a book that tracks its base currency', () => {
  let tracked: string;
  beforeAll(async () => {
    tracked = await openBook(api, 'tracked-reports', { fx: 'tracked' });
    await created(api.post(`${tracked}/accounts`, { code: 'Assets:Dollars', name: 'Dollars', type: 'asset', subtype: 'cash' }));
    const line = (account: string, side: string, amount: string, currency: string, baseAmount: string) => ({
      ...{ account, side, amount, currency },
      baseAmount,
    });
    const post = (effectiveDate: string, lines: object[], more: object = {}) =>
      created(api.post(`${tracked}/journal-entries`, entry('', { effectiveDate, lines, ...more })));
    await post('2026-01-10', [
      line('Assets:Dollars', 'debit', '100.00', 'USD', '92.00'),
      line('Income:Sales', 'credit', '100.00', 'USD', '92.00'),
    ]);
    // The dollar has become dearer: nothing moved but what it is worth.
    await post('2026-01-31', [line('Assets:Dollars', 'debit', '0', 'USD', '3.00'), line('Income:Sales', 'credit', '0', 'USD', '3.00')], {
      entryType: 'revaluation',
    });
  });

  it('is stated in it, by the base amounts that lines carry', async () => {
    const { body } = await api.get(`${tracked}/reports/balance-sheet?asOf=2026-12-31`);
    expect(body).toMatchObject({ currency: 'EUR', basis: 'base', assets: ['95.00'], balanced: true });
    const lines = await api.get(`${tracked}/reports/balance-sheet?asOf=2026-12-31&currency=USD`);
    expect(lines.body).toMatchObject({ currency: 'USD', basis: 'lines', assets: ['100.00'], balanced: true });
    const trial = await api.get(`${tracked}/reports/trial-balance?period=2026&in=EUR`);
    expect(trial.body).toMatchObject({ currency: 'EUR', basis: 'base', balanced: true });
    expect(trial.body.totals[0].figures[0]).toMatchObject({ debit: '95.00', credit: '95.00' });
  });

  it('shows in every listing what lines are in it, also those of a revaluation, which have no amount of their own', async () => {
    const { body: ledger } = await api.get(`${tracked}/reports/general-ledger?period=2026`);
    const [dollars] = ledger.accounts;
    expect(dollars).toMatchObject({
      account: 'Assets:Dollars',
      opening: [{ currency: 'USD', balance: '0.00', baseBalance: '0.00' }],
      lines: [
        { debit: '100.00', runningBalance: '100.00', baseDebit: '92.00', runningBaseBalance: '92.00' },
        { debit: '0.00', runningBalance: '100.00', baseDebit: '3.00', runningBaseBalance: '95.00' },
      ],
      closing: [{ currency: 'USD', balance: '100.00', baseBalance: '95.00' }],
    });
    const { body: statement } = await api.get(`${tracked}/accounts/Income%3ASales/statement?from=2026-01-01&to=2026-12-31`);
    expect(statement).toMatchObject({
      opening: [{ baseDebit: '0.00', baseCredit: '0.00', baseNet: '0.00', baseBalance: '0.00' }],
      lines: [
        { side: 'credit', baseCredit: '92.00', runningBaseBalance: '92.00' },
        { side: 'credit', amount: '0.00', runningBalance: '100.00', baseCredit: '3.00', runningBaseBalance: '95.00' },
      ],
      closing: [{ baseDebit: '0.00', baseCredit: '95.00', baseNet: '-95.00', baseBalance: '95.00' }],
    });
    const { text } = await api.get(`${tracked}/accounts/Income%3ASales/statement?from=2026-01-01&to=2026-12-31&format=csv`);
    expect(text.split('\r\n').slice(-3)[0]).toMatch(/,USD,,0\.00,100\.00,,3\.00,95\.00,\d+,1$/);

    const since = statement.lines[1].position - 1;
    const { body: changes } = await api.get(`${tracked}/reports/changes-since?period=2026&since=${since}`);
    const alone = { currency: 'USD', before: '100.00', change: '0.00', after: '100.00' };
    expect(changes.accounts[0]).toEqual({
      ...{ account: 'Assets:Dollars', ...alone },
      ...{ baseBefore: '92.00', baseChange: '3.00', baseAfter: '95.00' },
    });
    expect(changes.entries[0].accounts[0]).toEqual(changes.accounts[0]);

    const { body: balance } = await api.get(`${tracked}/accounts/Assets%3ADollars/balance`);
    const inBase = { baseDebit: '95.00', baseCredit: '0.00', baseNet: '95.00', baseBalance: '95.00' };
    expect(balance.balances).toMatchObject([{ currency: 'USD', balance: '100.00', ...inBase }]);
    const { body: balances } = await api.get(`${tracked}/balances`);
    expect(balances.balances[0]).toMatchObject({ account: 'Assets:Dollars', ...inBase });
  });

  it('shows what a revaluation did to cash apart from flows', async () => {
    const { body } = await api.get(`${tracked}/reports/cash-flow?period=2026`);
    const totals = body.sections.map(({ activity, total }: Reply['body']) => `${activity} ${total[0]}`);
    expect(totals).toEqual(['operating 92.00', 'investing 0.00', 'financing 0.00', 'exchangeRates 3.00']);
    expect(body).toMatchObject({ opening: ['0.00'], change: ['95.00'], closing: ['95.00'] });
  });

  it('shows what taking a revaluation back did to cash there too', async () => {
    const { body: found } = await api.get(`${tracked}/journal-entries?entryType=revaluation`);
    const back = { reason: 'The day after', effectiveDate: '2027-01-01' };
    await created(api.post(`${tracked}/journal-entries/${found.entries[0].id}/reverse`, back));
    const { body } = await api.get(`${tracked}/reports/cash-flow?period=2027`);
    const totals = body.sections.map(({ activity, total }: Reply['body']) => `${activity} ${total[0]}`);
    expect(totals).toEqual(['operating 0.00', 'investing 0.00', 'financing 0.00', 'exchangeRates -3.00']);
    expect(body).toMatchObject({ opening: ['95.00'], change: ['-3.00'], closing: ['92.00'] });
  });
});

describe('journal', () => {
  it('lists entries with their lines by day book and number, in pages', async () => {
    const { body } = await report('journal', 'from=2025-01-01&to=2026-12-31');
    expect(body.entries.map(({ fiscalYear, number }: Reply['body']) => `${fiscalYear}/${number}`)).toEqual([
      '2025/1',
      '2025/2',
      '2026/1',
      '2026/2',
    ]);
    expect(body.entries[0]).toMatchObject({
      journalCode: 'GENERAL',
      date: '2025-01-02',
      description: 'Founding',
      userId: api.service.bootstrapKey.id,
      lines: [
        { line: 1, account: 'Assets:Bank', debit: '1000.00', currency: 'EUR' },
        { line: 2, account: 'Equity:Capital', credit: '1000.00', currency: 'EUR' },
      ],
    });
    const first = await report('journal', 'from=2025-01-01&to=2026-12-31&limit=3');
    const second = await report('journal', `from=2025-01-01&to=2026-12-31&limit=3&cursor=${first.body.nextCursor}`);
    expect([...first.body.entries, ...second.body.entries]).toEqual(body.entries);
    const csv = await report('journal', 'period=2026&format=csv');
    expect(csv.text.trimEnd().split('\r\n')).toHaveLength(1 + 4);
  });
});

describe('changes since', () => {
  it('tells entry by entry what changed in a reported range, with who and why', async () => {
    const reported = await report('trial-balance', 'period=2025');
    const before = reported.body;
    const { body: journal } = await report('journal', 'period=2025');
    const sale = journal.entries[1];
    const reversal = await created(
      api.post(
        `${book}/journal-entries/${sale.id}/reverse`,
        { reason: 'Goods came back', effectiveDate: '2025-07-01' },
        {
          headers: { 'on-behalf-of': 'clerk-7' },
        },
      ),
    );
    const { body } = await report('changes-since', `period=2025&since=${before.position}`);
    expect(body).toMatchObject({
      since: { position: before.position, recordedAt: before.recordedAt },
      from: '2025-01-01',
      to: '2025-12-31',
      accounts: [
        { account: 'Assets:Bank', currency: 'EUR', before: '1300.00', change: '-300.00', after: '1000.00' },
        { account: 'Income:Sales', currency: 'EUR', before: '-300.00', change: '300.00', after: '0.00' },
      ],
      entries: [
        {
          id: reversal.body.id,
          userId: api.service.bootstrapKey.id,
          onBehalfOf: 'clerk-7',
          reason: 'Goods came back',
          links: [{ rel: 'reverses', entryId: sale.id }],
          accounts: [
            { account: 'Assets:Bank', before: '1300.00', change: '-300.00', after: '1000.00' },
            { account: 'Income:Sales', before: '-300.00', change: '300.00', after: '0.00' },
          ],
        },
      ],
    });
    // What was reported is still reported, byte for byte.
    const again = await report('trial-balance', `period=2025&knownAt=${before.position}&reportVersion=1`);
    expect(again.text).toBe(reported.text);
    const csv = await report('changes-since', `period=2025&since=${before.position}&format=csv`);
    expect(csv.text.split('\r\n')[1]).toContain(',clerk-7,Goods came back,');
  });
});

describe('journal-entry tests', () => {
  let tested: string;
  beforeAll(async () => {
    tested = await openBook(api, 'tested', { timeZone: 'Asia/Tokyo' });
    const post = (description: string, effectiveDate: string, amount: string) =>
      created(api.post(`${tested}/journal-entries`, entry(amount, { effectiveDate, description })));
    await post('Sold', '2026-03-02', '12.50');
    await post('x', '2026-03-02', '12.50');
    await post('Round', '2026-03-07', '7000.00');
  });

  it('say what was tested, and list the entries with their hits and links that lead to them', async () => {
    const { body } = await api.get(`${tested}/reports/journal-entry-tests?period=2026&tests=duplicates,round-amounts,no-description`);
    expect(body).toMatchObject({ report: 'journal-entry-tests', timeZone: 'Asia/Tokyo', entriesTested: 3, linesTested: 6 });
    expect(body.tests).toEqual([
      { test: 'duplicates', parameters: { days: 0, minimum: '0' }, of: 'lines', population: 6, hits: 4 },
      { test: 'round-amounts', parameters: { zeros: 3, minimum: '0' }, of: 'lines', population: 6, hits: 2 },
      {
        ...{ test: 'no-description', parameters: { placeholders: ['(no description)'], shorterThan: 3 } },
        ...{ of: 'entries', population: 3, hits: 1 },
      },
    ]);
    expect(body.entries.map(({ number, hits }: Reply['body']) => [number, hits.map(({ test }: Reply['body']) => test).join()])).toEqual([
      ['GENERAL/2026/1', 'duplicates,duplicates'],
      ['GENERAL/2026/2', 'duplicates,duplicates,no-description'],
      ['GENERAL/2026/3', 'round-amounts,round-amounts'],
    ]);
    const [{ id, position, entry: link, events, hits }] = body.entries;
    expect((await api.get(link)).body).toMatchObject({ id, position });
    expect((await api.get(events)).body.events[0]).toMatchObject({ position });
    expect((await api.get(hits[0].others[0].entry)).body).toMatchObject({ number: 2 });
  });

  it('take thresholds, come in pages of JSON and whole as CSV', async () => {
    const query = 'period=2026&tests=no-description&descriptionLength=10&placeholder=sold&placeholder=none';
    const { body } = await api.get(`${tested}/reports/journal-entry-tests?${query}`);
    expect(body.entries.map(({ hits: [hit] }: Reply['body']) => hit.reason)).toEqual(['placeholder', 'short', 'short']);
    const first = await api.get(`${tested}/reports/journal-entry-tests?${query}&limit=2`);
    const second = await api.get(`${tested}/reports/journal-entry-tests?${query}&limit=2&cursor=${first.body.nextCursor}`);
    expect([...first.body.entries, ...second.body.entries]).toEqual(body.entries);
    expect(second.body.nextCursor).toBeUndefined();
    const other = await api.get(`${tested}/reports/journal-entry-tests?period=2026&limit=2&cursor=${first.body.nextCursor}`);
    expect([other.status, other.body.code]).toEqual([400, 'malformed']);
    const { text, headers } = await api.get(`${tested}/reports/journal-entry-tests?${query}`, { headers: { accept: 'text/csv' } });
    expect(headers['content-disposition']).toBe(`inline; filename="tested.journal-entry-tests.p${body.position}.v1.csv"`);
    const rows = text.trimEnd().split('\r\n');
    expect(rows.map((row) => row.split(',', 3).join())).toEqual([
      'row,test,reason',
      'test,no-description,',
      'hit,no-description,placeholder',
      'hit,no-description,short',
      'hit,no-description,short',
    ]);
    expect(rows.slice(1).every((row) => row.endsWith(`,${body.position},1`))).toBe(true);
  });

  it.each([
    ['tests=ghosts', 'tests', '"ghosts" is no test; write one or more of number-gaps, '],
    ['tests=night&lateDays=3', 'lateDays', 'lateDays belongs to the test posted-after-close, which tests leaves out'],
    ['roundZeros=99', 'roundZeros', 'must be a whole number from 1 to 30, not 99'],
    ['duplicateDays=-1', 'duplicateDays', 'must be a whole number from 0 to 366'],
    ['weekendDays=saturday', 'weekendDays', '1 (Monday) to 7 (Sunday)'],
    ['nightHours=22-6', 'nightHours', 'like 20:00-06:00'],
    ['digits=5', 'digits', 'must be a whole number from 10 to 99'],
    ['benfordMinimum=0', 'benfordMinimum', 'must be above 0'],
    ['from=2026-01-01', 'period', 'period stands for from and to'],
  ])('refuse %s, and say what was expected', async (query, member, says) => {
    const { status, body } = await api.get(`${tested}/reports/journal-entry-tests?period=2026&${query}`);
    expect([status, body.code, body.member]).toEqual([400, 'malformed', member]);
    expect(body.detail).toContain(says);
  });

  it('refuse an amount that is none, members of other reports, and pages of CSV', async () => {
    const code = async (query: string) => (await api.get(`${tested}/reports/journal-entry-tests?period=2026&${query}`)).body.code;
    expect(await code('duplicateMinimum=1e3')).toBe('amount_format');
    expect(await code('dimension=cc:1')).toBe('unknown_member');
    expect(await code('limit=2&format=csv')).toBe('malformed');
    expect(await code('currency=DOUBLOON')).toBe('currency_unknown');
  });
});

describe('account statement', () => {
  it('opens income and expense at 0 in the fiscal year as the reports do, unless carry=none', async () => {
    const hand = await openBook(api, 'statements', { startsOn: '2025-01-01' });
    const sale = (effectiveDate: string, amount: string) => created(api.post(`${hand}/journal-entries`, entry(amount, { effectiveDate })));
    await sale('2025-06-01', '300.00');
    await sale('2026-02-01', '50.00');
    const statement = async (query: string) => {
      const { body } = await api.get(`${hand}/accounts/Income%3ASales/statement?${query}`);
      const [[opening], [closing]] = [body.opening, body.closing];
      return [body.carry, body.yearFrom, opening.balance, closing.debit, closing.credit, closing.balance];
    };
    const range = 'from=2026-02-01&to=2026-12-31';
    expect(await statement(range)).toEqual(['fiscalYear', '2026-01-01', '0.00', '0.00', '50.00', '50.00']);
    expect(await statement(`${range}&carry=none`)).toEqual(['none', undefined, '300.00', '0.00', '350.00', '350.00']);
    // Without a first day there is no year to begin with.
    expect(await statement('to=2026-12-31')).toEqual(['fiscalYear', undefined, '0.00', '0.00', '350.00', '350.00']);
    const { body } = await api.get(`${hand}/reports/income-statement?period=2026`);
    expect((await api.get(body.sections[0].rows[0].statements[0])).body.closing[0].balance).toBe(body.sections[0].rows[0].amounts[0]);
  });

  it('leaves out closing entries, other currencies and lines without a dimension when it is asked to', async () => {
    const hand = await openBook(api, 'filtered-statements');
    const post = (more: object) => created(api.post(`${hand}/journal-entries`, entry('10.00', { effectiveDate: '2026-05-01', ...more })));
    await post({});
    await post({ entryType: 'closing' });
    const { lines } = entry('10.00', {}) as { lines: object[] };
    await post({ lines: lines.map((line) => ({ ...line, dimensions: [{ key: 'cc', value: 'north' }] })) });
    const count = async (query: string) => {
      const { body } = await api.get(`${hand}/accounts/Income%3ASales/statement?from=2026-01-01&to=2026-12-31${query}`);
      return [body.lines.length, body.closing[0]?.balance];
    };
    expect(await count('')).toEqual([3, '30.00']);
    expect(await count('&closing=exclude')).toEqual([2, '20.00']);
    expect(await count('&dimension=cc%3Anorth')).toEqual([1, '10.00']);
    expect(await count('&currency=USD')).toEqual([0, undefined]);
    const refused = await api.get(`${hand}/accounts/Income%3ASales/statement?currency=DOUBLOON`);
    expect([refused.status, refused.body.code]).toEqual([422, 'currency_unknown']);
  });

  it('comes as CSV, from the opening to the closing row', async () => {
    const { text } = await api.get(`${book}/accounts/Assets%3ABank/statement?from=2026-01-01&to=2026-12-31&format=csv`);
    const rows = text
      .trimEnd()
      .split('\r\n')
      .map((row) => row.split(',')[0]);
    expect(rows).toEqual(['row', 'opening', 'line', 'closing']);
  });
});

describe('links', () => {
  it('lead from the report to the account, the entry and its events', async () => {
    const { body } = await report('trial-balance', 'period=2026');
    const statement = await api.get(body.rows[0].statements[0]);
    expect(statement.body).toMatchObject({ account: 'Assets:Bank', position: body.position, lines: [{ amount: '120.00' }] });
    expect((await api.get(statement.body.lines[0].entry)).body).toMatchObject({ id: statement.body.lines[0].entryId });
    const ledger = await report('general-ledger', 'period=2026');
    const [line] = ledger.body.accounts[0].lines;
    expect((await api.get(line.entry)).body).toMatchObject({ id: line.entryId, description: 'Rent, "February"' });
    expect((await api.get(line.events)).body.events[0]).toMatchObject({ eventType: 'JournalEntryPosted', position: line.position });
  });
});

describe('what is refused', () => {
  const refused = async (name: string, query: string) => {
    const { status, body } = await api.get(`${book}/reports/${name}?${query}`);
    return [status, body.code, body.member ?? body.effectiveDate];
  };

  it.each([
    ['trial-balance', '', [400, 'malformed', 'from']],
    ['trial-balance', 'from=2026-01-01', [400, 'malformed', 'to']],
    ['trial-balance', 'from=2026-02-01&to=2026-01-01', [400, 'date_invalid', 'to']],
    ['trial-balance', 'period=2026&from=2026-01-01', [400, 'malformed', 'period']],
    ['trial-balance', 'period=2026/13', [400, 'malformed', 'period']],
    ['trial-balance', 'period=current', [400, 'malformed', 'period']],
    ['trial-balance', 'period=2026&compare=2025,yesterday', [400, 'malformed', 'compare']],
    ['trial-balance', `period=2026&compare=${Array(12).fill('2025').join()}`, [400, 'too_large', 'compare']],
    ['trial-balance', 'period=2026&reportVersion=2', [400, 'malformed', 'reportVersion']],
    ['trial-balance', 'period=2026&dimension=costCenter', [400, 'malformed', 'dimension']],
    ['trial-balance', 'period=2026&rateDate=2026-12-31', [400, 'malformed', 'rateDate']],
    ['trial-balance', 'period=2026&depth=0', [400, 'malformed', 'depth']],
    ['trial-balance', 'period=2026&knownAt=0', [400, 'date_invalid', 'knownAt']],
    ['trial-balance', 'period=2026&asOf=2026-01-01', [400, 'unknown_member', 'asOf']],
    ['trial-balance', 'period=2026&currency=DOUBLOON', [422, 'currency_unknown', undefined]],
    ['trial-balance', 'period=2026&dimension=a:b&dimension=c:%00', [400, 'text_invalid', 'dimension.1']],
    ['balance-sheet', '', [400, 'malformed', 'asOf']],
    ['balance-sheet', 'asOf=2026-12-31&rateType=average', [400, 'malformed', 'rateType']],
    ['balance-sheet', 'asOf=2026-12-31&in=DOUBLOON', [422, 'currency_unknown', undefined]],
    ['balance-sheet', 'asOf=2026-12-31&in=USD', [422, 'report_currency_needed', undefined]],
    ['income-statement', 'period=2026&carry=none', [400, 'unknown_member', 'carry']],
    ['cash-flow', 'period=2026&dimension=a:b', [400, 'unknown_member', 'dimension']],
    ['changes-since', 'period=2026', [400, 'malformed', 'since']],
    ['changes-since', 'period=2026&since=5&knownAt=4', [400, 'malformed', 'since']],
    ['journal', 'period=2026&format=csv&limit=5', [400, 'malformed', 'limit']],
    ['general-ledger', 'period=2026&cursor=abc', [400, 'malformed', 'cursor']],
    ['profit', '', [404, 'route_unknown', undefined]],
  ])('%s?%s', async (name, query, expected) => expect(await refused(name, query)).toEqual(expected));

  it('a date that no fiscal year of a calendar made by hand covers, unless nothing is carried', async () => {
    const hand = await openBook(api, 'by-hand');
    await created(api.post(`${hand}/fiscal-years`, { label: 'F27', from: '2027-01-01', to: '2027-12-31' }));
    const { status, body } = await api.get(`${hand}/reports/balance-sheet?asOf=2028-01-01`);
    expect([status, body.code, body.effectiveDate]).toEqual([422, 'no_fiscal_year', '2028-01-01']);
    expect(body.detail).toContain('carry=none');
    expect((await api.get(`${hand}/reports/balance-sheet?asOf=2028-01-01&carry=none`)).status).toBe(200);
  });
});
