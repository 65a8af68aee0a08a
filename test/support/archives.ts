/** What specs of cold storage have in common: a place for files, and the login that takes events out. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '#postgres';
import type { TestDatabase } from './database';

export interface TestArchive {
  readonly directory: string;
  /** For a service that moves events into the directory. */
  readonly settings: Readonly<Record<string, string>>;
  remove(): Promise<void>;
}

export async function testArchive(database: Pick<TestDatabase, 'adminUrl'>): Promise<TestArchive> {
  const directory = mkdtempSync(join(tmpdir(), 'book-keeper-archive-'));
  // Roles belong to the server, which other specs use too.
  const login = `bk_test_mover_${randomBytes(4).toString('hex')}`;
  const password = randomBytes(16).toString('hex');
  const asAdmin = async (text: string): Promise<void> => {
    const admin = await connect(database.adminUrl);
    await admin.query(text).finally(() => admin.end());
  };
  await asAdmin(`CREATE ROLE ${login} LOGIN PASSWORD '${password}' IN ROLE book_keeper_archiver`);
  const url = Object.assign(new URL(database.adminUrl), { username: login, password }).href;
  return {
    directory,
    settings: { ARCHIVE_URL: directory, ARCHIVER_DATABASE_URL: url },
    async remove() {
      await asAdmin(`DROP ROLE ${login}`);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
