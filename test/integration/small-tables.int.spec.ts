/**
 * A session plans a statement once. Made while the tables hold a few rows, and PostgreSQL knows that they do (autovacuum or an
 * administrator has counted them), a plan that reads them whole looks cheapest, and is quadratic once a thousand entries are
 * folded at a time. What counts is rows read, not time.
 */
import { connect } from '#postgres';
import { type TestDatabase, testDatabase } from '../support/database';
import { openTestService } from '../support/services';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.drop());

it('a book that was small when its plans were made is folded by look-ups when it has grown', async () => {
  const admin = await connect(database.adminUrl);
  const { service, close } = await openTestService(database.appUrl, { PROJECT: 'off', DEMO_BOOK: 'off' });
  const send = async (key: string, command: Parameters<typeof service.ledger.execute>[1]): Promise<void> => {
    const { status, body } = await service.ledger.execute('grown', command, { key, userId: 'test', source: 'job' });
    if (status >= 400 || body.includes('problem')) throw new Error(body);
  };
  const accounts = Array.from({ length: 1_000 }, (_, index) => `Assets:${index}`);
  const entries = (from: number, count: number) =>
    Array.from({ length: count }, (_, index) => ({
      effectiveDate: '2026-01-15',
      description: 'Invoice',
      lines: [
        { account: accounts[(from + index) % accounts.length] as string, side: 'debit' as const, amount: '1', currency: 'EUR' },
        { account: accounts[(from + index + 1) % accounts.length] as string, side: 'credit' as const, amount: '1', currency: 'EUR' },
      ],
    }));
  try {
    await send('open', {
      type: 'OpenBook',
      id: 'grown',
      name: 'Grown',
      baseCurrency: 'EUR',
      fiscalYearStart: '01-01',
      startsOn: '2026-01-01',
    });
    await Promise.all(accounts.map((code) => send(code, { type: 'OpenAccount', code, name: code, accountType: 'asset' })));
    await send('a few', { type: 'PostEntries', atomic: true, entries: entries(0, 3) });
    while ((await service.projector.fold('grown')) !== 'done');
    await admin.query('VACUUM ANALYZE');
    for (let batch = 0; batch < 3; batch++)
      await send(`many ${batch}`, { type: 'PostEntries', atomic: true, entries: entries(batch * 900, 900) });
    while ((await service.projector.fold('grown')) !== 'done');
    // Ended sessions have told what they read.
    await close();
    const read = async (): Promise<{ inserted: number; scanned: number }> => {
      const { rows } = await admin.query<{ inserted: number; scanned: number }>(
        `SELECT sum(n_tup_ins)::int8 AS inserted, sum(seq_tup_read)::int8 AS scanned FROM pg_stat_user_tables
          WHERE schemaname = 'projections' AND relname <> 'cursors'`,
      );
      return rows[0] as { inserted: number; scanned: number };
    };
    while ((await read()).inserted < 2_700 * 3);
    // VACUUM reads by itself; so much is no scan per row.
    expect((await read()).scanned).toBeLessThan(20_000);
  } finally {
    await admin.end();
  }
}, 120_000);
