/**
 * What sealing texts about persons costs: a field sealed and opened over the cipher alone, keys made and found, entries posted with two
 * sealed texts over the same entries in plain form, pages of entries revealed, and a key destroyed among 100,000.
 */
import { createCipheriv, randomBytes } from 'node:crypto';
import { EventStore } from '#event-store';
import { catalogue, Ledger, Personal, Queries, readConfig } from '#ledger';
import { connect, openPool } from '#postgres';
import { keyName, MasterKeys, openText, parseSealed, type SealedText, type SubjectKey, SubjectKeys, sealText, subjectKey } from '#privacy';
import type { BenchServer } from './server';
import { median } from './statistics';
import { bookIds, booksDatabase, type Figures } from './write-path';
import { codeOf } from './writer';

const fields = 50_000;
const persons = 100_000;
const entries = 4_000;
const callers = 64;
const rounds = 5;
const text = 'Refund for Jane Roe, Hauptstraße 1, Berlin';

export async function runPrivacy(server: BenchServer): Promise<[string, Figures][]> {
  const database = await booksDatabase(server);
  const pool = openPool(database.url, { max: 8 });
  try {
    const keys = new SubjectKeys(pool, new MasterKeys(pool, { ...readConfig({}), MASTER_KEY: `1:${randomBytes(32).toString('base64')}` }));
    return [
      ['privacy-field', perField()],
      ['privacy-keys', await perKey(keys)],
      ['privacy-posting', await posting(database.url, keys)],
      // Last: it fills the table.
      ['privacy-destroy', await destroying(keys, (statement) => database.admin.query(statement))],
    ];
  } finally {
    await pool.end();
    await database.drop();
  }
}

/** Microseconds of one run of `work` for each of many fields: the median of some rounds. */
function micros(work: (index: number) => unknown): number {
  const found: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    for (let index = 0; index < fields; index++) work(index);
    found.push(((performance.now() - started) * 1_000) / fields);
  }
  return median(found);
}

function perField(): Figures {
  const key = subjectKey(randomBytes(32));
  const place = {
    bookId: 'b',
    subjectId: '0198c0de-0000-7000-8000-000000000001',
    scope: 'entries-2026',
    eventId: '0198c0de-0000-7000-8000-000000000002',
    path: 'description',
  };
  const sealed = sealText(key, place, text);
  const parsed = parseSealed(sealed) as SealedText;
  const cipherMicros = micros(() => {
    const cipher = createCipheriv('aes-256-gcm', key.encryption, randomBytes(12));
    return [cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()];
  });
  const sealMicros = micros(() => sealText(key, place, text));
  const openMicros = micros(() => openText(key, 'b', parsed));
  return {
    cipherMicros,
    sealMicros,
    openMicros,
    overCipher: sealMicros / cipherMicros,
    bytesPlain: Buffer.byteLength(text),
    bytesSealed: sealed.length,
  };
}

let serial = 0;
const subject = (): string => `00000000-0000-5000-8000-${String(++serial).padStart(12, '0')}`;

async function perKey(keys: SubjectKeys): Promise<Figures> {
  const each = async (count: number, work: () => Promise<unknown>): Promise<number> => {
    const started = performance.now();
    for (let index = 0; index < count; index++) await work();
    return ((performance.now() - started) * 1_000) / count;
  };
  const some = Array.from({ length: 100 }, subject);
  const wanted = some.map((subjectId) => ({ subjectId, scope: 'identity' }));
  const makeMicros = await each(500, () => keys.obtain('b', [{ subjectId: subject(), scope: 'identity' }]));
  await keys.obtain('b', wanted);
  const findOneMicros = await each(500, () => keys.find('b', wanted.slice(0, 1)));
  const findHundredMicros = await each(100, () => keys.find('b', wanted));
  return { makeMicros, findOneMicros, findHundredMicros };
}

async function posting(url: string, keys: SubjectKeys): Promise<Figures> {
  const pool = openPool(url, { max: 4 });
  const store = new EventStore(pool, catalogue);
  const personal = new Personal(keys, store);
  const ledger = new Ledger(store, { connect: () => connect(url, { pipeline: true }), config: readConfig({}), release: 'bench', personal });
  const [bookId = ''] = bookIds;
  try {
    const context = () => ({ key: `privacy-${++serial}`, userId: 'bench', source: 'job' as const });
    const parties: string[] = [];
    for (let index = 0; index < 100; index++) {
      const { status, body } = await ledger.execute(bookId, { type: 'OpenParty', kind: 'customer', name: `${index}` }, context());
      if (status !== 201) throw new Error(body);
      parties.push((JSON.parse(body) as { id: string }).id);
    }
    const run = async (sealed: boolean): Promise<number> => {
      const started = performance.now();
      let left = entries;
      const post = async (): Promise<void> => {
        while (left-- > 0) {
          const said = sealed ? ({ subject: parties[left % parties.length], value: text } as unknown as string) : text;
          const line = (account: string, side: 'debit' | 'credit') => ({
            account,
            side,
            amount: '1',
            currency: 'EUR',
            description: side === 'debit' ? said : undefined,
          });
          const { status, body } = await ledger.execute(
            bookId,
            {
              type: 'PostEntry',
              effectiveDate: '2026-03-01',
              description: said,
              lines: [line(codeOf(0), 'debit'), line(codeOf(1), 'credit')],
            },
            context(),
          );
          if (status !== 201) throw new Error(body);
        }
      };
      await Promise.all(Array.from({ length: callers }, post));
      return (entries * 1_000) / (performance.now() - started);
    };
    const rates = { plain: [] as number[], sealed: [] as number[] };
    await run(true);
    for (let round = 0; round < rounds; round++)
      for (const kind of round % 2 === 0 ? (['plain', 'sealed'] as const) : (['sealed', 'plain'] as const))
        rates[kind].push(await run(kind === 'sealed'));
    const [plainPerSecond, sealedPerSecond] = [median(rates.plain), median(rates.sealed)];
    const page = (await store.readAll(bookId, (await store.head(bookId)).position - 300, 300)).map(({ data }) => data);
    const queries = new Queries(store, pool, { readWaitMs: 0 });
    await queries.book(bookId);
    const revealMicros: number[] = [];
    for (let round = 0; round < 50; round++) {
      const started = performance.now();
      await personal.reveal(bookId, page, 'open');
      revealMicros.push((performance.now() - started) * 1_000);
    }
    return {
      plainPerSecond,
      sealedPerSecond,
      overPlain: sealedPerSecond / plainPerSecond,
      revealHundredEntriesMicros: median(revealMicros),
    };
  } finally {
    await ledger.close();
    await pool.end();
  }
}

async function destroying(keys: SubjectKeys, statement: (text: string) => Promise<unknown>): Promise<Figures> {
  await statement(
    `INSERT INTO privacy.subject_keys (book_id, subject_id, scope, master_number, created_at, fingerprint, wrapped)
     SELECT 'many', gen_random_uuid(), 'identity', 1, now(), decode(repeat('ab', 32), 'hex'), decode(repeat('cd', 60), 'hex') FROM generate_series(1, ${persons})`,
  );
  const found: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const id = subject();
    const made: ReadonlyMap<string, SubjectKey> = await keys.obtain('many', [{ subjectId: id, scope: 'identity' }]);
    if (!made.has(keyName(id, 'identity'))) throw new Error('no key');
    const started = performance.now();
    await keys.destroy('many', id, ['identity']);
    found.push(performance.now() - started);
  }
  return { keys: persons, destroyMs: median(found) };
}
