/**
 * Every statement that the service sends while it does everything it can, as the server logged it: each one on a table of a
 * book's own binds the book (DESIGN section 7, so that the same statements run on Citus), and none uses what Citus or a
 * failover would break. A new statement that forgets the book fails here, whoever wrote it.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { projections, verifyBooks } from '#ledger';
import { connect, openPool } from '#postgres';
import { type Api, entry, openBook, startApi } from '../e2e/api';
import { type DurableServer, durableServer } from '../support/database';

const classes = JSON.parse(readFileSync(join(__dirname, '..', '..', 'migrations', 'table-classes.json'), 'utf8')) as Record<
  string,
  { class: 'tenant' | 'reference' | 'local' }
>;
const tenantTables = [
  ...Object.keys(classes).filter((table) => classes[table]?.class === 'tenant'),
  ...projections.flatMap(({ tables }) => tables.map(({ name }) => `projections.${name}`)),
];

/** Statements that see several books on purpose (DESIGN section 7), by what is unmistakable in them, with the reason. */
const allowed: readonly [marks: RegExp, why: string][] = [
  [
    /FROM log\.book_heads h[\s\S]*projections\.cursors/,
    'the sweep for books whose head moved, and the lag that metrics and readiness show',
  ],
  [/FROM log\.book_heads h LEFT JOIN log\.trees/, 'the sweep for books whose log is not sealed or signed up to its head'],
  [/^BEGIN [A-Z ]+; LOCK TABLE [a-z_., ]+ IN ACCESS SHARE MODE$/, 'readers: so that cursors and tables are of the same sets'],
  [/^SELECT to_regclass\(/, 'whether a table is there, of which it reads nothing'],
  [/^WITH RECURSIVE ids AS \(\s+\(SELECT book_id FROM /, 'verify: rows of books that do not exist'],
];

let server: DurableServer;
let api: Api;
let statements: string[];

/** What the service's login has sent, one text each, without what the server added. */
function logged(file: string): string[] {
  const texts: string[] = [];
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const start = /^bk_test_service\|LOG: {2}(?:statement|execute [^:]+): (.*)$/.exec(line);
    if (start !== null) texts.push(start[1] ?? '');
    else if (line.startsWith('\t') && texts.length > 0) texts[texts.length - 1] += `\n${line.slice(1)}`;
  }
  return [...new Set(texts)];
}

beforeAll(async () => {
  server = await durableServer();
  const admin = await connect(server.adminUrl);
  await admin.query("ALTER SYSTEM SET log_line_prefix = '%u|'");
  await admin.query("ALTER SYSTEM SET log_statement = 'all'");
  await admin.query('SELECT pg_reload_conf()');
  const { rows } = await admin.query<{ directory: string }>("SELECT current_setting('data_directory') AS directory");
  await admin.end();
  const database = { adminUrl: server.adminUrl, appUrl: server.appUrl, name: 'postgres', drop: async () => {} };
  api = await startApi({ READ_WAIT_MS: '20000' }, database);
  await doEverything(api);
  statements = logged(join(dirname(dirname(rows[0]?.directory ?? '')), 'server.log'));
}, 60_000);

afterAll(async () => {
  await api?.close();
  await server?.destroy();
});

/** Every path of the OpenAPI document once at least, so that a new endpoint is seen here too. */
async function doEverything({ get, post, app }: Api): Promise<void> {
  const done = new Set<string>();
  const saw = (method: string, template: string): void => void done.add(`${method} ${template}`);
  const book = await openBook(api, 'logged');
  saw('post', '/v1/books');
  saw('post', '/v1/books/{book}/accounts');
  const posting = async (path: string, body: object, template = path): Promise<{ id: string }> => {
    const { status, body: answer, text } = await post(`${book}${path}`, body);
    if (status >= 400) throw new Error(`${path}: ${status} ${text}`);
    saw('post', `/v1/books/{book}${template}`);
    return answer;
  };
  await posting('/currencies', { code: 'POINTS', scale: 0 });
  await posting('/journals', { journalCode: 'SALES', name: 'Sales', type: 'sales' });
  await posting('/accounts', { code: 'Spare', name: 'Spare', type: 'asset' });
  const first = await posting('/journal-entries', entry());
  const second = await posting('/journal-entries', entry('7.00'));
  await post(`${book}/journal-entries`, entry('7.00'), { key: 'twice' });
  await post(`${book}/journal-entries`, entry('7.00'), { key: 'twice' });
  await post(`${book}/journal-entries`, entry('8.00'), { key: 'twice' });
  await post(`${book}/journal-entries`, entry('1.00', {}, ['Nowhere', 'Spare']));
  await posting('/journal-entries/batch', { atomic: true, entries: [entry('1.00'), entry('2.00')] });
  await posting('/journal-entries/batch', { atomic: false, entries: [entry('1.00'), entry('2.00')] });
  await posting(`/journal-entries/${first.id}/reverse`, { reason: 'spec' }, '/journal-entries/{id}/reverse');
  await posting(`/journal-entries/${second.id}/correct`, { reason: 'spec', ...entry('9.00') }, '/journal-entries/{id}/correct');

  // Another process, which has not seen the first answer acknowledged.
  const other = await startApi({ PROJECT: 'off' }, api.database);
  expect((await other.post(`${book}/journal-entries`, entry('7.00'), { key: 'twice' })).headers['idempotency-replayed']).toBe('true');
  await other.close();

  const document = app.getHttpAdapter().getInstance();
  const { paths } = (await document.inject({ method: 'GET', url: '/openapi.json' })).json() as {
    paths: Record<string, Record<string, unknown>>;
  };
  const { body } = await get(`${book}/accounts/Assets%3ACash`);
  for (const [template, methods] of Object.entries(paths)) {
    const path = template
      .replace('{book}', 'logged')
      .replace('{code}', 'Assets%3ACash')
      .replace('{aggregateType}', 'Account')
      .replace('{format}', 'hledger')
      .replace('{path}', '0/000.p/3')
      .replace('{aggregateId}', String(body.id))
      .replace('{id}', first.id);
    if ('get' in methods) {
      for (const query of [
        '',
        '?asOf=2026-06-30',
        '?knownAt=12',
        '?asOf=2026-06-30&knownAt=12',
        `?knownAt=${new Date().toISOString()}`,
        '?from=2026-01-01&to=2026-12-31',
        // Reports
        '?from=2026-01-01&to=2026-12-31&closing=exclude&dimension=costCentre:1&dimension=project:2',
        '?from=2026-01-01&to=2026-12-31&since=9',
        '?from=2026-01-01&to=2026-12-31&format=csv',
        // The Merkle log
        '?position=3',
        '?from=2&to=5',
        '?size=2',
        '?period=2026&format=hledger',
      ])
        await get(`${path}${query}`);
      saw('get', template);
    }
    for (const method of Object.keys(methods)) {
      if (done.has(`${method} ${template}`)) continue;
      // Changes of an account, and whatever comes later: refused or not, it reaches the database.
      await post(path, { code: 'Assets:Cash 2', name: 'new name', reason: 'spec' });
    }
  }
  await get('/metrics');
  await get('/health/ready');
  const pool = openPool(server.appUrl, { max: 2 });
  try {
    await verifyBooks(pool, { books: ['logged'] });
  } finally {
    await pool.end();
  }
}

test('the log holds what it should: the append, the queries, the projector, the verification', () => {
  expect(statements.length).toBeGreaterThan(25);
  const parts = [
    'log.append(',
    'log.touch_receipt(',
    'INSERT INTO projections.running_totals',
    'FROM log.events',
    'log.seal(',
    'FROM log.checkpoints',
    'FROM log.tiles',
    'FROM projections.account_lines',
    'DECLARE',
  ];
  expect(parts.filter((part) => !statements.some((text) => text.includes(part)))).toEqual([]);
});

test('every statement on a table of a book binds the book', () => {
  const wrong = statements.filter((text) => {
    const tables = tenantTables.filter((table) => new RegExp(`\\b${table.replace('.', '\\.')}\\b`).test(text));
    if (tables.length === 0 || allowed.some(([marks]) => marks.test(text))) return false;
    const reads = tables.some((table) => new RegExp(`(FROM|JOIN|UPDATE) ${table.replace('.', '\\.')}\\b`).test(text));
    // A cursor takes no parameters, so verify writes the literal.
    const bound = /\bbook_id = (\$\d+|'logged')/.test(text);
    const written = /INSERT INTO [\s\S]*\bbook_id\b[\s\S]*\$\d+/.test(text);
    return reads ? !bound : !(bound || written);
  });
  expect(wrong).toEqual([]);
});

test('no statement uses what a cluster or a failover would break', () => {
  const forbidden = /pg_(try_)?advisory|\bLISTEN\b|\bNOTIFY\b|pg_notify|\bnextval\b|ISOLATION LEVEL SERIALIZABLE|\bxmin\b|\bctid\b/i;
  expect(statements.filter((text) => forbidden.test(text))).toEqual([]);
});
