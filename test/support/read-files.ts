/** A file that a spec of an import format writes over and over, and what is read from it or said against it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LedgerError } from '#domain';

type Reader<Row> = (file: string) => AsyncIterable<readonly Row[]>;

export interface ReadFile {
  /** Removed after the specs, with all that is in it. */
  readonly directory: string;
  readonly file: string;
  read<Row>(reader: Reader<Row>, content: string | Buffer): Promise<Row[]>;
  /** `CODE: MESSAGE` with FILE in place of the path; `read` when nothing was said. */
  refusal(reader: Reader<unknown>, content: string | Buffer): Promise<string>;
}

/** To be called where `afterAll` may be: at the top of a spec file. */
export function readFileOf(name: string): ReadFile {
  const directory = mkdtempSync(join(tmpdir(), 'book-keeper-read-'));
  const file = join(directory, name);
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  async function read<Row>(reader: Reader<Row>, content: string | Buffer): Promise<Row[]> {
    writeFileSync(file, content);
    const rows: Row[] = [];
    for await (const some of reader(file)) rows.push(...some);
    return rows;
  }
  return {
    directory,
    file,
    read,
    async refusal(reader, content) {
      try {
        await read(reader, content);
      } catch (error) {
        if (error instanceof LedgerError) return `${error.code}: ${error.message.replace(file, 'FILE')}`;
        throw error;
      }
      return 'read';
    },
  };
}
