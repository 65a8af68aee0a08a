/**
 * The audit trail of ordinary tables is a hash chain whose last link stands in the log of the installation: whoever changes it as superuser,
 * with all triggers off, is found by verify; also who makes every hash anew.
 */
import type { AuditTrailSealed } from '#ledger';
import { type ServiceOnDatabase, serviceOnDatabase } from '../support/services';

let on: ServiceOnDatabase;
beforeAll(async () => {
  on = await serviceOnDatabase({ SEAL: 'off' });
  await on.admin.query('CREATE TABLE public.products (id integer PRIMARY KEY, name text NOT NULL, price numeric NOT NULL)');
  await on.admin.query("SELECT audit.attach('public.products')");
  for (const id of [1, 2, 3]) await change('INSERT INTO public.products VALUES ($1, $2, 10.00)', id, `product ${id}`);
  await change('UPDATE public.products SET price = price * 2');
  await on.service.auditSeals.seal();
  await change('DELETE FROM public.products WHERE id = 2');
  await on.service.auditSeals.seal();
});
afterAll(() => on.end());

async function change(text: string, ...values: unknown[]): Promise<void> {
  await on.admin.query('BEGIN');
  await on.admin.query("SELECT audit.act_as('buyer-1', 'because')");
  await on.admin.query(text, values);
  await on.admin.query('COMMIT');
}

const findings = async (): Promise<string[]> => {
  const { books, installation } = await on.service.verify();
  return [...installation, ...books.flatMap((book) => book.findings)].map(({ check, message }) => `${check}: ${message}`);
};
const links = async (): Promise<{ place: number; chain: string }[]> =>
  (await on.admin.query("SELECT place::int, encode(chain, 'hex') AS chain FROM audit.chain ORDER BY place")).rows;

describe('the chain', () => {
  it('has a link per SQL transaction, and its last one stands in the log of the installation', async () => {
    const chain = await links();
    const { rows } = await on.admin.query('SELECT count(*)::int AS commits FROM audit.commits');
    expect(chain.map(({ place }) => place)).toEqual(Array.from({ length: rows[0].commits }, (_, index) => index + 1));
    const events = await on.service.store.readAll('~system', 0, 100);
    const told = events.filter(({ eventType }) => eventType === 'AuditTrailSealed').map(({ data }) => data as unknown as AuditTrailSealed);
    expect(told).toEqual([chain.at(-2), chain.at(-1)]);
    await on.service.sealer.seal('~system');
    expect((await on.service.proofs.inclusion('~system', { position: events.length })).size).toBe(events.length);
    expect(await findings()).toEqual([]);
  });

  it('does not grow while nothing changes, and is told of once', async () => {
    const before = (await on.service.store.head('~system')).position;
    await on.service.auditSeals.seal();
    await on.service.auditSeals.seal();
    expect((await on.service.store.head('~system')).position).toBe(before);
  });

  it('grows the same way whoever seals', async () => {
    for (let price = 1; price <= 8; price++) await change('UPDATE public.products SET price = $1 WHERE id = 1', price);
    await Promise.all([on.service.auditSeals.seal(), on.service.auditSeals.seal(), on.admin.query('SELECT audit.seal()')]);
    const chain = await links();
    expect(new Set(chain.map(({ chain: link }) => link)).size).toBe(chain.length);
    expect(await findings()).toEqual([]);
  });

  it('is not written by those who may use the audit trail', async () => {
    await on.admin.query('CREATE ROLE shop_of_spec LOGIN');
    try {
      for (const statement of [
        'SELECT audit.seal()',
        'DELETE FROM audit.unsealed',
        'INSERT INTO audit.chain SELECT place + 1, number, changes, hash, chain FROM audit.chain',
        'SELECT * FROM audit.chain',
      ]) {
        await on.admin.query('BEGIN');
        await on.admin.query('SET LOCAL ROLE shop_of_spec');
        await expect(on.admin.query(statement)).rejects.toMatchObject({ code: '42501' });
        await on.admin.query('ROLLBACK');
      }
    } finally {
      await on.admin.query('DROP ROLE shop_of_spec');
    }
    await expect(on.admin.query('DELETE FROM audit.chain')).rejects.toMatchObject({ code: 'BK003' });
  });
});

describe('what a superuser changes', () => {
  /** Every hash from a place on made anew, as the database makes them. */
  const anew = `
    DO $$
    DECLARE v record; v_link record; v_chain bytea := decode(repeat('00', 32), 'hex');
    BEGIN
      FOR v IN SELECT * FROM audit.chain ORDER BY place LOOP
        SELECT * INTO v_link FROM audit.hash_of(v.number);
        v_chain := sha256(v_chain || v_link.hash);
        UPDATE audit.chain SET changes = v_link.changes, hash = v_link.hash, chain = v_chain WHERE place = v.place;
      END LOOP;
    END $$`;

  /** A transaction that nobody made, with one change, sealed in due form. */
  const added = (at: string, overriding = '', column = '', value = ''): string[] => [
    `WITH x AS (INSERT INTO audit.transactions (xid, began_at, login, actor) VALUES (pg_current_xact_id(), ${at}, 'shop', 'framed') RETURNING number),
          c AS (INSERT INTO audit.commits SELECT number, ${at} FROM x), u AS (INSERT INTO audit.unsealed SELECT number FROM x)
     INSERT INTO audit.changes (number, changed_at, table_id, operation, row_key, old, new, depth${value && `, ${column}`}) ${overriding}
     SELECT number, ${at}, (SELECT max(id) FROM audit.tables), 'UPDATE', '{"id": 1}', '{"price": 7}', '{"price": 8}', 1${value && `, ${value}`} FROM x`,
    'SELECT audit.seal()',
  ];

  it.each<[string, string[], RegExp]>([
    [
      'a value',
      [
        `UPDATE audit.changes SET new = new || '{"price": 1}' WHERE operation = 'UPDATE' AND row_key = '{"id": 1}' AND seq = (SELECT min(seq) FROM audit.changes WHERE operation = 'UPDATE')`,
      ],
      /was changed since it was sealed/,
    ],
    ['what was before', [`UPDATE audit.changes SET old = '{}' WHERE operation = 'DELETE'`], /was changed since it was sealed/],
    ['a key', [`UPDATE audit.changes SET row_key = '{"id": 9}' WHERE operation = 'DELETE'`], /was changed since it was sealed/],
    ['a kind', [`UPDATE audit.changes SET operation = 'SNAPSHOT' WHERE operation = 'INSERT'`], /was changed since it was sealed/],
    [
      'a moment',
      [`UPDATE audit.changes SET changed_at = changed_at + interval '1 s' WHERE operation = 'DELETE'`],
      /was changed since it was sealed/,
    ],
    ['an order', [`UPDATE audit.changes SET place = 1 WHERE operation = 'DELETE'`], /was changed since it was sealed/],
    ['a depth', [`UPDATE audit.changes SET depth = 7 WHERE operation = 'DELETE'`], /was changed since it was sealed/],
    ['a table', [`UPDATE audit.changes SET table_id = 99 WHERE operation = 'DELETE'`], /was changed since it was sealed/],
    ['a number', [`UPDATE audit.changes SET number = 1 WHERE operation = 'DELETE'`], /was changed since it was sealed/],
    ['who', [`UPDATE audit.transactions SET actor = 'buyer-2' WHERE actor = 'buyer-1'`], /was changed since it was sealed/],
    ['why', [`UPDATE audit.transactions SET reason = NULL WHERE actor = 'buyer-1'`], /was changed since it was sealed/],
    ['from where', [`UPDATE audit.transactions SET ip = '10.0.0.1', agent = 'x', login = 'y'`], /was changed since it was sealed/],
    ['when it began', [`UPDATE audit.transactions SET began_at = began_at - interval '1 h'`], /was changed since it was sealed/],
    ['when it was committed', [`UPDATE audit.commits SET committed_at = committed_at - interval '1 h'`], /was changed since it was sealed/],
    ['a change that is gone', [`DELETE FROM audit.changes WHERE operation = 'DELETE'`], /was changed since it was sealed/],
    [
      'one more',
      [
        `INSERT INTO audit.changes (number, changed_at, table_id, operation, row_key, depth) SELECT number, changed_at, table_id, operation, row_key, depth FROM audit.changes WHERE operation = 'DELETE'`,
      ],
      /was changed since it was sealed/,
    ],
    [
      'a transaction that is gone',
      [`DELETE FROM audit.transactions WHERE number = (SELECT max(number) FROM audit.transactions)`],
      /is not there/,
    ],
    [
      'a commit that is gone',
      [`DELETE FROM audit.commits WHERE number = (SELECT max(number) FROM audit.commits)`],
      /has never been committed/,
    ],
    [
      'a commit that nobody will seal',
      [`DELETE FROM audit.chain WHERE place = (SELECT max(place) FROM audit.chain)`],
      /has no link in the chain, and waits for none/,
    ],
    ['a link', [`UPDATE audit.chain SET chain = sha256('x') WHERE place = 2`], /the hashes up to it make/],
    ['a count', [`UPDATE audit.chain SET changes = 99 WHERE place = 2`], /was changed since it was sealed/],
    ['a link in the middle', [`DELETE FROM audit.chain WHERE place = 2`], /place 2 is missing before it/],
    [
      'the end with everything that belongs to it',
      [
        'DELETE FROM audit.changes WHERE number IN (SELECT number FROM audit.chain ORDER BY place DESC LIMIT 2)',
        'DELETE FROM audit.transactions WHERE number IN (SELECT number FROM audit.chain ORDER BY place DESC LIMIT 2)',
        'DELETE FROM audit.commits WHERE number IN (SELECT number FROM audit.chain ORDER BY place DESC LIMIT 2)',
        'DELETE FROM audit.chain WHERE place > (SELECT max(place) - 2 FROM audit.chain)',
      ],
      /its end was cut off/,
    ],
    [
      'a value, with every hash made anew',
      [`UPDATE audit.changes SET new = new || '{"price": 1}' WHERE operation = 'INSERT'`, anew],
      /changed and sealed anew/,
    ],
    ['a trigger', ['ALTER TABLE public.products DISABLE TRIGGER audit_update'], /is switched off: changes are not recorded/],
    ['a trigger that is gone', ['DROP TRIGGER audit_delete ON public.products'], /is missing: changes are not recorded/],
    [
      'what is excluded',
      [`UPDATE audit.tables SET excluded = '{price}' WHERE name = 'public.products'`],
      /excluded is not what the last audit.attach/,
    ],
    ['that it is watched', [`UPDATE audit.tables SET is_attached = false WHERE name = 'public.products'`], /is_attached is not what/],
    [
      'which table is which',
      [
        `CREATE TABLE public.swapped AS SELECT id, relation FROM audit.tables`,
        `UPDATE audit.tables SET relation = id::oid::regclass`,
        `UPDATE audit.tables t SET relation = (SELECT s.relation FROM public.swapped s WHERE s.id <> t.id)`,
        `DROP TABLE public.swapped`,
      ],
      /relation is not what the last audit.attach/,
    ],
    ['a commit of an hour ago', added(`now() - interval '1 h'`), /was sealed after links that the log told of/],
    [
      'a change with a place before others',
      added('now()', '', 'place', '1.5'),
      /says to belong before a change that is none of the same row/,
    ],
    [
      'a change with a number before others',
      added(
        'now()',
        'OVERRIDING SYSTEM VALUE',
        'seq',
        '(SELECT min(g) FROM generate_series(1, 99) g WHERE g NOT IN (SELECT seq FROM audit.changes))',
      ),
      /has a place before changes that were sealed when it began/,
    ],
  ])('%s is found', async (_what, statements, says) => {
    // On a copy of the rows that is thrown away: verify reads in another SQL transaction.
    const kept = ['changes', 'transactions', 'commits', 'chain', 'unsealed', 'tables'];
    const setTriggers = async (how: 'DISABLE' | 'ENABLE ALWAYS'): Promise<void> => {
      for (const table of kept.slice(0, 4))
        for (const trigger of [`${table}_append_only`, `${table}_not_truncated`])
          await on.admin.query(`ALTER TABLE audit.${table} ${how} TRIGGER ${trigger}`);
      await on.admin.query(`ALTER TABLE audit.tables ${how} TRIGGER tables_by_attach`);
    };
    for (const table of kept) await on.admin.query(`CREATE TABLE public.kept_${table} AS TABLE audit.${table}`);
    await setTriggers('DISABLE');
    await on.admin.query('ALTER TABLE audit.transactions DISABLE TRIGGER transactions_commit');
    try {
      for (const statement of statements) await on.admin.query(statement);
      const found = await findings();
      expect(found.some((finding) => finding.startsWith('audit trail: ') && says.test(finding))).toBe(true);
    } finally {
      for (const table of kept) {
        await on.admin.query(`TRUNCATE audit.${table}`);
        await on.admin.query(
          `INSERT INTO audit.${table} ${['changes', 'transactions', 'tables'].includes(table) ? 'OVERRIDING SYSTEM VALUE ' : ''}TABLE public.kept_${table}`,
        );
        await on.admin.query(`DROP TABLE public.kept_${table}`);
      }
      await on.admin.query('ALTER TABLE audit.transactions ENABLE ALWAYS TRIGGER transactions_commit');
      await setTriggers('ENABLE ALWAYS');
      await on.admin.query("SELECT audit.cover('public.products')");
    }
    expect(await findings()).toEqual([]);
  });

  it.each([
    [
      'DROP TRIGGER commits_append_only ON audit.commits',
      /trigger commits_append_only is missing/,
      'CREATE TRIGGER commits_append_only BEFORE UPDATE OR DELETE ON audit.commits FOR EACH ROW EXECUTE FUNCTION audit.refuse_change(); ALTER TABLE audit.commits ENABLE ALWAYS TRIGGER commits_append_only',
    ],
    [
      "ALTER FUNCTION audit.record_change() SET timezone = 'Asia/Kolkata'",
      /function audit.record_change has the settings/,
      "ALTER FUNCTION audit.record_change() SET timezone = 'UTC'",
    ],
    [
      'GRANT INSERT ON audit.changes TO book_keeper_app',
      /book_keeper_app may INSERT on audit.changes/,
      'REVOKE INSERT ON audit.changes FROM book_keeper_app',
    ],
    [
      'GRANT EXECUTE ON FUNCTION audit.enter TO PUBLIC',
      /function audit.enter may be executed by PUBLIC/,
      'REVOKE EXECUTE ON FUNCTION audit.enter FROM PUBLIC',
    ],
  ])('what keeps it append-only is looked at: %s', async (statement, says, back) => {
    await on.admin.query(statement);
    const found = await findings();
    await on.admin.query(back);
    expect(found.filter((finding) => says.test(finding))).toHaveLength(1);
    expect(await findings()).toEqual([]);
  });
});
