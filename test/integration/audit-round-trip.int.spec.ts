/**
 * Books that move from one installation to another in the files of auditors: what `ads` and `fec` export, the imports of the same names read,
 * and every balance is what it was. The programs that read the files are ours on both sides here; the standards are held by the specs of each.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { unzipSync } from 'fflate';
import { exportBook, type ImportOptions, importFile, importFormats, type Service } from '#ledger';
import { type ServiceOnDatabase, serviceOnDatabase } from '../support/services';

let on: ServiceOnDatabase;
let service: Service;
let directory: string;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'book-keeper-round-trip-'));
  on = await serviceOnDatabase();
  service = on.service;
  await fill();
}, 60_000);
afterAll(async () => {
  await on?.end();
  rmSync(directory, { recursive: true, force: true });
});

let serial = 0;
async function done(command: object): Promise<void> {
  const answer = await service.execute('moved', command as never, { key: `move-${++serial}`, userId: 'u-1', source: 'REST' });
  if (answer.status >= 400) throw new Error(answer.body);
}

/** A French book of one year: day books, odd texts, a reversal, cents. */
async function fill(): Promise<void> {
  await done({
    ...{ type: 'OpenBook', id: 'moved', name: 'Déménagée SARL', baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2026-01-01' },
    entity: { legalName: 'Déménagée SARL', registrationNumber: '123456782', country: 'FR' },
  });
  for (const [code, accountType] of [
    ['101000', 'equity'],
    ['120000', 'equity'],
    ['401000', 'liability'],
    ['512000', 'asset'],
    ['607000', 'expense'],
    ['707000', 'income'],
  ])
    await done({ type: 'OpenAccount', code, name: `Compte "${code}" | à part`, accountType });
  await done({ type: 'DesignateAccount', role: 'retained_earnings', account: '120000' });
  for (const journalCode of ['ACH', 'VTE', 'BQ'])
    await done({ type: 'DefineJournal', journalCode, name: `Journal ${journalCode}`, journalType: 'general' });
  for (let index = 0; index < 60; index++) {
    const [debit, credit, journalCode] = [
      ['512000', '101000', 'BQ'],
      ['607000', '401000', 'ACH'],
      ['512000', '707000', 'VTE'],
    ][index % 3] as [string, string, string];
    const amount = `${index * 7 + 1}.${String((index * 37) % 100).padStart(2, '0')}`;
    await done({
      ...{ type: 'PostEntry', journalCode, effectiveDate: `2026-${String(1 + (index % 12)).padStart(2, '0')}-17` },
      description: index === 5 ? 'Ligne\tavec, tout: "ça" | et plus' : `Écriture ${index}`,
      document: { type: 'invoice', number: `F-${index}`, date: '2026-01-03' },
      lines: [
        { account: debit, side: 'debit', amount, currency: 'EUR' },
        { account: credit, side: 'credit', amount, currency: 'EUR' },
      ],
    });
  }
}

const balances = async (book: string, asOf: string): Promise<unknown> =>
  (await service.queries.balances(book, { asOf, limit: 1_000 })).balances.map(({ account, currency, debit, credit }) => [
    account,
    currency,
    debit,
    credit,
  ]);

async function exported(format: string): Promise<string> {
  const { content, fileName } = await exportBook(service, 'moved', format, { from: '2026-01-01', to: '2026-12-31' });
  const pieces: Buffer[] = [];
  for await (const some of content) pieces.push(Buffer.from(some));
  const file = join(directory, basename(fileName));
  writeFileSync(file, Buffer.concat(pieces));
  if (!fileName.endsWith('.zip')) return file;
  for (const [name, bytes] of Object.entries(unzipSync(Buffer.concat(pieces)))) writeFileSync(join(directory, basename(name)), bytes);
  return join(directory, 'GL_Detail_20260101_20261231.csv');
}

const imported = (book: string, format: string, file: string) =>
  importFile(service, {
    ...{ book, file, source: format, onError: 'stop', dryRun: false, userId: 'u-1', zeroLines: 'refuse', defaultType: 'asset' },
    format: importFormats[format],
    create: { name: book, baseCurrency: 'EUR', fiscalYearStart: '01-01' },
  } as ImportOptions);

it.each(['fec', 'ads'])('as %s every balance at every month end is what it was, and nothing is posted twice', async (format) => {
  const file = await exported(format);
  const book = `moved-${format}`;
  const summary = await imported(book, format, file);
  expect(summary).toMatchObject({ posted: 60, refused: 0 });
  for (let month = 1; month <= 12; month++) {
    const asOf = `2026-${String(month).padStart(2, '0')}-28`;
    expect(await balances(book, asOf)).toEqual(await balances('moved', asOf));
  }
  const { entries } = await service.queries.entries(book, { limit: 1_000 });
  const { entries: before } = await service.queries.entries('moved', { limit: 1_000 });
  expect(entries.map(({ document }) => document?.number).sort()).toEqual(
    format === 'fec' ? before.map(({ document }) => document?.number).sort() : entries.map(() => undefined),
  );
  expect(new Set(entries.map(({ journalCode }) => journalCode))).toEqual(new Set(['ACH', 'VTE', 'BQ']));
  expect(await imported(book, format, file)).toMatchObject({ posted: 0, alreadyThere: 60 });
});
