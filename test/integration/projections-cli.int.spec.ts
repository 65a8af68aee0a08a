/**
 * `projections list | rebuild | compare | drop` and `replay` as their users run them: what they print, how they end, what they refuse,
 * and that a replay under a rule answers what June would have looked like without touching anything.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from 'pg';
import { connect } from '#postgres';
import { progressText } from '../../apps/cli/src/projections';
import { type Ended, startCommand } from '../support/cli';
import { type TestDatabase, testDatabase } from '../support/database';
import { openBookWith, run, transfer } from '../support/ledgers';
import { controllerContext } from '../support/periods';
import { openTestService, type TestService } from '../support/services';
import { carryOut, entryOf, openTrackedBook, recordRate } from '../support/tracked-books';

jest.setTimeout(120_000);

let database: TestDatabase;
let opened: TestService;
let admin: Client;
let directory: string;

beforeAll(async () => {
  database = await testDatabase();
  opened = await openTestService(database.appUrl);
  admin = await connect(database.adminUrl);
  directory = mkdtempSync(join(tmpdir(), 'book-keeper-rules-'));
  const { ledger } = opened.service;
  await openBookWith(ledger, 'shop', ['Cash', { code: 'Rent', accountType: 'expense' }, { code: 'Prepaid', accountType: 'asset' }]);
  for (const [date, amount] of [
    ['2026-05-20', '10.00'],
    ['2026-06-10', '120.00'],
    ['2026-06-20', '5.50'],
    ['2026-07-01', '7.00'],
  ] as const)
    await run(ledger, 'shop', transfer('Rent', 'Cash', amount, { effectiveDate: date }));
  await opened.service.projector.caughtUp('shop', (await opened.service.store.head('shop')).position);
});
afterAll(async () => {
  await admin?.end();
  await opened?.close();
  await database?.drop();
  rmSync(directory, { recursive: true, force: true });
});

const command = (...args: string[]): Promise<Ended> => startCommand(args, opened.environment).ended;
/** Of the books and what was folded of them; that somebody looked is an event too, in a log beside theirs. */
const fingerprint = async (): Promise<unknown> =>
  (
    await admin.query(
      `SELECT (SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM projections.running_totals t) AS totals,
              (SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM log.events t WHERE book_id !~ '~') AS events`,
    )
  ).rows;

describe('projections', () => {
  it('rebuild folds, compares, exchanges and says so; list, compare and drop show what there is', async () => {
    const listed = await command('projections', 'list');
    expect(listed).toMatchObject({ code: 0, stderr: '' });
    expect(listed.stdout).toMatch(/^PROJECTION +SET +VERSION +STATE +BEGUN +BOOKS +BEHIND +ROWS +SIZE$/m);
    expect(listed.stdout).toMatch(/^as-of +\d+ +1 +live +\d{4}-\d\d-\d\d \d\d:\d\d +1 +0 +~\d+ +[\d.]+ kB$/m);
    const rebuilt = await command('projections', 'rebuild', 'as-of');
    expect(rebuilt.code).toBe(0);
    expect(rebuilt.stdout).toMatch(/^as-of: \d+ events folded into set \d+ and compared in [\d.]+ s \([\d,]+ events\/s\)$/m);
    expect(rebuilt.stdout).toMatch(/^ {2}running_totals: \d+ rows in 1 book, all equal$/m);
    expect(rebuilt.stdout).toMatch(/^Set \d+ is live now\. The one before is kept/m);
    const compared = await command('projections', 'compare', 'as-of');
    expect(compared).toMatchObject({ code: 0, stdout: expect.stringContaining('(version 1, retired)') });

    // It is not folded any more, so it is behind nothing.
    await run(opened.service.ledger, 'shop', { type: 'DefineJournal', journalCode: 'LATER', name: 'Later' });
    expect((await command('projections', 'list')).stdout).toMatch(/^as-of +\d+ +1 +retired +\S+ \S+ +1 +- +~\d+ +[\d.]+ kB$/m);
    const sets = JSON.parse((await command('projections', 'list', '--json')).stdout) as {
      eventsBehind?: number;
      projection: string;
      build: number;
      state: string;
    }[];
    for (const { state, eventsBehind } of sets)
      expect([state, typeof eventsBehind]).toEqual([state, state === 'retired' ? 'undefined' : 'number']);
    const retired = sets.find(({ state }) => state === 'retired')?.build;
    const live = sets.find(({ projection, state }) => projection === 'as-of' && state === 'live')?.build;
    const refused = await command('projections', 'drop', String(live));
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is the live one: it answers queries and cannot be dropped'),
    });
    expect(await command('projections', 'drop', String(retired))).toMatchObject({
      code: 0,
      stdout: `set ${retired} of as-of (version 1, retired) was dropped\n`,
    });
  });

  it('rebuild ends with 1 where rows differ, names them, and exchanges when that is accepted', async () => {
    await admin.query("UPDATE projections.entries SET entry_type = 'closing' WHERE number = 2");
    const different = await command('projections', 'rebuild', 'register');
    expect(different.code).toBe(1);
    expect(different.stdout).toMatch(
      /entries: 4 rows in 1 book, 1 different\n {2}shop, entries position \d+: entry_type closing → normal\nNothing was exchanged/,
    );
    expect((await command('projections', 'compare', 'register')).code).toBe(1);
    const accepted = await command('projections', 'rebuild', 'register', '--accept-differences');
    expect(accepted).toMatchObject({ code: 0, stdout: expect.stringContaining('which was begun before') });
    expect((await admin.query("SELECT FROM projections.entries WHERE entry_type = 'closing'")).rows).toEqual([]);
  });

  it('what is misspelt is refused with what there is', async () => {
    const unknown = (message: string) => ({ code: 3, stdout: '', stderr: expect.stringContaining(message) });
    const sets = await command('projections', 'list');
    for (const verb of ['rebuild', 'compare'])
      expect(await command('projections', verb, 'totals')).toMatchObject(
        unknown('projection_unknown: there is no projection totals; there are as-of, register, chart, dimensions'),
      );
    expect(await command('projections', 'drop', '999')).toMatchObject(
      unknown('projection_unknown: there is no set 999; book-keeper projections list shows those that there are'),
    );
    expect(await command('projections', 'compare', 'as-of', '--set', '999')).toMatchObject(
      unknown('projection_unknown: projection as-of has no set 999; it has '),
    );
    for (const verb of ['rebuild', 'compare'])
      for (const book of ['nope', 'No Id'])
        expect(await command('projections', verb, 'as-of', '--book', 'shop', '--book', book)).toMatchObject(
          unknown(`book_unknown: there is no book ${book}`),
        );
    // Nothing was begun.
    expect((await command('projections', 'list')).stdout).toBe(sets.stdout);
    expect(await command('projections', 'drop', 'x')).toMatchObject({ code: 2 });
  });

  it('progress is a bar with rate and time left', () => {
    const folding = { phase: 'folding', at: 'shop', done: 500_000, total: 2_000_000, seconds: 5 } as const;
    expect(progressText(folding)).toBe('shop ██████░░░░░░░░░░░░░░░░░░ 25 %, 500,000 of 2,000,000 events, 100,000/s, 0:15 left');
    expect(progressText({ ...folding, done: 0, seconds: 0 })).toBe('shop ░░░░░░░░░░░░░░░░░░░░░░░░ 0 %, 0 of 2,000,000 events');
    expect(progressText({ ...folding, phase: 'comparing', at: 'shop, entries' })).toBe('comparing shop, entries');
  });
});

describe('replay', () => {
  /** Writes a rule. @returns its file */
  function rule(text: string, name = `rule-${Math.random()}.mjs`): string {
    const file = join(directory, name);
    writeFileSync(file, text);
    return file;
  }
  const june = (file: string, ...more: string[]): Promise<Ended> =>
    command('replay', 'shop', '--rules', file, '--from', '2026-06-01', '--to', '2026-06-30', ...more);

  // Rents from 100 on are paid for three months: a third each month.
  const thirds = `export default (entry) => {
    const [debit, credit] = entry.lines;
    if (Number(debit.amount) < 100) return entry;
    const [first, later] = [{ ...debit, amount: '40.00' }, { ...debit, account: 'Prepaid', amount: '80.00' }];
    return { ...entry, lines: [first, later, credit] };
  };`;

  it('shows what June would look like under a rule, and touches neither the log nor the live totals', async () => {
    const before = await fingerprint();
    const { code, stdout, stderr } = await june(rule(thirds));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.split('\n').map((line) => line.replace(/ +/g, ' ').trim())).toEqual([
      expect.stringMatching(/^shop, 2026-06-01 … 2026-06-30, known at position \d+, carry=fiscalYear, closing=include$/),
      '4 entries: 3 as they are, 1 changed, 0 left out',
      'ACCOUNT CURRENCY OPENING DEBITS CREDITS CLOSING',
      'Prepaid EUR as it is 0.00 0.00 0.00 0.00',
      'Prepaid under the rule 0.00 80.00 0.00 80.00',
      'difference 0.00 80.00 0.00 80.00',
      'Rent EUR as it is 10.00 125.50 0.00 135.50',
      'Rent under the rule 10.00 45.50 0.00 55.50',
      'difference 0.00 -80.00 0.00 -80.00',
      '',
    ]);
    expect(await fingerprint()).toEqual(before);
    const { rows } = await admin.query("SELECT FROM projections.builds WHERE state = 'scratch'");
    expect(rows).toEqual([]);
  });

  it('as CSV, of a CommonJS rule that leaves entries out or makes two of one, with all accounts, as known at a position', async () => {
    const file = rule(
      `exports.rule = (entry) => entry.effectiveDate === '2026-06-20' ? undefined
         : entry.effectiveDate === '2026-05-20' ? [entry, { effectiveDate: '2026-06-02', lines: entry.lines }] : entry;`,
      'split.cjs',
    );
    const { code, stdout } = await june(file, '--format', 'csv', '--all');
    const end = (at: number): string => `,fiscalYear,include,${at},lines`;
    const { position } = await opened.service.store.head('shop');
    expect(code).toBe(0);
    expect(stdout.split('\n')).toEqual([
      'row,account,name,currency,opening,debits,credits,closing,rule_opening,rule_debits,rule_credits,rule_closing,difference_opening,difference_debits,difference_credits,difference_closing,carry,closing_entries,position,basis',
      `account,Cash,Cash,EUR,-10.00,0.00,125.50,-135.50,-10.00,0.00,130.00,-140.00,0.00,0.00,4.50,-4.50${end(position)}`,
      `account,Rent,Rent,EUR,10.00,125.50,0.00,135.50,10.00,130.00,0.00,140.00,0.00,4.50,0.00,4.50${end(position)}`,
      '',
    ]);
    // Before the third entry nothing of it is known.
    const { rows } = await admin.query<{ position: number }>(
      "SELECT position FROM log.events WHERE book_id = 'shop' AND event_type = 'JournalEntryPosted' ORDER BY position OFFSET 2 LIMIT 1",
    );
    const before = (rows[0]?.position ?? 0) - 1;
    const known = await june(file, '--format', 'csv', '--all', '--known-at', String(before));
    expect(known.stdout.split('\n')[1]).toBe(
      `account,Cash,Cash,EUR,-10.00,0.00,120.00,-130.00,-10.00,0.00,130.00,-140.00,0.00,0.00,10.00,-10.00${end(before)}`,
    );
  });

  it('that returns every entry as it is differs in nothing', async () => {
    expect((await june(rule('export const rule = (entry) => entry;'))).stdout).toContain('Nothing differs on 2 accounts and currencies.');
    const copied = await june(rule('export const rule = (entry) => ({ ...entry });'));
    expect(copied.stdout).toContain('4 entries: 4 as they are, 0 changed, 0 left out\nNothing differs');
  });

  it.each([
    [
      'does not balance',
      'lines: [{ ...entry.lines[0], amount: "1.00" }, entry.lines[1]]',
      'debits 1.00, credits 10.00, difference -9.00 EUR',
    ],
    ['names an unknown account', 'lines: [{ ...entry.lines[0], account: "4711" }, entry.lines[1]]', 'line 1: there is no account "4711"'],
    ['has a wrong date', 'effectiveDate: "2026-02-30"', 'effectiveDate "2026-02-30" is no date'],
    [
      'has an amount that is a number',
      'lines: [{ ...entry.lines[0], amount: 10 }, entry.lines[1]]',
      'line 1: amount 10 is no text like "1234.50"',
    ],
    ['has too many decimals', 'lines: [{ ...entry.lines[0], amount: "10.001" }, entry.lines[1]]', 'with at most 2 decimals'],
    [
      'has a currency of its own',
      'lines: [{ ...entry.lines[0], currency: "DOGE" }, entry.lines[1]]',
      'currency "DOGE" is none that the book uses (EUR)',
    ],
    ['has one line', 'lines: entry.lines.slice(1)', 'it has 1 lines, an entry has two or more'],
  ])('is refused by name when the outcome %s', async (_, change, message) => {
    const { code, stderr, stdout } = await june(rule(`export default (entry) => ({ ...entry, ${change} });`));
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/the rule returned for entry GENERAL\/2026\/1 \(position \d+\) what the book would not take: /);
    expect(stderr).toContain(message);
  });

  it('is refused when it fails, changes what it is given, is no module or no function', async () => {
    expect((await june(rule('export default (entry) => { entry.lines.pop(); };'))).stderr).toMatch(
      /the rule failed at entry GENERAL\/2026\/1 .*object is not extensible|delete property/,
    );
    expect((await june(rule('export default async (entry) => entry;'))).stderr).toContain('a promise, expected an entry');
    expect(await june(rule('export const other = 1;'))).toMatchObject({ code: 2, stderr: expect.stringContaining('exports no function') });
    expect(await june(join(directory, 'missing.mjs'))).toMatchObject({ code: 2, stderr: expect.stringContaining('cannot be loaded') });
    expect(await command('replay', 'nowhere', '--rules', rule(thirds), '--from', '2026-06-01', '--to', '2026-06-30')).toMatchObject({
      code: 3,
    });
  });

  it('keeps the scratch set when told so; it can be dropped', async () => {
    const { stderr } = await june(rule(thirds), '--keep');
    const set = /set (\d+) of as-of/.exec(stderr)?.[1] ?? '';
    expect((await command('projections', 'list')).stdout).toMatch(new RegExp(`^as-of +${set} +1 +scratch `, 'm'));
    expect(await command('projections', 'drop', set)).toMatchObject({ code: 0 });
  });

  it('takes no account that is opened only after the position', async () => {
    const { position } = await opened.service.store.head('shop');
    await run(opened.service.ledger, 'shop', { type: 'OpenAccount', code: 'Later', name: 'Later', accountType: 'asset' });
    await opened.service.projector.caughtUp('shop', position + 1);
    const file = rule('export default (entry) => ({ ...entry, lines: [{ ...entry.lines[0], account: "Later" }, entry.lines[1]] });');
    expect((await june(file, '--known-at', String(position))).stderr).toContain('line 1: there is no account "Later"');
    expect((await june(file)).code).toBe(0);
  });
});

describe('replay asks as reports do', () => {
  /** Position of the close of June 2026, and of what was recorded last before it. */
  let closed: number;
  let before: string;

  beforeAll(async () => {
    const { ledger, store, projector } = opened.service;
    await openBookWith(ledger, 'years', [
      'Cash',
      { code: 'Rent', accountType: 'expense' },
      { code: 'Profits', accountType: 'equity', subtype: 'retained_earnings' },
    ]);
    const rent = async (date: string, amount: string): Promise<void> => {
      await run(ledger, 'years', transfer('Rent', 'Cash', amount, { effectiveDate: date }));
    };
    await rent('2026-06-10', '120.00');
    before = (await store.readAll('years', (await store.head('years')).position - 1, 1))[0]?.recordedAt ?? '';
    const close = { type: 'ClosePeriod', fiscalYear: '2026', period: 6, level: 'soft', includeEarlier: true } as const;
    const answer = await ledger.execute('years', close, controllerContext('close-june'));
    expect(JSON.parse(answer.body)).toMatchObject({ position: expect.any(Number) });
    closed = (await store.head('years')).position;
    await ledger.execute('years', transfer('Rent', 'Cash', '5.00', { effectiveDate: '2026-06-30' }), controllerContext('late'));
    await rent('2026-12-20', '10.00');
    await run(ledger, 'years', transfer('Profits', 'Rent', '135.00', { effectiveDate: '2026-12-31', entryType: 'closing' }));
    await rent('2027-01-15', '7.00');
    await projector.caughtUp('years', (await store.head('years')).position);
  });

  const whole = (text: string): string => {
    const file = join(directory, `whole-${Math.random()}.mjs`);
    writeFileSync(file, text);
    return file;
  };
  const asked = (file: string, from: string, to: string, ...more: string[]): Promise<Ended> =>
    command('replay', 'years', '--rules', file, '--from', from, '--to', to, ...more);
  const plain = ({ stdout }: Ended): string[] => stdout.split('\n').map((line) => line.replace(/ +/g, ' ').trim());
  /** Half of what is 100 or more, without the closing entries. */
  const halves = `export default (entry) => entry.entryType === 'closing' || Number(entry.lines[0].amount) < 100 ? entry
    : { ...entry, lines: entry.lines.map((line) => ({ ...line, amount: '60.00' })) };`;

  it('of a book that tracks exchange rates shows what changes in base currency, also where no amount of a line does', async () => {
    const { service } = opened;
    await openTrackedBook(service, 'worth');
    await recordRate(service, 'worth', ['USD', '2026-06-01', '0.90']);
    await carryOut(service, 'worth', entryOf('2026-06-01', ['Bank', 'Capital'], '100', 'USD'));
    await carryOut(service, 'worth', entryOf('2026-06-02', ['Bank', 'Capital'], '7', 'EUR'));
    await service.projector.caughtUp('worth', (await service.store.head('worth')).position);
    const worthMore = whole(
      `export default (entry) => ({ ...entry, lines: entry.lines.map(({ baseAmount, ...line }) =>
         line.currency === 'USD' ? { ...line, baseAmount: '95.00' } : line) });`,
    );
    const ended = await command('replay', 'worth', '--rules', worthMore, '--from', '2026-06-01', '--to', '2026-06-30');
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(plain(ended).slice(1, -1)).toEqual([
      '2 entries: 1 as they are, 1 changed, 0 left out',
      'ACCOUNT CURRENCY OPENING DEBITS CREDITS CLOSING',
      'Bank all in EUR as it is 0.00 97.00 0.00 97.00',
      'Bank under the rule 0.00 102.00 0.00 102.00',
      'difference 0.00 5.00 0.00 5.00',
      'Capital all in EUR as it is 0.00 0.00 97.00 -97.00',
      'Capital under the rule 0.00 0.00 102.00 -102.00',
      'difference 0.00 0.00 5.00 -5.00',
    ]);
  });

  it('income and expense open at 0 in the fiscal year, what they had is brought forward, and both are said (I13)', async () => {
    const { position } = await opened.service.store.head('years');
    const file = whole(halves);
    const january = await asked(file, '2027-01-01', '2027-01-31');
    expect(january).toMatchObject({ code: 0, stderr: '' });
    expect(plain(january)).toEqual([
      `years, 2027-01-01 … 2027-01-31, known at position ${position}, carry=fiscalYear, closing=include`,
      '5 entries: 4 as they are, 1 changed, 0 left out',
      'ACCOUNT CURRENCY OPENING DEBITS CREDITS CLOSING',
      'Cash EUR as it is -135.00 0.00 7.00 -142.00',
      'Cash under the rule -75.00 0.00 7.00 -82.00',
      'difference 60.00 0.00 0.00 60.00',
      'retained earnings brought forward EUR as it is 0.00 0.00 0.00 0.00',
      'under the rule -60.00 0.00 0.00 -60.00',
      'difference -60.00 0.00 0.00 -60.00',
      '',
    ]);
    const inception = await asked(file, '2027-01-01', '2027-01-31', '--carry', 'none');
    expect(plain(inception)).toEqual([
      `years, 2027-01-01 … 2027-01-31, known at position ${position}, carry=none, closing=include`,
      ...plain(january).slice(1, 6),
      'Rent EUR as it is 0.00 7.00 0.00 7.00',
      'Rent under the rule -60.00 7.00 0.00 -53.00',
      'difference -60.00 0.00 0.00 -60.00',
      '',
    ]);
    const csv = await asked(file, '2027-01-01', '2027-01-31', '--format', 'csv');
    expect(csv.stdout.split('\n')[2]).toBe(
      `retainedEarnings,,retained earnings brought forward,EUR,0.00,0.00,0.00,0.00,-60.00,0.00,0.00,-60.00,-60.00,0.00,0.00,-60.00,fiscalYear,include,${position},lines`,
    );
  });

  it('closing entries of the range are left out on both sides, also where the rule moves them', async () => {
    // The closing entry is moved out of the range, or stays.
    const moved = whole(`export default (entry) => entry.entryType === 'closing' ? { ...entry, effectiveDate: '2027-01-01' } : entry;`);
    const rentOf = async (file: string, ...more: string[]): Promise<string | undefined> =>
      (await asked(file, '2026-12-01', '2026-12-31', '--format', 'csv', '--all', ...more)).stdout
        .split('\n')
        .find((line) => line.startsWith('account,Rent,'))
        ?.split(',')
        .slice(4, 12)
        .join(' ');
    expect(await rentOf(moved)).toBe('125.00 10.00 135.00 0.00 125.00 10.00 0.00 135.00');
    expect(await rentOf(moved, '--closing', 'exclude')).toBe('125.00 10.00 0.00 135.00 125.00 10.00 0.00 135.00');
    const back = whole('export default (entry) => ({ ...entry });');
    expect(await rentOf(back, '--closing', 'exclude')).toBe('125.00 10.00 0.00 135.00 125.00 10.00 0.00 135.00');
  });

  it('whatever the carry, the closing entries and the moment, it says what the trial balance says', async () => {
    const file = whole('export default (entry) => ({ ...entry });');
    for (const [from, to] of [
      ['2026-06-01', '2026-06-30'],
      ['2026-12-01', '2027-01-31'],
      ['2027-01-01', '2027-12-31'],
    ] as const) {
      for (const [carry, closing, knownAt] of [
        ['fiscalYear', 'include', String((await opened.service.store.head('years')).position)],
        ['fiscalYear', 'exclude', 'close:2026-06'],
        ['none', 'exclude', String((await opened.service.store.head('years')).position - 1)],
      ] as const) {
        const question = { from, to, carry, closing, knownAt, includeZero: true };
        const report = JSON.parse((await opened.service.reports.answer('trial-balance', 'years', question, 'json')).body as string) as {
          position: number;
          rows: { account: string; figures: { opening: string; debit: string; credit: string; closing: string }[] }[];
          retainedEarnings?: { figures: { opening: string }[] }[];
        };
        const { stdout } = await asked(
          file,
          from,
          to,
          ...['--carry', carry, '--closing', closing, '--known-at', knownAt, '--format', 'csv', '--all'],
        );
        const said = stdout
          .trimEnd()
          .split('\n')
          .slice(1)
          .map((line) => line.split(','));
        const figures = said.map((cells) => [cells[1], ...cells.slice(4, 8)].join(' '));
        const should = report.rows.map(({ account, figures: [of] }) =>
          [account, of?.opening, of?.debit, of?.credit, of?.closing].join(' '),
        );
        const brought = (report.retainedEarnings ?? []).flatMap(({ figures: [of] }) =>
          of?.opening === '0.00' ? [] : ` ${of?.opening} 0.00 0.00 ${of?.opening}`,
        );
        expect({ question, figures }).toEqual({ question, figures: [...should, ...brought] });
        for (const cells of said) {
          expect(cells.slice(8, 12)).toEqual(cells.slice(4, 8));
          expect(cells.slice(16)).toEqual([carry, closing, String(report.position), 'lines']);
        }
      }
    }
  });

  it('known at a close, an instant or a position; what is none of them is refused', async () => {
    const file = whole(halves);
    const head = async (when: string): Promise<string | undefined> =>
      plain(await asked(file, '2026-06-01', '2026-06-30', '--known-at', when))[0];
    const known = (position: number): string =>
      `years, 2026-06-01 … 2026-06-30, known at position ${position}, carry=fiscalYear, closing=include`;
    expect(await head('close:2026-06')).toBe(known(closed));
    expect(await head(before)).toMatch(/ position \d+,/);
    expect(await head(before)).toBe(await head(String(closed - 6)));
    for (const [when, message] of [
      ['june', 'knownAt "june" is neither a position nor an instant like'],
      ['99999', 'knownAt 99999 has not come yet'],
      ['2199-01-01T00:00:00Z', 'lies in the future'],
      ['hard-close:2026-06', 'there was no such close; there are close:2026-1'],
    ] as const) {
      const refused = await asked(file, '2026-06-01', '2026-06-30', '--known-at', when);
      expect({ when, code: refused.code, stdout: refused.stdout }).toEqual({ when, code: 2, stdout: '' });
      expect(refused.stderr).toContain(message);
    }
    expect(await asked(file, '2026-06-30', '2026-06-01')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('to 2026-06-01 lies before from 2026-06-30'),
    });
    expect(await asked(file, '2026-06-01', '2026-06-30', '--carry', 'year')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Allowed choices are fiscalYear, none'),
    });
  });
});
