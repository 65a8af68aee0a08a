/** Exports for auditors and tax offices over HTTP: media types, names of files, ranges, and what is refused. */
import { all, at, readXml } from '../support/saft';
import { type Api, created, startApi } from './api';

let api: Api;
const book = '/v1/books/audit';
const year = 'from=2026-01-01&to=2026-12-31';

beforeAll(async () => {
  api = await startApi();
  const entity = { legalName: 'Exemple SAS', registrationNumber: '732829320', country: 'FR' };
  await created(
    api.post('/v1/books', { id: 'audit', name: 'audit', entity, baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2026-01-01' }),
  );
  for (const [code, type] of [
    ['512000', 'asset'],
    ['706000', 'income'],
  ]) {
    const mappings = [{ scheme: 'saf-t-no', category: 'RF-1167', code: '1920' }];
    await created(api.post(`${book}/accounts`, { code, name: code, type, mappings }));
  }
  const lines = [
    { account: '512000', side: 'debit', amount: '12.50', currency: 'EUR' },
    { account: '706000', side: 'credit', amount: '12.50', currency: 'EUR' },
  ];
  await created(api.post(`${book}/journal-entries`, { effectiveDate: '2026-03-01', description: 'vente', lines }));
});
afterAll(() => api.close());

const exported = async (path: string) => {
  const { status, headers, text } = await api.get(`${book}/exports/${path}`);
  expect({ status, text: status === 200 ? '' : text }).toEqual({ status: 200, text: '' });
  return { type: headers['content-type'], name: headers['content-disposition'], position: headers['known-at-position'], text };
};

describe('exports for auditors', () => {
  it('are XML as SAF-T', async () => {
    const { type, name, position, text } = await exported(`saf-t-no?${year}`);
    expect([type, name]).toEqual(['application/xml; charset=utf-8', `attachment; filename="audit-${position}-2026-01-01-2026-12-31.xml"`]);
    const lines = all(readXml(text), 'GeneralLedgerEntries/Journal/Transaction/Line');
    expect(lines.map((line) => [at(line, 'AccountID'), at(line, 'DebitAmount/Amount')])).toEqual([
      ['512000', '12.50'],
      ['706000', undefined],
    ]);
  });

  it('are text as FEC, under the name that the tax office prescribes', async () => {
    const { type, name, text } = await exported(`fec?${year}`);
    expect([type, name]).toEqual(['text/plain; charset=utf-8', 'attachment; filename="732829320FEC20261231.txt"']);
    expect(text).toContain('\t12,50\t0,00\t');
  });

  it('are an archive as Audit Data Standards', async () => {
    const { type, name, position, text } = await exported(`ads?${year}`);
    expect([type, name]).toEqual(['application/zip', `attachment; filename="audit-${position}-2026-01-01-2026-12-31-ads.zip"`]);
    expect(text).toContain('GL_Detail_20260101_20261231.csv');
  });

  it.each([
    ['saf-t-no', 'ask for one fiscal year or a part of it (2026 is from=2026-01-01 to=2026-12-31)'],
    ['fec?from=2026-01-01&to=2026-06-30', 'ask for 2026, from=2026-01-01 to=2026-12-31'],
  ])('as %s are refused with what to ask for instead', async (path, detail) => {
    expect((await api.get(`${book}/exports/${path}`)).body).toMatchObject({
      code: 'export_unfit',
      detail: expect.stringContaining(detail),
    });
  });
});
