/** Our own tables that are changed in place have the audit trail too: who made and revoked API keys, and no secret of them. */
import { type ServiceOnDatabase, serviceOnDatabase } from '../support/services';

let on: ServiceOnDatabase;
beforeAll(async () => {
  on = await serviceOnDatabase();
});
afterAll(() => on.end());

const history = async (id: string): Promise<unknown[]> =>
  (await on.admin.query(`SELECT operation, old, new, actor, login FROM audit.history('access.api_keys', to_jsonb($1::text))`, [id])).rows;

describe('API keys', () => {
  it('tell who made and who revoked them', async () => {
    const { id, secret } = await on.service.keys.create('shop', ['controller'], 'admin-1');
    expect(await on.service.keys.revoke('shop', 'admin-2')).toBe(true);
    const login = decodeURIComponent(new URL(on.database.appUrl).username);
    expect(await history(id)).toEqual([
      {
        operation: 'INSERT',
        old: null,
        new: { id, name: 'shop', scopes: 'controller', secret_hash: '[masked]', created_at: expect.any(String), revoked_at: null },
        actor: 'admin-1',
        login,
      },
      { operation: 'UPDATE', old: { revoked_at: null }, new: { revoked_at: expect.any(String) }, actor: 'admin-2', login },
    ]);
    const { rows } = await on.admin.query('SELECT string_agg(c::text, chr(10)) AS text FROM audit.changes c');
    expect(rows[0].text).not.toContain(secret);
  });

  it('that were not made leave nothing', async () => {
    await on.service.keys.create('once');
    const count = async (): Promise<number> => Number((await on.admin.query('SELECT count(*) FROM audit.changes')).rows[0].count);
    const before = await count();
    await expect(on.service.keys.create('once')).rejects.toMatchObject({ code: 'malformed' });
    expect(await on.service.keys.revoke('nobody')).toBe(false);
    expect(await count()).toBe(before);
  });

  it('that are changed past the service are found', async () => {
    const { id } = await on.service.keys.create('quiet');
    expect((await on.admin.query("SELECT * FROM audit.differences('access.api_keys')")).rows).toEqual([]);
    await on.admin.query('BEGIN');
    await on.admin.query('ALTER TABLE access.api_keys DISABLE TRIGGER USER');
    await on.admin.query("UPDATE access.api_keys SET scopes = 'controller' WHERE id = $1", [id]);
    expect((await on.admin.query("SELECT row_key FROM audit.differences('access.api_keys')")).rows).toEqual([{ row_key: { id } }]);
    await on.admin.query('ROLLBACK');
  });
});
