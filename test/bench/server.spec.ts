/** A bench on a server that somebody else keeps leaves nothing on it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, startEmbeddedPostgres } from '#postgres';
import { BenchServer } from '../../bench/server';

it('drops its databases and its login, also those of a case that did not', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'bench-spec-'));
  const postgres = await startEmbeddedPostgres({ dir, durable: true });
  const before = process.env.BENCH_DATABASE_URL;
  process.env.BENCH_DATABASE_URL = postgres.url;
  const client = await connect(postgres.url);
  const names = async (): Promise<string[]> => {
    const { rows } = await client.query<{ name: string }>(
      `SELECT datname::text AS name FROM pg_database UNION ALL SELECT rolname::text FROM pg_roles
        WHERE rolname NOT LIKE 'book\\_keeper\\_%' AND rolname <> 'audit_trail_owner' ORDER BY 1`,
    );
    return rows.map(({ name }) => name);
  };
  try {
    const found = await names();
    const server = await BenchServer.start();
    const dropped = await server.database('spec', async () => {});
    await server.database('spec', async () => {});
    await dropped.drop();
    const service = await connect(dropped.url.replace(dropped.name, 'bench_spec'));
    expect((await service.query('SELECT session_user::text ~ $1 AS ours', ['^bench_[0-9a-f]{12}$'])).rows).toEqual([{ ours: true }]);
    await service.end();
    expect(await names()).toHaveLength(found.length + 3);
    await server.stop();
    expect(await names()).toEqual(found);

    // A run that is ended while a database is being made.
    const ended = await BenchServer.start();
    const making = ended.database('spec', async () => {});
    await Promise.all([expect(making).rejects.toThrow(), ended.stop()]);
    await expect(ended.empty('bench_late')).rejects.toThrow('the run was ended');
    expect(await names()).toEqual(found);
  } finally {
    if (before === undefined) delete process.env.BENCH_DATABASE_URL;
    else process.env.BENCH_DATABASE_URL = before;
    await client.end();
    await postgres.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}, 60_000);
