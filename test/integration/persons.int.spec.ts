/**
 * Persons beside everything else that happens: entries that name them while they are erased, a process that ends between the event and
 * the key, a master key that is out of reach, and the command line.
 */
import { randomBytes } from 'node:crypto';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JournalEntryPosted, PersonErased, PostEntry } from '#domain';
import type { Answer, Command, CommandContext, Service } from '#ledger';
import { startCommand } from '../support/cli';
import { openTestService, type ServiceOnDatabase, serviceOnDatabase } from '../support/services';

let on: ServiceOnDatabase;
let service: Service;
const bookId = 'people';
const settings = { RETENTION_MS: '86400000', CHECKPOINT_MS: '100' };

beforeAll(async () => {
  on = await serviceOnDatabase(settings);
  ({ service } = on);
  await done({ type: 'OpenBook', id: bookId, name: 'People', baseCurrency: 'EUR', fiscalYearStart: '01-01' });
  for (const [code, control] of [
    ['Receivable', 'customer'],
    ['Sales', undefined],
  ] as const)
    await done({ type: 'OpenAccount', code, name: code, accountType: 'asset', control });
});
afterAll(() => on?.end());

let serial = 0;
const context = (): CommandContext => ({ key: `persons-${++serial}`, userId: service.bootstrapKey.id, source: 'REST' });
const execute = (command: Command): Promise<Answer> => service.execute(bookId, command, context());

async function done(command: Command): Promise<Record<string, never> & { id: string }> {
  const { status, body } = await execute(command);
  if (status >= 400) throw new Error(`${command.type}: ${body}`);
  return JSON.parse(body) as Record<string, never> & { id: string };
}

const opened = async (name = 'Jane Roe'): Promise<string> =>
  (await done({ type: 'OpenParty', kind: 'customer', name, email: 'j@example.org' })).id;

const sale = (party: string, description: unknown = 'sale', effectiveDate = '2026-03-01'): PostEntry => ({
  type: 'PostEntry',
  effectiveDate,
  description: description as string,
  lines: [
    { account: 'Receivable', side: 'debit', amount: '1', currency: 'EUR', party: { id: party, kind: 'customer' } },
    { account: 'Sales', side: 'credit', amount: '1', currency: 'EUR' },
  ],
});
const erase = (party: string) => ({ type: 'ErasePerson', party, legalBasis: 'GDPR Art. 17', reason: 'asked' }) as const;

describe('entries that name a person while the person is erased', () => {
  it('are before the erasure, and then what identifies the person stays, or after it', async () => {
    let [kept, destroyed] = [0, 0];
    for (let round = 0; round < 25; round++) {
      const party = await opened();
      const [answer] = await Promise.all([
        (async () => {
          await new Promise((resolve) => setTimeout(resolve, round % 5));
          return execute(erase(party));
        })(),
        ...Array.from({ length: 3 }, async (_, index) => {
          await new Promise((resolve) => setTimeout(resolve, round * (index + 1) * 6));
          return execute(sale(party));
        }),
      ]);
      expect([round, answer.status]).toEqual([round, 200]);
      const { erased } = JSON.parse(answer.body) as { erased: PersonErased['keys'] };
      const events = await service.store.readAll(bookId, 0, 100_000);
      const at = events.find(({ streamId, eventType }) => streamId === party && eventType === 'PersonErased')?.position ?? 0;
      const named = events.some(
        ({ eventType, current, position }) =>
          position < at &&
          eventType === 'JournalEntryPosted' &&
          (current as unknown as JournalEntryPosted).lines.some((line) => line.party?.id === party),
      );
      const identity = erased.some(({ scope }) => scope === 'identity');
      expect([round, named, identity]).toEqual([round, named, !named]);
      if (identity) destroyed++;
      else kept++;
    }
    // Both have happened, or this has tried nothing.
    expect([kept > 0, destroyed > 0]).toEqual([true, true]);
  });

  it('keep texts that speak of the person and name nobody, too: in an entry, a posted draft, a reversal; drafts leave none behind', async () => {
    const [kept, other] = [await opened(), await opened('Somebody Else')];
    const marked = { subject: kept, value: 'for Jane' };
    const plan = async () => {
      const { position } = await service.store.head(bookId);
      const keys = (await service.subjectKeys.list(bookId, kept)).map(({ scope, fingerprint }) => ({ fingerprint, scope }));
      return { keys, retained: [], position };
    };
    const { type: _type, ...content } = sale(other, marked);
    const draft = await done({ ...content, type: 'CreateDraft' });
    const entry = await done(sale(other, marked));
    const [first, ...lines] = sale(other).lines;
    const posts: readonly (() => Promise<unknown>)[] = [
      // The key of another year may be newer than what was found out.
      () => done({ ...content, type: 'CreateDraft', effectiveDate: '2027-01-01' }),
      () => done({ ...content, type: 'ReviseDraft', entryId: draft.id }),
      () => done(sale(other, marked)),
      () => done({ ...sale(other), lines: [first as (typeof lines)[number], { ...lines[0], description: marked } as never] }),
      () => done({ ...sale(other), metadata: { contact: [{ name: marked }] } }),
      () => done({ type: 'ReverseEntry', entryId: entry.id, reason: 'wrong' }),
      async () => {
        await done({ type: 'SubmitDraft', entryId: draft.id });
        const { status } = await service.execute(bookId, { type: 'ApproveDraft', entryId: draft.id }, { ...context(), userId: 'chief' });
        expect(status).toBeLessThan(300);
      },
    ];
    for (const [index, post] of posts.entries()) {
      const computed = await plan();
      await post();
      for (const command of [erase(kept), { type: 'EndRetention', party: kept, reason: 'over' } as const])
        expect([
          index,
          command.type,
          await service.ledger.execute(bookId, { ...command, computed }, context()).catch(({ code }: { code: string }) => code),
        ]).toEqual([index, command.type, 'books_moving']);
    }
  });

  it('get no text about somebody who was erased a moment ago, in a batch of others neither', async () => {
    const [gone, there] = [await opened(), await opened()];
    await done(erase(gone));
    const entries = [there, gone].map((party) => {
      const { type: _type, ...entry } = sale(party, { subject: party, value: 'for Jane' });
      return entry;
    });
    await expect(execute({ type: 'PostEntries', atomic: false, entries })).rejects.toMatchObject({ code: 'person_erased' });
    const { status, body } = await execute(sale(there, { subject: there, value: 'for Jane' }));
    expect([status, body.includes('"number"')]).toEqual([201, true]);
  });
});

it('an erasure whose process ended before the key was destroyed is finished by the next one, and by a repeat', async () => {
  for (const finish of ['look', 'repeat'] as const) {
    const party = await opened();
    const sent = context();
    const { position } = await service.store.head(bookId);
    const keys = (await service.subjectKeys.list(bookId, party)).map(({ scope, fingerprint }) => ({ fingerprint, scope }));
    // What a process does up to the moment in which it ends.
    const computed = { keys, retained: [], position };
    const answer = await service.ledger.execute(bookId, { ...erase(party), computed }, sent);
    expect(answer.status).toBe(200);
    expect((await service.subjectKeys.list(bookId, party)).length).toBe(2);
    if (finish === 'look') {
      const next = await openTestService(on.database.appUrl, settings);
      try {
        for (let tries = 0; tries < 100 && (await service.subjectKeys.list(bookId, party)).length > 0; tries++)
          await next.service.persons.look();
      } finally {
        await next.close();
      }
    } else expect(await service.execute(bookId, erase(party), sent)).toEqual({ ...answer, replayed: true });
    expect(await service.subjectKeys.list(bookId, party)).toEqual([]);
  }
});

it('without the master key nothing is sealed or read, plain entries go on, and what was shown masked is refused too', async () => {
  const party = await opened();
  await done(sale(party, { subject: party, value: 'for Jane' }));
  const other = await openTestService(on.database.appUrl, { ...settings, MASTER_KEY: `1:${randomBytes(32).toString('base64')}` });
  try {
    const sent = (command: Command) => other.service.execute(bookId, command, context());
    await expect(sent({ type: 'OpenParty', kind: 'customer', name: 'x' })).rejects.toMatchObject({
      code: 'keys_unavailable',
      details: { retryAfter: 1 },
    });
    await expect(sent(sale(party, { subject: party, value: 'x' }))).rejects.toMatchObject({ code: 'keys_unavailable' });
    expect((await sent(sale(party))).status).toBe(201);
    await expect(other.service.persons.party(bookId, party)).rejects.toMatchObject({ code: 'keys_unavailable' });
    const [event] = (await service.store.readStream(bookId, party)).slice(-1);
    await expect(other.service.personal.reveal(bookId, event?.current, 'open')).rejects.toMatchObject({ code: 'keys_unavailable' });
  } finally {
    await other.close();
  }
});

describe('keys that are lost, which nobody has destroyed', () => {
  it('are told from erased ones, named, and nothing is made in their place; a backup brings all back', async () => {
    const opening = context();
    const open = { type: 'OpenParty', kind: 'customer', name: 'Lost Key', email: 'l@example.org' } as const;
    const answer = await service.execute(bookId, open, opening);
    const { id: party } = JSON.parse(answer.body) as { id: string };
    const entry = await done(sale(party, { subject: party, value: 'for Lost Key' }));
    const shown = async (as: 'open' | 'masked') => {
      const { name, email } = await service.personal.reveal(bookId, await service.persons.party(bookId, party), as);
      const { description } = await service.personal.reveal(bookId, await service.queries.entry(bookId, entry.id), as);
      return [name, email, description];
    };
    const before = [await shown('open'), await shown('masked')];
    await on.admin.query('CREATE TABLE public.backup AS SELECT * FROM privacy.subject_keys WHERE subject_id = $1', [party]);
    await on.admin.query('DELETE FROM privacy.subject_keys WHERE subject_id = $1', [party]);

    for (const as of ['open', 'masked'] as const) expect(await shown(as)).toEqual(Array(3).fill('[key missing]'));
    const unavailable = { code: 'keys_unavailable', message: expect.stringContaining('restore the backup of the keys') };
    await expect(service.execute(bookId, open, opening)).rejects.toMatchObject(unavailable);
    await expect(execute({ type: 'ChangeParty', party, name: 'Another' })).rejects.toMatchObject(unavailable);
    await expect(execute(sale(party, { subject: party, value: 'again' }))).rejects.toMatchObject(unavailable);
    expect(await service.subjectKeys.list(bookId, party)).toEqual([]);
    const problems: string[] = [];
    await service.persons.look(({ error }) => problems.push((error as Error).message));
    expect(problems).toEqual([expect.stringMatching(/^3 keys of persons are missing, and nobody has destroyed them/)]);
    for (const scope of ['contact', 'entries-2026', 'identity']) expect(problems[0]).toContain(`${scope} of ${party}`);

    await on.admin.query('INSERT INTO privacy.subject_keys SELECT * FROM public.backup');
    expect([await shown('open'), await shown('masked')]).toEqual(before);
    expect(await service.execute(bookId, open, opening)).toEqual({ ...answer, replayed: true });
  });

  it('are none of a party that many open at once', async () => {
    for (let round = 0; round < 20; round++) {
      const opening = context();
      const open = { type: 'OpenParty', kind: 'customer', name: 'At Once' } as const;
      const answers = await Promise.all(
        Array.from({ length: 25 }, async (_, index) => {
          await new Promise((resolve) => setTimeout(resolve, index % 5));
          return service.execute(bookId, open, opening);
        }),
      );
      expect(new Set(answers.map(({ status, body }) => `${status} ${body}`)).size).toBe(1);
    }
  });

  it('of one who was erased are none that are lost', async () => {
    const party = await opened();
    await done(erase(party));
    const { name } = await service.personal.reveal(bookId, await service.persons.party(bookId, party), 'open');
    expect(name).toBe('[erased]');
    await expect(execute(sale(party, { subject: party, value: 'x' }))).rejects.toMatchObject({ code: 'person_erased' });
  });
});

describe('texts of a year without a duty', () => {
  it('stay while late entries of that year may come; afterwards it is said that the year is over, not that the person is erased', async () => {
    const own = 'late-texts';
    const sent = async (command: Command) => {
      const { status, body } = await service.execute(own, command, { ...context(), isController: true });
      if (status >= 400) throw new Error(body);
      return JSON.parse(body) as { readonly id: string };
    };
    await sent({ type: 'OpenBook', id: own, name: own, baseCurrency: 'EUR', fiscalYearStart: '01-01', startsOn: '2025-01-01' } as Command);
    for (const code of ['Cash', 'Sales']) await sent({ type: 'OpenAccount', code, name: code, accountType: 'asset' });
    await sent({ type: 'DefineRetention', country: '*', documentType: 'books', years: 0, source: 'ours', reason: 'none' });
    const { id: party } = await sent({ type: 'OpenParty', kind: 'customer', name: 'Jane Roe' });
    const late = (value: string): Command => {
      const { lines, ...entry } = sale(party, { subject: party, value }, '2025-12-30');
      return { ...entry, lines: lines.map(({ party: _party, ...line }, index) => ({ ...line, account: index === 0 ? 'Cash' : 'Sales' })) };
    };
    await sent(late('in time'));
    const { options } = service.persons as unknown as { options: { clock?: () => number } };
    const lookOn = async (day: string): Promise<void> => {
      options.clock = () => Date.parse(`${day}T12:00:00Z`);
      await service.persons.look((problem) => {
        if (problem.bookId === own) throw problem.error;
      });
      delete options.clock;
    };
    await lookOn('2026-01-15');
    await sent(late('in January'));
    await lookOn('2027-01-01');
    await expect(sent(late('too late'))).rejects.toMatchObject({
      code: 'person_erased',
      message: expect.stringMatching(/^texts about party .* in entries of 2025 were erased, .* say it without a text about the person/),
    });
    expect((await service.personal.reveal(own, await service.persons.party(own, party), 'open')).name).toBe('Jane Roe');
  });
});

describe('what a duty covered when a person asked to be forgotten', () => {
  it('is erased when the rules of the day no longer cover it, and nothing is asked for while they do, or while it is held', async () => {
    const own = 'rules-change';
    const sent = async (command: Command) => {
      const { status, body } = await service.execute(own, command, { ...context(), isController: true });
      if (status >= 400) throw new Error(body);
      return JSON.parse(body) as { readonly id: string };
    };
    await sent({ type: 'OpenBook', id: own, name: own, baseCurrency: 'EUR', fiscalYearStart: '01-01' } as Command);
    await sent({ type: 'OpenAccount', code: 'Receivable', name: 'x', accountType: 'asset', control: 'customer' });
    await sent({ type: 'OpenAccount', code: 'Sales', name: 'x', accountType: 'income' });
    const rule = (years: number): Command => ({
      type: 'DefineRetention',
      country: '*',
      documentType: 'books',
      years,
      source: 'ours',
      reason: 'x',
    });
    await sent(rule(5));
    const { id: party } = await sent({ type: 'OpenParty', kind: 'customer', name: 'Jane Roe' });
    const { id: other } = await sent({ type: 'OpenParty', kind: 'customer', name: 'John Roe' });
    for (const one of [party, other]) {
      await sent(sale(one, { subject: one, value: 'for Jane' }));
      await sent(erase(one));
    }
    const { options } = service.persons as unknown as { options: { clock?: () => number } };
    const lookOn = async (day: string): Promise<string> => {
      options.clock = () => Date.parse(`${day}T12:00:00Z`);
      await service.persons.look((problem) => {
        if (problem.bookId === own) throw problem.error;
      });
      delete options.clock;
      return (await service.personal.reveal(own, await service.persons.party(own, party), 'open')).name as string;
    };
    // A longer rule: five years are over, and nobody asks in vain.
    await sent(rule(8));
    expect(await lookOn('2032-01-01')).toBe('Jane Roe');
    // A shorter one, but a court wants everything kept.
    await sent(rule(2));
    for (const one of [party, other]) await sent({ type: 'PlaceHold', party: one, hold: 'case', reason: 'law suit' });
    expect(await lookOn('2029-01-01')).toBe('Jane Roe');
    const { rows } = await on.admin.query("SELECT FROM log.receipts WHERE book_id = $1 AND key LIKE 'retention %'", [own]);
    expect(rows).toHaveLength(0);
    for (const one of [party, other]) await sent({ type: 'ReleaseHold', party: one, hold: 'case', reason: 'won' });
    expect(await lookOn('2028-12-31')).toBe('Jane Roe');
    expect(await lookOn('2029-01-01')).toBe('[erased]');
    // Of all persons of one look the table of keys is written anew together.
    const { rows: rewrites } = await on.admin.query(
      `SELECT rewritten_at, count(*)::int AS keys FROM privacy.destroyed_keys WHERE book_id = $1 AND scope <> 'contact' GROUP BY 1`,
      [own],
    );
    expect(rewrites).toEqual([{ rewritten_at: expect.anything(), keys: 4 }]);
  });
});

describe('ids of parties', () => {
  it('are one in capitals and in small letters: a line in capitals is under its duty and in the report', async () => {
    const party = await opened();
    const { lines, ...entry } = sale(party);
    const free = lines.map((line) => ({ ...line, account: 'Sales' }));
    await done({
      ...entry,
      lines: free.map((line) => (line.party ? { ...line, party: { ...line.party, id: party.toUpperCase() } } : line)),
    });
    expect((await service.persons.preview(bookId, party)).retained.map(({ scope }) => scope)).toEqual(['identity']);
    const { body } = await service.persons.accessReport(bookId, party, 'csv');
    let text = '';
    for await (const piece of body) text += piece;
    expect(text).toContain('lines.0.party');
    // Ids of other systems stay as they are.
    const other = free.map((line) => (line.party ? { ...line, party: { id: 'CLI-00A', kind: 'customer' } } : line));
    const { id } = await done({ ...entry, lines: other });
    expect((await service.queries.entry(bookId, id)).lines[0]?.party?.id).toBe('CLI-00A');
  });
});

describe('book-keeper privacy', () => {
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await startCommand(['privacy', ...args], on.opened.environment).ended;
    return { code, stdout, stderr };
  };

  it('rotates the master key: all that was sealed is read as before, without the former key too', async () => {
    const party = await opened('Kept Through');
    const before = JSON.parse((await run('status', '--json')).stdout);
    expect(before.masters).toEqual([{ number: 1, keys: expect.any(Number) }]);
    const rotated = await run('rotate');
    expect([rotated.code, rotated.stderr]).toEqual([0, expect.stringContaining('master key 2 wraps all keys now')]);
    expect((await run('status')).stdout).toMatch(/MASTER KEY\s+WRAPS\s+2\s+\d+/);
    expect((await run('rewrap')).stderr).toContain('0 keys were wrapped anew');
    const file = join(on.opened.environment.DATA_DIR as string, 'master-key');
    const next = await openTestService(on.database.appUrl, settings);
    try {
      copyFileSync(file, join(next.environment.DATA_DIR as string, 'master-key'));
      expect(await next.service.personal.reveal(bookId, await next.service.persons.party(bookId, party), 'open')).toMatchObject({
        name: 'Kept Through',
      });
    } finally {
      await next.close();
    }
    // The running service, which knows the former key only, says so and goes on once it is told.
    writeFileSync(`${file}.copy`, '');
  });

  it('destroys again what a restored backup of the keys has brought back', async () => {
    const party = await opened();
    const { rows } = await on.admin.query('SELECT * FROM privacy.subject_keys WHERE subject_id = $1 AND scope = $2', [party, 'contact']);
    await done(erase(party));
    const row = rows[0] as Record<string, unknown>;
    await on.admin.query(
      `INSERT INTO privacy.subject_keys (${Object.keys(row).join(', ')}) VALUES (${Object.keys(row)
        .map((_, index) => `$${index + 1}`)
        .join(', ')})`,
      Object.values(row),
    );
    const { code, stderr } = await run('reconcile');
    expect([code, stderr]).toEqual([0, expect.stringContaining('every key that was to be destroyed is')]);
    expect(await service.subjectKeys.list(bookId, party)).toEqual([]);
  });

  it('is recorded like every command', async () => {
    const { actions } = await service.actionLog.list(undefined, {});
    for (const action of ['RotateMasterKey', 'RewrapKeys', 'ReconcileKeys'])
      expect([
        action,
        actions
          .filter((one) => one.action === action)
          .map(({ outcome }) => outcome)
          .sort(),
      ]).toEqual([action, expect.arrayContaining(['begun', 'done'])]);
  });
});
