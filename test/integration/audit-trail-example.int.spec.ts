/** The example of the audit trail (docs/examples/audit-trail.sql) does what it says: a product catalogue and user profiles. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from 'pg';
import { connect } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';

let database: TestDatabase;
let client: Client;
beforeAll(async () => {
  database = await testDatabase();
  client = await connect(database.adminUrl);
  await client.query(readFileSync(join(__dirname, '..', '..', 'docs', 'examples', 'audit-trail.sql'), 'utf8'));
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

const rows = async (text: string, values: unknown[] = []): Promise<unknown[]> => (await client.query(text, values)).rows;

describe('the shop of the example', () => {
  it('tells what became of a product, by whom and why', async () => {
    expect(await rows(`SELECT operation, old, new, actor, reason, ip FROM audit.history('shop.products', '"B-2"')`)).toEqual([
      {
        operation: 'INSERT',
        old: null,
        new: { sku: 'B-2', name: 'The Particulars of Reckonings', price: 25.5, currency: 'EUR', tags: ['book', 'history'] },
        actor: 'buyer-3',
        reason: 'spring catalogue',
        ip: '192.0.2.10',
      },
      {
        operation: 'UPDATE',
        old: { price: 25.5 },
        new: { price: 26.01 },
        actor: 'buyer-3',
        reason: 'two per cent more',
        ip: expect.any(String),
      },
      {
        operation: 'DELETE',
        old: expect.objectContaining({ price: 26.01 }),
        new: null,
        actor: 'buyer-4',
        reason: 'out of print',
        ip: expect.any(String),
      },
    ]);
  });

  it('shows the catalogue as it was at any moment, as rows of the table', async () => {
    const moments = (await rows(
      `SELECT DISTINCT committed_at::text AS at FROM audit.trail WHERE relation = 'shop.products'::regclass AND row_key IS NOT NULL ORDER BY 1`,
    )) as { at: string }[];
    const catalogue = async (at: string): Promise<unknown> =>
      rows(
        `SELECT p.sku, p.price::text FROM audit.rows_as_of('shop.products', $1) AS r, jsonb_populate_record(NULL::shop.products, r."row") AS p ORDER BY 1`,
        [at],
      );
    const seen: unknown[] = [];
    for (const { at } of moments) seen.push(await catalogue(at));
    expect(seen).toEqual([
      [
        { sku: 'B-1', price: '40.00' },
        { sku: 'B-2', price: '25.50' },
      ],
      [
        { sku: 'B-1', price: '40.80' },
        { sku: 'B-2', price: '26.01' },
      ],
      [{ sku: 'B-1', price: '40.80' }],
    ]);
  });

  it('tells who changed a password, and no password', async () => {
    const profile = '{"id": "6f3c1d7e-0000-4000-8000-000000000001"}';
    expect(
      await rows(`SELECT operation, actor, reason, old, new FROM audit.who_changed('shop.profiles', $1, 'password_hash')`, [profile]),
    ).toEqual([
      { operation: 'INSERT', actor: 'profile-service', reason: null, old: null, new: '[masked]' },
      {
        operation: 'UPDATE',
        actor: '6f3c1d7e-0000-4000-8000-000000000001',
        reason: 'password forgotten',
        old: '[masked]',
        new: '[masked]',
      },
    ]);
    const [{ text }] = (await rows('SELECT string_agg(c::text, chr(10)) AS text FROM audit.changes c')) as [{ text: string }];
    expect(text).not.toMatch(/scrypt|'reckonings'/);
  });

  it('lets nobody change a profile anonymously', async () => {
    await expect(client.query('UPDATE shop.profiles SET is_active = false')).rejects.toMatchObject({
      code: 'BK011',
      message: 'shop.profiles is changed only by those who say actor',
      hint: expect.stringContaining('audit.act_as'),
    });
    expect(await rows('SELECT is_active FROM shop.profiles')).toEqual([{ is_active: true }]);
  });

  it('has nothing that was changed past the trail', async () => {
    expect(
      await rows(`SELECT * FROM audit.differences('shop.products') UNION ALL SELECT * FROM audit.differences('shop.profiles')`),
    ).toEqual([]);
    expect(await rows('SELECT * FROM audit.coverage() WHERE NOT fires')).toEqual([]);
  });
});
