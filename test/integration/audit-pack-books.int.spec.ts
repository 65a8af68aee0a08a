/**
 * An audit pack of a book with all that makes packs differ: a fiscal year given by hand, rates, a person who was erased, a code that
 * changed, two signing keys, and exports that cannot hold its names. Guarantees that what the service packs of it
 * is sound for the auditor's own verifier, has the same bytes when it is built again, and maps every name back.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { unzipSync } from 'fflate';
import { readConfig, rotateKey, type Service } from '#ledger';
import { type ServiceOnDatabase, serviceOnDatabase } from '../support/services';

const verifier = join(__dirname, '..', '..', 'packages', 'verifier', 'verify.mjs');
const bookId = 'tout';
const range = { from: '2025-12-29', to: '2027-01-03' };

let on: ServiceOnDatabase;
let service: Service;
let directory: string;
let key: string;

let serial = 0;
async function done(command: object, more: object = {}): Promise<{ id: string }> {
  const context = { key: `books-${++serial}`, userId: service.bootstrapKey.id, source: 'REST', ...more };
  const { status, body } = await service.execute(bookId, command as never, context as never);
  if (status >= 400) throw new Error(`${JSON.stringify(command)}: ${body}`);
  return JSON.parse(body) as { id: string };
}

async function packed(formats: readonly string[]): Promise<Buffer> {
  const { content } = await service.auditPack(bookId, { ...range, formats });
  const pieces: Uint8Array[] = [];
  for await (const some of content) pieces.push(some);
  return Buffer.concat(pieces);
}

/** What the verifier says where something is wrong or must be known; empty where everything holds. */
async function saidOf(pack: Buffer): Promise<string> {
  const file = join(directory, 'pack.zip');
  writeFileSync(file, pack);
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [verifier, file, '--key', key, '--quiet']).catch((error) => error);
  return `${stdout}${stderr}`;
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'book-keeper-books-'));
  on = await serviceOnDatabase({ SEAL: 'off' });
  ({ service } = on);
  await done({
    ...{ type: 'OpenBook', id: bookId, name: 'Tout', baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2025-12-29', fx: 'tracked' },
    entity: { legalName: 'Tout & "Cie"', registrationNumber: '732 829 320', country: 'FR' },
  });
  await done({ type: 'DefineFiscalYear', label: 'FY26', ...range });
  const pcg = (code: string) => ({ mappings: [{ scheme: 'pcg', code }] });
  const accounts: [code: string, accountType: string, more: object][] = [
    ['Assets:Caisse', 'asset', { ...pcg('530000'), name: '"Caisse" _x0041_', subtype: 'cash' }],
    ['411000', 'asset', { control: 'customer' }],
    ['120000', 'equity', {}],
    ['706000', 'income', {}],
    ['607000', 'expense', {}],
    ['666000', 'expense', {}],
  ];
  for (const [code, accountType, more] of accounts) await done({ name: `Compte ${code}`, ...more, type: 'OpenAccount', code, accountType });
  for (const [role, account] of [
    ['retained_earnings', '120000'],
    ['rounding', '666000'],
  ])
    await done({ type: 'DesignateAccount', role, account });
  await done({
    type: 'RecordRates',
    rates: [{ from: 'USD', to: 'EUR', rateType: 'spot', date: '2025-12-29', value: '0.9238', source: 'spec' }],
  });
  const entry = (effectiveDate: string, description: string, lines: object[], more: object = {}) =>
    done({ type: 'PostEntry', effectiveDate, description, lines, ...more });
  const line = (account: string, side: string, amount: string, currency = 'EUR', more: object = {}) => ({
    account,
    side,
    amount,
    currency,
    ...more,
  });
  const party = (await done({ type: 'OpenParty', kind: 'customer', name: 'Jane Roe' })).id;
  const customer = { party: { id: party, kind: 'customer' } };
  await entry(
    '2025-12-30',
    'Vente\tde sel',
    [line('411000', 'debit', '10.00', 'USD', customer), line('706000', 'credit', '10.00', 'USD')],
    {
      reference: 'R-1',
      document: { type: 'invoice', number: 'F-7', date: '2025-12-29' },
    },
  );
  const said = { subject: party, value: 'for Jane' } as unknown as string;
  await entry('2026-01-15', said, [line('411000', 'debit', '3.00', 'EUR', customer), line('706000', 'credit', '3.00')]);
  const wrong = await entry('2026-02-01', '=1+1', [
    line('607000', 'debit', '7.50', 'EUR', { description: 'une ligne', reference: 'R-2' }),
    line('Assets:Caisse', 'credit', '7.50'),
  ]);
  await service.sealer.seal(bookId);
  key = (await service.proofs.keys()).at(-1)?.key as string;
  await rotateKey(service.proofs.trees, readConfig(on.opened.environment), { lost: false, userId: 'u-1', reason: 'every year' });
  await done({ type: 'ReverseEntry', entryId: wrong.id, reason: 'wrong', effectiveDate: '2026-02-02' }, { onBehalfOf: 'bea' });
  await done({ type: 'ErasePerson', party, legalBasis: 'GDPR Art. 17', reason: 'asked' });
  await done({ type: 'ChangeAccountCode', account: '607000', code: '607100' });
  await entry('2026-03-01', 'Achat', [line('607100', 'debit', '1.00'), line('Assets:Caisse', 'credit', '1.00')]);
  await service.sealer.seal(bookId);
}, 60_000);
afterAll(async () => {
  await on?.end();
  rmSync(directory, { recursive: true, force: true });
});

it('is sound, by the first key alone, and has the same bytes when it is built again', async () => {
  const formats = ['csv', 'fec', 'hledger', 'jsonl'];
  const pack = await packed(formats);
  expect(await saidOf(pack)).toBe('');
  expect((await packed(formats)).equals(pack)).toBe(true);
});

it('maps back what a FEC calls otherwise', async () => {
  const files = unzipSync(await packed(['fec']));
  const names = Buffer.from(files['exports/fec/names.csv'] ?? []).toString();
  expect(names).toContain('account,530000,Assets:Caisse\r\n');
  expect(names).toContain('account name,"_x0022_Caisse"" _x005F_x0041_","""Caisse"" _x0041_"\r\n');
  expect(names).toContain('description,Vente_x0009_de sel,Vente\tde sel\r\n');
});
